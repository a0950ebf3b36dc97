//! Stories of what is deleted from staging, and of those who want it kept.

use std::time::Duration;

use slipway_core::config::{EventKind, Project};
use slipway_core::retention::{
    Cause, Consent, Decision, Elsewhere, Ending, InPublic, InStaging, Keep, Sights, Stage, decide, ended,
};

use super::*;
use crate::{Held, Receiver, Removal, Removed, Resting, StagedObject};

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
    record.begin_removal(config, tug(config), &of, &sights(), &[], now).expect("a transaction")
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
        (
            |record, _| drop(record.0.query("UPDATE targets SET state = 'approved'", &[]).expect("an approval")),
            Keep::Moving,
        ),
        (
            |record, _| drop(record.0.query("UPDATE targets SET state = 'failed', begun = 1", &[]).expect("an end")),
            Keep::Unsettled,
        ),
        (|record, now| assert!(record.stop("operator", "wrong", now).expect("a switch")), Keep::Stopped),
    ];
    for (change, keep) in changes {
        let (record, config, now) = due();
        let of = package(&record, &config, now);
        let decision = decide(&of.known, &sights(), of.keeping.as_ref(), &config.retention, now);
        assert_eq!(decision, Decision::Delete(Cause::Closed));
        change(&record, now);
        let begun = record.begin_removal(&config, tug(&config), &of, &sights(), &[], now).expect("a transaction");
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
    assert!(!record.holds(&version()).expect("rows")[0].1.counts_at(until));
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
fn what_a_job_stages_once_more_while_its_deletion_is_marked_is_as_young_as_that_and_stays() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    let now = due_again(&record, &config, after(80));
    let soaks_since = package(&record, &config, now).known.staged_at;
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), now).expect("the same file");
    let young = Keep::Young(now + 60 * DAY);
    assert_eq!(begin(&record, &config, now), Err(Decision::TakeBack(young.clone())));
    let of = package(&record, &config, now);
    assert_eq!((state(&record), of.known.staged_at), (TargetState::Staged, soaks_since));
    assert!(record.take_back_step(&of, &young, now).expect("a step"));
    let again = due_again(&record, &config, now + 60 * DAY);
    assert!(!begin(&record, &config, again).expect("a deletion").is_empty());
}

#[test]
fn what_expired_and_is_in_staging_again_is_staged_and_can_be_deleted_again() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    let now = due_again(&record, &config, after(90));
    let removals = begin(&record, &config, now).expect("a deletion");
    assert_eq!(state(&record), TargetState::Expired);
    let look = |found: &[u8], now| {
        let watched = record.watched(now, now).expect("rows");
        let of = watched.iter().find(|of| of.state == TargetState::Expired).expect("it is looked at");
        record.looked(of, &Seen::Digest(Digest::of(found)), now).expect("a look")
    };
    // While its deletion is on its way, that it is there says nothing.
    assert!(!look(b"deb", now));
    record.settle_removal(&removals[0], Removed::Gone, now).expect("an end");
    // Nor does what somebody else has put there.
    assert!(!look(b"other", now + DAY));
    assert_eq!((state(&record), package(&record, &config, now).known.staged_at), (TargetState::Expired, None));
    let back = now + 2 * DAY;
    assert!(look(b"deb", back));
    assert_eq!((state(&record), package(&record, &config, back).known.staged_at), (TargetState::Staged, Some(back)));
    let again = due_again(&record, &config, back + 90 * DAY);
    assert!(begin(&record, &config, again).is_ok());
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
    stages(&record, other.as_str(), 8, &[(key().as_str(), JAMMY, b"newer")], after(1));
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
    assert_eq!(free(true), Consent::No);
    record.lift(&version(), None, "user:nell", "go on", now).expect("a lift");
    // To be asked binds nobody.
    assert_eq!(free(false), Consent::Yes);
    assert_eq!(hold(&record, now), Held::InTime);
    record.lift(&version(), None, "user:nell", "go on", now).expect("a lift");
    assert_eq!(free(true), Consent::Yes);
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

/// A release of a pipeline of its own, with files of one name: the key, the distro version, and the bytes.
pub(super) fn stages(
    record: &Record<Database>,
    version: &str,
    pipeline: u64,
    files: &[(&str, &str, &[u8])],
    now: Timestamp,
) {
    let version: Version = version.parse().expect("a version");
    let by = JobSession { ref_name: format!("v{version}"), ..session(pipeline, &format!("sha{pipeline}")) };
    let package = |(key, distro, _): &(&str, &str, &[u8])| {
        let mut package = planned(None).remove(0);
        package.key = key.parse().expect("a key");
        package.expect.distros = vec![(*distro).to_owned()];
        package.expect.release_job = format!("release: [{key}]");
        package.expect.environment = format!("release/{key}");
        package.targets[0].distro = (*distro).to_owned();
        package
    };
    let plan: Vec<Planned> = files.iter().map(package).collect();
    record.expect(&version, &by, &policy(), Maturity::Final, &plan, now).expect("a plan");
    for (key, distro, bytes) in files {
        let key = key.parse().expect("a key");
        record.declare(&version, &key, &file(bytes), false, &by, now).expect("a declaration");
        let digest = Digest::of(bytes);
        record.seen_in_staging(&version, &key, distro, &digest, &Sight::Declared, now).expect("a look");
    }
}

