//! The words of a release: its version, its packages' keys, and the states of a target.

use std::fmt;
use std::str::FromStr;

/// Defines text with rules: private field, `FromStr`, `Display`, and serde through them.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $error:ident, $message:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        #[doc = concat!("Text that is not a [`", stringify!($name), "`].")]
        #[derive(Debug, thiserror::Error)]
        #[error($message)]
        pub struct $error(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                let holds: fn(&str) -> bool = $holds;
                if holds(text) { Ok(Self(text.to_owned())) } else { Err($error(text.chars().take(80).collect())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_type!(
    /// A package's stable name inside a release, without version: `ee-ubuntu-jammy-amd64`.
    Key,
    InvalidKey,
    "`{0}` is not a key: 1 to 63 of `a-z`, `0-9`, `.`, `_`, `-`, beginning with a letter or digit",
    |text| (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
);

text_type!(
    /// The version of a release: `17.3.1`, `17.3.1-rc1`, `17.3.1+ce.0`.
    Version,
    InvalidVersion,
    "`{0}` is not a version: 1 to 100 of letters, digits, `.`, `_`, `+`, `~`, `-`, beginning with a letter or digit",
    |text| (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !text.as_bytes().windows(2).any(|pair| pair == b"..")
);

/// How near to everybody a version is. At a destination the final ones go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maturity {
    /// For everybody.
    #[default]
    Final,
    /// A release candidate.
    Candidate,
    /// Built every night.
    Nightly,
}

impl Maturity {
    /// Its name in `slipway.toml` and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Candidate => "candidate",
            Self::Nightly => "nightly",
        }
    }
}

/// How far one target is. The only vocabulary: API, page, command line and documents use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// In the list, no bytes yet.
    Expected,
    /// In the private place, with the declared digest.
    Staged,
    /// Approved; a slot at the destination is awaited.
    Approved,
    /// Look, copy, accepted, in the index.
    Releasing,
    /// The public index serves the digest.
    Released,
    /// The public place has other bytes under that name.
    Conflict,
    /// A person is needed.
    Failed,
    /// Was staged, is gone, or is no longer what was declared.
    Missing,
    /// On purpose not shipped.
    Skipped,
    /// Cleaned up before its release.
    Expired,
    /// Taken back after its release.
    Withdrawn,
}

impl TargetState {
    /// Every state, in the order of a release's life.
    pub const ALL: [Self; 11] = [
        Self::Expected,
        Self::Staged,
        Self::Approved,
        Self::Releasing,
        Self::Released,
        Self::Conflict,
        Self::Failed,
        Self::Missing,
        Self::Skipped,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// The state's name in the API and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Staged => "staged",
            Self::Approved => "approved",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state as people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Expected => "Not staged yet",
            Self::Staged => "Staged",
            Self::Approved => "Waiting its turn",
            Self::Releasing => "Releasing",
            Self::Released => "Released",
            Self::Conflict => "Conflict",
            Self::Failed => "Failed",
            Self::Missing => "Missing",
            Self::Skipped => "Not shipped",
            Self::Expired => "Expired",
            Self::Withdrawn => "Withdrawn",
        }
    }

    /// Whether a promotion is under way.
    pub fn is_moving(self) -> bool {
        matches!(self, Self::Approved | Self::Releasing)
    }
}

impl FromStr for TargetState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.code() == text).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A state's name that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a state of a target")]
pub struct UnknownState(String);

/// How far a release is, from the states of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseState {
    /// Packages are still awaited.
    Expected,
    /// Every key is staged, or further, or skipped.
    Staged,
    /// Every target that is not skipped is released.
    Complete,
    /// A person gave it up.
    Closed,
}

impl ReleaseState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Expected, Self::Staged, Self::Complete, Self::Closed];

    /// The state's text in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Staged => "staged",
            Self::Complete => "complete",
            Self::Closed => "closed",
        }
    }
}
