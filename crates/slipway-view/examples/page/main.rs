//! Prints a page, to look at without a server: `cargo run -p slipway-view --example page -- release > page.html`.

mod overview;
mod public;
mod release;

use std::io::Write as _;

use slipway_core::api::{ProblemDetails, Release};
use slipway_core::verdict::judge;
use slipway_view::filter::Filter;
use slipway_view::page::{self, Reader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "release".into());
    let query = std::env::args().nth(2).unwrap_or_default();
    let filter = Filter::from_query(&query);
    let reader = Reader::default();
    let release = release::judged(release::patch_day())?;
    let html = match name.as_str() {
        "release" => page::release(&release, &filter, &reader),
        "calm" => page::release(&release::judged(release::calm())?, &filter, &reader),
        "empty" => page::release(
            &Release {
                packages: Vec::new(),
                pipelines: Vec::new(),
                verdict: judge("tug", &release.version, &[], None).1,
                ..release
            },
            &filter,
            &reader,
        ),
        "json" => return Ok(serde_json::to_writer(std::io::stdout(), &release)?),
        "releases" => page::releases(&release.project, &overview::summaries()?, &reader),
        "projects" => page::projects(&[(release.project, vec![release.version])], &reader),
        "states" => page::help_states(&reader),
        "error" => page::error(
            &ProblemDetails {
                kind: "gitlab-unreachable".into(),
                title: "GitLab does not answer".into(),
                status: 502,
                detail:
                    "Reading job 8812 of project 1001 failed three times. Nothing has changed. Try again in a minute."
                        .into(),
            },
            &reader,
        ),
        other => match public::page(other, &release, &reader) {
            Some(page) => page,
            None => {
                return Err(format!(
                    "no page `{other}`: release, calm, empty, json, releases, projects, states, error, public, public-target, \
                     public-releases, public-projects, line"
                )
                .into());
            }
        },
    };
    writeln!(std::io::stdout(), "{}", html.into_string())?;
    Ok(())
}
