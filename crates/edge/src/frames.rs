//! What those who watch a release are sent: the whole of it first, then the packages that have changed since, each whole.
//!
//! A release of sixty packages has 40 kB, and a copy tells of its bytes every second. So it is kept, in memory alone, what each
//! package was when anybody was shown it last, and at which sequence number it was seen to change. An object that has slept
//! knows nothing of before, and sends the whole.
//!
//! Whoever is sent a change knows the release as it was at `after`, or later: then what was seen to change in between is in it
//! again, and says the same or something newer. Only somebody who knows less has a gap, and asks for the whole.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use slipway_core::api::{LiveFrame, Release};
use slipway_core::release::{Key, Version};

/// What was shown of the releases that somebody watches.
#[derive(Debug, Default)]
pub struct Frames(BTreeMap<Version, Shown>);

/// What was shown of a release.
#[derive(Debug)]
struct Shown {
    /// Since which sequence number every change is known.
    since: u64,
    /// At which sequence number it was shown last.
    at: u64,
    /// What each package was, and the sequence number from which on whoever is sent the release is sent that.
    packages: BTreeMap<Key, (u64, u64)>,
}

/// Whether somebody who knows a release as it was at `since` is to be sent it as it is at `now`. A number that the release has
/// not reached is of a record that was put back since: what they know is not so any more.
pub fn is_news(now: u64, since: Option<u64>) -> bool {
    since != Some(now)
}

impl Frames {
    /// Whether anybody watches a release, as far as is known here.
    pub fn has(&self, version: &Version) -> bool {
        self.0.contains_key(version)
    }

    /// Nobody watches a release any more.
    pub fn forget(&mut self, version: &Version) {
        self.0.remove(version);
    }

    /// Somebody is shown a release, and it is watched.
    pub fn shown(&mut self, release: &Release) -> Result<(), serde_json::Error> {
        let sequence = release.sequence;
        let shown = self.0.entry(release.version.clone()).or_insert_with(|| Shown {
            since: sequence,
            at: 0,
            packages: BTreeMap::new(),
        });
        // Time opens gates, and a number follows. Whoever was sent the release at this very number may have seen it otherwise.
        let sent_from = if shown.at == sequence { sequence.saturating_add(1) } else { sequence };
        shown.at = sequence;
        for package in &release.packages {
            let mut hasher = DefaultHasher::new();
            serde_json::to_string(package)?.hash(&mut hasher);
            let is_now = hasher.finish();
            match shown.packages.get_mut(&package.key) {
                Some(known) if known.0 == is_now => {}
                Some(known) => *known = (is_now, sent_from),
                None => {
                    shown.packages.insert(package.key.clone(), (is_now, sent_from));
                }
            }
        }
        Ok(())
    }

    /// What somebody is sent who was sent the release last when it was at `at`; whole, where that is not known or too long ago.
    /// A release that has lost a package is sent whole: a change only adds and replaces.
    pub fn message(&self, release: &Release, at: Option<u64>) -> Result<String, serde_json::Error> {
        let shown = self.0.get(&release.version);
        let known = shown.filter(|shown| shown.packages.len() == release.packages.len());
        let since = at.zip(known).filter(|(at, shown)| shown.since <= *at && *at <= release.sequence);
        let Some((after, shown)) = since else { return serde_json::to_string(release) };
        let has_changed = |key: &Key| shown.packages.get(key).is_none_or(|(_, sent_from)| *sent_from > after);
        let packages = release.packages.iter().filter(|package| has_changed(&package.key)).cloned().collect();
        // What is left of it is small, so it is copied with an empty list in its place.
        let rest = Release { packages, ..without_packages(release) };
        serde_json::to_string(&LiveFrame { after, release: rest })
    }
}

