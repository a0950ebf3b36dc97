//! The promotion of one package to one target: look, decide, act, look again.
//!
//! A run may be cut off anywhere and begun again: what is done is read from the two places, never remembered. An error
//! while looking changes nothing. An error while acting settles nothing: the work may be done, so the next look says.
//!
//! There are two ways to the public. A *copy* sends the staged bytes and withholds the end unless their digest is the
//! approved one, so wrong bytes never become public. A *move* is done by the server, by file name: it is quick, and
//! whatever bytes have the name at that moment become public. What a move has done wrong can only be seen afterwards.

use std::time::Duration;

use futures_util::future::join;
use serde::{Deserialize, Serialize};
use slipway_wire::{Digest, Http, Planted, Relay, TooSlow, planted};

use crate::api::{Act, Problem};
use crate::cargo::{Cargo, TargetName};
use crate::inventory::{Inventory, Likely, Look, observe};
use crate::plan::{Plan, plan};
use crate::problem::{Code, Visible};
use crate::release::{Key, Maturity, TargetState, Version};
use crate::route::{How, Site};
use crate::stop::Stopped;
use crate::store::{Courier, NotShipped, Shipment, Store};
use crate::trouble::{Trouble, TroubleKind};

/// An approved package, with everything that its promotion needs but secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The approval's number in its project's record.
    pub approval: u64,
    /// The job that was played for it. Orders that were written down before jobs stood in them have none.
    #[serde(default)]
    pub job_id: u64,
    /// The project.
    pub project_id: u64,
    /// The release.
    pub version: Version,
    /// What goes first at a destination.
    pub maturity: Maturity,
    /// The package.
    pub key: Key,
    /// Its file name, or which image it is.
    pub filename: Cargo,
    /// The approved bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Where they are.
    pub staging: Site,
    /// Where they go.
    pub targets: Vec<OrderTarget>,
    /// The highest number that a report of these targets had. Whoever has forgotten its own counts on from there.
    #[serde(default)]
    pub heard: u64,
}

/// One distro version, or one tag, of one public repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTarget {
    /// The text form of the target's name: `ubuntu/jammy`, `:17.3.1`.
    pub distro: String,
    /// The public repository.
    pub public: Site,
    /// How the package gets there.
    #[serde(default)]
    pub how: How,
}

/// One target of an order, with its places opened.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The private place.
    pub staging: Store,
    /// The public place.
    pub public: Store,
    /// The distro version, or the tag.
    pub target: TargetName,
    /// The file, or the image.
    pub cargo: Cargo,
    /// The approved bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// How they get there.
    pub how: How,
    /// Whether an act was begun for these bytes before, under this approval or an older one. Then what the public place
    /// has may be its work, and a file that neither place has may be on its way.
    pub begun: bool,
}

/// What a host lends to a promotion while it runs.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Attempt: Look + Courier {
    /// Asks the destination account for a transfer slot.
    async fn slot(&self) -> Slot;

    /// Asks the project's record whether the act may begin now. What was approved may be held, lapsed or closed since.
    async fn may_act(&self) -> May;

    /// An act begins. It is written down before this returns, since a run that is cut off must know of it; `false` when
    /// it cannot be. Looks are not written down: a target that waits is looked at again and again.
    fn begins(&self, act: Act) -> bool;

    /// Those who watch hear that an act is under way. It goes on meanwhile: nothing depends on their having heard.
    async fn announces(&self, act: Act);

    /// An act has ended so. The slot goes back.
    async fn ended(&self, how: &Result<(), NotShipped>);
}

/// What a destination account says to somebody who wants to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// Send now.
    Lent,
    /// Send now, after a while in the queue: what was seen before is old, so look once more.
    LentLate,
    /// Others are first: ask again after this time, unless called before.
    Wait {
        /// Milliseconds.
        ms: u64,
    },
    /// The account is cut off: ask again after this time.
    CutOff {
        /// Milliseconds.
        ms: u64,
        /// What the server said.
        trouble: Trouble,
    },
}

/// What the project's record says to somebody who is about to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum May {
    /// Now.
    Now,
    /// Now, after a while: what was seen before is old, so look once more.
    Late,
    /// Not now, and neither is the approval over: Slipway is stopped.
    Stopped(Stopped),
    /// No more, under this approval. The record has it so already.
    Never {
        /// What the target is now.
        state: TargetState,
        /// Why. `None` where this approval is not the target's any more.
        problem: Option<Problem>,
    },
    /// It cannot be told now.
    Unknown(Trouble),
}

