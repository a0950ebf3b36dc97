//! Whole pages, as the edge sends them. Each is complete without scripts.

use maud::{DOCTYPE, Markup, html};
use slipway_core::api::{ProblemDetails, Project, Release, ReleaseSummary};
use slipway_core::release::{ReleaseState, TargetState, Version};

use crate::filter::{Filter, haystack};
use crate::section;
use crate::state::{chip, glyphs, meaning, release_chip, release_meaning};
use crate::text::{Moment, segment, visible};

/// The `Content-Security-Policy` that every page is sent with: nothing inline, nothing from elsewhere.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The `Cache-Control` that every page is sent with. Not `no-store`, which would keep pages out of the browser's
/// back/forward cache.
pub const CACHE_CONTROL: &str = "private, max-age=0, must-revalidate";

/// A release: its verdict, what needs a person, its packages. `filter` comes from the address's query.
pub fn release(release: &Release, filter: &Filter) -> Markup {
    let read = Moment::parse(&release.at).map_or_else(|| visible(&release.at), |moment| moment.clock());
    let project = visible(&release.project.name);
    let trail = [
        ("Projects", "/".to_owned()),
        (&project, project_path(&release.project)),
        (release.version.as_str(), String::new()),
    ];
    let shell = Shell { title: &section::title(release), trail: &trail, is_alarming: section::is_alarming(release) };
    shell.page(
        &html! {
            p.freshness {
                span #freshness data-at=(release.at) { "As of " (read) }
                noscript { span.quiet { " · updates every minute" } }
                button #pause type="button" hidden aria-pressed="false" { "Pause updates" }
            }
        },
        &html! {
            main #main data-project=(release.project.name) data-version=(release.version)
                data-sequence=(release.sequence) {
                (section::verdict(release))
                p.unseen #announce role="status" {}
                (section::needs(release))
                section aria-labelledby="packages-title" {
                    h2 #packages-title tabindex="-1" { "Packages" }
                    (filter_form(release, filter))
                    (section::packages(release, filter))
                }
            }
        },
        &html! {
            (section::sources(release))
            p {
                a href="/help/states" { "What the words mean" } " · "
                a href={ "/api/v1/projects/" (segment(&release.project.name)) "/releases/" (segment(release.version.as_str())) } { "As JSON" }
                label #keys hidden { " · " input type="checkbox" checked; " The key " kbd { "/" } " jumps to the filter" }
            }
        },
    )
}

fn filter_form(release: &Release, filter: &Filter) -> Markup {
    let states: Vec<&str> = filter.states.iter().map(|state| state.code()).collect();
    let all = section::targets(release).count();
    let shown = section::targets(release)
        .filter(|(package, target)| filter.shows(target.state, &haystack(package, target)))
        .count();
    html! {
        div.filters hidden[all == 0] {
            (section::tally(release, filter))
            form #filter method="get" action=(section::path(release)) role="search" {
                input type="hidden" name="state" value=(states.join(",")) disabled[states.is_empty()];
                label for="filter-words" { "Filter" }
                input #filter-words type="search" name="q" value=(filter.words) placeholder="key, distro, tag or file"
                    autocomplete="off" spellcheck="false" enterkeyhint="search";
            }
        }
        p #shown.quiet { (shown_words(shown, all)) }
    }
}

/// How fresh the page is, once scripts keep it live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Changes arrive as they happen.
    Live,
    /// Sockets fail, so the page asks every 15 seconds.
    Polling,
    /// The connection is lost and tried again.
    Reconnecting,
    /// There is no network, or the edge does not answer.
    Offline,
    /// The reader has stopped updates.
    Paused,
    /// The reader may not read this any more.
    Refused,
    /// The edge speaks of things that this page does not know: it has been replaced since the page was loaded.
    Outdated,
}

