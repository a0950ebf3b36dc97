//! The verified copy: package bytes from one place to another, hashed on the way.
//!
//! The bytes stay in two buffers of the JavaScript runtime and never enter wasm memory. Each chunk is given to the hash
//! and to the upload at once, while the next is being read. The upload has a fixed length and its end is written only
//! when the digest is right; so wrong bytes are an upload that was broken off, which no server takes for a package.
//!
//! Absent on purpose: retries, redirects, and any memory of a copy that was given up. A copy is cheap to begin again, and
//! whoever asked for it looks first. Native pipes are absent too: they cannot hold back the end.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod js;
mod outlet;
mod pump;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::HeaderMap;
use js_sys::{Date, Uint8Array};
use slipway_core::time::Timestamp;
use slipway_wire::{Patience, RelayError, Relayed, Response, TooSlow, Transfer, Unreachable};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal, ReadableStreamDefaultReader};

use outlet::Outlet;
use pump::{Pump, Pumped};

/// How much of the destination's answer is kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The headers of the destination's answer that are kept.
const KEPT: [&str; 6] =
    ["x-request-id", "location", "range", "www-authenticate", "docker-content-digest", "retry-after"];

/// How much time a copy has.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When it must have ended. `None` when nothing ends the invocation that runs it, which a client holds open.
    pub until: Option<Timestamp>,
    /// How long one side may keep silent before the copy is broken off.
    pub silence: Duration,
    /// When its rate is believed.
    pub patience: Patience,
}

impl Limits {
    /// Package servers' proxies give up after 60 s of silence.
    pub const SILENCE: Duration = Duration::from_mins(2);

    /// For a copy over the internet that must have ended at `until`.
    pub fn until(until: Option<Timestamp>) -> Self {
        Self { until, silence: Self::SILENCE, patience: Patience::default() }
    }
}

/// Runs one transfer to its end, which it calls `progress` on the way to with the bytes that the destination has taken:
/// about once a second, and when all are there; no number is told twice. It ends at once when `cancel` is aborted.
///
/// Of the destination's headers those are kept that say how to go on.
pub async fn relay(
    transfer: &Transfer,
    limits: &Limits,
    cancel: Option<&AbortSignal>,
    progress: impl FnMut(u64),
) -> Result<Relayed, RelayError> {
    relay_if(transfer, limits, cancel, progress, async || true).await
}

/// The same, when somebody else has the last word: `may_end` is asked when all is there but the end, which is withheld
/// unless the answer is yes. Whoever answers has as long as either side may keep silent.
pub async fn relay_if(
    transfer: &Transfer,
    limits: &Limits,
    cancel: Option<&AbortSignal>,
    progress: impl FnMut(u64),
    may_end: impl AsyncFnOnce() -> bool,
) -> Result<Relayed, RelayError> {
    let abort = AbortController::new().map_err(|error| Failure::Source(error).explain(transfer))?;
    let copied = copy(transfer, limits, &abort, progress, may_end);
    let ended = match cancel {
        Some(signal) => match js::unless_aborted(signal, copied).await {
            Some(ended) => ended,
            None => Err(Failure::CalledOff),
        },
        None => copied.await,
    };
    // Whatever still runs on either side after an end that is not a full answer could only go on in vain.
    if !matches!(ended, Ok(Relayed::Answered(_))) {
        abort.abort();
    }
    ended.map_err(|failure| failure.explain(transfer))
}

/// Why there is no end that could be judged.
enum Failure {
    /// What the runtime said of reading from the source.
    Source(JsValue),
    /// What it said of sending to the destination.
    Destination(JsValue),
    /// The source does not give the package.
    Status(u16),
    TooSlow(TooSlow),
    CalledOff,
}

impl Failure {
    fn explain(self, transfer: &Transfer) -> RelayError {
        let broken = |uri: &http::Uri, why: String| {
            RelayError::Broken(Unreachable { host: uri.host().unwrap_or_default().to_owned(), why })
        };
        match self {
            Self::Source(error) => broken(transfer.source.uri(), js::in_words(&error)),
            Self::Destination(error) => broken(transfer.upload.uri(), js::in_words(&error)),
            Self::CalledOff => broken(transfer.upload.uri(), "the copy was called off".to_owned()),
            Self::Status(status) => {
                RelayError::Source(http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY))
            }
            Self::TooSlow(why) => RelayError::TooSlow(why),
        }
    }
}

