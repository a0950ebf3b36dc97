//! `slipway doctor`: whether everything that a release needs is as it must be, before it is needed.
//!
//! It asks what it has credentials for, and says what it could not ask. Nothing is written anywhere: that a token could write to a
//! public place is read from the list of repositories that its user may write to. A registry has no such list, so an upload
//! is begun there and given up at once.
//!
//! The edge alone has the tokens that it holds. It looks at them itself, and tells the operator what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::header::DATE;
use serde::Serialize;
use slipway_core::api::{Package, Policy, PolicyReleasers, Readiness, Release, Stranger, SweptRepository, Verdict};
use slipway_core::cargo::registry_name;
use slipway_core::gate::is_of;
use slipway_core::readiness::{Lasts, lasts};
use slipway_core::release::{TargetState, Version};
use slipway_core::time::Timestamp;
use slipway_fetch::Fetch;
use slipway_oci::Session;
use slipway_packagecloud::{Account, ListRepositories};
use slipway_wire::{Base, Http, Response, Token, call};

use crate::args;
use crate::edge::{self, Edge};
use crate::exit::{Exit, Failure};
use crate::gitlab::{Gitlab, Hook};
use crate::host;
use crate::image::{self, Reach};
use crate::say::Say;
use crate::settings::{self, Settings};

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How far two clocks may be apart. An ID token opens a session in its first five minutes, and its times are compared to the
/// second.
const SKEW_MAX_MS: i64 = 30_000;
/// How long Slipway may take to list a pipeline's jobs, once something of it is staged. Longer than it waits between two looks.
const LISTED_WITHIN: Duration = Duration::from_mins(2);
/// How many strangers of a repository are named.
const STRANGERS_SHOWN: usize = 5;

/// One answer.
#[derive(Debug, Serialize)]
struct Outcome {
    check: &'static str,
    verdict: Verdict,
    found: String,
}

/// What is examined, and what was found so far.
struct Visit {
    say: Say,
    outcomes: Vec<Outcome>,
}

impl Visit {
    fn note(&mut self, check: &'static str, verdict: Verdict, found: impl Into<String>) {
        let found = found.into();
        let word = match verdict {
            Verdict::Good => "good",
            Verdict::Finding => "FINDING",
            Verdict::NotAsked => "not asked",
        };
        self.say.line(&format!("{word:<9}  {check:<20}  {found}"));
        self.outcomes.push(Outcome { check, verdict, found });
    }

    fn good(&mut self, check: &'static str, found: impl Into<String>) {
        self.note(check, Verdict::Good, found);
    }

    fn finding(&mut self, check: &'static str, found: impl Into<String>) {
        self.note(check, Verdict::Finding, found);
    }

    fn not_asked(&mut self, check: &'static str, why: impl Into<String>) {
        self.note(check, Verdict::NotAsked, why);
    }
}

/// What the examination has to go by. Each part may be missing, and is then said to be.
pub(crate) struct Subject {
    pub(crate) edge: Base,
    /// Who asks the edge about which release.
    pub(crate) settings: Result<Settings, Failure>,
    /// Whether the settings' version was named; else it stands for none.
    pub(crate) is_version_named: bool,
    /// A person's token of GitLab, and what it came from.
    pub(crate) gitlab_token: Option<(Token, &'static str)>,
    /// The address of GitLab, where the environment has it.
    pub(crate) gitlab: Option<Base>,
    pub(crate) staging_token: Option<Token>,
    /// The operator's credential.
    pub(crate) operator_token: Option<Token>,
    /// The number of the project, where the environment has it.
    pub(crate) project: Option<u64>,
}

/// Runs the command.
pub(crate) async fn examine(options: &args::Doctor, subject: Subject, say: Say) -> Result<(), Failure> {
    let mut visit = Visit { say, outcomes: Vec::new() };
    let timeout_s = options.timeout_s;
    let answer = get(&subject.edge, "/healthz").await.and_then(|answer| {
        let is_slipway = answer.status().is_server_error() || answer.body().trim_ascii() == b"ok";
        let other = || format!("{} answers, and is no Slipway: check `SLIPWAY_URL`", subject.edge.as_str());
        if is_slipway { Ok(answer) } else { Err(other()) }
    });
    let is_there = answer.is_ok();
    clock(&mut visit, "edge reachable", "edge clock", "Slipway", answer);
    let gitlab = match edge::sign_in(&subject.edge, if is_there { timeout_s.min(10) } else { 0 }).await {
        Ok(Some(sign_in)) => {
            visit.good("sign-in", format!("people sign in at {}", sign_in.gitlab));
            subject.gitlab.clone().or_else(|| sign_in.gitlab.parse().ok())
        }
        Ok(None) => {
            visit.not_asked("sign-in", "this Slipway has nobody sign in (`application` under `[gitlab]`)");
            subject.gitlab.clone()
        }
        Err(_) if !is_there => subject.gitlab.clone(),
        Err(error) => {
            visit.finding("sign-in", error.sentences());
            subject.gitlab.clone()
        }
    };
    if is_there {
        secrets(&mut visit, &subject).await;
    }
    let (policy, release) = if is_there { ask_edge(&mut visit, &subject, timeout_s).await } else { Default::default() };
    let project = subject.project.or_else(|| release.as_ref().map(|release| release.project.id));
    let project = project.or_else(|| policy.as_ref().map(|policy| policy.project.id));
    let gitlab = gitlab.map(|base| Gitlab::new(base, subject.gitlab_token.as_ref().map(|(token, _)| token.clone())));
    match &gitlab {
        None => visit.not_asked("GitLab", "its address is not known: set `SLIPWAY_GITLAB_URL`, or `CI_SERVER_URL`"),
        Some(gitlab) => {
            ask_gitlab(&mut visit, &subject, gitlab, project).await;
            gates(&mut visit, gitlab, policy.as_ref(), release.as_ref()).await;
        }
    }
    if let Some(release) = &release {
        manual_jobs(&mut visit, gitlab.as_ref(), release).await;
    }
    places(&mut visit, &subject, policy.as_ref(), release.as_ref()).await;

    let findings: Vec<String> = visit
        .outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Finding)
        .map(|outcome| format!("{}: {}", outcome.check, outcome.found))
        .collect();
    say.answer(&visit.outcomes)?;
    if findings.is_empty() {
        say.line("no findings");
        return Ok(());
    }
    let count = if findings.len() == 1 { "1 finding".to_owned() } else { format!("{} findings", findings.len()) };
    Err(Failure::new(Exit::Findings, count, findings))
}

