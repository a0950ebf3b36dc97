//! The control routes: what people, runners and the instance's operator do to a real GitLab. Loopback only.
//!
//! Bodies are JSON; an unknown field is refused, so a misspelt one is not ignored. Projects are named by number or
//! path, users by number or name. A job answers as the REST API shows it, with what only GitLab itself knows besides.
//!
//! | route | body |
//! |---|---|
//! | `POST /_control/jobs` | `project`, `name`; also `id`, `stage`, `pipeline`, `ref`, `tag`, `protected` (true unless given), `sha`, `source`, `user`, `status` (`manual` unless given), `manual`, `allow_failure`, `environment` (name, or `{name, action, deployment_tier, protected}`) |
//! | `GET /_control/jobs`, `GET /_control/jobs/{id}` | |
//! | `POST /_control/jobs/{id}/play`, `…/retry` | `user`, `runner` (false: it stays pending) |
//! | `POST /_control/jobs/{id}/run` | a runner takes the pending job |
//! | `POST /_control/jobs/{id}/finish` | `status` (`success`, `failed`, `canceled`), `failure_reason` |
//! | `POST /_control/id-token` | `job_id`, `aud`; `claims` and `header` replace fields, `null` removes them; `key: "other"` signs with an unpublished key |
//! | `POST /_control/keys/rotate` | |
//! | `POST /_control/protected-environments` | `project`, `name`, `deploy_access_levels`: a list of `{user_id}`, `{access_level}` or `{group_id}`, in place of those before |
//! | `POST /_control/sign-ins/expire` | every access token that a person gave to an application has ended; with `refresh` what prolongs it, too |
//! | `GET /_control/device-codes` | the codes that wait for a person |
//! | `POST /_control/device-codes/{code}` | `user` and `approve` (true or false); `lapse`: its time is over; `hurry`: the program may ask at once again |
//! | `POST /_control/browsers` | `user`: who sits before every browser from now on; `choose`: whoever does says it again; `lapse`: codes that are out are over; `claims`, `header`, `key`: how the next ID token of a person is made, as above |
//! | `POST /_control/projects`, `/_control/users`, `/_control/applications` | as in the seed |
//! | `POST /_control/hooks` | as in the seed: `project`, `name`, `url`, `token`, `signing_token`, `events`, `time_format`, `auto_disable`, `disable_base_ms`, `timeout_ms`, `at_once`; what is absent stays |
//! | `GET /_control/hooks`, `POST /_control/hooks/{id}/enable` | |
//! | `GET /_control/deliveries[?project_id=&job_id=&after=]`, `GET /_control/deliveries/{id}` | |
//! | `POST /_control/deliveries/{id}/resend` | |
//! | `POST /_control/deliver` | `project` or `hook_id`; `body` or `body_text`; `event`, `headers`, `idempotency_key` |
//! | `POST /_control/fail`, `DELETE /_control/fail` | `on` (`api`, `play`, `keys`), `times`, `status`, `effect` (`fail`, `do-then-fail`), `headers` |
//! | `GET /_control/requests` | what came in on the main listener |
//! | `GET /_control/outward` | commit statuses, and pipelines that a trigger token has started with their variables |

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, Request, State},
    http::{StatusCode, header::ORIGIN},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    api::{hook_json, job_json},
    clock::{Moment, uuid},
    delivery::{self, Delivery},
    fault::Fault,
    id_token::{self, Wishes},
    job::{Environment, Job, Pipeline, Status},
    journal::Fact,
    lifecycle::{Impossible, NewJob, NewPipeline},
    oauth::Application,
    outward,
    protected::{Deployers, Protected},
    seed::{AUDIENCE, HookSeed, Reference},
    server::{self, Gitlab, query_fields},
    world::{ApiToken, Change, Project, Store, Unwritten, User, World},
};

/// GitLab sends bodies of at most 25 MB; larger ones can be tried.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

