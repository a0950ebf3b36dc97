//! A host that answers as a test wants, and the record that it drives.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use slipway_core::api::{Problem, StagedFile};
use slipway_core::cargo::Cargo;
use slipway_core::config::Config;
use slipway_core::inventory::Seen;
use slipway_core::log::Entry;
use slipway_core::promotion::{May, Order};
use slipway_core::release::{Key, Maturity, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::signing::{PublicKey, Signature, Signer, SigningError};
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::Withdrawal;
use slipway_edge::changes::{By, Change};
use slipway_edge::denied::{Denied, Unanswered};
use slipway_edge::hints::named;
use slipway_edge::job_call::{Accepted, Call};
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::{changes, gates, job_call, project};
use slipway_gitlab::Instance;
use slipway_gitlab::webhook::Event;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Ask, Kept, NameTaken, PublicName, Record, Row, Sight, Sql as _, audit};
use slipway_wire::{Digest, Http, Request, Response, Token, Unreachable};

pub(crate) use super::support::{JAMMY, NOW, PIPELINE, PROJECT, key, release_job, version};
use super::support::{config_of_gitlab, planned, record, session};

/// What [`Edge::asks`] takes for all that remain.
pub(crate) const ALL: &[&str] = &["*"];
pub(crate) const RELEASE_ALL: &str = "release-all";
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// A file whose project goes on so, with whatever comes after.
pub(crate) fn config(more: &str) -> Config {
    config_of_gitlab("status_token = \"STATUS_TOKEN\"", more)
}

/// Another project, with the same routes.
pub(crate) const BUOY: u64 = 1002;
pub(crate) const WITH_BUOY: &str =
    "[[projects]]\nid = 1002\nnamespace_id = 71\nname = \"buoy\"\nwebhook_token = \"WEBHOOK_TOKEN_BUOY\"\n";

/// A request that was sent, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) what: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

type Meanwhile = Box<dyn FnOnce()>;

/// Every service that the edge asks, its clock, and its packages' objects, which take every order.
pub(crate) struct Host {
    now: Cell<Timestamp>,
    /// What is answered, by method and path. What is not here is not found.
    answers: RefCell<BTreeMap<String, (u16, Value)>>,
    /// The deployments of jobs that run in the environment of their package, unless others are answered.
    deployments: RefCell<Vec<Value>>,
    sent: RefCell<Vec<Sent>>,
    pub(super) meanwhile: RefCell<Option<Meanwhile>>,
    orders: RefCell<Vec<String>>,
    /// The record of another project. `None`: it does not answer.
    pub(crate) other: RefCell<Option<Record<Database>>>,
    log: RefCell<Vec<String>>,
    /// Whether the secret with the signing key is set.
    pub(crate) has_key: Cell<bool>,
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
        let what = format!("{} {}", request.method(), request.uri().path());
        let body = String::from_utf8_lossy(request.body()).into_owned();
        self.sent.borrow_mut().push(Sent { what: what.clone(), headers: request.headers().clone(), body });
        let meanwhile = self.meanwhile.borrow_mut().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let otherwise = || {
            if what.ends_with("/deployments") { (200, json!(*self.deployments.borrow())) } else { (404, json!({})) }
        };
        let (status, body) = self.answers.borrow().get(&what).cloned().unwrap_or_else(otherwise);
        if status == 0 {
            return Err(Unreachable { host: "gitlab.example.com".to_owned(), why: "the connection broke".to_owned() });
        }
        Ok(http::Response::builder().status(status).body(body.to_string().into_bytes()).expect("an answer"))
    }

    async fn read(&self, request: Request, _each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.send(request).await
    }
}

impl ProjectHost for Host {
    type Signer = Pen;

    async fn signer(&self) -> Result<Option<Pen>, SigningError> {
        if self.has_key.get() {
            Ok(Some(Pen))
        } else {
            Err(SigningError("the secret `SIGNING_KEY` is not set".to_owned()))
        }
    }

