//! The limit belongs to the destination: many packages of several projects share its slots and its readings.

use std::thread;

use serde_json::{Value, json};
use slipway_tests::e2e::{Package, Release, World, deb, wait_until};

/// A staged package, and its job that nobody has played.
struct Ready {
    release: Release,
    key: String,
    package: Package,
    job: u64,
}

fn ready(release: &Release, key: &str) -> Ready {
    let mut built = deb(key, &release.version, 0);
    format!("{}-1", release.version.replace('-', "~")).clone_into(&mut built.version);
    let (package, job) = release.ready(&built);
    Ready { release: release.clone(), key: key.to_owned(), package, job }
}

fn with_transfers(test: &str, transfers: u32) -> World {
    World::start_with(test, |settings| settings.transfers = Some(transfers))
}

/// Two releases of two projects with so many packages each, all staged; the depot counts from here.
fn two_projects(world: &World, packages: usize) -> Vec<Ready> {
    let releases = [world.release("1.0.0"), world.release_of(world.pilot(), "7.0.0")];
    let all = releases.iter().flat_map(|release| {
        (0..packages).map(move |number| ready(release, &format!("{}-{number}", release.project.name)))
    });
    let all = all.collect();
    world.depot.reset_counts();
    all
}

fn play_all(world: &World, all: &[Ready]) {
    thread::scope(|scope| {
        for one in all {
            scope.spawn(|| world.gitlab.play(one.job, "mira"));
        }
    });
}

fn all_are_public_once(all: &[Ready]) {
    for one in all {
        one.release.wait_until_released(&one.key);
        one.release.is_public_once(&one.package);
    }
}

fn pushes_at_once(world: &World) -> u64 {
    world.depot.counts()["push"]["at_once_max"].as_u64().expect("somebody pushed")
}

#[test]
fn two_projects_together_never_push_more_at_a_time_than_their_destination_takes() {
    let world = with_transfers("slots-limit", 2);
    // Whoever came as a third would be told so.
    world.depot.fault(&json!({"on": "push", "effect": "busy", "above": 2, "status": 504, "times": "always"}));
    // Pushes take a while, so that they would overlap.
    world.depot.fault(&json!({"on": "push", "effect": "delay", "ms": 300, "times": "always"}));
    let all = two_projects(&world, 5);
    play_all(&world, &all);
    all_are_public_once(&all);
    assert_eq!(pushes_at_once(&world), 2, "both slots are used, and no third");
    assert_eq!(world.depot.count("push"), 10, "nothing was sent twice");
}

#[test]
fn a_destination_that_takes_less_than_configured_gets_fewer_at_a_time_and_every_package_once() {
    let world = with_transfers("slots-shrink", 4);
    world.depot.fault(&json!({"on": "push", "effect": "delay", "ms": 300, "times": "always"}));
    let all = two_projects(&world, 6);
    world.depot.fault(&json!({"on": "push", "effect": "busy", "above": 2, "status": 504, "times": "always"}));
    play_all(&world, &all);
    all_are_public_once(&all);
    assert!(pushes_at_once(&world) <= 4, "{}", world.depot.counts());
    let turned_away = world.depot.count("push") - 12;
    // The first four at once, of which two are too many; then fewer run, and now and then one more is tried.
    assert!(turned_away <= 6, "{turned_away} pushes were turned away");
}

#[test]
fn final_versions_go_before_candidates_and_those_before_nightlies() {
    let world = with_transfers("slots-order", 1);
    let blocker = ready(&world.release("0.9.0"), "blocker");
    // The worst order to come in, and in the end one that is to be the last.
    let versions = ["5.0.0-nightly.1", "4.0.0-rc1", "3.0.0", "4.0.0-rc2", "3.0.1", "5.0.0-nightly.2"];
    let all: Vec<Ready> = versions
        .iter()
        .enumerate()
        .map(|(number, version)| {
            let project = if number % 2 == 0 { world.tug() } else { world.pilot() };
            ready(&world.release_of(project, version), &format!("ship-{number}"))
        })
        .collect();
    let gate = world.depot.gate(&blocker.package.filename, 0);
    world.gitlab.play(blocker.job, "mira");
    gate.wait();
    for one in &all {
        world.depot.reset_counts();
        world.gitlab.play(one.job, "mira");
        // Who has looked at both places asks for a slot next.
        wait_until(&format!("{} has looked", one.key), || {
            let lists = &world.depot.counts()["list"];
            lists["requests"].as_u64() >= Some(2) && lists["at_once"] == 0
        });
        assert_eq!(one.release.target(&one.key)["state"], "approved", "{} waits its turn", one.key);
    }
    gate.open();
    all_are_public_once(&[blocker]);
    all_are_public_once(&all);
    let journal = world.depot.journal();
    let order: Vec<&str> = journal
        .iter()
        .filter(|entry| entry["action"] == "push" && entry["repo"] == world.depot.public.repository)
        .filter_map(|entry| entry["filename"].as_str())
        .map(|filename| filename.split('_').next().expect("a deb has a name"))
        .collect();
    assert_eq!(order, ["blocker", "ship-2", "ship-4", "ship-1", "ship-3", "ship-0", "ship-5"]);
}

