//! What a project's public repositories have that did not come through Slipway: shown, adopted, looked for now.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use slipway_core::access::Caller;
use slipway_core::api::{AdoptionRequest, Strangers, SweptRepository};
use slipway_core::config::{Config, Project};
use slipway_edge::port::Silent;
use worker::{Env, Response};

use crate::answer::{Answer, Problem, json};
use crate::message::{self, ToAccount, ask, tell};

/// Each public repository of the project, as it was last read.
pub(crate) async fn shown(env: &Env, config: &Config, project: &Project) -> Answer {
    let asked = config.public_repositories(project.id).into_iter().map(async |of| {
        let (place, repository) = (of.site.place.clone(), of.site.repository);
        let strangers = ToAccount::Strangers { place, repository, project_id: project.id };
        ask::<SweptRepository>(message::account(env, &of.site.place), &strangers).await
    });
    let repositories =
        join_all(asked).await.into_iter().collect::<Result<Vec<_>, Silent>>().map_err(|silent| unasked(&silent))?;
    json(200, &Strangers { repositories })
}

/// Takes strangers for known.
pub(crate) async fn adopt(
    env: &Env,
    config: &Config,
    project: &Project,
    asked: AdoptionRequest,
    by: &Caller,
) -> Answer {
    let is_own =
        |of: &slipway_core::sweep::Repository| of.site.place == asked.place && of.site.repository == asked.repository;
    if !config.public_repositories(project.id).iter().any(is_own) {
        return Err(Problem::not_found("such public repository of this project"));
    }
    if asked.reason.trim().is_empty() {
        return Err(Problem::new(422, "no-reason", "Say in `reason` why they may stay; the audit keeps it."));
    }
    let account = message::account(env, &asked.place)?;
    Ok(tell(&account, &ToAccount::Adopt { asked: Box::new(asked), actor: by.to_string() }).await?)
}

/// Has every repository of the project read whole now, staging too.
pub(crate) async fn sweep(env: &Env, config: &Config, project: &Project) -> Answer {
    let mut places: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for place in config.places.keys() {
        let of = config.repositories(place).into_iter().filter(|of| of.projects.contains(&project.id));
        places.entry(place).or_default().extend(of.map(|of| of.site.repository));
    }
    places.retain(|_, repositories| !repositories.is_empty());
    for (place, repositories) in places {
        let sweep = ToAccount::Sweep { place: place.clone(), repositories };
        ask::<()>(message::account(env, place), &sweep).await.map_err(|silent| unasked(&silent))?;
    }
    Ok(Response::empty()?.with_status(202))
}

fn unasked(silent: &Silent) -> Problem {
    Problem::new(503, "silent", format!("Cannot ask who reads the repositories: {silent}. Try again."))
}
