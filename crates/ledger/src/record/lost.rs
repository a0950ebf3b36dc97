//! Which pipelines are to be read, since a webhook may have been lost: those with packages that wait for their job to be
//! played. GitLab does not send an event again that did not arrive.

use std::time::Duration;

use slipway_core::time::Timestamp;

use super::{HintSubject, Kept, LedgerError, Record};
use crate::sql::Sql;

/// How long a pipeline waits between two readings, by how long ago anything of it has changed.
const PACE: [(Duration, Duration); 3] = [
    (Duration::from_hours(1), Duration::from_mins(1)),
    (Duration::from_hours(24), Duration::from_mins(5)),
    (Duration::from_hours(14 * 24), Duration::from_hours(1)),
];

/// How long it waits after that. What is staged stays so until it is released or given up, and its job can be played on any day.
const AT_REST: Duration = Duration::from_hours(6);

/// Releases that were begun before are not looked through at all.
const OPEN_FOR: Duration = Duration::from_hours(60 * 24);

impl<S: Sql> Record<S> {
    /// Pipelines with something to release, and when each is to be read again.
    fn awaiting(&self, now: Timestamp) -> Result<Vec<(u64, Timestamp)>, LedgerError> {
        let rows = self.0.query(
            "SELECT p.pipeline_id, MAX(t.since), r.at FROM packages p
             JOIN releases e ON e.version = p.version AND e.created_at > ?
             JOIN targets t ON t.version = p.version AND t.key = p.key
             LEFT JOIN read_pipelines r ON r.id = p.pipeline_id
             GROUP BY p.pipeline_id
             HAVING MAX(t.state IN ('staged', 'failed', 'conflict')) = 1",
            &[(now - OPEN_FOR).0.into()],
        )?;
        rows.iter()
            .map(|row| {
                let changed = Timestamp(row.integer(1)?);
                // A reading later than now was when the clock was wrong.
                let read = match row.integer_or_null(2)? {
                    Some(at) if at <= now.0 => Timestamp(at),
                    // So was the last change: nobody can tell how long ago anything was, so it is due.
                    _ if changed > now => return Ok((row.natural(0)?, now)),
                    _ => changed,
                };
                let age = read.since(changed);
                let pace = PACE.iter().find(|(until, _)| age < *until).map_or(AT_REST, |(_, pace)| *pace);
                Ok((row.natural(0)?, read + pace))
            })
            .collect()
    }

    /// Pipelines that are to be read now, the one that waits the longest at the head.
    pub fn unread_pipelines(&self, now: Timestamp) -> Result<Vec<u64>, LedgerError> {
        let mut due: Vec<(u64, Timestamp)> = self.awaiting(now)?;
        due.retain(|(_, due_at)| *due_at <= now);
        due.sort_by_key(|(id, due_at)| (*due_at, *id));
        Ok(due.into_iter().map(|(id, _)| id).collect())
    }

    /// When the next pipeline is to be read. `None` when nothing waits to be released.
    pub fn next_reading(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.awaiting(now)?.into_iter().map(|(_, due_at)| due_at).min())
    }

    /// A pipeline is being read. One that cannot be is not asked for at once again.
    pub fn reads_pipeline(&self, id: u64, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT INTO read_pipelines (id, at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at",
            &[id.into(), now.0.into()],
        )?;
        Ok(())
    }

    /// When the last of a pipeline's packages was staged with the bytes that it has now. `None` when it has none.
    pub fn last_staged(&self, pipeline_id: u64) -> Result<Option<Timestamp>, LedgerError> {
        let rows =
            self.0.query("SELECT MAX(first_staged_at) FROM packages WHERE pipeline_id = ?", &[pipeline_id.into()])?;
        Ok(rows.first().map(|row| row.integer_or_null(0)).transpose()?.flatten().map(Timestamp))
    }

    /// Takes a played job of a pipeline for a hint, if it was declared and no one has spoken of it. Whether it was news. A
    /// job is found once: what came of it stays so.
    pub fn found_played(&self, pipeline_id: u64, name: &str, job_id: u64, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let named = super::Named::Job { id: job_id, pipeline_id: Some(pipeline_id), name: name.to_owned() };
            if self.what_may_come_of(&named)? != Kept::Kept {
                return Ok(false);
            }
            let delivery = format!("found of {job_id}");
            let known = self.0.query("SELECT 1 FROM hints WHERE delivery = ?", &[delivery.into()])?;
            if !known.is_empty() {
                return Ok(false);
            }
            self.keep_hint("found", HintSubject::Job(job_id), now)
        })
    }

    /// Whether something that a pipeline has staged is not known to run in an environment.
    pub fn lacks_deployment(&self, pipeline_id: u64, environment: &str) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT 1 FROM packages p WHERE p.pipeline_id = ?1 AND p.first_staged_at IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM deployments d WHERE d.version = p.version AND d.environment = ?2
                AND d.pipeline_id IN (0, ?1) AND d.at >= p.first_staged_at) LIMIT 1",
            &[pipeline_id.into(), environment.into()],
        )?;
        Ok(!rows.is_empty())
    }

    /// Takes a deployment for a hint. Whether it was news: it is found once, and what came of it stays so.
    pub fn found_deployment(&self, deployment_id: u64, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let delivery = format!("found of deployment {deployment_id}");
            let known = self.0.query("SELECT 1 FROM hints WHERE delivery = ?", &[delivery.into()])?;
            if !known.is_empty() {
                return Ok(false);
            }
            self.keep_hint("found", HintSubject::Deployment(deployment_id), now)
        })
    }
}
