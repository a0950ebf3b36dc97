//! What the webhook's door lets in. A webhook authorises nothing: it only says where to look.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, World, deb, send, wait_until};

/// An address at which nobody is: the stand-in's own webhooks must not help.
const NOBODY: &str = "http://127.0.0.1:9/nobody";

/// `webhook.rs` in the Worker.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn without_the_projects_own_token_every_answer_is_the_same_401() {
    let world = World::start("hook-401");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.point_hook(release.project.id, NOBODY);
    world.gitlab.play(job, "mira");
    let body = world.gitlab.delivery(job, "pending")["body"].to_string();
    let own = world.stack.secret(world.tug().webhook_secret).to_owned();
    let others = world.stack.secret(world.pilot().webhook_secret).to_owned();

    let mut answers: Vec<(String, Answer)> = Vec::new();
    for (project, token) in [
        ("1001", None),
        ("1001", Some("")),
        ("1001", Some("a-guess")),
        ("1001", Some(&own[..own.len() - 1])),
        ("1001", Some(others.as_str())),
        ("tug", None),
        ("1002", Some(own.as_str())),
        ("9999", Some(own.as_str())),
        ("nobodys", Some(own.as_str())),
        ("nobodys", None),
        ("%31%30%30%32", Some(own.as_str())),
    ] {
        let mut headers = vec![("x-gitlab-event", "Job Hook"), ("content-type", "application/json")];
        headers.extend(token.map(|token| ("x-gitlab-token", token)));
        let answer = send("POST", &world.edge(&format!("/webhooks/gitlab/{project}")), &headers, body.as_str());
        answers.push((format!("{project} with {token:?}"), answer));
    }
    for (case, answer) in &answers {
        assert_eq!(answer.status, 401, "{case}: {}", answer.text());
        assert_eq!(answer.text(), answers[0].1.text(), "{case}");
    }
    comes_after_all_hints(&world);
    assert_eq!(release.target("cargo")["state"], "staged");
    release.is_not_public(&package.filename);
}

#[test]
fn what_looks_signed_tells_nobody_which_projects_there_are_however_long_it_is() {
    let mut world = World::start("hook-signed-401");
    let token = "webhook_token = \"WEBHOOK_TOKEN_TUG\"";
    world.configure(|config| config.replace(token, &format!("{token}\nsigning_token = \"SIGNING_TOKEN_TUG\"")));
    let url = world.edge("");
    let address = url.strip_prefix("http://").expect("loopback has no TLS").trim_end_matches('/').to_owned();
    let now = seconds_since_1970();
    // A signature is 32 bytes, whatever they are.
    let signature = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for length in [2, BODY_BYTES_MAX + 1] {
        // `tug` is signed, `pilot` has a token, and the third is none.
        for project in ["tug", "pilot", "nobodys"] {
            let mut connection = TcpStream::connect(&address).expect("the edge listens");
            connection.set_read_timeout(Some(PATIENCE)).expect("a deadline is not zero");
            // Nothing of it is sent where it is too long: the length alone is enough.
            let body = if length == 2 { "{}" } else { "" };
            let sent = format!(
                "POST /webhooks/gitlab/{project} HTTP/1.1\r\nhost: {address}\r\nwebhook-id: one\r\nwebhook-timestamp: {now}\r\n\
                 webhook-signature: {signature}\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            connection.write_all(sent.as_bytes()).expect("it reads");
            let mut line = [0; 12];
            connection.read_exact(&mut line).expect("it answers");
            assert_eq!(&line, b"HTTP/1.1 401", "{project}, {length} bytes");
        }
    }
    // One that is only announced is waited for, of whomever.
    for project in ["tug", "pilot", "nobodys"] {
        let mut connection = TcpStream::connect(&address).expect("the edge listens");
        let sent = format!(
            "POST /webhooks/gitlab/{project} HTTP/1.1\r\nhost: {address}\r\nwebhook-id: one\r\nwebhook-timestamp: {now}\r\n\
             webhook-signature: {signature}\r\ncontent-length: 2\r\n\r\n"
        );
        connection.write_all(sent.as_bytes()).expect("it reads");
        connection.set_read_timeout(Some(Duration::from_secs(2))).expect("a deadline is not zero");
        let answered = connection.read(&mut [0; 12]).is_ok_and(|length| length > 0);
        assert!(!answered, "{project} is answered before its body came");
    }
}

#[expect(clippy::disallowed_methods, reason = "a signature is of the present")]
fn seconds_since_1970() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    now.as_secs()
}