/// Freshness in words; `clock` is the time of the last data, such as `10:04:11 UTC`.
pub fn freshness(freshness: Freshness, clock: &str) -> Markup {
    let (class, shape, words) = match freshness {
        Freshness::Live => ("live", "●", format!("Live · {clock}")),
        Freshness::Polling => ("live", "●", format!("Live every 15 s · {clock}")),
        Freshness::Reconnecting => ("late", "◐", format!("Reconnecting, data from {clock}")),
        Freshness::Offline => ("off", "○", format!("Offline, data from {clock}")),
        Freshness::Paused => ("late", "◐", format!("Paused, data from {clock}")),
        Freshness::Refused => {
            ("off", "○", format!("You may not read this any more; data from {clock}. Sign in and reload."))
        }
        Freshness::Outdated => ("off", "○", format!("Slipway was updated; data from {clock}. Reload the page.")),
    };
    html! { span.(class) aria-hidden="true" { (shape) } " " (words) }
}

/// What the filter does, in words. Empty when it hides nothing.
pub fn shown_words(shown: usize, all: usize) -> String {
    match shown {
        0 if all > 0 => format!("No target matches the filter; {all} are hidden."),
        _ if shown == all => String::new(),
        _ => format!("{shown} of {all} targets match the filter."),
    }
}

/// The releases of a project, in the order given: newest first.
pub fn releases(project: &Project, releases: &[ReleaseSummary]) -> Markup {
    let name = visible(&project.name);
    let open = releases.iter().filter(|release| is_open(release.state)).count();
    Shell { title: &name, trail: &[("Projects", "/".to_owned())], is_alarming: false }.page(
        &html! {},
        &html! {
            main #main {
                h1 { (name) }
                p.sentence {
                    @match (releases.len(), open) {
                        (0, _) => "No release yet.",
                        (_, 0) => "Nothing is being released.",
                        (_, 1) => "One release is under way.",
                        (_, open) => { (open) " releases are under way." }
                    }
                }
                @if releases.is_empty() {
                    div.empty {
                        p {
                            "A release appears as soon as a pipeline's first job says what to expect: "
                            code { "slipway plan KEY=DISTRO" } ", or " code { "KEY=TAG:image" } "."
                        }
                    }
                } @else {
                    ul.cards {
                        @for release in releases {
                            li.card.(if is_open(release.state) { "open" } else { "done" }) {
                                h2 { a href={ (project_path(project)) "/r/" (segment(release.version.as_str())) } { (release.version) } }
                                (release_chip(release.state))
                                p { (section::prose(&release.verdict)) }
                            }
                        }
                    }
                }
            }
        },
        &html! { p { a href="/help/states" { "What the words mean" } } },
    )
}

fn is_open(state: ReleaseState) -> bool {
    matches!(state, ReleaseState::Expected | ReleaseState::Staged)
}

/// The projects that this deployment serves, each with its newest versions, the newest first.
pub fn projects(projects: &[(Project, Vec<Version>)]) -> Markup {
    Shell { title: "Projects", trail: &[], is_alarming: false }.page(
        &html! {},
        &html! {
            main #main {
                h1 { "Projects" }
                @if projects.is_empty() {
                    p.sentence { "No project yet." }
                    div.empty {
                        p { "Projects are listed in " code { "slipway.toml" } ". Add one, and deploy Slipway again:" }
                        pre tabindex="0" { code { "[[projects]]\nid = 1001\nnamespace_id = 71\nname = \"tug\"\nwebhook_token = \"WEBHOOK_TOKEN_TUG\"" } }
                    }
                } @else {
                    ul.cards {
                        @for (project, versions) in projects {
                            li.card {
                                h2 { a href=(project_path(project)) { (visible(&project.name)) } }
                                @if versions.is_empty() {
                                    p { "No release yet." }
                                } @else {
                                    p {
                                        "Newest: "
                                        @for (place, version) in versions.iter().enumerate() {
                                            @if place > 0 { ", " }
                                            a href={ (project_path(project)) "/r/" (segment(version.as_str())) } { (version) }
                                        }
                                    }
                                }
                                p.quiet { "GitLab project " (project.id) }
                            }
                        }
                    }
                }
            }
        },
        &html! { p { a href="/help/states" { "What the words mean" } } },
    )
}

