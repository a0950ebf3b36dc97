//! Reads what a Debian package says about itself.
//!
//! A deb is an `ar` archive of `debian-binary`, `control.tar[.gz|.xz|.zst]` and `data.tar.*` (deb(5)). Only the
//! first two are read: the contents are never unpacked, so a file of any size costs the same.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// The unpacked control archive of a package may have this size: scripts and lists of config files, megabytes at most.
const CONTROL_TAR_BYTES_MAX: u64 = 64 << 20;
/// The control file itself may have this size; the largest of Debian have some 20 KB.
const CONTROL_BYTES_MAX: u64 = 1 << 20;

/// Fields that the index of a repository writes about a package; the package's own say nothing.
const INDEX_FIELDS: [&str; 7] = ["Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512", "Description-md5"];

/// The relations that `dependencies` lists, with the names packagecloud gives them.
const RELATIONS: [(&str, &str); 8] = [
    ("Pre-Depends", "pre_depends"),
    ("Depends", "depends"),
    ("Recommends", "recommends"),
    ("Suggests", "suggests"),
    ("Conflicts", "conflicts"),
    ("Breaks", "breaks"),
    ("Replaces", "replaces"),
    ("Provides", "provides"),
];

/// The control file of a package, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) package: String,
    pub(crate) version: Version,
    pub(crate) architecture: String,
    /// The fields as they were written, ending in a new line.
    pub(crate) text: String,
}

/// A Debian version, `[epoch:]upstream[-revision]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) epoch: u32,
    pub(crate) upstream: String,
    pub(crate) revision: Option<String>,
}

/// Why a file is not taken for a Debian package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidDeb {
    #[error("is not a Debian package: {0}")]
    Archive(#[source] io::Error),
    #[error("is not a Debian package: its first member is not `debian-binary` with format 2")]
    Format,
    #[error("has no `control.tar` (plain, gz, xz or zst)")]
    NoControl,
    #[error("has a control file that cannot be read: {0}")]
    Control(String),
}

impl Control {
    /// Reads the control file of a deb.
    pub(crate) fn of_deb(file: impl Read) -> Result<Self, InvalidDeb> {
        let mut archive = ar::Archive::new(file);
        {
            let mut first = archive.next_entry().ok_or(InvalidDeb::Format)?.map_err(InvalidDeb::Archive)?;
            let mut format = String::new();
            (&mut first).take(16).read_to_string(&mut format).map_err(|_| InvalidDeb::Format)?;
            if first.header().identifier() != b"debian-binary" || !format.starts_with("2.") {
                return Err(InvalidDeb::Format);
            }
        }
        while let Some(member) = archive.next_entry() {
            let member = member.map_err(InvalidDeb::Archive)?;
            let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
            let Some(compression) = name.strip_prefix("control.tar") else { continue };
            let tar: Box<dyn Read + '_> = match compression {
                "" => Box::new(member),
                ".gz" => Box::new(flate2::read::GzDecoder::new(member)),
                ".xz" => Box::new(lzma_rust2::XzReader::new(member, true)),
                ".zst" => Box::new(
                    ruzstd::decoding::StreamingDecoder::new(member)
                        .map_err(|error| InvalidDeb::Control(error.to_string()))?,
                ),
                _ => return Err(InvalidDeb::NoControl),
            };
            return control_file(tar.take(CONTROL_TAR_BYTES_MAX))?.parse();
        }
        Err(InvalidDeb::NoControl)
    }

    /// The name that a file of this package has in every repository: without epoch, since `:` is no letter of it.
    pub(crate) fn filename(&self) -> String {
        format!("{}_{}_{}.deb", self.package, self.version.without_epoch(), self.architecture)
    }

    /// The value of a field. Lines after the first lose the space in front.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let paragraph: deb822_fast::Paragraph = self.text.parse().ok()?;
        paragraph.get(name).map(str::to_owned)
    }

    /// The relations to other packages: (kind, one text for each comma-separated part).
    pub(crate) fn relations(&self) -> Vec<(&'static str, Vec<String>)> {
        let Ok(paragraph) = self.text.parse::<deb822_fast::Paragraph>() else { return Vec::new() };
        let parts = |value: &str| {
            let parts = value.split(',').map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
            parts.filter(|part| !part.is_empty()).collect::<Vec<_>>()
        };
        RELATIONS
            .into_iter()
            .filter_map(|(field, kind)| Some((kind, parts(paragraph.get(field)?))))
            .filter(|(_, parts)| !parts.is_empty())
            .collect()
    }

    /// The fields as the index of a repository repeats them: without those that the index itself says.
    pub(crate) fn index_text(&self) -> String {
        let mut kept = String::with_capacity(self.text.len());
        let mut keep = true;
        for line in self.text.lines() {
            if !line.starts_with([' ', '\t']) {
                let name = line.split(':').next().unwrap_or_default();
                keep = !INDEX_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name));
            }
            if keep {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        kept
    }
}

