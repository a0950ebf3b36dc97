//! One answer to "is 1.2.0 out for el9 arm64?", across the reader's projects.

use maud::{Markup, html};
use slipway_core::api::{Glance, GlanceTarget, Project, Release};
use slipway_core::release::{ReleaseState, TargetState, Version};

use super::piece::{line, unanswered};
use super::{Reader, Shell};
use crate::filter::haystack;
use crate::matrix::normal;
use crate::section::{prose, targets};
use crate::state::meaning;
use crate::text::visible;

/// How many targets are shown.
const FOUND_MAX: usize = 100;
/// How many releases of a project are searched where the words name none.
const RELEASES: usize = 3;

/// A target that was found, with its project.
pub type Found = (Project, GlanceTarget);

/// The releases of a project in which the words may find something: those that they name, or else those under way and the
/// newest.
pub fn releases_to_search(words: &str, glance: &Glance) -> Vec<Version> {
    let named: Vec<Version> = words.split_whitespace().filter_map(version).collect();
    if !named.is_empty() {
        return named.into_iter().take(RELEASES).collect();
    }
    let is_open = |state: ReleaseState| matches!(state, ReleaseState::Expected | ReleaseState::Staged);
    let (open, over): (Vec<_>, Vec<_>) = glance.releases.iter().partition(|release| is_open(release.state));
    open.into_iter().chain(over).take(RELEASES).map(|release| release.version.clone()).collect()
}

/// A word that is a version: `17.3.1`, or `v17.3.1` as its Git tag.
fn version(word: &str) -> Option<Version> {
    let word = word.strip_prefix('v').unwrap_or(word);
    let is_one = word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.') && !word.contains('/');
    is_one.then(|| word.parse().ok()).flatten()
}

/// The targets of a release that have every word in what they are. Architectures go by any of their names, and a distro
/// version is also found without its slash.
pub fn found_in(words: &str, release: &Release) -> Vec<Found> {
    let words = words.to_lowercase();
    let words: Vec<&str> = words.split_whitespace().filter(|word| version(word).is_none()).collect();
    let is_found = |hay: &str| words.iter().all(|word| hay.contains(word) || hay.contains(normal(word)));
    let all = targets(release).filter(|(package, target)| {
        let name = target.name();
        let hay = format!("{} {} {}", release.project.name, haystack(release, package, target), name.replace('/', ""));
        is_found(&hay.to_lowercase())
    });
    all.filter_map(|(package, target)| {
        let found = GlanceTarget {
            version: release.version.clone(),
            key: package.key.clone(),
            target: target.name().parse().ok()?,
            state: target.state,
            what: target.problem.as_ref().map(|problem| problem.what.clone()),
            next: target.problem.as_ref().map(|problem| problem.next.clone()),
            expires_at: None,
            since: target.since.clone(),
        };
        Some((release.project.clone(), found))
    })
    .collect()
}

/// How many of what was found are out: the answer, where somebody has asked whether they are.
fn tell(found: &[Found]) -> String {
    let released = found.iter().filter(|(_, target)| target.state == TargetState::Released).count();
    match (found.len(), released) {
        (all, 0) => format!("None of the {all} targets that were found is released."),
        (all, 1) => format!("1 of the {all} targets that were found is released."),
        (all, released) if all == released => format!("All {all} targets that were found are released."),
        (all, released) => format!("{released} of the {all} targets that were found are released."),
    }
}

/// Where somebody asks.
pub(super) fn form(words: &str) -> Markup {
    html! {
        form.o-search method="get" action="/search" role="search" aria-label="All projects" {
            label for="search-words" { "Find a package" }
            input #search-words type="search" name="q" value=(words) placeholder="el9 arm64 17.3.1" autocomplete="off"
                spellcheck="false" enterkeyhint="search";
            button type="submit" { "Find" }
        }
    }
}

/// What was found. `silent`: the projects whose records have not answered.
pub fn search(words: &str, found: &[Found], silent: &[Project], reader: &Reader<'_>) -> Markup {
    let trail = [("Projects", "/".to_owned()), ("Search", String::new())];
    let words = words.trim();
    Shell { title: "Search", trail: &trail, is_alarming: false, reader }.page(
        &html! {},
        &html! {
            main #main {
                h1 { "Search" }
                (form(words))
                (unanswered(silent, reader))
                @match found {
                    _ if words.is_empty() => {
                        p { "Say what you look for: a version, a distro version, an architecture, a part of a key. Every word must fit." }
                    },
                    [] => {
                        p.sentence { "Nothing was found." }
                        p { "Without a version, only what is under way and the newest releases are searched. An unknown version finds nothing." }
                    },
                    [(project, target)] => {
                        p.sentence { (target.state.words()) ": " (visible(&project.name)) " " (target.version) " for " (visible(&target.target.to_string())) "." }
                        (line(project, target, "s", true))
                        p.what { @match &target.what { Some(what) => (prose(what)), None => (meaning(target.state)) } }
                        @if let Some(next) = &target.next { p.next { span.quiet { "Next " } b { (prose(next)) } } }
                    },
                    all => {
                        p.sentence { (tell(all)) }
                        ul.o-moving { @for (project, target) in all.iter().take(FOUND_MAX) { li { (line(project, target, "s", true)) } } }
                        @if all.len() > FOUND_MAX { p { "Only the first " (FOUND_MAX) " are shown; add a word." } }
                    },
                }
            }
        },
        &html! { p { a href="/help/states" { "What the words mean" } } },
    )
}
