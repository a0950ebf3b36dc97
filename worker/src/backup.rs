//! A project's record as lines of JSON, and made of them again. For the operator.
//!
//! Neither is whole in this invocation's memory: what the record gives passes through, the audit a page at a time, and what
//! comes is given to the record a few hundred lines at a time. An answer or a body that breaks off lacks its last line, which
//! has the digest of all others, and the edge's signature where it has a key.

use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use slipway_core::config::Project;
use slipway_core::exported::{Exported, NotGenuine};
use slipway_core::release::Version;
use slipway_core::signing::note::NotBelieved;
use slipway_core::signing::{Signer as _, SigningError, TrustedKey};
use slipway_ledger::{AUDIT_ROWS, End, ExportHead};
use slipway_webcrypto::WebCrypto;
use slipway_wire::{Digest, Hasher};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{ByteStream, Env, Request, Response};

use crate::answer::{Answer, NO_STORE, Problem, json};
use crate::clock;
use crate::message::{self, ToDirectory, ToProject, ask, tell};
use crate::{settings, signing};

/// Who exports and imports, as the audit names them.
const BY: &str = "operator";
/// How many lines the record is given at a time, and how many bytes at most.
const LINES_MAX: usize = 400;
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// The longest line. A row of SQL has at most 2 MB.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many lines a record gives of itself at first, the first line and the rows of all tables but the audit, and how many of
/// the audit are to be fetched after them.
pub(crate) const LINES: &str = "slipway-lines";
pub(crate) const AUDIT_LINES: &str = "slipway-audit-lines";

/// The last line.
#[derive(Serialize, Deserialize)]
struct Last {
    end: End,
    /// What the edge has signed of it, where it has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// `GET …/export`.
pub(crate) async fn export(env: &Env, project: &Project) -> Answer {
    let project_id = project.id;
    // One that could not be signed at its end is not begun.
    drop(signing::key(env).await.map_err(|error| not_signed(&error))?);
    let mut begun =
        tell(&message::project(env, project_id)?, &ToProject::Export { project_id, by: BY.to_owned() }).await?;
    if begun.status_code() != 200 {
        return Ok(begun);
    }
    let said = |name: &str| {
        let said = begun.headers().get(name).ok().flatten().and_then(|said| said.parse::<u64>().ok());
        said.ok_or_else(|| worker::Error::RustError("the record does not say what it gives".to_owned()))
    };
    let (lines_wanted, audit_rows) = (said(LINES)?, said(AUDIT_LINES)?);
    let way = Way {
        env: env.clone(),
        project_id,
        next: Next::Lines(Box::new(begun.stream()?)),
        lines_wanted,
        audit_rows,
        lines: 0,
        hasher: Hasher::default(),
    };
    let pieces = stream::unfold(Some(way), async |way| {
        let mut way = way?;
        let piece = way.piece().await;
        // What is broken off has no last line, and says so by that.
        let rest = match (&piece, &way.next) {
            (Err(_), _) | (Ok(_), Next::Nothing) => None,
            _ => Some(way),
        };
        Some((piece, rest))
    });
    let response = Response::from_stream(pieces)?;
    response.headers().set("content-type", "application/x-ndjson")?;
    response.headers().set("cache-control", NO_STORE)?;
    Ok(response)
}

/// An export on its way out.
struct Way {
    env: Env,
    project_id: u64,
    next: Next,
    lines_wanted: u64,
    audit_rows: u64,
    lines: u64,
    hasher: Hasher,
}

/// What leaves next.
enum Next {
    Lines(Box<ByteStream>),
    Audit(u64),
    Nothing,
}

impl Way {
    async fn piece(&mut self) -> worker::Result<Vec<u8>> {
        let piece = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Lines(mut stream) => {
                if let Some(piece) = stream.next().await.transpose()? {
                    self.next = Next::Lines(stream);
                    piece
                } else {
                    self.has_all(self.lines_wanted)?;
                    self.next = Next::Audit(1);
                    Vec::new()
                }
            }
            Next::Audit(first) if first <= self.audit_rows => {
                let ask_for = ToProject::ExportAudit { project_id: self.project_id, first, last: self.audit_rows };
                let lines: String = ask(message::project(&self.env, self.project_id), &ask_for)
                    .await
                    .map_err(|silent| worker::Error::RustError(silent.to_string()))?;
                self.next = Next::Audit(first.saturating_add(AUDIT_ROWS));
                lines.into_bytes()
            }
            Next::Audit(_) => {
                self.has_all(self.lines_wanted.saturating_add(self.audit_rows))?;
                return self.last_line().await;
            }
            Next::Nothing => Vec::new(),
        };
        self.hasher.add(&piece);
        let ends = piece.split(|byte| *byte == b'\n').count().saturating_sub(1);
        self.lines = self.lines.saturating_add(u64::try_from(ends).unwrap_or(0));
        Ok(piece)
    }

