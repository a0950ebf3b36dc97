//! What becomes of staged packages, run after run, over a staging server that answers as a test wants.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use slipway_core::api::{Expectation, StagedFile};
use slipway_core::cargo::{Cargo, Kind};
use slipway_core::config::Config;
use slipway_core::expectation::Planned;
use slipway_core::inventory::{Seen, Served};
use slipway_core::promotion::{Order, OrderTarget};
use slipway_core::release::{Key, Maturity, Version};
use slipway_core::retention::{Decision, RUN};
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::signing::{PublicKey, Signature, Signer, SigningError};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::retention::{Mode, StagingHost, run};
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Held, Record, Removal, Sight, StagedObject, audit};
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

const NOW: Timestamp = Timestamp(1_795_392_000_000);
const JAMMY: &str = "ubuntu/jammy";
const NAMES: [&str; 3] = ["one", "three", "two"];

const CONFIG: &str = r#"
    [edge]
    url = "https://slipway.example.com"
    [gitlab]
    url = "https://gitlab.example.com"
    token = "GITLAB_TOKEN"
    [retention]
    enabled = true
    files_per_run = 2
    [places.depot]
    kind = "packagecloud"
    url = "https://packages.example.com"
    token = "PLACE_TOKEN"
    [[routes]]
    staging = { place = "depot", repository = "harbour-ci/pre-release" }
    public = { place = "depot", repository = "harbour/stable" }
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "WEBHOOK_TOKEN"
    [[projects]]
    id = 1002
    namespace_id = 71
    name = "buoy"
    webhook_token = "WEBHOOK_TOKEN_BUOY"
"#;

/// What the server does with a deletion.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It deletes, and says so.
    It,
    /// It deletes, and the answer is lost.
    ItInSilence,
    /// Nothing, and the answer is lost.
    Nothing,
}

struct Host {
    now: Cell<Timestamp>,
    /// How far the server's clock is ahead.
    apart: Cell<Duration>,
    staged: RefCell<BTreeMap<String, Digest>>,
    deleted: RefCell<Vec<String>>,
    does: Cell<Does>,
    /// Whether the other project can do without its files.
    is_free: Cell<Option<bool>>,
    lent: Cell<u32>,
}

struct Pen;

impl Signer for Pen {
    fn public_key(&self) -> &PublicKey {
        const { &PublicKey::from_bytes([7; 32]) }
    }

    async fn sign(&self, _message: &[u8]) -> Result<Signature, SigningError> {
        Ok(Signature::from_bytes([7; 64]))
    }
}

impl Clock for Host {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn random(&self) -> [u8; 16] {
        [0; 16]
    }

    async fn pause(&self, _wait: Duration) {}
}

impl Http for Host {
    async fn send(&self, _request: Request) -> Result<Response, Unreachable> {
        Err(Unreachable { host: "packages.example.com".to_owned(), why: "nobody asks".to_owned() })
    }

    async fn read(&self, request: Request, _each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.send(request).await
    }
}

impl ProjectHost for Host {
    type Signer = Pen;

    async fn signer(&self) -> Result<Option<Pen>, SigningError> {
        Ok(None)
    }

    async fn hand_over(&self, _order: &Order) -> Result<(), Silent> {
        Ok(())
    }

    fn announce(&self, _version: &Version) {}

    async fn find(&self, _site: &Site, _under: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        let found = self.staged.borrow().get(cargo.as_str()).copied();
        Ok(Ok(found.map_or(Seen::Nothing, Seen::Digest)))
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        Err(format!("there is no `{name}`"))
    }

    fn log(&self, _line: &str) {}
}

impl StagingHost for Host {
    async fn served(&self, _: &Site, _: &str, _: &Cargo) -> Result<Result<Served, Trouble>, Silent> {
        Ok(Ok(Served::NotListed))
    }

    async fn arrival(&self, _: &Site, _: &str, _: &Cargo) -> Result<Option<Timestamp>, Trouble> {
        Ok(Some(NOW))
    }

    async fn server_time(&self, _place: &str) -> Result<Option<Timestamp>, Trouble> {
        Ok(Some(self.now() + self.apart.get()))
    }

