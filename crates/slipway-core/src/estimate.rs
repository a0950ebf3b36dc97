//! When all that is on its way will be released.
//!
//! The rate is what has been sent since the first of the packages on their way was approved, waiting included: it holds
//! whatever slows this release down, other projects' packages at the same destination too. So it is wrong at the
//! beginning and comes nearer the more has been sent.

use crate::api::{Estimate, Package, Step};
use crate::release::TargetState;
use crate::time::Timestamp;

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
    let (mut sent, mut left) = (0_u64, 0_u64);
    for (size, target) in targets() {
        let own = match (target.state, target.step) {
            // What has been accepted has no bytes left to send.
            (TargetState::Releasing, Some(Step::Index)) => size,
            (TargetState::Releasing | TargetState::Approved, _) => target.bytes.unwrap_or(0).min(size),
            (TargetState::Released, _) if !target.outside && approved_at(target).is_some_and(|at| at >= began) => size,
            _ => continue,
        };
        sent = sent.saturating_add(own);
        if target.state.is_moving() {
            left = left.saturating_add(size.saturating_sub(own));
        }
    }
    let elapsed_ms = u64::try_from(now.since(began).as_millis()).ok()?;
    if sent == 0 || elapsed_ms == 0 {
        return None;
    }
    let needed_ms = u128::from(left) * u128::from(elapsed_ms) / u128::from(sent);
    let ends_at = now + std::time::Duration::from_millis(u64::try_from(needed_ms).ok()?);
    let bytes_per_second = u128::from(sent) * 1000 / u128::from(elapsed_ms);
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

    /// Packages as `state:step:size:sent`, approved at the first second.
    fn packages(text: &str) -> Vec<Package> {
        let location = json!({ "url": "", "repository": "a/b" });
        let package = |word: &str| {
            let parts: Vec<&str> = word.split(':').collect();
            let [state, step, size, bytes] = parts.as_slice() else { panic!("{word}") };
            let number = |text: &str| text.parse::<u64>().ok();
            let approval = json!({ "by": "m", "via": "job", "at": Timestamp(1000).to_string(), "job_url": "" });
            let target = json!({ "distro": "el/9", "public": location, "state": state, "since": "", "approval": approval,
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
            let expected = (left, rate, (now + std::time::Duration::from_millis(ends_in_ms)).to_string());
            assert_eq!((found.bytes_left, found.bytes_per_second, found.ends_at), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_does_not_move_or_has_not_begun() {
        for text in ["", "released::1000:", "staged::5:", "approved::1000:"] {
            assert_eq!(estimate(&packages(text), Timestamp(11_000)), None, "{text}");
        }
    }
}
