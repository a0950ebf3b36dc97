//! What came of a seed, in a line: the same on every machine and in wasm, or the edge does there what nobody has tested.
//!
//! Everything that is hashed is bytes, text or a number of a fixed width: no hash map's order, no address, no float.

use crate::course::{Ran, run};
use crate::rng::Trace;
use crate::swarm::settings;

/// Runs a seed: `SEED: STEPS steps, FAULTS faults, TRACE`.
pub fn of(seed: u64) -> String {
    let mut settings = settings(seed);
    settings.is_traced = true;
    // The scenario is part of it: two different worlds could be quiet alike.
    let scenario = format!("{settings:?}");
    let Ran { happened, steps, trace, violation, points, .. } = run(settings);
    let mut all = Trace(trace);
    all.add(scenario.as_bytes());
    all.add(format!("{happened:?} {violation:?} {points:?}").as_bytes());
    format!("{seed}: {steps} steps, {} faults, {:016x}", happened.len(), all.0)
}
