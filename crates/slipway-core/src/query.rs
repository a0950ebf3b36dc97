//! What the API is asked after the `?`. A parameter that is not understood is refused by its name: read as something else,
//! it would answer a question that nobody has asked.
//!
//! Absent on purpose: the dashboard's own filters, which leave out what they do not know, so that an old link still works.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::Format;
use crate::release::{Key, ReleaseState};
use crate::time::Timestamp;

/// The longest that a reader may wait for a change; proxies on the way cut idle requests at 30 to 100 seconds.
pub const WAIT_SECONDS_MAX: u64 = 25;
/// Rows of the audit in one answer.
pub const AUDIT_ROWS_MAX: u64 = 1000;
/// Rows of an activity in one answer.
pub const ACTIVITY_ROWS_MAX: u64 = 200;
/// The longest that a filter of an activity may be: longer than any actor or subject there is.
const FILTER_LENGTH_MAX: usize = 300;

/// What is asked of a release: to wait for a change since a number, or for a state, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseQuery {
    /// Wait until its number is another.
    pub since: Option<u64>,
    /// Wait until it has this state.
    pub wait: Option<ReleaseState>,
    /// Seconds.
    pub timeout: Option<u64>,
}

/// A parameter that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// There is no such parameter.
    #[error("there is no parameter `{name}` here; {known}")]
    Unknown {
        /// As it was sent.
        name: String,
        /// Which ones there are.
        known: String,
    },
    /// It is there twice.
    #[error("the parameter `{0}` is given twice; give it once")]
    Twice(&'static str),
    /// It has no such value.
    #[error("the parameter `{name}` is `{value}`; it must be {wanted}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// As it was sent.
        value: String,
        /// What it may be.
        wanted: String,
    },
}

/// The parameters of an address, with their escapes undone.
pub type Pairs = [(String, String)];

impl ReleaseQuery {
    /// `GET …/releases/{version}`.
    pub fn read(pairs: &Pairs) -> Result<Self, BadQuery> {
        let [since, wait, timeout] = values(pairs, ["since", "wait", "timeout"])?;
        let state = |text: &str| {
            ReleaseState::ALL.into_iter().find(|state| state.code() == text).ok_or_else(|| {
                let states = ReleaseState::ALL.map(|state| format!("`{}`", state.code())).join(", ");
                BadQuery::Value { name: "wait", value: shown(text), wanted: format!("one of {states}") }
            })
        };
        Ok(Self {
            since: number("since", since, 0, u64::MAX)?,
            wait: wait.map(state).transpose()?,
            timeout: number("timeout", timeout, 0, WAIT_SECONDS_MAX)?,
        })
    }
}

/// `GET …/live`: what whoever watches knows, and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveQuery {
    /// The number since which changes are to be told.
    pub since: Option<u64>,
    /// Whether they take what has changed, in place of the whole release each time.
    pub changes: bool,
}

impl LiveQuery {
    /// Reads it.
    pub fn read(pairs: &Pairs) -> Result<Self, BadQuery> {
        let [since, changes] = values(pairs, ["since", "changes"])?;
        let changes = match changes {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let wanted = "`true` or `false`".to_owned();
                return Err(BadQuery::Value { name: "changes", value: shown(other), wanted });
            }
        };
        Ok(Self { since: number("since", since, 0, u64::MAX)?, changes })
    }
}

/// `GET …/audit`: which rows are wanted, and how they are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// The first row.
    pub first: u64,
    /// How many, at most.
    pub count: u64,
    /// As what.
    pub format: Format,
}

impl AuditQuery {
    /// Reads it. There is nothing to leave rows out by: an export is whole.
    pub fn read(pairs: &Pairs) -> Result<Self, BadQuery> {
        let [first, count, format] = values(pairs, ["first", "count", "format"])?;
        let known = |text: &str| {
            Format::ALL.into_iter().find(|format| format.code() == text).ok_or_else(|| {
                let formats = Format::ALL.map(|format| format!("`{}`", format.code())).join(" or ");
                BadQuery::Value { name: "format", value: shown(text), wanted: formats }
            })
        };
        Ok(Self {
            first: first_row(first)?,
            count: number("count", count, 1, AUDIT_ROWS_MAX)?.unwrap_or(AUDIT_ROWS_MAX),
            format: format.map(known).transpose()?.unwrap_or_default(),
        })
    }
}

/// `GET …/activity`: which rows of the audit are shown. Without a word, the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityQuery {
    /// Who: as the audit names them, or a person's user name alone.
    pub actor: Option<String>,
    /// What they did.
    pub action: Option<String>,
    /// To what: a version, or `VERSION/KEY`; and whatever is below it.
    pub subject: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Rows before this one.
    pub before: Option<u64>,
    /// As CSV.
    pub csv: bool,
}