pub(super) fn routes(gitlab: Arc<Gitlab>) -> Router {
    Router::new()
        .route("/_control/projects", post(add_project))
        .route("/_control/users", post(add_user))
        .route("/_control/applications", post(add_application))
        .route("/_control/browsers", post(browsers))
        .route("/_control/device-codes", get(device_codes))
        .route("/_control/device-codes/{code}", post(decide))
        .route("/_control/jobs", get(jobs).post(create_job))
        .route("/_control/jobs/{job}", get(job))
        .route("/_control/jobs/{job}/play", post(play))
        .route("/_control/jobs/{job}/run", post(run))
        .route("/_control/jobs/{job}/finish", post(finish))
        .route("/_control/jobs/{job}/retry", post(retry))
        .route("/_control/id-token", post(id_token))
        .route("/_control/keys/rotate", post(rotate))
        .route("/_control/protected-environments", post(protect))
        .route("/_control/sign-ins/expire", post(expire_sign_ins))
        .route("/_control/hooks", get(hooks).post(change_hook))
        .route("/_control/hooks/{hook}/enable", post(enable_hook))
        .route("/_control/deliveries", get(deliveries))
        .route("/_control/deliveries/{delivery}", get(one_delivery))
        .route("/_control/deliveries/{delivery}/resend", post(resend))
        .route("/_control/deliver", post(deliver))
        .route("/_control/fail", post(fail).delete(stop_failing))
        .route("/_control/requests", get(requests))
        .route("/_control/outward", get(outward_facts))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such control route"))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(refuse_pages))
        .with_state(gitlab)
}

/// A web page that is open on this machine can send requests here too; browsers then say where it came from.
async fn refuse_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return Problem::new(StatusCode::FORBIDDEN, "the control routes are not for web pages").into_response();
    }
    next.run(request).await
}

/// A request that cannot be done, in words.
struct Problem {
    status: StatusCode,
    error: String,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        server::json(self.status, &json!({ "error": self.error }))
    }
}

impl From<String> for Problem {
    fn from(error: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
    }
}

impl From<Unwritten> for Problem {
    fn from(error: Unwritten) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<Impossible> for Problem {
    fn from(impossible: Impossible) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            match impossible {
                Impossible::Play => {
                    "the job cannot be played: only manual jobs that wait or have ended can be".to_owned()
                }
                Impossible::Deploy => {
                    "the job cannot be played: its environment is protected from this person".to_owned()
                }
                Impossible::Retry => {
                    "the job cannot be retried: only the newest attempt can be, when it has ended".to_owned()
                }
                Impossible::Finish(status) => format!(
                    "the job is `{}`: only a running job can end, and only one that has not ended can be canceled",
                    status.word()
                ),
            },
        )
    }
}

type Answer = Result<Response, Problem>;
type Shared = State<Arc<Gitlab>>;

#[expect(clippy::unnecessary_wraps, reason = "the end of every route")]
fn ok(body: &Value) -> Answer {
    Ok(server::json(StatusCode::OK, body))
}

/// A JSON body; none at all stands for an empty object.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body is not understood: {error}")))
}

fn known_job(world: &World, id: u64) -> Result<&Job, Problem> {
    world.jobs.get(&id).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no job {id}")))
}

/// A job as the REST API shows it, and what only GitLab itself knows of it.
fn full_job(world: &World, instance: &str, job: &Job) -> Value {
    let mut body = job_json(world, instance, job);
    if let Some(fields) = body.as_object_mut() {
        let pipeline = world.pipelines.get(&job.pipeline_id);
        fields.insert("project_id".to_owned(), json!(job.project_id));
        fields.insert("pipeline_id".to_owned(), json!(job.pipeline_id));
        fields.insert("sha".to_owned(), json!(pipeline.map(|pipeline| &pipeline.sha)));
        fields.insert("protected".to_owned(), json!(pipeline.map(|pipeline| pipeline.protected)));
        fields.insert("environment".to_owned(), json!(job.environment));
        fields.insert("manual".to_owned(), json!(job.manual));
        fields.insert("retries_count".to_owned(), json!(job.retries_count));
        fields.insert("retried".to_owned(), json!(job.retried));
        fields.insert("token".to_owned(), json!(job.token));
    }
    body
}