/// Any answer from a server.
async fn get(base: &Base, path: &str) -> Result<Response, String> {
    let request = http::Request::get(base.join(path)).body(Vec::new()).map_err(|error| error.to_string())?;
    Fetch::new(ANSWER_DEADLINE).send(request).await.map_err(|error| error.to_string())
}

/// Whether a server answers, and whether its clock agrees with this machine's.
fn clock(
    visit: &mut Visit,
    reachable: &'static str,
    clock: &'static str,
    name: &str,
    answer: Result<Response, String>,
) {
    let answer = match answer {
        Err(why) => return visit.finding(reachable, why),
        Ok(answer) => answer,
    };
    let status = answer.status();
    if status.is_server_error() {
        visit.finding(reachable, format!("{name} answers {}", status.as_u16()));
    } else {
        visit.good(reachable, format!("{name} answers"));
    }
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(date_ms);
    let here = host::date().parse::<Timestamp>().ok();
    match (date, here) {
        (Some(there), Some(Timestamp(here))) => {
            let skew = (here - there).abs();
            let words = format!("{name}'s clock and this machine's are {} s apart", skew / 1000);
            if skew > SKEW_MAX_MS {
                visit.finding(clock, format!("{words}; ID tokens are refused by wrong clocks: set this one by NTP"));
            } else {
                visit.good(clock, words);
            }
        }
        _ => visit.not_asked(clock, format!("{name}'s answer has no `Date`")),
    }
}

/// A date of HTTP (RFC 9110, section 5.6.7), in milliseconds since 1970.
fn date_ms(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut parts = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    let Timestamp(moment) = format!("{year}-{month:02}-{day}T{time}.000Z").parse().ok()?;
    Some(moment)
}

/// The edge's own view: whether this caller is let in, the policy, and the release, where one is named.
async fn ask_edge(visit: &mut Visit, subject: &Subject, timeout_s: u32) -> (Option<Policy>, Option<Release>) {
    let settings = match &subject.settings {
        Ok(settings) => settings,
        Err(failure) => {
            visit.not_asked("session", failure.lines.join("; "));
            return (None, None);
        }
    };
    let edge = match Edge::open(settings, timeout_s.min(30)).await {
        Ok((edge, _)) => edge,
        Err(failure) => {
            visit.finding("session", failure.lines.join("; "));
            return (None, None);
        }
    };
    if settings.credential.is_some() {
        visit.good("session", "Slipway lets this caller in");
    } else {
        visit.not_asked("session", "nobody is signed in, and this is no job");
    }
    let policy = match edge.policy().await {
        Ok(policy) => {
            let (routes, gates) = (policy.routes.len(), policy.gates.len());
            visit.good("policy", format!("{routes} routes and {gates} gates apply, policy {}", policy.policy));
            visit.good("who releases", who(&policy.releasers));
            if routes == 0 {
                visit.finding("routes", "no route applies to this project: nothing of it can be staged");
            }
            Some(policy)
        }
        Err(error) => {
            visit.finding("policy", error.sentences());
            None
        }
    };
    match edge.strangers().await {
        Ok(strangers) => strangers.repositories.iter().for_each(|repository| swept(visit, repository)),
        Err(error) => visit.not_asked("strangers", error.sentences()),
    }
    // Where packages go is read from a release: the one that is named, or the newest.
    let version = if subject.is_version_named {
        Some(settings.version.clone())
    } else {
        match edge.releases().await {
            Ok(releases) => releases.into_iter().next().map(|release| release.version),
            Err(error) => {
                visit.not_asked("release", format!("which releases there are: {}", error.sentences()));
                None
            }
        }
    };
    let release = match &version {
        Some(version) => match edge.release_of(version).await {
            Ok(release) => Some(release),
            Err(error) => {
                visit.not_asked("release", format!("{version}: {}", error.sentences()));
                None
            }
        },
        None => None,
    };
    (policy, release)
}

