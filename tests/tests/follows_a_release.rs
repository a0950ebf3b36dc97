//! How callers follow a release: by its state, by its number, and what they are told when they ask badly.

use std::thread;

use serde_json::Value;
use slipway_tests::e2e::{World, deb};

#[test]
fn a_reader_who_waits_for_a_state_is_answered_when_the_release_has_it_and_not_before() {
    let world = World::start("follow-state");
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));

    let early = release.api("GET", "?wait=complete&timeout=1", None, &Value::Null).ok().json();
    assert_eq!(early["state"], "staged", "the time was up");
    let at_once = release.api("GET", "?wait=staged&timeout=25", None, &Value::Null).ok().json();
    assert_eq!(at_once["state"], "staged");

    thread::scope(|scope| {
        let waiting = scope.spawn(|| release.api("GET", "?wait=complete&timeout=25", None, &Value::Null).ok().json());
        world.gitlab.play(job, "mira");
        assert_eq!(waiting.join().expect("the reader")["state"], "complete");
    });
}

#[test]
fn a_query_that_makes_no_sense_is_answered_400_with_what_is_wrong() {
    let world = World::start("follow-badly");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    for query in ["?since=-1", "?since=abc", "?timeout=-1", "?wait=nonsense", "?since=1&since=2", "?since=1.5"] {
        let answer = release.api("GET", query, None, &Value::Null);
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert_eq!(answer.json()["type"], "urn:slipway:problem:bad-request", "{query}");
    }
}
