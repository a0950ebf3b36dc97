//! Taking an image out of a repository, and nothing that another one needs.
//!
//! An index names manifests, tags name either, and signatures hang off both; a registry deletes what it is told to and
//! looks at none of this. So before anything is deleted every tag is read: what a tag leads to that stays, is kept with
//! all its parts. What no tag leads to, a registry does not list: the caller says which images are kept besides. What must
//! be there and is not found may be out of sight, so then nothing is deleted: what it needs cannot be told.
//!
//! The tags go first, so that nobody finds half an image, then what says something about it, its parts, and at last the
//! image itself: who was cut off before finds there what is left to do. Where tags cannot go by themselves the image
//! goes first, and takes them with it. Then nothing leads to its parts any more, so who may be cut off writes down what a
//! look has shown before anything goes, and says so to the next look.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use slipway_wire::{CallError, Digest, Http, Planted, planted};

use crate::copy::Shelf;
use crate::delete::{DeleteManifest, Deletion};
use crate::manifest::{DOCKER_LIST, InvalidManifest, Manifest, OCI_INDEX, is_manifest};
use crate::manifests::{NotRead, read};
use crate::name::{Repository, Tag, Which};
use crate::referrers::find_referrers;
use crate::session::Scope;
use crate::tags::list_tags;

/// Each tag is a request. A scheduled run has a thousand, for everything
/// (<https://developers.cloudflare.com/workers/platform/limits/#subrequests>).
const TAGS_MAX: usize = 500;
/// How many manifests are read to learn what is kept.
const MANIFESTS_MAX: usize = 1000;

/// What became of an image that was to be taken out of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, by tag and by digest.
    Whole,
    /// Its tag is gone. The image stays, by its digest, or parts of it do, for the reason that is given.
    TagOnly(String),
    /// Neither the name nor the image was there.
    Absent,
    /// The tag leads to another image, which stays.
    Other(Digest),
    /// Nothing was deleted, since something that stays needs it: what that is.
    Needed(String),
    /// Nothing was deleted, since the registry does not do that: what it said.
    Unsupported(String),
}

/// Why an image may still be there, whole or in part. Asked again, this goes on where it ended.
#[derive(Debug, thiserror::Error)]
pub enum NotRemoved {
    /// A call failed.
    #[error("cannot {doing}: {source}")]
    Call {
        /// What was being done, to what.
        doing: String,
        /// Why it failed.
        source: CallError,
    },
    /// What other images need cannot be told, so nothing was deleted.
    #[error("nothing of `{repository}` was deleted, since what its other images need cannot be told: {why}")]
    Unclear {
        /// The repository.
        repository: Repository,
        /// Why not.
        why: String,
    },
    /// Something that must be there is not found, so what it needs cannot be told, and nothing was deleted.
    #[error("nothing of `{repository}` was deleted, since {what} is there, and is not found")]
    OutOfSight {
        /// The repository.
        repository: Repository,
        /// What is not found.
        what: String,
    },
}

/// Images of a repository that stay although no tag may lead to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// These are there. Of one that is not found, nobody can tell what it needs.
    pub there: BTreeSet<Digest>,
    /// Each of these may be there, and then it stays.
    pub perhaps: BTreeSet<Digest>,
}

impl Kept {
    /// These stay, too.
    pub fn extend(&mut self, others: Self) {
        self.there.extend(others.there);
        self.perhaps.extend(others.perhaps);
    }

    /// This one is not kept.
    pub fn remove(&mut self, digest: &Digest) {
        self.there.remove(digest);
        self.perhaps.remove(digest);
    }

    /// Whether this one is there is not known, so it stays if it is.
    pub fn doubt(&mut self, digest: &Digest) {
        if let Some(digest) = self.there.take(digest) {
            self.perhaps.insert(digest);
        }
    }

    /// Whether all of some others are among these.
    pub fn has_all(&self, others: &Self) -> bool {
        others.all().all(|other| self.contains(other))
    }

    fn contains(&self, digest: &Digest) -> bool {
        self.there.contains(digest) || self.perhaps.contains(digest)
    }

    fn all(&self) -> impl Iterator<Item = &Digest> {
        self.there.iter().chain(&self.perhaps)
    }
}

/// What is known of a repository beside what it shows itself.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Images that stay although no tag may lead to them.
    pub kept: &'a Kept,
    /// Tags that may go, too, if they lead to the image.
    pub with: &'a BTreeSet<Tag>,
    /// What is gone by the time that is looked ahead to: nothing is kept for its need, nor by its tags.
    pub gone: &'a BTreeSet<Digest>,
    /// What was to go with the image when somebody was cut off, and may be left.
    pub parts: &'a [Digest],
}

impl<'a> Around<'a> {
    /// Only these images are known.
    pub fn of(kept: &'a Kept) -> Self {
        static NO_TAGS: BTreeSet<Tag> = BTreeSet::new();
        static NOTHING: BTreeSet<Digest> = BTreeSet::new();
        Self { kept, with: &NO_TAGS, gone: &NOTHING, parts: &[] }
    }
}

/// What goes with an image, and what of it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Going {
    /// The tags that lead to it.
    pub tags: BTreeSet<Tag>,
    /// Its parts, and what says something about any of it: each before what names it.
    pub parts: Vec<Digest>,
    /// Those of its parts that stay, and what needs them.
    pub stays: BTreeMap<Digest, String>,
    /// How many things were looked at to know that.
    pub looks: usize,
}

/// What a look at an image that is to be taken out has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It goes, with this. By now it may be gone itself.
    Goes(Going),
    /// Something that stays needs it: what that is.
    Needed(String),
    /// Neither the name nor the image is there, nor anything that was to go with it.
    Absent,
    /// The tag leads to another image.
    Other(Digest),
}

