//! One account at one package server: its transfer slots, and the readings that many share.

use std::cell::OnceCell;

use slipway_core::cargo::{Cargo, Name};
use slipway_core::route::Site;
use slipway_core::store::Store;
use slipway_core::trouble::Trouble;
use slipway_edge::account::Account;
use slipway_edge::port::AccountHost;
use slipway_edge::reading::{self, Readings};
use slipway_edge::slots::{self, StandingBy};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::host::{Host, PLACE_LIMIT};
use crate::message::{self, ToAccount, ToPackage, tell};
use crate::sql::DurableSql;
use crate::{clock, settings};

#[durable_object(fetch)]
pub struct DestinationAccount {
    state: State,
    env: Env,
    account: OnceCell<Account<DurableSql>>,
    readings: Readings,
    standing_by: StandingBy,
}

impl DurableObject for DestinationAccount {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, account: OnceCell::new(), readings: Readings::default(), standing_by: StandingBy::default() }
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
        let opened = Account::open(DurableSql::new(&self.state))?;
        Ok(self.account.get_or_init(|| opened))
    }

    async fn answer(&self, message: ToAccount) -> Answer {
        let host = Host::new((), PLACE_LIMIT);
        match message {
            ToAccount::Slot(ask) => json(200, &slots::slot(&self.standing_by, self.account()?, &host, &ask).await?),
            ToAccount::Ended(ended) => {
                for woken in slots::ended(&self.standing_by, self.account()?, &host, &ended)? {
                    // One that does not hear it asks by itself after a while.
                    let stub = message::package(&self.env, &woken.package)?;
                    if let Err(error) = tell(&stub, &ToPackage::Wake { distro: woken.distro }).await {
                        worker::console_error!("a package that waits is not woken: {error}");
                    }
                }
                json(200, &())
            }
            ToAccount::Measure => json(200, &self.account()?.measured(clock::now())?),
            ToAccount::Renew { package, distro } => {
                self.account()?.renew(&package, &distro, clock::now())?;
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
        cargo: &Cargo,
    ) -> std::result::Result<slipway_core::inventory::Seen, Trouble> {
        let (name, account) = self.opened(distro, cargo)?;
        let host = Host::new(AtPlace { env: &self.env, place }, PLACE_LIMIT);
        reading::find(&self.readings, account, &host, repository, &name).await
    }

    async fn served(
        &self,
        place: String,
        repository: &str,
        distro: &str,
        cargo: &Cargo,
    ) -> std::result::Result<slipway_core::inventory::Served, Trouble> {
        let (name, account) = self.opened(distro, cargo)?;
        let host = Host::new(AtPlace { env: &self.env, place }, PLACE_LIMIT);
        reading::served(&self.readings, account, &host, repository, &name).await
    }

    fn opened(&self, under: &str, cargo: &Cargo) -> std::result::Result<(Name, &Account<DurableSql>), Trouble> {
        let name = Name::of(under, cargo).map_err(|error| Trouble::passing(error.to_string()))?;
        Ok((name, self.account().map_err(|problem| Trouble::passing(problem.detail))?))
    }
}

/// What the port needs: which place the account is at.
struct AtPlace<'a> {
    env: &'a Env,
    place: String,
}

impl AccountHost for Host<AtPlace<'_>> {
    fn open(&self, repository: &str) -> std::result::Result<Store, String> {
        let site = Site { place: self.object.place.clone(), repository: repository.to_owned() };
        let open = || settings::store(self.object.env, &*settings::config()?, &site);
        open().map_err(|error| error.to_string())
    }
}
