//! What gates are asked with, and how approvals end before anything was begun of them.

use std::time::Duration;

use slipway_core::gate::GateKind;
use slipway_core::promotion::May;

use super::*;
use crate::record::{Ask, GateOverride, StopReason};

const LAPSE: Duration = Duration::from_hours(4);

fn later(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn question(approval: u64) -> Ask {
    let (version, key, distro) = (version(), key(), JAMMY.to_owned());
    Ask { project_id: 1001, version, key, distro, approval, digest: Digest::of(b"deb") }
}

/// Staged and approved: approval 1.
fn approved() -> Record<Database> {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    record
}

fn problem(record: &Record<Database>) -> Option<api::Problem> {
    let rows = record.0.query("SELECT problem FROM targets", &[]).expect("rows");
    rows[0].text_or_null(0).expect("text").map(|text| serde_json::from_str(text).expect("a problem"))
}

fn said(record: &Record<Database>) -> (TargetState, String, String) {
    let problem = problem(record).expect("a problem");
    (state(record), problem.code, problem.public)
}

fn actions(record: &Record<Database>) -> Vec<String> {
    entries(record.sql(), 1, 100).expect("rows").into_iter().map(|row| row.event.action).collect()
}

fn deployed_to(record: &Record<Database>) -> Vec<String> {
    let facts = record.gate_facts(&version(), &key(), None).expect("facts").expect("the package");
    facts.deployed.into_keys().collect()
}

#[test]
fn a_hold_takes_back_what_has_not_begun_and_leaves_what_has() {
    let record = approved();
    record.hold(&version(), None, "user:nell", "wrong notes.", None, later(1)).expect("a hold");
    assert_eq!(said(&record), (TargetState::Staged, "blocked".to_owned(), "none".to_owned()));
    let what = problem(&record).expect("a problem").what;
    assert_eq!(what, "It was approved, and it is on hold by nell: wrong notes. Nothing was begun.");
    assert!(matches!(record.allow(&question(1), later(2)), Ok(May::Never { .. })), "it is over");

    let record = approved();
    assert_eq!(record.allow(&question(1), later(1)).expect("an answer"), May::Now);
    record.hold(&version(), None, "user:nell", "wrong notes", None, later(2)).expect("a hold");
    assert_eq!((state(&record), problem(&record)), (TargetState::Approved, None), "it is under way");
}

fn over(state: TargetState) -> May {
    May::Never { state, problem: None }
}

#[test]
fn only_the_target_whose_approval_and_bytes_are_asked_for_may_act() {
    let record = approved();
    for wrong in [
        Ask { approval: 2, ..question(1) },
        Ask { digest: Digest::of(b"other"), ..question(1) },
        Ask { distro: "el/9".to_owned(), ..question(1) },
    ] {
        assert_eq!(record.allow(&wrong, NOW).expect("an answer"), over(TargetState::Failed), "{wrong:?}");
    }
    assert_eq!(record.allow(&question(1), NOW).expect("an answer"), May::Now);
    assert_eq!(record.allow(&question(1), NOW).expect("an answer"), May::Now, "asked again, it is still its turn");
    report(&record, 1, TargetState::Released);
    assert_eq!(record.allow(&question(1), NOW).expect("an answer"), over(TargetState::Released));
}

#[test]
fn an_approval_lapses_when_its_time_is_over_and_nothing_has_begun() {
    let record = approved();
    let end = NOW + LAPSE;
    assert_eq!(record.next_lapse(LAPSE).expect("a time"), Some(end));
    assert!(record.lapse(LAPSE, Timestamp(end.0 - 1)).expect("none").is_empty());
    assert_eq!(record.stop_if_lapsed(&question(1), LAPSE, Timestamp(end.0 - 1)).expect("an answer"), None);
    assert_eq!(record.lapse(LAPSE, end).expect("one"), [version()]);
    assert_eq!(said(&record), (TargetState::Staged, "lapsed".to_owned(), "none".to_owned()));
    assert_eq!(record.next_lapse(LAPSE).expect("a time"), None);
    assert_eq!(actions(&record).last().map(String::as_str), Some("lapsed"));
    // The job has spoken; another one is needed.
    assert_eq!(ask(&record), Ok(false));
    assert_eq!(ask_by(&record, 82), Ok(true));

    let record = approved();
    record.allow(&question(1), later(1)).expect("an answer");
    assert!(record.lapse(LAPSE, later(10_000_000)).expect("none").is_empty(), "what has begun is finished");
    let begun = record.stop_if_lapsed(&question(1), LAPSE, later(10_000_000)).expect("an answer");
    assert_eq!(begun, None, "and may try again");

    let record = approved();
    let Ok(Some(May::Never { state: TargetState::Staged, problem: Some(problem) })) =
        record.stop_if_lapsed(&question(1), LAPSE, end)
    else {
        panic!("whoever asks too late may not act")
    };
    assert_eq!(
        problem.what,
        "Its approval lapsed at 2026-11-23 04:00:00 UTC, before its turn came. Nothing was begun."
    );
}

#[test]
fn what_was_ever_begun_is_not_taken_for_merely_staged_when_it_is_stopped() {
    let record = approved();
    record.allow(&question(1), later(1)).expect("an answer");
    let why = StopReason::Blocked("releases are frozen".to_owned());
    record.call_off(&question(1), &why, later(2)).expect("an answer");
    assert_eq!(said(&record), (TargetState::Failed, "blocked".to_owned(), "unknown".to_owned()));
    let replaced = record.declare(&version(), &key(), &file(b"new"), true, &session(7, "aa"), later(3));
    assert!(matches!(replaced, Err(LedgerError::NotReplaceable { .. })), "{replaced:?}");

    // Under a later approval of the same bytes too; until a look at the public place has found nothing.
    assert_eq!(ask_by(&record, 82), Ok(true));
    record.call_off(&question(2), &why, later(4)).expect("an answer");
    assert_eq!(state(&record), TargetState::Failed);
    assert_eq!(ask_by(&record, 83), Ok(true));
    let nothing = Code::Refused.problem("It said no.", Visible::Nothing, None);
    let refused = Report { problem: Some(nothing), ..Report::of(JAMMY, TargetState::Failed) };
    record.settle(&version(), &key(), 3, &refused, &Digest::of(b"deb"), later(5)).expect("a report");
    assert_eq!(ask_by(&record, 84), Ok(true));
    record.call_off(&question(4), &why, later(6)).expect("an answer");
    assert_eq!(said(&record), (TargetState::Staged, "blocked".to_owned(), "none".to_owned()));
}

#[test]
fn that_a_package_lost_its_approval_outlasts_looks_at_staging() {
    let record = approved();
    record.hold(&version(), None, "user:nell", "x", None, later(1)).expect("a hold");
    sees(&record, b"deb", &Sight::Declared);
    assert_eq!(said(&record).1, "blocked");
    let watched = watched(&record, later(100_000));
    assert!(!record.looked(&watched[0], &Seen::Digest(Digest::of(b"deb")), later(100_000)).expect("a look"));
    assert_eq!(said(&record).1, "blocked");
    assert_eq!(ask_by(&record, 82), Ok(true));
    assert_eq!(problem(&record), None);
}

#[test]
fn a_deployment_is_of_the_bytes_that_were_staged_before_it() {
    let record = record();
    plan(&record);
    record.deployed(&version(), None, "production", "job:9", None, later(1)).expect("told");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), later(2)).expect("a declaration");
    let seen = |bytes: &[u8], at| {
        record.seen_in_staging(&version(), &key(), JAMMY, &Digest::of(bytes), &Sight::Declared, at).expect("a look")
    };
    assert!(seen(b"deb", later(3)));
    assert!(deployed_to(&record).is_empty(), "it ran before these bytes were there");
    assert!(record.deployed(&version(), None, "production", "job:9", None, later(4)).expect("told"));
    assert_eq!(deployed_to(&record), ["production"]);
    assert!(!record.deployed(&version(), None, "production", "job:9", None, later(5)).expect("told again"));
    // Another pipeline's deployment is of what that has declared.
    record.deployed(&version(), Some(8), "staging", "job:9", None, later(5)).expect("told");
    assert_eq!(deployed_to(&record), ["production"]);
    record.deployed(&version(), Some(7), "staging", "job:9", None, later(5)).expect("told");
    assert_eq!(deployed_to(&record), ["production", "staging"]);
    // What runs is not replaced; so another release runs there by then.
    super::retention::stages(&record, "1.3.0", 9, &[(key().as_str(), JAMMY, b"newer")], later(5));
    for environment in ["production", "staging"] {
        let newer = "1.3.0".parse().expect("a version");
        record.deployed(&newer, None, environment, "job:9", None, later(6)).expect("told");
    }
    record.declare(&version(), &key(), &file(b"new"), true, &session(7, "aa"), later(6)).expect("a replacement");
    assert!(deployed_to(&record).is_empty());
    assert!(seen(b"new", later(7)));
    assert!(deployed_to(&record).is_empty());
    assert!(record.deployed(&version(), None, "production", "job:9", None, later(8)).expect("told"));
    assert_eq!(deployed_to(&record), ["production"]);
}

