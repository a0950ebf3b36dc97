//! What happens to releases and is told to others: written down with the change that it tells of, in one transaction, and
//! open until each receiver has it.
//!
//! What happens has a name, so it is written down once however often it is seen. Whom to tell is a setting, which the
//! record does not have: an occurrence is spread over its receivers when the alarm next comes.

use std::time::Duration;

use slipway_core::api;
use slipway_core::config::EventKind;
use slipway_core::problem::Code;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::time::Timestamp;

use super::{LedgerError, Record, coded, parse};
use crate::sql::Sql;

/// How long it is kept what was told. That a release is complete is kept for ever: it is told once.
const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// Somebody who is told, by a name that stays while the settings around it change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The name.
    pub name: String,
    /// What is told.
    pub kinds: Vec<EventKind>,
}

/// One event for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The occurrence's number. With the project's it makes an id that is the same in every try.
    pub occurrence: u64,
    /// Who is told.
    pub receiver: String,
    /// How often it was tried.
    pub tries: u32,
    /// What happened.
    pub kind: EventKind,
    /// To which release. `None` for what belongs to none.
    pub version: Option<Version>,
    /// To which of its packages.
    pub key: Option<Key>,
    /// What is wrong with it.
    pub problem: Option<api::Problem>,
    /// When it happened.
    pub at: Timestamp,
    /// When staging's copy is deleted at the earliest, of a deletion that is announced.
    pub expires_at: Option<Timestamp>,
}

/// A target before a change.
pub(super) struct BeforeChange {
    state: TargetState,
    code: Option<String>,
    approval: Option<i64>,
}

