//! The simulation can fail: each planted bug is caught, and the list says by what.
//! `cargo test --profile sim -p slipway-sim --features planted --test planted -- --show-output`
#![cfg(feature = "planted")]
#![allow(clippy::print_stdout, reason = "the list is what people run this for")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use slipway_sim::course::{self, Course};
use slipway_sim::deletion;
use slipway_sim::fault::{Fault, Kind};
use slipway_sim::restore;
use slipway_sim::swarm;
use slipway_sim::world::{Settings, World};
use slipway_wire::{Planted, plant};

/// How many seeds are tried for a bug that no course has caught.
const SEEDS_MAX: u64 = 400;

/// How many seeds of days are tried for a bug that only they can show.
const SEEDS_OF_DAYS_MAX: u64 = 1500;

/// The bugs that are planted. The environment names some: `SLIPWAY_SIM_BUGS=TagsFirst,FloatsBack`.
fn bugs() -> Vec<Planted> {
    let Ok(named) = std::env::var("SLIPWAY_SIM_BUGS") else {
        return Planted::ALL.to_vec();
    };
    let is_named = |bug: &Planted| named.split(',').any(|name| name == format!("{bug:?}"));
    let bugs: Vec<Planted> = Planted::ALL.into_iter().filter(is_named).collect();
    assert!(!bugs.is_empty(), "`{named}` names no bug");
    bugs
}

/// The courses in which a bug can be.
fn courses(bug: Planted) -> Vec<Course> {
    let is_of_images = matches!(
        bug,
        Planted::TagsFirst
            | Planted::BelievesAManifest
            | Planted::OverwritesATag
            | Planted::CopiesOnePlatform
            | Planted::FloatsBack
    );
    // The registry that takes every manifest is first: there the bug alone shows, and not that it is refused.
    let courses = Course::ALL.into_iter().rev().filter(|course| course.has_images() == is_of_images);
    if is_of_images { courses.collect() } else { courses.rev().collect() }
}

/// Whether a bug is one of cleaning staging up, or of a release's end: what has days to show.
fn takes_days(bug: Planted) -> bool {
    matches!(
        bug,
        Planted::DeletesUnverified
            | Planted::TrustsAbsence
            | Planted::TrustsAnyClock
            | Planted::IgnoresLimits
            | Planted::DeletesWhatIsHeld
            | Planted::DeletesWhatAnotherHas
            | Planted::DeletesSharedParts
            | Planted::ReopensWhatIsClosed
    )
}

/// What catches a bug first: a course without faults, one with a fault, or a seed of chance.
fn caught(bug: Planted) -> Option<String> {
    plant(Some(bug));
    if takes_days(bug) {
        // What comes between a look and the deletion is too rare for chance.
        let directed = match bug {
            Planted::DeletesWhatIsHeld => broken_wish(),
            Planted::DeletesWhatAnotherHas => course::run(deletion::shared(true))
                .violation
                .map(|violation| format!("{:<9} a file of two packages: {}", violation.invariant, violation.what)),
            Planted::DeletesUnverified | Planted::TrustsAbsence => deletion::broken_by_others(Course::DebDeleted)
                .map(|violation| format!("{:<9} somebody else acted: {}", violation.invariant, violation.what)),
            _ => None,
        };
        if directed.is_some() {
            return directed;
        }
        let caught = (swarm::OF_DAYS..swarm::OF_DAYS + SEEDS_OF_DAYS_MAX)
            .find_map(|seed| Some((seed, swarm::run_seed(seed).violation?)));
        return caught.map(|(seed, violation)| format!("{:<9} seed {seed}: {}", violation.invariant, violation.what));
    }
    let courses = courses(bug);
    if bug == Planted::TrustsItsRecord {
        return only_restores(&courses);
    }
    for course in &courses {
        let fair = course::run(course.settings(&[]));
        if let Some(violation) = fair.violation {
            return Some(format!("{:<9} {course:?} without a fault", violation.invariant));
        }
    }
    if let Some(violation) = unaided(&courses).or_else(held) {
        return Some(violation);
    }
    // Some seeds come before the courses' faults: each has many of them.
    for seed in (1..=60).filter(|_| !courses.iter().any(|course| course.has_images())) {
        if let Some(violation) = swarm::run_seed(seed).violation {
            return Some(format!("{:<9} seed {seed}", violation.invariant));
        }
    }
    for course in &courses {
        let kinds = course::run(course.settings(&[])).kinds;
        for (number, kind) in (0..).zip(kinds) {
            for fault in course.faults().into_iter().filter(|fault| fault.fits(kind)) {
                if let Some(violation) = course::run(course.settings(&[(number, fault)])).violation {
                    return Some(format!("{:<9} {course:?}, {fault:?} at boundary {number}", violation.invariant));
                }
            }
        }
    }
    for seed in 61..=SEEDS_MAX {
        if let Some(violation) = swarm::run_seed(seed).violation {
            return Some(format!("{:<9} seed {seed}", violation.invariant));
        }
    }
    None
}

