//! Images go the whole way: pushed to a registry that is closed, released by Slipway to one that is open, read back there by
//! another client.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use slipway_stack::Part;
use slipway_stack::registry::{Door, PASSWORD, Registry, USER, is_a_program};
use slipway_tests::e2e::{Answer, Release, World, sha256};

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn tools() -> bool {
    let lacks: Vec<_> =
        ["docker-registry", "htpasswd", "skopeo"].into_iter().filter(|name| !is_a_program(name)).collect();
    if !lacks.is_empty() {
        println!("SKIPPED: this test needs {}", lacks.join(", "));
    }
    lacks.is_empty()
}

/// A stack with two registries, and a place for each.
struct Harbour {
    world: World,
    folder: PathBuf,
    staging: Registry,
    public: Registry,
}

/// An image in staging.
struct Image {
    digest: String,
    /// The bytes of all its blobs.
    size: usize,
}

impl Harbour {
    fn start(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("images-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let staging = Registry::start("staging", &folder.join("staging"), Door::Htpasswd).expect("a registry");
        let public = Registry::start("public", &folder.join("public"), Door::Open).expect("a registry");
        let place = |name: &str, url: &str, token: &str| {
            format!("\n[places.{name}]\nkind = \"registry\"\nurl = \"{url}\"\nuser = \"{USER}\"\ntoken = \"{token}\"\n")
        };
        let places = place("images-staging", &staging.url(), "IMAGES_PASSWORD")
            + &place("images-public", &public.url(), "PUBLIC_TOKEN");
        let routes = "\n[[routes]]\nkinds = [\"image\"]\n\
            staging = { place = \"images-staging\", repository = \"team/app\" }\n\
            public = { place = \"images-public\", repository = \"acme/app\" }\n\
            floating = [{ tag = \"latest\", of = \"final\" }, { tag = \"{major}.{minor}\", of = \"final\" }]\n";
        let mut world = World::start_with(&format!("images-{test}"), |settings| {
            settings.routes = Some(routes.to_owned());
            settings.more_config = places;
        });
        world.bind("IMAGES_PASSWORD", PASSWORD);
        Self { world, folder, staging, public }
    }

    /// Pushes an image for two platforms, which share a layer, to the staging repository.
    fn push(&self, name: &str, layer_bytes: usize) -> Image {
        let layout = self.folder.join(name);
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a folder");
        let mut size = 0;
        let blob = |media_type: &str, bytes: &[u8]| {
            let hex = sha256(bytes);
            std::fs::write(blobs.join(&hex), bytes).expect("a blob");
            json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
        };
        let mut kept = |media_type: &str, bytes: &[u8]| {
            size += bytes.len();
            blob(media_type, bytes)
        };
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let shared = kept(layer, &varied(name, layer_bytes));
        let images = ["amd64", "arm64"].map(|architecture| {
            let own = kept(layer, format!("{name} {architecture}").as_bytes());
            let config = json!({"architecture": architecture, "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": [shared["digest"], own["digest"]]}});
            let config = kept("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
            (
                architecture,
                json!({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": [shared, own]}),
            )
        });
        let manifests = images.map(|(architecture, image)| {
            // Indented, as no registry or client would write it again.
            let mut entry = blob(OCI_IMAGE, format!("{image:#}").as_bytes());
            entry["platform"] = json!({"architecture": architecture, "os": "linux"});
            entry
        });
        let index = json!({"schemaVersion": 2, "manifests": manifests, "x-unknown": {"kept": true}});
        let mut index = blob(OCI_INDEX, format!("{index:#}").as_bytes());
        let digest = index["digest"].as_str().expect("a digest").to_owned();
        index["annotations"] = json!({"org.opencontainers.image.ref.name": "staged"});
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        std::fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [index]}).to_string())
            .expect("a file");
        let from = format!("oci:{}:staged", layout.display());
        let to = format!("docker://{}/team/app:{name}", self.staging.host());
        let credentials = format!("{USER}:{PASSWORD}");
        let arguments = [
            "copy",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
            "--dest-creds",
            &credentials,
            &from,
            &to,
        ];
        self.skopeo(&arguments).expect("skopeo pushes it");
        Image { digest, size }
    }

    /// The digest under a public tag, as anybody reads it. `None` when there is none.
    fn public(&self, tag: &str) -> Option<String> {
        let reference = format!("docker://{}/acme/app:{tag}", self.public.host());
        let bytes = self.skopeo(&["inspect", "--raw", "--tls-verify=false", &reference]).ok()?;
        Some(format!("sha256:{}", sha256(&bytes)))
    }

    /// The digest of what the public registry serves under a digest, as anybody reads it.
    fn public_by_digest(&self, digest: &str) -> Option<String> {
        let reference = format!("docker://{}/acme/app@{digest}", self.public.host());
        let bytes = self.skopeo(&["inspect", "--raw", "--tls-verify=false", &reference]).ok()?;
        Some(format!("sha256:{}", sha256(&bytes)))
    }

