//! What can be read and cannot be meant: a secret in place of its name, a pattern that nothing fits.
//!
//! A misspelt project in a gate would be a gate that is not there, so it stops the file like any other mistake. What may be so
//! for a while, such as a project that has no route yet, is a note.

use std::collections::BTreeSet;

use super::{Config, File, Receiver};
use crate::release::Key;
use crate::route::Glob;

/// The edge's own key, which nothing else may be.
const EDGE_KEY: &str = "SLIPWAY_EDGE_KEY";

/// Everything of the kind in a file.
pub(super) fn problems(file: &File) -> Vec<String> {
    let mut problems = secrets(file);
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

/// Settings that name a secret, and hold something else. What they hold is not shown: it may be the secret.
fn secrets(file: &File) -> Vec<String> {
    let mut settings = vec![("gitlab.token".to_owned(), Some(&file.gitlab.token))];
    for (setting, value) in [
        ("edge.operator_token", &file.edge.operator_token),
        ("gitlab.status_token", &file.gitlab.status_token),
        ("gitlab.keys", &file.gitlab.keys),
    ] {
        // That one of these is empty is said where they are read.
        settings.push((setting.to_owned(), value.as_ref().filter(|value| !value.trim().is_empty())));
    }
    for (name, place) in &file.places {
        settings.push((format!("places.{name}.token"), Some(&place.token)));
    }
    for project in &file.projects {
        settings.push((format!("projects.{}.webhook_token", project.name), project.webhook_token.as_ref()));
        settings.push((format!("projects.{}.signing_token", project.name), project.signing_token.as_ref()));
    }
    for (index, events) in file.events.iter().enumerate() {
        settings.push(match &events.to {
            Receiver::Webhook { signing_token, .. } => (format!("events[{index}].signing_token"), Some(signing_token)),
            Receiver::Pipeline(trigger) => (format!("events[{index}].trigger.token"), Some(&trigger.token)),
        });
    }
    let said = settings.into_iter().filter_map(|(setting, value)| Some((setting, value?.as_str())));
    let wrong = said.filter(|(_, value)| *value == EDGE_KEY || !is_name(value));
    wrong
        .map(|(setting, value)| match value {
            EDGE_KEY => format!("{setting}: `{EDGE_KEY}` is the edge's own key; name another secret"),
            _ => format!(
                "{setting}: it must be the NAME of a secret, in capitals, digits and `_`, such as `PUBLIC_TOKEN`. If it is the \
                 secret itself, revoke that one, and give the new one to `npx wrangler secret put NAME`"
            ),
        })
        .collect()
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
            if is_open(base.as_str()) {
                notes.push(format!("{setting}: it is not https, so tokens can be read on the way"));
            }
        }
        notes
    }
}

/// Whether somebody else could read what goes there.
fn is_open(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap_or("localhost");
    !["localhost", "127.", "[::1]"].iter().any(|own| host.starts_with(own))
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
