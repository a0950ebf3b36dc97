//! What people see: the pages, and the files that keep them live.

pub(crate) mod act;
mod activity;
mod against;
mod deployments;
mod lines;
mod overview;
mod release;
mod search;
pub(crate) mod sign_in;
mod status;
mod target;

use slipway_view::page;
use worker::{Env, Headers, Request, Response};

use crate::answer::{Answer, Problem, VARY};
use crate::caller::Asking;
use crate::settings;

/// Answers to `GET` of a page.
pub(crate) async fn answer(request: &Request, env: &Env, asking: &Asking<'_>, segments: &[&str]) -> Answer {
    if let Some(answer) = lines::answer(request, env, asking, segments).await {
        return answer;
    }
    match segments {
        [] => overview::overview(env, asking).await,
        ["help", "keys"] => html(200, &page::help_keys(&asking.reader()).into_string()),
        ["help", "states"] => html(200, &page::help_states(&asking.reader()).into_string()),
        ["search"] => search::answer(request, env, asking).await,
        ["status"] => status::standing(env, asking).await,
        ["p", project] => overview::project(env, asking, project).await,
        ["p", project, "activity"] => activity::shown(request, env, asking, project).await,
        ["p", project, "deployments"] => deployments::shown(env, asking, project).await,
        ["p", project, "r", version] => release::shown(request, env, asking, project, version).await,
        ["p", project, "r", version, "against"] => against::shown(request, env, asking, project, version).await,
        ["p", project, "r", version, "t", key, target @ ..] => {
            target::shown(env, asking, [project, version, key], target).await
        }
        _ => Err(Problem::not_found("page")),
    }
}

fn html(status: u16, markup: &str) -> Answer {
    let headers = headers(page::CACHE_CONTROL)?;
    Ok(Response::from_bytes(markup.as_bytes().to_vec())?.with_status(status).with_headers(headers))
}

/// The headers that every page is sent with. Who may keep it depends on who sees it.
pub(crate) fn headers(cache_control: &str) -> Result<Headers, Problem> {
    let headers = Headers::new();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", page::CONTENT_SECURITY_POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), interest-cohort=(), microphone=()"),
        // With `no-referrer`, browsers would send the forms of these pages without saying where they are from.
        ("referrer-policy", "same-origin"),
        ("cache-control", cache_control),
        ("vary", VARY),
    ] {
        headers.set(name, value)?;
    }
    Ok(headers)
}

/// A problem as a page, for those who asked for a page.
pub(crate) fn problem(problem: &Problem, reader: &page::Reader<'_>) -> Answer {
    let markup = match problem.status {
        401 => page::unauthorised(&problem.detail, reader),
        // Signing in is not what is missing.
        403 => page::unauthorised(&problem.detail, &page::Reader { may_sign_in: false, ..*reader }),
        404 => page::not_found(&problem.detail, reader),
        _ => page::error(
            &slipway_core::api::ProblemDetails {
                kind: problem.kind.to_owned(),
                title: problem.kind.replace('-', " "),
                status: problem.status,
                detail: problem.detail.clone(),
            },
            reader,
        ),
    };
    html(problem.status, &markup.into_string())
}

/// A file of the dashboard, of the `build` that its address names. The binding gives bytes; what kind they are is said
/// here, since a plain workerd does not.
///
/// Of this deployment's build it may be kept for ever. A page of another build, or a bookmark of none, gets the file as it
/// is now rather than nothing, and asks for it again the next time.
pub(crate) async fn asset(request: &Request, env: &Env, build: &str, name: &str) -> Answer {
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        _ => return Err(Problem::not_found("such file")),
    };
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !plain || name.contains("..") {
        return Err(Problem::not_found("such file"));
    }
    let found = env.assets("ASSETS")?.fetch(format!("https://assets/assets/{name}"), None).await?;
    if found.status_code() != 200 {
        return Err(Problem::not_found("such file"));
    }
    let headers = Headers::new();
    headers.set("content-type", kind)?;
    let is_of_this_build = !build.is_empty() && build == settings::assets();
    let keep =
        if is_of_this_build { "public, max-age=31536000, immutable" } else { "public, max-age=0, must-revalidate" };
    headers.set("cache-control", keep)?;
    if let Some(tag) = found.headers().get("etag")? {
        headers.set("etag", &tag)?;
        if request.headers().get("if-none-match")?.as_deref() == Some(tag.as_str()) {
            return Ok(Response::empty()?.with_status(304).with_headers(headers));
        }
    }
    Ok(found.with_headers(headers))
}
