//! The databases are as they were at some earlier moment, while the servers are as they are: nothing is published twice, nor
//! over anything else, nor with other bytes, and nothing is deleted too early.
//! `cargo test --profile sim -p slipway-sim --test restores -- --test-threads=1 --show-output`

#![allow(clippy::print_stdout, reason = "the figures are what people run this for")]
#![allow(clippy::disallowed_methods, reason = "how long it took is told, and nothing depends on it")]

use std::time::Instant;

use slipway_sim::course::Course;
use slipway_sim::restore::{self, Restored};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn show(course: Course, restored: &Restored, began: Instant) {
    let Restored { tally, commits, databases, all } = restored;
    println!(
        "{course:?}: {commits} commits, {databases} databases, {} restores of {all}, {} steps, {:.1} s",
        tally.runs,
        tally.steps,
        began.elapsed().as_secs_f32()
    );
    for (point, count) in &tally.points {
        println!("  {count:>9} times: {point}");
    }
    for failure in tally.failures.iter().take(12) {
        println!("  FAILS {:?} {:?}: {}", failure.restored, failure.violation.invariant, failure.violation.what);
    }
}

/// Fewer or more of them through the environment: `SLIPWAY_SIM_RESTORES=20000` are all of one package's promotion.
fn restores_break_no_promise(courses: &[Course], otherwise: u64) {
    let most = std::env::var("SLIPWAY_SIM_RESTORES").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let mut failed = 0;
    for course in courses {
        let began = Instant::now();
        let restored = restore::restored(*course, most);
        show(*course, &restored, began);
        failed += restored.tally.failed;
    }
    assert_eq!(failed, 0);
}

#[test]
fn from_every_commit_of_a_promotion_every_earlier_one_can_be_restored() {
    restores_break_no_promise(&Course::ALL, 1_000);
}

#[test]
fn from_the_commits_of_a_deletion_earlier_ones_can_be_restored() {
    restores_break_no_promise(&Course::DELETED, 40);
}
