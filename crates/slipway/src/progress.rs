//! How far copies are: bytes, rate, and when all will be done.
//!
//! Time is the edge's, as each answer gives it: a job's clock may be wrong, and an answer may have waited on its way.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use slipway_core::amount::{part, percent, size, stretch};
use slipway_core::api::{Package, Release, Step, Target};
use slipway_core::release::{Key, TargetState};
use slipway_core::time::Timestamp;

/// A job's log gets no more than a line for each target in this time.
const EVERY: Duration = Duration::from_secs(10);
/// The rate is that of the recent past: what is slow now is not hidden by what was fast before.
const WINDOW: Duration = Duration::from_secs(30);
/// Characters of a bar.
const BAR: u64 = 20;

/// A target: its key, and its distro version with its repository.
type Place = (Key, String);

/// What was seen of the bytes, and what was said of them.
#[derive(Default)]
pub(crate) struct Progress {
    marks: BTreeMap<Place, VecDeque<(Timestamp, u64)>>,
    said: BTreeMap<Place, Timestamp>,
    said_end: Option<Timestamp>,
}

/// One copy under way.
struct Copy<'a> {
    place: Place,
    bytes: u64,
    whole: u64,
    target: &'a Target,
}

/// The copies under way among `keys`.
fn copies<'a>(release: &'a Release, keys: &'a [Key]) -> impl Iterator<Item = Copy<'a>> {
    let asked = release.packages.iter().filter(|package| keys.contains(&package.key));
    asked.flat_map(|package| package.targets.iter().filter_map(|target| copy(package, target)))
}

fn copy<'a>(package: &'a Package, target: &'a Target) -> Option<Copy<'a>> {
    let copies = target.state == TargetState::Releasing && matches!(target.step, Some(Step::Copy | Step::Carry));
    let (bytes, whole) = (target.bytes.filter(|_| copies)?, package.file.as_ref()?.size);
    let place = (package.key.clone(), format!("{}  {}", target.name(), target.public.repository));
    Some(Copy { place, bytes, whole, target })
}

/// A bar as long as the share that is done.
pub(crate) fn bar(bytes: u64, whole: u64) -> String {
    let done = percent(bytes, whole) * BAR / 100;
    (0..BAR).map(|place| if place < done { '█' } else { '░' }).collect()
}

/// How many bytes of a target have been sent, where that is known: `123.0 of 456.0 MB`.
pub(crate) fn sent(package: &Package, target: &Target) -> Option<String> {
    copy(package, target).map(|copy| part(copy.bytes, copy.whole))
}

/// When all that is on its way will be released, if that can be told.
pub(crate) fn end(release: &Release) -> Option<String> {
    let estimate = release.estimate.as_ref()?;
    let (now, ends) = (release.at.parse::<Timestamp>().ok()?, estimate.ends_at.parse::<Timestamp>().ok()?);
    let clock: String = estimate.ends_at.split_once('T')?.1.chars().take(8).collect();
    let (left, rate) = (size(estimate.bytes_left), size(estimate.bytes_per_second));
    Some(format!(
        "all that is on its way: released about {clock} UTC, in {}; {left} left at {rate}/s",
        stretch(ends.since(now))
    ))
}

