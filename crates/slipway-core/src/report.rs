//! What was done to a target, in words: its progress, and its problem where a person is needed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_wire::{Digest, Planted, TooSlow, planted};

use crate::amount;
use crate::api::{Act, Attempt, Problem, Step};
use crate::cargo::{Cargo, TargetName};
use crate::problem::{Code, Visible};
use crate::promotion::{Outcome, Promotion};
use crate::release::TargetState;
use crate::route::How;
use crate::store::Floated;
use crate::time::Timestamp;
use crate::trouble::{Trouble, TroubleKind};

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
/// However long a registry wants to be left alone, it is asked again after this time: somebody waits for the release.
pub const LEFT_ALONE_MAX: Duration = Duration::from_hours(1);
/// How often somebody who waits looks whether Slipway runs again.
pub const STOPPED_AGAIN: Duration = Duration::from_secs(20);
/// How long an account may be cut off: as long as an approval holds.
pub const CUT_OFF_MAX: Duration = Duration::from_hours(4);

/// What the record shows of a target on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The target, by the text form of its name.
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
    /// How many reports of the target there were under its approval, this one included: a report can be overtaken on its way.
    /// Those that were written down before they were counted have none, and are read as they were written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// The floating tags that were set for it so far, unless it goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<Floated>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Report {
    /// A report of a state and nothing more.
    pub fn of(distro: impl Into<String>, state: TargetState) -> Self {
        Self {
            distro: distro.into(),
            state,
            step: None,
            problem: None,
            outside: false,
            attempts: Vec::new(),
            number: 0,
            floating: Vec::new(),
        }
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
            Outcome::AwaitingSlot(_) | Outcome::Paused(_) => Self { cut_off_since: None, ..self },
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
            Outcome::Released
            | Outcome::Conflict { .. }
            | Outcome::Changed { .. }
            | Outcome::Stopped { .. }
            | Outcome::Refused { .. } => Self { waited: 0, ..calm },
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
    let shown = |state, step, problem| Report { step, problem, ..Report::of(promotion.target.to_string(), state) };
    let after = |wait| Next::After(jittered(wait, random));
    let moving = |step, problem, wait| (shown(TargetState::Releasing, Some(step), problem), after(wait));
    let stopped = |state, problem| (shown(state, None, Some(problem)), Next::Settled);
    if let Some((state, problem)) = over(promotion, outcome, patience, now) {
        return stopped(state, problem);
    }
    let known = Known::of(promotion, patience);
    match outcome {
        Outcome::Released => {
            let outside = patience.begun.is_none();
            (Report { outside, ..shown(TargetState::Released, None, None) }, Next::Settled)
        }
        // The account itself says when, and calls sooner when a slot is free.
        Outcome::AwaitingSlot(wait) => (shown(TargetState::Approved, None, None), Next::After(*wait)),
        Outcome::CutOff { trouble, again, public } => {
            let problem = told(Code::AccountCutOff, trouble, known.after_any_act(*public));
            (shown(TargetState::Approved, None, Some(problem)), after(*again))
        }
        Outcome::Paused(stopped) => {
            let problem = Code::Stopped.problem(format!("{stopped}."), known.after_any_act(Visible::Nothing), None);
            (shown(TargetState::Approved, None, Some(problem)), after(STOPPED_AGAIN))
        }
        Outcome::AwaitingDigest => moving(Step::Look, None, index_wait(patience.waited)),
        Outcome::AwaitingIndex => moving(Step::Index, None, index_wait(patience.waited)),
        Outcome::Nowhere => {
            let step = if patience.begun == Some(Act::Move) { Step::Move } else { Step::Look };
            let waited = if patience.nowhere_since.is_some() { patience.waited } else { 0 };
            moving(step, None, index_wait(waited))
        }
        Outcome::TooSlow(slow) => {
            // It is not copied again by the alarm: that could not end either. When nobody has carried it by then, it stops.
            let wait = CARRY_WAIT_MAX.saturating_add(Duration::from_secs(1));
            let problem = too_slow(Code::TooSlow, promotion, slow, known.after_earlier_acts(Visible::Nothing));
            (shown(TargetState::Releasing, Some(Step::Carry), Some(problem)), Next::After(wait))
        }
        Outcome::Troubled(trouble) => {
            let problem = told(Code::Trouble, trouble, Visible::Unknown);
            // Whoever is told when to come again does not come sooner, for all its jitter.
            let (shown, wait) = moving(Step::Look, Some(problem), trouble_wait(patience.troubled));
            match (trouble.kind, wait) {
                (TroubleKind::Throttled { wait: asked }, Next::After(wait)) => {
                    let left_alone = asked.from(now.0.div_euclid(1000)).min(LEFT_ALONE_MAX);
                    (shown, Next::After(wait.saturating_add(left_alone)))
                }
                _ => (shown, wait),
            }
        }
        Outcome::Conflict { public, moved } => {
            let ours = known.after_any_act(Visible::Nothing);
            stopped(TargetState::Conflict, conflict(promotion, *public, *moved, ours))
        }
        Outcome::Changed { staged } => {
            stopped(TargetState::Failed, changed(promotion, *staged, known.after_earlier_acts(known.gone())))
        }
        Outcome::Stopped { state, problem } => (shown(*state, None, problem.clone()), Next::Settled),
        Outcome::Refused { code, trouble, public } => {
            stopped(TargetState::Failed, told(*code, trouble, known.after_earlier_acts(*public)))
        }
    }
}

