//! Refusals of what is no promotion: somebody who has shown who they are may not do what they asked for, or it cannot be done.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_core::release::Version;
use slipway_core::time::Timestamp;

use super::{Event, LedgerError, Record};
use crate::sql::Sql;

/// The same refusal is written once in this time, so that a job that asks in a loop fills no audit.
const AGAIN: Duration = Duration::from_mins(10);
/// How many of the last rows are looked at for it.
const ROWS: i64 = 200;

impl<S: Sql> Record<S> {
    /// Writes down that somebody was refused, whatever it was about.
    pub fn refused_at_the_door(&self, actor: &str, act: &str, why: &str, now: Timestamp) -> Result<(), LedgerError> {
        self.refused_once(actor, act, &json!({ "why": why }), now)
    }

    /// Writes down that somebody was refused what they asked of a release. It changes nothing of that, so nobody who follows it
    /// is told.
    pub fn refused_of(
        &self,
        version: &Version,
        actor: &str,
        act: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.refused_once(actor, version.as_str(), &json!({ "act": act, "why": why }), now)
    }

    fn refused_once(&self, actor: &str, subject: &str, details: &Value, now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let details = details.to_string();
            let same = self.0.query(
                "SELECT sequence FROM audit WHERE sequence > (SELECT COALESCE(MAX(sequence), 0) FROM audit) - ?
                   AND actor = ? AND action = 'refused' AND subject = ? AND details = ? AND at > ? AND at <= ?",
                &[
                    ROWS.into(),
                    actor.into(),
                    subject.into(),
                    details.as_str().into(),
                    (now - AGAIN).0.into(),
                    now.0.into(),
                ],
            )?;
            if !same.is_empty() {
                return Ok(());
            }
            let event = Event {
                at: now,
                actor: actor.to_owned(),
                action: "refused".to_owned(),
                subject: subject.to_owned(),
                details,
            };
            self.append(&event)
        })
    }
}
