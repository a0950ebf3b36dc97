//! What a repository lists, and what is a stranger there: content that did not come through Slipway, or that differs from
//! what Slipway released.
//!
//! A repository is older than Slipway, as a rule. So the first time that it is read whole, what is there is its baseline;
//! strangers are what came later. Which is which depends on two things alone: what the records of the projects know of a
//! name, and whether the baseline has it with these bytes.

use serde::{Deserialize, Serialize};
use slipway_wire::Digest;

use crate::cargo::tag_of;
use crate::release::{Key, Version};
use crate::route::Site;

/// A repository that is read, and whose records are asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Where it is.
    pub site: Site,
    /// Whether a route releases into it.
    pub is_public: bool,
    /// The projects with routes here, by GitLab's id.
    pub projects: Vec<u64>,
}

/// One thing that a repository lists. Names stay text: a repository may hold what Slipway has no word for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listed {
    /// The distro version, or a tag with `:` in front, as targets are named. Empty where the server names none.
    pub under: String,
    /// The file's name. Empty for an image, which has none beside its tag.
    pub filename: String,
    /// Its bytes. `None` while the server has not computed that.
    pub digest: Option<Digest>,
}

impl Listed {
    /// What stands for it in a baseline: the SHA-256 of its three parts, a line each. A changed part makes it another.
    pub fn fingerprint(&self) -> Digest {
        let digest = self.digest.map(|digest| digest.hex()).unwrap_or_default();
        Digest::of(format!("{}\n{}\n{digest}\n", self.under, self.filename).as_bytes())
    }

    /// Its name for people: `ubuntu/jammy tug_3.1.0-1_amd64.deb`, or the tag.
    pub fn name(&self) -> String {
        let under = tag_of(&self.under).unwrap_or(&self.under);
        [under, &self.filename].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// One page of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What is on it.
    pub listed: Vec<Listed>,
    /// Where the next one begins, for whoever reads on. `None` at the end.
    pub next: Option<String>,
}

/// A page of a repository, for the record of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// The repository.
    pub site: Site,
    /// What is listed there.
    pub listed: Vec<Listed>,
}

/// What a record knows of one thing that a repository lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It came through Slipway, with these bytes.
    Ours,
    /// It is staged with these bytes, and nobody has released it: somebody else published it.
    Equal {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
    },
    /// Slipway has, or was told of, other bytes under this name.
    Differs {
        /// The release that says so.
        version: Version,
        /// The bytes that it says.
        expected: Digest,
    },
    /// It was taken back, and is there again.
    TakenBack {
        /// The release that it was taken back from.
        version: Version,
    },
    /// Another project of this deployment has other bytes under this name, or took it back. Which release that is, and which bytes,
    /// is for those who may read that project.
    Elsewhere {
        /// Whether it was taken back.
        taken_back: bool,
    },
    /// The record has never heard of it.
    Unknown,
}

impl Known {
    /// What several records know together. One that released it settles it, and one that contradicts is heard before one
    /// that knows nothing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |known: &Self| match known {
            Self::Ours => 0,
            Self::TakenBack { .. } => 1,
            Self::Equal { .. } => 2,
            Self::Differs { .. } | Self::Elsewhere { .. } => 3,
            Self::Unknown => 4,
        };
        if rank(&other) < rank(&self) { other } else { self }
    }

    /// What members of another project are told of it: no version and no digest that is not public.
    #[must_use]
    pub fn for_others(self) -> Self {
        match self {
            Self::Differs { .. } => Self::Elsewhere { taken_back: false },
            Self::TakenBack { .. } => Self::Elsewhere { taken_back: true },
            other => other,
        }
    }
}

/// Something in a public repository that did not come through Slipway, or that differs from what it released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// What it is.
    pub listed: Listed,
    /// What the records say of it.
    pub known: Known,
}

/// What a listed thing is, when everybody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to say: it came through Slipway, or it was there before.
    Known,
    /// It belongs to the baseline, which is being taken.
    Baseline,
    /// It is to be adopted as released outside, when the index serves it.
    Outside,
    /// It is a stranger.
    Stranger,
}

