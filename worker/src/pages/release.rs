//! The page of one release.

use slipway_core::api::Release;
use slipway_view::filter::Filter;
use slipway_view::page;
use worker::{Env, Request};

use super::html;
use crate::answer::Answer;
use crate::caller::Asking;
use crate::fetch::{ask, read};

pub(super) async fn shown(request: &Request, env: &Env, asking: &Asking<'_>, project: &str, version: &str) -> Answer {
    let project = asking.project(project).await?;
    let release: Release = ask(env, project, &read(project, version)?).await?;
    let filter = Filter::from_query(request.url()?.query().unwrap_or_default());
    html(200, &page::release(&release, &[], &filter, &asking.reader()).into_string())
}