fn resting(record: &Record<Database>, config: &Config, of: (&str, &str), now: Timestamp) -> Resting {
    let (version, key) = (of.0.parse().expect("a version"), of.1.parse().expect("a key"));
    let found = record.resting_one(config, tug(config), &version, &key, now).expect("rows");
    found.expect("a package that rests in staging")
}

fn steps(record: &Record<Database>, config: &Config, of: (&str, &str), stage: Stage, now: Timestamp) {
    let of = resting(record, config, of, now);
    assert!(record.take_step(&of, stage, Cause::Closed, now, now).expect("a step"), "{stage:?}");
}

fn close(record: &Record<Database>, version: &str, now: Timestamp) {
    record.close(&version.parse().expect("a version"), "user:mira", "given up", now).expect("a closing");
}

#[test]
fn what_runs_is_protected_after_its_pipeline_was_run_again() {
    let (record, config) = (record(), config(""));
    stage(&record);
    let told = record.deployed(&version(), Some(7), "production", "webhook job:9", Some(after(1)), after(1));
    assert!(told.expect("told"));
    record
        .expect(&version(), &session(9, "aa"), &policy(), Maturity::Final, &planned(None), after(2))
        .expect("the pipeline run again");
    assert_eq!(package(&record, &config, after(3)).known.deployed.as_deref(), Some("production"));
}

#[test]
fn what_runs_ends_with_a_later_release_whose_pipeline_was_run_again() {
    let (record, config) = (record(), config(""));
    stage(&record);
    record.deployed(&version(), Some(7), "production", "webhook job:9", Some(after(1)), after(1)).expect("told");
    stages(&record, "1.3.0", 8, &[(key().as_str(), JAMMY, b"newer")], after(2));
    let newer: Version = "1.3.0".parse().expect("a version");
    record.deployed(&newer, Some(8), "production", "webhook job:10", Some(after(3)), after(3)).expect("told");
    let again = JobSession { ref_name: "v1.3.0".to_owned(), ..session(9, "sha8") };
    record.expect(&newer, &again, &policy(), Maturity::Final, &planned(None), after(4)).expect("run again");
    assert_eq!(package(&record, &config, after(5)).known.deployed, None);
}

#[test]
fn a_later_release_that_leaves_a_key_out_or_has_not_staged_it_does_not_end_what_runs_of_it() {
    for skip in [Some("not built"), None] {
        let (record, config) = (record(), config(""));
        stage(&record);
        let newer: Version = "1.3.0".parse().expect("a version");
        let by = JobSession { ref_name: "v1.3.0".to_owned(), ..session(8, "bb") };
        record.expect(&newer, &by, &policy(), Maturity::Final, &planned(skip), after(1)).expect("a plan");
        for (version, days) in [(version(), 2), (newer, 3)] {
            let told = record.deployed(&version, None, "production", "job:9", Some(after(days)), after(days));
            assert!(told.expect("told"));
        }
        let runs = package(&record, &config, after(4)).known.deployed;
        assert_eq!(runs.as_deref(), Some("production"), "{skip:?}");
    }
}

/// Two releases have the same file, and both were given up.
fn shared() -> (Record<Database>, Config, [(&'static str, &'static str); 2]) {
    let record = record();
    for (version, pipeline) in [("1.2.0", 7), ("1.3.0", 8)] {
        stages(&record, version, pipeline, &[("jammy-amd64", JAMMY, b"deb")], NOW);
        close(&record, version, NOW);
    }
    (record, config(""), [("1.2.0", "jammy-amd64"), ("1.3.0", "jammy-amd64")])
}

#[test]
fn a_file_that_two_releases_have_goes_only_when_each_has_had_its_own_notice_and_wait() {
    let (record, config, [one, other]) = shared();
    let mut now = count(&record, after(20), 1);
    steps(&record, &config, one, Stage::Announced, now);
    now = count(&record, now, 3);
    steps(&record, &config, one, Stage::Marked, now);
    now = count(&record, now, 7);
    let begin = |now| {
        let of = resting(&record, &config, one, now);
        record.begin_removal(&config, tug(&config), &of, &sights(), &[], now).expect("a transaction")
    };
    let expires = |now| {
        let of = resting(&record, &config, one, now);
        slipway_core::retention::expires_at(&of.known, of.keeping.as_ref(), &config.retention, now)
    };
    // Of the other, nothing was said yet.
    assert_eq!(begin(now), Err(Decision::Keep(Keep::Waits(10 * DAY))));
    steps(&record, &config, other, Stage::Announced, now);
    now = count(&record, now, 3);
    steps(&record, &config, other, Stage::Marked, now);
    assert_eq!(begin(now), Err(Decision::Keep(Keep::Waits(7 * DAY))));
    assert_eq!(expires(now), Some(now + 7 * DAY));
    now = count(&record, now, 7);
    assert_eq!(begin(now).expect("a deletion").len(), 1);
}

