//! What is sent, and what is not.

use slipway_core::promotion::Outcome;
use slipway_core::release::TargetState;
use slipway_tests::fakes::{Fault, Host, Kind, Net};
use slipway_wire::Digest;

use crate::world::{BYTES, JAMMY, OTHER, PUBLIC, STAGING, TUG, net, promotion, public_bytes, writes};

/// Runs the promotion until it rests: the state and the problem's code.
fn settled(net: &Net) -> (TargetState, Option<String>) {
    let report = Host::new(net, promotion(net)).settle().report;
    (report.state, report.problem.map(|problem| problem.code))
}

fn failed(code: &str) -> (TargetState, Option<String>) {
    (TargetState::Failed, Some(code.to_owned()))
}

const RELEASED: (TargetState, Option<String>) = (TargetState::Released, None);

/// Replaces the staged file.
fn restage(net: &Net, bytes: &[u8]) {
    net.staging().put(STAGING, JAMMY, TUG, bytes);
}

#[test]
fn an_approved_package_is_published_once() {
    let net = net();
    assert_eq!(settled(&net), RELEASED);
    assert_eq!(public_bytes(&net).as_deref(), Some(BYTES));
    assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1));
    let write = net.public().writes.first().cloned().expect("one write");
    assert_eq!((write.repository.as_str(), write.distro.as_str(), write.filename.as_str()), (PUBLIC, JAMMY, TUG));
    assert_eq!(net.staging().get(STAGING, JAMMY, TUG).map(|package| package.bytes.as_slice()), Some(BYTES));
}

#[test]
fn a_package_is_published_only_once_staging_has_it() {
    let net = net();
    net.staging().packages.clear();
    assert_eq!(settled(&net), (TargetState::Missing, Some("missing".to_owned())));
    assert_eq!((writes(&net), net.count(Kind::Relay)), (0, 0));
    restage(&net, BYTES);
    assert_eq!(settled(&net), RELEASED);
    assert_eq!(writes(&net), 1);
}

#[test]
fn what_is_public_with_equal_bytes_is_not_sent_again() {
    let net = net();
    net.public().put(PUBLIC, JAMMY, TUG, BYTES);
    assert_eq!(settled(&net), RELEASED);
    assert_eq!((writes(&net), net.count(Kind::Relay)), (0, 0));
}

#[test]
fn what_is_public_is_released_even_when_staging_is_closed() {
    for status in [401, 404, 503] {
        let net = net();
        net.public().put(PUBLIC, JAMMY, TUG, BYTES);
        net.staging().closed = Some(status);
        assert_eq!(settled(&net), RELEASED, "{status}");
    }
}

#[test]
fn other_public_bytes_are_a_conflict_that_names_both_digests_and_sends_nothing() {
    let net = net();
    net.public().put(PUBLIC, JAMMY, TUG, OTHER);
    let ending = Host::new(&net, promotion(&net)).settle();
    assert_eq!(ending.outcome, Outcome::Conflict { public: Digest::of(OTHER) });
    let what = ending.report.problem.expect("a conflict is a problem").what;
    assert!(what.contains(&Digest::of(OTHER).to_string()) && what.contains(&Digest::of(BYTES).to_string()), "{what}");
    assert_eq!((writes(&net), net.count(Kind::Relay)), (0, 0));
    assert_eq!(public_bytes(&net).as_deref(), Some(OTHER));
}

#[test]
fn staged_bytes_that_are_seen_to_be_others_are_not_even_fetched() {
    let net = net();
    restage(&net, OTHER);
    let ending = Host::new(&net, promotion(&net)).settle();
    assert_eq!(ending.outcome, Outcome::Changed { staged: Some(Digest::of(OTHER)) });
    assert_eq!((net.count(Kind::Slot), net.count(Kind::Download), net.count(Kind::Relay)), (0, 0, 0));
}

#[test]
fn bytes_that_changed_in_staging_after_the_approval_never_become_public() {
    // Before the copy begins; between the look and the redirect; between the redirect and the copy.
    for moment in [Kind::Slot, Kind::Distributions, Kind::Download, Kind::Relay] {
        for bytes in [OTHER, b"", &BYTES[1..], &[BYTES, b"!"].concat()] {
            let (net, bytes) = (net(), bytes.to_vec());
            net.meanwhile(moment, move |net| restage(net, &bytes));
            assert_eq!(settled(&net), failed("staged-bytes-changed"), "{moment:?}");
            assert_eq!((public_bytes(&net), writes(&net)), (None, 0), "{moment:?}");
        }
    }
}

