//! A Linux distribution in one version, in packagecloud's words: `ubuntu/jammy`, `el/9`.

use std::fmt;
use std::str::FromStr;

/// A distribution and a version of it: `ubuntu/jammy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distro {
    name: String,
    version: String,
}

/// Text that is not a [`Distro`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a distro version; write it as packagecloud does: `ubuntu/jammy`, `el/9`")]
pub struct InvalidDistro(String);

impl Distro {
    /// The distribution: `ubuntu`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, which is a codename where the distribution has codenames: `jammy`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Whether `part` can be one half of a distro version. Half a name must not be able to walk up an address.
fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && part != "."
        && part != ".."
}

impl FromStr for Distro {
    type Err = InvalidDistro;

    fn from_str(text: &str) -> Result<Self, InvalidDistro> {
        match text.split_once('/') {
            Some((name, version)) if text.len() <= 100 && is_part(name) && is_part(version) => {
                Ok(Self { name: name.to_owned(), version: version.to_owned() })
            }
            _ => Err(InvalidDistro(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

impl<'de> serde::Deserialize<'de> for Distro {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Distro {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distro_has_a_name_and_a_version() {
        for (text, name, version) in [
            ("ubuntu/jammy", "ubuntu", "jammy"),
            ("el/9", "el", "9"),
            ("opensuse/42.3", "opensuse", "42.3"),
            ("rpm_any/rpm_any", "rpm_any", "rpm_any"),
        ] {
            let distro: Distro = text.parse().expect("a distro version");
            assert_eq!((distro.name(), distro.version(), distro.to_string().as_str()), (name, version, text));
        }
    }

    #[test]
    fn other_text_is_no_distro() {
        let long = format!("ubuntu/{}", "x".repeat(100));
        for text in [
            "",
            "/",
            "ubuntu",
            "ubuntu/",
            "/jammy",
            "a/b/c",
            "Ubuntu/jammy",
            "../jammy",
            "ubuntu/..",
            "a/.",
            "a b/c",
            "é/x",
            &long,
        ] {
            assert!(text.parse::<Distro>().is_err(), "{text}");
        }
    }
}
