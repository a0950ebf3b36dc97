//! Who asks, and whether they may: every request from outside goes through here, by its row in [`ROUTES`].
//!
//! [`ROUTES`]: slipway_core::access::ROUTES

use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;

use futures_util::future::{join, join_all};
use slipway_core::access::browser::{self, Cookie, Sent};
use slipway_core::access::{
    Caller, Denied, For, Look, Pace, PersonSession, Right, Role, Roles, Running, may, measures, must_run, sight,
    still_runs,
};
use slipway_core::config::{Config, Project, Reading};
use slipway_core::log::work;
use slipway_core::secret::{JobSession, NotSealed, knows};
use slipway_core::sight::Sight;
use slipway_core::time::Timestamp;
use slipway_fetch::Fetch;
use slipway_gitlab::{AccessLevel, GetJob, Instance, JobStatus, role};
use slipway_view::page::{Act, Reader};
use slipway_wire::call;
use worker::{Env, Request, Response};

use crate::answer::{Answer, Problem};
use crate::message::{ToDirectory, tell};
use crate::{clock, counters, message, settings};

/// How long GitLab may take to tell a person's role, or how a job is.
const ASK_LIMIT: Duration = Duration::from_secs(5);

thread_local! {
    /// What GitLab has said of people's roles lately.
    static ROLES: RefCell<Roles> = RefCell::default();
    /// Who acted with a browser lately.
    static PACE: RefCell<Pace> = RefCell::default();
    /// How the jobs of sessions were lately.
    static RUNNING: RefCell<Running> = RefCell::default();
}

/// How somebody has shown who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// By what a program sends of its own accord.
    Bearer,
    /// By what a browser sends along, whoever has it send something.
    Cookie,
}

/// How much of a project whoever asks sees.
pub(crate) enum Seen<'a> {
    /// All of it.
    Whole(&'a Project),
    /// What is public of what they have named.
    Public(Outside<'a>),
}

/// A project from outside: there may be none of the name, and nobody is told.
#[derive(Clone, Copy)]
pub(crate) struct Outside<'a> {
    /// The project that is named.
    pub(crate) named: Option<&'a Project>,
    /// The one whose record is asked. Where none is named it is some other, so that both are answered alike.
    pub(crate) asked: Option<&'a Project>,
}

/// A request, and what it needs.
pub(crate) struct Asking<'a> {
    caller: Option<Caller>,
    by: By,
    right: Right,
    /// As the audit names it: `POST …/holds`.
    act: String,
    /// What they ask for, with its query: where a sign-in leads back to.
    path: String,
    /// What they may do with the project that they ask about, once that is known.
    acts: OnceCell<Vec<Act>>,
    /// Whether their session was ended elsewhere, as far as it was asked.
    is_over: Cell<bool>,
    /// Whether they read the project that they ask about only because anybody may.
    is_outsider: Cell<bool>,
    /// Whether GitLab does not answer what they may do.
    is_untold: Cell<bool>,
    env: &'a Env,
    config: &'a Config,
}

impl<'a> Asking<'a> {
    /// Who asks, for what needs this right. With a cookie they ask from a page of this edge, or only to read.
    pub(crate) async fn of(
        request: &Request,
        right: Right,
        segments: &[&str],
        env: &'a Env,
        config: &'a Config,
    ) -> Result<Self, Problem> {
        let method = request.method().to_string();
        let shown = match (right, segments) {
            // Anybody reads these, and whoever has signed in sees that they have.
            (Right::Open, ["help", ..]) => {
                kept(request, env, config)?.map(|person| (Caller::Person(person), By::Cookie))
            }
            (Right::Open, _) => None,
            _ => shown(request, env, config)?,
        };
        let by = shown.as_ref().map_or(By::Bearer, |(_, by)| *by);
        let caller = shown.map(|(caller, _)| caller);
        let act = format!("{method} {}", segments.last().copied().unwrap_or("/"));
        let asking = Self {
            caller,
            by,
            right,
            act,
            path: path(request)?,
            acts: OnceCell::new(),
            is_over: Cell::new(false),
            is_outsider: Cell::new(false),
            is_untold: Cell::new(false),
            env,
            config,
        };
        if by == By::Cookie && !browser::is_own(&asked_headers(request)?.sent(), &config.edge.url) {
            asking.record_foreign(segments).await;
            return Err(foreign());
        }
        Ok(asking)
    }

