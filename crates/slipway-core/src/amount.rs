//! Amounts of bytes and stretches of time, as people read them. The same words on the page and on the command line.

use std::time::Duration;

/// The decimal units, from the smallest on.
const UNITS: [(u64, &str); 5] =
    [(1, "B"), (1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")];

/// The unit in which an amount is shown: the first in which it is not rounded to 1000.0.
fn unit(bytes: u64) -> (u64, &'static str) {
    // 999.95 kB would be rounded to 1000.0 kB: leave that to the next unit.
    UNITS.into_iter().find(|(unit, _)| bytes < unit * 1000 - unit / 20).unwrap_or((1_000_000_000_000, "TB"))
}

/// An amount in a unit, with one digit after the point.
fn number(bytes: u64, unit: u64) -> String {
    if unit == 1 {
        return bytes.to_string();
    }
    let tenths = bytes / (unit / 10) + u64::from(bytes % (unit / 10) >= unit / 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A size in bytes, in decimal units with one digit after the point: `24.3 kB`.
pub fn size(bytes: u64) -> String {
    let (unit, name) = unit(bytes);
    format!("{} {name}", number(bytes, unit))
}

/// A part of a whole, both in the unit of the whole: `123.0 of 456.0 MB`.
pub fn part(bytes: u64, whole: u64) -> String {
    let (unit, name) = unit(whole);
    format!("{} of {} {name}", number(bytes, unit), number(whole, unit))
}

/// How much of a whole a part is. Never 100 before it is all of it.
pub fn percent(bytes: u64, whole: u64) -> u64 {
    if bytes >= whole {
        return 100;
    }
    // Of what is too large to be multiplied, a hundredth is exact enough.
    bytes
        .checked_mul(100)
        .map_or_else(|| bytes / (whole / 100).max(1), |hundredfold| hundredfold / whole.max(1))
        .min(99)
}

/// A stretch of time in its largest unit or two: `45 s`, `4 min`, `2 h 5 min`.
pub fn stretch(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..90 => format!("{seconds} s"),
        // Half a minute more or less is nobody's business here.
        90..3_570 => format!("{} min", (seconds + 30) / 60),
        _ => {
            let minutes = (seconds + 30) / 60;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_digit_after_the_point() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (24_340, "24.3 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_250_000_000, "1.3 GB"),
            (5_000_000_000_000, "5.0 TB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!(size(u64::MAX), "18446744.1 TB");
    }

    #[test]
    fn a_part_is_shown_in_the_unit_of_its_whole() {
        for (bytes, whole, shown) in [
            (0, 456_000_000, "0.0 of 456.0 MB"),
            (123_040_000, 456_000_000, "123.0 of 456.0 MB"),
            (950_000, 1_470_000_000, "0.0 of 1.5 GB"),
            (3, 999, "3 of 999 B"),
        ] {
            assert_eq!(part(bytes, whole), shown);
        }
    }

    #[test]
    fn nothing_is_done_before_all_of_it_is() {
        for (bytes, whole, shown) in [
            (0, 10, 0),
            (1, 3, 33),
            (999, 1_000, 99),
            (1_000, 1_000, 100),
            (11, 10, 100),
            (0, 0, 100),
            (u64::MAX - 1, u64::MAX, 99),
        ] {
            assert_eq!(percent(bytes, whole), shown, "{bytes} of {whole}");
        }
    }

    #[test]
    fn a_stretch_of_time_has_as_many_units_as_matter() {
        for (seconds, shown) in [
            (0, "0 s"),
            (89, "89 s"),
            (90, "2 min"),
            (250, "4 min"),
            (3_569, "59 min"),
            (3_570, "1 h 0 min"),
            (7_500, "2 h 5 min"),
        ] {
            assert_eq!(stretch(Duration::from_secs(seconds)), shown);
        }
    }
}