/// What an activity may be asked.
const ACTIVITY: [&str; 7] = ["actor", "action", "subject", "from", "to", "before", "format"];

impl ActivityQuery {
    /// As the API is asked. A day stands for the whole of it, and a moment without a zone is in UTC.
    pub fn read(pairs: &Pairs) -> Result<Self, BadQuery> {
        let [actor, action, subject, from, to, before, format] = values(pairs, ACTIVITY)?;
        Ok(Self {
            actor: filter("actor", actor)?,
            action: filter("action", action)?,
            subject: filter("subject", subject)?,
            from: moment("from", from)?.map(|(from, _)| from),
            to: moment("to", to)?.map(|(_, to)| to),
            before: number("before", before, 1, i64::MAX.unsigned_abs())?,
            csv: match format {
                None | Some("json") => false,
                Some("csv") => true,
                Some(other) => {
                    return Err(BadQuery::Value {
                        name: "format",
                        value: shown(other),
                        wanted: "`json` or `csv`".to_owned(),
                    });
                }
            },
        })
    }

    /// As a page is asked, by a form or an old link: what is empty, or not understood, is left out.
    pub fn of_a_page(pairs: &Pairs) -> Self {
        let mut query = Self::default();
        for pair in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            let Ok(one) = Self::read(std::slice::from_ref(pair)) else { continue };
            query = Self {
                actor: one.actor.or(query.actor),
                action: one.action.or(query.action),
                subject: one.subject.or(query.subject),
                from: one.from.or(query.from),
                to: one.to.or(query.to),
                before: one.before.or(query.before),
                csv: one.csv || query.csv,
            };
        }
        query
    }
}

/// What rows are left out by: any text that a row could have.
fn filter(name: &'static str, value: Option<&str>) -> Result<Option<String>, BadQuery> {
    let Some(text) = value else { return Ok(None) };
    if text.is_empty() || text.len() > FILTER_LENGTH_MAX {
        let wanted = format!("1 to {FILTER_LENGTH_MAX} bytes long");
        return Err(BadQuery::Value { name, value: shown(text), wanted });
    }
    Ok(Some(text.to_owned()))
}

/// A moment, or a day or a minute, of which it is the beginning and the end.
fn moment(name: &'static str, value: Option<&str>) -> Result<Option<(Timestamp, Timestamp)>, BadQuery> {
    let Some(text) = value else { return Ok(None) };
    let (whole, lasts) = match text.len() {
        10 => (format!("{text}T00:00:00Z"), Duration::from_hours(24)),
        16 => (format!("{text}:00Z"), Duration::from_mins(1)),
        _ => (text.to_owned(), Duration::ZERO),
    };
    let wanted = "a moment as RFC 3339 writes it, or a day: `2026-11-23`".to_owned();
    let begins: Timestamp = whole.parse().map_err(|_| BadQuery::Value { name, value: shown(text), wanted })?;
    Ok(Some((begins, begins + lasts)))
}

/// `GET …/against`: whose dependencies are asked of the package servers. Without a key nobody's are.
pub fn against_key(pairs: &Pairs) -> Result<Option<Key>, BadQuery> {
    let [key] = values(pairs, ["key"])?;
    let read = |text: &str| {
        text.parse().map_err(|_| BadQuery::Value {
            name: "key",
            value: shown(text),
            wanted: "the key of a package".to_owned(),
        })
    };
    key.map(read).transpose()
}

/// `GET …/audit/heads`: the first row whose head is wanted.
pub fn first_head(pairs: &Pairs) -> Result<u64, BadQuery> {
    let [first] = values(pairs, ["first"])?;
    first_row(first)
}

/// `GET …/comparison`: the first target that is wanted.
pub fn first_target(pairs: &Pairs) -> Result<u64, BadQuery> {
    let [first] = values(pairs, ["first"])?;
    first_row(first)
}

fn first_row(first: Option<&str>) -> Result<u64, BadQuery> {
    // Rows are numbered in SQL, whose numbers have a sign.
    let most = i64::MAX.unsigned_abs();
    Ok(number("first", first, 1, most)?.unwrap_or(1))
}

/// Everything else of the API.
pub fn none(pairs: &Pairs) -> Result<(), BadQuery> {
    values(pairs, []).map(|[]| ())
}

