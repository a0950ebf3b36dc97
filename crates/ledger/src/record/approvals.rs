//! Who may release what, and the orders that follow: in one transaction, so that neither is without the other.

use slipway_core::approval::{Approval, Candidate, Via};
use slipway_core::cargo::tag_of;
use slipway_core::promotion::{Order, OrderTarget};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::route::Site;
use slipway_core::time::Timestamp;
use slipway_wire::{Digest, Planted, planted};

use super::{Dispatch, LedgerError, Record, coded, parse, subject};
use crate::sql::{Sql, Value};

impl<S: Sql> Record<S> {
    /// The packages that a job was declared to release: its own, or all that its pipeline has declared to be released by
    /// it. None for every other job.
    pub fn candidates_of_job(&self, pipeline_id: u64, job_name: &str) -> Result<Vec<Candidate>, LedgerError> {
        let rows = self.0.query(
            "SELECT version, key FROM packages WHERE pipeline_id = ?1 AND (release_job = ?2 OR release_all_job = ?2)
             ORDER BY version, key",
            &[pipeline_id.into(), job_name.into()],
        )?;
        let mut candidates = Vec::new();
        for row in &rows {
            candidates.extend(self.candidate(&parse(row.text(0)?)?, &parse(row.text(1)?)?)?);
        }
        Ok(candidates)
    }