async fn ask_gitlab(visit: &mut Visit, subject: &Subject, gitlab: &Gitlab, project: Option<u64>) {
    let address = gitlab.base();
    let token = subject.gitlab_token.as_ref();
    let answer = gitlab.version().await.map_err(|error| error.to_string());
    clock(visit, "GitLab reachable", "GitLab clock", "GitLab", answer);
    let Some((_, source)) = token else {
        let why = format!("no token of {address}: run `slipway login --api`, or set `SLIPWAY_GITLAB_TOKEN`");
        visit.not_asked("GitLab token", why.clone());
        visit.not_asked("webhook", why);
        return;
    };
    match gitlab.token().await {
        Ok(facts) => {
            let scopes = facts.scopes.join(", ");
            let name = format!("{source}, `{}`, has the scopes {scopes}", facts.name);
            if facts.is_over() {
                visit.finding("GitLab token", format!("{name}, and is not active any more"));
            } else {
                expiry(visit, &name, facts.expires_at.as_deref());
            }
            if !facts.may("api") {
                visit.finding("play jobs", format!("{source} cannot play jobs: that needs the scope `api`"));
            }
        }
        Err(_) => match gitlab.grant().await {
            Ok(grant) => {
                let words = format!("{source} has the scopes {}", grant.scope.join(", "));
                let left = grant.expires_in.map(|seconds| format!(", for {} min more", seconds / 60));
                visit.good("GitLab token", format!("{words}{}", left.unwrap_or_default()));
            }
            Err(error) => visit.finding("GitLab token", format!("{source}: {error}")),
        },
    }
    let Some(project) = project else {
        return visit.not_asked("webhook", "the project's number is not known: set `SLIPWAY_PROJECT` to it");
    };
    match gitlab.hooks(project).await {
        Ok(hooks) => {
            let wrong = webhook(&subject.edge, project, &hooks);
            if wrong.is_empty() {
                visit.good("webhook", format!("project {project} tells Slipway of jobs, pipelines and deployments"));
            }
            for line in wrong {
                visit.finding("webhook", line);
            }
        }
        Err(error) if error.status().is_some_and(|status| matches!(status.as_u16(), 401 | 403 | 404)) => {
            visit.not_asked(
                "webhook",
                format!("{source} may not read the hooks of project {project}: a maintainer may"),
            );
        }
        Err(error) => visit.finding("webhook", error.to_string()),
    }
}

/// A token's last day, `2026-12-31`.
fn expiry(visit: &mut Visit, name: &str, day: Option<&str>) {
    let Some(day) = day else { return visit.good("GitLab token", format!("{name}, and does not expire")) };
    match host::date().parse::<Timestamp>().map(|now| lasts(day, now)) {
        Ok(Lasts::Short) => {
            visit.finding("GitLab token", format!("{name}, and expires on {day}: make a new one now"));
        }
        Ok(Lasts::Long) => visit.good("GitLab token", format!("{name}, and expires on {day}")),
        _ => visit.not_asked("GitLab token", format!("{name}; its last day, `{day}`, cannot be read")),
    }
}

/// Why GitLab does not tell Slipway of all that it must.
fn webhook(edge: &Base, project: u64, hooks: &[Hook]) -> Vec<String> {
    let ours = format!("{edge}/webhooks/gitlab/");
    // One of another project's number beside the right one does no harm.
    let right = format!("{ours}{project}");
    let hook = hooks.iter().find(|hook| hook.url == right);
    let Some(hook) = hook.or_else(|| hooks.iter().find(|hook| hook.url.starts_with(&ours))) else {
        let next = format!("add one to {right} with Job events (Settings → Webhooks)");
        return vec![format!("project {project} has none to Slipway: {next}")];
    };
    let mut wrong = Vec::new();
    if hook.url != right {
        wrong.push(format!("it goes to `{}`, and must end in `/{project}`", hook.url));
    }
    if !hook.job_events {
        wrong.push("it has no Job events: clicks reach Slipway by its sweep only, up to a minute late".to_owned());
    }
    if !hook.pipeline_events {
        wrong.push("it has no Pipeline events, which tell of played jobs a second time".to_owned());
    }
    if !hook.deployment_events {
        wrong.push(
            "it has no Deployment events: gates that wait for an environment open by the sweep only, up to a minute late"
                .to_owned(),
        );
    }
    if hook.enable_ssl_verification == Some(false) && hook.url.starts_with("https:") {
        wrong.push("it does not verify Slipway's certificate, so anybody in between reads its secret".to_owned());
    }
    if let Some(status) = hook.alert_status.as_deref().filter(|status| *status != "executable") {
        let until = hook.disabled_until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        wrong.push(format!(
            "GitLab has switched it off ({status}{until}): look at its last deliveries, then test it there"
        ));
    }
    wrong
}

