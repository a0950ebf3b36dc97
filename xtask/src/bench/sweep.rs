//! `sweep`: ten thousand packages that twenty releases have staged, looked at in one run of an alarm.
//!
//! What counts is what a sweep asks of others: a scheduled run may make 1,000 requests, and the package server should see one
//! list request a page. Time and memory are shown, too: one run may take 15 minutes and 128 MiB.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use minreq::Method;
use slipway_stack::{Part as Process, Places};

use super::world::{World, Yard, now};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;

const RELEASES: usize = 20;
const FILES_PER_RELEASE: usize = 500;
const DISTROS: [&str; 4] = ["ubuntu/jammy", "ubuntu/noble", "debian/bookworm", "debian/trixie"];
/// packagecloud gives 250 packages a page.
const PAGES: usize = RELEASES * FILES_PER_RELEASE / 250;
/// The public repository is read, too, and is empty.
const LISTS_MAX: usize = PAGES + 1;
const WALL_MAX: f64 = 60.0;
const RSS_MAX_MIB: f64 = 256.0;
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
    let yard = Yard::of_mib(0)?;
    let project = world.stack.projects()[0];
    for number in 0..RELEASES {
        steps.say(&format!("staging release {} of {RELEASES}", number + 1));
        let version = format!("1.{number}.0");
        let names: Vec<_> =
            (0..FILES_PER_RELEASE).map(|file| (format!("package-{file:03}"), DISTROS[file % DISTROS.len()])).collect();
        let mut release = world.begin(project, &version)?;
        release.packages = world.build(&yard, &names, &version)?;
        world.declare(&release)?;
    }

    steps.say("sweeping them");
    let before = world.requests()?.len();
    let (edge_before, began) = (world.usage(Process::Edge)?, now());
    let address = format!("{}/api/v1/projects/{}/sweeps", world.stack.edge_url(), project.name);
    let operator = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let answer = minreq::post(address).with_header("authorization", operator).send()?;
    ensure!(answer.status_code == 202, "a sweep was answered with {}", answer.status_code);
    let lists = |world: &World| -> anyhow::Result<(usize, usize)> {
        let requests = world.requests()?;
        let since = requests.get(before..).context("the log of requests is long enough")?;
        let list = |path: &str| path.contains("/search.json");
        let lists = since.iter().filter(|one| one["path"].as_str().is_some_and(list)).count();
        Ok((lists, since.len()))
    };
    let until = now() + LIMIT.as_secs_f64();
    let mut wall = f64::NAN;
    let mut seen = (0, 0);
    // It has ended when the last page was asked for and nothing more is for a while.
    let mut quiet_since = now();
    while seen.0 < LISTS_MAX || now() - quiet_since < 3.0 {
        ensure!(now() < until, "{} of {LISTS_MAX} list requests were made", seen.0);
        std::thread::sleep(Duration::from_millis(20));
        let found = lists(world)?;
        if found != seen {
            (seen, wall, quiet_since) = (found, now() - began, now());
        }
    }
    let edge = world.usage(Process::Edge)?;
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let figure = |metric, value, unit| Figure::new("10,000 staged", metric, value, unit);
    Ok(vec![
        figure("list requests", count(seen.0), "").must(Mark::AtMost(count(LISTS_MAX))),
        figure("requests to the server", count(seen.1), "").must(Mark::AtMost(count(LISTS_MAX))),
        figure("wall", wall, "s").must(Mark::AtMost(WALL_MAX)),
        figure("edge cpu", edge.cpu_seconds - edge_before.cpu_seconds, "s"),
        figure("edge peak RSS", edge.peak_mib, "MiB").must(Mark::AtMost(RSS_MAX_MIB)),
    ])
}