/// What the project's record says to somebody who has begun an act and is about to write something more, which may be what
/// makes the package public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MayEnd {
    /// Now.
    Now,
    /// Not now: Slipway is stopped.
    Stopped(Stopped),
    /// No more: since it began the package, or a name of its, was taken back. Why.
    Withdrawn(String),
}

/// How far a run came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The public index serves the approved bytes.
    Released,
    /// The public place has them; its index does not serve them yet.
    AwaitingIndex,
    /// All transfer slots of the destination are taken. Ask again after this time.
    AwaitingSlot(Duration),
    /// The destination account is cut off.
    CutOff {
        /// When it is asked again.
        again: Duration,
        /// What the server said.
        trouble: Trouble,
        /// What the public can see.
        public: Visible,
    },
    /// A server has not computed a digest yet.
    AwaitingDigest,
    /// Neither place lists the file. It may be on its way, after an act whose answer was lost, or a list may be behind: so
    /// this is looked at again, and only what stays so is missing, or lost.
    Nowhere,
    /// At its own rate the copy does not end before the host's run does. A waiting job's request can carry it.
    TooSlow(TooSlow),
    /// The act was not allowed to begin: the approval is over.
    Stopped {
        /// What the record has made of the target.
        state: TargetState,
        /// Why.
        problem: Option<Problem>,
    },
    /// Slipway is stopped. The approval waits.
    Paused(Stopped),
    /// Something passing; look again later.
    Troubled(Trouble),
    /// The public place has other bytes under that name.
    Conflict {
        /// Their digest.
        public: Digest,
        /// A move was begun under this approval, so that it may have brought them there.
        moved: bool,
    },
    /// Staging has other bytes than were approved. Nothing of them became public.
    Changed {
        /// Their digest, where their length was right.
        staged: Option<Digest>,
    },
    /// Trying again will not help.
    Refused {
        /// The kind of refusal.
        code: Code,
        /// Why.
        trouble: Trouble,
        /// What the public can see.
        public: Visible,
    },
}

/// Takes one approved package as far towards the public as it will go now.
pub async fn promote(http: &(impl Http + Relay), attempt: &impl Attempt, promotion: &Promotion) -> Outcome {
    let likely = if promotion.begun { Likely::Public } else { Likely::Staged };
    let before = match observe(attempt, &promotion.digest, likely).await {
        Ok(inventory) => inventory,
        Err(trouble) => return troubled(trouble, Visible::Unknown),
    };
    match plan(promotion.digest, &before) {
        Plan::Publish => {}
        Plan::Missing | Plan::Changed { .. } if planted(Planted::ActsBeforeItLooks) => {}
        settled => return outcome(promotion, &settled, promotion.begun),
    }
    let mut is_late = match attempt.slot().await {
        Slot::Lent => false,
        Slot::LentLate => true,
        Slot::Wait { ms } => return Outcome::AwaitingSlot(Duration::from_millis(ms)),
        Slot::CutOff { ms, trouble } => {
            return Outcome::CutOff { again: Duration::from_millis(ms), trouble, public: Visible::Nothing };
        }
    };
    let mut unneeded = None;
    // Whoever has waited for a slot was approved a while ago, and whatever stood open then can be closed by now.
    match attempt.may_act().await {
        May::Now => {}
        May::Late => is_late = true,
        May::Stopped(stopped) => unneeded = Some(Outcome::Paused(stopped)),
        May::Never { state, problem } => unneeded = Some(Outcome::Stopped { state, problem }),
        May::Unknown(trouble) => unneeded = Some(Outcome::Troubled(trouble)),
    }
    if is_late && unneeded.is_none() {
        unneeded = match observe(attempt, &promotion.digest, Likely::Staged).await {
            Ok(now) => match plan(promotion.digest, &now) {
                Plan::Publish => None,
                settled => Some(outcome(promotion, &settled, promotion.begun)),
            },
            Err(trouble) => Some(troubled(trouble, Visible::Unknown)),
        };
    }
    if let Some(unneeded) = unneeded {
        let unused = Trouble::passing("nothing is left to send");
        attempt.ended(&Err(unused.into())).await;
        return unneeded;
    }
    let act = match promotion.how {
        How::Copy => Act::Copy,
        How::Move => Act::Move,
    };
    if !attempt.begins(act) {
        let unwritten = Trouble::passing(format!("cannot write down that `{}` begins", promotion.cargo));
        attempt.ended(&Err(unwritten.clone().into())).await;
        return Outcome::Troubled(unwritten);
    }
    let ((), shipped) = join(attempt.announces(act), ship(http, attempt, promotion)).await;
    // A 5xx or a broken connection may follow finished work, and a refusal may be of a file that is there by now.
    let ((), after) = join(attempt.ended(&shipped), observe(attempt, &promotion.digest, Likely::Public)).await;
    match (after, shipped) {
        (Ok(after), shipped) => judge(promotion, &after, shipped),
        (Err(_), Err(_)) if planted(Planted::SwallowsTheSecondFault) => Outcome::Released,
        (Err(_), Err(why)) => not_shipped(promotion, why, Visible::Unknown),
        (Err(trouble), Ok(())) => troubled(trouble, Visible::Partly),
    }
}

