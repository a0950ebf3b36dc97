//! When all that is on its way will be released.
//!
//! The rate is what became public in the later half of the time since the first of the packages on their way was
//! approved. Waiting is in it, and so is whatever slows this release down: other projects' packages at the same
//! destination, a server that is busy, an index that is late. The first half is left out, since a destination's pace is
//! found while it is used. What an accepted package still waits for is time like any other, so it counts as not released.
//!
//! Until some have become public there is only what has been sent. That is wrong at the beginning and comes nearer the
//! more has been sent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::api::{Estimate, Pace, Package, Step};
use crate::release::TargetState;
use crate::time::Timestamp;

/// So many have to be released before their number says more than the bytes that were sent.
const RELEASED_MIN: u32 = 4;

/// Over how long a copy's pace is told: what it was before says little of what comes.
const PACE_OF: Duration = Duration::from_secs(30);
/// How long a copy must have been seen before its pace is told: the first seconds would promise anything.
const PACE_AFTER: Duration = Duration::from_secs(3);
/// Of words that come faster than this, the last is enough.
const WORD_AFTER: Duration = Duration::from_millis(500);

/// What was told of how many bytes a copy has sent: so much of it as says how fast it is.
#[derive(Clone, Debug, Default)]
pub struct Course(VecDeque<(Timestamp, u64)>);

impl Course {
    /// So many bytes have been sent by now.
    pub fn told(&mut self, bytes: u64, now: Timestamp) {
        // It begins anew, or a clock was set back: what was told before says nothing any more.
        if self.0.back().is_some_and(|(at, before)| bytes < *before || now < *at) {
            self.0.clear();
        }
        while self.0.get(1).is_some_and(|(at, _)| now.since(*at) >= PACE_OF) {
            self.0.pop_front();
        }
        let last_but_one = self.0.len().checked_sub(2).and_then(|index| self.0.get(index));
        if last_but_one.is_some_and(|(at, _)| now.since(*at) < WORD_AFTER) {
            self.0.pop_back();
        }
        self.0.push_back((now, bytes));
    }

    /// How many bytes have been sent, by the last word.
    pub fn bytes(&self) -> Option<u64> {
        self.0.back().map(|(_, bytes)| *bytes)
    }

    /// How fast it is, and when it has sent all its bytes. None while it is too new, or does not get on.
    pub fn pace(&self, size: u64, now: Timestamp) -> Option<Pace> {
        let sent = self.bytes()?;
        let is_before = |(at, _): &&(Timestamp, u64)| now.since(*at) >= PACE_OF;
        let (since, before) = self.0.iter().take_while(is_before).last().or_else(|| self.0.front())?;
        let within = now.since(*since);
        let lately = u128::from(sent.saturating_sub(*before));
        if within < PACE_AFTER || lately == 0 {
            return None;
        }
        let within_ms = within.as_millis();
        let needed_ms = u128::from(size.saturating_sub(sent)) * within_ms / lately;
        let ends_at = now + Duration::from_millis(u64::try_from(needed_ms).ok()?);
        let bytes_per_second = u64::try_from(lately * 1000 / within_ms).unwrap_or(u64::MAX);
        Some(Pace { bytes_per_second, ends_at: ends_at.to_string() })
    }
}