    /// A stream that is cut off may end like one that is whole.
    fn has_all(&self, lines: u64) -> worker::Result<()> {
        if self.lines == lines {
            return Ok(());
        }
        Err(worker::Error::RustError(format!("{} lines came of {lines}", self.lines)))
    }

    async fn last_line(&self) -> worker::Result<Vec<u8>> {
        let end = End { lines: self.lines, sha256: self.hasher.digest() };
        let failed = |error: SigningError| worker::Error::RustError(error.to_string());
        let note = match signing::key(&self.env).await.map_err(failed)? {
            Some(key) => {
                let config = settings::config()?;
                let signed = exported(self.project_id, &end).sign(&config.edge.url, &key).await;
                Some(signed.map_err(failed)?.to_string())
            }
            None => None,
        };
        let mut line = serde_json::to_vec(&Last { end, note })?;
        line.push(b'\n');
        Ok(line)
    }
}

fn exported(project: u64, end: &End) -> Exported {
    Exported { project, lines: end.lines, sha256: end.sha256 }
}

fn not_signed(error: &SigningError) -> Problem {
    Problem::new(
        503,
        "signing-key",
        format!("The signing key cannot be used: {error}. The edge's log and `/readyz/secrets` say why."),
    )
}

/// Refuses an export that this edge's key has not signed, the present one or a former one. Where there is no key, nothing is
/// known of who made a file.
async fn is_genuine(env: &Env, project_id: u64, end: &End, note: Option<&str>) -> Result<(), Problem> {
    let Some(key) = signing::key(env).await.map_err(|error| not_signed(&error))? else { return Ok(()) };
    let config = settings::config()?;
    let all = std::iter::once(*key.public_key()).chain(config.edge.former_keys.iter().copied());
    let keys: Vec<TrustedKey> = all.map(|key| TrustedKey { name: None, key }).collect();
    match exported(project_id, end).check(note, &keys, &WebCrypto).await {
        Ok(_) => Ok(()),
        Err(NotGenuine::NotBelieved(NotBelieved::Cryptography(error))) => Err(not_signed(&error)),
        Err(why) => Err(Problem::new(
            409,
            "not-signed",
            format!(
                "The export is not imported: {why}. It must be signed by this edge's signing key or by one of its `former_keys`; \
                 how an export of an edge without a key is imported is in the operator's page about backup and restore."
            ),
        )),
    }
}

/// `POST …/import`. One that fails is given up: the project is what it was before, and stopped.
pub(crate) async fn import(request: &mut Request, env: &Env, project: &Project) -> Answer {
    let (project_id, id) = (project.id, Digest::from_bytes(clock::random()?).hex());
    let failed = match receive(request, env, project, &id).await {
        Ok(answer) => return Ok(answer),
        Err(failed) => failed,
    };
    let fails = ToProject::ImportFails { project_id, id, why: failed.detail.clone(), by: BY.to_owned() };
    if let Err(silent) = ask::<bool>(message::project(env, project_id), &fails).await {
        crate::log::trouble!(of project_id, "a failed import is not given up: {silent}; send the export again");
    }
    Err(failed)
}

