//! What pages share that are kept live by being fetched again. Nothing here is linked into the browser: it takes the
//! elements of the page as they come, and puts those in place that have another mark.

use maud::{Markup, Render, html};
use slipway_core::api::{ActivityRow, GlanceTarget, Project, Source};
use slipway_core::audit::person;
use slipway_core::release::Version;

use super::{BY_ITSELF, Reader, project_path};
use crate::section::{prose, time};
use crate::state::chip;
use crate::text::{Moment, mark, segment, visible};

/// How often a page that is looked at is fetched again, in seconds.
const REFRESH: &str = "15";

/// An element that can be replaced: its id stays the same, and its mark changes with what is inside.
pub(super) fn piece(id: &str, inner: &Markup) -> Markup {
    html! { div #(id) data-mark=(mark(&inner.0)) data-refresh=(REFRESH) { (inner) } }
}

/// When the page's data was read, in the strip above it.
pub(super) fn as_of(at: &str) -> Markup {
    strip(at, BY_ITSELF)
}

/// The same on a page that stands still without scripts, since somebody may be writing in it.
pub(super) fn as_of_still(at: &str) -> Markup {
    strip(at, "reload it to see what is newer")
}

fn strip(at: &str, without_scripts: &str) -> Markup {
    let read = Moment::parse(at).map_or_else(|| visible(at), |moment| moment.clock());
    html! {
        p.freshness {
            span #freshness data-at=(at) { "As of " (read) }
            noscript { span.quiet { " · " (without_scripts) } }
            button #pause type="button" hidden aria-pressed="false" { "Pause updates" }
        }
    }
}

/// The page of a release.
pub(super) fn release_path(project: &Project, version: &Version) -> String {
    format!("{}/r/{}", project_path(project), segment(version.as_str()))
}

/// The page of a target. A tag has no colon in front there, so that the address can be said aloud.
pub(super) fn target_path(project: &Project, version: &Version, key: &str, name: &str) -> String {
    let name = name.strip_prefix(':').unwrap_or(name);
    let name: Vec<String> = name.split('/').map(segment).collect();
    format!("{}/t/{}/{}", release_path(project, version), segment(key), name.join("/"))
}

/// The page of what was done, for one subject.
pub(super) fn activity_path(project: &Project, subject: &str) -> String {
    format!("{}/activity?subject={}", project_path(project), segment(subject))
}

/// What a record is read from, as people call it.
pub(super) fn source_name(source: &Source) -> String {
    source.place.as_deref().map_or_else(|| "GitLab".to_owned(), visible)
}

/// The projects whose records have not answered: what the page says is not said of them.
pub(super) fn unanswered(silent: &[Project], reader: &Reader<'_>) -> Markup {
    html! {
        @if reader.is_untold {
            p.o-stopped {
                b { "Not all may be shown: " }
                "GitLab does not answer to which projects you belong. It is asked again every 15 seconds."
            }
        }
        @if !silent.is_empty() {
            p.o-stopped {
                b { "Not all is shown: " }
                @for (place, project) in silent.iter().enumerate() {
                    @if place > 0 { ", " }
                    a #{ "silent-" (project.id) } href=(project_path(project)) { (visible(&project.name)) }
                }
                " did not answer. Try again in a minute; if that does not help, the operator's log says why."
            }
        }
    }
}

/// One target of any release, as a link to its page.
pub(super) fn line(project: &Project, target: &GlanceTarget, of: &str, names_project: bool) -> Markup {
    let name = target.target.to_string();
    let id = mark(&format!("{}/{}/{}/{name}", project.id, target.version, target.key));
    html! {
        p.who {
            (chip(target.state)) " "
            a.subject #{ (of) "-" (id) } href=(target_path(project, &target.version, target.key.as_str(), &name)) {
                @if names_project { (visible(&project.name)) " " }
                (target.version) " · " (target.key) " · " (visible(&name))
            }
            " " span.since { (time(&target.since)) }
        }
    }
}

/// A cell that says on a phone, where there is no head above it, what it is.
pub(super) fn cell(label: &str, inner: &impl Render) -> Markup {
    html! { td role="cell" data-label=(label) { div { (inner) } } }
}

/// A table of words. Its look changes with the width, and some browsers then forget that it is a table, hence the roles.
pub(super) fn table(labelled_by: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        table.o-table role="table" aria-labelledby=(labelled_by) {
            thead role="rowgroup" {
                tr role="row" { @for head in heads { th scope="col" role="columnheader" { (head) } } }
            }
            tbody role="rowgroup" { (rows) }
        }
    }
}

