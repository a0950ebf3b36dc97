//! The simulated world: two package servers, two registries of images, GitLab, jobs, persons, a clock, and the edge, which can die at any moment.
//!
//! Every outbound call and every commit passes [`World::boundary`], where it is counted and can go wrong. What must hold
//! at every moment is checked as soon as anything changes; the first violation ends the run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::pending;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::time::Duration;

use slipway_core::api::{Expectation, PackagePatch, StagedFile};
use slipway_core::cargo::{self, Cargo, staged_under, tag_of};
use slipway_core::config::Config;
use slipway_core::expectation::planned;
use slipway_core::promotion::Order;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_edge::account::SlotEnded;
use slipway_edge::port::Told;
use slipway_gitlab::Instance;
use slipway_ledger::{Record, Sight, Sql as _};
use slipway_packagecloud::{Filename, PackageKind};
use slipway_wire::{Digest, Request, Response, Token};

use crate::edge::{Disk, Edge, Process, arrives, arrives_late, needs_a_person};
use crate::executor::{Did, Executor};
use crate::fault::{Fault, Kind, Outsider, Sort};
use crate::image::Made;
use crate::journal::Journal;
use crate::registry::{Manner, Registry, Sight as ImageSight};
use crate::rng::{Rng, Trace};
use crate::server::{Place, Server, View};

/// When a job is played that nobody plays.
pub const NEVER: i64 = i64::MAX;
/// When every run begins.
pub const BEGUN: i64 = 1_795_392_000_000;
/// The schedule's period.
const CRON: i64 = 900_000;
/// How often a person looks at what needs one.
const PERSON: i64 = 120_000;
/// Within which time of the look that showed it the record is told that a file is missing.
const TOLD_WITHIN: i64 = 60_000;
/// How often the schedule and a person come to a world that lasts for days, when its first hours are over.
const CRON_OF_DAYS: i64 = 3_600_000;
const PERSON_OF_DAYS: i64 = 1_500_000;
/// For how long such a world is in its first hours.
const FIRST_HOURS: i64 = 3 * 3_600_000;
/// After the faults have stopped, everything must have ended by then. The longest wait of all is that of a cut-off
/// account, two hours; a job carries or stops after minutes, an index is given up after an hour.
const ENDS_WITHIN: i64 = 12 * 3_600_000;

/// What a restore may not break.
const RESTORE_KEEPS: [&str; 12] = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I20", "Released"];

/// An object of the edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectId {
    /// The record of a project.
    Project(u64),
    /// A package of a release.
    Package(String),
    /// An account.
    Account(String),
}

impl ObjectId {
    /// What a commit to its database is.
    pub(crate) fn commits(&self) -> Kind {
        match self {
            Self::Project(_) => Kind::RecordCommit,
            Self::Package(_) => Kind::PackageCommit,
            Self::Account(_) => Kind::AccountCommit,
        }
    }
}

/// A package of the scenario.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Its project.
    pub project: u64,
    /// Its release.
    pub version: Version,
    /// Its key.
    pub key: Key,
    /// Its file, or its image.
    pub filename: Cargo,
    /// Its bytes, or those that its image is made of.
    pub bytes: Vec<u8>,
    /// Its distro versions, or its tags.
    pub distros: Vec<String>,
    /// When its job is played, from the beginning.
    pub played_after: i64,
    /// Whether the job itself asks.
    pub asks: bool,
    /// When webhooks of the played job arrive, after it is played. Before that is possible.
    pub webhooks: Vec<i64>,
}

impl Parcel {
    /// Whether it is an image.
    pub fn is_image(&self) -> bool {
        matches!(self.filename, Cargo::Image(_))
    }

    /// What a build says of bytes that it has staged.
    pub(crate) fn staged_file(&self, bytes: &[u8]) -> StagedFile {
        let digest = self.digest_of(bytes);
        if self.is_image() {
            let (image, size) = (Some(self.filename.to_string()), Made::of(bytes).size());
            return StagedFile { filename: String::new(), image, digest, size };
        }
        let size = u64::try_from(bytes.len()).expect("a small file");
        StagedFile { filename: self.filename.to_string(), image: None, digest, size }
    }

    /// Which bytes are approved, when these are what it is made of.
    pub fn digest_of(&self, bytes: &[u8]) -> Digest {
        if self.is_image() { Made::of(bytes).digest } else { Digest::of(bytes) }
    }
}

/// What a server has under a name.
#[derive(Clone, Copy, Debug)]
pub struct Here {
    /// Its digest.
    pub digest: Digest,
    /// Whether the code under test brought it there.
    pub by_slipway: bool,
    /// From when on it is shown.
    pub listed_at: i64,
}

/// One target: a parcel for one distro version, or one tag.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The parcel.
    pub parcel: usize,
    /// The distro version, or the tag with its colon.
    pub distro: String,
    /// How it gets there.
    pub how: How,
    /// Its server and its name there, before.
    pub staging: (usize, Place),
    /// Its server and its name there, after.
    pub public: (usize, Place),
    /// The account that is written to.
    pub account: String,
    /// The approved bytes.
    pub digest: Digest,
}

/// What somebody does beside playing jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// A person holds a package back.
    Hold(usize),
    /// They let it go.
    Lift(usize),
    /// They give its release up.
    Close(usize),
    /// A build stages other bytes under a package's name.
    Replace(usize),
    /// A pipeline of a release plans and stages a package once more.
    Restage(usize),
    /// A person wants a package to be kept for longer.
    Extend(usize),
    /// A package's release runs somewhere from now on, and the one before it no longer.
    Deployed(usize),
    /// An operator stops the project of a package.
    Stop(usize),
    /// And starts it again.
    Start(usize),
    /// A backup is made of every database.
    Backup,
    /// Every database is as it was at the last backup.
    Restore,
    /// One database is: that of the object that this number picks.
    RestoreOne(u64),
}

impl Deed {
    /// The same when a package is left out. `None` for what is about that one.
    pub(crate) fn without(self, left_out: usize) -> Option<Self> {
        let of = match self.parcel() {
            None => return Some(self),
            Some(parcel) if parcel == left_out => return None,
            Some(parcel) => parcel - usize::from(parcel > left_out),
        };
        Some(match self {
            Self::Hold(_) => Self::Hold(of),
            Self::Lift(_) => Self::Lift(of),
            Self::Close(_) => Self::Close(of),
            Self::Replace(_) => Self::Replace(of),
            Self::Restage(_) => Self::Restage(of),
            Self::Extend(_) => Self::Extend(of),
            Self::Deployed(_) => Self::Deployed(of),
            Self::Stop(_) => Self::Stop(of),
            Self::Start(_) => Self::Start(of),
            other => other,
        })
    }

    /// The package that it is about.
    pub(crate) fn parcel(self) -> Option<usize> {
        match self {
            Self::Hold(parcel)
            | Self::Lift(parcel)
            | Self::Close(parcel)
            | Self::Replace(parcel)
            | Self::Restage(parcel)
            | Self::Extend(parcel)
            | Self::Deployed(parcel)
            | Self::Stop(parcel)
            | Self::Start(parcel) => Some(parcel),
            Self::Backup | Self::Restore | Self::RestoreOne(_) => None,
        }
    }
}

/// Something that can happen.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Happening {
    /// Somebody does something.
    Deed {
        /// What.
        deed: Deed,
        /// How often they have tried.
        tries: u32,
    },
    /// The file arrives in staging that a build has declared.
    Pushed {
        /// The package.
        parcel: usize,
        /// The file.
        digest: Digest,
    },
    /// A job asks for its release.
    Ask {
        /// The package.
        parcel: usize,
        /// The job.
        job: u64,
        /// How often it has asked.
        tries: u32,
    },
    /// GitLab delivers a webhook.
    Webhook {
        /// The package.
        parcel: usize,
        /// The job.
        job: u64,
        /// The delivery.
        delivery: String,
        /// How often it was delivered.
        tries: u32,
    },
    /// A job begins to carry.
    Carry {
        /// The package.
        parcel: usize,
        /// The target.
        distro: String,
    },
    /// A person plays a job.
    Play(usize),
    /// A person looks at what needs one.
    Person,
    /// An alarm.
    Alarm(ObjectId, i64),
    /// The dead process is started again.
    Restart,
    /// The schedule.
    Cron,
    /// Something that was sent arrives after all.
    Late(usize),
}

impl Happening {
    /// The same once more, for whoever was not answered.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Ask { parcel, job, tries } if *tries < 400 => {
                Some(Self::Ask { parcel: *parcel, job: *job, tries: tries + 1 })
            }
            Self::Webhook { parcel, job, delivery, tries } if *tries < 400 => {
                Some(Self::Webhook { parcel: *parcel, job: *job, delivery: delivery.clone(), tries: tries + 1 })
            }
            Self::Deed { deed, tries } if *tries < 400 => Some(Self::Deed { deed: *deed, tries: tries + 1 }),
            _ => None,
        }
    }
}

/// What was sent, and arrives after its sender has given it up.
#[derive(Debug)]
pub(crate) enum Late {
    Push(usize, http::Request<()>, Vec<u8>),
    Request(usize, Request),
    Image(usize, Request),
    Blob(usize, http::Request<()>, Vec<u8>),
    HandOver(Box<Order>),
    Report(Box<Told>),
    SlotEnded(String, SlotEnded),
}

/// Which boundaries go wrong.
#[derive(Clone, Debug)]
pub enum Weather {
    /// These, by their number.
    Named(BTreeMap<u64, Fault>),
    /// Chance decides, until so many milliseconds have passed: what can happen, and how often in ten thousand.
    Swarm {
        /// Each fault and its rate.
        rates: Vec<(Fault, u64)>,
        /// For how long.
        until: i64,
        /// Faults that happen no more, by their number: what a shrunk run leaves out.
        without: BTreeSet<u64>,
    },
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

/// To which moment a restore goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backups {
    /// To that at which somebody has made a backup.
    #[default]
    Made,
    /// To that after any commit of any database, each as likely as another, or to the beginning.
    OfAnyCommit,
    /// To that after one commit, by its number, and it is done right after another one.
    Of {
        /// The commit that is gone back to. The beginning is the one before all.
        commit: u64,
        /// After which one.
        after: u64,
        /// Which database, by its place among all. `None` for all of them.
        only: Option<u64>,
    },
}

/// What kind of world it is.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is chosen by itself")]
pub struct Settings {
    /// The seed of everything that is left to chance.
    pub seed: u64,
    /// The packages.
    pub parcels: Vec<Parcel>,
    /// What goes wrong.
    pub weather: Weather,
    /// Whether calls take a time that chance decides.
    pub is_lively: bool,
    /// How many packages are on a page of a list.
    pub per_page: usize,
    /// How far the public server is behind.
    pub delays: crate::server::Delays,
    /// How the registries are.
    pub manner: Manner,
    /// Whether a fingerprint of everything is taken.
    pub is_traced: bool,
    /// How often a person plays a job again that has come to nothing.
    pub plays_max: u32,
    /// Whether the record looks for webhooks that were lost, and tells others what happened.
    pub tells: bool,
    /// Whether staging is looked at again and cleaned up.
    pub keeps: bool,
    /// What somebody does beside playing jobs, and when.
    pub deeds: Vec<(i64, Deed)>,
    /// To which moment restores go back.
    pub backups: Backups,
    /// For how long it goes on at least, in milliseconds.
    pub lasts: i64,
}

