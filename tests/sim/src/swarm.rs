//! Chance: many packages, and for each seed another choice of faults and rates, so that rare meetings are not drowned by
//! frequent ones. What fails prints its seed, and is shrunk to what it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::course::{Ran, run};
use crate::fault::{Fault, OF_IMAGES, Outsider};
use crate::registry::Manner;
use crate::rng::Rng;
use crate::server::Delays;
use crate::world::{Backups, Deed, NEVER, Parcel, Settings, Violation, Weather};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// The worlds of seeds from here on have images, too. Those of the seeds before are what they were when there were none.
pub const WITH_IMAGES: u64 = 1 << 31;

/// The worlds of seeds from here on last for days: staging is looked at again and cleaned up, people hold releases, give them
/// up and build them anew, and databases are restored. Some have images.
pub const OF_DAYS: u64 = 3 << 30;

/// The world of a seed.
pub fn settings(seed: u64) -> Settings {
    let settings = packages(seed);
    match seed {
        OF_DAYS.. => of_days(settings),
        WITH_IMAGES.. => with_images(settings),
        _ => settings,
    }
}

/// A world that lasts for days.
fn of_days(mut settings: Settings) -> Settings {
    let mut rng = Rng::new(settings.seed ^ 0x6b);
    settings.parcels.truncate(1 + rng.below(4) as usize);
    if rng.chance(2500) {
        settings = with_images(settings);
    }
    let shared = share(&mut settings);
    let lasts = 5 * DAY + rng.below(2 * DAY as u64) as i64;
    let mut deeds = Vec::new();
    let at = |rng: &mut Rng| {
        // Early, while nothing rests yet; or when what was announced is marked, and deleted.
        let (from, hours) = rng.pick(&[(0, 1), (0, 6), (70, 12), (96, 14), (0, lasts / HOUR - 4)]).unwrap_or((0, 1));
        from * HOUR + rng.below((hours * HOUR).cast_unsigned()) as i64
    };
    for (index, parcel) in settings.parcels.iter_mut().enumerate() {
        match rng.below(10) {
            0..3 => parcel.played_after = NEVER,
            3..5 => parcel.played_after = at(&mut rng),
            _ => {}
        }
        if rng.chance(4000) {
            let held_at = at(&mut rng);
            deeds.push((held_at, Deed::Hold(index)));
            if rng.chance(7000) {
                deeds.push((held_at + rng.below(30 * HOUR as u64) as i64, Deed::Lift(index)));
            }
        }
        if rng.chance(1200) {
            deeds.push((at(&mut rng), Deed::Close(index)));
        }
        if rng.chance(3000) && !parcel.is_image() && !shared.contains(&index) {
            deeds.push((at(&mut rng), Deed::Replace(index)));
        }
        if rng.chance(4000) {
            deeds.push((at(&mut rng), Deed::Restage(index)));
        }
        if rng.chance(1500) {
            deeds.push((at(&mut rng), Deed::Deployed(index)));
        }
        if rng.chance(800) {
            let stopped_at = at(&mut rng);
            deeds.extend([
                (stopped_at, Deed::Stop(index)),
                (stopped_at + 1 + rng.below(20 * HOUR as u64) as i64, Deed::Start(index)),
            ]);
        }
        if rng.chance(2000) {
            deeds.push((at(&mut rng), Deed::Extend(index)));
        }
        if parcel.is_image() && rng.chance(6000) {
            parcel.bytes.extend_from_slice(b" on a base");
        }
    }
    settings.manner.untags = rng.chance(6000);
    if rng.chance(5000) {
        for _ in 0..=rng.below(3) {
            deeds.push((at(&mut rng), if rng.chance(5000) { Deed::Restore } else { Deed::RestoreOne(rng.bits()) }));
        }
    }
    let latest = lasts - 4 * HOUR;
    deeds.retain(|(at, deed)| *at < latest || matches!(deed, Deed::Start(_)));
    for (at, _) in &mut deeds {
        *at = (*at).min(latest);
    }
    deeds.sort_by_key(|(at, _)| *at);
    if let Weather::Swarm { until, .. } = &mut settings.weather {
        *until = HOUR + rng.below((lasts - 5 * HOUR).cast_unsigned()) as i64;
    }
    let backups = if deeds.iter().any(is_restore) { Backups::OfAnyCommit } else { Backups::Made };
    Settings { deeds, lasts, backups, keeps: true, tells: false, ..settings }
}

fn is_restore((_, deed): &(i64, Deed)) -> bool {
    matches!(deed, Deed::Restore | Deed::RestoreOne(_))
}

