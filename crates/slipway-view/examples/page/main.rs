//! Prints a page, to look at without a server: `cargo run -p slipway-view --example page -- release > page.html`.

mod activity;
mod others;
mod overview;
mod release;

use std::io::Write as _;

use slipway_core::api::{ProblemDetails, Release};
use slipway_core::query::ActivityQuery;
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
        "overview" => page::overview(&overview::busy()?, &overview::latest()?, &[], &reader),
        "overview-quiet" => page::overview(&overview::quiet()?, &[], &[], &reader),
        "overview-empty" => page::overview(&[], &[], &[], &reader),
        "project" => page::project(overview::busy()?.first().ok_or("no project")?, &activity::rows()?, &reader),
        "activity" => page::activity(
            &activity::rows()?,
            &ActivityQuery { actor: Some(query).filter(|actor| !actor.is_empty()), ..ActivityQuery::default() },
            &reader,
        ),
        "deployments" => page::deployments(&others::deployments()?, &reader),
        "against" => page::against(&others::against()?, &reader),
        "status" => page::status(&others::standing()?, &[], &reader),
        "keys" => page::help_keys(&reader),
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
        // A target page, by the state of the target: `target-failed`.
        other => {
            let state =
                other.strip_prefix("target-").ok_or_else(|| format!("no page `{other}`; main.rs names them"))?;
            page::target(&release, &others::history(&release, state)?, &activity::rows()?.rows, &reader)
        }
    };
    writeln!(std::io::stdout(), "{}", html.into_string())?;
    Ok(())
}
