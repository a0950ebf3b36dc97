//! The first listener: the API under `/api/v1`, repositories and downloads everywhere else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::StreamExt as _;

use crate::answer;
use crate::clock::Moment;
use crate::depot::Depot;
use crate::drills::Seen;
use crate::faults::Point;
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
    let point = response.extensions().get::<Point>().copied();
    depot.drills.saw(Seen { status: response.status().as_u16(), point, ..seen });
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
        point: None,
        had_authorization: request.headers().contains_key(axum::http::header::AUTHORIZATION),
        status: 0,
    }
}

/// Reads a body to its end, so that a client that is still sending sees the answer.
pub(crate) async fn drain(request: Request) {
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
}