/// In some worlds another release, of another project perhaps, stages the very file that one has. It is public elsewhere. Which
/// packages share one.
fn share(settings: &mut Settings) -> Vec<usize> {
    let mut rng = Rng::new(settings.seed ^ 0x7c);
    let is_copied = |parcel: &&Parcel| !parcel.is_image() && parcel.key.as_str().starts_with("copy");
    let Some(first) = settings.parcels.iter().position(|parcel| is_copied(&parcel)) else { return vec![] };
    if !rng.chance(3000) {
        return vec![];
    }
    let mut other = settings.parcels[first].clone();
    let versions = ["1.2.0", "1.3.0-rc1", "1.4.0-nightly.7"];
    let of_others = versions.into_iter().filter(|version| *version != other.version.as_str()).collect::<Vec<_>>();
    other.version = rng.pick(&of_others).unwrap_or("1.2.0").parse().expect("a version");
    other.project = 1001 + rng.below(2);
    other.key = "copy-shared".parse().expect("a key");
    other.played_after = rng.below(60_000) as i64;
    settings.parcels.push(other);
    vec![first, settings.parcels.len() - 1]
}

/// A few packages of a world, and images beside them, some of them in one repository.
fn with_images(mut settings: Settings) -> Settings {
    let mut rng = Rng::new(settings.seed ^ 0x5a);
    settings.parcels.truncate(rng.below(3) as usize);
    for number in 0..=rng.below(4) {
        let mounts = rng.chance(4000);
        let (prefix, image) = if mounts {
            ("mount", "images.test/harbour-ci/buoy")
        } else {
            ("image", "images-staging.test/harbour-ci/tug")
        };
        let (minor, candidate) = (2 + rng.below(3), if rng.chance(2000) { "-rc1" } else { "" });
        let mut tags = vec![format!(":1.{minor}.{number}{candidate}")];
        tags.extend(rng.chance(2500).then(|| format!(":edition-{number}")));
        let both = rng.below(3);
        settings.parcels.push(Parcel {
            project: 1001 + rng.below(2),
            version: rng.pick(&["1.2.0", "1.3.0-rc1"]).unwrap_or("1.2.0").parse().expect("a version"),
            key: format!("{prefix}-{number}").parse().expect("a key"),
            filename: image.parse().expect("an image"),
            bytes: format!("image {number}").into_bytes(),
            distros: tags,
            played_after: rng.below(60_000) as i64,
            asks: both != 1,
            webhooks: if both == 0 { vec![] } else { vec![rng.below(6000) as i64] },
        });
    }
    let (checks_parts, mounts, redirects) = (rng.chance(6000), rng.chance(7000), rng.chance(3000));
    settings.manner = Manner { checks_parts, mounts, redirects, untags: true };
    if let Weather::Swarm { rates, .. } = &mut settings.weather
        && !rates.is_empty()
    {
        for fault in OF_IMAGES.into_iter().filter(|_| rng.chance(4000)).collect::<Vec<_>>() {
            rates.push((fault, 1 + rng.below(if matches!(fault, Fault::Somebody(_)) { 15 } else { 300 })));
        }
    }
    settings
}

