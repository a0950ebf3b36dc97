//! One deletion from staging, from the run that makes it until it is over, with everything that can come in between.
//! `cargo test --profile sim -p slipway-sim --test deletions -- --test-threads=1 --show-output`

#![allow(clippy::print_stdout, reason = "the figures are what people run this for")]
#![allow(clippy::disallowed_methods, reason = "how long it took is told, and nothing depends on it")]

use std::collections::BTreeSet;
use std::time::Instant;

use slipway_sim::course::{Course, Tally};
use slipway_sim::deletion;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn show(what: &str, course: Course, tally: &Tally, began: Instant) {
    println!(
        "{course:?}: {} boundaries, {} {what}, {} steps, {:.1} s",
        tally.boundaries,
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
fn every_fault_at_every_boundary_of_a_deletion_breaks_no_promise() {
    let (mut failed, mut points) = (0, BTreeSet::new());
    for course in Course::DELETED {
        let began = Instant::now();
        let tally = deletion::singles(course);
        show("single faults", course, &tally, began);
        failed += tally.failed;
        points.extend(tally.points.into_keys());
    }
    assert_eq!(failed, 0);
    let never: Vec<_> = deletion::POINTS.iter().filter(|point| !points.contains(*point)).collect();
    assert!(never.is_empty(), "never reached, so nothing is proved of it: {never:?}");
}

#[test]
fn pairs_of_faults_that_chance_picks_break_no_promise_of_a_deletion() {
    let began = Instant::now();
    let tally = deletion::some_pairs(Course::DebDeleted, 3000);
    let all = deletion::pairs_of(Course::DebDeleted);
    show(&format!("runs, {} pairs of {all}", tally.pairs), Course::DebDeleted, &tally, began);
    assert_eq!(tally.failed, 0);
}

#[test]
fn what_somebody_wants_at_any_boundary_of_a_deletion_is_kept_or_told_to_be_too_late() {
    let mut failed = 0;
    for course in Course::DELETED {
        let began = Instant::now();
        let tally = deletion::wished(course);
        show("wishes", course, &tally, began);
        failed += tally.failed;
    }
    assert_eq!(failed, 0);
}