/// The values of the parameters that there are, each at most once, in the order of `names`.
fn values<'a, const N: usize>(pairs: &'a Pairs, names: [&'static str; N]) -> Result<[Option<&'a str>; N], BadQuery> {
    let mut values = [None; N];
    for (name, value) in pairs {
        let found = names.iter().zip(&mut values).find(|(known, _)| **known == name.as_str());
        let Some((known, kept)) = found else {
            let names = names.map(|name| format!("`{name}`")).join(", ");
            let known = if N == 0 { "it takes none".to_owned() } else { format!("it takes {names}") };
            return Err(BadQuery::Unknown { name: shown(name), known });
        };
        if kept.replace(value.as_str()).is_some() {
            return Err(BadQuery::Twice(known));
        }
    }
    Ok(values)
}

/// A whole number in its one way of writing: no sign, no leading zeros.
fn number(name: &'static str, value: Option<&str>, least: u64, most: u64) -> Result<Option<u64>, BadQuery> {
    let Some(text) = value else { return Ok(None) };
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    number.filter(|number| (least..=most).contains(number)).map(Some).ok_or_else(|| {
        let wanted = if most == WAIT_SECONDS_MAX || most == AUDIT_ROWS_MAX {
            format!("a whole number from {least} to {most}")
        } else {
            format!("a whole number, {least} or more")
        };
        BadQuery::Value { name, value: shown(text), wanted }
    })
}

