//! `audit`: `slipway verify --audit` as people run it, wasm under Node, on a million rows with a signed head. Beside it
//! `sha256sum` of the same file, to tell how much of it is the machine's.
//!
//! The rows are made once, by a program that shares no code with what checks them, and kept in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use slipway_stack::Places;

use super::measure::{Usage, interleaved, median, timed};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;
use crate::tools::{self, program};

const ROWS: usize = 1_000_000;
const SECONDS_MAX: f64 = 10.0;
/// Node itself takes some 60 MiB, and a piece of the file is in memory two or three times.
const MEMORY_MIB_MAX: f64 = 256.0;
/// How often its memory is looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(20);
/// How often each is run.
const ROUNDS: usize = 3;

/// Writes the rows, the head and the key.
const MAKER: &str = include_str!("audit.mjs");

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    for name in ["sha256sum", "node"] {
        ensure!(
            tools::output(name, &["--version"]).is_some(),
            "this machine lacks `{name}`, which `bench audit` needs"
        );
    }
    build::build(steps, places, &[Part::Slipway])?;
    let folder = made(steps, places)?;
    let file = folder.join("audit.ndjson");
    let mut peak = Vec::new();
    steps.say(&format!("{ROWS} rows, {ROUNDS} times in two ways"));
    let seconds = interleaved(&[true, false], ROUNDS, |ours| {
        if !ours {
            return timed(|| succeeds(program("sha256sum").arg(&file)).map(drop));
        }
        let mut command = program("node");
        command.arg(places.build().join("slipway/bin/slipway.mjs")).args(["verify", "--audit"]).arg(&file);
        command.arg("--head").arg(folder.join("audit.head")).arg("--key").arg(folder.join("audit.key"));
        timed(|| {
            peak.push(watched(&mut command)?);
            Ok(())
        })
    })?;
    let (ours, floor) = (median(&seconds[0]), median(&seconds[1]));
    #[allow(clippy::cast_precision_loss, reason = "the file has far fewer than 2^52 bytes")]
    let mib = fs::metadata(&file)?.len() as f64 / 1_048_576.0;
    Ok(vec![
        Figure::new("1,000,000 rows", "time", ours, "s").must(Mark::AtMost(SECONDS_MAX)),
        Figure::new("1,000,000 rows", "size", mib, "MiB"),
        Figure::new("1,000,000 rows", "peak memory", median(&peak), "MiB").must(Mark::AtMost(MEMORY_MIB_MAX)),
        Figure::new("1,000,000 rows", "sha256sum", floor, "s"),
        Figure::new("1,000,000 rows", "ratio to it", ours / floor, "x"),
    ])
}

/// The folder with the files, made unless an earlier run has made them whole.
fn made(steps: &Steps, places: &Places) -> anyhow::Result<PathBuf> {
    let folder = places.target.join("xtask/bench-audit");
    let key = folder.join("audit.key");
    if !key.exists() {
        steps.say(&format!("making {ROWS} rows, once"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let script = folder.join("audit.mjs");
        fs::write(&script, MAKER)?;
        // The key is the last that is written.
        succeeds(program("node").arg(&script).arg(&folder).arg(ROWS.to_string()))?;
    }
    Ok(folder)
}

fn succeeds(command: &mut Command) -> anyhow::Result<String> {
    let answer = command.output().context("cannot start it")?;
    let said = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "`{}` failed: {said}", Path::new(command.get_program()).display());
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Runs the command, which must find that the audit holds, and gives the most memory that it had.
fn watched(command: &mut Command) -> anyhow::Result<f64> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start `node`")?;
    let mut peak = 0.0_f64;
    while child.try_wait()?.is_none() {
        // The kernel keeps the highest figure, so the last look before the end is what counts.
        if let Ok(usage) = Usage::of(child.id()) {
            peak = peak.max(usage.peak_mib);
        }
        std::thread::sleep(LOOKS_EVERY);
    }
    let answer = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&answer.stdout);
    ensure!(
        answer.status.success() && said.contains(&format!("rows 1 to {ROWS} are")),
        "the audit does not hold: {said}"
    );
    Ok(peak)
}
