//! The record of one project: what is expected, what was declared, approved, sent off and seen.

use slipway_core::api;
use slipway_core::approval::{Approval, Candidate};
use slipway_core::config::{Config, Project};
use slipway_core::expectation::Planned;
use slipway_core::promotion::{Order, OrderTarget};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::{self, Report};
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_packagecloud::Filename;
use slipway_wire::Digest;

use crate::audit::{self, Event};
use crate::migrate::{MigrationError, migrate};
use crate::sql::{Row, Sql, SqlError, Value};

const FIRST: &[&str] = &[
    "CREATE TABLE project (id INTEGER PRIMARY KEY)",
    "CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        job_id INTEGER NOT NULL,
        ends_at INTEGER NOT NULL
    )",
    "CREATE TABLE releases (
        version TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        policy TEXT NOT NULL
    )",
    "CREATE TABLE pipelines (
        version TEXT NOT NULL,
        id INTEGER NOT NULL,
        project_path TEXT NOT NULL,
        ref_name TEXT NOT NULL,
        sha TEXT NOT NULL,
        PRIMARY KEY (version, id)
    )",
    "CREATE TABLE packages (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        pipeline_id INTEGER NOT NULL,
        release_job TEXT NOT NULL,
        environment TEXT NOT NULL,
        staging_place TEXT NOT NULL,
        staging_repository TEXT NOT NULL,
        filename TEXT,
        digest TEXT,
        size INTEGER,
        PRIMARY KEY (version, key)
    )",
    "CREATE INDEX packages_by_job ON packages (pipeline_id, release_job)",
    "CREATE TABLE targets (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        distro TEXT NOT NULL,
        public_place TEXT NOT NULL,
        public_repository TEXT NOT NULL,
        state TEXT NOT NULL,
        since INTEGER NOT NULL,
        step TEXT,
        problem TEXT,
        approval INTEGER,
        PRIMARY KEY (version, key, distro)
    )",
    "CREATE TABLE approvals (
        id INTEGER PRIMARY KEY,
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        digest TEXT NOT NULL,
        approved_by TEXT NOT NULL,
        via TEXT NOT NULL,
        job_id INTEGER NOT NULL,
        at INTEGER NOT NULL,
        policy TEXT NOT NULL
    )",
    "CREATE TABLE dispatches (
        approval INTEGER PRIMARY KEY,
        sent_order TEXT NOT NULL
    )",
    "CREATE TABLE refusals (
        job_id INTEGER NOT NULL,
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (job_id, version, key)
    )",
    "CREATE TABLE hints (
        id INTEGER PRIMARY KEY,
        delivery TEXT NOT NULL UNIQUE,
        job_id INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        due_at INTEGER,
        outcome TEXT
    )",
];

/// Targets of one release. The largest known has 54, on a patch day 150.
const TARGETS_MAX: u64 = 1000;

const SCHEMA: &[&[&str]] = &[FIRST, audit::SCHEMA];

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
    /// Another pipeline wants to feed a key for which a file is declared.
    #[error(
        "`{key}` of {version} belongs to pipeline {declared}, which has declared its file; pipeline {other} cannot change it. Release its packages under another version"
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
        "`{key}` of {version} was declared as {declared}; this file is {other}. Nothing was changed: a rebuild needs another version"
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
    /// The package is left out on purpose.
    #[error("`{key}` of {version} is not shipped; take its `skip` out of the plan first")]
    Skipped {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
}

/// A declared package, and where it is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The file's name.
    pub filename: Filename,
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

/// A webhook that was acknowledged and is to be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its number.
    pub id: u64,
    /// The job that it names.
    pub job_id: u64,
    /// How often it was tried.
    pub tries: u32,
}

/// The record of one project.
#[derive(Debug)]
pub struct Record<S>(S);

impl<S: Sql> Record<S> {
    /// Opens a database, bringing it to the newest schema.
    pub fn open(sql: S) -> Result<Self, MigrationError> {
        migrate(&sql, SCHEMA)?;
        Ok(Self(sql))
    }

    /// The database, for the audit's readers.
    pub fn sql(&self) -> &S {
        &self.0
    }

