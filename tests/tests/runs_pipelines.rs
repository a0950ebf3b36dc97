//! Whole pipelines that include the CI component, run by gitlab-ci-local against the stack: what several of them, what is
//! interrupted, what fails and what is built again does to a release.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::process::Command;

use serde_json::{Value, json};
use slipway_tests::e2e::{Deb, JAMMY, Pipeline, Runner, World, deb, wait_until};

/// The runner, if all that it needs is here. Otherwise says what is missing.
fn runner() -> Option<Runner> {
    Runner::find().map_err(|why| println!("SKIPPED: pipelines cannot be run here: {why}")).ok()
}

fn packages(keys: &[&str]) -> Vec<(String, &'static str)> {
    keys.iter().map(|key| ((*key).to_owned(), JAMMY)).collect()
}

fn built(name: &str) -> Deb {
    Deb { version: "1.2.0-1".to_owned(), ..deb(name, "Built once.\n", 0) }
}

fn states(release: &Value) -> Vec<(&str, &str)> {
    let packages = release["packages"].as_array().expect("a release lists its packages");
    packages.iter().filter_map(|one| Some((one["key"].as_str()?, one["targets"][0]["state"].as_str()?))).collect()
}

#[test]
fn a_whole_pipeline_plans_builds_stages_and_releases_what_was_clicked_in_one_go() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-whole");
    world.gitlab.point_hook(world.tug().id, "http://127.0.0.1:9/nobody");
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &packages(&["cargo", "tug"]));
    // That a package waits for its own staging alone is what a person does who clicks later. Here all is begun at once.
    let needs = "    inputs:\n      release-needs: [\"build cargo\", \"build tug\"]\n";
    pipeline.change_jobs(|jobs| jobs.replace("    inputs:\n", needs));
    let [cargo, tug] = ["cargo", "tug"].map(|key| pipeline.build(key, &built(key)));
    let release_all = || {
        let job = world.gitlab.job(&json!({
            "project": pipeline.release.project.id, "pipeline": pipeline.release.pipeline, "name": "release-all",
            "stage": "deploy", "status": "manual", "environment": "release-all",
        }));
        world.gitlab.play(job["id"].as_u64().expect("a number"), "mira")
    };
    let jobs = [
        ("plan", pipeline.job("plan")),
        ("build cargo", pipeline.job("build cargo")),
        ("build tug", pipeline.job("build tug")),
        ("release: [cargo]", world.gitlab.play(pipeline.release.job("cargo"), "mira")),
    ];
    for ran in pipeline.run_whole(&jobs, &["release: [cargo]"]) {
        ran.passed();
    }
    assert_eq!(
        states(&pipeline.release.shown()),
        [("cargo", "released"), ("tug", "staged")],
        "nobody has clicked that"
    );
    pipeline.release.is_public_once(&cargo);
    pipeline.release.is_not_public(&tug.filename);

    pipeline.run_as(release_all(), "release-all").passed();
    assert_eq!(pipeline.release.shown()["state"], "complete");
    for package in [&cargo, &tug] {
        pipeline.release.is_public_once(package);
    }
}

#[test]
fn a_package_that_fails_fails_its_own_job_alone_and_is_released_once_it_is_mended() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-one-fails");
    world.gitlab.point_hook(world.tug().id, "http://127.0.0.1:9/nobody");
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &packages(&["cargo", "tug"]));
    pipeline.run("plan").passed();
    let [cargo, tug] = ["cargo", "tug"].map(|key| {
        let package = pipeline.build(key, &built(key));
        pipeline.run(&format!("build {key}")).passed();
        package
    });
    // The storage gives other bytes for one of them than were staged.
    world.depot.fault(&json!({"on": "storage", "effect": "flip-bit", "at": 300, "path": cargo.filename}));
    let said = pipeline.play("cargo").failed_with(1);
    assert!(said.contains("Failed") && said.contains("nothing of it is public") && said.contains("next:"), "{said}");
    pipeline.play("tug").passed();
    assert_eq!(states(&pipeline.release.shown()), [("cargo", "failed"), ("tug", "released")]);
    pipeline.release.is_not_public(&cargo.filename);
    pipeline.release.is_public_once(&tug);

    pipeline.play("cargo").passed();
    assert_eq!(pipeline.release.shown()["state"], "complete");
    pipeline.release.is_public_once(&cargo);
}

#[test]
fn pipelines_of_two_editions_feed_one_release_and_release_each_its_own() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-editions");
    world.gitlab.point_hook(world.tug().id, "http://127.0.0.1:9/nobody");
    let [ce, ee] = ["ce", "ee"].map(|edition| {
        let release = world.release("1.2.0");
        Pipeline::of(&world, release, runner.clone(), edition, &packages(&[&format!("{edition}-jammy")]))
    });
    assert_ne!(ce.release.pipeline, ee.release.pipeline);
    for (pipeline, edition) in [(&ce, "ce"), (&ee, "ee")] {
        pipeline.run("plan").passed();
        pipeline.build(&format!("{edition}-jammy"), &built(&format!("tug-{edition}")));
        pipeline.run(&format!("build {edition}-jammy")).passed();
    }
    let shown = ce.release.shown();
    assert_eq!(states(&shown), [("ce-jammy", "staged"), ("ee-jammy", "staged")]);
    assert_eq!(shown["pipelines"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["state"], "staged", "{shown}");

    // The other edition's package has its own job, in its own pipeline.
    let said = ce.run_as(world.gitlab.play(ce.release.job("ee-jammy"), "mira"), "release: [ce-jammy]").failed_with(1);
    assert!(said.contains("`ce-jammy` is released by the job `release: [ce-jammy]`"), "{said}");
    ce.play("ce-jammy").passed();
    assert_eq!(states(&ce.release.shown()), [("ce-jammy", "released"), ("ee-jammy", "staged")]);
    ee.play("ee-jammy").passed();
    assert_eq!(ce.release.shown()["state"], "complete");
}

