//! The page of what was done, and the same for a spreadsheet.

use slipway_core::api::Activity;
use slipway_core::audit::Format;
use slipway_core::config::Project;
use slipway_core::query::{ACTIVITY_ROWS_MAX, ActivityQuery};
use slipway_view::page;
use worker::{Env, Request, Response};

use super::html;
use crate::answer::{Answer, PRIVATE, Problem};
use crate::caller::Asking;
use crate::fetch::{ask, pairs};
use crate::message::ToProject;

/// A spreadsheet has so many times the rows of a page at most. The whole audit is exported elsewhere.
const PAGES_MAX: usize = 25;

pub(super) async fn shown(request: &Request, env: &Env, asking: &Asking<'_>, project: &str) -> Answer {
    let project = asking.project(project).await?;
    let query = ActivityQuery::of_a_page(&pairs(request)?);
    if query.csv {
        return csv(env, project, query).await;
    }
    let activity = rows(env, project, query.clone()).await?;
    html(200, &page::activity(&activity, &query, &asking.reader()).into_string())
}

async fn rows(env: &Env, project: &Project, query: ActivityQuery) -> Result<Activity, Problem> {
    ask(env, project, &ToProject::Activity { project_id: project.id, query, count: ACTIVITY_ROWS_MAX }).await
}

async fn csv(env: &Env, project: &Project, query: ActivityQuery) -> Answer {
    let mut all = rows(env, project, query.clone()).await?;
    for _ in 1..PAGES_MAX {
        let Some(older) = all.older else { break };
        let next = rows(env, project, ActivityQuery { before: Some(older), ..query.clone() }).await?;
        all.rows.extend(next.rows);
        all.older = next.older;
    }
    let response = Response::ok(all.csv())?;
    response.headers().set("content-type", Format::Csv.content_type())?;
    response.headers().set("content-disposition", "attachment; filename=\"activity.csv\"")?;
    response.headers().set("cache-control", PRIVATE)?;
    Ok(response)
}
