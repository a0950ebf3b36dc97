//! How Slipway itself is: how old what it knows is, and what it has not worked on yet.

use maud::{Markup, html};
use slipway_core::amount::stretch;
use slipway_core::api::{Project, Source, Standing, StandingProject};

use super::piece::{as_of, cell, piece, source_name, table, unanswered};
use super::{Reader, Shell, project_path};
use crate::section::{prose, time, waits};
use crate::text::{Moment, visible};

/// The deployment, as far as the reader may know of it. `silent`: the projects whose records have not answered.
pub fn status(view: &Standing, silent: &[Project], reader: &Reader<'_>) -> Markup {
    let trail = [("Projects", "/".to_owned()), ("Status", String::new())];
    let troubles = troubles(view);
    Shell { title: "Status of Slipway", trail: &trail, is_alarming: troubles > 0 || !silent.is_empty(), reader }.page(
        &as_of(&view.at),
        &html! {
            main #main {
                h1 { "Status of Slipway" }
                (piece("standing", &html! {
                    p.sentence { (sentence(view, troubles)) }
                    (unanswered(silent, reader))
                    @for project in &view.projects { (of_project(view, project)) }
                }))
            }
        },
        &html! { p { "Slipway " (visible(&view.build)) } },
    )
}

/// How many sources could not be read.
fn troubles(view: &Standing) -> usize {
    view.projects.iter().flat_map(|project| &project.sources).filter(|source| source.trouble.is_some()).count()
}

fn sentence(view: &Standing, troubles: usize) -> String {
    let stopped = view.projects.iter().filter(|project| project.stopped.is_some()).count();
    let waiting: u64 = view.projects.iter().map(|project| project.hints_open).sum();
    let sources = match troubles {
        0 => "Every source was read when it was last asked.".to_owned(),
        1 => "One source could not be read when it was last asked.".to_owned(),
        number => format!("{number} sources could not be read when they were last asked."),
    };
    let stopped = match stopped {
        0 => String::new(),
        1 => " One project is stopped.".to_owned(),
        number => format!(" {number} projects are stopped."),
    };
    let waiting = match waiting {
        0 => String::new(),
        1 => " One webhook waits.".to_owned(),
        number => format!(" {number} webhooks wait."),
    };
    format!("{sources}{stopped}{waiting}")
}

fn of_project(view: &Standing, project: &StandingProject) -> Markup {
    let title = format!("status-{}", project.project.id);
    html! {
        h2 #(title) { a href=(project_path(&project.project)) { (visible(&project.project.name)) } }
        @if let Some(stopped) = &project.stopped { p.o-stopped { b { "Nothing is published or deleted now. " } (waits(stopped)) } }
        dl.facts {
            div {
                dt { "Webhooks not worked on yet" }
                dd {
                    (project.hints_open)
                    @if let Some(oldest) = &project.oldest_hint_at { ", the oldest came " (time(oldest)) (age(&view.at, oldest)) }
                }
            }
            div {
                dt { "Last webhook" }
                dd {
                    @match &project.last_webhook_at {
                        Some(at) => { (time(at)) (age(&view.at, at)) },
                        None => "None has come yet.",
                    }
                }
            }
            div { dt { "Live pages" } dd { (project.sockets) } }
        }
        @if !project.sources.is_empty() {
            (table(&title, &["Read from", "Last read", "What is the matter"], &html! {
                @for source in &project.sources { (of_source(view, source)) }
            }))
        }
    }
}

fn of_source(view: &Standing, source: &Source) -> Markup {
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { (source_name(source)) }
            (cell("Last read", &html! {
                @match &source.read_at {
                    Some(at) => { (time(at)) (age(&view.at, at)) },
                    None => "Not yet.",
                }
            }))
            (cell("What is the matter", &html! {
                @match &source.trouble {
                    Some(trouble) => b.o-trouble { (prose(trouble)) },
                    None => span.quiet { "Nothing" },
                }
            }))
        }
    }
}

/// How old something was when the page was read: `, 4 min before`. With scripts, the time itself says it.
fn age(at: &str, then: &str) -> Markup {
    let seconds = |text: &str| Moment::parse(text).map(|moment| moment.seconds());
    let age = seconds(at).zip(seconds(then)).and_then(|(at, then)| u64::try_from(at - then).ok());
    html! {
        @if let Some(age) = age { noscript { span.quiet { ", " (stretch(std::time::Duration::from_secs(age))) " before this was read" } } }
    }
}
