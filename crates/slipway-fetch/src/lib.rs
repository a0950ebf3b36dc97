//! The `Http` adapter of the wasm hosts: the global `fetch` of workerd, browsers and Node.
//!
//! `fetch` is taken from `globalThis`, since only browsers have a `window`. Absent on purpose: following redirects,
//! retries, a pool, and any JavaScript handle that outlives one exchange (workerd ties each to the request that made it).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod text;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use js_sys::{Function, Object, Reflect, Uint8Array};
use slipway_wire::{Http, Request, Response, Unreachable};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, ReadableStream, ReadableStreamDefaultReader, RequestInit, RequestRedirect};

/// How many bytes of an answer's body are held at once. Everything that Slipway takes whole is far smaller (a page of
/// 250 packages is about 300 KB); what may be bigger is read piece by piece.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Sent with every request, so that an operator can tell Slipway's calls from others in a log.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("Slipway/", env!("CARGO_PKG_VERSION")));

/// What takes a body piece by piece; `false` stops it.
type Each<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// Sends requests with the host's `fetch`.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    deadline: Duration,
}

impl Fetch {
    /// An adapter whose every exchange, body included, ends within `deadline`.
    pub const fn new(deadline: Duration) -> Self {
        Self { deadline }
    }

    /// Sends `request`; hands a successful body to `each`, where there is one, and keeps every other body.
    async fn exchange(&self, request: Request, each: Option<Each<'_>>) -> Result<Response, Unreachable> {
        let host = text::host(request.uri());
        // AbortSignal.timeout takes whole milliseconds; a deadline beyond 49 days is none.
        let signal = AbortSignal::timeout_with_u32(u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX));
        let answer = exchange(request, &signal, each).await;
        answer.map_err(|failure| {
            let why = match failure {
                Failure::Thrown(_) if signal.aborted() => format!("not within {} s", self.deadline.as_secs()),
                Failure::Thrown(error) => text::without_addresses(&in_words(&error)),
                Failure::Said(why) => why,
            };
            Unreachable { host, why }
        })
    }
}

impl Http for Fetch {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.exchange(request, None).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.exchange(request, Some(each)).await
    }
}

/// Why there is no answer.
enum Failure {
    /// What the runtime threw.
    Thrown(JsValue),
    /// What this adapter found.
    Said(String),
}

impl From<JsValue> for Failure {
    fn from(error: JsValue) -> Self {
        Self::Thrown(error)
    }
}

async fn exchange(request: Request, signal: &AbortSignal, each: Option<Each<'_>>) -> Result<Response, Failure> {
    let global = js_sys::global();
    let fetch: Function = Reflect::get(&global, &"fetch".into())?
        .dyn_into()
        .map_err(|_| Failure::Said("this JavaScript runtime has no `fetch`".to_owned()))?;
    let url = JsValue::from_str(&request.uri().to_string());
    let init = init(request, signal)?;
    let promise: js_sys::Promise = fetch.call2(&JsValue::UNDEFINED, &url, &init)?.unchecked_into();
    let answer: web_sys::Response = JsFuture::from(promise).await?.unchecked_into();

    // A browser hides redirects that it was told not to follow: status 0 and nothing else.
    let status = StatusCode::from_u16(answer.status())
        .map_err(|_| Failure::Said("the answer is a redirect, which a browser does not show".to_owned()))?;
    let mut body = Vec::new();
    if let Some(stream) = answer.body() {
        match each {
            Some(each) if status.is_success() => pieces(&stream, each).await?,
            _ => {
                let mut fits = true;
                let mut keep = |piece: &[u8]| {
                    fits = body.len() + piece.len() <= BODY_BYTES_MAX;
                    if fits {
                        body.extend_from_slice(piece);
                    }
                    fits
                };
                pieces(&stream, &mut keep).await?;
                if !fits {
                    let why = format!("the answer is too large: status {status}, more than {BODY_BYTES_MAX} bytes");
                    return Err(Failure::Said(why));
                }
            }
        }
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers(&answer.headers())?;
    Ok(response)
}

/// The second argument of `fetch`.
fn init(request: Request, signal: &AbortSignal) -> Result<RequestInit, JsValue> {
    let (mut parts, body) = request.into_parts();
    parts.headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    let headers = Headers::new()?;
    for (name, value) in &parts.headers {
        headers.append(name.as_str(), &text::from_header(value))?;
    }
    let init = RequestInit::new();
    init.set_method(parts.method.as_str());
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(signal));
    if !body.is_empty() {
        // A copy: a view into wasm memory would be cut loose by the next growth of that memory.
        init.set_body(&Uint8Array::from(body.as_slice()));
    }
    Ok(init)
}

/// Every header of an answer that HTTP allows. `fetch` has joined repeated ones by commas.
fn headers(from: &Headers) -> Result<HeaderMap, JsValue> {
    let mut headers = HeaderMap::new();
    for entry in from.entries() {
        let pair: js_sys::Array = entry?.unchecked_into();
        let (Some(name), Some(value)) = (pair.get(0).as_string(), pair.get(1).as_string()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), text::to_header(&value)) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// Reads a body to its end, or until `each` returns `false`; then the rest is told not to come.
async fn pieces(stream: &ReadableStream, each: Each<'_>) -> Result<(), JsValue> {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    loop {
        let piece: Object = JsFuture::from(reader.read()).await?.unchecked_into();
        if Reflect::get(&piece, &"done".into())?.is_truthy() {
            return Ok(());
        }
        let bytes: Uint8Array = Reflect::get(&piece, &"value".into())?.unchecked_into();
        if !each(&bytes.to_vec()) {
            // How the rest ends does not matter any more: what was wanted is here.
            let _ = JsFuture::from(reader.cancel()).await;
            return Ok(());
        }
    }
}

/// What a runtime threw, in its own words. Node hides the reason ("ECONNREFUSED") behind "fetch failed", as `cause`.
fn in_words(error: &JsValue) -> String {
    let message = |value: &JsValue| Reflect::get(value, &"message".into()).ok().and_then(|text| text.as_string());
    let code = |value: &JsValue| Reflect::get(value, &"code".into()).ok().and_then(|text| text.as_string());
    let cause = Reflect::get(error, &"cause".into()).ok().filter(JsValue::is_object);
    let cause = cause.and_then(|cause| message(&cause).filter(|text| !text.is_empty()).or_else(|| code(&cause)));
    match (message(error).or_else(|| error.as_string()), cause) {
        (Some(message), Some(cause)) => format!("{message}: {cause}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "the request failed".to_owned(),
    }
}
