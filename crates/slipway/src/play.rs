//! Playing release jobs as the person who would click them.
//!
//! GitLab plays a job that waits for a click. One that has run before is run again, which makes another job of the same name,
//! and one that runs already is only followed. What a job releases begins to move when it reaches Slipway, which may take until
//! the job has a runner: until then the release does not show that anything was asked.

use std::cell::RefCell;
use std::collections::BTreeMap;

use http::StatusCode;
use slipway_core::api::{Package, Release};
use slipway_core::release::{Key, TargetState};
use slipway_gitlab::JobStatus;
use slipway_wire::CallError;

use crate::gitlab::{Gitlab, ListedJob};
use crate::host;

/// How long a package may stay where it was after its job has succeeded. A lost webhook is found within a minute.
const ARRIVAL_MS: f64 = 180_000.0;

/// What is to be done for a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its job is to be played.
    Play,
    /// It is on its way.
    Follow,
    /// It is released, or deliberately not.
    Nothing,
    /// It was released, and taken back: nothing of it remains, and none of it comes again. Which place.
    Withdrawn(String),
    /// It cannot be released, and why.
    Refuse(String),
}

/// What is to be done for a package, so that it is released.
pub(crate) fn fate(package: &Package) -> Fate {
    let states = || package.targets.iter().map(|target| target.state);
    let settled = [TargetState::Released, TargetState::Skipped, TargetState::Withdrawn];
    if package.targets.is_empty() {
        return Fate::Refuse("it has no place to be released to".to_owned());
    }
    if states().all(|state| settled.contains(&state)) {
        let withdrawn = package.targets.iter().find(|target| target.state == TargetState::Withdrawn);
        return match withdrawn {
            Some(target) => Fate::Withdrawn(format!(
                "{}: it was released and taken back; release it under another version",
                target.name()
            )),
            None => Fate::Nothing,
        };
    }
    let odd = package.targets.iter().find(|target| {
        matches!(
            target.state,
            TargetState::Expected | TargetState::Missing | TargetState::Expired | TargetState::Conflict
        )
    });
    if let Some(target) = odd {
        let next = target.problem.as_ref().map(|problem| format!(": {} {}", problem.what, problem.next));
        return Fate::Refuse(format!("{}: {}{}", target.name(), target.state.words(), next.unwrap_or_default()));
    }
    let waits = states().any(|state| matches!(state, TargetState::Staged | TargetState::Failed));
    if waits { Fate::Play } else { Fate::Follow }
}

/// The jobs that were played.
pub(crate) struct Plays {
    gitlab: Gitlab,
    project: u64,
    played: RefCell<BTreeMap<Key, Played>>,
}

struct Played {
    job: ListedJob,
    /// When its end was seen.
    over_ms: Option<f64>,
    /// Since when its targets were as they were when it was played, by distro version.
    before: BTreeMap<String, String>,
    /// Whether what it releases has moved.
    has_moved: bool,
}

/// Whether a package moves, or has moved since its job was played. A move may begin and end between two looks, as when its
/// approval lapses at once or is taken back: then there is a problem that is newer than the play.
fn moves(package: &Package, before: &BTreeMap<String, String>) -> bool {
    package.targets.iter().any(|target| {
        let is_newer = before.get(target.name().as_ref()).is_some_and(|before| *before != target.since);
        target.state.is_moving() || (is_newer && target.problem.is_some())
    })
}

impl Plays {
    pub(crate) fn new(gitlab: Gitlab, project: u64) -> Self {
        Self { gitlab, project, played: RefCell::default() }
    }

