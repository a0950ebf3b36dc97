//! Every request from outside.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use js_sys::Reflect;
use serde::de::DeserializeOwned;
use slipway_core::access::{self, Asked};
use slipway_core::api::{
    Activity, AdoptionRequest, CarryRequest, PromotionRequest, Release, ReleasePatch, Strangers, WithdrawalRequest,
};
use slipway_core::audit::Format;
use slipway_core::cargo::target_in_path;
use slipway_core::config::{Config, Project};
use slipway_core::log::{Entry, Event, Level};
use slipway_core::openapi::OPENAPI;
use slipway_core::policy::policy;
use slipway_core::query::{
    self, ACTIVITY_ROWS_MAX, ActivityQuery, AuditQuery, LiveQuery, ReleaseQuery, WAIT_SECONDS_MAX,
};
use slipway_core::release::Version;
use slipway_edge::changes::By;
use slipway_edge::measure::MeasuredProject;
use slipway_edge::retention::{self, PARTS_MAX};
use slipway_edge::withdraw;
use slipway_view::page::{Act, Reader};
use slipway_wire::Digest;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{Context, Delay, Env, Method, Request, Response, Result, event};

use crate::answer::{Answer, PRIVATE, Problem, finish, json, outward};
use crate::caller::Asking;
use crate::message::{self, RetentionPart, ToProject, tell};
use crate::{
    backup, caller, carry, clock, command, copy, counters, gates, log, metrics, outside, pages, readiness, session,
    settings, signing, stop, strangers, webhook,
};

/// The largest body of the API: a plan of 500 packages has about 150 KB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_SECONDS_MAX: Duration = Duration::from_secs(10);

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let wants_page = !request.path().starts_with("/api/")
        && request.headers().get("accept")?.is_some_and(|accept| accept.contains("text/html"));
    let is_head = sent_method(&request) == "HEAD";
    let (began, method) = (clock::now(), sent_method(&request));
    let segments = access::segments(&request.path()).unwrap_or_default();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let route_asked = access::route(&method, &segments);
    let id = match request.headers().get("cf-ray")? {
        Some(ray) if ray.len() <= 40 && ray.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => ray,
        _ => Digest::from_bytes(clock::random()?).hex().chars().take(16).collect(),
    };
    let asked_path = caller::path(&request).unwrap_or_default();
    let known = Known::default();
    let answer = route(request, &env, &known).await;
    let allow = answer.as_ref().err().and_then(|problem| problem.allow.clone());
    let status = answer.as_ref().map_or_else(|problem| problem.status, Response::status_code);
    counters::answered(status);
    log::write(&Entry {
        request: Some(&id),
        work: known.work.take(),
        method: route_asked.map(|row| row.method),
        route: route_asked.map(|row| row.path),
        status: Some(status),
        ms: u64::try_from(clock::now().since(began).as_millis()).ok(),
        ..Entry::of(if status >= 500 { Level::Error } else { Level::Info }, Event::Request)
    });
    let answer = match answer {
        Err(problem) if wants_page => {
            // Whoever is asked who they are has nothing that counts any more.
            let name = known.person.take().filter(|_| problem.status != 401);
            let reader = Reader {
                name: name.as_deref(),
                may_sign_in: settings::config().is_ok_and(|config| config.gitlab.application.is_some()),
                path: access::browser::landing(&asked_path),
                may: &[],
                assets: settings::assets(),
                is_public: false,
                is_outsider: false,
                is_untold: false,
            };
            finish(pages::problem(&problem, &reader))
        }
        answer => finish(answer),
    };
    outward(answer?, allow.as_deref(), is_head, &id)
}

/// What became known of whoever asks, while they were answered.
#[derive(Default)]
struct Known {
    /// What the log calls all that comes of their job.
    work: RefCell<Option<String>>,
    /// The user name of a person.
    person: RefCell<Option<String>>,
}

/// The method as it was sent. The `worker` crate takes every one that it does not know for `GET`.
fn sent_method(request: &Request) -> String {
    request.inner().method()
}

