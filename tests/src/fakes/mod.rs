//! Services in memory that hold packages as the real ones do, and go wrong when told to.
//!
//! [`Packagecloud`] is one installation. [`Net`] is the way there: it counts every effect, breaks those that a story
//! names, and looks at the whole after each. [`Host`] drives a promotion as the edge does, on a clock that a story
//! winds. Nothing here waits, sleeps, or reads a clock.
#![allow(clippy::missing_panics_doc, reason = "fakes panic when the code under test does what it must never do")]

mod fault;
mod host;
mod net;
mod packagecloud;

pub use fault::{Fault, Kind};
pub use host::{Crashed, Ending, Host, poll};
pub use net::{Net, Run};
pub use packagecloud::{Package, Packagecloud, Write, Writer};
