//! Whether the edge's secrets are there and good, before a release finds out.
//!
//! What each is for follows from `slipway.toml`. What can be told without sending anything is told of all; GitLab and package
//! servers are asked of their tokens, with one question each. A secret's text is in no answer.
//!
//! Absent on purpose: trying whether a token can write, by writing. That is read from the list of repositories that its user may
//! write to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use slipway_gitlab::{GetOwnToken, Instance, Jwks, SigningToken};
use slipway_oci::answers;
use slipway_packagecloud::{Account, ListRepositories};
use slipway_wire::{Base, CallError, Http, Token, call};

use crate::api::{Readiness, SecretReport, Verdict};
use crate::config::{Config, Receiver};
use crate::route::{How, Route, Site};
use crate::secret::EdgeKey;
use crate::signing::Seed;
use crate::time::Timestamp;

/// The name of the secret that the edge signs its own texts with.
pub const EDGE_KEY: &str = "SLIPWAY_EDGE_KEY";
/// How long before its last day a token is a finding: long enough for a person on holiday.
pub const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);
/// A secret that others send as it is must not be guessed.
const CHARACTERS_MIN: usize = 16;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use<'a> {
    EdgeKey,
    Operator,
    Metrics,
    Attesting,
    Gitlab,
    GitlabStatus,
    GitlabKeys,
    Place(&'a str),
    Webhook(&'a str),
    Signing(&'a str),
    Event(&'a Base),
    Trigger(u64),
}

impl Use<'_> {
    fn words(self) -> String {
        match self {
            Self::EdgeKey => "signs sessions and copy orders".to_owned(),
            Self::Operator => "the operator's credential".to_owned(),
            Self::Metrics => "the credential of whoever collects numbers".to_owned(),
            Self::Attesting => "signs heads of the audit and attestations".to_owned(),
            Self::Gitlab => "reads jobs and pipelines from GitLab".to_owned(),
            Self::GitlabStatus => "sets commit statuses in GitLab".to_owned(),
            Self::GitlabKeys => "GitLab's key set, which ID tokens are checked with".to_owned(),
            Self::Place(name) => format!("the account of the place `{name}`"),
            Self::Webhook(project) => format!("what the webhook of `{project}` sends"),
            Self::Signing(project) => format!("what the webhook of `{project}` is signed with"),
            Self::Event(url) => format!("what events to {url} are signed with"),
            Self::Trigger(project) => format!("starts pipelines of project {project}"),
        }
    }
}

/// Every secret that the edge needs, by name, with all that it is for.
fn uses(config: &Config) -> BTreeMap<&str, Vec<Use<'_>>> {
    let mut uses: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    let mut add = |name, of| uses.entry(name).or_default().push(of);
    add(EDGE_KEY, Use::EdgeKey);
    add(&config.gitlab.token, Use::Gitlab);
    let edge = [
        (&config.edge.operator_token, Use::Operator),
        (&config.edge.metrics_token, Use::Metrics),
        (&config.edge.signing_key, Use::Attesting),
        (&config.gitlab.status_token, Use::GitlabStatus),
        (&config.gitlab.keys, Use::GitlabKeys),
    ];
    for (name, of) in edge {
        if let Some(name) = name {
            add(name, of);
        }
    }
    for (name, place) in &config.places {
        add(&place.token, Use::Place(name));
    }
    for project in &config.projects {
        let own = project.name.as_str();
        let both = [(&project.webhook_token, Use::Webhook(own)), (&project.signing_token, Use::Signing(own))];
        for (name, of) in both {
            if let Some(name) = name {
                add(name, of);
            }
        }
    }
    for events in &config.events {
        match &events.to {
            Receiver::Webhook { url, signing_token } => add(signing_token, Use::Event(url)),
            Receiver::Pipeline(trigger) => add(&trigger.token, Use::Trigger(trigger.project)),
        }
    }
    uses
}

/// The names of the secrets that the edge cannot do without.
pub fn names(config: &Config) -> impl Iterator<Item = &str> {
    uses(config).into_keys()
}

/// Looks at every secret. `secret` gives the text of one, where it is set.
pub async fn examine(
    http: &impl Http,
    config: &Config,
    secret: impl Fn(&str) -> Option<Token>,
    now: Timestamp,
) -> Readiness {
    let reports = uses(config).into_iter().map(async |(name, uses)| {
        let mut report = Report::default();
        match secret(name) {
            None => report.finding(format!("it is not set: use `wrangler secret put {name}`")),
            Some(token) => {
                for of in &uses {
                    look(http, config, *of, &token, now, &mut report).await;
                }
            }
        }
        SecretReport {
            name: name.to_owned(),
            uses: uses.into_iter().map(Use::words).collect(),
            verdict: report.verdict,
            found: report.found,
            expires_at: report.expires_at,
        }
    });
    let secrets: Vec<SecretReport> = join_all(reports).await;
    let is_ready = secrets.iter().all(|secret| secret.verdict != Verdict::Finding);
    Readiness { at: now.to_string(), is_ready, secrets }
}

/// What was found of one secret.
struct Report {
    verdict: Verdict,
    found: Vec<String>,
    expires_at: Option<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self { verdict: Verdict::Good, found: Vec::new(), expires_at: None }
    }
}

