//! What people see of jobs in a browser: the page of a pipeline, with its jobs, and the page of a job, with a button to play it.
//!
//! Not GitLab's look, but its addresses: a link from elsewhere to a job leads to where that job can be played. Whoever plays
//! says who they are; what GitLab lets them do is what its API lets them do.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header::LOCATION},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};

use super::{
    api::Refusal,
    job::{Job, Status},
    server::{Gitlab, query_fields},
    world::{Project, World},
};

pub(super) fn routes() -> Router<Arc<Gitlab>> {
    Router::new()
        .route("/{group}/{project}/-/jobs/{job}", get(job))
        .route("/{group}/{project}/-/jobs/{job}/play", post(play))
        .route("/{group}/{project}/-/pipelines/{pipeline}", get(pipeline))
}

type Shared = State<Arc<Gitlab>>;
type Named = Path<(String, String, u64)>;

/// GitLab's answer for what is not there, and for what nobody may see.
fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Html("<!DOCTYPE html><title>Not Found</title><h1>404: Page not found</h1>")).into_response()
}

fn page(title: &str, body: &str) -> Response {
    let title = escaped(title);
    Html(format!(
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{title} · GitLab stand-in</title>\
         <main><h1>{title}</h1>{body}</main></html>"
    ))
    .into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn known<'w>(world: &'w World, group: &str, project: &str) -> Option<&'w Project> {
    world.project(&format!("{group}/{project}"))
}

fn job_in<'w>(world: &'w World, project: &Project, id: u64) -> Option<&'w Job> {
    world.jobs.get(&id).filter(|job| job.project_id == project.id)
}

async fn job(State(gitlab): Shared, Path((group, name, id)): Named) -> Response {
    let store = gitlab.store();
    let world = &store.world;
    let Some((project, job)) = known(world, &group, &name).and_then(|known| Some((known, job_in(world, known, id)?)))
    else {
        return not_found();
    };
    let path = escaped(&project.path);
    let mut body = format!(
        "<p id=status>{}</p><p><a href=\"/{path}/-/pipelines/{pipeline}\">Pipeline {pipeline}</a></p>",
        job.status.word(),
        pipeline = job.pipeline_id
    );
    if job.is_playable() {
        let mut people = String::new();
        for user in world.users.values() {
            // Writing to a text cannot fail.
            let _ = write!(people, "<option>{}</option>", escaped(&user.username));
        }
        let button = if job.status == Status::Manual { "Run job" } else { "Run again" };
        let _ = write!(
            body,
            "<form method=post action=\"/{path}/-/jobs/{id}/play\"><label>As <select name=user>{people}</select></label> \
             <button id=play>{button}</button></form>"
        );
    }
    page(&job.name, &body)
}

async fn pipeline(State(gitlab): Shared, Path((group, name, id)): Named) -> Response {
    let store = gitlab.store();
    let world = &store.world;
    let Some(project) = known(world, &group, &name) else { return not_found() };
    if world.pipelines.get(&id).is_none_or(|pipeline| pipeline.project_id != project.id) {
        return not_found();
    }
    let mut jobs = String::new();
    for job in world.jobs_of(id).filter(|job| !job.retried) {
        let _ = write!(
            jobs,
            "<li><a href=\"/{}/-/jobs/{}\">{}</a> {}</li>",
            escaped(&project.path),
            job.id,
            escaped(&job.name),
            job.status.word()
        );
    }
    page(&format!("Pipeline {id}"), &format!("<ul>{jobs}</ul>"))
}

/// The button of a job's page. A browser is led to the job that runs then, which is another when this one had ended.
async fn play(State(gitlab): Shared, Path((group, name, id)): Named, body: Bytes) -> Response {
    let fields = query_fields(std::str::from_utf8(&body).ok());
    let user = fields.iter().find(|(field, _)| field == "user").map(|(_, user)| user.as_str());
    let played = gitlab.steps(|steps| -> Result<Option<(String, u64)>, Refusal> {
        let world = &steps.change.world;
        let found = known(world, &group, &name).and_then(|known| Some((known, job_in(world, known, id)?)));
        let (Some((project, _)), Some(player)) = (found, user.and_then(|user| world.user_named(user))) else {
            return Ok(None);
        };
        let (path, player) = (project.path.clone(), player.id);
        let id = steps.play(id, player)?;
        steps.run(id);
        Ok(Some((path, id)))
    });
    match played {
        Ok(Some((path, id))) => (StatusCode::SEE_OTHER, [(LOCATION, format!("/{path}/-/jobs/{id}"))]).into_response(),
        Ok(None) => not_found(),
        Err(refusal) => refusal.into_response(),
    }
}
