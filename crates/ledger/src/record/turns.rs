//! Gates that open or close by time alone: nobody does anything then, and those who follow the release are told all the same.
//!
//! The moment is worked out anew only when something of the release has changed since, or the policy has, so that an alarm that
//! finds nothing changed asks one question. Nothing is written in the audit: nobody has acted.

use std::time::Duration;

use slipway_core::config::{Config, Project};
use slipway_core::gate::turns;
use slipway_core::release::{Key, Version};
use slipway_core::time::Timestamp;

use super::{LedgerError, Record, parse};
use crate::sql::{Sql, Value};

/// Of a release that was begun longer ago nobody waits for a gate.
const OPEN_FOR: Duration = Duration::from_hours(60 * 24);

impl<S: Sql> Record<S> {
    /// Gives a new sequence number to the releases of which a gate has opened or closed by now; those, and when that happens
    /// next to any.
    pub fn turn(
        &self,
        config: &Config,
        project: &Project,
        now: Timestamp,
    ) -> Result<(Vec<Version>, Option<Timestamp>), LedgerError> {
        self.0.atomically(|| {
            let turned = self.0.query("DELETE FROM turns WHERE at <= ? RETURNING version", &[now.0.into()])?;
            let turned: Vec<Version> = turned.iter().map(|row| parse(row.text(0)?)).collect::<Result<_, _>>()?;
            for version in &turned {
                self.bump(version)?;
            }
            let policy = config.policy.to_string();
            let open: [Value; 2] = [(now - OPEN_FOR).0.into(), policy.as_str().into()];
            self.0.query(
                "DELETE FROM turns WHERE version NOT IN
                     (SELECT version FROM releases WHERE closed_at IS NULL AND created_at > ?)",
                &open[..1],
            )?;
            let changed = self.0.query(
                "SELECT r.version, r.sequence FROM releases r LEFT JOIN turns t ON t.version = r.version
                 WHERE r.closed_at IS NULL AND r.created_at > ?
                 AND (t.version IS NULL OR t.sequence <> r.sequence OR t.policy <> ?) ORDER BY r.version",
                &open,
            )?;
            for row in &changed {
                let version: Version = parse(row.text(0)?)?;
                let at = self.turns_at(config, project, &version, now)?;
                self.0.query(
                    "INSERT INTO turns (version, sequence, policy, at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (version) DO UPDATE SET sequence = ?2, policy = ?3, at = ?4",
                    &[
                        version.as_str().into(),
                        row.integer(1)?.into(),
                        policy.as_str().into(),
                        at.map_or(Value::Null, |at| at.0.into()),
                    ],
                )?;
            }
            let next = self.0.query("SELECT at FROM turns WHERE at IS NOT NULL ORDER BY at LIMIT 1", &[])?;
            Ok((turned, next.first().map(|row| row.integer(0)).transpose()?.map(Timestamp)))
        })
    }

    /// When the gates of any package of a release that waits to be released open or close next.
    fn turns_at(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query(
            "SELECT DISTINCT key FROM targets
             WHERE version = ? AND state IN ('staged', 'approved', 'conflict', 'failed') ORDER BY key",
            &[version.as_str().into()],
        )?;
        let mut first: Option<Timestamp> = None;
        for row in &rows {
            let key: Key = parse(row.text(0)?)?;
            let mut gates = config.gates(project.name.as_str(), version, &key);
            gates.retain(|gate| gate.soak.is_some() || !gate.freeze.is_empty());
            if gates.is_empty() {
                continue;
            }
            let facts = self.gate_facts(version, &key, None)?;
            let turn = facts.and_then(|facts| turns(&gates, &facts, now));
            first = first.into_iter().chain(turn).min();
        }
        Ok(first)
    }
}
