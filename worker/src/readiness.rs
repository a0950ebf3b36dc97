//! Whether this deployment has what it needs.

use std::cell::{Cell, RefCell};
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
/// How long it is told again that the edge is ready. Anybody may ask, and each look asks the one object by which people sign out.
const READY_FOR: Duration = Duration::from_secs(1);
/// How long one of them may take.
const LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    static FOUND: RefCell<Option<(Timestamp, Readiness)>> = const { RefCell::new(None) };
    /// When it was ready last, and whether it was stopped.
    static READY: Cell<Option<(Timestamp, bool)>> = const { Cell::new(None) };
}

/// Ready means: the configuration and every secret that it names are there, and what is to be signed can be. What is missing is
/// for the log and for the operator alone.
pub(crate) async fn ready(env: &Env, config: &Config) -> Answer {
    let not_ready = |why: &str| {
        crate::log::trouble!("not ready: {why}");
        Problem::new(503, "not-ready", "The edge is not ready; its log says why.")
    };
    let now = clock::now();
    let known = READY.get().filter(|(at, _)| *at <= now && now.since(*at) < READY_FOR);
    if let Some((_, is_stopped)) = known {
        return said(is_stopped);
    }
    lacks_nothing(env, config).await.map_err(|why| not_ready(&why))?;
    // Being stopped is what an operator wanted, so it is no failure; who has stopped it, and why, is for those alone who may
    // read.
    let turned: Turned =
        ask(message::directory(env), &ToDirectory::Word).await.map_err(|silent| not_ready(&silent.to_string()))?;
    let is_stopped = turned.word.stopped.is_some();
    READY.set(Some((now, is_stopped)));
    said(is_stopped)
}

fn said(is_stopped: bool) -> Answer {
    Ok(Response::ok(if is_stopped { "ready, stopped\n" } else { "ready\n" })?)
}

/// The switch was turned here: the next look is a new one.
pub(crate) fn forget() {
    READY.set(None);
}

async fn lacks_nothing(env: &Env, config: &Config) -> Result<(), String> {
    let said = |error: worker::Error| error.to_string();
    settings::edge_key(env).map_err(said)?;
    let public = config.gitlab.keys.as_deref();
    for name in readiness::names(config) {
        if public == Some(name) { settings::text(env, name) } else { settings::secret(env, name) }.map_err(said)?;
    }
    // A key that is set and cannot be used lets heads and attestations wait, which nobody would see.
    signing::key(env).await.map(drop).map_err(|error| error.to_string())
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