#[test]
fn a_package_soaks_anew_when_it_comes_back_to_staging_or_gives_way() {
    let record = record();
    stage(&record);
    let since = || record.gate_facts(&version(), &key(), None).expect("facts").expect("the package").staged_at;
    assert_eq!(since(), Some(NOW));
    sees(&record, b"deb", &Sight::Nothing);
    record
        .seen_in_staging(&version(), &key(), JAMMY, &Digest::of(b"deb"), &Sight::Declared, later(60))
        .expect("a look");
    assert_eq!(since(), Some(later(60)));
    record.declare(&version(), &key(), &file(b"new"), true, &session(7, "aa"), later(70)).expect("a replacement");
    assert_eq!(since(), None);
}

#[test]
fn an_override_is_for_the_bytes_that_were_there_when_it_was_given() {
    let record = record();
    stage(&record);
    let overrides = || record.gate_facts(&version(), &key(), None).expect("facts").expect("the package").overrides;
    let over = GateOverride { keys: &[key()], gates: &[GateKind::Soak], by_id: 9, by: "user:nell", reason: "a fix" };
    record.override_gates(&version(), &over, later(1)).expect("an override");
    assert_eq!(overrides().iter().map(|open| (open.gate, open.by)).collect::<Vec<_>>(), [(GateKind::Soak, 9)]);
    let row = entries(record.sql(), 1, 100).expect("rows").pop().expect("a row");
    assert_eq!((row.event.action.as_str(), row.event.actor.as_str()), ("overridden", "user:nell"));
    assert!(row.event.details.contains("a fix"), "{}", row.event.details);
    record.declare(&version(), &key(), &file(b"new"), true, &session(7, "aa"), later(2)).expect("a replacement");
    assert!(overrides().is_empty());
}