#[test]
fn a_hold_of_another_release_with_the_same_file_keeps_it_in_the_last_moment() {
    let (record, config, [one, other]) = shared();
    let mut now = count(&record, after(20), 1);
    for (stage, days) in [(Stage::Announced, 3), (Stage::Marked, 7)] {
        steps(&record, &config, one, stage, now);
        steps(&record, &config, other, stage, now);
        now = count(&record, now, days);
    }
    let of = resting(&record, &config, one, now);
    let decision = decide(&of.known, &sights(), of.keeping.as_ref(), &config.retention, now);
    assert_eq!(decision, Decision::Delete(Cause::Closed));
    let held = record.hold(&other.0.parse().expect("a version"), None, "user:nell", "wait", None, now);
    assert_eq!(held.expect("a hold"), Held::InTime);
    let begun = record.begin_removal(&config, tug(&config), &of, &sights(), &[], now).expect("a transaction");
    assert_eq!(begun, Err(Decision::TakeBack(Keep::NeededBy("1.3.0/jammy-amd64".to_owned()))));
}

#[test]
fn the_public_places_of_every_package_with_the_file_are_looked_at() {
    let (record, config, [one, other]) = shared();
    record.0.query("UPDATE targets SET state = 'released' WHERE version = ?", &[other.0.into()]).expect("released");
    let of = resting(&record, &config, one, after(20));
    assert_eq!(of.released, [(site("harbour/stable"), JAMMY.to_owned())]);
    // Released since the look: what was looked at is not all of it.
    let mut now = count(&record, after(20), 1);
    for (stage, days) in [(Stage::Announced, 3), (Stage::Marked, 7)] {
        steps(&record, &config, one, stage, now);
        steps(&record, &config, other, stage, now);
        now = count(&record, now, days);
    }
    let of = Resting { released: Vec::new(), ..resting(&record, &config, one, now) };
    let begun = record.begin_removal(&config, tug(&config), &of, &sights(), &[], now).expect("a transaction");
    assert_eq!(begun, Err(Decision::Keep(Keep::PublicUnread)));
}

#[test]
fn bytes_that_a_release_never_had_are_needed_only_until_it_has_ended() {
    let (record, config, [one, other]) = shared();
    record.0.query("UPDATE packages SET staged_at = NULL WHERE version = ?", &[other.0.into()]).expect("never seen");
    assert_eq!(resting(&record, &config, one, after(20)).known.needed_by, None);
    record.0.query("UPDATE releases SET closed_at = NULL WHERE version = ?", &[other.0.into()]).expect("open");
    record.0.query("UPDATE targets SET state = 'expected' WHERE version = ?", &[other.0.into()]).expect("open");
    let needed = resting(&record, &config, one, after(20)).known.needed_by;
    assert_eq!(needed.as_deref(), Some("1.3.0/jammy-amd64"));
}

#[test]
fn what_one_look_does_not_show_is_needed_for_longer_and_not_given_up() {
    let (record, [one, other]) = (record(), [("1.2.0", "jammy-amd64"), ("1.3.0", "jammy-amd64")]);
    for ((version, key), pipeline) in [(one, 7), (other, 8)] {
        stages(&record, version, pipeline, &[(key, JAMMY, b"deb")], NOW);
    }
    let (config, now) = (config("abandoned = \"60d\""), after(80));
    assert_eq!(resting(&record, &config, one, now).known.needed_by, None, "both are abandoned");
    let (version, digest) = (other.0.parse().expect("a version"), Digest::of(b"deb"));
    assert!(record.seen_in_staging(&version, &key(), JAMMY, &digest, &Sight::Nothing, now).expect("a look"));
    let needed = resting(&record, &config, one, after(100)).known.needed_by;
    assert_eq!(needed.as_deref(), Some("1.3.0/jammy-amd64"));
}

