//! When what the record is made of answered last: GitLab, and each place. A page says how old what it shows may be.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::api::{self, Source};
use slipway_core::config::Project;
use slipway_core::gate::moment;
use slipway_core::problem::{Code, Visible};
use slipway_core::release::TargetState;
use slipway_core::stop::Stopped;
use slipway_core::time::Timestamp;

use super::activity::shown;
use super::{LedgerError, Record};
use crate::sql::Sql;

/// An answer is written down this long after the last one: each is a write to the disk.
const WRITTEN_AFTER: Duration = Duration::from_secs(30);
/// The longest reason that is kept.
const TROUBLE_MAX: usize = 300;
/// What a place said is believed for so long after it, though it does not answer now: places are read every ten minutes, and one
/// that misses a single time is no reason to keep a release manager from their job.
const BELIEVED: Duration = Duration::from_mins(15);

/// Somebody from whom the record has what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// GitLab, asked by this record.
    Gitlab,
    /// GitLab's webhooks.
    Webhooks,
    /// A place, by its name in `slipway.toml`.
    Place(&'a str),
}

impl Origin<'_> {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Gitlab => ("gitlab", "gitlab"),
            Self::Webhooks => ("webhooks", "gitlab"),
            Self::Place(name) => ("place", name),
        }
    }
}

/// A place that does not answer.
pub(super) struct Unread {
    /// When it answered last.
    read_at: Option<Timestamp>,
    /// Why it did not.
    trouble: String,
}

impl Unread {
    /// What lies over the state of a target: its staged copy, or what is public of it, is as it was then.
    fn shown(&self, place: &str, public: Visible) -> api::Problem {
        let since = match self.read_at {
            Some(at) => format!("has not been read since {}; what is shown was so then", moment(at)),
            None => "has never been read".to_owned(),
        };
        let mut why = self.trouble.chars();
        let why = why.next().map(|first| first.to_uppercase().chain(why).collect::<String>()).unwrap_or_default();
        Code::Unknown.problem(format!("`{place}` {since}. {}.", why.trim_end_matches('.')), public, None)
    }
}

/// Why what is shown of a target may be so no more. One that is on its way says by itself how that goes.
pub(super) fn unknown(
    unread: &BTreeMap<String, Unread>,
    state: TargetState,
    staging: &str,
    public: &str,
) -> Option<api::Problem> {
    let places: &[&str] = match state {
        TargetState::Expected => &[staging],
        TargetState::Staged => &[staging, public],
        TargetState::Released => &[public],
        _ => &[],
    };
    // Nothing was ever asked to be published of what is staged; but others write there, too, and only a place that answers says
    // that they have not.
    let visible = if unread.contains_key(public) { Visible::Unknown } else { Visible::Nothing };
    places.iter().find_map(|place| Some(unread.get(*place)?.shown(place, visible)))
}

impl<S: Sql> Record<S> {
    /// Somebody has answered, or has not, and why. Says whether a place is unread since this, or no more: all releases have another
    /// number then, since each may show something of it.
    pub fn heard_from(&self, from: Origin<'_>, trouble: Option<&str>, now: Timestamp) -> Result<bool, LedgerError> {
        // What is imported has its own times.
        if self.is_being_imported()? {
            return Ok(false);
        }
        let (kind, name) = from.parts();
        let known = self
            .0
            .query("SELECT tried_at, trouble FROM sources WHERE kind = ? AND name = ?", &[kind.into(), name.into()])?;
        if let Some(row) = known.first() {
            let is_as_it_was = row.text_or_null(1)?.is_some() == trouble.is_some();
            let tried_at = Timestamp(row.integer(0)?);
            if is_as_it_was && tried_at <= now && now.since(tried_at) < WRITTEN_AFTER {
                return Ok(false);
            }
        }
        let was_unread = self.unread()?.contains_key(name);
        let trouble: Option<String> = trouble.map(|why| why.chars().take(TROUBLE_MAX).collect());
        self.0.query(
            "INSERT INTO sources (kind, name, read_at, tried_at, trouble) VALUES (?1, ?2, CASE WHEN ?4 IS NULL THEN ?3 END, ?3, ?4)
             ON CONFLICT (kind, name) DO UPDATE SET tried_at = ?3, trouble = ?4, read_at = COALESCE(excluded.read_at, read_at)",
            &[kind.into(), name.into(), now.0.into(), trouble.into()],
        )?;
        let has_turned = self.unread()?.contains_key(name) != was_unread;
        if has_turned {
            self.0.query("UPDATE releases SET sequence = sequence + 1", &[])?;
        }
        Ok(has_turned)
    }

    /// The places that did not answer when they were last asked, and had not for a while: what is shown of them may be so no more.
    pub(super) fn unread(&self) -> Result<BTreeMap<String, Unread>, LedgerError> {
        let rows = self.0.query(
            "SELECT name, read_at, trouble FROM sources
             WHERE kind = 'place' AND trouble IS NOT NULL AND (read_at IS NULL OR tried_at - read_at > ?)",
            &[u64::try_from(BELIEVED.as_millis()).unwrap_or(u64::MAX).into()],
        )?;
        let unread = rows.iter().map(|row| {
            let read_at = row.integer_or_null(1)?.map(Timestamp);
            Ok((row.text(0)?.to_owned(), Unread { read_at, trouble: row.text(2)?.to_owned() }))
        });
        unread.collect()
    }

    /// What the record is read from, GitLab first.
    pub fn sources(&self) -> Result<Vec<Source>, LedgerError> {
        let rows = self.0.query(
            "SELECT CASE kind WHEN 'place' THEN name END, read_at, trouble FROM sources WHERE kind <> 'webhooks'
             ORDER BY kind = 'place', name",
            &[],
        )?;
        let sources = rows.iter().map(|row| {
            Ok(Source {
                place: row.text_or_null(0)?.map(str::to_owned),
                read_at: row.integer_or_null(1)?.map(|at| Timestamp(at).to_string()),
                trouble: row.text_or_null(2)?.map(str::to_owned),
            })
        });
        sources.collect()
    }

    /// How the record is. `sockets` is how many pages are live.
    pub fn standing(&self, project: &Project, sockets: u64) -> Result<api::StandingProject, LedgerError> {
        let open = self.0.query("SELECT COUNT(*), MIN(received_at) FROM hints WHERE due_at IS NOT NULL", &[])?;
        let (hints_open, oldest) = match open.first() {
            Some(row) => (row.natural(0)?, row.integer_or_null(1)?),
            None => (0, None),
        };
        let webhook = self.0.query("SELECT read_at FROM sources WHERE kind = 'webhooks'", &[])?;
        let webhook = webhook.first().map(|row| row.integer_or_null(0)).transpose()?.flatten();
        Ok(api::StandingProject {
            project: shown(project),
            stopped: self.stopped()?.as_ref().map(Stopped::shown),
            hints_open,
            oldest_hint_at: oldest.map(|at| Timestamp(at).to_string()),
            last_webhook_at: webhook.map(|at| Timestamp(at).to_string()),
            sockets,
            sources: self.sources()?,
        })
    }
}
