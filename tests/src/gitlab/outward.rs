//! What Slipway writes to GitLab, and reads of deployments: commit statuses, pipelines that a trigger token starts, and
//! the deployments that jobs with an environment make.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::Response,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    api::{READING, Refusal, WRITING, caller, number, page, user_json, visible},
    clock::Moment,
    job::{Job, Status},
    journal::Fact,
    lifecycle::{NewJob, NewPipeline},
    server::{self, Gitlab, query_fields},
    world::{Project, World},
};

/// A status of a commit, which somebody outside has set. A new one stands beside those that have ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct CommitStatus {
    pub(super) id: u64,
    project_id: u64,
    sha: String,
    pipeline_id: Option<u64>,
    r#ref: Option<String>,
    name: String,
    status: Status,
    description: Option<String>,
    target_url: Option<String>,
    at: Moment,
}

/// A pipeline that a trigger token has started, and what it was given.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Triggered {
    pub(super) pipeline_id: u64,
    project_id: u64,
    r#ref: String,
    variables: Vec<(String, String)>,
}

type Answer = Result<Response, Refusal>;
type Shared = State<Arc<Gitlab>>;

/// Below `/api/v4`.
pub(super) fn routes() -> Router<Arc<Gitlab>> {
    Router::new()
        .route("/projects/{project}/statuses/{sha}", post(set_status))
        .route("/projects/{project}/trigger/pipeline", post(trigger))
        .route("/projects/{project}/deployments", get(deployments))
        .route("/projects/{project}/deployments/{deployment}", get(deployment))
}

