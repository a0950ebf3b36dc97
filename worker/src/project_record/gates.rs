//! Releasing, and what stands in its way: promotions, holds, overrides, deployments, the end of a release.

use slipway_core::access::Player;
use slipway_core::api::{PromotionAccepted, RefusedKey};
use slipway_core::approval::{Approval, Candidate, Refusal, by_job, entitled, is_for_all};
use slipway_core::config::{Config, Project};
use slipway_core::expectation::is_one_line;
use slipway_core::gate::{GateKind, sentence_of};
use slipway_core::promotion::May;
use slipway_core::release::{Key, Version};
use slipway_core::secret::JobSession;
use slipway_edge::gates;
use slipway_gitlab::{GetJob, Instance, Job};
use slipway_ledger::{Ask, GateOverride};
use slipway_wire::{CallError, call};

use super::{KEYS_MAX, ProjectRecord};
use crate::answer::{Answer, Problem, json};
use crate::message::{By, Change};
use crate::{clock, settings};

/// What a reason may have.
const REASON_CHARACTERS_MAX: usize = 500;

/// A package that may be released, or why not.
type Judged = std::result::Result<(Candidate, Approval), Problem>;

/// A job that asks to release something of a version, and what it is judged with.
#[derive(Clone, Copy)]
struct Case<'a> {
    config: &'a Config,
    project: &'a Project,
    gitlab: Option<&'a Instance>,
    session: &'a JobSession,
    /// The job as GitLab shows it now.
    job: &'a Job,
    version: &'a Version,
}

impl ProjectRecord {
    // ---- approvals ----

    pub(super) async fn promote(&self, session: &JobSession, version: &Version, keys: Vec<Key>, all: bool) -> Answer {
        self.know_id(session.project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, session.project_id)?;
        if all != keys.is_empty() || keys.len() > KEYS_MAX {
            let what = format!("Name 1 to {KEYS_MAX} keys in `keys`, or set `all`, and not both.");
            return Err(Problem::new(422, "bad-request", what));
        }
        let gitlab = self.gitlab(&config);
        let job = self.job(gitlab.as_ref(), session).await.map_err(|error| gitlab_trouble(&error))?;
        let case = Case { config: &config, project, gitlab: gitlab.as_ref(), session, job: &job, version };
        let (accepted, refused) = if all {
            self.judge_all(case).await?
        } else {
            // All or nothing: every key is judged before any is approved.
            let mut accepted = Vec::new();
            for key in &keys {
                accepted.push(self.judge(case, key).await??);
            }
            (accepted, Vec::new())
        };
        let (record, mut approved, mut changed) = (self.record()?, Vec::new(), None);
        for (candidate, approval) in accepted {
            let is_new = record.approve(&candidate, &approval, &config.policy, session.project_id, clock::now())?;
            let key = candidate.key;
            if is_new || approval.distros.is_empty() || record.has_spoken(version, &key, session.job_id)? {
                approved.push(key);
            } else {
                changed = Some(key);
            }
        }
        self.soon().await?;
        self.announce(session.project_id, version);
        // Others ran while GitLab was asked, and what was judged is not what is there now. What is approved stays so.
        if let Some(key) = changed {
            let what = format!("`{key}` changed while its release was judged. Try again.");
            return Err(Problem::new(503, "changed-meanwhile", what));
        }
        if approved.is_empty() {
            let whys: Vec<&str> = refused.iter().map(|refused: &RefusedKey| refused.why.as_str()).collect();
            let kind = if refused.iter().any(|refused| refused.kind == "gate-closed") {
                "gate-closed"
            } else {
                "nothing-left"
            };
            let what = if whys.is_empty() {
                format!("Nothing of {} {version} is left for this job to release.", project.name)
            } else {
                whys.join(" ")
            };
            return Err(Problem::new(409, kind, what));
        }
        let follow =
            config.edge.url.url(["api", "v1", "projects", project.name.as_str(), "releases", version.as_str()]);
        json(202, &PromotionAccepted { keys: approved, refused, follow })
    }

