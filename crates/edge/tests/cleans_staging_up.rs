//! What becomes of staged packages, run after run, over a staging server that answers as a test wants.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use slipway_core::api::StagedFile;
use slipway_core::cargo::{Cargo, Kind};
use slipway_core::config::Config;
use slipway_core::inventory::{Seen, Served};
use slipway_core::log::Entry;
use slipway_core::promotion::Order;
use slipway_core::release::{Maturity, Version};
use slipway_core::retention::{Cause, Consent, Decision, Keep, RUN, Stage};
use slipway_core::route::Site;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::store::{Around, Going, Kept, Look, Store};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::Withdrawal;
use slipway_edge::notify;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::retention::{Listed, PARTS_MAX, StagingHost, due_at, list, run, whole};
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Held, NameTaken, PublicName, Record, Removal, Sight, Sql as _, StagedObject, UNANSWERED, audit};
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

use support::{JAMMY, NOW, PIPELINE, config, key, planned, record, release_job, session, site, version};

mod support;

const NAMES: [&str; 3] = ["one", "three", "two"];

/// Beside what every story begins with.
const MORE: &str = r#"
    [retention]
    enabled = true
    files_per_run = 2
    [places.images]
    kind = "registry"
    url = "https://registry.example.com"
    user = "slipway"
    token = "IMAGES_TOKEN"
    [[routes]]
    kinds = ["image"]
    staging = { place = "images", repository = "harbour/staging" }
    public = { place = "images", repository = "harbour/app" }
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
    /// Whether the other project can do without its files; or its record, which says that itself.
    is_free: Cell<Option<bool>>,
    other: Option<(Rc<Record<Database>>, Config)>,
    lent: Cell<u32>,
    /// How often somebody has looked into staging, and whether it shows nothing of what it has.
    looks: Cell<u32>,
    is_out: Cell<bool>,
    /// Whether it cannot be read at all.
    is_broken: Cell<bool>,
    /// The images that are there with all their parts.
    whole: RefCell<BTreeSet<Digest>>,
    /// What images name, or what says something about them, and which of all that is there.
    names: RefCell<BTreeMap<Digest, BTreeSet<Digest>>>,
    there: RefCell<BTreeSet<Digest>>,
    /// Whether an image goes before its parts: the registry deletes no tag by itself.
    image_first: Cell<bool>,
    /// How often somebody has looked at what goes with an image, and whether that can be told.
    image_looks: Cell<u32>,
    is_unclear: Cell<bool>,
    /// The images of the other project, and those that the last deletion was to keep.
    others: RefCell<Kept>,
    kept: RefCell<Kept>,
    /// Whether the other project says which images it has.
    tells_images: Cell<bool>,
    /// Whether whoever sends a deletion dies there.
    dies: Cell<bool>,
    /// After so many requests that delete, whoever sends one dies: before it is sent.
    dies_after: Cell<Option<u32>>,
    /// What happens when the other project is asked to lend a file.
    at_lend: RefCell<Option<Box<dyn FnOnce()>>>,
    /// What happens at the next request that deletes.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
    /// What was written into the log: the id of the work, how far it was, and the package.
    lines: RefCell<Vec<(String, String, String)>>,
}

