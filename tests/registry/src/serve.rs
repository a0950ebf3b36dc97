//! The registry's routes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use slipway_wire::Digest;
use tokio::net::TcpListener;

use crate::shelf::{self, Stored, Upload};
use crate::{Asked, Quirk, State, Wants, What};

type Keeper = Arc<Mutex<State>>;

fn lock(keeper: &Keeper) -> MutexGuard<'_, State> {
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn registry(listener: TcpListener, keeper: Keeper) {
    let router = Router::new().fallback(answer).with_state(keeper);
    // It ends with its registry.
    let _ = axum::serve(listener, router).await;
}

/// Where blobs are when they are not at the registry: an address that gives them to whoever knows it, and refuses a
/// credential as pre-signed ones do.
pub(crate) async fn storage(listener: TcpListener, keeper: Keeper) {
    let router = Router::new().fallback(from_storage).with_state(keeper);
    let _ = axum::serve(listener, router).await;
}

async fn from_storage(Shared(keeper): Shared<Keeper>, request: Request) -> Response {
    if request.headers().contains_key("authorization") {
        return plain(StatusCode::BAD_REQUEST);
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let found = path.rsplit_once('/').and_then(|(repository, digest)| {
        lock(&keeper).blobs.get(&(repository.to_owned(), digest.parse().ok()?)).cloned()
    });
    found.map_or_else(|| plain(StatusCode::NOT_FOUND), |bytes| with_length(StatusCode::OK, bytes))
}

/// A request in parts.
struct Question {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Question {
    fn query(&self, name: &str) -> Option<String> {
        let pair = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(pair.replace("%3A", ":").replace("%2F", "/").replace("%2f", "/"))
    }
}

async fn answer(Shared(keeper): Shared<Keeper>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let mut question = Question {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: Vec::new(),
    };
    let asked = match question.query.as_str() {
        "" => format!("{} {}", question.method, question.path),
        query => format!("{} {}?{query}", question.method, question.path),
    };
    let fault = {
        let mut state = lock(&keeper);
        let is_due = |fault: &crate::Fault| fault.method == question.method && asked.contains(&fault.path);
        let at = state.faults.iter().position(is_due);
        at.and_then(|at| state.faults.remove(at)).map(|fault| fault.what)
    };
    let with_credential = question.headers.contains_key("authorization");
    let told = |state: &mut State, status: u16, bytes: usize| {
        state.journal.push(Asked { request: asked.clone(), status, bytes: bytes as u64, with_credential });
    };
    // Whoever may not ask is told so before the body comes.
    let refused = refused(&mut lock(&keeper), &question);
    if let Some(refused) = refused {
        told(&mut lock(&keeper), refused.status().as_u16(), 0);
        return refused;
    }
    if let Some(What::Refuse(status)) = fault {
        told(&mut lock(&keeper), status, 0);
        return failing(status);
    }
    let limit = if let Some(What::HangUpAfter(bytes)) = fault { bytes } else { u64::MAX };
    loop {
        match body.frame().await {
            Some(Ok(frame)) => question.body.extend(frame.into_data().unwrap_or_default()),
            None => break,
            // Whoever sent it has gone.
            Some(Err(_)) => {
                broke_off(&keeper, &question);
                told(&mut lock(&keeper), 0, question.body.len());
                return plain(StatusCode::BAD_REQUEST);
            }
        }
        if question.body.len() as u64 >= limit {
            question.body.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            broke_off(&keeper, &question);
            told(&mut lock(&keeper), 0, question.body.len());
            return hung_up();
        }
    }
    let bytes = question.body.len();
    let mut state = lock(&keeper);
    if fault == Some(What::Collect) {
        shelf::collect(&mut state);
    }
    let answer = serve(&mut state, &question, fault.as_ref());
    shelf::look(&mut state, &asked);
    match fault {
        Some(What::DoAndRefuse(status)) => {
            told(&mut state, status, bytes);
            failing(status)
        }
        Some(What::DoAndHangUp) => {
            told(&mut state, 0, bytes);
            hung_up()
        }
        _ => {
            told(&mut state, answer.status().as_u16(), bytes);
            answer
        }
    }
}

/// What has come of an upload whose connection broke stays, where the registry is of that kind.
fn broke_off(keeper: &Keeper, question: &Question) {
    let mut state = lock(keeper);
    let Some(number) = upload_of(&question.path) else { return };
    if state.manner.has(Quirk::ForgetsUploads) {
        state.uploads.remove(&number);
    } else if let Some(upload) = state.uploads.get_mut(&number).filter(|_| question.method == Method::PATCH) {
        upload.bytes.extend_from_slice(&question.body);
    }
}

fn upload_of(path: &str) -> Option<u64> {
    path.rsplit_once("/blobs/uploads/")?.1.parse().ok()
}

/// An answer whose body breaks off, and its connection with it.
fn hung_up() -> Response {
    let broken = std::future::ready(Err::<Bytes, _>(std::io::Error::other("it hangs up")));
    Response::new(Body::from_stream(futures_util::stream::once(broken)))
}

fn plain(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

fn with_length(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut answer = plain(status);
    answer.headers_mut().insert("content-length", bytes.len().into());
    *answer.body_mut() = Body::from(bytes);
    answer
}

fn header(mut answer: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn failing(status: u16) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let answer = error(code, "INTERNAL_ERROR", &[]);
    if status == 429 { header(answer, "retry-after", "1") } else { answer }
}

/// An error in the specification's form ("Error codes"), one entry for each digest.
fn error(status: StatusCode, code: &str, digests: &[Digest]) -> Response {
    let entry = |detail| json!({ "code": code, "message": "as it was told", "detail": detail });
    let errors: Vec<_> = match digests {
        [] => vec![entry(json!(null))],
        digests => digests.iter().map(|digest| entry(json!({ "digest": digest.to_string() }))).collect(),
    };
    let answer = with_length(status, json!({ "errors": errors }).to_string().into_bytes());
    header(answer, "content-type", "application/json")
}

/// What is said to whoever does not show what is wanted.
fn refused(state: &mut State, question: &Question) -> Option<Response> {
    let shown = question.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = match state.manner.wants.clone() {
        Wants::Nothing => return None,
        Wants::Basic(pair) => {
            if shown == format!("Basic {}", STANDARD.encode(pair)) {
                return None;
            }
            r#"Basic realm="registry""#.to_owned()
        }
        Wants::Tokens { .. } => {
            if question.path == "/token" {
                return None;
            }
            let left = shown.strip_prefix("Bearer ").and_then(|token| state.tokens.get_mut(token));
            if let Some(left) = left.filter(|left| **left > 0) {
                *left -= 1;
                return None;
            }
            format!(r#"Bearer realm="{}/token",service="registry",scope="repository:x:pull""#, state.own)
        }
    };
    Some(header(error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &[]), "www-authenticate", &wanted))
}

fn serve(state: &mut State, question: &Question, fault: Option<&What>) -> Response {
    if question.path == "/token" {
        let Wants::Tokens { good_for } = state.manner.wants else { return plain(StatusCode::NOT_FOUND) };
        let token = format!("token-{}", state.tokens.len());
        state.tokens.insert(token.clone(), good_for);
        return with_length(StatusCode::OK, json!({ "token": token, "expires_in": 60 }).to_string().into_bytes());
    }
    let Some(path) = question.path.strip_prefix("/v2/") else { return plain(StatusCode::NOT_FOUND) };
    if path.is_empty() {
        return with_length(StatusCode::OK, b"{}".to_vec());
    }
    if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
        return uploads(state, question, repository, rest, fault);
    }
    if let Some((repository, digest)) = path.rsplit_once("/blobs/") {
        return blob(state, question, repository, digest);
    }
    if let Some((repository, name)) = path.rsplit_once("/manifests/") {
        return manifests(state, question, repository, name, fault);
    }
    if let Some((repository, subject)) = path.rsplit_once("/referrers/")
        && state.manner.has(Quirk::HasReferrers)
    {
        let index = shelf::referrers(state, repository, subject).to_string();
        return header(with_length(StatusCode::OK, index.into_bytes()), "content-type", "application/json");
    }
    if let Some(repository) = path.strip_suffix("/tags/list") {
        let names = state.manifests.keys().filter(|(owner, name)| owner == repository && !name.contains(':'));
        let tags: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
        let body = json!({ "name": repository, "tags": if tags.is_empty() { json!(null) } else { json!(tags) } });
        return with_length(StatusCode::OK, body.to_string().into_bytes());
    }
    error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", &[])
}

fn blob(state: &State, question: &Question, repository: &str, digest: &str) -> Response {
    let found = digest.parse().ok().and_then(|digest| state.blobs.get(&(repository.to_owned(), digest)));
    match (found, &question.method) {
        (None, _) => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", &[]),
        (Some(bytes), &Method::HEAD) => with_length(StatusCode::OK, bytes.clone()),
        (Some(_), _) if state.manner.has(Quirk::RedirectsBlobs) => {
            let at = format!("{}/{repository}/{digest}?signature=good-for-minutes", state.storage);
            header(plain(StatusCode::TEMPORARY_REDIRECT), "location", &at)
        }
        (Some(bytes), _) => with_length(StatusCode::OK, bytes.clone()),
    }
}

fn location(state: &State, repository: &str, number: u64, step: u32) -> String {
    let host = if state.manner.has(Quirk::RelativeLocations) { "" } else { &state.own };
    format!("{host}/v2/{repository}/blobs/uploads/{number}?_state={step}")
}

fn uploads(state: &mut State, question: &Question, repository: &str, rest: &str, fault: Option<&What>) -> Response {
    if question.method == Method::POST {
        let mount = question.query("mount").and_then(|digest| digest.parse::<Digest>().ok());
        let from = question.query("from");
        let mounts = !state.manner.has(Quirk::NeverMounts) && !state.manner.has(Quirk::RefusesMounts);
        if let (Some(digest), Some(from), true) = (mount, from, mounts)
            && let Some(bytes) = state.blobs.get(&(from, digest)).cloned()
        {
            state.blobs.insert((repository.to_owned(), digest), bytes);
            return header(plain(StatusCode::CREATED), "location", &format!("/v2/{repository}/blobs/{digest}"));
        }
        if question.query("mount").is_some() && state.manner.has(Quirk::RefusesMounts) {
            return error(StatusCode::FORBIDDEN, "DENIED", &[]);
        }
        state.next_upload += 1;
        let number = state.next_upload;
        state.uploads.insert(number, Upload { repository: repository.to_owned(), ..Upload::default() });
        let answer = header(plain(StatusCode::ACCEPTED), "location", &location(state, repository, number, 0));
        return header(answer, "range", "0-0");
    }
    let number: u64 = rest.parse().unwrap_or_default();
    let Some(mut upload) = state.uploads.remove(&number).filter(|upload| upload.repository == repository) else {
        return error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", &[]);
    };
    let at_step = question.query("_state").and_then(|step| step.parse().ok()) == Some(upload.step);
    match question.method {
        Method::GET if state.manner.has(Quirk::AnswersPiecesWith201) => {
            state.uploads.insert(number, upload);
            error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", &[])
        }
        Method::GET => {
            let end = upload.bytes.len().saturating_sub(1);
            let answer = header(plain(StatusCode::NO_CONTENT), "range", &format!("0-{end}"));
            let answer = header(answer, "location", &location(state, repository, number, upload.step));
            state.uploads.insert(number, upload);
            answer
        }
        // Each address is good for one request ("Pushing a blob in chunks": the newest must be used).
        Method::PATCH | Method::PUT if !at_step => {
            state.uploads.insert(number, upload);
            error(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", &[])
        }
        Method::PATCH => {
            let range = question.headers.get("content-range").and_then(|range| range.to_str().ok());
            let begins_at = range.and_then(|range| range.split_once('-')?.0.parse::<usize>().ok());
            if begins_at.is_some_and(|at| at != upload.bytes.len()) {
                state.uploads.insert(number, upload);
                return error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", &[]);
            }
            upload.bytes.extend_from_slice(&question.body);
            upload.step += 1;
            let status =
                if state.manner.has(Quirk::AnswersPiecesWith201) { StatusCode::CREATED } else { StatusCode::ACCEPTED };
            let answer = header(plain(status), "location", &location(state, repository, number, upload.step));
            let answer = header(answer, "range", &format!("0-{}", upload.bytes.len().saturating_sub(1)));
            state.uploads.insert(number, upload);
            answer
        }
        Method::PUT if upload.step > 0 && !question.body.is_empty() && state.manner.has(Quirk::WantsEmptyEnds) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Method::PUT => {
            upload.bytes.extend_from_slice(&question.body);
            let digest = question.query("digest").and_then(|digest| digest.parse::<Digest>().ok());
            let Some(digest) = digest.filter(|digest| Digest::of(&upload.bytes) == *digest) else {
                return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", &[]);
            };
            match fault {
                Some(What::Truncate) => drop(upload.bytes.pop()),
                Some(What::Swap) => upload.bytes.iter_mut().for_each(|byte| *byte ^= 1),
                _ => {}
            }
            state.blobs.insert((repository.to_owned(), digest), upload.bytes);
            header(plain(StatusCode::CREATED), "location", &format!("/v2/{repository}/blobs/{digest}"))
        }
        _ => plain(StatusCode::NO_CONTENT),
    }
}

fn manifests(state: &mut State, question: &Question, repository: &str, name: &str, fault: Option<&What>) -> Response {
    let at = (repository.to_owned(), name.to_owned());
    if question.method == Method::PUT {
        let found = Digest::of(&question.body);
        if name.starts_with("sha256:") && name != found.to_string() {
            return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", &[]);
        }
        let manifest = serde_json::from_slice::<serde_json::Value>(&question.body).unwrap_or_default();
        if state.manner.has(Quirk::WantsMediaTypes) && manifest["mediaType"].as_str().is_none() {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", &[]);
        }
        if let (true, Some(subject)) = (state.manner.has(Quirk::WantsSubjects), manifest["subject"]["digest"].as_str())
            && !state.manifests.contains_key(&(repository.to_owned(), subject.to_owned()))
        {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", &[]);
        }
        let mut missing = shelf::missing(state, repository, &question.body);
        if state.manner.has(Quirk::NamesOnePart) {
            missing.truncate(1);
        }
        if !missing.is_empty() {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", &missing);
        }
        let media_type = question.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut stored = Stored { media_type: media_type.to_owned(), bytes: question.body.clone() };
        if fault == Some(&What::Bend) {
            stored.bytes.push(b' ');
        }
        state.manifests.insert(at, stored.clone());
        if !name.starts_with("sha256:") {
            // What has a tag has its digest too.
            state.manifests.insert((repository.to_owned(), found.to_string()), stored);
        }
        if state.manner.has(Quirk::SaysNothingOfWhatIsStored) {
            return plain(StatusCode::CREATED);
        }
        let mut answer = header(plain(StatusCode::CREATED), "location", &format!("/v2/{repository}/manifests/{found}"));
        if !state.manner.has(Quirk::NamesNoDigest) {
            answer = header(answer, "docker-content-digest", &found.to_string());
        }
        if let (true, Some(subject)) = (state.manner.has(Quirk::HasReferrers), manifest["subject"]["digest"].as_str()) {
            answer = header(answer, "oci-subject", subject);
        }
        return answer;
    }
    let Some(stored) = state.manifests.get(&at) else {
        return error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", &[]);
    };
    let accepted = question.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if state.manner.has(Quirk::WantsAccept) && !accepted.contains(&stored.media_type) {
        return error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", &[]);
    }
    let answer = with_length(StatusCode::OK, stored.bytes.clone());
    let answer = header(answer, "content-type", &stored.media_type);
    if state.manner.has(Quirk::NamesNoDigest) {
        return answer;
    }
    header(answer, "docker-content-digest", &Digest::of(&stored.bytes).to_string())
}
