//! Why a package may not be released now: what its gates ask for, against what is known, at one moment.
//!
//! Every closed gate says in one sentence what is missing, and where that can be told, until when. Nothing here is
//! remembered: the same question is asked when somebody wants to release a package and again right before its bytes are
//! sent, and each time the answer is made of what is known then.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slipway_gitlab::{JobStatus, PipelineJob};

use crate::api;
use crate::config::{Gate, SoakAfter};
use crate::release::Key;
use crate::time::Timestamp;

/// How many names a sentence lists before it counts the rest.
const NAMES_MAX: usize = 5;

/// The kinds of gates, as people name them when they override one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// Every package of the release is staged.
    Staged,
    /// The bytes are deployed to environments.
    Deployed,
    /// Jobs have succeeded.
    Jobs,
    /// Time has passed.
    Soak,
    /// No freeze.
    Freeze,
    /// Two people.
    SecondPerson,
    /// Nobody holds it. A hold is lifted, not overridden.
    Hold,
}

impl GateKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Staged, Self::Deployed, Self::Jobs, Self::Soak, Self::Freeze, Self::SecondPerson, Self::Hold];

    /// Its name in the API, in `slipway.toml` and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Deployed => "deployed",
            Self::Jobs => "jobs",
            Self::Soak => "soak",
            Self::Freeze => "freeze",
            Self::SecondPerson => "second_person",
            Self::Hold => "hold",
        }
    }
}

/// Somebody holds a package back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// Somebody has opened a gate for a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The kind of gate.
    pub gate: GateKind,
    /// GitLab's id of the person. It counts for gates that name them.
    pub by: u64,
}

/// What GitLab says of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineFacts {
    /// GitLab's id of whoever started it.
    pub started_by: Option<u64>,
    /// All of its jobs, each in its newest run.
    pub jobs: Vec<ListedJob>,
}

/// A job's name and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedJob {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub status: JobStatus,
}

impl From<PipelineJob> for ListedJob {
    fn from(PipelineJob { name, status }: PipelineJob) -> Self {
        Self { name, status }
    }
}

/// What is known of a package when its gates are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The pipeline that declared it.
    pub pipeline_id: u64,
    /// How many packages its release has that are to be shipped.
    pub packages: usize,
    /// Those that are not staged.
    pub unstaged: Vec<Key>,
    /// Since when its bytes are in staging, without a break.
    pub staged_at: Option<Timestamp>,
    /// Where these bytes are deployed, and since when.
    pub deployed: BTreeMap<String, Timestamp>,
    /// What GitLab said of its pipeline. `None` as long as nobody has asked.
    pub pipeline: Option<PipelineFacts>,
    /// GitLab's id of whoever asks for its release. `None` where nobody does.
    pub asked_by: Option<u64>,
    /// Who holds it back.
    pub holds: Vec<Hold>,
    /// What was opened for it.
    pub overrides: Vec<Override>,
}

/// A gate that is closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// Its kind.
    pub gate: GateKind,
    /// What is missing: a sentence without its end, which can go on after the package's name.
    pub why: String,
    /// When it opens by itself, where that can be told.
    pub until: Option<Timestamp>,
}

impl Closed {
    /// As the API shows it.
    pub fn shown(&self) -> api::Blocked {
        let until = self.until.map(|until| until.to_string());
        api::Blocked { gate: self.gate.code().to_owned(), why: format!("{}.", self.why), until }
    }
}

/// Everything that keeps a package from being released now, holds first. Empty when it may be.
pub fn closed(gates: &[&Gate], facts: &Facts, now: Timestamp) -> Vec<Closed> {
    let held = facts.holds.iter().map(|Hold { by, reason, at }| Closed {
        gate: GateKind::Hold,
        why: format!("it is on hold by {by} since {}: {}", moment(*at), sentence(reason)),
        until: None,
    });
    let mut closed: Vec<Closed> = held.collect();
    let mut seen = BTreeSet::new();
    for gate in gates {
        let is_open = |kind: GateKind| {
            facts.overrides.iter().any(|open| open.gate == kind && gate.override_people.contains(&open.by))
        };
        let found = [
            staged(gate, facts),
            deployed(gate, facts),
            jobs(gate, facts),
            soak(gate, facts, now),
            freeze(gate, now),
            second_person(gate, facts),
        ];
        for one in found.into_iter().flatten().filter(|one| !is_open(one.gate)) {
            if seen.insert(one.clone()) {
                closed.push(one);
            }
        }
    }
    closed
}

/// What keeps a package back, in one sentence.
pub fn sentence_of(key: &Key, closed: &[Closed]) -> String {
    let whys: Vec<&str> = closed.iter().map(|closed| closed.why.as_str()).collect();
    format!("`{key}` may not be released yet: {}", whys.join("; "))
}

/// Whether the gates ask for something that only GitLab knows.
pub fn needs_pipeline(gates: &[&Gate]) -> bool {
    gates.iter().any(|gate| !gate.jobs.is_empty() || gate.second_person)
}

