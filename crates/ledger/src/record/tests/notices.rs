//! Stories of what is told to others: commit statuses and events.

use std::time::Duration;

use slipway_core::config::EventKind;

use super::super::{Delivery, Receiver};
use super::*;

const FAR: Timestamp = Timestamp(NOW.0 + 3_600_000);

fn receiver(name: &str, kinds: &[EventKind]) -> Receiver {
    Receiver { name: name.to_owned(), kinds: kinds.to_vec() }
}

fn all(name: &str) -> Receiver {
    receiver(name, &[EventKind::Complete, EventKind::NeedsPerson, EventKind::Conflict])
}

/// What is to be told: a line an event, without the release.
fn told(record: &Record<Database>, receivers: &[Receiver]) -> Vec<String> {
    record.spread(receivers, NOW).expect("spread");
    let line = |delivery: &Delivery| {
        let key = delivery.key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        format!("{} {} {key}", delivery.receiver, delivery.kind.word())
    };
    record.due_deliveries(NOW, FAR).expect("deliveries").iter().map(line).collect()
}

#[test]
fn a_release_is_complete_once() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    report(&record, 1, TargetState::Releasing);
    assert!(told(&record, &[all("a")]).is_empty());
    report(&record, 1, TargetState::Released);
    report(&record, 1, TargetState::Released);
    assert_eq!(told(&record, &[all("a"), receiver("b", &[EventKind::Conflict])]), ["a complete -"]);
    let delivery = record.due_deliveries(NOW, FAR).expect("deliveries").pop().expect("one");
    record.settle_delivery(&delivery, "delivered").expect("settled");
    // It drifts, and is whole again.
    let problem = Code::Drift.problem("x".to_owned(), Visible::Nothing, None);
    let drift = Report { problem: Some(problem), ..Report::of(JAMMY, TargetState::Released) };
    record.set(&version(), &key(), &drift, NOW).expect("set");
    record.set(&version(), &key(), &Report::of(JAMMY, TargetState::Released), NOW).expect("set");
    assert_eq!(told(&record, &[all("a")]), ["a needs_person jammy-amd64"]);
}

#[test]
fn each_way_to_need_a_person_is_told_once_for_each_approval() {
    for (state, kind) in [
        (TargetState::Failed, "needs_person"),
        (TargetState::Missing, "needs_person"),
        (TargetState::Conflict, "conflict"),
    ] {
        let record = record();
        stage(&record);
        assert!(ask(&record).expect("an approval"));
        report(&record, 1, state);
        report(&record, 1, state);
        assert_eq!(told(&record, &[all("a")]), [format!("a {kind} jammy-amd64")], "{state:?}");
    }
    let record = record();
    stage(&record);
    for (approval, job) in [(1, 81), (2, 82)] {
        assert!(ask_by(&record, job).expect("an approval"));
        report(&record, approval, TargetState::Failed);
    }
    assert_eq!(told(&record, &[all("a")]), ["a needs_person jammy-amd64", "a needs_person jammy-amd64"]);
}

const FOCAL: &str = "ubuntu/focal";

/// Staged and approved for two distro versions.
fn approved_for_two() -> Record<Database> {
    let (record, mut two) = (record(), planned(None));
    two[0].expect.distros.push(FOCAL.to_owned());
    two[0].targets.push(OrderTarget { distro: FOCAL.to_owned(), public: site("harbour/stable"), how: How::Copy });
    record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &two, NOW).expect("a plan");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    for distro in [JAMMY, FOCAL] {
        let digest = Digest::of(b"deb");
        record.seen_in_staging(&version(), &key(), distro, &digest, &Sight::Declared, NOW).expect("a look");
    }
    assert_eq!(ask(&record), Ok(true));
    record
}

fn report_of(record: &Record<Database>, distro: &str, state: TargetState) {
    record.settle(&version(), &key(), 1, &Report::of(distro, state), &Digest::of(b"deb"), NOW).expect("a report");
}

#[test]
fn targets_of_a_package_that_stop_under_one_approval_are_told_of_once() {
    let record = approved_for_two();
    report_of(&record, JAMMY, TargetState::Failed);
    report_of(&record, FOCAL, TargetState::Failed);
    assert_eq!(told(&record, &[all("a")]), ["a needs_person jammy-amd64"]);
}

