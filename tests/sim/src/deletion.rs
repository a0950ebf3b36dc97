//! One deletion from staging, from the run that makes it until nothing of it is open: every fault at every boundary of it, and
//! every wish of somebody who comes at that moment.
//!
//! A deletion comes days after the release. So a world is taken to the moment before the run that deletes, once, and each
//! fault goes on from there.

use std::rc::Rc;

use crate::course::{Course, Tally, placed, spread};
use crate::fault::{Fault, Kind};
use crate::rng::Rng;
use crate::world::{Deed, Mark, Settings, Violation, World};

const HOUR: i64 = 3_600_000;
/// Within which time a deletion is over that one or two faults have met. One that was sent and not done waits for a day once more,
/// twice when both faults are so; an alarm comes three hours late, and a run is hourly.
const OVER_WITHIN: i64 = 60 * HOUR;
/// Clocks that are so far apart are not said to agree.
const CLOCKS_APART: i64 = 300_000;
/// For how long it is followed where it may stay, and when it is over.
const FOLLOWED_FOR: i64 = 4 * HOUR;

/// What a deletion must reach, or nothing is proved of it.
pub const POINTS: [&str; 2] = ["a commit failed", "the process died while it deleted"];

/// A world whose next run deletes.
struct Due {
    course: Course,
    world: Rc<World>,
    before: Mark,
    /// What its boundaries are when nothing goes wrong, from the first one of the run on.
    first: usize,
    kinds: Vec<Kind>,
}

/// What became of the staged bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Gone,
    /// They stay, and their deletion is over: something spoke against it.
    Kept,
    /// They stay, and are still to be deleted.
    Waits,
}

impl Due {
    /// `sent`: the boundary at which the first request to delete is sent.
    fn new(course: Course, sent: u64) -> Self {
        let world = World::new(course.settings(&[]));
        let before = loop {
            let mark = world.mark();
            assert!(!world.ends_before_it_rests(), "it ends before it deletes: {:?}", world.violation());
            if world.boundaries() > sent {
                break mark;
            }
            world.forget_mark(&mark);
        };
        while world.deletes_now() || !world.is_gone(0) {
            assert!(!world.ends_before_it_rests(), "it ends before it has deleted: {:?}", world.violation());
        }
        let kinds = world.kinds.borrow().clone();
        world.go_back(&before, &[]);
        let first = world.boundaries() as usize;
        Self { course, world, before, first, kinds }
    }

    fn end(self, tally: &mut Tally) {
        self.world.unmark(&self.before);
        for (point, count) in self.world.points.take() {
            *tally.points.entry(point).or_default() += count;
        }
        self.world.end();
    }

    /// Goes on from the run that deletes, with these faults, until it is known what becomes of the staged bytes.
    fn follow(&self, faults: &[(u64, Fault)], doing: Option<(u64, Deed)>) -> (Option<Violation>, Became) {
        let world = &self.world;
        world.go_back(&self.before, faults);
        let kind = |number: u64| self.kinds.get(number as usize).copied().unwrap_or(Kind::Alarm);
        if let Some((number, deed)) = doing {
            world.meanwhile_does(number, kind(number), deed);
        }
        let (begun, last) = (world.elapsed(), faults.last().map_or(0, |(number, _)| *number));
        let may_stay = doing.is_some() || faults.iter().any(|(_, fault)| may_stay(*fault));
        let until = begun + if may_stay { FOLLOWED_FOR } else { OVER_WITHIN };
        let mut over_at = None;
        while world.step() {
            let now = world.elapsed();
            let rests = || world.exec.tasks() == 0 && !world.is_dead();
            if over_at.is_none() && world.boundaries() > last && rests() && world.is_gone(0) && !world.deletes_now() {
                over_at = Some(now);
            }
            if now > until || over_at.is_some_and(|over_at| now > over_at + FOLLOWED_FOR) {
                break;
            }
        }
        if world.violation().is_none() {
            world.check();
        }
        let became = match (world.is_gone(0), world.is_marked(0)) {
            (true, _) => Became::Gone,
            (false, false) => Became::Kept,
            (false, true) => Became::Waits,
        };
        let stays = became == Became::Waits && !may_stay;
        let waits = stays.then(|| Violation {
            invariant: "L1",
            what: "days after the last fault it is still in staging, and still to be deleted".to_owned(),
        });
        (world.violation().or(waits), became)
    }

    fn judge(&self, faults: &[(u64, Fault)], tally: &mut Tally) -> Became {
        let begun = self.world.boundaries();
        let (violation, became) = self.follow(faults, None);
        tally.runs += 1;
        tally.steps += self.world.boundaries().saturating_sub(begun.min(self.first as u64));
        if let Some(violation) = violation {
            tally.fail(self.course, faults, violation);
        }
        became
    }
}

/// What nothing is deleted after for as long as it lasts: a clock that is not the servers', and bytes that somebody else has
/// changed.
fn may_stay(fault: Fault) -> bool {
    match fault {
        Fault::Clock(ms) => ms.abs() >= CLOCKS_APART,
        Fault::Somebody(_) => true,
        _ => false,
    }
}

/// The number of the boundary at which the first request to delete is sent.
fn sent(course: Course) -> u64 {
    let world = World::new(course.settings(&[]));
    while world.kinds.borrow().last().is_none_or(|kind| !kind.deletes()) {
        assert!(world.step(), "it ends before it deletes: {:?}", world.violation());
    }
    let sent = world.boundaries() - 1;
    world.end();
    sent
}

