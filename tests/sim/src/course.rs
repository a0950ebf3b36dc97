//! Courses: small worlds whose every boundary is known, and every fault at every boundary of them, alone and in pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fault::{Fault, Kind, Sort};
use crate::registry::Manner;
use crate::rng::Rng;
use crate::server::Delays;
use crate::world::{Backups, Mark, Parcel, Settings, Violation, Weather, World};

/// Longer than any deletion takes: whoever follows one says when it is over.
const LASTS: i64 = 400 * 3_600_000;

/// A small world to be sent through every fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// One deb, copied to one target.
    DebCopy,
    /// One rpm, copied to two targets.
    RpmCopy,
    /// One deb, moved by the server.
    DebMove,
    /// One deb, copied, whose job asks for nothing and whose webhook is lost: it is found, and whoever listens is told.
    DebFound,
    /// One image, copied to one tag of a registry that checks what it is sent.
    ImageCopy,
    /// One image, mounted within a registry that takes every manifest.
    ImageMount,
    /// One deb that was released, and is deleted from staging days later: see [`crate::deletion`].
    DebDeleted,
    /// One rpm with two names in staging.
    RpmDeleted,
    /// One image.
    ImageDeleted,
}

impl Course {
    /// All that promote.
    pub const ALL: [Self; 6] =
        [Self::DebCopy, Self::RpmCopy, Self::DebMove, Self::DebFound, Self::ImageCopy, Self::ImageMount];

    /// Those whose pairs of faults are explored. What finds and tells rests on nothing that was begun before, so faults
    /// there do not build on each other.
    pub const PAIRED: [Self; 3] = [Self::DebCopy, Self::RpmCopy, Self::DebMove];

    /// Those that delete.
    pub const DELETED: [Self; 3] = [Self::DebDeleted, Self::RpmDeleted, Self::ImageDeleted];

    /// Whether it is about an image.
    pub fn has_images(self) -> bool {
        matches!(self, Self::ImageCopy | Self::ImageMount | Self::ImageDeleted)
    }

    /// Every fault that can happen in it.
    pub fn faults(self) -> Vec<Fault> {
        Fault::all_of(self.has_images())
    }

    /// The world, with these faults.
    pub fn settings(self, faults: &[(u64, Fault)]) -> Settings {
        let (key, filename, distros): (_, _, &[&str]) = match self {
            Self::DebCopy | Self::DebFound | Self::DebDeleted => {
                ("jammy-amd64", "tug_1.2.0-1_amd64.deb", &["ubuntu/jammy"])
            }
            Self::RpmCopy | Self::RpmDeleted => ("el-x86-64", "tug-1.2.0-1.x86_64.rpm", &["el/9", "ol/9"]),
            Self::DebMove => ("move-jammy", "tug_1.2.0-1_amd64.deb", &["ubuntu/jammy"]),
            Self::ImageCopy | Self::ImageDeleted => ("image", "images-staging.test/harbour-ci/tug", &[":1.2.0"]),
            Self::ImageMount => ("mount-image", "images.test/harbour-ci/buoy", &[":1.2.0"]),
        };
        let parcel = Parcel {
            project: 1001,
            version: "1.2.0".parse().expect("a version"),
            key: key.parse().expect("a key"),
            filename: filename.parse().expect("a name"),
            bytes: b"what a person has approved".to_vec(),
            distros: distros.iter().map(|distro| (*distro).to_owned()).collect(),
            played_after: 10,
            asks: self != Self::DebFound,
            webhooks: if self == Self::DebFound { vec![] } else { vec![1200] },
        };
        let deletes = Self::DELETED.contains(&self);
        Settings {
            seed: 1,
            parcels: vec![parcel],
            weather: Weather::Named(faults.iter().copied().collect()),
            is_lively: false,
            per_page: 250,
            delays: Delays { listed: 0, hashed: 0, indexed: 3000 },
            manner: Manner { checks_parts: self != Self::ImageMount, mounts: true, redirects: false, untags: true },
            is_traced: false,
            plays_max: if deletes { 0 } else { 6 },
            tells: self == Self::DebFound,
            keeps: deletes,
            deeds: vec![],
            backups: Backups::Made,
            lasts: if deletes { LASTS } else { 0 },
        }
    }
}

/// What the courses' faults must reach, and chance need not.
pub const POINTS: [&str; 1] = ["a move brought other bytes"];

