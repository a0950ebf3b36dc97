//! Stories of what is deleted from staging, and of those who want it kept.

use std::time::Duration;

use slipway_core::config::Project;
use slipway_core::retention::{
    Cause, Decision, Elsewhere, Ending, InPublic, InStaging, Keep, Sights, Stage, decide, ended,
};

use super::*;
use crate::{Held, Removal, Removed, Resting};

const DAY: Duration = Duration::from_hours(24);

fn config(abandoned: &str) -> Config {
    let text = format!(
        r#"
        [edge]
        url = "https://slipway.example.com"
        [gitlab]
        url = "https://gitlab.example.com"
        token = "GITLAB_TOKEN"
        [retention]
        enabled = true
        [places.depot]
        kind = "packagecloud"
        url = "https://depot.example.com"
        token = "TOKEN"
        [[projects]]
        id = 1001
        namespace_id = 71
        name = "tug"
        webhook_token = "WEBHOOK_TOKEN_TUG"
        [[routes]]
        staging = {{ place = "depot", repository = "harbour-ci/pre-release" }}
        public = {{ place = "depot", repository = "harbour/stable" }}
        [routes.retention]
        {abandoned}
        "#
    );
    Config::parse(&text).expect("a good file")
}

fn tug(config: &Config) -> &Project {
    config.project("tug").expect("the project")
}

fn after(days: u32) -> Timestamp {
    NOW + days * DAY
}

fn package(record: &Record<Database>, config: &Config, now: Timestamp) -> Resting {
    let found = record.resting_one(config, tug(config), &version(), &key(), now).expect("rows");
    found.expect("a package that rests in staging")
}

fn sights() -> Sights {
    Sights {
        staging: InStaging::Declared(Some(NOW)),
        tells_arrival: true,
        public: InPublic::Served,
        elsewhere: Elsewhere::Free,
        clocks_agree: true,
        is_stopped: false,
    }
}

/// Runs count an hour at a time.
fn count(record: &Record<Database>, from: Timestamp, days: u32) -> Timestamp {
    for hour in 0..=days * 24 {
        record.count_time(from + Duration::from_hours(u64::from(hour)), true).expect("a run");
    }
    from + days * DAY
}

/// A package of a release that was given up, announced, marked, and due.
fn due() -> (Record<Database>, Config, Timestamp) {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    record.close(&version(), "user:mira", "no longer wanted", NOW).expect("a closing");
    let now = due_again(&record, &config, after(20));
    (record, config, now)
}

/// As many days later as notice and wait take.
fn due_again(record: &Record<Database>, config: &Config, now: Timestamp) -> Timestamp {
    let mut now = count(record, now, 1);
    for (stage, days) in [(Stage::Announced, 3), (Stage::Marked, 7)] {
        let of = package(record, config, now);
        assert!(record.take_step(&of, stage, Cause::Closed, now, now).expect("a step"), "{stage:?}");
        now = count(record, now, days);
    }
    now
}

fn begin(record: &Record<Database>, config: &Config, now: Timestamp) -> Result<Vec<Removal>, Decision> {
    let of = package(record, config, now);
    record.begin_removal(config, tug(config), &of, &sights(), now).expect("a transaction")
}

fn hold(record: &Record<Database>, now: Timestamp) -> Held {
    record.hold(&version(), None, "user:nell", "wait", None, now).expect("a hold")
}

#[test]
fn a_package_of_a_release_that_was_given_up_is_deleted_once_notice_and_wait_are_over() {
    let (record, config, now) = due();
    let removals = begin(&record, &config, now).expect("a deletion");
    assert_eq!(removals.len(), 1);
    assert_eq!((removals[0].under.as_str(), removals[0].digest), (JAMMY, Digest::of(b"deb")));
    assert!(record.settle_removal(&removals[0], Removed::Gone, now).expect("an end"));
    assert!(record.removals().expect("rows").is_empty());
    assert_eq!(package(&record, &config, now).known.staged_at, None);
    let rows = entries(record.sql(), 1, 100).expect("rows");
    let actions: Vec<&str> = rows.iter().map(|row| row.event.action.as_str()).collect();
    assert_eq!(actions, ["planned", "declared", "staged", "closed", "announced", "marked", "deleting", "deleted"]);
    assert_eq!(verify(&rows), Ok(()));
}

