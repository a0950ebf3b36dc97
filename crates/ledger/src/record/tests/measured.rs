//! What the numbers of a record count.

use std::time::Duration;

use super::*;

#[test]
fn a_fresh_record_counts_nothing() {
    assert_eq!(record().measured(NOW).expect("numbers"), super::super::Measured::default());
}

#[test]
fn each_number_counts_what_its_name_says() {
    let record = record();
    stage(&record);
    ask(&record).expect("it is approved");
    record.hold(&version(), None, "user:nell", "wait", None, NOW).expect("a hold");
    record.stop("operator", "look", NOW).expect("a switch");
    record.refuse(&version(), &key(), 99, "job:99", "not yours", NOW).expect("a refusal");
    let numbers = record.measured(NOW + Duration::from_mins(2)).expect("numbers");
    // The hold has taken the approval back, and says so at the target.
    assert_eq!(numbers.targets, [("staged".to_owned(), 1)].into());
    assert_eq!(numbers.problems, [("blocked".to_owned(), 1)].into());
    assert_eq!(numbers.staged_bytes, [("depot".to_owned(), 3)].into());
    assert_eq!((numbers.approvals, numbers.refusals, numbers.holds), (1, 1, 1));
    assert_eq!((numbers.releases, numbers.open_releases, numbers.is_stopped), (1, 1, true));
    let rows = entries(record.sql(), 1, 100).expect("rows").len();
    assert_eq!(numbers.audit_rows, u64::try_from(rows).expect("few"));
}

#[test]
fn what_is_on_its_way_has_an_age() {
    let record = record();
    stage(&record);
    ask(&record).expect("it is approved");
    let numbers = record.measured(NOW + Duration::from_secs(90)).expect("numbers");
    assert_eq!((numbers.oldest_moving_seconds, numbers.orders), (90, 1));
}

#[test]
fn what_is_deleted_and_what_is_not_are_counted_by_the_audits_words() {
    let record = record();
    let words = ["announced", "deleted", "deleted", "not-deleted", "not-sent", "withdrawn"];
    for action in words {
        let (actor, subject, details) = ("edge".to_owned(), "1.2.0/jammy-amd64".to_owned(), "{}".to_owned());
        append(record.sql(), &Event { at: NOW, actor, action: action.to_owned(), subject, details }).expect("a row");
    }
    let numbers = record.measured(NOW).expect("numbers");
    assert_eq!(numbers.deletions, [("deleted".to_owned(), 2), ("not-deleted".to_owned(), 1)].into());
}

#[test]
fn no_number_is_counted_by_reading_the_audit_whole() {
    let record = record();
    let plan = |statement: &str| -> String {
        let steps = record.sql().query(&format!("EXPLAIN QUERY PLAN {statement}"), &[]).expect("a plan");
        steps.iter().map(|step| step.text(3).expect("words").to_owned()).collect::<Vec<_>>().join("; ")
    };
    let deletions = plan(super::super::measured::DELETIONS);
    assert!(deletions.contains("COVERING INDEX deletions_in_audit"), "{deletions}");
    // The end of the table, which is its key.
    let rows = plan("SELECT MAX(sequence) FROM audit");
    assert!(rows.contains("SEARCH audit"), "{rows}");
}
