//! Taking back what is public: look, act, look again, until nobody is served it any more.
//!
//! A run may be cut off anywhere and begun again, like a promotion: what is done is read from the public place. Exactly the
//! released bytes are taken back; others under the name stay, and are said. What people have installed or pulled stays with
//! them, so before anything is done it is said what they will see.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_oci::Tag;
use slipway_package::{Filename, PackageKind};
use slipway_wire::{Digest, Http};

use crate::api::{Problem, WithdrawalState};
use crate::cargo::{Cargo, Name, tag_of};
use crate::inventory::{Seen, Served};
use crate::problem::{Code, Visible};
use crate::promotion::Slot;
use crate::release::{Key, Maturity, Version};
use crate::route::Site;
use crate::stop::Stopped;
use crate::store::{Beside, Floated, FloatsBack, Removed, Store};
use crate::time::Timestamp;
use crate::trouble::{Trouble, TroubleKind};

/// How often a withdrawal that meets passing trouble tries before it asks for a person: about 20 minutes of waits.
pub const ATTEMPTS_MAX: u32 = 10;
/// How long the public place may go on serving what it has deleted. packagecloud promises no time, as for a push.
pub const SERVED_MAX: Duration = Duration::from_hours(1);
/// How soon a server that is behind, or an account that is cut off, is asked again.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];

/// A released target that is to be taken back, with everything that this needs but secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Its number in its project's record.
    pub number: u64,
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
    /// The released bytes.
    pub digest: Digest,
    /// Where they are public.
    pub public: Site,
    /// The text form of the target's name: `ubuntu/jammy`, `:17.3.1`.
    pub distro: String,
    /// Other tags of the image there that are taken back with it.
    #[serde(default)]
    pub with: Vec<String>,
    /// Other tags of the image there, which were released and stay: they keep it.
    #[serde(default)]
    pub stays: Vec<String>,
    /// Other releases that have the same file or tag public: what they lose with it, by release and package.
    #[serde(default)]
    pub also: Vec<String>,
}

/// What a host lends to a withdrawal while it runs.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Withdraws {
    /// What the public place's API shows under the name, at a moment after the question.
    async fn find(&self) -> Result<Seen, Trouble>;

    /// What the public index or tag serves, read as anybody would read it.
    async fn served(&self) -> Result<Served, Trouble>;

    /// Asks the destination account for a transfer slot: whoever has it is the one who writes the name.
    async fn slot(&self) -> Slot;

    /// Asks the project's record whether the act may begin now.
    async fn may_withdraw(&self) -> Result<MayWithdraw, Trouble>;

    /// The act begins, and what becomes of floating tags. It is written down before this returns; `false` when it cannot be.
    fn begins(&self, floats: &[FloatsBack], floated: Vec<Floated>) -> bool;

    /// The act has ended, or was not begun. The slot goes back.
    async fn ended(&self);
}

/// What the project's record says to somebody who is about to take something back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MayWithdraw {
    /// Now.
    Now {
        /// The tags that were released to the same repository and not taken back, and their images.
        #[serde(default)]
        released: BTreeMap<String, Digest>,
    },
    /// Not now: Slipway is stopped.
    Stopped(Stopped),
    /// No more: the record has its end already.
    Over,
}

/// How far a run came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody is served the released bytes any more. What stays of them, where something does.
    Withdrawn(Option<String>),
    /// They are deleted, and still served.
    StillServed,
    /// The server says that they are deleted, and lists them.
    StillListed,
    /// A digest is not computed yet.
    AwaitingDigest,
    /// Others are first.
    AwaitingSlot(Duration),
    /// Other bytes have the name. They stay.
    Other(Digest),
    /// The place does not do it, or something that stays needs it.
    NotPossible(String),
    /// Slipway is stopped. The withdrawal waits.
    Paused(Stopped),
    /// The record has its end already.
    Over,
    /// Trying again may help, or may not.
    Troubled(Trouble),
}

