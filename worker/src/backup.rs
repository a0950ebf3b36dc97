//! A project's record as lines of JSON, and made of them again. For the operator.
//!
//! Neither is ever whole in this program's memory: the audit leaves a page at a time, and what comes is given to the record a
//! few hundred lines at a time. An answer or a body that breaks off lacks its last line, which has the digest of all others.

use futures_util::stream;
use serde::{Deserialize, Serialize};
use slipway_core::config::Project;
use slipway_core::release::Version;
use slipway_ledger::{AUDIT_ROWS, End, ExportHead};
use slipway_wire::{Digest, Hasher};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{Env, Request, Response};

use crate::answer::{Answer, NO_STORE, Problem, json};
use crate::clock;
use crate::message::{self, ToDirectory, ToProject, ask, tell};

/// Who exports and imports, as the audit names them.
const BY: &str = "operator";
/// How many lines the record is given at a time, and how many bytes at most.
const LINES_MAX: usize = 400;
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// The longest line. A row of SQL has at most 2 MB.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a record gives of itself at first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) head: ExportHead,
    /// The first line, and the rows of all tables but the audit.
    pub(crate) lines: String,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Last {
    end: End,
}

/// `GET …/export`.
pub(crate) async fn export(env: &Env, project: &Project) -> Answer {
    let project_id = project.id;
    let begun: Begun =
        ask(message::project(env, project_id), &ToProject::Export { project_id, by: BY.to_owned() }).await?;
    let audit_rows = begun.head.audit_rows;
    let way = Way {
        env: env.clone(),
        project_id,
        next: Next::Lines(begun.lines),
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
        Some((piece.map(String::into_bytes), rest))
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
    audit_rows: u64,
    lines: u64,
    hasher: Hasher,
}

/// What leaves next.
enum Next {
    Lines(String),
    Audit(u64),
    Nothing,
}

impl Way {
    async fn piece(&mut self) -> worker::Result<String> {
        let piece = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Lines(lines) => {
                self.next = Next::Audit(1);
                lines
            }
            Next::Audit(first) if first <= self.audit_rows => {
                let ask_for = ToProject::ExportAudit { project_id: self.project_id, first, last: self.audit_rows };
                let lines: String = ask(message::project(&self.env, self.project_id), &ask_for)
                    .await
                    .map_err(|silent| worker::Error::RustError(silent.to_string()))?;
                self.next = Next::Audit(first.saturating_add(AUDIT_ROWS));
                lines
            }
            Next::Audit(_) => {
                let end = Last { end: End { lines: self.lines, sha256: self.hasher.digest() } };
                return Ok(format!("{}\n", serde_json::to_string(&end)?));
            }
            Next::Nothing => String::new(),
        };
        self.hasher.add(piece.as_bytes());
        self.lines =
            self.lines.saturating_add(u64::try_from(piece.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(0));
        Ok(piece)
    }
}

/// `POST …/import`.
pub(crate) async fn import(request: &mut Request, env: &Env, project: &Project) -> Answer {
    let project_id = project.id;
    let mut lines = Lines::of(request);
    let mut hasher = Hasher::default();
    let mut count: u64 = 0;
    let mut end = None;
    let id = Digest::from_bytes(clock::random()?).hex();
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(line) = lines.next().await? {
        if end.is_some() {
            return Err(broken("something follows its last line"));
        }
        if let Ok(Last { end: found }) = serde_json::from_str(&line) {
            end = Some(found);
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
            told(env, project_id, &ToProject::Import { project_id, id: id.clone(), head, by: BY.to_owned() }).await?;
            continue;
        }
        bytes += line.len();
        batch.push(line);
        if batch.len() >= LINES_MAX || bytes >= BATCH_BYTES_MAX {
            told(
                env,
                project_id,
                &ToProject::ImportRows { project_id, id: id.clone(), lines: std::mem::take(&mut batch) },
            )
            .await?;
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        told(env, project_id, &ToProject::ImportRows { project_id, id: id.clone(), lines: batch }).await?;
    }
    let end = end.ok_or_else(|| broken("its last line is missing: it broke off"))?;
    if end != (End { lines: count, sha256: hasher.digest() }) {
        return Err(broken("its lines do not have the digest that the last one says"));
    }
    let mut answer = told(env, project_id, &ToProject::ImportEnds { project_id, id, end, by: BY.to_owned() }).await?;
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
    Problem::new(400, "broken-export", format!("The export is not whole: {why}. Nothing of it runs; send it again."))
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
