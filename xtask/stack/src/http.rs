//! The few HTTP calls that a driver of the stack makes on loopback.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minreq::{Method, Request};
use serde_json::Value;

/// No service on loopback takes longer, long polls included.
const TIME_OUT_SECONDS: u64 = 60;

/// `GET`, with a 2xx answer of JSON.
pub fn get_json(url: &str) -> anyhow::Result<Value> {
    json(Method::Get, url, &[], None)
}

/// `GET`, with a 2xx answer of any bytes.
pub fn get_bytes(url: &str) -> anyhow::Result<Vec<u8>> {
    send(Method::Get, url, &[], None)
}

/// The same of what may need a token, which is then the name of who asks.
pub(crate) fn get_bytes_as(token: Option<&str>, url: &str) -> anyhow::Result<Vec<u8>> {
    let shown = token.map(|token| format!("Basic {}", STANDARD.encode(format!("{token}:"))));
    let headers: Vec<_> = shown.iter().map(|shown| ("authorization", shown.as_str())).collect();
    send(Method::Get, url, &headers, None)
}

/// `POST` of JSON, with a 2xx answer of JSON, or of nothing (`null`).
pub fn post_json(url: &str, body: &Value) -> anyhow::Result<Value> {
    json(Method::Post, url, &[], Some(body))
}

/// A call with headers of its own; the answer must be 2xx, and JSON or empty.
pub fn json(method: Method, url: &str, headers: &[(&str, &str)], body: Option<&Value>) -> anyhow::Result<Value> {
    let bytes = send(method, url, headers, body)?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).with_context(|| format!("the answer of {url} is no JSON"))
}

fn send(method: Method, url: &str, headers: &[(&str, &str)], body: Option<&Value>) -> anyhow::Result<Vec<u8>> {
    let said = format!("{method} {url}");
    let mut request = Request::new(method, url).with_timeout(TIME_OUT_SECONDS);
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    if let Some(body) = body {
        request = request.with_header("content-type", "application/json").with_body(body.to_string());
    }
    let answer = request.send().with_context(|| format!("no answer to {said}"))?;
    ensure!(
        (200..300).contains(&answer.status_code),
        "{said} was answered with {} {}",
        answer.status_code,
        String::from_utf8_lossy(answer.as_bytes()).chars().take(600).collect::<String>()
    );
    Ok(answer.into_bytes())
}
