//! `Release` and `InRelease`: which index files a suite has, and the SHA-256 of each
//! (<https://wiki.debian.org/DebianRepository/Format>).

use std::collections::BTreeMap;

use crate::index::is_architecture;
use crate::index::reader::File;

/// The `Packages` files that are read, the one that costs least to unpack first.
pub(crate) const FILES: [&str; 3] = ["Packages.gz", "Packages.xz", "Packages"];

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
        let file =
            File { digest: digest.parse().map_err(|_| invalid())?, size: Some(size.parse().map_err(|_| invalid())?) };
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
        let is_there = |folder: &String| FILES.iter().any(|name| self.files.contains_key(&format!("{folder}/{name}")));
        if architecture != "all" {
            return Some(folder(architecture)).filter(is_there);
        }
        // A name from the file itself must not lead out of the suite's folder.
        let plain = |name: &&String| *name != "all" && is_architecture(name);
        let others = self.architectures.iter().filter(plain).map(|name| folder(name));
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

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "Origin: harbour\n\
        Codename: jammy\n\
        Architectures: all amd64 arm64\n\
        Components: main\n\
        MD5Sum:\n \
        d41d8cd98f00b204e9800998ecf8427e 0 main/binary-i386/Packages\n\
        SHA256:\n \
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa       1234 main/binary-amd64/Packages.gz\n \
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 9876543210 main/binary-amd64/Packages\n \
        cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc 0 main/binary-arm64/Packages\n\
        SHA512:\n \
        dd 0 main/binary-armhf/Packages\n";

    fn signed(text: &str) -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}-----BEGIN PGP SIGNATURE-----\n\n\
             SHA256:\n 00 0 main/binary-evil/Packages\n-----END PGP SIGNATURE-----\n"
        )
    }

    #[test]
    fn the_sha256_section_is_read_and_no_other() {
        let release = Release::parse(RELEASE.as_bytes()).expect("a Release file");
        assert_eq!(release.architectures, ["all", "amd64", "arm64"]);
        let files: Vec<_> =
            release.files.iter().map(|(path, file)| (path.as_str(), file.size.unwrap_or_default())).collect();
        assert_eq!(
            files,
            [
                ("main/binary-amd64/Packages", 9_876_543_210),
                ("main/binary-amd64/Packages.gz", 1234),
                ("main/binary-arm64/Packages", 0),
            ]
        );
        assert_eq!(release.files["main/binary-amd64/Packages.gz"].digest.hex(), "a".repeat(64));
    }

    #[test]
    fn a_signature_around_the_file_changes_nothing() {
        let release = Release::parse(RELEASE.as_bytes());
        // A signer may escape any line.
        let dashed = RELEASE.lines().map(|line| format!("- {line}\n")).collect::<Vec<_>>().concat();
        for text in [
            signed(RELEASE),
            signed(RELEASE).replace('\n', "\r\n"),
            signed(RELEASE).replace("Hash: SHA512\n", ""),
            signed(&dashed),
            RELEASE.replace('\n', "\r\n"),
            RELEASE.replace("SHA256:", "sha256:"),
            RELEASE.replace(" main/binary-arm64", "\t main/binary-arm64"),
            format!("{}\n", RELEASE.trim_end()),
            RELEASE.trim_end().to_owned(),
        ] {
            assert_eq!(Release::parse(text.as_bytes()), release, "{text}");
        }
    }

    #[test]
    fn what_stands_outside_of_the_signature_does_not_count() {
        let release = Release::parse(signed(RELEASE).as_bytes()).expect("a signed Release file");
        assert!(!release.files.contains_key("main/binary-evil/Packages"));
    }

    #[test]
    fn a_file_that_is_no_release_is_an_error() {
        let twice = format!("{RELEASE}SHA256:\n {} 1 main/binary-amd64/Packages\n", "e".repeat(64));
        for (text, error) in [
            (b"" as &[u8], InvalidRelease::NoDigests),
            (b"<html>", InvalidRelease::NoDigests),
            (b"MD5Sum:\n x", InvalidRelease::NoDigests),
            (b"\xff", InvalidRelease::NotText),
            (b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: x\n", InvalidRelease::CutShort),
            (b"-----BEGIN PGP SIGNED MESSAGE-----\n\nSHA256:\n", InvalidRelease::CutShort),
            (b"SHA256:\n abc 1 x", InvalidRelease::Line("abc 1 x".to_owned())),
            (twice.as_bytes(), InvalidRelease::Twice("main/binary-amd64/Packages".to_owned())),
        ] {
            assert_eq!(Release::parse(text), Err(error));
        }
        for line in ["", "1", "-1 x", "1 x y", "1x y", "18446744073709551616 x"] {
            let text = format!("SHA256:\n {} {line}\n", "a".repeat(64));
            assert!(matches!(Release::parse(text.as_bytes()), Err(InvalidRelease::Line(_))), "{line}");
        }
    }

    #[test]
    fn packages_for_all_architectures_are_looked_for_in_the_first_index() {
        let mut release = Release::parse(RELEASE.as_bytes()).expect("a Release file");
        let folder = |release: &Release, architecture| release.packages(architecture);
        assert_eq!(folder(&release, "all").as_deref(), Some("main/binary-amd64"));
        assert_eq!(folder(&release, "arm64").as_deref(), Some("main/binary-arm64"));
        assert_eq!(folder(&release, "armhf"), None);
        release.architectures = vec!["riscv64".to_owned(), "arm64".to_owned(), "amd64".to_owned()];
        assert_eq!(folder(&release, "all").as_deref(), Some("main/binary-arm64"));
        release.architectures.clear();
        assert_eq!(folder(&release, "all"), None);
    }
}