    async fn can_do_without(&self, project_id: u64, _: &StagedObject, lend: bool) -> Result<bool, Silent> {
        assert_eq!(project_id, 1002, "its own record is not asked");
        self.lent.set(self.lent.get() + u32::from(lend));
        self.is_free.get().ok_or_else(|| Silent("it is away".to_owned()))
    }

    async fn remove(&self, removal: &Removal) -> Result<(), Trouble> {
        if self.does.get() != Does::Nothing {
            self.staged.borrow_mut().remove(removal.cargo.as_str());
            self.deleted.borrow_mut().push(removal.key.to_string());
        }
        if self.does.get() == Does::It { Ok(()) } else { Err(Trouble::passing("the connection broke")) }
    }
}

struct Edge {
    record: Record<Database>,
    host: Host,
    config: Config,
}

fn version() -> Version {
    "1.2.0".parse().expect("a version")
}

fn key(name: &str) -> Key {
    name.parse().expect("a key")
}

impl Edge {
    /// A release of three packages that was given up twenty days ago.
    fn new() -> Self {
        let config = Config::parse(CONFIG).expect("a good file");
        let record = Record::open(Database::in_memory()).expect("a record");
        record.know_project(1001).expect("known");
        let by: JobSession = serde_json::from_value(serde_json::json!({
            "project_id": 1001, "project_path": "harbour/tug", "pipeline_id": 7, "job_id": 1, "user": "mira", "user_id": 7,
            "user_level": null, "environment": null, "environment_protected": false, "ref_name": "v1.2.0", "sha": "aa",
            "token_id": "t", "ends_at": NOW.0,
        }))
        .expect("a session");
        let site = |repository: &str| Site { place: "depot".to_owned(), repository: repository.to_owned() };
        let mut staged = BTreeMap::new();
        for name in NAMES {
            let planned = Planned {
                key: key(name),
                expect: Expectation {
                    distros: vec![JAMMY.to_owned()],
                    tags: Vec::new(),
                    kind: Kind::Deb,
                    architecture: None,
                    release_job: format!("release: [{name}]"),
                    environment: format!("release/{name}"),
                    release_all_job: None,
                    release_all_environment: None,
                    skip: None,
                },
                staging: site("harbour-ci/pre-release"),
                targets: vec![OrderTarget { distro: JAMMY.to_owned(), public: site("harbour/stable"), how: How::Copy }],
            };
            record.expect(&version(), &by, &config.policy, Maturity::Final, &[planned], NOW).expect("a plan");
            let (filename, digest) = (format!("{name}_1.2.0_amd64.deb"), Digest::of(name.as_bytes()));
            let file = StagedFile { filename: filename.clone(), image: None, digest, size: 3 };
            record.declare(&version(), &key(name), &file, false, &by, NOW).expect("declared");
            record.seen_in_staging(&version(), &key(name), JAMMY, &digest, &Sight::Declared, NOW).expect("a look");
            staged.insert(filename, digest);
        }
        record.close(&version(), "user:mira", "given up", NOW).expect("a closing");
        let host = Host {
            now: Cell::new(NOW + Duration::from_hours(20 * 24)),
            apart: Cell::default(),
            staged: RefCell::new(staged),
            deleted: RefCell::default(),
            does: Cell::new(Does::It),
            is_free: Cell::new(Some(true)),
            lent: Cell::default(),
        };
        Self { record, host, config }
    }

    /// The keys that the list has a step for, with the step's name.
    fn lists(&self, mode: Mode) -> BTreeSet<String> {
        let project = self.config.project("tug").expect("the project");
        let survey = run(&self.record, &self.host, &self.config, project, mode);
        let survey = survey.now_or_never().expect("nothing waits").expect("a working record");
        let step = |decision: &Decision, waits: bool| match decision {
            Decision::Announce(_) => Some("announce"),
            Decision::Mark(_) => Some("mark"),
            Decision::Delete(_) if !waits => Some("delete"),
            Decision::TakeBack(_) => Some("take back"),
            Decision::Delete(_) | Decision::Keep(_) => None,
        };
        let listed = survey.listed.iter();
        listed
            .filter_map(|of| Some(format!("{} {}", step(&of.decision, of.waits_for_limits)?, of.package.key)))
            .collect()
    }

