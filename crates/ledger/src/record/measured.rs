//! What a project's record says of itself in numbers, for an operator's monitoring.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_core::time::Timestamp;

use super::{LedgerError, Record};
use crate::sql::Sql;

/// Deletions have no table that keeps them when they are over. Rows of the audit tell of them, which an index finds: so the others
/// are not read, of which there are a hundred to one. The words are those of the index, or it is not used.
pub(super) const DELETIONS: &str =
    "SELECT action, COUNT(*) FROM audit WHERE action IN ('deleted', 'not-deleted') GROUP BY action";

/// The numbers of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Targets, by their states.
    pub targets: BTreeMap<String, u64>,
    /// Targets that are not further, by the codes of their problems.
    pub problems: BTreeMap<String, u64>,
    /// What was tried, by how it ended.
    pub attempts: BTreeMap<String, u64>,
    /// Bytes that are staged, by place.
    pub staged_bytes: BTreeMap<String, u64>,
    /// How long the one that is longest on its way has been so.
    pub oldest_moving_seconds: u64,
    /// Webhooks' hints that are not looked into yet.
    pub hints: u64,
    /// How long the oldest of them has waited.
    pub oldest_hint_seconds: u64,
    /// Orders that no package's object has taken.
    pub orders: u64,
    /// Events that are not delivered yet.
    pub notices: u64,
    /// Commit statuses that are not told yet.
    pub statuses: u64,
    /// Attestations that are not signed, or not attached to their images, yet.
    pub attestations: u64,
    /// What staging has and will be deleted, by how far that is.
    pub retention: BTreeMap<String, u64>,
    /// Deletions from staging that ever ended, by whether the server did it.
    pub deletions: BTreeMap<String, u64>,
    /// What was ever to be taken back, by how far it is.
    pub withdrawals: BTreeMap<String, u64>,
    /// Approvals that were ever given.
    pub approvals: u64,
    /// Jobs that were ever refused.
    pub refusals: u64,
    /// Rows of the audit.
    pub audit_rows: u64,
    /// Holds now.
    pub holds: u64,
    /// Releases, and those of them that are not closed.
    pub releases: u64,
    /// Those that are not closed.
    pub open_releases: u64,
    /// Whether nothing is published or deleted now.
    pub is_stopped: bool,
}

impl<S: Sql> Record<S> {
    /// The numbers, as they are now.
    pub fn measured(&self, now: Timestamp) -> Result<Measured, LedgerError> {
        let one = |statement: &str| -> Result<u64, LedgerError> {
            let rows = self.0.query(statement, &[])?;
            Ok(rows.first().map(|row| row.natural_or_null(0)).transpose()?.flatten().unwrap_or_default())
        };
        let many = |statement: &str| -> Result<BTreeMap<String, u64>, LedgerError> {
            let rows = self.0.query(statement, &[])?;
            rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.natural(1)?))).collect()
        };
        let age = |statement: &str| -> Result<u64, LedgerError> {
            let rows = self.0.query(statement, &[])?;
            let since = rows.first().map(|row| row.integer_or_null(0)).transpose()?.flatten();
            Ok(since.map_or(0, |since| now.since(Timestamp(since)).as_secs()))
        };
        Ok(Measured {
            targets: many("SELECT state, COUNT(*) FROM targets GROUP BY state")?,
            problems: many(
                "SELECT json_extract(problem, '$.code'), COUNT(*) FROM targets
                 WHERE problem IS NOT NULL AND state <> 'skipped' GROUP BY 1",
            )?,
            attempts: many("SELECT json_extract(attempt, '$.ended'), COUNT(*) FROM attempts GROUP BY 1")?,
            staged_bytes: self.staged_bytes()?,
            oldest_moving_seconds: age("SELECT MIN(since) FROM targets WHERE state IN ('approved', 'releasing')")?,
            hints: one("SELECT COUNT(*) FROM hints WHERE due_at IS NOT NULL")?,
            oldest_hint_seconds: age("SELECT MIN(received_at) FROM hints WHERE due_at IS NOT NULL")?,
            orders: one("SELECT COUNT(*) FROM dispatches")?,
            notices: one("SELECT COUNT(*) FROM deliveries WHERE due_at IS NOT NULL")?,
            statuses: one("SELECT COUNT(*) FROM statuses WHERE due_at IS NOT NULL")?,
            attestations: one("SELECT COUNT(*) FROM attestations WHERE due_at IS NOT NULL")?,
            retention: many("SELECT stage, COUNT(*) FROM retention GROUP BY stage")?,
            deletions: many(DELETIONS)?,
            withdrawals: many("SELECT state, COUNT(*) FROM withdrawals GROUP BY state")?,
            approvals: one("SELECT COUNT(*) FROM approvals")?,
            refusals: one("SELECT COUNT(*) FROM refusals")?,
            audit_rows: one("SELECT MAX(sequence) FROM audit")?,
            holds: one("SELECT COUNT(*) FROM holds WHERE is_over = 0")?,
            releases: one("SELECT COUNT(*) FROM releases")?,
            open_releases: one("SELECT COUNT(*) FROM releases WHERE closed_at IS NULL")?,
            is_stopped: self.is_stopped()?,
        })
    }
}