    /// All that the job stands for, each on its own. What is on its way or released already is followed like the rest; what
    /// is not shipped does not remain.
    async fn judge_all(
        &self,
        case: Case<'_>,
    ) -> std::result::Result<(Vec<(Candidate, Approval)>, Vec<RefusedKey>), Problem> {
        let Case { project, job, version, .. } = case;
        let candidates = self.record()?.candidates_of_job(job.pipeline.id, &job.name)?;
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        let own = candidates.into_iter().filter(|one| one.version == *version && is_for_all(one, &job.name));
        let mut is_known = false;
        for Candidate { key, .. } in own {
            is_known = true;
            match self.judge(case, &key).await? {
                Ok((candidate, approval)) => accepted.push((candidate, approval)),
                Err(problem) if problem.kind == "skipped" => {}
                Err(problem) => {
                    refused.push(RefusedKey { key, kind: problem.kind.to_owned(), why: problem.detail });
                }
            }
        }
        if is_known {
            Ok((accepted, refused))
        } else {
            let what = format!(
                "`{}` is not the job that releases all that remain of {} {version}; the plan names it.",
                job.name, project.name
            );
            Err(Problem::new(403, "not-allowed", what))
        }
    }

    /// Whether a job may release a package now. The outer error is of what could not be asked.
    async fn judge(&self, case: Case<'_>, key: &Key) -> std::result::Result<Judged, Problem> {
        let Case { config, project, gitlab, session, job, version } = case;
        let Some(candidate) = self.record()?.candidate(version, key)? else {
            let what = format!("`{key}` is not in the plan of {} {version}.", project.name);
            return Ok(Err(Problem::new(404, "not-planned", what)));
        };
        let actor = format!("job:{} user:{}", session.job_id, session.user);
        let judged = by_job(&candidate, session, job).and_then(|approval| {
            entitled(&candidate, project, &Player::of(session, job))?;
            Ok(approval)
        });
        let approval = match judged {
            Ok(approval) => approval,
            // The job asks, so it runs: GitLab's answer is behind. Nobody is refused for that.
            Err(refusal @ Refusal::NotPlayed { .. }) if !job.status.has_failed() => {
                return Err(Problem::new(503, "gitlab-behind", format!("{refusal}. Try again.")));
            }
            Err(refusal) => {
                self.record()?.refuse(version, key, session.job_id, &actor, &refusal.to_string(), clock::now())?;
                self.record()?.refusal_by_job(version, key, session.job_id)?;
                return Ok(Err(refused(&refusal)));
            }
        };
        if approval.distros.is_empty() {
            // It is on its way, or released: nothing is left that a gate could keep back.
            return Ok(Ok((candidate, approval)));
        }
        let asked = gates::Asked { project_id: session.project_id, version, key, by: Some(approval.by_id) };
        let closed = gates::closed(self.record()?, &self.host(), config, gitlab, &asked).await?;
        let closed = closed.map_err(|why| {
            Problem::new(503, "gitlab-unreachable", format!("The gates of `{key}` cannot be asked: {why}. Try again."))
        })?;
        if closed.is_empty() {
            return Ok(Ok((candidate, approval)));
        }
        let why = sentence_of(key, &closed);
        // Its webhook may be behind, and must not be granted later what the job itself was refused.
        self.record()?.refuse(version, key, session.job_id, &actor, &why, clock::now())?;
        self.record()?.refusal_by_job(version, key, session.job_id)?;
        Ok(Err(Problem::new(409, "gate-closed", format!("{why}."))))
    }

    async fn job(&self, gitlab: Option<&Instance>, session: &JobSession) -> std::result::Result<Job, CallError> {
        let instance =
            gitlab.ok_or_else(|| CallError::Unsendable("this deployment lacks GitLab's token".to_owned()))?;
        call(&self.host(), &GetJob { instance, project_id: session.project_id, job_id: session.job_id }).await
    }

    pub(super) fn gitlab(&self, config: &Config) -> Option<Instance> {
        let token = settings::secret(&self.env, &config.gitlab.token).ok()?;
        Some(Instance::new(config.gitlab.url.clone(), token))
    }

    /// Whether a package's object may begin an act now.
    pub(super) async fn may_act(&self, ask: &Ask) -> std::result::Result<May, Problem> {
        self.know_id(ask.project_id)?;
        let config = settings::config()?;
        let gitlab = self.gitlab(&config);
        Ok(gates::may_act(self.record()?, &self.host(), &config, gitlab.as_ref(), ask).await?)
    }

    // ---- what somebody changes who releases nothing ----