    async fn hand_over(&self, order: &Order) -> Result<(), Silent> {
        self.orders.borrow_mut().push(order.key.to_string());
        Ok(())
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent> {
        panic!("nothing is taken back of {}", withdrawal.key)
    }

    fn open(&self, site: &Site) -> Result<Store, String> {
        Err(format!("`{}` has no user here", site.place))
    }

    fn announce(&self, _version: &Version) {}

    async fn find(&self, _: &Site, _: &str, _: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        Err(Silent("nobody looks".to_owned()))
    }

    async fn answered_at(&self, _place: &str) -> Result<Option<Timestamp>, Silent> {
        Err(Silent("nobody looks".to_owned()))
    }

    async fn name_taken(&self, project_id: u64, names: &[PublicName]) -> Result<Option<NameTaken>, Silent> {
        assert_eq!(project_id, BUOY, "its own record is not asked");
        let other = self.other.borrow();
        let other = other.as_ref().ok_or_else(|| Silent("it is away".to_owned()))?;
        Ok(other.name_taken(names).expect("a working record"))
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        match name {
            "EVENTS_TOKEN" => Ok(Token::new(EVENTS_TOKEN)),
            "STATUS_TOKEN" => Ok(Token::new("glpat-status")),
            other => Err(format!("there is no `{other}`")),
        }
    }

    fn write(&self, entry: &Entry<'_>) {
        assert!(entry.work.is_some() && entry.project == Some(PROJECT), "nobody knows what it is about: {entry:?}");
        self.log.borrow_mut().push(entry.line(self.now.get()));
    }
}

/// A signer whose signatures nobody checks here.
pub(crate) struct Pen;

impl Signer for Pen {
    fn public_key(&self) -> &PublicKey {
        const { &PublicKey::from_bytes([7; 32]) }
    }

    async fn sign(&self, _message: &[u8]) -> Result<Signature, SigningError> {
        Ok(Signature::from_bytes([7; 64]))
    }
}

pub(crate) const EVENTS_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// One project's edge.
pub(crate) struct Edge {
    pub(crate) record: Record<Database>,
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) gitlab: Instance,
    /// Whether its plan names a job that releases all that remain.
    has_all: bool,
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// What GitLab shows of a job that runs in an environment.
pub(crate) fn deployment_of(job: u64, environment: &str) -> Value {
    let deployable = json!({"id": job, "pipeline": {"id": PIPELINE}});
    json!({"id": job, "status": "created", "environment": {"name": environment}, "deployable": deployable})
}

impl Edge {
    /// With packages `one` and `two` staged, and this configuration of the project and what comes after it.
    pub(crate) fn new(more: &str) -> Self {
        Self::planned(more, false)
    }

    /// The same, with a job that releases all that remain.
    pub(crate) fn with_all(more: &str) -> Self {
        Self::planned(more, true)
    }

    fn planned(more: &str, has_all: bool) -> Self {
        let config = config(more);
        let gitlab = Instance::new(config.gitlab.url.clone(), Token::new("t"));
        let record = record();
        let host = Host {
            now: Cell::new(NOW),
            answers: RefCell::default(),
            deployments: RefCell::default(),
            sent: RefCell::default(),
            meanwhile: RefCell::default(),
            orders: RefCell::default(),
            other: RefCell::default(),
            log: RefCell::default(),
            has_key: Cell::new(true),
        };
        let edge = Self { record, host, config, gitlab, has_all };
        for name in ["one", "two"] {
            edge.expects(name);
            edge.stages(name);
        }
        edge
    }

    /// A job of the pipeline.
    pub(crate) fn session() -> JobSession {
        session(PIPELINE)
    }

    /// A job of the pipeline declares a package more.
    pub(crate) fn expects(&self, name: &str) {
        self.expects_of(PIPELINE, name);
    }

    /// Another pipeline of the project stages a package.
    pub(crate) fn another_pipeline(&self, pipeline: u64, name: &str) {
        self.expects_of(pipeline, name);
        self.stages_of(pipeline, name);
    }

    /// A package that is left out on purpose.
    pub(crate) fn leaves_out(&self, name: &str) {
        self.plans(PIPELINE, &version(), name, Some("no such distro yet"));
    }

    /// The same pipeline has a package of another release.
    pub(crate) fn expects_in(&self, version: &Version, name: &str) {
        self.plans(PIPELINE, version, name, None);
    }

