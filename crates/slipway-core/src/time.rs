//! Moments. The core reads no clock: every host passes the time in.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01 UTC, as hosts' clocks give them and as the ledger keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since 1970, as ID tokens count them.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; nothing when it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-23T10:04:11.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A moment may come from a file that somebody hands in, and RFC 3339 has no others.
        let moment = OffsetDateTime::from_unix_timestamp(self.unix_seconds()).ok();
        let moment = moment.filter(|moment| (0..=9999).contains(&moment.year())).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let seconds = moment.format(&Rfc3339).map_err(|_| fmt::Error)?;
        write!(f, "{}.{:03}Z", seconds.trim_end_matches('Z'), self.0.rem_euclid(1000))
    }
}

/// Text that is no moment.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no moment as RFC 3339 writes it, such as `2026-11-23T10:04:11.000Z`")]
pub struct InvalidTimestamp(String);

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment =
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp(text.chars().take(80).collect()))?;
        Ok(Self(i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_in_utc_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            // 2026-11-23 is 20,780 days after the epoch.
            (20_780 * 86_400_000 + 36_251_007, "2026-11-23T10:04:11.007Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
            assert_eq!(text.parse::<Timestamp>().expect(text), Timestamp(ms));
        }
    }

    #[test]
    fn a_moment_of_no_year_with_four_digits_prints_too() {
        // RFC 3339 knows the years from 0 to 9999: `date -u -d 0000-01-01 +%s` is -62167219200, 9999-12-31T23:59:59 is 253402300799.
        for (ms, text) in [
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "1970-01-01T00:00:00.999Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
            (253_402_300_800_000, "1970-01-01T00:00:00.000Z"),
            (i64::MIN, "1970-01-01T00:00:00.192Z"),
            (i64::MAX, "1970-01-01T00:00:00.807Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
    }
}
