//! The port: SQLite's dialect, run synchronously.

/// A value of a row or of a statement's parameter. Integers are exact to ±2^53, which a Durable Object's SQL keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The database said no.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger's database refused a statement: {0}")]
pub struct SqlError(pub String);

/// A row of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn wrong(column: usize, wanted: &str, found: Option<&Value>) -> SqlError {
        SqlError(format!("column {column} should be {wanted}, but is {found:?}"))
    }

    /// The text in a column.
    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(Self::wrong(column, "text", other)),
        }
    }

    /// The text in a column that may be empty.
    pub fn text_or_null(&self, column: usize) -> Result<Option<&str>, SqlError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            other => Err(Self::wrong(column, "text or nothing", other)),
        }
    }

    /// The number in a column.
    pub fn integer(&self, column: usize) -> Result<i64, SqlError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(*number),
            other => Err(Self::wrong(column, "a whole number", other)),
        }
    }

    /// The number in a column that may be empty.
    pub fn integer_or_null(&self, column: usize) -> Result<Option<i64>, SqlError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            other => Err(Self::wrong(column, "a whole number or nothing", other)),
        }
    }

    /// The number in a column that counts or names something.
    pub fn natural(&self, column: usize) -> Result<u64, SqlError> {
        self.to_natural(column, self.integer(column)?)
    }

    /// The number in a column that counts or names something, and may be empty.
    pub fn natural_or_null(&self, column: usize) -> Result<Option<u64>, SqlError> {
        self.integer_or_null(column)?.map(|number| self.to_natural(column, number)).transpose()
    }

    fn to_natural(&self, column: usize, number: i64) -> Result<u64, SqlError> {
        u64::try_from(number).map_err(|_| Self::wrong(column, "a natural number", self.0.get(column)))
    }
}

/// A database that runs one statement at a time and can run several as one.
pub trait Sql {
    /// Runs one statement and returns its rows.
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError>;

    /// Runs `work` in a transaction: an error undoes what it wrote. Not nested.
    fn atomically<T, E: From<SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E>;
}

impl<S: Sql> Sql for &S {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        (*self).query(statement, values)
    }

    fn atomically<T, E: From<SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        (*self).atomically(work)
    }
}
