//! Moving a package's bytes: the stateless invocation that a package's object calls, and the port that calls it.
//!
//! A Durable Object is one shared context with six connections, and is said to have a cap on the bodies that it sends;
//! a stateless invocation has neither. It is the same Worker, reached through the `SELF` binding, and does only what a
//! one-time capability says: signed by this edge, redeemed at the object that issued it, which then hands over the
//! transfer. From outside nothing can be made with the route.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{BigInt, Function, Object, Promise, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use slipway_core::time::Timestamp;
use slipway_wire::{Digest, RelayError, Relayed, Transfer, Unreachable};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamByobReader, WritableStreamDefaultWriter};
use worker::worker_sys::{DigestStream, FixedLengthStream};
use worker::{Delay, Env, Headers, Method, Request, RequestInit, Result};

use crate::answer::{Answer, Problem, json};
use crate::clock;
use crate::fetch::body;
use crate::message::{self, ToPackage};
use crate::settings;

/// The route. It is not part of the API: whoever comes from outside gets the same 404 as anywhere.
pub(crate) const PATH: &str = "/internal/copy";

/// How many bytes are hashed and written at a time. 1 MiB took 2.2 CPU-seconds for 1 GiB, 64 KiB took 4.4.
const CHUNK_BYTES: u32 = 1024 * 1024;

/// How much of the destination's answer is kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long a capability can be redeemed. The call is made at once.
const CAPABILITY_SECONDS: u64 = 30;

/// Far more than a capability has. The route is open to the outside, where nobody has one.
const CAPABILITY_BYTES_MAX: usize = 4096;

/// How long one side may keep silent before the transfer is broken off. Package servers' proxies give up after 60 s.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// How long a transfer may take: an alarm's run ends after 15 minutes, and it has to look before and after.
const TRANSFER_MAX: Duration = Duration::from_mins(13);

const PURPOSE: &str = "copy";

/// What the caller of the route shows.
#[derive(Serialize, Deserialize)]
struct Capability {
    package: String,
    nonce: String,
    ends_at: Timestamp,
}

/// A transfer on its way between two invocations of this Worker. It holds the credentials of the upload, so it is
/// neither stored nor logged.
#[derive(Serialize, Deserialize)]
pub(crate) struct Loaded {
    source: String,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    size: u64,
    digest: Digest,
}

/// How it ended, on its way back.
#[derive(Serialize, Deserialize)]
enum Unloaded {
    Answered { status: u16, request_id: Option<String>, body: String, early: bool },
    Withheld { found: Option<Digest>, size: u64 },
    Source { status: u16 },
    Broken { host: String, why: String },
}

impl Loaded {
    pub(crate) fn from_transfer(transfer: Transfer) -> Result<Self> {
        let headers = transfer.upload.headers().iter().map(|(name, value)| {
            let value =
                value.to_str().map_err(|_| worker::Error::RustError(format!("the header {name} is not text")))?;
            Ok((name.to_string(), value.to_owned()))
        });
        Ok(Self {
            source: transfer.source.uri().to_string(),
            method: transfer.upload.method().to_string(),
            url: transfer.upload.uri().to_string(),
            headers: headers.collect::<Result<_>>()?,
            prefix: transfer.prefix,
            suffix: transfer.suffix,
            size: transfer.size,
            digest: transfer.digest,
        })
    }
}

/// Has a stateless invocation run the transfer that `package` hands over for `nonce`.
pub(crate) async fn send_out(env: &Env, package: &str, nonce: &str) -> std::result::Result<Relayed, RelayError> {
    let broken = |why: String| RelayError::Broken(Unreachable { host: "the copy".to_owned(), why });
    let ask = async {
        let ends_at = clock::now() + Duration::from_secs(CAPABILITY_SECONDS);
        let capability = Capability { package: package.to_owned(), nonce: nonce.to_owned(), ends_at };
        let sealed = settings::edge_key(env)?.seal(PURPOSE, &capability)?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(sealed.into()));
        let mut response = env.service("SELF")?.fetch(format!("https://self{PATH}"), Some(init)).await?;
        if response.status_code() != 200 {
            return Err(worker::Error::RustError(format!("the copy was answered with {}", response.status_code())));
        }
        Ok(serde_json::from_str::<Unloaded>(&response.text().await?)?)
    };
    match ask.await.map_err(|error: worker::Error| broken(error.to_string()))? {
        Unloaded::Answered { status, request_id, body, early } => {
            let mut answer = http::Response::builder().status(status);
            if let Some(id) = request_id {
                answer = answer.header("x-request-id", id);
            }
            let answer = answer.body(body.into_bytes()).map_err(|error| broken(error.to_string()))?;
            Ok(if early { Relayed::AnsweredEarly(answer) } else { Relayed::Answered(answer) })
        }
        Unloaded::Withheld { found, size } => Ok(Relayed::Withheld { found, size }),
        Unloaded::Source { status } => {
            Err(RelayError::Source(http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY)))
        }
        Unloaded::Broken { host, why } => Err(RelayError::Broken(Unreachable { host, why })),
    }
}

