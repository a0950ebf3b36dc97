//! Routes that move: the package server does it, by file name. What can be wrong then is seen and named at once.

use serde_json::json;
use slipway_tests::e2e::{JAMMY, Package, Process, Release, World, deb, sha256, wait_until};

const ROUTE: &str = r#"
[[routes]]
staging = { place = "staging", repository = "harbour-ci/pre-release" }
public = { place = "public", repository = "harbour/stable" }
how = "move"
"#;

/// The user whom the edge releases as may take packages out of staging.
fn start(test: &str) -> (World, Release) {
    let world = World::start_with(test, |settings| {
        settings.routes = Some(ROUTE.to_owned());
        let repos = json!([
            {"owner": "harbour-ci", "name": "pre-release", "private": true, "collaborators": ["harbour"]},
            {"owner": "harbour", "name": "stable", "private": false},
        ]);
        settings.more_depot_seed.insert("repos".to_owned(), repos);
    });
    let release = world.release("1.0.0");
    (world, release)
}

/// The promotions that the depot accepted of a file: the digests of what was moved.
fn moved(world: &World, filename: &str) -> Vec<String> {
    let journal = world.depot.journal();
    let entries = journal.iter().filter(|entry| entry["action"] == "promote" && entry["filename"] == filename);
    entries.map(|entry| entry["sha256"].as_str().expect("a digest").to_owned()).collect()
}

/// Moved once with its own bytes, served, and nothing was pushed.
#[track_caller]
fn was_moved_once(world: &World, package: &Package) {
    assert_eq!(moved(world, &package.filename), [package.sha256.as_str()], "promotions of {}", package.filename);
    assert!(world.depot.pushes(&package.filename).is_empty(), "nothing was pushed");
    let served = world.depot.served(JAMMY, &package.filename);
    assert_eq!(served.as_deref().map(sha256), Some(package.sha256.clone()), "the index leads to the staged bytes");
    assert!(world.depot.listed(&world.depot.staging, &package.filename).is_empty(), "staging has it no more");
}

