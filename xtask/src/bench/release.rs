//! `release`: 12 files of 1 MiB over 4 distros, at a package server that is 20 ms away in each direction.
//!
//! The rival does what a shell loop around `package_cloud push` does in a release job, for one file after the other: it
//! downloads the file from staging (a redirect, and the bytes from storage), and then what that command does: it reads
//! the list of distributions, says "Looking for repository at … success!" and sends the file. Each of these requests has a
//! connection of its own, as there: the command calls `RestClient.get` and `RestClient::Request.execute`, and rest-client
//! 2.0 opens and closes a connection around every call (`Net::HTTP#start` with a block); each download is a process of
//! its own, and the storage another host. Slipway's edge keeps connections as its runtime does, and begins without any.
//!
//! The distance is one of the network ([`World::distance`]): a new connection costs a round trip before its first request,
//! every byte arrives 20 ms after it was sent, and both sides pay by the same rule. Not modelled are TLS, which would cost
//! each of the rival's connections one or two round trips more, bandwidth and the slow start of TCP. GitLab is near for
//! Slipway. The rival is our own program, so it pays for no Ruby and no start of a process. It does less than Slipway
//! besides: it compares no digest, looks for no duplicate, and is done when the server has answered, while Slipway's time
//! ends when the public index serves the last file.
//!
//! Slipway's time begins when the first manual job is played, so it has the webhooks, GitLab's answers and the approvals
//! in it. The rival's begins with its first request.
//!
//! The second run meets an edge that has forgotten everything, and must find out that nothing is to be done. What it
//! asks the package server is counted by that server.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use slipway_stack::{Part as Process, Places};

use super::measure::{interleaved, median, timed};
use super::world::{Package, Side, World, Yard, now};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;

const DISTROS: [&str; 4] = ["ubuntu/jammy", "ubuntu/noble", "debian/bookworm", "debian/trixie"];
const FILES_PER_DISTRO: usize = 3;
const FILE_MIB: usize = 1;
const ROUNDS: usize = 3;

/// The way to the package server, and the way back.
const EACH_WAY_MS: u64 = 20;

/// How many packages the operator lets Slipway send at a time: all of them, since this server does not mind. What the
/// default of 4 makes of it is told beside.
const TRANSFERS: u32 = 12;

const FASTER_MIN: f64 = 4.0;

/// No release of 12 small files takes so long.
const LIMIT: Duration = Duration::from_mins(2);

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    build::build(steps, places, &[Part::Worker, Part::Dashboard, Part::Native])?;
    let yard = Yard::of_mib(FILE_MIB)?;
    let mut figures = Vec::new();
    for transfers in [TRANSFERS, 4] {
        let mut bench = Bench {
            world: World::start(places, "release", Some(transfers))?,
            yard: &yard,
            version: 0,
            cpu: Vec::new(),
        };
        let is_judged = transfers == TRANSFERS;
        let measured = bench.figures(steps, transfers, is_judged);
        figures.extend(measured.map_err(|error| bench.world.explained(error))?);
    }
    Ok(figures)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    OneAfterAnother,
    Slipway,
}

struct Bench<'a> {
    world: World,
    yard: &'a Yard,
    /// Every run releases a version of its own.
    version: usize,
    /// What the edge and depot computed in each of Slipway's runs, in seconds.
    cpu: Vec<[f64; 2]>,
}