/// A text of somebody's, short enough for a message and on one line.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        let split = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        query.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
    }

    #[test]
    fn what_a_release_is_asked_is_read_as_it_is_meant() {
        let read = |query: &str| ReleaseQuery::read(&pairs(query)).expect("a good query");
        assert_eq!(read(""), ReleaseQuery::default());
        assert_eq!(read("since=0&timeout=25"), ReleaseQuery { since: Some(0), wait: None, timeout: Some(25) });
        for state in ReleaseState::ALL {
            let word = serde_json::to_value(state).expect("a word");
            let query = format!("wait={}", word.as_str().expect("text"));
            assert_eq!(read(&query).wait, Some(state));
        }
        let audit = |query: &str| AuditQuery::read(&pairs(query)).expect("a good query");
        assert_eq!(audit(""), AuditQuery { first: 1, count: 1000, format: Format::Ndjson });
        assert_eq!(audit("count=7&format=csv&first=17"), AuditQuery { first: 17, count: 7, format: Format::Csv });
        assert_eq!(first_head(&pairs("")), Ok(1));
        assert_eq!(first_head(&pairs("first=17")), Ok(17));
        assert_eq!(LiveQuery::read(&pairs("since=17")), Ok(LiveQuery { since: Some(17), changes: false }));
        assert_eq!(LiveQuery::read(&pairs("changes=true")), Ok(LiveQuery { since: None, changes: true }));
        assert_eq!(none(&pairs("")), Ok(()));
    }

    #[test]
    fn an_activity_is_asked_by_who_what_and_when_and_a_day_is_the_whole_of_it() {
        let read = |query: &str| ActivityQuery::read(&pairs(query)).expect("a good query");
        assert_eq!(read(""), ActivityQuery::default());
        let text = |text: &str| Some(text.to_owned());
        let asked = read("actor=user:mira&action=held&subject=1.2.0/jammy&before=17&format=csv");
        let wanted = ActivityQuery {
            actor: text("user:mira"),
            action: text("held"),
            subject: text("1.2.0/jammy"),
            before: Some(17),
            csv: true,
            ..ActivityQuery::default()
        };
        assert_eq!(asked, wanted);
        // 2026-11-23 is 20,780 days after the epoch.
        let (day, hour, minute) = (20_780 * 86_400_000, 3_600_000, 60_000);
        for (query, from, to) in [
            ("from=2026-11-23&to=2026-11-23", day, day + 24 * hour),
            ("from=2026-11-23T10:30&to=2026-11-23T10:30", day + 10 * hour + 30 * minute, day + 10 * hour + 31 * minute),
            ("from=2026-11-23T10:00:00Z&to=2026-11-23T11:00:00.500Z", day + 10 * hour, day + 11 * hour + 500),
            ("from=2026-11-23T10:00:00%2B&to=2026-11-23", 0, 0),
        ] {
            if from == 0 {
                assert!(ActivityQuery::read(&pairs(query)).is_err(), "{query}");
                continue;
            }
            let asked = read(query);
            assert_eq!((asked.from, asked.to), (Some(Timestamp(from)), Some(Timestamp(to))), "{query}");
        }
    }

    #[test]
    fn a_page_leaves_out_of_an_activity_what_it_does_not_understand() {
        let asked =
            ActivityQuery::of_a_page(&pairs("actor=&action=held&from=yesterday&before=-1&colour=red&to=2026-11-23"));
        let to = Some(Timestamp(20_781 * 86_400_000));
        assert_eq!(asked, ActivityQuery { action: Some("held".to_owned()), to, ..ActivityQuery::default() });
        assert_eq!(ActivityQuery::of_a_page(&pairs("action=held&action=lifted")).action.as_deref(), Some("lifted"));
    }

    #[test]
    fn a_parameter_that_is_not_understood_is_named_with_what_it_must_be() {
        let release = |query: &str| ReleaseQuery::read(&pairs(query)).map(drop);
        let live = |query: &str| LiveQuery::read(&pairs(query)).map(drop);
        let audit = |query: &str| AuditQuery::read(&pairs(query)).map(drop);
        let heads = |query: &str| first_head(&pairs(query)).map(drop);
        let activity = |query: &str| ActivityQuery::read(&pairs(query)).map(drop);
        let against = |query: &str| against_key(&pairs(query)).map(drop);
        for (refused, expected) in [
            (release("since=-1"), "the parameter `since` is `-1`; it must be a whole number, 0 or more"),
            (release("since=+1"), "the parameter `since` is `+1`; it must be a whole number, 0 or more"),
            (release("since=01"), "the parameter `since` is `01`; it must be a whole number, 0 or more"),
            (release("since=1.5"), "the parameter `since` is `1.5`; it must be a whole number, 0 or more"),
            (release("since="), "the parameter `since` is ``; it must be a whole number, 0 or more"),
            (
                release("since=18446744073709551616"),
                "the parameter `since` is `18446744073709551616`; it must be a whole number, 0 or more",
            ),
            (release("since=1&since=2"), "the parameter `since` is given twice; give it once"),
            (release("timeout=26"), "the parameter `timeout` is `26`; it must be a whole number from 0 to 25"),
            (
                release("wait=done"),
                "the parameter `wait` is `done`; it must be one of `expected`, `staged`, `complete`, `closed`",
            ),
            (
                release("wait=Staged"),
                "the parameter `wait` is `Staged`; it must be one of `expected`, `staged`, `complete`, `closed`",
            ),
            (release("limit=5"), "there is no parameter `limit` here; it takes `since`, `wait`, `timeout`"),
            (live("since=x"), "the parameter `since` is `x`; it must be a whole number, 0 or more"),
            (live("wait=staged"), "there is no parameter `wait` here; it takes `since`, `changes`"),
            (live("changes=1"), "the parameter `changes` is `1`; it must be `true` or `false`"),
            (audit("first=0"), "the parameter `first` is `0`; it must be a whole number, 1 or more"),
            (
                audit("first=9223372036854775808"),
                "the parameter `first` is `9223372036854775808`; it must be a whole number, 1 or more",
            ),
            (audit("first=garbage"), "the parameter `first` is `garbage`; it must be a whole number, 1 or more"),
            (audit("count=0"), "the parameter `count` is `0`; it must be a whole number from 1 to 1000"),
            (audit("count=1001"), "the parameter `count` is `1001`; it must be a whole number from 1 to 1000"),
            (audit("format=xml"), "the parameter `format` is `xml`; it must be `ndjson` or `csv`"),
            (audit("after=garbage"), "there is no parameter `after` here; it takes `first`, `count`, `format`"),
            (audit("a\nb=1"), "there is no parameter `a\\nb` here; it takes `first`, `count`, `format`"),
            (heads("count=1"), "there is no parameter `count` here; it takes `first`"),
            (activity("actor="), "the parameter `actor` is ``; it must be 1 to 300 bytes long"),
            (activity("before=0"), "the parameter `before` is `0`; it must be a whole number, 1 or more"),
            (
                activity("from=yesterday"),
                "the parameter `from` is `yesterday`; it must be a moment as RFC 3339 writes it, or a day: `2026-11-23`",
            ),
            (activity("format=ndjson"), "the parameter `format` is `ndjson`; it must be `json` or `csv`"),
            (
                activity("who=mira"),
                "there is no parameter `who` here; it takes `actor`, `action`, `subject`, `from`, `to`, `before`, `format`",
            ),
            (against("key=a b"), "the parameter `key` is `a b`; it must be the key of a package"),
            (against("keys=a"), "there is no parameter `keys` here; it takes `key`"),
            (none(&pairs("page=2")), "there is no parameter `page` here; it takes none"),
        ] {
            assert_eq!(refused.expect_err("a bad query").to_string(), expected);
        }
    }
}