    /// Whoever asks, as the reader of a page. What they may do is known once their project is.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            name: self.person().filter(|_| !self.is_over.get()).map(|person| person.username.as_str()),
            may_sign_in: self.config.gitlab.application.is_some(),
            path: browser::landing(&self.path),
            may: self.acts.get().map_or(&[], Vec::as_slice),
            assets: settings::assets(),
            is_public: false,
            is_outsider: self.is_outsider.get(),
            is_untold: self.is_untold.get(),
        }
    }

    /// The person who asks, where one does.
    pub(crate) fn person(&self) -> Option<&PersonSession> {
        match &self.caller {
            Some(Caller::Person(person)) => Some(person),
            _ => None,
        }
    }

    /// A person who has signed in with a browser, where a page's form is for those alone.
    pub(crate) fn in_browser(&self) -> Result<(), Problem> {
        match (&self.caller, self.by) {
            (Some(Caller::Person(_)), By::Cookie) => Ok(()),
            (None, _) => Err(stranger()),
            (Some(_), _) => {
                let why = "This form is for people who have signed in with a browser. Programs use the API.";
                Err(Problem::new(403, "not-allowed", why))
            }
        }
    }

    /// Whoever asks, where the right was given to somebody who has shown who they are.
    pub(crate) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(stranger)
    }

    /// What the log calls all that comes of the job that asks, where one does.
    pub(crate) fn work(&self) -> Option<String> {
        match &self.caller {
            Some(Caller::Job(session)) => Some(work(session.project_id, session.job_id)),
            _ => None,
        }
    }

    /// The job that asks, where only jobs can.
    pub(crate) fn job(self) -> Result<JobSession, Problem> {
        match self.caller {
            Some(Caller::Job(session)) => Ok(session),
            _ => Err(stranger()),
        }
    }

    /// The project that is asked about, for somebody who may do this with it.
    pub(crate) async fn project(&self, name: &str) -> Result<&'a Project, Problem> {
        let is_read = matches!(self.right, Right::Glance | Right::Read | Right::List);
        if self.caller.is_none() && !(is_read && self.config.edge.reading == Reading::Anyone) {
            return Err(stranger());
        }
        let unknown = || self.unknown();
        // For a name that is none, all that is asked for a name is asked of another project: while GitLab does not answer, or after
        // a session was ended, both are refused alike.
        let project = self.config.project(name);
        let judged = self.may(project.or(self.config.projects.first()).ok_or_else(unknown)?).await?;
        let project = project.ok_or_else(unknown)?;
        match judged {
            Ok(()) => {
                self.still_runs(project).await?;
                self.learn_acts(project).await;
                Ok(project)
            }
            Err(Denied::Stranger) => Err(stranger()),
            Err(Denied::Unknown) => Err(unknown()),
            Err(Denied::NotAllowed(why)) => {
                // Whoever only looks at a form has asked for nothing yet.
                if !(self.is_page() && self.act.starts_with("GET ")) {
                    self.record(project, &why).await;
                }
                Err(Problem::new(403, "not-allowed", format!("{why}.")))
            }
        }
    }

    /// 404: there is no such project, for them. While GitLab does not answer whether they belong to it, nothing is told of any.
    fn unknown(&self) -> Problem {
        self.silence().unwrap_or_else(|| Problem::not_found("such project"))
    }

    /// Why nothing is told to a person whose roles GitLab does not tell. `None`: it does.
    fn silence(&self) -> Option<Problem> {
        self.person()?;
        ROLES.with_borrow(|roles| roles.silent(clock::now()).map(untold))
    }

    /// An address of this edge.
    pub(crate) fn address(&self, segments: &[&str]) -> String {
        self.config.edge.url.url(segments.iter().copied())
    }

    /// Whether whoever asks has shown who they are.
    pub(crate) fn is_somebody(&self) -> bool {
        self.caller.is_some()
    }

    /// What the route needs.
    pub(crate) fn right(&self) -> Right {
        self.right
    }

    /// How much of a project they see, by its name, for what is answered to those too who see what is public and nothing
    /// else.
    pub(crate) async fn sight(&self, name: &str) -> Result<Seen<'a>, Problem> {
        if self.config.edge.reading != Reading::Public {
            return Ok(Seen::Whole(self.project(name).await?));
        }
        let project = self.config.project(name);
        // For a name that is none, all that is asked for a name is asked of another project.
        let asked = project.or(self.config.projects.first());
        if let Some(asked) = asked {
            let level = match &self.caller {
                Some(Caller::Person(person)) => level(self.env, self.config, person, asked.id, For::Reading).await?,
                _ => None,
            };
            let seen = sight(self.caller.as_ref(), asked, level, self.config);
            if let (Some(project), Some(Sight::Whole)) = (project, seen) {
                self.still_runs(project).await?;
                self.learn_acts(project).await;
                return Ok(Seen::Whole(project));
            }
        }
        if let Some(problem) = self.silence() {
            return Err(problem);
        }
        // A project's number is no fact of the public place.
        let named = project.filter(|project| project.name.as_str() == name);
        Ok(Seen::Public(Outside { named, asked }))
    }

    /// The projects that may be known of.
    pub(crate) async fn visible(&self) -> Result<Vec<&'a Project>, Problem> {
        let (visible, untold) = self.judged().await?;
        untold.map_or(Ok(visible), Err)
    }

    /// The same, without those of which GitLab does not answer whether they may, for a page that says so. One such project takes no
    /// other's page away.
    pub(crate) async fn visible_so_far(&self) -> Result<Vec<&'a Project>, Problem> {
        match self.judged().await? {
            (visible, Some(problem)) if visible.is_empty() => Err(problem),
            (visible, untold) => {
                self.is_untold.set(untold.is_some());
                Ok(visible)
            }
        }
    }

    /// The projects that may be known of, and why that is not known of all.
    async fn judged(&self) -> Result<(Vec<&'a Project>, Option<Problem>), Problem> {
        if self.caller.is_none() && self.config.edge.reading != Reading::Anyone {
            return Err(stranger());
        }
        // A person's role is asked of GitLab for each project: one after the other, a page would wait for all of them.
        let projects = &self.config.projects;
        let judged = join_all(projects.iter().map(|project| self.may(project))).await;
        let (mut visible, mut untold) = (Vec::new(), None);
        for (project, may) in projects.iter().zip(judged) {
            match may {
                Ok(Ok(())) => visible.push(project),
                Ok(Err(_)) => {}
                Err(problem) if problem.status == 503 => untold = Some(problem),
                Err(problem) => return Err(problem),
            }
        }
        Ok((visible, untold))
    }

    /// Somebody who may do what the operator may.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        match self.caller {
            Some(Caller::Operator) => Ok(()),
            Some(_) => Err(Problem::new(403, "not-allowed", "This is for the operator's credential.")),
            None => Err(stranger()),
        }
    }

    /// Somebody who may read the numbers.
    pub(crate) fn collector(&self) -> Result<(), Problem> {
        match measures(self.caller.as_ref()) {
            Ok(()) => Ok(()),
            Err(Denied::Stranger) => Err(stranger()),
            Err(denied) => Err(Problem::new(403, "not-allowed", format!("{denied}."))),
        }
    }

    /// A person ends their sessions.
    pub(crate) async fn sign_out(&self) -> Answer {
        let Some(Caller::Person(person)) = &self.caller else { return Err(stranger()) };
        sign_out(self.env, person).await?;
        Ok(Response::empty()?.with_status(204))
    }

    async fn may(&self, project: &Project) -> Result<Result<(), Denied>, Problem> {
        // What is public is answered before. All that comes here is for those who read the project.
        let right = if matches!(self.right, Right::Glance | Right::List) { Right::Read } else { self.right };
        let is_read = right == Right::Read;
        let level = match &self.caller {
            Some(Caller::Person(person)) if !(is_read && self.config.edge.reading == Reading::Anyone) => {
                let wanted = if is_read || self.right == Right::Inspect {
                    For::Reading
                } else if self.by == By::Cookie {
                    if !PACE.with_borrow_mut(|pace| pace.may_act(person.user_id, clock::now())) {
                        return Err(too_often());
                    }
                    For::ActingInBrowser
                } else {
                    For::Acting
                };
                level(self.env, self.config, person, project.id, wanted).await?
            }
            _ => None,
        };
        Ok(may(right, self.caller.as_ref(), project, level, self.config))
    }

    /// What the reader of a page is led to, and a person with a browser offered to do. It is judged again when they do it.
    async fn learn_acts(&self, project: &Project) {
        if !self.is_page() {
            return;
        }
        let known = match self.person() {
            Some(person) => Some(role_of(self.env, self.config, person, project.id, For::Reading).await),
            None => None,
        };
        let role = match known.transpose() {
            Ok(role) => role,
            // Whoever cannot be looked up now reads all the same.
            Err(problem) => {
                self.is_outsider.set(self.config.edge.reading == Reading::Anyone);
                self.is_untold.set(problem.status == 503 && self.by == By::Cookie);
                return self.is_over.set(problem.status == 401);
            }
        };
        let level = role.and_then(|role| role.level);
        let may = |right| may(right, self.caller.as_ref(), project, level, self.config).is_ok();
        self.is_outsider.set(!may(Right::Inspect));
        let Some(role) = role.filter(|_| self.by == By::Cookie) else { return };
        // While GitLab does not answer nobody acts, and nobody is offered to.
        if !role.is_current() {
            return self.is_untold.set(true);
        }
        let acts = [Act::Hold, Act::Lift, Act::Extend, Act::Close];
        let acts = acts.into_iter().filter(|act| may(right_of(*act))).collect();
        // Of two lookups of one request, the first one stays: both say the same.
        let _ = self.acts.set(acts);
    }

    fn is_page(&self) -> bool {
        !self.path.starts_with("/api/")
    }

    /// Somebody's browser was had to ask for something, by a page that is not of this edge. The audit of a project that they
    /// belong to says so.
    async fn record_foreign(&self, segments: &[&str]) {
        let (["p", name, ..] | ["api", "v1", "projects", name, ..]) = segments else { return };
        let (Some(person), Some(project)) = (self.person(), self.config.project(name)) else { return };
        let Ok(level) = level(self.env, self.config, person, project.id, For::Acting).await else { return };
        if may(Right::Inspect, self.caller.as_ref(), project, level, self.config).is_ok() {
            self.record(project, "a page of another origin had their browser ask for it").await;
        }
    }

    /// What a job may do ends with the job.
    async fn still_runs(&self, project: &Project) -> Result<(), Problem> {
        // Whoever shows nothing has no job, and only reads.
        let look = self.caller.as_ref().and_then(|caller| must_run(self.right, caller));
        let Some(Look { session, goes_on }) = look else { return Ok(()) };
        let now = clock::now();
        let known = RUNNING.with_borrow(|running| running.status(session, now).cloned());
        let status = match known {
            Some(status) => status,
            None => match status(self.env, self.config, session).await {
                Ok(status) => {
                    RUNNING.with_borrow_mut(|running| running.learn(session, status.clone(), now));
                    status
                }
                Err(_) if goes_on => return Ok(()),
                Err(problem) => return Err(problem),
            },
        };
        if let Err(ended) = still_runs(session.job_id, &status) {
            self.record(project, &ended.to_string()).await;
            return Err(Problem::new(403, "job-ended", format!("{ended}.")));
        }
        Ok(())
    }

    /// Somebody who may ask this of the project is refused for what they ask: its audit says so.
    pub(crate) async fn refused_here(&self, project: &Project, why: &str) -> Result<(), Problem> {
        message::refuse(self.env, project.id, self.caller()?.to_string(), &self.act, why).await;
        Ok(())
    }

    /// A refusal goes into the audit of the caller's own project: nobody writes into that of another.
    async fn record(&self, project: &Project, why: &str) {
        let Ok(caller) = self.caller() else { return };
        let of = match caller {
            Caller::Job(session) => session.project_id,
            Caller::Deployer(_) => return,
            Caller::Person(_) | Caller::Operator | Caller::Collector => project.id,
        };
        message::refuse(self.env, of, caller.to_string(), &self.act, why).await;
    }
}

