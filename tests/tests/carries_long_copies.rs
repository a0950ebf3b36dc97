//! A copy that its own rate says is too long for an alarm's quarter of an hour is carried by the job that waits for it.

use std::process::Stdio;

use serde_json::json;
use slipway_tests::e2e::{JAMMY, Package, Process, Release, World, deb, wait_until};

/// At 110 KB a second these are 20 minutes.
const BALLAST_BYTES: usize = 128 * 1024 * 1024;
const BYTES_PER_SECOND: u64 = 110_000;

/// A package whose storage is slow for so many downloads, its job played by hand.
struct Slow {
    release: Release,
    package: Package,
    job: u64,
}

fn begin(world: &World, ballast: usize, slow_downloads: u32) -> Slow {
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", ballast));
    world.depot.fault(&json!({
        "on": "storage", "effect": "throttle", "bytes_per_second": BYTES_PER_SECOND, "times": slow_downloads,
    }));
    let job = world.gitlab.play(job, "mira");
    Slow { release, package, job }
}

/// The target waits to be carried, and says so in words.
#[track_caller]
fn waits_to_be_carried(release: &Release) {
    let target = release.wait_for_target("cargo", None, "waiting to be carried", |target| target["step"] == "carry");
    assert_eq!(target["state"], "releasing", "{target}");
    let problem = &target["problem"];
    assert_eq!(problem["code"], "too-slow", "{target}");
    assert_eq!(problem["public"], "none", "{target}");
    assert_eq!(problem["retry"], "automatic", "{target}");
    let what = problem["what"].as_str().expect("a sentence");
    assert!(what.contains(" kB a second") && what.contains("the edge has only 12 by itself"), "{what}");
    assert!(what.contains("Nothing of it is public"), "{what}");
    assert!(problem["next"].as_str().is_some_and(|next| next.contains("the release job carries it")), "{target}");
}

#[test]
fn a_copy_that_is_too_slow_for_the_edge_alone_is_carried_by_its_job_and_by_no_other() {
    let world = World::start("carry");
    // The edge's own try, and the beginning of the carried one, which goes on at full speed when it is told to.
    let Slow { release, package, job } = begin(&world, BALLAST_BYTES, 1);
    waits_to_be_carried(&release);
    release.is_not_public(&package.filename);
    assert_eq!(world.depot.count("storage"), 1, "it is not begun again and again");

    let other = release.session(world.gitlab.play(release.job_in("release/other", "other"), "jonas"));
    let asked = json!({"key": "cargo", "distro": JAMMY});
    let refused = release.api("POST", "/carries", Some(&other), &asked);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("only the one that did carries it"), "{}", refused.text());
    assert_eq!(release.api("POST", "/carries", None, &asked).status, 401);
    let session = release.session(job);
    let unknown = release.api("POST", "/carries", Some(&session), &json!({"key": "cargo", "distro": "ubuntu/noble"}));
    assert!(unknown.text().contains("refused"), "there is no such target: {}", unknown.text());

    // Quick enough for a carrier, and slow enough to be watched.
    let rest = json!({"on": "storage", "effect": "throttle", "bytes_per_second": 8_000_000, "times": "always"});
    world.depot.fault(&rest);
    let carried = release.carry(&session, "cargo", JAMMY);
    let more_than = |bytes: u64| {
        let target = release
            .wait_for_target("cargo", None, "further on its way", |target| target["bytes"].as_u64() > Some(bytes));
        target["bytes"].as_u64().expect("it was compared")
    };
    let first = more_than(10_000_000);
    let second = more_than(first);
    assert!(second < package.bytes.len() as u64, "{second}");
    assert!(!carried.has_ended());
    release.is_not_public(&package.filename);
    world.depot.heal();
    let lines = carried.lines();
    assert_eq!(lines.first(), Some(&json!("carrying")), "{lines:?}");
    assert_eq!(lines.last(), Some(&json!("ended")), "{lines:?}");
    release.wait_until_released("cargo");
    release.is_public_once(&package);
    assert_eq!(world.rows(&release, "cargo", "approved").len(), 1);
}

#[test]
fn a_carried_copy_that_is_cut_off_by_a_kill_leaves_nothing_public_and_can_be_carried_again() {
    let mut world = World::start("carry-killed");
    let Slow { release, package, job } = begin(&world, BALLAST_BYTES, 1);
    waits_to_be_carried(&release);
    let session = release.session(job);
    let gate = world.depot.gate(&package.filename, package.bytes.len() as u64 / 2);
    let carried = release.carry(&session, "cargo", JAMMY);
    gate.wait();
    world.kill(Process::Edge);
    wait_until("the job notices", || carried.has_ended());
    release.is_not_public(&package.filename);
    world.start_again(Process::Edge);
    release.is_not_public(&package.filename);
    gate.open();
    // Nobody carries it, it does not pretend to be copied, and nobody has seen yet what came of it.
    let target = release.wait_for_target("cargo", None, "waiting to be carried", |target| target["step"] == "carry");
    assert_eq!((&target["state"], &target["problem"]["code"]), (&json!("releasing"), &json!("too-slow")), "{target}");
    assert_eq!(target["problem"]["public"], "unknown", "{target}");

    // The job asks again, as long as it runs; or the edge has taken it up, which it can now that the storage is quick.
    wait_until("it is carried or released", || {
        if release.target("cargo")["state"] == "released" {
            return true;
        }
        let lines = release.carry(&session, "cargo", JAMMY).lines();
        lines.last() == Some(&json!("ended"))
    });
    release.wait_until_released("cargo");
    release.is_public_once(&package);
}

#[test]
fn while_nobody_carries_it_a_copy_is_not_public_and_stays_where_it_is() {
    let world = World::start("carry-nobody");
    let Slow { release, package, .. } = begin(&world, BALLAST_BYTES, u32::MAX);
    waits_to_be_carried(&release);
    // Another package goes its way meanwhile: what waits for its carrier holds no slot.
    world.depot.heal();
    let (other, job) = release.ready(&deb("other", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("other");
    release.is_public_once(&other);
    waits_to_be_carried(&release);
    release.is_not_public(&package.filename);
    assert_eq!(world.depot.count("storage"), 2, "the edge does not try what it cannot end");
}

#[test]
fn the_release_command_carries_its_own_copy_to_its_end_and_says_why() {
    let world = World::start("carry-command");
    let Slow { release, package, job } = begin(&world, BALLAST_BYTES, 1);
    let said = release.slipway(job, &["release", "cargo"]).ended_with(0).text;
    assert!(said.contains("takes longer than Slipway may copy by itself"), "{said}");
    assert!(said.contains("released: `cargo`"), "{said}");
    release.is_public_once(&package);
    assert_eq!(world.depot.count("storage"), 2, "the edge's own try, and the carried copy");
    assert_eq!(world.rows(&release, "cargo", "approved").len(), 1);
}

#[test]
fn a_package_whose_carrying_command_is_killed_is_public_once_when_the_job_runs_it_again() {
    let world = World::start("carry-command-killed");
    let Slow { release, package, job } = begin(&world, BALLAST_BYTES, 1);
    waits_to_be_carried(&release);
    let gate = world.depot.gate(&package.filename, package.bytes.len() as u64 / 2);
    let id_token = world.gitlab.id_token(job);
    let mut command = release.command(&id_token, &["release", "cargo"]);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Node is on the machine");
    gate.wait();
    running.kill().expect("it runs");
    running.wait().expect("it was started here");
    release.is_not_public(&package.filename);
    gate.open();

    release.slipway(job, &["release", "cargo"]).ended_with(0);
    release.is_public_once(&package);
}
