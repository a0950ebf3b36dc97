//! Which projects and releases there are, when people last signed out, and the switch that stops everything.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use slipway_core::time::Timestamp;
use slipway_ledger::{MigrationError, Sql, SqlError, Value, migrate, switch};
use worker::{Delay, DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::clock;
use crate::message::{self, Listed, ToDirectory, ToProject, Turned};
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

/// When a project is told again that has not heard how the switch stands.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to hear.
const TELL_LIMIT: Duration = Duration::from_secs(5);

#[durable_object(alarm)]
pub struct Directory {
    state: State,
    env: Env,
    sql: DurableSql,
}

impl DurableObject for Directory {
    fn new(state: State, env: Env) -> Self {
        let sql = DurableSql::new(&state);
        Self { state, env, sql }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToDirectory = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }

    async fn alarm(&self) -> Result<Response> {
        // Armed anew first: whoever is killed on the way is woken again.
        self.state.storage().set_alarm(TELL_AGAIN).await?;
        match self.tell_all().await {
            Ok(untold) if untold.is_empty() => self.state.storage().delete_alarm().await?,
            Ok(untold) => crate::log::trouble!("projects {untold:?} have not heard how the switch stands"),
            Err(problem) => crate::log::trouble!("the directory's alarm: {}", problem.detail),
        }
        Response::empty()
    }
}

impl Directory {
    fn open(&self) -> std::result::Result<(), MigrationError> {
        migrate(&self.sql, &[FIRST, SIGNED_OUT, switch::SCHEMA])
    }

    async fn answer(&self, message: ToDirectory) -> Answer {
        self.open()?;
        match message {
            ToDirectory::Turn { is_stopped, by, reason, projects } => {
                // Written down with all who have to hear of it, and armed, before anybody is told.
                switch::turn(&self.sql, is_stopped, &by, &reason, &projects, clock::now())?;
                self.state.storage().set_alarm(TELL_AGAIN).await?;
                let untold = self.tell_all().await?;
                if untold.is_empty() {
                    self.state.storage().delete_alarm().await?;
                }
                json(200, &Turned { word: switch::word(&self.sql)?, untold })
            }
            ToDirectory::Word => {
                json(200, &Turned { word: switch::word(&self.sql)?, untold: switch::untold(&self.sql)? })
            }
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

    /// Tells every project that has not heard how the switch stands, all at once; those that still have not.
    async fn tell_all(&self) -> std::result::Result<Vec<u64>, Problem> {
        self.open()?;
        let word = switch::word(&self.sql)?;
        let untold = switch::untold(&self.sql)?;
        let tell = async |project_id: u64| {
            let hear = ToProject::Hear { project_id, word: word.clone() };
            let heard = std::pin::pin!(message::ask::<()>(message::project(&self.env, project_id), &hear));
            match select(heard, Delay::from(TELL_LIMIT)).await {
                Either::Left((Ok(()), _)) => Some(project_id),
                Either::Left((Err(_), _)) | Either::Right(_) => None,
            }
        };
        let told = join_all(untold.into_iter().map(tell)).await;
        for project_id in told.into_iter().flatten() {
            switch::told(&self.sql, project_id, word.number)?;
        }
        Ok(switch::untold(&self.sql)?)
    }
}
