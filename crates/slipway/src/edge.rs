//! The edge's API as a job uses it. All of it may be asked again: the same again changes nothing.

use std::marker::PhantomData;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION};
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::api::{
    CarryRequest, CloseRequest, ExtensionRequest, HoldRequest, OverrideRequest, PersonSession, PersonSessionRequest,
    Policy, ProblemDetails, PromotionAccepted, PromotionRequest, Readiness, Release, ReleasePatch, ReleaseSummary,
    Retention, Session, SessionRequest, SignIn, SigningKeys, StopRequest, Stopped, Strangers, Switch, Target,
    TargetHistory, WithdrawalRequest, Withdrawals,
};
use slipway_core::attestation::Envelope;
use slipway_core::cargo::TargetName;
use slipway_core::release::{Key, Version};
use slipway_fetch::Fetch;
use slipway_wire::{Base, CallError, Endpoint, Http as _, Request, Response, Token, call};

use crate::args::meant;
use crate::exit::{Exit, Failure};
use crate::host::{self, Held};
use crate::settings::{Credential, Settings};

/// How long one answer may take. A long poll holds its answer for [`POLL_S`].
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
/// How long the edge holds the answer to a poll while nothing changes. Below the 60 s after which proxies give up.
pub(crate) const POLL_S: u32 = 25;
/// How many names are listed when one is wrong.
const NAMES_MAX: usize = 10;
/// The first and the longest pause between two tries.
const PAUSE_MS: (f64, f64) = (500.0, 10_000.0);
/// How long the same trouble is not told again.
const COMPLAIN_MS: f64 = 30_000.0;

/// The edge, and perhaps this job's session with it.
pub(crate) struct Edge<'a> {
    settings: &'a Settings,
    http: Fetch,
    session: Option<Token>,
    patience_ms: f64,
}

/// Why the edge did not do what it was asked.
#[derive(Debug)]
pub(crate) enum EdgeError {
    /// It said no, and why.
    Refused(ProblemDetails),
    /// It did not answer, or something else answered.
    Call(CallError),
}

impl EdgeError {
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(problem) => StatusCode::from_u16(problem.status).ok(),
            Self::Call(error) => error.status(),
        }
    }

    /// The stable name of a refusal, such as `other-digest`.
    pub(crate) fn kind(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => problem.kind.rsplit([':', '/']).next(),
            Self::Call(_) => None,
        }
    }

    /// Whether the same question may get a better answer.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.status >= 500,
            Self::Call(error) => error.may_pass(),
        }
    }

    /// What happened and what to do next, a sentence a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Refused(problem) => {
                let mut lines = vec![format!("{} ({})", problem.title, problem.status), problem.detail.clone()];
                if self.kind() == Some("unauthorised") {
                    lines.push(
                        "Run `slipway login` (again), or look whether `SLIPWAY_OPERATOR_TOKEN` is this Slipway's."
                            .to_owned(),
                    );
                }
                lines
            }
            Self::Call(error @ CallError::Unreachable(_)) => vec![
                error.to_string(),
                "Check that `SLIPWAY_URL` can be reached from here, then run this again: nothing is done twice."
                    .to_owned(),
            ],
            Self::Call(error) if error.status().is_some_and(|status| status.is_server_error()) => vec![
                error.to_string(),
                "Slipway, or something in front of it, is not well. Run this again later: nothing is done twice."
                    .to_owned(),
            ],
            Self::Call(error) => {
                vec![error.to_string(), "Check that `SLIPWAY_URL` is the address of Slipway.".to_owned()]
            }
        }
    }

    /// The same in one line.
    pub(crate) fn sentences(&self) -> String {
        let lines = self.lines();
        let parts: Vec<&str> = lines.iter().map(|line| line.trim_end_matches('.')).collect();
        format!("{}.", parts.join(". "))
    }

    pub(crate) fn failure(&self, doing: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, doing, self.lines())
    }
}

