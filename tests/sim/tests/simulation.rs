//! The simulation. `cargo test --profile sim -p slipway-sim -- --test-threads=1 --show-output`; each test uses all cores.

#![allow(clippy::print_stdout, reason = "the figures are what people run this for")]
#![allow(clippy::disallowed_methods, reason = "how long it took is told, and nothing depends on it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use slipway_sim::course::{self, Course, Tally, sorts};
use slipway_sim::swarm;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn show(what: &str, course: Course, tally: &Tally, began: Instant) {
    println!(
        "{course:?}: {} boundaries {:?}, {} {what}, {} steps, {:.1} s",
        tally.boundaries,
        sorts(course),
        tally.runs,
        tally.steps,
        began.elapsed().as_secs_f32()
    );
    for (reason, count) in &tally.left_out {
        println!("  {count:>9} left out: {reason}");
    }
    for failure in tally.failures.iter().take(12) {
        println!("  FAILS {:?} {:?}: {}", failure.faults, failure.violation.invariant, failure.violation.what);
    }
}

#[test]
fn a_world_without_faults_keeps_every_promise_and_releases_everything() {
    for course in Course::ALL {
        assert_eq!(course::run(course.settings(&[])).violation, None, "{course:?}");
    }
}

#[test]
fn every_fault_at_every_boundary_alone_breaks_no_promise() {
    let (mut failed, mut points) = (0, BTreeSet::new());
    for course in courses(&Course::ALL) {
        let began = Instant::now();
        let tally = course::singles(course);
        show("single faults", course, &tally, began);
        failed += tally.failed;
        points.extend(tally.points.into_keys());
    }
    assert_eq!(failed, 0);
    let never: Vec<_> = course::POINTS.iter().filter(|point| !points.contains(*point)).collect();
    assert!(never.is_empty(), "never reached, so nothing is proved of it: {never:?}");
}

/// The courses that are run, unless the environment names others: `SLIPWAY_SIM_COURSES=DebMove`.
fn courses(otherwise: &[Course]) -> Vec<Course> {
    let Ok(named) = std::env::var("SLIPWAY_SIM_COURSES") else { return otherwise.to_vec() };
    let is_named = |course: &Course| named.split(',').any(|name| name == format!("{course:?}"));
    let courses: Vec<Course> = Course::ALL.into_iter().filter(is_named).collect();
    assert!(!courses.is_empty(), "`{named}` names no course");
    courses
}

#[test]
fn every_ordered_pair_of_faults_breaks_no_promise() {
    let mut failed = 0;
    // Many hours: faults that others stand for, too.
    let everything = std::env::var("SLIPWAY_SIM_PAIRS").as_deref() == Ok("all");
    for course in courses(&Course::PAIRED) {
        let began = Instant::now();
        let tally = course::pairs(course, !everything);
        show(&format!("first faults, {} pairs", tally.pairs), course, &tally, began);
        for (count, what) in [
            (tally.joined, "of these pairs came to where another had been, and were over there"),
            (tally.equal, "equal: the first fault has led to where another one had"),
            (tally.unseen, "equal: nobody looks between this second fault and the same at the next boundary"),
            (tally.repeated, "not tried: the second fault is in a round that the path has gone before"),
        ] {
            println!("  {count:>9} {what}");
        }
        failed += tally.failed;
    }
    assert_eq!(failed, 0);
}

#[test]
fn pairs_of_faults_that_chance_picks_break_no_promise_of_an_image() {
    let mut failed = 0;
    for course in [Course::ImageCopy, Course::ImageMount] {
        let began = Instant::now();
        let tally = course::some_pairs(course, 2000);
        show(&format!("runs, {} pairs", tally.pairs), course, &tally, began);
        failed += tally.failed;
    }
    assert_eq!(failed, 0);
}

/// How many steps chance takes. More of them, or other seeds, through the environment.
fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_steps_break_no_promise_and_reach_what_is_rare() {
    let steps = from_environment("SLIPWAY_SIM_STEPS", 10_000_000);
    let first = from_environment("SLIPWAY_SIM_SEED", 1);
    walk(first, steps, &swarm::POINTS);
}

#[test]
fn random_steps_with_images_break_no_promise_and_reach_what_is_rare() {
    let steps = from_environment("SLIPWAY_SIM_IMAGE_STEPS", 600_000);
    let first = from_environment("SLIPWAY_SIM_IMAGE_SEED", swarm::WITH_IMAGES);
    walk(first, steps, &swarm::IMAGE_POINTS);
}

#[test]
fn random_steps_of_days_break_no_promise_and_reach_what_is_rare() {
    let steps = from_environment("SLIPWAY_SIM_DAYS_STEPS", 10_000_000);
    let first = from_environment("SLIPWAY_SIM_DAYS_SEED", swarm::OF_DAYS);
    walk(first, steps, &swarm::DAYS_POINTS);
}

/// How often as many steps again are taken to reach what chance has not come upon. What is rare comes once in as many, or not at all, and
/// which it is changes with each request that the edge sends more or fewer.
const ROUNDS_MAX: usize = 4;

fn walk(first: u64, steps: u64, points: &[&'static str]) {
    let mut walked = swarm::Walked::default();
    let missed = |walked: &swarm::Walked| -> Vec<&str> {
        points.iter().copied().filter(|point| !walked.points.contains_key(point)).collect()
    };
    for _ in 0..ROUNDS_MAX {
        let began = Instant::now();
        let from = first + walked.seeds;
        let round = swarm::walk(from, steps);
        println!(
            "random: {} steps of {} seeds from {from} on, {:.1} s",
            round.steps,
            round.seeds,
            began.elapsed().as_secs_f32()
        );
        walked.add(round);
        if !walked.failures.is_empty() || missed(&walked).is_empty() {
            break;
        }
        println!("  not reached yet: {:?}", missed(&walked));
    }
    for (point, count) in &walked.points {
        println!("  {count:>9} times: {point}");
    }
    for (seed, violation) in walked.failures.iter().take(20) {
        println!("  FAILS seed {seed} {}: {}", violation.invariant, violation.what);
    }
    if let Some((seed, _)) = walked.failures.first() {
        match swarm::shrink(*seed) {
            Some(shrunk) => {
                println!("seed {seed} takes no more than this to break {:?}:", shrunk.violation);
                println!("{}", swarm::told(&shrunk.settings));
            }
            // The end of the faults is a time there, and a boundary here.
            None => {
                println!("seed {seed} does not fail with its faults named:\n{}", swarm::told(&swarm::settings(*seed)));
            }
        }
    }
    assert!(walked.failures.is_empty(), "{} seeds break a promise", walked.failures.len());
    let never = missed(&walked);
    assert!(never.is_empty(), "never reached, so nothing is proved of it: {never:?}");
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    let days = swarm::OF_DAYS..swarm::OF_DAYS + 20;
    for seed in (1..=100).chain(swarm::WITH_IMAGES..swarm::WITH_IMAGES + 20).chain(days) {
        let traced = || {
            let mut settings = swarm::settings(seed);
            settings.is_traced = true;
            let ran = course::run(settings);
            (ran.trace, ran.steps)
        };
        assert_eq!(traced(), traced(), "seed {seed}");
    }
}

/// Seeds that have broken a promise once.
#[test]
fn what_broke_a_promise_once_does_not_again() {
    let mut broken = BTreeMap::new();
    for line in include_str!("regressions.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some(seed) = line.split_whitespace().next() else { continue };
        let seed: u64 = seed.parse().expect("a seed stands first in its line");
        if let Some(violation) = swarm::run_seed(seed).violation {
            broken.insert(seed, violation);
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}
