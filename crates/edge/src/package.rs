//! One package of one release: its targets, each on its own way, driven by an alarm.
//!
//! The alarm's rule: the runtime arms the next one first, then this does what is due, writes down how it ended and says
//! when the next is due. It never fails: a handler that throws is tried six times and then dropped for ever. One that
//! was killed finds everything in SQL.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use slipway_core::api::{Act, Step};
use slipway_core::cargo::{Cargo, staged_under};
use slipway_core::inventory::{Look, Seen, Served, Side};
use slipway_core::promotion::{Attempt, May, MayEnd, Order, Outcome, Promotion, Slot, promote};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::{
    ATTEMPTS_MAX, CARRY_WAIT_MAX, Next, Patience, Report, carrier_gone, cut_off_run, ended, report, unconfigured,
};
use slipway_core::route::Site;
use slipway_core::stop::Stopped;
use slipway_core::store::{Courier, Floated, NotShipped};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_ledger::{Ask, LedgerError, Sql, Task, Work};
use slipway_wire::{
    Digest, Http, Planted, Relay, RelayError, Relayed, Request as WireRequest, Response as WireResponse, Token,
    Transfer, Unreachable, planted,
};

use crate::account::{AskSlot, Ending, SlotEnded};
use crate::port::{PackageHost, Silent, Target, Told};
use crate::while_allowed::WhileAllowed;

/// How long a copy in an alarm's run may take: the run ends after 15 minutes, and has to look before and after.
pub const COPY_MAX: Duration = Duration::from_mins(13);
/// When a report that the record did not acknowledge is sent again.
const REPORT_AGAIN: Duration = Duration::from_secs(2);
/// How old what was seen may be when an act begins on it. Whoever stands by for a slot looks once more.
const FRESH: Duration = Duration::from_secs(1);
/// How often a run looks whether something else has become due.
const TICK: Duration = Duration::from_millis(500);
/// For how long after its beginning an alarm's run takes up something new: a copy begun then still has most of its time.
const TAKES_UP: Duration = Duration::from_mins(2);
/// Longer than any task is put off: an account that stays cut off is asked every two hours.
const WAIT_MAX: Duration = Duration::from_hours(3);
/// How often somebody who carries a copy renews its lease.
const RENEW: Duration = Duration::from_mins(1);

/// The targets that run at this moment, and when each was last known to. In memory alone: when the process dies, none
/// does. A run whose future was dropped, or is never polled again, does not count for long.
#[derive(Debug, Default)]
pub struct Running(RefCell<BTreeMap<String, Timestamp>>);

/// A run that gives no sign of life for this long has ended without a word.
const DEAD_AFTER: Duration = Duration::from_mins(3);

impl Running {
    fn has(&self, distro: &str, now: Timestamp) -> bool {
        // One that was alive later than now was so when the clock was wrong.
        let alive = |at: &Timestamp| *at <= now + DEAD_AFTER && now.since(*at) < DEAD_AFTER;
        self.0.borrow().get(distro).is_some_and(alive)
    }

    fn mark_alive(&self, distro: &str, now: Timestamp) {
        self.0.borrow_mut().insert(distro.to_owned(), now);
    }

    /// Begins a run, unless the target runs already.
    fn begin(&self, distro: &str, now: Timestamp) -> Option<UnderWay<'_>> {
        if self.has(distro, now) {
            return None;
        }
        self.mark_alive(distro, now);
        Some(UnderWay { running: self, distro: distro.to_owned() })
    }
}

/// A run under way. It is over when this is dropped.
struct UnderWay<'a> {
    running: &'a Running,
    distro: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.running.0.borrow_mut().remove(&self.distro);
    }
}

/// The name of a package's object.
pub fn name(order: &Order) -> String {
    name_of(order.project_id, &order.version, &order.key)
}

/// The name of a package's object.
pub fn name_of(project_id: u64, version: &Version, key: &Key) -> String {
    format!("{project_id}/{version}/{key}")
}

