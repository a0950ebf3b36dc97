//! The one place that reads the clock: everything else is given the time.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// ISO 8601 with milliseconds and `Z`, as packagecloud writes `created_at`.
const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The date form that a `Release` file wants (Debian policy: RFC 2822 in UTC).
const RELEASE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] UTC");

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

    pub(crate) fn iso(self) -> String {
        self.written(ISO)
    }

    pub(crate) fn release_date(self) -> String {
        self.written(RELEASE)
    }

    fn written(self, format: &[BorrowedFormatItem<'_>]) -> String {
        let nanos = i128::from(self.0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|moment| moment.format(format).ok())
            .expect("a clock between 1970 and 9999 can be written")
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