/// Takes one released target back, as far as it will go now. `begun`: an act was begun before, and may have been cut off.
pub async fn withdraw(
    http: &impl Http,
    host: &impl Withdraws,
    store: &Store,
    name: &Name,
    withdrawal: &Withdrawal,
    begun: bool,
) -> Outcome {
    match look(host, withdrawal.digest).await {
        Ok(None) => {}
        // Its tag went first, and whoever was cut off then has left the image.
        Ok(Some(Outcome::Withdrawn(_))) if begun && matches!(withdrawal.filename, Cargo::Image(_)) => {}
        Ok(Some(outcome)) => return outcome,
        Err(trouble) => return Outcome::Troubled(trouble),
    }
    match host.slot().await {
        Slot::Lent | Slot::LentLate => {}
        Slot::Wait { ms } => return Outcome::AwaitingSlot(Duration::from_millis(ms)),
        Slot::CutOff { trouble, .. } => return Outcome::Troubled(trouble),
    }
    let act = async {
        let released = match host.may_withdraw().await.map_err(Outcome::Troubled)? {
            MayWithdraw::Now { released } => released,
            MayWithdraw::Stopped(stopped) => return Err(Outcome::Paused(stopped)),
            MayWithdraw::Over => return Err(Outcome::Over),
        };
        let beside = beside(withdrawal, &released);
        let floats = store.floats_back(http, name, withdrawal.digest, &beside).await.map_err(Outcome::Troubled)?;
        let floated = floats.iter().map(|FloatsBack { tag, to }| Floated {
            tag: tag.to_string(),
            before: Some(withdrawal.digest),
            after: to.as_ref().and_then(|to| beside.released.get(to)).copied(),
        });
        if !host.begins(&floats, floated.collect()) {
            let what = format!("cannot write down that the withdrawal of `{}` begins", withdrawal.filename);
            return Err(Outcome::Troubled(Trouble::passing(what)));
        }
        Ok(store.withdraw(http, name, withdrawal.digest, &beside).await)
    };
    let acted = act.await;
    host.ended().await;
    let removed = match acted {
        Ok(removed) => removed,
        Err(outcome) => return outcome,
    };
    // An error may follow finished work: what is seen now decides.
    match (look(host, withdrawal.digest).await, removed) {
        (Ok(Some(Outcome::Withdrawn(_))), Ok(Removed::TagOnly(why))) => Outcome::Withdrawn(Some(why)),
        // Only the tag of an image is seen here; the image itself may be left, and the next run goes on with it.
        (Ok(Some(Outcome::Withdrawn(_))), Err(trouble)) if matches!(withdrawal.filename, Cargo::Image(_)) => {
            Outcome::Troubled(trouble)
        }
        (Ok(Some(outcome)), _) => outcome,
        (Ok(None), Ok(Removed::Needed(by))) => Outcome::NotPossible(format!("something that stays needs it: {by}")),
        (Ok(None), Ok(Removed::Unsupported(said))) => Outcome::NotPossible(said),
        (Ok(None), Ok(_)) => Outcome::StillListed,
        (Ok(None), Err(trouble)) | (Err(trouble), _) => Outcome::Troubled(trouble),
    }
}

/// What is seen, where that settles it. `None`: the released bytes are there, under the name.
async fn look(host: &impl Withdraws, digest: Digest) -> Result<Option<Outcome>, Trouble> {
    match host.find().await? {
        Seen::Digest(found) if found == digest => Ok(None),
        Seen::Digest(found) => Ok(Some(Outcome::Other(found))),
        Seen::WithoutDigest => Ok(Some(Outcome::AwaitingDigest)),
        // A list can be behind, and so can an index: only both together say that it is gone.
        Seen::Nothing => Ok(Some(match host.served().await? {
            Served::NotListed => Outcome::Withdrawn(None),
            Served::Digest(served) if served != digest => Outcome::Withdrawn(None),
            Served::Several(served) if !served.contains(&digest) => Outcome::Withdrawn(None),
            Served::Digest(_) | Served::Several(_) | Served::InMotion => Outcome::StillServed,
        })),
    }
}

