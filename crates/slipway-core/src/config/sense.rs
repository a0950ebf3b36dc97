//! What can be read and cannot be meant: a secret in place of its name, a pattern that nothing fits.
//!
//! A misspelt project in a gate would be a gate that is not there, so it stops the file like any other mistake. What may be so
//! for a while, such as a project that has no route yet, is a note.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_wire::Base;

use super::{Config, File, Receiver};
use crate::release::Key;
use crate::route::Glob;

/// The edge's own key, which nothing else may be.
const EDGE_KEY: &str = "SLIPWAY_EDGE_KEY";

/// A click has to count before it lapses. While GitLab does not answer it is asked again after five minutes at the latest, and
/// a webhook that was lost is found a minute or two after the click: twice that.
const LAPSE_MIN: Duration = Duration::from_mins(10);

/// Everything of the kind in a file.
pub(super) fn problems(file: &File) -> Vec<String> {
    let mut problems = secrets(file);
    problems.extend(lapse(file));
    problems.extend(two_names(file));
    if file.gitlab.application.is_some() && !is_closed(&file.edge.url) {
        problems.push(format!(
            "edge.url: people sign in here, by `application` under `[gitlab]`, and what their browsers keep could be read on the way; \
             it must be https, or loopback; `{}` is neither",
            file.edge.url
        ));
    }
    for (index, events) in file.events.iter().enumerate() {
        if let Receiver::Webhook { url, .. } = &events.to
            && !is_closed(url)
        {
            problems.push(format!(
                "events[{index}].url: what is told is not public yet, so it must be https, or loopback; `{url}` is neither"
            ));
        }
    }
    let names: Vec<&str> = file.projects.iter().map(|project| project.name.as_str()).collect();
    let mut projects = |setting: String, globs: &[Glob]| {
        problems.extend(globs.iter().filter(|glob| !names.iter().any(|name| glob.fits(name))).map(|glob| {
            let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            format!("{setting}: `{glob}` fits no project; the names under [[projects]] are: {known}")
        }));
    };
    for (index, route) in file.routes.iter().enumerate() {
        // A route for every project may be there before the first.
        projects(format!("routes[{index}].projects"), named(&route.projects));
    }
    for (index, gate) in file.gates.iter().enumerate() {
        projects(format!("gates[{index}].projects"), named(&gate.projects));
    }
    for (index, events) in file.events.iter().enumerate() {
        projects(format!("events[{index}].projects"), named(events.projects()));
    }
    for (index, route) in file.routes.iter().enumerate() {
        problems.extend(keys(&format!("routes[{index}].keys"), &route.keys));
        problems.extend(route.distros.iter().map(ToString::to_string).filter(|glob| !glob.contains(['*', '/'])).map(
            |glob| {
                format!(
                    "routes[{index}].distros: `{glob}` fits none, they have two parts: `ubuntu/{glob}`, or `*/{glob}`"
                )
            },
        ));
    }
    for (index, gate) in file.gates.iter().enumerate() {
        problems.extend(keys(&format!("gates[{index}].keys"), &gate.keys));
    }
    problems
}

/// Patterns that somebody has written, but for the one that fits whatever there is.
fn named(globs: &[Glob]) -> &[Glob] {
    if globs == [Glob::new("*")] { &[] } else { globs }
}

/// Patterns that no key fits.
fn keys(setting: &str, globs: &[Glob]) -> Vec<String> {
    let is_odd = |glob: &str| glob.parse::<Key>().is_err() && glob.replace('*', "a").parse::<Key>().is_err();
    let odd = globs.iter().map(ToString::to_string).filter(|glob| is_odd(glob));
    odd.map(|glob| format!("{setting}: `{glob}` fits no key; keys have `a-z`, `0-9`, `.`, `_` and `-` alone")).collect()
}

/// One public repository under two names of its server. Whoever writes there takes turns by the place's name, and by it the names
/// are known that were released or taken back.
fn two_names(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let mut first: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for (index, route) in file.routes.iter().enumerate() {
        let (name, repository) = (route.public.place.as_str(), route.public.repository.as_str());
        let Some(place) = file.places.get(name) else { continue };
        let (before, other) = *first.entry((place.url.as_str(), repository)).or_insert((index, name));
        if other != name {
            problems.push(format!(
                "routes[{before}] and routes[{index}] lead to the one public repository `{repository}` as places `{other}` and \
                 `{name}`: they would not take turns there, and a name that the one takes back would be free for the other; name one place"
            ));
        }
    }
    problems
}

