//! `GET /metrics`: what every project, every place, the directory and this isolate count, in the words of Prometheus. For
//! the operator.

use std::time::Duration;

use futures_util::future::{Either, join, join_all, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::config::Config;
use slipway_core::metrics::{CONTENT_TYPE, text};
use slipway_edge::account;
use slipway_edge::measure::{Deployment, MeasuredProject, families};
use worker::{Delay, Env, Response, Stub};

use crate::answer::{Answer, NO_STORE};
use crate::counters;
use crate::message::{self, ToAccount, ToDirectory, ToProject, Turned, ask};

/// How long a part may take to answer. Whoever collects numbers gives up after ten seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn answer(env: &Env, config: &Config) -> Answer {
    let projects = join_all(
        config.projects.iter().map(async |project| (project.name.to_string(), of_project(env, project.id).await)),
    );
    let places = join_all(config.places.keys().map(async |place| (place.clone(), of_place(env, config, place).await)));
    let switch = number::<Turned>(message::directory(env), &ToDirectory::Word);
    let ((projects, places), switch) = join(join(projects, places), switch).await;
    let switch = switch.map(|turned| (turned.word, u64::try_from(turned.untold.len()).unwrap_or(u64::MAX)));
    let limits = config.places.iter().filter_map(|(name, place)| Some((name.clone(), place.storage_limit?.0)));
    let mut all = families(&Deployment { projects, places, limits: limits.collect(), switch });
    all.extend(counters::families());
    let response = Response::ok(text(&all))?;
    response.headers().set("content-type", CONTENT_TYPE)?;
    response.headers().set("cache-control", NO_STORE)?;
    Ok(response)
}

/// The numbers of one project. `None`: it does not answer.
pub(crate) async fn of_project(env: &Env, project_id: u64) -> Option<MeasuredProject> {
    number(message::project(env, project_id), &ToProject::Measure { project_id }).await
}

/// The numbers of one place, without repositories that slipway.toml does not name any more: nobody reads those.
async fn of_place(env: &Env, config: &Config, place: &str) -> Option<account::Measured> {
    let mut measured: account::Measured = number(message::account(env, place), &ToAccount::Measure).await?;
    let named = config.repositories(place);
    measured.repositories.retain(|name, _| named.iter().any(|of| of.site.repository == *name));
    Some(measured)
}

async fn number<T: DeserializeOwned>(stub: worker::Result<Stub>, message: &impl Serialize) -> Option<T> {
    match select(std::pin::pin!(ask::<T>(stub, message)), Delay::from(ANSWERS_WITHIN)).await {
        Either::Left((answer, _)) => answer.ok(),
        Either::Right(_) => None,
    }
}
