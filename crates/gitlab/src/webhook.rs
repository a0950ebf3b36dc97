//! The bodies of webhooks (<https://docs.gitlab.com/user/project/integrations/webhook_events/>).
//!
//! Job, Pipeline and Deployment Hooks matter, and only as hints: anybody who may push can make a job of any name. So they
//! are read for the numbers of what they tell of, and GitLab is asked for the rest. Whatever else a body has is skipped
//! without being kept, so a big one costs no memory; a field that is there twice is refused, since two readers could take
//! it for two things.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::{JobStatus, ListedJob};

/// What a webhook tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job's status changed.
    Job(JobEvent),
    /// A pipeline's status changed. It tells of all its jobs.
    Pipeline(PipelineEvent),
    /// Something was deployed, or is being.
    Deployment(DeploymentEvent),
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
}

/// A Pipeline Hook, `object_kind: "pipeline"`. It is sent again when a manual job of a pipeline is played that had ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineEvent {
    /// The project that the pipeline runs in.
    pub project_id: u64,
    /// The pipeline.
    pub pipeline_id: u64,
    /// Its manual jobs, the newest run of each, as they were when the event was made.
    pub manual_jobs: Vec<ListedJob>,
}

/// A Deployment Hook, `object_kind: "deployment"`. It has neither the pipeline nor the whole commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentEvent {
    /// The project.
    pub project_id: u64,
    /// The deployment.
    pub deployment_id: u64,
    /// The environment's name.
    pub environment: String,
    /// How far it is: `running`, `success`, `failed` and others.
    pub status: String,
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
    /// It is a hook without what every hook of its kind has.
    #[error("the {kind} Hook is incomplete: {source}")]
    Incomplete {
        /// `Job`, `Pipeline` or `Deployment`.
        kind: &'static str,
        /// What it lacks.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    object_kind: Option<Value>,
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
    commit: Option<HookCommit>,
}

/// In a Job Hook, `commit.id` is the pipeline's number; elsewhere it is a commit's.
#[derive(Deserialize)]
struct HookCommit {
    #[serde(default)]
    id: Option<Value>,
}

#[derive(Deserialize)]
struct PipelineHook {
    object_attributes: HookId,
    project: HookId,
    #[serde(default)]
    builds: Option<Vec<Build>>,
}

#[derive(Deserialize)]
struct HookId {
    id: u64,
}

/// A job in a Pipeline Hook. One that cannot be read is passed over: the others are no worse for it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Build {
    Readable {
        id: u64,
        name: String,
        status: JobStatus,
        #[serde(default)]
        manual: Option<bool>,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct DeploymentHook {
    project: HookId,
    deployment_id: u64,
    environment: String,
    status: String,
}

impl Event {
    /// Reads a webhook's body. The caller has bounded its size, and knows who sent it.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidEvent> {
        let kind: Kind = match serde_json::from_slice(body) {
            // A list would be read as an object's fields in their order.
            Ok(kind) if body.trim_ascii_start().starts_with(b"{") => kind,
            Ok(_) => return Err(InvalidEvent::NoKind),
            Err(error) if error.is_data() => return Err(InvalidEvent::NoKind),
            Err(error) => return Err(InvalidEvent::NotJson(error)),
        };
        let kind = kind.object_kind.as_ref().and_then(Value::as_str).ok_or(InvalidEvent::NoKind)?;
        match kind {
            "build" => {
                let hook: JobHook = read("Job", body)?;
                let commit = hook.commit.and_then(|commit| commit.id).as_ref().and_then(Value::as_u64);
                Ok(Self::Job(JobEvent {
                    project_id: hook.project_id,
                    pipeline_id: hook.pipeline_id.or(commit),
                    job_id: hook.build_id,
                    name: hook.build_name,
                    status: hook.build_status,
                }))
            }
            "pipeline" => {
                let hook: PipelineHook = read("Pipeline", body)?;
                let manual = hook.builds.unwrap_or_default().into_iter().filter_map(|build| match build {
                    Build::Readable { manual: Some(false), .. } | Build::Other(_) => None,
                    Build::Readable { id, name, status, .. } => Some(ListedJob { id, name, status }),
                });
                Ok(Self::Pipeline(PipelineEvent {
                    project_id: hook.project.id,
                    pipeline_id: hook.object_attributes.id,
                    manual_jobs: manual.collect(),
                }))
            }
            "deployment" => {
                let hook: DeploymentHook = read("Deployment", body)?;
                Ok(Self::Deployment(DeploymentEvent {
                    project_id: hook.project.id,
                    deployment_id: hook.deployment_id,
                    environment: hook.environment,
                    status: hook.status,
                }))
            }
            other => Ok(Self::Other(other.to_owned())),
        }
    }
}

