//! The transfer slots of one destination account, lent across all projects.
//!
//! A lease ends by itself, so that a holder that was killed keeps no slot for ever; the same holder asking again renews
//! its own.

use std::time::Duration;

use slipway_ledger::{Sql, SqlError, Value, migrate};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::clock;
use crate::message::ToDestination;
use crate::sql::DurableSql;

const FIRST: &[&str] = &["CREATE TABLE leases (holder TEXT PRIMARY KEY, ends_at INTEGER NOT NULL)"];

#[durable_object(fetch)]
pub struct DestinationAccount {
    sql: DurableSql,
}

impl DurableObject for DestinationAccount {
    fn new(state: State, _env: Env) -> Self {
        Self { sql: DurableSql::new(&state) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToDestination = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(&message))
    }
}

impl DestinationAccount {
    /// `true` when the slot is lent, `false` when all are taken.
    fn answer(&self, message: &ToDestination) -> Answer {
        migrate(&self.sql, &[FIRST]).map_err(|error| worker::Error::RustError(error.to_string()))?;
        let lent = self
            .sql
            .atomically(|| self.settle(message))
            .map_err(|error: SqlError| Problem::from(worker::Error::RustError(error.to_string())))?;
        json(200, &lent)
    }

    fn settle(&self, message: &ToDestination) -> std::result::Result<bool, SqlError> {
        let now = clock::now();
        self.sql.query("DELETE FROM leases WHERE ends_at <= ?", &[now.0.into()])?;
        match message {
            ToDestination::Return { holder } => {
                self.sql.query("DELETE FROM leases WHERE holder = ?", &[holder.as_str().into()])?;
                Ok(true)
            }
            ToDestination::Lease { holder, transfers, seconds } => {
                let others =
                    self.sql.query("SELECT COUNT(*) FROM leases WHERE holder <> ?", &[holder.as_str().into()])?;
                let taken = others.first().map_or(Ok(0), |row| row.natural(0))?;
                if taken >= u64::from(*transfers) {
                    return Ok(false);
                }
                let ends_at: Value = (now + Duration::from_secs(*seconds)).0.into();
                self.sql.query(
                    "INSERT INTO leases (holder, ends_at) VALUES (?, ?)
                     ON CONFLICT (holder) DO UPDATE SET ends_at = excluded.ends_at",
                    &[holder.as_str().into(), ends_at],
                )?;
                Ok(true)
            }
        }
    }
}
