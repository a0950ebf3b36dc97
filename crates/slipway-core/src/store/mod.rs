//! A repository at a package server or a registry. The one module of the core that knows which servers there are: another
//! server is a crate beside `packagecloud` and `oci`, and an arm in each function here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::future::join;
use http::StatusCode;
use serde::{Deserialize, Serialize};
pub use slipway_oci::{Around, Artifact, Going, Kept, Look};
use slipway_oci::{Tag, Which};
use slipway_package::{Distro, Filename, PackageKind};
use slipway_packagecloud::{
    Account, Boundary, Deleted, Distributions, Download, Index, ListDistributions, Promote, Promoted, Push, Pushed,
    Repository, Search, delete, find, find_all, locate, read_index,
};
pub use slipway_packagecloud::{Mark, Reading};
use slipway_wire::{
    Base, CallError, Digest, Http, Planted, Relay, RelayError, Relayed, Token, TooSlow, Unreachable, call, planted,
};

use crate::cargo::{Cargo, Name, TargetName};
use crate::config::PlaceKind;
use crate::inventory::{Seen, Served};
use crate::problem::Code;
use crate::sweep::{Listed, Page};
use crate::trouble::{Trouble, TroubleKind};

mod age;
mod depends;
mod image;
#[cfg(test)]
mod tests;

pub use age::server_time;
pub use image::Registry;

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
    /// At a registry of images.
    Registry(Box<Registry>),
}

/// Whether an answer says that a server does not do what it was asked for at all.
fn is_never_done(status: StatusCode) -> bool {
    [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED].contains(&status)
}

/// Why a text names no repository at servers of this kind, in one sentence.
pub fn not_a_repository(kind: PlaceKind, text: &str) -> Option<String> {
    match kind {
        PlaceKind::Packagecloud => text.parse::<Repository>().err().map(|error| error.to_string()),
        PlaceKind::Registry => text.parse::<slipway_oci::Repository>().err().map(|error| error.to_string()),
    }
}

/// The address of a file or an image itself, as its server has it. `under` is the text form of a target's name, or `@` and the
/// digest of an image.
pub fn address(kind: PlaceKind, base: &Base, repository: &str, under: &str, cargo: &Cargo) -> String {
    match kind {
        PlaceKind::Packagecloud => {
            let (repository, distro) = (repository.split('/'), under.split('/'));
            base.url(repository.chain(["packages"]).chain(distro).chain([cargo.as_str()]))
        }
        PlaceKind::Registry => {
            let which = under.strip_prefix(['@', ':']).unwrap_or(under);
            base.join(&format!("/v2/{repository}/manifests/{which}"))
        }
    }
}

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

/// A file or an image on its way from one store to another.
#[derive(Clone, Copy, Debug)]
pub struct Shipment<'a> {
    /// Its distro version, or its tag.
    pub target: &'a TargetName,
    /// What it is.
    pub cargo: &'a Cargo,
    /// The approved bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

impl<'a> Shipment<'a> {
    /// The distro version and the name of a file.
    fn file(&self) -> Result<(&'a Distro, &'a Filename), Trouble> {
        match (self.target, self.cargo) {
            (TargetName::Distro(distro), Cargo::File(filename)) => Ok((distro, filename)),
            (target, cargo) => Err(misplaced(cargo, target)),
        }
    }
}

fn misplaced(cargo: &Cargo, target: &TargetName) -> Trouble {
    Trouble::lasting(
        Code::NotConfigured,
        format!("`{cargo}` cannot be brought to `{target}`: a place holds packages or images"),
    )
}

/// What a host lends to a copy: chance, and what is remembered and counted of many blobs.
pub trait Courier {
    /// Random bits, for the borders of a multipart body.
    fn random(&self) -> [u8; 16];

    /// The address at which the upload of a blob goes on that broke off. It may be a key.
    fn broken_off(&self, _blob: &Digest) -> Option<Token> {
        None
    }

    /// An upload goes on at this address, or is over.
    fn goes_on_at(&self, _blob: &Digest, _address: Option<Token>) {}

    /// So many bytes more have arrived.
    fn arrived(&self, _bytes: u64) {}

