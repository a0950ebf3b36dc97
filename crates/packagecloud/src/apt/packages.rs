//! `Packages`: the packages of a suite for one architecture, a stanza each
//! (<https://wiki.debian.org/DebianRepository/Format>).

use std::collections::BTreeSet;

use slipway_wire::Digest;

use crate::Filename;

/// How long one line may be. Debian's longest are lists of dependencies and tags of some ten thousand bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Looks for one file in a `Packages` file that passes by in pieces. It holds a line, never more.
#[derive(Clone, Debug)]
pub struct PackagesScan {
    /// The base name of the package's file in the pool.
    filename: String,
    /// What has come of the current line.
    line: Vec<u8>,
    /// What is known of the current stanza.
    stanza: Stanza,
    /// The digests of the stanzas with that file.
    found: BTreeSet<Digest>,
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
    NoDigest(String),
}

impl PackagesScan {
    /// Looks for the file of this name, in whatever folder of the pool it is.
    pub fn new(filename: &Filename) -> Self {
        Self {
            filename: filename.as_str().to_owned(),
            line: Vec::new(),
            stanza: Stanza::default(),
            found: BTreeSet::new(),
        }
    }

    /// Takes the next piece, cut anywhere.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InvalidPackages> {
        let mut lines = piece.split(|byte| *byte == b'\n');
        // What stands behind the last line feed is the start of a line; what stands before is the end of one.
        let rest = lines.next_back().unwrap_or_default();
        for end in lines {
            self.extend(end)?;
            self.end_line()?;
        }
        self.extend(rest)
    }

    /// The digests that the index gives the file: none if it is not listed, several if it is listed with different ones.
    pub fn finish(mut self) -> Result<BTreeSet<Digest>, InvalidPackages> {
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
        let line = std::mem::take(&mut self.line);
        // Other fields may hold bytes that are not UTF-8; the two that matter do not.
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r');
        if text.is_empty() { self.end_stanza() } else { self.stanza.add(text) }?;
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn end_stanza(&mut self) -> Result<(), InvalidPackages> {
        let stanza = std::mem::take(&mut self.stanza);
        let path = stanza.filename.unwrap_or_default();
        let name = path.trim().rsplit('/').next().unwrap_or_default();
        if name == self.filename {
            let digest = stanza.sha256.unwrap_or_default().trim().parse();
            self.found.insert(digest.map_err(|_| InvalidPackages::NoDigest(self.filename.clone()))?);
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
