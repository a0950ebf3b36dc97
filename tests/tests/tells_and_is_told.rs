//! What GitLab tells Slipway, and what Slipway tells others: signed webhooks, lost ones, deployments; commit statuses and
//! events.
#![allow(clippy::disallowed_methods, reason = "a signature has the time in it")]

use serde_json::{Value, json};
use slipway_gitlab::{Signed, SigningToken};
use slipway_tests::e2e::{Process, Receiver, World, deb, send, wait_until};
use slipway_wire::Token;

/// An address at which nobody is.
const NOBODY: &str = "http://127.0.0.1:9/nobody";

/// The secret token stays, as where signing was added later: it counts for nothing then.
fn signed(config: &str) -> String {
    let token = "webhook_token = \"WEBHOOK_TOKEN_TUG\"";
    config.replace(token, &format!("{token}\nsigning_token = \"SIGNING_TOKEN_TUG\""))
}

#[test]
fn where_webhooks_are_signed_an_unsigned_or_wrongly_signed_one_is_refused_whatever_token_it_shows() {
    let mut world = World::start("hook-signed");
    world.configure(signed);
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.change_hook(release.project.id, &json!({"url": NOBODY}));
    world.gitlab.play(job, "mira");
    let body = world.gitlab.delivery(job, "pending")["body"].to_string();
    let secret = Token::new(world.stack.secret("SIGNING_TOKEN_TUG"));
    let token = SigningToken::parse(&secret).expect("a signing token");
    let open = world.stack.secret(world.tug().webhook_secret).to_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let deliver = |id: &str, at: u64, signature: &str, body: &str| {
        let at = at.to_string();
        let headers = [
            ("x-gitlab-token", open.as_str()),
            ("x-gitlab-event", "Job Hook"),
            ("webhook-id", id),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature),
        ];
        send("POST", &world.edge("/webhooks/gitlab/1001"), &headers, body).status
    };
    let right = token.sign("a", now, body.as_bytes());
    let other = SigningToken::parse(&Token::new(world.stack.secret("EVENTS_TOKEN"))).expect("a signing token");
    for (case, status) in [
        ("no signature", deliver("a", now, "", &body)),
        ("another key", deliver("a", now, &other.sign("a", now, body.as_bytes()), &body)),
        ("another id", deliver("b", now, &right, &body)),
        ("another time", deliver("a", now - 1, &right, &body)),
        ("another body", deliver("a", now, &right, &body.replace("pending", "success"))),
        ("too old", deliver("a", now - 400, &token.sign("a", now - 400, body.as_bytes()), &body)),
        ("from the future", deliver("a", now + 400, &token.sign("a", now + 400, body.as_bytes()), &body)),
    ] {
        assert_eq!(status, 401, "{case}");
    }
    let unsigned = [("x-gitlab-token", open.as_str()), ("x-gitlab-event", "Job Hook")];
    assert_eq!(send("POST", &world.edge("/webhooks/gitlab/1001"), &unsigned, body.as_str()).status, 401);
    assert_eq!(world.gitlab.times_asked(release.project.id, job), 0, "GitLab was not asked");
    release.is_not_public(&package.filename);

    // And GitLab's own signature is right.
    let hook =
        json!({"url": world.stack.webhook_url(&world.tug()), "signing_token": world.stack.secret("SIGNING_TOKEN_TUG")});
    world.gitlab.change_hook(release.project.id, &hook);
    let again = world.gitlab.resend(&world.gitlab.delivery(job, "pending"));
    assert_eq!(again["response_status"], 202, "{again}");
    release.wait_until_released("cargo");
}

#[test]
fn a_played_job_whose_webhook_was_lost_is_found_by_reading_its_pipeline() {
    let world = World::start("hook-lost");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.point_hook(release.project.id, NOBODY);
    // The job that declares is asked for by what it writes.
    let asked = world.gitlab.times_asked(release.project.id, release.build);
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    release.is_public_once(&package);
    assert_eq!(release.target("cargo")["approval"]["by"], "mira");
    assert_eq!(world.gitlab.times_asked(release.project.id, job), 1);
    assert_eq!(world.gitlab.times_asked(release.project.id, release.build), asked, "only the declared job is read");
}

