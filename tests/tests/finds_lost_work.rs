//! Approved work that no alarm drives any more is found by the record's own alarm; what rests is looked at again.
//! What no webhook has told of is found by reading pipelines.
#![allow(clippy::print_stdout, reason = "how long a search took is a figure")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_core::time::Timestamp;
use slipway_tests::e2e::{JAMMY, Process, Release, World, deb, send, wait_for};

/// The record looks over what moves once a minute, and takes up what was not heard of for one.
const SWEEPS: Duration = Duration::from_mins(4);

/// Where workerd keeps the objects of one class: their databases, and the alarms of all of them.
fn objects(world: &World, class: &str) -> PathBuf {
    let folder = world.stack.folder().join("edge/objects").join(format!("slipway-{class}"));
    assert!(folder.is_dir(), "workerd keeps its objects in {}", folder.display());
    folder
}

#[test]
fn a_package_whose_object_has_lost_its_alarm_and_all_it_knew_is_released_by_the_records_sweep() {
    let mut world = World::start("lost-alarm");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 2_000_000));
    let gate = world.depot.gate(&package.filename, 1_000_000);
    world.gitlab.play(job, "mira");
    gate.wait();
    world.kill(Process::Edge);
    fs::remove_dir_all(objects(&world, "PackagePromotion")).expect("the stack's folder is writable");
    gate.open();
    world.start_again(Process::Edge);
    release.is_not_public(&package.filename);

    wait_for("the sweep has found it", SWEEPS, || Ok((release.target("cargo")["state"] == "released").then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}: {}", release.target("cargo")));
    release.is_public_once(&package);
    assert_eq!(world.rows(&release, "cargo", "approved").len(), 1, "nobody had to approve it again");
}

/// Lets the record believe that what rests was looked at a quarter of an hour ago, and that places answered then, as if that time had
/// passed.
fn let_time_pass(world: &mut World) {
    world.kill(Process::Edge);
    let mut records = 0;
    for entry in fs::read_dir(objects(world, "ProjectRecord")).expect("a folder") {
        let file = entry.expect("a file").path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.ends_with(".sqlite") || name == "metadata.sqlite" {
            continue;
        }
        let database = rusqlite::Connection::open(&file).expect("workerd is stopped");
        let quarter = "UPDATE targets SET since = since - 900000, looked_at = looked_at - 900000";
        records += database.execute(quarter, []).unwrap_or(0);
        let quarter = "UPDATE sources SET read_at = read_at - 900000, tried_at = tried_at - 900000";
        database.execute(quarter, []).ok();
    }
    assert!(records > 0, "the record of a project has targets");
    world.start_again(Process::Edge);
}

#[test]
fn a_public_file_that_an_outsider_removes_is_shown_as_drift_and_a_staged_one_as_missing() {
    let mut world = World::start("drift");
    let release = world.release("1.0.0");
    let (released, job) = release.ready(&deb("released", "", 0));
    let (staged, _) = release.ready(&deb("staged", "", 0));
    let (kept, kept_job) = release.ready(&deb("kept", "", 0));
    for (key, job) in [("released", job), ("kept", kept_job)] {
        world.gitlab.play(job, "mira");
        release.wait_until_released(key);
    }
    world.depot.delete(&world.depot.public, JAMMY, &released.filename).ok();
    world.depot.delete(&world.depot.staging, JAMMY, &staged.filename).ok();
    assert!(release.target("released")["problem"].is_null(), "nobody has looked yet");

    // One look at a list that does not have it is not believed, since lists can be behind.
    let mut looks = 0;
    let shown = |release: &Release| {
        !release.target("released")["problem"].is_null() && release.target("staged")["state"] == "missing"
    };
    while !shown(&release) {
        looks += 1;
        assert!(looks <= 5, "{}", release.shown());
        look_again(&mut world, &release, looks);
    }
    assert!(looks >= 2, "it was believed at once");
    let target = release.target("released");
    assert_eq!(target["state"], "released", "it was, and the record says so: {target}");
    assert_eq!(target["problem"]["code"], "drift", "{target}");
    let untouched = release.target("kept");
    assert!(untouched["state"] == "released" && untouched["problem"].is_null(), "{untouched}");
    release.is_public_once(&kept);

    // What comes back is as it was.
    let public = &world.depot.public;
    world.depot.push(public, &public.repository, JAMMY, &released.filename, &released.bytes).ok();
    look_again(&mut world, &release, 100);
    release.wait_for_target("released", None, "as it was", |target| target["problem"].is_null());
}

