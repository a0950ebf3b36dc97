//! `patch-day`: three versions of two projects, 52 packages of 16 MiB each, all played at the same time.
//!
//! The package server answers 504 to a push when four others are under way, without storing it, and its index follows a
//! push some seconds later. It reads each push no faster than 6 MiB a second: so the server is what sets the pace, as in
//! the field, and not the processors of a machine that runs both ends. The operator lets Slipway send more than four at a time, so that it has to find out. What
//! must come of it: everything released, each file accepted once, in little more time than the server needs to take the
//! bytes, and an estimate of the end that a release manager can plan with.
//!
//! How fast the server takes bytes is measured by a native client right before and right after: four threads that
//! download from staging and push to the public repository, as the edge does, and verify nothing. The mean of both is
//! the measure, since machines are not as fast all the time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use minreq::Method;
use serde_json::json;
use slipway_stack::{Part as Process, Places};

use super::measure::{median, timed};
use super::world::{Package, Release, Side, World, Yard, at_once, now, released_at, seconds};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;

/// Project and version.
const RELEASES: [(usize, &str); 3] = [(0, "17.3.1"), (0, "17.2.4"), (1, "17.3.1")];
const FILES_PER_RELEASE: usize = 52;
const FILE_MIB: usize = 16;
const DISTROS: [&str; 4] = ["ubuntu/jammy", "ubuntu/noble", "debian/bookworm", "debian/trixie"];

/// The server is busy above so many pushes at a time.
const PUSHES_MAX: usize = 4;
/// How fast it reads each of them.
const PUSH_BYTES_PER_SECOND: usize = 6 * 1024 * 1024;
/// What the operator believes that it takes.
const TRANSFERS: u32 = 6;
/// The index follows a push so much later.
const INDEX_DELAY_MS: u64 = 3000;
/// How many files each of the two measurements of the server's rate sends.
const MEASURED_FILES: usize = 12;

const WALL_RATIO_MAX: f64 = 1.3;
/// At which part of a release's time its estimate may be wrong by which part of it.
const ESTIMATE: [(f64, Option<f64>); 4] = [(0.25, None), (0.5, Some(0.25)), (0.75, Some(0.15)), (0.9, Some(0.1))];
const LIMIT: Duration = Duration::from_mins(15);
/// How often the estimates are looked at.
const GLANCE: Duration = Duration::from_millis(500);

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    build::build(steps, places, &[Part::Worker, Part::Dashboard, Part::Native])?;
    let mut world = World::start(places, "patch-day", Some(TRANSFERS))?;
    measured(steps, &mut world).map_err(|error| world.explained(error))
}

/// What was seen of a release while it went out: when, and the end that it was estimated to have.
type Estimates = Vec<(f64, Option<f64>)>;

