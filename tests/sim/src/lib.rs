//! The edge in a simulated world: its real functions over servers, a clock and databases that fail on purpose.
//!
//! [`world`] is the world, [`fault`] what can go wrong in it, [`journal`] what must hold all the same. Nothing here waits,
//! sleeps, or reads a clock; everything follows from a seed, so what went wrong once goes wrong again.
#![allow(clippy::missing_panics_doc, reason = "a world panics when it is not one, which no caller can mend")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "random numbers are below small bounds, and virtual times are far from any limit"
)]

pub mod course;
pub mod deletion;
mod edge;
pub mod executor;
pub mod fault;
pub mod fingerprint;
pub mod image;
mod journal;
#[cfg(target_arch = "wasm32")]
mod node;
pub mod registry;
pub mod restore;
pub mod rng;
pub mod server;
mod sql;
pub mod swarm;
pub mod world;
