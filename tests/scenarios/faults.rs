//! Every fault at every effect of a promotion, and every two faults after each other: it ends released, written once.

use slipway_core::promotion::Outcome;
use slipway_tests::fakes::{Fault, Host, Kind, Net};

use crate::world::{BYTES, net, promotion, public_bytes, writes};

/// One run to its end. A person plays the job again whenever only a person can go on.
fn run(faults: &[(usize, Fault)]) -> Net {
    let net = net();
    // So that a second run reads what the first one left.
    net.public().indexed_after = 2;
    for (number, fault) in faults {
        net.fault(*number, *fault);
    }
    let mut host = Host::new(&net, promotion(&net));
    let mut plays = 0;
    loop {
        let ending = host.settle();
        if ending.outcome == Outcome::Released {
            break;
        }
        plays += 1;
        let stops = faults.iter().filter(|(_, fault)| fault.stops()).count();
        assert!(plays <= stops, "{faults:?} stops at {ending:?}");
        host.play_again();
    }
    assert_eq!(public_bytes(&net).as_deref(), Some(BYTES), "{faults:?}");
    assert_eq!(writes(&net), 1, "{faults:?}");
    let crashes = faults.iter().filter(|(_, fault)| matches!(fault, Fault::CrashBefore | Fault::CrashAfter)).count();
    assert_eq!(host.crashes as usize, crashes, "{faults:?} all happened");
    net
}

/// These faults at every effect from `first` on that they can happen to.
fn at_every_effect(faults: &'static [Fault], effects: &[Kind], first: usize) -> Vec<(usize, Fault)> {
    let effects = effects.iter().enumerate().skip(first);
    effects
        .flat_map(|(number, kind)| faults.iter().filter(|fault| fault.fits(*kind)).map(move |fault| (number, *fault)))
        .collect()
}

/// Runs every pair. The second fault meets the path as the first one has bent it. The number of pairs and of looks.
fn all_pairs(faults: &'static [Fault]) -> (usize, usize) {
    let (mut pairs, mut looks) = (0, 0);
    for first in at_every_effect(faults, &run(&[]).effects(), 0) {
        for second in at_every_effect(faults, &run(&[first]).effects(), first.0 + 1) {
            looks += run(&[first, second]).looks();
            pairs += 1;
        }
    }
    (pairs, looks)
}

#[test]
fn after_any_fault_a_promotion_ends_released_and_was_written_once() {
    let happy = run(&[]).effects();
    let singles = at_every_effect(&Fault::ALL, &happy, 0);
    let looks: usize = singles.iter().map(|fault| run(&[*fault]).looks()).sum();
    let (effects, kinds) = (happy.len(), Fault::ALL.len());
    eprintln!("{effects} effects, {kinds} faults: {} single faults where they fit, {looks} looks", singles.len());
}

#[test]
fn after_any_two_sorts_of_faults_a_promotion_ends_released_and_was_written_once() {
    let (pairs, looks) = all_pairs(&Fault::SORTS);
    eprintln!("{} sorts of faults: {pairs} pairs where they fit, {looks} looks", Fault::SORTS.len());
}

#[test]
fn after_any_two_faults_a_promotion_ends_released_and_was_written_once() {
    let (pairs, looks) = all_pairs(&Fault::ALL);
    eprintln!("{} faults: {pairs} pairs where they fit, {looks} looks", Fault::ALL.len());
}
