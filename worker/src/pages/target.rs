//! The page of one target.

use slipway_core::api::{Release, TargetHistory};
use slipway_core::cargo::target_in_path;
use slipway_core::release::Key;
use slipway_view::page;
use worker::Env;

use super::html;
use crate::answer::{Answer, Problem};
use crate::caller::Asking;
use crate::fetch::{ask, parse_version, read};
use crate::message::ToProject;

/// `target`: the segments of its name.
pub(super) async fn shown(
    env: &Env,
    asking: &Asking<'_>,
    [project, version, key]: [&str; 3],
    target: &[&str],
) -> Answer {
    let project = asking.project(project).await?;
    let key: Key = key.parse().map_err(|_| Problem::not_found("such target"))?;
    let distro = target_in_path(&target.join("/"));
    let history =
        ToProject::Target { project_id: project.id, version: parse_version(version)?, key: key.clone(), distro };
    let history: TargetHistory = ask(env, project, &history).await?;
    let mut release: Release = ask(env, project, &read(project, version)?).await?;
    release.packages.retain(|package| package.key == key);
    html(200, &page::target(&release, &history, &[], &asking.reader()).into_string())
}
