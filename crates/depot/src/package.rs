//! A package that the depot holds.

use serde::{Deserialize, Serialize};

use crate::deb::Control;
use crate::names::{Distro, Repository};
use crate::query::path_part;
use crate::rpm::Rpm;

/// Size and digests of a file, taken while it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) size: u64,
    pub(crate) md5: String,
    pub(crate) sha1: String,
    pub(crate) sha256: String,
    pub(crate) sha512: String,
}

/// What a package says of itself. The names are those of its description in the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum About {
    #[serde(rename = "control")]
    Deb(Control),
    #[serde(rename = "rpm")]
    Rpm(Rpm),
}

impl About {
    /// The kind of package, as the API names it; also the end of its file name.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Deb(_) => "deb",
            Self::Rpm(_) => "rpm",
        }
    }

    /// The name that a file of this package has in every repository.
    pub(crate) fn filename(&self) -> String {
        match self {
            Self::Deb(control) => control.filename(),
            Self::Rpm(rpm) => rpm.filename(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Deb(control) => &control.package,
            Self::Rpm(rpm) => &rpm.name,
        }
    }

    pub(crate) fn architecture(&self) -> &str {
        match self {
            Self::Deb(control) => &control.architecture,
            Self::Rpm(rpm) => &rpm.architecture,
        }
    }

    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Deb(control) => &control.version.upstream,
            Self::Rpm(rpm) => &rpm.version,
        }
    }

    pub(crate) fn release(&self) -> Option<&str> {
        match self {
            Self::Deb(control) => control.version.revision.as_deref(),
            Self::Rpm(rpm) => Some(&rpm.release),
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        match self {
            Self::Deb(control) => control.version.epoch,
            Self::Rpm(rpm) => rpm.epoch.unwrap_or_default(),
        }
    }

    /// The version in the addresses of the API: joined for a deb, two parts of the path for an rpm.
    pub(crate) fn version_path(&self) -> String {
        match self {
            Self::Deb(control) => path_part(&control.version.without_epoch()),
            Self::Rpm(rpm) => format!("{}/{}", path_part(&rpm.version), path_part(&rpm.release)),
        }
    }

    /// The relations to other packages: kind, and one text for each.
    pub(crate) fn relations(&self) -> Vec<(String, Vec<String>)> {
        match self {
            Self::Deb(control) => {
                control.relations().into_iter().map(|(kind, texts)| (kind.to_owned(), texts)).collect()
            }
            Self::Rpm(rpm) => rpm.relations.clone(),
        }
    }
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
    #[serde(flatten)]
    pub(crate) about: About,
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

    /// Where a deb is in the APT repository of its distribution: the codename is in the path, so that files of
    /// one name for two distro versions never collide.
    pub(crate) fn pool_path(&self) -> String {
        let package = self.about.name();
        // `liba` to `libz` have a folder each, as in Debian's own pool.
        let letters = if package.starts_with("lib") && package.len() > 3 { &package[..4] } else { &package[..1] };
        format!("pool/{}/main/{letters}/{package}/{}", self.distro.version(), self.filename)
    }
}
