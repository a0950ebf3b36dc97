//! How far a package and its release are, from the states of their targets.

use crate::api;
use crate::release::{ReleaseState, TargetState, Version};
use crate::stop::Stopped;

/// The states in the order in which one of them speaks for a package: what most needs a person, then what is the least far.
pub const URGENCY: [TargetState; 11] = [
    TargetState::Conflict,
    TargetState::Failed,
    TargetState::Missing,
    TargetState::Expired,
    TargetState::Expected,
    TargetState::Staged,
    TargetState::Approved,
    TargetState::Releasing,
    TargetState::Withdrawn,
    TargetState::Released,
    TargetState::Skipped,
];

/// What is staged and is deleted within this time needs somebody: to release it, or to keep it.
pub const EXPIRING_SECONDS: u32 = 24 * 60 * 60;

/// Whether somebody must do something about a target, other than play its job.
pub fn needs_a_person(state: TargetState, problem: Option<&api::Problem>) -> bool {
    match state {
        TargetState::Conflict | TargetState::Failed | TargetState::Missing => true,
        TargetState::Released | TargetState::Skipped | TargetState::Withdrawn => false,
        // Overdue, or held up by something that does not go away by itself.
        _ => problem.is_some_and(|problem| problem.retry != "automatic"),
    }
}

/// The state of a package with several targets: the one that most needs a person, or else the least far.
pub fn package_state(states: impl IntoIterator<Item = TargetState>) -> TargetState {
    use TargetState as S;
    let rank = |state: &S| URGENCY.iter().position(|urgent| urgent == state);
    states.into_iter().min_by_key(rank).unwrap_or(S::Expected)
}

/// The state of a release, from its packages'.
pub fn release_state(packages: &[TargetState]) -> ReleaseState {
    use TargetState as S;
    let all = |holds: fn(&S) -> bool| !packages.is_empty() && packages.iter().all(holds);
    // What was taken back was released, and nothing more comes of it.
    if all(|state| matches!(state, S::Released | S::Withdrawn | S::Skipped)) {
        ReleaseState::Complete
    } else if all(|state| !matches!(state, S::Expected | S::Missing | S::Expired)) {
        ReleaseState::Staged
    } else {
        ReleaseState::Expected
    }
}

/// A release in one sentence or two: first what is out, then what is not, the urgent first.
pub fn verdict(project: &str, version: &Version, packages: &[TargetState]) -> String {
    use TargetState as S;
    let name = format!("{project} {version}");
    let count = |wanted: S| packages.iter().filter(|state| **state == wanted).count();
    let (released, skipped) = (count(S::Released), count(S::Skipped));
    let shipping = packages.len() - skipped;
    let out = match (released, shipping) {
        (_, 0) if packages.is_empty() => return format!("Nothing is expected of {name} yet."),
        (_, 0) => return format!("{name} ships nothing: all its packages are left out on purpose."),
        (0, 1) => format!("{name} is not out: its package is not released."),
        (0, _) => format!("{name} is not out: none of its {shipping} packages is released."),
        (1, 1) => format!("{name} is out: its package is released."),
        _ if released == shipping => format!("{name} is out: all {shipping} packages are released."),
        _ => format!("{name} is out for {released} of {shipping} packages."),
    };
    let rest = [
        (S::Conflict, "in conflict"),
        (S::Failed, "failed"),
        (S::Missing, "missing from staging"),
        (S::Expired, "expired"),
        (S::Withdrawn, "withdrawn"),
        (S::Releasing, "releasing"),
        (S::Approved, "waiting its turn"),
        (S::Staged, "staged"),
        (S::Expected, "not staged yet"),
        (S::Skipped, "not shipped"),
    ];
    let rest: Vec<String> = rest
        .iter()
        .filter_map(|(state, words)| match count(*state) {
            0 => None,
            number => Some(format!("{number} {words}")),
        })
        .collect();
    if rest.is_empty() { out } else { format!("{out} {}.", rest.join(", ")) }
}

/// What is public of a release, in one sentence: how many of its packages are, and how many were.
pub fn public(project: &str, version: &Version, out: usize, taken_back: usize) -> String {
    let packages = |count: usize, one: &str, several: &str| match count {
        1 => format!("1 package {one}"),
        count => format!("{count} packages {several}"),
    };
    match (out, taken_back) {
        (out, 0) => format!("{project} {version}: {}.", packages(out, "is public", "are public")),
        (0, gone) => format!("{project} {version}: {}.", packages(gone, "was taken back", "were taken back")),
        (out, gone) => {
            format!("{project} {version}: {}, {gone} taken back.", packages(out, "is public", "are public"))
        }
    }
}

