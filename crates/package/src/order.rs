//! Which of two versions of a package is the higher one, as the installing machine will see it.
//!
//! Debian's order is that of its policy manual, section 5.6.12; RPM's is that of `rpmvercmp`. Neither is that of numbers or text:
//! `1.0~rc1` is lower than `1.0`, `1.10` higher than `1.9`, and a letter after a number means one thing to the one and another to
//! the other. An epoch is no part of a file's name, so it is not seen here.

use std::cmp::Ordering;
use std::fmt;

use crate::{Filename, PackageKind};

/// The version in a package's file name: `3.1.0-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageVersion {
    kind: PackageKind,
    version: String,
    release: String,
}

/// How much of a version two have in common when they belong to one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// Nothing: all are one.
    All,
    /// The first number.
    Major,
    /// The first two.
    Minor,
}

impl Filename {
    /// The version that the name tells. `None` when it is not of the form of its kind.
    pub fn version(&self) -> Option<PackageVersion> {
        let kind = self.kind()?;
        let (version, release) = match kind {
            PackageKind::Deb => {
                let (front, _) = self.as_str().strip_suffix(".deb")?.rsplit_once('_')?;
                let (_, version) = front.split_once('_')?;
                let version = ["%3a", "%3A", ":"]
                    .into_iter()
                    .find_map(|colon| version.split_once(colon))
                    .map_or(version, |(_, rest)| rest);
                // All but the last `-` belong to the upstream version.
                version.rsplit_once('-').unwrap_or((version, ""))
            }
            PackageKind::Rpm => {
                let (front, _) = self.as_str().strip_suffix(".rpm")?.rsplit_once('.')?;
                let (front, release) = front.rsplit_once('-')?;
                let (_, version) = front.rsplit_once('-')?;
                (version, release)
            }
        };
        (!version.is_empty()).then(|| PackageVersion { kind, version: version.to_owned(), release: release.to_owned() })
    }
}

impl PackageVersion {
    /// How it stands to another. `None` between a deb and an rpm.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let parts = |compare: fn(&str, &str) -> Ordering| {
            compare(&self.version, &other.version).then_with(|| compare(&self.release, &other.release))
        };
        match (self.kind, other.kind) {
            (PackageKind::Deb, PackageKind::Deb) => Some(parts(debian)),
            (PackageKind::Rpm, PackageKind::Rpm) => Some(parts(rpm)),
            _ => None,
        }
    }

    /// Whether both are of one series: their first numbers are the same.
    pub fn shares(&self, series: Series, other: &Self) -> bool {
        let count = match series {
            Series::All => 0,
            Series::Major => 1,
            Series::Minor => 2,
        };
        let numbers = |of: &Self| -> Vec<String> {
            let words = of.version.split(|letter: char| !letter.is_ascii_digit());
            words.take(count).map(|digits| digits.trim_start_matches('0').to_owned()).collect()
        };
        numbers(self) == numbers(other)
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.release.is_empty() {
            f.write_str(&self.version)
        } else {
            write!(f, "{}-{}", self.version, self.release)
        }
    }
}

