//! What webhooks hinted at is read from GitLab, and approved, refused, or written down.
//!
//! A webhook authorises nothing: it has given a number, and everything that counts is in GitLab's answer. So it does not
//! matter in which order hints come, how often, or how late: an answer about a job that was played long ago approves
//! nothing.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use slipway_core::approval::{Candidate, Refusal, by_webhook};
use slipway_core::config::Config;
use slipway_core::time::Timestamp;
use slipway_gitlab::{GetJob, Instance, Job};
use slipway_ledger::{Hint, HintSubject, LedgerError, Record, Sql};
use slipway_wire::{CallError, Planted, call, planted};

use crate::port::ProjectHost;
use crate::project::AT_ONCE;

/// The longest wait between two tries of a hint. One that is due later was put off by a clock that was wrong.
pub(crate) const WAIT_MAX: Duration = Duration::from_mins(5);
/// How often one run looks whether more hints have come, before it hands over what they have led to.
const ROUNDS_MAX: u32 = 4;
/// A hint is tried for about a day before it is given up; GitLab's outages are shorter.
const TRIES_MAX: u32 = 300;
/// How often a job is asked for that GitLab does not know, or shows as not played: about a minute.
const STALE_TRIES_MAX: u32 = 6;
/// A job that was played longer ago than this approves nothing: its approval would have lapsed.
const LAPSE: Duration = Duration::from_hours(4);

/// Whether it is worth asking GitLab more now.
#[derive(PartialEq, Eq)]
enum Gitlab {
    Answers,
    Silent,
}

/// Where hints are looked into.
struct Desk<'a, S, H> {
    record: &'a Record<S>,
    host: &'a H,
    config: &'a Config,
    gitlab: &'a Instance,
    project_id: u64,
}

/// Looks into what is due, several at a time, until GitLab does not answer.
pub(crate) async fn look_into_all<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
    project_id: u64,
) -> Result<(), LedgerError> {
    let desk = Desk { record, host, config, gitlab, project_id };
    // More hints come while some are looked into: a person plays all jobs of a release at once. Packages whose orders go
    // out together look together.
    for _ in 0..ROUNDS_MAX {
        let hints = record.take_hints(host.now(), host.now() + WAIT_MAX)?;
        if hints.is_empty() {
            break;
        }
        let looks = hints.into_iter().map(|hint| desk.look_into(hint));
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(looked) = looks.next().await {
            // Those that were begun beside it are dropped: their hints stay due.
            if looked? == Gitlab::Silent {
                return Ok(());
            }
        }
    }
    Ok(())
}

impl<S: Sql, H: ProjectHost> Desk<'_, S, H> {
    async fn look_into(&self, hint: Hint) -> Result<Gitlab, LedgerError> {
        match hint.subject {
            HintSubject::Job(job_id) => {
                let job = GetJob { instance: self.gitlab, project_id: self.project_id, job_id };
                match call(self.host, &job).await {
                    Ok(job) => self.judge(hint, &job),
                    Err(error) => self.unread(hint, &format!("job {job_id}"), &error),
                }
            }
            HintSubject::Deployment(_) => {
                self.record.settle_hint(hint.id, "no gate asks for deployments")?;
                Ok(Gitlab::Answers)
            }
        }
    }

    /// 1, 2, 4 … seconds, up to 5 minutes.
    fn later(&self, hint: Hint) -> Timestamp {
        self.host.now() + Duration::from_secs(1 << hint.tries.min(9)).min(WAIT_MAX)
    }

    /// A hint was acknowledged, so it is given up only when GitLab itself says that nothing will come of it.
    fn unread(&self, hint: Hint, what: &str, error: &CallError) -> Result<Gitlab, LedgerError> {
        self.host.log(&format!("a webhook's {what} cannot be read: {error}"));
        let is_unknown = error.status() == Some(StatusCode::NOT_FOUND);
        if planted(Planted::DropsAHint) {
            self.record.settle_hint(hint.id, "dropped")?;
            return Ok(Gitlab::Silent);
        }
        if hint.tries >= if is_unknown { STALE_TRIES_MAX } else { TRIES_MAX } {
            self.record.settle_hint(hint.id, &error.to_string())?;
        } else {
            self.record.postpone_hint(hint.id, &error.to_string(), self.later(hint))?;
        }
        Ok(if is_unknown { Gitlab::Answers } else { Gitlab::Silent })
    }

    fn judge(&self, hint: Hint, job: &Job) -> Result<Gitlab, LedgerError> {
        let Self { record, host, .. } = self;
        let Some(candidate) = record.candidate_of_job(job.pipeline.id, &job.name)? else {
            record.settle_hint(hint.id, "no release job")?;
            return Ok(Gitlab::Answers);
        };
        let Candidate { version, key, .. } = &candidate;
        if record.was_refused(version, key, job.id)? {
            record.settle_hint(hint.id, "refused before")?;
            return Ok(Gitlab::Answers);
        }
        let refused =
            |why: &str| record.refuse(version, key, job.id, &format!("webhook job:{}", job.id), why, host.now());
        let outcome = match by_webhook(&candidate, job) {
            Ok(approval) => {
                // What the job approved when it was played stands; what it did not approve then it does not now.
                if let Some(why) = self.lapsed(job).filter(|_| !record.has_spoken(version, key, job.id).unwrap_or(true))
                {
                    refused(&why)?;
                    why
                } else {
                    let policy = &self.config.policy;
                    let is_new = record.approve(&candidate, &approval, policy, self.project_id, host.now())?;
                    if is_new { "approved".to_owned() } else { "approved before".to_owned() }
                }
            }
            // GitLab's answer can be older than its webhook. A job that nobody has played is not refused: it may be yet.
            Err(refusal @ Refusal::NotPlayed { .. }) if !job.status.has_failed() => {
                if hint.tries < STALE_TRIES_MAX {
                    record.postpone_hint(hint.id, &refusal.to_string(), self.later(hint))?;
                } else {
                    record.settle_hint(hint.id, &refusal.to_string())?;
                }
                return Ok(Gitlab::Answers);
            }
            Err(refusal) => {
                refused(&refusal.to_string())?;
                refusal.to_string()
            }
        };
        record.settle_hint(hint.id, &outcome)?;
        host.announce(version);
        Ok(Gitlab::Answers)
    }

    /// Why a job was played too long ago to approve anything. One that no runner has taken yet still asks.
    fn lapsed(&self, job: &Job) -> Option<String> {
        let started: Timestamp = job.started_at.as_ref()?.parse().ok()?;
        let age = self.host.now().since(started);
        (age > LAPSE).then(|| {
            format!(
                "the job began at {started}, {} h ago, and what it asked for has lapsed after {} h; play it again",
                age.as_secs() / 3600,
                LAPSE.as_secs() / 3600
            )
        })
    }
}
