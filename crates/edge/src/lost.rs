//! Finds played jobs and deployments whose webhook never came: GitLab sends an event once.
//!
//! Only pipelines with something to release are read, at a pace that slows down with time, and one that cannot be read is
//! not asked for at once again. Of deployments only those are asked for that a gate still waits for. What is found becomes a
//! hint like any other: it is read, judged and written down the same.

use std::time::Duration;

use slipway_core::config::Config;
use slipway_core::log::{Entry, deployment_work, pipeline_work, work};
use slipway_core::time::Timestamp;
use slipway_gitlab::{Instance, ListDeployments, ListedJob, pipeline_jobs, played_jobs};
use slipway_ledger::{LedgerError, Origin, Record, Sql};
use slipway_wire::{CallError, Planted, call, planted};

use crate::port::ProjectHost;

/// How many pipelines one run reads.
const PIPELINES_MAX: usize = 10;
/// The least wait between two runs.
const AGAIN: Duration = Duration::from_secs(5);

/// Reads the pipelines that are due, and says when the next is.
pub async fn find<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
) -> Result<Option<Timestamp>, LedgerError> {
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    for pipeline_id in record.unread_pipelines(host.now())?.into_iter().take(PIPELINES_MAX) {
        record.reads_pipeline(pipeline_id, host.now())?;
        // A click may count only because of a deployment, so neither is looked into while the other may be there unseen. What
        // this token is never told of keeps no click from being found.
        let read = match find_deployed(record, host, config, gitlab, project_id, pipeline_id).await? {
            Err(error) if error.may_pass() => Err(error),
            deployed => {
                if let Err(error) = deployed {
                    let what = format!("the deployments of pipeline {pipeline_id} cannot be read: {error}");
                    host.write(&Entry::trouble(project_id, pipeline_work(project_id, pipeline_id), &what));
                }
                find_played(record, host, gitlab, project_id, pipeline_id).await?
            }
        };
        if let Err(error) = read {
            let what = format!("pipeline {pipeline_id} cannot be read: {error}");
            host.write(&Entry::trouble(project_id, pipeline_work(project_id, pipeline_id), &what));
            // Whatever keeps one from being read keeps the others, too, or is this pipeline's own: it had its turn.
            break;
        }
    }
    Ok(record.next_reading(host.now())?.map(|due_at| due_at.max(host.now() + AGAIN)))
}

/// Reads which jobs release packages, by their numbers, so that a page can lead to them; and says when that is due next. A
/// list that cannot be read is one that pages do without.
pub async fn list_jobs<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    gitlab: &Instance,
) -> Result<Option<Timestamp>, LedgerError> {
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    for pipeline_id in record.unlisted_pipelines(host.now())?.into_iter().take(PIPELINES_MAX) {
        record.lists_pipeline(pipeline_id, host.now())?;
        match pipeline_jobs(host, gitlab, project_id, pipeline_id).await {
            Ok(jobs) => {
                record.heard_from(Origin::Gitlab, None, host.now())?;
                knows_jobs(record, host, pipeline_id, &jobs)?;
            }
            Err(error) => {
                record.heard_from(Origin::Gitlab, Some(&error.to_string()), host.now())?;
                let what = format!("the jobs of pipeline {pipeline_id} cannot be listed: {error}");
                host.write(&Entry::trouble(project_id, pipeline_work(project_id, pipeline_id), &what));
                break;
            }
        }
    }
    Ok(record.next_listing(host.now())?.map(|due_at| due_at.max(host.now() + AGAIN)))
}

/// Keeps the numbers of a pipeline's jobs, and shows them to those who follow its releases.
fn knows_jobs<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    pipeline_id: u64,
    jobs: &[ListedJob],
) -> Result<(), LedgerError> {
    let jobs = jobs.iter().map(|job| (job.id, job.name.as_str()));
    for version in record.jobs_listed(pipeline_id, jobs)? {
        host.announce(&version);
    }
    Ok(())
}

/// Finds the played jobs of a pipeline.
async fn find_played<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    gitlab: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Result<(), CallError>, LedgerError> {
    // Of a pipeline with very many jobs only those that were played can be read.
    let all = if record.lacks_job(pipeline_id)? {
        pipeline_jobs(host, gitlab, project_id, pipeline_id).await.map_or_else(not_passing, |jobs| Ok(Some(jobs)))
    } else {
        Ok(None)
    };
    let read = match all {
        Ok(Some(jobs)) => Ok(jobs),
        Ok(None) => played_jobs(host, gitlab, project_id, pipeline_id).await,
        Err(error) => Err(error),
    };
    let jobs = match read {
        Ok(jobs) => jobs,
        Err(error) => {
            record.heard_from(Origin::Gitlab, Some(&error.to_string()), host.now())?;
            return Ok(Err(error));
        }
    };
    record.heard_from(Origin::Gitlab, None, host.now())?;
    // One that was retried is another job.
    knows_jobs(record, host, pipeline_id, &jobs)?;
    for job in jobs.iter().filter(|job| job.status.is_played() && !planted(Planted::FindsNothing)) {
        if record.found_played(pipeline_id, &job.name, job.id, host.now())? {
            let what = format!("job {} was played, and no webhook has told of it", job.id);
            host.write(&Entry::trouble(project_id, work(project_id, job.id), &what));
        }
    }
    Ok(Ok(()))
}

/// Nothing, after an error that stays; the error, where it may pass.
fn not_passing<T>(error: CallError) -> Result<Option<T>, CallError> {
    if error.may_pass() { Err(error) } else { Ok(None) }
}

/// Finds where a pipeline's packages were deployed, in the environments that a gate waits for.
async fn find_deployed<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Result<(), CallError>, LedgerError> {
    let Some(project) = config.project(&project_id.to_string()) else { return Ok(Ok(())) };
    for environment in config.environments(project.name.as_str()) {
        if !record.lacks_deployment(pipeline_id, environment)? {
            continue;
        }
        let deployments = match call(host, &ListDeployments { instance: gitlab, project_id, environment }).await {
            Ok(deployments) => deployments,
            Err(error) => return Ok(Err(error)),
        };
        let of_pipeline = deployments
            .iter()
            .filter(|deployment| deployment.deployable.as_ref().is_some_and(|job| job.pipeline.id == pipeline_id));
        for deployment in of_pipeline {
            if record.found_deployment(deployment.id, host.now())? {
                let what = format!("deployment {} is done, and no webhook has told of it", deployment.id);
                host.write(&Entry::trouble(project_id, deployment_work(project_id, deployment.id), &what));
            }
        }
    }
    Ok(Ok(()))
}
