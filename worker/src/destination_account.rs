//! One account at one package server: its transfer slots, the readings that many share, and its sweeps.

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use slipway_core::api::{self, AdoptionRequest, SweptRepository};
use slipway_core::cargo::{Cargo, Name};
use slipway_core::config::Config;
use slipway_core::log::{Entry, Level};
use slipway_core::route::Site;
use slipway_core::store::Store;
use slipway_core::sweep::{Known, Repository, Swept};
use slipway_core::trouble::Trouble;
use slipway_edge::account::Account;
use slipway_edge::port::{AccountHost, SOON, Silent};
use slipway_edge::reading::{self, Readings};
use slipway_edge::slots::{self, StandingBy};
use slipway_edge::sweep::{self, NotAdopted, NotRecalled, Run, SweepHost};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::answer::{Answer, Problem, finish, json};
use crate::host::{Host, PLACE_LIMIT};
use crate::message::{self, ToAccount, ToPackage, ToProject, ask, tell};
use crate::sql::DurableSql;
use crate::{clock, settings};

/// When a new account is swept first. Whoever makes it has a release to bring out, which goes before.
const FIRST_SWEEP: Duration = Duration::from_mins(10);
/// When a sweep is tried again that ended otherwise than it should.
const SWEEP_AGAIN: Duration = Duration::from_mins(1);

#[durable_object(alarm)]
pub struct DestinationAccount {
    state: State,
    env: Env,
    account: OnceCell<Account<DurableSql>>,
    readings: Readings,
    standing_by: StandingBy,
    /// Whether this instance has seen that an alarm is armed.
    is_armed: Cell<bool>,
}

