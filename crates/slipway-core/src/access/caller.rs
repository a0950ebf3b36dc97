//! Somebody who has shown who they are.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::release::Key;
use crate::secret::{EdgeKey, JobSession, NotSealed};
use crate::time::Timestamp;

/// A person signs in again after this.
const PERSON_HOURS_MAX: u64 = 8;

/// Who asks. Whoever has shown nothing is no caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A job of a project that releases.
    Job(JobSession),
    /// A job of a project that deploys.
    Deployer(DeployerSession),
    /// A person who has signed in through GitLab.
    Person(PersonSession),
    /// Whoever holds the operator's credential.
    Operator,
    /// Whoever collects numbers, and sees nothing else.
    Collector,
}

/// What the edge knows of a job of a project that deploys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployerSession {
    /// Its name in `slipway.toml`.
    pub deployer: Key,
    /// The job, in its own project.
    pub job: JobSession,
}

/// What the edge knows of a person who has signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonSession {
    /// GitLab's id, for life.
    pub user_id: u64,
    /// The user name when they signed in.
    pub username: String,
    /// When the session ends.
    pub ends_at: Timestamp,
}

const DEPLOYER: &str = "deployer";
const PERSON: &str = "person";

impl DeployerSession {
    /// The text that the job sends from now on.
    pub fn seal(&self, key: &EdgeKey) -> Result<String, serde_json::Error> {
        key.seal(DEPLOYER, self)
    }
}

impl PersonSession {
    /// When a session ends that begins now.
    pub fn end(now: Timestamp) -> Timestamp {
        now + Duration::from_secs(PERSON_HOURS_MAX * 3600)
    }

    /// When it began.
    pub fn began_at(&self) -> Timestamp {
        self.ends_at - Duration::from_secs(PERSON_HOURS_MAX * 3600)
    }

    /// The text that the person's program sends from now on.
    pub fn seal(&self, key: &EdgeKey) -> Result<String, serde_json::Error> {
        key.seal(PERSON, self)
    }
}

impl Caller {
    /// Whoever the text of a session stands for. Each kind is sealed for itself, so none passes for another.
    pub fn open(text: &str, key: &EdgeKey, now: Timestamp) -> Result<Self, NotSealed> {
        let in_time = |ends_at: Timestamp| if ends_at <= now { Err(NotSealed::Ended(ends_at)) } else { Ok(()) };
        match JobSession::open(text, key, now) {
            Ok(session) => return Ok(Self::Job(session)),
            Err(NotSealed::Forged) => {}
            Err(ended) => return Err(ended),
        }
        if let Ok(session) = key.open::<DeployerSession>(DEPLOYER, text) {
            in_time(session.job.ends_at)?;
            return Ok(Self::Deployer(session));
        }
        let session: PersonSession = key.open(PERSON, text)?;
        in_time(session.ends_at)?;
        Ok(Self::Person(session))
    }

    /// GitLab's id of the person behind it, where there is one.
    pub fn user_id(&self) -> Option<u64> {
        match self {
            Self::Job(session) | Self::Deployer(DeployerSession { job: session, .. }) => {
                (session.user_id != 0).then_some(session.user_id)
            }
            Self::Person(person) => Some(person.user_id),
            Self::Operator | Self::Collector => None,
        }
    }
}

/// As the audit names them.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(session) => write!(f, "job:{} user:{}", session.job_id, session.user),
            Self::Deployer(DeployerSession { deployer, job }) => {
                write!(f, "deployer:{deployer} job:{} user:{}", job.job_id, job.user)
            }
            Self::Person(person) => write!(f, "person:{} user:{}", person.user_id, person.username),
            Self::Operator => f.write_str("operator"),
            Self::Collector => f.write_str("collector"),
        }
    }
}
