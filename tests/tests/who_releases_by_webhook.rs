//! Who may release by a click alone. The job's script never runs, so its webhook is all that the edge hears of it, and what
//! the project restricts is asked of GitLab.

use serde_json::{Value, json};
use slipway_tests::e2e::{Release, World, deb, wait_until};

/// A world in which releasing is restricted, and whose edge tells of it at the commit.
fn restricted(test: &str, restriction: &str) -> (World, Release) {
    let mut world = World::start(test);
    world.configure(|config| {
        let hook = "webhook_token = \"WEBHOOK_TOKEN_TUG\"\n";
        assert!(config.contains(hook), "{config}");
        config
            .replace("token = \"GITLAB_TOKEN\"", "token = \"GITLAB_TOKEN\"\nstatus_token = \"GITLAB_STATUS_TOKEN\"")
            .replace(hook, &format!("{hook}{restriction}\n"))
    });
    for (id, name, role, groups) in [(34, "dev", "developer", json!([])), (35, "gina", "developer", json!([900]))] {
        let user = json!({"id": id, "username": name, "name": name, "access_level": role, "groups": groups});
        world.gitlab.tell("POST", "users", &user);
    }
    let release = world.release("1.0.0");
    (world, release)
}

/// Waits until a click has been refused for this reason, in the audit and at the commit, with nothing done.
#[track_caller]
fn is_refused(world: &World, release: &Release, key: &str, why: &str) {
    wait_until("the click is refused", || !world.rows(release, key, "refused").is_empty());
    let rows = world.rows(release, key, "refused");
    let details = rows[0]["details"].as_str().expect("details");
    assert!(details.contains(why), "{why:?} in {details}");
    let mut said = Value::Null;
    let name = format!("slipway/{key}");
    wait_until("the commit says so", || {
        said = world.gitlab.statuses().into_iter().rfind(|status| status["name"] == name).unwrap_or_default();
        !said.is_null()
    });
    assert_eq!(said["status"], "failed", "{said}");
    assert!(said["description"].as_str().is_some_and(|text| text.contains(why)), "{why:?} in {said}");
    assert_eq!(release.target(key)["state"], "staged");
    assert!(world.rows(release, key, "approved").is_empty(), "nobody has approved it");
}

/// Waits until the commit says that a package is out.
#[track_caller]
fn is_told_of(world: &World, key: &str) {
    let name = format!("slipway/{key}");
    wait_until("the commit says that it is out", || {
        let last = world.gitlab.statuses().into_iter().rfind(|status| status["name"] == name).unwrap_or_default();
        last["status"] == "success"
    });
}

#[test]
fn where_people_are_named_the_click_of_one_of_them_releases_and_anothers_does_not() {
    let (world, release) = restricted("click-people", "release_people = [7]");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "jonas");
    is_refused(&world, &release, "cargo", "`jonas` is not among the people who may release here");
    release.is_not_public(&package.filename);

    world.gitlab.play(release.job("cargo"), "mira");
    release.wait_until_released("cargo");
    release.is_public_once(&package);
    assert_eq!(release.target("cargo")["approval"]["by"], "mira");
    // The red status is not the last word.
    is_told_of(&world, "cargo");
}

#[test]
fn where_roles_are_named_the_click_of_somebody_with_one_releases_and_anothers_does_not() {
    let (world, release) = restricted("click-levels", "release_levels = [\"maintainer\", \"owner\"]");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "dev");
    is_refused(&world, &release, "cargo", "`dev` has the role developer here, and maintainer or owner may release");
    release.is_not_public(&package.filename);

    world.gitlab.play(release.job("cargo"), "mira");
    release.wait_until_released("cargo");
    release.is_public_once(&package);
    assert_eq!(release.target("cargo")["approval"]["via"], "webhook");
}

#[test]
fn where_a_protected_environment_is_asked_for_only_those_release_whom_gitlab_lets_deploy_there() {
    let (world, release) = restricted("click-protected", "protected_environment = true");
    let project = release.project.id;
    let keys = ["open", "person", "role", "group", "alone"];
    release.plan(&keys);
    for key in keys {
        release.stage(key, &deb(key, "", 0));
    }
    for (key, level) in [
        ("person", json!({"user_id": 7})),
        ("role", json!({"access_level": 40})),
        ("group", json!({"group_id": 900})),
        ("alone", json!({"user_id": 7})),
    ] {
        world.gitlab.protect(project, &format!("release/{key}"), &json!([level]));
    }

    // A job of the right name whose environment nobody protects: GitLab lets everybody play it.
    world.gitlab.play(release.job("open"), "mira");
    for (key, may, may_not) in [("person", "mira", "jonas"), ("role", "mira", "dev"), ("group", "gina", "mira")] {
        let job = release.job(key);
        assert!(!world.gitlab.lets_play(job, may_not), "{key} is protected from {may_not}");
        assert!(world.gitlab.lets_play(job, may), "{key} is open to {may}");
        release.wait_until_released(key);
        assert_eq!(release.target(key)["approval"]["by"], may, "{key}");
    }
    // A job that begins by itself as somebody who may not deploy: GitLab fails it, and nothing is released.
    let failed = world.gitlab.job(&json!({
        "project": project, "pipeline": release.pipeline, "name": "release: [alone]", "status": "running",
        "environment": "release/alone", "user": "jonas",
    }));
    assert_eq!(
        (&failed["status"], &failed["failure_reason"]),
        (&json!("failed"), &json!("protected_environment_failure"))
    );
    is_refused(&world, &release, "open", "the job's environment is not protected in GitLab");
    for key in ["open", "alone"] {
        assert_eq!(release.target(key)["state"], "staged", "{key}");
        release.is_not_public(&deb(key, "", 0).file_name());
    }

    // Protected, it is released by the next click.
    world.gitlab.protect(project, "release/open", &json!([{"access_level": 40}]));
    world.gitlab.play(release.job("open"), "mira");
    release.wait_until_released("open");
}