/// One question to the edge, and what answers it.
struct Ask<T> {
    method: Method,
    url: String,
    session: Option<Token>,
    body: Vec<u8>,
    answer: PhantomData<T>,
}

impl<T: DeserializeOwned> Endpoint for Ask<T> {
    /// A refusal in the edge's own words is an answer.
    type Output = Result<T, ProblemDetails>;

    fn request(&self) -> Result<Request, http::Error> {
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(&self.url)
            .header(ACCEPT, "application/json, application/problem+json");
        if let Some(session) = &self.session {
            request = request.header(AUTHORIZATION, session.bearer()?);
        }
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(self.body.clone())
    }

    fn parse(&self, response: &Response) -> Result<Self::Output, CallError> {
        let host = || self.url.parse::<http::Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
        let host = host().unwrap_or_default();
        if response.status().is_success() {
            return match serde_json::from_slice(response.body()) {
                Ok(answer) => Ok(Ok(answer)),
                // Asking again would bring the page again.
                Err(_) if is_page(response) => Err(strange(host, response)),
                Err(error) => Err(CallError::Unreadable { host, why: error.to_string() }),
            };
        }
        match serde_json::from_slice(response.body()) {
            Ok(problem) => Ok(Err(problem)),
            Err(_) if is_page(response) || response.status().is_redirection() => Err(strange(host, response)),
            Err(_) => Err(CallError::refused(&host, response)),
        }
    }
}

/// One page of what the edge gives as text.
pub(crate) struct Page {
    pub(crate) text: String,
    /// Whether another follows.
    pub(crate) goes_on: bool,
}

struct GetPage {
    url: String,
    session: Option<Token>,
}

impl Endpoint for GetPage {
    type Output = Result<Page, ProblemDetails>;

    fn request(&self) -> Result<Request, http::Error> {
        let mut request = http::Request::builder().method(Method::GET).uri(&self.url);
        if let Some(session) = &self.session {
            request = request.header(AUTHORIZATION, session.bearer()?);
        }
        request.body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Self::Output, CallError> {
        let host = || self.url.parse::<http::Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
        let host = host().unwrap_or_default();
        if is_page(response) || response.status().is_redirection() {
            return Err(strange(host, response));
        }
        if !response.status().is_success() {
            return serde_json::from_slice(response.body()).map(Err).map_err(|_| CallError::refused(&host, response));
        }
        let unreadable = |_| CallError::Unreadable { host, why: "it is not UTF-8".to_owned() };
        let text = String::from_utf8(response.body().clone()).map_err(unreadable)?;
        let link = response.headers().get(LINK).and_then(|link| link.to_str().ok()).unwrap_or_default();
        Ok(Ok(Page { text, goes_on: link.contains("rel=\"next\"") }))
    }
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().starts_with("text/html"))
}

/// What Slipway never answers: somebody else did, such as a proxy that wants people to sign in.
fn strange(host: String, response: &Response) -> CallError {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let elsewhere = location.and_then(|location| location.parse::<http::Uri>().ok());
    let said = match elsewhere.as_ref().and_then(|uri| uri.authority()) {
        Some(elsewhere) => format!("it sends on to {elsewhere}, which Slipway does not do"),
        None if is_page(response) => "a web page, where Slipway answers with JSON".to_owned(),
        None => "it sends on elsewhere, which Slipway does not do".to_owned(),
    };
    CallError::Refused { host, status: response.status(), said, request_id: None }
}

impl<'a> Edge<'a> {
    /// The edge, asked without a credential.
    pub(crate) fn new(settings: &'a Settings, timeout_s: u32) -> Self {
        let patience_ms = f64::from(timeout_s.min(crate::args::ASK_TIMEOUT_S)) * 1000.0;
        Self { settings, http: Fetch::new(ANSWER_DEADLINE), session: None, patience_ms }
    }

