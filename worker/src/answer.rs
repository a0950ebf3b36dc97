//! Answers: JSON, and problems as RFC 9457 describes them.

use serde::Serialize;
use slipway_core::api::ProblemDetails;
use slipway_edge::denied::{Denied, Unanswered};
use slipway_ledger::{LedgerError, MigrationError, SqlError};
use worker::{Headers, Response};

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
}

impl Problem {
    pub(crate) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into() }
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
        headers.set("cache-control", "no-store")?;
        headers.set("x-content-type-options", "nosniff")?;
        Ok(Response::from_bytes(serde_json::to_vec(&details)?)?.with_status(self.status).with_headers(headers))
    }
}

/// An error of the runtime. It is logged for the operator; the caller learns only that it happened.
impl From<worker::Error> for Problem {
    fn from(error: worker::Error) -> Self {
        worker::console_error!("{{\"level\":\"error\",\"what\":{}}}", serde_json::Value::from(error.to_string()));
        Self::new(
            500,
            "internal",
            "The edge failed at this; nothing was acknowledged. Try again, then look at its log.",
        )
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
        Self { status, kind, detail }
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
            LedgerError::NotReplaceable { .. } | LedgerError::StillNeeded { .. } => {
                Self::new(409, "not-replaceable", detail)
            }
            LedgerError::SharedFile { .. } => Self::new(409, "shared-file", detail),
            LedgerError::OtherFile(_) => Self::new(422, "other-file", detail),
            LedgerError::Closed { .. } => Self::new(409, "closed", detail),
            LedgerError::NoRelease { .. } => Self::not_found("such release"),
            LedgerError::NotHeld { .. } => Self::new(409, "not-held", detail),
            LedgerError::Skipped { .. } => Self::new(409, "skipped", detail),
        }
    }
}

/// 200 or another success, with JSON that no cache may keep for others.
pub(crate) fn json<T: Serialize>(status: u16, value: &T) -> Answer {
    let response = Response::from_json(value)?.with_status(status);
    response.headers().set("cache-control", "private, max-age=0, must-revalidate")?;
    response.headers().set("x-content-type-options", "nosniff")?;
    Ok(response)
}

/// Turns a handler's end into an answer.
pub(crate) fn finish(answer: Answer) -> worker::Result<Response> {
    answer.or_else(|problem| problem.response())
}
