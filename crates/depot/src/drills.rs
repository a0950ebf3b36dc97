//! What a test may ask of the depot beyond a package server: to fail, to hold a download, to say what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// So many requests are remembered; older ones are forgotten.
const REQUESTS_MAX: usize = 20_000;

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Point {
    Push,
    Delete,
    Promote,
    /// `packages.json` and `search.json`.
    List,
    Show,
    /// The redirect to the storage.
    Download,
    /// The storage's own answer.
    Storage,
    /// Files of the APT index.
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    Fail,
    DoThenFail,
}

/// The next `times` requests at a point end with `status`, whether the work was done or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) on: Point,
    #[serde(default = "once")]
    pub(crate) times: u32,
    pub(crate) effect: Effect,
    #[serde(default = "gateway_timeout")]
    pub(crate) status: u16,
    /// Only requests whose path has this in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

fn once() -> u32 {
    1
}

fn gateway_timeout() -> u16 {
    StatusCode::GATEWAY_TIMEOUT.as_u16()
}

/// A request as it was seen. Queries are left out: they carry tokens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Seen {
    pub(crate) listener: &'static str,
    pub(crate) at: String,
    pub(crate) method: String,
    pub(crate) path: String,
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

/// All drills under way.
#[derive(Default)]
pub(crate) struct Drills {
    faults: Mutex<Vec<Fault>>,
    gates: Mutex<(u64, BTreeMap<u64, Arc<Gate>>)>,
    requests: Mutex<VecDeque<Seen>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drills {
    pub(crate) fn add_fault(&self, fault: Fault) {
        locked(&self.faults).push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        locked(&self.faults).clone()
    }

    pub(crate) fn clear_faults(&self) {
        locked(&self.faults).clear();
    }

    /// The fault that this request meets, used up by one.
    pub(crate) fn meet(&self, on: Point, path: &str) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        let index = faults.iter().position(|fault| {
            fault.on == on && fault.times > 0 && fault.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
        })?;
        faults[index].times -= 1;
        let met = faults[index].clone();
        faults.retain(|fault| fault.times > 0);
        Some(met)
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
