//! What leads to the releases: the projects, and the releases of one of them.

use maud::{Markup, html};
use slipway_core::api::{Project, ReleaseSummary};
use slipway_core::release::{ReleaseState, Version};

use super::{Reader, Shell, project_path};
use crate::section;
use crate::state::release_chip;
use crate::text::{segment, visible};

/// The releases of a project, in the order given: newest first.
pub fn releases(project: &Project, releases: &[ReleaseSummary], reader: &Reader<'_>) -> Markup {
    let name = visible(&project.name);
    let open = releases.iter().filter(|release| is_open(release.state)).count();
    Shell { title: &name, trail: &[("Projects", "/".to_owned())], is_alarming: false, reader }.page(
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
pub fn projects(projects: &[(Project, Vec<Version>)], reader: &Reader<'_>) -> Markup {
    Shell { title: "Projects", trail: &[], is_alarming: false, reader }.page(
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
