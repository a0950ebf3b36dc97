//! A repository of images at a registry.
//!
//! An image is staged when its digest is there, and released when its tag leads to it, read as anybody would read it. The
//! tag is the last thing that is written: before it come the blobs, the manifests, what says something about them, and the
//! tags that float. So a tag that is there says that all of it is, and a run that was cut off before goes on.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use slipway_oci::{
    Artifact, Depth, HeadManifest, Location, Move, Moved, NotCopied, NotRemoved, NotServed, NotWhole, Put, PutManifest,
    Repository, Scope, Session, Shelf, Tag, Uploads, Which, attach, copy, copy_referrers, find_referrers, list_tags,
    look, moves, newest, read_back, read_back_blobs, read_image, read_manifest, remove, remove_with, tag, take_out,
    there,
};
use slipway_wire::{CallError, Digest, Http, Planted, Relay, planted};

use super::{
    Around, Beside, Courier, Floated, FloatsBack, Going, Kept, Look, NotShipped, Removed, Shipment, misplaced,
};
use crate::cargo::{Name, TargetName};
use crate::inventory::{Seen, Served};
use crate::problem::Code;
use crate::route::FloatingTag;
use crate::sweep::{Listed, Page};
use crate::trouble::{Trouble, TroubleKind};

/// A repository of images that can be asked.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The registry, and who asks it.
    pub registry: slipway_oci::Registry,
    /// The repository.
    pub repository: Repository,
    /// Whether its images are for those alone who have an account. All others are read back as anybody would read them.
    pub private: bool,
    /// Whether what says something about an image comes here with it.
    pub referrers: bool,
    /// The tags here that move.
    pub floating: Vec<FloatingTag>,
}

/// How many tags are looked at for one page of a repository: a request each.
const TAGS_PER_PAGE: usize = 100;
/// How many of them are asked for at a time: as many as a Worker has connections.
const AT_ONCE: usize = 6;

/// Whether a tag stands for what says something about an image: the fallback of registries that list no referrers, and
/// what `cosign` writes. Nobody pulls these by their name.
fn is_of_an_image(tag: &Tag) -> bool {
    let rest = tag.as_str().strip_prefix("sha256-");
    let hex = rest.map(|rest| rest.split_once('.').map_or(rest, |(hex, _)| hex));
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// What a failed call means. A registry's 429 asks to wait, and cuts nobody off.
fn of(error: &CallError, doing: &str) -> Trouble {
    let trouble = Trouble::of(error, doing);
    let is_rate = error.status().is_some_and(|status| status == http::StatusCode::TOO_MANY_REQUESTS);
    if is_rate && trouble.kind == TroubleKind::CutOff {
        Trouble { kind: TroubleKind::Busy, ..trouble }
    } else {
        trouble
    }
}

fn not_whole(error: &NotWhole) -> Trouble {
    match error {
        NotWhole::Call { repository, digest, source } => {
            of(source, &format!("cannot read the manifest {digest} of {repository}"))
        }
        _ => Trouble::lasting(Code::Refused, error.to_string()),
    }
}

fn not_served(error: &NotServed) -> Trouble {
    match error {
        NotServed::Call { what, place, source } => of(source, &format!("cannot read back {what} from {place}")),
        _ => Trouble::lasting(Code::Refused, error.to_string()),
    }
}

/// The same of what was written a moment ago: a registry that lacks it may be behind, or has collected it, and then it is sent
/// once more.
fn not_kept(error: &NotServed) -> Trouble {
    match error {
        NotServed::Lacks { .. } => Trouble::passing(error.to_string()),
        _ => not_served(error),
    }
}

fn not_copied(error: NotCopied) -> NotShipped {
    match error {
        NotCopied::Call { doing, source } => of(&source, &format!("cannot {doing}")).into(),
        NotCopied::TooSlow(slow) => NotShipped::TooSlow(slow),
        NotCopied::NotWhole(error) => not_whole(&error).into(),
        NotCopied::PartsLost(_) => Trouble::passing(error.to_string()).into(),
        NotCopied::Changed { .. } => Trouble::lasting(Code::StagedBytesChanged, error.to_string()).into(),
        NotCopied::Lacks(_) | NotCopied::Truncated { .. } | NotCopied::NoList { .. } => {
            Trouble::lasting(Code::Refused, error.to_string()).into()
        }
    }
}

fn removed(removed: Result<slipway_oci::Removed, NotRemoved>) -> Result<Removed, Trouble> {
    match removed.map_err(not_removed)? {
        slipway_oci::Removed::Whole => Ok(Removed::Whole),
        slipway_oci::Removed::TagOnly(why) => Ok(Removed::TagOnly(why)),
        slipway_oci::Removed::Absent => Ok(Removed::Absent),
        slipway_oci::Removed::Other(other) => Ok(Removed::Other(other)),
        slipway_oci::Removed::Needed(by) => Ok(Removed::Needed(by)),
        slipway_oci::Removed::Unsupported(said) => Ok(Removed::Unsupported(said)),
    }
}

fn not_removed(error: NotRemoved) -> Trouble {
    match error {
        NotRemoved::Call { doing, source } => of(&source, &format!("cannot {doing}")),
        NotRemoved::Unclear { .. } => Trouble::lasting(Code::Refused, error.to_string()),
        NotRemoved::OutOfSight { .. } => Trouble::passing(error.to_string()),
    }
}

/// The addresses of uploads that broke off, in the host's keeping.
struct Addresses<'a, C> {
    courier: &'a C,
    registry: &'a slipway_oci::Registry,
}

