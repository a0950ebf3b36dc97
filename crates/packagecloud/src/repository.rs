//! A repository of packages: `user/repo`.

use std::fmt;
use std::str::FromStr;

/// A repository and the user who owns it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    user: String,
    repo: String,
}

/// Text that is not a [`Repository`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a repository; write it as `user/repository`")]
pub struct InvalidRepository(String);

impl Repository {
    /// The owner.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The repository's name at its owner.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The segments of an API address below this repository: `api/v1/repos/user/repo/…`.
    pub(crate) fn api<'a>(&'a self, rest: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
        ["api", "v1", "repos", &self.user, &self.repo].into_iter().chain(rest)
    }
}

/// Whether `part` can be a user's or a repository's name. It must not be able to walk up an address.
fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && part != "."
        && part != ".."
}

impl FromStr for Repository {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        match text.split_once('/') {
            Some((user, repo)) if text.len() <= 200 && is_part(user) && is_part(repo) => {
                Ok(Self { user: user.to_owned(), repo: repo.to_owned() })
            }
            _ => Err(InvalidRepository(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.repo)
    }
}

impl<'de> serde::Deserialize<'de> for Repository {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Repository {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_and_a_name() {
        let repository: Repository = "harbour-ci/Pre_release.2".parse().expect("a repository");
        assert_eq!((repository.user(), repository.repo()), ("harbour-ci", "Pre_release.2"));
        assert_eq!(repository.to_string(), "harbour-ci/Pre_release.2");
    }

    #[test]
    fn other_text_is_no_repository() {
        for text in ["", "harbour", "/x", "x/", "a/b/c", "../x", "x/..", "./x", "a b/c", "a/b?c", "a/b%2f"] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
    }
}