async fn route(mut request: Request, env: &Env, known: &Known) -> Answer {
    let path = request.path();
    let what = if path.starts_with("/api/") { "route of the API" } else { "page" };
    let segments = access::segments(&path).ok_or_else(|| Problem::not_found(what))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = sent_method(&request);
    let right = match access::asked(&method, &segments) {
        Asked::Route(right) => right,
        Asked::OtherMethod(allow) if method == "OPTIONS" => return methods(&allow),
        Asked::OtherMethod(allow) => return Err(Problem::method_not_allowed(&method, allow)),
        Asked::Nothing => return Err(Problem::not_found(what)),
    };
    if segments == ["healthz"] {
        return alive();
    }
    let config = settings::config()?;
    let config = config.as_ref();
    let asking = Asking::of(&request, right, &segments, env, config).await?;
    known.work.replace(asking.work());
    known.person.replace(asking.person().map(|person| person.username.clone()));
    if let Some(answer) = outside::answer(&request, env, config, &asking, &segments).await {
        return answer;
    }
    // `HEAD` is `GET`, and loses its body on the way out.
    let method = if method == "HEAD" { Method::Get } else { request.method() };
    match (method, segments.as_slice()) {
        (Method::Post, ["webhooks", "gitlab", project]) => webhook::receive(request, project, env, config).await,
        (Method::Post, ["api", "v1", "sessions"]) => {
            let body = body(&mut request, session::BODY_BYTES_MAX).await?;
            session::open(&body, &address(&request)?, env, config).await
        }
        (Method::Delete, ["api", "v1", "sessions"]) => asking.sign_out().await,
        (Method::Post, _) if path == copy::PATH => copy::answer(request, env).await,
        (Method::Get, ["readyz"]) => readiness::ready(env, config).await,
        (Method::Get, ["readyz", "secrets"]) => {
            asking.operator()?;
            readiness::secrets(env, config).await
        }
        (Method::Get, ["metrics"]) => {
            asking.collector()?;
            metrics::answer(env, config).await
        }
        (Method::Get, ["openapi.json"]) => {
            let response = Response::ok(OPENAPI)?;
            response.headers().set("content-type", "application/json")?;
            Ok(response)
        }
        (Method::Get, ["assets", name]) => pages::asset(&request, env, "", name).await,
        (Method::Get, ["assets", build, name]) => pages::asset(&request, env, build, name).await,
        (Method::Get, [name]) if let Some(asked) = command::asked(name) => command::answer(&request, env, asked).await,
        (method, ["api", "v1", rest @ ..]) => api(request, method, rest, env, config, asking).await,
        (Method::Get, ["sign-in"]) => pages::sign_in::begin(&request, env, config),
        (Method::Get, ["sign-in", "return"]) => pages::sign_in::come_back(&request, env, config).await,
        (Method::Post, ["sign-out"]) => pages::sign_in::sign_out(&request, env, config).await,
        (method, ["p", project, "r", version, act]) if let Some(act) = Act::of_path(act) => {
            pages::act::answer(request, &method, env, &asking, (project, version, act)).await
        }
        (Method::Get, page) => pages::answer(&request, env, &asking, page).await,
        _ => Err(Problem::not_found("page")),
    }
}

/// From where somebody comes. Cloudflare says it; elsewhere all come from one place.
pub(crate) fn address(request: &Request) -> std::result::Result<String, Problem> {
    Ok(request.headers().get("cf-connecting-ip")?.unwrap_or_default())
}

