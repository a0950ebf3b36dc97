//! What was done, in words: the progress of a target, its problem where a person is needed, the verdict of a release.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_package::Filename;
use slipway_wire::{Digest, Planted, TooSlow, planted};

use crate::api::{self, Act, Attempt, Problem, Step};
use crate::problem::{Code, Visible};
use crate::promotion::{Outcome, Promotion};
use crate::release::{ReleaseState, TargetState, Version};
use crate::route::How;
use crate::time::Timestamp;
use crate::trouble::Trouble;

/// How often a promotion that meets passing trouble tries before it asks for a person: about 20 minutes of waits.
pub const ATTEMPTS_MAX: u32 = 10;
/// How long the public index may take to serve an accepted file. packagecloud promises no time; an hour is far more
/// than has been seen.
pub const INDEX_WAIT_MAX: Duration = Duration::from_hours(1);
/// How often a digest is asked for that a server has not computed: ¼, ½, 1, 2, 4, 8, 16 s and then every 30 s, an hour.
pub const WAITS_MAX: u32 = 126;
/// How long a file may be in neither place after an act was begun: a server may finish a push or a move after its answer
/// was lost. The slowest move on record took 10 s.
pub const NOWHERE_AFTER_ACT_MAX: Duration = Duration::from_mins(30);
/// How long a staged file may be in neither place before anything was begun: one list without it is no evidence, since
/// lists can be behind. Looks come after 1, 2, 4, 8, 16 and 30 s.
pub const NOWHERE_MAX: Duration = Duration::from_secs(45);
/// How long a copy that the edge cannot end by itself waits for a job that carries it.
pub const CARRY_WAIT_MAX: Duration = Duration::from_mins(10);
/// How long an account may be cut off: as long as an approval holds.
pub const CUT_OFF_MAX: Duration = Duration::from_hours(4);
/// How long a run that the edge drives by itself can last: <https://developers.cloudflare.com/durable-objects/api/alarms/>.
pub const RUN_MAX: Duration = Duration::from_mins(15);

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
    /// The same bytes were public before Slipway did anything.
    #[serde(default)]
    pub outside: bool,
    /// What was tried under its approval so far. The record adds those that it does not have.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

impl Report {
    /// A report of a state and nothing more.
    pub fn of(distro: impl Into<String>, state: TargetState) -> Self {
        Self { distro: distro.into(), state, step: None, problem: None, outside: false, attempts: Vec::new() }
    }
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
    /// What was begun last for these bytes, under this approval or an older one, however it ended.
    #[serde(default)]
    pub begun: Option<Act>,
    /// Since when neither place has the file.
    #[serde(default)]
    pub nowhere_since: Option<Timestamp>,
    /// Since when the copy waits for a job that carries it.
    #[serde(default)]
    pub carry_since: Option<Timestamp>,
    /// Since when the destination account is cut off.
    #[serde(default)]
    pub cut_off_since: Option<Timestamp>,
}

impl Patience {
    /// What is left of it after a run.
    #[must_use]
    pub fn after(self, outcome: &Outcome, now: Timestamp) -> Self {
        let calm = Self { troubled: 0, nowhere_since: None, carry_since: None, cut_off_since: None, ..self };
        match outcome {
            Outcome::AwaitingIndex => {
                Self { waited: self.waited.saturating_add(1), accepted_at: since(self.accepted_at, now), ..calm }
            }
            Outcome::AwaitingDigest => Self { waited: self.waited.saturating_add(1), ..calm },
            // Whoever waits for a slot has tried nothing, so that ends no trouble and is none.
            Outcome::AwaitingSlot(_) => Self { cut_off_since: None, ..self },
            Outcome::CutOff { .. } => Self { cut_off_since: since(self.cut_off_since, now), ..self },
            Outcome::Nowhere => Self {
                waited: if self.nowhere_since.is_some() { self.waited.saturating_add(1) } else { 1 },
                nowhere_since: since(self.nowhere_since, now),
                ..calm
            },
            Outcome::TooSlow(_) => Self { waited: 0, carry_since: since(self.carry_since, now), ..calm },
            Outcome::Troubled(_) => {
                Self { troubled: self.troubled.saturating_add(1), waited: 0, cut_off_since: None, ..self }
            }
            Outcome::Released | Outcome::Conflict { .. } | Outcome::Changed { .. } | Outcome::Refused { .. } => {
                Self { waited: 0, ..calm }
            }
        }
    }
}