impl Bench<'_> {
    fn figures(&mut self, steps: &Steps, transfers: u32, is_judged: bool) -> anyhow::Result<Vec<Figure>> {
        steps.say(&format!("{transfers} transfers at a time: {ROUNDS} of each"));
        // Not counted: workerd compiles the Worker.
        self.slipway()?;
        self.cpu.clear();
        let cases = [Case::OneAfterAnother, Case::Slipway];
        let walls = interleaved(&cases, ROUNDS, |case| match case {
            Case::OneAfterAnother => self.one_after_another(),
            Case::Slipway => self.slipway(),
        })?;
        let [rival, ours] = [median(&walls[0]), median(&walls[1])];
        let label = |what: &str| format!("{what}, {transfers} at a time");
        let faster = Figure::new(label("slipway"), "times as fast", rival / ours, "x");
        let cpu = |part: usize| median(&self.cpu.iter().map(|cpu| cpu[part]).collect::<Vec<_>>());
        let mut figures = vec![
            Figure::new("one after another", "wall", rival, "s"),
            Figure::new(label("slipway"), "wall", ours, "s"),
            Figure::new(label("slipway"), "edge's cpu", cpu(0), "s"),
            Figure::new(label("slipway"), "depot's cpu", cpu(1), "s"),
            if is_judged { faster.must(Mark::AtLeast(FASTER_MIN)) } else { faster },
        ];
        if is_judged {
            steps.say("the same again, by an edge that knows nothing");
            figures.extend(self.again()?);
        }
        Ok(figures)
    }

    fn packages(&mut self, family: &str) -> anyhow::Result<(String, Vec<Package>)> {
        self.version += 1;
        let version = format!("{}.0.0", self.version);
        let names: Vec<(String, &'static str)> = DISTROS
            .into_iter()
            .flat_map(|distro| {
                let codename = distro.split('/').next_back().unwrap_or_default();
                (1..=FILES_PER_DISTRO).map(move |number| (format!("{family}-{codename}-{number}"), distro))
            })
            .collect();
        let packages = self.world.build(self.yard, &names, &version)?;
        Ok((version, packages))
    }

    fn one_after_another(&mut self) -> anyhow::Result<f64> {
        self.world.distance(0)?;
        let (_, packages) = self.packages("loop")?;
        self.world.distance(EACH_WAY_MS)?;
        timed(|| {
            for package in &packages {
                let bytes = self.world.download(Side::Staging, package)?;
                let ids = self.world.distro_ids()?;
                self.world.find_repository(Side::Public)?;
                self.world.push(Side::Public, &ids, package.distro, &package.filename, &bytes)?;
            }
            Ok(())
        })
    }

    fn slipway(&mut self) -> anyhow::Result<f64> {
        self.world.distance(0)?;
        let (version, packages) = self.packages("tug")?;
        let mut release = self.world.begin(self.world.stack.projects()[0], &version)?;
        release.packages = packages;
        self.world.declare(&release)?;
        let jobs = self.world.manual_jobs(&release)?;
        self.world.distance(EACH_WAY_MS)?;
        let (edge, depot) = (self.world.usage(Process::Edge)?, self.world.usage(Process::Depot)?);
        let began = now();
        self.world.play(&jobs)?;
        let ended = self.world.wait_until_released(&release, LIMIT)?;
        let (edge_after, depot_after) = (self.world.usage(Process::Edge)?, self.world.usage(Process::Depot)?);
        self.cpu.push([edge_after.cpu_seconds - edge.cpu_seconds, depot_after.cpu_seconds - depot.cpu_seconds]);
        Ok(ended - began)
    }

    /// Releases a version, makes the edge forget everything, and does all of it once more.
    fn again(&mut self) -> anyhow::Result<Vec<Figure>> {
        self.world.distance(0)?;
        let (version, packages) = self.packages("tug")?;
        let mut release = self.world.begin(self.world.stack.projects()[0], &version)?;
        release.packages = packages;
        self.world.declare(&release)?;
        self.world.play(&self.world.manual_jobs(&release)?)?;
        self.world.wait_until_released(&release, LIMIT)?;

        self.world.stack.forget_edge()?;
        ensure!(self.world.shown(&release).is_err(), "the edge has forgotten the release");
        self.world.distance(EACH_WAY_MS)?;
        let mut again = self.world.begin(release.project, &version)?;
        again.packages = release.packages;
        let before = self.world.requests()?.len();
        self.world.declare(&again)?;
        let declared = self.world.requests()?;
        let jobs = self.world.manual_jobs(&again)?;
        self.world.play(&jobs)?;
        self.world.wait_until_released(&again, LIMIT)?;
        let ended = self.world.requests()?;

        let planning = declared.get(before..).context("the log of requests is long enough")?;
        let promotion = ended.get(declared.len()..).context("the log of requests is long enough")?;
        let lists = |requests: &[Value], side: Side| {
            let path = format!("/api/v1/repos/{}/", self.world.repository(side));
            count(requests, |one| one["point"] == "list" && one["path"].as_str().is_some_and(|it| it.contains(&path)))
        };
        let sent = count(promotion, |one| one["point"] == "push");
        let figure = |case: &str, metric, value| Figure::new(case, metric, value, "");
        let (first, second) = ("again, planning", "again, promotion");
        Ok(vec![
            figure(first, "lists of staging", lists(planning, Side::Staging)).must(Mark::AtMost(1.0)),
            figure(first, "lists of public", lists(planning, Side::Public)).must(Mark::AtMost(1.0)),
            figure(first, "other requests", count(planning, |one| one["point"] != "list")),
            figure(second, "lists of staging", lists(promotion, Side::Staging)).must(Mark::AtMost(1.0)),
            figure(second, "lists of public", lists(promotion, Side::Public)).must(Mark::AtMost(1.0)),
            figure(second, "index requests", count(promotion, |one| one["point"] == "index")),
            figure(second, "pushes", sent).must(Mark::AtMost(0.0)),
            figure(
                second,
                "downloads",
                count(promotion, |one| one["point"] == "download" || one["point"] == "storage"),
            )
            .must(Mark::AtMost(0.0)),
            figure(second, "all requests", count(promotion, |_| true)),
        ])
    }
}

#[allow(clippy::cast_precision_loss, reason = "a log has at most 20,000 requests")]
fn count(requests: &[Value], of: impl Fn(&Value) -> bool) -> f64 {
    requests.iter().filter(|one| of(one)).count() as f64
}
