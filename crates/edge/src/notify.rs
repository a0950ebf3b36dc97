//! Tells others what became of a release: commit statuses for what a webhook released, and events for whoever listens.
//!
//! What is to be told is in the record before anybody is asked, and stays there until it was taken. Nothing waits for it:
//! a receiver that fails is tried again, a bounded number of times, and holds up no release.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::header::CONTENT_TYPE;
use serde_json::json;
use slipway_core::config::{self, Config, Events, Project};
use slipway_core::log::{Entry, event_work, status_work};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::time::Timestamp;
use slipway_gitlab::{CommitState, Instance, SetCommitStatus, SigningToken, TriggerPipeline};
use slipway_ledger::{Delivery, DueStatus, LedgerError, Receiver, Record, Sql};
use slipway_wire::{Base, Planted, Token, call, planted};

use crate::port::ProjectHost;
use crate::project::AT_ONCE;

/// How often a status of a package on its way is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// The longest wait between two tries. What is due later was put off by a clock that was wrong.
const WAIT_MAX: Duration = Duration::from_mins(30);
/// A status is tried for about four hours. It is a courtesy: the page has it all.
const STATUS_TRIES_MAX: u32 = 16;
/// An event is tried for about a day.
const EVENT_TRIES_MAX: u32 = 56;

/// When the alarm is to come for what has happened and was given to nobody yet: at once. `None` where there is nothing, of a
/// project that is no longer configured, and of an imported record that nobody has started.
pub fn due<S: Sql>(record: &Record<S>, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
    let is_configured = record.project_id()?.is_some_and(|id| config.project_of_id(id).is_some());
    Ok((is_configured && record.has_news()? && !record.awaits_start()?).then_some(now))
}

/// Tells what is due, and says when there is more.
pub async fn tell<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
) -> Result<Option<Timestamp>, LedgerError> {
    // An import may have begun since the alarm came, and brings what its old record had to tell.
    if record.awaits_start()? {
        return Ok(None);
    }
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    let Some(project) = config.project_of_id(project_id) else { return Ok(None) };
    let events: Vec<&Events> = config.events.iter().filter(|events| events.concern(project)).collect();
    let receivers: Vec<Receiver> =
        events.iter().map(|events| Receiver { name: events.receiver(), kinds: events.kinds.clone() }).collect();
    record.spread(&receivers, host.now())?;
    let deliveries = record.due_deliveries(host.now(), host.now() + WAIT_MAX)?;
    let told = deliveries.iter().map(|delivery| deliver(record, host, config, project, &events, delivery));
    let mut told = stream::iter(told).buffer_unordered(AT_ONCE);
    while let Some(told) = told.next().await {
        told?;
    }
    if record.awaits_start()? {
        return Ok(None);
    }
    let token = config.gitlab.status_token.as_ref();
    if let Some(token) = token {
        set_statuses(record, host, config, project, token).await?;
    }
    record.forget_deliveries(host.now())?;
    let now = host.now();
    let statuses = if token.is_some() { record.next_status(now + WAIT_MAX)? } else { None };
    Ok(record.next_delivery(now, now + WAIT_MAX)?.into_iter().chain(statuses).min())
}

/// 2, 4, 8 … seconds, up to half an hour.
fn later(now: Timestamp, tries: u32) -> Timestamp {
    now + Duration::from_secs(2 << tries.min(10)).min(WAIT_MAX)
}

// ---- commit statuses ----

async fn set_statuses<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    token: &str,
) -> Result<(), LedgerError> {
    let due = record.due_statuses(host.now(), host.now() + WAIT_MAX)?;
    if due.is_empty() {
        return Ok(());
    }
    let trouble = |status: &DueStatus, what: &str| {
        let work = status_work(project.id, &status.version, &status.key);
        host.write(&Entry::trouble(project.id, work, what).about(&status.version, &status.key));
    };
    let gitlab = match host.secret(token) {
        Ok(token) => Instance::new(config.gitlab.url.clone(), token),
        Err(why) => {
            for status in &due {
                trouble(status, &format!("the commit status is not set: {why}"));
                record.status_later(status, false, Some(host.now() + WAIT_MAX))?;
            }
            return Ok(());
        }
    };
    for status in &due {
        let (state, description) = said(status);
        let next = (state == CommitState::Pending).then(|| host.now() + LOOK_AGAIN);
        // What is refused again for another reason is told again.
        let is_refused = state == CommitState::Failed && status.refused.is_some();
        let told = if is_refused { format!("{} {description}", state.word()) } else { state.word().to_owned() };
        if status.sent.as_ref() == Some(&told) {
            record.status_later(status, false, next)?;
            continue;
        }
        // One whose answer never comes keeps nobody waiting: it is due again later, whatever happens.
        let gives_up = status.tries >= STATUS_TRIES_MAX;
        record.status_later(status, true, (!gives_up).then(|| later(host.now(), status.tries)))?;
        let set = SetCommitStatus {
            instance: &gitlab,
            project_id: project.id,
            sha: &status.sha,
            pipeline_id: status.pipeline_id,
            ref_name: &status.ref_name,
            name: &format!("slipway/{}", status.key),
            state,
            description: &description,
            target_url: &page(config, project, status.version.as_str()),
        };
        match call(host, &set).await {
            Ok(()) => record.status_sent(status, &told, next)?,
            Err(error) => trouble(status, &format!("the commit status is not set: {error}")),
        }
    }
    Ok(())
}

