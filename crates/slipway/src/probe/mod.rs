//! `slipway doctor --probe`: what a package server does, asked with packages of 1 KB in a sandbox.
//!
//! [`checks`] is the list: what Slipway relies on, and what documentation leaves open. The same list is run against depot
//! in every build, with the answers that packagecloud is known to give, so that what the tests rely on is what a person
//! with an account can ask the real one.
//!
//! The sandbox is a repository with nothing in it but packages that the checks make; anything else is refused before the
//! first push. The checks name their own few files and delete nothing else.

pub(crate) mod build;
mod checks;
mod redact;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, json};
use slipway_fetch::Fetch;
use slipway_packagecloud::{Account, Distributions, Distro, Filename, Repository, delete};
use slipway_wire::{Base, CallError, Http, Request, Response, Token, Unreachable};

use crate::args;
use crate::exit::{Exit, Failure};
use crate::host;
use crate::say::Say;

/// How long one answer may take: a push of 1 KB, or a promote, of which the slowest on record took 10 s.
const ANSWER_DEADLINE: Duration = Duration::from_mins(2);
/// Packages a page, and pages, that are read to see what a sandbox holds. A real repository is refused on its first page.
const PER_PAGE: usize = 100;
const PAGES_MAX: usize = 10;

/// Headers of answers that say something; the others may hold anything.
const HEADERS: [&str; 13] = [
    "cache-control",
    "content-type",
    "etag",
    "link",
    "location",
    "max-per-page",
    "per-page",
    "retry-after",
    "status",
    "total",
    "www-authenticate",
    "x-request-id",
    "x-runtime",
];

/// A question.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name in recordings and tests.
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    /// What Slipway relies on. `None` for a question that is only asked.
    pub(crate) relied: Option<&'static str>,
}

/// How an answer stands to what Slipway relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// As Slipway relies on.
    Holds,
    /// Other than Slipway relies on: a finding.
    Contradicts,
    /// An open question has an answer.
    Answered,
    /// It was not asked, and why.
    NotAsked,
    /// The server did not answer in a way that tells.
    NoAnswer,
}

/// What came of a question.
#[derive(Debug, Serialize)]
struct Outcome {
    check: &'static str,
    question: &'static str,
    expected: Option<&'static str>,
    found: String,
    verdict: Verdict,
    exchanges: Vec<Value>,
}

/// The answer to a question, in words.
enum Answer {
    /// Whether it is as Slipway relies on.
    Judged(bool, String),
    /// Nothing is relied on.
    Told(String),
    NotAsked(String),
}

/// A server, a sandbox, and what was asked.
struct Probe {
    http: Fetch,
    account: Account,
    from: Repository,
    to: Option<Repository>,
    ids: RefCell<Distributions>,
    /// What must never be in a recording.
    secrets: Vec<String>,
    exchanges: RefCell<Vec<Value>>,
    outcomes: RefCell<Vec<Outcome>>,
    /// When the first package was pushed, on the host's clock.
    pushed_ms: Cell<f64>,
    timeout_ms: f64,
    say: Say,
}

/// Runs the command.
pub(crate) async fn run(options: &args::Probe, token: Token, say: Say) -> Result<(), Failure> {
    let doing = format!("cannot probe {} at {}", options.sandbox, options.url);
    let date = host::date();
    let secrets = vec![token.expose().to_owned(), STANDARD.encode(format!("{}:", token.expose()))];
    let probe = Probe {
        http: Fetch::new(ANSWER_DEADLINE),
        account: Account::new(options.url.clone(), token),
        from: options.sandbox.clone(),
        to: options.to.clone(),
        ids: RefCell::default(),
        secrets,
        exchanges: RefCell::default(),
        outcomes: RefCell::default(),
        pushed_ms: Cell::new(host::now_ms()),
        timeout_ms: f64::from(options.timeout_s) * 1000.0,
        say,
    };
    // Nothing is written before both sandboxes are known to be ones.
    for repository in probe.repositories() {
        probe.must_be_a_sandbox(repository, &doing).await?;
    }
    let leftover = probe.empty().await;
    if !leftover.is_empty() {
        let lines = leftover.into_iter().chain(["An earlier probe's packages are in the way.".to_owned()]);
        return Err(Failure::new(Exit::Failed, doing, lines));
    }
    checks::all(&probe).await;
    let left = probe.empty().await;
    probe.conclude(options, &date, &left, &doing).await
}

impl Http for &Probe {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.ask(request, None).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let asked = described(&request, None, &self.secrets);
        let mut bytes = 0;
        let mut count = |piece: &[u8]| {
            bytes += piece.len();
            each(piece)
        };
        let answer = self.http.read(request, &mut count).await;
        self.note(asked, &answer, (bytes > 0).then(|| format!("{bytes} bytes were read").into()));
        answer
    }
}