#[test]
fn a_release_is_complete_when_its_last_target_is_released_and_not_before() {
    let record = approved_for_two();
    report_of(&record, JAMMY, TargetState::Released);
    assert!(told(&record, &[all("a")]).is_empty(), "one is left");
    report_of(&record, FOCAL, TargetState::Released);
    assert_eq!(told(&record, &[all("a")]), ["a complete -"]);
}

#[test]
fn an_approval_that_ends_before_its_turn_needs_a_person_once() {
    let lapse = Duration::from_hours(4);
    let held = |record: &Record<Database>| {
        record.hold(&version(), None, "user:nell", "x", None, NOW).expect("a hold");
    };
    let lapsed = |record: &Record<Database>| drop(record.lapse(lapse, NOW + lapse).expect("lapsed"));
    for ends in [&held as &dyn Fn(&Record<Database>), &lapsed] {
        let record = record();
        stage(&record);
        assert!(ask(&record).expect("an approval"));
        ends(&record);
        ends(&record);
        assert_eq!(told(&record, &[all("a")]), ["a needs_person jammy-amd64"]);
    }
}

#[test]
fn other_bytes_in_staging_are_a_conflict() {
    let record = record();
    plan(&record);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    let problem = Code::StagingConflict.problem("x".to_owned(), Visible::Nothing, None);
    for _ in 0..2 {
        sees(&record, b"deb", &Sight::Other(problem.clone()));
    }
    assert_eq!(told(&record, &[all("a")]), ["a conflict jammy-amd64"]);
}

#[test]
fn what_moves_or_is_left_out_needs_nobody() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    let passing = Code::Drift.problem("x".to_owned(), Visible::Nothing, None);
    for state in [TargetState::Approved, TargetState::Releasing] {
        let report = Report { problem: Some(passing.clone()), ..Report::of(JAMMY, state) };
        record.settle(&version(), &key(), 1, &report, &Digest::of(b"deb"), NOW).expect("a report");
    }
    assert!(told(&record, &[all("a")]).is_empty());
}

#[test]
fn an_event_is_tried_again_until_it_is_settled() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    report(&record, 1, TargetState::Released);
    record.spread(&[all("a")], NOW).expect("spread");
    let delivery = record.due_deliveries(NOW, FAR).expect("deliveries").pop().expect("one");
    let later = NOW + Duration::from_secs(2);
    record.tries_delivery(&delivery, later).expect("tried");
    assert!(record.due_deliveries(NOW, FAR).expect("deliveries").is_empty());
    assert_eq!(record.next_delivery(NOW, FAR).expect("a time"), Some(later));
    let again = record.due_deliveries(later, FAR).expect("deliveries").pop().expect("one");
    assert_eq!((again.tries, again.occurrence), (1, delivery.occurrence), "under the same number");
    record.settle_delivery(&again, "delivered").expect("settled");
    assert_eq!(record.next_delivery(NOW, FAR).expect("no time"), None);
}

#[test]
fn what_was_told_is_forgotten_but_not_that_a_release_was_complete() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    report(&record, 1, TargetState::Failed);
    assert!(ask_by(&record, 82).expect("an approval"));
    report(&record, 2, TargetState::Released);
    record.spread(&[], NOW).expect("nobody listens");
    record.forget_deliveries(NOW + Duration::from_hours(31 * 24)).expect("forgotten");
    let rows = record.sql().query("SELECT name FROM occurrences", &[]).expect("rows");
    assert_eq!(rows.iter().map(|row| row.text(0).expect("a name")).collect::<Vec<_>>(), ["complete 1.2.0"]);
}

#[test]
fn an_event_never_has_the_number_of_one_that_was_forgotten() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    report(&record, 1, TargetState::Failed);
    record.spread(&[all("a")], NOW).expect("spread");
    let first = record.due_deliveries(NOW, FAR).expect("deliveries").pop().expect("one");
    record.settle_delivery(&first, "delivered").expect("settled");
    for _ in 0..2 {
        record.forget_deliveries(NOW + Duration::from_hours(31 * 24)).expect("forgotten");
    }
    assert!(ask_by(&record, 82).expect("an approval"));
    report(&record, 2, TargetState::Failed);
    record.spread(&[all("a")], NOW).expect("spread");
    let second = record.due_deliveries(NOW, FAR).expect("deliveries").pop().expect("one");
    assert!(second.occurrence > first.occurrence, "{} after {}", second.occurrence, first.occurrence);
}

