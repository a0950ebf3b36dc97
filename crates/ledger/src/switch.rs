//! The switch that stops everything, at its one keeper: how it was turned, and which projects have not heard of that yet.
//!
//! A project's record asks nobody when an act wants to begin, so it has to be told. Whoever has not heard of the last
//! turn is written down with the turn, in one transaction, and told again until they have.
//!
//! A keeper can be lost, or restored to an earlier state, and then not know of a stop. It finds out by what records have heard, and
//! by the folder in which it is kept. What was turned meanwhile nobody knows, so everything is stopped until somebody has looked.

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

/// The statements that make the tables of what this keeper remembers of itself.
pub const MEMORY: &[&str] = &[
    "CREATE TABLE folders (folder TEXT PRIMARY KEY, first_at INTEGER NOT NULL)",
    "CREATE TABLE asked_all (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL)",
];

/// Who stops what nobody knows the state of.
const BY: &str = "slipway";
/// Why it does, once a record is ahead of the keeper.
const WHY_BEHIND: &str = "the switch was lost or restored, and a project has heard of a later turn of it; look at what is public, then start";
/// Why it does, once the keeper finds itself in another folder.
const WHY_MOVED: &str = "what Slipway knows was restored or copied; look at what is public, then start";

/// What a project says of the last turn of the switch that it has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It does not answer.
    Silent,
    /// Of none.
    Nothing,
    /// Of this one.
    Turn(u64),
}

impl Heard {
    /// The answer of a project, where it gives one.
    pub fn of(answer: Option<Option<u64>>) -> Self {
        match answer {
            None => Self::Silent,
            Some(None) => Self::Nothing,
            Some(Some(number)) => Self::Turn(number),
        }
    }
}

/// Whether this keeper has done anything before, as far as whoever asks can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// Nothing is known here but the switch.
    Never,
    /// Releases are known here.
    Before,
}

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

/// A project has heard of this turn. If it is later than the last one here, everything is stopped by the next number, for a reason
/// that somebody gave if they have stopped it already; whether that was so.
pub fn heard_elsewhere(
    sql: &impl Sql,
    number: Option<u64>,
    projects: &[u64],
    now: Timestamp,
) -> Result<bool, SqlError> {
    sql.atomically(|| heard_elsewhere_within(sql, number, projects, now))
}

/// The same, within a transaction of others.
fn heard_elsewhere_within(
    sql: &impl Sql,
    number: Option<u64>,
    projects: &[u64],
    now: Timestamp,
) -> Result<bool, SqlError> {
    let here = word(sql)?;
    let Some(number) = number.filter(|number| *number > here.number) else { return Ok(false) };
    stop_unknown(sql, number, here.stopped, WHY_BEHIND, projects, now)?;
    Ok(true)
}

/// The switch is kept in this folder now. If that is another than before, everything is stopped, once; whether that was so. One that
/// was used, and knows no folder, counts as moved: it is a copy from before folders were told apart, or this version is the first
/// here that does so, and nobody can tell which.
pub fn kept_in(sql: &impl Sql, folder: &str, used: Used, projects: &[u64], now: Timestamp) -> Result<bool, SqlError> {
    sql.atomically(|| {
        if !sql.query("SELECT 1 FROM folders WHERE folder = ?", &[folder.into()])?.is_empty() {
            return Ok(false);
        }
        let is_first = sql.query("SELECT 1 FROM folders", &[])?.is_empty();
        sql.query("INSERT INTO folders (folder, first_at) VALUES (?, ?)", &[folder.into(), now.0.into()])?;
        let here = word(sql)?;
        if is_first && used == Used::Never && here.number == 0 {
            return Ok(false);
        }
        stop_unknown(sql, here.number, here.stopped, WHY_MOVED, projects, now)?;
        Ok(true)
    })
}

fn stop_unknown(
    sql: &impl Sql,
    after: u64,
    stopped: Option<Stopped>,
    why: &str,
    projects: &[u64],
    now: Timestamp,
) -> Result<(), SqlError> {
    let (by, why, at) = stopped.map_or_else(|| (BY.to_owned(), why.to_owned(), now), |is| (is.by, is.why, is.at));
    sql.query(
        "INSERT INTO turns_of_the_switch (number, is_stopped, turned_by, reason, at) VALUES (?, 1, ?, ?, ?)",
        &[(after + 1).into(), by.as_str().into(), why.as_str().into(), at.0.into()],
    )?;
    for project in projects {
        sql.query("INSERT OR IGNORE INTO untold (project_id) VALUES (?)", &[(*project).into()])?;
    }
    Ok(())
}

/// Whether this keeper still has to ask every project what it has heard: it does so once, before it lets anything begin, since it
/// may be new because another was lost. One that does not answer holds up nobody else.
pub fn asks_all(sql: &impl Sql) -> Result<bool, SqlError> {
    Ok(sql.query("SELECT 1 FROM asked_all", &[])?.is_empty())
}

