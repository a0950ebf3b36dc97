//! The page that answers whether something is out.

use futures_util::future::join_all;
use slipway_core::api::{Glance, Release};
use slipway_core::config::Project;
use slipway_view::page::{self, Found};
use worker::{Env, Request};

use super::html;
use crate::answer::{Answer, Problem};
use crate::caller::Asking;
use crate::fetch::{ask, pairs, read, shown};
use crate::message::ToProject;

/// How many releases of each project are known to a search that names none.
const NEWEST: u32 = 20;
/// What a person types.
const WORDS_MAX: usize = 200;

pub(super) async fn answer(request: &Request, env: &Env, asking: &Asking<'_>) -> Answer {
    let projects = asking.visible_so_far().await?;
    let words = pairs(request)?.into_iter().find_map(|(name, value)| (name == "q").then_some(value));
    let words: String = words.unwrap_or_default().chars().take(WORDS_MAX).collect();
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    if !words.trim().is_empty() {
        let told = join_all(projects.iter().map(|project| in_project(env, project, &words))).await;
        for (project, told) in projects.iter().zip(told) {
            match told {
                Ok(own) => found.extend(own),
                Err(problem) => {
                    crate::log::trouble!(of project.id, "a search is without it: {}", problem.detail);
                    silent.push(shown(project));
                }
            }
        }
    }
    html(200, &page::search(&words, &found, &silent, &asking.reader()).into_string())
}

async fn in_project(env: &Env, project: &Project, words: &str) -> Result<Vec<Found>, Problem> {
    let glance: Glance = ask(env, project, &ToProject::Glance { project_id: project.id, newest: NEWEST }).await?;
    let mut found = Vec::new();
    for version in page::releases_to_search(words, &glance) {
        match ask::<Release>(env, project, &read(project, version.as_str())?).await {
            Ok(release) => found.extend(page::found_in(words, &release)),
            // Another project may have a release of that version.
            Err(problem) if problem.status == 404 => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(found)
}
