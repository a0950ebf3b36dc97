//! The command line: which command, on what. Every mistake in it is found before any is reported.

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::cargo::{TargetName, target_in_path};
use slipway_core::release::{Key, Version};
use slipway_core::time::Timestamp;
use slipway_oci::Reference;
use slipway_packagecloud::Repository;
use slipway_wire::Base;

use crate::exit::{Exit, Failure};

/// What the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help(Option<Topic>),
    Version,
    Session {
        timeout_s: u32,
        json: bool,
    },
    Plan(Plan),
    Stage(Stage),
    Await(Await),
    Release(Release),
    Status(Status),
    Verify(Verify),
    VerifyAudit(VerifyAudit),
    Audit(Audit),
    Hold(Hold),
    Close(Close),
    Retention(Retention),
    Extend(Extend),
    Withdraw(Withdraw),
    /// The switch that stops, or starts again.
    Switch(Switch),
    Login(Login),
    Logout {
        json: bool,
    },
    Config {
        path: String,
        json: bool,
    },
    Doctor(Doctor),
    Probe(Probe),
}

/// The commands that have a help page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Plan,
    Session,
    Stage,
    Await,
    Release,
    Status,
    Verify,
    Audit,
    Hold,
    Close,
    Retention,
    Extend,
    Withdraw,
    Stop,
    Start,
    Login,
    Logout,
    Config,
    Doctor,
}

impl Topic {
    pub(crate) const ALL: [Self; 19] = [
        Self::Plan,
        Self::Session,
        Self::Stage,
        Self::Await,
        Self::Release,
        Self::Status,
        Self::Verify,
        Self::Audit,
        Self::Hold,
        Self::Close,
        Self::Retention,
        Self::Extend,
        Self::Withdraw,
        Self::Stop,
        Self::Start,
        Self::Login,
        Self::Logout,
        Self::Config,
        Self::Doctor,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Session => "session",
            Self::Stage => "stage",
            Self::Await => "await",
            Self::Release => "release",
            Self::Status => "status",
            Self::Verify => "verify",
            Self::Audit => "audit",
            Self::Hold => "hold",
            Self::Close => "close",
            Self::Retention => "retention",
            Self::Extend => "extend",
            Self::Withdraw => "withdraw",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Config => "config",
            Self::Doctor => "doctor",
        }
    }

    fn flags(self) -> &'static [Flag] {
        match self {
            Self::Plan => &[
                PACKAGES,
                JOBS,
                RELEASE_JOB,
                ENVIRONMENT,
                RELEASE_ALL_JOB,
                RELEASE_ALL_ENVIRONMENT,
                DRY_RUN,
                TIMEOUT,
                JSON,
            ],
            Self::Stage => &[IMAGE, REPLACE, TIMEOUT, JSON],
            Self::Await | Self::Status => &[VERSION, TIMEOUT, JSON],
            Self::Release => &[ALL, VERSIONS, DRY_RUN, OVERRIDE, TIMEOUT, JSON],
            Self::Verify => &[MANIFEST, KEYRING, STORAGE, REALM, AUDIT, HEAD, PROJECT, KEY, VERSION, TIMEOUT, JSON],
            Self::Hold => &[LIFT, UNTIL, REASON, VERSION, TIMEOUT, JSON],
            Self::Retention => &[ALL, VERSION, TIMEOUT, JSON],
            Self::Extend => &[UNTIL, REASON, VERSION, TIMEOUT, JSON],
            Self::Close => &[REASON, VERSION, TIMEOUT, JSON],
            Self::Withdraw => &[REASON, TARGET, SHARED, DRY_RUN, YES, VERSION, TIMEOUT, JSON],
            Self::Stop | Self::Start => &[REASON, PROJECT, TIMEOUT, JSON],
            Self::Doctor => &[PROBE, URL, TO, RECORD, TIMEOUT, JSON],
            Self::Login => &[API, TIMEOUT, JSON],
            Self::Logout | Self::Config => &[JSON],
            Self::Session | Self::Audit => &[TIMEOUT, JSON],
        }
    }
}

/// `slipway plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `KEY=DISTRO,…:KIND:ARCHITECTURE`, unchecked.
    pub(crate) packages: Vec<String>,
    /// A file with more.
    pub(crate) file: Option<String>,
    /// Keys that have a release job, as a list in any of GitLab's spellings.
    pub(crate) jobs: Option<String>,
    /// A release job's name, `{key}` standing for the key.
    pub(crate) release_job: String,
    /// A release job's environment, `{key}` standing for the key.
    pub(crate) environment: String,
    /// The name of the one job that releases all that remain of the pipeline.
    pub(crate) release_all_job: Option<String>,
    /// The environment of that job.
    pub(crate) release_all_environment: Option<String>,
    pub(crate) dry_run: bool,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway stage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) what: Built,
    /// Whether bytes that nobody approved may give way to these.
    pub(crate) replace: bool,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// What a job has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// Each package with its file, which is pushed.
    Files(Vec<(Key, String)>),
    /// A package that is an image, which is in the staging registry already.
    Image(Key, Reference),
}

/// What `slipway await` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Every package is staged, or further, or skipped.
    Staged,
    /// Every package that is not skipped is released.
    Complete,
}

/// `slipway await`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Await {
    pub(crate) state: Awaited,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// Which packages of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that are not released yet.
    All,
    /// These.
    Keys(Vec<Key>),
}

