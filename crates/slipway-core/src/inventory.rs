//! What staging, the public place and its index hold of one package at one moment.

use std::collections::BTreeSet;

use futures_util::future::join;
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
    /// What the staging repository has under the name. It counts while the public one has nothing.
    pub staging: Seen,
    /// What the public index serves under the name. It counts when the public repository has the approved
    /// bytes.
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

/// Where the package probably is. It says what is asked for beside the public place, so that one way to the server and
/// back is enough; what is seen does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// In staging alone.
    Staged,
    /// In the public place.
    Public,
}

/// Looks at the public place, and counts only what then matters: a staging place that is closed does not hide that a
/// package is out, and an index that cannot be read does not hide a conflict.
pub async fn observe(look: &impl Look, approved: &Digest, likely: Likely) -> Result<Inventory, Trouble> {
    let (public, staging, served) = match likely {
        Likely::Staged => {
            let (public, staging) = join(look.find(Side::Public), look.find(Side::Staging)).await;
            (public, Some(staging), None)
        }
        Likely::Public => {
            let (public, served) = join(look.find(Side::Public), look.served()).await;
            (public, None, Some(served))
        }
    };
    let mut public = public?;
    let staging = match (public, staging) {
        (Seen::Nothing, Some(staging)) => staging?,
        (Seen::Nothing, None) => look.find(Side::Staging).await?,
        (Seen::WithoutDigest | Seen::Digest(_), _) => Seen::Nothing,
    };
    // It may have been moved between the two looks, and then neither has seen it.
    let is_nowhere = public == Seen::Nothing && staging == Seen::Nothing;
    if is_nowhere {
        public = look.find(Side::Public).await?;
    }
    let served = match served {
        _ if public != Seen::Digest(*approved) => Served::NotListed,
        // What the index said before the public place had the package is no answer any more.
        Some(served) if !is_nowhere => served?,
        _ => look.served().await?,
    };
    Ok(Inventory { public, staging, served })
}
