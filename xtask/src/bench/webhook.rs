//! `webhook`: two minutes of GitLab's webhooks, 200 a second, at an edge whose process is killed every 20 seconds.
//!
//! GitLab sends a Job Hook for every change of every job of a project, and no release job is among most of them: here 2 in
//! 100 events tell of one that a person has just played. Each event is delivered up to 5 times under one
//! `Idempotency-Key`, as after a worker's restart or by hand, in any order. A delivery that finds nobody (the edge is down)
//! is sent again until it is answered, and counted apart: a real GitLab would not do that, which is what the sweep for lost
//! webhooks is for. The GitLab stand-in's own webhooks go nowhere meanwhile.
//!
//! In the end every played package must be public once: what was acknowledged was not lost, and what came five times was
//! done once. That is read from depot's journal, and the stand-in's shows which jobs it was asked about.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use slipway_stack::http::{get_json, post_json};
use slipway_stack::{Part as Process, Places, random_hex};

use super::world::{Release, World, Yard, now};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;

const PER_SECOND: usize = 200;
/// How much is shown of an answer that is none.
const SAID_CHARACTERS_MAX: usize = 300;
/// How long, unless `SLIPWAY_BENCH_SECONDS` says otherwise.
const SECONDS: usize = 120;
/// One event in so many is of a release job: 2 %.
const PLAYED_EVERY: usize = 50;
const DELIVERIES_MAX: usize = 5;
const KILLED_EVERY: Duration = Duration::from_secs(20);
/// GitLab gives up on an answer after 10 s.
const ANSWER_LIMIT_SECONDS: u64 = 10;
/// Deliveries on their way at a time, at most. 200 a second of 250 ms each are 50.
const AT_ONCE: usize = 64;
/// A delivery that found nobody is sent again after this.
const AGAIN: Duration = Duration::from_millis(200);
/// Packages of one release.
const PER_RELEASE: usize = 20;
/// After the last webhook: a killed promotion is taken up again after 20 s, and a lost alarm after a minute.
const SETTLED_LIMIT: Duration = Duration::from_mins(5);
const P99_MS_MAX: f64 = 250.0;
/// The secret that signs.
const SIGNING_TOKEN: &str = "SIGNING_TOKEN_TUG";

/// One thing that GitLab tells, some times.
struct Event {
    body: String,
    key: String,
    /// The manual job that a person plays just before.
    plays: Option<u64>,
}

/// What came of the deliveries.
#[derive(Default)]
struct Tally {
    /// Milliseconds until each answer.
    answered: Vec<f64>,
    refused: usize,
    cut_off: usize,
    other: Vec<String>,
    late: usize,
}

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    build::build(steps, places, &[Part::Worker, Part::Dashboard, Part::Native])?;
    let mut world = World::start(places, "webhook", Some(8))?;
    world.configure(|text| {
        text.replace("webhook_token = \"WEBHOOK_TOKEN_TUG\"", &format!("signing_token = \"{SIGNING_TOKEN}\""))
    })?;
    let measured = measure(steps, &mut world);
    measured.map_err(|error| world.explained(error))
}

fn measure(steps: &Steps, world: &mut World) -> anyhow::Result<Vec<Figure>> {
    let seconds = match std::env::var("SLIPWAY_BENCH_SECONDS") {
        Ok(text) => text.parse().context("`SLIPWAY_BENCH_SECONDS` is a whole number of seconds")?,
        Err(_) => SECONDS,
    };
    let deliveries = seconds * PER_SECOND;
    // One to five deliveries each make three on average.
    let events = deliveries / DELIVERIES_MAX.div_ceil(2);
    let played = events / PLAYED_EVERY;
    ensure!(played > 0, "so short a run plays no job");
    steps.say(&format!("staging {played} packages"));
    let releases = ready(world, played)?;
    let jobs = releases.iter().map(|release| world.manual_jobs(release)).collect::<anyhow::Result<Vec<_>>>()?;
    let jobs: Vec<(u64, &Release)> =
        jobs.iter().zip(&releases).flat_map(|(jobs, release)| jobs.iter().map(move |job| (*job, release))).collect();
    let control = world.stack.gitlab_control();
    let project = world.stack.projects()[0];
    // Only the benchmark's own webhooks arrive.
    post_json(
        &format!("{control}/_control/hooks"),
        &json!({"project": project.id, "url": "http://127.0.0.1:9/nobody"}),
    )?;

    let mut random = Random(1);
    let events = (0..events).map(|number| event(&mut random, number, &jobs)).collect::<anyhow::Result<Vec<_>>>()?;
    let order = order(&mut random, &events, deliveries);
    steps.say(&format!("{} deliveries of {} events in {seconds} s", order.len(), events.len()));
    // The job that declared the packages was asked about as well, since what a job may write ends with it.
    let asked_before = asked(world)?.len();
    let (tally, kills, took) = deliver(world, project, &events, &order)?;

    if !tally.other.is_empty() {
        steps.say(&format!("answered otherwise: {:?}", tally.other));
    }
    steps.say("waiting until everything that was played is public");
    for release in &releases {
        world.wait_until_released(release, SETTLED_LIMIT)?;
    }
    let pushes = world.accepted_pushes()?;
    let distinct: BTreeSet<&String> = pushes.iter().collect();
    let wanted: BTreeSet<&String> =
        releases.iter().flat_map(|release| release.packages.iter().map(|package| &package.filename)).collect();
    let declared: BTreeSet<String> = jobs.iter().map(|(job, _)| format!("/jobs/{job}")).collect();
    let foreign =
        asked(world)?.iter().skip(asked_before).filter(|path| !declared.iter().any(|job| path.ends_with(job))).count();
    let mut answered = tally.answered.clone();
    answered.sort_by(f64::total_cmp);
    let case = || format!("{PER_SECOND} a second, {kills} kills");
    let figure = |metric, value: f64, unit| Figure::new(case(), metric, value, unit);
    Ok(vec![
        figure("deliveries answered", count(answered.len()), ""),
        figure("of them a second", count(answered.len()) / took, ""),
        figure("p50", percentile(&answered, 0.50), "ms"),
        figure("p99", percentile(&answered, 0.99), "ms").must(Mark::AtMost(P99_MS_MAX)),
        figure("slowest", percentile(&answered, 1.0), "ms"),
        figure("not answered 2xx", count(tally.other.len()), "").must(Mark::AtMost(0.0)),
        figure("sent while down", count(tally.refused), ""),
        figure("cut off by a kill", count(tally.cut_off), ""),
        figure("sent late", count(tally.late), ""),
        figure("jobs played", count(jobs.len()), ""),
        figure("lost", count(wanted.difference(&distinct).count()), "").must(Mark::AtMost(0.0)),
        figure("done twice", count(pushes.len() - distinct.len()), "").must(Mark::AtMost(0.0)),
        figure("others' jobs read", count(foreign), "").must(Mark::AtMost(0.0)),
    ])
}

