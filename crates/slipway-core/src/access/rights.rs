//! Which right each route needs, and who has it.

use slipway_gitlab::AccessLevel;

use super::caller::{Caller, DeployerSession};
use crate::config::{Config, Project, Reading};
use crate::secret::JobSession;
use crate::sight::Sight;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing: it tells no secret, or it brings its own proof.
    Open,
    /// To know of some project. The answer shows those alone that the caller may read.
    List,
    /// To see what is public, of a project or of all; all of it, for whoever reads it. [`sight`] says which.
    Glance,
    /// To read a project's releases.
    Read,
    /// To have servers asked for what is answered: whoever belongs to the project. A stranger's question costs no request.
    Inspect,
    /// To say what a release consists of, or to move its bytes: jobs of the project.
    Declare,
    /// To release: jobs of the project. Which job, played by whom, is judged later.
    Release,
    /// To say what runs where: jobs of the project, and of its deployers.
    Deploy,
    /// To stop what has not begun.
    Hold,
    /// To let go on what somebody stopped.
    Lift,
    /// To give a release up.
    Close,
    /// To take back what is public.
    Withdraw,
    /// To ask for a gate to be passed over. Whether the gate names this person is judged later.
    Override,
    /// To see how the edge itself is: the operator's credential.
    Operate,
    /// To read its numbers: a credential for that alone, or the operator's.
    Measure,
}

/// A route and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// The path. `{name}` is one segment, `{name...}` one or more.
    pub path: &'static str,
    /// What it needs.
    pub right: Right,
}

const fn row(method: &'static str, path: &'static str, right: Right) -> Row {
    Row { method, path, right }
}

