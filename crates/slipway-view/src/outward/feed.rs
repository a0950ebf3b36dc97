//! Atom feeds (RFC 4287) of what is public: the releases of a project, or the targets of a release.
//!
//! An entry's id is made of what it is about, not of a number of the record, which would tell how much else has happened.

use std::fmt::Write as _;

use slipway_core::api::{PublicRelease, PublicState, PublicSummary};

use super::{BADGE_SECONDS, Outward};
use crate::text::{segment, visible};

/// The year of the ids' `tag:` (RFC 4151): one in which the edge's host was its operator's, and always the same one.
const YEAR: &str = "2026";
/// How many releases a feed has.
const ENTRIES_MAX: usize = 50;

/// A feed: where it is at the edge, and what it is called.
pub(crate) struct Feed {
    pub(crate) path: String,
    pub(crate) title: String,
}

impl Feed {
    /// The feed of the releases of a project.
    pub(crate) fn of_project(project: &str) -> Self {
        Self {
            path: format!("/api/v1/projects/{}/feed.atom", segment(project)),
            title: format!("What {project} has released"),
        }
    }

    /// The feed of what is public of a release.
    pub(crate) fn of_release(release: &PublicRelease) -> Self {
        let (project, version) = (release.project.name.as_str(), release.version.as_str());
        Self {
            path: format!("/api/v1/projects/{}/releases/{}/feed.atom", segment(project), segment(version)),
            title: format!("What is public of {project} {version}"),
        }
    }
}

struct Entry {
    id: String,
    title: String,
    updated: String,
    link: String,
}

/// The feed of a project.
pub(super) fn releases(project: &str, releases: &[PublicSummary], edge: &str) -> Outward {
    let page = format!("{edge}/p/{}", segment(project));
    let entries = releases.iter().take(ENTRIES_MAX).map(|release| Entry {
        id: id(edge, &[project, release.version.as_str()]),
        title: release.verdict.clone(),
        updated: release.at.clone(),
        link: format!("{page}/r/{}", segment(release.version.as_str())),
    });
    write(project, &Feed::of_project(project), &[project], &page, edge, entries.collect())
}

/// The feed of a release.
pub(super) fn release(release: &PublicRelease, edge: &str) -> Outward {
    let (project, version) = (release.project.name.as_str(), release.version.as_str());
    let page = format!("{edge}/p/{}/r/{}", segment(project), segment(version));
    let mut entries = Vec::new();
    for package in &release.packages {
        for target in &package.targets {
            let (name, key) = (target.name(), package.key.as_str());
            let state = match target.state {
                PublicState::Released => "released",
                PublicState::Withdrawn => "withdrawn",
            };
            let path: Vec<String> = name.trim_start_matches(':').split('/').map(segment).collect();
            entries.push(Entry {
                id: id(edge, &[project, version, key, name.trim_start_matches(':'), state]),
                title: format!("{project} {version}: {key} for {name} is {state}."),
                updated: target.since.clone(),
                link: format!("{page}/t/{key}/{}", path.join("/")),
            });
        }
    }
    write(project, &Feed::of_release(release), &[project, version, "targets"], &page, edge, entries)
}

fn write(author: &str, feed: &Feed, about: &[&str], page: &str, edge: &str, mut entries: Vec<Entry>) -> Outward {
    entries.sort_by(|one, other| other.updated.cmp(&one.updated).then_with(|| one.id.cmp(&other.id)));
    let updated = entries.first().map_or("", |entry| entry.updated.as_str());
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        " <id>{}</id>\n <title>{}</title>\n <updated>{}</updated>\n <author><name>{}</name></author>\n \
         <link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n <link rel=\"self\" type=\"application/atom+xml\" href=\"{}\"/>",
        escaped(&id(edge, about)),
        escaped(&feed.title),
        escaped(updated),
        escaped(author),
        escaped(page),
        escaped(&format!("{edge}{}", feed.path)),
    );
    for Entry { id, title, updated, link } in &entries {
        let _ = writeln!(
            text,
            " <entry>\n  <id>{}</id>\n  <title>{}</title>\n  <updated>{}</updated>\n  <link rel=\"alternate\" href=\"{}\"/>\n  \
             <content type=\"text\">{}</content>\n </entry>",
            escaped(id),
            escaped(title),
            escaped(updated),
            escaped(link),
            escaped(title),
        );
    }
    text.push_str("</feed>\n");
    Outward { kind: "application/atom+xml; charset=utf-8", lives_s: BADGE_SECONDS, body: text }
}

/// `tag:slipway.example.com,2026:tug/1.2.0`.
fn id(edge: &str, about: &[&str]) -> String {
    let host = edge.split_once("://").map_or(edge, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    let about: Vec<String> = about.iter().flat_map(|part| part.split('/')).map(segment).collect();
    format!("tag:{host},{YEAR}:{}", about.join("/"))
}

/// Text as XML has it, with nothing invisible in it: XML forbids most control characters outright.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in visible(text).chars() {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            other => shown.push(other),
        }
    }
    shown
}
