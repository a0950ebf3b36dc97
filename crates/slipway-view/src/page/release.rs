//! The page of one release.

use maud::{Markup, html};
use slipway_core::api::{ActivityRow, Hold, Package, Pipeline, Release, Source, Target};
use slipway_core::audit::person;
use slipway_core::release::{ReleaseState, TargetState};

use super::piece::{Named, activity_path, event, source_name};
use super::{Act, BY_ITSELF, Reader, Shell, project_path};
use crate::filter::{Filter, haystack};
use crate::matrix::{self, View, view};
use crate::section::{self, Part, away, moment, path, prose, stale_why, time};
use crate::text::{Moment, link, segment, visible};

/// How often the parts that the edge alone renders are taken from the page anew, in seconds.
const REFRESH_SECONDS: u32 = 15;

/// What the page of a release shows beside it. Nothing of it is in the live messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// What happened to it last, newest first.
    pub activity: &'a [ActivityRow],
    /// What its record is read from.
    pub sources: &'a [Source],
}

/// A release: its verdict, what needs a person, its packages, and what happened to it. `filter` comes from the address's
/// query.
pub fn release(release: &Release, beside: &Beside<'_>, filter: &Filter, reader: &Reader<'_>) -> Markup {
    let read = Moment::parse(&release.at).map_or_else(|| visible(&release.at), |moment| moment.clock());
    let project = visible(&release.project.name);
    let trail = [
        ("Projects", "/".to_owned()),
        (&project, project_path(&release.project)),
        (release.version.as_str(), String::new()),
    ];
    let shell =
        Shell { title: &section::title(release), trail: &trail, is_alarming: section::is_alarming(release), reader };
    let [verdict, needs, moving, _] = section::parts(release, filter);
    shell.page(
        &html! {
            p.freshness {
                span #freshness data-at=(release.at) { "As of " (read) }
                noscript { span.quiet { " · " (BY_ITSELF) } }
                button #pause type="button" hidden aria-pressed="false" { "Pause updates" }
            }
        },
        &html! {
            main #main data-project=(release.project.name) data-version=(release.version)
                data-sequence=(release.sequence) {
                (verdict)
                p.unseen #announce role="status" {}
                (trouble(beside.sources))
                (needs)
                (acts(release, reader))
                (moving)
                section aria-labelledby="packages-title" {
                    h2 #packages-title tabindex="-1" { "Packages" }
                    (filters(release, filter))
                    (section::packages(release, filter))
                }
                (history(release, beside.activity))
            }
        },
        &html! {
            (sources(release, beside.sources))
            p {
                a href="/help/states" { "What the words mean" } " · "
                @if !reader.is_outsider { a href={ (path(release)) "/against" } { "Staged, beside what is public" } " · " }
                a href={ "/api/v1/projects/" (segment(&release.project.name)) "/releases/" (segment(release.version.as_str())) } { "As JSON" }
                " · " a href="/help/keys" { "What the keys do" }
                label #keys hidden { " · " input type="checkbox" checked; " Single letters act, such as " kbd { "/" } " for the filter" }
            }
        },
    )
}

