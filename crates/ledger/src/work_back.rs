//! The other work of one package of one release: what is taken back of it, and how far that is.

use serde::{Deserialize, Serialize};
use slipway_core::api::WithdrawalState;
use slipway_core::store::Floated;
use slipway_core::time::Timestamp;
use slipway_core::withdrawal::{Patience, Withdrawal, WithdrawalReport};

use crate::record::LedgerError;
use crate::sql::{Row, Sql};
use crate::work::Work;

/// Its table.
pub(crate) const WITHDRAWALS: &[&str] = &["CREATE TABLE withdrawals (
        distro TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        task TEXT NOT NULL,
        due_at INTEGER,
        report TEXT
    )"];

/// One target that is being taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawing {
    /// What.
    pub withdrawal: Withdrawal,
    /// What its runs have shown so far.
    pub patience: Patience,
    /// Whether the act was begun, in this run or before.
    pub begun: bool,
    /// Since when a run is under way. One that was cut off has left it.
    pub runs_since: Option<Timestamp>,
    /// When the slot was last asked for: the end of that one alone gives it back.
    #[serde(default)]
    pub slot_asked_at: Option<Timestamp>,
    /// What was done besides, a sentence each.
    pub notes: Vec<String>,
    /// The floating tags that were set back, or taken away.
    #[serde(default)]
    pub floating: Vec<Floated>,
    /// How many reports there were.
    pub reports: u64,
}

impl<S: Sql> Work<S> {
    /// Takes a withdrawal. One that is known goes on as it is; one that has ended is reported again, since whoever sends it
    /// twice has not heard of its end.
    pub fn accept_withdrawal(&self, withdrawal: &Withdrawal, now: Timestamp) -> Result<(), LedgerError> {
        let task = Withdrawing {
            withdrawal: withdrawal.clone(),
            patience: Patience::default(),
            begun: false,
            runs_since: None,
            slot_asked_at: None,
            notes: Vec::new(),
            floating: Vec::new(),
            reports: 0,
        };
        self.0.atomically(|| {
            self.0.query(
                "INSERT INTO withdrawals (distro, number, task, due_at, report) VALUES (?, ?, ?, ?, NULL)
                 ON CONFLICT (distro) DO UPDATE SET
                    number = excluded.number, task = excluded.task, due_at = excluded.due_at, report = NULL
                 WHERE excluded.number > withdrawals.number",
                &[
                    withdrawal.distro.as_str().into(),
                    withdrawal.number.into(),
                    serde_json::to_string(&task)?.into(),
                    now.0.into(),
                ],
            )?;
            self.0.query(
                "UPDATE withdrawals SET due_at = ? WHERE distro = ? AND number = ? AND due_at IS NULL AND report IS NULL",
                &[now.0.into(), withdrawal.distro.as_str().into(), withdrawal.number.into()],
            )?;
            Ok(())
        })
    }

    /// Withdrawals that are to run, and when, the one due first at the head.
    pub fn open_withdrawals(&self) -> Result<Vec<(Timestamp, Withdrawing)>, LedgerError> {
        let rows = self
            .0
            .query("SELECT due_at, task FROM withdrawals WHERE due_at IS NOT NULL ORDER BY due_at, distro", &[])?;
        rows.iter().map(|row| Ok((Timestamp(row.integer(0)?), serde_json::from_str(row.text(1)?)?))).collect()
    }

    /// Writes down that a run, or its act, begins.
    pub fn withdrawal_began(&self, task: &Withdrawing) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE withdrawals SET task = ? WHERE distro = ? AND number = ?",
            &[
                serde_json::to_string(task)?.into(),
                task.withdrawal.distro.as_str().into(),
                task.withdrawal.number.into(),
            ],
        )?;
        Ok(())
    }

    /// Has a withdrawal that waits run at once: a slot is free for it.
    pub fn wake_withdrawal(&self, distro: &str, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE withdrawals SET due_at = ? WHERE distro = ? AND due_at IS NOT NULL",
            &[now.0.into(), distro.into()],
        )?;
        Ok(())
    }

    /// Writes down how a run ended: what to report, with the next number, and when to run again.
    pub fn withdrawal_ran(
        &self,
        task: &Withdrawing,
        report: (WithdrawalState, Option<slipway_core::api::Problem>),
        due_at: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        let task = Withdrawing { reports: task.reports.saturating_add(1), runs_since: None, ..task.clone() };
        let (state, problem) = report;
        let (notes, floating) = (task.notes.clone(), task.floating.clone());
        let report = WithdrawalReport { count: task.reports, state, notes, floating, problem };
        self.0.query(
            "UPDATE withdrawals SET task = ?, due_at = ?, report = ? WHERE distro = ? AND number = ?",
            &[
                serde_json::to_string(&task)?.into(),
                due_at.map(|due_at| due_at.0).into(),
                serde_json::to_string(&report)?.into(),
                task.withdrawal.distro.as_str().into(),
                task.withdrawal.number.into(),
            ],
        )?;
        Ok(())
    }

    /// Reports of withdrawals that the project's record has not acknowledged yet.
    pub fn unreported_withdrawals(&self) -> Result<Vec<(Withdrawing, WithdrawalReport)>, LedgerError> {
        let rows =
            self.0.query("SELECT task, report FROM withdrawals WHERE report IS NOT NULL ORDER BY distro", &[])?;
        let read = |row: &Row| Ok((serde_json::from_str(row.text(0)?)?, serde_json::from_str(row.text(1)?)?));
        rows.iter().map(read).collect()
    }

    /// A report was acknowledged.
    pub fn withdrawal_reported(&self, distro: &str, report: &WithdrawalReport) -> Result<(), LedgerError> {
        let text = serde_json::to_string(report)?;
        self.0.query(
            "UPDATE withdrawals SET report = NULL WHERE distro = ? AND report = ?",
            &[distro.into(), text.into()],
        )?;
        Ok(())
    }
}
