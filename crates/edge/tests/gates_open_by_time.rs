//! The record's alarm comes when a gate opens by time alone, and those who follow the release are told then.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::FutureExt as _;
use slipway_core::api::{Expectation, StagedFile};
use slipway_core::cargo::{Cargo, Kind};
use slipway_core::config::Config;
use slipway_core::expectation::Planned;
use slipway_core::inventory::Seen;
use slipway_core::promotion::{Order, OrderTarget};
use slipway_core::release::{Key, Maturity, Version};
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::project;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Record, Sight};
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

const NOW: Timestamp = Timestamp(1_795_392_000_000);
const JAMMY: &str = "ubuntu/jammy";

const CONFIG: &str = r#"
    [edge]
    url = "https://slipway.example.com"
    [gitlab]
    url = "https://gitlab.example.com"
    token = "GITLAB_TOKEN"
    [places.depot]
    kind = "packagecloud"
    url = "https://packages.example.com"
    token = "PLACE_TOKEN"
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "WEBHOOK_TOKEN"
    [[routes]]
    staging = { place = "depot", repository = "harbour-ci/pre-release" }
    public = { place = "depot", repository = "harbour/stable" }
    [[gates]]
    soak = "2h"
"#;

/// Nothing but a clock that is set by hand, and a list of who was told.
struct Host {
    now: Cell<Timestamp>,
    told: RefCell<Vec<Version>>,
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

    fn announce(&self, version: &Version) {
        self.told.borrow_mut().push(version.clone());
    }

    async fn find(&self, _: &Site, _: &str, _: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        Ok(Ok(Seen::Nothing))
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        Err(format!("`{name}` is not needed"))
    }

    fn log(&self, _line: &str) {}
}

fn staged() -> Record<Database> {
    let (version, key): (Version, Key) = ("1.2.0".parse().expect("a version"), "deb".parse().expect("a key"));
    let site = |repository: &str| Site { place: "depot".to_owned(), repository: repository.to_owned() };
    let by = JobSession {
        project_id: 1001,
        project_path: "harbour/tug".to_owned(),
        pipeline_id: 7,
        job_id: 80,
        user: "mira".to_owned(),
        user_id: 7,
        user_level: None,
        environment: None,
        environment_protected: false,
        ref_name: "v1.2.0".to_owned(),
        sha: "aa".to_owned(),
        token_id: "t".to_owned(),
        ends_at: NOW,
    };
    let planned = Planned {
        key: key.clone(),
        expect: Expectation {
            distros: vec![JAMMY.to_owned()],
            tags: Vec::new(),
            kind: Kind::Deb,
            architecture: None,
            release_job: "release: [deb]".to_owned(),
            environment: "release/deb".to_owned(),
            release_all_job: None,
            release_all_environment: None,
            skip: None,
        },
        staging: site("harbour-ci/pre-release"),
        targets: vec![OrderTarget { distro: JAMMY.to_owned(), public: site("harbour/stable"), how: How::Copy }],
    };
    let digest = Digest::of(b"deb");
    let file = StagedFile { filename: "tug_1.2.0_amd64.deb".to_owned(), image: None, digest, size: 3 };
    let record = Record::open(Database::in_memory()).expect("a fresh record");
    record.know_project(1001).expect("its project");
    record.expect(&version, &by, &Digest::of(b"p"), Maturity::Final, &[planned], NOW).expect("a plan");
    record.declare(&version, &key, &file, false, &by, NOW).expect("a declaration");
    record.seen_in_staging(&version, &key, JAMMY, &digest, &Sight::Declared, NOW).expect("a look");
    record
}

#[test]
fn the_alarm_comes_when_a_soak_is_over_and_those_who_follow_are_told_then() {
    let config = Config::parse(CONFIG).expect("a good file");
    let record = staged();
    let host = Host { now: Cell::new(NOW), told: RefCell::default() };
    let drive =
        || project::drive(&record, &host, &config, None).now_or_never().expect("nothing waits").expect("a record");
    let over = NOW + Duration::from_hours(2);
    assert_eq!(drive(), Some(over));
    assert!(host.told.borrow().is_empty(), "nothing has changed yet");
    host.now.set(over);
    assert_eq!(drive(), None, "nothing more opens by itself");
    assert_eq!(host.told.borrow().as_slice(), ["1.2.0".parse().expect("a version")]);
}