/// What has lasted for too long to go on, and what is said of it then.
fn over(
    promotion: &Promotion,
    outcome: &Outcome,
    patience: Patience,
    now: Timestamp,
) -> Option<(TargetState, Problem)> {
    let is_past = |since: Option<Timestamp>, max| since.is_some_and(|since| now.since(since) > max);
    let known = Known::of(promotion, patience);
    let failed = |problem| Some((TargetState::Failed, problem));
    match outcome {
        Outcome::CutOff { trouble, public, .. } if is_past(patience.cut_off_since, CUT_OFF_MAX) => {
            failed(told(Code::StillCutOff, trouble, known.after_any_act(*public)))
        }
        Outcome::AwaitingDigest if patience.waited >= WAITS_MAX => failed(no_digest(promotion)),
        Outcome::AwaitingIndex if is_past(patience.accepted_at, INDEX_WAIT_MAX) => failed(not_served(promotion)),
        Outcome::Nowhere if planted(Planted::AbsenceIsMissing) => {
            Some((TargetState::Missing, missing(promotion, known.gone())))
        }
        Outcome::Nowhere if is_past(patience.nowhere_since, nowhere_max(patience)) => match patience.begun {
            Some(Act::Move) => failed(lost_in_move(promotion)),
            _ => Some((TargetState::Missing, missing(promotion, known.after_any_act(known.gone())))),
        },
        Outcome::TooSlow(slow) if is_past(patience.carry_since, CARRY_WAIT_MAX) => {
            failed(too_slow(Code::NobodyCarries, promotion, slow, known.after_earlier_acts(Visible::Nothing)))
        }
        Outcome::Troubled(trouble) if patience.troubled >= ATTEMPTS_MAX => failed(gave_up(trouble, patience.troubled)),
        _ => None,
    }
}

/// How much a public place that does not list the file says, by what was begun.
#[derive(Clone, Copy)]
struct Known {
    /// The place had the file before, or was told to move it.
    was_there: bool,
    /// An act was begun, in this run or before.
    begun: bool,
    /// An act was begun before this run.
    begun_before: bool,
}

impl Known {
    fn of(promotion: &Promotion, patience: Patience) -> Self {
        let begun = patience.begun.is_some();
        let was_there = patience.accepted_at.is_some() || promotion.how == How::Move && begun;
        Self { was_there, begun, begun_before: promotion.begun }
    }

    /// Of a file that staging does not have as approved. What the public place had, and does not list now, may be there all
    /// the same: lists can be behind. What was told to move may be on its way.
    fn gone(self) -> Visible {
        if self.was_there { Visible::Unknown } else { Visible::Nothing }
    }

