//! What a page's form sends: names and values, as HTML has browsers write them.
//!
//! A field that is not understood is refused by its name, as in the API: left out, something else would be done than was meant.

use percent_encoding::percent_decode_str;

use crate::body::BadBody;
use crate::release::Key;
use crate::time::{InvalidTimestamp, Timestamp};

/// A person's word on a release, and what they saw when they gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// The packages that are meant. None: the release as a whole.
    pub keys: Vec<Key>,
    /// Why.
    pub reason: String,
    /// Until when, as they wrote it.
    pub until: String,
    /// The mark of what the form said that it would do.
    pub seen: String,
    /// The time of the data that they saw.
    pub at: String,
}

/// Reads a form that was sent.
pub fn read(body: &[u8]) -> Result<Posted, BadBody> {
    let body = std::str::from_utf8(body).map_err(|_| BadBody::Whole("it is no text".to_owned()))?;
    let mut posted = Posted::default();
    let mut once: Vec<String> = Vec::new();
    for (name, value) in pairs(body) {
        let field = |why: &str| BadBody::Field { at: name.chars().take(40).collect(), why: why.to_owned() };
        let into = match name.as_str() {
            "keys" => {
                posted.keys.push(value.parse().map_err(|error| field(&format!("{error}")))?);
                continue;
            }
            "reason" => &mut posted.reason,
            "until" => &mut posted.until,
            "seen" => &mut posted.seen,
            "at" => &mut posted.at,
            _ => return Err(field("there is no such field")),
        };
        *into = value;
        if once.contains(&name) {
            return Err(field("it is there twice"));
        }
        once.push(name);
    }
    Ok(posted)
}

/// The packages that an address asks a form for. Others leave out what they do not know, so that an old link still works.
pub fn keys(query: &str) -> Vec<Key> {
    let named = pairs(query).filter(|(name, _)| name == "keys");
    named.filter_map(|(_, value)| value.parse().ok()).collect()
}

/// A moment as browsers have people write it, which is meant in UTC, or as RFC 3339 does.
pub fn moment(text: &str) -> Result<Timestamp, InvalidTimestamp> {
    let text = text.trim();
    // `2027-01-01T08:00`, and with seconds.
    let whole = match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    whole.parse().or_else(|_| text.parse())
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_which_packages_why_and_until_when() {
        let sent = b"keys=rope&keys=el9-amd64&reason=a+smell+%26+more%3D%C3%A9&until=2027-01-01T08%3A00&seen=abc&at=t&";
        let expected = Posted {
            keys: vec!["rope".parse().expect("a key"), "el9-amd64".parse().expect("a key")],
            reason: "a smell & more=\u{e9}".to_owned(),
            until: "2027-01-01T08:00".to_owned(),
            seen: "abc".to_owned(),
            at: "t".to_owned(),
        };
        assert_eq!(read(sent), Ok(expected));
        assert_eq!(read(b""), Ok(Posted::default()));
        assert_eq!(read(b"reason=&until="), Ok(Posted::default()));
    }

    #[test]
    fn a_field_that_is_not_understood_is_refused_by_its_name() {
        for (sent, at) in [
            ("raeson=x", "raeson"),
            ("reason=x&reason=y", "reason"),
            ("reason=x&reason=", "reason"),
            ("keys=Not+A+Key", "keys"),
            ("keys=", "keys"),
            ("reason=x&%00=1", "\0"),
        ] {
            assert!(matches!(read(sent.as_bytes()), Err(BadBody::Field { at: field, .. }) if field == at), "{sent}");
        }
        assert!(matches!(read(&[0xff, b'=']), Err(BadBody::Whole(_))));
    }

    #[test]
    fn an_address_names_packages_and_whatever_else_it_has_is_left_out() {
        let named: Vec<String> =
            keys("keys=rope&state=failed&keys=No%20Key&keys=sail").iter().map(ToString::to_string).collect();
        assert_eq!(named, ["rope", "sail"]);
        assert!(keys("").is_empty());
    }

    #[test]
    fn what_a_person_writes_of_a_moment_is_in_utc() {
        for (text, expected) in [
            ("2027-01-01T08:00", "2027-01-01T08:00:00.000Z"),
            ("2027-01-01T08:00:30", "2027-01-01T08:00:30.000Z"),
            // Where a browser has no field for it, people write it themselves.
            ("2027-01-01 08:00", "2027-01-01T08:00:00.000Z"),
            (" 2027-01-01T08:00 ", "2027-01-01T08:00:00.000Z"),
            ("2027-01-01T08:00:00Z", "2027-01-01T08:00:00.000Z"),
            ("2027-01-01T08:00:00+01:00", "2027-01-01T07:00:00.000Z"),
        ] {
            assert_eq!(moment(text).map(|moment| moment.to_string()).ok().as_deref(), Some(expected), "{text}");
        }
        for text in ["", "2027-01-01", "tomorrow", "2027-13-01T08:00", "2027-01-01T25:00", "2027-01-01T08"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
