//! How often somebody was refused who could not show who they are. A number is all that is kept of a stranger.
//!
//! Counted by each isolate for itself and lost with it: good for seeing that somebody knocks, not for bookkeeping.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

thread_local! {
    static REFUSED: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// One more was refused, for what they showed.
pub(crate) fn count(shown: &'static str) {
    REFUSED.with_borrow_mut(|refused| {
        let count = refused.entry(shown).or_default();
        *count = count.saturating_add(1);
    });
}

/// `GET /metrics`, in the words of Prometheus.
pub(crate) fn text() -> String {
    let mut text = "# HELP slipway_refused_total Requests refused since this isolate began, by what they showed.\n\
                    # TYPE slipway_refused_total counter\n"
        .to_owned();
    REFUSED.with_borrow(|refused| {
        for (shown, count) in refused {
            // Writing to a text does not fail.
            let _ = writeln!(text, "slipway_refused_total{{shown=\"{shown}\"}} {count}");
        }
    });
    text
}
