//! People sign in through GitLab, and may do what their role in the project allows. They never release.

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, World, deb, send};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A token that GitLab gives to a program of this person, for this application.
fn access_token(world: &World, application: &str, user: &str) -> String {
    let gitlab = world.stack.gitlab_url();
    let asked = format!("client_id={application}&scope=read_user");
    let code = send("POST", &format!("{gitlab}/oauth/authorize_device"), &[FORM], asked).ok().json();
    let (shown, device) = (code["user_code"].as_str().expect("a code"), code["device_code"].as_str().expect("a code"));
    world.gitlab.tell("POST", &format!("device-codes/{shown}"), &json!({"user": user, "approve": true}));
    let body =
        format!("grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id={application}&device_code={device}");
    let granted = send("POST", &format!("{gitlab}/oauth/token"), &[FORM], body).ok().json();
    granted["access_token"].as_str().expect("a token").to_owned()
}

fn open(world: &World, body: &Value) -> Answer {
    send("POST", &world.edge("/api/v1/sessions"), &[("content-type", "application/json")], body.to_string())
}

fn sign_in(world: &World, user: &str) -> String {
    let application = send("GET", &world.edge("/api/v1/sign-in"), &[], "").ok().json();
    assert_eq!(application["gitlab"], world.stack.gitlab_url());
    let token = access_token(world, application["application"].as_str().expect("an id"), user);
    let session = open(world, &json!({ "access_token": token }));
    assert_eq!(session.status, 201, "{}", session.text());
    assert_eq!(session.json()["user"]["username"], user);
    session.json()["session"].as_str().expect("a session").to_owned()
}

fn ask(world: &World, method: &str, path: &str, session: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {session}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(method, &world.edge(path), &headers, body)
}

