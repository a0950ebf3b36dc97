//! What exists in this GitLab: projects, people, tokens, hooks, pipelines, jobs and deliveries; and the one way to
//! change it, which is to write facts down first.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    clock::Moment,
    delivery::{Delivery, Health},
    job::{Job, Pipeline, Status},
    journal::{Fact, Journal},
    oauth::{Application, RefreshToken},
    outward::{CommitStatus, Triggered},
    protected::Protected,
};

/// A project, known by its numeric id.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) namespace_id: u64,
    /// With its namespace: `harbour/tug`.
    pub(super) path: String,
    #[serde(default = "Project::private")]
    pub(super) visibility: String,
    #[serde(default = "Project::main")]
    pub(super) default_branch: String,
}

impl Project {
    fn private() -> String {
        "private".to_owned()
    }

    fn main() -> String {
        "main".to_owned()
    }

    pub(super) fn namespace_path(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub(super) fn last_name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, name)| name)
    }

    /// The name shown to people, which differs from the path as it does on GitLab: `Harbour`.
    pub(super) fn namespace_title(&self) -> String {
        let titles: Vec<String> = self.namespace_path().split('/').map(capitalised).collect();
        titles.join(" / ")
    }

    /// 0 private, 10 internal, 20 public.
    pub(super) fn visibility_level(&self) -> u8 {
        match self.visibility.as_str() {
            "public" => 20,
            "internal" => 10,
            _ => 0,
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A person, or the bot behind a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<String>,
    /// The role in every project that `roles` does not name.
    #[serde(default = "User::maintainer")]
    pub(super) access_level: String,
    /// The role by project id; `none` for a project that the person does not belong to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) roles: BTreeMap<String, String>,
    /// The groups that the person is a member of, which protected environments go by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) groups: BTreeSet<u64>,
}

impl User {
    pub(super) fn maintainer() -> String {
        "maintainer".to_owned()
    }

    pub(super) fn email(&self) -> String {
        self.email.clone().unwrap_or_else(|| format!("{}@example.com", self.username))
    }

    /// The role in a project, if the person belongs to it.
    pub(super) fn role(&self, project_id: u64) -> Option<&str> {
        let role = self.roles.get(&project_id.to_string()).unwrap_or(&self.access_level);
        (role != "none").then_some(role)
    }

    /// The number that the REST API gives for the role.
    pub(super) fn access_number(&self, project_id: u64) -> Option<u8> {
        self.role(project_id).map(|role| match role {
            "guest" => 10,
            "planner" => 15,
            "reporter" => 20,
            "developer" => 30,
            "owner" => 50,
            _ => 40,
        })
    }
}

/// An access token of the REST API.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ApiToken {
    pub(super) token: String,
    pub(super) scopes: Vec<String>,
    /// Whose token it is, and who plays a job with it.
    pub(super) user_id: u64,
    /// The only projects that it can see; every one when absent.
    pub(super) projects: Option<Vec<u64>>,
    /// The application that a person gave it to. `None` for a token made by hand.
    #[serde(default)]
    pub(super) application: Option<String>,
    /// When it ends.
    #[serde(default)]
    pub(super) ends_at: Option<Moment>,
}

impl ApiToken {
    /// Whether it may be used still.
    pub(super) fn is_good(&self, now: Moment) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }
}

/// A project's webhook.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Hook {
    pub(super) id: u64,
    pub(super) project_id: u64,
    /// What the control port knows it by, so that a changed address does not make a second hook.
    pub(super) name: String,
    pub(super) url: String,
    pub(super) token: Option<String>,
    /// `whsec_…`
    pub(super) signing_token: Option<String>,
    pub(super) events: BTreeSet<HookEvent>,
    pub(super) time_format: TimeFormat,
    /// GitLab.com does, a self-managed GitLab only behind a flag.
    pub(super) auto_disable: bool,
    /// How long the fourth failure in a row switches the hook off; GitLab's is a minute.
    pub(super) disable_base_ms: i64,
    /// GitLab's is ten seconds.
    pub(super) timeout_ms: u64,
    /// How many deliveries are sent at a time. One keeps them in order, which GitLab does not promise: its Sidekiq sends
    /// as many as it has threads for.
    #[serde(default = "one")]
    pub(super) at_once: usize,
    pub(super) created_at: Moment,
}