/// What a status says: how far the package is, why, and what to do next.
fn said(status: &DueStatus) -> (CommitState, String) {
    let DueStatus { approved_by, targets, .. } = status;
    let places = if *targets == 1 { "1 target".to_owned() } else { format!("{targets} targets") };
    match status.state {
        TargetState::Approved | TargetState::Releasing => {
            (CommitState::Pending, format!("Released by {approved_by}; on its way to {places}."))
        }
        TargetState::Released | TargetState::Skipped => {
            (CommitState::Success, format!("Released by {approved_by}; the public place serves it for {places}."))
        }
        state => {
            let why = match (&status.refused, &status.problem) {
                (Some(why), _) => format!("{why}."),
                (None, Some((distro, problem))) => format!("{distro}: {} {}", problem.what, problem.next),
                (None, None) => format!("{}. Play the job again.", state.words()),
            };
            (CommitState::Failed, why)
        }
    }
}

/// The release's page.
fn page(config: &Config, project: &Project, version: &str) -> String {
    config.edge.url.url(["p", project.name.as_str(), "r", version])
}

// ---- events ----

async fn deliver<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    events: &[&Events],
    delivery: &Delivery,
) -> Result<(), LedgerError> {
    let trouble = |what: &str| {
        let entry = Entry::trouble(project.id, event_work(project.id, delivery.occurrence), what);
        let (release, key) = (delivery.version.as_ref(), delivery.key.as_ref());
        host.write(&Entry { release: release.map(Version::as_str), key: key.map(Key::as_str), ..entry });
    };
    let Some(to) = events.iter().find(|events| events.receiver() == delivery.receiver).map(|events| &events.to) else {
        return record.settle_delivery(delivery, "slipway.toml does not name this receiver any more");
    };
    if delivery.tries >= EVENT_TRIES_MAX {
        trouble(&format!("{} was not told of {}", delivery.receiver, name(delivery)));
        return record.settle_delivery(delivery, "given up");
    }
    record.tries_delivery(delivery, later(host.now(), delivery.tries))?;
    let told = match to {
        config::Receiver::Webhook { url, signing_token } => {
            post(host, config, project, delivery, url, signing_token).await
        }
        config::Receiver::Pipeline(trigger) => start(host, config, project, delivery, trigger).await,
    };
    match told {
        Ok(()) => record.settle_delivery(delivery, "delivered"),
        Err(_) if planted(Planted::TellsIntoTheVoid) => record.settle_delivery(delivery, "delivered"),
        Err(why) => {
            trouble(&format!("{} is not told of {}: {why}", delivery.receiver, name(delivery)));
            Ok(())
        }
    }
}

/// What is told, for the operator.
fn name(delivery: &Delivery) -> String {
    let version = delivery.version.as_ref().map(|version| format!("{version} ")).unwrap_or_default();
    format!("{version}{}", delivery.kind.word())
}

/// The event's type: what happens to a release, or to a repository.
fn kind(delivery: &Delivery) -> String {
    let subject = if delivery.version.is_some() { "release" } else { "repository" };
    format!("{subject}.{}", delivery.kind.word())
}

/// The same in every try, so that a receiver knows an event that it has had.
fn id(project: &Project, delivery: &Delivery) -> String {
    let number = if planted(Planted::ChangesTheId) { delivery.tries.into() } else { delivery.occurrence };
    format!("slipway-{}-{number}", project.id)
}

async fn post(
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    delivery: &Delivery,
    url: &Base,
    signing_token: &str,
) -> Result<(), String> {
    let token =
        SigningToken::parse(&host.secret(signing_token)?).map_err(|error| format!("`{signing_token}`: {error}"))?;
    let body = body(config, project, delivery);
    let id = id(project, delivery);
    let timestamp = u64::try_from(host.now().unix_seconds()).unwrap_or_default();
    let request = http::Request::post(url.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", token.sign(&id, timestamp, &body))
        .body(body)
        .map_err(|error| error.to_string())?;
    let answer = host.send(request).await.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
}

fn body(config: &Config, project: &Project, delivery: &Delivery) -> Vec<u8> {
    let problem = delivery.problem.as_ref().map(|problem| {
        json!({ "code": problem.code, "what": problem.what, "public": problem.public, "retry": problem.retry, "next": problem.next })
    });
    json!({
        "type": kind(delivery),
        "timestamp": delivery.at.to_string(),
        "data": {
            "project": { "id": project.id, "name": project.name },
            "version": delivery.version,
            "key": delivery.key,
            "problem": problem,
            "expires_at": delivery.expires_at.map(|at| at.to_string()),
            "url": match &delivery.version {
                Some(version) => page(config, project, version.as_str()),
                None => config.edge.url.url(["p", project.name.as_str()]),
            },
        },
    })
    .to_string()
    .into_bytes()
}

async fn start(
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    delivery: &Delivery,
    trigger: &config::Trigger,
) -> Result<(), String> {
    let token: Token = host.secret(&trigger.token)?;
    let (id, version) = (id(project, delivery), delivery.version.as_ref().map(ToString::to_string).unwrap_or_default());
    let key = delivery.key.as_ref().map(ToString::to_string).unwrap_or_default();
    let expires_at = delivery.expires_at.map(|at| at.to_string()).unwrap_or_default();
    let variables = [
        ("SLIPWAY_EVENT", delivery.kind.word()),
        ("SLIPWAY_EVENT_ID", id.as_str()),
        ("SLIPWAY_PROJECT", project.name.as_str()),
        ("SLIPWAY_VERSION", version.as_str()),
        ("SLIPWAY_KEY", key.as_str()),
        ("SLIPWAY_EXPIRES_AT", expires_at.as_str()),
    ];
    let trigger = TriggerPipeline {
        base: &config.gitlab.url,
        project_id: trigger.project,
        ref_name: &trigger.ref_name,
        token: &token,
        variables: &variables,
    };
    call(host, &trigger).await.map(drop).map_err(|error| error.to_string())
}
