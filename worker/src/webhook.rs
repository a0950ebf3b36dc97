//! `POST /webhooks/gitlab/{project}`: keeps the hint durably, answers 202, works afterwards.
//!
//! A webhook authorises nothing: it names a job or a deployment, and everything else is read from GitLab. Whatever is
//! authentic but not for us is answered with success, since GitLab switches a hook off after four failures.

use slipway_core::config::{Config, Project};
use slipway_core::secret::knows;
use slipway_gitlab::webhook::{Event, InvalidEvent};
use slipway_gitlab::{Signed, SigningToken};
use slipway_ledger::Named;
use worker::{Env, Headers, Request, Response};

use crate::answer::{Answer, Problem};
use crate::fetch::body;
use crate::message::{self, ToProject, tell};
use crate::{clock, settings};

/// GitLab's own limit for a webhook is 25 MB. A Job Hook has a few KB; a Pipeline Hook has about one for each job.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Numbers beyond it are not exact in the ledger. GitLab.com's job ids have 34 bits.
const ID_MAX: u64 = (1 << 53) - 1;

pub(crate) async fn receive(mut request: Request, project: &str, env: &Env, config: &Config) -> Answer {
    // An unknown project and a wrong token or signature are answered alike: a stranger learns nothing.
    let project = config.project(project).ok_or_else(Problem::unauthorised)?;
    let headers = request.headers().clone();
    let body = match &project.signing_token {
        Some(name) => signed(&mut request, &headers, &settings::secret(env, name)?, project).await?,
        None => {
            let token = project.webhook_token.as_ref().ok_or_else(Problem::unauthorised)?;
            if !knows(&header(&headers, "x-gitlab-token"), &settings::secret(env, token)?) {
                return Err(Problem::unauthorised());
            }
            body(&mut request, BODY_BYTES_MAX).await?
        }
    };
    let event = match Event::parse(&body) {
        Ok(event) => event,
        Err(error @ InvalidEvent::NotJson(_)) => {
            return Err(Problem::new(400, "bad-request", format!("The webhook is not understood: {error}.")));
        }
        Err(error @ (InvalidEvent::NoKind | InvalidEvent::Incomplete { .. })) => {
            let why: String = error.to_string().chars().take(200).collect();
            worker::console_warn!("a webhook of project {} is ignored: {why}", project.id);
            return ignored();
        }
    };
    let Some((named, otherwise)) = named(event, project, config) else { return ignored() };
    // GitLab gives each delivery a key and keeps it when a person sends it again; older versions give none.
    let key = |name: &str| Some(header(&headers, name)).filter(|key| !key.is_empty() && key.len() <= 200);
    let delivery = key("webhook-id").or_else(|| key("idempotency-key")).map_or(otherwise, |key| format!("key:{key}"));
    let hints = ToProject::Hints { project_id: project.id, delivery, named };
    let kept = tell(&message::project(env, project.id)?, &hints).await?;
    match kept.status_code() {
        202 => Ok(Response::empty()?.with_status(202)),
        200 => ignored(),
        503 => Err(Problem::new(503, "too-many-hints", "Too many webhooks wait to be looked into.".to_owned())),
        status => Err(worker::Error::RustError(format!("the record answered a hint with {status}")).into()),
    }
}

/// The body of a webhook that is signed as its project's must be. What it says in the open is not looked at: a wrong
/// signature is final.
async fn signed(
    request: &mut Request,
    headers: &Headers,
    secret: &slipway_wire::Token,
    project: &Project,
) -> Result<Vec<u8>, Problem> {
    let token = SigningToken::parse(secret).map_err(|error| worker::Error::RustError(error.to_string()))?;
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| header(headers, name));
    let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature };
    let refused = |error| {
        worker::console_warn!("a webhook of project {} is not believed: {error}", project.id);
        Problem::unauthorised()
    };
    // A stranger's body is not even read.
    SigningToken::precheck(&signed, clock::now().unix_seconds()).map_err(refused)?;
    let body = body(request, BODY_BYTES_MAX).await?;
    token.verify(&signed, &body, clock::now().unix_seconds()).map_err(refused)?;
    Ok(body)
}

fn header(headers: &Headers, name: &str) -> String {
    headers.get(name).ok().flatten().unwrap_or_default()
}

/// What an event names, and what stands for the key of its delivery where GitLab gives none. `None` when nothing can come
/// of it.
fn named(event: Event, project: &Project, config: &Config) -> Option<(Vec<Named>, String)> {
    let job = |id, pipeline_id: Option<u64>, name| {
        (id <= ID_MAX && pipeline_id.is_none_or(|id| id <= ID_MAX)).then_some(Named::Job { id, pipeline_id, name })
    };
    let (named, otherwise) = match event {
        Event::Job(event) if event.project_id == project.id && event.status.is_played() => {
            let otherwise = format!("job:{} {}", event.job_id, event.status);
            (job(event.job_id, event.pipeline_id, event.name).into_iter().collect::<Vec<_>>(), otherwise)
        }
        Event::Pipeline(event) if event.project_id == project.id => {
            let played = event.manual_jobs.into_iter().filter(|job| job.status.is_played());
            let played = played.filter_map(|played| job(played.id, Some(event.pipeline_id), played.name));
            (played.collect(), format!("pipeline:{}", event.pipeline_id))
        }
        Event::Deployment(event)
            if event.project_id == project.id
                && event.status == "success"
                && event.deployment_id <= ID_MAX
                && asked_for(config, project, &event.environment) =>
        {
            let id = event.deployment_id;
            (vec![Named::Deployment { id }], format!("deployment:{id}"))
        }
        Event::Job(_) | Event::Pipeline(_) | Event::Deployment(_) | Event::Other(_) => return None,
    };
    (!named.is_empty()).then_some((named, otherwise))
}

/// Whether a gate asks what runs in an environment.
fn asked_for(config: &Config, project: &Project, environment: &str) -> bool {
    let concerned =
        config.gates.iter().filter(|gate| gate.projects.iter().any(|glob| glob.fits(project.name.as_str())));
    concerned.flat_map(|gate| &gate.deployed).any(|asked| asked == environment)
}

fn ignored() -> Answer {
    Ok(Response::empty()?.with_status(204))
}
