//! The record of one project, driven by an alarm: orders are handed over, webhooks' hints are looked into, and whatever
//! nobody drives is found.
//!
//! Everything acknowledged is in SQL, so an alarm that comes twice, late, or after a kill finds what is to be done. An
//! alarm that never comes is replaced by the next: whatever reaches the record arms one, and a schedule wakes it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use slipway_core::access::Player;
use slipway_core::approval::{Candidate, Refusal, by_webhook, entitled};
use slipway_core::config::Config;
use slipway_core::time::Timestamp;
use slipway_gitlab::{GetJob, Instance, Job, is_protected, role};
use slipway_ledger::{Hint, LedgerError, Record, Sql};
use slipway_wire::{CallError, Planted, call, planted};

use crate::package;
use crate::port::{ProjectHost, SOON};

/// An order that its package's object did not take is sent again after this.
const ORDER_AGAIN: Duration = Duration::from_secs(2);
/// How often what is on its way is looked over.
pub const SWEEP: Duration = Duration::from_mins(1);
/// What has not been heard of for so long may be driven by nobody. A package on its way reports every half minute; a
/// copy of many minutes does not, and is not disturbed by being told again.
const QUIET: Duration = Duration::from_secs(55);
/// The longest wait between two tries of a hint. One that is due later was put off by a clock that was wrong.
const HINT_WAIT_MAX: Duration = Duration::from_mins(5);
/// How many jobs are read from GitLab, or orders handed over, at a time: as many as an object has connections. One after
/// the other, each would wait until what was written for the one before is on the disk, and a person plays dozens of jobs
/// at once.
const AT_ONCE: usize = 6;
/// How often one run looks whether more hints have come, before it hands over what they have led to.
const ROUNDS_MAX: u32 = 4;
/// A hint is tried for about a day before it is given up; GitLab's outages are shorter.
const HINT_TRIES_MAX: u32 = 300;
/// How often a job is asked for that GitLab does not know, or shows as not played: about a minute.
const STALE_TRIES_MAX: u32 = 6;

/// Does what is due, and says when the next is.
pub async fn drive<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: Option<&Instance>,
) -> Result<Option<Timestamp>, LedgerError> {
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    // Orders need no GitLab, so they go first, and again when the hints have made more.
    let mut tried = BTreeSet::new();
    hand_over(record, host, &mut tried).await?;
    if let Some(gitlab) = gitlab {
        // More hints come while some are looked into: a person plays all jobs of a release at once. Packages whose orders
        // go out together look together.
        for _ in 0..ROUNDS_MAX {
            let hints = record.due_hints(host.now(), host.now() + HINT_WAIT_MAX)?;
            if hints.is_empty() {
                break;
            }
            if look_into_all(record, host, config, gitlab, project_id, hints).await? == Gitlab::Silent {
                break;
            }
        }
    }
    hand_over(record, host, &mut tried).await?;
    sweep(record, host, project_id).await?;
    // Other requests ran at every await above, and what they left is found only by reading everything again. From here on
    // nothing is awaited.
    let now = host.now();
    let soonest = now + SOON;
    let hints = record.next_hint(now + HINT_WAIT_MAX)?.map(|due_at| due_at.max(soonest));
    let orders = record.dispatches()?;
    let orders = orders.iter().map(|order| if tried.contains(&order.approval) { now + ORDER_AGAIN } else { soonest });
    let sweep = record.is_moving()?.then(|| now + SWEEP);
    Ok(hints.into_iter().chain(orders).chain(sweep).min())
}

/// Looks into hints, several at a time, until GitLab does not answer.
async fn look_into_all<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
    project_id: u64,
    hints: Vec<Hint>,
) -> Result<Gitlab, LedgerError> {
    let looks = hints.into_iter().map(|hint| look_into(record, host, config, gitlab, project_id, hint));
    let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some(looked) = looks.next().await {
        // Those that were begun beside it are dropped: their hints stay due.
        if looked? == Gitlab::Silent {
            return Ok(Gitlab::Silent);
        }
    }
    Ok(Gitlab::Answers)
}

