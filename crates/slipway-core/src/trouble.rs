//! Why something could not be done or seen, in facts on which a retry and a person can act, whatever the service.
//!
//! It crosses between the edge's objects and is kept, so it holds words and numbers alone: no request, and no secret.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use slipway_wire::{CallError, Errand, Wait};

use crate::api::Evidence;
use crate::problem::Code;

/// Something that did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{what}")]
pub struct Trouble {
    /// What it means for the next try.
    pub kind: TroubleKind,
    /// What was being done to what, and why it failed, in one sentence without its full stop.
    pub what: String,
    /// What the service said.
    pub evidence: Option<Evidence>,
}

/// What a trouble means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// No answer, or none that can be read: it may go better later.
    Passing,
    /// The server has more to do than it can: it may go better later, and sooner if less is asked of it.
    Busy,
    /// Too much was asked of it lately, and it says when it may be asked again.
    Throttled {
        /// How long that is, or until when.
        wait: Wait,
    },
    /// The account is cut off until a person pays, raises its plan or waits for its period to end. 429 and 402 from
    /// packagecloud mean this and never a rate of requests, so asking again does not help.
    CutOff,
    /// Asking again, unchanged, brings the same answer.
    Final(Code),
}

impl Trouble {
    /// A trouble that no service gave a reason for.
    pub fn passing(what: impl Into<String>) -> Self {
        Self { kind: TroubleKind::Passing, what: what.into(), evidence: None }
    }

    /// One that only a person can end.
    pub fn lasting(code: Code, what: impl Into<String>) -> Self {
        Self { kind: TroubleKind::Final(code), what: what.into(), evidence: None }
    }

    /// The same, with what a host said.
    #[must_use]
    pub fn seen_at(self, host: String, status: StatusCode) -> Self {
        Self { evidence: Some(Evidence { host, status: Some(status.as_u16()), request_id: None }), ..self }
    }

    /// What a failed call means. `doing` says what was being done, to what: `cannot push tug.deb`.
    pub fn of(error: &CallError, doing: &str) -> Self {
        let kind = match error.status() {
            // Of a service that says itself that it is only busy, 429 means no more than that.
            _ if matches!(error, CallError::Busy { .. }) => {
                error.wait().map_or(TroubleKind::Busy, |wait| TroubleKind::Throttled { wait })
            }
            Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYMENT_REQUIRED) => TroubleKind::CutOff,
            Some(status) if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => TroubleKind::Busy,
            _ if error.may_pass() => TroubleKind::Passing,
            _ if matches!(error, CallError::Foreign { errand: Errand::Token, .. }) => {
                TroubleKind::Final(Code::ForeignRealm)
            }
            _ if matches!(error, CallError::Foreign { errand: Errand::Bytes, .. }) => {
                TroubleKind::Final(Code::ForeignStorage)
            }
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                TroubleKind::Final(Code::NoAccess)
            }
            _ => TroubleKind::Final(Code::Refused),
        };
        let evidence = match error {
            CallError::Refused { host, status, request_id, .. } => Some(Evidence {
                host: host.clone(),
                status: Some(status.as_u16()),
                request_id: request_id.as_deref().map(|id| id.chars().take(100).collect()),
            }),
            CallError::Busy { host, status, .. } => {
                Some(Evidence { host: host.clone(), status: Some(status.as_u16()), request_id: None })
            }
            CallError::Unreachable(unreachable) => Some(evidence(&unreachable.host)),
            CallError::Unreadable { host, .. } | CallError::Foreign { host, .. } => Some(evidence(host)),
            CallError::Unsendable(_) => None,
        };
        Self { kind, what: format!("{doing}: {error}"), evidence }
    }

    /// Whether asking again, later and unchanged, may go better.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, TroubleKind::Passing | TroubleKind::Busy | TroubleKind::Throttled { .. })
    }
}

fn evidence(host: &str) -> Evidence {
    Evidence { host: host.to_owned(), status: None, request_id: None }
}

#[cfg(test)]
mod tests {
    use slipway_wire::Unreachable;

    use super::*;

    fn refused(status: u16) -> Trouble {
        let status = StatusCode::from_u16(status).expect("a status");
        let (host, said) = ("p.example.com".to_owned(), "no".to_owned());
        Trouble::of(&CallError::Refused { host, status, said, request_id: Some("r1".to_owned()) }, "cannot push `x`")
    }

    #[test]
    fn a_status_says_whether_and_how_to_go_on() {
        for (status, kind) in [
            (500, TroubleKind::Busy),
            (504, TroubleKind::Busy),
            (408, TroubleKind::Busy),
            (429, TroubleKind::CutOff),
            (402, TroubleKind::CutOff),
            (401, TroubleKind::Final(Code::NoAccess)),
            (403, TroubleKind::Final(Code::NoAccess)),
            (404, TroubleKind::Final(Code::NoAccess)),
            (413, TroubleKind::Final(Code::Refused)),
            (422, TroubleKind::Final(Code::Refused)),
        ] {
            assert_eq!(refused(status).kind, kind, "{status}");
        }
    }

    #[test]
    fn a_registry_that_asks_to_wait_is_busy_and_not_cut_off() {
        let (host, said) = ("r.example.com".to_owned(), "slow down".to_owned());
        let told = Wait::Until(1_795_392_000);
        for (wait, kind) in [(None, TroubleKind::Busy), (Some(told), TroubleKind::Throttled { wait: told })] {
            let (host, said) = (host.clone(), said.clone());
            let busy = CallError::Busy { host, status: StatusCode::TOO_MANY_REQUESTS, wait, said };
            let trouble = Trouble::of(&busy, "cannot look");
            assert_eq!(trouble.kind, kind);
            assert!(trouble.may_pass(), "{trouble}");
        }
    }

    #[test]
    fn a_server_that_sends_to_an_address_that_nobody_named_needs_a_person_at_once() {
        for (errand, code) in [(Errand::Token, Code::ForeignRealm), (Errand::Bytes, Code::ForeignStorage)] {
            let (host, why) = ("r.example.com".to_owned(), "it sends to elsewhere.example.net".to_owned());
            let foreign = Trouble::of(&CallError::Foreign { host, errand, why }, "cannot look");
            assert_eq!(foreign.kind, TroubleKind::Final(code));
            assert_eq!(foreign.evidence.as_ref().map(|evidence| evidence.host.as_str()), Some("r.example.com"));
            assert!(!foreign.may_pass(), "{foreign}");
        }
    }

    #[test]
    fn the_evidence_is_the_host_its_status_and_its_own_name_for_the_request() {
        let Trouble { what, evidence, .. } = refused(504);
        assert_eq!(what, "cannot push `x`: p.example.com answered 504 Gateway Timeout: no");
        let (host, request_id) = ("p.example.com".to_owned(), Some("r1".to_owned()));
        assert_eq!(evidence, Some(Evidence { host, status: Some(504), request_id }));

        let silent = CallError::Unreachable(Unreachable { host: "p.example.com".to_owned(), why: "reset".to_owned() });
        let silent = Trouble::of(&silent, "cannot look");
        assert_eq!((silent.kind, silent.evidence.and_then(|evidence| evidence.status)), (TroubleKind::Passing, None));
    }
}
