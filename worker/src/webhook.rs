//! `POST /webhooks/gitlab/{project}`: keeps the hint durably, answers 202, works afterwards.
//!
//! A webhook authorises nothing: it names a job or a deployment, and everything else is read from GitLab. Whatever is
//! authentic but not for us is answered with success, since GitLab switches a hook off after four failures.

use slipway_core::config::{Config, Project};
use slipway_core::log::{Entry, Event as Told, Level, work};
use slipway_core::secret::knows;
use slipway_edge::hints::named;
use slipway_gitlab::webhook::{Event, InvalidEvent};
use slipway_gitlab::{Signed, SigningToken};
use slipway_ledger::Named;
use worker::{Env, Headers, Request, Response};

use crate::answer::{Answer, Problem};
use crate::fetch::body;
use crate::message::{self, ToProject, tell};
use crate::{clock, log, settings};

/// GitLab's own limit for a webhook is 25 MB. A Job Hook has a few KB; a Pipeline Hook has about one for each job.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(crate) async fn receive(mut request: Request, project: &str, env: &Env, config: &Config) -> Answer {
    // An unknown project and a wrong token or signature are answered alike, and after as much of the body was read: a stranger
    // learns nothing.
    let project = config.project(project);
    let headers = request.headers().clone();
    let token = project.filter(|project| project.signing_token.is_none()).and_then(|of| of.webhook_token.as_ref());
    let is_known = match token {
        Some(token) => knows(&header(&headers, "x-gitlab-token"), &settings::secret(env, token)?),
        None => false,
    };
    let body = if is_known {
        body(&mut request, BODY_BYTES_MAX).await?
    } else {
        signed(&mut request, &headers, env, project).await?
    };
    let project = project.ok_or_else(Problem::unauthorised)?;
    let event = match Event::parse(&body) {
        Ok(event) => event,
        Err(error @ InvalidEvent::NotJson(_)) => {
            return Err(Problem::new(400, "bad-request", format!("The webhook is not understood: {error}.")));
        }
        Err(error @ (InvalidEvent::NoKind | InvalidEvent::Incomplete { .. })) => {
            let why: String = error.to_string().chars().take(200).collect();
            crate::log::trouble!(of project.id, "a webhook is ignored: {why}");
            return ignored();
        }
    };
    let Some((named, otherwise)) = named(event, project, config) else { return ignored() };
    // GitLab gives each delivery a key and keeps it when a person sends it again; older versions give none.
    let key = |name: &str| Some(header(&headers, name)).filter(|key| !key.is_empty() && key.len() <= 200);
    let delivery = key("webhook-id").or_else(|| key("idempotency-key")).map_or(otherwise, |key| format!("key:{key}"));
    for named in &named {
        if let Named::Job { id, .. } = named {
            log::write(&Entry {
                work: Some(work(project.id, *id)),
                project: Some(project.id),
                ..Entry::of(Level::Info, Told::Hint)
            });
        }
    }
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
/// signature is final. Where no project of the name signs its webhooks, nothing is signed as it must be.
async fn signed(
    request: &mut Request,
    headers: &Headers,
    env: &Env,
    project: Option<&Project>,
) -> Result<Vec<u8>, Problem> {
    let signing = project.and_then(|project| Some((project, project.signing_token.as_ref()?)));
    let key = match signing {
        Some((_, name)) => {
            let secret = settings::secret(env, name)?;
            Some(SigningToken::parse(&secret).map_err(|error| worker::Error::RustError(error.to_string()))?)
        }
        None => None,
    };
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| header(headers, name));
    let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature };
    let refused = |why: String| {
        if let Some((project, _)) = signing {
            crate::log::trouble!(of project.id, "a webhook is not believed: {why}");
        }
        Problem::unauthorised()
    };
    // A stranger's body is not even read.
    SigningToken::precheck(&signed, clock::now().unix_seconds()).map_err(|error| refused(error.to_string()))?;
    // One that is too long is nobody's yet, so it is no more than unknown.
    let body = body(request, BODY_BYTES_MAX).await.map_err(|problem| refused(problem.detail))?;
    let key = key.ok_or_else(Problem::unauthorised)?;
    key.verify(&signed, &body, clock::now().unix_seconds()).map_err(|error| refused(error.to_string()))?;
    Ok(body)
}

fn header(headers: &Headers, name: &str) -> String {
    headers.get(name).ok().flatten().unwrap_or_default()
}

fn ignored() -> Answer {
    Ok(Response::empty()?.with_status(204))
}