#[test]
fn a_hold_is_lifted_where_it_was_put_and_releases_nothing() {
    let record = record();
    stage(&record);
    let holds = || record.gate_facts(&version(), &key(), None).expect("facts").expect("the package").holds.len();
    record.hold(&version(), Some(&[key()]), "user:nell", "x", None, NOW).expect("a hold");
    record.hold(&version(), None, "user:mira", "y", None, NOW).expect("a hold");
    assert_eq!(holds(), 2);
    record.lift(&version(), Some(&[key()]), "user:nell", "ok", NOW).expect("lifted");
    assert_eq!(holds(), 1, "the release is still held");
    let again = record.lift(&version(), Some(&[key()]), "user:nell", "ok", NOW);
    assert!(matches!(again, Err(LedgerError::NotHeld { .. })), "{again:?}");
    record.lift(&version(), None, "user:nell", "ok", NOW).expect("lifted");
    assert_eq!((holds(), state(&record)), (0, TargetState::Staged));
    record.hold(&version(), Some(&[key()]), "user:nell", "it crashes", None, NOW).expect("a hold");
    let whole = record.lift(&version(), None, "user:mira", "the notes are right", NOW);
    assert!(matches!(whole, Err(LedgerError::NotHeld { .. })), "{whole:?}");
    record.hold(&version(), None, "user:mira", "the notes", None, NOW).expect("a hold");
    record.lift(&version(), None, "user:mira", "the notes are right", NOW).expect("lifted");
    assert_eq!(holds(), 1, "what nell holds for another reason stays held");
    let unknown = record.hold(&version(), Some(&["other".parse().expect("a key")]), "user:nell", "x", None, NOW);
    assert!(matches!(unknown, Err(LedgerError::NotPlanned { .. })), "{unknown:?}");
}