/// Every route of the edge. One that is not here is not there.
pub const ROUTES: &[Row] = &[
    row("GET", "/healthz", Right::Open),
    row("GET", "/readyz", Right::Open),
    row("GET", "/readyz/secrets", Right::Operate),
    row("GET", "/openapi.json", Right::Open),
    row("GET", "/assets/{name}", Right::Open),
    row("GET", "/assets/{build}/{name}", Right::Open),
    row("GET", "/help/keys", Right::Open),
    row("GET", "/help/states", Right::Open),
    row("GET", "/slipway.tgz", Right::Open),
    row("GET", "/slipway.tgz.sha256", Right::Open),
    row("GET", concat!("/slipway-", env!("CARGO_PKG_VERSION"), ".tgz"), Right::Open),
    row("GET", concat!("/slipway-", env!("CARGO_PKG_VERSION"), ".tgz.sha256"), Right::Open),
    // These bring their own proof: a webhook's signature, an ID token, a one-time capability.
    row("POST", "/webhooks/gitlab/{project}", Right::Open),
    row("POST", "/api/v1/sessions", Right::Open),
    row("POST", "/internal/copy", Right::Open),
    row("GET", "/api/v1/sign-in", Right::Open),
    row("GET", "/api/v1/signing-key", Right::Open),
    // GitLab's answer is the proof; whoever signs out shows what they have.
    row("GET", "/sign-in", Right::Open),
    row("GET", "/sign-in/return", Right::Open),
    row("POST", "/sign-out", Right::Open),
    // Somebody ends what they have shown.
    row("DELETE", "/api/v1/sessions", Right::List),
    row("GET", "/metrics", Right::Measure),
    row("GET", "/api/v1/stop", Right::Operate),
    row("POST", "/api/v1/stop", Right::Operate),
    row("DELETE", "/api/v1/stop", Right::Operate),
    row("POST", "/api/v1/projects/{project}/stop", Right::Operate),
    row("DELETE", "/api/v1/projects/{project}/stop", Right::Operate),
    row("GET", "/api/v1/projects/{project}/export", Right::Operate),
    row("POST", "/api/v1/projects/{project}/import", Right::Operate),
    row("GET", "/api/v1/projects/{project}/comparison", Right::Operate),
    row("GET", "/", Right::Glance),
    row("GET", "/search", Right::List),
    row("GET", "/status", Right::List),
    row("GET", "/api/v1/projects", Right::Glance),
    row("GET", "/p/{project}", Right::Glance),
    row("GET", "/p/{project}/r/{version}", Right::Glance),
    row("GET", "/p/{project}/r/{version}/t/{key}/{target...}", Right::Glance),
    row("GET", "/p/{project}/is/{version}/{what...}", Right::Glance),
    row("GET", "/api/v1/projects/{project}/badge.svg", Right::Glance),
    row("GET", "/api/v1/projects/{project}/feed.atom", Right::Glance),
    row("GET", "/api/v1/projects/{project}/releases/{version}/badge.svg", Right::Glance),
    row("GET", "/api/v1/projects/{project}/releases/{version}/feed.atom", Right::Glance),
    row("GET", "/p/{project}/activity", Right::Read),
    row("GET", "/p/{project}/deployments", Right::Read),
    row("GET", "/p/{project}/r/{version}/against", Right::Inspect),
    // Forms of people who have signed in with a browser.
    row("GET", "/p/{project}/r/{version}/hold", Right::Hold),
    row("POST", "/p/{project}/r/{version}/hold", Right::Hold),
    row("GET", "/p/{project}/r/{version}/lift", Right::Lift),
    row("POST", "/p/{project}/r/{version}/lift", Right::Lift),
    row("GET", "/p/{project}/r/{version}/extend", Right::Hold),
    row("POST", "/p/{project}/r/{version}/extend", Right::Hold),
    row("GET", "/p/{project}/r/{version}/close", Right::Close),
    row("POST", "/p/{project}/r/{version}/close", Right::Close),
    row("GET", "/api/v1/projects/{project}/releases", Right::Glance),
    row("GET", "/api/v1/projects/{project}/policy", Right::Read),
    row("GET", "/api/v1/projects/{project}/audit", Right::Read),
    row("GET", "/api/v1/projects/{project}/activity", Right::Read),
    row("GET", "/api/v1/projects/{project}/deployments", Right::Read),
    row("GET", "/api/v1/projects/{project}/strangers", Right::Read),
    row("POST", "/api/v1/projects/{project}/strangers", Right::Operate),
    row("POST", "/api/v1/projects/{project}/adoptions", Right::Operate),
    row("POST", "/api/v1/projects/{project}/sweeps", Right::Operate),
    row("GET", "/api/v1/projects/{project}/audit/head", Right::Read),
    row("GET", "/api/v1/projects/{project}/audit/heads", Right::Read),
    row("GET", "/api/v1/projects/{project}/retention", Right::Inspect),
    row("GET", "/api/v1/projects/{project}/releases/{version}", Right::Glance),
    row("GET", "/api/v1/projects/{project}/releases/{version}/live", Right::Read),
    row("GET", "/api/v1/projects/{project}/releases/{version}/against", Right::Inspect),
    row("GET", "/api/v1/projects/{project}/releases/{version}/targets/{key}/{target...}", Right::Glance),
    row("GET", "/api/v1/projects/{project}/releases/{version}/attestations/{key}/{target...}", Right::Glance),
    row("PATCH", "/api/v1/projects/{project}/releases/{version}", Right::Declare),
    row("POST", "/api/v1/projects/{project}/releases/{version}/carries", Right::Declare),
    row("POST", "/api/v1/projects/{project}/releases/{version}/promotions", Right::Release),
    row("POST", "/api/v1/projects/{project}/releases/{version}/deployments", Right::Deploy),
    row("POST", "/api/v1/projects/{project}/releases/{version}/holds", Right::Hold),
    row("DELETE", "/api/v1/projects/{project}/releases/{version}/holds", Right::Lift),
    row("POST", "/api/v1/projects/{project}/releases/{version}/extensions", Right::Hold),
    row("POST", "/api/v1/projects/{project}/releases/{version}/close", Right::Close),
    row("POST", "/api/v1/projects/{project}/releases/{version}/withdrawals", Right::Withdraw),
    row("POST", "/api/v1/projects/{project}/releases/{version}/overrides", Right::Override),
];

