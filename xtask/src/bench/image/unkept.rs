//! Two registries for an image of one layer that is larger than a disk should have to hold: the source makes its bytes while
//! they are read, and the target hashes what comes and keeps nothing of it.
//!
//! They keep the rules of the OCI distribution specification as far as one copy meets them: the target refuses a blob with
//! another digest, and a manifest whose parts it does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::staged::{IMAGE, REPOSITORY, descriptor};
use crate::bench::copy::servers::{Head, block, listen, piece};

/// A socket that does nothing for so long belongs to a copy that hangs.
const SILENCE: Duration = Duration::from_mins(2);

const READ_BYTES: usize = 256 * 1024;

/// Both registries. They end with the program.
pub(super) struct Unkept {
    pub(super) source: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) digest: String,
    kept: Arc<Mutex<Kept>>,
}

/// What the source gives: the small answers by their path, and the one large blob.
struct Given {
    small: BTreeMap<String, Vec<u8>>,
    layer: String,
    size: u64,
    block: Vec<u8>,
}

/// What the target remembers of what came.
#[derive(Default)]
struct Kept {
    blobs: BTreeMap<String, u64>,
    /// Digests, by tag and by themselves.
    manifests: BTreeMap<String, (String, usize)>,
    uploads: Vec<(Sha256, u64)>,
}

impl Unkept {
    /// An image whose one layer has `size` bytes.
    pub(super) fn start(size: u64) -> anyhow::Result<Self> {
        let block = block();
        let (mut hash, mut offset) = (Sha256::new(), 0);
        while offset < size {
            let piece = piece(&block, offset, size);
            hash.update(piece);
            offset += piece.len() as u64;
        }
        let layer = format!("sha256:{:x}", hash.finalize());
        let config =
            json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [&layer] } });
        let config = config.to_string().into_bytes();
        let about_config = descriptor("application/vnd.oci.image.config.v1+json", &config);
        let about_layer =
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": &layer, "size": size });
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": &about_config, "layers": [about_layer] });
        let manifest = manifest.to_string().into_bytes();
        let digest_of =
            |about: &Value| about["digest"].as_str().map(str::to_owned).context("a descriptor has a digest");
        let digest = digest_of(&descriptor(IMAGE, &manifest))?;
        let small = BTreeMap::from([
            (format!("/v2/{REPOSITORY}/manifests/{digest}"), manifest),
            (format!("/v2/{REPOSITORY}/blobs/{}", digest_of(&about_config)?), config),
        ]);
        let given = Given { small, layer: format!("/v2/{REPOSITORY}/blobs/{layer}"), size, block };
        let kept = Arc::new(Mutex::new(Kept::default()));
        let source = listen(move |stream| give(stream, &given))?;
        let target = listen({
            let kept = Arc::clone(&kept);
            move |stream| take(stream, &kept)
        })?;
        Ok(Self { source, target, digest, kept })
    }

    /// Takes everything from the target.
    pub(super) fn forget(&self) {
        *lock(&self.kept) = Kept::default();
    }

    /// How many bytes of blobs the target has been given, all with the right digests, if `tag` leads to the image.
    pub(super) fn arrived(&self, tag: &str) -> Option<u64> {
        let kept = lock(&self.kept);
        let (found, _) = kept.manifests.get(tag)?;
        (*found == self.digest).then(|| kept.blobs.values().sum())
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request for something that the image has, and closes.
fn give(mut stream: TcpStream, given: &Given) -> anyhow::Result<()> {
    stream.set_write_timeout(Some(SILENCE))?;
    let head = Head::read(&mut BufReader::new(&stream))?;
    if head.target == given.layer {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", given.size)?;
        let mut sent = 0;
        while sent < given.size {
            let piece = piece(&given.block, sent, given.size);
            stream.write_all(piece)?;
            sent += piece.len() as u64;
        }
        return Ok(());
    }
    let (status, body) = match given.small.get(&head.target) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &[][..]),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {IMAGE}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    Ok(stream.write_all(body)?)
}

/// Answers one request to the target, and closes. A body that is cut gets no answer.
fn take(mut stream: TcpStream, kept: &Mutex<Kept>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::with_capacity(READ_BYTES, stream.try_clone()?);
    let head = Head::read(&mut reader)?;
    let (status, headers) = answer(&head, &mut reader, kept)?;
    let mut text = format!("HTTP/1.1 {status} -\r\nconnection: close\r\n");
    for (name, value) in &headers {
        write!(text, "{name}: {value}\r\n")?;
    }
    if headers.iter().all(|(name, _)| *name != "content-length") {
        text.push_str("content-length: 0\r\n");
    }
    text.push_str("\r\n");
    Ok(stream.write_all(text.as_bytes())?)
}

