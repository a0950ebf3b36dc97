//! Every request from outside.

use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::Reflect;
use serde::Deserialize;
use slipway_core::api::{CarryRequest, PromotionRequest, Release, ReleasePatch, ReleaseSummary};
use slipway_core::cargo::target_in_path;
use slipway_core::config::{Config, Project};
use slipway_core::openapi::OPENAPI;
use slipway_core::policy::policy;
use slipway_core::release::{ReleaseState, Version};
use slipway_view::filter::Filter;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{Context, Delay, Env, Method, Request, Response, Result, event};

use crate::answer::{Answer, Problem, finish, json};
use crate::caller::Asking;
use crate::message::{self, By, ToDirectory, ToProject, tell};
use crate::{carry, command, copy, counters, gates, pages, readiness, session, settings, webhook};

/// The largest body of the API: a plan of 500 packages has about 150 KB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_SECONDS_MAX: Duration = Duration::from_secs(10);
/// The longest that a reader may wait for a change; proxies on the way cut idle requests at 30 to 100 seconds.
const WAIT_SECONDS_MAX: u64 = 25;
/// Rows of the audit in one answer.
const AUDIT_ROWS_MAX: u64 = 1000;

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let wants_page = !request.path().starts_with("/api/")
        && request.headers().get("accept")?.is_some_and(|accept| accept.contains("text/html"));
    match route(request, &env).await {
        Err(problem) if wants_page => finish(pages::problem(&problem)),
        answer => finish(answer),
    }
}

async fn route(mut request: Request, env: &Env) -> Answer {
    let path = request.path();
    let segments: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if segments == ["healthz"] {
        return alive();
    }
    let config = settings::config()?;
    let config = config.as_ref();
    let asking = Asking::of(&request, &segments, env, config)?;
    match (request.method(), segments.as_slice()) {
        (Method::Post, ["webhooks", "gitlab", project]) => webhook::receive(request, project, env, config).await,
        (Method::Post, ["api", "v1", "sessions"]) => {
            let body = body(&mut request, session::BODY_BYTES_MAX).await?;
            // Cloudflare says from where; elsewhere all come from one place.
            let address = request.headers().get("cf-connecting-ip")?.unwrap_or_default();
            session::open(&body, &address, env, config).await
        }
        (Method::Delete, ["api", "v1", "sessions"]) => asking.sign_out().await,
        (Method::Post, _) if path == copy::PATH => copy::answer(request, env).await,
        (Method::Get, ["readyz"]) => readiness::ready(env, config),
        (Method::Get, ["readyz", "secrets"]) => {
            asking.operator()?;
            readiness::secrets(env, config).await
        }
        (Method::Get, ["metrics"]) => {
            asking.operator()?;
            Ok(Response::ok(counters::text())?)
        }
        (Method::Get, ["openapi.json"]) => {
            let response = Response::ok(OPENAPI)?;
            response.headers().set("content-type", "application/json")?;
            Ok(response)
        }
        (Method::Get, ["assets", name]) => pages::asset(&request, env, name).await,
        (Method::Get, [name]) if let Some(asked) = command::asked(name) => command::answer(&request, env, asked).await,
        (Method::Get, []) => {
            let projects = asking.visible().await?;
            let mut answer = tell(&message::directory(env)?, &ToDirectory::List).await?;
            pages::projects(&projects, &serde_json::from_str::<Vec<_>>(&answer.text().await?)?)
        }
        (Method::Get, ["help", "states"]) => pages::help(),
        (Method::Get, ["p", project]) => {
            let project = asking.project(project).await?;
            let releases: Vec<ReleaseSummary> =
                ask(env, project, &ToProject::Releases { project_id: project.id }).await?;
            pages::releases(&shown(project), &releases)
        }
        (Method::Get, ["p", project, "r", version]) => {
            let project = asking.project(project).await?;
            let release: Release = ask(env, project, &read(project, version)?).await?;
            pages::release(&release, &Filter::from_query(request.url()?.query().unwrap_or_default()))
        }
        (method, ["api", "v1", rest @ ..]) => api(request, method, rest, env, config, asking).await,
        _ => Err(Problem::not_found("page")),
    }
}

/// It runs, and has this time: a runtime without a server in front of it dates no answer.
fn alive() -> Answer {
    let response = Response::ok("ok\n")?;
    let now = js_sys::Date::new(&JsValue::from_f64(js_sys::Date::now()));
    response.headers().set("date", &String::from(now.to_utc_string()))?;
    Ok(response)
}