fn one() -> usize {
    1
}

/// What a hook wants to hear of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HookEvent {
    Job,
    Pipeline,
    Deployment,
}

impl HookEvent {
    /// The value of `X-Gitlab-Event`.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Job => "Job Hook",
            Self::Pipeline => "Pipeline Hook",
            Self::Deployment => "Deployment Hook",
        }
    }
}

/// How times are written in Job Hooks: GitLab has sent both.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimeFormat {
    /// `2023-01-10 13:50:02 UTC`
    #[default]
    Utc,
    /// `2023-01-10T13:50:02.123Z`
    Iso,
}

impl TimeFormat {
    pub(super) fn write(self, moment: Moment) -> String {
        match self {
            Self::Utc => moment.utc(),
            Self::Iso => moment.iso(),
        }
    }
}

/// Everything that the journal says.
#[derive(Default)]
pub(super) struct World {
    pub(super) projects: BTreeMap<u64, Project>,
    pub(super) users: BTreeMap<u64, User>,
    pub(super) tokens: BTreeMap<String, ApiToken>,
    pub(super) applications: BTreeMap<String, Application>,
    pub(super) hooks: BTreeMap<u64, Hook>,
    pub(super) health: BTreeMap<u64, Health>,
    pub(super) pipelines: BTreeMap<u64, Pipeline>,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) deliveries: BTreeMap<u64, Delivery>,
    pub(super) seeded: BTreeMap<String, Value>,
    pub(super) commit_statuses: BTreeMap<u64, CommitStatus>,
    /// By pipeline.
    pub(super) triggered: BTreeMap<u64, Triggered>,
    /// Protected environments, by project and name.
    pub(super) protected: BTreeMap<(u64, String), Protected>,
    /// What prolongs a sign-in, by itself.
    pub(super) refresh_tokens: BTreeMap<String, RefreshToken>,
    /// Deliveries without an outcome yet, oldest first, by hook.
    pub(super) waiting: BTreeMap<u64, BTreeSet<u64>>,
}

// Real job ids need more than 32 bits, pipeline ids nearly do; small ones would hide a reader that cuts them off.
const FIRST_JOB: u64 = 5_000_000_001;
const FIRST_PIPELINE: u64 = 1_700_000_001;

