//! Images made by hand, with chosen bytes and types, in the folder form that `skopeo` reads (OCI image layout 1.0).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use slipway_oci::{OCI_IMAGE, OCI_INDEX};
use slipway_wire::Digest;

/// A folder of blobs, to which an index of names is added at the end.
pub(crate) struct Layout<'a> {
    folder: &'a Path,
}

impl<'a> Layout<'a> {
    pub(crate) fn new(folder: &'a Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join("blobs/sha256"))?;
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { folder })
    }

    /// Keeps some bytes, and returns a descriptor of them.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let digest = Digest::of(bytes);
        std::fs::write(self.folder.join("blobs/sha256").join(digest.hex()), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }))
    }

    /// A layer with one file.
    pub(crate) fn layer(&self, name: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes)?;
        self.blob("application/vnd.oci.image.layer.v1.tar", &tar.into_inner()?)
    }

    /// An image of one platform.
    pub(crate) fn image(&self, architecture: &str, layers: &[Value]) -> anyhow::Result<Value> {
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
    pub(crate) fn index(&self, manifests: &[Value]) -> anyhow::Result<Value> {
        let index = json!({ "schemaVersion": 2, "manifests": manifests, "x-unknown": { "kept": true } });
        self.blob(OCI_INDEX, serde_json::to_string_pretty(&index)?.as_bytes())
    }

    /// Gives an image a name in the folder, and pushes it with `skopeo` as it is.
    pub(crate) fn push(&self, image: Value, tag: &str, to: &str, credentials: Option<&str>) -> anyhow::Result<Digest> {
        let digest = image["digest"].as_str().context("a digest")?.parse()?;
        self.push_as(image, tag, to, credentials, &["--preserve-digests"])?;
        Ok(digest)
    }

    /// The same, with options of `skopeo` that make another image of it.
    pub(crate) fn push_as(
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
}

/// The bytes of a manifest as `skopeo` reads them.
pub(crate) fn inspect(home: &Path, reference: &str, credentials: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut skopeo = skopeo(home);
    skopeo.args(["inspect", "--raw", "--tls-verify=false"]);
    if let Some(credentials) = credentials {
        skopeo.args(["--creds", credentials]);
    }
    run(skopeo.arg(format!("docker://{reference}")))
}

/// Reads an image whole with `skopeo`, which checks the digest of each part.
pub(crate) fn pull(home: &Path, reference: &str, into: &Path, credentials: Option<&str>) -> anyhow::Result<()> {
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
