//! Tags that move: `latest`, `17.3`, `rc`. Every other tag is final.
//!
//! A floating tag names the newest image that its rule allows, so it only ever moves forward. What an image's version is,
//! its own tags say: a registry keeps no order.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use slipway_wire::{Planted, planted};

use crate::name::Tag;

/// Which versions a floating tag may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floating {
    /// The tag.
    pub tag: Tag,
    /// Whether it names candidates too, such as `17.3.0-rc1`.
    pub candidates: bool,
    /// The beginning that versions must have, in whole numbers: `17.3` for `17.3.1`, and not for `17.30.0`.
    pub series: Vec<u64>,
}

/// A version as tags write it: numbers, and perhaps what comes before its final one.
///
/// Semantic Versioning 2.0.0, 11: a pre-release is older than its final version, numbers in it are compared as numbers and
/// are older than words. Beyond it, a number at the end of a word is one too, so that `rc10` is newer than `rc9`; a `v` in
/// front is left out; and any number of numbers is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    numbers: Vec<u64>,
    before: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Numbered {
    /// Reads a tag. `None` for one that is no version, such as `latest`.
    pub fn read(tag: &str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let numbers = numbers.split('.').map(number).collect::<Option<Vec<u64>>>()?;
        let parts = before.map(|before| before.split('.').map(parts).collect::<Option<Vec<_>>>());
        let before = match parts {
            Some(parts) => parts?.into_iter().flatten().collect(),
            None => Vec::new(),
        };
        Some(Self { numbers, before })
    }

    /// Its numbers: major, minor, patch, and whatever follows.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// Whether it comes before its final version.
    pub fn is_candidate(&self) -> bool {
        !self.before.is_empty()
    }

    /// Its first numbers, so many: those that a series has in common.
    pub fn beginning(&self, count: usize) -> Vec<u64> {
        let numbers = self.numbers.iter().copied().chain(std::iter::repeat(0));
        numbers.take(count).collect()
    }

    fn is_of(&self, series: &[u64]) -> bool {
        self.numbers.starts_with(series)
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A pre-release's part: a number, or a word with perhaps a number at its end.
fn parts(text: &str) -> Option<Vec<Part>> {
    let word = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = text.get(word.len()..)?;
    let word = (!word.is_empty()).then(|| Part::Word(word.to_owned()));
    let number = if digits.is_empty() { None } else { Some(Part::Number(digits.parse().ok()?)) };
    (!text.is_empty()).then(|| word.into_iter().chain(number).collect())
}

impl PartialOrd for Numbered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numbered {
    fn cmp(&self, other: &Self) -> Ordering {
        // `17.3` and `17.3.0` are one version; so the shorter one is filled up.
        let length = self.numbers.len().max(other.numbers.len());
        let filled = |numbers: &[u64]| {
            let mut numbers = numbers.to_vec();
            numbers.resize(length, 0);
            numbers
        };
        let finality = match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.before.cmp(&other.before),
        };
        filled(&self.numbers).cmp(&filled(&other.numbers)).then(finality)
    }
}

/// What becomes of a floating tag when an image is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It names the image from now on.
    Forward,
    /// It stays: a newer version is public already.
    Stays {
        /// The newest of them.
        newest: Tag,
    },
    /// Its rule does not allow this version.
    NotFor,
}

impl Floating {
    /// The version of a tag that this one may name.
    fn allowed(&self, tag: &Tag) -> Option<Numbered> {
        let version = Numbered::read(tag.as_str())?;
        let fits = version.is_of(&self.series) && (self.candidates || !version.is_candidate());
        (fits && *tag != self.tag).then_some(version)
    }
}

fn of_newest<'a>(floating: &Floating, public: &'a BTreeSet<Tag>) -> Option<(Numbered, &'a Tag)> {
    public.iter().filter_map(|tag| Some((floating.allowed(tag)?, tag))).max()
}

