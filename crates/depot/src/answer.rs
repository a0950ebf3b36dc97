//! Answers in packagecloud's words.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

pub(crate) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn json_text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = text(status, "application/json; charset=utf-8", body);
    let cache = if status.is_success() { "max-age=0, private, must-revalidate" } else { "no-cache" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

pub(crate) fn json_value(status: StatusCode, value: &Value) -> Response {
    json_text(status, value.to_string())
}

/// Not there, or not to be seen by this token: the recorded body has that space.
pub(crate) fn not_found() -> Response {
    json_text(StatusCode::NOT_FOUND, r#"{"error": "not_found"}"#)
}

pub(crate) fn unauthenticated() -> Response {
    let mut response = json_text(StatusCode::UNAUTHORIZED, r#"{"error":"Unauthenticated"}"#);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"depot\""));
    response
}

/// A validation error: the field, and what is wrong with it.
pub(crate) fn invalid(field: &str, message: &str) -> Response {
    json_value(StatusCode::UNPROCESSABLE_ENTITY, &json!({field: [message]}))
}

pub(crate) fn taken() -> Response {
    invalid("filename", "has already been taken")
}

/// A package that is to be deleted or promoted is not there.
pub(crate) fn no_such_file() -> Response {
    json_value(StatusCode::NOT_FOUND, &json!({"filename": ["not found"]}))
}

/// Something here is broken. The reason goes to the log, since it may name files of this machine.
pub(crate) fn broken(doing: &str, error: &dyn std::error::Error) -> Response {
    let mut reasons = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        reasons.push(source.to_string());
        next = source.source();
    }
    eprintln!("depot: cannot {doing}: {}", reasons.join(": "));
    let body = json!({"error": format!("cannot {doing}; the server's log says why")});
    json_value(StatusCode::INTERNAL_SERVER_ERROR, &body)
}