/// The project, release and package that an object's name stands for.
pub fn parts_of(name: &str) -> Option<(u64, Version, Key)> {
    let (project_id, rest) = name.split_once('/')?;
    let (version, key) = rest.rsplit_once('/')?;
    Some((project_id.parse().ok()?, version.parse().ok()?, key.parse().ok()?))
}

/// Reports, runs what is due, reports, and says when the next is due.
pub async fn drive<S: Sql>(
    work: &Work<S>,
    host: &impl PackageHost,
    running: &Running,
) -> Result<Option<Timestamp>, LedgerError> {
    let began = host.now();
    // What is known already is told first: a run can take minutes.
    tell_reports(work, host).await?;
    let mut runs = FuturesUnordered::new();
    let mut own = Vec::new();
    loop {
        let waits_again = left_alone(work, host, running).await?;
        if waits_again {
            tell_reports(work, host).await?;
        }
        if host.now().since(began) < TAKES_UP {
            for (due_at, task) in work.open_tasks()? {
                if is_due(due_at, host.now())
                    && let Some(under_way) = running.begin(&task.target.distro, host.now())
                {
                    own.push(task.target.distro.clone());
                    runs.push(one(work, host, under_way, task, began));
                }
            }
        }
        if runs.is_empty() {
            break;
        }
        // Others become due, or are called by an account, while one copies.
        let tick = std::pin::pin!(host.pause(TICK));
        match select(runs.next(), tick).await {
            Either::Left((Some(ran), _)) => {
                let ended = ran?;
                own.retain(|distro| *distro != ended);
            }
            Either::Left((None, _)) | Either::Right(_) => {}
        }
        for distro in &own {
            running.mark_alive(distro, host.now());
        }
    }
    next(work, host, running)
}

/// Has targets wait to be carried again whose carrier is gone: nothing was written when its connection was lost, since
/// whatever ran in its request ended with it. Whether there were any.
async fn left_alone<S: Sql>(work: &Work<S>, host: &impl PackageHost, running: &Running) -> Result<bool, LedgerError> {
    let mut found = false;
    for (due_at, mut task) in work.open_tasks()? {
        let now = host.now();
        if !is_carried(&task) || is_due(due_at, now) || running.has(&task.target.distro, now) {
            continue;
        }
        let Some((began_at, act)) = task.under_way.take() else { continue };
        found = true;
        task.tried(began_at, act, "cut-off".to_owned(), None, now);
        task.patience.carry_since = Some(now);
        let report = Report {
            step: Some(Step::Carry),
            problem: Some(carrier_gone(&task.order.filename)),
            attempts: task.attempts.clone(),
            ..Report::of(task.target.distro.clone(), TargetState::Releasing)
        };
        work.ran(&task, &report, Some(now + CARRY_WAIT_MAX))?;
        // It held a slot, and could not give it back.
        drop(host.slot_ended(&task.target.public.place, &could_not_end(&task)).await);
    }
    Ok(found)
}

/// That the slot of an act that was cut off is free.
fn could_not_end(task: &Task) -> SlotEnded {
    SlotEnded {
        package: name(&task.order),
        distro: task.target.distro.clone(),
        asked_at: task.slot_asked_at.unwrap_or(Timestamp(0)),
        ending: Ending::Other,
    }
}

/// Whether an act is under way for which somebody holds a request open.
fn is_carried(task: &Task) -> bool {
    task.patience.carry_since.is_some() && task.under_way.is_some()
}

/// When the next task is due. Nothing is awaited here: what came meanwhile is seen.
pub fn next<S: Sql>(
    work: &Work<S>,
    host: &impl PackageHost,
    running: &Running,
) -> Result<Option<Timestamp>, LedgerError> {
    let again = work.unreported()?.first().map(|_| host.now() + REPORT_AGAIN);
    let open = work.open_tasks()?;
    let now = host.now();
    let idle = open.iter().filter(|(_, task)| !running.has(&task.target.distro, now));
    let due = idle.map(|(due_at, _)| if is_due(*due_at, now) { (*due_at).min(now) } else { *due_at });
    // Who carries one may go without a word.
    let carried = open.iter().any(|(_, task)| is_carried(task)).then(|| now + RENEW);
    Ok(due.chain(again).chain(carried).min())
}