/// The moment of the host. In production it moves only when something is awaited.
fn now() -> Timestamp {
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970, whole and far below 2^53")]
    Timestamp(Date::now() as i64)
}

async fn copy(
    transfer: &Transfer,
    limits: &Limits,
    abort: &AbortController,
    progress: impl FnMut(u64),
    may_end: impl AsyncFnOnce() -> bool,
) -> Result<Relayed, Failure> {
    let signal = abort.signal();
    let mut headers = transfer.source.headers().clone();
    headers.insert(http::header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
    let source = js::fetch(transfer.source.uri(), "GET", &headers, None, &signal).map_err(Failure::Source)?;
    let source: web_sys::Response =
        js::patient("storage", source, limits.silence).await.map_err(Failure::Source)?.unchecked_into();
    if source.status() != 200 {
        return Err(Failure::Status(source.status()));
    }
    let header = |name: &str| source.headers().get(name).ok().flatten();
    if header("content-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Failure::Source("storage compresses the package on the way, so its length is unknown".into()));
    }
    if let Some(length) = header("content-length").and_then(|length| length.parse::<u64>().ok())
        && length != transfer.size
    {
        return Ok(Relayed::Withheld { found: None, size: length });
    }
    let Some(body) = source.body() else { return Err(Failure::Source("storage gave no body".into())) };

    let outlet = Outlet::new(transfer.sent_bytes()).map_err(Failure::Destination)?;
    let upload = &transfer.upload;
    let mut answer =
        js::fetch(upload.uri(), upload.method().as_str(), upload.headers(), Some(outlet.stream()), &signal)
            .map_err(Failure::Destination)?;
    let pump = Pump::new(transfer, limits, &body, &outlet)?;
    let pumped = match select(pin!(pump.run(&mut answer, progress, may_end)), pin!(pump.watch())).await {
        Either::Left((pumped, _)) => pumped,
        Either::Right((failure, _)) => Err(failure),
    };
    if !matches!(pumped, Ok(Pumped::Sent)) {
        pump.give_up();
    }
    let ended = match pumped {
        Ok(Pumped::Sent) => {
            let answer = js::patient("the answer to the upload", answer, limits.silence).await;
            Relayed::Answered(read(&answer.map_err(Failure::Destination)?.unchecked_into(), limits.silence).await?)
        }
        Ok(Pumped::Early(answer)) => Relayed::AnsweredEarly(read(&answer, limits.silence).await?),
        Ok(Pumped::Withheld { found, size }) => Relayed::Withheld { found, size },
        Err(failure) => return Err(failure),
    };
    Ok(ended)
}

/// The destination's answer, and the beginning of its body. All of it has to come within `silence`: one that comes in drops
/// would otherwise hold the copy, and its slot, for days.
async fn read(answer: &web_sys::Response, silence: Duration) -> Result<Response, Failure> {
    let mut kept = Vec::new();
    let until = now() + silence;
    if let Some(stream) = answer.body() {
        let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
        while kept.len() < ANSWER_BYTES_MAX {
            let left = until.since(now());
            if left.is_zero() {
                let slow = format!("the answer to the upload did not end within {} s", silence.as_secs());
                return Err(Failure::Destination(slow.into()));
            }
            let piece = js::patient("the answer to the upload", JsFuture::from(reader.read()), left);
            let piece = piece.await.map_err(Failure::Destination)?;
            if js::is_true(&piece, "done") {
                break;
            }
            let bytes: Uint8Array = js::get(&piece, "value").map_err(Failure::Destination)?.unchecked_into();
            kept.extend_from_slice(&bytes.to_vec());
        }
        kept.truncate(ANSWER_BYTES_MAX);
        drop(JsFuture::from(reader.cancel()));
    }
    let mut headers = HeaderMap::new();
    for name in KEPT {
        let value = answer.headers().get(name).ok().flatten();
        if let Some(value) = value.and_then(|value| http::HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    let mut response = Response::new(kept);
    *response.headers_mut() = headers;
    *response.status_mut() = http::StatusCode::from_u16(answer.status())
        .map_err(|_| Failure::Destination("the answer to the upload has no status".into()))?;
    Ok(response)
}
