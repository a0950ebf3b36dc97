//! Whether a project is stopped: by its own switch, or by the one of the whole deployment.
//!
//! The deployment's switch has one keeper; each project's record has the last word that it heard of it, so that an act
//! asks nobody else. Words are numbered, since one can overtake another.

use slipway_core::stop::{Scope, Stopped, Word};
use slipway_core::time::Timestamp;

use super::{Event, LedgerError, Record};
use crate::sql::{Row, Sql};

impl<S: Sql> Record<S> {
    /// Why nothing of this project is published or deleted now. `None` while it runs.
    pub fn stopped(&self) -> Result<Option<Stopped>, LedgerError> {
        let rows = self
            .0
            .query("SELECT stopped_by, why, at FROM stops WHERE stopped_by IS NOT NULL ORDER BY scope LIMIT 1", &[])?;
        rows.first().map(stopped).transpose()
    }

    /// Whether nothing of this project may be published or deleted now.
    pub fn is_stopped(&self) -> Result<bool, LedgerError> {
        Ok(self.stopped()?.is_some())
    }

    /// Stops this project alone; whether that is news.
    pub fn stop(&self, by: &str, why: &str, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            if self.switch(Scope::Project)?.is_some_and(|(_, is_stopped)| is_stopped) {
                return Ok(false);
            }
            self.turn_switch(Scope::Project, None, Some((by, why)), now)?;
            self.switched(Scope::Project, true, by, why, now)?;
            Ok(true)
        })
    }

    /// Starts this project again; whether that is news. A stop of everything goes on.
    pub fn start(&self, by: &str, why: &str, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            if self.switch(Scope::Project)?.is_none_or(|(_, is_stopped)| !is_stopped) {
                return Ok(false);
            }
            self.turn_switch(Scope::Project, None, None, now)?;
            self.0.query(
                "UPDATE imports SET started_at = ? WHERE is_whole = 1 AND started_at IS NULL",
                &[now.0.into()],
            )?;
            self.switched(Scope::Project, false, by, why, now)?;
            Ok(true)
        })
    }

    /// Hears of the switch that stops everything; whether that is news. An older word than the last says nothing.
    pub fn hear(&self, word: &Word, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let before = self.switch(Scope::Everything)?;
            if before.is_some_and(|(number, _)| number >= word.number) {
                return Ok(false);
            }
            let stopped = word.stopped.as_ref();
            let at = stopped.map_or(word.at, |stopped| stopped.at);
            let turned = stopped.map(|stopped| (stopped.by.as_str(), stopped.why.as_str()));
            self.turn_switch(Scope::Everything, Some(word.number), turned, at)?;
            let was_stopped = before.is_some_and(|(_, was_stopped)| was_stopped);
            // Of a record that is being imported, all rows of the audit are those of its export.
            if was_stopped != stopped.is_some() && !self.is_being_imported()? {
                self.switched(Scope::Everything, stopped.is_some(), &word.by, &word.reason, now)?;
            }
            Ok(true)
        })
    }

    /// The last turn of the switch that stops everything, of which this record was told.
    pub fn heard(&self) -> Result<Option<u64>, LedgerError> {
        Ok(self.switch(Scope::Everything)?.map(|(number, _)| number))
    }

    /// The number of the last word about a switch, and whether that stopped it.
    fn switch(&self, scope: Scope) -> Result<Option<(u64, bool)>, LedgerError> {
        let rows =
            self.0.query("SELECT number, stopped_by IS NOT NULL FROM stops WHERE scope = ?", &[scope.word().into()])?;
        rows.first().map(|row| Ok((row.natural(0)?, row.integer(1)? != 0))).transpose()
    }

    /// Without a number, it is the next one.
    pub(super) fn turn_switch(
        &self,
        scope: Scope,
        number: Option<u64>,
        stopped: Option<(&str, &str)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT INTO stops (scope, number, stopped_by, why, at) VALUES (?1, COALESCE(?2, 1), ?3, ?4, ?5)
             ON CONFLICT (scope) DO UPDATE SET number = COALESCE(?2, number + 1), stopped_by = ?3, why = ?4, at = ?5",
            &[
                scope.word().into(),
                number.into(),
                stopped.map(|(by, _)| by).into(),
                stopped.map(|(_, why)| why).into(),
                at.0.into(),
            ],
        )?;
        Ok(())
    }

    /// An audit that was imported does not know how the deployment's switch stands where it is now.
    pub(super) fn says_that_everything_is_stopped(&self, now: Timestamp) -> Result<(), LedgerError> {
        let rows = self.0.query(
            "SELECT stopped_by, why FROM stops WHERE scope = ? AND stopped_by IS NOT NULL",
            &[Scope::Everything.word().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(()) };
        self.switched(Scope::Everything, true, row.text(0)?, row.text_or_null(1)?.unwrap_or_default(), now)
    }

    /// One row of the audit, and all who follow a release look again: it concerns each.
    fn switched(&self, scope: Scope, is_stopped: bool, by: &str, why: &str, now: Timestamp) -> Result<(), LedgerError> {
        let event = Event {
            at: now,
            actor: by.to_owned(),
            action: if is_stopped { "stopped" } else { "started" }.to_owned(),
            subject: scope.word().to_owned(),
            details: serde_json::json!({ "reason": why }).to_string(),
        };
        self.append(&event)?;
        self.0.query("UPDATE releases SET sequence = sequence + 1", &[])?;
        Ok(())
    }
}

fn stopped(row: &Row) -> Result<Stopped, LedgerError> {
    let (by, why) = (row.text(0)?.to_owned(), row.text_or_null(1)?.unwrap_or_default().to_owned());
    Ok(Stopped { why, by, at: Timestamp(row.integer(2)?) })
}