    /// The newest job of each name in a pipeline.
    pub(crate) async fn jobs(&self, pipeline: u64) -> Result<BTreeMap<String, ListedJob>, String> {
        let jobs = self.gitlab.jobs(self.project, pipeline).await;
        let jobs = jobs.map_err(|error| {
            let next = match error.status() {
                Some(StatusCode::UNAUTHORIZED) => {
                    "GitLab does not accept the token: run `slipway login --api`, or set `SLIPWAY_GITLAB_TOKEN` to one of yours \
                     with the scope `api`."
                }
                Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                    "The token does not show this pipeline: it needs the scope `api`, and you need a role in the project."
                }
                _ => "Run this again: a job is not played twice while it runs.",
            };
            format!("cannot list the jobs of pipeline {pipeline}: {error}. {next}")
        })?;
        let mut newest: BTreeMap<String, ListedJob> = BTreeMap::new();
        for job in jobs {
            // Older GitLab versions list retried jobs all the same.
            if newest.get(&job.name).is_none_or(|known| known.id < job.id) {
                newest.insert(job.name.clone(), job);
            }
        }
        Ok(newest)
    }

    /// Plays the release job of a package. What was done, in words.
    pub(crate) async fn play(&self, package: &Package, job: &ListedJob) -> Result<String, String> {
        let (now, done) = match &job.status {
            status @ (JobStatus::Created | JobStatus::Skipped) => return Err(unreached(job, status)),
            JobStatus::Canceling => {
                return Err(format!("its job {} is just being canceled; run this again when it has ended", job.id));
            }
            JobStatus::Success | JobStatus::Failed | JobStatus::Canceled => {
                (self.gitlab.retry(self.project, job.id).await, "run again")
            }
            JobStatus::Manual | JobStatus::Scheduled | JobStatus::Other(_) => {
                (self.gitlab.play(self.project, job.id).await, "played")
            }
            JobStatus::WaitingForResource
            | JobStatus::Preparing
            | JobStatus::WaitingForCallback
            | JobStatus::Pending
            | JobStatus::Running => (Ok(job.clone()), "already under way"),
        };
        let (now, done) = match now {
            Ok(now) => (now, done),
            // Somebody else's click may have been faster, and an answer that was lost may follow a click that was taken.
            Err(error) => match self.gitlab.job(self.project, job.id).await {
                Ok(again) if again.status != job.status && again.status.is_played() => (again, "already under way"),
                _ => return Err(unplayable(job, &error)),
            },
        };
        let words = format!(
            "job {} is {done}{}",
            now.id,
            now.web_url.as_ref().map(|url| format!(": {url}")).unwrap_or_default()
        );
        let before = package.targets.iter().map(|target| (target.name().into_owned(), target.since.clone())).collect();
        let played = Played { job: now, over_ms: None, before, has_moved: false };
        self.played.borrow_mut().insert(package.key.clone(), played);
        Ok(words)
    }

    /// Looks at the jobs whose packages do not move yet. A line for each that has another status.
    pub(crate) async fn look(&self, release: &Release) -> Vec<String> {
        let mut lines = Vec::new();
        for key in self.pending(release) {
            let Some(id) =
                self.played.borrow().get(&key).filter(|played| played.over_ms.is_none()).map(|played| played.job.id)
            else {
                continue;
            };
            // An answer that fails changes nothing: the next look asks again, and the time for all of this has an end.
            let Ok(job) = self.gitlab.job(self.project, id).await else { continue };
            let mut played = self.played.borrow_mut();
            let Some(known) = played.get_mut(&key) else { continue };
            if known.job.status != job.status {
                lines.push(format!("{key}  its job {id} is {}", job.status));
            }
            if job.status == JobStatus::Success || job.status.has_failed() {
                known.over_ms = Some(host::now_ms());
            }
            known.job.status = job.status;
        }
        lines
    }

    /// The packages whose job was played, that do not move yet, and that may still begin to.
    pub(crate) fn pending(&self, release: &Release) -> Vec<Key> {
        let now = host::now_ms();
        let mut played = self.played.borrow_mut();
        for package in &release.packages {
            if let Some(known) = played.get_mut(&package.key) {
                known.has_moved |= moves(package, &known.before);
            }
        }
        let waits = |played: &Played| match played.over_ms {
            _ if played.has_moved => false,
            None => true,
            Some(over) => !played.job.status.has_failed() && now - over < ARRIVAL_MS,
        };
        played.iter().filter(|(_, played)| waits(played)).map(|(key, _)| key.clone()).collect()
    }

    /// How the jobs ended that did not make their packages move.
    pub(crate) fn ends(&self) -> Vec<String> {
        let played = self.played.borrow();
        let silent = played.iter().filter(|(_, played)| played.over_ms.is_some() && !played.has_moved);
        silent
            .map(|(key, Played { job, .. })| {
                let url = job.web_url.as_ref().map(|url| format!("; its log says why: {url}")).unwrap_or_default();
                format!("{key}  its job {} ended as {}, and nothing of it moved{url}", job.id, job.status)
            })
            .collect()
    }
}

fn unreached(job: &ListedJob, status: &JobStatus) -> String {
    format!(
        "its job {} cannot be played yet: it is `{status}`, since an earlier job of its pipeline has not succeeded",
        job.id
    )
}

/// Why GitLab does not play a job, as far as its answer tells.
fn unplayable(job: &ListedJob, error: &CallError) -> String {
    let id = job.id;
    let next = match error.status() {
        Some(StatusCode::BAD_REQUEST) => format!(
            "GitLab says that job {id} is not playable though it is `{}`: it is archived, its protected environment waits for an \
             approval, or an earlier job has not succeeded. Look at it in GitLab.",
            job.status
        ),
        Some(StatusCode::UNAUTHORIZED) => {
            "GitLab does not accept the token: run `slipway login --api`, or set `SLIPWAY_GITLAB_TOKEN`.".to_owned()
        }
        Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => format!(
            "You may not play job {id}: the token needs the scope `api`, and you need the right to deploy to its protected \
             environment or to push to its protected tag."
        ),
        _ => format!("Whether job {id} was played is not known. Run this again: one that runs is not played twice."),
    };
    format!("{error}. {next}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_move_that_began_and_ended_unseen_is_known_by_its_problem_being_newer_than_the_play() {
        let mut release = testing::release(&[("deb", "staged")]);
        let before = BTreeMap::from([("d/0".to_owned(), "2026-11-23T08:15:12.000Z".to_owned())]);
        let moves = |release: &Release| super::moves(release.packages.first().expect("the package"), &before);
        assert!(!moves(&release), "the job was played a moment ago");
        testing::target(&mut release).problem = Some(testing::problem());
        assert!(!moves(&release), "why it was not further then");
        testing::target(&mut release).since = "2026-11-23T08:16:00.000Z".to_owned();
        assert!(moves(&release), "it was approved, and that was taken back");
        testing::target(&mut release).problem = None;
        assert!(!moves(&release), "it was missing, and came back");
        assert!(moves(&testing::release(&[("deb", "approved")])));
    }

    #[test]
    fn a_job_is_played_only_for_what_is_staged_or_has_failed() {
        for (states, expected) in [
            ("staged", Fate::Play),
            ("failed released", Fate::Play),
            ("staged releasing", Fate::Play),
            ("approved released", Fate::Follow),
            ("released skipped", Fate::Nothing),
            (
                "released withdrawn",
                Fate::Withdrawn("d/1: it was released and taken back; release it under another version".to_owned()),
            ),
            ("released expected", Fate::Refuse("d/1: Not staged yet".to_owned())),
            ("conflict staged", Fate::Refuse("d/0: Conflict".to_owned())),
            ("", Fate::Refuse("it has no place to be released to".to_owned())),
        ] {
            let release = testing::release(&[("deb", states)]);
            let package = release.packages.first().expect("the package");
            assert_eq!(fate(package), expected, "{states}");
        }
    }
}