/// Since when something lasts that lasts now. A beginning that lies ahead was written down when the clock was wrong: from
/// there the wait would take that much longer.
fn since(begun: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    begun.filter(|begun| *begun <= now).or(Some(now))
}

/// Turns an outcome into what people see, and when the next run is due. `random` spreads those who wait for the same.
pub fn report(
    promotion: &Promotion,
    outcome: &Outcome,
    patience: Patience,
    now: Timestamp,
    random: u64,
) -> (Report, Next) {
    let shown = |state, step, problem| Report { step, problem, ..Report::of(promotion.distro.to_string(), state) };
    let after = |wait| Next::After(jittered(wait, random));
    let moving = |step, problem, wait| (shown(TargetState::Releasing, Some(step), problem), after(wait));
    let stopped = |state, problem| (shown(state, None, Some(problem)), Next::Settled);
    let is_past = |since: Option<Timestamp>, max| since.is_some_and(|since| now.since(since) > max);
    // What the public place had, and does not list now, may be there all the same: lists can be behind.
    // What was told to move may be on its way, whatever staging has by now.
    let is_underway = promotion.how == How::Move && patience.begun.is_some();
    let gone = if patience.accepted_at.is_some() || is_underway { Visible::Unknown } else { Visible::Nothing };
    // After an act, a list without the file says nothing for sure.
    let at_most =
        |public| if patience.begun.is_some() && public == Visible::Nothing { Visible::Unknown } else { public };
    match outcome {
        Outcome::Released => {
            let outside = patience.begun.is_none();
            (Report { outside, ..shown(TargetState::Released, None, None) }, Next::Settled)
        }
        // The account itself says when, and calls sooner when a slot is free.
        Outcome::AwaitingSlot(wait) => (shown(TargetState::Approved, None, None), Next::After(*wait)),
        Outcome::CutOff { trouble, public, .. } if is_past(patience.cut_off_since, CUT_OFF_MAX) => {
            stopped(TargetState::Failed, told(Code::StillCutOff, trouble, at_most(*public)))
        }
        Outcome::CutOff { trouble, again, public } => {
            let problem = told(Code::AccountCutOff, trouble, at_most(*public));
            (shown(TargetState::Approved, None, Some(problem)), after(*again))
        }
        Outcome::AwaitingDigest if patience.waited >= WAITS_MAX => stopped(TargetState::Failed, no_digest(promotion)),
        Outcome::AwaitingDigest => moving(Step::Look, None, index_wait(patience.waited)),
        Outcome::AwaitingIndex if is_past(patience.accepted_at, INDEX_WAIT_MAX) => {
            stopped(TargetState::Failed, not_served(promotion))
        }
        Outcome::AwaitingIndex => moving(Step::Index, None, index_wait(patience.waited)),
        Outcome::Nowhere if planted(Planted::AbsenceIsMissing) => {
            stopped(TargetState::Missing, missing(promotion, gone))
        }
        Outcome::Nowhere if is_past(patience.nowhere_since, nowhere_max(patience)) => match patience.begun {
            Some(Act::Move) => stopped(TargetState::Failed, lost_in_move(promotion)),
            _ => stopped(TargetState::Missing, missing(promotion, at_most(gone))),
        },
        Outcome::Nowhere => {
            let step = if patience.begun == Some(Act::Move) { Step::Move } else { Step::Look };
            let waited = if patience.nowhere_since.is_some() { patience.waited } else { 0 };
            moving(step, None, index_wait(waited))
        }
        Outcome::TooSlow(slow) if is_past(patience.carry_since, CARRY_WAIT_MAX) => {
            stopped(TargetState::Failed, too_slow(Code::NobodyCarries, promotion, slow))
        }
        Outcome::TooSlow(slow) => {
            // It is not copied again by the alarm: that could not end either. When nobody has carried it by then, it stops.
            let wait = CARRY_WAIT_MAX.saturating_add(Duration::from_secs(1));
            let problem = too_slow(Code::TooSlow, promotion, slow);
            (shown(TargetState::Releasing, Some(Step::Carry), Some(problem)), Next::After(wait))
        }
        Outcome::Troubled(trouble) if patience.troubled >= ATTEMPTS_MAX => {
            stopped(TargetState::Failed, gave_up(trouble, patience.troubled))
        }
        Outcome::Troubled(trouble) => {
            let problem = told(Code::Trouble, trouble, Visible::Unknown);
            moving(Step::Look, Some(problem), trouble_wait(patience.troubled))
        }
        Outcome::Conflict { public, moved } => {
            stopped(TargetState::Conflict, conflict(promotion, *public, *moved, at_most(Visible::Nothing)))
        }
        // An act of an earlier run may have done its work, whatever staging has by now.
        Outcome::Changed { staged } => {
            let seen = if promotion.begun && gone == Visible::Nothing { Visible::Unknown } else { gone };
            stopped(TargetState::Failed, changed(promotion, *staged, seen))
        }
        // That this act was refused says nothing of one before it, whose answer was lost.
        Outcome::Refused { code, trouble, public } => {
            let seen = if promotion.begun && *public == Visible::Nothing { Visible::Unknown } else { *public };
            stopped(TargetState::Failed, told(*code, trouble, seen))
        }
    }
}