/// Whether a task is to run. One that seems to be due later than any wait is long was put off when the clock was wrong.
fn is_due(due_at: Timestamp, now: Timestamp) -> bool {
    due_at <= now || due_at > now + WAIT_MAX
}

/// Why there is nothing to carry.
#[derive(Debug, thiserror::Error)]
pub enum NothingToCarry {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The target does not wait for it.
    #[error("`{0}` does not wait to be carried; it goes on by itself, or has ended")]
    NotWaiting(String),
    /// It is another job's.
    #[error("`{0}` was approved for another job; only that one carries it")]
    OtherApproval(String),
}

/// Runs a target that is too slow for an alarm, for as long as somebody holds this open. `approvals` are those that the
/// one who carries it may act for.
pub async fn carry<S: Sql>(
    work: &Work<S>,
    host: &impl PackageHost,
    running: &Running,
    distro: &str,
    approvals: &[u64],
) -> Result<(), NothingToCarry> {
    let not_waiting = || NothingToCarry::NotWaiting(distro.to_owned());
    let open = work.open_tasks()?;
    let found = open.into_iter().find(|(_, task)| task.target.distro == distro && task.patience.carry_since.is_some());
    let (_, task) = found.ok_or_else(not_waiting)?;
    if !approvals.contains(&task.order.approval) {
        return Err(NothingToCarry::OtherApproval(distro.to_owned()));
    }
    let under_way = running.begin(distro, host.now()).ok_or_else(not_waiting)?;
    Ok(carry_on(work, host, &under_way, task).await?)
}

/// Runs a target until it needs nobody to hold it open any more: also while it waits for a slot.
async fn carry_on<S: Sql>(
    work: &Work<S>,
    host: &impl PackageHost,
    under_way: &UnderWay<'_>,
    mut task: Task,
) -> Result<(), LedgerError> {
    let (place, package, distro) = (task.target.public.place.clone(), name(&task.order), task.target.distro.clone());
    loop {
        let mut one = Box::pin(run(work, host, task, None));
        loop {
            let pause = std::pin::pin!(host.pause(RENEW));
            match select(one, pause).await {
                Either::Left((ran, _)) => break ran?,
                Either::Right(((), rest)) => {
                    one = rest;
                    under_way.running.mark_alive(&distro, host.now());
                    // When it is not renewed, one more than the limit may be sent: no reason to stop this one.
                    drop(host.renew_slot(&place, &package, &distro).await);
                }
            }
        }
        tell_reports(work, host).await?;
        let waits = work.open_tasks()?.into_iter().find(|(_, task)| task.target.distro == distro);
        let Some((due_at, next)) = waits.filter(|(_, next)| next.patience.carry_since.is_some()) else { return Ok(()) };
        // An account that calls makes it due.
        while work.due_at(&distro)?.is_some_and(|due| due > host.now()) && host.now() < due_at {
            host.pause(TICK).await;
            under_way.running.mark_alive(&distro, host.now());
        }
        task = next;
    }
}

async fn tell_reports<S: Sql>(work: &Work<S>, host: &impl PackageHost) -> Result<(), LedgerError> {
    for (task, report) in work.unreported()? {
        if planted(Planted::ForgetsAReport) || host.report(&told(&task, &report)).await.is_ok() {
            work.reported(&task.target.distro, &report)?;
        }
    }
    Ok(())
}

fn told(task: &Task, report: &Report) -> Told {
    Told {
        project_id: task.order.project_id,
        version: task.order.version.clone(),
        key: task.order.key.clone(),
        approval: task.order.approval,
        job_id: task.order.job_id,
        digest: task.order.digest,
        report: report.clone(),
    }
}

/// One run of one target in an alarm's run, and the word of how it ended.
async fn one<S: Sql>(
    work: &Work<S>,
    host: &impl PackageHost,
    under_way: UnderWay<'_>,
    task: Task,
    began: Timestamp,
) -> Result<String, LedgerError> {
    run(work, host, task, Some(began)).await?;
    tell_reports(work, host).await?;
    Ok(under_way.distro.clone())
}

