//! Who may release what: a played job and the record of its package make an approval, or a refusal with a sentence.

use slipway_gitlab::Job;
use slipway_wire::Digest;

use crate::release::{Key, TargetState, Version};
use crate::secret::JobSession;

/// What the record says of a package that somebody asks to release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its release.
    pub version: Version,
    /// Its name.
    pub key: Key,
    /// The pipeline that declared it.
    pub pipeline_id: u64,
    /// The name of its manual job.
    pub release_job: String,
    /// The environment of its manual job.
    pub environment: String,
    /// The declared digest.
    pub digest: Option<Digest>,
    /// How far each of its targets is, by distro version.
    pub targets: Vec<(String, TargetState)>,
}

/// Somebody may release the package, with these bytes and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who played the job.
    pub by: String,
    /// How it was asked for.
    pub via: Via,
    /// The manual job.
    pub job_id: u64,
    /// The approved bytes.
    pub digest: Digest,
    /// The targets that are to move now. Empty when all of them move or are released already.
    pub distros: Vec<String>,
}

/// The two ways to ask for a release. For one package both give one promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// GitLab's webhook said that the job was played, and GitLab's API confirmed it.
    Webhook,
    /// The job itself asked.
    Job,
}

impl Via {
    /// The word in the API and the audit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Job => "job",
        }
    }
}

/// Why a package is not released now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The job belongs to another pipeline than the one that declared the package.
    #[error(
        "`{key}` was declared by pipeline {declared}; this job belongs to pipeline {job}. Play the job of pipeline {declared}"
    )]
    OtherPipeline {
        /// The package.
        key: Key,
        /// The pipeline that declared it.
        declared: u64,
        /// The job's pipeline.
        job: u64,
    },
    /// The job is not the one that was declared to release the package.
    #[error("`{key}` is released by the job `{declared}`, not by this one")]
    OtherJob {
        /// The package.
        key: Key,
        /// The declared job.
        declared: String,
    },
    /// Nobody has played the job, or it has ended badly already.
    #[error("the job that releases `{key}` is {status}; it must be played, and not have failed")]
    NotPlayed {
        /// The package.
        key: Key,
        /// GitLab's word for it.
        status: String,
    },
    /// The bytes are not in staging.
    #[error("`{key}` is not staged: {why}. Run its build job, then play the release job again")]
    NotStaged {
        /// The package.
        key: Key,
        /// What is missing.
        why: String,
    },
    /// It is not to be shipped.
    #[error("`{key}` is not shipped in this release")]
    Skipped {
        /// The package.
        key: Key,
    },
}

/// Judges a job that the webhook named, as GitLab's API shows it.
pub fn by_webhook(candidate: &Candidate, job: &Job) -> Result<Approval, Refusal> {
    let key = || candidate.key.clone();
    if job.pipeline.id != candidate.pipeline_id {
        return Err(Refusal::OtherPipeline { key: key(), declared: candidate.pipeline_id, job: job.pipeline.id });
    }
    if job.name != candidate.release_job {
        return Err(Refusal::OtherJob { key: key(), declared: candidate.release_job.clone() });
    }
    // GitLab promises no particular event of a played job, so every status that only a played job has will do.
    let by = match &job.user {
        Some(user) if job.status.is_played() => user.username.clone(),
        _ => return Err(Refusal::NotPlayed { key: key(), status: job.status.to_string() }),
    };
    approve(candidate, by, Via::Webhook, job.id)
}

/// Judges a job that asks by itself. Its package is bound by the environment that GitLab signed, or by its name as
/// GitLab's API shows it.
pub fn by_job(candidate: &Candidate, session: &JobSession, job_name: Option<&str>) -> Result<Approval, Refusal> {
    let key = || candidate.key.clone();
    if session.pipeline_id != candidate.pipeline_id {
        return Err(Refusal::OtherPipeline { key: key(), declared: candidate.pipeline_id, job: session.pipeline_id });
    }
    let bound = match (&session.environment, job_name) {
        (Some(environment), _) => *environment == candidate.environment,
        (None, Some(name)) => name == candidate.release_job,
        (None, None) => false,
    };
    if !bound {
        return Err(Refusal::OtherJob { key: key(), declared: candidate.release_job.clone() });
    }
    approve(candidate, session.user.clone(), Via::Job, session.job_id)
}

fn approve(candidate: &Candidate, by: String, via: Via, job_id: u64) -> Result<Approval, Refusal> {
    let key = || candidate.key.clone();
    let not_staged = |why: &str| Refusal::NotStaged { key: key(), why: why.to_owned() };
    let digest = candidate.digest.ok_or_else(|| not_staged("no job has declared its file"))?;
    let mut distros = Vec::new();
    for (distro, state) in &candidate.targets {
        match state {
            TargetState::Approved | TargetState::Releasing | TargetState::Released => {}
            // Playing the job again is how a person asks for another try; the promotion looks before it acts.
            TargetState::Staged | TargetState::Failed | TargetState::Conflict => distros.push(distro.clone()),
            TargetState::Expected => return Err(not_staged("its bytes have not been seen in staging")),
            TargetState::Missing => return Err(not_staged("staging does not have the declared bytes")),
            TargetState::Expired => return Err(not_staged("its staged copy has expired")),
            TargetState::Skipped | TargetState::Withdrawn => return Err(Refusal::Skipped { key: key() }),
        }
    }
    Ok(Approval { by, via, job_id, digest, distros })
}
