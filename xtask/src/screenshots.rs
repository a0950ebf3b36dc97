//! `screenshots`: pictures of every page, against those that are kept in `docs/images/pages`.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use slipway_stack::Places;

use crate::build::{self, Part};
use crate::report::Steps;
use crate::tools::{self, program};

const HELP: &str = "\
cargo xtask screenshots [--accept]

Takes a picture of every page, 1280 and 320 pixels wide, light and dark, and compares it with the one that is kept in
docs/images/pages. What differs is left in target/screenshots, with what is different in red.

    --accept    keeps the pictures as they are now: look at them first
";

pub(crate) fn command(mut arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let mut is_accepting = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            lexopt::Arg::Long("accept") => is_accepting = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let places = Places::of_this_clone()?;
    let steps = Steps::begin();
    tools::apt_install(&steps, &places, &[("chromium", "chromium fonts-dejavu-core")])?;
    ensure!(tools::output("chromium", &["--version"]).is_some(), "this machine lacks `chromium`");
    build::build(&steps, &places, &[Part::Dashboard])?;
    let pages = "crates/dashboard/tests";
    tools::npm_install(&steps, &places, pages, &places.root.join(pages), "playwright-core", "16 MB on disk", &[])?;
    let mut script = program("node");
    script.arg(places.root.join(pages).join("screenshots.mjs")).current_dir(&places.root);
    if is_accepting {
        script.arg("--accept");
    }
    let status = script.status().context("cannot start `node`")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