/// The estimate, or `None` while nothing is on its way or nothing has been sent yet.
pub fn estimate(packages: &[Package], now: Timestamp) -> Option<Estimate> {
    let targets = || {
        packages.iter().flat_map(|package| {
            let size = package.file.as_ref().map_or(0, |file| file.size);
            package.targets.iter().map(move |target| (size, target))
        })
    };
    let approved_at =
        |target: &crate::api::Target| target.approval.as_ref().and_then(|approval| approval.at.parse().ok());
    let began: Timestamp =
        targets().filter(|(_, target)| target.state.is_moving()).filter_map(|(_, target)| approved_at(target)).min()?;
    let elapsed = now.since(began);
    let later_half = began + elapsed / 2;
    let (mut sent, mut left, mut unreleased) = (0_u64, 0_u64, 0_u64);
    let (mut released, mut lately) = (0_u32, 0_u64);
    for (size, target) in targets() {
        if target.state.is_moving() {
            let own = match target.step {
                // What has been accepted has no bytes left to send.
                Some(Step::Index) => size,
                _ => target.bytes.unwrap_or(0).min(size),
            };
            sent = sent.saturating_add(own);
            left = left.saturating_add(size.saturating_sub(own));
            unreleased = unreleased.saturating_add(size);
        } else if target.state == TargetState::Released && !target.outside {
            // It took its share of this time, whenever it was approved.
            let Some(at) = target.since.parse::<Timestamp>().ok().filter(|at| *at >= began) else { continue };
            released = released.saturating_add(1);
            sent = sent.saturating_add(size);
            if at >= later_half {
                lately = lately.saturating_add(size);
            }
        }
    }
    let (rest, done, within) = if released >= RELEASED_MIN && lately > 0 {
        (unreleased, lately, now.since(later_half))
    } else {
        (left, sent, elapsed)
    };
    let within_ms = within.as_millis();
    if done == 0 || within_ms == 0 {
        return None;
    }
    let needed_ms = u128::from(rest) * within_ms / u128::from(done);
    let ends_at = now + Duration::from_millis(u64::try_from(needed_ms).ok()?);
    let bytes_per_second = u128::from(done) * 1000 / within_ms;
    Some(Estimate {
        ends_at: ends_at.to_string(),
        bytes_left: left,
        bytes_per_second: u64::try_from(bytes_per_second).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Packages as `state:step:size:sent`, approved at the first second; and `released@S` at second S.
    fn packages(text: &str) -> Vec<Package> {
        let location = json!({ "url": "", "repository": "a/b" });
        let package = |word: &str| {
            let parts: Vec<&str> = word.split(':').collect();
            let [state, step, size, bytes] = parts.as_slice() else { panic!("{word}") };
            let (state, second) = state.split_once('@').unwrap_or((state, "6"));
            let since = Timestamp(second.parse::<i64>().expect("a second") * 1000).to_string();
            let number = |text: &str| text.parse::<u64>().ok();
            let approval = json!({ "by": "m", "via": "job", "at": Timestamp(1000).to_string(), "job_url": "" });
            let target = json!({ "distro": "el/9", "public": location, "state": state, "since": since, "approval": approval,
                "step": (!step.is_empty()).then_some(step), "bytes": number(bytes) });
            let digest = format!("sha256:{}", "0".repeat(64));
            let file = json!({ "filename": "x", "digest": digest, "size": number(size) });
            let package = json!({ "key": "k", "pipeline_id": 1, "release_job": "", "file": file, "staging": location,
                "targets": [target] });
            serde_json::from_value(package).expect("a package")
        };
        text.split_whitespace().map(package).collect()
    }

    #[test]
    fn the_end_follows_from_what_was_sent_since_the_approval() {
        // 10 s after the approval; sizes in bytes.
        let now = Timestamp(11_000);
        for (text, left, rate, ends_in_ms) in [
            ("released::1000: approved::1000:", 1000, 100, 10_000),
            ("released::1000: releasing:index:1000:", 0, 200, 0),
            ("released::1000: releasing:copy:1000:500 approved::500:", 1000, 150, 6_666),
            ("skipped::9: released::1000: approved::3000:", 3000, 100, 30_000),
        ] {
            let found = estimate(&packages(text), now).expect(text);
            let expected = (left, rate, (now + Duration::from_millis(ends_in_ms)).to_string());
            assert_eq!((found.bytes_left, found.bytes_per_second, found.ends_at), expected, "{text}");
        }
    }

    #[test]
    fn once_some_are_released_the_end_follows_from_what_became_public_of_late() {
        // 10 s after the approval, so what counts is after second 6.
        let now = Timestamp(11_000);
        let four = "released@2::1000: released@3::1000: released@7::1000: released@9::1000:";
        for (more, left, ends_in_ms) in [
            // 2000 bytes in 5 s. What is accepted has nothing left to send, and is not public all the same.
            ("approved::4000:", 4000, 10_000),
            ("approved::3000: releasing:index:1000:", 3000, 10_000),
            ("releasing:copy:4000:3000", 1000, 10_000),
            // What became public before anything of this was approved says nothing of it.
            ("approved::4000: released@0::9000:", 4000, 10_000),
        ] {
            let found = estimate(&packages(&format!("{four} {more}")), now).expect(more);
            let expected = (left, 400, (now + Duration::from_millis(ends_in_ms)).to_string());
            assert_eq!((found.bytes_left, found.bytes_per_second, found.ends_at), expected, "{more}");
        }
    }

    /// What a copy has sent as `SECOND:BYTES`, and how fast it is at a second.
    fn pace(told: &str, second: i64) -> Option<(u64, String)> {
        let mut course = Course::default();
        for word in told.split_whitespace() {
            let (second, bytes) = word.split_once(':').expect("a second and bytes");
            let at = (second.parse::<f64>().expect("a second") * 1000.0).round();
            #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
            course.told(bytes.parse().expect("bytes"), Timestamp(at as i64));
        }
        course.pace(10_000, Timestamp(second * 1000)).map(|pace| (pace.bytes_per_second, pace.ends_at))
    }

    #[test]
    fn the_pace_of_a_copy_is_what_it_has_sent_within_the_last_half_minute() {
        let ends = |rate: u64, second: i64| Some((rate, Timestamp(second * 1000).to_string()));
        // 100 bytes a second: 9,600 are left after four seconds.
        assert_eq!(pace("0:0 1:100 2:200 3:300 4:400", 4), ends(100, 100));
        // Slow for a minute, then fast: only the fast half minute counts, in which 6,000 were sent.
        assert_eq!(pace("0:0 30:30 60:1000 75:4000 90:7000", 90), ends(200, 105));
        // Words come at any moment. The last before the half minute says how many had been sent when it began.
        assert_eq!(pace("0:0 10:1000 50:5000", 50), ends(100, 100));
        // A copy that stands still for a while is slower for it.
        assert_eq!(pace("0:0 10:1000", 20), ends(50, 200));
        // And one of which nothing was told for long, by what it sent since the last word before the half minute.
        assert_eq!(pace("0:0 20:2000 40:2100", 60), ends(2, 60 + 3160));
    }

    #[test]
    fn no_pace_is_told_of_a_copy_that_has_just_begun_or_begun_anew_or_stands_still() {
        for (told, second) in [
            ("", 10),
            ("0:0", 10),
            ("0:0 1:100 2:200", 2),
            ("0:0 2.9:290", 2),
            ("0:0 10:1000 11:0 12:100", 12),
            ("0:0 10:1000 40:1000 70:1000", 70),
            ("20:0 21:100 22:200 1:300", 2),
        ] {
            assert_eq!(pace(told, second), None, "{told}");
        }
        assert!(pace("0:0 1:100 2:200 3:300", 3).is_some());
    }

    #[test]
    fn a_copy_that_is_told_of_all_the_time_keeps_no_more_than_a_half_minute_of_it() {
        let mut course = Course::default();
        for tick in 0..10_000 {
            course.told(u64::try_from(tick).expect("a small number"), Timestamp(tick * 50));
        }
        assert!(course.0.len() <= 80, "{}", course.0.len());
        assert_eq!(course.bytes(), Some(9_999));
        assert_eq!(course.pace(20_000, Timestamp(9_999 * 50)).map(|pace| pace.bytes_per_second), Some(20));
    }

    #[test]
    fn nothing_is_said_of_what_does_not_move_or_has_not_begun() {
        for text in ["", "released::1000:", "staged::5:", "approved::1000:"] {
            assert_eq!(estimate(&packages(text), Timestamp(11_000)), None, "{text}");
        }
    }
}
