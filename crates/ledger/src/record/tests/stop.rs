//! Stories of the switches.

use slipway_core::stop::{Stopped, Word};

use super::*;
use crate::audit::Entry;

fn everything(number: u64, why: Option<&str>) -> Word {
    let stopped = why.map(|why| Stopped { why: why.to_owned(), by: "operator".to_owned(), at: NOW });
    let reason = why.unwrap_or("mended").to_owned();
    Word { number, stopped, by: "operator".to_owned(), reason, at: NOW }
}

fn why(record: &Record<Database>) -> Option<String> {
    record.stopped().expect("a switch").map(|stopped| stopped.why)
}

fn audited(record: &Record<Database>) -> Vec<(String, String)> {
    let rows = entries(record.sql(), 1, 100).expect("rows");
    let switched = |Entry { event, .. }: &Entry| ["stopped", "started"].contains(&event.action.as_str());
    rows.iter().filter(|row| switched(row)).map(|row| (row.event.action.clone(), row.event.subject.clone())).collect()
}

#[test]
fn a_record_runs_until_it_is_stopped_and_again_when_it_is_started() {
    let record = record();
    assert_eq!(why(&record), None);
    assert!(record.stop("operator", "a wrong package is public", NOW).expect("a switch"));
    assert!(!record.stop("operator", "again", NOW).expect("no news"));
    assert_eq!(why(&record).as_deref(), Some("a wrong package is public"));
    assert!(record.start("operator", "it is taken back", NOW).expect("a switch"));
    assert!(!record.start("operator", "again", NOW).expect("no news"));
    assert_eq!(why(&record), None);
    let own = |action: &str| (action.to_owned(), "project".to_owned());
    assert_eq!(audited(&record), [own("stopped"), own("started")]);
}

#[test]
fn an_older_word_about_everything_changes_nothing() {
    let record = record();
    assert_eq!(record.heard().expect("a switch"), None);
    assert!(record.hear(&everything(2, None), NOW).expect("a word"));
    assert!(!record.hear(&everything(1, Some("late")), NOW).expect("an old word"));
    assert_eq!(why(&record), None);
    assert!(record.hear(&everything(3, Some("now")), NOW).expect("a word"));
    assert!(!record.hear(&everything(3, None), NOW).expect("the same word"));
    assert_eq!(why(&record).as_deref(), Some("now"));
    assert_eq!(record.heard().expect("a switch"), Some(3), "so whoever tells it learns of a later turn than its own");
    assert_eq!(audited(&record), [("stopped".to_owned(), "everything".to_owned())]);
}

#[test]
fn a_project_that_is_stopped_itself_stays_stopped_when_everything_is_started() {
    let record = record();
    record.stop("operator", "imported", NOW).expect("a switch");
    record.hear(&everything(1, Some("all")), NOW).expect("a word");
    assert_eq!(why(&record).as_deref(), Some("all"));
    record.hear(&everything(2, None), NOW).expect("a word");
    assert_eq!(why(&record).as_deref(), Some("imported"));
}

#[test]
fn those_who_follow_a_release_hear_of_a_stop() {
    let record = record();
    plan(&record);
    let before = record.sequence(&version()).expect("a row");
    record.stop("operator", "wrong", NOW).expect("a switch");
    assert!(record.sequence(&version()).expect("a row") > before);
}
