//! How callers follow a release: by its state, by its number, and what they are told when they ask badly.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
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
fn a_reader_who_waits_hears_of_a_change_when_it_is_written() {
    let world = World::start("follow-changes");
    let release = world.release("1.0.0");
    let keys = ["cargo", "pilot", "manual"];
    release.plan(&keys);
    let session = release.session(release.build);
    for key in keys {
        let sequence = release.sequence();
        thread::scope(|scope| {
            let query = format!("?since={sequence}&timeout=25");
            let waiting = scope.spawn({
                let release = &release;
                move || (release.api("GET", &query, None, &Value::Null).ok().json(), Instant::now())
            });
            let told = release.api("POST", "/holds", Some(&session), &json!({"keys": [key], "reason": "to be seen"}));
            assert_eq!(told.status, 200, "{key}: {}", told.text());
            let changed_at = Instant::now();
            let (seen, seen_at) = waiting.join().expect("the reader");
            assert!(seen["sequence"].as_u64() > Some(sequence), "{key}: {seen}");
            // Without a word it would be looked at after five seconds.
            let late = seen_at.saturating_duration_since(changed_at);
            assert!(late < Duration::from_secs(2), "{key}: {late:?}");
        });
    }
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
