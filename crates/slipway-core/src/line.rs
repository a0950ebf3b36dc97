//! Whether something is out, asked and answered in one line: `/p/tug/is/1.2.0/el/9/arm64`.
//!
//! What is asked about is read from the address alone, so that the words of an answer are the same whether there is
//! anything or not.
//!
//! Absent on purpose: a list of all distributions. `jammy` is whatever distro version of the release is called so.

use serde::Serialize;

use crate::api::{PublicPackage, PublicRelease, Release};
use crate::release::{Key, TargetState};
use crate::sight::kind;
use crate::verdict::package_state;

/// The most that is read of what is asked about.
const WORDS_MAX: usize = 200;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An image, by its tag: `:1.2.0`.
    Tag(String),
    /// A package by its key, or else a distro version: `ee-image`, `el9`, `jammy`.
    Word(String),
    /// A distro version, and what the package runs on: `el/9/arm64`, `el9/aarch64`, `ubuntu/jammy`.
    Distro {
        /// `el/9`, or what it is called in short.
        distro: String,
        /// As packages of Debian's name it: `arm64`.
        architecture: Option<String>,
    },
}

impl What {
    /// Reads the end of an address. `None` for what cannot be meant.
    pub fn read(segments: &[&str]) -> Option<Self> {
        if segments.iter().map(|segment| segment.len()).sum::<usize>() > WORDS_MAX {
            return None;
        }
        match segments {
            [word] => match word.strip_prefix(':') {
                Some(tag) => Some(Self::Tag(tag.to_owned())),
                None => Some(Self::Word((*word).to_owned())),
            },
            [word, last] => Some(match architecture(last) {
                Some(architecture) => {
                    Self::Distro { distro: in_full(word), architecture: Some(architecture.to_owned()) }
                }
                None => Self::Distro { distro: format!("{word}/{last}"), architecture: None },
            }),
            [name, version, last] => {
                let architecture = architecture(last).unwrap_or(last).to_owned();
                Some(Self::Distro { distro: format!("{name}/{version}"), architecture: Some(architecture) })
            }
            _ => None,
        }
    }

    /// As the answer names it: `el/9 arm64`.
    pub fn words(&self) -> String {
        match self {
            Self::Tag(tag) => format!(":{tag}"),
            Self::Word(word) => word.clone(),
            Self::Distro { distro, architecture: Some(architecture) } => format!("{distro} {architecture}"),
            Self::Distro { distro, architecture: None } => distro.clone(),
        }
    }

    fn is_key(&self, key: &Key) -> bool {
        matches!(self, Self::Word(word) if word == key.as_str())
    }

    /// Whether a target is meant. A package that runs on everything is meant whatever was asked for.
    fn is(&self, key: &Key, runs_on: Option<&str>, target: &str) -> bool {
        match self {
            Self::Tag(tag) => target.strip_prefix(':') == Some(tag),
            Self::Word(word) => is_called(target, word),
            Self::Distro { distro, architecture: None } => is_called(target, distro),
            Self::Distro { distro, architecture: Some(wanted) } => {
                let runs = match runs_on {
                    Some(own) => [wanted, "all"].contains(&architecture(own).unwrap_or(own)),
                    // Nothing was built yet: its key says it, as far as anything does.
                    None => key.as_str().split(['-', '_']).any(|part| architecture(part) == Some(wanted)),
                };
                is_called(target, distro) && runs
            }
        }
    }
}

/// Debian's name of an architecture, under whatever name it was given. `None` for what is none.
fn architecture(text: &str) -> Option<&'static str> {
    Some(match text {
        "amd64" | "x86_64" | "x64" => "amd64",
        "arm64" | "aarch64" => "arm64",
        "armhf" | "armv7hl" | "armv7l" | "armv7" => "armhf",
        "i386" | "i586" | "i686" | "x86" => "i386",
        "ppc64el" | "ppc64le" => "ppc64el",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        "all" | "noarch" => "all",
        _ => return None,
    })
}

/// `el9` is `el/9`. A codename is left as it is.
fn in_full(word: &str) -> String {
    let name_ends = word.find(|letter: char| letter.is_ascii_digit()).unwrap_or(word.len());
    match word.split_at_checked(name_ends) {
        Some((name, version)) if !name.is_empty() && !version.is_empty() => format!("{name}/{version}"),
        _ => word.to_owned(),
    }
}

/// Whether a distro version may be called this: `el/9`, `el9`, or by its codename, `jammy`. A bare number names none.
fn is_called(target: &str, name: &str) -> bool {
    let Some((os, version)) = target.split_once('/') else { return false };
    let is_codename = version.starts_with(|letter: char| letter.is_ascii_alphabetic());
    target == name
        || in_full(name) == target
        || name.strip_prefix(os) == Some(version)
        || (is_codename && version == name)
}

/// The answer, as JSON writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Whether what was asked about is public.
    pub released: bool,
    /// How far it is; of several, the one that most needs a person. None when it is not known, or not public.
    pub state: Option<TargetState>,
    /// Since when.
    pub since: Option<String>,
    /// The page that tells more.
    pub url: Option<String>,
}

