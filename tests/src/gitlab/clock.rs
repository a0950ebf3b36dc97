//! The time, in the formats that GitLab writes, and the random numbers behind its identifiers.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Milliseconds since 1970: the precision of GitLab's API.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "a native server; nothing here is linked into wasm")]
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set to a time after 1970");
        Self(i64::try_from(since.as_millis()).expect("the clock is set to a time before the year 292 million"))
    }

    pub(super) fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// `2023-01-10T13:50:02.123Z`, as in the REST API.
    pub(super) fn iso(self) -> String {
        let (date, clock) = self.parts();
        format!("{date}T{clock}.{:03}Z", self.0.rem_euclid(1000))
    }

    /// `2023-01-10 13:50:02 UTC`, as in most webhooks.
    pub(super) fn utc(self) -> String {
        let (date, clock) = self.parts();
        format!("{date} {clock} UTC")
    }

    /// `2023-01-10 13:50:02 +0000`, as in Deployment Hooks.
    pub(super) fn offset(self) -> String {
        let (date, clock) = self.parts();
        format!("{date} {clock} +0000")
    }

    fn parts(self) -> (String, String) {
        let at = OffsetDateTime::from_unix_timestamp(self.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (
            format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
            format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
        )
    }
}

/// Seconds between two moments, when both are known.
#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^52 milliseconds")]
pub(super) fn seconds_between(from: Option<Moment>, to: Option<Moment>) -> Option<f64> {
    Some((to?.0 - from?.0) as f64 / 1000.0)
}

/// A random UUID, version 4.
pub(super) fn uuid() -> String {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// A new secret with GitLab's kind of prefix, 20 random bytes long.
pub(super) fn secret(prefix: &str) -> String {
    let mut bytes = [0; 20];
    OsRng.fill_bytes(&mut bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_each_of_gitlabs_formats() {
        let moment = Moment(1_673_358_602_045);
        assert_eq!(moment.iso(), "2023-01-10T13:50:02.045Z");
        assert_eq!(moment.utc(), "2023-01-10 13:50:02 UTC");
        assert_eq!(moment.offset(), "2023-01-10 13:50:02 +0000");
    }

    #[test]
    fn a_uuid_has_version_4_and_does_not_repeat() {
        let (one, two) = (uuid(), uuid());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
    }
}
