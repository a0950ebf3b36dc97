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

/// All three at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// What the staging repository has under the name.
    pub staging: Seen,
    /// What the public repository has under the name.
    pub public: Seen,
    /// What the public index serves under the name.
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

/// Looks at all three. The index is read only when the public place has the file: it cannot serve it before.
pub async fn observe(
    http: &impl Http,
    staging: &Store,
    public: &Store,
    distro: &Distro,
    filename: &Filename,
) -> Result<Inventory, ObserveError> {
    let in_public = look(http, public, distro, filename).await?;
    let in_staging = look(http, staging, distro, filename).await?;
    let served = if in_public == Seen::Nothing {
        Served::NotListed
    } else {
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
    };
    Ok(Inventory { staging: in_staging, public: in_public, served })
}
