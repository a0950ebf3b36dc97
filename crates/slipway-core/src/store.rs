//! A repository at a package server. The one file of the core that knows which servers there are: another server is a
//! crate beside `packagecloud`, and an arm in each function here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::future::join;
use slipway_package::{Distro, Filename, PackageKind};
use slipway_packagecloud::{
    Account, Boundary, Distributions, Download, Index, ListDistributions, Promote, Promoted, Push, Pushed, Repository,
    find_all, locate, read_index,
};
pub use slipway_packagecloud::{Mark, Reading};
use slipway_wire::{
    Base, CallError, Digest, Http, Planted, Relay, RelayError, Relayed, TooSlow, Unreachable, call, planted,
};

use crate::config::PlaceKind;
use crate::inventory::Seen;
use crate::problem::Code;
use crate::trouble::{Trouble, TroubleKind};

/// A repository that can be asked: its place's address and token are known.
#[derive(Clone, Debug)]
pub enum Store {
    /// At packagecloud, packagecloud:enterprise or `depot`.
    Packagecloud {
        /// The server, and who asks it.
        account: Account,
        /// The repository.
        repository: Repository,
        /// Addresses that its downloads may be redirected to.
        storage: Vec<Base>,
    },
}

/// Why a text names no repository at servers of this kind, in one sentence.
pub fn not_a_repository(kind: PlaceKind, text: &str) -> Option<String> {
    match kind {
        PlaceKind::Packagecloud => text.parse::<Repository>().err().map(|error| error.to_string()),
    }
}

/// A file for one distro version: what has a digest of its own in a repository.
pub type Name = (Distro, Filename);

/// Which of a repository's indexes: one for each distro version and architecture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexName {
    /// The distro version.
    pub distro: Distro,
    /// What it is an index of.
    pub kind: PackageKind,
    /// The architecture.
    pub architecture: String,
}

impl IndexName {
    /// The index that must list a file.
    pub fn of(distro: &Distro, filename: &Filename) -> Result<Self, Trouble> {
        match (filename.kind(), filename.architecture()) {
            (Some(kind), Some(architecture)) => {
                Ok(Self { distro: distro.clone(), kind, architecture: architecture.to_owned() })
            }
            _ => Err(Trouble::lasting(
                Code::Refused,
                format!("`{filename}` names no architecture, so it is in no index"),
            )),
        }
    }
}

/// One file on its way from one store to another.
#[derive(Clone, Copy, Debug)]
pub struct Shipment<'a> {
    /// Its distro version.
    pub distro: &'a Distro,
    /// Its name.
    pub filename: &'a Filename,
    /// The approved bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

/// Why a file is not known to have arrived. The next look at the public place says what is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotShipped {
    /// The bytes are others than the approved ones: their digest, where their length was right. Nothing was accepted.
    Changed(Option<Digest>),
    /// At its own rate the copy cannot end in time. Nothing was accepted.
    TooSlow(TooSlow),
    /// The server has the name already; whose bytes are under it, it does not say.
    Taken,
    /// The approved bytes are there, under a name that nobody approved.
    Renamed(String),
    /// Anything else. The work may be done all the same.
    Trouble(Trouble),
}

impl From<Trouble> for NotShipped {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Store {
    /// The repository's name, for people.
    pub fn name(&self) -> impl fmt::Display {
        match self {
            Self::Packagecloud { repository, .. } => repository,
        }
    }

    /// The server's address.
    pub fn base(&self) -> &Base {
        match self {
            Self::Packagecloud { account, .. } => account.base(),
        }
    }

    /// What the server's API shows under several names, in as few requests as it takes. Names that it does not have are
    /// [`Seen::Nothing`].
    pub async fn find_all(&self, http: &impl Http, wanted: &BTreeSet<Name>) -> Result<BTreeMap<Name, Seen>, Trouble> {
        match self {
            Self::Packagecloud { account, repository, .. } => {
                let found = find_all(http, account, repository, wanted).await;
                let found = found.map_err(|error| {
                    let first = wanted.iter().next().map(|(_, filename)| filename.to_string()).unwrap_or_default();
                    let more = if wanted.len() > 1 { format!(" and {} more", wanted.len() - 1) } else { String::new() };
                    Trouble::of(&error, &format!("cannot look for `{first}`{more} in {repository}"))
                })?;
                let seen = |name: &Name| match found.get(name) {
                    None => Seen::Nothing,
                    Some(found) => found.digest.map_or(Seen::WithoutDigest, Seen::Digest),
                };
                Ok(wanted.iter().map(|name| (name.clone(), seen(name))).collect())
            }
        }
    }

    /// What the repository's index lists under several names, asked as anybody would ask.
    pub async fn read_index(
        &self,
        http: &impl Http,
        name: &IndexName,
        known: Option<&Mark>,
        wanted: &BTreeSet<Filename>,
    ) -> Result<Reading, Trouble> {
        match self {
            Self::Packagecloud { account, repository, storage } => {
                let index = Index {
                    base: account.base(),
                    repository,
                    distro: &name.distro,
                    kind: name.kind,
                    architecture: &name.architecture,
                    credential: None,
                    storage,
                };
                read_index(http, &index, known, wanted).await.map_err(|error| {
                    let IndexName { distro, architecture, .. } = name;
                    Trouble::of(&error, &format!("cannot read the {distro} {architecture} index of {repository}"))
                })
            }
        }
    }