impl<C: Courier> Uploads for Addresses<'_, C> {
    fn broken_off(&self, blob: &Digest) -> Option<Location> {
        self.registry.kept(&self.courier.broken_off(blob)?).ok()
    }

    fn goes_on_at(&self, blob: &Digest, location: Option<&Location>) {
        self.courier.goes_on_at(blob, location.map(Location::keep));
    }
}

impl Registry {
    pub(super) fn has_no_packages(&self) -> Trouble {
        Trouble::lasting(Code::NotConfigured, format!("{} holds images, not packages", self.registry.base))
    }

    pub(super) async fn find_all(
        &self,
        http: &impl Http,
        wanted: &BTreeSet<Name>,
    ) -> Result<BTreeMap<Name, Seen>, Trouble> {
        let session = Session::new(&self.registry);
        let looks = wanted.iter().map(async |name| {
            let seen = match name {
                Name::File(..) => Seen::Nothing,
                Name::Image(which) => self.find(http, &session, which).await?,
            };
            Ok((name.clone(), seen))
        });
        join_all(looks).await.into_iter().collect()
    }

    /// The tags after `from`, as many as are looked at for one page.
    pub(super) async fn page(&self, http: &impl Http, from: Option<&str>) -> Result<Page, Trouble> {
        let session = Session::new(&self.registry);
        let tags = list_tags(&session, http, &self.repository).await;
        let tags = tags.map_err(|error| of(&error, &format!("cannot list the tags of {}", self.repository)))?;
        let mut after = tags.into_iter().filter(|tag| from.is_none_or(|from| tag.as_str() > from));
        let page: Vec<Tag> = after.by_ref().take(TAGS_PER_PAGE).collect();
        let next = after.next().and(page.last()).map(ToString::to_string);
        let looks = page.iter().filter(|tag| !is_of_an_image(tag)).map(async |tag| {
            let seen = self.find(http, &session, &tag.clone().into()).await?;
            let listed = |digest| Listed { under: format!(":{tag}"), filename: String::new(), digest };
            Ok(match seen {
                // It was listed a moment ago.
                Seen::Nothing => None,
                Seen::WithoutDigest => Some(listed(None)),
                Seen::Digest(digest) => Some(listed(Some(digest))),
            })
        });
        let looks: Vec<Result<Option<Listed>, Trouble>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        let listed = looks.into_iter().filter_map(Result::transpose).collect::<Result<_, Trouble>>()?;
        Ok(Page { listed, next })
    }

    async fn find(&self, http: &impl Http, session: &Session<'_>, which: &Which) -> Result<Seen, Trouble> {
        let Self { registry, repository, .. } = self;
        let scope = Scope::pull(repository);
        let failed = |error: CallError| of(&error, &format!("cannot look for {which} in {repository}"));
        let head = session.call(http, &scope, &HeadManifest { registry, repository, which }).await.map_err(failed)?;
        Ok(match (head, which) {
            (None, _) => Seen::Nothing,
            (Some(_), Which::Digest(digest)) => Seen::Digest(*digest),
            (Some(head), Which::Tag(_)) => match head.digest {
                Some(digest) => Seen::Digest(digest),
                // A registry that names no digest: its bytes have one.
                None => match read_manifest(session, http, &scope, repository, which).await.map_err(failed)? {
                    Some(manifest) => Seen::Digest(manifest.digest()),
                    None => Seen::Nothing,
                },
            },
        })
    }

