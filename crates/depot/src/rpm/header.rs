//! The header of an rpm: tags and their values, and nothing of the contents.
//!
//! An rpm is a lead of 96 bytes, a signature header, the header, and the compressed contents (the format is described
//! at <https://rpm-software-management.github.io/rpm/manual/format_v4.html>). Only the two headers are read, so a file
//! of any size costs the same. This is not the `rpm` crate: that one also builds, signs and unpacks, which brings some
//! twenty crates, and it trusts the lengths that a file gives of itself.

use std::collections::BTreeMap;
use std::io::{self, Read};

/// What an rpm begins with.
pub(crate) const MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const LEAD_BYTES: usize = 96;
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Of one tag in a header: its number, its type, where its value is, how many values.
const ENTRY_BYTES: usize = 16;
/// rpm itself refuses more tags than this.
const ENTRIES_MAX: u32 = 65_535;
/// A header may have this size; those of the largest packages, with 100 000 files, have some 20 MB.
const VALUES_BYTES_MAX: u32 = 128 << 20;

/// The tags that are read (`rpmtag.h`).
pub(crate) mod tag {
    pub(crate) const NAME: u32 = 1000;
    pub(crate) const VERSION: u32 = 1001;
    pub(crate) const RELEASE: u32 = 1002;
    pub(crate) const EPOCH: u32 = 1003;
    pub(crate) const SUMMARY: u32 = 1004;
    pub(crate) const DESCRIPTION: u32 = 1005;
    pub(crate) const BUILD_TIME: u32 = 1006;
    pub(crate) const BUILD_HOST: u32 = 1007;
    pub(crate) const SIZE: u32 = 1009;
    pub(crate) const VENDOR: u32 = 1011;
    pub(crate) const LICENSE: u32 = 1014;
    pub(crate) const PACKAGER: u32 = 1015;
    pub(crate) const GROUP: u32 = 1016;
    pub(crate) const URL: u32 = 1020;
    pub(crate) const ARCHITECTURE: u32 = 1022;
    pub(crate) const FILE_MODES: u32 = 1030;
    pub(crate) const FILE_FLAGS: u32 = 1037;
    pub(crate) const SOURCE_RPM: u32 = 1044;
    pub(crate) const CHANGELOG_TIME: u32 = 1080;
    pub(crate) const CHANGELOG_NAME: u32 = 1081;
    pub(crate) const CHANGELOG_TEXT: u32 = 1082;
    pub(crate) const DIR_INDEXES: u32 = 1116;
    pub(crate) const BASE_NAMES: u32 = 1117;
    pub(crate) const DIR_NAMES: u32 = 1118;
    pub(crate) const LONG_SIZE: u32 = 5009;
    /// In the signature header: the size of the contents when unpacked, in 32 and in 64 bits.
    pub(crate) const SIGNED_PAYLOAD_SIZE: u32 = 1007;
    pub(crate) const SIGNED_LONG_ARCHIVE_SIZE: u32 = 271;
}

