//! What is staged, beside what is public of the newest earlier release: what would change for users.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use slipway_core::amount::size;
use slipway_core::api::{Against, AgainstRow, Depends, FileFact};

use super::piece::{as_of, cell, piece, release_path, table};
use super::{Reader, Shell, project_path};
use crate::section::{prose, time};
use crate::text::{grouped, segment, visible};

/// How a package differs from what is public of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Difference {
    New,
    Changed,
    Same,
    Gone,
    Unknown,
}

impl Difference {
    fn of(row: &AgainstRow) -> Self {
        match (&row.staged, &row.public) {
            (Some(staged), Some(public)) if staged.digest == public.digest => Self::Same,
            (Some(_), Some(_)) => Self::Changed,
            (Some(_), None) => Self::New,
            (None, Some(_)) => Self::Gone,
            (None, None) => Self::Unknown,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Same => "the same bytes",
            Self::Gone => "not staged in this release",
            Self::Unknown => "not known",
        }
    }
}

/// Staged against public, a package a row.
pub fn against(view: &Against, reader: &Reader<'_>) -> Markup {
    let name = visible(&view.project.name);
    let trail = [
        ("Projects", "/".to_owned()),
        (name.as_str(), project_path(&view.project)),
        (view.version.as_str(), release_path(&view.project, &view.version)),
        ("Staged and public", String::new()),
    ];
    let title = format!("Staged and public · {} · {name}", view.version);
    // Fetching the page again would ask the package servers again, so with their answer it stands still.
    let is_asked =
        view.rows.iter().flat_map(|row| [&row.public, &row.staged]).flatten().any(|file| file.depends.is_some());
    let comparison = comparison(view);
    Shell { title: &title, trail: &trail, is_alarming: false, reader }.page(
        &if is_asked { html! {} } else { as_of(&view.at) },
        &html! {
            main #main {
                h1 { (name) " " (view.version) ": staged, and public" }
                @if is_asked {
                    (comparison)
                    p.quiet { "Read " (time(&view.at)) ". This page does not change by itself; reload it to ask again." }
                } @else { (piece("against", &comparison)) }
            }
        },
        &html! {
            p { "Versions, names, sizes and digests are from the record; dependencies from the package server, asked when somebody wants them." }
        },
    )
}

fn comparison(view: &Against) -> Markup {
    html! {
        p.sentence { (sentence(view)) }
        @if view.rows.is_empty() {
            div.empty { p { "Nothing is expected in this release yet, so there is nothing to compare." } }
        } @else {
            h2 #against-title { "Packages" }
            (table(
                "against-title",
                &["Package", "Difference", "Public now", "Staged", "Size", "Dependencies"],
                &html! { @for row in &view.rows { (line(view, row)) } },
            ))
        }
    }
}

fn sentence(view: &Against) -> String {
    let count = |wanted: Difference| view.rows.iter().filter(|row| Difference::of(row) == wanted).count();
    let Some(before) = &view.before else {
        return match view.rows.len() {
            1 => "No earlier release is public, so this package is new.".to_owned(),
            all => format!("No earlier release is public, so all {all} packages are new."),
        };
    };
    let counts = [
        (count(Difference::Changed), "changed"),
        (count(Difference::New), "new"),
        (count(Difference::Same), "with the same bytes"),
        (count(Difference::Gone), "not staged any more"),
        (count(Difference::Unknown), "not known"),
    ];
    let said: Vec<String> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| format!("{number} {words}"))
        .collect();
    format!("Against {before}: {}.", if said.is_empty() { "nothing to compare".to_owned() } else { said.join(", ") })
}

