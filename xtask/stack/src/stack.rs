//! All of it together: seeds, configuration, processes, and what other programs need to use them.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::edge::Edge;
use crate::{Places, Ports, Process, Secrets, registry};

/// A process of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The registry that images are staged in, which is closed.
    RegistryStaging,
    /// The registry that images are released to, which is open.
    RegistryPublic,
    /// The package server.
    Depot,
    /// The GitLab stand-in.
    Gitlab,
    /// workerd with the Worker.
    Edge,
}

impl Part {
    /// In the order in which they start.
    pub const ALL: [Self; 5] = [Self::RegistryStaging, Self::RegistryPublic, Self::Depot, Self::Gitlab, Self::Edge];

    /// The name in logs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::RegistryStaging => "registry-staging",
            Self::RegistryPublic => "registry-public",
            Self::Depot => "depot",
            Self::Gitlab => "gitlab",
            Self::Edge => "edge",
        }
    }
}

/// A project of the stack.
#[derive(Clone, Copy, Debug)]
pub struct Project {
    /// GitLab's numeric id.
    pub id: u64,
    /// The id of its group.
    pub namespace_id: u64,
    /// Its name in `slipway.toml`.
    pub name: &'static str,
    /// Its path in GitLab.
    pub path: &'static str,
    /// The name of its webhook secret.
    pub webhook_secret: &'static str,
}

/// The projects that every stack has.
const PROJECTS: [Project; 2] = [
    Project { id: 1001, namespace_id: 71, name: "tug", path: "harbour/tug", webhook_secret: "WEBHOOK_TOKEN_TUG" },
    Project { id: 1002, namespace_id: 71, name: "pilot", path: "harbour/pilot", webhook_secret: "WEBHOOK_TOKEN_PILOT" },
];

/// The OAuth application that people sign in with.
const APPLICATION: &str = "slipway-command";

const STAGING: (&str, &str) = ("harbour-ci", "pre-release");
const PUBLIC: (&str, &str) = ("harbour", "stable");
/// A user of the package server who does by hand what the edge should do.
const HAND: &str = "hand";

/// The user of the closed registry.
const REGISTRY_USER: &str = "harbour-ci";
const REGISTRY_STAGING: &str = "harbour-ci/tug";
const REGISTRY_PUBLIC: &str = "harbour/tug";

/// A registry of a stack, as its clients need it.
#[derive(Clone, Debug)]
pub struct RegistryOfStack {
    /// Its address.
    pub url: String,
    /// Host and port, as image references begin.
    pub host: String,
    /// The repository that the stack's route names.
    pub repository: &'static str,
    /// Who may use it, where not everybody may.
    pub user: Option<&'static str>,
    /// That user's password.
    pub password: Option<String>,
}

impl RegistryOfStack {
    /// `host/repository`, to which `:tag` or `@digest` is added.
    pub fn image(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where state, logs and secrets are kept. A second start in the same folder finds everything again.
    pub folder: PathBuf,
    /// Forget what earlier starts left in the folder.
    pub fresh: bool,
    /// Ports by name ([`crate::PORT_NAMES`]); the others are free ones.
    pub ports: BTreeMap<String, u16>,
    /// Added to the end of `slipway.toml`.
    pub more_config: String,
    /// Routes in place of the one that sends every package from the private to the public repository by copy.
    pub routes: Option<String>,
    /// How many transfers the public place takes at a time, in place of Slipway's own number.
    pub transfers: Option<u32>,
    /// Changes to the top-level keys of depot's seed.
    pub more_depot_seed: BTreeMap<String, Value>,
    /// Changes to the top-level keys of the GitLab stand-in's seed.
    pub more_gitlab_seed: BTreeMap<String, Value>,
    /// Two registries for images too, where the programs for them are installed ([`Stack::without_registries`]). Off,
    /// a stack starts without paying for them.
    pub registries: bool,
    /// What runs in place of what this clone has built.
    pub handed_out: Option<HandedOut>,
}

/// The parts that `cargo xtask dist` packs, unpacked.
#[derive(Clone, Debug)]
pub struct HandedOut {
    /// The folder of the Worker, with its `wrangler.toml`.
    pub worker: PathBuf,
    /// depot's program.
    pub depot: PathBuf,
}

impl Settings {
    /// A stack that keeps what it knows in `folder`, on free ports.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            fresh: false,
            ports: BTreeMap::new(),
            more_config: String::new(),
            routes: None,
            transfers: None,
            more_depot_seed: BTreeMap::new(),
            more_gitlab_seed: BTreeMap::new(),
            registries: false,
            handed_out: None,
        }
    }
}

