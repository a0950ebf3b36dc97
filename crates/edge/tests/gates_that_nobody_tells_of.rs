//! What opens gates though nobody tells: time, and deployments whose webhook was lost.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use slipway_core::api::{Expectation, StagedFile};
use slipway_core::config::Config;
use slipway_core::expectation::Planned;
use slipway_core::inventory::Seen;
use slipway_core::promotion::{Order, OrderTarget};
use slipway_core::release::{Key, Maturity, Version};
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::{lost, project};
use slipway_gitlab::Instance;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Record, Sight};
use slipway_package::{Filename, PackageKind};
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
"#;

/// A clock that is set by hand, a list of who was told, and a GitLab with a pipeline of no jobs and some deployments.
struct Host {
    now: Cell<Timestamp>,
    told: RefCell<Vec<Version>>,
    deployments: RefCell<Vec<Value>>,
    is_down: Cell<bool>,
    asked: RefCell<Vec<String>>,
}

impl Host {
    fn new() -> Self {
        let (told, deployments, asked) = Default::default();
        Self { now: Cell::new(NOW), told, deployments, is_down: Cell::new(false), asked }
    }

    /// What was asked of GitLab since the last look.
    fn asked(&self) -> Vec<String> {
        self.asked.take()
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
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let path = request.uri().path().trim_start_matches("/api/v4/projects/1001/").to_owned();
        self.asked.borrow_mut().push(path.clone());
        let answer = |status: u16, body: Value| {
            Ok(http::Response::builder().status(status).body(body.to_string().into_bytes()).expect("an answer"))
        };
        if self.is_down.get() {
            return answer(502, json!({}));
        }
        let deployments = self.deployments.borrow();
        let known = |id: &str| deployments.iter().find(|one| one["id"].to_string() == id).cloned();
        match path.split_once('/') {
            Some(("pipelines", _)) => answer(200, json!([])),
            Some(("deployments", id)) => known(id).map_or_else(|| answer(404, json!({})), |one| answer(200, one)),
            _ if path == "deployments" => answer(200, json!(*deployments)),
            _ => panic!("{path} is not asked for"),
        }
    }

    async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        panic!("nothing is read of {}", request.uri())
    }
}

impl ProjectHost for Host {
    async fn hand_over(&self, order: &Order) -> Result<(), Silent> {
        panic!("nothing is ordered of {}", order.key)
    }

    fn announce(&self, version: &Version) {
        self.told.borrow_mut().push(version.clone());
    }