/// Why a header cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidHeader {
    #[error("is not an rpm: {0}")]
    Read(#[from] io::Error),
    #[error("is not an rpm: {0}")]
    Form(&'static str),
}

#[derive(Debug)]
enum Value {
    Numbers(Vec<u64>),
    Texts(Vec<String>),
}

/// One header, read.
#[derive(Debug, Default)]
pub(crate) struct Header(BTreeMap<u32, Value>);

/// Both headers of an rpm, and where the second one is in the file.
#[derive(Debug)]
pub(crate) struct Headers {
    pub(crate) signature: Header,
    pub(crate) header: Header,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Headers {
    pub(crate) fn read(file: &mut impl Read) -> Result<Self, InvalidHeader> {
        let mut lead = [0; LEAD_BYTES];
        file.read_exact(&mut lead)?;
        if !lead.starts_with(&MAGIC) {
            return Err(InvalidHeader::Form("it does not begin like one"));
        }
        let (signature, length) = Header::read(file)?;
        // The signature is filled up to a multiple of 8, and the lead already is one.
        let filled = length.next_multiple_of(8);
        io::copy(&mut file.take(filled - length), &mut io::sink())?;
        let start = LEAD_BYTES as u64 + filled;
        let (header, length) = Header::read(file)?;
        Ok(Self { signature, header, start, end: start + length })
    }
}

impl Header {
    /// Reads one header; says how long it is.
    fn read(file: &mut impl Read) -> Result<(Self, u64), InvalidHeader> {
        let mut intro = [0; 16];
        file.read_exact(&mut intro)?;
        if !intro.starts_with(&HEADER_MAGIC) {
            return Err(InvalidHeader::Form("a header does not begin like one"));
        }
        let (entries, bytes) = (number(&intro[8..12]), number(&intro[12..16]));
        if entries > ENTRIES_MAX || bytes > VALUES_BYTES_MAX {
            return Err(InvalidHeader::Form("a header is too large"));
        }
        let length = 16 + u64::from(entries) * ENTRY_BYTES as u64 + u64::from(bytes);
        // Grows with what is really there: a length alone takes no memory.
        let mut rest = Vec::new();
        file.take(length - 16).read_to_end(&mut rest)?;
        if rest.len() as u64 != length - 16 {
            return Err(InvalidHeader::Form("it ends within a header"));
        }
        let (index, values) = rest.split_at(entries as usize * ENTRY_BYTES);
        let mut header = BTreeMap::new();
        for entry in index.chunks_exact(ENTRY_BYTES) {
            let (tag, kind) = (number(&entry[..4]), number(&entry[4..8]));
            let (offset, count) = (number(&entry[8..12]) as usize, number(&entry[12..16]) as usize);
            let outside = InvalidHeader::Form("a value is outside of its header");
            let bytes = values.get(offset..).ok_or(outside)?;
            if let Some(value) = value(kind, bytes, count)? {
                header.insert(tag, value);
            }
        }
        Ok((Self(header), length))
    }

    /// All texts of a tag; none when it is not there.
    pub(crate) fn texts(&self, tag: u32) -> &[String] {
        match self.0.get(&tag) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// All numbers of a tag; none when it is not there.
    pub(crate) fn numbers(&self, tag: u32) -> &[u64] {
        match self.0.get(&tag) {
            Some(Value::Numbers(numbers)) => numbers,
            _ => &[],
        }
    }

    pub(crate) fn text(&self, tag: u32) -> Option<&str> {
        self.texts(tag).first().map(String::as_str)
    }

    pub(crate) fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).first().copied()
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A value of one of the types that the tags above have; others are read over.
fn value(kind: u32, bytes: &[u8], count: usize) -> Result<Option<Value>, InvalidHeader> {
    let outside = || InvalidHeader::Form("a value is longer than its header");
    let width = match kind {
        3 => 2,
        4 => 4,
        5 => 8,
        6 | 8 | 9 => {
            let mut texts = Vec::new();
            let mut rest = bytes;
            for _ in 0..count {
                let end = rest.iter().position(|byte| *byte == 0).ok_or_else(outside)?;
                texts.push(String::from_utf8_lossy(&rest[..end]).into_owned());
                rest = &rest[end + 1..];
            }
            return Ok(Some(Value::Texts(texts)));
        }
        _ => return Ok(None),
    };
    let bytes = bytes.get(..count.checked_mul(width).ok_or_else(outside)?).ok_or_else(outside)?;
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(Some(Value::Numbers(bytes.chunks_exact(width).map(big_endian).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these tags: (tag, type, count, value).
    fn header(tags: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let (mut index, mut values) = (Vec::new(), Vec::new());
        for (tag, kind, count, value) in tags {
            let offset = u32::try_from(values.len()).expect("a short header");
            for part in [*tag, *kind, offset, *count] {
                index.extend_from_slice(&part.to_be_bytes());
            }
            values.extend_from_slice(value);
        }
        let mut bytes = [HEADER_MAGIC, [0; 4]].concat();
        for length in [tags.len(), values.len()] {
            bytes.extend_from_slice(&u32::try_from(length).expect("a short header").to_be_bytes());
        }
        [bytes, index, values].concat()
    }

    fn rpm(tags: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let mut lead = MAGIC.to_vec();
        lead.resize(96, 0);
        // 16 + 16 + 4 bytes: four are missing to a multiple of 8.
        let mut signature = header(&[(tag::SIGNED_PAYLOAD_SIZE, 4, 1, &[0, 0, 1, 0])]);
        signature.resize(40, 0);
        [lead, signature, header(tags)].concat()
    }

    #[test]
    fn a_header_is_found_behind_the_filled_up_signature() {
        let bytes = rpm(&[(tag::NAME, 6, 1, b"tug\0"), (tag::FILE_MODES, 3, 2, &[0x81, 0xa4, 0x41, 0xed])]);
        let read = Headers::read(&mut bytes.as_slice()).expect("it is whole");
        assert_eq!(read.signature.number(tag::SIGNED_PAYLOAD_SIZE), Some(256));
        assert_eq!(read.header.text(tag::NAME), Some("tug"));
        assert_eq!(read.header.numbers(tag::FILE_MODES), [0o100_644, 0o040_755]);
        assert_eq!((read.start, read.end), (136, bytes.len() as u64));
        assert_eq!(read.header.text(tag::VERSION), None);
    }

    #[test]
    fn a_header_that_lies_about_its_lengths_is_refused() {
        let good = rpm(&[(tag::NAME, 6, 1, b"tug\0")]);
        for end in 0..good.len() {
            assert!(Headers::read(&mut &good[..end]).is_err(), "cut at byte {end}");
        }
        for (bad, why) in [
            (rpm(&[(tag::NAME, 6, 1, b"tug")]), "longer than its header"),
            (rpm(&[(tag::NAME, 8, 2, b"tug\0")]), "longer than its header"),
            (rpm(&[(tag::EPOCH, 4, u32::MAX, &[0; 4])]), "longer than its header"),
            ([&good[..136 + 12], &[0xff; 4][..]].concat(), "too large"),
            ([&good[..136 + 8], &[0xff; 8][..]].concat(), "too large"),
            (vec![0; 200], "does not begin like one"),
        ] {
            let said = Headers::read(&mut bad.as_slice()).expect_err(why).to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
