//! The gates of a package, asked at the moment at which it matters: when somebody wants to release it, and again right
//! before an act begins.
//!
//! What only GitLab knows is read then, and kept for a short while, since a person plays many jobs at once. While GitLab
//! cannot be read, nothing is decided: an open gate is seen, never assumed.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use slipway_core::config::Config;
use slipway_core::gate::{self, Closed, PipelineFacts, needs_pipeline, sentence_of};
use slipway_core::promotion::May;
use slipway_core::release::{Key, Version};
use slipway_core::stop::Stopped;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_gitlab::{GetPipeline, Instance, Job, pipeline_jobs};
use slipway_ledger::{Ask, LedgerError, Record, Sql, StopReason};
use slipway_wire::call;

use crate::port::{ProjectHost, in_time};

/// How old what GitLab said of a pipeline may be when it decides something.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// How long another project's record is waited for.
const OTHERS: Duration = Duration::from_secs(5);

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

/// What keeps a package back that a played job asks for, whoever has played it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The job was played before the record was imported.
    BeforeImport(String),
    /// The record was imported, and no runner has the job yet: when it was played is not shown.
    NotShownYet(String),
    /// Slipway is stopped.
    Stopped(Stopped),
    /// Gates are closed.
    Closed(String),
    /// That cannot be told now.
    Unknown(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeImport(why) | Self::NotShownYet(why) | Self::Closed(why) | Self::Unknown(why) => {
                f.write_str(why)
            }
            Self::Stopped(stopped) => stopped.fmt(f),
        }
    }
}

/// What keeps a package back that a job asks for. `None` when nothing does.
pub(crate) async fn kept_back<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: Option<&Instance>,
    asked: &Asked<'_>,
    job: &Job,
) -> Result<Option<Why>, LedgerError> {
    if let Some(why) = before_import(job, record.started_after_import()?) {
        return Ok(Some(why));
    }
    if let Some(stopped) = record.stopped()? {
        return Ok(Some(Why::Stopped(stopped)));
    }
    Ok(match closed(record, host, config, gitlab, asked).await? {
        Ok(closed) if closed.is_empty() => None,
        Ok(closed) => Some(Why::Closed(sentence_of(asked.key, &closed))),
        Err(why) => Some(Why::Unknown(why)),
    })
}

/// Why a job is not shown to have been played after an imported record was started: it may speak of what that does not know, and
/// what it asked for may have been released and taken back since. Where no runner has it yet, GitLab shows when it was played
/// once one has.
fn before_import(job: &Job, started_at: Option<Timestamp>) -> Option<Why> {
    let started_at = started_at.filter(|started_at| played_at(job).is_none_or(|played_at| played_at < *started_at))?;
    let why = format!(
        "GitLab does not show that the job was played after {started_at}, when this project's record, which was imported, was \
         started; play it again"
    );
    let is_shown_later = job.started_at.is_none() && !job.status.is_over();
    Some(if is_shown_later { Why::NotShownYet(why) } else { Why::BeforeImport(why) })
}

/// No sooner than this was a job played: a runner took it after it had waited in the queue from then on, and nobody plays what
/// is not made yet. `None` where GitLab shows neither.
fn played_at(job: &Job) -> Option<Timestamp> {
    let made: Option<Timestamp> = job.created_at.as_ref().and_then(|text| text.parse().ok());
    let taken: Option<Timestamp> = job.started_at.as_ref().and_then(|text| text.parse().ok());
    let waited = job.queued_duration.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let queued = taken.zip(waited).map(|(taken, waited)| taken - waited);
    made.into_iter().chain(queued).max()
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
    // First, since others may be waited for: what is asked after them is as it is now.
    let elsewhere = taken_elsewhere(record, host, config, ask).await?;
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
        match elsewhere {
            Ok(None) => return record.allow(ask, host.now()),
            Ok(Some(why)) => {
                let over = record.call_off(ask, &StopReason::Withdrawn(why), host.now())?;
                host.announce(version);
                return Ok(over);
            }
            Err(trouble) => return Ok(May::Unknown(trouble)),
        }
    }
    let whys: Vec<String> = closed.into_iter().map(|closed| closed.why).collect();
    let stopped = record.call_off(ask, &StopReason::Blocked(whys.join("; ")), host.now())?;
    host.announce(version);
    Ok(stopped)
}

/// Why a package's name is not free, by what other projects have released or taken back where it goes. Each is asked: what a
/// project released before its routes led elsewhere is known to its record alone. The inner error is of one that does not answer,
/// and whose routes lead there: the others, one that is imported and not yet started say, keep nobody waiting.
///
/// Its answer holds as long as the act does. Whoever asks has the destination's slot for this name, and without that nobody
/// releases or takes back what has the name.
async fn taken_elsewhere<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    ask: &Ask,
) -> Result<Result<Option<String>, Trouble>, LedgerError> {
    let names = record.public_names(&ask.version, &ask.key)?;
    let others = config.projects.iter().filter(|other| other.id != ask.project_id);
    let answers = others.map(async |other| (other, in_time(host, OTHERS, host.name_taken(other.id, &names)).await));
    let answers = join_all(answers).await;
    let taken = answers.iter().find_map(|(other, answer)| match answer {
        Some(Ok(Some(taken))) => Some(taken.why(&format!("the project `{}`", other.name))),
        _ => None,
    });
    if taken.is_some() {
        return Ok(Ok(taken));
    }
    let leads_there = |other: u64| {
        let theirs = config.public_repositories(other);
        names.iter().any(|name| theirs.iter().any(|repository| repository.site == name.public))
    };
    let silent = answers.iter().find(|(other, answer)| !matches!(answer, Some(Ok(_))) && leads_there(other.id));
    Ok(match silent {
        None => Ok(None),
        Some((other, _)) => Err(Trouble::passing(format!(
            "whether the project `{}` has released or taken back something of this name cannot be asked now",
            other.name
        ))),
    })
}
