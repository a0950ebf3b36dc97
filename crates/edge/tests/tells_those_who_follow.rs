//! Those who follow a release are told of what nobody has done: a gate opens by time alone, a place answers no more, or never.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::FutureExt as _;
use slipway_core::api::StagedFile;
use slipway_core::cargo::Cargo;
use slipway_core::expectation::Planned;
use slipway_core::inventory::Seen;
use slipway_core::promotion::Order;
use slipway_core::release::{Maturity, Version};
use slipway_core::route::Site;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::Withdrawal;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::project;
use slipway_ledger::{NameTaken, PublicName, Sent, Sight};
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

use support::{JAMMY, NOW, PIPELINE, STAGING, config, key, planned, record, session, stage, version};

mod support;

/// The other place.
const ANNEX: &str = "annex";

/// Nothing but a clock that is set by hand, a place beside another one that is always well, and a list of who was told.
struct Host {
    now: Cell<Timestamp>,
    /// What is in the place. None: it does not answer.
    seen: Cell<Option<Seen>>,
    /// The place does not even refuse. Inside: when its account heard of it last, if that says so.
    is_mute: RefCell<Option<Result<Option<Timestamp>, Silent>>>,
    told: RefCell<Vec<Version>>,
}

impl Host {
    fn new(seen: Seen) -> Self {
        Self { now: Cell::new(NOW), seen: Cell::new(Some(seen)), is_mute: RefCell::default(), told: RefCell::default() }
    }
}

impl Clock for Host {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn random(&self) -> [u8; 16] {
        [0; 16]
    }

    async fn pause(&self, wait: Duration) {
        self.now.set(self.now.get() + wait);
    }
}

impl Http for Host {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        panic!("nothing is asked of {}", request.uri())
    }

    async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        panic!("nothing is read of {}", request.uri())
    }
}

impl ProjectHost for Host {
    type Signer = NoSigner;

    async fn signer(&self) -> Result<Option<NoSigner>, SigningError> {
        Ok(None)
    }

