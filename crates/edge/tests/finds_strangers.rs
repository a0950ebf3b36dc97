//! A repository that others write to as well: what was there first, what came later, and what came through Slipway.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use slipway_core::api::{AdoptionRequest, RecalledRepository, SweptRepository};
use slipway_core::config::Config;
use slipway_core::log::Entry;
use slipway_core::release::TargetState;
use slipway_core::store::Store;
use slipway_core::sweep::{Known, Swept};
use slipway_core::time::Timestamp;
use slipway_edge::account::Account;
use slipway_edge::port::{AccountHost, Clock, Silent};
use slipway_edge::reading::Readings;
use slipway_edge::sweep::{self, NotAdopted, NotRecalled, SweepHost, Told};
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Record, audit};
use slipway_packagecloud::Account as AtServer;
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

use support::{JAMMY, NOW, STABLE, STAGING, config, key, site, version};

mod support;

/// A second project with the same route.
const PILOT: &str = r#"
    [[projects]]
    id = 1002
    namespace_id = 71
    name = "pilot"
    webhook_token = "WEBHOOK_TOKEN_PILOT"
"#;

/// Distro version, file name, contents. `None`: the server has not hashed it.
type Held = (String, String, Option<Digest>);

/// A package server, an account at it, and the records of two projects.
struct World {
    config: Config,
    account: Account<Database>,
    readings: Readings,
    records: BTreeMap<u64, Record<Database>>,
    /// By repository.
    held: RefCell<BTreeMap<&'static str, Vec<Held>>>,
    per_page: Cell<usize>,
    now: Cell<Timestamp>,
    /// The requests to the server, and the questions to records.
    listed: Cell<u64>,
    asked: Cell<u64>,
    /// After so many awaits nothing answers any more, as when the object is killed.
    dies_after: Cell<Option<u64>>,
    /// The repository cannot be read.
    is_down: Cell<bool>,
    /// What was written into the log: the id of the work, and how far it was.
    lines: RefCell<Vec<(String, String)>>,
}

impl World {
    fn new() -> Self {
        let record = || Record::open(Database::in_memory()).expect("a fresh record");
        Self {
            config: config(PILOT),
            account: Account::open(Database::in_memory()).expect("a fresh account"),
            readings: Readings::default(),
            records: [(1001, record()), (1002, record())].into(),
            held: RefCell::default(),
            per_page: Cell::new(2),
            now: Cell::new(NOW),
            listed: Cell::new(0),
            asked: Cell::new(0),
            dies_after: Cell::new(None),
            is_down: Cell::new(false),
            lines: RefCell::default(),
        }
    }

    fn has(&self, repository: &'static str, filename: &str, contents: &[u8]) {
        let mut held = self.held.borrow_mut();
        let digest = Some(Digest::of(contents));
        held.entry(repository).or_default().push((JAMMY.to_owned(), filename.to_owned(), digest));
    }

    fn lacks(&self, repository: &'static str, filename: &str) {
        self.held.borrow_mut().entry(repository).or_default().retain(|(_, name, _)| name != filename);
    }

    /// Runs until nothing is due, and returns how many runs that took.
    fn sweeps(&self) -> usize {
        let repositories = self.config.repositories("depot");
        for runs in 1..1000 {
            let run = sweep::run(&self.account, &self.readings, self, &repositories).now_or_never();
            let next = run.expect("nothing waits").expect("a database").next.expect("there is always a next");
            if next > self.now.get() + Duration::from_secs(1) {
                return runs;
            }
            self.now.set(next);
        }
        panic!("a sweep ends");
    }

    /// An hour later.
    fn sweeps_again(&self) {
        self.now.set(self.now.get() + sweep::EVERY);
        self.sweeps();
    }

    fn shown(&self) -> SweptRepository {
        self.shown_to(1001)
    }

    fn shown_to(&self, project_id: u64) -> SweptRepository {
        sweep::shown(&self.account, &site(STABLE), project_id).expect("a database")
    }

    fn recalls(&self, list: &SweptRepository) -> Result<RecalledRepository, NotRecalled> {
        let repositories = self.config.repositories("depot");
        let repository = repositories.iter().find(|of| of.is_public).expect("a public one");
        let recalled = sweep::recall(&self.account, self, repository, list, "operator").now_or_never();
        recalled.expect("nothing waits")
    }

