//! What a stand-in begins with, from a JSON file. Each part is applied once per value, so starting again with the same
//! file changes nothing, not even what the control port has changed since.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    clock::Moment,
    delivery::is_deliverable,
    journal::Fact,
    oauth::Application,
    world::{ApiToken, Change, Hook, HookEvent, Project, Store, TimeFormat, Unwritten, User, World},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    #[serde(default)]
    projects: Vec<Value>,
    #[serde(default)]
    users: Vec<Value>,
    #[serde(default)]
    tokens: Vec<Value>,
    /// What people sign in with.
    #[serde(default)]
    applications: Vec<Value>,
    #[serde(default)]
    hooks: Vec<Value>,
    /// The `aud` of ID tokens that are asked for without one.
    #[serde(default)]
    audience: Option<String>,
}

/// A token as it is written in the seed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSeed {
    token: String,
    scopes: Vec<String>,
    #[serde(default)]
    user: Option<Reference>,
    #[serde(default)]
    projects: Option<Vec<u64>>,
}

/// Something known by its number or its name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Reference {
    Id(u64),
    Name(String),
}

impl Reference {
    pub(super) fn project<'w>(&self, world: &'w World) -> Result<&'w Project, String> {
        let project = match self {
            Self::Id(id) => world.projects.get(id),
            Self::Name(name) => world.project(name),
        };
        project.ok_or_else(|| format!("there is no project {}; the seed names the projects", self.shown()))
    }

    pub(super) fn user<'w>(&self, world: &'w World) -> Result<&'w User, String> {
        let user = match self {
            Self::Id(id) => world.users.get(id),
            Self::Name(name) => world.user_named(name),
        };
        user.ok_or_else(|| format!("there is no user {}; the seed names the users", self.shown()))
    }

    fn shown(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Name(name) => format!("`{name}`"),
        }
    }
}

/// A hook to add, or what to change about the hook of that project and name. What is absent stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookSeed {
    #[serde(alias = "project_id")]
    project: Reference,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    token: Given,
    #[serde(default)]
    signing_token: Given,
    #[serde(default)]
    events: Option<BTreeSet<HookEvent>>,
    #[serde(default)]
    time_format: Option<TimeFormat>,
    #[serde(default)]
    auto_disable: Option<bool>,
    #[serde(default)]
    disable_base_ms: Option<i64>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    at_once: Option<usize>,
}

/// A secret to set, or with `null` to remove.
#[derive(Default)]
enum Given {
    #[default]
    Nothing,
    Value(Option<String>),
}

impl Given {
    fn over(self, known: Option<String>) -> Option<String> {
        match self {
            Self::Nothing => known,
            Self::Value(value) => value,
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Value)
    }
}

/// What has no other name.
pub(super) const DEFAULT_HOOK: &str = "slipway";

/// Plays jobs for tokens that belong to nobody, as GitLab's bot users do.
const BOT: (u64, &str) = (9_000_001, "access_token_bot");

impl HookSeed {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(DEFAULT_HOOK)
    }

    /// Adds or changes the hook.
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<u64, String> {
        let world = &change.world;
        let project_id = self.project.project(world)?.id;
        let known = world.hooks_of(project_id).find(|hook| hook.name == self.name()).cloned();
        let mut hook = match known {
            Some(hook) => hook,
            None => Hook {
                id: world.next_hook_id(),
                project_id,
                name: self.name().to_owned(),
                url: self.url.clone().ok_or("a new hook needs a `url`")?,
                token: None,
                signing_token: None,
                events: BTreeSet::from([HookEvent::Job]),
                time_format: TimeFormat::default(),
                auto_disable: true,
                disable_base_ms: 60_000,
                timeout_ms: 10_000,
                at_once: 1,
                created_at: Moment::now(),
            },
        };
        hook.url = self.url.unwrap_or(hook.url);
        hook.token = self.token.over(hook.token);
        hook.signing_token = self.signing_token.over(hook.signing_token);
        hook.events = self.events.unwrap_or(hook.events);
        hook.time_format = self.time_format.unwrap_or(hook.time_format);
        hook.auto_disable = self.auto_disable.unwrap_or(hook.auto_disable);
        hook.disable_base_ms = self.disable_base_ms.unwrap_or(hook.disable_base_ms);
        hook.timeout_ms = self.timeout_ms.unwrap_or(hook.timeout_ms);
        hook.at_once = self.at_once.unwrap_or(hook.at_once).max(1);
        if !is_deliverable(&hook.url) {
            return Err(format!("`{}` is not an address of the form http://host:port/path", hook.url));
        }
        if hook.signing_token.as_deref().is_some_and(|token| !is_signing_token(token)) {
            return Err("the signing token is not `whsec_` and the base64 of 32 bytes".to_owned());
        }
        let id = hook.id;
        change.record(Fact::Hook(hook));
        Ok(id)
    }
}