impl Probe {
    /// Sends a request and records it. `shape` says what its body is, where that is a package.
    async fn ask(&self, request: Request, shape: Option<String>) -> Result<Response, Unreachable> {
        let asked = described(&request, shape, &self.secrets);
        let answer = self.http.send(request).await;
        self.note(asked, &answer, None);
        answer
    }

    /// Sends a body in chunks and records it.
    async fn ask_in_chunks(&self, request: Request, shape: String) -> Result<Response, Unreachable> {
        let asked = described(&request, Some(shape), &self.secrets);
        let answer = host::chunked(&request).await;
        self.note(asked, &answer, None);
        answer
    }

    #[allow(clippy::needless_pass_by_value, reason = "the request is moved into its exchange")]
    fn note(&self, request: Value, answer: &Result<Response, Unreachable>, read: Option<Value>) {
        let exchange = match answer {
            Ok(response) => json!({
                "request": request, "status": response.status().as_u16(),
                "headers": headers(response.headers(), &self.secrets),
                "body": read.unwrap_or_else(|| redact::body(response.body(), &self.secrets)),
            }),
            Err(error) => json!({ "request": request, "error": redact::text(&error.why, &self.secrets) }),
        };
        self.exchanges.borrow_mut().push(exchange);
    }

    /// Asks one question and keeps what came of it.
    async fn check(&self, check: &'static Check, answer: impl Future<Output = Result<Answer, CallError>>) {
        self.exchanges.borrow_mut().clear();
        let (verdict, found) = match answer.await {
            Ok(Answer::Judged(true, found)) => (Verdict::Holds, found),
            Ok(Answer::Judged(false, found)) => (Verdict::Contradicts, found),
            Ok(Answer::Told(found)) => (Verdict::Answered, found),
            Ok(Answer::NotAsked(why)) => (Verdict::NotAsked, why),
            Err(error) => (Verdict::NoAnswer, error.to_string()),
        };
        let found = redact::text(&found, &self.secrets);
        self.say.line(&format!("{:<12}  {:<26}  {found}", verdict.words(), check.name));
        let exchanges = std::mem::take(&mut *self.exchanges.borrow_mut());
        let Check { name, question, relied } = check;
        self.outcomes.borrow_mut().push(Outcome {
            check: name,
            question,
            expected: *relied,
            found,
            verdict,
            exchanges,
        });
    }

    fn repositories(&self) -> impl Iterator<Item = &Repository> {
        [Some(&self.from), self.to.as_ref()].into_iter().flatten()
    }

    fn base(&self) -> &Base {
        self.account.base()
    }

    /// A request as the sandbox's user.
    fn get(&self, url: &str) -> Result<Request, CallError> {
        let unsendable = |error: http::Error| CallError::Unsendable(error.to_string());
        let authorization = self.account.token().basic().map_err(unsendable)?;
        let request = http::Request::get(url).header(AUTHORIZATION, authorization).header(ACCEPT, "application/json");
        request.body(Vec::new()).map_err(unsendable)
    }