/// Plans and stages so many packages, of as many releases as that takes.
fn ready(world: &World, played: usize) -> anyhow::Result<Vec<Release>> {
    let yard = Yard::of_mib(0)?;
    let project = world.stack.projects()[0];
    let mut releases = Vec::new();
    for first in (0..played).step_by(PER_RELEASE) {
        let version = format!("1.{}.0", releases.len());
        let names: Vec<(String, &'static str)> = (first..played.min(first + PER_RELEASE))
            .map(|number| (format!("cargo-{number}"), "ubuntu/jammy"))
            .collect();
        let mut release = world.begin(project, &version)?;
        release.packages = world.build(&yard, &names, &version)?;
        world.declare(&release)?;
        releases.push(release);
    }
    Ok(releases)
}

/// The jobs that GitLab was asked for one by one; the sweep reads those of whole pipelines.
fn asked(world: &World) -> anyhow::Result<Vec<String>> {
    let requests = get_json(&format!("{}/_control/requests", world.stack.gitlab_control()))?;
    let requests = requests.as_array().context("requests are a list")?;
    let paths = requests.iter().filter_map(|request| request["path"].as_str().map(str::to_owned));
    Ok(paths.filter(|path| path.contains("/jobs/")).collect())
}

/// The event of a number: every fiftieth of the next release job, the others of a job that Slipway knows nothing of.
fn event(random: &mut Random, number: usize, jobs: &[(u64, &Release)]) -> anyhow::Result<Event> {
    let key = random_hex(16)?;
    let own = (number % PLAYED_EVERY == PLAYED_EVERY / 2).then(|| jobs.get(number / PLAYED_EVERY)).flatten();
    let status = ["pending", "running", "success"][random.below(3)];
    let (job, name, pipeline) = match own {
        Some((job, release)) => {
            let first = jobs.iter().position(|(_, of)| std::ptr::eq(*of, *release)).unwrap_or_default();
            let package = &release.packages[number / PLAYED_EVERY - first];
            (*job, format!("release: [{}]", package.key), release.pipeline)
        }
        // A name that a release job could have too: anybody may give a job any.
        None => (10_000_000 + number as u64, format!("release: [nobody-{number}]"), 9_000_000),
    };
    let body = json!({
        "object_kind": "build", "ref": "v1.0.0", "tag": true, "sha": "0".repeat(40), "build_id": job, "build_name": name,
        "build_stage": "release", "build_status": status, "build_created_at": "2026-11-25 10:00:00 UTC",
        "pipeline_id": pipeline, "project_id": 1001, "user": {"id": 7, "username": "mira"}, "commit": {"id": pipeline},
        "runner": null, "environment": null,
    });
    Ok(Event { body: body.to_string(), key, plays: own.map(|(job, _)| *job) })
}

/// Which event each delivery is of: one to five each, an event's first at its own place and the others a little later.
fn order(random: &mut Random, events: &[Event], deliveries: usize) -> Vec<usize> {
    let mut placed: Vec<(usize, usize)> = Vec::new();
    for (number, _) in events.iter().enumerate() {
        let first = number * deliveries / events.len();
        placed.push((first, number));
        for _ in 0..random.below(DELIVERIES_MAX) {
            placed.push((first + random.below(PER_SECOND * 2), number));
        }
    }
    placed.sort_unstable();
    placed.into_iter().map(|(_, number)| number).take(deliveries).collect()
}

/// Delivers all, and kills the edge meanwhile: what came of it, how often it was killed, and the seconds that it took.
fn deliver(
    world: &mut World,
    project: slipway_stack::Project,
    events: &[Event],
    order: &[usize],
) -> anyhow::Result<(Tally, usize, f64)> {
    let url = world.stack.webhook_url(&project);
    let control = world.stack.gitlab_control();
    let token = world.stack.secret(SIGNING_TOKEN).to_owned();
    let key = token.strip_prefix("whsec_").context("a signing token begins with `whsec_`")?;
    let key = STANDARD.decode(key).ok().context("a signing token is base64")?;
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    let played: Mutex<BTreeSet<u64>> = Mutex::default();
    let began = Instant::now();
    let mut kills = 0;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(event) = order.get(index).map(|number| &events[*number]) else { return Ok(()) };
                        let due = began + Duration::from_secs_f64(count(index) / count(PER_SECOND));
                        match due.checked_duration_since(Instant::now()) {
                            Some(early) => thread::sleep(early),
                            None if due.elapsed() > Duration::from_secs(1) => held(&tally).late += 1,
                            None => {}
                        }
                        if let Some(job) = event.plays.filter(|job| held(&played).insert(*job)) {
                            post_json(&format!("{control}/_control/jobs/{job}/play"), &json!({"user": "mira"}))?;
                        }
                        send(&url, &key, event, &tally, began)?;
                    }
                })
            })
            .collect();
        let killer = scope.spawn(|| {
            let mut kills = 0;
            let mut next = Instant::now() + KILLED_EVERY;
            while !over.load(Ordering::Relaxed) {
                if Instant::now() >= next {
                    world.stack.kill(Process::Edge)?;
                    world.stack.start_again(Process::Edge)?;
                    kills += 1;
                    next += KILLED_EVERY;
                }
                thread::sleep(Duration::from_millis(20));
            }
            anyhow::Ok(kills)
        });
        let mut ended: anyhow::Result<()> = Ok(());
        for worker in workers {
            let one = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended = ended.and(one);
        }
        over.store(true, Ordering::Relaxed);
        kills = killer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ended
    })?;
    let took = began.elapsed().as_secs_f64();
    Ok((tally.into_inner().unwrap_or_else(PoisonError::into_inner), kills, took))
}

