//! What images are called: a repository, a tag, and both together as people write them.

use std::fmt;
use std::str::FromStr;

use slipway_wire::Digest;

/// Most clients keep host and repository together to 255 characters (OCI distribution specification 1.1, "Pulling
/// manifests"), so a repository alone has no more.
const REPOSITORY_CHARACTERS_MAX: usize = 255;
/// OCI distribution specification 1.1, "Pulling manifests".
const TAG_CHARACTERS_MAX: usize = 128;

/// A repository of a registry: `team/app`.
///
/// Parts are divided by `/`; each is lower-case letters and digits, with single `.` or `_`, `__`, or any number of `-`
/// between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

/// Text that is not a repository of a registry.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a repository of a registry; write it as `team/app`: lower-case letters and digits, with `.`, `_`, `__` \
     or `-` between them"
)]
pub struct InvalidRepository(String);

impl Repository {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether one part of a repository's name keeps the rules: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_part(text: &str) -> bool {
    let is_separator = |c: char| matches!(c, '.' | '_' | '-');
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b));
    let separators = text.split(|c: char| !is_separator(c)).filter(|run| !run.is_empty());
    plain
        && !text.is_empty()
        && !text.starts_with(is_separator)
        && !text.ends_with(is_separator)
        && separators.into_iter().all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

impl FromStr for Repository {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        if text.len() <= REPOSITORY_CHARACTERS_MAX && text.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRepository(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name for one image of a repository, which may come to mean another: `17.3.1`, `latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// Text that is not a tag.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a tag: 1 to 128 of letters, digits, `_`, `.`, `-`, beginning with a letter, digit or `_`")]
pub struct InvalidTag(String);

impl Tag {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag under which referrers of an image are listed where a registry has no referrers API
    /// (OCI distribution specification 1.1, "Referrers tag schema").
    pub fn of_referrers(subject: &Digest) -> Self {
        Self(format!("sha256-{}", subject.hex()))
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let others = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if first && others && text.len() <= TAG_CHARACTERS_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTag(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One image of a repository: by what it is, or by what it is called now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// These bytes, for ever.
    Digest(Digest),
    /// Whatever has the tag.
    Tag(Tag),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
        }
    }
}

impl From<Digest> for Which {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl From<Tag> for Which {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

/// An image as people write it: `registry.example.com/team/app:17.3.1`, or with `@sha256:…`.
///
/// The registry is always written out. The short forms of Docker's client (`nginx` for `docker.io/library/nginx`, no tag
/// for `latest`) are not read: what is released is not guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host, and port where it has one.
    pub registry: String,
    /// The repository there.
    pub repository: Repository,
    /// Which of its images. A reference with a tag and a digest means the digest.
    pub which: Which,
}

/// Text that names no image.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` names no image: {why}; write it as `registry.example.com/team/app:17.3.1`")]
pub struct InvalidReference {
    text: String,
    why: String,
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |why: String| InvalidReference { text: text.chars().take(200).collect(), why };
        let (registry, rest) = text.split_once('/').ok_or_else(|| invalid("it names no registry".to_owned()))?;
        // A first part without a dot or a port is a directory of Docker Hub to some clients, and a host to others.
        let is_host = (registry == "localhost" || registry.contains(['.', ':'])) && !registry.ends_with(':');
        // A path is no host, however it is read: `../app`.
        let is_host = is_host && !registry.starts_with(['.', '-']) && !registry.contains("..");
        let plain = registry.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
        if !is_host || !plain || format!("https://{registry}").parse::<slipway_wire::Base>().is_err() {
            return Err(invalid(format!("`{registry}` is not a registry's host")));
        }
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (rest, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (name, None),
        };
        let repository = name.parse().map_err(|error: InvalidRepository| invalid(error.to_string()))?;
        let tag = tag.map(str::parse::<Tag>).transpose().map_err(|error| invalid(error.to_string()))?;
        let digest = digest.map(|digest| {
            if !digest.starts_with("sha256:") {
                return Err(invalid(format!("`{digest}` is not a `sha256:` digest")));
            }
            digest.parse::<Digest>().map_err(|error| invalid(error.to_string()))
        });
        let which = match (digest.transpose()?, tag) {
            (Some(digest), _) => digest.into(),
            (None, Some(tag)) => tag.into(),
            (None, None) => return Err(invalid("it has neither a tag nor a digest".to_owned())),
        };
        Ok(Self { registry: registry.to_owned(), repository, which })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, repository, which } = self;
        let divider = if matches!(which, Which::Tag(_)) { ':' } else { '@' };
        write!(f, "{registry}/{repository}{divider}{which}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_keeps_the_rules_of_the_specification() {
        for text in ["a", "app", "team/app", "a/b/c", "a.b", "a_b", "a__b", "a-b", "a---b", "0/1", "gitlab-ee.x/y__z"] {
            assert!(text.parse::<Repository>().is_ok(), "{text}");
        }
        let long = "a".repeat(256);
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", "-a", "a-", ".a", "a.", "é", "a b", "a:b", &long,
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_keeps_the_rules_of_the_specification() {
        let (long, longer) = ("a".repeat(128), "a".repeat(129));
        for text in ["latest", "17.3.1", "_x", "A-b_c.d", "1", &long] {
            assert!(text.parse::<Tag>().is_ok(), "{text}");
        }
        for text in ["", ".a", "-a", "a b", "a/b", "a:b", "17.3.1+ce.0", "é", &longer] {
            assert!(text.parse::<Tag>().is_err(), "{text}");
        }
    }

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_reference_names_registry_repository_and_image() {
        let by_digest = format!("registry.example.com/team/app@sha256:{HEX}");
        for (text, printed) in [
            ("registry.example.com/team/app:17.3.1", "registry.example.com/team/app:17.3.1"),
            ("127.0.0.1:5000/app:1", "127.0.0.1:5000/app:1"),
            ("localhost/app:1", "localhost/app:1"),
            ("[::1]:5000/app:1", "[::1]:5000/app:1"),
            (&by_digest, &by_digest),
            (&format!("registry.example.com/team/app:17.3.1@sha256:{HEX}"), &by_digest),
        ] {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(reference.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_released_is_not_guessed() {
        for (text, why) in [
            ("nginx", "names no registry"),
            ("nginx:1", "names no registry"),
            ("library/nginx:1", "not a registry's host"),
            ("registry.example.com/app", "neither a tag nor a digest"),
            ("registry.example.com/App:1", "not a repository"),
            ("registry.example.com/app:", "not a tag"),
            ("registry.example.com/app:a b", "not a tag"),
            ("registry.example.com/app@", "not a `sha256:` digest"),
            ("registry.example.com/app@sha256:00", "not a SHA-256 digest"),
            (&format!("registry.example.com/app@{HEX}"), "not a `sha256:` digest"),
            ("../app:1", "not a registry's host"),
            ("./app:1", "not a registry's host"),
            ("registry..example.com/app:1", "not a registry's host"),
            ("https://registry.example.com/app:1", "not a registry's host"),
            ("user@registry.example.com/app:1", "not a registry's host"),
            ("", "names no registry"),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