    /// A package as approvals are judged on.
    pub fn candidate(&self, version: &Version, key: &Key) -> Result<Option<Candidate>, LedgerError> {
        let rows = self.0.query(
            "SELECT pipeline_id, release_job, environment, digest, release_all_job, release_all_environment
             FROM packages WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let all = row.text_or_null(4)?.zip(row.text_or_null(5)?);
        Ok(Some(Candidate {
            version: version.clone(),
            key: key.clone(),
            pipeline_id: row.natural(0)?,
            release_job: row.text(1)?.to_owned(),
            environment: row.text(2)?.to_owned(),
            release_all: all.map(|(job, environment)| (job.to_owned(), environment.to_owned())),
            digest: row.text_or_null(3)?.map(parse).transpose()?,
            is_closed: self.closing(version)?.is_some(),
            withdrawn: self.why_withdrawn(version, key)?,
            name_taken: self.why_name_taken(version, key)?,
            targets: self.releasable(version, key)?,
        }))
    }

    /// The states of a package's targets, for whoever would release it. What another project has begun to delete has no
    /// bytes, whatever this record has seen of them.
    fn releasable(&self, version: &Version, key: &Key) -> Result<Vec<(String, TargetState)>, LedgerError> {
        let mut targets = self.states(version, key)?;
        if self.is_being_deleted(version, key)? {
            let waits = |state: &TargetState| {
                !state.is_moving()
                    && !matches!(state, TargetState::Released | TargetState::Skipped | TargetState::Withdrawn)
            };
            for (_, state) in targets.iter_mut().filter(|(_, state)| waits(state)) {
                *state = TargetState::Expired;
            }
        }
        Ok(targets)
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
            if approval.via == Via::Job {
                self.status_by_job(version, key, &approval.by, now)?;
            }
            let has_spoken = !spoken.is_empty() && !planted(Planted::ApprovesTwice);
            if approval.distros.is_empty() || current != *candidate || has_spoken {
                return Ok(false);
            }
            let rows = self.0.query(
                "INSERT INTO approvals (version, key, digest, approved_by, by_id, via, job_id, at, policy)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    approval.digest.to_string().into(),
                    approval.by.as_str().into(),
                    approval.by_id.into(),
                    approval.via.word().into(),
                    approval.job_id.into(),
                    now.0.into(),
                    policy.to_string().into(),
                ],
            )?;
            let id = rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default();
            for distro in &approval.distros {
                self.0.query(
                    "UPDATE targets SET state = 'approved', since = ?, step = NULL, problem = NULL, approval = ?, told_at = NULL,
                        allowed_at = NULL, heard = 0
                     WHERE version = ? AND key = ? AND distro = ?",
                    &[now.0.into(), id.into(), version.as_str().into(), key.as_str().into(), distro.as_str().into()],
                )?;
            }
            let order = self.order(version, key, id, project_id, &approval.distros)?;
            self.0.query(
                "INSERT INTO dispatches (approval, sent_order) VALUES (?, ?)",
                &[id.into(), serde_json::to_string(&order)?.into()],
            )?;
            let tags: Vec<&str> = approval.distros.iter().filter_map(|name| tag_of(name)).collect();
            let (kind, names) = match tags.as_slice() {
                [] => ("distros", serde_json::json!(approval.distros)),
                tags => ("tags", serde_json::json!(tags)),
            };
            let details = serde_json::json!({
                "approval": id, "digest": approval.digest, "via": approval.via.word(), "job": approval.job_id, "policy": policy,
                kind: names,
            });
            if approval.via == Via::Webhook {
                self.open_status(version, key, &approval.by, now)?;
            }
            let actor = format!("user:{}", approval.by);
            self.change(version, &actor, "approved", &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    pub(super) fn order(
        &self,
        version: &Version,
        key: &Key,
        approval: u64,
        project_id: u64,
        distros: &[String],
    ) -> Result<Order, LedgerError> {
        let at: [Value; 2] = [version.as_str().into(), key.as_str().into()];
        let rows = self.0.query(
            "SELECT p.filename, p.digest, p.size, p.staging_place, p.staging_repository, r.maturity
             FROM packages p JOIN releases r ON r.version = p.version WHERE p.version = ? AND p.key = ?",
            &at,
        )?;
        let row = rows.first().ok_or_else(|| LedgerError::NotPlanned { version: version.clone(), key: key.clone() })?;
        let targets = self.0.query(
            "SELECT distro, public_place, public_repository, how, heard FROM targets WHERE version = ? AND key = ? ORDER BY distro",
            &at,
        )?;
        let targets = targets.iter().map(|row| {
            let target = OrderTarget {
                distro: row.text(0)?.to_owned(),
                public: Site { place: row.text(1)?.to_owned(), repository: row.text(2)?.to_owned() },
                how: coded(row.text(3)?)?,
            };
            Ok((target, row.natural(4)?))
        });
        let mut targets = targets.collect::<Result<Vec<_>, LedgerError>>()?;
        targets.retain(|(target, _)| distros.contains(&target.distro));
        let heard = targets.iter().map(|(_, heard)| *heard).max().unwrap_or(0);
        let job = self.0.query("SELECT job_id FROM approvals WHERE id = ?", &[approval.into()])?;
        Ok(Order {
            approval,
            job_id: job.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default(),
            project_id,
            version: version.clone(),
            maturity: coded(row.text(5)?)?,
            key: key.clone(),
            filename: parse(row.text(0)?)?,
            digest: parse(row.text(1)?)?,
            size: row.natural(2)?,
            staging: Site { place: row.text(3)?.to_owned(), repository: row.text(4)?.to_owned() },
            targets: targets.into_iter().map(|(target, _)| target).collect(),
            heard,
        })
    }

    /// Writes down that a job was refused; once, however often it asks. Whether it was news.
    pub fn refuse(
        &self,
        version: &Version,
        key: &Key,
        job_id: u64,
        actor: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "INSERT OR IGNORE INTO refusals (job_id, version, key) VALUES (?, ?, ?) RETURNING job_id",
                &[job_id.into(), version.as_str().into(), key.as_str().into()],
            )?;
            if rows.is_empty() {
                return Ok(false);
            }
            let details = serde_json::json!({ "job": job_id, "why": why });
            self.change(version, actor, "refused", &subject(version, key), &details, now)?;
            Ok(true)
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

    /// Whether a job has approved a package.
    pub fn has_spoken(&self, version: &Version, key: &Key, job_id: u64) -> Result<bool, LedgerError> {
        Ok(!self.approvals_of(version, key, job_id)?.is_empty())
    }

    /// The approvals that a job has given for a package.
    pub fn approvals_of(&self, version: &Version, key: &Key, job_id: u64) -> Result<Vec<u64>, LedgerError> {
        let rows = self.0.query(
            "SELECT id FROM approvals WHERE version = ? AND key = ? AND job_id = ? ORDER BY id",
            &[version.as_str().into(), key.as_str().into(), job_id.into()],
        )?;
        Ok(rows.iter().map(|row| row.natural(0)).collect::<Result<_, _>>()?)
    }

    /// Orders that their packages' objects have not acknowledged yet.
    pub fn dispatches(&self) -> Result<Vec<Dispatch>, LedgerError> {
        let rows = self.0.query("SELECT approval, sent_order FROM dispatches ORDER BY approval LIMIT 100", &[])?;
        rows.iter()
            .map(|row| Ok(Dispatch { approval: row.natural(0)?, order: serde_json::from_str(row.text(1)?)? }))
            .collect()
    }

    /// Orders were acknowledged.
    pub fn dispatched(&self, approvals: &[u64]) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            for approval in approvals {
                self.0.query("DELETE FROM dispatches WHERE approval = ?", &[(*approval).into()])?;
            }
            Ok(())
        })
    }
}