fn measured(steps: &Steps, world: &mut World) -> anyhow::Result<Vec<Figure>> {
    let yard = Yard::of_mib(FILE_MIB)?;
    let total = RELEASES.len() * FILES_PER_RELEASE;
    steps.say(&format!("staging {total} packages of {FILE_MIB} MiB"));
    let mut releases = Vec::new();
    for (project, version) in RELEASES {
        let project = world.stack.projects()[project];
        let mut release = world.begin(project, version)?;
        release.packages = world.build(&yard, &names(project.name, FILES_PER_RELEASE), version)?;
        world.declare(&release)?;
        releases.push(release);
    }
    let mut jobs = Vec::new();
    for release in &releases {
        jobs.push(world.manual_jobs(release)?);
    }
    let probes = world.build(&yard, &names("probe", 2 * MEASURED_FILES), "1")?;

    steps.say("measuring the server with a native client");
    let slow =
        json!({"on": "push", "effect": "slow-read", "bytes_per_second": PUSH_BYTES_PER_SECOND, "times": "always"});
    world.depot(Method::Post, "faults", Some(&slow))?;
    let before = rate(world, &probes[..MEASURED_FILES])?;
    world.depot(Method::Post, "index-delay", Some(&json!({"ms": INDEX_DELAY_MS})))?;
    let busy = json!({"on": "push", "effect": "busy", "above": PUSHES_MAX, "status": 504, "times": "always"});
    let busy = world.depot(Method::Post, "faults", Some(&busy))?["id"].clone();
    world.depot(Method::Delete, "counts", None)?;
    let requests_before = world.requests()?.len();
    let (edge_before, depot_before) = (world.usage(Process::Edge)?, world.usage(Process::Depot)?);

    steps.say(&format!("{} versions are played at the same time", releases.len()));
    let began = now();
    let (ends, seen) = watched(steps, world, &releases, &jobs)?;
    let wall = ends.iter().copied().fold(f64::MIN, f64::max) - began;
    let (edge, depot) = (world.usage(Process::Edge)?, world.usage(Process::Depot)?);
    let counts = world.depot(Method::Get, "counts", None)?;
    let requests = world.requests()?;
    let requests = requests.get(requests_before..).context("the log of requests is long enough")?;
    world.depot(Method::Delete, &format!("faults/{busy}"), None)?;
    let after = rate(world, &probes[MEASURED_FILES..])?;
    let rate = f64::midpoint(before, after);

    let bytes: usize = releases.iter().flat_map(|release| &release.packages).map(|package| package.size).sum();
    let mib = in_mib(bytes);
    let accepted = accepted_pushes(world, &releases)?;
    let at_point = |point: &str, name: &str| counts[point][name].as_f64().unwrap_or(0.0);
    let figure = |case: &str, metric, value, unit| Figure::new(case, metric, value, unit);
    let busy = requests.iter().filter(|one| one["point"] == "push" && one["status"] == 504).count();
    let mut figures = vec![
        figure("server alone", "rate before", before, "MiB/s"),
        figure("server alone", "rate after", after, "MiB/s"),
        figure("all", "wall", wall, "s"),
        figure("all", "wall / measured", wall / (mib / rate), "x").must(Mark::AtMost(WALL_RATIO_MAX)),
        figure("all", "released", number(total), "").must(Mark::AtLeast(number(total))),
        figure("all", "files pushed", number(accepted.len()), "").must(Mark::AtLeast(number(total))),
        figure("all", "most per file", number(accepted.values().copied().max().unwrap_or(0)), "")
            .must(Mark::AtMost(1.0)),
    ];
    for (part, mark) in ESTIMATE {
        let errors = seen.iter().zip(&ends).map(|(seen, end)| estimate_error(seen, began, *end, part));
        let worst = errors.fold(0.0, f64::max);
        let figure = figure(&format!("estimate at {:.0} %", part * 100.0), "worst error", worst * 100.0, "%");
        figures.push(match mark {
            Some(mark) => figure.must(Mark::AtMost(mark * 100.0)),
            None => figure,
        });
    }
    figures.extend(copies(world, &releases, wall)?);
    figures.extend([
        figure("server", "pushes at once", at_point("push", "at_once_max"), ""),
        figure("server", "504 answers", number(busy), ""),
        figure("server", "list requests", at_point("list", "requests"), ""),
        figure("server", "index requests", at_point("index", "requests"), ""),
        figure("edge", "peak RSS", edge.peak_mib, "MiB"),
        figure("edge", "cpu", edge.cpu_seconds - edge_before.cpu_seconds, "s"),
        figure("depot", "cpu", depot.cpu_seconds - depot_before.cpu_seconds, "s"),
    ]);
    Ok(figures)
}

fn names(family: &str, count: usize) -> Vec<(String, &'static str)> {
    (0..count).map(|number| (format!("{family}-{number:02}"), DISTROS[number % DISTROS.len()])).collect()
}

/// How many MiB a second four clients bring from staging to the public repository.
fn rate(world: &World, packages: &[Package]) -> anyhow::Result<f64> {
    let ids = world.distro_ids()?;
    let seconds = timed(|| {
        at_once(PUSHES_MAX, packages, |package| {
            let bytes = world.download(Side::Staging, package)?;
            world.push(Side::Public, &ids, package.distro, &package.filename, &bytes)
        })
        .map(drop)
    })?;
    Ok(in_mib(packages.iter().map(|package| package.size).sum()) / seconds)
}