#[test]
fn a_package_that_fails_for_good_delays_no_other() {
    let world = with_transfers("slots-failure", 1);
    let release = world.release("1.0.0");
    let bad = ready(&release, "bad");
    let others = ["one", "two", "three"].map(|key| ready(&release, key));
    let refusal = json!({"package_file": ["cannot be read"]});
    world.depot.fault(&json!({
        "on": "push", "effect": "fail", "status": 422, "body": refusal, "times": "always", "path": bad.package.filename,
    }));
    world.gitlab.play(bad.job, "mira");
    play_all(&world, &others);
    all_are_public_once(&others);
    let target = release.wait("bad", &["failed", "released", "conflict"]);
    assert_eq!(target["state"], "failed", "{target}");
    assert_eq!(target["problem"]["code"], "refused", "{target}");
    release.is_not_public(&bad.package.filename);
}

#[test]
fn an_account_that_is_cut_off_is_shown_on_every_package_that_waits_and_is_not_hammered() {
    let world = with_transfers("slots-cut-off", 2);
    let all = two_projects(&world, 4);
    world.depot.fault(&json!({"on": "push", "effect": "fail", "status": 429, "times": "always"}));
    play_all(&world, &all);
    for one in &all {
        let target = one.release.wait_for_target(&one.key, None, "shown as cut off", |target| {
            target["problem"]["code"] == "account-cut-off"
        });
        assert_eq!(target["state"], "approved", "{target}");
        assert_eq!(target["problem"]["retry"], "automatic", "{target}");
        assert!(target["problem"]["next"].as_str().is_some_and(|next| next.starts_with("Operator")), "{target}");
        assert_eq!(target["problem"]["evidence"]["status"], 429, "{target}");
        one.release.is_not_public(&one.package.filename);
    }
    let pushes = world.depot.count("push");
    assert!((1..=2).contains(&pushes), "one a slot, not one a package: {pushes}");
}

#[test]
fn many_packages_at_once_share_their_looks_and_a_changed_index_is_read_once() {
    let world = with_transfers("shared-readings", 12);
    let release = world.release("1.0.0");
    let all: Vec<Ready> = (0..12).map(|number| ready(&release, &format!("ship-{number}"))).collect();
    // All are accepted before the index changes, which it then does once.
    let held = world.depot.fault(&json!({"on": "index", "effect": "hold"}));
    // As far away as a server on the internet, so that those who ask meanwhile share the next answer.
    world.depot.fault(&json!({"on": "list", "effect": "delay", "ms": 100, "back_ms": 100, "times": "always"}));
    world.depot.reset_counts();
    play_all(&world, &all);
    let is_accepted = |one: &Ready| world.depot.pushes(&one.package.filename).len() == 1;
    wait_until("all are accepted", || all.iter().all(is_accepted));
    // Each looks at both places before, and at the public one after: 36 looks, of which at least half are shared.
    let lists = world.depot.count("list");
    eprintln!("{lists} list requests for {} packages", all.len());
    assert!(lists <= 18, "{lists} list requests");

    let before = world.depot.requests().len();
    world.depot.clear(held);
    all_are_released(&all);
    let requests = world.depot.requests();
    let read = |request: &&Value| {
        request["point"] == "index"
            && request["status"] == 200
            && request["path"].as_str().is_some_and(|path| path.contains("/main/binary-amd64/"))
    };
    let reads: Vec<&Value> = requests[before..].iter().filter(read).collect();
    assert_eq!(reads.len(), 1, "the changed index is read once for all twelve: {reads:?}");
    all_are_public_once(&all);
}

fn all_are_released(all: &[Ready]) {
    for one in all {
        one.release.wait_until_released(&one.key);
    }
}
