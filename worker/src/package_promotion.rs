//! One package of one release: its promotions, one after the other, driven by an alarm.
//!
//! The alarm's rule: arm the next one first, do what is due, write down how it ended, arm precisely, and never fail. A
//! handler that throws is tried six times and then dropped for ever; one that was killed finds its watchdog armed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::api::Step;
use slipway_core::promotion::{Attempt, Outcome, Promotion, promote};
use slipway_core::release::TargetState;
use slipway_core::report::{ATTEMPTS_MAX, Next, Report, report, unconfigured};
use slipway_fetch::Fetch;
use slipway_ledger::{Task, Work};
use slipway_wire::{
    Digest, Http, Relay, RelayError, Relayed, Request as WireRequest, Response as WireResponse, Transfer, Unreachable,
};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::message::{self, ToDestination, ToPackage, ToProject, package_name};
use crate::sql::DurableSql;
use crate::{clock, copy, settings};

/// When a killed run is taken up again. A run that lives longer is not disturbed: alarms of an object do not overlap.
const WATCHDOG: Duration = Duration::from_secs(20);
/// How long an alarm's run can last on Cloudflare, and so the longest that a slot can be needed:
/// <https://developers.cloudflare.com/durable-objects/api/alarms/>.
const LEASE_SECONDS: u64 = 15 * 60;
/// How long one small exchange with a package server may take. Its own proxies give up after 60 s.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(1);
/// When a report that the record did not acknowledge is sent again.
const REPORT_AGAIN: Duration = Duration::from_secs(2);
/// At or before now an alarm can stall, so the earliest is this much later.
const SOON: Duration = Duration::from_millis(5);

#[durable_object(alarm)]
pub struct PackagePromotion {
    state: State,
    env: Env,
    /// Transfers that wait to be redeemed, by nonce. In memory alone: they hold credentials.
    transfers: RefCell<BTreeMap<String, copy::Loaded>>,
}

impl DurableObject for PackagePromotion {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, transfers: RefCell::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToPackage = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }

    async fn alarm(&self) -> Result<Response> {
        if let Err(problem) = self.drive().await {
            worker::console_error!("a promotion's alarm: {}", problem.detail);
            self.state.storage().set_alarm(WATCHDOG).await?;
        }
        Response::empty()
    }
}

impl PackagePromotion {
    fn work(&self) -> std::result::Result<Work<DurableSql>, Problem> {
        Ok(Work::open(DurableSql::new(&self.state)).map_err(|error| worker::Error::RustError(error.to_string()))?)
    }

    async fn answer(&self, message: ToPackage) -> Answer {
        match message {
            ToPackage::Accept(order) => {
                self.work()?.accept(&order, clock::now())?;
                self.state.storage().set_alarm(SOON).await?;
                json(202, &())
            }
            ToPackage::Redeem { nonce } => {
                let loaded = self.transfers.borrow_mut().remove(&nonce);
                json(200, &loaded.ok_or_else(|| Problem::not_found("such transfer"))?)
            }
        }
    }

    /// Reports, runs what is due, reports, and arms the alarm for what is next.
    async fn drive(&self) -> std::result::Result<(), Problem> {
        let storage = self.state.storage();
        storage.set_alarm(WATCHDOG).await?;
        let work = self.work()?;
        // What is known already is told first: a run can take minutes.
        self.tell_reports(&work).await?;
        for (due_at, task) in work.open_tasks()? {
            if due_at <= clock::now() {
                self.run(&work, task).await?;
            }
        }
        self.tell_reports(&work).await?;
        // Orders may have come at every await above. From here to the call that arms the alarm nothing is awaited.
        let again = work.unreported()?.first().map(|_| clock::now() + REPORT_AGAIN);
        let next = work.open_tasks()?.first().map(|(due_at, _)| *due_at);
        match next.into_iter().chain(again).min() {
            Some(due_at) => storage.set_alarm(due_at.since(clock::now()).max(SOON)).await?,
            None => storage.delete_alarm().await?,
        }
        Ok(())
    }

    async fn tell_reports(&self, work: &Work<DurableSql>) -> std::result::Result<(), Problem> {
        for (task, report) in work.unreported()? {
            match self.report(&task, &report).await {
                Ok(()) => work.reported(&task.target.distro, &report)?,
                Err(error) => worker::console_error!("a report waits: {}", error.detail),
            }
        }
        Ok(())
    }

