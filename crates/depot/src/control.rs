//! The control listener, on loopback only: tests read what was accepted and asked, and order faults.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access::Seed;
use crate::answer;
use crate::api::small_body;
use crate::depot::Depot;
use crate::distributions::Ids;
use crate::faults::{Fault, Point};
use crate::query::path_parts;

#[derive(Deserialize)]
struct IndexDelay {
    ms: u64,
}

#[derive(Deserialize)]
struct NewIds {
    table: String,
}

#[derive(Deserialize)]
struct Latency {
    each_way_ms: u64,
}

#[derive(Deserialize)]
struct LinkLife {
    seconds: u64,
}

#[derive(Deserialize)]
struct NewGate {
    on: Point,
    filename: String,
    after_bytes: u64,
}

/// Why a control request is refused: the status and the sentence.
type Refusal = (StatusCode, String);

pub(crate) async fn answer(State(depot): State<Arc<Depot>>, request: Request) -> Response {
    match route(&depot, request).await {
        Ok(value) => answer::json_value(StatusCode::OK, &value),
        Err((status, why)) => answer::json_value(status, &json!({"error": why})),
    }
}

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let text = small_body(request).await.unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| (StatusCode::BAD_REQUEST, format!("the body cannot be used: {error}")))
}

async fn route(depot: &Arc<Depot>, request: Request) -> Result<Value, Refusal> {
    let unknown = (StatusCode::NOT_FOUND, format!("there is no {} {}", request.method(), request.uri().path()));
    let parts = path_parts(request.uri().path()).unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let method = request.method().clone();
    let listed = |list: Result<Value, serde_json::Error>| {
        list.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    };
    match (method, parts.as_slice()) {
        (Method::GET, ["_control", "journal"]) => listed(serde_json::to_value(depot.store.state().journal.entries())),
        (Method::GET, ["_control", "requests"]) => listed(serde_json::to_value(depot.drills.requests())),
        (Method::GET, ["_control", "counts"]) => Ok(depot.drills.counts()),
        (Method::DELETE, ["_control", "counts"]) => {
            depot.drills.reset_counts();
            Ok(json!({}))
        }
        (Method::GET, ["_control", "faults"]) => Ok(depot.drills.faults.all().into()),
        (Method::POST, ["_control", "faults"]) => {
            let text = small_body(request).await.unwrap_or_default();
            let fault = Fault::from_json(&text)
                .map_err(|why| (StatusCode::BAD_REQUEST, format!("the fault cannot be used: {why}")))?;
            Ok(json!({"id": depot.drills.faults.add(fault)}))
        }
        (Method::DELETE, ["_control", "faults"]) => {
            depot.drills.faults.clear(None);
            depot.store.arrive_all();
            Ok(json!({}))
        }
        (Method::DELETE, ["_control", "faults", id]) => {
            let cleared = id.parse().is_ok_and(|id| depot.drills.faults.clear(Some(id)));
            depot.store.changed.notify_one();
            if cleared { Ok(json!({})) } else { Err((StatusCode::NOT_FOUND, format!("there is no fault {id}"))) }
        }
        (Method::POST, ["_control", "ids"]) => {
            let NewIds { table } = body(request).await?;
            let ids: Ids = table.parse().map_err(|why| (StatusCode::BAD_REQUEST, why))?;
            *depot.ids.lock().unwrap_or_else(PoisonError::into_inner) = ids;
            Ok(json!({"table": table}))
        }
        (Method::POST, ["_control", "index-delay"]) => {
            let IndexDelay { ms } = body(request).await?;
            depot.store.state().index_delay_ms = ms;
            Ok(json!({"ms": ms}))
        }
        (Method::POST, ["_control", "latency"]) => {
            let Latency { each_way_ms } = body(request).await?;
            depot.drills.distance.set(Duration::from_millis(each_way_ms));
            Ok(json!({"each_way_ms": each_way_ms}))
        }
        (Method::POST, ["_control", "link-life"]) => {
            let LinkLife { seconds } = body(request).await?;
            depot.link_seconds.store(seconds, Ordering::Relaxed);
            Ok(json!({"seconds": seconds}))
        }
        (Method::POST, ["_control", "seed"]) => {
            let seed: Seed = body(request).await?;
            let depot = depot.clone();
            let applied = tokio::task::spawn_blocking(move || depot.store.seed(&seed)).await;
            match applied {
                Ok(Ok(())) => Ok(json!({})),
                Ok(Err(error)) => Err((StatusCode::UNPROCESSABLE_ENTITY, error.to_string())),
                Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
            }
        }
        (Method::POST, ["_control", "gates"]) => {
            let gate: NewGate = body(request).await?;
            if gate.on != Point::Download {
                return Err((StatusCode::BAD_REQUEST, "only a `download` can be held".to_owned()));
            }
            Ok(json!({"id": depot.drills.add_gate(gate.filename, gate.after_bytes)}))
        }
        (Method::GET, ["_control", "gates", id]) => {
            let gate = id.parse().ok().and_then(|id| depot.drills.gate(id));
            gate.map(|gate| json!({"reached": gate.reached()}))
                .ok_or((StatusCode::NOT_FOUND, format!("there is no gate {id}")))
        }
        (Method::DELETE, ["_control", "gates", id]) => {
            let opened = id.parse().is_ok_and(|id| depot.drills.open_gate(id));
            if opened { Ok(json!({})) } else { Err((StatusCode::NOT_FOUND, format!("there is no gate {id}"))) }
        }
        _ => Err(unknown),
    }
}