/// Takes an image out of a repository: by its tag, which must lead to it, or by its digest. `kept` are images of the
/// repository that stay although no tag may lead to them.
///
/// By digest, the tags that lead to the image go with it. By tag, they stay, and the image with them.
pub async fn remove(
    http: &impl Http,
    shelf: Shelf<'_>,
    which: &Which,
    digest: Digest,
    kept: &Kept,
) -> Result<Removed, NotRemoved> {
    remove_with(http, shelf, which, digest, kept, &BTreeSet::new()).await
}

/// As [`remove`], by a tag. `with` are tags that may go, too, if they lead to the image: they are taken back with it, or
/// there is nothing else to which they could lead.
pub async fn remove_with(
    http: &impl Http,
    shelf: Shelf<'_>,
    which: &Which,
    digest: Digest,
    kept: &Kept,
    with: &BTreeSet<Tag>,
) -> Result<Removed, NotRemoved> {
    let around = Around { with, ..Around::of(kept) };
    let removing = Removing::new(http, shelf);
    match look(http, shelf, which, digest, around).await? {
        Look::Goes(going) => removing.act(digest, &going).await,
        Look::Absent => Ok(Removed::Absent),
        Look::Other(found) => Ok(Removed::Other(found)),
        Look::Needed(by) => {
            let Which::Tag(_) = which else { return Ok(Removed::Needed(by)) };
            let why = format!("{by} leads to it or needs it");
            if let Some(found) = removing.leads_elsewhere(which, digest).await? {
                return Ok(Removed::Other(found));
            }
            Ok(match removing.delete(which).await? {
                Deletion::Deleted | Deletion::WasGone => Removed::TagOnly(why),
                Deletion::Unsupported(said) => Removed::Unsupported(format!(
                    "{said}; it deletes no tag by itself, and the image with all its tags may not go, since {why}"
                )),
            })
        }
    }
}

/// Takes an image out as a look has shown it a moment ago.
pub async fn take_out(
    http: &impl Http,
    shelf: Shelf<'_>,
    digest: Digest,
    going: &Going,
) -> Result<Removed, NotRemoved> {
    Removing::new(http, shelf).act(digest, going).await
}

/// Which of some manifests are there.
pub async fn there(http: &impl Http, shelf: Shelf<'_>, parts: &[Digest]) -> Result<Vec<Digest>, NotRemoved> {
    Removing::new(http, shelf).there(parts).await
}

/// What would go with an image, what would stay, and for whose need. Nothing is deleted.
pub async fn look(
    http: &impl Http,
    shelf: Shelf<'_>,
    which: &Which,
    digest: Digest,
    around: Around<'_>,
) -> Result<Look, NotRemoved> {
    let Shelf { session, repository } = shelf;
    let Around { kept, with, gone, parts } = around;
    let removing = Removing::new(http, shelf);
    let tagged = match which {
        Which::Digest(_) => None,
        Which::Tag(_) => removing.digest_of(which).await?,
    };
    let left = removing.there(parts).await?;
    match tagged {
        Some(found) if found != digest => return Ok(Look::Other(found)),
        // A tag that is gone already leaves its image to be deleted, by whoever was cut off in between.
        None if removing.digest_of(&digest.into()).await?.is_none() && left.is_empty() => return Ok(Look::Absent),
        _ => {}
    }
    let tags = list_tags(session, http, repository).await;
    let tags = tags.map_err(call_failed(format!("list the tags of `{repository}`")))?;
    if tags.len() > TAGS_MAX {
        let why = format!("it has {} tags, and no more than {TAGS_MAX} are read; delete old ones", tags.len());
        return Err(removing.unclear(why));
    }
    let mut tags = removing.digests_of(tags.into_iter().map(Which::Tag).collect()).await?;
    tags.retain(|_, led| !gone.contains(led));
    let mut kept = kept.clone();
    for gone in gone {
        kept.remove(gone);
    }
    let leading: BTreeSet<Tag> = tags.iter().filter(|(_, led)| **led == digest).map(|(tag, _)| tag.clone()).collect();
    let stays = match which {
        Which::Tag(tag) => {
            let others = leading.iter().find(|leading| *leading != tag && !with.contains(*leading));
            others.map(|tag| format!("the tag `{tag}`"))
        }
        Which::Digest(_) => None,
    };
    let stays = stays.or_else(|| kept.contains(&digest).then(|| "something else that is kept".to_owned()));
    let others = tags.iter().filter(|(_, led)| **led != digest).map(|(tag, led)| (*led, format!("the tag `{tag}`")));
    let others: BTreeMap<Digest, String> = others
        .chain(kept.all().filter(|kept| **kept != digest).map(|kept| (*kept, format!("the image {kept}"))))
        .collect();
    let needed = removing.needed(&others, &kept.perhaps).await?;
    if let Some(by) = stays.or_else(|| needed.get(&digest).cloned()) {
        return Ok(Look::Needed(by));
    }
    let (parts, stays) = removing.going(digest, &left, &tags, &kept, &others, &needed).await?;
    Ok(Look::Goes(Going { tags: leading, parts, stays, looks: removing.looks.get() }))
}

fn call_failed(doing: impl Into<String>) -> impl FnOnce(CallError) -> NotRemoved {
    let doing = doing.into();
    |source| NotRemoved::Call { doing, source }
}

struct Removing<'a, H> {
    http: &'a H,
    shelf: Shelf<'a>,
    looks: Cell<usize>,
}

impl<'a, H: Http> Removing<'a, H> {
    fn new(http: &'a H, shelf: Shelf<'a>) -> Self {
        Self { http, shelf, looks: Cell::new(0) }
    }

