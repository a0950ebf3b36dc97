//! workerd is killed at every request that a promotion makes: when it has arrived and nothing was done, when it was done
//! and nobody was told, and when the answer has just left. However it was, the package is out once, with its own bytes.
//!
//! The requests are those of a run without faults. What the edge's own objects say to each other lies between them.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]
#![allow(clippy::disallowed_methods, reason = "a test of kills reads its own clock, to end a batch")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway_tests::e2e::{JAMMY, Package, Process, Release, Rpm, World, deb, rpm, wait_until};

/// Where in a request's life the kill falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Position {
    /// It has arrived; nothing is done.
    Arrived,
    /// It is done; the answer is held back.
    Done,
    /// Its answer has left.
    Answered,
}

/// The k-th request of a promotion, the first being 1, and where in its life.
type Boundary = (u64, Position);

/// Longer than any test: what is held back is let go by the kill.
const HELD_MS: u64 = 3_600_000;

/// A killed promotion is taken up again 20 s after it began, and would then make requests among those of others.
const BATCH: Duration = Duration::from_secs(14);

/// How many worlds at a time.
const WORLDS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deb,
    Rpm,
}

impl Kind {
    fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Deb => &[JAMMY],
            Self::Rpm => &["el/9", "ol/9"],
        }
    }

    fn stage(self, release: &Release, key: &str) -> (Package, u64) {
        match self {
            Self::Deb => release.ready(&deb(key, "", 100_000)),
            Self::Rpm => release.ready_rpm(&rpm(key, "What is in it.\n"), self.targets()),
        }
    }
}

/// So many requests have arrived at the depot, and so many of them are not done.
fn seen(world: &World) -> (u64, u64) {
    let counts = world.depot.counts();
    let sum = |member: &str| counts.as_object().expect("counts").values().filter_map(|of| of[member].as_u64()).sum();
    (sum("requests"), sum("at_once"))
}

/// What a promotion asks of the depot when nothing happens to it.
fn requests_of(world: &World, release: &Release, kind: Kind) -> Vec<String> {
    let key = format!("calm-{kind:?}").to_lowercase();
    let (package, job) = kind.stage(release, &key);
    let before = world.depot.requests().len();
    world.gitlab.play(job, "mira");
    for distro in kind.targets() {
        release.wait_until_released_in(&key, distro);
    }
    let requests = world.depot.requests();
    for distro in kind.targets() {
        release.is_public_once_in(&package, distro);
    }
    requests[before..].iter().map(|request| request["point"].as_str().unwrap_or("none").to_owned()).collect()
}

/// Plays the job and kills workerd at the boundary. `false` when the promotion ended before it came to it: two targets
/// that go on at once do not always ask the same number of times.
fn kill_at(world: &mut World, release: &Release, key: &str, job: u64, (number, position): Boundary) -> bool {
    let depot = world.depot.clone();
    depot.reset_counts();
    // A push that was held when its sender was killed is never noticed to be nobody's: it stays here to the end.
    let (_, stale) = seen(world);
    let before = depot.requests().len();
    let held = match position {
        Position::Arrived => json!({"on": "any", "effect": "delay", "ms": HELD_MS, "skip": number - 1}),
        Position::Done => json!({"on": "any", "effect": "delay", "back_ms": HELD_MS, "skip": number - 1}),
        Position::Answered => Value::Null,
    };
    if !held.is_null() {
        depot.fault(&held);
    }
    world.gitlab.play(job, "mira");
    let mut is_there = false;
    wait_until(&format!("{key} is at request {number}"), || {
        is_there = match position {
            Position::Arrived => seen(world).0 >= number,
            Position::Done => matches!(seen(world), (arrived, open) if arrived >= number && open <= stale),
            Position::Answered => (depot.requests().len() - before) as u64 >= number,
        };
        is_there || release.targets(key).as_array().expect("targets").iter().all(|one| one["state"] == "released")
    });
    world.kill(Process::Edge);
    depot.heal();
    world.start_again(Process::Edge);
    is_there
}

#[test]
fn a_kill_of_workerd_at_any_request_of_a_promotion_ends_in_one_push_of_the_right_bytes_for_each_target() {
    let mut kinds = vec![Kind::Deb];
    if Rpm::can_be_built_here() {
        kinds.push(Kind::Rpm);
    } else {
        println!("SKIPPED in part: rpms need `rpmbuild`, which is not installed");
    }
    let mut boundaries: VecDeque<(Kind, Boundary)> = VecDeque::new();
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    {
        let world = World::start("kills-calm");
        let release = world.release("1.0.0");
        for kind in kinds {
            let requests = requests_of(&world, &release, kind);
            println!("{kind:?}: {}", requests.join(" "));
            for point in ["list", "download", "storage", "push", "index"] {
                assert!(requests.iter().any(|one| one == point), "a promotion of a {kind:?} asks for {point}");
            }
            for number in 1..=requests.len() as u64 {
                for position in [Position::Arrived, Position::Done, Position::Answered] {
                    boundaries.push_back((kind, (number, position)));
                }
            }
            asked.insert(format!("{kind:?}"), requests);
        }
    }
    let all = boundaries.len();
    let (queue, hit) = (Mutex::new(boundaries), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for number in 0..WORLDS {
            let (queue, hit) = (&queue, &hit);
            scope.spawn(move || {
                let mut world = World::start(&format!("kills-every-{number}"));
                let release = world.release("1.0.0");
                loop {
                    let mut killed = Vec::new();
                    let mut since = None;
                    while since.is_none_or(|since: Instant| since.elapsed() < BATCH) {
                        let next = queue.lock().expect("no other world failed").pop_front();
                        let Some((kind, boundary)) = next else { break };
                        let key = format!("{kind:?}-{}-{:?}", boundary.0, boundary.1).to_lowercase();
                        let (package, job) = kind.stage(&release, &key);
                        if kill_at(&mut world, &release, &key, job, boundary) {
                            hit.lock().expect("no other world failed").insert((format!("{kind:?}"), boundary));
                        }
                        since.get_or_insert_with(Instant::now);
                        killed.push((kind, key, package));
                    }
                    if killed.is_empty() {
                        break;
                    }
                    for (kind, key, package) in killed {
                        for distro in kind.targets() {
                            release.wait_until_released_in(&key, distro);
                            release.is_public_once_in(&package, distro);
                        }
                        let staged = world.depot.listed(&world.depot.staging, &package.filename);
                        assert_eq!(
                            staged,
                            vec![package.sha256.clone(); kind.targets().len()],
                            "{key}: staging is as it was"
                        );
                        assert_eq!(world.rows(&release, &key, "approved").len(), 1, "one approval of {key}");
                    }
                }
            });
        }
    });
    let hit = hit.into_inner().expect("no world failed");
    println!("{} of {all} boundaries were hit", hit.len());
    // Up to the last push every request is made each time; how often the index is asked for afterwards varies.
    for (kind, requests) in asked {
        let last_push = requests.iter().rposition(|one| one == "push").expect("it pushes") as u64 + 1;
        for number in 1..=last_push {
            for position in [Position::Arrived, Position::Done, Position::Answered] {
                assert!(hit.contains(&(kind.clone(), (number, position))), "{kind}: request {number} {position:?}");
            }
        }
    }
}