/// Why approvals would end before they can count.
fn lapse(file: &File) -> Option<String> {
    let lapse = file.approvals.lapse;
    // Where one tries it out, GitLab is a program beside it that nobody waits for.
    let (least, why) = if is_own(&file.edge.url) {
        (Duration::from_millis(1), "or no approval would ever hold")
    } else {
        (LAPSE_MIN, "or a click would lapse before it counts, when GitLab is late with it or its webhook was lost")
    };
    let span = humantime::format_duration;
    (lapse < least)
        .then(|| format!("approvals: `lapse` is {}; it must be {} at least, {why}", span(lapse), span(least)))
}

/// A setting that names a secret.
struct Named<'a> {
    setting: String,
    /// What the secret does.
    purpose: &'static str,
    secret: &'a str,
}

/// Every setting that names a secret.
fn named_secrets(file: &File) -> Vec<Named<'_>> {
    let edge = [
        ("gitlab.status_token", "writes to GitLab", &file.gitlab.status_token),
        ("gitlab.keys", "is GitLab's key set", &file.gitlab.keys),
        ("edge.operator_token", "is what the operator shows", &file.edge.operator_token),
        ("edge.metrics_token", "is what a collector of numbers shows", &file.edge.metrics_token),
        ("edge.signing_key", "signs heads of the audit and attestations", &file.edge.signing_key),
    ];
    let mut all = vec![("gitlab.token".to_owned(), "reads from GitLab", Some(&file.gitlab.token))];
    all.extend(edge.into_iter().map(|(setting, purpose, secret)| {
        // That one of these is empty is said where they are read.
        (setting.to_owned(), purpose, secret.as_ref().filter(|secret| !secret.trim().is_empty()))
    }));
    all.extend(
        file.places
            .iter()
            .map(|(name, place)| (format!("places.{name}.token"), "opens an account at a place", Some(&place.token))),
    );
    for project in &file.projects {
        let setting = |what: &str| format!("projects.{}.{what}", project.name);
        all.push((setting("webhook_token"), "is sent with GitLab's webhooks", project.webhook_token.as_ref()));
        all.push((setting("signing_token"), "signs GitLab's webhooks", project.signing_token.as_ref()));
    }
    for (index, events) in file.events.iter().enumerate() {
        all.push(match &events.to {
            Receiver::Webhook { signing_token, .. } => {
                (format!("events[{index}].signing_token"), "signs what others are told", Some(signing_token))
            }
            Receiver::Pipeline(trigger) => {
                (format!("events[{index}].trigger.token"), "starts pipelines", Some(&trigger.token))
            }
        });
    }
    all.into_iter().filter_map(|(setting, purpose, secret)| Some(Named { setting, purpose, secret: secret? })).collect()
}

/// Settings that name a secret, and hold something else, or one that has another purpose already. What is no name is not
/// shown: it may be the secret.
fn secrets(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let mut first: BTreeMap<&str, Named<'_>> = BTreeMap::new();
    for named in named_secrets(file) {
        let Named { setting, purpose, secret } = &named;
        if *secret == EDGE_KEY {
            problems.push(format!("{setting}: `{EDGE_KEY}` is the edge's own key; name another secret"));
        } else if !is_name(secret) {
            problems.push(format!(
                "{setting}: it must be the NAME of a secret, in capitals, digits and `_`, such as `PUBLIC_TOKEN`. If it is the \
                 secret itself, revoke that one, and give the new one to `npx wrangler secret put NAME`"
            ));
        } else if let Some(other) = first.get(secret).filter(|other| other.purpose != *purpose) {
            problems.push(format!(
                "{} and {setting} are the same secret, `{secret}`: the one {}, the other {purpose}, and whoever learns it there \
                 has it here; give each its own",
                other.setting, other.purpose
            ));
        } else {
            first.entry(secret).or_insert(named);
        }
    }
    problems
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Config {
    /// What is as it may be, and may not be what was meant.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.projects.is_empty() {
            notes.push("there is no [[projects]]: nobody can stage or release anything".to_owned());
        }
        for project in &self.projects {
            let name = project.name.as_str();
            if !self.routes.iter().any(|route| route.projects.iter().any(|glob| glob.fits(name))) {
                notes.push(format!("projects.{name}: no route is for it, so every plan of it will be refused"));
            }
        }
        let all = self.routes.iter().position(crate::route::Route::fits_everything);
        if let Some(first) = all.filter(|first| first + 1 < self.routes.len()) {
            notes
                .push(format!("routes[{}] and what follows is never used: routes[{first}] fits everything", first + 1));
        }
        let used: BTreeSet<&str> = self
            .routes
            .iter()
            .flat_map(|route| [&route.staging, &route.public])
            .map(|site| site.place.as_str())
            .collect();
        notes.extend(
            self.places
                .keys()
                .filter(|name| !used.contains(name.as_str()))
                .map(|name| format!("places.{name}: no route uses it")),
        );
        for (index, route) in self.routes.iter().enumerate() {
            let place = |name: &str| self.places.get(name);
            let (Some(staging), Some(public)) = (place(&route.staging.place), place(&route.public.place)) else {
                continue;
            };
            if staging.url == public.url && staging.token == public.token {
                notes.push(format!(
                    "routes[{index}]: staging and public use one token, `{}`, so every build job that may stage could publish; \
                     make them two users of the package server",
                    public.token
                ));
            }
        }
        for (setting, base) in [("edge.url", &self.edge.url), ("gitlab.url", &self.gitlab.url)] {
            if !is_closed(base) {
                notes.push(format!("{setting}: it is not https, so tokens can be read on the way"));
            }
        }
        notes
    }
}

