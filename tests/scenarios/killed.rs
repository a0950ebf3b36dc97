//! The edge with its databases, killed at every await. Only the two databases and the package servers survive.

use std::cell::Cell;
use std::time::Duration;

use slipway_core::api::{Expectation, StagedFile};
use slipway_core::approval::by_job;
use slipway_core::expectation::Planned;
use slipway_core::promotion::{OrderTarget, Promotion, promote};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::{Next, Report, report};
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_ledger::audit::{entries, verify};
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Record, Sight, Sql, Task, Work};
use slipway_tests::fakes::{Fault, Kind, Net, Run, poll};
use slipway_wire::Digest;

use crate::world::{BYTES, JAMMY, PUBLIC, STAGING, TUG, net, promotion, public_bytes, writes};

const BEGUN: Timestamp = Timestamp(1_795_392_000_000);
/// When a killed edge is started again, and when a message is sent again that nobody acknowledged.
const AGAIN: Duration = Duration::from_secs(20);
const PROJECT: u64 = 1001;

/// The edge: a process that can be dropped anywhere. All that it keeps is in the two databases.
struct Edge<'a> {
    net: &'a Net,
    record: Record<&'a Database>,
    work: Work<&'a Database>,
    clock: &'a Cell<Timestamp>,
}

impl<'a> Edge<'a> {
    fn start(net: &'a Net, databases: &'a [Database; 2], clock: &'a Cell<Timestamp>) -> Self {
        let [record, work] = databases;
        let record = Record::open(record).expect("the record's schema");
        Self { net, record, work: Work::open(work).expect("the work's schema"), clock }
    }

    /// The job asks for its package, as often as it likes.
    fn ask(&self) -> bool {
        let candidate = self.record.candidate(&version(), &key()).expect("a row").expect("the package");
        let approval = by_job(&candidate, &session(), &job()).expect("the played job may release it");
        self.record.approve(&candidate, &approval, &policy(), PROJECT, self.clock.get()).expect("a judgement")
    }

    /// Does what is due, and what becomes due, until nothing is: both objects' alarms.
    async fn live(&self) {
        loop {
            let mut again = None;
            for dispatch in self.record.dispatches().expect("orders") {
                let accept = || self.work.accept(&dispatch.order, self.clock.get()).expect("an order is taken");
                if self.net.message(accept).await {
                    self.record.dispatched(dispatch.approval).expect("it is written down");
                } else {
                    again = Some(self.clock.get() + AGAIN);
                }
            }
            for (due_at, task) in self.work.open_tasks().expect("tasks") {
                if due_at <= self.clock.get() {
                    self.run(task).await;
                }
            }
            for (task, report) in self.work.unreported().expect("reports") {
                if self.net.message(|| self.settle(&task, &report)).await {
                    self.work.reported(&task.target.distro, &report).expect("it is written down");
                } else {
                    again = Some(self.clock.get() + AGAIN);
                }
            }
            let next = self.work.open_tasks().expect("tasks").first().map(|(due_at, _)| *due_at);
            match next.into_iter().chain(again).min() {
                Some(due_at) => self.clock.set(due_at.max(self.clock.get())),
                None => return,
            }
        }
    }

    /// One run of one target.
    async fn run(&self, mut task: Task) {
        let promotion = Promotion { digest: task.order.digest, size: task.order.size, ..promotion(self.net) };
        let begins = |step| {
            let distro = task.target.distro.clone();
            self.settle(&task, &Report { distro, state: TargetState::Releasing, step: Some(step), problem: None });
        };
        let run = Run { net: self.net, begins: &begins };
        let outcome = promote(&run, &run, &promotion).await;
        let now = self.clock.get();
        let (report, next) = report(&promotion, &outcome, task.patience, now);
        task.patience = task.patience.after(&outcome, now);
        let due_at = match next {
            Next::Settled => None,
            Next::After(wait) => Some(now + wait),
        };
        self.work.ran(&task, &report, due_at).expect("it is written down");
    }

    fn settle(&self, task: &Task, report: &Report) {
        let (order, now) = (&task.order, self.clock.get());
        let settled = self.record.settle(&order.version, &order.key, order.approval, report, &order.digest, now);
        settled.expect("a report is taken");
    }
}

fn version() -> Version {
    "1.2.0".parse().expect("a version")
}

fn key() -> Key {
    "jammy-amd64".parse().expect("a key")
}

fn policy() -> Digest {
    Digest::of(b"slipway.toml")
}

/// The played job, as GitLab shows it.
fn job() -> slipway_gitlab::Job {
    let JobSession { job_id, pipeline_id, user, sha, .. } = session();
    let job = serde_json::json!({
        "id": job_id, "name": RELEASE_JOB, "status": "running", "user": { "id": 7, "username": user },
        "pipeline": { "id": pipeline_id, "ref": "v1.2.0", "sha": sha },
    });
    serde_json::from_value(job).expect("a job")
}

/// The manual job.
const RELEASE_JOB: &str = "release: [jammy-amd64]";

fn session() -> JobSession {
    JobSession {
        project_id: PROJECT,
        project_path: "harbour/tug".to_owned(),
        pipeline_id: 7,
        job_id: 81,
        user: "mira".to_owned(),
        environment: Some("release/jammy-amd64".to_owned()),
        ref_name: "v1.2.0".to_owned(),
        sha: "5ad2".to_owned(),
        token_id: "t".to_owned(),
        ends_at: BEGUN + Duration::from_hours(1),
    }
}