// ---- commit statuses ----

fn by_webhook_job(record: &Record<Database>, id: u64) -> bool {
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
    let approval = by_webhook(&candidate, &job(id), true).expect("it was played");
    record.approve(&candidate, &approval, &policy(), 1001, NOW).expect("an approval")
}

fn due(record: &Record<Database>, after: Duration) -> Vec<super::super::DueStatus> {
    record.due_statuses(NOW + after, FAR).expect("statuses")
}

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_package_that_a_webhook_released_has_a_status_and_one_whose_job_asked_has_none() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    assert!(due(&record, MINUTE).is_empty(), "the job asked");

    let record = self::record();
    stage(&record);
    assert!(by_webhook_job(&record, 81));
    assert!(due(&record, Duration::from_secs(59)).is_empty(), "the job may speak yet");
    let status = due(&record, MINUTE).pop().expect("nobody else tells");
    assert_eq!((status.pipeline_id, status.sha.as_str(), status.ref_name.as_str()), (7, "aa", "v1.2.0"));
    assert_eq!((status.state, status.targets, status.approved_by.as_str()), (TargetState::Approved, 1, "mira"));

    assert!(!ask(&record).expect("the same approval"), "the job speaks, a little later");
    assert!(due(&record, MINUTE).is_empty());
}

#[test]
fn a_status_that_was_sent_is_followed_to_its_end_whoever_speaks() {
    let record = record();
    stage(&record);
    assert!(by_webhook_job(&record, 81));
    let status = due(&record, MINUTE).pop().expect("one");
    record.status_later(&status, true, Some(NOW + MINUTE * 2)).expect("tried");
    assert!(due(&record, MINUTE).is_empty());
    record.status_sent(&status, "pending", Some(NOW + MINUTE * 3)).expect("sent");
    assert!(!ask(&record).expect("the same approval"));
    report(&record, 1, TargetState::Failed);
    let status = due(&record, MINUTE * 3).pop().expect("one");
    assert_eq!((status.state, status.sent.as_deref(), status.tries), (TargetState::Failed, Some("pending"), 0));
    record.status_sent(&status, "failed", None).expect("sent");
    assert!(due(&record, MINUTE * 50).is_empty());
    assert!(by_webhook_job(&record, 82), "played again");
    assert_eq!(due(&record, MINUTE).pop().expect("one").state, TargetState::Approved);
}

#[test]
fn a_refusal_that_a_webhook_brought_has_a_status_with_the_reason_unless_its_own_job_was_told_so() {
    let refused = |record: &Record<Database>, id| {
        record.open_refusal(&version(), &key(), id, "jonas", "`jonas` may not", NOW).expect("a status");
    };
    let record = record();
    stage(&record);
    refused(&record, 81);
    assert!(due(&record, Duration::from_secs(59)).is_empty(), "the job may speak yet");
    record.refusal_by_job(&version(), &key(), 80).expect("another job");
    let status = due(&record, MINUTE).pop().expect("nobody else tells");
    assert_eq!((status.state, status.refused.as_deref()), (TargetState::Staged, Some("`jonas` may not")));
    record.refusal_by_job(&version(), &key(), 81).expect("its own job");
    assert!(due(&record, MINUTE).is_empty());

    refused(&record, 82);
    let status = due(&record, MINUTE).pop().expect("one");
    record.status_sent(&status, "failed `jonas` may not", None).expect("sent");
    assert!(due(&record, MINUTE * 50).is_empty(), "it is told");
    // Somebody else's job releases it: the red status is not the last word.
    assert!(ask(&record).expect("an approval"));
    let status = due(&record, MINUTE).pop().expect("it is followed");
    assert_eq!((status.state, status.approved_by.as_str(), status.refused), (TargetState::Approved, "mira", None));
}
