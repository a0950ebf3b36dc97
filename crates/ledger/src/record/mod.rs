//! The record of one project: what is expected, what was declared, approved, sent off and seen.

mod activity;
mod against;
mod approvals;
mod attestations;
mod closing;
mod copies;
mod door;
mod expectations;
mod gates;
mod giving_way;
mod glance;
mod hints;
mod jobs;
mod looks;
mod lost;
mod measured;
mod outbox;
mod progress;
mod public;
mod reading;
mod retention;
mod runs;
mod schema;
mod sources;
mod statuses;
mod stop;
mod strangers;
mod turns;
pub use attestations::{Attachment, Attested, Unsigned};
mod withdrawals;
pub use against::Whereabouts;
pub use copies::{AUDIT_ROWS, DeclaredTarget, End, EndedByImport, Head as ExportHead, Imported, NotImported};
pub use expectations::Declared;
pub use gates::{Ask, GateOverride, StopReason};
pub use giving_way::GivingWay;
pub use glance::GLANCES_MAX;
pub use hints::{Kept, Named};
pub use looks::Watched;
pub use measured::Measured;
pub use outbox::{Delivery, Receiver};
pub use reading::Sent;
pub use retention::{Behind, Held, Removal, Removed, Resting, StagedObject, UNANSWERED};
pub use runs::Reached;
pub use sources::Origin;
pub use statuses::DueStatus;
pub use withdrawals::{NameTaken, PublicName, TakenBack};
#[cfg(test)]
mod tests;

use slipway_core::api;
use slipway_core::cargo::{Cargo, tag_of};
use slipway_core::promotion::Order;
use slipway_core::release::{Key, Version};
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use crate::audit::{self, Event};
use crate::migrate::{MigrationError, migrate};
use crate::sql::{Sql, SqlError, Value};

/// Targets of one release. The largest known has 54, on a patch day 150.
const TARGETS_MAX: u64 = 1000;

