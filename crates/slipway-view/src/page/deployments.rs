//! What runs where, as deployers have said.

use maud::{Markup, html};
use slipway_core::api::{DeploymentRow, Deployments};
use slipway_core::audit::person;

use super::piece::{as_of, cell, piece, release_path, table};
use super::{Reader, Shell, project_path};
use crate::section::{away, time};
use crate::text::{link, visible};

/// What runs now in each environment, and what ran before.
pub fn deployments(view: &Deployments, reader: &Reader<'_>) -> Markup {
    let name = visible(&view.project.name);
    let trail =
        [("Projects", "/".to_owned()), (name.as_str(), project_path(&view.project)), ("Deployments", String::new())];
    let (now, before): (Vec<_>, Vec<_>) = view.rows.iter().partition(|row| row.is_current);
    let title = format!("Deployments · {name}");
    Shell { title: &title, trail: &trail, is_alarming: false, reader }.page(
        &as_of(&view.at),
        &html! {
            main #main {
                h1 { "Deployments of " (name) }
                (piece("deployments", &html! {
                    p.sentence {
                        @match now.as_slice() {
                            [] => "Nobody has said that anything runs anywhere.",
                            [row] => { (name) " " (row.version) " runs in " (visible(&row.environment)) ", as far as was said." },
                            rows => { (name) " runs in " (rows.len()) " environments, as far as was said." }
                        }
                    }
                    @if view.rows.is_empty() {
                        div.empty {
                            p { "A deployer's job says it when a deployment is good; GitLab says it of the project's own environments." }
                        }
                    }
                    @if !now.is_empty() {
                        h2 #now-title { "Now" }
                        (rows("now-title", view, &now))
                    }
                    @if !before.is_empty() {
                        h2 #before-title { "Before" }
                        (rows("before-title", view, &before))
                    }
                }))
            }
        },
        &html! { p { "What nobody has said is not here: a machine that was changed by hand is not known of." } },
    )
}

fn rows(labelled_by: &str, view: &Deployments, rows: &[&DeploymentRow]) -> Markup {
    table(
        labelled_by,
        &["Environment", "Version", "Since", "Said by", "Pipeline"],
        &html! {
            @for row in rows {
                tr role="row" {
                    th role="rowheader" scope="row" { (visible(&row.environment)) }
                    (cell("Version", &html! { a href=(release_path(&view.project, &row.version)) { (row.version) } }))
                    (cell("Since", &time(&row.at)))
                    (cell("Said by", &visible(person(&row.by))))
                    (cell("Pipeline", &html! {
                        @match row.pipeline_url.as_deref().and_then(link) {
                            Some(url) => a href=(url) rel="noreferrer" { "Open in GitLab" (away()) },
                            None => span.quiet { "not said" },
                        }
                    }))
                }
            }
        },
    )
}