/// Whether nobody else reads on the way what is sent there.
pub(super) fn is_closed(base: &Base) -> bool {
    base.as_str().starts_with("https://") || is_own(base)
}

/// Whether it is at this very machine.
fn is_own(base: &Base) -> bool {
    let text = base.as_str();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let name = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    name == "localhost"
        || name.starts_with("[::1]")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// A good file, with lines before `[[projects]]` and at its end.
    fn file(more: &str) -> String {
        format!(
            "[edge]\nurl = \"https://slipway.example.com\"\n\
             [gitlab]\nurl = \"https://gitlab.example.com\"\ntoken = \"GITLAB_TOKEN\"\n\
             [places.staging]\nkind = \"packagecloud\"\nurl = \"https://p.example.com\"\ntoken = \"STAGING_TOKEN\"\n\
             [places.public]\nkind = \"packagecloud\"\nurl = \"https://p.example.com\"\ntoken = \"PUBLIC_TOKEN\"\n\
             [[projects]]\nid = 1001\nnamespace_id = 71\nname = \"tug\"\nwebhook_token = \"WEBHOOK_TOKEN_TUG\"\n\
             [[routes]]\n\
             staging = {{ place = \"staging\", repository = \"harbour-ci/pre\" }}\n\
             public = {{ place = \"public\", repository = \"harbour/stable\" }}\n{more}"
        )
    }

    fn refused(text: &str) -> String {
        Config::parse(text).map(|_| ()).expect_err(text).to_string()
    }

    #[test]
    fn a_secret_in_place_of_its_name_is_refused_and_not_shown() {
        for secret in
            ["glpat-5ec2e7", "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7", "whsec_c2VjcmV0", "", "SLIPWAY_EDGE_KEY"]
        {
            for name in ["GITLAB_TOKEN", "PUBLIC_TOKEN", "WEBHOOK_TOKEN_TUG"] {
                let error = refused(&file("").replace(name, secret));
                assert!(error.contains("secret"), "{error}");
                assert!(["", "SLIPWAY_EDGE_KEY"].contains(&secret) || !error.contains(secret), "{error}");
            }
        }
    }

    #[test]
    fn one_secret_for_two_purposes_is_refused_with_both() {
        let status = |name: &str| {
            file("")
                .replace("token = \"GITLAB_TOKEN\"", &format!("token = \"GITLAB_TOKEN\"\nstatus_token = \"{name}\""))
        };
        let operator = |name: &str| file("").replace("[gitlab]", &format!("operator_token = \"{name}\"\n[gitlab]"));
        let metrics = |name: &str| {
            let both = format!("operator_token = \"OPERATOR_TOKEN\"\nmetrics_token = \"{name}\"\n[gitlab]");
            file("").replace("[gitlab]", &both)
        };
        let events = |name: &str| {
            file(&format!(
                "[[events]]\nkinds = [\"complete\"]\nurl = \"https://h.example.com\"\nsigning_token = \"{name}\"\n\
                 [[events]]\nkinds = [\"complete\"]\ntrigger = {{ project = 5, ref = \"main\", token = \"TRIGGER_TOKEN\" }}"
            ))
        };
        for (text, one, other) in [
            (status("GITLAB_TOKEN"), "gitlab.token", "gitlab.status_token"),
            (status("PUBLIC_TOKEN"), "gitlab.status_token", "places.public.token"),
            (metrics("OPERATOR_TOKEN"), "edge.operator_token", "edge.metrics_token"),
            (operator("WEBHOOK_TOKEN_TUG"), "edge.operator_token", "projects.tug.webhook_token"),
            (
                file("").replace("WEBHOOK_TOKEN_TUG", "PUBLIC_TOKEN"),
                "places.public.token",
                "projects.tug.webhook_token",
            ),
            (
                events("W2").replace("\"WEBHOOK_TOKEN_TUG\"", "\"WEBHOOK_TOKEN_TUG\"\nsigning_token = \"W2\""),
                "projects.tug.signing_token",
                "events[0].signing_token",
            ),
            (events("TRIGGER_TOKEN"), "events[0].signing_token", "events[1].trigger.token"),
        ] {
            let error = refused(&text);
            assert!(error.contains(&format!("{one} and {other} are the same secret, `")), "{one}, {other}: {error}");
            assert_eq!(error.matches("the same secret").count(), 1, "{error}");
        }
        // Several of one kind may be one: two places of a user, the webhooks of two projects.
        let two = "[[projects]]\nid = 2\nnamespace_id = 3\nname = \"pilot\"\nwebhook_token = \"WEBHOOK_TOKEN_TUG\"\n";
        for text in [file("").replace("PUBLIC_TOKEN", "STAGING_TOKEN"), file(two), events("EVENTS_TOKEN"), status("S")]
        {
            assert!(Config::parse(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_approval_that_would_lapse_before_a_click_can_count_is_refused() {
        let lapse = |span: &str| file(&format!("[approvals]\nlapse = \"{span}\""));
        for span in ["0s", "90s", "9m 59s"] {
            let error = refused(&lapse(span));
            assert!(error.contains("approvals: `lapse`") && error.contains("10m"), "{span}: {error}");
        }
        for span in ["10m", "4h", "2d"] {
            assert!(Config::parse(&lapse(span)).is_ok(), "{span}");
        }
        // Where one tries it out nobody waits for GitLab; no time at all is no approval anywhere.
        let own = |span: &str| lapse(span).replace("https://slipway.example.com", "http://127.0.0.1:8787");
        assert!(Config::parse(&own("5s")).is_ok());
        assert!(refused(&own("0s")).contains("approvals: `lapse`"));
    }

    #[test]
    fn what_is_told_does_not_go_in_the_open() {
        let told = |url: &str| {
            file(&format!("[[events]]\nkinds = [\"complete\"]\nurl = \"{url}\"\nsigning_token = \"EVENTS_TOKEN\""))
        };
        for url in [
            "http://hooks.example.com/slipway",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com",
            "http://10.0.0.7:8080/hook",
        ] {
            let error = refused(&told(url));
            assert!(error.contains("events[0].url") && error.contains("https"), "{url}: {error}");
        }
        for url in [
            "https://hooks.example.com/slipway",
            "http://127.0.0.1:9000/events",
            "http://[::1]:9000",
            "http://localhost:1/",
        ] {
            assert!(Config::parse(&told(url)).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_gate_a_route_and_a_receiver_of_a_project_that_is_not_there_are_refused() {
        let site = |place: &str| format!("{{ place = \"{place}\", repository = \"a/{place}\" }}");
        for more in [
            "[[gates]]\nprojects = [\"tgu\"]\nstaged = true".to_owned(),
            "[[gates]]\nprojects = [\"tug\", \"pilot-*\"]\nstaged = true".to_owned(),
            format!("[[routes]]\nprojects = [\"tgu\"]\nstaging = {}\npublic = {}", site("staging"), site("public")),
            "[[events]]\nprojects = [\"tgu\"]\nkinds = [\"complete\"]\nurl = \"https://h.example.com\"\nsigning_token = \"E\"".to_owned(),
        ] {
            let error = refused(&file(&more));
            assert!(error.contains("fits no project; the names under [[projects]] are: `tug`"), "{error}");
        }
        let fits = file("[[gates]]\nprojects = [\"t*\"]\nstaged = true\n[[gates]]\nprojects = [\"*\"]\nstaged = true");
        assert!(Config::parse(&fits).is_ok());
    }

    #[test]
    fn one_public_repository_under_two_names_of_its_server_is_refused() {
        let places = |url: &str, repository: &str| {
            file(&format!(
                "[[routes]]\nprojects = [\"tug\"]\nstaging = {{ place = \"staging\", repository = \"harbour-ci/pre\" }}\n\
                 public = {{ place = \"again\", repository = \"{repository}\" }}\n\
                 [places.again]\nkind = \"packagecloud\"\nurl = \"{url}\"\ntoken = \"AGAIN_TOKEN\""
            ))
        };
        let error = refused(&places("https://p.example.com", "harbour/stable"));
        assert!(
            error.contains("routes[0] and routes[1] lead to the one public repository `harbour/stable`"),
            "{error}"
        );
        assert!(error.contains("`public` and `again`"), "{error}");
        for (url, repository) in
            [("https://p.example.com", "harbour/unstable"), ("https://other.example.com", "harbour/stable")]
        {
            assert!(Config::parse(&places(url, repository)).is_ok(), "{url} {repository}");
        }
    }

    #[test]
    fn people_sign_in_over_https_or_on_this_very_machine() {
        let at = |url: &str, application: &str| {
            let token = "token = \"GITLAB_TOKEN\"\n";
            let file = file("").replace("https://slipway.example.com", url);
            Config::parse(&file.replace(token, &format!("{token}{application}")))
        };
        let signing_in = "application = \"a1\"\n";
        for url in
            ["https://slipway.example.com", "http://127.0.0.1:8787", "http://localhost:8787", "http://[::1]:8787"]
        {
            assert!(at(url, signing_in).is_ok(), "{url}");
        }
        for url in ["http://slipway.example.com", "http://10.0.0.7:8787", "http://127.0.0.1.example.com"] {
            let error = at(url, signing_in).expect_err(url).to_string();
            assert!(error.contains("edge.url: people sign in here"), "{error}");
            // Programs that show a credential of their own accord are warned of alone.
            assert!(at(url, "").is_ok(), "{url}");
        }
    }

    #[test]
    fn a_pattern_that_no_key_and_no_distro_can_fit_is_refused() {
        let error = refused(&file("[[gates]]\nkeys = [\"EE-*\"]\nstaged = true"));
        assert!(error.contains("gates[0].keys: `EE-*` fits no key"), "{error}");
        let error = refused(&file("").replace("[[routes]]", "[[routes]]\nkeys = [\"ee *\"]\ndistros = [\"jammy\"]"));
        for part in ["routes[0].keys: `ee *`", "routes[0].distros: `jammy`", "`ubuntu/jammy`"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
        let good =
            "[[routes]]\nkeys = [\"ee-*\", \"*\", \"*-el9\", \"a.b\"]\ndistros = [\"*\", \"el/9\", \"ubuntu/*\"]";
        assert!(Config::parse(&file("").replace("[[routes]]", good)).is_ok());
    }

    #[test]
    fn what_may_not_be_meant_is_noted_and_no_mistake() {
        let notes = |text: &str| Config::parse(text).expect(text).notes();
        assert_eq!(notes(&file("")), [""; 0]);
        let project = "[[projects]]\nid = 2\nnamespace_id = 3\nname = \"pilot\"\nwebhook_token = \"W\"\n";
        let second = "[[routes]]\nstaging = { place = \"staging\", repository = \"a/b\" }\npublic = { place = \"public\", repository = \"a/c\" }";
        for (text, note) in [
            (
                file(project).replace("[[routes]]", "[[routes]]\nprojects = [\"tug\"]"),
                "projects.pilot: no route is for it",
            ),
            (file(second), "routes[1] and what follows is never used"),
            (
                file("[places.old]\nkind = \"packagecloud\"\nurl = \"https://o\"\ntoken = \"O\""),
                "places.old: no route uses it",
            ),
            (file("").replace("PUBLIC_TOKEN", "STAGING_TOKEN"), "use one token, `STAGING_TOKEN`"),
            (file("").replace("https://slipway", "http://slipway"), "edge.url: it is not https"),
        ] {
            let notes = notes(&text);
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert!(notes[0].contains(note), "{note} is missing in: {notes:?}");
        }
        assert_eq!(notes(&file("").replace("https://slipway.example.com", "http://127.0.0.1:8787")), [""; 0]);
    }
}