impl DurableObject for DestinationAccount {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            account: OnceCell::new(),
            readings: Readings::default(),
            standing_by: StandingBy::default(),
            is_armed: Cell::new(false),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message: ToAccount = serde_json::from_str(&request.text().await?)?;
        finish(self.answer(message).await)
    }

    async fn alarm(&self) -> Result<Response> {
        let next = match self.sweep().await {
            Ok(next) => next,
            Err(problem) => {
                crate::log::trouble!("a sweep: {}", problem.detail);
                SWEEP_AGAIN
            }
        };
        self.state.storage().set_alarm(next).await?;
        Response::empty()
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
                        crate::log::trouble!("a package that waits is not woken: {error}");
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
                self.keep_sweeping(&place).await?;
                json(200, &self.find(place, &repository, &distro, &filename).await)
            }
            ToAccount::Served { place, repository, distro, filename } => {
                json(200, &self.served(place, &repository, &distro, &filename).await)
            }
            ToAccount::AnsweredAt => json(200, &self.readings.answered_at()),
            ToAccount::Wake { place } => {
                self.keep_sweeping(&place).await?;
                json(200, &())
            }
            ToAccount::Sweep { place, repositories } => {
                self.keep_sweeping(&place).await?;
                for repository in repositories {
                    sweep::want(self.account()?, &repository)?;
                }
                self.state.storage().set_alarm(SOON).await?;
                json(202, &())
            }
            ToAccount::Strangers { place, repository, project_id } => {
                json(200, &sweep::shown(self.account()?, &Site { place, repository }, project_id)?)
            }
            ToAccount::Adopt { asked, actor } => self.adopt(&asked, &actor).await,
            ToAccount::Recall { list, actor } => self.recall(&list, &actor).await,
        }
    }

    /// Sees to it that an alarm is armed: once armed, each run arms the next.
    async fn keep_sweeping(&self, place: &str) -> std::result::Result<(), Problem> {
        if self.is_armed.get() {
            return Ok(());
        }
        sweep::know_place(self.account()?, place)?;
        if self.state.storage().get_alarm().await?.is_none() {
            self.state.storage().set_alarm(FIRST_SWEEP).await?;
        }
        self.is_armed.set(true);
        Ok(())
    }

    /// Reads the repositories of this place that are due, and says after what time to go on.
    async fn sweep(&self) -> std::result::Result<Duration, Problem> {
        // One that is killed is taken up again.
        self.state.storage().set_alarm(SWEEP_AGAIN).await?;
        let account = self.account()?;
        let Some(place) = sweep::place(account)? else { return Ok(sweep::EVERY) };
        let config = settings::config()?;
        let repositories = config.repositories(&place);
        let host = Host::new(AtPlace { env: &self.env, place: place.clone() }, PLACE_LIMIT);
        let began_at = clock::now();
        let Run { next, pages, requests } = sweep::run(account, &self.readings, &host, &repositories).await?;
        let now = clock::now();
        if pages > 0 {
            let told = format!("the sweep of `{place}` has read {pages} pages with {requests} requests in this run");
            let took = u64::try_from(now.since(began_at).as_millis()).ok();
            crate::log::write(&Entry { ms: took, ..Entry::note(Level::Info, &told) });
        }
        Ok(next.map_or(sweep::EVERY, |next| next.since(now).max(SOON)))
    }

    async fn adopt(&self, asked: &AdoptionRequest, actor: &str) -> Answer {
        let config: &Config = &*settings::config()?;
        let repositories = config.repositories(&asked.place);
        let repository: Option<&Repository> =
            repositories.iter().find(|of| of.is_public && of.site.repository == asked.repository);
        let repository = repository.ok_or_else(|| Problem::not_found("such repository"))?;
        let host = Host::new(AtPlace { env: &self.env, place: asked.place.clone() }, PLACE_LIMIT);
        match sweep::adopt(self.account()?, &host, repository, asked, actor).await {
            Ok(adopted) => json(200, &api::Adopted { adopted }),
            Err(NotAdopted::Sql(error)) => Err(error.into()),
            Err(error @ NotAdopted::None(_)) => Err(Problem::new(422, "no-stranger", format!("{error}."))),
            Err(error @ NotAdopted::KnownOtherwise(_)) => {
                Err(Problem::new(409, "known-otherwise", format!("{error}.")))
            }
            Err(error @ NotAdopted::Silent(_)) => Err(Problem::new(503, "not-written", format!("{error}. Try again."))),
        }
    }

    async fn recall(&self, list: &SweptRepository, actor: &str) -> Answer {
        let config: &Config = &*settings::config()?;
        let repositories = config.repositories(&list.place);
        let repository = repositories.iter().find(|of| of.is_public && of.site.repository == list.repository);
        let repository = repository.ok_or_else(|| Problem::not_found("such repository"))?;
        let host = Host::new(AtPlace { env: &self.env, place: list.place.clone() }, PLACE_LIMIT);
        match sweep::recall(self.account()?, &host, repository, list, actor).await {
            Ok(recalled) => json(200, &recalled),
            Err(NotRecalled::Sql(error)) => Err(error.into()),
            Err(error @ NotRecalled::NotTaken(_)) => Err(Problem::new(409, "not-read", format!("{error}."))),
            Err(error @ NotRecalled::NoList(_)) => Err(Problem::new(422, "no-list", format!("{error}."))),
            Err(error @ NotRecalled::Silent(_)) => {
                Err(Problem::new(503, "not-written", format!("{error}. Try again.")))
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

impl SweepHost for Host<AtPlace<'_>> {
    async fn swept(&self, project_id: u64, page: &Swept) -> std::result::Result<Vec<Known>, Silent> {
        let swept = ToProject::Swept { project_id, page: page.clone() };
        ask(message::project(self.object.env, project_id), &swept).await
    }

    async fn tell(&self, project_id: u64, told: &sweep::Told) -> std::result::Result<(), Silent> {
        let told = ToProject::Sweep { project_id, told: Box::new(told.clone()) };
        ask(message::project(self.object.env, project_id), &told).await
    }

    fn write(&self, entry: &Entry<'_>) {
        crate::log::write(entry);
    }
}
