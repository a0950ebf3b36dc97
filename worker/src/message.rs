//! What the edge's objects say to each other, and how to reach them.
//!
//! An old version's message may meet a new version's object while a deployment rolls out, so fields are only added, and
//! every added one has a default.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slipway_core::api::{self, AdoptionRequest, ReleasePatch, SweptRepository};
use slipway_core::audit::Format;
use slipway_core::cargo::Cargo;
use slipway_core::inventory::Seen;
use slipway_core::promotion::Order;
use slipway_core::query::ActivityQuery;
use slipway_core::release::{Key, ReleaseState, Version};
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::stop::Word;
use slipway_core::sweep::Swept;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::{Withdrawal, WithdrawalReport};
use slipway_edge::account::{AskSlot, SlotEnded};
use slipway_edge::changes::{By, Change};
use slipway_edge::port::{Silent, Told};
use slipway_edge::retention::ListedSoFar;
use slipway_edge::{sweep, withdraw};
use slipway_ledger::{Ask, End, ExportHead, Named, PublicName, StagedObject};
use worker::{Env, Headers, Method, Request, RequestInit, Response, Result, Stub};

/// To the record of a project.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToProject {
    /// What a webhook names, to be kept before it is acknowledged.
    Hints { project_id: u64, delivery: String, named: Vec<Named> },
    /// A job shows an ID token that holds in everything, except perhaps its age.
    Spend { session: JobSession, is_fresh: bool },
    /// Somebody who has shown who they are was refused something, at the door.
    Refused { project_id: u64, actor: String, act: String, why: String },
    /// A job adds what it knows of a release.
    Patch { session: JobSession, version: Version, patch: ReleasePatch },
    /// A job asks to release packages.
    Promote {
        session: JobSession,
        version: Version,
        keys: Vec<Key>,
        #[serde(default)]
        all: bool,
    },
    /// A package's object asks whether its act may begin.
    MayAct(Box<Ask>),
    /// Whoever copies asks whether more of it may be sent, the end above all.
    MayEnd { project_id: u64, version: Version, key: Key },
    /// Somebody changes what may be released.
    Change { project_id: u64, version: Version, by: By, change: Change },
    /// Somebody takes back what is public, or asks what that would be.
    Withdraw { project_id: u64, version: Version, call: Box<withdraw::Call> },
    /// A package's object asks whether something may be taken back now.
    MayWithdraw { project_id: u64, number: u64 },
    /// What the object of a package saw of a withdrawal.
    Withdrawal { withdrawal: Box<Withdrawal>, report: WithdrawalReport },
    /// A release; with `since` or `state`, not before it has changed, has reached the state, or the time is up.
    Release { project_id: u64, version: Version, since: Option<u64>, state: Option<ReleaseState>, wait_ms: u64 },
    /// All releases.
    Releases { project_id: u64 },
    /// Those of which something is public.
    Public { project_id: u64 },
    /// The versions of all of those.
    PublicVersions { project_id: u64 },
    /// What the object of a package saw.
    Report(Box<Told>),
    /// How many bytes of a target have been sent.
    Sent { project_id: u64, version: Version, key: Key, distro: String, bytes: u64 },
    /// The approvals that a job has given for a package.
    Approvals { session: JobSession, version: Version, key: Key },
    /// One target, with everything that was tried for it.
    Target { project_id: u64, version: Version, key: Key, distro: String },
    /// What is attested of a target.
    Attestation { project_id: u64, version: Version, key: Key, distro: String },
    /// A page of a repository, to be held against the record.
    Swept { project_id: u64, page: Swept },
    /// What came of such pages.
    Sweep { project_id: u64, told: Box<sweep::Told> },
    /// What becomes of everything that the project has in staging: the first part of it, or the next.
    Retention {
        project_id: u64,
        #[serde(default)]
        from: Option<ListedSoFar>,
    },
    /// Another project wants to delete a file from a staging repository that both use.
    CanDoWithout { project_id: u64, object: StagedObject, lend: bool },
    /// Which images this project has there: another deletes one.
    ImagesIn { project_id: u64, staging: Site },
    /// Another project is about to release something under these names.
    NameTaken { project_id: u64, names: Vec<PublicName> },
    /// Rows of the audit.
    Audit {
        project_id: u64,
        first: u64,
        count: u64,
        #[serde(default)]
        format: Format,
    },
    /// Signed heads of the audit, of the rows from `first` on; without it the newest alone.
    Heads { project_id: u64, first: Option<u64> },
    /// Begin to give the whole record away.
    Export { project_id: u64, by: String },
    /// More rows of the audit.
    ExportAudit { project_id: u64, first: u64, last: u64 },
    /// Make the record of an export.
    Import {
        project_id: u64,
        /// This import's own, in each of its messages: of two at once only the later one goes on.
        #[serde(default)]
        id: String,
        head: ExportHead,
        by: String,
    },
    /// Its next lines.
    ImportRows {
        project_id: u64,
        #[serde(default)]
        id: String,
        lines: Vec<String>,
    },
    /// They were all, and had this digest.
    ImportEnds {
        project_id: u64,
        #[serde(default)]
        id: String,
        end: End,
        by: String,
    },
    /// An import that was begun is given up: its lines are not to be believed, or broke off.
    ImportFails { project_id: u64, id: String, why: String, by: String },
    /// What the record says of its targets, beside what the repositories have.
    Compare { project_id: u64, first: u64 },
    /// What the record says of itself in numbers.
    Measure { project_id: u64 },
    /// Its newest releases, at a glance.
    Glance { project_id: u64, newest: u32 },
    /// What runs where.
    Deployments { project_id: u64 },
    /// What was done, newest first: so many rows at most.
    Activity { project_id: u64, query: ActivityQuery, count: u64 },
    /// What has happened that may concern a package, newest first.
    Timeline { project_id: u64, version: Version, key: Key },
    /// A release beside what is public of an earlier one; of one package also what it depends on.
    Against { project_id: u64, version: Version, key: Option<Key> },
    /// How the record is.
    Standing { project_id: u64 },
    /// Go on with whatever is open.
    Wake { project_id: u64 },
    /// How the switch stands that stops everything. The answer is the last turn of which the record has heard.
    Hear { project_id: u64, word: Word },
    /// The last turn of that switch of which the record has heard.
    Heard { project_id: u64 },
    /// Why nothing of the project is published or deleted now.
    Stopped { project_id: u64 },
    /// Turn the switch of this project alone.
    Switch { project_id: u64, is_stopped: bool, by: String, reason: String },
}

