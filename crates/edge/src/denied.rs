//! Why somebody who asks is not given what was asked for, as every host answers it.

use slipway_core::release::Version;
use slipway_core::time::Timestamp;
use slipway_ledger::{LedgerError, Record, Sql};

/// What is answered instead: a problem as RFC 9457 describes it, without its looks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Denied {
    /// The HTTP status. 5xx: nothing is decided, and trying again can help.
    pub status: u16,
    /// A stable name.
    pub kind: &'static str,
    /// What was being done to what, why it failed, what to do next.
    pub detail: String,
}

impl Denied {
    pub(crate) fn new(status: u16, kind: &'static str, detail: String) -> Self {
        Self { status, kind, detail }
    }
}

/// Nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It is answered so.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The record fails, or has a reason of its own.
    #[error(transparent)]
    Record(#[from] LedgerError),
}

impl Unanswered {
    /// Why it is not to be. `None` where it was asked in a way that is not understood, of what is not there, or where something
    /// failed: that says nothing of what was asked for.
    fn refusal(&self) -> Option<String> {
        match self {
            Self::Denied(denied) if matches!(denied.status, 403 | 409) => Some(denied.detail.clone()),
            Self::Record(error) if error.is_refusal() => Some(format!("{error}.")),
            _ => None,
        }
    }
}

/// What came of an act that somebody asked of a release. One that was refused is in the audit, once however often it is asked.
pub fn audited<S: Sql, T>(
    record: &Record<S>,
    (version, by, act): (&Version, &str, &str),
    came: Result<T, Unanswered>,
    now: Timestamp,
) -> Result<T, Unanswered> {
    if let Some(why) = came.as_ref().err().and_then(Unanswered::refusal) {
        record.refused_of(version, by, act, &why, now)?;
    }
    came
}
