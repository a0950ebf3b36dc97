//! What is known of a release, from a message that has all of it and those that have what changed since. Pure.
//!
//! The page itself says what the edge knew when it was made, so nothing is known here until the first message. One that
//! leaves a gap is not guessed at: then all of it is asked for.
//!
//! Numbers count changes of one record. A record that was put back to a time before counts from there again, and what it says
//! then is newer by its time, though not by its number. What is only late, or comes out of a cache, is older by both.

use slipway_core::api::{Package, Release};
use slipway_core::release::Key;

/// What the edge has said.
#[derive(Debug)]
pub(crate) struct Message {
    /// The sequence number since which it has what changed. `None`: it has all packages.
    pub(crate) after: Option<u64>,
    /// The release, with those of its packages that have changed, or with all.
    pub(crate) release: Release,
}

/// What a message has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Nothing: it is old.
    Nothing,
    /// Something that cannot be known from it.
    Unknown,
    /// All that is shown.
    All,
    /// These packages, and what is said of the release as a whole.
    Packages(Vec<Key>),
}

/// What is known.
pub(crate) struct Known {
    sequence: u64,
    /// When the edge read what is known last, as it writes times: the later one is the greater text.
    at: String,
    /// The newest change that anything was heard of.
    told: u64,
    release: Option<Release>,
}

impl Known {
    /// Of a page that was made at this sequence number, and at this time.
    pub(crate) fn new(sequence: u64, at: String) -> Self {
        Self { sequence, at, told: sequence, release: None }
    }

    /// The newest change that is shown.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether something newer was heard of than what is known.
    pub(crate) fn is_behind(&self) -> bool {
        self.sequence < self.told
    }

    /// The release as it is known now.
    pub(crate) fn release(&self) -> Option<&Release> {
        self.release.as_ref()
    }

    /// Takes a message in.
    pub(crate) fn take(&mut self, message: Message) -> Changed {
        let Message { after, mut release } = message;
        let is_new = release.sequence > self.sequence;
        let Some(after) = after else {
            let is_put_back = release.sequence < self.sequence && release.at > self.at;
            // What was asked for may be no newer than the page, and is known from now on.
            if release.sequence >= self.sequence || is_put_back {
                self.sequence = release.sequence;
                self.told = if is_put_back { release.sequence } else { self.told.max(release.sequence) };
                self.at.clone_from(&release.at);
                self.release = Some(release);
            }
            return if is_new || is_put_back { Changed::All } else { Changed::Nothing };
        };
        if !is_new {
            return Changed::Nothing;
        }
        self.told = self.told.max(release.sequence);
        // What was known already may be in it again.
        let Some(known) = self.release.as_mut().filter(|_| after <= self.sequence) else { return Changed::Unknown };
        self.sequence = release.sequence;
        self.at.clone_from(&release.at);
        // What every row depends on.
        let is_all = known.stopped != release.stopped || day(&known.at) != day(&release.at);
        let packages = std::mem::take(&mut known.packages);
        let changed = std::mem::replace(&mut release.packages, packages);
        *known = release;
        let keys = changed.iter().map(|package| package.key.clone()).collect();
        for package in changed {
            put(&mut known.packages, package);
        }
        if is_all { Changed::All } else { Changed::Packages(keys) }
    }
}

/// Puts a package where it belongs: they are in the order of their keys.
fn put(packages: &mut Vec<Package>, package: Package) {
    match packages.binary_search_by(|other| other.key.cmp(&package.key)) {
        Ok(at) => {
            if let Some(place) = packages.get_mut(at) {
                *place = package;
            }
        }
        Err(at) => packages.insert(at, package),
    }
}

