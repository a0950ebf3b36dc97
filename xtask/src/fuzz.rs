//! Fuzzing, as a suite among the tests: for each reader of what comes from outside, be it over the network or as a file that
//! somebody hands in, 40 seconds of made-up inputs, begun from the samples in `tests/fuzz/corpus`.
//!
//! `cargo fuzz` and its build are of their own: everything is compiled with the sanitizer's instrumentation, for which the
//! stable compiler is told to allow what it needs (`RUSTC_BOOTSTRAP`).

use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use slipway_stack::Places;

use crate::asks_for_help;
use crate::report::{Steps, bold};
use crate::test::{self, Suite};
use crate::tools::{cargo, output, run_logged};

/// What is fuzzed: the programs of `tests/fuzz`.
const TARGETS: [&str; 10] = [
    "webhook_body",
    "id_token",
    "person_token",
    "key_set",
    "slipway_toml",
    "audit_export",
    "audit_rows",
    "signed_head",
    "envelope",
    "record_export",
];

const CARGO_FUZZ: &str = "0.13.2";

/// How long each runs, unless `SLIPWAY_FUZZ_SECONDS` says otherwise.
const SECONDS: u32 = 40;

/// What each begins its chances from, unless `SLIPWAY_FUZZ_SEED` says otherwise. A clean clone has found nothing yet, so there two
/// runs try the same: what fails for a change is not the luck of that run. Who hunts takes others; 0 is a new one each time.
const SEED: u32 = 1;

const HELP: &str = "\
cargo xtask fuzz

For each reader of what comes from outside (webhooks, ID tokens of jobs and of people, key sets, slipway.toml, exports of
audits and records, signed heads, attestations) 40 seconds of made-up inputs, or `SLIPWAY_FUZZ_SECONDS`: in a clean clone the same ones each
time, unless `SLIPWAY_FUZZ_SEED` is another number than 1 (0: new ones each time). An input that breaks one is left in `tests/fuzz/artifacts`.
";

pub(crate) fn command(arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    if asks_for_help(arguments, HELP)? {
        return Ok(ExitCode::SUCCESS);
    }
    let suite = suite(&Steps::begin(), &Places::of_this_clone()?)?;
    Ok(if test::summary(&[suite]) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all of them, two at a time: the machines that this is made for have two cores.
pub(crate) fn suite(steps: &Steps, places: &Places) -> anyhow::Result<Suite> {
    let mut suite = Suite::named("fuzzing");
    let began = Instant::now();
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        suite.skipped = TARGETS.iter().map(|target| format!("{target}: no address sanitizer here")).collect();
        return Ok(suite);
    }
    if output("c++", &["--version"]).is_none() {
        let why = "no C++ compiler (Debian: `apt-get install build-essential`)";
        suite.skipped = TARGETS.iter().map(|target| format!("{target}: {why}")).collect();
        return Ok(suite);
    }
    let seconds = set("SLIPWAY_FUZZ_SECONDS", SECONDS)?;
    let seed = set("SLIPWAY_FUZZ_SEED", SEED)?;
    steps.say(&format!("{}: {} programs, {seconds} s each", bold(suite.name), TARGETS.len()));
    install(steps, places)?;
    run_logged(fuzz(places).arg("build").args(["--fuzz-dir", "."]), "build the fuzzers", &log(places, "build"))?;
    for two in TARGETS.chunks(2) {
        let run = |target: &'static str| (target, run(places, target, seconds, seed));
        let runs: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = two.iter().map(|target| scope.spawn(move || run(target))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for target in two {
            match runs.iter().find(|(of, _)| of == target) {
                Some((_, Ok(figure))) => {
                    suite.passed += 1;
                    suite.figures.push(figure.clone());
                }
                Some((_, Err(error))) => {
                    eprintln!("{error:#}");
                    suite.failed.push(format!("fuzzing {target}"));
                }
                None => suite.failed.push(format!("fuzzing {target}")),
            }
        }
    }
    suite.took = began.elapsed();
    Ok(suite)
}

/// A number that the environment may set.
fn set(name: &str, otherwise: u32) -> anyhow::Result<u32> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("`{name}` is a whole number, and not `{text}`")),
        Err(_) => Ok(otherwise),
    }
}

fn log(places: &Places, part: &str) -> std::path::PathBuf {
    places.target.join(format!("xtask/fuzz-{part}.log"))
}

/// `cargo fuzz` in `tests/fuzz`, of which `--fuzz-dir .` is said to each of its commands.
fn fuzz(places: &Places) -> Command {
    let bin = places.target.join("tools/fuzz/bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = cargo(places);
    command
        .current_dir(places.root.join("tests/fuzz"))
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CARGO_TARGET_DIR", places.target.join("fuzz"))
        .env("RUSTC_BOOTSTRAP", "1")
        .arg("fuzz");
    command
}

fn install(steps: &Steps, places: &Places) -> anyhow::Result<()> {
    let root = places.target.join("tools/fuzz");
    if root.join("bin/cargo-fuzz").exists() {
        return Ok(());
    }
    steps.say("installing cargo-fuzz from crates.io");
    let mut install = cargo(places);
    install.args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ, "--root"]).arg(&root);
    run_logged(&mut install, "install cargo-fuzz", &log(places, "install"))
}

/// Runs one, and says how much it has tried.
fn run(places: &Places, target: &str, seconds: u32, seed: u32) -> anyhow::Result<String> {
    // What it finds interesting is kept from run to run, beside the samples.
    let found = places.target.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make `{}`", found.display()))?;
    let log = log(places, target);
    let mut running = fuzz(places);
    running.args(["run", "--fuzz-dir", ".", target]).arg(&found).arg(Path::new("corpus").join(target)).arg("--").args(
        [
            &format!("-max_total_time={seconds}"),
            &format!("-seed={seed}"),
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=70000",
        ],
    );
    run_logged(&mut running, &format!("fuzz {target}: an input broke it, and is in `tests/fuzz/artifacts`"), &log)?;
    let told = std::fs::read_to_string(&log).with_context(|| format!("cannot read `{}`", log.display()))?;
    // A run that tried nothing proves nothing.
    let runs = told.lines().rev().find_map(|line| line.strip_prefix("Done ")).and_then(|line| line.split(' ').next());
    let runs = runs.with_context(|| format!("{target} does not say how much it tried"))?;
    Ok(format!("{target}: {runs} inputs in {seconds} s"))
}