fn packages(seed: u64) -> Settings {
    let mut rng = Rng::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 0xa5);
    let mut parcels = Vec::new();
    let count = 1 + rng.below(9);
    for number in 0..count {
        let project = 1001 + rng.below(2);
        let version = rng.pick(&["1.2.0", "1.2.0", "1.3.0-rc1", "1.4.0-nightly.7"]).unwrap_or("1.2.0");
        let is_rpm = rng.chance(4000);
        let moves = rng.chance(2500);
        let debs = ["ubuntu/jammy", "ubuntu/noble", "debian/bookworm", "raspbian/bookworm"];
        let rpms = ["el/9", "ol/9", "scientific/7"];
        let distros: Vec<String> = if is_rpm {
            let most = 1 + rng.below(3) as usize;
            rpms.iter().take(most).map(|distro| (*distro).to_owned()).collect()
        } else {
            vec![rng.pick(&debs).unwrap_or("ubuntu/jammy").to_owned()]
        };
        let architecture = if distros.iter().any(|distro| distro.starts_with("raspbian")) { "armhf" } else { "amd64" };
        // Names differ, but not always by much: some are parts of others.
        let name = if rng.chance(5000) { format!("tug{number}") } else { format!("harbour-tug{number}") };
        let filename = if is_rpm {
            format!("{name}-{project}-1.x86_64.rpm")
        } else {
            format!("{name}_{project}-1_{architecture}.deb")
        };
        let prefix = if moves { "move" } else { "copy" };
        let both = rng.below(3);
        let webhooks = if both == 0 { vec![] } else { (0..=rng.below(4)).map(|_| rng.below(6000) as i64).collect() };
        parcels.push(Parcel {
            project,
            version: version.parse().expect("a version"),
            key: format!("{prefix}-{number}").parse().expect("a key"),
            filename: filename.parse().expect("a name"),
            bytes: format!("the bytes of {number} as they were approved").into_bytes(),
            distros,
            played_after: rng.below(60_000) as i64,
            asks: both != 1,
            webhooks,
        });
    }
    // A quarter of the faults, each at a rate of its own; some seeds have none at all.
    let mut rates = Vec::new();
    let is_calm = rng.chance(300);
    for fault in Fault::all() {
        if is_calm || !rng.chance(2500) {
            continue;
        }
        let most = match fault {
            Fault::KilledBefore
            | Fault::KilledSent
            | Fault::KilledApplied
            | Fault::KilledAnswered
            | Fault::KilledCommitted => 60,
            Fault::Clock(_) => 10,
            Fault::Somebody(Outsider::DeletesStaged | Outsider::ReplacesStaged | Outsider::PublishesOther) => 8,
            Fault::Somebody(_) | Fault::Status(_) => 15,
            _ => 300,
        };
        rates.push((fault, 1 + rng.below(most)));
    }
    let pick = |rng: &mut Rng, from: &[i64]| rng.pick(from).unwrap_or(0);
    let delays = Delays {
        listed: pick(&mut rng, &[0, 0, 3000, 40_000]),
        hashed: pick(&mut rng, &[0, 0, 2000, 90_000]),
        indexed: pick(&mut rng, &[0, 3000, 30_000, 600_000]),
    };
    Settings {
        seed,
        parcels,
        weather: Weather::Swarm { rates, until: 1_200_000 + rng.below(7_200_000) as i64, without: BTreeSet::new() },
        is_lively: true,
        per_page: rng.pick(&[1, 2, 250]).unwrap_or(250),
        delays,
        manner: Manner { checks_parts: true, mounts: true, redirects: false, untags: true },
        is_traced: false,
        plays_max: 8,
        tells: rng.chance(2500),
        keeps: false,
        deeds: vec![],
        backups: Backups::Made,
        lasts: 0,
    }
}

/// Runs a seed.
pub fn run_seed(seed: u64) -> Ran {
    run(settings(seed))
}

/// What chance has come upon.
#[derive(Debug, Default)]
pub struct Walked {
    /// How many seeds were run.
    pub seeds: u64,
    /// How many steps they took.
    pub steps: u64,
    /// Those that broke a promise, the first ones.
    pub failures: Vec<(u64, Violation)>,
    /// What rare things were reached, and how often.
    pub points: BTreeMap<&'static str, u64>,
}

/// What must be reached, or nothing is proved of it. A move that brings other bytes is too rare for chance: the courses
/// reach it.
pub const POINTS: [&str; 32] = [
    "a conflict was named",
    "a cut-off account was shown",
    "a file lost in a move was named",
    "a job carried a copy",
    "a missing file was named",
    "a move of other bytes was named",
    "a package waited for its turn",
    "a person played a job again",
    "a slow copy waited for a job",
    "a token was refused",
    "an account called somebody who waits",
    "somebody who stood by was lent a slot",
    "an account was cut off",
    "an act was done, and denied",
    "an alarm that never came",
    "an event was told again",
    "an index was given up",
    "an index was just being replaced",
    "an order was handed over again",
    "changed staged bytes were named",
    "nothing went wrong at all",
    "several packages shared one reading",
    "somebody else acted",
    "something arrived late",
    "the clock jumped",
    "the process died",
    "the process died while it carried bytes",
    "two jobs' words made one approval",
    "two targets were released under one approval",
    "what was public already was called released",
    "a commit failed",
    "a second approval was given after a failure",
];

/// What must be reached where there are images.
pub const IMAGE_POINTS: [&str; 8] = [
    "a conflict was named",
    "a floating tag was moved",
    "a missing file was named",
    "a registry collected what no tag leads to",
    "an act was done, and denied",
    "an image was released",
    "the process died while it carried bytes",
    "two targets were released under one approval",
];

/// What must be reached in worlds that last for days.
pub const DAYS_POINTS: [&str; 22] = [
    "a build has staged other bytes",
    "a database was restored",
    "a deletion was announced",
    "a deletion was marked",
    "a deletion was over, or taken back",
    "a database was restored once more",
    "a hold came too late",
    "a missing file was named",
    "a part was to be deleted that another image has, too",
    "a record forgot an approval",
    "a record forgot how an act of its ended",
    "a record forgot that an act began",
    "a record forgot the end of a deletion that it has marked",
    "a restore went back to a package's commit",
    "a restore went back to a record's commit",
    "a restore went back to an account's commit",
    "a staged image was deleted",
    "a staged package was deleted",
    "the clock jumped",
    "what was approved was not replaced",
    "what was given up stayed so",
    "what was gone was staged again",
];