    /// A package of an older release had the file name of this one, with other bytes, and was taken back.
    pub(crate) fn took_back_the_name_of(&self, name: &str, older: &str) {
        let version = "1.1.0".parse().expect("a version");
        self.expects_in(&version, older);
        let filename = format!("{name}_1.2.0_amd64.deb");
        let file = StagedFile { filename, image: None, digest: digest(older), size: 3 };
        self.record.declare(&version, &key(older), &file, false, &session(PIPELINE), self.now()).expect("declared");
        self.took_back(older);
    }

    /// A package was released and taken back.
    pub(crate) fn took_back(&self, name: &str) {
        let taken_back = "UPDATE targets SET state = 'withdrawn' WHERE key = ?";
        self.record.sql().query(taken_back, &[name.into()]).expect("a target");
    }

    fn expects_of(&self, pipeline: u64, name: &str) {
        self.plans(pipeline, &version(), name, None);
    }

    fn plans(&self, pipeline: u64, version: &Version, name: &str, skip: Option<&str>) {
        let mut planned = planned(name, &[JAMMY]);
        planned.expect.release_all_job = self.has_all.then(|| RELEASE_ALL.to_owned());
        planned.expect.release_all_environment = self.has_all.then(|| "release/all".to_owned());
        planned.expect.skip = skip.map(str::to_owned);
        let by = session(pipeline);
        let policy = self.config.policy;
        self.record.expect(version, &by, &policy, Maturity::Final, &[planned], self.now()).expect("a plan");
    }

    /// A package's bytes are declared, and seen in staging.
    pub(crate) fn stages(&self, name: &str) {
        self.stages_of(PIPELINE, name);
    }

    fn stages_of(&self, pipeline: u64, name: &str) {
        let file =
            StagedFile { filename: format!("{name}_1.2.0_amd64.deb"), image: None, digest: digest(name), size: 3 };
        self.record.declare(&version(), &key(name), &file, false, &session(pipeline), self.now()).expect("declared");
        self.sees(name, &Sight::Declared);
    }

    /// A look at staging shows this.
    pub(crate) fn sees(&self, name: &str, sight: &Sight) {
        self.record.seen_in_staging(&version(), &key(name), JAMMY, &digest(name), sight, self.now()).expect("seen");
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.host.now.get()
    }

    /// Time passes.
    pub(crate) fn passes(&self, wait: Duration) {
        self.host.now.set(self.now() + wait);
    }

    /// The clock is set.
    pub(crate) fn is_at(&self, now: Timestamp) {
        self.host.now.set(now);
    }

    // ---- GitLab ----

    /// From now on this is answered to a `GET` of GitLab's API about the project. Status 0: the connection breaks.
    pub(crate) fn answers(&self, path: &str, status: u16, body: Value) {
        self.answers_to(&format!("GET /api/v4/projects/{PROJECT}/{path}"), status, body);
    }

    /// From now on this is answered.
    pub(crate) fn answers_to(&self, what: &str, status: u16, body: Value) {
        self.host.answers.borrow_mut().insert(what.to_owned(), (status, body));
    }

    /// Something is done while the next request is under way.
    pub(crate) fn meanwhile(self: &std::rc::Rc<Self>, act: impl FnOnce(&Self) + 'static) {
        let edge = std::rc::Rc::clone(self);
        *self.host.meanwhile.borrow_mut() = Some(Box::new(move || act(&edge)));
    }

    /// GitLab has a job of a package, played by person 7 a minute ago unless it says otherwise.
    pub(crate) fn has_job(&self, id: u64, name: &str, status: &str) -> Value {
        let job = json!({
            "id": id, "name": release_job(name), "status": status, "started_at": (self.now() - MINUTE).to_string(),
            "queued_duration": 0.25,
            "user": {"id": 7, "username": "mira"}, "pipeline": {"id": PIPELINE, "ref": "v1.2.0", "sha": "aa"},
        });
        self.answers(&format!("jobs/{id}"), 200, job.clone());
        self.host.deployments.borrow_mut().push(deployment_of(id, &format!("release/{name}")));
        job
    }

    /// GitLab has the job that releases all that remain, played by person 7.
    pub(crate) fn has_job_for_all(&self, id: u64, status: &str) {
        let mut job = self.has_job(id, "one", status);
        job["name"] = json!(RELEASE_ALL);
        self.answers(&format!("jobs/{id}"), 200, job);
    }

