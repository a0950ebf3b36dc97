//! Signs what is to be attested of releases, and attaches it to images whose route asks for that.
//!
//! What is due is in the record since the release itself. A run that is cut off before it has written a signature down has
//! shown nobody anything, and the next one signs anew; after that what was signed is what is shown and attached, whatever
//! happens. An artifact is made of those bytes alone, so one that is attached again is the same.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::attestation::{ENVELOPE, PREDICATE, signed};
use slipway_core::cargo::tag_of;
use slipway_core::config::{Config, Project};
use slipway_core::log::{Entry, attestation_work};
use slipway_core::promotion::Slot;
use slipway_core::signing::{KeyName, SigningError};
use slipway_core::store::{Artifact, NotShipped};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_ledger::{Attachment, LedgerError, Record, Sql, Unsigned};
use slipway_wire::Digest;

use crate::account::{AskSlot, Ending, SlotEnded};
use crate::package;
use crate::port::{AttachingHost, in_time};
use crate::while_allowed::WhileAllowed;

/// When what could not be signed is tried again.
const SIGN_AGAIN: Duration = Duration::from_mins(1);
/// When it is looked again whether what is stopped may go on.
const STOPPED_AGAIN: Duration = Duration::from_secs(30);
/// The longest wait between two tries. What is due later was put off by a clock that was wrong.
const WAIT_MAX: Duration = Duration::from_mins(30);
/// How long an account is asked for a slot, and how long attaching may take: a project's alarm has other things to do. What
/// has arrived stays, so the next try goes on from there.
const SLOT_LIMIT: Duration = Duration::from_secs(2);
const ATTACH_LIMIT: Duration = Duration::from_secs(6);
/// Attaching is tried for about a day. What is attested can be downloaded meanwhile, and afterwards.
const TRIES_MAX: u32 = 56;

/// When the next is to be signed or attached. `None` where nothing is signed: what is due waits until there is a key, or until
/// an imported record is compared and started.
pub fn due<S: Sql>(record: &Record<S>, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
    if config.edge.signing_key.is_none() || record.awaits_start()? {
        return Ok(None);
    }
    record.next_attestation(now + WAIT_MAX)
}

/// Signs and attaches what is due.
pub async fn attest<S: Sql>(record: &Record<S>, host: &impl AttachingHost, config: &Config) -> Result<(), LedgerError> {
    let Some(project) = record.project_id()?.and_then(|id| config.project_of_id(id)) else { return Ok(()) };
    if due(record, config, host.now())?.is_none() {
        return Ok(());
    }
    sign_all(record, host, config, project).await?;
    // One in each run: a registry that is slow holds up nothing else for long.
    match record.due_attachment(host.now(), host.now() + WAIT_MAX)? {
        Some(due) => attach(record, host, config, project, &due).await,
        None => Ok(()),
    }
}

async fn sign_all<S: Sql>(
    record: &Record<S>,
    host: &impl AttachingHost,
    config: &Config,
    project: &Project,
) -> Result<(), LedgerError> {
    let due = record.unsigned(config, project, host.now(), host.now() + WAIT_MAX)?;
    if due.is_empty() {
        return Ok(());
    }
    let key = match host.signer().await {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(SigningError("there is no signing key".to_owned())),
        Err(error) => Err(error),
    };
    let trouble = |of: &Unsigned, what: &str| {
        let entry = Entry::trouble(project.id, attestation_work(project.id, of.id), what);
        host.write(&Entry { target: Some(&of.distro), ..entry.about(&of.version, &of.key) });
    };
    if let (Err(error), Some(first)) = (&key, due.first()) {
        trouble(first, &format!("{} attestations wait to be signed, first this one: {error}", due.len()));
    }
    let by = KeyName::of(&config.edge.url);
    for of in due {
        let (Ok(key), Some(statement)) = (&key, &of.statement) else {
            if key.is_ok() {
                trouble(&of, "it is not attested: slipway.toml no longer has its places");
            }
            record.sign_later(&of, host.now() + SIGN_AGAIN)?;
            continue;
        };
        let payload = statement.payload()?;
        let envelope = match signed(&payload, &by, key).await {
            Ok(envelope) => envelope,
            Err(error) => {
                trouble(&of, &format!("it is not attested: {error}"));
                record.sign_later(&of, host.now() + SIGN_AGAIN)?;
                continue;
            }
        };
        let asks = tag_of(&of.distro).is_some() && config.image_rules(&of.public).attest;
        let attach_at = asks.then(|| host.now());
        if record.attested(&of, &envelope, &Digest::of(&payload), attach_at, host.now())? {
            host.announce(&of.version);
        }
    }
    Ok(())
}

