//! What webhooks hinted at is read from GitLab, and approved, refused, or written down.
//!
//! A webhook authorises nothing: it has given a number, and everything that counts is in GitLab's answer. So it does not
//! matter in which order hints come, how often, or how late: an answer about a job that was played long ago approves
//! nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use slipway_core::access::Player;
use slipway_core::approval::{Approval, Candidate, Refusal, by_webhook, entitled, is_for_all};
use slipway_core::config::{Config, Project};
use slipway_core::log::{Entry, deployment_work, work};
use slipway_core::time::Timestamp;
use slipway_gitlab::webhook::Event;
use slipway_gitlab::{Deployment, DeploysTo, GetDeployment, GetJob, Instance, Job, is_protected, role};
use slipway_ledger::{Hint, HintSubject, LedgerError, Named, Origin, Record, Sql};
use slipway_wire::{CallError, Planted, call, planted};

use crate::gates;
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
/// How often one is asked for of which GitLab's answer cannot be understood: about an hour.
const UNREADABLE_TRIES_MAX: u32 = 20;

/// Numbers beyond it are not exact in the ledger. GitLab.com's job ids have 34 bits.
const ID_MAX: u64 = (1 << 53) - 1;

/// What an event names, and what stands for the key of its delivery where GitLab gives none. `None` when nothing can come
/// of it.
pub fn named(event: Event, project: &Project, config: &Config) -> Option<(Vec<Named>, String)> {
    let job = |id, pipeline_id: Option<u64>, name| {
        (id <= ID_MAX && pipeline_id.is_none_or(|id| id <= ID_MAX)).then_some(Named::Job { id, pipeline_id, name })
    };
    let (named, otherwise) = match event {
        Event::Job(event) if event.project_id == project.id && event.status.is_played() => {
            let otherwise = format!("job:{} {}", event.job_id, event.status);
            (job(event.job_id, event.pipeline_id, event.name).into_iter().collect::<Vec<_>>(), otherwise)
        }
        Event::Pipeline(event) if event.project_id == project.id => {
            let pipeline_id = event.pipeline_id;
            let known = event.manual_jobs.iter().filter(|job| job.id <= ID_MAX && pipeline_id <= ID_MAX);
            let jobs: Vec<(u64, String)> = known.map(|job| (job.id, job.name.clone())).collect();
            let played = event.manual_jobs.into_iter().filter(|job| job.status.is_played());
            let played = played.filter_map(|played| job(played.id, Some(pipeline_id), played.name));
            let jobs = (!jobs.is_empty()).then_some(Named::Jobs { pipeline_id, jobs });
            (played.chain(jobs).collect(), format!("pipeline:{pipeline_id}"))
        }
        Event::Deployment(event)
            if event.project_id == project.id
                && event.status == "success"
                && event.deployment_id <= ID_MAX
                && config.asks_for(project.name.as_str(), &event.environment) =>
        {
            let id = event.deployment_id;
            (vec![Named::Deployment { id }], format!("deployment:{id}"))
        }
        Event::Job(_) | Event::Pipeline(_) | Event::Deployment(_) | Event::Other(_) => return None,
    };
    (!named.is_empty()).then_some((named, otherwise))
}

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
        // Whoever plays a job may do so because it was deployed: both can be told of at once, or be found lost together.
        let (deployments, jobs): (Vec<Hint>, Vec<Hint>) =
            hints.into_iter().partition(|hint| matches!(hint.subject, HintSubject::Deployment(_)));
        for hints in [deployments, jobs] {
            let looks = hints.into_iter().map(|hint| desk.look_into(hint));
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some(looked) = looks.next().await {
                // Those that were begun beside it are dropped: their hints stay due.
                if looked? == Gitlab::Silent {
                    return Ok(());
                }
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
                match self.heard(call(self.host, &job).await)? {
                    Ok(job) => self.judge(hint, &job).await,
                    Err(error) => self.unread(hint, &error),
                }
            }
            HintSubject::Deployment(deployment_id) => {
                let deployment = GetDeployment { instance: self.gitlab, project_id: self.project_id, deployment_id };
                match self.heard(call(self.host, &deployment).await)? {
                    Ok(deployment) => self.deployed(hint, &deployment),
                    Err(error) => self.unread(hint, &error),
                }
            }
        }
    }

    /// Keeps when GitLab answered last. That it does not know something is an answer.
    fn heard<T>(&self, answer: Result<T, CallError>) -> Result<Result<T, CallError>, LedgerError> {
        let trouble = answer.as_ref().err().filter(|error| error.may_pass()).map(ToString::to_string);
        self.record.heard_from(Origin::Gitlab, trouble.as_deref(), self.host.now())?;
        Ok(answer)
    }

    /// 1, 2, 4 … seconds, up to 5 minutes.
    fn later(&self, hint: Hint) -> Timestamp {
        self.host.now() + Duration::from_secs(1 << hint.tries.min(9)).min(WAIT_MAX)
    }

    /// A hint was acknowledged, so it is given up only when GitLab itself says that nothing will come of it.
    fn unread(&self, hint: Hint, error: &CallError) -> Result<Gitlab, LedgerError> {
        if planted(Planted::DropsAHint) {
            self.record.settle_hint(hint.id, "dropped")?;
            return Ok(Gitlab::Silent);
        }
        let (what, work) = match hint.subject {
            HintSubject::Job(job_id) => (format!("job {job_id}"), work(self.project_id, job_id)),
            HintSubject::Deployment(id) => (format!("deployment {id}"), deployment_work(self.project_id, id)),
        };
        let log = |then: &str| {
            let what = format!("a webhook's {what} cannot be read: {error}; {then}");
            self.host.write(&Entry::trouble(self.project_id, work.clone(), &what));
        };
        let (of_all, tries_max) = patience(error);
        if hint.tries >= tries_max {
            log("it is given up");
            self.record.settle_hint(hint.id, &error.to_string())?;
        } else {
            // An outage is worth a line each time it is met. What concerns one webhook alone is told when it has ended.
            if of_all {
                log("it is asked for again");
            }
            self.record.postpone_hint(hint.id, &error.to_string(), self.later(hint))?;
        }
        Ok(if of_all { Gitlab::Silent } else { Gitlab::Answers })
    }

    async fn judge(&self, hint: Hint, job: &Job) -> Result<Gitlab, LedgerError> {
        let Self { record, host, .. } = self;
        let mut outcomes = Vec::new();
        let played = Played { job, deployments: RefCell::default(), is_last: hint.tries >= STALE_TRIES_MAX };
        for candidate in &record.candidates_of_job(job.pipeline.id, &job.name)? {
            match self.settle(&played, candidate).await? {
                Settled::So(outcome) => outcomes.push(outcome),
                Settled::NotYet(why) => {
                    self.wait(hint, &why, STALE_TRIES_MAX)?;
                    return Ok(Gitlab::Answers);
                }
                Settled::Silent(why) => {
                    self.wait(hint, &why, TRIES_MAX)?;
                    return Ok(Gitlab::Silent);
                }
                Settled::Changed => {
                    self.wait(hint, &format!("`{}` changed while it was judged", candidate.key), TRIES_MAX)?;
                    return Ok(Gitlab::Answers);
                }
            }
            host.announce(&candidate.version);
        }
        let outcome = if outcomes.is_empty() { "no release job".to_owned() } else { outcomes.join("; ") };
        record.settle_hint(hint.id, &outcome)?;
        Ok(Gitlab::Answers)
    }

    fn wait(&self, hint: Hint, why: &str, tries_max: u32) -> Result<(), LedgerError> {
        if hint.tries < tries_max {
            self.record.postpone_hint(hint.id, why, self.later(hint))
        } else {
            self.record.settle_hint(hint.id, why)
        }
    }

    /// Approves or refuses one package that a played job stands for. Of a job that stands for several, each is on its own.
    async fn settle(&self, played: &Played<'_>, candidate: &Candidate) -> Result<Settled, LedgerError> {
        let Self { record, host, config, gitlab, project_id } = self;
        let Candidate { version, key, .. } = candidate;
        let job = played.job;
        if record.was_refused(version, key, job.id)? {
            return Ok(Settled::So("refused before".to_owned()));
        }
        if record.has_spoken(version, key, job.id)? {
            return Ok(Settled::So("approved before".to_owned()));
        }
        let actor = format!("webhook job:{}", job.id);
        // This very job may have been approved already, by an earlier hint or by its own call.
        let refuse = |why: &str| -> Result<(), LedgerError> {
            if record.has_spoken(version, key, job.id)? {
                return Ok(());
            }
            if record.refuse(version, key, job.id, &actor, why, host.now())? {
                let by = job.user.as_ref().map(|user| user.username.as_str()).unwrap_or_default();
                record.open_refusal(version, key, job.id, by, why, host.now())?;
            }
            Ok(())
        };
        let judged = match self.may_release(played, candidate).await {
            Ok(judged) => judged,
            Err(error) => return Ok(Settled::Silent(format!("who played it cannot be judged: {error}"))),
        };
        let approval = match judged {
            Ok(approval) => approval,
            // GitLab's answer can be older than its webhook. A job that nobody has played is not refused: it may be yet.
            Err(refusal @ Refusal::NotPlayed { .. }) if !job.status.has_failed() => {
                return Ok(Settled::NotYet(refusal.to_string()));
            }
            // GitLab makes a job that is run again, and then its deployment. One whose environment records none asks by
            // itself meanwhile, and shows what was signed.
            Err(refusal @ Refusal::OtherEnvironment { .. }) if !played.is_last => {
                return Ok(Settled::NotYet(refusal.to_string()));
            }
            // What is not shipped, or was taken back itself, does not remain, so whoever releases all that remain is not refused
            // for it.
            Err(refusal @ (Refusal::Skipped { .. } | Refusal::Withdrawn { .. }))
                if is_for_all(candidate, &job.name) =>
            {
                return Ok(Settled::So(refusal.to_string()));
            }
            Err(refusal) => {
                refuse(&refusal.to_string())?;
                return Ok(Settled::So(refusal.to_string()));
            }
        };
        if approval.distros.is_empty() {
            return Ok(Settled::So("approved before".to_owned()));
        }
        if let Some(why) = lapsed(job, config.approvals.lapse, host.now()) {
            refuse(&why)?;
            return Ok(Settled::So(why));
        }
        let asked = gates::Asked { project_id: *project_id, version, key, by: Some(approval.by_id) };
        match gates::kept_back(*record, *host, config, Some(gitlab), &asked, job).await? {
            None => {}
            Some(gates::Why::Unknown(why)) => return Ok(Settled::Silent(why)),
            Some(gates::Why::NotShownYet(why)) => return Ok(Settled::NotYet(why)),
            Some(why) => {
                let why = why.to_string();
                refuse(&why)?;
                return Ok(Settled::So(why));
            }
        }
        if record.approve(candidate, &approval, &config.policy, *project_id, host.now())? {
            return Ok(Settled::So("approved".to_owned()));
        }
        if record.has_spoken(version, key, job.id)? {
            return Ok(Settled::So("approved before".to_owned()));
        }
        Ok(Settled::Changed)
    }

    /// Judges a played job, where it runs, and by the project's own rules who played it. Of GitLab only what a rule needs is
    /// asked, and nothing for a job that is refused anyway.
    async fn may_release(
        &self,
        played: &Played<'_>,
        candidate: &Candidate,
    ) -> Result<Result<Approval, Refusal>, CallError> {
        let Self { host, config, gitlab, project_id, .. } = self;
        let job = played.job;
        // A project that is not configured any more has no rules left that could allow anything.
        let Some(project) = config.project_of_id(*project_id) else {
            let (key, declared) = (candidate.key.clone(), candidate.release_job.clone());
            return Ok(Err(Refusal::OtherJob { key, declared }));
        };
        let asked = match by_webhook(candidate, job, true) {
            Ok(approval) => approval,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let environment = candidate.environment_of(&job.name);
        if let Err(refusal) = by_webhook(candidate, job, self.deploys(played, environment).await?) {
            return Ok(Err(refusal));
        }
        let level = match &project.release_levels {
            Some(_) => role(*host, gitlab, *project_id, asked.by_id).await?,
            None => None,
        };
        let environment_protected =
            project.protected_environment && is_protected(*host, gitlab, *project_id, environment).await?;
        let who = Player { user_id: asked.by_id, username: &asked.by, level, environment_protected };
        Ok(entitled(candidate, project, &who).map(|()| asked))
    }

    /// Whether a played job runs in an environment. Asked once, however many packages it stands for. Whatever its name, a job
    /// that does not run there may be played by whoever likes, also where the environment is protected.
    async fn deploys(&self, played: &Played<'_>, environment: &str) -> Result<bool, CallError> {
        let known = played.deployments.borrow().get(environment).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let Self { host, gitlab, project_id, .. } = self;
        let asked = DeploysTo { instance: gitlab, project_id: *project_id, environment, job_id: played.job.id };
        let deploys = call(*host, &asked).await?;
        played.deployments.borrow_mut().insert(environment.to_owned(), deploys);
        Ok(deploys)
    }

    /// Writes down where a pipeline's packages run. An answer about a deployment that was done before the bytes were staged
    /// says nothing of them.
    fn deployed(&self, hint: Hint, deployment: &Deployment) -> Result<Gitlab, LedgerError> {
        let Self { record, host, config, project_id, .. } = self;
        let environment = deployment.environment.name.as_str();
        let project = config.project_of_id(*project_id);
        if !project.is_some_and(|project| config.asks_for(project.name.as_str(), environment)) {
            record.settle_hint(hint.id, "no gate asks for its environment")?;
            return Ok(Gitlab::Answers);
        }
        if !deployment.is_done() {
            self.wait(hint, &format!("the deployment is {}", deployment.status), STALE_TRIES_MAX)?;
            return Ok(Gitlab::Answers);
        }
        let Some(job) = &deployment.deployable else {
            record.settle_hint(hint.id, "no job has deployed it, so nothing says which pipeline's packages it has")?;
            return Ok(Gitlab::Answers);
        };
        let pipeline_id = job.pipeline.id;
        let finished = job.finished_at.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
        let staged = record.last_staged(pipeline_id)?;
        if finished.zip(staged).is_some_and(|(finished, staged)| finished < staged) {
            record.settle_hint(hint.id, "it was done before the bytes were staged")?;
            return Ok(Gitlab::Answers);
        }
        let by = format!("webhook job:{}", job.id);
        for version in record.versions_of_pipeline(pipeline_id)? {
            if record.deployed(&version, Some(pipeline_id), environment, &by, finished, host.now())? {
                host.announce(&version);
            }
        }
        record.settle_hint(hint.id, "deployed")?;
        Ok(Gitlab::Answers)
    }
}

