//! `slipway doctor`: whether everything that a release needs is as it must be, before it is needed.
//!
//! It asks what it has credentials for, and says what it could not ask. Nothing is written anywhere: that a token could write to a
//! public place is read from the list of repositories that its user may write to.
//!
//! Absent on purpose: the tokens that the edge holds. It alone has them, and says of them what its own readiness tells.

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, DATE};
use serde::{Deserialize, Serialize};
use slipway_core::api::{Policy, Release};
use slipway_core::time::Timestamp;
use slipway_fetch::Fetch;
use slipway_wire::{Base, Http, Response, Token};

use crate::args;
use crate::edge::{self, Edge};
use crate::exit::{Exit, Failure};
use crate::gitlab::{Gitlab, Hook};
use crate::host;
use crate::say::Say;
use crate::settings::Settings;

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How far two clocks may be apart. An ID token opens a session in its first five minutes, and its times are compared to the
/// second.
const SKEW_MAX_MS: i64 = 30_000;
/// How many days before its end a token is a finding: long enough for a person on holiday.
const EXPIRY_DAYS: i64 = 14;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Finding,
    NotAsked,
}

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
    let (policy, release) = if is_there { ask_edge(&mut visit, &subject, timeout_s).await } else { Default::default() };
    let project = subject.project.or_else(|| release.as_ref().map(|release| release.project.id));
    let project = project.or_else(|| policy.as_ref().map(|policy| policy.project.id));
    match gitlab {
        None => visit.not_asked("GitLab", "its address is not known: set `SLIPWAY_GITLAB_URL`, or `CI_SERVER_URL`"),
        Some(base) => ask_gitlab(&mut visit, &subject, base, project).await,
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
    Err(Failure::new(Exit::Findings, format!("{} findings", findings.len()), findings))
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
    let month = MONTHS.find(month).filter(|_| month.len() == 3)? / 3 + 1;
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
    // Where packages go is read from a release: the one that is named, or the newest.
    let version = if subject.is_version_named {
        Some(settings.version.clone())
    } else {
        edge.releases().await.ok().and_then(|releases| releases.into_iter().next()).map(|release| release.version)
    };
    let release = match &version {
        Some(version) => edge.release_of(version).await.ok(),
        None => None,
    };
    (policy, release)
}

