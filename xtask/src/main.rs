//! Developer commands. `cargo xtask --help` lists them.
#![allow(clippy::print_stdout, reason = "a command talks to a person on standard output")]
#![allow(clippy::disallowed_methods, reason = "a native tool reads its own clock, to say how long things take")]

mod bench;
mod build;
mod check;
mod ci;
mod demo;
mod dev;
mod dist;
mod fuzz;
mod interrupt;
mod pack;
mod report;
mod screenshots;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

const HELP: &str = "\
Slipway's developer commands.

    cargo xtask demo [FILE.deb …]     releases packages on this machine, from nothing, and stays up to look around
    cargo xtask dev                   starts the same services, empty, and keeps them until Ctrl-C
    cargo xtask restart NAME          kills one service of `dev` and starts it again: edge, depot or gitlab
    cargo xtask test                  every test; installs what they need where it may
    cargo xtask fuzz                  only the fuzzing of what comes from outside
    cargo xtask check                 layout and lints
    cargo xtask ci                    what CI runs: check, test, and two proofs
    cargo xtask bench [NAME …]        measures what Slipway promises of its speed and memory
    cargo xtask screenshots           takes pictures of every page, and compares them with those that are kept
    cargo xtask build [PART …]        builds worker, dashboard, slipway and the native services, or only some
    cargo xtask dist                  packs what is handed out: the command, the Worker, depot, and their SHA-256

`cargo xtask COMMAND --help` says what a command can be told.
";

fn main() -> ExitCode {
    interrupt::install();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\n{}: {error}", report::red("error"));
            for cause in error.chain().skip(1) {
                eprintln!("  because {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next().context("cannot read the command line")? {
        Some(lexopt::Arg::Value(command)) => command.to_string_lossy().into_owned(),
        None | Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => {
            print!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "bench" => bench::command(arguments),
        "build" => build::command(arguments),
        "ci" => ci::command(arguments),
        "check" => check::command(arguments),
        "demo" => demo::command(arguments),
        "dev" => dev::command(arguments),
        "fuzz" => fuzz::command(arguments),
        "dist" => dist::command(arguments),
        "restart" => dev::restart(arguments),
        "screenshots" => screenshots::command(arguments),
        "test" => test::command(arguments),
        other => bail!("there is no command `{other}`: `cargo xtask --help` lists them"),
    }
}

/// The arguments of a command that can be told nothing: whether they ask for its help, which is printed then.
fn asks_for_help(mut arguments: lexopt::Parser, help: &str) -> anyhow::Result<bool> {
    match arguments.next()? {
        None => Ok(false),
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => {
            print!("{help}");
            Ok(true)
        }
        Some(other) => Err(other.unexpected().into()),
    }
}
