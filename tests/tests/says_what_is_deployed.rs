//! Jobs of other projects that deploy a release say where it runs, each for its own environments, and do nothing else.

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, Release, World, deb};

const CONFIG: &str = r#"
[[deployers]]
id = 2001
namespace_id = 90
name = "fleet"
projects = ["tug"]
environments = ["production"]

[[gates]]
deployed = ["production"]
"#;

/// A running job of the project that deploys.
fn deploying(world: &World, wishes: &Value) -> u64 {
    let mut job = json!({"project": 2001, "name": "deploy", "ref": "main", "user": "jonas", "status": "running"});
    for (name, value) in wishes.as_object().expect("wishes have names") {
        job[name] = value.clone();
    }
    world.gitlab.job(&job)["id"].as_u64().expect("a number")
}

fn says(release: &Release, session: &str, environment: &str) -> Answer {
    release.api("POST", "/deployments", Some(session), &json!({"environment": environment}))
}

fn blocked(release: &Release) -> Value {
    release.shown()["packages"][0]["blocked"].clone()
}

#[test]
fn a_deployers_job_opens_the_gate_of_its_environment_and_may_do_nothing_else() {
    let world = World::start_with("deployer", |settings| settings.more_config = CONFIG.to_owned());
    for (id, namespace, path) in [(2001, 90, "ops/fleet"), (2002, 90, "ops/others")] {
        world.gitlab.tell("POST", "projects", &json!({"id": id, "namespace_id": namespace, "path": path}));
    }
    let release = world.release("1.0.0");
    let pilots = world.release_of(world.pilot(), "1.0.0");
    pilots.plan(&["sail"]);
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let played = world.gitlab.play(job, "mira");
    let closed = release.promote(&release.session(played), &["cargo"]);
    assert_eq!(closed.status, 409, "{}", closed.text());
    assert!(closed.text().contains("what is staged is not deployed to `production` yet"), "{}", closed.text());

    // Who is not a deployer, or not from where its jobs are trusted, has no session.
    let open = |job: u64, wishes: &Value| release.open(&world.gitlab.forged_id_token(job, wishes));
    let own = deploying(&world, &json!({}));
    for (case, job, wishes, why) in [
        (
            "another project of the group",
            deploying(&world, &json!({"project": 2002})),
            json!({}),
            "not in slipway.toml",
        ),
        (
            "an unprotected branch",
            deploying(&world, &json!({"ref": "wip", "protected": false})),
            json!({}),
            "not a protected",
        ),
        ("a project that changed hands", own, json!({"claims": {"namespace_id": "91"}}), "namespace"),
    ] {
        let answer = open(job, &wishes);
        assert_eq!(answer.status, 401, "{case}: {}", answer.text());
        assert!(answer.text().contains(why), "{case}: {}", answer.text());
    }

    let session = open(own, &json!({})).ok().json();
    assert_eq!(session["project"]["name"], "fleet", "{session}");
    let session = session["session"].as_str().expect("a session");
    for environment in ["staging", "Production", "production/eu", ""] {
        let answer = says(&release, session, environment);
        assert!([403, 422].contains(&answer.status), "{environment:?}: {}", answer.text());
    }
    let elsewhere = says(&pilots, session, "production");
    assert!([403, 404].contains(&elsewhere.status), "another project: {}", elsewhere.text());
    for (method, path, body) in [
        ("POST", "/promotions", json!({"keys": ["cargo"]})),
        ("POST", "/promotions", json!({"all": true})),
        ("PATCH", "", json!({"packages": []})),
        ("POST", "/holds", json!({"reason": "a smell"})),
        ("POST", "/close", json!({"reason": "given up"})),
        ("POST", "/overrides", json!({"gates": ["deployed"], "reason": "hurry"})),
    ] {
        let answer = release.api(method, path, Some(session), &body);
        assert_eq!(answer.status, 403, "{method}{path}: {}", answer.text());
    }
    assert_eq!(blocked(&release)[0]["gate"], "deployed", "nothing of this has opened it");

    let told = says(&release, session, "production");
    assert_eq!(told.status, 204, "{}", told.text());
    assert!(blocked(&release).is_null(), "{}", release.shown());
    let row = world.audit(release.project).into_iter().find(|row| row["action"] == "deployed").expect("a row");
    assert!(row["actor"].as_str().is_some_and(|actor| actor.starts_with("deployer:fleet")), "{row}");
    let again = world.gitlab.play(release.job("cargo"), "mira");
    release.promote(&release.session(again), &["cargo"]).ok();
    release.wait_until_released("cargo");
    release.is_public_once(&package);
}