/// Gives orders to their packages' objects. An order is forgotten only when its object has it.
async fn hand_over<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    tried: &mut BTreeSet<u64>,
) -> Result<(), LedgerError> {
    let mut dispatches = record.dispatches()?;
    dispatches.retain(|dispatch| tried.insert(dispatch.approval));
    let orders = dispatches.iter().map(async |dispatch| (dispatch, host.hand_over(&dispatch.order).await));
    let mut orders = stream::iter(orders).buffer_unordered(AT_ONCE);
    let mut taken = Vec::new();
    while let Some((dispatch, answer)) = orders.next().await {
        match answer {
            Ok(()) => taken.push(dispatch.approval),
            Err(silent) => host.log(&format!("the order of {} waits: {silent}", package::name(&dispatch.order))),
        }
    }
    // All in one write: until then each would be given again, which does no harm.
    record.dispatched(&taken)
}

/// Finds approved work of which nothing was heard, and tells its object again: that arms its alarm, should it have lost
/// it, and makes it look again, should its last word have been lost.
async fn sweep<S: Sql>(record: &Record<S>, host: &impl ProjectHost, project_id: u64) -> Result<(), LedgerError> {
    if planted(Planted::SweepsNothing) {
        return Ok(());
    }
    let now = host.now();
    for order in record.unheard(project_id, now - QUIET, now)? {
        if let Err(silent) = host.hand_over(&order).await {
            host.log(&format!("{} is not heard of, and does not answer: {silent}", package::name(&order)));
        }
    }
    Ok(())
}

/// How often what rests is looked at again.
pub const LOOK_AGAIN: Duration = Duration::from_mins(10);

/// Looks again at what is staged and at what is released, and says when to do so next: packages that vanish from staging,
/// and public ones that somebody removes or replaces, are shown. All are looked at at once, so that each repository is
/// read once.
pub async fn look_again<S: Sql>(record: &Record<S>, host: &impl ProjectHost) -> Result<Option<Timestamp>, LedgerError> {
    let now = host.now();
    let watched = record.watched(now - LOOK_AGAIN, now)?;
    let looks = watched.iter().map(|of| host.find(&of.site, &of.distro, &of.filename));
    let looks = futures_util::future::join_all(looks).await;
    let mut changed = BTreeSet::new();
    for (of, look) in watched.iter().zip(looks) {
        match look {
            Ok(Ok(seen)) => {
                if record.looked(of, &seen, host.now())? {
                    changed.insert(&of.version);
                }
            }
            Ok(Err(trouble)) => host.log(&format!("{} {} cannot be looked at again: {trouble}", of.version, of.key)),
            Err(silent) => host.log(&format!("{} {} cannot be looked at again: {silent}", of.version, of.key)),
        }
    }
    for version in changed {
        host.announce(version);
    }
    // One that could not be looked at is not asked for at once again.
    let next = record.unseen_since(host.now())?.map(|since| since + LOOK_AGAIN);
    Ok(next.map(|due_at| due_at.max(host.now() + SWEEP)))
}

/// Judges who played a job by the project's own rules. Of GitLab only what a rule needs is asked.
async fn may_release(
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
    project_id: u64,
    candidate: &Candidate,
    job: &Job,
) -> Result<Result<(), Refusal>, CallError> {
    // A project that is not configured any more has no rules left that could allow anything.
    let Some(project) = config.projects.iter().find(|project| project.id == project_id) else {
        let (key, declared) = (candidate.key.clone(), candidate.release_job.clone());
        return Ok(Err(Refusal::OtherJob { key, declared }));
    };
    let user = job.user.as_ref();
    let level = match user {
        Some(user) if project.release_levels.is_some() => role(host, gitlab, project_id, user.id).await?,
        _ => None,
    };
    let environment_protected =
        project.protected_environment && is_protected(host, gitlab, project_id, &candidate.environment).await?;
    let player = Player {
        user_id: user.map_or(0, |user| user.id),
        username: user.map_or("", |user| user.username.as_str()),
        level,
        environment_protected,
    };
    Ok(entitled(candidate, project, &player))
}