/// How everything was at some moment when nothing ran.
pub(crate) struct Mark {
    now: i64,
    coming: Vec<(i64, Happening)>,
    rng: Rng,
    servers: [Server; 2],
    registries: [Registry; 2],
    databases: BTreeMap<ObjectId, u64>,
    alarms: BTreeMap<ObjectId, i64>,
    journal: Journal,
    unanswered: Vec<Happening>,
    late: Vec<Option<Rc<Late>>>,
    happened: Vec<(u64, Kind, Fault)>,
    kinds: usize,
    jobs: BTreeMap<u64, (usize, &'static str)>,
    looks: (u64, u64),
    boundaries: u64,
    skew: i64,
    flags: [bool; 5],
    calm_since: Option<i64>,
    declared: BTreeMap<usize, Digest>,
    done: Vec<Deed>,
    looked_again_at: BTreeMap<u64, i64>,
}

/// How every database was at some moment, to be had again.
struct Backup {
    databases: BTreeMap<ObjectId, u64>,
    alarms: BTreeMap<ObjectId, i64>,
    /// What people have done by then.
    done: usize,
    /// What was true by then of what the databases say.
    journal: Journal,
    /// How many commits there were, and what the last one was to.
    commits: u64,
    last: Option<Kind>,
}

/// What is done meanwhile.
type Act = Box<dyn FnOnce(&World)>;

/// The boundary right before which something is done.
enum Before {
    /// The next one of this kind.
    Next(Kind),
    /// The one of this number.
    Number(u64),
}

/// The world.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the world")]
pub struct World {
    pub(crate) exec: Executor<Happening>,
    pub(crate) rng: RefCell<Rng>,
    /// Of its own, so that a run whose faults are named goes the way of the one in which chance chose them.
    weather_rng: RefCell<Rng>,
    seed: u64,
    /// Staging of copies, and the public server, which has the staging repository of moves too.
    pub servers: [RefCell<Server>; 2],
    /// Staging of images, and the public registry, which has the staging repository of mounts too. Their numbers go on behind
    /// those of the package servers.
    pub registries: [RefCell<Registry>; 2],
    pub(crate) config: Rc<Config>,
    /// The packages.
    pub parcels: Vec<Parcel>,
    /// The targets.
    pub goals: Vec<Goal>,
    pub(crate) disk: RefCell<Disk>,
    pub(crate) process: RefCell<Process>,
    pub(crate) journal: RefCell<Journal>,
    pub(crate) unanswered: RefCell<Vec<Happening>>,
    late: RefCell<Vec<Option<Rc<Late>>>>,
    weather: RefCell<Weather>,
    /// What happened at which boundary.
    pub happened: RefCell<Vec<(u64, Kind, Fault)>>,
    /// What each boundary of a course was.
    pub kinds: RefCell<Vec<Kind>>,
    /// How often anybody had looked at the servers before each boundary of a course, and at the clock.
    pub(crate) looks: RefCell<Vec<(u64, u64)>>,
    server_looks: Cell<u64>,
    clock_looks: Cell<u64>,
    jobs: RefCell<BTreeMap<u64, (usize, &'static str)>>,
    violation: RefCell<Option<Violation>>,
    boundaries: Cell<u64>,
    skew: Cell<i64>,
    is_dead: Cell<bool>,
    is_buried: Cell<bool>,
    has_jumped: Cell<bool>,
    kill_next: Cell<bool>,
    kill_after_commit: Cell<bool>,
    is_quiet: Cell<bool>,
    is_lively: bool,
    is_traced: bool,
    plays_max: u32,
    pub(crate) tells: bool,
    pub(crate) keeps: bool,
    lasts: i64,
    /// What is declared of a package that is not what was at first.
    pub(crate) declared: RefCell<BTreeMap<usize, Digest>>,
    backup: RefCell<Option<Backup>>,
    /// What people were told that it is done, in its order.
    done: RefCell<Vec<Deed>>,
    has_restored: Cell<bool>,
    backups: Backups,
    /// Of its own, so that it changes nothing else which moment is gone back to.
    backup_rng: RefCell<Rng>,
    /// How many commits there were, in the time that counts.
    commits: Cell<u64>,
    /// When the record of a project has last looked at what rests.
    pub(crate) looked_again_at: RefCell<BTreeMap<u64, i64>>,
    trace: RefCell<Trace>,
    /// Rare things that were reached, and how often.
    pub points: RefCell<BTreeMap<&'static str, u64>>,
    calm_since: Cell<Option<i64>>,
    /// What is done right before a boundary.
    meanwhile: RefCell<Vec<(Before, Act)>>,
}

thread_local! {
    static CONFIG: Rc<Config> = Rc::new(Config::parse(CONFIG_TEXT).expect("a good file"));
    static KEEPING: Rc<Config> = Rc::new(Config::parse(&keeping()).expect("a good file"));
}

/// How many packages one run deletes.
pub(crate) const FILES_PER_RUN: usize = 1;
/// Public repositories whose routes call a release abandoned after a day.
pub(crate) const ABANDONED: [&str; 3] = ["harbour/nightly", "harbour/unstable", "harbour/buoy"];

/// The same, and staging is cleaned up.
fn keeping() -> String {
    let text = CONFIG_TEXT.replace(r#"lapse = "100y""#, r#"lapse = "4h""#);
    let (before, routes) = text.split_once("[[routes]]").expect("there are routes");
    let mut text = format!(
        "{before}[retention]\nenabled = true\nwait = \"24h\"\nfiles_per_run = {FILES_PER_RUN}\nbytes_per_run = \"1GB\"\n"
    );
    for route in routes.split("[[routes]]") {
        let abandoned = if ABANDONED.iter().any(|public| route.contains(public)) { "abandoned = \"1d\"" } else { "" };
        let _ = writeln!(text, "[[routes]]{route}\n[routes.retention]\nage = \"2h\"\nnotice = \"72h\"\n{abandoned}");
    }
    text
}

const CONFIG_TEXT: &str = r#"
    [edge]
    url = "https://slipway.test"
    [gitlab]
    url = "https://gitlab.test"
    token = "GITLAB_TOKEN"
    [approvals]
    lapse = "100y"
    [places.staging]
    kind = "packagecloud"
    url = "https://staging.test"
    token = "TOKEN_OF_STAGING"
    storage = ["https://storage.staging.test"]
    [places.public]
    kind = "packagecloud"
    url = "https://public.test"
    token = "TOKEN_OF_PUBLIC"
    storage = ["https://storage.public.test"]
    transfers = 2
    [places.before]
    kind = "packagecloud"
    url = "https://public.test"
    token = "TOKEN_OF_BEFORE"
    storage = ["https://storage.public.test"]
    [places.images-staging]
    kind = "registry"
    url = "https://images-staging.test"
    user = "slipway"
    token = "PASSWORD_OF_STAGING"
    storage = ["https://storage.images-staging.test"]
    [places.images]
    kind = "registry"
    url = "https://images.test"
    user = "slipway"
    token = "PASSWORD_OF_IMAGES"
    storage = ["https://storage.images.test"]
    transfers = 2
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "W1"
    [[projects]]
    id = 1002
    namespace_id = 71
    name = "buoy"
    webhook_token = "W2"
    [[events]]
    kinds = ["complete", "needs_person", "conflict"]
    url = "https://listener.test/hook"
    signing_token = "EVENTS_TOKEN"
    [[routes]]
    kinds = ["image"]
    keys = ["mount-*"]
    staging = { place = "images", repository = "harbour-ci/buoy" }
    public = { place = "images", repository = "harbour/buoy" }
    [[routes]]
    kinds = ["image"]
    staging = { place = "images-staging", repository = "harbour-ci/tug" }
    public = { place = "images", repository = "harbour/tug" }
    floating = [{ tag = "latest", of = "final" }, { tag = "{major}.{minor}", of = "final" }]
    [[routes]]
    keys = ["move-*"]
    staging = { place = "before", repository = "harbour-ci/before" }
    public = { place = "public", repository = "harbour/moved" }
    how = "move"
    [[routes]]
    maturities = ["nightly"]
    staging = { place = "staging", repository = "harbour-ci/pre-release" }
    public = { place = "public", repository = "harbour/nightly" }
    [[routes]]
    maturities = ["candidate"]
    staging = { place = "staging", repository = "harbour-ci/pre-release" }
    public = { place = "public", repository = "harbour/unstable" }
    [[routes]]
    staging = { place = "staging", repository = "harbour-ci/pre-release" }
    public = { place = "public", repository = "harbour/stable" }
"#;

/// The registry of a number that registries share with package servers.
pub(crate) const REGISTRIES_FROM: usize = 2;
/// An image that was public before, newer than any that is released here.
pub(crate) const NEWEST: &str = "1.99.0";

/// Bytes of the same length that nobody approved.
pub fn other(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0x20).collect()
}

/// The bytes that another build has made.
pub fn rebuilt(bytes: &[u8]) -> Vec<u8> {
    [bytes, b", built again"].concat()
}

impl World {
    /// A world in which all is staged, and nothing is released.
    pub fn new(settings: Settings) -> Rc<Self> {
        let Settings { seed, parcels, weather, is_lively, per_page, delays, manner, .. } = settings;
        let Settings { is_traced, plays_max, tells, keeps, deeds, lasts, backups, .. } = settings;
        let config = if keeps { KEEPING.with(Rc::clone) } else { CONFIG.with(Rc::clone) };
        let (mut staging, mut public) = (Server::new("staging", 60), Server::new("public", 165));
        staging.tokens = vec![Token::new("TOKEN_OF_STAGING")];
        public.tokens = vec![Token::new("TOKEN_OF_PUBLIC"), Token::new("TOKEN_OF_BEFORE")];
        staging.per_page = per_page;
        public.per_page = per_page;
        public.delays = delays;
        let images_staging = Registry::new("images-staging", "PASSWORD_OF_STAGING", "nothing/", manner);
        let mut images = Registry::new("images", "PASSWORD_OF_IMAGES", "harbour/", manner);
        images.behind = delays.indexed;
        let world = Rc::new(Self {
            exec: Executor::new(BEGUN),
            rng: RefCell::new(Rng::new(seed)),
            weather_rng: RefCell::new(Rng::new(!seed)),
            seed,
            servers: [RefCell::new(staging), RefCell::new(public)],
            registries: [RefCell::new(images_staging), RefCell::new(images)],
            config,
            goals: Vec::new(),
            parcels,
            disk: RefCell::default(),
            process: RefCell::default(),
            journal: RefCell::default(),
            unanswered: RefCell::default(),
            late: RefCell::default(),
            weather: RefCell::new(weather),
            happened: RefCell::default(),
            kinds: RefCell::default(),
            looks: RefCell::default(),
            server_looks: Cell::new(0),
            clock_looks: Cell::new(0),
            jobs: RefCell::default(),
            violation: RefCell::default(),
            boundaries: Cell::new(0),
            skew: Cell::new(0),
            is_dead: Cell::new(false),
            is_buried: Cell::new(false),
            has_jumped: Cell::new(false),
            kill_next: Cell::new(false),
            kill_after_commit: Cell::new(false),
            is_quiet: Cell::new(true),
            is_lively,
            is_traced,
            plays_max,
            tells,
            keeps,
            lasts,
            declared: RefCell::default(),
            backup: RefCell::default(),
            done: RefCell::default(),
            has_restored: Cell::new(false),
            backups,
            backup_rng: RefCell::new(Rng::new(seed ^ 0x7d)),
            commits: Cell::new(0),
            looked_again_at: RefCell::default(),
            trace: RefCell::default(),
            points: RefCell::default(),
            calm_since: Cell::new(None),
            meanwhile: RefCell::default(),
        });
        let goals = world.stage_all();
        // Nobody else has the world yet, but the objects of the process: they are opened anew.
        *world.process.borrow_mut() = Process::default();
        let mut world = Rc::try_unwrap(world).ok().expect("nothing else holds the world");
        world.goals = goals;
        let world = Rc::new(world);
        for (index, parcel) in world.parcels.iter().enumerate().filter(|(_, parcel)| parcel.played_after < NEVER) {
            world.exec.after(parcel.played_after, Happening::Play(index));
        }
        for (after, deed) in deeds {
            world.exec.after(after, Happening::Deed { deed, tries: 0 });
        }
        if tells || keeps {
            // Whatever is declared arms its record's alarm.
            let projects: BTreeSet<u64> = world.parcels.iter().map(|parcel| parcel.project).collect();
            for project in projects {
                world.arm(&ObjectId::Project(project), 60_000);
            }
        }
        world.exec.after(CRON, Happening::Cron);
        world.exec.after(PERSON, Happening::Person);
        world.is_quiet.set(false);
        if matches!(backups, Backups::OfAnyCommit | Backups::Of { commit: 0, .. }) {
            world.back_up(None);
        }
        world
    }

