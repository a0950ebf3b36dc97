//! Small container images, for the demo and for tests: made by hand, with chosen bytes and types, in the folder form that
//! other tools read (OCI image layout 1.0). The same parts always have the same digests, and nothing is asked for over the
//! network.
//!
//! The types are written out, not taken from the crate that reads them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minreq::Method;
use serde_json::{Value, json};
use slipway_wire::Digest;

/// An OCI index: one image for several platforms.
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image of one platform.
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Every form of manifest: Debian's registry answers 404 for one that is not named.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";
/// Registries on loopback answer at once.
const TIME_OUT_SECONDS: u64 = 60;

/// A folder of blobs, to which an index of names is added at the end.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    folder: &'a Path,
}

impl<'a> Layout<'a> {
    /// An empty one, or one that is added to.
    pub fn new(folder: &'a Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join("blobs/sha256"))?;
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { folder })
    }

    /// Keeps some bytes, and returns a descriptor of them.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let digest = Digest::of(bytes);
        std::fs::write(self.folder.join("blobs/sha256").join(digest.hex()), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }))
    }

    /// A layer with one file.
    pub fn layer(&self, name: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes)?;
        self.blob("application/vnd.oci.image.layer.v1.tar", &tar.into_inner()?)
    }

    /// An image of one platform.
    pub fn image(&self, architecture: &str, layers: &[Value]) -> anyhow::Result<Value> {
        let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": ids },
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": layers });
        // Indented, as no registry or client would write it again.
        let mut image = self.blob(OCI_IMAGE, serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        image["platform"] = json!({ "architecture": architecture, "os": "linux" });
        Ok(image)
    }

    /// An image for several platforms.
    pub fn index(&self, manifests: &[Value]) -> anyhow::Result<Value> {
        let index = json!({ "schemaVersion": 2, "manifests": manifests, "x-unknown": { "kept": true } });
        self.blob(OCI_INDEX, serde_json::to_string_pretty(&index)?.as_bytes())
    }

    /// Gives an image a name in the folder, and pushes it with `skopeo` as it is.
    pub fn push(&self, image: Value, tag: &str, to: &str, credentials: Option<&str>) -> anyhow::Result<Digest> {
        let digest = image["digest"].as_str().context("a digest")?.parse()?;
        self.push_as(image, tag, to, credentials, &["--preserve-digests"])?;
        Ok(digest)
    }

    /// The same, with options of `skopeo` that make another image of it.
    pub fn push_as(
        &self,
        mut image: Value,
        tag: &str,
        to: &str,
        credentials: Option<&str>,
        options: &[&str],
    ) -> anyhow::Result<()> {
        image["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let index = json!({ "schemaVersion": 2, "manifests": [image] });
        std::fs::write(self.folder.join("index.json"), index.to_string())?;
        let from = format!("oci:{}:{tag}", self.folder.display());
        let mut skopeo = skopeo(self.folder);
        skopeo.args(["copy", "--all", "--dest-tls-verify=false"]).args(options);
        if let Some(credentials) = credentials {
            skopeo.args(["--dest-creds", credentials]);
        }
        run(skopeo.args([&from, &format!("docker://{to}:{tag}")])).map(drop)
    }

    /// An image for `amd64` and `arm64`, which share a layer of `text`. Returns the descriptor of its index.
    pub fn two_platforms(&self, text: &str) -> anyhow::Result<Value> {
        let shared = self.layer("README", text.as_bytes())?;
        let image = |architecture: &str| {
            let own = self.layer("platform", format!("linux/{architecture}\n").as_bytes())?;
            self.image(architecture, &[shared.clone(), own])
        };
        self.index(&[image("amd64")?, image("arm64")?])
    }

    /// Sends an image, described by its manifest's descriptor, to a registry under a tag: by plain requests, for where
    /// there is no `skopeo`. Its parts go first, as registries want it.
    pub fn send(&self, image: &Value, to: &Repository, tag: &str) -> anyhow::Result<Digest> {
        self.send_manifest(image, to, Some(tag))?;
        Ok(image["digest"].as_str().context("a descriptor has a digest")?.parse()?)
    }

    fn send_manifest(&self, descriptor: &Value, to: &Repository, tag: Option<&str>) -> anyhow::Result<()> {
        let (digest, bytes) = self.read(descriptor)?;
        let manifest: Value = serde_json::from_slice(&bytes)?;
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            self.send_manifest(child, to, None)?;
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for blob in manifest.get("config").into_iter().chain(layers) {
            let (digest, bytes) = self.read(blob)?;
            to.send_blob(&digest, bytes)?;
        }
        let kind = descriptor["mediaType"].as_str().context("a descriptor has a type")?;
        let path = format!("manifests/{}", tag.unwrap_or(&digest));
        let put = to.request(Method::Put, &to.address(&path)).with_header("content-type", kind).with_body(bytes);
        to.send(put, 201).map(drop)
    }

    /// What a descriptor points at.
    fn read(&self, descriptor: &Value) -> anyhow::Result<(String, Vec<u8>)> {
        let digest = descriptor["digest"].as_str().context("a descriptor has a digest")?;
        let hex = digest.strip_prefix("sha256:").context("its digest is of SHA-256")?;
        let file = self.folder.join("blobs/sha256").join(hex);
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        Ok((digest.to_owned(), bytes))
    }
}

/// A repository of a registry on loopback, as plain requests name it.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The registry's address.
    pub url: String,
    /// Its name.
    pub name: String,
    /// User and password, for a registry that wants them with each request.
    pub user: Option<(String, String)>,
}

