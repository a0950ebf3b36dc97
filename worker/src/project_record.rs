//! One project: its record, its audit chain, those who watch its releases.
//!
//! Whatever is acknowledged is in SQL before the answer leaves, and what is still to be done with it is found there by
//! the alarm: hints that nobody has looked into, orders that no package's object has taken.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_core::api::{PackagePatch, PromotionAccepted, ReleasePatch, ReleaseSummary};
use slipway_core::approval::{Refusal, by_job, by_webhook};
use slipway_core::config::{Config, Project};
use slipway_core::inventory::{Seen, look};
use slipway_core::promotion::OrderTarget;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::secret::JobSession;
use slipway_fetch::Fetch;
use slipway_gitlab::{GetJob, Instance, Job};
use slipway_ledger::{Hint, Planned, Record, audit};
use slipway_packagecloud::{Distributions, Distro, ListDistributions, PackageKind};
use slipway_wire::{CallError, call};
use worker::{
    Delay, DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    WebSocketRequestResponsePair, durable_object,
};

use crate::answer::{Answer, Problem, finish, json};
use crate::message::{self, ToDirectory, ToPackage, ToProject, package_name, tell};
use crate::sql::DurableSql;
use crate::{clock, settings};

/// How long GitLab or a package server may take for one small exchange.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(20);
/// When a killed alarm is taken up again.
const WATCHDOG: Duration = Duration::from_secs(20);
/// At or before now an alarm can stall, so the earliest is this much later.
const SOON: Duration = Duration::from_millis(5);
/// An order that its package's object did not take is sent again after this.
const ORDER_AGAIN: Duration = Duration::from_secs(2);
/// A hint is tried for about a day before it is given up; GitLab's outages are shorter.
const HINT_TRIES_MAX: u32 = 300;
/// How often a waiting reader's release is looked at.
const WAIT_STEP: Duration = Duration::from_millis(200);
/// How many keys one request may name.
const KEYS_MAX: usize = 500;

#[durable_object]
pub struct ProjectRecord {
    state: State,
    env: Env,
    record: OnceCell<Record<DurableSql>>,
}

impl DurableObject for ProjectRecord {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, record: OnceCell::new() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        if request.headers().get("upgrade")?.is_some() {
            return finish(self.watch(&request));
        }
        let message: ToProject = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }

    async fn alarm(&self) -> Result<Response> {
        if let Err(problem) = self.drive().await {
            worker::console_error!("a record's alarm: {}", problem.detail);
            self.state.storage().set_alarm(WATCHDOG).await?;
        }
        Response::empty()
    }

    async fn websocket_message(&self, _socket: WebSocket, _message: WebSocketIncomingMessage) -> Result<()> {
        // Pings are answered by the runtime; there is nothing else to say.
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, code: usize, reason: String, _clean: bool) -> Result<()> {
        // Some codes may be received but not sent, so a plain close answers them.
        drop(socket.close(u16::try_from(code).ok().filter(|code| *code == 1000), Some(reason)));
        Ok(())
    }

    async fn websocket_error(&self, _socket: WebSocket, _error: worker::Error) -> Result<()> {
        Ok(())
    }
}

impl ProjectRecord {
    fn record(&self) -> std::result::Result<&Record<DurableSql>, Problem> {
        if let Some(record) = self.record.get() {
            return Ok(record);
        }
        let opened =
            Record::open(DurableSql::new(&self.state)).map_err(|error| worker::Error::RustError(error.to_string()))?;
        Ok(self.record.get_or_init(|| opened))
    }