/// 429: somebody acts faster than any hand. Their role would be asked of GitLab each time.
fn too_often() -> Problem {
    let why =
        "You have asked for this more often than one person does in a minute; nothing was done. Try again in a minute.";
    Problem::new(429, "too-often", why)
}

fn stranger() -> Problem {
    counters::count("nothing");
    Problem::unauthorised()
}

/// 403: a browser asks for something that no page of this edge has asked for.
pub(crate) fn foreign() -> Problem {
    counters::count("origin");
    let why = "Whoever has signed in with a browser acts from this dashboard's own pages alone. Open the page here and try again.";
    Problem::new(403, "foreign-origin", why)
}

/// The right that an act of a page needs.
pub(crate) fn right_of(act: Act) -> Right {
    match act {
        Act::Hold | Act::Extend => Right::Hold,
        Act::Lift => Right::Lift,
        Act::Close => Right::Close,
    }
}

/// What is asked for, with its query.
pub(crate) fn path(request: &Request) -> Result<String, Problem> {
    let url = request.url()?;
    Ok(url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
}

/// The headers by which a browser says what asks.
struct AskedHeaders {
    method: String,
    upgrade: Option<String>,
    origin: Option<String>,
    fetch_site: Option<String>,
}

fn asked_headers(request: &Request) -> Result<AskedHeaders, Problem> {
    let headers = request.headers();
    Ok(AskedHeaders {
        // As it was sent: one that is not known is no `GET`.
        method: request.inner().method(),
        upgrade: headers.get("upgrade")?,
        origin: headers.get("origin")?,
        fetch_site: headers.get("sec-fetch-site")?,
    })
}

impl AskedHeaders {
    fn sent(&self) -> Sent<'_> {
        Sent {
            method: &self.method,
            upgrades: self.upgrade.is_some(),
            origin: self.origin.as_deref(),
            fetch_site: self.fetch_site.as_deref(),
        }
    }
}

