//! What becomes of staged packages: the record's alarm has a run every hour, and whoever asks is shown its list.

use std::time::Duration;

use futures_util::future::{Either, select};
use slipway_core::api;
use slipway_core::cargo::{Cargo, Name, TargetName};
use slipway_core::config::Config;
use slipway_core::inventory::Served;
use slipway_core::log::{Entry, Event, Level, retention_work};
use slipway_core::retention::{Consent, Decision};
use slipway_core::route::Site;
use slipway_core::store::{self, Around, Going, Kept, Look, Removed, Store};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::port::{Clock as _, ProjectHost, Silent};
use slipway_edge::retention::{self, Listed, ListedSoFar, StagingHost};
use slipway_ledger::{Record, Removal, StagedObject};
use slipway_wire::{Digest, Http};
use worker::Delay;

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::host::{Host, PLACE_LIMIT};
use crate::message::{self, RetentionPart, ToAccount, ToProject, ask};
use crate::sql::DurableSql;
use crate::{clock, settings};

/// How long a run may hold up an alarm. One that is cut off goes on with the next.
const RUN_LIMIT: Duration = Duration::from_secs(30);
/// When one that is not over goes on.
const GOES_ON: Duration = Duration::from_secs(1);

impl ProjectRecord {
    /// Does what is due of staged packages, and says when the next is.
    pub(super) async fn retain(
        &self,
        record: &Record<DurableSql>,
        config: &Config,
    ) -> std::result::Result<Option<Timestamp>, Problem> {
        let Some(project) = record.project_id()?.and_then(|id| config.project_of_id(id)) else { return Ok(None) };
        // What was lent comes back, whether or not anything is staged here.
        record.end_loans(clock::now())?;
        let due_at = retention::due_at(record, clock::now())?;
        // A record without anything staged, or that was, needs no alarm.
        if record.staged_bytes()?.is_empty() && record.removals()?.is_empty() && record.giving_way()?.is_empty() {
            return Ok(None);
        }
        if due_at > clock::now() {
            return Ok(Some(due_at));
        }
        let host = Host::new(self, PLACE_LIMIT);
        let run = std::pin::pin!(retention::run(record, &host, config, project));
        match select(run, Delay::from(RUN_LIMIT)).await {
            // A run that is not over lets whatever else is due have its turn.
            Either::Left((survey, _)) => Ok(Some(survey?.due_at.max(clock::now() + GOES_ON))),
            Either::Right(_) => {
                let what = format!("a run of the retention of {} was cut off after 30 s; it goes on", project.name);
                host.write(&Entry {
                    work: Some(retention_work(project.id, record.run_number()?)),
                    project: Some(project.id),
                    ..Entry::of(Level::Error, Event::Retention).saying(&what)
                });
                Ok(Some(retention::due_at(record, clock::now())?.max(clock::now() + GOES_ON)))
            }
        }
    }

    /// A part of the list that the next run would go by.
    pub(super) async fn retention(&self, project_id: u64, from: Option<ListedSoFar>) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let record = self.record()?;
        let host = Host::new(self, PLACE_LIMIT);
        let (listed, next) = retention::list(record, &host, &config, project, from).await?;
        let places = record.staged_bytes()?.into_iter().map(|(place, bytes)| {
            let limit = config.places.get(&place).and_then(|place| place.storage_limit).map(|limit| limit.0);
            api::StagedBytes { place, bytes, limit, all: None }
        });
        let list = api::Retention {
            project: api::Project { id: project.id, name: project.name.to_string() },
            at: host.now().to_string(),
            enabled: config.retention.enabled,
            places: places.collect(),
            packages: listed.iter().map(shown).collect(),
        };
        json(200, &RetentionPart { list, next })
    }

    /// Whether this project can do without a file that another wants to delete. What an imported record knows may be old or
    /// forged, so until it is started it says nothing, and nothing that it may have is deleted.
    pub(super) fn can_do_without(&self, project_id: u64, object: &StagedObject, lend: bool) -> Answer {
        self.know_id(project_id)?;
        self.has_started()?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        json(200, &self.record()?.leave_to_another(&config, project, object, lend, clock::now())?)
    }

    /// The images that this project has in a repository in which another deletes one. An imported record is silent here, too.
    pub(super) fn images_in(&self, project_id: u64, staging: &Site) -> Answer {
        self.know_id(project_id)?;
        self.has_started()?;
        json(200, &self.record()?.images_in(staging, clock::now())?)
    }
}

/// What is deleted, and what of it stays.
fn deleted(stays: &[(Digest, String)]) -> String {
    let Some((_, by)) = stays.first() else { return "it is deleted from staging.".to_owned() };
    let (parts, what) = match stays.len() {
        1 => ("one of its parts stays".to_owned(), "needs it"),
        count => (format!("{count} of its parts stay"), "needs one of them"),
    };
    format!("it is deleted from staging, and {parts}: {by} {what}.")
}

