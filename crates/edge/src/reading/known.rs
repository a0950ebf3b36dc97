//! What stays of the indexes that were read, and for which names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_core::inventory::Served;
use slipway_core::store::Mark;
use slipway_core::time::Timestamp;
use slipway_ledger::{Sql, SqlError};
use slipway_package::Filename;
use slipway_wire::Digest;

/// The indexes that were read, and what they listed of the names that somebody waits for.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE indexes (id TEXT PRIMARY KEY, mark TEXT NOT NULL)",
    "CREATE TABLE interests (
        id TEXT NOT NULL,
        filename TEXT NOT NULL,
        digests TEXT,
        asked_at INTEGER NOT NULL,
        PRIMARY KEY (id, filename)
    )",
];

/// How long a name is remembered that nobody asks for any more.
const INTEREST_LASTS: Duration = Duration::from_hours(24);
/// How many names one reading is for at the most.
pub(super) const NAMES_MAX: usize = 2000;

/// What earlier readings left of one index.
pub(super) struct Known {
    pub(super) mark: Option<Mark>,
    digests: BTreeMap<Filename, Option<BTreeSet<Digest>>>,
}

impl Known {
    pub(super) fn of(sql: &impl Sql, id: &str) -> Result<Self, SqlError> {
        let rows = sql.query("SELECT mark FROM indexes WHERE id = ?", &[id.into()])?;
        let mark = rows.first().map(|row| row.text(0)).transpose()?.and_then(|text| serde_json::from_str(text).ok());
        let rows = sql.query(
            "SELECT filename, digests FROM interests WHERE id = ? ORDER BY asked_at DESC, filename LIMIT ?",
            &[id.into(), u64::try_from(NAMES_MAX).unwrap_or(u64::MAX).into()],
        )?;
        let mut digests = BTreeMap::new();
        for row in &rows {
            if let Ok(name) = row.text(0)?.parse() {
                digests.insert(name, row.text_or_null(1)?.and_then(|text| serde_json::from_str(text).ok()));
            }
        }
        Ok(Self { mark, digests })
    }

    pub(super) fn wanted(&self) -> BTreeSet<Filename> {
        self.digests.keys().cloned().collect()
    }

    pub(super) fn has(&self, name: &Filename) -> bool {
        self.digests.get(name).is_some_and(Option::is_some)
    }

    pub(super) fn served(&self, name: &Filename) -> Served {
        self.digests.get(name).cloned().flatten().unwrap_or_default().into()
    }

    /// Keeps what a reading has found of the wanted names, in place of all earlier ones.
    pub(super) fn keep(
        &self,
        sql: &impl Sql,
        id: &str,
        mark: &Mark,
        found: &BTreeMap<Filename, BTreeSet<Digest>>,
    ) -> Result<(), SqlError> {
        sql.atomically(|| {
            sql.query("UPDATE interests SET digests = NULL WHERE id = ?", &[id.into()])?;
            for name in self.digests.keys() {
                let digests = found.get(name).cloned().unwrap_or_default();
                let text = serde_json::to_string(&digests).map_err(|error| SqlError(error.to_string()))?;
                sql.query(
                    "UPDATE interests SET digests = ? WHERE id = ? AND filename = ?",
                    &[text.into(), id.into(), name.as_str().into()],
                )?;
            }
            keep_mark(sql, id, mark)
        })
    }
}

/// Somebody asks for these names.
pub(super) fn interested(sql: &impl Sql, id: &str, names: &BTreeSet<Filename>, now: Timestamp) -> Result<(), SqlError> {
    sql.atomically(|| {
        sql.query(
            "DELETE FROM interests WHERE id = ? AND asked_at < ?",
            &[id.into(), (now - INTEREST_LASTS).0.into()],
        )?;
        for name in names {
            sql.query(
                "INSERT INTO interests (id, filename, digests, asked_at) VALUES (?, ?, NULL, ?)
                 ON CONFLICT (id, filename) DO UPDATE SET asked_at = excluded.asked_at",
                &[id.into(), name.as_str().into(), now.0.into()],
            )?;
        }
        Ok(())
    })
}

/// Keeps by what the next reading sees that nothing has changed.
pub(super) fn keep_mark(sql: &impl Sql, id: &str, mark: &Mark) -> Result<(), SqlError> {
    let text = serde_json::to_string(mark).map_err(|error| SqlError(error.to_string()))?;
    sql.query("INSERT OR REPLACE INTO indexes (id, mark) VALUES (?, ?)", &[id.into(), text.into()])?;
    Ok(())
}
