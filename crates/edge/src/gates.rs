//! The gates of a package, asked at the moment at which it matters: when somebody wants to release it, and again right
//! before an act begins.
//!
//! What only GitLab knows is read then, and kept for a short while, since a person plays many jobs at once. While GitLab
//! cannot be read, nothing is decided: an open gate is seen, never assumed.

use std::time::Duration;

use slipway_core::config::Config;
use slipway_core::gate::{self, Closed, PipelineFacts, needs_pipeline};
use slipway_core::promotion::May;
use slipway_core::release::{Key, Version};
use slipway_core::trouble::Trouble;
use slipway_gitlab::{GetPipeline, Instance, pipeline_jobs};
use slipway_ledger::{Ask, LedgerError, Record, Sql, StopReason};
use slipway_wire::call;

use crate::port::ProjectHost;

/// How old what GitLab said of a pipeline may be when it decides something.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Whose gates are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The project.
    pub project_id: u64,
    /// The release.
    pub version: &'a Version,
    /// The package.
    pub key: &'a Key,
    /// GitLab's id of who wants to release it.
    pub by: Option<u64>,
}

/// The gates that are closed for a package. The inner error says what cannot be told now.
pub async fn closed<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: Option<&Instance>,
    asked: &Asked<'_>,
) -> Result<Result<Vec<Closed>, String>, LedgerError> {
    let Asked { project_id, version, key, by } = *asked;
    let Some(project) = config.project_of_id(project_id) else {
        return Ok(Err(format!("slipway.toml has no project {project_id} any more")));
    };
    let gates = config.gates(project.name.as_str(), version, key);
    let Some(facts) = record.gate_facts(version, key, by)? else { return Ok(Ok(Vec::new())) };
    if needs_pipeline(&gates)
        && let Err(why) = read_pipeline(record, host, gitlab, project_id, facts.pipeline_id).await?
    {
        return Ok(Err(why));
    }
    // Others ran while GitLab was read. From here on nothing is awaited.
    let facts = record.gate_facts(version, key, by)?;
    Ok(Ok(facts.map(|facts| gate::closed(&gates, &facts, host.now())).unwrap_or_default()))
}

/// Reads from GitLab who started a pipeline and how its jobs ended, unless that was read a moment ago.
async fn read_pipeline<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    gitlab: Option<&Instance>,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Result<(), String>, LedgerError> {
    let known = record.pipeline_facts(pipeline_id)?;
    let now = host.now();
    // What was read later than now was read when the clock was wrong.
    if known.as_ref().is_some_and(|(read_at, _)| *read_at <= now && now.since(*read_at) < READ_AGAIN) {
        return Ok(Ok(()));
    }
    let Some(instance) = gitlab else { return Ok(Err("this deployment lacks GitLab's token".to_owned())) };
    let why = |error| format!("pipeline {pipeline_id} cannot be read from GitLab: {error}");
    // Nobody else starts a pipeline later.
    let started_by = match known.and_then(|(_, facts)| facts.started_by) {
        Some(known) => Some(known),
        None => match call(host, &GetPipeline { instance, project_id, pipeline_id }).await {
            Ok(pipeline) => pipeline.user.map(|user| user.id),
            Err(error) => return Ok(Err(why(error))),
        },
    };
    let jobs = match pipeline_jobs(host, instance, project_id, pipeline_id).await {
        Ok(jobs) => jobs.into_iter().map(Into::into).collect(),
        Err(error) => return Ok(Err(why(error))),
    };
    record.keep_pipeline_facts(pipeline_id, &PipelineFacts { started_by, jobs }, host.now())?;
    Ok(Ok(()))
}

/// Whether an act may begin now. When it may not, the approval is over, and the record says so before this returns.
pub async fn may_act<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: Option<&Instance>,
    ask: &Ask,
) -> Result<May, LedgerError> {
    if let Some(over) = record.stop_if_lapsed(ask, config.approvals.lapse, host.now())? {
        host.announce(&ask.version);
        return Ok(over);
    }
    if let Some(stopped) = record.stopped()? {
        return Ok(May::Stopped(stopped));
    }
    let Ask { project_id, version, key, .. } = ask;
    let by = record.approved_by(ask.approval)?;
    let asked = Asked { project_id: *project_id, version, key, by };
    let closed = match closed(record, host, config, gitlab, &asked).await? {
        Ok(closed) => closed,
        Err(why) => return Ok(May::Unknown(Trouble::passing(format!("its gates cannot be asked: {why}")))),
    };
    if closed.is_empty() {
        return record.allow(ask, host.now());
    }
    let whys: Vec<String> = closed.into_iter().map(|closed| closed.why).collect();
    let stopped = record.call_off(ask, &StopReason::Blocked(whys.join("; ")), host.now())?;
    host.announce(version);
    Ok(stopped)
}
