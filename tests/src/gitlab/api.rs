//! GitLab's own routes: the parts of REST API v4 that concern jobs, and the discovery of the ID tokens' keys.

use std::sync::{Arc, PoisonError};

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::LINK},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    browser,
    clock::{Moment, seconds_between},
    control, delivery,
    fault::inject,
    job::{Job, Pipeline, Status},
    job_page,
    lifecycle::Impossible,
    oauth, outward,
    payload::{commit_message, job_url, span, user_url, web_url},
    server::{self, Gitlab, query_fields},
    world::{ApiToken, Hook, HookEvent, Project, Unwritten, User, World},
};

const DEFAULT_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;
/// Resending is limited per user and project.
const RESENDS_PER_MINUTE: usize = 5;

pub(super) fn routes(gitlab: Arc<Gitlab>) -> Router {
    let api = Router::new()
        .route("/version", get(version))
        .route("/job", get(own_job))
        .route("/user", get(own_user))
        .route("/personal_access_tokens/self", get(own_token))
        .route("/projects/{project}", get(project))
        .route("/projects/{project}/jobs/{job}", get(job))
        .route("/projects/{project}/jobs/{job}/play", post(play))
        .route("/projects/{project}/jobs/{job}/retry", post(retry))
        .route("/projects/{project}/jobs/{job}/cancel", post(cancel))
        .route("/projects/{project}/pipelines/{pipeline}", get(pipeline))
        .route("/projects/{project}/pipelines/{pipeline}/jobs", get(pipeline_jobs))
        .route("/projects/{project}/repository/tags/{tag}", get(tag))
        .route("/projects/{project}/repository/branches/{branch}", get(branch))
        .route("/projects/{project}/members/all/{user}", get(member))
        .route("/projects/{project}/protected_environments/{name}", get(protected_environment))
        .route("/projects/{project}/hooks", get(hooks))
        .route("/projects/{project}/hooks/{hook}", get(hook))
        .route("/projects/{project}/hooks/{hook}/events", get(hook_events))
        .route("/projects/{project}/hooks/{hook}/events/{event}/resend", post(resend))
        .merge(outward::routes());
    Router::new()
        .nest("/api/v4", api)
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/oauth/discovery/keys", get(keys))
        .merge(oauth::routes())
        .merge(job_page::routes())
        .merge(browser::routes())
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, &json!({ "error": "404 Not Found" })))
        .layer(middleware::from_fn_with_state(Arc::clone(&gitlab), inject))
        .with_state(gitlab)
}

/// An answer other than the one asked for.
pub(super) struct Refusal(Box<Response>);

impl Refusal {
    pub(super) fn new(status: StatusCode, body: &Value) -> Self {
        Self(Box::new(server::json(status, body)))
    }

    pub(super) fn message(status: StatusCode, message: &str) -> Self {
        Self::new(status, &json!({ "message": message }))
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::message(StatusCode::NOT_FOUND, &format!("404 {what} Not Found").replace("  ", " "))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Unwritten> for Refusal {
    fn from(error: Unwritten) -> Self {
        Self::message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
    }
}

impl From<Impossible> for Refusal {
    fn from(impossible: Impossible) -> Self {
        match impossible {
            Impossible::Play => Self::message(StatusCode::BAD_REQUEST, "400 Bad request - Unplayable Job"),
            Impossible::Deploy => Self::message(StatusCode::FORBIDDEN, "403 Forbidden"),
            Impossible::Retry => Self::message(StatusCode::FORBIDDEN, "403 Forbidden - Job is not retryable"),
            Impossible::Finish(_) => {
                Self::message(StatusCode::FORBIDDEN, "403 Forbidden - Job cannot be canceled, because of its status")
            }
        }
    }
}

type Answer = Result<Response, Refusal>;
type Shared = State<Arc<Gitlab>>;

#[expect(clippy::unnecessary_wraps, reason = "the end of every route")]
fn ok(body: &Value) -> Answer {
    Ok(server::json(StatusCode::OK, body))
}

/// The token of the request.
fn known(world: &World, headers: &HeaderMap) -> Result<ApiToken, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = text("private-token").or_else(|| text("authorization")?.strip_prefix("Bearer "));
    let token = given.and_then(|given| world.tokens.get(given)).filter(|token| token.is_good(Moment::now())).cloned();
    token.ok_or_else(|| Refusal::message(StatusCode::UNAUTHORIZED, "401 Unauthorized"))
}

/// The token of the request, which must have one of the scopes.
pub(super) fn caller(world: &World, headers: &HeaderMap, scopes: &[&str]) -> Result<ApiToken, Refusal> {
    let token = known(world, headers)?;
    if token.scopes.iter().any(|scope| scopes.contains(&scope.as_str())) {
        return Ok(token);
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        &json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": scopes.join(" "),
        }),
    ))
}

