//! Who holds, closes and opens gates says why, and a gate is opened only by those whom it names.

use slipway_core::access::Caller;
use slipway_edge::changes::{By, Change};
use slipway_ledger::Sql as _;

use crate::host::{Edge, MINUTE, key};

const NAMES_8: &str = "[[gates]]\nsoak = \"100h\"\noverride_people = [8]";

fn person(id: u64) -> By {
    By { name: format!("user:{id}"), id: Some(id) }
}

fn opens(keys: Option<&[&str]>, gates: &[&str], reason: &str) -> Change {
    Change::Override {
        keys: keys.map(|keys| keys.iter().map(|name| key(name)).collect()),
        gates: gates.iter().map(|gate| (*gate).to_owned()).collect(),
        reason: reason.to_owned(),
    }
}

/// Whether the soak of `one` keeps nobody back any more.
fn is_open(edge: &Edge) -> bool {
    edge.has_job(81, "one", "running");
    edge.asks(81, &["one"]).is_ok()
}

#[test]
fn only_a_person_whom_the_gate_names_opens_it_and_a_refusal_at_the_door_is_in_the_audit() {
    let nobody = By { name: "operator".to_owned(), id: None };
    for (by, opened) in [(person(8), true), (person(7), false), (nobody, false)] {
        let edge = Edge::new(NAMES_8);
        let answer = edge.changes(&by, &opens(Some(&["one"]), &["soak"], "the fix is urgent"));
        assert_eq!(
            answer.map_err(|denied| (denied.status, denied.kind)),
            if opened { Ok(()) } else { Err((403, "not-allowed")) }
        );
        assert_eq!(is_open(&edge), opened, "{by:?}");
        let at_the_door = edge.audit().iter().filter(|row| row.contains("POST overrides")).count();
        assert_eq!(at_the_door, usize::from(!opened), "{by:?}: {:?}", edge.audit());
    }
}

#[test]
fn whoever_comes_too_late_or_asks_what_is_not_to_be_is_in_the_audit_once_and_who_asks_wrongly_is_not() {
    let edge = Edge::new("");
    let hold = Change::Hold { keys: Some(vec![key("one")]), reason: "wait".to_owned(), until: None };
    let lift = Change::Lift { keys: None, reason: "it never was".to_owned() };
    // Nothing of these says what somebody may do: there is no such package, and no reason is given.
    let unknown = Change::Hold { keys: Some(Vec::new()), reason: "wait".to_owned(), until: None };
    let without = Change::Close { reason: String::new() };
    for (asked, kind) in [(&unknown, "bad-request"), (&without, "no-reason")] {
        assert_eq!(edge.changes(&person(8), asked).map_err(|denied| denied.kind), Err(kind));
    }
    assert!(edge.audited("refused").is_empty(), "{:?}", edge.audit());

    let deleted = "UPDATE packages SET deleted_at = 1 WHERE key = 'one'";
    edge.record.sql().query(deleted, &[]).expect("a row");
    for _ in 0..3 {
        assert_eq!(edge.changes(&person(8), &hold).map_err(|denied| denied.kind), Err("too-late"));
    }
    let lifted = edge.changes_in_the_record(&person(8), &lift).expect_err("no hold of the whole release");
    assert!(lifted.contains("not on hold"), "{lifted}");
    let refused = edge.audited("refused");
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].starts_with("refused 1.2.0 {\"act\":\"POST holds\",\"why\":"), "{refused:?}");
    assert!(refused[0].contains("too late for `one`"), "{refused:?}");
    assert!(refused[1].contains("\"act\":\"DELETE holds\""), "{refused:?}");
    let by = slipway_ledger::audit::entries(edge.record.sql(), 1, 1000).expect("rows");
    assert!(by.iter().filter(|row| row.event.action == "refused").all(|row| row.event.actor == "user:8"));
    // Another person is another refusal, and so is the same one later.
    assert!(edge.changes(&person(9), &hold).is_err());
    edge.passes(11 * MINUTE);
    assert!(edge.changes(&person(8), &hold).is_err());
    assert_eq!(edge.audited("refused").len(), 4);
}

