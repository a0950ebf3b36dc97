//! While Slipway is stopped nothing is approved and no act begins; what was approved waits, and lapses as it always does.

use std::rc::Rc;
use std::time::Duration;

use slipway_core::promotion::May;
use slipway_core::release::TargetState;

use crate::host::{Edge, MINUTE, NOW};

const WHY: &str = "a wrong package is public";

fn stops(edge: &Edge) {
    edge.record.stop("operator", WHY, edge.now()).expect("a switch");
}

fn starts(edge: &Edge) {
    edge.record.start("operator", "mended", edge.now()).expect("a switch");
}

/// The act may not begin now; the approval is as it was.
fn waits(edge: &Edge, may: &May) {
    let May::Stopped(stopped) = may else { panic!("it should wait: {may:?}") };
    assert_eq!((stopped.why.as_str(), stopped.by.as_str()), (WHY, "operator"));
    assert_eq!(edge.state("one"), TargetState::Approved);
}

#[test]
fn a_stop_between_the_approval_and_the_act_lets_the_act_wait_until_the_start() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    stops(&edge);
    waits(&edge, &edge.may_act("one"));
    starts(&edge);
    assert_eq!(edge.may_act("one"), May::Now);
}

#[test]
fn a_stop_while_gitlab_is_asked_lets_the_act_wait() {
    let edge = Rc::new(Edge::new("[[gates]]\njobs = [\"qa\"]"));
    edge.has_pipeline(9, "success");
    edge.approves(81, "one");
    edge.passes(MINUTE);
    edge.meanwhile(stops);
    waits(&edge, &edge.may_act("one"));
}

#[test]
fn what_has_begun_may_not_act_again_while_slipway_is_stopped() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    assert_eq!(edge.may_act("one"), May::Now);
    stops(&edge);
    assert!(matches!(edge.may_act("one"), May::Stopped(_)));
}

#[test]
fn an_approval_lapses_while_slipway_is_stopped() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    stops(&edge);
    edge.is_at(NOW + Duration::from_hours(4));
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Staged);
    starts(&edge);
    assert!(matches!(edge.may_act("one"), May::Never { .. }));
}

#[test]
fn a_job_that_asks_while_slipway_is_stopped_is_refused_with_the_reason_and_its_webhook_too() {
    let edge = Edge::new("");
    stops(&edge);
    edge.has_job(81, "one", "running");
    let denied = edge.asks(81, &["one"]).expect_err("it is stopped");
    assert_eq!((denied.status, denied.kind), (409, "stopped"));
    assert!(denied.detail.contains(WHY) && denied.detail.contains("operator"), "{}", denied.detail);
    starts(&edge);
    edge.hears_of(81, "one");
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Staged, "what the job was refused is not granted later");
}

#[test]
fn a_webhook_that_comes_while_slipway_is_stopped_approves_nothing_and_leaves_the_reason_at_the_commit() {
    let edge = Edge::new("");
    stops(&edge);
    edge.plays(81, "one");
    assert_eq!(edge.state("one"), TargetState::Staged);
    let refused = edge.audited("refused 1.2.0/one");
    assert!(refused.len() == 1 && refused[0].contains(WHY), "{refused:?}");
}
