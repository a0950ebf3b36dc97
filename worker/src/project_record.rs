//! One project: its record, its audit chain, those who watch its releases.
//!
//! Whatever is acknowledged is in SQL before the answer leaves, and what is still to be done with it is found there by
//! the alarm: hints that nobody has looked into, orders that no package's object has taken.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::time::Duration;

use futures_util::future::{Either, join_all, join4, select};
use slipway_core::access::Caller;
use slipway_core::api::{PackagePatch, Release, ReleasePatch, ReleaseSummary, TargetHistory};
use slipway_core::attestation::ENVELOPE;
use slipway_core::audit::Format;
use slipway_core::cargo::{Cargo, TargetName, staged_under};
use slipway_core::config::Config;
use slipway_core::expectation::{Planned, planned};
use slipway_core::inventory::Seen;
use slipway_core::log::{Entry, Level};
use slipway_core::promotion::{Order, Slot};
use slipway_core::release::{Key, ReleaseState, Version};
use slipway_core::report::staging_conflict;
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::signing::SigningError;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::Withdrawal;
use slipway_edge::account::{AskSlot, SlotEnded};
use slipway_edge::denied::{Unanswered, audited};
use slipway_edge::followers::Followers;
use slipway_edge::frames::{self, Frames};
use slipway_edge::job_call::KEYS_MAX;
use slipway_edge::measure::MeasuredProject;
use slipway_edge::port::{AttachingHost, ProjectHost, SOON, Silent, Told};
use slipway_edge::replace::ask_others;
use slipway_edge::retention::StagingHost as _;
use slipway_edge::{attest, heads, lost, notify, package, project};
use slipway_ledger::{
    Attested, Declared, Kept, LedgerError, NameTaken, Named, PublicName, Record, Sent, Sight, StagedObject, audit,
};
use slipway_packagecloud::Distributions;
use slipway_webcrypto::SigningKey;
use slipway_wire::Token;
use worker::{
    Delay, DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    WebSocketRequestResponsePair, durable_object,
};

mod backup;
mod gates;
mod pages;
mod retention;
mod stop;
mod sweep;

use crate::answer::{Answer, PRIVATE, Problem, finish, json};
use crate::host::{Host, WATCHDOG};
use crate::message::{self, ToAccount, ToDirectory, ToPackage, ToProject, ask, tell};
use crate::sql::DurableSql;
use crate::{clock, log, settings, signing};

/// How long GitLab or a package server may take for one small exchange.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(20);
/// How long looking again at what rests may hold up an alarm: a look's own time, and what it takes to write down what came of
/// all of them.
const LOOK_LIMIT: Duration = Duration::from_secs(project::LOOK.as_secs() + 2);
/// How long a socket is sent to before whoever reads has to show again that they may.
const WATCH_LIMIT: Duration = Duration::from_mins(5);
/// How many may watch who have not shown who they are, where anybody reads. The object that sends to them makes the releases; whoever
/// comes beyond that asks every few seconds.
const STRANGERS_WATCHING_MAX: usize = 500;
/// By what their sockets are found. No version is called so.
const STRANGER: &str = "a stranger";
/// Signed heads in one answer: a quarter of a megabyte.
const HEADS_MAX: u64 = 1000;
/// After how long a waiting reader's release is looked at without a word: what a request wrote that was cut off before it
/// told anybody.
const LOOKS_AFTER: Duration = Duration::from_secs(5);

/// How long those who watch a release wait for the next word on bytes alone.
const BYTES_AFTER: Duration = Duration::from_secs(1);

#[durable_object]
pub struct ProjectRecord {
    state: State,
    env: Env,
    record: OnceCell<Record<DurableSql>>,
    /// Whether the audit knows today's configuration.
    is_configured: Cell<bool>,
    /// Whether this object has asked, since it began, how the switch stands that stops everything.
    has_heard: Cell<bool>,
    /// How many bytes of targets have been sent. In memory alone: the next word comes in a second.
    sent: RefCell<Sent>,
    /// When those who watch a release were told of it last.
    announced: RefCell<BTreeMap<Version, Timestamp>>,
    /// What those who watch were shown. In memory alone: without it they are sent the whole.
    frames: RefCell<Frames>,
    /// Who waits for a change.
    followers: Followers,
}