    fn unclear(&self, why: String) -> NotRemoved {
        NotRemoved::Unclear { repository: self.shelf.repository.clone(), why }
    }

    fn out_of_sight(&self, what: String) -> NotRemoved {
        NotRemoved::OutOfSight { repository: self.shelf.repository.clone(), what }
    }

    async fn manifest(&self, which: &Which) -> Result<Result<Option<Manifest>, InvalidManifest>, NotRemoved> {
        let Shelf { session, repository } = self.shelf;
        self.looks.set(self.looks.get() + 1);
        match read(session, self.http, &Scope::delete(repository), repository, which).await {
            Ok(manifest) => Ok(Ok(manifest)),
            Err(NotRead::Invalid(error)) => Ok(Err(error)),
            Err(NotRead::Call(source)) => Err(call_failed(format!("read {which} of `{repository}`"))(source)),
        }
    }

    /// What is there under a name. Its bytes are read and hashed: some registries name no digest.
    async fn digest_of(&self, which: &Which) -> Result<Option<Digest>, NotRemoved> {
        match (self.manifest(which).await?, which) {
            (Ok(manifest), _) => Ok(manifest.map(|manifest| manifest.digest())),
            (Err(_), Which::Digest(digest)) => Ok(Some(*digest)),
            (Err(error), Which::Tag(_)) => Err(self.unclear(format!("`{which}` cannot be read: {error}"))),
        }
    }

    async fn there(&self, parts: &[Digest]) -> Result<Vec<Digest>, NotRemoved> {
        let looks = parts.iter().map(async |part| (*part, self.digest_of(&(*part).into()).await));
        let mut looks = stream::iter(looks).buffered(self.http.connections().max(1));
        let mut there = Vec::new();
        while let Some((part, look)) = looks.next().await {
            there.extend(look?.map(|_| part));
        }
        Ok(there)
    }

    async fn digests_of(&self, names: Vec<Which>) -> Result<BTreeMap<Tag, Digest>, NotRemoved> {
        let looks = names.into_iter().map(async |name| {
            let digest = self.digest_of(&name).await?;
            Ok::<_, NotRemoved>((name, digest))
        });
        let mut looks = stream::iter(looks).buffer_unordered(self.http.connections());
        let mut found = BTreeMap::new();
        while let Some(look) = looks.next().await {
            match look? {
                (Which::Tag(tag), Some(digest)) => {
                    found.insert(tag, digest);
                }
                // It was listed a moment ago.
                (name, None) => return Err(self.out_of_sight(format!("the tag `{name}`"))),
                (Which::Digest(_), Some(_)) => {}
            }
        }
        Ok(found)
    }

    /// Every manifest that some images need, themselves among them, and by whom it is needed. Those images are there, but for
    /// some that are `perhaps`.
    async fn needed(
        &self,
        roots: &BTreeMap<Digest, String>,
        perhaps: &BTreeSet<Digest>,
    ) -> Result<BTreeMap<Digest, String>, NotRemoved> {
        let mut needed = roots.clone();
        let mut unread: Vec<(Digest, String)> = roots.iter().map(|(digest, by)| (*digest, by.clone())).collect();
        let mut count = 0;
        while !unread.is_empty() {
            count += unread.len();
            if count > MANIFESTS_MAX {
                return Err(self.unclear(format!("they have more than {MANIFESTS_MAX} manifests")));
            }
            let looks = unread.into_iter().map(async |(digest, by)| (by, digest, self.manifest(&digest.into()).await));
            let mut looks = stream::iter(looks).buffer_unordered(self.http.connections());
            let mut next = Vec::new();
            while let Some((by, digest, look)) = looks.next().await {
                let manifest = look?.map_err(|error| self.unclear(format!("{digest} cannot be read: {error}")))?;
                if manifest.is_none() && roots.contains_key(&digest) && !perhaps.contains(&digest) {
                    return Err(self.out_of_sight(by));
                }
                for child in manifest.into_iter().flat_map(|manifest| manifest.children) {
                    if is_manifest(&child.media_type) && !needed.contains_key(&child.digest) {
                        needed.insert(child.digest, by.clone());
                        // An image names no further manifests.
                        if matches!(child.media_type.as_str(), OCI_INDEX | DOCKER_LIST) {
                            next.push((child.digest, by.clone()));
                        }
                    }
                }
            }
            unread = next;
        }
        Ok(needed)
    }

