//! Bringing a database to the newest schema, one numbered step at a time.
//!
//! A step is never changed after it was released: a later step changes what it made. `PRAGMA user_version` is not to be
//! had in a Durable Object, so the number is in a table of its own.

use crate::sql::{Sql, SqlError, Value};

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database said no.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It was written by a newer version of Slipway.
    #[error("the ledger has schema {found}, this version knows up to {known}; deploy the newer version again")]
    Newer {
        /// The schema found.
        found: i64,
        /// The newest that this version knows.
        known: usize,
    },
}

/// Applies the steps that this database has not had.
pub fn migrate(sql: &impl Sql, steps: &[&[&str]]) -> Result<(), MigrationError> {
    sql.query("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)", &[])?;
    let found = if let Some(row) = sql.query("SELECT version FROM schema_version", &[])?.first() {
        row.integer(0)?
    } else {
        sql.query("INSERT INTO schema_version (version) VALUES (0)", &[])?;
        0
    };
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > steps.len() {
        return Err(MigrationError::Newer { found, known: steps.len() });
    }
    for (index, step) in steps.iter().enumerate().skip(done) {
        sql.atomically(|| {
            for statement in *step {
                sql.query(statement, &[])?;
            }
            let version = i64::try_from(index + 1).unwrap_or(i64::MAX);
            sql.query("UPDATE schema_version SET version = ?", &[Value::Integer(version)])?;
            Ok::<_, SqlError>(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rusqlite::Database;

    const ONE: &[&str] = &["CREATE TABLE a (x INTEGER)"];
    const TWO: &[&str] = &["CREATE TABLE b (x INTEGER)", "INSERT INTO a (x) VALUES (1)"];

    #[test]
    fn each_step_runs_once() {
        let database = Database::in_memory();
        migrate(&database, &[ONE]).expect("step one");
        migrate(&database, &[ONE, TWO]).expect("step two");
        migrate(&database, &[ONE, TWO]).expect("nothing to do");
        assert_eq!(database.query("SELECT x FROM a", &[]).expect("rows").len(), 1);
    }

    #[test]
    fn a_step_that_fails_half_way_leaves_nothing() {
        let database = Database::in_memory();
        let broken: &[&str] = &["CREATE TABLE b (x INTEGER)", "INSERT INTO nowhere (x) VALUES (1)"];
        assert!(migrate(&database, &[ONE, broken]).is_err());
        migrate(&database, &[ONE, TWO]).expect("the mended step runs whole");
    }

    #[test]
    fn a_newer_database_is_refused() {
        let database = Database::in_memory();
        migrate(&database, &[ONE, TWO]).expect("both steps");
        assert!(matches!(migrate(&database, &[ONE]), Err(MigrationError::Newer { found: 2, known: 1 })));
    }
}