fn line(view: &Against, row: &AgainstRow) -> Markup {
    let difference = Difference::of(row);
    html! {
        tr #{ "a-" (row.key) } role="row" {
            th role="rowheader" scope="row" { (row.key) }
            (cell("Difference", &html! {
                b { (difference.words()) }
                @if let Some(why) = &row.why { " " span.quiet { (prose(why)) } }
            }))
            (cell("Public now", &file(row.public.as_ref())))
            (cell("Staged", &file(row.staged.as_ref())))
            (cell("Size", &sizes(row)))
            (cell("Dependencies", &dependencies(view, row)))
        }
    }
}

fn file(file: Option<&FileFact>) -> Markup {
    html! {
        @match file {
            Some(file) => {
                span.file { (visible(&file.name)) } " " span.quiet { "of " (file.version) } " "
                code.short { (file.digest.hex().chars().take(12).collect::<String>()) }
            },
            None => span.quiet { "none" },
        }
    }
}

/// Both sizes, and by how much the new one is larger or smaller.
fn sizes(row: &AgainstRow) -> Markup {
    html! {
        @match (&row.public, &row.staged) {
            (Some(public), Some(staged)) => {
                (size(public.size)) " → " (size(staged.size))
                @if staged.size != public.size {
                    " (" (if staged.size > public.size { "+" } else { "−" })
                    (grouped(staged.size.abs_diff(public.size))) " bytes)"
                }
            },
            (Some(one), None) | (None, Some(one)) => (size(one.size)),
            (None, None) => "",
        }
    }
}

/// What it depends on, before and after; or where that is asked.
fn dependencies(view: &Against, row: &AgainstRow) -> Markup {
    let known = |file: &Option<FileFact>| file.as_ref().and_then(|file| file.depends.as_deref().map(listed));
    let (public, staged) = (known(&row.public), known(&row.staged));
    if public.is_none() && staged.is_none() {
        // An image has no such thing, and of what is not there nobody can be asked.
        let is_file = [&row.public, &row.staged].into_iter().flatten().any(|file| !file.name.contains('/'));
        if !is_file {
            return html! {};
        }
        let address =
            format!("{}/against?key={}", release_path(&view.project, &view.version), segment(row.key.as_str()));
        return html! { a #{ "ask-" (row.key) } href={ (address) "#a-" (row.key) } { "Ask the package server" } };
    }
    html! {
        @match (&public, &staged) {
            (Some(public), Some(staged)) if public == staged => { "the same: " (all(staged)) },
            (Some(public), Some(staged)) => (changes(public, staged)),
            (None, Some(one)) | (Some(one), None) => (all(one)),
            (None, None) => "",
        }
    }
}

type Listed = BTreeMap<String, BTreeSet<String>>;

fn listed(depends: &[Depends]) -> Listed {
    let mut listed = Listed::new();
    for depends in depends {
        listed.entry(depends.context.clone()).or_default().extend(depends.on.iter().cloned());
    }
    listed
}

fn all(listed: &Listed) -> Markup {
    html! {
        @if listed.values().all(BTreeSet::is_empty) { span.quiet { "none" } }
        @else {
            ul.t-list {
                @for (context, on) in listed {
                    @for on in on { li { span.quiet { (visible(context)) } " " code { (visible(on)) } } }
                }
            }
        }
    }
}

/// What was added and what was left out. The rest is as it was.
fn changes(public: &Listed, staged: &Listed) -> Markup {
    let pairs = |of: &Listed| -> BTreeSet<(String, String)> {
        of.iter().flat_map(|(context, on)| on.iter().map(|on| (context.clone(), on.clone()))).collect()
    };
    let (before, after) = (pairs(public), pairs(staged));
    html! {
        ul.t-list {
            @for (context, on) in after.difference(&before) {
                li { b { "+ " span.unseen { "added: " } } span.quiet { (visible(context)) } " " code { (visible(on)) } }
            }
            @for (context, on) in before.difference(&after) {
                li { b { "− " span.unseen { "left out: " } } span.quiet { (visible(context)) } " " code { (visible(on)) } }
            }
        }
        span.quiet { (before.intersection(&after).count()) " as before" }
    }
}
