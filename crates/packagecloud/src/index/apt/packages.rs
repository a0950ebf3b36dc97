//! `Packages`: the packages of a suite for one architecture, a stanza each
//! (<https://wiki.debian.org/DebianRepository/Format>).

use std::collections::BTreeSet;

use memchr::memchr;

use crate::Filename;
use crate::index::reader::Listing;

/// How long one line may be. Debian's longest are lists of dependencies and tags of some ten thousand bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Looks for some files in a `Packages` file that passes by in pieces. It holds a line, never more.
#[derive(Clone, Debug)]
pub struct PackagesScan {
    /// The base names of the packages' files in the pool.
    wanted: BTreeSet<Filename>,
    /// What has come of a line that is not at its end.
    line: Vec<u8>,
    /// What is known of the current stanza.
    stanza: Stanza,
    /// The digests of the stanzas with those files.
    found: Listing,
}

/// The two fields of a stanza that matter.
#[derive(Clone, Debug, Default)]
struct Stanza {
    filename: Option<String>,
    sha256: Option<String>,
    /// The field that a folded line goes on with.
    last: Option<Field>,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Filename,
    Sha256,
}

/// Text that is not a `Packages` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackages {
    /// A line does not end.
    #[error("the Packages file has a line of more than {LINE_BYTES_MAX} bytes")]
    LongLine,
    /// A stanza has a field twice: readers could disagree about it.
    #[error("the Packages file has a stanza with two `{0}` fields")]
    Twice(&'static str),
    /// The file is listed, without a digest that proves anything.
    #[error("the Packages file lists `{0}` without a SHA-256")]
    NoDigest(Filename),
}

impl PackagesScan {
    /// Looks for the files of these names, in whatever folder of the pool they are.
    pub fn new(wanted: &BTreeSet<Filename>) -> Self {
        Self { wanted: wanted.clone(), line: Vec::new(), stanza: Stanza::default(), found: Listing::new() }
    }

    /// Takes the next piece, cut anywhere.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InvalidPackages> {
        let mut rest = piece;
        while let Some((end, after)) = memchr(b'\n', rest)
            .and_then(|at| rest.split_at_checked(at))
            .and_then(|(end, after)| after.split_first().map(|(_, after)| (end, after)))
        {
            if self.line.is_empty() {
                if end.len() > LINE_BYTES_MAX {
                    return Err(InvalidPackages::LongLine);
                }
                self.stanza_line(end)?;
            } else {
                self.extend(end)?;
                self.end_line()?;
            }
            rest = after;
        }
        self.extend(rest)
    }

    /// The digests that the index gives the files: several if one is listed with different ones.
    pub fn finish(mut self) -> Result<Listing, InvalidPackages> {
        self.end_line()?;
        self.end_stanza()?;
        Ok(self.found)
    }

    fn extend(&mut self, piece: &[u8]) -> Result<(), InvalidPackages> {
        if self.line.len().saturating_add(piece.len()) > LINE_BYTES_MAX {
            return Err(InvalidPackages::LongLine);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), InvalidPackages> {
        let mut line = std::mem::take(&mut self.line);
        self.stanza_line(&line)?;
        line.clear();
        self.line = line;
        Ok(())
    }

    fn stanza_line(&mut self, line: &[u8]) -> Result<(), InvalidPackages> {
        match line.first() {
            None => self.end_stanza(),
            // Nearly all lines begin otherwise, and are passed over at once.
            Some(b'F' | b'f' | b'S' | b's' | b' ' | b'\t' | b'\r') => {
                // Other fields may hold bytes that are not UTF-8; the two that matter do not.
                let text = String::from_utf8_lossy(line);
                let text = text.trim_end_matches('\r');
                if text.is_empty() { self.end_stanza() } else { self.stanza.add(text) }
            }
            Some(_) => {
                self.stanza.last = None;
                Ok(())
            }
        }
    }

    fn end_stanza(&mut self) -> Result<(), InvalidPackages> {
        let stanza = std::mem::take(&mut self.stanza);
        let path = stanza.filename.unwrap_or_default();
        let name = path.trim().rsplit('/').next().unwrap_or_default();
        if let Some(name) = self.wanted.get(name) {
            let digest = stanza.sha256.unwrap_or_default().trim().parse();
            let digest = digest.map_err(|_| InvalidPackages::NoDigest(name.clone()))?;
            self.found.entry(name.clone()).or_default().insert(digest);
        }
        Ok(())
    }
}

