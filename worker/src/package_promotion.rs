//! One package of one release. What it does is in [`slipway_edge::package`]; here are its alarm, its network and the
//! transfers that wait to be redeemed.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use futures_util::future::join;
use slipway_core::cargo::Cargo;
use slipway_core::inventory::{Seen, Served};
use slipway_core::log::{Entry, Event, Level, withdrawal_work, work};
use slipway_core::promotion::{May, MayEnd, Slot};
use slipway_core::release::{Key, Version};
use slipway_core::route::Site;
use slipway_core::stop::Stopped;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};
use slipway_edge::account::{AskSlot, SlotEnded};
use slipway_edge::package::{self, NothingToCarry, Running};
use slipway_edge::port::{PackageHost, SOON, Silent, Target, Told};
use slipway_edge::withdraw;
use slipway_ledger::{Ask, Work};
use slipway_wire::{Digest, RelayError, Relayed, Transfer, Unreachable};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::host::{Host, PLACE_LIMIT, WATCHDOG};
use crate::message::{self, ToAccount, ToPackage, ToProject, ask};
use crate::sql::DurableSql;
use crate::{clock, copy, log, settings};

#[durable_object(alarm)]
pub struct PackagePromotion {
    state: State,
    env: Env,
    work: OnceCell<Work<DurableSql>>,
    running: Running,
    /// Transfers under way, by nonce. In memory alone: they hold credentials.
    transfers: RefCell<BTreeMap<String, UnderWay>>,
    /// How many bytes of a target have arrived in transfers that have ended: an image takes many.
    arrived: RefCell<BTreeMap<String, u64>>,
}

/// A transfer that a stateless invocation makes, and where it goes.
struct UnderWay {
    /// What it is, until it is redeemed.
    loaded: Option<copy::Loaded>,
    watched: Watched,
    /// How many of its bytes have been sent.
    sent: u64,
}

/// Where the bytes of a transfer are counted.
#[derive(Clone)]
struct Watched {
    project_id: u64,
    version: Version,
    key: Key,
    distro: String,
}

impl DurableObject for PackagePromotion {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            work: OnceCell::new(),
            running: Running::default(),
            transfers: RefCell::default(),
            arrived: RefCell::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToPackage = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }

    async fn alarm(&self) -> Result<Response> {
        if let Err(problem) = self.drive().await {
            let what = format!("a promotion's alarm: {}", problem.detail);
            let tasks = self.work().ok().and_then(|work| work.open_tasks().ok()).unwrap_or_default();
            let entry = Entry::note(Level::Error, &what);
            log::write(&match tasks.first().map(|(_, task)| &task.order) {
                Some(of) => {
                    let job = work(of.project_id, of.job_id);
                    Entry { work: Some(job), project: Some(of.project_id), ..entry }.about(&of.version, &of.key)
                }
                None => entry,
            });
            self.state.storage().set_alarm(WATCHDOG).await?;
        }
        Response::empty()
    }
}

impl PackagePromotion {
    fn work(&self) -> std::result::Result<&Work<DurableSql>, Problem> {
        if let Some(work) = self.work.get() {
            return Ok(work);
        }
        let opened = Work::open(DurableSql::new(&self.state))?;
        Ok(self.work.get_or_init(|| opened))
    }

    fn host(&self) -> Host<&Self> {
        Host::new(self, PLACE_LIMIT)
    }

