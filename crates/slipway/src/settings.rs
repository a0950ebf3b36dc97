//! What the environment says: where Slipway is, who asks, and about which release.

use slipway_core::release::Version;
use slipway_wire::{Base, Token};

use crate::exit::{Exit, Failure};

/// The environment, as a function from a variable's name; a variable without a value is not there.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which release of which project, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The edge.
    pub(crate) edge: Base,
    /// The job's ID token. Reading may do without.
    pub(crate) id_token: Option<Token>,
    /// The project's numeric id, or its name.
    pub(crate) project: String,
    pub(crate) version: Version,
}

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A job, with its ID token.
    Job,
    /// Anyone who may read.
    Reader,
}

const URL: &str = "SLIPWAY_URL";
const ID_TOKEN: &str = "SLIPWAY_ID_TOKEN";
const STAGING_TOKEN: &str = "SLIPWAY_STAGING_TOKEN";
const PROBE_TOKEN: &str = "SLIPWAY_PROBE_TOKEN";

impl Settings {
    /// Reads every setting, or names every one that is missing or wrong.
    pub(crate) fn read(environment: Environment<'_>, caller: Caller) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let edge = edge(environment, &mut problems);
        let id_token = environment(ID_TOKEN).map(Token::new);
        if id_token.is_none() && caller == Caller::Job {
            problems.push(format!(
                "`{ID_TOKEN}` is not set: the job's ID token, from `id_tokens:` with `aud: $SLIPWAY_URL`"
            ));
        }
        let project = environment("SLIPWAY_PROJECT").or_else(|| environment("CI_PROJECT_ID"));
        if project.is_none() {
            problems.push(
                "`SLIPWAY_PROJECT` is not set: the project's id in GitLab; jobs have it as `CI_PROJECT_ID`".to_owned(),
            );
        }
        let version = version(environment, &mut problems);
        match (edge, project, version) {
            (Some(edge), Some(project), Some(version)) if problems.is_empty() => {
                Ok(Self { edge, id_token, project, version })
            }
            _ => Err(misused(problems)),
        }
    }
}

/// The token that may push to the private repository.
pub(crate) fn staging_token(environment: Environment<'_>) -> Result<Token, Failure> {
    environment(STAGING_TOKEN).map(Token::new).ok_or_else(|| {
        misused(vec![format!(
            "`{STAGING_TOKEN}` is not set: the package server's API token of the user that owns the staging repository"
        )])
    })
}

/// The token that `doctor` probes a package server with. None of Slipway's own: it needs a user that owns sandboxes alone.
pub(crate) fn probe_token(environment: Environment<'_>) -> Result<Token, Failure> {
    environment(PROBE_TOKEN).map(Token::new).ok_or_else(|| {
        misused(vec![format!("`{PROBE_TOKEN}` is not set: an API token of a user that may write to the sandbox alone")])
    })
}

/// The version alone, for commands that ask nobody. `None` when nothing names one.
pub(crate) fn named_version(environment: Environment<'_>) -> Result<Option<Version>, Failure> {
    let named = environment("SLIPWAY_VERSION").is_some() || environment("CI_COMMIT_TAG").is_some();
    let mut problems = Vec::new();
    let version = if named { version(environment, &mut problems) } else { None };
    if problems.is_empty() { Ok(version) } else { Err(misused(problems)) }
}

fn misused(problems: Vec<String>) -> Failure {
    Failure::new(Exit::Misused, "cannot begin: the environment is not complete", problems)
}

fn edge(environment: Environment<'_>, problems: &mut Vec<String>) -> Option<Base> {
    let Some(text) = environment(URL) else {
        problems.push(format!("`{URL}` is not set: the address of Slipway, such as `https://slipway.example.com`"));
        return None;
    };
    text.parse().map_err(|error| problems.push(format!("`{URL}`: {error}"))).ok()
}

fn version(environment: Environment<'_>, problems: &mut Vec<String>) -> Option<Version> {
    let (name, text) = match (environment("SLIPWAY_VERSION"), environment("CI_COMMIT_TAG")) {
        (Some(text), _) => ("SLIPWAY_VERSION", text),
        (None, Some(tag)) => ("CI_COMMIT_TAG", tag.strip_prefix('v').map_or(tag.clone(), str::to_owned)),
        (None, None) => {
            problems.push(
                "`SLIPWAY_VERSION` is not set: the version going out; jobs for a tag have it as `CI_COMMIT_TAG`"
                    .to_owned(),
            );
            return None;
        }
    };
    text.parse().map_err(|error| problems.push(format!("`{name}`: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an environment of `NAME=value` words.
    fn read(environment: &str, caller: Caller) -> Result<Settings, Vec<String>> {
        let variable = |name: &str| {
            let mut words = environment.split_whitespace().filter_map(|word| word.split_once('='));
            words.find(|(variable, _)| *variable == name).map(|(_, value)| value.to_owned())
        };
        Settings::read(&variable, caller).map_err(|failure| failure.lines)
    }

    #[test]
    fn the_version_is_the_tag_without_its_v_unless_it_is_named() {
        for (environment, version) in [
            ("CI_COMMIT_TAG=v1.2.3", "1.2.3"),
            ("CI_COMMIT_TAG=1.2.3", "1.2.3"),
            ("CI_COMMIT_TAG=v1.2.3 SLIPWAY_VERSION=1.2.3+ee.0", "1.2.3+ee.0"),
            // A named version is taken as it stands.
            ("SLIPWAY_VERSION=v1", "v1"),
        ] {
            let environment = format!("SLIPWAY_URL=https://s CI_PROJECT_ID=7 {environment}");
            let settings = read(&environment, Caller::Reader).expect("a complete environment");
            assert_eq!(settings.version.as_str(), version, "{environment}");
        }
    }

    #[test]
    fn a_named_project_is_preferred_to_the_jobs_own() {
        let settings =
            read("SLIPWAY_URL=https://s/ CI_PROJECT_ID=7 SLIPWAY_PROJECT=tug SLIPWAY_VERSION=1", Caller::Reader);
        assert_eq!(settings.expect("a complete environment").project, "tug");
    }

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let problems = read("", Caller::Job).expect_err("nothing is set");
        let named: Vec<&str> = problems.iter().filter_map(|problem| problem.split('`').nth(1)).collect();
        assert_eq!(named, [URL, ID_TOKEN, "SLIPWAY_PROJECT", "SLIPWAY_VERSION"]);
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_variables_name() {
        let problems = read("SLIPWAY_URL=slipway CI_PROJECT_ID=7 CI_COMMIT_TAG=release/1", Caller::Reader);
        let problems = problems.expect_err("two are wrong").join("\n");
        assert!(problems.contains("`SLIPWAY_URL`: `slipway` is not"), "{problems}");
        assert!(problems.contains("`CI_COMMIT_TAG`: `release/1` is not a version"), "{problems}");
    }
}