    /// What goes with an image, each thing before those that name it: its parts, and what says something about any of it;
    /// and which of its parts stay. `left` was to go with it before, and goes if nothing has come to need it.
    async fn going(
        &self,
        digest: Digest,
        left: &[Digest],
        tags: &BTreeMap<Tag, Digest>,
        kept: &Kept,
        others: &BTreeMap<Digest, String>,
        needed: &BTreeMap<Digest, String>,
    ) -> Result<(Vec<Digest>, BTreeMap<Digest, String>), NotRemoved> {
        let Shelf { session, repository } = self.shelf;
        let named = self.needed(&BTreeMap::from([(digest, String::new())]), &BTreeSet::from([digest])).await?;
        let stays = |part: &Digest| needed.contains_key(part) && !planted(Planted::DeletesSharedParts);
        let (staying, parts): (BTreeSet<Digest>, BTreeSet<Digest>) =
            named.into_keys().filter(|part| *part != digest).partition(stays);
        let by = |part: &Digest| (*part, needed.get(part).cloned().unwrap_or_default());
        let stays: BTreeMap<Digest, String> = staying.iter().map(by).collect();
        let subjects: BTreeSet<Digest> = parts.iter().chain(left).copied().chain([digest]).collect();
        let found = find_referrers(session, self.http, repository, subjects.clone()).await;
        let doing = format!("find what says something about {digest} in `{repository}`");
        let said = found.map_err(call_failed(doing))?.digests();
        // Their lists, and cosign's tags, are tags like others, and stay only with what they are about.
        let about: BTreeSet<String> =
            subjects.iter().chain(&said).map(|subject| Tag::of_referrers(subject).to_string()).collect();
        let is_about = |tag: &Tag| about.contains(tag.as_str().split('.').next().unwrap_or_default());
        let (lists, staying): (Vec<_>, Vec<_>) = tags.iter().partition(|(tag, _)| is_about(tag));
        let staying: BTreeSet<Digest> =
            staying.into_iter().map(|(_, digest)| *digest).chain(kept.all().copied()).collect();
        let lists: BTreeSet<Digest> = lists.into_iter().map(|(_, digest)| *digest).collect();
        let others = others.iter().filter(|(other, _)| staying.contains(other) || !lists.contains(other));
        let others = others.map(|(other, by)| (*other, by.clone())).collect();
        let needed = self.needed(&others, &kept.perhaps).await?;
        // A list is how what it names is found again, so it comes after that.
        let lists: Vec<Digest> = lists.difference(&said).copied().collect();
        let goes = |digest: &Digest| !needed.contains_key(digest) && !subjects.contains(digest);
        let left = left.iter().copied().filter(|left| !needed.contains_key(left) && !parts.contains(left));
        let going = said.into_iter().chain(lists).filter(goes).chain(left).chain(parts.iter().copied());
        Ok((going.collect(), stays))
    }

    async fn act(&self, digest: Digest, going: &Going) -> Result<Removed, NotRemoved> {
        let Going { tags, parts: going, .. } = going;
        let mut tags_go = true;
        for tag in tags {
            let tag = Which::Tag(tag.clone());
            if self.leads_elsewhere(&tag, digest).await?.is_some() {
                continue;
            }
            if let Deletion::Unsupported(_) = self.delete(&tag).await? {
                tags_go = false;
                break;
            }
        }
        let mut later = Vec::new();
        if tags_go {
            for part in going {
                // Some registries delete no part of what is still there; there, the image goes first.
                match self.delete(&(*part).into()).await {
                    Ok(Deletion::Deleted | Deletion::WasGone) => {}
                    Ok(Deletion::Unsupported(_)) => later.push(*part),
                    Err(NotRemoved::Call { source, .. }) if !source.may_pass() => later.push(*part),
                    Err(error) => return Err(error),
                }
            }
        } else {
            later.extend(going);
        }
        match self.delete(&digest.into()).await? {
            Deletion::Deleted | Deletion::WasGone => {}
            Deletion::Unsupported(said) if tags_go && !tags.is_empty() => return Ok(Removed::TagOnly(said)),
            Deletion::Unsupported(said) => return Ok(Removed::Unsupported(said)),
        }
        // Nothing names these any more, so nobody who asks again finds them: each is tried, and what is left is told.
        let mut left = Vec::new();
        for part in later {
            match self.delete(&part.into()).await {
                Ok(Deletion::Deleted | Deletion::WasGone) => {}
                Ok(Deletion::Unsupported(said)) => left.push(format!("{part}: {said}")),
                Err(error) => left.push(format!("{part}: {error}")),
            }
        }
        if left.is_empty() {
            Ok(Removed::Whole)
        } else {
            Ok(Removed::TagOnly(format!("the image is gone, and parts of it are left: {}", left.join("; "))))
        }
    }

    /// To what a tag leads by now, if that is another image: a build may have set it while the rest was read. A registry cannot
    /// be asked to delete a tag only if it leads somewhere, so this is asked right before.
    async fn leads_elsewhere(&self, tag: &Which, digest: Digest) -> Result<Option<Digest>, NotRemoved> {
        Ok(self.digest_of(tag).await?.filter(|found| *found != digest))
    }