    async fn answer(&self, message: ToPackage) -> Answer {
        match message {
            ToPackage::Accept(order) => {
                self.work()?.accept(&order, clock::now())?;
                log::write(&Entry {
                    work: Some(work(order.project_id, order.job_id)),
                    project: Some(order.project_id),
                    release: Some(order.version.as_str()),
                    key: Some(order.key.as_str()),
                    ..Entry::of(Level::Info, Event::Order)
                });
                self.state.storage().set_alarm(SOON).await?;
                json(202, &())
            }
            ToPackage::Withdraw(withdrawal) => {
                self.work()?.accept_withdrawal(&withdrawal, clock::now())?;
                log::write(&line_of(&withdrawal));
                self.state.storage().set_alarm(SOON).await?;
                json(202, &())
            }
            ToPackage::Wake { distro } => {
                self.work()?.wake(&distro, clock::now())?;
                self.work()?.wake_withdrawal(&distro, clock::now())?;
                self.state.storage().set_alarm(SOON).await?;
                json(200, &())
            }
            ToPackage::Redeem { nonce } => {
                let loaded = self.transfers.borrow_mut().get_mut(&nonce).and_then(|transfer| transfer.loaded.take());
                json(200, &loaded.ok_or_else(|| Problem::not_found("such transfer"))?)
            }
            ToPackage::Sent { nonce, bytes } => {
                let watched = self.transfers.borrow_mut().get_mut(&nonce).map(|transfer| {
                    transfer.sent = bytes;
                    transfer.watched.clone()
                });
                let Watched { project_id, version, key, distro } =
                    watched.ok_or_else(|| Problem::not_found("such transfer"))?;
                let bytes = self.bytes_of(&distro);
                let sent = ToProject::Sent { project_id, version, key, distro, bytes };
                let stopped: Option<Stopped> = ask(message::project(&self.env, project_id), &sent).await?;
                json(200, &stopped)
            }
            ToPackage::Carry { distro, approvals } => {
                // Whoever carries it may go without a word; what runs here ends then.
                self.state.storage().set_alarm(WATCHDOG).await?;
                let carried = package::carry(self.work()?, &self.host(), &self.running, &distro, &approvals).await;
                self.arm().await?;
                match carried {
                    Ok(()) => json(200, &()),
                    Err(NothingToCarry::Ledger(error)) => Err(error.into()),
                    Err(error) => Err(Problem::new(409, "nothing-to-carry", format!("{error}."))),
                }
            }
        }
    }

    async fn drive(&self) -> std::result::Result<(), Problem> {
        self.state.storage().set_alarm(WATCHDOG).await?;
        // A copy of minutes holds up nothing that is to be taken back: that is another target's.
        let (work, host) = (self.work()?, self.host());
        let (driven, taken_back) = join(package::drive(work, &host, &self.running), withdraw::drive(work, &host)).await;
        driven?;
        taken_back?;
        self.arm().await
    }

    /// A transfer begins. What is known to have arrived counts from now on; when none is under way, nothing else does.
    fn begins(&self, target: &Target<'_>) {
        let is_first = !self.transfers.borrow().values().any(|transfer| transfer.watched.distro == target.distro);
        let mut arrived = self.arrived.borrow_mut();
        let before = arrived.entry(target.distro.to_owned()).or_default();
        *before = if is_first { target.before } else { target.before.max(*before) };
    }

    /// How many bytes of a target have been sent, of all its blobs.
    fn bytes_of(&self, distro: &str) -> u64 {
        let transfers = self.transfers.borrow();
        let own = transfers.values().filter(|transfer| transfer.watched.distro == distro);
        let under_way = own.map(|transfer| transfer.sent).fold(0, u64::saturating_add);
        under_way.saturating_add(self.arrived.borrow().get(distro).copied().unwrap_or_default())
    }

    /// Arms the alarm for what is due next. Orders may have come at every await before; from here to the call that arms it
    /// nothing is awaited.
    async fn arm(&self) -> std::result::Result<(), Problem> {
        let storage = self.state.storage();
        let promoted = package::next(self.work()?, &self.host(), &self.running)?;
        let taken_back = withdraw::next(self.work()?, &self.host())?;
        match promoted.into_iter().chain(taken_back).min() {
            Some(due_at) => storage.set_alarm(due_at.since(clock::now()).max(SOON)).await?,
            None => storage.delete_alarm().await?,
        }
        Ok(())
    }
}

impl PackageHost for Host<&PackagePromotion> {
    fn open(&self, site: &Site) -> std::result::Result<Store, String> {
        let open = || settings::store(&self.object.env, &*settings::config()?, site);
        open().map_err(|error| error.to_string())
    }

    fn transfers(&self, place: &str) -> u32 {
        settings::config().ok().and_then(|config| config.places.get(place).map(|place| place.transfers)).unwrap_or(1)
    }

    async fn relay(
        &self,
        target: &Target<'_>,
        transfer: Transfer,
        until: Option<Timestamp>,
    ) -> std::result::Result<Relayed, RelayError> {
        let broken = |error: worker::Error| {
            RelayError::Broken(Unreachable { host: "the copy".to_owned(), why: error.to_string() })
        };
        let nonce = Digest::from_bytes(clock::random().map_err(broken)?).hex();
        let size = transfer.size;
        let loaded = copy::Loaded::from_transfer(transfer, until).map_err(broken)?;
        let watched = Watched {
            project_id: target.order.project_id,
            version: target.order.version.clone(),
            key: target.order.key.clone(),
            distro: target.distro.to_owned(),
        };
        self.object.begins(target);
        self.object.transfers.borrow_mut().insert(nonce.clone(), UnderWay { loaded: Some(loaded), watched, sent: 0 });
        let relayed = copy::send_out(&self.object.env, &package::name(target.order), &nonce).await;
        let ended = self.object.transfers.borrow_mut().remove(&nonce);
        // One that was refused after its last byte is sent again, and would be counted twice.
        if let (Ok(Relayed::Answered(answer)), Some(ended)) = (&relayed, ended)
            && answer.status().is_success()
        {
            let mut arrived = self.object.arrived.borrow_mut();
            let before = arrived.entry(ended.watched.distro).or_default();
            *before = before.saturating_add(size);
        }
        relayed
    }