/// What the edge says of its own secrets.
async fn secrets(visit: &mut Visit, subject: &Subject) {
    match get(&subject.edge, "/readyz").await {
        Ok(answer) if answer.status().is_success() => visit.good("edge ready", "the edge has every secret it needs"),
        Ok(answer) => {
            let status = answer.status().as_u16();
            let next = "a secret of it is missing or has not its form; its log names it";
            visit.finding("edge ready", format!("the edge answers {status}: {next}"));
        }
        Err(why) => visit.finding("edge ready", why),
    }
    let Some(token) = &subject.operator_token else {
        let next = "set `SLIPWAY_OPERATOR_TOKEN` to the secret that `operator_token` in `slipway.toml` names";
        return visit.not_asked("edge secrets", format!("the edge tells the operator alone what it found: {next}"));
    };
    match edge::readiness(&subject.edge, token).await {
        Ok(readiness) => told(visit, &readiness),
        Err(error) => visit.finding("edge secrets", error.lines().join(" ")),
    }
}

/// What a public repository has that did not come through Slipway.
fn swept(visit: &mut Visit, of: &SweptRepository) {
    let SweptRepository { repository, baseline, swept_at, strangers, more, trouble, .. } = of;
    if let Some(trouble) = trouble {
        return visit.finding("strangers", format!("{repository} cannot be read: {trouble}"));
    }
    let (Some(_), Some(swept_at)) = (baseline, swept_at) else {
        return visit.not_asked("strangers", format!("{repository} was not read yet; within the hour it will be"));
    };
    let names: Vec<String> = strangers.iter().take(STRANGERS_SHOWN).map(stranger_name).collect();
    let more = more.saturating_add(u64::try_from(strangers.len().saturating_sub(names.len())).unwrap_or(u64::MAX));
    let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
    if names.is_empty() {
        return visit
            .good("strangers", format!("{repository} has nothing that did not come through Slipway ({swept_at})"));
    }
    let next = "remove it there, or adopt it (docs/operators/strangers.md)";
    visit.finding(
        "strangers",
        format!("{repository} has {}{and_more}, not released by Slipway: {next}", names.join(", ")),
    );
}

fn stranger_name(stranger: &Stranger) -> String {
    let parts = [&stranger.distro, &stranger.tag, &stranger.filename];
    let name = parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let said = match stranger.why.as_str() {
        "differs" if stranger.of_another => format!("`{name}` with other bytes than another project's release"),
        "withdrawn" if stranger.of_another => format!("`{name}`, which another project withdrew"),
        "differs" => format!("`{name}` with other bytes than its release"),
        "withdrawn" => format!("`{name}`, which was withdrawn"),
        _ => format!("`{name}`"),
    };
    // A tag's name says nothing of where it leads.
    match (&stranger.tag, stranger.digest, stranger.expected) {
        (Some(_), Some(digest), Some(expected)) => format!("the tag {said} ({digest}, not {expected})"),
        (Some(_), Some(digest), None) => format!("the tag {said} ({digest})"),
        _ => said,
    }
}

fn told(visit: &mut Visit, readiness: &Readiness) {
    for secret in &readiness.secrets {
        let line = format!("`{}` ({}): {}", secret.name, secret.uses.join("; "), secret.found.join("; "));
        visit.note("edge secret", secret.verdict, line);
    }
}

/// Who may release, in a sentence.
fn who(releasers: &PolicyReleasers) -> String {
    let mut who = match &releasers.people {
        None => "whoever GitLab lets play the job".to_owned(),
        Some(people) => {
            let ids: Vec<String> = people.iter().map(ToString::to_string).collect();
            format!("the people with GitLab's ids {}", ids.join(", "))
        }
    };
    if let Some(levels) = &releasers.levels {
        let levels: Vec<&str> = levels.iter().map(|level| level.as_str()).collect();
        who = format!("{who}, with the role {}", levels.join(" or "));
    }
    if releasers.protected_environment {
        who.push_str(", from a protected environment");
    }
    who
}

