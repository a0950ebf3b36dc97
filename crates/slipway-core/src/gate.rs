//! Why a package may not be released now: what its gates ask for, against what is known, at one moment.
//!
//! Every closed gate says in one sentence what is missing, and where that can be told, until when. Nothing here is
//! remembered: the same question is asked when somebody wants to release a package and again right before its bytes are
//! sent, and each time the answer is made of what is known then.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_gitlab::JobStatus;
use slipway_oci::{Numbered, Tag};
use slipway_package::{Filename, PackageVersion, Series};

use crate::api;
use crate::audit::person;
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
    /// No higher version is released.
    Newest,
    /// Nobody holds it. A hold is lifted, not overridden.
    Hold,
}

impl GateKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Staged,
        Self::Deployed,
        Self::Jobs,
        Self::Soak,
        Self::Freeze,
        Self::SecondPerson,
        Self::Newest,
        Self::Hold,
    ];

    /// Its name in the API, in `slipway.toml` and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Deployed => "deployed",
            Self::Jobs => "jobs",
            Self::Soak => "soak",
            Self::Freeze => "freeze",
            Self::SecondPerson => "second_person",
            Self::Newest => "newest",
            Self::Hold => "hold",
        }
    }

    /// The kind of this name.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Who does what while it is closed. Nothing is released by itself when it opens.
    pub fn next(self) -> &'static str {
        match self {
            Self::Staged => "wait for the build jobs of the others, or run those that failed again.",
            Self::Deployed => "deploy what is staged; the job that deploys tells Slipway.",
            Self::Jobs => "look at that job in GitLab, and run it again when it is mended.",
            Self::Soak => "wait until then, and play the release job.",
            Self::Freeze => "wait until then, or ask somebody who may override it.",
            Self::SecondPerson => "have somebody else play the release job.",
            Self::Newest => "a newer one is out already; if this is meant, ask somebody who may override it.",
            Self::Hold => "talk to whoever holds it; `slipway hold --lift` ends it.",
        }
    }
}

/// A span of time in words: `1 day 2h`.
pub(crate) fn span(duration: Duration) -> String {
    let parts = humantime::format_duration(duration).to_string();
    let part = |part: &str| {
        let number = part.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = part.strip_prefix(number).unwrap_or_default();
        // One letter is read as a unit beside its number, a word is not.
        if unit.len() > 2 { format!("{number} {unit}") } else { part.to_owned() }
    };
    parts.split(' ').map(part).collect::<Vec<_>>().join(" ")
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
    /// Until when. Without it, until somebody lifts it.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether it is not over. It is judged and not ended: a clock that ran ahead and is right again finds it as it was.
    pub fn counts_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
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

impl From<slipway_gitlab::ListedJob> for ListedJob {
    fn from(slipway_gitlab::ListedJob { name, status, .. }: slipway_gitlab::ListedJob) -> Self {
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
    /// The version of what is declared for it.
    pub own: Option<ShippedVersion>,
    /// The versions of what other releases have made public under the same key.
    pub released: Vec<ShippedVersion>,
    /// GitLab's id of whoever asks for its release. `None` where nobody does.
    pub asked_by: Option<u64>,
    /// Who holds it back.
    pub holds: Vec<Hold>,
    /// What was opened for it.
    pub overrides: Vec<Override>,
}

/// The version that somebody gets who installs a package or pulls an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShippedVersion {
    /// What a package's file name tells.
    Package(PackageVersion),
    /// What an image's final tag tells.
    Image(Tag, Numbered),
}

impl ShippedVersion {
    /// The version of a file. `None` when its name tells none.
    pub fn of_file(filename: &Filename) -> Option<Self> {
        filename.version().map(Self::Package)
    }

    /// The version of an image: the highest that its final tags tell. `None` when none of them is a version.
    pub fn of_tags(tags: impl IntoIterator<Item = Tag>) -> Option<Self> {
        let read = tags.into_iter().filter_map(|tag| Numbered::read(tag.as_str()).map(|version| (version, tag)));
        read.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(version, tag)| Self::Image(tag, version))
    }

    /// How it stands to another. `None` where the two have no order.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Package(one), Self::Package(other)) => one.compare(other),
            (Self::Image(_, one), Self::Image(_, other)) => Some(one.cmp(other)),
            _ => None,
        }
    }

    /// Whether both are of one series.
    fn shares(&self, series: Series, other: &Self) -> bool {
        match (self, other) {
            (Self::Package(one), Self::Package(other)) => one.shares(series, other),
            (Self::Image(_, one), Self::Image(_, other)) => {
                let count = match series {
                    Series::All => 0,
                    Series::Major => 1,
                    Series::Minor => 2,
                };
                one.beginning(count) == other.beginning(count)
            }
            _ => false,
        }
    }
}