/// What an attempt is called that ended so. `None` where nothing was tried and nothing went wrong.
pub fn ended(outcome: &Outcome, report: &Report, acted: bool) -> Option<String> {
    match (&report.problem, outcome) {
        (Some(problem), _) => Some(problem.code.clone()),
        (None, Outcome::Released | Outcome::AwaitingIndex | Outcome::AwaitingDigest | Outcome::Nowhere) if acted => {
            Some("accepted".to_owned())
        }
        (None, _) => None,
    }
}

/// A target whose places this deployment does not have.
pub fn unconfigured(distro: &str, why: &impl std::fmt::Display) -> Report {
    let problem = Code::NotConfigured.problem(format!("{why}."), Visible::Unknown, None);
    Report { problem: Some(problem), ..Report::of(distro, TargetState::Failed) }
}

/// A run that was cut off again and again before it could end.
pub fn cut_off_run() -> Outcome {
    Outcome::Troubled(Trouble::passing("the run was cut off before it ended, as every one before it"))
}

/// How long a file may be in neither place.
fn nowhere_max(patience: Patience) -> Duration {
    if patience.begun.is_some() { NOWHERE_AFTER_ACT_MAX } else { NOWHERE_MAX }
}

/// A wait, up to a quarter shorter or longer, so that those who began together do not go on together.
fn jittered(wait: Duration, random: u64) -> Duration {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let spread = ms / 2;
    let offset = if spread == 0 { 0 } else { random % (spread + 1) };
    Duration::from_millis((ms - spread / 2).saturating_add(offset))
}

fn told(code: Code, trouble: &Trouble, public: Visible) -> Problem {
    code.problem(format!("{}.", trouble.what), public, trouble.evidence.clone())
}

fn not_served(Promotion { public, filename, .. }: &Promotion) -> Problem {
    let what = format!("{} has `{filename}`, but its index has not served it for an hour.", public.name());
    Code::NotServed.problem(what, Visible::Partly, None)
}

fn no_digest(Promotion { filename, .. }: &Promotion) -> Problem {
    let what = format!("`{filename}` is listed, and in an hour no SHA-256 of it was computed.");
    Code::NoDigest.problem(what, Visible::Unknown, None)
}

