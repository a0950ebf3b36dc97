//! The page of what is staged, beside what is public.

use slipway_core::api::Against;
use slipway_core::query::against_key;
use slipway_view::page;
use worker::{Env, Request};

use super::html;
use crate::answer::Answer;
use crate::caller::Asking;
use crate::fetch::{ask, pairs, parse_version};
use crate::message::ToProject;

pub(super) async fn shown(request: &Request, env: &Env, asking: &Asking<'_>, project: &str, version: &str) -> Answer {
    let project = asking.project(project).await?;
    // A page leaves out what it does not understand.
    let key = against_key(&pairs(request)?).ok().flatten();
    let against = ToProject::Against { project_id: project.id, version: parse_version(version)?, key };
    let against: Against = ask(env, project, &against).await?;
    html(200, &page::against(&against, &asking.reader()).into_string())
}