/// What came of one run.
pub struct Ran {
    /// What its boundaries were.
    pub kinds: Vec<Kind>,
    /// The faults that happened.
    pub happened: Vec<(u64, Kind, Fault)>,
    /// How many boundaries it passed.
    pub steps: u64,
    /// The fingerprint of everything.
    pub trace: u64,
    /// The promise that it broke.
    pub violation: Option<Violation>,
    /// What rare things it reached.
    pub points: BTreeMap<&'static str, u64>,
}

/// Runs a world to its end.
pub fn run(settings: Settings) -> Ran {
    run_world(&World::new(settings))
}

/// Runs one that is made.
pub(crate) fn run_world(world: &Rc<World>) -> Ran {
    let violation = world.run();
    let ran = Ran {
        kinds: world.kinds.take(),
        happened: world.happened.take(),
        steps: world.boundaries(),
        trace: world.trace(),
        violation,
        points: world.points.take(),
    };
    world.end();
    ran
}

/// A combination of faults that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The course.
    pub course: Course,
    /// The faults, by the number of their boundary.
    pub faults: Vec<(u64, Fault)>,
    /// What was restored.
    pub restored: Backups,
    /// The promise.
    pub violation: Violation,
}

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Tally {
    /// The boundaries of the course without faults.
    pub boundaries: usize,
    /// How many combinations were run.
    pub runs: usize,
    /// How many steps they took.
    pub steps: u64,
    /// How many combinations there are that cannot be, by the reason.
    pub left_out: BTreeMap<&'static str, usize>,
    /// How many pairs were run.
    pub pairs: usize,
    /// How many of them came to where another run had been.
    pub joined: usize,
    /// How many pairs are others, since their first fault has left what another one left.
    pub equal: usize,
    /// How many are others, since nobody has looked between their second faults.
    pub unseen: usize,
    /// How many have their second fault in a round that the path has gone before.
    pub repeated: usize,
    /// Those that broke a promise; not more than a few.
    pub failures: Vec<Failure>,
    /// How many did.
    pub failed: usize,
    /// What rare things were reached.
    pub points: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, course: Course, faults: &[(u64, Fault)], ran: Ran) {
        self.runs += 1;
        self.steps += ran.steps;
        for (point, count) in ran.points {
            *self.points.entry(point).or_default() += count;
        }
        if let Some(violation) = ran.violation {
            self.fail(course, faults, violation);
        }
    }

    pub(crate) fn fail(&mut self, course: Course, faults: &[(u64, Fault)], violation: Violation) {
        self.failed += 1;
        if self.failures.len() < 40 {
            self.failures.push(Failure { course, faults: faults.to_vec(), restored: Backups::Made, violation });
        }
    }

    pub(crate) fn add_restore(&mut self, course: Course, restored: Backups, mut ran: Ran) {
        let broken = ran.violation.take();
        self.add(course, &[], ran);
        if let Some(violation) = broken {
            self.failed += 1;
            if self.failures.len() < 40 {
                self.failures.push(Failure { course, faults: vec![], restored, violation });
            }
        }
    }

    fn join(&mut self, other: Self) {
        self.runs += other.runs;
        self.pairs += other.pairs;
        self.joined += other.joined;
        self.equal += other.equal;
        self.unseen += other.unseen;
        self.repeated += other.repeated;
        self.steps += other.steps;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        for (reason, count) in other.left_out {
            *self.left_out.entry(reason).or_default() += count;
        }
        for (point, count) in other.points {
            *self.points.entry(point).or_default() += count;
        }
    }
}

/// Where each of the faults fits, from boundary `first` on; and what was left out, by the reason.
pub(crate) fn placed(
    faults: &[Fault],
    kinds: &[Kind],
    first: usize,
    left_out: &mut BTreeMap<&'static str, usize>,
) -> Vec<(u64, Fault)> {
    let mut placed = Vec::new();
    for (number, kind) in kinds.iter().enumerate().skip(first) {
        for fault in faults {
            if fault.fits(*kind) {
                placed.push((number as u64, *fault));
            } else {
                *left_out.entry(fault.why_not(*kind)).or_default() += 1;
            }
        }
    }
    placed
}

/// Runs jobs on both cores, each a list of combinations.
pub(crate) fn spread(jobs: usize, work: impl Fn(usize, &mut Tally) + Sync) -> Tally {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs {
                        break;
                    }
                    work(job, &mut tally);
                }
                all.lock().expect("nobody panics with it").join(tally);
            });
        }
    });
    all.into_inner().expect("nobody panics with it")
}