/// The newest version that a floating tag may name: where it leads when all of these were released one after another.
pub fn newest<'a>(floating: &Floating, public: &'a BTreeSet<Tag>) -> Option<&'a Tag> {
    of_newest(floating, public).map(|(_, tag)| tag)
}

/// Decides. `released` is the image's own final tag, `public` the tags that the public repository has.
pub fn moves(floating: &Floating, released: &Tag, public: &BTreeSet<Tag>) -> Move {
    let Some(version) = floating.allowed(released) else { return Move::NotFor };
    match of_newest(floating, public) {
        Some((newest, tag)) if newest > version && !planted(Planted::FloatsBack) => Move::Stays { newest: tag.clone() },
        _ => Move::Forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of Semantic Versioning 2.0.0, 11, and of what registries hold beside it.
    #[test]
    fn versions_have_the_order_of_semantic_versioning() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0-rc2",
            "1.0.0-rc10",
            "1.0.0-rc.11",
            "1.0.0",
            "1.0.1",
            "1.9.0",
            "v1.10.0",
            "2.0.0",
        ];
        for (index, older) in order.iter().enumerate() {
            for newer in order.iter().enumerate().filter(|(other, _)| *other > index).map(|(_, newer)| newer) {
                assert!(Numbered::read(older) < Numbered::read(newer), "{older} {newer}");
            }
        }
        assert_eq!(Numbered::read("17.3").cmp(&Numbered::read("17.3.0")), Ordering::Equal);
    }

    #[test]
    fn what_is_no_version_is_none() {
        for tag in ["latest", "", "v", "17.", ".3", "17..3", "17.x", "sha256-00", "17.3.1-", "99999999999999999999"] {
            assert_eq!(Numbered::read(tag), None, "{tag}");
        }
    }

    /// One case a line: the floating tag and its rule, what is released, what is public, and what follows.
    #[test]
    fn a_floating_tag_moves_forward_alone_and_by_its_rule() {
        let cases = "
            latest any   final       17.3.1       public -                    => Forward
            latest any   final       17.3.1       public 17.3.0 16.11.9       => Forward
            latest any   final       17.3.1       public 17.3.1 17.3.0        => Forward
            latest any   final       16.11.10     public 17.3.1 16.11.9       => Stays 17.3.1
            latest any   final       17.3.0       public 17.10.0              => Stays 17.10.0
            latest any   final       17.4.0-rc1   public 17.3.1               => NotFor
            latest any   final       17.3.1       public 17.4.0-rc1 latest rc => Forward
            latest any   final       nightly      public 17.3.1               => NotFor
            17.3   17.3  final       17.3.2       public 17.3.1 17.4.0 17.3   => Forward
            17.3   17.3  final       17.30.0      public 17.3.1               => NotFor
            17.3   17.3  final       17.3.1       public 17.3.2 17.3          => Stays 17.3.2
            17     17    final       17.3.1       public 18.0.0 17            => Forward
            rc     any   candidates  17.4.0-rc2   public 17.4.0-rc1           => Forward
            rc     any   candidates  17.4.0-rc9   public 17.4.0-rc10          => Stays 17.4.0-rc10
            rc     any   candidates  17.4.0       public 17.4.0-rc2           => Forward
            rc     any   candidates  17.4.0-rc2   public 17.4.0               => Stays 17.4.0
        ";
        for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (rule, expected) = line.split_once("=>").expect(line);
            let (rule, public) = rule.split_once("public").expect(line);
            let [tag, series, which, released] = rule.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let tags = |text: &str| {
                text.split_whitespace().filter(|tag| *tag != "-").map(|tag| tag.parse().expect(line)).collect()
            };
            let floating = Floating {
                tag: tag.parse().expect(line),
                candidates: which == "candidates",
                series: series.split('.').filter_map(|number| number.parse().ok()).collect(),
            };
            let found = match moves(&floating, &released.parse().expect(line), &tags(public)) {
                Move::Stays { newest } => format!("Stays {newest}"),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected.trim(), "{line}");
        }
    }
}