/// `slipway release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// The packages, by version. `None` is the version that the environment names.
    pub(crate) versions: Vec<(Option<Version>, Which)>,
    /// Whether nothing is to be written.
    pub(crate) dry_run: bool,
    /// Why closed gates are to be overridden.
    pub(crate) reason: Option<String>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verify {
    /// A release as `slipway status --json` writes it, in place of the edge's.
    pub(crate) manifest: Option<String>,
    /// The keys that indexes must be signed by.
    pub(crate) keyring: Option<String>,
    /// The public key of the edge.
    pub(crate) key: Option<String>,
    /// Where package servers may redirect to.
    pub(crate) storage: Vec<Base>,
    /// Where a registry gives tokens to whoever asks.
    pub(crate) realm: Option<Base>,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway verify --audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifyAudit {
    /// An export.
    pub(crate) audit: String,
    /// Files with signed heads.
    pub(crate) heads: Vec<String>,
    /// The project that it must be of: GitLab's id, which heads name.
    pub(crate) project: Option<u64>,
    /// A file with the keys that heads must be signed by.
    pub(crate) key: Option<String>,
    pub(crate) json: bool,
}

/// `slipway audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    /// The file that is written.
    pub(crate) file: String,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The packages; none means the whole release.
    pub(crate) keys: Vec<Key>,
    /// Whether the hold ends.
    pub(crate) lift: bool,
    /// When it ends by itself.
    pub(crate) until: Option<String>,
    pub(crate) reason: String,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway retention`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Whether all releases are listed.
    pub(crate) all: bool,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway extend`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extend {
    /// The packages; none means all of the release.
    pub(crate) keys: Vec<Key>,
    /// Until when.
    pub(crate) until: String,
    pub(crate) reason: String,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway stop` and `slipway start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// Whether it stops.
    pub(crate) is_stop: bool,
    pub(crate) reason: String,
    /// The project; none means every one.
    pub(crate) project: Option<String>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) reason: String,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway withdraw`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line by itself")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Withdraw {
    /// The packages.
    pub(crate) keys: Vec<Key>,
    /// Of one package, these targets alone.
    pub(crate) targets: Vec<TargetName>,
    /// Why. A dry run needs no reason.
    pub(crate) reason: Option<String>,
    /// Whether other releases that have the same public may lose it, too.
    pub(crate) shared: bool,
    /// Whether nothing is to be done.
    pub(crate) dry_run: bool,
    /// Whether it is to be done.
    pub(crate) yes: bool,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway login`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// Whether the token is to play jobs, too.
    pub(crate) api: bool,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The one target whose attempts are asked for.
    pub(crate) target: Option<(Key, TargetName)>,
    pub(crate) version: Option<Version>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doctor {
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway doctor --probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The sandbox repository that is pushed to.
    pub(crate) sandbox: Repository,
    /// The package server.
    pub(crate) url: Base,
    /// A second sandbox repository, for what moves a package.
    pub(crate) to: Option<Repository>,
    /// The file that the recording is written to.
    pub(crate) record: String,
    /// How long a server's slow work is waited for.
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// The job names that GitLab gives to `parallel: matrix` jobs of one variable.
pub(crate) const RELEASE_JOB_DEFAULT: &str = "release: [{key}]";
/// The environment that the CI component gives to its release jobs.
pub(crate) const ENVIRONMENT_DEFAULT: &str = "release/{key}";
/// How long an edge that does not answer is asked again: it is away for seconds while it is deployed or restarted.
pub(crate) const ASK_TIMEOUT_S: u32 = 120;
/// How long `stage` waits for the edge to see the package. A package server shows it within seconds of its 201.
pub(crate) const STAGE_TIMEOUT_S: u32 = 600;
/// How long `release` follows: a session ends after 3 hours at the latest.
pub(crate) const RELEASE_TIMEOUT_S: u32 = 3 * 60 * 60;
/// A server may serve what it has deleted for as long as its index takes.
const WITHDRAW_TIMEOUT_S: u32 = 900;
/// How long `await` waits: as long as a job of GitLab.com may run unless its project says otherwise.
pub(crate) const AWAIT_TIMEOUT_S: u32 = 60 * 60;
/// How long `login` waits for the person. GitLab's codes live 5 minutes.
pub(crate) const LOGIN_TIMEOUT_S: u32 = 300;
/// How long `doctor` waits for an index. No time is promised; clients in the field wait 10 minutes.
pub(crate) const DOCTOR_TIMEOUT_S: u32 = 600;
/// The file that a recording is written to.
pub(crate) const RECORD_DEFAULT: &str = "slipway-probe.ndjson";

#[derive(Clone, Copy)]
struct Flag {
    name: &'static str,
    /// What the value is; a flag without one is a switch.
    value: Option<&'static str>,
    /// Whether it may be given several times.
    many: bool,
}

impl Flag {
    const fn switch(name: &'static str) -> Self {
        Self { name, value: None, many: false }
    }

    const fn of(name: &'static str, value: &'static str) -> Self {
        Self { name, value: Some(value), many: false }
    }

    const fn many(self) -> Self {
        Self { many: true, ..self }
    }
}

const PACKAGES: Flag = Flag::of("--packages", "FILE");
const JOBS: Flag = Flag::of("--jobs", "KEYS");
const RELEASE_JOB: Flag = Flag::of("--release-job", "NAME");
const ENVIRONMENT: Flag = Flag::of("--environment", "NAME");
const RELEASE_ALL_JOB: Flag = Flag::of("--release-all-job", "NAME");
const RELEASE_ALL_ENVIRONMENT: Flag = Flag::of("--release-all-environment", "NAME");
const TIMEOUT: Flag = Flag::of("--timeout", "SECONDS");
const DRY_RUN: Flag = Flag::switch("--dry-run");
const IMAGE: Flag = Flag::of("--image", "REFERENCE");
const REPLACE: Flag = Flag::switch("--replace");
const ALL: Flag = Flag::switch("--all");
const VERSION: Flag = Flag::of("--version", "VERSION");
const VERSIONS: Flag = VERSION.many();
const OVERRIDE: Flag = Flag::of("--override", "REASON");
const MANIFEST: Flag = Flag::of("--manifest", "FILE");
const KEYRING: Flag = Flag::of("--keyring", "FILE");
const STORAGE: Flag = Flag::of("--storage", "URL").many();
const REALM: Flag = Flag::of("--realm", "URL");
const AUDIT: Flag = Flag::of("--audit", "FILE");
const HEAD: Flag = Flag::of("--head", "FILE").many();
const KEY: Flag = Flag::of("--key", "FILE");
const PROJECT: Flag = Flag::of("--project", "PROJECT");
const LIFT: Flag = Flag::switch("--lift");
const UNTIL: Flag = Flag::of("--until", "MOMENT");
const REASON: Flag = Flag::of("--reason", "TEXT");
const TARGET: Flag = Flag::of("--target", "TARGET").many();
const YES: Flag = Flag::switch("--yes");
const SHARED: Flag = Flag::switch("--shared");
const API: Flag = Flag::switch("--api");
const PROBE: Flag = Flag::of("--probe", "USER/REPO");
const URL: Flag = Flag::of("--url", "URL");
const TO: Flag = Flag::of("--to", "USER/REPO");
const RECORD: Flag = Flag::of("--record", "FILE");
const JSON: Flag = Flag::switch("--json");

/// Reads the command line, without the program's name.
pub(crate) fn parse(arguments: &[String]) -> Result<Command, Failure> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err(misused(None, vec!["a command is missing".to_owned()]));
    };
    match first.as_str() {
        "--help" | "-h" => return Ok(Command::Help(None)),
        "--version" | "-V" | "version" => return Ok(Command::Version),
        "help" => {
            let topic = rest.first().and_then(|name| Topic::ALL.into_iter().find(|topic| topic.name() == name));
            return Ok(Command::Help(topic));
        }
        _ => {}
    }
    let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.name() == first) else {
        let problem = if first.starts_with('-') {
            format!("`slipway` has no flag `{first}`")
        } else {
            format!("`{first}` is not a command{}", meant(first, Topic::ALL.into_iter().map(Topic::name)))
        };
        return Err(misused(None, vec![problem]));
    };
    if rest.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        return Ok(Command::Help(Some(topic)));
    }
    let mut line = Line::scan(topic, rest);
    let command = match topic {
        Topic::Session => session(&mut line),
        Topic::Status => status(&mut line),
        Topic::Plan => Some(Command::Plan(plan(&mut line))),
        Topic::Stage => stage(&mut line),
        Topic::Await => awaited(&mut line),
        Topic::Release => Some(Command::Release(release(&mut line))),
        Topic::Verify => verify(&mut line),
        Topic::Audit => audit(&mut line),
        Topic::Hold => hold(&mut line),
        Topic::Close => close(&mut line),
        Topic::Retention => retention(&mut line),
        Topic::Extend => extend(&mut line),
        Topic::Withdraw => withdraw(&mut line),
        Topic::Stop => switch(&mut line, true),
        Topic::Start => switch(&mut line, false),
        Topic::Login => login(&mut line),
        Topic::Logout => line.no_words().map(|()| Command::Logout { json: line.switch(JSON) }),
        Topic::Config => config(&mut line),
        Topic::Doctor => doctor(&mut line),
    };
    match command {
        Some(command) if line.problems.is_empty() => Ok(command),
        _ => Err(misused(Some(topic), line.problems)),
    }
}

