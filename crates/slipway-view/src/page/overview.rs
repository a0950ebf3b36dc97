//! What leads to the releases: what is going on in all projects, and in one of them.

use maud::{Markup, html};
use slipway_core::api::{Activity, Glance, GlanceRelease, GlanceTarget, Project, Stopped};
use slipway_core::release::ReleaseState;

use super::piece::{Named, as_of, event, line, piece, release_path, unanswered};
use super::{Reader, Shell, project_path, search};
use crate::section::{prose, time};
use crate::state::{Tone, chip, release_chip, release_words, tone};
use crate::text::{Moment, visible};

/// How many of the last events a page shows.
const EVENTS: usize = 10;
/// How many releases that are over the front page names for each project.
const OVER: usize = 3;

/// What is being released in the reader's projects, and what of it needs a person. `latest`: what was done last in each.
/// `silent`: the projects whose records have not answered.
pub fn overview(glances: &[Glance], latest: &[Activity], silent: &[Project], reader: &Reader<'_>) -> Markup {
    let all = || glances.iter().flat_map(|glance| glance.releases.iter().map(move |release| (glance, release)));
    let open: Vec<_> = all().filter(|(_, release)| is_open(release.state)).collect();
    let is_alarming = !silent.is_empty() || open.iter().any(|(_, release)| !release.needs.is_empty());
    let at = glances.iter().map(|glance| glance.at.as_str()).min().unwrap_or_default();
    let status = if glances.is_empty() {
        html! {}
    } else {
        as_of(at)
    };
    Shell { title: &title(&open), trail: &[], is_alarming, reader }.page(
        &status,
        &html! {
            main #main {
                @if glances.is_empty() && silent.is_empty() {
                    h1 { "Projects" }
                    p.sentence { "No project yet." }
                    div.empty {
                        p { "Projects are listed in " code { "slipway.toml" } ". Add one, and deploy Slipway again:" }
                        pre tabindex="0" { code { "[[projects]]\nid = 1001\nnamespace_id = 71\nname = \"tug\"\nwebhook_token = \"WEBHOOK_TOKEN_TUG\"" } }
                    }
                } @else {
                    (piece("now", &html! { h1.sentence { (now(&open, all().max_by_key(|(_, release)| &release.changed_at))) } }))
                    (search::form(""))
                    (piece("silent", &unanswered(silent, reader)))
                    (piece("needs", &needs(glances, true)))
                    (piece("moving", &moving(&open, true)))
                    (piece("open", &in_flight(&open)))
                    (piece("events", &last_events(latest)))
                    (piece("projects", &html! {
                        h2 { "Projects" }
                        ul.cards { @for glance in glances { li.card { (project_card(glance)) } } }
                    }))
                }
            }
        },
        &footer(),
    )
}

/// A project: what is being released, what of it needs a person, and what was released before.
pub fn project(glance: &Glance, latest: &Activity, reader: &Reader<'_>) -> Markup {
    let name = visible(&glance.project.name);
    let own = || glance.releases.iter().map(|release| (glance, release));
    let open: Vec<_> = own().filter(|(_, release)| is_open(release.state)).collect();
    let is_alarming = open.iter().any(|(_, release)| !release.needs.is_empty());
    let title = format!("{} · {name}", title(&open));
    let trail = [("Projects", "/".to_owned()), (name.as_str(), String::new())];
    Shell { title: &title, trail: &trail, is_alarming, reader }.page_of(
        Some(&project_path(&glance.project)),
        &as_of(&glance.at),
        &html! {
            main #main {
                (piece("now", &html! {
                    h1 { (name) }
                    p.sentence {
                        @if glance.releases.is_empty() { "No release yet." }
                        @else { (now(&open, own().max_by_key(|(_, release)| &release.changed_at))) }
                    }
                }))
                @if glance.releases.is_empty() {
                    div.empty {
                        p {
                            "A release appears as soon as a pipeline's first job says what to expect: "
                            code { "slipway plan KEY=DISTRO" } ", or " code { "KEY=TAG:image" } "."
                        }
                    }
                }
                (piece("needs", &needs(std::slice::from_ref(glance), false)))
                (piece("moving", &moving(&open, false)))
                (piece("open", &in_flight(&open)))
                (piece("over", &over(glance)))
                (piece("events", &last_events(std::slice::from_ref(latest))))
            }
        },
        &footer(),
    )
}

