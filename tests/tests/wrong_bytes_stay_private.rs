//! Only the bytes that a person approved become public, whatever happens to staging, and nothing public is replaced.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use slipway_tests::e2e::{JAMMY, Package, Release, World, deb, sha256};

/// The same package built a second later: the same name, version, architecture and length, and other bytes.
fn rebuilt(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // ar(5): 8 bytes of magic, then the first member's name in 16, then its time in decimal.
    assert_eq!(bytes[24], b'0', "the packages of these tests are of 1970");
    bytes[24] = b'1';
    bytes
}

/// The target failed as changed bytes must, with both digests in the sentence, and nothing of it is public.
#[track_caller]
fn is_refused_as_changed(world: &World, release: &Release, package: &Package, found: &str) {
    let target = release.wait("cargo", &["failed", "released", "conflict", "missing"]);
    assert_eq!(target["state"], "failed", "{target}");
    let problem = &target["problem"];
    assert_eq!(problem["code"], "staged-bytes-changed", "{target}");
    let what = problem["what"].as_str().expect("a sentence");
    assert!(what.contains(found), "what was found, {found}, is missing in: {what}");
    assert!(what.contains(&package.sha256), "what was approved, {}, is missing in: {what}", package.sha256);
    assert_eq!(problem["public"], "none");
    release.is_not_public(&package.filename);
    assert!(
        !world.depot.journal().iter().any(|entry| entry["repo"] == world.depot.public.repository),
        "nothing at all was accepted in public"
    );
}

#[test]
fn a_file_that_was_replaced_in_staging_never_becomes_public() {
    let world = World::start("replaced");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let other = rebuilt(&package.bytes);

    let staging = &world.depot.staging;
    world.depot.delete(staging, JAMMY, &package.filename).ok();
    world.depot.push(staging, &staging.repository, JAMMY, &package.filename, &other).ok();
    assert_eq!(world.depot.listed(staging, &package.filename), [sha256(&other)]);

    world.gitlab.play(job, "mira");
    is_refused_as_changed(&world, &release, &package, &sha256(&other));
    assert_eq!(world.depot.tries_to_push(), 0, "not even tried");
}

/// Where depot keeps the staged bytes. Its lists go on promising the approved digest when they change.
fn stored(world: &World, package: &Package) -> PathBuf {
    let file = world.stack.folder().join("depot/files").join(&package.sha256[..2]).join(&package.sha256);
    assert_eq!(fs::read(&file).expect("depot keeps files by their digest"), package.bytes);
    file
}

#[test]
fn a_storage_that_serves_other_bytes_than_the_list_promises_releases_nothing() {
    let world = World::start("storage-lies");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 300_000));
    let mut other = package.bytes.clone();
    let last = other.last_mut().expect("it is not empty");
    *last ^= 1;
    fs::write(stored(&world, &package), &other).expect("the stack's folder is writable");
    assert_eq!(world.depot.listed(&world.depot.staging, &package.filename), [package.sha256.as_str()]);

    world.gitlab.play(job, "mira");
    is_refused_as_changed(&world, &release, &package, &sha256(&other));
}

#[test]
fn bytes_that_change_while_they_are_copied_release_nothing() {
    let world = World::start("changes-midway");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 3_000_000));
    let gate = world.depot.gate(&package.filename, 1_500_000);
    world.gitlab.play(job, "mira");
    gate.wait();

    // The first half has been sent as approved. In place, so that the open download reads the rest of it.
    let mut other = package.bytes.clone();
    other[1_500_000..].fill(b'x');
    fs::write(stored(&world, &package), &other).expect("the stack's folder is writable");
    gate.open();
    is_refused_as_changed(&world, &release, &package, &sha256(&other));
}

#[test]
fn a_staged_file_of_another_length_releases_nothing() {
    let world = World::start("shorter");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    fs::write(stored(&world, &package), &package.bytes[..package.bytes.len() - 1]).expect("the folder is writable");
    world.gitlab.play(job, "mira");
    is_refused_as_changed(&world, &release, &package, "bytes of another length");
}

/// Publishes a file as the public user, past Slipway.
fn publish(world: &World, filename: &str, bytes: &[u8]) {
    world.depot.publish(JAMMY, filename, bytes);
    assert_eq!(world.depot.tries_to_push(), 1);
}

#[test]
fn a_public_file_with_other_bytes_is_a_conflict_that_shows_both_digests_and_sends_nothing() {
    let world = World::start("conflict");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let other = rebuilt(&package.bytes);
    publish(&world, &package.filename, &other);

    world.gitlab.play(job, "mira");
    let target = release.wait("cargo", &["conflict", "released", "failed", "missing"]);
    assert_eq!(target["state"], "conflict", "{target}");
    let Value::String(what) = &target["problem"]["what"] else { panic!("no sentence in {target}") };
    assert!(what.contains(&package.sha256) && what.contains(&sha256(&other)), "both digests are shown: {what}");
    assert_eq!(world.depot.tries_to_push(), 1, "nothing was sent");
    assert_eq!(world.depot.pushes(&package.filename), [sha256(&other)]);
    assert_eq!(world.depot.served(JAMMY, &package.filename).as_deref(), Some(other.as_slice()), "it is what it was");
}

#[test]
fn a_public_file_with_the_approved_bytes_is_released_without_sending_anything() {
    let world = World::start("already-public");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    publish(&world, &package.filename, &package.bytes);

    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    assert_eq!(world.depot.tries_to_push(), 1, "nothing was sent");
    release.is_public_once(&package);
}