/// One source package, built twice: the two files have one name.
#[test]
fn a_file_of_the_same_name_for_another_distro_version_is_another_file() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stages(&record, "1.2.0", 7, &[("el8", "el/8", b"deb"), ("el9", "el/9", b"deb")], NOW);
    let mut now = count(&record, after(80), 1);
    let held = record.hold(&version(), Some(&["el9".parse().expect("a key")]), "user:nell", "wait", None, now);
    assert_eq!(held.expect("a hold"), Held::InTime);
    let of = ("1.2.0", "el8");
    assert_eq!(resting(&record, &config, of, now).known.needed_by, None);
    for (stage, days) in [(Stage::Announced, 3), (Stage::Marked, 7)] {
        steps(&record, &config, of, stage, now);
        now = count(&record, now, days);
    }
    let of = resting(&record, &config, of, now);
    let removals = record.begin_removal(&config, tug(&config), &of, &sights(), &[], now).expect("a transaction");
    let removals = removals.expect("a deletion");
    assert_eq!(removals.len(), 1);
    let el9 = "el9".parse().expect("a key");
    let again = record.declare(&version(), &el9, &file(b"deb"), false, &session(7, "sha7"), now);
    again.expect("what is deleted is no file of this one");
    assert!(!record.is_being_deleted(&version(), &el9).expect("rows"));
    assert_eq!(record.states(&version(), &el9).expect("rows")[0].1, TargetState::Staged);
    assert!(record.settle_removal(&removals[0], Removed::Gone, now).expect("an end"));
    assert!(resting(&record, &config, ("1.2.0", "el9"), now).known.staged_at.is_some());
    assert_eq!(resting(&record, &config, ("1.2.0", "el8"), now).known.staged_at, None);
}

#[test]
fn what_is_lent_is_lent_where_nobody_has_heard_of_the_file_yet_and_comes_back_by_itself() {
    let (other, config, now) = due();
    let object = package(&other, &config, now).object();
    let record = record();
    plan(&record);
    let lent = record.leave_to_another(&config, tug(&config), &object, true, now).expect("an answer");
    assert_eq!(lent, Consent::Yes);
    let declare = |now| record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), now);
    assert!(matches!(declare(now), Err(LedgerError::BeingDeleted { .. })), "it may be gone in a moment");
    declare(now + Duration::from_mins(16)).expect("the loan is over");
}

#[test]
fn a_file_is_lent_only_when_its_own_notice_and_wait_are_over_and_nothing_is_stopped() {
    let (record, config) = (record(), config(""));
    stage(&record);
    record.close(&version(), "user:mira", "no longer wanted", NOW).expect("a closing");
    let mut now = count(&record, after(20), 1);
    let object = package(&record, &config, now).object();
    // Whoever only asks is told the same.
    let lends = |now| {
        let [asked, lent] = [false, true]
            .map(|lend| record.leave_to_another(&config, tug(&config), &object, lend, now).expect("an answer"));
        assert_eq!(asked, lent);
        lent
    };
    for (stage, days) in [(Stage::Announced, 3), (Stage::Marked, 7)] {
        assert_eq!(lends(now), Consent::NotYet, "{stage:?}");
        let of = package(&record, &config, now);
        assert!(record.take_step(&of, stage, Cause::Closed, now, now).expect("a step"));
        now = count(&record, now, days);
    }
    assert!(record.stop("operator", "wrong", now).expect("a switch"));
    assert_eq!(lends(now), Consent::NotYet);
    record.start("operator", "right", now).expect("a switch");
    assert_eq!(lends(now), Consent::Yes);
}

#[test]
fn a_hold_that_ended_by_a_clock_that_ran_ahead_is_there_again_when_it_is_right() {
    let record = record();
    stage(&record);
    let until = NOW + DAY;
    record.hold(&version(), None, "user:nell", "the weekend", Some(until), NOW).expect("a hold");
    let counts = |now| {
        let facts = record.gate_facts(&version(), &key(), None).expect("facts").expect("the package");
        !slipway_core::gate::closed(&[], &facts, now).is_empty()
    };
    assert!(counts(NOW));
    assert_eq!(record.end_holds(after(3650)).expect("it is over"), [version()]);
    assert!(!counts(after(3650)));
    assert!(record.end_holds(after(3650)).expect("said once").is_empty());
    assert_eq!(record.next_hold_end().expect("a row"), None);
    assert!(counts(NOW));
    assert_eq!(record.end_holds(NOW).expect("it counts again"), [version()]);
    assert_eq!(record.next_hold_end().expect("a row"), Some(until));
    assert_eq!(package(&record, &config(""), NOW).known.held_by.as_deref(), Some("user:nell"));
    // What is over cannot be lifted.
    let lifted = record.lift(&version(), None, "user:nell", "go on", after(2));
    assert!(matches!(lifted, Err(LedgerError::NotHeld { .. })), "{lifted:?}");
    let rows = entries(record.sql(), 1, 100).expect("rows");
    let actions: Vec<&str> = rows.iter().map(|row| row.event.action.as_str()).collect();
    assert_eq!(actions[3..], ["held", "lifted", "held"]);
}