impl ToProject {
    /// A release as it is now.
    pub(crate) fn release(project_id: u64, version: Version) -> Self {
        Self::Release { project_id, version, since: None, state: None, wait_ms: 0 }
    }
}

/// To the object of a package of a release.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToPackage {
    /// An approved order.
    Accept(Box<Order>),
    /// Something of it is to be taken back.
    Withdraw(Box<Withdrawal>),
    /// A stateless invocation shows its one-time capability.
    Redeem { nonce: String },
    /// How many bytes a stateless invocation has sent.
    Sent { nonce: String, bytes: u64 },
    /// A transfer slot is free for this target.
    Wake { distro: String },
    /// Somebody holds this request open, for a copy that an alarm cannot end.
    Carry { distro: String, approvals: Vec<u64> },
}

/// To the object of an account.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToAccount {
    /// Ask for a transfer slot.
    Slot(AskSlot),
    /// Give it back.
    Ended(SlotEnded),
    /// Keep it longer.
    Renew { package: String, distro: String },
    /// What the account says of itself in numbers.
    Measure,
    /// What a repository has under a name.
    Find { place: String, repository: String, distro: String, filename: Cargo },
    /// What a repository's index serves under a name.
    Served { place: String, repository: String, distro: String, filename: Cargo },
    /// When its place last answered anything.
    AnsweredAt,
    /// Go on with whatever is open.
    Wake { place: String },
    /// Read these repositories whole now.
    Sweep { place: String, repositories: Vec<String> },
    /// What is a stranger in a repository.
    Strangers {
        place: String,
        repository: String,
        /// Whose members are shown them. Nobody's are shown what one project alone knows.
        #[serde(default)]
        project_id: u64,
    },
    /// Take strangers for known.
    Adopt { asked: Box<AdoptionRequest>, actor: String },
    /// Take for strangers again what was one before a restore.
    Recall { list: Box<SweptRepository>, actor: String },
}