/// One run of one target. `began`: when the alarm's run began; `None` when somebody holds it open.
async fn run<S: Sql>(
    work: &Work<S>,
    host: &impl PackageHost,
    mut task: Task,
    began: Option<Timestamp>,
) -> Result<(), LedgerError> {
    let began_at = host.now();
    let mut promotion = match open(host, &task) {
        Ok(promotion) => promotion,
        Err(lacks) => return work.ran(&task, &unconfigured(&task.target.distro, &lacks), None),
    };
    if let Some((began_at, act)) = task.under_way.take() {
        task.tried(began_at, act, "cut-off".to_owned(), None, host.now());
        // It held a slot, and could not give it back.
        drop(host.slot_ended(&task.target.public.place, &could_not_end(&task)).await);
    }
    let patience =
        if planted(Planted::ForgetsWhatWasBegun) { Patience { begun: None, ..task.patience } } else { task.patience };
    promotion.begun = patience.begun.is_some();
    // A run that is cut off writes nothing more, so it counts as trouble until it has said otherwise. One whose runs are
    // all cut off ends like any other trouble.
    task.patience = patience.after(&cut_off_run(), began_at);
    work.began(&task)?;
    let run = Run {
        work,
        host,
        task: RefCell::new(task),
        began,
        acted: Cell::new(None),
        arrived: Cell::new(0),
        stopped: RefCell::default(),
    };
    let mut outcome =
        if patience.troubled > ATTEMPTS_MAX { cut_off_run() } else { promote(&run, &run, &promotion).await };
    // A run that was stopped on its way has met no trouble.
    if let (Outcome::Troubled(_), Some(stopped)) = (&outcome, run.stopped.take()) {
        outcome = Outcome::Paused(stopped);
    }
    // Late in an alarm's run there is less time than a run of its own has.
    if let (Outcome::TooSlow(_), Some(began)) = (&outcome, began)
        && began_at.since(began) > TICK * 10
    {
        outcome = Outcome::AwaitingSlot(Duration::from_secs(1));
    }
    let acted = run.acted.get();
    let mut task = run.task.into_inner();
    let now = host.now();
    // A copy that was too slow was broken off before its end: nothing can come of it.
    let last_act = acted.map(|(_, act)| act).filter(|_| !matches!(outcome, Outcome::TooSlow(_))).or(patience.begun);
    let before = Patience { begun: last_act, ..patience };
    let (mut report, next) = report(&promotion, &outcome, before, now, host.chance());
    task.under_way = None;
    report.outside |= planted(Planted::SaysOutside) && report.state == TargetState::Released;
    if let Some(ended) = ended(&outcome, &report, acted.is_some()) {
        let (at, act) = acted.unwrap_or((began_at, Act::Look));
        task.tried(at, act, ended, report.problem.clone(), now);
    }
    report.attempts.clone_from(&task.attempts);
    // While it goes on, more may follow. One that waits again, for a stop to end, may never go on.
    if report.state != TargetState::Releasing {
        report.floating.clone_from(&task.floating);
    }
    task.patience = before.after(&outcome, now);
    let due_at = match next {
        Next::Settled => None,
        Next::After(wait) => Some(now + wait),
    };
    work.ran(&task, &report, due_at)
}

/// The task's places, with their secrets.
fn open(host: &impl PackageHost, task: &Task) -> Result<Promotion, String> {
    Ok(Promotion {
        staging: host.open(&task.order.staging)?,
        public: host.open(&task.target.public)?,
        target: task.target.distro.parse().map_err(|error| format!("{error}"))?,
        cargo: task.order.filename.clone(),
        digest: task.order.digest,
        size: task.order.size,
        how: task.target.how,
        begun: false,
    })
}

/// What one run of a promotion borrows from its object.
struct Run<'a, S, H> {
    work: &'a Work<S>,
    host: &'a H,
    task: RefCell<Task>,
    began: Option<Timestamp>,
    /// What this run has begun, and when.
    acted: Cell<Option<(Timestamp, Act)>>,
    /// How many bytes of an image are at the public place, as far as this run knows.
    arrived: Cell<u64>,
    /// What kept this run from writing anything more, once it had begun.
    stopped: RefCell<Option<Stopped>>,
}

