//! The page of one target.

use futures_util::future::try_join3;
use slipway_core::api::{ActivityRow, Release, TargetHistory};
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
    let (project_id, of) = (project.id, parse_version(version)?);
    let key: Key = key.parse().map_err(|_| Problem::not_found("such target"))?;
    let timeline = ToProject::Timeline { project_id, version: of.clone(), key: key.clone() };
    let history =
        ToProject::Target { project_id, version: of, key: key.clone(), distro: target_in_path(&target.join("/")) };
    let release = read(project, version)?;
    let (history, mut release, timeline) = try_join3(
        ask::<TargetHistory>(env, project, &history),
        ask::<Release>(env, project, &release),
        ask::<Vec<ActivityRow>>(env, project, &timeline),
    )
    .await?;
    release.packages.retain(|package| package.key == key);
    html(200, &page::target(&release, &history, &timeline, &asking.reader()).into_string())
}