/// The day of a time: `2026-11-23`.
fn day(at: &str) -> Option<&str> {
    at.get(..10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    /// A release of these packages, each with this many attempts.
    fn release(sequence: u64, packages: &[(&str, u32)]) -> Release {
        let mut release = examples::judged(examples::calm()).expect("an example");
        let one = release.packages.remove(0);
        release.packages.clear();
        for (key, attempts) in packages {
            let mut package = one.clone();
            package.key = key.parse().expect("a key");
            package.targets[0].attempts = *attempts;
            release.packages.push(package);
        }
        Release { sequence, verdict: format!("verdict {sequence}"), ..release }
    }

    fn whole(sequence: u64, packages: &[(&str, u32)]) -> Message {
        Message { after: None, release: release(sequence, packages) }
    }

    fn since(after: u64, sequence: u64, packages: &[(&str, u32)]) -> Message {
        Message { after: Some(after), release: release(sequence, packages) }
    }

    fn keys(names: &[&str]) -> Changed {
        Changed::Packages(names.iter().map(|name| name.parse().expect("a key")).collect())
    }

    /// What is known, as text.
    fn told(known: &Known) -> String {
        let Some(release) = known.release() else { return "nothing".to_owned() };
        let packages =
            release.packages.iter().map(|package| format!(" {}:{}", package.key, package.targets[0].attempts));
        format!("{} {}", release.verdict, packages.collect::<String>())
    }

    #[test]
    fn changes_are_merged_into_what_was_known_whole() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        assert_eq!(known.take(whole(8, &[("a", 0), ("c", 0)])), Changed::All);
        assert_eq!(known.take(since(8, 9, &[("c", 1)])), keys(&["c"]));
        assert_eq!(told(&known), "verdict 9  a:0 c:1");
        assert_eq!(known.take(since(9, 12, &[("b", 2), ("d", 3)])), keys(&["b", "d"]));
        assert_eq!(told(&known), "verdict 12  a:0 b:2 c:1 d:3", "new packages stand in the order of their keys");
        assert_eq!(known.take(since(12, 13, &[])), keys(&[]), "only the release as a whole has changed");
        assert_eq!((told(&known).as_str(), known.sequence()), ("verdict 13  a:0 b:2 c:1 d:3", 13));
    }

    #[test]
    fn what_leaves_a_gap_is_asked_for_and_changes_nothing() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        assert_eq!(known.take(since(7, 8, &[("a", 1)])), Changed::Unknown, "the page alone is no release");
        assert_eq!((told(&known).as_str(), known.sequence()), ("nothing", 7));
        known.take(whole(8, &[("a", 0)]));
        assert_eq!(known.take(since(9, 10, &[("a", 1)])), Changed::Unknown);
        assert_eq!((told(&known).as_str(), known.sequence()), ("verdict 8  a:0", 8));
        assert_eq!(known.take(whole(10, &[("a", 1)])), Changed::All);
        assert_eq!(known.take(since(10, 11, &[("a", 2)])), keys(&["a"]));
    }

    #[test]
    fn what_was_known_already_may_be_said_again() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        known.take(whole(8, &[("a", 0), ("b", 5)]));
        assert_eq!(known.take(since(6, 10, &[("a", 1)])), keys(&["a"]));
        assert_eq!(told(&known), "verdict 10  a:1 b:5");
    }

    #[test]
    fn what_is_old_changes_nothing() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        known.take(whole(9, &[("a", 1)]));
        for message in
            [whole(9, &[("a", 0)]), whole(8, &[("a", 0)]), since(7, 9, &[("a", 0)]), since(7, 8, &[("a", 0)])]
        {
            assert_eq!(known.take(message), Changed::Nothing);
        }
        assert_eq!(known.sequence(), 9);
    }

    #[test]
    fn a_record_that_was_put_back_to_a_time_before_is_shown_and_what_is_only_late_is_not() {
        let at =
            |message: Message, at: &str| Message { release: Release { at: at.into(), ..message.release }, ..message };
        let mut known = Known::new(100, "2026-11-23T10:00:00.000Z".to_owned());
        assert_eq!(known.take(at(whole(99, &[("a", 9)]), "2026-11-23T09:59:59.999Z")), Changed::Nothing, "a cache");
        assert_eq!(known.take(at(whole(80, &[("a", 1)]), "2026-11-23T10:20:00.000Z")), Changed::All);
        assert_eq!((told(&known).as_str(), known.sequence()), ("verdict 80  a:1", 80));
        assert_eq!(known.take(at(since(80, 81, &[("a", 2)]), "2026-11-23T10:20:01.000Z")), keys(&["a"]));
        assert_eq!(known.take(at(whole(80, &[("a", 1)]), "2026-11-23T10:20:00.000Z")), Changed::Nothing, "it is late");
        assert_eq!((told(&known).as_str(), known.is_behind()), ("verdict 81  a:2", false));
    }

    #[test]
    fn what_was_heard_of_and_is_not_known_is_still_to_be_asked_for() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        known.take(since(9, 10, &[("a", 1)]));
        known.take(since(10, 11, &[("a", 2)]));
        assert_eq!(known.take(whole(10, &[("a", 1)])), Changed::All);
        assert!(known.is_behind(), "the change to 11 came before what it builds on");
        known.take(whole(11, &[("a", 2)]));
        assert!(!known.is_behind());
    }

    #[test]
    fn the_whole_of_what_the_page_shows_is_known_from_then_on() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        assert_eq!(known.take(whole(7, &[("a", 0)])), Changed::Nothing);
        assert_eq!(known.take(since(7, 8, &[("a", 1)])), keys(&["a"]));
    }

    #[test]
    fn a_stop_and_a_new_day_change_every_row() {
        let mut known = Known::new(7, "2026-11-23T10:00:00.000Z".to_owned());
        known.take(whole(8, &[("a", 0)]));
        let mut message = since(8, 9, &[]);
        message.release.stopped = Some(slipway_core::api::Stopped {
            by: "mira".into(),
            reason: "the disk is full".into(),
            at: message.release.at.clone(),
        });
        assert_eq!(known.take(message), Changed::All);
        let mut message = since(9, 10, &[]);
        message.release.stopped = known.release().and_then(|release| release.stopped.clone());
        message.release.at = "2031-01-01T00:00:00.000Z".into();
        assert_eq!(known.take(message), Changed::All);
    }
}