fn control_file(tar: impl Read) -> Result<String, InvalidDeb> {
    let unreadable = |error: io::Error| InvalidDeb::Control(error.to_string());
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path_bytes();
        if path.strip_prefix(b"./").unwrap_or(&path) == b"control" {
            let mut bytes = Vec::new();
            entry.take(CONTROL_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
            return String::from_utf8(bytes).map_err(|_| InvalidDeb::Control("it is not UTF-8".to_owned()));
        }
    }
    Err(InvalidDeb::Control("it is not in the control archive".to_owned()))
}

impl std::str::FromStr for Control {
    type Err = InvalidDeb;

    /// Reads one paragraph. Letters that could end a line, a field or a path elsewhere are refused.
    fn from_str(text: &str) -> Result<Self, InvalidDeb> {
        let invalid = |why: String| InvalidDeb::Control(why);
        let text = text.trim_matches(['\n', '\r']).to_owned() + "\n";
        if text.contains('\0') || text.contains('\r') {
            return Err(invalid("it has control characters".to_owned()));
        }
        if text.lines().any(|line| line.trim().is_empty()) {
            return Err(invalid("it has an empty line".to_owned()));
        }
        let paragraph: deb822_fast::Paragraph = text.parse().map_err(|error| invalid(format!("{error}")))?;
        let mut seen = std::collections::BTreeSet::new();
        for (name, _) in paragraph.iter() {
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(invalid(format!("it has `{name}` twice")));
            }
        }
        let needed = |name: &str| match paragraph.get(name).map(str::trim) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(invalid(format!("it has no `{name}`"))),
        };
        let package = needed("Package")?;
        let letters =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
        if !package.starts_with(|first: char| first.is_ascii_alphanumeric()) || !package.bytes().all(letters) {
            return Err(invalid(format!("`{package}` is not a package name")));
        }
        let architecture = needed("Architecture")?;
        if !architecture.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(invalid(format!("`{architecture}` is not an architecture")));
        }
        let version = needed("Version")?;
        let version = version.parse().map_err(|()| invalid(format!("`{version}` is not a version")))?;
        Ok(Self { package, version, architecture, text })
    }
}

impl Version {
    /// `upstream-revision`, as file names have it.
    pub(crate) fn without_epoch(&self) -> String {
        match &self.revision {
            Some(revision) => format!("{}-{revision}", self.upstream),
            None => self.upstream.clone(),
        }
    }
}

