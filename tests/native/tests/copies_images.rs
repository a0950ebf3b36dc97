//! Images between two real registries, Debian's, read back with `skopeo`.
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

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
    copy(http, source, target, &image, &|_, how| moved.borrow_mut().push(how)).await?;
    let tags: Vec<Tag> = vec![name.parse()?];
    tag(http, target, image.manifest().expect("an image"), &tags).await?;
    Ok(moved.into_inner())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn an_image_for_two_platforms_arrives_with_its_digest_and_is_not_sent_twice() {
    let folder = folder("two-platforms");
    let staging = registry::Registry::start("staging", &folder.join("staging"), Door::Htpasswd).expect("a registry");
    let public = registry::Registry::start("public", &folder.join("public"), Door::Open).expect("a registry");
    let layout_folder = folder.join("layout");
    let layout = Layout::new(&layout_folder).expect("a folder");
    let shared = layout.layer("shared", &vec![7; 300_000]).expect("a layer");
    let images: Vec<_> = ["amd64", "arm64"]
        .into_iter()
        .map(|architecture| {
            let own = layout.layer("own", architecture.as_bytes()).expect("a layer");
            layout.image(architecture, &[shared.clone(), own]).expect("an image")
        })
        .collect();
    let index = layout.index(&images).expect("an index");
    let to = format!("{}/team/app", staging.host());
    let digest = layout.push(index, "17.3.1", &to, Some(&format!("{USER}:{PASSWORD}"))).expect("skopeo pushes it");

    let (from, to) = (with_user(&staging), open(&public));
    let http = Native::new(Duration::ZERO);
    let copied = || release(&http, (&from, "team/app"), (&to, "acme/app"), digest, "17.3.1");
    let moved = run(copied()).expect("it arrives");
    // Two configurations, two layers of their own, and one that they share.
    assert_eq!(moved, [Moved::Sent; 5]);
    let reference = format!("{}/acme/app:17.3.1", public.host());
    let bytes = inspect(&folder, &reference, None).expect("skopeo reads it");
    assert_eq!(Digest::of(&bytes), digest, "the public digest is the staged digest");
    pull(&folder, &reference, &folder.join("pulled"), None).expect("skopeo finds every part");

    let again = run(copied()).expect("nothing is wrong with a second time");
    assert_eq!(again, [Moved::WasThere; 5]);
}