fn misused(topic: Option<Topic>, mut problems: Vec<String>) -> Failure {
    let command = topic.map_or_else(|| "slipway".to_owned(), |topic| format!("slipway {}", topic.name()));
    problems.push(format!("See `{command} --help`."));
    Failure::new(Exit::Misused, format!("cannot read the command line of `{command}`"), problems)
}

/// The name that was probably meant, as the end of a sentence: at most two letters are other, missing, doubled or swapped.
pub(crate) fn meant<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let nearest = names.map(|name| (strsim::damerau_levenshtein(word, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 && distance < word.len() => format!("; `{name}` is"),
        _ => String::new(),
    }
}

fn session(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let json = line.switch(JSON);
    line.no_words().map(|()| Command::Session { timeout_s, json })
}

fn awaited(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, AWAIT_TIMEOUT_S);
    let (json, version) = (line.switch(JSON), line.version());
    let words = std::mem::take(&mut line.words);
    let state = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["staged"] => Awaited::Staged,
        ["complete"] => Awaited::Complete,
        _ => {
            line.problems.push("what to wait for is needed: `staged` or `complete`".to_owned());
            return None;
        }
    };
    Some(Command::Await(Await { state, version, timeout_s, json }))
}

fn verify(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, version) = (line.switch(JSON), line.version());
    let (manifest, keyring, key) = (line.value(MANIFEST), line.value(KEYRING), line.value(KEY));
    let storage = line.values(STORAGE);
    let storage = storage.iter().filter_map(|url| line.parsed(url)).collect();
    let realm = line.value(REALM).and_then(|url| line.parsed(&url));
    line.no_words()?;
    if let Some(audit) = line.value(AUDIT) {
        let of_releases = [MANIFEST, KEYRING, STORAGE, REALM, VERSION, TIMEOUT];
        for flag in of_releases.into_iter().filter(|flag| line.given.contains(flag.name)) {
            line.problems.push(format!("`{}` belongs to a release, not to `--audit`", flag.name));
        }
        let heads = line.values(HEAD);
        if heads.is_empty() != key.is_none() {
            line.problems.push("`--head` and `--key` belong together: a head, and the key that signed it".to_owned());
        }
        let project = line.value(PROJECT).and_then(|text| line.project_id(&text));
        if heads.is_empty() && line.given.contains(PROJECT.name) {
            line.problems.push("`--project` needs a head, `--head FILE`: rows do not say whose they are".to_owned());
        }
        return Some(Command::VerifyAudit(VerifyAudit { audit, heads, project, key, json }));
    }
    for flag in [HEAD, PROJECT] {
        if line.given.contains(flag.name) {
            line.problems.push(format!("`{}` belongs to `--audit`", flag.name));
        }
    }
    if manifest.is_some() && version.is_some() {
        line.problems.push("`--version` and `--manifest` both say which release it is: give one".to_owned());
    }
    Some(Command::Verify(Verify { manifest, keyring, key, storage, realm, version, timeout_s, json }))
}

