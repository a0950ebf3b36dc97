//! The audit's last row is signed in time.

use std::time::Duration;

use slipway_core::audit::Head;
use slipway_core::signing::note::Note;
use slipway_core::time::Timestamp;
use slipway_edge::heads::unsigned_seconds;
use slipway_ledger::{Sql as _, audit};

use super::host::{Edge, MINUTE, NOW, PROJECT};

/// An edge whose configuration names a signing key.
fn signing() -> Edge {
    let mut edge = Edge::new("");
    edge.config.edge.signing_key = Some("SIGNING_KEY".to_owned());
    edge
}

fn heads(edge: &Edge) -> Vec<Head> {
    let notes = audit::heads(edge.record.sql(), 1, 100).expect("heads");
    let read = |(row, note): (u64, String)| {
        let [note] = Note::all(&note).expect("a note").try_into().expect("one");
        let head: Head = note.text().parse().expect("a head");
        assert_eq!(head.sequence, row);
        head
    };
    notes.into_iter().map(read).collect()
}

fn last(edge: &Edge) -> Head {
    let (sequence, hash) = audit::last(edge.record.sql()).expect("rows").expect("a row");
    Head { edge: edge.config.edge.url.clone(), project: PROJECT, sequence, hash, at: edge.now() }
}

#[test]
fn the_alarm_signs_the_last_row_at_once_and_what_follows_after_five_minutes() {
    let edge = signing();
    let before = edge.drives();
    let first = last(&edge);
    assert_eq!(heads(&edge), std::slice::from_ref(&first));
    edge.passes(MINUTE);
    edge.expects("three");
    let due_at = edge.drives().expect("a head is due");
    assert!(before.is_none_or(|before| before > due_at) && due_at == NOW + MINUTE + Duration::from_mins(5), "{due_at}");
    assert_eq!(heads(&edge), std::slice::from_ref(&first), "it is not due yet");
    edge.is_at(due_at);
    edge.drives();
    assert_eq!(heads(&edge), [first, last(&edge)]);
}

#[test]
fn what_cannot_be_signed_is_told_in_the_log_and_tried_again_a_minute_later() {
    let edge = signing();
    edge.host.has_key.set(false);
    assert_eq!(edge.drives(), Some(NOW + MINUTE));
    assert_eq!(heads(&edge), []);
    let [line] = &edge.logged("cannot be signed")[..] else { panic!("one line") };
    assert!(line.contains("`SIGNING_KEY` is not set"), "{line}");
    assert!(line.contains(r#""work":"1001/audit","project":1001"#), "{line}");
    edge.host.has_key.set(true);
    edge.passes(MINUTE);
    edge.drives();
    assert_eq!(heads(&edge), [last(&edge)]);
}

#[test]
fn without_a_key_in_the_configuration_nothing_is_signed_and_no_alarm_is_armed_for_it() {
    let edge = Edge::new("");
    assert_eq!(edge.drives(), None::<Timestamp>);
    assert_eq!(heads(&edge), []);
    // What rows are there is as it was: the ledger is asked for nothing else.
    assert!(!edge.record.sql().query("SELECT 1 FROM audit", &[]).expect("rows").is_empty());
}

#[test]
fn a_number_says_for_how_long_the_oldest_row_is_under_no_head_and_that_it_is_none_where_nothing_is_signed() {
    let mut edge = signing();
    edge.host.has_key.set(false);
    let unsigned = |edge: &Edge| unsigned_seconds(&edge.record, &edge.config, edge.now()).expect("a number");
    edge.drives();
    let since = audit::entries(edge.record.sql(), 1, 1).expect("rows")[0].event.at;
    edge.passes(Duration::from_hours(1));
    edge.expects("later");
    edge.drives();
    assert_eq!(unsigned(&edge), Some(edge.now().since(since).as_secs()), "of the oldest, not of the newest");
    assert!(unsigned(&edge) >= Some(3600));
    edge.host.has_key.set(true);
    edge.passes(MINUTE);
    edge.drives();
    assert_eq!(unsigned(&edge), Some(0));
    edge.config.edge.signing_key = None;
    assert_eq!(unsigned(&edge), None);
}
