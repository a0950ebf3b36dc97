//! `check`: the layout and the lints, for the native crates and for those that become wasm.

use std::process::ExitCode;

use slipway_stack::Places;

use crate::asks_for_help;
use crate::report::Steps;
use crate::tools::{self, cargo, run_logged};

const HELP: &str = "\
cargo xtask check

The layout (rustfmt) and the lints (clippy) of every crate. It changes nothing.
";

/// What is linked into a wasm host: some lints see more there.
const WASM: [&str; 9] = [
    "slipway-worker",
    "slipway-dashboard",
    "slipway",
    "slipway-fetch",
    "slipway-webcrypto",
    "slipway-relay",
    "slipway-bench-copy",
    "slipway-sim",
    "slipway-sim-wasm",
];

pub(crate) fn command(arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    if asks_for_help(arguments, HELP)? {
        return Ok(ExitCode::SUCCESS);
    }
    run(&Steps::begin(), &Places::of_this_clone()?)?;
    Ok(ExitCode::SUCCESS)
}

/// Fails at the first kind of mistake, showing all of its kind.
pub(crate) fn run(steps: &Steps, places: &Places) -> anyhow::Result<()> {
    tools::wasm_target(steps, places)?;
    let lints = ["--", "--deny", "warnings"];
    let wasm: Vec<&str> = WASM.iter().flat_map(|package| ["--package", package]).collect();
    let clippy = |target: &[&str]| {
        let mut command = cargo(places);
        command.arg("clippy").args(target).args(lints);
        command
    };
    let mut layout = cargo(places);
    layout.args(["fmt", "--all", "--check"]);
    let mut fuzzers = cargo(places);
    fuzzers.args(["fmt", "--check", "--manifest-path", "tests/fuzz/Cargo.toml"]);
    let checks = [
        ("rustfmt", layout),
        ("rustfmt of the fuzzers", fuzzers),
        ("clippy", clippy(&["--workspace", "--all-targets"])),
        ("clippy for wasm", clippy(&[&["--target", "wasm32-unknown-unknown"], wasm.as_slice()].concat())),
    ];
    for (name, mut command) in checks {
        let log = places.target.join(format!("xtask/check-{}.log", name.replace(' ', "-")));
        run_logged(&mut command, &format!("pass {name}"), &log)?;
        steps.say(&format!("{name}: nothing to complain about"));
    }
    Ok(())
}
