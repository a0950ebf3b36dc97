//! Whether this deployment has what it needs.

use std::cell::RefCell;
use std::time::Duration;

use slipway_core::api::Readiness;
use slipway_core::config::Config;
use slipway_core::readiness;
use slipway_core::time::Timestamp;
use slipway_fetch::Fetch;
use worker::{Env, Response};

use crate::answer::{Answer, Problem, secret_json};
use crate::message::{self, ToDirectory, Turned, ask};
use crate::{clock, settings, signing};

/// How long what was found is told again. Each look asks GitLab and the package servers once for each of their tokens.
const AGE_MAX: Duration = Duration::from_mins(1);
/// How long one of them may take.
const LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    static FOUND: RefCell<Option<(Timestamp, Readiness)>> = const { RefCell::new(None) };
}

/// Ready means: the configuration and every secret that it names are there, and what is to be signed can be.
pub(crate) async fn ready(env: &Env, config: &Config) -> Answer {
    settings::edge_key(env)?;
    let public = config.gitlab.keys.as_deref();
    for name in readiness::names(config) {
        if public == Some(name) {
            settings::text(env, name)?;
        } else {
            settings::secret(env, name)?;
        }
    }
    // One that is set and cannot be used lets heads and attestations wait, which nobody would see. Why is for the log alone.
    if let Err(error) = signing::key(env).await {
        crate::log::trouble!("the signing key cannot be used: {error}");
        return Err(Problem::new(503, "not-ready", "The edge is not ready; its log says why."));
    }
    // Being stopped is what an operator wanted, so it is no failure; who has stopped it, and why, is for those alone who may
    // read.
    let turned: Turned = ask(message::directory(env), &ToDirectory::Word)
        .await
        .map_err(|silent| Problem::new(503, "not-ready", format!("{silent}.")))?;
    Ok(Response::ok(if turned.word.stopped.is_some() { "ready, stopped\n" } else { "ready\n" })?)
}

/// What is to be said of each secret, for the operator.
pub(crate) async fn secrets(env: &Env, config: &Config) -> Answer {
    let now = clock::now();
    let known = FOUND.with_borrow(Clone::clone);
    if let Some((at, found)) = known
        && at <= now
        && now.since(at) < AGE_MAX
    {
        return secret_json(200, &found);
    }
    let secret = |name: &str| {
        let is_public = config.gitlab.keys.as_deref() == Some(name);
        if is_public { settings::text(env, name) } else { settings::secret(env, name) }.ok()
    };
    let found = readiness::examine(&Fetch::new(LIMIT), config, secret, now).await;
    FOUND.with_borrow_mut(|kept| *kept = Some((now, found.clone())));
    secret_json(200, &found)
}