#[test]
fn each_role_reads_holds_and_closes_as_it_may_and_nobody_releases() {
    let mut world = World::start("people");
    let release = world.release("1.0.0");
    release.plan(&["rope"]);
    release.stage("rope", &deb("rope", "", 0));
    let pilots = world.release_of(world.pilot(), "1.0.0");
    pilots.plan(&["sail"]);
    world.configure(|config| config.replace(r#"reading = "anyone""#, r#"reading = "nobody""#));
    for (id, name, role) in [
        (31, "nele", "none"),
        (32, "gus", "guest"),
        (33, "rea", "reporter"),
        (34, "dev", "developer"),
        (35, "mai", "maintainer"),
    ] {
        let user = json!({"id": id, "username": name, "name": name, "roles": {"1001": role, "1002": "none"}});
        world.gitlab.tell("POST", "users", &user);
    }
    let operator = world.stack.secret("OPERATOR_TOKEN").to_owned();
    let of = |path: &str| format!("/api/v1/projects/tug/releases/1.0.0{path}");
    let (hold, close) = (json!({"keys": null, "reason": "a smell"}), json!({"reason": "given up"}));
    let overrides = json!({"keys": null, "gates": ["soak"], "reason": "hurry"});
    // Who, and what each route answers: read, hold, let go, promote, declare, pass over a gate, give up.
    for (who, expected) in [
        ("nele", [404, 404, 404, 404, 404, 404, 404]),
        ("gus", [404, 404, 404, 404, 404, 404, 404]),
        ("rea", [200, 403, 403, 403, 403, 403, 403]),
        ("dev", [200, 200, 200, 403, 403, 403, 403]),
        ("operator", [200, 200, 200, 403, 403, 403, 200]),
        ("mai", [200, 409, 409, 403, 403, 403, 200]),
    ] {
        let session = if who == "operator" { operator.clone() } else { sign_in(&world, who) };
        let answers = [
            ask(&world, "GET", &of(""), &session, &Value::Null),
            ask(&world, "POST", &of("/holds"), &session, &hold),
            ask(&world, "DELETE", &of("/holds"), &session, &hold),
            ask(&world, "POST", &of("/promotions"), &session, &json!({"keys": ["rope"]})),
            ask(&world, "PATCH", &of(""), &session, &json!({"packages": []})),
            ask(&world, "POST", &of("/overrides"), &session, &overrides),
            if expected[6] == 200 || who == "rea" || who == "dev" || expected[0] == 404 {
                ask(&world, "POST", &of("/close"), &session, &close)
            } else {
                continue;
            },
        ];
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let texts: Vec<String> = answers.iter().map(Answer::text).collect();
        for (at, (status, wanted)) in statuses.iter().zip(expected).enumerate() {
            // What a right given away does then (409 of a closed release, 422) is not asked here.
            let allowed = !matches!(status, 401 | 403 | 404);
            let wanted_allowed = !matches!(wanted, 401 | 403 | 404);
            assert_eq!(allowed, wanted_allowed, "{who} at {at}: {}", texts[at]);
            if !wanted_allowed {
                assert_eq!(*status, wanted, "{who} at {at}: {}", texts[at]);
            }
        }
        let other = ask(&world, "GET", "/api/v1/projects/pilot/releases/1.0.0", &session, &Value::Null);
        assert_eq!(other.status, if who == "operator" { 200 } else { 404 }, "{who} at another project");
        let listed = ask(&world, "GET", "/api/v1/projects", &session, &Value::Null).ok().json();
        let seen = if who == "operator" { 2 } else { usize::from(expected[0] == 200) };
        assert_eq!(listed.as_array().map(Vec::len), Some(seen), "{who}: {listed}");
    }
    let refused = world_audit(&world, &operator);
    for (who, act) in [("rea", "POST holds"), ("dev", "POST promotions"), ("operator", "POST promotions")] {
        let is_there = refused.iter().any(|row| {
            row["action"] == "refused"
                && row["subject"] == act
                && row["actor"].as_str().is_some_and(|actor| actor.contains(who))
        });
        assert!(is_there, "{who} was refused {act}, and the audit says so: {refused:?}");
    }
}

fn world_audit(world: &World, session: &str) -> Vec<Value> {
    let rows = ask(world, "GET", "/api/v1/projects/tug/audit", session, &Value::Null).ok().text();
    rows.lines().map(|row| serde_json::from_str(row).expect("a row is JSON")).collect()
}

#[test]
fn an_access_token_of_another_application_or_of_nobody_opens_no_session() {
    let mut world = World::start("people-refused");
    world.gitlab.tell("POST", "applications", &json!({"uid": "another", "scopes": ["read_user"]}));
    let elsewhere = access_token(&world, "another", "mira");
    let by_hand = world.stack.secret("GITLAB_TOKEN").to_owned();
    for (case, token, why) in [
        ("another application's", elsewhere.as_str(), "another application"),
        ("one made by hand", by_hand.as_str(), "does not know"),
        ("a guess", "a-guess", "does not know"),
        ("nothing", "", "no access token"),
        ("two lines", "a\nb", "no access token"),
    ] {
        let answer = open(&world, &json!({ "access_token": token }));
        assert_eq!(answer.status, 401, "{case}: {}", answer.text());
        assert!(answer.text().contains(why), "{case}: {}", answer.text());
    }
    for body in [json!({}), json!({"id_token": "a", "access_token": "b"}), json!({"access_token": 7})] {
        assert_eq!(open(&world, &body).status, 400, "{body}");
    }
    let counted = ask(&world, "GET", "/metrics", world.stack.secret("OPERATOR_TOKEN"), &Value::Null).ok().text();
    assert!(counted.contains("slipway_refused_total{shown=\"access_token\"} 5"), "{counted}");
    assert_eq!(send("GET", &world.edge("/metrics"), &[], "").status, 401);

    world.configure(|config| config.replace("application = \"slipway-command\"\n", ""));
    let answer = send("GET", &world.edge("/api/v1/sign-in"), &[], "");
    assert_eq!((answer.status, answer.json()["title"].as_str()), (404, Some("no sign in")), "{}", answer.text());
}

#[test]
fn whoever_signs_out_has_no_session_left_that_began_before_and_nobody_else_is_signed_out() {
    let mut world = World::start("people-out");
    let release = world.release("1.0.0");
    release.plan(&["rope"]);
    world.configure(|config| config.replace(r#"reading = "anyone""#, r#"reading = "nobody""#));
    for (id, name) in [(41, "nele"), (42, "omar")] {
        let user = json!({"id": id, "username": name, "name": name, "roles": {"1001": "developer"}});
        world.gitlab.tell("POST", "users", &user);
    }
    let (first, second, other) = (sign_in(&world, "nele"), sign_in(&world, "nele"), sign_in(&world, "omar"));
    let reads = |session: &str| ask(&world, "GET", "/api/v1/projects/tug/releases/1.0.0", session, &Value::Null);
    let hold = json!({"keys": null, "reason": "a smell"});
    let holds = |session: &str| ask(&world, "POST", "/api/v1/projects/tug/releases/1.0.0/holds", session, &hold);
    for session in [&first, &second, &other] {
        assert_eq!(reads(session).status, 200);
    }
    let out = |session: &str| ask(&world, "DELETE", "/api/v1/sessions", session, &Value::Null);
    for (case, session) in [("nobody", "a-guess"), ("the operator", world.stack.secret("OPERATOR_TOKEN"))] {
        assert_eq!(out(session).status, 401, "{case} has no session of a person");
    }
    assert_eq!(out(&first).status, 204);
    for session in [&first, &second] {
        assert_eq!((reads(session).status, holds(session).status), (401, 401), "both began before");
    }
    assert_eq!(reads(&other).status, 200, "{}", reads(&other).text());
    let again = sign_in(&world, "nele");
    assert_eq!(reads(&again).status, 200, "{}", reads(&again).text());
    assert_eq!(holds(&again).status, 200);

    // A kill forgets nothing of it.
    world.kill(slipway_tests::e2e::Process::Edge);
    world.start_again(slipway_tests::e2e::Process::Edge);
    let reads = |session: &str| ask(&world, "GET", "/api/v1/projects/tug/releases/1.0.0", session, &Value::Null);
    assert_eq!((reads(&first).status, reads(&again).status), (401, 200));
}
