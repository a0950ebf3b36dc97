//! The port over rusqlite, with the limits of a Durable Object's SQL, so that a test fails where the edge would.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::sql::{Row, Sql, SqlError, Value};

/// Parameters of one statement: <https://developers.cloudflare.com/durable-objects/platform/limits/>.
const PARAMETERS_MAX: usize = 100;
/// Bytes of one text, from the same page (a row, BLOB or string).
const TEXT_BYTES_MAX: usize = 2_000_000;
/// Above this a Durable Object's numbers, which travel as 64-bit floats, are no longer exact.
const INTEGER_MAX: u64 = 1 << 53;

/// A SQLite database.
#[derive(Debug)]
pub struct Database(Connection);

impl Database {
    /// A fresh one that lives as long as the value.
    ///
    /// # Panics
    /// When SQLite cannot open memory.
    pub fn in_memory() -> Self {
        let connection = Connection::open_in_memory().expect("SQLite opens memory");
        // More than the ledger has, since preparing a statement takes far longer than running it.
        connection.set_prepared_statement_cache_capacity(200);
        // Without it, a statement with `LIMIT ?` is prepared anew for every value.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).expect("SQLite knows the setting");
        Self(connection)
    }

    /// Another one in memory with the same contents: a test that tries thousands of ways begins each of them here.
    ///
    /// # Panics
    /// When SQLite has no memory left.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut copy = Self::in_memory();
        let backup = rusqlite::backup::Backup::new(&self.0, &mut copy.0).expect("both are open");
        backup.run_to_completion(1_000_000, std::time::Duration::ZERO, None).expect("there is memory");
        drop(backup);
        copy
    }

    /// One in a file.
    pub fn open(path: &std::path::Path) -> Result<Self, SqlError> {
        Connection::open(path).map(Self).map_err(|error| refused(&error))
    }
}

fn refused(error: &rusqlite::Error) -> SqlError {
    SqlError(error.to_string())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl Sql for Database {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        if values.len() > PARAMETERS_MAX {
            return Err(SqlError(format!("{} parameters; {PARAMETERS_MAX} are allowed", values.len())));
        }
        for value in values {
            match value {
                Value::Text(text) if text.len() > TEXT_BYTES_MAX => {
                    return Err(SqlError(format!("a text of {} bytes; {TEXT_BYTES_MAX} are allowed", text.len())));
                }
                Value::Integer(number) if number.unsigned_abs() > INTEGER_MAX => {
                    return Err(SqlError(format!("{number} is not exact as a 64-bit float")));
                }
                _ => {}
            }
        }
        let mut prepared = self.0.prepare_cached(statement).map_err(|error| refused(&error))?;
        let columns = prepared.column_count();
        let mut rows = prepared.query(rusqlite::params_from_iter(values)).map_err(|error| refused(&error))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|error| refused(&error))? {
            let values = (0..columns).map(|column| match row.get_ref(column).map_err(|error| refused(&error))? {
                ValueRef::Null => Ok(Value::Null),
                ValueRef::Integer(number) => Ok(Value::Integer(number)),
                ValueRef::Text(text) => Ok(Value::Text(String::from_utf8_lossy(text).into_owned())),
                other => Err(SqlError(format!("a {} has no place in the ledger", other.data_type()))),
            });
            found.push(Row(values.collect::<Result<_, _>>()?));
        }
        Ok(found)
    }

    fn atomically<T, E: From<SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.query("BEGIN IMMEDIATE", &[])?;
        match work() {
            Ok(value) => {
                self.query("COMMIT", &[])?;
                Ok(value)
            }
            Err(error) => {
                self.query("ROLLBACK", &[])?;
                Err(error)
            }
        }
    }
}
