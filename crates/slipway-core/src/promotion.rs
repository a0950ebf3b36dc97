//! The promotion of one package to one target: look, decide, copy, look again.
//!
//! A run may be cut off anywhere and begun again: what is done is read from the two places, never remembered. An error
//! while looking changes nothing. An error while copying settles nothing: the work may be done, so the next look says.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use slipway_packagecloud::{Boundary, Distro, Download, Filename, ListDistributions, PackageKind, Push, Pushed, locate};
use slipway_wire::{CallError, Digest, Http, Relay, RelayError, Relayed, call};

use crate::api::{Problem, Step};
use crate::inventory::{Inventory, ObserveError, Store, observe};
use crate::plan::{Plan, plan};
use crate::release::{Key, TargetState, Version};
use crate::route::Site;
use crate::time::Timestamp;

/// How often a promotion that meets passing trouble tries before it asks for a person: about 20 minutes of waits.
pub const ATTEMPTS_MAX: u32 = 12;
/// How long the public index may take to serve an accepted file. packagecloud promises no time; an hour is far more
/// than has been seen.
pub const INDEX_WAIT_MAX: Duration = Duration::from_secs(3600);

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

    /// A new step begins; people are watching.
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
    },
}

/// Takes one approved package as far towards the public as it will go now.
pub async fn promote(http: &(impl Http + Relay), attempt: &impl Attempt, promotion: &Promotion) -> Outcome {
    attempt.begins(Step::Look).await;
    let before = match look(http, promotion).await {
        Ok(inventory) => inventory,
        Err(error) => return failed_look(&error),
    };
    match plan(promotion.digest, &before) {
        Plan::Copy => {}
        settled => return outcome(settled),
    }
    if !attempt.slot().await {
        return Outcome::AwaitingSlot;
    }
    attempt.begins(Step::Copy).await;
    let copied = copy(http, promotion, &Boundary::new(attempt.random())).await;
    // A 5xx or a broken connection may follow finished work, and a refusal may be of a file that is there by now.
    match (look(http, promotion).await, copied) {
        (Ok(after), copied) => judge(promotion, &after, copied),
        (Err(_), Err(trouble)) => trouble.outcome(),
        (Err(error), Ok(())) => failed_look(&error),
    }
}

async fn look(http: &impl Http, promotion: &Promotion) -> Result<Inventory, ObserveError> {
    observe(http, &promotion.staging, &promotion.public, &promotion.distro, &promotion.filename).await
}

fn outcome(plan: Plan) -> Outcome {
    match plan {
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
        (Plan::Copy, Err(trouble)) => trouble.outcome(),
        // The staged file was exchanged while it was read; what was read has said more than the list does now.
        (Plan::Changed { .. } | Plan::Missing, Err(trouble @ CopyError::Changed(_))) => trouble.outcome(),
        (settled, _) => outcome(settled),
    }
}

fn failed_look(error: &ObserveError) -> Outcome {
    CopyError::from_call(error.call().clone(), error.to_string()).outcome()
}

/// Why the bytes did not get across, as far as the copy itself can tell.
#[derive(Debug)]
enum CopyError {
    Changed(Option<Digest>),
    Passing(String),
    Refused { code: &'static str, what: String },
}

impl CopyError {
    fn outcome(self) -> Outcome {
        match self {
            Self::Changed(staged) => Outcome::Changed { staged },
            Self::Passing(why) => Outcome::Troubled(why),
            Self::Refused { code, what } => Outcome::Refused { code, what },
        }
    }

    /// `what` says what was being done, and the call's own words.
    fn from_call(error: CallError, what: String) -> Self {
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

/// Moves the bytes. The last of them are withheld unless all together have the approved digest.
async fn copy(http: &(impl Http + Relay), promotion: &Promotion, boundary: &Boundary) -> Result<(), CopyError> {
    let Promotion { staging, public, distro, filename, digest, size } = promotion;
    let failed = |doing: &str, error: CallError| {
        let what = format!("cannot {doing} `{filename}`: {error}");
        CopyError::from_call(error, what)
    };

    let distributions = call(http, &ListDistributions { account: &public.account })
        .await
        .map_err(|error| failed("find the distribution of", error))?;
    let distro_version_id = distributions.id(PackageKind::Deb, distro).ok_or_else(|| CopyError::Refused {
        code: "unknown-distro",
        what: format!("{} does not know the distribution `{distro}`", public.account.base()),
    })?;
    let download = Download { account: &staging.account, repository: &staging.repository, distro, filename };
    let address = locate(http, &download).await.map_err(|error| failed("download", error))?;
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
    let unsendable = |error: http::Error| failed("send", CallError::Unsendable(error.to_string()));
    let source = address.request().map_err(unsendable)?;
    let transfer = push.upload(*size).map_err(unsendable)?.transfer(source, *size, *digest);

    let answer = match http.relay(transfer).await {
        Ok(Relayed::Answered(answer) | Relayed::AnsweredEarly(answer)) => answer,
        Ok(Relayed::Withheld { found, .. }) => return Err(CopyError::Changed(found)),
        Err(RelayError::Source(status)) => {
            return Err(CopyError::Passing(format!("storage answered {status} for `{filename}`")));
        }
        Err(RelayError::Broken(why)) => return Err(CopyError::Passing(format!("copying `{filename}`: {why}"))),
    };
    match push.parse(&answer) {
        // What follows is judged by the next look: a duplicate says nothing of the bytes, and a package that the
        // server files under another name is not there under its own.
        Ok(Pushed::Created(_) | Pushed::Duplicate) => Ok(()),
        Ok(Pushed::Renamed(package)) => Err(CopyError::Refused {
            code: "renamed",
            what: format!("{} filed `{filename}` as `{}`", public.account.base(), package.filename),
        }),
        Err(error) => Err(failed("push", error)),
    }
}

/// What the record shows of an outcome: the state, the step while it moves, the problem where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The target.
    pub distro: String,
    /// How far it is.
    pub state: TargetState,
    /// What it waits for, while it moves.
    pub step: Option<Step>,
    /// Why it is not further.
    pub problem: Option<Problem>,
}

/// When to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Never: this state is final until a person acts.
    Settled,
    /// After this time.
    After(Duration),
}

/// How long a target has been at it, as its host remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Runs that met passing trouble, one after another.
    pub troubled: u32,
    /// Runs that waited, one after another.
    pub waited: u32,
    /// Since when the public place has the file.
    pub accepted_at: Option<Timestamp>,
}