pub(super) const READING: &[&str] = &["api", "read_api"];
const READING_USER: &[&str] = &["api", "read_api", "read_user"];
pub(super) const WRITING: &[&str] = &["api"];

/// A project that the token can see: a missing right looks like a missing project.
pub(super) fn visible<'w>(world: &'w World, token: &ApiToken, reference: &str) -> Result<&'w Project, Refusal> {
    world
        .project(reference)
        .filter(|project| token.projects.as_ref().is_none_or(|seen| seen.contains(&project.id)))
        .ok_or_else(|| Refusal::not_found("Project"))
}

pub(super) fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, &json!({ "error": format!("{name} is invalid") })))
}

fn job_of<'w>(world: &'w World, project: &Project, text: &str) -> Result<&'w Job, Refusal> {
    let id = number("job_id", text)?;
    world.jobs.get(&id).filter(|job| job.project_id == project.id).ok_or_else(|| Refusal::not_found(""))
}

fn pipeline_of<'w>(world: &'w World, project: &Project, text: &str) -> Result<&'w Pipeline, Refusal> {
    let id = number("pipeline_id", text)?;
    world.pipelines.get(&id).filter(|pipeline| pipeline.project_id == project.id).ok_or_else(|| Refusal::not_found(""))
}

async fn version(State(gitlab): Shared, headers: HeaderMap) -> Answer {
    caller(&gitlab.store().world, &headers, READING)?;
    ok(&json!({ "version": "19.4.1-ee", "revision": "0000000000a" }))
}

async fn project(State(gitlab): Shared, Path(reference): Path<String>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &reference)?;
    ok(&json!({
        "id": project.id,
        "description": "",
        "name": project.last_name(),
        "name_with_namespace": format!("{} / {}", project.namespace_title(), project.last_name()),
        "path": project.last_name(),
        "path_with_namespace": project.path,
        "default_branch": project.default_branch,
        "web_url": web_url(&gitlab.url, project),
        "visibility": project.visibility,
        "archived": false,
        "namespace": {
            "id": project.namespace_id,
            "name": project.namespace_title(),
            "path": project.namespace_path().rsplit('/').next(),
            "kind": "group",
            "full_path": project.namespace_path(),
            "web_url": format!("{}/groups/{}", gitlab.url, project.namespace_path()),
        },
    }))
}

