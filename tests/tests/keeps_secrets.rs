//! Every secret of the deployment is random, so none is anywhere by chance: after a story of releases, refusals, errors and
//! hostile answers not one byte sequence of them is in what the edge has said, to anybody, in any way.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use slipway_tests::e2e::{Process, World, deb, send, send_for_headers};

/// Every secret that the edge has.
const SECRETS: [&str; 15] = [
    "SLIPWAY_EDGE_KEY",
    "SIGNING_KEY",
    "GITLAB_STATUS_TOKEN",
    "REGISTRY_STAGING_TOKEN",
    "REGISTRY_PUBLIC_TOKEN",
    "SIGNING_TOKEN_TUG",
    "EVENTS_TOKEN",
    "TRIGGER_TOKEN",
    "OPERATOR_TOKEN",
    "METRICS_TOKEN",
    "GITLAB_TOKEN",
    "STAGING_TOKEN",
    "PUBLIC_TOKEN",
    "WEBHOOK_TOKEN_TUG",
    "WEBHOOK_TOKEN_PILOT",
];

#[test]
fn no_secret_is_in_a_log_a_page_an_answer_an_error_an_export_or_a_number() {
    let mut world = World::start("keeps-secrets");
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let operator = |world: &World, method: &str, path: &str, body: &Value| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        send(method, &world.edge(path), &headers, if body.is_null() { String::new() } else { body.to_string() }).text()
    };
    let mut said = Vec::new();

    // One is released, one is refused, one fails at a server that repeats what it is shown, one comes with a wrong webhook.
    let release = world.release("1.0.0");
    let (_, good) = release.ready(&deb("good", "", 0));
    world.gitlab.play(good, "mira");
    release.wait_until_released("good");
    let session = release.session(release.build);
    said.push(release.promote(&session, &["good"]).text());
    said.push(release.api("PATCH", "", Some(&session), &json!({"packages": [{"key": "BAD KEY"}]})).text());
    let (broken, job) = release.ready(&deb("broken", "", 0));
    world.depot.fault(&json!({"on": "push", "effect": "status", "status": 502, "times": 2}));
    world.gitlab.play(job, "mira");
    release.wait_until_released("broken");
    release.is_public_once(&broken);
    said.push(send("POST", &world.stack.webhook_url(&world.tug()), &[("x-gitlab-token", "wrong")], "{}").text());
    let token = format!("Bearer {}x", world.stack.secret("OPERATOR_TOKEN"));
    said.push(send("GET", &world.edge("/metrics"), &[("authorization", &token)], "").text());
    operator(&world, "POST", "/api/v1/stop", &json!({"reason": "look"}));
    operator(&world, "DELETE", "/api/v1/stop", &json!({"reason": "done"}));

    // All that can be read.
    for path in ["/", "/p/tug", "/p/tug/r/1.0.0", "/p/tug/r/9.9.9"] {
        said.push(send("GET", &world.edge(path), &[("accept", "text/html")], "").text());
    }
    for path in [
        "/healthz",
        "/readyz",
        "/readyz/secrets",
        "/metrics",
        "/openapi.json",
        "/api/v1/stop",
        "/api/v1/projects",
        "/api/v1/projects/tug/releases",
        "/api/v1/projects/tug/releases/1.0.0",
        "/api/v1/projects/tug/policy",
        "/api/v1/projects/tug/audit",
        "/api/v1/projects/tug/export",
        "/api/v1/projects/tug/comparison",
        "/api/v1/projects/tug/releases/1.0.0/targets/broken/ubuntu/jammy",
        "/nowhere",
    ] {
        said.push(operator(&world, "GET", path, &Value::Null));
    }
    let metrics = operator(&world, "GET", "/metrics", &Value::Null);
    assert!(metrics.contains("slipway_targets{project=\"tug\",state=\"released\"} 2"), "{metrics}");
    assert!(metrics.contains("slipway_answers{part=\"place\",name=\"public\"} 1"), "{metrics}");
    let (_, headers) = send_for_headers("GET", &world.edge("/healthz"), &[], "");
    let log = world.stack.tail(Process::Edge, usize::MAX);
    assert!(headers.get("x-request-id").is_some_and(|id| log.contains(id)), "the answer's id is in the log");

    // The log: each line of ours has known fields alone, and one id leads from the webhook to the report.
    let known: BTreeSet<&str> = slipway_core::log::FIELDS.into_iter().collect();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ours: Vec<&Value> = lines.iter().filter(|line| line["level"].is_string()).collect();
    for line in &ours {
        let names: BTreeSet<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        assert!(names.is_subset(&known), "{line}");
    }
    let work = format!("{}/{job}", world.tug().id);
    for event in ["hint", "order", "report"] {
        assert!(ours.iter().any(|line| line["event"] == event && line["work"] == work), "{event} of {work}");
    }
    said.push(log);

    for name in SECRETS {
        let secret = world.stack.secret(name);
        assert!(secret.len() >= 16, "{name} is long enough to be nowhere by chance");
        for form in [secret.to_owned(), STANDARD.encode(secret), STANDARD.encode(format!("{secret}:"))] {
            let form = form.trim_end_matches('=');
            for text in &said {
                assert!(!text.contains(form), "{name} is in: {}", text.chars().take(300).collect::<String>());
            }
        }
    }
}