/// Whether a page of this edge has made a request.
pub(crate) fn is_of_own_page(request: &Request, config: &Config) -> Result<bool, Problem> {
    Ok(browser::is_of_own_page(&asked_headers(request)?.sent(), &config.edge.url))
}

/// The person whose session a browser keeps. What does not open is as good as nothing: it ends by itself, and nobody is kept from
/// signing in anew.
pub(crate) fn kept(request: &Request, env: &Env, config: &Config) -> Result<Option<PersonSession>, Problem> {
    let header = request.headers().get("cookie")?.unwrap_or_default();
    let Some(text) = Cookie::Session.shown(&config.edge.url, &header) else { return Ok(None) };
    match Caller::open(text, &settings::edge_key(env)?, clock::now()) {
        Ok(Caller::Person(person)) => Ok(Some(person)),
        _ => Ok(None),
    }
}

/// What a request shows of its caller. Something that proves nothing is refused at once, and told apart from nothing only
/// in the count. A browser's cookie counts where nothing else is shown.
fn shown(request: &Request, env: &Env, config: &Config) -> Result<Option<(Caller, By)>, Problem> {
    let Some(header) = request.headers().get("authorization")? else {
        return Ok(kept(request, env, config)?.map(|person| (Caller::Person(person), By::Cookie)));
    };
    let unknown = || {
        counters::count("session");
        Problem::unauthorised()
    };
    let text = header.strip_prefix("Bearer ").ok_or_else(unknown)?.trim();
    for (name, caller) in
        [(&config.edge.operator_token, Caller::Operator), (&config.edge.metrics_token, Caller::Collector)]
    {
        // One that is named and not set is known by nobody, and keeps nobody else out: `readyz` names it.
        if let Some(name) = name
            && let Ok(secret) = settings::secret(env, name)
            && knows(text, &secret)
        {
            return Ok(Some((caller, By::Bearer)));
        }
    }
    match Caller::open(text, &settings::edge_key(env)?, clock::now()) {
        Ok(caller) => Ok(Some((caller, By::Bearer))),
        Err(NotSealed::Ended(at)) => Err(ended(at)),
        Err(NotSealed::Forged) => Err(unknown()),
    }
}

