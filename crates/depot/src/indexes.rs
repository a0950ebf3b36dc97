//! Which index files a repository has: a setting of each one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::compress::Compression;

/// A form of the list of an APT repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum PackagesFile {
    #[serde(rename = "Packages")]
    Plain,
    #[serde(rename = "Packages.gz")]
    Gzip,
    #[serde(rename = "Packages.xz")]
    Xz,
}

impl PackagesFile {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Gzip, Self::Xz];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "Packages",
            Self::Gzip => "Packages.gz",
            Self::Xz => "Packages.xz",
        }
    }
}

/// The index files of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Indexes {
    /// The forms of the APT list that are there and are named in `Release`.
    #[serde(default = "plain_and_gzip")]
    pub(crate) apt: BTreeSet<PackagesFile>,
    #[serde(default)]
    pub(crate) yum: Compression,
}

fn plain_and_gzip() -> BTreeSet<PackagesFile> {
    [PackagesFile::Plain, PackagesFile::Gzip].into()
}

impl Default for Indexes {
    fn default() -> Self {
        Self { apt: plain_and_gzip(), yum: Compression::default() }
    }
}