    /// Exchanges the job's ID token, where there is one, for the job's session: the same one each time.
    pub(crate) async fn open(settings: &'a Settings, timeout_s: u32) -> Result<(Self, Option<Session>), Failure> {
        let mut edge = Self::new(settings, timeout_s);
        let url = settings.edge.url(["api", "v1", "sessions"]);
        let id_token = match &settings.credential {
            None => return Ok((edge, None)),
            Some(Credential::Operator(token)) => {
                edge.session = Some(token.clone());
                return Ok((edge, None));
            }
            Some(Credential::Person(token)) => {
                let request = PersonSessionRequest { access_token: token.expose().to_owned() };
                let session: PersonSession = edge.ask(Method::POST, url, Some(&request)).await.map_err(|error| {
                    let mut lines = error.lines();
                    if error.status() == Some(StatusCode::UNAUTHORIZED) {
                        lines.push("GitLab's token is not accepted any more: run `slipway login` again.".to_owned());
                    }
                    Failure::new(Exit::Failed, "cannot sign in to Slipway", lines)
                })?;
                edge.session = Some(Token::new(session.session));
                return Ok((edge, None));
            }
            Some(Credential::Job(id_token)) => id_token,
        };
        let request = SessionRequest { id_token: id_token.expose().to_owned() };
        let session: Session = edge.ask(Method::POST, url, Some(&request)).await.map_err(|error| {
            let mut lines = error.lines();
            if error.status() == Some(StatusCode::UNAUTHORIZED) {
                lines.push(
                    "A session begins with an ID token that is at most 5 minutes old and has Slipway's address as its `aud`. \
                     In a job that builds for longer, run `slipway session` first."
                        .to_owned(),
                );
            }
            Failure::new(Exit::Failed, "cannot open a session for this job", lines)
        })?;
        edge.session = Some(Token::new(session.session.clone()));
        Ok((edge, Some(session)))
    }

    /// Nothing is asked a second time from now on.
    pub(crate) fn asks_once(&mut self) {
        self.patience_ms = 0.0;
    }

    /// Declares what is expected, or what was built.
    pub(crate) async fn declare(&self, patch: &ReleasePatch) -> Result<Release, EdgeError> {
        self.ask(Method::PATCH, self.release_url(&[]), Some(patch)).await
    }

    /// Asks for packages to be released.
    pub(crate) async fn promote(&self, request: &PromotionRequest) -> Result<PromotionAccepted, EdgeError> {
        self.ask(Method::POST, self.release_url(&["promotions"]), Some(request)).await
    }

    /// Stops what has not begun.
    pub(crate) async fn hold(&self, request: &HoldRequest) -> Result<Release, EdgeError> {
        self.ask(Method::POST, self.release_url(&["holds"]), Some(request)).await
    }

    /// Ends a hold.
    pub(crate) async fn lift(&self, request: &HoldRequest) -> Result<Release, EdgeError> {
        self.ask(Method::DELETE, self.release_url(&["holds"]), Some(request)).await
    }

    /// Keeps staged packages for longer.
    pub(crate) async fn extend(&self, request: &ExtensionRequest) -> Result<Release, EdgeError> {
        self.ask(Method::POST, self.release_url(&["extensions"]), Some(request)).await
    }

    /// What becomes of everything that the project has in staging.
    pub(crate) async fn retention(&self) -> Result<Retention, EdgeError> {
        let Settings { edge, project, .. } = self.settings;
        self.ask(Method::GET, edge.url(["api", "v1", "projects", project, "retention"]), None::<&()>).await
    }

    /// Gives the release up.
    pub(crate) async fn close(&self, request: &CloseRequest) -> Result<Release, EdgeError> {
        self.ask(Method::POST, self.release_url(&["close"]), Some(request)).await
    }

