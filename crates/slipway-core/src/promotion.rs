//! The promotion of one package to one target: look, decide, copy, look again.
//!
//! A run may be cut off anywhere and begun again: what is done is read from the two places, never remembered. An error
//! while looking changes nothing. An error while copying settles nothing: the work may be done, so the next look says.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use slipway_packagecloud::{
    Boundary, Distro, Download, Filename, ListDistributions, PackageKind, Push, Pushed, locate,
};
use slipway_wire::{CallError, Digest, Http, Relay, RelayError, Relayed, call};

use crate::api::Step;
use crate::inventory::{Inventory, ObserveError, Store, observe};
use crate::plan::{Plan, plan};
use crate::release::{Key, Version};
use crate::route::Site;

/// An approved package, with everything that its promotion needs but secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The approval's number in its project's record.
    pub approval: u64,
    /// The project.
    pub project_id: u64,
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// Its file name.
    pub filename: Filename,
    /// The approved bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Where they are.
    pub staging: Site,
    /// Where they go.
    pub targets: Vec<OrderTarget>,
}

/// One distro version of one public repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTarget {
    /// `ubuntu/jammy`.
    pub distro: String,
    /// The public repository.
    pub public: Site,
}

/// One target of an order, with its places opened.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The private place.
    pub staging: Store,
    /// The public place.
    pub public: Store,
    /// The distro version.
    pub distro: Distro,
    /// The file.
    pub filename: Filename,
    /// The approved bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

/// What a host lends to a promotion while it runs.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Attempt {
    /// Asks for a transfer slot at the destination account. It is given back when the attempt ends.
    async fn slot(&self) -> bool;

    /// A new step begins; people are watching. Looks are not announced: a target that waits is looked at again and again.
    async fn begins(&self, step: Step);

    /// Random bits, for the borders of a multipart body.
    fn random(&self) -> [u8; 16];
}

/// How far a run came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The public index serves the approved bytes.
    Released,
    /// The public place has them; its index does not serve them yet.
    AwaitingIndex,
    /// All transfer slots of the destination are taken.
    AwaitingSlot,
    /// A server has not computed a digest yet.
    AwaitingDigest,
    /// Something passing; look again later.
    Troubled(String),
    /// The public place has other bytes under that name.
    Conflict {
        /// Their digest.
        public: Digest,
    },
    /// Staging does not have the file.
    Missing,
    /// Staging has other bytes than were approved. Nothing of them became public.
    Changed {
        /// Their digest, where their length was right.
        staged: Option<Digest>,
    },
    /// Trying again will not help.
    Refused {
        /// The kind of refusal.
        code: &'static str,
        /// In one sentence.
        what: String,
        /// What the public can see.
        public: Visible,
    },
}

/// What the public can see of a package that goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Nothing: the public place was looked at, and does not have it.
    Nothing,
    /// The public place has it, but not as it should.
    Partly,
    /// The public place could not be looked at.
    Unknown,
}

impl Visible {
    /// The word in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Partly => "partly",
            Self::Unknown => "unknown",
        }
    }
}

/// Takes one approved package as far towards the public as it will go now.
pub async fn promote(http: &(impl Http + Relay), attempt: &impl Attempt, promotion: &Promotion) -> Outcome {
    let before = match look(http, promotion).await {
        Ok(inventory) => inventory,
        Err(error) => return failed_look(&error, Visible::Unknown),
    };
    match plan(promotion.digest, &before) {
        Plan::Copy => {}
        settled => return outcome(&settled),
    }
    if !attempt.slot().await {
        return Outcome::AwaitingSlot;
    }
    attempt.begins(Step::Copy).await;
    let copied = copy(http, promotion, &Boundary::new(attempt.random())).await;
    // A 5xx or a broken connection may follow finished work, and a refusal may be of a file that is there by now.
    match (look(http, promotion).await, copied) {
        (Ok(after), copied) => judge(promotion, &after, copied),
        (Err(_), Err(trouble)) => trouble.outcome(Visible::Unknown),
        (Err(error), Ok(())) => failed_look(&error, Visible::Partly),
    }
}

async fn look(http: &impl Http, promotion: &Promotion) -> Result<Inventory, ObserveError> {
    let Promotion { staging, public, distro, filename, digest, .. } = promotion;
    observe(http, staging, public, distro, filename, digest).await
}

fn outcome(plan: &Plan) -> Outcome {
    match *plan {
        Plan::Done => Outcome::Released,
        Plan::AwaitIndex => Outcome::AwaitingIndex,
        Plan::AwaitDigest => Outcome::AwaitingDigest,
        Plan::Conflict { public } => Outcome::Conflict { public },
        Plan::Missing => Outcome::Missing,
        Plan::Changed { staged } => Outcome::Changed { staged: Some(staged) },
        Plan::Copy => Outcome::Troubled("the copy has not arrived in the public repository".to_owned()),
    }
}

