//! What is taken back of one package, from the question to its end in the record, over a package server that does what a test
//! wants: it is killed anywhere, loses answers, is behind, refuses, or says that it has deleted what it keeps.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Method;
use slipway_core::api::{WithdrawalRequest, WithdrawalState, Withdrawals};
use slipway_core::cargo::Cargo;
use slipway_core::config::Config;
use slipway_core::inventory::{Seen, Served};
use slipway_core::promotion::{May, MayEnd, Order, Slot};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::route::Site;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::stop::Stopped;
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};
use slipway_edge::account::{AskSlot, SlotEnded};
use slipway_edge::changes::By;
use slipway_edge::denied::Unanswered;
use slipway_edge::port::{Clock, PackageHost, ProjectHost, Silent, Target, Told};
use slipway_edge::withdraw;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Ask, NameTaken, PublicName, Record, Sql as _, Work, audit};
use slipway_packagecloud::Account;
use slipway_wire::{Digest, Http, RelayError, Relayed, Request, Response, Token, Transfer, Unreachable};

use support::{JAMMY, NOW, STABLE, config, key, record, stage, version};

mod support;

const FILE: &str = "tug_1.2.0_amd64.deb";

fn bad() -> Digest {
    Digest::of(b"bad")
}

fn other() -> Digest {
    Digest::of(b"other")
}

/// What the server makes of a request to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletion {
    /// It deletes and says so.
    Done,
    /// It deletes, and the answer is lost.
    Unanswered,
    /// It says that it has deleted, and keeps the file.
    Kept,
    /// It refuses.
    Refused(u16),
}

type Meanwhile = Box<dyn FnOnce(&World)>;

/// A project's record, a package's object, and the public place.
struct World {
    record: Record<Database>,
    work: Work<Database>,
    config: Config,
    now: Cell<Timestamp>,
    /// What the API lists, and what the index serves.
    listed: Cell<Option<Digest>>,
    served: Cell<Option<Digest>>,
    deletion: Cell<Deletion>,
    /// For how long after a deletion the list, and the index, show what is gone.
    list_behind: Duration,
    index_behind: Duration,
    deleted_at: Cell<Option<Timestamp>>,
    /// The digests that the server was told to delete.
    deletions: RefCell<Vec<Digest>>,
    /// When the slot was asked for that is lent. Only its own end gives it back.
    lent: Cell<Option<Timestamp>>,
    /// After so many awaits the run is killed.
    killed_after: Cell<Option<u32>>,
    /// What somebody else does when the slot is lent, when leave was given, or when a deletion was done.
    at_the_slot: RefCell<Option<Meanwhile>>,
    at_the_leave: RefCell<Option<Meanwhile>>,
    at_the_deletion: RefCell<Option<Meanwhile>>,
}

impl World {
    /// With one target that is released.
    fn new() -> Self {
        let record = record();
        stage(&record, "tug", &[JAMMY], FILE, b"bad");
        let world = Self {
            record,
            work: Work::open(Database::in_memory()).expect("an object"),
            config: config(""),
            now: Cell::new(NOW),
            listed: Cell::new(Some(bad())),
            served: Cell::new(Some(bad())),
            deletion: Cell::new(Deletion::Done),
            list_behind: Duration::ZERO,
            index_behind: Duration::ZERO,
            deleted_at: Cell::new(None),
            deletions: RefCell::default(),
            lent: Cell::new(None),
            killed_after: Cell::new(None),
            at_the_slot: RefCell::default(),
            at_the_leave: RefCell::default(),
            at_the_deletion: RefCell::default(),
        };
        world.is(TargetState::Released);
        world
    }

    fn is(&self, state: TargetState) {
        self.record.sql().query("UPDATE targets SET state = ?", &[state.code().into()]).expect("a target");
    }

    fn holds(&self, digest: Digest) {
        self.listed.set(Some(digest));
        self.served.set(Some(digest));
        self.deleted_at.set(None);
    }