    fn stage_all(self: &Rc<Self>) -> Vec<Goal> {
        let edge = Edge(Rc::clone(self));
        let mut goals = Vec::new();
        for (index, parcel) in self.parcels.iter().enumerate() {
            let record = edge.record(parcel.project);
            let project = self.config.project(&parcel.project.to_string()).expect("a project of the file");
            let session = session(parcel, 1);
            let file = parcel.filename.file();
            let tags: Vec<String> = parcel.distros.iter().filter_map(|name| tag_of(name).map(str::to_owned)).collect();
            let expect = Expectation {
                distros: if file.is_some() { parcel.distros.clone() } else { Vec::new() },
                tags,
                kind: match file.map(Filename::kind) {
                    None => cargo::Kind::Image,
                    Some(Some(PackageKind::Rpm)) => cargo::Kind::Rpm,
                    Some(_) => cargo::Kind::Deb,
                },
                architecture: file.and_then(|file| file.architecture()).map(str::to_owned),
                release_job: release_job(&parcel.version, &parcel.key),
                environment: environment(&parcel.version, &parcel.key),
                release_all_job: None,
                release_all_environment: None,
                skip: None,
            };
            let patch = PackagePatch { key: parcel.key.clone(), expect: Some(expect), staged: None, replace: false };
            let planned = planned(&self.config, project, &parcel.version, &[patch]).expect("routes for all");
            let (now, digest) = (Timestamp(BEGUN), parcel.digest_of(&parcel.bytes));
            let maturity = self.config.versions.maturity(&parcel.version);
            record.know_project(parcel.project).expect("a record");
            record.expect(&parcel.version, &session, &self.config.policy, maturity, &planned, now).expect("a plan");
            let file = parcel.staged_file(&parcel.bytes);
            record.declare(&parcel.version, &parcel.key, &file, false, &session, now).expect("a declaration");
            for planned in &planned {
                for target in &planned.targets {
                    let place =
                        |site: &Site, name: String| (site.repository.clone(), name, parcel.filename.to_string());
                    let under = staged_under(&target.distro, &digest);
                    let staging = (number_of(&planned.staging), place(&planned.staging, under));
                    let public = (number_of(&target.public), place(&target.public, target.distro.clone()));
                    self.stage(parcel, &staging, &parcel.bytes, BEGUN);
                    let sight = Sight::Declared;
                    let (version, key, distro) = (&parcel.version, &parcel.key, &target.distro);
                    record.seen_in_staging(version, key, distro, &digest, &sight, now).expect("a look");
                    goals.push(Goal {
                        parcel: index,
                        distro: target.distro.clone(),
                        how: target.how,
                        staging,
                        public,
                        account: target.public.place.clone(),
                        digest,
                    });
                }
            }
        }
        // Beside each stands what looks like it: a longer name, another distro version, another repository.
        for goal in &goals {
            let (repository, distro, name) = &goal.public.1;
            if let Some(images) = self.registry(goal.public.0) {
                let (newest, mut images) = (Made::of(b"the newest"), images.borrow_mut());
                if images.tag(repository, NEWEST).is_none() {
                    images.put(repository, &newest);
                    for tag in [NEWEST, "latest"] {
                        images.set(repository, tag, newest.digest, BEGUN);
                    }
                }
                continue;
            }
            let mut public = self.servers[goal.public.0].borrow_mut();
            for place in [
                (repository.clone(), distro.clone(), format!("harbour-{name}")),
                ("harbour/other".to_owned(), distro.clone(), name.clone()),
            ] {
                public.put(&place, b"a bystander", BEGUN);
            }
            let is_deb = self.parcels[goal.parcel].filename.file().and_then(Filename::kind) == Some(PackageKind::Deb);
            let free = if is_deb { "ubuntu/focal" } else { "el/8" };
            if goals.iter().all(|goal| goal.public.1 != (repository.clone(), free.to_owned(), name.clone())) {
                public.put(&(repository.clone(), free.to_owned(), name.clone()), b"a bystander elsewhere", BEGUN);
            }
        }
        goals
    }

    /// Puts a parcel into staging, of these bytes.
    fn stage(&self, parcel: &Parcel, (server, place): &(usize, Place), bytes: &[u8], now: i64) {
        let Some(registry) = self.registry(*server) else {
            return self.servers[*server].borrow_mut().put(place, bytes, now);
        };
        let (image, mut registry) = (Made::of(bytes), registry.borrow_mut());
        registry.put(&place.0, &Made::of(b"another build"));
        registry.put(&place.0, &image);
        // A tag of staging may be set again at any moment.
        let tag = format!("ci-{}", parcel.key);
        registry.set(&place.0, &tag, image.digest, now);
        self.tag_staged(*server, &place.0, &tag);
    }

    /// The registry of that number.
    pub(crate) fn registry(&self, number: usize) -> Option<&RefCell<Registry>> {
        self.registries.get(number.checked_sub(REGISTRIES_FROM)?)
    }

    /// What a server has under a name. Of an image that is staged, all of it must be there.
    pub fn here(&self, (server, place): &(usize, Place)) -> Option<Here> {
        let Some(registry) = self.registry(*server) else {
            let server = self.servers[*server].borrow();
            return server.files.get(place).map(|file| Here {
                digest: file.digest,
                by_slipway: file.by_slipway,
                listed_at: file.listed_at,
            });
        };
        let (repository, name, _) = place;
        let registry = registry.borrow();
        if let Some(tag) = tag_of(name) {
            let tagged = registry.tag(repository, tag)?;
            return Some(Here { digest: tagged.digest, by_slipway: tagged.by_slipway, listed_at: tagged.seen_at });
        }
        let digest = name.strip_prefix('@')?.parse().ok()?;
        registry.is_whole(repository, &digest).then_some(Here { digest, by_slipway: false, listed_at: BEGUN })
    }

    /// Whether anybody is served this, or once was.
    pub(crate) fn has_served(&self, (server, place): &(usize, Place), digest: &Digest) -> bool {
        let now = self.exec.now();
        match self.registry(*server) {
            None => self.servers[*server].borrow().has_served(place, digest, now),
            Some(registry) => {
                let tag = tag_of(&place.1).unwrap_or_default();
                registry.borrow().has_served(&place.0, tag, digest, now)
            }
        }
    }

    /// The job that last spoke for a package.
    pub(crate) fn job_of(&self, parcel: &Parcel) -> u64 {
        let jobs = self.jobs.borrow();
        let same = |index: usize| self.parcels.get(index).is_some_and(|other| std::ptr::eq(other, parcel));
        jobs.iter().rev().find(|(_, (index, _))| same(*index)).map_or(0, |(job, _)| *job)
    }

    pub(crate) fn gitlab_instance(&self) -> Instance {
        Instance::new(self.config.gitlab.url.clone(), Token::new("GITLAB_TOKEN"))
    }

    pub(crate) fn gitlab_answer(&self, request: &Request, is_behind: bool) -> Response {
        let id: u64 = request.uri().path().rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        let jobs = self.jobs.borrow();
        if request.uri().path().ends_with("/pipelines/7/jobs") {
            let project: u64 = request.uri().path().split('/').nth(4).and_then(|id| id.parse().ok()).unwrap_or(0);
            // The newest run of each.
            let mut newest = BTreeMap::new();
            for (job, (parcel, status)) in
                jobs.iter().filter(|(_, (parcel, _))| self.parcels[*parcel].project == project)
            {
                newest.insert(*parcel, (*job, if is_behind { "manual" } else { *status }));
            }
            let listed = |(parcel, (id, status)): (&usize, &(u64, &str))| {
                let Parcel { version, key, .. } = &self.parcels[*parcel];
                serde_json::json!({ "id": id, "name": release_job(version, key), "status": status })
            };
            let body = serde_json::Value::Array(newest.iter().map(listed).collect()).to_string();
            return http::Response::builder().status(200).body(body.into_bytes()).expect("a status");
        }
        if request.uri().path().ends_with("/deployments") {
            // Each job runs in the environment of its package. Behind, GitLab has not made its deployment yet.
            let listed = |(job, (parcel, _)): (&u64, &(usize, &str))| {
                let Parcel { version, key, .. } = &self.parcels[*parcel];
                serde_json::json!({
                    "id": job, "status": "created", "environment": { "name": environment(version, key) },
                    "deployable": { "id": job, "pipeline": { "id": 7 } },
                })
            };
            let listed: Vec<_> = jobs.iter().filter(|_| !is_behind).map(listed).collect();
            let body = serde_json::Value::Array(listed).to_string();
            return http::Response::builder().status(200).body(body.into_bytes()).expect("a status");
        }
        let Some((parcel, status)) = jobs.get(&id) else {
            return http::Response::builder().status(404).body(b"{}".to_vec()).expect("a status");
        };
        let parcel = &self.parcels[*parcel];
        let status = if is_behind { "manual" } else { status };
        let body = serde_json::json!({
            "id": id, "name": release_job(&parcel.version, &parcel.key), "status": status,
            "user": { "id": 7, "username": "mira" }, "pipeline": { "id": 7, "ref": "v1", "sha": "5ad2" },
        });
        http::Response::builder().status(200).body(body.to_string().into_bytes()).expect("a status")
    }

    // ---- time and death ----

    /// The time on the edge's clock, which may be wrong.
    pub(crate) fn clock(&self) -> Timestamp {
        self.clock_looks.set(self.clock_looks.get() + 1);
        self.true_or_not()
    }

    /// The same for whoever only judges.
    pub(crate) fn true_or_not(&self) -> Timestamp {
        Timestamp(self.exec.now() + self.skew.get())
    }

    /// Whether the clock was wrong: what lasts for a time has lasted for another then.
    pub(crate) fn has_jumped(&self) -> bool {
        self.has_jumped.get()
    }

    /// Whether the process is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.get()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet.get()
    }

    /// The process dies: what was awaited is never heard of.
    pub(crate) fn die(&self) {
        self.is_dead.set(true);
    }

    pub(crate) fn kill_next(&self) {
        self.kill_next.set(true);
    }

    pub(crate) fn kill_after_commit(&self) {
        self.kill_after_commit.set(true);
    }

    /// Whether the process dies now that something is committed.
    pub(crate) fn kill_commits(&self) -> bool {
        self.kill_after_commit.take()
    }

    pub(crate) fn arm(&self, id: &ObjectId, after: i64) {
        let at = self.exec.now().saturating_add(after);
        self.disk.borrow_mut().alarms.insert(id.clone(), at);
        self.exec.after(after, Happening::Alarm(id.clone(), at));
    }

    /// Whether a deletion has begun and nobody knows yet what became of it.
    pub(crate) fn deletes_now(&self) -> bool {
        self.disk.borrow().databases.iter().any(|(id, record)| {
            let open = record.query("SELECT 1 FROM removals WHERE version IS NOT NULL LIMIT 1", &[]);
            matches!(id, ObjectId::Project(_)) && open.is_ok_and(|rows| !rows.is_empty())
        })
    }

