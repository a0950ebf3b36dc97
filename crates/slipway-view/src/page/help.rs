//! What the words mean.

use maud::{Markup, html};
use slipway_core::release::{ReleaseState, TargetState};

use super::{Reader, Shell};
use crate::state::{chip, meaning, release_chip, release_meaning};

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
