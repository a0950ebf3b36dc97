//! What stands between a played job and the public: every gate on the real stack, asked when somebody plays and again
//! right before the bytes are sent.

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, Deb, Gate, Package, Release, World, deb, send, wait_until};

fn gated(test: &str, gates: &str) -> (World, Release) {
    let world = World::start_with(test, |settings| {
        gates.clone_into(&mut settings.more_config);
        // One transfer at a time: whoever is approved beside it waits for its turn.
        settings.transfers = Some(1);
    });
    let release = world.release("1.0.0");
    (world, release)
}

/// A staged package with its manual job.
fn ready(release: &Release, key: &str, bytes: usize) -> (Package, u64) {
    release.ready(&deb(key, "", bytes))
}

fn blocked(release: &Release, key: &str) -> Value {
    let shown = release.shown();
    let package = shown["packages"].as_array().expect("packages").iter().find(|package| package["key"] == key);
    package.expect("it is planned")["blocked"].clone()
}

/// The played job asks, and a gate says why not. The sentence.
#[track_caller]
fn refused(release: &Release, job: u64, key: &str) -> String {
    let answer = release.promote(&release.session(job), &[key]);
    assert_eq!(answer.status, 409, "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:slipway:problem:gate-closed", "{problem}");
    problem["detail"].as_str().expect("a sentence").to_owned()
}

fn post(release: &Release, job: u64, path: &str, body: &Value) -> Answer {
    release.api("POST", path, Some(&release.session(job)), body)
}

/// A copy that holds the only slot, and one that was approved and waits for it.
fn one_goes_one_waits(world: &World, release: &Release) -> (Gate, Package, Package) {
    let (first, first_job) = ready(release, "first", 300_000);
    let (second, second_job) = ready(release, "second", 0);
    let gate = world.depot.gate(&first.filename, 1000);
    world.gitlab.play(first_job, "mira");
    gate.wait();
    world.gitlab.play(second_job, "mira");
    release.wait("second", &["approved"]);
    (gate, first, second)
}

#[test]
fn a_hold_stops_what_was_approved_and_has_not_begun_and_lets_finish_what_has() {
    let (world, release) = gated("hold", "");
    let (gate, first, second) = one_goes_one_waits(&world, &release);
    let held = post(&release, release.build, "/holds", &json!({"reason": "the notes are wrong"})).ok().json();
    assert_eq!(held["holds"][0]["reason"], "the notes are wrong");
    let second_target = release.target("second");
    assert_eq!((&second_target["state"], &second_target["problem"]["code"]), (&json!("staged"), &json!("blocked")));
    assert_eq!(release.target("first")["state"], "releasing");
    gate.open();
    release.wait_until_released("first");
    release.is_public_once(&first);
    release.is_not_public(&second.filename);
    // Nobody gets through while it lasts, and the sentence names who holds it and why.
    let again = world.gitlab.play(release.job("second"), "mira");
    let why = refused(&release, again, "second");
    assert!(why.contains("on hold by mira since") && why.contains("the notes are wrong"), "{why}");
    assert_eq!(blocked(&release, "second")[0]["gate"], "hold");
    // Lifted, nothing goes by itself: it is played again.
    let lift = |session: &str| release.api("DELETE", "/holds", Some(session), &json!({"reason": "mended"}));
    assert_eq!(lift(&release.session(release.build)).status, 403, "no script undoes what somebody has stopped");
    lift(world.stack.secret("OPERATOR_TOKEN")).ok();
    assert_eq!(release.target("second")["state"], "staged");
    let anew = world.gitlab.play(release.job("second"), "mira");
    release.promote(&release.session(anew), &["second"]).ok();
    release.wait_until_released("second");
    release.is_public_once(&second);
}

#[test]
fn what_waits_for_its_turn_when_a_freeze_begins_is_not_sent() {
    let (mut world, release) = gated("freeze", "");
    let (gate, _first, second) = one_goes_one_waits(&world, &release);
    let freeze = "[[gates]]\nkeys = [\"second\"]\nfreeze = [{ from = \"2000-01-01T00:00:00Z\", until = \"2999-01-01T00:00:00Z\", why = \"an audit\" }]\n";
    world.configure(|before| format!("{before}\n{freeze}"));
    gate.open();
    let target = release.wait_for_target("second", None, "given back", |target| target["problem"]["code"] == "blocked");
    assert_eq!(target["state"], "staged");
    let what = target["problem"]["what"].as_str().expect("a sentence");
    assert!(what.contains("frozen until 2999-01-01 00:00:00 UTC: an audit"), "{what}");
    release.wait_until_released("first");
    release.is_not_public(&second.filename);
    assert_eq!(blocked(&release, "second")[0]["until"], "2999-01-01T00:00:00.000Z");
}