    /// What the tag leads to, for whoever may read the repository: its bytes are hashed, every manifest that they name is
    /// read by its digest, and every blob is there with its length.
    pub(super) async fn served(&self, http: &impl Http, tag: &Tag) -> Result<Served, Trouble> {
        let Self { registry, repository, private, .. } = self;
        let registry = if *private { registry.clone() } else { registry.as_anybody() };
        let session = Session::new(&registry);
        let scope = Scope::pull(repository);
        let read = read_manifest(&session, http, &scope, repository, &tag.clone().into()).await;
        let Some(manifest) = read.map_err(|error| of(&error, &format!("cannot read {repository}:{tag}")))? else {
            return Ok(Served::NotListed);
        };
        // What is lacking: a tag that moves meanwhile, or a copy of the registry that is behind.
        let image = match read_image(&session, http, &scope, repository, manifest.digest()).await {
            Ok(image) => image,
            Err(NotWhole::Lacks { .. }) => return Ok(Served::InMotion),
            Err(error) => return Err(not_whole(&error)),
        };
        match read_back_blobs(http, Shelf { session: &session, repository }, &image, Depth::Parts).await {
            Ok(()) => Ok(Served::Digest(manifest.digest())),
            Err(NotServed::Lacks { .. }) => Ok(Served::InMotion),
            Err(error) => Err(not_served(&error)),
        }
    }

    pub(super) async fn copy_from(
        &self,
        http: &(impl Http + Relay),
        staging: &Self,
        shipment: &Shipment<'_>,
        courier: &impl Courier,
    ) -> Result<(), NotShipped> {
        let TargetName::Tag(name) = shipment.target else {
            return Err(misplaced(shipment.cargo, shipment.target).into());
        };
        let (asking, telling) = (Session::new(&staging.registry), Session::new(&self.registry));
        let source = Shelf { session: &asking, repository: &staging.repository };
        let target = Shelf { session: &telling, repository: &self.repository };
        // What is there is not sent again, nor is anything sent that could not be named at the end.
        if self.is_tagged(http, &telling, name, shipment.digest).await? {
            courier.arrived(shipment.size);
            return Ok(());
        }
        let scope = Scope::pull(&staging.repository);
        let image = read_image(&asking, http, &scope, &staging.repository, shipment.digest).await;
        let image = image.map_err(|error| not_whole(&error))?;
        if let (true, Some(manifest)) = (planted(Planted::TagsFirst), image.manifest()) {
            tag(http, target, manifest, std::slice::from_ref(name)).await.map_err(not_copied)?;
        }
        let kept = Addresses { courier, registry: &self.registry };
        copy(http, source, target, &image, &kept, &|blob, how| {
            if how != Moved::Left {
                courier.arrived(blob.size);
            }
        })
        .await
        .map_err(not_copied)?;
        if self.referrers {
            let subjects = image.manifests().iter().map(slipway_oci::Manifest::digest).collect();
            let found = find_referrers(&asking, http, &staging.repository, subjects).await;
            let doing = format!("cannot find what says something about the image in {}", staging.repository);
            let found = found.map_err(|error| of(&error, &doing))?;
            copy_referrers(http, source, target, &found, &kept, &|_, _| {}).await.map_err(not_copied)?;
        }
        // A registry that said 201 has said no more than that. Nobody has its tag yet.
        read_back(http, target, &image, &[], Depth::Parts).await.map_err(|error| not_kept(&error))?;
        // A final tag is never given another image, whoever has set it since the last look.
        if self.is_tagged(http, &telling, name, shipment.digest).await? {
            return Ok(());
        }
        let Some(manifest) = image.manifest() else {
            return Err(Trouble::passing(format!("the image {} has no manifest", shipment.digest)).into());
        };
        let floating = self.floating(http, &telling, name).await?;
        let mut moved = Vec::new();
        for tag in &floating {
            let before = self.led_to(http, &telling, tag).await?;
            if before != Some(shipment.digest) {
                moved.push((tag.clone(), before));
            }
        }
        let floated = |(tag, before): &(Tag, Option<Digest>)| Floated {
            tag: tag.to_string(),
            before: *before,
            after: Some(shipment.digest),
        };
        if !moved.is_empty() && !courier.floats(moved.iter().map(floated).collect()) {
            return Err(Trouble::passing("cannot write down that floating tags move").into());
        }
        let moved: Vec<Tag> = moved.into_iter().map(|(tag, _)| tag).collect();
        tag(http, target, manifest, &moved).await.map_err(not_copied)?;
        // When the final tag is there, nobody comes back for these.
        for moved in floating {
            let found = self.find(http, &telling, &moved.clone().into()).await?;
            if found != Seen::Digest(shipment.digest) {
                let what = format!("{} has accepted the tag `{moved}`, and does not show it", self.repository);
                return Err(Trouble::passing(what).into());
            }
        }
        tag(http, target, manifest, std::slice::from_ref(name)).await.map_err(not_copied)
    }