#[test]
fn a_closed_release_takes_nothing_more_and_finishes_what_has_begun() {
    let record = approved();
    record.close(&version(), "user:nell", "given up", later(1)).expect("closed");
    assert_eq!((state(&record), said(&record).1), (TargetState::Skipped, "skipped".to_owned()));
    assert_eq!(record.allow(&question(1), later(2)).expect("an answer"), over(TargetState::Failed));
    let (plan, again) = (
        record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &planned(None), NOW),
        record.close(&version(), "user:nell", "x", NOW),
    );
    for refused in [plan, again] {
        assert!(matches!(refused, Err(LedgerError::Closed { .. })), "{refused:?}");
    }
    assert!(matches!(ask_by(&record, 82), Err(Refusal::Skipped { .. })));

    let record = approved();
    record.allow(&question(1), later(1)).expect("an answer");
    record.close(&version(), "user:nell", "given up", later(2)).expect("closed");
    assert_eq!(state(&record), TargetState::Approved);
    report(&record, 1, TargetState::Released);
    assert_eq!(state(&record), TargetState::Released);

    let record = approved();
    record.allow(&question(1), later(1)).expect("an answer");
    record.close(&version(), "user:nell", "given up", later(2)).expect("closed");
    report(&record, 1, TargetState::Failed);
    assert!(matches!(ask_by(&record, 82), Err(Refusal::Closed { .. })), "it is not begun again");
}

#[test]
fn the_job_for_all_is_nobodys_own_job() {
    let record = record();
    let all = |key: &str, own: &str, all: Option<&str>| {
        let mut planned = planned(None);
        planned[0].key = key.parse().expect("a key");
        planned[0].expect.release_job = own.to_owned();
        planned[0].expect.environment = format!("release/{key}");
        planned[0].expect.release_all_job = all.map(str::to_owned);
        planned[0].expect.release_all_environment = all.map(|all| format!("env {all}"));
        record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &planned, NOW)
    };
    all("a", "release a", Some("all")).expect("a plan");
    all("b", "release b", Some("all")).expect("they share it");
    assert_eq!(record.candidates_of_job(7, "all").expect("rows").len(), 2);
    assert_eq!(record.candidates_of_job(7, "release a").expect("rows").len(), 1);
    for wrong in [all("c", "all", None), all("d", "release d", Some("release a"))] {
        assert!(matches!(wrong, Err(LedgerError::SharedJob { .. })), "{wrong:?}");
    }
}

#[test]
fn what_other_releases_have_made_public_of_a_key_is_known_and_what_is_only_staged_is_not() {
    let record = approved();
    let older: Version = "1.1.0".parse().expect("a version");
    record
        .expect(&older, &session(8, "bb"), &policy(), Maturity::Final, &planned(None), NOW)
        .expect("a plan of another release");
    let released = || record.gate_facts(&older, &key(), None).expect("facts").expect("the package").released;
    assert!(released().is_empty(), "it is on its way");
    report(&record, 1, TargetState::Released);
    assert_eq!(released().iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.2.0"]);
    let own = record.gate_facts(&version(), &key(), None).expect("facts").expect("the package");
    assert!(own.released.is_empty() && own.own.is_some(), "its own is no other's");
}