/// Why the record did not change.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database said no.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A row or message could not be read or written as JSON.
    #[error("cannot read or write a part of the record: {0}")]
    Json(#[from] serde_json::Error),
    /// A row holds text that this version does not know.
    #[error("the record holds something unknown: {0}")]
    Unknown(String),
    /// Another pipeline wants to feed a key for which something is declared.
    #[error(
        "`{key}` of {version} belongs to pipeline {declared}, which has declared its digest; pipeline {other} cannot change it. Release its packages under another version"
    )]
    OtherPipeline {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The pipeline that declared it.
        declared: u64,
        /// The pipeline that asks.
        other: u64,
    },
    /// The pipeline has said otherwise before.
    #[error(
        "this pipeline expects `{key}` of {version} otherwise already; what it expects is final, so change the plan and run a new pipeline"
    )]
    OtherExpectation {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
    /// Another job of the pipeline has said what it consists of.
    #[error(
        "`{key}` is not in the plan of {version} that job {planner} of this pipeline made, and no other job of the pipeline adds to \
         it; add the package to that plan and run a new pipeline"
    )]
    OtherPlanner {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The job that planned.
        planner: u64,
    },
    /// Another package of the pipeline has the same job or environment.
    #[error("`{key}` would be released by the job or environment of `{other}` of {version}; give each key its own")]
    SharedJob {
        /// The package.
        key: Key,
        /// The release of the package that has the job.
        version: Version,
        /// The package that has the job.
        other: Key,
    },
    /// A release has a limit, since it is shown and sent whole.
    #[error("{version} would have more than {TARGETS_MAX} targets; split it over several versions or projects")]
    TooManyTargets {
        /// The release.
        version: Version,
    },
    /// Nobody expects this package.
    #[error("`{key}` is not in the plan of {version}; add it to the `plan` job and run that first")]
    NotPlanned {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
    /// The digest declared for a key is final.
    #[error(
        "`{key}` of {version} was declared as {declared}; this is {other}. Nothing was changed: a rebuild needs another \
         version or, as long as nobody has approved it, `slipway stage --replace`"
    )]
    OtherDigest {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The declared digest.
        declared: Digest,
        /// The digest that came now.
        other: Digest,
    },
    /// What is approved or public is not replaced.
    #[error(
        "`{key}` of {version} cannot be replaced: its target {distro} is {state}. What was approved or is public keeps its \
         bytes; a rebuild needs another version"
    )]
    NotReplaceable {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The target.
        distro: String,
        /// How far it is.
        state: String,
    },
    /// What somebody was promised to find in staging is not replaced.
    #[error(
        "`{key}` of {version} cannot be replaced: {why}. What is held, deployed or kept for longer keeps its staged bytes, and \
         nothing was changed: lift the hold if it is one, and run this job again; otherwise a rebuild needs another version"
    )]
    Promised {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// By whom or by what, and until when.
        why: String,
    },
    /// Another release needs the very file, so it is not deleted for this one.
    #[error("`{key}` of {version} cannot be replaced: {why}. A rebuild needs another version")]
    StillNeeded {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// Which, and what for.
        why: String,
    },
    /// Another package of the release was declared with this very file.
    #[error(
        "`{filename}` for {distro} is the file of `{other}` in {version}, and cannot be that of `{key}` too. Stage each package's \
         own file; if `{other}` was staged with the wrong one, stage that again with `--replace` first"
    )]
    SharedFile {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The package that has it.
        other: Key,
        /// The file.
        filename: String,
        /// Where both would be.
        distro: String,
    },
    /// A release that was given up gets nothing more.
    #[error(
        "{version} is closed: nothing more of it is built, staged or released. Release its packages under another version"
    )]
    Closed {
        /// The release.
        version: Version,
    },
    /// Only what is public by Slipway is taken back.
    #[error(
        "`{key}` of {version} cannot be withdrawn: its target {distro} is {state}. Only what was released is taken back; \
         `slipway hold` and `slipway close` stop what is not"
    )]
    NotReleased {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The target.
        distro: String,
        /// How far it is.
        state: String,
    },
    /// Other releases have the same public, and would lose it.
    #[error(
        "{} as well, and would lose what is withdrawn of {version}. `slipway withdraw … --shared` takes it from all of them",
        public_in(others)
    )]
    SharedWithOthers {
        /// The release.
        version: Version,
        /// The others: `VERSION/KEY`.
        others: Vec<String>,
    },
    /// Nothing of a package was released.
    #[error("nothing of `{key}` of {version} is released, so there is nothing to withdraw")]
    NothingReleased {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
    /// There is no such target.
    #[error("`{key}` of {version} has no target `{distro}`")]
    NoTarget {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// What was named.
        distro: String,
    },
    /// There is no such release.
    #[error("nobody has planned {version}")]
    NoRelease {
        /// The release.
        version: Version,
    },
    /// Nobody holds what is to be let go.
    #[error("{what} of {version} is not on hold by itself; `holds` of the release lists what is")]
    NotHeld {
        /// The release.
        version: Version,
        /// The package, or all.
        what: String,
    },
    /// The staged bytes are on their way out.
    #[error(
        "`{key}` of {version} is being deleted from staging at this moment; run the job again in a few minutes, which stages it anew"
    )]
    BeingDeleted {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
    /// The record is being made of an export, and nothing else is written into it.
    #[error("this project's record is being imported; try again when that has ended")]
    Importing,
    /// What was built is not what the plan expects.
    #[error("{0}")]
    OtherFile(String),
    /// The package is left out on purpose.
    #[error("`{key}` of {version} is not shipped; take its `skip` out of the plan first")]
    Skipped {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
}

impl LedgerError {
    /// Whether it says that what was asked for is not done: not that the record failed, or that there is nothing of the kind.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Sql(_)
                | Self::Json(_)
                | Self::Unknown(_)
                | Self::Importing
                | Self::NoRelease { .. }
                | Self::NoTarget { .. }
        )
    }
}

/// A declared package, and where it is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The file's name.
    pub filename: Cargo,
    /// The declared bytes.
    pub digest: Digest,
    /// The staging repository.
    pub staging: Site,
    /// Its distro versions.
    pub distros: Vec<String>,
}

/// What a look at staging showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The declared bytes.
    Declared,
    /// Nothing under the name.
    Nothing,
    /// Other bytes under the name, and what is to be said of that.
    Other(api::Problem),
}

/// An order that its package's object has not acknowledged.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The approval's number.
    pub approval: u64,
    /// What its package's object must do.
    pub order: Order,
}

/// What a webhook or a look at a pipeline pointed at, and is to be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its number.
    pub id: u64,
    /// What it points at.
    pub subject: HintSubject,
    /// How often it was tried.
    pub tries: u32,
}

/// What a hint points at: by number alone, since all else is read from GitLab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintSubject {
    /// A job that may have been played.
    Job(u64),
    /// A deployment that may be done.
    Deployment(u64),
}

/// The record of one project.
#[derive(Debug)]
pub struct Record<S>(S);

fn public_in(others: &[String]) -> String {
    let named: Vec<String> = others.iter().map(|other| format!("`{other}`")).collect();
    let has = if others.len() == 1 { "has" } else { "have" };
    format!("{} {has} the same public", named.join(", "))
}

