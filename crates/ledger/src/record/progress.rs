//! What promotions saw.

use std::collections::BTreeMap;

use slipway_core::api::Attempt;
use slipway_core::cargo::tag_of;
use slipway_core::promotion::Order;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::store::Floated;
use slipway_core::time::Timestamp;
use slipway_wire::{Digest, Planted, planted};

use super::{LedgerError, Record, named_target, parse, subject};
use crate::sql::{Sql, Value};

/// Adds the floating tags that were set, or taken away, to a row's details. An image's row says so, too, where there were none:
/// a row that does not is older than this.
pub(super) fn floated(details: &mut serde_json::Value, target: &str, floating: &[Floated]) {
    let is_told = tag_of(target).is_some() || !floating.is_empty();
    if let (true, Some(details)) = (is_told, details.as_object_mut()) {
        details.insert("floating".to_owned(), serde_json::json!(floating));
    }
}

impl<S: Sql> Record<S> {
    /// Takes over what a package's object saw of a target; whether that changed anything. A report of an older approval is
    /// ignored, and so is one that a later report has overtaken, and a change of a state that is final.
    pub fn settle(
        &self,
        version: &Version,
        key: &Key,
        approval: u64,
        report: &Report,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT state, approval, step, problem, heard FROM targets WHERE version = ? AND key = ? AND distro = ?",
                &[version.as_str().into(), key.as_str().into(), report.distro.as_str().into()],
            )?;
            let Some(row) = rows.first() else {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            };
            let before: TargetState = parse(row.text(0)?)?;
            let current = matches!(row.0.get(1), Some(Value::Integer(id)) if u64::try_from(*id).ok() == Some(approval));
            if !current || !before.is_moving() && !planted(Planted::OverwritesWhatIsFinal) {
                return Ok(false);
            }
            if report.number < row.natural(4)? {
                return Ok(false);
            }
            let tried = self.add_attempts(version, key, report)?;
            self.0.query(
                "UPDATE targets SET told_at = ?, heard = ? WHERE version = ? AND key = ? AND distro = ?",
                &[
                    now.0.into(),
                    report.number.into(),
                    version.as_str().into(),
                    key.as_str().into(),
                    report.distro.as_str().into(),
                ],
            )?;
            // One that waits for a slot again, after a copy that broke, is still on its way.
            let waits_again = before == TargetState::Releasing
                && report.state == TargetState::Approved
                && report.problem.is_none();
            if waits_again {
                return self.bumped(version, tried);
            }
            let step = report.step.map(|step| serde_json::to_string(&step)).transpose()?;
            let problem = report.problem.as_ref().map(serde_json::to_string).transpose()?;
            let same = before == report.state
                && row.text_or_null(2)? == step.as_deref()
                && row.text_or_null(3)? == problem.as_deref();
            if same {
                return self.bumped(version, tried);
            }
            self.set(version, key, report, now)?;
            // Whoever has looked last says that nothing of it is public: then nothing of what was begun is left.
            if report.problem.as_ref().is_some_and(|problem| problem.public == "none") && !report.state.is_moving() {
                self.0.query(
                    "UPDATE targets SET begun = 0 WHERE version = ? AND key = ? AND distro = ?",
                    &[version.as_str().into(), key.as_str().into(), report.distro.as_str().into()],
                )?;
            }
            if before == report.state {
                return self.bumped(version, true);
            }
            let code = report.problem.as_ref().map(|problem| problem.code.as_str());
            let (word, name) = named_target(&report.distro);
            let mut details = serde_json::json!({
                (word): name, "approval": approval, "digest": digest, "before": before.code(), "problem": code,
                "outside": report.outside,
            });
            if report.state != TargetState::Releasing {
                floated(&mut details, &report.distro, &report.floating);
            }
            // In the audit only a person approves.
            let action = if report.state == TargetState::Approved { "waits" } else { report.state.code() };
            self.change(version, "edge", action, &subject(version, key), &details, now)?;
            if report.state == TargetState::Released {
                self.attest_later(version, key, approval, report, now)?;
            }
            Ok(true)
        })
    }

    /// Writes down how far a target is. Every change but an approval comes here, so here others are told of it.
    pub(super) fn set(&self, version: &Version, key: &Key, report: &Report, now: Timestamp) -> Result<(), LedgerError> {
        let before = self.before_change(version, key, &report.distro)?;
        self.0.query(
            "UPDATE targets SET since = CASE WHEN state = ? THEN since ELSE ? END, state = ?, step = ?, problem = ?, outside = ?
             WHERE version = ? AND key = ? AND distro = ?",
            &[
                report.state.code().into(),
                now.0.into(),
                report.state.code().into(),
                report.step.map(|step| serde_json::to_string(&step)).transpose()?.into(),
                report.problem.as_ref().map(serde_json::to_string).transpose()?.into(),
                i64::from(report.outside).into(),
                version.as_str().into(),
                key.as_str().into(),
                report.distro.as_str().into(),
            ],
        )?;
        if matches!(report.state, TargetState::Missing | TargetState::Released) {
            self.forget_gone(version, key, now)?;
        }
        self.changed(version, key, before.as_ref(), report, now)
    }

    fn bumped(&self, version: &Version, changed: bool) -> Result<bool, LedgerError> {
        if changed {
            self.bump(version)?;
        }
        Ok(changed)
    }

    /// Adds what the record does not have of a target's attempts; whether that is anything.
    fn add_attempts(&self, version: &Version, key: &Key, report: &Report) -> Result<bool, LedgerError> {
        let mut is_new = false;
        for attempt in &report.attempts {
            let added = self.0.query(
                "INSERT OR IGNORE INTO attempts (version, key, distro, approval, number, attempt)
                 VALUES (?, ?, ?, ?, ?, ?) RETURNING number",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    report.distro.as_str().into(),
                    attempt.approval.into(),
                    u64::from(attempt.number).into(),
                    serde_json::to_string(attempt)?.into(),
                ],
            )?;
            is_new |= !added.is_empty();
        }
        Ok(is_new)
    }

    /// Orders of targets that are on their way and of which nothing was heard since `quiet_since`: something may have to
    /// be woken that drives them. What was heard after `now` was heard when the clock was wrong.
    pub fn unheard(&self, project_id: u64, quiet_since: Timestamp, now: Timestamp) -> Result<Vec<Order>, LedgerError> {
        let rows = self.0.query(
            "SELECT version, key, approval, distro FROM targets
             WHERE state IN ('approved', 'releasing') AND approval IS NOT NULL
             AND (COALESCE(told_at, since) <= ? OR COALESCE(told_at, since) > ?)
             ORDER BY version, key, approval, distro LIMIT 500",
            &[quiet_since.0.into(), now.0.into()],
        )?;
        let mut quiet: BTreeMap<(Version, Key, u64), Vec<String>> = BTreeMap::new();
        for row in &rows {
            let package = (parse(row.text(0)?)?, parse(row.text(1)?)?, row.natural(2)?);
            quiet.entry(package).or_default().push(row.text(3)?.to_owned());
        }
        quiet
            .iter()
            .map(|((version, key, approval), distros)| self.order(version, key, *approval, project_id, distros))
            .collect()
    }

    /// Whether anything is on its way.
    pub fn is_moving(&self) -> Result<bool, LedgerError> {
        let rows = self.0.query("SELECT 1 FROM targets WHERE state IN ('approved', 'releasing') LIMIT 1", &[])?;
        Ok(!rows.is_empty())
    }

    /// Everything that was tried for one target, the oldest first.
    pub fn attempts(&self, version: &Version, key: &Key, distro: &str) -> Result<Vec<Attempt>, LedgerError> {
        let rows = self.0.query(
            "SELECT attempt FROM attempts WHERE version = ? AND key = ? AND distro = ? ORDER BY approval, number",
            &[version.as_str().into(), key.as_str().into(), distro.into()],
        )?;
        rows.iter().map(|row| Ok(serde_json::from_str(row.text(0)?)?)).collect()
    }
}
