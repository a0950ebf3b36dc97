//! A line of the log: one JSON object with a closed list of fields.
//!
//! `work` is the same for everything that comes of one played job: `1001/81`, the project's number and the job's. GitLab knows
//! the job by it, and it needs no memory: the webhook, the job's own call, the order and each report of it have that number.
//! What begins otherwise has an id of the same kind: a run of the retention with all that it deletes, a withdrawal, one reading
//! of a repository, an attestation, an event that others are told of. Each is made of a number that is written down with the work
//! itself, so that it stays the same when the work is cut off and goes on.
//! What a request is asked is said by its row of the table of routes, so that nothing that a stranger writes gets here.

use serde::Serialize;

use crate::release::{Key, Version};
use crate::route::Site;
use crate::time::Timestamp;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It went as it should.
    Info,
    /// An operator may want to look.
    Error,
}

/// What a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request from outside was answered.
    Request,
    /// A webhook's hint was kept.
    Hint,
    /// A package's object has an order.
    Order,
    /// A package's object says how far a target is.
    Report,
    /// A run of the retention, or what it does to a package.
    Retention,
    /// How far it is with what is taken back.
    Withdrawal,
    /// A repository is read whole.
    Sweep,
    /// Something is to be said that has no other place.
    Note,
}

/// A line. What is not known of it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the documentation, and the operators' page has a line for each")]
pub struct Entry<'a> {
    pub level: Level,
    pub event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// The fields that a line may have.
pub const FIELDS: [&str; 16] = [
    "at", "level", "event", "message", "request", "work", "project", "release", "key", "target", "state", "code",
    "method", "route", "status", "ms",
];

/// How long a message may be.
const MESSAGE_CHARACTERS_MAX: usize = 1000;

impl<'a> Entry<'a> {
    /// The same line, of a package of a release.
    #[must_use]
    pub fn about(self, version: &'a Version, key: &'a Key) -> Self {
        Self { release: Some(version.as_str()), key: Some(key.as_str()), ..self }
    }
}

impl Entry<'_> {
    /// A line that says nothing yet.
    pub fn of(level: Level, event: Event) -> Self {
        Self {
            level,
            event,
            message: None,
            request: None,
            work: None,
            project: None,
            release: None,
            key: None,
            target: None,
            state: None,
            code: None,
            method: None,
            route: None,
            status: None,
            ms: None,
        }
    }

    /// Something went wrong with a piece of a project's work.
    pub fn trouble(project_id: u64, work: String, message: &str) -> Self {
        Self { work: Some(work), project: Some(project_id), ..Self::note(Level::Error, message) }
    }

    /// A sentence for the operator.
    pub fn note(level: Level, message: &str) -> Self {
        Self::of(level, Event::Note).saying(message)
    }

    /// The same line with a sentence.
    #[must_use]
    pub fn saying(self, message: &str) -> Self {
        Self { message: Some(scrubbed(message)), ..self }
    }

    /// The line, as it is written.
    pub fn line(&self, at: Timestamp) -> String {
        #[derive(Serialize)]
        struct Dated<'a, T> {
            at: String,
            #[serde(flatten)]
            entry: &'a T,
        }
        serde_json::to_string(&Dated { at: at.to_string(), entry: self }).unwrap_or_default()
    }
}

/// The id of all that comes of a played job.
pub fn work(project_id: u64, job_id: u64) -> String {
    format!("{project_id}/{job_id}")
}

/// The id of a run of a project's retention, and of each deletion that it begins.
pub fn retention_work(project_id: u64, run: u64) -> String {
    format!("{project_id}/retention/{run}")
}

/// The id of what one target's taking back comes to.
pub fn withdrawal_work(project_id: u64, number: u64) -> String {
    format!("{project_id}/withdrawal/{number}")
}

/// The id of what one release of a target gives to be signed and attached.
pub fn attestation_work(project_id: u64, number: u64) -> String {
    format!("{project_id}/attestation/{number}")
}

/// The id of an event that others are told of, in every try.
pub fn event_work(project_id: u64, occurrence: u64) -> String {
    format!("{project_id}/event/{occurrence}")
}

/// The id of what comes of a deployment that GitLab tells of.
pub fn deployment_work(project_id: u64, deployment_id: u64) -> String {
    format!("{project_id}/deployment/{deployment_id}")
}

/// The id of reading a pipeline, for what its webhooks have not told.
pub fn pipeline_work(project_id: u64, pipeline_id: u64) -> String {
    format!("{project_id}/pipeline/{pipeline_id}")
}

/// The id of telling a commit how far a package of its is.
pub fn status_work(project_id: u64, version: &Version, key: &Key) -> String {
    format!("{project_id}/status/{version}/{key}")
}

/// The id of looking again at a package that rests.
pub fn look_work(project_id: u64, version: &Version, key: &Key) -> String {
    format!("{project_id}/look/{version}/{key}")
}

/// The id of putting a project's audit under signed heads.
pub fn audit_work(project_id: u64) -> String {
    format!("{project_id}/audit")
}

/// The id of one reading of a repository.
pub fn sweep_work(site: &Site, began_at: Timestamp) -> String {
    format!("sweep/{}/{}/{}", site.place, site.repository, began_at.0)
}

/// A message without what addresses can carry: users, passwords and queries.
fn scrubbed(message: &str) -> String {
    let words = message.split(' ').map(|word| {
        let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let host = host.split(['?', '#']).next().unwrap_or_default();
        format!("{scheme}://{host}{path}")
    });
    let message: String = words.collect::<Vec<_>>().join(" ");
    message.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_with_known_fields_alone() {
        let full = Entry {
            message: Some("m\nn".to_owned()),
            request: Some("r"),
            work: Some(work(1001, 81)),
            project: Some(1001),
            release: Some("1.2.0"),
            key: Some("k"),
            target: Some("el/9"),
            state: Some("released"),
            code: Some("conflict"),
            method: Some("GET"),
            route: Some("/p/{project}"),
            status: Some(200),
            ms: Some(3),
            ..Entry::of(Level::Info, Event::Request)
        };
        let line = full.line(Timestamp(0));
        assert!(!line.contains('\n'), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let mut names: Vec<&str> = read.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut known = FIELDS;
        known.sort_unstable();
        assert_eq!(names, known);
        assert_eq!((&read["work"], &read["at"]), (&"1001/81".into(), &"1970-01-01T00:00:00.000Z".into()));
    }

    #[test]
    fn a_message_keeps_no_user_password_or_query_of_an_address() {
        for (said, kept) in [
            ("asks https://u:p@h.example/a?token=t now", "asks https://h.example/a now"),
            ("http://h.example?x=1", "http://h.example"),
            ("plain words", "plain words"),
        ] {
            assert_eq!(Entry::note(Level::Error, said).message.as_deref(), Some(kept));
        }
    }
}