/// Every fault at every boundary that it fits, alone.
pub fn singles(course: Course) -> Tally {
    let kinds = run(course.settings(&[])).kinds;
    let mut left_out = BTreeMap::new();
    let all = placed(&course.faults(), &kinds, 0, &mut left_out);
    let chunk = 50;
    let mut tally = spread(all.len().div_ceil(chunk), |job, tally| {
        for fault in all.iter().skip(job * chunk).take(chunk) {
            tally.add(course, &[*fault], run(course.settings(&[*fault])));
        }
    });
    tally.left_out = left_out;
    tally.boundaries = kinds.len();
    tally
}

/// How often a path may go the same round, from rest to rest, until a second fault in it is one that was tried. Whoever
/// waits for a list that is behind asks again and again, for an hour.
const ROUNDS: u32 = 1;

/// Numbers that were met before, for several threads.
struct Seen([Mutex<BTreeSet<u64>>; 64]);

impl Seen {
    fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Whether it is met for the first time.
    fn is_new(&self, number: u64) -> bool {
        let shard = self.0.get((number >> 58) as usize).expect("six bits are below 64");
        shard.lock().expect("nobody panics with it").insert(number)
    }
}

/// What is tried at a kind of boundary, and how much is not, by the reason.
#[derive(Default)]
struct Tried {
    faults: Vec<Fault>,
    left_out: BTreeMap<&'static str, usize>,
}

impl Tried {
    fn at(course: Course, kind: Kind, stand_ins: bool) -> Self {
        let mut tried = Self::default();
        for fault in course.faults() {
            let stands = fault.same_in_pairs(kind).filter(|_| stand_ins);
            match (fault.fits(kind), stands) {
                (true, None) => tried.faults.push(fault),
                (true, Some(reason)) => *tried.left_out.entry(reason).or_default() += 1,
                (false, _) => *tried.left_out.entry(fault.why_not(kind)).or_default() += 1,
            }
        }
        tried
    }
}

/// What has been explored of a course.
///
/// A pair is run from the last moment before its first or second fault at which nothing ran: everything is had as it was
/// then. And it is run until it comes to where another run has been, with as many faults to come: what follows is the
/// same, so it was or is being judged. Whether it is there is told by [`World::fingerprint`].
struct Explored {
    course: Course,
    tried: BTreeMap<Kind, Tried>,
    /// Where one more fault is to come, and all that can come was or is being tried.
    paths: Seen,
    /// Where no more fault is to come, and what follows was or is being judged.
    ends: Seen,
}

impl Explored {
    fn new(course: Course, stand_ins: bool) -> Self {
        let tried = Kind::ALL.into_iter().map(|kind| (kind, Tried::at(course, kind, stand_ins))).collect();
        let explored = Self { course, tried, paths: Seen::new(), ends: Seen::new() };
        // What leads back to where no fault was is followed by each fault alone.
        let world = World::new(course.settings(&[]));
        while !world.ends_before_it_rests() {
            explored.paths.is_new(world.fingerprint(false));
        }
        world.end();
        explored
    }

    fn tried(&self, kind: Kind) -> &[Fault] {
        self.tried.get(&kind).map_or(&[], |tried| &tried.faults)
    }

    fn leaves_out(&self, kind: Kind, tally: &mut Tally) {
        for (reason, count) in self.tried.get(&kind).into_iter().flat_map(|tried| &tried.left_out) {
            *tally.left_out.entry(reason).or_default() += count;
        }
    }

    /// Every fault at this boundary, and each with every second one.
    fn explore(&self, number: u64, tally: &mut Tally) {
        let world = World::new(self.course.settings(&[]));
        // The last moment before it at which nothing ran.
        let before = loop {
            let mark = world.mark();
            let ended = world.ends_before_it_rests();
            if ended || world.boundaries() > number {
                break mark;
            }
            world.forget_mark(&mark);
        };
        let kind = world.kinds.borrow().get(number as usize).copied();
        if let Some(kind) = kind {
            self.leaves_out(kind, tally);
            for fault in self.tried(kind) {
                self.explore_first(&world, &before, (number, *fault), tally);
            }
        }
        world.unmark(&before);
        for (point, count) in world.points.take() {
            *tally.points.entry(point).or_default() += count;
        }
        world.end();
    }

