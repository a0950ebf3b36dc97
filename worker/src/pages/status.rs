//! The page of how Slipway itself is.

use futures_util::future::join_all;
use slipway_core::api::{Standing, StandingProject};
use slipway_view::page;
use worker::Env;

use super::html;
use crate::answer::Answer;
use crate::caller::Asking;
use crate::clock;
use crate::fetch::{ask, shown};
use crate::message::ToProject;

pub(super) async fn standing(env: &Env, asking: &Asking<'_>) -> Answer {
    let projects = asking.visible_so_far().await?;
    let standing = projects.iter().map(|project| async {
        let standing = ToProject::Standing { project_id: project.id };
        ask::<StandingProject>(env, project, &standing).await
    });
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for (project, standing) in projects.iter().zip(join_all(standing).await) {
        match standing {
            Ok(standing) => told.push(standing),
            Err(problem) => {
                crate::log::trouble!(of project.id, "the status page is without it: {}", problem.detail);
                silent.push(shown(project));
            }
        }
    }
    let view = Standing { build: env!("CARGO_PKG_VERSION").to_owned(), at: clock::now().to_string(), projects: told };
    html(200, &page::status(&view, &silent, &asking.reader()).into_string())
}