    /// Runs an hour apart, until something is deleted or so many days are over. Each does what the list before it said.
    fn runs(&self, days: u64) {
        for _ in 0..days * 24 {
            let (wanted, before) = (self.lists(Mode::DryRun), self.host.deleted.borrow().len());
            assert_eq!(self.lists(Mode::Run), wanted);
            let deleted = self.host.deleted.borrow()[before..].to_vec();
            if self.host.does.get() == Does::It {
                let due = wanted.iter().filter_map(|step| step.strip_prefix("delete "));
                assert_eq!(deleted, due.map(str::to_owned).collect::<Vec<_>>());
            }
            if wanted.iter().any(|step| step.starts_with("delete")) {
                return;
            }
            self.passes(RUN);
        }
    }

    fn passes(&self, time: Duration) {
        self.host.now.set(self.host.now() + time);
    }

    fn deleted(&self) -> Vec<String> {
        self.host.deleted.borrow().clone()
    }

    fn audited(&self, action: &str) -> usize {
        let rows = audit::entries(self.record.sql(), 1, 1000).expect("rows");
        rows.iter().filter(|row| row.event.action == action).count()
    }
}

#[test]
fn a_run_does_exactly_what_the_dry_run_before_it_lists_and_no_more_than_its_limits() {
    let edge = Edge::new();
    let began = edge.host.now();
    edge.runs(30);
    assert!(edge.host.now().since(began) >= Duration::from_hours(10 * 24), "notice and wait are ten days");
    assert_eq!(edge.deleted(), ["one", "three"], "two files a run");
    assert_eq!((edge.audited("announced"), edge.audited("marked"), edge.audited("deleted")), (3, 3, 2));
    edge.passes(RUN);
    edge.runs(1);
    assert_eq!(edge.deleted(), ["one", "three", "two"]);
    assert_eq!(edge.host.lent.get(), 3, "the other project is bound once for each");
    assert!(edge.host.staged.borrow().is_empty());
}

#[test]
fn what_the_answer_was_does_not_matter_and_one_that_is_lost_blocks_nothing() {
    let edge = Edge::new();
    edge.host.does.set(Does::ItInSilence);
    edge.runs(30);
    assert_eq!(edge.deleted(), ["one", "three"]);
    assert!(edge.record.removals().expect("rows").is_empty(), "a look has shown that they are gone");

    let edge = Edge::new();
    edge.host.does.set(Does::Nothing);
    edge.runs(30);
    let hold = || edge.record.hold(&version(), None, "user:nell", "wait", None, edge.host.now()).expect("a hold");
    let late = Held::TooLate(vec![key("one"), key("three")]);
    assert_eq!(hold(), late, "the request may still arrive");
    edge.passes(Duration::from_mins(1));
    edge.lists(Mode::Run);
    assert_eq!(hold(), late);
    edge.passes(Duration::from_mins(1));
    edge.lists(Mode::Run);
    assert_eq!(hold(), Held::InTime);
    assert_eq!((edge.deleted().len(), edge.audited("not-deleted")), (0, 2));
}

#[test]
fn another_project_that_needs_the_file_or_does_not_answer_keeps_it() {
    for answer in [Some(false), None] {
        let edge = Edge::new();
        edge.host.is_free.set(answer);
        edge.runs(30);
        assert!(edge.deleted().is_empty(), "{answer:?}");
        assert_eq!(edge.audited("announced"), 0, "{answer:?}");
    }
}

#[test]
fn clocks_that_do_not_agree_and_a_clock_that_jumps_delete_nothing_early() {
    let edge = Edge::new();
    edge.host.apart.set(Duration::from_hours(1));
    edge.runs(30);
    assert_eq!(edge.audited("announced"), 0);

    // Ten years at once, of the edge and the server alike, and back again.
    let edge = Edge::new();
    let right = edge.host.now();
    edge.lists(Mode::Run);
    for _ in 0..10 {
        edge.host.now.set(right + Duration::from_hours(24 * 3650));
        edge.lists(Mode::Run);
        edge.host.now.set(right);
        edge.lists(Mode::Run);
    }
    assert_eq!((edge.audited("announced"), edge.audited("marked")), (3, 0));
    assert!(edge.deleted().is_empty());
}

#[test]
fn nothing_is_announced_until_it_is_switched_on() {
    let mut edge = Edge::new();
    edge.config.retention.enabled = false;
    edge.runs(30);
    assert_eq!((edge.audited("announced"), edge.deleted().len()), (0, 0));
}
