//! The manual jobs that release packages, by their numbers in GitLab, so that a page leads to the very job.
//!
//! They are read from GitLab once for each pipeline, as soon as something of it can be released; where one was not there yet,
//! with the next look for lost webhooks; and again when the pipeline is said to have a job with another number, as after a
//! retry. Whoever says so is not believed: the list is read, at most once a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::release::Version;
use slipway_core::time::Timestamp;

use super::{LedgerError, Record, parse};
use crate::sql::Sql;

/// How long a list of jobs is not read again, whatever is told of it.
const AGAIN: Duration = Duration::from_mins(1);

impl<S: Sql> Record<S> {
    /// Pipelines whose jobs are to be listed, and when: those with something to release that were never listed, and those that
    /// are said to have another job now.
    fn to_be_listed(&self, now: Timestamp) -> Result<Vec<(u64, Timestamp)>, LedgerError> {
        let rows = self.0.query(
            "SELECT p.pipeline_id, MAX(l.at) FROM packages p
             JOIN targets t ON t.version = p.version AND t.key = p.key AND t.state IN ('staged', 'failed', 'conflict')
             LEFT JOIN manual_jobs m ON m.pipeline_id = p.pipeline_id AND m.name = p.release_job
             LEFT JOIN listed_pipelines l ON l.id = p.pipeline_id
             WHERE (l.id IS NULL AND m.job_id IS NULL) OR l.is_hinted = 1 GROUP BY p.pipeline_id ORDER BY p.pipeline_id",
            &[],
        )?;
        let due = rows.iter().map(|row| {
            // One in the future was written when the clock was wrong.
            let listed_at = row.integer_or_null(1)?.filter(|at| *at <= now.0);
            Ok((row.natural(0)?, listed_at.map_or(now, |at| Timestamp(at) + AGAIN)))
        });
        due.collect()
    }

    /// Whether the number of a job that releases a package of this pipeline is not known.
    pub fn lacks_job(&self, pipeline_id: u64) -> Result<bool, LedgerError> {
        Ok(self.job_names(pipeline_id)?.values().any(Option::is_none))
    }

    /// Pipelines whose jobs are to be listed now.
    pub fn unlisted_pipelines(&self, now: Timestamp) -> Result<Vec<u64>, LedgerError> {
        Ok(self.to_be_listed(now)?.into_iter().filter(|(_, due_at)| *due_at <= now).map(|(id, _)| id).collect())
    }

    /// When the jobs of the next pipeline are to be listed. `None` when all are known.
    pub fn next_listing(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.to_be_listed(now)?.into_iter().map(|(_, due_at)| due_at).min())
    }

    /// The jobs of a pipeline are being listed. One that cannot be is not asked for at once again.
    pub fn lists_pipeline(&self, id: u64, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT INTO listed_pipelines (id, at) VALUES (?, ?)
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, is_hinted = 0",
            &[id.into(), now.0.into()],
        )?;
        Ok(())
    }

    /// A pipeline is said to have these jobs. Whether its list is to be read for that: nothing of it is believed.
    pub(super) fn jobs_hinted(&self, pipeline_id: u64, jobs: &[(u64, String)]) -> Result<bool, LedgerError> {
        let known = self.job_names(pipeline_id)?;
        let is_new =
            |(id, name): &(u64, String)| known.get(name).is_some_and(|known| known.is_none_or(|old| old < *id));
        if !jobs.iter().any(is_new) {
            return Ok(false);
        }
        // One that was never listed is due already.
        self.0.query("UPDATE listed_pipelines SET is_hinted = 1 WHERE id = ?", &[pipeline_id.into()])?;
        Ok(true)
    }

    /// The jobs of a pipeline, as GitLab has listed them by now. The newest of a name is the one to play: a retry is a job of
    /// its own. The releases in which a package has another job for that.
    pub fn jobs_listed<'a>(
        &self,
        pipeline_id: u64,
        jobs: impl IntoIterator<Item = (u64, &'a str)>,
    ) -> Result<Vec<Version>, LedgerError> {
        self.0.atomically(|| {
            let known = self.job_names(pipeline_id)?;
            let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
            for (id, name) in jobs {
                let is_newer = known.get(name).is_some_and(|known| known.is_none_or(|old| old < id));
                if is_newer && newest.get(name).is_none_or(|other| *other < id) {
                    newest.insert(name, id);
                }
            }
            if newest.is_empty() {
                return Ok(Vec::new());
            }
            for (name, id) in newest {
                self.0.query(
                    "INSERT INTO manual_jobs (pipeline_id, name, job_id) VALUES (?, ?, ?)
                     ON CONFLICT (pipeline_id, name) DO UPDATE SET job_id = excluded.job_id",
                    &[pipeline_id.into(), name.into(), id.into()],
                )?;
            }
            let rows =
                self.0.query("SELECT DISTINCT version FROM packages WHERE pipeline_id = ?", &[pipeline_id.into()])?;
            let versions: Vec<Version> = rows.iter().map(|row| parse(row.text(0)?)).collect::<Result<_, _>>()?;
            for version in &versions {
                self.touch(version)?;
            }
            Ok(versions)
        })
    }

    /// The names of the jobs that release a pipeline's packages, and the number of each that is known.
    fn job_names(&self, pipeline_id: u64) -> Result<BTreeMap<String, Option<u64>>, LedgerError> {
        let rows = self.0.query(
            "SELECT p.release_job, m.job_id FROM packages p
             LEFT JOIN manual_jobs m ON m.pipeline_id = p.pipeline_id AND m.name = p.release_job
             WHERE p.pipeline_id = ?",
            &[pipeline_id.into()],
        )?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.natural_or_null(1)?))).collect()
    }
}