/// A part that the edge alone renders. The browser takes it from the page anew.
fn refreshed(id: &str, inner: &Markup, element: &str) -> Part {
    Part::new(id, inner, |mark, inner| {
        html! {
            @if element == "section" { section #(id) data-mark=(mark) data-refresh=(REFRESH_SECONDS) { (inner) } }
            @else { div #(id) data-mark=(mark) data-refresh=(REFRESH_SECONDS) { (inner) } }
        }
    })
}

/// Who holds what, and what the reader may do about the release. It stands outside of every part that the browser renders:
/// what a person may do is nothing that a browser should have to judge.
fn acts(release: &Release, reader: &Reader<'_>) -> Part {
    let (released, all) = section::progress(release);
    let is_open = release.closed.is_none() && release.state != ReleaseState::Complete && all > 0;
    let expires =
        section::targets(release).any(|(_, target)| target.expires_at.is_some() && target.state == TargetState::Staged);
    let offered = [
        (Act::Hold, "Hold", is_open && released < all),
        (Act::Lift, "Lift the hold", !release.holds.is_empty()),
        (Act::Extend, "Keep what is staged for longer", expires),
        (Act::Close, "Give it up", is_open),
    ];
    let offered: Vec<_> =
        offered.into_iter().filter(|(act, _, makes_sense)| *makes_sense && reader.may.contains(act)).collect();
    // What a hold keeps from being released now is said where that is listed, with its reason.
    let is_said = |hold: &&Hold| {
        release.packages.iter().any(|package| {
            hold.key.as_ref().is_none_or(|key| *key == package.key)
                && package.blocked.iter().any(|blocked| blocked.gate == "hold")
                && package.targets.iter().any(|target| target.state == TargetState::Staged)
        })
    };
    let holds = release.holds.iter().filter(|hold| !is_said(hold));
    refreshed(
        "acts",
        &html! {
            @if holds.clone().next().is_some() { ul.holds { @for hold in holds { li { (held(hold)) } } } }
            @if !offered.is_empty() {
                p.ways {
                    @for (act, words, _) in &offered {
                        a.act #{ "act-" (act.path()) } data-act=(act.path()) href={ (path(release)) "/" (act.path()) } { (words) "…" }
                    }
                }
                (stale_why())
            }
            @if reader.is_untold && is_open {
                p.quiet {
                    "GitLab does not answer what you may do here, so nothing is offered to you. It is asked again every 15 seconds."
                }
            }
        },
        "div",
    )
}

fn held(hold: &Hold) -> Markup {
    html! {
        b { @match &hold.key { Some(key) => (key), None => "The release" } " is held" }
        " by " (visible(person(&hold.by))) " (" (time(&hold.at)) ")"
        @if let Some(until) = &hold.until { ", until " (moment(until)) }
        ": " (prose(hold.reason.trim()))
    }
}

/// What narrows the packages down.
fn filters(release: &Release, filter: &Filter) -> Markup {
    let states: Vec<&str> = filter.states.iter().map(|state| state.code()).collect();
    let all = section::targets(release).count();
    let is_shown = |package: &Package, target: &Target| {
        filter.is_empty() || filter.shows(target.state, &haystack(release, package, target))
    };
    let shown = section::targets(release).filter(|(package, target)| is_shown(package, target)).count();
    let kept = [
        ("v", filter.view.map_or("", View::code).to_owned()),
        ("state", states.join(",")),
        ("line", filter.lines.join(",")),
        ("arch", filter.archs.join(",")),
    ];
    html! {
        div.filters hidden[all == 0] {
            (section::tally(release, filter))
            form #filter method="get" action=(path(release)) role="search" aria-label="Packages" {
                @for (name, value) in &kept { @if !value.is_empty() { input type="hidden" name=(name) value=(value); } }
                label for="filter-words" { "Filter" }
                input #filter-words type="search" name="q" value=(filter.words) placeholder="key, distro, tag or file"
                    autocomplete="off" spellcheck="false" enterkeyhint="search";
            }
            (columns(release, filter))
            (views(release, filter))
        }
        p #shown.quiet { (shown_words(shown, all)) }
    }
}

/// The lines and architectures, where there is more than one to choose from.
fn columns(release: &Release, filter: &Filter) -> Markup {
    let (mut lines, mut archs): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (line, arch) in [false, true].into_iter().flat_map(|images| matrix::columns(release, images)) {
        if !lines.contains(&line) {
            lines.push(line);
        }
        if !archs.contains(&arch) && arch != "all" {
            archs.push(arch);
        }
    }
    // Too many to choose from: the filter's words find them too.
    let named = [("line", lines), ("arch", archs)].into_iter().filter(|(_, list)| (2..=12).contains(&list.len()));
    let named: Vec<(String, String)> =
        named.flat_map(|(kind, list)| list.into_iter().map(move |one| (format!("{kind}:{one}"), one))).collect();
    html! {
        @if !named.is_empty() {
            ul #columns aria-label="Filter by kind and architecture" {
                @for (name, words) in &named {
                    li {
                        a.count #{ "f-" (segment(name)) } data-filter=(name) href={ (path(release)) (filter.pressed(name).query()) }
                            aria-current=[filter.has(name).then_some("true")] { (visible(words)) }
                    }
                }
            }
        }
    }
}

