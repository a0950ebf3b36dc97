//! `sweep`: ten thousand packages that twenty releases have staged, read whole by the account of their place.
//!
//! What counts is what a sweep asks of others, and that it fits into one run of an alarm: Cloudflare gives an invocation 1,000
//! requests of its own and of others' objects on the narrowest plan that Slipway is made for, and an alarm 15 minutes. Neither is
//! enforced by workerd, so both are counted here: requests by what the edge says of each run, and by what the server was asked.
//!
//! The second case has the server 100 ms away, and workerd is killed when it has read half of the pages. What the server is
//! asked from the first request to the last is then one list for each page, and one more for the page that was under way.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use minreq::Method;
use serde_json::Value;
use slipway_stack::{Part as Process, Places, wait_for};

use super::world::{Release, World, Yard, now, seconds};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;

const RELEASES: usize = 20;
const FILES_PER_RELEASE: usize = 500;
const STAGED: usize = RELEASES * FILES_PER_RELEASE;
const DISTROS: [&str; 4] = ["ubuntu/jammy", "ubuntu/noble", "debian/bookworm", "debian/trixie"];
/// packagecloud gives 250 packages a page. The public repository is read, too: one page, without a package.
const PAGES: usize = STAGED.div_ceil(250) + 1;
/// What one run may ask, of servers and of other objects: what Cloudflare gives a run to ask its own services where nothing is paid
/// (<https://developers.cloudflare.com/workers/platform/limits/#subrequests>).
const REQUESTS_MAX: f64 = 1000.0;
/// How long one run may last: 15 minutes, of which a tenth is plenty for a server that is near.
const WALL_MAX: f64 = 90.0;
/// A whole workerd, with every object and its database. One isolate may have 128 MiB, and each object could have its own.
const GREW_MAX_MIB: f64 = 128.0;
/// How long nothing may happen after a kill: the alarm that a run arms before it begins is a minute ahead.
const IDLE_MAX: f64 = 90.0;
/// How far away the server is of the sweep that is killed.
const EACH_WAY_MS: u64 = 100;
const LIMIT: Duration = Duration::from_mins(5);

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    build::build(steps, places, &[Part::Worker, Part::Dashboard, Part::Native])?;
    let mut world = World::start(places, "sweep", None)?;
    measured(steps, &mut world).map_err(|error| world.explained(error))
}

fn measured(steps: &Steps, world: &mut World) -> anyhow::Result<Vec<Figure>> {
    // Nobody installs from staging here, and each push would have the whole index written anew.
    let later = serde_json::json!({"ms": 3_600_000});
    world.depot(Method::Post, "index-delay", Some(&later))?;
    let releases = stage(steps, world)?;

    steps.say("sweeping them");
    // A workerd that has done nothing else yet: its memory is the sweep's.
    world.stack.kill(Process::Edge)?;
    world.stack.start_again(Process::Edge)?;
    let before = world.usage(Process::Edge)?;
    let began = now();
    order(world)?;
    let runs = wait_for("a sweep", LIMIT, || runs_of_whole_sweep(world, PAGES))?;
    let after = world.usage(Process::Edge)?;
    let whole = asked(world, began)?;
    let mut figures = vec![
        figure("whole", "pages", count(runs.iter().map(|run| run.pages).sum()), "").must(Mark::AtLeast(count(PAGES))),
        figure("whole", "list requests", count(whole.lists), "").must(Mark::AtMost(count(PAGES))),
        figure("whole", "other requests", count(whole.others), "").must(Mark::AtMost(0.0)),
        figure("whole", "runs", count(runs.iter().filter(|run| run.pages > 1).count()), "").must(Mark::AtMost(1.0)),
        figure("whole", "requests of a run", count(most(&runs, |run| run.requests)), "")
            .must(Mark::AtMost(REQUESTS_MAX)),
        figure("whole", "wall of a run", count(most(&runs, |run| run.ms)) / 1000.0, "s").must(Mark::AtMost(WALL_MAX)),
        figure("whole", "edge cpu", after.cpu_seconds - before.cpu_seconds, "s"),
        figure("whole", "edge before", before.rss_mib, "MiB"),
        figure("whole", "edge grew by", after.peak_mib - before.rss_mib, "MiB").must(Mark::AtMost(GREW_MAX_MIB)),
    ];

    steps.say("sweeping them again, and killing workerd in the middle");
    world.distance(EACH_WAY_MS)?;
    let began = now();
    order(world)?;
    let at_kill = wait_for("half a sweep", LIMIT, || {
        let so_far = asked(world, began)?.lists;
        Ok((so_far >= PAGES / 2).then_some(so_far))
    })?;
    world.stack.kill(Process::Edge)?;
    let killed_at = now();
    world.stack.start_again(Process::Edge)?;
    let rest = wait_for("the rest of the sweep", LIMIT, || {
        // A workerd that has just been started runs an alarm when its object is asked something. Elsewhere a clock does that.
        wake(world)?;
        runs_of_whole_sweep(world, PAGES - at_kill - 1)
    })?;
    let (lists, after) = (asked(world, began)?.lists, asked(world, killed_at)?);
    let idle = after.first - killed_at;
    figures.extend([
        figure("killed", "lists before", count(lists - after.lists), "").must(Mark::AtLeast(1.0)),
        figure("killed", "lists after", count(after.lists), "").must(Mark::AtLeast(1.0)),
        // The page that was under way is asked for again.
        figure("killed", "list requests", count(lists), "").must(Mark::AtMost(count(PAGES + 1))),
        figure("killed", "goes on after", idle, "s").must(Mark::AtMost(IDLE_MAX)),
        figure("killed", "wall of the rest", count(most(&rest, |run| run.ms)) / 1000.0, "s"),
    ]);
    let staged = staged(world, &releases)?;
    figures.push(figure("killed", "still staged", count(staged), "").must(Mark::AtLeast(count(STAGED))));
    Ok(figures)
}

