//! A package's file name, and what it tells.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The name of a package's file, without a folder: `tug_3.1.0-1_amd64.deb`.
///
/// It becomes one segment of addresses and a value in a multipart header, so it cannot name a folder, climb out of one,
/// or hold control characters. Anything else is legal, as it is at packagecloud.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filename(String);

/// Text that is not a [`Filename`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a package's file name: 1 to 255 bytes, no folders, no control characters")]
pub struct InvalidFilename(String);

/// Text that is not a [`PackageKind`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a kind of package; `deb` and `rpm` are")]
pub struct InvalidPackageKind(String);

/// The kind of a package, which packagecloud works out from its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    /// Debian's.
    Deb,
    /// RPM's.
    Rpm,
}

impl PackageKind {
    /// The kind's name in packagecloud's answers.
    pub fn code(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

impl FromStr for PackageKind {
    type Err = InvalidPackageKind;

    fn from_str(text: &str) -> Result<Self, InvalidPackageKind> {
        match text {
            "deb" => Ok(Self::Deb),
            "rpm" => Ok(Self::Rpm),
            _ => Err(InvalidPackageKind(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for PackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for PackageKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for PackageKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl Filename {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of package that the name promises. `None` when it ends otherwise.
    pub fn kind(&self) -> Option<PackageKind> {
        match self.0.rsplit_once('.') {
            Some((_, "deb")) => Some(PackageKind::Deb),
            Some((_, "rpm")) => Some(PackageKind::Rpm),
            _ => None,
        }
    }

    /// The name that a server gives the file. Debian keeps the epoch out of the names of an archive's files, while
    /// `apt-get download` saves `tug_1%3a3.1.0-1_amd64.deb`.
    #[must_use]
    pub fn without_epoch(self) -> Self {
        let Some((package, rest)) = self.0.split_once('_').filter(|_| self.kind() == Some(PackageKind::Deb)) else {
            return self;
        };
        let after = ["%3a", "%3A", ":"].into_iter().find_map(|colon| rest.split_once(colon));
        match after {
            Some((epoch, version)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
                Self(format!("{package}_{version}"))
            }
            _ => self,
        }
    }

    /// The architecture in the name: `name_version_architecture.deb`, `name-version-release.architecture.rpm`.
    ///
    /// `None` when the name is not of that form, and for source packages, which are for no architecture.
    pub fn architecture(&self) -> Option<&str> {
        match self.kind()? {
            PackageKind::Deb => self.deb_architecture(),
            PackageKind::Rpm => self.rpm_architecture(),
        }
    }

    /// The architecture in an rpm's name. Version and release cannot hold a `-`, so the last two part the name from them.
    fn rpm_architecture(&self) -> Option<&str> {
        let (front, architecture) = self.0.strip_suffix(".rpm")?.rsplit_once('.')?;
        let plain = architecture.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !architecture.is_empty();
        let (front, release) = front.rsplit_once('-')?;
        let (name, version) = front.rsplit_once('-')?;
        let whole = [name, version, release].iter().all(|part| !part.is_empty());
        let source = matches!(architecture, "src" | "nosrc");
        (whole && plain && !source).then_some(architecture)
    }

    /// The architecture in a deb's name, `name_version_architecture.deb`.
    pub fn deb_architecture(&self) -> Option<&str> {
        let (front, architecture) = self.0.strip_suffix(".deb")?.rsplit_once('_')?;
        let plain = architecture.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (front.contains('_') && plain && !architecture.is_empty()).then_some(architecture)
    }
}

impl FromStr for Filename {
    type Err = InvalidFilename;

    fn from_str(text: &str) -> Result<Self, InvalidFilename> {
        let folder = text == "." || text == ".." || text.contains(['/', '\\']);
        if (1..=255).contains(&text.len()) && !folder && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFilename(text.chars().take(80).flat_map(char::escape_debug).collect()))
        }
    }
}

/// Names in sets and maps are looked for as text.
impl Borrow<str> for Filename {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Filename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Filename {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Filename {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_tells_its_kind_and_architecture() {
        for (text, kind, architecture) in [
            ("tug_3.1.0-1_amd64.deb", Some(PackageKind::Deb), Some("amd64")),
            ("tug_1%3a3.1.0~rc1+b2_kfreebsd-i386.deb", Some(PackageKind::Deb), Some("kfreebsd-i386")),
            ("tug-doc_3.1.0_all.deb", Some(PackageKind::Deb), Some("all")),
            ("tug-3.1.0-1.el9.x86_64.rpm", Some(PackageKind::Rpm), None),
            ("tug_amd64.deb", Some(PackageKind::Deb), None),
            ("tug_3.1.0_.deb", Some(PackageKind::Deb), None),
            ("tug_3.1.0_..deb", Some(PackageKind::Deb), None),
            ("tug.dsc", None, None),
            (".deb", Some(PackageKind::Deb), None),
        ] {
            let filename: Filename = text.parse().expect("a file name");
            assert_eq!((filename.kind(), filename.deb_architecture()), (kind, architecture), "{text}");
        }
    }

    #[test]
    fn an_architecture_is_read_from_names_of_both_kinds() {
        for (text, architecture) in [
            ("tug_3.1.0-1_amd64.deb", Some("amd64")),
            ("tug_1:3.1.0~rc1+b2-1_armhf.deb", Some("armhf")),
            ("tug.so.3_3.1.0_all.deb", Some("all")),
            ("tug_3.1.0_AMD64.deb", None),
            ("tug-3.1.0-1.el9.x86_64.rpm", Some("x86_64")),
            ("tug-3.1.0~rc1^git5+x-1.el9.x86_64.rpm", Some("x86_64")),
            ("tug-2:3.1.0-1.armv7hl.rpm", Some("armv7hl")),
            ("tug-ce-18.1.0-ce.0.el9.noarch.rpm", Some("noarch")),
            ("Tug.Boat_x-3.1.0_2-1.2.aarch64.rpm", Some("aarch64")),
            ("tug-3.1.0-1.PPC64.rpm", Some("PPC64")),
            // Source packages are for no architecture.
            ("tug-3.1.0-1.el9.src.rpm", None),
            ("tug-3.1.0-1.el9.nosrc.rpm", None),
            // Without a release, a version, a name or an architecture.
            ("tug-3.1.0.x86_64.rpm", None),
            ("tug.x86_64.rpm", None),
            ("-3.1.0-1.x86_64.rpm", None),
            ("tug--1.x86_64.rpm", None),
            ("tug-3.1.0-.x86_64.rpm", None),
            ("tug-3.1.0-1..rpm", None),
            ("tug-3.1.0-1.rpm", None),
            ("tug-3.1.0-1.x86-64.rpm", None),
            ("tug-3.1.0-1.x86_64.RPM", None),
            ("x86_64.rpm", None),
            (".rpm", None),
            ("tug-3.1.0-1.x86_64.dsc", None),
        ] {
            let filename: Filename = text.parse().expect("a file name");
            assert_eq!(filename.architecture(), architecture, "{text}");
        }
    }

    #[test]
    fn a_kind_is_written_as_packagecloud_does() {
        for (text, kind) in [("deb", PackageKind::Deb), ("rpm", PackageKind::Rpm)] {
            assert_eq!(text.parse::<PackageKind>().expect("a kind"), kind);
            assert_eq!(kind.to_string(), text);
            let json = format!("{text:?}");
            assert_eq!(serde_json::to_string(&kind).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<PackageKind>(&json).expect("JSON"), kind);
        }
        for text in ["", "Deb", "dsc", "debs"] {
            assert!(text.parse::<PackageKind>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_name_cannot_leave_its_folder_or_its_line() {
        let long = "x".repeat(256);
        for text in ["", ".", "..", "a/b.deb", "..\\b.deb", "a\r\nb.deb", "a\0.deb", "a\u{85}.deb", &long] {
            assert!(text.parse::<Filename>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refused_name_is_shown_on_one_line() {
        let error = "a\nb".parse::<Filename>().expect_err("a line break");
        assert!(error.to_string().contains(r"`a\nb`"), "{error}");
    }

    #[test]
    fn a_deb_is_filed_without_its_epoch() {
        for (saved, filed) in [
            ("tug_1%3a3.1.0-1_amd64.deb", "tug_3.1.0-1_amd64.deb"),
            ("tug_12:3.1.0_amd64.deb", "tug_3.1.0_amd64.deb"),
            ("tug_3.1.0_amd64.deb", "tug_3.1.0_amd64.deb"),
            ("tug_a%3a1_amd64.deb", "tug_a%3a1_amd64.deb"),
            ("tug_1:3.rpm", "tug_1:3.rpm"),
            ("tug.deb", "tug.deb"),
        ] {
            let name: Filename = saved.parse().expect("a file name");
            assert_eq!(name.without_epoch().as_str(), filed);
        }
    }
}
