//! A stack with registries of images, and a place for each: images are staged in one that is closed, and public in one that
//! anybody reads.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slipway_stack::image::{Layout, Repository, inspect, pull};
use slipway_stack::registry::{Door, PASSWORD, Registry, USER, is_a_program};

use super::{Answer, Gateway, PublicImages, Release, Spoken, Tokens, World, sha256};

/// The repository that images are staged in.
pub const STAGED: &str = "team/app";
/// The repository that they are released to.
pub const PUBLIC: &str = "acme/app";
/// What the tokens of the registry of staging are for.
pub const STAGING_SERVICE: &str = "images-of-staging";
/// What the tokens of the public registry are for.
pub const PUBLIC_SERVICE: &str = "images-of-all";

/// Whether what a test with images needs is here. What is missing is said.
pub fn can_run(more: &[&str]) -> bool {
    let needed = ["docker-registry", "htpasswd", "skopeo"];
    let lacks: Vec<_> = needed.iter().chain(more).copied().filter(|name| !is_a_program(name)).collect();
    if !lacks.is_empty() {
        println!("SKIPPED: this test needs {}", lacks.join(", "));
    }
    lacks.is_empty()
}

/// What a registry deletes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// What it is told to.
    #[default]
    AsTold,
    /// Nothing, as Debian's does unless its settings say otherwise.
    Nothing,
}

/// What a test wants otherwise than most.
#[derive(Debug, Default)]
pub struct Wishes {
    /// More lines of the route.
    pub route: String,
    /// Both registries want tokens; anybody gets one for reading what is public. Needs `openssl`.
    pub tokens: bool,
    /// Both repositories are in one registry.
    pub is_one_registry: bool,
    /// Slipway writes to the public registry through a proxy.
    pub gateway: bool,
    /// Where the public registry has uploads sent, in place of to itself.
    pub uploads_go_to: Option<String>,
    /// What the public registry deletes.
    pub deletes: Deletes,
    /// Where the public registry runs already, in place of one of Debian's.
    pub public_at: Option<String>,
}

/// A stack with registries.
pub struct Harbour {
    /// The stack.
    pub world: World,
    /// The registry of staging.
    pub staging: Registry,
    /// The public one, where it is another, and was started with the stack.
    other: Option<Registry>,
    /// Host and port of the public one.
    public_host: String,
    /// Whoever gives tokens.
    pub tokens: Option<Tokens>,
    /// The proxy in front of the public registry.
    pub gateway: Option<Gateway>,
    /// A folder for the test.
    pub folder: PathBuf,
}

/// An image in staging.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its index.
    pub digest: String,
    /// Those of its platforms' images.
    pub children: Vec<String>,
    /// The bytes of all its blobs.
    pub size: u64,
}

impl Harbour {
    /// Starts one with a password in front of staging, and none in front of what is public.
    pub fn start(test: &str) -> Self {
        Self::start_with(test, |_| {})
    }

