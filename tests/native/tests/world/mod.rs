//! Two registries that can be told to be different, an image in one of them, and a release of it to the other.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use slipway_native::Native;
use slipway_oci::{
    Credential, Depth, Image, Location, Moved, NotCopied, NotServed, OCI_IMAGE, OCI_INDEX, Registry, Repository, Scope,
    Session, Shelf, Tag, Uploads, copy, copy_referrers, find_referrers, read_back, read_image, tag,
};
use slipway_registry::{Manner, Registry as Server};
use slipway_wire::{Digest, Token};

/// An image of two platforms, `layers` for each, in `ci/app` of a registry. Returns its digest.
pub(crate) fn stage(server: &Server, layers: &[Vec<u8>]) -> Digest {
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        server.put_blob("ci/app", digest, bytes.to_vec());
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    };
    let image = |architecture: &str| {
        let config = blob("application/vnd.oci.image.config.v1+json", architecture.as_bytes());
        let layers: Vec<_> = layers.iter().map(|bytes| blob("application/vnd.oci.image.layer.v1.tar", bytes)).collect();
        let bytes =
            json!({ "schemaVersion": 2, "config": config, "layers": layers }).to_string().replace("\":", "\" :  ");
        let digest = server.put_manifest("ci/app", architecture, OCI_IMAGE, bytes.as_bytes());
        json!({ "mediaType": OCI_IMAGE, "digest": digest.to_string(), "size": bytes.len() })
    };
    let index = json!({ "schemaVersion": 2, "manifests": [image("amd64"), image("arm64")] }).to_string();
    server.put_manifest("ci/app", "1", OCI_INDEX, index.as_bytes())
}

pub(crate) fn layers() -> Vec<Vec<u8>> {
    vec![vec![1; 100_000], vec![2; 70_000]]
}

/// A registry as the operator describes it: its storage is named, and its user where it wants one.
pub(crate) fn described(server: &Server, user: Option<&str>) -> Registry {
    let storage = vec![server.storage_url().parse().expect("an address")];
    let credential = user
        .and_then(|pair| pair.split_once(':'))
        .map(|(user, password)| Credential { user: user.to_owned(), password: Token::new(password) });
    Registry { storage, credential, ..Registry::anonymous(server.url().parse().expect("an address")) }
}

/// Remembers as the edge's ledger does.
#[derive(Default)]
pub(crate) struct Remembered(RefCell<BTreeMap<Digest, Location>>);

impl Uploads for Remembered {
    fn broken_off(&self, blob: &Digest) -> Option<Location> {
        self.0.borrow().get(blob).cloned()
    }

    fn goes_on_at(&self, blob: &Digest, location: Option<&Location>) {
        match location {
            Some(location) => drop(self.0.borrow_mut().insert(*blob, location.clone())),
            None => drop(self.0.borrow_mut().remove(blob)),
        }
    }
}

pub(crate) struct World {
    pub(crate) staging: Server,
    pub(crate) public: Server,
    pub(crate) http: Native,
    pub(crate) uploads: Remembered,
    pub(crate) digest: Digest,
    pub(crate) user: Option<&'static str>,
}

impl World {
    pub(crate) async fn new(staging: Manner, public: Manner, layers: &[Vec<u8>]) -> Self {
        let staging = Server::start(staging).await.expect("a registry");
        let public = Server::start(public).await.expect("a registry");
        let digest = stage(&staging, layers);
        let http = Native::new(Duration::ZERO);
        Self { staging, public, http, uploads: Remembered::default(), digest, user: Some("tester:secret") }
    }

    /// One run of a release: the image by digest, then its tag.
    pub(crate) async fn release(&self) -> Result<Vec<Moved>, String> {
        let (from, to) = (described(&self.staging, self.user), described(&self.public, self.user));
        let (from, to) = (Session::new(&from), Session::new(&to));
        let (source, target) = (repository("ci/app"), repository("acme/app"));
        let scope = Scope::pull(&source);
        let image =
            read_image(&from, &self.http, &scope, &source, self.digest).await.map_err(|error| error.to_string())?;
        let source = Shelf { session: &from, repository: &source };
        let target = Shelf { session: &to, repository: &target };
        let moved = RefCell::new(Vec::new());
        let copied =
            copy(&self.http, source, target, &image, &self.uploads, &|_, how| moved.borrow_mut().push(how)).await;
        copied.map_err(|error| error.to_string())?;
        self.tag(target, &image).await.map_err(|error| error.to_string())?;
        Ok(moved.into_inner())
    }

    /// The image, what says something about it, and then its tag.
    pub(crate) async fn release_with_referrers(&self, is_first: bool) -> Result<(), String> {
        let (from, to) = (described(&self.staging, self.user), described(&self.public, self.user));
        let (from, to) = (Session::new(&from), Session::new(&to));
        let (source, target) = (repository("ci/app"), repository("acme/app"));
        let in_words = |error: &dyn std::fmt::Display| error.to_string();
        let image = read_image(&from, &self.http, &Scope::pull(&source), &source, self.digest).await;
        let image = image.map_err(|error| in_words(&error))?;
        let subjects = image.manifests().iter().map(slipway_oci::Manifest::digest).collect();
        let referrers = find_referrers(&from, &self.http, &source, subjects).await.map_err(|error| in_words(&error))?;
        let source = Shelf { session: &from, repository: &source };
        let target = Shelf { session: &to, repository: &target };
        copy(&self.http, source, target, &image, &(), &|_, _| ()).await.map_err(|error| in_words(&error))?;
        let copied = copy_referrers(&self.http, source, target, &referrers, &(), &|_, _| ()).await;
        copied.map_err(|error| in_words(&error))?;
        if is_first {
            assert_eq!(self.public(), None, "nobody finds the image before what says something about it");
        }
        self.tag(target, &image).await.map_err(|error| in_words(&error))
    }

    /// Reads the public image and its tag back as anybody would who has the user.
    pub(crate) async fn read_back(&self, depth: Depth) -> Result<(), NotServed> {
        let (from, to) = (described(&self.staging, self.user), described(&self.public, self.user));
        let (from, to) = (Session::new(&from), Session::new(&to));
        let (source, target) = (repository("ci/app"), repository("acme/app"));
        let image = read_image(&from, &self.http, &Scope::pull(&source), &source, self.digest).await;
        let target = Shelf { session: &to, repository: &target };
        let tags: Vec<Tag> = vec!["17.3.1".parse().expect("a tag")];
        read_back(&self.http, target, &image.expect("the staged image"), &tags, depth).await
    }

    async fn tag(&self, target: Shelf<'_>, image: &Image) -> Result<(), NotCopied> {
        let tags: Vec<Tag> = vec!["17.3.1".parse().expect("a tag")];
        tag(&self.http, target, image.manifest().expect("an image"), &tags).await
    }

    /// What the public tag leads to, once it is there, must be whole at every moment.
    pub(crate) fn public(&self) -> Option<Result<(), String>> {
        self.public.manifest("acme/app", "17.3.1")?;
        Some(self.public.whole("acme/app", "17.3.1"))
    }
}

pub(crate) fn repository(name: &str) -> Repository {
    name.parse().expect("a repository")
}