#[test]
fn bytes_that_storage_changes_on_the_way_never_become_public() {
    let wrongs: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |_| Vec::new(),
        |mut bytes| {
            bytes.pop();
            bytes
        },
        |mut bytes| {
            bytes.push(0);
            bytes
        },
        |mut bytes| {
            bytes.reverse();
            bytes
        },
        |_| b"<Error>Request has expired</Error>".to_vec(),
    ];
    for wrong in wrongs {
        let net = net();
        net.staging().storage_gives = wrong;
        assert_eq!(settled(&net), failed("staged-bytes-changed"));
        assert_eq!((public_bytes(&net), writes(&net), net.count(Kind::Relay)), (None, 0, 1));
    }
}

#[test]
fn a_name_that_somebody_took_meanwhile_with_equal_bytes_is_released() {
    let net = net();
    net.meanwhile(Kind::Relay, |net| net.public().put(PUBLIC, JAMMY, TUG, BYTES));
    assert_eq!(settled(&net), RELEASED);
    assert_eq!((writes(&net), net.count(Kind::Relay)), (0, 1));
}

#[test]
fn a_name_that_somebody_took_meanwhile_with_other_bytes_is_a_conflict() {
    let net = net();
    net.meanwhile(Kind::Relay, |net| net.public().put(PUBLIC, JAMMY, TUG, OTHER));
    let ending = Host::new(&net, promotion(&net)).settle();
    assert_eq!(ending.outcome, Outcome::Conflict { public: Digest::of(OTHER) });
    assert_eq!((public_bytes(&net).as_deref(), writes(&net)), (Some(OTHER), 0));
}

/// The number of the effect in which the happy path sends the package.
fn push_number() -> usize {
    let net = net();
    settled(&net);
    net.effects().iter().position(|kind| *kind == Kind::Relay).expect("the happy path sends the package")
}

#[test]
fn a_push_that_was_stored_and_answered_504_is_released_without_another() {
    for fault in [Fault::DoThenFail(504), Fault::DoThenFail(500), Fault::DoThenNoAnswer, Fault::DoThenCut] {
        let net = net();
        net.fault(push_number(), fault);
        assert_eq!(settled(&net), RELEASED, "{fault:?}");
        assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1), "{fault:?}");
    }
}

#[test]
fn a_push_that_was_answered_504_and_not_stored_is_sent_again_and_written_once() {
    for fault in [Fault::Refuse(504), Fault::NoAnswer, Fault::Early(503), Fault::Storage(403), Fault::Page] {
        let net = net();
        net.fault(push_number(), fault);
        assert_eq!(settled(&net), RELEASED, "{fault:?}");
        assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 2), "{fault:?}");
    }
}

#[test]
fn lists_that_are_behind_after_a_push_do_not_make_a_package_missing() {
    for pushed in [None, Some(Fault::DoThenFail(504)), Some(Fault::DoThenNoAnswer)] {
        let (net, push) = (net(), push_number());
        if let Some(fault) = pushed {
            net.fault(push, fault);
        }
        // The looks at the public list and at staging's that follow.
        net.fault(push + 1, Fault::Stale);
        net.fault(push + 2, Fault::Stale);
        assert_eq!(settled(&net), RELEASED, "{pushed:?}");
        assert_eq!((writes(&net), net.count(Kind::Relay)), (1, 1), "{pushed:?}");
    }
}

#[test]
fn a_package_is_found_on_whatever_page_of_the_lists_it_is() {
    let net = net();
    net.staging().per_page = 1;
    net.public().per_page = 1;
    assert_eq!(settled(&net), RELEASED);
    assert_eq!(writes(&net), 1);
}

#[test]
fn without_a_free_slot_nothing_is_sent() {
    let net = net();
    net.busy(5);
    let mut host = Host::new(&net, promotion(&net));
    for _ in 0..5 {
        let (outcome, _) = host.run().expect("nothing crashes");
        assert_eq!(outcome, Outcome::AwaitingSlot);
    }
    assert_eq!((net.count(Kind::Relay), net.count(Kind::Download)), (0, 0));
    assert_eq!(host.settle().outcome, Outcome::Released);
}