impl Progress {
    /// Takes in what an answer says.
    pub(crate) fn see(&mut self, release: &Release, keys: &[Key]) {
        let Ok(now) = release.at.parse::<Timestamp>() else { return };
        let copies: Vec<Copy<'_>> = copies(release, keys).collect();
        self.marks.retain(|place, _| copies.iter().any(|copy| copy.place == *place));
        self.said.retain(|place, _| copies.iter().any(|copy| copy.place == *place));
        for Copy { place, bytes, .. } in copies {
            let marks = self.marks.entry(place.clone()).or_default();
            if marks.back().is_some_and(|(at, before)| *at > now || *before > bytes) {
                // Another attempt begins from nothing.
                marks.clear();
            }
            if marks.back().is_none_or(|(at, _)| *at < now) {
                marks.push_back((now, bytes));
            }
            // The last mark outside of the window stays: the window begins at it.
            while marks.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
                marks.pop_front();
            }
            // That it is copied was just said.
            self.said.entry(place).or_insert(now);
        }
    }

    /// Bytes in a second, over the recent past.
    fn rate(&self, place: &Place) -> Option<u64> {
        let marks = self.marks.get(place)?;
        let ((begin, before), (now, bytes)) = (marks.front()?, marks.back()?);
        let elapsed_ms = now.since(*begin).as_millis();
        if elapsed_ms == 0 {
            return None;
        }
        u64::try_from(u128::from(bytes.saturating_sub(*before)) * 1000 / elapsed_ms).ok()
    }

    fn words(&self, copy: &Copy<'_>) -> String {
        let mut words = format!("{} ({} %)", part(copy.bytes, copy.whole), percent(copy.bytes, copy.whole));
        if let Some(rate) = self.rate(&copy.place) {
            words.extend([", ", &size(rate), "/s"]);
        }
        words
    }

    /// The lines that are due in a job's log.
    pub(crate) fn lines(&mut self, release: &Release, keys: &[Key]) -> Vec<String> {
        let Ok(now) = release.at.parse::<Timestamp>() else { return Vec::new() };
        let mut lines = Vec::new();
        for copy in copies(release, keys) {
            if self.said.get(&copy.place).is_some_and(|said| now.since(*said) >= EVERY) {
                lines.push(format!("{}  {}  {}", copy.place.0, copy.place.1, self.words(&copy)));
                self.said.insert(copy.place, now);
            }
        }
        if !lines.is_empty() && self.said_end.is_none_or(|said| now.since(said) >= EVERY) {
            lines.extend(end(release));
            self.said_end = Some(now);
        }
        lines
    }

    /// A bar for each copy, on a terminal of so many columns.
    pub(crate) fn bars(&self, release: &Release, keys: &[Key], columns: usize) -> Vec<String> {
        let bar = |copy: Copy<'_>| {
            let bar = bar(copy.bytes, copy.whole);
            format!("{bar} {}  {}  {}", copy.place.0, copy.target.name(), self.words(&copy))
        };
        // A line that the terminal would break cannot be taken back.
        let fits = |line: String| line.chars().take(columns.saturating_sub(1)).collect();
        copies(release, keys).map(bar).chain(end(release)).map(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::api::Estimate;

    use super::*;
    use crate::testing;

    fn keys() -> Vec<Key> {
        vec!["deb".parse().expect("a key")]
    }

    /// A copy of 456 MB, so many seconds after nine o'clock.
    fn copying(second: i64, bytes: u64) -> Release {
        let mut release = testing::release(&[("deb", "releasing staged")]);
        let nine: Timestamp = release.at.parse().expect("a moment");
        release.at = (nine + Duration::from_secs(second.unsigned_abs())).to_string();
        for package in &mut release.packages {
            if let Some(file) = &mut package.file {
                file.size = 456_000_000;
            }
        }
        let target = testing::target(&mut release);
        target.step = Some(Step::Copy);
        target.bytes = Some(bytes);
        release
    }

    /// What a log gets of sights, each `second:bytes`.
    fn log(sights: &str) -> Vec<String> {
        let mut progress = Progress::default();
        let mut lines = Vec::new();
        for sight in sights.split_whitespace() {
            let (second, bytes) = sight.split_once(':').expect("second:bytes");
            let release = copying(second.parse().expect("a second"), bytes.parse().expect("bytes"));
            progress.see(&release, &keys());
            lines.extend(progress.lines(&release, &keys()));
        }
        lines
    }

    #[test]
    fn a_log_gets_a_line_in_ten_seconds_however_often_the_edge_answers() {
        assert_eq!(
            log("0:0 2:10000000 4:20000000 9:30000000 10:40000000 11:50000000 19:60000000 21:60000000"),
            [
                "deb  d/0  harbour/stable  40.0 of 456.0 MB (8 %), 4.0 MB/s",
                "deb  d/0  harbour/stable  60.0 of 456.0 MB (13 %), 2.9 MB/s",
            ]
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_half_minute() {
        let lines = log("0:0 10:100000000 20:200000000 30:200000000 40:200000000 50:200000000");
        assert_eq!(lines.last().map(String::as_str), Some("deb  d/0  harbour/stable  200.0 of 456.0 MB (43 %), 0 B/s"));
    }

    #[test]
    fn another_attempt_has_a_rate_of_its_own() {
        let lines = log("0:0 10:300000000 20:0 30:10000000");
        assert_eq!(
            lines.last().map(String::as_str),
            Some("deb  d/0  harbour/stable  10.0 of 456.0 MB (2 %), 1.0 MB/s")
        );
    }

    #[test]
    fn the_end_is_told_as_the_edge_estimates_it() {
        let mut release = copying(0, 1);
        assert_eq!(end(&release), None);
        release.estimate = Some(Estimate {
            ends_at: "2026-11-23T09:04:10.000Z".to_owned(),
            bytes_left: 333_000_000,
            bytes_per_second: 12_345_678,
        });
        let said = "all that is on its way: released about 09:04:10 UTC, in 4 min; 333.0 MB left at 12.3 MB/s";
        assert_eq!(end(&release).as_deref(), Some(said));
    }

    #[test]
    fn a_bar_is_as_long_as_the_share_that_is_sent_and_never_broken_by_the_terminal() {
        let release = copying(0, 228_000_000);
        let mut progress = Progress::default();
        progress.see(&release, &keys());
        assert_eq!(progress.bars(&release, &keys(), 80), ["██████████░░░░░░░░░░ deb  d/0  228.0 of 456.0 MB (50 %)"]);
        assert_eq!(progress.bars(&release, &keys(), 25), ["██████████░░░░░░░░░░ deb"]);
    }

    #[test]
    fn what_was_accepted_has_no_bytes_left_to_show() {
        let mut release = copying(0, 456_000_000);
        testing::target(&mut release).step = Some(Step::Index);
        let mut progress = Progress::default();
        progress.see(&release, &keys());
        assert!(progress.bars(&release, &keys(), 80).is_empty());
    }
}
