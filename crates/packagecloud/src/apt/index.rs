//! A `Packages` file on its way in: counted, hashed, unpacked and searched, piece by piece.

use std::collections::BTreeSet;
use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use slipway_wire::Digest;

use super::packages::PackagesScan;
use super::release::File;
use crate::Filename;

/// How much text an index may unpack to: twelve times Debian's own largest, `main/binary-amd64` with 80 MB.
const TEXT_BYTES_MAX: u64 = 1_000_000_000;

/// How an index file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `Packages`.
    Plain,
    /// `Packages.gz`.
    Gzip,
}

/// A `Packages` file, compared with what the `Release` file says of it while it is searched.
pub struct IndexReader {
    expected: File,
    size: u64,
    hash: Sha256,
    unpacked: Unpacked,
    /// What was wrong with the contents. Kept until the end: a file that is not the expected one may hold anything.
    broken: Option<String>,
}

/// Where a file's bytes go.
enum Unpacked {
    Plain(Text),
    Gzip(Box<MultiGzDecoder<Text>>),
}

/// The unpacked text, of bounded length, on its way into the search.
struct Text {
    scan: PackagesScan,
    bytes: u64,
}

impl Write for Text {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(length(piece));
        if self.bytes > TEXT_BYTES_MAX {
            return Err(io::Error::other(format!("the Packages file has more than {TEXT_BYTES_MAX} bytes")));
        }
        self.scan.feed(piece).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn length(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

impl IndexReader {
    /// Reads a file of which the `Release` file says `expected`, and looks for `filename` in it.
    pub fn new(filename: &Filename, compression: Compression, expected: File) -> Self {
        let text = Text { scan: PackagesScan::new(filename), bytes: 0 };
        let unpacked = match compression {
            Compression::Plain => Unpacked::Plain(text),
            Compression::Gzip => Unpacked::Gzip(Box::new(MultiGzDecoder::new(text))),
        };
        Self { expected, size: 0, hash: Sha256::new(), unpacked, broken: None }
    }

    /// Takes the next piece, cut anywhere. `false`: there are more bytes than expected, so no more are needed.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        self.size = self.size.saturating_add(length(piece));
        self.hash.update(piece);
        if self.broken.is_none() {
            let written = match &mut self.unpacked {
                Unpacked::Plain(text) => text.write_all(piece),
                Unpacked::Gzip(decoder) => decoder.write_all(piece),
            };
            self.broken = written.err().map(|error| error.to_string());
        }
        self.size <= self.expected.size
    }

    /// The digests that the index gives the file. `Ok(None)` when it is not the index that the `Release` file means,
    /// and an error in words when it is, and cannot be read.
    pub fn finish(self) -> Result<Option<BTreeSet<Digest>>, String> {
        let digest = Digest::from_bytes(self.hash.finalize().into());
        if (File { digest, size: self.size }) != self.expected {
            return Ok(None);
        }
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let text = match self.unpacked {
            Unpacked::Plain(text) => text,
            Unpacked::Gzip(decoder) => {
                decoder.finish().map_err(|error| format!("the gzip stream is broken: {error}"))?
            }
        };
        text.scan.finish().map(Some).map_err(|error| error.to_string())
    }
}
