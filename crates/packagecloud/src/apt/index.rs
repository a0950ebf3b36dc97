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

#[cfg(test)]
mod tests {
    use flate2::write::GzEncoder;

    use super::*;
    use crate::fake::filename;

    fn text() -> Vec<u8> {
        format!("Filename: pool/tug_1_amd64.deb\nSHA256: {}\n", "a".repeat(64)).into_bytes()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).expect("memory takes bytes");
        encoder.finish().expect("memory takes bytes")
    }

    /// Reads `bytes` in pieces of `step`, expecting exactly them.
    fn read(compression: Compression, bytes: &[u8], step: usize) -> Result<Option<BTreeSet<Digest>>, String> {
        let expected = File { digest: Digest::of(bytes), size: length(bytes) };
        let mut reader = IndexReader::new(&filename("tug_1_amd64.deb"), compression, expected);
        for piece in bytes.chunks(step) {
            assert!(reader.feed(piece), "no more than expected");
        }
        reader.finish()
    }

    fn found() -> BTreeSet<Digest> {
        ["a".repeat(64).parse().expect("64 hex digits")].into()
    }

    #[test]
    fn an_index_is_read_plain_and_packed_however_it_is_cut() {
        let packed = gzip(&text());
        for step in 1..=packed.len() {
            assert_eq!(read(Compression::Gzip, &packed, step), Ok(Some(found())), "pieces of {step}");
            assert_eq!(read(Compression::Plain, &text(), step), Ok(Some(found())), "pieces of {step}");
        }
    }

    #[test]
    fn an_index_may_be_packed_in_several_members() {
        let text = text();
        let (front, back) = text.split_at(20);
        let packed = [gzip(front), gzip(b""), gzip(back)].concat();
        for step in [1, 7, packed.len()] {
            assert_eq!(read(Compression::Gzip, &packed, step), Ok(Some(found())));
        }
    }

    #[test]
    fn a_truncated_index_is_an_error_and_not_a_short_one() {
        let packed = gzip(&text());
        for end in 0..packed.len() {
            for step in [1, 1000] {
                let answer = read(Compression::Gzip, &packed[..end], step);
                assert!(answer.is_err(), "{end} of {} bytes: {answer:?}", packed.len());
            }
        }
    }

    #[test]
    fn a_damaged_index_is_an_error() {
        let packed = gzip(&text());
        for at in [0, 2, 10, packed.len() - 8, packed.len() - 1] {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            assert!(read(Compression::Gzip, &damaged, 13).is_err(), "byte {at}");
        }
        assert!(read(Compression::Gzip, &text(), 1000).is_err(), "not packed at all");
        let ambiguous = [text(), text()].concat();
        for (compression, bytes) in [(Compression::Plain, ambiguous.clone()), (Compression::Gzip, gzip(&ambiguous))] {
            let error = read(compression, &bytes, 1000).expect_err("a stanza with two file names");
            assert!(error.contains("two `Filename` fields"), "{error}");
        }
    }

    #[test]
    fn other_bytes_than_expected_are_no_answer_whatever_they_hold() {
        for bytes in [text(), gzip(&text()), b"garbage".to_vec(), Vec::new()] {
            let expected = File { digest: Digest::of(b"another index"), size: length(&bytes) };
            let mut reader = IndexReader::new(&filename("tug_1_amd64.deb"), Compression::Gzip, expected);
            assert!(reader.feed(&bytes));
            assert_eq!(reader.finish(), Ok(None));
        }
    }

    #[test]
    fn reading_stops_when_there_is_more_than_expected() {
        let expected = File { digest: Digest::of(b"abc"), size: 3 };
        let mut reader = IndexReader::new(&filename("tug_1_amd64.deb"), Compression::Plain, expected);
        assert!(reader.feed(b"abc"));
        assert!(!reader.feed(b"d"));
        assert_eq!(reader.finish(), Ok(None));
    }
}
