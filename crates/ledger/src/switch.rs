//! The switch that stops everything, at its one keeper: how it was turned, and which projects have not heard of that yet.
//!
//! A project's record asks nobody when an act wants to begin, so it has to be told. Whoever has not heard of the last
//! turn is written down with the turn, in one transaction, and told again until they have.

use slipway_core::stop::{Stopped, Word};
use slipway_core::time::Timestamp;

use crate::sql::{Row, Sql, SqlError};

/// The statements that make the tables.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE turns_of_the_switch (
        number INTEGER PRIMARY KEY,
        is_stopped INTEGER NOT NULL,
        turned_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL
    )",
    "CREATE TABLE untold (project_id INTEGER PRIMARY KEY)",
];

/// Turns the switch; the word of it, and whether it is news. Turned to where it stands already, it stays as it was turned.
pub fn turn(
    sql: &impl Sql,
    is_stopped: bool,
    by: &str,
    reason: &str,
    projects: &[u64],
    now: Timestamp,
) -> Result<(Word, bool), SqlError> {
    sql.atomically(|| {
        let before = word(sql)?;
        let is_news = before.stopped.is_some() != is_stopped;
        if is_news {
            sql.query(
                "INSERT INTO turns_of_the_switch (number, is_stopped, turned_by, reason, at) VALUES (?, ?, ?, ?, ?)",
                &[(before.number + 1).into(), i64::from(is_stopped).into(), by.into(), reason.into(), now.0.into()],
            )?;
        }
        for project in projects {
            sql.query("INSERT OR IGNORE INTO untold (project_id) VALUES (?)", &[(*project).into()])?;
        }
        Ok((word(sql)?, is_news))
    })
}

/// How the switch stands. One that nobody has ever turned lets everything run.
pub fn word(sql: &impl Sql) -> Result<Word, SqlError> {
    let rows = sql.query(
        "SELECT number, is_stopped, turned_by, reason, at FROM turns_of_the_switch ORDER BY number DESC LIMIT 1",
        &[],
    )?;
    rows.first().map_or_else(
        || Ok(Word { number: 0, stopped: None, by: String::new(), reason: String::new(), at: Timestamp(0) }),
        read,
    )
}

/// The projects that have not heard of the last turn.
pub fn untold(sql: &impl Sql) -> Result<Vec<u64>, SqlError> {
    sql.query("SELECT project_id FROM untold ORDER BY project_id", &[])?.iter().map(|row| row.natural(0)).collect()
}

/// A project has heard a word. Of a word that is not the last any more, it still has to hear the last.
pub fn told(sql: &impl Sql, project: u64, number: u64) -> Result<(), SqlError> {
    sql.atomically(|| {
        if word(sql)?.number == number {
            sql.query("DELETE FROM untold WHERE project_id = ?", &[project.into()])?;
        }
        Ok(())
    })
}

fn read(row: &Row) -> Result<Word, SqlError> {
    let (by, reason, at) = (row.text(2)?.to_owned(), row.text(3)?.to_owned(), Timestamp(row.integer(4)?));
    let is_stopped = row.integer(1)? != 0;
    let stopped = is_stopped.then(|| Stopped { why: reason.clone(), by: by.clone(), at });
    Ok(Word { number: row.natural(0)?, stopped, by, reason, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::migrate;
    use crate::rusqlite::Database;

    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn switch() -> Database {
        let sql = Database::in_memory();
        migrate(&sql, &[SCHEMA]).expect("the schema");
        sql
    }

    fn turns(sql: &Database, is_stopped: bool) -> (Word, bool) {
        turn(sql, is_stopped, "operator", "why", &[1, 2], NOW).expect("a turn")
    }

    #[test]
    fn each_turn_has_the_next_number_and_the_same_again_is_no_turn() {
        let sql = switch();
        assert_eq!(word(&sql).expect("a word").number, 0);
        for (is_stopped, number, news) in [(false, 0, false), (true, 1, true), (true, 1, false), (false, 2, true)] {
            let (word, is_news) = turns(&sql, is_stopped);
            assert_eq!((word.number, word.stopped.is_some(), is_news), (number, is_stopped, news));
        }
    }

    #[test]
    fn a_project_counts_as_told_only_of_the_last_turn() {
        let sql = switch();
        let (first, _) = turns(&sql, true);
        told(&sql, 1, first.number).expect("a row");
        assert_eq!(untold(&sql).expect("rows"), [2]);
        let (second, _) = turns(&sql, false);
        told(&sql, 1, first.number).expect("a late answer");
        assert_eq!(untold(&sql).expect("rows"), [1, 2]);
        told(&sql, 1, second.number).expect("a row");
        told(&sql, 2, second.number).expect("a row");
        assert_eq!(untold(&sql).expect("rows"), Vec::<u64>::new());
    }
}