fn without_packages(release: &Release) -> Release {
    Release {
        project: release.project.clone(),
        version: release.version.clone(),
        sequence: release.sequence,
        state: release.state,
        verdict: release.verdict.clone(),
        at: release.at.clone(),
        estimate: release.estimate.clone(),
        pipelines: release.pipelines.clone(),
        holds: release.holds.clone(),
        closed: release.closed.clone(),
        suggests_close: release.suggests_close.clone(),
        stopped: release.stopped.clone(),
        packages: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A release at a sequence number, its packages as `key:bytes`.
    fn release(sequence: u64, packages: &str) -> Release {
        let place = json!({ "url": "", "repository": "a/b" });
        let package = |word: &str| {
            let (key, bytes) = word.split_once(':').expect("a key and bytes");
            let bytes: u64 = bytes.parse().expect("bytes");
            json!({ "key": key, "pipeline_id": 1, "release_job": "", "file": null, "staging": place, "targets": [
                { "distro": "el/9", "public": place, "state": "releasing", "since": "", "step": "copy", "bytes": bytes },
            ] })
        };
        let packages: Vec<Value> = packages.split_whitespace().map(package).collect();
        let release = json!({ "project": { "id": 1, "name": "tug" }, "version": "1.2.0", "sequence": sequence, "state": "staged",
            "verdict": format!("at {sequence}"), "at": "", "pipelines": [], "packages": packages });
        serde_json::from_value(release).expect("a release")
    }

    /// What is sent: after which number, and the packages as `key:bytes`.
    fn read(message: &str) -> (Option<u64>, String) {
        let message: Value = serde_json::from_str(message).expect("JSON");
        let after = message.get("after").map(|after| after.as_u64().expect("a number"));
        let release = if after.is_some() { &message["release"] } else { &message };
        let release: Release = serde_json::from_value(release.clone()).expect("a release");
        assert_eq!(release.verdict, format!("at {}", release.sequence), "what is said of the whole is always new");
        let packages = release
            .packages
            .iter()
            .map(|package| format!("{}:{}", package.key, package.targets[0].bytes.unwrap_or_default()));
        (after, packages.collect::<Vec<_>>().join(" "))
    }

    fn sends(frames: &mut Frames, release: &Release, at: Option<u64>) -> (Option<u64>, String) {
        frames.shown(release).expect("JSON");
        read(&frames.message(release, at).expect("JSON"))
    }

    #[test]
    fn the_first_message_is_whole_and_the_next_ones_have_what_changed() {
        let mut frames = Frames::default();
        let all = "a:0 b:0 c:0";
        assert_eq!(sends(&mut frames, &release(7, all), None), (None, all.to_owned()));
        assert_eq!(sends(&mut frames, &release(8, "a:1 b:0 c:0"), Some(7)), (Some(7), "a:1".to_owned()));
        assert_eq!(sends(&mut frames, &release(10, "a:1 b:2 c:3"), Some(8)), (Some(8), "b:2 c:3".to_owned()));
        assert_eq!(
            sends(&mut frames, &release(11, "a:1 b:2 c:3"), Some(10)),
            (Some(10), String::new()),
            "its holds alone"
        );
        // Somebody who was sent less lately is sent more.
        assert_eq!(read(&frames.message(&release(11, "a:1 b:2 c:3"), Some(7)).expect("JSON")).1, "a:1 b:2 c:3");
        assert_eq!(read(&frames.message(&release(11, "a:1 b:2 c:3"), None).expect("JSON")).0, None);
    }

    #[test]
    fn whoever_is_not_known_to_know_enough_is_sent_the_whole() {
        let all = "a:0 b:0";
        // The object has slept: what it sent at 5 it does not know.
        let mut frames = Frames::default();
        assert_eq!(sends(&mut frames, &release(7, all), Some(5)), (None, all.to_owned()));
        // A number that the release has not reached is of another record.
        assert_eq!(sends(&mut frames, &release(7, all), Some(9)), (None, all.to_owned()));
        // Nothing tells a reader that a package is gone.
        assert_eq!(sends(&mut frames, &release(8, "a:0"), Some(7)), (None, "a:0".to_owned()));
        frames.forget(&"1.2.0".parse().expect("a version"));
        assert!(!frames.has(&"1.2.0".parse().expect("a version")));
        assert_eq!(sends(&mut frames, &release(9, "a:0"), Some(8)), (None, "a:0".to_owned()));
    }

    #[test]
    fn whoever_knows_more_than_there_is_knows_a_record_that_is_no_more() {
        let news = [None, Some(6), Some(7), Some(8)].map(|since| is_news(7, since));
        assert_eq!(news, [true, true, false, true]);
    }

    #[test]
    fn what_has_changed_without_a_number_of_its_own_is_in_the_next_change() {
        let mut frames = Frames::default();
        sends(&mut frames, &release(7, "a:0 b:0"), None);
        // Somebody else asks, and a gate has just opened by time.
        frames.shown(&release(7, "a:1 b:0")).expect("JSON");
        assert_eq!(sends(&mut frames, &release(8, "a:1 b:0"), Some(7)), (Some(7), "a:1".to_owned()));
        assert_eq!(sends(&mut frames, &release(9, "a:1 b:2"), Some(8)), (Some(8), "b:2".to_owned()), "and in no other");
    }

    #[test]
    fn a_package_that_comes_new_is_in_the_change() {
        let mut frames = Frames::default();
        sends(&mut frames, &release(7, "a:0"), None);
        assert_eq!(sends(&mut frames, &release(8, "a:0 b:0"), Some(7)), (Some(7), "b:0".to_owned()));
    }

    /// Readers who take whatever comes, and ask for the whole now and then, never show what is not so.
    #[test]
    fn whoever_takes_every_message_knows_the_release_as_it_is() {
        let mut seed = 7_u64;
        let mut number = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let mut frames = Frames::default();
            let mut bytes = [0_u64; 4];
            let now = |sequence: u64, bytes: &[u64; 4]| {
                let [a, b, c, d] = bytes;
                release(sequence, &format!("a:{a} b:{b} c:{c} d:{d}"))
            };
            // What two readers know, and when each was sent something last; the second asks by itself, too.
            let mut known: [Option<(u64, Release)>; 2] = [None, None];
            let mut sent: [Option<u64>; 2] = [None, None];
            for sequence in 1..40 {
                // A package may be again what it was.
                bytes[usize::try_from(number(4)).expect("small")] = number(3);
                let release = now(sequence, &bytes);
                if number(3) == 0 {
                    frames.shown(&release).expect("JSON");
                    known[1] = Some((sequence, release.clone()));
                }
                if number(9) == 0 {
                    frames = Frames::default();
                }
                for (known, sent) in known.iter_mut().zip(&mut sent) {
                    if number(2) == 0 {
                        continue;
                    }
                    frames.shown(&release).expect("JSON");
                    let message: Value =
                        serde_json::from_str(&frames.message(&release, *sent).expect("JSON")).expect("JSON");
                    *sent = Some(sequence);
                    let Some(after) = message.get("after").map(|after| after.as_u64().expect("a number")) else {
                        *known = Some((sequence, serde_json::from_value(message).expect("a release")));
                        continue;
                    };
                    let (own, before) = known.as_mut().expect("a change follows a whole");
                    assert!(after <= *own, "a gap");
                    let mut change: Release = serde_json::from_value(message["release"].clone()).expect("a release");
                    let mut packages: BTreeMap<Key, _> =
                        before.packages.drain(..).map(|package| (package.key.clone(), package)).collect();
                    packages.extend(change.packages.drain(..).map(|package| (package.key.clone(), package)));
                    change.packages = packages.into_values().collect();
                    (*own, *before) = (sequence, change);
                    assert_eq!(*before, release);
                }
            }
        }
    }
}
