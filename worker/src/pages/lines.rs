//! Pages as lines of text for whoever reads them in a terminal, and answers of one line: of all that a member reads.

use slipway_core::api::{Release, ReleaseSummary, TargetHistory};
use slipway_core::line::Line;
use slipway_view::outward::{self, Form, Outward, Question};
use worker::{Env, Request};

use crate::answer::{Answer, Problem};
use crate::caller::Asking;
use crate::fetch::{ask, shown};
use crate::message::{self, Listed, ToDirectory, ToProject, tell};
use crate::outside::send;

/// The answer. `None` where a page is wanted.
pub(super) async fn answer(request: &Request, env: &Env, asking: &Asking<'_>, segments: &[&str]) -> Option<Answer> {
    let written = written(request, env, asking, segments).await.transpose()?;
    Some(written.and_then(|written| send(request, &written, false)))
}

async fn written(
    request: &Request,
    env: &Env,
    asking: &Asking<'_>,
    segments: &[&str],
) -> Result<Option<Outward>, Problem> {
    let accept = request.headers().get("accept")?.unwrap_or_default();
    if segments.is_empty() {
        return match Form::of(&accept, &[Form::Html, Form::Text]) {
            Form::Text => projects(env, asking).await.map(Some),
            _ => Ok(None),
        };
    }
    let Some((name, question)) = Question::read(segments, "", &accept) else { return Ok(None) };
    let wanted = match &question {
        Question::Releases(form) | Question::Release { form, .. } | Question::Target { form, .. } => {
            *form == Form::Text
        }
        Question::Is { .. } => true,
        _ => false,
    };
    if !wanted {
        return Ok(None);
    }
    let project = asking.project(name).await?;
    let release = |version| ToProject::release(project.id, version);
    let text = match &question {
        Question::Releases(_) => {
            let releases: Vec<ReleaseSummary> =
                ask(env, project, &ToProject::Releases { project_id: project.id }).await?;
            outward::plain_releases(&releases)
        }
        Question::Release { version, .. } => {
            let release: Release = ask(env, project, &release(version.clone())).await?;
            outward::plain_release(&release)
        }
        Question::Target { version, key, target, .. } => {
            let asked = ToProject::Target {
                project_id: project.id,
                version: version.clone(),
                key: key.clone(),
                distro: target.clone(),
            };
            let history: TargetHistory = ask(env, project, &asked).await?;
            outward::plain_target(project.name.as_str(), version, &history)
        }
        Question::Is { version, what, form } => {
            let release: Release = ask(env, project, &release(version.clone())).await?;
            let page = asking.address(&["p", project.name.as_str(), "r", version.as_str()]);
            let line = Line::of_whole(what, &release, &page);
            return Ok(outward::is(project.name.as_str(), version, what, *form, &line, &asking.reader()));
        }
        _ => return Ok(None),
    };
    Ok(Some(Outward::text(text)))
}

async fn projects(env: &Env, asking: &Asking<'_>) -> Result<Outward, Problem> {
    let projects = asking.visible().await?;
    let mut answer = tell(&message::directory(env)?, &ToDirectory::List).await?;
    let listed: Vec<Listed> = serde_json::from_str(&answer.text().await?)?;
    let newest = |id: u64| {
        let own = listed.iter().filter(move |listed| listed.project_id == id);
        own.map(|listed| listed.version.to_string()).collect::<Vec<_>>()
    };
    let named: Vec<_> = projects.iter().map(|project| (shown(project), newest(project.id))).collect();
    Ok(Outward::text(outward::plain_projects(&named)))
}
