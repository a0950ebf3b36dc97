//! The edge's process in the simulation: its objects, the messages between them, and what a runtime lends to them. It is
//! a host like the Worker, over the same functions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use http::header::AUTHORIZATION;
use slipway_core::cargo::{Cargo, Name};
use slipway_core::config::PlaceKind;
use slipway_core::inventory::{Seen, Served};
use slipway_core::promotion::{May, MayEnd, Order, Slot};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::retention::Consent;
use slipway_core::route::Site;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::stop::Stopped;
use slipway_core::store::{Around, Going, Kept, Look, Registry, Store};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};
use slipway_edge::account::{Account, AskSlot, SlotEnded};
use slipway_edge::denied::Unanswered;
use slipway_edge::package::{self, Running};
use slipway_edge::port::{self, AccountHost, Clock, PackageHost, ProjectHost, Silent, Target, Told};
use slipway_edge::reading::{self, Readings};
use slipway_edge::retention::{self, StagingHost};
use slipway_edge::slots::{self, StandingBy};
use slipway_edge::{gates, job_call};
use slipway_edge::{lost, notify, project};
use slipway_ledger::{Ask, Held, LedgerError, NameTaken, Named, PublicName, Record, Removal, Sql, StagedObject, Work};
use slipway_packagecloud::Account as Login;
use slipway_wire::{
    Digest, Http, Planted, RelayError, Relayed, Request, Response, Token, TooSlow, Transfer, Unreachable, planted,
};

use crate::fault::{Fault, Kind};
use crate::journal::asked_repository;
use crate::registry::{self, Sight};
use crate::server::{self, View};
use crate::sql::{Backend, SimSql};
use crate::world::{Deed, Happening, Late, ObjectId, REGISTRIES_FROM, World, number_of, rebuilt, session};

/// What whoever listens knows the edge by.
pub(crate) const LISTENERS_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const HOUR: i64 = 3_600_000;
const SWEEP: Duration = project::SWEEP;
/// When a killed run is taken up again.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A package's object.
pub(crate) struct Package {
    pub(crate) work: Work<SimSql>,
    pub(crate) running: Running,
}

/// An account's object.
pub(crate) struct AccountObject {
    pub(crate) account: Account<SimSql>,
    pub(crate) readings: Readings,
    pub(crate) standing_by: StandingBy,
}

/// What lives in memory, and dies with the process.
#[derive(Default)]
pub(crate) struct Process {
    records: BTreeMap<u64, Rc<Record<SimSql>>>,
    packages: BTreeMap<String, Rc<Package>>,
    accounts: BTreeMap<String, Rc<AccountObject>>,
    driving: BTreeSet<ObjectId>,
}

/// What is on disk, and outlives every process.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) databases: BTreeMap<ObjectId, Rc<Backend>>,
    pub(crate) alarms: BTreeMap<ObjectId, i64>,
}

/// The edge's host.
#[derive(Clone)]
pub(crate) struct Edge(pub(crate) Rc<World>);

fn silent() -> Silent {
    Silent("the connection broke".to_owned())
}

impl Edge {
    fn database(&self, id: &ObjectId) -> Rc<Backend> {
        let mut disk = self.0.disk.borrow_mut();
        Rc::clone(disk.databases.entry(id.clone()).or_insert_with(|| Backend::take(id.commits())))
    }

    fn sql(&self, id: &ObjectId) -> (SimSql, Rc<Cell<bool>>) {
        let sql = SimSql::new(&self.0, &self.database(id), id.commits());
        let is_open = Rc::clone(&sql.is_open);
        (sql, is_open)
    }

    pub(crate) fn record(&self, project: u64) -> Rc<Record<SimSql>> {
        if let Some(record) = self.0.process.borrow().records.get(&project) {
            return Rc::clone(record);
        }
        let (sql, is_open) = self.sql(&ObjectId::Project(project));
        let record = Record::open(sql).expect("the record's schema");
        is_open.set(true);
        let record = Rc::new(record);
        self.0.process.borrow_mut().records.insert(project, Rc::clone(&record));
        record
    }

    pub(crate) fn package(&self, name: &str) -> Rc<Package> {
        if let Some(package) = self.0.process.borrow().packages.get(name) {
            return Rc::clone(package);
        }
        let (sql, is_open) = self.sql(&ObjectId::Package(name.to_owned()));
        let work = Work::open(sql).expect("the work's schema");
        is_open.set(true);
        let package = Rc::new(Package { work, running: Running::default() });
        self.0.process.borrow_mut().packages.insert(name.to_owned(), Rc::clone(&package));
        package
    }

    pub(crate) fn account(&self, place: &str) -> Rc<AccountObject> {
        if let Some(account) = self.0.process.borrow().accounts.get(place) {
            return Rc::clone(account);
        }
        let (sql, is_open) = self.sql(&ObjectId::Account(place.to_owned()));
        let account = Account::open(sql).expect("the account's schema");
        is_open.set(true);
        let standing_by = StandingBy::default();
        let account = Rc::new(AccountObject { account, readings: Readings::default(), standing_by });
        self.0.process.borrow_mut().accounts.insert(place.to_owned(), Rc::clone(&account));
        account
    }

    // ---- alarms ----