    /// After an act, a list without the file says nothing for sure.
    fn after_any_act(self, public: Visible) -> Visible {
        if self.begun && public == Visible::Nothing { Visible::Unknown } else { public }
    }

    /// An act of an earlier run may have done its work, whatever staging has by now, and whatever this run was answered.
    fn after_earlier_acts(self, public: Visible) -> Visible {
        if self.begun_before && public == Visible::Nothing { Visible::Unknown } else { public }
    }
}

/// What an attempt is called that ended so. `None` where nothing was tried and nothing went wrong.
pub fn ended(outcome: &Outcome, report: &Report, acted: bool) -> Option<String> {
    match (&report.problem, outcome) {
        // Whoever found everything stopped has tried nothing.
        (_, Outcome::Paused(_)) if !acted => None,
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
    Outcome::Troubled(Trouble::passing("the edge was stopped each time before it could end; its log may say why"))
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

fn not_served(promotion @ Promotion { public, target, cargo, digest, .. }: &Promotion) -> Problem {
    let repository = public.name();
    let what = match target {
        TargetName::Distro(_) => format!("{repository} has `{cargo}`, but its index has not served it for an hour."),
        TargetName::Tag(tag) => {
            format!("{repository} took the image {digest}, but has not served all of it as `{tag}` for an hour.")
        }
    };
    of_target(Code::NotServed, promotion, what, Visible::Partly)
}

/// A problem with what is done about a package, or about an image.
fn of_target(code: Code, promotion: &Promotion, what: String, public: Visible) -> Problem {
    let problem = code.problem(what, public, None);
    match promotion.target {
        TargetName::Distro(_) => problem,
        TargetName::Tag(_) => Problem { next: code.next_of_image().to_owned(), ..problem },
    }
}

fn no_digest(Promotion { cargo, .. }: &Promotion) -> Problem {
    let what = format!("`{cargo}` is listed, and in an hour no SHA-256 of it was computed.");
    Code::NoDigest.problem(what, Visible::Unknown, None)
}

fn gave_up(trouble: &Trouble, troubled: u32) -> Problem {
    let what = format!("After {} attempts: {}.", troubled + 1, trouble.what);
    Code::Unreachable.problem(what, Visible::Unknown, trouble.evidence.clone())
}

fn conflict(
    promotion @ Promotion { public, target, cargo, digest, .. }: &Promotion,
    found: Digest,
    moved: bool,
    ours: Visible,
) -> Problem {
    let repository = public.name();
    if moved {
        let what = format!(
            "`{cargo}` was moved by its name, and {repository} now has other bytes than were approved: public {found}, \
             approved {digest}."
        );
        return Code::MovedOtherBytes.problem(what, Visible::Done, None);
    }
    let other = match target {
        TargetName::Distro(_) => format!("another `{cargo}`"),
        TargetName::Tag(tag) => format!("another image as `{tag}`"),
    };
    let what = format!("{repository} has {other}: public {found}, approved {digest}. Nothing was replaced.");
    of_target(Code::Conflict, promotion, what, ours)
}

fn lost_in_move(Promotion { staging, public, cargo, .. }: &Promotion) -> Problem {
    let what = format!(
        "`{cargo}` was told to move from {} to {}, and for half an hour neither has listed it.",
        staging.name(),
        public.name()
    );
    Code::LostInMove.problem(what, Visible::Unknown, None)
}

/// What is said of a target whose carrier has gone without a word: its copy may have come through all the same.
pub fn carrier_gone(cargo: &Cargo) -> Problem {
    let what = format!(
        "Whoever carried `{cargo}` is gone, and whether it came through is not known yet. It waits to be carried again."
    );
    Code::TooSlow.problem(what, Visible::Unknown, None)
}

fn too_slow(code: Code, Promotion { cargo, size, .. }: &Promotion, slow: &TooSlow, public: Visible) -> Problem {
    let TooSlow { bytes, rate_bytes_per_second, needed_seconds, left_seconds } = *slow;
    let of_it = match public {
        Visible::Nothing => "Nothing of it is public.",
        _ => "What became of an earlier try is not known.",
    };
    let what = format!(
        "`{cargo}` is copied too slowly: after {} the rest needs {} minutes at {} a second, and the edge has only {} \
         by itself. {of_it}",
        amount::part(bytes, *size),
        needed_seconds.div_ceil(60),
        amount::size(rate_bytes_per_second),
        left_seconds / 60,
    );
    code.problem(what, public, None)
}

fn missing(Promotion { staging, public, target, cargo, digest, how, .. }: &Promotion, gone: Visible) -> Problem {
    let it = match target {
        TargetName::Distro(_) => format!("`{cargo}`"),
        TargetName::Tag(_) => format!("The image {digest}"),
    };
    let how = if *how == How::Move { " Its route moves files, so it may have been moved by hand." } else { "" };
    let what = format!("{it} is no longer in {}, and not in {}.{how}", staging.name(), public.name());
    Code::Missing.problem(what, gone, None)
}

fn changed(Promotion { staging, cargo, digest, .. }: &Promotion, found: Option<Digest>, gone: Visible) -> Problem {
    let found = found.map_or_else(|| "bytes of another length".to_owned(), |found| found.to_string());
    let repository = staging.name();
    let what = format!("`{cargo}` in {repository} is not what was approved: found {found}, approved {digest}.");
    Code::StagedBytesChanged.problem(what, gone, None)
}

/// Staging has another file under a declared name.
pub fn staging_conflict(
    repository: &impl std::fmt::Display,
    cargo: &Cargo,
    found: Digest,
    declared: Digest,
) -> Problem {
    let what = format!("{repository} has another `{cargo}`: {found}, declared {declared}.");
    Code::StagingConflict.problem(what, Visible::Nothing, None)
}

/// Left out of a release on purpose.
pub fn skipped(reason: &str) -> Problem {
    Code::Skipped.problem(format!("Not shipped: {reason}"), Visible::Nothing, None)
}

/// The same of a target of which something was begun: nobody has looked whether the public place has it.
pub fn skipped_when_begun(reason: &str) -> Problem {
    let what = format!("Not shipped: {reason}. Something of it was begun, so the public place may have it");
    Code::Skipped.problem(what, Visible::Unknown, None)
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

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_wire::Wait;

    use crate::store::Store;

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

    /// A copy to a public repository; `begun`: an earlier run has begun one already.
    fn copy(begun: bool) -> Promotion {
        let store = |name: &str| Store::Packagecloud {
            account: slipway_packagecloud::Account::new(
                "https://packages.example".parse().expect("an address"),
                slipway_wire::Token::new("token".to_owned()),
            ),
            repository: name.parse().expect("a repository"),
            storage: Vec::new(),
        };
        Promotion {
            staging: store("acme/staging"),
            public: store("acme/stable"),
            target: "ubuntu/jammy".parse().expect("a distro version"),
            cargo: "tug_17.3.1-1_amd64.deb".parse().expect("a name"),
            digest: Digest::of(b"the approved bytes"),
            size: 18,
            how: How::Copy,
            begun,
        }
    }

    /// The same of an image.
    fn image() -> Promotion {
        let store = |name: &str| {
            Store::Registry(Box::new(crate::store::Registry {
                registry: slipway_oci::Registry {
                    base: "https://registry.example".parse().expect("an address"),
                    credential: None,
                    realm: None,
                    service: None,
                    storage: Vec::new(),
                },
                repository: name.parse().expect("a repository"),
                private: false,
                referrers: false,
                floating: Vec::new(),
            }))
        };
        Promotion {
            staging: store("acme/app/staging"),
            public: store("acme/app"),
            target: ":17.3.1".parse().expect("a tag"),
            cargo: "registry.example/acme/app/staging".parse().expect("an image"),
            ..copy(false)
        }
    }

    #[test]
    fn what_is_wrong_with_an_image_is_said_of_an_image_and_its_tag() {
        let digest = Digest::of(b"the approved bytes");
        let other = Digest::of(b"other bytes");
        let said = |promotion: &Promotion, outcome: &Outcome, patience: Patience| {
            let (report, _) = report(promotion, outcome, patience, Timestamp(1_795_392_000_000), 0);
            let Problem { what, next, .. } = report.problem.expect("a problem");
            (what, next)
        };
        let long_ago = Some(Timestamp(1_795_300_000_000));
        let waiting = Patience { accepted_at: long_ago, nowhere_since: long_ago, ..Patience::default() };
        let conflict = Outcome::Conflict { public: other, moved: false };
        for (outcome, what, next) in [
            (
                &conflict,
                format!(
                    "acme/app has another image as `17.3.1`: public {other}, approved {digest}. Nothing was replaced."
                ),
                "Release manager: find out who set the tag. A released tag never gets another image, so release a new version.",
            ),
            (
                &Outcome::AwaitingIndex,
                format!("acme/app took the image {digest}, but has not served all of it as `17.3.1` for an hour."),
                "Operator: look at the registry, then play the release job again.",
            ),
            (
                &Outcome::Nowhere,
                format!("The image {digest} is no longer in acme/app/staging, and not in acme/app."),
                "Release manager: run its build job again, so that it is staged again.",
            ),
        ] {
            assert_eq!(said(&image(), outcome, waiting), (what, next.to_owned()));
        }
        let (what, next) = said(&copy(false), &conflict, waiting);
        assert!(what.starts_with("acme/stable has another `tug_17.3.1-1_amd64.deb`: public "), "{what}");
        assert!(
            next.contains("who published the other file") && next.contains("raise the package's revision"),
            "{next}"
        );
    }

    #[test]
    fn a_copy_that_is_too_slow_is_told_in_minutes_and_in_units_of_the_package() {
        let promotion = Promotion { size: 134_217_728, ..copy(false) };
        let slow =
            TooSlow { bytes: 2_000_000, rate_bytes_per_second: 110_000, needed_seconds: 1202, left_seconds: 768 };
        let outcome = Outcome::TooSlow(slow);
        let (report, _) = report(&promotion, &outcome, Patience::default(), Timestamp(1_795_392_000_000), 0);
        assert_eq!(
            report.problem.expect("it waits for its job").what,
            "`tug_17.3.1-1_amd64.deb` is copied too slowly: after 2.0 of 134.2 MB the rest needs 21 minutes at 110.0 kB a \
             second, and the edge has only 12 by itself. Nothing of it is public."
        );
    }

    #[test]
    fn whoever_is_told_when_to_come_again_does_not_come_sooner() {
        let now = Timestamp(1_795_392_000_000);
        let ten_minutes = Duration::from_mins(10);
        for (wait, least) in [
            (Wait::For(ten_minutes), ten_minutes),
            (Wait::Until(1_795_392_600), ten_minutes),
            (Wait::Until(1_795_000_000), Duration::ZERO),
            (Wait::For(Duration::MAX), LEFT_ALONE_MAX),
        ] {
            let kind = TroubleKind::Throttled { wait };
            let trouble = Trouble { kind, ..Trouble::passing("the registry is asked too much") };
            for random in [0, 1_000, u64::MAX] {
                let outcome = Outcome::Troubled(trouble.clone());
                let (_, next) = report(&copy(false), &outcome, Patience::default(), now, random);
                let Next::After(found) = next else { panic!("it is tried again") };
                assert!(found >= least && found < least + Duration::from_mins(1), "{wait:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_refusal_after_an_earlier_act_never_says_that_nothing_is_public() {
        let trouble = Trouble::lasting(Code::Refused, "the server takes no more packages".to_owned());
        let outcome = Outcome::Refused { code: Code::Refused, trouble, public: Visible::Nothing };
        // This run has begun an act as well, and was told that it was refused.
        let patience = Patience { begun: Some(Act::Copy), ..Patience::default() };
        for (begun_before, seen) in [(false, Visible::Nothing), (true, Visible::Unknown)] {
            let (report, _) = report(&copy(begun_before), &outcome, patience, Timestamp(1_795_392_000_000), 0);
            assert_eq!(report.problem.expect("it is refused").public, seen.word());
        }
    }
}