/// What a withdrawal and the record say of the other tags of its repository.
pub fn beside(withdrawal: &Withdrawal, released: &BTreeMap<String, Digest>) -> Beside {
    let tag = |name: &str| tag_of(name)?.parse::<Tag>().ok();
    Beside {
        with: withdrawal.with.iter().filter_map(|name| tag(name)).collect(),
        released: released.iter().filter_map(|(name, digest)| Some((tag(name)?, *digest))).collect(),
    }
}

/// How long a withdrawal has been at it. Its host keeps it from run to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// Runs that met trouble, one after another.
    pub troubled: u32,
    /// Since when it is deleted and still served, or has no digest.
    pub waits_since: Option<Timestamp>,
}

/// What the record shows of a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalReport {
    /// How many reports there were, this one included: one can be overtaken on its way.
    pub count: u64,
    /// How far it is.
    pub state: WithdrawalState,
    /// What was done besides, and what stays, a sentence each.
    pub notes: Vec<String>,
    /// The floating tags that were set back, or taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<Floated>,
    /// What is in its way.
    pub problem: Option<Problem>,
}

/// How long until a run comes again. `None`: never.
pub type Again = Option<Duration>;

/// Turns an outcome into what people see, and when the next run is due. `random` spreads those who wait for the same.
pub fn report(
    withdrawal: &Withdrawal,
    outcome: &Outcome,
    mut patience: Patience,
    now: Timestamp,
    random: u64,
) -> (Patience, WithdrawalState, Vec<String>, Option<Problem>, Again) {
    let Withdrawal { filename, public: Site { repository, .. }, digest, .. } = withdrawal;
    let name = tag_of(&withdrawal.distro).unwrap_or(filename.as_str());
    let jitter = Duration::from_millis(random % 1000);
    let waits = |patience: Patience| patience.waits_since.filter(|since| *since <= now).unwrap_or(now);
    let failed = |code: Code, what: String, public, evidence| {
        (WithdrawalState::NotWithdrawn, Vec::new(), Some(code.problem(what, public, evidence)), None)
    };
    let (state, notes, problem, again) = match outcome {
        Outcome::Withdrawn(stays) => {
            let stays = stays.as_ref().map(|why| format!("By its digest the image can still be pulled: {why}."));
            (WithdrawalState::Withdrawn, stays.into_iter().collect(), None, None)
        }
        Outcome::StillServed | Outcome::AwaitingDigest => {
            let since = waits(patience);
            patience = Patience { troubled: 0, waits_since: Some(since) };
            if now.since(since) > SERVED_MAX {
                let what = match outcome {
                    Outcome::StillServed => {
                        format!("{repository} has deleted `{name}`, and its index has gone on serving it for an hour.")
                    }
                    _ => format!("{repository} lists `{name}`, and has computed no SHA-256 of it in an hour."),
                };
                failed(Code::StillServed, what, Visible::Partly, None)
            } else {
                let wait = if now.since(since) < Duration::from_mins(1) { AGAIN[0] } else { AGAIN[1] };
                (WithdrawalState::UnderWay, Vec::new(), None, Some(wait + jitter))
            }
        }
        Outcome::StillListed => {
            // A list that is behind is asked again, and so is the deletion; a server that only says that it deletes is found out.
            patience.troubled = patience.troubled.saturating_add(1);
            let what = format!("{repository} says that it has deleted `{name}`, and still lists it.");
            if patience.troubled > ATTEMPTS_MAX {
                // What the server has accepted may yet happen.
                failed(Code::StillServed, what, Visible::Unknown, None)
            } else {
                let problem = Code::Trouble.problem(what, Visible::Unknown, None);
                (WithdrawalState::UnderWay, Vec::new(), Some(problem), Some(after(patience.troubled) + jitter))
            }
        }
        Outcome::AwaitingSlot(wait) => (WithdrawalState::UnderWay, Vec::new(), None, Some(*wait)),
        Outcome::Paused(stopped) => {
            let problem = Code::Stopped.problem(format!("{stopped}."), Visible::Done, None);
            (WithdrawalState::UnderWay, Vec::new(), Some(problem), Some(AGAIN[1] + jitter))
        }
        Outcome::Over => (WithdrawalState::NotWithdrawn, Vec::new(), None, None),
        Outcome::Other(found) => {
            let what = format!(
                "{repository} has other bytes as `{name}` than were released: found {found}, released {digest}. They were \
                 not touched."
            );
            failed(Code::Drift, what, Visible::Partly, None)
        }
        Outcome::NotPossible(why) => {
            let what = format!("{repository} does not let `{name}` be taken back: {why}.");
            failed(Code::NotWithdrawable, what, Visible::Done, None)
        }
        Outcome::Troubled(trouble) => {
            patience.troubled = patience.troubled.saturating_add(1);
            let what = format!("{}.", trouble.what);
            match trouble.kind {
                TroubleKind::Final(code) => failed(code, what, Visible::Unknown, trouble.evidence.clone()),
                _ if patience.troubled > ATTEMPTS_MAX => {
                    let what = format!("After {} attempts: {what}", patience.troubled);
                    failed(Code::Unreachable, what, Visible::Unknown, trouble.evidence.clone())
                }
                _ => {
                    let problem = Code::Trouble.problem(what, Visible::Unknown, trouble.evidence.clone());
                    (WithdrawalState::UnderWay, Vec::new(), Some(problem), Some(after(patience.troubled) + jitter))
                }
            }
        }
    };
    (patience, state, notes, problem, again)
}

