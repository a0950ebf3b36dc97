//! What gates are asked with, and what closes them: holds, overrides, deployments; and approvals that end before anything
//! was begun of them.
//!
//! The record says when an act may begin, in the transaction in which it writes that down. So a hold and an act that is
//! about to begin have an order, and what a hold finds begun is really under way.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::api;
use slipway_core::audit::person;
use slipway_core::cargo::{Cargo, TargetName};
use slipway_core::gate::{Facts, GateKind, Hold, Override, PipelineFacts, ShippedVersion};
use slipway_core::problem::{Code, Visible};
use slipway_core::promotion::May;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::{Report, skipped, skipped_when_begun};
use slipway_core::time::Timestamp;
use slipway_wire::{Digest, Planted, planted};

use super::{Held, LedgerError, Record, named_target, parse, subject};
use crate::sql::{Row, Sql, Value};

/// The key under which the release as a whole is held. No package can have it.
const WHOLE: &str = "";

/// A target that is about to be acted on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ask {
    /// The project.
    pub project_id: u64,
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The target.
    pub distro: String,
    /// The approval that it follows.
    pub approval: u64,
    /// The approved bytes.
    pub digest: Digest,
}

/// Why an approval is over before its package is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Something is in the way now.
    Blocked(String),
    /// It held until then.
    Lapsed(Timestamp),
    /// A name of its bytes was taken back, or is that of others.
    Withdrawn(String),
}

/// Gates that somebody opens for packages.
#[derive(Clone, Copy, Debug)]
pub struct GateOverride<'a> {
    /// The packages.
    pub keys: &'a [Key],
    /// The gates.
    pub gates: &'a [GateKind],
    /// GitLab's id of the person.
    pub by_id: u64,
    /// Who, as the audit names them.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// What an approval says of itself.
struct Given {
    by_id: Option<u64>,
    at: Timestamp,
}

impl<S: Sql> Record<S> {
    // ---- what gates are asked with ----