fn shown(gitlab: &Gitlab, id: u64) -> Answer {
    let store = gitlab.store();
    ok(&full_job(&store.world, &gitlab.url, known_job(&store.world, id)?))
}

async fn add_project(State(gitlab): Shared, body: Bytes) -> Answer {
    let project: Project = read(&body)?;
    let shown = json!(project);
    gitlab.steps(|steps| -> Result<(), Problem> {
        steps.change.record(Fact::Project(project));
        Ok(())
    })?;
    ok(&shown)
}

async fn add_user(State(gitlab): Shared, body: Bytes) -> Answer {
    let user: User = read(&body)?;
    let shown = json!(user);
    gitlab.steps(|steps| -> Result<(), Problem> {
        steps.change.record(Fact::User(user));
        Ok(())
    })?;
    ok(&shown)
}

async fn add_application(State(gitlab): Shared, body: Bytes) -> Answer {
    let application: Application = read(&body)?;
    let shown = json!(application);
    gitlab.steps(|steps| -> Result<(), Problem> {
        steps.change.record(Fact::Application(application));
        Ok(())
    })?;
    ok(&shown)
}

async fn device_codes(State(gitlab): Shared) -> Answer {
    ok(&json!(gitlab.codes.waiting()))
}

/// What becomes of a code that a person was shown. All three may be said at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionRequest {
    /// Who types it in.
    #[serde(default)]
    user: Option<Reference>,
    /// Whether they allow it.
    #[serde(default)]
    approve: Option<bool>,
    /// Its time is over.
    #[serde(default)]
    lapse: bool,
    /// The program may ask again at once.
    #[serde(default)]
    hurry: bool,
}

async fn decide(State(gitlab): Shared, Path(code): Path<String>, body: Bytes) -> Answer {
    let asked: DecisionRequest = read(&body)?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, format!("nobody was shown the code {code}"));
    let mut known = !asked.hurry || gitlab.codes.hurry(&code);
    known &= !asked.lapse || gitlab.codes.lapse(&code);
    if let Some(approve) = asked.approve {
        let user = match &asked.user {
            Some(user) => Some(user.user(&gitlab.store().world)?.id),
            None if approve => return Err(Problem::new(StatusCode::BAD_REQUEST, "say which `user` allows it")),
            None => None,
        };
        known &= gitlab.codes.decide(&code, user.filter(|_| approve));
    }
    if known { ok(&json!({})) } else { Err(unknown()) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BrowsersRequest {
    /// Who sits before them.
    #[serde(default)]
    user: Option<Reference>,
    /// Whoever does says who they are.
    #[serde(default)]
    choose: bool,
    #[serde(default)]
    lapse: bool,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    key: KeyChoice,
}

async fn browsers(State(gitlab): Shared, body: Bytes) -> Answer {
    let asked: BrowsersRequest = read(&body)?;
    if let Some(user) = &asked.user {
        let id = user.user(&gitlab.store().world)?.id;
        gitlab.browsers.are_of(Some(id));
    }
    if asked.choose {
        gitlab.browsers.are_of(None);
    }
    if asked.lapse {
        gitlab.browsers.lapse();
    }
    if !asked.claims.is_empty() || !asked.header.is_empty() || asked.key == KeyChoice::Other {
        let other_key = asked.key == KeyChoice::Other;
        gitlab.browsers.wish(Wishes { claims: asked.claims, header: asked.header, other_key });
    }
    ok(&json!({}))
}

/// A job to create. What is absent comes from the pipeline, when there is one already.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobRequest {
    #[serde(default)]
    id: Option<u64>,
    #[serde(alias = "project_id")]
    project: Reference,
    name: String,
    #[serde(default)]
    stage: Option<String>,
    #[serde(default, alias = "pipeline_id")]
    pipeline: Option<u64>,
    #[serde(default)]
    r#ref: Option<String>,
    #[serde(default)]
    tag: Option<bool>,
    #[serde(default)]
    protected: Option<bool>,
    #[serde(default)]
    sha: Option<String>,
    #[serde(default, alias = "pipeline_source")]
    source: Option<String>,
    #[serde(default)]
    user: Option<UserRequest>,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    manual: Option<bool>,
    #[serde(default)]
    allow_failure: Option<bool>,
    #[serde(default)]
    environment: Option<EnvironmentRequest>,
}