impl Repository {
    /// The digest of what it serves under a tag, of the very bytes. `None` where there is no such tag.
    pub fn digest(&self, tag: &str) -> anyhow::Result<Option<Digest>> {
        let get =
            self.request(Method::Get, &self.address(&format!("manifests/{tag}"))).with_header("accept", MANIFESTS);
        let answer = get.send().with_context(|| format!("{} does not answer", self.url))?;
        match answer.status_code {
            404 => Ok(None),
            200 => Ok(Some(Digest::of(answer.as_bytes()))),
            other => bail!("{} answered {other} to `{tag}` of {}", self.url, self.name),
        }
    }

    fn send_blob(&self, digest: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let begun = self.send(self.request(Method::Post, &self.address("blobs/uploads/")), 202)?;
        let location = header(&begun, "location").context("a begun upload has an address to go on at")?;
        // Some registries leave their own host out.
        let location = if location.starts_with('/') { format!("{}{location}", self.url) } else { location.to_owned() };
        let divider = if location.contains('?') { '&' } else { '?' };
        let put = self.request(Method::Put, &format!("{location}{divider}digest={digest}"));
        let put = put.with_header("content-type", "application/octet-stream").with_body(bytes);
        self.send(put, 201).map(drop)
    }

    fn address(&self, path: &str) -> String {
        format!("{}/v2/{}/{path}", self.url, self.name)
    }

    fn request(&self, method: Method, url: &str) -> minreq::Request {
        let request = minreq::Request::new(method, url).with_timeout(TIME_OUT_SECONDS);
        match &self.user {
            None => request,
            Some((user, password)) => {
                let shown = STANDARD.encode(format!("{user}:{password}"));
                request.with_header("authorization", format!("Basic {shown}"))
            }
        }
    }

    fn send(&self, request: minreq::Request, wanted: u16) -> anyhow::Result<minreq::Response> {
        let answer = request.send().with_context(|| format!("{} does not answer", self.url))?;
        let said = || String::from_utf8_lossy(answer.as_bytes()).chars().take(300).collect::<String>();
        ensure!(
            answer.status_code == wanted,
            "{} answered {} for {}: {}",
            self.url,
            answer.status_code,
            self.name,
            said()
        );
        Ok(answer)
    }
}

fn header<'a>(answer: &'a minreq::Response, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The bytes of a manifest as `skopeo` reads them.
pub fn inspect(home: &Path, reference: &str, credentials: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut skopeo = skopeo(home);
    skopeo.args(["inspect", "--raw", "--tls-verify=false"]);
    if let Some(credentials) = credentials {
        skopeo.args(["--creds", credentials]);
    }
    run(skopeo.arg(format!("docker://{reference}")))
}

/// Reads an image whole with `skopeo`, which checks the digest of each part.
pub fn pull(home: &Path, reference: &str, into: &Path, credentials: Option<&str>) -> anyhow::Result<()> {
    let mut skopeo = skopeo(home);
    skopeo.args(["copy", "--all", "--preserve-digests", "--src-tls-verify=false"]);
    if let Some(credentials) = credentials {
        skopeo.args(["--src-creds", credentials]);
    }
    run(skopeo.args([&format!("docker://{reference}"), &format!("oci:{}:pulled", into.display())])).map(drop)
}

/// `skopeo` with nothing remembered: it keeps a list of where it saw blobs, which changes what it does.
fn skopeo(home: &Path) -> Command {
    let mut skopeo = Command::new("skopeo");
    skopeo.env("HOME", home).env("XDG_DATA_HOME", home).args(["--insecure-policy"]);
    skopeo
}

fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let answer = command.output().context("cannot start `skopeo`")?;
    ensure!(answer.status.success(), "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
    Ok(answer.stdout)
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that cannot run says so")]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_have_the_same_digest() {
        let folder = std::env::temp_dir().join(format!("slipway-image-{}", std::process::id()));
        let made = |name: &str, text: &str| {
            let folder = folder.join(name);
            Layout::new(&folder).and_then(|layout| layout.two_platforms(text)).expect("an image")["digest"].clone()
        };
        assert_eq!(made("a", "Hello.\n"), made("b", "Hello.\n"));
        assert_ne!(made("a", "Hello.\n"), made("c", "Bye.\n"));
        std::fs::remove_dir_all(&folder).expect("it was made above");
    }

    #[test]
    fn an_image_that_is_sent_by_plain_requests_is_whole_to_skopeo() {
        use crate::registry::{self, Door, PASSWORD, Registry, USER};
        if let Some(why) = registry::missing() {
            println!("SKIPPED: {why}");
            return;
        }
        let folder = std::env::temp_dir().join(format!("slipway-sent-image-{}", std::process::id()));
        let running = Registry::start("registry", &folder.join("registry"), Door::Htpasswd).expect("a registry");
        let layout = folder.join("layout");
        let layout = Layout::new(&layout).expect("a folder");
        let image = layout.two_platforms("Hello.\n").expect("an image");
        let user = Some((USER.to_owned(), PASSWORD.to_owned()));
        let to = Repository { url: running.url(), name: "team/app".to_owned(), user };
        assert_eq!(to.digest("1.0").expect("an answer"), None);
        let sent = layout.send(&image, &to, "1.0").expect("it is taken");
        assert_eq!(to.digest("1.0").expect("an answer"), Some(sent));
        let reference = format!("{}/team/app:1.0", running.host());
        if registry::is_a_program("skopeo") {
            let credentials = format!("{USER}:{PASSWORD}");
            pull(&folder, &reference, &folder.join("pulled"), Some(&credentials)).expect("every part is there");
        }
        drop(running);
        std::fs::remove_dir_all(&folder).expect("it was made above");
    }
}