    /// What is known of a package. `None` when nobody expects it.
    pub fn gate_facts(
        &self,
        version: &Version,
        key: &Key,
        asked_by: Option<u64>,
    ) -> Result<Option<Facts>, LedgerError> {
        let at: [Value; 2] = [version.as_str().into(), key.as_str().into()];
        let rows = self.0.query(
            "SELECT pipeline_id, staged_at, first_staged_at, digest, filename FROM packages WHERE version = ? AND key = ?",
            &at,
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (pipeline_id, staged_at) = (row.natural(0)?, moment_or_null(row, 1)?);
        let states = self.0.query(
            "SELECT key, MAX(state IN ('expected', 'missing', 'expired')) FROM targets WHERE version = ? AND state <> 'skipped'
             GROUP BY key ORDER BY key",
            &at[..1],
        )?;
        let mut unstaged = Vec::new();
        for state in &states {
            if state.integer(1)? != 0 {
                unstaged.push(parse(state.text(0)?)?);
            }
        }
        let deployed = match moment_or_null(row, 2)? {
            Some(staged) => self.deployed_since(version, pipeline_id, staged)?,
            None => BTreeMap::new(),
        };
        let overrides = self.0.query(
            "SELECT gate, by_id FROM overrides WHERE version = ? AND key = ? AND digest = ? ORDER BY gate, by_id",
            &[at[0].clone(), at[1].clone(), row.text_or_null(3)?.unwrap_or_default().into()],
        )?;
        let overrides = overrides.iter().map(|row| Ok(Override { gate: kind(row.text(0)?)?, by: row.natural(1)? }));
        let holds = self.holds(version)?.into_iter().filter(|(held, _)| held.as_ref().is_none_or(|held| held == key));
        Ok(Some(Facts {
            pipeline_id,
            packages: states.len(),
            unstaged,
            staged_at,
            deployed,
            pipeline: self.pipeline_facts(pipeline_id)?.map(|(_, facts)| facts),
            own: row.text_or_null(4)?.map(|named| self.shipped(version, key, named, None)).transpose()?.flatten(),
            released: self.released_of(version, key)?,
            asked_by,
            holds: holds.map(|(_, hold)| hold).collect(),
            overrides: overrides.collect::<Result<_, LedgerError>>()?,
        }))
    }

    /// The version of what is declared for a package; of an image by those of its tags that are in a state, or by all.
    pub(super) fn shipped(
        &self,
        version: &Version,
        key: &Key,
        named: &str,
        state: Option<TargetState>,
    ) -> Result<Option<ShippedVersion>, LedgerError> {
        if let Cargo::File(filename) = parse(named)? {
            return Ok(ShippedVersion::of_file(&filename));
        }
        let mut tags = Vec::new();
        for (target, found) in self.states(version, key)? {
            if let TargetName::Tag(tag) = parse(&target)?
                && state.is_none_or(|state| state == found)
            {
                tags.push(tag);
            }
        }
        Ok(ShippedVersion::of_tags(tags))
    }

    /// The versions that other releases of the project have made public under a key.
    fn released_of(&self, version: &Version, key: &Key) -> Result<Vec<ShippedVersion>, LedgerError> {
        let rows = self.0.query(
            "SELECT p.version, p.filename FROM packages p WHERE p.key = ? AND p.version <> ? AND p.filename IS NOT NULL AND EXISTS
                 (SELECT 1 FROM targets t WHERE t.version = p.version AND t.key = p.key AND t.state = 'released')
             ORDER BY p.version",
            &[key.as_str().into(), version.as_str().into()],
        )?;
        let mut released = Vec::new();
        for row in &rows {
            released.extend(self.shipped(&parse(row.text(0)?)?, key, row.text(1)?, Some(TargetState::Released))?);
        }
        Ok(released)
    }

    /// Where bytes run that were staged at a time: what was deployed before cannot be they.
    fn deployed_since(
        &self,
        version: &Version,
        pipeline_id: u64,
        staged: Timestamp,
    ) -> Result<BTreeMap<String, Timestamp>, LedgerError> {
        let rows = self.0.query(
            "SELECT environment, MIN(at) FROM deployments WHERE version = ? AND pipeline_id IN (0, ?) AND at >= ?
             GROUP BY environment ORDER BY environment",
            &[version.as_str().into(), pipeline_id.into(), staged.0.into()],
        )?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), Timestamp(row.integer(1)?)))).collect()
    }

    /// A package's bytes have come to staging, or have come back: from now on it soaks.
    pub(super) fn now_staged(
        &self,
        version: &Version,
        key: &Key,
        before: TargetState,
        state: TargetState,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if state == TargetState::Staged && before != TargetState::Staged {
            self.0.query(
                "UPDATE packages SET staged_at = ?1, deleted_at = NULL, unshown_since = NULL, first_staged_at = COALESCE(first_staged_at, ?1)
                 WHERE version = ?2 AND key = ?3",
                &[now.0.into(), version.as_str().into(), key.as_str().into()],
            )?;
        }
        Ok(())
    }

    /// Writes down that a release runs in an environment; whether that is new. Of a pipeline, only what that has declared
    /// runs there: another may feed the same release. It began to at the moment at which it is told. `done_at`: when the
    /// deployment was done, which of two releases runs there now.
    pub fn deployed(
        &self,
        version: &Version,
        pipeline_id: Option<u64>,
        environment: &str,
        by: &str,
        done_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            self.planned(version)?;
            let at: [Value; 3] = [version.as_str().into(), environment.into(), pipeline_id.unwrap_or_default().into()];
            let before = self.0.query(
                "SELECT at, COALESCE(done_at, at) FROM deployments WHERE version = ? AND environment = ? AND pipeline_id = ?",
                &at,
            )?;
            // Told again, it is no later. Told after other bytes were staged, it is another deployment; and so is one that was
            // done after another release came to run there, as when somebody rolls back.
            let known = self.0.query(
                "SELECT COALESCE((SELECT MAX(first_staged_at) FROM packages WHERE version = ?1 AND ?3 IN (0, pipeline_id)), 0),
                    COALESCE((SELECT MAX(COALESCE(done_at, at)) FROM deployments WHERE environment = ?2 AND version <> ?1), 0)",
                &at,
            )?;
            let known = known.first().map(|row| Ok::<_, LedgerError>((row.integer(0)?, row.integer(1)?))).transpose()?;
            let (staged, others) = known.unwrap_or_default();
            let done_at = done_at.unwrap_or(now).min(now);
            if let Some(row) = before.first() {
                let is_rolled_back = row.integer(1)? < others && others < done_at.0;
                if row.integer(0)? >= staged && !is_rolled_back {
                    return Ok(false);
                }
            }
            self.0.query(
                "INSERT INTO deployments (version, environment, pipeline_id, at, done_at, told_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (version, environment, pipeline_id) DO UPDATE SET at = ?4, done_at = ?5, told_by = ?6",
                &[at[0].clone(), at[1].clone(), at[2].clone(), now.0.into(), done_at.0.into(), by.into()],
            )?;
            let details = serde_json::json!({ "environment": environment, "pipeline": pipeline_id });
            self.change(version, by, "deployed", version.as_str(), &details, now)?;
            Ok(true)
        })
    }

    /// The packages that a release has.
    pub fn keys(&self, version: &Version) -> Result<Vec<Key>, LedgerError> {
        let rows =
            self.0.query("SELECT key FROM packages WHERE version = ? ORDER BY key", &[version.as_str().into()])?;
        rows.iter().map(|row| parse(row.text(0)?)).collect()
    }

    /// The releases that a pipeline feeds.
    pub fn versions_of_pipeline(&self, pipeline_id: u64) -> Result<Vec<Version>, LedgerError> {
        let rows = self
            .0
            .query("SELECT DISTINCT version FROM pipelines WHERE id = ? ORDER BY version", &[pipeline_id.into()])?;
        rows.iter().map(|row| parse(row.text(0)?)).collect()
    }

    /// What GitLab said of a pipeline, and when.
    pub fn pipeline_facts(&self, pipeline_id: u64) -> Result<Option<(Timestamp, PipelineFacts)>, LedgerError> {
        let rows =
            self.0.query("SELECT read_at, facts FROM pipeline_facts WHERE pipeline_id = ?", &[pipeline_id.into()])?;
        let read = |row: &Row| Ok((Timestamp(row.integer(0)?), serde_json::from_str(row.text(1)?)?));
        rows.first().map(read).transpose()
    }

    /// Keeps what GitLab said of a pipeline; whether that is new.
    pub fn keep_pipeline_facts(
        &self,
        pipeline_id: u64,
        facts: &PipelineFacts,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let is_new = self.pipeline_facts(pipeline_id)?.is_none_or(|(_, before)| before != *facts);
            self.0.query(
                "INSERT INTO pipeline_facts (pipeline_id, facts, read_at) VALUES (?, ?, ?)
                 ON CONFLICT (pipeline_id) DO UPDATE SET facts = excluded.facts, read_at = excluded.read_at",
                &[pipeline_id.into(), serde_json::to_string(facts)?.into(), now.0.into()],
            )?;
            if is_new {
                for version in self.versions_of_pipeline(pipeline_id)? {
                    self.bump(&version)?;
                }
            }
            Ok(is_new)
        })
    }

    // ---- holds ----

    /// Who holds or has held what of a release: the whole of it, where there is no key. Which of them count is a question of
    /// the time.
    pub fn holds(&self, version: &Version) -> Result<Vec<(Option<Key>, Hold)>, LedgerError> {
        let rows = self.0.query(
            "SELECT key, held_by, reason, at, until FROM holds WHERE version = ? ORDER BY key",
            &[version.as_str().into()],
        )?;
        rows.iter()
            .map(|row| {
                let key = Some(row.text(0)?).filter(|key| *key != WHOLE).map(parse).transpose()?;
                let (at, until) = (Timestamp(row.integer(3)?), moment_or_null(row, 4)?);
                Ok((key, Hold { by: row.text(1)?.to_owned(), reason: row.text(2)?.to_owned(), at, until }))
            })
            .collect()
    }

    /// Holds packages, or a release as a whole; without `until`, until somebody lifts it. What was approved and has not begun
    /// goes back; what is under way is finished. Held again, the newer reason counts, and the later end: nobody shortens what
    /// another was promised. A hold is written down even when it
    /// comes too late for some packages: for all others it counts.
    pub fn hold(
        &self,
        version: &Version,
        keys: Option<&[Key]>,
        by: &str,
        reason: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Held, LedgerError> {
        self.0.atomically(|| {
            self.planned(version)?;
            for key in self.named(version, keys)? {
                self.0.query(
                    "INSERT INTO holds (version, key, held_by, reason, at, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (version, key) DO UPDATE SET held_by = ?3, reason = ?4, at = ?5, is_over = 0,
                        until = MAX(until, ?6)",
                    &[
                        version.as_str().into(),
                        key.as_str().into(),
                        by.into(),
                        reason.into(),
                        now.0.into(),
                        until.map(|until| until.0).into(),
                    ],
                )?;
            }
            let details = match until {
                Some(until) => serde_json::json!({ "keys": keys, "reason": reason, "until": until.to_string() }),
                None => serde_json::json!({ "keys": keys, "reason": reason }),
            };
            self.change(version, by, "held", version.as_str(), &details, now)?;
            let why = format!("it is on hold by {}: {}", person(by), reason.trim().trim_end_matches('.'));
            for (key, distro, approval) in self.unbegun(version)? {
                if keys.is_none_or(|keys| keys.contains(&key)) {
                    self.take_back(version, &key, &distro, approval, &StopReason::Blocked(why.clone()), now)?;
                }
            }
            match keys {
                Some(keys) => self.came_in_time(version, keys, now),
                None => self.came_in_time(version, &self.keys(version)?, now),
            }
        })
    }

    /// Says of holds that their time is over, or that it is not after all: a clock may have run ahead. Whether a hold counts
    /// is judged by its end alone, and none is forgotten here. The releases that have changed by that.
    pub fn end_holds(&self, now: Timestamp) -> Result<Vec<Version>, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "UPDATE holds SET is_over = NOT is_over WHERE until IS NOT NULL AND is_over <> (until <= ?)
                 RETURNING version, key, held_by, until, is_over",
                &[now.0.into()],
            )?;
            let mut changed = Vec::new();
            for row in &rows {
                let version: Version = parse(row.text(0)?)?;
                let keys = Some(row.text(1)?).filter(|key| *key != WHOLE).map(|key| [key]);
                let until = Timestamp(row.integer(3)?).to_string();
                let details = serde_json::json!({ "keys": keys, "held_by": row.text(2)?, "until": until });
                let action = if row.integer(4)? == 0 { "held" } else { "lifted" };
                self.change(&version, "edge", action, version.as_str(), &details, now)?;
                if !changed.contains(&version) {
                    changed.push(version);
                }
            }
            Ok(changed)
        })
    }

    /// When the next hold ends by itself.
    pub fn next_hold_end(&self) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query("SELECT MIN(until) FROM holds WHERE is_over = 0", &[])?;
        rows.first().map(|row| moment_or_null(row, 0)).transpose().map(Option::flatten)
    }

    /// Lifts holds: of these packages, or without keys that of the whole release. Nothing is released by that: what lost its
    /// approval needs another.
    pub fn lift(
        &self,
        version: &Version,
        keys: Option<&[Key]>,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            self.planned(version)?;
            let not_held = |what: String| LedgerError::NotHeld { version: version.clone(), what };
            // Without keys it is the hold of the whole release that ends: packages that somebody holds for another reason stay held.
            let whole = [WHOLE.to_owned()];
            let named: Vec<String> = keys.unwrap_or_default().iter().map(ToString::to_string).collect();
            for key in if keys.is_none() { whole.as_slice() } else { named.as_slice() } {
                let rows = self.0.query(
                    "DELETE FROM holds WHERE version = ? AND key = ? AND (until IS NULL OR until > ?) RETURNING key",
                    &[version.as_str().into(), key.as_str().into(), now.0.into()],
                )?;
                if rows.is_empty() {
                    let what = if key == WHOLE { "the whole release".to_owned() } else { format!("`{key}`") };
                    return Err(not_held(what));
                }
            }
            let details = serde_json::json!({ "keys": keys, "reason": reason });
            self.change(version, by, "lifted", version.as_str(), &details, now)
        })
    }

    /// The keys that a request means, as they are held: the whole release has one of its own.
    pub(super) fn named(&self, version: &Version, keys: Option<&[Key]>) -> Result<Vec<String>, LedgerError> {
        let Some(keys) = keys else { return Ok(vec![WHOLE.to_owned()]) };
        for key in keys {
            if self.states(version, key)?.is_empty() {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            }
        }
        Ok(keys.iter().map(ToString::to_string).collect())
    }

    // ---- overrides ----

    /// Somebody opens gates for packages, as long as their bytes are these. Of a package without bytes it says nothing.
    pub fn override_gates(
        &self,
        version: &Version,
        over: &GateOverride<'_>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let GateOverride { keys, gates, by_id, by, reason } = *over;
        self.0.atomically(|| {
            self.planned(version)?;
            self.named(version, Some(keys))?;
            for key in keys {
                for gate in gates {
                    self.0.query(
                        "INSERT OR IGNORE INTO overrides (version, key, digest, gate, by_id)
                         SELECT version, key, COALESCE(digest, ''), ?, ? FROM packages WHERE version = ? AND key = ?",
                        &[gate.code().into(), by_id.into(), version.as_str().into(), key.as_str().into()],
                    )?;
                }
            }
            let gates: Vec<&str> = gates.iter().map(|gate| gate.code()).collect();
            let details = serde_json::json!({ "keys": keys, "gates": gates, "by": by_id, "reason": reason });
            self.change(version, by, "overridden", version.as_str(), &details, now)
        })
    }

    // ---- the end of a release ----

    /// Gives a release up. What is under way is finished; everything else that is not released is not shipped any more.
    pub fn close(&self, version: &Version, by: &str, reason: &str, now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            self.planned(version)?;
            self.not_closed(version)?;
            self.0.query(
                "UPDATE releases SET closed_at = ?, closed_by = ?, closed_why = ? WHERE version = ?",
                &[now.0.into(), by.into(), reason.into(), version.as_str().into()],
            )?;
            let problem = serde_json::to_string(&skipped(reason))?;
            let begun = serde_json::to_string(&skipped_when_begun(reason))?;
            let rows = self.0.query(
                "UPDATE targets SET state = 'skipped', since = ?, step = NULL, problem = CASE begun WHEN 0 THEN ? ELSE ? END,
                    approval = NULL
                 WHERE version = ? AND state NOT IN ('released', 'skipped', 'withdrawn')
                 AND NOT (state IN ('approved', 'releasing') AND allowed_at IS NOT NULL)
                 RETURNING key || ' ' || distro",
                &[now.0.into(), problem.into(), begun.into(), version.as_str().into()],
            )?;
            let mut left = Vec::new();
            for row in &rows {
                left.push(row.text(0)?.to_owned());
            }
            left.sort_unstable();
            let details = serde_json::json!({ "reason": reason, "not_shipped": left });
            self.change(version, by, "closed", version.as_str(), &details, now)
        })
    }

    /// Who gave a release up.
    pub fn closing(&self, version: &Version) -> Result<Option<api::Closing>, LedgerError> {
        let rows = self.0.query(
            "SELECT closed_by, closed_why, closed_at FROM releases WHERE version = ? AND closed_at IS NOT NULL",
            &[version.as_str().into()],
        )?;
        let read = |row: &Row| {
            let (by, reason) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            Ok(api::Closing { by, reason, at: Timestamp(row.integer(2)?).to_string() })
        };
        rows.first().map(read).transpose()
    }

    pub(super) fn not_closed(&self, version: &Version) -> Result<(), LedgerError> {
        match self.closing(version)? {
            Some(_) if !planted(Planted::ReopensWhatIsClosed) => Err(LedgerError::Closed { version: version.clone() }),
            _ => Ok(()),
        }
    }

    pub(super) fn planned(&self, version: &Version) -> Result<(), LedgerError> {
        match self.sequence(version)? {
            Some(_) => Ok(()),
            None => Err(LedgerError::NoRelease { version: version.clone() }),
        }
    }

    // ---- what is about to begin ----

    /// Whether an act may begin, as far as the record itself can tell: `None` when it may, if its gates let it. An approval
    /// that has lapsed before anything was begun is taken back.
    pub fn stop_if_lapsed(&self, ask: &Ask, lapse: Duration, now: Timestamp) -> Result<Option<May>, LedgerError> {
        let over = |state| Some(May::Never { state, problem: None });
        let Some((state, allowed_at)) = self.asked(ask)? else { return Ok(over(TargetState::Failed)) };
        if !state.is_moving() {
            return Ok(over(state));
        }
        let until = self.given(ask.approval)?.map(|given| given.at + lapse);
        match until {
            Some(until) if allowed_at.is_none() && until <= now => {
                Ok(Some(self.call_off(ask, &StopReason::Lapsed(until), now)?))
            }
            _ => Ok(None),
        }
    }

    /// GitLab's id of who has given an approval.
    pub fn approved_by(&self, approval: u64) -> Result<Option<u64>, LedgerError> {
        Ok(self.given(approval)?.and_then(|given| given.by_id))
    }

    fn given(&self, approval: u64) -> Result<Option<Given>, LedgerError> {
        let rows = self.0.query("SELECT by_id, at FROM approvals WHERE id = ?", &[approval.into()])?;
        let read = |row: &Row| Ok(Given { by_id: row.natural_or_null(0)?, at: Timestamp(row.integer(1)?) });
        rows.first().map(read).transpose()
    }

    /// The target that somebody is about to act on, as long as it is still theirs and its bytes are these.
    fn asked(&self, ask: &Ask) -> Result<Option<(TargetState, Option<Timestamp>)>, LedgerError> {
        let rows = self.0.query(
            "SELECT t.state, t.allowed_at FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.version = ? AND t.key = ? AND t.distro = ? AND t.approval = ? AND p.digest = ?",
            &[
                ask.version.as_str().into(),
                ask.key.as_str().into(),
                ask.distro.as_str().into(),
                ask.approval.into(),
                ask.digest.to_string().into(),
            ],
        )?;
        rows.first().map(|row| Ok((parse(row.text(0)?)?, moment_or_null(row, 1)?))).transpose()
    }

    /// An act begins now: from here on it is under way.
    pub fn allow(&self, ask: &Ask, now: Timestamp) -> Result<May, LedgerError> {
        self.0.atomically(|| {
            match self.asked(ask)? {
                Some((state, _)) if state.is_moving() => {}
                Some((state, _)) => return Ok(May::Never { state, problem: None }),
                None => return Ok(May::Never { state: TargetState::Failed, problem: None }),
            }
            // Asked in the transaction that allows it: what a stop finds allowed is really under way.
            if let Some(stopped) = self.stopped()? {
                return Ok(May::Stopped(stopped));
            }
            // What was approved before a withdrawal is held to it all the same.
            if let Some(why) = self.why_never(&ask.version, &ask.key)? {
                let why = StopReason::Withdrawn(why);
                let (state, problem) = self.take_back(&ask.version, &ask.key, &ask.distro, ask.approval, &why, now)?;
                return Ok(May::Never { state, problem: Some(problem) });
            }
            self.0.query(
                "UPDATE targets SET allowed_at = COALESCE(allowed_at, ?), begun = 1, told_at = ?
                 WHERE version = ? AND key = ? AND distro = ?",
                &[
                    now.0.into(),
                    now.0.into(),
                    ask.version.as_str().into(),
                    ask.key.as_str().into(),
                    ask.distro.as_str().into(),
                ],
            )?;
            Ok(May::Now)
        })
    }

    /// An act must not begin: its approval is over.
    pub fn call_off(&self, ask: &Ask, why: &StopReason, now: Timestamp) -> Result<May, LedgerError> {
        self.0.atomically(|| match self.asked(ask)? {
            Some((state, _)) if state.is_moving() => {
                let (state, problem) = self.take_back(&ask.version, &ask.key, &ask.distro, ask.approval, why, now)?;
                Ok(May::Never { state, problem: Some(problem) })
            }
            Some((state, _)) => Ok(May::Never { state, problem: None }),
            None => Ok(May::Never { state: TargetState::Failed, problem: None }),
        })
    }

    /// Ends the approvals of which nothing has begun for as long as one holds; the releases that have changed by that.
    pub fn lapse(&self, lapse: Duration, now: Timestamp) -> Result<Vec<Version>, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT t.version, t.key, t.distro, a.id, a.at FROM targets t JOIN approvals a ON a.id = t.approval
                 WHERE t.state IN ('approved', 'releasing') AND t.allowed_at IS NULL AND a.at <= ?
                 ORDER BY t.version, t.key, t.distro LIMIT 500",
                &[(now - lapse).0.into()],
            )?;
            let mut changed = Vec::new();
            for row in &rows {
                let (version, key): (Version, Key) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
                let why = StopReason::Lapsed(Timestamp(row.integer(4)?) + lapse);
                self.take_back(&version, &key, row.text(2)?, row.natural(3)?, &why, now)?;
                if !changed.contains(&version) {
                    changed.push(version);
                }
            }
            Ok(changed)
        })
    }

    /// When the next approval lapses. `None` when none can.
    pub fn next_lapse(&self, lapse: Duration) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query(
            "SELECT MIN(a.at) FROM targets t JOIN approvals a ON a.id = t.approval
             WHERE t.state IN ('approved', 'releasing') AND t.allowed_at IS NULL",
            &[],
        )?;
        let first = rows.first().map(|row| moment_or_null(row, 0)).transpose()?.flatten();
        Ok(first.map(|at| at + lapse))
    }

    /// Targets that were approved and of which nothing has begun.
    fn unbegun(&self, version: &Version) -> Result<Vec<(Key, String, u64)>, LedgerError> {
        let rows = self.0.query(
            "SELECT key, distro, approval FROM targets
             WHERE version = ? AND state IN ('approved', 'releasing') AND allowed_at IS NULL AND approval IS NOT NULL
             ORDER BY key, distro",
            &[version.as_str().into()],
        )?;
        rows.iter().map(|row| Ok((parse(row.text(0)?)?, row.text(1)?.to_owned(), row.natural(2)?))).collect()
    }

    /// Ends a target's approval. Where something was ever begun for these bytes, the public place may have them: that is
    /// said, and they are not taken for merely staged.
    pub(super) fn take_back(
        &self,
        version: &Version,
        key: &Key,
        distro: &str,
        approval: u64,
        why: &StopReason,
        now: Timestamp,
    ) -> Result<(TargetState, api::Problem), LedgerError> {
        let at: [Value; 3] = [version.as_str().into(), key.as_str().into(), distro.into()];
        let begun =
            self.0.query("SELECT state, begun FROM targets WHERE version = ? AND key = ? AND distro = ?", &at)?;
        let (before, begun) = match begun.first() {
            Some(row) => (row.text(0)?.to_owned(), row.integer(1)? != 0),
            None => (String::new(), false),
        };
        let (state, public) =
            if begun { (TargetState::Failed, Visible::Unknown) } else { (TargetState::Staged, Visible::Nothing) };
        let done = if begun { "Nothing more is begun" } else { "Nothing was begun" };
        let (code, what) = match why {
            StopReason::Blocked(why) => (Code::Blocked, format!("It was approved, and {why}. {done}.")),
            StopReason::Lapsed(at) => {
                let at = slipway_core::gate::moment(*at);
                (Code::Lapsed, format!("Its approval lapsed at {at}, before its turn came. {done}."))
            }
            StopReason::Withdrawn(why) => (Code::Withdrawn, format!("It was approved, and {why}. {done}.")),
        };
        let problem = code.problem(what.clone(), public, None);
        // First the report, while the target still has its approval: others are told once for each.
        self.set(version, key, &Report { problem: Some(problem.clone()), ..Report::of(distro, state) }, now)?;
        self.0.query(
            "UPDATE targets SET approval = NULL, allowed_at = NULL WHERE version = ? AND key = ? AND distro = ?",
            &at,
        )?;
        let (word, name) = named_target(distro);
        let details = serde_json::json!({ (word): name, "approval": approval, "before": before, "why": what });
        self.change(version, "edge", code.code(), &subject(version, key), &details, now)?;
        Ok((state, problem))
    }
}

fn moment_or_null(row: &Row, column: usize) -> Result<Option<Timestamp>, LedgerError> {
    Ok(row.integer_or_null(column)?.map(Timestamp))
}

fn kind(text: &str) -> Result<GateKind, LedgerError> {
    let found = GateKind::ALL.into_iter().find(|kind| kind.code() == text);
    found.ok_or_else(|| LedgerError::Unknown(format!("`{text}` is not a kind of gate")))
}