/// A person's role in a project. Refused where they have signed out since their session began.
async fn level(
    env: &Env,
    config: &Config,
    person: &PersonSession,
    project_id: u64,
    wanted: For,
) -> Result<Option<AccessLevel>, Problem> {
    Ok(role_of(env, config, person, project_id, wanted).await?.level)
}

/// What is known of a person in a project, as [`level`].
async fn role_of(
    env: &Env,
    config: &Config,
    person: &PersonSession,
    project_id: u64,
    wanted: For,
) -> Result<Role, Problem> {
    let now = clock::now();
    let of = (person.user_id, project_id);
    match ROLES.with_borrow(|roles| roles.believed(of, wanted, now)) {
        Some(role) => goes_on(person, role.signed_out_at).map(|()| role),
        None => ask(env, config, person, project_id, wanted, now).await,
    }
}

/// Whether a person's session goes on: they have not signed out since it began.
fn goes_on(person: &PersonSession, signed_out_at: Option<Timestamp>) -> Result<(), Problem> {
    match signed_out_at.filter(|at| person.began_at() <= *at) {
        Some(at) => Err(ended(at)),
        None => Ok(()),
    }
}

/// How the job of a session is now.
async fn status(env: &Env, config: &Config, session: &JobSession) -> Result<JobStatus, Problem> {
    let instance = Instance::new(config.gitlab.url.clone(), settings::secret(env, &config.gitlab.token)?);
    let asked = GetJob { instance: &instance, project_id: session.project_id, job_id: session.job_id };
    let job = call(&Fetch::new(ASK_LIMIT), &asked).await.map_err(|error| {
        let why = format!("Cannot read from GitLab whether job {} still runs: {error}. Try again.", session.job_id);
        Problem::new(503, "gitlab-unreachable", why)
    })?;
    Ok(job.status)
}

