//! I21: whatever moment the databases go back to, what must hold of bytes, files and approvals holds afterwards.
//!
//! A course is run, and after one of its commits all databases, or one of them, are as they were after an earlier one: each
//! commit with each before it.

use crate::course::{Course, Tally, run, spread};
use crate::rng::Rng;
use crate::world::{Backups, Settings, World};

/// How many commits a course has, and how many databases in the end.
fn counted(settings: Settings) -> (u64, u64) {
    let world = World::new(settings);
    world.run();
    let counted = (world.commits(), world.databases());
    world.end();
    counted
}

/// The world of a course, with what is restored of it. A deletion is over after six days.
fn settings(course: Course, backups: Backups) -> Settings {
    let settings = course.settings(&[]);
    Settings { backups, lasts: settings.lasts.min(140 * 3_600_000), ..settings }
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
    let (commits, databases) = counted(settings(course, Backups::Made));
    let all = commits * (commits + 1) / 2 * (databases + 1);
    let count = all.min(most);
    let chunk = 50;
    let tally = spread(count.div_ceil(chunk) as usize, |job, tally| {
        for index in (job as u64 * chunk..count).take(chunk as usize) {
            let number = if all <= most { index } else { Rng::new(index).below(all) };
            let backups = numbered(number, databases);
            tally.add_restore(course, backups, run(settings(course, backups)));
        }
    });
    Restored { tally, commits, databases, all }
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