    /// The same, as a test wants it.
    pub fn start_with(test: &str, wish: impl FnOnce(&mut Wishes)) -> Self {
        let places = slipway_stack::Places::of_this_clone().expect("tests run in a clone");
        let folder = places.target.join("tmp/images").join(format!("{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut wishes = Wishes::default();
        wish(&mut wishes);
        let tokens = wishes.tokens.then(|| Tokens::start(&folder.join("tokens"), PUBLIC));
        let issuer = |service| tokens.as_ref().map(|tokens| Door::Tokens(tokens.issuer(service)));
        let door = issuer(STAGING_SERVICE).unwrap_or(Door::Htpasswd);
        let staging = Registry::start("staging", &folder.join("staging"), door).expect("a registry");
        let is_started = !wishes.is_one_registry && wishes.public_at.is_none();
        let other = is_started.then(|| {
            let (name, folder) = ("public", folder.join("public"));
            let door = issuer(PUBLIC_SERVICE).unwrap_or(Door::Open);
            match &wishes.uploads_go_to {
                None if wishes.deletes == Deletes::Nothing => {
                    Registry::start_that_keeps_everything(name, &folder, door).expect("a registry")
                }
                None => Registry::start(name, &folder, door).expect("a registry"),
                Some(elsewhere) => Registry::start_leading_to(name, &folder, door, elsewhere).expect("a registry"),
            }
        });
        let started = || other.as_ref().unwrap_or(&staging).url();
        let public_url = wishes.public_at.clone().unwrap_or_else(started);
        let public_host = public_url.trim_start_matches("http://").to_owned();
        let gateway = wishes.gateway.then(|| Gateway::start(&public_host));
        let place = |name: &str, url: &str, service: &str| {
            let realm =
                tokens.as_ref().map(|tokens| format!("realm = \"{}\"\nservice = \"{service}\"\n", tokens.realm()));
            format!(
                "\n[places.{name}]\nkind = \"registry\"\nurl = \"{url}\"\nuser = \"{USER}\"\ntoken = \"IMAGES_PASSWORD\"\n{}",
                realm.unwrap_or_default()
            )
        };
        let mut more_config = place("images", &staging.url(), STAGING_SERVICE);
        if !wishes.is_one_registry {
            let url = gateway.as_ref().map_or(public_url.as_str(), |gateway| gateway.url());
            more_config += &place("images-public", url, PUBLIC_SERVICE);
        }
        let to = if wishes.is_one_registry { "images" } else { "images-public" };
        let routes = format!(
            "\n[[routes]]\nkinds = [\"image\"]\n\
             staging = {{ place = \"images\", repository = \"{STAGED}\" }}\n\
             public = {{ place = \"{to}\", repository = \"{PUBLIC}\" }}\n\
             floating = [{{ tag = \"latest\", of = \"final\" }}, {{ tag = \"{{major}}.{{minor}}\", of = \"final\" }}]\n{}",
            wishes.route
        );
        let mut world = World::start_with(&format!("images-{test}"), |settings| {
            settings.routes = Some(routes);
            settings.more_config = more_config;
        });
        world.bind("IMAGES_PASSWORD", PASSWORD);
        if wishes.public_at.is_none() {
            let public = other.as_ref().unwrap_or(&staging);
            let logs = other.iter().chain([&staging]).map(Registry::log_file).collect();
            let (url, storage) = (public.url(), public.storage());
            world.public_images = Some(PublicImages { url, repository: PUBLIC, logs, storage });
        }
        Self { world, staging, other, public_host, tokens, gateway, folder }
    }

    /// The public registry. Not where a test has started it itself.
    pub fn public(&self) -> &Registry {
        self.other.as_ref().unwrap_or(&self.staging)
    }

    /// `host/repository` of staging.
    pub fn staged(&self) -> String {
        format!("{}/{STAGED}", self.staging.host())
    }

    /// `host/repository` of what is public.
    pub fn released(&self) -> String {
        format!("{}/{PUBLIC}", self.public_host)
    }

    /// The repository of staging, for plain requests. Where it gives tokens, they are refused.
    pub fn staged_plainly(&self) -> Repository {
        let user = Some((USER.to_owned(), PASSWORD.to_owned()));
        Repository { url: self.staging.url(), name: STAGED.to_owned(), user }
    }

    /// Pushes an image for two platforms, which share a layer of so many bytes, to the staging repository.
    pub fn push(&self, name: &str, layer_bytes: usize) -> Image {
        let folder = self.folder.join(name);
        let layout = Layout::new(&folder).expect("a folder");
        let shared = layout.layer("shared", &varied(name, layer_bytes)).expect("a layer");
        let children = ["amd64", "arm64"].map(|architecture| {
            let own = layout.layer("own", format!("{name} {architecture}").as_bytes()).expect("a layer");
            layout.image(architecture, &[shared.clone(), own]).expect("an image")
        });
        self.push_list(&layout, &folder, name, &children)
    }

    /// Pushes a list of images that were made in this folder.
    pub fn push_list(&self, layout: &Layout<'_>, folder: &Path, name: &str, children: &[Value]) -> Image {
        let index = layout.index(children).expect("an index");
        let mut blobs = BTreeMap::new();
        for child in children {
            let image: Value = serde_json::from_slice(&blob(folder, child)).expect("a manifest is JSON");
            let layers = image["layers"].as_array().expect("it has layers").iter();
            for part in layers.chain([&image["config"]]) {
                blobs.insert(part["digest"].to_string(), part["size"].as_u64().expect("a size"));
            }
        }
        let digest = layout.push(index, name, &self.staged(), Some(&credentials())).expect("skopeo pushes it");
        let children = children.iter().map(|child| child["digest"].as_str().expect("a digest").to_owned()).collect();
        Image { digest: digest.to_string(), children, size: blobs.values().sum() }
    }

    /// The digest of what anybody gets under a tag of the public repository, or under a digest. `None` when there is none.
    pub fn served(&self, which: &str) -> Option<String> {
        let divider = if which.starts_with("sha256:") { "@" } else { ":" };
        let bytes = inspect(&self.folder, &format!("{}{divider}{which}", self.released()), None).ok()?;
        Some(format!("sha256:{}", sha256(&bytes)))
    }

    /// Reads a public image whole, with every part's digest checked. The folder that it is in.
    pub fn is_whole(&self, tag: &str) -> PathBuf {
        let into = self.folder.join(format!("pulled-{tag}"));
        pull(&self.folder, &format!("{}:{tag}", self.released()), &into, None).expect("every part is there");
        into
    }

    /// Declares an image as a job does that has pushed it.
    pub fn declare(&self, release: &Release, key: &str, image: &Image) -> Answer {
        let staged = json!({"image": self.staged(), "digest": image.digest, "size": image.size});
        let patch = json!({"packages": [{"key": key, "staged": staged}]});
        release.api("PATCH", "", Some(&release.session(release.build)), &patch)
    }

    /// Plans, declares and finds staged: the manual job.
    pub fn ready(&self, release: &Release, key: &str, tag: &str, image: &Image) -> u64 {
        plan(release, key, &[tag]).ok();
        self.declare(release, key, image).ok();
        is_staged(release, key, tag);
        release.job(key)
    }

    /// Runs the `slipway` command in the job that builds, with the registry's user.
    pub fn slipway(&self, release: &Release, arguments: &[&str]) -> Spoken {
        let mut command = release.command(&self.world.gitlab.id_token(release.build), arguments);
        command.env("SLIPWAY_REGISTRY_USER", USER).env("SLIPWAY_REGISTRY_PASSWORD", PASSWORD);
        Spoken::of(&mut command)
    }
}

impl Drop for Harbour {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // The registries are gone when the world is.
            self.world.has_done_nothing_wrong();
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// What `skopeo` says that it is.
pub fn credentials() -> String {
    format!("{USER}:{PASSWORD}")
}

/// Declares that an image is expected under these tags.
pub fn plan(release: &Release, key: &str, tags: &[&str]) -> Answer {
    let expect = json!({"kind": "image", "tags": tags, "release_job": format!("release: [{key}]"),
        "environment": format!("release/{key}")});
    let patch = json!({"packages": [{"key": key, "expect": expect}]});
    release.api("PATCH", "", Some(&release.session(release.build)), &patch)
}

/// Whether an image is seen in staging.
#[track_caller]
pub fn is_staged(release: &Release, key: &str, tag: &str) {
    let target = release.target(key);
    assert_eq!((&target["tag"], &target["state"]), (&json!(tag), &json!("staged")), "{target}");
    assert_eq!(target.get("distro"), None, "a target has a tag or a distro: {target}");
}

fn blob(folder: &Path, descriptor: &Value) -> Vec<u8> {
    let hex = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest");
    std::fs::read(folder.join("blobs/sha256").join(hex)).expect("it was made a moment ago")
}

/// Bytes that do not repeat, made of a name.
fn varied(name: &str, count: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut step).take(count.div_ceil(8)).flatten().collect();
    bytes.truncate(count);
    bytes
}