impl DurableObject for ProjectRecord {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            record: OnceCell::new(),
            is_configured: Cell::new(false),
            has_heard: Cell::new(false),
            sent: RefCell::default(),
            announced: RefCell::default(),
            frames: RefCell::default(),
            followers: Followers::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        if request.headers().get("upgrade")?.is_some() {
            return finish(self.watch(&request));
        }
        let message: ToProject = serde_json::from_str(&request.text().await?)?;
        let answer = self.answer(message).await;
        if let Err(problem) = self.in_time().await {
            self.trouble(&format!("a head of the audit, or an event: {}", problem.detail));
        }
        finish(answer)
    }

    async fn alarm(&self) -> Result<Response> {
        if let Err(problem) = self.drive().await {
            self.trouble(&format!("a record's alarm: {}", problem.detail));
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

/// Whether a record that is being imported answers this: what the import itself is made of, what is asked of every record, and
/// webhooks, since GitLab switches a hook off that is refused.
fn is_answered_meanwhile(message: &ToProject) -> bool {
    matches!(
        message,
        ToProject::Import { .. }
            | ToProject::ImportRows { .. }
            | ToProject::ImportEnds { .. }
            | ToProject::ImportFails { .. }
            | ToProject::Hear { .. }
            | ToProject::Heard { .. }
            | ToProject::Stopped { .. }
            | ToProject::Measure { .. }
            | ToProject::Hints { .. }
    )
}

/// Whether the answer lets something be published or deleted, or says whether that is so: first the record has to know how the
/// switch stands.
fn needs_the_switch(message: &ToProject) -> bool {
    match message {
        ToProject::MayAct(_)
        | ToProject::MayEnd { .. }
        | ToProject::MayWithdraw { .. }
        | ToProject::Sent { .. }
        | ToProject::Promote { .. }
        | ToProject::Withdraw { .. }
        | ToProject::Stopped { .. } => true,
        // What lets a file give way asks for itself; planning and staging go on whatever the switch says. The others read, or
        // write down what was seen or asked for. What comes of that begins in the alarm, which asks first, too.
        ToProject::Patch { .. }
        | ToProject::Hints { .. }
        | ToProject::Spend { .. }
        | ToProject::Refused { .. }
        | ToProject::Change { .. }
        | ToProject::Withdrawal { .. }
        | ToProject::Release { .. }
        | ToProject::Releases { .. }
        | ToProject::Public { .. }
        | ToProject::PublicVersions { .. }
        | ToProject::Report(_)
        | ToProject::Approvals { .. }
        | ToProject::Target { .. }
        | ToProject::Attestation { .. }
        | ToProject::Swept { .. }
        | ToProject::Sweep { .. }
        | ToProject::Retention { .. }
        | ToProject::CanDoWithout { .. }
        | ToProject::ImagesIn { .. }
        | ToProject::NameTaken { .. }
        | ToProject::Audit { .. }
        | ToProject::Heads { .. }
        | ToProject::Export { .. }
        | ToProject::ExportAudit { .. }
        | ToProject::Import { .. }
        | ToProject::ImportRows { .. }
        | ToProject::ImportEnds { .. }
        | ToProject::ImportFails { .. }
        | ToProject::Compare { .. }
        | ToProject::Measure { .. }
        | ToProject::Glance { .. }
        | ToProject::Deployments { .. }
        | ToProject::Activity { .. }
        | ToProject::Timeline { .. }
        | ToProject::Against { .. }
        | ToProject::Standing { .. }
        | ToProject::Wake { .. }
        | ToProject::Hear { .. }
        | ToProject::Heard { .. }
        | ToProject::Switch { .. } => false,
    }
}

impl ProjectRecord {
    fn record(&self) -> std::result::Result<&Record<DurableSql>, Problem> {
        if let Some(record) = self.record.get() {
            return Ok(record);
        }
        let opened = Record::open(DurableSql::new(&self.state))?;
        Ok(self.record.get_or_init(|| opened))
    }

    fn host(&self) -> Host<&Self> {
        Host::new(self, EXCHANGE_LIMIT)
    }

    async fn answer(&self, message: ToProject) -> Answer {
        if !is_answered_meanwhile(&message) {
            self.is_whole()?;
        }
        if needs_the_switch(&message) {
            self.hear_first().await?;
        }
        match message {
            ToProject::Hints { project_id, delivery, named } => self.hints(project_id, &delivery, &named).await,
            ToProject::Spend { session, is_fresh } => {
                self.know_id(session.project_id)?;
                json(200, &self.record()?.spend_token(&session, is_fresh, clock::now())?)
            }
            ToProject::Refused { project_id, actor, act, why } => {
                self.know_id(project_id)?;
                self.record()?.refused_at_the_door(&actor, &act, &why, clock::now())?;
                json(200, &())
            }
            ToProject::Patch { session, version, patch } => self.patch(&session, &version, &patch).await,
            ToProject::Promote { session, version, keys, all } => self.promote(&session, &version, keys, all).await,
            ToProject::MayAct(ask) => json(200, &self.may_act(&ask).await?),
            ToProject::MayEnd { project_id, version, key } => self.may_end(project_id, &version, &key),
            ToProject::Change { project_id, version, by, change } => {
                self.change(project_id, &version, &by, change).await
            }
            ToProject::Withdraw { project_id, version, call } => self.withdraw(project_id, &version, &call).await,
            ToProject::MayWithdraw { project_id, number } => self.may_withdraw(project_id, number),
            ToProject::Withdrawal { withdrawal, report } => {
                if self.record()?.withdrawal_seen(&withdrawal, &report, clock::now())? {
                    self.announce(withdrawal.project_id, &withdrawal.version);
                    self.soon().await?;
                }
                json(200, &())
            }
            ToProject::Release { project_id, version, since, state, wait_ms } => {
                self.know_id(project_id)?;
                if since.is_some() || state.is_some() {
                    self.wait(project_id, &version, since, state, wait_ms).await?;
                }
                self.release(project_id, &version)
            }
            ToProject::Releases { project_id } => self.releases(project_id),
            ToProject::Public { project_id } => self.public(project_id),
            ToProject::PublicVersions { project_id } => self.public_versions(project_id),
            ToProject::Report(told) => self.report(&told).await,
            ToProject::Sent { project_id, version, key, distro, bytes } => {
                self.bytes_sent(project_id, &version, key, distro, bytes)
            }
            ToProject::Approvals { session, version, key } => {
                json(200, &self.record()?.approvals_of(&version, &key, session.job_id)?)
            }
            ToProject::Target { project_id, version, key, distro } => self.target(project_id, &version, &key, &distro),
            ToProject::Attestation { project_id, version, key, distro } => {
                self.know_id(project_id)?;
                self.attestation(&version, &key, &distro)
            }
            ToProject::Swept { project_id, page } => self.swept(project_id, &page),
            ToProject::Sweep { project_id, told } => self.sweep_told(project_id, *told).await,
            ToProject::Retention { project_id, from } => self.retention(project_id, from).await,
            ToProject::CanDoWithout { project_id, object, lend } => self.can_do_without(project_id, &object, lend),
            ToProject::ImagesIn { project_id, staging } => self.images_in(project_id, &staging),
            ToProject::NameTaken { project_id, names } => self.name_taken(project_id, &names),
            ToProject::Export { project_id, by } => self.export(project_id, &by),
            ToProject::ExportAudit { first, last, .. } => {
                self.has_started()?;
                json(200, &self.record()?.export_audit(first, last)?)
            }
            ToProject::Import { project_id, id, head, by } => self.import(project_id, &id, &head, &by),
            ToProject::ImportRows { id, lines, .. } => {
                self.record()?.import_rows(&id, &lines).map_err(backup::not_imported)?;
                json(200, &())
            }
            ToProject::ImportEnds { project_id, id, end, by } => self.import_ends(project_id, &id, &end, &by).await,
            ToProject::ImportFails { id, why, by, .. } => self.import_fails(&id, &why, &by).await,
            ToProject::Compare { project_id, first } => self.comparison(project_id, first).await,
            ToProject::Measure { project_id } => self.measured(project_id).await,
            ToProject::Heard { .. } => json(200, &self.record()?.heard()?),
            ToProject::Hear { project_id, word } => self.hear(project_id, &word).await,
            ToProject::Stopped { project_id } => {
                self.know_id(project_id)?;
                json(200, &self.record()?.stopped()?)
            }
            ToProject::Switch { project_id, is_stopped, by, reason } => {
                self.switch(project_id, is_stopped, &by, &reason).await
            }
            ToProject::Audit { project_id, first, count, format } => self.audit(project_id, first, count, format),
            ToProject::Heads { project_id, first } => self.heads(project_id, first),
            ToProject::Glance { project_id, newest } => self.glance(project_id, newest),
            ToProject::Deployments { project_id } => self.deployments(project_id),
            ToProject::Activity { project_id, query, count } => self.activity(project_id, &query, count),
            ToProject::Timeline { project_id, version, key } => self.timeline(project_id, &version, &key),
            ToProject::Against { project_id, version, key } => self.against(project_id, &version, key.as_ref()).await,
            ToProject::Standing { project_id } => self.standing(project_id),
            ToProject::Wake { project_id } => {
                self.know_id(project_id)?;
                self.soon().await?;
                json(200, &())
            }
        }
    }

    fn bytes_sent(&self, project_id: u64, version: &Version, key: Key, distro: String, bytes: u64) -> Answer {
        self.sent.borrow_mut().told(version.clone(), key, distro, bytes, clock::now());
        self.record()?.touch(version)?;
        self.announce_bytes(project_id, version);
        // Whoever copies hears with the answer whether to go on.
        json(200, &self.record()?.stopped()?)
    }

    async fn hints(&self, project_id: u64, delivery: &str, named: &[Named]) -> Answer {
        self.know_id(project_id)?;
        match self.record()?.keep_hints(delivery, named, clock::now())? {
            Kept::Kept => {
                self.soon().await?;
                json(202, &())
            }
            Kept::Known => json(202, &()),
            Kept::NotNeeded => json(200, &()),
            Kept::Full => {
                let what = "Too many webhooks wait to be looked into. Send this one again later.";
                Err(Problem::new(503, "too-many-hints", what.to_owned()))
            }
        }
    }

    async fn report(&self, told: &Told) -> Answer {
        let Told { project_id, version, key, approval, digest, report, .. } = told;
        if self.record()?.settle(version, key, *approval, report, digest, clock::now())? {
            if !report.state.is_moving() {
                self.sent.borrow_mut().forget(version, key, &report.distro);
            }
            self.announce(*project_id, version);
            // Others are to be told of an end.
            if !report.state.is_moving() {
                self.soon().await?;
            }
        }
        json(200, &())
    }

    async fn measured(&self, project_id: u64) -> Answer {
        self.know_id(project_id)?;
        let now = clock::now();
        let unsigned = heads::unsigned_seconds(self.record()?, &*settings::config()?, now)?;
        let record = self.record()?.measured(now)?;
        let armed = self.state.storage().get_alarm().await?;
        let late = armed.map_or(0, |at| clock::now().since(Timestamp(at)).as_secs());
        json(200, &MeasuredProject { record, alarm_late_seconds: late, audit_unsigned_seconds: unsigned })
    }

    /// Has the alarm come at once. One that comes as soon anyway is left: to arm it again would put it off, once for every
    /// webhook, and is a write to the disk. What it is for is in SQL by now, so it will find that. One that should have come
    /// already is armed again: it may have stalled.
    async fn soon(&self) -> Result<()> {
        let armed = self.state.storage().get_alarm().await?;
        let now = clock::now();
        if armed.is_some_and(|at| now.0 < at && at <= (now + SOON).0) {
            return Ok(());
        }
        self.state.storage().set_alarm(SOON).await
    }

    /// Has the alarm come after `wait` at the latest: whatever rests in the record from now on is looked after. One that should
    /// have come already is not put off: somebody has armed it for something that is due.
    async fn within(&self, wait: Duration) -> Result<()> {
        let armed = self.state.storage().get_alarm().await?;
        let now = clock::now();
        match armed {
            Some(at) if now.0 < at && at <= (now + wait).0 => Ok(()),
            Some(at) if at <= now.0 => self.state.storage().set_alarm(SOON).await,
            _ => self.state.storage().set_alarm(wait).await,
        }
    }

    /// Has the alarm come for what rests in the record from now on, and for the next gate that time alone opens or closes.
    async fn look_after(&self, config: &Config) -> std::result::Result<(), Problem> {
        let turn = project::turn(self.record()?, &self.host(), config)?;
        // A page leads to the very job as soon as something can be released.
        let listing = self.record()?.next_listing(clock::now())?;
        let next = turn.into_iter().chain(listing).map(|at| at.since(clock::now()).max(SOON)).min();
        Ok(self.within(next.map_or(project::SWEEP, |next| next.min(project::SWEEP))).await?)
    }

    /// Has the alarm come when a head of the audit is due for what was written, and at once for what others are to be told.
    async fn in_time(&self) -> std::result::Result<(), Problem> {
        let (now, record, config) = (clock::now(), self.record()?, settings::config()?);
        let due_at = heads::due(record, &config, now)?.into_iter().chain(notify::due(record, &config, now)?).min();
        match due_at {
            Some(due_at) => Ok(self.within(due_at.since(now).max(SOON)).await?),
            None => Ok(()),
        }
    }

    /// A line about what this object does by itself.
    fn trouble(&self, what: &str) {
        let project = self.record().ok().and_then(|record| record.project_id().ok().flatten());
        log::write(&Entry { project, ..Entry::note(Level::Error, what) });
    }

    /// The object's name is the project's id, but an object cannot read its own name everywhere: it is written down.
    fn know_id(&self, project_id: u64) -> std::result::Result<(), Problem> {
        self.record()?.know_project(project_id)?;
        self.know_policy()
    }

    /// A change of the configuration is in the audit before anything that is done under it. It is part of the deployment, so
    /// that one look lasts as long as the object.
    fn know_policy(&self) -> std::result::Result<(), Problem> {
        if !self.is_configured.get() {
            self.is_configured.set(self.record()?.know_policy(&settings::config()?.policy, clock::now())?);
        }
        Ok(())
    }

    // ---- what jobs add ----

    async fn patch(&self, session: &JobSession, version: &Version, patch: &ReleasePatch) -> Answer {
        self.know_id(session.project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, session.project_id)?;
        if patch.packages.is_empty() || patch.packages.len() > KEYS_MAX {
            return Err(Problem::new(422, "bad-request", format!("Name 1 to {KEYS_MAX} packages in one request.")));
        }
        let bad = |problems: Vec<String>| Problem::new(422, "bad-plan", format!("{}.", problems.join("; ")));
        let planned = planned(&config, project, version, &patch.packages).map_err(bad)?;
        if !planned.is_empty() {
            self.check_distros(&config, &planned).await?;
        }
        let declared: Vec<Declared<'_>> = patch
            .packages
            .iter()
            .filter_map(|PackagePatch { key, staged, replace, .. }| {
                Some(Declared { key, file: staged.as_ref()?, replace: *replace })
            })
            .collect();
        // What gives way is deleted from staging by the job that is told so.
        if declared.iter().any(|one| one.replace) {
            self.hear_first().await?;
            if let Some(stopped) = self.record()?.stopped()? {
                return Err(Problem::new(409, "stopped", format!("{stopped}.")));
            }
        }
        // What is refused changes nothing, so staging is looked at before anything is written, too.
        if let Some(problem) = self.in_the_way(&config, version, &declared).await? {
            return Err(problem);
        }
        let host = self.host();
        let ask = async |other, object: &StagedObject| host.can_do_without(other, object, true).await;
        let (record, by) = (self.record()?, Caller::Job(session.clone()).to_string());
        let can_give_way = ask_others(record, ask, (&config, project), version, &declared, clock::now()).await;
        audited(record, (version, &by, "PATCH"), can_give_way, clock::now())?;
        let maturity = config.versions.maturity(version);
        let added = self.record()?.add(version, session, &config.policy, maturity, &planned, &declared, clock::now());
        audited(self.record()?, (version, &by, "PATCH"), added.map_err(Unanswered::from), clock::now())?;
        if !planned.is_empty() {
            self.add_to_directory(session.project_id, version).await;
        }
        let troubles = self.look_at_staging(&config, version, &declared).await?;
        self.look_after(&config).await?;
        self.announce(session.project_id, version);
        match troubles.into_iter().reduce(|first, other| first.and(&other)) {
            Some(problem) => Err(problem),
            None => self.release(session.project_id, version),
        }
    }

    /// Names are checked against the servers' own lists before anything is built.
    async fn check_distros(&self, config: &Config, planned: &[Planned]) -> std::result::Result<(), Problem> {
        let mut known: BTreeMap<String, Distributions> = BTreeMap::new();
        let mut problems = Vec::new();
        for package in planned {
            // A registry has no list of what it takes: tags are free.
            let Some(kind) = package.expect.kind.package() else { continue };
            for target in &package.targets {
                let name: TargetName =
                    target.distro.parse().map_err(|error| Problem::new(422, "bad-plan", format!("{error}.")))?;
                let TargetName::Distro(distro) = name else { continue };
                for site in [&package.staging, &target.public] {
                    if !known.contains_key(&site.place) {
                        let store = settings::store(&self.env, config, site)?;
                        let list = store.distributions(&self.host()).await;
                        let list = list.map_err(|error| {
                            let what = format!("Cannot check the plan: {error}. Run the job again.");
                            Problem::new(502, "place-unreadable", what)
                        })?;
                        known.insert(site.place.clone(), list);
                    }
                    if known.get(&site.place).is_none_or(|list| list.id(kind, &distro).is_none()) {
                        let key = &package.key;
                        problems.push(format!("`{key}`: `{}` takes no {kind} packages for `{distro}`", site.place));
                    }
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
                crate::log::trouble!(of project_id, "{version} is not in the directory: {error}");
            }
        }
    }

    /// Other bytes that staging has under the names of files that are about to be declared. Those that are to give way are
    /// in nobody's way. What cannot be read now is looked at again once it is declared.
    async fn in_the_way(
        &self,
        config: &Config,
        version: &Version,
        declared: &[Declared<'_>],
    ) -> std::result::Result<Option<Problem>, Problem> {
        let mut asked = Vec::new();
        for Declared { key, file, replace } in declared {
            let is_known = self.record()?.staged(version, key)?.is_some_and(|known| known.digest == file.digest);
            let (Some((site, distros, cargo)), false) = (self.record()?.to_be_staged(version, key, file)?, is_known)
            else {
                continue;
            };
            // An image is staged by its digest, so nothing is in its way.
            if cargo.file().is_none() {
                continue;
            }
            let mut fits = vec![file.digest];
            if *replace {
                fits.extend(self.record()?.gives_way(version, key, &file.filename)?);
            }
            asked.extend(distros.into_iter().map(|distro| (site.clone(), distro, cargo.clone(), fits.clone())));
        }
        let host = self.host();
        let looks = asked.iter().map(|(site, distro, cargo, _)| host.find(site, distro, cargo));
        let seen = join_all(looks).await;
        for ((site, _, cargo, fits), seen) in asked.iter().zip(seen) {
            if let (Ok(Ok(Seen::Digest(found))), Some(wanted)) = (seen, fits.first())
                && !fits.contains(&found)
            {
                let store = settings::store(&self.env, config, site)?;
                let problem = staging_conflict(&store.name(), cargo, found, *wanted);
                let what = format!("{} {}", problem.what, problem.next);
                return Ok(Some(Problem::new(409, "staging-conflict", what)));
            }
        }
        Ok(None)
    }

    /// Sees whether staging has the declared bytes of packages, for each distro version. What is in the way is recorded,
    /// and returned; bytes that are to give way are recorded alone. All are looked for at once, so that each repository is
    /// read once.
    async fn look_at_staging(
        &self,
        config: &Config,
        version: &Version,
        files: &[Declared<'_>],
    ) -> std::result::Result<Vec<Problem>, Problem> {
        let mut declared = Vec::new();
        for Declared { key, file, replace } in files {
            let Some(staged) = self.record()?.staged(version, key)? else { continue };
            let gives_way = if *replace { self.record()?.gives_way(version, key, &file.filename)? } else { Vec::new() };
            declared.push((*key, staged, gives_way));
        }
        let each = || {
            declared.iter().flat_map(|(key, staged, gives_way)| {
                staged.distros.iter().map(move |distro| (*key, staged, distro, gives_way))
            })
        };
        let host = self.host();
        let looks = each().map(async |(_, staged, distro, _)| {
            host.find(&staged.staging, &staged_under(distro, &staged.digest), &staged.filename).await
        });
        let looks = join_all(looks).await;
        let mut problems = Vec::new();
        for ((key, staged, distro, gives_way), seen) in each().zip(looks) {
            let sight = match seen.map_err(|error| Trouble::passing(error.to_string())).and_then(|seen| seen) {
                Ok(Seen::Digest(digest)) if digest == staged.digest => Sight::Declared,
                Ok(Seen::Digest(digest)) => {
                    let store = settings::store(&self.env, config, &staged.staging)?;
                    let problem = staging_conflict(&store.name(), &staged.filename, digest, staged.digest);
                    if !gives_way.contains(&digest) {
                        let what = format!("{} {}", problem.what, problem.next);
                        problems.push(Problem::new(409, "staging-conflict", what));
                    }
                    Sight::Other(problem)
                }
                Ok(Seen::Nothing) => Sight::Nothing,
                Ok(Seen::WithoutDigest) => continue,
                Err(error) => {
                    let next = if error.may_pass() { "Run" } else { "When that is mended, run" };
                    let what = format!("The digest is declared, but {error}. {next} the job again.");
                    problems.push(Problem::new(502, "staging-unreadable", what));
                    continue;
                }
            };
            self.record()?.seen_in_staging(version, key, distro, &staged.digest, &sight, clock::now())?;
        }
        Ok(problems)
    }

    // ---- the alarm ----

    async fn drive(&self) -> std::result::Result<(), Problem> {
        let storage = self.state.storage();
        storage.set_alarm(WATCHDOG).await?;
        self.hear_first().await?;
        // It is armed again by whoever starts the record.
        if self.record()?.awaits_start()? {
            storage.delete_alarm().await?;
            return Ok(());
        }
        let config = settings::config()?;
        self.know_policy()?;
        // Orders go on without GitLab's token.
        let gitlab = self.gitlab(&config);
        let (record, host) = (self.record()?, self.host());
        project::drive(record, &host, &config, gitlab.as_ref()).await?;
        // What rests can wait, and so can those who are told: a place or receiver that is slow holds up nothing else.
        let looking = std::pin::pin!(async {
            let found = async {
                let Some(gitlab) = gitlab.as_ref() else { return Ok::<_, LedgerError>(None) };
                let listed = lost::list_jobs(record, &host, gitlab).await?;
                let found = lost::find(record, &host, &config, gitlab).await?;
                Ok(listed.into_iter().chain(found).min())
            };
            let (again, lost, told, attested) = Box::pin(join4(
                project::look_again(record, &host),
                found,
                notify::tell(record, &host, &config),
                attest::attest(record, &host, &config),
            ))
            .await;
            attested?;
            Ok::<_, LedgerError>(again?.into_iter().chain(lost?).chain(told?).min())
        });
        let again = match select(looking, Delay::from(LOOK_LIMIT)).await {
            Either::Left((again, _)) => again?,
            Either::Right(_) => Some(clock::now() + project::SWEEP),
        };
        // An import may have begun meanwhile. Whoever starts the record has the alarm come again.
        if record.awaits_start()? {
            storage.delete_alarm().await?;
            return Ok(());
        }
        let retained = self.retain(record, &config).await?;
        let due_at = project::drive(record, &host, &config, gitlab.as_ref()).await?;
        // Whatever has happened since others were told is told at once: what was announced now is announced by that.
        let news = notify::due(record, &config, clock::now())?;
        let due_at = due_at.into_iter().chain(again).chain(retained).chain(news).min();
        // From the reading of what is due to the call that arms the alarm nothing is awaited.
        match due_at {
            Some(due_at) => storage.set_alarm(due_at.since(clock::now()).max(SOON)).await?,
            None => storage.delete_alarm().await?,
        }
        Ok(())
    }

    // ---- reading ----

    fn release(&self, project_id: u64, version: &Version) -> Answer {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        match self.record()?.release(&config, project, version, &self.sent.borrow(), clock::now())? {
            Some(release) => {
                // Somebody who watches may be who asks.
                let mut frames = self.frames.borrow_mut();
                if frames.has(version) {
                    frames.shown(&release)?;
                }
                json(200, &release)
            }
            None => Err(Problem::not_found("such release")),
        }
    }

    fn target(&self, project_id: u64, version: &Version, key: &Key, distro: &str) -> Answer {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let release = self.record()?.release(&config, project, version, &self.sent.borrow(), clock::now())?;
        let package = release.and_then(|release| release.packages.into_iter().find(|package| package.key == *key));
        let target = package.and_then(|package| package.targets.into_iter().find(|target| target.name() == distro));
        let target = target.ok_or_else(|| Problem::not_found("such target"))?;
        let attempts = self.record()?.attempts(version, key, distro)?;
        json(200, &TargetHistory { key: key.clone(), target, attempts })
    }

    /// What is attested of a target, exactly as it was signed.
    fn attestation(&self, version: &Version, key: &Key, distro: &str) -> Answer {
        match self.record()?.attestation(version, key, distro)? {
            Some(Attested::Signed(envelope)) => {
                let response = Response::ok(envelope)?;
                response.headers().set("content-type", ENVELOPE)?;
                response.headers().set("cache-control", PRIVATE)?;
                Ok(response)
            }
            Some(Attested::Due) => {
                let what = if settings::config()?.edge.signing_key.is_some() {
                    "It is not signed yet. Ask again in a minute."
                } else {
                    "Nothing is signed here: the operator has set no `signing_key`."
                };
                Err(Problem::new(404, "not-attested", what))
            }
            None => Err(Problem::new(
                404,
                "not-attested",
                "Nothing is attested of it: it was not released by anybody's approval.",
            )),
        }
    }

    /// The releases of which something is public.
    fn public(&self, project_id: u64) -> Answer {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        json(200, &self.record()?.public_releases(project.name.as_str())?)
    }

    fn public_versions(&self, project_id: u64) -> Answer {
        self.know_id(project_id)?;
        json(200, &self.record()?.public_versions()?)
    }

    fn releases(&self, project_id: u64) -> Answer {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let record = self.record()?;
        let mut summaries = Vec::new();
        for version in record.versions()? {
            if let Some(release) = record.release(&config, project, &version, &self.sent.borrow(), clock::now())? {
                summaries.push(ReleaseSummary { version, state: release.state, verdict: release.verdict });
            }
        }
        json(200, &summaries)
    }

    /// Until the release has changed after `since`, or has reached `state`, or the time is up.
    async fn wait(
        &self,
        project_id: u64,
        version: &Version,
        since: Option<u64>,
        state: Option<ReleaseState>,
        wait_ms: u64,
    ) -> std::result::Result<(), Problem> {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let began = clock::now();
        // A clock that is set back meanwhile holds nobody for longer.
        let ends_at = began + Duration::from_millis(wait_ms);
        let waits = || (began..ends_at).contains(&clock::now());
        let mut looked_at = None;
        loop {
            let sequence = self.record()?.sequence(version)?;
            let Some(now_at) = sequence else { return Ok(()) };
            if since.is_some_and(|since| now_at > since) || !waits() {
                return Ok(());
            }
            if state.is_some() && looked_at != sequence {
                looked_at = sequence;
                let release = self.record()?.release(&config, project, version, &self.sent.borrow(), clock::now())?;
                if release.is_none_or(|release| Some(release.state) == state) {
                    return Ok(());
                }
            }
            self.followers.changed(&self.host(), ends_at.since(clock::now()).min(LOOKS_AFTER)).await;
        }
    }

    fn audit(&self, project_id: u64, first: u64, count: u64, format: Format) -> Answer {
        self.know_id(project_id)?;
        let (record, config) = (self.record()?, settings::config()?);
        let project = settings::project(&config, project_id)?;
        let rows = audit::entries(record.sql(), first, count)?;
        // Pages that are put together are the export.
        let mut text = if first == 1 { format.names().to_owned() } else { String::new() };
        for row in &rows {
            format.write(row, &mut text);
        }
        let response = Response::ok(text)?;
        let headers = response.headers();
        headers.set("content-type", format.content_type())?;
        headers.set("cache-control", PRIVATE)?;
        let read = rows.last().map_or(0, |row| row.sequence);
        if audit::last(record.sql())?.is_some_and(|(last, _)| !rows.is_empty() && read < last) {
            let path = config.edge.url.url(["api", "v1", "projects", project.name.as_str(), "audit"]);
            let next = format!("{path}?first={}&count={count}&format={}", read + 1, format.code());
            headers.set("link", &format!("<{next}>; rel=\"next\""))?;
        }
        Ok(response)
    }

    /// Signed heads, as notes one after another.
    fn heads(&self, project_id: u64, first: Option<u64>) -> Answer {
        self.know_id(project_id)?;
        let (record, config) = (self.record()?, settings::config()?);
        let project = settings::project(&config, project_id)?;
        let heads = match first {
            None => audit::newest_head(record.sql())?.map(|note| vec![(0, note)]),
            Some(first) => Some(audit::heads(record.sql(), first, HEADS_MAX)?),
        };
        let heads = heads.ok_or_else(|| Problem::not_found("signed head of the audit"))?;
        let notes: Vec<&str> = heads.iter().map(|(_, note)| note.as_str()).collect();
        let response = Response::ok(notes.join("\n"))?;
        let headers = response.headers();
        headers.set("content-type", "text/plain; charset=utf-8")?;
        headers.set("cache-control", PRIVATE)?;
        if let Some((last, _)) = heads.last().filter(|_| heads.len() as u64 == HEADS_MAX) {
            let path = config.edge.url.url(["api", "v1", "projects", project.name.as_str(), "audit", "heads"]);
            headers.set("link", &format!("<{path}?first={}>; rel=\"next\"", last + 1))?;
        }
        Ok(response)
    }

    // ---- watching ----

    /// Accepts a socket that hibernates: an object that nobody disturbs sleeps with its sockets open.
    fn watch(&self, request: &Request) -> Answer {
        let query: Watch = request.query()?;
        self.is_whole()?;
        self.know_id(query.project_id)?;
        let version: Version = query.version.parse().map_err(|_| Problem::not_found("such release"))?;
        if self.record()?.sequence(&version)?.is_none() {
            return Err(Problem::not_found("such release"));
        }
        let tags = if query.is_somebody { &[version.as_str()][..] } else { &[version.as_str(), STRANGER] };
        if !query.is_somebody && self.state.get_websockets_with_tag(STRANGER).len() >= STRANGERS_WATCHING_MAX {
            let why = "As many watch this project as can who have not signed in. Sign in, or ask for the release every few seconds.";
            return Err(Problem::new(503, "too-many-watch", why));
        }
        let pair = WebSocketPair::new()?;
        self.state.accept_websocket_with_tags(&pair.server, tags);
        let mut watching = Watching { opened_at: clock::now(), changes: query.changes, at: None };
        if let Ok(pong) = WebSocketRequestResponsePair::new("ping", "pong") {
            self.state.set_websocket_auto_response(&pong);
        }
        // Whoever was away sees at once what was missed.
        let has_news = self.record()?.sequence(&version)?.is_some_and(|now| frames::is_news(now, query.since));
        if has_news && let Some(release) = self.render(query.project_id, &version)? {
            self.frames.borrow_mut().shown(&release)?;
            pair.server.send_with_str(serde_json::to_string(&release)?)?;
            watching.at = Some(release.sequence);
        }
        pair.server.serialize_attachment(&watching)?;
        Ok(Response::from_websocket(pair.client)?)
    }

    /// The same of bytes that were sent, which is told of all the time, and of each copy: once a second is enough to watch.
    fn announce_bytes(&self, project_id: u64, version: &Version) {
        let now = clock::now();
        let told_at = self.announced.borrow().get(version).copied();
        if told_at.is_some_and(|told_at| told_at <= now && now.since(told_at) < BYTES_AFTER) {
            self.followers.wake();
        } else {
            self.announce(project_id, version);
        }
    }

    /// Sends a release to those who watch it, and wakes those who wait. What it tells has happened, so it does not fail.
    fn announce(&self, project_id: u64, version: &Version) {
        self.followers.wake();
        let sockets = self.state.get_websockets_with_tag(version.as_str());
        if sockets.is_empty() {
            self.announced.borrow_mut().remove(version);
            self.frames.borrow_mut().forget(version);
            return;
        }
        self.announced.borrow_mut().insert(version.clone(), clock::now());
        if let Err(problem) = self.send_to(project_id, version, &sockets) {
            crate::log::trouble!(of project_id, "those who watch {version} are not told: {}", problem.detail);
        }
    }

    /// Sends a release to sockets: what each of them does not know.
    fn send_to(&self, project_id: u64, version: &Version, sockets: &[WebSocket]) -> std::result::Result<(), Problem> {
        let Some(release) = self.render(project_id, version)? else { return Ok(()) };
        let mut frames = self.frames.borrow_mut();
        frames.shown(&release)?;
        // Most of them know the same, so the same is sent to them.
        let mut messages: BTreeMap<Option<u64>, String> = BTreeMap::new();
        for socket in sockets {
            // One that is gone, or has to ask anew, comes back by itself and sees what it missed.
            let Some(mut watching) = admitted(socket) else {
                drop(socket.close(Some(1000), Some("who reads is judged again")));
                continue;
            };
            let at = watching.at.filter(|_| watching.changes);
            let message = match messages.entry(at) {
                Occupied(message) => message.into_mut(),
                Vacant(place) => place.insert(frames.message(&release, at)?),
            };
            let is_sent = socket.send_with_str(&*message).is_ok();
            // What it is not known to have, it is sent again.
            watching.at = is_sent.then_some(release.sequence);
            if watching.changes {
                drop(socket.serialize_attachment(&watching));
            }
        }
        Ok(())
    }

    fn render(&self, project_id: u64, version: &Version) -> std::result::Result<Option<Release>, Problem> {
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        Ok(self.record()?.release(&config, project, version, &self.sent.borrow(), clock::now())?)
    }
}

/// What is kept of an open socket, while the object sleeps too.
#[derive(serde::Serialize, serde::Deserialize)]
struct Watching {
    opened_at: Timestamp,
    /// Whether it takes changes.
    changes: bool,
    /// At which number the release was that it was sent last.
    at: Option<u64>,
}

/// What is kept of a socket that was opened lately. Whoever opened it may have lost the right since, by the end of a session or
/// of a role, and an object that only sends would never notice.
fn admitted(socket: &WebSocket) -> Option<Watching> {
    let watching: Watching = socket.deserialize_attachment().ok().flatten()?;
    let now = clock::now();
    (watching.opened_at <= now && now.since(watching.opened_at) < WATCH_LIMIT).then_some(watching)
}

/// What the upgrade's address says.
#[derive(serde::Deserialize)]
struct Watch {
    project_id: u64,
    version: String,
    since: Option<u64>,
    #[serde(default)]
    changes: bool,
    /// Whether whoever watches has shown who they are.
    #[serde(default)]
    is_somebody: bool,
}

impl ProjectHost for Host<&ProjectRecord> {
    type Signer = SigningKey;

    async fn hand_over(&self, order: &Order) -> std::result::Result<(), Silent> {
        let stub = message::package(&self.object.env, &package::name(order));
        ask(stub, &ToPackage::Accept(Box::new(order.clone()))).await
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> std::result::Result<(), Silent> {
        let name = package::name_of(withdrawal.project_id, &withdrawal.version, &withdrawal.key);
        ask(message::package(&self.object.env, &name), &ToPackage::Withdraw(Box::new(withdrawal.clone()))).await
    }

    fn open(&self, site: &Site) -> std::result::Result<Store, String> {
        let open = || settings::store(&self.object.env, &*settings::config()?, site);
        open().map_err(|error| error.to_string())
    }

    fn announce(&self, version: &Version) {
        if let Ok(Some(project_id)) = self.object.record().and_then(|record| Ok(record.project_id()?)) {
            self.object.announce(project_id, version);
        }
    }

    async fn find(
        &self,
        site: &Site,
        under: &str,
        cargo: &Cargo,
    ) -> std::result::Result<std::result::Result<Seen, Trouble>, Silent> {
        message::find(&self.object.env, site, under, cargo).await
    }

    async fn answered_at(&self, place: &str) -> std::result::Result<Option<Timestamp>, Silent> {
        ask(message::account(&self.object.env, place), &ToAccount::AnsweredAt).await
    }

    async fn name_taken(
        &self,
        project_id: u64,
        names: &[PublicName],
    ) -> std::result::Result<Option<NameTaken>, Silent> {
        ask(message::project(&self.object.env, project_id), &ToProject::NameTaken { project_id, names: names.to_vec() })
            .await
    }

    fn secret(&self, name: &str) -> std::result::Result<Token, String> {
        settings::secret(&self.object.env, name).map_err(|error| error.to_string())
    }

    async fn signer(&self) -> std::result::Result<Option<SigningKey>, SigningError> {
        signing::key(&self.object.env).await
    }

    fn write(&self, entry: &Entry<'_>) {
        log::write(entry);
    }
}

impl AttachingHost for Host<&ProjectRecord> {
    async fn slot(&self, place: &str, asked: &AskSlot) -> std::result::Result<Slot, Silent> {
        ask(message::account(&self.object.env, place), &ToAccount::Slot(asked.clone())).await
    }

    async fn slot_ended(&self, place: &str, ended: &SlotEnded) -> std::result::Result<(), Silent> {
        ask(message::account(&self.object.env, place), &ToAccount::Ended(ended.clone())).await
    }
}