#[test]
fn a_package_soaks_before_it_goes_and_its_webhook_is_refused_once() {
    let (world, release) = gated("soak", "[[gates]]\nsoak = \"8s\"\n");
    let (package, job) = ready(&release, "deb", 0);
    let job = world.gitlab.play(job, "mira");
    let why = refused(&release, job, "deb");
    assert!(why.starts_with("`deb` may not be released yet: it has to be staged for 8s"), "{why}");
    world.gitlab.delivery(job, "pending");
    // Whoever waits for a change hears of the soak's end when it ends, though nobody does anything then.
    let shown = release.shown();
    let until = shown["packages"][0]["blocked"][0]["until"].as_str().expect("it says until when").to_owned();
    let mut told = shown;
    while !told["packages"][0]["blocked"].is_null() {
        let since = told["sequence"].as_u64().expect("a number");
        told = release.api("GET", &format!("?since={since}&timeout=25"), None, &Value::Null).ok().json();
        assert!(told["sequence"].as_u64() > Some(since), "nothing was told within 25 s: {told}");
    }
    let moment = |text: &str| text.parse::<slipway_core::time::Timestamp>().expect("a moment");
    let late = moment(told["at"].as_str().expect("a moment")).since(moment(&until));
    assert!(late < std::time::Duration::from_secs(3), "it was told {late:?} after its end");
    // The refused job is over, however late its webhook is looked into; another is asked for.
    assert_eq!(world.rows(&release, "deb", "refused").len(), 1);
    assert_eq!(release.target("deb")["state"], "staged");
    let again = world.gitlab.play(release.job("deb"), "mira");
    release.promote(&release.session(again), &["deb"]).ok();
    release.wait_until_released("deb");
    release.is_public_once(&package);
}

#[test]
fn a_gate_asks_for_the_jobs_of_the_pipeline_and_for_a_second_person() {
    let (world, release) = gated("jobs", "[[gates]]\njobs = [\"qa\"]\nsecond_person = true\n");
    let (package, job) = ready(&release, "deb", 0);
    let qa = world.gitlab.job(&json!({
        "project": release.project.id, "pipeline": release.pipeline, "name": "qa", "status": "running",
    }));
    let played = world.gitlab.play(job, "mira");
    let why = refused(&release, played, "deb");
    let pipeline = release.pipeline;
    for part in [
        format!("pipeline {pipeline} has the job `qa` running, which must succeed"),
        format!("who plays its job has started pipeline {pipeline}, and a second person must play it"),
    ] {
        assert!(why.contains(&part), "{why}");
    }
    world.gitlab.finish(qa["id"].as_u64().expect("a number"), "success");
    let jonas = world.gitlab.play(release.job("deb"), "jonas");
    // What GitLab said is believed for ten seconds.
    wait_until("the job is accepted", || {
        let answer = release.promote(&release.session(jonas), &["deb"]);
        assert!([202, 409].contains(&answer.status), "{}", answer.text());
        answer.status == 202
    });
    release.wait_until_released("deb");
    release.is_public_once(&package);
}

#[test]
fn a_deployment_counts_for_the_staged_bytes_and_not_for_those_before() {
    let (world, release) = gated("deployed", "[[gates]]\ndeployed = [\"production\"]\n");
    let (_, job) = ready(&release, "deb", 0);
    let played = world.gitlab.play(job, "mira");
    assert!(refused(&release, played, "deb").ends_with("what is staged is not deployed to `production` yet."));
    let told = |release: &Release, environment: &str| {
        let answer = post(release, release.build, "/deployments", &json!({"environment": environment}));
        assert_eq!(answer.status, 204, "{}", answer.text());
    };
    told(&release, "somewhere");
    assert_eq!(blocked(&release, "deb")[0]["gate"], "deployed");
    told(&release, "production");
    assert!(blocked(&release, "deb").is_null());

    // Other bytes are not deployed, whatever was before. They come when another version runs there.
    let other = Package::new("deb_1.0.0-1_amd64.deb".to_owned(), deb("deb", "other", 0).build().expect("it fits"));
    let file =
        json!({"filename": other.filename, "digest": format!("sha256:{}", other.sha256), "size": other.bytes.len()});
    let patch = json!({"packages": [{"key": "deb", "staged": file, "replace": true}]});
    let replace = || release.api("PATCH", "", Some(&release.session(release.build)), &patch);
    let kept = replace();
    assert_eq!(kept.status, 409, "{}", kept.text());
    assert_eq!(kept.json()["type"], "urn:slipway:problem:not-replaceable", "what runs keeps its bytes");
    let newer = world.release("1.1.0");
    newer.ready(&Deb { version: "1.1.0-1".to_owned(), ..deb("deb", "", 0) });
    told(&newer, "somewhere");
    told(&newer, "production");
    let replaced = replace();
    assert_eq!(replaced.status, 200, "nothing runs the bytes that give way: {}", replaced.text());
    world.depot.delete(&world.depot.staging, "ubuntu/jammy", &other.filename);
    release.stage_file("deb", &other, &["ubuntu/jammy"]);
    assert_eq!(blocked(&release, "deb")[0]["gate"], "deployed", "the old deployment is of other bytes");
    told(&release, "production");
    let again = world.gitlab.play(release.job("deb"), "mira");
    release.promote(&release.session(again), &["deb"]).ok();
    release.wait_until_released("deb");
    release.is_public_once(&other);
}

