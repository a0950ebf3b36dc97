//! The one place that reads the clock: everything else is given the time.

use time::OffsetDateTime;

/// A moment, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// What the machine's clock says.
    pub(crate) fn now() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a native server, and this is where it reads the clock")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// A date of a file.
    pub(crate) fn of(time: std::time::SystemTime) -> Self {
        let since = time.duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` until this moment, 0 when it is already past.
    pub(crate) fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// ISO 8601 with milliseconds and `Z`, as packagecloud writes `created_at`.
    pub(crate) fn iso(self) -> String {
        let at = self.in_utc();
        let (date, ms) = (at.date(), at.millisecond());
        let (hour, minute, second) = at.to_hms();
        format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }

    /// The form that a `Release` file wants: RFC 2822 in UTC.
    pub(crate) fn release_date(self) -> String {
        let at = self.in_utc();
        let (hour, minute, second) = at.to_hms();
        let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
        let (day, year) = (at.day(), at.year());
        format!("{weekday:.3}, {day:02} {month:.3} {year} {hour:02}:{minute:02}:{second:02} UTC")
    }

    /// The form that headers of HTTP want: the same, in GMT by name.
    pub(crate) fn http_date(self) -> String {
        self.release_date().replace("UTC", "GMT")
    }

    fn in_utc(self) -> OffsetDateTime {
        let nanos = i128::from(self.0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("a clock is between 1970 and 9999")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_milliseconds_and_as_a_release_date() {
        let moment = Moment(1_793_610_845_007);
        assert_eq!(moment.iso(), "2026-11-02T09:14:05.007Z");
        assert_eq!(moment.release_date(), "Mon, 02 Nov 2026 09:14:05 UTC");
    }
}
