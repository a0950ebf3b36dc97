//! Names of users, repositories and distro versions, checked once at the border: they become parts of paths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A repository: its owner and its name, written `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    owner: String,
    name: String,
}

/// A version of a distribution, written `ubuntu/jammy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Distro {
    name: String,
    version: String,
}

/// Text that cannot be a name here.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not {wanted}: letters, digits, `.`, `_` and `-`, not beginning with a `.`")]
pub struct InvalidName {
    text: String,
    wanted: &'static str,
}

/// A single name: it may become a folder, so neither `/` nor `..` can be in it.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn pair(text: &str, wanted: &'static str) -> Result<(String, String), InvalidName> {
    match text.split_once('/') {
        Some((first, second)) if is_name(first) && is_name(second) => Ok((first.to_owned(), second.to_owned())),
        _ => Err(InvalidName { text: text.chars().take(80).collect(), wanted }),
    }
}

impl Repository {
    pub(crate) fn new(owner: &str, name: &str) -> Result<Self, InvalidName> {
        format!("{owner}/{name}").parse()
    }

    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Distro {
    pub(crate) fn new(name: &str, version: &str) -> Result<Self, InvalidName> {
        format!("{name}/{version}").parse()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The version's index name, which is the codename of its APT repository.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

impl FromStr for Repository {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        pair(text, "a repository (`owner/name`)").map(|(owner, name)| Self { owner, name })
    }
}

impl FromStr for Distro {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        pair(text, "a distro version (`ubuntu/jammy`)").map(|(name, version)| Self { name, version })
    }
}

impl TryFrom<String> for Repository {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl TryFrom<String> for Distro {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

impl From<Distro> for String {
    fn from(distro: Distro) -> Self {
        distro.to_string()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        for bad in ["", "a", "../b", "a/..", "a/b/c", "a/.hidden", "a/b c", "a/", "/b", "a/b\0", "a/%2e"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad:?} was taken for a repository");
            assert!(bad.parse::<Distro>().is_err(), "{bad:?} was taken for a distro version");
        }
        assert_eq!("opensuse/42.1".parse::<Distro>().expect("it has only legal letters").version(), "42.1");
    }
}
