//! What cannot be seen, kept in SQL: expectations, approvals, attempts and the audit chain.
//!
//! Where a package is, is read from the repositories; the last thing seen is kept here to show it. A [`Record`] belongs
//! to one project, a [`Work`] to one package of one release. Both run over a small port, [`Sql`], which a Durable
//! Object's SQLite and rusqlite implement.
//!
//! Absent on purpose: the network, the clock, and deciding anything. Callers bring the time and the decision.
#![cfg_attr(
    not(any(test, feature = "rusqlite")),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod audit;
mod migrate;
mod record;
#[cfg(any(test, feature = "rusqlite"))]
pub mod rusqlite;
mod sql;
pub mod switch;
mod work;
mod work_back;

pub use migrate::{MigrationError, migrate};
pub use record::{
    AUDIT_ROWS, Behind, DeclaredTarget, End, EndedByImport, ExportHead, GivingWay, Imported, NotImported,
};
pub use record::{
    Ask, Attachment, Attested, Declared, Delivery, Dispatch, DueStatus, GLANCES_MAX, GateOverride, Held, Hint,
    HintSubject, Kept, LedgerError, Measured, NameTaken, Named, Origin, PublicName, Reached, Receiver, Record, Removal,
    Removed, Resting, Sent, Sight, Staged, StagedObject, StopReason, TakenBack, UNANSWERED, Unsigned, Watched,
    Whereabouts,
};
pub use sql::{Row, Sql, SqlError, Value};
pub use work::{Task, Work};
pub use work_back::Withdrawing;