impl Report {
    fn good(&mut self, found: impl Into<String>) {
        self.found.push(found.into());
    }

    fn finding(&mut self, found: impl Into<String>) {
        self.verdict = Verdict::Finding;
        self.found.push(found.into());
    }

    fn not_asked(&mut self, why: impl Into<String>) {
        if self.verdict == Verdict::Good {
            self.verdict = Verdict::NotAsked;
        }
        self.found.push(why.into());
    }

    /// What has to have a form.
    fn formed<T, E: std::fmt::Display>(&mut self, read: Result<T, E>, words: &str) {
        match read {
            Ok(_) => self.good(words),
            Err(error) => self.finding(format!("it is set, and cannot be used: {error}")),
        }
    }
}

async fn look(http: &impl Http, config: &Config, of: Use<'_>, token: &Token, now: Timestamp, report: &mut Report) {
    match of {
        Use::EdgeKey => report.formed(EdgeKey::parse(token), "it is set"),
        Use::Attesting => report.formed(Seed::parse(token), "it is set"),
        Use::Signing(_) | Use::Event(_) => report.formed(SigningToken::parse(token), "it is set"),
        Use::GitlabKeys => report.formed(Jwks::parse(token.expose().as_bytes()), "it is set"),
        Use::Operator | Use::Metrics | Use::Webhook(_) if token.expose().chars().count() < CHARACTERS_MIN => {
            report.finding(format!("it is set, and can be guessed: it has less than {CHARACTERS_MIN} characters"));
        }
        Use::Operator | Use::Metrics | Use::Webhook(_) => report.good("it is set"),
        Use::Trigger(_) => report.not_asked("it is set; GitLab does not tell of trigger tokens"),
        Use::Gitlab | Use::GitlabStatus => {
            let instance = Instance::new(config.gitlab.url.clone(), token.clone());
            gitlab(of, call(http, &GetOwnToken { instance: &instance }).await, now, report);
        }
        Use::Place(name) => {
            let Some(place) = config.places.get(name) else { return };
            if let Some(registry) = place.registry(token.clone()) {
                return match answers(http, &registry).await {
                    Ok(true) => report.good(format!("{} accepts it", place.url)),
                    Ok(false) => report.not_asked(format!("it is set; {} lets anybody in", place.url)),
                    Err(error) => refused(&error, place.url.as_str(), report),
                };
            }
            let account = Account::new(place.url.clone(), token.clone());
            match call(http, &ListRepositories { account: &account }).await {
                Ok(writes) => reach(config, name, &writes, report),
                Err(error) => refused(&error, place.url.as_str(), report),
            }
        }
    }
}

fn refused(error: &CallError, server: &str, report: &mut Report) {
    match error.status().map(|status| status.as_u16()) {
        Some(401) => report.finding(format!("{server} does not accept it: make a new one")),
        _ => report.finding(format!("whether {server} accepts it cannot be told: {error}")),
    }
}

/// What GitLab says of a token.
fn gitlab(of: Use<'_>, told: Result<slipway_gitlab::OwnToken, CallError>, now: Timestamp, report: &mut Report) {
    let token = match told {
        Ok(token) => token,
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 404) => {
            return report.not_asked("GitLab accepts it, and this version does not tell what it may do");
        }
        Err(error) => return refused(&error, "GitLab", report),
    };
    report.expires_at.clone_from(&token.expires_at);
    let name = format!("GitLab accepts it: `{}`, with the scopes {}", token.name, token.scopes.join(", "));
    if token.is_over() {
        report.finding(format!("{name}; it is not active any more: make a new one"));
    } else {
        report.good(name);
    }
    if of == Use::GitlabStatus && !token.may("api") {
        report.finding("it cannot set commit statuses: that needs the scope `api`");
    }
    if of == Use::Gitlab && token.may("api") {
        report.finding("it can write to GitLab, and is for reading alone: make one with the scope `read_api`");
    } else if of == Use::Gitlab && !token.may("read_api") {
        report.finding("it cannot read jobs: that needs the scope `read_api`");
    }
    match token.expires_at.as_deref().map(|day| (day, lasts(day, now))) {
        None => report.good("it does not expire"),
        Some((day, Lasts::Long)) => report.good(format!("it expires on {day}")),
        Some((day, Lasts::Short)) => report.finding(format!("it expires on {day}: make a new one now")),
        Some((day, Lasts::Unknown)) => report.not_asked(format!("its last day, `{day}`, cannot be read")),
    }
}

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Long enough not to be thought of.
    Long,
    /// Its last day is near, or over.
    Short,
    /// The day is none.
    Unknown,
}

