//! Which projects and releases there are, when people last signed out, and the switch that stops everything.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use slipway_core::time::Timestamp;
use slipway_ledger::switch::{Heard, Used};
use slipway_ledger::{Sql, SqlError, Value, migrate, switch};
use worker::{Delay, DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::message::{self, Listed, ToDirectory, ToProject, Turned};
use crate::sql::DurableSql;
use crate::{clock, settings};

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
/// How often in a row all are told, where one is found to have heard of a later turn than this.
const ROUNDS: usize = 3;
/// Which folder all objects are kept in, where whoever runs workerd says so.
const FOLDER: &str = "SLIPWAY_FOLDER";
/// How the name of one begins of which its operator says that what is in it was put back.
const RESTORED: &str = "restored-";

#[durable_object(alarm)]
pub struct Directory {
    state: State,
    env: Env,
    sql: DurableSql,
    /// Who had not heard how the switch stands, as the log said last.
    said_untold: RefCell<Vec<u64>>,
}

impl DurableObject for Directory {
    fn new(state: State, env: Env) -> Self {
        let sql = DurableSql::new(&state);
        Self { state, env, sql, said_untold: RefCell::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToDirectory = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }

    async fn alarm(&self) -> Result<Response> {
        // Armed anew first: whoever is killed on the way is woken again.
        self.state.storage().set_alarm(TELL_AGAIN).await?;
        match self.tell_all().await {
            Ok(untold) if untold.is_empty() => {
                self.said_untold.take();
                self.state.storage().delete_alarm().await?;
            }
            // One that never answers is told every second, and each time that it falls silent is worth one line.
            Ok(untold) if *self.said_untold.borrow() != untold => {
                crate::log::trouble!("projects {untold:?} have not heard how the switch stands");
                self.said_untold.replace(untold);
            }
            Ok(_) => {}
            Err(problem) => crate::log::trouble!("the directory's alarm: {}", problem.detail),
        }
        Response::empty()
    }
}

impl Directory {
    fn open(&self) -> std::result::Result<(), Problem> {
        migrate(&self.sql, &[FIRST, SIGNED_OUT, switch::SCHEMA, switch::MEMORY])?;
        let Ok(folder) = self.env.var(FOLDER) else { return Ok(()) };
        let folder = folder.to_string();
        // What was put back may have lost this directory, which then knows nothing of before.
        let used = if folder.starts_with(RESTORED) { Used::Before } else { self.used()? };
        if switch::kept_in(&self.sql, &folder, used, &projects()?, clock::now())? {
            crate::log::trouble!("what Slipway knows was restored or copied: everything is stopped");
        }
        Ok(())
    }

    /// Whether anything was ever written down here, beside the turns of the switch.
    fn used(&self) -> std::result::Result<Used, SqlError> {
        let any = "SELECT 1 FROM releases UNION ALL SELECT 1 FROM signed_out LIMIT 1";
        Ok(if self.sql.query(any, &[])?.is_empty() { Used::Never } else { Used::Before })
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
            ToDirectory::Learn { heard } => {
                self.ask_all().await?;
                if switch::heard_elsewhere(&self.sql, heard, &projects()?, clock::now())? {
                    crate::log::trouble!("a project has heard of a later turn of the switch: everything is stopped");
                }
                if !switch::untold(&self.sql)?.is_empty() {
                    self.state.storage().set_alarm(TELL_AGAIN).await?;
                }
                json(200, &switch::word(&self.sql)?)
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

    /// Asks every project, once, which turn of the switch it has heard of: this directory may be new because another was lost.
    /// Whoever does not answer is told by the alarm how the switch stands until they do.
    async fn ask_all(&self) -> std::result::Result<(), Problem> {
        if !switch::asks_all(&self.sql)? {
            return Ok(());
        }
        let ask = async |id: u64| (id, Heard::of(self.asked(id, ToProject::Heard { project_id: id }).await));
        let answers = join_all(projects()?.into_iter().map(ask)).await;
        let silent = switch::answered(&self.sql, &answers, clock::now())?;
        if !silent.is_empty() {
            crate::log::trouble!("the directory is new, and projects {silent:?} have not said how the switch stood");
        }
        Ok(())
    }

    /// What a project says of the last turn that it has heard of. `None` where it does not answer.
    async fn asked(&self, project_id: u64, message: ToProject) -> Option<Option<u64>> {
        let answer = std::pin::pin!(message::ask(message::project(&self.env, project_id), &message));
        match select(answer, Delay::from(TELL_LIMIT)).await {
            Either::Left((heard, _)) => heard.ok(),
            Either::Right(_) => None,
        }
    }

    /// Tells every project that has not heard how the switch stands, all at once; those that still have not.
    async fn tell_all(&self) -> std::result::Result<Vec<u64>, Problem> {
        self.open()?;
        for _ in 0..ROUNDS {
            let word = switch::word(&self.sql)?;
            let tell = async |project_id: u64| {
                let heard = self.asked(project_id, ToProject::Hear { project_id, word: word.clone() }).await;
                heard.map(|heard| (project_id, heard))
            };
            let told = join_all(switch::untold(&self.sql)?.into_iter().map(tell)).await;
            let mut is_behind = false;
            for (project_id, heard) in told.into_iter().flatten() {
                switch::told(&self.sql, project_id, word.number)?;
                is_behind |= switch::heard_elsewhere(&self.sql, heard, &projects()?, clock::now())?;
            }
            if !is_behind {
                break;
            }
        }
        Ok(switch::untold(&self.sql)?)
    }
}

fn projects() -> std::result::Result<Vec<u64>, Problem> {
    Ok(settings::config()?.projects.iter().map(|project| project.id).collect())
}