async fn api(
    mut request: Request,
    method: Method,
    path: &[&str],
    env: &Env,
    config: &Config,
    asking: Asking<'_>,
) -> Answer {
    match (method, path) {
        (Method::Get, ["sign-in"]) => session::sign_in(config),
        (Method::Get, ["projects"]) => {
            let projects = asking.visible().await?;
            json(200, &projects.into_iter().map(shown).collect::<Vec<_>>())
        }
        (Method::Get, ["projects", project, "releases"]) => {
            let project = asking.project(project).await?;
            Ok(tell(&message::project(env, project.id)?, &ToProject::Releases { project_id: project.id }).await?)
        }
        (Method::Get, ["projects", project, "releases", version]) => {
            let project = asking.project(project).await?;
            one_release(&request, env, project, version).await
        }
        (Method::Get, ["projects", project, "releases", version, "live"]) => {
            let project = asking.project(project).await?;
            live(request, env, config, project, version).await
        }
        (Method::Get, ["projects", project, "audit"]) => {
            let project = asking.project(project).await?;
            let query: AuditQuery = parse_query(&request)?;
            let message = ToProject::Audit { first: query.first.unwrap_or(1), count: AUDIT_ROWS_MAX };
            Ok(tell(&message::project(env, project.id)?, &message).await?)
        }
        (Method::Patch, ["projects", project, "releases", version]) => {
            let project = asking.project(project).await?;
            let session = asking.job()?;
            let version = parse_version(version)?;
            let added: ReleasePatch = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            Ok(tell(&message::project(env, project.id)?, &ToProject::Patch { session, version, patch: added }).await?)
        }
        (Method::Post, ["projects", project, "releases", version, "promotions"]) => {
            let project = asking.project(project).await?;
            let session = asking.job()?;
            let version = parse_version(version)?;
            let PromotionRequest { keys, all } = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            Ok(tell(&message::project(env, project.id)?, &ToProject::Promote { session, version, keys, all }).await?)
        }
        (Method::Get, ["projects", project, "releases", version, "targets", key, distro @ ..])
            if !distro.is_empty() =>
        {
            let project = asking.project(project).await?;
            let key = key.parse().map_err(|_| Problem::not_found("such target"))?;
            let (version, distro) = (parse_version(version)?, target_in_path(&distro.join("/")));
            let target = ToProject::Target { project_id: project.id, version, key, distro };
            Ok(tell(&message::project(env, project.id)?, &target).await?)
        }
        (Method::Post, ["projects", project, "releases", version, "carries"]) => {
            let project = asking.project(project).await?;
            let session = asking.job()?;
            let version = parse_version(version)?;
            let asked: CarryRequest = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            carry::answer(env.clone(), project.id, session, version, asked).await
        }
        (Method::Get, ["projects", project, "policy"]) => json(200, &policy(config, asking.project(project).await?)),
        (method, ["projects", project, "releases", version, what]) => {
            let project = asking.project(project).await?;
            let version = parse_version(version)?;
            let change = gates::change(&method, what, &body(&mut request, BODY_BYTES_MAX).await?)?;
            if let Err(problem) = gates::speaks_for(asking.caller()?, &change, config) {
                asking.refused_here(project, &problem.detail).await?;
                return Err(problem);
            }
            let by = By::of(asking.caller()?);
            let change = ToProject::Change { project_id: project.id, version, by, change };
            Ok(tell(&message::project(env, project.id)?, &change).await?)
        }
        _ => Err(Problem::not_found("route of the API")),
    }
}

