//! Images between two real registries, Debian's, read back with `skopeo`.
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod images;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use images::{Layout, inspect, pull};
use slipway_native::Native;
use slipway_oci::{Credential, Moved, Registry, Repository, Scope, Session, Shelf, Tag, copy, read_image, tag};
use slipway_stack::registry::{self, Door, PASSWORD, USER};
use slipway_wire::{Digest, Token};

/// A folder that is made anew.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the folder of an earlier run");
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn open(running: &registry::Registry) -> Registry {
    Registry::anonymous(running.url().parse().expect("an address"))
}

fn with_user(running: &registry::Registry) -> Registry {
    let credential = Credential { user: USER.to_owned(), password: Token::new(PASSWORD) };
    Registry { credential: Some(credential), ..open(running) }
}

fn repository(name: &str) -> Repository {
    name.parse().expect("a repository")
}

/// Copies an image and gives it one tag. Returns what happened to its blobs.
async fn release(
    http: &Native,
    (from, source): (&Registry, &str),
    (to, target): (&Registry, &str),
    digest: Digest,
    name: &str,
) -> anyhow::Result<Vec<Moved>> {
    let (from, to) = (Session::new(from), Session::new(to));
    let (source, target) = (repository(source), repository(target));
    let image = read_image(&from, http, &Scope::pull(&source), &source, digest).await?;
    let source = Shelf { session: &from, repository: &source };
    let target = Shelf { session: &to, repository: &target };
    let moved = RefCell::new(Vec::new());
    copy(http, source, target, &image, &(), &|_, how| moved.borrow_mut().push(how)).await?;
    let tags: Vec<Tag> = vec![name.parse()?];
    tag(http, target, image.manifest().expect("an image"), &tags).await?;
    Ok(moved.into_inner())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Two registries, of which the staging one is closed, and a folder for what is pushed there.
struct World {
    folder: PathBuf,
    staging: registry::Registry,
    public: registry::Registry,
    http: Native,
}

impl World {
    /// `None`, said loudly, where a program is not installed.
    fn new(name: &str) -> Option<Self> {
        for program in ["docker-registry", "htpasswd", "skopeo"] {
            if !registry::is_a_program(program) {
                println!("SKIPPED: images cannot be copied here: there is no `{program}`");
                return None;
            }
        }
        let folder = folder(name);
        let staging = registry::Registry::start("staging", &folder.join("staging"), Door::Htpasswd);
        let public = registry::Registry::start("public", &folder.join("public"), Door::Open);
        Some(Self {
            staging: staging.expect("a registry"),
            public: public.expect("a registry"),
            http: Native::new(Duration::ZERO),
            folder,
        })
    }

    /// Pushes an image for two platforms, which share a layer, to `team/app` of staging.
    fn push_index(&self) -> Digest {
        let folder = self.folder.join("layout");
        let layout = Layout::new(&folder).expect("a folder");
        let shared = layout.layer("shared", &vec![7; 300_000]).expect("a layer");
        let image = |architecture: &str| {
            let own = layout.layer("own", architecture.as_bytes()).expect("a layer");
            layout.image(architecture, &[shared.clone(), own]).expect("an image")
        };
        let index = layout.index(&[image("amd64"), image("arm64")]).expect("an index");
        layout.push(index, "17.3.1", &self.staged(), Some(&credentials())).expect("skopeo pushes it")
    }

    fn staged(&self) -> String {
        format!("{}/team/app", self.staging.host())
    }

    fn release(&self, digest: Digest) -> anyhow::Result<Vec<Moved>> {
        let (from, to) = (with_user(&self.staging), open(&self.public));
        run(release(&self.http, (&from, "team/app"), (&to, "acme/app"), digest, "17.3.1"))
    }

    /// The digest that anybody sees under the public tag, if there is one.
    fn public_digest(&self) -> Option<Digest> {
        let reference = format!("{}/acme/app:17.3.1", self.public.host());
        inspect(&self.folder, &reference, None).ok().map(|bytes| Digest::of(&bytes))
    }
}

fn credentials() -> String {
    format!("{USER}:{PASSWORD}")
}

#[test]
fn an_image_for_two_platforms_arrives_with_its_digest_and_is_not_sent_twice() {
    let Some(world) = World::new("two-platforms") else { return };
    let digest = world.push_index();
    // Two configurations, two layers of their own, and one that they share.
    let moved = world.release(digest).expect("it arrives");
    assert!(moved.len() == 5 && moved.iter().all(|how| matches!(how, Moved::Sent(_))), "{moved:?}");
    assert_eq!(world.public_digest(), Some(digest), "the public digest is the staged digest");
    let reference = format!("{}/acme/app:17.3.1", world.public.host());
    pull(&world.folder, &reference, &world.folder.join("pulled"), None).expect("skopeo finds every part");
    assert_eq!(world.release(digest).expect("a second time"), [Moved::WasThere; 5]);
}

#[test]
fn within_one_registry_nothing_is_sent() {
    let Some(world) = World::new("one-registry") else { return };
    let digest = world.push_index();
    let registry = with_user(&world.staging);
    let released = release(&world.http, (&registry, "team/app"), (&registry, "acme/app"), digest, "17.3.1");
    assert_eq!(run(released).expect("it arrives"), [Moved::Mounted; 5]);
    let reference = format!("{}/acme/app:17.3.1", world.staging.host());
    let bytes = inspect(&world.folder, &reference, Some(&credentials())).expect("skopeo reads it");
    assert_eq!(Digest::of(&bytes), digest);
    let sent = world.staging.requests().expect("its log");
    let sent: Vec<_> = sent.iter().filter(|line| line.contains("/acme/app/blobs/uploads/")).collect();
    assert!(sent.len() == 5 && sent.iter().all(|line| line.contains("?mount=")), "{sent:?}");
}

#[test]
fn an_image_of_dockers_own_form_keeps_it() {
    let Some(world) = World::new("docker-schema-2") else { return };
    let folder = world.folder.join("layout");
    let layout = Layout::new(&folder).expect("a folder");
    let layer = layout.layer("file", b"some bytes").expect("a layer");
    let image = layout.image("amd64", &[layer]).expect("an image");
    let credentials = credentials();
    layout.push_as(image, "1", &world.staged(), Some(&credentials), &["--format", "v2s2"]).expect("skopeo pushes it");
    let staged = inspect(&world.folder, &format!("{}:1", world.staged()), Some(&credentials)).expect("skopeo reads it");
    let digest = Digest::of(&staged);
    assert!(String::from_utf8_lossy(&staged).contains(slipway_oci::DOCKER_IMAGE), "it is Docker's form");
    world.release(digest).expect("it arrives");
    assert_eq!(world.public_digest(), Some(digest));
}

#[test]
fn a_layer_whose_bytes_changed_in_staging_does_not_become_public() {
    let Some(world) = World::new("changed") else { return };
    let digest = world.push_index();
    let layout = std::fs::read_dir(world.folder.join("layout/blobs/sha256")).expect("a folder");
    let largest =
        layout.map(|entry| entry.expect("an entry")).max_by_key(|entry| entry.metadata().expect("a file").len());
    let hex = largest.expect("a blob").file_name().into_string().expect("a digest");
    let file = world.staging.blob_file(&hex);
    let mut bytes = std::fs::read(&file).expect("the staged layer");
    bytes[100_000] ^= 1;
    std::fs::write(&file, &bytes).expect("other bytes");
    let error = world.release(digest).expect_err("the layer is another").to_string();
    let found = Digest::of(&bytes);
    assert!(error.contains(&format!("sha256:{hex}")) && error.contains(&found.to_string()), "{error}");
    assert_eq!(world.public_digest(), None);
    assert!(!world.public.blob_file(&hex).exists() && !world.public.blob_file(&found.hex()).exists());
}

#[test]
fn a_layer_that_is_sent_so_that_it_could_go_on_arrives_too() {
    let Some(world) = World::new("large") else { return };
    let folder = world.folder.join("layout");
    let layout = Layout::new(&folder).expect("a folder");
    let layer = layout.layer("file", &vec![7; 65 * 1024 * 1024]).expect("a layer");
    let image = layout.image("amd64", &[layer]).expect("an image");
    let digest = layout.push(image, "1", &world.staged(), Some(&credentials())).expect("skopeo pushes it");
    world.release(digest).expect("it arrives");
    assert_eq!(world.public_digest(), Some(digest));
    let requests = world.public.requests().expect("its log");
    assert!(requests.iter().any(|line| line.starts_with("PATCH ")), "{requests:?}");
}