#[test]
fn a_package_in_conflict_fails_its_own_job_alone_and_overwrites_nothing() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-conflict");
    let keys = packages(&["cargo", "tug"]);
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &keys);
    pipeline.run("plan").passed();
    let [cargo, tug] = ["cargo", "tug"].map(|key| {
        let package = pipeline.build(key, &built(key));
        pipeline.run(&format!("build {key}")).passed();
        package
    });
    let other = Deb { readme: "Built elsewhere.\n".to_owned(), ..built("cargo") }.build().expect("it fits");
    world.depot.publish(JAMMY, &cargo.filename, &other);

    let said = pipeline.play("cargo").failed_with(1);
    assert!(
        said.contains("Conflict") && said.contains("Nothing was replaced") && said.contains(&cargo.sha256),
        "{said}"
    );
    pipeline.play("tug").passed();
    assert_eq!(states(&pipeline.release.shown()), [("cargo", "conflict"), ("tug", "released")]);
    pipeline.release.is_public_once(&tug);
    assert_eq!(world.depot.served(JAMMY, &cargo.filename), Some(other), "it is what it was");
}

#[test]
fn a_pipeline_of_another_project_declares_nothing_here() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-project");
    let keys = packages(&["cargo"]);
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &keys);
    let foreign = world.release_of(world.pilot(), "1.2.0");
    let said = pipeline.run_as(foreign.build, "plan").failed_with(1);
    assert!(said.contains("belongs to another project"), "{said}");
    assert_eq!(pipeline.release.api("GET", "", None, &Value::Null).status, 404, "nothing was declared");
}

#[test]
fn a_stage_job_that_is_killed_in_its_upload_is_continued_by_the_next() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-killed");
    let keys = packages(&["cargo"]);
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &keys);
    pipeline.run("plan").passed();
    let cargo = pipeline.build("cargo", &built("cargo"));
    world.depot.fault(&json!({"on": "push", "effect": "delay", "ms": 20_000}));
    let job = pipeline.job("build cargo");
    let mut killed = pipeline.start(job, "build cargo");
    wait_until("its upload is on its way", || world.depot.count("push") == 1);
    let group = format!("-{}", killed.id());
    let ended = Command::new("kill").args(["-KILL", "--", &group]).status().expect("there is a `kill`");
    assert!(ended.success());
    killed.wait().expect("it was started here");
    world.gitlab.finish(job, "failed");
    assert_eq!(
        pipeline.release.target("cargo")["state"],
        "expected",
        "its digest is declared, its bytes were not seen"
    );

    pipeline.run("build cargo").passed();
    assert_eq!(pipeline.release.target("cargo")["state"], "staged");
    assert_eq!(world.depot.listed(&world.depot.staging, &cargo.filename), [cargo.sha256.as_str()], "it is there once");
    // A third has nothing left to do.
    let pushes = world.depot.count("push");
    pipeline.run("build cargo").passed();
    assert_eq!(world.depot.count("push"), pushes, "nothing was pushed again");
}

#[test]
fn twenty_six_stage_jobs_at_once_stage_twenty_six_packages() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-26");
    let keys: Vec<String> = ('a'..='z').map(|letter| format!("cargo-{letter}")).collect();
    let packages: Vec<(String, &str)> = keys.iter().map(|key| (key.clone(), JAMMY)).collect();
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &packages);
    pipeline.run("plan").passed();
    for key in &keys {
        pipeline.build(key, &built(key));
    }
    let jobs: Vec<String> = keys.iter().map(|key| format!("build {key}")).collect();
    for ran in pipeline.run_at_once(&jobs) {
        ran.passed();
    }
    let shown = pipeline.release.shown();
    let states = states(&shown);
    assert_eq!(states.len(), 26);
    assert!(states.iter().all(|(_, state)| *state == "staged"), "{states:?}");
    assert_eq!(shown["state"], "staged", "all are there");
}

#[test]
fn a_build_that_is_retried_with_other_bytes_is_refused_and_with_replace_ends_released() {
    let Some(runner) = runner() else { return };
    let world = World::start("pipelines-rebuilt");
    let keys = packages(&["cargo"]);
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &keys);
    pipeline.add_jobs(
        "\"replace cargo\":\n  extends: .slipway-stage\n  stage: build\n  script:\n    - $SLIPWAY stage cargo packages/cargo/*.deb --replace\n",
    );
    pipeline.run("plan").passed();
    let first = pipeline.build("cargo", &built("cargo"));
    pipeline.run("build cargo").passed();

    let second = pipeline.build("cargo", &Deb { readme: "Built twice.\n".to_owned(), ..built("cargo") });
    assert_ne!(first.sha256, second.sha256);
    let said = pipeline.run("build cargo").failed_with(3);
    assert!(said.contains(&first.sha256) && said.contains(&second.sha256), "both digests are shown: {said}");
    assert_eq!(world.depot.listed(&world.depot.staging, &first.filename), [first.sha256.as_str()], "it is what it was");

    pipeline.run("replace cargo").passed();
    assert_eq!(world.depot.listed(&world.depot.staging, &first.filename), [second.sha256.as_str()]);
    pipeline.play("cargo").passed();
    pipeline.release.is_public_once(&second);
}
