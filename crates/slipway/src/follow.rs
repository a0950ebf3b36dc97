//! Following a release: a line a target as it moves, until each is released or needs a person.

use std::fmt::Write as _;

use slipway_core::api::{Evidence, Problem, Release, Step, Target};
use slipway_core::release::{Key, TargetState};

use crate::carry::Carries;
use crate::edge::{Edge, POLL_S, Pauses};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::play::Plays;
use crate::progress::Progress;
use crate::say::Say;

/// How long the edge holds its answer while bytes move, which are no change that it wakes for: on a terminal, and for a
/// job's log, which gets a line every 10 s.
const MOVING_POLL_S: (u32, u32) = (2, 10);
/// How long it holds it while jobs at GitLab are looked at between its answers.
const PLAYED_POLL_S: u32 = 5;

/// What is followed.
pub(crate) struct Follow<'a> {
    pub(crate) edge: &'a Edge<'a>,
    pub(crate) keys: &'a [Key],
    /// The jobs that a person has played: what they release has not begun to move yet.
    pub(crate) plays: Option<&'a Plays>,
    /// When patience ends, on the host's clock.
    pub(crate) end_ms: f64,
    pub(crate) timeout_s: u32,
    pub(crate) say: Say,
    /// In front of each line, where several releases are followed at once.
    pub(crate) label: &'a str,
    pub(crate) doing: &'a str,
}

impl Follow<'_> {
    /// Follows, to the end or as long as patience lasts. The release as it was seen last, and what is wrong with it.
    pub(crate) async fn to_the_end(&self) -> (Option<Release>, Result<(), Failure>) {
        let Self { edge, keys, say, .. } = *self;
        let mut before: Option<Release> = None;
        let mut pauses = Pauses::default();
        let (carries, mut progress) = (Carries::default(), Progress::default());
        loop {
            let answer = match &before {
                None => edge.release().await,
                Some(before) => edge.change(before.sequence, self.poll_s(before)).await,
            };
            let now = match answer {
                Ok(now) => now,
                Err(error) => {
                    let mut lines = error.lines();
                    lines.push(
                        "It was approved, and Slipway goes on without this job: see `slipway status`.".to_owned(),
                    );
                    return (before, Err(Failure::new(Exit::Failed, self.doing, lines)));
                }
            };
            progress.see(&now, keys);
            self.tell(&changes(before.as_ref(), &now, keys));
            match say.columns() {
                Some(columns) => host::draw(&progress.bars(&now, keys, columns)),
                None => self.tell(&progress.lines(&now, keys)),
            }
            carries.keep(edge, &now, keys, say);
            let mut begun = Vec::new();
            if let Some(plays) = self.plays {
                self.tell(&plays.look(&now).await);
                begun = plays.pending(&now);
            }
            match standing(&now, keys, &begun) {
                Standing::Released => {
                    self.tell(&[format!("released: {}", list(keys))]);
                    return (Some(now), Ok(()));
                }
                Standing::Stuck(mut lines) => {
                    lines.extend(self.plays.into_iter().flat_map(Plays::ends));
                    return (Some(now), Err(Failure::new(Exit::Failed, self.doing, lines)));
                }
                Standing::Moving(left) => {
                    if host::now_ms() > self.end_ms {
                        let mut lines = left;
                        lines.push(format!(
                            "Not done within {} s. Slipway goes on: see `slipway status`.",
                            self.timeout_s
                        ));
                        return (Some(now), Err(Failure::new(Exit::TimedOut, self.doing, lines)));
                    }
                }
            }
            // An edge that cannot hold an answer would otherwise be asked without a pause.
            if before.as_ref().is_some_and(|before| before.sequence == now.sequence) {
                host::pause_ms(pauses.next_ms()).await;
            } else {
                pauses = Pauses::default();
            }
            before = Some(now);
        }
    }

    fn tell(&self, lines: &[String]) {
        for line in lines {
            self.say.line(&format!("{}{line}", self.label));
        }
    }

    fn poll_s(&self, release: &Release) -> u32 {
        let wait = poll_s(release, self.keys, self.say.columns());
        let is_played = self.plays.is_some_and(|plays| !plays.pending(release).is_empty());
        if is_played { wait.min(PLAYED_POLL_S) } else { wait }
    }
}