#[test]
fn a_moved_package_is_released_and_staging_has_it_no_more() {
    let (world, release) = start("move");
    let (package, job) = release.ready(&deb("tug", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("tug");
    was_moved_once(&world, &package);
    let tried = release.attempts("tug", JAMMY);
    assert!(tried.iter().any(|attempt| attempt["act"] == "move" && attempt["ended"] == "accepted"), "{tried:?}");
}

#[test]
fn a_move_that_is_done_and_then_answered_504_is_not_made_again() {
    let (world, release) = start("move-lost-answer");
    let (package, job) = release.ready(&deb("tug", "", 0));
    world.depot.fault(&json!({"on": "promote", "effect": "do-then-fail", "status": 504}));
    world.gitlab.play(job, "mira");
    release.wait_until_released("tug");
    was_moved_once(&world, &package);
    assert_eq!(world.depot.count("promote"), 1, "it is looked at, not repeated");
}

#[test]
fn a_move_that_was_lost_on_the_way_is_made_after_a_look() {
    let (world, release) = start("move-lost");
    let (package, job) = release.ready(&deb("tug", "", 0));
    world.depot.fault(&json!({"on": "promote", "effect": "fail", "status": 502}));
    world.gitlab.play(job, "mira");
    release.wait_until_released("tug");
    was_moved_once(&world, &package);
    assert_eq!(world.depot.count("promote"), 2);
}

#[test]
fn a_file_that_has_left_one_place_and_is_not_in_the_other_is_shown_on_its_way_and_then_released() {
    let (mut world, release) = start("move-half-way");
    let (package, job) = release.ready(&deb("tug", "", 0));
    world.depot.fault(&json!({"on": "promote", "effect": "half-way"}));
    world.depot.fault(&json!({"on": "promote", "effect": "do-then-fail", "status": 504}));
    world.gitlab.play(job, "mira");
    let is_moving = |release: &Release| {
        // A later look, not the beginning of the act.
        release.wait_for_target("tug", None, "on its way", |target| {
            target["step"] == "move" && target["state"] == "releasing" && target["attempts"].as_u64() >= Some(1)
        })
    };
    let target = is_moving(&release);
    assert!(target["problem"].is_null(), "this is no trouble yet: {target}");
    assert!(world.depot.served(JAMMY, &package.filename).is_none());
    assert!(world.depot.listed(&world.depot.staging, &package.filename).is_empty());

    // Whoever takes it up after a kill must not call it missing.
    world.kill(Process::Edge);
    world.start_again(Process::Edge);
    let lists = world.depot.count("list");
    wait_until("it is looked at again", || world.depot.count("list") > lists + 2);
    let target = release.target("tug");
    assert!(target["state"] == "releasing" && target["step"] == "move", "it knows what was begun: {target}");

    world.depot.heal();
    release.wait_until_released("tug");
    was_moved_once(&world, &package);
    assert_eq!(world.depot.count("promote"), 1);
}

#[test]
fn staged_bytes_that_are_swapped_between_the_look_and_the_move_are_named_at_once() {
    let (mut world, release) = start("move-swapped");
    let (package, job) = release.ready(&deb("tug", "", 0));
    // The move has left the edge and has not reached the server: what is approved was seen before.
    world.depot.fault(&json!({"on": "promote", "effect": "delay", "ms": 3_000}));
    world.gitlab.play(job, "mira");
    wait_until("the move is on its way", || world.depot.count("promote") == 1);
    let mut other = package.bytes.clone();
    // ar(5): 8 bytes of magic, then the first member's name in 16, then its time in decimal.
    other[24] = b'1';
    let staging = &world.depot.staging;
    world.depot.delete(staging, JAMMY, &package.filename).ok();
    world.depot.push(staging, &staging.repository, JAMMY, &package.filename, &other).ok();

    let target = release.wait("tug", &["conflict", "released", "failed", "missing"]);
    assert_eq!(target["state"], "conflict", "{target}");
    let problem = &target["problem"];
    assert_eq!(problem["code"], "moved-other-bytes", "{target}");
    assert_eq!(problem["public"], "done", "{target}");
    let what = problem["what"].as_str().expect("a sentence");
    assert!(what.contains(&package.sha256) && what.contains(&sha256(&other)), "both digests are shown: {what}");
    assert_eq!(moved(&world, &package.filename), [sha256(&other)]);
    // Whoever judges from outside names them, too: the server has moved by its name what nobody approved.
    let rules: Vec<&str> = world.findings().iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["unspoken", "unapproved"]);
    world.is_not_audited("wrong bytes are public, which is what this test is about");
}

#[test]
fn a_name_that_is_public_with_other_bytes_is_a_conflict_and_nothing_is_moved() {
    let (world, release) = start("move-duplicate");
    let (package, job) = release.ready(&deb("tug", "", 0));
    let mut other = package.bytes.clone();
    other[24] = b'1';
    // It is published while the move is on its way, so that only the server's refusal is in between.
    world.depot.fault(&json!({"on": "promote", "effect": "delay", "ms": 3_000}));
    world.gitlab.play(job, "mira");
    wait_until("the move is on its way", || world.depot.count("promote") == 1);
    world.depot.publish(JAMMY, &package.filename, &other);

    let target = release.wait("tug", &["conflict", "released", "failed", "missing"]);
    assert_eq!(target["state"], "conflict", "{target}");
    assert!(moved(&world, &package.filename).is_empty(), "nothing was moved");
    assert_eq!(
        world.depot.listed(&world.depot.staging, &package.filename),
        [package.sha256.as_str()],
        "staging keeps it"
    );
    assert_eq!(world.depot.served(JAMMY, &package.filename).as_deref(), Some(other.as_slice()), "it is what it was");
}