    /// Floating tags are about to be set. They are written down before this returns; `false` when they cannot be.
    fn floats(&self, _floated: Vec<Floated>) -> bool {
        true
    }
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

/// What became of a file or an image that was to be taken out of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, as far as the server says; lists and indexes may show it for a while.
    Whole,
    /// The image's tag is gone. The image stays, by its digest, or parts of it do, for the reason that is given.
    TagOnly(String),
    /// It was not there. That alone proves nothing: what is not seen may be out of sight.
    Absent,
    /// Other bytes have its name, and stay.
    Other(Digest),
    /// Nothing was deleted, since something that stays needs it: what that is.
    Needed(String),
    /// Nothing was deleted, since the server does not do that: what it said.
    Unsupported(String),
}

/// What is known of the other tags of a repository out of which an image is taken by its tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Tags of the image that go, too.
    pub with: BTreeSet<Tag>,
    /// The final tags that Slipway has released there and not taken back, and their images. A floating tag leads back to one
    /// of these alone: of whatever else is there, nobody knows whether it was ever meant to be had.
    pub released: BTreeMap<Tag, Digest>,
}

/// Where a floating tag leads when the image to which it leads now is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatsBack {
    /// The tag.
    pub tag: Tag,
    /// The final tag of the newest version that is left of those that Slipway released. `None`: there is none, so the tag
    /// goes, too.
    pub to: Option<Tag>,
}

/// A floating tag that was set, or taken away: written down before that is done, since nothing tells of it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floated {
    /// The tag.
    pub tag: String,
    /// Where it led.
    pub before: Option<Digest>,
    /// Where it leads from then on. `None`: it is gone.
    pub after: Option<Digest>,
}

