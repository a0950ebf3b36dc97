//! What this isolate has answered, and how often somebody was refused who could not show who they are. A number is all that
//! is kept of a stranger.
//!
//! Counted by each isolate for itself and lost with it: good for seeing that somebody knocks, not for bookkeeping.

use std::cell::RefCell;
use std::collections::BTreeMap;

use slipway_core::metrics::{Family, Kind};

thread_local! {
    static REFUSED: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
    static ANSWERED: RefCell<BTreeMap<u16, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// One more was refused, for what they showed.
pub(crate) fn count(shown: &'static str) {
    REFUSED.with_borrow_mut(|refused| one_more(refused, shown));
}

/// One more request from outside was answered, with this status.
pub(crate) fn answered(status: u16) {
    ANSWERED.with_borrow_mut(|answered| one_more(answered, status));
}

fn one_more<K: Ord>(counts: &mut BTreeMap<K, u64>, of: K) {
    let count = counts.entry(of).or_default();
    *count = count.saturating_add(1);
}

/// The numbers, for `GET /metrics`.
pub(crate) fn families() -> [Family; 2] {
    let counter = |name, help| Family::new(name, Kind::Counter, help);
    let mut refused =
        counter("slipway_refused_total", "Requests refused since this isolate began, by what they showed.");
    REFUSED.with_borrow(|counts| {
        for (shown, count) in counts {
            refused.add(&[("shown", shown)], *count);
        }
    });
    let mut answered = counter("slipway_answered_total", "Requests answered since this isolate began, by status.");
    ANSWERED.with_borrow(|counts| {
        for (status, count) in counts {
            answered.add(&[("status", &status.to_string())], *count);
        }
    });
    [refused, answered]
}