    /// Writes down whose record this is.
    pub fn know_project(&self, id: u64) -> Result<(), LedgerError> {
        if self.project_id()? != Some(id) {
            self.0.query("INSERT OR IGNORE INTO project (id) VALUES (?)", &[id.into()])?;
        }
        Ok(())
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

    // ---- expectations and digests ----

    /// Adds what a pipeline expects of a release. The same again changes nothing.
    pub fn expect(
        &self,
        version: &Version,
        by: &JobSession,
        policy: &Digest,
        expected: &[Planned],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let mut changed = Vec::new();
            self.0.query(
                "INSERT OR IGNORE INTO releases (version, created_at, sequence, policy) VALUES (?, ?, 0, ?)",
                &[version.as_str().into(), now.0.into(), policy.to_string().into()],
            )?;
            self.0.query(
                "INSERT OR IGNORE INTO pipelines (version, id, project_path, ref_name, sha) VALUES (?, ?, ?, ?, ?)",
                &[
                    version.as_str().into(),
                    by.pipeline_id.into(),
                    by.project_path.as_str().into(),
                    by.ref_name.as_str().into(),
                    by.sha.as_str().into(),
                ],
            )?;
            for package in expected {
                if self.expect_one(version, by, package, now)? {
                    changed.push(package.key.as_str());
                }
            }
            let rows = self.0.query("SELECT COUNT(*) FROM targets WHERE version = ?", &[version.as_str().into()])?;
            if rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default() > TARGETS_MAX {
                return Err(LedgerError::TooManyTargets { version: version.clone() });
            }
            if !changed.is_empty() {
                let details = serde_json::json!({ "keys": changed, "pipeline": by.pipeline_id, "sha": by.sha });
                self.change(version, &job_actor(by), "planned", version.as_str(), &details, now)?;
            }
            Ok(())
        })
    }

    fn expect_one(
        &self,
        version: &Version,
        by: &JobSession,
        package: &Planned,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Planned { key, expect, staging, targets } = package;
        let at: [Value; 2] = [version.as_str().into(), key.as_str().into()];
        let rows = self.0.query(
            "SELECT pipeline_id, release_job, environment, staging_place, staging_repository, digest FROM packages
             WHERE version = ? AND key = ?",
            &at,
        )?;
        if let Some(row) = rows.first() {
            let declared = row.natural(0)?;
            let same = row.text(1)? == expect.release_job
                && row.text(2)? == expect.environment
                && row.text(3)? == staging.place
                && row.text(4)? == staging.repository
                && self.same_targets(version, key, expect, targets)?;
            let has_begun = row.text_or_null(5)?.is_some()
                || self
                    .states(version, key)?
                    .iter()
                    .any(|(_, state)| !matches!(state, TargetState::Expected | TargetState::Skipped));
            let same_commit = !by.sha.is_empty() && self.sha_of(version, declared)?.as_deref() == Some(by.sha.as_str());
            match (declared == by.pipeline_id, same) {
                (true, true) => return Ok(false),
                // What a pipeline expects is said once: nothing falls out of a plan unseen.
                (true, false) => {
                    return Err(LedgerError::OtherExpectation { version: version.clone(), key: key.clone() });
                }
                // A pipeline run again for the same commit takes its packages over, with what was declared of them.
                (false, true) if has_begun && same_commit => {
                    self.own_job(version, key, by, expect)?;
                    self.0.query(
                        "UPDATE packages SET pipeline_id = ? WHERE version = ? AND key = ?",
                        &[by.pipeline_id.into(), version.as_str().into(), key.as_str().into()],
                    )?;
                    return Ok(true);
                }
                (false, _) if has_begun => {
                    return Err(LedgerError::OtherPipeline {
                        version: version.clone(),
                        key: key.clone(),
                        declared,
                        other: by.pipeline_id,
                    });
                }
                // Nothing was built for it yet, so a later pipeline may expect it otherwise.
                (false, _) => {}
            }
            self.0.query("DELETE FROM packages WHERE version = ? AND key = ?", &at)?;
            self.0.query("DELETE FROM targets WHERE version = ? AND key = ?", &at)?;
        }
        self.own_job(version, key, by, expect)?;
        self.0.query(
            "INSERT INTO packages (version, key, pipeline_id, release_job, environment, staging_place, staging_repository)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            &[
                version.as_str().into(),
                key.as_str().into(),
                by.pipeline_id.into(),
                expect.release_job.as_str().into(),
                expect.environment.as_str().into(),
                staging.place.as_str().into(),
                staging.repository.as_str().into(),
            ],
        )?;
        let (state, problem) = match &expect.skip {
            Some(reason) => (TargetState::Skipped, Some(serde_json::to_string(&skipped(reason))?)),
            None => (TargetState::Expected, None),
        };
        for target in targets {
            self.0.query(
                "INSERT INTO targets (version, key, distro, public_place, public_repository, state, since, problem)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    target.distro.as_str().into(),
                    target.public.place.as_str().into(),
                    target.public.repository.as_str().into(),
                    state.code().into(),
                    now.0.into(),
                    problem.clone().into(),
                ],
            )?;
        }
        Ok(true)
    }

    /// A job or an environment stands for one package of its pipeline, or it would release another than was meant.
    fn own_job(
        &self,
        version: &Version,
        key: &Key,
        by: &JobSession,
        expect: &api::Expectation,
    ) -> Result<(), LedgerError> {
        let rows = self.0.query(
            "SELECT version, key FROM packages WHERE pipeline_id = ? AND NOT (version = ? AND key = ?)
             AND (release_job = ? OR environment = ?)",
            &[
                by.pipeline_id.into(),
                version.as_str().into(),
                key.as_str().into(),
                expect.release_job.as_str().into(),
                expect.environment.as_str().into(),
            ],
        )?;
        match rows.first() {
            Some(row) => Err(LedgerError::SharedJob {
                key: key.clone(),
                version: parse(row.text(0)?)?,
                other: parse(row.text(1)?)?,
            }),
            None => Ok(()),
        }
    }

    fn same_targets(
        &self,
        version: &Version,
        key: &Key,
        expect: &api::Expectation,
        targets: &[OrderTarget],
    ) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT distro, public_place, public_repository, state = 'skipped' FROM targets WHERE version = ? AND key = ?
             ORDER BY distro",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let mut wanted: Vec<(&str, &str, &str, i64)> = targets
            .iter()
            .map(|target| {
                let skip = i64::from(expect.skip.is_some());
                (target.distro.as_str(), target.public.place.as_str(), target.public.repository.as_str(), skip)
            })
            .collect();
        wanted.sort_unstable();
        let found = rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?, row.integer(3)?)));
        Ok(found.collect::<Result<Vec<_>, SqlError>>()? == wanted)
    }

    fn sha_of(&self, version: &Version, pipeline_id: u64) -> Result<Option<String>, LedgerError> {
        let rows = self.0.query(
            "SELECT sha FROM pipelines WHERE version = ? AND id = ?",
            &[version.as_str().into(), pipeline_id.into()],
        )?;
        Ok(rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()?)
    }

    /// Fixes the digest of a key. The same again changes nothing; another digest is refused.
    pub fn declare(
        &self,
        version: &Version,
        key: &Key,
        file: &api::StagedFile,
        by: &JobSession,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT pipeline_id, digest, filename FROM packages WHERE version = ? AND key = ?",
                &[version.as_str().into(), key.as_str().into()],
            )?;
            let Some(row) = rows.first() else {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            };
            let declared = row.natural(0)?;
            if declared != by.pipeline_id {
                return Err(LedgerError::OtherPipeline {
                    version: version.clone(),
                    key: key.clone(),
                    declared,
                    other: by.pipeline_id,
                });
            }
            if self.states(version, key)?.iter().any(|(_, state)| *state == TargetState::Skipped) {
                return Err(LedgerError::Skipped { version: version.clone(), key: key.clone() });
            }
            if let Some(digest) = row.text_or_null(1)? {
                let declared = parse(digest)?;
                return if declared == file.digest && row.text_or_null(2)? == Some(file.filename.as_str()) {
                    Ok(())
                } else {
                    Err(LedgerError::OtherDigest {
                        version: version.clone(),
                        key: key.clone(),
                        declared,
                        other: file.digest,
                    })
                };
            }
            self.0.query(
                "UPDATE packages SET filename = ?, digest = ?, size = ? WHERE version = ? AND key = ?",
                &[
                    file.filename.as_str().into(),
                    file.digest.to_string().into(),
                    file.size.into(),
                    version.as_str().into(),
                    key.as_str().into(),
                ],
            )?;
            let details = serde_json::json!({ "filename": file.filename, "digest": file.digest, "size": file.size });
            self.change(version, &job_actor(by), "declared", &subject(version, key), &details, now)
        })
    }

    /// What was declared of a package, for looking at its staging place. `None` before a digest was declared.
    pub fn staged(&self, version: &Version, key: &Key) -> Result<Option<Staged>, LedgerError> {
        let rows = self.0.query(
            "SELECT filename, digest, staging_place, staging_repository FROM packages
             WHERE version = ? AND key = ? AND digest IS NOT NULL",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Staged {
            filename: parse(row.text(0)?)?,
            digest: parse(row.text(1)?)?,
            staging: Site { place: row.text(2)?.to_owned(), repository: row.text(3)?.to_owned() },
            distros: self.states(version, key)?.into_iter().map(|(distro, _)| distro).collect(),
        }))
    }

    /// Records what a look at staging showed of a target that nobody has approved.
    pub fn seen_in_staging(
        &self,
        version: &Version,
        key: &Key,
        distro: &str,
        sight: &Sight,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT state, problem FROM targets WHERE version = ? AND key = ? AND distro = ?",
                &[version.as_str().into(), key.as_str().into(), distro.into()],
            )?;
            let Some(row) = rows.first() else {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            };
            let before: TargetState = parse(row.text(0)?)?;
            // What was never staged is not missing.
            let absent = if before == TargetState::Expected { before } else { TargetState::Missing };
            let (state, problem) = match sight {
                Sight::Declared => (TargetState::Staged, None),
                Sight::Nothing => (absent, None),
                Sight::Other(problem) => (absent, Some(problem.clone())),
            };
            let waiting = matches!(before, TargetState::Expected | TargetState::Staged | TargetState::Missing);
            let same = before == state
                && row.text_or_null(1)? == problem.as_ref().map(serde_json::to_string).transpose()?.as_deref();
            if !waiting || same {
                return Ok(());
            }
            let code = problem.as_ref().map(|problem| problem.code.clone());
            self.set(version, key, &Report { distro: distro.to_owned(), state, step: None, problem }, now)?;
            let details = serde_json::json!({ "distro": distro, "before": before.code(), "problem": code });
            self.change(version, "edge", state.code(), &subject(version, key), &details, now)
        })
    }

    // ---- hints ----

    /// Keeps a webhook's hint. One look at a job serves all that hint at it meanwhile. A delivery that was looked into is
    /// looked into again: GitLab sends one again only when a person asks for it, and a job is not approved twice.
    pub fn keep_hint(&self, delivery: &str, job_id: u64, now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let open = self.0.query(
                "UPDATE hints SET due_at = ? WHERE job_id = ? AND due_at IS NOT NULL RETURNING id",
                &[now.0.into(), job_id.into()],
            )?;
            if open.is_empty() {
                self.0.query(
                    "INSERT INTO hints (delivery, job_id, received_at, tries, due_at) VALUES (?, ?, ?, 0, ?)
                     ON CONFLICT (delivery) DO UPDATE SET due_at = excluded.due_at, tries = 0",
                    &[delivery.into(), job_id.into(), now.0.into(), now.0.into()],
                )?;
            }
            Ok(())
        })
    }

    /// Hints that are to be looked into now, the one due first at the head.
    pub fn due_hints(&self, now: Timestamp) -> Result<Vec<Hint>, LedgerError> {
        let rows = self.0.query(
            "SELECT id, job_id, tries FROM hints WHERE due_at <= ? ORDER BY due_at, id LIMIT 100",
            &[now.0.into()],
        )?;
        rows.iter()
            .map(|row| {
                let tries = u32::try_from(row.natural(2)?).unwrap_or(u32::MAX);
                Ok(Hint { id: row.natural(0)?, job_id: row.natural(1)?, tries })
            })
            .collect()
    }

    /// When the next hint is to be looked into. `None` when none is open.
    pub fn next_hint(&self) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query("SELECT due_at FROM hints WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1", &[])?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(Timestamp))
    }

    /// A hint was looked into.
    pub fn settle_hint(&self, id: u64, outcome: &str) -> Result<(), LedgerError> {
        self.0.query("UPDATE hints SET due_at = NULL, outcome = ? WHERE id = ?", &[outcome.into(), id.into()])?;
        Ok(())
    }

    /// A hint could not be looked into now.
    pub fn postpone_hint(&self, id: u64, why: &str, due_at: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE hints SET tries = tries + 1, due_at = ?, outcome = ? WHERE id = ?",
            &[due_at.0.into(), why.into(), id.into()],
        )?;
        Ok(())
    }

    // ---- approvals ----

    /// The package that a job was declared to release. `None` for every other job.
    pub fn candidate_of_job(&self, pipeline_id: u64, job_name: &str) -> Result<Option<Candidate>, LedgerError> {
        let rows = self.0.query(
            "SELECT version, key FROM packages WHERE pipeline_id = ? AND release_job = ?",
            &[pipeline_id.into(), job_name.into()],
        )?;
        match rows.first() {
            Some(row) => self.candidate(&parse(row.text(0)?)?, &parse(row.text(1)?)?),
            None => Ok(None),
        }
    }

    /// A package as approvals are judged on.
    pub fn candidate(&self, version: &Version, key: &Key) -> Result<Option<Candidate>, LedgerError> {
        let rows = self.0.query(
            "SELECT pipeline_id, release_job, environment, digest FROM packages WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Candidate {
            version: version.clone(),
            key: key.clone(),
            pipeline_id: row.natural(0)?,
            release_job: row.text(1)?.to_owned(),
            environment: row.text(2)?.to_owned(),
            digest: row.text_or_null(3)?.map(parse).transpose()?,
            targets: self.states(version, key)?,
        }))
    }

    /// Writes an approval down and puts its order where [`Record::dispatches`] finds it. `false` when there is nothing to
    /// approve: all targets move or are released, or this very job has approved the package before. A job speaks once,
    /// however many events tell of it: trying again means playing it again, which gives it a new number.
    pub fn approve(
        &self,
        candidate: &Candidate,
        approval: &Approval,
        policy: &Digest,
        project_id: u64,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Candidate { version, key, .. } = candidate;
        self.0.atomically(|| {
            let Some(current) = self.candidate(version, key)? else { return Ok(false) };
            let spoken = self.0.query(
                "SELECT id FROM approvals WHERE version = ? AND key = ? AND job_id = ?",
                &[version.as_str().into(), key.as_str().into(), approval.job_id.into()],
            )?;
            if approval.distros.is_empty() || current != *candidate || !spoken.is_empty() {
                return Ok(false);
            }
            let rows = self.0.query(
                "INSERT INTO approvals (version, key, digest, approved_by, via, job_id, at, policy) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                 RETURNING id",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    approval.digest.to_string().into(),
                    approval.by.as_str().into(),
                    approval.via.word().into(),
                    approval.job_id.into(),
                    now.0.into(),
                    policy.to_string().into(),
                ],
            )?;
            let id = rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default();
            for distro in &approval.distros {
                self.0.query(
                    "UPDATE targets SET state = 'approved', since = ?, step = NULL, problem = NULL, approval = ?
                     WHERE version = ? AND key = ? AND distro = ?",
                    &[now.0.into(), id.into(), version.as_str().into(), key.as_str().into(), distro.as_str().into()],
                )?;
            }
            let order = self.order(version, key, id, project_id, &approval.distros)?;
            self.0.query(
                "INSERT INTO dispatches (approval, sent_order) VALUES (?, ?)",
                &[id.into(), serde_json::to_string(&order)?.into()],
            )?;
            let details = serde_json::json!({
                "approval": id, "digest": approval.digest, "via": approval.via.word(), "job": approval.job_id,
                "distros": approval.distros, "policy": policy,
            });
            let actor = format!("user:{}", approval.by);
            self.change(version, &actor, "approved", &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    fn order(
        &self,
        version: &Version,
        key: &Key,
        approval: u64,
        project_id: u64,
        distros: &[String],
    ) -> Result<Order, LedgerError> {
        let at: [Value; 2] = [version.as_str().into(), key.as_str().into()];
        let rows = self.0.query(
            "SELECT filename, digest, size, staging_place, staging_repository FROM packages WHERE version = ? AND key = ?",
            &at,
        )?;
        let row = rows.first().ok_or_else(|| LedgerError::NotPlanned { version: version.clone(), key: key.clone() })?;
        let targets = self.0.query(
            "SELECT distro, public_place, public_repository FROM targets WHERE version = ? AND key = ? ORDER BY distro",
            &at,
        )?;
        let targets = targets.iter().map(|row| {
            Ok(OrderTarget {
                distro: row.text(0)?.to_owned(),
                public: Site { place: row.text(1)?.to_owned(), repository: row.text(2)?.to_owned() },
            })
        });
        let mut targets = targets.collect::<Result<Vec<_>, SqlError>>()?;
        targets.retain(|target| distros.contains(&target.distro));
        Ok(Order {
            approval,
            project_id,
            version: version.clone(),
            key: key.clone(),
            filename: parse(row.text(0)?)?,
            digest: parse(row.text(1)?)?,
            size: row.natural(2)?,
            staging: Site { place: row.text(3)?.to_owned(), repository: row.text(4)?.to_owned() },
            targets,
        })
    }

    /// Writes down that a job was refused; once, however often it asks.
    pub fn refuse(
        &self,
        version: &Version,
        key: &Key,
        job_id: u64,
        actor: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "INSERT OR IGNORE INTO refusals (job_id, version, key) VALUES (?, ?, ?) RETURNING job_id",
                &[job_id.into(), version.as_str().into(), key.as_str().into()],
            )?;
            if rows.is_empty() {
                return Ok(());
            }
            let details = serde_json::json!({ "job": job_id, "why": why });
            self.change(version, actor, "refused", &subject(version, key), &details, now)
        })
    }

    /// Whether a job was refused before. What it asked for is over: a late hint of it must not be granted.
    pub fn was_refused(&self, version: &Version, key: &Key, job_id: u64) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT job_id FROM refusals WHERE job_id = ? AND version = ? AND key = ?",
            &[job_id.into(), version.as_str().into(), key.as_str().into()],
        )?;
        Ok(!rows.is_empty())
    }

    /// Orders that their packages' objects have not acknowledged yet.
    pub fn dispatches(&self) -> Result<Vec<Dispatch>, LedgerError> {
        let rows = self.0.query("SELECT approval, sent_order FROM dispatches ORDER BY approval LIMIT 100", &[])?;
        rows.iter()
            .map(|row| Ok(Dispatch { approval: row.natural(0)?, order: serde_json::from_str(row.text(1)?)? }))
            .collect()
    }

    /// An order was acknowledged.
    pub fn dispatched(&self, approval: u64) -> Result<(), LedgerError> {
        self.0.query("DELETE FROM dispatches WHERE approval = ?", &[approval.into()])?;
        Ok(())
    }

    // ---- what promotions saw ----

    /// Takes over what a package's object saw of a target; whether that changed anything. A report of an older approval is
    /// ignored, and so is a change of a state that is final.
    pub fn settle(
        &self,
        version: &Version,
        key: &Key,
        approval: u64,
        report: &Report,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT state, approval, step, problem FROM targets WHERE version = ? AND key = ? AND distro = ?",
                &[version.as_str().into(), key.as_str().into(), report.distro.as_str().into()],
            )?;
            let Some(row) = rows.first() else {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            };
            let before: TargetState = parse(row.text(0)?)?;
            let current = matches!(row.0.get(1), Some(Value::Integer(id)) if u64::try_from(*id).ok() == Some(approval));
            // One that waits for a slot again, after a copy that broke, is still on its way.
            let waits_again = before == TargetState::Releasing && report.state == TargetState::Approved;
            if !current || !before.is_moving() || waits_again {
                return Ok(false);
            }
            let step = report.step.map(|step| serde_json::to_string(&step)).transpose()?;
            let problem = report.problem.as_ref().map(serde_json::to_string).transpose()?;
            let same = before == report.state
                && row.text_or_null(2)? == step.as_deref()
                && row.text_or_null(3)? == problem.as_deref();
            if same {
                return Ok(false);
            }
            self.set(version, key, report, now)?;
            if before == report.state {
                self.bump(version)?;
                return Ok(true);
            }
            let code = report.problem.as_ref().map(|problem| problem.code.as_str());
            let details = serde_json::json!({
                "distro": report.distro, "approval": approval, "digest": digest, "before": before.code(), "problem": code,
            });
            self.change(version, "edge", report.state.code(), &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    fn set(&self, version: &Version, key: &Key, report: &Report, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE targets SET since = CASE WHEN state = ? THEN since ELSE ? END, state = ?, step = ?, problem = ?
             WHERE version = ? AND key = ? AND distro = ?",
            &[
                report.state.code().into(),
                now.0.into(),
                report.state.code().into(),
                report.step.map(|step| serde_json::to_string(&step)).transpose()?.into(),
                report.problem.as_ref().map(serde_json::to_string).transpose()?.into(),
                version.as_str().into(),
                key.as_str().into(),
                report.distro.as_str().into(),
            ],
        )?;
        Ok(())
    }

    // ---- reading ----

    /// The states of a package's targets, by distro version.
    fn states(&self, version: &Version, key: &Key) -> Result<Vec<(String, TargetState)>, LedgerError> {
        let rows = self.0.query(
            "SELECT distro, state FROM targets WHERE version = ? AND key = ? ORDER BY distro",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), parse(row.text(1)?)?))).collect()
    }

    /// How often a release has changed. `None` when nobody has planned it.
    pub fn sequence(&self, version: &Version) -> Result<Option<u64>, LedgerError> {
        let rows = self.0.query("SELECT sequence FROM releases WHERE version = ?", &[version.as_str().into()])?;
        Ok(rows.first().map(|row| row.natural(0)).transpose()?)
    }

    /// The versions of the project, the newest first.
    pub fn versions(&self) -> Result<Vec<Version>, LedgerError> {
        let rows =
            self.0.query("SELECT version FROM releases ORDER BY created_at DESC, version DESC LIMIT 200", &[])?;
        rows.iter().map(|row| parse(row.text(0)?)).collect()
    }

    /// A release as callers see it.
    pub fn release(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        now: Timestamp,
    ) -> Result<Option<api::Release>, LedgerError> {
        let Some(sequence) = self.sequence(version)? else { return Ok(None) };
        let at: [Value; 1] = [version.as_str().into()];
        let web = |path: &str, kind: &str, id: u64| {
            let id = id.to_string();
            config.gitlab.url.url(path.split('/').chain(["-", kind, &id]))
        };
        let pipelines =
            self.0.query("SELECT id, project_path, ref_name, sha FROM pipelines WHERE version = ? ORDER BY id", &at)?;
        let pipelines = pipelines.iter().map(|row| {
            Ok(api::Pipeline {
                id: row.natural(0)?,
                ref_name: row.text(2)?.to_owned(),
                sha: row.text(3)?.to_owned(),
                url: web(row.text(1)?, "pipelines", row.natural(0)?),
            })
        });
        let pipelines = pipelines.collect::<Result<Vec<_>, SqlError>>()?;
        let location = |place: &str, repository: &str| api::Location {
            url: config.places.get(place).map(|place| place.url.to_string()).unwrap_or_default(),
            repository: repository.to_owned(),
        };
        let targets = self.0.query(
            "SELECT t.key, t.distro, t.public_place, t.public_repository, t.state, t.since, t.step, t.problem,
                    a.approved_by, a.via, a.at, a.job_id, i.project_path
             FROM targets t
             LEFT JOIN approvals a ON a.id = t.approval
             LEFT JOIN packages p ON p.version = t.version AND p.key = t.key
             LEFT JOIN pipelines i ON i.version = p.version AND i.id = p.pipeline_id
             WHERE t.version = ? ORDER BY t.key, t.distro",
            &at,
        )?;
        let rows = self.0.query(
            "SELECT key, pipeline_id, release_job, filename, digest, size, staging_place, staging_repository
             FROM packages WHERE version = ? ORDER BY key",
            &at,
        )?;
        let mut packages = Vec::with_capacity(rows.len());
        for row in &rows {
            let file = match (row.text_or_null(3)?, row.text_or_null(4)?) {
                (Some(filename), Some(digest)) => Some(api::StagedFile {
                    filename: filename.to_owned(),
                    digest: parse(digest)?,
                    size: row.natural(5)?,
                }),
                _ => None,
            };
            let own = targets.iter().filter(|target| target.0.first() == row.0.first());
            packages.push(api::Package {
                key: parse(row.text(0)?)?,
                pipeline_id: row.natural(1)?,
                release_job: row.text(2)?.to_owned(),
                file,
                staging: location(row.text(6)?, row.text(7)?),
                targets: own.map(|target| read_target(target, location, web)).collect::<Result<_, _>>()?,
            });
        }
        let (state, verdict) = report::judge(project.name.as_str(), version, &packages);
        Ok(Some(api::Release {
            project: api::Project { id: project.id, name: project.name.to_string() },
            version: version.clone(),
            sequence,
            state,
            verdict,
            at: now.to_string(),
            pipelines,
            packages,
        }))
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
        audit::append(&self.0, &event)?;
        self.bump(version)
    }

    fn bump(&self, version: &Version) -> Result<(), LedgerError> {
        self.0.query("UPDATE releases SET sequence = sequence + 1 WHERE version = ?", &[version.as_str().into()])?;
        Ok(())
    }
}

