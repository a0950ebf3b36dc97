//! What was done, in words: the progress of a target, its problem where a person is needed, the verdict of a release.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_packagecloud::{Filename, Repository};
use slipway_wire::Digest;

use crate::api::{self, Problem, Step};
use crate::promotion::{Outcome, Promotion, Visible};
use crate::release::{ReleaseState, TargetState, Version};
use crate::time::Timestamp;

/// How often a promotion that meets passing trouble tries before it asks for a person: about 20 minutes of waits.
pub const ATTEMPTS_MAX: u32 = 10;
/// How long the public index may take to serve an accepted file. packagecloud promises no time; an hour is far more
/// than has been seen.
pub const INDEX_WAIT_MAX: Duration = Duration::from_hours(1);
/// How often a digest is asked for that a server has not computed: 1, 2, 4, 8, 16 s and then every 30 s, an hour.
pub const WAITS_MAX: u32 = 124;

/// What the record shows of a target on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The target.
    pub distro: String,
    /// How far it is.
    pub state: TargetState,
    /// What it waits for, while it moves.
    pub step: Option<Step>,
    /// Why it is not further.
    pub problem: Option<Problem>,
}

/// When to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Never: this state is final until a person acts.
    Settled,
    /// After this time.
    After(Duration),
}

/// How long a target has been at it. Its host keeps it from run to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// Runs that met passing trouble, one after another.
    pub troubled: u32,
    /// Runs that waited, one after another.
    pub waited: u32,
    /// Since when the public place has the file.
    pub accepted_at: Option<Timestamp>,
}

impl Patience {
    /// What is left of it after a run.
    #[must_use]
    pub fn after(self, outcome: &Outcome, now: Timestamp) -> Self {
        match outcome {
            Outcome::AwaitingIndex => {
                Self { troubled: 0, waited: self.waited.saturating_add(1), accepted_at: self.accepted_at.or(Some(now)) }
            }
            Outcome::AwaitingDigest => Self { troubled: 0, waited: self.waited.saturating_add(1), ..self },
            // Whoever waits for a slot has tried nothing, so that ends no trouble and is none.
            Outcome::AwaitingSlot => self,
            Outcome::Troubled(_) => Self { troubled: self.troubled.saturating_add(1), waited: 0, ..self },
            Outcome::Released
            | Outcome::Conflict { .. }
            | Outcome::Missing
            | Outcome::Changed { .. }
            | Outcome::Refused { .. } => Self { troubled: 0, waited: 0, ..self },
        }
    }
}

/// Turns an outcome into what people see, and when the next run is due.
pub fn report(promotion: &Promotion, outcome: &Outcome, patience: Patience, now: Timestamp) -> (Report, Next) {
    let shown = |state, step, problem| Report { distro: promotion.distro.to_string(), state, step, problem };
    let moving = |step, problem, wait| (shown(TargetState::Releasing, Some(step), problem), Next::After(wait));
    let stopped = |state, problem| (shown(state, None, Some(problem)), Next::Settled);
    let index_late = || patience.accepted_at.is_some_and(|since| now.since(since) > INDEX_WAIT_MAX);
    // What the public place had, and does not list now, may be there all the same: lists can be behind.
    let gone = if patience.accepted_at.is_some() { Visible::Unknown } else { Visible::Nothing };
    match outcome {
        Outcome::Released => (shown(TargetState::Released, None, None), Next::Settled),
        Outcome::AwaitingSlot => (shown(TargetState::Approved, None, None), Next::After(SLOT_WAIT)),
        Outcome::AwaitingDigest if patience.waited >= WAITS_MAX => stopped(TargetState::Failed, no_digest(promotion)),
        Outcome::AwaitingDigest => moving(Step::Look, None, index_wait(patience.waited)),
        Outcome::AwaitingIndex if index_late() => stopped(TargetState::Failed, not_served(promotion)),
        Outcome::AwaitingIndex => moving(Step::Index, None, index_wait(patience.waited)),
        Outcome::Troubled(why) if patience.troubled >= ATTEMPTS_MAX => {
            stopped(TargetState::Failed, gave_up(why, patience.troubled))
        }
        Outcome::Troubled(why) => moving(Step::Look, Some(trouble(why)), trouble_wait(patience.troubled)),
        Outcome::Conflict { public } => stopped(TargetState::Conflict, conflict(promotion, *public)),
        Outcome::Missing => stopped(TargetState::Missing, missing(promotion, gone)),
        Outcome::Changed { staged } => stopped(TargetState::Failed, changed(promotion, *staged, gone)),
        Outcome::Refused { code, what, public } => stopped(TargetState::Failed, refused(code, what, *public)),
    }
}

/// A target whose places this deployment does not have.
pub fn unconfigured(distro: &str, why: &impl std::fmt::Display) -> Report {
    let next = "Operator: mend `slipway.toml` or the secret, deploy, then play the release job again.";
    let problem = problem("not-configured", format!("{why}."), "unknown", "safe", next);
    Report { distro: distro.to_owned(), state: TargetState::Failed, step: None, problem: Some(problem) }
}

fn problem(code: &str, what: String, public: &str, retry: &str, next: &str) -> Problem {
    Problem { code: code.to_owned(), what, public: public.to_owned(), retry: retry.to_owned(), next: next.to_owned() }
}