impl<S: Sql> Record<S> {
    /// Opens a database, bringing it to the newest schema.
    pub fn open(sql: S) -> Result<Self, MigrationError> {
        migrate(&sql, schema::STEPS)?;
        Ok(Self(sql))
    }

    /// The database, for the audit's readers.
    pub fn sql(&self) -> &S {
        &self.0
    }

    /// Writes down whose record this is. Of one that is being imported, its export says that.
    pub fn know_project(&self, id: u64) -> Result<(), LedgerError> {
        if self.project_id()? != Some(id) && !self.is_being_imported()? {
            self.0.query("INSERT OR IGNORE INTO project (id) VALUES (?)", &[id.into()])?;
        }
        Ok(())
    }

    /// Writes down under which configuration the record is used from now on, if that is another than before. Whether it is
    /// written down: not in a record that nobody has used, nor in one that is being imported, whose audit is its export's.
    pub fn know_policy(&self, policy: &Digest, now: Timestamp) -> Result<bool, LedgerError> {
        if self.project_id()?.is_none() || self.is_being_imported()? {
            return Ok(false);
        }
        audit::configured(&self.0, policy, now)?;
        Ok(true)
    }

    /// Whose record this is. `None` in a record that nobody has used.
    pub fn project_id(&self) -> Result<Option<u64>, LedgerError> {
        let rows = self.0.query("SELECT id FROM project", &[])?;
        Ok(rows.first().map(|row| row.natural(0)).transpose()?)
    }

    /// Spends the id of an ID token. A fresh token is spent once; sent again by the same job, fresh or not, it stands for
    /// the session that it opened. `false` for everything else.
    pub fn spend_token(&self, session: &JobSession, is_fresh: bool, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            self.0.query("DELETE FROM tokens WHERE ends_at <= ?", &[now.0.into()])?;
            let id: Value = session.token_id.as_str().into();
            let rows = self.0.query("SELECT job_id FROM tokens WHERE id = ?", std::slice::from_ref(&id))?;
            if let Some(row) = rows.first() {
                return Ok(row.natural(0)? == session.job_id);
            }
            if is_fresh {
                self.0.query(
                    "INSERT INTO tokens (id, job_id, ends_at) VALUES (?, ?, ?)",
                    &[id, session.job_id.into(), session.ends_at.0.into()],
                )?;
            }
            Ok(is_fresh)
        })
    }

    // ---- the chain ----

    /// Every change of a release goes through here: one audit row, and a new sequence number for those who follow.
    fn change(
        &self,
        version: &Version,
        actor: &str,
        action: &str,
        subject: &str,
        details: &serde_json::Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let event = Event {
            at: now,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            details: details.to_string(),
        };
        self.append(&event)?;
        self.bump(version)
    }

    /// Adds a row to the audit. While the record is being made of an export, that has no rows but the export's: whoever was let
    /// in before, and has waited for somebody since, changes nothing, since whatever they write belongs to neither record.
    fn append(&self, event: &Event) -> Result<(), LedgerError> {
        self.is_no_import()?;
        audit::append(&self.0, event)?;
        Ok(())
    }

    fn is_no_import(&self) -> Result<(), LedgerError> {
        if self.is_being_imported()? { Err(LedgerError::Importing) } else { Ok(()) }
    }

    /// Something of a release has changed that is not recorded, such as the bytes sent: those who follow it look again.
    pub fn touch(&self, version: &Version) -> Result<(), LedgerError> {
        self.bump(version)
    }

    fn bump(&self, version: &Version) -> Result<(), LedgerError> {
        self.0.query("UPDATE releases SET sequence = sequence + 1 WHERE version = ?", &[version.as_str().into()])?;
        Ok(())
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|error: T::Err| LedgerError::Unknown(error.to_string()))
}

/// A word that serde gives a value, as it is kept in a column.
fn coded<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_value(text.into()).map_err(|_| LedgerError::Unknown(format!("`{text}`")))
}

fn subject(version: &Version, key: &Key) -> String {
    format!("{version}/{key}")
}

/// What the audit calls a target: by its distro version, or an image's by its tag.
fn named_target(name: &str) -> (&'static str, &str) {
    tag_of(name).map_or(("distro", name), |tag| ("tag", tag))
}

/// What the audit calls that which is shipped: by its file's name, or an image by its repository.
fn named_cargo(name: &str) -> (&'static str, &str) {
    (if name.contains('/') { "image" } else { "filename" }, name)
}

fn job_actor(by: &JobSession) -> String {
    format!("job:{} user:{}", by.job_id, by.user)
}
