//! The pages that lead to the releases.

use futures_util::future::{join, join_all};
use slipway_core::api::{Activity, Glance};
use slipway_core::config::Project;
use slipway_core::query::ActivityQuery;
use slipway_view::page;
use worker::Env;

use super::html;
use crate::answer::{Answer, Problem};
use crate::caller::Asking;
use crate::fetch::{ask, shown};
use crate::message::ToProject;

/// How many releases of each project the front page looks at, and how many the project's own page.
const NEWEST: u32 = 20;
const NEWEST_OF_ONE: u32 = 50;
/// How many of the last events a page has.
const EVENTS: u64 = 10;

pub(super) async fn overview(env: &Env, asking: &Asking<'_>) -> Answer {
    let projects = asking.visible_so_far().await?;
    // One record after the other, a page would wait for all of them.
    let told = join_all(projects.iter().map(|project| at_a_glance(env, project, NEWEST))).await;
    let (mut glances, mut latest, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (project, told) in projects.into_iter().zip(told) {
        // A record that does not answer takes no other project's page away.
        match told {
            Ok((glance, activity)) => {
                glances.push(glance);
                latest.push(activity);
            }
            Err(problem) => {
                crate::log::trouble!(of project.id, "the front page is without it: {}", problem.detail);
                silent.push(shown(project));
            }
        }
    }
    html(200, &page::overview(&glances, &latest, &silent, &asking.reader()).into_string())
}

pub(super) async fn project(env: &Env, asking: &Asking<'_>, project: &str) -> Answer {
    let project = asking.project(project).await?;
    let (glance, activity) = at_a_glance(env, project, NEWEST_OF_ONE).await?;
    html(200, &page::project(&glance, &activity, &asking.reader()).into_string())
}

async fn at_a_glance(env: &Env, project: &Project, newest: u32) -> Result<(Glance, Activity), Problem> {
    let glance = ToProject::Glance { project_id: project.id, newest };
    let events = ToProject::Activity { project_id: project.id, query: ActivityQuery::default(), count: EVENTS };
    let (glance, events) = join(ask(env, project, &glance), ask(env, project, &events)).await;
    Ok((glance?, events?))
}
