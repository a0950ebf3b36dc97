//! The settings that say who is asked, and who may ask: `[edge]`, `[gitlab]`, `[[projects]]`, `[[deployers]]`.
//!
//! What a setting leaves out is the narrow choice: nobody reads without a session, only protected refs are served, no
//! pipeline source that a fork can start is believed. Secrets are named here and never written here.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use slipway_gitlab::AccessLevel;
use slipway_wire::Base;

use crate::release::Key;
use crate::route::{Glob, anything};
use crate::signing::PublicKey;

/// Ids beyond it are not exact in JSON's numbers, nor in the ledger. GitLab.com's have 34 bits.
const ID_MAX: u64 = (1 << 53) - 1;

/// `[edge]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Its public address.
    pub url: Base,
    audience: Option<String>,
    /// Who may read without a session.
    #[serde(default)]
    pub reading: Reading,
    /// The name of the secret that the operator shows: it reads, holds, closes, withdraws, stops and restores, in every project. It
    /// never releases.
    pub operator_token: Option<String>,
    /// The name of the secret that whoever collects numbers shows: it reads `/metrics`, and nothing else.
    pub metrics_token: Option<String>,
    /// The name of the secret that heads of the audit and attestations are signed with. Without it nothing is signed.
    pub signing_key: Option<String>,
    /// Public keys that were used before, so that what they signed can still be checked.
    #[serde(default)]
    pub former_keys: Vec<PublicKey>,
}

impl Edge {
    /// What ID tokens must be issued for: `audience`, or the address.
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(self.url.as_str())
    }
}

/// Who may read releases without a session. What is staged is private, so the default is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Only jobs with a session, and people who have signed in.
    #[default]
    Nobody,
    /// Everybody who reaches the address sees what is public, and cannot tell whether there is more. All the rest is for
    /// jobs with a session, and people who have signed in.
    Public,
    /// Everybody who reaches the address sees everything, what is staged too.
    Anyone,
}

/// `[gitlab]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gitlab {
    /// The instance's address, which is also the issuer of its ID tokens.
    pub url: Base,
    /// The name of the secret with a `read_api` token.
    pub token: String,
    /// The name of the secret with an `api` token. It is used for commit statuses alone.
    pub status_token: Option<String>,
    /// The name of a secret or variable with the instance's JSON key set. It is used instead of asking for the keys, for a
    /// GitLab that the edge cannot reach without a credential.
    pub keys: Option<String>,
    /// The id of the OAuth application that people sign in with. Without one nobody does.
    pub application: Option<String>,
}

/// `[[projects]]`: a GitLab project, known by its ids, since paths can change hands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// GitLab's id of the project.
    pub id: u64,
    /// GitLab's id of its namespace.
    pub namespace_id: u64,
    /// The name used in addresses and routes.
    pub name: Key,
    /// The name of the secret that its webhook sends as it is.
    pub webhook_token: Option<String>,
    /// The name of the secret (`whsec_…`) that its webhook is signed with. Where it is set, nothing unsigned is believed.
    pub signing_token: Option<String>,
    /// What may have started the pipeline of a job that asks for anything.
    #[serde(default = "pipeline_sources")]
    pub pipeline_sources: Vec<PipelineSource>,
    /// Branches and tags whose jobs may ask for anything. They must be protected in any case.
    #[serde(default = "anything")]
    pub refs: Vec<Glob>,
    /// GitLab's ids of the people who may release. Without it, whoever GitLab lets play the job.
    pub release_people: Option<Vec<u64>>,
    /// The roles that may release.
    pub release_levels: Option<Vec<AccessLevel>>,
    /// Whether the environment of a job that releases must be protected in GitLab.
    #[serde(default)]
    pub protected_environment: bool,
}

fn pipeline_sources() -> Vec<PipelineSource> {
    vec![PipelineSource::Push, PipelineSource::Web, PipelineSource::Schedule]
}

/// What starts a pipeline. `merge_request_event` and its kin are absent on purpose: such a pipeline can run the code of a
/// fork as the project's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineSource {
    /// Somebody pushed a branch or a tag.
    Push,
    /// Somebody pressed "New pipeline".
    Web,
    /// A schedule.
    Schedule,
    /// Somebody called GitLab's API.
    Api,
    /// A trigger token.
    Trigger,
    /// A job of another project.
    Pipeline,
    /// A job of the same project's parent pipeline.
    ParentPipeline,
}

