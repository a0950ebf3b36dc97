//! A pipeline that includes the CI component, run by gitlab-ci-local: the template's own scripts, in a shell.
//!
//! That runner starts the jobs one by one and makes no ID tokens. So each job is in the GitLab stand-in as well, runs
//! there while it runs here, and has its ID token from there.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::process::{Command, Stdio};

use slipway_stack::Places;
use slipway_tests::e2e::{Deb, JAMMY, Package, Pipeline, Runner, World, deb, sha256};

const NOBLE: &str = "ubuntu/noble";
/// The address in the project's `.gitlab-ci.yml`, as it is laid out.
const URL_THERE: &str = "http://127.0.0.1:8787";
/// An address at which nobody is.
const NOBODY: &str = "http://127.0.0.1:9/nobody";

#[test]
fn plan_stage_and_one_manual_job_make_one_package_public_and_leave_the_other_staged() {
    let Some(runner) = runner() else { return };
    let (world, pipeline) = begin("ci-component", runner);
    let release = &pipeline.release;
    // No webhook arrives: what is released is what the component's job asks for.
    world.gitlab.point_hook(world.tug().id, NOBODY);
    // Both files have one name, as packages of one version for two distro versions often do.
    let [jammy, noble] = ["jammy", "noble"].map(|folder| add(&pipeline, folder));

    pipeline.run("plan").passed();
    for (key, distro) in [("jammy-amd64", JAMMY), ("noble-amd64", NOBLE)] {
        let target = release.target(key);
        assert_eq!([&target["state"], &target["distro"]], ["expected", distro], "{target}");
    }

    pipeline.run("jammy").passed();
    pipeline.run("noble").passed();
    for (key, staged) in [("jammy-amd64", &jammy), ("noble-amd64", &noble)] {
        assert_eq!(release.target(key)["state"], "staged");
        let shown = release.shown();
        let package = shown["packages"].as_array().and_then(|all| all.iter().find(|package| package["key"] == key));
        let package = package.expect("it was planned");
        assert_eq!(package["file"]["digest"], format!("sha256:{}", staged.sha256), "the bytes of {key}");
    }
    release.is_not_public(&jammy.filename);

    let job = world.gitlab.play(release.job("jammy-amd64"), "mira");
    release.job("noble-amd64");
    let said = pipeline.run_as(job, "release: [jammy-amd64]").passed();
    assert!(said.contains("released: `jammy-amd64`"), "{said}");

    assert_eq!(release.target("jammy-amd64")["state"], "released", "the job ends when it is");
    assert_eq!(release.target("jammy-amd64")["approval"]["via"], "job");
    let served = world.depot.served(JAMMY, &jammy.filename).expect("the index lists what is released");
    assert_eq!(sha256(&served), jammy.sha256, "the bytes that were staged");
    assert_eq!(world.depot.pushes(&jammy.filename), [jammy.sha256]);

    assert_eq!(release.target("noble-amd64")["state"], "staged");
    assert_eq!(world.depot.served(NOBLE, &noble.filename), None, "nobody has released it");
}

#[test]
fn the_manual_job_of_a_package_that_nobody_staged_fails_with_the_reason() {
    let Some(runner) = runner() else { return };
    let (world, pipeline) = begin("ci-component-refused", runner);
    let release = &pipeline.release;
    let jammy = add(&pipeline, "jammy");
    pipeline.run("plan").passed();
    pipeline.run("jammy").passed();

    let job = world.gitlab.play(release.job("noble-amd64"), "mira");
    let said = pipeline.run_as(job, "release: [noble-amd64]").failed_with(1);
    assert!(said.contains("`noble-amd64` is not staged: no job has declared its digest."), "{said}");
    assert!(said.contains("Run its build job, then play the release job again"), "{said}");

    assert_eq!(release.target("noble-amd64")["state"], "expected");
    assert_eq!(release.target("jammy-amd64")["state"], "staged", "the other package is as it was");
    release.is_not_public(&jammy.filename);
}

#[test]
fn the_click_on_a_job_that_the_component_planned_is_enough_when_its_script_never_runs() {
    let Some(runner) = runner() else { return };
    let (world, pipeline) = begin("ci-component-click", runner);
    let release = &pipeline.release;
    let jammy = add(&pipeline, "jammy");
    pipeline.run("plan").passed();
    pipeline.run("jammy").passed();

    // The webhook is believed only about a job of the name and environment that the plan declared.
    world.gitlab.play(release.job("jammy-amd64"), "mira");
    let target = release.wait_until_released("jammy-amd64");
    assert_eq!(target["approval"]["via"], "webhook");
    assert_eq!(world.depot.served(JAMMY, &jammy.filename).as_deref().map(sha256), Some(jammy.sha256));
}

#[test]
fn the_build_job_of_a_package_without_a_file_fails_and_stages_nothing() {
    let Some(runner) = runner() else { return };
    let (_world, pipeline) = begin("ci-component-no-file", runner);
    pipeline.run("plan").passed();
    let said = pipeline.run("jammy").failed_with(2);
    assert!(said.contains("packages/jammy/*.deb"), "the pattern that meant no file is named: {said}");
    assert_eq!(pipeline.release.target("jammy-amd64")["state"], "expected");
}

fn runner() -> Option<Runner> {
    Runner::find().map_err(|why| println!("SKIPPED: the CI component cannot be run here: {why}")).ok()
}

/// The component's own example as a project, and the pipeline of its tag in the GitLab stand-in.
fn begin(test: &str, runner: Runner) -> (World, Pipeline) {
    let places = Places::of_this_clone().expect("tests run in a clone");
    let world = World::start(test);
    let folder = world.stack.folder().join("pipeline");
    let script = places.root.join("ci-component/tests/lay-out.sh");
    let ended = Command::new(script).arg(&folder).stdin(Stdio::null()).output().expect("the script is there");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let pipeline = Pipeline::in_folder(&world, world.release("1.2.0"), runner, folder);
    // The address goes the way that it goes in a project: through the component's input.
    pipeline.change_jobs(|jobs| jobs.replace(URL_THERE, &world.stack.edge_url()));
    (world, pipeline)
}

/// Puts a package where the project's build jobs find it.
fn add(pipeline: &Pipeline, codename: &str) -> Package {
    pipeline.build(codename, &Deb { version: "1.2.0-1".to_owned(), ..deb("tug", &format!("For {codename}.\n"), 0) })
}