/// Whether it is worth asking GitLab more now.
#[derive(PartialEq, Eq)]
enum Gitlab {
    Answers,
    Silent,
}

/// Reads from GitLab what a webhook hinted at, and approves or refuses. A hint was acknowledged, so it is given up only
/// when GitLab itself says that nothing will come of it.
async fn look_into<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
    project_id: u64,
    hint: Hint,
) -> Result<Gitlab, LedgerError> {
    // 1, 2, 4 … seconds, up to 5 minutes.
    let later = host.now() + Duration::from_secs(1 << hint.tries.min(9)).min(HINT_WAIT_MAX);
    let job = match call(host, &GetJob { instance: gitlab, project_id, job_id: hint.job_id }).await {
        Ok(job) => job,
        Err(error) => {
            host.log(&format!("a webhook's job {} cannot be read: {error}", hint.job_id));
            let is_unknown = error.status() == Some(StatusCode::NOT_FOUND);
            if planted(Planted::DropsAHint) {
                record.settle_hint(hint.id, "dropped")?;
                return Ok(Gitlab::Silent);
            }
            if hint.tries >= if is_unknown { STALE_TRIES_MAX } else { HINT_TRIES_MAX } {
                record.settle_hint(hint.id, &error.to_string())?;
            } else {
                record.postpone_hint(hint.id, &error.to_string(), later)?;
            }
            return Ok(if is_unknown { Gitlab::Answers } else { Gitlab::Silent });
        }
    };
    let Some(candidate) = record.candidate_of_job(job.pipeline.id, &job.name)? else {
        record.settle_hint(hint.id, "no release job")?;
        return Ok(Gitlab::Answers);
    };
    if record.was_refused(&candidate.version, &candidate.key, job.id)? {
        record.settle_hint(hint.id, "refused before")?;
        return Ok(Gitlab::Answers);
    }
    let entitled = match may_release(host, config, gitlab, project_id, &candidate, &job).await {
        Ok(entitled) => entitled,
        Err(error) => {
            host.log(&format!("who played job {} cannot be judged: {error}", hint.job_id));
            record.postpone_hint(hint.id, &error.to_string(), later)?;
            return Ok(Gitlab::Silent);
        }
    };
    // Other requests may have run meanwhile. From here on nothing is awaited.
    let Some(candidate) = record.candidate_of_job(job.pipeline.id, &job.name)? else {
        record.settle_hint(hint.id, "no release job")?;
        return Ok(Gitlab::Answers);
    };
    let judged = by_webhook(&candidate, &job).and_then(|approval| entitled.map(|()| approval));
    let outcome = match judged {
        Ok(approval) => {
            let is_new = record.approve(&candidate, &approval, &config.policy, project_id, host.now())?;
            if is_new { "approved".to_owned() } else { "approved before".to_owned() }
        }
        // GitLab's answer can be older than its webhook. A job that nobody has played is not refused: it may be yet.
        Err(refusal @ Refusal::NotPlayed { .. }) if !job.status.has_failed() => {
            if hint.tries < STALE_TRIES_MAX {
                record.postpone_hint(hint.id, &refusal.to_string(), later)?;
            } else {
                record.settle_hint(hint.id, &refusal.to_string())?;
            }
            return Ok(Gitlab::Answers);
        }
        Err(refusal) => {
            let actor = format!("webhook job:{}", job.id);
            let Candidate { version, key, .. } = &candidate;
            record.refuse(version, key, job.id, &actor, &refusal.to_string(), host.now())?;
            refusal.to_string()
        }
    };
    record.settle_hint(hint.id, &outcome)?;
    host.announce(&candidate.version);
    Ok(Gitlab::Answers)
}