impl PipelineSource {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Push, Self::Web, Self::Schedule, Self::Api, Self::Trigger, Self::Pipeline, Self::ParentPipeline];

    /// GitLab's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Web => "web",
            Self::Schedule => "schedule",
            Self::Api => "api",
            Self::Trigger => "trigger",
            Self::Pipeline => "pipeline",
            Self::ParentPipeline => "parent_pipeline",
        }
    }
}

impl fmt::Display for PipelineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `[[deployers]]`: a project whose jobs say that a release runs somewhere, and may do nothing else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployer {
    /// GitLab's id of the project.
    pub id: u64,
    /// GitLab's id of its namespace.
    pub namespace_id: u64,
    /// The name used in the audit.
    pub name: Key,
    /// Names of the projects whose releases it deploys.
    pub projects: Vec<Key>,
    /// The environments that it speaks for.
    pub environments: Vec<String>,
}

/// Everything in these sections that cannot be meant.
pub(super) fn problems(edge: &Edge, gitlab: &Gitlab, projects: &[Project], deployers: &[Deployer]) -> Vec<String> {
    let mut problems = Vec::new();
    let texts = [
        ("edge.operator_token", &edge.operator_token),
        ("edge.metrics_token", &edge.metrics_token),
        ("edge.signing_key", &edge.signing_key),
        ("gitlab.status_token", &gitlab.status_token),
        ("gitlab.keys", &gitlab.keys),
        ("gitlab.application", &gitlab.application),
    ];
    for (setting, value) in texts {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            problems.push(format!("{setting}: it is empty; leave it out, or name what it stands for"));
        }
    }
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for Project { id, name, .. } in projects {
        if !ids.insert(*id) {
            problems.push(format!("projects: id {id} is there twice"));
        }
        if !names.insert(name) {
            problems.push(format!("projects: name `{name}` is there twice"));
        }
        if name.as_str().bytes().all(|b| b.is_ascii_digit()) {
            problems.push(format!("projects: the name `{name}` could be taken for an id"));
        }
    }
    for project in projects {
        let name = &project.name;
        problems.extend(id_problem("projects", name, project.id, project.namespace_id));
        if project.webhook_token.is_none() && project.signing_token.is_none() {
            problems.push(format!("projects.{name}: its webhook proves itself by neither; set `signing_token` (GitLab 19.0 and newer) or `webhook_token`"));
        }
        let empty = [
            ("pipeline_sources", project.pipeline_sources.is_empty()),
            ("refs", project.refs.is_empty()),
            ("release_people", project.release_people.as_ref().is_some_and(Vec::is_empty)),
            ("release_levels", project.release_levels.as_ref().is_some_and(Vec::is_empty)),
        ];
        for (setting, _) in empty.iter().filter(|(_, is_empty)| *is_empty) {
            problems.push(format!("projects.{name}.{setting}: it is empty, so nobody could do anything; name some"));
        }
    }
    let mut ids = BTreeSet::new();
    for deployer in deployers {
        let name = &deployer.name;
        problems.extend(id_problem("deployers", name, deployer.id, deployer.namespace_id));
        if !ids.insert(deployer.id) {
            problems.push(format!("deployers: id {} is there twice", deployer.id));
        }
        if projects.iter().any(|project| project.id == deployer.id) {
            problems.push(format!("deployers.{name}: project {} releases itself, and its jobs may say what is deployed anyway; leave it out", deployer.id));
        }
        if deployer.projects.is_empty() || deployer.environments.is_empty() {
            problems.push(format!("deployers.{name}: name at least one of `projects` and one of `environments`"));
        }
        for known in &deployer.projects {
            if !names.contains(known) {
                problems.push(format!("deployers.{name}: there is no project `{known}`"));
            }
        }
    }
    problems
}

