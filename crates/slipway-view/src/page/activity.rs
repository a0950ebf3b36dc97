//! What was done, by whom: the audit for people, newest first, with filters that are kept in the address.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use maud::{Markup, html};
use slipway_core::api::{Activity, ActivityRow};
use slipway_core::query::ActivityQuery;
use slipway_core::time::Timestamp;

use super::piece::{Details, as_of_still, cell, piece, subject, table};
use super::{Reader, Shell, project_path};
use crate::section::time;
use crate::text::{grouped, segment, visible};

/// What people look for most, offered before a page has shown it. The words are those of `docs/audit.md`.
const OFTEN: [&str; 9] =
    ["approved", "closed", "conflict", "deployed", "failed", "held", "refused", "released", "withdrawn"];

/// A page of what was done. `query` is what was asked for; what of it was not understood is not in it.
pub fn activity(view: &Activity, query: &ActivityQuery, reader: &Reader<'_>) -> Markup {
    let name = visible(&view.project.name);
    let path = format!("{}/activity", project_path(&view.project));
    let trail =
        [("Projects", "/".to_owned()), (name.as_str(), project_path(&view.project)), ("Activity", String::new())];
    let title = format!("Activity · {name}");
    let whole = format!("/api/v1/projects/{}/audit", segment(&view.project.name));
    Shell { title: &title, trail: &trail, is_alarming: false, reader }.page(
        &as_of_still(&view.at),
        &html! {
            main #main {
                h1 #activity-title { "Activity of " (name) }
                // Folded, it leaves a phone's window to the rows; where there is room, the style sheet holds it open.
                details.o-fold #activity-fold open[is_filtered(query)] {
                    summary #activity-narrow { "Narrow down" }
                    (form(&path, view, query))
                }
                (piece("activity", &html! {
                    p.quiet { (said(view, query)) }
                    @if !view.rows.is_empty() {
                        (table("activity-title", &["When", "Who", "What", "Of what", "More"], &html! {
                            @for row in &view.rows { (line(view, row)) }
                        }))
                    }
                    p.o-pages {
                        @if query.before.is_some() {
                            a #newest href={ (path) (text(&ActivityQuery { before: None, ..query.clone() })) } { "Newest" }
                        }
                        @if let Some(older) = view.older {
                            a #older rel="next" href={ (path) (text(&ActivityQuery { before: Some(older), ..query.clone() })) } { "Older" }
                        }
                        a #csv href={ (path) (text(&ActivityQuery { csv: true, before: None, ..query.clone() })) } download { "As CSV" }
                    }
                }))
            }
        },
        &html! {
            p {
                "Rows are never changed or deleted, and each proves the ones before it: "
                a href=(whole) { "the whole audit" } " can be checked."
            }
        },
    )
}

fn form(path: &str, view: &Activity, query: &ActivityQuery) -> Markup {
    let mut actions: BTreeSet<&str> = view.rows.iter().map(|row| row.action.as_str()).collect();
    actions.extend(OFTEN);
    // As far as a form's field reads: to the minute, which `to` is the end of.
    let minute = |at: Option<Timestamp>| at.and_then(|at| at.to_string().get(..16).map(str::to_owned));
    html! {
        form.o-filter #activity-filter method="get" action=(path) role="search" {
            div {
                label for="filter-actor" { "Who" }
                input #filter-actor type="search" name="actor" value=[query.actor.as_deref()] placeholder="mira"
                    autocomplete="off" spellcheck="false";
            }
            div {
                label for="filter-action" { "What" }
                input #filter-action type="search" name="action" value=[query.action.as_deref()] placeholder="released"
                    list="actions" autocomplete="off" spellcheck="false";
                datalist #actions { @for action in actions { option value=(visible(action)) {} } }
            }
            div {
                label for="filter-subject" { "Of what" }
                input #filter-subject type="search" name="subject" value=[query.subject.as_deref()]
                    placeholder="1.2.0, or 1.2.0/key" autocomplete="off" spellcheck="false";
            }
            div {
                label for="filter-from" { "From (UTC)" }
                input #filter-from type="datetime-local" name="from" value=[minute(query.from)];
            }
            div {
                label for="filter-to" { "To (UTC)" }
                input #filter-to type="datetime-local" name="to" value=[minute(query.to.map(|to| to - Duration::from_millis(1)))];
            }
            button type="submit" { "Show" }
            @if is_filtered(query) { a #all href=(path) { "Show all" } }
        }
    }
}

fn is_filtered(query: &ActivityQuery) -> bool {
    query.actor.is_some()
        || query.action.is_some()
        || query.subject.is_some()
        || query.from.is_some()
        || query.to.is_some()
}

/// What is shown, in words.
fn said(view: &Activity, query: &ActivityQuery) -> String {
    if view.rows.is_empty() && view.older.is_some() {
        return "No row matches the filter as far as was looked; “Older” looks further back.".to_owned();
    }
    let rows = match (view.rows.len(), is_filtered(query)) {
        (0, true) => "Nothing that was done matches the filter".to_owned(),
        (0, false) => "Nothing has been done yet".to_owned(),
        (1, _) => "One row".to_owned(),
        (rows, _) => format!("{} rows, newest first", grouped(u64::try_from(rows).unwrap_or(u64::MAX))),
    };
    match view.older {
        Some(_) => format!("{rows}; there are older ones."),
        None => format!("{rows}."),
    }
}

fn line(view: &Activity, row: &ActivityRow) -> Markup {
    let details = Details::of(row);
    html! {
        tr #{ "r-" (row.sequence) } role="row" {
            (cell("When", &html! {
                a #{ "row-" (row.sequence) } href={ "#r-" (row.sequence) } title={ "Row " (row.sequence) } { (time(&row.at)) }
            }))
            (cell("Who", &visible(&row.actor)))
            (cell("What", &html! { b { (visible(&row.action)) } }))
            (cell("Of what", &html! {
                (subject(&view.project, row, &format!("of-{}", row.sequence)))
                @if let Some(name) = details.target() { " for " (visible(&name)) }
            }))
            (cell("More", &html! {
                dl.o-details {
                    @for (name, value) in details.fields().filter(|(name, _)| !["distro", "tag"].contains(name)) {
                        div { dt { (visible(name)) } dd { (visible(&value)) } }
                    }
                }
            }))
        }
    }
}

/// What is asked for, as an address's query with its `?`; empty when all is. The same view has the same text.
fn text(query: &ActivityQuery) -> String {
    let ActivityQuery { actor, action, subject, from, to, before, csv } = query;
    let moment = |at: &Option<Timestamp>| at.map(|at| at.to_string());
    let pairs = [
        ("actor", actor.clone()),
        ("action", action.clone()),
        ("subject", subject.clone()),
        ("from", moment(from)),
        ("to", moment(to)),
        ("before", before.map(|before| before.to_string())),
        ("format", csv.then(|| "csv".to_owned())),
    ];
    let mut text = String::new();
    for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        text.push(if text.is_empty() { '?' } else { '&' });
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{name}={}", segment(&value));
    }
    text
}
