//! The audit: one row for each thing that was decided or done, chained by hashes from the first row on.
//!
//! `hash = SHA-256(canonical bytes)`, where the canonical bytes are netstrings (`length:bytes,`, the length in decimal
//! and in bytes of UTF-8) of, in this order: `slipway-audit-v1`, the sequence number in decimal, the time in decimal
//! milliseconds since 1970, actor, action, subject, details, and the hash of the row before as 64 hex digits. The row
//! before the first has a hash of 64 zeros. `docs/audit.md` has test vectors.
//!
//! The rows prove their order and contents. That none is missing at the end, and that nobody has computed the whole chain
//! anew, is proved by signed [heads](head), which others keep.

use std::io::Write as _;

use slipway_wire::Digest;

use crate::time::Timestamp;

mod check;
pub mod head;
mod text;

pub use check::{Broken, Check, Passed, verify};
pub use head::Head;
pub use text::Format;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who: `user:mira`, `job:81`, `edge`.
    pub actor: String,
    /// What, as a verb in the past: `approved`.
    pub action: String,
    /// Of what: `1.2.0/ubuntu-jammy-amd64`.
    pub subject: String,
    /// The rest, as JSON.
    pub details: String,
}

/// Who that is, for people who read it: the name in `user:mira`, `job:81 user:mira` and `person:7 user:mira`. All else stands as it is.
pub fn person(actor: &str) -> &str {
    let last = actor.as_bytes().windows(5).rposition(|bytes| bytes == b"user:");
    last.and_then(|at| actor.get(at + 5..)).unwrap_or(actor)
}

/// A row of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// The hash of the row before.
    pub previous: Digest,
    /// Its own hash.
    pub hash: Digest,
}

/// What stands before the first row.
pub const GENESIS: Digest = Digest::from_bytes([0; 32]);

/// The bytes whose SHA-256 is the hash of a row.
pub fn canonical(sequence: u64, event: &Event, previous: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Event { at, actor, action, subject, details } = event;
    write_canonical(&mut bytes, sequence, at.0, [actor, action, subject, details], &previous.hex());
    bytes
}

/// The same, from texts at hand: actor, action, subject, details.
fn write_canonical(into: &mut Vec<u8>, sequence: u64, at_ms: i64, texts: [&str; 4], previous: &str) {
    let (sequence, at_ms) = (sequence.to_string(), at_ms.to_string());
    let [actor, action, subject, details] = texts;
    for field in ["slipway-audit-v1", &sequence, &at_ms, actor, action, subject, details, previous] {
        // Memory takes whatever it is given.
        let _ = write!(into, "{}:", field.len());
        into.extend_from_slice(field.as_bytes());
        into.push(b',');
    }
}

#[cfg(test)]
pub(crate) mod tests;