/// Attaches one attestation to its image, unless its repository is being written to.
async fn attach<S: Sql>(
    record: &Record<S>,
    host: &impl AttachingHost,
    config: &Config,
    project: &Project,
    due: &Attachment,
) -> Result<(), LedgerError> {
    let trouble = |what: &str| {
        let entry = Entry::trouble(project.id, attestation_work(project.id, due.id), what);
        host.write(&Entry { target: Some(&due.distro), ..entry.about(&due.version, &due.key) });
    };
    let place = &due.public.place;
    let Some(configured) = config.places.get(place) else {
        trouble(&format!("the attestation is not attached: slipway.toml no longer has the place `{place}`"));
        return record.attach_later(due, true, None);
    };
    if due.tries >= TRIES_MAX {
        trouble("the attestation is not attached; given up");
        return record.attach_later(due, false, None);
    }
    // To attach it is to publish it.
    if record.is_stopped()? {
        return record.attach_later(due, false, Some(host.now() + STOPPED_AGAIN));
    }
    // One whose answer never comes keeps nobody waiting: it is due again later, whatever happens.
    let again = host.now() + Duration::from_secs(2 << due.tries.min(10)).min(WAIT_MAX);
    record.attach_later(due, false, Some(again))?;
    let ask = AskSlot {
        package: package::name_of(project.id, &due.version, &due.key),
        distro: format!("{} attestation", due.distro),
        release: format!("{}/{}", project.id, due.version),
        maturity: config.versions.maturity(&due.version),
        // The name of a copy to this repository: where the registry keeps no list of referrers, both write it.
        name: due.public.repository.clone(),
        transfers: configured.transfers,
        asked_at: host.now(),
    };
    match in_time(host, SLOT_LIMIT, host.slot(place, &ask)).await {
        Some(Ok(Slot::Lent | Slot::LentLate)) => {}
        Some(Ok(Slot::Wait { ms } | Slot::CutOff { ms, .. })) => {
            let wait = Duration::from_millis(ms).min(WAIT_MAX);
            return record.attach_later(due, false, Some(host.now() + wait));
        }
        // An account that does not answer has perhaps lent the slot: whoever asks again has it.
        Some(Err(_)) | None => return Ok(()),
    }
    // It may have been stopped while the slot was waited for.
    let is_stopped = record.is_stopped()?;
    let how = if is_stopped {
        record.attach_later(due, false, Some(host.now() + STOPPED_AGAIN))?;
        Err(Trouble::passing("Slipway is stopped").into())
    } else {
        record.attach_later(due, true, Some(again))?;
        let how = in_time(host, ATTACH_LIMIT, send(record, host, due)).await;
        how.unwrap_or_else(|| Err(Trouble::passing("it took too long").into()))
    };
    let ending = match &how {
        Ok(_) => Ending::Sent,
        Err(why) => Ending::of(&Err(why.clone())),
    };
    let ended = SlotEnded { package: ask.package, distro: ask.distro, asked_at: ask.asked_at, ending };
    drop(host.slot_ended(place, &ended).await);
    match how {
        Ok(Some(artifact)) => {
            record.attached(due, &artifact, host.now())?;
            host.announce(&due.version);
        }
        Ok(None) => {
            let repository = &due.public.repository;
            trouble(&format!("{repository} has no {} to attach to", due.digest));
        }
        Err(why) => {
            let why = match why {
                NotShipped::Trouble(trouble) => trouble.to_string(),
                other => format!("{other:?}"),
            };
            trouble(&format!("the attestation is not attached: {why}"));
        }
    }
    Ok(())
}

async fn send<S: Sql>(
    record: &Record<S>,
    host: &impl AttachingHost,
    due: &Attachment,
) -> Result<Option<Digest>, NotShipped> {
    let store = host.open(&due.public).map_err(Trouble::passing)?;
    let annotations = BTreeMap::from([("in-toto.io/predicate-type".to_owned(), PREDICATE.to_owned())]);
    let artifact = Artifact { media_type: ENVELOPE, bytes: due.envelope.as_bytes(), annotations: &annotations };
    store.attach(&WhileAllowed { why_not: async || record.stopped(), http: host }, due.digest, artifact).await
}
