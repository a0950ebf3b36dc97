//! What a project's public repositories have that did not come through Slipway: shown, adopted, looked for now.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use slipway_core::access::Caller;
use slipway_core::api::{AdoptionRequest, Recalled, RecalledRepository, Strangers, SweptRepository};
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

/// Takes back what `shown` gave before a restore: what counted as known since is a stranger again. What is done for one repository stays
/// done when another refuses, and the same list may be sent again.
pub(crate) async fn recall(env: &Env, config: &Config, project: &Project, list: Strangers, by: &Caller) -> Answer {
    let own = config.public_repositories(project.id);
    let is_own =
        |of: &SweptRepository| own.iter().any(|own| own.site.place == of.place && own.site.repository == of.repository);
    if let Some(other) = list.repositories.iter().find(|of| !is_own(of)) {
        let what = format!("`{}` at `{}` is no public repository of this project.", other.repository, other.place);
        return Err(Problem::new(422, "no-list", what));
    }
    if list.repositories.len() > own.len() {
        return Err(Problem::new(422, "no-list", "The list has a repository more than once."));
    }
    let mut repositories = Vec::new();
    for list in list.repositories {
        let account = message::account(env, &list.place)?;
        let recall = ToAccount::Recall { list: Box::new(list), actor: by.to_string() };
        let mut answer = tell(&account, &recall).await?;
        if answer.status_code() != 200 {
            return Ok(answer);
        }
        repositories.push(answer.json::<RecalledRepository>().await?);
    }
    json(200, &Recalled { repositories })
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
