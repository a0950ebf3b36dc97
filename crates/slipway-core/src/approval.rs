//! Who may release what: a played job and the record of its package make an approval, or a refusal with a sentence.

use slipway_gitlab::{Job, User};
use slipway_wire::Digest;

use crate::access::{MayNotRelease, Player, may_release};
use crate::config::Project;
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
    /// The job that releases all that remain of its pipeline, and its environment.
    pub release_all: Option<(String, String)>,
    /// The declared digest.
    pub digest: Option<Digest>,
    /// Whether somebody gave its release up.
    pub is_closed: bool,
    /// Why it is never released, where some of it was taken back.
    pub withdrawn: Option<String>,
    /// Why it is never released, where a name of its was taken back elsewhere, or was that of other bytes.
    pub name_taken: Option<String>,
    /// How far each of its targets is, by distro version.
    pub targets: Vec<(String, TargetState)>,
}

impl Candidate {
    /// The environment that was declared for a job of this name: that of all that remain, or the package's own.
    pub fn environment_of(&self, job_name: &str) -> &str {
        match &self.release_all {
            Some((all, environment)) if all == job_name => environment,
            _ => &self.environment,
        }
    }
}

/// Somebody may release the package, with these bytes and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who played the job.
    pub by: String,
    /// GitLab's id of that person.
    pub by_id: u64,
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
    #[error("`{key}` is released by the job `{declared}`, not by this one; play that one")]
    OtherJob {
        /// The package.
        key: Key,
        /// The declared job.
        declared: String,
    },
    /// The job has the declared name, and nothing shows that it runs in the environment that was declared for it.
    #[error(
        "`{key}` is released by a job in the environment `{declared}`, and {seen}. Give the job `environment: {declared}`, as the plan says, and play it again"
    )]
    OtherEnvironment {
        /// The package.
        key: Key,
        /// The declared environment.
        declared: String,
        /// What is known of the job's own.
        seen: Environment,
    },
    /// Nobody has played the job, or it has ended badly already.
    #[error("the job that releases `{key}` is {status}; it must be played, and not have failed")]
    NotPlayed {
        /// The package.
        key: Key,
        /// GitLab's word for it.
        status: String,
    },
    /// The project's own rules do not let this person, or this environment, release.
    #[error("`{key}` is not released: {why}")]
    NotEntitled {
        /// The package.
        key: Key,
        /// The rule.
        why: MayNotRelease,
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
    /// What was taken back does not come again.
    #[error("`{key}` is not released: {why}. Release it under another version")]
    Withdrawn {
        /// The package.
        key: Key,
        /// What was taken back.
        why: String,
    },
    /// Nothing comes under a name that was taken back, nor other bytes under one that was released. The package itself is
    /// meant to be released, so whoever releases all that remain is told of it.
    #[error("`{key}` is not released: {why}. Release it under another version")]
    NameTaken {
        /// The package.
        key: Key,
        /// What had the name.
        why: String,
    },
    /// Its release was given up after it had begun: what is under way is finished, and nothing begins again.
    #[error("`{key}` is not released: its release was closed; release a new version")]
    Closed {
        /// The package.
        key: Key,
    },
}

/// What is known of the environment in which a job runs that must run in another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Environment {
    /// GitLab has signed that it runs in none.
    #[error("this job has none")]
    Nowhere,
    /// GitLab has signed that it runs in this one.
    #[error("this job runs in `{0}`")]
    Elsewhere(String),
    /// GitLab shows no deployment there that is the job's. A job whose environment records none speaks for itself.
    #[error("GitLab shows no deployment there by this job")]
    NotSeen,
}

/// Judges a job that the webhook named, as GitLab's API shows it. Of a job that API does not say where it runs, only of a
/// deployment which job it is of: so the job `deploys`, or not, to the environment that was declared for it.
pub fn by_webhook(candidate: &Candidate, job: &Job, deploys: bool) -> Result<Approval, Refusal> {
    let by = played(candidate, job)?;
    if !deploys {
        return Err(elsewhere(candidate, &job.name, Environment::NotSeen));
    }
    approve(candidate, by, Via::Webhook, job.id)
}

