//! `GET /slipway.tgz`: the `slipway` command that this edge was built with, for `npm install` and for the jobs of the CI
//! component. It is public, as the program is: it holds no secret, and a job needs it before it has a session.
//!
//! Under its version's name it may be kept for ever; `/slipway.tgz` is asked for again, since it changes with the edge.

use worker::{Env, Headers, Request, Response};

use crate::answer::{Answer, Problem};

/// All parts of one build have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Named with its version.
    versioned: bool,
    /// The SHA-256 instead of the file.
    digest: bool,
}

/// What a name at the top of the edge asks for, when it is a name of the command.
pub(crate) fn asked(name: &str) -> Option<Asked> {
    let (file, digest) = match name.strip_suffix(".sha256") {
        Some(file) => (file, true),
        None => (name, false),
    };
    let between = file.strip_prefix("slipway")?.strip_suffix(".tgz")?;
    match between.strip_prefix('-') {
        None if between.is_empty() => Some(Asked { versioned: false, digest }),
        Some(VERSION) => Some(Asked { versioned: true, digest }),
        _ => None,
    }
}

pub(crate) async fn answer(request: &Request, env: &Env, asked: Asked) -> Answer {
    let missing = || {
        Problem::not_found(
            "command in this deployment: its files lack `command/slipway.tgz`, which `cargo xtask build` makes",
        )
    };
    let assets = env.assets("ASSETS")?;
    let mut found = assets.fetch("https://assets/command/slipway.sha256", None).await?;
    if found.status_code() != 200 {
        return Err(missing());
    }
    let digest = found.text().await?;
    let headers = Headers::new();
    let keep =
        if asked.versioned { "public, max-age=31536000, immutable" } else { "public, max-age=0, must-revalidate" };
    headers.set("cache-control", keep)?;
    if asked.digest {
        let name = if asked.versioned { format!("slipway-{VERSION}.tgz") } else { "slipway.tgz".to_owned() };
        headers.set("content-type", "text/plain; charset=utf-8")?;
        return Ok(Response::ok(format!("{digest}  {name}\n"))?.with_headers(headers));
    }
    let tag = format!("\"{digest}\"");
    headers.set("etag", &tag)?;
    if request.headers().get("if-none-match")?.as_deref() == Some(tag.as_str()) {
        return Ok(Response::empty()?.with_status(304).with_headers(headers));
    }
    let found = assets.fetch("https://assets/command/slipway.tgz", None).await?;
    if found.status_code() != 200 {
        return Err(missing());
    }
    headers.set("content-type", "application/gzip")?;
    Ok(found.with_headers(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_a_name_that_moves_on_and_one_of_this_version_alone() {
        let named = |versioned, digest| Some(Asked { versioned, digest });
        let own = format!("slipway-{VERSION}.tgz");
        assert_eq!(asked("slipway.tgz"), named(false, false));
        assert_eq!(asked("slipway.tgz.sha256"), named(false, true));
        assert_eq!(asked(&own), named(true, false));
        assert_eq!(asked(&format!("{own}.sha256")), named(true, true));
        for other in
            ["slipway-0.0.0.tgz", "slipway-.tgz", "slipwayx.tgz", "slipway.tgz.sha256.sha256", "slipway", ".tgz"]
        {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
