//! The pages that lead to the releases.

use slipway_core::api::{Project, ReleaseSummary};
use slipway_view::page;
use worker::Env;

use super::html;
use crate::answer::Answer;
use crate::caller::Asking;
use crate::fetch::{ask, shown};
use crate::message::{self, Listed, ToDirectory, ToProject, tell};

/// How many versions of a project the front page names.
const NEWEST: usize = 5;

pub(super) async fn projects(env: &Env, asking: &Asking<'_>) -> Answer {
    let projects = asking.visible().await?;
    let mut answer = tell(&message::directory(env)?, &ToDirectory::List).await?;
    let listed: Vec<Listed> = serde_json::from_str(&answer.text().await?)?;
    let with_newest = |project: &&slipway_core::config::Project| {
        let own = listed.iter().filter(|listed| listed.project_id == project.id).take(NEWEST);
        let shown = Project { id: project.id, name: project.name.to_string() };
        (shown, own.map(|listed| listed.version.clone()).collect())
    };
    let projects: Vec<_> = projects.iter().map(with_newest).collect();
    html(200, &page::projects(&projects, &asking.reader()).into_string())
}

pub(super) async fn releases(env: &Env, asking: &Asking<'_>, project: &str) -> Answer {
    let project = asking.project(project).await?;
    let releases: Vec<ReleaseSummary> = ask(env, project, &ToProject::Releases { project_id: project.id }).await?;
    html(200, &page::releases(&shown(project), &releases, &asking.reader()).into_string())
}