    fn bury(&self) {
        if self.journal.borrow().carries() {
            self.point("the process died while it carried bytes");
        }
        if self.keeps && self.deletes_now() {
            self.point("the process died while it deleted");
        }
        self.exec.kill();
        *self.process.borrow_mut() = Process::default();
        self.kill_next.set(false);
        self.kill_after_commit.set(false);
        self.journal.borrow_mut().dies();
        // In a course, whoever starts it again looks once a second: deaths in the same second are the same then.
        let now = self.exec.now();
        let dead_for = if self.is_lively { 1500 } else { (now / 1000 + 2) * 1000 - now };
        for waits in std::mem::take(&mut *self.unanswered.borrow_mut()) {
            self.exec.after(dead_for + 8500, waits);
        }
        self.exec.after(dead_for, Happening::Restart);
        self.point("the process died");
    }

    // ---- boundaries ----

    /// How many boundaries were passed.
    pub fn boundaries(&self) -> u64 {
        self.boundaries.get()
    }

    /// The fingerprint of everything that happened.
    pub fn trace(&self) -> u64 {
        self.trace.borrow().0
    }

    pub(crate) fn traced(&self, add: impl FnOnce(&mut Trace)) {
        if self.is_traced {
            add(&mut self.trace.borrow_mut());
        }
    }

    /// Something rare was reached.
    pub(crate) fn point(&self, name: &'static str) {
        *self.points.borrow_mut().entry(name).or_default() += 1;
    }

    pub(crate) fn violated(&self, invariant: &'static str, what: &str) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            // I21: what must hold of bytes, files and approvals holds after a restore, too.
            *violation = Some(if self.has_restored() && RESTORE_KEEPS.contains(&invariant) {
                Violation { invariant: "I21", what: format!("after a restore, {invariant}: {what}") }
            } else {
                Violation { invariant, what: what.to_owned() }
            });
        }
    }

    /// The first broken promise.
    pub fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    /// A boundary is reached: it is counted, and what goes wrong at it is returned.
    pub(crate) fn boundary(&self, kind: Kind) -> Option<Fault> {
        if self.is_dead() {
            return Some(Fault::KilledBefore);
        }
        let number = self.boundaries.get();
        let is_due = |before: &Before| match before {
            Before::Next(next) => *next == kind,
            Before::Number(due) => *due == number,
        };
        let due: Vec<_> = self.meanwhile.borrow_mut().extract_if(.., |(before, _)| is_due(before)).collect();
        for (_, act) in due {
            act(self);
        }
        self.boundaries.set(number + 1);
        self.traced(|trace| {
            trace.add(&number.to_le_bytes());
            trace.add(&self.exec.now().to_le_bytes());
            trace.add(&[kind as u8]);
        });
        if !self.is_lively {
            self.kinds.borrow_mut().push(kind);
            self.looks.borrow_mut().push((self.server_looks.get(), self.clock_looks.get()));
        }
        if self.kill_next.take() {
            self.die();
            return Some(Fault::KilledBefore);
        }
        if self.keeps && kind.deletes() && self.is_lively {
            self.races(number);
        }
        let fault = self.drawn(number, kind)?;
        self.happened.borrow_mut().push((number, kind, fault));
        self.calm_since.set(None);
        match fault {
            Fault::Clock(ms) => {
                self.skew.set(self.skew.get().saturating_add(ms));
                self.has_jumped.set(true);
                self.point("the clock jumped");
                None
            }
            Fault::Somebody(outsider) => {
                self.somebody(outsider, number);
                None
            }
            Fault::KilledBefore => {
                self.die();
                Some(fault)
            }
            _ => Some(fault),
        }
    }

    /// Right when something is deleted, somebody wants something of it: what comes by chance alone comes too seldom.
    fn races(&self, number: u64) {
        let mut rng = Rng::new(self.seed ^ number);
        let of = rng.below(self.parcels.len() as u64) as usize;
        let deeds = [Deed::Hold(of), Deed::Extend(of), Deed::Restage(of), Deed::Replace(of), Deed::Deployed(of)];
        // Only files are built anew here, and no shared ones: an image has its digest for a name.
        let is_possible = |deed: &Deed| !matches!(deed, Deed::Replace(of) if self.is_shared(*of));
        if let Some(deed) = rng.pick(&deeds).filter(is_possible).filter(|_| rng.chance(2500)) {
            self.exec.after(rng.below(40) as i64, Happening::Deed { deed, tries: 0 });
        }
    }

    /// Whether what a package has in staging can be another's, too.
    fn is_shared(&self, parcel: usize) -> bool {
        let own = &self.parcels[parcel];
        own.is_image() || self.parcels.iter().filter(|other| other.filename == own.filename).count() > 1
    }

    fn drawn(&self, number: u64, kind: Kind) -> Option<Fault> {
        match &*self.weather.borrow() {
            Weather::Named(faults) => faults.get(&number).copied().filter(|fault| fault.fits(kind)),
            Weather::Swarm { rates, until, without } => {
                if self.exec.now() - BEGUN > *until {
                    return None;
                }
                let mut rng = self.weather_rng.borrow_mut();
                let drawn = rng.below(10_000);
                let mut sum = 0;
                let mut chosen = None;
                for (fault, rate) in rates {
                    if fault.fits(kind) {
                        sum += rate;
                        if drawn < sum {
                            chosen = Some(*fault);
                            break;
                        }
                    }
                }
                chosen.filter(|_| !without.contains(&number))
            }
        }
    }

    fn latency(&self, kind: Kind) -> (i64, i64) {
        if !self.is_lively {
            return if kind.acts() { (300, 2) } else { (2, 2) };
        }
        let mut rng = self.rng.borrow_mut();
        match kind.sort() {
            Sort::Call if kind.acts() => {
                let long = if rng.chance(200) { 60_000 } else { 900 };
                (rng.below(long) as i64, rng.below(50) as i64)
            }
            Sort::Call => (rng.below(20) as i64, rng.below(20) as i64),
            _ => (rng.below(4) as i64, rng.below(4) as i64),
        }
    }

    /// One exchange across a boundary.
    pub(crate) async fn call<T>(
        &self,
        kind: Kind,
        work: impl AsyncFnOnce(Option<Fault>) -> T,
        broken: impl FnOnce(Fault) -> T,
        bend: impl FnOnce(Fault, T) -> T,
        late: impl FnOnce() -> Option<Late>,
    ) -> T {
        self.call_until(kind, true, work, broken, bend, late).await
    }

    pub(crate) async fn call_until<T>(
        &self,
        kind: Kind,
        is_hurried: bool,
        work: impl AsyncFnOnce(Option<Fault>) -> T,
        broken: impl FnOnce(Fault) -> T,
        bend: impl FnOnce(Fault, T) -> T,
        late: impl FnOnce() -> Option<Late>,
    ) -> T {
        let fault = self.boundary(kind);
        if self.is_dead() {
            return pending().await;
        }
        let (there, back) = self.latency(kind);
        match fault {
            Some(fault @ (Fault::KilledSent | Fault::DoneLate)) => {
                if let Some(late) = late() {
                    let index = self.late.borrow().len();
                    self.late.borrow_mut().push(Some(Rc::new(late)));
                    self.exec.after(30_000, Happening::Late(index));
                }
                self.exec.sleep(there).await;
                if fault == Fault::KilledSent {
                    self.die();
                    return pending().await;
                }
                return broken(fault);
            }
            Some(
                fault @ (Fault::Lost
                | Fault::Status(_)
                | Fault::Page
                | Fault::Empty
                | Fault::Source(_)
                | Fault::Early(_)),
            ) => {
                self.exec.sleep(there + back).await;
                return broken(fault);
            }
            Some(Fault::Slow) if is_hurried => {
                self.exec.sleep(10_000).await;
                return broken(Fault::Slow);
            }
            _ => {}
        }
        self.exec.sleep(there).await;
        // What waits beside it may have died meanwhile, and with it the process of both.
        if self.is_dead() {
            return pending().await;
        }
        let answer = work(fault).await;
        if self.is_dead() {
            return pending().await;
        }
        match fault {
            Some(Fault::KilledApplied) => {
                self.die();
                pending().await
            }
            Some(fault @ (Fault::AnswerLost | Fault::DoneStatus(_))) => {
                if kind.acts() {
                    self.point("an act was done, and denied");
                }
                self.exec.sleep(back).await;
                broken(fault)
            }
            Some(fault) => {
                self.exec.sleep(back).await;
                match fault {
                    Fault::KilledAnswered => self.kill_next(),
                    Fault::KilledCommitted => self.kill_after_commit(),
                    _ => {}
                }
                bend(fault, answer)
            }
            None => {
                self.exec.sleep(back).await;
                answer
            }
        }
    }

    /// Has something done right before the next boundary of a kind.
    pub fn meanwhile(&self, kind: Kind, act: impl FnOnce(&Self) + 'static) {
        self.meanwhile.borrow_mut().push((Before::Next(kind), Box::new(act)));
    }

    /// Has somebody do something right before the boundary of this number. A commit is one with what led to it, since nothing is
    /// awaited in between: what comes at that moment comes after it, when its object waits for the next time.
    pub(crate) fn meanwhile_does(&self, number: u64, kind: Kind, deed: Deed) {
        let act: Act = match deed.parcel() {
            Some(parcel) if kind.sort() != Sort::Commit => Box::new(move |world| world.does_quietly(deed, parcel)),
            _ => Box::new(move |world| world.exec.after(0, Happening::Deed { deed, tries: 0 })),
        };
        self.meanwhile.borrow_mut().push((Before::Number(number), act));
    }

    /// Whether a package's deletion is marked, as the record last said.
    pub(crate) fn is_marked(&self, parcel: usize) -> bool {
        self.journal.borrow().is_marked(parcel)
    }

    /// Whether staging has nothing left of a package.
    pub(crate) fn is_gone(&self, parcel: usize) -> bool {
        let own = |goal: &&Goal| goal.parcel == parcel;
        let is_there = |goal: &Goal| self.here(&goal.staging).is_some_and(|here| here.digest == self.digest_of(goal));
        !self.goals.iter().filter(own).any(is_there)
    }

    // ---- what others do ----

    /// Somebody looks at what is at the servers, or at what is remembered of it.
    pub(crate) fn looks_at_servers(&self) {
        self.server_looks.set(self.server_looks.get() + 1);
    }

    /// Somebody else acts at the package servers, on a target that the boundary's number picks.
    fn somebody(&self, outsider: Outsider, number: u64) {
        // In a course by how often anybody has looked, which is the same wherever it makes no difference.
        let by = if self.is_lively { number } else { self.server_looks.get() };
        let index = Rng::new(self.seed ^ by).below(self.goals.len() as u64) as usize;
        let Some(goal) = self.goals.get(index) else { return };
        self.acts(outsider, goal);
    }