fn id_problem(section: &str, name: &Key, id: u64, namespace_id: u64) -> Option<String> {
    let is_odd = |id: u64| id == 0 || id > ID_MAX;
    (is_odd(id) || is_odd(namespace_id)).then(|| {
        format!("{section}.{name}: `id` and `namespace_id` are the numbers that GitLab shows, from 1 to {ID_MAX}")
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, PipelineSource};

    /// A file with these lines in its sections.
    fn parse(edge: &str, gitlab: &str, project: &str, more: &str) -> Result<Config, String> {
        let text = format!(
            "[edge]\nurl = \"https://slipway.example.com\"\n{edge}\n\
             [gitlab]\nurl = \"https://gitlab.example.com\"\ntoken = \"GITLAB_TOKEN\"\n{gitlab}\n[places]\n\
             [[projects]]\nid = 1001\nnamespace_id = 71\nname = \"tug\"\n{project}\n{more}\n"
        );
        Config::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_the_narrow_choice() {
        let config = parse("", "", "webhook_token = \"W\"", "").expect("a good file");
        let [project] = config.projects.as_slice() else { panic!("one project") };
        assert_eq!(project.pipeline_sources, [PipelineSource::Push, PipelineSource::Web, PipelineSource::Schedule]);
        assert!(project.release_people.is_none() && project.release_levels.is_none() && !project.protected_environment);
        assert!(config.edge.operator_token.is_none() && config.gitlab.application.is_none());
        assert!(config.deployers.is_empty());
    }

    #[test]
    fn every_setting_is_read() {
        let config = parse(
            "operator_token = \"OPERATOR_TOKEN\"\nmetrics_token = \"METRICS_TOKEN\"",
            "status_token = \"S\"\nkeys = \"K\"\napplication = \"a1\"",
            "signing_token = \"G\"\npipeline_sources = [\"push\", \"api\"]\nrefs = [\"v*\"]\nrelease_people = [501]\n\
             release_levels = [\"maintainer\", \"owner\"]\nprotected_environment = true",
            "[[deployers]]\nid = 7\nnamespace_id = 8\nname = \"fleet\"\nprojects = [\"tug\"]\nenvironments = [\"production\"]",
        );
        let config = config.expect("a good file");
        assert_eq!(config.deployers.len(), 1);
        assert_eq!(config.edge.metrics_token.as_deref(), Some("METRICS_TOKEN"));
        assert!(config.projects.iter().all(|project| project.protected_environment && project.refs.len() == 1));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let hook = "webhook_token = \"W\"";
        let deployer = |lines: &str| format!("[[deployers]]\nnamespace_id = 8\nname = \"fleet\"\n{lines}");
        for (edge, gitlab, project, more, part) in [
            ("", "", "", "", "`signing_token` (GitLab 19.0 and newer) or `webhook_token`"),
            ("", "", "webhook_token = \"W\"\nsigning_token = \"W\"", "", "are the same secret"),
            ("", "status_token = \"GITLAB_TOKEN\"", hook, "", "gitlab.status_token are the same secret"),
            ("operator_token = \"\"", "", hook, "", "edge.operator_token: it is empty"),
            ("metrics_token = \" \"", "", hook, "", "edge.metrics_token: it is empty"),
            ("", "keys = \" \"", hook, "", "gitlab.keys: it is empty"),
            ("", "", "webhook_token = \"W\"\nrefs = []", "", "projects.tug.refs"),
            ("", "", "webhook_token = \"W\"\nrelease_people = []", "", "projects.tug.release_people"),
            ("", "", "webhook_token = \"W\"\nrelease_levels = [\"boss\"]", "", "boss"),
            ("", "", "webhook_token = \"W\"\npipeline_sources = [\"merge_request_event\"]", "", "merge_request_event"),
            ("", "", hook, &deployer("id = 1001\nprojects = [\"tug\"]\nenvironments = [\"p\"]"), "releases itself"),
            ("", "", hook, &deployer("id = 7\nprojects = [\"tub\"]\nenvironments = [\"p\"]"), "no project `tub`"),
            ("", "", hook, &deployer("id = 7\nprojects = [\"tug\"]\nenvironments = []"), "at least one"),
            ("", "", hook, &deployer("id = 0\nprojects = [\"tug\"]\nenvironments = [\"p\"]"), "deployers.fleet: `id`"),
        ] {
            let error = parse(edge, gitlab, project, more).expect_err(part);
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }
}
