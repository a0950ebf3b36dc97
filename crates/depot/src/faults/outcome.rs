//! The way of a request through all faults: in, the work or not, and out.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::arrival::{Arrived, arrive};
use super::{Effect, Instead, Point, body, json};
use crate::answer;
use crate::depot::Depot;
use crate::front::drain;

/// The path of a request and the name of its file, when that is in no path; it travels with the answer.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) String);

/// Does the work, unless a fault is set for it; a fault may hide that it was done, or change the answer.
pub(crate) async fn drilled(
    depot: &Depot,
    point: Point,
    request: Request,
    work: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let has_body = request.method() != Method::HEAD;
    let path = request.uri().path().to_owned();
    let address = request.uri().clone();
    let headers = request.headers().clone();
    let mut here = depot.drills.arrived(point);
    let (request, Arrived { busy, back }) = arrive(depot, point, request, here.served).await;
    if matches!(busy, Some((false, _))) {
        here.turn_away();
    }
    let pretence = super::arrival::Pretence::of(&request);
    // A push knows what it is about when it has read all of it, so it asks by itself.
    let overrules = if point == Point::Push { None } else { overrule(depot, point, &path) };
    let mut response = match (busy, overrules) {
        (Some((false, instead)), _) | (_, Some(Effect::Fail(instead))) => {
            // As a proxy does: it takes the whole body before it gives up.
            drain(request).await;
            answer_instead(&instead)
        }
        (Some((true, instead)), _) | (_, Some(Effect::DoThenFail(instead))) => {
            drop(work(request).await);
            answer_instead(&instead)
        }
        _ => {
            let response = work(request).await;
            if point == Point::Push { response } else { overruled_after(depot, point, &path, response) }
        }
    };
    drop(here);
    let subject = response.extensions_mut().remove::<Subject>().map_or(path, |Subject(subject)| subject);
    let met = depot.drills.faults.met(point, (&subject, Some(response.status().as_u16())), false, |fault| {
        fault.effect.follows_the_work() && !matches!(fault.effect, Effect::DoThenFail(_))
    });
    if let Some(page) = pretence.endless_page {
        json::lead_on(depot, &address, page, &mut response);
    }
    let response = json::changed(response, &met).await;
    let mut response = if has_body { body::changed(depot, &headers, response, &met).await } else { response };
    if !back.is_zero() {
        tokio::time::sleep(back).await;
    }
    response.extensions_mut().insert(point);
    response
}

/// The first fault that decides before the work.
fn overrule(depot: &Depot, point: Point, subject: &str) -> Option<Effect> {
    let met = depot.drills.faults.met(point, (subject, None), true, |fault| {
        fault.when.is_none() && matches!(fault.effect, Effect::Fail(_) | Effect::DoThenFail(_))
    });
    met.into_iter().next()
}

/// The first fault that decides when the true answer is known.
fn overruled_after(depot: &Depot, point: Point, subject: &str, response: Response) -> Response {
    let status = response.status().as_u16();
    let met = depot.drills.faults.met(point, (subject, Some(status)), true, |fault| {
        fault.when.is_some() && matches!(fault.effect, Effect::DoThenFail(_))
    });
    match met.first() {
        Some(Effect::DoThenFail(instead)) => answer_instead(instead),
        _ => response,
    }
}

/// The work of a push, unless a fault is set for its file. Its body was read.
pub(crate) async fn overruled(
    depot: &Depot,
    point: Point,
    subject: String,
    work: impl AsyncFnOnce() -> Response,
) -> Response {
    let mut response = match overrule(depot, point, &subject) {
        Some(Effect::Fail(instead)) => answer_instead(&instead),
        Some(Effect::DoThenFail(instead)) => {
            drop(work().await);
            answer_instead(&instead)
        }
        _ => overruled_after(depot, point, &subject, work().await),
    };
    response.extensions_mut().insert(Subject(subject));
    response
}

fn answer_instead(instead: &Instead) -> Response {
    let status = StatusCode::from_u16(instead.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match (&instead.body, status) {
        (Some(Value::String(text)), _) if text.starts_with('<') => answer::text(status, "text/html", text.clone()),
        (Some(Value::String(text)), _) => answer::text(status, "text/plain; charset=utf-8", text.clone()),
        (Some(value), _) => answer::json_value(status, value),
        (None, StatusCode::UNAUTHORIZED) => answer::unauthenticated(),
        (None, StatusCode::NOT_FOUND) => answer::not_found(),
        (None, StatusCode::PAYMENT_REQUIRED) => answer::json_text(status, r#"{"error":["payment required"]}"#),
        (None, StatusCode::UNPROCESSABLE_ENTITY) => answer::taken(),
        (None, StatusCode::TOO_MANY_REQUESTS) => {
            answer::text(status, "text/plain; charset=utf-8", "Bandwidth or Storage Limit Exceeded")
        }
        (None, status) => {
            let reason = status.canonical_reason().unwrap_or("Error");
            let page =
                format!("<html>\n<head><title>{status}</title></head>\n<body><h1>{reason}</h1></body>\n</html>\n");
            answer::text(status, "text/html", page)
        }
    }
}