    /// GitLab says who started the pipeline, and how its job `qa` is.
    pub(crate) fn has_pipeline(&self, started_by: u64, qa: &str) {
        let user = json!({"id": started_by, "username": "x"});
        self.answers(&format!("pipelines/{PIPELINE}"), 200, json!({"id": PIPELINE, "status": "running", "user": user}));
        let jobs = json!([{"id": 3, "name": "qa", "status": qa}]);
        self.answers(&format!("pipelines/{PIPELINE}/jobs"), 200, jobs);
    }

    /// How often something was asked, by the end of its path.
    pub(crate) fn asked(&self, end: &str) -> usize {
        self.host.sent.borrow().iter().filter(|sent| sent.what.ends_with(end)).count()
    }

    /// What the operator's log says of something.
    pub(crate) fn logged(&self, of: &str) -> Vec<String> {
        self.host.log.borrow().iter().filter(|line| line.contains(of)).cloned().collect()
    }

    /// What was sent to somebody, by the beginning of method and path.
    pub(crate) fn sent(&self, what: &str) -> Vec<Sent> {
        self.host.sent.borrow().iter().filter(|sent| sent.what.starts_with(what)).cloned().collect()
    }

    // ---- what arrives ----

    /// A webhook arrives. `None`: it names nothing.
    pub(crate) fn hears(&self, body: &Value) -> Option<Kept> {
        let event = Event::parse(body.to_string().as_bytes()).expect("an event");
        let project = self.config.project("tug").expect("the project");
        let (named, otherwise) = named(event, project, &self.config)?;
        Some(self.record.keep_hints(&otherwise, &named, self.now()).expect("kept"))
    }

    /// A webhook says that a package's job was played.
    pub(crate) fn hears_of(&self, job: u64, name: &str) -> Option<Kept> {
        self.hears(&json!({
            "object_kind": "build", "project_id": PROJECT, "pipeline_id": PIPELINE, "build_id": job,
            "build_name": release_job(name), "build_status": "running",
        }))
    }

    /// A job asks by itself to release packages; [`ALL`] for all that remain.
    pub(crate) fn asks(&self, job: u64, names: &[&str]) -> Result<Vec<String>, Denied> {
        let accepted = self.asks_in_full(job, names)?;
        Ok(accepted.keys.iter().map(Key::to_string).collect())
    }

    pub(crate) fn asks_in_full(&self, job: u64, names: &[&str]) -> Result<Accepted, Denied> {
        let all = names == ALL;
        let keys: Vec<Key> = names.iter().filter(|_| !all).map(|name| key(name)).collect();
        self.calls(job, &keys, all)
    }

    /// A job asks by itself as it likes.
    pub(crate) fn calls(&self, job: u64, keys: &[Key], all: bool) -> Result<Accepted, Denied> {
        let session = JobSession { job_id: job, environment: self.environment_of(job), ..session(PIPELINE) };
        let (project, version) = (self.config.project("tug").expect("the project"), version());
        let call = Call { session: &session, version: &version, keys, all };
        let answer = job_call::promote(&self.record, &self.host, &self.config, project, Some(&self.gitlab), &call);
        match answer.now_or_never().expect("nothing waits") {
            Ok(accepted) => Ok(accepted),
            Err(Unanswered::Denied(denied)) => Err(denied),
            Err(Unanswered::Record(error)) => panic!("the record works: {error}"),
        }
    }

    /// The environment that GitLab signs for a job: the one that the plan says.
    fn environment_of(&self, job: u64) -> Option<String> {
        let path = format!("GET /api/v4/projects/{PROJECT}/jobs/{job}");
        let name = self.host.answers.borrow().get(&path)?.1["name"].as_str()?.to_owned();
        let key = name.strip_prefix("release: [").and_then(|name| name.strip_suffix(']'));
        Some(format!("release/{}", key.unwrap_or("all")))
    }

    /// Somebody changes something.
    pub(crate) fn changes(&self, by: &By, change: &Change) -> Result<(), Denied> {
        let project = self.config.project("tug").expect("the project");
        match changes::change(&self.record, &self.host, &self.config, project, &version(), by, change) {
            Ok(()) => Ok(()),
            Err(Unanswered::Denied(denied)) => Err(denied),
            Err(Unanswered::Record(error)) => panic!("the record works: {error}"),
        }
    }