#[test]
fn an_earlier_date_does_not_shorten_what_somebody_was_promised() {
    let (record, config) = (record(), config(""));
    stage(&record);
    let hold = |until| drop(record.hold(&version(), None, "user:nell", "wait", until, NOW).expect("a hold"));
    let until = || record.holds(&version()).expect("rows")[0].1.until;
    hold(Some(after(9)));
    hold(Some(after(2)));
    assert_eq!(until(), Some(after(9)));
    hold(Some(after(10)));
    assert_eq!(until(), Some(after(10)));
    hold(None);
    hold(Some(after(2)));
    assert_eq!(until(), None);
    for (until, promised) in [(9, 9), (2, 9), (10, 10)] {
        record.extend(&version(), None, after(until), "user:nell", "wait", NOW).expect("an extension");
        assert_eq!(package(&record, &config, NOW).known.extended_until, Some(after(promised)));
    }
}

/// The other project finishes half an image, every ten minutes.
#[test]
fn an_image_that_is_lent_again_in_time_stays_lent_to_whoever_was_told_that_it_is_too_late() {
    let lent = |named: &str| {
        let (record, config, now) = due();
        record.0.query("UPDATE packages SET filename = ?", &[named.into()]).expect("a package");
        let object = package(&record, &config, now).object();
        (record, config, object, now)
    };
    let image = "registry.example.com/harbour/staging";
    let minutes = |now: Timestamp, count| now + Duration::from_mins(count);
    let asks = |(record, config, object, now): &(Record<Database>, Config, StagedObject, Timestamp), at| {
        record.leave_to_another(config, tug(config), object, true, minutes(*now, at)).expect("an answer");
        hold(record, minutes(*now, at + 9))
    };
    let of = lent(image);
    for at in [0, 10, 20] {
        assert_eq!(asks(&of, at), Held::TooLate(vec![key()]), "{at}");
        assert_eq!(hold(&of.0, minutes(of.3, at + 14)), Held::TooLate(vec![key()]), "{at}");
    }
    // Nobody came for a while, and then somebody who came in time.
    assert_eq!(hold(&of.0, minutes(of.3, 36)), Held::InTime);
    assert_eq!(asks(&of, 37), Held::InTime);

    // A stop ends it, too, and of a file nothing is left that would have to be finished.
    let of = lent(image);
    assert_eq!(asks(&of, 0), Held::TooLate(vec![key()]));
    assert!(of.0.stop("operator", "wrong", of.3).expect("a switch"));
    assert_eq!(asks(&of, 10), Held::InTime);
    let of = lent("tug_1.2.0_amd64.deb");
    assert_eq!(asks(&of, 0), Held::TooLate(vec![key()]));
    assert_eq!(asks(&of, 10), Held::InTime);
}

#[test]
fn a_hold_of_what_was_deleted_is_too_late_until_it_is_staged_anew() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    let now = due_again(&record, &config, after(80));
    let removals = begin(&record, &config, now).expect("a deletion");
    record.settle_removal(&removals[0], Removed::Gone, now).expect("an end");
    assert_eq!(hold(&record, now), Held::TooLate(vec![key()]));
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), now).expect("the same file");
    sees(&record, b"deb", &Sight::Declared);
    assert_eq!(hold(&record, now), Held::InTime);
}

#[test]
fn a_deletion_that_was_never_sent_is_not_recorded_as_one_that_the_server_refused() {
    let (record, config, now) = due();
    let removals = begin(&record, &config, now).expect("a deletion");
    assert!(record.settle_removal(&removals[0], Removed::NotSent, now).expect("an end"));
    let rows = entries(record.sql(), 1, 100).expect("rows");
    assert_eq!(rows.last().map(|row| row.event.action.as_str()), Some("not-sent"));
    // It has waited already.
    assert!(begin(&record, &config, now).is_ok());
}

#[test]
fn what_is_told_of_an_announcement_says_when_it_is_deleted_whatever_becomes_of_it_until_then() {
    let (record, config) = (record(), config("abandoned = \"60d\""));
    stage(&record);
    record.close(&version(), "user:mira", "no longer wanted", NOW).expect("a closing");
    let now = count(&record, after(20), 1);
    let (of, expires_at) = (package(&record, &config, now), now + Duration::from_hours(10 * 24));
    assert!(record.take_step(&of, Stage::Announced, Cause::Closed, expires_at, now).expect("a step"));
    assert!(record.has_news().expect("rows"));
    assert_eq!(hold(&record, now), Held::InTime);
    let listens = Receiver { name: "a".to_owned(), kinds: vec![EventKind::Announced] };
    record.spread(&[listens], now).expect("spread");
    assert!(!record.has_news().expect("rows"));
    let told = record.due_deliveries(now, now + Duration::from_hours(1)).expect("deliveries");
    let told: Vec<_> = told.iter().map(|one| (one.kind, one.key.clone(), one.expires_at)).collect();
    assert_eq!(told, [(EventKind::Announced, Some(key()), Some(expires_at))]);
}

