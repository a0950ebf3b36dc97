//! The ID token of a job (<https://docs.gitlab.com/ci/secrets/id_token_authentication/>): a signed statement of who runs
//! which job for which ref.
//!
//! Three steps, which the types keep in order. [`UnverifiedIdToken::parse`] reads a token and gives out nothing that
//! could be trusted. The host checks its signature, and [`UnverifiedIdToken::claims_after`] gives the [`Claims`] for a
//! `true`. [`check`] says whether they are for this caller, now.
//!
//! The key is looked up by name in the configured issuer's key set. What a token says of keys (`jku`, `jwk`, `x5u`) is
//! never read.

mod check;
mod claims;
mod compact;
mod members;

pub use check::{AGE_S_MAX, Expected, LEEWAY_S, Refusal, check};
pub use claims::Claims;
pub use compact::{BYTES_MAX, Compact, InvalidIdToken, UnverifiedIdToken};

pub(crate) use claims::{optional, required, text, time};
pub(crate) use members::Members;

#[cfg(test)]
mod tests;
