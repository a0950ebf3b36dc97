//! What staging, the public place and its index hold of one package at one moment.

use slipway_packagecloud::apt::{Served, Suite, served};
use slipway_packagecloud::{Account, Distro, Filename, Repository, find};
use slipway_wire::{Base, CallError, Digest, Http};

/// A repository that can be asked: its place's address and token are known.
#[derive(Clone, Debug)]
pub struct Store {
    /// The server, and who asks it.
    pub account: Account,
    /// The repository.
    pub repository: Repository,
    /// Addresses that its downloads may be redirected to.
    pub storage: Vec<Base>,
}

/// A file as one place's API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is not there.
    Nothing,
    /// It is there; its digest is not computed yet.
    WithoutDigest,
    /// It is there, with this digest.
    Digest(Digest),
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

/// Why a place could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Its API did not say.
    #[error("cannot look for `{filename}` in {repository}: {source}")]
    Find {
        /// The repository.
        repository: Repository,
        /// The file.
        filename: Filename,
        /// Why.
        source: CallError,
    },
    /// Its index could not be read.
    #[error("cannot read the {distro} index of {repository}: {source}")]
    Index {
        /// The repository.
        repository: Repository,
        /// The index.
        distro: Distro,
        /// Why.
        source: CallError,
    },
}

impl ObserveError {
    /// The call that failed.
    pub fn call(&self) -> &CallError {
        match self {
            Self::Find { source, .. } | Self::Index { source, .. } => source,
        }
    }
}

/// What one repository's API shows under a name.
pub async fn look(http: &impl Http, store: &Store, distro: &Distro, filename: &Filename) -> Result<Seen, ObserveError> {
    let found = find(http, &store.account, &store.repository, distro, filename).await;
    let found = found.map_err(|source| ObserveError::Find {
        repository: store.repository.clone(),
        filename: filename.clone(),
        source,
    })?;
    Ok(match found {
        None => Seen::Nothing,
        Some(found) => found.digest.map_or(Seen::WithoutDigest, Seen::Digest),
    })
}

/// Looks at the public place, and then only at what still matters: a staging place that is closed does not hide that a
/// package is out, and an index that cannot be read does not hide a conflict.
pub async fn observe(
    http: &impl Http,
    staging: &Store,
    public: &Store,
    distro: &Distro,
    filename: &Filename,
    approved: &Digest,
) -> Result<Inventory, ObserveError> {
    let in_public = look(http, public, distro, filename).await?;
    let in_staging =
        if in_public == Seen::Nothing { look(http, staging, distro, filename).await? } else { Seen::Nothing };
    let served = if in_public == Seen::Digest(*approved) {
        let suite = Suite {
            base: public.account.base(),
            repository: &public.repository,
            distro,
            // Asked as anybody would ask: "released" means that the public can install it.
            credential: None,
            storage: &public.storage,
        };
        served(http, &suite, filename).await.map_err(|source| ObserveError::Index {
            repository: public.repository.clone(),
            distro: distro.clone(),
            source,
        })?
    } else {
        Served::NotListed
    };
    Ok(Inventory { public: in_public, staging: in_staging, served })
}