/// A running stack. Dropping it ends its processes and keeps its state.
pub struct Stack {
    folder: PathBuf,
    ports: Ports,
    secrets: Secrets,
    processes: BTreeMap<Part, Process>,
    /// Why there are no registries, though they were asked for.
    without_registries: Option<String>,
    /// Held until all of them have ended.
    _lock: File,
}

impl Stack {
    /// Starts every process and returns when all of them answer.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let places = Places::of_this_clone()?;
        let folder = settings.folder.clone();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let folder = folder.canonicalize()?;
        let lock = lock(&folder)?;
        if settings.fresh {
            empty(&folder).with_context(|| format!("cannot empty `{}`", folder.display()))?;
        }
        let ports = Ports::choose(&settings.ports, &folder)?;
        let secrets = Secrets::of(&folder)?;
        let without_registries = if settings.registries { registry::missing() } else { None };
        let has_registries = settings.registries && without_registries.is_none();
        let mut stack = Self { folder, ports, secrets, processes: BTreeMap::new(), without_registries, _lock: lock };

        let logs = stack.folder.join("log");
        for part in Part::ALL {
            let command = match part {
                Part::RegistryStaging | Part::RegistryPublic if !has_registries => continue,
                Part::RegistryStaging | Part::RegistryPublic => {
                    let process = stack.start_registry(part, &logs)?;
                    stack.processes.insert(part, process);
                    continue;
                }
                Part::Depot => stack.depot_command(&places, settings)?,
                Part::Gitlab => stack.gitlab_command(&places, settings)?,
                Part::Edge => stack.edge_command(&places, settings)?,
            };
            let process = Process::start(part.name(), command, BTreeMap::new(), &logs)?;
            stack.processes.insert(part, process);
        }
        Ok(stack)
    }

    fn start_registry(&self, part: Part, logs: &Path) -> anyhow::Result<Process> {
        let is_closed = part == Part::RegistryStaging;
        let folder = self.folder.join(part.name());
        // Both forms of `Location` are met.
        let (auth, addresses) = if is_closed {
            let password = self.secret("REGISTRY_STAGING_TOKEN");
            (registry::Auth::User(REGISTRY_USER, password), registry::Addresses::Absolute)
        } else {
            (registry::Auth::Nobody, registry::Addresses::Relative)
        };
        let setup =
            registry::Setup { folder: &folder, port: self.ports.get(part.name()), auth, addresses, deletes: true };
        Process::start_until_it_answers(part.name(), setup.command()?, logs, &setup.answers_at())
    }

    fn depot_command(&self, places: &Places, settings: &Settings) -> anyhow::Result<Vec<String>> {
        let seed = self.folder.join("depot.json");
        let owned =
            |(owner, name): (&str, &str), private: bool| json!({"owner": owner, "name": name, "private": private});
        let mut text = json!({
            "users": [
                {"name": STAGING.0, "token": self.secret("STAGING_TOKEN")},
                {"name": PUBLIC.0, "token": self.secret("PUBLIC_TOKEN")},
                {"name": HAND, "token": self.secret("HAND_TOKEN")},
            ],
            "repos": [owned(STAGING, true), owned(PUBLIC, false)],
        });
        for (key, value) in &settings.more_depot_seed {
            text[key] = value.clone();
        }
        for repository in text["repos"].as_array_mut().into_iter().flatten() {
            let others = repository["collaborators"].as_array().cloned().unwrap_or_default();
            repository["collaborators"] = others.into_iter().chain([json!(HAND)]).collect();
        }
        crate::write_private(&seed, &format!("{text:#}\n"))?;
        let program = match &settings.handed_out {
            Some(handed_out) => handed_out.depot.clone(),
            None => places.program("depot")?,
        };
        Ok(vec![
            path(&program),
            "serve".to_owned(),
            "--data".to_owned(),
            path(&self.folder.join("depot")),
            "--listen".to_owned(),
            self.ports.address("depot"),
            "--storage".to_owned(),
            self.ports.address("depot-storage"),
            "--control".to_owned(),
            self.ports.address("depot-control"),
            "--seed".to_owned(),
            path(&seed),
        ])
    }

    fn gitlab_command(&self, places: &Places, settings: &Settings) -> anyhow::Result<Vec<String>> {
        let seed = self.folder.join("gitlab.json");
        let hook = |project: &Project| {
            json!({
                "project_id": project.id,
                "url": self.webhook_url(project),
                "token": self.secret(project.webhook_secret),
            })
        };
        let mut text = json!({
            "projects": PROJECTS.map(|project| json!({
                "id": project.id, "namespace_id": project.namespace_id, "path": project.path,
            })),
            "users": [
                {"id": 7, "username": "mira", "name": "Mira Holt"},
                {"id": 8, "username": "jonas", "name": "Jonas Brandt"},
            ],
            "applications": [{
                "uid": APPLICATION,
                "scopes": ["read_user", "api", "openid"],
                "redirect_uris": [format!("{}/sign-in/return", self.edge_url())],
            }],
            "tokens": [
                {"token": self.secret("GITLAB_TOKEN"), "scopes": ["read_api"]},
                {"token": self.secret("GITLAB_STATUS_TOKEN"), "scopes": ["api"]},
                {"token": self.secret("TRIGGER_TOKEN"), "scopes": ["trigger"], "projects": [PROJECTS[1].id]},
            ],
            "hooks": PROJECTS.iter().map(hook).collect::<Vec<_>>(),
            "audience": self.audience(),
        });
        for (key, value) in &settings.more_gitlab_seed {
            text[key] = value.clone();
        }
        crate::write_private(&seed, &format!("{text:#}\n"))?;
        Ok(vec![
            path(&places.program("gitlab-stand-in")?),
            "--data".to_owned(),
            path(&self.folder.join("gitlab")),
            "--listen".to_owned(),
            self.ports.address("gitlab"),
            "--control".to_owned(),
            self.ports.address("gitlab-control"),
            "--seed".to_owned(),
            path(&seed),
        ])
    }

    fn edge_command(&self, places: &Places, settings: &Settings) -> anyhow::Result<Vec<String>> {
        let folder = self.edge_folder();
        std::fs::create_dir_all(&folder)?;
        let config = format!("{}{}", self.config(settings), settings.more_config);
        let (modules, assets, wrangler) = match &settings.handed_out {
            Some(HandedOut { worker, .. }) => {
                (worker.join("worker"), worker.join("dashboard"), worker.join("wrangler.toml"))
            }
            None => {
                (places.build().join("worker"), places.build().join("dashboard"), places.root.join("wrangler.toml"))
            }
        };
        let file = Edge {
            modules: &modules,
            assets: &assets,
            wrangler: &wrangler,
            folder: &folder,
            config: &config,
            secrets: self.secrets.iter().filter(|(name, _)| *name != "HAND_TOKEN").collect(),
            address: self.ports.address("edge"),
        }
        .write()?;
        Ok(vec![
            path(&places.workerd()?),
            "serve".to_owned(),
            path(&file),
            "slipway".to_owned(),
            // Says on standard output when it listens.
            "--control-fd=1".to_owned(),
        ])
    }

    /// `slipway.toml` for this stack.
    fn config(&self, settings: &Settings) -> String {
        use std::fmt::Write as _;
        let (edge, gitlab) = (self.edge_url(), self.ports.url("gitlab"));
        let (depot, storage) = (self.ports.url("depot"), self.ports.url("depot-storage"));
        let mut text = format!(
            r#"[edge]
url = "{edge}"
reading = "anyone"
operator_token = "OPERATOR_TOKEN"
metrics_token = "METRICS_TOKEN"
signing_key = "SIGNING_KEY"

[gitlab]
url = "{gitlab}"
token = "GITLAB_TOKEN"
application = "{APPLICATION}"

[places.staging]
kind = "packagecloud"
url = "{depot}"
token = "STAGING_TOKEN"
storage = ["{storage}"]

[places.public]
kind = "packagecloud"
url = "{depot}"
token = "PUBLIC_TOKEN"
storage = ["{storage}"]
"#
        );
        if let Some(transfers) = settings.transfers {
            let _ = writeln!(text, "transfers = {transfers}");
        }
        let registries = self.registry_staging().zip(self.registry_public());
        if let Some((staging, public)) = &registries {
            let _ = write!(
                text,
                r#"
[places.registry-staging]
kind = "registry"
url = "{}"
user = "{REGISTRY_USER}"
token = "REGISTRY_STAGING_TOKEN"

# It asks nobody for a password, so this one is never shown.
[places.registry-public]
kind = "registry"
url = "{}"
user = "{}"
token = "REGISTRY_PUBLIC_TOKEN"
"#,
                staging.url, public.url, PUBLIC.0
            );
        }
        for project in PROJECTS {
            let _ = write!(
                text,
                r#"
[[projects]]
id = {}
namespace_id = {}
name = "{}"
webhook_token = "{}"
"#,
                project.id, project.namespace_id, project.name, project.webhook_secret
            );
        }
        if let Some(routes) = &settings.routes {
            text.push_str(routes);
            return text;
        }
        let _ = write!(
            text,
            r#"
[[routes]]
staging = {{ place = "staging", repository = "{}/{}" }}
public = {{ place = "public", repository = "{}/{}" }}
"#,
            STAGING.0, STAGING.1, PUBLIC.0, PUBLIC.1
        );
        if registries.is_some() {
            let _ = write!(
                text,
                r#"
[[routes]]
kinds = ["image"]
staging = {{ place = "registry-staging", repository = "{REGISTRY_STAGING}" }}
public = {{ place = "registry-public", repository = "{REGISTRY_PUBLIC}" }}
referrers = true
floating = [
  {{ tag = "latest", of = "final" }},
  {{ tag = "rc", of = "candidate" }},
  {{ tag = "{{major}}.{{minor}}", of = "final" }},
]
"#
            );
        }
        text
    }

    /// The processes that it has, in the order in which they started: all but the registries, and those where it was
    /// started with them.
    pub fn parts(&self) -> Vec<Part> {
        self.processes.keys().copied().collect()
    }

    /// A process of it.
    ///
    /// # Panics
    /// For a part that is not in [`Stack::parts`].
    pub fn process(&mut self, part: Part) -> &mut Process {
        self.processes.get_mut(&part).expect("only parts that the stack was started with are asked for")
    }

    /// Ends a process with SIGKILL.
    pub fn kill(&mut self, part: Part) -> anyhow::Result<()> {
        self.process(part).kill()
    }

    /// Starts a process that has ended again: same command, same ports, same folder.
    pub fn start_again(&mut self, part: Part) -> anyhow::Result<()> {
        self.process(part).start_again()
    }

    /// Replaces the edge by one that knows nothing: its objects are deleted. Everything else goes on.
    pub fn forget_edge(&mut self) -> anyhow::Result<()> {
        self.kill(Part::Edge)?;
        let objects = crate::edge::objects(&self.edge_folder());
        std::fs::remove_dir_all(&objects)
            .and_then(|()| std::fs::create_dir(&objects))
            .with_context(|| format!("cannot empty `{}`", objects.display()))?;
        self.start_again(Part::Edge)
    }

    fn edge_folder(&self) -> PathBuf {
        self.folder.join("edge")
    }

    /// The last lines that a process logged.
    pub fn tail(&mut self, part: Part, lines: usize) -> String {
        self.process(part).tail(lines)
    }

    /// Where state and logs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address of the edge, and of the dashboard.
    pub fn edge_url(&self) -> String {
        self.ports.url("edge")
    }

    /// The address of depot's API and repositories.
    pub fn depot_url(&self) -> String {
        self.ports.url("depot")
    }

    /// Where depot's downloads are redirected to.
    pub fn depot_storage_url(&self) -> String {
        self.ports.url("depot-storage")
    }

    /// The address of depot's control routes.
    pub fn depot_control(&self) -> String {
        self.ports.url("depot-control")
    }

    /// The address of the GitLab stand-in's API.
    pub fn gitlab_url(&self) -> String {
        self.ports.url("gitlab")
    }

    /// The address of the GitLab stand-in's control routes.
    pub fn gitlab_control(&self) -> String {
        self.ports.url("gitlab-control")
    }

    /// What ID tokens must be issued for.
    pub fn audience(&self) -> String {
        self.edge_url()
    }

    /// The projects.
    pub fn projects(&self) -> [Project; 2] {
        PROJECTS
    }

    /// The address that GitLab sends a project's job events to.
    pub fn webhook_url(&self, project: &Project) -> String {
        format!("{}/webhooks/gitlab/{}", self.edge_url(), project.id)
    }

    /// The private repository that builds push to, `user/repository`.
    pub fn staging_repository(&self) -> String {
        format!("{}/{}", STAGING.0, STAGING.1)
    }

    /// The public repository, `user/repository`.
    pub fn public_repository(&self) -> String {
        format!("{}/{}", PUBLIC.0, PUBLIC.1)
    }

    /// The closed registry that images are staged in, where the stack has one.
    pub fn registry_staging(&self) -> Option<RegistryOfStack> {
        self.registry(Part::RegistryStaging, REGISTRY_STAGING)
    }

    /// The open registry that images are released to, where the stack has one.
    pub fn registry_public(&self) -> Option<RegistryOfStack> {
        self.registry(Part::RegistryPublic, REGISTRY_PUBLIC)
    }

    fn registry(&self, part: Part, repository: &'static str) -> Option<RegistryOfStack> {
        self.processes.get(&part)?;
        let is_closed = part == Part::RegistryStaging;
        Some(RegistryOfStack {
            url: self.ports.url(part.name()),
            host: self.ports.address(part.name()),
            repository,
            user: is_closed.then_some(REGISTRY_USER),
            password: is_closed.then(|| self.secret("REGISTRY_STAGING_TOKEN").to_owned()),
        })
    }

    /// Why there are no registries, though they were asked for.
    pub fn without_registries(&self) -> Option<&str> {
        self.without_registries.as_deref()
    }

    /// A secret by its name in `slipway.toml`.
    pub fn secret(&self, name: &str) -> &str {
        self.secrets.get(name)
    }

    /// What other programs need to use the stack: `target/slipway-dev.json`.
    pub fn description(&self) -> Value {
        let webhook_tokens: BTreeMap<String, &str> =
            PROJECTS.iter().map(|project| (project.id.to_string(), self.secret(project.webhook_secret))).collect();
        json!({
            "edge": {"url": self.edge_url(), "webhook_tokens": webhook_tokens},
            "dashboard": {"url": self.edge_url()},
            "depot": {
                "url": self.depot_url(),
                "control": self.depot_control(),
                "staging": {"user": STAGING.0, "repo": STAGING.1, "token": self.secret("STAGING_TOKEN")},
                "public": {"user": PUBLIC.0, "repo": PUBLIC.1, "token": self.secret("PUBLIC_TOKEN")},
            },
            // `null` where no registry is installed.
            "registry": self.registry_staging().zip(self.registry_public()).map(|(staging, public)| {
                let described = |registry: RegistryOfStack| json!({
                    "url": registry.url, "repository": registry.repository, "image": registry.image(),
                    "user": registry.user, "password": registry.password,
                });
                json!({ "staging": described(staging), "public": described(public) })
            }),
            "gitlab": {
                "url": self.gitlab_url(),
                "control": self.gitlab_control(),
                "projects": PROJECTS.map(|project| json!({
                    "id": project.id, "namespace_id": project.namespace_id, "path": project.path, "name": project.name,
                })),
            },
            "audience": self.audience(),
            "processes": self.processes.iter().map(|(part, process)| json!({
                "name": part.name(),
                "pid": process.pid(),
                "command": process.command(),
                "log": process.log_file(),
            })).collect::<Vec<_>>(),
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // The edge first: nothing calls it on the way down, and it calls the others.
        while let Some((_, process)) = self.processes.pop_last() {
            drop(process);
        }
    }
}

/// Deletes everything but the lock, which is held.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != LOCK {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The file that says who uses a folder.
const LOCK: &str = "lock";

/// Two stacks in one folder would write over each other's files. The system takes the lock back, whatever happens.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = folder.join(LOCK);
    let lock = File::create(&file).with_context(|| format!("cannot write `{}`", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another stack uses `{}`: end that first, for example with Ctrl-C", folder.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock `{}`", file.display())),
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