fn audit(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let json = line.switch(JSON);
    match std::mem::take(&mut line.words).as_slice() {
        [file] => Some(Command::Audit(Audit { file: file.clone(), timeout_s, json })),
        words => {
            line.problems.push(format!("the FILE to write is needed, not {}", counted(words)));
            None
        }
    }
}

fn hold(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, lift, version) = (line.switch(JSON), line.switch(LIFT), line.version());
    let keys = line.keys();
    let until = line.value(UNTIL).and_then(|text| line.moment(&text));
    if lift && until.is_some() {
        line.problems.push("`--until` says when a hold ends, and `--lift` ends it now: give one".to_owned());
    }
    let reason = line.needed(REASON)?;
    Some(Command::Hold(Hold { keys, lift, until, reason, version, timeout_s, json }))
}

fn retention(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, all, version) = (line.switch(JSON), line.switch(ALL), line.version());
    line.no_words()?;
    Some(Command::Retention(Retention { all, version, timeout_s, json }))
}

fn extend(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, version) = (line.switch(JSON), line.version());
    let keys = line.keys();
    let until = line.needed(UNTIL).and_then(|text| line.moment(&text));
    let reason = line.needed(REASON);
    Some(Command::Extend(Extend { keys, until: until?, reason: reason?, version, timeout_s, json }))
}

fn switch(line: &mut Line, is_stop: bool) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, project) = (line.switch(JSON), line.value(PROJECT));
    line.no_words()?;
    let reason = line.needed(REASON)?;
    Some(Command::Switch(Switch { is_stop, reason, project, timeout_s, json }))
}

fn close(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, version) = (line.switch(JSON), line.version());
    line.no_words()?;
    let reason = line.needed(REASON)?;
    Some(Command::Close(Close { reason, version, timeout_s, json }))
}

fn withdraw(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, WITHDRAW_TIMEOUT_S);
    let (json, dry_run, yes, version) = (line.switch(JSON), line.switch(DRY_RUN), line.switch(YES), line.version());
    let targets = line.values(TARGET);
    let targets: Vec<TargetName> = targets.iter().filter_map(|name| line.parsed(&target_in_path(name))).collect();
    let keys = line.keys();
    if keys.is_empty() && line.problems.is_empty() {
        line.problems.push("at least one KEY is needed: what is taken back is named".to_owned());
    }
    if !targets.is_empty() && keys.len() > 1 {
        line.problems.push("`--target` belongs to one KEY".to_owned());
    }
    if dry_run && yes {
        line.problems.push("either `--dry-run` or `--yes`, not both".to_owned());
    }
    let reason = if dry_run { line.value(REASON) } else { Some(line.needed(REASON)?) };
    let shared = line.switch(SHARED);
    Some(Command::Withdraw(Withdraw { keys, targets, reason, shared, dry_run, yes, version, timeout_s, json }))
}

fn login(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, LOGIN_TIMEOUT_S);
    let (json, api) = (line.switch(JSON), line.switch(API));
    line.no_words().map(|()| Command::Login(Login { api, timeout_s, json }))
}

fn config(line: &mut Line) -> Option<Command> {
    let json = line.switch(JSON);
    match std::mem::take(&mut line.words).as_slice() {
        [act, path] if act == "check" => Some(Command::Config { path: path.clone(), json }),
        _ => {
            line.problems.push("`check FILE` is needed: what to do, and to which `slipway.toml`".to_owned());
            None
        }
    }
}

fn status(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let (json, version) = (line.switch(JSON), line.version());
    let target = match std::mem::take(&mut line.words).as_slice() {
        [] => None,
        [key, name] => {
            // A tag is understood without its colon, too: no distro version is without a `/`.
            let (key, name) = (line.key(key), line.parsed(&target_in_path(name)));
            Some((key?, name?))
        }
        words => {
            line.problems
                .push(format!("either nothing, or a KEY and a DISTRO or :TAG, is needed, not {}", counted(words)));
            None
        }
    };
    Some(Command::Status(Status { target, version, timeout_s, json }))
}

fn doctor(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, DOCTOR_TIMEOUT_S);
    let json = line.switch(JSON);
    let record = line.value(RECORD).unwrap_or_else(|| RECORD_DEFAULT.to_owned());
    let to = line.value(TO).map(|text| line.parsed::<Repository>(&text));
    if !line.switch(PROBE) {
        for flag in [URL, TO, RECORD].into_iter().filter(|flag| line.given.contains(flag.name)) {
            line.problems.push(format!("`{}` belongs to `--probe USER/REPO`", flag.name));
        }
        return line.no_words().map(|()| Command::Doctor(Doctor { timeout_s, json }));
    }
    let probe = line.needed(PROBE).and_then(|text| line.parsed::<Repository>(&text));
    let url = line.needed(URL).and_then(|text| line.parsed::<Base>(&text));
    line.no_words()?;
    let to = match to {
        None => None,
        Some(to) => Some(to?),
    };
    let (probe, url) = (probe?, url?);
    if to.as_ref() == Some(&probe) {
        line.problems.push("`--to` must be another repository than `--probe`".to_owned());
    }
    Some(Command::Probe(Probe { sandbox: probe, url, to, record, timeout_s, json }))
}

