//! Stories of hints: what is kept, what is asked, what is found.

use std::time::Duration;

use super::super::{HintSubject, Kept, Named};
use super::*;

const LATER: Timestamp = Timestamp(NOW.0 + 1_000);

fn named(id: u64, pipeline_id: Option<u64>, name: &str) -> Named {
    Named::Job { id, pipeline_id, name: name.to_owned() }
}

fn keep(record: &Record<Database>, delivery: &str, job_id: u64) -> Kept {
    record.keep_hints(delivery, &[named(job_id, None, "")], NOW).expect("an answer")
}

fn due(record: &Record<Database>, now: Timestamp) -> Vec<HintSubject> {
    record.take_hints(now, now).expect("hints").iter().map(|hint| hint.subject).collect()
}

#[test]
fn a_job_is_looked_into_once_for_all_that_hint_at_it_and_again_when_a_person_sends_it_again() {
    let record = record();
    for delivery in ["delivery-1", "delivery-1", "delivery-2"] {
        keep(&record, delivery, 81);
    }
    let hints = record.take_hints(NOW, LATER).expect("hints");
    assert_eq!(hints.len(), 1);
    let hint = *hints.first().expect("one");
    record.postpone_hint(hint.id, "503", LATER).expect("postponed");
    assert!(record.take_hints(NOW, LATER).expect("hints").is_empty());
    assert_eq!(record.next_hint(NOW, LATER).expect("a time"), Some(LATER));
    assert_eq!(record.take_hints(LATER, LATER).expect("hints").first().map(|hint| hint.tries), Some(1));
    record.settle_hint(hint.id, "approved").expect("settled");
    assert_eq!(record.next_hint(NOW, LATER).expect("no time"), None);
    keep(&record, "delivery-1", 81);
    assert_eq!(due(&record, LATER), [HintSubject::Job(81)]);
}

#[test]
fn a_hint_that_a_wrong_clock_has_put_off_for_years_is_due() {
    let record = record();
    keep(&record, "delivery-1", 81);
    let hint = record.take_hints(NOW, LATER).expect("hints").pop().expect("one");
    record.postpone_hint(hint.id, "503", Timestamp(LATER.0 + 1)).expect("postponed");
    assert_eq!(record.next_hint(NOW, LATER).expect("a time"), Some(LATER));
    assert_eq!(record.take_hints(NOW, LATER).expect("hints").len(), 1, "none is put off beyond the latest");
}

#[test]
fn a_delivery_whose_key_came_with_another_job_or_kind_before_is_kept() {
    let record = record();
    keep(&record, "delivery-1", 81);
    let first = record.take_hints(NOW, NOW).expect("hints");
    record.settle_hint(first.first().expect("one").id, "no release job").expect("settled");
    keep(&record, "delivery-1", 82);
    record.keep_hints("delivery-1", &[Named::Deployment { id: 82 }], NOW).expect("kept");
    assert_eq!(due(&record, NOW), [HintSubject::Job(82), HintSubject::Deployment(82)]);
}

#[test]
fn a_job_that_nobody_declared_is_not_asked_for() {
    let record = record();
    stage(&record);
    for (pipeline, name, kept) in [
        (Some(7), "release: [jammy-amd64]", Kept::Kept),
        (Some(7), "unit-tests", Kept::NotNeeded),
        (Some(7), "release: [jammy-amd64] ", Kept::NotNeeded),
        (Some(8), "release: [jammy-amd64]", Kept::NotNeeded),
        (None, "unit-tests", Kept::Kept),
    ] {
        let answer = record.keep_hints("delivery", &[named(81, pipeline, name)], NOW).expect("an answer");
        assert_eq!(answer, kept, "{pipeline:?} {name}");
    }
    let all = [named(91, Some(7), "unit-tests"), named(92, Some(7), "release: [jammy-amd64]")];
    assert_eq!(record.keep_hints("pipeline", &all, NOW).expect("an answer"), Kept::Kept);
    assert_eq!(due(&record, NOW), [HintSubject::Job(81), HintSubject::Job(92)]);
}