#[test]
fn what_is_staged_is_unknown_and_not_to_be_played_once_its_place_has_not_answered_for_a_quarter_of_an_hour() {
    let mut world = World::start("unread");
    let release = world.release("1.0.0");
    release.ready(&deb("waits", "", 0));
    let (_, other) = release.ready(&deb("other", "", 0));
    look_again(&mut world, &release, 1);
    let page = |world: &World| send("GET", &world.edge("/p/tug/r/1.0.0"), &[("accept", "text/html")], "").ok().text();
    assert!(page(&world).contains("id=\"play-waits\""), "{}", page(&world));

    world.kill(Process::Depot);
    let_time_pass(&mut world);
    // Whatever reaches the record wakes it.
    world.gitlab.play(other, "mira");
    release.wait_for_target("waits", None, "unknown", |target| target["problem"]["code"] == "unknown");
    let target = release.target("waits");
    // The public place is at the same server, so nobody knows what others have put there.
    assert_eq!((&target["state"], &target["problem"]["public"]), (&json!("staged"), &json!("unknown")), "{target}");
    let shown = page(&world);
    assert!(!shown.contains("id=\"play-waits\"") && shown.contains("Unknown"), "{shown}");

    world.start_again(Process::Depot);
    look_again(&mut world, &release, 2);
    release.wait_for_target("waits", None, "known", |target| target["problem"].is_null());
    assert!(page(&world).contains("id=\"play-waits\""), "{}", page(&world));
}

#[test]
fn a_place_that_takes_connections_and_never_answers_is_unknown_as_a_dead_one_is() {
    let mut world = World::start("mute");
    let release = world.release("1.0.0");
    release.ready(&deb("waits", "", 0));
    let (_, other) = release.ready(&deb("other", "", 0));
    look_again(&mut world, &release, 1);

    world.suspend(Process::Depot);
    let_time_pass(&mut world);
    world.gitlab.play(other, "mira");
    release.wait_for_target("waits", None, "unknown", |target| target["problem"]["code"] == "unknown");
    let target = release.target("waits");
    assert_eq!(target["state"], "staged", "{target}");
    let what = target["problem"]["what"].as_str().expect("a sentence");
    assert!(
        what.starts_with("`staging` has not been read since ") && what.ends_with("no answer within 8 s."),
        "{what}"
    );

    world.resume(Process::Depot);
    look_again(&mut world, &release, 2);
    release.wait_for_target("waits", None, "known", |target| target["problem"].is_null());
}

/// Lets time pass, and wakes the record: whatever reaches it does.
fn look_again(world: &mut World, release: &Release, round: u32) {
    let_time_pass(world);
    let key = format!("fence-{round}");
    let (_, fence) = release.ready(&deb(&key, "", 0));
    world.gitlab.play(fence, "mira");
    release.wait_until_released(&key);
}

#[test]
fn without_any_webhook_a_deployment_and_a_click_are_found_within_the_minute_in_which_the_pipeline_is_read() {
    let more = "[[gates]]\nprojects = [\"tug\"]\ndeployed = [\"staging\"]\n".to_owned();
    let world = World::start_with("hook-off", |settings| settings.more_config = more);
    world.gitlab.change_hook(world.tug().id, &json!({"events": []}));
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let deploy = world.gitlab.job(&json!({
        "project": release.project.id, "pipeline": release.pipeline, "name": "deploy", "status": "running",
        "environment": "staging",
    }));
    world.gitlab.finish(deploy["id"].as_u64().expect("a number"), "success");
    // Both wait to be found; the click counts, since the deployment was there first.
    let played = world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    release.is_public_once(&package);
    assert!(world.gitlab.deliveries(played).is_empty(), "no webhook was sent");
    assert!(world.rows(&release, "cargo", "refused").is_empty(), "it was not refused on the way");

    let played = world.gitlab.tell("GET", &format!("jobs/{played}"), &Value::Null);
    let at = |text: &Value| text.as_str().expect("a time").parse::<Timestamp>().expect("a time");
    let approved = world.rows(&release, "cargo", "approved");
    let took = at(&approved[0]["at"]).since(at(&played["started_at"]));
    println!("the click was found after {} s", took.as_secs());
    // A minute, and the 5 s between two looks.
    assert!(took <= Duration::from_secs(65), "{took:?}");
}