    /// Reads an image whole, with every part's digest checked.
    fn is_whole(&self, tag: &str) {
        let (from, to) = (format!("docker://{}/acme/app:{tag}", self.public.host()), self.folder.join("pulled"));
        let to = format!("oci:{}:{tag}", to.display());
        self.skopeo(&["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &from, &to])
            .expect("every part is there");
    }

    /// `skopeo` with nothing remembered of earlier runs.
    fn skopeo(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let mut skopeo = Command::new("skopeo");
        skopeo.env("HOME", &self.folder).env("XDG_DATA_HOME", &self.folder).arg("--insecure-policy").args(arguments);
        let ended = skopeo.output().expect("skopeo is here");
        if ended.status.success() { Ok(ended.stdout) } else { Err(String::from_utf8_lossy(&ended.stderr).into_owned()) }
    }

    fn declare(&self, release: &Release, key: &str, image: &Image) {
        let staged =
            json!({"image": format!("{}/team/app", self.staging.host()), "digest": image.digest, "size": image.size});
        let patch = json!({"packages": [{"key": key, "staged": staged}]});
        release.api("PATCH", "", Some(&release.session(release.build)), &patch).ok();
    }

    /// Plans, declares and finds staged: the manual job.
    fn ready(&self, release: &Release, key: &str, tag: &str, image: &Image) -> u64 {
        plan(release, key, &[tag]).ok();
        self.declare(release, key, image);
        let target = release.target(key);
        assert_eq!((&target["tag"], &target["state"]), (&json!(tag), &json!("staged")), "{target}");
        assert_eq!(target.get("distro"), None, "a target has a tag or a distro: {target}");
        release.job(key)
    }
}

/// Declares that an image is expected under these tags.
fn plan(release: &Release, key: &str, tags: &[&str]) -> Answer {
    let expect = json!({"kind": "image", "tags": tags, "release_job": format!("release: [{key}]"),
        "environment": format!("release/{key}")});
    let patch = json!({"packages": [{"key": key, "expect": expect}]});
    release.api("PATCH", "", Some(&release.session(release.build)), &patch)
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

fn problem(target: &Value) -> &str {
    target["problem"]["what"].as_str().unwrap_or_default()
}

#[test]
fn an_image_is_public_under_its_tag_with_the_staged_digest_and_its_floating_tags_follow_the_newest() {
    if !tools() {
        return;
    }
    let harbour = Harbour::start("whole-way");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build-1", 300_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    assert_eq!(harbour.public("17.3.1"), None, "what is only staged is not public");
    harbour.world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(harbour.public(tag).as_deref(), Some(image.digest.as_str()), "{tag}");
    }
    assert_eq!(harbour.public_by_digest(&image.digest).as_deref(), Some(image.digest.as_str()));
    harbour.is_whole("17.3.1");
    let history = release.api("GET", "/targets/app/17.3.1", None, &Value::Null).ok().json();
    assert_eq!(history["target"]["state"], "released", "{history}");

    // An older series is released later: it is the newest of its own, and of nothing else.
    let older = harbour.world.release("16.9.4");
    let patch = harbour.push("build-2", 1000);
    let job = harbour.ready(&older, "app", "16.9.4", &patch);
    harbour.world.gitlab.play(job, "mira");
    older.wait_until_released("app");
    for (tag, expected) in
        [("16.9.4", &patch), ("16.9", &patch), ("17.3.1", &image), ("17.3", &image), ("latest", &image)]
    {
        assert_eq!(harbour.public(tag).as_deref(), Some(expected.digest.as_str()), "{tag}");
    }
}

#[test]
fn a_tag_that_is_public_with_another_digest_is_a_conflict_that_names_both_and_stays() {
    if !tools() {
        return;
    }
    let harbour = Harbour::start("conflict");
    let [ours, theirs] = ["ours", "theirs"].map(|name| harbour.push(name, 1000));
    let (from, to) = (
        format!("docker://{}/team/app:theirs", harbour.staging.host()),
        format!("docker://{}/acme/app:17.3.1", harbour.public.host()),
    );
    let credentials = format!("{USER}:{PASSWORD}");
    let arguments = [
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds",
        &credentials,
        &from,
        &to,
    ];
    harbour.skopeo(&arguments).expect("somebody publishes it by hand");
    let release = harbour.world.release("17.3.1");
    let job = harbour.ready(&release, "app", "17.3.1", &ours);
    harbour.world.gitlab.play(job, "mira");
    let target = release.wait("app", &["conflict", "released", "failed"]);
    assert_eq!(target["state"], "conflict", "{target}");
    for digest in [&ours.digest, &theirs.digest] {
        assert!(problem(&target).contains(digest.as_str()), "{digest} is not in: {}", problem(&target));
    }
    assert_eq!(harbour.public("17.3.1"), Some(theirs.digest), "nothing was replaced");
    assert_eq!(harbour.public("latest"), None, "and nothing floats to what is not released");
}

#[test]
fn an_edge_that_is_killed_while_it_copies_an_image_releases_it_whole_after_it_is_started_again() {
    if !tools() {
        return;
    }
    let mut harbour = Harbour::start("killed");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("large", 60_000_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    release.wait_for_target("app", None, "being copied", |target| {
        assert_ne!(target["state"], "released", "it is large enough to be met while it is copied");
        target["step"] == "copy"
    });
    harbour.world.kill(Part::Edge);
    assert_eq!(harbour.public("17.3.1"), None, "a tag comes after all that it names");
    harbour.world.start_again(Part::Edge);
    release.wait_until_released("app");
    assert_eq!(harbour.public("17.3.1"), Some(image.digest));
    harbour.is_whole("17.3.1");
}

#[test]
fn a_plan_that_means_a_floating_tag_to_be_final_is_refused() {
    if !tools() {
        return;
    }
    let harbour = Harbour::start("floating-plan");
    let release = harbour.world.release("17.3.1");
    for tag in ["latest", "17.3"] {
        let refused = plan(&release, "app", &["17.3.1", tag]);
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(&format!("the tag `{tag}` is final in the plan")), "{}", refused.text());
    }
}
