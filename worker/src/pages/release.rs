//! The page of one release.

use slipway_core::api::{Activity, Release};
use slipway_core::query::ActivityQuery;
use slipway_view::filter::Filter;
use slipway_view::page;
use worker::{Env, Request};

use super::html;
use crate::answer::Answer;
use crate::caller::Asking;
use crate::fetch::{ask, read};
use crate::message::ToProject;

/// How much of what happened to a release its page tells.
const EVENTS: u64 = 10;

pub(super) async fn shown(request: &Request, env: &Env, asking: &Asking<'_>, project: &str, version: &str) -> Answer {
    let project = asking.project(project).await?;
    let release: Release = ask(env, project, &read(project, version)?).await?;
    let query = ActivityQuery { subject: Some(release.version.to_string()), ..ActivityQuery::default() };
    let activity = ToProject::Activity { project_id: project.id, query, count: EVENTS };
    let activity: Activity = ask(env, project, &activity).await?;
    let filter = Filter::from_query(request.url()?.query().unwrap_or_default());
    html(200, &page::release(&release, &activity.rows, &filter, &asking.reader()).into_string())
}