impl<S: Sql> Record<S> {
    pub(super) fn before_change(
        &self,
        version: &Version,
        key: &Key,
        distro: &str,
    ) -> Result<Option<BeforeChange>, LedgerError> {
        let rows = self.0.query(
            "SELECT state, problem, approval FROM targets WHERE version = ? AND key = ? AND distro = ?",
            &[version.as_str().into(), key.as_str().into(), distro.into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let problem: Option<api::Problem> = row.text_or_null(1)?.map(serde_json::from_str).transpose()?;
        let approval = row.integer_or_null(2)?;
        Ok(Some(BeforeChange { state: parse(row.text(0)?)?, code: problem.map(|problem| problem.code), approval }))
    }

    /// Writes down what a change of a target means for others.
    pub(super) fn changed(
        &self,
        version: &Version,
        key: &Key,
        before: Option<&BeforeChange>,
        report: &Report,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let Some(before) = before else { return Ok(()) };
        let code = report.problem.as_ref().map(|problem| problem.code.as_str());
        if before.state == report.state && before.code.as_deref() == code {
            return Ok(());
        }
        if let Some(kind) = needs(report) {
            // All targets of a package that stop under one approval are one matter for one person.
            let occasion = match before.approval {
                Some(approval) if before.state.is_moving() => format!("approval {approval}"),
                _ => format!("at {}", now.0),
            };
            let name = format!("{} {version}/{key} {occasion}", kind.word());
            self.occurred(&name, kind, Some(version), Some(key), report.problem.as_ref(), now)?;
        }
        if report.state == TargetState::Released && before.state != TargetState::Released {
            let left = self.0.query(
                "SELECT 1 FROM targets WHERE version = ? AND state NOT IN ('released', 'skipped') LIMIT 1",
                &[version.as_str().into()],
            )?;
            if left.is_empty() {
                let kind = EventKind::Complete;
                self.occurred(&format!("{} {version}", kind.word()), kind, Some(version), None, None, now)?;
            }
        }
        Ok(())
    }

    pub(super) fn occurred(
        &self,
        name: &str,
        kind: EventKind,
        version: Option<&Version>,
        key: Option<&Key>,
        problem: Option<&api::Problem>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT OR IGNORE INTO occurrences (name, kind, version, key, problem, at, is_spread)
             VALUES (?, ?, ?, ?, ?, ?, 0)",
            &[
                name.into(),
                kind.word().into(),
                version.map_or("", Version::as_str).into(),
                key.map(Key::as_str).into(),
                problem.map(serde_json::to_string).transpose()?.into(),
                now.0.into(),
            ],
        )?;
        Ok(())
    }

    /// Writes down that a package's deletion is announced, and when it is deleted at the earliest: what is told is that, however
    /// late it is told.
    pub(super) fn announced(
        &self,
        version: &Version,
        key: &Key,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let kind = EventKind::Announced;
        let name = format!("{} {version}/{key} at {}", kind.word(), now.0);
        self.occurred(&name, kind, Some(version), Some(key), None, now)?;
        self.0.query(
            "UPDATE occurrences SET expires_at = ? WHERE name = ?",
            &[expires_at.0.into(), name.as_str().into()],
        )?;
        Ok(())
    }

    /// Whether something has happened that was not given to its receivers yet.
    pub fn has_news(&self) -> Result<bool, LedgerError> {
        Ok(!self.0.query("SELECT 1 FROM occurrences WHERE is_spread = 0 LIMIT 1", &[])?.is_empty())
    }

    /// Gives each new occurrence to those who are to be told of it.
    pub fn spread(&self, receivers: &[Receiver], now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let rows =
                self.0.query("SELECT id, kind FROM occurrences WHERE is_spread = 0 ORDER BY id LIMIT 200", &[])?;
            for row in &rows {
                let (id, kind): (u64, EventKind) = (row.natural(0)?, coded(row.text(1)?)?);
                for receiver in receivers.iter().filter(|receiver| receiver.kinds.contains(&kind)) {
                    self.0.query(
                        "INSERT OR IGNORE INTO deliveries (occurrence, receiver, tries, due_at) VALUES (?, ?, 0, ?)",
                        &[id.into(), receiver.name.as_str().into(), now.0.into()],
                    )?;
                }
                self.0.query("UPDATE occurrences SET is_spread = 1 WHERE id = ?", &[id.into()])?;
            }
            Ok(())
        })
    }

    /// Events that are to be delivered now. None is put off beyond `latest`.
    pub fn due_deliveries(&self, now: Timestamp, latest: Timestamp) -> Result<Vec<Delivery>, LedgerError> {
        let rows = self.0.query(
            "SELECT d.occurrence, d.receiver, d.tries, o.kind, o.version, o.key, o.problem, o.at,
                o.expires_at
             FROM deliveries d JOIN occurrences o ON o.id = d.occurrence
             WHERE d.due_at <= ? OR d.due_at > ? ORDER BY d.due_at, d.occurrence, d.receiver LIMIT 50",
            &[now.0.into(), latest.0.into()],
        )?;
        rows.iter()
            .map(|row| {
                Ok(Delivery {
                    occurrence: row.natural(0)?,
                    receiver: row.text(1)?.to_owned(),
                    tries: u32::try_from(row.natural(2)?).unwrap_or(u32::MAX),
                    kind: coded(row.text(3)?)?,
                    version: Some(row.text(4)?).filter(|version| !version.is_empty()).map(parse).transpose()?,
                    key: row.text_or_null(5)?.map(parse).transpose()?,
                    problem: row.text_or_null(6)?.map(serde_json::from_str).transpose()?,
                    at: Timestamp(row.integer(7)?),
                    expires_at: row.integer_or_null(8)?.map(Timestamp),
                })
            })
            .collect()
    }

    /// When the next event is to be delivered or spread, at the latest at `latest`.
    pub fn next_delivery(&self, now: Timestamp, latest: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        if self.has_news()? {
            return Ok(Some(now));
        }
        let rows =
            self.0.query("SELECT due_at FROM deliveries WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1", &[])?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(|due_at| Timestamp(due_at).min(latest)))
    }

    /// A delivery is tried now, and again at `due_at` unless it is settled before: so one whose answer never comes keeps
    /// nobody waiting.
    pub fn tries_delivery(&self, delivery: &Delivery, due_at: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE deliveries SET tries = tries + 1, due_at = ? WHERE occurrence = ? AND receiver = ?",
            &[due_at.0.into(), delivery.occurrence.into(), delivery.receiver.as_str().into()],
        )?;
        Ok(())
    }

    /// A receiver has its event, or will not have it.
    pub fn settle_delivery(&self, delivery: &Delivery, outcome: &str) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE deliveries SET due_at = NULL, outcome = ? WHERE occurrence = ? AND receiver = ?",
            &[outcome.into(), delivery.occurrence.into(), delivery.receiver.as_str().into()],
        )?;
        Ok(())
    }

    /// Forgets what was told long ago.
    pub fn forget_deliveries(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            self.0.query(
                "DELETE FROM deliveries WHERE due_at IS NULL AND occurrence IN (
                    SELECT id FROM occurrences WHERE at < ? AND is_spread = 1 ORDER BY id LIMIT 500)",
                &[(now - KEPT_FOR).0.into()],
            )?;
            // The newest stays: its number would be given to the next one, and whoever listens would take that for a repeat.
            self.0.query(
                "DELETE FROM occurrences WHERE at < ? AND is_spread = 1 AND kind <> 'complete'
                 AND id < (SELECT MAX(id) FROM occurrences)
                 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.occurrence = occurrences.id)",
                &[(now - KEPT_FOR).0.into()],
            )?;
            Ok(())
        })
    }
}

/// What a report means for a person.
fn needs(report: &Report) -> Option<EventKind> {
    let is_conflict =
        |problem: &api::Problem| problem.code == Code::Conflict.code() || problem.code == Code::StagingConflict.code();
    match report.state {
        TargetState::Conflict => Some(EventKind::Conflict),
        // What moves is tried again by itself, and what is left out is so on purpose.
        TargetState::Approved | TargetState::Releasing | TargetState::Skipped | TargetState::Withdrawn => None,
        _ if report.problem.as_ref().is_some_and(is_conflict) => Some(EventKind::Conflict),
        TargetState::Failed | TargetState::Missing | TargetState::Expired => Some(EventKind::NeedsPerson),
        TargetState::Expected | TargetState::Staged | TargetState::Released => {
            report.problem.as_ref().map(|_| EventKind::NeedsPerson)
        }
    }
}