/// How long the edge may hold its next answer.
fn poll_s(release: &Release, keys: &[Key], columns: Option<usize>) -> u32 {
    let sends = |target: &Target| {
        target.state == TargetState::Releasing && matches!(target.step, Some(Step::Copy | Step::Carry))
    };
    match (targets(release, keys).any(|(_, target)| sends(target)), columns) {
        (false, _) => POLL_S,
        (true, Some(_)) => MOVING_POLL_S.0,
        (true, None) => MOVING_POLL_S.1,
    }
}

pub(crate) fn list(keys: &[Key]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// The targets of `keys`, each with its key, in the answer's order.
fn targets<'a>(release: &'a Release, keys: &'a [Key]) -> impl Iterator<Item = (&'a Key, &'a Target)> {
    let packages = release.packages.iter().filter(|package| keys.contains(&package.key));
    packages.flat_map(|package| package.targets.iter().map(|target| (&package.key, target)))
}

/// How far a target is, in the words of the page.
pub(crate) fn words(target: &Target) -> String {
    match target.step.filter(|_| target.state == TargetState::Releasing) {
        None if target.outside && target.state == TargetState::Released => "Released outside".to_owned(),
        None => target.state.words().to_owned(),
        Some(Step::Look) => format!("{}: looking", target.state),
        Some(Step::Copy) => format!("{}: copying", target.state),
        Some(Step::Move) => format!("{}: moved by the server", target.state),
        Some(Step::Carry) => format!("{}: a long copy, carried by its job", target.state),
        Some(Step::Index) if target.tag.is_some() => format!("{}: accepted, waiting for its tag", target.state),
        Some(Step::Index) => format!("{}: accepted, waiting for the index", target.state),
    }
}

/// A line for each target of `keys` that is elsewhere than before.
fn changes(before: Option<&Release>, now: &Release, keys: &[Key]) -> Vec<String> {
    let same = |old: &Target, new: &Target| old.name() == new.name() && old.public == new.public;
    let line = |(key, target): (&Key, &Target)| {
        let old =
            before.and_then(|before| targets(before, keys).find(|(old_key, old)| *old_key == key && same(old, target)));
        let place = format!("{key}  {}  {}", target.name(), target.public.repository);
        let line = match &target.problem {
            // What settles by itself is shown where it happens; what needs a person is said at the end.
            Some(problem) if target.state.is_moving() => {
                let evidence = problem.evidence.as_ref().map(|evidence| format!(" ({})", said(evidence)));
                format!("{place}  {}: {}{}", words(target), problem.what, evidence.unwrap_or_default())
            }
            _ => format!("{place}  {}", words(target)),
        };
        let moved = old.is_none_or(|(_, old)| {
            words(old) != words(target) || (target.state.is_moving() && what(old) != what(target))
        });
        moved.then_some(line)
    };
    targets(now, keys).filter_map(line).collect()
}

fn what(target: &Target) -> Option<&str> {
    target.problem.as_ref().map(|problem| problem.what.as_str())
}

/// Where a promotion stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Every target is released.
    Released,
    /// Something moves: what is left, a line each.
    Moving(Vec<String>),
    /// Nothing moves any more, and not all is released: why, and who acts next.
    Stuck(Vec<String>),
}

/// Where the packages stand. `begun` are those whose jobs have just been played: they are about to move.
fn standing(release: &Release, keys: &[Key], begun: &[Key]) -> Standing {
    let mut moving = Vec::new();
    let mut stuck = Vec::new();
    for key in keys.iter().filter(|key| targets(release, std::slice::from_ref(*key)).next().is_none()) {
        stuck.push(format!("{key}  has no place to be released to"));
    }
    for (key, target) in targets(release, keys) {
        let line = format!("{key}  {}  {}", target.name(), words(target));
        if target.state.is_moving() || (target.state != TargetState::Released && begun.contains(key)) {
            moving.push(line);
        } else if target.state != TargetState::Released {
            stuck.push(line);
            stuck.extend(target.problem.iter().map(explained));
        }
    }
    match (moving.is_empty(), stuck.is_empty()) {
        (false, _) => Standing::Moving(moving),
        (true, false) => Standing::Stuck(stuck),
        (true, true) => Standing::Released,
    }
}

