//! `POST /webhooks/gitlab/{project}`: keeps the hint durably, answers 202, works afterwards.
//!
//! A webhook authorises nothing: it names a job, and everything else is read from GitLab. Whatever is authentic but not
//! for us is answered with success, since GitLab switches a hook off after four failures.

use slipway_core::config::Config;
use slipway_core::secret::knows;
use slipway_gitlab::webhook::{Event, InvalidEvent};
use worker::{Env, Request, Response};

use crate::answer::{Answer, Problem};
use crate::fetch::body;
use crate::message::{self, ToProject, tell};
use crate::settings;

/// GitLab's own limit for a webhook is 25 MB; a Job Hook has a few KB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Numbers beyond it are not exact in the ledger. GitLab.com's job ids have 34 bits.
const ID_MAX: u64 = (1 << 53) - 1;

pub(crate) async fn receive(mut request: Request, project: &str, env: &Env, config: &Config) -> Answer {
    // An unknown project and a wrong token are answered alike: a stranger learns nothing.
    let project = config.project(project).ok_or_else(Problem::unauthorised)?;
    let given = request.headers().get("x-gitlab-token")?.unwrap_or_default();
    // Where a project's webhooks are signed, the token that is sent in the open proves nothing.
    let token = project.webhook_token.as_ref().filter(|_| project.signing_token.is_none());
    let token = settings::secret(env, token.ok_or_else(Problem::unauthorised)?)?;
    if !knows(&given, &token) {
        return Err(Problem::unauthorised());
    }
    let body = body(&mut request, BODY_BYTES_MAX).await?;
    let job = match Event::parse(&body) {
        Ok(Event::Job(job)) if job.project_id == project.id && job.status.is_played() && job.job_id <= ID_MAX => job,
        Ok(Event::Job(_) | Event::Other(_)) => return ignored(),
        Err(error @ InvalidEvent::NotJson(_)) => {
            return Err(Problem::new(400, "bad-request", format!("The webhook is not understood: {error}.")));
        }
        Err(error @ (InvalidEvent::NoKind | InvalidEvent::Job(_))) => {
            let why: String = error.to_string().chars().take(200).collect();
            worker::console_warn!("a webhook of project {} is ignored: {why}", project.id);
            return ignored();
        }
    };
    // GitLab gives each delivery a key and keeps it when a person sends it again; older versions give none.
    let header =
        |name: &str| request.headers().get(name).ok().flatten().filter(|key| !key.is_empty() && key.len() <= 200);
    let delivery = header("idempotency-key")
        .or_else(|| header("webhook-id"))
        .map_or_else(|| format!("job:{} {}", job.job_id, job.status), |key| format!("key:{key}"));
    let hint = ToProject::Hint { project_id: project.id, delivery, job_id: job.job_id };
    let kept = tell(&message::project(env, project.id)?, &hint).await?;
    if kept.status_code() != 202 {
        return Err(worker::Error::RustError(format!("the record answered a hint with {}", kept.status_code())).into());
    }
    Ok(Response::empty()?.with_status(202))
}

fn ignored() -> Answer {
    Ok(Response::empty()?.with_status(204))
}
