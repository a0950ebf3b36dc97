//! A project at a glance: a front page tells of fifty releases, and renders none of them.
//!
//! Each table is asked once, for all of the releases. Only what a gate says cannot be told by SQL: it is worked out for the
//! packages that wait, and kept until their release changes, or the configuration does, or a gate turns by time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_core::api::{self, GlanceRelease, GlanceTarget};
use slipway_core::config::{Config, Project};
use slipway_core::gate::{closed, turns};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::stop::Stopped;
use slipway_core::time::Timestamp;
use slipway_core::verdict::{EXPIRING_SECONDS, URGENCY, judge_states, needs_a_person, while_stopped};

use super::reading::waits;
use super::sources::unknown;
use super::{LedgerError, Record, parse};
use crate::sql::{Row, Sql, Value};

/// How many releases are looked at.
pub const GLANCES_MAX: u32 = 50;
/// How long it is believed what a gate says that other releases open and close.
const OF_OTHERS: Duration = Duration::from_mins(1);

/// What is staged and would be deleted within this time needs somebody, as on the release's own page.
const EXPIRING: Duration = Duration::from_secs(EXPIRING_SECONDS as u64);

/// A release as its own row has it.
struct Known {
    version: Version,
    sequence: u64,
    changed_at: i64,
    closing: Option<api::Closing>,
}

/// How far the packages of a release are.
#[derive(Default)]
struct Counted {
    /// The state of each package, in no order.
    states: Vec<TargetState>,
    changed_at: i64,
}

/// The packages of a release that wait to be released, each with whether it is staged as a whole.
type Waiting = BTreeMap<Key, bool>;

impl<S: Sql> Record<S> {
    /// The newest releases, newest first, as many as are asked for and [`GLANCES_MAX`] at most.
    pub fn glance(
        &self,
        config: &Config,
        project: &Project,
        newest: u32,
        now: Timestamp,
    ) -> Result<api::Glance, LedgerError> {
        let known = self.newest(newest.min(GLANCES_MAX))?;
        let all: Vec<&str> = known.iter().map(|one| one.version.as_str()).collect();
        let mut counted = self.counted(&all)?;
        let open: Vec<&str> =
            known.iter().filter(|one| one.closing.is_none()).map(|one| one.version.as_str()).collect();
        let mut waiting = self.waiting(&open)?;
        let mut marked = self.marked(&open)?;
        let mut expiring = self.expiring(&open, now)?;
        let unknown = self.unknown_packages(&open)?;
        let stopped = self.stopped()?;
        let mut releases = Vec::with_capacity(known.len());
        for one in known {
            let Counted { states, changed_at } = counted.remove(&one.version).unwrap_or_default();
            let waiting = waiting.remove(&one.version).unwrap_or_default();
            let blocked = self.blocked(config, project, &one, &waiting, now)?;
            let mut release = judged(project, &one, &states, blocked.len(), stopped.as_ref());
            release.changed_at = Timestamp(one.changed_at.max(changed_at)).to_string();
            for (target, needs) in marked.remove(&one.version).unwrap_or_default() {
                if needs {
                    release.needs.push(target);
                } else if target.state.is_moving() {
                    release.moving.push(target);
                }
            }
            // One that is overdue in staging is not only to be played, and one of which nobody knows now is not to be.
            let is_unknown = |key: &Key| unknown.get(&release.version).is_some_and(|keys| keys.contains(key));
            let is_ready = |(key, is_staged): &(&Key, &bool)| {
                **is_staged
                    && !blocked.contains(*key)
                    && !is_unknown(key)
                    && !release.needs.iter().any(|target| target.key == **key)
            };
            release.ready = u32::try_from(waiting.iter().filter(is_ready).count()).unwrap_or(u32::MAX);
            for target in expiring.remove(&release.version).unwrap_or_default() {
                let is_same = |other: &GlanceTarget| other.key == target.key && other.target == target.target;
                if !release.needs.iter().any(is_same) {
                    release.needs.push(target);
                }
            }
            releases.push(release);
        }
        Ok(api::Glance {
            project: api::Project { id: project.id, name: project.name.to_string() },
            at: now.to_string(),
            stopped: stopped.as_ref().map(Stopped::shown),
            releases,
        })
    }

    fn newest(&self, newest: u32) -> Result<Vec<Known>, LedgerError> {
        let rows = self.0.query(
            "SELECT version, sequence, created_at, closed_at, closed_by, closed_why FROM releases
             ORDER BY created_at DESC, version DESC LIMIT ?",
            &[u64::from(newest).into()],
        )?;
        let read = |row: &Row| {
            let closed_at = row.integer_or_null(3)?;
            let closing = match closed_at {
                Some(at) => Some(api::Closing {
                    by: row.text(4)?.to_owned(),
                    reason: row.text(5)?.to_owned(),
                    at: Timestamp(at).to_string(),
                }),
                None => None,
            };
            let changed_at = row.integer(2)?.max(closed_at.unwrap_or_default());
            Ok(Known { version: parse(row.text(0)?)?, sequence: row.natural(1)?, changed_at, closing })
        };
        rows.iter().map(read).collect()
    }

