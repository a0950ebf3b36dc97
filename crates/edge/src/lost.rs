//! Finds played jobs and deployments whose webhook never came: GitLab sends an event once.
//!
//! Only pipelines with something to release are read, at a pace that slows down with time, and one that cannot be read is
//! not asked for at once again. Deployments are listed of those environments alone that a gate of such a pipeline waits for, each
//! once a run. What is found becomes a hint like any other: it is read, judged and written down the same.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::config::Config;
use slipway_core::time::Timestamp;
use slipway_gitlab::{Deployment, Instance, ListDeployments, played_jobs};
use slipway_ledger::{LedgerError, Record, Sql};
use slipway_wire::{CallError, call};

use crate::port::ProjectHost;

/// How many pipelines one run reads.
const PIPELINES_MAX: usize = 10;
/// Of how many environments one run lists the deployments.
const ENVIRONMENTS_MAX: usize = 10;
/// The least wait between two runs.
const AGAIN: Duration = Duration::from_secs(5);

/// The newest deployments by environment, as this run has listed them.
type Listed = BTreeMap<String, Vec<Deployment>>;

/// Reads the pipelines that are due, and says when the next is.
pub async fn find<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
) -> Result<Option<Timestamp>, LedgerError> {
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    let mut listed = Listed::new();
    for pipeline_id in record.unread_pipelines(host.now())?.into_iter().take(PIPELINES_MAX) {
        record.reads_pipeline(pipeline_id, host.now())?;
        let jobs = find_jobs(record, host, gitlab, project_id, pipeline_id).await?;
        let read = match jobs {
            Ok(()) => find_deployments(record, host, config, gitlab, project_id, pipeline_id, &mut listed).await?,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            host.log(&format!("pipeline {pipeline_id} cannot be looked through: {error}"));
            // Whatever keeps one from being read keeps the others, too, or is this pipeline's own: it had its turn.
            break;
        }
    }
    Ok(record.next_reading(host.now())?.map(|due_at| due_at.max(host.now() + AGAIN)))
}

async fn find_jobs<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    gitlab: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Result<(), CallError>, LedgerError> {
    let jobs = match played_jobs(host, gitlab, project_id, pipeline_id).await {
        Ok(jobs) => jobs,
        Err(error) => return Ok(Err(error)),
    };
    for job in jobs.iter().filter(|job| job.status.is_played()) {
        if record.found_played(pipeline_id, &job.name, job.id, host.now())? {
            host.log(&format!("job {} was played, and no webhook has told of it", job.id));
        }
    }
    Ok(Ok(()))
}

/// A deployment is found by its own pipeline's reading: another pipeline's says nothing of these packages.
async fn find_deployments<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: &Instance,
    project_id: u64,
    pipeline_id: u64,
    listed: &mut Listed,
) -> Result<Result<(), CallError>, LedgerError> {
    let Some(project) = config.projects.iter().find(|project| project.id == project_id) else { return Ok(Ok(())) };
    for environment in record.awaits_deployment(config, project, pipeline_id)? {
        if !listed.contains_key(&environment) {
            if listed.len() >= ENVIRONMENTS_MAX {
                continue;
            }
            let list = ListDeployments { instance: gitlab, project_id, environment: &environment };
            match call(host, &list).await {
                Ok(deployments) => drop(listed.insert(environment.clone(), deployments)),
                Err(error) => return Ok(Err(error)),
            }
        }
        let own =
            |deployment: &&Deployment| deployment.deployable.as_ref().is_some_and(|job| job.pipeline.id == pipeline_id);
        for deployment in listed.get(&environment).into_iter().flatten().filter(own) {
            if record.found_deployment(deployment.id, host.now())? {
                host.log(&format!("deployment {} is done, and no webhook has told of it", deployment.id));
            }
        }
    }
    Ok(Ok(()))
}