#[test]
fn what_was_moved_out_of_staging_or_is_missing_there_neither_rests_nor_counts() {
    type Change = fn(&Record<Database>);
    let moved: Change = |record| {
        record.0.query("UPDATE targets SET how = 'move'", &[]).expect("a route that moves");
        assert_eq!(ask(record), Ok(true));
        report(record, 1, TargetState::Released);
    };
    let missing: Change = |record| sees(record, b"deb", &Sight::Nothing);
    for (change, staged_again) in [(moved, false), (missing, true)] {
        let (record, config) = (record(), config("abandoned = \"60d\""));
        stage(&record);
        let now = count(&record, after(80), 1);
        steps(&record, &config, ("1.2.0", "jammy-amd64"), Stage::Announced, now);
        change(&record);
        assert!(record.resting(&config, tug(&config), None, 10, now).expect("rows").is_empty());
        assert!(record.staged_bytes().expect("rows").is_empty());
        assert!(record.measured(now).expect("numbers").staged_bytes.is_empty(), "an operator's numbers say the same");
        assert!(record.expiries(&version()).expect("rows").is_empty());
        if staged_again {
            sees(&record, b"deb", &Sight::Declared);
            assert_eq!(record.resting(&config, tug(&config), None, 10, now).expect("rows").len(), 1);
        }
    }
}

#[test]
fn what_was_moved_for_one_distro_version_is_deleted_under_the_others_alone() {
    for state in ["released", "withdrawn"] {
        let (record, config, now) = due();
        let moved = "INSERT INTO targets (version, key, distro, public_place, public_repository, how, state, since)
            SELECT version, key, 'ubuntu/noble', public_place, public_repository, 'move', ?, since FROM targets";
        record.0.query(moved, &[state.into()]).expect("a second target");
        let removals = begin(&record, &config, now).expect("a deletion");
        let under: Vec<&str> = removals.iter().map(|removal| removal.under.as_str()).collect();
        assert_eq!(under, [JAMMY], "what lies there by now under the other name is somebody else's: {state}");
    }
}

#[test]
fn what_staging_has_not_shown_for_three_days_is_forgotten_and_one_look_starts_them_anew() {
    let (record, config, now) = due();
    let look = |seen: &InStaging, now| {
        let of = package(&record, &config, now);
        record.looked_in_staging(&of, seen, now).expect("a look")
    };
    assert!(!look(&InStaging::Nothing, now));
    let now = count(&record, now, 2);
    assert!(!look(&InStaging::Nothing, now));
    assert!(!look(&InStaging::Unread, now));
    assert!(!look(&InStaging::Declared(Some(NOW)), now));
    let now = count(&record, now, 2);
    assert!(!look(&InStaging::Nothing, now));
    let now = count(&record, now, 3);
    assert!(!look(&InStaging::Unread, now), "what cannot be read says nothing");
    assert!(look(&InStaging::Nothing, now));
    assert!(record.staged_bytes().expect("rows").is_empty());
    assert!(record.expiries(&version()).expect("rows").is_empty());
    assert_eq!(package(&record, &config, now).known.staged_at, None);
    assert_eq!(hold(&record, now), Held::InTime, "nobody has deleted it here");
}

#[test]
fn all_that_rests_is_reached_a_part_at_a_time_those_that_rest_the_longest_first() {
    let (record, config) = (record(), config(""));
    for (index, version) in ["1.2.0", "1.3.0", "1.4.0"].into_iter().enumerate() {
        let files: [(&str, &str, &[u8]); 2] = [("a", "el/8", version.as_bytes()), ("b", "el/9", version.as_bytes())];
        // Two of them came at one moment.
        let days = [5, 5, 1][index];
        stages(&record, version, 7 + u64::try_from(index).expect("few"), &files, after(days));
    }
    let (mut found, mut behind) = (Vec::new(), None);
    loop {
        let part = record.resting(&config, tug(&config), behind.as_ref(), 4, after(9)).expect("rows");
        let Some(last) = part.last() else { break };
        behind = last.place();
        found.extend(part.iter().map(|of| format!("{}/{}", of.version, of.key)));
    }
    assert_eq!(found, ["1.4.0/a", "1.4.0/b", "1.2.0/a", "1.2.0/b", "1.3.0/a", "1.3.0/b"]);
}

// ---- other bytes ----

fn replace(record: &Record<Database>, now: Timestamp) -> Result<(), LedgerError> {
    record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), now)
}

fn other() -> Version {
    "1.3.0".parse().expect("a version")
}

/// Another release that is planned for a distro version, and what comes of declaring a file for it.
fn declares_in_another(record: &Record<Database>, distro: &str, file: &api::StagedFile) -> Result<(), LedgerError> {
    let mut planned = planned(None);
    planned[0].expect.distros = vec![distro.to_owned()];
    planned[0].targets[0].distro = distro.to_owned();
    let by = session(8, "bb");
    record.expect(&other(), &by, &policy(), Maturity::Final, &planned, NOW).expect("a plan");
    record.declare(&other(), &key(), file, false, &by, NOW)
}