/// Plays everything and looks at each release until all of it is out: when each was, and what was estimated meanwhile.
fn watched(
    steps: &Steps,
    world: &World,
    releases: &[Release],
    jobs: &[Vec<u64>],
) -> anyhow::Result<(Vec<f64>, Vec<Estimates>)> {
    let until = now() + LIMIT.as_secs_f64();
    let has_failed = AtomicBool::new(false);
    let failed = |error| {
        has_failed.store(true, Ordering::Relaxed);
        error
    };
    let said = Mutex::new(());
    std::thread::scope(|scope| {
        let watchers: Vec<_> = releases
            .iter()
            .zip(jobs)
            .map(|(release, jobs)| {
                scope.spawn(|| -> anyhow::Result<(f64, Estimates)> {
                    world.play(jobs).map_err(failed)?;
                    let mut estimates = Estimates::new();
                    loop {
                        let shown = world.shown(release).map_err(failed)?;
                        if let Some(end) = released_at(&shown).map_err(failed)? {
                            let _said = said.lock();
                            steps.say(&format!("{} {} is out", release.project.name, release.version));
                            return Ok((end, estimates));
                        }
                        let estimate = shown["estimate"]["ends_at"].as_str().map(seconds).transpose()?;
                        estimates.push((now(), estimate));
                        ensure!(now() < until, "{} is not out in time: {}", release.version, shown["verdict"]);
                        ensure!(!has_failed.load(Ordering::Relaxed), "another release has failed");
                        std::thread::sleep(GLANCE);
                    }
                })
            })
            .collect();
        let ended = watchers.into_iter().map(|it| it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(ended.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip())
    })
}

/// By which part of the release's whole time the estimate was wrong that it showed when this part of the time was over.
/// Where it showed none, it is wrong without measure.
fn estimate_error(seen: &Estimates, began: f64, end: f64, part: f64) -> f64 {
    let at = began + (end - began) * part;
    let last = seen.iter().rev().find(|(seen_at, _)| *seen_at <= at);
    last.and_then(|(_, estimate)| *estimate).map_or(f64::INFINITY, |estimate| (estimate - end).abs() / (end - began))
}

/// How many pushes of each of the releases' files were accepted.
fn accepted_pushes(world: &World, releases: &[Release]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut accepted = BTreeMap::new();
    for filename in world.accepted_pushes()? {
        if releases.iter().flat_map(|release| &release.packages).any(|package| package.filename == filename) {
            *accepted.entry(filename).or_default() += 1;
        }
    }
    Ok(accepted)
}

/// How long the copies took that ended well, and how many of the server's four places they filled.
fn copies(world: &World, releases: &[Release], wall: f64) -> anyhow::Result<Vec<Figure>> {
    let (mut good, mut tried) = (Vec::new(), 0);
    for release in releases {
        for package in &release.packages {
            for attempt in world.attempts(release, package)? {
                tried += 1;
                if attempt["ended"] == "accepted" {
                    let at = |name: &str| seconds(attempt[name].as_str().unwrap_or_default());
                    good.push(at("ended_at")? - at("began_at")?);
                }
            }
        }
    }
    let filled = good.iter().sum::<f64>() / wall;
    Ok(vec![
        Figure::new("copies", "attempts", number(tried), ""),
        Figure::new("copies", "median", median(&good), "s"),
        Figure::new("copies", "at once, mean", filled, ""),
    ])
}

#[allow(clippy::cast_precision_loss, reason = "numbers of packages and requests are small")]
fn number(count: usize) -> f64 {
    count as f64
}

fn in_mib(bytes: usize) -> f64 {
    number(bytes) / 1024.0 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_judged_by_what_was_shown_last_when_a_part_of_the_time_was_over() {
        // From second 100 to second 200.
        let seen = vec![(120.0, None), (149.0, Some(230.0)), (151.0, Some(190.0)), (180.0, Some(195.0))];
        for (part, expected) in [(0.5, 0.3), (0.75, 0.1), (0.9, 0.05)] {
            let error = estimate_error(&seen, 100.0, 200.0, part);
            assert!((error - expected).abs() < 1e-9, "{part}: {error}");
        }
        assert!(estimate_error(&seen, 100.0, 200.0, 0.25).is_infinite(), "it had shown none");
        assert!(estimate_error(&seen, 100.0, 200.0, 0.1).is_infinite(), "nobody had looked");
    }
}