/// Which methods a path has. No other site's pages are let in by it: it grants nothing across origins.
fn methods(allow: &str) -> Answer {
    let response = Response::empty()?.with_status(204);
    response.headers().set("allow", allow)?;
    Ok(response)
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
    let takes_query = matches!(
        path,
        ["projects", _, "audit" | "comparison" | "activity"]
            | ["projects", _, "audit", "heads"]
            | ["projects", _, "releases", _]
            | ["projects", _, "releases", _, "against"]
            | [.., "live"]
    );
    if !(takes_query && method == Method::Get) {
        query::none(&pairs(&request)?)?;
    }
    match (method, path) {
        (Method::Get, ["sign-in"]) => session::sign_in(config),
        (method, ["stop"]) => {
            asking.operator()?;
            stop::everything(&method, &body(&mut request, BODY_BYTES_MAX).await?, env, config).await
        }
        (turn @ (Method::Post | Method::Delete), ["projects", project, "stop"]) => {
            let project = asking.project(project).await?;
            stop::one(turn == Method::Post, &body(&mut request, BODY_BYTES_MAX).await?, env, project).await
        }
        (Method::Get, ["signing-key"]) => signing::keys(env, config).await,
        (Method::Get, ["projects", project, "export"]) => backup::export(env, asking.project(project).await?).await,
        (Method::Post, ["projects", project, "import"]) => {
            let project = asking.project(project).await?;
            backup::import(&mut request, env, project).await
        }
        (Method::Get, ["projects", project, "comparison"]) => {
            let project = asking.project(project).await?;
            let compare = ToProject::Compare { project_id: project.id, first: query::first_target(&pairs(&request)?)? };
            Ok(tell(&message::project(env, project.id)?, &compare).await?)
        }
        (Method::Get, ["projects"]) => {
            let projects = asking.visible().await?;
            json(200, &projects.into_iter().map(shown).collect::<Vec<_>>())
        }
        (Method::Get, ["projects", project, "releases"]) => {
            let project = asking.project(project).await?;
            Ok(tell(&message::project(env, project.id)?, &ToProject::Releases { project_id: project.id }).await?)
        }
        (Method::Get, ["projects", project, "retention"]) => {
            let project = asking.project(project).await?;
            retention(env, config, project).await
        }
        (Method::Get, ["projects", project, "audit"]) => {
            let project = asking.project(project).await?;
            let AuditQuery { first, count, format } = AuditQuery::read(&pairs(&request)?)?;
            let message = ToProject::Audit { project_id: project.id, first, count, format };
            Ok(tell(&message::project(env, project.id)?, &message).await?)
        }
        (Method::Get, ["projects", project, "activity"]) => {
            let project = asking.project(project).await?;
            activity(env, project, ActivityQuery::read(&pairs(&request)?)?).await
        }
        (Method::Get, ["projects", project, "deployments"]) => {
            let project = asking.project(project).await?;
            Ok(tell(&message::project(env, project.id)?, &ToProject::Deployments { project_id: project.id }).await?)
        }
        (Method::Get, ["projects", project, "audit", what @ ("head" | "heads")]) => {
            let project = asking.project(project).await?;
            let first = if *what == "heads" { Some(query::first_head(&pairs(&request)?)?) } else { None };
            let message = ToProject::Heads { project_id: project.id, first };
            Ok(tell(&message::project(env, project.id)?, &message).await?)
        }
        (Method::Get, ["projects", project, "strangers"]) => {
            strangers::shown(env, config, asking.project(project).await?).await
        }
        (Method::Post, ["projects", project, "strangers"]) => {
            let project = asking.project(project).await?;
            let list: Strangers = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            strangers::recall(env, config, project, list, asking.caller()?).await
        }
        (Method::Post, ["projects", project, "adoptions"]) => {
            let project = asking.project(project).await?;
            let asked: AdoptionRequest = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            strangers::adopt(env, config, project, asked, asking.caller()?).await
        }
        (Method::Post, ["projects", project, "sweeps"]) => {
            strangers::sweep(env, config, asking.project(project).await?).await
        }
        (Method::Get, ["projects", project, "policy"]) => json(200, &policy(config, asking.project(project).await?)),
        (method, ["projects", _, "releases", _, ..]) => of_a_release(request, method, path, env, config, asking).await,
        _ => Err(Problem::not_found("route of the API")),
    }
}

/// Rows of the audit, newest first; as a spreadsheet reads them, if that is wanted.
async fn activity(env: &Env, project: &Project, query: ActivityQuery) -> Answer {
    let csv = query.csv;
    let message = ToProject::Activity { project_id: project.id, query, count: ACTIVITY_ROWS_MAX };
    let activity: Activity = ask(env, project, &message).await?;
    if !csv {
        return json(200, &activity);
    }
    let response = Response::ok(activity.csv())?;
    response.headers().set("content-type", Format::Csv.content_type())?;
    response.headers().set("cache-control", PRIVATE)?;
    Ok(response)
}

/// The whole list, a part after the other: a record has so many requests for each.
async fn retention(env: &Env, config: &Config, project: &Project) -> Answer {
    let parts = retention::whole(async |from| {
        let message = ToProject::Retention { project_id: project.id, from };
        let part: RetentionPart = ask(env, project, &message).await?;
        Ok::<_, Problem>((part.list, part.next))
    });
    let mut parts = parts.await?.into_iter().flatten();
    let Some(mut whole) = parts.next() else {
        let what = format!(
            "The list of what {} has staged did not end within {PARTS_MAX} parts, and is not shown without its end. Ask \
             again when its servers answer faster; or close releases that nobody needs, so that runs delete what they have \
             staged. When each package goes is also in its release, as `expires_at`.",
            project.name
        );
        return Err(Problem::new(503, "too-long", what));
    };
    whole.packages.extend(parts.flat_map(|part| part.packages));
    if whole.places.iter().any(|place| place.limit.is_some()) {
        let others = config.projects.iter().filter(|other| other.id != project.id);
        let others = join_all(others.map(|other| metrics::of_project(env, other.id))).await;
        for place in whole.places.iter_mut().filter(|place| place.limit.is_some()) {
            let add = |sum: u64, other: &Option<MeasuredProject>| {
                let bytes = other.as_ref()?.record.staged_bytes.get(&place.place).copied().unwrap_or_default();
                Some(sum.saturating_add(bytes))
            };
            place.all = others.iter().try_fold(place.bytes, add);
        }
    }
    json(200, &whole)
}

