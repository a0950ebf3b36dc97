//! What promotions saw.

use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::{LedgerError, Record, parse, subject};
use crate::sql::{Sql, Value};

impl<S: Sql> Record<S> {
    /// Takes over what a package's object saw of a target; whether that changed anything. A report of an older approval is
    /// ignored, and so is a change of a state that is final.
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
                "SELECT state, approval, step, problem FROM targets WHERE version = ? AND key = ? AND distro = ?",
                &[version.as_str().into(), key.as_str().into(), report.distro.as_str().into()],
            )?;
            let Some(row) = rows.first() else {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            };
            let before: TargetState = parse(row.text(0)?)?;
            let current = matches!(row.0.get(1), Some(Value::Integer(id)) if u64::try_from(*id).ok() == Some(approval));
            // One that waits for a slot again, after a copy that broke, is still on its way.
            let waits_again = before == TargetState::Releasing && report.state == TargetState::Approved;
            if !current || !before.is_moving() || waits_again {
                return Ok(false);
            }
            let step = report.step.map(|step| serde_json::to_string(&step)).transpose()?;
            let problem = report.problem.as_ref().map(serde_json::to_string).transpose()?;
            let same = before == report.state
                && row.text_or_null(2)? == step.as_deref()
                && row.text_or_null(3)? == problem.as_deref();
            if same {
                return Ok(false);
            }
            self.set(version, key, report, now)?;
            if before == report.state {
                self.bump(version)?;
                return Ok(true);
            }
            let code = report.problem.as_ref().map(|problem| problem.code.as_str());
            let details = serde_json::json!({
                "distro": report.distro, "approval": approval, "digest": digest, "before": before.code(), "problem": code,
            });
            self.change(version, "edge", report.state.code(), &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    pub(super) fn set(&self, version: &Version, key: &Key, report: &Report, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE targets SET since = CASE WHEN state = ? THEN since ELSE ? END, state = ?, step = ?, problem = ?
             WHERE version = ? AND key = ? AND distro = ?",
            &[
                report.state.code().into(),
                now.0.into(),
                report.state.code().into(),
                report.step.map(|step| serde_json::to_string(&step)).transpose()?.into(),
                report.problem.as_ref().map(serde_json::to_string).transpose()?.into(),
                version.as_str().into(),
                key.as_str().into(),
                report.distro.as_str().into(),
            ],
        )?;
        Ok(())
    }
}