#[test]
fn a_hold_before_the_deletion_is_in_time_and_one_that_meets_it_is_too_late() {
    let (record, config, now) = due();
    assert_eq!(hold(&record, now), Held::InTime);
    let kept = Keep::Held("user:nell".to_owned());
    assert_eq!(begin(&record, &config, now), Err(Decision::TakeBack(kept)));
    record.lift(&version(), None, "user:nell", "go on", now).expect("a lift");
    let removals = begin(&record, &config, now).expect("a deletion");
    assert_eq!(hold(&record, now), Held::TooLate(vec![key()]));
    let extended = record.extend(&version(), None, after(90), "user:nell", "wait", now).expect("an extension");
    assert_eq!(extended, Held::TooLate(vec![key()]));
    // What was not deleted after all can be held.
    record.settle_removal(&removals[0], Removed::StillThere, now).expect("an end");
    assert_eq!(hold(&record, now), Held::InTime);
}

#[test]
fn whatever_comes_between_the_list_and_the_deletion_keeps_the_package() {
    type Change = fn(&Record<Database>, Timestamp);
    let changes: &[(Change, Keep)] = &[
        (|record, now| drop(hold(record, now)), Keep::Held("user:nell".to_owned())),
        (
            |record, now| {
                let told = record.deployed(&version(), None, "production", "job:9", Some(now), now);
                assert!(told.expect("told"));
            },
            Keep::Deployed("production".to_owned()),
        ),
        (|record, now| assert!(record.stop("operator", "wrong", now).expect("a switch")), Keep::Stopped),
    ];
    for (change, keep) in changes {
        let (record, config, now) = due();
        let of = package(&record, &config, now);
        let decision = decide(&of.known, &sights(), of.keeping.as_ref(), &config.retention, now);
        assert_eq!(decision, Decision::Delete(Cause::Closed));
        change(&record, now);
        let begun = record.begin_removal(&config, tug(&config), &of, &sights(), now).expect("a transaction");
        let wanted = if keep.takes_back() { Decision::TakeBack(keep.clone()) } else { Decision::Keep(keep.clone()) };
        assert_eq!(begun, Err(wanted));
        assert!(record.removals().expect("rows").is_empty(), "{keep:?}");
    }
}

#[test]
fn an_extension_ends_what_was_announced_and_it_begins_anew_when_it_is_over() {
    let (record, config, now) = due();
    let until = now + 5 * DAY;
    let extended = record.extend(&version(), Some(&[key()]), until, "user:nell", "wait", now).expect("an extension");
    assert_eq!(extended, Held::InTime);
    let of = package(&record, &config, now);
    assert_eq!(of.known.progress, None);
    assert_eq!(ended(&of.known, of.keeping.as_ref(), now), Err(Keep::Extended(until)));
    let now = count(&record, now, 6);
    let of = package(&record, &config, now);
    let decision = decide(&of.known, &sights(), of.keeping.as_ref(), &config.retention, now);
    assert_eq!(decision, Decision::Announce(Cause::Closed));
}

#[test]
fn a_hold_with_an_end_is_over_by_itself() {
    let record = record();
    stage(&record);
    let until = NOW + DAY;
    record.hold(&version(), None, "user:nell", "the weekend", Some(until), NOW).expect("a hold");
    assert_eq!(record.next_hold_end().expect("a row"), Some(until));
    assert!(record.end_holds(until - Duration::from_secs(1)).expect("none is over").is_empty());
    assert_eq!(record.holds(&version()).expect("rows").len(), 1);
    assert_eq!(record.end_holds(until).expect("it is over"), [version()]);
    assert!(record.holds(&version()).expect("rows").is_empty());
}

#[test]
fn what_is_being_deleted_before_its_release_is_expired_and_staged_again_when_it_was_not() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    let now = due_again(&record, &config, after(80));
    let removals = begin(&record, &config, now).expect("a deletion");
    assert_eq!(state(&record), TargetState::Expired);
    assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
    let again = record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), now);
    assert!(matches!(again, Err(LedgerError::BeingDeleted { .. })), "{again:?}");
    // What is seen of it meanwhile says nothing: it may go in a moment.
    sees(&record, b"deb", &Sight::Declared);
    assert_eq!(state(&record), TargetState::Expired);
    record.settle_removal(&removals[0], Removed::StillThere, now).expect("an end");
    assert_eq!(state(&record), TargetState::Staged);
    assert_eq!(ask(&record), Ok(true));
}

