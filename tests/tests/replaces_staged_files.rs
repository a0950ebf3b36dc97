//! `slipway stage --replace` against the real edge and the real package server: other bytes take the place of staged
//! ones that nobody has released, the record keeps both digests, and what is approved or public stays as it is.

use std::fs;

use serde_json::{Value, json};
use slipway_tests::e2e::{JAMMY, Package, Release, World, deb, wait_until};

/// The same package built a second later: the same name, version, architecture and length, and other bytes.
fn rebuilt(package: &Package) -> Package {
    let mut bytes = package.bytes.clone();
    // ar(5): 8 bytes of magic, then the first member's name in 16, then its time in decimal.
    assert_eq!(bytes[24], b'0', "the packages of these tests are of 1970");
    bytes[24] = b'1';
    Package::new(package.filename.clone(), bytes)
}

/// The package as a file of a build job.
fn file(world: &World, package: &Package) -> String {
    let folder = world.stack.folder().join("built").join(&package.sha256);
    fs::create_dir_all(&folder).expect("the stack's folder is writable");
    let file = folder.join(&package.filename);
    fs::write(&file, &package.bytes).expect("the stack's folder is writable");
    file.display().to_string()
}

/// What staging has under the package's name.
fn staged(world: &World, package: &Package) -> Vec<String> {
    world.depot.listed(&world.depot.staging, &package.filename)
}

fn replace(world: &World, release: &Release, package: &Package) -> slipway_tests::e2e::Spoken {
    release.slipway(release.build, &["stage", "--replace", "cargo", &file(world, package)])
}

/// What the edge says of the package itself.
fn shown(release: &Release) -> Value {
    release.shown()["packages"][0].clone()
}

fn digest(package: &Package) -> String {
    format!("sha256:{}", package.sha256)
}

#[test]
fn staged_bytes_give_way_to_others_that_are_released_instead_and_the_record_keeps_both_digests() {
    let world = World::start("replace");
    let release = world.release("1.0.0");
    let (old, job) = release.ready(&deb("cargo", "", 300_000));
    let new = rebuilt(&old);

    let refused = release.slipway(release.build, &["stage", "cargo", &file(&world, &new)]).ended_with(3);
    assert!(refused.text.contains(&old.sha256) && refused.text.contains(&new.sha256), "{}", refused.text);
    assert_eq!(staged(&world, &old), [old.sha256.as_str()], "without the word nothing is touched");

    replace(&world, &release, &new).ended_with(0);
    assert_eq!(staged(&world, &old), [new.sha256.as_str()]);
    let package = shown(&release);
    assert_eq!(package["file"]["digest"], digest(&new));
    assert_eq!(package["replaced"], json!([{"filename": old.filename, "digest": digest(&old)}]));
    assert_eq!(package["targets"][0]["state"], "staged");
    let rows = world.rows(&release, "cargo", "replaced");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = rows[0].to_string();
    assert!(row.contains(&old.sha256) && row.contains(&new.sha256), "{row}");
    release.is_not_public(&old.filename);

    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    release.is_public_once(&new);
}

#[test]
fn a_file_that_is_being_copied_or_is_public_is_not_replaced() {
    let world = World::start("replace-too-late");
    let release = world.release("1.0.0");
    let (old, job) = release.ready(&deb("cargo", "", 3_000_000));
    let new = rebuilt(&old);
    let gate = world.depot.gate(&old.filename, 1_500_000);
    world.gitlab.play(job, "mira");
    gate.wait();

    let refused = replace(&world, &release, &new).ended_with(3);
    assert!(refused.text.contains("cannot be replaced"), "{}", refused.text);
    assert_eq!(staged(&world, &old), [old.sha256.as_str()], "nothing was deleted under the copy");
    assert_eq!(shown(&release)["file"]["digest"], digest(&old));
    gate.open();
    release.wait_until_released("cargo");

    let refused = replace(&world, &release, &new).ended_with(3);
    assert!(refused.text.contains("cannot be replaced"), "{}", refused.text);
    assert_eq!(staged(&world, &old), [old.sha256.as_str()]);
    release.is_public_once(&old);
    assert!(world.rows(&release, "cargo", "replaced").is_empty());
    // Who wanted it, and why it is not done, is in the audit: while it was copied, and when it was public.
    let refused: Vec<_> = world.audit(release.project).into_iter().filter(|row| row["action"] == "refused").collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    for row in &refused {
        let details = row["details"].as_str().expect("details");
        assert!(row["actor"].as_str().is_some_and(|actor| actor.starts_with("job:")), "{row}");
        assert_eq!(row["subject"], "1.0.0");
        assert!(details.contains("\"act\":\"PATCH\"") && details.contains("cannot be replaced"), "{row}");
    }
}

