//! The same copy against a registry that can be told to be different, to fail, or to lie.
#![allow(clippy::print_stdout, reason = "tests say what they counted")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use slipway_native::Native;
use slipway_oci::{
    Credential, Image, Location, Moved, NotCopied, OCI_IMAGE, OCI_INDEX, Registry, Repository, Scope, Session, Shelf,
    Tag, Uploads, copy, copy_referrers, find_referrers, read_image, tag,
};
use slipway_registry::{Manner, Quirk, Registry as Server, Wants, What};
use slipway_wire::{Digest, Token};

/// An image of two platforms, `layers` for each, in `ci/app` of a registry. Returns its digest.
fn stage(server: &Server, layers: &[Vec<u8>]) -> Digest {
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

fn layers() -> Vec<Vec<u8>> {
    vec![vec![1; 100_000], vec![2; 70_000]]
}

/// A registry as the operator describes it: its storage is named, and its user where it wants one.
fn described(server: &Server, user: Option<&str>) -> Registry {
    let storage = vec![server.storage_url().parse().expect("an address")];
    let credential = user
        .and_then(|pair| pair.split_once(':'))
        .map(|(user, password)| Credential { user: user.to_owned(), password: Token::new(password) });
    Registry { storage, credential, ..Registry::anonymous(server.url().parse().expect("an address")) }
}

/// Remembers as the edge's ledger does.
#[derive(Default)]
struct Remembered(RefCell<BTreeMap<Digest, Location>>);

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

struct World {
    staging: Server,
    public: Server,
    http: Native,
    uploads: Remembered,
    digest: Digest,
    user: Option<&'static str>,
}

impl World {
    async fn new(staging: Manner, public: Manner, layers: &[Vec<u8>]) -> Self {
        let staging = Server::start(staging).await.expect("a registry");
        let public = Server::start(public).await.expect("a registry");
        let digest = stage(&staging, layers);
        let http = Native::new(Duration::ZERO);
        Self { staging, public, http, uploads: Remembered::default(), digest, user: Some("tester:secret") }
    }

    /// One run of a release: the image by digest, then its tag.
    async fn release(&self) -> Result<Vec<Moved>, String> {
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
    async fn release_with_referrers(&self, is_first: bool) -> Result<(), String> {
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

    async fn tag(&self, target: Shelf<'_>, image: &Image) -> Result<(), NotCopied> {
        let tags: Vec<Tag> = vec!["17.3.1".parse().expect("a tag")];
        tag(&self.http, target, image.manifest().expect("an image"), &tags).await
    }

    /// What the public tag leads to, once it is there, must be whole at every moment.
    fn public(&self) -> Option<Result<(), String>> {
        self.public.manifest("acme/app", "17.3.1")?;
        Some(self.public.whole("acme/app", "17.3.1"))
    }
}

fn repository(name: &str) -> Repository {
    name.parse().expect("a repository")
}

#[tokio::test]
async fn an_image_arrives_whatever_a_registry_does_in_its_own_way() {
    let all = [
        Quirk::RelativeLocations,
        Quirk::RedirectsBlobs,
        Quirk::NeverMounts,
        Quirk::ForgetsUploads,
        Quirk::HasReferrers,
        Quirk::NamesNoDigest,
        Quirk::NamesOnePart,
    ];
    let alone = all.iter().map(|quirk| vec![*quirk]);
    for quirks in alone.chain([all.to_vec()]) {
        let wants = [Wants::Nothing, Wants::Basic("tester:secret".to_owned()), Wants::Tokens { good_for: 8 }];
        for wants in wants {
            let manner = Manner { wants: wants.clone(), ..Manner::with(quirks.clone()) };
            let world = World::new(manner.clone(), manner, &layers()).await;
            let moved = world.release().await.unwrap_or_else(|error| panic!("{quirks:?} {wants:?}: {error}"));
            // Two configurations, and two layers that both platforms have.
            assert_eq!(moved.len(), 4, "{quirks:?} {wants:?}");
            assert_eq!(world.public(), Some(Ok(())), "{quirks:?} {wants:?}");
            let public = world.public.manifest("acme/app", "17.3.1").expect("it is there");
            assert_eq!(Digest::of(&public.bytes), world.digest);
        }
    }
}

#[tokio::test]
async fn storage_is_never_shown_a_credential() {
    let manner = Manner { wants: Wants::Basic("tester:secret".to_owned()), ..Manner::with([Quirk::RedirectsBlobs]) };
    let mut world = World::new(manner, Manner::default(), &layers()).await;
    // The storage refuses whoever shows one, so that it arrives proves that none was shown.
    world.release().await.expect("it arrives");
    world.user = None;
    let error = world.release().await.expect_err("staging is closed");
    assert!(error.contains("UNAUTHORIZED"), "{error}");
}

/// What goes wrong once at each request of a release, with the work undone and done, ends in a release after some runs, and
/// never in a tag whose image is not whole.
#[tokio::test]
async fn a_release_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    let plain = World::new(Manner::default(), Manner::default(), &layers()).await;
    plain.release().await.expect("it arrives");
    let requests = plain.public.journal();
    assert!(requests.len() > 15, "{requests:#?}");
    let mut tried = 0;
    for asked in &requests {
        let (method, path) = asked.request.split_once(' ').expect("a method");
        let method = ["HEAD", "GET", "POST", "PUT", "PATCH"].into_iter().find(|known| known == &method).expect(method);
        // The number of an upload is another in each run.
        let path = if path.contains("/uploads/") { "/uploads/" } else { path };
        for what in [
            What::Refuse(500),
            What::Refuse(429),
            What::DoAndRefuse(502),
            What::DoAndHangUp,
            What::HangUpAfter(0),
            What::Collect,
        ] {
            let world = World::new(Manner::default(), Manner::default(), &layers()).await;
            world.public.fault(method, path, what.clone());
            let mut ended = Err(String::new());
            for _ in 0..3 {
                ended = world.release().await;
                assert_ne!(world.public().map(|seen| seen.is_ok()), Some(false), "{method} {path} {what:?}");
                if ended.is_ok() {
                    break;
                }
            }
            assert!(ended.is_ok() && world.public.is_spent(), "{method} {path} {what:?}: {ended:?}");
            assert_eq!(world.public(), Some(Ok(())), "{method} {path} {what:?}");
            tried += 1;
        }
    }
    println!("{tried} releases cut off");
}

#[tokio::test]
async fn a_large_blob_goes_on_where_its_upload_broke_off() {
    let large = vec![5; 70_000_000];
    for (quirks, again) in [(vec![], 21_000_000), (vec![Quirk::ForgetsUploads], 70_000_000)] {
        let world = World::new(Manner::default(), Manner::with(quirks.clone()), std::slice::from_ref(&large)).await;
        world.public.fault("PATCH", "/uploads/", What::HangUpAfter(49_000_000));
        world.release().await.expect_err("it breaks off");
        world.public.journal();
        let moved = world.release().await.expect("it goes on");
        assert!(moved.contains(&Moved::Sent(again)), "{quirks:?}: {moved:?}");
        let sent: u64 = world
            .public
            .journal()
            .iter()
            .filter(|asked| asked.request.starts_with("PATCH"))
            .map(|asked| asked.bytes)
            .sum();
        assert_eq!(sent, again, "{quirks:?}");
        assert_eq!(world.public(), Some(Ok(())));
    }
}

/// Puts an artifact that says something about `subject` into `ci/app`. Returns its digest.
fn attach(server: &Server, name: &str, subject: Option<Digest>) -> Digest {
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        server.put_blob("ci/app", digest, bytes.to_vec());
        json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest.to_string(), "size": bytes.len() })
    };
    let mut manifest = json!({
        "schemaVersion": 2,
        "artifactType": "application/vnd.example.signature",
        "config": blob(b"{}"),
        "layers": [blob(name.as_bytes())],
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!({ "mediaType": OCI_INDEX, "digest": subject.to_string(), "size": 1 });
    }
    server.put_manifest("ci/app", name, OCI_IMAGE, manifest.to_string().as_bytes())
}

