//! Whatever the order of webhooks, however often each comes, and whenever the alarm goes off between them: what is true
//! in the end is the same. Every order is tried.

#![allow(clippy::print_stdout, reason = "a test says how much it went through")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use slipway_core::approval::{Approval, Via};
use slipway_core::cargo::Cargo;
use slipway_core::config::Config;
use slipway_core::inventory::Seen;
use slipway_core::promotion::Order;
use slipway_core::release::{TargetState, Version};
use slipway_core::report::Report;
use slipway_core::route::Site;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::Withdrawal;
use slipway_edge::hints::named;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::project;
use slipway_gitlab::Instance;
use slipway_gitlab::webhook::Event;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{NameTaken, Named, PublicName, Record, Sql as _};
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

use support::{JAMMY, NOW, PIPELINE, PROJECT, config, key, record, version};

mod support;

const EVENTS_MAX: usize = 5;

/// The edge's host: GitLab answers at once, and always the same; packages' objects take every order.
struct Host {
    now: Cell<Timestamp>,
    jobs: BTreeMap<u64, Value>,
    asked: RefCell<BTreeSet<u64>>,
    ordered: RefCell<BTreeSet<String>>,
    /// What happens in the record while GitLab is asked for somebody's role.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Host {
    fn new() -> Self {
        let job = |id: u64, name: &str, status: &str, started: Timestamp| {
            let job = json!({
                "id": id, "name": name, "status": status, "started_at": started.to_string(),
                "user": {"id": 7, "username": "mira"}, "pipeline": {"id": PIPELINE, "ref": "v1.2.0", "sha": "aa"},
            });
            (id, job)
        };
        let lately = NOW - Duration::from_mins(1);
        let jobs = [
            // Played, and failed; then played again.
            job(81, "release: [one]", "failed", lately),
            job(85, "release: [one]", "running", lately),
            job(82, "release: [two]", "success", lately),
            job(84, "release: [three]", "success", NOW - Duration::from_hours(40 * 24)),
            job(86, "release: [four]", "failed", lately),
            job(87, "release: [four]", "running", lately),
            job(99, "unit-tests", "running", lately),
        ];
        let now = Cell::new(NOW);
        let (asked, ordered, meanwhile) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { now, jobs: jobs.into(), asked, ordered, meanwhile }
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
        if request.uri().path().ends_with("/deployments") {
            // Each release job runs in the environment of its package.
            let deployment = |(id, job): (&u64, &Value)| {
                let key = job["name"].as_str()?.strip_prefix("release: [")?.strip_suffix(']')?;
                let deployable = json!({"id": id, "pipeline": {"id": PIPELINE}});
                let environment = json!({"name": format!("release/{key}")});
                Some(json!({"id": id, "status": "created", "environment": environment, "deployable": deployable}))
            };
            let deployments: Vec<Value> = self.jobs.iter().filter_map(deployment).collect();
            return Ok(http::Response::new(json!(deployments).to_string().into_bytes()));
        }
        let id = request.uri().path().rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or_default();
        if request.uri().path().contains("/members/") {
            if let Some(happens) = self.meanwhile.take() {
                happens();
            }
            let member = json!({"id": id, "access_level": 40}).to_string().into_bytes();
            return Ok(http::Response::new(member));
        }
        self.asked.borrow_mut().insert(id);
        let (status, body) = match self.jobs.get(&id) {
            Some(job) => (200, job.to_string()),
            None => (404, "{}".to_owned()),
        };
        Ok(http::Response::builder().status(status).body(body.into_bytes()).expect("an answer"))
    }

    async fn read(&self, request: Request, _each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.send(request).await
    }
}

impl ProjectHost for Host {
    type Signer = NoSigner;

    async fn signer(&self) -> Result<Option<NoSigner>, SigningError> {
        Ok(None)
    }