/// There is nothing at this address: `detail` says which part of it is unknown.
pub fn not_found(detail: &str) -> Markup {
    failure("Not found", detail)
}

/// The reader must sign in, or may not read this: `detail` says how to.
pub fn unauthorised(detail: &str) -> Markup {
    failure("You may not read this", detail)
}

/// Something failed at the edge.
pub fn error(problem: &ProblemDetails) -> Markup {
    failure(&problem.title, &problem.detail)
}

fn failure(title: &str, detail: &str) -> Markup {
    let title = visible(title);
    Shell { title: &title, trail: &[("Projects", "/".to_owned())], is_alarming: false }.page(
        &html! {},
        &html! {
            main #main {
                h1 { (title) }
                p.sentence { (section::prose(detail)) }
                p { a href="/" { "All projects" } }
            }
        },
        &html! {},
    )
}

/// The vocabulary: every state of a target and of a release, with its meaning.
pub fn help_states() -> Markup {
    Shell { title: "What the words mean", trail: &[("Projects", "/".to_owned())], is_alarming: false }.page(
        &html! {},
        &html! {
            main #main {
                h1 { "What the words mean" }
                p.quiet { "The same words everywhere: on this page, in the API, in the terminal and in the documents." }
                h2 { "A target" }
                p { "A target is one package in one distro version of one public repository, or one image under one tag." }
                dl.words {
                    @for state in TargetState::ALL {
                        div #(state.code()) {
                            dt { (chip(state)) " " code { (state.code()) } }
                            dd { (meaning(state)) }
                        }
                    }
                }
                h2 { "A release" }
                dl.words {
                    @for (code, state) in [
                        ("expected", ReleaseState::Expected), ("staged", ReleaseState::Staged),
                        ("complete", ReleaseState::Complete), ("closed", ReleaseState::Closed),
                    ] {
                        div #{ "release-" (code) } {
                            dt { (release_chip(state)) " " code { (code) } }
                            dd { (release_meaning(state)) }
                        }
                    }
                }
            }
        },
        &html! {},
    )
}

fn project_path(project: &Project) -> String {
    format!("/p/{}", segment(&project.name))
}

/// What surrounds every page.
struct Shell<'a> {
    title: &'a str,
    /// The pages above this one: words and address. Without an address: this page.
    trail: &'a [(&'a str, String)],
    is_alarming: bool,
}

impl Shell<'_> {
    fn page(&self, status: &Markup, main: &Markup, footer: &Markup) -> Markup {
        let is_live = !status.0.is_empty();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (self.title) " · Slipway" }
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="description" content="What is expected, staged and released.";
                    link rel="stylesheet" href="/assets/style.css";
                    link #icon rel="icon" type="image/svg+xml" href=(icon(self.is_alarming));
                    @if is_live {
                        link rel="modulepreload" href="/assets/dashboard.js";
                        link rel="preload" as="fetch" type="application/wasm" href="/assets/dashboard_bg.wasm" crossorigin="anonymous";
                        script type="module" src="/assets/boot.js" {}
                        noscript { meta http-equiv="refresh" content="60"; }
                    }
                }
                body {
                    (glyphs())
                    a.skip href="#main" { "Skip to the content" }
                    @if is_live { a.skip href="#packages-title" { "Skip to the packages" } }
                    header.top {
                        nav aria-label="Where this is" {
                            ol {
                                li { a.brand href="/" { "Slipway" } }
                                @for (words, address) in self.trail {
                                    @if address.is_empty() { li aria-current="page" { (words) } } @else {
                                        li { a href=(address) { (words) } }
                                    }
                                }
                            }
                        }
                        (status)
                    }
                    (main)
                    footer { (footer) }
                }
            }
        }
    }
}

/// The page's icon; it has another shape while something needs a person.
pub fn icon(is_alarming: bool) -> &'static str {
    if is_alarming { "/assets/icon-alarm.svg" } else { "/assets/icon.svg" }
}
