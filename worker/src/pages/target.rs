//! The page of one target.

use futures_util::future::try_join3;
use slipway_core::api::{Activity, Release, TargetHistory};
use slipway_core::cargo::target_in_path;
use slipway_core::query::{ACTIVITY_ROWS_MAX, ActivityQuery};
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
    let query = ActivityQuery { subject: Some(format!("{of}/{key}")), ..ActivityQuery::default() };
    let history =
        ToProject::Target { project_id, version: of, key: key.clone(), distro: target_in_path(&target.join("/")) };
    let activity = ToProject::Activity { project_id, query, count: ACTIVITY_ROWS_MAX };
    let release = read(project, version)?;
    let (history, mut release, activity) = try_join3(
        ask::<TargetHistory>(env, project, &history),
        ask::<Release>(env, project, &release),
        ask::<Activity>(env, project, &activity),
    )
    .await?;
    release.packages.retain(|package| package.key == key);
    html(200, &page::target(&release, &history, &activity.rows, &asking.reader()).into_string())
}