impl std::str::FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
                (epoch.parse().map_err(|_| ())?, rest)
            }
            Some(_) => return Err(()),
            None => (0, text),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((upstream, revision)) => (upstream, Some(revision)),
            None => (rest, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'~');
        let upstream_is_good = upstream.starts_with(|first: char| first.is_ascii_alphanumeric())
            && upstream.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b':'));
        let revision_is_good = revision.is_none_or(|revision| !revision.is_empty() && revision.bytes().all(plain));
        // A colon in the upstream part is legal on paper; no archive has one, and it would spoil the file name.
        if !upstream_is_good || !revision_is_good || upstream.contains(':') {
            return Err(());
        }
        Ok(Self { epoch, upstream: upstream.to_owned(), revision: revision.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<(u32, String, Option<String>)> {
        text.parse::<Version>().ok().map(|version| (version.epoch, version.upstream, version.revision))
    }

    #[test]
    fn a_version_is_split_at_its_first_colon_and_last_hyphen() {
        for (text, epoch, upstream, revision) in [
            ("8.15.5-ce.0", 0, "8.15.5", Some("ce.0")),
            ("1.0-7", 0, "1.0", Some("7")),
            ("3.1.0", 0, "3.1.0", None),
            ("1:2.38.1-5+deb12u3", 1, "2.38.1", Some("5+deb12u3")),
            ("0:1.0~rc1-beta-2", 0, "1.0~rc1-beta", Some("2")),
        ] {
            assert_eq!(version(text), Some((epoch, upstream.to_owned(), revision.map(str::to_owned))), "{text}");
        }
    }

    #[test]
    fn a_version_that_would_spoil_a_path_is_refused() {
        for text in ["", "-1", "1.0-", "x:1", "1/2", "../1", "1 2", "1:2:3", "99999999999:1", "~1", "1.0_2"] {
            assert_eq!(version(text), None, "{text:?} was taken for a version");
        }
    }

    fn read(text: &str) -> Result<Control, String> {
        text.parse::<Control>().map_err(|error| error.to_string())
    }

    #[test]
    fn a_control_file_is_read_whatever_its_legal_form() {
        let tug = read(
            "package: tug\nVERSION:3.1.0-1\nArchitecture: amd64\nDepends: libc6 (>= 2.31),\n adduser | systemd,\n\
             Conflicts:\nDescription: pulls ships\n Text with a\n   verbatim line\n .\n and an end\n\n",
        )
        .expect("every line of it is legal");
        assert_eq!(tug.filename(), "tug_3.1.0-1_amd64.deb");
        assert_eq!(
            tug.relations(),
            [("depends", vec!["libc6 (>= 2.31)".to_owned(), "adduser | systemd".to_owned()])],
            "an empty field is no relation"
        );
        assert!(tug.index_text().contains("\n   verbatim line\n .\n"), "{}", tug.index_text());
        let epoch = read("Package: a\nVersion: 2:1.0-1\nArchitecture: all\n").expect("an epoch is legal");
        assert_eq!(epoch.filename(), "a_1.0-1_all.deb");
    }

    #[test]
    fn a_control_file_that_could_forge_an_index_is_refused() {
        let good = "Package: a\nVersion: 1\nArchitecture: all\n";
        for (bad, why) in [
            (good.replace("Version: 1\n", ""), "it has no `Version`"),
            (good.replace('1', "1/../../2"), "is not a version"),
            (good.replace("a\n", "../a\n"), "is not a package name"),
            (good.replace("all", "a/b"), "is not an architecture"),
            (format!("{good}\nPackage: b\n"), "it has an empty line"),
            (format!("{good} \t\nPackage: b\n"), "it has an empty line"),
            (format!("{good}Package: b\n"), "it has `Package` twice"),
            (format!("{good}no colon\n"), "Unexpected token"),
            (format!("{good}A: b\r\n\r\nPackage: c\n"), "control characters"),
        ] {
            let said = read(&bad).err().unwrap_or_else(|| "it was taken".to_owned());
            assert!(said.contains(why), "{bad:?}: {said}");
        }
    }

    #[test]
    fn what_the_index_says_about_a_file_is_not_taken_from_the_package() {
        let control = read("Package: a\nsha256: 00\n more\nVersion: 1\nFilename: ../x\nArchitecture: all\n")
            .expect("these fields are odd but legal");
        assert_eq!(control.index_text(), "Package: a\nVersion: 1\nArchitecture: all\n");
    }

    #[test]
    fn a_file_that_is_no_deb_is_refused_with_a_reason() {
        for (bytes, why) in [
            (&b""[..], "is not a Debian package"),
            (b"PK\x03\x04 something else entirely, long enough for a header", "is not a Debian package"),
            (b"!<arch>\n", "debian-binary"),
        ] {
            let said = Control::of_deb(bytes).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains(why), "{bytes:?}: {said}");
        }
    }
}