    pub(super) async fn attach(
        &self,
        http: &impl Http,
        image: Digest,
        artifact: Artifact<'_>,
    ) -> Result<Option<Digest>, NotShipped> {
        let session = Session::new(&self.registry);
        let target = Shelf { session: &session, repository: &self.repository };
        attach(http, target, image, artifact).await.map_err(not_copied)
    }

    pub(super) async fn remove(
        &self,
        http: &impl Http,
        which: &Which,
        digest: Digest,
        kept: &Kept,
    ) -> Result<Removed, Trouble> {
        let session = Session::new(&self.registry);
        let here = Shelf { session: &session, repository: &self.repository };
        removed(remove(http, here, which, digest, kept).await)
    }

    pub(super) async fn look(
        &self,
        http: &impl Http,
        which: &Which,
        digest: Digest,
        around: Around<'_>,
    ) -> Result<Look, Trouble> {
        let session = Session::new(&self.registry);
        let here = Shelf { session: &session, repository: &self.repository };
        look(http, here, which, digest, around).await.map_err(not_removed)
    }

    pub(super) async fn take_out(&self, http: &impl Http, digest: Digest, going: &Going) -> Result<Removed, Trouble> {
        let session = Session::new(&self.registry);
        let here = Shelf { session: &session, repository: &self.repository };
        removed(take_out(http, here, digest, going).await)
    }

    pub(super) async fn parts_here(&self, http: &impl Http, parts: &[Digest]) -> Result<Vec<Digest>, Trouble> {
        let session = Session::new(&self.registry);
        let here = Shelf { session: &session, repository: &self.repository };
        there(http, here, parts).await.map_err(not_removed)
    }

    pub(super) async fn has_whole(&self, http: &impl Http, image: Digest) -> Result<bool, Trouble> {
        let session = Session::new(&self.registry);
        let scope = Scope::pull(&self.repository);
        match read_image(&session, http, &scope, &self.repository, image).await {
            Ok(_) => Ok(true),
            Err(NotWhole::Lacks { .. }) => Ok(false),
            Err(error) => Err(not_whole(&error)),
        }
    }

    pub(super) async fn floats_back(
        &self,
        http: &impl Http,
        name: &Tag,
        digest: Digest,
        beside: &Beside,
    ) -> Result<Vec<FloatsBack>, Trouble> {
        let session = Session::new(&self.registry);
        let going: BTreeSet<&Tag> = beside.with.iter().chain([name]).collect();
        let rules = going.iter().flat_map(|tag| self.floating.iter().filter_map(|floating| floating.rule(tag)));
        let rules: BTreeMap<Tag, slipway_oci::Floating> = rules.map(|rule| (rule.tag.clone(), rule)).collect();
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let public = list_tags(&session, http, &self.repository).await;
        let mut finals = public.map_err(|error| of(&error, &format!("cannot list the tags of {}", self.repository)))?;
        let is_final = |tag: &Tag| !self.floating.iter().any(|floating| floating.could_be(tag));
        finals.retain(|tag| !going.contains(tag) && beside.released.contains_key(tag) && is_final(tag));
        let mut back = Vec::new();
        for rule in rules.into_values() {
            if self.find(http, &session, &rule.tag.clone().into()).await? == Seen::Digest(digest) {
                let to = self.newest_released(http, &session, &rule, &mut finals, &beside.released).await?;
                back.push(FloatsBack { tag: rule.tag, to });
            }
        }
        Ok(back)
    }

    /// The newest of some tags that a floating one may name, which leads to the image that was released by it. Those that
    /// somebody has set to another image are left out.
    async fn newest_released(
        &self,
        http: &impl Http,
        session: &Session<'_>,
        rule: &slipway_oci::Floating,
        finals: &mut BTreeSet<Tag>,
        released: &BTreeMap<Tag, Digest>,
    ) -> Result<Option<Tag>, Trouble> {
        while let Some(tag) = newest(rule, finals).cloned() {
            let found = self.find(http, session, &tag.clone().into()).await?;
            if released.get(&tag).is_some_and(|digest| found == Seen::Digest(*digest)) {
                return Ok(Some(tag));
            }
            finals.remove(&tag);
        }
        Ok(None)
    }