/// Whether an error is one of all webhooks, and how often a job is asked for in spite of it. A token that GitLab does not
/// take, an instance that is not paid for, and too many questions pass for all at once. That a thing is not there, or is
/// no good question, is said of it alone; so is an answer that nobody understands, but a page of a proxy's in front of
/// GitLab would be one too.
fn patience(error: &CallError) -> (bool, u32) {
    match error {
        CallError::Unreachable(_) | CallError::Unsendable(_) | CallError::Foreign { .. } | CallError::Busy { .. } => {
            (true, TRIES_MAX)
        }
        CallError::Unreadable { .. } => (false, UNREADABLE_TRIES_MAX),
        CallError::Refused { status, .. } => {
            let passes = [
                StatusCode::UNAUTHORIZED,
                StatusCode::PAYMENT_REQUIRED,
                StatusCode::FORBIDDEN,
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::TOO_MANY_REQUESTS,
            ];
            let is_of_all = !status.is_client_error() || passes.contains(status);
            if is_of_all { (true, TRIES_MAX) } else { (false, STALE_TRIES_MAX) }
        }
    }
}

/// A job that was played, as GitLab shows it.
struct Played<'a> {
    job: &'a Job,
    /// Whether it deploys to an environment, for each that was asked about.
    deployments: RefCell<BTreeMap<String, bool>>,
    /// Whether nobody waits any longer for GitLab to show more of it.
    is_last: bool,
}

/// What became of a package that a played job stands for.
enum Settled {
    /// It is approved, or it is not.
    So(String),
    /// GitLab does not show the job as played, or not where it runs.
    NotYet(String),
    /// Its gates ask for something that GitLab does not say now.
    Silent(String),
    /// Others ran while GitLab was asked, and the package is not any more what was judged: another target has moved.
    Changed,
}

/// Why a job was played too long ago to approve anything. One that no runner has taken yet still asks.
fn lapsed(job: &Job, lapse: Duration, now: Timestamp) -> Option<String> {
    let started: Timestamp = job.started_at.as_ref()?.parse().ok()?;
    (now.since(started) > lapse).then(|| {
        format!("the job began at {started}, and what it asked for has lapsed by {}; play it again", started + lapse)
    })
}