fn staged(gate: &Gate, facts: &Facts) -> Option<Closed> {
    if !gate.staged || facts.unstaged.is_empty() {
        return None;
    }
    let count = facts.unstaged.len();
    let are = if count == 1 { "is" } else { "are" };
    let names = listed(facts.unstaged.iter().map(Key::as_str));
    let why = format!("{count} of {} packages of the release {are} not staged: {names}", facts.packages);
    Some(Closed { gate: GateKind::Staged, why, until: None })
}

fn deployed(gate: &Gate, facts: &Facts) -> Option<Closed> {
    let missing: Vec<&str> =
        gate.deployed.iter().map(String::as_str).filter(|name| !facts.deployed.contains_key(*name)).collect();
    (!missing.is_empty()).then(|| Closed {
        gate: GateKind::Deployed,
        why: format!("what is staged is not deployed to {} yet", listed(missing)),
        until: None,
    })
}

fn jobs(gate: &Gate, facts: &Facts) -> Option<Closed> {
    if gate.jobs.is_empty() {
        return None;
    }
    let pipeline_id = facts.pipeline_id;
    let closed = |why: String| Some(Closed { gate: GateKind::Jobs, why, until: None });
    let Some(pipeline) = &facts.pipeline else {
        return closed(format!("nobody has asked GitLab yet how the jobs of pipeline {pipeline_id} ended"));
    };
    let mut open = Vec::new();
    for name in &gate.jobs {
        let mut own = pipeline.jobs.iter().filter(|job| is_of(&job.name, name)).peekable();
        if own.peek().is_none() {
            open.push(format!("has no job `{name}`, which must succeed"));
        }
        let unfinished = own.find(|job| job.status != JobStatus::Success);
        if let Some(ListedJob { name, status }) = unfinished {
            open.push(format!("has the job `{name}` {status}, which must succeed"));
        }
    }
    if open.is_empty() { None } else { closed(format!("pipeline {pipeline_id} {}", open.join(" and "))) }
}

/// Whether a job is one of those that stand behind a name in the configuration: itself, or a part of it that GitLab made
/// of `parallel`: `qa 1/3`, `qa: [jammy, amd64]`.
fn is_of(job: &str, name: &str) -> bool {
    let Some(rest) = job.strip_prefix(name) else { return false };
    let is_numbered = || {
        let parts = rest.strip_prefix(' ').and_then(|rest| rest.split_once('/'));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        parts.is_some_and(|(number, all)| digits(number) && digits(all))
    };
    rest.is_empty() || rest.starts_with(": [") && rest.ends_with(']') || is_numbered()
}

fn soak(gate: &Gate, facts: &Facts, now: Timestamp) -> Option<Closed> {
    let soak = gate.soak?;
    let for_time = humantime::format_duration(soak);
    let (since, place) = match gate.soak_after {
        SoakAfter::Staged => (facts.staged_at, "staged".to_owned()),
        SoakAfter::Deployed => {
            let each = gate.deployed.iter().map(|name| facts.deployed.get(name).copied());
            let all: Option<Vec<Timestamp>> = each.collect();
            (all.and_then(|all| all.into_iter().max()), format!("deployed to {}", listed(&gate.deployed)))
        }
    };
    let Some(since) = since else {
        let why = format!("it has to be {place} for {for_time}, and is not yet");
        return Some(Closed { gate: GateKind::Soak, why, until: None });
    };
    // A beginning that lies ahead was written down by a clock that was wrong; the soak begins now at the latest.
    let until = since.min(now) + soak;
    (now < until).then(|| Closed {
        gate: GateKind::Soak,
        why: format!("it has to be {place} for {for_time}, which it is at {}", moment(until)),
        until: Some(until),
    })
}

fn freeze(gate: &Gate, now: Timestamp) -> Option<Closed> {
    let frozen = gate.freeze.iter().filter(|freeze| (freeze.from..freeze.until).contains(&now));
    frozen.max_by_key(|freeze| freeze.until).map(|freeze| Closed {
        gate: GateKind::Freeze,
        why: format!("releases are frozen until {}: {}", moment(freeze.until), sentence(&freeze.why)),
        until: Some(freeze.until),
    })
}

fn second_person(gate: &Gate, facts: &Facts) -> Option<Closed> {
    let asked_by = facts.asked_by.filter(|_| gate.second_person)?;
    let pipeline_id = facts.pipeline_id;
    let why = match facts.pipeline.as_ref().and_then(|pipeline| pipeline.started_by) {
        Some(started_by) if started_by != asked_by => return None,
        Some(_) => format!("who plays its job has started pipeline {pipeline_id}, and a second person must play it"),
        None => {
            format!("GitLab does not say who has started pipeline {pipeline_id}, and a second person must play its job")
        }
    };
    Some(Closed { gate: GateKind::SecondPerson, why, until: None })
}

/// Names between backticks, the first few of many.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().checked_sub(NAMES_MAX) {
        Some(more @ 1..) => {
            let first = names.into_iter().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
            format!("{first} and {more} more")
        }
        _ => names.join(", "),
    }
}

/// What a person wrote, as a part of a sentence.
fn sentence(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}

/// `2026-12-27 00:00:00 UTC`.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", clock.split('.').next().unwrap_or_default())
}
