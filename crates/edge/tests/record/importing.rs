//! An imported record does nothing, and nothing in it is signed, until somebody has compared and started it.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use slipway_core::release::TargetState;
use slipway_edge::{attest, heads, notify};
use slipway_ledger::{AUDIT_ROWS, Attested, End, Record, Sql as _, audit, rusqlite::Database};
use slipway_wire::Digest;

use crate::attesting::{attested, attests, due, released};
use crate::host::{ALL, Edge, MINUTE, NOW, PROJECT};

/// The edge with its record exported and imported again, in another instance with a signing key.
fn imported(mut edge: Edge) -> Edge {
    let (head, pieces) = edge.record.export("operator", edge.now()).expect("an export");
    let mut lines: Vec<String> = pieces.concat().lines().skip(1).map(str::to_owned).collect();
    for first in (1..=head.audit_rows).step_by(usize::try_from(AUDIT_ROWS).expect("few")) {
        lines.extend(edge.record.export_audit(first, head.audit_rows).expect("rows").lines().map(str::to_owned));
    }
    let end = End { lines: u64::try_from(lines.len()).expect("few") + 1, sha256: Digest::of(b"") };
    let new = Record::open(Database::in_memory()).expect("a record");
    new.import(&head, "one", "operator", edge.now()).expect("it begins");
    new.import_rows("one", &lines).expect("all of it");
    new.import_ends("one", &end, "operator", edge.now()).expect("it is whole");
    edge.config.edge.signing_key = Some("SIGNING_KEY".to_owned());
    edge.record = new;
    edge
}

fn starts(edge: &Edge) {
    edge.record.compared(1, None).expect("a page");
    assert!(edge.record.start("operator", "compared", edge.now()).expect("a switch"));
}

#[test]
fn no_head_of_an_imported_audit_is_signed_before_somebody_has_started_it() {
    let edge = imported(Edge::new(""));
    for _ in 0..3 {
        edge.passes(Duration::from_mins(10));
        assert_eq!(heads::due(&edge.record, &edge.config, edge.now()).expect("a look"), None);
        assert_eq!(attest::due(&edge.record, &edge.config, edge.now()).expect("a look"), None);
        assert_eq!(edge.drives(), None);
        assert_eq!(audit::newest_head(edge.record.sql()).expect("heads"), None);
    }
    starts(&edge);
    edge.drives();
    assert!(audit::newest_head(edge.record.sql()).expect("heads").is_some());
}

#[test]
fn nothing_in_an_imported_record_is_attested_before_somebody_has_started_it() {
    let edge = imported(released());
    assert_eq!(due(&edge), None);
    // What was due has ended with the import. Whatever becomes due after it waits for the start.
    let now = edge.now().0.into();
    edge.record.sql().query("UPDATE attestations SET due_at = ?", &[now]).expect("a row");
    assert_eq!(due(&edge), None);
    attests(&edge);
    assert_eq!(attested(&edge), Some(Attested::Due));
    starts(&edge);
    assert_eq!(due(&edge), Some(edge.now()));
    attests(&edge);
    assert!(matches!(attested(&edge), Some(Attested::Signed(_))));
}

#[test]
fn what_was_approved_before_an_export_is_handed_over_by_nobody_after_it_is_started() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    let edge = imported(edge);
    starts(&edge);
    edge.passes(MINUTE * 2);
    assert!(edge.record.dispatches().expect("rows").is_empty());
    assert!(edge.record.unheard(PROJECT, edge.now(), edge.now()).expect("rows").is_empty());
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Staged);
}

#[test]
fn a_job_that_was_played_before_an_imported_record_was_started_approves_nothing_and_one_played_after_does() {
    // It was released, and perhaps taken back, after the export.
    let edge = imported(Edge::new(""));
    edge.passes(MINUTE);
    edge.has_job(81, "one", "success");
    starts(&edge);
    edge.hears_of(81, "one");
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Staged);
    assert!(edge.audited("refused").iter().any(|row| row.contains("imported")), "{:?}", edge.audit());
    edge.passes(MINUTE * 2);
    edge.approves(82, "one");
}

#[test]
fn a_job_that_began_before_an_imported_record_was_started_is_refused_when_it_asks_by_itself() {
    for all in [false, true] {
        let edge = imported(Edge::with_all(""));
        edge.passes(MINUTE);
        let has_job =
            |job| if all { edge.has_job_for_all(job, "running") } else { drop(edge.has_job(job, "one", "running")) };
        let names = if all { ALL } else { &["one"] };
        has_job(81);
        starts(&edge);
        let denied = edge.asks(81, names).expect_err("what it asks for may have been taken back since");
        assert_eq!((denied.status, denied.kind), (409, "before-import"), "{denied:?}");
        assert!(denied.detail.contains("again"), "{denied:?}");
        assert_eq!(edge.state("one"), TargetState::Staged);
        assert!(edge.audited("refused").iter().any(|row| row.contains("imported")), "{:?}", edge.audit());
        edge.passes(MINUTE * 2);
        has_job(82);
        edge.asks(82, names).expect("one that is run anew");
        assert_eq!(edge.state("one"), TargetState::Approved);
    }
}

/// A job of the package `one` that a runner took a minute ago, an hour after it was made, and changes to that.
fn taken_by_a_runner(edge: &Edge, changes: &[(&str, Value)]) -> Value {
    let mut job = edge.has_job(81, "one", "running");
    job["created_at"] = json!((edge.now() - MINUTE * 61).to_string());
    for (name, value) in changes {
        job[*name] = value.clone();
    }
    edge.answers("jobs/81", 200, job.clone());
    job
}

