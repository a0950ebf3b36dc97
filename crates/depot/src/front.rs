//! The first listener: the API under `/api/v1`, repositories and downloads everywhere else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt as _;

use crate::answer;
use crate::clock::Moment;
use crate::depot::Depot;
use crate::drills::{Effect, Fault, Point, Seen};
use crate::paging::PER_PAGE_MAX;
use crate::query::path_parts;
use crate::store::random_u128;
use crate::{api, consumer};

pub(crate) async fn answer(State(depot): State<Arc<Depot>>, request: Request) -> Response {
    let began = Moment::now();
    let seen = seen("api", &request);
    let mut response = route(&depot, request).await;
    let runtime = Moment::now().ms_since(began);
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-request-id", format!("{:032x}", random_u128())),
        ("x-runtime", format!("{}.{:03}000", runtime / 1000, runtime % 1000)),
        ("max-per-page", PER_PAGE_MAX.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.entry(HeaderName::from_static(name)).or_insert(value);
        }
    }
    depot.drills.saw(Seen { status: response.status().as_u16(), ..seen });
    response
}

async fn route(depot: &Arc<Depot>, request: Request) -> Response {
    let Some(parts) = path_parts(request.uri().path()) else { return answer::not_found() };
    let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let ["api", "v1", rest @ ..] = parts.as_mut_slice() {
        if let Some(last) = rest.last_mut() {
            *last = last.strip_suffix(".json").unwrap_or(last);
        }
        return api::answer(depot, rest, request).await;
    }
    consumer::answer(depot, &parts, request).await
}

/// What is remembered of a request, before it is answered.
pub(crate) fn seen(listener: &'static str, request: &Request) -> Seen {
    let path = request.uri().path();
    // A read token may be a part of the path.
    let path = match path.strip_prefix("/priv/").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => format!("/priv/…/{rest}"),
        None => path.to_owned(),
    };
    Seen {
        listener,
        at: Moment::now().iso(),
        method: request.method().to_string(),
        path,
        had_authorization: request.headers().contains_key(axum::http::header::AUTHORIZATION),
        status: 0,
    }
}

/// Does the work, unless a fault is set for it; a fault may hide that it was done.
pub(crate) async fn drilled(
    depot: &Depot,
    point: Option<Point>,
    request: Request,
    work: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let path = request.uri().path();
    match point.and_then(|point| depot.drills.meet(point, path)) {
        None => work(request).await,
        Some(fault) => {
            match fault.effect {
                Effect::DoThenFail => drop(work(request).await),
                // As a proxy does: it takes the whole body before it gives up.
                Effect::Fail => drain(request).await,
            }
            fault_answer(&fault)
        }
    }
}

/// Reads a body to its end, so that a client that is still sending sees the answer.
pub(crate) async fn drain(request: Request) {
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
}

fn fault_answer(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("Error");
    match status {
        StatusCode::UNAUTHORIZED => answer::unauthenticated(),
        StatusCode::NOT_FOUND => answer::not_found(),
        StatusCode::PAYMENT_REQUIRED => answer::json_text(status, r#"{"error":["payment required"]}"#),
        StatusCode::TOO_MANY_REQUESTS => {
            answer::text(status, "text/plain; charset=utf-8", "Bandwidth or Storage Limit Exceeded")
        }
        _ => {
            let page =
                format!("<html>\n<head><title>{status}</title></head>\n<body><h1>{reason}</h1></body>\n</html>\n");
            answer::text(status, "text/html", page)
        }
    }
}
