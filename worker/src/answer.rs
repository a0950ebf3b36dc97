//! Answers: JSON, and problems as RFC 9457 describes them.

use serde::Serialize;
use slipway_core::api::ProblemDetails;
use slipway_core::body::BadBody;
use slipway_core::query::BadQuery;
use slipway_edge::denied::{Denied, Unanswered};
use slipway_edge::port::Silent;
use slipway_ledger::{LedgerError, MigrationError, SqlError};
use worker::{Headers, Response, ResponseBody};

/// For what no cache may keep for others.
pub(crate) const PRIVATE: &str = "private, max-age=0, must-revalidate";
/// By what of a request an answer may differ: a member and a stranger are answered otherwise at one address.
pub(crate) const VARY: &str = "Accept, Authorization, Cookie";
/// What every answer may load and where it may be shown, unless it is a page and says more: nothing, nowhere. `default-src` says
/// nothing of frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// For what no cache may keep, not even that of whoever asked.
pub(crate) const NO_STORE: &str = "no-store";

/// What a handler gives back.
pub(crate) type Answer = Result<Response, Problem>;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A stable name.
    pub kind: &'static str,
    /// What was being done to what, why it failed, what to do next.
    pub detail: String,
    /// With 405: the methods that there are.
    pub allow: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), allow: None }
    }

    /// 405: there is something here, but not for this method.
    pub(crate) fn method_not_allowed(method: &str, allow: String) -> Self {
        let method: String = method.chars().take(40).collect();
        let detail = format!("`{method}` is not answered here; use {allow}.");
        Self { allow: Some(allow), ..Self::new(405, "method-not-allowed", detail) }
    }

    /// Two problems of one request: the first one's kind, both details.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self { detail: format!("{} {}", self.detail, other.detail), ..self }
    }

    /// 401, with no more than that: a stranger learns nothing of what is there.
    pub(crate) fn unauthorised() -> Self {
        Self::new(
            401,
            "unauthorised",
            "Show who you are: a job or a person sends a session, a webhook its secret token or its signature.",
        )
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, "not-found", format!("There is no {what} here."))
    }

    /// As `application/problem+json`.
    pub(crate) fn response(&self) -> worker::Result<Response> {
        let details = ProblemDetails {
            kind: format!("urn:slipway:problem:{}", self.kind),
            title: self.kind.replace('-', " "),
            status: self.status,
            detail: self.detail.clone(),
        };
        let headers = Headers::new();
        headers.set("content-type", "application/problem+json")?;
        headers.set("cache-control", NO_STORE)?;
        Ok(Response::from_bytes(serde_json::to_vec(&details)?)?.with_status(self.status).with_headers(headers))
    }
}

impl From<BadQuery> for Problem {
    fn from(error: BadQuery) -> Self {
        Self::new(400, "bad-request", format!("The query is not understood: {error}."))
    }
}

impl From<BadBody> for Problem {
    fn from(error: BadBody) -> Self {
        Self::new(400, "bad-request", format!("The body is not understood: {error}."))
    }
}

/// An error of the runtime. It is logged for the operator; the caller learns only that it happened.
impl From<worker::Error> for Problem {
    fn from(error: worker::Error) -> Self {
        crate::log::trouble!("{error}");
        Self::new(
            500,
            "internal",
            "The edge failed at this; nothing was acknowledged. Try again, then look at its log.",
        )
    }
}

impl From<Silent> for Problem {
    fn from(silent: Silent) -> Self {
        worker::Error::RustError(silent.to_string()).into()
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        worker::Error::from(error).into()
    }
}

impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Self {
        worker::Error::RustError(error.to_string()).into()
    }
}

impl From<MigrationError> for Problem {
    fn from(error: MigrationError) -> Self {
        worker::Error::RustError(error.to_string()).into()
    }
}