    /// Somebody else acts on a target.
    pub fn acts(&self, outsider: Outsider, goal: &Goal) {
        if self.parcels[goal.parcel].is_image() {
            return self.acts_on_image(outsider, goal);
        }
        let now = self.exec.now();
        let bytes = &self.bytes_of(goal.parcel);
        let (staging, public) = (&goal.staging.1, &goal.public.1);
        let mut journal = self.journal.borrow_mut();
        journal.meddled.insert(public.clone());
        let is_public = self.servers[goal.public.0].borrow().files.contains_key(public);
        match outsider {
            Outsider::PublishesOther if !is_public => {
                self.servers[goal.public.0].borrow_mut().put(public, &other(bytes), now);
                journal.public_ever.entry(public.clone()).or_default().insert(Digest::of(&other(bytes)));
            }
            Outsider::PublishesSame if !is_public => {
                self.servers[goal.public.0].borrow_mut().put(public, bytes, now);
                journal.public_ever.entry(public.clone()).or_default().insert(Digest::of(bytes));
            }
            Outsider::DeletesPublic if is_public => {
                drop(self.servers[goal.public.0].borrow_mut().delete(public, now));
                *journal.deleted.entry(public.clone()).or_default() += 1;
                journal.unserved_since.insert(goal.public.clone(), self.boundaries());
            }
            Outsider::DeletesStaged => drop(self.servers[goal.staging.0].borrow_mut().delete(staging, now)),
            Outsider::ReplacesStaged => self.servers[goal.staging.0].borrow_mut().put(staging, &other(bytes), now),
            Outsider::MovesStaged if !is_public => {
                let gone = self.servers[goal.staging.0].borrow_mut().delete(staging, now);
                if let Some(file) = gone {
                    self.servers[goal.public.0].borrow_mut().put(public, &file.bytes, now);
                    journal.public_ever.entry(public.clone()).or_default().insert(file.digest);
                }
            }
            _ => return,
        }
        if matches!(outsider, Outsider::DeletesStaged | Outsider::ReplacesStaged | Outsider::MovesStaged) {
            journal.wrong_since.entry(goal.staging.clone()).or_insert(self.boundaries());
        }
        drop(journal);
        self.point("somebody else acted");
    }

    /// Somebody else acts on an image, or a registry does.
    fn acts_on_image(&self, outsider: Outsider, goal: &Goal) {
        let now = self.exec.now();
        let parcel = &self.parcels[goal.parcel];
        let (image, others) = (Made::of(&parcel.bytes), Made::of(&other(&parcel.bytes)));
        let (staging, (repository, name, _)) = (&goal.staging.1.0, &goal.public.1);
        let tag = tag_of(name).unwrap_or_default();
        let (at_staging, at_public) = (self.registry(goal.staging.0), self.registry(goal.public.0));
        let (Some(at_staging), Some(at_public)) = (at_staging, at_public) else { return };
        let is_public = at_public.borrow().tag(repository, tag).is_some();
        let published = match outsider {
            Outsider::PublishesOther if !is_public => Some(&others),
            Outsider::PublishesSame if !is_public => Some(&image),
            Outsider::MovesStaged if !is_public && self.here(&goal.staging).is_some() => Some(&image),
            Outsider::DeletesPublic if is_public => {
                at_public.borrow_mut().untag(repository, tag, now);
                let mut journal = self.journal.borrow_mut();
                journal.meddled.insert(goal.public.1.clone());
                *journal.deleted.entry(goal.public.1.clone()).or_default() += 1;
                journal.unserved_since.insert(goal.public.clone(), self.boundaries());
                None
            }
            Outsider::DeletesStaged => {
                at_staging.borrow_mut().delete(staging, &image.digest);
                None
            }
            // The tag under which it was pushed leads to another image, and the digest to the same.
            Outsider::ReplacesStaged => {
                self.stage(parcel, &goal.staging, &other(&parcel.bytes), now);
                None
            }
            Outsider::LosesBlob => {
                at_staging.borrow_mut().lose(staging, &image.own_layer);
                None
            }
            Outsider::CollectsBlobs | Outsider::CollectsUntagged => {
                // One that takes manifests without their parts could not collect manifests, too: whoever writes there could
                // do nothing to set a tag that is whole.
                let mut at_public = at_public.borrow_mut();
                let with_manifests = outsider == Outsider::CollectsUntagged && at_public.manner.checks_parts;
                at_public.collect(with_manifests);
                None
            }
            _ => return,
        };
        if let Some(published) = published {
            let mut at_public = at_public.borrow_mut();
            at_public.put(repository, published);
            at_public.set(repository, tag, published.digest, now);
            let mut journal = self.journal.borrow_mut();
            journal.meddled.insert(goal.public.1.clone());
            journal.public_ever.entry(goal.public.1.clone()).or_default().insert(published.digest);
            journal.set_by_others(&goal.public);
        }
        if outsider == Outsider::MovesStaged {
            at_staging.borrow_mut().delete(staging, &image.digest);
        }
        self.check_tags();
        self.point("somebody else acted");
        if matches!(outsider, Outsider::CollectsBlobs | Outsider::CollectsUntagged) {
            self.point("a registry collected what no tag leads to");
        }
    }

    // ---- the run ----

    fn happens(self: &Rc<Self>, what: Happening) {
        match what {
            Happening::Restart => {
                self.is_dead.set(false);
                self.is_buried.set(false);
                let alarms: Vec<_> = self.disk.borrow().alarms.iter().map(|(id, at)| (id.clone(), *at)).collect();
                for (id, at) in alarms {
                    self.exec.after((at - self.exec.now()).max(5), Happening::Alarm(id, at));
                }
            }
            Happening::Alarm(id, at) => {
                if !self.is_dead() {
                    Edge(Rc::clone(self)).alarm(&id, at);
                }
            }
            Happening::Cron => {
                if !self.is_dead() {
                    Edge(Rc::clone(self)).wake_records();
                }
                self.exec.after(if self.is_of_days() { CRON_OF_DAYS } else { CRON }, Happening::Cron);
            }
            Happening::Late(index) => {
                let late = self.late.borrow_mut().get_mut(index).and_then(Option::take);
                if let Some(late) = late {
                    arrives_late(self, &late);
                }
            }
            Happening::Play(parcel) => self.play(parcel),
            Happening::Person => {
                if !self.is_dead() {
                    self.person();
                }
                self.exec.after(if self.is_of_days() { PERSON_OF_DAYS } else { PERSON }, Happening::Person);
            }
            Happening::Deed { deed: deed @ (Deed::Backup | Deed::Restore | Deed::RestoreOne(_)), .. } => {
                self.operates(deed);
            }
            Happening::Pushed { parcel, digest } => self.pushed(parcel, &digest),
            Happening::Carry { parcel, distro } => {
                if !self.is_dead() {
                    let edge = Edge(Rc::clone(self));
                    self.exec.spawn(async move { edge.carry(parcel, distro).await });
                }
            }
            what @ (Happening::Ask { .. } | Happening::Webhook { .. } | Happening::Deed { .. }) => {
                if self.is_dead() {
                    if let Some(again) = what.again() {
                        self.exec.after(10_000, again);
                    }
                    return;
                }
                let kind = match what {
                    Happening::Ask { .. } => Kind::Ask,
                    Happening::Deed { .. } => Kind::Change,
                    _ => Kind::Webhook,
                };
                let world = Rc::clone(self);
                self.exec.spawn(arrives(world, kind, what));
            }
        }
    }

    /// Whether its first hours are over and it lasts for days: all who come do so less often.
    fn is_of_days(&self) -> bool {
        self.lasts > FIRST_HOURS && self.elapsed() > FIRST_HOURS && self.calm_since.get().is_none()
    }

    /// Remembers how every database is, in the place of the backup before.
    fn back_up(&self, last: Option<Kind>) {
        let disk = self.disk.borrow();
        let databases = disk.databases.iter().map(|(id, backend)| {
            backend.back_up();
            (id.clone(), backend.history())
        });
        let backup = Backup {
            databases: databases.collect(),
            alarms: disk.alarms.clone(),
            done: self.done.borrow().len(),
            journal: self.journal.borrow().clone(),
            commits: self.commits.get(),
            last,
        };
        *self.backup.borrow_mut() = Some(backup);
    }

    /// Something was committed: this may be the moment that is gone back to, or from which.
    pub(crate) fn counts_commit(&self, kind: Kind) {
        let commits = self.commits.get() + 1;
        self.commits.set(commits);
        let is_due = match self.backups {
            Backups::Made => false,
            // With this each of so many moments is the one in the end with the same chance.
            Backups::OfAnyCommit => self.backup_rng.borrow_mut().below(commits + 1) == 0,
            Backups::Of { commit, .. } => commit == commits && !self.has_restored(),
        };
        if is_due {
            self.back_up(Some(kind));
        }
        if let Backups::Of { after, only, .. } = self.backups
            && after == commits
            && !self.has_restored()
        {
            let deed = only.map_or(Deed::Restore, Deed::RestoreOne);
            self.exec.after(0, Happening::Deed { deed, tries: 0 });
        }
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.commits.get()
    }

    /// How many databases there are.
    pub fn databases(&self) -> u64 {
        self.disk.borrow().databases.len() as u64
    }

    /// What an operator does to the databases: nothing runs meanwhile.
    fn operates(&self, deed: Deed) {
        if deed == Deed::Backup {
            return self.back_up(None);
        }
        let Some(backup) = self.backup.borrow_mut().take() else { return };
        if !self.is_dead() {
            self.die();
            self.is_buried.set(true);
            self.bury();
        }
        if self.has_restored.replace(true) {
            self.point("a database was restored once more");
        }
        self.point("a database was restored");
        let mut disk = self.disk.borrow_mut();
        let count = disk.databases.len() as u64;
        let is_restored = |index: u64| match deed {
            Deed::RestoreOne(number) => number % count.max(1) == index,
            _ => true,
        };
        let restored: Vec<ObjectId> = (0..)
            .zip(disk.databases.keys())
            .filter(|(index, _)| is_restored(*index))
            .map(|(_, id)| id.clone())
            .collect();
        for id in &restored {
            let backend = disk.databases.get(id).map(Rc::clone).expect("it was found above");
            match backup.databases.get(id) {
                Some(history) => backend.restore(*history),
                None => backend.empty(),
            }
            match backup.alarms.get(id) {
                Some(at) => drop(disk.alarms.insert(id.clone(), *at)),
                None => drop(disk.alarms.remove(id)),
            }
        }
        drop(disk);
        // Of the time that is gone from here on counts only what was before.
        self.commits.set(backup.commits);
        for id in &restored {
            self.went_back(id, &backup);
        }
        for id in restored {
            if let ObjectId::Project(project) = id {
                self.journal.borrow_mut().restored(project, &self.parcels, &backup.journal);
                let tail = backup.done.min(self.done.borrow().len());
                let lost: Vec<Deed> = self.done.borrow_mut().split_off(tail);
                self.again(lost, project);
            }
        }
        // It can be had again, for as long as none is made that is newer.
        self.backup.borrow_mut().get_or_insert(backup);
    }

    /// To what kind of moment a database went back.
    fn went_back(&self, id: &ObjectId, backup: &Backup) {
        self.point(match (id, backup.last) {
            (_, None) => "a restore went back to a moment of rest",
            (_, Some(Kind::RecordCommit)) => "a restore went back to a record's commit",
            (_, Some(Kind::PackageCommit)) => "a restore went back to a package's commit",
            _ => "a restore went back to an account's commit",
        });
        let ObjectId::Project(project) = id else { return };
        for goal in self.goals.iter().filter(|goal| self.parcels[goal.parcel].project == *project) {
            let then = backup.journal.state(goal.parcel, &goal.distro).map(|(state, ..)| state);
            let is_out = self.here(&goal.public).is_some_and(|here| here.by_slipway);
            match then {
                Some(TargetState::Releasing) if is_out => {
                    self.point("a record forgot how an act of its ended");
                }
                Some(TargetState::Approved) if is_out => self.point("a record forgot that an act began"),
                Some(TargetState::Staged | TargetState::Expected) | None if is_out => {
                    self.point("a record forgot an approval");
                }
                _ => {}
            }
            if backup.journal.is_marked(goal.parcel) && self.is_gone(goal.parcel) {
                self.point("a record forgot the end of a deletion that it has marked");
            }
        }
    }

