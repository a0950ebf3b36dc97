//! What staging, the public place and its index hold of one package at one moment.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use slipway_wire::Digest;

use crate::trouble::Trouble;

/// A file as one place's API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// It is not there.
    Nothing,
    /// It is there; its digest is not computed yet.
    WithoutDigest,
    /// It is there, with this digest.
    Digest(Digest),
}

/// What an index says of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// It serves the file with these bytes.
    Digest(Digest),
    /// It lists the name more than once, with different bytes. Which ones a machine gets is open.
    Several(BTreeSet<Digest>),
    /// It does not list the file, or there is no index yet.
    NotListed,
    /// It is just being replaced: its parts do not belong together. Look again.
    InMotion,
}

impl From<BTreeSet<Digest>> for Served {
    fn from(digests: BTreeSet<Digest>) -> Self {
        let mut rest = digests.iter();
        match (rest.next(), rest.next()) {
            (None, _) => Self::NotListed,
            (Some(digest), None) => Self::Digest(*digest),
            _ => Self::Several(digests),
        }
    }
}

/// All three at one moment, as far as they matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// What the public repository has under the name.
    pub public: Seen,
    /// What the staging repository has under the name. It matters, and is looked at, while the public one has nothing.
    pub staging: Seen,
    /// What the public index serves under the name. It matters, and is read, when the public repository has the
    /// approved bytes.
    pub served: Served,
}

/// The two sides of a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the package is before its release.
    Staging,
    /// Where it is after.
    Public,
}

/// How one target is looked at. Every answer is of a moment after the question: an older one could not tell what a copy
/// has brought about. A host may answer many that ask at once from one reading.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Look {
    /// What a place's API shows under the name.
    async fn find(&self, side: Side) -> Result<Seen, Trouble>;

    /// What the public index serves under the name, read as anybody would read it: "released" means that everybody can
    /// install it.
    async fn served(&self) -> Result<Served, Trouble>;
}

/// Looks at the public place, and then only at what still matters: a staging place that is closed does not hide that a
/// package is out, and an index that cannot be read does not hide a conflict.
pub async fn observe(look: &impl Look, approved: &Digest) -> Result<Inventory, Trouble> {
    let mut public = look.find(Side::Public).await?;
    let staging = if public == Seen::Nothing { look.find(Side::Staging).await? } else { Seen::Nothing };
    // It may have been moved between the two looks, and then neither has seen it.
    if public == Seen::Nothing && staging == Seen::Nothing {
        public = look.find(Side::Public).await?;
    }
    let served = if public == Seen::Digest(*approved) { look.served().await? } else { Served::NotListed };
    Ok(Inventory { public, staging, served })
}
