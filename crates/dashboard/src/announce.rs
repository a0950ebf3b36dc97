//! What a screen reader hears of live changes: one sentence for many, never one for each.

use slipway_core::release::TargetState;
use slipway_view::state::{Tone, tone};

/// Not more often than this, however fast things change.
pub(crate) const EVERY_MS: u64 = 5_000;

/// Changes that have not been said yet.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The targets that went into a state, each with the last one.
    moved: Vec<(TargetState, String)>,
    /// How many rows are new.
    added: usize,
}

impl Changes {
    /// A target went into a state. Only the last state counts.
    pub(crate) fn moved(&mut self, target: &str, state: TargetState) {
        self.moved.retain(|(_, name)| name != target);
        self.moved.push((state, target.to_owned()));
    }

    /// Targets are new in the list.
    pub(crate) fn added(&mut self, count: usize) {
        self.added += count;
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.added == 0 && self.moved.is_empty()
    }

    /// All of it in words: what is broken first and by name, the rest as numbers.
    pub(crate) fn take(&mut self) -> String {
        let mut said = Vec::new();
        let moved = std::mem::take(&mut self.moved);
        let is_broken = |state: &TargetState| tone(*state) == Tone::Broken;
        let rest = TargetState::ALL.into_iter().filter(|state| !is_broken(state));
        for state in TargetState::ALL.into_iter().filter(is_broken).chain(rest) {
            let words = state.words();
            let names = moved.iter().filter(|(of, _)| *of == state).map(|(_, name)| name.as_str());
            match (names.collect::<Vec<_>>().as_slice(), is_broken(&state)) {
                ([], _) => {}
                ([one], _) => said.push(format!("{words}: {one}.")),
                (many, true) if many.len() <= 3 => said.push(format!("{words}: {}.", many.join(", "))),
                (many, _) => said.push(format!("{words}: {} targets.", many.len())),
            }
        }
        match std::mem::take(&mut self.added) {
            0 => {}
            1 => said.push("One target is new.".into()),
            count => said.push(format!("{count} targets are new.")),
        }
        said.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_comes_first_and_by_name() {
        let mut changes = Changes::default();
        for name in ["a", "b", "c"] {
            changes.moved(name, TargetState::Released);
        }
        changes.moved("tug-el-9 el/9", TargetState::Failed);
        changes.added(2);
        assert_eq!(changes.take(), "Failed: tug-el-9 el/9. Released: 3 targets. 2 targets are new.");
        assert!(changes.is_empty());
    }

    #[test]
    fn a_target_that_moved_twice_is_said_once() {
        let mut changes = Changes::default();
        changes.moved("tug", TargetState::Approved);
        changes.moved("tug", TargetState::Releasing);
        assert_eq!(changes.take(), "Releasing: tug.");
    }
}
