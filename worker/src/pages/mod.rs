//! What people see: the pages, and the files that keep them live.

mod lines;
mod overview;
mod release;

use slipway_view::page;
use worker::{Env, Headers, Request, Response};

use crate::answer::{Answer, Problem, VARY};
use crate::caller::Asking;

/// Answers to `GET` of a page.
pub(crate) async fn answer(request: &Request, env: &Env, asking: &Asking<'_>, segments: &[&str]) -> Answer {
    if let Some(answer) = lines::answer(request, env, asking, segments).await {
        return answer;
    }
    match segments {
        [] => overview::projects(env, asking).await,
        ["help", "states"] => html(200, &page::help_states(&asking.reader()).into_string()),
        ["p", project] => overview::releases(env, asking, project).await,
        ["p", project, "r", version] => release::shown(request, env, asking, project, version).await,
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
        ("referrer-policy", "no-referrer"),
        ("cache-control", cache_control),
        ("vary", VARY),
    ] {
        headers.set(name, value)?;
    }
    Ok(headers)
}

/// A problem as a page, for those who asked for a page.
pub(crate) fn problem(problem: &Problem) -> Answer {
    let reader = page::Reader::default();
    let markup = match problem.status {
        401 | 403 => page::unauthorised(&problem.detail, &reader),
        404 => page::not_found(&problem.detail, &reader),
        _ => page::error(
            &slipway_core::api::ProblemDetails {
                kind: problem.kind.to_owned(),
                title: problem.kind.replace('-', " "),
                status: problem.status,
                detail: problem.detail.clone(),
            },
            &reader,
        ),
    };
    html(problem.status, &markup.into_string())
}

/// A file of the dashboard. The binding gives bytes; what kind they are is said here, since a plain workerd does not.
pub(crate) async fn asset(request: &Request, env: &Env, name: &str) -> Answer {
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
    headers.set("cache-control", "public, max-age=0, must-revalidate")?;
    if let Some(tag) = found.headers().get("etag")? {
        if request.headers().get("if-none-match")?.as_deref() == Some(tag.as_str()) {
            return Ok(Response::empty()?.with_status(304));
        }
        headers.set("etag", &tag)?;
    }
    Ok(found.with_headers(headers))
}
