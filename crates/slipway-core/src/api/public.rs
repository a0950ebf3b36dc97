//! What is public, as those see it who may see nothing else.
//!
//! Absent on purpose: everything that the public place does not show by itself. These are types of their own, not a
//! release with parts left out: a field that a release is given one day is not here by that.

use serde::{Deserialize, Serialize};

use super::Location;
use crate::cargo::Kind;
use crate::release::{Key, TargetState, Version};
use slipway_wire::Digest;

/// A project, by the name that is in its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicProject {
    /// Its name in `slipway.toml`.
    pub name: String,
}

/// A release of which something is public, without its packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicSummary {
    /// The version.
    pub version: Version,
    /// What is public of it, in one sentence.
    pub verdict: String,
    /// How many of its packages are public.
    pub packages: u32,
    /// Since when it is as it is.
    pub at: String,
}

/// What is public of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicRelease {
    /// Its project.
    pub project: PublicProject,
    /// The version.
    pub version: Version,
    /// What is public of it, in one sentence.
    pub verdict: String,
    /// Since when it is as it is: the newest `since` of its targets.
    pub at: String,
    /// Its packages that are public somewhere, or were.
    pub packages: Vec<PublicPackage>,
}

/// A package that is public somewhere, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicPackage {
    /// Its stable name.
    pub key: Key,
    /// `deb`, `rpm` or `image`.
    pub kind: Kind,
    /// What it runs on, by its file's name. None for an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The file or the image.
    pub file: PublicFile,
    /// Where it is public, or was.
    pub targets: Vec<PublicTarget>,
}

/// A file or an image, without a word of where it was staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicFile {
    /// The file's name. None for an image, whose name is that of its public repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Its SHA-256; of an image, that of its manifest or index.
    pub digest: Digest,
    /// Its size in bytes; of an image, that of all its blobs together.
    pub size: u64,
}

/// A public place of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicTarget {
    /// The distro version, `ubuntu/jammy`. Empty for an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub distro: String,
    /// The tag of an image, `17.3.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where it is.
    pub public: Location,
    /// Whether it is there.
    pub state: PublicState,
    /// Since when.
    pub since: String,
    /// Where its attestation is: what Slipway has signed of its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
}

impl PublicTarget {
    /// What tells it from the other targets of its package: `ubuntu/jammy`, `:17.3.1`.
    pub fn name(&self) -> String {
        self.tag.as_ref().map_or_else(|| self.distro.clone(), |tag| format!(":{tag}"))
    }
}

/// The states of a target that are seen at the public place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicState {
    /// It is served.
    Released,
    /// It was, and has been taken back.
    Withdrawn,
}

impl PublicState {
    /// What of a target's state is public. `None`: nothing.
    pub fn of(state: TargetState) -> Option<Self> {
        match state {
            TargetState::Released => Some(Self::Released),
            TargetState::Withdrawn => Some(Self::Withdrawn),
            TargetState::Expected
            | TargetState::Staged
            | TargetState::Approved
            | TargetState::Releasing
            | TargetState::Conflict
            | TargetState::Failed
            | TargetState::Missing
            | TargetState::Skipped
            | TargetState::Expired => None,
        }
    }

    /// The target's state that it is.
    pub fn state(self) -> TargetState {
        match self {
            Self::Released => TargetState::Released,
            Self::Withdrawn => TargetState::Withdrawn,
        }
    }
}
