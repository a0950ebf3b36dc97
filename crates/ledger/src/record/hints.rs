//! What webhooks hinted at: kept before it is acknowledged, open until it is looked into.
//!
//! Whoever knows a webhook's secret can make hints, and each costs a question to GitLab. So what can be told from the
//! record alone is not asked: a job that nobody declared, or one that has spoken. What is asked has a limit a minute, what
//! is open has one, and what is settled is forgotten after a month.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::time::Timestamp;

use super::{Hint, HintSubject, LedgerError, Origin, Record};
use crate::sql::{Row, Sql};

/// How many hints may be open. A patch day has some hundred jobs; more than this is no release.
const OPEN_MAX: u64 = 2000;
/// How long settled hints are kept: their keys show which deliveries came.
const KEPT_FOR: Duration = Duration::from_hours(30 * 24);
/// How many of the newest hints are kept at most.
const KEPT_MAX: u64 = 20_000;
/// How many hints are forgotten at a time.
const FORGOTTEN_AT_ONCE: u64 = 500;
/// What may be read from GitLab in a minute because of hints. GitLab.com allows a user 2000 requests.
const READS_A_MINUTE: u64 = 300;

/// What a webhook names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Named {
    /// A job that is said to have been played.
    Job {
        /// The job.
        id: u64,
        /// Its pipeline, where the webhook says it.
        pipeline_id: Option<u64>,
        /// Its name.
        name: String,
    },
    /// A deployment that is said to be done.
    Deployment {
        /// The deployment.
        id: u64,
    },
    /// The manual jobs that a pipeline is said to have. They may be others than are known, as after a retry.
    Jobs {
        /// The pipeline.
        pipeline_id: u64,
        /// Each by its number and its name.
        jobs: Vec<(u64, String)>,
    },
}

/// What became of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is in the record.
    Kept,
    /// It names a job that has spoken for its package: what came of it is in the record.
    Known,
    /// It names nothing that can change anything; or the record is being imported, and what it names is found afterwards.
    NotNeeded,
    /// Too much is open already. It may be sent again.
    Full,
}

impl<S: Sql> Record<S> {
    /// Keeps what a webhook names. One look at a job serves all that hint at it meanwhile. A delivery that was looked into is
    /// looked into again: GitLab sends one again only when a person asks for it, and a job is not approved twice. A key
    /// that comes with another job is another delivery: whoever makes the keys cannot have one job hide another.
    pub fn keep_hints(&self, delivery: &str, named: &[Named], now: Timestamp) -> Result<Kept, LedgerError> {
        self.0.atomically(|| {
            // GitLab switches a hook off that is refused, and an import that broke off may wait for days. A job that is played
            // before the record is started approves nothing anyway.
            if self.is_being_imported()? {
                return Ok(Kept::NotNeeded);
            }
            self.heard_from(Origin::Webhooks, None, now)?;
            let rows = self.0.query("SELECT COUNT(*) FROM hints WHERE due_at IS NOT NULL", &[])?;
            let mut open = first_number(&rows)?;
            let mut kept = Kept::NotNeeded;
            for named in named {
                let subject = match named {
                    Named::Deployment { id } => HintSubject::Deployment(*id),
                    Named::Job { id, .. } => HintSubject::Job(*id),
                    Named::Jobs { pipeline_id, jobs } => {
                        if self.jobs_hinted(*pipeline_id, jobs)? {
                            kept = Kept::Kept;
                        }
                        continue;
                    }
                };
                match self.what_may_come_of(named)? {
                    Kept::Kept => {}
                    Kept::Known if kept == Kept::NotNeeded => {
                        kept = Kept::Known;
                        continue;
                    }
                    _ => continue,
                }
                if open >= OPEN_MAX {
                    return Ok(Kept::Full);
                }
                open += u64::from(self.keep_hint(delivery, subject, now)?);
                kept = Kept::Kept;
            }
            Ok(kept)
        })
    }

    /// Whether GitLab has to be asked. A job is known by its pipeline and name before it is read, and one that has spoken
    /// for its package says nothing new.
    pub(super) fn what_may_come_of(&self, named: &Named) -> Result<Kept, LedgerError> {
        let Named::Job { id, pipeline_id: Some(pipeline_id), name } = named else { return Ok(Kept::Kept) };
        let declared = self.0.query(
            "SELECT version, key FROM packages WHERE pipeline_id = ? AND release_job = ?",
            &[(*pipeline_id).into(), name.as_str().into()],
        )?;
        let Some(package) = declared.first() else {
            // The job that releases all that remain stands for packages that may be staged yet.
            let all = self.0.query(
                "SELECT 1 FROM packages WHERE pipeline_id = ? AND release_all_job = ? LIMIT 1",
                &[(*pipeline_id).into(), name.as_str().into()],
            )?;
            return Ok(if all.is_empty() { Kept::NotNeeded } else { Kept::Kept });
        };
        let spoken = self.0.query(
            "SELECT 1 FROM approvals WHERE version = ?1 AND key = ?2 AND job_id = ?3
             UNION ALL SELECT 1 FROM refusals WHERE version = ?1 AND key = ?2 AND job_id = ?3 LIMIT 1",
            &[package.text(0)?.into(), package.text(1)?.into(), (*id).into()],
        )?;
        Ok(if spoken.is_empty() { Kept::Kept } else { Kept::Known })
    }

