//! The component's one job for all that remain, and an approval whose turn comes too late: whole pipelines, run by
//! gitlab-ci-local against the stack.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use serde_json::json;
use slipway_tests::e2e::{Deb, JAMMY, Package, Pipeline, Runner, World, deb};

/// The runner, if all that it needs is here. Otherwise says what is missing.
fn runner() -> Option<Runner> {
    Runner::find().map_err(|why| println!("SKIPPED: pipelines cannot be run here: {why}")).ok()
}

/// A pipeline that has declared these packages.
fn planned(world: &World, runner: Runner, keys: &[&str]) -> Pipeline {
    let keys: Vec<_> = keys.iter().map(|key| ((*key).to_owned(), JAMMY)).collect();
    let pipeline = Pipeline::of(world, world.release("1.2.0"), runner, "project", &keys);
    pipeline.run("plan").passed();
    pipeline
}

/// Builds and stages a package.
fn staged(pipeline: &Pipeline, key: &str) -> Package {
    let package = pipeline.build(key, &Deb { version: "1.2.0-1".to_owned(), ..deb(key, "Built once.\n", 0) });
    pipeline.run(&format!("build {key}")).passed();
    package
}

/// The manual job for all that remain. Each time it is played it is another job.
fn release_all(world: &World, pipeline: &Pipeline) -> u64 {
    let job = world.gitlab.job(&json!({
        "project": pipeline.release.project.id, "pipeline": pipeline.release.pipeline, "name": "release-all",
        "stage": "deploy", "status": "manual", "environment": "release-all",
    }));
    world.gitlab.play(job["id"].as_u64().expect("a job has a number"), "mira")
}

#[test]
fn the_job_for_all_releases_what_can_be_and_played_again_what_remains() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-release-all");
    // What is released is what the job asks for, not what a webhook hints at.
    world.gitlab.point_hook(world.tug().id, "http://127.0.0.1:9/nobody");
    let pipeline = planned(&world, runner, &["cargo", "late", "tug"]);
    let [cargo, tug] = ["cargo", "tug"].map(|key| staged(&pipeline, key));

    let said = pipeline.run_as(release_all(&world, &pipeline), "release-all").failed_with(1);
    assert!(said.contains("`late` is not staged"), "the one that cannot be is named: {said}");
    for (key, package) in [("cargo", &cargo), ("tug", &tug)] {
        assert_eq!(pipeline.release.target(key)["state"], "released", "{key} is not held up");
        pipeline.release.is_public_once(package);
    }
    assert_eq!(pipeline.release.target("late")["state"], "expected");

    let late = staged(&pipeline, "late");
    pipeline.run_as(release_all(&world, &pipeline), "release-all").passed();
    assert_eq!(pipeline.release.shown()["state"], "complete");
    for package in [&cargo, &tug, &late] {
        pipeline.release.is_public_once(package);
    }
    // Nothing remains: that is no mistake.
    pipeline.run_as(release_all(&world, &pipeline), "release-all").passed();
}

#[test]
fn an_approval_whose_turn_does_not_come_lapses_and_the_job_is_played_again() {
    let Some(runner) = runner() else { return };
    let world = World::start_with("pipelines-lapsed", |settings| {
        settings.transfers = Some(1);
        settings.more_config = "\n[approvals]\nlapse = \"10s\"\n".to_owned();
    });
    world.gitlab.point_hook(world.tug().id, "http://127.0.0.1:9/nobody");
    let pipeline = planned(&world, runner, &["first", "second"]);
    let [first, second] = ["first", "second"].map(|key| staged(&pipeline, key));

    // The only slot is taken by a copy that does not end.
    let gate = world.depot.gate(&first.filename, 1);
    let playing = world.gitlab.play(pipeline.release.job("first"), "mira");
    let mut holding = pipeline.start(playing, "release: [first]");
    gate.wait();

    let said = pipeline.play("second").failed_with(1);
    assert!(said.contains("lapsed") && said.contains("before its turn came"), "{said}");
    pipeline.release.is_not_public(&second.filename);

    gate.open();
    pipeline.release.wait_until_released("first");
    holding.wait().expect("it was started here");
    pipeline.play("second").passed();
    for package in [&first, &second] {
        pipeline.release.is_public_once(package);
    }
}