async fn receive(request: &mut Request, env: &Env, project: &Project, id: &str) -> Answer {
    let project_id = project.id;
    let mut lines = Lines::of(request);
    let mut hasher = Hasher::default();
    let mut count: u64 = 0;
    let mut end = None;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(line) = lines.next().await? {
        if end.is_some() {
            return Err(broken("something follows its last line"));
        }
        if let Ok(last) = serde_json::from_str::<Last>(&line) {
            end = Some(last);
            continue;
        }
        hasher.add(line.as_bytes());
        hasher.add(b"\n");
        count = count.saturating_add(1);
        if count == 1 {
            let head: ExportHead = serde_json::from_str(&line)
                .map_err(|error| broken(&format!("its first line is not understood: {error}")))?;
            if head.project_id != project_id {
                let what = format!("The export is of project {}, not of {}.", head.project_id, project.name);
                return Err(Problem::new(409, "other-project", what));
            }
            told(env, project_id, &ToProject::Import { project_id, id: id.to_owned(), head, by: BY.to_owned() })
                .await?;
            continue;
        }
        bytes += line.len();
        batch.push(line);
        if batch.len() >= LINES_MAX || bytes >= BATCH_BYTES_MAX {
            told(
                env,
                project_id,
                &ToProject::ImportRows { project_id, id: id.to_owned(), lines: std::mem::take(&mut batch) },
            )
            .await?;
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        told(env, project_id, &ToProject::ImportRows { project_id, id: id.to_owned(), lines: batch }).await?;
    }
    let Last { end, note } = end.ok_or_else(|| broken("its last line is missing: it broke off"))?;
    if end != (End { lines: count, sha256: hasher.digest() }) {
        return Err(broken("its lines do not have the digest that the last one says"));
    }
    is_genuine(env, project_id, &end, note.as_deref()).await?;
    let mut answer =
        told(env, project_id, &ToProject::ImportEnds { project_id, id: id.to_owned(), end, by: BY.to_owned() }).await?;
    let versions: Vec<Version> = serde_json::from_str(&answer.text().await?)?;
    for version in &versions {
        let add = ToDirectory::Add { project_id, version: version.clone() };
        ask::<()>(message::directory(env), &add).await?;
    }
    json(200, &serde_json::json!({ "releases": versions, "lines": count, "sha256": hasher.digest() }))
}

/// Tells the record; its problems stay what they are.
async fn told(env: &Env, project_id: u64, what: &ToProject) -> Result<Response, Problem> {
    let mut answer = tell(&message::project(env, project_id)?, what).await?;
    if answer.status_code() == 200 {
        return Ok(answer);
    }
    let status = answer.status_code();
    let detail = serde_json::from_str::<slipway_core::api::ProblemDetails>(&answer.text().await?)
        .map_or_else(|_| "The record did not answer.".to_owned(), |problem| problem.detail);
    Err(Problem::new(status, "not-imported", detail))
}

fn broken(why: &str) -> Problem {
    Problem::new(
        400,
        "broken-export",
        format!("The export is not whole: {why}. Nothing of it is taken; send it again."),
    )
}

/// The lines of a body, as they come.
struct Lines {
    reader: Option<web_sys::ReadableStreamDefaultReader>,
    kept: Vec<u8>,
    /// Where the next line begins.
    from: usize,
}

impl Lines {
    fn of(request: &Request) -> Self {
        let reader = request.inner().body().map(|stream| stream.get_reader().unchecked_into());
        Self { reader, kept: Vec::new(), from: 0 }
    }

    async fn next(&mut self) -> Result<Option<String>, Problem> {
        let thrown = |error: JsValue| Problem::from(worker::Error::from(error));
        loop {
            let rest = self.kept.get(self.from..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.get(..length).unwrap_or_default().to_vec();
                self.from += length + 1;
                return String::from_utf8(line).map(Some).map_err(|_| broken("a line is not UTF-8"));
            }
            self.kept.drain(..self.from);
            self.from = 0;
            if self.kept.len() > LINE_BYTES_MAX {
                return Err(broken("a line is too long"));
            }
            let Some(reader) = &self.reader else { break };
            let read = JsFuture::from(reader.read()).await.map_err(thrown)?;
            if js_sys::Reflect::get(&read, &"done".into()).map_err(thrown)?.is_truthy() {
                self.reader = None;
                continue;
            }
            let chunk: js_sys::Uint8Array =
                js_sys::Reflect::get(&read, &"value".into()).map_err(thrown)?.unchecked_into();
            self.kept.extend_from_slice(&chunk.to_vec());
        }
        if self.kept.is_empty() { Ok(None) } else { Err(broken("its last line does not end")) }
    }
}
