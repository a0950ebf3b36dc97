//! Whole pages, as the edge sends them. Each is complete without scripts.

mod act;
mod activity;
mod against;
mod deployments;
mod help;
mod overview;
mod piece;
pub mod public;
mod reader;
mod release;
mod search;
mod status;
mod target;

pub use act::{Form, act, not_signed_in, seen};
pub use activity::activity;
pub use against::against;
pub use deployments::deployments;
pub use help::{help_keys, help_states};
pub use overview::{overview, project};
pub use public::line;
pub use reader::{Act, Reader};
pub use release::{Beside, release, shown_words};
pub use search::{Found, found_in, releases_to_search, search};
pub use status::status;
pub use target::target;

use maud::{DOCTYPE, Markup, html};
use slipway_core::api::{ProblemDetails, Project};

use crate::section;
use crate::state::glyphs;
use crate::text::{segment, visible};

/// The `Content-Security-Policy` that every page is sent with: nothing inline, nothing from elsewhere, and text becomes
/// elements in one place alone.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
    require-trusted-types-for 'script'; trusted-types slipway";

/// The `Cache-Control` that every page is sent with. Not `no-store`, which would keep pages out of the browser's
/// back/forward cache.
pub const CACHE_CONTROL: &str = "private, max-age=0, must-revalidate";

/// What a page says beside its time that loads itself again without scripts. One with a form that takes a while to fill in does
/// not: what was written would be gone with the minute.
const BY_ITSELF: &str = "updates every minute";

/// How fresh the page is, once scripts keep it live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Changes arrive as they happen.
    Live,
    /// The page asks every so many seconds: sockets fail, or nothing on it is worth one.
    Polling(u64),
    /// The connection is lost and tried again.
    Reconnecting,
    /// There is no network, or the edge does not answer.
    Offline,
    /// The reader has stopped updates.
    Paused,
    /// The reader may not read this any more.
    Refused,
    /// What the page is about is not there any more, as far as the reader may know.
    Gone,
    /// The edge speaks of things that this page does not know: it has been replaced since the page was loaded.
    Outdated,
}

/// Freshness in words; `clock` is the time of the last data, such as `10:04:11 UTC`.
pub fn freshness(freshness: Freshness, clock: &str) -> Markup {
    let (class, shape, words) = match freshness {
        Freshness::Live => ("live", "●", format!("Live · {clock}")),
        Freshness::Polling(seconds) => ("live", "●", format!("Live every {seconds} s · {clock}")),
        Freshness::Reconnecting => ("late", "◐", format!("Reconnecting, data from {clock}")),
        Freshness::Offline => ("off", "○", format!("Offline, data from {clock}")),
        Freshness::Paused => ("late", "◐", format!("Paused, data from {clock}")),
        Freshness::Refused => {
            ("off", "○", format!("You may not read this any more; data from {clock}. Sign in and reload."))
        }
        Freshness::Gone => ("off", "○", format!("This is not here any more, or not for you; data from {clock}.")),
        Freshness::Outdated => ("off", "○", format!("Slipway was updated; data from {clock}. Reload the page.")),
    };
    html! { span.(class) aria-hidden="true" { (shape) } " " (words) }
}

/// There is nothing at this address: `detail` says which part of it is unknown.
pub fn not_found(detail: &str, reader: &Reader<'_>) -> Markup {
    failure("Not found", detail, &html! { @if !reader.is_public { (search::form("")) } (act::offer(reader)) }, reader)
}

/// The reader must sign in, or may not read this: `detail` says how to.
pub fn unauthorised(detail: &str, reader: &Reader<'_>) -> Markup {
    failure("You may not read this", detail, &act::offer(reader), reader)
}

/// Something failed at the edge.
pub fn error(problem: &ProblemDetails, reader: &Reader<'_>) -> Markup {
    failure(&problem.title, &problem.detail, &html! {}, reader)
}

fn failure(title: &str, detail: &str, next: &Markup, reader: &Reader<'_>) -> Markup {
    let title = visible(title);
    Shell { title: &title, trail: &[("Projects", "/".to_owned())], is_alarming: false, reader }.page(
        &html! {},
        &html! {
            main #main {
                h1 { (title) }
                @let detail = detail.strip_prefix(title.as_str()).map_or(detail, |rest| rest.trim_start_matches([':', ' ']));
                p.sentence { (section::prose(detail)) }
                (next)
                p { a href="/" { "All projects" } }
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
    reader: &'a Reader<'a>,
}

impl Shell<'_> {
    fn page(&self, status: &Markup, main: &Markup, footer: &Markup) -> Markup {
        let project =
            self.trail.get(1).map(|(_, address)| address.as_str()).filter(|address| address.starts_with("/p/"));
        self.page_of(project, status, main, footer)
    }

    /// A page of the project at this address, if it is of one.
    fn page_of(&self, project: Option<&str>, status: &Markup, main: &Markup, footer: &Markup) -> Markup {
        self.page_with(&html! {}, project, status, main, footer)
    }

    /// The same, with something further in its head.
    fn page_with(
        &self,
        further: &Markup,
        project: Option<&str>,
        status: &Markup,
        main: &Markup,
        footer: &Markup,
    ) -> Markup {
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
                    link rel="stylesheet" href=(self.reader.asset("style.css"));
                    link #icon rel="icon" type="image/svg+xml" href=(icon(self.is_alarming));
                    (further)
                    @if is_live {
                        link rel="modulepreload" href=(self.reader.asset("dashboard.js"));
                        link rel="preload" as="fetch" type="application/wasm" href=(self.reader.asset("dashboard_bg.wasm")) crossorigin="anonymous";
                        script type="module" src=(self.reader.asset("boot.js")) {}
                        @if status.0.contains(BY_ITSELF) { noscript { meta http-equiv="refresh" content="60"; } }
                    }
                }
                body {
                    (glyphs())
                    a.skip href="#main" { "Skip to the content" }
                    @if main.0.contains("\"packages-title\"") { a.skip href="#packages-title" { "Skip to the packages" } }
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
                        // What else there is of the project that the page is about: nothing, for whoever sees what is public alone.
                        @if let Some(project) = project.filter(|_| !self.reader.is_public) {
                            nav aria-label="Of the project" {
                                ul {
                                    li { a #nav-activity href={ (project) "/activity" } { "Activity" } }
                                    li { a #nav-deployments href={ (project) "/deployments" } { "Deployments" } }
                                }
                            }
                            form.find method="get" action="/search" role="search" aria-label="All projects" {
                                label for="find-words" title="A package of any project" { "Find" }
                                input #find-words type="search" name="q" placeholder="el9 arm64 17.3.1" autocomplete="off"
                                    spellcheck="false" enterkeyhint="search";
                            }
                        }
                        (status)
                        (act::signed_in(self.reader))
                    }
                    (main)
                    footer { (footer) }
                }
            }
        }
    }
}

/// The page's icon; it has another shape while something needs a person. Its address names no build: browsers that keep the
/// page live change it, and know of none.
pub fn icon(is_alarming: bool) -> &'static str {
    if is_alarming { "/assets/icon-alarm.svg" } else { "/assets/icon.svg" }
}