    fn explore_first(&self, world: &Rc<World>, before: &Mark, first: (u64, Fault), tally: &mut Tally) {
        // Alone, to its end: it bends the path, and the path may lead to where another one was.
        world.go_back(before, &[first]);
        let begun = world.boundaries();
        let (mut rests, mut is_new) = (Vec::new(), true);
        while !world.ends_before_it_rests() {
            if is_new && world.boundaries() > first.0 {
                is_new = self.paths.is_new(world.fingerprint(false));
                rests.push(world.boundaries());
            }
        }
        let (kinds, looks) = (world.kinds.borrow().clone(), world.looks.borrow().clone());
        if is_new {
            rests.push(world.boundaries());
        }
        tally.runs += 1;
        tally.steps += world.boundaries() - begun;
        if let Some(violation) = world.violation() {
            return tally.fail(self.course, &[first], violation);
        }
        let explored = rests.last().copied().unwrap_or_default();
        for kind in kinds.iter().skip(first.0 as usize + 1) {
            self.leaves_out(*kind, tally);
        }
        tally.equal += kinds.iter().skip(explored as usize).map(|kind| self.tried(*kind).len()).sum::<usize>();
        let mut from = first.0 + 1;
        let mut mark: Option<Mark> = None;
        let mut rounds: BTreeMap<&[Kind], u32> = BTreeMap::new();
        for to in rests {
            let path = (0..).zip(&kinds).skip(from as usize).take((to - from) as usize);
            let round = rounds.entry(kinds.get(from as usize..to as usize).unwrap_or_default()).or_default();
            *round += 1;
            if *round > ROUNDS {
                tally.repeated += path.map(|(_, kind)| self.tried(*kind).len()).sum::<usize>();
                from = to;
                continue;
            }
            // On to the moment at which it begins, unless the first fault is in it.
            if from > first.0 + 1 {
                world.go_back(mark.as_ref().unwrap_or(before), &[first]);
                while world.boundaries() < from && !world.ends_before_it_rests() {}
                if let Some(mark) = &mark {
                    world.forget_mark(mark);
                }
                mark = Some(world.mark());
            }
            for (number, kind) in path {
                for fault in self.tried(*kind) {
                    if is_unseen(*fault, number as usize, &kinds, &looks) {
                        tally.unseen += 1;
                        continue;
                    }
                    let faults = [first, (number, *fault)];
                    world.go_back(mark.as_ref().unwrap_or(before), &faults);
                    self.judge(world, &faults, tally);
                }
            }
            from = to;
        }
        if let Some(mark) = mark {
            world.unmark(&mark);
        }
    }

    /// Runs on until the end, or until what follows is what has followed before.
    fn judge(&self, world: &Rc<World>, faults: &[(u64, Fault)], tally: &mut Tally) {
        let begun = world.boundaries();
        let last = faults.last().map_or(0, |(number, _)| *number);
        while !world.ends_before_it_rests() {
            if world.boundaries() > last && !self.ends.is_new(world.fingerprint(true)) {
                tally.joined += 1;
                break;
            }
        }
        tally.pairs += 1;
        tally.steps += world.boundaries() - begun;
        if let Some(violation) = world.violation() {
            tally.fail(self.course, faults, violation);
        }
    }
}

/// Whether a fault at a boundary is the same fault at the next one, because nobody looks at what it changes in between.
fn is_unseen(fault: Fault, number: usize, kinds: &[Kind], looks: &[(u64, u64)]) -> bool {
    let looked = looks.get(number).zip(looks.get(number + 1));
    let fits = kinds.get(number + 1).is_some_and(|next| fault.fits(*next) && fault.same_in_pairs(*next).is_none());
    fits && looked.is_some_and(|(before, after)| match fault {
        Fault::Somebody(_) => before.0 == after.0,
        Fault::Clock(_) => before.1 == after.1,
        _ => false,
    })
}

/// Every ordered pair: the second fault meets the path as the first one has bent it. Faults that others stand for are
/// left out, unless they are wanted.
pub fn pairs(course: Course, stand_ins: bool) -> Tally {
    let boundaries = run(course.settings(&[])).kinds.len();
    let explored = Explored::new(course, stand_ins);
    let mut tally = spread(boundaries, |job, tally| explored.explore(job as u64, tally));
    tally.boundaries = boundaries;
    tally
}