/// To the directory.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToDirectory {
    /// A project has this release.
    Add { project_id: u64, version: Version },
    /// The newest releases of all projects.
    List,
    /// A person has signed out.
    SignOut { user_id: u64 },
    /// When a person last did.
    SignedOut { user_id: u64 },
    /// Turn the switch that stops everything, and tell these projects.
    Turn { is_stopped: bool, by: String, reason: String, projects: Vec<u64> },
    /// How that switch stands.
    Word,
    /// How that switch stands, for a record that has heard of this turn of it.
    Learn { heard: Option<u64> },
}

/// A part of what becomes of everything that a project has in staging, and what the next part needs.
#[derive(Serialize, Deserialize)]
pub(crate) struct RetentionPart {
    #[serde(flatten)]
    pub(crate) list: api::Retention,
    #[serde(default)]
    pub(crate) next: Option<ListedSoFar>,
}

/// How the switch stands, and which projects have not heard of that.
#[derive(Serialize, Deserialize)]
pub(crate) struct Turned {
    pub(crate) word: Word,
    pub(crate) untold: Vec<u64>,
}

/// A release in the directory.
#[derive(Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) project_id: u64,
    pub(crate) version: Version,
}

/// Sends a message to an object.
pub(crate) async fn tell<T: Serialize>(stub: &Stub, message: &T) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(serde_json::to_string(message)?.into()));
    stub.fetch_with_request(Request::new_with_init("https://object/", &init)?).await
}

/// Asks an object and reads its answer. Whatever else happens, it has not answered.
pub(crate) async fn ask<T: DeserializeOwned>(
    stub: Result<Stub>,
    message: &impl Serialize,
) -> std::result::Result<T, Silent> {
    let ask = async {
        let mut answer = tell(&stub?, message).await?;
        let text = answer.text().await?;
        match answer.status_code() {
            200 | 202 => Ok(serde_json::from_str(&text)?),
            status => Err(worker::Error::RustError(format!("status {status}, {text}"))),
        }
    };
    ask.await.map_err(|error: worker::Error| Silent(error.to_string()))
}

/// Writes a refusal at the door into a project's audit. The refusal stands whether that succeeds or not.
pub(crate) async fn refuse(env: &Env, project_id: u64, actor: String, act: &str, why: &str) {
    let refused = ToProject::Refused { project_id, actor, act: act.to_owned(), why: why.to_owned() };
    let told = async { tell(&project(env, project_id)?, &refused).await };
    match told.await {
        Ok(answer) if answer.status_code() == 200 => {}
        Ok(answer) => crate::log::trouble!(of project_id, "a refusal is not in the audit: {}", answer.status_code()),
        Err(error) => crate::log::trouble!(of project_id, "a refusal is not in the audit: {error}"),
    }
}

/// What a repository has under a name, by its account's shared reading.
pub(crate) async fn find(
    env: &Env,
    site: &Site,
    under: &str,
    cargo: &Cargo,
) -> std::result::Result<std::result::Result<Seen, Trouble>, Silent> {
    let (place, repository) = (site.place.clone(), site.repository.clone());
    let find = ToAccount::Find { place, repository, distro: under.to_owned(), filename: cargo.clone() };
    ask(account(env, &site.place), &find).await
}

/// The record of a project.
pub(crate) fn project(env: &Env, id: u64) -> Result<Stub> {
    env.durable_object("PROJECT")?.get_by_name(&id.to_string())
}

/// The object of a package.
pub(crate) fn package(env: &Env, name: &str) -> Result<Stub> {
    env.durable_object("PACKAGE")?.get_by_name(name)
}

/// The object of an account.
pub(crate) fn account(env: &Env, place: &str) -> Result<Stub> {
    env.durable_object("DESTINATION")?.get_by_name(place)
}

/// The directory.
pub(crate) fn directory(env: &Env) -> Result<Stub> {
    env.durable_object("DIRECTORY")?.get_by_name("directory")
}