    /// How many packages of each release are in each state. SQL counts them: of most releases, all are released.
    fn counted(&self, versions: &[&str]) -> Result<BTreeMap<Version, Counted>, LedgerError> {
        let statement = format!(
            "SELECT version, rank, COUNT(*), MAX(since) FROM
                 (SELECT version, key, MIN({}) AS rank, MAX(since) AS since FROM targets
                  WHERE version IN (SELECT value FROM json_each(?)) GROUP BY version, key)
             GROUP BY version, rank",
            rank()
        );
        let rows = self.0.query(&statement, &[serde_json::to_string(versions)?.into()])?;
        let mut counted: BTreeMap<Version, Counted> = BTreeMap::new();
        for row in &rows {
            let of = counted.entry(parse(row.text(0)?)?).or_default();
            let count = usize::try_from(row.natural(2)?).unwrap_or(usize::MAX);
            of.states.extend(std::iter::repeat_n(ranked(row.natural(1)?), count));
            of.changed_at = of.changed_at.max(row.integer(3)?);
        }
        Ok(counted)
    }

    fn waiting(&self, versions: &[&str]) -> Result<BTreeMap<Version, Waiting>, LedgerError> {
        let states: Vec<&str> =
            TargetState::ALL.into_iter().filter(|state| waits(*state)).map(TargetState::code).collect();
        let statement = format!(
            "SELECT version, key, MIN({}) FROM targets WHERE version IN (SELECT value FROM json_each(?1))
             GROUP BY version, key HAVING MAX(state IN (SELECT value FROM json_each(?2))) = 1",
            rank()
        );
        let at: [Value; 2] = [serde_json::to_string(versions)?.into(), serde_json::to_string(&states)?.into()];
        let mut waiting: BTreeMap<Version, Waiting> = BTreeMap::new();
        for row in &self.0.query(&statement, &at)? {
            let is_staged = ranked(row.natural(2)?) == TargetState::Staged;
            waiting.entry(parse(row.text(0)?)?).or_default().insert(parse(row.text(1)?)?, is_staged);
        }
        Ok(waiting)
    }

    /// The packages of which something is known from a place that has not answered for a while.
    fn unknown_packages(&self, versions: &[&str]) -> Result<BTreeMap<Version, BTreeSet<Key>>, LedgerError> {
        let unread = self.unread()?;
        let mut packages: BTreeMap<Version, BTreeSet<Key>> = BTreeMap::new();
        if unread.is_empty() {
            return Ok(packages);
        }
        let rows = self.0.query(
            "SELECT t.version, t.key, t.state, p.staging_place, t.public_place FROM targets t
             JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.version IN (SELECT value FROM json_each(?)) AND t.problem IS NULL",
            &[serde_json::to_string(versions)?.into()],
        )?;
        for row in &rows {
            if unknown(&unread, parse(row.text(2)?)?, row.text(3)?, row.text(4)?).is_some() {
                packages.entry(parse(row.text(0)?)?).or_default().insert(parse(row.text(1)?)?);
            }
        }
        Ok(packages)
    }

    /// What needs a person, and what is on its way, each with whether it needs one.
    fn marked(&self, versions: &[&str]) -> Result<BTreeMap<Version, Vec<(GlanceTarget, bool)>>, LedgerError> {
        let rows = self.0.query(
            "SELECT version, key, distro, state, since, problem FROM targets
             WHERE version IN (SELECT value FROM json_each(?)) AND state NOT IN ('released', 'withdrawn', 'skipped')
             AND (problem IS NOT NULL OR state IN ('conflict', 'failed', 'missing', 'approved', 'releasing'))
             ORDER BY version, key, distro",
            &[serde_json::to_string(versions)?.into()],
        )?;
        let mut marked: BTreeMap<Version, Vec<(GlanceTarget, bool)>> = BTreeMap::new();
        for row in &rows {
            let problem: Option<api::Problem> = row.text_or_null(5)?.map(serde_json::from_str).transpose()?;
            let state: TargetState = parse(row.text(3)?)?;
            let needs = needs_a_person(state, problem.as_ref());
            let version: Version = parse(row.text(0)?)?;
            let target = GlanceTarget {
                version: version.clone(),
                key: parse(row.text(1)?)?,
                target: parse(row.text(2)?)?,
                state,
                next: problem.as_ref().map(|problem| problem.next.clone()),
                what: problem.map(|problem| problem.what),
                expires_at: None,
                since: Timestamp(row.integer(4)?).to_string(),
            };
            marked.entry(version).or_default().push((target, needs));
        }
        Ok(marked)
    }

