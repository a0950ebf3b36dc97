//! One account at one package server: its transfer slots, and the readings that many share.

use std::cell::OnceCell;
use std::time::Duration;

use slipway_core::route::Site;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::account::Account;
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

#[durable_object(fetch)]
pub struct DestinationAccount {
    state: State,
    env: Env,
    account: OnceCell<Account<DurableSql>>,
    readings: Readings,
}

impl DurableObject for DestinationAccount {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, account: OnceCell::new(), readings: Readings::default() }
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
            ToAccount::Slot(ask) => {
                let random = u64::from_le_bytes(clock::random()?);
                json(200, &self.account()?.ask(&ask, clock::now(), random).map_err(failed)?)
            }
            ToAccount::Ended(ended) => {
                for called in self.account()?.ended(&ended, clock::now()).map_err(failed)? {
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
