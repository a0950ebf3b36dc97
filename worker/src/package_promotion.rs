//! One package of one release. What it does is in [`slipway_edge::package`]; here are its alarm, its network and the
//! transfers that wait to be redeemed.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::inventory::{Seen, Served};
use slipway_core::promotion::Slot;
use slipway_core::route::Site;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::account::{AskSlot, SlotEnded};
use slipway_edge::package::{self, NothingToCarry, Running};
use slipway_edge::port::{Clock, PackageHost, Silent, Target, Told};
use slipway_fetch::Fetch;
use slipway_ledger::Work;
use slipway_package::Filename;
use slipway_wire::{
    Digest, Http, RelayError, Relayed, Request as WireRequest, Response as WireResponse, Transfer, Unreachable,
};
use worker::{Delay, DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::message::{self, ToAccount, ToPackage, ToProject, ask};
use crate::sql::DurableSql;
use crate::{clock, copy, settings};

/// When a killed run is taken up again. A run that lives longer is not disturbed: alarms of an object do not overlap.
const WATCHDOG: Duration = Duration::from_secs(20);
/// How long one small exchange with a package server may take. Its own proxies give up after 60 s.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(1);
/// At or before now an alarm can stall, so the earliest is this much later.
const SOON: Duration = Duration::from_millis(5);

#[durable_object(alarm)]
pub struct PackagePromotion {
    state: State,
    env: Env,
    work: OnceCell<Work<DurableSql>>,
    running: Running,
    /// Transfers under way, by nonce. In memory alone: they hold credentials.
    transfers: RefCell<BTreeMap<String, UnderWay>>,
}

/// A transfer that a stateless invocation makes, and where it goes.
struct UnderWay {
    /// What it is, until it is redeemed.
    loaded: Option<copy::Loaded>,
    watched: Watched,
}

/// Where the bytes of a transfer are counted.
#[derive(Clone)]
struct Watched {
    project_id: u64,
    version: slipway_core::release::Version,
    key: slipway_core::release::Key,
    distro: String,
}

impl DurableObject for PackagePromotion {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, work: OnceCell::new(), running: Running::default(), transfers: RefCell::default() }
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
    fn work(&self) -> std::result::Result<&Work<DurableSql>, Problem> {
        if let Some(work) = self.work.get() {
            return Ok(work);
        }
        let opened =
            Work::open(DurableSql::new(&self.state)).map_err(|error| worker::Error::RustError(error.to_string()))?;
        Ok(self.work.get_or_init(|| opened))
    }

    async fn answer(&self, message: ToPackage) -> Answer {
        match message {
            ToPackage::Accept(order) => {
                self.work()?.accept(&order, clock::now())?;
                self.state.storage().set_alarm(SOON).await?;
                json(202, &())
            }
            ToPackage::Wake { distro } => {
                self.work()?.wake(&distro, clock::now())?;
                self.state.storage().set_alarm(SOON).await?;
                json(200, &())
            }
            ToPackage::Redeem { nonce } => {
                let loaded = self.transfers.borrow_mut().get_mut(&nonce).and_then(|transfer| transfer.loaded.take());
                json(200, &loaded.ok_or_else(|| Problem::not_found("such transfer"))?)
            }
            ToPackage::Sent { nonce, bytes } => {
                let watched = self.transfers.borrow().get(&nonce).map(|transfer| transfer.watched.clone());
                let Watched { project_id, version, key, distro } =
                    watched.ok_or_else(|| Problem::not_found("such transfer"))?;
                let sent = ToProject::Sent { project_id, version, key, distro, bytes };
                // For those who watch: the next one comes in a second.
                drop(ask::<()>(message::project(&self.env, project_id), &sent).await);
                json(200, &())
            }
            ToPackage::Carry { distro, approvals } => {
                let carried = package::carry(self.work()?, &Host(self), &self.running, &distro, &approvals).await;
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
        package::drive(self.work()?, &Host(self), &self.running).await?;
        self.arm().await
    }

    /// Arms the alarm for what is due next. Orders may have come at every await before; from here to the call that arms it
    /// nothing is awaited.
    async fn arm(&self) -> std::result::Result<(), Problem> {
        let storage = self.state.storage();
        match package::next(self.work()?, &Host(self), &self.running)? {
            Some(due_at) => storage.set_alarm(due_at.since(clock::now()).max(SOON)).await?,
            None => storage.delete_alarm().await?,
        }
        Ok(())
    }
}

/// What the runtime lends to [`slipway_edge::package`].
struct Host<'a>(&'a PackagePromotion);

impl Clock for Host<'_> {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn random(&self) -> [u8; 16] {
        clock::random().unwrap_or_default()
    }

    async fn pause(&self, wait: Duration) {
        Delay::from(wait).await;
    }
}

impl PackageHost for Host<'_> {
    fn open(&self, site: &Site) -> std::result::Result<Store, String> {
        let open = || settings::store(&self.0.env, &*settings::config()?, site);
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
        let loaded = copy::Loaded::from_transfer(transfer, until).map_err(broken)?;
        let watched = Watched {
            project_id: target.order.project_id,
            version: target.order.version.clone(),
            key: target.order.key.clone(),
            distro: target.distro.to_owned(),
        };
        self.0.transfers.borrow_mut().insert(nonce.clone(), UnderWay { loaded: Some(loaded), watched });
        let relayed = copy::send_out(&self.0.env, &package::name(target.order), &nonce).await;
        self.0.transfers.borrow_mut().remove(&nonce);
        relayed
    }

    async fn slot(&self, place: &str, slot: &AskSlot) -> std::result::Result<Slot, Silent> {
        ask(message::account(&self.0.env, place), &ToAccount::Slot(slot.clone())).await
    }

    async fn slot_ended(&self, place: &str, ended: &SlotEnded) -> std::result::Result<(), Silent> {
        ask(message::account(&self.0.env, place), &ToAccount::Ended(ended.clone())).await
    }

    async fn renew_slot(&self, place: &str, package: &str, distro: &str) -> std::result::Result<(), Silent> {
        let renew = ToAccount::Renew { package: package.to_owned(), distro: distro.to_owned() };
        ask(message::account(&self.0.env, place), &renew).await
    }

    async fn find(
        &self,
        site: &Site,
        distro: &str,
        filename: &Filename,
    ) -> std::result::Result<std::result::Result<Seen, Trouble>, Silent> {
        let (place, repository) = (site.place.clone(), site.repository.clone());
        let find = ToAccount::Find { place, repository, distro: distro.to_owned(), filename: filename.clone() };
        ask(message::account(&self.0.env, &site.place), &find).await
    }

    async fn served(
        &self,
        site: &Site,
        distro: &str,
        filename: &Filename,
    ) -> std::result::Result<std::result::Result<Served, Trouble>, Silent> {
        let (place, repository) = (site.place.clone(), site.repository.clone());
        let served = ToAccount::Served { place, repository, distro: distro.to_owned(), filename: filename.clone() };
        ask(message::account(&self.0.env, &site.place), &served).await
    }

    async fn report(&self, told: &Told) -> std::result::Result<(), Silent> {
        let message = ToProject::Report(Box::new(told.clone()));
        ask(message::project(&self.0.env, told.project_id), &message).await
    }
}

impl Http for Host<'_> {
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