/// The beginning of a text of which all bytes are like this, and the rest.
fn span(text: &[u8], is_like: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !is_like(*byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// Numbers of any length.
fn numbers(one: &[u8], other: &[u8]) -> Ordering {
    let [one, other] = [one, other].map(|digits| span(digits, |byte| byte == b'0').1);
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// What is no number and what is one, in turn. Of what is none, `~` is lower than the end, letters than all else.
fn debian(one: &str, other: &str) -> Ordering {
    let rank = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(sign) => i32::from(*sign) + 256,
    };
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while !(one.is_empty() && other.is_empty()) {
        let [(words, rest), (other_words, other_rest)] =
            [one, other].map(|text| span(text, |byte| !byte.is_ascii_digit()));
        for place in 0..words.len().max(other_words.len()) {
            let by_rank = rank(words.get(place)).cmp(&rank(other_words.get(place)));
            if by_rank.is_ne() {
                return by_rank;
            }
        }
        let (digits, rest) = span(rest, |byte| byte.is_ascii_digit());
        let (other_digits, other_rest) = span(other_rest, |byte| byte.is_ascii_digit());
        let by_number = numbers(digits, other_digits);
        if by_number.is_ne() {
            return by_number;
        }
        (one, other) = (rest, other_rest);
    }
    Ordering::Equal
}

/// Numbers and words in turn, whatever parts them. A number is higher than a word; `~` is lower than the end, `^` higher than the
/// end and lower than anything else.
fn rpm(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'~' || byte == b'^';
    loop {
        [one, other] = [one, other].map(|text| span(text, |byte| !is_part(byte)).1);
        match (one.first(), other.first()) {
            (None, None) => return Ordering::Equal,
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                [one, other] = [one, other].map(|text| text.split_at(1).1);
            }
            (Some(b'~'), _) | (None, Some(b'^')) => return Ordering::Less,
            (_, Some(b'~')) | (Some(b'^'), None) => return Ordering::Greater,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(first), Some(other_first)) => {
                let is_number = first.is_ascii_digit();
                if is_number != other_first.is_ascii_digit() {
                    return if is_number { Ordering::Greater } else { Ordering::Less };
                }
                let like = |byte: u8| if is_number { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
                let ((part, rest), (other_part, other_rest)) = (span(one, like), span(other, like));
                let by_part = if is_number { numbers(part, other_part) } else { part.cmp(other_part) };
                if by_part.is_ne() {
                    return by_part;
                }
                (one, other) = (rest, other_rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str) -> PackageVersion {
        name.parse::<Filename>().expect("a name").version().unwrap_or_else(|| panic!("{name} tells a version"))
    }

    #[test]
    fn a_file_name_tells_its_version() {
        for (name, expected) in [
            ("tug_3.1.0-1_amd64.deb", "3.1.0-1"),
            ("tug_3.1.0_all.deb", "3.1.0"),
            ("tug_1%3a3.1.0-1_amd64.deb", "3.1.0-1"),
            ("tug-ce_17.3.1-rc1-ce.0_amd64.deb", "17.3.1-rc1-ce.0"),
            ("tug-ee-17.3.1-ee.0.el9.x86_64.rpm", "17.3.1-ee.0.el9"),
        ] {
            assert_eq!(version(name).to_string(), expected, "{name}");
        }
        for name in ["tug.deb", "tug_amd64.deb", "tug.rpm", "tug-1.rpm", "tug_3.1.0-1_amd64.tar"] {
            assert_eq!(name.parse::<Filename>().expect("a name").version(), None, "{name}");
        }
    }

    #[test]
    fn the_order_of_debs_is_that_of_debians_policy() {
        // Each lower than the next; the first five are the policy's own example.
        let ordered = [
            "1~~", "1~~a", "1~", "1", "1a", "1a0b", "1+b1", "1.0", "1.1~rc1", "1.1", "1.1-1", "1.1-1+b2", "1.1-2",
            "1.9", "1.10", "2.0-1", "10.0",
        ];
        for (place, low) in ordered.iter().enumerate() {
            for (other_place, high) in ordered.iter().enumerate() {
                let of = |text: &str| version(&format!("tug_{text}_amd64.deb"));
                assert_eq!(of(low).compare(&of(high)), Some(place.cmp(&other_place)), "{low} and {high}");
            }
        }
        assert_eq!(debian("1.01", "1.1"), Ordering::Equal);
    }

    #[test]
    fn the_order_of_rpms_is_that_of_rpms_own_tests() {
        // From `tests/rpmvercmp.at` of rpm.
        for (one, sign, other) in [
            ("1.0", '=', "1.0"),
            ("1.0", '<', "2.0"),
            ("2.0.1", '>', "2.0"),
            ("2.0.1a", '>', "2.0.1"),
            ("5.5p1", '<', "5.5p2"),
            ("5.5p10", '>', "5.5p1"),
            ("10xyz", '<', "10.1xyz"),
            ("xyz10", '<', "xyz10.1"),
            ("xyz.4", '<', "8"),
            ("5.5p2", '<', "5.6p1"),
            ("6.0.rc1", '>', "6.0"),
            ("10b2", '>', "10a1"),
            ("1.0a", '<', "1.0aa"),
            ("10.0001", '=', "10.1"),
            ("10.0001", '<', "10.0039"),
            ("4.999.9", '<', "5.0"),
            ("20101122", '>', "20101121"),
            ("2_0", '=', "2.0"),
            ("a+", '=', "a_"),
            ("+a", '=', "_a"),
            ("+_", '=', "_+"),
            ("1.0~rc1", '<', "1.0"),
            ("1.0~rc1", '<', "1.0~rc2"),
            ("1.0~rc1~git123", '<', "1.0~rc1"),
            ("1.0^", '>', "1.0"),
            ("1.0^git1", '>', "1.0"),
            ("1.0^git1", '<', "1.0^git2"),
            ("1.0^git1", '<', "1.01"),
            ("1.0^20160101", '<', "1.0.1"),
            ("1.0^20160101^git1", '>', "1.0^20160101"),
            ("1.0~rc1^git1", '>', "1.0~rc1"),
            ("1.0^git1~pre", '<', "1.0^git1"),
        ] {
            let expected = match sign {
                '<' => Ordering::Less,
                '>' => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(rpm(one, other), expected, "{one} {sign} {other}");
            assert_eq!(rpm(other, one), expected.reverse(), "{other} and {one}");
        }
        let of = |text: &str| version(&format!("tug-{text}.x86_64.rpm"));
        assert_eq!(of("1.0-2.el9").compare(&of("1.0-10.el9")), Some(Ordering::Less));
        assert_eq!(of("1.0-1").compare(&version("tug_1.0-1_amd64.deb")), None);
    }

    /// All texts of up to four of the signs that orders treat differently.
    fn texts() -> Vec<String> {
        let signs = ["0", "1", "9", "a", "~", "^", "."];
        let mut texts = vec![String::new()];
        let mut longer = texts.clone();
        for _ in 0..3 {
            longer = longer.iter().flat_map(|text| signs.map(|sign| format!("{text}{sign}"))).collect();
            texts.extend(longer.clone());
        }
        texts
    }

    #[test]
    fn both_are_orders_two_that_are_swapped_are_reversed_and_three_never_go_round() {
        let texts = texts();
        assert_eq!(texts.len(), 1 + 7 + 49 + 343);
        for compare in [debian, rpm] {
            for one in &texts {
                for other in &texts {
                    assert_eq!(compare(one, other), compare(other, one).reverse(), "{one} and {other}");
                }
            }
            // Sorted by it, every one is at most as high as every later one.
            let mut sorted = texts.clone();
            sorted.sort_by(|one, other| compare(one, other));
            for (place, low) in sorted.iter().enumerate() {
                for high in sorted.iter().skip(place) {
                    assert!(compare(low, high).is_le(), "{low} and {high}");
                }
            }
        }
    }

    #[test]
    fn a_series_is_what_the_first_numbers_say() {
        let of = |text: &str| version(&format!("tug_{text}-1_amd64.deb"));
        for (one, other, shared) in [
            ("17.2.5", "17.2.9", [true, true, true]),
            ("17.2.5", "17.3.0", [true, true, false]),
            ("17.2.5", "18.2.5", [true, false, false]),
            ("17.02", "17.2~rc1", [true, true, true]),
        ] {
            let found = [Series::All, Series::Major, Series::Minor].map(|series| of(one).shares(series, &of(other)));
            assert_eq!(found, shared, "{one} and {other}");
        }
    }
}
