//! What pages are told beside a release: what was done, what runs where, what is public already, and which job is to be played.

use serde_json::{Value, json};
use slipway_tests::e2e::{JAMMY, World, deb, send, wait_until};

/// What the operator is answered about the project.
fn told(world: &World, path: &str) -> Value {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let url = world.edge(&format!("/api/v1/projects/tug/{path}"));
    send("GET", &url, &[("authorization", bearer.as_str())], "").ok().json()
}

#[test]
fn a_release_is_told_of_with_its_very_job_beside_the_public_and_in_what_was_done() {
    let world = World::start("tells-pages");
    let before = world.release("1.0.0");
    let (_, job) = before.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "mira");
    before.wait_until_released("cargo");

    // The manual job is there before its package is staged, as in GitLab.
    let release = world.release("1.1.0");
    release.plan(&["cargo"]);
    let job = release.job("cargo");
    let mut next = deb("cargo", "what is new\n", 0);
    next.version = "1.1.0".to_owned();
    let package = release.stage("cargo", &next);
    let url = format!("/harbour/tug/-/jobs/{job}");
    wait_until("its very job is known", || {
        release.shown()["packages"][0]["job_url"].as_str().is_some_and(|shown| shown.ends_with(&url))
    });

    let against = told(&world, "releases/1.1.0/against?key=cargo");
    assert_eq!(against["before"], "1.0.0");
    let row = &against["rows"][0];
    assert_eq!((&row["key"], &row["why"]), (&json!("cargo"), &Value::Null), "{against}");
    assert_eq!(row["staged"]["digest"], format!("sha256:{}", package.sha256));
    assert_eq!((&row["staged"]["version"], &row["public"]["version"]), (&json!("1.1.0"), &json!("1.0.0")));
    assert!(row["staged"]["depends"].is_array() && row["public"]["depends"].is_array(), "both were asked: {row}");
    let all = told(&world, "releases/1.1.0/against");
    assert_eq!(all["rows"][0]["staged"].get("depends"), None, "nobody was asked");

    let approvals = told(&world, "activity?action=approved&subject=1.0.0&actor=mira");
    assert_eq!(approvals["rows"][0]["subject"], "1.0.0/cargo", "{approvals}");
    let staged = told(&world, "activity?action=staged");
    let subjects: Vec<&Value> = staged["rows"].as_array().expect("rows").iter().map(|row| &row["subject"]).collect();
    assert_eq!(subjects, [&json!("1.1.0/cargo"), &json!("1.0.0/cargo")], "the newest first");
    assert_eq!(told(&world, "deployments")["rows"], json!([]));
    assert_eq!(release.target_in("cargo", JAMMY)["state"], "staged");
}
