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

#[cfg(test)]
mod tests {
    use super::*;

    const JOB_HOOK: &str = include_str!("../fixtures/job_hook.json");

    /// The recorded Job Hook with one field set, or removed.
    fn job_with(field: &str, value: Option<Value>) -> Result<Event, InvalidEvent> {
        let mut body: Value = serde_json::from_str(JOB_HOOK).expect("the fixture is JSON");
        let fields = body.as_object_mut().expect("the fixture is an object");
        match value {
            Some(value) => fields.insert(field.to_owned(), value),
            None => fields.remove(field),
        };
        Event::parse(body.to_string().as_bytes())
    }

    fn job(event: Result<Event, InvalidEvent>) -> JobEvent {
        match event {
            Ok(Event::Job(job)) => job,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_job_hook_tells_which_job_and_who() {
        assert_eq!(
            job(Event::parse(JOB_HOOK.as_bytes())),
            JobEvent {
                project_id: 1001,
                pipeline_id: Some(2366),
                job_id: 3_580_121_225,
                name: "release: [ubuntu-jammy-amd64]".to_owned(),
                status: JobStatus::Pending,
                user: Some(EventUser {
                    id: Some(7),
                    username: Some("mira".to_owned()),
                    name: Some("Mira Holt".to_owned()),
                }),
                ref_name: Some("v3.1.0".to_owned()),
                tag: true,
                sha: Some("2293ada6b400935a1378653304eaf6221e0fdb8f".to_owned()),
                environment: Some("release/ubuntu-jammy-amd64".to_owned()),
                downstream: false,
            }
        );
    }

    #[test]
    fn old_and_future_shapes_are_read() {
        let smallest =
            br#"{"object_kind":"build","project_id":1,"build_id":2,"build_name":"x","build_status":"created"}"#;
        let smallest = job(Event::parse(smallest));
        assert_eq!((smallest.pipeline_id, smallest.user, smallest.tag), (None, None, false));
        for field in ["user", "runner", "environment", "project", "commit", "retries_count", "tag", "ref", "sha"] {
            job(job_with(field, None));
            job(job_with(field, Some(Value::Null)));
        }
        assert_eq!(job(job_with("pipeline_id", None)).pipeline_id, Some(2366), "from `commit.id`");
        job(job_with("commit", Some(serde_json::json!({"id": "2293ada6"}))));
        job(job_with("user", Some(serde_json::json!({"name": "Mira Holt"}))));
        job(job_with("environment", Some("production".into())));
        job(job_with("something_new", Some(serde_json::json!({"a": [1, 2.5, null]}))));
        assert_eq!(job(job_with("build_id", Some(u64::MAX.into()))).job_id, u64::MAX);
        let status = job(job_with("build_status", Some("dreaming".into()))).status;
        assert_eq!(status, JobStatus::Other("dreaming".to_owned()));
    }

    #[test]
    fn a_job_of_a_child_pipeline_is_told_apart() {
        let parent = serde_json::json!({"project": {"id": 1001}, "job_id": 5, "pipeline_id": 2365});
        assert!(job(job_with("source_pipeline", Some(parent))).downstream);
        assert!(!job(job_with("source_pipeline", Some(Value::Null))).downstream);
    }

    #[test]
    fn other_events_are_named_and_nothing_more() {
        for kind in ["pipeline", "deployment", "push", "tag_push", "release", "job", "Build", ""] {
            let body = serde_json::json!({"object_kind": kind, "project_id": "not even a number"});
            let event = Event::parse(body.to_string().as_bytes()).expect(kind);
            assert_eq!(event, Event::Other(kind.to_owned()));
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in ["", "x", "{", "object_kind=build", "\u{0}", r#"{"object_kind":"build"} {}"#] {
            assert!(matches!(Event::parse(body.as_bytes()), Err(InvalidEvent::NotJson(_))), "{body}");
        }
        assert!(matches!(Event::parse(b"{\"object_kind\":\"\xff\"}"), Err(InvalidEvent::NotJson(_))));
        for body in ["{}", "[]", "null", "1", r#""build""#, r#"{"object_kind":null}"#, r#"{"object_kind":["build"]}"#] {
            assert!(matches!(Event::parse(body.as_bytes()), Err(InvalidEvent::NoKind)), "{body}");
        }
        let deep = format!(r#"{{"object_kind":"build","x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Event::parse(deep.as_bytes()), Err(InvalidEvent::NotJson(_))));
    }

    #[test]
    fn an_incomplete_job_hook_is_refused_with_the_field_at_fault() {
        for field in ["project_id", "build_id", "build_name", "build_status"] {
            let error = job_with(field, None).expect_err(field).to_string();
            assert!(error.contains(field), "{error}");
        }
        for (field, value) in [
            ("project_id", Value::from("1001")),
            ("project_id", Value::from(-1)),
            ("project_id", Value::from(1.5)),
            ("build_id", Value::Null),
            ("pipeline_id", Value::from("2366")),
        ] {
            assert!(matches!(job_with(field, Some(value.clone())), Err(InvalidEvent::Job(_))), "{field} {value}");
        }
    }
}