/// Judges one listed thing. `is_taken`: whether the baseline is complete. `in_baseline`: whether it has this.
///
/// What Slipway knows otherwise is a stranger whatever the baseline says: a repository that is adopted with other bytes
/// under a released name is not thereby right.
pub fn judge(known: &Known, in_baseline: bool, is_taken: bool) -> Verdict {
    match known {
        Known::Ours => Verdict::Known,
        Known::Equal { .. } => Verdict::Outside,
        Known::Unknown if in_baseline => Verdict::Known,
        Known::Unknown if !is_taken => Verdict::Baseline,
        Known::Differs { .. } | Known::TakenBack { .. } | Known::Elsewhere { .. } | Known::Unknown => Verdict::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(under: &str, filename: &str, contents: &[u8]) -> Listed {
        Listed { under: under.to_owned(), filename: filename.to_owned(), digest: Some(Digest::of(contents)) }
    }

    fn version() -> Version {
        "3.1.0".parse().expect("a version")
    }

    #[test]
    fn a_fingerprint_is_the_sha256_of_three_lines() {
        // printf 'ubuntu/jammy\ntug_1_amd64.deb\n%s\n' "$(printf x | sha256sum | cut -c1-64)" | sha256sum
        let fingerprint = listed("ubuntu/jammy", "tug_1_amd64.deb", b"x").fingerprint();
        assert_eq!(fingerprint.hex(), "552daf2dee82eb62462ee887d4fddd23e20c7dfa5c531598bbc35e76a11932c0");
        let others = [
            listed("ubuntu/noble", "tug_1_amd64.deb", b"x"),
            listed("ubuntu/jammy", "tug_2_amd64.deb", b"x"),
            listed("ubuntu/jammy", "tug_1_amd64.deb", b"y"),
            Listed { digest: None, ..listed("ubuntu/jammy", "tug_1_amd64.deb", b"x") },
        ];
        for other in others {
            assert_ne!(other.fingerprint(), fingerprint, "{}", other.name());
        }
    }

    #[test]
    fn a_stranger_is_what_nobody_knows_and_was_not_there_before() {
        let differs = Known::Differs { version: version(), expected: Digest::of(b"x") };
        let taken_back = Known::TakenBack { version: version() };
        let equal = Known::Equal { version: version(), key: "tug".parse().expect("a key") };
        for (known, in_baseline, is_taken, verdict) in [
            (Known::Ours, false, true, Verdict::Known),
            (Known::Unknown, true, true, Verdict::Known),
            (Known::Unknown, false, true, Verdict::Stranger),
            (Known::Unknown, false, false, Verdict::Baseline),
            (differs.clone(), false, true, Verdict::Stranger),
            // Other bytes under a released name are wrong, however long they have been there.
            (differs.clone(), true, true, Verdict::Stranger),
            (differs, false, false, Verdict::Stranger),
            (taken_back, true, true, Verdict::Stranger),
            (equal.clone(), false, true, Verdict::Outside),
            (equal, true, false, Verdict::Outside),
        ] {
            assert_eq!(judge(&known, in_baseline, is_taken), verdict, "{known:?} {in_baseline} {is_taken}");
        }
    }

    #[test]
    fn a_project_that_released_it_settles_what_others_do_not_know() {
        let differs = Known::Differs { version: version(), expected: Digest::of(b"x") };
        assert_eq!(Known::Unknown.and(Known::Ours), Known::Ours);
        assert_eq!(Known::Ours.and(differs.clone()), Known::Ours);
        assert_eq!(Known::Unknown.and(differs.clone()), differs);
        // What one project took back is not made good by another that only staged it.
        let taken_back = Known::TakenBack { version: version() };
        let equal = Known::Equal { version: version(), key: "tug".parse().expect("a key") };
        assert_eq!(equal.and(taken_back.clone()), taken_back);
    }

    #[test]
    fn a_name_for_people_has_no_empty_parts() {
        assert_eq!(listed("ubuntu/jammy", "tug.deb", b"").name(), "ubuntu/jammy tug.deb");
        assert_eq!(listed(":17.3.1", "", b"").name(), "17.3.1");
        assert_eq!(listed("", "tug.gem", b"").name(), "tug.gem");
    }
}
