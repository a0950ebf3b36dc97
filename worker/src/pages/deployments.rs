//! The page of what runs where.

use slipway_core::api::Deployments;
use slipway_view::page;
use worker::Env;

use super::html;
use crate::answer::Answer;
use crate::caller::Asking;
use crate::fetch::ask;
use crate::message::ToProject;

pub(super) async fn shown(env: &Env, asking: &Asking<'_>, project: &str) -> Answer {
    let project = asking.project(project).await?;
    let deployments: Deployments = ask(env, project, &ToProject::Deployments { project_id: project.id }).await?;
    html(200, &page::deployments(&deployments, &asking.reader()).into_string())
}