impl Walked {
    /// Adds what another walk has come upon.
    pub fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.failures.extend(other.failures);
        for (point, count) in other.points {
            *self.points.entry(point).or_default() += count;
        }
    }
}

/// Runs seed after seed on all cores, for at least so many steps. A run that has begun is ended.
pub fn walk(first: u64, steps: u64) -> Walked {
    let (next, taken, all) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new(Walked::default()));
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut own = Walked::default();
                while taken.load(Ordering::Relaxed) < steps {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let ran = run_seed(seed);
                    taken.fetch_add(ran.steps, Ordering::Relaxed);
                    own.seeds += 1;
                    own.steps += ran.steps;
                    for (point, count) in ran.points {
                        *own.points.entry(point).or_default() += count;
                    }
                    if let Some(violation) = ran.violation {
                        own.failures.push((seed, violation));
                        if own.failures.len() > 20 {
                            break;
                        }
                    }
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).add(own);
            });
        }
    });
    let mut walked = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    walked.failures.sort_by_key(|(seed, _)| *seed);
    walked
}

/// What a failing seed takes, at the least that was found.
pub struct Shrunk {
    /// The world.
    pub settings: Settings,
    /// The promise that it breaks.
    pub violation: Violation,
}

fn named(settings: &Settings, faults: &BTreeMap<u64, Fault>) -> Settings {
    Settings { weather: Weather::Named(faults.clone()), ..settings.clone() }
}

/// Leaves out faults and packages for as long as the same promise is broken.
pub fn shrink(seed: u64) -> Option<Shrunk> {
    let settings = settings(seed);
    let ran = run(settings.clone());
    let broken = ran.violation?;
    let breaks = |settings: &Settings| {
        run(settings.clone()).violation.filter(|violation| violation.invariant == broken.invariant)
    };
    let mut faults: BTreeMap<u64, Fault> = ran.happened.iter().map(|(number, _, fault)| (*number, *fault)).collect();
    let mut best = Shrunk { settings: named(&settings, &faults), violation: broken.clone() };
    breaks(&best.settings)?;
    let mut tries = 0;
    // Packages first: each takes many faults along.
    let mut index = 0;
    while index < best.settings.parcels.len() && best.settings.parcels.len() > 1 && tries < 400 {
        let mut fewer = best.settings.clone();
        fewer.parcels.remove(index);
        let deeds = fewer.deeds.iter().filter_map(|(at, deed)| Some((*at, deed.without(index)?)));
        fewer.deeds = deeds.collect();
        tries += 1;
        match breaks(&fewer) {
            Some(violation) => best = Shrunk { settings: fewer, violation },
            None => index += 1,
        }
    }
    let mut index = 0;
    while index < best.settings.deeds.len() {
        let mut fewer = best.settings.clone();
        fewer.deeds.remove(index);
        tries += 1;
        match breaks(&fewer) {
            Some(violation) => best = Shrunk { settings: fewer, violation },
            None => index += 1,
        }
    }
    // Then faults, by halves, quarters, and one by one.
    let mut size = faults.len().div_ceil(2).max(1);
    loop {
        let numbers: Vec<u64> = faults.keys().copied().collect();
        let mut shrunk = false;
        for chunk in numbers.chunks(size) {
            let mut fewer = faults.clone();
            fewer.retain(|number, _| !chunk.contains(number));
            let settings = named(&best.settings, &fewer);
            tries += 1;
            if let Some(violation) = breaks(&settings) {
                best = Shrunk { settings, violation };
                faults = fewer;
                shrunk = true;
            }
        }
        if tries > 3000 || size == 1 && !shrunk {
            break;
        }
        if !shrunk {
            size = size.div_ceil(2).max(1);
        }
    }
    Some(best)
}

/// A scenario in words.
pub fn told(settings: &Settings) -> String {
    let mut text = format!("seed {}, {} a page, {:?}\n", settings.seed, settings.per_page, settings.delays);
    for parcel in &settings.parcels {
        let Parcel { project, version, key, filename, distros, played_after, asks, webhooks, .. } = parcel;
        let _ = writeln!(
            text,
            "  {project} {version} {key}: {filename} for {}, played after {played_after} ms, asks: {asks}, webhooks at {webhooks:?}",
            distros.join(" ")
        );
    }
    for (at, deed) in &settings.deeds {
        let _ = writeln!(text, "  after {at} ms: {deed:?}");
    }
    match &settings.weather {
        Weather::Named(faults) => {
            for (number, fault) in faults {
                let _ = writeln!(text, "  boundary {number}: {fault:?}");
            }
        }
        Weather::Swarm { rates, until, .. } => {
            let _ = writeln!(text, "  for {until} ms, in ten thousand: {rates:?}");
        }
    }
    text
}