    /// The strangers: file name and why.
    fn strangers(&self) -> Vec<(String, String)> {
        let shown = self.shown().strangers.into_iter();
        shown.map(|stranger| (stranger.filename.expect("a file"), stranger.why)).collect()
    }

    /// Action and subject of each row in a project's audit that a sweep wrote.
    fn audited(&self, project_id: u64) -> Vec<String> {
        let rows = audit::entries(self.records[&project_id].sql(), 1, 1000).expect("rows");
        let of_a_sweep = ["adopted", "found-stranger", "recalled"];
        let rows = rows.into_iter().filter(|row| of_a_sweep.contains(&row.event.action.as_str()));
        rows.map(|row| format!("{} {} {}", row.event.action, row.event.subject, row.event.details)).collect()
    }

    /// `1.2.0` of tug has this file staged.
    fn stages(&self, filename: &str, contents: &[u8]) {
        support::stage(&self.records[&1001], "deb", &[JAMMY], filename, contents);
    }

    /// The same, and it is released.
    fn releases(&self, filename: &str, contents: &[u8]) {
        self.stages(filename, contents);
        let is_released = self.records[&1001].published_outside(
            &version(),
            &key("deb"),
            JAMMY,
            &Digest::of(contents),
            self.now.get(),
        );
        assert!(is_released.expect("a database"));
    }

    fn state(&self) -> TargetState {
        let project = self.config.project("tug").expect("the project");
        let record = &self.records[&1001];
        let release =
            record.release(&self.config, project, &version(), &slipway_ledger::Sent::default(), self.now.get());
        release.expect("a database").expect("a release").packages[0].targets[0].state
    }

    /// One more await: `false` when it is one too many.
    fn lives(&self) -> bool {
        let Some(left) = self.dies_after.get() else { return true };
        self.dies_after.set(Some(left.saturating_sub(1)));
        left > 0
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
        if !self.lives() {
            std::future::pending::<()>().await;
        }
        let url = request.uri().to_string();
        let answer = |status, body: &str| http::Response::builder().status(status).body(body.as_bytes().to_vec());
        // Its indexes serve nothing.
        let Some((repository, query)) = url.split_once("/search.json?q=&per_page=250&page=") else {
            return Ok(answer(404, "").expect("a response"));
        };
        if self.is_down.get() {
            return Ok(answer(503, "busy").expect("a response"));
        }
        self.listed.set(self.listed.get() + 1);
        let held = self.held.borrow();
        let name = repository.rsplit_once("/repos/").expect("a repository").1;
        let page: usize = query.parse().expect("a page");
        let all = held.get(name).map(Vec::as_slice).unwrap_or_default();
        let from = (page - 1) * self.per_page.get();
        let on_page: Vec<_> = all.iter().skip(from).take(self.per_page.get()).collect();
        let body = on_page.iter().map(|(distro, filename, digest)| {
            json!({ "distro_version": distro, "filename": filename, "sha256sum": digest.map(|digest| digest.hex()) })
        });
        let body = serde_json::to_vec(&body.collect::<Vec<_>>()).expect("JSON");
        let mut builder = http::Response::builder().status(200);
        if all.len() > from + on_page.len() {
            builder = builder.header("link", format!("<{repository}/search.json?page={}>; rel=\"next\"", page + 1));
        }
        Ok(builder.body(body).expect("a response"))
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let answer = self.send(request).await?;
        each(answer.body());
        Ok(answer)
    }
}

impl AccountHost for World {
    fn open(&self, repository: &str) -> Result<Store, String> {
        let base = "https://packages.example.com".parse().expect("an address");
        Ok(Store::Packagecloud {
            account: AtServer::new(base, Token::new("token".to_owned())),
            repository: repository.parse().expect("a repository"),
            storage: Vec::new(),
        })
    }
}

impl SweepHost for World {
    async fn swept(&self, project_id: u64, page: &Swept) -> Result<Vec<Known>, Silent> {
        if !self.lives() {
            std::future::pending::<()>().await;
        }
        self.asked.set(self.asked.get() + 1);
        let (known, _) = self.records[&project_id].swept(page, |_| false, self.now.get()).expect("a database");
        Ok(known)
    }

