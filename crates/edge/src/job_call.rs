//! A job asks by itself to release packages: `POST …/promotions`, the other way beside [`hints`](crate::hints).
//!
//! It is told at once what becomes of each, so what a webhook would only write down is an answer here. Named packages are
//! all or nothing; of all that remain each is on its own.

use slipway_core::access::Player;
use slipway_core::api::RefusedKey;
use slipway_core::approval::{Approval, Candidate, Refusal, by_job, entitled, is_for_all};
use slipway_core::config::{Config, Project};
use slipway_core::release::{Key, Version};
use slipway_core::secret::JobSession;
use slipway_gitlab::{GetJob, Instance, Job};
use slipway_ledger::{LedgerError, Record, Sql};
use slipway_wire::{CallError, call};

use crate::denied::{Denied, Unanswered};
use crate::gates::{self, Why};
use crate::port::ProjectHost;

/// How many keys one request may name.
pub const KEYS_MAX: usize = 500;

/// What a job asks for.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The job, as it was when GitLab signed its token.
    pub session: &'a JobSession,
    /// The release.
    pub version: &'a Version,
    /// The packages. Empty when it asks for all that remain.
    pub keys: &'a [Key],
    /// Whether it asks for all that remain.
    pub all: bool,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The packages that are approved now, or were before.
    pub keys: Vec<Key>,
    /// Those of all that are not, each with its reason.
    pub refused: Vec<RefusedKey>,
}

/// What one package is judged with.
struct Desk<'a, S, H> {
    record: &'a Record<S>,
    host: &'a H,
    config: &'a Config,
    project: &'a Project,
    gitlab: Option<&'a Instance>,
    session: &'a JobSession,
    version: &'a Version,
    /// The job as GitLab shows it now: a session outlives its job.
    job: &'a Job,
}

/// Approves what the job asks for, as far as it may. What was approved stays so, whatever the answer says of the rest.
pub async fn promote<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    gitlab: Option<&Instance>,
    asked: &Call<'_>,
) -> Result<Accepted, Unanswered> {
    let Call { session, version, keys, all } = *asked;
    let project_id = session.project_id;
    if all != keys.is_empty() || keys.len() > KEYS_MAX {
        let what = format!("Name 1 to {KEYS_MAX} keys in `keys`, or set `all`, and not both.");
        return Err(Denied::new(422, "bad-request", what).into());
    }
    let job = read(host, gitlab, session).await.map_err(|error| {
        Denied::new(503, "gitlab-unreachable", format!("Cannot read the job from GitLab: {error}. Try again."))
    })?;
    let desk = Desk { record, host, config, project, gitlab, session, version, job: &job };
    let (accepted, refused) = if all {
        desk.judge_all().await?
    } else {
        // All or nothing: every key is judged before any is approved.
        let mut accepted = Vec::new();
        for key in keys {
            accepted.push(desk.judge(key).await??);
        }
        (accepted, Vec::new())
    };
    let (mut approved, mut changed) = (Vec::new(), None);
    for (candidate, approval) in accepted {
        let is_new = record.approve(&candidate, &approval, &config.policy, project_id, host.now())?;
        let key = candidate.key;
        if is_new || approval.distros.is_empty() || record.has_spoken(version, &key, session.job_id)? {
            approved.push(key);
        } else {
            changed = Some(key);
        }
    }
    host.announce(version);
    // Others ran while GitLab was asked, and what was judged is not what is there now.
    if let Some(key) = changed {
        let what = format!("`{key}` changed while its release was judged. Try again.");
        return Err(Denied::new(503, "changed-meanwhile", what).into());
    }
    if approved.is_empty() {
        Err(nothing(project, version, &refused).into())
    } else {
        Ok(Accepted { keys: approved, refused })
    }
}

async fn read(host: &impl ProjectHost, gitlab: Option<&Instance>, session: &JobSession) -> Result<Job, CallError> {
    let instance = gitlab.ok_or_else(|| CallError::Unsendable("this deployment lacks GitLab's token".to_owned()))?;
    call(host, &GetJob { instance, project_id: session.project_id, job_id: session.job_id }).await
}

/// Why a job that asks for all that remain gets none of it.
fn nothing(project: &Project, version: &Version, refused: &[RefusedKey]) -> Denied {
    let says = |kind: &&str| refused.iter().any(|refused| refused.kind == *kind);
    let kind = ["stopped", "before-import", "gate-closed"].into_iter().find(says).unwrap_or("nothing-left");
    let whys: Vec<&str> = refused.iter().map(|refused| refused.why.as_str()).collect();
    let what = if whys.is_empty() {
        format!("Nothing of {} {version} is left for this job to release.", project.name)
    } else {
        whys.join(" ")
    };
    Denied::new(409, kind, what)
}

