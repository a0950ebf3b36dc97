//! `/api/v1/stop`: the switch that stops everything, and `…/projects/{project}/stop`, that of one project. For the operator.
//!
//! The answer says which projects have heard of it: as long as one has not, what it has begun may go on.

use futures_util::future::join_all;
use slipway_core::api::{self, StopRequest, Switch, SwitchedProject};
use slipway_core::config::{Config, Project};
use slipway_core::stop::Stopped;
use slipway_edge::changes::reasoned;
use worker::{Env, Method};

use crate::answer::{Answer, Problem, json};
use crate::fetch::parse;
use crate::message::{self, ToDirectory, ToProject, Turned, ask};
use crate::readiness;

/// Who turns the switch, as the audit names them.
const BY: &str = "operator";

/// `GET` says how the switch stands, `POST` stops everything, `DELETE` starts it again.
pub(crate) async fn everything(method: &Method, body: &[u8], env: &Env, config: &Config) -> Answer {
    let asked = if *method == Method::Get {
        ToDirectory::Word
    } else {
        let StopRequest { reason } = parse(body)?;
        let reason = reasoned(&reason).map_err(Problem::from)?.to_owned();
        let projects = config.projects.iter().map(|project| project.id).collect();
        ToDirectory::Turn { is_stopped: *method == Method::Post, by: BY.to_owned(), reason, projects }
    };
    let turned: Turned = ask(message::directory(env), &asked).await?;
    readiness::forget();
    let projects = join_all(config.projects.iter().map(async |project| {
        let asked = ToProject::Stopped { project_id: project.id };
        let stopped = ask::<Option<Stopped>>(message::project(env, project.id), &asked).await;
        SwitchedProject {
            project: api::Project { id: project.id, name: project.name.to_string() },
            // Whoever answers that nothing is stopped has not heard of a stop.
            has_heard: stopped.as_ref().is_ok_and(|own| own.is_some() || turned.word.stopped.is_none())
                && !turned.untold.contains(&project.id),
            stopped: stopped.ok().flatten().as_ref().map(Stopped::shown),
        }
    }));
    let projects = projects.await;
    // What has not heard goes on: that is no success, and the caller has to see it.
    let all_heard = projects.iter().all(|project| project.has_heard);
    let stopped = turned.word.stopped.as_ref().map(Stopped::shown);
    json(if all_heard { 200 } else { 202 }, &Switch { stopped, projects })
}

/// `POST` stops one project, `DELETE` starts it again.
pub(crate) async fn one(is_stopped: bool, body: &[u8], env: &Env, project: &Project) -> Answer {
    let StopRequest { reason } = parse(body)?;
    let reason = reasoned(&reason).map_err(Problem::from)?.to_owned();
    let turn = ToProject::Switch { project_id: project.id, is_stopped, by: BY.to_owned(), reason };
    Ok(message::tell(&message::project(env, project.id)?, &turn).await?)
}