/// Judges a job that asks by itself, by what GitLab signed and by what its API shows of the job now. A session outlives its
/// job, and any job of a pipeline can be given any environment: so neither alone is enough.
pub fn by_job(candidate: &Candidate, session: &JobSession, job: &Job) -> Result<Approval, Refusal> {
    let by = played(candidate, job)?;
    if job.id != session.job_id {
        return Err(Refusal::OtherJob { key: candidate.key.clone(), declared: candidate.release_job.clone() });
    }
    match &session.environment {
        Some(signed) if signed == candidate.environment_of(&job.name) => approve(candidate, by, Via::Job, job.id),
        Some(signed) => Err(elsewhere(candidate, &job.name, Environment::Elsewhere(signed.clone()))),
        None => Err(elsewhere(candidate, &job.name, Environment::Nowhere)),
    }
}

fn elsewhere(candidate: &Candidate, job_name: &str, seen: Environment) -> Refusal {
    Refusal::OtherEnvironment {
        key: candidate.key.clone(),
        declared: candidate.environment_of(job_name).to_owned(),
        seen,
    }
}

/// Judges who played the job by the project's own rules. Both ways of asking go through here.
pub fn entitled(candidate: &Candidate, project: &Project, player: &Player<'_>) -> Result<(), Refusal> {
    may_release(project, player).map_err(|why| Refusal::NotEntitled { key: candidate.key.clone(), why })
}

/// Whether a job is the one that releases all that remain.
pub fn is_for_all(candidate: &Candidate, job_name: &str) -> bool {
    candidate.release_all.as_ref().is_some_and(|(all, _)| all == job_name)
}

/// Who played the job, if it is the one that was declared for the package, or for all that remain, and was played.
fn played<'a>(candidate: &Candidate, job: &'a Job) -> Result<&'a User, Refusal> {
    let key = || candidate.key.clone();
    if job.pipeline.id != candidate.pipeline_id {
        return Err(Refusal::OtherPipeline { key: key(), declared: candidate.pipeline_id, job: job.pipeline.id });
    }
    if job.name != candidate.release_job && !is_for_all(candidate, &job.name) {
        return Err(Refusal::OtherJob { key: key(), declared: candidate.release_job.clone() });
    }
    // GitLab promises no particular event of a played job, so every status that only a played job has will do.
    match &job.user {
        Some(user) if job.status.is_played() => Ok(user),
        _ => Err(Refusal::NotPlayed { key: key(), status: job.status.to_string() }),
    }
}