    /// People see by a comparison what the record has forgotten that they did, and do it again before it goes on.
    fn again(&self, lost: Vec<Deed>, project: u64) {
        for deed in lost {
            match deed.parcel() {
                Some(parcel) if self.parcels[parcel].project == project => self.does_quietly(deed, parcel),
                _ => self.done.borrow_mut().push(deed),
            }
        }
        let backend = self.disk.borrow().databases.get(&ObjectId::Project(project)).map(Rc::clone);
        if let Some(backend) = backend {
            self.committed(Kind::RecordCommit, &backend);
        }
    }

    /// What somebody does, with nobody in the way.
    fn does_quietly(&self, deed: Deed, parcel: usize) {
        let project = self.parcels[parcel].project;
        let backend = self.disk.borrow().databases.get(&ObjectId::Project(project)).map(Rc::clone).expect("a record");
        let record = Record::open(&*backend).expect("the record's schema");
        self.wants(deed);
        let is_done = crate::edge::does(&record, self, deed) == Some(true);
        self.committed(Kind::RecordCommit, &backend);
        self.is_answered(deed, is_done);
    }

    /// Somebody was told whether what they wanted is done.
    pub(crate) fn is_answered(&self, deed: Deed, is_done: bool) {
        self.is_told(deed, is_done);
        if !is_done {
            return;
        }
        self.done.borrow_mut().push(deed);
        if let Deed::Replace(parcel) | Deed::Restage(parcel) = deed {
            let digest = self.declared_of(parcel);
            self.exec.after(2000, Happening::Pushed { parcel, digest });
        }
    }

    /// A file arrives in staging, unless another one was declared meanwhile.
    fn pushed(self: &Rc<Self>, parcel: usize, digest: &Digest) {
        if self.declared_of(parcel) != *digest {
            return;
        }
        let bytes = self.bytes_of(parcel);
        self.looks_at_servers();
        for goal in self.goals.iter().filter(|goal| goal.parcel == parcel) {
            if self.here(&goal.staging).is_some_and(|here| here.digest == *digest) {
                continue;
            }
            self.stage(&self.parcels[parcel], &goal.staging, &bytes, self.exec.now());
            let mut journal = self.journal.borrow_mut();
            journal.wrong_since.remove(&goal.staging);
            journal.staged_at.insert(goal.staging.clone(), self.exec.now());
            drop(journal);
            self.point(if bytes == self.parcels[parcel].bytes {
                "what was gone was staged again"
            } else {
                "a build has staged other bytes"
            });
        }
    }

    /// What is declared of a package.
    pub(crate) fn declared_of(&self, parcel: usize) -> Digest {
        let declared = self.declared.borrow().get(&parcel).copied();
        declared.unwrap_or_else(|| self.parcels[parcel].digest_of(&self.parcels[parcel].bytes))
    }

    /// What is to be released of a target.
    pub(crate) fn digest_of(&self, goal: &Goal) -> Digest {
        self.declared.borrow().get(&goal.parcel).copied().unwrap_or(goal.digest)
    }

    /// The bytes of a package, as they are declared.
    pub(crate) fn bytes_of(&self, parcel: usize) -> Vec<u8> {
        let Parcel { bytes, .. } = &self.parcels[parcel];
        let rebuilt = rebuilt(bytes);
        if self.parcels[parcel].digest_of(&rebuilt) == self.declared_of(parcel) { rebuilt } else { bytes.clone() }
    }

    /// Whether a database was restored: what it had forgotten, it says otherwise.
    pub(crate) fn has_restored(&self) -> bool {
        self.has_restored.get()
    }

    fn play(&self, parcel: usize) {
        let mut journal = self.journal.borrow_mut();
        journal.plays += 1;
        let job = 100 + journal.plays;
        *journal.played.entry(parcel).or_default() += 1;
        drop(journal);
        self.jobs.borrow_mut().insert(job, (parcel, "running"));
        let Parcel { asks, webhooks, .. } = &self.parcels[parcel];
        if *asks {
            self.exec.after(1000, Happening::Ask { parcel, job, tries: 0 });
        }
        for (number, after) in webhooks.iter().enumerate() {
            let delivery = format!("{job}-{}", number / 2);
            self.exec.after(*after, Happening::Webhook { parcel, job, delivery, tries: 0 });
        }
    }

    /// A person looks at the releases: what has come to nothing is staged and played again, a few times.
    fn person(self: &Rc<Self>) {
        let mut plays = BTreeSet::new();
        let edge = Edge(Rc::clone(self));
        for goal in &self.goals {
            let parcel = &self.parcels[goal.parcel];
            let Some((state, ..)) = self.journal.borrow().state(goal.parcel, &goal.distro) else { continue };
            let was_played = self.journal.borrow().played.contains_key(&goal.parcel);
            let is_expected = self.keeps && state == TargetState::Expected;
            if !is_expected && (!was_played || !needs_a_person(state)) {
                continue;
            }
            let played = self.journal.borrow().plays_of(goal.parcel);
            if matches!(state, TargetState::Missing | TargetState::Staged | TargetState::Expected) {
                self.looks_at_servers();
                self.is_quiet.set(true);
                let staged = self.here(&goal.staging).map(|here| here.digest);
                let sight = match staged {
                    Some(digest) if digest == self.digest_of(goal) => Some(Sight::Declared),
                    _ => None,
                };
                // Of an image that lacks a part only its promotion says so, and what was moved is public when a record has forgotten it.
                if (self.keeps && parcel.is_image() || self.has_restored() && goal.how == How::Move)
                    && state == TargetState::Staged
                    && played < self.plays_max
                    && was_played
                {
                    plays.insert(goal.parcel);
                }
                if let Some(sight) = sight {
                    let record = edge.record(parcel.project);
                    let (version, key, distro) = (&parcel.version, &parcel.key, &goal.distro);
                    let looked =
                        record.seen_in_staging(version, key, distro, &self.digest_of(goal), &sight, self.clock());
                    looked.expect("a look is written down");
                    self.journal.borrow_mut().restaged(goal.parcel, &goal.distro);
                    let is_of = self.disk.borrow().databases.get(&ObjectId::Project(parcel.project)).map(Rc::clone);
                    if let Some(backend) = is_of.filter(|_| self.keeps) {
                        self.reads_states(parcel.project, &backend);
                    }
                    if played < self.plays_max && was_played {
                        plays.insert(goal.parcel);
                    }
                }
                self.is_quiet.set(false);
            } else if played < self.plays_max && (played < 2 || !self.is_rightly(goal, state)) {
                plays.insert(goal.parcel);
            }
        }
        for parcel in plays {
            let record = edge.record(self.parcels[parcel].project);
            let open = record.next_hint(self.clock(), self.clock()).ok().flatten().is_some();
            if !open {
                self.play(parcel);
                self.point("a person played a job again");
            }
        }
    }

    /// Whether nothing is on its way any more.
    fn is_settled(self: &Rc<Self>) -> bool {
        if self.is_dead() || self.exec.tasks() > 0 {
            return false;
        }
        if self.elapsed() < self.lasts {
            return false;
        }
        let journal = self.journal.borrow();
        let is_played =
            |(index, parcel): (usize, &Parcel)| parcel.played_after == NEVER || journal.played.contains_key(&index);
        let all_played = self.parcels.iter().enumerate().all(is_played);
        let jobs = self.jobs.borrow();
        let (silent, speaking): (Vec<_>, Vec<_>) = jobs.iter().partition(|(_, (parcel, _))| self.is_silent(*parcel));
        if !all_played || journal.open_jobs(speaking.into_iter().map(|(job, _)| *job)) {
            return false;
        }
        // A list has the newest run of a job alone.
        let newest: BTreeMap<usize, u64> = silent.into_iter().map(|(job, (parcel, _))| (*parcel, *job)).collect();
        let is_lost = |parcel, job| !self.is_found(parcel, job) && !self.is_out(parcel) && self.is_looked_for();
        if newest.into_iter().any(|(parcel, job)| is_lost(parcel, job)) {
            return false;
        }
        if self.tells
            && !self
                .disk
                .borrow()
                .databases
                .iter()
                .all(|(id, db)| id.commits() != Kind::RecordCommit || Self::has_told(db))
        {
            return false;
        }
        let moves = self
            .goals
            .iter()
            .any(|goal| journal.state(goal.parcel, &goal.distro).is_none_or(|(state, ..)| state.is_moving()));
        if moves {
            return false;
        }
        let needs_more_plays = self.goals.iter().any(|goal| {
            let (state, ..) = journal.state(goal.parcel, &goal.distro).expect("seen above");
            let played = journal.plays_of(goal.parcel);
            // Who has tried in vain while things went wrong tries again when they no longer do.
            let tries = played < self.plays_max || self.plays_max > 0 && self.calm_since.get().is_none();
            needs_a_person(state) && tries && !self.is_rightly(goal, state)
        });
        drop(journal);
        // What expired and has come back is looked for.
        let is_to_be_seen = self.goals.iter().any(|goal| {
            let state = self.journal.borrow().state(goal.parcel, &goal.distro).map(|(state, ..)| state);
            state.is_some_and(|state| state == TargetState::Expired && !self.is_rightly(goal, state))
        });
        if needs_more_plays || is_to_be_seen {
            return false;
        }
        let edge = Edge(Rc::clone(self));
        let projects: BTreeSet<u64> = self.parcels.iter().map(|parcel| parcel.project).collect();
        projects.into_iter().all(|project| {
            let record = edge.record(project);
            record.next_hint(self.clock(), self.clock()).ok().flatten().is_none()
                && record.dispatches().is_ok_and(|orders| orders.is_empty())
        })
    }

    /// Whether nobody plays a package's job.
    pub(crate) fn is_never_played(&self, parcel: usize) -> bool {
        self.parcels.get(parcel).is_some_and(|parcel| parcel.played_after == NEVER)
    }

    /// Whether nothing of a package is left to be released.
    fn is_out(&self, parcel: usize) -> bool {
        let own = |goal: &&Goal| goal.parcel == parcel;
        self.goals.iter().filter(own).all(|goal| {
            let state = self.journal.borrow().state(parcel, &goal.distro).map(|(state, ..)| state);
            state.is_some_and(|state| matches!(state, TargetState::Released | TargetState::Missing))
        })
    }

    /// Whether the edge still looks for lost webhooks: what has rested for two weeks by its clock, it does not.
    fn is_looked_for(&self) -> bool {
        self.skew.get() < 13 * 86_400_000
    }

    /// A person holds a package back.
    pub fn hold(&self, parcel: usize) {
        let Parcel { project, version, key, .. } = &self.parcels[parcel];
        self.holds(parcel);
        let backend = self.disk.borrow().databases.get(&ObjectId::Project(*project)).map(Rc::clone).expect("a record");
        let record = Record::open(&*backend).expect("the record's schema");
        record
            .hold(version, Some(std::slice::from_ref(key)), "user:nell", "bad notes", None, self.clock())
            .expect("a hold");
        self.committed(Kind::RecordCommit, &backend);
    }

    /// Another tag of a package's image was released before, and is taken back now.
    pub fn takes_another_tag_back(&self, parcel: usize) {
        let Parcel { project, version, key, .. } = &self.parcels[parcel];
        // It ends what was approved, as a hold does.
        self.holds(parcel);
        let backend = self.disk.borrow().databases.get(&ObjectId::Project(*project)).map(Rc::clone).expect("a record");
        let taken_back = "INSERT INTO withdrawals
                (version, key, distro, place, repository, filename, digest, sent_order, asked_by, reason, at, users, told_at, state,
                 notes)
             SELECT t.version, t.key, ':another', t.public_place, t.public_repository, p.filename, p.digest, '', 'user:nell',
                'it leaks', 0, '[]', 0, 'withdrawn', '[]'
             FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key WHERE t.version = ? AND t.key = ?";
        backend.query(taken_back, &[version.as_str().into(), key.as_str().into()]).expect("a withdrawal");
        self.committed(Kind::RecordCommit, &backend);
    }