    /// Turns the switch of everything.
    pub(crate) async fn turn(&self, is_stop: bool, request: &StopRequest) -> Result<Switch, EdgeError> {
        let method = if is_stop { Method::POST } else { Method::DELETE };
        self.ask(method, self.settings.edge.url(["api", "v1", "stop"]), Some(request)).await
    }

    /// How it stands.
    pub(crate) async fn turned(&self) -> Result<Switch, EdgeError> {
        self.ask(Method::GET, self.settings.edge.url(["api", "v1", "stop"]), None::<&()>).await
    }

    /// Turns the switch of one project. Why it is stopped afterwards.
    pub(crate) async fn turn_project(
        &self,
        is_stop: bool,
        project: &str,
        request: &StopRequest,
    ) -> Result<Option<Stopped>, EdgeError> {
        let method = if is_stop { Method::POST } else { Method::DELETE };
        self.ask(method, self.settings.edge.url(["api", "v1", "projects", project, "stop"]), Some(request)).await
    }

    /// Takes back what is public, or says what that would be.
    pub(crate) async fn withdraw(&self, request: &WithdrawalRequest) -> Result<Withdrawals, EdgeError> {
        self.ask(Method::POST, self.release_url(&["withdrawals"]), Some(request)).await
    }

    /// Opens gates that are closed, with a reason.
    pub(crate) async fn override_gates(&self, request: &OverrideRequest) -> Result<Release, EdgeError> {
        self.ask(Method::POST, self.release_url(&["overrides"]), Some(request)).await
    }

    /// What applies to the project: routes, gates, who may release.
    pub(crate) async fn policy(&self) -> Result<Policy, EdgeError> {
        let Settings { edge, project, .. } = self.settings;
        self.ask(Method::GET, edge.url(["api", "v1", "projects", project, "policy"]), None::<&()>).await
    }

    /// What the public repositories have that did not come through Slipway.
    pub(crate) async fn strangers(&self) -> Result<Strangers, EdgeError> {
        let Settings { edge, project, .. } = self.settings;
        self.ask(Method::GET, edge.url(["api", "v1", "projects", project, "strangers"]), None::<&()>).await
    }

    /// The release as it is.
    pub(crate) async fn release(&self) -> Result<Release, EdgeError> {
        self.ask(Method::GET, self.release_url(&[]), None::<&()>).await
    }

    /// Why the release could not be read; for a name that is not there, with those that are.
    pub(crate) async fn unread(&self, error: EdgeError, doing: impl Into<String>) -> Failure {
        let mut failure = error.failure(doing);
        if error.status() == Some(StatusCode::NOT_FOUND) {
            failure.lines.extend(self.there_are_releases().await);
        }
        failure
    }

    async fn there_are_releases(&self) -> Option<String> {
        let Settings { project, version, .. } = self.settings;
        match self.releases().await {
            Ok(releases) if releases.is_empty() => {
                Some(format!("No release of `{project}` is planned yet: `slipway plan` in a tag's pipeline does that."))
            }
            Ok(releases) => Some(format!(
                "Releases of `{project}`: {}.",
                some(version.as_str(), releases.iter().map(|release| release.version.as_str()))
            )),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Some(format!(
                "`SLIPWAY_PROJECT` is `{project}`: it must be the project's number in GitLab, or its name in `slipway.toml`, not its path."
            )),
            Err(_) => None,
        }
    }

    /// Why a target could not be read; for one that is not there, with those that are.
    pub(crate) async fn unread_target(&self, error: EdgeError, key: &Key, doing: impl Into<String>) -> Failure {
        let mut failure = error.failure(doing);
        if error.status() == Some(StatusCode::NOT_FOUND) {
            match self.release().await {
                Ok(release) => failure.lines.push(match release.packages.iter().find(|package| package.key == *key) {
                    Some(package) => {
                        let names: Vec<_> = package.targets.iter().map(Target::name).collect();
                        format!("`{key}` is for: {}.", names.join(", "))
                    }
                    None => format!(
                        "Its keys: {}.",
                        some(key.as_str(), release.packages.iter().map(|package| package.key.as_str()))
                    ),
                }),
                Err(_) => failure.lines.extend(self.there_are_releases().await),
            }
        }
        failure
    }

