//! Accepted is not released: the public index must serve the bytes.

use slipway_core::promotion::Outcome;
use slipway_core::release::TargetState;
use slipway_core::report::{INDEX_WAIT_MAX, Next};
use slipway_tests::fakes::{Host, Kind};
use slipway_wire::Digest;

use crate::world::{BYTES, JAMMY, OTHER, PUBLIC, TUG, net, promotion, writes};

#[test]
fn a_package_is_released_when_the_index_serves_it_and_not_before() {
    let net = net();
    net.public().indexed_after = 4;
    let mut host = Host::new(&net, promotion(&net));
    for _ in 0..3 {
        let (outcome, _) = host.run().expect("nothing crashes");
        assert_eq!(outcome, Outcome::AwaitingIndex);
    }
    assert_eq!(host.settle().outcome, Outcome::Released);
    assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1));
}

#[test]
fn a_package_that_the_index_does_not_serve_for_an_hour_needs_a_person() {
    let net = net();
    net.public().indexed_after = u32::MAX;
    let mut host = Host::new(&net, promotion(&net));
    let begun = host.now;
    let ending = host.settle();
    assert_eq!(ending.report.state, TargetState::Failed);
    let problem = ending.report.problem.expect("a failure is a problem");
    assert_eq!((problem.code.as_str(), problem.public.as_str()), ("not-served", "partly"));
    let waited = host.now.since(begun);
    assert!(waited >= INDEX_WAIT_MAX && waited < INDEX_WAIT_MAX * 2, "{waited:?}");
    assert!(net.count(Kind::Release) < 150, "{} looks at the index", net.count(Kind::Release));
    assert_eq!(writes(&net), 1);

    net.public().packages.values_mut().for_each(|package| package.indexed_after = 0);
    host.play_again();
    assert_eq!(host.settle().outcome, Outcome::Released);
    assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1));
}

#[test]
fn an_index_that_is_just_being_replaced_is_read_again() {
    let net = net();
    net.public().index_moves = 3;
    let mut host = Host::new(&net, promotion(&net));
    assert_eq!(host.run().expect("nothing crashes").0, Outcome::AwaitingIndex);
    assert_eq!(host.settle().outcome, Outcome::Released);
    assert_eq!(writes(&net), 1);
}

#[test]
fn a_digest_that_is_not_computed_yet_is_waited_for() {
    let net = net();
    net.public().hashed_after = 3;
    net.staging().packages.values_mut().for_each(|package| package.hashed_after = 3);
    let mut host = Host::new(&net, promotion(&net));
    assert_eq!(host.run().expect("nothing crashes").0, Outcome::AwaitingDigest);
    assert_eq!(writes(&net), 0, "nothing is sent whose digest is unknown");
    assert_eq!(host.settle().outcome, Outcome::Released);
    assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1));
}

#[test]
fn a_digest_that_never_comes_needs_a_person_within_two_hours() {
    let net = net();
    net.staging().packages.values_mut().for_each(|package| package.hashed_after = u32::MAX);
    let mut host = Host::new(&net, promotion(&net));
    let begun = host.now;
    let ending = host.settle();
    assert_eq!(ending.report.state, TargetState::Failed);
    assert!(host.now.since(begun) < INDEX_WAIT_MAX * 2);
    assert_eq!(net.count(Kind::Relay), 0);
}

#[test]
fn an_index_that_serves_other_bytes_than_the_lists_say_is_a_conflict() {
    // An index that lists the name twice: the approved bytes, and others from a pool of its own.
    let net = net();
    net.public().put(PUBLIC, JAMMY, TUG, BYTES);
    net.public().also_indexed = Some((TUG.to_owned(), Digest::of(OTHER)));
    let ending = Host::new(&net, promotion(&net)).settle();
    assert_eq!(ending.outcome, Outcome::Conflict { public: Digest::of(OTHER) });
}

#[test]
fn a_conflict_is_called_one_even_when_the_index_cannot_be_read() {
    let net = net();
    net.public().put(PUBLIC, JAMMY, TUG, OTHER);
    net.public().index_status = Some(503);
    let mut host = Host::new(&net, promotion(&net));
    let run = host.run().expect("nothing crashes");
    assert_eq!(run, (Outcome::Conflict { public: Digest::of(OTHER) }, Next::Settled));
}

#[test]
fn an_index_that_cannot_be_read_after_the_push_is_never_reported_as_nothing_public() {
    // `Host` compares every report with what the public has.
    for status in [401, 402, 404, 429, 500] {
        let net = net();
        net.public().index_status = Some(status);
        let mut host = Host::new(&net, promotion(&net));
        let ending = host.settle();
        assert_eq!(ending.report.state, TargetState::Failed, "{status}");
        assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1), "{status}");
        net.public().index_status = None;
        host.play_again();
        assert_eq!(host.settle().outcome, Outcome::Released, "{status}");
        assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1), "{status}");
    }
}