    /// What is staged and would be deleted within a day, unless somebody releases or keeps it.
    fn expiring(&self, versions: &[&str], now: Timestamp) -> Result<BTreeMap<Version, Vec<GlanceTarget>>, LedgerError> {
        let rows = self.0.query(
            "SELECT t.version, t.key, t.distro, t.since, r.expires_at FROM retention r
             JOIN packages p ON p.version = r.version AND p.key = r.key AND p.digest = r.digest
             JOIN targets t ON t.version = r.version AND t.key = r.key
             WHERE r.version IN (SELECT value FROM json_each(?)) AND r.expires_at <= ? AND t.state = 'staged'
             ORDER BY t.version, t.key, t.distro",
            &[serde_json::to_string(versions)?.into(), (now + EXPIRING).0.into()],
        )?;
        let mut expiring: BTreeMap<Version, Vec<GlanceTarget>> = BTreeMap::new();
        for row in &rows {
            let version: Version = parse(row.text(0)?)?;
            let target = GlanceTarget {
                version: version.clone(),
                key: parse(row.text(1)?)?,
                target: parse(row.text(2)?)?,
                state: TargetState::Staged,
                what: None,
                next: None,
                expires_at: Some(Timestamp(row.integer(4)?).to_string()),
                since: Timestamp(row.integer(3)?).to_string(),
            };
            expiring.entry(version).or_default().push(target);
        }
        Ok(expiring)
    }

    /// Which of the packages that wait are kept back by a gate or a hold. Nobody asks the gates again while nothing can have
    /// changed what they say.
    fn blocked(
        &self,
        config: &Config,
        project: &Project,
        of: &Known,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Result<BTreeSet<Key>, LedgerError> {
        if waiting.is_empty() {
            return Ok(BTreeSet::new());
        }
        let version = &of.version;
        let gates: Vec<_> =
            waiting.keys().map(|key| (key, config.gates(project.name.as_str(), version, key))).collect();
        let holds = self.holds(version)?;
        if gates.iter().all(|(_, gates)| gates.is_empty()) && holds.is_empty() {
            return Ok(BTreeSet::new());
        }
        let policy = config.policy.to_string();
        let known = self.0.query(
            "SELECT keys FROM kept_back WHERE version = ? AND sequence = ? AND policy = ? AND at <= ? AND (until IS NULL OR until > ?)",
            &[version.as_str().into(), of.sequence.into(), policy.as_str().into(), now.0.into(), now.0.into()],
        )?;
        if let Some(row) = known.first() {
            return Ok(serde_json::from_str(row.text(0)?)?);
        }
        let mut blocked = BTreeSet::new();
        let mut until: Option<Timestamp> = None;
        for (key, gates) in gates {
            let is_held = holds.iter().any(|(held, _)| held.as_ref().is_none_or(|held| held == key));
            if gates.is_empty() && !is_held {
                continue;
            }
            let Some(facts) = self.gate_facts(version, key, None)? else { continue };
            if !closed(&gates, &facts, now).is_empty() {
                blocked.insert(key.clone());
            }
            let of_others = gates.iter().any(|gate| gate.newest.is_some()).then(|| now + OF_OTHERS);
            until = until.into_iter().chain(turns(&gates, &facts, now)).chain(of_others).min();
        }
        self.0.query(
            "INSERT INTO kept_back (version, sequence, policy, at, until, keys) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (version) DO UPDATE SET sequence = ?2, policy = ?3, at = ?4, until = ?5, keys = ?6",
            &[
                version.as_str().into(),
                of.sequence.into(),
                policy.into(),
                now.0.into(),
                until.map_or(Value::Null, |until| until.0.into()),
                serde_json::to_string(&blocked)?.into(),
            ],
        )?;
        Ok(blocked)
    }
}

/// A release by its numbers, the same words as its own page has.
fn judged(
    project: &Project,
    of: &Known,
    states: &[TargetState],
    blocked: usize,
    stopped: Option<&Stopped>,
) -> GlanceRelease {
    let (state, verdict) = judge_states(project.name.as_str(), &of.version, states, blocked, of.closing.as_ref());
    let count = |wanted: fn(TargetState) -> bool| {
        u32::try_from(states.iter().filter(|state| wanted(**state)).count()).unwrap_or(u32::MAX)
    };
    GlanceRelease {
        version: of.version.clone(),
        state,
        verdict: while_stopped(state, verdict, stopped),
        released: count(|state| state == TargetState::Released),
        all: count(|state| state != TargetState::Skipped),
        ready: 0,
        changed_at: String::new(),
        needs: Vec::new(),
        moving: Vec::new(),
    }
}

/// An expression for how urgent a target's state is: its place in [`URGENCY`].
fn rank() -> String {
    let whens = URGENCY.iter().enumerate().map(|(rank, state)| format!(" WHEN '{}' THEN {rank}", state.code()));
    format!("CASE state{} END", whens.collect::<String>())
}

fn ranked(rank: u64) -> TargetState {
    usize::try_from(rank).ok().and_then(|rank| URGENCY.get(rank)).copied().unwrap_or(TargetState::Expected)
}
