//! What webhooks hinted at: kept before it is acknowledged, open until it is looked into.

use slipway_core::time::Timestamp;

use super::{Hint, LedgerError, Record};
use crate::sql::Sql;

impl<S: Sql> Record<S> {
    /// Keeps a webhook's hint. One look at a job serves all that hint at it meanwhile. A delivery that was looked into is
    /// looked into again: GitLab sends one again only when a person asks for it, and a job is not approved twice. A key
    /// that comes with another job is another delivery: whoever makes the keys cannot have one job hide another.
    pub fn keep_hint(&self, delivery: &str, job_id: u64, now: Timestamp) -> Result<(), LedgerError> {
        let delivery = format!("{delivery} of {job_id}");
        self.0.atomically(|| {
            let open = self.0.query(
                "UPDATE hints SET due_at = ? WHERE job_id = ? AND due_at IS NOT NULL RETURNING id",
                &[now.0.into(), job_id.into()],
            )?;
            if open.is_empty() {
                self.0.query(
                    "INSERT INTO hints (delivery, job_id, received_at, tries, due_at) VALUES (?, ?, ?, 0, ?)
                     ON CONFLICT (delivery) DO UPDATE SET due_at = excluded.due_at, tries = 0",
                    &[delivery.into(), job_id.into(), now.0.into(), now.0.into()],
                )?;
            }
            Ok(())
        })
    }

    /// Hints that are to be looked into now, the one due first at the head. None is put off beyond `latest`: one that
    /// seems to be was put off when the clock was wrong, and is due.
    pub fn due_hints(&self, now: Timestamp, latest: Timestamp) -> Result<Vec<Hint>, LedgerError> {
        let rows = self.0.query(
            "SELECT id, job_id, tries FROM hints WHERE due_at <= ? OR due_at > ? ORDER BY due_at, id LIMIT 100",
            &[now.0.into(), latest.0.into()],
        )?;
        rows.iter()
            .map(|row| {
                let tries = u32::try_from(row.natural(2)?).unwrap_or(u32::MAX);
                Ok(Hint { id: row.natural(0)?, job_id: row.natural(1)?, tries })
            })
            .collect()
    }

    /// When the next hint is to be looked into, at the latest at `latest`. `None` when none is open.
    pub fn next_hint(&self, latest: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query("SELECT due_at FROM hints WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1", &[])?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(|due_at| Timestamp(due_at).min(latest)))
    }

    /// A hint was looked into.
    pub fn settle_hint(&self, id: u64, outcome: &str) -> Result<(), LedgerError> {
        self.0.query("UPDATE hints SET due_at = NULL, outcome = ? WHERE id = ?", &[outcome.into(), id.into()])?;
        Ok(())
    }

    /// A hint could not be looked into now.
    pub fn postpone_hint(&self, id: u64, why: &str, due_at: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE hints SET tries = tries + 1, due_at = ?, outcome = ? WHERE id = ?",
            &[due_at.0.into(), why.into(), id.into()],
        )?;
        Ok(())
    }
}
