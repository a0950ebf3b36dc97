//! Finds played jobs whose webhook never came: GitLab sends an event once.
//!
//! Only pipelines with something to release are read, at a pace that slows down with time, and one that cannot be read is
//! not asked for at once again. A played job becomes a hint like any other: it is read, judged and written down the same.

use std::time::Duration;

use slipway_core::time::Timestamp;
use slipway_gitlab::{Instance, played_jobs};
use slipway_ledger::{LedgerError, Record, Sql};
use slipway_wire::{Planted, planted};

use crate::port::ProjectHost;

/// How many pipelines one run reads.
const PIPELINES_MAX: usize = 10;
/// The least wait between two runs.
const AGAIN: Duration = Duration::from_secs(5);

/// Reads the pipelines that are due, and says when the next is.
pub async fn find<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    gitlab: &Instance,
) -> Result<Option<Timestamp>, LedgerError> {
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    for pipeline_id in record.unread_pipelines(host.now())?.into_iter().take(PIPELINES_MAX) {
        record.reads_pipeline(pipeline_id, host.now())?;
        match played_jobs(host, gitlab, project_id, pipeline_id).await {
            Ok(jobs) => {
                for job in jobs.iter().filter(|job| job.status.is_played() && !planted(Planted::FindsNothing)) {
                    if record.found_played(pipeline_id, &job.name, job.id, host.now())? {
                        host.log(&format!("job {} was played, and no webhook has told of it", job.id));
                    }
                }
            }
            Err(error) => {
                host.log(&format!("the jobs of pipeline {pipeline_id} cannot be read: {error}"));
                // Whatever keeps one from being read keeps the others, too, or is this pipeline's own: it had its turn.
                break;
            }
        }
    }
    Ok(record.next_reading(host.now())?.map(|due_at| due_at.max(host.now() + AGAIN)))
}