    /// Whether it is a new one.
    pub(super) fn keep_hint(&self, delivery: &str, subject: HintSubject, now: Timestamp) -> Result<bool, LedgerError> {
        self.is_no_import()?;
        let (kind, number) = subject.parts();
        let open = self.0.query(
            "UPDATE hints SET due_at = ? WHERE kind = ? AND job_id = ? AND due_at IS NOT NULL RETURNING id",
            &[now.0.into(), kind.into(), number.into()],
        )?;
        if !open.is_empty() {
            return Ok(false);
        }
        // Jobs have had no word for their kind in it since the first version.
        let delivery = match subject {
            HintSubject::Job(number) => format!("{delivery} of {number}"),
            HintSubject::Deployment(number) => format!("{delivery} of deployment {number}"),
        };
        self.0.query(
            "INSERT INTO hints (delivery, kind, job_id, received_at, tries, due_at) VALUES (?, ?, ?, ?, 0, ?)
             ON CONFLICT (delivery) DO UPDATE SET due_at = excluded.due_at, tries = 0",
            &[delivery.into(), kind.into(), number.into(), now.0.into(), now.0.into()],
        )?;
        Ok(true)
    }

    /// Hints that are to be looked into now, the one due first at the head, and no more than may be read from GitLab in this
    /// minute: they are counted as read. None is put off beyond `latest`: one that seems to be was put off when the clock was
    /// wrong, and is due.
    pub fn take_hints(&self, now: Timestamp, latest: Timestamp) -> Result<Vec<Hint>, LedgerError> {
        self.0.atomically(|| {
            let minute = now.0.div_euclid(60_000);
            let rows = self.0.query("SELECT count FROM gitlab_reads WHERE minute = ?", &[minute.into()])?;
            let left = READS_A_MINUTE.saturating_sub(first_number(&rows)?);
            let rows = self.0.query(
                "SELECT id, kind, job_id, tries FROM hints WHERE due_at <= ? OR due_at > ? ORDER BY due_at, id LIMIT ?",
                &[now.0.into(), latest.0.into(), left.min(100).into()],
            )?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            self.0.query("DELETE FROM gitlab_reads WHERE minute <> ?", &[minute.into()])?;
            self.0.query(
                "INSERT INTO gitlab_reads (minute, count) VALUES (?1, ?2)
                 ON CONFLICT (minute) DO UPDATE SET count = count + ?2",
                &[minute.into(), u64::try_from(rows.len()).unwrap_or(u64::MAX).into()],
            )?;
            rows.iter()
                .map(|row| {
                    let subject = match row.text(1)? {
                        "job" => HintSubject::Job(row.natural(2)?),
                        "deployment" => HintSubject::Deployment(row.natural(2)?),
                        other => return Err(LedgerError::Unknown(format!("a hint at a `{other}`"))),
                    };
                    let tries = u32::try_from(row.natural(3)?).unwrap_or(u32::MAX);
                    Ok(Hint { id: row.natural(0)?, subject, tries })
                })
                .collect()
        })
    }

    /// When the next hint is to be looked into: at the latest at `latest`, and not in a minute whose reads are used up.
    /// `None` when none is open.
    pub fn next_hint(&self, now: Timestamp, latest: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query("SELECT due_at FROM hints WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1", &[])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let due_at = Timestamp(row.integer(0)?).min(latest);
        let minute = now.0.div_euclid(60_000);
        let used = self.0.query("SELECT count FROM gitlab_reads WHERE minute = ?", &[minute.into()])?;
        let is_used_up = first_number(&used)? >= READS_A_MINUTE;
        Ok(Some(if is_used_up { due_at.max(Timestamp((minute + 1) * 60_000)) } else { due_at }))
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

    /// Forgets hints that were settled long ago, and the oldest of too many.
    pub fn forget_hints(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "DELETE FROM hints WHERE id IN (
                SELECT id FROM hints WHERE due_at IS NULL
                AND (received_at < ? OR id <= (SELECT MAX(id) FROM hints) - ?) ORDER BY id LIMIT ?)",
            &[(now - KEPT_FOR).0.into(), KEPT_MAX.into(), FORGOTTEN_AT_ONCE.into()],
        )?;
        Ok(())
    }
}

impl HintSubject {
    fn parts(self) -> (&'static str, u64) {
        match self {
            Self::Job(number) => ("job", number),
            Self::Deployment(number) => ("deployment", number),
        }
    }
}

fn first_number(rows: &[Row]) -> Result<u64, LedgerError> {
    Ok(rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default())
}