    /// Every package of a repository, of whatever kind: its distro version and file name, and whether the checks made it.
    async fn contents(&self, repository: &Repository) -> Result<Vec<(String, String)>, String> {
        let mut contents = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = ["api", "v1", "repos", repository.user(), repository.repo(), "packages.json"];
            let url = format!("{}?per_page={PER_PAGE}&page={page}", self.base().url(path));
            let request = self.get(&url).map_err(|error| error.to_string())?;
            let answer = self.http.send(request).await.map_err(|error| error.to_string())?;
            if !answer.status().is_success() {
                return Err(format!("its list of packages is answered with {}", answer.status().as_u16()));
            }
            let list: Vec<Value> =
                serde_json::from_slice(answer.body()).map_err(|error| format!("its list cannot be read: {error}"))?;
            // The end is an empty page: a server may give fewer than asked for.
            if list.is_empty() {
                return Ok(contents);
            }
            let text =
                |record: &Value, field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            contents.extend(list.iter().map(|record| (text(record, "distro_version"), text(record, "filename"))));
            if contents.iter().any(|(_, filename)| !checks::is_own(filename)) {
                return Ok(contents);
            }
        }
        Err("its list of packages does not end".to_owned())
    }

    async fn must_be_a_sandbox(&self, repository: &Repository, doing: &str) -> Result<(), Failure> {
        let contents = self.contents(repository).await.map_err(|why| {
            let next = "Name a repository that the user of `SLIPWAY_PROBE_TOKEN` can write to.".to_owned();
            Failure::new(Exit::Failed, doing, [format!("{repository}: {why}"), next])
        })?;
        match contents.iter().find(|(_, filename)| !checks::is_own(filename)) {
            None => Ok(()),
            Some((distro, filename)) => {
                let lines = [
                    format!("{repository} is no sandbox: it has `{filename}` for {distro}, which no probe has pushed."),
                    "Nothing was done. Name an empty repository that is used for nothing else.".to_owned(),
                ];
                Err(Failure::new(Exit::Misused, doing, lines))
            }
        }
    }

    /// Deletes what the checks pushed. What is left, and why.
    async fn empty(&self) -> Vec<String> {
        let mut left = Vec::new();
        for repository in self.repositories() {
            let contents = match self.contents(repository).await {
                Ok(contents) => contents,
                Err(why) => {
                    left.push(format!("{repository}: {why}"));
                    continue;
                }
            };
            for (distro, filename) in contents.iter().filter(|(_, filename)| checks::is_own(filename)) {
                let (Ok(version), Ok(name)) = (distro.parse::<Distro>(), filename.parse::<Filename>()) else {
                    left.push(format!("{repository}: `{filename}` for `{distro}` cannot be addressed"));
                    continue;
                };
                if let Err(error) = delete(&self.http, &self.account, repository, &version, &name).await {
                    left.push(format!("{repository}: `{filename}` for {distro}: {error}"));
                }
            }
        }
        left
    }

    /// Writes the recording, and says what was found.
    async fn conclude(&self, options: &args::Probe, date: &str, left: &[String], doing: &str) -> Result<(), Failure> {
        let outcomes = self.outcomes.take();
        let head = json!({
            "slipway": env!("CARGO_PKG_VERSION"), "date": date, "server": self.base().as_str(),
            "repository": self.from.to_string(), "to": self.to.as_ref().map(ToString::to_string), "left": left,
        });
        let failed = |why: String| Failure::new(Exit::Failed, doing, [why]);
        let mut recording = format!("{head}\n");
        for outcome in &outcomes {
            let line = serde_json::to_string(outcome).map_err(|error| failed(error.to_string()))?;
            recording.push_str(&line);
            recording.push('\n');
        }
        let written = host::write_text(&options.record, &recording).await;
        written.map_err(|why| failed(format!("cannot write the recording `{}`: {why}", options.record)))?;
        let count = |verdict: Verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
        self.say.line(&format!(
            "{} hold, {} contradict, {} answered, {} not asked, {} without an answer; recorded in `{}`",
            count(Verdict::Holds),
            count(Verdict::Contradicts),
            count(Verdict::Answered),
            count(Verdict::NotAsked),
            count(Verdict::NoAnswer),
            options.record
        ));
        match left {
            [] => self.say.line("left behind: nothing"),
            left => self.say.lines(&left.iter().map(|line| format!("left behind: {line}")).collect::<Vec<_>>()),
        }
        let verdicts: Vec<Value> = outcomes
            .iter()
            .map(|Outcome { check, expected, found, verdict, .. }| {
                json!({ "check": check, "expected": expected, "found": found, "verdict": verdict })
            })
            .collect();
        self.say.answer(&verdicts)?;
        let named = |verdict: Verdict| {
            let named = outcomes.iter().filter(move |outcome| outcome.verdict == verdict);
            named.map(|outcome| {
                format!(
                    "{}: {}; Slipway relies on: {}",
                    outcome.check,
                    outcome.found,
                    outcome.expected.unwrap_or("nothing")
                )
            })
        };
        let findings: Vec<String> = named(Verdict::Contradicts).collect();
        if !findings.is_empty() {
            let doing = format!("{} is not as Slipway relies on", self.base());
            return Err(Failure::new(Exit::Findings, doing, findings));
        }
        let silent: Vec<String> = named(Verdict::NoAnswer).collect();
        if silent.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Failed, doing, silent)) }
    }
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Contradicts => "CONTRADICTS",
            Self::Answered => "answered",
            Self::NotAsked => "not asked",
            Self::NoAnswer => "NO ANSWER",
        }
    }
}

/// A request as a recording has it: what was asked, and the names of its headers, among which is a credential.
fn described(request: &Request, shape: Option<String>, secrets: &[String]) -> Value {
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let names: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let body =
        shape.or_else(|| Some(String::from_utf8_lossy(request.body()).into_owned()).filter(|body| !body.is_empty()));
    json!({
        "method": request.method().as_str(), "path": redact::text(path, secrets), "headers": names,
        "content_type": kind.and_then(|kind| kind.split(';').next()), "body": body.map(|body| redact::text(&body, secrets)),
    })
}

fn headers(headers: &HeaderMap, secrets: &[String]) -> Value {
    let named = HEADERS.into_iter().filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)));
    named
        .map(|(name, value)| (name.to_owned(), redact::text(value, secrets).into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