    /// First the floating tags: nobody who asks for `latest` meets an image that is half gone.
    pub(super) async fn withdraw(
        &self,
        http: &impl Http,
        name: &Tag,
        digest: Digest,
        beside: &Beside,
    ) -> Result<Removed, Trouble> {
        let Self { registry, repository, .. } = self;
        let session = Session::new(registry);
        let mut with = beside.with.clone();
        for FloatsBack { tag: floating, to } in self.floats_back(http, name, digest, beside).await? {
            let Some(to) = to else {
                with.insert(floating);
                continue;
            };
            let failed = |error: CallError| of(&error, &format!("cannot set `{floating}` of {repository} to `{to}`"));
            let scope = Scope::push(repository);
            let manifest = read_manifest(&session, http, &scope, repository, &to.clone().into()).await;
            let Some(manifest) = manifest.map_err(failed)? else {
                return Err(Trouble::passing(format!("{repository} lists the tag `{to}`, and does not have it")));
            };
            if beside.released.get(&to) != Some(&manifest.digest()) {
                return Err(Trouble::passing(format!(
                    "the tag `{to}` of {repository} was set to another image meanwhile"
                )));
            }
            let which = floating.clone().into();
            let put = PutManifest { registry, repository, which: &which, manifest: &manifest };
            let put = session.call(http, &scope, &put).await.map_err(failed)?;
            let is_set = matches!(put, Put::Stored { .. })
                && self.find(http, &session, &which).await? == Seen::Digest(manifest.digest());
            if !is_set {
                return Err(Trouble::passing(format!("{repository} does not set the tag `{floating}` to `{to}`")));
            }
        }
        let here = Shelf { session: &session, repository };
        removed(remove_with(http, here, &name.clone().into(), digest, &Kept::default(), &with).await)
    }

    /// Where a tag leads, if it is there.
    async fn led_to(&self, http: &impl Http, session: &Session<'_>, tag: &Tag) -> Result<Option<Digest>, Trouble> {
        match self.find(http, session, &tag.clone().into()).await? {
            Seen::Digest(digest) => Ok(Some(digest)),
            Seen::Nothing | Seen::WithoutDigest => Ok(None),
        }
    }

    /// Whether a final tag leads to this image. One that leads to another is taken.
    async fn is_tagged(
        &self,
        http: &impl Http,
        session: &Session<'_>,
        name: &Tag,
        digest: Digest,
    ) -> Result<bool, NotShipped> {
        match self.find(http, session, &name.clone().into()).await? {
            Seen::Digest(found) if found == digest => Ok(true),
            Seen::Digest(_) if planted(Planted::OverwritesATag) => Ok(false),
            Seen::Digest(_) | Seen::WithoutDigest => Err(NotShipped::Taken),
            Seen::Nothing => Ok(false),
        }
    }

    /// The tags that move to the image of a final tag. Only those that are set by a rule here move, and only forward.
    async fn floating(&self, http: &impl Http, session: &Session<'_>, name: &Tag) -> Result<Vec<Tag>, Trouble> {
        let rules: Vec<_> = self.floating.iter().filter_map(|floating| floating.rule(name)).collect();
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let public = list_tags(session, http, &self.repository).await;
        let public = public.map_err(|error| of(&error, &format!("cannot list the tags of {}", self.repository)))?;
        // What floats itself is no version: `17.3` would be the newest of its own series.
        let is_final = |tag: &Tag| !self.floating.iter().any(|floating| floating.could_be(tag));
        let (finals, floating): (BTreeSet<Tag>, BTreeSet<Tag>) = public.into_iter().partition(is_final);
        let forward = |rule: &slipway_oci::Floating| moves(rule, name, &finals) == Move::Forward;
        let forward: Vec<Tag> = rules.into_iter().filter(forward).map(|rule| rule.tag).collect();
        // By a list that lacks what is there, or by one that was not found for a moment, a tag would go back.
        for tag in forward.iter().filter(|tag| !floating.contains(tag)) {
            if self.find(http, session, &tag.clone().into()).await? != Seen::Nothing {
                let what = format!("{} does not list the tag `{tag}`, which is there", self.repository);
                return Err(Trouble::passing(what));
            }
        }
        Ok(forward)
    }
}

#[cfg(test)]
mod tests;
