//! The components `stage` and `verify`, beside `release`, in pipelines that gitlab-ci-local runs against the stack: builds
//! that know nothing of Slipway, and a look at what is public afterwards.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use slipway_tests::e2e::{Deb, JAMMY, Pipeline, Runner, World, deb};

#[test]
fn what_builds_leave_is_staged_a_job_a_key_and_what_is_public_is_verified_without_a_token() {
    let runner = match Runner::find() {
        Ok(runner) => runner,
        Err(why) => return println!("SKIPPED: pipelines cannot be run here: {why}"),
    };
    let world = World::start("pipelines-artifacts");
    let keys = ["cargo", "tug"].map(|key| (key.to_owned(), JAMMY));
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &keys);
    // The folder `packages/KEY` is what a job that extends `.slipway-build` leaves.
    let edge = world.stack.edge_url();
    let component = "  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH";
    pipeline.change_jobs(|jobs| {
        jobs.replace("stages: [build, deploy]\ninclude:\n", &format!(
            "stages: [build, test, deploy]\ninclude:\n\
             {component}/stage@$CI_COMMIT_SHA\n    inputs: {{url: \"{edge}\", slipway: slipway.mjs, packages: [cargo, tug]}}\n\
             {component}/verify@$CI_COMMIT_SHA\n    inputs: {{url: \"{edge}\", slipway: slipway.mjs}}\n"
        ))
    });
    pipeline.run("plan").passed();
    let cargo = pipeline.build("cargo", &Deb { version: "1.2.0-1".to_owned(), ..deb("cargo", "Built once.\n", 0) });
    pipeline.run("stage: [cargo]").passed();
    // The other's build has left nothing.
    let said = pipeline.run("stage: [tug]").failed_with(2);
    assert!(said.contains("packages/tug/*"), "{said}");
    let states = ["cargo", "tug"].map(|key| pipeline.release.target(key)["state"].clone());
    assert_eq!(states, ["staged", "expected"]);

    pipeline.play("cargo").passed();
    pipeline.release.is_public_once(&cargo);
    pipeline.run("verify").passed();
    // Somebody takes it away.
    world.depot.delete(&world.depot.public, JAMMY, &cargo.filename);
    let said = pipeline.run("verify").failed_with(5);
    assert!(said.contains(&cargo.filename), "the difference is named: {said}");
}