    async fn answer(&self, message: ToProject) -> Answer {
        match message {
            ToProject::Hint { project_id, delivery, job_id } => {
                self.know_id(project_id)?;
                self.record()?.keep_hint(&delivery, job_id, clock::now())?;
                self.state.storage().set_alarm(SOON).await?;
                json(202, &())
            }
            ToProject::Spend { session, is_fresh } => {
                self.know_id(session.project_id)?;
                json(200, &self.record()?.spend_token(&session, is_fresh, clock::now())?)
            }
            ToProject::Patch { session, version, patch } => self.patch(&session, &version, &patch).await,
            ToProject::Promote { session, version, keys } => self.promote(&session, &version, keys).await,
            ToProject::Release { project_id, version, since, wait_ms } => {
                self.know_id(project_id)?;
                if let Some(since) = since {
                    self.wait(&version, since, wait_ms).await?;
                }
                self.release(project_id, &version)
            }
            ToProject::Releases { project_id } => self.releases(project_id),
            ToProject::Report { project_id, version, key, approval, digest, report } => {
                self.record()?.settle(&version, &key, approval, &report, &digest, clock::now())?;
                self.announce(project_id, &version)?;
                json(200, &())
            }
            ToProject::Audit { first, count } => self.audit(first, count),
            ToProject::Wake { project_id } => {
                self.know_id(project_id)?;
                self.state.storage().set_alarm(SOON).await?;
                json(200, &())
            }
        }
    }

    /// The object's name is the project's id, but an object cannot read its own name everywhere: it is written down.
    fn know_id(&self, project_id: u64) -> std::result::Result<(), Problem> {
        Ok(self.record()?.know_project(project_id)?)
    }

    // ---- what jobs add ----

    async fn patch(&self, session: &JobSession, version: &Version, patch: &ReleasePatch) -> Answer {
        self.know_id(session.project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, session.project_id)?;
        if patch.packages.is_empty() || patch.packages.len() > KEYS_MAX {
            return Err(Problem::new(422, "bad-request", format!("Name 1 to {KEYS_MAX} packages in one request.")));
        }
        let planned = plan_packages(&config, project, version, &patch.packages)?;
        if !planned.is_empty() {
            self.check_distros(&config, &planned).await?;
        }
        let now = clock::now();
        if !planned.is_empty() {
            self.record()?.expect(version, session, &config.policy, &planned, now)?;
            self.add_to_directory(session.project_id, version).await;
        }
        for package in &patch.packages {
            if let Some(file) = &package.staged {
                self.record()?.declare(version, &package.key, file, session, now)?;
            }
        }
        let mut trouble = None;
        for package in patch.packages.iter().filter(|package| package.staged.is_some()) {
            if let Err(problem) = self.look_at_staging(&config, version, &package.key).await {
                trouble = Some(problem);
            }
        }
        self.announce(session.project_id, version)?;
        match trouble {
            Some(problem) => Err(problem),
            None => self.release(session.project_id, version),
        }
    }

    /// Names are checked against the servers' own lists before anything is built.
    async fn check_distros(&self, config: &Config, planned: &[Planned]) -> std::result::Result<(), Problem> {
        let mut known: BTreeMap<String, Distributions> = BTreeMap::new();
        let mut problems = Vec::new();
        for package in planned {
            for target in &package.targets {
                let place = &target.public.place;
                if !known.contains_key(place) {
                    let account = settings::store(&self.env, config, &target.public)?.account;
                    let list = call(&Fetch::new(EXCHANGE_LIMIT), &ListDistributions { account: &account }).await;
                    let list = list.map_err(|error| {
                        let what = format!("Cannot check the plan: the distributions of `{place}` cannot be read: {error}. Run the job again.");
                        Problem::new(502, "place-unreadable", what)
                    })?;
                    known.insert(place.clone(), list);
                }
                let distro: Distro =
                    target.distro.parse().map_err(|error| Problem::new(422, "bad-plan", format!("{error}.")))?;
                let is_known = known.get(place).is_some_and(|list| {
                    [PackageKind::Deb, PackageKind::Rpm].into_iter().any(|kind| list.id(kind, &distro).is_some())
                });
                if !is_known {
                    problems.push(format!("`{}`: the server of `{place}` has no distribution `{distro}`", package.key));
                }
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problem::new(422, "bad-plan", format!("{}.", problems.join("; "))))
        }
    }

    async fn add_to_directory(&self, project_id: u64, version: &Version) {
        // The front page's list; a release that is missing there is found under its project all the same.
        if let Ok(directory) = message::directory(&self.env) {
            let add = ToDirectory::Add { project_id, version: version.clone() };
            if let Err(error) = tell(&directory, &add).await {
                worker::console_error!("the directory: {error}");
            }
        }
    }