    /// The distributions that the server knows.
    pub async fn distributions(&self, http: &impl Http) -> Result<Distributions, Trouble> {
        match self {
            Self::Packagecloud { account, .. } => {
                let list = call(http, &ListDistributions { account }).await;
                list.map_err(|error| {
                    Trouble::of(&error, &format!("cannot read the distributions of {}", account.base()))
                })
            }
        }
    }

    /// Copies a file from `staging` to here. The last bytes are withheld unless all together have the approved digest. `Ok`
    /// when the server says that it has stored them.
    pub async fn copy_from(
        &self,
        http: &(impl Http + Relay),
        staging: &Self,
        shipment: &Shipment<'_>,
        random: [u8; 16],
    ) -> Result<(), NotShipped> {
        match (staging, self) {
            (
                Self::Packagecloud { account: from, repository: source, storage },
                Self::Packagecloud { account: to, repository, .. },
            ) => {
                let Shipment { distro, filename, digest, size } = *shipment;
                let failed =
                    |doing: &str, error: &CallError| Trouble::of(error, &format!("cannot {doing} `{filename}`"));
                let kind = filename.kind().ok_or_else(|| {
                    Trouble::lasting(Code::Refused, format!("`{filename}` is no kind of package that Slipway knows"))
                })?;
                let download = Download { account: from, repository: source, distro, filename };
                let (distributions, address) =
                    join(call(http, &ListDistributions { account: to }), locate(http, &download)).await;
                let distributions = distributions.map_err(|error| failed("find the distribution of", &error))?;
                let distro_version_id = distributions.id(kind, distro).ok_or_else(|| {
                    let what = format!("{} does not know the distribution `{distro}` for {kind} packages", to.base());
                    Trouble::lasting(Code::UnknownDistro, what)
                })?;
                let address = address.map_err(|error| failed("download", &error))?;
                if !address.is_at(storage.iter().chain([from.base()])) {
                    let what = format!(
                        "{} redirects the download of `{filename}` to {}, which the place's `storage` does not list",
                        from.base(),
                        address.host()
                    );
                    return Err(Trouble::lasting(Code::ForeignStorage, what).into());
                }
                let boundary = Boundary::new(random);
                let push = Push { account: to, repository, distro_version_id, filename, boundary: &boundary };
                let unsendable = |error: http::Error| failed("send", &CallError::Unsendable(error.to_string()));
                let source = address.request().map_err(unsendable)?;
                let transfer = push.upload(size).map_err(unsendable)?.transfer(source, size, digest);
                let answer = match http.relay(transfer).await {
                    Ok(Relayed::Answered(answer) | Relayed::AnsweredEarly(answer)) => answer,
                    Ok(Relayed::Withheld { found, .. }) => return Err(NotShipped::Changed(found)),
                    Err(RelayError::TooSlow(slow)) => return Err(NotShipped::TooSlow(slow)),
                    Err(RelayError::Source(status)) => {
                        let host = address.host();
                        let what = format!("cannot download `{filename}`: its storage, {host}, answered {status}");
                        return Err(Trouble::passing(what).seen_at(host, status).into());
                    }
                    Err(RelayError::Broken(Unreachable { host, why })) => {
                        let broken = CallError::Unreachable(Unreachable { host, why });
                        return Err(failed("copy", &broken).into());
                    }
                };
                match push.parse(&answer) {
                    Ok(Pushed::Created(_)) => Ok(()),
                    Ok(Pushed::Duplicate) => Err(NotShipped::Taken),
                    Ok(Pushed::Renamed(package)) => Err(NotShipped::Renamed(package.filename)),
                    Err(error) => Err(failed("push", &error).into()),
                }
            }
        }
    }

    /// Has the server move a file from `staging` to here: by its name, whatever bytes have it at that moment.
    pub async fn move_from(&self, http: &impl Http, staging: &Self, shipment: &Shipment<'_>) -> Result<(), NotShipped> {
        match (staging, self) {
            (
                Self::Packagecloud { account: from, repository: source, .. },
                Self::Packagecloud { account: to, repository, .. },
            ) => {
                let Shipment { distro, filename, .. } = *shipment;
                if from.base() != to.base() {
                    let what = format!("{} cannot move a file to {}: they are two servers", from.base(), to.base());
                    return Err(Trouble::lasting(Code::NotConfigured, what).into());
                }
                // The account of the public place: it must be a collaborator of the staging repository.
                let promote = Promote { account: to, from: source, to: repository, distro, filename };
                let mut moved = call(http, &promote).await;
                if moved.is_err() && planted(Planted::RetriesAMoveBlindly) {
                    moved = call(http, &promote).await;
                }
                match moved {
                    Ok(Promoted::Moved(_)) => Ok(()),
                    Ok(Promoted::Taken) => Err(NotShipped::Taken),
                    Err(error) => {
                        let mut trouble = Trouble::of(&error, &format!("cannot move `{filename}` to {repository}"));
                        // A file that is not there may have been moved a moment ago, by a request whose answer was lost.
                        if trouble.evidence.as_ref().is_some_and(|evidence| evidence.status == Some(404)) {
                            trouble.kind = TroubleKind::Passing;
                        }
                        Err(trouble.into())
                    }
                }
            }
        }
    }
}
