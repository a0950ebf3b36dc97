//! The CI-job host: the `slipway` command, as wasm under Node.
//!
//! Each command reads its words and its environment, names everything that is wrong with them, and then asks the edge.
//! It holds no state between runs: run again, it looks first and repeats nothing. What it declares is a digest; bytes
//! go from the file to the private package server as a Node stream (`host.mjs`) and never enter wasm memory.
//!
//! Absent on purpose: a token that can write a public place, and any memory of earlier runs.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
// The commands run in Node alone; natively only their rules are compiled, for their tests.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "the tests use the rules, not the commands"))]

mod args;
mod carry;
mod edge;
mod exit;
mod follow;
mod help;
mod host;
mod plan;
mod probe;
mod progress;
mod replace;
mod rpm;
mod say;
mod settings;
mod stage;
mod status;
#[cfg(test)]
mod testing;

use wasm_bindgen::prelude::wasm_bindgen;

use args::Command;
use edge::Edge;
use exit::{Exit, Failure};
use say::Say;
use settings::{Caller, Settings};

/// Runs the command line `arguments`, without the program's name. Gives the exit code.
#[wasm_bindgen]
pub async fn run(arguments: Vec<String>) -> u8 {
    let ended = match args::parse(&arguments) {
        Ok(command) => obey(command).await,
        Err(failure) => Err(failure),
    };
    match ended {
        Ok(()) => Exit::Done as u8,
        Err(failure) => {
            host::complain(&failure.text());
            failure.exit as u8
        }
    }
}

async fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Help(topic) => host::print(help::page(topic)),
        Command::Version => host::print(concat!("slipway ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Session { timeout_s } => session(timeout_s).await?,
        Command::Plan(options) => plan(&options).await?,
        Command::Stage(options) => {
            let say = Say { json: options.json };
            let token = settings::staging_token(&host::variable);
            let settings = Settings::read(&host::variable, Caller::Job);
            let (settings, token) = Failure::both(settings, token)?;
            say.answer(&stage::stage(&options, &settings, token, say).await?)?;
        }
        Command::Release(options) => {
            let say = Say { json: options.json };
            let settings = Settings::read(&host::variable, Caller::Job)?;
            say.answer(&follow::release(&options, &settings, say).await?)?;
        }
        Command::Status(options) => status(&options).await?,
        Command::Doctor(options) => {
            let token = settings::probe_token(&host::variable)?;
            probe::run(&options, token, Say { json: options.json }).await?;
        }
    }
    Ok(())
}

/// `slipway session`: a job that builds for long opens its session while its ID token is fresh.
async fn session(timeout_s: u32) -> Result<(), Failure> {
    let settings = Settings::read(&host::variable, Caller::Job)?;
    if let (_, Some(session)) = Edge::open(&settings, timeout_s).await? {
        let project = session.project.name;
        host::print(&format!("job {} of {project} has a session until {}\n", session.job_id, session.expires_at));
    }
    Ok(())
}

/// `slipway plan`: checks the plan, then declares it.
async fn plan(options: &args::Plan) -> Result<(), Failure> {
    let say = Say { json: options.json };
    let file = match &options.file {
        None => None,
        Some(path) => Some(
            host::read_text(path)
                .await
                .map_err(|why| Failure::new(Exit::Misused, format!("cannot read the plan `{path}`"), [why]))?,
        ),
    };
    let patch = plan::plan(options, file.as_deref());
    let patch = patch.map_err(|problems| Failure::new(Exit::Misused, "the plan is not right", problems));
    if options.dry_run {
        let version = settings::named_version(&host::variable);
        let (patch, _) = Failure::both(patch, version)?;
        say.lines(&plan::lines(&patch));
        say.line("nothing was declared: this was a dry run");
        return say.answer(&patch);
    }
    let settings = Settings::read(&host::variable, Caller::Job);
    let (patch, settings) = Failure::both(patch, settings)?;
    let (edge, _) = Edge::open(&settings, options.timeout_s).await?;
    let release = edge.declare(&patch).await.map_err(|error| {
        let refused = error.status().is_some_and(|status| matches!(status.as_u16(), 400 | 409 | 422));
        let exit = if refused { Exit::Misused } else { Exit::Failed };
        Failure { exit, ..error.failure(format!("cannot declare the plan of {}", settings.version)) }
    })?;
    say.lines(&plan::lines(&patch));
    say.line(&release.verdict);
    say.answer(&release)
}

/// `slipway status`: the release as it is, or one target with its attempts.
async fn status(options: &args::Status) -> Result<(), Failure> {
    let say = Say { json: options.json };
    let settings = Settings::read(&host::variable, Caller::Reader)?;
    let (edge, _) = Edge::open(&settings, options.timeout_s).await?;
    let version = &settings.version;
    if let Some((key, distro)) = &options.target {
        let history = edge.history(key, distro).await;
        let history =
            history.map_err(|error| error.failure(format!("cannot read `{key}` of {version} for {distro}")))?;
        if !options.json {
            host::print(&status::history(&history));
        }
        return say.answer(&history);
    }
    let release = edge.release().await.map_err(|error| error.failure(format!("cannot read the release {version}")))?;
    if !options.json {
        host::print(&status::table(&release));
    }
    say.answer(&release)
}