/// The way from the matrix to the list and back.
fn views(release: &Release, filter: &Filter) -> Markup {
    let now = view(release, filter);
    html! {
        p.views {
            @for (one, words) in [(View::Matrix, "Matrix"), (View::List, "List")] {
                a.count #{ "view-" (one.code()) } aria-current=[(now == one).then_some("true")]
                    href={ (path(release)) (Filter { view: Some(one), ..filter.clone() }.query()) } { (words) }
            }
        }
    }
}

/// What the filter does, in words. Empty when it hides nothing.
pub fn shown_words(shown: usize, all: usize) -> String {
    match shown {
        0 if all > 0 => format!("No target matches the filter; {all} are hidden."),
        _ if shown == all => String::new(),
        _ => format!("{shown} of {all} targets match the filter."),
    }
}

/// What happened last, and the way to all of it.
fn history(release: &Release, activity: &[ActivityRow]) -> Part {
    let version = release.version.as_str();
    refreshed(
        "activity",
        &html! {
            @if !activity.is_empty() {
                h2 #activity-title tabindex="-1" { "What happened last" }
                ol.o-events { @for row in activity { (event(&release.project, row, Named::Subject)) } }
                p { a #activity-all href=(activity_path(&release.project, version)) { "Everything that was done to " (release.version) } }
            }
        },
        "section",
    )
}

/// What cannot be read now, so that what is shown of it may be old.
fn trouble(sources: &[Source]) -> Part {
    refreshed(
        "trouble",
        &html! {
            @for source in sources {
                @if let Some(trouble) = &source.trouble {
                    p.trouble {
                        b { (source_name(source)) ": " } (prose(trouble))
                        @match &source.read_at {
                            Some(at) => { " It was read last " (time(at)) "; what is shown of it was true then." },
                            None => " It has not been read yet.",
                        }
                    }
                }
            }
        },
        "div",
    )
}

/// What the page was made of, and when.
fn sources(release: &Release, sources: &[Source]) -> Part {
    let read = || sources.iter().filter_map(|source| Some((source, source.read_at.as_ref()?)));
    refreshed(
        "sources",
        &html! {
            p { "Change " (release.sequence) " of the release record, " (time(&release.at)) "." }
            @if read().next().is_some() {
                p {
                    "Last read: "
                    @for (index, (source, at)) in read().enumerate() {
                        @if index > 0 { ", " }
                        (source_name(source)) " " (time(at))
                    }
                    "."
                }
            }
            @if !release.pipelines.is_empty() {
                p {
                    "Fed by "
                    @for (index, pipeline) in release.pipelines.iter().enumerate() {
                        @if index > 0 { ", " }
                        (pipeline_link(pipeline))
                        " (" (visible(&pipeline.ref_name)) " at " code { (visible(&pipeline.sha.chars().take(8).collect::<String>())) } ")"
                    }
                    "."
                }
            }
        },
        "div",
    )
}

fn pipeline_link(pipeline: &Pipeline) -> Markup {
    html! {
        @match link(&pipeline.url) {
            Some(url) => a #{ "source-" (pipeline.id) } href=(url) rel="noreferrer" { "pipeline " (pipeline.id) (away()) },
            None => { "pipeline " (pipeline.id) }
        }
    }
}
