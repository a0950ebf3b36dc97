//! The simulation. Run it with `--profile sim -- --test-threads=1 --show-output`; each test uses all cores.

use std::time::Instant;

use slipway_sim::course::{self, Course, Tally};

fn show(what: &str, course: Course, tally: &Tally, began: Instant) {
    println!(
        "{course:?}: {} boundaries, {} {what}, {} steps, {:.1} s",
        tally.boundaries,
        tally.runs,
        tally.steps,
        began.elapsed().as_secs_f32()
    );
    for failure in tally.failures.iter().take(12) {
        println!("  FAILS {:?} {:?}: {}", failure.faults, failure.violation.invariant, failure.violation.what);
    }
}

#[test]
fn every_fault_at_every_boundary_alone_breaks_no_promise() {
    let mut failed = 0;
    for course in Course::ALL {
        let began = Instant::now();
        let fair = course::run(course.settings(&[]));
        assert_eq!(fair.violation, None, "{course:?} without any fault");
        let tally = course::singles(course);
        show("single faults", course, &tally, began);
        failed += tally.failed;
    }
    assert_eq!(failed, 0);
}

#[test]
fn zz_speed() {
    use slipway_sim::world::World;
    let began = Instant::now();
    for _ in 0..500 {
        let world = World::new(Course::RpmCopy.settings(&[]));
        world.end();
    }
    println!("a world: {:?}", began.elapsed() / 500);
    let began = Instant::now();
    let mut steps = 0;
    for _ in 0..500 {
        steps += course::run(Course::RpmCopy.settings(&[])).steps;
    }
    println!("a run: {:?}, {steps} steps", began.elapsed() / 500);
}
