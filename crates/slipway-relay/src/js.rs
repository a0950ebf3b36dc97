//! What JavaScript has no Rust words for: its `fetch`, its errors, and waiting for it with a limit.

use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable, Either, select};
use http::{HeaderMap, Uri, header};
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, ReadableStream, RequestInit, RequestRedirect};
use worker::Delay;

/// Sent with every request, so that an operator can tell Slipway's calls from others in a log.
const USER_AGENT: &str = concat!("Slipway/", env!("CARGO_PKG_VERSION"));

/// Begins a request.
pub(crate) fn fetch(
    url: &Uri,
    method: &str,
    headers: &HeaderMap,
    body: Option<&ReadableStream>,
    signal: &AbortSignal,
) -> Result<JsFuture, JsValue> {
    let own = Headers::new()?;
    own.set("user-agent", USER_AGENT)?;
    for (name, value) in headers {
        // The stream's own length is sent; set by hand it would be ignored.
        if name != header::CONTENT_LENGTH {
            let value = value.to_str().map_err(|_| JsValue::from(format!("the header {name} is not text")))?;
            own.set(name.as_str(), value)?;
        }
    }
    let init = RequestInit::new();
    init.set_method(method);
    init.set_headers(&own);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(signal));
    if let Some(body) = body {
        init.set_body(body);
    }
    let fetch: Function = get(&js_sys::global(), "fetch")?.dyn_into()?;
    let promise: Promise = fetch.call2(&JsValue::UNDEFINED, &url.to_string().into(), &init)?.dyn_into()?;
    Ok(promise.into())
}

/// Waits for a side of the copy, but not for ever.
pub(crate) async fn patient<Side>(what: &str, side: Side, silence: Duration) -> Result<JsValue, JsValue>
where
    Side: Future<Output = Result<JsValue, JsValue>> + Unpin,
{
    match select(side, Delay::from(silence)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(format!("{what} kept silent for {} s", silence.as_secs()).into()),
    }
}

/// What comes of `work`, or `None` as soon as the signal is aborted: then it is dropped where it stands.
pub(crate) async fn unless_aborted<Work: Future>(signal: &AbortSignal, work: Work) -> Option<Work::Output> {
    if signal.aborted() {
        return None;
    }
    let (handle, registration) = AbortHandle::new_pair();
    let listener = Closure::<dyn FnMut()>::new(move || handle.abort());
    let function: &Function = listener.as_ref().unchecked_ref();
    signal.add_event_listener_with_callback("abort", function).ok()?;
    let done = Abortable::new(work, registration).await;
    // The signal may live longer than the closure, which must not be called then.
    signal.remove_event_listener_with_callback("abort", function).ok()?;
    done.ok()
}

pub(crate) fn get(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(object, &name.into())
}

pub(crate) fn is_true(object: &JsValue, name: &str) -> bool {
    get(object, name).is_ok_and(|value| value.is_truthy())
}

/// What the runtime threw, without the addresses that it may repeat: their queries hold signatures.
pub(crate) fn in_words(error: &JsValue) -> String {
    let message = get(error, "message").ok().and_then(|message| message.as_string());
    let message = message.or_else(|| error.as_string()).unwrap_or_else(|| "the runtime gave no reason".to_owned());
    let words = message.split(' ').map(|word| if word.contains("://") { "(address)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