type Answered = (u16, Vec<(&'static str, String)>);

fn answer(head: &Head, reader: &mut BufReader<TcpStream>, kept: &Mutex<Kept>) -> anyhow::Result<Answered> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let name = path.rsplit('/').next().unwrap_or_default();
    let length = head.length.unwrap_or(0);
    let missing = Ok((404, Vec::new()));
    match head.method.as_str() {
        "HEAD" if path.contains("/blobs/") => match lock(kept).blobs.get(name) {
            Some(size) => Ok((200, vec![("content-length", size.to_string())])),
            None => missing,
        },
        "HEAD" => match lock(kept).manifests.get(name) {
            Some((digest, size)) => {
                let about = [("docker-content-digest", digest.clone()), ("content-length", size.to_string())];
                Ok((200, [&about[..], &[("content-type", IMAGE.to_owned())]].concat()))
            }
            None => missing,
        },
        "POST" => {
            let mut kept = lock(kept);
            kept.uploads.push((Sha256::new(), 0));
            Ok((202, vec![("location", format!("/upload/{}", kept.uploads.len() - 1))]))
        }
        "PATCH" => {
            upload(name, length, reader, kept)?;
            Ok((202, vec![("location", path.to_owned())]))
        }
        "PUT" if path.starts_with("/upload/") => {
            let (hash, size) = upload(name, length, reader, kept)?;
            let found = format!("sha256:{:x}", hash.finalize());
            if query != format!("digest={found}") {
                return Ok((400, Vec::new()));
            }
            lock(kept).blobs.insert(found, size);
            Ok((201, Vec::new()))
        }
        "PUT" => {
            let mut body = Vec::new();
            reader.take(length).read_to_end(&mut body)?;
            let manifest: Value = serde_json::from_slice(&body)?;
            let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut kept = lock(kept);
            let is_there = |part: &Value| part["digest"].as_str().is_some_and(|digest| kept.blobs.contains_key(digest));
            if !layers.iter().chain([&manifest["config"]]).all(is_there) {
                return Ok((400, Vec::new()));
            }
            let digest = format!("sha256:{:x}", Sha256::digest(&body));
            for name in [name, &digest] {
                kept.manifests.insert(name.to_owned(), (digest.clone(), body.len()));
            }
            Ok((201, vec![("docker-content-digest", digest)]))
        }
        _ => Ok((405, Vec::new())),
    }
}

/// Hashes what comes to an upload, after all that came before.
fn upload(
    name: &str,
    length: u64,
    reader: &mut BufReader<TcpStream>,
    kept: &Mutex<Kept>,
) -> anyhow::Result<(Sha256, u64)> {
    let number: usize = name.parse().context("an upload has a number")?;
    let (mut hash, mut size) = lock(kept).uploads.get(number).cloned().context("there is no such upload")?;
    let mut rest = length;
    while rest > 0 {
        let piece = reader.fill_buf()?;
        ensure!(!piece.is_empty(), "the body was cut");
        let taken = piece.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        hash.update(&piece[..taken]);
        reader.consume(taken);
        rest -= taken as u64;
        size += taken as u64;
    }
    lock(kept).uploads[number] = (hash.clone(), size);
    Ok((hash, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::image::staged::upload_address;

    #[test]
    fn the_target_takes_no_blob_of_another_digest_and_no_manifest_before_its_parts() {
        let registries = Unkept::start(3_000_000).expect("it starts");
        let manifest = format!("http://{}/v2/{REPOSITORY}/manifests/{}", registries.source, registries.digest);
        let manifest = minreq::get(manifest).send().expect("an answer").into_bytes();
        let parts: Value = serde_json::from_slice(&manifest).expect("JSON");
        let target = format!("http://{}", registries.target);
        let tag = || {
            let put = minreq::put(format!("{target}/v2/{REPOSITORY}/manifests/1")).with_body(manifest.as_slice());
            put.send().expect("an answer").status_code
        };
        assert_eq!(tag(), 400);
        for part in [&parts["config"], &parts["layers"][0]] {
            let digest = part["digest"].as_str().expect("a digest");
            let bytes = minreq::get(format!("http://{}/v2/{REPOSITORY}/blobs/{digest}", registries.source));
            let bytes = bytes.send().expect("an answer").into_bytes();
            assert_eq!(Some(bytes.len() as u64), part["size"].as_u64());
            for (sent, status) in [(&bytes[1..], 400), (bytes.as_slice(), 201)] {
                let end = upload_address(&target, REPOSITORY, digest).expect("an address");
                let (upload, _) = end.split_once('?').expect("the digest is in its query");
                let half = sent.len() / 2;
                let patched = minreq::patch(upload).with_body(&sent[..half]).send().expect("an answer");
                assert_eq!(patched.status_code, 202);
                let put = minreq::put(&end).with_body(&sent[half..]);
                assert_eq!(put.send().expect("an answer").status_code, status, "{digest}");
            }
        }
        assert_eq!(registries.arrived("1"), None);
        assert_eq!(tag(), 201);
        assert!(registries.arrived("1").is_some_and(|bytes| bytes > 3_000_000));
        registries.forget();
        assert_eq!(registries.arrived("1"), None);
    }
}