fn read_target(
    row: &Row,
    location: impl Fn(&str, &str) -> api::Location,
    web: impl Fn(&str, &str, u64) -> String,
) -> Result<api::Target, LedgerError> {
    let approval = match row.text_or_null(8)? {
        Some(by) => Some(api::Approval {
            by: by.to_owned(),
            via: row.text(9)?.to_owned(),
            at: Timestamp(row.integer(10)?).to_string(),
            job_url: web(row.text_or_null(12)?.unwrap_or_default(), "jobs", row.natural(11)?),
        }),
        None => None,
    };
    Ok(api::Target {
        distro: row.text(1)?.to_owned(),
        public: location(row.text(2)?, row.text(3)?),
        state: parse(row.text(4)?)?,
        since: Timestamp(row.integer(5)?).to_string(),
        step: row.text_or_null(6)?.map(serde_json::from_str).transpose()?,
        approval,
        problem: row.text_or_null(7)?.map(serde_json::from_str).transpose()?,
    })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|error: T::Err| LedgerError::Unknown(error.to_string()))
}

fn subject(version: &Version, key: &Key) -> String {
    format!("{version}/{key}")
}

fn job_actor(by: &JobSession) -> String {
    format!("job:{} user:{}", by.job_id, by.user)
}

fn skipped(reason: &str) -> api::Problem {
    api::Problem {
        code: "skipped".to_owned(),
        what: format!("Not shipped: {reason}"),
        public: "none".to_owned(),
        retry: "useless".to_owned(),
        next: "Nobody: it is left out on purpose.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::approval::{Refusal, by_job, by_webhook};

    use super::*;
    use crate::audit::{entries, verify};
    use crate::rusqlite::Database;

    const JAMMY: &str = "ubuntu/jammy";
    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn record() -> Record<Database> {
        Record::open(Database::in_memory()).expect("a fresh record")
    }

    fn version() -> Version {
        "1.2.0".parse().expect("a version")
    }

    fn key() -> Key {
        "jammy-amd64".parse().expect("a key")
    }

    fn session(pipeline_id: u64, sha: &str) -> JobSession {
        JobSession {
            project_id: 1001,
            project_path: "harbour/tug".to_owned(),
            pipeline_id,
            job_id: 81,
            user: "mira".to_owned(),
            environment: Some("release/jammy-amd64".to_owned()),
            ref_name: "v1.2.0".to_owned(),
            sha: sha.to_owned(),
            token_id: "t".to_owned(),
            ends_at: NOW,
        }
    }

    fn site(repository: &str) -> Site {
        Site { place: "depot".to_owned(), repository: repository.to_owned() }
    }

    fn planned(skip: Option<&str>) -> Vec<Planned> {
        vec![Planned {
            key: key(),
            expect: api::Expectation {
                distros: vec![JAMMY.to_owned()],
                release_job: "release: [jammy-amd64]".to_owned(),
                environment: "release/jammy-amd64".to_owned(),
                skip: skip.map(str::to_owned),
            },
            staging: site("harbour-ci/pre-release"),
            targets: vec![OrderTarget { distro: JAMMY.to_owned(), public: site("harbour/stable") }],
        }]
    }

    fn file(bytes: &[u8]) -> api::StagedFile {
        api::StagedFile {
            filename: "tug_1.2.0_amd64.deb".to_owned(),
            digest: Digest::of(bytes),
            size: u64::try_from(bytes.len()).expect("a small file"),
        }
    }

    fn policy() -> Digest {
        Digest::of(b"policy")
    }

    fn plan(record: &Record<Database>) {
        record.expect(&version(), &session(7, "aa"), &policy(), &planned(None), NOW).expect("a plan");
    }

    /// Planned, declared and seen in staging.
    fn stage(record: &Record<Database>) {
        plan(record);
        record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW).expect("a declaration");
        record.seen_in_staging(&version(), &key(), JAMMY, &Sight::Declared, NOW).expect("a look");
    }

    fn state(record: &Record<Database>) -> TargetState {
        record.states(&version(), &key()).expect("states").first().expect("one target").1
    }

    fn ask(record: &Record<Database>) -> Result<bool, Refusal> {
        ask_by(record, 81)
    }

    fn ask_by(record: &Record<Database>, job_id: u64) -> Result<bool, Refusal> {
        let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
        let approval = by_job(&candidate, &JobSession { job_id, ..session(7, "aa") }, &job(job_id))?;
        Ok(record.approve(&candidate, &approval, &policy(), 1001, NOW).expect("an approval"))
    }

    fn job(id: u64) -> slipway_gitlab::Job {
        let job = serde_json::json!({
            "id": id, "name": "release: [jammy-amd64]", "status": "running", "user": { "id": 7, "username": "mira" },
            "pipeline": { "id": 7, "ref": "v1.2.0", "sha": "aa" },
        });
        serde_json::from_value(job).expect("a job")
    }

    fn report(record: &Record<Database>, approval: u64, state: TargetState) {
        let report = Report { distro: JAMMY.to_owned(), state, step: None, problem: None };
        record.settle(&version(), &key(), approval, &report, &Digest::of(b"deb"), NOW).expect("a report");
    }

    #[test]
    fn the_same_plan_again_changes_nothing() {
        let record = record();
        plan(&record);
        let before = record.sequence(&version()).expect("a number");
        plan(&record);
        assert_eq!(record.sequence(&version()).expect("a number"), before);
    }

    #[test]
    fn a_key_with_a_declared_file_is_taken_over_only_by_its_own_commit_and_unchanged() {
        let record = record();
        plan(&record);
        record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW).expect("a declaration");
        let other = record.expect(&version(), &session(8, "bb"), &policy(), &planned(None), NOW);
        assert!(matches!(other, Err(LedgerError::OtherPipeline { declared: 7, other: 8, .. })), "{other:?}");
        let mut renamed = planned(None);
        if let Some(package) = renamed.first_mut() {
            package.expect.release_job = "unit-tests".to_owned();
        }
        let other = record.expect(&version(), &session(9, "aa"), &policy(), &renamed, NOW);
        assert!(matches!(other, Err(LedgerError::OtherPipeline { .. })), "another job would release it: {other:?}");
        record.expect(&version(), &session(9, "aa"), &policy(), &planned(None), NOW).expect("a pipeline run again");
        let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
        assert_eq!((candidate.pipeline_id, candidate.digest), (9, Some(Digest::of(b"deb"))));
    }

    #[test]
    fn a_key_for_which_nothing_was_built_is_free_for_a_later_pipeline() {
        let record = record();
        plan(&record);
        record.expect(&version(), &session(8, "bb"), &policy(), &planned(None), NOW).expect("the real tag");
        let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
        assert_eq!(candidate.pipeline_id, 8);
    }

    #[test]
    fn nothing_falls_out_of_a_pipelines_own_plan() {
        let record = record();
        plan(&record);
        let skipping = record.expect(&version(), &session(7, "aa"), &policy(), &planned(Some("later")), NOW);
        assert!(matches!(skipping, Err(LedgerError::OtherExpectation { .. })), "{skipping:?}");
    }

    #[test]
    fn a_refused_job_is_written_down_once() {
        let record = record();
        plan(&record);
        for _ in 0..3 {
            record.refuse(&version(), &key(), 81, "webhook job:81", "not staged", NOW).expect("written down");
        }
        assert!(record.was_refused(&version(), &key(), 81).expect("known"));
        assert!(!record.was_refused(&version(), &key(), 82).expect("not known"));
        let refused =
            entries(record.sql(), 1, 100).expect("rows").iter().filter(|row| row.event.action == "refused").count();
        assert_eq!(refused, 1);
    }

    #[test]
    fn a_declared_digest_is_final() {
        let record = record();
        stage(&record);
        record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW).expect("the same again");
        let other = record.declare(&version(), &key(), &file(b"rebuilt"), &session(7, "aa"), NOW);
        assert!(matches!(other, Err(LedgerError::OtherDigest { .. })), "{other:?}");
        let declared = record.staged(&version(), &key()).expect("a row").expect("the file").digest;
        assert_eq!(declared, Digest::of(b"deb"));
    }

    #[test]
    fn a_declared_digest_survives_every_later_plan() {
        let record = record();
        plan(&record);
        record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW).expect("a declaration");
        let mut other = planned(None);
        if let Some(package) = other.first_mut() {
            package.targets = vec![OrderTarget { distro: "ubuntu/noble".to_owned(), public: site("harbour/stable") }];
        }
        for pipeline in [7, 8] {
            assert!(record.expect(&version(), &session(pipeline, "aa"), &policy(), &other, NOW).is_err(), "{pipeline}");
        }
        record.expect(&version(), &session(8, "aa"), &policy(), &planned(None), NOW).expect("the pipeline run again");
        let declared = record.staged(&version(), &key()).expect("a row").expect("still declared").digest;
        assert_eq!(declared, Digest::of(b"deb"));
    }

    #[test]
    fn pipelines_whose_commit_is_unknown_are_not_of_the_same_commit() {
        let record = record();
        record.expect(&version(), &session(7, ""), &policy(), &planned(None), NOW).expect("a plan");
        record.declare(&version(), &key(), &file(b"deb"), &session(7, ""), NOW).expect("a declaration");
        let refused = record.expect(&version(), &session(8, ""), &policy(), &planned(None), NOW);
        assert!(matches!(refused, Err(LedgerError::OtherPipeline { .. })), "{refused:?}");
    }

    #[test]
    fn two_keys_of_a_pipeline_do_not_share_a_job() {
        let record = record();
        plan(&record);
        let mut other = planned(None);
        if let Some(package) = other.first_mut() {
            package.key = "another".parse().expect("a key");
        }
        let refused = record.expect(&version(), &session(7, "aa"), &policy(), &other, NOW);
        assert!(matches!(refused, Err(LedgerError::SharedJob { .. })), "{refused:?}");
    }

    #[test]
    fn what_nobody_planned_cannot_be_declared() {
        let record = record();
        let refused = record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW);
        assert!(matches!(refused, Err(LedgerError::NotPlanned { .. })), "{refused:?}");
    }

    #[test]
    fn a_package_that_is_left_out_is_neither_declared_nor_released() {
        let record = record();
        record.expect(&version(), &session(7, "aa"), &policy(), &planned(Some("no builder")), NOW).expect("a plan");
        let refused = record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW);
        assert!(matches!(refused, Err(LedgerError::Skipped { .. })), "{refused:?}");
        assert_eq!(state(&record), TargetState::Skipped);
        assert!(ask(&record).is_err());
    }

    #[test]
    fn what_was_never_staged_is_expected_and_not_missing() {
        let record = record();
        plan(&record);
        record.seen_in_staging(&version(), &key(), JAMMY, &Sight::Nothing, NOW).expect("a look");
        assert_eq!(state(&record), TargetState::Expected);
    }

    #[test]
    fn what_is_not_seen_in_staging_is_not_approved() {
        let record = record();
        plan(&record);
        assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
        record.declare(&version(), &key(), &file(b"deb"), &session(7, "aa"), NOW).expect("a declaration");
        assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
    }

    #[test]
    fn two_ways_of_asking_give_one_order() {
        let record = record();
        stage(&record);
        // Both read the record before either writes.
        let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
        let by_webhook = by_webhook(&candidate, &job(81)).expect("an approval");
        let by_job = by_job(&candidate, &session(7, "aa"), &job(81)).expect("an approval");
        assert!(record.approve(&candidate, &by_webhook, &policy(), 1001, NOW).expect("the first"));
        assert!(!record.approve(&candidate, &by_job, &policy(), 1001, NOW).expect("the second"));
        assert!(!ask(&record).expect("nothing left"), "asked again, later");
        let orders = record.dispatches().expect("orders");
        assert_eq!(orders.len(), 1);
        let order = &orders.first().expect("one").order;
        assert_eq!((order.digest, order.targets.len()), (Digest::of(b"deb"), 1));
        record.dispatched(order.approval).expect("acknowledged");
        assert!(record.dispatches().expect("orders").is_empty());
    }

    #[test]
    fn a_released_target_stays_released_whatever_is_reported_later() {
        let record = record();
        stage(&record);
        assert!(ask(&record).expect("an approval"));
        for (reported, then) in [
            (TargetState::Releasing, TargetState::Releasing),
            (TargetState::Approved, TargetState::Releasing),
            (TargetState::Released, TargetState::Released),
            (TargetState::Failed, TargetState::Released),
            (TargetState::Releasing, TargetState::Released),
        ] {
            report(&record, 1, reported);
            assert_eq!(state(&record), then, "{reported:?}");
        }
    }

    #[test]
    fn a_failed_target_can_be_asked_for_again_and_old_reports_of_it_are_ignored() {
        let record = record();
        stage(&record);
        assert!(ask(&record).expect("an approval"));
        report(&record, 1, TargetState::Failed);
        assert!(!ask(&record).expect("no approval"), "a late event of the same job");
        assert!(ask_by(&record, 82).expect("another approval"), "the job was played again");
        report(&record, 1, TargetState::Released);
        assert_eq!(state(&record), TargetState::Approved);
        report(&record, 2, TargetState::Released);
        assert_eq!(state(&record), TargetState::Released);
    }

    #[test]
    fn a_package_that_leaves_staging_is_missing_until_it_is_seen_again() {
        let record = record();
        stage(&record);
        let other = Sight::Other(skipped("any problem"));
        for (sight, then) in [
            (Sight::Nothing, TargetState::Missing),
            (Sight::Declared, TargetState::Staged),
            (other, TargetState::Missing),
            (Sight::Declared, TargetState::Staged),
        ] {
            record.seen_in_staging(&version(), &key(), JAMMY, &sight, NOW).expect("a look");
            assert_eq!(state(&record), then, "{sight:?}");
        }
    }

    #[test]
    fn an_old_token_opens_only_the_session_that_it_opened_when_it_was_fresh() {
        let record = record();
        let session = JobSession { ends_at: Timestamp(NOW.0 + 1_000), ..session(7, "aa") };
        assert!(!record.spend_token(&session, false, NOW).expect("refused"), "it was never shown while it was fresh");
        for is_fresh in [true, true, false] {
            assert!(record.spend_token(&session, is_fresh, NOW).expect("its own"), "{is_fresh}");
        }
        let thief = JobSession { job_id: 82, ..session.clone() };
        assert!(!record.spend_token(&thief, true, NOW).expect("refused"));
        assert!(!record.spend_token(&session, false, session.ends_at).expect("refused"), "the session has ended");
    }

    #[test]
    fn a_job_is_looked_into_once_for_all_that_hint_at_it_and_again_when_a_person_sends_it_again() {
        let record = record();
        for delivery in ["delivery-1", "delivery-1", "delivery-2"] {
            record.keep_hint(delivery, 81, NOW).expect("kept");
        }
        let hints = record.due_hints(NOW).expect("hints");
        assert_eq!(hints.len(), 1);
        let hint = *hints.first().expect("one");
        let later = Timestamp(NOW.0 + 1_000);
        record.postpone_hint(hint.id, "503", later).expect("postponed");
        assert!(record.due_hints(NOW).expect("hints").is_empty());
        assert_eq!(record.next_hint().expect("a time"), Some(later));
        assert_eq!(record.due_hints(later).expect("hints").first().map(|hint| hint.tries), Some(1));
        record.settle_hint(hint.id, "approved").expect("settled");
        assert_eq!(record.next_hint().expect("no time"), None);
        record.keep_hint("delivery-1", 81, later).expect("sent again by a person");
        assert_eq!(record.due_hints(later).expect("hints").len(), 1);
    }

    #[test]
    fn every_change_is_in_the_chain_and_the_chain_holds() {
        let record = record();
        stage(&record);
        assert!(ask(&record).expect("an approval"));
        report(&record, 1, TargetState::Releasing);
        report(&record, 1, TargetState::Released);
        let rows = entries(record.sql(), 1, 100).expect("rows");
        let actions: Vec<&str> = rows.iter().map(|row| row.event.action.as_str()).collect();
        assert_eq!(actions, ["planned", "declared", "staged", "approved", "releasing", "released"]);
        assert_eq!(verify(&rows), Ok(()));
    }
}