async fn ask_gitlab(visit: &mut Visit, subject: &Subject, base: Base, project: Option<u64>) {
    let address = base.to_string();
    let token = subject.gitlab_token.as_ref();
    let gitlab = Gitlab::new(base, token.map(|(token, _)| token.clone()));
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
            if facts.revoked == Some(true) || facts.active == Some(false) {
                visit.finding("GitLab token", format!("{name}, and is not active any more"));
            } else {
                expiry(visit, &name, facts.expires_at.as_deref());
            }
            if facts.scopes.iter().all(|scope| scope != "api") {
                visit.note(
                    "play jobs",
                    Verdict::Finding,
                    format!("{source} cannot play jobs: that needs the scope `api`"),
                );
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
    let end = format!("{day}T00:00:00.000Z").parse::<Timestamp>().ok();
    let now = host::date().parse::<Timestamp>().ok();
    match end.zip(now) {
        Some((Timestamp(end), Timestamp(now))) if end - now < EXPIRY_DAYS * DAY_MS => {
            visit.finding("GitLab token", format!("{name}, and expires on {day}: make a new one now"));
        }
        Some(_) => visit.good("GitLab token", format!("{name}, and expires on {day}")),
        None => visit.not_asked("GitLab token", format!("{name}; its last day, `{day}`, cannot be read")),
    }
}

/// Why GitLab does not tell Slipway of all that it must.
fn webhook(edge: &Base, project: u64, hooks: &[Hook]) -> Vec<String> {
    let ours = format!("{edge}/webhooks/gitlab/");
    let Some(hook) = hooks.iter().find(|hook| hook.url.starts_with(&ours)) else {
        let next = format!("add one to {ours}{project} with Job events (Settings → Webhooks)");
        return vec![format!("project {project} has none to Slipway: {next}")];
    };
    let mut wrong = Vec::new();
    if hook.url != format!("{ours}{project}") {
        wrong.push(format!("it goes to `{}`, and must end in `/{project}`", hook.url));
    }
    if !hook.job_events {
        wrong.push("it has no Job events: clicks reach Slipway by its sweep only, up to a minute late".to_owned());
    }
    for (is_on, name) in [(hook.pipeline_events, "Pipeline"), (hook.deployment_events, "Deployment")] {
        if !is_on {
            wrong.push(format!("it has no {name} events, which gates on jobs and environments look at"));
        }
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

/// A repository at a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    url: String,
    repository: String,
}

/// The repository of a policy's `place/user/repository`.
fn repository(named: &str) -> Option<&str> {
    named.split_once('/').map(|(_, repository)| repository)
}

/// Whether the staging token can write where it must, and nowhere else.
async fn places(visit: &mut Visit, subject: &Subject, policy: Option<&Policy>, release: Option<&Release>) {
    let (mut staging, mut public) = (BTreeSet::new(), BTreeSet::new());
    for package in release.iter().flat_map(|release| &release.packages) {
        staging.insert(Place { url: package.staging.url.clone(), repository: package.staging.repository.clone() });
        public.extend(package.targets.iter().map(|target| target.public.repository.clone()));
    }
    // The policy names repositories of other packages, too; at which server they are is not needed: a name that is public
    // anywhere is none that a staging token should be able to write.
    for route in policy.iter().flat_map(|policy| &policy.routes) {
        public.extend(repository(&route.public).map(str::to_owned));
    }
    let servers: BTreeSet<&str> = staging.iter().map(|place| place.url.as_str()).collect();
    if servers.is_empty() {
        return visit.not_asked(
            "staging token",
            "where packages are staged is not known: Slipway shows no release of this project yet",
        );
    }
    let Some(token) = &subject.staging_token else {
        return visit.not_asked("staging token", "`SLIPWAY_STAGING_TOKEN` is not set");
    };
    for server in servers {
        let writes = match writes(server, token).await {
            Ok(writes) => writes,
            Err(why) => {
                visit.finding("staging token", format!("{server}: {why}"));
                continue;
            }
        };
        for place in staging.iter().filter(|place| place.url == server) {
            if writes.contains(&place.repository) {
                visit.good("staging token", format!("its user may write {} at {server}", place.repository));
            } else {
                let line =
                    format!("its user may not write {} at {server}: nothing can be staged there", place.repository);
                visit.finding("staging token", line);
            }
        }
        let reached: Vec<&String> = public.iter().filter(|repository| writes.contains(*repository)).collect();
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

/// The repositories that a token's user may write to: its own, and those that it was made a collaborator of.
async fn writes(server: &str, token: &Token) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Listed {
        fqname: String,
    }
    let base: Base = server.parse().map_err(|error| format!("{error}"))?;
    let url = format!("{}?include_collaborations=1", base.url(["api", "v1", "repos.json"]));
    let authorization = token.basic().map_err(|error| error.to_string())?;
    let request = http::Request::get(url).header(AUTHORIZATION, authorization).header(ACCEPT, "application/json");
    let request = request.body(Vec::new()).map_err(|error| error.to_string())?;
    let answer = Fetch::new(ANSWER_DEADLINE).send(request).await.map_err(|error| error.to_string())?;
    match answer.status().as_u16() {
        200 => {}
        401 => return Err("`SLIPWAY_STAGING_TOKEN` is not a token of this server".to_owned()),
        status => return Err(format!("the list of the token's repositories is answered with {status}")),
    }
    let listed: Vec<Listed> = serde_json::from_slice(answer.body())
        .map_err(|error| format!("the list of the token's repositories cannot be read: {error}"))?;
    Ok(listed.into_iter().map(|listed| listed.fqname).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read() {
        assert_eq!(date_ms("Mon, 23 Nov 2026 09:00:00 GMT"), Some(1_795_424_400_000));
        for text in ["", "Mon, 23 Nob 2026 09:00:00 GMT", "Monday, 23-Nov-26 09:00:00 GMT", "2026-11-23"] {
            assert_eq!(date_ms(text), None, "{text}");
        }
    }

    fn hook(change: impl Fn(&mut Hook)) -> Vec<String> {
        let mut hook = Hook {
            url: "https://slipway.example.com/webhooks/gitlab/7".to_owned(),
            job_events: true,
            pipeline_events: true,
            deployment_events: true,
            enable_ssl_verification: Some(true),
            alert_status: Some("executable".to_owned()),
            disabled_until: None,
        };
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
}