    pub(super) async fn change(&self, project_id: u64, version: &Version, by: &By, change: Change) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let (record, now) = (self.record()?, clock::now());
        match change {
            Change::Hold { keys, reason } => {
                record.hold(version, some(keys.as_deref())?, &by.name, reasoned(&reason)?, now)?;
            }
            Change::Lift { keys, reason } => {
                record.lift(version, some(keys.as_deref())?, &by.name, reasoned(&reason)?, now)?;
            }
            Change::Close { reason } => record.close(version, &by.name, reasoned(&reason)?, now)?,
            Change::Override { keys, gates, reason } => {
                let keys = match keys {
                    Some(keys) => keys,
                    None => record.keys(version)?,
                };
                let (keys, gates) = (some(Some(&keys))?.unwrap_or_default(), overridable(&gates)?);
                let (by_id, reason) = (by.id.unwrap_or_default(), reasoned(&reason)?);
                let over = GateOverride { keys, gates: &gates, by_id, by: &by.name, reason };
                self.override_gates(&config, project, version, by, &over)?;
            }
            Change::Deployed { environment } => {
                if config.asks_for(project.name.as_str(), &environment) {
                    record.deployed(version, None, &environment, &by.name, now)?;
                }
                self.announce(project_id, version);
                return Ok(worker::Response::empty()?.with_status(204));
            }
        }
        self.soon().await?;
        self.announce(project_id, version);
        self.release(project_id, version)
    }

    /// Every gate that is to be opened must name the one who opens it, for every package.
    fn override_gates(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        by: &By,
        over: &GateOverride<'_>,
    ) -> std::result::Result<(), Problem> {
        let record = self.record()?;
        for key in over.keys {
            let gates = config.gates(project.name.as_str(), version, key);
            let theirs = |kind: &GateKind| {
                gates
                    .iter()
                    .any(|gate| gate.asks_for(*kind) && by.id.is_some_and(|id| gate.override_people.contains(&id)))
            };
            if let Some(kind) = over.gates.iter().find(|kind| !theirs(kind)) {
                let what = format!(
                    "The gate `{}` of `{key}` of {} {version} does not name {} in `override_people`; somebody whom it names \
                     may open it.",
                    kind.code(),
                    project.name,
                    by.name
                );
                record.refused_at_the_door(&by.name, "POST overrides", &what, clock::now())?;
                return Err(Problem::new(403, "not-allowed", what));
            }
        }
        Ok(record.override_gates(version, over, clock::now())?)
    }
}

/// A list that names something, where there is one.
fn some(keys: Option<&[Key]>) -> std::result::Result<Option<&[Key]>, Problem> {
    match keys {
        Some(keys) if keys.is_empty() || keys.len() > KEYS_MAX => {
            Err(Problem::new(422, "bad-request", format!("Name 1 to {KEYS_MAX} keys, or leave `keys` out for all.")))
        }
        keys => Ok(keys),
    }
}

/// The gates that are named, where each is one that somebody may open.
fn overridable(names: &[String]) -> std::result::Result<Vec<GateKind>, Problem> {
    let known = || GateKind::ALL.into_iter().filter(|kind| *kind != GateKind::Hold);
    let mut kinds = Vec::new();
    for name in names {
        kinds.push(known().find(|kind| kind.code() == name).ok_or_else(|| {
            let known: Vec<&str> = known().map(GateKind::code).collect();
            let what = format!("`{name}` is not a gate that is overridden; these are: {}.", known.join(", "));
            Problem::new(422, "bad-request", what)
        })?);
    }
    if kinds.is_empty() {
        return Err(Problem::new(422, "bad-request", "Name at least one gate."));
    }
    Ok(kinds)
}

fn reasoned(reason: &str) -> std::result::Result<&str, Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARACTERS_MAX || !is_one_line(reason) {
        let what =
            format!("Give a reason, one line of at most {REASON_CHARACTERS_MAX} characters: others will ask for it.");
        return Err(Problem::new(422, "no-reason", what));
    }
    Ok(reason)
}

fn refused(refusal: &Refusal) -> Problem {
    let (status, kind) = match refusal {
        Refusal::OtherPipeline { .. }
        | Refusal::OtherJob { .. }
        | Refusal::NotPlayed { .. }
        | Refusal::NotEntitled { .. } => (403, "not-allowed"),
        Refusal::NotStaged { .. } => (409, "not-staged"),
        Refusal::Skipped { .. } => (409, "skipped"),
        Refusal::Closed { .. } => (409, "closed"),
    };
    Problem::new(status, kind, format!("{refusal}."))
}

fn gitlab_trouble(error: &CallError) -> Problem {
    Problem::new(503, "gitlab-unreachable", format!("Cannot read the job from GitLab: {error}. Try again."))
}