#[test]
fn a_file_that_has_given_way_is_no_other_releases_file_until_the_new_bytes_are_seen() {
    let renamed = api::StagedFile { filename: "tug_1.3.0_amd64.deb".to_owned(), ..file(b"deb") };
    for (distro, declared, is_refused) in [
        (JAMMY, file(b"deb"), true),
        // The job that replaces deletes exactly the old bytes, under their name, where its package is staged.
        ("ubuntu/noble", file(b"deb"), false),
        (JAMMY, file(b"other"), false),
        (JAMMY, renamed, false),
    ] {
        let record = record();
        stage(&record);
        replace(&record, NOW).expect("nobody needs it");
        let refused = declares_in_another(&record, distro, &declared);
        assert_eq!(matches!(refused, Err(LedgerError::BeingDeleted { .. })), is_refused, "{distro}: {refused:?}");
        assert_eq!(refused.is_err(), is_refused, "{distro}: {refused:?}");
        sees(&record, b"again", &Sight::Declared);
        declares_in_another(&record, distro, &declared).expect("it is deleted by now");
    }
}

#[test]
fn what_expired_does_not_come_back_while_the_job_of_another_release_deletes_it() {
    for (replaces, state_before) in [(true, TargetState::Expired), (false, TargetState::Staged)] {
        let record = record();
        stage(&record);
        declares_in_another(&record, JAMMY, &file(b"deb")).expect("both have it");
        record.sql().query("UPDATE targets SET state = 'expired' WHERE version = '1.3.0'", &[]).expect("a target");
        if replaces {
            replace(&record, NOW).expect("nobody needs it");
        }
        let looks = || {
            let (digest, sight) = (Digest::of(b"deb"), Sight::Declared);
            record.seen_in_staging(&other(), &key(), JAMMY, &digest, &sight, NOW).expect("a look");
            record.states(&other(), &key()).expect("targets")[0].1
        };
        assert_eq!(looks(), state_before);
        if replaces {
            // Nor by a look at what rests.
            let watched = record.watched(after(1), after(1)).expect("rows");
            for of in watched.iter().filter(|of| of.state == TargetState::Expired) {
                assert!(!record.looked(of, &Seen::Digest(Digest::of(b"deb")), after(1)).expect("a look"));
            }
            sees(&record, b"again", &Sight::Declared);
            assert_eq!(looks(), TargetState::Staged, "somebody has staged it since");
        }
    }
}