#[derive(Deserialize)]
struct WaitQuery {
    since: Option<u64>,
    wait: Option<ReleaseState>,
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct AuditQuery {
    first: Option<u64>,
}

async fn one_release(request: &Request, env: &Env, project: &Project, version: &str) -> Answer {
    let query: WaitQuery = parse_query(request)?;
    let wait_ms = query.timeout.unwrap_or(WAIT_SECONDS_MAX).min(WAIT_SECONDS_MAX) * 1000;
    let version = parse_version(version)?;
    let message =
        ToProject::Release { project_id: project.id, version, since: query.since, state: query.wait, wait_ms };
    let release: Release = ask(env, project, &message).await?;
    let tag = format!("\"{}\"", release.sequence);
    let response = if request.headers().get("if-none-match")?.as_deref() == Some(tag.as_str()) {
        Response::empty()?.with_status(304)
    } else {
        json(200, &release)?
    };
    response.headers().set("etag", &tag)?;
    Ok(response)
}

async fn live(request: Request, env: &Env, config: &Config, project: &Project, version: &str) -> Answer {
    let query: WaitQuery = parse_query(&request)?;
    let version = parse_version(version)?;
    let upgrades = request.headers().get("upgrade")?.is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    if !upgrades {
        return Err(Problem::new(426, "upgrade-required", "This address speaks WebSocket; poll the release instead."));
    }
    // A page of another site must not read with the reader's rights.
    if request.headers().get("origin")?.is_some_and(|origin| !config.edge.url.serves(&origin)) {
        return Err(Problem::new(403, "foreign-origin", "Sockets are opened by this dashboard's own pages alone."));
    }
    let since = query.since.map(|since| format!("&since={since}")).unwrap_or_default();
    let version = version.as_str().replace('+', "%2B");
    let url = format!("https://object/?project_id={}&version={version}{since}", project.id);
    let mut init = worker::RequestInit::new();
    init.with_headers(request.headers().clone());
    Ok(message::project(env, project.id)?.fetch_with_request(Request::new_with_init(&url, &init)?).await?)
}

// ---- reading and asking ----

fn shown(project: &Project) -> slipway_core::api::Project {
    slipway_core::api::Project { id: project.id, name: project.name.to_string() }
}

fn read(project: &Project, version: &str) -> std::result::Result<ToProject, Problem> {
    Ok(ToProject::Release {
        project_id: project.id,
        version: parse_version(version)?,
        since: None,
        state: None,
        wait_ms: 0,
    })
}

fn parse_query<T: for<'de> Deserialize<'de>>(request: &Request) -> std::result::Result<T, Problem> {
    request.query().map_err(|error| Problem::new(400, "bad-request", format!("The query is not understood: {error}.")))
}

fn parse_version(text: &str) -> std::result::Result<Version, Problem> {
    text.parse().map_err(|error| Problem::new(422, "bad-version", format!("{error}.")))
}

pub(crate) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> std::result::Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(400, "bad-request", format!("The body is not understood: {error}.")))
}

/// Asks the record and reads its JSON; its problems stay what they are.
async fn ask<T: for<'de> Deserialize<'de>>(
    env: &Env,
    project: &Project,
    message: &ToProject,
) -> std::result::Result<T, Problem> {
    let mut answer = tell(&message::project(env, project.id)?, message).await?;
    let text = answer.text().await?;
    match answer.status_code() {
        200 => Ok(serde_json::from_str(&text)?),
        404 => Err(Problem::not_found("such release")),
        status => Err(worker::Error::RustError(format!("the record answered {status}: {text}")).into()),
    }
}

/// A body of at most `limit` bytes. One that says it is longer is not read at all.
pub(crate) async fn body(request: &mut Request, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    let too_big = || Problem::new(413, "too-big", format!("The body has more than {limit} bytes."));
    let declared = request.headers().get("content-length")?.and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_big());
    }
    let Some(stream) = request.inner().body() else { return Ok(Vec::new()) };
    let reader: web_sys::ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let thrown = |error: JsValue| Problem::from(worker::Error::from(error));
    let mut bytes = Vec::new();
    let mut late = Delay::from(BODY_SECONDS_MAX);
    loop {
        let read = match select(JsFuture::from(reader.read()), &mut late).await {
            Either::Left((read, _)) => read.map_err(thrown)?,
            Either::Right(_) => {
                drop(reader.cancel());
                return Err(Problem::new(408, "too-slow", "The body did not come in time; send it again."));
            }
        };
        if Reflect::get(&read, &"done".into()).map_err(thrown)?.is_truthy() {
            return Ok(bytes);
        }
        let chunk: js_sys::Uint8Array = Reflect::get(&read, &"value".into()).map_err(thrown)?.unchecked_into();
        if bytes.len() + usize::try_from(chunk.byte_length()).unwrap_or(usize::MAX) > limit {
            drop(reader.cancel());
            return Err(too_big());
        }
        bytes.extend(chunk.to_vec());
    }
}

/// A segment of a path, with its escapes undone.
fn decode(segment: &str) -> String {
    let decoded = js_sys::decode_uri_component(segment).ok().and_then(|text| text.as_string());
    decoded.unwrap_or_else(|| segment.to_owned())
}