/// A release, with the project that it is of.
type Open<'a> = (&'a Glance, &'a GlanceRelease);

fn footer() -> Markup {
    html! { p { a href="/help/states" { "What the words mean" } " · " a href="/status" { "How Slipway itself is" } } }
}

fn is_open(state: ReleaseState) -> bool {
    matches!(state, ReleaseState::Expected | ReleaseState::Staged)
}

/// The title says what somebody looks for who has many tabs open.
fn title(open: &[Open<'_>]) -> String {
    let needing: usize = open.iter().map(|(_, release)| release.needs.len()).sum();
    match (needing, open.len()) {
        (0, 0) => "Nothing is being released".to_owned(),
        (0, open) => format!("{open} under way"),
        (needing, _) => format!("{needing} need you"),
    }
}

/// What is going on, in a sentence or two.
fn now(open: &[Open<'_>], last: Option<Open<'_>>) -> Markup {
    let needing: usize = open.iter().map(|(_, release)| release.needs.len()).sum();
    html! {
        @match (open.len(), last) {
            (0, None) => "Nothing is being released.",
            (0, Some((glance, last))) => {
                "Nothing is being released. Last: "
                a #last href=(release_path(&glance.project, &last.version)) { (visible(&glance.project.name)) " " (last.version) }
                ", " (release_words(last.state).to_lowercase()) ", "
                (Moment::parse(&last.changed_at).map_or_else(|| visible(&last.changed_at), |moment| moment.minute())) "."
            },
            (1, _) => "One release is under way.",
            (open, _) => { (open) " releases are under way." }
        }
        @match needing {
            0 if open.is_empty() => "",
            0 => " Nothing needs you.",
            1 => " One target needs you.",
            needing => { " " (needing) " targets need you." }
        }
    }
}

/// What a person must see to, in any of the projects, and what keeps whole projects.
fn needs(glances: &[Glance], names_project: bool) -> Markup {
    let all = glances.iter().flat_map(|glance| {
        let needs = glance.releases.iter().flat_map(|release| &release.needs);
        needs.map(move |target| (&glance.project, target))
    });
    let mut all: Vec<(&Project, &GlanceTarget)> = all.collect();
    // What is broken comes first, in whichever release it is.
    all.sort_by_key(|(_, target)| tone(target.state) != Tone::Broken);
    html! {
        @for (glance, stopped) in glances.iter().filter_map(|glance| Some((glance, glance.stopped.as_ref()?))) {
            (halted(glance, stopped, names_project))
        }
        @if !all.is_empty() {
            h2 #needs-title { "Needs you (" (all.len()) ")" }
            ul.needs {
                @for (project, target) in all {
                    li.need.(if tone(target.state) == Tone::Broken { "broken" } else { "clock" }) {
                        (line(project, target, "n", names_project))
                        @if let Some(what) = &target.what { p.what { (prose(what)) } }
                        @if let Some(at) = &target.expires_at {
                            p.what { "Its staged copy is deleted " (time(at)) ", unless it is released before or somebody keeps it." }
                        }
                        @if let Some(next) = &target.next { p.next { span.quiet { "Next " } b { (prose(next)) } } }
                    }
                }
            }
        }
    }
}

fn halted(glance: &Glance, stopped: &Stopped, names_project: bool) -> Markup {
    html! {
        p.o-stopped {
            b { "Nothing " @if names_project { "of " (visible(&glance.project.name)) " " } "is published or deleted now. " }
            (visible(&stopped.by)) " stopped it " (time(&stopped.at)) ": "
            (visible(stopped.reason.trim().trim_end_matches('.'))) ". An operator must start it first."
        }
    }
}

/// What is on its way at this moment.
fn moving(open: &[Open<'_>], names_project: bool) -> Markup {
    let all =
        || open.iter().flat_map(|(glance, release)| release.moving.iter().map(move |target| (&glance.project, target)));
    html! {
        @if all().next().is_some() {
            h2 #moving-title { "Running now (" (all().count()) ")" }
            ul.o-moving { @for (project, target) in all() { li { (line(project, target, "m", names_project)) } } }
        }
    }
}

/// The releases that are not over.
fn in_flight(open: &[Open<'_>]) -> Markup {
    let mut open = open.to_vec();
    // As above: what is broken first, then what else needs somebody. Among equals the newest, as they came.
    open.sort_by_key(|(_, release)| worst(release).map_or(2, |target| usize::from(tone(target.state) != Tone::Broken)));
    html! {
        @if !open.is_empty() {
            h2 #open-title { "Under way (" (open.len()) ")" }
            ul.cards {
                @for (glance, release) in open {
                    @let is_broken = worst(release).is_some_and(|target| tone(target.state) == Tone::Broken);
                    li.card.open.broken[is_broken] { (release_card(glance, release)) }
                }
            }
        }
    }
}

/// What needs a person most of a release.
fn worst(release: &GlanceRelease) -> Option<&GlanceTarget> {
    release.needs.iter().min_by_key(|target| tone(target.state) != Tone::Broken)
}

fn release_card(glance: &Glance, release: &GlanceRelease) -> Markup {
    html! {
        h3 { a href=(release_path(&glance.project, &release.version)) { (visible(&glance.project.name)) " " (release.version) } }
        // “Staged” beside a sentence that says “failed” would be read first.
        @match worst(release).filter(|target| tone(target.state) == Tone::Broken) {
            Some(target) => (chip(target.state)),
            None => (release_chip(release.state)),
        }
        div {
            p { (prose(&release.verdict)) }
            p.quiet {
                (release.released) " of " (release.all) " packages released"
                @if release.ready > 0 && glance.stopped.is_none() { ", " (release.ready) " ready: their manual jobs in GitLab release them" }
                ". Last change " (time(&release.changed_at)) "."
            }
        }
    }
}

/// A project's releases that are over.
fn over(glance: &Glance) -> Markup {
    let over = || glance.releases.iter().filter(|release| !is_open(release.state));
    html! {
        @if over().next().is_some() {
            h2 #over-title { "Before" }
            ul.cards { @for release in over() { li.card.done { (release_card(glance, release)) } } }
        }
    }
}

fn project_card(glance: &Glance) -> Markup {
    let over = || glance.releases.iter().filter(|release| !is_open(release.state)).take(OVER);
    html! {
        h3 { a href=(project_path(&glance.project)) { (visible(&glance.project.name)) } }
        p.quiet { "GitLab project " (glance.project.id) }
        p {
            @if glance.releases.is_empty() { "No release yet." }
            @else if over().next().is_none() { "No release is over yet." }
            @else {
                "Before: "
                @for (place, release) in over().enumerate() {
                    @if place > 0 { ", " }
                    a href=(release_path(&glance.project, &release.version)) { (release.version) }
                    " (" (release_words(release.state).to_lowercase()) ")"
                }
            }
        }
    }
}

/// What was done last, in all of the projects.
fn last_events(latest: &[Activity]) -> Markup {
    let mut rows: Vec<_> =
        latest.iter().flat_map(|activity| activity.rows.iter().map(move |row| (&activity.project, row))).collect();
    rows.sort_by(|(_, one), (_, other)| (&other.at, other.sequence).cmp(&(&one.at, one.sequence)));
    html! {
        @if !rows.is_empty() {
            h2 #events-title { "Last events" }
            ol.o-events {
                @for (project, row) in rows.into_iter().take(EVENTS) { (event(project, row, if latest.len() > 1 { Named::Project } else { Named::Subject })) }
            }
        }
    }
}