/// Turns an outcome into what people see, and when the next run is due.
pub fn report(promotion: &Promotion, outcome: &Outcome, patience: Patience, now: Timestamp) -> (Report, Next) {
    let distro = promotion.distro.to_string();
    let moving = |step, problem| Report { distro: distro.clone(), state: TargetState::Releasing, step, problem };
    let stopped = |state, problem| (Report { distro: distro.clone(), state, step: None, problem: Some(problem) }, Next::Settled);
    let file = &promotion.filename;
    match outcome {
        Outcome::Released => {
            (Report { distro: distro.clone(), state: TargetState::Released, step: None, problem: None }, Next::Settled)
        }
        Outcome::AwaitingIndex => {
            let waited = patience.accepted_at.map_or(Duration::ZERO, |since| now.since(since));
            if waited > INDEX_WAIT_MAX {
                return stopped(
                    TargetState::Failed,
                    problem(
                        "not-served",
                        format!("{} has `{file}`, but its index has not served it for an hour.", promotion.public.repository),
                        "partly",
                        "safe",
                        "Operator: look at the package server's indexing, then play the release job again.",
                    ),
                );
            }
            (moving(Some(Step::Index), None), Next::After(index_wait(patience.waited)))
        }
        Outcome::AwaitingSlot => (
            Report { distro: distro.clone(), state: TargetState::Approved, step: None, problem: None },
            Next::After(Duration::from_secs(2)),
        ),
        Outcome::AwaitingDigest => (moving(Some(Step::Look), None), Next::After(index_wait(patience.waited))),
        Outcome::Troubled(why) if patience.troubled >= ATTEMPTS_MAX => stopped(
            TargetState::Failed,
            problem(
                "unreachable",
                format!("After {} attempts: {why}.", patience.troubled + 1),
                "none",
                "safe",
                "Operator: look at the package server, then play the release job again.",
            ),
        ),
        Outcome::Troubled(why) => (
            moving(
                Some(Step::Look),
                Some(problem("trouble", format!("{why}."), "none", "automatic", "Nobody: it is tried again by itself.")),
            ),
            Next::After(trouble_wait(patience.troubled)),
        ),
        Outcome::Conflict { public } => stopped(
            TargetState::Conflict,
            problem(
                "conflict",
                format!(
                    "{} has another `{file}`: public {public}, approved {}. Nothing was sent.",
                    promotion.public.repository, promotion.digest
                ),
                "none",
                "useless",
                "Release manager: find out who published the other file; a released name never gets other bytes, so raise the package's revision.",
            ),
        ),
        Outcome::Missing => stopped(
            TargetState::Missing,
            problem(
                "missing",
                format!("`{file}` is no longer in {}. Nothing was sent.", promotion.staging.repository),
                "none",
                "useless",
                "Release manager: run its build job again, so that it is staged again.",
            ),
        ),
        Outcome::Changed { staged } => {
            let found = staged.map_or_else(|| "bytes of another length".to_owned(), |digest| digest.to_string());
            stopped(
                TargetState::Failed,
                problem(
                    "staged-bytes-changed",
                    format!("`{file}` in staging is not what was approved: found {found}, approved {}.", promotion.digest),
                    "none",
                    "useless",
                    "Release manager: find out who changed the staged file. Nothing of it became public.",
                ),
            )
        }
        Outcome::Refused { code, what } => stopped(
            TargetState::Failed,
            problem(code, format!("{what}."), "none", "safe", "Operator: mend the cause, then play the release job again."),
        ),
    }
}

fn problem(code: &str, what: String, public: &str, retry: &str, next: &str) -> Problem {
    Problem {
        code: code.to_owned(),
        what,
        public: public.to_owned(),
        retry: retry.to_owned(),
        next: next.to_owned(),
    }
}

/// 1 s at first, since a small server indexes at once, doubling to 30 s.
fn index_wait(waited: u32) -> Duration {
    Duration::from_secs((1 << waited.min(5)).min(30))
}

/// 1, 2, 4 … seconds up to 4 minutes: [`ATTEMPTS_MAX`] of them are about 20 minutes.
fn trouble_wait(troubled: u32) -> Duration {
    Duration::from_secs((1 << troubled.min(8)).min(240))
}