/// What every project says that it has heard. Whoever is silent keeps back itself alone: before it
/// begins anything it asks, and says what it has heard by that. Until then it is told how the switch stands, again and again, since
/// its answer to that says the same. The projects that were silent.
pub fn answered(sql: &impl Sql, answers: &[(u64, Heard)], now: Timestamp) -> Result<Vec<u64>, SqlError> {
    let projects: Vec<u64> = answers.iter().map(|(project, _)| *project).collect();
    let silent =
        answers.iter().filter(|(_, heard)| *heard == Heard::Silent).map(|(project, _)| *project).collect::<Vec<_>>();
    sql.atomically(|| {
        let turn = |(_, heard): &(u64, Heard)| match heard {
            Heard::Turn(number) => Some(*number),
            Heard::Silent | Heard::Nothing => None,
        };
        let known = answers.iter().filter_map(turn).max();
        heard_elsewhere_within(sql, known, &projects, now)?;
        for project in &silent {
            sql.query("INSERT OR IGNORE INTO untold (project_id) VALUES (?)", &[(*project).into()])?;
        }
        sql.query("INSERT OR IGNORE INTO asked_all (one, at) VALUES (1, ?)", &[now.0.into()])?;
        Ok::<_, SqlError>(())
    })?;
    Ok(silent)
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
        migrate(&sql, &[SCHEMA, MEMORY]).expect("the schema");
        sql
    }

    fn why(sql: &Database) -> Option<String> {
        word(sql).expect("a word").stopped.map(|stopped| stopped.why)
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

    #[test]
    fn a_keeper_that_was_lost_stops_everything_as_soon_as_a_record_has_heard_of_a_later_turn_than_it() {
        let sql = switch();
        for known in [None, Some(0)] {
            assert!(!heard_elsewhere(&sql, known, &[1, 2], NOW).expect("a look"), "{known:?}");
        }
        assert!(heard_elsewhere(&sql, Some(7), &[1, 2], NOW).expect("a look"));
        let now = word(&sql).expect("a word");
        assert_eq!((now.number, now.by.as_str(), now.stopped.is_some()), (8, "slipway", true));
        assert_eq!(untold(&sql).expect("rows"), [1, 2]);
        assert!(!heard_elsewhere(&sql, Some(8), &[1, 2], NOW).expect("it is known by now"));
        assert_eq!(turns(&sql, false).0.number, 9, "an operator starts it");
    }

    #[test]
    fn a_stop_at_a_keeper_that_was_lost_gets_a_number_that_every_record_listens_to_and_keeps_its_reason() {
        let sql = switch();
        turns(&sql, true);
        assert!(heard_elsewhere(&sql, Some(7), &[1, 2], NOW).expect("a look"));
        let now = word(&sql).expect("a word");
        assert_eq!((now.number, now.by.as_str()), (8, "operator"));
        assert_eq!(why(&sql).as_deref(), Some("why"));
    }

    #[test]
    fn what_was_restored_or_copied_is_stopped_once_and_what_is_new_runs() {
        let sql = switch();
        assert!(!kept_in(&sql, "a", Used::Never, &[1], NOW).expect("it is new"));
        assert!(!kept_in(&sql, "a", Used::Before, &[1], NOW).expect("it was started again"));
        assert_eq!(why(&sql), None);
        assert!(kept_in(&sql, "b", Used::Before, &[1], NOW).expect("a copy"));
        assert!(why(&sql).is_some_and(|why| why.contains("restored")));
        assert_eq!(untold(&sql).expect("rows"), [1]);
        turns(&sql, false);
        assert!(!kept_in(&sql, "b", Used::Before, &[1], NOW).expect("it was started again"));
        assert_eq!(why(&sql), None);
    }

    #[test]
    fn what_was_used_before_folders_were_told_apart_is_stopped_once_since_it_may_be_a_copy() {
        let used = switch();
        assert!(kept_in(&used, "a", Used::Before, &[1], NOW).expect("releases are known"));
        assert!(why(&used).is_some());
        turns(&used, false);
        assert!(!kept_in(&used, "a", Used::Before, &[1], NOW).expect("it was started again"));
        let turned = switch();
        turns(&turned, true);
        turns(&turned, false);
        assert!(kept_in(&turned, "a", Used::Never, &[1], NOW).expect("its switch was turned"));
    }

    #[test]
    fn a_project_that_does_not_say_what_it_has_heard_keeps_nobody_else_from_beginning_and_is_asked_again() {
        let sql = switch();
        assert!(asks_all(&sql).expect("a look"));
        assert_eq!(
            answered(&sql, &[(1, Heard::Nothing), (2, Heard::Silent), (3, Heard::Turn(0))], NOW).expect("rows"),
            [2]
        );
        assert!(!asks_all(&sql).expect("a look"), "the others begin");
        assert_eq!((why(&sql), untold(&sql).expect("rows")), (None, vec![2]), "and it alone is told again");
        // What it says then still counts, whichever way it comes.
        assert!(heard_elsewhere(&sql, Some(7), &[1, 2, 3], NOW).expect("a look"));
        assert!(why(&sql).is_some());
    }

    #[test]
    fn whoever_answers_of_a_later_turn_stops_everything_although_another_is_silent() {
        let sql = switch();
        answered(&sql, &[(1, Heard::Silent), (2, Heard::Turn(7)), (3, Heard::Turn(4))], NOW).expect("rows");
        assert_eq!(word(&sql).expect("a word").number, 8);
        assert_eq!((why(&sql).is_some(), untold(&sql).expect("rows")), (true, vec![1, 2, 3]));
    }
}