    /// What a name leads to, as long as its list or index is not behind.
    fn seen(&self, now: &Cell<Option<Digest>>, behind: Duration) -> Option<Digest> {
        let is_behind = self.deleted_at.get().is_some_and(|at| self.now.get().since(at) < behind);
        if is_behind { Some(bad()) } else { now.get() }
    }

    async fn awaits(&self) {
        match self.killed_after.get() {
            Some(0) => pending().await,
            left => self.killed_after.set(left.map(|left| left - 1)),
        }
    }

    fn asks(&self, request: WithdrawalRequest) -> Result<Withdrawals, Unanswered> {
        let by = By { name: "user:mira".to_owned(), id: Some(7) };
        let project = self.config.projects.first().expect("one project");
        let (call, version) = (withdraw::Call { by, request }, version());
        let asked = withdraw::ask(&self.record, self, &self.config, project, &version, &call);
        asked.now_or_never().expect("nothing here waits")
    }

    /// What was refused: who asked, of what, and why not.
    fn refused(&self) -> Vec<String> {
        let rows = audit::entries(self.record.sql(), 1, 1000).expect("rows").into_iter();
        let refused = rows.map(|row| row.event).filter(|event| event.action == "refused");
        refused.map(|event| format!("{} {} {}", event.actor, event.subject, event.details)).collect()
    }

    fn taken_back() -> WithdrawalRequest {
        WithdrawalRequest {
            keys: vec![key("tug")],
            reason: "it pulls the wrong way".to_owned(),
            ..WithdrawalRequest::default()
        }
    }

    /// Hands over what was asked for, and runs the package's object until it has nothing left to do.
    fn runs(&self) {
        for withdrawal in self.record.withdrawals_to_give().expect("rows") {
            self.work.accept_withdrawal(&withdrawal, self.now.get()).expect("a row");
            self.record.withdrawals_given(&[withdrawal.number]).expect("a row");
        }
        for _ in 0..1000 {
            // A run that is killed gives no answer; the next alarm begins another.
            if withdraw::drive(&self.work, self).now_or_never().is_none() {
                self.killed_after.set(None);
                self.now.set(self.now.get() + Duration::from_secs(1));
            }
            match withdraw::next(&self.work, self).expect("rows") {
                None => {
                    assert_eq!(self.lent.get(), None, "the slot goes back");
                    return;
                }
                Some(at) => self.now.set(at.max(self.now.get())),
            }
        }
        panic!("it never ends");
    }

    fn state(&self) -> TargetState {
        self.record.candidate(&version(), &key("tug")).expect("a row").expect("it is planned").targets[0].1
    }

