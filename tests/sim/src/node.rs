//! The ledgers' port over Node's SQLite, for the simulation as wasm.
//!
//! The limits of a Durable Object are left to the native adapter on purpose: what exceeds them is refused there, so the
//! traces differ, and the test that compares them fails.

use std::cell::RefCell;
use std::collections::BTreeMap;

use js_sys::{Array, BigInt, Error, JsString};
use slipway_ledger::{Row, Sql, SqlError, Value};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

#[wasm_bindgen(module = "node:sqlite")]
extern "C" {
    type DatabaseSync;

    #[wasm_bindgen(constructor, catch)]
    fn open(path: &str) -> Result<DatabaseSync, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn prepare(this: &DatabaseSync, statement: &str) -> Result<StatementSync, JsValue>;

    #[derive(Clone)]
    type StatementSync;

    #[wasm_bindgen(method, js_name = setReadBigInts)]
    fn set_read_big_ints(this: &StatementSync, enabled: bool);

    #[wasm_bindgen(method, js_name = setReturnArrays)]
    fn set_return_arrays(this: &StatementSync, enabled: bool);

    #[wasm_bindgen(method, catch, variadic)]
    fn all(this: &StatementSync, values: &Array) -> Result<Array, JsValue>;
}

/// A SQLite database in memory.
pub(crate) struct Database {
    database: DatabaseSync,
    /// Preparing a statement takes far longer than running it.
    prepared: RefCell<BTreeMap<String, StatementSync>>,
}

impl Database {
    /// A fresh one that lives as long as the value.
    pub(crate) fn in_memory() -> Self {
        let database = DatabaseSync::open(":memory:").expect("SQLite opens memory");
        Self { database, prepared: RefCell::default() }
    }

    fn prepare(&self, statement: &str) -> Result<StatementSync, SqlError> {
        if let Some(prepared) = self.prepared.borrow().get(statement) {
            return Ok(prepared.clone());
        }
        let prepared = self.database.prepare(statement).map_err(|error| refused(&error))?;
        // A number is a float and a row an object unless one asks: neither exact, nor in the order of the columns.
        prepared.set_read_big_ints(true);
        prepared.set_return_arrays(true);
        self.prepared.borrow_mut().insert(statement.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

fn refused(error: &JsValue) -> SqlError {
    SqlError(error.dyn_ref::<Error>().map_or_else(|| format!("{error:?}"), |error| String::from(error.message())))
}

fn read(value: JsValue) -> Result<Value, SqlError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let value = match value.dyn_into::<JsString>() {
        Ok(text) => return Ok(Value::Text(text.into())),
        Err(other) => other,
    };
    let number = value.dyn_into::<BigInt>().ok().and_then(|number| i64::try_from(number).ok());
    number.map(Value::Integer).ok_or_else(|| SqlError("a value is neither text nor a whole number".to_owned()))
}

impl Sql for Database {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        let parameters: Array = values
            .iter()
            .map(|value| match value {
                Value::Null => JsValue::NULL,
                Value::Integer(number) => JsValue::from(*number),
                Value::Text(text) => JsValue::from(text.as_str()),
            })
            .collect();
        let rows = self.prepare(statement)?.all(&parameters).map_err(|error| refused(&error))?;
        rows.iter()
            .map(|row| {
                let row: Array = row.unchecked_into();
                Ok(Row(row.iter().map(read).collect::<Result<_, _>>()?))
            })
            .collect()
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
