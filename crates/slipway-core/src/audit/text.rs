//! A row as text, in two formats. Each has exactly one way to write a row, so that whatever is changed in an export shows,
//! be it a space: there is no second text that a lenient reader would take for the same row.

use std::borrow::Cow;
use std::fmt::Write as _;

use memchr::memchr2;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::time::Timestamp;

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// RFC 4180, with a line of names first. Texts are in quotes, numbers and hashes are not.
    Csv,
}

/// The first line of CSV.
const CSV_NAMES: &str = "sequence,at_ms,at,actor,action,subject,details,previous,hash\r\n";

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ndjson, Self::Csv];

    /// Its name in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// What stands before the first row. Pages of an export that are put together are the export.
    pub fn names(self) -> &'static str {
        match self {
            Self::Ndjson => "",
            Self::Csv => CSV_NAMES,
        }
    }

    /// Adds a row.
    pub fn write(self, entry: &Entry, into: &mut String) {
        let Entry { sequence, event, previous, hash } = entry;
        let (at_ms, at, previous, hash) = (event.at.0, event.at, previous.hex(), hash.hex());
        let texts = [&event.actor, &event.action, &event.subject, &event.details];
        // A text takes whatever is written to it.
        let _ = match self {
            Self::Ndjson => {
                let [actor, action, subject, details] = texts.map(|text| serde_json::Value::from(text.as_str()));
                writeln!(
                    into,
                    r#"{{"sequence":{sequence},"at_ms":{at_ms},"at":"{at}","actor":{actor},"action":{action},"subject":{subject},"details":{details},"previous":"{previous}","hash":"{hash}"}}"#
                )
            }
            Self::Csv => {
                let [actor, action, subject, details] = texts.map(|text| text.replace('"', "\"\""));
                write!(
                    into,
                    "{sequence},{at_ms},{at},\"{actor}\",\"{action}\",\"{subject}\",\"{details}\",{previous},{hash}\r\n"
                )
            }
        };
    }
}

/// A row as it was read. Nothing of it is believed yet.
pub(super) struct Row<'a> {
    pub(super) sequence: u64,
    pub(super) at_ms: i64,
    /// Actor, action, subject, details.
    pub(super) texts: [Cow<'a, str>; 4],
    pub(super) previous: &'a str,
    pub(super) hash: &'a str,
}

/// At which byte of a row, from 0, it is not written as [`Format::write`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread(pub(super) usize);

impl<'a> Row<'a> {
    /// Reads one row, its end included.
    pub(super) fn read(format: Format, text: &'a str) -> Result<Self, Unread> {
        let mut cursor = Cursor { text, at: 0 };
        let row = match format {
            Format::Ndjson => cursor.ndjson(),
            Format::Csv => cursor.csv(),
        };
        row.filter(|_| cursor.at == text.len()).ok_or(Unread(cursor.at))
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn ndjson(&mut self) -> Option<Row<'a>> {
        self.literal("{\"sequence\":")?;
        let sequence = self.number()?;
        self.literal(",\"at_ms\":")?;
        let at_ms = self.number()?;
        self.literal(",\"at\":\"")?;
        self.moment(at_ms)?;
        self.literal("\",\"actor\":\"")?;
        let actor = self.json_text()?;
        self.literal(",\"action\":\"")?;
        let action = self.json_text()?;
        self.literal(",\"subject\":\"")?;
        let subject = self.json_text()?;
        self.literal(",\"details\":\"")?;
        let details = self.json_text()?;
        self.literal(",\"previous\":\"")?;
        let previous = self.hex()?;
        self.literal("\",\"hash\":\"")?;
        let hash = self.hex()?;
        self.literal("\"}\n")?;
        Some(Row { sequence, at_ms, texts: [actor, action, subject, details], previous, hash })
    }

    fn csv(&mut self) -> Option<Row<'a>> {
        let sequence = self.number()?;
        self.literal(",")?;
        let at_ms = self.number()?;
        self.literal(",")?;
        self.moment(at_ms)?;
        self.literal(",\"")?;
        let actor = self.csv_text()?;
        self.literal(",\"")?;
        let action = self.csv_text()?;
        self.literal(",\"")?;
        let subject = self.csv_text()?;
        self.literal(",\"")?;
        let details = self.csv_text()?;
        self.literal(",")?;
        let previous = self.hex()?;
        self.literal(",")?;
        let hash = self.hex()?;
        self.literal("\r\n")?;
        Some(Row { sequence, at_ms, texts: [actor, action, subject, details], previous, hash })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn literal(&mut self, wanted: &str) -> Option<()> {
        self.rest().starts_with(wanted).then(|| self.at += wanted.len())
    }

    /// A number in its one way of writing.
    fn number<T: std::str::FromStr + std::fmt::Display>(&mut self) -> Option<T> {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit() && byte != b'-').unwrap_or(rest.len());
        let digits = rest.get(..end)?;
        let number = digits.parse::<T>().ok().filter(|number| number.to_string() == digits)?;
        self.at += end;
        Some(number)
    }

    /// The moment that those milliseconds are. It is there for people, and not hashed, so it may not say something else.
    fn moment(&mut self, at_ms: i64) -> Option<()> {
        self.literal(&Timestamp(at_ms).to_string())
    }

    fn hex(&mut self) -> Option<&'a str> {
        let hex = self.rest().get(..64)?;
        hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then(|| self.at += 64)?;
        Some(hex)
    }

    /// What follows a quote, and that which ends it.
    fn json_text(&mut self) -> Option<Cow<'a, str>> {
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let end = memchr2(b'"', b'\\', rest.as_bytes())?;
            let plain = rest.get(..end)?;
            if let Some(control) = plain.bytes().position(|byte| byte < b' ') {
                self.at += control;
                return None;
            }
            if text.is_empty() {
                text = Cow::Borrowed(plain);
            } else {
                text.to_mut().push_str(plain);
            }
            self.at += end;
            if self.literal("\"").is_some() {
                return Some(text);
            }
            let (escape, letter) = escaped(self.rest())?;
            text.to_mut().push(letter);
            self.at += escape;
        }
    }

    /// What follows a quote, and that which ends it: not one that is doubled.
    fn csv_text(&mut self) -> Option<Cow<'a, str>> {
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let end = rest.find('"')?;
            let plain = rest.get(..end)?;
            if text.is_empty() {
                text = Cow::Borrowed(plain);
            } else {
                text.to_mut().push_str(plain);
            }
            self.at += end + 1;
            if self.literal("\"").is_none() {
                return Some(text);
            }
            text.to_mut().push('"');
        }
    }
}

/// The length of an escape of JSON and what it stands for. Each letter has one: the short one, where there is one.
fn escaped(rest: &str) -> Option<(usize, char)> {
    let letter = match rest.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let code = rest.strip_prefix("\\u00")?.get(..2)?;
            // `from_str_radix` alone would take a sign, too.
            let is_written_so = code.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let code = u8::from_str_radix(code, 16).ok().filter(|code| is_written_so && *code < b' ')?;
            return (!matches!(code, 8 | 9 | 10 | 12 | 13)).then_some((6, char::from(code)));
        }
        _ => return None,
    };
    Some((2, letter))
}
