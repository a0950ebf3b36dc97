//! What is shipped, and what a place calls it: a file for a distro version, or an image under a tag.
//!
//! Stored and sent as text, the two are told apart by characters that the other cannot have: an image is named with its
//! registry, so there is a `/` in it; a tag has a `:` in front. So what was stored before there were images is read as it
//! was.

use std::fmt;
use std::str::FromStr;

use slipway_oci::{Reference, Repository, Tag, Which};
use slipway_package::{Distro, Filename, PackageKind};
use slipway_wire::{Base, Digest};

/// The kind of what is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Debian's package.
    Deb,
    /// RPM's package.
    Rpm,
    /// A container image.
    Image,
}

/// Text that is not a [`Kind`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a kind of package; `deb`, `rpm` and `image` are")]
pub struct InvalidKind(String);

impl Kind {
    /// Its name in plans, in `slipway.toml` and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Image => "image",
        }
    }

    /// The kind of package that it is. `None` for an image.
    pub fn package(self) -> Option<PackageKind> {
        match self {
            Self::Deb => Some(PackageKind::Deb),
            Self::Rpm => Some(PackageKind::Rpm),
            Self::Image => None,
        }
    }
}

impl FromStr for Kind {
    type Err = InvalidKind;

    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        let kind = [Self::Deb, Self::Rpm, Self::Image].into_iter().find(|kind| kind.code() == text);
        kind.ok_or_else(|| InvalidKind(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A repository with its registry: `registry.example.com/team/app`. Which image of it is meant, a digest says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName(String);

/// Text that names no repository of a registry.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a repository with its registry; write it as `registry.example.com/team/app`")]
pub struct InvalidImageName(String);

impl ImageName {
    /// The repository of a registry at this address.
    pub fn of(registry: &Base, repository: &str) -> Self {
        let address = registry.as_str();
        let host = address.split_once("://").map_or(address, |(_, host)| host);
        Self(format!("{host}/{repository}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Host, and port where it has one, as references begin. Docker Hub has another name there than its API.
pub fn registry_name(address: &str) -> String {
    // Searched for as bytes: a browser loads this too, and a search of text brings two kilobytes with it.
    let scheme = address.as_bytes().windows(3).position(|bytes| bytes == b"://");
    let rest = scheme.and_then(|at| address.get(at + 3..)).unwrap_or(address);
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    if host == "registry-1.docker.io" { "docker.io".to_owned() } else { host }
}

impl FromStr for ImageName {
    type Err = InvalidImageName;

    fn from_str(text: &str) -> Result<Self, InvalidImageName> {
        let invalid = || InvalidImageName(text.chars().take(200).collect());
        // A reference has a tag or a digest behind it, a name has neither.
        let repository = text.split_once('/').map(|(_, repository)| repository.parse::<Repository>());
        let is_name = repository.is_some_and(|repository| repository.is_ok());
        match format!("{text}:any").parse::<Reference>() {
            Ok(_) if is_name => Ok(Self(text.to_owned())),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is shipped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cargo {
    /// A package's file.
    File(Filename),
    /// An image, in the repository where it was declared.
    Image(ImageName),
}

/// Text that is neither a file name nor an image.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCargo(String);

impl Cargo {
    /// Its name as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::File(filename) => filename.as_str(),
            Self::Image(name) => name.as_str(),
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Filename> {
        match self {
            Self::File(filename) => Some(filename),
            Self::Image(_) => None,
        }
    }
}

impl FromStr for Cargo {
    type Err = InvalidCargo;

    fn from_str(text: &str) -> Result<Self, InvalidCargo> {
        if text.contains('/') {
            text.parse().map(Self::Image).map_err(|error: InvalidImageName| InvalidCargo(error.to_string()))
        } else {
            let filename = text.parse::<Filename>();
            filename.map(Self::File).map_err(|error| InvalidCargo(error.to_string()))
        }
    }
}

impl From<Filename> for Cargo {
    fn from(filename: Filename) -> Self {
        Self::File(filename)
    }
}

impl fmt::Display for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a place calls it, beside the repository: a distro version, or a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetName {
    /// `ubuntu/jammy`.
    Distro(Distro),
    /// `:17.3.1`.
    Tag(Tag),
}

/// Text that is neither a distro version nor a tag.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTargetName(String);

impl FromStr for TargetName {
    type Err = InvalidTargetName;

    fn from_str(text: &str) -> Result<Self, InvalidTargetName> {
        match text.strip_prefix(':') {
            Some(tag) => tag.parse::<Tag>().map(Self::Tag).map_err(|error| InvalidTargetName(error.to_string())),
            None => text.parse::<Distro>().map(Self::Distro).map_err(|error| InvalidTargetName(error.to_string())),
        }
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distro(distro) => distro.fmt(f),
            Self::Tag(tag) => write!(f, ":{tag}"),
        }
    }
}

/// The tag in the text form of a target's name. `None` for a distro version.
pub fn tag_of(name: &str) -> Option<&str> {
    name.strip_prefix(':')
}

/// A target's name from an address, where a tag has no `:` in front: a distro version has a `/` in it.
pub fn target_in_path(text: &str) -> String {
    if text.contains('/') || text.starts_with(':') { text.to_owned() } else { format!(":{text}") }
}

/// What something has a digest under in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A file for one distro version.
    File(Distro, Filename),
    /// An image, by its tag or by what it is.
    Image(Which),
}

impl Name {
    /// The name of a target's bytes in a repository. `place` is the text form of the target's name, or `@` and a digest.
    pub fn of(place: &str, cargo: &Cargo) -> Result<Self, InvalidTargetName> {
        let wrong = |error: String| InvalidTargetName(error);
        if let Some(digest) = place.strip_prefix('@') {
            let digest: Digest = digest.parse().map_err(|error| wrong(format!("{error}")))?;
            return Ok(Self::Image(digest.into()));
        }
        match (place.parse()?, cargo) {
            (TargetName::Distro(distro), Cargo::File(filename)) => Ok(Self::File(distro, filename.clone())),
            (TargetName::Tag(tag), Cargo::Image(_)) => Ok(Self::Image(tag.into())),
            (name, cargo) => Err(wrong(format!("`{cargo}` does not go under `{name}`"))),
        }
    }
}

/// Under which text a target's bytes are staged: an image by what it is, since a tag of staging may be anything; a file
/// as it is public.
pub fn staged_under(target: &str, digest: &Digest) -> String {
    if tag_of(target).is_some() { format!("@{digest}") } else { target.to_owned() }
}

/// Serialised as their text, like all names.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

as_text!(Kind, Cargo, TargetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_there_were_images_reads_as_it_was() {
        for text in ["tug_3.1.0-1_amd64.deb", "a:b@c.rpm", "app", "team.app:1"] {
            let cargo: Cargo = text.parse().expect(text);
            assert!(matches!(&cargo, Cargo::File(name) if name.as_str() == text), "{text}");
            assert_eq!(serde_json::to_value(&cargo).expect("text"), text);
        }
        let target: TargetName = "ubuntu/jammy".parse().expect("a distro version");
        assert!(matches!(target, TargetName::Distro(_)));
        assert_eq!(target.to_string(), "ubuntu/jammy");
    }

    #[test]
    fn an_image_is_named_with_its_registry_and_a_target_of_it_by_its_tag() {
        for text in ["registry.example.com/team/app", "127.0.0.1:5001/app", "localhost/a/b/c"] {
            let cargo: Cargo = text.parse().expect(text);
            assert!(matches!(&cargo, Cargo::Image(name) if name.as_str() == text), "{text}");
            assert_eq!(cargo.to_string(), text);
        }
        let tag: TargetName = ":17.3.1".parse().expect("a tag");
        assert!(matches!(&tag, TargetName::Tag(tag) if tag.as_str() == "17.3.1"));
        assert_eq!(tag.to_string(), ":17.3.1");
        for (address, text) in [
            ("https://registry.example.com", "registry.example.com/team/app"),
            ("http://[::1]:5000", "[::1]:5000/team/app"),
        ] {
            let name = ImageName::of(&address.parse().expect("an address"), "team/app");
            assert_eq!(name.as_str(), text);
            assert_eq!(text.parse::<ImageName>().expect(text), name);
        }
    }

    #[test]
    fn a_name_with_a_tag_a_digest_or_without_a_registry_names_no_repository() {
        let digest = format!("registry.example.com/team/app@{}", Digest::of(b"x"));
        for text in ["team/app", "registry.example.com/team/app:1", &digest, "registry.example.com/", "/app", "a b/c"] {
            assert!(text.parse::<Cargo>().is_err(), "{text}");
        }
        for text in ["", ":", ":a/b", ":-1", "jammy"] {
            assert!(text.parse::<TargetName>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_is_staged_under_its_digest_and_public_under_its_tag() {
        let image: Cargo = "registry.example.com/team/app".parse().expect("an image");
        let digest = Digest::of(b"x");
        let staged = Name::of(&staged_under(":17.3.1", &digest), &image).expect("a name");
        assert_eq!(staged, Name::Image(Which::Digest(digest)));
        let public = Name::of(":17.3.1", &image).expect("a name");
        assert_eq!(public, Name::Image(Which::Tag("17.3.1".parse().expect("a tag"))));
        assert_eq!(staged_under("ubuntu/jammy", &digest), "ubuntu/jammy");
        assert!(Name::of("ubuntu/jammy", &image).is_err(), "an image is for no distribution");
    }

    #[test]
    fn a_tag_stands_in_an_address_without_its_colon() {
        for (text, name) in [("17.3.1", ":17.3.1"), ("ubuntu/jammy", "ubuntu/jammy"), (":17.3.1", ":17.3.1")] {
            assert_eq!(target_in_path(text), name);
        }
    }
}
