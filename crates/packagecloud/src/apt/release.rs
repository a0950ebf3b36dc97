//! `Release` and `InRelease`: which index files a suite has, and the SHA-256 of each
//! (<https://wiki.debian.org/DebianRepository/Format>).

use std::collections::BTreeMap;

use slipway_wire::Digest;

/// One index file of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What a suite has: its architectures, and its files by their path below the suite's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// In the order of the `Architectures` field.
    pub architectures: Vec<String>,
    /// The `SHA256` section: `main/binary-amd64/Packages.gz` and the others.
    pub files: BTreeMap<String, File>,
}

/// Text that is not a `Release` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelease {
    /// It is not text.
    #[error("the Release file is not text")]
    NotText,
    /// It is signed in place, and ends before its signature.
    #[error("the Release file ends before its signature")]
    CutShort,
    /// It has no `SHA256` section. Older ones with MD5 alone prove nothing.
    #[error("the Release file has no SHA256 section")]
    NoDigests,
    /// A line of the section is not a digest, a size and a path.
    #[error("the Release file has a SHA256 line that is not `digest size path`: `{0}`")]
    Line(String),
    /// The section gives one path two digests.
    #[error("the Release file gives `{0}` two digests")]
    Twice(String),
}

impl Release {
    /// Reads a `Release` file, or an `InRelease` file with its signature around it.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidRelease> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidRelease::NotText)?;
        let mut release = Self::default();
        let mut digests = false;
        let mut field = String::new();
        for line in signed_lines(text)? {
            if let Some(value) = line.strip_prefix([' ', '\t']) {
                if field == "sha256" {
                    release.add(value)?;
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            field = name.to_ascii_lowercase();
            match field.as_str() {
                "architectures" => release.architectures = value.split_ascii_whitespace().map(str::to_owned).collect(),
                "sha256" => digests = true,
                _ => {}
            }
        }
        if digests { Ok(release) } else { Err(InvalidRelease::NoDigests) }
    }

    fn add(&mut self, line: &str) -> Result<(), InvalidRelease> {
        let invalid = || InvalidRelease::Line(line.chars().take(120).collect());
        let mut words = line.split_ascii_whitespace();
        let (Some(digest), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            // Blank continuation lines say nothing.
            return if line.trim().is_empty() { Ok(()) } else { Err(invalid()) };
        };
        let file = File { digest: digest.parse().map_err(|_| invalid())?, size: size.parse().map_err(|_| invalid())? };
        match self.files.insert(path.to_owned(), file) {
            Some(before) if before != file => Err(InvalidRelease::Twice(path.to_owned())),
            _ => Ok(()),
        }
    }

    /// The folder of the index that lists packages of `architecture`, and the `Packages` files in it.
    ///
    /// Packages for `all` architectures are in every index, so the first one is taken.
    pub(crate) fn packages(&self, architecture: &str) -> Option<String> {
        let folder = |architecture: &str| format!("main/binary-{architecture}");
        let is_there = |folder: &String| {
            ["Packages.gz", "Packages"].iter().any(|name| self.files.contains_key(&format!("{folder}/{name}")))
        };
        if architecture != "all" {
            return Some(folder(architecture)).filter(is_there);
        }
        let others = self.architectures.iter().filter(|architecture| *architecture != "all").map(|name| folder(name));
        others.chain([folder("all")]).find(is_there)
    }
}

/// The lines that a clear-signed text vouches for (RFC 9580, section 7), or all lines of a text without a signature.
fn signed_lines(text: &str) -> Result<Vec<&str>, InvalidRelease> {
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
    if !text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----") {
        return Ok(lines.collect());
    }
    // The armor's headers end with an empty line.
    lines.by_ref().find(|line| line.trim().is_empty()).ok_or(InvalidRelease::CutShort)?;
    let mut signed = Vec::new();
    for line in lines {
        if line.starts_with("-----BEGIN PGP SIGNATURE-----") {
            return Ok(signed);
        }
        // Lines that begin with a dash are escaped with another dash and a space.
        signed.push(line.strip_prefix("- ").unwrap_or(line));
    }
    Err(InvalidRelease::CutShort)
}