/// Whether the gates can ever open: that what they wait for is there. And which are closed now.
async fn gates(visit: &mut Visit, gitlab: &Gitlab, policy: Option<&Policy>, release: Option<&Release>) {
    let Some(policy) = policy else { return };
    for gate in &policy.gates {
        let who = (gate.versions.join(", "), gate.keys.join(", "));
        visit.good("gate", format!("for `{}` of `{}`: {}", who.1, who.0, gate.asks.join(" ")));
    }
    if policy.releasers.protected_environment {
        match gitlab.protected_environments(policy.project.id).await {
            Ok(environments) if environments.is_empty() => visit.finding(
                "protection",
                "releases are from protected environments alone, and the project protects none: nobody can release \
                 (Settings → CI/CD → Protected environments)",
            ),
            Ok(environments) => visit.good("protection", format!("{} environments are protected", environments.len())),
            Err(error) => visit.not_asked("protection", format!("which environments are protected: {error}")),
        }
    }
    let Some(release) = release else { return };
    for (why, packages) in closed(&release.packages) {
        visit.good("closed gate", format!("{} {packages} packages wait: {why}", release.version));
    }
    let wanted: BTreeSet<&str> = policy.gates.iter().flat_map(|gate| &gate.jobs).map(String::as_str).collect();
    if wanted.is_empty() {
        return;
    }
    for pipeline in &release.pipelines {
        match gitlab.jobs(policy.project.id, pipeline.id).await {
            Ok(jobs) => {
                let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
                for name in wanted.iter().filter(|name| !names.iter().any(|job| is_of(job, name))) {
                    let line = format!("a gate waits for the job `{name}`, and pipeline {} has none", pipeline.id);
                    visit.finding("gate jobs", format!("{line}: it never opens"));
                }
                visit.good("gate jobs", format!("pipeline {} was looked through", pipeline.id));
            }
            Err(error) => {
                visit.not_asked("gate jobs", format!("the jobs of pipeline {}: {error}", pipeline.id));
            }
        }
    }
}

/// Whether pages lead to the manual jobs of what can be released now; and where they do not, whether there is such a job.
async fn manual_jobs(visit: &mut Visit, gitlab: Option<&Gitlab>, release: &Release) {
    let staged = release.packages.iter().filter(|package| staged_since(package).is_some());
    let linked = staged.filter(|package| package.job_url.is_some()).count();
    if linked > 0 {
        visit.good("manual jobs", format!("pages of {} lead to the very jobs of {linked} packages", release.version));
    }
    for (pipeline, packages) in unlinked(release) {
        let listed = match gitlab {
            Some(gitlab) => gitlab.jobs(release.project.id, pipeline).await.map_err(|error| error.to_string()),
            None => Err("GitLab's address is not known here".to_owned()),
        };
        let names = listed.map(|jobs| jobs.into_iter().map(|job| job.name).collect::<Vec<_>>());
        let names = names.as_ref().map(Vec::as_slice).map_err(String::as_str);
        for line in without_job(&release.version, pipeline, &packages, names) {
            visit.finding("manual jobs", line);
        }
    }
}

/// Since when the first target of a package could be released.
fn staged_since(package: &Package) -> Option<Timestamp> {
    let staged = package.targets.iter().filter(|target| target.state == TargetState::Staged);
    staged.filter_map(|target| target.since.parse().ok()).min()
}

/// What could be released for a while, and by a job to which no page leads; by pipeline.
fn unlinked(release: &Release) -> BTreeMap<u64, Vec<&Package>> {
    let mut unlinked: BTreeMap<u64, Vec<&Package>> = BTreeMap::new();
    let Ok(now) = release.at.parse::<Timestamp>() else { return unlinked };
    for package in release.packages.iter().filter(|package| package.job_url.is_none()) {
        if staged_since(package).is_some_and(|since| since + LISTED_WITHIN <= now) {
            unlinked.entry(package.pipeline_id).or_default().push(package);
        }
    }
    unlinked
}

/// What is the matter with packages of a pipeline to whose jobs no page leads. `names` are the jobs that it has, or why they
/// cannot be read here.
fn without_job(version: &Version, pipeline: u64, packages: &[&Package], names: Result<&[String], &str>) -> Vec<String> {
    let own = "its own token (`[gitlab] token`) has to see the project and read its jobs";
    let of = |packages: &[&&Package]| {
        let names: Vec<String> = packages.iter().map(|package| format!("`{}`", package.release_job)).collect();
        format!("{} in pipeline {pipeline} of {version}", names.join(", "))
    };
    let (there, absent): (Vec<&&Package>, Vec<&&Package>) = match names {
        Ok(names) => packages.iter().partition(|package| names.contains(&package.release_job)),
        Err(why) => {
            let all: Vec<&&Package> = packages.iter().collect();
            let jobs = of(&all);
            return vec![format!("pages lead to no {jobs}; whether GitLab has it was not seen ({why}). If so, {own}")];
        }
    };
    let mut lines = Vec::new();
    if !absent.is_empty() {
        let next = "whoever writes the pipeline gives it a manual job of the name that the plan says";
        lines.push(format!("GitLab has no job {}, so nobody can play it: {next}", of(&absent)));
    }
    if !there.is_empty() {
        lines.push(format!(
            "GitLab has {}, and Slipway has not found it, so pages lead to the pipeline: {own}",
            of(&there)
        ));
    }
    lines
}

