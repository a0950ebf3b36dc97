//! What somebody changes who releases nothing: holds, the end of a release, overrides, what is deployed.
//!
//! Who may ask at all was judged before, by the table of rights. Here is what depends on the record and on the gates: a
//! reason that others can read, and that each gate names whoever opens it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::access::Caller;
use slipway_core::config::{Config, Project};
use slipway_core::expectation::is_one_line;
use slipway_core::gate::GateKind;
use slipway_core::release::{Key, Version};
use slipway_core::time::Timestamp;
use slipway_ledger::{GateOverride, Held, Record, Sql};

use crate::denied::{Denied, Unanswered, audited};
use crate::job_call::KEYS_MAX;
use crate::port::ProjectHost;

/// What a reason may have.
const REASON_CHARACTERS_MAX: usize = 500;
/// How long one hold may be said to last. Without an end it lasts until it is lifted.
const HOLD_MAX: Duration = Duration::from_hours(24 * 366);
/// How long one word keeps a package in staging. It can be said again.
const EXTENSION_MAX: Duration = Duration::from_hours(24 * 366);

/// Who changes something, as the audit names them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct By {
    /// `user:mira`, `job:81 user:mira`, `operator`.
    pub name: String,
    /// GitLab's id of the person, where one is behind it.
    pub id: Option<u64>,
}

impl By {
    /// Whoever asks. Only people are known by their number here: what names people means them, and not a job of theirs,
    /// whose script somebody else may have written.
    pub fn of(caller: &Caller) -> Self {
        let id = match caller {
            Caller::Person(person) => Some(person.user_id),
            Caller::Job(_) | Caller::Deployer(_) | Caller::Operator | Caller::Collector => None,
        };
        Self { name: caller.to_string(), id }
    }
}

/// What is changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Hold packages back; without keys the release as a whole.
    Hold {
        /// The packages.
        keys: Option<Vec<Key>>,
        /// Why.
        reason: String,
        /// Until when. Without it, until somebody lifts it.
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// Keep packages in staging for longer; without keys all of the release. What was announced of them is over.
    Extend {
        /// The packages.
        keys: Option<Vec<Key>>,
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// Let them go.
    Lift {
        /// The packages.
        keys: Option<Vec<Key>>,
        /// Why.
        reason: String,
    },
    /// Give the release up.
    Close {
        /// Why.
        reason: String,
    },
    /// Open gates.
    Override {
        /// The packages; without them all of the release.
        keys: Option<Vec<Key>>,
        /// The gates, by their names.
        gates: Vec<String>,
        /// Why.
        reason: String,
    },
    /// Its bytes run there.
    Deployed {
        /// GitLab's name of where.
        environment: String,
    },
}

impl Change {
    /// The act, as the audit names one that was refused.
    fn act(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "POST holds",
            Self::Extend { .. } => "POST extensions",
            Self::Lift { .. } => "DELETE holds",
            Self::Close { .. } => "POST close",
            Self::Override { .. } => "POST overrides",
            Self::Deployed { .. } => "POST deployments",
        }
    }
}

/// Writes a change down, or that it was refused.
pub fn change<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    version: &Version,
    by: &By,
    change: &Change,
) -> Result<(), Unanswered> {
    let changed = changed(record, host, config, project, version, by, change);
    audited(record, (version, &by.name, change.act()), changed, host.now())
}

fn changed<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    version: &Version,
    by: &By,
    change: &Change,
) -> Result<(), Unanswered> {
    let now = host.now();
    match change {
        Change::Hold { keys, reason, until } => {
            let until = until.map(|until| ahead(until, HOLD_MAX, now)).transpose()?;
            let held = record.hold(version, some(keys.as_deref())?, &by.name, reasoned(reason)?, until, now)?;
            unless_too_late(host, version, held)?;
        }
        Change::Extend { keys, until, reason } => {
            let until = ahead(*until, EXTENSION_MAX, now)?;
            let held = record.extend(version, some(keys.as_deref())?, until, &by.name, reasoned(reason)?, now)?;
            unless_too_late(host, version, held)?;
        }
        Change::Lift { keys, reason } => {
            record.lift(version, some(keys.as_deref())?, &by.name, reasoned(reason)?, now)?;
        }
        Change::Close { reason } => record.close(version, &by.name, reasoned(reason)?, now)?,
        Change::Override { keys, gates, reason } => {
            let reason = reasoned(reason)?;
            let keys = match keys {
                Some(keys) => keys,
                None => &record.keys(version)?,
            };
            let keys = some(Some(keys))?.unwrap_or_default();
            let kinds = kinds(gates)?;
            if let Some(denied) = unnamed(config, project, version, by, keys, &kinds) {
                return Err(denied.into());
            }
            let by_id = by.id.unwrap_or_default();
            let over = GateOverride { keys, gates: &kinds, by_id, by: &by.name, reason };
            record.override_gates(version, &over, now)?;
        }
        // Whether or not a gate asks for it: what runs somewhere stays in staging.
        Change::Deployed { environment } => {
            record.deployed(version, None, environment, &by.name, Some(now), now)?;
        }
    }
    host.announce(version);
    Ok(())
}