/// How soon a run comes again after so much trouble.
fn after(troubled: u32) -> Duration {
    Duration::from_secs(1 << troubled.min(8))
}

/// What became of floating tags, a sentence each.
pub fn floated(floats: &[FloatsBack]) -> Vec<String> {
    let sentence = |FloatsBack { tag, to }: &FloatsBack| match to {
        Some(to) => format!(
            "`{tag}` leads to `{to}` again, the newest version of it that Slipway released and that is still public."
        ),
        None => format!("`{tag}` is gone: no earlier version of it that Slipway released is public."),
    };
    floats.iter().map(sentence).collect()
}

/// What the users of a target see once it is withdrawn, a sentence each. It is said before anything is done, and kept.
pub fn users_see(withdrawal: &Withdrawal) -> Vec<String> {
    let Withdrawal { filename, public: Site { repository, .. }, distro, stays, also, .. } = withdrawal;
    let kind = filename.file().and_then(Filename::kind);
    let lines = match kind {
        Some(PackageKind::Deb) => [
            format!(
                "apt no longer offers `{filename}` for {distro} after the next `apt-get update`; until then \
                 `apt-get install` asks for a file that is gone, and fails with 404."
            ),
            "Machines that have installed it keep it: apt neither removes it nor goes back. Release a higher version for \
             them."
                .to_owned(),
        ],
        Some(PackageKind::Rpm) => [
            format!(
                "dnf no longer offers `{filename}` for {distro} once it reads the repository's metadata anew, by \
                 `dnf makecache --refresh` or when they expire; until then a download fails with 404."
            ),
            "Machines that have installed it keep it: dnf neither removes it nor goes back. Release a higher version for \
             them."
                .to_owned(),
        ],
        None => {
            let tag = tag_of(distro).unwrap_or_default();
            let stays: Vec<String> = stays.iter().filter_map(|name| Some(format!("`{}`", tag_of(name)?))).collect();
            let by_digest = if stays.is_empty() {
                "so is whoever pulls it by its digest, unless another tag leads to it".to_owned()
            } else {
                format!("by its digest the image can still be pulled, since it is {}, too", stays.join(", "))
            };
            [
                format!("Whoever pulls `{repository}:{tag}` is told that there is no such image; {by_digest}."),
                "Images that were pulled stay where they are, and containers go on running.".to_owned(),
            ]
        }
    };
    let others = also.iter().map(|other| {
        format!("The same is public as `{other}`, which loses it, too: a release that is not named here.")
    });
    let ends = [
        "Mirrors and caches of others may keep it for as long as they like.".to_owned(),
        "The name is never released again; a fixed package needs another version.".to_owned(),
    ];
    others.chain(lines).chain(ends).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use http::Method;
    use slipway_packagecloud::Account;
    use slipway_wire::{Request, Response, Token, Unreachable};

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    /// A package server with a file or none, its index, and the record beside it.
    #[derive(Default)]
    struct World {
        listed: RefCell<Option<Digest>>,
        served: RefCell<Option<Digest>>,
        /// Whether the index is rebuilt at once.
        index_is_behind: bool,
        /// What a deletion answers: a status in place of doing it, or the work done and 504.
        refuses: Option<u16>,
        loses_the_answer: bool,
        may: Option<MayWithdraw>,
        deletions: Cell<u32>,
        begun: Cell<bool>,
        slots_out: Cell<i32>,
    }

    impl World {
        fn holding(text: &[u8]) -> Self {
            let digest = Some(Digest::of(text));
            Self { listed: RefCell::new(digest), served: RefCell::new(digest), ..Self::default() }
        }

        fn answer(&self, request: &Request) -> Response {
            let answer = |status: u16, body: String| {
                http::Response::builder().status(status).body(body.into_bytes()).expect("a status")
            };
            if request.method() == Method::DELETE {
                assert!(self.begun.get(), "it is written down before anything is deleted");
                assert_eq!(self.slots_out.get(), 1, "nobody else writes the name meanwhile");
                self.deletions.set(self.deletions.get() + 1);
                if let Some(status) = self.refuses {
                    return answer(status, "{}".to_owned());
                }
                self.listed.take();
                if !self.index_is_behind {
                    self.served.take();
                }
                return answer(if self.loses_the_answer { 504 } else { 200 }, "{}".to_owned());
            }
            let record = self.listed.borrow().map(|digest| {
                let digest = digest.to_string();
                let sum = digest.trim_start_matches("sha256:");
                format!(r#"{{"filename":"tug_1_amd64.deb","distro_version":"ubuntu/jammy","sha256sum":"{sum}"}}"#)
            });
            answer(200, format!("[{}]", record.unwrap_or_default()))
        }

        fn run(&self) -> Outcome {
            let account = Account::new("https://p.example.com".parse().expect("an address"), Token::new("t0k3n"));
            let repository = "harbour/tug".parse().expect("a repository");
            let store = Store::Packagecloud { account, repository, storage: Vec::new() };
            let withdrawal = withdrawal();
            let name = Name::of(&withdrawal.distro, &withdrawal.filename).expect("a name");
            let outcome = {
                let run = pin!(withdraw(self, self, &store, &name, &withdrawal, self.begun.get()));
                match run.poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => panic!("nothing here waits"),
                }
            };
            assert_eq!(self.slots_out.get(), 0, "the slot goes back");
            outcome
        }
    }

    impl Http for World {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            Ok(self.answer(&request))
        }

        async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            let mut answer = self.answer(&request);
            each(&std::mem::take(answer.body_mut()));
            Ok(answer)
        }
    }

    impl Withdraws for World {
        async fn find(&self) -> Result<Seen, Trouble> {
            Ok(self.listed.borrow().map_or(Seen::Nothing, Seen::Digest))
        }

        async fn served(&self) -> Result<Served, Trouble> {
            Ok(self.served.borrow().map_or(Served::NotListed, Served::Digest))
        }

        async fn slot(&self) -> Slot {
            self.slots_out.set(self.slots_out.get() + 1);
            Slot::Lent
        }

        async fn may_withdraw(&self) -> Result<MayWithdraw, Trouble> {
            Ok(self.may.clone().unwrap_or(MayWithdraw::Now { released: BTreeMap::new() }))
        }

        fn begins(&self, _floats: &[FloatsBack], _floated: Vec<Floated>) -> bool {
            self.begun.set(true);
            true
        }

        async fn ended(&self) {
            self.slots_out.set(self.slots_out.get() - 1);
        }
    }

    fn withdrawal() -> Withdrawal {
        Withdrawal {
            number: 1,
            project_id: 1001,
            version: "1".parse().expect("a version"),
            maturity: Maturity::Final,
            key: "deb".parse().expect("a key"),
            filename: "tug_1_amd64.deb".parse().expect("a file"),
            digest: Digest::of(b"bad"),
            public: Site { place: "depot".to_owned(), repository: "harbour/tug".to_owned() },
            distro: "ubuntu/jammy".to_owned(),
            with: Vec::new(),
            stays: Vec::new(),
            also: Vec::new(),
        }
    }

    #[test]
    fn exactly_the_released_bytes_are_taken_back_once() {
        let world = World::holding(b"bad");
        assert_eq!(world.run(), Outcome::Withdrawn(None));
        assert_eq!(world.run(), Outcome::Withdrawn(None));
        assert_eq!(world.deletions.get(), 1);
        let other = World::holding(b"other");
        assert_eq!(other.run(), Outcome::Other(Digest::of(b"other")));
        assert_eq!(other.deletions.get(), 0);
    }

    #[test]
    fn it_is_withdrawn_only_when_nobody_is_served_it_any_more() {
        let world = World { index_is_behind: true, ..World::holding(b"bad") };
        assert_eq!(world.run(), Outcome::StillServed);
        world.served.take();
        assert_eq!(world.run(), Outcome::Withdrawn(None));
        // A list that is behind is no evidence either.
        let behind = World { listed: RefCell::new(None), ..World::holding(b"bad") };
        assert_eq!(behind.run(), Outcome::StillServed);
        assert_eq!(behind.deletions.get(), 0);
    }

    #[test]
    fn a_lost_answer_is_no_failure_and_a_refusal_changes_nothing() {
        let lost = World { loses_the_answer: true, ..World::holding(b"bad") };
        assert_eq!(lost.run(), Outcome::Withdrawn(None));
        let refused = World { refuses: Some(403), ..World::holding(b"bad") };
        assert!(
            matches!(refused.run(), Outcome::Troubled(trouble) if trouble.kind == TroubleKind::Final(Code::NoAccess))
        );
        assert!(refused.served.borrow().is_some());
    }

    #[test]
    fn a_stop_and_an_end_in_the_record_keep_it_from_beginning() {
        let stopped = Stopped { why: "wrong".to_owned(), by: "operator".to_owned(), at: NOW };
        for (may, outcome) in
            [(MayWithdraw::Stopped(stopped.clone()), Outcome::Paused(stopped)), (MayWithdraw::Over, Outcome::Over)]
        {
            let world = World { may: Some(may), ..World::holding(b"bad") };
            assert_eq!(world.run(), outcome);
            assert!(!world.begun.get() && world.deletions.get() == 0);
        }
    }

    #[test]
    fn trouble_is_tried_again_and_ends_and_waiting_for_an_index_has_an_end() {
        let asked = |outcome: &Outcome, patience, now| report(&withdrawal(), outcome, patience, now, 0);
        let trouble = Outcome::Troubled(Trouble::passing("the connection broke"));
        let mut patience = Patience::default();
        for _ in 0..ATTEMPTS_MAX {
            let (next, state, _, problem, again) = asked(&trouble, patience, NOW);
            patience = next;
            assert_eq!((state, again.is_some()), (WithdrawalState::UnderWay, true));
            assert_eq!(problem.expect("it is said").code, "trouble");
        }
        let (_, state, _, problem, again) = asked(&trouble, patience, NOW);
        assert_eq!((state, again), (WithdrawalState::NotWithdrawn, None));
        assert_eq!(problem.expect("it is said").code, "unreachable");

        let (patience, state, ..) = asked(&Outcome::StillServed, Patience::default(), NOW);
        assert_eq!(state, WithdrawalState::UnderWay);
        let late = NOW + SERVED_MAX + Duration::from_secs(1);
        let (_, state, _, problem, again) = asked(&Outcome::StillServed, patience, late);
        assert_eq!((state, again), (WithdrawalState::NotWithdrawn, None));
        assert_eq!(problem.expect("it is said").code, "still-served");
    }

    #[test]
    fn one_that_ends_says_that_the_bytes_are_public_only_where_nothing_was_deleted() {
        let over = Timestamp(NOW.0 + 2 * i64::try_from(SERVED_MAX.as_millis()).expect("an hour"));
        let last = Patience { troubled: ATTEMPTS_MAX, waits_since: Some(NOW) };
        for (outcome, public) in [
            (Outcome::NotPossible("405".to_owned()), "done"),
            (Outcome::StillServed, "partly"),
            (Outcome::AwaitingDigest, "partly"),
            (Outcome::Other(Digest::of(b"other")), "partly"),
            (Outcome::StillListed, "unknown"),
            (Outcome::Troubled(Trouble::passing("the connection broke")), "unknown"),
        ] {
            let (_, state, _, problem, _) = report(&withdrawal(), &outcome, last, over, 0);
            assert_eq!(state, WithdrawalState::NotWithdrawn, "{outcome:?}");
            assert_eq!(problem.expect("it is said").public, public, "{outcome:?}");
        }
    }

    #[test]
    fn what_users_see_is_said_for_each_kind() {
        let said = |filename: &str, distro: &str| {
            let withdrawal =
                Withdrawal { filename: filename.parse().expect("a name"), distro: distro.to_owned(), ..withdrawal() };
            users_see(&withdrawal).join(" ")
        };
        for (filename, distro, part) in [
            ("tug_1_amd64.deb", "ubuntu/jammy", "`apt-get update`"),
            ("tug-1-1.x86_64.rpm", "el/9", "`dnf makecache --refresh`"),
            ("registry.example.com/team/app", ":17.3.1", "`harbour/tug:17.3.1`"),
        ] {
            assert!(said(filename, distro).contains(part), "{filename}: {}", said(filename, distro));
        }
        let shared = Withdrawal { also: vec!["1.1/tug".to_owned()], ..withdrawal() };
        assert!(users_see(&shared)[0].contains("`1.1/tug`, which loses it, too"), "{:?}", users_see(&shared));
        let tagged = Withdrawal {
            filename: "registry.example.com/team/app".parse().expect("an image"),
            distro: ":17.3.1".to_owned(),
            stays: vec![":17.3.1-ee".to_owned()],
            ..withdrawal()
        };
        assert!(
            users_see(&tagged)[0].contains("can still be pulled, since it is `17.3.1-ee`"),
            "{:?}",
            users_see(&tagged)
        );
        let float = |to: Option<&str>| FloatsBack {
            tag: "latest".parse().expect("a tag"),
            to: to.map(|tag| tag.parse().expect("a tag")),
        };
        assert_eq!(
            floated(&[float(Some("17.3.0")), float(None)]),
            [
                "`latest` leads to `17.3.0` again, the newest version of it that Slipway released and that is still public.",
                "`latest` is gone: no earlier version of it that Slipway released is public.",
            ]
        );
    }
}