impl<S, H: PackageHost> Run<'_, S, H> {
    fn sites(&self) -> (Site, Site, String) {
        let task = self.task.borrow();
        (task.order.staging.clone(), task.target.public.clone(), task.target.distro.clone())
    }

    fn asks(&self) -> (String, AskSlot) {
        let task = self.task.borrow();
        let Site { place, repository } = &task.target.public;
        let ask = AskSlot {
            package: name(&task.order),
            distro: task.target.distro.clone(),
            release: format!("{}/{}", task.order.project_id, task.order.version),
            maturity: task.order.maturity,
            // One image at a time is brought to a repository: so its blobs are sent once for all of its tags, and nobody else
            // moves a floating tag, or writes a list of referrers, meanwhile.
            name: match &task.order.filename {
                Cargo::File(filename) => format!("{repository} {} {filename}", task.target.distro),
                Cargo::Image(_) => repository.clone(),
            },
            transfers: self.host.transfers(place),
            asked_at: task.slot_asked_at.unwrap_or(Timestamp(0)),
        };
        (place.clone(), ask)
    }
}

impl<S, H: PackageHost> Run<'_, S, H> {
    /// By which an act that was allowed writes no more once Slipway is stopped, or the name is taken back; a stop is kept, as
    /// what broke the act. The next run is told of a withdrawal when it asks whether it may begin, and ends.
    fn while_allowed(&self) -> WhileAllowed<'_, impl AsyncFn() -> Result<Option<String>, Silent>, H> {
        let why_not = async move || {
            let Order { project_id, version, key, .. } = self.task.borrow().order.clone();
            match self.host.may_end(project_id, &version, &key).await? {
                MayEnd::Now => Ok(None),
                MayEnd::Withdrawn(why) => Ok(Some(why)),
                MayEnd::Stopped(stopped) => {
                    let why = stopped.to_string();
                    self.stopped.replace(Some(stopped));
                    Ok(Some(why))
                }
            }
        };
        WhileAllowed { why_not, http: self.host }
    }
}

fn silent(silent: &Silent) -> Trouble {
    Trouble::passing(silent.to_string())
}

impl<S: Sql, H: PackageHost> Look for Run<'_, S, H> {
    async fn find(&self, side: Side) -> Result<Seen, Trouble> {
        let (staging, public, target) = self.sites();
        let (cargo, digest) = {
            let task = self.task.borrow();
            if planted(Planted::TrustsItsRecord) && task.slot_asked_at.is_some() && task.patience.begun.is_none() {
                return Ok(if side == Side::Staging { Seen::Digest(task.order.digest) } else { Seen::Nothing });
            }
            (task.order.filename.clone(), task.order.digest)
        };
        let (looked_at, under) = match side {
            Side::Staging => (staging, staged_under(&target, &digest)),
            Side::Public => (public, target),
        };
        self.host.find(&looked_at, &under, &cargo).await.map_err(|error| silent(&error))?
    }

    async fn served(&self) -> Result<Served, Trouble> {
        let (_, public, distro) = self.sites();
        let filename = self.task.borrow().order.filename.clone();
        self.host.served(&public, &distro, &filename).await.map_err(|error| silent(&error))?
    }
}