#[tokio::test]
async fn what_says_something_about_an_image_arrives_before_its_tag_and_is_found_there() {
    let both = [vec![], vec![Quirk::HasReferrers]];
    for (at_source, at_target) in both.iter().flat_map(|source| both.iter().map(move |target| (source, target))) {
        let manner = |quirks: &[Quirk]| Manner::with(quirks.iter().copied());
        let world = World::new(manner(at_source), manner(at_target), &layers()).await;
        let child = Digest::of(&world.staging.manifest("ci/app", "arm64").expect("an image").bytes);
        let on_index = attach(&world.staging, "signature", Some(world.digest));
        let on_child = attach(&world.staging, "sbom", Some(child));
        // A signature of the bill of materials.
        let on_sbom = attach(&world.staging, "signature-of-sbom", Some(on_child));
        let cosign = attach(&world.staging, &format!("{}.sig", Tag::of_referrers(&world.digest)), None);
        let nobody = attach(&world.staging, "of-another", Some(Digest::of(b"another image")));
        if at_source.is_empty() {
            for (subject, referrer) in [(world.digest, on_index), (child, on_child), (on_child, on_sbom)] {
                let size = world.staging.manifest("ci/app", &referrer.to_string()).expect("it is there").bytes.len();
                let entry = json!({ "mediaType": OCI_IMAGE, "digest": referrer.to_string(), "size": size });
                let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
                let name = Tag::of_referrers(&subject).to_string();
                world.staging.put_manifest("ci/app", &name, OCI_INDEX, index.as_bytes());
            }
        }
        for is_first in [true, false] {
            world.release_with_referrers(is_first).await.expect("it arrives");
        }
        let what = format!("{at_source:?} {at_target:?}");
        for referrer in [on_index, on_child, on_sbom, cosign] {
            assert_eq!(world.public.whole("acme/app", &referrer.to_string()), Ok(()), "{what}");
        }
        assert_eq!(world.public.manifest("acme/app", &nobody.to_string()), None, "{what}");
        // As a client looks for them.
        let registry = described(&world.public, None);
        let session = Session::new(&registry);
        let found = find_referrers(&session, &world.http, &repository("acme/app"), [world.digest, child].into()).await;
        let found = found.expect("a list");
        assert_eq!(found.manifests, [on_index, on_child, on_sbom].into(), "{what}");
        assert_eq!(found.tags.values().copied().collect::<Vec<_>>(), [cosign], "{what}");
    }
}

