//! Whoever listens is told each event at least once, always under one id, and signed; a commit's status once for each
//! change.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use slipway_core::release::TargetState;
use slipway_core::time::Timestamp;
use slipway_edge::notify;
use slipway_gitlab::{Signed, SigningToken};
use slipway_wire::Token;

use crate::host::{EVENTS_TOKEN, Edge, MINUTE, Sent};

const LISTENS: &str = r#"
    [[events]]
    kinds = ["complete", "needs_person", "conflict"]
    url = "https://hooks.example.com/slipway"
    signing_token = "EVENTS_TOKEN"
"#;

/// Tells what is due. When there is more.
fn tells(edge: &Edge) -> Option<Timestamp> {
    let told = notify::tell(&edge.record, &edge.host, &edge.config);
    told.now_or_never().expect("nothing waits").expect("a working record")
}

/// Tells, until nothing is left to be told or the day is over.
fn tells_all(edge: &Edge) {
    let began = edge.now();
    while let Some(next) = tells(edge) {
        if next > began + Duration::from_hours(72) {
            return;
        }
        assert!(next > edge.now(), "it is not asked at once again");
        edge.is_at(next);
    }
}

const RECEIVER: &str = "POST /slipway";

fn received(edge: &Edge) -> Vec<Sent> {
    edge.sent(RECEIVER)
}

fn id(sent: &Sent) -> String {
    sent.headers.get("webhook-id").expect("it has one").to_str().expect("text").to_owned()
}

/// Both packages are released.
fn completes(edge: &Edge) {
    for (job, name) in [(81, "one"), (82, "two")] {
        edge.approves(job, name);
        edge.reports(name, TargetState::Released);
    }
}

#[test]
fn an_event_whose_answer_is_lost_or_bad_is_told_again_under_the_same_id_until_it_is_taken() {
    for bad in [0, 301, 400, 401, 404, 500, 503] {
        let edge = Edge::new(LISTENS);
        completes(&edge);
        edge.answers_to(RECEIVER, bad, json!({}));
        for _ in 0..5 {
            let next = tells(&edge).expect("it is tried again");
            assert!(next > edge.now(), "{bad}: not at once");
            edge.is_at(next);
        }
        assert_eq!(received(&edge).len(), 5, "{bad}");
        edge.answers_to(RECEIVER, 204, json!({}));
        tells_all(&edge);
        let ids: Vec<String> = received(&edge).iter().map(id).collect();
        assert_eq!(ids, vec![ids[0].clone(); 6], "{bad}: once more, and then no more");
    }
}

#[test]
fn two_events_have_two_ids_and_each_is_told() {
    let edge = Edge::new(LISTENS);
    edge.answers_to(RECEIVER, 200, json!({}));
    edge.approves(81, "one");
    edge.reports("one", TargetState::Failed);
    edge.approves(82, "two");
    edge.reports("two", TargetState::Conflict);
    tells_all(&edge);
    let told: Vec<(String, Value)> = received(&edge)
        .iter()
        .map(|sent| (id(sent), serde_json::from_str(&sent.body).expect("the body is JSON")))
        .collect();
    assert_eq!(told.len(), 2);
    assert_ne!(told[0].0, told[1].0);
    let kinds: Vec<(&Value, &Value)> = told.iter().map(|(_, body)| (&body["type"], &body["data"]["key"])).collect();
    assert_eq!(kinds, [(&json!("release.needs_person"), &json!("one")), (&json!("release.conflict"), &json!("two"))]);
}

#[test]
fn an_event_is_signed_over_its_id_its_time_and_its_body() {
    let edge = Edge::new(LISTENS);
    edge.answers_to(RECEIVER, 200, json!({}));
    completes(&edge);
    tells(&edge);
    let sent = received(&edge).pop().expect("one event");
    let header = |name: &str| sent.headers.get(name).expect(name).to_str().expect("text").to_owned();
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
    let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature };
    let token = SigningToken::parse(&Token::new(EVENTS_TOKEN)).expect("a signing token");
    assert_eq!(token.verify(&signed, sent.body.as_bytes(), edge.now().unix_seconds()), Ok(()));
    let body: Value = serde_json::from_str(&sent.body).expect("the body is JSON");
    assert_eq!((&body["type"], &body["data"]["version"]), (&json!("release.complete"), &json!("1.2.0")));
    assert_eq!(body["data"]["url"], "https://slipway.example.com/p/tug/r/1.2.0");
}

#[test]
fn a_receiver_that_never_answers_is_given_up_after_about_a_day() {
    let edge = Edge::new(LISTENS);
    completes(&edge);
    edge.answers_to(RECEIVER, 500, json!({}));
    let began = edge.now();
    tells_all(&edge);
    let took = edge.now().since(began);
    assert!((Duration::from_hours(22)..Duration::from_hours(26)).contains(&took), "{took:?}");
}

#[test]
fn a_status_is_set_once_for_each_change_and_again_only_while_it_is_not_taken() {
    const STATUS: &str = "POST /api/v4/projects/1001/statuses/aa";
    let edge = Edge::new("");
    let states = || -> Vec<String> {
        let word = |sent: &Sent| {
            let body: Value = serde_json::from_str(&sent.body).expect("the body is JSON");
            body["state"].as_str().expect("a state").to_owned()
        };
        edge.sent(STATUS).iter().map(word).collect()
    };
    edge.approves(81, "one");
    edge.passes(MINUTE);
    edge.answers_to(STATUS, 500, json!({}));
    for _ in 0..2 {
        edge.is_at(tells(&edge).expect("it is tried again"));
    }
    edge.answers_to(STATUS, 201, json!({}));
    for _ in 0..5 {
        edge.is_at(tells(&edge).expect("it is on its way"));
    }
    assert_eq!(states(), ["pending", "pending", "pending"], "two were not taken, and one was");
    edge.reports("one", TargetState::Released);
    tells_all(&edge);
    assert_eq!(states(), ["pending", "pending", "pending", "success"]);
}
