//! I21: whatever moment the databases go back to, what must hold of bytes, files and approvals holds afterwards.
//!
//! A course is run, and after one of its commits all databases, or one of them, are as they were after an earlier one: each
//! commit with each before it.

use std::rc::Rc;

use crate::course::{Course, Tally, run_world, spread};
use crate::rng::Rng;
use crate::world::{Backups, Settings, Violation, World};

/// The world of a course, with what is restored of it. At first others have all transfer slots of the public package server, so
/// that there are moments at which a package has looked and asked, and waits. A deletion is over after six days.
fn world(course: Course, backups: Backups) -> Rc<World> {
    let settings = course.settings(&[]);
    // What lapsed while nothing ran is played again.
    let world = World::new(Settings { backups, lasts: settings.lasts.min(140 * 3_600_000), plays_max: 6, ..settings });
    world.occupy(60_000);
    world
}

/// How many commits a course has, and how many databases in the end.
fn counted(course: Course) -> (u64, u64) {
    let world = world(course, Backups::Made);
    world.run();
    let counted = (world.commits(), world.databases());
    world.end();
    counted
}

/// A restore by its number: from after each commit to after each before it, of everything and of each database alone.
fn numbered(number: u64, databases: u64) -> Backups {
    let (pair, only) = (number / (databases + 1), number % (databases + 1));
    // The pairs that end with one commit stand behind all that end with those before it.
    let mut after = pair.saturating_mul(2).isqrt();
    while after * (after + 1) / 2 <= pair {
        after += 1;
    }
    while after * after.saturating_sub(1) / 2 > pair {
        after -= 1;
    }
    let commit = pair - after * after.saturating_sub(1) / 2;
    Backups::Of { commit, after, only: only.checked_sub(1) }
}

/// What came of a course's restores.
#[derive(Debug)]
pub struct Restored {
    /// What came of them.
    pub tally: Tally,
    /// How many commits the course has.
    pub commits: u64,
    /// How many databases.
    pub databases: u64,
    /// How many restores there are.
    pub all: u64,
}

/// Runs every restore of a course, or so many that chance picks when there are more.
pub fn restored(course: Course, most: u64) -> Restored {
    let (commits, databases) = counted(course);
    let all = commits * (commits + 1) / 2 * (databases + 1);
    let count = all.min(most);
    let chunk = 50;
    let tally = spread(count.div_ceil(chunk) as usize, |job, tally| {
        for index in (job as u64 * chunk..count).take(chunk as usize) {
            let number = if all <= most { index } else { Rng::new(index).below(all) };
            let backups = numbered(number, databases);
            tally.add_restore(course, backups, run_world(&world(course, backups)));
        }
    });
    Restored { tally, commits, databases, all }
}

/// The first restore of everything that breaks a promise. In this thread alone: in no other is a bug planted.
pub fn broken(course: Course) -> Option<(Backups, Violation)> {
    let (commits, databases) = counted(course);
    let all = commits * (commits + 1) / 2;
    (0..all).map(|pair| numbered(pair * (databases + 1), databases)).find_map(|backups| {
        let violation = run_world(&world(course, backups)).violation?;
        Some((backups, violation))
    })
}

/// What such a world breaks when nothing is restored.
pub fn broken_without(course: Course) -> Option<Violation> {
    run_world(&world(course, Backups::Made)).violation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_restore_has_one_number() {
        let mut number = 0;
        for after in 1..40 {
            for commit in 0..after {
                for only in [None, Some(0), Some(1)] {
                    assert_eq!(numbered(number, 2), Backups::Of { commit, after, only }, "{number}");
                    number += 1;
                }
            }
        }
    }
}