    /// Whether a target's state is the right one for what the servers have.
    pub(crate) fn is_rightly(&self, goal: &Goal, state: TargetState) -> bool {
        self.looks_at_servers();
        let here = self.here(&goal.public);
        let (public, listed_at) = (here.map(|here| here.digest), here.map(|here| here.listed_at));
        let staged = self.here(&goal.staging).map(|here| here.digest);
        let digest = self.digest_of(goal);
        let journal = self.journal.borrow();
        // A package is released as a whole at first: one target that is gone keeps those from it that were never tried.
        let is_gone = |other: &&Goal| {
            let state = journal.state(other.parcel, &other.distro).map(|(state, ..)| state);
            other.parcel == goal.parcel && state == Some(TargetState::Missing)
        };
        if state == TargetState::Staged && self.goals.iter().any(|other| is_gone(&other)) {
            return true;
        }
        let is_meddled = journal.meddled.contains(&goal.public.1);
        let said = journal.state(goal.parcel, &goal.distro);
        let is_withdrawn = said.is_some_and(|(.., code)| code.as_deref() == Some("withdrawn"));
        let ends = state == TargetState::Staged || is_withdrawn;
        let is_kept_back = self.keeps && needs_a_person(state) || ends && public.is_none();
        if journal.is_held(goal.parcel) && is_kept_back {
            return true;
        }
        // Nobody can release any more what was given up, and nobody wants to what was never played.
        if journal.is_closed(goal.parcel) && (needs_a_person(state) || state == TargetState::Skipped) {
            return true;
        }
        // By a clock that is years ahead it is too old to be looked at.
        let is_as_seen = self.is_never_played(goal.parcel) || state == TargetState::Staged;
        if self.keeps && is_as_seen && !self.is_looked_for() {
            return true;
        }
        if state == TargetState::Expired {
            // Also when somebody else was faster.
            return staged != Some(digest);
        }
        if self.is_never_played(goal.parcel) {
            // Of an image it is the manifest that is looked at.
            let is_there = staged == Some(digest) || self.parcels[goal.parcel].is_image();
            return match state {
                TargetState::Staged => is_there,
                TargetState::Expected | TargetState::Missing => staged != Some(digest),
                TargetState::Skipped => journal.is_closed(goal.parcel),
                TargetState::Released => public == Some(digest),
                _ => false,
            };
        }
        // By a clock that is years ahead it has rested for longer than lost webhooks are looked for, and no job speaks.
        if self.is_silent(goal.parcel) && !self.is_looked_for() && needs_a_person(state) {
            return true;
        }
        match (public, staged) {
            // Drift after a release is seen by whoever looks for it, which no promotion does.
            _ if state == TargetState::Released && is_meddled => true,
            // What was called missing is looked at again only in staging, where it is not. So this is right of what came
            // to the public place after the last look, and wrong of what was there to be seen.
            (Some(_), staged) if state == TargetState::Missing && staged != Some(digest) => {
                let judged_at = journal.missing_since(goal.parcel, &goal.distro);
                self.has_jumped()
                    || self.keeps
                    || judged_at.zip(listed_at).is_none_or(|(judged, listed)| listed > judged - TOLD_WITHIN)
            }
            (Some(public), _) if public == digest => state == TargetState::Released,
            (Some(_), _) => state == TargetState::Conflict,
            (None, Some(staged)) if staged == digest => state == TargetState::Released,
            (None, Some(_)) => matches!(state, TargetState::Failed | TargetState::Missing | TargetState::Conflict),
            (None, None) => matches!(state, TargetState::Missing | TargetState::Failed | TargetState::Conflict),
        }
    }

    /// How far a target is, and the code of its problem.
    pub fn state(&self, goal: usize) -> (TargetState, Option<String>) {
        let Goal { parcel, distro, .. } = &self.goals[goal];
        let (state, _, code) = self.journal.borrow().state(*parcel, distro).expect("the target was seen");
        (state, code)
    }

    /// How far the first target is, if anything was seen of it yet.
    pub fn state_of_first(&self) -> Option<TargetState> {
        let Goal { parcel, distro, .. } = &self.goals[0];
        self.journal.borrow().state(*parcel, distro).map(|(state, ..)| state)
    }

    /// Staging has again what was approved.
    pub fn forget_wrong_staging(&self) {
        self.journal.borrow_mut().wrong_since.clear();
    }

    /// What is said of a target's problem.
    pub fn problem(self: &Rc<Self>, goal: usize) -> serde_json::Value {
        let Goal { parcel, distro, .. } = &self.goals[goal];
        let Parcel { project, version, key, .. } = &self.parcels[*parcel];
        let disk = self.disk.borrow();
        let record = disk.databases.get(&ObjectId::Project(*project)).expect("a record");
        let rows = record.query(
            "SELECT problem FROM targets WHERE version = ? AND key = ? AND distro = ?",
            &[version.as_str().into(), key.as_str().into(), distro.as_str().into()],
        );
        let rows = rows.expect("the targets");
        let text = rows.first().and_then(|row| row.text_or_null(0).ok().flatten()).expect("a problem");
        serde_json::from_str(text).expect("a problem is JSON")
    }

    /// What the audit of a package's project says, in order.
    pub fn audit(&self) -> Vec<String> {
        let disk = self.disk.borrow();
        let record = disk.databases.get(&ObjectId::Project(self.parcels[0].project)).expect("a record");
        let rows = record.query("SELECT action FROM audit ORDER BY sequence", &[]).expect("the audit");
        rows.iter().map(|row| row.text(0).expect("a word").to_owned()).collect()
    }

    /// How many transfers the account of a place now takes at a time.
    pub fn transfers_of(&self, place: &str) -> u64 {
        let disk = self.disk.borrow();
        let account = disk.databases.get(&ObjectId::Account(place.to_owned())).expect("an account");
        let rows = account.query("SELECT limit_milli FROM pace", &[]).expect("its pace");
        rows.first().and_then(|row| row.natural(0).ok()).expect("it has one") / 1000
    }

    /// How often a boundary of this kind was passed.
    pub fn count(&self, kind: Kind) -> usize {
        self.kinds.borrow().iter().filter(|passed| **passed == kind).count()
    }

    /// How long it has run, in milliseconds.
    pub fn elapsed(&self) -> i64 {
        self.exec.now() - BEGUN
    }

    /// Has others hold all transfer slots of the public account for so long.
    pub fn occupy(self: &Rc<Self>, ms: i64) {
        Edge(Rc::clone(self)).account("public");
        let disk = self.disk.borrow();
        let account = disk.databases.get(&ObjectId::Account("public".to_owned())).expect("an account");
        for holder in ["somebody", "somebody else"] {
            let values = [holder.into(), (BEGUN + ms).into(), holder.into(), BEGUN.into()];
            let lent = "INSERT INTO leases (holder, ends_at, name, began_at) VALUES (?, ?, ?, ?)";
            account.query(lent, &values).expect("a lease");
        }
    }

    /// A person plays a package's job once more.
    pub fn play_again(&self) {
        self.play(0);
    }

    /// An order that was sent before arrives once more.
    pub fn order_again(self: &Rc<Self>) {
        let edge = Edge(Rc::clone(self));
        let Parcel { project, version, key, .. } = &self.parcels[0];
        let name = slipway_edge::package::name_of(*project, version, key);
        let task = edge.package(&name).work.task(&self.goals[0].distro).expect("a task").expect("a task");
        edge.accept(&task.order).expect("it is taken");
    }

    /// One thing more. `false` when the run is over.
    pub fn step(self: &Rc<Self>) -> bool {
        if self.violation.borrow().is_some() {
            return false;
        }
        let did = self.exec.step();
        let event = match did {
            Did::Nothing => {
                self.violated("L1", "nothing is left that could ever happen");
                return false;
            }
            Did::Ran => None,
            Did::Event(event) => Some(event),
        };
        let is_event = event.is_some();
        if let Some(event) = event {
            self.happens(event);
        }
        if self.is_dead() && !self.is_buried.replace(true) {
            self.bury();
        }
        if is_event && self.is_settled() {
            return false;
        }
        let calm = match &*self.weather.borrow() {
            // In a course the time counts from the last fault that has happened.
            Weather::Named(_) if !self.is_lively => true,
            Weather::Named(faults) => faults.keys().next_back().is_none_or(|last| self.boundaries() > *last),
            Weather::Swarm { until, .. } => self.exec.now() - BEGUN > *until,
        };
        let calm = calm && self.elapsed() >= self.lasts;
        if calm && self.calm_since.get().is_none() {
            let now = self.exec.now();
            let since = if self.is_lively { now } else { (now / 60_000 + 1) * 60_000 };
            self.calm_since.set(Some(since));
            if self.is_lively {
                // From here on nothing is in the way of those who have tried in vain.
                let mut journal = self.journal.borrow_mut();
                journal.played_before = journal.played.clone();
            }
        }
        if !self.is_lively && self.exec.tasks() == 0 {
            // What nothing runs in is put out of memory, as a runtime may do.
            *self.process.borrow_mut() = Process::default();
        }
        if self.calm_since.get().is_some_and(|since| self.exec.now() - since > ENDS_WITHIN)
            || self.exec.now() - BEGUN > 90 * 86_400_000
        {
            let moving: Vec<String> = self
                .goals
                .iter()
                .filter_map(|goal| {
                    let (state, ..) = self.journal.borrow().state(goal.parcel, &goal.distro)?;
                    (state.is_moving() || !self.is_rightly(goal, state))
                        .then(|| format!("{} {} is {state:?}", self.parcels[goal.parcel].key, goal.distro))
                })
                .collect();
            self.violated("L1", &format!("hours after the last fault it has not ended: {}", moving.join(", ")));
            return false;
        }
        true
    }

    /// Runs to the end, and looks at what has become of everything.
    pub fn run(self: &Rc<Self>) -> Option<Violation> {
        while self.step() {}
        if self.violation().is_none() {
            self.check_end();
        }
        self.traced(|trace| {
            for goal in &self.goals {
                trace.add(format!("{:?}", self.journal.borrow().state(goal.parcel, &goal.distro)).as_bytes());
            }
        });
        self.violation()
    }

    /// Looks at what has become of everything, when it has ended.
    pub fn check(&self) {
        self.check_end();
    }

    /// Ends it: the tasks hold the world, and the world holds the tasks.
    pub fn end(&self) {
        self.exec.end();
        *self.process.borrow_mut() = Process::default();
        self.meanwhile.borrow_mut().clear();
        for (id, backend) in std::mem::take(&mut self.disk.borrow_mut().databases) {
            backend.give_back(id.commits());
        }
    }

    // ---- going back ----