/// A user by number or name, or one to add.
#[derive(Deserialize)]
#[serde(untagged)]
enum UserRequest {
    Known(Reference),
    Whole(User),
    KnownId { id: u64 },
}

/// The number of the user who is meant; a new one is added. Without a name it is the seed's first.
fn who(change: &mut Change<'_>, user: Option<UserRequest>) -> Result<u64, String> {
    let world = &change.world;
    match user {
        None => {
            world.users.keys().next().copied().ok_or_else(|| "there is no user; the seed names the users".to_owned())
        }
        Some(UserRequest::Known(reference)) => reference.user(world).map(|user| user.id),
        Some(UserRequest::KnownId { id }) => Reference::Id(id).user(world).map(|user| user.id),
        Some(UserRequest::Whole(user)) => {
            let id = user.id;
            if !world.users.contains_key(&id) {
                change.record(Fact::User(user));
            }
            Ok(id)
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EnvironmentRequest {
    Name(String),
    Whole(Environment),
}

async fn create_job(State(gitlab): Shared, body: Bytes) -> Answer {
    let request: JobRequest = read(&body)?;
    let id = gitlab.steps(|steps| -> Result<u64, Problem> {
        let world = &steps.change.world;
        let project = request.project.project(world)?.clone();
        if let Some(id) = request.id
            && world.jobs.contains_key(&id)
        {
            return Err(Problem::new(StatusCode::CONFLICT, format!("job {id} exists already")));
        }
        let known = request.pipeline.and_then(|id| world.pipelines.get(&id)).cloned();
        let user_id = match (&known, request.user) {
            (Some(pipeline), None) => pipeline.user_id,
            (_, user) => who(steps.change, user)?,
        };
        let environment = match request.environment {
            None => None,
            Some(EnvironmentRequest::Name(name)) => Some(Environment::named(name)),
            Some(EnvironmentRequest::Whole(environment)) => Some(environment),
        };
        if let Some(environment) = environment.as_ref().filter(|known| !Environment::is_valid(&known.name)) {
            return Err(format!("`{}` is not a name that GitLab allows for an environment", environment.name).into());
        }
        let pipeline = Wanted {
            r#ref: request.r#ref,
            tag: request.tag,
            protected: request.protected,
            sha: request.sha,
            source: request.source,
        };
        let pipeline_id = if let Some(known) = known {
            pipeline.agrees(&known, &project)?
        } else {
            let new = pipeline.complete(request.pipeline, &project, user_id)?;
            steps.start_pipeline(project.id, new)
        };
        let status = request.status.unwrap_or(Status::Manual);
        let manual = request.manual.unwrap_or(status == Status::Manual);
        Ok(steps.create(
            project.id,
            pipeline_id,
            NewJob {
                id: request.id,
                name: request.name,
                stage: request.stage.unwrap_or_else(|| "test".to_owned()),
                manual,
                allow_failure: request.allow_failure.unwrap_or(manual),
                environment,
                status,
                user_id,
            },
        ))
    })?;
    let store = gitlab.store();
    Ok(server::json(StatusCode::CREATED, &full_job(&store.world, &gitlab.url, known_job(&store.world, id)?)))
}

/// What a request says about its pipeline.
struct Wanted {
    r#ref: Option<String>,
    tag: Option<bool>,
    protected: Option<bool>,
    sha: Option<String>,
    source: Option<String>,
}

impl Wanted {
    /// The pipeline's number, if nothing that the request says contradicts it.
    fn agrees(&self, pipeline: &Pipeline, project: &Project) -> Result<u64, Problem> {
        let differs = [
            ("project", pipeline.project_id != project.id),
            ("ref", self.r#ref.as_ref().is_some_and(|name| *name != pipeline.r#ref)),
            ("tag", self.tag.is_some_and(|tag| tag != pipeline.tag)),
            ("protected", self.protected.is_some_and(|protected| protected != pipeline.protected)),
            ("sha", self.sha.as_ref().is_some_and(|sha| *sha != pipeline.sha)),
            ("source", self.source.as_ref().is_some_and(|source| *source != pipeline.source)),
        ];
        match differs.iter().find(|(_, differs)| *differs) {
            None => Ok(pipeline.id),
            Some((field, _)) => Err(Problem::new(
                StatusCode::CONFLICT,
                format!("pipeline {} exists with another {field}; leave the field out, or the pipeline", pipeline.id),
            )),
        }
    }

    fn complete(self, id: Option<u64>, project: &Project, user_id: u64) -> Result<NewPipeline, Problem> {
        if let Some(sha) = &self.sha
            && (sha.len() != 40 || !sha.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
        {
            return Err(format!("`{sha}` is not a commit: 40 lower-case hexadecimal digits").into());
        }
        Ok(NewPipeline {
            id,
            r#ref: self.r#ref.unwrap_or_else(|| project.default_branch.clone()),
            tag: self.tag.unwrap_or(false),
            protected: self.protected.unwrap_or(true),
            sha: self.sha,
            source: self.source.unwrap_or_else(|| "push".to_owned()),
            user_id,
        })
    }
}

async fn jobs(State(gitlab): Shared) -> Answer {
    let store = gitlab.store();
    let jobs = store.world.jobs.values().map(|job| full_job(&store.world, &gitlab.url, job)).collect();
    ok(&Value::Array(jobs))
}

async fn job(State(gitlab): Shared, Path(id): Path<u64>) -> Answer {
    shown(&gitlab, id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlayRequest {
    #[serde(default)]
    user: Option<UserRequest>,
    /// Whether a runner takes the job.
    #[serde(default = "yes")]
    runner: bool,
}

fn yes() -> bool {
    true
}

async fn play(State(gitlab): Shared, Path(id): Path<u64>, body: Bytes) -> Answer {
    let request: PlayRequest = read(&body)?;
    let id = gitlab.steps(|steps| -> Result<u64, Problem> {
        known_job(steps.change.world, id)?;
        let player = who(steps.change, request.user)?;
        let id = steps.play(id, player)?;
        if request.runner {
            steps.run(id);
        }
        Ok(id)
    })?;
    shown(&gitlab, id)
}

async fn run(State(gitlab): Shared, Path(id): Path<u64>) -> Answer {
    gitlab.steps(|steps| -> Result<(), Problem> {
        let status = known_job(steps.change.world, id)?.status;
        if status != Status::Pending {
            let error = format!("the job is `{}`: a runner takes only a pending one", status.word());
            return Err(Problem::new(StatusCode::CONFLICT, error));
        }
        steps.run(id);
        Ok(())
    })?;
    shown(&gitlab, id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishRequest {
    status: Status,
    #[serde(default)]
    failure_reason: Option<String>,
}

async fn finish(State(gitlab): Shared, Path(id): Path<u64>, body: Bytes) -> Answer {
    let request: FinishRequest = read(&body)?;
    if !request.status.is_final() {
        return Err(format!("a job ends as success, failed or canceled, not as {}", request.status.word()).into());
    }
    gitlab.steps(|steps| -> Result<(), Problem> {
        known_job(steps.change.world, id)?;
        steps.finish(id, request.status, request.failure_reason)?;
        Ok(())
    })?;
    shown(&gitlab, id)
}

async fn retry(State(gitlab): Shared, Path(id): Path<u64>, body: Bytes) -> Answer {
    let request: PlayRequest = read(&body)?;
    let id = gitlab.steps(|steps| -> Result<u64, Problem> {
        let owner = known_job(steps.change.world, id)?.user_id;
        let by = match request.user {
            None => owner,
            user => who(steps.change, user)?,
        };
        let id = steps.retry(id, by)?;
        if request.runner {
            steps.run(id);
        }
        Ok(id)
    })?;
    shown(&gitlab, id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    job_id: u64,
    /// A string, or an array as the YAML may ask for.
    #[serde(default)]
    aud: Option<Value>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    key: KeyChoice,
}

#[derive(Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum KeyChoice {
    #[default]
    Own,
    /// One that no key set has.
    Other,
}

async fn id_token(State(gitlab): Shared, body: Bytes) -> Answer {
    let request: TokenRequest = read(&body)?;
    let claims = {
        let store = gitlab.store();
        let job = known_job(&store.world, request.job_id)?;
        if job.started_at.is_none() {
            let error = format!(
                "job {} is `{}`: GitLab makes ID tokens when a runner takes the job, so play it first",
                job.id,
                job.status.word()
            );
            return Err(Problem::new(StatusCode::CONFLICT, error));
        }
        let audience = request
            .aud
            .or_else(|| store.world.seeded.get(AUDIENCE).cloned())
            .ok_or_else(|| "`aud` is missing, and the seed has no `audience`".to_owned())?;
        id_token::claims(&store.world, &gitlab.url, job, &audience, Moment::now())
            .ok_or_else(|| format!("job {} has no project, pipeline or user any more", job.id))?
    };
    let wishes = Wishes { claims: request.claims, header: request.header, other_key: request.key == KeyChoice::Other };
    let token = id_token::sign(&gitlab.keys(), claims, wishes).map_err(|error| error.to_string())?;
    ok(&json!({ "id_token": token }))
}

async fn rotate(State(gitlab): Shared) -> Answer {
    let mut keys = gitlab.keys();
    keys.rotate().map_err(|error| format!("cannot make a new key: {error}"))?;
    ok(&json!({ "kid": keys.current().id }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectRequest {
    #[serde(alias = "project_id")]
    project: Reference,
    name: String,
    deploy_access_levels: Vec<Deployers>,
}

async fn protect(State(gitlab): Shared, body: Bytes) -> Answer {
    let ProtectRequest { project, name, deploy_access_levels } = read(&body)?;
    if deploy_access_levels.is_empty() {
        return Err("an environment is protected for somebody: `deploy_access_levels` is empty".to_owned().into());
    }
    let shown = gitlab.steps(|steps| -> Result<Value, Problem> {
        let project_id = project.project(steps.change.world)?.id;
        let protected = Protected { project_id, name, deploy_access_levels };
        let shown = protected.shown(steps.change.world);
        steps.change.record(Fact::Protected(protected));
        Ok(shown)
    })?;
    ok(&shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpireRequest {
    /// What prolongs a token has ended with it, as when the person revokes the application.
    #[serde(default)]
    refresh: bool,
}

async fn expire_sign_ins(State(gitlab): Shared, body: Bytes) -> Answer {
    let request: ExpireRequest = read(&body)?;
    let ended = gitlab.steps(|steps| -> Result<usize, Problem> {
        let given = steps.change.world.tokens.values().filter(|token| token.application.is_some());
        let given: Vec<_> = given.filter(|token| token.is_good(steps.now)).cloned().collect();
        let number = given.len();
        for token in given {
            steps.change.record(Fact::ApiToken(ApiToken { ends_at: Some(steps.now), ..token }));
        }
        if request.refresh {
            for mut token in steps.change.world.refresh_tokens.values().cloned().collect::<Vec<_>>() {
                token.is_used = true;
                steps.change.record(Fact::RefreshToken(token));
            }
        }
        Ok(number)
    })?;
    ok(&json!({ "ended": ended }))
}

/// A hook with the settings that the REST API does not show.
fn full_hook(world: &World, id: u64) -> Value {
    let Some(hook) = world.hooks.get(&id) else { return Value::Null };
    let mut body = hook_json(world, hook);
    if let Some(fields) = body.as_object_mut() {
        let failures = world.health.get(&id).map_or(0, |health| health.failures);
        fields.insert("events".to_owned(), json!(hook.events));
        fields.insert("time_format".to_owned(), json!(hook.time_format));
        fields.insert("auto_disable".to_owned(), json!(hook.auto_disable));
        fields.insert("disable_base_ms".to_owned(), json!(hook.disable_base_ms));
        fields.insert("timeout_ms".to_owned(), json!(hook.timeout_ms));
        fields.insert("at_once".to_owned(), json!(hook.at_once));
        fields.insert("failures_in_a_row".to_owned(), json!(failures));
    }
    body
}

async fn hooks(State(gitlab): Shared) -> Answer {
    let store = gitlab.store();
    ok(&store.world.hooks.keys().map(|id| full_hook(&store.world, *id)).collect())
}

async fn change_hook(State(gitlab): Shared, body: Bytes) -> Answer {
    let request: HookSeed = read(&body)?;
    let id = gitlab.steps(|steps| -> Result<u64, Problem> { Ok(request.apply(steps.change)?) })?;
    ok(&full_hook(&gitlab.store().world, id))
}

/// What a successful test request does for a hook that was switched off.
async fn enable_hook(State(gitlab): Shared, Path(id): Path<u64>) -> Answer {
    gitlab.steps(|steps| -> Result<(), Problem> {
        if !steps.change.world.hooks.contains_key(&id) {
            return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no hook {id}")));
        }
        steps.change.record(Fact::HookEnabled { hook_id: id });
        Ok(())
    })?;
    ok(&full_hook(&gitlab.store().world, id))
}

fn delivery_json(store: &Store, delivery: &Delivery) -> Value {
    let outcome = delivery.outcome.as_ref();
    let hook = store.world.hooks.get(&delivery.hook_id);
    let state = match outcome {
        None if store.claimed.contains(&delivery.id) => "sending",
        None => "queued",
        Some(outcome) if outcome.sent_at.is_none() => "not_sent",
        Some(outcome) if outcome.is_success() => "delivered",
        Some(_) => "failed",
    };
    json!({
        "id": delivery.id,
        "hook_id": delivery.hook_id,
        "project_id": delivery.project_id,
        "job_id": delivery.job_id,
        "event": delivery.event,
        "state": state,
        "idempotency_key": delivery.idempotency_key,
        "event_uuid": delivery.event_uuid,
        "url": outcome.map(|outcome| &outcome.url).or(hook.map(|hook| &hook.url)),
        "queued_at": delivery.queued_at.iso(),
        "sent_at": outcome.and_then(|outcome| outcome.sent_at).map(Moment::iso),
        "finished_at": outcome.map(|outcome| outcome.finished_at.iso()),
        "request_headers": outcome.map(|outcome| &outcome.request_headers),
        "request_body": delivery.body,
        "body": serde_json::from_str::<Value>(&delivery.body).ok(),
        "response_status": outcome.and_then(|outcome| outcome.status),
        "response_headers": outcome.map(|outcome| &outcome.response_headers),
        "response_body": outcome.map(|outcome| &outcome.response_body),
        "error": outcome.and_then(|outcome| outcome.error.as_ref()),
        "resend_of": delivery.resend_of,
    })
}

/// All deliveries, oldest first; fewer with `project_id`, `job_id` or `after` (a delivery's number).
async fn deliveries(State(gitlab): Shared, RawQuery(query): RawQuery) -> Answer {
    let mut wanted = BTreeMap::new();
    for (name, value) in query_fields(query.as_deref()) {
        let number: u64 = value.parse().map_err(|_| format!("`{name}={value}` is not a number"))?;
        if !["project_id", "job_id", "after"].contains(&name.as_str()) {
            return Err(format!("`{name}` is not one of `project_id`, `job_id`, `after`").into());
        }
        wanted.insert(name, number);
    }
    let store = gitlab.store();
    let list = store
        .world
        .deliveries
        .values()
        .filter(|delivery| wanted.get("project_id").is_none_or(|id| *id == delivery.project_id))
        .filter(|delivery| wanted.get("job_id").is_none_or(|id| Some(*id) == delivery.job_id))
        .filter(|delivery| wanted.get("after").is_none_or(|id| delivery.id > *id))
        .map(|delivery| delivery_json(&store, delivery))
        .collect();
    ok(&Value::Array(list))
}

fn known_delivery(store: &Store, id: u64) -> Result<&Delivery, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, format!("there is no delivery {id}"));
    store.world.deliveries.get(&id).ok_or_else(unknown)
}

async fn one_delivery(State(gitlab): Shared, Path(id): Path<u64>) -> Answer {
    let store = gitlab.store();
    ok(&delivery_json(&store, known_delivery(&store, id)?))
}

async fn resend(State(gitlab): Shared, Path(id): Path<u64>) -> Answer {
    known_delivery(&gitlab.store(), id)?;
    let again = copy_of(&gitlab, id)?;
    sent(&gitlab, again).await
}

/// Sends a claimed delivery and shows what became of it.
async fn sent(gitlab: &Gitlab, id: u64) -> Answer {
    delivery::send(gitlab, id).await?;
    let store = gitlab.store();
    ok(&delivery_json(&store, known_delivery(&store, id)?))
}

/// A claimed delivery with the body and `Idempotency-Key` of an earlier one.
pub(super) fn copy_of(gitlab: &Gitlab, id: u64) -> Result<u64, Unwritten> {
    let mut store = gitlab.store();
    let again = store.change(|change| {
        let earlier = change.world.deliveries.get(&id).cloned();
        let earlier = earlier.ok_or_else(|| Unwritten(format!("there is no delivery {id}")))?;
        let again = Delivery {
            id: change.world.next_delivery_id(),
            event_uuid: uuid(),
            queued_at: Moment::now(),
            resend_of: Some(id),
            forced: true,
            outcome: None,
            ..earlier
        };
        let id = again.id;
        change.record(Fact::Queued(Box::new(again)));
        Ok(id)
    })?;
    store.claimed.insert(again);
    Ok(again)
}

/// Anything at all, sent to a hook: what GitLab itself would not send, or not now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliverRequest {
    #[serde(default, alias = "project_id")]
    project: Option<Reference>,
    #[serde(default)]
    hook_id: Option<u64>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    body: Option<Value>,
    /// A body that need not be JSON.
    #[serde(default)]
    body_text: Option<String>,
    /// Headers to replace, or with `null` to leave out.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    #[serde(default)]
    idempotency_key: Option<String>,
}

async fn deliver(State(gitlab): Shared, body: Bytes) -> Answer {
    let request: DeliverRequest = read(&body)?;
    let text = match (request.body, request.body_text) {
        (Some(value), None) => value.to_string(),
        (None, Some(text)) => text,
        _ => return Err("give either `body` or `body_text`".to_owned().into()),
    };
    let id = {
        let mut store = gitlab.store();
        let hook = match (&request.project, request.hook_id) {
            (None, Some(id)) => store.world.hooks.get(&id).cloned(),
            (Some(project), None) => {
                let project = project.project(&store.world)?.id;
                store.world.hooks_of(project).next().cloned()
            }
            _ => return Err("give either `project` or `hook_id`".to_owned().into()),
        };
        let hook = hook.ok_or_else(|| "there is no such hook; add one with `POST /_control/hooks`".to_owned())?;
        let id = store.change(|change| -> Result<u64, Problem> {
            let delivery = Delivery {
                id: change.world.next_delivery_id(),
                hook_id: hook.id,
                project_id: hook.project_id,
                job_id: None,
                event: request.event.unwrap_or_else(|| "Job Hook".to_owned()),
                event_uuid: uuid(),
                idempotency_key: request.idempotency_key.unwrap_or_else(uuid),
                body: text,
                headers: request.headers,
                queued_at: Moment::now(),
                resend_of: None,
                forced: true,
                outcome: None,
            };
            let id = delivery.id;
            change.record(Fact::Queued(Box::new(delivery)));
            Ok(id)
        })?;
        store.claimed.insert(id);
        id
    };
    sent(&gitlab, id).await
}

async fn fail(State(gitlab): Shared, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    let shown = json!(fault);
    gitlab.faults.add(fault);
    ok(&shown)
}

async fn stop_failing(State(gitlab): Shared) -> Answer {
    gitlab.faults.clear();
    ok(&json!({}))
}

async fn requests(State(gitlab): Shared) -> Response {
    gitlab.faults.requests()
}

async fn outward_facts(State(gitlab): Shared) -> Answer {
    ok(&outward::shown(&gitlab.store().world))
}