impl<S: Sql, H: ProjectHost> Desk<'_, S, H> {
    /// All that the job stands for, each on its own. What is on its way or released already is followed like the rest;
    /// what is not shipped, or was taken back itself, does not remain.
    async fn judge_all(&self) -> Result<(Vec<(Candidate, Approval)>, Vec<RefusedKey>), Unanswered> {
        let Self { record, project, job, version, .. } = self;
        let candidates = record.candidates_of_job(job.pipeline.id, &job.name)?;
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        let own = candidates.into_iter().filter(|one| one.version == **version && is_for_all(one, &job.name));
        let mut is_known = false;
        for Candidate { key, .. } in own {
            is_known = true;
            match self.judge(&key).await? {
                Ok((candidate, approval)) => accepted.push((candidate, approval)),
                Err(denied) if matches!(denied.kind, "skipped" | "withdrawn") => {}
                Err(denied) => {
                    refused.push(RefusedKey { key, kind: denied.kind.to_owned(), why: denied.detail });
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
            Err(Denied::new(403, "not-allowed", what).into())
        }
    }

    /// Whether the job may release a package now. The outer error is of what could not be asked, or judged yet.
    async fn judge(&self, key: &Key) -> Result<Result<(Candidate, Approval), Denied>, Unanswered> {
        let Self { record, host, config, project, gitlab, session, version, job } = self;
        let Some(candidate) = record.candidate(version, key)? else {
            let what = format!("`{key}` is not in the plan of {} {version}.", project.name);
            return Ok(Err(Denied::new(404, "not-planned", what)));
        };
        let judged = by_job(&candidate, session, job).and_then(|approval| {
            entitled(&candidate, project, &Player::of(session, job))?;
            Ok(approval)
        });
        let approval = match judged {
            Ok(approval) => approval,
            // The job asks, so it runs: GitLab's answer is behind. Nobody is refused for that.
            Err(refusal @ Refusal::NotPlayed { .. }) if !job.status.has_failed() => {
                return Err(Denied::new(503, "gitlab-behind", format!("{refusal}. Try again.")).into());
            }
            Err(refusal) => {
                self.refuse(key, &refusal.to_string())?;
                return Ok(Err(denied(&refusal)));
            }
        };
        if approval.distros.is_empty() {
            // It is on its way, or released: nothing is left that a gate could keep back.
            return Ok(Ok((candidate, approval)));
        }
        let asked = gates::Asked { project_id: session.project_id, version, key, by: Some(approval.by_id) };
        let why = match gates::kept_back(record, *host, config, *gitlab, &asked, job).await? {
            None => return Ok(Ok((candidate, approval))),
            Some(Why::Unknown(why)) => {
                let what = format!("The gates of `{key}` cannot be asked: {why}. Try again.");
                return Err(Denied::new(503, "gitlab-unreachable", what).into());
            }
            Some(Why::NotShownYet(_)) => {
                let what = format!("GitLab does not show yet that a runner has job {}. Try again.", job.id);
                return Err(Denied::new(503, "gitlab-behind", what).into());
            }
            Some(why) => why,
        };
        self.refuse(key, &why.to_string())?;
        Ok(Err(match why {
            Why::BeforeImport(_) => Denied::new(409, "before-import", format!("`{key}`: {why}.")),
            Why::Stopped(_) => Denied::new(409, "stopped", format!("{why}.")),
            Why::Closed(_) | Why::NotShownYet(_) | Why::Unknown(_) => {
                Denied::new(409, "gate-closed", format!("{why}."))
            }
        }))
    }

    /// Writes a refusal down. The job's webhook may be behind, and must not be granted later what the job itself was
    /// refused; nor has a commit status to say what the job says.
    fn refuse(&self, key: &Key, why: &str) -> Result<(), LedgerError> {
        let Self { record, session, version, host, .. } = self;
        let actor = format!("job:{} user:{}", session.job_id, session.user);
        record.refuse(version, key, session.job_id, &actor, why, host.now())?;
        record.refusal_by_job(version, key, session.job_id)
    }
}

fn denied(refusal: &Refusal) -> Denied {
    let (status, kind) = match refusal {
        Refusal::OtherPipeline { .. }
        | Refusal::OtherJob { .. }
        | Refusal::OtherEnvironment { .. }
        | Refusal::NotPlayed { .. }
        | Refusal::NotEntitled { .. } => (403, "not-allowed"),
        Refusal::NotStaged { .. } => (409, "not-staged"),
        Refusal::Skipped { .. } => (409, "skipped"),
        Refusal::Withdrawn { .. } => (409, "withdrawn"),
        Refusal::NameTaken { .. } => (409, "name-taken"),
        Refusal::Closed { .. } => (409, "closed"),
    };
    Denied::new(status, kind, format!("{refusal}."))
}