/// What a row of the audit is about, as a link where there is a page for it.
pub(super) fn subject(project: &Project, row: &ActivityRow, id: &str) -> Markup {
    let (version, key) = row.subject.split_once('/').map_or((row.subject.as_str(), None), |(v, key)| (v, Some(key)));
    // Other rows are about the project as a whole, or about a repository (`place:repository`).
    let is_version = version.bytes().any(|byte| byte.is_ascii_digit()) && row.subject != "slipway.toml";
    let address = version.parse::<Version>().ok().filter(|_| is_version).map(|version| {
        let target = Details::of(row).target();
        match (key, target) {
            (Some(key), Some(name)) => target_path(project, &version, key, &name),
            _ => release_path(project, &version),
        }
    });
    html! {
        @match address {
            Some(address) => a #(id) href=(address) { (visible(&row.subject)) },
            None => (visible(&row.subject)),
        }
    }
}

/// How much of what it is about a line names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The project too.
    Project,
    /// The release, the package and the target.
    Subject,
    /// What the page is not about.
    Target,
}

/// One thing that was done, as a line.
pub(super) fn event(project: &Project, row: &ActivityRow, named: Named) -> Markup {
    let details = Details::of(row);
    html! {
        li {
            span.o-when { (time(&row.at)) } " "
            b.o-action { (visible(&row.action)) } " "
            span {
                @if named == Named::Project { (visible(&project.name)) " " }
                @if let Some(whole) = whole(row).filter(|_| named == Named::Target) { "(" (whole) ") " }
                @if named != Named::Target { (subject(project, row, &format!("e-{}-{}", project.id, row.sequence))) " " }
                @if let Some(name) = details.target().filter(|_| named != Named::Target) { "for " (visible(&name)) " " }
                span.quiet { "by " (visible(person(&row.actor))) }
                @if let Some(why) = details.why() { ": " (prose(&why)) }
            }
        }
    }
}

/// What a row is about that concerns more than one package.
fn whole(row: &ActivityRow) -> Option<&'static str> {
    match (row.action.as_str(), row.subject.as_str()) {
        ("stopped" | "started", "everything") => Some("everything"),
        ("stopped" | "started", _) => Some("the project"),
        ("held" | "lifted" | "extended", _) if Details::of(row).keys().is_none() => Some("the whole release"),
        _ => None,
    }
}

/// What else a row of the audit says. It is read for people, so what is not understood is no failure.
pub(super) struct Details(Vec<(String, serde_json::Value)>);

impl Details {
    pub(super) fn of(row: &ActivityRow) -> Self {
        match serde_json::from_str(&row.details) {
            Ok(serde_json::Value::Object(fields)) => Self(fields.into_iter().filter(|(_, of)| !of.is_null()).collect()),
            _ => Self(vec![("details".to_owned(), row.details.as_str().into())]),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name)?.1.as_str()
    }

    /// The one target that the row is about, by its name's text form.
    pub(super) fn target(&self) -> Option<String> {
        let tag = self.text("tag").map(|tag| format!(":{tag}"));
        tag.or_else(|| self.text("distro").map(str::to_owned))
    }

    /// Whether the row is about this target, or about all of its package's.
    pub(super) fn is_about(&self, name: &str) -> bool {
        if let Some(target) = self.target() {
            return target == name;
        }
        let all: Vec<String> = self
            .0
            .iter()
            .filter(|(of, _)| of == "distros" || of == "tags")
            .flat_map(|(of, list)| {
                let names = list.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
                names.map(|name| if of == "tags" { format!(":{name}") } else { name.to_owned() }).collect::<Vec<_>>()
            })
            .collect();
        all.is_empty() || all.iter().any(|of| of == name)
    }

    /// The packages that a row about a release names. `None` where it is about all of them.
    fn keys(&self) -> Option<impl Iterator<Item = &str>> {
        let (_, keys) = self.0.iter().find(|(of, _)| of == "keys")?;
        Some(keys.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str))
    }

    /// Whether a row about a release concerns this package.
    pub(super) fn is_of_package(&self, key: &str) -> bool {
        self.keys().is_none_or(|mut keys| keys.any(|of| of == key))
    }

    /// Why, in a person's words or in the edge's.
    fn why(&self) -> Option<String> {
        ["why", "reason"].into_iter().find_map(|name| self.text(name)).map(str::to_owned)
    }

    /// Each field as people read it.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| (name.as_str(), words(value)))
    }
}

fn words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