#[test]
fn a_package_that_a_webhook_alone_released_gets_a_commit_status_with_the_page_to_look_at() {
    let mut world = World::start("hook-status");
    world.configure(|config| {
        config.replace("token = \"GITLAB_TOKEN\"", "token = \"GITLAB_TOKEN\"\nstatus_token = \"GITLAB_STATUS_TOKEN\"")
    });
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    let mut status = Value::Null;
    wait_until("the commit has a status", || {
        status = world.gitlab.statuses().pop().unwrap_or_default();
        status["status"] == "success"
    });
    assert_eq!(status["name"], "slipway/cargo");
    assert_eq!(status["pipeline_id"], release.pipeline);
    assert_eq!(status["target_url"], world.edge("/p/tug/r/1.0.0"));
    assert_eq!(status["description"], "Released by mira; the public place serves it for 1 target.");
    assert_eq!(world.gitlab.statuses().len(), 1);
}

#[test]
fn a_complete_release_is_told_once_by_a_signed_request_and_by_a_pipeline_even_if_the_first_tries_fail() {
    let receiver = Receiver::start();
    let more = format!(
        "[[events]]\nprojects = [\"tug\"]\nkinds = [\"complete\", \"needs_person\", \"conflict\"]\nurl = \"{}\"\n\
         signing_token = \"EVENTS_TOKEN\"\n\n[[events]]\nkinds = [\"complete\"]\n\
         trigger = {{ project = 1002, ref = \"main\", token = \"TRIGGER_TOKEN\" }}\n",
        receiver.url()
    );
    let mut world = World::start_with("events", |settings| settings.more_config = more);
    let release = world.release("1.0.0");
    release.plan(&["cargo", "ballast"]);
    let mut jobs = Vec::new();
    for name in ["cargo", "ballast"] {
        release.stage(name, &deb(name, "", 0));
        jobs.push(release.job(name));
    }
    receiver.fail(2);
    world.gitlab.play(jobs[0], "mira");
    release.wait_until_released("cargo");
    assert!(receiver.received().is_empty(), "one package is not a release");
    world.gitlab.play(jobs[1], "mira");
    release.wait_until_released("ballast");
    wait_until("the third try has arrived", || receiver.received().len() >= 3);
    world.kill(Process::Edge);
    world.start_again(Process::Edge);
    wait_until("a pipeline has started", || !world.gitlab.triggered().is_empty());

    let tries = receiver.received();
    let token = SigningToken::parse(&Token::new(world.stack.secret("EVENTS_TOKEN"))).expect("a signing token");
    for request in &tries {
        let [id, timestamp, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| request.header(name));
        let at = timestamp.parse().expect("seconds");
        token.verify(&Signed { id, timestamp, signature }, &request.body, at).expect("it is signed");
        assert_eq!(request.header("webhook-id"), tries[0].header("webhook-id"), "the same event");
        assert_eq!(request.body, tries[0].body);
    }
    // A kill may come between an answer and the note of it: then the same event comes again.
    let statuses: Vec<u16> = tries.iter().map(|request| request.status).collect();
    assert_eq!(statuses[..3], [503, 503, 204], "{statuses:?}");
    let event = tries[0].json();
    assert_eq!((&event["type"], &event["data"]["version"]), (&json!("release.complete"), &json!("1.0.0")));
    assert_eq!(event["data"]["url"], world.edge("/p/tug/r/1.0.0"));
    let triggered = world.gitlab.triggered();
    assert!(triggered.iter().all(|one| one["variables"] == triggered[0]["variables"]), "{triggered:?}");
    let variables = triggered[0]["variables"].to_string();
    for part in [r#"["SLIPWAY_EVENT","complete"]"#, r#"["SLIPWAY_PROJECT","tug"]"#, r#"["SLIPWAY_VERSION","1.0.0"]"#] {
        assert!(variables.contains(part), "{part} in {variables}");
    }
}

#[test]
fn a_deployment_that_gitlab_tells_of_opens_the_gate_that_waits_for_it() {
    let more = "[[gates]]\nprojects = [\"tug\"]\ndeployed = [\"staging\"]\n".to_owned();
    let world = World::start_with("hook-deployment", |settings| settings.more_config = more);
    world.gitlab.change_hook(world.tug().id, &json!({"events": ["job", "deployment"]}));
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "mira");
    wait_until("the release is refused", || !world.rows(&release, "cargo", "refused").is_empty());
    release.is_not_public(&package.filename);
    world.gitlab.finish(job, "success");
    let deploy = world.gitlab.job(&json!({
        "project": release.project.id, "pipeline": release.pipeline, "name": "deploy", "status": "running",
        "environment": "staging",
    }));
    let deploy = deploy["id"].as_u64().expect("a number");
    world.gitlab.finish(deploy, "success");
    wait_until("the deployment is known", || world.audit(world.tug()).iter().any(|row| row["action"] == "deployed"));
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    assert_eq!(world.gitlab.times_asked(release.project.id, deploy), 0, "the deployment was read, not the job");
}