/// The routes below one release.
async fn of_a_release(
    mut request: Request,
    method: Method,
    path: &[&str],
    env: &Env,
    config: &Config,
    asking: Asking<'_>,
) -> Answer {
    match (method, path) {
        (Method::Get, ["projects", project, "releases", version]) => {
            let project = asking.project(project).await?;
            one_release(&request, env, project, version).await
        }
        (Method::Get, ["projects", project, "releases", version, "live"]) => {
            let project = asking.project(project).await?;
            live(request, env, config, project, version, asking.is_somebody()).await
        }
        (Method::Get, ["projects", project, "releases", version, "against"]) => {
            let project = asking.project(project).await?;
            let (version, key) = (parse_version(version)?, query::against_key(&pairs(&request)?)?);
            let against = ToProject::Against { project_id: project.id, version, key };
            Ok(tell(&message::project(env, project.id)?, &against).await?)
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
        (Method::Get, ["projects", project, "releases", version, "attestations", key, distro @ ..])
            if !distro.is_empty() =>
        {
            let project = asking.project(project).await?;
            let key = key.parse().map_err(|_| Problem::not_found("such target"))?;
            let (version, distro) = (parse_version(version)?, target_in_path(&distro.join("/")));
            let attestation = ToProject::Attestation { project_id: project.id, version, key, distro };
            Ok(tell(&message::project(env, project.id)?, &attestation).await?)
        }
        (Method::Post, ["projects", project, "releases", version, "carries"]) => {
            let project = asking.project(project).await?;
            let session = asking.job()?;
            let version = parse_version(version)?;
            let asked: CarryRequest = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            carry::answer(env.clone(), project.id, session, version, asked).await
        }
        (Method::Post, ["projects", project, "releases", version, "withdrawals"]) => {
            let project = asking.project(project).await?;
            let version = parse_version(version)?;
            let request: WithdrawalRequest = parse(&body(&mut request, BODY_BYTES_MAX).await?)?;
            let call = Box::new(withdraw::Call { by: By::of(asking.caller()?), request });
            let asked = ToProject::Withdraw { project_id: project.id, version, call };
            Ok(tell(&message::project(env, project.id)?, &asked).await?)
        }
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

async fn one_release(request: &Request, env: &Env, project: &Project, version: &str) -> Answer {
    let query = ReleaseQuery::read(&pairs(request)?)?;
    let wait_ms = query.timeout.unwrap_or(WAIT_SECONDS_MAX) * 1000;
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

async fn live(
    request: Request,
    env: &Env,
    config: &Config,
    project: &Project,
    version: &str,
    is_somebody: bool,
) -> Answer {
    let LiveQuery { since, changes } = LiveQuery::read(&pairs(&request)?)?;
    let version = parse_version(version)?;
    let upgrades = request.headers().get("upgrade")?.is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    if !upgrades {
        return Err(Problem::new(426, "upgrade-required", "This address speaks WebSocket; poll the release instead."));
    }
    // A page of another site must not read with the reader's rights.
    if request.headers().get("origin")?.is_some_and(|origin| !config.edge.url.serves(&origin)) {
        return Err(Problem::new(403, "foreign-origin", "Sockets are opened by this dashboard's own pages alone."));
    }
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let version = version.as_str().replace('+', "%2B");
    let url = format!(
        "https://object/?project_id={}&version={version}&changes={changes}&is_somebody={is_somebody}{since}",
        project.id
    );
    let mut init = worker::RequestInit::new();
    init.with_headers(request.headers().clone());
    Ok(message::project(env, project.id)?.fetch_with_request(Request::new_with_init(&url, &init)?).await?)
}

// ---- reading and asking ----

pub(crate) fn shown(project: &Project) -> slipway_core::api::Project {
    slipway_core::api::Project { id: project.id, name: project.name.to_string() }
}

pub(crate) fn read(project: &Project, version: &str) -> std::result::Result<ToProject, Problem> {
    Ok(ToProject::release(project.id, parse_version(version)?))
}

/// What an address says after its `?`.
pub(crate) fn pairs(request: &Request) -> std::result::Result<Vec<(String, String)>, Problem> {
    Ok(request.url()?.query_pairs().into_owned().collect())
}

pub(crate) fn parse_version(text: &str) -> std::result::Result<Version, Problem> {
    text.parse().map_err(|error| Problem::new(422, "bad-version", format!("{error}.")))
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, Problem> {
    Ok(slipway_core::body::read(bytes)?)
}

/// Asks the record and reads its JSON; its problems stay what they are.
pub(crate) async fn ask<T: DeserializeOwned>(
    env: &Env,
    project: &Project,
    message: &ToProject,
) -> std::result::Result<T, Problem> {
    let mut answer = tell(&message::project(env, project.id)?, message).await?;
    // As bytes: what a large release costs would be a sixth more by way of a JavaScript string.
    let bytes = answer.bytes().await?;
    match answer.status_code() {
        200 => Ok(serde_json::from_slice(&bytes)?),
        404 => Err(Problem::not_found("such release")),
        status => {
            let text = String::from_utf8_lossy(&bytes);
            Err(worker::Error::RustError(format!("the record answered {status}: {text}")).into())
        }
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