    fn arm(&self, id: &ObjectId, after: Duration) {
        let ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX).max(1);
        self.0.arm(id, ms);
    }

    /// An alarm goes off, if it is still the one that was armed.
    pub(crate) fn alarm(&self, id: &ObjectId, at: i64) {
        if self.0.disk.borrow().alarms.get(id) != Some(&at) || self.0.process.borrow().driving.contains(id) {
            return;
        }
        let fault = self.0.boundary(Kind::Alarm);
        if self.0.is_dead() {
            return;
        }
        match fault {
            Some(Fault::Never) => {
                self.0.disk.borrow_mut().alarms.remove(id);
                self.0.point("an alarm that never came");
                return;
            }
            Some(Fault::Late) => return self.0.arm(id, 3 * 3_600_000),
            _ => {}
        }
        let twice = fault == Some(Fault::Twice);
        self.0.process.borrow_mut().driving.insert(id.clone());
        let (edge, id) = (self.clone(), id.clone());
        self.0.exec.spawn(async move {
            edge.drive(&id).await;
            if twice {
                edge.drive(&id).await;
            }
            edge.0.process.borrow_mut().driving.remove(&id);
        });
    }

    async fn drive(&self, id: &ObjectId) {
        self.arm(id, WATCHDOG);
        let next = match id {
            ObjectId::Project(project) => self.drive_record(*project).await,
            ObjectId::Package(name) => {
                let package = self.package(name);
                match package::drive(&package.work, self, &package.running).await {
                    Ok(_) => package::next(&package.work, self, &package.running),
                    Err(error) => Err(error),
                }
            }
            ObjectId::Account(_) => Ok(None),
        };
        self.rearm(id, &next);
    }

    async fn drive_record(&self, project: u64) -> Result<Option<Timestamp>, LedgerError> {
        let (record, gitlab) = (self.record(project), self.0.gitlab_instance());
        let driven = project::drive(&record, self, &self.0.config, Some(&gitlab)).await?;
        if self.0.keeps {
            return self.keep(project, &record, driven).await;
        }
        if !self.0.tells {
            return Ok(driven);
        }
        // As the Worker does: then again, since others ran meanwhile.
        let found = lost::find(&record, self, &self.0.config, &gitlab);
        let (found, told) = join(found, notify::tell(&record, self, &self.0.config)).await;
        let driven = project::drive(&record, self, &self.0.config, Some(&gitlab)).await?;
        Ok(driven.into_iter().chain(found?).chain(told?).min())
    }

    /// Looks again at what rests, and cleans staging up. Once an hour: each look is a step, and it is the hours that count.
    async fn keep(
        &self,
        project: u64,
        record: &Record<SimSql>,
        driven: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let world = &self.0;
        let now = world.elapsed();
        let last = world.looked_again_at.borrow().get(&project).copied();
        let mut due_at = driven;
        if last.is_none_or(|last| now - last >= HOUR) {
            world.looked_again_at.borrow_mut().insert(project, now);
            project::look_again(record, self).await?;
        }
        let kept_at = retention::due_at(record, self.now())?;
        if kept_at <= self.now() {
            world.retention_runs(project);
            let own = world.config.project_of_id(project).expect("every parcel's project is configured");
            retention::run(record, self, &world.config, own).await?;
            due_at = project::drive(record, self, &world.config, Some(&world.gitlab_instance())).await?;
        }
        Ok(due_at.into_iter().chain([retention::due_at(record, self.now())?.max(self.now() + SWEEP)]).min())
    }

    /// From the reading of what is due to here nothing is awaited.
    fn rearm(&self, id: &ObjectId, next: &Result<Option<Timestamp>, LedgerError>) {
        if self.0.is_dead() {
            return;
        }
        match next {
            Ok(Some(due_at)) => self.arm(id, due_at.since(self.now()).max(port::SOON)),
            Ok(None) => drop(self.0.disk.borrow_mut().alarms.remove(id)),
            Err(_) => self.arm(id, WATCHDOG),
        }
    }

    // ---- what arrives from outside ----

    /// A job asks for its package. `true` when it is told that it was heard.
    pub(crate) async fn ask(&self, parcel: usize, job_id: u64) -> bool {
        let parcel = &self.0.parcels[parcel];
        let record = self.record(parcel.project);
        if record.know_project(parcel.project).is_err() {
            return false;
        }
        let (gitlab, config) = (self.0.gitlab_instance(), &self.0.config);
        let project = config.project_of_id(parcel.project).expect("every parcel's project is configured");
        let session = session(parcel, job_id);
        let (version, keys) = (&parcel.version, std::slice::from_ref(&parcel.key));
        let had_failed = record.candidate(version, &parcel.key).is_ok_and(|candidate| {
            candidate.is_some_and(|it| it.targets.iter().any(|(_, state)| *state == TargetState::Failed))
        });
        let approvals = || record.approvals_of(version, &parcel.key, job_id).map(|all| all.len()).unwrap_or_default();
        let before = approvals();
        let call = job_call::Call { session: &session, version, keys, all: false };
        match job_call::promote(&record, self, config, project, Some(&gitlab), &call).await {
            Ok(_) if approvals() == before => self.0.point("two jobs' words made one approval"),
            Ok(_) if had_failed => self.0.point("a second approval was given after a failure"),
            Ok(_) => {}
            Err(Unanswered::Denied(denied)) if denied.status < 500 => self.0.point("a job was refused"),
            Err(_) => return false,
        }
        self.arm(&ObjectId::Project(parcel.project), port::SOON);
        true
    }

    /// GitLab's webhook. `true` when it is acknowledged.
    pub(crate) fn webhook(&self, parcel: usize, job_id: u64, delivery: &str) -> bool {
        let project = self.0.parcels[parcel].project;
        let record = self.record(project);
        // The oldest shapes of a webhook have no pipeline.
        let named = [Named::Job { id: job_id, pipeline_id: None, name: String::new() }];
        let kept = record.know_project(project).and_then(|()| record.keep_hints(delivery, &named, self.now()));
        if kept.is_ok() {
            self.arm(&ObjectId::Project(project), port::SOON);
        }
        kept.is_ok()
    }

    /// Somebody wants something of a release. `None` when they are not answered, or else whether it is done.
    pub(crate) fn deed(&self, deed: Deed) -> Option<bool> {
        let parcel = deed.parcel()?;
        let project = self.0.parcels[parcel].project;
        let is_over = self.0.is_over(deed);
        self.0.wants(deed);
        let held = self.0.held_bytes(parcel);
        let is_done = does(&self.record(project), &self.0, deed);
        if self.0.held_bytes(parcel) != held {
            self.0.violated("I10", "what was held for sure has given way to other bytes");
        }
        let is_done = is_done?;
        if is_done && is_over {
            self.0.violated("I17", "a build stages for a release that was given up, and is told that it may");
        }
        if is_done {
            self.arm(&ObjectId::Project(project), port::SOON);
        }
        Some(is_done)
    }

    /// A waiting job holds a request open, for a copy that an alarm cannot end.
    pub(crate) async fn carry(&self, parcel: usize, distro: String) {
        let parcel = &self.0.parcels[parcel];
        let name = package::name_of(parcel.project, &parcel.version, &parcel.key);
        let Ok(approvals) =
            self.record(parcel.project).approvals_of(&parcel.version, &parcel.key, self.0.job_of(parcel))
        else {
            return;
        };
        let package = self.package(&name);
        if package::carry(&package.work, self, &package.running, &distro, &approvals).await.is_ok() {
            self.0.point("a job carried a copy");
        }
        self.rearm(&ObjectId::Package(name), &package::next(&package.work, self, &package.running));
    }

    /// The schedule wakes every record.
    pub(crate) fn wake_records(&self) {
        let projects: BTreeSet<u64> = self.0.parcels.iter().map(|parcel| parcel.project).collect();
        for project in projects {
            self.arm(&ObjectId::Project(project), port::SOON);
        }
    }

    // ---- messages ----

    async fn message<T>(
        &self,
        kind: Kind,
        work: impl AsyncFnOnce() -> Result<T, Silent>,
        late: impl FnOnce() -> Option<Late>,
    ) -> Result<T, Silent> {
        self.0.call(kind, async |_| work().await, |_| Err(silent()), |_, answer| answer, late).await
    }

    pub(crate) fn accept(&self, order: &Order) -> Result<(), Silent> {
        let name = package::name(order);
        if !self.0.journal.borrow_mut().accepted.insert(order.approval * 10_000 + order.project_id) {
            self.0.point("an order was handed over again");
        }
        self.package(&name).work.accept(order, self.now()).map_err(|error| Silent(error.to_string()))?;
        if !planted(Planted::AcceptArmsNothing) {
            self.arm(&ObjectId::Package(name), port::SOON);
        }
        Ok(())
    }

    pub(crate) fn settle(&self, told: &Told) -> Result<(), Silent> {
        let Told { project_id, version, key, approval, digest, report, .. } = told;
        let settled = self.record(*project_id).settle(version, key, *approval, report, digest, self.now());
        settled.map_err(|error| Silent(error.to_string()))?;
        Ok(())
    }

    pub(crate) fn slot_ends(&self, place: &str, ended: &SlotEnded) -> Result<Vec<(String, String)>, Silent> {
        let account = self.account(place);
        let woken = slots::ended(&account.standing_by, &account.account, self, ended);
        let woken = woken.map_err(|error| Silent(error.to_string()))?;
        self.0.slot_ended(place);
        Ok(woken.into_iter().map(|woken| (woken.package, woken.distro)).collect())
    }

    async fn wake(&self, name: String, distro: String) {
        self.0.point("an account called somebody who waits");
        let work = async || {
            self.package(&name).work.wake(&distro, self.now()).map_err(|error| Silent(error.to_string()))?;
            self.arm(&ObjectId::Package(name.clone()), port::SOON);
            Ok(())
        };
        // One that does not hear it asks by itself after a while.
        drop(self.message(Kind::Wake, work, || None).await);
    }

    /// A small exchange with the service that has the address.
    async fn exchange(&self, request: Request, site: Option<&str>) -> Result<Response, Unreachable> {
        let world = &self.0;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let url = request.uri().to_string();
        if host == "gitlab.test" {
            if request.headers().get("private-token").and_then(|token| token.to_str().ok()) != Some("GITLAB_TOKEN") {
                world.violated("I14", "GitLab is asked without its token");
            }
            let work = async |fault| {
                let answer = world.gitlab_answer(&request, fault == Some(Fault::Stale));
                world.traced(|trace| {
                    trace.add(url.as_bytes());
                    trace.add(answer.body());
                });
                Ok(answer)
            };
            let kind = if request.uri().path().contains("/pipelines/") { Kind::Pipeline } else { Kind::Job };
            return world.call(kind, work, |fault| broken(fault, &host), bent, || None).await;
        }
        if host == "listener.test" {
            let work = async |_| {
                world.hears(&request);
                Ok(http::Response::builder().status(204).body(Vec::new()).expect("a status"))
            };
            return world.call(Kind::Notice, work, |fault| broken(fault, &host), bent, || None).await;
        }
        let at = world.registries.iter().position(|registry| registry.borrow().base.serves(&url));
        if let (Some(at), Some(kind)) = (at, registry::kind(&request)) {
            return self.ask_registry(at + REGISTRIES_FROM, kind, request).await;
        }
        let (Some(server), Some(kind)) = (world.server_of(&url), server::kind(&request)) else {
            world.violated("I14", &format!("{} {url} is asked, which nobody may ask", request.method()));
            return Err(Unreachable { host, why: "no such host".to_owned() });
        };
        let index = matches!(kind, Kind::Head | Kind::List);
        let credential = request.headers().get(AUTHORIZATION);
        let own = world.servers[server].borrow().tokens.iter().any(|token| credential == token.basic().ok().as_ref());
        if if index { credential.is_some() } else { !own } {
            world.violated(
                "I14",
                &format!("{host} is asked for {kind:?} with a credential that is not its own, or without one"),
            );
        }
        world.asked(kind, server, &request, site);
        let (sent_at, asked) = (world.boundaries(), asked_repository(&request));
        let late = || kind.acts().then(|| Late::Request(server, clone(&request)));
        let work = async |fault: Option<Fault>| {
            let view = match fault {
                Some(Fault::Stale) => View::Before,
                Some(Fault::Bare) => View::Bare,
                Some(Fault::Unhashed | Fault::Unmodified) => View::Unhashed,
                _ => View::Now,
            };
            let answer = world.serve(server, &request, view);
            trace_exchange(world, &url, &request, &answer);
            Ok(answer)
        };
        let answer = world.call(kind, work, |fault| broken(fault, &host), bent, late).await;
        if let Ok(answer) = &answer
            && (answer.status().is_success() || answer.status() == 304)
        {
            world.answered(kind, server, &asked, sent_at);
        }
        answer
    }

    /// A small exchange with a registry.
    async fn ask_registry(&self, number: usize, kind: Kind, request: Request) -> Result<Response, Unreachable> {
        let world = &self.0;
        let (host, url) = (request.uri().host().unwrap_or_default().to_owned(), request.uri().to_string());
        let credential = request.headers().get(AUTHORIZATION);
        let is_own = world.registry(number).is_some_and(|registry| registry.borrow().knows(credential));
        if credential.is_some() && !is_own {
            world.violated("I14", &format!("{host} is asked for {kind:?} with a credential that is not its own"));
        }
        // Without one nothing is written, so nobody does.
        if is_own || !kind.writes() {
            world.image_asked(kind, number, &request);
        }
        let late = || kind.acts().then(|| Late::Image(number, clone(&request)));
        let work = async |fault: Option<Fault>| {
            let sight = match fault {
                Some(Fault::Stale) => Sight::Before,
                Some(Fault::Bare) => Sight::Bare,
                Some(Fault::Unhashed) => Sight::Unhashed,
                Some(Fault::OtherManifest | Fault::Unmounted) => Sight::Other,
                _ => Sight::Now,
            };
            let answer = world.serve_image(number, &request, sight, false);
            trace_exchange(world, &url, &request, &answer);
            Ok(answer)
        };
        world.call(kind, work, |fault| broken(fault, &host), bent, late).await
    }

    /// The bytes of a blob, from one registry into an upload at another.
    async fn relay_blob(
        &self,
        holder: &str,
        transfer: Transfer,
        until: Option<Timestamp>,
    ) -> Result<Relayed, RelayError> {
        let world = &self.0;
        let host = transfer.upload.uri().host().unwrap_or_default().to_owned();
        let Some((source, destination)) = world.blob_begins(&transfer, holder) else {
            return Err(RelayError::Broken(Unreachable { host, why: "no such host".to_owned() }));
        };
        let stored = || {
            let registry = world.registry(source).ok_or(http::StatusCode::NOT_FOUND)?;
            registry.borrow().stored(&transfer.source)
        };
        let late = || {
            let bytes = stored().ok()?;
            let is_right = Digest::of(&bytes) == transfer.digest;
            is_right.then(|| Late::Blob(destination, head(&transfer), whole(&transfer, &bytes)))
        };
        let work = async |fault: Option<Fault>| {
            if fault == Some(Fault::Slow) {
                world.exec.sleep(1_200_000).await;
            }
            world.looks_at_servers();
            let bytes = bent_source(fault, &stored().map_err(RelayError::Source)?);
            let (size, found) = (u64::try_from(bytes.len()).unwrap_or(u64::MAX), Digest::of(&bytes));
            let right = size == transfer.size && (found == transfer.digest || planted(Planted::RelayTrustsLength));
            if !right {
                return Ok(Relayed::Withheld { found: (size == transfer.size).then_some(found), size });
            }
            let (body, url) = (whole(&transfer, &bytes), transfer.upload.uri().to_string());
            let answer = world.push_blob(destination, &transfer.upload, &body, false);
            world.traced(|trace| {
                trace.add(url.as_bytes());
                trace.add(&body);
                trace.add(answer.body());
            });
            Ok(Relayed::Answered(answer))
        };
        let broken = |fault| broken_relay(fault, &host);
        let answer = world.call_until(Kind::BlobSend, until.is_some(), work, broken, bent_relay, late).await;
        world.relay_ends(holder);
        answer
    }
}

