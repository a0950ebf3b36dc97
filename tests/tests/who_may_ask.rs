//! Who may ask the edge for what. Every refusal here is next to the same request that is granted.
#![allow(clippy::disallowed_methods, reason = "tokens of the past and the future are made from the present")]

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use slipway_core::secret::{EdgeKey, JobSession};
use slipway_core::time::Timestamp;
use slipway_tests::e2e::{Answer, JAMMY, World, deb, send, wait_until};
use slipway_wire::Token;

fn seconds_since_1970() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(now.as_secs()).expect("it will be for long")
}

fn problem(answer: &Answer) -> String {
    answer.json()["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_session_is_opened_for_a_fresh_token_of_a_protected_ref_of_a_registered_project_and_for_no_other() {
    let world = World::start("id-tokens");
    let release = world.release("1.0.0");
    let token = |wishes: &Value| world.gitlab.forged_id_token(release.build, wishes);
    let granted = release.open(&token(&json!({})));
    assert_eq!(granted.status, 201, "{}", granted.text());

    let now = seconds_since_1970();
    for (case, wishes, why) in [
        ("a key that GitLab does not publish", json!({"key": "other"}), "GitLab has no such key"),
        ("no signature", json!({"header": {"alg": "none"}}), "has not the form"),
        ("the public key as a password", json!({"header": {"alg": "HS256"}}), "not signed with RS256"),
        ("another algorithm's name", json!({"header": {"alg": "RS512"}}), "not signed with RS256"),
        ("no key's name", json!({"header": {"kid": null}}), "names no key"),
        ("another audience", json!({"aud": "https://elsewhere.example.com"}), "is for `https://elsewhere"),
        ("several audiences", json!({"aud": [world.stack.audience(), "https://elsewhere"]}), "`aud`"),
        ("a list of the right audience", json!({"aud": [world.stack.audience()]}), "`aud`"),
        ("no audience", json!({"claims": {"aud": null}}), "`aud`"),
        ("another GitLab", json!({"claims": {"iss": "https://gitlab.example.com"}}), "made by `https://gitlab.example"),
        ("an end in the past", json!({"claims": {"exp": now - 120}}), "has expired"),
        ("an age of more than 5 minutes", json!({"claims": {"iat": now - 400, "nbf": now - 405}}), "seconds old"),
        ("made in the future", json!({"claims": {"iat": now + 3600, "exp": now + 7200}}), "made in the future"),
        ("not valid yet", json!({"claims": {"nbf": now + 3600}}), "not valid yet"),
        ("a ref that is not protected", json!({"claims": {"ref_protected": "false"}}), "not a protected branch or tag"),
        ("a merge request", json!({"claims": {"pipeline_source": "merge_request_event"}}), "merge request"),
        (
            "an unknown project",
            json!({"claims": {"project_id": "9999", "job_project_id": "9999"}}),
            "not in slipway.toml",
        ),
        ("another project's name on our job", json!({"claims": {"project_id": "1002"}}), "runs in project 1001"),
        ("a job that runs elsewhere", json!({"claims": {"job_project_id": "1002"}}), "runs in project 1002"),
        ("a project that changed hands", json!({"claims": {"namespace_id": "72"}}), "is in namespace 72"),
        ("a job of another namespace", json!({"claims": {"job_namespace_id": "72"}}), "runs in namespace 72"),
        ("no word about the ref", json!({"claims": {"ref_protected": null}}), "`ref_protected`"),
        ("no job", json!({"claims": {"job_id": null}}), "`job_id`"),
    ] {
        let answer = release.open(&token(&wishes));
        assert_eq!(answer.status, 401, "{case}: {}", answer.text());
        assert!(problem(&answer).contains(why), "{case} should be refused since {why:?}: {}", answer.text());
        assert!(!answer.text().contains("\"session\""), "{case}: {}", answer.text());
    }

    // An algorithm that checks nothing, above a signature.
    let answer = release.open(&format!("{}bm9uZQ", token(&json!({"header": {"alg": "none"}}))));
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(problem(&answer).contains("not signed with RS256"), "{}", answer.text());

    // The signature of one token under the claims of another.
    let (mine, other) = (token(&json!({})), token(&json!({"claims": {"user_login": "jonas"}})));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let swapped = [parts(&mine)[0].clone(), parts(&other)[1].clone(), parts(&mine)[2].clone()].join(".");
    let answer = release.open(&swapped);
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(problem(&answer).contains("signature does not hold"), "{}", answer.text());
    for garbage in ["", "a.b.c", "null", &mine[..mine.len() / 2], &format!("{mine}.{mine}")] {
        assert_eq!(release.open(garbage).status, 401, "{garbage}");
    }
}

#[test]
fn a_session_of_another_project_or_a_forged_or_ended_one_changes_nothing() {
    let world = World::start("sessions");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.point_hook(release.project.id, "http://127.0.0.1:9/nobody");
    world.gitlab.play(job, "mira");
    let own = release.session(job);
    let pilots = world.release_of(world.pilot(), "1.0.0");
    let pilots = pilots.session(pilots.build);

    let key = |text: &str| EdgeKey::parse(&Token::new(text)).expect("64 hexadecimal digits");
    let edge_key = key(world.stack.secret("SLIPWAY_EDGE_KEY"));
    let opened = JobSession::open(&own, &edge_key, Timestamp(0)).expect("the edge has sealed it");
    let sealed = |session: &JobSession, key: &EdgeKey| session.seal(key).expect("it is JSON");
    let ended = JobSession { ends_at: Timestamp(seconds_since_1970() * 1000 - 1), ..opened.clone() };
    let (payload, signature) = own.split_once('.').expect("a payload and its signature");
    let (pilots_payload, _) = pilots.split_once('.').expect("a payload and its signature");

    let sequence = release.sequence();
    for (case, session, status) in [
        ("another project's", pilots.clone(), 403),
        ("none", String::new(), 401),
        ("a guess", "a-guess".to_owned(), 401),
        ("signed with another key", sealed(&opened, &key(&"ab".repeat(32))), 401),
        ("without its signature", format!("{payload}."), 401),
        ("another payload under its signature", format!("{pilots_payload}.{signature}"), 401),
        ("ended", sealed(&ended, &edge_key), 401),
        ("sealed for another purpose", edge_key.seal("copy", &opened).expect("it is JSON"), 401),
        ("the ID token itself", world.gitlab.id_token(job), 401),
    ] {
        let session = Some(session).filter(|session| !session.is_empty());
        for (method, path, body) in [
            (
                "PATCH",
                "",
                json!({"packages": [{"key": "cargo", "staged": {
                    "filename": package.filename, "digest": format!("sha256:{}", "0".repeat(64)), "size": 1,
                }}]}),
            ),
            ("POST", "/promotions", json!({"keys": ["cargo"]})),
        ] {
            let answer = release.api(method, path, session.as_deref(), &body);
            assert_eq!(answer.status, status, "{case}, {method}{path}: {}", answer.text());
        }
    }
    assert_eq!(release.sequence(), sequence, "nothing was written");
    assert_eq!(release.target("cargo")["state"], "staged");
    release.is_not_public(&package.filename);

    assert_eq!(release.promote(&own, &["cargo"]).status, 202);
    release.wait_until_released("cargo");
}

#[test]
fn a_job_releases_the_package_of_its_own_environment_and_pipeline_and_no_other() {
    let world = World::start("environments");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.point_hook(release.project.id, "http://127.0.0.1:9/nobody");
    let again = world.release("1.0.0");
    let named = |name: &str, environment: Value| {
        let mut job = json!({"project": 1001, "pipeline": release.pipeline, "name": name, "status": "manual"});
        if !environment.is_null() {
            job["environment"] = environment;
        }
        world.gitlab.job(&job)["id"].as_u64().expect("a job has a number")
    };
    for (case, job) in [
        ("another environment", release.job_in("release/other", "cargo")),
        ("a longer environment", release.job_in("release/cargo/x", "cargo")),
        ("no environment", named("release: [cargo]", Value::Null)),
        ("another name and no environment", named("release: [other]", Value::Null)),
        ("the same job of another pipeline", again.job("cargo")),
    ] {
        world.gitlab.play(job, "mira");
        let answer = release.promote(&release.session(job), &["cargo"]);
        assert_eq!(answer.status, 403, "{case}: {}", answer.text());
        assert_eq!(release.target("cargo")["state"], "staged", "{case}");
    }
    assert!(world.rows(&release, "cargo", "approved").is_empty(), "nobody approved it");
    release.is_not_public(&package.filename);

    world.gitlab.play(job, "mira");
    assert_eq!(release.promote(&release.session(job), &["cargo"]).status, 202);
    release.wait_until_released("cargo");
}

#[test]
fn the_credential_that_builds_and_downloads_use_cannot_write_to_the_public_repository() {
    let world = World::start("staging-credential");
    let release = world.release("1.0.0");
    let package = {
        release.plan(&["cargo"]);
        release.stage("cargo", &deb("cargo", "", 0))
    };
    let (depot, public) = (&world.depot, &world.depot.public.repository);
    let lighthouse = deb("lighthouse", "", 0);
    let bytes = lighthouse.build().expect("it fits");
    depot.publish(JAMMY, &lighthouse.file_name(), &bytes);

    let push = depot.push(&depot.staging, public, JAMMY, &package.filename, &package.bytes);
    let file = format!("repos/{public}/{JAMMY}/{}", lighthouse.file_name());
    let delete = depot.api(&depot.staging, "DELETE", &format!("{file}.json"), "application/json", "");
    let promote = depot.api(
        &depot.staging,
        "POST",
        &format!("repos/{}/{JAMMY}/{}/promote.json", depot.staging.repository, package.filename),
        "application/json",
        json!({"destination": public}).to_string(),
    );
    for (case, answer) in [("push", push), ("delete", delete), ("promote", promote)] {
        assert_eq!(answer.status, 404, "{case}: {}", answer.text());
    }
    release.is_not_public(&package.filename);
    assert_eq!(depot.served(JAMMY, &lighthouse.file_name()), Some(bytes), "it is still there");
}

#[test]
fn the_route_that_copies_does_nothing_for_anybody_outside() {
    let world = World::start("copy-route");
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");

    // As if somebody had seen a capability of the edge on its way: signed well, and its transfer fetched already.
    let edge_key = EdgeKey::parse(&Token::new(world.stack.secret("SLIPWAY_EDGE_KEY"))).expect("its key");
    let capability = |purpose: &str, ends_in: i64| {
        let ends_at = Timestamp((seconds_since_1970() + ends_in) * 1000);
        let value = json!({"package": "1001/1.0.0/cargo", "nonce": "0".repeat(64), "ends_at": ends_at});
        edge_key.seal(purpose, &value).expect("it is JSON")
    };
    let (replayed, ended, other) = (capability("copy", 20), capability("copy", -20), capability("session", 20));
    let elsewhere = send("POST", &world.edge("/nothing/here"), &[], "garbage");
    let before = world.depot.requests().len();
    for (case, method, path, body) in [
        ("garbage", "POST", "/internal/copy", "garbage"),
        ("nothing", "POST", "/internal/copy", ""),
        ("JSON", "POST", "/internal/copy", r#"{"source":"http://127.0.0.1/","url":"http://127.0.0.1/"}"#),
        ("replayed", "POST", "/internal/copy", &replayed),
        ("ended", "POST", "/internal/copy", &ended),
        ("signed for another purpose", "POST", "/internal/copy", &other),
        ("GET", "GET", "/internal/copy", ""),
        ("PUT", "PUT", "/internal/copy", &replayed),
        ("with a slash", "POST", "/internal/copy/", &replayed),
        ("escaped", "POST", "/internal/%63opy", &replayed),
    ] {
        let answer = send(method, &world.edge(path), &[], body);
        assert_eq!(answer.status, 404, "{case}: {}", answer.text());
        assert_eq!(answer.text(), elsewhere.text(), "{case}: as anywhere else");
    }
    assert_eq!(world.depot.requests().len(), before, "the package server was not asked for anything");
}

#[test]
fn where_nobody_may_read_without_a_session_releases_are_hidden_from_strangers_and_other_projects() {
    let mut world = World::start("reading-nobody");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let package = release.stage("cargo", &deb("cargo", "", 0));
    world.configure(|config| config.replace(r#"reading = "anyone""#, r#"reading = "nobody""#));

    let pilots = world.release_of(world.pilot(), "1.0.0");
    let (own, pilots) = (release.session(release.build), pilots.session(pilots.build));
    let get = |path: &str, session: Option<&str>, accept: &str| {
        let bearer = session.map(|session| format!("Bearer {session}"));
        let mut headers = vec![("accept", accept)];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        send("GET", &world.edge(path), &headers, "")
    };
    for path in [
        "/api/v1/projects/tug/releases/1.0.0",
        "/api/v1/projects/1001/releases/1.0.0",
        "/api/v1/projects/tug/releases/1.0.0/live",
        "/api/v1/projects/tug/releases",
        "/api/v1/projects/tug/audit",
        "/p/tug/r/1.0.0",
        "/p/tug/r/1.0.0/t/cargo/ubuntu/jammy",
        "/p/tug/r/1.0.0/against",
        "/p/tug/activity",
        "/p/tug/deployments",
        "/p/tug",
    ] {
        for accept in ["application/json", "text/html"] {
            for (who, session, status) in [("a stranger", None, 401), ("another project", Some(pilots.as_str()), 404)] {
                let answer = get(path, session, accept);
                assert_eq!(answer.status, status, "{who} at {path}: {}", answer.text());
                // Where to go on after signing in is what they have asked for themselves.
                let told = answer.text().replace(&path.replace('/', "%2F"), "");
                let tells = ["cargo", package.sha256.as_str()].into_iter().find(|secret| told.contains(secret));
                assert_eq!(tells, None, "{who} at {path}");
            }
        }
    }
    let stranger = get("/api/v1/projects", None, "application/json");
    assert_eq!(stranger.status, 401, "{}", stranger.text());
    let answer = get("/api/v1/projects/tug/releases/1.0.0", Some(&own), "application/json").ok();
    assert_eq!(answer.json()["packages"][0]["file"]["digest"], format!("sha256:{}", package.sha256));
}

#[test]
fn the_credential_that_reads_numbers_reads_nothing_else_and_a_guess_reads_none() {
    let mut world = World::start("collects");
    let release = world.release("1.0.0");
    release.plan(&["deb"]);
    world.configure(|config| config.replace("reading = \"anyone\"", "reading = \"nobody\""));
    let ask = |method: &str, path: &str, token: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        send(method, &world.edge(path), &headers, body.to_owned())
    };
    let collector = world.stack.secret("METRICS_TOKEN");
    for (case, token) in [("the collector", collector), ("the operator", world.stack.secret("OPERATOR_TOKEN"))] {
        let answer = ask("GET", "/metrics", token, "").ok().text();
        assert!(answer.contains("slipway_open_releases{project=\"tug\"} 1"), "{case}: {answer}");
    }
    assert_eq!(ask("GET", "/metrics", &format!("{collector}x"), "").status, 401, "a guess");
    assert_eq!(send("GET", &world.edge("/metrics"), &[], "").status, 401, "nobody");
    assert_eq!(ask("GET", "/metrics", &release.session(release.build), "").status, 403, "a job");
    let why = r#"{"reason": "no"}"#;
    for (method, path, body) in [
        ("GET", "/readyz/secrets", ""),
        ("GET", "/api/v1/stop", ""),
        ("POST", "/api/v1/stop", why),
        ("POST", "/api/v1/projects/tug/stop", why),
        ("GET", "/api/v1/projects/tug/releases", ""),
        ("GET", "/api/v1/projects/tug/releases/1.0.0", ""),
        ("GET", "/api/v1/projects/tug/audit", ""),
        ("GET", "/api/v1/projects/tug/export", ""),
        ("POST", "/api/v1/projects/tug/releases/1.0.0/close", why),
        ("POST", "/api/v1/projects/tug/releases/1.0.0/holds", why),
        ("GET", "/p/tug/r/1.0.0", ""),
    ] {
        let answer = ask(method, path, collector, body);
        assert!([403, 404].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(ask("GET", "/api/v1/projects", collector, "").ok().json(), json!([]));
    // One that is named and not set keeps nobody else out.
    let (job, collector) = (release.session(release.build), collector.to_owned());
    world.configure(|config| config.replace("metrics_token = \"METRICS_TOKEN\"", "metrics_token = \"NOT_SET\""));
    let ask = |path: &str, token: &str| {
        send("GET", &world.edge(path), &[("authorization", format!("Bearer {token}").as_str())], "")
    };
    assert_eq!(ask("/api/v1/projects/tug/releases/1.0.0", &job).status, 200);
    assert_eq!(ask("/metrics", &collector).status, 401);
    let secrets = ask("/readyz/secrets", world.stack.secret("OPERATOR_TOKEN")).ok().text();
    assert!(secrets.contains("NOT_SET"), "{secrets}");
    world.is_not_audited("nobody reads it here");
}

#[test]
fn the_operator_alone_is_told_how_each_secret_is_and_none_of_them_is_in_the_answer() {
    let mut world = World::start("secrets");
    let (operator, url) = (world.stack.secret("OPERATOR_TOKEN").to_owned(), world.edge("/readyz/secrets"));
    assert_eq!(send("GET", &world.edge("/readyz"), &[], "").ok().text(), "ready\n");
    let release = world.release("1.0.0");
    let job = format!("Bearer {}", release.session(release.build));
    for (case, headers, status) in [
        ("a stranger", vec![], 401),
        ("a guess", vec![("authorization", "Bearer a-guess")], 401),
        ("a job", vec![("authorization", job.as_str())], 403),
    ] {
        let answer = send("GET", &url, &headers, "");
        assert_eq!(answer.status, status, "{case}: {}", answer.text());
        assert!(!answer.text().contains("_TOKEN"), "{case}: {}", answer.text());
    }
    let told = || {
        let bearer = format!("Bearer {operator}");
        send("GET", &url, &[("authorization", bearer.as_str())], "").ok()
    };
    let answer = told();
    let readiness = answer.json();
    let secrets = readiness["secrets"].as_array().expect("a list").clone();
    let of = |name: &str| secrets.iter().find(|secret| secret["name"] == name).cloned().unwrap_or_default();
    assert_eq!(of("GITLAB_TOKEN")["verdict"], "good", "{readiness}");
    assert_eq!(of("PUBLIC_TOKEN")["found"], json!(["its user may write harbour/stable"]), "{readiness}");
    assert_eq!(of("STAGING_TOKEN")["found"], json!(["its user may write harbour-ci/pre-release"]), "{readiness}");
    assert_eq!(readiness["is_ready"], true, "{readiness}");
    for name in
        ["GITLAB_TOKEN", "PUBLIC_TOKEN", "STAGING_TOKEN", "WEBHOOK_TOKEN_TUG", "OPERATOR_TOKEN", "SLIPWAY_EDGE_KEY"]
    {
        assert!(!answer.text().contains(world.stack.secret(name)), "{name} is in the answer");
    }

    // One account that stages and publishes.
    world.configure(|config| config.replace(r#"token = "STAGING_TOKEN""#, r#"token = "PUBLIC_TOKEN""#));
    let readiness = told().json();
    let found = readiness["secrets"].to_string();
    assert_eq!(readiness["is_ready"], false, "{readiness}");
    assert!(found.contains("it stages, and its user may write the public harbour/stable"), "{found}");

    // A signing key that is set and cannot be used: whoever asks learns that it is not ready, and no more.
    world
        .configure(|config| config.replace(r#"signing_key = "SIGNING_KEY""#, r#"signing_key = "GITLAB_STATUS_TOKEN""#));
    let ready = send("GET", &world.edge("/readyz"), &[], "");
    assert_eq!((ready.status, ready.json()["type"].as_str()), (503, Some("urn:slipway:problem:not-ready")));
    assert!(!ready.text().contains("sign") && !ready.text().contains("GITLAB_STATUS_TOKEN"), "{}", ready.text());
    world.is_not_audited("its audit cannot be signed here");
}

#[test]
fn what_a_session_may_do_ends_with_its_job() {
    let world = World::start("job-ended");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let session = release.session(release.build);
    world.gitlab.finish(release.build, "success");
    let file =
        json!({"filename": "cargo_1.0.0-1_amd64.deb", "digest": format!("sha256:{}", "a".repeat(64)), "size": 3});
    let declare = json!({"packages": [{"key": "cargo", "staged": file}]});
    let mut last = Value::Null;
    // What GitLab said of it while it ran is believed for five seconds.
    wait_until("the session ends", || {
        let answer = release.api("POST", "/holds", Some(&session), &json!({"reason": "a smell"}));
        last = json!({"status": answer.status, "text": answer.text()});
        answer.status == 403
    });
    assert!(last["text"].as_str().is_some_and(|text| text.contains("is `success` in GitLab")), "{last}");
    let sequence = release.sequence();
    for (method, path, body) in [
        ("PATCH", "", &declare),
        ("POST", "/holds", &json!({"reason": "a smell"})),
        ("POST", "/deployments", &json!({"environment": "production"})),
    ] {
        assert_eq!(release.api(method, path, Some(&session), body).status, 403, "{method} {path}");
    }
    assert_eq!(release.sequence(), sequence, "nothing was written");
}

#[test]
fn a_declaration_that_is_refused_changes_nothing() {
    let world = World::start("refused-declaration");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let package = release.stage("cargo", &deb("cargo", "", 0));
    let foreign = world.release("1.1.0");
    foreign.plan(&["cargo"]);
    // Staging has this name already, with the bytes of another release.
    let (before, session) = (foreign.sequence(), foreign.session(foreign.build));
    for replace in [false, true] {
        let file = json!({"filename": package.filename, "digest": format!("sha256:{}", "a".repeat(64)), "size": 3});
        let patch = json!({"packages": [{"key": "cargo", "staged": file, "replace": replace}]});
        let answer = foreign.api("PATCH", "", Some(&session), &patch);
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert!(answer.text().contains("staging-conflict"), "{}", answer.text());
        assert_eq!(foreign.sequence(), before, "replace: {replace}");
    }
    foreign.declare("cargo", &package).ok();
}