/// A package of the list, as the API shows it.
fn shown(listed: &Listed) -> api::Retained {
    let (decision, reason, why) = match &listed.decision {
        Decision::Keep(keep) => ("keep", keep.code(), format!("kept: {keep}.")),
        Decision::TakeBack(keep) => {
            ("take_back", keep.code(), format!("its deletion was announced, and is taken back: {keep}."))
        }
        Decision::Announce(cause) => ("announce", cause.code(), "its deletion is announced.".to_owned()),
        Decision::Mark(cause) => ("mark", cause.code(), "it is marked to be deleted after the wait.".to_owned()),
        Decision::Delete(cause) if listed.waits_for_limits => {
            ("keep", cause.code(), "it is deleted by a later run: this one is at its limits.".to_owned())
        }
        Decision::Delete(cause) => ("delete", cause.code(), deleted(&listed.stays)),
    };
    let package = &listed.package;
    api::Retained {
        version: package.version.clone(),
        key: package.key.clone(),
        place: package.staging.place.clone(),
        repository: package.staging.repository.clone(),
        name: package.cargo.to_string(),
        digest: package.digest,
        size: package.size,
        decision: decision.to_owned(),
        reason: reason.to_owned(),
        why,
        stage: package.known.progress.map(|progress| progress.stage.code().to_owned()),
        expires_at: listed.expires_at.map(|at| at.to_string()),
    }
}

/// Where something is staged, and as what.
fn named(host: &Host<&ProjectRecord>, staging: &Site, under: &str, cargo: &Cargo) -> Result<(Store, Name), Trouble> {
    let store = ProjectHost::open(host, staging).map_err(Trouble::passing)?;
    let name = Name::of(under, cargo).map_err(|error| Trouble::passing(error.to_string()))?;
    Ok((store, name))
}

impl StagingHost for Host<&ProjectRecord> {
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

    async fn arrival(&self, site: &Site, under: &str, cargo: &Cargo) -> Result<Option<Timestamp>, Trouble> {
        let config = settings::config().map_err(|error| Trouble::passing(error.to_string()))?;
        let store = settings::store(&self.object.env, &config, site);
        let store = store.map_err(|error| Trouble::passing(error.to_string()))?;
        match (under.parse(), cargo) {
            (Ok(TargetName::Distro(distro)), Cargo::File(filename)) => store.arrival(self, &distro, filename).await,
            _ => Ok(None),
        }
    }

    async fn server_time(&self, place: &str) -> Result<Option<Timestamp>, Trouble> {
        let config = settings::config().map_err(|error| Trouble::passing(error.to_string()))?;
        let place = settings::place(&config, place).map_err(|error| Trouble::passing(error.to_string()))?;
        store::server_time(self, &place.url).await
    }

    async fn can_do_without(&self, project_id: u64, object: &StagedObject, lend: bool) -> Result<Consent, Silent> {
        let asked = ToProject::CanDoWithout { project_id, object: object.clone(), lend };
        ask(message::project(&self.object.env, project_id), &asked).await
    }

    async fn images_in(&self, project_id: u64, staging: &Site) -> Result<Kept, Silent> {
        let asked = ToProject::ImagesIn { project_id, staging: staging.clone() };
        ask(message::project(&self.object.env, project_id), &asked).await
    }

    async fn has_whole(&self, removal: &Removal) -> Result<bool, Trouble> {
        let store = ProjectHost::open(self, &removal.staging).map_err(Trouble::passing)?;
        store.has_whole(self, removal.digest).await
    }

    async fn look(&self, object: &StagedObject, around: Around<'_>) -> Result<Look, Trouble> {
        let under = object.under.first().map(String::as_str).unwrap_or_default();
        let (store, name) = named(self, &object.staging, under, &object.cargo)?;
        store.look(self, &name, object.digest, around).await
    }

    async fn parts_here(&self, removal: &Removal) -> Result<Vec<Digest>, Trouble> {
        let store = ProjectHost::open(self, &removal.staging).map_err(Trouble::passing)?;
        store.parts_here(self, &removal.parts).await
    }

    async fn remove(&self, http: &impl Http, removal: &Removal, going: &Going) -> Result<(), Trouble> {
        let (store, name) = named(self, &removal.staging, &removal.under, &removal.cargo)?;
        match store.take_out(http, &name, removal.digest, going).await? {
            Removed::Whole | Removed::Absent => Ok(()),
            Removed::TagOnly(why) | Removed::Needed(why) | Removed::Unsupported(why) => Err(Trouble::passing(why)),
            Removed::Other(found) => Err(Trouble::passing(format!("other bytes have its name by now: {found}"))),
        }
    }
}
