//! A `Packages` or `primary` file on its way in: counted, hashed, unpacked and searched, piece by piece.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use slipway_wire::Digest;

use super::apt::PackagesScan;
use super::unpack::{Compression, Unpack};
use super::yum::PrimaryScan;
use crate::{Filename, PackageKind};

/// How much text an index may unpack to when nobody says how much it is: twelve times Debian's own largest,
/// `main/binary-amd64` with 80 MB.
const TEXT_BYTES_MAX: u64 = 1_000_000_000;

/// How large a packed index may be when nobody says how large it is.
const PACKED_BYTES_MAX: u64 = 500_000_000;

/// What is said of a file by the one above it in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes. `repomd.xml` may leave it out.
    pub size: Option<u64>,
}

impl File {
    fn is(&self, digest: Digest, size: u64) -> bool {
        self.digest == digest && self.size.is_none_or(|expected| expected == size)
    }
}

/// Which digests an index gives each of the wanted files. What it does not list is not in it.
pub(crate) type Listing = BTreeMap<Filename, BTreeSet<Digest>>;

/// One index file, compared with what is said of it while it is searched for the wanted names.
///
/// It holds no more than one package's text and what unpacking needs, however large the file is.
pub struct IndexReader {
    packed: File,
    size: u64,
    hash: Sha256,
    unpack: Unpack<Text>,
    /// What was wrong with the contents. Kept until the end: a file that is not the expected one may hold anything.
    broken: Option<String>,
}

/// The unpacked text, of bounded length, on its way into the search.
struct Text {
    scan: Scan,
    expected: Option<File>,
    size: u64,
    hash: Sha256,
}

enum Scan {
    Packages(PackagesScan),
    Primary(Box<PrimaryScan>),
}

impl Write for Text {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.size = self.size.saturating_add(length(piece));
        let most = self.expected.and_then(|expected| expected.size).unwrap_or(TEXT_BYTES_MAX);
        if self.size > most {
            return Err(io::Error::other(format!("it unpacks to more than {most} bytes")));
        }
        if self.expected.is_some() {
            self.hash.update(piece);
        }
        match &mut self.scan {
            Scan::Packages(scan) => scan.feed(piece).map_err(io::Error::other)?,
            Scan::Primary(scan) => scan.feed(piece).map_err(io::Error::other)?,
        }
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
    /// Looks for the wanted names in an index of this kind.
    ///
    /// `packed` is what is said of the file as served, `open` of what it unpacks to.
    pub fn new(
        kind: PackageKind,
        compression: Compression,
        packed: File,
        open: Option<File>,
        wanted: &BTreeSet<Filename>,
    ) -> Self {
        let scan = match kind {
            PackageKind::Deb => Scan::Packages(PackagesScan::new(wanted)),
            PackageKind::Rpm => Scan::Primary(Box::new(PrimaryScan::new(wanted))),
        };
        // A plain file is its own text, and hashed as such already.
        let expected = open.filter(|_| compression != Compression::Plain);
        let text = Text { scan, expected, size: 0, hash: Sha256::new() };
        Self { packed, size: 0, hash: Sha256::new(), unpack: Unpack::new(compression, text), broken: None }
    }

    /// Takes the next piece, cut anywhere. `false`: there are more bytes than expected, so no more are needed.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        self.size = self.size.saturating_add(length(piece));
        if self.size > self.packed.size.unwrap_or(PACKED_BYTES_MAX) {
            return false;
        }
        self.hash.update(piece);
        if self.broken.is_none() {
            self.broken = self.unpack.feed(piece).err().map(|error| error.to_string());
        }
        true
    }

    /// The digests that the index gives the wanted files. `Ok(None)` when it is not the file that the one above it means,
    /// and an error in words when it is, and cannot be read.
    pub fn finish(self) -> Result<Option<Listing>, String> {
        if self.packed.size.is_none() && self.size > PACKED_BYTES_MAX {
            return Err(format!("it has more than {PACKED_BYTES_MAX} bytes"));
        }
        let digest = Digest::from_bytes(self.hash.finalize().into());
        if !self.packed.is(digest, self.size) {
            return Ok(None);
        }
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let text = self.unpack.finish()?;
        let digest = Digest::from_bytes(text.hash.finalize().into());
        if text.expected.is_some_and(|expected| !expected.is(digest, text.size)) {
            return Err("it does not unpack to the text whose size and digest are given".to_owned());
        }
        match text.scan {
            Scan::Packages(scan) => scan.finish().map_err(|error| error.to_string()),
            Scan::Primary(scan) => scan.finish().map_err(|error| error.to_string()),
        }
        .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use flate2::write::GzEncoder;

    use super::*;
    use crate::fake::filename;

    const NAME: &str = "tug_1_amd64.deb";

    fn text() -> Vec<u8> {
        format!("Filename: pool/tug_1_amd64.deb\nSHA256: {}\n", "a".repeat(64)).into_bytes()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).expect("memory takes bytes");
        encoder.finish().expect("memory takes bytes")
    }

    fn file(bytes: &[u8]) -> File {
        File { digest: Digest::of(bytes), size: Some(length(bytes)) }
    }

    fn reader(compression: Compression, packed: File) -> IndexReader {
        IndexReader::new(PackageKind::Deb, compression, packed, None, &[filename(NAME)].into())
    }

    /// Reads `bytes` in pieces of `step`, expecting exactly them.
    fn read(compression: Compression, bytes: &[u8], step: usize) -> Result<Option<Listing>, String> {
        let mut reader = reader(compression, file(bytes));
        for piece in bytes.chunks(step) {
            assert!(reader.feed(piece), "no more than expected");
        }
        reader.finish()
    }

    fn found() -> Listing {
        let digest = "a".repeat(64).parse().expect("64 hex digits");
        [(filename(NAME), [digest].into())].into()
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
            let mut reader = reader(Compression::Gzip, File { digest: Digest::of(b"another"), ..file(&bytes) });
            assert!(reader.feed(&bytes));
            assert_eq!(reader.finish(), Ok(None));
        }
    }

    #[test]
    fn reading_stops_when_there_is_more_than_expected() {
        let mut reader = reader(Compression::Plain, file(b"abc"));
        assert!(reader.feed(b"abc"));
        assert!(!reader.feed(b"d"));
        assert_eq!(reader.finish(), Ok(None));
    }
}
