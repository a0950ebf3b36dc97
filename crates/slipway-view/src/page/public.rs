//! The pages of what is public, for those who see nothing else. They are made of what is public alone, so there is nothing
//! in them to leave out.
//!
//! Absent on purpose: scripts. Nothing here moves, and whoever waits for something reads it again, or follows the feed.

use maud::{Markup, html};
use slipway_core::amount::size;
use slipway_core::api::{PublicPackage, PublicProject, PublicRelease, PublicState, PublicSummary, PublicTarget};
use slipway_core::line::{Line, What};
use slipway_core::release::Version;
use slipway_core::sight::as_read;

use super::piece::{cell, table as words_in_rows};
use super::{Reader, Shell};
use crate::install;
use crate::outward::{Feed, sentence};
use crate::section;
use crate::state::chip;
use crate::text::{Moment, grouped, link, mark, segment, visible};

/// How often a page that is looked at is fetched again, in seconds, where scripts do that.
const REFRESH: &str = "30";
/// How many releases of a project the front page names.
const NEWEST: usize = 5;

/// The projects of which something is public, each with its releases.
pub fn projects(projects: &[(PublicProject, Vec<PublicSummary>)], reader: &Reader<'_>) -> Markup {
    page(
        "Projects",
        &[],
        reader,
        None,
        &html! {
            main #main {
                h1 { "Projects" }
                @if projects.is_empty() {
                    p.sentence { "Nothing is public yet." }
                } @else {
                    ul.cards {
                        @for (project, releases) in projects {
                            li.card.done {
                                h2 { a href=(project_path(&project.name)) { (visible(&project.name)) } }
                                p {
                                    "Newest: "
                                    @for (place, release) in releases.iter().take(NEWEST).enumerate() {
                                        @if place > 0 { ", " }
                                        a href=(path(&project.name, &release.version)) { (release.version) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The releases of a project of which something is public, the newest first.
pub fn releases(project: &str, releases: &[PublicSummary], reader: &Reader<'_>) -> Markup {
    let name = visible(project);
    let list = html! {
        ul.cards {
            @for release in releases {
                li.card.done {
                    h2 { a href=(path(project, &release.version)) { (release.version) } }
                    (day(&release.at))
                    p { (section::prose(&release.verdict)) }
                }
            }
        }
    };
    page(
        &name,
        &[("Projects", "/".to_owned())],
        reader,
        Some(&Feed::of_project(project)),
        &html! {
            main #main {
                h1 { (name) }
                p.sentence {
                    @if releases.len() == 1 { "One release is public." } @else { (releases.len()) " releases are public." }
                }
                (piece("releases", &list))
            }
        },
    )
}

/// What is public of a release.
pub fn release(release: &PublicRelease, reader: &Reader<'_>) -> Markup {
    let project = visible(&release.project.name);
    let trail = [
        ("Projects", "/".to_owned()),
        (project.as_str(), project_path(&release.project.name)),
        (release.version.as_str(), String::new()),
    ];
    let title = format!("{} · {project}", release.version);
    page(
        &title,
        &trail,
        reader,
        Some(&Feed::of_release(release)),
        &html! {
            main #main {
                h1.sentence { (section::prose(&release.verdict)) }
                p.quiet { "Unchanged since " (time(&release.at)) "." }
                section aria-labelledby="packages-title" {
                    h2 #packages-title tabindex="-1" { "Packages" }
                    (piece("packages", &table(release)))
                }
            }
        },
    )
}

/// One target of what is public: `package` has no other.
pub fn target(release: &PublicRelease, package: &PublicPackage, reader: &Reader<'_>) -> Markup {
    let project = visible(&release.project.name);
    let names: Vec<String> = package.targets.iter().map(|target| visible(&target.name())).collect();
    let title = format!("{} for {}", package.key, names.join(", "));
    let trail = [
        ("Projects", "/".to_owned()),
        (project.as_str(), project_path(&release.project.name)),
        (release.version.as_str(), path(&release.project.name, &release.version)),
        (title.as_str(), String::new()),
    ];
    page(
        &format!("{title} · {}", release.version),
        &trail,
        reader,
        Some(&Feed::of_release(release)),
        &html! {
            main #main {
                h1 { (project) " " (release.version) ", " (title) }
                @for target in &package.targets { (piece("target", &facts(package, target))) }
            }
        },
    )
}

/// Whether something is out, as a page of one sentence. It leads to no feed: it is said of projects, too, that there may not be.
pub fn line(project: &str, version: &Version, what: &What, line: &Line, reader: &Reader<'_>) -> Markup {
    let said = sentence(project, version, what, line);
    page(
        &said,
        &[("Projects", "/".to_owned())],
        reader,
        None,
        &html! {
            main #main {
                h1.sentence { (said) "." }
                @if let Some(url) = line.url.as_deref().and_then(link) { p { a href=(url) { "More about it" } } }
            }
        },
    )
}

/// A page of what is public, for a reader who is led to nothing else. The feed of what it is about is announced to programs and
/// led to below, and whoever gets such a page gets the feed: both are made of the same.
fn page(title: &str, trail: &[(&str, String)], reader: &Reader<'_>, feed: Option<&Feed>, main: &Markup) -> Markup {
    let announced = html! {
        @if let Some(Feed { path, title }) = feed {
            link rel="alternate" type="application/atom+xml" title=(visible(title)) href=(path);
        }
    };
    let led_to = html! {
        p {
            a href="/help/states" { "What the words mean" }
            @if let Some(Feed { path, .. }) = feed { " · " a href=(path) { "Feed" } }
        }
    };
    let reader = Reader { is_public: true, ..*reader };
    Shell { title, trail, is_alarming: false, reader: &reader }.page_with(&announced, None, &html! {}, main, &led_to)
}

fn table(release: &PublicRelease) -> Markup {
    let rows = release.packages.iter().flat_map(|package| package.targets.iter().map(move |target| (package, target)));
    let rows = html! {
        @for (package, target) in rows {
            tr role="row" {
                th scope="row" role="rowheader" { a href=(target_path(release, package, target)) { (package.key) } }
                (cell("For", &visible(&target.name())))
                (cell("State", &chip(target.state.state())))
                (cell("Since", &time(&target.since)))
                (cell("File", &html! {
                    span.file { (visible(&name(package, target))) }
                    (size(package.file.size)) " "
                    code.short { (package.file.digest.hex().chars().take(12).collect::<String>()) }
                }))
            }
        }
    };
    words_in_rows("packages-title", &["Package", "For", "State", "Since", "File or image"], &rows)
}

fn facts(package: &PublicPackage, target: &PublicTarget) -> Markup {
    let read = as_read(package);
    let offered =
        read.as_ref().and_then(|package| Some((package, package.targets.first()?))).and_then(|(package, of)| match of
            .tag
        {
            Some(_) => Some(("Pull", install::pull(package, of)?)),
            None => Some(("Install", install::package(package, of)?)),
        });
    html! {
        p { (chip(target.state.state())) " since " (time(&target.since)) }
        dl.facts {
            div.wide { dt { "SHA-256" } dd { code.digest { (package.file.digest.hex()) } } }
            div { dt { (if target.tag.is_some() { "Image" } else { "File" }) } dd { (visible(&name(package, target))) } }
            div { dt { "Size" } dd { (grouped(package.file.size)) " bytes" } }
            div { dt { "Public" } dd { (visible(&target.public.repository)) span.host { " at " (visible(&target.public.url)) } } }
            @if let Some(url) = target.attestation.as_deref().and_then(link) {
                div { dt { "Attested" } dd { a href=(url) download { "Download what is signed" } } }
            }
        }
        @if let (PublicState::Released, Some((label, lines))) = (target.state, offered) {
            p.label #install { (label) }
            pre tabindex="0" role="group" aria-labelledby="install" { code { (lines) } }
        }
    }
}

/// A file's name, or the public repository of an image.
fn name(package: &PublicPackage, target: &PublicTarget) -> String {
    package.file.filename.clone().unwrap_or_else(|| target.public.repository.clone())
}

/// An element that can be replaced: its id stays the same, and its mark changes with what is inside.
fn piece(id: &str, inner: &Markup) -> Markup {
    html! { div #(id) data-mark=(mark(&inner.0)) data-refresh=(REFRESH) { (inner) } }
}

fn project_path(project: &str) -> String {
    format!("/p/{}", segment(project))
}

fn path(project: &str, version: &Version) -> String {
    format!("{}/r/{}", project_path(project), segment(version.as_str()))
}

fn target_path(release: &PublicRelease, package: &PublicPackage, target: &PublicTarget) -> String {
    let name = target.name();
    let name: Vec<String> = name.trim_start_matches(':').split('/').map(segment).collect();
    format!("{}/t/{}/{}", path(&release.project.name, &release.version), segment(package.key.as_str()), name.join("/"))
}

/// A time in as many words as a list has room for.
fn day(text: &str) -> Markup {
    html! {
        @match Moment::parse(text) {
            Some(moment) => time datetime=(moment.machine()) { (moment.day()) },
            None => (visible(text)),
        }
    }
}

fn time(text: &str) -> Markup {
    html! {
        @match Moment::parse(text) {
            Some(moment) => time datetime=(moment.machine()) { (moment.minute()) },
            None => (visible(text)),
        }
    }
}