#[test]
fn an_approval_of_bytes_that_gave_way_releases_nothing_and_playing_the_job_again_releases_the_new_ones() {
    let world = World::start("replace-approved");
    let release = world.release("1.0.0");
    let (old, job) = release.ready(&deb("cargo", "", 0));
    let (foreign, new) =
        (rebuilt(&old), rebuilt(&Package { bytes: deb("cargo", "new", 0).build().expect("it fits"), ..old.clone() }));
    // Somebody has swapped the staged bytes, so the approval comes to nothing.
    let staging = &world.depot.staging;
    world.depot.delete(staging, JAMMY, &old.filename).ok();
    world.depot.push(staging, &staging.repository, JAMMY, &old.filename, &foreign.bytes).ok();
    let played = world.gitlab.play(job, "mira");
    let target = release.wait("cargo", &["failed", "released", "conflict", "missing"]);
    assert_eq!(target["problem"]["code"], "staged-bytes-changed", "{target}");
    let session = release.session(played);

    // Bytes that nobody declared are not deleted for the sake of new ones, and what is refused declares nothing.
    let refused = replace(&world, &release, &new).ended_with(3);
    let both = [&foreign, &new].map(|package| format!("sha256:{}", package.sha256));
    assert!(both.iter().all(|digest| refused.text.contains(digest)), "{}", refused.text);
    assert!(refused.text.contains("find out who pushed the other file"), "{}", refused.text);
    assert_eq!(staged(&world, &old), [foreign.sha256.as_str()]);
    assert_eq!(shown(&release)["file"]["digest"], digest(&old));
    world.depot.delete(staging, JAMMY, &old.filename).ok();
    replace(&world, &release, &new).ended_with(0);
    assert_eq!(staged(&world, &old), [new.sha256.as_str()]);
    let target = release.target("cargo");
    assert!(target["state"] == "staged" && target["approval"].is_null(), "{target}");

    // The job that approved the old bytes speaks again, by both ways.
    release.promote(&session, &["cargo"]);
    world.gitlab.resend(&world.gitlab.delivery(played, "pending"));
    let asked = world.gitlab.times_asked(release.project.id, played);
    wait_until("its webhook was looked into", || world.gitlab.times_asked(release.project.id, played) >= asked);
    assert_eq!(release.target("cargo")["state"], "staged", "it has never seen the new bytes");
    assert_eq!(world.rows(&release, "cargo", "approved").len(), 1);
    release.is_not_public(&old.filename);

    world.gitlab.finish(played, "failed");
    world.gitlab.play(played, "mira");
    release.wait_until_released("cargo");
    release.is_public_once(&new);
}

#[test]
fn a_file_that_another_release_still_waits_with_is_not_deleted_for_a_replacement() {
    let world = World::start("replace-shared");
    let (first, second) = (world.release("1.0.0"), world.release("1.1.0"));
    // Nothing of it has changed between the two versions, so both declare one file.
    let (old, job) = first.ready(&deb("cargo", "", 0));
    second.plan(&["cargo"]);
    second.slipway(second.build, &["stage", "cargo", &file(&world, &old)]).ended_with(0);
    let new = rebuilt(&old);
    let refused = replace(&world, &second, &new).ended_with(3);
    assert_eq!(staged(&world, &old), [old.sha256.as_str()], "{}", refused.text);
    world.gitlab.play(job, "mira");
    first.wait_until_released("cargo");
    first.is_public_once(&old);
}