fn is_signing_token(token: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    token.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok()).is_some_and(|key| key.len() == 32)
}

/// Applies every part of the file that is new or has changed since it was last applied.
pub(super) fn apply_file(store: &mut Store, file: &Path) -> Result<(), String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let seed: Seed = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    store.change(|change| apply(change, seed)).map_err(|Failed(reason)| reason)
}

struct Failed(String);

impl From<Unwritten> for Failed {
    fn from(error: Unwritten) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

fn apply(change: &mut Change<'_>, seed: Seed) -> Result<(), Failed> {
    for value in seed.projects {
        let project: Project = read("project", &value)?;
        once(change, format!("project {}", project.id), value, |change| {
            change.record(Fact::Project(project));
            Ok(())
        })?;
    }
    for value in seed.users {
        let user: User = read("user", &value)?;
        once(change, format!("user {}", user.id), value, |change| {
            change.record(Fact::User(user));
            Ok(())
        })?;
    }
    for value in seed.tokens {
        let token: TokenSeed = read("token", &value)?;
        once(change, format!("token {}", token.token), value, |change| {
            let user_id = match &token.user {
                Some(user) => user.user(change.world)?.id,
                None => bot(change),
            };
            change.record(Fact::ApiToken(ApiToken {
                token: token.token,
                scopes: token.scopes,
                user_id,
                projects: token.projects,
                application: None,
                ends_at: None,
            }));
            Ok(())
        })?;
    }
    for value in seed.applications {
        let application: Application = read("application", &value)?;
        once(change, format!("application {}", application.uid), value, |change| {
            change.record(Fact::Application(application));
            Ok(())
        })?;
    }
    for value in seed.hooks {
        let hook: HookSeed = read("hook", &value)?;
        let project = hook.project.project(change.world)?.id;
        once(change, format!("hook {project} {}", hook.name()), value, |change| hook.apply(change).map(drop))?;
    }
    if let Some(audience) = seed.audience {
        once(change, AUDIENCE.to_owned(), Value::String(audience), |_| Ok(()))?;
    }
    Ok(())
}

/// The part of the seed that holds the default audience.
pub(super) const AUDIENCE: &str = "audience";

/// A part that cannot be read is named by its kind: it may hold a secret.
fn read<T: DeserializeOwned>(kind: &str, value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("a {kind} of it: {error}"))
}

fn once(
    change: &mut Change<'_>,
    part: String,
    value: Value,
    apply: impl FnOnce(&mut Change<'_>) -> Result<(), String>,
) -> Result<(), String> {
    if change.world.seeded.get(&part) == Some(&value) {
        return Ok(());
    }
    apply(change)?;
    change.record(Fact::Seeded { part, value });
    Ok(())
}

fn bot(change: &mut Change<'_>) -> u64 {
    let (id, username) = BOT;
    if !change.world.users.contains_key(&id) {
        change.record(Fact::User(User {
            id,
            username: username.to_owned(),
            name: "Access token".to_owned(),
            email: None,
            access_level: User::maintainer(),
            roles: BTreeMap::new(),
            groups: BTreeSet::new(),
        }));
    }
    id
}