/// The paths of what the edge has for itself alone. Their methods are told to nobody: there they are, or nothing is.
const OWN: &str = "/internal/";

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A route: what it needs. `HEAD` is answered as `GET`, without the body.
    Route(Right),
    /// There is something at the path, but not for this method: the methods that there are, as `Allow` lists them.
    OtherMethod(String),
    /// There is nothing.
    Nothing,
}

/// What a method and a path ask for. Methods are told apart by their exact text: `get` is not `GET`.
pub fn asked(method: &str, segments: &[&str]) -> Asked {
    let read = if method == "HEAD" { "GET" } else { method };
    let rows = || ROUTES.iter().filter(|row| fits(row.path, segments));
    if let Some(row) = rows().find(|row| row.method == read) {
        return Asked::Route(row.right);
    }
    let mut methods = Vec::new();
    for row in rows().filter(|row| !row.path.starts_with(OWN)) {
        methods.push(row.method);
        if row.method == "GET" {
            methods.push("HEAD");
        }
    }
    if methods.is_empty() {
        return Asked::Nothing;
    }
    methods.push("OPTIONS");
    Asked::OtherMethod(methods.join(", "))
}

/// The row of a request, for the log: of what a stranger sends, only what is written in the table.
pub fn route(method: &str, segments: &[&str]) -> Option<&'static Row> {
    let read = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|row| row.method == read && fits(row.path, segments))
}

fn fits(path: &str, segments: &[&str]) -> bool {
    let mut given = segments.iter();
    for wanted in path.split('/').filter(|part| !part.is_empty()) {
        let Some(segment) = given.next() else { return false };
        if wanted.ends_with("...}") {
            return true;
        }
        if !wanted.starts_with('{') && wanted != *segment {
            return false;
        }
    }
    given.next().is_none()
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// They have shown nothing. They learn nothing.
    #[error("who asks is not known")]
    Stranger,
    /// They may not know of the project.
    #[error("the project is none of theirs")]
    Unknown,
    /// They know of the project, and may not do this.
    #[error("{0}")]
    NotAllowed(String),
}

