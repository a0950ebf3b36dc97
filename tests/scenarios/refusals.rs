//! What no retry mends is said once, with its code, and nobody is hammered.

use slipway_core::release::TargetState;
use slipway_tests::fakes::{Ending, Fault, Host, Kind, Net};

use crate::world::{net, promotion, public_bytes, writes};

/// Requests of one run that sends a package: two lists, ids, redirect, push, list, and two files of an index.
const REQUESTS_OF_A_RUN: usize = 9;

fn requests(net: &Net) -> usize {
    net.effects().iter().filter(|kind| !matches!(kind, Kind::Message | Kind::Slot)).count()
}

fn code(ending: &Ending) -> &str {
    ending.report.problem.as_ref().map_or("no problem", |problem| &problem.code)
}

#[test]
fn a_refusal_that_no_retry_mends_is_reported_with_its_code_after_one_run() {
    let happy = net();
    Host::new(&happy, promotion(&happy)).settle();
    let sends = |kind: &Kind| !matches!(kind, Kind::Message | Kind::Slot | Kind::Release | Kind::Packages);
    let push = happy.effects().iter().position(|kind| *kind == Kind::Relay).expect("it sends the package");
    for (number, kind) in happy.effects().into_iter().enumerate().take(push + 1).filter(|(_, kind)| sends(kind)) {
        for (status, expected) in [
            (401, "no-access"),
            (403, "no-access"),
            (404, "no-access"),
            (402, "account-cut-off"),
            (429, "account-cut-off"),
            (422, "refused"),
            (413, "refused"),
        ] {
            let net = net();
            net.fault(number, Fault::Refuse(status));
            let ending = Host::new(&net, promotion(&net)).settle();
            assert_eq!((ending.report.state, code(&ending)), (TargetState::Failed, expected), "{status} to {kind:?}");
            assert!(requests(&net) <= REQUESTS_OF_A_RUN, "{} requests after {status} to {kind:?}", requests(&net));
            assert_eq!((public_bytes(&net), writes(&net)), (None, 0), "{status} to {kind:?}");
        }
    }
}

#[test]
fn a_server_that_stays_down_is_asked_eleven_times_in_twenty_minutes_and_then_a_person_is() {
    let net = net();
    net.public().closed = Some(503);
    let mut host = Host::new(&net, promotion(&net));
    let begun = host.now;
    let ending = host.settle();
    assert_eq!((ending.report.state, code(&ending)), (TargetState::Failed, "unreachable"));
    assert_eq!(net.count(Kind::Search), 11);
    let minutes = host.now.since(begun).as_secs() / 60;
    assert!((15..25).contains(&minutes), "{minutes} minutes");
}

#[test]
fn a_redirect_to_a_host_that_is_not_configured_is_refused_and_nobody_asks_there() {
    for storage in ["https://evil.test", "https://storage.staging.test.evil.test", "http://storage.staging.test"] {
        let net = net();
        let promotion = promotion(&net);
        net.staging().storage = storage.parse().expect("an address");
        let ending = Host::new(&net, promotion).settle();
        assert_eq!((ending.report.state, code(&ending)), (TargetState::Failed, "foreign-storage"), "{storage}");
        // `Net` panics when a request goes to a host of neither place, or has a credential that is not its own.
        assert!(net.hosts().iter().all(|host| host == "staging.test" || host == "public.test"), "{:?}", net.hosts());
        assert_eq!((public_bytes(&net), writes(&net)), (None, 0));
    }
}

#[test]
fn a_distro_version_that_the_public_server_does_not_know_is_refused_before_anything_is_sent() {
    let net = net();
    net.public().ids.remove("ubuntu/jammy");
    let ending = Host::new(&net, promotion(&net)).settle();
    assert_eq!((ending.report.state, code(&ending)), (TargetState::Failed, "unknown-distro"));
    assert_eq!((writes(&net), net.count(Kind::Relay)), (0, 0));
}

#[test]
fn a_file_that_the_server_stores_under_another_name_is_not_called_released_nor_unpublished() {
    let net = net();
    net.public().renames = true;
    let mut host = Host::new(&net, promotion(&net));
    let ending = host.settle();
    assert_eq!((ending.report.state, code(&ending)), (TargetState::Failed, "renamed"));
    assert_eq!(ending.report.problem.expect("a failure is a problem").public, "partly");
    host.play_again();
    let ending = host.settle();
    assert_eq!(ending.report.state, TargetState::Failed);
    assert_eq!(writes(&net), 1);
}
