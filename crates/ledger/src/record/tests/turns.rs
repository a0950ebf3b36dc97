//! Gates that time alone opens and closes.

use std::time::Duration;

use super::super::Sent;
use super::*;

fn config(gates: &str) -> Config {
    let text = format!(
        r#"
        [edge]
        url = "https://slipway.example.com"
        [gitlab]
        url = "https://gitlab.example.com"
        token = "GITLAB_TOKEN"
        [places.depot]
        kind = "packagecloud"
        url = "https://packages.example.com"
        token = "T"
        [[projects]]
        id = 1001
        namespace_id = 71
        name = "tug"
        webhook_token = "W"
        [[routes]]
        staging = {{ place = "depot", repository = "harbour-ci/pre-release" }}
        public = {{ place = "depot", repository = "harbour/stable" }}
        {gates}
        "#
    );
    Config::parse(&text).expect("a good file")
}

fn turn(record: &Record<Database>, config: &Config, now: Timestamp) -> (usize, Option<Timestamp>) {
    let (turned, next) = record.turn(config, &config.projects[0], now).expect("an answer");
    (turned.len(), next)
}

fn sequence(record: &Record<Database>) -> u64 {
    record.sequence(&version()).expect("an answer").expect("a release")
}

fn is_blocked(record: &Record<Database>, config: &Config, now: Timestamp) -> bool {
    let release = record.release(config, &config.projects[0], &version(), &Sent::default(), now);
    let release = release.expect("an answer").expect("a release");
    release.packages.iter().any(|package| !package.blocked.is_empty())
}

#[test]
fn a_gate_that_time_alone_opens_gives_the_release_a_new_sequence_number_at_that_very_moment_and_once() {
    let soak = config("[[gates]]\nsoak = \"2h\"");
    let record = record();
    stage(&record);
    let opens = NOW + Duration::from_hours(2);
    assert_eq!(turn(&record, &soak, NOW), (0, Some(opens)));
    let before = sequence(&record);

    let still = Timestamp(opens.0 - 1);
    assert!(is_blocked(&record, &soak, still));
    assert_eq!((turn(&record, &soak, still), sequence(&record)), ((0, Some(opens)), before));

    assert!(!is_blocked(&record, &soak, opens));
    assert_eq!((turn(&record, &soak, opens), sequence(&record)), ((1, None), before + 1));
    assert_eq!((turn(&record, &soak, opens), sequence(&record)), ((0, None), before + 1), "once");
    let rows = entries(record.sql(), 1, 100).expect("rows");
    assert_eq!(rows.last().map(|row| row.event.action.as_str()), Some("staged"), "nobody has acted");
}

#[test]
fn a_freeze_is_told_when_it_begins_and_when_it_ends() {
    // NOW is 2026-11-23 00:00:00 UTC, 20,780 days after the epoch.
    let freeze = "freeze = [{ from = \"2026-11-24T00:00:00Z\", until = \"2026-11-26T00:00:00Z\", why = \"w\" }]";
    let frozen = config(&format!("[[gates]]\n{freeze}"));
    let record = record();
    stage(&record);
    let (begins, ends) = (NOW + Duration::from_hours(24), NOW + Duration::from_hours(72));
    assert_eq!(turn(&record, &frozen, NOW), (0, Some(begins)));
    assert_eq!(turn(&record, &frozen, begins), (1, Some(ends)));
    assert!(is_blocked(&record, &frozen, begins));
    assert_eq!(turn(&record, &frozen, ends), (1, None));
    assert!(!is_blocked(&record, &frozen, ends));
}

#[test]
fn what_changes_the_moment_is_asked_again_and_nothing_else_is() {
    let (none, one, three) = (config(""), config("[[gates]]\nsoak = \"1h\""), config("[[gates]]\nsoak = \"3h\""));
    let record = record();
    plan(&record);
    assert_eq!(turn(&record, &one, NOW), (0, None), "nothing is staged");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    sees(&record, b"deb", &Sight::Declared);
    let at = |hours| Some(NOW + Duration::from_hours(hours));
    assert_eq!(turn(&record, &one, NOW), (0, at(1)), "it is staged now");
    assert_eq!(turn(&record, &three, NOW), (0, at(3)), "another policy");
    assert_eq!(turn(&record, &none, NOW), (0, None), "a policy without gates");
    assert_eq!(turn(&record, &one, NOW), (0, at(1)));
    // Where neither has changed, what was worked out before is believed.
    record.0.query("UPDATE turns SET at = 1795399999999", &[]).expect("changed behind its back");
    assert_eq!(turn(&record, &one, NOW), (0, Some(Timestamp(1_795_399_999_999))));
    record.close(&version(), "user:nell", "given up", NOW).expect("closed");
    assert_eq!(turn(&record, &one, NOW), (0, None), "nobody waits for it");
}
