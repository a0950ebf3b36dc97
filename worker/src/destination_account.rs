//! One account at one package server: its transfer slots, and the readings that many share.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use slipway_core::promotion::Slot;
use slipway_core::route::Site;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::account::{Account, AskSlot};
use slipway_edge::port::{AccountHost, Clock};
use slipway_edge::reading::{self, Readings};
use slipway_fetch::Fetch;
use slipway_ledger::SqlError;
use slipway_package::{Distro, Filename};
use slipway_wire::{Http, Request as WireRequest, Response as WireResponse, Unreachable};
use worker::{Delay, DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::message::{self, ToAccount, ToPackage, tell};
use crate::sql::DurableSql;
use crate::{clock, settings};

/// How long one small exchange with a package server may take. Its own proxies give up after 60 s.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(1);

/// How long one who comes next stands by, and how often it looks whether a transfer has ended.
const STANDS_BY: Duration = Duration::from_secs(8);
const GLANCE: Duration = Duration::from_millis(15);

#[durable_object(fetch)]
pub struct DestinationAccount {
    state: State,
    env: Env,
    account: OnceCell<Account<DurableSql>>,
    readings: Readings,
    /// Who holds a question for a slot open. In memory alone: whoever is not answered asks again.
    standing_by: RefCell<BTreeSet<(String, String)>>,
    /// How many transfers have ended: those who stand by ask again when it changes.
    endings: Cell<u64>,
}

impl DurableObject for DestinationAccount {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            account: OnceCell::new(),
            readings: Readings::default(),
            standing_by: RefCell::default(),
            endings: Cell::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToAccount = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }
}

impl DestinationAccount {
    fn account(&self) -> std::result::Result<&Account<DurableSql>, Problem> {
        if let Some(account) = self.account.get() {
            return Ok(account);
        }
        let opened =
            Account::open(DurableSql::new(&self.state)).map_err(|error| worker::Error::RustError(error.to_string()))?;
        Ok(self.account.get_or_init(|| opened))
    }

    async fn answer(&self, message: ToAccount) -> Answer {
        let failed = |error: SqlError| Problem::from(worker::Error::RustError(error.to_string()));
        match message {
            ToAccount::Slot(ask) => json(200, &self.slot(&ask).await?),
            ToAccount::Ended(ended) => {
                let called = self.account()?.ended(&ended, clock::now()).map_err(failed)?;
                self.endings.set(self.endings.get().wrapping_add(1));
                for called in called {
                    if self.standing_by.borrow().contains(&(called.package.clone(), called.distro.clone())) {
                        continue;
                    }
                    // One that does not hear it asks by itself after a while.
                    let stub = message::package(&self.env, &called.package)?;
                    if let Err(error) = tell(&stub, &ToPackage::Wake { distro: called.distro }).await {
                        worker::console_error!("a package that waits is not called: {error}");
                    }
                }
                json(200, &())
            }
            ToAccount::Renew { package, distro } => {
                self.account()?.renew(&package, &distro, clock::now()).map_err(failed)?;
                json(200, &())
            }
            ToAccount::Find { place, repository, distro, filename } => {
                json(200, &self.find(place, &repository, &distro, &filename).await)
            }
            ToAccount::Served { place, repository, distro, filename } => {
                json(200, &self.served(place, &repository, &distro, &filename).await)
            }
        }
    }

    /// Lends a slot. One who comes next stands by for a while: it has looked a moment ago, so it begins as soon as another
    /// ends. A look that is some seconds old does no harm: nothing is replaced whatever has happened since.
    async fn slot(&self, ask: &AskSlot) -> std::result::Result<Slot, Problem> {
        let failed = |error: SqlError| Problem::from(worker::Error::RustError(error.to_string()));
        let until = clock::now() + STANDS_BY;
        let name = (ask.package.clone(), ask.distro.clone());
        loop {
            let endings = self.endings.get();
            let random = u64::from_le_bytes(clock::random()?);
            let slot = self.account()?.ask(ask, clock::now(), random).map_err(failed)?;
            let stands_by = matches!(slot, Slot::Wait { .. })
                && clock::now() < until
                && self.account()?.is_next(ask, clock::now()).map_err(failed)?;
            if !stands_by {
                return Ok(slot);
            }
            let _here = StandsBy::of(&self.standing_by, &name);
            while self.endings.get() == endings && clock::now() < until {
                Delay::from(GLANCE).await;
            }
        }
    }

    async fn find(
        &self,
        place: String,
        repository: &str,
        distro: &str,
        filename: &Filename,
    ) -> std::result::Result<slipway_core::inventory::Seen, Trouble> {
        let (distro, account) = self.opened(distro)?;
        let host = Host { env: &self.env, place };
        reading::find(&self.readings, account, &host, repository, &distro, filename).await
    }

    async fn served(
        &self,
        place: String,
        repository: &str,
        distro: &str,
        filename: &Filename,
    ) -> std::result::Result<slipway_core::inventory::Served, Trouble> {
        let (distro, account) = self.opened(distro)?;
        let host = Host { env: &self.env, place };
        reading::served(&self.readings, account, &host, repository, &distro, filename).await
    }

    fn opened(&self, distro: &str) -> std::result::Result<(Distro, &Account<DurableSql>), Trouble> {
        let distro = distro.parse().map_err(|error| Trouble::passing(format!("{error}")))?;
        Ok((distro, self.account().map_err(|problem| Trouble::passing(problem.detail))?))
    }
}

/// A holder that stands by, until this is dropped: also when whoever asked is gone.
struct StandsBy<'a>(&'a RefCell<BTreeSet<(String, String)>>, (String, String));

impl<'a> StandsBy<'a> {
    fn of(all: &'a RefCell<BTreeSet<(String, String)>>, name: &(String, String)) -> Self {
        all.borrow_mut().insert(name.clone());
        Self(all, name.clone())
    }
}

impl Drop for StandsBy<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().remove(&self.1);
    }
}

struct Host<'a> {
    env: &'a Env,
    place: String,
}

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

impl AccountHost for Host<'_> {
    fn open(&self, repository: &str) -> std::result::Result<Store, String> {
        let site = Site { place: self.place.clone(), repository: repository.to_owned() };
        let open = || settings::store(self.env, &*settings::config()?, &site);
        open().map_err(|error| error.to_string())
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