    /// One run of one target.
    async fn run(&self, work: &Work<DurableSql>, mut task: Task) -> std::result::Result<(), Problem> {
        let (promotion, transfers) = match self.open(&task) {
            Ok(opened) => opened,
            Err(error) => return Ok(work.ran(&task, &unconfigured(&task.target.distro, &error), None)?),
        };
        let patience = task.patience;
        // A run that is cut off writes nothing, so it counts as trouble until it has said otherwise. One whose runs are
        // all cut off, because it is longer than an alarm's run can be, ends like any other trouble.
        let cut_off = Outcome::Troubled("the run was cut off before it ended, as every one before it".to_owned());
        task.patience = patience.after(&cut_off, clock::now());
        work.began(&task)?;
        let outcome = if patience.troubled > ATTEMPTS_MAX {
            cut_off
        } else {
            let run = Run { object: self, task: &task, transfers, random: clock::random()? };
            let outcome = promote(&run, &run, &promotion).await;
            run.give_back().await;
            outcome
        };

        let now = clock::now();
        let (report, next) = report(&promotion, &outcome, patience, now);
        task.patience = patience.after(&outcome, now);
        let due_at = match next {
            Next::Settled => None,
            Next::After(wait) => Some(now + wait),
        };
        Ok(work.ran(&task, &report, due_at)?)
    }

    /// The task's places, with their secrets.
    fn open(&self, task: &Task) -> Result<(Promotion, u32)> {
        let config = settings::config()?;
        let promotion = Promotion {
            staging: settings::store(&self.env, &config, &task.order.staging)?,
            public: settings::store(&self.env, &config, &task.target.public)?,
            distro: task.target.distro.parse().map_err(|error| worker::Error::RustError(format!("{error}")))?,
            filename: task.order.filename.clone(),
            digest: task.order.digest,
            size: task.order.size,
        };
        Ok((promotion, settings::place(&config, &task.target.public.place)?.transfers))
    }

    async fn report(&self, task: &Task, report: &Report) -> std::result::Result<(), Problem> {
        let message = ToProject::Report {
            project_id: task.order.project_id,
            version: task.order.version.clone(),
            key: task.order.key.clone(),
            approval: task.order.approval,
            digest: task.order.digest,
            report: report.clone(),
        };
        let answer = message::tell(&message::project(&self.env, task.order.project_id)?, &message).await?;
        if answer.status_code() == 200 {
            Ok(())
        } else {
            Err(worker::Error::RustError(format!("the record answered {}", answer.status_code())).into())
        }
    }
}

/// What one run of a promotion borrows from its object.
struct Run<'a> {
    object: &'a PackagePromotion,
    task: &'a Task,
    transfers: u32,
    random: [u8; 16],
}

impl Run<'_> {
    fn holder(&self) -> String {
        format!("{}/{}", package_name(&self.task.order), self.task.target.distro)
    }

    async fn ask_for_slot(&self, message: &ToDestination) -> Result<bool> {
        let stub = message::destination(&self.object.env, &self.task.target.public.place)?;
        let mut answer = message::tell(&stub, message).await?;
        Ok(answer.status_code() == 200 && serde_json::from_str(&answer.text().await?)?)
    }

    async fn give_back(&self) {
        // When this fails, the lease ends by itself.
        drop(self.ask_for_slot(&ToDestination::Return { holder: self.holder() }).await);
    }
}

impl Attempt for Run<'_> {
    async fn slot(&self) -> bool {
        let lease = ToDestination::Lease { holder: self.holder(), transfers: self.transfers, seconds: LEASE_SECONDS };
        self.ask_for_slot(&lease).await.unwrap_or(false)
    }

    async fn begins(&self, step: Step) {
        let report = Report {
            distro: self.task.target.distro.clone(),
            state: TargetState::Releasing,
            step: Some(step),
            problem: None,
        };
        // For those who watch; what counts is reported at the end of the run.
        drop(self.object.report(self.task, &report).await);
    }

    fn random(&self) -> [u8; 16] {
        self.random
    }
}

impl Http for Run<'_> {
    async fn send(&self, request: WireRequest) -> std::result::Result<WireResponse, Unreachable> {
        Fetch::new(EXCHANGE_LIMIT).send(request).await
    }

    async fn read(
        &self,
        request: WireRequest,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> std::result::Result<WireResponse, Unreachable> {
        Fetch::new(EXCHANGE_LIMIT).read(request, each).await
    }
}

impl Relay for Run<'_> {
    async fn relay(&self, transfer: Transfer) -> std::result::Result<Relayed, RelayError> {
        let broken = |error: worker::Error| {
            RelayError::Broken(Unreachable { host: "the copy".to_owned(), why: error.to_string() })
        };
        let nonce = Digest::from_bytes(clock::random().map_err(broken)?).hex();
        let loaded = copy::Loaded::from_transfer(transfer).map_err(broken)?;
        self.object.transfers.borrow_mut().insert(nonce.clone(), loaded);
        let relayed = copy::send_out(&self.object.env, &package_name(&self.task.order), &nonce).await;
        self.object.transfers.borrow_mut().remove(&nonce);
        relayed
    }
}
