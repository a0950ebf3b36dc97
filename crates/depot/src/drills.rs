//! What a test may ask of the depot beyond a package server: to fail, to hold a download, to say what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::distance::Distance;
use crate::faults::{Faults, Point};

/// So many requests are remembered; older ones are forgotten.
const REQUESTS_MAX: usize = 20_000;

/// A request as it was seen. Queries are left out: they carry tokens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Seen {
    pub(crate) listener: &'static str,
    pub(crate) at: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// What it was about; nothing when it was not even routed.
    pub(crate) point: Option<Point>,
    pub(crate) had_authorization: bool,
    pub(crate) status: u16,
}

/// Stops a download after some bytes, until it is opened.
pub(crate) struct Gate {
    filename: String,
    pub(crate) after_bytes: u64,
    reached: AtomicBool,
    opened: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    /// Waits here until the gate is opened.
    pub(crate) async fn hold(&self) {
        let mut opened = self.opened.subscribe();
        self.reached.store(true, Ordering::Release);
        // The sender is in the gate itself, so the channel cannot close first.
        let _ = opened.wait_for(|opened| *opened).await;
    }
}

/// How many requests there were at a point.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Count {
    requests: u64,
    at_once: usize,
    at_once_max: usize,
    /// Those at once that were not turned away.
    #[serde(skip)]
    served: usize,
}

/// All drills under way.
#[derive(Default)]
pub(crate) struct Drills {
    pub(crate) faults: Faults,
    pub(crate) distance: Distance,
    gates: Mutex<(u64, BTreeMap<u64, Arc<Gate>>)>,
    requests: Mutex<VecDeque<Seen>>,
    counts: Mutex<BTreeMap<Point, Count>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request at its point, counted until it is answered.
pub(crate) struct Here<'a> {
    drills: &'a Drills,
    point: Point,
    is_served: bool,
    /// So many are served at once, with this one.
    pub(crate) served: usize,
}

impl Here<'_> {
    /// It takes no place from others any more: it only waits for its answer.
    pub(crate) fn turn_away(&mut self) {
        if std::mem::take(&mut self.is_served)
            && let Some(count) = locked(&self.drills.counts).get_mut(&self.point)
        {
            count.served -= 1;
        }
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.turn_away();
        if let Some(count) = locked(&self.drills.counts).get_mut(&self.point) {
            count.at_once -= 1;
        }
    }
}

impl Drills {
    /// Counts a request, from its arrival until its answer begins.
    pub(crate) fn arrived(&self, point: Point) -> Here<'_> {
        let mut counts = locked(&self.counts);
        let count = counts.entry(point).or_default();
        count.requests += 1;
        count.at_once += 1;
        count.at_once_max = count.at_once_max.max(count.at_once);
        count.served += 1;
        Here { drills: self, point, is_served: true, served: count.served }
    }

    /// Requests by point, and how many of them there were at once.
    pub(crate) fn counts(&self) -> Value {
        json!(*locked(&self.counts))
    }

    /// Counts from zero; what is under way goes on.
    pub(crate) fn reset_counts(&self) {
        for count in locked(&self.counts).values_mut() {
            *count = Count { requests: 0, at_once_max: count.at_once, ..*count };
        }
    }

    pub(crate) fn add_gate(&self, filename: String, after_bytes: u64) -> u64 {
        let mut gates = locked(&self.gates);
        gates.0 += 1;
        let id = gates.0;
        let gate = Gate { filename, after_bytes, reached: AtomicBool::new(false), opened: watch::Sender::new(false) };
        gates.1.insert(id, Arc::new(gate));
        id
    }

    pub(crate) fn gate(&self, id: u64) -> Option<Arc<Gate>> {
        locked(&self.gates).1.get(&id).cloned()
    }

    /// The first closed gate for downloads of this file.
    pub(crate) fn gate_for(&self, filename: &str) -> Option<Arc<Gate>> {
        locked(&self.gates).1.values().find(|gate| gate.filename == filename).cloned()
    }

    pub(crate) fn open_gate(&self, id: u64) -> bool {
        let gate = locked(&self.gates).1.remove(&id);
        gate.map(|gate| gate.opened.send_replace(true)).is_some()
    }

    pub(crate) fn saw(&self, seen: Seen) {
        let mut requests = locked(&self.requests);
        if requests.len() == REQUESTS_MAX {
            requests.pop_front();
        }
        requests.push_back(seen);
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        locked(&self.requests).iter().cloned().collect()
    }
}
