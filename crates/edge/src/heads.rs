//! Heads of the audit: what is signed of it, and when.
//!
//! A head that is late harms nobody and stops nothing. What cannot be signed now, for a secret that is not set, is tried again
//! and told in the log; `readyz` fails, and `slipway_audit_unsigned_seconds` grows.

use slipway_core::audit::Head;
use slipway_core::config::Config;
use slipway_core::log::{Entry, audit_work};
use slipway_core::signing::SigningError;
use slipway_core::time::Timestamp;
use slipway_ledger::{LedgerError, Record, Sql, audit};

use crate::port::ProjectHost;
use crate::project::SWEEP;

/// When the next head is due. `None` while every row is under one, where nothing is signed, and of an imported audit that
/// nobody has compared and started.
pub fn due<S: Sql>(record: &Record<S>, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
    if config.edge.signing_key.is_none() || record.project_id()?.is_none() || record.awaits_start()? {
        return Ok(None);
    }
    Ok(audit::head_due(record.sql(), now)?)
}

/// For how long the oldest row has been written that no head proves. Zero while every row is under one; `None` where nothing is
/// signed.
pub fn unsigned_seconds<S: Sql>(
    record: &Record<S>,
    config: &Config,
    now: Timestamp,
) -> Result<Option<u64>, LedgerError> {
    if config.edge.signing_key.is_none() || record.project_id()?.is_none() || record.awaits_start()? {
        return Ok(None);
    }
    Ok(Some(audit::unsigned_since(record.sql())?.map_or(0, |since| now.since(since).as_secs())))
}

/// Signs the head that is due. Says when to try again what could not be signed.
pub async fn sign<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
) -> Result<Option<Timestamp>, LedgerError> {
    let now = host.now();
    let Some(project) = record.project_id()?.filter(|_| config.edge.signing_key.is_some()) else { return Ok(None) };
    if due(record, config, now)?.is_none_or(|due_at| due_at > now) {
        return Ok(None);
    }
    let Some((sequence, hash)) = audit::last(record.sql())? else { return Ok(None) };
    let head = Head { edge: config.edge.url.clone(), project, sequence, hash, at: now };
    let signed = async {
        let signer = host.signer().await?.ok_or_else(|| SigningError("there is no signing key".to_owned()))?;
        head.sign(&signer).await
    };
    match signed.await {
        Ok(note) => audit::keep_head(record.sql(), &head, &note.to_string())?,
        Err(error) => {
            let what = format!("the audit's row {sequence} cannot be signed: {error}");
            host.write(&Entry::trouble(project, audit_work(project), &what));
            return Ok(Some(host.now() + SWEEP));
        }
    }
    Ok(None)
}