fn plan(line: &mut Line) -> Plan {
    let file = line.value(PACKAGES);
    let packages = std::mem::take(&mut line.words);
    if packages.is_empty() && file.is_none() {
        line.problems.push(
            "no package: name each as KEY=DISTRO[,DISTRO…][:KIND[:ARCHITECTURE]], or give `--packages FILE`".to_owned(),
        );
    }
    Plan {
        packages,
        file,
        jobs: line.value(JOBS),
        release_job: line.value(RELEASE_JOB).unwrap_or_else(|| RELEASE_JOB_DEFAULT.to_owned()),
        environment: line.value(ENVIRONMENT).unwrap_or_else(|| ENVIRONMENT_DEFAULT.to_owned()),
        release_all_job: line.value(RELEASE_ALL_JOB),
        release_all_environment: line.value(RELEASE_ALL_ENVIRONMENT),
        dry_run: line.switch(DRY_RUN),
        timeout_s: line.seconds(TIMEOUT, ASK_TIMEOUT_S),
        json: line.switch(JSON),
    }
}

fn stage(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, STAGE_TIMEOUT_S);
    let (json, replace) = (line.switch(JSON), line.switch(REPLACE));
    let image = line.value(IMAGE);
    let words = std::mem::take(&mut line.words);
    if let Some(image) = image {
        let reference = line.parsed::<Reference>(&image);
        let [key] = words.as_slice() else {
            line.problems.push(format!("one KEY is needed beside `--image`, and no FILE, not {}", counted(&words)));
            return None;
        };
        let what = Built::Image(line.key(key)?, reference?);
        return Some(Command::Stage(Stage { what, replace, timeout_s, json }));
    }
    // A package server takes debs and rpms, whose names may have a colon too.
    let is_package = |path: &str| matches!(path.rsplit('.').next(), Some("deb" | "rpm"));
    let is_image = |path: &str| !is_package(path) && path.parse::<Reference>().is_ok();
    if let [_, path] = words.as_slice()
        && is_image(path)
    {
        line.problems.push(format!("`{path}` is an image: write `--image {path}`"));
        return None;
    }
    if words.is_empty() || !words.len().is_multiple_of(2) {
        line.problems.push(format!("a KEY and a FILE are needed, or several such pairs, not {}", counted(&words)));
        return None;
    }
    let mut files: Vec<(Key, String)> = Vec::new();
    for pair in words.chunks_exact(2) {
        let [key, path] = pair else { continue };
        let Some(key) = line.key(key) else { continue };
        if files.iter().any(|(known, _)| *known == key) {
            line.problems.push(format!("`{key}` is given two files"));
        }
        files.push((key, path.clone()));
    }
    Some(Command::Stage(Stage { what: Built::Files(files), replace, timeout_s, json }))
}

fn counted(words: &[String]) -> String {
    match words.len() {
        0 => "nothing".to_owned(),
        1 => "one word".to_owned(),
        number => format!("{number} words"),
    }
}

fn release(line: &mut Line) -> Release {
    let timeout_s = line.seconds(TIMEOUT, RELEASE_TIMEOUT_S);
    let (json, all, dry_run) = (line.switch(JSON), line.switch(ALL), line.switch(DRY_RUN));
    let reason = line.value(OVERRIDE);
    if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        line.problems.push("`--override` needs a reason: it is kept in the record".to_owned());
    }
    let named = line.values(VERSIONS);
    let named: Vec<Version> = named.iter().filter_map(|text| line.parsed(text)).collect();
    let words = std::mem::take(&mut line.words);
    match (words.is_empty(), all) {
        (true, false) => line.problems.push("no package: name the KEYs to release, or `--all`".to_owned()),
        (false, true) => line.problems.push("either `--all` or KEYs, not both".to_owned()),
        _ => {}
    }
    // Every word without a version of its own is meant for each named version.
    let each: Vec<Option<Version>> = if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() };
    let mut versions: Vec<(Option<Version>, Which)> = Vec::new();
    if all {
        for version in each {
            if !versions.iter().any(|(known, _)| *known == version) {
                versions.push((version, Which::All));
            }
        }
        return Release { versions, dry_run, reason, timeout_s, json };
    }
    for word in &words {
        let (key, at) = match word.split_once('@') {
            None => (word.as_str(), each.clone()),
            Some((key, version)) => {
                let Some(version) = line.parsed::<Version>(version) else { continue };
                (key, vec![Some(version)])
            }
        };
        let Some(key) = line.key(key) else { continue };
        for version in at {
            match versions.iter_mut().find(|(known, _)| *known == version) {
                Some((_, Which::Keys(keys))) => keys.push(key.clone()),
                _ => versions.push((version, Which::Keys(vec![key.clone()]))),
            }
        }
    }
    for (_, which) in &mut versions {
        if let Which::Keys(keys) = which {
            keys.sort();
            keys.dedup();
        }
    }
    Release { versions, dry_run, reason, timeout_s, json }
}