async fn job(State(gitlab): Shared, Path((project, job)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    ok(&job_json(&store.world, &gitlab.url, job_of(&store.world, project, &job)?))
}

/// The job that a job token belongs to, while it runs.
async fn own_job(State(gitlab): Shared, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let given = headers.get("job-token").and_then(|value| value.to_str().ok());
    let job = store
        .world
        .jobs
        .values()
        .find(|job| job.status == Status::Running && given == Some(job.token.as_str()))
        .ok_or_else(|| Refusal::message(StatusCode::UNAUTHORIZED, "401 Unauthorized"))?;
    ok(&job_json(&store.world, &gitlab.url, job))
}

async fn play(State(gitlab): Shared, Path((project, job)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let (id, played) = gitlab.steps(|steps| -> Result<_, Refusal> {
        let token = caller(steps.change.world, &headers, WRITING)?;
        let project = visible(steps.change.world, &token, &project)?;
        let id = job_of(steps.change.world, project, &job)?.id;
        let id = steps.play(id, token.user_id)?;
        Ok((id, shown(steps.change.world, &gitlab.url, id)))
    })?;
    take_with_runner(&gitlab, id)?;
    ok(&played)
}

async fn retry(State(gitlab): Shared, Path((project, job)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let (id, retried) = gitlab.steps(|steps| -> Result<_, Refusal> {
        let token = caller(steps.change.world, &headers, WRITING)?;
        let project = visible(steps.change.world, &token, &project)?;
        let id = job_of(steps.change.world, project, &job)?.id;
        let id = steps.retry(id, token.user_id)?;
        Ok((id, shown(steps.change.world, &gitlab.url, id)))
    })?;
    take_with_runner(&gitlab, id)?;
    Ok(server::json(StatusCode::CREATED, &retried))
}

async fn cancel(State(gitlab): Shared, Path((project, job)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let canceled = gitlab.steps(|steps| -> Result<_, Refusal> {
        let token = caller(steps.change.world, &headers, WRITING)?;
        let project = visible(steps.change.world, &token, &project)?;
        let id = job_of(steps.change.world, project, &job)?.id;
        steps.finish(id, Status::Canceled, None)?;
        Ok(shown(steps.change.world, &gitlab.url, id))
    })?;
    Ok(server::json(StatusCode::CREATED, &canceled))
}

/// The answer to a play says `pending`; the runner is a moment behind.
fn take_with_runner(gitlab: &Arc<Gitlab>, id: u64) -> Result<(), Refusal> {
    gitlab.steps(|steps| {
        steps.run(id);
        Ok(())
    })
}

fn shown(world: &World, instance: &str, id: u64) -> Value {
    world.jobs.get(&id).map_or(Value::Null, |job| job_json(world, instance, job))
}

async fn pipeline(State(gitlab): Shared, Path((project, id)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let pipeline = pipeline_of(&store.world, project, &id)?;
    let (started, finished) = span(&store.world, pipeline);
    let mut body = pipeline_json(&store.world, &gitlab.url, pipeline);
    if let Some(fields) = body.as_object_mut() {
        let user = store.world.users.get(&pipeline.user_id).map(|user| user_json(&gitlab.url, user));
        fields.insert("tag".to_owned(), json!(pipeline.tag));
        fields.insert("user".to_owned(), json!(user));
        fields.insert("started_at".to_owned(), json!(started.map(Moment::iso)));
        fields.insert("finished_at".to_owned(), json!(finished.map(Moment::iso)));
    }
    ok(&body)
}

/// The jobs of a pipeline, newest first; only the newest attempts unless `include_retried`.
async fn pipeline_jobs(
    State(gitlab): Shared,
    Path((project, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let pipeline = pipeline_of(&store.world, project, &id)?;
    let fields = query_fields(query.as_deref());
    let mut scopes = Vec::new();
    for (_, word) in fields.iter().filter(|(name, _)| name == "scope[]" || name == "scope") {
        scopes.push(Status::from_word(word).ok_or_else(|| {
            Refusal::new(StatusCode::BAD_REQUEST, &json!({ "error": "scope does not have a valid value" }))
        })?);
    }
    let retried = fields.iter().any(|(name, value)| name == "include_retried" && value == "true");
    let jobs: Vec<Value> = store
        .world
        .jobs_of(pipeline.id)
        .rev()
        .filter(|job| scopes.is_empty() || scopes.contains(&job.status))
        .filter(|job| retried || !job.retried)
        .map(|job| job_json(&store.world, &gitlab.url, job))
        .collect();
    let path = format!("{}/api/v4/projects/{}/pipelines/{}/jobs", gitlab.url, project.id, pipeline.id);
    page(&path, &fields, &jobs)
}

/// One page of a list, with GitLab's headers about the others.
pub(super) fn page(path: &str, fields: &[(String, String)], all: &[Value]) -> Answer {
    let wanted = |name: &str, otherwise: usize| -> Result<usize, Refusal> {
        match fields.iter().find(|(known, _)| known == name) {
            None => Ok(otherwise),
            Some((_, text)) => match text.parse() {
                Ok(0) => {
                    let error = format!("{name} has a value not allowed");
                    Err(Refusal::new(StatusCode::BAD_REQUEST, &json!({ "error": error })))
                }
                Ok(value) => Ok(value),
                Err(_) => {
                    let error = format!("{name} is invalid");
                    Err(Refusal::new(StatusCode::BAD_REQUEST, &json!({ "error": error })))
                }
            },
        }
    };
    let size = wanted("per_page", DEFAULT_PAGE)?.min(LARGEST_PAGE);
    let number = wanted("page", 1)?;
    let pages = all.len().div_ceil(size).max(1);
    let shown: Vec<&Value> = all.iter().skip((number - 1).saturating_mul(size)).take(size).collect();
    let mut response = server::json(StatusCode::OK, &shown);
    let next = (number < pages).then(|| number + 1);
    let previous = (number > 1).then(|| number - 1);
    let link = |number: usize, relation: &str| {
        let kept = fields.iter().filter(|(name, _)| name != "page" && name != "per_page");
        let kept = kept.map(|(name, value)| (name.replace('[', "%5B").replace(']', "%5D"), value));
        let kept = kept.fold(String::new(), |query, (name, value)| query + "&" + &name + "=" + value);
        format!("<{path}?page={number}&per_page={size}{kept}>; rel=\"{relation}\"")
    };
    let links = [previous.map(|page| link(page, "prev")), next.map(|page| link(page, "next"))];
    let links: Vec<String> = links.into_iter().flatten().chain([link(1, "first"), link(pages, "last")]).collect();
    let text = |page: Option<usize>| page.map_or_else(String::new, |page| page.to_string());
    for (name, value) in [
        ("x-page", number.to_string()),
        ("x-per-page", size.to_string()),
        ("x-total", all.len().to_string()),
        ("x-total-pages", pages.to_string()),
        ("x-next-page", text(next)),
        ("x-prev-page", text(previous)),
        (LINK.as_str(), links.join(", ")),
    ] {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn tag(State(gitlab): Shared, Path((project, name)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let pipeline = newest(&store.world, project, &name, true).ok_or_else(|| Refusal::not_found("Tag"))?;
    ok(&json!({
        "name": pipeline.r#ref,
        "message": "",
        "target": pipeline.sha,
        "commit": commit_json(&store.world, &gitlab.url, project, pipeline),
        "release": null,
        "protected": pipeline.protected,
        "created_at": null,
    }))
}

async fn branch(State(gitlab): Shared, Path((project, name)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let pipeline = newest(&store.world, project, &name, false).ok_or_else(|| Refusal::not_found("Branch"))?;
    ok(&json!({
        "name": pipeline.r#ref,
        "commit": commit_json(&store.world, &gitlab.url, project, pipeline),
        "merged": false,
        "protected": pipeline.protected,
        "default": pipeline.r#ref == project.default_branch,
        "web_url": format!("{}/-/tree/{}", web_url(&gitlab.url, project), pipeline.r#ref),
    }))
}

/// Branches and tags are known by the pipelines that ran for them; the newest says what is true of them now.
fn newest<'w>(world: &'w World, project: &Project, name: &str, tag: bool) -> Option<&'w Pipeline> {
    world
        .pipelines
        .values()
        .rev()
        .find(|pipeline| pipeline.project_id == project.id && pipeline.tag == tag && pipeline.r#ref == name)
}

async fn own_user(State(gitlab): Shared, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING_USER)?;
    let user = store.world.users.get(&token.user_id).ok_or_else(|| Refusal::not_found("User"))?;
    ok(&user_json(&gitlab.url, user))
}

/// What a token made by hand says of itself, whatever it may do. An application's is none.
async fn own_token(State(gitlab): Shared, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = known(&store.world, &headers)?;
    if token.application.is_some() {
        return Err(Refusal::not_found(""));
    }
    ok(&json!({
        "id": 1,
        "name": "slipway",
        "revoked": false,
        "active": true,
        "scopes": token.scopes,
        "user_id": token.user_id,
        "expires_at": token.ends_at.map(|end| end.iso().split('T').next().map(str::to_owned)),
    }))
}

async fn member(State(gitlab): Shared, Path((project, user)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?.id;
    let id = number("user_id", &user)?;
    let user = store.world.users.get(&id).ok_or_else(|| Refusal::not_found(""))?;
    let level = user.access_number(project).ok_or_else(|| Refusal::not_found(""))?;
    let mut body = user_json(&gitlab.url, user);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("access_level".to_owned(), json!(level));
        fields.insert("membership_state".to_owned(), json!("active"));
        fields.insert("expires_at".to_owned(), Value::Null);
    }
    ok(&body)
}

async fn protected_environment(
    State(gitlab): Shared,
    Path((project, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?.id;
    let known = store.world.protected.get(&(project, name));
    ok(&known.ok_or_else(|| Refusal::not_found(""))?.shown(&store.world))
}

async fn hooks(
    State(gitlab): Shared,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let hooks: Vec<Value> = store.world.hooks_of(project.id).map(|hook| hook_json(&store.world, hook)).collect();
    let path = format!("{}/api/v4/projects/{}/hooks", gitlab.url, project.id);
    page(&path, &query_fields(query.as_deref()), &hooks)
}

fn hook_of<'w>(world: &'w World, project: &Project, text: &str) -> Result<&'w Hook, Refusal> {
    let id = number("hook_id", text)?;
    world.hooks.get(&id).filter(|hook| hook.project_id == project.id).ok_or_else(|| Refusal::not_found(""))
}

async fn hook(State(gitlab): Shared, Path((project, hook)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    ok(&hook_json(&store.world, hook_of(&store.world, project, &hook)?))
}

/// The deliveries of a hook, newest first.
async fn hook_events(
    State(gitlab): Shared,
    Path((project, hook)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let store = gitlab.store();
    let token = caller(&store.world, &headers, READING)?;
    let project = visible(&store.world, &token, &project)?;
    let hook = hook_of(&store.world, project, &hook)?;
    let events: Vec<Value> = store
        .world
        .deliveries
        .values()
        .rev()
        .filter(|delivery| delivery.hook_id == hook.id)
        .filter_map(|delivery| {
            let outcome = delivery.outcome.as_ref()?;
            let sent_at = outcome.sent_at?;
            let mut request_headers = outcome.request_headers.clone();
            if hook.token.is_some() {
                request_headers.insert("X-Gitlab-Token".to_owned(), "[REDACTED]".to_owned());
            }
            let status = outcome.status.map_or_else(|| "internal error".to_owned(), |status| status.to_string());
            Some(json!({
                "id": delivery.id,
                "url": outcome.url,
                "trigger": trigger(&delivery.event),
                "request_headers": request_headers,
                "request_data": serde_json::from_str::<Value>(&delivery.body).unwrap_or_default(),
                "response_headers": outcome.response_headers,
                "response_body": outcome.error.as_deref().unwrap_or(&outcome.response_body),
                "execution_duration": seconds_between(Some(sent_at), Some(outcome.finished_at)),
                "response_status": status,
            }))
        })
        .collect();
    let path = format!("{}/api/v4/projects/{}/hooks/{}/events", gitlab.url, project.id, hook.id);
    page(&path, &query_fields(query.as_deref()), &events)
}

/// `Job Hook` is triggered by `job_hooks`.
fn trigger(event: &str) -> String {
    format!("{}s", event.to_lowercase().replace(' ', "_"))
}

async fn resend(
    State(gitlab): Shared,
    Path((project, hook, event)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let id = {
        let store = gitlab.store();
        let token = caller(&store.world, &headers, WRITING)?;
        let project = visible(&store.world, &token, &project)?;
        let hook = hook_of(&store.world, project, &hook)?;
        let id = number("hook_log_id", &event)?;
        let known = store.world.deliveries.get(&id).filter(|known| known.hook_id == hook.id);
        known.ok_or_else(|| Refusal::not_found(""))?;
        within_limit(&gitlab, token.user_id, project.id)?;
        id
    };
    let again = control::copy_of(&gitlab, id)?;
    let outcome = delivery::send(&gitlab, again).await?;
    let status = outcome.status.map_or_else(|| "internal error".to_owned(), |status| status.to_string());
    Ok(server::json(StatusCode::CREATED, &json!({ "response_status": status })))
}

fn within_limit(gitlab: &Gitlab, user: u64, project: u64) -> Result<(), Refusal> {
    let now = Moment::now();
    let mut resends = gitlab.resends.lock().unwrap_or_else(PoisonError::into_inner);
    let times = resends.entry((user, project)).or_default();
    times.retain(|time| now.0 - time.0 < 60_000);
    if times.len() >= RESENDS_PER_MINUTE {
        let error = "This endpoint has been requested too many times. Try again later.";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, &json!({ "message": { "error": error } })));
    }
    times.push(now);
    Ok(())
}

async fn discovery(State(gitlab): Shared) -> Answer {
    let url = &gitlab.url;
    ok(&json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/oauth/authorize"),
        "token_endpoint": format!("{url}/oauth/token"),
        "device_authorization_endpoint": format!("{url}/oauth/authorize_device"),
        "userinfo_endpoint": format!("{url}/oauth/userinfo"),
        "jwks_uri": format!("{url}/oauth/discovery/keys"),
        "revocation_endpoint": format!("{url}/oauth/revoke"),
        "response_types_supported": ["code"],
        "scopes_supported": ["api", "read_api", "read_user", "openid"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn keys(State(gitlab): Shared) -> Answer {
    ok(&gitlab.keys().set())
}

/// A job as the REST API shows it. There is no `when`, no environment and no variable in it.
pub(super) fn job_json(world: &World, instance: &str, job: &Job) -> Value {
    let (Some(project), Some(pipeline)) = (world.projects.get(&job.project_id), world.pipelines.get(&job.pipeline_id))
    else {
        return Value::Null;
    };
    let mut body = json!({
        "id": job.id,
        "status": job.status,
        "stage": job.stage,
        "name": job.name,
        "ref": pipeline.r#ref,
        "tag": pipeline.tag,
        "coverage": null,
        "allow_failure": job.allow_failure,
        "created_at": job.created_at.iso(),
        "started_at": job.started_at.map(Moment::iso),
        "finished_at": job.finished_at.map(Moment::iso),
        "erased_at": null,
        "duration": seconds_between(job.started_at, job.finished_at),
        "queued_duration": seconds_between(job.queued_at, job.started_at),
        "user": world.users.get(&job.user_id).map(|user| user_json(instance, user)),
        "commit": commit_json(world, instance, project, pipeline),
        "pipeline": pipeline_json(world, instance, pipeline),
        "web_url": job_url(instance, project, job),
        "project": { "ci_job_token_scope_enabled": false },
        "artifacts": [],
        "runner": null,
        "artifacts_expire_at": null,
        "archived": false,
        "tag_list": [],
    });
    if let (Some(reason), Some(fields)) = (&job.failure_reason, body.as_object_mut()) {
        fields.insert("failure_reason".to_owned(), json!(reason));
    }
    body
}

fn pipeline_json(world: &World, instance: &str, pipeline: &Pipeline) -> Value {
    let project = world.projects.get(&pipeline.project_id).map(|project| web_url(instance, project));
    json!({
        "id": pipeline.id,
        "iid": pipeline.iid,
        "project_id": pipeline.project_id,
        "sha": pipeline.sha,
        "ref": pipeline.r#ref,
        "status": world.pipeline_status(pipeline.id),
        "source": pipeline.source,
        "created_at": pipeline.created_at.iso(),
        "updated_at": span(world, pipeline).1.unwrap_or(pipeline.created_at).iso(),
        "web_url": format!("{}/-/pipelines/{}", project.unwrap_or_default(), pipeline.id),
    })
}

pub(super) fn user_json(instance: &str, user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": "active",
        "locked": false,
        "avatar_url": null,
        "web_url": user_url(instance, user),
    })
}

fn commit_json(world: &World, instance: &str, project: &Project, pipeline: &Pipeline) -> Value {
    let author = world.users.get(&pipeline.user_id);
    let name = author.map_or_else(String::new, |author| author.name.clone());
    let email = author.map_or_else(String::new, User::email);
    let at = pipeline.created_at.iso();
    json!({
        "id": pipeline.sha,
        "short_id": pipeline.sha.get(..8),
        "created_at": at,
        "parent_ids": [],
        "title": commit_message(pipeline).trim_end(),
        "message": commit_message(pipeline),
        "author_name": name,
        "author_email": email,
        "authored_date": at,
        "committer_name": name,
        "committer_email": email,
        "committed_date": at,
        "trailers": {},
        "web_url": format!("{}/-/commit/{}", web_url(instance, project), pipeline.sha),
    })
}

/// A hook as the REST API shows it: its secrets are write-only.
pub(super) fn hook_json(world: &World, hook: &Hook) -> Value {
    let health = world.health.get(&hook.id).copied().unwrap_or_default();
    let now = Moment::now();
    json!({
        "id": hook.id,
        "url": hook.url,
        "name": hook.name,
        "description": null,
        "created_at": hook.created_at.iso(),
        "push_events": false,
        "tag_push_events": false,
        "releases_events": false,
        "job_events": hook.events.contains(&HookEvent::Job),
        "pipeline_events": hook.events.contains(&HookEvent::Pipeline),
        "deployment_events": hook.events.contains(&HookEvent::Deployment),
        "enable_ssl_verification": true,
        "alert_status": health.status(hook, now),
        "disabled_until": health.disabled_until.filter(|until| now < *until).map(Moment::iso),
        "token_present": hook.token.is_some(),
        "signing_token_present": hook.signing_token.is_some(),
        "project_id": hook.project_id,
    })
}