    async fn hand_over(&self, order: &Order) -> Result<(), Silent> {
        self.ordered.borrow_mut().insert(format!("{} {}", order.key, order.digest));
        Ok(())
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent> {
        panic!("nothing is taken back of {}", withdrawal.key)
    }

    fn open(&self, site: &Site) -> Result<Store, String> {
        panic!("nobody attaches anything in {}", site.repository)
    }

    fn announce(&self, _version: &Version) {}

    async fn find(&self, _: &Site, _: &str, _: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        Err(Silent("nobody looks".to_owned()))
    }

    async fn answered_at(&self, _place: &str) -> Result<Option<Timestamp>, Silent> {
        Err(Silent("nobody looks".to_owned()))
    }

    async fn name_taken(&self, _: u64, _: &[PublicName]) -> Result<Option<NameTaken>, Silent> {
        Ok(None)
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        Err(format!("there is no `{name}`"))
    }

    fn write(&self, _entry: &slipway_core::log::Entry<'_>) {}
}

/// A record with three staged packages.
fn staged() -> Record<Database> {
    let record = record();
    for key in ["one", "two", "three"] {
        stage(&record, key, &[JAMMY]);
    }
    record
}

/// A package whose bytes are its name.
fn stage(record: &Record<Database>, name: &str, distros: &[&str]) {
    support::stage(record, name, distros, &format!("{name}_1.2.0_amd64.deb"), name.as_bytes());
}

/// What GitLab may send. A number is the job that it tells of.
fn events() -> Vec<Vec<u8>> {
    let job = |id: u64, name: &str, status: &str| {
        json!({
            "object_kind": "build", "project_id": PROJECT, "pipeline_id": PIPELINE, "build_id": id, "build_name": name,
            "build_status": status,
        })
    };
    let build = |id: u64, name: &str| json!({"id": id, "name": name, "status": "running", "manual": true});
    let pipeline = json!({
        "object_kind": "pipeline", "object_attributes": {"id": PIPELINE}, "project": {"id": PROJECT},
        "builds": [build(82, "release: [two]"), build(85, "release: [one]"), build(98, "unit-tests")],
    });
    [
        job(81, "release: [one]", "pending"),
        job(85, "release: [one]", "running"),
        pipeline,
        job(82, "release: [two]", "success"),
        job(84, "release: [three]", "pending"),
        job(99, "unit-tests", "running"),
    ]
    .map(|event| event.to_string().into_bytes())
    .into()
}

/// When the alarm goes off.
#[derive(Clone, Copy, Debug)]
enum Alarm {
    AfterEach,
    AfterEverySecond,
    AtTheEnd,
}

fn drive(record: &Record<Database>, host: &Host, config: &Config, gitlab: &Instance) {
    // An alarm that is due again at once goes off again.
    for _ in 0..20 {
        let next = project::drive(record, host, config, Some(gitlab)).now_or_never().expect("nothing waits");
        match next.expect("a working record") {
            Some(at) if at <= host.now() + Duration::from_mins(1) => host.now.set(host.now() + Duration::from_secs(1)),
            _ => break,
        }
    }
}

/// What is true: states, who has approved what, what was refused and what was ordered.
fn truth(record: &Record<Database>, host: &Host) -> String {
    let mut lines = BTreeSet::new();
    for (what, sql) in [
        ("state", "SELECT key, state FROM targets"),
        ("approved", "SELECT key, job_id || ' ' || approved_by FROM approvals"),
        ("refused", "SELECT key, job_id || '' FROM refusals"),
    ] {
        for row in record.sql().query(sql, &[]).expect("rows") {
            let line = format!("{what} {} {}", row.text(0).expect("a key"), row.text(1).expect("text"));
            assert!(lines.insert(line.clone()), "twice: {line}");
        }
    }
    lines.extend(
        host.ordered.borrow().iter().map(|order| format!("ordered {}", order.split(' ').next().expect("a key"))),
    );
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// What is true after events in this order.
fn after(
    staged: &Database,
    sequence: &[usize],
    alarm: Alarm,
    events: &[Vec<u8>],
    config: &Config,
    gitlab: &Instance,
) -> String {
    let (record, host) = (Record::open(staged.copy()).expect("the same record"), Host::new());
    let project = config.project("tug").expect("the project");
    for (place, event) in sequence.iter().enumerate() {
        let parsed = Event::parse(&events[*event]).expect("an event");
        if let Some((named, otherwise)) = named(parsed, project, config) {
            record.keep_hints(&otherwise, &named, host.now()).expect("kept");
        }
        match alarm {
            Alarm::AfterEach => drive(&record, &host, config, gitlab),
            Alarm::AfterEverySecond if place % 2 == 1 => drive(&record, &host, config, gitlab),
            Alarm::AfterEverySecond | Alarm::AtTheEnd => {}
        }
    }
    drive(&record, &host, config, gitlab);
    let asked = host.asked.borrow();
    assert!(!asked.contains(&99) && !asked.contains(&98), "an undeclared job was read: {asked:?}");
    truth(&record, &host)
}

#[test]
fn every_order_of_up_to_five_events_with_duplicates_ends_the_same() {
    let (events, config) = (events(), config(""));
    let gitlab = Instance::new(config.gitlab.url.clone(), Token::new("t"));
    let staged = staged();
    let mut ends: BTreeMap<BTreeSet<usize>, String> = BTreeMap::new();
    let mut orders = 0_usize;
    let mut sequences: Vec<Vec<usize>> = vec![vec![]];
    for _ in 0..EVENTS_MAX {
        let longer = |sequence: &Vec<usize>| {
            (0..events.len()).map(|event| [sequence.as_slice(), &[event]].concat()).collect::<Vec<_>>()
        };
        sequences = sequences.iter().flat_map(longer).collect();
        for sequence in &sequences {
            let alarms = [Alarm::AfterEach, Alarm::AfterEverySecond, Alarm::AtTheEnd];
            // Longer ones are tried with one of the three, each with the next.
            let chosen = if sequence.len() < EVENTS_MAX { &alarms[..] } else { &alarms[orders % 3..=orders % 3] };
            for alarm in chosen {
                let end = after(staged.sql(), sequence, *alarm, &events, &config, &gitlab);
                let set: BTreeSet<usize> = sequence.iter().copied().collect();
                let expected = ends.entry(set).or_insert_with(|| end.clone());
                assert_eq!(&end, expected, "{sequence:?} {alarm:?}");
                orders += 1;
            }
        }
    }
    println!("{orders} orders of up to {EVENTS_MAX} of {} events, {} ends", events.len(), ends.len());
    assert!(orders > 10_000);
    // And the ends are the right ones.
    let end = |set: &[usize]| ends[&set.iter().copied().collect()].clone();
    assert_eq!(end(&[5]), "state one staged\nstate three staged\nstate two staged");
    assert_eq!(
        end(&[0, 1, 2, 3, 4]),
        "approved one 85 mira\napproved two 82 mira\nordered one\nordered two\nrefused one 81\nrefused three 84\n\
         state one approved\nstate three staged\nstate two approved"
    );
}

#[test]
fn a_job_that_was_played_forty_days_ago_is_refused_once_and_told_to_be_played_again() {
    let (events, config) = (events(), config(""));
    let gitlab = Instance::new(config.gitlab.url.clone(), Token::new("t"));
    let (record, host) = (staged(), Host::new());
    let project = config.project("tug").expect("the project");
    for _ in 0..3 {
        let event = Event::parse(&events[4]).expect("an event");
        let (hinted, delivery) = named(event, project, &config).expect("it names a job");
        record.keep_hints(&delivery, &hinted, host.now()).expect("kept");
        drive(&record, &host, &config, &gitlab);
    }
    let rows = slipway_ledger::audit::entries(record.sql(), 1, 100).expect("rows");
    let refused: Vec<_> = rows.iter().filter(|row| row.event.action == "refused").collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].event.details.contains("play it again"), "{}", refused[0].event.details);
    assert_eq!(host.asked.borrow().len(), 1);
}

#[test]
fn a_job_whose_package_moves_on_while_it_is_judged_is_judged_again() {
    const NOBLE: &str = "ubuntu/noble";
    let config = config("release_levels = [\"maintainer\"]");
    let gitlab = Instance::new(config.gitlab.url.clone(), Token::new("t"));
    let (record, host, key) = (Rc::new(staged()), Host::new(), key("four"));
    stage(&record, "four", &[JAMMY, NOBLE]);
    let digest = Digest::of(b"four");
    let candidate = record.candidate(&version(), &key).expect("a record").expect("the package");
    let first = Approval {
        by: "mira".to_owned(),
        by_id: 7,
        via: Via::Job,
        job_id: 86,
        digest,
        distros: vec![JAMMY.to_owned(), NOBLE.to_owned()],
    };
    assert!(record.approve(&candidate, &first, &config.policy, PROJECT, NOW).expect("a record"));
    let failed = Report::of(JAMMY, TargetState::Failed);
    record.settle(&version(), &key, 1, &failed, &digest, NOW).expect("a report");
    // The job was played again for what has failed, and the other target ends while GitLab says who played it.
    let (other, key_of_it) = (Rc::clone(&record), key.clone());
    *host.meanwhile.borrow_mut() = Some(Box::new(move || {
        let report = Report::of(NOBLE, TargetState::Released);
        other.settle(&version(), &key_of_it, 1, &report, &digest, NOW).expect("a report");
    }));
    let hint = Named::Job { id: 87, pipeline_id: Some(PIPELINE), name: "release: [four]".to_owned() };
    record.keep_hints("key:87", &[hint], NOW).expect("kept");
    drive(&record, &host, &config, &gitlab);
    let states = record.candidate(&version(), &key).expect("a record").expect("the package").targets;
    let expected = [(JAMMY.to_owned(), TargetState::Approved), (NOBLE.to_owned(), TargetState::Released)];
    assert_eq!(states, expected);
}
