//! What says something about an image: signatures, bills of materials, attestations.
//!
//! There are three ways to find them, and one image may use all: the referrers API (OCI distribution specification 1.1,
//! "Listing Referrers"); where a registry has none, an index under a tag made of the image's digest ("Referrers tag
//! schema"); and cosign's older tags, which end in `.sig`, `.att` and `.sbom`. They hang off an index and off each of its
//! images.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use http::{Method, StatusCode};
use serde::Deserialize;
use slipway_wire::{CallError, Digest, Endpoint, Http, Request, Response};

use crate::answer::{refusal, unreadable};
use crate::manifest::{MANIFEST_BYTES_MAX, OCI_INDEX, is_manifest};
use crate::manifests::{HeadManifest, read_manifest};
use crate::name::{Repository, Tag, Which};
use crate::registry::Registry;
use crate::session::{Scope, Session};
use crate::tags::list_tags;

/// A signature of a bill of materials of an image is two deep. How deep it goes has to have an end.
const DEPTH_MAX: usize = 4;
/// How many there may be. Images signed by several people for several platforms have some dozens.
const REFERRERS_MAX: usize = 1000;

/// Everything that says something about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    /// Their manifests, each naming its subject itself.
    pub manifests: BTreeSet<Digest>,
    /// Those that are found by a tag alone, and what it names: cosign's.
    pub tags: BTreeMap<Tag, Digest>,
}

impl Referrers {
    /// Every manifest, however it is found.
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.manifests.iter().chain(self.tags.values()).copied().collect()
    }
}

/// The endings of cosign's tags, behind `sha256-` and the digest
/// (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>).
const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];

/// Finds what says something about any of `subjects`, and about what says something about those.
pub async fn find_referrers(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
    subjects: BTreeSet<Digest>,
) -> Result<Referrers, CallError> {
    // One list answers which of the many possible tags there are.
    let tags = list_tags(session, http, repository).await?;
    let mut found = Referrers::default();
    let mut known = subjects.clone();
    let mut subjects = subjects;
    let mut count = 0;
    for _ in 0..DEPTH_MAX {
        let looks = subjects.into_iter().map(|subject| of_one(session, http, repository, &tags, subject));
        let mut looks = stream::iter(looks).buffer_unordered(http.connections());
        let mut newly = BTreeSet::new();
        while let Some(look) = looks.next().await {
            let Referrers { manifests, tags } = look?;
            newly.extend(manifests.iter().chain(tags.values()).filter(|digest| known.insert(**digest)));
            found.manifests.extend(manifests);
            found.tags.extend(tags);
        }
        if newly.is_empty() {
            return Ok(found);
        }
        count = found.digests().len();
        if count > REFERRERS_MAX {
            break;
        }
        subjects = newly;
    }
    let why = format!("more says something about an image of `{repository}` than is read: {count} so far");
    Err(unreadable(&session.registry().base, why))
}

async fn of_one(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
    tags: &BTreeSet<Tag>,
    subject: Digest,
) -> Result<Referrers, CallError> {
    let (registry, scope) = (session.registry(), Scope::pull(repository));
    let mut found = Referrers::default();
    let tag = Tag::of_referrers(&subject);
    if let Some(listed) = session.call(http, &scope, &ListReferrers { registry, repository, subject }).await? {
        found.manifests.extend(listed);
    } else if tags.contains(&tag) {
        let index = read_manifest(session, http, &scope, repository, &tag.into()).await?;
        found.manifests.extend(index.into_iter().flat_map(|index| index.children).map(|child| child.digest));
    }
    for ending in COSIGN {
        let tag = format!("{}{ending}", Tag::of_referrers(&subject)).parse::<Tag>();
        let Ok(tag) = tag.map_err(drop).and_then(|tag| tags.contains(&tag).then_some(tag).ok_or(())) else { continue };
        let which = Which::Tag(tag.clone());
        let head = session.call(http, &scope, &HeadManifest { registry, repository, which: &which }).await?;
        let digest = match head {
            Some(head) if head.digest.is_some() => head.digest,
            // A registry that names no digest: its bytes have one.
            Some(_) => read_manifest(session, http, &scope, repository, &which).await?.map(|read| read.digest()),
            None => None,
        };
        found.tags.extend(digest.map(|digest| (tag, digest)));
    }
    Ok(found)
}

/// `GET /v2/{repository}/referrers/{digest}`: the manifests whose subject an image is.
struct ListReferrers<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    subject: Digest,
}

impl Endpoint for ListReferrers<'_> {
    /// `None` where there is no such API.
    type Output = Option<Vec<Digest>>;

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.registry.url(self.repository, format_args!("referrers/{}", self.subject));
        Registry::request(Method::GET, &url).header(http::header::ACCEPT, OCI_INDEX).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Self::Output, CallError> {
        #[derive(Deserialize)]
        struct Index {
            manifests: Vec<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            media_type: String,
            digest: String,
        }
        let base = &self.registry.base;
        match response.status() {
            StatusCode::OK => {}
            // 404 by the specification; the others where a registry does not know the route at all.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => return Ok(None),
            _ => return Err(refusal(base, response)),
        }
        if response.headers().contains_key(http::header::LINK) {
            return Err(unreadable(
                base,
                "its list of referrers has several pages, which no image that is released needs",
            ));
        }
        if response.body().len() > MANIFEST_BYTES_MAX {
            return Err(unreadable(base, "its list of referrers is larger than any manifest"));
        }
        let index: Index = serde_json::from_slice(response.body())
            .map_err(|error| unreadable(base, format!("its list of referrers: {error}")))?;
        let manifests = index.manifests.iter().filter(|entry| is_manifest(&entry.media_type));
        let digests = manifests.map(|entry| entry.digest.parse::<Digest>());
        let digests: Result<Vec<_>, _> = digests.collect();
        digests.map(Some).map_err(|error| unreadable(base, error.to_string()))
    }
}
