//! Faults in what an answer says: members of JSON, headers, the status, and lists without end.

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;

use super::Effect;
use super::arrival::EndlessPage;
use crate::depot::Depot;
use crate::query::Query;

/// The longest answer that is JSON: a page of 250 packages has some 500 KB.
const JSON_BYTES_MAX: usize = 64 << 20;

pub(super) async fn changed(mut response: Response, met: &[Effect]) -> Response {
    let says = || {
        met.iter().filter_map(|effect| match effect {
            Effect::Say { field, value, filename } => Some((field, value, filename.as_ref())),
            _ => None,
        })
    };
    let is_json =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json && says().next().is_some() {
        let (mut parts, body) = response.into_parts();
        let text = to_bytes(body, JSON_BYTES_MAX).await.unwrap_or_default();
        let body = match serde_json::from_slice::<Value>(&text) {
            Ok(mut json) => {
                for (field, value, filename) in says() {
                    say(&mut json, field, value, filename.map(String::as_str));
                }
                Body::from(json.to_string())
            }
            Err(_) => Body::from(text),
        };
        parts.headers.remove(CONTENT_LENGTH);
        response = Response::from_parts(parts, body);
    }
    for effect in met {
        match effect {
            Effect::Status { status } => {
                *response.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Effect::Header { name, value } => {
                let Ok(name) = HeaderName::try_from(name) else { continue };
                match value.as_ref().map(HeaderValue::try_from) {
                    Some(Ok(value)) => drop(response.headers_mut().insert(name, value)),
                    Some(Err(_)) | None => drop(response.headers_mut().remove(name)),
                }
            }
            _ => {}
        }
    }
    response
}

fn say(json: &mut Value, field: &str, value: &Value, filename: Option<&str>) {
    match json {
        Value::Array(list) => list.iter_mut().for_each(|one| say(one, field, value, filename)),
        Value::Object(object)
            if filename.is_none_or(|wanted| object.get("filename").is_some_and(|known| known == wanted)) =>
        {
            object.insert(field.to_owned(), value.clone());
        }
        _ => {}
    }
}

/// Names a next page, whatever there is.
pub(super) fn lead_on(depot: &Depot, address: &Uri, page: EndlessPage, response: &mut Response) {
    let query = Query::parse(address.query().unwrap_or_default());
    let next = if page.cyclic { 1 } else { page.number + 1 };
    let query = query.with("page", &next.to_string()).encoded();
    let link = format!("<{}{}?{query}>; rel=\"next\"", depot.url, address.path());
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LINK, link);
    }
}
