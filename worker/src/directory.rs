//! Which projects and releases there are, and when people last signed out.

use slipway_core::time::Timestamp;
use slipway_ledger::{Sql, SqlError, Value, migrate};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, finish, json};
use crate::clock;
use crate::message::{Listed, ToDirectory};
use crate::sql::DurableSql;

const FIRST: &[&str] = &["CREATE TABLE releases (
    project_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, version)
)"];

/// When people last signed out: no session of theirs that began before is good.
const SIGNED_OUT: &[&str] = &["CREATE TABLE signed_out (
    user_id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
)"];

#[durable_object(fetch)]
pub struct Directory {
    sql: DurableSql,
}

impl DurableObject for Directory {
    fn new(state: State, _env: Env) -> Self {
        Self { sql: DurableSql::new(&state) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToDirectory = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message))
    }
}

impl Directory {
    fn answer(&self, message: ToDirectory) -> Answer {
        migrate(&self.sql, &[FIRST, SIGNED_OUT])?;
        match message {
            ToDirectory::Add { project_id, version } => {
                let values: [Value; 3] = [project_id.into(), version.as_str().into(), clock::now().0.into()];
                let add = "INSERT OR IGNORE INTO releases (project_id, version, added_at) VALUES (?, ?, ?)";
                self.sql.query(add, &values)?;
                json(200, &())
            }
            ToDirectory::SignOut { user_id } => {
                let now = clock::now().0;
                // None of a session is good that began when a clock was ahead, either.
                let sign_out = "INSERT INTO signed_out (user_id, at) VALUES (?1, ?2)
                     ON CONFLICT (user_id) DO UPDATE SET at = MAX(at, ?2)";
                self.sql.query(sign_out, &[user_id.into(), now.into()])?;
                json(200, &())
            }
            ToDirectory::SignedOut { user_id } => {
                let rows = self.sql.query("SELECT at FROM signed_out WHERE user_id = ?", &[user_id.into()])?;
                let at = rows.first().map(|row| row.integer(0)).transpose()?;
                json(200, &at.map(Timestamp))
            }
            ToDirectory::List => {
                let rows = self.sql.query(
                    "SELECT project_id, version FROM (
                        SELECT project_id, version, added_at,
                            ROW_NUMBER() OVER (PARTITION BY project_id ORDER BY added_at DESC) AS place
                        FROM releases
                     ) WHERE place <= 5 ORDER BY added_at DESC LIMIT 1000",
                    &[],
                )?;
                let listed = rows.iter().map(|row| {
                    let version = row.text(1)?.parse().map_err(|error| SqlError(format!("{error}")))?;
                    Ok(Listed { project_id: row.natural(0)?, version })
                });
                json(200, &listed.collect::<std::result::Result<Vec<_>, SqlError>>()?)
            }
        }
    }
}
