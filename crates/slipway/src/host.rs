//! What only Node can do: the environment, files, time, and package bytes as streams. See `host.mjs`.

use std::cell::Cell;
use std::rc::Rc;

use http::StatusCode;
use js_sys::{Array, Reflect, Uint8Array};
use slipway_packagecloud::Upload;
use slipway_wire::{Digest, Relayed, Request, Response, Unreachable};
use wasm_bindgen::prelude::*;

/// How long an upload may stand still, the wait for its answer included. The server hashes and stores a package before
/// it answers; the slowest answer on record took 10 s, the proxies in front of it give up after 60 to 120 s.
const UPLOAD_PATIENCE_MS: u32 = 300_000;

mod node {
    use super::{Array, Closure, JsValue, Uint8Array, wasm_bindgen};

    #[wasm_bindgen(module = "/src/host.mjs")]
    extern "C" {
        pub(super) fn variable(name: &str) -> Option<String>;
        pub(super) fn print(text: &str);
        pub(super) fn complain(text: &str);
        pub(super) fn columns() -> u32;
        pub(super) fn draw(text: &str, lines: u32);
        pub(super) fn date() -> String;
        #[wasm_bindgen(catch)]
        pub(super) async fn read_at(path: &str, offset: f64, length: u32) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn write_text(path: &str, text: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn append_text(path: &str, text: &str) -> Result<JsValue, JsValue>;
        pub(super) type Held;
        pub(super) fn hold(url: &str, headers: Array, body: &str, silence: u32) -> Held;
        #[wasm_bindgen(method, catch)]
        pub(super) async fn status(this: &Held) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) async fn line(this: &Held) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(method)]
        pub(super) fn close(this: &Held);
        #[wasm_bindgen(catch)]
        pub(super) async fn chunked(
            url: &str,
            headers: Array,
            body: Uint8Array,
            patience: u32,
        ) -> Result<JsValue, JsValue>;
        pub(super) fn now() -> f64;
        pub(super) async fn pause(milliseconds: f64);
        pub(super) async fn tick(milliseconds: f64);
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
            moved: &Closure<dyn FnMut(f64)>,
        ) -> Result<JsValue, JsValue>;
        pub(super) fn home() -> String;
        #[wasm_bindgen(catch)]
        pub(super) async fn write_secret(path: &str, text: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn gpgv(
            keyring: Uint8Array,
            message: Uint8Array,
            signature: Option<Uint8Array>,
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

/// How wide the terminal at standard output is. `None` when it is none.
pub(crate) fn columns() -> Option<usize> {
    usize::try_from(node::columns()).ok().filter(|columns| *columns > 0)
}

/// Draws lines at the end of the terminal, in the place of those drawn before. What is printed afterwards takes it too.
pub(crate) fn draw(lines: &[String]) {
    let text: String = lines.iter().flat_map(|line| [printable(line), "\n".to_owned()]).collect();
    node::draw(&text, u32::try_from(lines.len()).unwrap_or(u32::MAX));
}

/// The date and time, RFC 3339 in UTC with milliseconds.
pub(crate) fn date() -> String {
    node::date()
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

/// The same, for somebody who only watches: it does not keep the command from ending.
pub(crate) async fn tick_ms(milliseconds: f64) {
    node::tick(milliseconds).await;
}

/// A small text file.
pub(crate) async fn read_text(path: &str) -> Result<String, String> {
    let text = node::read_text(path).await.map_err(|error| message(&error))?;
    text.as_string().ok_or_else(|| "it is not text".to_owned())
}

/// At most `length` bytes of a file from `offset` on; fewer where it ends before.
pub(crate) async fn read_at(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, String> {
    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes, 8 PiB")]
    let bytes = node::read_at(path, offset as f64, length).await.map_err(|error| message(&error))?;
    Ok(bytes.dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).unwrap_or_default())
}

/// Writes a small text file, whatever was there before.
pub(crate) async fn write_text(path: &str, text: &str) -> Result<(), String> {
    node::write_text(path, text).await.map(|_| ()).map_err(|error| message(&error))
}

/// Writes on at a text file's end.
pub(crate) async fn append_text(path: &str, text: &str) -> Result<(), String> {
    node::append_text(path, text).await.map(|_| ()).map_err(|error| message(&error))
}

/// The folder of programs' settings, as the XDG base directory specification has it.
pub(crate) fn settings_folder() -> String {
    variable("XDG_CONFIG_HOME").unwrap_or_else(|| format!("{}/.config", node::home()))
}

/// Writes a text file that nobody else may read.
pub(crate) async fn write_secret(path: &str, text: &str) -> Result<(), String> {
    node::write_secret(path, text).await.map(|_| ()).map_err(|error| message(&error))
}

/// What a good signature signs. `None` where this machine has no `gpgv`.
pub(crate) async fn gpgv(keyring: &[u8], text: &[u8], signature: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
    let signed = node::gpgv(keyring.into(), text.into(), signature.map(Into::into)).await;
    let signed = signed.map_err(|error| message(&error))?;
    Ok(signed.dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).ok())
}

/// A file as it is.
pub(crate) async fn read_bytes(path: &str, most: u32) -> Result<Vec<u8>, String> {
    read_at(path, 0, most).await
}

/// A request whose answer comes line by line while it is held open.
pub(crate) struct Held(node::Held);

/// Sends a request and keeps it open. It counts as lost when nothing comes for `silence_ms`.
pub(crate) fn hold(url: &str, headers: &[(&str, &str)], body: &str, silence_ms: u32) -> Held {
    Held(node::hold(url, pairs(headers.iter().copied()), body, silence_ms))
}

impl Held {
    /// The answer's status.
    pub(crate) async fn status(&self) -> Result<u16, String> {
        let status = self.0.status().await.map_err(|error| message(&error))?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "Node's HTTP parser gives 100 to 999"
        )]
        let status = status.as_f64().unwrap_or_default() as u16;
        Ok(status)
    }

    /// The next line, without its end. `None` when the answer is complete.
    pub(crate) async fn line(&self) -> Result<Option<String>, String> {
        Ok(self.0.line().await.map_err(|error| message(&error))?.as_string())
    }

    /// Ends it.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

fn pairs<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Array {
    headers.map(|(name, value)| Array::of2(&name.into(), &value.into())).collect()
}

/// Sends a body in chunks, without saying its length beforehand, as no client of a package server does.
pub(crate) async fn chunked(request: &Request) -> Result<Response, Unreachable> {
    let unreachable = |why: String| {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        Unreachable { host, why }
    };
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = Uint8Array::from(request.body().as_slice());
    let answer = node::chunked(&request.uri().to_string(), pairs(headers), body, UPLOAD_PATIENCE_MS).await;
    response(&answer.map_err(|error| unreachable(message(&error)))?).map_err(unreachable)
}

/// An answer as `host.mjs` gives it.
fn response(answer: &JsValue) -> Result<Response, String> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Node's HTTP parser gives 100 to 999")]
    let status = field(answer, "status").as_f64().unwrap_or_default() as u16;
    let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    let body = field(answer, "body").dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).unwrap_or_default();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
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
///
/// `sent` grows with the bytes that have been sent.
pub(crate) async fn upload(
    path: &str,
    file: Hashed,
    upload: &Upload,
    sent: Rc<Cell<u64>>,
) -> Result<Relayed, Unreachable> {
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
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size is a whole number from 0 to 2^53"
    )]
    let moved = Closure::new(move |bytes: f64| sent.set(bytes as u64));
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
        &moved,
    );
    let answer = answer.await.map_err(|error| unreachable(message(&error)))?;
    let end = field(&answer, "end").as_string().unwrap_or_default();
    if end == "withheld" {
        return Ok(Relayed::Withheld { found: None, size: file.size });
    }
    let response = response(&answer).map_err(unreachable)?;
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
