//! Checking an export, row by row as it is read: memory does not grow with its length.

use std::collections::BTreeMap;

use memchr::{memchr, memchr_iter};
use slipway_wire::Digest;

use super::text::{Format, Row, Unread};
use super::{Entry, GENESIS, Head, canonical, write_canonical};

/// A row that is longer is none. The longest known, the plan of 500 packages, has 120 KB.
const ROW_BYTES_MAX: usize = 16 << 20;

/// The first row that is wrong, and in which way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is nothing.
    #[error("there is no row")]
    Empty,
    /// It is not written as exports are.
    #[error("row {row} is not written as the export writes it, from its byte {byte} on")]
    Form {
        /// Its place.
        row: u64,
        /// Where it begins to differ.
        byte: usize,
    },
    /// It ends in its middle.
    #[error("row {0} is cut off")]
    Torn(u64),
    /// A row is missing, doubled or out of order.
    #[error("row {expected} is missing; row {found} stands in its place")]
    Order {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A row does not continue the one before it.
    #[error("row {0} does not continue the row before it")]
    Link(u64),
    /// A row's contents do not have its hash.
    #[error("row {0} was changed: its contents do not have its hash")]
    Contents(u64),
    /// The rows fit each other, and do not lead to what was signed.
    #[error(
        "the chain was computed anew: row {row} has another hash than the one that was signed, so some row from {since} to {row} \
         is not the one that was written"
    )]
    Rebuilt {
        /// The row after the last one that a head proves.
        since: u64,
        /// The row of the head.
        row: u64,
    },
    /// Rows are missing at the end.
    #[error("the export ends with row {last}, and row {signed} was signed: the rows from {} to {signed} are missing", .last + 1)]
    Cut {
        /// The last row that is there.
        last: u64,
        /// The row of a head.
        signed: u64,
    },
    /// Two heads say something else of one row: whoever has the key has signed two histories.
    #[error("two heads were signed for row {0}, with different hashes: there are two histories")]
    Forked(u64),
}

/// What was found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// How many rows there are.
    pub rows: u64,
    /// The hash of the last.
    pub hash: Digest,
    /// The last row that a head proves. 0 where there is none.
    pub proven: u64,
}

/// A chain, as far as it was read.
#[derive(Debug)]
pub struct Check {
    heads: BTreeMap<u64, String>,
    format: Option<Format>,
    /// What was read of the next row.
    pending: Vec<u8>,
    rows: u64,
    /// The last row's hash, as text.
    previous: String,
    proven: u64,
    canonical: Vec<u8>,
}

impl Check {
    /// `heads`: what was signed of the audit. Whether their signatures hold is found out before.
    pub fn new<'a>(heads: impl IntoIterator<Item = &'a Head>) -> Result<Self, Broken> {
        let mut kept: BTreeMap<u64, String> = BTreeMap::new();
        for head in heads {
            let hash = head.hash.hex();
            let known = kept.entry(head.sequence).or_insert_with(|| hash.clone());
            if *known != hash {
                return Err(Broken::Forked(head.sequence));
            }
        }
        Ok(Self {
            heads: kept,
            format: None,
            pending: Vec::new(),
            rows: 0,
            previous: GENESIS.hex(),
            proven: 0,
            canonical: Vec::new(),
        })
    }

    /// Reads on. The format is the one that the first byte shows.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = pending.as_slice();
        if self.format.is_none() && !rest.is_empty() {
            let names = Format::Csv.names().as_bytes();
            if rest.first() == names.first() {
                // Until the line of names is there whole, nothing can be said.
                if rest.len() >= names.len() || !names.starts_with(rest) {
                    rest = rest.strip_prefix(names).ok_or(Broken::Form { row: 1, byte: 0 })?;
                    self.format = Some(Format::Csv);
                }
            } else {
                self.format = Some(Format::Ndjson);
            }
        }
        if let Some(format) = self.format {
            while let Some(length) = row_length(format, rest) {
                let (row, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                self.row(format, row)?;
                rest = after;
            }
        }
        if rest.len() > ROW_BYTES_MAX {
            return Err(Broken::Form { row: self.rows + 1, byte: ROW_BYTES_MAX });
        }
        let read = pending.len() - rest.len();
        pending.drain(..read);
        self.pending = pending;
        Ok(())
    }

    /// There is no more.
    pub fn end(self) -> Result<Passed, Broken> {
        if !self.pending.is_empty() {
            return Err(Broken::Torn(self.rows + 1));
        }
        if let Some((signed, _)) = self.heads.last_key_value()
            && *signed > self.rows
        {
            return Err(Broken::Cut { last: self.rows, signed: *signed });
        }
        if self.rows == 0 {
            return Err(Broken::Empty);
        }
        let hash = self.previous.parse().map_err(|_| Broken::Contents(self.rows))?;
        Ok(Passed { rows: self.rows, hash, proven: self.proven })
    }

    fn row(&mut self, format: Format, row: &[u8]) -> Result<(), Broken> {
        let expected = self.rows + 1;
        let text =
            std::str::from_utf8(row).map_err(|error| Broken::Form { row: expected, byte: error.valid_up_to() })?;
        let row = Row::read(format, text).map_err(|Unread(byte)| Broken::Form { row: expected, byte })?;
        if row.sequence != expected {
            return Err(Broken::Order { expected, found: row.sequence });
        }
        if row.previous != self.previous {
            return Err(Broken::Link(expected));
        }
        self.canonical.clear();
        let [actor, action, subject, details] = &row.texts;
        write_canonical(&mut self.canonical, expected, row.at_ms, [actor, action, subject, details], row.previous);
        if Digest::of(&self.canonical).hex() != row.hash {
            return Err(Broken::Contents(expected));
        }
        if let Some(signed) = self.heads.get(&expected) {
            if signed != row.hash {
                return Err(Broken::Rebuilt { since: self.proven + 1, row: expected });
            }
            self.proven = expected;
        }
        self.previous.clear();
        self.previous.push_str(row.hash);
        self.rows = expected;
        Ok(())
    }
}

/// How long the next row is, its end included. `None` while that is not there.
fn row_length(format: Format, bytes: &[u8]) -> Option<usize> {
    match format {
        Format::Ndjson => memchr(b'\n', bytes).map(|end| end + 1),
        Format::Csv => {
            let (mut from, mut quotes) = (0, 0);
            loop {
                let end = from + memchr(b'\n', bytes.get(from..)?)? + 1;
                quotes += memchr_iter(b'"', bytes.get(from..end)?).count();
                // A line's end inside of quotes belongs to a text.
                if quotes.is_multiple_of(2) {
                    return Some(end);
                }
                from = end;
            }
        }
    }
}

/// Checks rows at hand against each other and their own hashes, from the first row on.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), Broken> {
    let mut previous = GENESIS;
    for (expected, entry) in (1..).zip(entries) {
        if entry.sequence != expected {
            return Err(Broken::Order { expected, found: entry.sequence });
        }
        if entry.previous != previous {
            return Err(Broken::Link(entry.sequence));
        }
        if Digest::of(&canonical(entry.sequence, &entry.event, &previous)) != entry.hash {
            return Err(Broken::Contents(entry.sequence));
        }
        previous = entry.hash;
    }
    Ok(())
}
