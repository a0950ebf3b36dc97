//! The switch that stops everything: nothing becomes public while it is stopped, whatever is under way; it outlives a kill,
//! everybody sees it, and what waited goes on by itself when it is started.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use slipway_tests::e2e::harbour::{Harbour, PUBLIC, can_run};
use slipway_tests::e2e::{Answer, Process, Release, Spoken, World, deb, send, send_within, wait_until};

/// Of an image or a package under way, this much is copied slowly.
const BALLAST_BYTES: usize = 8_000_000;
/// How soon a stop works, wherever something is under way.
const AT_ONCE_SECONDS: u64 = 10;

fn operator(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = send_within(AT_ONCE_SECONDS, method, &world.edge(path), &headers, body);
    answer.unwrap_or_else(|error| panic!("{method} {path} is answered in {AT_ONCE_SECONDS} s: {error}"))
}

/// An operator at a terminal: `stop` or `start`.
fn slipway(world: &World, release: &Release, words: &[&str]) -> Spoken {
    let mut command = release.command("", words);
    for name in ["SLIPWAY_ID_TOKEN", "SLIPWAY_PROJECT", "SLIPWAY_VERSION"] {
        command.env_remove(name);
    }
    command.env("SLIPWAY_OPERATOR_TOKEN", world.stack.secret("OPERATOR_TOKEN"));
    Spoken::of(&mut command)
}

/// Turns the switch. Every project must have heard of it by the answer.
fn turn(world: &World, method: &str, reason: &str) -> Value {
    let answer = operator(world, method, "/api/v1/stop", &json!({"reason": reason}));
    assert_eq!(answer.status, 200, "every project has heard: {}", answer.text());
    answer.json()
}

fn waits(release: &Release, key: &str) -> Value {
    release.wait_for_target(key, None, "waiting until Slipway is started", |target| {
        target["problem"]["code"] == "stopped" && target["state"] == "approved"
    })
}

/// What the directory keeps. The edge must not run.
fn directory(world: &World) -> Vec<PathBuf> {
    let folder = world.stack.folder().join("edge/objects/slipway-Directory");
    let files: Vec<PathBuf> =
        fs::read_dir(folder).expect("workerd keeps it there").flatten().map(|f| f.path()).collect();
    assert!(!files.is_empty(), "there is a directory");
    files
}

fn is_refused(world: &World, release: &Release, key: &str, why: &str) {
    let refused = release.promote(&release.session(world.gitlab.play(release.job(key), "mira")), &[key]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains(why), "{}", refused.text());
}

fn ready(world: &World) -> String {
    send("GET", &world.edge("/readyz"), &[], "").ok().text()
}

#[test]
fn a_switch_that_was_lost_or_restored_stops_everything_until_an_operator_starts_it() {
    let mut world = World::start("stops-lost");
    let release = world.release("1.0.0");
    let (package, _) = release.ready(&deb("late", "", 0));
    let other = world.release_of(world.pilot(), "2.0.0");
    other.ready(&deb("pilot", "", 0));
    turn(&world, "POST", "a look");
    turn(&world, "DELETE", "all is well");

    // The directory is lost. Whoever asks first, and has heard of nothing, is stopped as well.
    world.kill(Process::Edge);
    for file in directory(&world) {
        fs::remove_file(file).expect("the stack's folder is writable");
    }
    world.start_again(Process::Edge);
    is_refused(&world, &other, "pilot", "stopped by slipway");
    is_refused(&world, &release, "late", "was lost or restored");
    assert_eq!(ready(&world), "ready, stopped\n");
    turn(&world, "DELETE", "nothing is public that should not be");

    // It is restored to what it was before a stop; the records have heard of that.
    world.kill(Process::Edge);
    let kept: Vec<(PathBuf, Vec<u8>)> =
        directory(&world).into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect();
    world.start_again(Process::Edge);
    turn(&world, "POST", "a wrong package is public");
    world.kill(Process::Edge);
    for file in directory(&world) {
        fs::remove_file(file).expect("the stack's folder is writable");
    }
    for (file, bytes) in kept {
        fs::write(file, bytes).expect("the stack's folder is writable");
    }
    world.start_again(Process::Edge);
    is_refused(&world, &release, "late", "Slipway is stopped by");
    wait_until("the directory has learned of it", || ready(&world) == "ready, stopped\n");
    is_refused(&world, &other, "pilot", "stopped by");
    // A stop gets through, and so does a start.
    let again = turn(&world, "POST", "still wrong");
    assert!(again["projects"].as_array().is_some_and(|all| all.iter().all(|one| one["has_heard"] == true)), "{again}");
    turn(&world, "DELETE", "taken back");
    assert_eq!(ready(&world), "ready\n");

    // All that is known is in a folder; in another one it was restored, or copied.
    // Whoever was used before they were told apart may be a copy.
    world.bind("SLIPWAY_FOLDER", "folder-1");
    assert_eq!(ready(&world), "ready, stopped\n");
    turn(&world, "DELETE", "it is none");
    let file = world.stack.folder().join("edge/workerd.capnp");
    let before = fs::read_to_string(&file).expect("a started stack has its configuration");
    world.kill(Process::Edge);
    fs::write(&file, before.replace("folder-1", "folder-2")).expect("the stack's folder is writable");
    world.start_again(Process::Edge);
    is_refused(&world, &release, "late", "restored or copied");
    assert_eq!(ready(&world), "ready, stopped\n");
    turn(&world, "DELETE", "compared");
    world.kill(Process::Edge);
    world.start_again(Process::Edge);
    assert_eq!(ready(&world), "ready\n", "and not again at the next start");
    world.gitlab.play(release.job("late"), "mira");
    release.wait_until_released("late");
    release.is_public_once(&package);
}