/// What keeps packages back now, and how many.
fn closed(packages: &[Package]) -> BTreeMap<&str, usize> {
    let mut closed = BTreeMap::new();
    for blocked in packages.iter().flat_map(|package| &package.blocked) {
        *closed.entry(blocked.why.as_str()).or_default() += 1;
    }
    closed
}

/// A repository at a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    url: String,
    repository: String,
}

/// Where packages are staged, and where they become public: as the policy says, and as the release says that began with an
/// older one.
fn sites(policy: Option<&Policy>, release: Option<&Release>) -> (BTreeSet<Place>, BTreeSet<Place>) {
    let at = |url: &String, repository: &String| Place { url: url.clone(), repository: repository.clone() };
    let (mut staging, mut public) = (BTreeSet::new(), BTreeSet::new());
    for place in policy.iter().flat_map(|policy| &policy.places) {
        staging.extend(place.staging.iter().map(|repository| at(&place.url, repository)));
        public.extend(place.public.iter().map(|repository| at(&place.url, repository)));
    }
    for package in release.iter().flat_map(|release| &release.packages) {
        staging.insert(at(&package.staging.url, &package.staging.repository));
        public.extend(package.targets.iter().map(|target| at(&target.public.url, &target.public.repository)));
    }
    (staging, public)
}

/// Whether the package servers can be reached, and whether the staging token can write where it must, and nowhere else.
async fn places(visit: &mut Visit, subject: &Subject, policy: Option<&Policy>, release: Option<&Release>) {
    let (mut staging, mut public) = sites(policy, release);
    for server in staging.union(&public).map(|place| place.url.as_str()).collect::<BTreeSet<_>>() {
        let answer = match server.parse::<Base>() {
            Ok(base) => get(&base, "/").await,
            Err(error) => Err(error.to_string()),
        };
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_server_error() => {
                visit.finding("place reachable", format!("{server} answers {}", status.as_u16()));
            }
            Ok(_) => visit.good("place reachable", format!("{server} answers")),
            Err(why) => visit.finding("place reachable", why),
        }
    }
    let registries = registries_of(policy, release);
    let of_images = |places: &mut BTreeSet<Place>| -> BTreeSet<Place> {
        let (images, others) = std::mem::take(places).into_iter().partition(|place| registries.contains(&place.url));
        *places = others;
        images
    };
    let (staged, released) = (of_images(&mut staging), of_images(&mut public));
    look_at_registries(visit, policy, &staged, &released).await;
    if staging.is_empty() && !staged.is_empty() {
        return;
    }
    if staging.is_empty() {
        let why =
            "where packages are staged is not known: Slipway shows neither a policy nor a release of this project";
        return visit.not_asked("staging token", why);
    }
    let Some(token) = &subject.staging_token else {
        return visit.not_asked("staging token", "`SLIPWAY_STAGING_TOKEN` is not set");
    };
    for server in staging.iter().map(|place| place.url.as_str()).collect::<BTreeSet<_>>() {
        let writes = match writes(server, token).await {
            Ok(writes) => writes,
            Err(why) => {
                visit.finding("staging token", format!("{server}: {why}"));
                continue;
            }
        };
        for Place { repository, .. } in staging.iter().filter(|place| place.url == server) {
            match writes.get(repository) {
                None => visit.finding(
                    "staging token",
                    format!("its user may not write {repository} at {server}: nothing can be staged there"),
                ),
                Some(Some(false)) => visit.finding(
                    "staging token",
                    format!("anybody can read {repository} at {server}, in which packages are staged: make it private"),
                ),
                Some(_) => visit.good(
                    "staging token",
                    format!("its user may write {repository} at {server}; packagecloud's tokens do not expire"),
                ),
            }
        }
        // At which server a public name is does not matter: it is none that a staging token should be able to write.
        let names: BTreeSet<&String> = public.iter().map(|place| &place.repository).collect();
        let reached: Vec<&&String> = names.iter().filter(|repository| writes.contains_key(**repository)).collect();
        if reached.is_empty() {
            visit.good("staging reach", "its user may write no public repository");
        }
        for repository in reached {
            visit.finding(
                "staging reach",
                format!(
                    "every build job can publish: the user of `SLIPWAY_STAGING_TOKEN` may write the public {repository}. Give \
                     staging a user of its own, and make it a collaborator of the private repository alone"
                ),
            );
        }
    }
}

