//! The page of one release.

use futures_util::future::join;
use slipway_core::api::{Activity, Release, StandingProject};
use slipway_core::query::ActivityQuery;
use slipway_view::filter::Filter;
use slipway_view::page::{self, Beside};
use worker::{Env, Request};

use super::html;
use crate::answer::{Answer, Problem};
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
    let standing = ToProject::Standing { project_id: project.id };
    let (activity, standing) =
        join(ask::<Activity>(env, project, &activity), ask::<StandingProject>(env, project, &standing)).await;
    // Without them the page still says what people come for.
    let without =
        |problem: Problem| crate::log::trouble!(of project.id, "a release's page is without it: {}", problem.detail);
    let activity = activity.map_err(without).map(|activity| activity.rows).unwrap_or_default();
    let sources = standing.map_err(without).map(|standing| standing.sources).unwrap_or_default();
    let filter = Filter::from_query(request.url()?.query().unwrap_or_default());
    let beside = Beside { activity: &activity, sources: &sources };
    html(200, &page::release(&release, &beside, &filter, &asking.reader()).into_string())
}
