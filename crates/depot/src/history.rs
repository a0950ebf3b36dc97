//! The last writes, so that a list can be shown as it was before them.

use std::collections::{BTreeMap, VecDeque};

use crate::names::Repository;
use crate::package::Key;
use crate::store::Held;

/// So many writes can be taken back.
const WRITES_MAX: usize = 1000;

/// What a write did to the packages.
struct Change {
    removed: Option<Held>,
    added: Option<Key>,
}

#[derive(Default)]
pub(crate) struct History(VecDeque<Change>);

impl History {
    pub(crate) fn note(&mut self, removed: Option<Held>, added: Option<Key>) {
        if self.0.len() == WRITES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Change { removed, added });
    }

    /// The packages of a repository as they were before its last writes.
    pub(crate) fn before(&self, repository: &Repository, writes: usize, now: BTreeMap<Key, Held>) -> Vec<Held> {
        let mut packages = now;
        let is_here = |change: &&Change| {
            let removed = change.removed.as_ref().is_some_and(|held| held.package.repository == *repository);
            removed || change.added.as_ref().is_some_and(|key| key.0 == *repository)
        };
        for change in self.0.iter().rev().filter(is_here).take(writes) {
            if let Some(key) = &change.added {
                packages.remove(key);
            }
            if let Some(held) = &change.removed
                && held.package.repository == *repository
            {
                packages.insert(held.package.key(), held.clone());
            }
        }
        packages.into_values().collect()
    }
}