/// The addresses that are registries of images: as the policy says, and as the release shows.
fn registries_of(policy: Option<&Policy>, release: Option<&Release>) -> BTreeSet<String> {
    let named = policy.iter().flat_map(|policy| &policy.places).filter(|place| place.kind == "registry");
    let mut registries: BTreeSet<String> = named.map(|place| place.url.clone()).collect();
    for package in release.iter().flat_map(|release| &release.packages) {
        if package.targets.iter().any(|target| target.tag.is_some()) {
            registries.insert(package.staging.url.clone());
            registries.extend(package.targets.iter().map(|target| target.public.url.clone()));
        }
    }
    registries
}

/// Whether this job reads the images that it stages, and cannot publish one; and whether anybody can.
async fn look_at_registries(
    visit: &mut Visit,
    policy: Option<&Policy>,
    staged: &BTreeSet<Place>,
    released: &BTreeSet<Place>,
) {
    let http = Fetch::new(ANSWER_DEADLINE);
    let staging_servers: BTreeSet<&str> = staged.iter().map(|place| place.url.as_str()).collect();
    for (place, is_public) in
        staged.iter().map(|place| (place, false)).chain(released.iter().map(|place| (place, true)))
    {
        let Place { url, repository: name } = place;
        let (base, repository) = match (url.parse::<Base>(), name.parse()) {
            (Ok(base), Ok(repository)) => (base, repository),
            (Err(error), _) => {
                visit.finding("registry", error.to_string());
                continue;
            }
            (_, Err(error)) => {
                visit.finding("registry", format!("{url}: {error}"));
                continue;
            }
        };
        let host = registry_name(base.as_str());
        let own = settings::registry_realm(&host::variable, &host);
        let open = image::registry(base, None, policy, own);
        match image::reach(&Session::new(&open), &http, &repository).await {
            Ok(Reach::Push) => {
                visit
                    .finding("registry", format!("anybody can push to {name} at {host}: have it ask for a credential"));
            }
            Ok(Reach::Pull) if !is_public => visit.finding(
                "registry",
                format!("anybody can read {name} at {host}, in which images are staged: make it private"),
            ),
            Ok(Reach::Pull) => visit.good("registry", format!("anybody can read {name} at {host}")),
            Ok(Reach::Nothing) if is_public => visit.good("registry", format!("{name} at {host} wants a credential")),
            Ok(Reach::Nothing) => visit.good("registry", format!("{name} at {host} is private")),
            Err(error) => {
                visit.finding("registry", error.to_string());
                continue;
            }
        }
        // A credential is shown to the registry that it is for, and to no other.
        if is_public && !staging_servers.contains(url.as_str()) {
            continue;
        }
        let credential = match settings::registry_user(&host::variable, &host) {
            Ok(Some(credential)) => credential,
            Ok(None) => {
                let next = "set `SLIPWAY_REGISTRY_USER` and `SLIPWAY_REGISTRY_PASSWORD`, or run this in a job";
                visit.not_asked("registry user", format!("nobody is known at {host}: {next}"));
                continue;
            }
            Err(failure) => {
                visit.finding("registry user", failure.lines.join("; "));
                continue;
            }
        };
        let user = format!("`{}`", credential.user);
        let known = slipway_oci::Registry { credential: Some(credential), ..open };
        match (image::reach(&Session::new(&known), &http, &repository).await, is_public) {
            (Ok(Reach::Nothing), false) => visit.finding(
                "registry user",
                format!("{user} may not read {name} at {host}: no image can be staged by its reference"),
            ),
            (Ok(_), false) => visit.good("registry user", format!("{user} reads {name} at {host}")),
            (Ok(Reach::Push), true) => visit.finding(
                "registry reach",
                format!(
                    "every build job can publish: {user} may push to the public {name} at {host}. Give it a project or a \
                     user of its own"
                ),
            ),
            (Ok(_), true) => visit.good("registry reach", format!("{user} may not push to {name} at {host}")),
            (Err(error), _) => visit.finding("registry user", error.to_string()),
        }
    }
}

