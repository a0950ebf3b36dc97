//! What keeps a package from being released: the gates that are closed, and holds.

use std::collections::BTreeMap;

use slipway_core::api::{Blocked, Package};
use slipway_core::gate::GateKind;
use slipway_core::release::Key;

/// The kind that is no gate: a hold is lifted, not overridden.
const HOLD: &str = "hold";

/// A sentence for each gate or hold in a package's way.
pub(crate) fn closed(package: &Package) -> Vec<String> {
    package.blocked.iter().map(sentence).collect()
}

/// One gate, and who does what. Its sentence has the moment at which it opens by itself.
pub(crate) fn sentence(Blocked { gate, why, .. }: &Blocked) -> String {
    let next = GateKind::of(gate).map(|kind| format!(" Next: {}", kind.next())).unwrap_or_default();
    format!("{gate}: {why}{next}")
}

/// Which gates are to be overridden for which packages: those that are closed now.
pub(crate) fn to_override(packages: &[&Package]) -> Vec<(Vec<String>, Vec<Key>)> {
    let mut keys_by_gates: BTreeMap<Vec<String>, Vec<Key>> = BTreeMap::new();
    for package in packages {
        let gates = package.blocked.iter().map(|blocked| blocked.gate.clone()).filter(|gate| gate != HOLD);
        let mut gates: Vec<String> = gates.collect();
        gates.sort();
        gates.dedup();
        if !gates.is_empty() {
            keys_by_gates.entry(gates).or_default().push(package.key.clone());
        }
    }
    keys_by_gates.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_closed_gates_are_overridden_and_no_hold() {
        let mut release = testing::release(&[("a", "staged"), ("b", "staged"), ("c", "staged"), ("d", "staged")]);
        let closed = ["soak freeze", "freeze soak hold", "hold", ""];
        for (package, gates) in release.packages.iter_mut().zip(closed) {
            let blocked =
                |gate: &str| Blocked { gate: gate.to_owned(), why: "not yet".to_owned(), until: None, next: None };
            package.blocked = gates.split_whitespace().map(blocked).collect();
        }
        let packages: Vec<&Package> = release.packages.iter().collect();
        let gates = ["freeze", "soak"].map(str::to_owned).to_vec();
        let keys = ["a", "b"].map(|key| key.parse::<Key>().expect("a key")).to_vec();
        assert_eq!(to_override(&packages), [(gates, keys)]);
    }

    #[test]
    fn a_closed_gate_says_what_is_missing_and_what_to_do() {
        let why = "it has to be staged for 24h, which it is at 2026-11-24 08:00:00 UTC.";
        let mut blocked = Blocked { gate: "soak".to_owned(), why: why.to_owned(), until: None, next: None };
        assert_eq!(sentence(&blocked), format!("soak: {why} Next: wait until then, and play the release job."));
        "moon".clone_into(&mut blocked.gate);
        assert_eq!(sentence(&blocked), format!("moon: {why}"));
    }
}
