//! A package that the depot holds.

use serde::{Deserialize, Serialize};

use crate::deb::Control;
use crate::names::{Distro, Repository};

/// Size and digests of a file, taken while it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) size: u64,
    pub(crate) md5: String,
    pub(crate) sha1: String,
    pub(crate) sha256: String,
    pub(crate) sha512: String,
}

/// One file in one repository, for one distro version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Package {
    /// The number of the push in the journal. It stays when the package is promoted.
    pub(crate) id: u64,
    pub(crate) repository: Repository,
    pub(crate) distro: Distro,
    pub(crate) filename: String,
    pub(crate) sums: Sums,
    pub(crate) control: Control,
    pub(crate) uploader: String,
    /// ISO 8601. It stays when the package is promoted.
    pub(crate) created_at: String,
}

/// What makes a package one: nothing else can have the same repository, distro version and filename.
pub(crate) type Key = (Repository, Distro, String);

impl Package {
    pub(crate) fn key(&self) -> Key {
        (self.repository.clone(), self.distro.clone(), self.filename.clone())
    }

    /// Where the file is in the APT repository of its distribution: the codename is in the path, so that files of
    /// one name for two distro versions never collide.
    pub(crate) fn pool_path(&self) -> String {
        let package = &self.control.package;
        // `liba` to `libz` have a folder each, as in Debian's own pool.
        let letters = if package.starts_with("lib") && package.len() > 3 { &package[..4] } else { &package[..1] };
        format!("pool/{}/main/{letters}/{package}/{}", self.distro.version(), self.filename)
    }
}
