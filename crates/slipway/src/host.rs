//! What only Node can do: the environment, files, time, and package bytes as streams. See `host.mjs`.

use http::StatusCode;
use js_sys::{Array, Reflect, Uint8Array};
use slipway_packagecloud::Upload;
use slipway_wire::{Digest, Relayed, Response, Unreachable};
use wasm_bindgen::prelude::*;

/// How long an upload may stand still, the wait for its answer included. The server hashes and stores a package before
/// it answers; the slowest answer on record took 10 s, the proxies in front of it give up after 60 to 120 s.
const UPLOAD_PATIENCE_MS: u32 = 300_000;

mod node {
    use super::{Array, JsValue, Uint8Array, wasm_bindgen};

    #[wasm_bindgen(module = "/src/host.mjs")]
    extern "C" {
        pub(super) fn variable(name: &str) -> Option<String>;
        pub(super) fn print(text: &str);
        pub(super) fn complain(text: &str);
        pub(super) fn now() -> f64;
        pub(super) async fn pause(milliseconds: f64);
        #[wasm_bindgen(catch)]
        pub(super) async fn read_text(path: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn hash(path: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        #[allow(clippy::too_many_arguments, reason = "the border to JavaScript has no structs")]
        pub(super) async fn upload(
            path: &str,
            size: f64,
            hex: &str,
            method: &str,
            url: &str,
            headers: Array,
            prefix: Uint8Array,
            suffix: Uint8Array,
            patience: u32,
        ) -> Result<JsValue, JsValue>;
    }
}

/// A variable of the environment. GitLab sets unused ones to nothing, so empty is not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    node::variable(name).filter(|value| !value.is_empty())
}

/// Writes to standard output.
pub(crate) fn print(text: &str) {
    node::print(&printable(text));
}

/// Writes to standard error.
pub(crate) fn complain(text: &str) {
    node::complain(&printable(text));
}

/// What a terminal may be given: text from servers could otherwise move its cursor or rename its window.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter }).collect()
}

/// Milliseconds since the command began. Only differences mean something.
pub(crate) fn now_ms() -> f64 {
    node::now()
}

/// Lets this many milliseconds pass.
pub(crate) async fn pause_ms(milliseconds: f64) {
    node::pause(milliseconds).await;
}

/// A small text file.
pub(crate) async fn read_text(path: &str) -> Result<String, String> {
    let text = node::read_text(path).await.map_err(|error| message(&error))?;
    text.as_string().ok_or_else(|| "it is not text".to_owned())
}

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

/// Hashes a file of any size.
pub(crate) async fn hash(path: &str) -> Result<Hashed, String> {
    let hashed = node::hash(path).await.map_err(|error| message(&error))?;
    let hex = field(&hashed, "hex").as_string().unwrap_or_default();
    let digest = hex.parse().map_err(|error| format!("Node's hash cannot be read: {error}"))?;
    // JavaScript counts exactly up to 2^53 bytes, 8 PiB.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size is a whole number from 0 to 2^53"
    )]
    let size = field(&hashed, "size").as_f64().unwrap_or_default() as u64;
    Ok(Hashed { digest, size })
}

/// Sends `upload` with the bytes of the file at `path`. Its end is withheld when they are not those of `file` any more.
pub(crate) async fn upload(path: &str, file: Hashed, upload: &Upload) -> Result<Relayed, Unreachable> {
    let request = &upload.request;
    let unreachable = |why: String| {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        Unreachable { host, why }
    };
    let headers = Array::new();
    for (name, value) in request.headers() {
        // Credentials and content types, which are ASCII: nothing else is sent with a package.
        let value = value.to_str().map_err(|_| unreachable(format!("the header `{name}` is not plain text")))?;
        headers.push(&Array::of2(&name.as_str().into(), &value.into()));
    }
    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes, 8 PiB")]
    let size = file.size as f64;
    let (hex, url) = (file.digest.hex(), request.uri().to_string());
    let answer = node::upload(
        path,
        size,
        &hex,
        request.method().as_str(),
        &url,
        headers,
        Uint8Array::from(upload.prefix.as_slice()),
        Uint8Array::from(upload.suffix.as_slice()),
        UPLOAD_PATIENCE_MS,
    );
    let answer = answer.await.map_err(|error| unreachable(message(&error)))?;
    let end = field(&answer, "end").as_string().unwrap_or_default();
    if end == "withheld" {
        return Ok(Relayed::Withheld { found: None, size: file.size });
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Node's HTTP parser gives 100 to 999")]
    let status = field(&answer, "status").as_f64().unwrap_or_default() as u16;
    let status = StatusCode::from_u16(status).map_err(|error| unreachable(error.to_string()))?;
    let body = field(&answer, "body").dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).unwrap_or_default();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(if end == "early" { Relayed::AnsweredEarly(response) } else { Relayed::Answered(response) })
}

fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// What Node threw, in its own words.
fn message(error: &JsValue) -> String {
    let text = field(error, "message").as_string().filter(|text| !text.is_empty());
    text.or_else(|| field(error, "code").as_string()).unwrap_or_else(|| "Node gave no reason".to_owned())
}