/// The repositories that a token's user may write to, and whether each is private.
async fn writes(server: &str, token: &Token) -> Result<BTreeMap<String, Option<bool>>, String> {
    let base: Base = server.parse().map_err(|error| format!("{error}"))?;
    let account = Account::new(base, token.clone());
    call(&Fetch::new(ANSWER_DEADLINE), &ListRepositories { account: &account }).await.map_err(|error| {
        match error.status().map(|status| status.as_u16()) {
            Some(401) => "`SLIPWAY_STAGING_TOKEN` is not a token of this server".to_owned(),
            _ => format!("the list of the token's repositories cannot be read: {error}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read() {
        assert_eq!(date_ms("Mon, 23 Nov 2026 09:00:00 GMT"), Some(1_795_424_400_000));
        for text in [
            "",
            "Mon, 23 Nob 2026 09:00:00 GMT",
            "Mon, 23 ovD 2026 09:00:00 GMT",
            "Monday, 23-Nov-26 09:00:00 GMT",
            "2026-11-23",
        ] {
            assert_eq!(date_ms(text), None, "{text}");
        }
    }

    /// A release read at 10:04, with packages as `(key, state, since, has an address)`, all of pipeline 31.
    fn release(packages: &[(&str, &str, &str, bool)]) -> Release {
        let packages: Vec<serde_json::Value> = packages
            .iter()
            .map(|(key, state, since, has_address)| {
                serde_json::json!({
                    "key": key, "pipeline_id": 31, "release_job": format!("release: [{key}]"),
                    "job_url": has_address.then_some("https://gitlab.example.com/harbour/tug/-/jobs/81"),
                    "staging": {"url": "", "repository": ""},
                    "targets": [{
                        "distro": "ubuntu/jammy", "public": {"url": "", "repository": ""}, "state": state,
                        "since": format!("2026-11-23T{since}:00.000Z"), "attempts": 0,
                    }],
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "state": "staged", "verdict": "", "sequence": 1,
            "at": "2026-11-23T10:04:00.000Z", "pipelines": [], "packages": packages,
        }))
        .expect("a release")
    }

    #[test]
    fn what_was_staged_for_two_minutes_and_has_no_link_to_its_job_is_looked_into() {
        let release = release(&[
            ("linked", "staged", "09:00", true),
            ("unlinked", "staged", "10:02", false),
            ("fresh", "staged", "10:03", false),
            ("released", "released", "09:00", false),
            ("expected", "expected", "09:00", false),
        ]);
        let found = unlinked(&release);
        let keys: Vec<&str> = found[&31].iter().map(|package| package.key.as_str()).collect();
        assert_eq!((found.len(), keys), (1, vec!["unlinked"]));
    }

    #[test]
    fn a_job_that_the_pipeline_lacks_is_told_from_one_that_slipway_has_not_found() {
        let release = release(&[("a", "staged", "09:00", false), ("b", "staged", "09:00", false)]);
        let packages: Vec<&Package> = release.packages.iter().collect();
        let said = |names: Result<&[String], &str>| without_job(&release.version, 31, &packages, names);
        let names = ["release: [a]".to_owned(), "build".to_owned()];
        let both = said(Ok(&names));
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(both[0].starts_with("GitLab has no job `release: [b]` in pipeline 31 of 1.2.0"), "{both:?}");
        assert!(
            both[1].starts_with("GitLab has `release: [a]` in pipeline 31 of 1.2.0, and Slipway has not"),
            "{both:?}"
        );
        let unseen = said(Err("status 401"));
        assert_eq!(unseen.len(), 1, "{unseen:?}");
        for part in ["`release: [a]`, `release: [b]`", "was not seen (status 401)"] {
            assert!(unseen[0].contains(part), "{unseen:?}");
        }
    }

    fn right() -> Hook {
        Hook {
            url: "https://slipway.example.com/webhooks/gitlab/7".to_owned(),
            job_events: true,
            pipeline_events: true,
            deployment_events: true,
            enable_ssl_verification: Some(true),
            alert_status: Some("executable".to_owned()),
            disabled_until: None,
        }
    }

    fn hook(change: impl Fn(&mut Hook)) -> Vec<String> {
        let mut hook = right();
        change(&mut hook);
        webhook(&"https://slipway.example.com".parse().expect("an address"), 7, &[hook])
    }

    #[test]
    fn a_webhook_that_cannot_tell_slipway_is_a_finding() {
        assert_eq!(hook(|_| ()), [""; 0]);
        for (found, part) in [
            (hook(|hook| hook.url = "https://other.example.com/".to_owned()), "has none to Slipway"),
            (hook(|hook| hook.url.push('0')), "must end in `/7`"),
            (hook(|hook| hook.job_events = false), "no Job events"),
            (hook(|hook| hook.pipeline_events = false), "no Pipeline events"),
            (hook(|hook| hook.deployment_events = false), "no Deployment events"),
            (hook(|hook| hook.enable_ssl_verification = Some(false)), "does not verify"),
            (hook(|hook| hook.alert_status = Some("disabled".to_owned())), "switched it off"),
        ] {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(part), "{found:?} {part}");
        }
    }

    #[test]
    fn the_webhook_of_the_project_is_the_one_that_counts() {
        let other = Hook { url: "https://slipway.example.com/webhooks/gitlab/70".to_owned(), ..right() };
        let edge = "https://slipway.example.com".parse().expect("an address");
        for hooks in [[other, right()], [right(), Hook { job_events: false, ..right() }]] {
            assert_eq!(webhook(&edge, 7, &hooks), [""; 0], "{:?}", hooks.map(|hook| hook.url));
        }
    }
}
