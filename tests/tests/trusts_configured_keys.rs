//! A GitLab whose keys the edge cannot fetch: the operator has given it the key set, and that is the whole truth.

use serde_json::{Value, json};
use slipway_tests::e2e::{World, deb, send};

/// Since when a request counts, and how often GitLab was asked for its keys since.
fn times_asked(world: &World) -> usize {
    let requests = world.gitlab.tell("GET", "requests", &Value::Null);
    let about_keys =
        |path: &str| path.starts_with("/oauth/discovery/") || path.starts_with("/.well-known/openid-configuration");
    let asked = requests.as_array().expect("a list").iter();
    asked.filter(|request| request["path"].as_str().is_some_and(about_keys)).count()
}

#[test]
fn a_job_is_known_by_the_configured_keys_while_gitlabs_cannot_be_reached_and_by_no_other_key() {
    let mut world = World::start("configured-keys");
    let gitlab = world.stack.gitlab_url();
    let keys = send("GET", &format!("{gitlab}/oauth/discovery/keys"), &[], "").ok().text();
    world.configure(|config| {
        config.replace("token = \"GITLAB_TOKEN\"", "token = \"GITLAB_TOKEN\"\nkeys = \"GITLAB_KEYS\"")
    });
    world.bind("GITLAB_KEYS", &keys);
    world.gitlab.tell("POST", "fail", &json!({"on": "keys", "times": 1000, "status": 503}));
    let before = times_asked(&world);

    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let played = world.gitlab.play(job, "mira");
    release.promote(&release.session(played), &["cargo"]).ok();
    release.wait_until_released("cargo");
    release.is_public_once(&package);

    let other = release.open(&world.gitlab.forged_id_token(release.build, &json!({"key": "other"})));
    assert_eq!(other.status, 401, "{}", other.text());
    // GitLab has a new key, and publishes it. The operator has not taken it up.
    world.gitlab.tell("POST", "keys/rotate", &Value::Null);
    let new = release.open(&world.gitlab.id_token(release.build));
    assert_eq!(new.status, 401, "{}", new.text());
    assert!(new.text().contains("no such key"), "{}", new.text());
    world.gitlab.heal();
    assert_eq!(release.open(&world.gitlab.id_token(release.build)).status, 401, "it is reachable, and not asked");
    assert_eq!(times_asked(&world), before, "GitLab was never asked for its keys");

    // The set is replaced, and the new key counts.
    let keys = send("GET", &format!("{gitlab}/oauth/discovery/keys"), &[], "").ok().text();
    world.configure(|config| config.replace("keys = \"GITLAB_KEYS\"", "keys = \"GITLAB_KEYS_2\""));
    world.bind("GITLAB_KEYS_2", &keys);
    assert_eq!(release.open(&world.gitlab.id_token(release.build)).status, 201);
}