/// The bytes that a source gives.
fn bent_source(fault: Option<Fault>, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match fault {
        Some(Fault::SourceCut) => bytes.truncate(bytes.len() / 2),
        Some(Fault::SourceFlipped) => {
            if let Some(byte) = bytes.first_mut() {
                *byte ^= 1;
            }
        }
        Some(Fault::SourceOther) => bytes.reverse(),
        Some(Fault::SourceLonger) => bytes.push(0),
        _ => {}
    }
    bytes
}

fn broken_relay(fault: Fault, host: &str) -> Result<Relayed, RelayError> {
    match fault {
        Fault::Source(status) => {
            Err(RelayError::Source(http::StatusCode::from_u16(status).expect("faults name real statuses")))
        }
        Fault::Early(_) => Ok(Relayed::AnsweredEarly(answer_of(fault).expect("it has a status"))),
        Fault::Slow => Err(RelayError::TooSlow(TooSlow {
            bytes: 1,
            rate_bytes_per_second: 1,
            needed_seconds: 3600,
            left_seconds: 600,
        })),
        _ => broken(fault, host).map(Relayed::Answered).map_err(RelayError::Broken),
    }
}

fn bent_relay(fault: Fault, relayed: Result<Relayed, RelayError>) -> Result<Relayed, RelayError> {
    match relayed {
        Ok(Relayed::Answered(answer)) => bent(fault, Ok(answer)).map(Relayed::Answered).map_err(RelayError::Broken),
        other => other,
    }
}

