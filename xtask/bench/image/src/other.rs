//! The same copy with the crate `oci-client`, in the best way that its interface has: blobs streamed and sent whole in one
//! request, as many at once as its own `push` sends, and what is there not sent again.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::Value;
use slipway_bench_engine::Order;
use slipway_oci::{DOCKER_IMAGE, DOCKER_LIST, OCI_IMAGE, OCI_INDEX};

/// The default of its own `push`.
const AT_ONCE: usize = 16;

pub(crate) async fn copy(order: &Order) -> anyhow::Result<()> {
    // Nothing here is encrypted, and still a provider has to be named; that there is one already is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig { protocol: ClientProtocol::Http, use_monolithic_push: true, ..ClientConfig::default() };
    let (client, auth) = (Client::new(config), RegistryAuth::Anonymous);
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let (source, target) = (host(&order.source), host(&order.target));
    let at_source = |digest: String| Reference::with_digest(source.clone(), order.from.clone(), digest);
    let at_target = |digest: String| Reference::with_digest(target.clone(), order.to.clone(), digest);
    let tagged = Reference::with_tag(target.clone(), order.to.clone(), order.tag.clone());
    client.store_auth_if_needed(&source, &auth).await;
    client.store_auth_if_needed(&target, &auth).await;
    let is_released = async || {
        // It tells an unknown tag by an error alone.
        let found = client.fetch_manifest_digest(&tagged, &auth).await.ok();
        found.is_some_and(|found| found == order.digest.to_string())
    };
    if is_released().await {
        return Ok(());
    }

    let accepted = [OCI_INDEX, OCI_IMAGE, DOCKER_LIST, DOCKER_IMAGE];
    let read = async |digest: String| {
        let (bytes, found) = client.pull_manifest_raw(&at_source(digest.clone()), &auth, &accepted).await?;
        ensure!(found == digest, "it is {found}");
        anyhow::Ok((digest, bytes))
    };
    let (_, index) = read(order.digest.to_string()).await?;
    let names: Value = serde_json::from_slice(&index)?;
    let children = named(&names, "manifests")?.into_iter().map(|child| read(child.digest));
    let children: Vec<_> = stream::iter(children).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut blobs = BTreeMap::new();
    for (_, bytes) in &children {
        let manifest: Value = serde_json::from_slice(bytes)?;
        let config: OciDescriptor = serde_json::from_value(manifest["config"].clone())?;
        for blob in named(&manifest, "layers")?.into_iter().chain([config]) {
            blobs.insert(blob.digest.clone(), blob);
        }
    }

    let is_one_registry = source == target;
    let moves = blobs.into_values().map(async |blob: OciDescriptor| {
        if client.blob_exists(&tagged, &blob.digest).await? {
            return Ok(());
        }
        if is_one_registry {
            return Ok(client.mount_blob(&tagged, &at_source(blob.digest.clone()), &blob.digest).await?);
        }
        let bytes = client.pull_blob_stream(&at_source(blob.digest.clone()), &blob).await?;
        let size = u64::try_from(blob.size).context("a size")?;
        let bytes = bytes.stream.map_err(Into::into);
        client.push_blob_stream(&tagged, bytes, &blob.digest, Some(size)).await?;
        anyhow::Ok(())
    });
    stream::iter(moves).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let puts = children.into_iter().map(async |(digest, bytes)| {
        client.push_manifest_raw(&at_target(digest), bytes, OCI_IMAGE.parse()?).await?;
        anyhow::Ok(())
    });
    stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    client.push_manifest_raw(&tagged, index, OCI_INDEX.parse()?).await?;
    ensure!(is_released().await, "it is not read back");
    Ok(())
}

fn named(manifest: &Value, field: &str) -> anyhow::Result<Vec<OciDescriptor>> {
    serde_json::from_value(manifest[field].clone()).with_context(|| format!("the manifest's `{field}`"))
}
