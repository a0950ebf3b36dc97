//! What a runtime lends to the edge's objects.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use slipway_core::cargo::Cargo;
use slipway_core::inventory::{Seen, Served};
use slipway_core::log::Entry;
use slipway_core::promotion::{May, MayEnd, Order, Slot};
use slipway_core::release::{Key, Version};
use slipway_core::report::Report;
use slipway_core::route::Site;
use slipway_core::signing::{Signer, SigningError};
use slipway_core::stop::Stopped;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};
use slipway_ledger::{Ask, NameTaken, PublicName};
use slipway_wire::{Digest, Http, RelayError, Relayed, Token, Transfer};

use crate::account::{AskSlot, SlotEnded};

/// How soon an alarm is armed that is due at once: at or before now it can stall.
pub const SOON: Duration = Duration::from_millis(5);

/// Another object did not answer. What it was told may have been done all the same.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a part of Slipway's edge did not answer: {0}")]
pub struct Silent(pub String);

/// The time, and what chance there is.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Clock {
    /// Now. At the edge it moves only when something is awaited.
    fn now(&self) -> Timestamp;

    /// Random bits, as many as a multipart border needs.
    fn random(&self) -> [u8; 16];

    /// A random number, to spread those who would go on together.
    fn chance(&self) -> u64 {
        self.random().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Lets others go on for a while.
    async fn pause(&self, wait: Duration);
}

/// What the object of a package needs.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait PackageHost: Clock + Http {
    /// A repository with its place's address and secret. The error says what the deployment lacks.
    fn open(&self, site: &Site) -> Result<Store, String>;

    /// How many transfers the place takes at a time, as configured.
    fn transfers(&self, place: &str) -> u32;

    /// Moves a package's bytes. `until`: when the host's own run ends; `None` when somebody holds it open. `target` is
    /// where the bytes go, for those who watch the copy.
    async fn relay(
        &self,
        target: &Target<'_>,
        transfer: Transfer,
        until: Option<Timestamp>,
    ) -> Result<Relayed, RelayError>;

    /// Asks an account for a transfer slot.
    async fn slot(&self, place: &str, ask: &AskSlot) -> Result<Slot, Silent>;

    /// Asks the project's record whether an act may begin now.
    async fn may_act(&self, ask: &Ask) -> Result<May, Silent>;

    /// Asks the project's record whether an act that is under way may write something more: asked before each of its writes.
    async fn may_end(&self, project_id: u64, version: &Version, key: &Key) -> Result<MayEnd, Silent>;

    /// Whether the project is stopped now: asked while something is taken back, before each write.
    async fn stopped(&self, project_id: u64) -> Result<Option<Stopped>, Silent>;

    /// Gives it back, and says how the transfer ended.
    async fn slot_ended(&self, place: &str, ended: &SlotEnded) -> Result<(), Silent>;

    /// Lets a slot's lease last longer.
    async fn renew_slot(&self, place: &str, package: &str, distro: &str) -> Result<(), Silent>;

    /// What a repository has under a name, by its account's shared reading. `under` is the text form of a target's name, or
    /// `@` and the digest of an image.
    async fn find(&self, site: &Site, under: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent>;

    /// What a repository's index serves under a name, by its account's shared reading.
    async fn served(&self, site: &Site, target: &str, cargo: &Cargo) -> Result<Result<Served, Trouble>, Silent>;

    /// Tells the project's record. `Ok` only when the record has it.
    async fn report(&self, told: &Told) -> Result<(), Silent>;

    /// Asks the project's record whether something may be taken back now.
    async fn may_withdraw(&self, withdrawal: &Withdrawal) -> Result<MayWithdraw, Silent>;

    /// Tells the project's record how far a withdrawal is. `Ok` only when the record has it.
    async fn report_withdrawal(&self, withdrawal: &Withdrawal, report: &WithdrawalReport) -> Result<(), Silent>;
}

/// A target on its way, as those who watch know it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The package's order.
    pub order: &'a Order,
    /// The distro version, or the tag, by the text form of the target's name.
    pub distro: &'a str,
    /// How many bytes have arrived before this transfer: an image consists of many.
    pub before: u64,
}

/// What the object of a package tells the record of its project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// The project.
    pub project_id: u64,
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The approval that it follows.
    pub approval: u64,
    /// The job that was played for it.
    #[serde(default)]
    pub job_id: u64,
    /// The approved bytes.
    pub digest: Digest,
    /// What is seen of the target.
    pub report: Report,
}

/// What the record of a project needs beside, to attach something to images that are public.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait AttachingHost: ProjectHost {
    /// Asks an account for a transfer slot: nobody else writes to the repository as long as it is lent.
    async fn slot(&self, place: &str, ask: &AskSlot) -> Result<Slot, Silent>;

    /// Gives it back, and says how it ended.
    async fn slot_ended(&self, place: &str, ended: &SlotEnded) -> Result<(), Silent>;
}

/// What the object of an account needs.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait AccountHost: Clock + Http {
    /// A repository of the account's place.
    fn open(&self, repository: &str) -> Result<Store, String>;
}

/// What the record of a project needs.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait ProjectHost: Clock + Http {
    /// What signs for the edge.
    type Signer: Signer;

    /// Gives an order to its package's object. `Ok` only when that has it.
    async fn hand_over(&self, order: &Order) -> Result<(), Silent>;

    /// Gives a withdrawal to its package's object. `Ok` only when that has it.
    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent>;

    /// A repository with its place's address and secret. The error says what the deployment lacks.
    fn open(&self, site: &Site) -> Result<Store, String>;

    /// Tells those who watch a release that it has changed.
    fn announce(&self, version: &Version);

    /// What a repository has under a name, by its account's shared reading. `under` is the text form of a target's name, or
    /// `@` and the digest of an image.
    async fn find(&self, site: &Site, under: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent>;

    /// When a place last answered anything that its account asked of it.
    async fn answered_at(&self, place: &str) -> Result<Option<Timestamp>, Silent>;

    /// Asks another project's record whether one of these names is that of something that it has released or taken back.
    async fn name_taken(&self, project_id: u64, names: &[PublicName]) -> Result<Option<NameTaken>, Silent>;

    /// A secret of the deployment, by its name. The error says what the deployment lacks.
    fn secret(&self, name: &str) -> Result<Token, String>;

    /// The edge's signing key. `None` where the operator has named none.
    async fn signer(&self) -> Result<Option<Self::Signer>, SigningError>;

    /// A line of the log.
    fn write(&self, entry: &Entry<'_>);
}

/// What a future gives, if it does so within a while.
pub(crate) async fn in_time<T>(host: &impl Clock, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(host.pause(limit))).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}
