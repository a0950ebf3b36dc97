//! HTTP on loopback, with every status an answer.

use std::collections::BTreeMap;

use minreq::{Method, Request, Response};
use serde_json::Value;

/// Longer than the longest poll.
const TIME_OUT_SECONDS: u64 = 60;

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` for no body.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The same, once it is certain that it is a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "answered with {} {}", self.status, self.text());
        self
    }
}

/// Sends a request to a service that runs. Redirects are not followed.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    try_send(method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// Sends a request to a service that may be down.
pub fn try_send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Result<Answer, minreq::Error> {
    send_within(TIME_OUT_SECONDS, method, url, headers, body)
}

/// The same, for an answer that may take so many seconds.
pub fn send_within(
    seconds: u64,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Result<Answer, minreq::Error> {
    let answer = exchange(request(seconds, method, url, headers, body))?;
    Ok(Answer { status: answer.status_code, body: answer.into_bytes() })
}

fn request(seconds: u64, method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Request {
    // Its own word for `HEAD`: minreq knows by it that no body comes.
    let method = if method == "HEAD" { Method::Head } else { Method::Custom(method.to_owned()) };
    let mut request = Request::new(method, url).with_timeout(seconds).with_follow_redirects(false);
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    let body = body.into();
    if body.is_empty() { request } else { request.with_body(body) }
}

/// A connection that ends before a status line is for minreq a 503 without a header. Nobody answered, and it is said so.
fn exchange(request: Request) -> Result<Response, minreq::Error> {
    let answer = request.send()?;
    if answer.headers.is_empty() {
        return Err(minreq::Error::IoError(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)));
    }
    Ok(answer)
}

/// Gets what is at an address, and the headers that it comes with, their names in small letters.
pub fn get(url: &str, headers: &[(&str, &str)]) -> (Answer, BTreeMap<String, String>) {
    send_for_headers("GET", url, headers, "")
}

/// Sends a request to a service that runs, for its answer and the headers that it comes with, their names in small letters.
pub fn send_for_headers(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> (Answer, BTreeMap<String, String>) {
    let answer = exchange(request(TIME_OUT_SECONDS, method, url, headers, body));
    let answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let headers = answer.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    (Answer { status: answer.status_code, body: answer.into_bytes() }, headers)
}