impl Floated {
    /// Adds what is done next. Whoever was cut off before it was done does the same again.
    pub fn add(all: &mut Vec<Self>, more: Vec<Self>) {
        for floated in more {
            if !all.contains(&floated) {
                all.push(floated);
            }
        }
    }
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
            Self::Packagecloud { repository, .. } => repository.to_string(),
            Self::Registry(registry) => registry.repository.to_string(),
        }
    }

    /// The server's address.
    pub fn base(&self) -> &Base {
        match self {
            Self::Packagecloud { account, .. } => account.base(),
            Self::Registry(registry) => &registry.registry.base,
        }
    }

    /// What the server's API shows under several names, in as few requests as it takes. Names that it does not have are
    /// [`Seen::Nothing`].
    pub async fn find_all(&self, http: &impl Http, wanted: &BTreeSet<Name>) -> Result<BTreeMap<Name, Seen>, Trouble> {
        match self {
            Self::Packagecloud { account, repository, .. } => {
                let file = |name: &Name| match name {
                    Name::File(distro, filename) => Some((distro.clone(), filename.clone())),
                    Name::Image(_) => None,
                };
                let files: BTreeSet<(Distro, Filename)> = wanted.iter().filter_map(file).collect();
                let found = find_all(http, account, repository, &files).await;
                let found = found.map_err(|error| {
                    let first = files.iter().next().map(|(_, filename)| filename.to_string()).unwrap_or_default();
                    let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
                    Trouble::of(&error, &format!("cannot look for `{first}`{more} in {repository}"))
                })?;
                let seen = |name: &Name| match file(name).and_then(|file| found.get(&file)) {
                    None => Seen::Nothing,
                    Some(found) => found.digest.map_or(Seen::WithoutDigest, Seen::Digest),
                };
                Ok(wanted.iter().map(|name| (name.clone(), seen(name))).collect())
            }
            Self::Registry(registry) => registry.find_all(http, wanted).await,
        }
    }

    /// One page of all that the repository lists, in one request. Of a registry's tags each is asked for, too: a list has
    /// no digests. `from` is where the page before said that it begins.
    pub async fn page(&self, http: &impl Http, from: Option<&str>) -> Result<Page, Trouble> {
        match self {
            Self::Packagecloud { account, repository, .. } => {
                let page = from.map_or(Some(1), |from| from.parse().ok());
                let page = page.ok_or_else(|| Trouble::passing(format!("`{from:?}` is no page of {repository}")))?;
                let listed = call(http, &Search { account, repository, q: "", dist: None, page }).await;
                let listed =
                    listed.map_err(|error| Trouble::of(&error, &format!("cannot list page {page} of {repository}")))?;
                let next = listed.next.map(|next| next.to_string());
                let listed = listed.packages.into_iter().map(|package| Listed {
                    under: package.distro_version.unwrap_or_default(),
                    filename: package.filename,
                    digest: package.sha256sum,
                });
                Ok(Page { listed: listed.collect(), next })
            }
            Self::Registry(registry) => registry.page(http, from).await,
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
            Self::Registry(registry) => Err(registry.has_no_packages()),
        }
    }

    /// What anybody gets who asks for an image by its tag.
    pub async fn served(&self, http: &impl Http, tag: &Tag) -> Result<Served, Trouble> {
        match self {
            Self::Packagecloud { account, .. } => {
                Err(Trouble::lasting(Code::NotConfigured, format!("{} holds no images", account.base())))
            }
            Self::Registry(registry) => registry.served(http, tag).await,
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
            Self::Registry(registry) => Err(registry.has_no_packages()),
        }
    }

    /// Copies a file or an image from `staging` to here. The last bytes of a file, and of each blob, are withheld unless all together have the approved digest. `Ok`
    /// when the server says that it has stored them.
    pub async fn copy_from(
        &self,
        http: &(impl Http + Relay),
        staging: &Self,
        shipment: &Shipment<'_>,
        courier: &impl Courier,
    ) -> Result<(), NotShipped> {
        match (staging, self) {
            (
                Self::Packagecloud { account: from, repository: source, storage },
                Self::Packagecloud { account: to, repository, .. },
            ) => {
                let Shipment { digest, size, .. } = *shipment;
                let (distro, filename) = shipment.file()?;
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
                let boundary = Boundary::new(courier.random());
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
            (Self::Registry(from), Self::Registry(to)) => to.copy_from(http, from, shipment, courier).await,
            _ => Err(misplaced(shipment.cargo, shipment.target).into()),
        }
    }

    /// Attaches some bytes to an image that is here. Their digest as an artifact, or `None` where the image is not here any more.
    ///
    /// Nobody else may bring anything to the repository meanwhile: where the registry keeps no list of referrers, this writes it.
    pub async fn attach(
        &self,
        http: &impl Http,
        image: Digest,
        artifact: Artifact<'_>,
    ) -> Result<Option<Digest>, NotShipped> {
        match self {
            Self::Registry(registry) => registry.attach(http, image, artifact).await,
            Self::Packagecloud { account, .. } => {
                let what = format!("{} holds no images", account.base());
                Err(Trouble::lasting(Code::NotConfigured, what).into())
            }
        }
    }

    /// Takes a file or an image out of the repository, if it has exactly these bytes: the look is as near to the deletion
    /// as it can be, since a package server deletes by name. A tag's image goes whole, if no other tag leads to it; an
    /// image that is named by its digest goes with all its tags. `kept` are images here that stay although no tag may
    /// lead to them; a package server has no use for it.
    ///
    /// Cut off anywhere, it goes on when it is asked again. An error settles nothing: look again.
    pub async fn remove(&self, http: &impl Http, name: &Name, digest: Digest, kept: &Kept) -> Result<Removed, Trouble> {
        match (self, name) {
            (Self::Packagecloud { account, repository, .. }, Name::File(distro, filename)) => {
                let failed = |doing: &str, error: &CallError| {
                    Trouble::of(error, &format!("cannot {doing} `{filename}` for {distro} in {repository}"))
                };
                let found = find(http, account, repository, distro, filename).await;
                match found.map_err(|error| failed("look for", &error))?.map(|found| found.digest) {
                    None => return Ok(Removed::Absent),
                    Some(None) => {
                        let what = format!("{repository} has not told the SHA-256 of `{filename}` for {distro} yet");
                        return Err(Trouble::passing(what));
                    }
                    Some(Some(other)) if other != digest => return Ok(Removed::Other(other)),
                    Some(Some(_)) => {}
                }
                match delete(http, account, repository, distro, filename).await {
                    Ok(Deleted::Deleted) => Ok(Removed::Whole),
                    Ok(Deleted::WasGone) => Ok(Removed::Absent),
                    // A server, or what stands in front of it, that deletes nothing says the same whenever it is asked.
                    Err(error) if error.status().is_some_and(is_never_done) => {
                        Ok(Removed::Unsupported(error.to_string()))
                    }
                    Err(error) => Err(failed("delete", &error)),
                }
            }
            (Self::Registry(registry), Name::Image(which)) => registry.remove(http, which, digest, kept).await,
            (Self::Registry(registry), Name::File(..)) => Err(registry.has_no_packages()),
            (Self::Packagecloud { account, .. }, Name::Image(_)) => {
                Err(Trouble::lasting(Code::NotConfigured, format!("{} holds no images", account.base())))
            }
        }
    }

    /// What would go with a file or an image, and what of it would stay for whose need. Nothing is deleted. With a file goes
    /// nothing else.
    pub async fn look(
        &self,
        http: &impl Http,
        name: &Name,
        digest: Digest,
        around: Around<'_>,
    ) -> Result<Look, Trouble> {
        match (self, name) {
            (Self::Registry(registry), Name::Image(which)) => registry.look(http, which, digest, around).await,
            _ => Ok(Look::Goes(Going::default())),
        }
    }

    /// As [`Store::remove`], of an image as a look has shown it a moment ago.
    pub async fn take_out(
        &self,
        http: &impl Http,
        name: &Name,
        digest: Digest,
        going: &Going,
    ) -> Result<Removed, Trouble> {
        match (self, name) {
            (Self::Registry(registry), Name::Image(_)) => registry.take_out(http, digest, going).await,
            _ => self.remove(http, name, digest, &Kept::default()).await,
        }
    }

    /// Which of some parts of images are here.
    pub async fn parts_here(&self, http: &impl Http, parts: &[Digest]) -> Result<Vec<Digest>, Trouble> {
        match self {
            Self::Registry(registry) => registry.parts_here(http, parts).await,
            Self::Packagecloud { .. } => Ok(Vec::new()),
        }
    }

    /// Whether an image that is here has all the manifests that it names. A file is always whole.
    pub async fn has_whole(&self, http: &impl Http, image: Digest) -> Result<bool, Trouble> {
        match self {
            Self::Registry(registry) => registry.has_whole(http, image).await,
            Self::Packagecloud { .. } => Ok(true),
        }
    }

    /// The floating tags that lead to an image which is to be taken back by its tag, and where they lead then.
    pub async fn floats_back(
        &self,
        http: &impl Http,
        name: &Name,
        digest: Digest,
        beside: &Beside,
    ) -> Result<Vec<FloatsBack>, Trouble> {
        match (self, name) {
            (Self::Registry(registry), Name::Image(Which::Tag(tag))) => {
                registry.floats_back(http, tag, digest, beside).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Takes back what is public: as [`Store::remove`], once floating tags lead to the newest version that is left.
    pub async fn withdraw(
        &self,
        http: &impl Http,
        name: &Name,
        digest: Digest,
        beside: &Beside,
    ) -> Result<Removed, Trouble> {
        match (self, name) {
            (Self::Registry(registry), Name::Image(Which::Tag(tag))) => {
                registry.withdraw(http, tag, digest, beside).await
            }
            _ => self.remove(http, name, digest, &Kept::default()).await,
        }
    }

    /// Has the server move a file from `staging` to here: by its name, whatever bytes have it at that moment.
    pub async fn move_from(&self, http: &impl Http, staging: &Self, shipment: &Shipment<'_>) -> Result<(), NotShipped> {
        match (staging, self) {
            (
                Self::Packagecloud { account: from, repository: source, .. },
                Self::Packagecloud { account: to, repository, .. },
            ) => {
                let (distro, filename) = shipment.file()?;
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
            _ => Err(misplaced(shipment.cargo, shipment.target).into()),
        }
    }
}