    /// Why a release was not changed; for a name that is not there, with those that are.
    pub(crate) async fn unchanged(&self, error: EdgeError, keys: &[Key], doing: impl Into<String>) -> Failure {
        if error.status() == Some(StatusCode::NOT_FOUND) {
            return self.unread(error, doing).await;
        }
        let mut failure = error.failure(doing);
        if matches!(error.kind(), Some("not-planned" | "bad-request"))
            && let Ok(release) = self.release().await
        {
            let all = || release.packages.iter();
            let unknown = keys.iter().find(|key| all().all(|package| package.key != **key));
            if let Some(key) = unknown {
                let names = some(key.as_str(), all().map(|package| package.key.as_str()));
                failure.lines.push(format!("Its keys: {names}."));
            } else if let [key] = keys
                && failure.lines.iter().any(|line| line.contains("has no target"))
                && let Some(package) = all().find(|package| package.key == *key)
            {
                let names: Vec<_> = package.targets.iter().map(Target::name).collect();
                failure.lines.push(format!("`{key}` is for: {}.", names.join(", ")));
            }
        }
        failure
    }

    /// A version's release.
    pub(crate) async fn release_of(&self, version: &Version) -> Result<Release, EdgeError> {
        let Settings { edge, project, .. } = self.settings;
        let url = edge.url(["api", "v1", "projects", project, "releases", version.as_str()]);
        self.ask(Method::GET, url, None::<&()>).await
    }

    /// The project's releases, the newest first.
    pub(crate) async fn releases(&self) -> Result<Vec<ReleaseSummary>, EdgeError> {
        let Settings { edge, project, .. } = self.settings;
        self.ask(Method::GET, edge.url(["api", "v1", "projects", project, "releases"]), None::<&()>).await
    }

    /// Rows of the project's audit from `first` on.
    pub(crate) async fn audit(&self, first: u64) -> Result<Page, EdgeError> {
        self.page(&["audit"], first).await
    }

    /// Signed heads of the project's audit, of the rows from `first` on.
    pub(crate) async fn heads(&self, first: u64) -> Result<Page, EdgeError> {
        self.page(&["audit", "heads"], first).await
    }

    async fn page(&self, what: &[&str], first: u64) -> Result<Page, EdgeError> {
        let Settings { edge, project, .. } = self.settings;
        let path = ["api", "v1", "projects", project.as_str()].into_iter().chain(what.iter().copied());
        let url = format!("{}?first={first}", edge.url(path));
        again(&self.http, self.patience_ms, &GetPage { url, session: self.session.clone() }).await
    }

    /// The release as soon as it has changed since `sequence`, or as it is after `poll_s` seconds.
    pub(crate) async fn change(&self, sequence: u64, poll_s: u32) -> Result<Release, EdgeError> {
        let url = format!("{}?timeout={poll_s}&since={sequence}", self.release_url(&[]));
        self.ask(Method::GET, url, None::<&()>).await
    }

    /// One target and everything that was tried for it.
    pub(crate) async fn history(&self, key: &Key, name: &TargetName) -> Result<TargetHistory, EdgeError> {
        // A tag stands there without its colon: the key's kind tells which it is.
        let url = match name {
            TargetName::Distro(distro) => self.release_url(&["targets", key.as_str(), distro.name(), distro.version()]),
            TargetName::Tag(tag) => self.release_url(&["targets", key.as_str(), tag.as_str()]),
        };
        self.ask(Method::GET, url, None::<&()>).await
    }

    /// The keys that the edge signs with, and those that it did sign with.
    pub(crate) async fn signing_keys(&self) -> Result<SigningKeys, EdgeError> {
        self.ask(Method::GET, self.settings.edge.url(["api", "v1", "signing-key"]), None::<&()>).await
    }