#[test]
fn a_body_that_is_not_json_is_answered_400() {
    let world = World::start("hook-400");
    let token = world.stack.secret(world.tug().webhook_secret);
    for (body, status) in [
        (b"".as_slice(), 400),
        (b"not JSON", 400),
        (b"{\"object_kind\": \"build\"", 400),
        (b"object_kind=build&build_id=1", 400),
        (b"\xff\xfe\x00", 400),
        // GitLab switches a hook off that fails a few times, and these may come of a template or of a newer GitLab.
        (b"[]", 204),
        (b"{}", 204),
        (b"\"build\"", 204),
        (b"{\"object_kind\": \"build\"}", 204),
        (b"{\"object_kind\": \"build\", \"project_id\": \"1001\", \"build_id\": -1}", 204),
    ] {
        let answer = send("POST", &world.stack.webhook_url(&world.tug()), &[("x-gitlab-token", token)], body);
        assert_eq!(answer.status, status, "{}: {}", String::from_utf8_lossy(body), answer.text());
    }
    let rows = world.audit(world.tug());
    assert!(rows.iter().all(|row| row["action"] == "configured"), "nothing was written: {rows:?}");
}

#[test]
fn a_body_that_is_too_big_is_answered_413_whether_it_says_its_length_or_not() {
    let world = World::start("hook-413");
    let padded = |length: usize| {
        let body = json!({"object_kind": "push", "padding": ""}).to_string();
        body.replace(r#""padding":"""#, &format!(r#""padding":"{}""#, "x".repeat(length - body.len())))
    };
    let at_most = padded(BODY_BYTES_MAX);
    assert_eq!(at_most.len(), BODY_BYTES_MAX);
    for (case, headers, body, status) in [
        ("as long as allowed", format!("content-length: {BODY_BYTES_MAX}"), at_most.clone(), 204),
        ("as long as allowed, in chunks", "transfer-encoding: chunked".to_owned(), chunked(&at_most), 204),
        // Nothing of it is sent: the length alone is enough.
        ("announced", format!("content-length: {}", BODY_BYTES_MAX + 1), String::new(), 413),
        ("in chunks", "transfer-encoding: chunked".to_owned(), chunked(&padded(BODY_BYTES_MAX + 1)), 413),
        ("far too long, in chunks", "transfer-encoding: chunked".to_owned(), chunked(&padded(3 * BODY_BYTES_MAX)), 413),
    ] {
        assert_eq!(status_of(&world, &headers, &body), Some(status), "{case}");
    }
}

fn chunked(body: &str) -> String {
    let chunks = body.as_bytes().chunks(50_000).map(|chunk| {
        let text = std::str::from_utf8(chunk).expect("it is ASCII");
        format!("{:x}\r\n{text}\r\n", text.len())
    });
    chunks.chain(["0\r\n\r\n".to_owned()]).collect()
}

/// The status that a raw request is answered with; the answer may come before all of the body is sent.
fn status_of(world: &World, headers: &str, body: &str) -> Option<u16> {
    let url = world.edge("");
    let address = url.strip_prefix("http://").expect("loopback has no TLS");
    let token = world.stack.secret(world.tug().webhook_secret);
    let mut connection = TcpStream::connect(address).expect("the edge listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a deadline is not zero");
    let head = format!(
        "POST /webhooks/gitlab/1001 HTTP/1.1\r\nhost: {address}\r\nx-gitlab-token: {token}\r\n\
         x-gitlab-event: Push Hook\r\n{headers}\r\n\r\n"
    );
    let mut writer = connection.try_clone().expect("a socket can be shared");
    let text = format!("{head}{body}");
    let sending = thread::spawn(move || {
        // A refused body may not be taken to its end.
        let _ = writer.write_all(text.as_bytes());
    });
    let mut line = [0; 12];
    connection.read_exact(&mut line).ok()?;
    let status = std::str::from_utf8(&line).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok();
    drop(connection.shutdown(std::net::Shutdown::Both));
    sending.join().expect("it does not panic");
    status
}

/// Hints are looked into in their order: once a later one has led to a release, those before it were.
fn comes_after_all_hints(world: &World) {
    let number = world.audit(world.tug()).len();
    let release = world.release(&format!("0.0.{number}-fence"));
    let (_, job) = release.ready(&deb(&format!("fence-{number}"), "", 0));
    world.gitlab.play(job, "mira");
    let body = world.gitlab.delivery(job, "pending")["body"].clone();
    assert_eq!(world.hook(world.tug(), &body).status, 202);
    release.wait_until_released(&format!("fence-{number}"));
}

/// A played job's webhook with some fields replaced.
fn with(body: &Value, fields: &Value) -> Value {
    let mut body = body.clone();
    for (name, value) in fields.as_object().expect("fields have names") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_webhook_that_is_not_of_a_played_release_job_is_taken_and_changes_nothing() {
    let world = World::start("hook-no-effect");
    let gitlab = &world.gitlab;
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    for project in [world.tug(), world.pilot()] {
        gitlab.point_hook(project.id, NOBODY);
    }
    // Mira has played the job, and GitLab would confirm it; the edge has not been told.
    gitlab.play(job, "mira");
    let body = gitlab.delivery(job, "pending")["body"].clone();
    let played = |wanted: &Value| {
        let other = gitlab.job(wanted)["id"].as_u64().expect("a job has a number");
        gitlab.play(other, "mira");
        gitlab.delivery(other, "pending")["body"].clone()
    };
    let same_name = |project: u64, pipeline: Option<u64>, name: &str| {
        let mut job = json!({
            "project": project, "name": name, "ref": "v1.0.0", "tag": true, "environment": "release/cargo",
        });
        if let Some(pipeline) = pipeline {
            job["pipeline"] = json!(pipeline);
        }
        played(&job)
    };
    let pilots = same_name(1002, None, "release: [cargo]");
    let sequence = release.sequence();
    let journal = world.depot.journal().len();

    // What was declared is known before it is read: for no other job GitLab is asked.
    let mut asked = Vec::new();
    let mut unasked = Vec::new();
    for (case, body, status) in [
        ("another event", with(&body, &json!({"object_kind": "push"})), 204),
        ("a pipeline's event", with(&body, &json!({"object_kind": "pipeline"})), 204),
        ("a deployment's event", with(&body, &json!({"object_kind": "deployment"})), 204),
        ("an event that nobody knows", with(&body, &json!({"object_kind": "tea_break"})), 204),
        ("another project's job", pilots.clone(), 204),
        ("another project's number", with(&body, &json!({"project_id": 1002})), 204),
        ("another project's job, as ours", with(&pilots, &json!({"project_id": 1001})), 204),
        ("a job that is not there", with(&body, &json!({"build_id": 77})), 202),
        ("another pipeline's job", same_name(1001, None, "release: [cargo]"), 204),
        ("a build job", same_name(1001, Some(release.pipeline), "build: [cargo]"), 204),
        ("another key's job", same_name(1001, Some(release.pipeline), "release: [other]"), 204),
        ("a similar name", same_name(1001, Some(release.pipeline), "release: [cargo] "), 204),
        ("a job in the pipeline", with(&body, &json!({"build_status": "created"})), 204),
        ("a job that nobody played", with(&body, &json!({"build_status": "manual"})), 204),
        ("a job for later", with(&body, &json!({"build_status": "scheduled"})), 204),
        ("a job that was left out", with(&body, &json!({"build_status": "skipped"})), 204),
        ("a failed job", with(&body, &json!({"build_status": "failed"})), 204),
        ("a canceled job", with(&body, &json!({"build_status": "canceled"})), 204),
        ("a job being stopped", with(&body, &json!({"build_status": "canceling"})), 204),
        ("a status that nobody knows", with(&body, &json!({"build_status": "dreaming"})), 204),
    ] {
        let answer = world.hook(world.tug(), &body);
        assert_eq!(answer.status, status, "{case}: {}", answer.text());
        let job = body["build_id"].as_u64().expect("a number");
        if status == 202 {
            asked.push(job);
        } else if body["build_name"] != "release: [cargo]" {
            unasked.push(job);
        }
    }
    for job in asked {
        wait_until(&format!("GitLab was asked for job {job}"), || gitlab.times_asked(1001, job) > 0);
    }
    comes_after_all_hints(&world);
    for job in unasked {
        assert_eq!(gitlab.times_asked(1001, job), 0, "job {job} is no release job");
    }
    assert_eq!(release.target("cargo")["state"], "staged");
    assert_eq!(release.sequence(), sequence, "the record has not changed");
    // The fence staged and released one package of its own.
    assert_eq!(world.depot.journal().len(), journal + 2, "nothing was written");
    release.is_not_public(&package.filename);

    // Nothing else was wrong with it.
    assert_eq!(world.hook(world.tug(), &body).status, 202);
    release.wait_until_released("cargo");
    release.is_public_once(&package);
}

#[test]
fn a_forged_webhook_of_a_job_that_gitlab_knows_better_releases_nothing() {
    let world = World::start("hook-forged");
    let gitlab = &world.gitlab;
    let release = world.release("1.0.0");
    gitlab.point_hook(release.project.id, NOBODY);
    let keys = ["manual", "failed", "canceled"];
    release.plan(&keys);
    let (mut packages, mut manual) = (Vec::new(), 0);
    for key in keys {
        let package = release.stage(key, &deb(key, "", 0));
        let job = release.job(key);
        if key == "manual" {
            manual = job;
        } else {
            gitlab.play(job, "mira");
            gitlab.finish(job, key);
        }
        for status in ["pending", "running", "success"] {
            let body = json!({
                "object_kind": "build", "project_id": 1001, "pipeline_id": release.pipeline, "build_id": job,
                "build_name": format!("release: [{key}]"), "build_status": status,
                "user": {"id": 7, "username": "mira", "name": "Mira Holt"},
            });
            assert_eq!(world.hook(world.tug(), &body).status, 202, "it cannot be told from a real one");
        }
        packages.push((key, package));
    }
    comes_after_all_hints(&world);
    // What GitLab says of a job that was played just now may be a moment old, so it is asked about this one again.
    wait_until("GitLab was asked again about the manual job", || gitlab.times_asked(1001, manual) > 3);
    for (key, package) in packages {
        assert_eq!(release.target(key)["state"], "staged", "{key}");
        assert!(world.rows(&release, key, "approved").is_empty(), "{key} was approved");
        if key != "manual" {
            // A job that can still be played is not refused, or a forger could use up its click.
            assert_eq!(
                world.rows(&release, key, "refused").is_empty(),
                key == "manual",
                "what the audit says of {key}"
            );
        }
        release.is_not_public(&package.filename);
    }
    let job = release.job("manual");
    gitlab.play(job, "mira");
    let delivery = gitlab.delivery(job, "pending")["body"].clone();
    assert_eq!(world.hook(world.tug(), &delivery).status, 202);
    release.wait_until_released("manual");
}

#[test]
fn duplicates_and_replays_of_a_webhook_make_one_promotion() {
    let world = World::start("hook-replayed");
    let gitlab = &world.gitlab;
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    gitlab.point_hook(release.project.id, NOBODY);
    gitlab.play(job, "mira");
    let pending = gitlab.delivery(job, "pending")["body"].clone();
    let running = gitlab.delivery(job, "running")["body"].clone();
    let all_at_once = |count: usize| {
        thread::scope(|scope| {
            for number in 0..count {
                let body = if number % 2 == 0 { &pending } else { &running };
                let world = &world;
                scope.spawn(move || assert_eq!(world.hook(world.tug(), body).status, 202));
            }
        });
    };
    all_at_once(10);
    release.wait_until_released("cargo");
    all_at_once(4);

    // A person sends them again, with the key that GitLab gave them, and the job ends well.
    gitlab.point_hook(release.project.id, &world.stack.webhook_url(&release.project));
    for status in ["pending", "running", "pending"] {
        assert_eq!(gitlab.resend(&gitlab.delivery(job, status))["response_status"], 202);
    }
    gitlab.finish(job, "success");
    assert_eq!(gitlab.delivery(job, "success")["response_status"], 202);

    comes_after_all_hints(&world);
    assert_eq!(world.rows(&release, "cargo", "approved").len(), 1);
    assert_eq!(release.target("cargo")["state"], "released");
    release.is_public_once(&package);
}