#[test]
fn a_job_that_has_spoken_for_its_package_is_not_asked_again() {
    let record = record();
    stage(&record);
    let says = |job| record.keep_hints("d", &[named(job, Some(7), "release: [jammy-amd64]")], NOW).expect("an answer");
    assert!(ask(&record).expect("an approval"));
    assert_eq!(says(81), Kept::Known);
    record.refuse(&version(), &key(), 82, "webhook job:82", "it lapsed", NOW).expect("refused");
    assert_eq!(says(82), Kept::Known);
    assert_eq!(says(83), Kept::Kept, "played again");
}

#[test]
fn no_more_is_read_from_gitlab_in_a_minute_than_is_allowed_and_the_rest_waits_for_the_next() {
    let record = record();
    for job in 1..=1000 {
        assert_eq!(keep(&record, "flood", job), Kept::Kept);
    }
    let minute = Timestamp(NOW.0.div_euclid(60_000) * 60_000);
    let read = |from: Timestamp| {
        let mut read = Vec::new();
        for second in 0..60 {
            for hint in
                record.take_hints(from + Duration::from_secs(second), from + Duration::from_hours(1)).expect("hints")
            {
                record.settle_hint(hint.id, "no release job").expect("settled");
                read.push(hint.subject);
            }
        }
        read
    };
    let first = read(minute);
    assert_eq!(first.len(), 300);
    let next = record.next_hint(minute + Duration::from_secs(59), minute + Duration::from_hours(1)).expect("a time");
    assert_eq!(next, Some(minute + Duration::from_mins(1)));
    let second = read(minute + Duration::from_mins(1));
    assert_eq!(second.len(), 300);
    assert!(first.iter().all(|job| !second.contains(job)));
}

#[test]
fn when_too_many_are_open_the_sender_hears_that_nothing_was_kept() {
    let record = record();
    let jobs: Vec<Named> = (1..=2000).map(|job| named(job, None, "")).collect();
    assert_eq!(record.keep_hints("flood", &jobs, NOW).expect("an answer"), Kept::Kept);
    assert_eq!(keep(&record, "one more", 2001), Kept::Full);
}

#[test]
fn settled_hints_are_forgotten_after_a_month_and_open_ones_never() {
    let record = record();
    let count = || record.sql().query("SELECT id FROM hints", &[]).expect("rows").len();
    keep(&record, "delivery-1", 81);
    let hint = record.take_hints(NOW, NOW).expect("hints");
    record.settle_hint(hint.first().expect("one").id, "approved").expect("settled");
    keep(&record, "delivery-2", 82);
    record.forget_hints(NOW + Duration::from_hours(30 * 24)).expect("nothing");
    assert_eq!(count(), 2);
    record.forget_hints(NOW + Duration::from_hours(30 * 24 + 1)).expect("one");
    assert_eq!(due(&record, NOW), [HintSubject::Job(82)]);
    assert_eq!(count(), 1);
}

#[test]
fn no_more_than_twenty_thousand_settled_hints_are_kept() {
    let record = record();
    let sql = "INSERT INTO hints (delivery, job_id, received_at, tries)
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 21000) SELECT i, i, ?, 0 FROM n";
    record.sql().query(sql, &[NOW.0.into()]).expect("many");
    for _ in 0..3 {
        record.forget_hints(NOW).expect("some");
    }
    assert_eq!(record.sql().query("SELECT id FROM hints", &[]).expect("rows").len(), 20_000);
}

// ---- lost webhooks ----

fn unread(record: &Record<Database>, now: Timestamp) -> Vec<u64> {
    record.unread_pipelines(now).expect("pipelines")
}

#[test]
fn a_pipeline_is_read_every_minute_at_first_and_ever_more_rarely_after() {
    let record = record();
    stage(&record);
    let (mut now, mut read) = (NOW, Vec::new());
    while now < NOW + Duration::from_hours(80 * 24) {
        let Some(next) = record.next_reading(now).expect("a time") else { break };
        now = next;
        if unread(&record, now).is_empty() {
            break;
        }
        record.reads_pipeline(7, now).expect("read");
        read.push(now.since(NOW).as_secs() / 60);
    }
    let between = |from: u64, to: u64| read.iter().filter(|minute| (from..to).contains(*minute)).count();
    assert_eq!(between(0, 60), 59, "each minute for an hour");
    assert_eq!(between(60, 24 * 60), 276, "every five minutes for a day");
    assert_eq!(between(24 * 60, 14 * 24 * 60), 13 * 24, "every hour for two weeks");
    assert_eq!(
        between(14 * 24 * 60, 60 * 24 * 60),
        46 * 4,
        "every six hours for as long as its release is looked through"
    );
    assert_eq!(between(60 * 24 * 60, u64::MAX), 0);
}