/// What the server has a file or an image as.
fn name_of(under: &str, cargo: &Cargo) -> String {
    if cargo.file().is_some() { cargo.to_string() } else { under.to_owned() }
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
        match self.dies_after.get() {
            Some(0) => return std::future::pending().await,
            left => self.dies_after.set(left.map(|left| left - 1)),
        }
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        Ok(Response::default())
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

    async fn hand_over(&self, _order: &Order) -> Result<(), Silent> {
        Ok(())
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent> {
        panic!("nothing is taken back of {}", withdrawal.key)
    }

    fn open(&self, site: &Site) -> Result<Store, String> {
        panic!("nobody attaches anything in {}", site.repository)
    }

    fn announce(&self, _version: &Version) {}

    async fn find(&self, _site: &Site, under: &str, cargo: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        self.looks.set(self.looks.get() + 1);
        if self.is_broken.get() {
            return Err(Silent("it is away".to_owned()));
        }
        let found = self.staged.borrow().get(&name_of(under, cargo)).copied();
        Ok(Ok(found.filter(|_| !self.is_out.get()).map_or(Seen::Nothing, Seen::Digest)))
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

    fn write(&self, entry: &Entry<'_>) {
        let work = entry.work.clone().expect("each line has the id of its run");
        let text = |of: Option<&str>| of.unwrap_or_default().to_owned();
        self.lines.borrow_mut().push((work, text(entry.state), text(entry.key)));
    }
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

    async fn can_do_without(&self, project_id: u64, object: &StagedObject, lend: bool) -> Result<Consent, Silent> {
        assert_eq!(project_id, 1002, "its own record is not asked");
        self.lent.set(self.lent.get() + u32::from(lend));
        if lend && let Some(at_lend) = self.at_lend.take() {
            at_lend();
        }
        if let Some((record, config)) = &self.other {
            let project = config.project_of_id(project_id).expect("the other project");
            let consent = record.leave_to_another(config, project, object, lend, self.now());
            return Ok(consent.expect("a working record"));
        }
        let consent = |is_free| if is_free { Consent::Yes } else { Consent::No };
        self.is_free.get().map(consent).ok_or_else(|| Silent("it is away".to_owned()))
    }

    async fn images_in(&self, _: u64, _: &Site) -> Result<Kept, Silent> {
        let is_there = self.is_free.get().is_some() && self.tells_images.get();
        is_there.then(|| self.others.borrow().clone()).ok_or_else(|| Silent("it is away".to_owned()))
    }

    async fn has_whole(&self, removal: &Removal) -> Result<bool, Trouble> {
        Ok(self.whole.borrow().contains(&removal.digest))
    }

    async fn look(&self, object: &StagedObject, around: Around<'_>) -> Result<Look, Trouble> {
        *self.kept.borrow_mut() = around.kept.clone();
        self.image_looks.set(self.image_looks.get() + 1);
        if self.is_unclear.get() {
            return Err(Trouble::passing("a tag is out of sight"));
        }
        let (names, staged, there) = (self.names.borrow(), self.staged.borrow(), self.there.borrow());
        let others = names.iter().filter(|(other, _)| {
            **other != object.digest && staged.values().any(|staged| staged == *other) && !around.gone.contains(other)
        });
        let needed: BTreeMap<Digest, String> = others
            .flat_map(|(other, parts)| parts.iter().map(move |part| (*part, format!("the image {other}"))))
            .collect();
        if let Some(by) = needed.get(&object.digest) {
            return Ok(Look::Needed(by.clone()));
        }
        let is_there = |part: &Digest| there.contains(part) && !around.gone.contains(part);
        let left: BTreeSet<Digest> = around.parts.iter().copied().filter(is_there).collect();
        let is_staged = staged.values().any(|staged| *staged == object.digest);
        if !is_staged && left.is_empty() {
            return Ok(Look::Absent);
        }
        // Of an image that is gone nobody knows any more what it named.
        let own = names.get(&object.digest).filter(|_| is_staged).cloned().unwrap_or_default();
        let own = own.into_iter().filter(is_there).chain(left).collect::<BTreeSet<Digest>>();
        let (stays, parts): (Vec<Digest>, Vec<Digest>) = own.into_iter().partition(|part| needed.contains_key(part));
        let stays = stays.into_iter().map(|part| (part, needed[&part].clone())).collect();
        Ok(Look::Goes(Going { parts, stays, looks: 150, ..Going::default() }))
    }

    async fn parts_here(&self, removal: &Removal) -> Result<Vec<Digest>, Trouble> {
        Ok(removal.parts.iter().copied().filter(|part| self.there.borrow().contains(part)).collect())
    }

    async fn remove(&self, http: &impl Http, removal: &Removal, going: &Going) -> Result<(), Trouble> {
        if self.dies.get() {
            return std::future::pending().await;
        }
        let parts = going.parts.iter().copied().map(Some);
        let is_file = removal.cargo.file().is_some();
        // An image goes in parts, and it is the last of them, or the first.
        let first = [Some(removal.digest)].into_iter().filter(|_| !is_file);
        let steps: Vec<Option<Digest>> = if self.image_first.get() {
            [None].into_iter().chain(parts).collect()
        } else {
            first.chain(parts).chain([None]).collect()
        };
        for step in steps {
            let request = http::Request::delete("https://packages.example.com/").body(Vec::new());
            let sent = http.send(request.expect("a request")).await;
            sent.map_err(|error| Trouble::passing(error.to_string()))?;
            if self.does.get() == Does::Nothing {
                continue;
            }
            self.whole.borrow_mut().remove(&removal.digest);
            if let Some(part) = step {
                self.there.borrow_mut().remove(&part);
            } else if self.staged.borrow_mut().remove(&name_of(&removal.under, &removal.cargo)).is_some() {
                self.deleted.borrow_mut().push(removal.key.to_string());
            }
        }
        if self.does.get() == Does::It { Ok(()) } else { Err(Trouble::passing("the connection broke")) }
    }
}

struct Edge {
    record: Rc<Record<Database>>,
    host: Host,
    config: Config,
}

/// What becomes of each package, as a step and its key. One that stays has none.
fn steps(listed: &[Listed]) -> BTreeSet<String> {
    let step = |of: &Listed| match &of.decision {
        Decision::Announce(_) => Some("announce"),
        Decision::Mark(_) => Some("mark"),
        Decision::Delete(_) if !of.waits_for_limits => Some("delete"),
        Decision::TakeBack(_) => Some("take back"),
        Decision::Delete(_) | Decision::Keep(_) => None,
    };
    listed.iter().filter_map(|of| Some(format!("{} {}", step(of)?, of.package.key))).collect()
}

/// The one target of a package.
fn target(version: &Version, kind: Kind) -> String {
    if kind == Kind::Image { format!(":{version}") } else { JAMMY.to_owned() }
}

impl Edge {
    /// A release of three packages that was given up twenty days ago.
    fn new() -> Self {
        Self::of(&NAMES.map(|name| (name, Kind::Deb)))
    }

    /// One of these packages.
    fn of(packages: &[(&str, Kind)]) -> Self {
        let edge = Self {
            record: Rc::new(record()),
            host: Host {
                now: Cell::new(NOW),
                apart: Cell::default(),
                staged: RefCell::default(),
                deleted: RefCell::default(),
                does: Cell::new(Does::It),
                is_free: Cell::new(Some(true)),
                other: None,
                lent: Cell::default(),
                looks: Cell::default(),
                is_out: Cell::default(),
                is_broken: Cell::default(),
                whole: RefCell::default(),
                names: RefCell::default(),
                there: RefCell::default(),
                image_first: Cell::default(),
                image_looks: Cell::default(),
                is_unclear: Cell::default(),
                others: RefCell::default(),
                kept: RefCell::default(),
                tells_images: Cell::new(true),
                dies: Cell::default(),
                dies_after: Cell::default(),
                at_lend: RefCell::default(),
                meanwhile: RefCell::default(),
                lines: RefCell::default(),
            },
            config: config(MORE),
        };
        for (name, kind) in packages {
            edge.plans(&version(), name, *kind);
            edge.stages(&version(), name, *kind, true);
        }
        edge.record.close(&version(), "user:mira", "given up", NOW).expect("a closing");
        edge.passes(Duration::from_hours(20 * 24));
        edge
    }

    fn plans(&self, version: &Version, name: &str, kind: Kind) {
        let mut planned = planned(name, &[&target(version, kind)]);
        // One pipeline plans them all here, and each of its jobs is of one package.
        planned.expect.release_job = release_job(&format!("{name} {version}"));
        planned.expect.environment = format!("release/{name} {version}");
        if kind == Kind::Image {
            let site = |repository| Site { place: "images".to_owned(), ..site(repository) };
            planned.expect.kind = kind;
            planned.expect.distros = Vec::new();
            planned.expect.tags = vec![version.to_string()];
            planned.staging = site("harbour/staging");
            planned.targets[0].public = site("harbour/app");
        }
        let (by, policy) = (session(PIPELINE), &self.config.policy);
        self.record.expect(version, &by, policy, Maturity::Final, &[planned], self.host.now()).expect("a plan");
    }

    /// Declares a package that staging has, and looks at it, unless staging cannot be read.
    fn stages(&self, version: &Version, name: &str, kind: Kind, is_read: bool) -> Digest {
        let now = self.host.now();
        let digest = Digest::of(format!("{name} {version}").as_bytes());
        let (filename, image) = match kind {
            Kind::Image => (String::new(), Some("registry.example.com/harbour/staging".to_owned())),
            _ => (format!("{name}_{version}_amd64.deb"), None),
        };
        let is_image = image.is_some();
        let file = StagedFile { filename: filename.clone(), image, digest, size: 3 };
        self.record.declare(version, &key(name), &file, false, &session(PIPELINE), now).expect("declared");
        if is_read {
            let target = target(version, kind);
            self.record.seen_in_staging(version, &key(name), &target, &digest, &Sight::Declared, now).expect("a look");
        }
        let under = if is_image { format!("@{digest}") } else { filename };
        self.host.staged.borrow_mut().insert(under, digest);
        self.host.whole.borrow_mut().insert(digest);
        digest
    }

    /// The keys that the list has a step for, with the step's name: all its parts, as whoever asks for it has them.
    fn lists(&self) -> BTreeSet<String> {
        steps(&self.list())
    }

    fn list(&self) -> Vec<Listed> {
        let project = self.config.project("tug").expect("the project");
        let parts = whole(async |from| list(&self.record, &self.host, &self.config, project, from).await);
        let parts = parts.now_or_never().expect("nothing waits").expect("a working record");
        parts.expect("not too many parts").concat()
    }

    /// One piece of a run: what it did.
    fn goes_on(&self) -> BTreeSet<String> {
        let project = self.config.project("tug").expect("the project");
        let survey = run(&self.record, &self.host, &self.config, project);
        steps(&survey.now_or_never().expect("nothing waits").expect("a working record").listed)
    }

    /// Runs an hour apart, until something is deleted or so many days are over. Each does what the list before it said.
    fn runs(&self, days: u64) {
        for _ in 0..days * 24 {
            let (wanted, before) = (self.lists(), self.host.deleted.borrow().len());
            assert_eq!(self.goes_on(), wanted);
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

    /// The time after which a look decides what became of a deletion.
    fn looks_again(&self) {
        self.passes(UNANSWERED);
        assert_eq!(self.goes_on(), BTreeSet::new());
    }

    /// So much time passes, with a run in each of its hours that has nothing to do.
    fn counts(&self, time: Duration) {
        self.passes(time);
        let ms = i64::try_from(time.as_millis()).expect("a few days");
        let sql = "UPDATE retention_clock SET seen_at = ?, counted = counted + ?";
        let hour_ago = self.host.now().0 - 3_600_000;
        self.record.sql().query(sql, &[hour_ago.into(), ms.into()]).expect("the clock");
    }

    /// One whole run: in how many pieces, and what it did.
    fn whole_run(&self) -> (usize, BTreeSet<String>) {
        let (mut pieces, mut did) = (1, self.goes_on());
        while self.record.run_reached().expect("a row").is_some() {
            assert!(pieces < 100, "it ends");
            pieces += 1;
            did.extend(self.goes_on());
        }
        (pieces, did)
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
    edge.looks_again();
    assert_eq!((edge.audited("announced"), edge.audited("marked"), edge.audited("deleted")), (3, 3, 2));
    assert_eq!(edge.deleted().len(), 2, "a look is no run");
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
    edge.looks_again();
    assert!(edge.record.removals().expect("rows").is_empty(), "two looks have shown that they are gone");

    let edge = Edge::new();
    edge.host.does.set(Does::Nothing);
    edge.runs(30);
    let hold = || edge.record.hold(&version(), None, "user:nell", "wait", None, edge.host.now()).expect("a hold");
    let late = Held::TooLate(vec![key("one"), key("three")]);
    assert_eq!(hold(), late, "the request may still arrive");
    edge.passes(Duration::from_mins(1));
    edge.goes_on();
    assert_eq!(hold(), late);
    edge.passes(Duration::from_mins(1));
    edge.goes_on();
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
fn a_file_that_another_project_has_too_is_on_the_list_to_be_deleted_when_the_run_does_it_and_waits_until_then() {
    let day = |number: u64| Duration::from_hours(24 * number);
    let mut edge = Edge::of(&[("one", Kind::Deb)]);
    let buoy = Edge::of(&[("one", Kind::Deb)]).record;
    edge.host.other = Some((Rc::clone(&buoy), edge.config.clone()));
    let (config, project) = (&edge.config, edge.config.project("buoy").expect("the other project"));
    let (began, mut waited) = (edge.host.now(), false);
    while edge.deleted().is_empty() {
        let now = edge.host.now();
        let passed = now.since(began);
        assert!(passed <= day(15), "it goes at last");
        buoy.count_time(now, true).expect("the other's clock");
        // The other's notice begins four days after this one's.
        for (stage, at) in [(Stage::Announced, day(4)), (Stage::Marked, day(7))] {
            if passed == at {
                let of = buoy.resting_one(config, project, &version(), &key("one"), now).expect("rows");
                let of = of.expect("it rests there");
                assert!(buoy.take_step(&of, stage, Cause::Closed, now, now).expect("a step"));
            }
        }
        let list = edge.list();
        assert_eq!(edge.goes_on(), steps(&list));
        let is_listed = steps(&list).contains("delete one");
        assert_eq!(edge.deleted().len(), usize::from(is_listed), "{passed:?}");
        assert_eq!(is_listed, passed >= day(14), "three and seven days after four: {passed:?}");
        waited |= list.iter().any(|of| of.decision == Decision::Keep(Keep::WaitsFor("buoy".to_owned())));
        edge.passes(RUN);
    }
    assert!(waited);
    assert_eq!(edge.audited("kept"), 0, "it was never taken back");
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
    edge.goes_on();
    for _ in 0..10 {
        edge.host.now.set(right + Duration::from_hours(24 * 3650));
        edge.goes_on();
        edge.host.now.set(right);
        edge.goes_on();
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

#[test]
fn one_look_that_shows_nothing_proves_nothing() {
    // The request got lost, and staging is out of sight when it is looked at.
    let edge = Edge::new();
    edge.host.does.set(Does::Nothing);
    let out = |is_out: bool| edge.host.is_out.set(is_out);
    edge.host.is_out.set(false);
    edge.runs(30);
    assert_eq!(edge.record.removals().expect("rows").len(), 2);
    out(true);
    edge.looks_again();
    assert_eq!((edge.audited("deleted"), edge.audited("not-deleted")), (0, 0), "it was looked at once");
    out(false);
    edge.looks_again();
    assert_eq!((edge.audited("deleted"), edge.audited("not-deleted")), (0, 2), "it was there all the time");

    // Right after a deletion, too.
    let edge = Edge::new();
    edge.runs(30);
    assert_eq!(edge.audited("deleted"), 0);
    edge.passes(UNANSWERED.saturating_sub(Duration::from_secs(1)));
    edge.goes_on();
    assert_eq!(edge.audited("deleted"), 0, "no distance is between the two");
    edge.passes(Duration::from_secs(1));
    edge.goes_on();
    assert_eq!(edge.audited("deleted"), 2);
}

#[test]
fn a_staging_that_cannot_be_read_after_a_deletion_is_asked_again_after_a_while_and_not_at_once() {
    let edge = Edge::new();
    edge.host.does.set(Does::Nothing);
    edge.runs(30);
    edge.passes(UNANSWERED);
    edge.host.is_broken.set(true);
    let before = edge.host.looks.get();
    for _ in 0..60 {
        edge.goes_on();
        edge.passes(Duration::from_secs(1));
    }
    assert_eq!(edge.host.looks.get() - before, 2, "once for each");
    let due_at = due_at(&edge.record, edge.host.now()).expect("a time");
    assert_eq!(due_at, edge.host.now() + Duration::from_mins(1));
}

#[test]
fn while_slipway_is_stopped_nothing_is_deleted_and_what_is_due_goes_after_the_start() {
    let edge = Edge::new();
    edge.record.stop("operator", "a wrong package is public", edge.host.now()).expect("a switch");
    edge.runs(30);
    assert_eq!((edge.deleted().len(), edge.audited("deleted")), (0, 0));
    edge.record.start("operator", "it is withdrawn", edge.host.now()).expect("a switch");
    edge.runs(30);
    assert!(!edge.deleted().is_empty(), "it was put off, not given up");
}

#[test]
fn a_stop_in_the_middle_of_an_image_is_heard_before_its_next_request_and_the_rest_goes_after_the_start() {
    let edge = Edge::of(&[("app", Kind::Image)]);
    let record = Rc::clone(&edge.record);
    let now = edge.host.now();
    let due = |edge: &Edge| edge.lists().contains("delete app");
    while !due(&edge) {
        edge.goes_on();
        edge.passes(RUN);
    }
    let stop = move || assert!(record.stop("operator", "wrong things are deleted", now).expect("a switch"));
    *edge.host.meanwhile.borrow_mut() = Some(Box::new(stop));
    edge.goes_on();
    assert_eq!(edge.deleted(), [""; 0], "only its part was deleted");
    assert!(edge.host.whole.borrow().is_empty());

    // Half an image is not staged, so whoever wants it comes too late.
    edge.looks_again();
    assert_eq!(edge.audited("not-deleted"), 0);
    let hold = edge.record.hold(&version(), None, "user:nell", "wait", None, edge.host.now()).expect("a hold");
    assert_eq!(hold, Held::TooLate(vec![key("app")]));
    assert_eq!(edge.deleted(), [""; 0], "it is stopped");

    edge.record.start("operator", "they were right", edge.host.now()).expect("a switch");
    edge.passes(Duration::from_mins(10));
    edge.goes_on();
    assert_eq!(edge.deleted(), ["app"], "what was begun is finished");
    edge.looks_again();
    assert_eq!((edge.audited("deleted"), edge.audited("not-deleted")), (1, 0));
}

#[test]
fn a_stop_between_two_names_of_a_package_leaves_the_second_as_one_that_was_never_sent() {
    let edge = Edge::of(&[("one", Kind::Deb)]);
    let second = "INSERT INTO targets (version, key, distro, public_place, public_repository, how, state, since)
        SELECT version, key, 'ubuntu/noble', public_place, public_repository, how, state, since FROM targets";
    edge.record.sql().query(second, &[]).expect("a second target");
    while !edge.lists().contains("delete one") {
        edge.goes_on();
        edge.passes(RUN);
    }
    let (record, now) = (Rc::clone(&edge.record), edge.host.now());
    let stop = move || assert!(record.stop("operator", "wrong things are deleted", now).expect("a switch"));
    *edge.host.meanwhile.borrow_mut() = Some(Box::new(stop));
    edge.goes_on();
    assert_eq!(edge.deleted(), ["one"], "one request was on its way already");
    assert_eq!((edge.audited("not-sent"), edge.record.removals().expect("rows").len()), (1, 1));
}

#[test]
fn an_image_that_nobody_could_look_at_is_kept_beside_one_that_is_deleted_and_so_are_those_of_others() {
    let edge = Edge::of(&[("app", Kind::Image)]);
    let unread: Version = "1.3.0".parse().expect("a version");
    edge.plans(&unread, "app", Kind::Image);
    let unread = edge.stages(&unread, "app", Kind::Image, false);
    let staged: Version = "1.4.0".parse().expect("a version");
    edge.plans(&staged, "app", Kind::Image);
    let staged = edge.stages(&staged, "app", Kind::Image, true);
    let others = Digest::of(b"the other project's");
    edge.host.others.borrow_mut().there.insert(others);
    edge.runs(30);
    assert_eq!(edge.deleted(), ["app"]);
    let kept = edge.host.kept.borrow().clone();
    assert_eq!(kept, Kept { there: BTreeSet::from([staged, others]), perhaps: BTreeSet::from([unread]) });
}

#[test]
fn a_run_of_many_pieces_does_what_the_one_list_before_it_says_and_its_limits_hold_over_all_of_them() {
    let names: Vec<String> = (0..210).map(|number| format!("p{number:03}")).collect();
    let packages: Vec<(&str, Kind)> = names.iter().map(|name| (name.as_str(), Kind::Deb)).collect();
    let mut edge = Edge::of(&packages);
    edge.config.retention.files_per_run = 130;
    for (step, days) in [("announce", 3), ("mark", 7)] {
        let wanted = edge.lists();
        assert_eq!((wanted.len(), wanted.iter().filter(|is| is.starts_with(step)).count()), (210, 210));
        let (pieces, did) = edge.whole_run();
        assert!(pieces > 2, "more than one piece: {pieces}");
        assert_eq!(did, wanted, "a run reaches everything");
        edge.counts(Duration::from_hours(days * 24));
    }
    let wanted = edge.lists();
    let first: BTreeSet<String> = names.iter().take(130).map(|name| format!("delete {name}")).collect();
    assert_eq!(wanted, first, "those that rest the longest, and no more than the limit");
    // In the middle of it, the list is what is left of it.
    let mut done = edge.goes_on();
    assert!(!done.is_empty() && done.len() < 130);
    let left = edge.lists();
    assert_eq!(left, wanted.difference(&done).cloned().collect());
    assert!(due_at(&edge.record, edge.host.now()).expect("a time") <= edge.host.now(), "it goes on at once");
    done.extend(edge.whole_run().1);
    assert_eq!(done, wanted);
    assert_eq!(edge.deleted().len(), 130);
    // The rest is the next hour's.
    edge.looks_again();
    assert_eq!(edge.deleted().len(), 130);
    edge.counts(RUN);
    assert_eq!(edge.whole_run().1.len(), 80);
    assert_eq!(edge.deleted(), names);
}

#[test]
fn a_list_that_does_not_end_within_its_parts_is_not_shown_as_one_that_is_whole() {
    let names: Vec<String> = (0..210).map(|number| format!("p{number:03}")).collect();
    let packages: Vec<(&str, Kind)> = names.iter().map(|name| (name.as_str(), Kind::Deb)).collect();
    let edge = Edge::of(&packages);
    let project = edge.config.project("tug").expect("the project");
    let first = list(&edge.record, &edge.host, &edge.config, project, None).now_or_never().expect("nothing waits");
    let (_, more) = first.expect("a working record");
    assert!(more.is_some(), "210 packages are more than one part");
    for (ends_after, is_whole) in [(PARTS_MAX, true), (PARTS_MAX + 1, false)] {
        let asked = Cell::new(0);
        let parts = whole(async |_| {
            asked.set(asked.get() + 1);
            Ok::<_, Infallible>((asked.get(), more.clone().filter(|_| asked.get() < ends_after)))
        });
        let Ok(parts) = parts.now_or_never().expect("nothing waits");
        assert_eq!(parts, is_whole.then(|| (1..=PARTS_MAX).collect()), "it ends after {ends_after}");
    }
}

#[test]
fn whoever_is_cut_off_in_a_run_deletes_no_more_than_a_run_may() {
    let edge = Edge::new();
    let due = |edge: &Edge| edge.lists().iter().any(|step| step.starts_with("delete"));
    while !due(&edge) {
        edge.goes_on();
        edge.passes(RUN);
    }
    // The first deletion goes out, and its run dies with it.
    edge.host.dies.set(true);
    let project = edge.config.project("tug").expect("the project");
    assert!(run(&edge.record, &edge.host, &edge.config, project).now_or_never().is_none(), "it hangs");
    edge.host.dies.set(false);
    let left: BTreeSet<String> = BTreeSet::from(["delete three".to_owned()]);
    assert_eq!(edge.lists(), left, "two files a run, and one was sent");
    assert_eq!(edge.whole_run().1, left);
    assert_eq!(edge.deleted(), ["three"]);
}

#[test]
fn what_is_held_runs_or_moves_is_kept_however_due_it_is_also_when_that_comes_in_the_last_moment() {
    type Protects = fn(&Record<Database>, Timestamp);
    let hold: Protects = |record, now| {
        let held = record.hold(&version(), Some(&[key("one")]), "user:nell", "wait", None, now);
        assert_eq!(held.expect("a hold"), Held::InTime);
    };
    let runs: Protects = |record, now| {
        assert!(record.deployed(&version(), None, "production", "user:nell", None, now).expect("a deployment"));
    };
    let moves: Protects = |record, _| {
        record.sql().query("UPDATE targets SET state = 'releasing' WHERE key = 'one'", &[]).expect("a target");
    };
    for (name, protects, kept) in [("held", hold, 1), ("deployed", runs, 3), ("moving", moves, 1)] {
        for in_the_last_moment in [false, true] {
            let mut edge = Edge::new();
            edge.config.retention.files_per_run = 3;
            while !edge.lists().contains("delete one") {
                edge.goes_on();
                edge.passes(RUN);
            }
            let (record, now) = (Rc::clone(&edge.record), edge.host.now());
            let protect = move || protects(&record, now);
            if in_the_last_moment {
                // While the other project is asked to lend its file.
                *edge.host.at_lend.borrow_mut() = Some(Box::new(protect));
            } else {
                protect();
                assert!(!edge.lists().contains("delete one"), "{name}");
            }
            edge.goes_on();
            assert_eq!(edge.deleted().len(), 3 - kept, "{name} {in_the_last_moment}");
            assert!(!edge.deleted().contains(&"one".to_owned()), "{name} {in_the_last_moment}");
        }
    }
}

/// Until a run asks the other project to lend the image, to delete it.
fn runs_until_due(edge: &Edge) {
    for _ in 0..30 * 24 {
        edge.whole_run();
        if edge.host.lent.get() > 0 {
            return;
        }
        edge.passes(RUN);
    }
    panic!("it never comes to that");
}

#[test]
fn half_an_image_is_sent_again_only_when_the_other_project_leaves_it_again_each_time() {
    for answer in [Some(false), None] {
        let edge = Edge::of(&[("app", Kind::Image)]);
        let (record, now) = (Rc::clone(&edge.record), edge.host.now());
        let stop = move || assert!(record.stop("operator", "wrong things are deleted", now).expect("a switch"));
        *edge.host.meanwhile.borrow_mut() = Some(Box::new(stop));
        runs_until_due(&edge);
        assert!(edge.host.whole.borrow().is_empty() && edge.deleted().is_empty(), "only its part was deleted");
        edge.record.start("operator", "they were right", edge.host.now()).expect("a switch");
        assert_eq!(edge.host.lent.get(), 1);

        // By now somebody needs it there, or nobody knows.
        edge.host.is_free.set(answer);
        for asked in 2..10 {
            edge.passes(Duration::from_mins(10));
            edge.whole_run();
            assert_eq!((edge.deleted().len(), edge.host.lent.get()), (0, asked), "{answer:?}");
        }
        // What it left before is over after a quarter of an hour, so it is asked each time.
        edge.host.is_free.set(Some(true));
        edge.passes(Duration::from_mins(10));
        edge.whole_run();
        assert_eq!((edge.deleted(), edge.host.lent.get()), (vec!["app".to_owned()], 10), "{answer:?}");
        edge.looks_again();
        assert_eq!((edge.audited("deleted"), edge.audited("not-deleted")), (1, 0));
    }
}

#[test]
fn another_project_that_does_not_say_which_images_it_has_keeps_everything() {
    let edge = Edge::of(&[("app", Kind::Image)]);
    edge.host.tells_images.set(false);
    runs_until_due(&edge);
    assert!(edge.deleted().is_empty() && edge.host.whole.borrow().len() == 1);
    assert_eq!((edge.record.removals().expect("rows").len(), edge.audited("deleting")), (0, 0), "none has begun");
    edge.host.tells_images.set(true);
    edge.passes(RUN);
    edge.whole_run();
    assert_eq!(edge.deleted(), ["app"]);

    // Nor does half an image go on.
    let edge = Edge::of(&[("app", Kind::Image)]);
    let (record, now) = (Rc::clone(&edge.record), edge.host.now());
    let stop = move || assert!(record.stop("operator", "wrong things are deleted", now).expect("a switch"));
    *edge.host.meanwhile.borrow_mut() = Some(Box::new(stop));
    runs_until_due(&edge);
    edge.record.start("operator", "they were right", edge.host.now()).expect("a switch");
    edge.host.tells_images.set(false);
    edge.passes(Duration::from_mins(10));
    edge.whole_run();
    assert_eq!(edge.deleted(), [""; 0]);
    edge.host.tells_images.set(true);
    edge.passes(Duration::from_mins(10));
    edge.whole_run();
    assert_eq!(edge.deleted(), ["app"]);
}

/// Parts, all of them there, of an image that may have another among them.
fn has_parts(edge: &Edge, image: Digest, parts: &[&str], other: Option<Digest>) -> BTreeSet<Digest> {
    let parts: BTreeSet<Digest> = parts.iter().map(|part| Digest::of(part.as_bytes())).collect();
    edge.host.there.borrow_mut().extend(parts.iter().copied());
    edge.host.names.borrow_mut().insert(image, parts.iter().copied().chain(other).collect());
    parts
}

/// The digest of an image of the release that every story begins with.
fn image(name: &str) -> Digest {
    Digest::of(format!("{name} {}", version()).as_bytes())
}

/// All manifests that staging has.
fn manifests(edge: &Edge) -> BTreeSet<Digest> {
    edge.host.staged.borrow().values().chain(edge.host.there.borrow().iter()).copied().collect()
}

/// What staging has after a run that does what a list says.
fn left_after(edge: &Edge, listed: &[Listed]) -> BTreeSet<Digest> {
    let mut left = manifests(edge);
    for package in listed {
        if matches!(package.decision, Decision::Delete(_)) && !package.waits_for_limits {
            let stays = |part: &Digest| package.stays.iter().any(|(stays, _)| stays == part);
            left.remove(&package.package.digest);
            let named = edge.host.names.borrow().get(&package.package.digest).cloned().unwrap_or_default();
            let goes = |part: &&Digest| edge.host.there.borrow().contains(*part) && !stays(part);
            for part in named.iter().filter(goes) {
                left.remove(part);
            }
        }
    }
    left
}

#[test]
fn what_goes_of_images_that_share_parts_and_are_signed_is_what_the_list_before_the_run_says() {
    let kinds = ["app", "base", "tool"].map(|name| (name, Kind::Image));
    let edge = Edge::of(&kinds);
    has_parts(&edge, image("app"), &["amd64", "both", "shared", "signature of app"], None);
    has_parts(&edge, image("base"), &["both", "shared", "signature of base"], None);
    has_parts(&edge, image("tool"), &["shared", "arm64"], None);
    let (mut runs, mut told) = (0, 0);
    while !manifests(&edge).is_empty() {
        assert!(runs < 24 * 40, "it ends");
        let listed = edge.list();
        let expected = left_after(&edge, &listed);
        told += listed.iter().filter(|package| !package.stays.is_empty()).count();
        assert_eq!(edge.whole_run().1, steps(&listed));
        assert_eq!(manifests(&edge), expected, "after {runs} hours");
        edge.passes(RUN);
        runs += 1;
    }
    // Two a run: what all three share stays twice, for the need of the last, and what the two share goes with the second.
    assert_eq!((edge.deleted(), told), (["app", "base", "tool"].map(str::to_owned).to_vec(), 2));
    edge.passes(UNANSWERED);
    edge.whole_run();
    assert_eq!((edge.audited("deleted"), edge.audited("not-deleted")), (3, 0));
}

#[test]
fn an_image_that_another_one_needs_is_listed_as_kept_and_no_deletion_of_it_begins_until_that_is_gone() {
    let edge = Edge::of(&[("app", Kind::Image), ("multi", Kind::Image)]);
    has_parts(&edge, image("app"), &[], None);
    has_parts(&edge, image("multi"), &["arm64"], Some(image("app")));
    let needed = Keep::NeededByImage(format!("the image {}", image("multi")));
    let mut waited = 0;
    for _ in 0..24 * 40 {
        let listed = edge.list();
        let expected = left_after(&edge, &listed);
        assert_eq!(edge.whole_run().1, steps(&listed));
        assert_eq!(manifests(&edge), expected);
        let is_needed = |of: &&Listed| of.decision == Decision::Keep(needed.clone());
        let kept = listed.iter().filter(is_needed).count();
        waited += kept;
        if kept > 0 {
            assert_eq!(edge.deleted(), ["multi"], "it goes by itself, and what it names waits again");
            assert_eq!((edge.audited("deleting"), edge.audited("not-deleted")), (1, 1));
        }
        edge.passes(RUN);
    }
    assert_eq!((waited, edge.deleted()), (1, vec!["multi".to_owned(), "app".to_owned()]));
}

#[test]
fn where_the_need_of_other_images_cannot_be_told_the_list_says_so_and_the_run_deletes_nothing() {
    let edge = Edge::of(&["app", "base", "tool"].map(|name| (name, Kind::Image)));
    edge.host.is_unclear.set(true);
    for _ in 0..24 * 12 {
        let listed = edge.list();
        assert_eq!(edge.whole_run().1, steps(&listed));
        edge.passes(RUN);
    }
    let looks = edge.host.image_looks.get();
    let listed = edge.list();
    assert_eq!(edge.host.image_looks.get() - looks, 1, "once for the repository of all three");
    assert!(matches!(&listed[0].decision, Decision::Keep(Keep::ImagesUnread(why)) if why.contains("out of sight")));
    assert_eq!((edge.deleted().len(), edge.audited("deleting"), edge.audited("kept")), (0, 0, 0));
    // It is due all the time, so it goes as soon as that can be told.
    edge.host.is_unclear.set(false);
    assert_eq!(edge.lists(), BTreeSet::from(["delete app", "delete base"].map(str::to_owned)), "two a run");
    edge.whole_run();
    assert_eq!(edge.deleted(), ["app", "base"]);
    // While that is on its way, the list says so, and says nothing else.
    assert_eq!(edge.list()[0].decision, Decision::Keep(Keep::OnItsWay));
}

#[test]
fn whoever_is_killed_at_any_request_of_an_image_leaves_nothing_of_it_behind_whichever_part_goes_first() {
    for image_first in [false, true] {
        for is_needed in [false, true] {
            for requests in 0..4 {
                let edge = Edge::of(&[("app", Kind::Image)]);
                let parts = has_parts(&edge, image("app"), &["amd64", "arm64", "signature"], None);
                edge.host.image_first.set(image_first);
                while !edge.lists().contains("delete app") {
                    edge.whole_run();
                    edge.passes(RUN);
                }
                edge.host.dies_after.set(Some(requests));
                let project = edge.config.project("tug").expect("the project");
                let killed = run(&edge.record, &edge.host, &edge.config, project).now_or_never().is_none();
                assert!(killed, "it hangs");
                edge.host.dies_after.set(None);
                // Another image comes that needs a part that is there.
                let part = parts.iter().rfind(|part| edge.host.there.borrow().contains(part)).copied();
                let part = part.filter(|_| is_needed);
                let other = Digest::of(b"another");
                if let Some(part) = part {
                    edge.host.staged.borrow_mut().insert("another".to_owned(), other);
                    edge.host.names.borrow_mut().insert(other, BTreeSet::from([part]));
                }
                for _ in 0..24 * 9 {
                    edge.passes(RUN);
                    edge.whole_run();
                }
                let left: BTreeSet<Digest> = part.into_iter().flat_map(|part| [part, other]).collect();
                assert_eq!(manifests(&edge), left, "{image_first} {is_needed} {requests}");
                assert!(edge.record.removals().expect("rows").is_empty());
                assert_eq!(edge.audited("deleted"), 1);
            }
        }
    }
}

#[test]
fn what_a_job_replaces_and_deletes_by_itself_is_deleted_in_the_audit_once_two_looks_do_not_show_it() {
    for is_named_anew in [false, true] {
        for was_staged in [true, false] {
            let mut edge = Edge::of(&[("bell", Kind::Deb)]);
            edge.config.retention.enabled = false;
            let open: Version = "1.3.0".parse().expect("a version");
            edge.plans(&open, "one", Kind::Deb);
            let old = edge.stages(&open, "one", Kind::Deb, was_staged);
            let name = "one_1.3.0_amd64.deb";
            if !was_staged {
                edge.host.staged.borrow_mut().clear();
            }
            let new = Digest::of(b"built again");
            let filename = if is_named_anew { "one_1.3.0-2_amd64.deb" } else { name };
            let file = StagedFile { filename: filename.to_owned(), image: None, digest: new, size: 4 };
            let now = edge.host.now();
            edge.record.declare(&open, &key("one"), &file, true, &session(PIPELINE), now).expect("declared");
            let ends = || {
                let rows = audit::entries(edge.record.sql(), 1, 1000).expect("rows");
                let ends =
                    rows.into_iter().filter(|row| ["deleted", "not-deleted"].contains(&row.event.action.as_str()));
                ends.map(|row| (row.event.action, row.event.subject, row.event.details)).collect::<Vec<_>>()
            };
            // The job has been told, and has deleted nothing yet; or nobody can read staging.
            for is_broken in [false, true] {
                edge.host.is_broken.set(is_broken);
                edge.passes(RUN);
                edge.whole_run();
                assert_eq!(ends(), []);
            }
            edge.host.is_broken.set(false);
            // One list is behind, once.
            edge.host.is_out.set(true);
            edge.passes(RUN);
            edge.whole_run();
            edge.host.is_out.set(false);
            edge.passes(RUN);
            edge.whole_run();
            // Then it is gone, and the new one is there.
            edge.host.staged.borrow_mut().remove(name);
            edge.host.staged.borrow_mut().insert(filename.to_owned(), new);
            edge.passes(RUN);
            edge.whole_run();
            if was_staged {
                assert_eq!(ends(), [], "one look proves nothing");
            }
            for _ in 0..3 {
                edge.passes(RUN);
                edge.whole_run();
            }
            let ends = ends();
            assert_eq!(ends.len(), usize::from(was_staged), "what never was there has not been deleted: {ends:?}");
            for (action, subject, details) in ends {
                assert_eq!((action.as_str(), subject.as_str()), ("deleted", "1.3.0/one"));
                let details: serde_json::Value = serde_json::from_str(&details).expect("JSON");
                assert_eq!(details["cause"], "replaced");
                assert_eq!(
                    (details["digest"].as_str(), details["filename"].as_str()),
                    (Some(old.to_string().as_str()), Some(name))
                );
                assert_eq!(details["under"], serde_json::json!([JAMMY]));
            }
            assert_eq!(edge.record.giving_way().expect("rows"), []);
        }
    }
}

#[test]
fn what_a_job_was_to_delete_and_did_not_is_told_after_two_weeks() {
    let mut edge = Edge::of(&[("bell", Kind::Deb)]);
    edge.config.retention.enabled = false;
    let open: Version = "1.3.0".parse().expect("a version");
    edge.plans(&open, "one", Kind::Deb);
    edge.stages(&open, "one", Kind::Deb, true);
    let file = StagedFile {
        filename: "one_1.3.0-2_amd64.deb".to_owned(),
        image: None,
        digest: Digest::of(b"built again"),
        size: 4,
    };
    edge.record.declare(&open, &key("one"), &file, true, &session(PIPELINE), edge.host.now()).expect("declared");
    for days in 0..20 {
        edge.passes(Duration::from_hours(24));
        edge.whole_run();
        assert_eq!(edge.audited("not-deleted"), usize::from(days >= 13), "after {days} days");
    }
    assert_eq!(edge.audited("deleted"), 0);
}

#[test]
fn what_is_announced_is_told_at_once() {
    let edge = Edge::new();
    let due = || notify::due(&edge.record, &edge.config, edge.host.now()).expect("a working record");
    let tell = || notify::tell(&edge.record, &edge.host, &edge.config).now_or_never().expect("nothing waits");
    tell().expect("a working record");
    assert_eq!(due(), None, "nothing has happened since");
    edge.whole_run();
    assert_eq!(edge.audited("announced"), 3);
    assert_eq!(due(), Some(edge.host.now()));
    let elsewhere = Config { projects: Vec::new(), ..edge.config.clone() };
    let due_elsewhere = notify::due(&edge.record, &elsewhere, edge.host.now()).expect("a working record");
    assert_eq!(due_elsewhere, None, "nobody can be told of a project that is not configured");
    tell().expect("a working record");
    assert_eq!(due(), None);
}

#[test]
fn all_lines_about_a_run_and_what_it_deletes_have_one_id_also_after_it_and_another_run_has_another() {
    let edge = Edge::new();
    edge.host.does.set(Does::ItInSilence);
    edge.runs(30);
    // The next run cannot look, so what became of it is seen after that.
    edge.host.is_broken.set(true);
    edge.passes(RUN);
    edge.whole_run();
    edge.host.is_broken.set(false);
    edge.looks_again();
    let lines = edge.host.lines.borrow();
    let of_package = |state: &str| {
        let about = |(_, told, key): &&(String, String, String)| told == state && key == "one";
        lines.iter().filter(about).map(|(work, ..)| work.as_str()).collect::<Vec<_>>()
    };
    let (announced, marked) = (of_package("announced"), of_package("marked"));
    // The second one is an error: the answer was lost.
    let (deleting, deleted) = (of_package("deleting"), of_package("deleted"));
    assert_eq!((announced.len(), marked.len(), deleting.len(), deleted.len()), (1, 1, 2, 1), "{lines:?}");
    assert!(deleting.iter().chain(&deleted).all(|work| *work == deleting[0]), "{lines:?}");
    let works = BTreeSet::from([announced[0], marked[0], deleting[0]]);
    assert_eq!(works.len(), 3, "{works:?}");
    for work in works {
        assert!(work.starts_with("1001/retention/"), "{work}");
        let of_run = lines.iter().filter(|(of, state, _)| of == work && (state == "begun" || state == "ended"));
        let states: Vec<&str> = of_run.map(|(_, state, _)| state.as_str()).collect();
        assert_eq!(states, ["begun", "ended"], "{work}");
    }
}