#[test]
fn an_override_without_keys_needs_every_package_to_name_its_person() {
    let more = "[[gates]]\nsoak = \"100h\"\nkeys = [\"one\"]\noverride_people = [8]
                [[gates]]\nsoak = \"100h\"\nkeys = [\"two\"]\noverride_people = [9]";
    for (keys, opened) in [(None, false), (Some(["one", "two"].as_slice()), false), (Some(&["one"]), true)] {
        let edge = Edge::new(more);
        assert_eq!(edge.changes(&person(8), &opens(keys, &["soak"], "urgent")).is_ok(), opened, "{keys:?}");
        assert_eq!(is_open(&edge), opened, "{keys:?}");
    }
}

#[test]
fn only_gates_that_ask_for_something_are_opened_and_at_least_one() {
    for (gates, status) in [
        (["soak"].as_slice(), None),
        (&[], Some(422)),
        (&["soaking"], Some(422)),
        // A hold is lifted, and not opened.
        (&["hold"], Some(422)),
        // The gate names this person, and asks for no freeze.
        (&["soak", "freeze"], Some(403)),
    ] {
        let edge = Edge::new(NAMES_8);
        let answer = edge.changes(&person(8), &opens(None, gates, "urgent"));
        assert_eq!(answer.err().map(|denied| denied.status), status, "{gates:?}");
        assert_eq!(is_open(&edge), status.is_none(), "{gates:?}");
    }
}

#[test]
fn whoever_changes_something_gives_a_reason_of_one_line_that_others_can_read() {
    type Says = fn(String) -> Change;
    let changes: [Says; 4] = [
        |reason| Change::Hold { keys: None, reason, until: None },
        |reason| Change::Lift { keys: None, reason },
        |reason| Change::Close { reason },
        |reason| opens(None, &["soak"], &reason),
    ];
    let longest = "\u{e9}".repeat(500);
    for change in changes {
        for (reason, holds) in [
            ("the notes are wrong", true),
            (longest.as_str(), true),
            (&format!("  {longest}\n"), true),
            (&format!("{longest}x"), false),
            ("", false),
            (" \t ", false),
            ("two\nlines", false),
            ("two\rlines", false),
        ] {
            let edge = Edge::new(NAMES_8);
            if matches!(change(String::new()), Change::Lift { .. }) {
                let held = Change::Hold { keys: None, reason: "wait".to_owned(), until: None };
                assert_eq!(edge.changes(&person(8), &held), Ok(()));
            }
            let before = edge.audit().len();
            let answer = edge.changes(&person(8), &change(reason.to_owned()));
            let expected = if holds { Ok(()) } else { Err("no-reason") };
            assert_eq!(answer.map_err(|denied| denied.kind), expected, "{:?}", change(reason.to_owned()));
            assert_eq!(edge.audit().len() > before, holds, "{reason}");
            assert!(!holds || edge.audit().last().is_some_and(|row| row.contains(reason.trim())), "{:?}", edge.audit());
        }
    }
}

#[test]
fn a_list_of_packages_names_some_and_not_too_many() {
    for (keys, holds) in [(Some(0), false), (Some(1), true), (Some(500), true), (Some(501), false), (None, true)] {
        let edge = Edge::new("");
        let keys: Option<Vec<_>> = keys.map(|count| vec![key("one"); count]);
        let answer =
            edge.changes(&person(8), &Change::Hold { keys: keys.clone(), reason: "wait".to_owned(), until: None });
        assert_eq!(answer.is_ok(), holds, "{:?}", keys.map(|keys| keys.len()));
        assert_eq!(!is_open(&edge), holds, "it is held, or it is not");
    }
}

#[test]
fn a_job_opens_no_gate_for_the_person_who_played_it() {
    let session = Edge::session();
    assert_eq!(By::of(&Caller::Job(session)).id, None, "its script can be somebody else's");
}

#[test]
fn a_deployment_is_written_down_whether_or_not_a_gate_asks_for_it() {
    for environment in ["production", "staging"] {
        let edge = Edge::new("[[gates]]\ndeployed = [\"production\"]");
        let deployed = Change::Deployed { environment: environment.to_owned() };
        assert_eq!(edge.changes(&person(8), &deployed), Ok(()));
        assert_eq!(edge.audited("deployed").len(), 1, "{environment}: {:?}", edge.audit());
    }
}