    async fn hand_over(&self, order: &Order) -> Result<(), Silent> {
        panic!("nothing is ordered of {}", order.key)
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent> {
        panic!("nothing is taken back of {}", withdrawal.key)
    }

    fn open(&self, site: &Site) -> Result<Store, String> {
        panic!("nobody attaches anything in {}", site.repository)
    }

    fn announce(&self, version: &Version) {
        self.told.borrow_mut().push(version.clone());
    }

    async fn find(&self, site: &Site, _: &str, _: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        if site.place == ANNEX {
            return Ok(Ok(Seen::Digest(Digest::of(b"deb"))));
        }
        if self.is_mute.borrow().is_some() {
            std::future::pending::<()>().await;
        }
        Ok(self.seen.get().ok_or_else(|| Trouble::passing("it does not answer")))
    }

    async fn answered_at(&self, place: &str) -> Result<Option<Timestamp>, Silent> {
        assert_eq!(place, "depot", "the other has answered");
        self.is_mute.borrow().clone().expect("only a place that says nothing is asked about")
    }

    async fn name_taken(&self, _: u64, _: &[PublicName]) -> Result<Option<NameTaken>, Silent> {
        Ok(None)
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        Err(format!("`{name}` is not needed"))
    }

    fn write(&self, _entry: &slipway_core::log::Entry<'_>) {}
}

#[test]
fn the_alarm_comes_when_a_soak_is_over_and_those_who_follow_are_told_then() {
    let config = config("[[gates]]\nsoak = \"2h\"");
    let record = record();
    stage(&record, "deb", &[JAMMY], "tug_1.2.0_amd64.deb", b"deb");
    let host = Host::new(Seen::Nothing);
    let drive =
        || project::drive(&record, &host, &config, None).now_or_never().expect("nothing waits").expect("a record");
    let over = NOW + Duration::from_hours(2);
    assert_eq!(drive(), Some(over));
    assert!(host.told.borrow().is_empty(), "nothing has changed yet");
    host.now.set(over);
    assert_eq!(drive(), None, "nothing more opens by itself");
    assert_eq!(host.told.borrow().as_slice(), ["1.2.0".parse().expect("a version")]);
}

#[test]
fn those_who_follow_are_told_when_a_place_has_not_answered_for_a_while_and_when_it_answers_again() {
    let config = config("");
    let record = record();
    stage(&record, "deb", &[JAMMY], "tug_1.2.0_amd64.deb", b"deb");
    let host = Host::new(Seen::Digest(Digest::of(b"deb")));
    let shown = |minutes: u64, answers: bool| {
        host.now.set(NOW + Duration::from_mins(minutes));
        host.seen.set(answers.then(|| Seen::Digest(Digest::of(b"deb"))));
        host.told.take();
        project::look_again(&record, &host).now_or_never().expect("nothing waits").expect("a record");
        let release = record.release(&config, &config.projects[0], &version(), &Sent::default(), host.now());
        let release = release.expect("rows").expect("a release");
        let problem = release.packages[0].targets[0].problem.as_ref().map(|problem| problem.code.clone());
        (host.told.borrow().len(), problem)
    };
    assert_eq!(shown(11, true), (0, None));
    // Places are read every ten minutes, and one that misses a single time is believed.
    assert_eq!(shown(22, false), (0, None));
    assert_eq!(shown(33, false), (1, Some("unknown".to_owned())));
    assert_eq!(shown(44, false), (0, Some("unknown".to_owned())), "they know");
    assert_eq!(shown(55, true), (1, None));
}

#[test]
fn a_place_that_never_answers_is_told_of_within_ten_seconds_and_keeps_no_other_from_being_looked_at() {
    let config =
        config("[places.annex]\nkind = \"packagecloud\"\nurl = \"https://annex.example.com\"\ntoken = \"TOKEN\"");
    let record = record();
    stage(&record, "deb", &[JAMMY], "tug_1.2.0_amd64.deb", b"deb");
    let annex = Site { place: ANNEX.to_owned(), repository: STAGING.to_owned() };
    let mut plan = Planned { staging: annex.clone(), ..planned("other", &[JAMMY]) };
    plan.targets.iter_mut().for_each(|target| target.public = annex.clone());
    let (by, policy, digest) = (session(PIPELINE), Digest::of(b"policy"), Digest::of(b"deb"));
    record.expect(&version(), &by, &policy, Maturity::Final, &[plan], NOW).expect("a plan");
    let file = StagedFile { filename: "other_1.2.0_amd64.deb".to_owned(), image: None, digest, size: 3 };
    record.declare(&version(), &key("other"), &file, false, &by, NOW).expect("a declaration");
    record.seen_in_staging(&version(), &key("other"), JAMMY, &digest, &Sight::Declared, NOW).expect("a look");

    let host = Host::new(Seen::Digest(digest));
    // What is said of the packages, of the one place, and when the other was read last.
    let shown = |minutes: u64, is_mute: Option<Result<Option<Timestamp>, Silent>>| {
        let now = NOW + Duration::from_mins(minutes);
        host.now.set(now);
        host.is_mute.replace(is_mute);
        project::look_again(&record, &host).now_or_never().expect("it ends by itself").expect("a record");
        // The alarm that looks lets it go on for ten seconds, and drops it then.
        assert!(host.now.get().since(now) < Duration::from_secs(10), "{:?}", host.now.get().since(now));
        let release = record.release(&config, &config.projects[0], &version(), &Sent::default(), host.now());
        let packages = release.expect("rows").expect("a release").packages;
        let code = |at: usize| packages[at].targets[0].problem.as_ref().map(|problem| problem.code.clone());
        let sources = record.sources().expect("rows");
        let of = |place: &str| sources.iter().find(|of| of.place.as_deref() == Some(place)).expect("it was asked");
        let other: Timestamp = of(ANNEX).read_at.as_deref().expect("a time").parse().expect("a time");
        assert!(other >= now && of(ANNEX).trouble.is_none(), "{:?}", of(ANNEX));
        (code(0), code(1), of("depot").trouble.clone())
    };
    let silent = || Some(Ok(Some(NOW)));
    let trouble = || Some(format!("cannot look for `tug_1.2.0_amd64.deb` in {STAGING}: no answer within 8 s"));
    let unknown = || Some("unknown".to_owned());
    assert_eq!(shown(11, None), (None, None, None));
    assert_eq!(shown(22, silent()), (None, None, trouble()));
    assert_eq!(shown(33, Some(Ok(None))), (unknown(), None, trouble()));

    // One that answers page after page is not silent, though it has not said everything by then.
    let reading = Some(Ok(Some(NOW + Duration::from_mins(44) + Duration::from_secs(6))));
    assert_eq!(shown(44, reading), (None, None, None));

    // An account that does not answer says nothing of its place.
    for minutes in [55, 66, 77] {
        assert_eq!(shown(minutes, Some(Err(Silent("it is away".to_owned())))), (None, None, None));
    }
}