/// Whoever wants something kept whose deletion is on its way hears that, and never that all is well.
fn unless_too_late(host: &impl ProjectHost, version: &Version, held: Held) -> Result<(), Denied> {
    let Held::TooLate(keys) = held else { return Ok(()) };
    host.announce(version);
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    let what = format!(
        "It is written down, but too late for {}: it is deleted from staging, or its deletion is on its way, perhaps by the job that \
         stages other bytes instead; whether it is done is seen in a few minutes. For everything else it counts.",
        keys.join(", ")
    );
    Err(Denied::new(409, "too-late", what))
}

/// A moment that lies ahead, and not further than that.
fn ahead(until: Timestamp, max: Duration, now: Timestamp) -> Result<Timestamp, Denied> {
    let why = if until <= now {
        "is over already".to_owned()
    } else if until > now + max {
        format!("is more than {} days ahead", max.as_secs() / 86_400)
    } else {
        return Ok(until);
    };
    Err(Denied::new(422, "bad-request", format!("`until` is {until}, which {why}.")))
}

/// The gates that are to be opened.
fn kinds(names: &[String]) -> Result<Vec<GateKind>, Denied> {
    let known = || GateKind::ALL.into_iter().filter(|kind| *kind != GateKind::Hold);
    let kind = |name: &String| {
        known().find(|kind| kind.code() == name).ok_or_else(|| {
            let known: Vec<&str> = known().map(GateKind::code).collect();
            let what = format!("`{name}` is not a gate that is overridden; these are: {}.", known.join(", "));
            Denied::new(422, "bad-request", what)
        })
    };
    let kinds: Vec<GateKind> = names.iter().map(kind).collect::<Result<_, _>>()?;
    if kinds.is_empty() {
        return Err(Denied::new(422, "bad-request", "Name at least one gate.".to_owned()));
    }
    Ok(kinds)
}

/// Every gate that is to be opened must name the one who opens it, for every package. The first that does not.
fn unnamed(
    config: &Config,
    project: &Project,
    version: &Version,
    by: &By,
    keys: &[Key],
    kinds: &[GateKind],
) -> Option<Denied> {
    keys.iter().find_map(|key| {
        let gates = config.gates(project.name.as_str(), version, key);
        let theirs = |kind: &GateKind| {
            gates.iter().any(|gate| gate.asks_for(*kind) && by.id.is_some_and(|id| gate.override_people.contains(&id)))
        };
        let kind = kinds.iter().find(|kind| !theirs(kind))?;
        let what = format!(
            "The gate `{}` of `{key}` of {} {version} does not name {} in `override_people`; somebody whom it names may \
             open it.",
            kind.code(),
            project.name,
            by.name
        );
        Some(Denied::new(403, "not-allowed", what))
    })
}

/// A list that names something, where there is one.
fn some(keys: Option<&[Key]>) -> Result<Option<&[Key]>, Denied> {
    match keys {
        Some(keys) if keys.is_empty() || keys.len() > KEYS_MAX => {
            let what = format!("Name 1 to {KEYS_MAX} keys, or leave `keys` out for all.");
            Err(Denied::new(422, "bad-request", what))
        }
        keys => Ok(keys),
    }
}

/// A reason that others can read.
pub fn reasoned(reason: &str) -> Result<&str, Denied> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARACTERS_MAX || !is_one_line(reason) {
        let what =
            format!("Give a reason, one line of at most {REASON_CHARACTERS_MAX} characters: others will ask for it.");
        return Err(Denied::new(422, "no-reason", what));
    }
    Ok(reason)
}