    async fn tell(&self, project_id: u64, told: &Told) -> Result<(), Silent> {
        // It may never have arrived.
        if !self.lives() {
            std::future::pending::<()>().await;
        }
        let record = &self.records[&project_id];
        match told.clone() {
            Told::Strangers { site, found } => {
                record.found_strangers(&site, &found, self.now.get()).expect("a database");
            }
            Told::Adopted { site, actor, details } => {
                record.adopted(&site, &actor, &details, self.now.get()).expect("a database");
            }
            Told::Recalled { site, actor, details } => {
                record.recalled(&site, &actor, &details, self.now.get()).expect("a database");
            }
            Told::Outside { version, key, under, digest } => {
                record.published_outside(&version, &key, &under, &digest, self.now.get()).expect("a database");
            }
        }
        // The work may be done, and the answer lost.
        if !self.lives() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn write(&self, entry: &Entry<'_>) {
        let work = entry.work.clone().expect("each line has the id of its reading");
        self.lines.borrow_mut().push((work, entry.state.unwrap_or_default().to_owned()));
    }
}

#[test]
fn what_is_there_at_the_first_reading_is_known_and_what_comes_later_is_a_stranger() {
    let world = World::new();
    for name in ["a_1_amd64.deb", "b_1_amd64.deb", "c_1_amd64.deb"] {
        world.has(STABLE, name, name.as_bytes());
    }
    assert_eq!(world.shown().baseline, None, "nothing was read yet");
    world.sweeps();
    assert_eq!(world.strangers(), []);
    let shown = world.shown();
    assert_eq!((shown.listed, shown.pages), (3, 2));
    let baseline = shown.baseline.expect("it was read whole");
    // for n in a b c; do printf 'ubuntu/jammy\n%s\n%s\n' ${n}_1_amd64.deb $(printf ${n}_1_amd64.deb | sha256sum | cut -c1-64) |
    //   sha256sum | cut -c1-32; done | sort | sha256sum
    assert_eq!(
        (baseline.count, baseline.digest.hex()),
        (3, "f0b5c5dbec60d470d4f05aaf9a686098b3d34bc6125e1ac6e838b364b820aa31".to_owned())
    );
    for project in [1001, 1002] {
        let row = format!("adopted depot:{STABLE} {}", json!({ "baseline": 3, "digest": baseline.digest }));
        assert_eq!(world.audited(project), [row]);
    }

    world.has(STABLE, "d_1_amd64.deb", b"by hand");
    world.sweeps_again();
    assert_eq!(world.strangers(), [("d_1_amd64.deb".to_owned(), "unknown".to_owned())]);
    for project in [1001, 1002] {
        let row = &world.audited(project)[1];
        assert!(row.starts_with(&format!("found-stranger depot:{STABLE}")), "{row}");
        assert!(row.contains("d_1_amd64.deb") && row.contains(&Digest::of(b"by hand").to_string()), "{row}");
    }
    world.sweeps_again();
    assert_eq!(world.audited(1001).len(), 2, "it is told once");
}

#[test]
fn other_bytes_under_a_name_of_the_baseline_are_a_stranger() {
    let world = World::new();
    world.has(STABLE, "a_1_amd64.deb", b"old");
    world.sweeps();
    world.lacks(STABLE, "a_1_amd64.deb");
    world.has(STABLE, "a_1_amd64.deb", b"new");
    world.sweeps_again();
    assert_eq!(world.strangers(), [("a_1_amd64.deb".to_owned(), "unknown".to_owned())]);
}

#[test]
fn what_slipway_has_released_is_no_stranger_and_other_bytes_under_its_name_are() {
    let world = World::new();
    world.sweeps();
    world.releases("tug_1.2.0_amd64.deb", b"tug");
    world.has(STABLE, "tug_1.2.0_amd64.deb", b"tug");
    world.sweeps_again();
    assert_eq!(world.strangers(), []);
    world.lacks(STABLE, "tug_1.2.0_amd64.deb");
    world.has(STABLE, "tug_1.2.0_amd64.deb", b"evil");
    world.sweeps_again();
    assert_eq!(world.strangers(), [("tug_1.2.0_amd64.deb".to_owned(), "differs".to_owned())]);
    let shown = &world.shown().strangers[0];
    assert_eq!((shown.expected, shown.version.clone()), (Some(Digest::of(b"tug")), Some(version())));
    // It is wrong even where it was there before the first reading.
    let world = World::new();
    world.releases("tug_1.2.0_amd64.deb", b"tug");
    world.has(STABLE, "tug_1.2.0_amd64.deb", b"evil");
    world.sweeps();
    assert_eq!(world.strangers(), [("tug_1.2.0_amd64.deb".to_owned(), "differs".to_owned())]);
    let asked = adoption(&[Digest::of(b"evil")], false);
    assert!(matches!(adopt(&world, &asked), Err(NotAdopted::KnownOtherwise(_))), "it cannot be adopted");
}

#[test]
fn what_another_project_released_is_named_to_its_own_members_alone() {
    let world = World::new();
    world.sweeps();
    world.releases("tug_1.2.0_amd64.deb", b"tug");
    world.has(STABLE, "tug_1.2.0_amd64.deb", b"evil");
    world.sweeps_again();
    let own = &world.shown_to(1001).strangers[0];
    assert_eq!((own.expected, own.version.clone(), own.of_another), (Some(Digest::of(b"tug")), Some(version()), false));
    for other in [1002, 0] {
        let shown = &world.shown_to(other).strangers[0];
        assert_eq!((shown.expected, shown.version.clone(), shown.of_another), (None, None, true), "{other}");
        // What is public is said: which file, with which bytes.
        assert_eq!((shown.why.as_str(), shown.digest), ("differs", Some(Digest::of(b"evil"))));
    }
    let audited = |project_id| {
        let rows = audit::entries(world.records[&project_id].sql(), 1, 100).expect("rows");
        let found = rows.into_iter().find(|row| row.event.action == "found-stranger").expect("it is in the audit");
        found.event.details
    };
    assert!(audited(1001).contains("1.2.0") && audited(1001).contains(&Digest::of(b"tug").to_string()));
    let others = audited(1002);
    assert!(others.contains("of_another") && others.contains(&Digest::of(b"evil").to_string()), "{others}");
    assert!(!others.contains("\"version\"") && !others.contains(&Digest::of(b"tug").to_string()), "{others}");
}

#[test]
fn equal_bytes_that_the_index_does_not_serve_are_neither_released_nor_a_stranger() {
    let world = World::new();
    world.sweeps();
    world.stages("tug_1.2.0_amd64.deb", b"tug");
    world.has(STABLE, "tug_1.2.0_amd64.deb", b"tug");
    world.sweeps_again();
    assert_eq!((world.strangers(), world.state()), (vec![], TargetState::Staged));
}

#[test]
fn a_stranger_that_is_on_no_page_of_two_readings_is_gone() {
    let world = World::new();
    world.sweeps();
    world.has(STABLE, "d_1_amd64.deb", b"by hand");
    world.sweeps_again();
    world.lacks(STABLE, "d_1_amd64.deb");
    world.sweeps_again();
    assert_eq!(world.strangers().len(), 1, "one list without it proves nothing");
    world.sweeps_again();
    assert_eq!(world.strangers(), []);
}

#[test]
fn a_file_that_the_server_has_not_hashed_is_told_of_when_it_is_there_at_the_next_reading() {
    let world = World::new();
    world.sweeps();
    world.held.borrow_mut().entry(STABLE).or_default().push((JAMMY.to_owned(), "d_1_amd64.deb".to_owned(), None));
    world.sweeps_again();
    assert_eq!((world.strangers(), world.audited(1001).len()), (vec![], 1));
    world.sweeps_again();
    assert_eq!((world.strangers().len(), world.audited(1001).len()), (1, 2));
}

fn adoption(digests: &[Digest], all: bool) -> AdoptionRequest {
    AdoptionRequest {
        place: "depot".to_owned(),
        repository: STABLE.to_owned(),
        reason: "the hotfix of last night".to_owned(),
        digests: digests.to_vec(),
        all,
    }
}

fn adopt(world: &World, asked: &AdoptionRequest) -> Result<u64, NotAdopted> {
    let repositories = world.config.repositories("depot");
    let repository = repositories.iter().find(|of| of.is_public).expect("a public repository");
    sweep::adopt(&world.account, world, repository, asked, "operator").now_or_never().expect("nothing waits")
}

#[test]
fn a_stranger_that_is_adopted_is_known_from_then_on_with_these_bytes_alone() {
    let world = World::new();
    world.sweeps();
    world.has(STABLE, "d_1_amd64.deb", b"by hand");
    world.has(STABLE, "e_1_amd64.deb", b"by another hand");
    world.sweeps_again();
    assert!(matches!(adopt(&world, &adoption(&[Digest::of(b"nobody's")], false)), Err(NotAdopted::None(_))));
    assert_eq!(adopt(&world, &adoption(&[Digest::of(b"by hand")], false)).expect("it is adopted"), 1);
    let row = world.audited(1002).pop().expect("a row");
    assert!(row.starts_with("adopted") && row.contains("the hotfix of last night"), "{row}");
    world.sweeps_again();
    assert_eq!(world.strangers(), [("e_1_amd64.deb".to_owned(), "unknown".to_owned())]);
    assert_eq!(adopt(&world, &adoption(&[], true)).expect("all are adopted"), 1);
    world.lacks(STABLE, "d_1_amd64.deb");
    world.has(STABLE, "d_1_amd64.deb", b"by hand again");
    world.sweeps_again();
    assert_eq!(world.strangers(), [("d_1_amd64.deb".to_owned(), "unknown".to_owned())]);
}

#[test]
fn ten_thousand_packages_are_swept_in_one_run_with_one_list_request_a_page() {
    let world = World::new();
    world.per_page.set(250);
    for number in 0..10_000 {
        world.has(STAGING, &format!("p{number}_1_amd64.deb"), b"x");
    }
    assert_eq!(world.sweeps(), 1);
    // 40 pages, and one of the public repository, which is empty. Each is a question to either record.
    assert_eq!((world.listed.get(), world.asked.get()), (41, 2 * 41));
}

#[test]
fn what_is_too_much_for_one_run_goes_on_at_the_next_page_in_the_next() {
    let world = World::new();
    world.per_page.set(10);
    for number in 0..10_000 {
        world.has(STABLE, &format!("p{number}_1_amd64.deb"), b"x");
    }
    let runs = world.sweeps();
    // A page costs three requests, and a run makes 600.
    assert!((5..=7).contains(&runs), "{runs} runs for 1,000 pages");
    assert_eq!(world.listed.get(), 1001, "no page is read twice");
    assert_eq!(world.shown().baseline.expect("it was read whole").count, 10_000);
}

/// A list of strangers as it was shown before a restore: two that nobody had dealt with, of which one was taken away since.
fn backed_up() -> SweptRepository {
    let old = World::new();
    old.has(STABLE, "a_1_amd64.deb", b"a");
    old.sweeps();
    for name in ["b_1_amd64.deb", "gone_1_amd64.deb"] {
        old.has(STABLE, name, b"by hand");
    }
    old.sweeps_again();
    old.shown()
}

#[test]
fn a_list_of_strangers_of_before_a_restore_makes_strangers_again_of_what_has_counted_as_known_since() {
    let list = backed_up();
    let world = World::new();
    world.has(STABLE, "a_1_amd64.deb", b"a");
    world.has(STABLE, "b_1_amd64.deb", b"by hand");
    let too_soon = world.recalls(&list).expect_err("it would be taken for known by the first reading");
    assert!(matches!(too_soon, NotRecalled::NotTaken(_)), "{too_soon}");
    world.sweeps();
    assert_eq!(world.strangers(), [], "whatever was there counts as known");
    world.now.set(NOW + Duration::from_hours(24));

    let recalled = world.recalls(&list).expect("it is taken");
    let before = list.baseline.as_ref().expect("it was read").digest;
    assert_eq!((recalled.recalled, recalled.agrees, recalled.more), (1, true, 0));
    assert_eq!((recalled.baseline.count, recalled.baseline.digest), (1, before), "what was known before, and no more");
    let strange = [("b_1_amd64.deb".to_owned(), "unknown".to_owned())];
    assert_eq!(world.strangers(), strange);
    assert_eq!(world.shown().strangers[0].found_at, list.strangers[0].found_at);
    let row = format!(
        "recalled depot:{STABLE} {}",
        json!({ "recalled": [{ "name": format!("{JAMMY} b_1_amd64.deb"), "digest": Digest::of(b"by hand") }], "more": 0 })
    );
    for project in [1001, 1002] {
        assert_eq!(&world.audited(project)[1..], std::slice::from_ref(&row));
    }
    // Again, it finds nothing to do. The next reading tells of them as of any, and keeps them.
    assert_eq!(world.recalls(&list).map(|again| (again.recalled, again.agrees)).expect("it is known"), (0, true));
    for _ in 0..3 {
        world.sweeps_again();
        assert_eq!(world.strangers(), strange);
    }
    let audited = world.audited(1001);
    assert_eq!(audited.len(), 3, "{audited:?}");
    assert!(audited[2].starts_with("found-stranger"), "{audited:?}");
}

#[test]
fn a_list_of_strangers_makes_nothing_known_and_keeps_nothing_strange_that_slipway_released() {
    let world = World::new();
    world.has(STABLE, "a_1_amd64.deb", b"a");
    world.sweeps();
    world.has(STABLE, "late_1_amd64.deb", b"later");
    world.has(STABLE, "tug_1.2.0_amd64.deb", b"tug");
    world.sweeps_again();
    let [late, tug] = &world.shown().strangers[..] else { panic!("two came later") };
    let (late, tug) = (late.clone(), tug.clone());
    world.releases("tug_1.2.0_amd64.deb", b"tug");
    world.sweeps_again();
    // A list that knows everything, or calls strange what was released since.
    let empty = SweptRepository { strangers: Vec::new(), ..world.shown() };
    assert_eq!(world.recalls(&empty).expect("a list").recalled, 0);
    assert_eq!(world.strangers(), [("late_1_amd64.deb".to_owned(), "unknown".to_owned())]);
    let differs =
        slipway_core::api::Stranger { why: "differs".to_owned(), filename: Some("a_1_amd64.deb".to_owned()), ..late };
    for strange in [tug.clone(), differs] {
        let list = SweptRepository { strangers: vec![strange], ..world.shown() };
        assert_eq!(
            world.recalls(&list).expect("a list").recalled,
            0,
            "it is not in the baseline, or is found by itself"
        );
    }
    world.sweeps_again();
    assert_eq!(world.strangers(), [("late_1_amd64.deb".to_owned(), "unknown".to_owned())]);

    // What is not as it was shown is refused whole.
    let undated = slipway_core::api::Stranger { found_at: "yesterday".to_owned(), ..tug.clone() };
    for strangers in [vec![undated], vec![tug; 201]] {
        let list = SweptRepository { strangers, ..world.shown() };
        assert!(matches!(world.recalls(&list), Err(NotRecalled::NoList(_))));
    }
}

#[test]
fn a_list_whose_taking_is_cut_off_anywhere_is_taken_when_it_is_sent_again_and_each_record_says_so_once() {
    let list = backed_up();
    let mut killed = 0;
    for dies_after in 0..10 {
        let world = World::new();
        world.has(STABLE, "b_1_amd64.deb", b"by hand");
        world.sweeps();
        world.dies_after.set(Some(dies_after));
        let repositories = world.config.repositories("depot");
        let repository = repositories.iter().find(|of| of.is_public).expect("a public one");
        let once = sweep::recall(&world.account, &world, repository, &list, "operator").now_or_never();
        killed += u64::from(once.is_none());
        world.dies_after.set(None);
        world.recalls(&list).expect("again");
        assert_eq!(
            world.strangers(),
            [("b_1_amd64.deb".to_owned(), "unknown".to_owned())],
            "killed after {dies_after}"
        );
        for project in [1001, 1002] {
            let rows = world.audited(project);
            let recalled = rows.iter().filter(|row| row.starts_with("recalled")).count();
            assert_eq!(recalled, 1, "killed after {dies_after}: {rows:?}");
        }
    }
    assert!(killed > 2, "it was killed {killed} times");
}

#[test]
fn a_repository_that_cannot_be_read_makes_no_stranger_and_no_baseline_and_is_tried_again() {
    let world = World::new();
    world.has(STABLE, "a_1_amd64.deb", b"a");
    world.is_down.set(true);
    world.sweeps();
    let shown = world.shown();
    assert!(shown.trouble.is_some_and(|trouble| trouble.contains("cannot list page 1 of harbour/stable")));
    assert_eq!(shown.baseline, None);
    world.is_down.set(false);
    world.now.set(world.now.get() + Duration::from_mins(5));
    world.sweeps();
    assert_eq!((world.shown().trouble, world.shown().listed), (None, 1));
}

#[test]
fn a_sweep_that_is_killed_at_any_moment_finds_and_tells_the_same() {
    // Killed at each await of the second reading, which finds two strangers on two pages.
    let story = |dies_after: Option<u64>| {
        let world = World::new();
        for name in ["a_1_amd64.deb", "b_1_amd64.deb"] {
            world.has(STABLE, name, b"old");
        }
        world.sweeps();
        for name in ["c_1_amd64.deb", "d_1_amd64.deb", "e_1_amd64.deb"] {
            world.has(STABLE, name, b"by hand");
        }
        world.now.set(world.now.get() + sweep::EVERY);
        world.dies_after.set(dies_after);
        let repositories = world.config.repositories("depot");
        let was_killed = sweep::run(&world.account, &world.readings, &world, &repositories).now_or_never().is_none();
        world.dies_after.set(None);
        world.sweeps();
        let audited: Vec<_> = [1001, 1002].into_iter().flat_map(|project| world.audited(project)).collect();
        (was_killed, (world.strangers(), audited, world.shown().listed))
    };
    let (_, whole) = story(None);
    assert_eq!(whole.0.len(), 3);
    let mut killed = 0;
    for dies_after in 0..100 {
        let (was_killed, seen) = story(Some(dies_after));
        assert_eq!(seen, whole, "killed after {dies_after}");
        if !was_killed {
            break;
        }
        killed += 1;
    }
    assert!(killed > 8, "it was killed {killed} times");
}

#[test]
fn a_page_of_staging_is_a_look_at_what_is_staged_there_and_what_is_on_no_page_is_left_to_be_looked_for() {
    let world = World::new();
    world.stages("tug_1.2.0_amd64.deb", b"tug");
    world.has(STAGING, "tug_1.2.0_amd64.deb", b"tug");
    world.now.set(NOW + sweep::EVERY);
    world.sweeps();
    let record = &world.records[&1001];
    let due = |since: Duration| record.watched(world.now.get() - since, world.now.get()).expect("rows").len();
    assert_eq!(due(Duration::from_mins(10)), 0, "it was just seen");
    world.lacks(STAGING, "tug_1.2.0_amd64.deb");
    world.sweeps_again();
    assert_eq!((due(Duration::from_mins(10)), world.state()), (1, TargetState::Staged), "no list proves absence");
    // Other bytes count at once.
    world.has(STAGING, "tug_1.2.0_amd64.deb", b"other");
    world.sweeps_again();
    assert_eq!(world.state(), TargetState::Missing);
}

#[test]
fn all_lines_about_one_reading_of_a_repository_have_one_id_also_after_a_kill_and_the_next_reading_has_another() {
    let world = World::new();
    for name in ["a", "b", "c", "d", "e"] {
        world.has(STABLE, &format!("{name}_1_amd64.deb"), name.as_bytes());
    }
    // Killed behind the first page, while a record is asked about the second.
    world.dies_after.set(Some(5));
    let repositories: Vec<_> = world.config.repositories("depot");
    let public: Vec<_> = repositories.into_iter().filter(|of| of.is_public).collect();
    let run = sweep::run(&world.account, &world.readings, &world, &public).now_or_never();
    assert!(run.is_none(), "it is killed");
    world.dies_after.set(None);
    world.now.set(world.now.get() + Duration::from_mins(1));
    world.sweeps();
    world.sweeps_again();
    let lines = world.lines.borrow();
    let of = |repository: &str| {
        let about = |(work, _): &&(String, String)| work.starts_with(&format!("sweep/depot/{repository}/"));
        lines.iter().filter(about).cloned().collect::<Vec<_>>()
    };
    for repository in [STABLE, STAGING] {
        let lines = of(repository);
        let states: Vec<&str> = lines.iter().map(|(_, state)| state.as_str()).collect();
        assert_eq!(states, ["begun", "ended", "begun", "ended"], "{lines:?}");
        assert!(lines[0].0 == lines[1].0 && lines[2].0 == lines[3].0 && lines[0].0 != lines[2].0, "{lines:?}");
    }
}

#[test]
fn numbers_say_how_many_strangers_there_are_and_how_long_ago_each_repository_was_read_whole() {
    let world = World::new();
    world.has(STABLE, "known_1.0_amd64.deb", b"known");
    world.sweeps();
    for (name, contents) in [("one_1.0_amd64.deb", b"one"), ("two_1.0_amd64.deb", b"two")] {
        world.has(STABLE, name, contents);
    }
    world.sweeps_again();
    world.now.set(world.now.get() + Duration::from_secs(90));
    let of = world.account.measured(world.now.get()).expect("numbers").repositories;
    assert_eq!((of[STABLE].strangers, of[STAGING].strangers), (world.strangers().len() as u64, 0));
    assert_eq!((of[STABLE].strangers, of[STABLE].read_seconds_ago), (2, Some(90)));
}