#[test]
fn a_pipeline_of_which_all_is_dated_ahead_is_read_at_once_and_then_at_its_pace() {
    let record = record();
    stage(&record);
    // The clock, a day ahead till now, was set right.
    let now = NOW - Duration::from_hours(24);
    for read_ahead in [None, Some(NOW)] {
        if let Some(at) = read_ahead {
            record.reads_pipeline(7, at).expect("read");
        }
        assert_eq!(unread(&record, now), [7], "{read_ahead:?}");
        assert_eq!(record.next_reading(now).expect("a time"), Some(now));
        record.reads_pipeline(7, now).expect("read");
        assert!(unread(&record, now + Duration::from_secs(59)).is_empty());
        assert_eq!(unread(&record, now + Duration::from_mins(1)), [7]);
    }
}

#[test]
fn only_a_pipeline_with_something_to_release_is_read() {
    let record = record();
    let later = NOW + Duration::from_mins(2);
    plan(&record);
    assert!(unread(&record, later).is_empty(), "nothing is staged");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    sees(&record, b"deb", &Sight::Declared);
    assert_eq!(unread(&record, later), [7]);
    assert!(ask(&record).expect("an approval"));
    assert!(unread(&record, later).is_empty(), "it is on its way");
    report(&record, 1, TargetState::Failed);
    assert_eq!(unread(&record, later), [7], "its job may be played again");
    assert!(ask_by(&record, 82).expect("an approval"));
    report(&record, 2, TargetState::Released);
    assert!(unread(&record, later).is_empty(), "it is out");
}

#[test]
fn a_played_job_is_found_once_and_only_if_it_was_declared_and_has_not_spoken() {
    let record = record();
    stage(&record);
    let found = |name: &str, job| record.found_played(7, name, job, NOW).expect("an answer");
    assert!(!found("unit-tests", 80));
    assert!(!record.found_played(8, "release: [jammy-amd64]", 80, NOW).expect("another pipeline"));
    assert!(found("release: [jammy-amd64]", 82));
    assert!(!found("release: [jammy-amd64]", 82), "it is open");
    let hint = record.take_hints(NOW, NOW).expect("hints");
    record.settle_hint(hint.first().expect("one").id, "the job is manual").expect("settled");
    assert!(!found("release: [jammy-amd64]", 82), "it had its look");
    assert!(ask(&record).expect("an approval"));
    assert!(!found("release: [jammy-amd64]", 81), "it has spoken");
}

#[test]
fn a_deployment_is_looked_for_while_staged_bytes_are_not_known_to_run_there_and_found_once() {
    let record = record();
    plan(&record);
    let lacks = |pipeline, environment: &str| record.lacks_deployment(pipeline, environment).expect("an answer");
    assert!(!lacks(7, "staging"), "nothing is staged");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    sees(&record, b"deb", &Sight::Declared);
    assert!(lacks(7, "staging"));
    assert!(!lacks(8, "staging"), "another pipeline has staged nothing");
    let later = NOW + Duration::from_secs(5);
    assert!(record.found_deployment(42, later).expect("news"));
    assert!(!record.found_deployment(42, later).expect("an answer"), "it is open");
    let hint = record.take_hints(later, later).expect("hints");
    assert_eq!(hint.first().map(|hint| hint.subject), Some(HintSubject::Deployment(42)));
    record.settle_hint(hint.first().expect("one").id, "deployed").expect("settled");
    assert!(!record.found_deployment(42, later).expect("an answer"), "it had its look");
    record.deployed(&version(), Some(8), "staging", "job:9", None, later).expect("another pipeline's");
    assert!(lacks(7, "staging"));
    record.deployed(&version(), Some(7), "staging", "job:9", None, later).expect("told");
    assert!(!lacks(7, "staging"));
    assert!(lacks(7, "production"));
}