/// For the control port.
pub(super) fn shown(world: &World) -> Value {
    json!({
        "statuses": world.commit_statuses.values().collect::<Vec<_>>(),
        "triggered": world.triggered.values().collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
struct StatusRequest {
    state: String,
    name: Option<String>,
    context: Option<String>,
    r#ref: Option<String>,
    pipeline_id: Option<u64>,
    description: Option<String>,
    target_url: Option<String>,
}

async fn set_status(
    State(gitlab): Shared,
    Path((project, sha)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let bad = |error: &str| Refusal::new(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    let request: StatusRequest = serde_json::from_slice(&body).map_err(|error| bad(&error.to_string()))?;
    let wanted = match request.state.as_str() {
        "pending" | "running" | "success" | "failed" | "canceled" | "skipped" => Status::from_word(&request.state),
        _ => None,
    };
    let wanted = wanted.ok_or_else(|| bad("state does not have a valid value"))?;
    if request.description.as_ref().is_some_and(|text| text.chars().count() > 255) {
        let message = json!({ "message": { "description": ["is too long (maximum is 255 characters)"] } });
        return Err(Refusal::new(StatusCode::BAD_REQUEST, &message));
    }
    let answer = gitlab.steps(|steps| -> Result<Value, Refusal> {
        let token = caller(steps.change.world, &headers, WRITING)?;
        let project_id = visible(steps.change.world, &token, &project)?.id;
        let world = &steps.change.world;
        let known = world.pipelines.values().filter(|one| one.project_id == project_id && one.sha == sha);
        let pipeline_id =
            known.map(|one| one.id).filter(|id| request.pipeline_id.is_none_or(|wanted| wanted == *id)).max();
        let pipeline_id = pipeline_id.ok_or_else(|| Refusal::not_found("Commit"))?;
        let name = request.name.or(request.context).unwrap_or_else(|| "default".to_owned());
        let open = world.commit_statuses.values().rev().find(|one| {
            one.pipeline_id == Some(pipeline_id)
                && one.name == name
                && matches!(one.status, Status::Pending | Status::Running)
        });
        if let Some(open) = open.filter(|open| open.status == wanted) {
            let (verb, before) = (if wanted == Status::Pending { "enqueue" } else { "run" }, open.status.word());
            let said = format!(
                "Cannot transition status via :{verb} from :{before} (Reason(s): Status cannot transition via \"{verb}\")"
            );
            return Err(Refusal::message(StatusCode::BAD_REQUEST, &said));
        }
        let id =
            open.map_or_else(|| world.commit_statuses.keys().next_back().map_or(1, |last| last + 1), |open| open.id);
        let status = CommitStatus {
            id,
            project_id,
            sha,
            pipeline_id: Some(pipeline_id),
            r#ref: request.r#ref,
            name,
            status: wanted,
            description: request.description,
            target_url: request.target_url,
            at: steps.now,
        };
        let shown = json!(status);
        steps.change.record(Fact::CommitStatus(Box::new(status)));
        Ok(shown)
    })?;
    Ok(server::json(StatusCode::CREATED, &answer))
}

async fn trigger(State(gitlab): Shared, Path(project): Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/x-www-form-urlencoded") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &json!({ "error": "The provided content-type is not supported." }),
        ));
    }
    let fields = query_fields(std::str::from_utf8(&body).ok());
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let missing = |name: &str| Refusal::new(StatusCode::BAD_REQUEST, &json!({ "error": format!("{name} is missing") }));
    let (given, named) = (field("token").ok_or_else(|| missing("token"))?, field("ref").ok_or_else(|| missing("ref"))?);
    let variables = fields.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix("variables[")?.strip_suffix(']')?.to_owned(), value.clone()))
    });
    let variables: Vec<(String, String)> = variables.collect();
    let pipeline = gitlab.steps(|steps| -> Result<u64, Refusal> {
        let world = &steps.change.world;
        let token = world.tokens.get(&given).filter(|token| token.scopes.iter().any(|scope| scope == "trigger"));
        let token = token.ok_or_else(|| Refusal::not_found(""))?.clone();
        let project_id = visible(world, &token, &project)?.id;
        let new = NewPipeline {
            id: None,
            r#ref: named.clone(),
            tag: false,
            protected: true,
            sha: None,
            source: "trigger".to_owned(),
            user_id: token.user_id,
        };
        let pipeline_id = steps.start_pipeline(project_id, new);
        let job = NewJob {
            id: None,
            name: "after-release".to_owned(),
            stage: "test".to_owned(),
            manual: false,
            allow_failure: false,
            environment: None,
            status: Status::Pending,
            user_id: token.user_id,
        };
        steps.create(project_id, pipeline_id, job);
        steps.change.record(Fact::Triggered(Triggered { pipeline_id, project_id, r#ref: named, variables }));
        Ok(pipeline_id)
    })?;
    Ok(server::json(StatusCode::CREATED, &json!({ "id": pipeline, "source": "trigger", "status": "pending" })))
}

/// The job's deployment, which has its number.
fn deployment_json(world: &World, instance: &str, job: &Job) -> Option<Value> {
    let environment = job.environment.as_ref().filter(|environment| environment.action == "start")?;
    let pipeline = world.pipelines.get(&job.pipeline_id)?;
    let user = world.users.get(&job.user_id).map(|user| user_json(instance, user));
    let times = |moment: Option<Moment>| moment.map(Moment::iso);
    // A deployment waits as `created` until its job runs.
    let status = if job.status == Status::Running || job.status.is_final() { job.status.word() } else { "created" };
    Some(json!({
        "id": job.id,
        "iid": 1,
        "ref": pipeline.r#ref,
        "sha": pipeline.sha,
        "created_at": job.created_at.iso(),
        "updated_at": times(job.finished_at.or(job.started_at)),
        "status": status,
        "user": user,
        "environment": { "id": 1, "name": environment.name, "external_url": null },
        "deployable": {
            "id": job.id,
            "status": job.status,
            "stage": job.stage,
            "name": job.name,
            "ref": pipeline.r#ref,
            "tag": pipeline.tag,
            "created_at": job.created_at.iso(),
            "started_at": times(job.started_at),
            "finished_at": times(job.finished_at),
            "user": user,
            "pipeline": { "id": pipeline.id, "ref": pipeline.r#ref, "sha": pipeline.sha },
        },
    }))
}

async fn deployment(
    State(gitlab): Shared,
    Path((project, deployment)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project: &Project = visible(&store.world, &token, &project)?;
    let id = number("deployment_id", &deployment)?;
    let job = store.world.jobs.get(&id).filter(|job| job.project_id == project.id);
    let shown = job.and_then(|job| deployment_json(&store.world, &gitlab.url, job));
    Ok(server::json(StatusCode::OK, &shown.ok_or_else(|| Refusal::not_found("Deployment"))?))
}

async fn deployments(
    State(gitlab): Shared,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let fields = query_fields(query.as_deref());
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let jobs = store.world.jobs.values().rev().filter(|job| job.project_id == project.id);
    let shown = jobs.filter_map(|job| deployment_json(&store.world, &gitlab.url, job)).filter(|one| {
        field("environment").is_none_or(|wanted| one["environment"]["name"] == wanted)
            && field("status").is_none_or(|wanted| one["status"] == wanted)
    });
    let path = format!("{}/api/v4/projects/{}/deployments", gitlab.url, project.id);
    page(&path, &fields, &shown.collect::<Vec<_>>())
}