/// How long a token is good that ends with a day such as `2026-12-31`.
pub fn lasts(day: &str, now: Timestamp) -> Lasts {
    match format!("{day}T00:00:00.000Z").parse::<Timestamp>() {
        Ok(end) if end > now + EXPIRES_SOON => Lasts::Long,
        Ok(_) => Lasts::Short,
        Err(_) => Lasts::Unknown,
    }
}

/// Whether the user of a place may write what it must, and nothing that is another's to write.
fn reach(config: &Config, name: &str, writes: &BTreeMap<String, Option<bool>>, report: &mut Report) {
    let sites = |site: fn(&Route) -> &Site| {
        let own = config.routes.iter().map(site).filter(|site| site.place == name);
        own.map(|site| site.repository.as_str()).collect::<BTreeSet<_>>()
    };
    let (staging, public) = (sites(|route| &route.staging), sites(|route| &route.public));
    for repository in staging.union(&public) {
        if writes.contains_key(*repository) {
            report.good(format!("its user may write {repository}"));
        } else {
            report.finding(format!("its user may not write {repository}, which a route names"));
        }
    }
    for repository in &staging {
        if writes.get(*repository) == Some(&Some(false)) {
            report.finding(format!("anybody can read {repository}, in which packages are staged: make it private"));
        }
    }
    // Only where packages are copied is the one user not to be the other: a server moves with one user that may write both.
    let server = config.places.get(name).map(|place| &place.url);
    let mut told = BTreeSet::new();
    for route in config.routes.iter().filter(|route| route.staging.place == name && route.how == How::Copy) {
        let to = &route.public;
        let is_there = config.places.get(&to.place).map(|place| &place.url) == server;
        if is_there && writes.contains_key(&to.repository) && told.insert(&to.repository) {
            report.finding(format!(
                "it stages, and its user may write the public {}: give staging a user of its own, and make it a collaborator of \
                 the private repository alone",
                to.repository
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;
    use slipway_wire::{Request, Response, Unreachable};

    use super::*;

    /// 2026-11-23 00:00:00 UTC.
    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    const FILE: &str = r#"
        [edge]
        url = "https://slipway.example.com"
        operator_token = "OPERATOR"
        [gitlab]
        url = "https://gitlab.example.com"
        token = "GITLAB"
        status_token = "STATUS"
        [places.staging]
        kind = "packagecloud"
        url = "https://packages.example.com"
        token = "STAGING"
        [places.public]
        kind = "packagecloud"
        url = "https://packages.example.com"
        token = "PUBLIC"
        [[projects]]
        id = 1001
        namespace_id = 71
        name = "tug"
        webhook_token = "WEBHOOK"
        signing_token = "SIGNING"
        [[routes]]
        staging = { place = "staging", repository = "ci/pre-release" }
        public = { place = "public", repository = "harbour/stable" }
        [[events]]
        kinds = ["complete"]
        trigger = { project = 5, ref = "main", token = "TRIGGER" }
    "#;

    /// Services that know tokens by their text, and what each may do.
    struct World {
        file: String,
        secrets: BTreeMap<&'static str, String>,
        /// By token: a status and an answer.
        answers: BTreeMap<String, (u16, String)>,
        asked: RefCell<usize>,
    }

    fn own(scopes: &str, last_day: &str) -> (u16, String) {
        (200, format!(r#"{{"name": "s", "scopes": [{scopes}], "active": true, "expires_at": {last_day}}}"#))
    }

    fn repositories(list: &[(&str, bool)]) -> (u16, String) {
        let entry = |(name, private): &(&str, bool)| format!(r#"{{"fqname": "{name}", "private": {private}}}"#);
        (200, format!("[{}]", list.iter().map(entry).collect::<Vec<_>>().join(",")))
    }

    impl World {
        /// Where all is well. A secret's text is its name in small letters, long enough.
        fn good() -> Self {
            let names = ["OPERATOR", "GITLAB", "STATUS", "STAGING", "PUBLIC", "WEBHOOK", "TRIGGER"];
            let text = |name: &str| format!("{}-0123456789abcdef", name.to_lowercase());
            let mut secrets: BTreeMap<&str, String> = names.into_iter().map(|name| (name, text(name))).collect();
            secrets.insert("SLIPWAY_EDGE_KEY", "ab".repeat(32));
            secrets.insert("SIGNING", format!("whsec_{}0=", "A".repeat(42)));
            let answers = [
                (text("GITLAB"), own("\"read_api\"", "\"2027-06-01\"")),
                (text("STATUS"), own("\"api\"", "null")),
                (text("STAGING"), repositories(&[("ci/pre-release", true)])),
                (text("PUBLIC"), repositories(&[("harbour/stable", false)])),
            ];
            Self { file: FILE.to_owned(), secrets, answers: answers.into(), asked: RefCell::default() }
        }

        fn answers(&mut self, token: &str, answer: (u16, String)) {
            self.answers.insert(format!("{token}-0123456789abcdef"), answer);
        }

        fn examined(&self) -> Readiness {
            let config = Config::parse(&self.file).expect("a good file");
            let secret = |name: &str| self.secrets.get(name).map(Token::new);
            examine(self, &config, secret, NOW).now_or_never().expect("nothing waits")
        }
    }

    impl Http for World {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            *self.asked.borrow_mut() += 1;
            let host = request.uri().host().unwrap_or_default().to_owned();
            let given = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
            let basic = |token: &str| Token::new(token).basic().expect("a header");
            let known = self.answers.iter().find(|(token, _)| {
                given("private-token") == Some(token.as_str())
                    || request.headers().get("authorization") == Some(&basic(token))
            });
            match known {
                Some((_, (0, _))) => Err(Unreachable { host, why: "no route to host".to_owned() }),
                Some((_, (status, body))) => {
                    Ok(http::Response::builder().status(*status).body(body.clone().into_bytes()).expect("an answer"))
                }
                None => Ok(http::Response::builder().status(401).body(b"{}".to_vec()).expect("an answer")),
            }
        }

        async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            self.send(request).await
        }
    }

    fn findings(readiness: &Readiness) -> Vec<String> {
        let bad = readiness.secrets.iter().filter(|secret| secret.verdict == Verdict::Finding);
        bad.map(|secret| format!("{}: {}", secret.name, secret.found.join("; "))).collect()
    }

    #[test]
    fn where_all_is_well_every_secret_is_told_with_its_use_and_nothing_is_found() {
        let world = World::good();
        let readiness = world.examined();
        assert_eq!(findings(&readiness), Vec::<String>::new());
        assert!(readiness.is_ready);
        let names: Vec<&str> = readiness.secrets.iter().map(|secret| secret.name.as_str()).collect();
        let expected =
            ["GITLAB", "OPERATOR", "PUBLIC", "SIGNING", "SLIPWAY_EDGE_KEY", "STAGING", "STATUS", "TRIGGER", "WEBHOOK"];
        assert_eq!(names, expected);
        assert!(readiness.secrets.iter().all(|secret| !secret.uses.is_empty() && !secret.found.is_empty()));
        let gitlab = &readiness.secrets[0];
        assert_eq!(gitlab.expires_at.as_deref(), Some("2027-06-01"));
        assert_eq!(*world.asked.borrow(), 4, "one question for each token that can be asked about");
    }

    #[test]
    fn every_secret_that_the_example_names_or_could_name_is_in_the_list_of_what_is_deployed() {
        let example = include_str!("../../../slipway.toml");
        // Settings that are commented out are what could be named.
        let could =
            |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
        let whole: Vec<&str> =
            example.lines().map(|line| line.strip_prefix("# ").filter(|rest| could(rest)).unwrap_or(line)).collect();
        let config = Config::parse(&whole.join("\n")).expect("the example, with all that it could have");
        let names: Vec<&str> = names(&config).collect();
        assert_eq!(names.len(), 15, "{names:?}");
        let listed = include_str!("../../../wrangler.toml");
        for name in names {
            assert!(listed.contains(&format!("\n#   {name} ")), "{name} is not in wrangler.toml");
        }
    }

    #[test]
    fn a_secrets_text_is_in_no_answer() {
        let mut world = World::good();
        for token in ["gitlab", "status", "staging", "public"] {
            world.answers(token, (500, "no".to_owned()));
        }
        world.secrets.insert("SIGNING", "whsec_this-is-none".to_owned());
        let said = serde_json::to_string(&world.examined()).expect("JSON");
        for secret in world.secrets.values() {
            assert!(!said.contains(secret.as_str()), "{secret} is in {said}");
        }
    }

    type Spoil = fn(&mut World);

    #[test]
    fn whatever_is_wrong_with_a_secret_is_a_finding_of_its_own() {
        let cases: &[(&str, Spoil)] = &[
            ("TRIGGER: it is not set: use `wrangler secret put TRIGGER`", |world| {
                drop(world.secrets.remove("TRIGGER"));
            }),
            ("SLIPWAY_EDGE_KEY: it is set, and cannot be used", |world| {
                world.secrets.insert("SLIPWAY_EDGE_KEY", "short".to_owned());
            }),
            ("SIGNING: it is set, and cannot be used", |world| {
                world.secrets.insert("SIGNING", "whsec_!".to_owned());
            }),
            ("WEBHOOK: it is set, and can be guessed", |world| {
                world.secrets.insert("WEBHOOK", "swordfish".to_owned());
            }),
            ("OPERATOR: it is set, and can be guessed", |world| {
                world.secrets.insert("OPERATOR", "swordfish".to_owned());
            }),
            ("GITLAB: GitLab does not accept it", |world| world.answers("gitlab", (401, "{}".to_owned()))),
            ("GITLAB: whether GitLab accepts it cannot be told", |world| world.answers("gitlab", (0, String::new()))),
            ("it cannot read jobs: that needs the scope `read_api`", |world| {
                world.answers("gitlab", own("\"read_user\"", "null"));
            }),
            ("it can write to GitLab, and is for reading alone", |world| {
                world.answers("gitlab", own("\"api\"", "null"));
            }),
            ("STATUS: GitLab accepts it: `s`, with the scopes read_api; it cannot set commit statuses", |world| {
                world.answers("status", own("\"read_api\"", "null"));
            }),
            ("it expires on 2026-12-06: make a new one now", |world| {
                world.answers("gitlab", own("\"read_api\"", "\"2026-12-06\""));
            }),
            ("it is not active any more", |world| {
                world.answers("gitlab", (200, r#"{"name": "s", "scopes": ["read_api"], "revoked": true}"#.to_owned()));
            }),
            ("PUBLIC: its user may not write harbour/stable, which a route names", |world| {
                world.answers("public", repositories(&[]));
            }),
            ("STAGING: its user may not write ci/pre-release", |world| world.answers("staging", repositories(&[]))),
            ("PUBLIC: https://packages.example.com does not accept it", |world| {
                world.answers("public", (401, "{}".to_owned()));
            }),
            ("anybody can read ci/pre-release, in which packages are staged", |world| {
                world.answers("staging", repositories(&[("ci/pre-release", false)]));
            }),
            // The promise of all this: what stages cannot publish.
            (
                "STAGING: its user may write ci/pre-release; it stages, and its user may write the public harbour/stable",
                |world| {
                    world.answers("staging", repositories(&[("ci/pre-release", true), ("harbour/stable", false)]));
                },
            ),
            // One account for both is the same.
            ("it stages, and its user may write the public harbour/stable", |world| {
                world.file = world.file.replace("place = \"public\"", "place = \"staging\"");
                world.answers("staging", repositories(&[("ci/pre-release", true), ("harbour/stable", false)]));
            }),
        ];
        for (part, spoil) in cases {
            let mut world = World::good();
            spoil(&mut world);
            let readiness = world.examined();
            let found = findings(&readiness);
            assert!(found.len() == 1 && found[0].contains(part), "{part} should be the only one of {found:?}");
            assert!(!readiness.is_ready);
        }
    }

    #[test]
    fn a_server_that_moves_packages_does_it_with_one_user_so_that_is_no_finding() {
        let mut world = World::good();
        world.file = world.file.replace("[[events]]", "how = \"move\"\n[[events]]");
        world.answers("staging", repositories(&[("ci/pre-release", true), ("harbour/stable", false)]));
        assert_eq!(findings(&world.examined()), Vec::<String>::new());
    }

    #[test]
    fn what_a_service_does_not_tell_is_said_and_is_no_finding() {
        let mut world = World::good();
        world.answers("gitlab", (404, "{}".to_owned()));
        let readiness = world.examined();
        assert_eq!(findings(&readiness), Vec::<String>::new());
        assert_eq!(readiness.secrets[0].verdict, Verdict::NotAsked);
    }
}