/// One target that may be meant.
struct One {
    state: TargetState,
    since: String,
    path: [String; 2],
}

impl Line {
    /// The answer from what is public alone.
    pub fn of_public(what: &What, release: Option<&PublicRelease>, page: &str) -> Self {
        let packages = release.map(|release| release.packages.as_slice()).unwrap_or_default();
        let targets = |package: &PublicPackage| {
            let one = |target: &crate::api::PublicTarget| (target.name(), target.state.state(), target.since.clone());
            package.targets.iter().map(one).collect::<Vec<_>>()
        };
        let all = packages.iter().map(|package| (&package.key, package.architecture.clone(), targets(package)));
        Self::of(&found(what, all), page)
    }

    /// The answer for somebody who reads the release.
    pub fn of_whole(what: &What, release: &Release, page: &str) -> Self {
        let all = release.packages.iter().map(|package| {
            let runs_on = package.file.as_ref().and_then(kind).and_then(|(_, architecture)| architecture);
            let one = |target: &crate::api::Target| (target.name().into_owned(), target.state, target.since.clone());
            (&package.key, runs_on, package.targets.iter().map(one).collect::<Vec<_>>())
        });
        Self::of(&found(what, all), page)
    }

    fn of(found: &[One], page: &str) -> Self {
        if found.is_empty() {
            return Self { released: false, state: None, since: None, url: None };
        }
        let state = package_state(found.iter().map(|one| one.state));
        let url = match found {
            [One { path: [key, target], .. }] => format!("{page}/t/{key}/{target}"),
            _ => page.to_owned(),
        };
        Self {
            released: state == TargetState::Released,
            state: Some(state),
            since: found.iter().filter(|one| one.state == state).map(|one| one.since.clone()).max(),
            url: Some(url),
        }
    }
}

/// The targets that are meant: those of the key, if it is one.
fn found<'a>(
    what: &What,
    packages: impl Iterator<Item = (&'a Key, Option<String>, Vec<(String, TargetState, String)>)> + Clone,
) -> Vec<One> {
    let names_key = packages.clone().any(|(key, ..)| what.is_key(key));
    let mut found = Vec::new();
    for (key, runs_on, targets) in packages {
        for (name, state, since) in targets {
            if if names_key { what.is_key(key) } else { what.is(key, runs_on.as_deref(), &name) } {
                let target = name.trim_start_matches(':').to_owned();
                found.push(One { state, since, path: [key.to_string(), target] });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<What> {
        What::read(&text.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn what_is_asked_about_is_named_from_the_address_alone() {
        for (address, words) in [
            ("el/9/arm64", "el/9 arm64"),
            ("el9/arm64", "el/9 arm64"),
            ("el9/aarch64", "el/9 arm64"),
            ("opensuse15.6/x86_64", "opensuse/15.6 amd64"),
            ("jammy/x86_64", "jammy amd64"),
            ("ubuntu/jammy/amd64", "ubuntu/jammy amd64"),
            ("ubuntu/jammy", "ubuntu/jammy"),
            ("el/9", "el/9"),
            ("el9", "el9"),
            ("ee-image", "ee-image"),
            (":1.2.0", ":1.2.0"),
            ("el/9/sparc", "el/9 sparc"),
        ] {
            assert_eq!(read(address).map(|what| what.words()).as_deref(), Some(words), "{address}");
        }
        assert_eq!(read("a/b/c/d"), None);
        assert_eq!(read(&"a".repeat(201)), None);
    }

    #[test]
    fn a_target_is_meant_by_its_names_and_by_no_other() {
        let key: Key = "tug-el-9-arm64".parse().expect("a key");
        for (address, target, runs_on, is_meant) in [
            ("el/9/arm64", "el/9", Some("aarch64"), true),
            ("el9/arm64", "el/9", Some("aarch64"), true),
            ("el9/arm64", "el/9", None, true),
            ("el9/arm64", "el/9", Some("noarch"), true),
            ("el9", "el/9", Some("x86_64"), true),
            ("el9/amd64", "el/9", Some("aarch64"), false),
            ("el9/amd64", "el/9", None, false),
            ("el/8/arm64", "el/9", Some("aarch64"), false),
            ("9/arm64", "el/9", Some("aarch64"), false),
            ("jammy/x86_64", "ubuntu/jammy", Some("amd64"), true),
            ("jammy", "ubuntu/jammy", Some("amd64"), true),
            ("ubuntujammy", "ubuntu/jammy", Some("amd64"), true),
            ("jam", "ubuntu/jammy", Some("amd64"), false),
            (":1.2.0", ":1.2.0", None, true),
            (":1.2", ":1.2.0", None, false),
            ("1.2.0", ":1.2.0", None, false),
        ] {
            let what = read(address).expect(address);
            assert_eq!(what.is(&key, runs_on, target), is_meant, "{address} of {target} {runs_on:?}");
        }
    }
}