    /// What is attested of a released target.
    pub(crate) async fn attestation(&self, key: &Key, target: &Target) -> Result<Envelope, EdgeError> {
        let target = target.tag.as_deref().unwrap_or(&target.distro);
        let path: Vec<&str> = ["attestations", key.as_str()].into_iter().chain(target.split('/')).collect();
        self.ask(Method::GET, self.release_url(&path), None::<&()>).await
    }

    /// Asks the edge to copy a package within this request, which is held open. `None` without a session: only a job
    /// that may release may carry.
    pub(crate) fn carry(&self, request: &CarryRequest, silence_ms: u32) -> Option<Held> {
        let session = self.session.as_ref()?.bearer().ok()?;
        let body = serde_json::to_string(request).ok()?;
        let headers = [
            (AUTHORIZATION.as_str(), session.to_str().ok()?),
            (CONTENT_TYPE.as_str(), "application/json"),
            (ACCEPT.as_str(), "application/x-ndjson, application/problem+json"),
        ];
        Some(host::hold(&self.release_url(&["carries"]), &headers, &body, silence_ms))
    }

    fn release_url(&self, rest: &[&str]) -> String {
        let Settings { edge, project, version, .. } = self.settings;
        edge.url(
            ["api", "v1", "projects", project, "releases", version.as_str()].into_iter().chain(rest.iter().copied()),
        )
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: String,
        body: Option<&impl Serialize>,
    ) -> Result<T, EdgeError> {
        ask(&self.http, self.session.as_ref(), self.patience_ms, method, url, body).await
    }
}

/// An attestation at the address that a release names, read as anybody would.
pub(crate) async fn attestation_at(url: &str) -> Result<Envelope, EdgeError> {
    let patience_ms = f64::from(crate::args::ASK_TIMEOUT_S) * 1000.0;
    ask(&Fetch::new(ANSWER_DEADLINE), None, patience_ms, Method::GET, url.to_owned(), None::<&()>).await
}

/// Asks until there is an answer that another try cannot better, or patience ends.
async fn ask<T: DeserializeOwned>(
    http: &Fetch,
    session: Option<&Token>,
    patience_ms: f64,
    method: Method,
    url: String,
    body: Option<&impl Serialize>,
) -> Result<T, EdgeError> {
    let body = body.map(serde_json::to_vec).transpose();
    let body = body.map_err(|error| EdgeError::Call(CallError::Unsendable(error.to_string())))?;
    let session = session.cloned();
    let ask = Ask { method, url, session, body: body.unwrap_or_default(), answer: PhantomData };
    again(http, patience_ms, &ask).await
}

/// The same, of any question that the edge may refuse in its own words.
async fn again<T>(
    http: &Fetch,
    patience_ms: f64,
    ask: &impl Endpoint<Output = Result<T, ProblemDetails>>,
) -> Result<T, EdgeError> {
    let end = host::now_ms() + patience_ms;
    let (mut pauses, mut complaints) = (Pauses::default(), Complaints::default());
    loop {
        let error = match call(http, ask).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) => EdgeError::Refused(problem),
            Err(error) => EdgeError::Call(error),
        };
        let (pause, now) = (pauses.next_ms(), host::now_ms());
        if !error.may_pass() || now + pause > end {
            return Err(error);
        }
        if let Some(line) = complaints.say(&error.lines().swap_remove(0), now, end) {
            host::complain(&line);
        }
        host::pause_ms(pause).await;
    }
}

/// What is said while an answer is awaited: something else that went wrong at once, and the same only now and then, so that a
/// job's log does not fill with one line.
#[derive(Default)]
struct Complaints {
    last: Option<(String, f64)>,
}