/// The stateless invocation.
pub(crate) async fn answer(mut request: Request, env: &Env) -> Answer {
    let not_here = || Problem::not_found("page");
    let sealed = String::from_utf8(body(&mut request, CAPABILITY_BYTES_MAX).await?).map_err(|_| not_here())?;
    let capability: Capability = settings::edge_key(env)?.open(PURPOSE, &sealed).map_err(|_| not_here())?;
    if capability.ends_at <= clock::now() {
        return Err(not_here());
    }
    let redeem = ToPackage::Redeem { nonce: capability.nonce };
    let mut redeemed = message::tell(&message::package(env, &capability.package)?, &redeem).await?;
    if redeemed.status_code() != 200 {
        return Err(not_here());
    }
    let loaded: Loaded = serde_json::from_str(&redeemed.text().await?)?;
    let host = host_of(&loaded.url);
    let unloaded = transfer(loaded).await.unwrap_or_else(|error| Unloaded::Broken { host, why: in_words(&error) });
    json(200, &unloaded)
}

/// Hashes and copies, chunk by chunk, in one buffer that stays in JavaScript. The suffix is written only when the digest
/// is right; the body has a fixed length, so without it the destination has an upload that was broken off.
async fn transfer(loaded: Loaded) -> std::result::Result<Unloaded, JsValue> {
    let source =
        fetch(&loaded.source, "GET", &[("accept-encoding".to_owned(), "identity".to_owned())], None, None).await?;
    let cancel = || source.body().map(|body| body.cancel());
    if source.status() != 200 {
        drop(cancel());
        return Ok(Unloaded::Source { status: source.status() });
    }
    let header = |name: &str| source.headers().get(name).ok().flatten();
    if header("content-encoding").is_some_and(|encoding| encoding != "identity") {
        drop(cancel());
        return Err("storage compresses the package on the way, so its length is unknown".into());
    }
    if let Some(length) = header("content-length").and_then(|length| length.parse::<u64>().ok())
        && length != loaded.size
    {
        drop(cancel());
        return Ok(Unloaded::Withheld { found: None, size: length });
    }
    let Some(body) = source.body() else { return Err("storage gave no body".into()) };

    let around = u64::try_from(loaded.prefix.len() + loaded.suffix.len()).unwrap_or(u64::MAX);
    let stream = FixedLengthStream::new_big_int(BigInt::from(loaded.size.saturating_add(around)))?;
    let abort = AbortController::new()?;
    let readable: JsValue = stream.readable().into();
    let promise = fetch_promise(&loaded.url, &loaded.method, &loaded.headers, Some(&readable), Some(&abort))?;
    let writer = stream.writable().get_writer()?;
    let mut upload = JsFuture::from(promise);
    let pumped = pump(&loaded, &body, &writer, &mut upload).await;
    match pumped {
        Ok(Pumped::Sent) => match patient("the answer to the upload", upload).await {
            Ok(answer) => unload(answer.unchecked_into(), false).await,
            Err(broken) => {
                give_up(&writer, &abort);
                Err(broken)
            }
        },
        Ok(Pumped::Early(answer)) => {
            let unloaded = unload(answer, true).await;
            give_up(&writer, &abort);
            unloaded
        }
        Ok(Pumped::Withheld { found, size }) => {
            give_up(&writer, &abort);
            Ok(Unloaded::Withheld { found, size })
        }
        Err(broken) => {
            give_up(&writer, &abort);
            Err(broken)
        }
    }
}

/// How far the bytes came.
enum Pumped {
    /// All of them, and their digest is right.
    Sent,
    /// The destination answered before it had them all.
    Early(web_sys::Response),
    /// They are not the declared ones, so the end was not sent.
    Withheld { found: Option<Digest>, size: u64 },
}

