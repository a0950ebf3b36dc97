//! The ledgers' port in the simulation: every commit is a boundary, and a dead process commits nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

use slipway_edge::account::Account;
#[cfg(not(target_arch = "wasm32"))]
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Record, Row, Sql, SqlError, Value, Work};

use crate::fault::{Fault, Kind};
#[cfg(target_arch = "wasm32")]
use crate::node::Database;
use crate::world::World;

thread_local! {
    /// Databases of runs that are over, empty but for their tables.
    static POOL: RefCell<BTreeMap<Kind, Vec<Rc<Backend>>>> = const { RefCell::new(BTreeMap::new()) };
}

/// One object's database, which outlives every process of a run.
///
/// The whole run is inside one savepoint, and each transaction inside another: so the next run finds the tables as they
/// were made, and every statement prepared.
pub(crate) struct Backend {
    database: Database,
    /// Everything that was ever written, in its order: whoever has the same history has the same rows.
    history: Cell<u64>,
    /// The history at the beginning of the transaction.
    before: Cell<u64>,
    /// Whether it can be had as it was at some moment.
    is_backed_up: Cell<bool>,
}

impl Backend {
    /// One with the tables of a kind of object, and nothing in them.
    pub(crate) fn take(kind: Kind) -> Rc<Self> {
        if let Some(backend) = POOL.with_borrow_mut(|pool| pool.entry(kind).or_default().pop()) {
            return backend;
        }
        let database = Database::in_memory();
        match kind {
            Kind::RecordCommit => drop(Record::open(&database).expect("the record's schema")),
            Kind::PackageCommit => drop(Work::open(&database).expect("the work's schema")),
            _ => drop(Account::open(&database).expect("the account's schema")),
        }
        database.query("SAVEPOINT run", &[]).expect("a savepoint");
        Rc::new(Self { database, history: Cell::new(0), before: Cell::new(0), is_backed_up: Cell::new(false) })
    }

    /// Takes it back when its run is over.
    pub(crate) fn give_back(self: Rc<Self>, kind: Kind) {
        self.forget_backup();
        if self.database.query("ROLLBACK TO run", &[]).is_ok() {
            self.history.set(0);
            POOL.with_borrow_mut(|pool| pool.entry(kind).or_default().push(self));
        }
    }

    fn begin(&self) -> Result<(), SqlError> {
        self.before.set(self.history.get());
        self.database.query("SAVEPOINT change", &[]).map(drop)
    }

    fn commit(&self) -> Result<(), SqlError> {
        self.database.query("RELEASE change", &[]).map(drop)
    }

    fn undo(&self) -> Result<(), SqlError> {
        self.database.query("ROLLBACK TO change", &[])?;
        self.history.set(self.before.get());
        self.commit()
    }

    /// What was written, in one number.
    pub(crate) fn history(&self) -> u64 {
        self.history.get()
    }

    /// Remembers how it is now, so that it can be had again.
    pub(crate) fn mark(&self) {
        self.database.query("SAVEPOINT mark", &[]).expect("a savepoint");
    }

    /// Has it as it was at the last mark.
    pub(crate) fn go_back(&self, history: u64) {
        self.database.query("ROLLBACK TO mark", &[]).expect("a mark");
        self.history.set(history);
    }

    /// Remembers how it is now, as a backup does.
    pub(crate) fn back_up(&self) {
        self.forget_backup();
        self.database.query("SAVEPOINT backup", &[]).expect("a savepoint");
        self.is_backed_up.set(true);
    }

    /// Forgets the last backup. What SQLite has kept for it is only given back so, and slows down every commit until then.
    fn forget_backup(&self) {
        if self.is_backed_up.replace(false) {
            self.database.query("RELEASE backup", &[]).expect("a backup");
        }
    }

    /// Has it as it was at the last backup.
    pub(crate) fn restore(&self, history: u64) {
        self.database.query("ROLLBACK TO backup", &[]).expect("a backup");
        self.history.set(history);
    }

    /// Has nothing in it, as when it was made.
    pub(crate) fn empty(&self) {
        self.forget_backup();
        self.database.query("ROLLBACK TO run", &[]).expect("a savepoint");
        self.history.set(0);
    }

    /// Forgets the last mark.
    pub(crate) fn unmark(&self) {
        self.database.query("RELEASE mark", &[]).expect("a mark");
    }
}

impl Sql for Backend {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        // What makes tables has made them when the database was.
        if !statement.starts_with("SELECT") && !statement.starts_with("CREATE TABLE IF NOT EXISTS") {
            let mut hasher = DefaultHasher::new();
            (self.history.get(), statement).hash(&mut hasher);
            for value in values {
                match value {
                    Value::Null => 0_u8.hash(&mut hasher),
                    Value::Integer(number) => (1_u8, number).hash(&mut hasher),
                    Value::Text(text) => (2_u8, text).hash(&mut hasher),
                }
            }
            self.history.set(hasher.finish());
        }
        self.database.query(statement, values)
    }

    fn atomically<T, E: From<SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.begin()?;
        let done = work();
        if done.is_ok() {
            self.commit()?;
        } else {
            self.undo()?;
        }
        done
    }
}

/// One object's database, as the living process sees it.
pub(crate) struct SimSql {
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
            Some(Fault::SqlFails) => {
                self.world.point("a commit failed");
                Err(SqlError("the disk is full".to_owned()))
            }
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
        let writes = !statement.starts_with("SELECT");
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
        self.backend.begin()?;
        self.in_transaction.set(true);
        let done = work();
        self.in_transaction.set(false);
        let done = done.and_then(|value| {
            self.commits()?;
            Ok(value)
        });
        match done {
            Ok(value) => {
                self.backend.commit()?;
                self.committed();
                Ok(value)
            }
            Err(error) => {
                self.backend.undo()?;
                Err(error)
            }
        }
    }
}