/// What must go well with nobody there to play a job again: one look at a list or a registry that is behind, and a GitLab that does not
/// answer for a moment when only its webhook has told of the job.
fn unaided(courses: &[Course]) -> Option<String> {
    for course in courses {
        let alone = |faults: &[(u64, Fault)]| {
            let mut settings = course.settings(faults);
            settings.plays_max = 0;
            for parcel in &mut settings.parcels {
                parcel.asks = false;
            }
            course::run(settings)
        };
        for (number, kind) in (0..).zip(alone(&[]).kinds) {
            let fault = match kind {
                Kind::Search => Fault::Bare,
                Kind::Job => Fault::Status(500),
                Kind::ImageHead | Kind::ImageRead | Kind::BlobHead | Kind::TagList => Fault::Stale,
                _ => continue,
            };
            if let Some(violation) = alone(&[(number, fault)]).violation {
                return Some(format!(
                    "{:<9} {course:?}, nobody plays again, {fault:?} at {number}",
                    violation.invariant
                ));
            }
        }
    }
    None
}

/// A bug that no run shows in which nothing is restored. What is broken after a restore is I21.
fn only_restores(courses: &[Course]) -> Option<String> {
    let elsewhere = courses.iter().find_map(|course| restore::broken_without(*course));
    let elsewhere = elsewhere.or_else(|| {
        let single = |course: &Course| {
            let kinds = course::run(course.settings(&[])).kinds;
            let placed = (0..).zip(kinds).flat_map(|(number, kind)| {
                let fits = course.faults().into_iter().filter(move |fault| fault.fits(kind));
                fits.map(move |fault| (number, fault))
            });
            placed.into_iter().find_map(|fault| course::run(course.settings(&[fault])).violation)
        };
        courses.iter().find_map(single).or_else(|| (1..=300).find_map(|seed| swarm::run_seed(seed).violation))
    });
    if let Some(violation) = elsewhere {
        println!("it is seen without a restore, too: {violation:?}");
        return None;
    }
    courses.iter().find_map(|course| {
        let (restored, violation) = restore::broken(*course)?;
        let found = format!("{:<9} {course:?}, {restored:?}: {}", violation.invariant, violation.what);
        (violation.invariant == "I21").then_some(found)
    })
}

/// A person holds a package back right before its act asks for leave.
fn held() -> Option<String> {
    for course in Course::PAIRED {
        let world = World::new(Settings { plays_max: 0, ..course.settings(&[]) });
        world.meanwhile(Kind::MayAct, |world| world.hold(0));
        let violation = world.run();
        world.end();
        if let Some(violation) = violation {
            return Some(format!("{:<9} {course:?}, held right before the act", violation.invariant));
        }
    }
    None
}

/// Somebody wants something at a boundary of a deletion.
fn broken_wish() -> Option<String> {
    Course::DELETED.into_iter().find_map(|course| {
        let violation = deletion::broken_wish(course)?;
        Some(format!("{:<9} {course:?}, {}", violation.invariant, violation.what))
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let (bugs, next, all) = (bugs(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let by = caught(*bug);
                    if by.is_none() {
                        println!("{bug:?} is not caught");
                    }
                    all.lock().expect("nobody panics with it").push((*bug, by));
                }
            });
        }
    });
    let mut all = all.into_inner().expect("nobody panics with it");
    all.sort_by_key(|(bug, _)| *bug);
    for (bug, by) in &all {
        println!("{:<28} caught by {}", format!("{bug:?}"), by.as_deref().unwrap_or("NOTHING"));
    }
    let missed: Vec<_> = all.iter().filter(|(_, by)| by.is_none()).map(|(bug, _)| bug).collect();
    println!("{} bugs planted, {} caught", all.len(), all.len() - missed.len());
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn without_a_bug_nothing_is_caught() {
    plant(None);
    assert_eq!(unaided(&Course::ALL), None);
    assert_eq!(held(), None);
    assert_eq!(restore::broken(Course::DebCopy), None);
    assert_eq!(course::run(deletion::shared(true)).violation, None);
    assert_eq!(deletion::broken_by_others(Course::DebDeleted), None);
    for seed in (1..=200).chain(swarm::OF_DAYS..swarm::OF_DAYS + 60) {
        assert_eq!(swarm::run_seed(seed).violation, None, "seed {seed}");
    }
}