    async fn delete(&self, which: &Which) -> Result<Deletion, NotRemoved> {
        let Shelf { session, repository } = self.shelf;
        let delete = DeleteManifest { registry: session.registry(), repository, which };
        let deleted = session.call(self.http, &Scope::delete(repository), &delete).await;
        deleted.map_err(call_failed(format!("delete {which} of `{repository}`")))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use http::Method;
    use slipway_wire::{Request, Response};

    use super::*;
    use crate::fake::{Script, base, now, response};
    use crate::manifest::OCI_IMAGE;
    use crate::registry::Registry;
    use crate::session::Session;

    /// One repository, as a registry keeps it.
    #[derive(Default)]
    struct Held {
        manifests: BTreeMap<String, (&'static str, String)>,
        tags: BTreeMap<String, String>,
    }

    /// A registry of one repository, and what it does not do.
    #[derive(Default)]
    struct Shelves {
        held: RefCell<Held>,
        keeps_tags: bool,
        deletes_nothing: bool,
        /// It refuses to delete what an index that is there names.
        keeps_parts: bool,
        /// After so many deletions it answers 503.
        breaks_after: Cell<Option<u32>>,
        /// Once alone.
        breaks_once: Cell<bool>,
        /// A tag or a digest that it does not find, although it is there.
        hides: RefCell<String>,
        /// Tags that led to something that was not there whole, after any request.
        dangling: RefCell<BTreeSet<String>>,
    }

    fn named(text: &str) -> Vec<String> {
        text.split('"').filter(|text| text.starts_with("sha256:")).map(str::to_owned).collect()
    }

    impl Held {
        fn is_whole(&self, digest: &str) -> bool {
            let Some((media_type, text)) = self.manifests.get(digest) else { return false };
            *media_type != OCI_INDEX || named(text).iter().all(|part| self.is_whole(part))
        }
    }

    impl Shelves {
        fn put(&self, media_type: &'static str, text: String) -> Digest {
            let digest = Digest::of(text.as_bytes());
            self.held.borrow_mut().manifests.insert(digest.to_string(), (media_type, text));
            digest
        }

        fn image(&self, name: &str) -> Digest {
            let blob = Digest::of(name.as_bytes());
            let config = format!(r#"{{"mediaType":"application/x","digest":"{blob}","size":1}}"#);
            self.put(OCI_IMAGE, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#))
        }

        fn about(&self, subject: Digest, name: &str) -> Digest {
            let blob = Digest::of(name.as_bytes());
            let config = format!(r#"{{"mediaType":"application/x","digest":"{blob}","size":1}}"#);
            let subject = self.entry(&subject);
            let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"subject":{subject}}}"#);
            self.put(OCI_IMAGE, text)
        }

        fn entry(&self, digest: &Digest) -> String {
            let held = self.held.borrow();
            let (media_type, text) = &held.manifests[&digest.to_string()];
            format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, text.len())
        }

        fn index(&self, parts: &[Digest]) -> Digest {
            let parts: Vec<String> = parts.iter().map(|part| self.entry(part)).collect();
            self.put(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, parts.join(",")))
        }

        fn tag(&self, tag: &str, digest: Digest) {
            self.held.borrow_mut().tags.insert(tag.to_owned(), digest.to_string());
        }

        fn has(&self, digest: Digest) -> bool {
            self.held.borrow().manifests.contains_key(&digest.to_string())
        }

        fn tags(&self) -> String {
            self.held.borrow().tags.keys().cloned().collect::<Vec<_>>().join(" ")
        }

        fn answer(&self, request: &Request) -> Response {
            let answer = self.act(request);
            let held = self.held.borrow();
            // Nobody asks what is said of an image that is gone, so those lists may go in any order.
            let images = held.tags.iter().filter(|(tag, _)| !tag.starts_with("sha256-"));
            let dangling = images.filter(|(_, digest)| !held.is_whole(digest)).map(|(tag, _)| tag.clone());
            self.dangling.borrow_mut().extend(dangling);
            answer
        }

        fn act(&self, request: &Request) -> Response {
            let rest = request.uri().path().strip_prefix("/v2/team/app/").expect("the repository");
            let mut held = self.held.borrow_mut();
            if rest == "tags/list" {
                let tags: Vec<String> = held.tags.keys().map(|tag| format!("{tag:?}")).collect();
                return response(200, format!(r#"{{"tags":[{}]}}"#, tags.join(",")));
            }
            let Some(which) = rest.strip_prefix("manifests/") else { return response(404, "") };
            if request.method() == Method::DELETE {
                if let Some(left) = self.breaks_after.get() {
                    if left == 0 {
                        self.breaks_after.set((!self.breaks_once.get()).then_some(0));
                        return response(503, "");
                    }
                    self.breaks_after.set(Some(left - 1));
                }
                let no = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#);
                if self.deletes_nothing {
                    return response(405, no("UNSUPPORTED"));
                }
                if !which.starts_with("sha256:") {
                    return if self.keeps_tags {
                        response(400, no("DIGEST_INVALID"))
                    } else {
                        response(held.tags.remove(which).map_or(404, |_| 202), "")
                    };
                }
                let is_named = |(media_type, text): &(&str, String)| {
                    *media_type == OCI_INDEX && named(text).iter().any(|part| part == which)
                };
                if self.keeps_parts && held.manifests.values().any(is_named) {
                    return response(403, no("DENIED"));
                }
                held.tags.retain(|_, digest| digest != which);
                return response(held.manifests.remove(which).map_or(404, |_| 202), "");
            }
            if which == self.hides.borrow().as_str() {
                return response(404, "");
            }
            let digest = held.tags.get(which).cloned().unwrap_or_else(|| which.to_owned());
            let Some((media_type, text)) = held.manifests.get(&digest) else { return response(404, "") };
            let answer = http::Response::builder().header("content-type", *media_type);
            answer.header("docker-content-digest", &digest).body(text.clone().into_bytes()).expect("headers")
        }

        fn remove(&self, which: &Which, digest: Digest, kept: &[Digest]) -> Result<Removed, NotRemoved> {
            self.remove_beside(which, digest, &Kept { there: kept.iter().copied().collect(), ..Kept::default() })
        }

        fn remove_beside(&self, which: &Which, digest: Digest, kept: &Kept) -> Result<Removed, NotRemoved> {
            let registry = Registry::anonymous(base("https://registry.example.com"));
            let session = Session::new(&registry);
            let repository = "team/app".parse().expect("a repository");
            let there = Shelf { session: &session, repository: &repository };
            let http = Script::new(|request| self.answer(request));
            now(remove(&http, there, which, digest, kept))
        }

        fn remove_tag(&self, tag: &str, digest: Digest) -> Removed {
            self.remove(&Which::Tag(tag.parse().expect("a tag")), digest, &[]).expect("answers")
        }
    }

    /// An index of two images with a signature of the index, tagged; and another index that shares one of the two.
    fn two_indexes(shelves: &Shelves) -> [Digest; 5] {
        let [own, shared, other] = ["own", "shared", "other"].map(|name| shelves.image(name));
        let (first, second) = (shelves.index(&[own, shared]), shelves.index(&[shared, other]));
        shelves.tag("17.3.1", first);
        shelves.tag("17.3.2", second);
        [own, shared, other, first, second]
    }

    #[test]
    fn an_image_goes_with_its_parts_and_what_another_index_needs_stays() {
        for (keeps_tags, keeps_parts) in [(false, false), (true, false), (false, true), (true, true)] {
            let shelves = Shelves { keeps_tags, keeps_parts, ..Shelves::default() };
            let [own, shared, other, first, second] = two_indexes(&shelves);
            // The second index is there, so such a registry keeps the shared part whoever asks.
            assert_eq!(shelves.remove_tag("17.3.1", first), Removed::Whole);
            assert_eq!(
                [own, shared, other, first, second].map(|digest| shelves.has(digest)),
                [false, true, true, false, true]
            );
            assert_eq!(shelves.tags(), "17.3.2");
            assert_eq!(*shelves.dangling.borrow(), BTreeSet::new());
            assert_eq!(shelves.remove_tag("17.3.1", first), Removed::Absent);
        }
    }

    #[test]
    fn what_is_kept_without_a_tag_keeps_its_parts() {
        let shelves = Shelves::default();
        let [own, shared, other, first, second] = two_indexes(&shelves);
        shelves.held.borrow_mut().tags.clear();
        let removed = shelves.remove(&first.into(), first, &[second]).expect("answers");
        assert_eq!(removed, Removed::Whole);
        assert_eq!(
            [own, shared, other, first, second].map(|digest| shelves.has(digest)),
            [false, true, true, false, true]
        );
        let kept = shelves.remove(&second.into(), second, &[second]).expect("answers");
        assert!(matches!(kept, Removed::Needed(_)), "{kept:?}");
        assert!(shelves.has(second) && shelves.has(other));
    }

    #[test]
    fn a_part_of_an_index_that_stays_is_not_removed_by_itself() {
        let shelves = Shelves::default();
        let [own, _, _, first, _] = two_indexes(&shelves);
        assert_eq!(shelves.remove(&own.into(), own, &[]).expect("answers"), Removed::Needed("the tag `17.3.1`".into()));
        shelves.tag("own", own);
        let removed = shelves.remove_tag("own", own);
        assert!(matches!(removed, Removed::TagOnly(_)), "{removed:?}");
        assert!(shelves.has(own) && shelves.has(first));
        assert_eq!(shelves.tags(), "17.3.1 17.3.2");
    }

    #[test]
    fn a_tag_that_leads_to_other_bytes_stays() {
        let shelves = Shelves::default();
        let [.., first, second] = two_indexes(&shelves);
        assert_eq!(shelves.remove_tag("17.3.2", first), Removed::Other(second));
        assert_eq!(shelves.tags(), "17.3.1 17.3.2");
    }

    #[test]
    fn a_tag_that_a_build_sets_anew_while_the_rest_is_read_stays() {
        for removes_all in [true, false] {
            let shelves = Shelves::default();
            let [.., first, second] = two_indexes(&shelves);
            if !removes_all {
                shelves.tag("17.3", first);
            }
            let http = Script::new(|request: &Request| {
                let answer = shelves.answer(request);
                if request.uri().path().ends_with(&second.to_string()) {
                    shelves.tag("17.3.1", second);
                }
                answer
            });
            let registry = Registry::anonymous(base("https://registry.example.com"));
            let session = Session::new(&registry);
            let repository = "team/app".parse().expect("a repository");
            let there = Shelf { session: &session, repository: &repository };
            let which = Which::Tag("17.3.1".parse().expect("a tag"));
            let removed = now(remove(&http, there, &which, first, &Kept::default())).expect("answers");
            let expected = if removes_all { Removed::Whole } else { Removed::Other(second) };
            assert_eq!((removed, shelves.has(first)), (expected, !removes_all));
            assert!(shelves.tags().contains("17.3.1"), "{}", shelves.tags());
        }
    }

    #[test]
    fn an_image_that_another_tag_names_loses_its_tag_alone_or_nothing() {
        let shelves = Shelves::default();
        let [.., first, _] = two_indexes(&shelves);
        shelves.tag("17.3", first);
        let removed = shelves.remove_tag("17.3.1", first);
        assert!(matches!(&removed, Removed::TagOnly(why) if why.contains("`17.3`")), "{removed:?}");
        assert_eq!(shelves.tags(), "17.3 17.3.2");

        let shelves = Shelves { keeps_tags: true, ..Shelves::default() };
        let [.., first, _] = two_indexes(&shelves);
        shelves.tag("17.3", first);
        let removed = shelves.remove_tag("17.3.1", first);
        assert!(matches!(&removed, Removed::Unsupported(why) if why.contains("`17.3`")), "{removed:?}");
        assert_eq!(shelves.tags(), "17.3 17.3.1 17.3.2");
        assert!(shelves.has(first));
    }

    #[test]
    fn a_registry_that_deletes_nothing_is_told_and_nothing_changes() {
        let shelves = Shelves { deletes_nothing: true, ..Shelves::default() };
        let [.., first, _] = two_indexes(&shelves);
        for removed in [shelves.remove_tag("17.3.1", first), shelves.remove(&first.into(), first, &[]).expect("told")] {
            assert!(matches!(&removed, Removed::Unsupported(said) if said.contains("UNSUPPORTED")), "{removed:?}");
        }
        assert_eq!(shelves.tags(), "17.3.1 17.3.2");
        assert_eq!(shelves.held.borrow().manifests.len(), 5);
    }

    #[test]
    fn what_says_something_about_an_image_goes_with_it_and_other_signatures_stay() {
        let shelves = Shelves::default();
        let [own, shared, _, first, second] = two_indexes(&shelves);
        let [signature, of_part, of_shared, of_other] = [(first, "a"), (own, "b"), (shared, "c"), (second, "d")]
            .map(|(subject, name)| shelves.about(subject, name));
        for (subject, about) in [(first, signature), (own, of_part), (shared, of_shared), (second, of_other)] {
            let list = shelves.index(&[about]);
            shelves.tag(Tag::of_referrers(&subject).as_str(), list);
        }
        let cosign = shelves.image("cosign");
        shelves.tag(&format!("{}.sig", Tag::of_referrers(&first)), cosign);
        assert_eq!(shelves.remove_tag("17.3.1", first), Removed::Whole);
        let left = [signature, of_part, of_shared, of_other, cosign].map(|digest| shelves.has(digest));
        assert_eq!(left, [false, false, true, true, false]);
        let mut tags = vec!["17.3.2".to_owned()];
        tags.extend([shared, second].map(|subject| Tag::of_referrers(&subject).to_string()));
        tags.sort();
        assert_eq!(shelves.tags(), tags.join(" "));
        assert_eq!(*shelves.dangling.borrow(), BTreeSet::new());
    }

    #[test]
    fn what_says_something_about_an_image_and_has_a_tag_of_its_own_stays() {
        let shelves = Shelves::default();
        let [_, _, _, first, _] = two_indexes(&shelves);
        let [signature, tagged] = ["a", "b"].map(|name| shelves.about(first, name));
        let list = shelves.index(&[signature, tagged]);
        shelves.tag(Tag::of_referrers(&first).as_str(), list);
        shelves.tag("report", tagged);
        assert_eq!(shelves.remove_tag("17.3.1", first), Removed::Whole);
        assert_eq!([signature, tagged, first].map(|digest| shelves.has(digest)), [false, true, false]);
        assert_eq!(shelves.tags(), "17.3.2 report");
    }

    #[test]
    fn cut_off_anywhere_it_goes_on() {
        for deletions in 0..6 {
            let shelves = Shelves { breaks_after: Cell::new(Some(deletions)), ..Shelves::default() };
            let [own, shared, _, first, second] = two_indexes(&shelves);
            let list = shelves.index(&[shelves.about(first, "signature")]);
            shelves.tag(Tag::of_referrers(&first).as_str(), list);
            let which = Which::Tag("17.3.1".parse().expect("a tag"));
            let broken = shelves.remove(&which, first, &[]);
            assert_eq!(broken.is_err(), deletions < 5, "{broken:?} after {deletions}");
            shelves.breaks_after.set(None);
            let again = shelves.remove(&which, first, &[]).expect("answers");
            assert!(matches!(again, Removed::Whole | Removed::Absent), "{again:?} after {deletions}");
            assert_eq!([own, shared, first, second].map(|digest| shelves.has(digest)), [false, true, false, true]);
            assert_eq!(shelves.held.borrow().manifests.len(), 3, "after {deletions}");
            assert_eq!(*shelves.dangling.borrow(), BTreeSet::new());
        }
    }

    /// Looks, as whoever knows what was to go, and takes out what goes. `written` is what such a run has written down.
    fn look_and_take_out(
        shelves: &Shelves,
        digest: Digest,
        written: &RefCell<Option<Vec<Digest>>>,
        requests: &Cell<Option<u32>>,
    ) -> Result<Look, NotRemoved> {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let session = Session::new(&registry);
        let repository = "team/app".parse().expect("a repository");
        let there = Shelf { session: &session, repository: &repository };
        let http = Script::new(|request: &Request| match requests.get() {
            Some(0) => response(503, ""),
            left => {
                requests.set(left.map(|left| left - 1));
                shelves.answer(request)
            }
        });
        let (kept, parts) = (Kept::default(), written.borrow().clone().unwrap_or_default());
        let around = Around { parts: &parts, ..Around::of(&kept) };
        let look = now(look(&http, there, &digest.into(), digest, around))?;
        if let Look::Goes(going) = &look {
            written.borrow_mut().get_or_insert_with(|| going.parts.clone());
            now(take_out(&http, there, digest, going))?;
        }
        Ok(look)
    }

    #[test]
    fn cut_off_at_any_request_nothing_stays_where_the_image_goes_before_its_parts() {
        let mut cuts = 0;
        for is_needed_meanwhile in [false, true] {
            for requests in 0.. {
                let shelves = Shelves { keeps_tags: true, keeps_parts: true, ..Shelves::default() };
                let [own, shared, _, first, second] = two_indexes(&shelves);
                let signature = shelves.about(first, "signature");
                let list = shelves.index(&[signature]);
                shelves.tag(Tag::of_referrers(&first).as_str(), list);
                let (written, left) = (RefCell::new(None), Cell::new(Some(requests)));
                let is_done = look_and_take_out(&shelves, first, &written, &left).is_ok() && left.get() != Some(0);
                // Somebody pushes another image with a part that is still there.
                let third = is_needed_meanwhile && shelves.has(own);
                if third {
                    let third = shelves.index(&[own]);
                    shelves.tag("17.3.3", third);
                }
                left.set(None);
                for _ in 0..2 {
                    look_and_take_out(&shelves, first, &written, &left).expect("answers");
                }
                let there = [own, shared, first, second, signature, list].map(|digest| shelves.has(digest));
                assert_eq!(there, [third, true, false, true, false, false], "after {requests} requests");
                assert_eq!(*shelves.dangling.borrow(), BTreeSet::new());
                cuts += 1;
                if is_done {
                    break;
                }
            }
        }
        assert!(cuts > 30, "{cuts}");
    }

    #[test]
    fn a_look_says_what_goes_and_what_stays_and_for_whose_need_and_removing_does_that() {
        let shelves = Shelves::default();
        let [own, shared, other, first, second] = two_indexes(&shelves);
        let signature = shelves.about(first, "signature");
        let list = shelves.index(&[signature]);
        shelves.tag(Tag::of_referrers(&first).as_str(), list);
        let looks = |digest: Digest, gone: &BTreeSet<Digest>| {
            let registry = Registry::anonymous(base("https://registry.example.com"));
            let session = Session::new(&registry);
            let repository = "team/app".parse().expect("a repository");
            let there = Shelf { session: &session, repository: &repository };
            let kept = Kept { there: BTreeSet::from([first, second]), ..Kept::default() };
            let kept = Kept { there: kept.there.into_iter().filter(|kept| *kept != digest).collect(), ..kept };
            let http = Script::new(|request| shelves.answer(request));
            now(look(&http, there, &digest.into(), digest, Around { gone, ..Around::of(&kept) })).expect("answers")
        };
        let going = |look: Look| match look {
            Look::Goes(Going { tags, parts, stays, .. }) => {
                let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
                (tags.join(" "), parts.into_iter().collect::<BTreeSet<_>>(), stays)
            }
            other => panic!("it goes: {other:?}"),
        };
        let nothing = BTreeSet::new();
        let expected = ("17.3.1".to_owned(), BTreeSet::from([signature, list, own]));
        let (tags, parts, stays) = going(looks(first, &nothing));
        assert_eq!((tags, parts.clone()), expected);
        assert_eq!(stays.keys().copied().collect::<Vec<_>>(), [shared]);
        // Looked at ahead, what two shared goes with the second of them.
        let gone: BTreeSet<Digest> = parts.into_iter().chain([first]).collect();
        assert_eq!(
            going(looks(second, &gone)),
            ("17.3.2".to_owned(), BTreeSet::from([shared, other]), BTreeMap::new())
        );
        let stays = going(looks(second, &nothing)).2;
        assert_eq!(stays.keys().copied().collect::<Vec<_>>(), [shared]);
        assert!(matches!(looks(own, &nothing), Look::Needed(_)));
        // And so it is.
        for digest in [first, second] {
            shelves.remove(&digest.into(), digest, &[]).expect("answers");
        }
        assert!(shelves.held.borrow().manifests.is_empty() && shelves.tags().is_empty());
    }

    #[test]
    fn a_tag_that_is_listed_and_not_found_keeps_everything() {
        let shelves = Shelves::default();
        let [.., first, second] = two_indexes(&shelves);
        *shelves.hides.borrow_mut() = "17.3.2".to_owned();
        let error =
            shelves.remove(&Which::Tag("17.3.1".parse().expect("a tag")), first, &[]).expect_err("out of sight");
        assert!(matches!(&error, NotRemoved::OutOfSight { what, .. } if what.contains("`17.3.2`")), "{error}");
        shelves.hides.borrow_mut().clear();
        assert_eq!((shelves.tags().as_str(), shelves.held.borrow().manifests.len()), ("17.3.1 17.3.2", 5));
        assert!(shelves.has(first) && shelves.has(second));
    }

    #[test]
    fn an_image_that_is_kept_and_not_found_keeps_everything_unless_nobody_has_ever_seen_it() {
        let shelves = Shelves::default();
        let [own, shared, other, first, second] = two_indexes(&shelves);
        shelves.held.borrow_mut().tags.clear();
        *shelves.hides.borrow_mut() = second.to_string();
        let error = shelves.remove(&first.into(), first, &[second]).expect_err("out of sight");
        assert!(matches!(&error, NotRemoved::OutOfSight { .. }), "{error}");
        assert_eq!(shelves.held.borrow().manifests.len(), 5);

        // One that is declared, and that nobody could look at yet, is kept with its parts if it is there, and may not be.
        let never_seen = Digest::of(b"never pushed");
        shelves.hides.borrow_mut().clear();
        let kept = Kept { perhaps: BTreeSet::from([second, never_seen]), ..Kept::default() };
        assert_eq!(shelves.remove_beside(&first.into(), first, &kept).expect("answers"), Removed::Whole);
        let left = [own, shared, other, first, second].map(|digest| shelves.has(digest));
        assert_eq!(left, [false, true, true, false, true]);
    }

    #[test]
    fn parts_that_do_not_go_after_their_image_are_told_and_do_not_keep_the_others() {
        for deletions in 0..3 {
            // Where tags and parts do not go by themselves the image goes first, and its parts after it.
            let shelves = Shelves { keeps_tags: true, keeps_parts: true, ..Shelves::default() };
            let parts = ["one", "two", "three"].map(|name| shelves.image(name));
            let image = shelves.index(&parts);
            shelves.tag("17.3.1", image);
            // The tag's own deletion is answered by a refusal, and counts.
            shelves.breaks_after.set(Some(2 + deletions));
            shelves.breaks_once.set(true);
            let removed = shelves.remove_tag("17.3.1", image);
            let left: Vec<Digest> = parts.into_iter().filter(|part| shelves.has(*part)).collect();
            assert_eq!(left.len(), 1, "one deletion failed");
            let told = left[0].to_string();
            assert!(matches!(&removed, Removed::TagOnly(why) if why.contains(&told)), "{removed:?}");
            assert!(!shelves.has(image) && shelves.tags().is_empty());
        }
    }

    #[test]
    fn where_something_else_cannot_be_read_nothing_is_deleted() {
        let shelves = Shelves::default();
        let [.., first, _] = two_indexes(&shelves);
        let strange = shelves.put("application/vnd.docker.distribution.manifest.v1+json", "{}".to_owned());
        shelves.tag("strange", strange);
        let error = shelves.remove(&first.into(), first, &[]).expect_err("unclear");
        assert!(matches!(&error, NotRemoved::Unclear { .. }) && error.to_string().contains("`strange`"), "{error}");
        assert_eq!(shelves.held.borrow().manifests.len(), 6);
    }
}