impl<S: Sql, H: PackageHost> Attempt for Run<'_, S, H> {
    async fn slot(&self) -> Slot {
        let asked_at = self.host.now();
        self.task.borrow_mut().slot_asked_at = Some(asked_at);
        let (place, ask) = self.asks();
        // An account that does not answer has perhaps lent the slot; its lease ends by itself.
        match self.host.slot(&place, &ask).await.unwrap_or(Slot::Wait { ms: 3000 }) {
            Slot::Lent if self.host.now().since(asked_at) > FRESH => Slot::LentLate,
            answer => answer,
        }
    }

    async fn may_act(&self) -> May {
        let asked_at = self.host.now();
        let ask = {
            let Task { order, target, .. } = &*self.task.borrow();
            Ask {
                project_id: order.project_id,
                version: order.version.clone(),
                key: order.key.clone(),
                distro: target.distro.clone(),
                approval: order.approval,
                digest: order.digest,
            }
        };
        let answer = self.host.may_act(&ask).await;
        if planted(Planted::ActsWithoutLeave) {
            return May::Now;
        }
        match answer {
            Ok(May::Now) if self.host.now().since(asked_at) > FRESH => May::Late,
            Ok(answer) => answer,
            Err(error) => May::Unknown(silent(&error)),
        }
    }

    fn begins(&self, act: Act) -> bool {
        let now = self.host.now();
        let written = {
            let mut task = self.task.borrow_mut();
            task.under_way = Some((now, act));
            task.patience.begun = Some(act);
            // The report that announces it.
            task.reports = task.reports.saturating_add(1);
            if planted(Planted::WritesNothingBeforeTheAct) { Ok(()) } else { self.work.began(&task) }
        };
        if written.is_err() {
            return false;
        }
        self.acted.set(Some((now, act)));
        true
    }

    async fn announces(&self, act: Act) {
        let task = self.task.borrow().clone();
        let step = match act {
            Act::Move => Step::Move,
            Act::Copy | Act::Look => Step::Copy,
        };
        let moves = Report::of(task.target.distro.clone(), TargetState::Releasing);
        let report = Report { step: Some(step), number: task.reports, ..moves };
        // What counts is reported at the end of the run.
        drop(self.host.report(&told(&task, &report)).await);
    }

    async fn ended(&self, how: &Result<(), NotShipped>) {
        let (place, AskSlot { package, distro, asked_at, .. }) = self.asks();
        // When this fails, the lease ends by itself.
        drop(self.host.slot_ended(&place, &SlotEnded { package, distro, asked_at, ending: Ending::of(how) }).await);
    }
}

impl<S: Sql, H: PackageHost> Courier for Run<'_, S, H> {
    fn random(&self) -> [u8; 16] {
        self.host.random()
    }

    fn broken_off(&self, blob: &Digest) -> Option<Token> {
        self.task.borrow().uploads.get(blob).cloned().map(Token::new)
    }

    fn goes_on_at(&self, blob: &Digest, address: Option<Token>) {
        let mut task = self.task.borrow_mut();
        let before = match &address {
            Some(address) => task.uploads.insert(*blob, address.expose().to_owned()),
            None => task.uploads.remove(blob),
        };
        if before.is_some() || address.is_some() {
            // What is not kept is sent again from its beginning.
            drop(self.work.began(&task));
        }
    }

    fn arrived(&self, bytes: u64) {
        self.arrived.set(self.arrived.get().saturating_add(bytes));
    }

    fn floats(&self, floated: Vec<Floated>) -> bool {
        let mut task = self.task.borrow_mut();
        Floated::add(&mut task.floating, floated);
        self.work.began(&task).is_ok()
    }
}

impl<S: Sql, H: PackageHost> Http for Run<'_, S, H> {
    async fn send(&self, request: WireRequest) -> Result<WireResponse, Unreachable> {
        self.while_allowed().send(request).await
    }

    async fn read(
        &self,
        request: WireRequest,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<WireResponse, Unreachable> {
        self.while_allowed().read(request, each).await
    }

    fn connections(&self) -> usize {
        self.host.connections()
    }
}

impl<S: Sql, H: PackageHost> Relay for Run<'_, S, H> {
    async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
        let (order, distro) = {
            let task = self.task.borrow();
            (task.order.clone(), task.target.distro.clone())
        };
        let until = self.began.map(|began| began + COPY_MAX);
        let target = Target { order: &order, distro: &distro, before: self.arrived.get() };
        self.while_allowed().goes_on().await?;
        let relayed = self.host.relay(&target, transfer, until).await;
        // The host calls a copy off when Slipway is stopped meanwhile. Then that is why it broke.
        if relayed.is_err() {
            drop(self.while_allowed().goes_on().await);
        }
        relayed
    }
}