fn not_served(Promotion { public, filename, .. }: &Promotion) -> Problem {
    let what = format!("{} has `{filename}`, but its index has not served it for an hour.", public.repository);
    let next = "Operator: look at the package server's indexing, then play the release job again.";
    problem("not-served", what, "partly", "safe", next)
}

fn no_digest(Promotion { filename, .. }: &Promotion) -> Problem {
    let what = format!("`{filename}` is listed, and in an hour no SHA-256 of it was computed.");
    let next = "Operator: look at the package servers, staging and public, then play the release job again.";
    problem("no-digest", what, "unknown", "safe", next)
}

fn trouble(why: &str) -> Problem {
    problem("trouble", format!("{why}."), "unknown", "automatic", "Nobody: it is tried again by itself.")
}

fn gave_up(why: &str, troubled: u32) -> Problem {
    let what = format!("After {} attempts: {why}.", troubled + 1);
    let next = "Operator: look at the package server, then play the release job again.";
    problem("unreachable", what, "unknown", "safe", next)
}

fn conflict(Promotion { public, filename, digest, .. }: &Promotion, found: Digest) -> Problem {
    let repository = &public.repository;
    let what =
        format!("{repository} has another `{filename}`: public {found}, approved {digest}. Nothing was replaced.");
    let next = "Release manager: find out who published the other file. A released name never gets other bytes, so \
                raise the package's revision.";
    problem("conflict", what, "none", "useless", next)
}

fn missing(Promotion { staging, public, filename, .. }: &Promotion, gone: Visible) -> Problem {
    let what = format!("`{filename}` is no longer in {}, and not in {}.", staging.repository, public.repository);
    let next = "Release manager: run its build job again, so that it is staged again.";
    problem("missing", what, gone.word(), "useless", next)
}

fn changed(Promotion { staging, filename, digest, .. }: &Promotion, found: Option<Digest>, gone: Visible) -> Problem {
    let found = found.map_or_else(|| "bytes of another length".to_owned(), |found| found.to_string());
    let repository = &staging.repository;
    let what = format!("`{filename}` in {repository} is not what was approved: found {found}, approved {digest}.");
    let next = "Release manager: find out who changed the staged file. Nothing of it became public.";
    problem("staged-bytes-changed", what, gone.word(), "useless", next)
}

/// Staging has another file under a declared name.
pub fn staging_conflict(repository: &Repository, filename: &Filename, found: Digest, declared: Digest) -> Problem {
    let what = format!("{repository} has another `{filename}`: {found}, declared {declared}.");
    let next =
        "Build owner: find out who pushed the other file. Remove it and run the build job again, or raise the version.";
    problem("staging-conflict", what, "none", "useless", next)
}

fn refused(code: &str, what: &str, public: Visible) -> Problem {
    let next = "Operator: mend the cause, then play the release job again.";
    problem(code, format!("{what}."), public.word(), "safe", next)
}

/// How soon a slot is asked for again. Each time costs a look at both places, and transfers take seconds to minutes.
const SLOT_WAIT: Duration = Duration::from_secs(3);

/// 1 s at first, since a small server indexes at once, doubling to 30 s.
fn index_wait(waited: u32) -> Duration {
    Duration::from_secs((1 << waited.min(5)).min(30))
}

/// 5, 10, 20 … seconds up to 4 minutes: [`ATTEMPTS_MAX`] of them are about 20 minutes. The slowest answer to a push on
/// record took 10 s, and a push that broke may be finished by the server meanwhile.
fn trouble_wait(troubled: u32) -> Duration {
    Duration::from_secs((5 << troubled.min(6)).min(240))
}

/// The state of a package with several targets: the one that most needs a person, or else the least far.
pub fn package_state(states: impl IntoIterator<Item = TargetState>) -> TargetState {
    use TargetState as S;
    const URGENCY: [S; 11] = [
        S::Conflict,
        S::Failed,
        S::Missing,
        S::Expired,
        S::Expected,
        S::Staged,
        S::Approved,
        S::Releasing,
        S::Withdrawn,
        S::Released,
        S::Skipped,
    ];
    let rank = |state: &S| URGENCY.iter().position(|urgent| urgent == state);
    states.into_iter().min_by_key(rank).unwrap_or(S::Expected)
}

/// The state of a release, from its packages'.
pub fn release_state(packages: &[TargetState]) -> ReleaseState {
    use TargetState as S;
    let all = |holds: fn(&S) -> bool| !packages.is_empty() && packages.iter().all(holds);
    if all(|state| matches!(state, S::Released | S::Skipped)) {
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

/// State and verdict of a release's packages, as the API shows them.
pub fn judge(project: &str, version: &Version, packages: &[api::Package]) -> (ReleaseState, String) {
    let states: Vec<TargetState> =
        packages.iter().map(|package| package_state(package.targets.iter().map(|target| target.state))).collect();
    (release_state(&states), verdict(project, version, &states))
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
    fn a_release_is_complete_only_when_all_that_ships_is_released() {
        for (packages, state) in [
            (vec![], ReleaseState::Expected),
            (vec![S::Staged, S::Expected], ReleaseState::Expected),
            (vec![S::Staged, S::Releasing], ReleaseState::Staged),
            (vec![S::Staged, S::Missing], ReleaseState::Expected),
            (vec![S::Released, S::Failed], ReleaseState::Staged),
            (vec![S::Released, S::Skipped], ReleaseState::Complete),
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