/// Builds, pushes and declares all of them.
fn stage(steps: &Steps, world: &World) -> anyhow::Result<Vec<Release>> {
    let yard = Yard::of_mib(0)?;
    let project = world.stack.projects()[0];
    let mut releases = Vec::new();
    for number in 0..RELEASES {
        steps.say(&format!("staging release {} of {RELEASES}", number + 1));
        let version = format!("1.{number}.0");
        let names: Vec<_> =
            (0..FILES_PER_RELEASE).map(|file| (format!("package-{file:03}"), DISTROS[file % DISTROS.len()])).collect();
        let mut release = world.begin(project, &version)?;
        release.packages = world.build(&yard, &names, &version)?;
        world.declare(&release)?;
        releases.push(release);
    }
    // Whether they are there is looked at by the edge itself, and that is no part of a sweep.
    wait_for("all packages are staged", LIMIT, || {
        let staged = staged(world, &releases)?;
        Ok((staged == STAGED).then_some(()))
    })?;
    Ok(releases)
}

fn staged(world: &World, releases: &[Release]) -> anyhow::Result<usize> {
    let mut staged = 0;
    for release in releases {
        let shown = world.shown(release)?;
        let packages = shown["packages"].as_array().context("a release lists its packages")?;
        let targets = packages.iter().flat_map(|package| package["targets"].as_array().into_iter().flatten());
        staged += targets.filter(|target| target["state"] == "staged").count();
    }
    Ok(staged)
}

/// Has an operator order a sweep.
fn order(world: &World) -> anyhow::Result<()> {
    let address = format!("{}/api/v1/projects/{}/sweeps", world.stack.edge_url(), world.stack.projects()[0].name);
    let operator = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let answer = minreq::post(address).with_header("authorization", operator).send()?;
    ensure!(answer.status_code == 202, "a sweep was answered with {}", answer.status_code);
    Ok(())
}

/// Asks every account for its numbers.
fn wake(world: &World) -> anyhow::Result<()> {
    let operator = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let answer =
        minreq::get(format!("{}/metrics", world.stack.edge_url())).with_header("authorization", operator).send()?;
    ensure!(answer.status_code == 200, "the numbers were answered with {}", answer.status_code);
    Ok(())
}

/// What the package server was asked.
struct Asked {
    lists: usize,
    others: usize,
    /// When it was asked for a list first.
    first: f64,
}

fn asked(world: &World, since: f64) -> anyhow::Result<Asked> {
    let mut asked = Asked { lists: 0, others: 0, first: f64::INFINITY };
    for request in world.requests()? {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let at = seconds(text("at"))?;
        if at < since || text("listener") == "control" {
            continue;
        }
        if text("path").ends_with("/search.json") {
            asked.lists += 1;
            asked.first = asked.first.min(at);
        } else {
            asked.others += 1;
        }
    }
    Ok(asked)
}

/// A run of an alarm, as the edge's log tells of it.
struct Run {
    pages: usize,
    requests: usize,
    ms: usize,
}

/// The runs since workerd was started, when they have read so many pages.
fn runs_of_whole_sweep(world: &mut World, pages: usize) -> anyhow::Result<Option<Vec<Run>>> {
    let log = world.said(Process::Edge)?;
    let runs: Vec<Run> = log.lines().filter_map(run_of).collect();
    Ok((runs.iter().map(|run| run.pages).sum::<usize>() >= pages).then_some(runs))
}

/// ``the sweep of `depot` has read 41 pages with 82 requests in this run``, with the milliseconds beside it.
fn run_of(line: &str) -> Option<Run> {
    let line: Value = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
    let told = line["message"].as_str()?.strip_prefix("the sweep of ")?;
    let numbers: Vec<usize> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [pages, requests] = numbers.as_slice() else { return None };
    Some(Run { pages: *pages, requests: *requests, ms: usize::try_from(line["ms"].as_u64()?).ok()? })
}

fn most(runs: &[Run], of: impl Fn(&Run) -> usize) -> usize {
    runs.iter().map(of).max().unwrap_or(usize::MAX)
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn figure(case: &str, metric: &'static str, value: f64, unit: &'static str) -> Figure {
    Figure::new(case, metric, value, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_from_its_line() {
        let line = r#"{"at":"2026-11-02T09:14:05.000Z","level":"info","event":"note","message":"the sweep of `depot` has read 41 pages with 82 requests in this run","ms":1234}"#;
        let run = run_of(line).expect("a run");
        assert_eq!((run.pages, run.requests, run.ms), (41, 82, 1234));
        assert!(run_of(&line.replace("the sweep of", "a sweep:")).is_none());
        assert!(run_of("workerd/server.c++:5: info: {").is_none());
    }
}