impl Complaints {
    fn say(&mut self, what: &str, now_ms: f64, end_ms: f64) -> Option<String> {
        if self.last.as_ref().is_some_and(|(last, at_ms)| last == what && now_ms - at_ms < COMPLAIN_MS) {
            return None;
        }
        self.last = Some((what.to_owned(), now_ms));
        let left_s = ((end_ms - now_ms) / 1000.0).ceil();
        Some(format!("slipway: {what}; trying again for another {left_s} s\n"))
    }
}

/// Some of the names that there are, and the one that may have been meant.
fn some<'a>(word: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    let shown: Vec<&str> = names.clone().take(NAMES_MAX).collect();
    let more = names.clone().count().saturating_sub(shown.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let meant = meant(word, names);
    let meant = meant
        .strip_prefix("; ")
        .and_then(|meant| meant.strip_suffix(" is"))
        .map(|name| format!(" (did you mean {name}?)"));
    format!("{}{more}{}", shown.join(", "), meant.unwrap_or_default())
}

/// Where people sign in. `None` when this Slipway has nobody sign in.
pub(crate) async fn sign_in(base: &Base, timeout_s: u32) -> Result<Option<SignIn>, EdgeError> {
    let patience_ms = f64::from(timeout_s.min(crate::args::ASK_TIMEOUT_S)) * 1000.0;
    let http = Fetch::new(ANSWER_DEADLINE);
    let url = base.url(["api", "v1", "sign-in"]);
    match ask(&http, None, patience_ms, Method::GET, url, None::<&()>).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the edge found of its own secrets.
pub(crate) async fn readiness(base: &Base, operator: &Token) -> Result<Readiness, EdgeError> {
    let http = Fetch::new(ANSWER_DEADLINE);
    ask(&http, Some(operator), 0.0, Method::GET, base.url(["readyz", "secrets"]), None::<&()>).await
}

/// Ends the sessions of a person. One whom GitLab does not know any more has none that could be opened.
pub(crate) async fn sign_out(base: &Base, access_token: &Token) -> Result<(), String> {
    let http = Fetch::new(ANSWER_DEADLINE);
    let url = base.url(["api", "v1", "sessions"]);
    let request = PersonSessionRequest { access_token: access_token.expose().to_owned() };
    let session: PersonSession = match ask(&http, None, 0.0, Method::POST, url.clone(), Some(&request)).await {
        Ok(session) => session,
        Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => return Ok(()),
        Err(error) => return Err(error.lines().join(" ")),
    };
    let unsendable = |error: http::Error| error.to_string();
    let request = http::Request::delete(url)
        .header(AUTHORIZATION, Token::new(session.session).bearer().map_err(unsendable)?)
        .body(Vec::new())
        .map_err(unsendable)?;
    let answer = http.send(request).await.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status().as_u16())) }
}

/// Pauses that double, up to a limit.
#[derive(Default)]
pub(crate) struct Pauses {
    last_ms: f64,
}

impl Pauses {
    pub(crate) fn next_ms(&mut self) -> f64 {
        let (first, longest) = PAUSE_MS;
        self.last_ms = (self.last_ms * 2.0).clamp(first, longest);
        self.last_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_in_thirty_seconds_and_another_one_at_once() {
        let mut complaints = Complaints::default();
        let mut say = |what, now_s: f64| complaints.say(what, now_s * 1000.0, 120_000.0);
        assert_eq!(say("no answer", 0.0).as_deref(), Some("slipway: no answer; trying again for another 120 s\n"));
        for now_s in [0.5, 10.0, 29.9] {
            assert_eq!(say("no answer", now_s), None, "{now_s} s");
        }
        assert_eq!(say("no answer", 30.2).as_deref(), Some("slipway: no answer; trying again for another 90 s\n"));
        assert_eq!(
            say("answered 503", 31.0).as_deref(),
            Some("slipway: answered 503; trying again for another 89 s\n")
        );
        assert_eq!(say("answered 503", 60.9), None);
    }
}
