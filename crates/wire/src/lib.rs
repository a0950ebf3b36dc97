//! What a remote call is, for every service and every host.
//!
//! An [`Endpoint`] builds one request and reads one response. A host supplies [`Http`], which sends it; [`call`] joins
//! the two. A call fails in three ways whatever the service ([`CallError`]). Package bytes move through [`Relay`],
//! from one place to another, and never enter wasm memory.
//!
//! Absent on purpose: a client, retries, a clock, and following redirects. A redirect is an answer like any other;
//! whoever asked decides whether its host may be visited, and with which credential.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod base;
mod call;
mod digest;
mod pace;
mod planted;
mod relay;
mod token;

pub use base::{Base, InvalidBase};
pub use call::{CallError, Endpoint, Errand, Http, Request, Response, Unreachable, Wait, call};
pub use digest::{Digest, Hasher, InvalidDigest};
pub use pace::{Mark, Pace, Patience, TooSlow, fits_in_time};
#[cfg(feature = "planted")]
pub use planted::plant;
pub use planted::{Planted, planted};
pub use relay::{Relay, RelayError, Relayed, Transfer};
pub use token::Token;
