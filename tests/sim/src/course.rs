//! Courses: small worlds whose every boundary is known, and every fault at every boundary of them, alone and in pairs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fault::{Fault, Kind, Sort};
use crate::server::Delays;
use crate::world::{Parcel, Settings, Violation, Weather, World};

/// A small world to be sent through every fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// One deb, copied to one target.
    DebCopy,
    /// One rpm, copied to two targets.
    RpmCopy,
    /// One deb, moved by the server.
    DebMove,
}

impl Course {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DebCopy, Self::RpmCopy, Self::DebMove];

    /// The world, with these faults.
    pub fn settings(self, faults: &[(u64, Fault)]) -> Settings {
        let (key, filename, distros): (_, _, &[&str]) = match self {
            Self::DebCopy => ("jammy-amd64", "tug_1.2.0-1_amd64.deb", &["ubuntu/jammy"]),
            Self::RpmCopy => ("el-x86-64", "tug-1.2.0-1.x86_64.rpm", &["el/9", "ol/9"]),
            Self::DebMove => ("move-jammy", "tug_1.2.0-1_amd64.deb", &["ubuntu/jammy"]),
        };
        let parcel = Parcel {
            project: 1001,
            version: "1.2.0".parse().expect("a version"),
            key: key.parse().expect("a key"),
            filename: filename.parse().expect("a name"),
            bytes: b"what a person has approved".to_vec(),
            distros: distros.iter().map(|distro| (*distro).to_owned()).collect(),
            played_after: 10,
            asks: true,
            webhooks: vec![1200],
        };
        Settings {
            seed: 1,
            parcels: vec![parcel],
            weather: Weather::Named(faults.iter().copied().collect()),
            is_lively: false,
            per_page: 250,
            delays: Delays { listed: 0, hashed: 0, indexed: 3000 },
            is_traced: false,
            plays_max: 6,
        }
    }
}

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
    let world = World::new(settings);
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
    /// Those that broke a promise; not more than a few.
    pub failures: Vec<Failure>,
    /// How many did.
    pub failed: usize,
    /// What rare things were reached.
    pub points: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, course: Course, faults: &[(u64, Fault)], ran: Ran) {
        self.runs += 1;
        self.steps += ran.steps;
        for (point, count) in ran.points {
            *self.points.entry(point).or_default() += count;
        }
        if let Some(violation) = ran.violation {
            self.failed += 1;
            if self.failures.len() < 40 {
                self.failures.push(Failure { course, faults: faults.to_vec(), violation });
            }
        }
    }

    fn join(&mut self, other: Self) {
        self.runs += other.runs;
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
fn placed(
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

/// The same for pairs, where one of those that leave the same behind stands for the others.
fn placed_in_pairs(
    faults: &[Fault],
    kinds: &[Kind],
    first: usize,
    left_out: &mut BTreeMap<&'static str, usize>,
) -> Vec<(u64, Fault)> {
    let mut all = placed(faults, kinds, first, left_out);
    all.retain(|(number, fault)| {
        let same = kinds.get(*number as usize).and_then(|kind| fault.same_in_pairs(*kind));
        if let Some(reason) = same {
            *left_out.entry(reason).or_default() += 1;
        }
        same.is_none()
    });
    all
}

/// Runs jobs on both cores, each a list of combinations.
fn spread(jobs: usize, work: impl Fn(usize, &mut Tally) + Sync) -> Tally {
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
    let all = placed(&Fault::all(), &kinds, 0, &mut left_out);
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

/// Which ordered pairs are enumerated. All that a choice says are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// The first fault at the first boundary of each kind, the second at the next one of each kind after it.
    OfKinds,
    /// The same, and the first fault at the last boundary of each kind too.
    OfKindsAndEnds,
    /// The first fault at every boundary, the second at every one after it.
    All,
}

impl Pairs {
    /// The choice in words.
    pub fn rule(self) -> &'static str {
        match self {
            Self::OfKinds => "first at the first boundary of each kind, second at the next of each kind",
            Self::OfKindsAndEnds => {
                "first at the first and last boundary of each kind, second at the next of each kind"
            }
            Self::All => "first at every boundary, second at every later one",
        }
    }

    fn has_first(self, kinds: &[Kind], number: usize) -> bool {
        let Some(kind) = kinds.get(number) else { return false };
        let is_first = || !kinds.iter().take(number).any(|before| before == kind);
        let is_last = || !kinds.iter().skip(number + 1).any(|after| after == kind);
        match self {
            Self::OfKinds => is_first(),
            Self::OfKindsAndEnds => is_first() || is_last(),
            Self::All => true,
        }
    }

    fn has_second(self, kinds: &[Kind], first: usize, number: usize) -> bool {
        let Some(kind) = kinds.get(number) else { return false };
        self == Self::All || !kinds.iter().take(number).skip(first + 1).any(|before| before == kind)
    }
}

/// Ordered pairs: the second fault meets the path as the first one has bent it.
pub fn pairs(course: Course, which: Pairs) -> Tally {
    const ELSEWHERE: &str = "the rule names other boundaries of the same kind";
    let kinds = run(course.settings(&[])).kinds;
    let all = Fault::all();
    let mut left_out = BTreeMap::new();
    let mut firsts = placed_in_pairs(&all, &kinds, 0, &mut left_out);
    let before = firsts.len();
    firsts.retain(|(number, _)| which.has_first(&kinds, *number as usize));
    *left_out.entry("as a first fault: the rule names other boundaries of the same kind").or_default() +=
        before - firsts.len();
    let mut tally = spread(firsts.len(), |job, tally| {
        let Some(first) = firsts.get(job) else { return };
        let bent = run(course.settings(&[*first])).kinds;
        let at = first.0 as usize;
        let mut out = BTreeMap::new();
        let mut seconds = placed_in_pairs(&all, &bent, at + 1, &mut out);
        let before = seconds.len();
        seconds.retain(|(number, _)| which.has_second(&bent, at, *number as usize));
        *out.entry(ELSEWHERE).or_default() += before - seconds.len();
        for second in seconds {
            tally.add(course, &[*first, second], run(course.settings(&[*first, second])));
        }
        for (reason, count) in out {
            *tally.left_out.entry(reason).or_default() += count;
        }
    });
    for (reason, count) in left_out {
        *tally.left_out.entry(reason).or_default() += count;
    }
    tally.left_out.retain(|_, count| *count > 0);
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