fn clone(request: &Request) -> Request {
    let mut copy = http::Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn answer_of(fault: Fault) -> Option<Response> {
    let (status, body) = match fault {
        Fault::Status(status) | Fault::DoneStatus(status) | Fault::Early(status) => match status {
            401 => (status, r#"{"error":"Unauthenticated"}"#),
            402 => (status, r#"{"error":["payment required"]}"#),
            404 => (status, r#"{"error": "not_found"}"#),
            422 => (status, r#"{"plan":["Upgrade to add more packages!"]}"#),
            429 => (status, "Bandwidth or Storage Limit Exceeded"),
            _ => (status, "<html>A proxy has no answer.</html>"),
        },
        Fault::Page => (200, "<html>We are at work.</html>"),
        Fault::Empty => (200, ""),
        _ => return None,
    };
    Some(http::Response::builder().status(status).body(body.into()).expect("a status and no headers"))
}

fn broken(fault: Fault, host: &str) -> Result<Response, Unreachable> {
    answer_of(fault).ok_or_else(|| Unreachable { host: host.to_owned(), why: "the connection broke".to_owned() })
}

fn bent(fault: Fault, answer: Result<Response, Unreachable>) -> Result<Response, Unreachable> {
    answer.map(|mut answer| {
        let body = answer.body_mut();
        match fault {
            Fault::Cut => body.truncate(body.len() / 2),
            Fault::Flipped => {
                let middle = body.len() / 2;
                if let Some(byte) = body.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            _ => {}
        }
        answer
    })
}

impl Clock for Edge {
    fn now(&self) -> Timestamp {
        self.0.clock()
    }

    fn random(&self) -> [u8; 16] {
        let mut rng = self.0.rng.borrow_mut();
        (u128::from(rng.bits()) << 64 | u128::from(rng.bits())).to_be_bytes()
    }

    async fn pause(&self, wait: Duration) {
        self.0.exec.sleep(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)).await;
    }
}

impl Http for Edge {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.exchange(request, None).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let mut answer = self.exchange(request, None).await?;
        if answer.status().is_success() {
            let body = std::mem::take(answer.body_mut());
            // Small pieces, so that lines and numbers are cut anywhere.
            let _stopped = body.chunks(61).all(each);
        }
        Ok(answer)
    }
}

impl PackageHost for Edge {
    fn open(&self, site: &Site) -> Result<Store, String> {
        let place = self.0.config.places.get(&site.place).ok_or_else(|| format!("no place `{}`", site.place))?;
        if place.kind == PlaceKind::Registry {
            let rules = self.0.config.image_rules(site);
            let registry = place.registry(Token::new(place.token.clone())).ok_or("the place has no user")?;
            let repository = site.repository.parse().map_err(|error| format!("{error}"))?;
            return Ok(Store::Registry(Box::new(Registry {
                registry,
                repository,
                private: place.private,
                referrers: rules.referrers,
                floating: rules.floating,
            })));
        }
        let account = Login::new(place.url.clone(), Token::new(place.token.clone()));
        let repository = site.repository.parse().map_err(|error| format!("{error}"))?;
        Ok(Store::Packagecloud { account, repository, storage: place.storage.clone() })
    }

    fn transfers(&self, place: &str) -> u32 {
        self.0.config.places.get(place).map_or(1, |place| place.transfers)
    }

    async fn relay(
        &self,
        target: &Target<'_>,
        transfer: Transfer,
        until: Option<Timestamp>,
    ) -> Result<Relayed, RelayError> {
        let world = &self.0;
        let holder = format!("{} {}", package::name(target.order), target.distro);
        if matches!(target.order.filename, Cargo::Image(_)) {
            return self.relay_blob(&holder, transfer, until).await;
        }
        let server = world.relay_begins(&transfer, &holder);
        let host = transfer.upload.uri().host().unwrap_or_default().to_owned();
        let Some((source, destination)) = server else {
            return Err(RelayError::Broken(Unreachable { host, why: "no such host".to_owned() }));
        };
        let late = || {
            let bytes = world.servers[source].borrow().stored(&transfer.source).ok()?;
            let found = Digest::of(&bytes);
            (found == transfer.digest).then(|| Late::Push(destination, head(&transfer), whole(&transfer, &bytes)))
        };
        let work = async |fault: Option<Fault>| {
            if fault == Some(Fault::Slow) {
                // Somebody who holds it open has all the time; the host renews the lease meanwhile.
                world.exec.sleep(1_200_000).await;
            }
            world.looks_at_servers();
            let bytes = world.servers[source].borrow().stored(&transfer.source).map_err(RelayError::Source)?;
            let bytes = bent_source(fault, &bytes);
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let found = Digest::of(&bytes);
            let right = size == transfer.size && (found == transfer.digest || planted(Planted::RelayTrustsLength));
            if !right {
                return Ok(Relayed::Withheld { found: (size == transfer.size).then_some(found), size });
            }
            let (body, url) = (whole(&transfer, &bytes), transfer.upload.uri().to_string());
            let answer = world.push(destination, &transfer.upload, &body);
            world.traced(|trace| {
                trace.add(url.as_bytes());
                trace.add(&body);
                trace.add(answer.as_ref().map_or(&[], |answer| answer.body()));
            });
            match answer {
                Some(answer) => Ok(Relayed::Answered(answer)),
                None => Err(RelayError::Broken(Unreachable { host: host.clone(), why: "it hung up".to_owned() })),
            }
        };
        let broken = |fault| broken_relay(fault, &host);
        let answer = world.call_until(Kind::Relay, until.is_some(), work, broken, bent_relay, late).await;
        world.relay_ends(&holder);
        answer
    }

    async fn slot(&self, place: &str, ask: &AskSlot) -> Result<Slot, Silent> {
        let work = async || {
            let account = self.account(place);
            let asked = pin!(slots::slot(&account.standing_by, &account.account, self, ask));
            let slot = match select(asked, ready(())).await {
                Either::Left((answered_at_once, _)) => answered_at_once,
                Either::Right(((), stands_by)) => {
                    self.0.waits_for_a_slot(place, ask);
                    let slot = stands_by.await;
                    if matches!(slot, Ok(Slot::Lent)) {
                        self.0.point("somebody who stood by was lent a slot");
                    }
                    slot
                }
            };
            let slot = slot.map_err(|error| Silent(error.to_string()))?;
            self.0.slot_answered(place, ask, &slot);
            Ok(slot)
        };
        self.message(Kind::Slot, work, || None).await
    }

    async fn may_act(&self, ask: &Ask) -> Result<May, Silent> {
        let work = async || {
            let (record, gitlab) = (self.record(ask.project_id), self.0.gitlab_instance());
            let may = gates::may_act(&record, self, &self.0.config, Some(&gitlab), ask).await;
            may.map_err(|error| Silent(error.to_string()))
        };
        self.message(Kind::MayAct, work, || None).await
    }

    async fn may_end(&self, project_id: u64, version: &Version, key: &Key) -> Result<MayEnd, Silent> {
        // Not a boundary of its own: nothing that a project's record does stands between this and the request that it is asked for.
        self.record(project_id).may_end(version, key).map_err(|error| Silent(error.to_string()))
    }

    async fn stopped(&self, project_id: u64) -> Result<Option<Stopped>, Silent> {
        self.record(project_id).stopped().map_err(|error| Silent(error.to_string()))
    }

    async fn slot_ended(&self, place: &str, ended: &SlotEnded) -> Result<(), Silent> {
        let late = || Some(Late::SlotEnded(place.to_owned(), ended.clone()));
        let work = async || {
            for (package, distro) in self.slot_ends(place, ended)? {
                self.wake(package, distro).await;
            }
            Ok(())
        };
        self.message(Kind::SlotEnded, work, late).await
    }

    async fn renew_slot(&self, place: &str, package: &str, distro: &str) -> Result<(), Silent> {
        let work = async || {
            let renewed = self.account(place).account.renew(package, distro, self.now());
            renewed.map_err(|error| Silent(error.to_string()))
        };
        self.message(Kind::Renew, work, || None).await
    }

    async fn find(&self, site: &Site, distro: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        let asked_at = self.0.boundaries();
        let work = async || {
            let account = self.account(&site.place);
            let host = AtPlace(self.clone(), site.place.clone());
            let name = Name::of(distro, cargo).map_err(|error| Silent(error.to_string()))?;
            Ok(reading::find(&account.readings, &account.account, &host, &site.repository, &name).await)
        };
        let seen = self.message(Kind::Find, work, || None).await;
        if let Ok(Ok(_)) = &seen {
            self.0.is_fresh(Kind::Search, site, asked_at);
            self.0.is_shown(site, distro, cargo.as_str(), asked_at);
        }
        seen
    }

    async fn served(&self, site: &Site, distro: &str, cargo: &Cargo) -> Result<Result<Served, Trouble>, Silent> {
        let asked_at = self.0.boundaries();
        let work = async || {
            let account = self.account(&site.place);
            let host = AtPlace(self.clone(), site.place.clone());
            let name = Name::of(distro, cargo).map_err(|error| Silent(error.to_string()))?;
            Ok(reading::served(&account.readings, &account.account, &host, &site.repository, &name).await)
        };
        let served = self.message(Kind::Served, work, || None).await;
        if let Ok(Ok(served)) = &served {
            self.0.is_fresh(Kind::Head, site, asked_at);
            if *served == Served::InMotion {
                self.0.point("an index was just being replaced");
            }
        }
        served
    }

    async fn report(&self, told: &Told) -> Result<(), Silent> {
        let late = || Some(Late::Report(Box::new(told.clone())));
        self.message(Kind::Report, async || self.settle(told), late).await
    }

    async fn may_withdraw(&self, _withdrawal: &Withdrawal) -> Result<MayWithdraw, Silent> {
        Err(Silent("nothing is taken back in this world".to_owned()))
    }

    async fn report_withdrawal(&self, _: &Withdrawal, _: &WithdrawalReport) -> Result<(), Silent> {
        Err(Silent("nothing is taken back in this world".to_owned()))
    }
}

/// What an account's object borrows: the edge, and which place the account is at.
pub(crate) struct AtPlace(Edge, String);

impl Clock for AtPlace {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn random(&self) -> [u8; 16] {
        self.0.random()
    }

    async fn pause(&self, wait: Duration) {
        self.0.pause(wait).await;
    }
}

impl Http for AtPlace {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.0.send(request).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.0.read(request, each).await
    }
}

impl AccountHost for AtPlace {
    fn open(&self, repository: &str) -> Result<Store, String> {
        PackageHost::open(&self.0, &Site { place: self.1.clone(), repository: repository.to_owned() })
    }
}

impl ProjectHost for Edge {
    type Signer = NoSigner;

    async fn signer(&self) -> Result<Option<NoSigner>, SigningError> {
        Ok(None)
    }

    async fn hand_over(&self, order: &Order) -> Result<(), Silent> {
        let late = || Some(Late::HandOver(Box::new(order.clone())));
        self.message(Kind::HandOver, async || self.accept(order), late).await
    }

    async fn hand_over_withdrawal(&self, _withdrawal: &Withdrawal) -> Result<(), Silent> {
        Err(Silent("nothing is taken back in this world".to_owned()))
    }

    fn open(&self, site: &Site) -> Result<Store, String> {
        PackageHost::open(self, site)
    }

    fn announce(&self, _version: &Version) {}

    async fn find(&self, site: &Site, distro: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        PackageHost::find(self, site, distro, cargo).await
    }

    async fn answered_at(&self, place: &str) -> Result<Option<Timestamp>, Silent> {
        Ok(self.account(place).readings.answered_at())
    }

    async fn name_taken(&self, project_id: u64, names: &[PublicName]) -> Result<Option<NameTaken>, Silent> {
        // A project of which this world has nothing needs no record for that.
        if !self.0.parcels.iter().any(|parcel| parcel.project == project_id) {
            return Ok(None);
        }
        // Not a boundary of its own: while another project is silent there is no leave to act, as while its own is.
        self.record(project_id).name_taken(names).map_err(|error| Silent(error.to_string()))
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        match name {
            "EVENTS_TOKEN" => Ok(Token::new(LISTENERS_TOKEN)),
            other => Err(format!("the simulation has no secret `{other}`")),
        }
    }

    fn write(&self, _entry: &slipway_core::log::Entry<'_>) {}
}

impl StagingHost for Edge {
    async fn served(&self, site: &Site, target: &str, cargo: &Cargo) -> Result<Result<Served, Trouble>, Silent> {
        PackageHost::served(self, site, target, cargo).await
    }

    async fn arrival(&self, site: &Site, under: &str, cargo: &Cargo) -> Result<Option<Timestamp>, Trouble> {
        let place = (site.repository.clone(), under.to_owned(), cargo.to_string());
        let work = async |_| {
            self.0.looks_at_servers();
            let server = self.0.servers.get(number_of(site)).map(|server| server.borrow());
            Ok(server.and_then(|server| server.files.get(&place).map(|file| Timestamp(file.arrived_at))))
        };
        self.0.call(Kind::Show, work, |_| Err(unread()), |_, answer| answer, || None).await
    }

    async fn server_time(&self, _place: &str) -> Result<Option<Timestamp>, Trouble> {
        // Of whole seconds, as HTTP has it.
        let work = async |_| Ok(Some(Timestamp(self.0.exec.now() / 1000 * 1000)));
        self.0.call(Kind::Distributions, work, |_| Err(unread()), |_, answer| answer, || None).await
    }

    async fn can_do_without(&self, project_id: u64, object: &StagedObject, lend: bool) -> Result<Consent, Silent> {
        let work = async || {
            let project = self.0.config.project_of_id(project_id).ok_or_else(silent)?;
            let left = self.record(project_id).leave_to_another(&self.0.config, project, object, lend, self.now());
            left.map_err(|error| Silent(error.to_string()))
        };
        self.message(Kind::Wake, work, || None).await
    }

    async fn images_in(&self, project_id: u64, staging: &Site) -> Result<Kept, Silent> {
        let work =
            async || self.record(project_id).images_in(staging, self.now()).map_err(|error| Silent(error.to_string()));
        self.message(Kind::Wake, work, || None).await
    }

    async fn has_whole(&self, removal: &Removal) -> Result<bool, Trouble> {
        let store = PackageHost::open(self, &removal.staging).map_err(Trouble::passing)?;
        store.has_whole(self, removal.digest).await
    }

    async fn look(&self, object: &StagedObject, around: Around<'_>) -> Result<Look, Trouble> {
        let store = PackageHost::open(self, &object.staging).map_err(Trouble::passing)?;
        let under = object.under.first().map(String::as_str).unwrap_or_default();
        let name = Name::of(under, &object.cargo).map_err(|error| Trouble::passing(error.to_string()))?;
        store.look(self, &name, object.digest, around).await
    }

    async fn parts_here(&self, removal: &Removal) -> Result<Vec<Digest>, Trouble> {
        let store = PackageHost::open(self, &removal.staging).map_err(Trouble::passing)?;
        store.parts_here(self, &removal.parts).await
    }

    async fn remove(&self, http: &impl Http, removal: &Removal, going: &Going) -> Result<(), Trouble> {
        let store = PackageHost::open(self, &removal.staging).map_err(Trouble::passing)?;
        let name = Name::of(&removal.under, &removal.cargo);
        let name = name.map_err(|error| Trouble::passing(error.to_string()))?;
        store.take_out(http, &name, removal.digest, going).await.map(drop)
    }
}

fn unread() -> Trouble {
    Trouble::passing("the connection broke".to_owned())
}

fn head(transfer: &Transfer) -> http::Request<()> {
    let mut copy = http::Request::new(());
    *copy.method_mut() = transfer.upload.method().clone();
    *copy.uri_mut() = transfer.upload.uri().clone();
    *copy.headers_mut() = transfer.upload.headers().clone();
    copy
}

fn whole(transfer: &Transfer, bytes: &[u8]) -> Vec<u8> {
    [transfer.prefix.as_slice(), bytes, &transfer.suffix].concat()
}

/// What arrives after its sender has given it up, or has died.
pub(crate) fn arrives_late(world: &Rc<World>, late: &Late) {
    let edge = Edge(Rc::clone(world));
    match late {
        Late::Push(server, upload, body) => drop(world.push(*server, upload, body)),
        Late::Request(server, request) => drop(world.serve(*server, request, View::Now)),
        Late::Image(number, request) => drop(world.serve_image(*number, request, Sight::Now, true)),
        Late::Blob(number, upload, body) => drop(world.push_blob(*number, upload, body, true)),
        // The one that was sent to is as dead as its sender.
        _ if world.is_dead() => {}
        Late::HandOver(order) => drop(edge.accept(order)),
        Late::Report(told) => drop(edge.settle(told)),
        Late::SlotEnded(place, ended) => {
            if let Ok(woken) = edge.slot_ends(place, ended) {
                for (package, distro) in woken {
                    let edge = edge.clone();
                    world.exec.spawn(async move { edge.wake(package, distro).await });
                }
            }
        }
    }
    world.point("something arrived late");
}

/// For how long somebody wants a package kept who says so.
pub(crate) const KEPT_FOR: Duration = Duration::from_hours(30);

/// Where releases run.
const ENVIRONMENT: &str = "production";

/// Somebody changes a record as the edge's API lets them: whether it is done. `None` when the record cannot tell.
pub(crate) fn does<S: Sql>(record: &Record<S>, world: &World, deed: Deed) -> Option<bool> {
    let index = deed.parcel()?;
    let parcel = &world.parcels[index];
    let (version, key) = (&parcel.version, &parcel.key);
    let (keys, by, now) = (Some(std::slice::from_ref(key)), "user:nell", world.clock());
    let stages = |bytes: &[u8], replace| {
        record.declare(version, key, &parcel.staged_file(bytes), replace, &session(parcel, 2), now)
    };
    let mut came_in_time = Held::InTime;
    let done = match deed {
        Deed::Hold(_) => record.hold(version, keys, by, "bad notes", None, now).map(|held| came_in_time = held),
        Deed::Extend(_) => {
            let until = now + KEPT_FOR;
            record.extend(version, keys, until, by, "it is compared with", now).map(|held| came_in_time = held)
        }
        Deed::Lift(_) => record.lift(version, keys, by, "good notes", now),
        Deed::Close(_) => record.close(version, by, "a newer one is out", now),
        Deed::Deployed(_) => record.deployed(version, None, ENVIRONMENT, by, Some(now), now).map(drop),
        Deed::Stop(_) => record.stop(by, "something is wrong", now).map(drop),
        Deed::Start(_) => record.start(by, "it is not", now).map(drop),
        Deed::Replace(_) => stages(&rebuilt(&parcel.bytes), true),
        Deed::Restage(_) => stages(&world.bytes_of(index), false),
        Deed::Backup | Deed::Restore | Deed::RestoreOne(_) => return None,
    };
    let error = match done {
        Ok(()) if came_in_time == Held::InTime => return Some(true),
        Ok(()) => {
            world.point("a hold came too late");
            return Some(false);
        }
        Err(LedgerError::Sql(_)) => return None,
        Err(error) => error,
    };
    // Asked again by somebody who has not heard the answer.
    let was_done = matches!(
        (deed, &error),
        (Deed::Close(_), LedgerError::Closed { .. }) | (Deed::Lift(_), LedgerError::NotHeld { .. })
    );
    if was_done {
        return Some(true);
    }
    world.point(match error {
        LedgerError::NotReplaceable { .. } => "what was approved was not replaced",
        LedgerError::Closed { .. } => "what was given up stayed so",
        LedgerError::BeingDeleted { .. } => "what was on its way out was not staged again",
        _ => "a change was refused",
    });
    Some(false)
}

/// Starts what arrives from outside, with what can happen to it on the way.
pub(crate) async fn arrives(world: Rc<World>, kind: Kind, what: Happening) {
    let edge = Edge(Rc::clone(&world));
    let again = what.again();
    let retry = |after: i64| {
        if let Some(again) = again.clone() {
            world.exec.after(after, again);
        }
    };
    let fault = world.boundary(kind);
    if world.is_dead() {
        retry(10_000);
        return pending().await;
    }
    match fault {
        Some(Fault::Lost) => return retry(10_000),
        Some(Fault::Delayed) => {
            if let Some(again) = again.clone() {
                world.exec.after(3_600_000, again);
            }
            return;
        }
        Some(Fault::Doubled) => {
            if let Some(again) = again.clone() {
                world.exec.after(3, again);
            }
        }
        _ => {}
    }
    // If it dies under this, whoever asks has no answer.
    world.unanswered.borrow_mut().extend(again.clone());
    let mut is_done = true;
    let heard = match &what {
        Happening::Ask { parcel, job, .. } => edge.ask(*parcel, *job).await,
        Happening::Webhook { parcel, job, delivery, .. } => edge.webhook(*parcel, *job, delivery),
        Happening::Deed { deed, .. } => {
            let answer = edge.deed(*deed);
            is_done = answer == Some(true);
            answer.is_some()
        }
        _ => true,
    };
    if world.is_dead() {
        return pending().await;
    }
    let answered = match fault {
        Some(Fault::KilledApplied) => {
            world.die();
            return pending().await;
        }
        Some(Fault::AnswerLost) => false,
        Some(Fault::KilledAnswered) => {
            world.kill_next();
            heard
        }
        Some(Fault::KilledCommitted) => {
            world.kill_after_commit();
            heard
        }
        _ => heard,
    };
    world.unanswered.borrow_mut().retain(|waits| Some(waits) != again.as_ref());
    match &what {
        _ if !answered => retry(10_000),
        Happening::Deed { deed, .. } => world.is_answered(*deed, is_done),
        _ => world.acknowledged(&what),
    }
}

/// Whether a state is one in which a person acts.
pub(crate) fn needs_a_person(state: TargetState) -> bool {
    matches!(state, TargetState::Failed | TargetState::Conflict | TargetState::Missing | TargetState::Staged)
}

/// What was asked and what came of it are part of a run's trace.
fn trace_exchange(world: &World, url: &str, request: &Request, answer: &Response) {
    world.traced(|trace| {
        trace.add(request.method().as_str().as_bytes());
        trace.add(url.as_bytes());
        trace.add(request.body());
        trace.add(answer.body());
    });
}