/// Whether a caller has a right in a project. `level` is a person's role there, looked up before; for others it is not used.
pub fn may(
    right: Right,
    caller: Option<&Caller>,
    project: &Project,
    level: Option<AccessLevel>,
    config: &Config,
) -> Result<(), Denied> {
    if right == Right::Open {
        return Ok(());
    }
    let reads = reads(caller, project, level, config);
    if matches!(right, Right::Glance | Right::Read | Right::List) {
        let is_shown = right == Right::Glance && config.edge.reading == Reading::Public;
        return if reads || is_shown {
            Ok(())
        } else if caller.is_none() {
            Err(Denied::Stranger)
        } else {
            Err(Denied::Unknown)
        };
    }
    let Some(caller) = caller else { return Err(Denied::Stranger) };
    let denied = |why: String| if reads { Err(Denied::NotAllowed(why)) } else { Err(Denied::Unknown) };
    let ladder = |level: Option<AccessLevel>, least: AccessLevel| {
        if level.is_some_and(|level| level >= least) {
            return Ok(());
        }
        let own = level.map_or("none", AccessLevel::as_str);
        denied(format!("This takes at least the role {least} in {}; yours is {own}", project.name))
    };
    match (caller, right) {
        (Caller::Job(session), _) if session.project_id != project.id => {
            denied("This session belongs to another project".to_owned())
        }
        (Caller::Job(_), Right::Inspect | Right::Declare | Right::Release | Right::Deploy)
        | (
            Caller::Operator,
            Right::Inspect | Right::Hold | Right::Lift | Right::Close | Right::Withdraw | Right::Operate,
        )
        | (_, Right::Open | Right::List | Right::Glance | Right::Read) => Ok(()),
        (Caller::Deployer(session), Right::Deploy) if deploys(session, project, config) => Ok(()),
        // Numbers are of all projects, so nobody's role in one counts.
        (_, Right::Measure) => measures(Some(caller)),
        (Caller::Collector, _) => denied("This credential reads numbers, and nothing else".to_owned()),
        (_, Right::Operate) => denied("This is for the operator's credential".to_owned()),
        (Caller::Deployer(_), _) => denied("A deployer's job reads, says what runs where, and nothing else".to_owned()),
        (Caller::Job(JobSession { user_level: level, .. }), Right::Hold) => ladder(*level, AccessLevel::Developer),
        (Caller::Person(_), Right::Hold | Right::Lift) => ladder(level, AccessLevel::Developer),
        // Stopping is safe whoever asks for it. What a job's script may undo, nobody has stopped.
        (Caller::Job(_), Right::Lift) => {
            denied("A hold is lifted by a person signed in themselves, or by the operator".to_owned())
        }
        // A closed release stays closed.
        (Caller::Job(_), Right::Close) => {
            denied("A release is closed by a person signed in themselves, or by the operator".to_owned())
        }
        // What is taken back is gone for everybody, so no script does it.
        (Caller::Job(_), Right::Withdraw) => {
            denied("What is public is taken back by a person signed in themselves, or by the operator".to_owned())
        }
        (Caller::Person(_), Right::Close | Right::Withdraw) => ladder(level, AccessLevel::Maintainer),
        // The gate itself names people.
        (Caller::Person(_), Right::Inspect | Right::Override) => ladder(level, AccessLevel::Reporter),
        // The script of a job may be anybody's, whoever played it.
        (Caller::Job(_) | Caller::Operator, Right::Override) => {
            denied("A gate is passed over by a person whom it names, signed in themselves".to_owned())
        }
        (Caller::Person(_) | Caller::Operator, Right::Declare | Right::Release | Right::Deploy) => {
            denied("Only a job of the project does this; play the manual job in GitLab".to_owned())
        }
    }
}

/// How much of a project a caller sees. `None`: nothing at all.
pub fn sight(caller: Option<&Caller>, project: &Project, level: Option<AccessLevel>, config: &Config) -> Option<Sight> {
    if reads(caller, project, level, config) {
        Some(Sight::Whole)
    } else if config.edge.reading == Reading::Public {
        Some(Sight::Public)
    } else {
        None
    }
}

/// Whether somebody may read the numbers of the edge.
pub fn measures(caller: Option<&Caller>) -> Result<(), Denied> {
    match caller {
        Some(Caller::Operator | Caller::Collector) => Ok(()),
        Some(_) => Err(Denied::NotAllowed(
            "This is for the operator's credential, or for the one that reads numbers".to_owned(),
        )),
        None => Err(Denied::Stranger),
    }
}

/// Whether a deployer of today's configuration deploys a project. A session outlives no change of it.
fn deploys(session: &DeployerSession, project: &Project, config: &Config) -> bool {
    config.deployers.iter().any(|of| of.id == session.job.project_id && of.projects.contains(&project.name))
}

/// Whether a deployer speaks for an environment: for its own alone, by today's configuration.
pub fn speaks_for(session: &DeployerSession, environment: &str, config: &Config) -> bool {
    let deployer = config.deployers.iter().find(|deployer| deployer.id == session.job.project_id);
    deployer.is_some_and(|deployer| deployer.environments.iter().any(|own| own == environment))
}

fn reads(caller: Option<&Caller>, project: &Project, level: Option<AccessLevel>, config: &Config) -> bool {
    match caller {
        _ if config.edge.reading == Reading::Anyone => true,
        None | Some(Caller::Collector) => false,
        // It has to see when all is staged, and which bytes those are.
        Some(Caller::Deployer(session)) => deploys(session, project, config),
        Some(Caller::Job(session)) => session.project_id == project.id,
        Some(Caller::Person(_)) => level.is_some_and(|level| level >= AccessLevel::Reporter),
        Some(Caller::Operator) => true,
    }
}
