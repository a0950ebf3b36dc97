//! What the words mean, and what the keys do.

use maud::{Markup, html};
use slipway_core::release::{ReleaseState, TargetState};

use super::{Reader, Shell};
use crate::state::{chip, meaning, overlay, release_chip, release_meaning};

/// What is said of a target beside its state: anchor, words, meaning.
const BESIDE: [(&str, &str, &str); 7] = [
    (
        "unknown",
        "Unknown",
        "GitLab or a repository could not be read, so the state is the last one that was seen, and how old it is stands \
         beside it. Nothing is released or deleted on what is not known.",
    ),
    (
        "drift",
        "Drift",
        "It was released, and a later look has found something else: gone, or changed. Slipway does not put it right by \
         itself; whoever owns the public place says what happened.",
    ),
    (
        "blocked",
        "Blocked",
        "A gate is closed: a freeze, a second person, a hold, something that must happen before. The page says which, who \
         can open it, and until when where that can be told. Its job ends red while it is closed.",
    ),
    (
        "expires",
        "Expires in staging",
        "Its staged copy is deleted from that moment on. What is public stays public; what is still to be released is kept \
         by extending it.",
    ),
    (
        "overdue",
        "Overdue",
        "The other packages of the release are staged, and no job has staged this one. Whoever builds it looks at its job.",
    ),
    (
        "lapsed",
        "Lapsed",
        "It was approved, and nothing was begun in time, or a gate closed before its turn. Its job may be played again.",
    ),
    (
        "stopped",
        "Stopped",
        "An operator has stopped this project, or everything: nothing is published or deleted until it is started again. \
         What was approved goes on then.",
    ),
];

/// The vocabulary: every state of a target and of a release, with its meaning.
pub fn help_states(reader: &Reader<'_>) -> Markup {
    Shell { title: "What the words mean", trail: &[("Projects", "/".to_owned())], is_alarming: false, reader }.page(
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
                h2 { "Beside a target's state" }
                dl.words {
                    @for (code, words, meaning) in BESIDE {
                        div #(code) {
                            @let overlay = overlay(code);
                            dt { @if overlay.0.is_empty() { b { (words) } } @else { (overlay) " " code { (code) } } }
                            dd { (meaning) }
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
        &html! { p { a href="/help/keys" { "What the keys do" } } },
    )
}

/// Keys, one after the other, and what they do.
type Bound = (&'static [&'static str], &'static str);

/// What the keys do on the page of a release, by groups.
const KEYS: [(&str, &[Bound]); 3] = [
    (
        "Find",
        &[
            (&["/"], "Go to the filter"),
            (&["f"], "Only what needs somebody, or everything again"),
            (&["n"], "The next one that needs somebody"),
            (&["p"], "The one before it"),
            (&["Ctrl+K"], "Search all projects, also while something is being typed"),
        ],
    ),
    (
        "Move and look",
        &[
            (&["←", "↓", "↑", "→"], "From target to target"),
            (&["h", "j", "k", "l"], "The same, without leaving the letters"),
            (&["Enter"], "Open the target"),
            (&["Esc"], "Close what was opened, or leave the filter"),
        ],
    ),
    (
        "Do",
        &[
            (&["y"], "Copy the address of what is shown"),
            (&["u"], "Pause updates, or go on"),
            (&["g", "h"], "Go to the projects"),
            (&["g", "a"], "Go to the activity"),
            (&["g", "d"], "Go to the deployments"),
            (&["?"], "Show this page"),
        ],
    ),
];

/// What the keys do. Everything that they do can be done without them.
pub fn help_keys(reader: &Reader<'_>) -> Markup {
    Shell { title: "What the keys do", trail: &[("Projects", "/".to_owned())], is_alarming: false, reader }.page(
        &html! {},
        &html! {
            main #main {
                h1 { "What the keys do" }
                div #target {
                    p.quiet {
                        "On the page of a release, while nothing is being typed. Single letters can be switched off at the "
                        "foot of that page. Everything that they do can also be done without them."
                    }
                    @for (title, keys) in KEYS {
                        h2 { (title) }
                        dl.words.o-keys {
                            @for (keys, words) in keys {
                                div {
                                    dt { @for key in *keys { kbd { (key) } " " } }
                                    dd { (words) }
                                }
                            }
                        }
                    }
                }
            }
        },
        &html! { p { a href="/help/states" { "What the words mean" } } },
    )
}