/// A problem for a person under stress: what happened, what the public sees, whether a retry is safe, who acts next.
pub(crate) fn explained(problem: &Problem) -> String {
    let mut text = format!("  {}\n", problem.what);
    let public = match problem.public.as_str() {
        "none" => "nothing of it is public",
        "partly" => "a part of it is public",
        "done" => "it is public",
        "unknown" => "whether anything of it is public is not known",
        other => other,
    };
    let retry = match problem.retry.as_str() {
        "safe" => "playing the job again is safe",
        "automatic" => "Slipway tries again by itself",
        "useless" => "playing the job again does not help",
        other => other,
    };
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "  {public}; {retry}");
    if let Some(evidence) = &problem.evidence {
        let _ = writeln!(text, "  evidence: {}", said(evidence));
    }
    let _ = write!(text, "  next: {}", problem.next);
    text
}

/// What a service left behind, for its operator.
fn said(evidence: &Evidence) -> String {
    let mut text = match evidence.status {
        Some(status) => format!("{} answered {status}", evidence.host),
        None => format!("{} gave no answer that can be read", evidence.host),
    };
    if let Some(id) = &evidence.request_id {
        let _ = write!(text, ", request {id}");
    }
    text
}

#[cfg(test)]
mod tests {
    use slipway_core::problem::{Code, Visible};

    use super::*;
    use crate::testing;

    fn keys(text: &str) -> Vec<Key> {
        text.split_whitespace().map(|key| key.parse().expect("a key")).collect()
    }

    #[test]
    fn a_line_is_printed_for_what_moved_and_only_for_what_was_asked() {
        let before = testing::release(&[("deb", "approved approved"), ("rpm", "staged")]);
        let after = testing::release(&[("deb", "approved releasing"), ("rpm", "releasing")]);
        let asked = keys("deb");
        assert_eq!(
            changes(None, &before, &asked),
            ["deb  d/0  harbour/stable  Waiting its turn", "deb  d/1  harbour/stable  Waiting its turn",]
        );
        assert_eq!(changes(Some(&before), &after, &asked), ["deb  d/1  harbour/stable  Releasing"]);
        assert!(changes(Some(&after), &after, &asked).is_empty());
    }

    #[test]
    fn a_step_and_a_passing_problem_are_changes_too() {
        let before = testing::release(&[("deb", "releasing")]);
        let mut after = before.clone();
        testing::target(&mut after).step = Some(Step::Copy);
        assert_eq!(changes(Some(&before), &after, &keys("deb")), ["deb  d/0  harbour/stable  Releasing: copying"]);
        let copying = after.clone();
        testing::target(&mut after).problem = Some(testing::problem());
        assert_eq!(
            changes(Some(&copying), &after, &keys("deb")),
            ["deb  d/0  harbour/stable  Releasing: copying: The server answered 504."]
        );
    }

