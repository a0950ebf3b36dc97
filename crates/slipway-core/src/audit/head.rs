//! What is signed of an audit: its last row at a moment. Whoever keeps it can show later that rows were cut off, or that the
//! chain was computed anew.
//!
//! The text has six lines, and is signed as a [note](crate::signing::note).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use slipway_wire::{Base, Digest};

use crate::signing::note::Note;
use crate::signing::{KeyName, Signer, SigningError};
use crate::time::Timestamp;

/// The first line, which keeps any other signed text from passing for a head.
const ORIGIN: &str = "slipway-audit-head-v1";

/// After so many rows a head is due.
pub const ROWS_MAX: u64 = 256;
/// A row is under a head after this time.
pub const WAIT_MAX: Duration = Duration::from_mins(5);

/// The last row of an audit at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose audit: the edge's address.
    pub edge: Base,
    /// And GitLab's id of the project.
    pub project: u64,
    /// The row.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
    /// When it was signed.
    pub at: Timestamp,
}

/// Text that is no head.
#[derive(Debug, thiserror::Error)]
#[error("it is signed, and no head of an audit: {0}")]
pub struct InvalidHead(&'static str);

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edge, project, sequence, hash, at } = self;
        writeln!(f, "{ORIGIN}\n{}\n{project}\n{sequence}\n{}\n{at}", edge.as_str(), hash.hex())
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let lines: Vec<&str> = text.lines().collect();
        let [ORIGIN, edge, project, sequence, hash, at] = lines.as_slice() else {
            return Err(InvalidHead("it has other lines"));
        };
        let head = Self {
            edge: edge.parse().map_err(|_| InvalidHead("its second line is no address"))?,
            project: project.parse().map_err(|_| InvalidHead("its third line is no project's number"))?,
            sequence: sequence.parse().map_err(|_| InvalidHead("its fourth line is no row's number"))?,
            hash: hash.parse().map_err(|_| InvalidHead("its fifth line is no hash"))?,
            at: at.parse().map_err(|_| InvalidHead("its last line is no moment"))?,
        };
        // There is one way to write it.
        if head.to_string() == text { Ok(head) } else { Err(InvalidHead("it is not written as heads are")) }
    }
}

impl Head {
    /// The head as a signed note, under the edge's own name.
    pub async fn sign(&self, signer: &impl Signer) -> Result<Note, SigningError> {
        Note::sign(self.to_string(), &KeyName::of(&self.edge), signer).await
    }
}