    fn withdraws(&self) -> (TargetState, WithdrawalState, Option<String>) {
        self.asks(Self::taken_back()).expect("it is released");
        self.runs();
        let shown = self.record.withdrawal(&version(), &key("tug"), JAMMY).expect("a row").expect("it was asked for");
        let state = self.state();
        (state, shown.state, shown.problem.map(|problem| format!("{}: {}", problem.code, problem.what)))
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn random(&self) -> [u8; 16] {
        [0; 16]
    }

    async fn pause(&self, _wait: Duration) {}
}

impl Http for World {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.awaits().await;
        let answer = |status: u16, body: String| {
            Ok(http::Response::builder().status(status).body(body.into_bytes()).expect("an answer"))
        };
        if request.method() == Method::DELETE {
            assert!(self.lent.get().is_some(), "nobody else writes the name meanwhile");
            let Some(there) = self.listed.get() else { return answer(404, r#"{"filename":["not found"]}"#.to_owned()) };
            self.deletions.borrow_mut().push(there);
            match self.deletion.get() {
                Deletion::Refused(status) => return answer(status, "{}".to_owned()),
                Deletion::Kept => return answer(200, "{}".to_owned()),
                Deletion::Done | Deletion::Unanswered => {
                    self.listed.set(None);
                    self.served.set(None);
                    self.deleted_at.set(Some(self.now.get()));
                }
            }
            if let Some(meanwhile) = self.at_the_deletion.take() {
                meanwhile(self);
            }
            self.awaits().await;
            return match self.deletion.get() {
                Deletion::Unanswered => {
                    Err(Unreachable { host: "packages.example.com".to_owned(), why: "it hung up".to_owned() })
                }
                _ => answer(200, "{}".to_owned()),
            };
        }
        let record = self.seen(&self.listed, self.list_behind).map(|digest| {
            let digest = digest.to_string();
            let sum = digest.trim_start_matches("sha256:");
            format!(r#"{{"filename":"{FILE}","distro_version":"{JAMMY}","sha256sum":"{sum}"}}"#)
        });
        answer(200, format!("[{}]", record.unwrap_or_default()))
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let mut answer = self.send(request).await?;
        each(&std::mem::take(answer.body_mut()));
        Ok(answer)
    }
}

fn store() -> Store {
    let account = Account::new("https://packages.example.com".parse().expect("an address"), Token::new("t0k3n"));
    Store::Packagecloud { account, repository: STABLE.parse().expect("a repository"), storage: Vec::new() }
}

impl PackageHost for World {
    fn open(&self, _site: &Site) -> Result<Store, String> {
        Ok(store())
    }

    fn transfers(&self, _place: &str) -> u32 {
        1
    }

    async fn relay(
        &self,
        _target: &Target<'_>,
        _transfer: Transfer,
        _until: Option<Timestamp>,
    ) -> Result<Relayed, RelayError> {
        unreachable!("nothing is copied here")
    }

    async fn slot(&self, _place: &str, ask: &AskSlot) -> Result<Slot, Silent> {
        self.awaits().await;
        self.lent.set(Some(ask.asked_at));
        if let Some(meanwhile) = self.at_the_slot.take() {
            meanwhile(self);
        }
        Ok(Slot::Lent)
    }

    async fn may_act(&self, _ask: &Ask) -> Result<May, Silent> {
        unreachable!("nothing is promoted here")
    }

    async fn may_end(&self, _project_id: u64, _version: &Version, _key: &Key) -> Result<MayEnd, Silent> {
        unreachable!("nothing is promoted here")
    }

    async fn stopped(&self, _project_id: u64) -> Result<Option<Stopped>, Silent> {
        self.awaits().await;
        self.record.stopped().map_err(|error| Silent(error.to_string()))
    }

    async fn slot_ended(&self, _place: &str, ended: &SlotEnded) -> Result<(), Silent> {
        self.awaits().await;
        self.lent.set(self.lent.get().filter(|asked_at| *asked_at != ended.asked_at));
        Ok(())
    }

    async fn renew_slot(&self, _place: &str, _package: &str, _distro: &str) -> Result<(), Silent> {
        Ok(())
    }

    async fn find(&self, _site: &Site, _under: &str, _cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        self.awaits().await;
        Ok(Ok(self.seen(&self.listed, self.list_behind).map_or(Seen::Nothing, Seen::Digest)))
    }

    async fn served(&self, _site: &Site, _target: &str, _cargo: &Cargo) -> Result<Result<Served, Trouble>, Silent> {
        self.awaits().await;
        Ok(Ok(self.seen(&self.served, self.index_behind).map_or(Served::NotListed, Served::Digest)))
    }

    async fn report(&self, _told: &Told) -> Result<(), Silent> {
        unreachable!("nothing is promoted here")
    }

    async fn may_withdraw(&self, withdrawal: &Withdrawal) -> Result<MayWithdraw, Silent> {
        self.awaits().await;
        let may = self.record.may_withdraw(withdrawal.number).map_err(|error| Silent(error.to_string()));
        if let Some(meanwhile) = self.at_the_leave.take() {
            meanwhile(self);
        }
        may
    }

    async fn report_withdrawal(&self, withdrawal: &Withdrawal, report: &WithdrawalReport) -> Result<(), Silent> {
        self.awaits().await;
        self.record.withdrawal_seen(withdrawal, report, self.now()).map_err(|error| Silent(error.to_string()))?;
        self.awaits().await;
        Ok(())
    }
}

impl ProjectHost for World {
    type Signer = NoSigner;

    async fn signer(&self) -> Result<Option<NoSigner>, SigningError> {
        Ok(None)
    }

    async fn hand_over(&self, _order: &Order) -> Result<(), Silent> {
        unreachable!("nothing is promoted here")
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent> {
        panic!("what is taken back of {} is given by hand here", withdrawal.key)
    }

    fn open(&self, _site: &Site) -> Result<Store, String> {
        Ok(store())
    }

    fn announce(&self, _version: &Version) {}

    async fn find(&self, site: &Site, under: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        PackageHost::find(self, site, under, cargo).await
    }

    async fn answered_at(&self, _place: &str) -> Result<Option<Timestamp>, Silent> {
        Ok(None)
    }

    async fn name_taken(&self, _: u64, _: &[PublicName]) -> Result<Option<NameTaken>, Silent> {
        Ok(None)
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        Err(format!("there is no `{name}`"))
    }

    fn write(&self, _entry: &slipway_core::log::Entry<'_>) {}
}

#[test]
fn a_withdrawal_that_is_killed_anywhere_is_finished_and_deletes_once() {
    let mut kills = 0;
    for awaits in 0..40 {
        let world = World::new();
        world.asks(World::taken_back()).expect("it is released");
        world.killed_after.set(Some(awaits));
        world.runs();
        kills += u32::from(world.killed_after.get().is_none());
        let state = world.state();
        assert_eq!(state, TargetState::Withdrawn, "killed after {awaits}");
        assert_eq!(*world.deletions.borrow(), [bad()], "killed after {awaits}");
        let rows = "SELECT 1 FROM audit WHERE action = 'withdrawn'";
        assert_eq!(world.record.sql().query(rows, &[]).expect("rows").len(), 1, "killed after {awaits}");
    }
    assert!(kills > 10 && kills < 40, "{kills}: a run has more awaits than that, and ends");
}

#[test]
fn other_bytes_that_came_under_the_name_are_never_deleted() {
    // Somebody publishes others by hand after the deletion, whose answer is lost.
    let world = World::new();
    world.deletion.set(Deletion::Unanswered);
    world.at_the_deletion.replace(Some(Box::new(|world| world.holds(other()))));
    let (state, ended, problem) = world.withdraws();
    assert_eq!((state, ended), (TargetState::Released, WithdrawalState::NotWithdrawn));
    assert!(problem.expect("it is said").starts_with("drift: "));
    assert_eq!(*world.deletions.borrow(), [bad()]);
    // Or between the look and the deletion.
    let world = World::new();
    world.at_the_slot.replace(Some(Box::new(|world| world.holds(other()))));
    let (_, ended, problem) = world.withdraws();
    assert_eq!(ended, WithdrawalState::NotWithdrawn);
    assert!(problem.expect("it is said").contains("They were not touched"));
    assert_eq!(*world.deletions.borrow(), []);
}

#[test]
fn a_server_that_says_that_it_has_deleted_what_it_keeps_is_found_out() {
    let world = World::new();
    world.deletion.set(Deletion::Kept);
    let (state, ended, problem) = world.withdraws();
    assert_eq!((state, ended), (TargetState::Released, WithdrawalState::NotWithdrawn));
    let problem = problem.expect("it is said");
    assert!(problem.starts_with("still-served: ") && problem.contains("says that it has deleted"), "{problem}");
    assert!(world.now.get().since(NOW) > Duration::from_mins(10), "a list may be behind for a while");
    // Asked again, it may work.
    world.deletion.set(Deletion::Done);
    assert_eq!(world.withdraws().0, TargetState::Withdrawn);
}

#[test]
fn a_list_and_an_index_that_are_behind_are_awaited() {
    let behind = World { list_behind: Duration::from_mins(4), index_behind: Duration::from_mins(20), ..World::new() };
    assert_eq!(behind.withdraws(), (TargetState::Withdrawn, WithdrawalState::Withdrawn, None));
    assert!(behind.now.get().since(NOW) >= Duration::from_mins(20), "nobody is served it any more");
    assert_eq!(*behind.deletions.borrow(), [bad()], "what the server itself does not have is not deleted again");

    let never = World { index_behind: Duration::from_hours(100), ..World::new() };
    let (state, _, problem) = never.withdraws();
    assert_eq!(state, TargetState::Released, "somebody may be served it");
    assert!(problem.expect("it is said").starts_with("still-served: "));
}

#[test]
fn a_refusal_of_the_server_is_told_and_nothing_has_changed() {
    let world = World::new();
    world.deletion.set(Deletion::Refused(403));
    let (state, ended, problem) = world.withdraws();
    assert_eq!((state, ended), (TargetState::Released, WithdrawalState::NotWithdrawn));
    assert!(problem.expect("it is said").starts_with("no-access: "));
    assert_eq!(world.served.get(), Some(bad()));
}

#[test]
fn a_server_that_does_not_delete_is_told_with_what_to_do_and_is_found_to_lack_the_file_once_that_was_done() {
    for status in [405, 501] {
        let world = World::new();
        world.deletion.set(Deletion::Refused(status));
        let (state, ended, problem) = world.withdraws();
        assert_eq!((state, ended), (TargetState::Released, WithdrawalState::NotWithdrawn), "{status}");
        let problem = problem.expect("it is said");
        let says = format!("not-withdrawable: {STABLE} does not let `{FILE}` be taken back: ");
        assert!(problem.starts_with(&says), "{status}: {problem}");
        assert_eq!(*world.deletions.borrow(), [bad()], "{status}: it is not asked again, since it would say the same");
        assert_eq!(world.served.get(), Some(bad()));
        let shown = world.record.withdrawal(&version(), &key("tug"), JAMMY).expect("a row").expect("it was asked for");
        let next = shown.problem.expect("it is said").next;
        assert!(next.starts_with("Operator: take it out at the server itself"), "{next}");
        // The operator does, and somebody asks again.
        world.listed.set(None);
        world.served.set(None);
        assert_eq!(world.withdraws(), (TargetState::Withdrawn, WithdrawalState::Withdrawn, None), "{status}");
        assert_eq!(world.deletions.borrow().len(), 1, "{status}");
    }
}

fn denied(asked: Result<Withdrawals, Unanswered>) -> (u16, String) {
    match asked {
        Err(Unanswered::Denied(denied)) => (denied.status, denied.kind.to_owned()),
        Err(Unanswered::Record(error)) => (0, error.to_string()),
        Ok(answer) => panic!("it is not denied: {answer:?}"),
    }
}

#[test]
fn a_withdrawal_names_what_it_takes_back_and_why_and_none_is_begun_while_slipway_is_stopped() {
    let world = World::new();
    let asked = World::taken_back();
    for reason in ["", "  ", &"long ".repeat(200)] {
        let without = WithdrawalRequest { reason: reason.to_owned(), ..asked.clone() };
        assert_eq!(denied(world.asks(without)).0, 422, "{reason:?}");
    }
    assert_eq!(denied(world.asks(WithdrawalRequest { keys: Vec::new(), ..asked.clone() })).0, 422);
    world.record.stop("operator", "wrong", NOW).expect("a switch");
    assert_eq!(denied(world.asks(asked.clone())), (409, "stopped".to_owned()));
    world.record.start("operator", "mended", NOW).expect("a switch");
    // Whoever looks has asked for nothing, so nothing is refused.
    world.is(TargetState::Staged);
    assert!(world.asks(WithdrawalRequest { dry_run: true, ..asked.clone() }).is_err(), "nothing of it is released");
    assert_eq!(world.refused().len(), 1, "only what was asked while it was stopped");
    // What is on its way to the public, or never was there, is not taken back.
    for state in [TargetState::Approved, TargetState::Releasing, TargetState::Staged] {
        world.is(state);
        let (_, why) = denied(world.asks(asked.clone()));
        assert!(why.contains("nothing of `tug` of 1.2.0 is released"), "{state:?}: {why}");
    }
    assert_eq!(world.record.withdrawals_to_give().expect("rows"), [], "nothing was written down");
    // But that it was refused: once for each reason, and not for what was asked wrongly.
    let refused = world.refused();
    assert_eq!(refused.len(), 2, "{refused:?}");
    for (row, why) in refused.iter().zip(["stopped", "nothing of `tug` of 1.2.0 is released"]) {
        assert!(row.starts_with("user:mira 1.2.0 {\"act\":\"POST withdrawals\"") && row.contains(why), "{row}");
    }
}

#[test]
fn a_dry_run_says_what_is_there_and_writes_nothing_down() {
    let world = World::new();
    let dry = WithdrawalRequest { dry_run: true, reason: String::new(), ..World::taken_back() };
    let told = |world: &World| world.asks(dry.clone()).expect("a look needs no reason").withdrawals.remove(0);
    assert_eq!(told(&world).found, None);
    assert!(told(&world).users.iter().any(|sentence| sentence.contains("apt-get update")));
    world.holds(other());
    assert!(told(&world).found.expect("it is said").contains(&other().to_string()));
    world.listed.set(None);
    assert!(told(&world).found.is_some_and(|found| found.starts_with("nothing is there")));
    assert_eq!(world.record.withdrawals_to_give().expect("rows"), []);
    let rows = world.record.sql().query("SELECT 1 FROM audit WHERE action = 'withdrawing'", &[]).expect("rows");
    assert_eq!(rows.len(), 0);
}

#[test]
fn what_users_see_is_in_the_record_before_anything_is_done_and_two_who_ask_at_once_begin_one() {
    let world = World::new();
    let first = world.asks(World::taken_back()).expect("it is released");
    let second = world.asks(World::taken_back()).expect("it is under way");
    assert_eq!((first.withdrawals.len(), second.withdrawals.len()), (1, 0));
    assert_eq!(*world.deletions.borrow(), []);
    let rows = "SELECT details, actor FROM audit WHERE action = 'withdrawing'";
    let rows = world.record.sql().query(rows, &[]).expect("rows");
    assert_eq!(rows.len(), 1);
    let details = rows[0].text(0).expect("text");
    for part in ["it pulls the wrong way", "apt-get update", &bad().to_string()] {
        assert!(details.contains(part), "{part}: {details}");
    }
    assert_eq!(rows[0].text(1).expect("text"), "user:mira");
    world.runs();
    assert_eq!(*world.deletions.borrow(), [bad()]);
}

#[test]
fn a_stop_while_it_is_under_way_lets_it_wait_and_a_start_lets_it_go_on() {
    fn stops(world: &World) {
        world.record.stop("operator", "wrong", NOW).expect("a switch");
    }
    // After leave was given, and before the request that deletes.
    let world = World::new();
    world.at_the_leave.replace(Some(Box::new(stops)));
    world.asks(World::taken_back()).expect("it is released");
    let orders = world.record.withdrawals_to_give().expect("rows");
    world.work.accept_withdrawal(&orders[0], NOW).expect("a row");
    withdraw::drive(&world.work, &world).now_or_never().expect("nothing here waits").expect("rows");
    assert_eq!(*world.deletions.borrow(), [], "nothing is deleted while Slipway is stopped");

    let world = World::new();
    world.at_the_slot.replace(Some(Box::new(stops)));
    world.asks(World::taken_back()).expect("it is released");
    let orders = world.record.withdrawals_to_give().expect("rows");
    world.work.accept_withdrawal(&orders[0], NOW).expect("a row");
    withdraw::drive(&world.work, &world).now_or_never().expect("nothing here waits").expect("rows");
    assert_eq!(*world.deletions.borrow(), [], "nothing is deleted while Slipway is stopped");
    let shown = world.record.withdrawal(&version(), &key("tug"), JAMMY).expect("a row").expect("it was asked for");
    assert_eq!(shown.problem.map(|problem| problem.code).as_deref(), Some("stopped"));
    world.record.start("operator", "mended", NOW).expect("a switch");
    world.now.set(NOW + Duration::from_mins(1));
    world.runs();
    assert_eq!(*world.deletions.borrow(), [bad()]);
}
