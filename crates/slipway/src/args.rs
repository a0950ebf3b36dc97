//! The command line: which command, on what. Every mistake in it is found before any is reported.

use std::collections::BTreeMap;

use slipway_core::release::Key;
use slipway_packagecloud::{Distro, Repository};
use slipway_wire::Base;

use crate::exit::{Exit, Failure};

/// What the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help(Option<Topic>),
    Version,
    Session { timeout_s: u32 },
    Plan(Plan),
    Stage(Stage),
    Release(Release),
    Status(Status),
    Doctor(Doctor),
}

/// The commands that have a help page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Plan,
    Session,
    Stage,
    Release,
    Status,
    Doctor,
}

impl Topic {
    pub(crate) const ALL: [Self; 6] =
        [Self::Plan, Self::Session, Self::Stage, Self::Release, Self::Status, Self::Doctor];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Session => "session",
            Self::Stage => "stage",
            Self::Release => "release",
            Self::Status => "status",
            Self::Doctor => "doctor",
        }
    }

    fn flags(self) -> &'static [Flag] {
        match self {
            Self::Plan => &[PACKAGES, JOBS, RELEASE_JOB, ENVIRONMENT, DRY_RUN, TIMEOUT, JSON],
            Self::Stage => &[REPLACE, TIMEOUT, JSON],
            Self::Release | Self::Status => &[TIMEOUT, JSON],
            Self::Doctor => &[PROBE, URL, TO, RECORD, TIMEOUT, JSON],
            Self::Session => &[TIMEOUT],
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
    pub(crate) dry_run: bool,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway stage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) key: Key,
    pub(crate) path: String,
    /// Whether bytes that nobody approved may give way to these.
    pub(crate) replace: bool,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) keys: Vec<Key>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The one target whose attempts are asked for.
    pub(crate) target: Option<(Key, Distro)>,
    pub(crate) timeout_s: u32,
    pub(crate) json: bool,
}

/// `slipway doctor --probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doctor {
    /// The sandbox repository that is pushed to.
    pub(crate) probe: Repository,
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
/// How long `doctor` waits for an index. No time is promised; clients in the field wait 10 minutes.
pub(crate) const DOCTOR_TIMEOUT_S: u32 = 600;
/// The file that a recording is written to.
pub(crate) const RECORD_DEFAULT: &str = "slipway-probe.ndjson";

#[derive(Clone, Copy)]
struct Flag {
    name: &'static str,
    /// What the value is; a flag without one is a switch.
    value: Option<&'static str>,
}

const PACKAGES: Flag = Flag { name: "--packages", value: Some("FILE") };
const JOBS: Flag = Flag { name: "--jobs", value: Some("KEYS") };
const RELEASE_JOB: Flag = Flag { name: "--release-job", value: Some("NAME") };
const ENVIRONMENT: Flag = Flag { name: "--environment", value: Some("NAME") };
const TIMEOUT: Flag = Flag { name: "--timeout", value: Some("SECONDS") };
const DRY_RUN: Flag = Flag { name: "--dry-run", value: None };
const REPLACE: Flag = Flag { name: "--replace", value: None };
const PROBE: Flag = Flag { name: "--probe", value: Some("USER/REPO") };
const URL: Flag = Flag { name: "--url", value: Some("URL") };
const TO: Flag = Flag { name: "--to", value: Some("USER/REPO") };
const RECORD: Flag = Flag { name: "--record", value: Some("FILE") };
const JSON: Flag = Flag { name: "--json", value: None };

/// Reads the command line, without the program's name.
pub(crate) fn parse(arguments: &[String]) -> Result<Command, Failure> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err(misused(None, vec!["a command is missing".to_owned()]));
    };
    match first.as_str() {
        "--help" | "-h" => return Ok(Command::Help(None)),
        "--version" | "-V" => return Ok(Command::Version),
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
            format!("`{first}` is not a command")
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
        Topic::Release => Some(Command::Release(release(&mut line))),
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

fn session(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    line.no_words().map(|()| Command::Session { timeout_s })
}

fn status(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, ASK_TIMEOUT_S);
    let json = line.switch(JSON);
    let target = match std::mem::take(&mut line.words).as_slice() {
        [] => None,
        [key, distro] => {
            let (key, distro) = (line.key(key), line.parsed(distro));
            Some((key?, distro?))
        }
        words => {
            line.problems.push(format!("either nothing, or a KEY and a DISTRO, is needed, not {}", counted(words)));
            None
        }
    };
    Some(Command::Status(Status { target, timeout_s, json }))
}

fn doctor(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, DOCTOR_TIMEOUT_S);
    let json = line.switch(JSON);
    let record = line.value(RECORD).unwrap_or_else(|| RECORD_DEFAULT.to_owned());
    let to = line.value(TO).map(|text| line.parsed::<Repository>(&text));
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
    Some(Command::Doctor(Doctor { probe, url, to, record, timeout_s, json }))
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
        dry_run: line.switch(DRY_RUN),
        timeout_s: line.seconds(TIMEOUT, ASK_TIMEOUT_S),
        json: line.switch(JSON),
    }
}

