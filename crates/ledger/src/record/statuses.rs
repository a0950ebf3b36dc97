//! What a commit's status is to say of a package that a webhook released, or that its webhook alone has asked for and that
//! was refused: nobody else tells the pipeline.
//!
//! The status follows its targets: what is wanted is read from them whenever it is due, and only what was sent is kept. So
//! a status that was not sent, or sent twice, harms nothing.

use std::time::Duration;

use slipway_core::api;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::time::Timestamp;
use slipway_core::verdict::package_state;

use super::{LedgerError, Record, parse};
use crate::sql::Sql;

/// How long a job has to speak for itself before a status does. It runs seconds after it was played, if a runner is free.
const JOB_FIRST: Duration = Duration::from_mins(1);

/// A commit status that may be due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueStatus {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// Who released it.
    pub approved_by: String,
    /// Its pipeline.
    pub pipeline_id: u64,
    /// The pipeline's commit.
    pub sha: String,
    /// Its branch or tag.
    pub ref_name: String,
    /// The package's state.
    pub state: TargetState,
    /// How many targets it has that are not skipped.
    pub targets: usize,
    /// What keeps a person from leaving it: the problem of its most urgent target, with the distro version.
    pub problem: Option<(String, api::Problem)>,
    /// Why the job that asked last was refused.
    pub refused: Option<String>,
    /// What was sent last: GitLab's word for the state, and after it why a job was refused.
    pub sent: Option<String>,
    /// How often this one was tried.
    pub tries: u32,
}

impl<S: Sql> Record<S> {
    /// A webhook has released a package: unless the job speaks first, a status is due.
    pub(super) fn open_status(
        &self,
        version: &Version,
        key: &Key,
        by: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT INTO statuses (version, key, approved_by, tries, due_at) VALUES (?, ?, ?, 0, ?)
             ON CONFLICT (version, key) DO UPDATE SET approved_by = excluded.approved_by, tries = 0, due_at = excluded.due_at,
                refused = NULL, refused_job = NULL",
            &[version.as_str().into(), key.as_str().into(), by.into(), (now + JOB_FIRST).0.into()],
        )?;
        Ok(())
    }

    /// A webhook has told of a job that may not release a package: unless the job speaks first, a status says why.
    pub fn open_refusal(
        &self,
        version: &Version,
        key: &Key,
        job_id: u64,
        by: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT INTO statuses (version, key, approved_by, tries, due_at, refused, refused_job) VALUES (?, ?, ?, 0, ?, ?, ?)
             ON CONFLICT (version, key) DO UPDATE SET tries = 0, due_at = excluded.due_at, refused = excluded.refused,
                refused_job = excluded.refused_job",
            &[
                version.as_str().into(),
                key.as_str().into(),
                by.into(),
                (now + JOB_FIRST).0.into(),
                why.into(),
                job_id.into(),
            ],
        )?;
        Ok(())
    }

    /// The job that a status would tell the refusal of has been told so itself.
    pub fn refusal_by_job(&self, version: &Version, key: &Key, job_id: u64) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE statuses SET due_at = NULL WHERE version = ? AND key = ? AND refused_job = ? AND sent IS NULL",
            &[version.as_str().into(), key.as_str().into(), job_id.into()],
        )?;
        Ok(())
    }

    /// The job speaks for its package, so no status has to begin. One that was sent is followed to its end, also when it
    /// was red and seemed to be at its end.
    pub(super) fn status_by_job(
        &self,
        version: &Version,
        key: &Key,
        by: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE statuses SET due_at = CASE WHEN sent IS NULL THEN NULL ELSE COALESCE(due_at, ?) END,
                approved_by = ?, refused = NULL, refused_job = NULL
             WHERE version = ? AND key = ?",
            &[(now + JOB_FIRST).0.into(), by.into(), version.as_str().into(), key.as_str().into()],
        )?;
        Ok(())
    }

    /// Statuses that may have to be sent now. None is put off beyond `latest`.
    pub fn due_statuses(&self, now: Timestamp, latest: Timestamp) -> Result<Vec<DueStatus>, LedgerError> {
        let rows = self.0.query(
            "SELECT s.version, s.key, s.approved_by, s.sent, s.tries, i.id, i.sha, i.ref_name, s.refused FROM statuses s
             JOIN packages p ON p.version = s.version AND p.key = s.key
             JOIN pipelines i ON i.version = p.version AND i.id = p.pipeline_id
             WHERE s.due_at <= ? OR s.due_at > ? ORDER BY s.due_at, s.version, s.key LIMIT 50",
            &[now.0.into(), latest.0.into()],
        )?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            let (version, key): (Version, Key) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
            let targets = self.0.query(
                "SELECT distro, state, problem FROM targets WHERE version = ? AND key = ? ORDER BY distro",
                &[version.as_str().into(), key.as_str().into()],
            )?;
            let mut states = Vec::new();
            for target in &targets {
                states.push(parse::<TargetState>(target.text(1)?)?);
            }
            let state = package_state(states.iter().copied());
            let urgent = targets.iter().zip(&states).find(|(_, own)| **own == state).map(|(target, _)| target);
            let problem = match urgent {
                Some(target) => match target.text_or_null(2)? {
                    Some(text) => Some((target.text(0)?.to_owned(), serde_json::from_str(text)?)),
                    None => None,
                },
                None => None,
            };
            due.push(DueStatus {
                approved_by: row.text(2)?.to_owned(),
                pipeline_id: row.natural(5)?,
                sha: row.text(6)?.to_owned(),
                ref_name: row.text(7)?.to_owned(),
                state,
                targets: states.iter().filter(|state| **state != TargetState::Skipped).count(),
                problem,
                refused: row.text_or_null(8)?.map(str::to_owned),
                sent: row.text_or_null(3)?.map(str::to_owned),
                tries: u32::try_from(row.natural(4)?).unwrap_or(u32::MAX),
                version,
                key,
            });
        }
        Ok(due)
    }

    /// When the next status may have to be sent, at the latest at `latest`.
    pub fn next_status(&self, latest: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query("SELECT due_at FROM statuses WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1", &[])?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(|due_at| Timestamp(due_at).min(latest)))
    }

    /// A status is looked at again at `due_at`, or not any more. `tried`: it was not sent.
    pub fn status_later(&self, status: &DueStatus, tried: bool, due_at: Option<Timestamp>) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE statuses SET tries = tries + ?, due_at = ? WHERE version = ? AND key = ?",
            &[
                i64::from(tried).into(),
                due_at.map(|due_at| due_at.0).into(),
                status.version.as_str().into(),
                status.key.as_str().into(),
            ],
        )?;
        Ok(())
    }

    /// GitLab shows a status.
    pub fn status_sent(&self, status: &DueStatus, sent: &str, due_at: Option<Timestamp>) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE statuses SET sent = ?, tries = 0, due_at = ? WHERE version = ? AND key = ?",
            &[
                sent.into(),
                due_at.map(|due_at| due_at.0).into(),
                status.version.as_str().into(),
                status.key.as_str().into(),
            ],
        )?;
        Ok(())
    }
}
