//! Failures on demand, and a list of the requests that came in. Both are in memory only.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{clock::Moment, server, server::Gitlab};

/// The newest requests are kept.
const KEPT_REQUESTS: usize = 10_000;

/// Some requests that will fail.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    on: Place,
    #[serde(default = "one")]
    times: u32,
    #[serde(default = "unavailable")]
    status: u16,
    #[serde(default)]
    effect: Effect,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

fn unavailable() -> u16 {
    503
}

/// Which requests.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    /// The REST API.
    Api,
    /// Playing a job through the REST API.
    Play,
    /// Discovery and the key set.
    Keys,
}

impl Place {
    fn contains(self, path: &str) -> bool {
        match self {
            Self::Api => path.starts_with("/api/"),
            Self::Play => path.starts_with("/api/") && path.ends_with("/play"),
            Self::Keys => path.starts_with("/oauth/discovery/") || path.starts_with("/.well-known/"),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Effect {
    #[default]
    Fail,
    /// The case that matters: the work is done, and the caller does not learn it.
    DoThenFail,
}

/// A request that came in on the main listener.
#[derive(Clone, Debug, Serialize)]
struct Seen {
    at: String,
    method: String,
    path: String,
    had_token: bool,
    status: u16,
}

#[derive(Default)]
pub(super) struct Faults {
    waiting: Mutex<Vec<Fault>>,
    seen: Mutex<VecDeque<Seen>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        locked(&self.waiting).push(fault);
    }

    pub(super) fn clear(&self) {
        locked(&self.waiting).clear();
    }

    fn take(&self, path: &str) -> Option<Fault> {
        let mut waiting = locked(&self.waiting);
        waiting.retain(|fault| fault.times > 0);
        let fault = waiting.iter_mut().find(|fault| fault.on.contains(path))?;
        fault.times -= 1;
        Some(fault.clone())
    }

    pub(super) fn requests(&self) -> Response {
        server::json(StatusCode::OK, &*locked(&self.seen))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The layer around the main listener's routes.
pub(super) async fn inject(State(gitlab): State<Arc<Gitlab>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut seen = Seen {
        at: Moment::now().iso(),
        method: request.method().to_string(),
        path: request.uri().path_and_query().map_or_else(|| path.clone(), ToString::to_string),
        had_token: ["private-token", "authorization", "job-token"]
            .iter()
            .any(|name| request.headers().contains_key(*name)),
        status: 0,
    };
    let response = match gitlab.faults.take(&path) {
        None => next.run(request).await,
        Some(fault) => {
            if fault.effect == Effect::DoThenFail {
                next.run(request).await;
            }
            failure(&fault)
        }
    };
    seen.status = response.status().as_u16();
    let mut list = locked(&gitlab.faults.seen);
    if list.len() == KEPT_REQUESTS {
        list.pop_front();
    }
    list.push_back(seen);
    drop(list);
    response
}

fn failure(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let reason = status.canonical_reason().unwrap_or("Failure");
    let mut response =
        server::json(status, &json!({ "message": format!("{} {reason}", status.as_u16()) })).into_response();
    for (name, value) in &fault.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
