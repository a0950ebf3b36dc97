//! `slipway await staged|complete`: the next step of a pipeline begins when a release is so far, and not before.

use slipway_core::api::Release;
use slipway_core::release::{ReleaseState, TargetState};

use crate::args::{self, Awaited};
use crate::edge::{Edge, POLL_S, Pauses};
use crate::exit::{Exit, Failure};
use crate::follow::{explained, words};
use crate::host;
use crate::say::Say;
use crate::settings::Settings;

/// Where a release stands to what is awaited.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Reached,
    NotYet,
    /// It never will be.
    GivenUp,
}

fn standing(release: &Release, awaited: Awaited) -> Standing {
    match (release.state, awaited) {
        (ReleaseState::Complete, _) | (ReleaseState::Staged, Awaited::Staged) => Standing::Reached,
        (ReleaseState::Closed, _) => Standing::GivenUp,
        (ReleaseState::Staged, Awaited::Complete) | (ReleaseState::Expected, _) => Standing::NotYet,
    }
}

/// What is not so far, a line a target, with what is known of why.
fn late(release: &Release, awaited: Awaited) -> Vec<String> {
    let is_there = |state: TargetState| match state {
        TargetState::Released | TargetState::Skipped | TargetState::Withdrawn => true,
        TargetState::Staged | TargetState::Approved | TargetState::Releasing | TargetState::Failed => {
            awaited == Awaited::Staged
        }
        TargetState::Expected | TargetState::Missing | TargetState::Conflict | TargetState::Expired => false,
    };
    let mut lines = Vec::new();
    for package in &release.packages {
        for target in package.targets.iter().filter(|target| !is_there(target.state)) {
            lines.push(format!("{}  {}  {}, since {}", package.key, target.name(), words(target), target.since));
            lines.extend(target.problem.iter().map(explained));
        }
    }
    if release.packages.is_empty() {
        lines.push("no package is declared yet: `slipway plan` declares them".to_owned());
    }
    lines
}

/// Runs the command: the release as it was seen last, and what is wrong with it.
pub(crate) async fn wait(
    options: &args::Await,
    settings: &Settings,
    say: Say,
) -> (Option<Release>, Result<(), Failure>) {
    let word = match options.state {
        Awaited::Staged => "staged",
        Awaited::Complete => "complete",
    };
    let doing = format!("the release {} is not {word}", settings.version);
    let edge = match Edge::open(settings, options.timeout_s).await {
        Ok((edge, _)) => edge,
        Err(failure) => return (None, Err(failure)),
    };
    let end = host::now_ms() + f64::from(options.timeout_s) * 1000.0;
    let mut before: Option<Release> = None;
    let mut is_absence_told = false;
    let mut pauses = Pauses::default();
    loop {
        let answer = match &before {
            None => edge.release().await,
            Some(before) => edge.change(before.sequence, poll_s(end)).await,
        };
        // A release begins with its plan, which may be declared while this waits already.
        let now = match answer {
            Ok(now) => Some(now),
            Err(error) if error.status() == Some(http::StatusCode::NOT_FOUND) => None,
            Err(error) => return (before, Err(error.failure(doing))),
        };
        if now.is_none() && !is_absence_told {
            is_absence_told = true;
            say.line(&format!("Slipway knows no release {} yet; waiting until a pipeline plans it", settings.version));
        }
        if let Some(now) = &now {
            if before.as_ref().is_none_or(|before| before.verdict != now.verdict) {
                say.line(&now.verdict);
            }
            match standing(now, options.state) {
                Standing::Reached => {
                    say.line(&format!("the release {} is {word}", settings.version));
                    return (Some(now.clone()), Ok(()));
                }
                Standing::GivenUp => {
                    let line = "It is closed: what was not released is given up, and will not come.".to_owned();
                    return (Some(now.clone()), Err(Failure::new(Exit::Failed, doing, [line])));
                }
                Standing::NotYet => {}
            }
        }
        let is_same = match (&before, &now) {
            (Some(before), Some(now)) => before.sequence == now.sequence,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        let pause = pauses.next_ms();
        if host::now_ms() + if is_same { pause } else { 0.0 } > end {
            let mut lines = match &now {
                Some(now) => late(now, options.state),
                None => {
                    vec![format!("Slipway knows no release {} yet: no pipeline has declared a plan", settings.version)]
                }
            };
            lines.push(format!("Not within {} s. Run this again to wait on.", options.timeout_s));
            return (now, Err(Failure::new(Exit::TimedOut, doing, lines)));
        }
        if is_same {
            host::pause_ms(pause).await;
        } else {
            pauses = Pauses::default();
        }
        before = now.or(before);
    }
}

/// How long the edge may hold its answer, with so much patience left.
fn poll_s(end_ms: f64) -> u32 {
    let left = ((end_ms - host::now_ms()) / 1000.0).clamp(1.0, f64::from(POLL_S));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=25")]
    let left = left as u32;
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn complete_is_staged_too_and_a_closed_release_never_comes() {
        for (state, staged, complete) in [
            (ReleaseState::Expected, Standing::NotYet, Standing::NotYet),
            (ReleaseState::Staged, Standing::Reached, Standing::NotYet),
            (ReleaseState::Complete, Standing::Reached, Standing::Reached),
            (ReleaseState::Closed, Standing::GivenUp, Standing::GivenUp),
        ] {
            let mut release = testing::release(&[]);
            release.state = state;
            assert_eq!(standing(&release, Awaited::Staged), staged, "{state:?}");
            assert_eq!(standing(&release, Awaited::Complete), complete, "{state:?}");
        }
    }

    #[test]
    fn what_is_late_is_named_with_its_distro_and_since_when() {
        let release = testing::release(&[("deb", "expected staged released"), ("rpm", "failed")]);
        let named = |awaited| -> Vec<String> {
            let lines = late(&release, awaited);
            lines.iter().map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(named(Awaited::Staged), ["deb  d/0  Not staged yet"]);
        assert_eq!(named(Awaited::Complete), ["deb  d/0  Not staged yet", "deb  d/1  Staged", "rpm  d/0  Failed"]);
        assert!(late(&release, Awaited::Staged)[0].ends_with("since 2026-11-23T08:15:12.000Z"));
    }
}
