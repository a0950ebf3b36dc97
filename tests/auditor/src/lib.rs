//! The auditor: a second program that judges what Slipway did, from what others can see.
//!
//! It is given the audit that each project exports, the journal of the package server, and what anybody gets from the public
//! repositories and registries. From these alone it derives again what Slipway promises:
//!
//! 1. every byte that was published was approved before, by its digest, for its target;
//! 2. nothing public was overwritten;
//! 3. nothing was published twice;
//! 4. what is served is what was published, byte for byte;
//! 5. what the audit calls released was published, and is served, unless somebody took it away;
//! 6. what was deleted for Slipway has a row in the audit that says so, and what was taken back is not served;
//! 7. the audit itself is whole: no row is missing, changed or out of order.
//!
//! The same of images: a tag that Slipway has set leads to what was approved for it, a final one is set once and has never led
//! to anything else, and one that floats leads to something that is released.
//!
//! It shares no code with Slipway but the crates for a hash and for unpacking gzip and zstd (`flate2`, `ruzstd`), on purpose:
//! what both of them got wrong together, neither would find. So it has its own reader of indexes, its own idea of what a name is, and its own arithmetic of the audit's bytes, written from
//! `docs/audit.md`. It is kept small enough to be read in one sitting.

mod audits;
mod images;
mod journal;
mod public;
mod registry;
mod rules;

pub use audits::{Audit, Row};
pub use journal::{Entry, entries};
pub use public::{Listed, read_index};
pub use registry::{Image, Push, Tagged, pushes, read_images, tagged};
pub use rules::{Evidence, Finding, judge};

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes, as 64 hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Milliseconds since 1970 of a time such as `2026-11-02T09:14:05.000Z`.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fraction = text.get(19..).and_then(|rest| rest.strip_prefix('.')).map_or("", |rest| rest.trim_end_matches('Z'));
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days since 1970 in the civil calendar: years begin in March, so that a leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_milliseconds_since_1970() {
        // date -u -d '2026-11-02T09:14:05Z' +%s
        assert_eq!(milliseconds("2026-11-02T09:14:05.007Z"), Some(1_793_610_845_007));
        assert_eq!(milliseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(milliseconds("2024-02-29T00:00:00.5Z"), Some(1_709_164_800_500));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