fn gave_up(trouble: &Trouble, troubled: u32) -> Problem {
    let what = format!("After {} attempts: {}.", troubled + 1, trouble.what);
    Code::Unreachable.problem(what, Visible::Unknown, trouble.evidence.clone())
}

fn conflict(
    Promotion { public, filename, digest, .. }: &Promotion,
    found: Digest,
    moved: bool,
    ours: Visible,
) -> Problem {
    let repository = public.name();
    if moved {
        let what = format!(
            "`{filename}` was moved by its name, and {repository} now has other bytes than were approved: public {found}, \
             approved {digest}."
        );
        return Code::MovedOtherBytes.problem(what, Visible::Done, None);
    }
    let what =
        format!("{repository} has another `{filename}`: public {found}, approved {digest}. Nothing was replaced.");
    Code::Conflict.problem(what, ours, None)
}

fn lost_in_move(Promotion { staging, public, filename, .. }: &Promotion) -> Problem {
    let what = format!(
        "`{filename}` was told to move from {} to {}, and for half an hour neither has listed it.",
        staging.name(),
        public.name()
    );
    Code::LostInMove.problem(what, Visible::Unknown, None)
}

fn too_slow(code: Code, Promotion { filename, size, .. }: &Promotion, slow: &TooSlow) -> Problem {
    let TooSlow { bytes, rate_bytes_per_second, needed_seconds, .. } = slow;
    let what = format!(
        "`{filename}` has {size} bytes; after {bytes} of them, at {rate_bytes_per_second} bytes a second, the rest would \
         take {} more minutes, and the edge may run for {} by itself. Nothing of it is public.",
        needed_seconds.div_ceil(60),
        RUN_MAX.as_secs() / 60,
    );
    code.problem(what, Visible::Nothing, None)
}

fn missing(Promotion { staging, public, filename, how, .. }: &Promotion, gone: Visible) -> Problem {
    let how = if *how == How::Move { " Its route moves files, so it may have been moved by hand." } else { "" };
    let what = format!("`{filename}` is no longer in {}, and not in {}.{how}", staging.name(), public.name());
    Code::Missing.problem(what, gone, None)
}

fn changed(Promotion { staging, filename, digest, .. }: &Promotion, found: Option<Digest>, gone: Visible) -> Problem {
    let found = found.map_or_else(|| "bytes of another length".to_owned(), |found| found.to_string());
    let repository = staging.name();
    let what = format!("`{filename}` in {repository} is not what was approved: found {found}, approved {digest}.");
    Code::StagedBytesChanged.problem(what, gone, None)
}

/// Staging has another file under a declared name.
pub fn staging_conflict(
    repository: &impl std::fmt::Display,
    filename: &Filename,
    found: Digest,
    declared: Digest,
) -> Problem {
    let what = format!("{repository} has another `{filename}`: {found}, declared {declared}.");
    Code::StagingConflict.problem(what, Visible::Nothing, None)
}

/// Left out of a release on purpose.
pub fn skipped(reason: &str) -> Problem {
    Code::Skipped.problem(format!("Not shipped: {reason}"), Visible::Nothing, None)
}

/// A quarter of a second at first, since a small server indexes at once, doubling to 30 s.
fn index_wait(waited: u32) -> Duration {
    Duration::from_millis((250 << waited.min(7)).min(30_000))
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
    fn a_wait_that_began_when_the_clock_was_wrong_begins_anew_and_any_other_goes_on() {
        let now = Timestamp(1_795_392_000_000);
        let (before, ahead) = (Timestamp(now.0 - 1000), Timestamp(now.0 + 86_400_000));
        for (begun, kept) in [(before, before), (ahead, now), (now, now)] {
            let begun = Patience { nowhere_since: Some(begun), accepted_at: Some(begun), ..Patience::default() };
            assert_eq!(begun.after(&Outcome::Nowhere, now).nowhere_since, Some(kept));
            assert_eq!(begun.after(&Outcome::AwaitingIndex, now).accepted_at, Some(kept));
        }
    }

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
