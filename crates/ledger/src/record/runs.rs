//! How far a run of the retention is: it goes on where it was cut off, and its limits hold over all its parts.

use slipway_core::retention::Taken;
use slipway_core::time::Timestamp;

use super::retention::Behind;
use super::{LedgerError, Record, parse};
use crate::sql::Sql;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reached {
    /// It goes on behind this package.
    pub behind: Option<Behind>,
    /// Whether the clock was behind the last run's when it began.
    pub ran_backwards: bool,
    /// What it has taken of its limits.
    pub taken: Taken,
}

impl<S: Sql> Record<S> {
    /// How far the run is that is under way.
    pub fn run_reached(&self) -> Result<Option<Reached>, LedgerError> {
        let rows = self
            .0
            .query("SELECT ran_backwards, staged_at, version, key, files, bytes, is_full FROM retention_run", &[])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let behind = match row.text_or_null(2)? {
            None => None,
            Some(version) => Some(Behind {
                staged_at: Timestamp(row.integer(1)?),
                version: parse(version)?,
                key: parse(row.text(3)?)?,
            }),
        };
        let taken = Taken { files: row.natural(4)?, bytes: row.natural(5)?, is_full: row.integer(6)? != 0 };
        Ok(Some(Reached { behind, ran_backwards: row.integer(0)? != 0, taken }))
    }

    /// A run begins: it counts the time since the last.
    pub fn begin_run(&self, now: Timestamp, clocks_agree: bool) -> Result<Reached, LedgerError> {
        let ran_backwards = self.retention_clock()?.0.is_some_and(|last| last > now);
        let reached = Reached { ran_backwards, ..Reached::default() };
        self.reach(&reached)?;
        self.count_time(now, clocks_agree)?;
        self.0.query("UPDATE retention_clock SET runs = runs + 1", &[])?;
        Ok(reached)
    }

    /// The number of the run that began last. Whatever comes of a run has it.
    pub fn run_number(&self) -> Result<u64, LedgerError> {
        let rows = self.0.query("SELECT runs FROM retention_clock", &[])?;
        Ok(rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default())
    }

    /// A run has come so far. Written before anything is done to a package: whoever is cut off there passes it over until the
    /// next run, and never deletes more than a run may.
    pub fn reach(&self, reached: &Reached) -> Result<(), LedgerError> {
        let Reached { behind, ran_backwards, taken } = reached;
        self.0.query(
            "INSERT OR REPLACE INTO retention_run (id, ran_backwards, staged_at, version, key, files, bytes, is_full)
             VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
            &[
                i64::from(*ran_backwards).into(),
                behind.as_ref().map(|behind| behind.staged_at.0).into(),
                behind.as_ref().map(|behind| behind.version.as_str()).into(),
                behind.as_ref().map(|behind| behind.key.as_str()).into(),
                taken.files.into(),
                taken.bytes.into(),
                i64::from(taken.is_full).into(),
            ],
        )?;
        Ok(())
    }

    /// A run has reached everything.
    pub fn end_run(&self) -> Result<(), LedgerError> {
        self.0.query("DELETE FROM retention_run", &[])?;
        Ok(())
    }

    /// The staging places of packages for which time is counted.
    pub fn counted_places(&self) -> Result<Vec<String>, LedgerError> {
        let rows = self.0.query(
            "SELECT DISTINCT p.staging_place FROM packages p WHERE p.unshown_since IS NOT NULL
             OR EXISTS (SELECT 1 FROM retention r WHERE r.version = p.version AND r.key = p.key) ORDER BY 1",
            &[],
        )?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }
}