/// The session of a person who has signed in through GitLab.
fn signed_in(world: &World, user: &str) -> String {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    let gitlab = world.stack.gitlab_url();
    let known = send("GET", &world.edge("/api/v1/sign-in"), &[], "").ok().json();
    let application = known["application"].as_str().expect("an application");
    let asked = format!("client_id={application}&scope=read_user");
    let code = send("POST", &format!("{gitlab}/oauth/authorize_device"), &[FORM], asked).ok().json();
    let (shown, device) = (code["user_code"].as_str().expect("a code"), code["device_code"].as_str().expect("a code"));
    world.gitlab.tell("POST", &format!("device-codes/{shown}"), &json!({"user": user, "approve": true}));
    let body =
        format!("grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id={application}&device_code={device}");
    let granted = send("POST", &format!("{gitlab}/oauth/token"), &[FORM], body).ok().json();
    let body = json!({"access_token": granted["access_token"]}).to_string();
    let session = send("POST", &world.edge("/api/v1/sessions"), &[("content-type", "application/json")], body);
    session.ok().json()["session"].as_str().expect("a session").to_owned()
}

#[test]
fn whoever_a_gate_names_opens_it_with_a_reason_and_nobody_else() {
    let (world, release) = gated("override", "[[gates]]\nsoak = \"100h\"\noverride_people = [8]\n");
    let (package, job) = ready(&release, "deb", 0);
    let played = world.gitlab.play(job, "mira");
    refused(&release, played, "deb");
    let ask = |session: &str, reason: &str| {
        release.api("POST", "/overrides", Some(session), &json!({"gates": ["soak"], "reason": reason}))
    };
    assert_eq!(ask(&release.session(release.build), "hurry").status, 403, "a job is not a person");
    assert_eq!(ask(&signed_in(&world, "mira"), "hurry").status, 403, "mira is not named");
    let jonas = signed_in(&world, "jonas");
    assert_eq!(ask(&jonas, " ").status, 422, "a reason is asked for");
    ask(&jonas, "a security fix").ok();
    let row = world.audit(release.project).into_iter().find(|row| row["action"] == "overridden").expect("an audit row");
    assert!(row["details"].as_str().expect("details").contains("a security fix"), "{row}");
    assert!(row["actor"].as_str().expect("an actor").ends_with("user:jonas"), "{row}");
    let again = world.gitlab.play(release.job("deb"), "mira");
    release.promote(&release.session(again), &["deb"]).ok();
    release.wait_until_released("deb");
    release.is_public_once(&package);
}

#[test]
fn an_approval_whose_turn_does_not_come_lapses_and_says_so() {
    let (world, release) = gated("lapse", "[approvals]\nlapse = \"5s\"\n");
    let (gate, first, second) = one_goes_one_waits(&world, &release);
    let target = release.wait_for_target("second", None, "lapsed", |target| target["problem"]["code"] == "lapsed");
    assert_eq!(target["state"], "staged");
    assert_eq!(world.rows(&release, "second", "lapsed").len(), 1);
    gate.open();
    // What had begun is finished, however long it took.
    release.wait_until_released("first");
    release.is_public_once(&first);
    release.is_not_public(&second.filename);
}

