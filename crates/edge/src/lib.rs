//! What the edge's objects do, without a runtime.
//!
//! Each Durable Object is a database and a few functions over it: [`package`] drives the promotions of one package,
//! [`project`] hands orders over, looks into [`hints`] and finds what nobody drives, [`job_call`] answers jobs that ask by
//! themselves, [`changes`] writes down holds and overrides, [`withdraw`] takes back what is public, [`replace`] asks
//! before a staged file gives way, [`lost`] finds what no webhook told, [`against`] compares with the public, [`notify`] tells
//! others what became of it, [`attest`] signs what is attested of it, [`account`] lends a destination's transfer slots, [`slots`]
//! lets whoever comes next stand by for one, [`reading`] answers many who ask the same server with one reading, [`sweep`] reads
//! whole repositories and finds strangers, [`followers`] wait for a change, and [`frames`] are what watchers are sent of it. A
//! runtime lends the time, randomness, the network and the way to other objects through the ports in [`port`]. The Worker is one such
//! runtime; the simulation, which kills and delays everything, is another. So what is tested is what runs.
//!
//! Absent on purpose: requests from outside, secrets, sockets, and everything that only a runtime can do.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod account;
pub mod against;
pub mod attest;
pub mod changes;
pub mod compare;
pub mod denied;
pub mod followers;
pub mod frames;
pub mod gates;
pub mod heads;
pub mod hints;
pub mod job_call;
pub mod lost;
pub mod measure;
pub mod notify;
pub mod package;
pub mod port;
pub mod project;
pub mod reading;
pub mod replace;
pub mod retention;
pub mod slots;
pub mod sweep;
mod while_allowed;
pub mod withdraw;