fn stage(line: &mut Line) -> Option<Command> {
    let timeout_s = line.seconds(TIMEOUT, STAGE_TIMEOUT_S);
    let (json, replace) = (line.switch(JSON), line.switch(REPLACE));
    match std::mem::take(&mut line.words).as_slice() {
        [key, path] => {
            let key = line.key(key)?;
            Some(Command::Stage(Stage { key, path: path.clone(), replace, timeout_s, json }))
        }
        words => {
            line.problems.push(format!("a KEY and a FILE are needed, not {}", counted(words)));
            None
        }
    }
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
    let json = line.switch(JSON);
    let words = std::mem::take(&mut line.words);
    if words.is_empty() {
        line.problems.push("no package: name the KEYs to release".to_owned());
    }
    let mut keys: Vec<Key> = words.iter().filter_map(|word| line.key(word)).collect();
    keys.sort();
    keys.dedup();
    Release { keys, timeout_s, json }
}

/// A command's words and flags, told apart.
struct Line {
    words: Vec<String>,
    values: BTreeMap<&'static str, String>,
    problems: Vec<String>,
}

impl Line {
    fn scan(topic: Topic, arguments: &[String]) -> Self {
        let mut line = Self { words: Vec::new(), values: BTreeMap::new(), problems: Vec::new() };
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
                line.problems.push(format!("`slipway {}` has no flag `{name}`", topic.name()));
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
            if line.values.insert(flag.name, value).is_some() && flag.value.is_some() {
                line.problems.push(format!("`{name}` is given twice"));
            }
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

    fn value(&mut self, flag: Flag) -> Option<String> {
        self.values.remove(flag.name)
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
            dry_run: false,
            timeout_s: ASK_TIMEOUT_S,
            json: false,
        };
        let stage =
            Stage { key: key("a"), path: "a.deb".to_owned(), replace: false, timeout_s: STAGE_TIMEOUT_S, json: false };
        let status = Status { target: None, timeout_s: ASK_TIMEOUT_S, json: false };
        let doctor = Doctor {
            probe: "harbour/sandbox".parse().expect("a repository"),
            url: "https://packages.example.com".parse().expect("an address"),
            to: None,
            record: RECORD_DEFAULT.to_owned(),
            timeout_s: DOCTOR_TIMEOUT_S,
            json: false,
        };
        let release = Release { keys: vec![key("a"), key("b")], timeout_s: RELEASE_TIMEOUT_S, json: false };
        for (line, expected) in [
            ("--help", Command::Help(None)),
            ("help", Command::Help(None)),
            ("help stage", Command::Help(Some(Topic::Stage))),
            ("stage a --help", Command::Help(Some(Topic::Stage))),
            ("stage --nonsense -h", Command::Help(Some(Topic::Stage))),
            ("-V", Command::Version),
            ("session", Command::Session { timeout_s: ASK_TIMEOUT_S }),
            ("status --json", Command::Status(Status { json: true, ..status.clone() })),
            (
                "status a el/9",
                Command::Status(Status { target: Some((key("a"), "el/9".parse().expect("a distro"))), ..status }),
            ),
            ("doctor --probe harbour/sandbox --url https://packages.example.com", Command::Doctor(doctor.clone())),
            (
                "doctor --url=https://packages.example.com --to harbour/other --probe harbour/sandbox --record r --json",
                Command::Doctor(Doctor {
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
                    dry_run: true,
                    timeout_s: 9,
                    json: true,
                }),
            ),
            ("stage a a.deb", Command::Stage(stage.clone())),
            ("stage --replace a a.deb", Command::Stage(Stage { replace: true, ..stage.clone() })),
            ("stage a --timeout 5 a.deb", Command::Stage(Stage { timeout_s: 5, ..stage.clone() })),
            ("stage -- a -h", Command::Stage(Stage { path: "-h".to_owned(), ..stage })),
            ("release b a b", Command::Release(release)),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn every_mistake_in_a_command_line_is_named_at_once() {
        for (line, expected) in [
            ("", vec!["a command is missing"]),
            ("publish", vec!["`publish` is not a command"]),
            ("--verbose", vec!["`slipway` has no flag `--verbose`"]),
            ("session now", vec!["`now` is one word too many"]),
            ("status now", vec!["either nothing, or a KEY and a DISTRO, is needed, not one word"]),
            ("doctor", vec!["`--probe USER/REPO` is needed", "`--url URL` is needed"]),
            ("doctor --probe a/b --to a/b --url https://h", vec!["`--to` must be another repository than `--probe`"]),
            (
                "plan",
                vec!["no package: name each as KEY=DISTRO[,DISTRO…][:KIND[:ARCHITECTURE]], or give `--packages FILE`"],
            ),
            ("plan a=b --packages", vec!["`--packages` needs a value: FILE"]),
            ("plan a=b --jobs x --jobs y", vec!["`--jobs` is given twice"]),
            ("stage a", vec!["a KEY and a FILE are needed, not one word"]),
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
