//! `[[events]]`: who is told what happens to releases. Jobs that wait for a release start from such an event.

use serde::Deserialize;
use slipway_wire::Base;

use super::Project;
use crate::route::{Glob, anything};

/// What is told of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Everything that is not left out on purpose is released: told once.
    Complete,
    /// A package has failed or is missing, or what was released is not there any more.
    NeedsPerson,
    /// The public place, or staging, has other bytes under a package's name.
    Conflict,
    /// A public repository has something that did not come through Slipway. It belongs to no release.
    Stranger,
    /// The deletion of a staged package is announced.
    Announced,
}

impl EventKind {
    /// The word in settings, events and the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NeedsPerson => "needs_person",
            Self::Conflict => "conflict",
            Self::Stranger => "stranger",
            Self::Announced => "announced",
        }
    }
}

/// `[[events]]`: one receiver.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Said")]
pub struct Events {
    projects: Vec<Glob>,
    /// What is told.
    pub kinds: Vec<EventKind>,
    /// Whom.
    pub to: Receiver,
}

/// Who is told.
#[derive(Clone, Debug)]
pub enum Receiver {
    /// Whoever listens at an address, by a request that is signed as Standard Webhooks are.
    Webhook {
        /// The address.
        url: Base,
        /// The name of the secret (`whsec_…`) that it is signed with.
        signing_token: String,
    },
    /// A GitLab project, which runs a pipeline.
    Pipeline(Trigger),
}

/// A pipeline that is started.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// GitLab's id of its project.
    pub project: u64,
    /// Its branch or tag.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The name of the secret with the project's trigger token.
    pub token: String,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default = "anything")]
    projects: Vec<Glob>,
    kinds: Vec<EventKind>,
    url: Option<Base>,
    signing_token: Option<String>,
    trigger: Option<Trigger>,
}

/// Why a receiver cannot be used.
#[derive(Debug, thiserror::Error)]
enum InvalidEvents {
    #[error("`kinds` is empty; name what is told: \"complete\", \"needs_person\", \"conflict\", \"stranger\"")]
    NoKinds,
    #[error("events go to a `url` with its `signing_token`, or to a `trigger`, and to one of them")]
    NoReceiver,
}

impl TryFrom<Said> for Events {
    type Error = InvalidEvents;

    fn try_from(said: Said) -> Result<Self, InvalidEvents> {
        let to = match (said.url, said.signing_token, said.trigger) {
            (Some(url), Some(signing_token), None) => Receiver::Webhook { url, signing_token },
            (None, None, Some(trigger)) => Receiver::Pipeline(trigger),
            _ => return Err(InvalidEvents::NoReceiver),
        };
        if said.kinds.is_empty() {
            return Err(InvalidEvents::NoKinds);
        }
        Ok(Self { projects: said.projects, kinds: said.kinds, to })
    }
}

impl Events {
    /// Whose events go here.
    pub(super) fn projects(&self) -> &[Glob] {
        &self.projects
    }

    /// Whether a project's events go here.
    pub fn concern(&self, project: &Project) -> bool {
        self.projects.iter().any(|glob| glob.fits(project.name.as_str()))
    }

    /// The receiver's name in the record. It stays while secrets and kinds change.
    pub fn receiver(&self) -> String {
        match &self.to {
            Receiver::Webhook { url, .. } => url.to_string(),
            Receiver::Pipeline(Trigger { project, ref_name, .. }) => format!("pipeline of {project} at {ref_name}"),
        }
    }
}

/// What cannot be used about all receivers together.
pub(super) fn problems(events: &[Events]) -> Vec<String> {
    let names: Vec<String> = events.iter().map(Events::receiver).collect();
    let twice = names.iter().enumerate().filter(|(index, name)| names.iter().take(*index).any(|other| other == *name));
    twice
        .map(|(index, name)| format!("events[{index}]: `{name}` is there twice; name all its `kinds` at once"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Events, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    const WEBHOOK: &str = "kinds = [\"complete\", \"conflict\"]\nurl = \"https://hooks.example.com/slipway\"\nsigning_token = \"EVENTS_TOKEN\"";
    const TRIGGER: &str = "projects = [\"tug\"]\nkinds = [\"complete\"]\ntrigger = { project = 5, ref = \"main\", token = \"TRIGGER_TOKEN\" }";

    #[test]
    fn events_go_to_an_address_or_start_a_pipeline() {
        let webhook = parse(WEBHOOK).expect("a webhook");
        assert_eq!(webhook.kinds, [EventKind::Complete, EventKind::Conflict]);
        assert_eq!(webhook.receiver(), "https://hooks.example.com/slipway");
        let trigger = parse(TRIGGER).expect("a trigger");
        assert_eq!(trigger.receiver(), "pipeline of 5 at main");
    }

    #[test]
    fn a_receiver_that_is_none_or_two_is_refused() {
        for (text, why) in [
            ("kinds = [\"complete\"]".to_owned(), "to one of them"),
            (WEBHOOK.replace("signing_token = \"EVENTS_TOKEN\"", ""), "to one of them"),
            (format!("{WEBHOOK}\n{}", TRIGGER.lines().last().unwrap_or_default()), "to one of them"),
            (WEBHOOK.replace("\"complete\", \"conflict\"", ""), "`kinds` is empty"),
            (WEBHOOK.replace("conflict", "released"), "unknown variant"),
            (WEBHOOK.replace("https://hooks.example.com/slipway", "hooks"), "is not the address"),
            (format!("{WEBHOOK}\nsecret = \"x\""), "unknown field"),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn a_receiver_is_named_once() {
        let once = [parse(WEBHOOK).expect("a webhook"), parse(TRIGGER).expect("a trigger")];
        assert!(problems(&once).is_empty());
        let twice = [parse(WEBHOOK).expect("a webhook"), parse(WEBHOOK).expect("a webhook")];
        assert_eq!(problems(&twice).len(), 1);
    }
}