/// So many ordered pairs, picked by chance, each run whole: of courses that have too many pairs to be run each time.
pub fn some_pairs(course: Course, count: usize) -> Tally {
    let kinds = run(course.settings(&[])).kinds;
    let pick = |rng: &mut Rng, kinds: &[Kind], from: usize| {
        let number = from + rng.below(kinds.len().saturating_sub(from) as u64) as usize;
        let kind = *kinds.get(number)?;
        let fitting: Vec<Fault> = course.faults().into_iter().filter(|fault| fault.fits(kind)).collect();
        Some((number as u64, rng.pick(&fitting)?))
    };
    let mut tally = spread(count, |job, tally| {
        let mut rng = Rng::new(job as u64);
        let Some(first) = pick(&mut rng, &kinds, 0) else { return };
        let alone = run(course.settings(&[first]));
        // The second one meets the path as the first has bent it.
        let second = pick(&mut rng, &alone.kinds, first.0 as usize + 1);
        tally.add(course, &[first], alone);
        if let Some(second) = second {
            tally.pairs += 1;
            tally.add(course, &[first, second], run(course.settings(&[first, second])));
        }
    });
    tally.boundaries = kinds.len();
    tally
}

/// The boundaries of a course by their sort, for people.
pub fn sorts(course: Course) -> BTreeMap<Sort, usize> {
    let mut sorts = BTreeMap::new();
    for kind in run(course.settings(&[])).kinds {
        *sorts.entry(kind.sort()).or_default() += 1;
    }
    sorts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of a run, and where it was when nothing ran: the boundaries, and what can follow with and without a
    /// further fault.
    struct Told {
        kinds: Vec<Kind>,
        looks: Vec<(u64, u64)>,
        rests: Vec<(u64, u64, u64)>,
        end: u64,
        outcome: String,
    }

    fn rest_of(world: &Rc<World>) -> Told {
        let mut rests = Vec::new();
        while !world.ends_before_it_rests() {
            rests.push((world.boundaries(), world.fingerprint(false), world.fingerprint(true)));
        }
        assert_eq!(world.violation(), None, "{:?}", world.happened.borrow());
        let states: Vec<_> = (0..world.goals.len()).map(|goal| world.state(goal)).collect();
        let accepted = world.servers.each_ref().map(|server| server.borrow().accepted);
        let outcome = format!("{states:?} {accepted:?} {:?}", world.audit());
        let (kinds, looks) = (world.kinds.borrow().clone(), world.looks.borrow().clone());
        Told { kinds, looks, rests, end: world.fingerprint(true), outcome }
    }

    fn told(course: Course, faults: &[(u64, Fault)]) -> Told {
        let world = World::new(course.settings(faults));
        let told = rest_of(&world);
        world.end();
        told
    }

    fn any_fault(rng: &mut Rng, kinds: &[Kind], from: usize) -> Option<(u64, Fault)> {
        let number = from + rng.below(kinds.len().saturating_sub(from) as u64) as usize;
        let kind = kinds.get(number)?;
        let fitting: Vec<Fault> = Fault::all().into_iter().filter(|fault| fault.fits(*kind)).collect();
        Some((number as u64, rng.pick(&fitting)?))
    }

    #[test]
    fn a_run_that_goes_on_from_a_mark_ends_as_the_whole_one_does() {
        let mut rng = Rng::new(1);
        for course in Course::PAIRED {
            let kinds = told(course, &[]).kinds;
            for _ in 0..40 {
                let first = any_fault(&mut rng, &kinds, 0).expect("every boundary can go wrong");
                let alone = told(course, &[first]);
                let world = World::new(course.settings(&[first]));
                let passed = rng.below(3);
                for _ in 0..passed {
                    world.ends_before_it_rests();
                }
                let from = world.boundaries().max(first.0 + 1) as usize;
                let mark = world.mark();
                // Nested, as they are used, with what opens databases in between.
                world.ends_before_it_rests();
                let inner = world.mark();
                world.ends_before_it_rests();
                world.unmark(&inner);
                for _ in 0..6 {
                    let Some(second) = any_fault(&mut rng, &alone.kinds, from) else { continue };
                    let faults = [first, second];
                    world.go_back(&mark, &faults);
                    let (marked, whole) = (rest_of(&world), told(course, &faults));
                    assert_eq!((marked.end, marked.outcome), (whole.end, whole.outcome), "{course:?} {faults:?}");
                }
                world.unmark(&mark);
                world.end();
            }
        }
    }

    #[test]
    fn runs_that_come_to_the_same_go_the_same_way_on() {
        let mut rng = Rng::new(2);
        for course in Course::PAIRED {
            let (mut ends, mut met) = (BTreeMap::new(), 0);
            let kinds = told(course, &[]).kinds;
            for _ in 0..150 {
                let first = any_fault(&mut rng, &kinds, 0).expect("every boundary can go wrong");
                let alone = told(course, &[first]);
                // Neighbours, since it is they that meet.
                let Some((number, _)) = any_fault(&mut rng, &alone.kinds, first.0 as usize + 1) else { continue };
                for (number, kind) in (0..).zip(&alone.kinds).skip(number as usize).take(3) {
                    for fault in Fault::all().into_iter().filter(|fault| fault.fits(*kind)).take(8) {
                        let told = told(course, &[first, (number, fault)]);
                        for (boundaries, _, calm) in told.rests {
                            if boundaries <= number {
                                continue;
                            }
                            let end = (told.end, told.outcome.clone());
                            match ends.get(&calm) {
                                Some(other) => {
                                    met += 1;
                                    assert_eq!(other, &end, "{course:?} {first:?} {number} {fault:?}");
                                }
                                None => drop(ends.insert(calm, end)),
                            }
                        }
                    }
                }
            }
            assert!(met > 500, "only {met} runs of {course:?} have met");
        }
    }

    #[test]
    fn after_first_faults_that_lead_to_the_same_a_second_one_does_the_same() {
        let mut rng = Rng::new(3);
        for course in Course::PAIRED {
            let kinds = told(course, &[]).kinds;
            let (mut paths, mut met) = (BTreeMap::new(), 0);
            for _ in 0..700 {
                let first = any_fault(&mut rng, &kinds, 0).expect("every boundary can go wrong");
                let alone = told(course, &[first]);
                let rest = alone.rests.iter().find(|(boundaries, ..)| *boundaries > first.0);
                let Some((boundaries, path, _)) = rest.copied() else { continue };
                let Some((other, there)) = paths.insert(path, (first, boundaries)) else { continue };
                let Some(second) = any_fault(&mut rng, &alone.kinds, boundaries as usize) else { continue };
                met += 1;
                let here = told(course, &[first, second]);
                let there = told(course, &[other, (second.0 - boundaries + there, second.1)]);
                assert_eq!(
                    (here.end, here.outcome),
                    (there.end, there.outcome),
                    "{course:?} {first:?} {other:?} {second:?}"
                );
            }
            assert!(met > 50, "only {met} first faults of {course:?} have led to the same");
        }
    }

    #[test]
    fn a_fault_that_nobody_sees_before_the_next_boundary_is_the_same_there() {
        for course in Course::PAIRED {
            let Told { kinds, looks, .. } = told(course, &[]);
            let mut unseen = 0;
            for number in 0..kinds.len() {
                for fault in Fault::all().into_iter().filter(|fault| fault.fits(kinds[number])) {
                    if is_unseen(fault, number, &kinds, &looks) {
                        unseen += 1;
                        let (here, next) =
                            (told(course, &[(number as u64, fault)]), told(course, &[(number as u64 + 1, fault)]));
                        assert_eq!(
                            (here.kinds, here.outcome),
                            (next.kinds, next.outcome),
                            "{course:?} {number} {fault:?}"
                        );
                    }
                }
            }
            assert!(unseen > 20, "only {unseen} faults of {course:?}");
        }
    }

    #[test]
    fn a_fault_goes_the_way_of_the_one_of_its_class_that_stands_for_it() {
        let mut wrong = Vec::new();
        for course in Course::PAIRED {
            for (number, kind) in (0..).zip(told(course, &[]).kinds) {
                for fault in Fault::all().into_iter().filter(|fault| fault.fits(kind) && fault.class(kind) != *fault) {
                    let (here, stands) =
                        (told(course, &[(number, fault)]), told(course, &[(number, fault.class(kind))]));
                    if (&here.kinds, &here.outcome) != (&stands.kinds, &stands.outcome) {
                        wrong.push(format!("{kind:?} {fault:?} {:?}", fault.class(kind)));
                    }
                }
            }
        }
        wrong.sort();
        wrong.dedup();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