#[tokio::test]
async fn a_registry_that_loses_the_end_of_a_blob_is_caught() {
    let world = World::new(Manner::default(), Manner::default(), &layers()).await;
    world.public.fault("PUT", "/uploads/", What::Truncate);
    // It takes its own word for the blob that it has spoilt, until it is looked at.
    let mut ended = Vec::new();
    for _ in 0..2 {
        ended.push(world.release().await.map(drop));
    }
    let error = ended.into_iter().find_map(Result::err).expect("it is caught");
    assert!(error.contains("bytes, and it has"), "{error}");
}

#[tokio::test]
async fn an_address_that_a_registry_gives_and_nobody_named_is_not_visited() {
    let world = World::new(Manner::with([Quirk::RedirectsBlobs]), Manner::default(), &layers()).await;
    let (from, source) = (Registry::anonymous(world.staging.url().parse().expect("an address")), repository("ci/app"));
    let session = Session::new(&from);
    let image =
        read_image(&session, &world.http, &Scope::pull(&source), &source, world.digest).await.expect("an image");
    let (to, target) = (described(&world.public, None), repository("acme/app"));
    let to = Session::new(&to);
    let source = Shelf { session: &session, repository: &source };
    let target = Shelf { session: &to, repository: &target };
    let error = copy(&world.http, source, target, &image, &(), &|_, _| ()).await.expect_err("storage is not named");
    assert!(error.to_string().contains("`storage` does not list"), "{error}");
}