    #[test]
    fn every_step_is_told_from_the_others() {
        let mut release = testing::release(&[("deb", "releasing")]);
        let mut seen = std::collections::BTreeSet::new();
        for step in [Step::Look, Step::Copy, Step::Move, Step::Carry, Step::Index] {
            testing::target(&mut release).step = Some(step);
            seen.insert(words(testing::target(&mut release)));
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
        let target = testing::target(&mut release);
        (target.state, target.step, target.outside) = (TargetState::Released, None, true);
        assert_eq!(words(target), "Released outside");
    }

    #[test]
    fn an_answer_comes_sooner_while_bytes_move() {
        let mut release = testing::release(&[("deb", "releasing"), ("rpm", "releasing")]);
        let asked = keys("deb");
        assert_eq!(poll_s(&release, &asked, None), 25);
        testing::target(&mut release).step = Some(Step::Copy);
        assert_eq!((poll_s(&release, &asked, None), poll_s(&release, &asked, Some(80))), (10, 2));
        assert_eq!(poll_s(&release, &keys("rpm"), None), 25, "others do not matter");
    }

    #[test]
    fn a_promotion_is_over_when_nothing_moves() {
        for (states, expected) in [
            ("released released", Standing::Released),
            ("released releasing", Standing::Moving(vec!["deb  d/1  Releasing".to_owned()])),
            // One failure does not hide what still moves.
            ("failed approved", Standing::Moving(vec!["deb  d/1  Waiting its turn".to_owned()])),
            ("conflict released", Standing::Stuck(vec!["deb  d/0  Conflict".to_owned()])),
            // An approval that has lapsed or became void.
            ("staged", Standing::Stuck(vec!["deb  d/0  Staged".to_owned()])),
            ("skipped", Standing::Stuck(vec!["deb  d/0  Not shipped".to_owned()])),
            ("", Standing::Stuck(vec!["deb  has no place to be released to".to_owned()])),
        ] {
            assert_eq!(
                standing(&testing::release(&[("deb", states), ("rpm", "failed")]), &keys("deb"), &[]),
                expected,
                "{states}"
            );
        }
    }

    /// An edge that gives an approval back says why. Whatever it was, the job ends red with that reason and the next step.
    #[test]
    fn an_approval_that_is_over_before_its_package_is_released_ends_red_with_the_reason() {
        let what = |why: &str, end: &str| format!("It was approved, and {why}. {end}.");
        for (state, code, what) in [
            (
                "staged",
                Code::Lapsed,
                "Its approval lapsed at 2026-11-23 14:00:00 UTC, before its turn came.".to_owned(),
            ),
            ("staged", Code::Blocked, what("it is on hold by user:nell: wrong notes", "Nothing was begun")),
            (
                "staged",
                Code::Blocked,
                what("releases are frozen until 2026-12-27 00:00:00 UTC: holidays", "Nothing was begun"),
            ),
            ("failed", Code::Blocked, what("it is on hold by user:nell: wrong notes", "Nothing more is begun")),
            ("conflict", Code::StagedBytesChanged, "Staging has other bytes than the approved ones.".to_owned()),
            ("missing", Code::Missing, "The staged file is gone.".to_owned()),
            ("skipped", Code::Skipped, "It was given up: nothing more comes.".to_owned()),
        ] {
            let mut release = testing::release(&[("deb", state), ("rpm", "released")]);
            let problem = code.problem(what.clone(), Visible::Nothing, None);
            let next = problem.next.clone();
            testing::target(&mut release).problem = Some(problem);
            for asked in ["deb", "deb rpm"] {
                let Standing::Stuck(lines) = standing(&release, &keys(asked), &[]) else {
                    panic!("`{state}` is the end of it, and not green");
                };
                let said = lines.join("\n");
                let words = testing::target(&mut release).state.words();
                assert!(said.starts_with(&format!("deb  d/0  {words}\n")), "{said}");
                assert!(said.contains(&what) && said.ends_with(&format!("next: {next}")), "{said}");
            }
        }
    }

    #[test]
    fn what_was_just_played_is_not_stuck_where_it_was() {
        let release = testing::release(&[("deb", "staged released"), ("rpm", "failed")]);
        let moving = Standing::Moving(vec!["deb  d/0  Staged".to_owned()]);
        assert_eq!(standing(&release, &keys("deb"), &keys("deb")), moving);
        assert!(matches!(standing(&release, &keys("deb"), &keys("rpm")), Standing::Stuck(_)));
    }

    #[test]
    fn a_problem_says_what_the_public_sees_and_who_is_next() {
        assert_eq!(
            explained(&testing::problem()),
            "  The server answered 504.\n  nothing of it is public; playing the job again is safe\n  next: Play the job again."
        );
        let mut problem = testing::problem();
        problem.public = "unknown".to_owned();
        assert!(
            explained(&problem).contains("\n  whether anything of it is public is not known; playing"),
            "{}",
            explained(&problem)
        );
        problem.evidence = Some(Evidence {
            host: "packages.example.com".to_owned(),
            status: Some(504),
            request_id: Some("5f2c".to_owned()),
        });
        assert!(
            explained(&problem).contains("\n  evidence: packages.example.com answered 504, request 5f2c\n  next: "),
            "{}",
            explained(&problem)
        );
    }
}