fn approve(candidate: &Candidate, by: &User, via: Via, job_id: u64) -> Result<Approval, Refusal> {
    let key = || candidate.key.clone();
    let not_staged = |why: &str| Refusal::NotStaged { key: key(), why: why.to_owned() };
    let withdrawn = |why: String| Refusal::Withdrawn { key: key(), why };
    let undeclared = "no job has declared its digest";
    if let Some(why) = &candidate.withdrawn {
        return Err(withdrawn(why.clone()));
    }
    if let Some((distro, _)) = candidate.targets.iter().find(|(_, state)| *state == TargetState::Withdrawn) {
        return Err(withdrawn(format!("it was released for {distro} and taken back")));
    }
    // What is public already, or on its way, is followed.
    let waits = |state: &TargetState| {
        !matches!(state, TargetState::Approved | TargetState::Releasing | TargetState::Released | TargetState::Skipped)
    };
    if let Some(why) = &candidate.name_taken
        && candidate.targets.iter().any(|(_, state)| waits(state))
    {
        return Err(Refusal::NameTaken { key: key(), why: why.clone() });
    }
    let mut distros = Vec::new();
    let (mut is_first, mut is_gone) = (false, false);
    for (distro, state) in &candidate.targets {
        match state {
            // What was taken back was refused above.
            TargetState::Approved | TargetState::Releasing | TargetState::Released | TargetState::Withdrawn => {}
            // Playing the job again is how a person asks for another try; the promotion looks before it acts.
            TargetState::Staged | TargetState::Failed | TargetState::Conflict => {
                is_first |= *state == TargetState::Staged;
                distros.push(distro.clone());
            }
            TargetState::Expected if candidate.digest.is_none() => return Err(not_staged(undeclared)),
            TargetState::Expected => return Err(not_staged("its bytes have not been seen in staging")),
            TargetState::Missing => is_gone = true,
            TargetState::Expired => return Err(not_staged("its staged copy has expired")),
            TargetState::Skipped => return Err(Refusal::Skipped { key: key() }),
        }
    }
    // What went missing after its approval keeps no other target from another try.
    if is_gone && (is_first || distros.is_empty()) {
        return Err(not_staged("staging does not have the declared bytes"));
    }
    if candidate.is_closed && !distros.is_empty() {
        return Err(Refusal::Closed { key: key() });
    }
    let digest = candidate.digest.ok_or_else(|| not_staged(undeclared))?;
    Ok(Approval { by: by.username.clone(), by_id: by.id, via, job_id, digest, distros })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::Timestamp;

    fn candidate() -> Candidate {
        Candidate {
            version: "1.2.0".parse().expect("a version"),
            key: "deb".parse().expect("a key"),
            pipeline_id: 7,
            release_job: "release: [deb]".to_owned(),
            environment: "release/deb".to_owned(),
            release_all: Some(("release-all".to_owned(), "release/all".to_owned())),
            digest: Some(Digest::of(b"deb")),
            is_closed: false,
            withdrawn: None,
            name_taken: None,
            targets: vec![("ubuntu/jammy".to_owned(), TargetState::Staged)],
        }
    }

    fn job(id: u64, pipeline: u64, name: &str, status: &str) -> Job {
        let job = json!({ "id": id, "name": name, "status": status, "user": { "id": 1, "username": "mira" },
                          "pipeline": { "id": pipeline, "ref": "v1", "sha": "aa" } });
        serde_json::from_value(job).expect("a job")
    }

    fn session(environment: Option<&str>) -> JobSession {
        JobSession {
            project_id: 1,
            project_path: "harbour/tug".to_owned(),
            pipeline_id: 7,
            job_id: 81,
            user: "mira".to_owned(),
            user_id: 1,
            user_level: None,
            environment: environment.map(str::to_owned),
            environment_protected: false,
            ref_name: "v1".to_owned(),
            sha: "aa".to_owned(),
            token_id: "t".to_owned(),
            ends_at: Timestamp(0),
        }
    }

    #[test]
    fn only_the_declared_job_of_the_declaring_pipeline_that_was_played_releases() {
        for (pipeline, name, status, holds) in [
            (7, "release: [deb]", "pending", true),
            (7, "release: [deb]", "running", true),
            (7, "release: [deb]", "success", true),
            (7, "release: [deb]", "manual", false),
            (7, "release: [deb]", "created", false),
            (7, "release: [deb]", "failed", false),
            (7, "release: [deb]", "canceled", false),
            (7, "unit-tests", "running", false),
            (8, "release: [deb]", "running", false),
        ] {
            let job = job(81, pipeline, name, status);
            assert_eq!(by_webhook(&candidate(), &job, true).is_ok(), holds, "webhook: {pipeline} {name} {status}");
            let session = session(Some("release/deb"));
            assert_eq!(by_job(&candidate(), &session, &job).is_ok(), holds, "job: {pipeline} {name} {status}");
        }
    }

    #[test]
    fn a_job_speaks_for_itself_and_for_the_environment_that_gitlab_signed() {
        let running = job(81, 7, "release: [deb]", "running");
        let own = session(Some("release/deb"));
        assert!(by_job(&candidate(), &own, &running).is_ok());
        assert!(by_job(&candidate(), &own, &job(82, 7, "release: [deb]", "running")).is_err());
        let says = |environment| by_job(&candidate(), &session(environment), &running).map_err(|why| why.to_string());
        for (environment, seen) in [
            (Some("release/other"), "this job runs in `release/other`"),
            (Some("release/deb/x"), "this job runs in `release/deb/x`"),
            (Some("Release/deb"), "this job runs in `Release/deb`"),
            (Some(""), "this job runs in ``"),
            (None, "this job has none"),
        ] {
            let why = format!(
                "`deb` is released by a job in the environment `release/deb`, and {seen}. Give the job `environment: \
                 release/deb`, as the plan says, and play it again"
            );
            assert_eq!(says(environment), Err(why), "{environment:?}");
        }
    }

    #[test]
    fn a_job_that_deploys_nowhere_is_not_released_by_its_name() {
        for (name, environment) in [("release: [deb]", "release/deb"), ("release-all", "release/all")] {
            let running = job(81, 7, name, "running");
            assert!(by_webhook(&candidate(), &running, true).is_ok());
            let why = by_webhook(&candidate(), &running, false).expect_err("nothing shows where it runs").to_string();
            let expected = format!("the environment `{environment}`, and GitLab shows no deployment there by this job");
            assert!(why.contains(&expected), "{why}");
        }
    }

    #[test]
    fn the_job_for_all_that_remain_releases_each_of_its_pipeline_under_its_own_environment() {
        let all = |pipeline| job(81, pipeline, "release-all", "running");
        assert!(by_webhook(&candidate(), &all(7), true).is_ok());
        assert!(by_webhook(&candidate(), &all(8), true).is_err());
        assert!(by_job(&candidate(), &session(Some("release/all")), &all(7)).is_ok());
        assert!(by_job(&candidate(), &session(Some("release/deb")), &all(7)).is_err());
        let own = job(81, 7, "release: [deb]", "running");
        assert!(by_job(&candidate(), &session(Some("release/all")), &own).is_err());
        let candidate = Candidate { release_all: None, ..candidate() };
        assert!(by_webhook(&candidate, &all(7), true).is_err());
    }

    #[test]
    fn a_target_that_went_missing_keeps_no_other_from_another_try() {
        use TargetState as S;
        for (other, approved) in [(S::Failed, Some(1)), (S::Conflict, Some(1)), (S::Staged, None), (S::Released, None)]
        {
            let targets = vec![("el/9".to_owned(), S::Missing), ("ol/9".to_owned(), other)];
            let candidate = Candidate { targets, ..candidate() };
            let found = by_webhook(&candidate, &job(81, 7, "release: [deb]", "running"), true).ok();
            assert_eq!(found.map(|approval| approval.distros.len()), approved, "{other:?}");
        }
    }

    #[test]
    fn nothing_of_a_closed_release_begins_again_and_what_is_under_way_is_left() {
        use TargetState as S;
        for (state, holds) in [(S::Failed, false), (S::Conflict, false), (S::Releasing, true), (S::Released, true)] {
            let targets = vec![("ubuntu/jammy".to_owned(), state)];
            let candidate = Candidate { targets, is_closed: true, ..candidate() };
            let found = by_webhook(&candidate, &job(81, 7, "release: [deb]", "running"), true);
            assert_eq!(!matches!(found, Err(Refusal::Closed { .. })), holds, "{state:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_called_so_though_no_job_has_declared_its_file() {
        use TargetState as S;
        for (state, says) in [(S::Skipped, "is not shipped"), (S::Expected, "no job has declared its digest")] {
            let targets = vec![("ubuntu/jammy".to_owned(), state)];
            let candidate = Candidate { targets, digest: None, ..candidate() };
            let refused =
                by_webhook(&candidate, &job(81, 7, "release: [deb]", "running"), true).expect_err("it has no bytes");
            assert!(refused.to_string().contains(says), "{refused}");
        }
    }

    #[test]
    fn a_taken_name_keeps_back_what_is_left_and_what_was_taken_back_itself_is_called_so() {
        use TargetState as S;
        let said = |states: &[S]| {
            let targets = states.iter().enumerate().map(|(number, state)| (format!("el/{number}"), *state)).collect();
            let name_taken = Some("its name was taken back in 1.1.0".to_owned());
            let candidate = Candidate { name_taken, targets, ..candidate() };
            by_webhook(&candidate, &job(81, 7, "release: [deb]", "running"), true)
        };
        for state in S::ALL {
            let said = said(&[S::Released, state]);
            match state {
                S::Approved | S::Releasing | S::Released => assert!(said.is_ok(), "{state:?}"),
                S::Skipped => assert!(matches!(said, Err(Refusal::Skipped { .. })), "{state:?}"),
                S::Withdrawn => assert!(matches!(said, Err(Refusal::Withdrawn { .. })), "{state:?}"),
                _ => assert!(matches!(said, Err(Refusal::NameTaken { .. })), "{state:?}"),
            }
        }
        assert!(matches!(said(&[S::Staged, S::Withdrawn]), Err(Refusal::Withdrawn { .. })));
    }

    #[test]
    fn only_targets_that_are_staged_or_stopped_are_approved() {
        use TargetState as S;
        for (state, approved) in [
            (S::Expected, None),
            (S::Staged, Some(1)),
            (S::Approved, Some(0)),
            (S::Releasing, Some(0)),
            (S::Released, Some(0)),
            (S::Conflict, Some(1)),
            (S::Failed, Some(1)),
            (S::Missing, None),
            (S::Skipped, None),
            (S::Expired, None),
            (S::Withdrawn, None),
        ] {
            let candidate = Candidate { targets: vec![("ubuntu/jammy".to_owned(), state)], ..candidate() };
            let found = by_webhook(&candidate, &job(81, 7, "release: [deb]", "running"), true).ok();
            assert_eq!(found.map(|approval| approval.distros.len()), approved, "{state:?}");
        }
    }
}