#[test]
fn a_closed_release_finishes_what_is_under_way_and_ships_nothing_else() {
    let (world, release) = gated("close", "");
    let (gate, first, second) = one_goes_one_waits(&world, &release);
    let reason = json!({"reason": "1.0.1 takes its place"});
    assert_eq!(post(&release, release.build, "/close", &reason).status, 403, "a job is not a person");
    let person = signed_in(&world, "mira");
    let closed = release.api("POST", "/close", Some(&person), &reason).ok().json();
    assert_eq!((&closed["state"], &closed["closed"]["reason"]), (&json!("closed"), &json!("1.0.1 takes its place")));
    assert_eq!(release.target("second")["state"], "skipped");
    gate.open();
    release.wait_until_released("first");
    release.is_public_once(&first);
    release.is_not_public(&second.filename);
    assert_eq!(release.api("POST", "/close", Some(&person), &json!({"reason": "again"})).status, 409);
    let played = world.gitlab.play(release.job("second"), "mira");
    assert_eq!(release.promote(&release.session(played), &["second"]).status, 409);
}

/// What a plan says of a package that one job releases with all others.
fn expected_with_all(key: &str) -> Value {
    json!({"key": key, "expect": {
        "distros": ["ubuntu/jammy"], "release_job": format!("release: [{key}]"), "environment": format!("release/{key}"),
        "release_all_job": "release-all", "release_all_environment": "release/all",
    }})
}

#[test]
fn the_job_for_all_that_remain_is_played_twice_when_one_package_fails() {
    let (world, release) = gated("release-all", "");
    let keys = ["good", "bad", "late"];
    let plan = json!({"packages": keys.map(expected_with_all)});
    release.api("PATCH", "", Some(&release.session(release.build)), &plan).ok();
    let good = release.stage("good", &deb("good", "", 0));
    let bad = release.stage("bad", &deb("bad", "", 0));
    let all = || {
        let job = world.gitlab.job(&json!({
            "project": release.project.id, "pipeline": release.pipeline, "name": "release-all", "stage": "release",
            "status": "manual", "environment": "release/all",
        }));
        world.gitlab.play(job["id"].as_u64().expect("a number"), "mira")
    };
    // The name is taken by other bytes, so that one is a conflict, and only that.
    let taken = deb("bad", "other bytes", 0).build().expect("it fits");
    world.depot.publish("ubuntu/jammy", &bad.filename, &taken);
    let first = all();
    let answer = release.api("POST", "/promotions", Some(&release.session(first)), &json!({"all": true})).ok().json();
    assert_eq!(answer["keys"], json!(["bad", "good"]), "{answer}");
    assert_eq!(answer["refused"][0]["key"], "late", "{answer}");
    assert_eq!(answer["refused"][0]["kind"], "not-staged", "{answer}");
    release.wait_until_released("good");
    release.is_public_once(&good);
    release.wait("bad", &["conflict"]);
    // Played again, by its webhook alone: what is released is left, what remains is tried.
    let late = release.stage("late", &deb("late", "", 0));
    world.depot.delete(&world.depot.public, "ubuntu/jammy", &bad.filename);
    all();
    release.wait_until_released("late");
    release.wait_until_released("bad");
    release.is_public_once(&late);
    assert_eq!(world.rows(&release, "good", "approved").len(), 1);
    assert_eq!(world.rows(&release, "bad", "approved").len(), 2);
    assert_eq!(release.shown()["state"], "complete");
    let third = all();
    let answer = release.api("POST", "/promotions", Some(&release.session(third)), &json!({"all": true}));
    assert_eq!(answer.status, 202, "what is released stays accepted: {}", answer.text());
}

#[test]
fn what_applies_to_a_project_can_be_read_before_anything_is_played() {
    let (world, release) = gated("policy", "[[gates]]\nstaged = true\nsoak = \"1h\"\noverride_people = [8]\n");
    let url = world.edge(&format!("/api/v1/projects/{}/policy", release.project.name));
    let policy = send("GET", &url, &[], "").ok().json();
    assert_eq!(policy["approvals_lapse"], "4h");
    let asks = json!(["Every package of the release is staged.", "It is staged for 1h."]);
    assert_eq!((&policy["gates"][0]["asks"], &policy["gates"][0]["override_people"]), (&asks, &json!([8])));
    assert_eq!(policy["routes"][0]["public"], "public/harbour/stable");
    assert_eq!(policy["releasers"]["protected_environment"], false);
    let place = |name: &str| policy["places"].as_array().expect("places").iter().find(|of| of["name"] == name).cloned();
    let public = place("public").expect("it is in a route");
    assert_eq!((&public["public"], &public["staging"]), (&json!(["harbour/stable"]), &json!([])));
    assert!(public["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{public}");
    assert!(!policy.to_string().contains(world.stack.secret("PUBLIC_TOKEN")));
}