/// Sends one until it is answered.
fn send(url: &str, key: &[u8], event: &Event, tally: &Mutex<Tally>, began: Instant) -> anyhow::Result<()> {
    // An edge that is never up again ends the benchmark, not the machine's patience.
    let last = began + Duration::from_mins(20);
    loop {
        ensure!(Instant::now() < last, "the edge does not answer any more");
        let (timestamp, signature) = sign(key, event)?;
        let request = minreq::post(url)
            .with_timeout(ANSWER_LIMIT_SECONDS)
            .with_header("content-type", "application/json")
            .with_header("x-gitlab-event", "Job Hook")
            .with_header("idempotency-key", &event.key)
            .with_header("webhook-id", &event.key)
            .with_header("webhook-timestamp", timestamp)
            .with_header("webhook-signature", signature)
            .with_body(event.body.as_str());
        let sent_at = Instant::now();
        match request.send() {
            // A connection that ends before a status line is a 503 without a header to the client used here.
            Ok(answer) if answer.headers.is_empty() => held(tally).cut_off += 1,
            Ok(answer) => {
                let mut tally = held(tally);
                tally.answered.push(sent_at.elapsed().as_secs_f64() * 1000.0);
                if !(200..300).contains(&answer.status_code) {
                    let said = answer.as_str().unwrap_or_default();
                    let said: String = said.chars().take(SAID_CHARACTERS_MAX).collect();
                    let at = began.elapsed().as_secs_f64();
                    tally.other.push(format!("{} after {at:.1} s: {said}", answer.status_code));
                }
                return Ok(());
            }
            Err(minreq::Error::IoError(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                held(tally).refused += 1;
            }
            Err(_) => held(tally).cut_off += 1,
        }
        thread::sleep(AGAIN);
    }
}

/// The time and the signature of a delivery, as Standard Webhooks has them.
fn sign(key: &[u8], event: &Event) -> anyhow::Result<(String, String)> {
    #[allow(clippy::cast_possible_truncation, reason = "whole seconds are what the header has")]
    let timestamp = (now() as i64).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok().context("HMAC takes a key of any length")?;
    mac.update(format!("{}.{timestamp}.{}", event.key, event.body).as_bytes());
    Ok((timestamp, format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))))
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value below which this share of the sorted values is.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = (count(sorted.len()) * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_precision_loss, reason = "none is beyond 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

/// The same choices in every run: `xorshift64*`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % limit.max(1)
    }
}