#[test]
fn what_is_held_is_not_replaced_until_the_hold_is_lifted_or_over() {
    for keys in [None, Some([key()])] {
        let record = record();
        stage(&record);
        let keys = keys.as_ref().map(<[Key; 1]>::as_slice);
        record.hold(&version(), keys, "user:nell", "wrong notes.", Some(after(3)), NOW).expect("a hold");
        let refused = replace(&record, after(2)).expect_err("it is held").to_string();
        for part in ["nell", "wrong notes", "2026-11-26", "lift the hold"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert_eq!(state(&record), TargetState::Staged, "nothing was changed");
        replace(&record, after(3)).expect("it is over");
    }
    let record = record();
    stage(&record);
    hold(&record, NOW);
    assert!(replace(&record, NOW).is_err());
    record.lift(&version(), None, "user:nell", "go on", NOW).expect("a lift");
    replace(&record, NOW).expect("nobody holds it");
}

#[test]
fn what_runs_somewhere_is_not_replaced_until_something_else_runs_there() {
    let record = record();
    stage(&record);
    let deploy = |version: &Version, days| {
        record.deployed(version, None, "production", "job:9", Some(after(days)), after(days)).expect("told")
    };
    assert!(deploy(&version(), 1));
    let refused = replace(&record, after(2)).expect_err("it runs").to_string();
    assert!(refused.contains("production"), "{refused}");
    stages(&record, "1.3.0", 8, &[(key().as_str(), JAMMY, b"newer")], after(2));
    assert!(deploy(&other(), 3));
    replace(&record, after(4)).expect("it runs nowhere");
}

#[test]
fn what_somebody_wants_kept_is_not_replaced_until_then() {
    let record = record();
    stage(&record);
    record.extend(&version(), None, after(3), "user:nell", "it is compared with", NOW).expect("an extension");
    let refused = replace(&record, after(2)).expect_err("it is kept").to_string();
    assert!(refused.contains("2026-11-26"), "{refused}");
    replace(&record, after(3)).expect("it is over");
}

#[test]
fn a_file_that_a_complete_release_has_too_is_not_replaced_while_that_is_held_deployed_or_kept() {
    type Change = fn(&Record<Database>);
    let changes: &[(Change, &str)] = &[
        (|record| drop(record.hold(&other(), None, "user:nell", "wait", None, NOW).expect("a hold")), "on hold"),
        (
            |record| {
                let told = record.deployed(&other(), None, "production", "job:9", Some(NOW), NOW);
                assert!(told.expect("told"));
            },
            "production",
        ),
        (
            |record| drop(record.extend(&other(), None, after(3), "user:nell", "wait", NOW).expect("an extension")),
            "2026-11-26",
        ),
    ];
    for (change, why) in changes {
        let record = record();
        stage(&record);
        stages(&record, "1.3.0", 8, &[("jammy-amd64", JAMMY, b"deb")], NOW);
        record.0.query("UPDATE targets SET state = 'released' WHERE version = '1.3.0'", &[]).expect("complete");
        change(&record);
        let refused = replace(&record, NOW).expect_err("the other needs it").to_string();
        assert!(refused.contains(why) && refused.contains("1.3.0"), "{why}: {refused}");
        // A file of another name takes nothing's place, and the old one is not named to be deleted.
        let renamed = api::StagedFile { filename: "tug_1.2.1_amd64.deb".to_owned(), ..file(b"again") };
        record.declare(&version(), &key(), &renamed, true, &session(7, "aa"), NOW).expect("they are two files");
        assert_eq!(replaced(&record), [], "{why}");
    }
}

#[test]
fn a_hold_or_an_extension_is_too_late_while_what_gave_way_may_be_deleted_at_any_moment() {
    let record = record();
    stage(&record);
    stages(&record, "1.3.0", 8, &[("jammy-amd64", JAMMY, b"deb")], NOW);
    record.0.query("UPDATE targets SET state = 'released' WHERE version = '1.3.0'", &[]).expect("complete");
    replace(&record, NOW).expect("a replacement");
    assert_eq!(hold(&record, NOW), Held::TooLate(vec![key()]));
    let extend = || record.extend(&version(), None, after(3), "user:nell", "wait", NOW).expect("an extension");
    assert_eq!(extend(), Held::TooLate(vec![key()]));
    // Nor can another release that has the old file be promised it any more.
    let held = || record.hold(&other(), None, "user:nell", "wait", None, NOW).expect("a hold");
    assert_eq!(held(), Held::TooLate(vec![key()]));
    // The new bytes come when the old ones are gone.
    sees(&record, b"again", &Sight::Declared);
    assert_eq!((hold(&record, NOW), extend(), held()), (Held::InTime, Held::InTime, Held::InTime));
}

/// Somebody holds it for half an hour while other projects are asked, and the clock jumps.
#[test]
fn a_clock_that_jumps_within_a_run_ends_no_hold() {
    let (record, config, now) = due();
    let of = package(&record, &config, now);
    let until = now + Duration::from_mins(30);
    let held = record.hold(&version(), None, "user:nell", "wait", Some(until), now).expect("a hold");
    assert_eq!(held, Held::InTime);
    let begun = record.begin_removal(&config, tug(&config), &of, &sights(), &[], until + DAY).expect("a transaction");
    assert_eq!(begun, Err(Decision::TakeBack(Keep::Held("user:nell".to_owned()))));
    // The next run has looked whether its clock is right.
    let now = now + Duration::from_hours(1);
    record.count_time(now, true).expect("a run");
    assert!(begin(&record, &config, now).is_ok());
}

#[test]
fn a_release_that_is_planned_later_and_has_a_lower_version_suggests_nothing() {
    let suggested = |own: (&str, &str), later: (&str, &str)| {
        let record = record();
        for ((version, filename), pipeline, days) in [(own, 7, 0), (later, 8, 1)] {
            let version: Version = version.parse().expect("a version");
            let by = JobSession { ref_name: format!("v{version}"), ..session(pipeline, &format!("sha{pipeline}")) };
            record.expect(&version, &by, &policy(), Maturity::Final, &planned(None), after(days)).expect("a plan");
            let file = api::StagedFile { filename: filename.to_owned(), ..file(filename.as_bytes()) };
            record.declare(&version, &key(), &file, false, &by, after(days)).expect("a declaration");
        }
        record.0.query("UPDATE targets SET state = 'released' WHERE version = ?", &[later.0.into()]).expect("released");
        let version = own.0.parse().expect("a version");
        record.superseded_by(&version).expect("rows").map(|newer| newer.to_string())
    };
    let (low, high) = (("17.3.9", "tug_17.3.9_amd64.deb"), ("17.3.10", "tug_17.3.10_amd64.deb"));
    assert_eq!(suggested(low, high).as_deref(), Some("17.3.10"));
    assert_eq!(suggested(high, low), None);
    // Of the same numbers, the files tell.
    let (low, high) =
        (("17.3.1+rc9.ce.0", "tug_17.3.1~rc9.ce.0_amd64.deb"), ("17.3.1+rc10.ce.0", "tug_17.3.1~rc10.ce.0_amd64.deb"));
    assert_eq!(suggested(low, high).as_deref(), Some("17.3.1+rc10.ce.0"));
    assert_eq!(suggested(high, low), None);
}