/// What is seen after the copy decides; the copy's own answer explains only what is still not there.
fn judge(promotion: &Promotion, after: &Inventory, copied: Result<(), CopyError>) -> Outcome {
    match (plan(promotion.digest, after), copied) {
        // Either nothing has arrived, or staging changed under the copy: then what the copy met says more than the list
        // does now, and what is not known is looked at again.
        (Plan::Copy, Err(trouble))
        | (Plan::Changed { .. } | Plan::Missing, Err(trouble @ (CopyError::Changed(_) | CopyError::Passing(_)))) => {
            trouble.outcome(Visible::Nothing)
        }
        // The server took the file and does not list it yet. What staging has by now says nothing about that.
        (Plan::Copy | Plan::Changed { .. } | Plan::Missing, Ok(())) => outcome(&Plan::Copy),
        (settled, _) => outcome(&settled),
    }
}

fn failed_look(error: &ObserveError, public: Visible) -> Outcome {
    CopyError::from_call(error.call(), error.to_string()).outcome(public)
}

/// Why the bytes did not get across, as far as the copy itself can tell.
#[derive(Debug)]
enum CopyError {
    Changed(Option<Digest>),
    Passing(String),
    Refused { code: &'static str, what: String },
    Renamed(String),
}

impl CopyError {
    /// `public` is what is known of the public place apart from the copy.
    fn outcome(self, public: Visible) -> Outcome {
        match self {
            Self::Changed(staged) => Outcome::Changed { staged },
            Self::Passing(why) => Outcome::Troubled(why),
            Self::Refused { code, what } => Outcome::Refused { code, what, public },
            // The approved bytes are there, under a name that nobody approved.
            Self::Renamed(what) => Outcome::Refused { code: "renamed", what, public: Visible::Partly },
        }
    }

    /// `what` says what was being done, and the call's own words.
    fn from_call(error: &CallError, what: String) -> Self {
        match error.status() {
            _ if error.may_pass() => Self::Passing(what),
            Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYMENT_REQUIRED) => {
                Self::Refused { code: "account-cut-off", what }
            }
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                Self::Refused { code: "no-access", what }
            }
            _ => Self::Refused { code: "refused", what },
        }
    }
}

/// Moves the bytes. The last of them are withheld unless all together have the approved digest. `Ok` when the server
/// says that it has stored them.
async fn copy(http: &(impl Http + Relay), promotion: &Promotion, boundary: &Boundary) -> Result<(), CopyError> {
    let Promotion { staging, public, distro, filename, digest, size } = promotion;
    let failed =
        |doing: &str, error: &CallError| CopyError::from_call(error, format!("cannot {doing} `{filename}`: {error}"));

    let distributions = call(http, &ListDistributions { account: &public.account })
        .await
        .map_err(|error| failed("find the distribution of", &error))?;
    let distro_version_id = distributions.id(PackageKind::Deb, distro).ok_or_else(|| CopyError::Refused {
        code: "unknown-distro",
        what: format!("{} does not know the distribution `{distro}`", public.account.base()),
    })?;
    let download = Download { account: &staging.account, repository: &staging.repository, distro, filename };
    let address = locate(http, &download).await.map_err(|error| failed("download", &error))?;
    if !address.is_at(staging.storage.iter().chain([staging.account.base()])) {
        return Err(CopyError::Refused {
            code: "foreign-storage",
            what: format!(
                "{} redirects the download of `{filename}` to {}, which the place's `storage` does not list",
                staging.account.base(),
                address.host()
            ),
        });
    }
    let push = Push { account: &public.account, repository: &public.repository, distro_version_id, filename, boundary };
    let unsendable = |error: http::Error| failed("send", &CallError::Unsendable(error.to_string()));
    let source = address.request().map_err(unsendable)?;
    let transfer = push.upload(*size).map_err(unsendable)?.transfer(source, *size, *digest);

    let answer = match http.relay(transfer).await {
        Ok(Relayed::Answered(answer) | Relayed::AnsweredEarly(answer)) => answer,
        Ok(Relayed::Withheld { found, .. }) => return Err(CopyError::Changed(found)),
        Err(RelayError::Source(status)) => {
            return Err(CopyError::Passing(format!("storage answered {status} for `{filename}`")));
        }
        Err(RelayError::Broken(why)) => return Err(CopyError::Passing(format!("copying `{filename}`: {why}"))),
        Err(RelayError::TooSlow(why)) => return Err(CopyError::Passing(format!("copying `{filename}`: {why}"))),
    };
    match push.parse(&answer) {
        Ok(Pushed::Created(_)) => Ok(()),
        // This says nothing of the bytes that have the name: the next look does.
        Ok(Pushed::Duplicate) => {
            Err(CopyError::Passing(format!("{} says that the name `{filename}` is taken", public.account.base())))
        }
        // So it is not there under its own name.
        Ok(Pushed::Renamed(package)) => {
            Err(CopyError::Renamed(format!("{} filed `{filename}` as `{}`", public.account.base(), package.filename)))
        }
        Err(error) => Err(failed("push", &error)),
    }
}
