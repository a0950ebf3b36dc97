//! Why somebody who asks is not given what was asked for, as every host answers it.

use slipway_ledger::LedgerError;

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