/// A command's words and flags, told apart.
struct Line {
    words: Vec<String>,
    values: BTreeMap<&'static str, Vec<String>>,
    /// Every flag that was given.
    given: BTreeSet<&'static str>,
    problems: Vec<String>,
}

impl Line {
    fn scan(topic: Topic, arguments: &[String]) -> Self {
        let mut line =
            Self { words: Vec::new(), values: BTreeMap::new(), given: BTreeSet::new(), problems: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                line.words.extend(arguments.cloned());
                break;
            }
            if !argument.starts_with('-') || argument == "-" {
                line.words.push(argument.clone());
                continue;
            }
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let Some(flag) = topic.flags().iter().find(|flag| flag.name == name) else {
                let words = meant(name, topic.flags().iter().map(|flag| flag.name));
                line.problems.push(format!("`slipway {}` has no flag `{name}`{words}", topic.name()));
                // The value of the flag that was meant is no mistake of its own.
                let has_value = |flag: &Flag| flag.value.is_some() && words.contains(&format!("`{}`", flag.name));
                if attached.is_none() && topic.flags().iter().any(has_value) {
                    arguments.next();
                }
                continue;
            };
            let value = match (flag.value, attached) {
                (None, None) => String::new(),
                (None, Some(_)) => {
                    line.problems.push(format!("`{name}` takes no value"));
                    continue;
                }
                (Some(_), Some(value)) => value,
                (Some(what), None) => {
                    let Some(value) = arguments.next() else {
                        line.problems.push(format!("`{name}` needs a value: {what}"));
                        continue;
                    };
                    value.clone()
                }
            };
            let values = line.values.entry(flag.name).or_default();
            values.push(value);
            if values.len() > 1 && flag.value.is_some() && !flag.many {
                line.problems.push(format!("`{name}` is given twice"));
            }
            line.given.insert(flag.name);
        }
        line
    }

    fn no_words(&mut self) -> Option<()> {
        let Some(word) = self.words.first() else { return Some(()) };
        self.problems.push(format!("`{word}` is one word too many"));
        None
    }

    fn switch(&self, flag: Flag) -> bool {
        self.values.contains_key(flag.name)
    }

    fn values(&mut self, flag: Flag) -> Vec<String> {
        self.values.remove(flag.name).unwrap_or_default()
    }

    fn value(&mut self, flag: Flag) -> Option<String> {
        self.values(flag).into_iter().next()
    }

    /// A moment as the edge reads it: of a day, its beginning.
    fn moment(&mut self, text: &str) -> Option<String> {
        let moment = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        if moment.parse::<Timestamp>().is_err() {
            self.problems.push(format!(
                "`--until` needs a day, `2027-01-31`, or a moment, `2027-01-31T12:00:00Z`, not `{text}`"
            ));
            return None;
        }
        Some(moment)
    }

    /// The release that is meant, where the command line says it.
    fn version(&mut self) -> Option<Version> {
        self.value(VERSION).and_then(|text| self.parsed(&text))
    }

    /// All words, as keys.
    fn keys(&mut self) -> Vec<Key> {
        let words = std::mem::take(&mut self.words);
        let mut keys: Vec<Key> = words.iter().filter_map(|word| self.key(word)).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn seconds(&mut self, flag: Flag, default: u32) -> u32 {
        let Some(text) = self.value(flag) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.problems.push(format!("`{}` needs whole seconds, not `{text}`", flag.name));
            default
        })
    }

    fn needed(&mut self, flag: Flag) -> Option<String> {
        let value = self.value(flag);
        if value.is_none() {
            self.problems.push(format!("`{} {}` is needed", flag.name, flag.value.unwrap_or_default()));
        }
        value
    }

    /// A project as heads of the audit name it.
    fn project_id(&mut self, text: &str) -> Option<u64> {
        let id = text.parse().ok();
        if id.is_none() {
            self.problems.push(format!("`--project` needs the project's id in GitLab, a number, not `{text}`"));
        }
        id
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, text: &str) -> Option<T> {
        text.parse().map_err(|error: T::Err| self.problems.push(error.to_string())).ok()
    }

    fn key(&mut self, text: &str) -> Option<Key> {
        self.parsed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Failure> {
        let words: Vec<String> = line.split_whitespace().map(|word| word.replace('_', " ")).collect();
        parse(&words)
    }

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    #[test]
    fn a_command_line_is_read_as_it_is_meant() {
        let plan = Plan {
            packages: vec!["a=ubuntu/jammy".to_owned()],
            file: None,
            jobs: None,
            release_job: RELEASE_JOB_DEFAULT.to_owned(),
            environment: ENVIRONMENT_DEFAULT.to_owned(),
            release_all_job: None,
            release_all_environment: None,
            dry_run: false,
            timeout_s: ASK_TIMEOUT_S,
            json: false,
        };
        let stage = Stage {
            what: Built::Files(vec![(key("a"), "a.deb".to_owned())]),
            replace: false,
            timeout_s: STAGE_TIMEOUT_S,
            json: false,
        };
        let status = Status { target: None, version: None, timeout_s: ASK_TIMEOUT_S, json: false };
        let doctor = Probe {
            sandbox: "harbour/sandbox".parse().expect("a repository"),
            url: "https://packages.example.com".parse().expect("an address"),
            to: None,
            record: RECORD_DEFAULT.to_owned(),
            timeout_s: DOCTOR_TIMEOUT_S,
            json: false,
        };
        for (line, expected) in [
            ("--help", Command::Help(None)),
            ("help", Command::Help(None)),
            ("help stage", Command::Help(Some(Topic::Stage))),
            ("stage a --help", Command::Help(Some(Topic::Stage))),
            ("stage --nonsense -h", Command::Help(Some(Topic::Stage))),
            ("-V", Command::Version),
            ("session", Command::Session { timeout_s: ASK_TIMEOUT_S, json: false }),
            ("status --json", Command::Status(Status { json: true, ..status.clone() })),
            (
                "status a el/9",
                Command::Status(Status {
                    target: Some((key("a"), "el/9".parse().expect("a distro"))),
                    ..status.clone()
                }),
            ),
            (
                "status a 17.3.1",
                Command::Status(Status { target: Some((key("a"), ":17.3.1".parse().expect("a tag"))), ..status }),
            ),
            ("doctor --probe harbour/sandbox --url https://packages.example.com", Command::Probe(doctor.clone())),
            ("doctor", Command::Doctor(Doctor { timeout_s: DOCTOR_TIMEOUT_S, json: false })),
            (
                "doctor --url=https://packages.example.com --to harbour/other --probe harbour/sandbox --record r --json",
                Command::Probe(Probe {
                    to: Some("harbour/other".parse().expect("a repository")),
                    record: "r".to_owned(),
                    json: true,
                    ..doctor
                }),
            ),
            ("plan a=ubuntu/jammy", Command::Plan(plan.clone())),
            (
                "plan --packages=p.toml --jobs a,b --release-job ship:_{key} --environment ship/{key} --dry-run --json --timeout=9",
                Command::Plan(Plan {
                    packages: vec![],
                    file: Some("p.toml".to_owned()),
                    jobs: Some("a,b".to_owned()),
                    release_job: "ship: {key}".to_owned(),
                    environment: "ship/{key}".to_owned(),
                    release_all_job: None,
                    release_all_environment: None,
                    dry_run: true,
                    timeout_s: 9,
                    json: true,
                }),
            ),
            ("stage a a.deb", Command::Stage(stage.clone())),
            ("stage --replace a a.deb", Command::Stage(Stage { replace: true, ..stage.clone() })),
            ("stage a --timeout 5 a.deb", Command::Stage(Stage { timeout_s: 5, ..stage.clone() })),
            (
                "stage -- a a.deb b -h",
                Command::Stage(Stage {
                    what: Built::Files(vec![(key("a"), "a.deb".to_owned()), (key("b"), "-h".to_owned())]),
                    ..stage.clone()
                }),
            ),
            (
                "stage a --image registry.example.com/team/app:1.0",
                Command::Stage(Stage {
                    what: Built::Image(key("a"), "registry.example.com/team/app:1.0".parse().expect("a reference")),
                    ..stage
                }),
            ),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn which_packages_of_which_versions_are_meant() {
        let version = |text: &str| Some(text.parse::<Version>().expect("a version"));
        let release = |versions: Vec<(Option<Version>, Which)>| Release {
            versions,
            dry_run: false,
            reason: None,
            timeout_s: RELEASE_TIMEOUT_S,
            json: false,
        };
        let keys = |text: &str| Which::Keys(text.split(',').map(key).collect());
        let hold = Hold {
            keys: vec![],
            lift: false,
            until: None,
            reason: "bad".to_owned(),
            version: None,
            timeout_s: ASK_TIMEOUT_S,
            json: false,
        };
        let withdraw = Withdraw {
            keys: vec![key("a")],
            targets: vec![],
            reason: Some("bad".to_owned()),
            dry_run: false,
            shared: false,
            yes: false,
            version: None,
            timeout_s: WITHDRAW_TIMEOUT_S,
            json: false,
        };
        let verify = Verify {
            manifest: None,
            keyring: None,
            key: None,
            storage: vec![],
            realm: None,
            version: None,
            timeout_s: ASK_TIMEOUT_S,
            json: false,
        };
        for (line, expected) in [
            (
                "await staged --version 1.2",
                Command::Await(Await {
                    state: Awaited::Staged,
                    version: version("1.2"),
                    timeout_s: AWAIT_TIMEOUT_S,
                    json: false,
                }),
            ),
            ("release b a b", Command::Release(release(vec![(None, keys("a,b"))]))),
            ("release --all", Command::Release(release(vec![(None, Which::All)]))),
            (
                "release --all --version 1 --version 2 --version 1",
                Command::Release(release(vec![(version("1"), Which::All), (version("2"), Which::All)])),
            ),
            (
                "release a b@3 --version 1 --version 2",
                Command::Release(release(vec![
                    (version("1"), keys("a")),
                    (version("2"), keys("a")),
                    (version("3"), keys("b")),
                ])),
            ),
            ("release a@1 b@1", Command::Release(release(vec![(version("1"), keys("a,b"))]))),
            ("hold --reason bad", Command::Hold(hold.clone())),
            (
                "hold --lift a --reason=bad --version 1",
                Command::Hold(Hold { keys: vec![key("a")], lift: true, version: version("1"), ..hold }),
            ),
            (
                "withdraw b a --reason bad --yes",
                Command::Withdraw(Withdraw { keys: vec![key("a"), key("b")], yes: true, ..withdraw.clone() }),
            ),
            (
                "withdraw a --target el/9 --target 1.2 --dry-run",
                Command::Withdraw(Withdraw {
                    targets: ["el/9", ":1.2"].map(|name| name.parse().expect("a target")).to_vec(),
                    reason: None,
                    dry_run: true,
                    ..withdraw
                }),
            ),
            (
                "verify --storage https://a --storage https://b --keyring k --key s --manifest m",
                Command::Verify(Verify {
                    manifest: Some("m".to_owned()),
                    keyring: Some("k".to_owned()),
                    key: Some("s".to_owned()),
                    storage: ["https://a", "https://b"].map(|url| url.parse().expect("an address")).to_vec(),
                    ..verify
                }),
            ),
            ("config check s.toml", Command::Config { path: "s.toml".to_owned(), json: false }),
            ("login --api", Command::Login(Login { api: true, timeout_s: LOGIN_TIMEOUT_S, json: false })),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_switch_is_turned_for_all_or_for_one_project_and_an_audit_may_have_to_be_of_one() {
        for (line, expected) in [
            (
                "stop --reason bad",
                Command::Switch(Switch {
                    is_stop: true,
                    reason: "bad".to_owned(),
                    project: None,
                    timeout_s: ASK_TIMEOUT_S,
                    json: false,
                }),
            ),
            (
                "start --reason mended --project tug --json --timeout 5",
                Command::Switch(Switch {
                    is_stop: false,
                    reason: "mended".to_owned(),
                    project: Some("tug".to_owned()),
                    timeout_s: 5,
                    json: true,
                }),
            ),
            (
                "verify --audit a --head h --key k --project 1001",
                Command::VerifyAudit(VerifyAudit {
                    audit: "a".to_owned(),
                    heads: vec!["h".to_owned()],
                    project: Some(1001),
                    key: Some("k".to_owned()),
                    json: false,
                }),
            ),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn every_mistake_in_a_command_line_is_named_at_once() {
        for (line, expected) in [
            ("", vec!["a command is missing"]),
            ("publish", vec!["`publish` is not a command"]),
            ("relaese", vec!["`relaese` is not a command; `release` is"]),
            ("stag", vec!["`stag` is not a command; `stage` is"]),
            ("status --verson 1", vec!["`slipway status` has no flag `--verson`; `--version` is"]),
            ("status --jsn", vec!["`slipway status` has no flag `--jsn`; `--json` is"]),
            ("--verbose", vec!["`slipway` has no flag `--verbose`"]),
            ("session now", vec!["`now` is one word too many"]),
            ("status now", vec!["either nothing, or a KEY and a DISTRO or :TAG, is needed, not one word"]),
            ("doctor --probe a/b", vec!["`--url URL` is needed"]),
            ("doctor --record r", vec!["`--record` belongs to `--probe USER/REPO`"]),
            ("await", vec!["what to wait for is needed: `staged` or `complete`"]),
            ("hold a", vec!["`--reason TEXT` is needed"]),
            ("withdraw a", vec!["`--reason TEXT` is needed"]),
            ("withdraw --reason bad", vec!["at least one KEY is needed: what is taken back is named"]),
            ("withdraw a b --target el/9 --reason bad", vec!["`--target` belongs to one KEY"]),
            ("withdraw a --reason bad --yes --dry-run", vec!["either `--dry-run` or `--yes`, not both"]),
            ("stop", vec!["`--reason TEXT` is needed"]),
            ("stop now --reason bad", vec!["`now` is one word too many"]),
            ("start", vec!["`--reason TEXT` is needed"]),
            (
                "verify --audit a --project 1001",
                vec!["`--project` needs a head, `--head FILE`: rows do not say whose they are"],
            ),
            (
                "verify --audit a --head h --key k --project tug",
                vec!["`--project` needs the project's id in GitLab, a number, not `tug`"],
            ),
            ("verify --project 1001", vec!["`--project` belongs to `--audit`"]),
            ("config", vec!["`check FILE` is needed: what to do, and to which `slipway.toml`"]),
            ("release --all a", vec!["either `--all` or KEYs, not both"]),
            (
                "release a@",
                vec![
                    "`` is not a version: 1 to 100 of letters, digits, `.`, `_`, `+`, `~`, `-`, beginning with a letter or digit",
                ],
            ),
            ("stage a a.deb a b.deb", vec!["`a` is given two files"]),
            ("doctor --probe a/b --to a/b --url https://h", vec!["`--to` must be another repository than `--probe`"]),
            (
                "plan",
                vec!["no package: name each as KEY=DISTRO[,DISTRO…][:KIND[:ARCHITECTURE]], or give `--packages FILE`"],
            ),
            ("plan a=b --packages", vec!["`--packages` needs a value: FILE"]),
            ("plan a=b --jobs x --jobs y", vec!["`--jobs` is given twice"]),
            ("stage a", vec!["a KEY and a FILE are needed, or several such pairs, not one word"]),
            (
                "stage a --img registry.example.com/app:1",
                vec![
                    "`slipway stage` has no flag `--img`; `--image` is",
                    "a KEY and a FILE are needed, or several such pairs, not one word",
                ],
            ),
            (
                "stage a a.deb --image registry.example.com/app:1",
                vec!["one KEY is needed beside `--image`, and no FILE, not 2 words"],
            ),
            (
                "stage a registry.example.com/app:1",
                vec!["`registry.example.com/app:1` is an image: write `--image registry.example.com/app:1`"],
            ),
            (
                "stage a --image app:1",
                vec![
                    "`app:1` names no image: it names no registry; write it as `registry.example.com/team/app:17.3.1`",
                ],
            ),
            (
                "release A --force --json=yes --timeout soon",
                vec![
                    "`slipway release` has no flag `--force`",
                    "`--json` takes no value",
                    "`--timeout` needs whole seconds, not `soon`",
                    "`A` is not a key: 1 to 63 of `a-z`, `0-9`, `.`, `_`, `-`, beginning with a letter or digit",
                ],
            ),
        ] {
            let failure = parsed(line).expect_err(line);
            assert_eq!(failure.exit, Exit::Misused, "{line}");
            let (see, problems) = failure.lines.split_last().expect("a pointer to the help");
            assert_eq!(problems, expected, "{line}");
            assert!(see.contains("--help"), "{see}");
        }
    }
}