fn read<T: DeserializeOwned>(kind: &'static str, body: &[u8]) -> Result<T, InvalidEvent> {
    serde_json::from_slice(body).map_err(|source| InvalidEvent::Incomplete { kind, source })
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
    fn a_job_hook_tells_which_job_and_how_far_it_is() {
        assert_eq!(
            job(Event::parse(JOB_HOOK.as_bytes())),
            JobEvent {
                project_id: 1001,
                pipeline_id: Some(2366),
                job_id: 3_580_121_225,
                name: "release: [ubuntu-jammy-amd64]".to_owned(),
                status: JobStatus::Pending,
            }
        );
    }

    #[test]
    fn old_and_future_shapes_are_read() {
        let smallest =
            br#"{"object_kind":"build","project_id":1,"build_id":2,"build_name":"x","build_status":"created"}"#;
        let smallest = job(Event::parse(smallest));
        assert_eq!(smallest.pipeline_id, None);
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
    fn other_events_are_named_and_nothing_more() {
        for kind in ["push", "tag_push", "release", "job", "Build", "builds", ""] {
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
        for body in [
            "{}",
            "[]",
            "null",
            "1",
            r#""build""#,
            r#"{"object_kind":null}"#,
            r#"{"object_kind":["build"]}"#,
            r#"["build"]"#,
            r#"{"object_kind":"build","object_kind":"push"}"#,
        ] {
            assert!(matches!(Event::parse(body.as_bytes()), Err(InvalidEvent::NoKind)), "{body}");
        }
        // What is not read is skipped without a stack, however deep it is.
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        job(Event::parse(JOB_HOOK.replacen('{', &format!("{{\"x\":{deep},"), 1).as_bytes()));
        let deep = format!(r#"{{"object_kind":{deep}}}"#);
        assert!(Event::parse(deep.as_bytes()).is_err());
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
            assert!(
                matches!(job_with(field, Some(value.clone())), Err(InvalidEvent::Incomplete { .. })),
                "{field} {value}"
            );
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        for twice in [
            r#""project_id":1001"#,
            r#""build_id":7"#,
            r#""build_name":"x""#,
            r#""build_status":"pending""#,
            r#""pipeline_id":1"#,
        ] {
            let body = JOB_HOOK.replacen('{', &format!("{{{twice},"), 1);
            assert!(matches!(Event::parse(body.as_bytes()), Err(InvalidEvent::Incomplete { .. })), "{twice}");
        }
    }

    fn pipeline(text: &str) -> PipelineEvent {
        match Event::parse(text.as_bytes()) {
            Ok(Event::Pipeline(pipeline)) => pipeline,
            other => panic!("{other:?}"),
        }
    }

    /// One line a job: number, name, status.
    fn jobs(pipeline: &PipelineEvent) -> String {
        let lines = pipeline.manual_jobs.iter().map(|job| format!("{} {} {}", job.id, job.name, job.status));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_pipeline_hook_tells_of_its_manual_jobs() {
        let hook = pipeline(include_str!("../fixtures/pipeline_hook.json"));
        assert_eq!((hook.project_id, hook.pipeline_id), (1001, 1_700_000_001));
        assert_eq!(jobs(&hook), "5000000004 release: [el-9] manual\n5000000003 release: [ubuntu-jammy-amd64] pending");
    }

    #[test]
    fn old_new_and_odd_pipeline_hooks_are_read() {
        let with = |builds: &str| {
            pipeline(&format!(
                r#"{{"object_kind":"pipeline","object_attributes":{{"id":31,"status":"running"}},"project":{{"id":1}}{builds}}}"#
            ))
        };
        for (builds, expected) in [
            ("", ""),
            (r#","builds":null"#, ""),
            (r#","builds":[]"#, ""),
            (
                r#","builds":[{"id":18446744073709551615,"name":"x","status":"dreaming","manual":true}]"#,
                "18446744073709551615 x dreaming",
            ),
            // Whether it is manual is not told by all versions; what is declared decides.
            (
                r#","builds":[{"id":7,"name":"x","status":"pending"},{"id":8,"name":"y","status":"pending","manual":null}]"#,
                "7 x pending\n8 y pending",
            ),
            (r#","builds":[{"id":7,"name":"x","status":"pending","manual":false,"when":"on_success"}]"#, ""),
            (
                r#","builds":[null,{},{"id":"7","name":"x","status":"pending"},{"id":-1,"name":"x","status":"pending"},"x",{"id":9,"name":"z","status":"success","manual":true}]"#,
                "9 z success",
            ),
        ] {
            assert_eq!(jobs(&with(builds)), expected, "{builds}");
        }
        for body in [
            r#"{"object_kind":"pipeline"}"#,
            r#"{"object_kind":"pipeline","object_attributes":{"id":31}}"#,
            r#"{"object_kind":"pipeline","object_attributes":{},"project":{"id":1}}"#,
            r#"{"object_kind":"pipeline","object_attributes":{"id":"31"},"project":{"id":1}}"#,
            r#"{"object_kind":"pipeline","object_attributes":{"id":31},"project":{"id":1},"builds":{}}"#,
            r#"{"object_kind":"pipeline","object_attributes":{"id":31,"id":32},"project":{"id":1}}"#,
        ] {
            assert!(matches!(Event::parse(body.as_bytes()), Err(InvalidEvent::Incomplete { .. })), "{body}");
        }
    }

    #[test]
    fn a_deployment_hook_tells_which_deployment_and_where() {
        let hook = |status: &str| {
            format!(
                r#"{{"object_kind":"deployment","status":{status},"status_changed_at":"2021-04-28 21:50:00 +0200","deployment_id":15,
               "deployable_id":null,"deployable_url":null,"environment":"staging/eu","environment_slug":"staging",
               "project":{{"id":30,"name":"x","ci_config_path":null}},"short_sha":"279484c0","user":null,"commit_title":"Add"}}"#
            )
        };
        for status in ["running", "success", "failed", "canceled", "created", "blocked", "skipped", "else"] {
            let event = Event::parse(hook(&format!("\"{status}\"")).as_bytes()).expect(status);
            let expected = DeploymentEvent {
                project_id: 30,
                deployment_id: 15,
                environment: "staging/eu".to_owned(),
                status: status.to_owned(),
            };
            assert_eq!(event, Event::Deployment(expected));
        }
        for body in [
            hook("null"),
            hook("7"),
            hook(r#""x""#).replace("\"deployment_id\":15,", ""),
            hook(r#""x""#).replace("staging/eu\"", "x\",\"environment\":\"y\""),
        ] {
            assert!(matches!(Event::parse(body.as_bytes()), Err(InvalidEvent::Incomplete { .. })), "{body}");
        }
    }
}