impl fmt::Display for ShippedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(version) => version.fmt(f),
            Self::Image(tag, _) => tag.fmt(f),
        }
    }
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
        api::Blocked {
            gate: self.gate.code().to_owned(),
            why: format!("{}.", self.why),
            until: self.until.map(|until| until.to_string()),
            next: Some(self.gate.next().to_owned()),
        }
    }
}

/// Everything that keeps a package from being released now, holds first. Empty when it may be.
pub fn closed(gates: &[&Gate], facts: &Facts, now: Timestamp) -> Vec<Closed> {
    let held = facts.holds.iter().filter(|hold| hold.counts_at(now)).map(|Hold { by, reason, at, until }| {
        let end = until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
        let (by, at) = (person(by), moment(*at));
        Closed {
            gate: GateKind::Hold,
            why: format!("it is on hold by {by} since {at}{end}: {}", sentence(reason)),
            until: *until,
        }
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
            newest(gate, facts),
        ];
        for one in found.into_iter().flatten().filter(|one| !is_open(one.gate)) {
            if seen.insert(one.clone()) {
                closed.push(one);
            }
        }
    }
    closed
}

/// When the answer of [`closed`] changes by time alone: a soak or a hold ends, a freeze begins or ends. `None` when it never does.
pub fn turns(gates: &[&Gate], facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let soaks = gates.iter().filter_map(|gate| soak(gate, facts, now)).filter_map(|closed| closed.until);
    let freezes = gates.iter().flat_map(|gate| &gate.freeze).flat_map(|freeze| [freeze.from, freeze.until]);
    let holds = facts.holds.iter().filter_map(|hold| hold.until);
    soaks.chain(freezes.chain(holds).filter(|at| now < *at)).min()
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
pub fn is_of(job: &str, name: &str) -> bool {
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
    let for_time = span(soak);
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

/// An old build that is released late is what somebody would wait for who wants a hole back that was closed since.
fn newest(gate: &Gate, facts: &Facts) -> Option<Closed> {
    let series = gate.newest?;
    let own = facts.own.as_ref()?;
    let is_higher = |other: &ShippedVersion| other.compare(own) == Some(Ordering::Greater);
    let higher = facts.released.iter().filter(|other| own.shares(series, other) && is_higher(other));
    let highest =
        higher.reduce(|one, other| if other.compare(one) == Some(Ordering::Greater) { other } else { one })?;
    let why = format!("it is {own}, and the higher {highest} is released already");
    Some(Closed { gate: GateKind::Newest, why, until: None })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 10:00:00 UTC: 20,780 days and ten hours after the epoch.
    const NOW: Timestamp = Timestamp((20_780 * 24 + 10) * 3_600_000);
    const MINUTE: i64 = 60_000;

    fn ago(minutes: i64) -> Timestamp {
        Timestamp(NOW.0 - minutes * MINUTE)
    }

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| name.parse().expect("a key")).collect()
    }

    /// A package of which everything is as the strictest gate wants it, asked for by person 8 after person 7 had started
    /// the pipeline.
    fn good() -> Facts {
        Facts {
            pipeline_id: 47,
            packages: 3,
            unstaged: Vec::new(),
            staged_at: Some(ago(120)),
            deployed: [("staging".to_owned(), ago(100)), ("production".to_owned(), ago(90))].into(),
            pipeline: Some(pipeline(Some(7), &[("qa", "success"), ("build", "success")])),
            own: Some(file("1.2.0")),
            released: vec![file("1.1.0"), file("1.2.0~rc1")],
            asked_by: Some(8),
            holds: Vec::new(),
            overrides: Vec::new(),
        }
    }

    fn pipeline(started_by: Option<u64>, jobs: &[(&str, &str)]) -> PipelineFacts {
        let listed = |(name, status): &(&str, &str)| ListedJob {
            name: (*name).to_owned(),
            status: JobStatus::from((*status).to_owned()),
        };
        PipelineFacts { started_by, jobs: jobs.iter().map(listed).collect() }
    }

    fn file(version: &str) -> ShippedVersion {
        let name = format!("tug_{version}_amd64.deb").parse().expect("a name");
        ShippedVersion::of_file(&name).expect("a name with a version")
    }

    fn tags(tags: &[&str]) -> Option<ShippedVersion> {
        ShippedVersion::of_tags(tags.iter().map(|tag| tag.parse().expect("a tag")))
    }

    fn gate(text: &str) -> Gate {
        toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// What the gates say, a line each: kind, sentence, and when it opens by itself.
    fn said(gates: &[Gate], facts: &Facts) -> Vec<String> {
        let gates: Vec<&Gate> = gates.iter().collect();
        let line = |closed: &Closed| {
            let until = closed.until.map(|until| format!(" | {}", moment(until))).unwrap_or_default();
            format!("{}: {}{until}", closed.gate.code(), closed.why)
        };
        closed(&gates, facts, NOW).iter().map(line).collect()
    }

    const ALL: &str = r#"
        staged = true
        deployed = ["staging", "production"]
        jobs = ["qa"]
        soak = "1h"
        soak_after = "deployed"
        freeze = [{ from = "2026-12-20T00:00:00Z", until = "2026-12-27T00:00:00Z", why = "holidays" }]
        second_person = true
        newest = "all"
        override_people = [9]
    "#;

    #[test]
    fn gates_whose_wishes_are_all_met_are_open() {
        assert!(said(&[gate(ALL)], &good()).is_empty());
        assert!(said(&[], &good()).is_empty());
    }

    #[test]
    fn the_next_turn_is_the_first_moment_at_which_time_alone_opens_or_closes_a_gate() {
        let frozen =
            "freeze = [{ from = \"2026-12-20T00:00:00Z\", until = \"2026-12-27T00:00:00Z\", why = \"holidays\" }]";
        let begins = Timestamp((20_807 * 24) * 3_600_000);
        let ends = Timestamp((20_814 * 24) * 3_600_000);
        for (texts, now, expected) in [
            (&["staged = true\njobs = [\"qa\"]"][..], NOW, None),
            // Staged two hours ago: a soak of one hour is over, one of three has an hour to go.
            (&["soak = \"1h\""], NOW, None),
            (&["soak = \"3h\""], NOW, Some(ago(-60))),
            (&["soak = \"3h\"", "soak = \"2h 30m\""], NOW, Some(ago(-30))),
            (&["soak = \"1h 40m\"\nsoak_after = \"deployed\"\ndeployed = [\"production\"]"], NOW, Some(ago(-10))),
            (&["soak = \"1h\"\nsoak_after = \"deployed\"\ndeployed = [\"elsewhere\"]"], NOW, None),
            (&[frozen], NOW, Some(begins)),
            (&[frozen], begins, Some(ends)),
            (&[frozen], ends, None),
            (&[frozen, "soak = \"3h\""], NOW, Some(ago(-60))),
        ] {
            let gates: Vec<Gate> = texts.iter().map(|text| gate(text)).collect();
            let gates: Vec<&Gate> = gates.iter().collect();
            let found = turns(&gates, &good(), now);
            assert_eq!(found, expected, "{texts:?}");
            // What is said is the same until then, and is not what is said from then on.
            if let Some(at) = found {
                let said = |now: Timestamp| closed(&gates, &good(), now);
                assert_eq!(said(now), said(Timestamp(at.0 - 1)), "{texts:?}");
                assert_ne!(said(now), said(at), "{texts:?}");
            }
        }
    }

    #[test]
    fn a_lower_version_than_one_that_is_released_waits_for_somebody_to_allow_it_and_another_series_does_not() {
        for (series, own, released, expected) in [
            ("all", "1.2.0", &["1.1.9", "1.2.0~rc1"][..], None),
            ("all", "1.2.0", &[], None),
            ("all", "1.2.0", &["1.2.0"], None),
            ("all", "1.2.0", &["1.2.1", "1.10.0", "1.9.0"], Some("1.10.0")),
            ("all", "1.2.0~rc1", &["1.2.0"], Some("1.2.0")),
            ("all", "1.2.0-1", &["1.2.0-2"], Some("1.2.0-2")),
            // A fix of an older series is what people do every month.
            ("minor", "1.2.9", &["1.3.0", "2.0.0"], None),
            ("minor", "1.2.8", &["1.3.0", "1.2.9"], Some("1.2.9")),
            ("major", "1.2.9", &["1.3.0", "2.0.0"], Some("1.3.0")),
        ] {
            let released = released.iter().map(|version| file(version)).collect();
            let facts = Facts { own: Some(file(own)), released, ..good() };
            let said = said(&[gate(&format!("newest = \"{series}\"\noverride_people = [9]"))], &facts);
            let expected =
                expected.map(|high| format!("newest: it is {own}, and the higher {high} is released already"));
            assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{series} {own}");
            let allowed = Facts { overrides: vec![Override { gate: GateKind::Newest, by: 9 }], ..facts };
            assert!(self::said(&[gate(&format!("newest = \"{series}\"\noverride_people = [9]"))], &allowed).is_empty());
        }
    }

    #[test]
    fn an_image_with_a_lower_tag_than_one_that_is_released_waits_as_a_package_does() {
        for (series, own, released, expected) in [
            ("all", &["17.3.1"][..], &[&["17.3.0"][..], &["17.3.1-rc2"]][..], None),
            ("all", &["17.3.1"], &[&["17.10.0"], &["17.4.0"]], Some(("17.3.1", "17.10.0"))),
            ("all", &["17.3.1-rc1"], &[&["17.3.1"]], Some(("17.3.1-rc1", "17.3.1"))),
            ("all", &["nightly", "17.3.0"], &[&["17.3.1", "stable"]], Some(("17.3.0", "17.3.1"))),
            ("all", &["nightly"], &[&["17.3.1"]], None),
            ("minor", &["17.3.9"], &[&["17.4.0"]], None),
            ("major", &["17.3.9"], &[&["17.4.0"], &["18.0.0"]], Some(("17.3.9", "17.4.0"))),
        ] {
            let released = released.iter().filter_map(|released| tags(released)).collect();
            let facts = Facts { own: tags(own), released, ..good() };
            let said = said(&[gate(&format!("newest = \"{series}\"\noverride_people = [9]"))], &facts);
            let expected =
                expected.map(|(own, high)| format!("newest: it is {own}, and the higher {high} is released already"));
            assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{series} {own:?}");
        }
    }

    #[test]
    fn each_gate_names_in_one_sentence_what_is_missing() {
        type Spoil = fn(&mut Facts);
        let cases: &[(&str, Spoil, &str)] = &[
            (
                "staged = true",
                |facts| facts.unstaged = keys(&["el-9", "jammy"]),
                "staged: 2 of 3 packages of the release are not staged: `el-9`, `jammy`",
            ),
            (
                "staged = true",
                |facts| facts.unstaged = keys(&["a", "b", "c", "d", "e", "f", "g"]),
                "staged: 7 of 3 packages of the release are not staged: `a`, `b`, `c`, `d`, `e` and 2 more",
            ),
            (
                r#"deployed = ["staging", "production"]"#,
                |facts| facts.deployed.retain(|name, _| name == "staging"),
                "deployed: what is staged is not deployed to `production` yet",
            ),
            (
                r#"deployed = ["staging", "production"]"#,
                |facts| facts.deployed.clear(),
                "deployed: what is staged is not deployed to `staging`, `production` yet",
            ),
            (
                r#"jobs = ["qa"]"#,
                |facts| facts.pipeline = Some(pipeline(Some(7), &[("qa", "running")])),
                "jobs: pipeline 47 has the job `qa` running, which must succeed",
            ),
            (
                r#"jobs = ["qa", "scan"]"#,
                |facts| facts.pipeline = Some(pipeline(Some(7), &[("qa", "failed"), ("qa-later", "success")])),
                "jobs: pipeline 47 has the job `qa` failed, which must succeed and has no job `scan`, which must succeed",
            ),
            (
                r#"jobs = ["qa"]"#,
                |facts| {
                    facts.pipeline =
                        Some(pipeline(None, &[("qa: [jammy, amd64]", "success"), ("qa: [el-9]", "manual")]));
                },
                "jobs: pipeline 47 has the job `qa: [el-9]` manual, which must succeed",
            ),
            (
                r#"jobs = ["qa"]"#,
                |facts| facts.pipeline = Some(pipeline(None, &[("qa 1/2", "success"), ("qa 2/2", "canceled")])),
                "jobs: pipeline 47 has the job `qa 2/2` canceled, which must succeed",
            ),
            (
                r#"jobs = ["qa"]"#,
                |facts| facts.pipeline = None,
                "jobs: nobody has asked GitLab yet how the jobs of pipeline 47 ended",
            ),
            (
                r#"soak = "3h""#,
                |_| {},
                "soak: it has to be staged for 3h, which it is at 2026-11-23 11:00:00 UTC | 2026-11-23 11:00:00 UTC",
            ),
            (r#"soak = "90s""#, |facts| facts.staged_at = None, "soak: it has to be staged for 1m 30s, and is not yet"),
            (
                "deployed = [\"staging\", \"production\"]\nsoak = \"2h\"\nsoak_after = \"deployed\"",
                |_| {},
                "soak: it has to be deployed to `staging`, `production` for 2h, which it is at 2026-11-23 10:30:00 UTC \
                 | 2026-11-23 10:30:00 UTC",
            ),
            (
                r#"freeze = [{ from = "2026-11-23T10:00:00Z", until = "2026-11-24T00:00:00Z", why = "An audit." }]"#,
                |_| {},
                "freeze: releases are frozen until 2026-11-24 00:00:00 UTC: An audit | 2026-11-24 00:00:00 UTC",
            ),
            (
                "second_person = true",
                |facts| facts.asked_by = Some(7),
                "second_person: who plays its job has started pipeline 47, and a second person must play it",
            ),
            (
                "second_person = true",
                |facts| facts.pipeline = Some(pipeline(None, &[])),
                "second_person: GitLab does not say who has started pipeline 47, and a second person must play its job",
            ),
            (
                "staged = true",
                |facts| {
                    facts.holds = vec![Hold {
                        by: "user:nell".to_owned(),
                        reason: "bad notes.".to_owned(),
                        at: ago(5),
                        until: None,
                    }];
                },
                "hold: it is on hold by nell since 2026-11-23 09:55:00 UTC: bad notes",
            ),
        ];
        for (text, spoil, sentence) in cases {
            let mut facts = good();
            spoil(&mut facts);
            assert_eq!(said(&[gate(text)], &facts), [*sentence], "{text}");
        }
    }

    #[test]
    fn a_gate_opens_at_the_moment_that_it_names_and_not_before() {
        let soak = gate(r#"soak = "1h""#);
        for (since, is_open) in [(ago(60), true), (Timestamp(ago(60).0 + 1), false), (Timestamp(NOW.0 + 1), false)] {
            let facts = Facts { staged_at: Some(since), ..good() };
            assert_eq!(said(std::slice::from_ref(&soak), &facts).is_empty(), is_open, "{since}");
        }
        for (from, until, is_open) in [
            ("2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z", true),
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:01Z", false),
            ("2026-11-23T10:00:01Z", "2026-11-23T11:00:00Z", true),
        ] {
            let freeze = gate(&format!(r#"freeze = [{{ from = "{from}", until = "{until}", why = "x" }}]"#));
            assert_eq!(said(&[freeze], &good()).is_empty(), is_open, "{from} to {until}");
        }
    }

    #[test]
    fn a_soak_that_a_wrong_clock_began_in_the_future_begins_now() {
        let facts = Facts { staged_at: Some(Timestamp(NOW.0 + 600 * MINUTE)), ..good() };
        assert_eq!(
            said(&[gate(r#"soak = "1h""#)], &facts),
            ["soak: it has to be staged for 1h, which it is at 2026-11-23 11:00:00 UTC | 2026-11-23 11:00:00 UTC"]
        );
    }

    #[test]
    fn of_two_freezes_the_one_that_ends_last_is_named() {
        let freeze = |from: &str, until: &str| {
            format!(r#"{{ from = "2026-11-23T{from}:00Z", until = "2026-11-23T{until}:00Z", why = "until {until}" }}"#)
        };
        let (long, short) = (freeze("08:00", "12:00"), freeze("09:00", "11:00"));
        for both in [format!("{long}, {short}"), format!("{short}, {long}")] {
            let found = said(&[gate(&format!("freeze = [{both}]"))], &good());
            assert_eq!(found.len(), 1);
            assert!(found[0].contains("until 12:00"), "{found:?}");
        }
    }

    #[test]
    fn a_job_stands_for_its_own_name_and_its_parallel_parts_and_for_no_name_that_only_begins_alike() {
        for (job, counts) in [
            ("qa", true),
            ("qa 1/3", true),
            ("qa 10/12", true),
            ("qa: [jammy]", true),
            ("qa: [jammy, amd64]", true),
            ("qa-later", false),
            ("qa later", false),
            ("qa 1", false),
            ("qa 1/", false),
            ("qa /3", false),
            ("qa 1/x", false),
            ("qa:", false),
            ("qa: jammy", false),
            ("qa: [jammy", false),
            ("QA", false),
            ("the qa", false),
        ] {
            // One that failed closes the gate, if it is one of those; `qa` itself has succeeded.
            let jobs = pipeline(Some(7), &[("qa", "success"), (job, "failed")]);
            let facts = Facts { pipeline: Some(jobs), ..good() };
            assert_eq!(said(&[gate(r#"jobs = ["qa"]"#)], &facts).len(), usize::from(counts), "{job}");
            // And alone, with success, it opens it.
            let facts = Facts { pipeline: Some(pipeline(Some(7), &[(job, "success")])), ..good() };
            assert_eq!(said(&[gate(r#"jobs = ["qa"]"#)], &facts).is_empty(), counts, "{job}");
        }
    }

    #[test]
    fn only_gates_that_ask_for_what_gitlab_knows_need_it() {
        for (text, needs) in [
            ("staged = true", false),
            ("deployed = [\"x\"]", false),
            ("soak = \"1h\"", false),
            ("jobs = [\"qa\"]", true),
            ("second_person = true", true),
        ] {
            assert_eq!(needs_pipeline(&[&gate("staged = true"), &gate(text)]), needs, "{text}");
        }
    }

    #[test]
    fn an_override_opens_one_kind_of_gate_that_names_its_person_and_no_hold() {
        let strict = [gate("soak = \"3h\"\nstaged = true\noverride_people = [9]"), gate("soak = \"4h\"")];
        let mut facts = Facts { unstaged: keys(&["jammy"]), ..good() };
        let kinds = |facts: &Facts| {
            said(&strict, facts)
                .iter()
                .map(|line| line.split_once(':').map_or("", |(kind, _)| kind).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(&facts), ["staged", "soak", "soak"]);
        facts.overrides = vec![Override { gate: GateKind::Soak, by: 8 }];
        assert_eq!(kinds(&facts), ["staged", "soak", "soak"], "nobody has named person 8");
        facts.overrides = vec![Override { gate: GateKind::Soak, by: 9 }];
        assert_eq!(kinds(&facts), ["staged", "soak"], "the second gate names nobody");
        facts.overrides.push(Override { gate: GateKind::Hold, by: 9 });
        facts.holds = vec![Hold { by: "x".to_owned(), reason: "y".to_owned(), at: NOW, until: None }];
        assert_eq!(kinds(&facts), ["hold", "staged", "soak"]);
    }

    #[test]
    fn whoever_only_looks_is_not_taken_for_the_one_who_plays() {
        let facts = Facts { asked_by: None, ..good() };
        assert!(said(&[gate("second_person = true")], &facts).is_empty());
    }

    #[test]
    fn a_span_of_time_reads_as_words() {
        for (minutes, words) in [(90, "1h 30m"), (24 * 60, "1 day"), (50 * 60, "2 days 2h")] {
            assert_eq!(span(Duration::from_mins(minutes)), words);
        }
    }

    #[test]
    fn every_kind_of_gate_is_known_by_its_name_and_says_what_to_do() {
        for kind in GateKind::ALL {
            assert_eq!(GateKind::of(kind.code()), Some(kind));
            assert!(kind.next().ends_with('.'), "{}", kind.next());
        }
        assert_eq!(GateKind::of("moon"), None);
    }

    #[test]
    fn all_that_is_in_the_way_is_one_sentence() {
        let closed = [
            Closed { gate: GateKind::Hold, why: "a".to_owned(), until: None },
            Closed { gate: GateKind::Soak, why: "b".to_owned(), until: Some(NOW) },
        ];
        assert_eq!(sentence_of(&keys(&["jammy"])[0], &closed), "`jammy` may not be released yet: a; b");
    }
}