#[test]
fn a_stop_keeps_back_what_is_copied_and_what_is_asked_for_outlives_a_kill_and_is_over_when_it_is_started() {
    let mut world = World::start("stops");
    let release = world.release("1.0.0");
    let (copied, copying) = release.ready(&deb("copied", "", BALLAST_BYTES));
    let (asked, asking) = release.ready(&deb("asked", "", 0));

    // One is in the middle of its copy: half of it has left staging.
    let gate = world.depot.gate(&copied.filename, copied.bytes.len() as u64 / 2);
    world.gitlab.play(copying, "mira");
    gate.wait();
    let switch = turn(&world, "POST", "a wrong package is public");
    assert_eq!(switch["stopped"]["reason"], "a wrong package is public", "{switch}");
    assert!(switch["projects"].as_array().is_some_and(|all| all.iter().all(|one| one["stopped"].is_object())));
    gate.open();
    let target = waits(&release, "copied");
    assert_eq!(target["problem"]["retry"], "automatic", "{target}");
    assert!(target["problem"]["what"].as_str().is_some_and(|what| what.contains("a wrong package is public")));
    release.is_not_public(&copied.filename);

    // Another is asked for now: nothing is queued, and its job hears why.
    let refused = release.promote(&release.session(world.gitlab.play(asking, "mira")), &["asked"]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.json()["type"].as_str().is_some_and(|kind| kind.ends_with("stopped")), "{}", refused.text());
    assert!(refused.text().contains("a wrong package is public"), "{}", refused.text());

    // It outlives a kill, and everybody sees it.
    world.kill(Process::Edge);
    world.start_again(Process::Edge);
    let shown = release.shown();
    assert_eq!(shown["stopped"]["by"], "operator", "{shown}");
    assert!(shown["verdict"].as_str().is_some_and(|verdict| verdict.starts_with("Slipway is stopped by operator")));
    let page = send("GET", &world.edge("/p/tug/r/1.0.0"), &[("accept", "text/html")], "").ok().text();
    assert!(page.contains("Slipway is stopped by operator: a wrong package is public"), "the page says so");
    let ready = send("GET", &world.edge("/readyz"), &[], "").ok().text();
    assert_eq!(ready, "ready, stopped\n", "and whoever watches it");
    assert_eq!(operator(&world, "GET", "/api/v1/stop", &Value::Null).ok().json()["stopped"]["by"], "operator");
    // A project that nobody has used yet is stopped as well.
    let other = world.release_of(world.pilot(), "2.0.0");
    let (_, job) = other.ready(&deb("pilot", "", 0));
    assert_eq!(other.promote(&other.session(world.gitlab.play(job, "mira")), &["pilot"]).status, 409);
    waits(&release, "copied");
    release.is_not_public(&copied.filename);

    turn(&world, "DELETE", "it is taken back");
    release.wait_until_released("copied");
    release.is_public_once(&copied);
    assert_eq!(world.rows(&release, "copied", "approved").len(), 1, "its approval has waited");
    release.is_not_public(&asked.filename);
    // What was refused needs to be played again.
    world.gitlab.play(release.job("asked"), "mira");
    release.wait_until_released("asked");
    let audit = world.audit(release.project);
    let turns: Vec<_> = audit
        .iter()
        .filter(|row| row["subject"] == "everything")
        .map(|row| (row["action"].as_str().unwrap_or_default(), row["actor"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(turns, [("stopped", "operator"), ("started", "operator")]);
}

#[test]
fn one_project_is_stopped_and_started_without_the_others_and_only_by_the_operator_with_a_reason() {
    let world = World::start("stops-one");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("tug-own", "", 0));
    let other = world.release_of(world.pilot(), "2.0.0");
    let (_, others) = other.ready(&deb("pilot-own", "", 0));
    let reason = json!({"reason": "its record is looked at"});
    for path in ["/api/v1/stop", "/api/v1/projects/tug/stop"] {
        for method in ["POST", "DELETE"] {
            assert_eq!(send(method, &world.edge(path), &[], reason.to_string()).status, 401, "{method} {path}");
            let session = format!("Bearer {}", release.session(release.build));
            let job = [("authorization", session.as_str()), ("content-type", "application/json")];
            let refused = send(method, &world.edge(path), &job, reason.to_string());
            assert_eq!(refused.status, 403, "{method} {path}: {}", refused.text());
            assert_eq!(operator(&world, method, path, &json!({"reason": " "})).status, 422, "{method} {path}");
        }
    }
    slipway(&world, &release, &["stop", "--project", "tug", "--reason", "its record is looked at"]).ended_with(0);
    let stopped = release.promote(&release.session(world.gitlab.play(job, "mira")), &["tug-own"]);
    assert_eq!(stopped.status, 409, "{}", stopped.text());
    world.gitlab.play(others, "mira");
    other.wait_until_released("pilot-own");
    assert_eq!(send("GET", &world.edge("/readyz"), &[], "").ok().text(), "ready\n", "not everything is stopped");
    slipway(&world, &release, &["stop", "--reason", "a token has leaked"]).ended_with(0);
    assert_eq!(ready(&world), "ready, stopped\n");
    slipway(&world, &release, &["start", "--reason", "it is replaced"]).ended_with(0);
    assert_eq!(ready(&world), "ready\n");
    slipway(&world, &release, &["start", "--project", "tug", "--reason", "it was whole"]).ended_with(0);
    world.gitlab.play(release.job("tug-own"), "mira");
    release.wait_until_released("tug-own");
    release.is_public_once(&package);
    wait_until("nobody is told of a stop any more", || release.shown()["stopped"].is_null());
}

#[test]
fn a_stop_ends_the_copy_of_an_image_in_the_middle_outlives_a_kill_and_the_image_is_public_whole_once_it_is_started() {
    if !can_run(&[]) {
        return;
    }
    let mut harbour = Harbour::start_with("stops", |wishes| wishes.gateway = true);
    let gateway = harbour.gateway.clone().expect("it was wished for");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("large", 40_000_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    let manifest = fs::read(harbour.staging.blob_file(image.children[0].trim_start_matches("sha256:")));
    let manifest: Value = serde_json::from_slice(&manifest.expect("it is staged")).expect("a manifest is JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("it has a layer").trim_start_matches("sha256:");
    gateway.hold_after(20_000_000);
    harbour.world.gitlab.play(job, "mira");
    wait_until("half of the layer is at the public registry", || gateway.is_holding());
    turn(&harbour.world, "POST", "a wrong image is public");
    gateway.open();
    waits(&release, "app");

    // Nothing of it can be had, by any name.
    let is_hidden = |harbour: &Harbour| {
        for which in ["17.3.1", "17.3", "latest", &image.digest, &image.children[0], &image.children[1]] {
            assert_eq!(harbour.served(which), None, "{which}");
        }
        let tags = send("GET", &format!("{}/v2/{PUBLIC}/tags/list", harbour.public().url()), &[], "");
        assert!(!harbour.public().blob_file(layer).exists(), "the end of what was under way was withheld");
        let none = |tags: &Value| tags.as_array().is_none_or(Vec::is_empty);
        assert!(tags.status == 404 || none(&tags.json()["tags"]), "no tag is public: {}", tags.text());
    };
    is_hidden(&harbour);
    harbour.world.kill(Process::Edge);
    harbour.world.start_again(Process::Edge);
    assert_eq!(ready(&harbour.world), "ready, stopped\n");
    waits(&release, "app");
    is_hidden(&harbour);

    turn(&harbour.world, "DELETE", "it is taken back");
    release.wait_until_released("app");
    for tag in ["17.3.1", "17.3", "latest"] {
        assert_eq!(harbour.served(tag).as_ref(), Some(&image.digest), "{tag}");
        harbour.is_whole(tag);
    }
    assert_eq!(harbour.world.rows(&release, "app", "approved").len(), 1, "its approval has waited");
}