/// The package planned, declared and seen in staging.
fn stage(record: &Record<&Database>) {
    let site = |place: &str, repository: &str| Site { place: place.to_owned(), repository: repository.to_owned() };
    let planned = Planned {
        key: key(),
        expect: Expectation {
            distros: vec![JAMMY.to_owned()],
            release_job: RELEASE_JOB.to_owned(),
            environment: "release/jammy-amd64".to_owned(),
            skip: None,
        },
        staging: site("staging", STAGING),
        targets: vec![OrderTarget { distro: JAMMY.to_owned(), public: site("public", PUBLIC) }],
    };
    let bytes = u64::try_from(BYTES.len()).expect("a small file");
    let file = StagedFile { filename: TUG.to_owned(), digest: Digest::of(BYTES), size: bytes };
    record.expect(&version(), &session(), &policy(), &[planned], BEGUN).expect("a plan");
    record.declare(&version(), &key(), &file, &session(), BEGUN).expect("a declaration");
    record.seen_in_staging(&version(), &key(), JAMMY, &Sight::Declared, BEGUN).expect("a look");
}

/// The package is staged, asked for, and goes its way through these faults.
fn lives(faults: &[(usize, Fault)]) -> Net {
    let net = net();
    net.public().indexed_after = 2;
    for (number, fault) in faults {
        net.fault(*number, *fault);
    }
    let databases = [Database::in_memory(), Database::in_memory()];
    let clock = Cell::new(BEGUN);
    let edge = Edge::start(&net, &databases, &clock);
    stage(&edge.record);
    assert!(edge.ask(), "the first to ask is heard");
    let mut deaths = 0;
    while poll(Edge::start(&net, &databases, &clock).live()).is_err() {
        deaths += 1;
        clock.set(clock.get() + AGAIN);
        assert!(!Edge::start(&net, &databases, &clock).ask(), "the same job asks again: {faults:?}");
    }
    let kills = faults.iter().filter(|(_, fault)| matches!(fault, Fault::CrashBefore | Fault::CrashAfter)).count();
    assert_eq!(deaths, kills, "{faults:?}");

    assert_eq!((public_bytes(&net).as_deref(), writes(&net)), (Some(BYTES), 1), "{faults:?}");
    let targets = edge.record.candidate(&version(), &key()).expect("a row").expect("the package").targets;
    assert_eq!(targets, [(JAMMY.to_owned(), TargetState::Released)], "{faults:?}");
    assert!(edge.record.dispatches().expect("orders").is_empty(), "{faults:?}");
    let [record, work] = &databases;
    let count = |database: &Database, what: &str| {
        database.query(&format!("SELECT COUNT(*) FROM {what}"), &[]).expect("a count")[0].natural(0).expect("a number")
    };
    assert_eq!((count(record, "approvals"), count(work, "tasks")), (1, 1), "{faults:?}");
    let audit = entries(record, 1, 1000).expect("the audit");
    assert_eq!(verify(&audit), Ok(()), "{faults:?}");
    let of = |action: &str| audit.iter().filter(|entry| entry.event.action == action).count();
    assert_eq!((of("approved"), of("released")), (1, 1), "{faults:?}");
    net
}

/// What does not need a person.
fn passing(kind: Kind) -> impl Iterator<Item = Fault> {
    Fault::ALL.into_iter().filter(move |fault| fault.fits(kind) && !fault.stops())
}

#[test]
fn an_edge_that_meets_any_passing_fault_releases_once_and_its_audit_holds() {
    let happy = lives(&[]).effects();
    let mut runs = 0;
    for (number, kind) in happy.iter().enumerate() {
        for fault in passing(*kind) {
            lives(&[(number, fault)]);
            runs += 1;
        }
    }
    eprintln!("{} awaits of the edge: {runs} single faults", happy.len());
}

#[test]
fn a_package_that_waits_its_turn_leaves_no_trace_in_the_audit() {
    let (net, clock) = (net(), Cell::new(BEGUN));
    net.busy(100);
    let databases = [Database::in_memory(), Database::in_memory()];
    let edge = Edge::start(&net, &databases, &clock);
    stage(&edge.record);
    assert!(edge.ask());
    poll(edge.live()).expect("nothing crashes");
    let audit = entries(&databases[0], 1, 1000).expect("the audit");
    let actions: Vec<&str> = audit.iter().map(|entry| entry.event.action.as_str()).collect();
    assert_eq!(actions, ["planned", "declared", "staged", "approved", "releasing", "released"]);
}

#[test]
fn an_order_that_arrives_again_after_the_release_begins_nothing() {
    let (net, clock) = (net(), Cell::new(BEGUN));
    let databases = [Database::in_memory(), Database::in_memory()];
    let edge = Edge::start(&net, &databases, &clock);
    stage(&edge.record);
    assert!(edge.ask());
    let orders = edge.record.dispatches().expect("orders");
    poll(edge.live()).expect("nothing crashes");
    let done = net.effects();
    for order in &orders {
        edge.work.accept(&order.order, clock.get()).expect("an order is taken");
    }
    poll(edge.live()).expect("nothing crashes");
    assert_eq!((orders.len(), net.effects()), (1, done));
}

#[test]
fn an_edge_that_is_killed_at_any_two_awaits_releases_once_and_its_audit_holds() {
    let kills = [Fault::CrashBefore, Fault::CrashAfter];
    let mut runs = 0;
    for first in 0..lives(&[]).effects().len() {
        for fault in kills {
            let awaits = lives(&[(first, fault)]).effects().len();
            for second in first + 1..awaits {
                for again in kills {
                    lives(&[(first, fault), (second, again)]);
                    runs += 1;
                }
            }
        }
    }
    eprintln!("{runs} pairs of kills");
}