/// State and verdict of a release's packages, as the API shows them.
pub fn judge(
    project: &str,
    version: &Version,
    packages: &[api::Package],
    closing: Option<&api::Closing>,
) -> (ReleaseState, String) {
    let states: Vec<TargetState> =
        packages.iter().map(|package| package_state(package.targets.iter().map(|target| target.state))).collect();
    let blocked = packages.iter().filter(|package| !package.blocked.is_empty()).count();
    judge_states(project, version, &states, blocked, closing)
}

/// The same, from the states of a release's packages and how many of them a gate keeps back.
pub fn judge_states(
    project: &str,
    version: &Version,
    states: &[TargetState],
    blocked: usize,
    closing: Option<&api::Closing>,
) -> (ReleaseState, String) {
    let mut sentence = verdict(project, version, states);
    if blocked > 0 {
        sentence = format!("{sentence} {blocked} may not be released yet.");
    }
    match closing {
        Some(api::Closing { by, reason, .. }) => {
            let reason = reason.trim().trim_end_matches('.');
            let by = crate::audit::person(by);
            (ReleaseState::Closed, format!("{project} {version} was given up by {by}: {reason}. {sentence}"))
        }
        None => (release_state(states), sentence),
    }
}

/// A verdict while Slipway is stopped: whoever waits for something reads first that nothing happens now.
pub fn while_stopped(state: ReleaseState, verdict: String, stopped: Option<&Stopped>) -> String {
    match stopped {
        Some(stopped) if !matches!(state, ReleaseState::Complete | ReleaseState::Closed) => {
            format!("{} {verdict}", stopped.in_short())
        }
        _ => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TargetState as S;

    #[test]
    fn the_verdict_says_what_is_out_and_what_is_not() {
        let version = "17.3.1".parse().expect("a version");
        for (packages, sentence) in [
            (vec![], "Nothing is expected of tug 17.3.1 yet."),
            (
                vec![S::Expected, S::Staged],
                "tug 17.3.1 is not out: none of its 2 packages is released. 1 staged, 1 not staged yet.",
            ),
            (
                vec![S::Released, S::Failed, S::Conflict],
                "tug 17.3.1 is out for 1 of 3 packages. 1 in conflict, 1 failed.",
            ),
            (vec![S::Released, S::Released], "tug 17.3.1 is out: all 2 packages are released."),
            (vec![S::Released, S::Skipped], "tug 17.3.1 is out: its package is released. 1 not shipped."),
        ] {
            assert_eq!(verdict("tug", &version, &packages), sentence);
        }
    }

    #[test]
    fn the_public_verdict_counts_what_is_public_and_what_was() {
        let version = "1.2.0".parse().expect("a version");
        for (out, gone, sentence) in [
            (12, 0, "tug 1.2.0: 12 packages are public."),
            (1, 0, "tug 1.2.0: 1 package is public."),
            (11, 1, "tug 1.2.0: 11 packages are public, 1 taken back."),
            (1, 2, "tug 1.2.0: 1 package is public, 2 taken back."),
            (0, 1, "tug 1.2.0: 1 package was taken back."),
            (0, 3, "tug 1.2.0: 3 packages were taken back."),
        ] {
            assert_eq!(public("tug", &version, out, gone), sentence);
        }
    }

    #[test]
    fn a_release_is_complete_only_when_all_that_ships_is_released() {
        for (packages, state) in [
            (vec![], ReleaseState::Expected),
            (vec![S::Staged, S::Expected], ReleaseState::Expected),
            (vec![S::Staged, S::Releasing], ReleaseState::Staged),
            (vec![S::Staged, S::Missing], ReleaseState::Expected),
            (vec![S::Released, S::Failed], ReleaseState::Staged),
            (vec![S::Released, S::Skipped], ReleaseState::Complete),
            (vec![S::Released, S::Withdrawn], ReleaseState::Complete),
        ] {
            assert_eq!(release_state(&packages), state, "{packages:?}");
        }
    }

    #[test]
    fn a_package_is_only_as_far_as_its_target_that_most_needs_a_person() {
        assert_eq!(package_state([S::Released, S::Conflict, S::Staged]), S::Conflict);
        assert_eq!(package_state([S::Released, S::Releasing]), S::Releasing);
        assert_eq!(package_state([S::Skipped, S::Released]), S::Released);
    }
}