#[test]
fn what_expired_can_be_staged_anew() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    let now = due_again(&record, &config, after(80));
    let removals = begin(&record, &config, now).expect("a deletion");
    record.settle_removal(&removals[0], Removed::Gone, now).expect("an end");
    assert_eq!(state(&record), TargetState::Expired);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), now).expect("the same file");
    sees(&record, b"deb", &Sight::Declared);
    assert_eq!(state(&record), TargetState::Staged);
}

#[test]
fn a_release_that_nobody_has_ended_keeps_its_packages_where_its_route_has_no_rule() {
    let (record, config) = (record(), config(""));
    stage(&record);
    let of = package(&record, &config, after(10_000));
    assert_eq!(of.known.ending, Ending::Open(NOW));
    assert_eq!(ended(&of.known, of.keeping.as_ref(), after(10_000)), Err(Keep::Open));
}

/// 1.2.0 runs, then 1.3.0, and then somebody rolls back.
#[test]
fn a_release_runs_until_another_was_deployed_there_and_a_roll_back_is_news() {
    let (record, config) = (record(), config(""));
    stage(&record);
    let other: Version = "1.3.0".parse().expect("a version");
    let session = JobSession { ref_name: "v1.3.0".to_owned(), ..session(8, "bb") };
    record.expect(&other, &session, &policy(), Maturity::Final, &planned(None), after(1)).expect("a plan");
    let deploy = |version: &Version, days| {
        record.deployed(version, None, "production", "job:9", Some(after(days)), after(days)).expect("told")
    };
    let runs = || package(&record, &config, after(9)).known.deployed;
    assert!(deploy(&version(), 2));
    assert_eq!(runs().as_deref(), Some("production"));
    assert!(!deploy(&version(), 3));
    assert!(deploy(&other, 4));
    assert_eq!(runs(), None);
    // Heard once more of what was done before the other came, it is no news.
    let late = record.deployed(&version(), None, "production", "webhook job:9", Some(after(3)), after(5));
    assert!(!late.expect("told"));
    assert_eq!(runs(), None);
    assert!(deploy(&version(), 6));
    assert_eq!(runs().as_deref(), Some("production"));
}

#[test]
fn another_project_is_told_whether_a_file_is_needed_here_and_what_is_lent_cannot_be_held() {
    let (record, config, now) = due();
    let object = package(&record, &config, now).object();
    let free = |lend| record.leave_to_another(&config, tug(&config), &object, lend, now).expect("an answer");
    hold(&record, now);
    assert!(!free(true));
    record.lift(&version(), None, "user:nell", "go on", now).expect("a lift");
    // To be asked binds nobody.
    assert!(free(false));
    assert_eq!(hold(&record, now), Held::InTime);
    record.lift(&version(), None, "user:nell", "go on", now).expect("a lift");
    assert!(free(true));
    assert_eq!(hold(&record, now), Held::TooLate(vec![key()]));
    record.end_loans(now + Duration::from_mins(16)).expect("it is over");
    assert_eq!(hold(&record, now), Held::InTime);
}

#[test]
fn a_jump_of_the_clock_counts_no_more_than_two_hours() {
    let record = record();
    for (at, counted) in [(NOW, 0), (after(3650), 2), (NOW, 2), (after(3650), 4)] {
        let hours = Duration::from_hours(counted);
        assert_eq!(record.count_time(at, true).expect("a run"), hours);
    }
}

#[test]
fn a_newer_release_of_the_same_series_that_is_complete_suggests_to_close() {
    let record = record();
    stage(&record);
    let plan = |text: &str, pipeline: u64, days: u32| {
        let version: Version = text.parse().expect("a version");
        let session = JobSession { ref_name: format!("v{text}"), ..session(pipeline, "bb") };
        let skipped = planned(Some("not built"));
        record.expect(&version, &session, &policy(), Maturity::Final, &skipped, after(days)).expect("a plan");
        record.0.query("UPDATE targets SET state = 'released' WHERE version = ?", &[text.into()]).expect("released");
    };
    let newer = || record.superseded_by(&version()).expect("rows").map(|newer| newer.to_string());
    plan("1.3.0", 8, 1);
    assert_eq!(newer(), None);
    plan("1.2.1", 9, 2);
    assert_eq!(newer().as_deref(), Some("1.2.1"));
    record.close(&version(), "user:mira", "1.2.1 is out", NOW).expect("a closing");
    assert_eq!(newer(), None);
}