    /// Remembers how everything is, at a moment when nothing runs.
    pub(crate) fn mark(&self) -> Mark {
        let disk = self.disk.borrow();
        let databases = disk.databases.iter().map(|(id, backend)| {
            backend.mark();
            (id.clone(), backend.history())
        });
        Mark {
            now: self.exec.now(),
            coming: self.exec.coming(),
            rng: self.rng.borrow().clone(),
            servers: [self.servers[0].borrow().clone(), self.servers[1].borrow().clone()],
            registries: [self.registries[0].borrow().clone(), self.registries[1].borrow().clone()],
            databases: databases.collect(),
            alarms: disk.alarms.clone(),
            journal: self.journal.borrow().clone(),
            unanswered: self.unanswered.borrow().clone(),
            late: self.late.borrow().clone(),
            happened: self.happened.borrow().clone(),
            kinds: self.kinds.borrow().len(),
            jobs: self.jobs.borrow().clone(),
            looks: (self.server_looks.get(), self.clock_looks.get()),
            boundaries: self.boundaries.get(),
            skew: self.skew.get(),
            flags: [&self.is_dead, &self.is_buried, &self.has_jumped, &self.kill_next, &self.kill_after_commit]
                .map(Cell::get),
            calm_since: self.calm_since.get(),
            declared: self.declared.borrow().clone(),
            done: self.done.borrow().clone(),
            looked_again_at: self.looked_again_at.borrow().clone(),
        }
    }

    /// Has everything as it was at the last mark, but for what lies ahead.
    pub(crate) fn go_back(&self, mark: &Mark, faults: &[(u64, Fault)]) {
        self.exec.go_back(mark.now, &mark.coming);
        *self.process.borrow_mut() = Process::default();
        self.rng.borrow_mut().clone_from(&mark.rng);
        for (server, before) in self.servers.iter().zip(&mark.servers) {
            server.borrow_mut().clone_from(before);
        }
        for (registry, before) in self.registries.iter().zip(&mark.registries) {
            registry.borrow_mut().clone_from(before);
        }
        let mut disk = self.disk.borrow_mut();
        let opened: Vec<_> = disk.databases.extract_if(.., |id, _| !mark.databases.contains_key(id)).collect();
        for (id, backend) in opened {
            backend.give_back(id.commits());
        }
        for (id, backend) in &disk.databases {
            backend.go_back(mark.databases.get(id).copied().unwrap_or_default());
        }
        disk.alarms.clone_from(&mark.alarms);
        self.journal.borrow_mut().clone_from(&mark.journal);
        self.unanswered.borrow_mut().clone_from(&mark.unanswered);
        self.late.borrow_mut().clone_from(&mark.late);
        self.happened.borrow_mut().clone_from(&mark.happened);
        self.kinds.borrow_mut().truncate(mark.kinds);
        self.looks.borrow_mut().truncate(mark.kinds);
        self.server_looks.set(mark.looks.0);
        self.clock_looks.set(mark.looks.1);
        self.jobs.borrow_mut().clone_from(&mark.jobs);
        self.boundaries.set(mark.boundaries);
        self.skew.set(mark.skew);
        for (flag, before) in
            [&self.is_dead, &self.is_buried, &self.has_jumped, &self.kill_next, &self.kill_after_commit]
                .into_iter()
                .zip(mark.flags)
        {
            flag.set(before);
        }
        self.calm_since.set(mark.calm_since);
        self.declared.borrow_mut().clone_from(&mark.declared);
        self.done.borrow_mut().clone_from(&mark.done);
        self.looked_again_at.borrow_mut().clone_from(&mark.looked_again_at);
        self.meanwhile.borrow_mut().clear();
        *self.violation.borrow_mut() = None;
        *self.weather.borrow_mut() = Weather::Named(faults.iter().copied().collect());
    }

    /// Forgets the last mark, and stays where it is.
    pub(crate) fn forget_mark(&self, mark: &Mark) {
        let disk = self.disk.borrow();
        for backend in disk.databases.iter().filter(|(id, _)| mark.databases.contains_key(id)) {
            backend.1.unmark();
        }
    }

    /// Goes back to the last mark for good.
    pub(crate) fn unmark(&self, mark: &Mark) {
        self.go_back(mark, &[]);
        for backend in self.disk.borrow().databases.values() {
            backend.unmark();
        }
    }

    /// Runs on until nothing runs and a boundary has been passed meanwhile, or to the end, where everything is judged.
    /// Whether it is the end.
    pub(crate) fn ends_before_it_rests(self: &Rc<Self>) -> bool {
        let before = self.boundaries();
        while self.step() {
            if self.exec.tasks() == 0 && self.boundaries() > before {
                return false;
            }
        }
        if self.violation.borrow().is_none() {
            self.check_end();
        }
        true
    }

    /// All that what happens from now on can depend on, in one number, at a moment when nothing runs.
    ///
    /// No object is in memory then. The time is that of what comes next. Of the boundaries' numbers only the order counts.
    pub(crate) fn fingerprint(&self, is_calm: bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.exec.coming().hash(&mut hasher);
        self.rng.borrow().hash(&mut hasher);
        for server in &self.servers {
            server.borrow().history().hash(&mut hasher);
        }
        if self.parcels.iter().any(Parcel::is_image) {
            for registry in &self.registries {
                registry.borrow().fingerprint(self.exec.now(), &mut hasher);
            }
        }
        let disk = self.disk.borrow();
        for (id, backend) in &disk.databases {
            (id, backend.history()).hash(&mut hasher);
        }
        disk.alarms.hash(&mut hasher);
        self.journal.borrow().fingerprint(self.boundaries(), &mut hasher);
        self.unanswered.borrow().hash(&mut hasher);
        for late in self.late.borrow().iter() {
            late.as_ref().map(|late| format!("{late:?}")).hash(&mut hasher);
        }
        self.jobs.borrow().hash(&mut hasher);
        self.skew.get().hash(&mut hasher);
        for flag in [&self.is_dead, &self.is_buried, &self.has_jumped, &self.kill_next, &self.kill_after_commit] {
            flag.get().hash(&mut hasher);
        }
        if !is_calm && self.goals.len() > 1 {
            // By this somebody picks a target.
            self.server_looks.get().hash(&mut hasher);
        }
        self.has_lied().hash(&mut hasher);
        is_calm.then(|| self.calm_since.get()).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether a list was given that was older than it looked.
    pub(crate) fn has_lied(&self) -> bool {
        self.happened.borrow().iter().any(|(_, _, fault)| *fault == Fault::Stale)
    }

    /// How often a registry has said of a tag or an image that is there that it is not.
    pub(crate) fn denials(&self) -> usize {
        let happened = self.happened.borrow();
        let denies = |kind: &Kind, fault: &Fault| {
            matches!(kind, Kind::ImageHead | Kind::TagList)
                && matches!(fault, Fault::Stale | Fault::Status(404) | Fault::Bare)
        };
        happened.iter().filter(|(_, kind, fault)| denies(kind, fault)).count()
    }

    /// Whether nobody could know which tags are public: the list has left out the newest one alone, or the list and the look at
    /// what it has left out were both wrong.
    pub(crate) fn hides_tags(&self) -> bool {
        let is_behind = |(_, kind, fault): &(u64, Kind, Fault)| *kind == Kind::TagList && *fault == Fault::Stale;
        let images = self.goals.iter().filter(|goal| goal.public.0 >= REGISTRIES_FROM).count();
        self.denials() > 1 || images > 1 && self.happened.borrow().iter().any(is_behind)
    }

    /// A registry answers a request whose body is small. `is_late`: its sender has given it up.
    pub(crate) fn serve_image(&self, number: usize, request: &Request, sight: ImageSight, is_late: bool) -> Response {
        self.looks_at_servers();
        let now = self.exec.now();
        let registry = self.registry(number).expect("whoever asks has found it");
        let (path, kind) = (request.uri().path(), crate::registry::kind(request));
        let repository = crate::registry::repository_of(path).to_owned();
        let tag = crate::registry::tag_of(path).unwrap_or_default();
        let before = registry.borrow().tag(&repository, tag).map(|tagged| tagged.digest);
        let whole = (kind == Some(Kind::ManifestDelete)).then(|| self.whole_images(number, &repository));
        let answer = registry.borrow_mut().answer(request, sight, now);
        let is_done = answer.status().is_success();
        if let Some(whole) = whole.filter(|_| is_done) {
            self.image_deleted(number, &repository, &whole);
        }
        match kind {
            Some(Kind::TagPut) if is_done => self.tag_written(number, &repository, tag, before, is_late),
            Some(kind @ (Kind::ImageHead | Kind::TagList)) if sight == ImageSight::Now => {
                self.image_shown(kind, number, path);
            }
            Some(Kind::ImageRead) if is_done && sight == ImageSight::Now => self.tag_read(number, &repository, tag),
            Some(Kind::ManifestPut | Kind::Mount) if is_done => self.part_written(number, &repository, is_late),
            _ => {}
        }
        answer
    }

    pub(crate) fn push_blob(&self, number: usize, upload: &http::Request<()>, body: &[u8], is_late: bool) -> Response {
        self.looks_at_servers();
        let registry = self.registry(number).expect("whoever sends has found it");
        let answer = registry.borrow_mut().push(upload, body);
        if answer.status().is_success() {
            self.part_written(number, crate::registry::repository_of(upload.uri().path()), is_late);
        }
        answer
    }

    pub(crate) fn serve(&self, server: usize, request: &Request, view: View) -> Response {
        self.looks_at_servers();
        let now = self.exec.now();
        let is_promote = crate::server::kind(request) == Some(Kind::Promote);
        let moved = is_promote.then(|| self.moves(server, request)).flatten();
        let deleted = crate::journal::place_of(request).map(|place| (self.digest_at(server, &place), place));
        let answer = self.servers[server].borrow_mut().answer(request, view, now);
        if let Some((Some(digest), place)) = deleted
            && answer.status() == 200
        {
            self.file_deleted(server, &place, &digest);
        }
        if let Some((place, before)) = moved
            && answer.status() == 201
        {
            self.written(server, &place, before);
        }
        answer
    }

    fn digest_at(&self, server: usize, place: &Place) -> Option<Digest> {
        self.servers[server].borrow().files.get(place).map(|file| file.digest)
    }

    /// Where a promote request leads, and what has the name there.
    fn moves(&self, server: usize, request: &Request) -> Option<(Place, bool)> {
        let goal = self.goal_of_promote(request)?;
        let has = self.servers[server].borrow().files.contains_key(&goal.public.1);
        Some((goal.public.1.clone(), has))
    }

    pub(crate) fn push(&self, server: usize, upload: &http::Request<()>, body: &[u8]) -> Option<Response> {
        self.looks_at_servers();
        let now = self.exec.now();
        let place = self.servers[server].borrow().upload_place(upload, body).map(|(place, _)| place);
        let had = place.as_ref().is_some_and(|place| self.servers[server].borrow().files.contains_key(place));
        let answer = self.servers[server].borrow_mut().push(upload, body, now);
        if let (Some(place), Some(answer)) = (place, &answer)
            && answer.status() == 201
        {
            self.written(server, &place, had);
        }
        answer
    }
}

/// The number of the server that a site is at.
pub(crate) fn number_of(site: &Site) -> usize {
    match site.place.as_str() {
        "staging" => 0,
        "images-staging" => REGISTRIES_FROM,
        "images" => REGISTRIES_FROM + 1,
        _ => 1,
    }
}

/// The name of a package's manual job.
pub(crate) fn release_job(version: &Version, key: &Key) -> String {
    format!("release: [{version} {key}]")
}

fn environment(version: &Version, key: &Key) -> String {
    format!("release/{version}/{key}")
}

/// What the token of a package's job says.
pub(crate) fn session(parcel: &Parcel, job_id: u64) -> JobSession {
    JobSession {
        project_id: parcel.project,
        project_path: "harbour/tug".to_owned(),
        pipeline_id: 7,
        job_id,
        user: "mira".to_owned(),
        user_id: 1,
        user_level: None,
        environment: Some(environment(&parcel.version, &parcel.key)),
        environment_protected: false,
        ref_name: "v1".to_owned(),
        sha: "5ad2".to_owned(),
        token_id: "t".to_owned(),
        ends_at: Timestamp(BEGUN) + Duration::from_hours(3),
    }
}