    async fn slot(&self, place: &str, slot: &AskSlot) -> std::result::Result<Slot, Silent> {
        ask(message::account(&self.object.env, place), &ToAccount::Slot(slot.clone())).await
    }

    async fn may_act(&self, question: &Ask) -> std::result::Result<May, Silent> {
        ask(message::project(&self.object.env, question.project_id), &ToProject::MayAct(Box::new(question.clone())))
            .await
    }

    async fn may_end(&self, project_id: u64, version: &Version, key: &Key) -> std::result::Result<MayEnd, Silent> {
        let asked = ToProject::MayEnd { project_id, version: version.clone(), key: key.clone() };
        ask(message::project(&self.object.env, project_id), &asked).await
    }

    async fn stopped(&self, project_id: u64) -> std::result::Result<Option<Stopped>, Silent> {
        ask(message::project(&self.object.env, project_id), &ToProject::Stopped { project_id }).await
    }

    async fn slot_ended(&self, place: &str, ended: &SlotEnded) -> std::result::Result<(), Silent> {
        ask(message::account(&self.object.env, place), &ToAccount::Ended(ended.clone())).await
    }

    async fn renew_slot(&self, place: &str, package: &str, distro: &str) -> std::result::Result<(), Silent> {
        let renew = ToAccount::Renew { package: package.to_owned(), distro: distro.to_owned() };
        ask(message::account(&self.object.env, place), &renew).await
    }

    async fn find(
        &self,
        site: &Site,
        under: &str,
        cargo: &Cargo,
    ) -> std::result::Result<std::result::Result<Seen, Trouble>, Silent> {
        message::find(&self.object.env, site, under, cargo).await
    }

    async fn served(
        &self,
        site: &Site,
        target: &str,
        cargo: &Cargo,
    ) -> std::result::Result<std::result::Result<Served, Trouble>, Silent> {
        let (place, repository) = (site.place.clone(), site.repository.clone());
        let served = ToAccount::Served { place, repository, distro: target.to_owned(), filename: cargo.clone() };
        ask(message::account(&self.object.env, &site.place), &served).await
    }

    async fn report(&self, told: &Told) -> std::result::Result<(), Silent> {
        log::write(&Entry {
            work: Some(work(told.project_id, told.job_id)),
            project: Some(told.project_id),
            release: Some(told.version.as_str()),
            key: Some(told.key.as_str()),
            target: Some(&told.report.distro),
            state: Some(told.report.state.code()),
            code: told.report.problem.as_ref().map(|problem| problem.code.as_str()),
            ..Entry::of(Level::Info, Event::Report)
        });
        let message = ToProject::Report(Box::new(told.clone()));
        ask(message::project(&self.object.env, told.project_id), &message).await
    }

    async fn may_withdraw(&self, withdrawal: &Withdrawal) -> std::result::Result<MayWithdraw, Silent> {
        let Withdrawal { project_id, number, .. } = *withdrawal;
        ask(message::project(&self.object.env, project_id), &ToProject::MayWithdraw { project_id, number }).await
    }

    async fn report_withdrawal(
        &self,
        withdrawal: &Withdrawal,
        report: &WithdrawalReport,
    ) -> std::result::Result<(), Silent> {
        log::write(&Entry {
            state: Some(report.state.code()),
            code: report.problem.as_ref().map(|problem| problem.code.as_str()),
            ..line_of(withdrawal)
        });
        let message = ToProject::Withdrawal { withdrawal: Box::new(withdrawal.clone()), report: report.clone() };
        ask(message::project(&self.object.env, withdrawal.project_id), &message).await
    }
}

/// A line about what is taken back.
fn line_of(withdrawal: &Withdrawal) -> Entry<'_> {
    Entry {
        work: Some(withdrawal_work(withdrawal.project_id, withdrawal.number)),
        project: Some(withdrawal.project_id),
        release: Some(withdrawal.version.as_str()),
        key: Some(withdrawal.key.as_str()),
        target: Some(&withdrawal.distro),
        ..Entry::of(Level::Info, Event::Withdrawal)
    }
}