impl World {
    pub(super) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Project(project) => drop(self.projects.insert(project.id, project.clone())),
            Fact::User(user) => drop(self.users.insert(user.id, user.clone())),
            Fact::ApiToken(token) => drop(self.tokens.insert(token.token.clone(), token.clone())),
            Fact::Application(application) => {
                self.applications.insert(application.uid.clone(), application.clone());
            }
            Fact::Hook(hook) => drop(self.hooks.insert(hook.id, hook.clone())),
            Fact::HookEnabled { hook_id } => drop(self.health.remove(hook_id)),
            Fact::Pipeline(pipeline) => drop(self.pipelines.insert(pipeline.id, pipeline.clone())),
            Fact::Job(job) => drop(self.jobs.insert(job.id, (**job).clone())),
            Fact::CommitStatus(status) => drop(self.commit_statuses.insert(status.id, (**status).clone())),
            Fact::Triggered(triggered) => drop(self.triggered.insert(triggered.pipeline_id, triggered.clone())),
            Fact::Protected(protected) => {
                self.protected.insert((protected.project_id, protected.name.clone()), protected.clone());
            }
            Fact::RefreshToken(token) => drop(self.refresh_tokens.insert(token.token.clone(), token.clone())),
            Fact::Queued(delivery) => {
                self.waiting.entry(delivery.hook_id).or_default().insert(delivery.id);
                self.deliveries.insert(delivery.id, (**delivery).clone());
            }
            Fact::Delivered { delivery_id, outcome } => {
                let Some(delivery) = self.deliveries.get_mut(delivery_id) else { return };
                delivery.outcome = Some((**outcome).clone());
                if let Some(waiting) = self.waiting.get_mut(&delivery.hook_id) {
                    waiting.remove(delivery_id);
                }
                if let Some(hook) = self.hooks.get(&delivery.hook_id) {
                    self.health.entry(hook.id).or_default().learn(hook, outcome);
                }
            }
            Fact::Seeded { part, value } => drop(self.seeded.insert(part.clone(), value.clone())),
        }
    }

    pub(super) fn next_job_id(&self) -> u64 {
        self.jobs.keys().next_back().map_or(FIRST_JOB, |last| (last + 1).max(FIRST_JOB))
    }

    pub(super) fn next_pipeline_id(&self) -> u64 {
        self.pipelines.keys().next_back().map_or(FIRST_PIPELINE, |last| (last + 1).max(FIRST_PIPELINE))
    }

    pub(super) fn next_hook_id(&self) -> u64 {
        self.hooks.keys().next_back().map_or(1, |last| last + 1)
    }

    pub(super) fn next_delivery_id(&self) -> u64 {
        self.deliveries.keys().next_back().map_or(1, |last| last + 1)
    }

    /// A project by its number or its path.
    pub(super) fn project(&self, reference: &str) -> Option<&Project> {
        match reference.parse::<u64>() {
            Ok(id) => self.projects.get(&id),
            Err(_) => self.projects.values().find(|project| project.path.eq_ignore_ascii_case(reference)),
        }
    }

    pub(super) fn user_named(&self, username: &str) -> Option<&User> {
        self.users.values().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    pub(super) fn jobs_of(&self, pipeline_id: u64) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.pipeline_id == pipeline_id)
    }

    pub(super) fn pipeline_status(&self, pipeline_id: u64) -> Status {
        Pipeline::status(self.jobs_of(pipeline_id))
    }

    pub(super) fn hooks_of(&self, project_id: u64) -> impl Iterator<Item = &Hook> {
        self.hooks.values().filter(move |hook| hook.project_id == project_id)
    }
}

/// The world and its journal.
pub(super) struct Store {
    pub(super) world: World,
    journal: Journal,
    /// Why nothing can be written any more. Memory and journal may then differ, so nothing is answered either.
    broken: Option<String>,
    /// Deliveries that somebody is sending at this moment.
    pub(super) claimed: BTreeSet<u64>,
    /// How many senders a hook has at work.
    pub(super) busy: BTreeMap<u64, usize>,
}

/// A change that is being made: every fact takes effect at once, and all are written before the change ends.
pub(super) struct Change<'a> {
    pub(super) world: &'a mut World,
    facts: Vec<Fact>,
}

impl Change<'_> {
    pub(super) fn record(&mut self, fact: Fact) {
        self.world.apply(&fact);
        self.facts.push(fact);
    }
}

impl Store {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let (journal, facts) = Journal::open(path)?;
        let mut world = World::default();
        for fact in &facts {
            world.apply(fact);
        }
        Ok(Self { world, journal, broken: None, claimed: BTreeSet::new(), busy: BTreeMap::new() })
    }

    /// Makes one change and writes it down. A change that is refused half-way keeps what it recorded.
    pub(super) fn change<T, E: From<Unwritten>>(
        &mut self,
        make: impl FnOnce(&mut Change<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(reason) = &self.broken {
            return Err(Unwritten(reason.clone()).into());
        }
        let mut change = Change { world: &mut self.world, facts: Vec::new() };
        let result = make(&mut change);
        let facts = change.facts;
        if !facts.is_empty()
            && let Err(error) = self.journal.append(&facts)
        {
            self.broken = Some(error.to_string());
            return Err(Unwritten(error.to_string()).into());
        }
        result
    }
}

/// The journal cannot be written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot write the stand-in's journal: {0}; make room on its disk and start it again")]
pub(super) struct Unwritten(pub(super) String);