#[test]
fn a_job_that_was_played_before_the_start_and_had_no_runner_until_after_it_approves_nothing() {
    let minute = |number: u64| json!(60.0 * f64::from(u32::try_from(number).expect("few")));
    let cases = [
        // The start was two minutes ago, and a runner took it one minute ago.
        (vec![("queued_duration", json!(0.5))], true),
        (vec![("queued_duration", minute(2))], false),
        (vec![("queued_duration", minute(40))], false),
        // Nothing shows when it was played.
        (vec![("queued_duration", Value::Null)], false),
        (vec![("queued_duration", json!(-120.0))], false),
        (vec![("started_at", json!("soon"))], false),
        (vec![("queued_duration", json!(1e300))], false),
    ];
    for by_itself in [false, true] {
        for (changes, approves) in &cases {
            let edge = imported(Edge::new(""));
            edge.passes(MINUTE);
            starts(&edge);
            edge.passes(MINUTE * 2);
            taken_by_a_runner(&edge, changes);
            if by_itself {
                let denied = edge.asks(81, &["one"]).err().map(|denied| (denied.status, denied.kind));
                assert_eq!(denied, (!approves).then_some((409, "before-import")), "{changes:?}");
            } else {
                edge.hears_of(81, "one");
                edge.drives();
            }
            assert_eq!(edge.state("one") == TargetState::Approved, *approves, "{changes:?} {by_itself}");
            assert_eq!(edge.audited("refused").len(), usize::from(!approves), "{changes:?}: {:?}", edge.audit());
        }
    }
}

#[test]
fn a_job_that_was_made_after_the_start_was_played_after_it() {
    let edge = imported(Edge::new(""));
    edge.passes(MINUTE);
    starts(&edge);
    edge.passes(MINUTE * 2);
    let made = json!((edge.now() - MINUTE).to_string());
    taken_by_a_runner(
        &edge,
        &[
            ("created_at", made),
            ("status", json!("pending")),
            ("started_at", Value::Null),
            ("queued_duration", Value::Null),
        ],
    );
    edge.hears_of(81, "one");
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Approved);
}

#[test]
fn a_job_that_no_runner_has_taken_yet_is_judged_when_one_has() {
    let edge = imported(Edge::new(""));
    edge.passes(MINUTE);
    starts(&edge);
    edge.passes(MINUTE * 2);
    let waits = [("status", json!("pending")), ("started_at", Value::Null), ("queued_duration", json!(3.5))];
    taken_by_a_runner(&edge, &waits);
    edge.hears_of(81, "one");
    edge.drives();
    assert_eq!((edge.state("one"), edge.audited("refused").len()), (TargetState::Staged, 0));
    // The job asks, so a runner has it: GitLab's answer is behind.
    let denied = edge.asks(81, &["one"]).expect_err("when it was played is not shown yet");
    assert_eq!((denied.status, denied.kind), (503, "gitlab-behind"));
    taken_by_a_runner(&edge, &[]);
    edge.passes(MINUTE);
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Approved, "{:?}", edge.audit());
}

#[test]
fn while_an_imported_record_waits_for_its_start_its_alarm_looks_into_nothing() {
    let edge = imported(Edge::new(""));
    edge.plays(81, "one");
    assert_eq!(edge.asked("/jobs/81"), 0);
    assert!(edge.now() == NOW && edge.record.is_stopped().expect("a switch"));
}

/// An import of the record begins, and the rows of its export come in: they are those that the record has.
fn begins_to_be_imported(edge: &Edge) {
    let begins = "INSERT INTO imports (one, id, head, began_by, began_at, is_whole, is_compared)
                  VALUES (1, 'one', '{}', 'operator', 0, 0, 0)";
    edge.record.sql().query(begins, &[]).expect("it begins");
}

#[test]
fn an_import_that_begins_while_an_alarm_waits_for_gitlab_has_none_of_its_orders_handed_over() {
    for imports in [false, true] {
        let edge = Rc::new(Edge::new(""));
        edge.hears_of(81, "one");
        edge.has_job(82, "two", "running");
        edge.meanwhile(move |edge| {
            edge.asks(82, &["two"]).expect("it is approved");
            if imports {
                begins_to_be_imported(edge);
            }
        });
        edge.drives();
        assert_eq!(edge.asked("/jobs/81"), 1, "GitLab knows no such job");
        assert_eq!(edge.record.dispatches().expect("rows").len(), usize::from(imports), "it stays where it was");
    }
}

#[test]
fn nobody_is_told_of_what_an_import_brings_nor_is_a_status_set_of_it() {
    const RECEIVER: &str = "POST /slipway";
    let listens = "[[events]]\nkinds = [\"complete\"]\nurl = \"https://hooks.example.com/slipway\"\nsigning_token = \"EVENTS_TOKEN\"";
    for imports in ["no", "before", "while somebody is told"] {
        let edge = Rc::new(Edge::new(listens));
        edge.answers_to(RECEIVER, 204, json!({}));
        for (job, name) in [(81, "one"), (82, "two")] {
            edge.approves(job, name);
            edge.reports(name, TargetState::Released);
        }
        edge.passes(MINUTE);
        match imports {
            "before" => begins_to_be_imported(&edge),
            "while somebody is told" => edge.meanwhile(begins_to_be_imported),
            _ => {}
        }
        let told = notify::tell(&edge.record, &edge.host, &edge.config).now_or_never().expect("nothing waits");
        told.expect("a working record");
        assert_eq!(edge.sent(RECEIVER).len(), usize::from(imports != "before"), "{imports}");
        let statuses = edge.sent("POST /api/v4/projects/1001/statuses/aa").len();
        assert_eq!(statuses > 0, imports == "no", "{imports}: {statuses}");
    }
}
