//! The ledgers' port in the simulation: every commit is a boundary, and a dead process commits nothing.

use std::cell::Cell;
use std::rc::Rc;

#[cfg(not(target_arch = "wasm32"))]
pub use slipway_ledger::rusqlite::Database as Backend;
use slipway_ledger::{Row, Sql, SqlError, Value};

#[cfg(target_arch = "wasm32")]
pub use crate::node::Backend;
use crate::fault::{Fault, Kind};
use crate::world::World;

/// One object's database, as the living process sees it.
pub struct SimSql {
    world: Rc<World>,
    backend: Rc<Backend>,
    kind: Kind,
    /// Opening a database is no boundary: it is the same in every run.
    pub(crate) is_open: Rc<Cell<bool>>,
    in_transaction: Cell<bool>,
}

impl SimSql {
    pub(crate) fn new(world: &Rc<World>, backend: &Rc<Backend>, kind: Kind) -> Self {
        let (is_open, in_transaction) = (Rc::new(Cell::new(false)), Cell::new(false));
        Self { world: Rc::clone(world), backend: Rc::clone(backend), kind, is_open, in_transaction }
    }

    fn alive(&self) -> Result<(), SqlError> {
        if self.world.is_dead() { Err(SqlError("the process is dead".to_owned())) } else { Ok(()) }
    }

    /// A commit that is due: whether it may be made.
    fn commits(&self) -> Result<(), SqlError> {
        if !self.is_open.get() || self.world.is_quiet() {
            return Ok(());
        }
        match self.world.boundary(self.kind) {
            Some(Fault::SqlFails) => Err(SqlError("the disk is full".to_owned())),
            Some(Fault::KilledApplied) => {
                self.world.kill_after_commit();
                Ok(())
            }
            _ => self.alive(),
        }
    }

    fn committed(&self) {
        if self.is_open.get() && !self.world.is_quiet() {
            self.world.committed(self.kind, &self.backend);
        }
    }
}

impl Sql for SimSql {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        self.alive()?;
        let writes = !statement.trim_start().starts_with("SELECT");
        let alone = writes && !self.in_transaction.get();
        if alone {
            self.commits()?;
        }
        let rows = self.backend.query(statement, values)?;
        self.world.traced(|trace| {
            trace.add(statement.as_bytes());
            for value in values.iter().chain(rows.iter().flat_map(|row| &row.0)) {
                match value {
                    Value::Null => trace.add(b"-"),
                    Value::Integer(number) => trace.add(&number.to_le_bytes()),
                    Value::Text(text) => trace.add(text.as_bytes()),
                }
            }
        });
        if alone {
            self.committed();
        }
        Ok(rows)
    }

    fn atomically<T, E: From<SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.alive()?;
        self.backend.query("BEGIN IMMEDIATE", &[])?;
        self.in_transaction.set(true);
        let done = work();
        self.in_transaction.set(false);
        let done = done.and_then(|value| {
            self.commits()?;
            Ok(value)
        });
        match done {
            Ok(value) => {
                self.backend.query("COMMIT", &[])?;
                self.committed();
                Ok(value)
            }
            Err(error) => {
                self.backend.query("ROLLBACK", &[])?;
                Err(error)
            }
        }
    }
}