    /// Sees whether staging has the declared bytes, for each distro version.
    async fn look_at_staging(&self, config: &Config, version: &Version, key: &Key) -> std::result::Result<(), Problem> {
        let Some(staged) = self.record()?.staged(version, key)? else { return Ok(()) };
        let store = settings::store(&self.env, config, &staged.staging)?;
        for distro_text in &staged.distros {
            let distro: Distro = distro_text.parse().map_err(|error| worker::Error::RustError(format!("{error}")))?;
            let seen = look(&Fetch::new(EXCHANGE_LIMIT), &store, &distro, &staged.filename).await;
            let seen = seen.map_err(|error| {
                Problem::new(
                    502,
                    "staging-unreadable",
                    format!("The digest is declared, but {error}. Run the job again."),
                )
            })?;
            let state = match seen {
                Seen::Digest(digest) if digest == staged.digest => TargetState::Staged,
                Seen::Digest(digest) => {
                    return Err(Problem::new(
                        409,
                        "staging-conflict",
                        format!(
                            "{} has another `{}`: {digest}, declared {}. Nothing was changed: remove the other file, or raise the version.",
                            store.repository, staged.filename, staged.digest
                        ),
                    ));
                }
                Seen::WithoutDigest => continue,
                Seen::Nothing => TargetState::Missing,
            };
            self.record()?.seen_in_staging(version, key, distro_text, state, clock::now())?;
        }
        Ok(())
    }

    // ---- approvals ----

