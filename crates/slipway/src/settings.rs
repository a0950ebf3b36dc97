//! What the environment says: where Slipway is, who asks, and about which release.

use slipway_core::release::Version;
use slipway_oci as registry;
use slipway_wire::{Base, Token};

use crate::exit::{Exit, Failure};

/// The environment, as a function from a variable's name; a variable without a value is not there.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which release of which project, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The edge.
    pub(crate) edge: Base,
    /// Who asks. Reading may do without.
    pub(crate) credential: Option<Credential>,
    /// The project's numeric id, or its name.
    pub(crate) project: String,
    pub(crate) version: Version,
}

/// How a caller proves who it is.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// A job's ID token.
    Job(Token),
    /// What GitLab gave to a person who signed in.
    Person(Token),
    /// The operator's.
    Operator(Token),
}

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A job, with its ID token.
    Job,
    /// A job, an operator, or a person who signed in.
    Anyone,
    /// Anyone who may read; some may without a credential.
    Reader,
}

pub(crate) const URL: &str = "SLIPWAY_URL";
const ID_TOKEN: &str = "SLIPWAY_ID_TOKEN";
const OPERATOR_TOKEN: &str = "SLIPWAY_OPERATOR_TOKEN";
const GITLAB_TOKEN: &str = "SLIPWAY_GITLAB_TOKEN";
const STAGING_TOKEN: &str = "SLIPWAY_STAGING_TOKEN";
const REGISTRY_USER: &str = "SLIPWAY_REGISTRY_USER";
const REGISTRY_PASSWORD: &str = "SLIPWAY_REGISTRY_PASSWORD";
const PROBE_TOKEN: &str = "SLIPWAY_PROBE_TOKEN";

impl Settings {
    /// Reads every setting, or names every one that is missing or wrong. `person` is the token of somebody who signed in,
    /// and `version` what the command line says.
    pub(crate) fn read(
        environment: Environment<'_>,
        caller: Caller,
        person: Option<Token>,
        version: Option<&Version>,
    ) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let edge = edge(environment, &mut problems);
        let id_token = environment(ID_TOKEN).map(|token| Credential::Job(Token::new(token)));
        let operator = || environment(OPERATOR_TOKEN).map(|token| Credential::Operator(Token::new(token)));
        let credential = match caller {
            Caller::Job => id_token,
            Caller::Anyone | Caller::Reader => id_token.or_else(operator).or_else(|| person.map(Credential::Person)),
        };
        match caller {
            Caller::Job if credential.is_none() => problems.push(format!(
                "`{ID_TOKEN}` is not set: the job's ID token, from `id_tokens:` with `aud: $SLIPWAY_URL`"
            )),
            Caller::Anyone if credential.is_none() => problems.push(format!(
                "nobody is signed in: run `slipway login`; jobs have `{ID_TOKEN}`, operators `{OPERATOR_TOKEN}`"
            )),
            _ => {}
        }
        let project = environment("SLIPWAY_PROJECT").or_else(|| environment("CI_PROJECT_ID"));
        if project.is_none() {
            problems.push(
                "`SLIPWAY_PROJECT` is not set: the project's id in GitLab; jobs have it as `CI_PROJECT_ID`".to_owned(),
            );
        }
        let version = version.cloned().or_else(|| named(environment, &mut problems));
        match (edge, project, version) {
            (Some(edge), Some(project), Some(version)) if problems.is_empty() => {
                Ok(Self { edge, credential, project, version })
            }
            _ => Err(misused(problems)),
        }
    }
}

impl Settings {
    /// What an operator needs who asks about no release and perhaps no project.
    pub(crate) fn of_operator(environment: Environment<'_>) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let edge = edge(environment, &mut problems);
        let operator = operator_token(environment);
        if operator.is_none() {
            problems.push(format!(
                "`{OPERATOR_TOKEN}` is not set: the secret that `operator_token` in `slipway.toml` names"
            ));
        }
        // It belongs to no version; this one stands for none.
        match (edge, operator, "0".parse()) {
            (Some(edge), Some(token), Ok(version)) if problems.is_empty() => {
                Ok(Self { edge, credential: Some(Credential::Operator(token)), project: String::new(), version })
            }
            _ => Err(misused(problems)),
        }
    }
}

/// Where Slipway is.
pub(crate) fn address(environment: Environment<'_>) -> Result<Base, Failure> {
    let mut problems = Vec::new();
    edge(environment, &mut problems).ok_or_else(|| misused(problems))
}

/// Whether this is a job: it has an ID token.
pub(crate) fn is_job(environment: Environment<'_>) -> bool {
    environment(ID_TOKEN).is_some()
}

/// A person's own token of GitLab, where the environment has one.
pub(crate) fn gitlab_token(environment: Environment<'_>) -> Option<Token> {
    environment(GITLAB_TOKEN).map(Token::new)
}

/// The operator's credential, where the environment has it.
pub(crate) fn operator_token(environment: Environment<'_>) -> Option<Token> {
    environment(OPERATOR_TOKEN).map(Token::new)
}

/// The address of GitLab, where the environment has it; jobs do.
pub(crate) fn gitlab_address(environment: Environment<'_>) -> Result<Option<Base>, Failure> {
    let named = ["SLIPWAY_GITLAB_URL", "CI_SERVER_URL"].into_iter().find_map(|name| Some((name, environment(name)?)));
    let Some((name, text)) = named else { return Ok(None) };
    text.parse().map(Some).map_err(|error| misused(vec![format!("`{name}`: {error}")]))
}