impl From<Denied> for Problem {
    fn from(Denied { status, kind, detail }: Denied) -> Self {
        Self::new(status, kind, detail)
    }
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Denied(denied) => denied.into(),
            Unanswered::Record(error) => error.into(),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let detail = format!("{error}.");
        match error {
            LedgerError::Sql(_) | LedgerError::Json(_) | LedgerError::Unknown(_) => {
                worker::Error::RustError(detail).into()
            }
            LedgerError::OtherPipeline { .. } => Self::new(409, "other-pipeline", detail),
            LedgerError::OtherExpectation { .. } => Self::new(409, "other-expectation", detail),
            LedgerError::OtherPlanner { .. } => Self::new(409, "other-planner", detail),
            LedgerError::TooManyTargets { .. } => Self::new(422, "too-many-targets", detail),
            LedgerError::SharedJob { .. } => Self::new(409, "shared-job", detail),
            LedgerError::NotPlanned { .. } => Self::new(409, "not-planned", detail),
            LedgerError::OtherDigest { .. } => Self::new(409, "other-digest", detail),
            LedgerError::NotReplaceable { .. } | LedgerError::Promised { .. } | LedgerError::StillNeeded { .. } => {
                Self::new(409, "not-replaceable", detail)
            }
            LedgerError::SharedFile { .. } => Self::new(409, "shared-file", detail),
            LedgerError::OtherFile(_) => Self::new(422, "other-file", detail),
            LedgerError::Closed { .. } => Self::new(409, "closed", detail),
            LedgerError::NotReleased { .. } | LedgerError::NothingReleased { .. } => {
                Self::new(409, "not-released", detail)
            }
            LedgerError::SharedWithOthers { .. } => Self::new(409, "shared", detail),
            LedgerError::NoTarget { .. } => Self::new(422, "bad-request", detail),
            LedgerError::NoRelease { .. } => Self::not_found("such release"),
            LedgerError::NotHeld { .. } => Self::new(409, "not-held", detail),
            LedgerError::Skipped { .. } => Self::new(409, "skipped", detail),
            LedgerError::BeingDeleted { .. } => Self::new(409, "being-deleted", detail),
            LedgerError::Importing => Self::new(503, "importing", detail),
        }
    }
}

/// 200 or another success, with JSON that no cache may keep for others.
pub(crate) fn json<T: Serialize>(status: u16, value: &T) -> Answer {
    let response = Response::from_json(value)?.with_status(status);
    response.headers().set("cache-control", PRIVATE)?;
    Ok(response)
}

/// The same, with a credential or what is said of one.
pub(crate) fn secret_json<T: Serialize>(status: u16, value: &T) -> Answer {
    let response = json(status, value)?;
    response.headers().set("cache-control", NO_STORE)?;
    Ok(response)
}

/// Turns a handler's end into an answer.
pub(crate) fn finish(answer: Answer) -> worker::Result<Response> {
    answer.or_else(|problem| problem.response())
}

/// An answer as it leaves the edge: none is taken for something else than it says it is, none may load anything that it does not
/// name, and one to `HEAD` has no body.
pub(crate) fn outward(response: Response, allow: Option<&str>, is_head: bool, id: &str) -> worker::Result<Response> {
    // A socket goes out as it is.
    if response.status_code() == 101 {
        return Ok(response);
    }
    // What an object has answered cannot be changed, so its headers are copied.
    let headers = Headers::new();
    for (name, value) in response.headers().entries() {
        headers.append(&name, &value)?;
    }
    headers.set("x-content-type-options", "nosniff")?;
    if !headers.has("content-security-policy")? {
        headers.set("content-security-policy", CONTENT_SECURITY_POLICY)?;
    }
    // The log has it, too.
    headers.set("x-request-id", id)?;
    if let Some(allow) = allow {
        headers.set("allow", allow)?;
    }
    if !is_head {
        return Ok(response.with_headers(headers));
    }
    if let ResponseBody::Stream(stream) = response.body() {
        drop(stream.cancel());
    }
    Ok(Response::empty()?.with_status(response.status_code()).with_headers(headers))
}