/// Asks GitLab for the role of a person in a project, and the directory whether they have signed out: that needs no GitLab.
async fn ask(
    env: &Env,
    config: &Config,
    person: &PersonSession,
    project_id: u64,
    wanted: For,
    now: Timestamp,
) -> Result<Role, Problem> {
    let of = (person.user_id, project_id);
    let instance = Instance::new(config.gitlab.url.clone(), settings::secret(env, &config.gitlab.token)?);
    let (directory, signed_out) = (message::directory(env)?, ToDirectory::SignedOut { user_id: person.user_id });
    let http = Fetch::new(ASK_LIMIT);
    let asked = role(&http, &instance, project_id, person.user_id);
    let (level, signed_out) = join(asked, tell(&directory, &signed_out)).await;
    let signed_out_at = serde_json::from_str(&signed_out?.text().await?)?;
    goes_on(person, signed_out_at)?;
    match level {
        Ok(level) => {
            let role = Role { told_at: now, level, signed_out_at, unanswered_at: None };
            ROLES.with_borrow_mut(|roles| roles.learn(of, role));
            Ok(role)
        }
        Err(error) => {
            let why = error.to_string();
            let known = ROLES.with_borrow_mut(|roles| roles.unanswered(of, wanted, signed_out_at, &why, now));
            known.ok_or_else(|| untold(&why))
        }
    }
}

/// 503: what somebody may do is not known.
fn untold(why: &str) -> Problem {
    Problem::new(503, "gitlab-unreachable", format!("Cannot read your role from GitLab: {why}. Try again."))
}

/// Ends every session of a person that has begun by now: here at once, elsewhere as soon as their role is asked again.
pub(crate) async fn sign_out(env: &Env, person: &PersonSession) -> Result<(), Problem> {
    let user_id = person.user_id;
    let answer = tell(&message::directory(env)?, &ToDirectory::SignOut { user_id }).await?;
    ROLES.with_borrow_mut(|roles| roles.forget(user_id));
    match answer.status_code() {
        200 => Ok(()),
        status => Err(worker::Error::RustError(format!("the directory answered a sign-out with {status}")).into()),
    }
}

fn ended(at: Timestamp) -> Problem {
    let next = "open a new one with a fresh ID token, or sign in again";
    Problem::new(401, "session-ended", format!("The session ended at {at}; {next}."))
}
