//! A package that nobody built is the one that a release manager must not overlook.

use slipway_tests::e2e::{JAMMY, World, deb};

#[test]
fn a_key_whose_build_job_never_ran_stays_expected_and_status_names_it_in_words() {
    let world = World::start("missing-key");
    let release = world.release("1.0.0");
    let planned = ["plan", &format!("built={JAMMY}"), &format!("forgotten={JAMMY}")];
    release.slipway(release.build, &planned).ended_with(0);
    let package = release.stage("built", &deb("built", "", 0));

    assert_eq!(release.target("forgotten")["state"], "expected");
    let status = release.slipway(release.build, &["status"]).ended_with(0).text;
    let row =
        |key: &str| status.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{status}")).to_owned();
    assert!(row("forgotten").contains("Not staged yet"), "{status}");
    assert!(row("built").contains("Staged") && row("built").contains(&package.sha256[..12]), "{status}");
    assert!(status.contains("1 not staged yet"), "the first sentence says it too: {status}");
}

#[test]
fn releasing_a_key_that_nobody_built_is_refused_with_the_reason_and_the_next_step() {
    let world = World::start("missing-key-refused");
    let release = world.release("1.0.0");
    release.plan(&["built", "forgotten"]);
    release.stage("built", &deb("built", "", 0));

    let job = world.gitlab.play(release.job("forgotten"), "mira");
    let refused = release.slipway(job, &["release", "forgotten"]).ended_with(1).text;
    assert!(refused.contains("`forgotten` is not staged: no job has declared its digest."), "{refused}");
    assert!(refused.contains("Run its build job, then play the release job again"), "{refused}");

    // The click itself came as a webhook, too; by the time that a later one has done its work it was looked into.
    world.gitlab.play(release.job("built"), "mira");
    release.wait_until_released("built");
    assert_eq!(release.target("forgotten")["state"], "expected");
    assert!(world.rows(&release, "forgotten", "approved").is_empty(), "nobody approved it");
}
