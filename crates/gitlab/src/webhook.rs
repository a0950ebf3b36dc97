//! The bodies of webhooks (<https://docs.gitlab.com/user/project/integrations/webhook_events/>).
//!
//! Only the Job Hook matters, and only as a hint: anybody who may push can make a job of any name. So it is read for
//! what identifies the job, and GitLab is asked for the rest.

use serde::Deserialize;
use serde_json::Value;

use crate::JobStatus;

/// What a webhook tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job's status changed.
    Job(JobEvent),
    /// Something of no interest, by its `object_kind`.
    Other(String),
}

/// A Job Hook, `object_kind: "build"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// The project that the job runs in.
    pub project_id: u64,
    /// The pipeline. Not in the oldest shapes.
    pub pipeline_id: Option<u64>,
    /// The job. Each retry has a new one.
    pub job_id: u64,
    /// The job's name: `release: [ubuntu-jammy-amd64]`.
    pub name: String,
    /// Its status when the event was made. Events come late, twice, in any order, or not at all.
    pub status: JobStatus,
    /// Who owns the job: who began the pipeline, and once it is played, who played it.
    pub user: Option<EventUser>,
    /// Branch or tag, without `refs/…` in front.
    pub ref_name: Option<String>,
    /// Whether it is a tag.
    pub tag: bool,
    /// The commit.
    pub sha: Option<String>,
    /// The name of the job's environment.
    pub environment: Option<String>,
    /// Whether the job belongs to a child pipeline, or to one begun by another project.
    pub downstream: bool,
}

/// A person, as a webhook names them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EventUser {
    /// GitLab's id. Not in the oldest shapes.
    #[serde(default)]
    pub id: Option<u64>,
    /// The user name, which can change.
    #[serde(default)]
    pub username: Option<String>,
    /// The display name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A body that is not a webhook's.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// It is not JSON.
    #[error("the webhook's body is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is JSON, and not an event. A custom payload template does this.
    #[error("the webhook's body has no `object_kind`; remove the hook's custom template, if it has one")]
    NoKind,
    /// It is a Job Hook without what every Job Hook has.
    #[error("the Job Hook is incomplete: {0}")]
    Job(serde_json::Error),
}

/// The fields of a Job Hook that are read. GitLab adds others with every version.
#[derive(Deserialize)]
struct JobHook {
    project_id: u64,
    #[serde(default)]
    pipeline_id: Option<u64>,
    build_id: u64,
    build_name: String,
    build_status: JobStatus,
    #[serde(default)]
    user: Option<EventUser>,
    #[serde(default, rename = "ref")]
    ref_name: Option<String>,
    #[serde(default)]
    tag: Option<bool>,
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    commit: Option<Value>,
    #[serde(default)]
    environment: Option<Value>,
    #[serde(default)]
    source_pipeline: Option<Value>,
}

impl Event {
    /// Reads a webhook's body. The caller has bounded its size, and checked the hook's token.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidEvent> {
        let body: Value = serde_json::from_slice(body).map_err(InvalidEvent::NotJson)?;
        let kind = body.get("object_kind").and_then(Value::as_str).ok_or(InvalidEvent::NoKind)?;
        if kind != "build" {
            return Ok(Self::Other(kind.to_owned()));
        }
        let hook = JobHook::deserialize(&body).map_err(InvalidEvent::Job)?;
        // In a Job Hook, `commit.id` is the pipeline's number; elsewhere it is a commit's.
        let commit = hook.commit.as_ref().and_then(|commit| commit.get("id")).and_then(Value::as_u64);
        let environment = hook.environment.as_ref().and_then(|environment| environment.get("name"));
        Ok(Self::Job(JobEvent {
            project_id: hook.project_id,
            pipeline_id: hook.pipeline_id.or(commit),
            job_id: hook.build_id,
            name: hook.build_name,
            status: hook.build_status,
            user: hook.user,
            ref_name: hook.ref_name,
            tag: hook.tag.unwrap_or_default(),
            sha: hook.sha,
            environment: environment.and_then(Value::as_str).map(str::to_owned),
            downstream: hook.source_pipeline.is_some(),
        }))
    }
}