    async fn find(&self, _: &Site, _: &str, _: &Filename) -> Result<Result<Seen, Trouble>, Silent> {
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
            kind: PackageKind::Deb,
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
    let file = StagedFile { filename: "tug_1.2.0_amd64.deb".to_owned(), digest, size: 3 };
    let record = Record::open(Database::in_memory()).expect("a fresh record");
    record.know_project(1001).expect("its project");
    record.expect(&version, &by, &Digest::of(b"p"), Maturity::Final, &[planned], NOW).expect("a plan");
    record.declare(&version, &key, &file, false, &by, NOW).expect("a declaration");
    record.seen_in_staging(&version, &key, JAMMY, &digest, &Sight::Declared, NOW).expect("a look");
    record
}

fn config(gates: &str) -> Config {
    Config::parse(&format!("{CONFIG}\n{gates}")).expect("a good file")
}

#[test]
fn the_alarm_comes_when_a_soak_is_over_and_those_who_follow_are_told_then() {
    let config = config("[[gates]]\nsoak = \"2h\"");
    let (record, host) = (staged(), Host::new());
    let drive =
        || project::drive(&record, &host, &config, None).now_or_never().expect("nothing waits").expect("a record");
    let over = NOW + Duration::from_hours(2);
    assert_eq!(drive(), Some(over));
    assert!(host.told.borrow().is_empty(), "nothing has changed yet");
    host.now.set(over);
    assert_eq!(drive(), None, "nothing more opens by itself");
    assert_eq!(host.told.borrow().as_slice(), ["1.2.0".parse().expect("a version")]);
}

fn instance() -> Instance {
    Instance::new("https://gitlab.example.com".parse().expect("an address"), Token::new("t"))
}

/// A run of the sweep, and the alarm that looks into what it has found.
fn sweep(record: &Record<Database>, host: &Host, config: &Config) {
    let gitlab = instance();
    lost::find(record, host, config, &gitlab).now_or_never().expect("nothing waits").expect("a record");
    project::drive(record, host, config, Some(&gitlab)).now_or_never().expect("nothing waits").expect("a record");
}

fn deployment(id: u64, environment: &str, pipeline: u64, finished: Timestamp) -> Value {
    json!({
        "id": id, "status": "success", "environment": {"name": environment},
        "deployable": {"id": id + 100, "finished_at": finished.to_string(), "pipeline": {"id": pipeline}},
    })
}

/// Which environments the package's bytes are known to run in.
fn runs_in(record: &Record<Database>) -> Vec<String> {
    let (version, key) = ("1.2.0".parse().expect("a version"), "deb".parse().expect("a key"));
    let facts = record.gate_facts(&version, &key, None).expect("facts").expect("the package");
    facts.deployed.into_keys().collect()
}

#[test]
fn a_deployment_whose_webhook_was_lost_is_found_once_and_opens_its_gate() {
    let config = config("[[gates]]\ndeployed = [\"production\"]");
    let (record, host) = (staged(), Host::new());
    let minute = |count: u64| NOW + Duration::from_mins(count);
    host.now.set(minute(2));
    sweep(&record, &host, &config);
    assert_eq!(host.asked(), ["pipelines/7/jobs", "deployments"]);
    assert!(runs_in(&record).is_empty());

    // Another pipeline's, another environment's, and one from before the bytes were staged say nothing of these.
    *host.deployments.borrow_mut() = vec![
        deployment(5, "production", 8, minute(2)),
        deployment(6, "elsewhere", 7, minute(2)),
        deployment(7, "production", 7, Timestamp(NOW.0 - 60_000)),
    ];
    for count in [4, 6, 8] {
        host.now.set(minute(count));
        sweep(&record, &host, &config);
    }
    let asked = host.asked();
    assert_eq!(asked.iter().filter(|path| *path == "deployments").count(), 3);
    assert_eq!(asked.iter().filter(|path| *path == "deployments/7").count(), 1, "found once: {asked:?}");
    assert!(runs_in(&record).is_empty());

    host.deployments.borrow_mut().push(deployment(9, "production", 7, minute(9)));
    host.now.set(minute(10));
    sweep(&record, &host, &config);
    assert_eq!(runs_in(&record), ["production"]);
    assert_eq!(host.told.borrow().len(), 1, "those who follow are told");
    host.asked();
    host.now.set(minute(20));
    sweep(&record, &host, &config);
    assert_eq!(host.asked(), ["pipelines/7/jobs"], "nobody waits for it any more");
}

#[test]
fn deployments_are_listed_only_where_a_gate_waits_for_one() {
    for gates in ["", "[[gates]]\nsoak = \"1h\"", "[[gates]]\nkeys = [\"rpm\"]\ndeployed = [\"production\"]"] {
        let (record, host) = (staged(), Host::new());
        host.now.set(NOW + Duration::from_mins(2));
        sweep(&record, &host, &config(gates));
        assert_eq!(host.asked(), ["pipelines/7/jobs"], "{gates}");
    }
}

#[test]
fn a_gitlab_that_does_not_answer_is_asked_one_question_a_run() {
    let config = config("[[gates]]\ndeployed = [\"production\", \"staging\"]");
    let (record, host) = (staged(), Host::new());
    host.is_down.set(true);
    host.now.set(NOW + Duration::from_mins(2));
    sweep(&record, &host, &config);
    assert_eq!(host.asked(), ["pipelines/7/jobs"]);
}