/// What a deletion's boundaries are, from the first of its run on, and the number of the first.
pub fn boundaries(course: Course) -> (usize, Vec<Kind>) {
    let due = Due::new(course, sent(course));
    let (first, kinds) = (due.first, due.kinds.iter().skip(due.first).copied().collect());
    due.end(&mut Tally::default());
    (first, kinds)
}

/// Every fault at every boundary that it fits, alone.
pub fn singles(course: Course) -> Tally {
    let sent = sent(course);
    let (first, kinds) = boundaries(course);
    let mut tally = spread(kinds.len(), |job, tally| {
        let due = Due::new(course, sent);
        let number = first + job;
        let here = due.kinds.get(..=number).unwrap_or_default();
        for fault in placed(&course.faults(), here, number, &mut tally.left_out) {
            due.judge(&[fault], tally);
        }
        due.end(tally);
    });
    tally.boundaries = kinds.len();
    tally
}

/// So many ordered pairs, picked by chance.
pub fn some_pairs(course: Course, count: usize) -> Tally {
    let sent = sent(course);
    let (first, kinds) = boundaries(course);
    let of_a_job = 60;
    let mut tally = spread(count.div_ceil(of_a_job), |job, tally| {
        let (due, mut rng) = (Due::new(course, sent), Rng::new(job as u64));
        let pick = |rng: &mut Rng, kinds: &[Kind], from: usize| {
            let number = from + rng.below(kinds.len().saturating_sub(from) as u64) as usize;
            let kind = *kinds.get(number)?;
            let fitting: Vec<Fault> = course.faults().into_iter().filter(|fault| fault.fits(kind)).collect();
            Some((number as u64, rng.pick(&fitting)?))
        };
        for _ in 0..of_a_job {
            let Some(one) = pick(&mut rng, &due.kinds, first) else { continue };
            due.judge(&[one], tally);
            // The second one meets the path as the first has bent it, and soon enough to be in the deletion.
            let bent: Vec<Kind> = due.world.kinds.borrow().iter().take(due.kinds.len() + 40).copied().collect();
            if let Some(other) = pick(&mut rng, &bent, one.0 as usize + 1) {
                tally.pairs += 1;
                due.judge(&[one, other], tally);
            }
        }
        due.end(tally);
    });
    tally.boundaries = kinds.len();
    tally
}

/// How many ordered pairs there are, as far as the first fault bends nothing.
pub fn pairs_of(course: Course) -> u64 {
    let (_, kinds) = boundaries(course);
    let fitting = kinds.iter().map(|kind| course.faults().iter().filter(|fault| fault.fits(*kind)).count() as u64);
    let fitting: Vec<u64> = fitting.collect();
    let after = |index: usize| fitting.iter().skip(index + 1).sum::<u64>();
    (0..).zip(&fitting).map(|(index, count)| count * after(index)).sum()
}

/// What somebody can want while it is deleted.
fn wishes(course: Course) -> Vec<Deed> {
    let all = [
        Deed::Hold(0),
        Deed::Extend(0),
        Deed::Deployed(0),
        Deed::Restage(0),
        Deed::Replace(0),
        Deed::Close(0),
        Deed::Stop(0),
    ];
    // An image has its digest for a name, so it is never built anew under one.
    all.into_iter().filter(|deed| !(course.has_images() && matches!(deed, Deed::Replace(_)))).collect()
}

/// Every wish at one boundary.
fn wish(course: Course, sent: u64, number: u64, tally: &mut Tally) {
    let due = Due::new(course, sent);
    for deed in wishes(course) {
        let (violation, _) = due.follow(&[], Some((number, deed)));
        tally.runs += 1;
        if let Some(Violation { invariant, what }) = violation {
            let what = format!("{deed:?} right before boundary {number}: {what}");
            tally.fail(course, &[], Violation { invariant, what });
        }
    }
    due.end(tally);
}

/// Every wish at every boundary: what was granted is kept, and what came too late is told so.
pub fn wished(course: Course) -> Tally {
    let sent = sent(course);
    let (first, kinds) = boundaries(course);
    let mut tally = spread(kinds.len(), |job, tally| wish(course, sent, (first + job) as u64, tally));
    tally.boundaries = kinds.len();
    tally
}

/// The released deb, and a candidate of the same project that has the same file in staging and goes elsewhere: perhaps one that
/// somebody holds back meanwhile.
pub fn shared(is_held: bool) -> Settings {
    let mut settings = Course::DebDeleted.settings(&[]);
    let mut other = settings.parcels.first().cloned().expect("a course has a package");
    other.version = "1.3.0-rc1".parse().expect("a version");
    other.key = "candidate".parse().expect("a key");
    settings.parcels.push(other);
    if is_held {
        settings.deeds = vec![(50 * HOUR, Deed::Hold(1))];
    }
    Settings { lasts: 140 * HOUR, ..settings }
}

/// The first wish that is granted and broken. In this thread alone: in no other is a bug planted.
pub fn broken_wish(course: Course) -> Option<Violation> {
    let sent = sent(course);
    let (first, kinds) = boundaries(course);
    (0..kinds.len()).find_map(|job| {
        let mut tally = Tally::default();
        wish(course, sent, (first + job) as u64, &mut tally);
        tally.failures.into_iter().next().map(|failure| failure.violation)
    })
}