impl Stanza {
    fn add(&mut self, line: &str) -> Result<(), InvalidPackages> {
        if line.starts_with([' ', '\t']) {
            let value = match self.last {
                Some(Field::Filename) => self.filename.get_or_insert_default(),
                Some(Field::Sha256) => self.sha256.get_or_insert_default(),
                None => return Ok(()),
            };
            value.push_str(line);
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        // Field names have no case (Debian Policy, section 5.1).
        let (field, name, slot) = if name.eq_ignore_ascii_case("Filename") {
            (Field::Filename, "Filename", &mut self.filename)
        } else if name.eq_ignore_ascii_case("SHA256") {
            (Field::Sha256, "SHA256", &mut self.sha256)
        } else {
            self.last = None;
            return Ok(());
        };
        self.last = Some(field);
        if slot.replace(value.to_owned()).is_some() { Err(InvalidPackages::Twice(name)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use slipway_wire::Digest;

    use super::*;
    use crate::fake::filename;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn scan(pieces: &[&[u8]]) -> Result<Vec<String>, InvalidPackages> {
        let mut scan = PackagesScan::new(&[filename("tug_1_amd64.deb")].into());
        for piece in pieces {
            scan.feed(piece)?;
        }
        Ok(scan.finish()?.values().flatten().map(Digest::hex).collect())
    }

    /// What the scan says of `text`, however it is cut.
    fn check(text: &str, expected: &Result<Vec<String>, InvalidPackages>) {
        let text = text.replace("{A}", A).replace("{B}", B);
        let bytes = text.as_bytes();
        assert_eq!(&scan(&[bytes]), expected, "{text:?} whole");
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(&scan(&single), expected, "{text:?} byte by byte");
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            assert_eq!(&scan(&[front, b"", back]), expected, "{text:?} cut at {at}");
        }
    }

    #[test]
    fn a_listed_file_has_its_digest() {
        for text in [
            "Package: tug\nFilename: pool/jammy/main/t/tug/tug_1_amd64.deb\nSHA256: {A}\n\n",
            // Without the last line feed, or any empty line.
            "Package: tug\nFilename: pool/jammy/main/t/tug/tug_1_amd64.deb\nSHA256: {A}\n",
            "Filename: pool/tug_1_amd64.deb\nSHA256: {A}",
            // In the other order, among others, after several empty lines.
            "\n\nFilename: pool/a_1_amd64.deb\nSHA256: {B}\n\n\n\nSHA256: {A}\nFilename: pool/tug_1_amd64.deb\n\nFilename: pool/z.deb\nSHA256: {B}\n",
            // CRLF.
            "Filename: pool/a_1_amd64.deb\r\nSHA256: {B}\r\n\r\nFilename: pool/tug_1_amd64.deb\r\nSHA256: {A}\r\n\r\n",
            // No folder, no space, other case, spaces around.
            "filename:tug_1_amd64.deb\nsha256:{A}\n",
            "Filename: \t ./tug_1_amd64.deb \t\nSHA256:   {A}  \n",
            // Folded: what looks like a field inside a description is text.
            "Package: tug\nDescription: a tug\n Filename: pool/other.deb\n SHA256: {B}\n .\n\tFilename: x\nFilename: pool/tug_1_amd64.deb\nSHA256: {A}\n",
            "Description: a tug\n .\n \n  \nFilename: pool/tug_1_amd64.deb\nSHA256: {A}\n",
            // Folded values, as apt takes them.
            "Filename:\n pool/tug_1_amd64.deb\nSHA256:\n\t{A}\n",
            // A folded line belongs to the field above it alone.
            "Filename: pool/tug_1_amd64.deb\nDescription: a\n tug\nSHA256: {A}\nDepends: a,\n b\n",
            // Fields that only begin like the two.
            "Filename-Old: pool/tug_1_amd64.deb\nSHA256sum: {B}\nFilename: pool/tug_1_amd64.deb\nSHA256: {A}\n",
            // Twice the same.
            "Filename: pool/a/tug_1_amd64.deb\nSHA256: {A}\n\nFilename: pool/b/tug_1_amd64.deb\nSHA256: {A}\n",
            "Package: tüg\nFilename: pool/tug_1_amd64.deb\nSHA256: {A}\nno colon at all\n",
        ] {
            check(text, &Ok(vec![A.to_owned()]));
        }
    }

    #[test]
    fn a_file_that_is_not_listed_has_none() {
        for text in [
            "",
            "\n",
            "\r\n\r\n",
            "<html>not found</html>",
            "Filename: pool/xtug_1_amd64.deb\nSHA256: {A}\n",
            "Filename: pool/tug_1_amd64.deb.asc\nSHA256: {A}\n",
            "Filename: pool/tug_1_amd64.deb/other\nSHA256: {A}\n",
            "Filename: pool/Tug_1_amd64.deb\nSHA256: {A}\n",
            // The two fields of different stanzas do not belong together.
            "Description: x\n Filename: pool/tug_1_amd64.deb\n SHA256: {A}\n",
            "SHA256: {A}\n",
        ] {
            check(text, &Ok(Vec::new()));
        }
    }

    #[test]
    fn a_file_that_is_listed_with_other_bytes_too_has_both_digests() {
        check(
            "Filename: pool/a/tug_1_amd64.deb\nSHA256: {B}\n\nFilename: pool/b/tug_1_amd64.deb\nSHA256: {A}\n",
            &Ok(vec![A.to_owned(), B.to_owned()]),
        );
    }

    #[test]
    fn a_file_that_is_listed_without_a_digest_is_an_error() {
        for text in [
            "Filename: pool/tug_1_amd64.deb\nMD5sum: 00\n",
            "Filename: pool/tug_1_amd64.deb\n\nSHA256: {A}\n",
            "Filename: pool/tug_1_amd64.deb\nSHA256: {A}0\n",
            "Filename: pool/tug_1_amd64.deb\nSHA256: {A}\n {B}\n",
        ] {
            check(text, &Err(InvalidPackages::NoDigest(filename("tug_1_amd64.deb"))));
        }
    }

    #[test]
    fn a_field_that_comes_twice_is_an_error() {
        check("Filename: pool/tug_1_amd64.deb\nSHA256: {A}\nSHA256: {B}\n", &Err(InvalidPackages::Twice("SHA256")));
        check(
            "Filename: pool/x.deb\nFilename: pool/tug_1_amd64.deb\nSHA256: {A}\n",
            &Err(InvalidPackages::Twice("Filename")),
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_passed_over() {
        let mut bytes = b"Maintainer: \xff\xfe\n".to_vec();
        bytes.extend_from_slice(format!("Filename: pool/tug_1_amd64.deb\nSHA256: {A}\n").as_bytes());
        assert_eq!(scan(&[&bytes]), Ok(vec![A.to_owned()]));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let piece = vec![b'x'; 64 << 10];
        let mut scan = PackagesScan::new(&[filename("x.deb")].into());
        for _ in 0..16 {
            scan.feed(&piece).expect("a million bytes");
        }
        assert_eq!(scan.feed(b"x"), Err(InvalidPackages::LongLine));
    }
}