    async fn promote(&self, session: &JobSession, version: &Version, keys: Vec<Key>) -> Answer {
        self.know_id(session.project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, session.project_id)?;
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(Problem::new(422, "bad-request", format!("Name 1 to {KEYS_MAX} keys.")));
        }
        let job_name = match &session.environment {
            Some(_) => None,
            None => Some(
                self.job(&config, session.project_id, session.job_id)
                    .await
                    .map_err(|error| gitlab_trouble(&error))?
                    .name,
            ),
        };
        // All or nothing: every key is judged before any is approved.
        let mut approvals = Vec::new();
        for key in &keys {
            let Some(candidate) = self.record()?.candidate(version, key)? else {
                let what = format!("`{key}` is not in the plan of {} {version}.", project.name);
                return Err(Problem::new(404, "not-planned", what));
            };
            match by_job(&candidate, session, job_name.as_deref()) {
                Ok(approval) => approvals.push((candidate, approval)),
                Err(refusal) => {
                    let actor = format!("job:{} user:{}", session.job_id, session.user);
                    self.record()?.refuse(version, key, &actor, &refusal.to_string(), clock::now())?;
                    return Err(refused(&refusal));
                }
            }
        }
        for (candidate, approval) in &approvals {
            self.record()?.approve(candidate, approval, &config.policy, session.project_id, clock::now())?;
        }
        self.state.storage().set_alarm(SOON).await?;
        self.announce(session.project_id, version)?;
        let follow =
            config.edge.url.url(["api", "v1", "projects", project.name.as_str(), "releases", version.as_str()]);
        json(202, &PromotionAccepted { keys, follow })
    }

    async fn job(&self, config: &Config, project_id: u64, job_id: u64) -> std::result::Result<Job, CallError> {
        let token = settings::secret(&self.env, &config.gitlab.token)
            .map_err(|error| CallError::Unsendable(error.to_string()))?;
        let instance = Instance::new(config.gitlab.url.clone(), token);
        call(&Fetch::new(EXCHANGE_LIMIT), &GetJob { instance: &instance, project_id, job_id }).await
    }

    // ---- the alarm ----

    async fn drive(&self) -> std::result::Result<(), Problem> {
        let storage = self.state.storage();
        storage.set_alarm(WATCHDOG).await?;
        let config = settings::config()?;
        let Some(project_id) = self.record()?.project_id()? else {
            storage.delete_alarm().await?;
            return Ok(());
        };
        for hint in self.record()?.open_hints()? {
            if hint.due_at <= clock::now() {
                self.look_into(&config, project_id, hint).await?;
            }
        }
        let mut tried = BTreeSet::new();
        for dispatch in self.record()?.dispatches()? {
            tried.insert(dispatch.approval);
            let stub = message::package(&self.env, &package_name(&dispatch.order))?;
            match tell(&stub, &ToPackage::Accept(Box::new(dispatch.order))).await {
                Ok(answer) if answer.status_code() == 202 => self.record()?.dispatched(dispatch.approval)?,
                Ok(answer) => worker::console_error!("an order waits: its package answered {}", answer.status_code()),
                Err(error) => worker::console_error!("an order waits: {error}"),
            }
        }
        // Other requests ran at every await above, and what they left is found only by reading everything again. From
        // here to the call that arms the alarm nothing is awaited.
        let hints = self.record()?.open_hints()?;
        let hints = hints.iter().map(|hint| hint.due_at.since(clock::now()).max(SOON));
        let orders = self.record()?.dispatches()?;
        let orders = orders.iter().map(|order| if tried.contains(&order.approval) { ORDER_AGAIN } else { SOON });
        match hints.chain(orders).min() {
            Some(wait) => storage.set_alarm(wait).await?,
            None => storage.delete_alarm().await?,
        }
        Ok(())
    }

    /// Reads from GitLab what a webhook hinted at, and approves or refuses.
    async fn look_into(&self, config: &Config, project_id: u64, hint: Hint) -> std::result::Result<(), Problem> {
        let record = self.record()?;
        let job = match self.job(config, project_id, hint.job_id).await {
            Ok(job) => job,
            Err(error) if error.may_pass() && hint.tries < HINT_TRIES_MAX => {
                // 1, 2, 4 … seconds, up to 5 minutes.
                let wait = Duration::from_secs((1 << hint.tries.min(9)).min(300));
                record.postpone_hint(hint.id, &error.to_string(), clock::now() + wait)?;
                return Ok(());
            }
            Err(error) => {
                worker::console_error!("a webhook's job {} cannot be read: {error}", hint.job_id);
                record.settle_hint(hint.id, &error.to_string())?;
                return Ok(());
            }
        };
        let Some(candidate) = record.candidate_of_job(job.pipeline.id, &job.name)? else {
            record.settle_hint(hint.id, "no release job")?;
            return Ok(());
        };
        let outcome = match by_webhook(&candidate, &job) {
            Ok(approval) => {
                record.approve(&candidate, &approval, &config.policy, project_id, clock::now())?;
                "approved".to_owned()
            }
            Err(refusal) => {
                let actor = format!("webhook job:{}", job.id);
                record.refuse(&candidate.version, &candidate.key, &actor, &refusal.to_string(), clock::now())?;
                refusal.to_string()
            }
        };
        record.settle_hint(hint.id, &outcome)?;
        self.announce(project_id, &candidate.version)
    }

    // ---- reading ----

    fn release(&self, project_id: u64, version: &Version) -> Answer {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        match self.record()?.release(&config, project, version, clock::now())? {
            Some(release) => json(200, &release),
            None => Err(Problem::not_found("such release")),
        }
    }

    fn releases(&self, project_id: u64) -> Answer {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let record = self.record()?;
        let mut summaries = Vec::new();
        for version in record.versions()? {
            if let Some(release) = record.release(&config, project, &version, clock::now())? {
                summaries.push(ReleaseSummary { version, state: release.state, verdict: release.verdict });
            }
        }
        json(200, &summaries)
    }

    /// Until the release has changed after `since`, or the time is up.
    async fn wait(&self, version: &Version, since: u64, wait_ms: u64) -> std::result::Result<(), Problem> {
        let until = clock::now() + Duration::from_millis(wait_ms);
        loop {
            let changed = self.record()?.sequence(version)?.is_none_or(|sequence| sequence > since);
            if changed || clock::now() >= until {
                return Ok(());
            }
            Delay::from(WAIT_STEP).await;
        }
    }

    fn audit(&self, first: u64, count: u64) -> Answer {
        let rows = audit::entries(self.record()?.sql(), first, count).map_err(slipway_ledger::LedgerError::from)?;
        let mut lines = String::new();
        for row in rows {
            let line = serde_json::json!({
                "sequence": row.sequence, "at_ms": row.event.at.0, "at": row.event.at.to_string(), "actor": row.event.actor,
                "action": row.event.action, "subject": row.event.subject, "details": row.event.details,
                "previous": row.previous.hex(), "hash": row.hash.hex(),
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let response = Response::ok(lines)?;
        response.headers().set("content-type", "application/x-ndjson")?;
        Ok(response)
    }

    // ---- watching ----

    /// Accepts a socket that hibernates: an object that nobody disturbs sleeps with its sockets open.
    fn watch(&self, request: &Request) -> Answer {
        let query: Watch = request.query()?;
        self.know_id(query.project_id)?;
        let version: Version = query.version.parse().map_err(|_| Problem::not_found("such release"))?;
        let pair = WebSocketPair::new()?;
        self.state.accept_websocket_with_tags(&pair.server, &[version.as_str()]);
        if let Ok(pong) = WebSocketRequestResponsePair::new("ping", "pong") {
            self.state.set_websocket_auto_response(&pong);
        }
        // Whoever was away sees at once what was missed.
        let behind =
            self.record()?.sequence(&version)?.is_some_and(|sequence| query.since.is_none_or(|since| sequence > since));
        if behind && let Some(release) = self.render(query.project_id, &version)? {
            pair.server.send_with_str(release)?;
        }
        Ok(Response::from_websocket(pair.client)?)
    }

    /// Sends a release to those who watch it.
    fn announce(&self, project_id: u64, version: &Version) -> std::result::Result<(), Problem> {
        let sockets = self.state.get_websockets_with_tag(version.as_str());
        if sockets.is_empty() {
            return Ok(());
        }
        if let Some(release) = self.render(project_id, version)? {
            for socket in sockets {
                // One that is gone comes back by itself and sees what it missed.
                drop(socket.send_with_str(&release));
            }
        }
        Ok(())
    }

    fn render(&self, project_id: u64, version: &Version) -> std::result::Result<Option<String>, Problem> {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let release = self.record()?.release(&config, project, version, clock::now())?;
        Ok(release.map(|release| serde_json::to_string(&release)).transpose()?)
    }
}

/// What the upgrade's address says.
#[derive(serde::Deserialize)]
struct Watch {
    project_id: u64,
    version: String,
    since: Option<u64>,
}

/// Gives every expectation its places, or names every problem.
fn plan_packages(
    config: &Config,
    project: &Project,
    version: &Version,
    packages: &[PackagePatch],
) -> std::result::Result<Vec<Planned>, Problem> {
    let mut problems = Vec::new();
    let mut planned = Vec::new();
    for PackagePatch { key, expect, .. } in packages {
        let Some(expect) = expect else { continue };
        let mut staging = None;
        let mut targets = Vec::new();
        if expect.distros.is_empty() {
            problems.push(format!("`{key}` is for no distribution"));
        }
        for distro in &expect.distros {
            if let Err(error) = distro.parse::<Distro>() {
                problems.push(format!("`{key}`: {error}"));
                continue;
            }
            let Some(route) = config.route(project, version, key, distro) else {
                problems.push(format!("no route of slipway.toml fits `{key}` for {distro}"));
                continue;
            };
            if staging.get_or_insert_with(|| route.staging.clone()) != &route.staging {
                problems.push(format!("`{key}` has routes with different staging repositories"));
            }
            targets.push(OrderTarget { distro: distro.clone(), public: route.public.clone() });
        }
        if let Some(staging) = staging {
            planned.push(Planned { key: key.clone(), expect: expect.clone(), staging, targets });
        }
    }
    if problems.is_empty() {
        Ok(planned)
    } else {
        Err(Problem::new(422, "bad-plan", format!("{}.", problems.join("; "))))
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let (status, kind) = match refusal {
        Refusal::OtherPipeline { .. } | Refusal::OtherJob { .. } | Refusal::NotPlayed { .. } => (403, "not-allowed"),
        Refusal::NotStaged { .. } => (409, "not-staged"),
        Refusal::Skipped { .. } => (409, "skipped"),
    };
    Problem::new(status, kind, format!("{refusal}."))
}

fn gitlab_trouble(error: &CallError) -> Problem {
    Problem::new(503, "gitlab-unreachable", format!("Cannot read the job from GitLab: {error}. Try again."))
}