async fn pump(
    loaded: &Loaded,
    body: &web_sys::ReadableStream,
    writer: &WritableStreamDefaultWriter,
    upload: &mut JsFuture,
) -> std::result::Result<Pumped, JsValue> {
    let digest = DigestStream::new("SHA-256");
    let hasher = digest.get_writer()?;
    let options = Object::new();
    Reflect::set(&options, &"mode".into(), &"byob".into())?;
    let get_reader: Function = Reflect::get(body, &"getReader".into())?.dyn_into()?;
    let reader: ReadableStreamByobReader = get_reader.call1(body, &options)?.unchecked_into();
    let read_at_least: Function = Reflect::get(&reader, &"readAtLeast".into())?.dyn_into()?;

    let until = clock::now() + TRANSFER_MAX;
    let mut size = 0_u64;
    let mut view = Uint8Array::new_with_length(CHUNK_BYTES);
    if let Some(answer) = write(writer, &Uint8Array::from(loaded.prefix.as_slice()), upload).await? {
        return Ok(Pumped::Early(answer));
    }
    loop {
        let read: Promise = read_at_least.call2(&reader, &CHUNK_BYTES.into(), &view)?.dyn_into()?;
        let read = patient("the download", JsFuture::from(read)).await?;
        if clock::now() > until {
            let minutes = TRANSFER_MAX.as_secs() / 60;
            let why = format!(
                "after {minutes} minutes {size} of {} bytes were copied, so it cannot end in time",
                loaded.size
            );
            return Err(why.into());
        }
        let value = Reflect::get(&read, &"value".into())?;
        if value.is_undefined() {
            break;
        }
        let chunk: Uint8Array = value.unchecked_into();
        let length = chunk.byte_length();
        if length > 0 {
            size += u64::from(length);
            if size > loaded.size {
                return Ok(Pumped::Withheld { found: None, size });
            }
            JsFuture::from(hasher.write_with_chunk(&chunk)).await?;
            if let Some(answer) = write(writer, &chunk, upload).await? {
                return Ok(Pumped::Early(answer));
            }
        }
        if Reflect::get(&read, &"done".into())?.is_truthy() {
            break;
        }
        view = Uint8Array::new(&chunk.buffer());
    }

    JsFuture::from(hasher.close()).await?;
    let found = JsFuture::from(digest.digest()).await?;
    let found: [u8; 32] =
        Uint8Array::new(&found).to_vec().try_into().map_err(|_| JsValue::from("the digest is not 32 bytes"))?;
    let found = Digest::from_bytes(found);
    if size != loaded.size || found != loaded.digest {
        return Ok(Pumped::Withheld { found: (size == loaded.size).then_some(found), size });
    }
    if let Some(answer) = write(writer, &Uint8Array::from(loaded.suffix.as_slice()), upload).await? {
        return Ok(Pumped::Early(answer));
    }
    JsFuture::from(writer.close()).await?;
    Ok(Pumped::Sent)
}

/// Writes a chunk, unless the destination answers first: then it takes no more.
async fn write(
    writer: &WritableStreamDefaultWriter,
    chunk: &Uint8Array,
    upload: &mut JsFuture,
) -> std::result::Result<Option<web_sys::Response>, JsValue> {
    let written = patient("the upload", JsFuture::from(writer.write_with_chunk(chunk)));
    match select(pin!(written), &mut *upload).await {
        Either::Left((Ok(_), _)) => Ok(None),
        Either::Left((Err(broken), _)) => {
            // The stream breaks when the destination has answered or gone; which of both, the upload says.
            let answer = patient("the answer to the upload", upload).await.map_err(|_| broken)?;
            Ok(Some(answer.unchecked_into()))
        }
        Either::Right((answer, _)) => Ok(Some(answer?.unchecked_into())),
    }
}

/// Waits for a side of the transfer, but not for ever.
async fn patient(
    what: &str,
    side: impl Future<Output = std::result::Result<JsValue, JsValue>> + Unpin,
) -> std::result::Result<JsValue, JsValue> {
    match select(side, Delay::from(SILENCE_MAX)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(format!("{what} kept silent for {} s", SILENCE_MAX.as_secs()).into()),
    }
}

fn give_up(writer: &WritableStreamDefaultWriter, abort: &AbortController) {
    // Both only hasten the end of an upload that cannot be completed any more, so their outcome changes nothing.
    drop(writer.abort_with_reason(&"withheld".into()));
    abort.abort();
}

async fn unload(answer: web_sys::Response, early: bool) -> std::result::Result<Unloaded, JsValue> {
    let request_id = answer.headers().get("x-request-id").ok().flatten();
    let status = answer.status();
    let body = JsFuture::from(answer.text()?).await?.as_string().unwrap_or_default();
    let body = body.chars().take(ANSWER_BYTES_MAX).collect();
    Ok(Unloaded::Answered { status, request_id, body, early })
}

async fn fetch(
    url: &str,
    method: &str,
    headers: &[(String, String)],
    body: Option<&JsValue>,
    abort: Option<&AbortController>,
) -> std::result::Result<web_sys::Response, JsValue> {
    let answer = JsFuture::from(fetch_promise(url, method, headers, body, abort)?);
    Ok(patient("storage", answer).await?.unchecked_into())
}

fn fetch_promise(
    url: &str,
    method: &str,
    headers: &[(String, String)],
    body: Option<&JsValue>,
    abort: Option<&AbortController>,
) -> std::result::Result<Promise, JsValue> {
    let own = Headers::new();
    own.set("user-agent", concat!("Slipway/", env!("CARGO_PKG_VERSION")))?;
    for (name, value) in headers {
        // The stream's own length is sent; set by hand it would be ignored.
        if !name.eq_ignore_ascii_case("content-length") {
            own.set(name, value)?;
        }
    }
    let init = web_sys::RequestInit::new();
    init.set_method(method);
    init.set_headers(own.as_ref());
    init.set_redirect(web_sys::RequestRedirect::Manual);
    if let Some(body) = body {
        init.set_body(body);
    }
    if let Some(abort) = abort {
        init.set_signal(Some(&abort.signal()));
    }
    let fetch: Function = Reflect::get(&js_sys::global(), &"fetch".into())?.dyn_into()?;
    fetch.call2(&JsValue::UNDEFINED, &url.into(), &init)?.dyn_into()
}

fn host_of(url: &str) -> String {
    url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
}

fn in_words(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "the runtime gave no reason".to_owned())
}
