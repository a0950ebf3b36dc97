//! What was done, newest first, and what runs where. Both are read for pages: an export of the audit is whole, and is checked.

use slipway_core::api::{self, ActivityRow, DeploymentRow};
use slipway_core::config::{Config, Project};
use slipway_core::query::{ACTIVITY_ROWS_MAX, ActivityQuery};
use slipway_core::release::{Key, Version};
use slipway_core::time::Timestamp;

use super::reading::web;
use super::{LedgerError, Record, parse};
use crate::sql::{Row, Sql, Value};

/// How many rows one answer looks at, whatever it is to find. Nothing leads to the rows of one person or package, and a long
/// audit has millions: whoever wants older ones asks again.
const LOOKED_AT_MAX: u64 = 20_000;
/// How many deployments are told of.
const DEPLOYMENTS_MAX: u64 = 200;

impl<S: Sql> Record<S> {
    /// The newest rows of the audit that are asked for, `count` at most.
    pub fn activity(
        &self,
        project: &Project,
        query: &ActivityQuery,
        count: u64,
        now: Timestamp,
    ) -> Result<api::Activity, LedgerError> {
        let count = count.clamp(1, ACTIVITY_ROWS_MAX);
        let last = self.0.query("SELECT COALESCE(MAX(sequence), 0) FROM audit", &[])?;
        let last = last.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default();
        // Rows are numbered without gaps.
        let newest = query.before.map_or(last, |before| before.saturating_sub(1).min(last));
        let oldest = newest.saturating_sub(LOOKED_AT_MAX - 1).max(1);
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let moment = |moment: Option<Timestamp>| moment.map_or(Value::Null, |moment| moment.0.into());
        let rows = self.0.query(
            // What is below `1.2.0` begins with `1.2.0/`, and `0` follows `/`: so `1.2.0-rc1` is not below it.
            "SELECT sequence, at, actor, action, subject, details FROM audit
             WHERE sequence BETWEEN ?1 AND ?2
             AND (?3 IS NULL OR actor = ?3 OR actor = 'user:' || ?3 OR substr(actor, -length(' user:' || ?3)) = ' user:' || ?3)
             AND (?4 IS NULL OR action = ?4)
             AND (?5 IS NULL OR subject = ?5 OR (subject >= ?5 || '/' AND subject < ?5 || '0'))
             AND (?6 IS NULL OR at >= ?6) AND (?7 IS NULL OR at < ?7)
             ORDER BY sequence DESC LIMIT ?8",
            &[
                oldest.into(),
                newest.into(),
                text(&query.actor),
                text(&query.action),
                text(&query.subject),
                moment(query.from),
                moment(query.to),
                (count + 1).into(),
            ],
        )?;
        let mut rows: Vec<ActivityRow> = rows.iter().map(row_of).collect::<Result<_, _>>()?;
        let more = u64::try_from(rows.len()).unwrap_or(u64::MAX) > count;
        rows.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        let older = match rows.last() {
            Some(row) if more => Some(row.sequence),
            _ => Some(oldest).filter(|oldest| *oldest > 1),
        };
        Ok(api::Activity { project: shown(project), at: now.to_string(), rows, older })
    }

    /// What may concern a package, newest first: the rows of its own, those of its release as a whole, and since that was
    /// planned those of the switches. Which targets and packages a row names is for the reader to see.
    pub fn timeline(&self, version: &Version, key: &Key) -> Result<Vec<ActivityRow>, LedgerError> {
        let rows = self.0.query(
            "SELECT sequence, at, actor, action, subject, details FROM audit
             WHERE sequence > (SELECT COALESCE(MAX(sequence), 0) FROM audit) - ?1
             AND (subject IN (?2, ?2 || '/' || ?3)
                OR (action IN ('stopped', 'started') AND at >= (SELECT created_at FROM releases WHERE version = ?2)))
             ORDER BY sequence DESC LIMIT ?4",
            &[LOOKED_AT_MAX.into(), version.as_str().into(), key.as_str().into(), ACTIVITY_ROWS_MAX.into()],
        )?;
        rows.iter().map(row_of).collect()
    }

    /// What runs where, as was said: what runs now, then what ran.
    pub fn deployments(
        &self,
        config: &Config,
        project: &Project,
        now: Timestamp,
    ) -> Result<api::Deployments, LedgerError> {
        let rows = self.0.query(
            "SELECT d.environment, d.version, d.at, d.told_by, d.pipeline_id, i.project_path,
                 d.version = (SELECT l.version FROM deployments l WHERE l.environment = d.environment
                     ORDER BY COALESCE(l.done_at, l.at) DESC, l.at DESC, l.version DESC LIMIT 1) AS is_current
             FROM deployments d LEFT JOIN pipelines i ON i.version = d.version AND i.id = d.pipeline_id
             ORDER BY is_current DESC, CASE WHEN is_current THEN d.environment END, COALESCE(d.done_at, d.at) DESC,
                 d.environment, d.version, d.pipeline_id LIMIT ?",
            &[DEPLOYMENTS_MAX.into()],
        )?;
        let rows = rows.iter().map(|row| {
            let pipeline_url = row.text_or_null(5)?;
            let pipeline_id = row.natural(4)?;
            Ok(DeploymentRow {
                environment: row.text(0)?.to_owned(),
                version: parse(row.text(1)?)?,
                at: Timestamp(row.integer(2)?).to_string(),
                is_current: row.integer(6)? != 0,
                by: row.text_or_null(3)?.unwrap_or_default().to_owned(),
                pipeline_url: pipeline_url.map(|path| web(config, path, "pipelines", pipeline_id)),
            })
        });
        let rows = rows.collect::<Result<_, LedgerError>>()?;
        Ok(api::Deployments { project: shown(project), at: now.to_string(), rows })
    }
}

pub(super) fn shown(project: &Project) -> api::Project {
    api::Project { id: project.id, name: project.name.to_string() }
}

fn row_of(row: &Row) -> Result<ActivityRow, LedgerError> {
    Ok(ActivityRow {
        sequence: row.natural(0)?,
        at: Timestamp(row.integer(1)?).to_string(),
        actor: row.text(2)?.to_owned(),
        action: row.text(3)?.to_owned(),
        subject: row.text(4)?.to_owned(),
        details: row.text(5)?.to_owned(),
    })
}