async fn ship(http: &(impl Http + Relay), attempt: &impl Attempt, promotion: &Promotion) -> Result<(), NotShipped> {
    let Promotion { staging, public, target, cargo, digest, size, how, .. } = promotion;
    let shipment = Shipment { target, cargo, digest: *digest, size: *size };
    match how {
        How::Copy => public.copy_from(http, staging, &shipment, attempt).await,
        How::Move => public.move_from(http, staging, &shipment).await,
    }
}

/// What a look shows. `begun`: an act of this approval may have brought it about.
fn outcome(promotion: &Promotion, plan: &Plan, begun: bool) -> Outcome {
    let moved = begun && promotion.how == How::Move;
    match *plan {
        Plan::Done => Outcome::Released,
        Plan::AwaitIndex => Outcome::AwaitingIndex,
        Plan::AwaitDigest => Outcome::AwaitingDigest,
        Plan::Conflict { public } => Outcome::Conflict { public, moved },
        Plan::Missing => Outcome::Nowhere,
        Plan::Changed { staged } => Outcome::Changed { staged: Some(staged) },
        Plan::Publish => Outcome::Troubled(Trouble::passing(format!(
            "{} does not list `{}` yet, which it has accepted",
            promotion.public.name(),
            promotion.cargo
        ))),
    }
}

/// What is seen after the act decides; the act's own answer explains only what is still not there.
fn judge(promotion: &Promotion, after: &Inventory, shipped: Result<(), NotShipped>) -> Outcome {
    match (plan(promotion.digest, after), shipped) {
        // Either nothing has arrived, or staging changed under the copy: then what the copy met says more than the list
        // does now, and what is not known is looked at again.
        (Plan::Publish, Err(why)) => not_shipped(promotion, why, Visible::Nothing),
        (Plan::Changed { .. } | Plan::Missing, Err(why)) if promotion.how == How::Copy && tells_more(&why) => {
            not_shipped(promotion, why, Visible::Nothing)
        }
        // The server took the file and does not list it yet. What staging has by now says nothing about that.
        (Plan::Changed { .. } | Plan::Missing, Ok(())) if promotion.how == How::Copy => {
            outcome(promotion, &Plan::Publish, true)
        }
        (settled, _) => outcome(promotion, &settled, true),
    }
}

/// Whether what the copy met says more than that staging is another now.
fn tells_more(why: &NotShipped) -> bool {
    match why {
        NotShipped::Changed(_) | NotShipped::Taken | NotShipped::TooSlow(_) => true,
        NotShipped::Renamed(_) => false,
        NotShipped::Trouble(trouble) => !matches!(trouble.kind, TroubleKind::Final(_)),
    }
}

/// `public` is what is known of the public place apart from the act.
fn not_shipped(promotion: &Promotion, why: NotShipped, public: Visible) -> Outcome {
    let Promotion { public: to, cargo, .. } = promotion;
    match why {
        NotShipped::Changed(staged) => Outcome::Changed { staged },
        NotShipped::TooSlow(slow) => Outcome::TooSlow(slow),
        // This says nothing of the bytes that have the name: the next look does.
        NotShipped::Taken if planted(Planted::TakenIsReleased) => Outcome::Released,
        NotShipped::Taken => {
            Outcome::Troubled(Trouble::passing(format!("{} says that the name `{cargo}` is taken", to.base())))
        }
        NotShipped::Renamed(name) => Outcome::Refused {
            code: Code::Renamed,
            trouble: Trouble::lasting(Code::Renamed, format!("{} filed `{cargo}` as `{name}`", to.base())),
            public: Visible::Partly,
        },
        NotShipped::Trouble(trouble) => troubled(trouble, public),
    }
}

fn troubled(trouble: Trouble, public: Visible) -> Outcome {
    match trouble.kind {
        TroubleKind::Passing | TroubleKind::Busy | TroubleKind::Throttled { .. } => Outcome::Troubled(trouble),
        TroubleKind::CutOff => Outcome::CutOff { again: CUT_OFF_AGAIN, trouble, public },
        TroubleKind::Final(code) => Outcome::Refused { code, trouble, public },
    }
}

/// How soon somebody who has met a cut-off account looks again; the account itself is asked far less often.
const CUT_OFF_AGAIN: Duration = Duration::from_mins(5);
