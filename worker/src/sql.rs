//! The ledger's port over a Durable Object's SQLite.

use slipway_ledger::{Row, Sql, SqlError, Value};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::{SqlStorage, SqlStorageValue, State};

#[wasm_bindgen]
extern "C" {
    /// `ctx.storage`, for the one method that `worker` does not bind.
    type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(this: &Storage, work: &mut dyn FnMut() -> Result<JsValue, JsValue>)
    -> Result<JsValue, JsValue>;
}

/// One object's database.
pub(crate) struct DurableSql {
    sql: SqlStorage,
    storage: Storage,
}

impl DurableSql {
    pub(crate) fn new(state: &State) -> Self {
        let storage = state.storage();
        let raw: &JsValue = storage.as_raw().as_ref();
        Self { sql: storage.sql(), storage: raw.clone().unchecked_into() }
    }
}

/// The largest number that a 64-bit float holds exactly, with all below it.
const INTEGER_MAX: u64 = 1 << 53;

fn refused(error: &worker::Error) -> SqlError {
    SqlError(error.to_string())
}

impl Sql for DurableSql {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        // Numbers travel as 64-bit floats: one that would come back as another is refused before it is written.
        if let Some(number) = values.iter().find_map(|value| match value {
            Value::Integer(number) if number.unsigned_abs() > INTEGER_MAX => Some(number),
            _ => None,
        }) {
            return Err(SqlError(format!("{number} is not exact as a 64-bit float")));
        }
        let bindings: Vec<SqlStorageValue> = values
            .iter()
            .map(|value| match value {
                Value::Null => SqlStorageValue::Null,
                Value::Integer(number) => SqlStorageValue::Integer(*number),
                Value::Text(text) => SqlStorageValue::String(text.clone()),
            })
            .collect();
        let cursor = self.sql.exec(statement, bindings).map_err(|error| refused(&error))?;
        cursor
            .raw()
            .map(|row| {
                let values = row.map_err(|error| refused(&error))?.into_iter().map(|value| match value {
                    SqlStorageValue::Null => Ok(Value::Null),
                    SqlStorageValue::Boolean(truth) => Ok(Value::Integer(i64::from(truth))),
                    SqlStorageValue::Integer(number) => Ok(Value::Integer(number)),
                    SqlStorageValue::String(text) => Ok(Value::Text(text)),
                    SqlStorageValue::Float(_) | SqlStorageValue::Blob(_) => {
                        Err(SqlError("a number with a fraction or a blob has no place in the ledger".to_owned()))
                    }
                });
                Ok(Row(values.collect::<Result<_, _>>()?))
            })
            .collect()
    }

    fn atomically<T, E: From<SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // A statement that fails does not undo those before it; what throws inside `transactionSync` does.
        let mut work = Some(work);
        let mut outcome: Option<Result<T, E>> = None;
        let ran = self.storage.transaction_sync(&mut || {
            let Some(work) = work.take() else { return Ok(JsValue::UNDEFINED) };
            let result = work();
            let failed = result.is_err();
            outcome = Some(result);
            if failed { Err(JsValue::from_str("undo")) } else { Ok(JsValue::UNDEFINED) }
        });
        match (outcome, ran) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (_, Err(thrown)) => Err(SqlError(format!("a transaction was not committed: {thrown:?}")).into()),
            (None, Ok(_)) => Err(SqlError("a transaction did not run".to_owned()).into()),
        }
    }
}