/// The project's number, where the environment has it.
pub(crate) fn project_number(environment: Environment<'_>) -> Option<u64> {
    let named = environment("SLIPWAY_PROJECT").or_else(|| environment("CI_PROJECT_ID"));
    named.and_then(|text| text.parse().ok())
}

/// The token that may push to the private repository.
pub(crate) fn staging_token(environment: Environment<'_>) -> Result<Token, Failure> {
    environment(STAGING_TOKEN).map(Token::new).ok_or_else(|| {
        misused(vec![format!(
            "`{STAGING_TOKEN}` is not set: the package server's API token of the user that owns the staging repository"
        )])
    })
}

/// Who reads images where they are staged, where the environment says it. A job has a user of its own for its GitLab's
/// registry; it is shown to that one alone.
pub(crate) fn registry_user(environment: Environment<'_>, host: &str) -> Result<Option<registry::Credential>, Failure> {
    let named = |user: &str, password: &str| {
        let (Some(user), Some(password)) = (environment(user), environment(password)) else { return None };
        Some(registry::Credential { user, password: Token::new(password) })
    };
    match (environment(REGISTRY_USER), environment(REGISTRY_PASSWORD)) {
        (Some(_), Some(_)) => return Ok(named(REGISTRY_USER, REGISTRY_PASSWORD)),
        (None, None) => {}
        (user, _) => {
            let missing = if user.is_none() { REGISTRY_USER } else { REGISTRY_PASSWORD };
            return Err(misused(vec![format!(
                "`{missing}` is not set: a registry wants a user and a password together"
            )]));
        }
    }
    let is_own = environment("CI_REGISTRY").is_some_and(|own| own.eq_ignore_ascii_case(host));
    Ok(if is_own { named("CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD") } else { None })
}

/// Where a job's own GitLab gives tokens for its registry.
pub(crate) fn registry_realm(environment: Environment<'_>, host: &str) -> Option<Base> {
    let is_own = environment("CI_REGISTRY").is_some_and(|own| own.eq_ignore_ascii_case(host));
    let gitlab: Base = environment("CI_SERVER_URL").filter(|_| is_own)?.parse().ok()?;
    gitlab.join("/jwt/auth").parse().ok()
}

/// The token that `doctor` probes a package server with. None of Slipway's own: it needs a user that owns sandboxes alone.
pub(crate) fn probe_token(environment: Environment<'_>) -> Result<Token, Failure> {
    environment(PROBE_TOKEN).map(Token::new).ok_or_else(|| {
        misused(vec![format!("`{PROBE_TOKEN}` is not set: an API token of a user that may write to the sandbox alone")])
    })
}

/// The version alone, for commands that ask nobody. `None` when nothing names one.
pub(crate) fn named_version(environment: Environment<'_>) -> Result<Option<Version>, Failure> {
    let is_named = environment("SLIPWAY_VERSION").is_some() || environment("CI_COMMIT_TAG").is_some();
    let mut problems = Vec::new();
    let version = if is_named { named(environment, &mut problems) } else { None };
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

fn named(environment: Environment<'_>, problems: &mut Vec<String>) -> Option<Version> {
    let (name, text) = match (environment("SLIPWAY_VERSION"), environment("CI_COMMIT_TAG")) {
        (Some(text), _) => ("SLIPWAY_VERSION", text),
        (None, Some(tag)) => ("CI_COMMIT_TAG", tag.strip_prefix('v').map_or(tag.clone(), str::to_owned)),
        (None, None) => {
            problems.push(
                "`SLIPWAY_VERSION` is not set: the version going out; jobs for a tag have it as `CI_COMMIT_TAG`, and most \
                 commands take `--version`"
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
        Settings::read(&variable, caller, None, None).map_err(|failure| failure.lines)
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

    #[test]
    fn a_jobs_own_user_is_for_its_own_registry() {
        let read = |environment: &str, host: &str| {
            let variable = |name: &str| {
                let mut words = environment.split_whitespace().filter_map(|word| word.split_once('='));
                words.find(|(variable, _)| *variable == name).map(|(_, value)| value.to_owned())
            };
            let user = registry_user(&variable, host).map(|found| found.map(|found| found.user));
            (user.map_err(|failure| failure.lines), registry_realm(&variable, host).map(|realm| realm.to_string()))
        };
        let job = "CI_REGISTRY=registry.example.com CI_REGISTRY_USER=job CI_REGISTRY_PASSWORD=p CI_SERVER_URL=https://gitlab.example.com";
        let realm = Some("https://gitlab.example.com/jwt/auth".to_owned());
        assert_eq!(read(job, "registry.example.com"), (Ok(Some("job".to_owned())), realm.clone()));
        assert_eq!(read(job, "other.example.com"), (Ok(None), None));
        let own = format!("{job} SLIPWAY_REGISTRY_USER=own SLIPWAY_REGISTRY_PASSWORD=q");
        assert_eq!(read(&own, "other.example.com"), (Ok(Some("own".to_owned())), None));
        assert_eq!(read("", "other.example.com"), (Ok(None), None));
        let half = read("SLIPWAY_REGISTRY_USER=own", "other.example.com").0.expect_err("half of it");
        assert!(half[0].contains("`SLIPWAY_REGISTRY_PASSWORD` is not set"), "{half:?}");
    }
}