    /// Somebody asks for a change that the record itself refuses. Why.
    pub(crate) fn changes_in_the_record(&self, by: &By, change: &Change) -> Result<(), String> {
        let project = self.config.project("tug").expect("the project");
        let changed = changes::change(&self.record, &self.host, &self.config, project, &version(), by, change);
        changed.map_err(|error| error.to_string())
    }

    /// The alarm goes off, and again for as long as it is due at once. When it is due next.
    pub(crate) fn drives(&self) -> Option<Timestamp> {
        for _ in 0..20 {
            let next = project::drive(&self.record, &self.host, &self.config, Some(&self.gitlab));
            let next = next.now_or_never().expect("nothing waits").expect("a working record");
            if next.is_none_or(|due_at| due_at > self.now() + Duration::from_millis(100)) {
                return next;
            }
        }
        panic!("the alarm is due at once for ever");
    }

    /// A package's job is played, and its webhook arrives and is looked into.
    pub(crate) fn plays(&self, job: u64, name: &str) {
        self.has_job(job, name, "running");
        self.hears_of(job, name);
        self.drives();
    }

    /// The same, and it is approved.
    pub(crate) fn approves(&self, job: u64, name: &str) {
        self.plays(job, name);
        assert_eq!(self.state(name), TargetState::Approved, "{:?}", self.audit());
    }

    // ---- what becomes of it ----

    fn target(&self, name: &str) -> Row {
        let rows = self.record.sql().query("SELECT state, problem FROM targets WHERE key = ?", &[name.into()]);
        rows.expect("rows").pop().expect("each has one target")
    }

    pub(crate) fn state(&self, name: &str) -> TargetState {
        self.target(name).text(0).expect("a word").parse().expect("a state")
    }

    /// What is said of a package's target: the problem's code, and what it is.
    pub(crate) fn problem(&self, name: &str) -> Option<(String, String)> {
        let row = self.target(name);
        let problem: Problem = serde_json::from_str(row.text_or_null(1).expect("a column")?).expect("a problem");
        Some((problem.code, problem.what))
    }

    /// Which approval is a package's newest.
    fn approval(&self, name: &str) -> u64 {
        let of = |job| self.record.approvals_of(&version(), &key(name), job).expect("approvals");
        (80..100).flat_map(of).max().unwrap_or_default()
    }

    pub(crate) fn question(&self, name: &str) -> Ask {
        Ask {
            project_id: PROJECT,
            version: version(),
            key: key(name),
            distro: JAMMY.to_owned(),
            approval: self.approval(name),
            digest: digest(name),
        }
    }

    /// The package's object asks whether its act may begin.
    pub(crate) fn may_act(&self, name: &str) -> May {
        self.may_act_under(&self.config, name)
    }

    /// The same when the edge was deployed with another configuration meanwhile.
    pub(crate) fn may_act_under(&self, config: &Config, name: &str) -> May {
        self.answer_to(config, &self.question(name))
    }

    pub(crate) fn answer_to(&self, config: &Config, ask: &Ask) -> May {
        let may = gates::may_act(&self.record, &self.host, config, Some(&self.gitlab), ask);
        may.now_or_never().expect("nothing waits").expect("a working record")
    }

    /// The package's object says how far its target is.
    pub(crate) fn reports(&self, name: &str, state: TargetState) {
        let (approval, report) = (self.approval(name), Report::of(JAMMY, state));
        let settled = self.record.settle(&version(), &key(name), approval, &report, &digest(name), self.now());
        settled.expect("a report");
    }

    /// What the audit says: action, subject and details, a row each.
    pub(crate) fn audit(&self) -> Vec<String> {
        let rows = audit::entries(self.record.sql(), 1, 1000).expect("rows");
        rows.into_iter()
            .map(|row| format!("{} {} {}", row.event.action, row.event.subject, row.event.details))
            .collect()
    }

    /// How many rows of the audit begin so.
    pub(crate) fn audited(&self, begins: &str) -> Vec<String> {
        self.audit().into_iter().filter(|row| row.starts_with(begins)).collect()
    }
}
