//! Push and delete.
//!
//! A pushed file goes to disk as it arrives, hashed on the way; memory does not grow with it. Whether it is accepted
//! is decided when all of it is there, as on packagecloud: also a duplicate is told only then.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use md5::Md5;
use multer::Multipart;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use tokio::sync::mpsc;

use crate::access::hex;
use crate::answer;
use crate::api::is_private;
use crate::deb::{Control, InvalidDeb};
use crate::depot::Depot;
use crate::faults::{Point, overruled};
use crate::front::drain;
use crate::names::Repository;
use crate::package::{About, Key, Sums};
use crate::rpm::header::MAGIC;
use crate::rpm::{InvalidRpm, Rpm};
use crate::shapes::Shape;
use crate::store::{Incoming, WriteError};

/// Chunks on their way to the disk: beyond these, the client waits.
const CHUNKS_WAITING_MAX: usize = 8;
/// A part that is not a file may have this size.
const TEXT_BYTES_MAX: usize = 4096;

/// The parts of a push.
#[derive(Default)]
struct Parts {
    distro_version_id: Option<String>,
    file: Option<(Incoming, Sums)>,
}

#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("the body is not the multipart form that was announced")]
    Form(#[from] multer::Error),
    #[error("a text part is longer than {TEXT_BYTES_MAX} bytes")]
    LongText,
    #[error("the file cannot be written")]
    Disk(#[from] io::Error),
}

pub(crate) async fn answer(depot: &Arc<Depot>, user: &str, repository: &Repository, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(boundary) = multer::parse_boundary(content_type) else {
        drain(request).await;
        return answer::invalid("package", "is missing: send multipart/form-data");
    };
    let parts = match read_parts(depot, Multipart::new(request.into_body().into_data_stream(), boundary)).await {
        Ok(parts) => parts,
        Err(BodyError::Disk(error)) => return answer::broken("write the upload", &error),
        Err(error) => {
            return answer::json_value(StatusCode::BAD_REQUEST, &serde_json::json!({"error": error.to_string()}));
        }
    };
    let Some((incoming, sums)) = parts.file else {
        return answer::invalid("package_file", "can't be blank");
    };
    let id = parts.distro_version_id.unwrap_or_default().trim().parse().ok();

    // Reading the package and making it last is work for the disk.
    let read = tokio::task::spawn_blocking(move || {
        let about = about(incoming.path());
        (incoming, about)
    });
    let (incoming, about) = match read.await {
        Ok((incoming, Ok(about))) => (incoming, about),
        Ok((_, Err(error))) => return not_a_package(&error),
        Err(error) => return answer::broken("read the upload", &error),
    };
    let Some(distro) = id.and_then(|id| depot.ids().distro(about.kind(), id)) else {
        return answer::invalid("distro_version_id", "is invalid");
    };
    let subject = format!("{path}/{}", about.filename());
    let task = {
        let (depot, repository, user) = (depot.clone(), repository.clone(), user.to_owned());
        move || depot.store.push(&incoming, (&repository, &distro), (sums, about), &user)
    };
    overruled(depot, Point::Push, subject, async || match tokio::task::spawn_blocking(task).await {
        Ok(Ok(held)) => {
            let private = is_private(depot, repository);
            let shape = Shape { depot, held: &held, private, promoted_from: None };
            answer::json_value(StatusCode::CREATED, &shape.details())
        }
        Ok(Err(error)) => refusal("accept the push", &error),
        Err(error) => answer::broken("accept the push", &error),
    })
    .await
}

fn not_a_package(error: &PushError) -> Response {
    match error {
        PushError::Deb(_) | PushError::Rpm(_) => answer::invalid("package_file", &error.to_string()),
        PushError::Disk(error) => answer::broken("read the upload", error),
    }
}

#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error("the file {0}")]
    Deb(#[from] InvalidDeb),
    #[error("the file {0}")]
    Rpm(#[from] InvalidRpm),
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Reads what a package says of itself. Its kind is told by how it begins, never by its name.
fn about(path: &Path) -> Result<About, PushError> {
    let mut file = io::BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(&MAGIC) {
        return Ok(About::Rpm(Rpm::of_file(&mut file)?));
    }
    Ok(About::Deb(Control::of_deb(file)?))
}

/// The answer to a write that was not accepted.
pub(crate) fn refusal(doing: &str, error: &WriteError) -> Response {
    match error {
        WriteError::Taken => answer::taken(),
        WriteError::NotFound => answer::no_such_file(),
        WriteError::Store(error) => answer::broken(doing, error),
    }
}

async fn read_parts(depot: &Depot, mut form: Multipart<'_>) -> Result<Parts, BodyError> {
    let mut parts = Parts::default();
    while let Some(mut field) = form.next_field().await? {
        match field.name() {
            Some("package[package_file]") => {
                let (incoming, file) = depot.store.incoming()?;
                let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
                let writer = tokio::task::spawn_blocking(move || write_and_sum(file, waiting));
                while let Some(chunk) = field.chunk().await? {
                    if chunks.send(chunk).await.is_err() {
                        // The writer has given up; what it returns says why.
                        break;
                    }
                }
                drop(chunks);
                let sums = writer.await.map_err(io::Error::other)??;
                parts.file = Some((incoming, sums));
            }
            Some("package[distro_version_id]") => {
                let mut text = Vec::new();
                while let Some(chunk) = field.chunk().await? {
                    text.extend_from_slice(&chunk);
                    if text.len() > TEXT_BYTES_MAX {
                        return Err(BodyError::LongText);
                    }
                }
                parts.distro_version_id = Some(String::from_utf8_lossy(&text).into_owned());
            }
            // The next turn reads over it.
            _ => {}
        }
    }
    Ok(parts)
}

fn write_and_sum(mut file: File, mut chunks: mpsc::Receiver<Bytes>) -> io::Result<Sums> {
    let (mut md5, mut sha1, mut sha256, mut sha512) = (Md5::new(), Sha1::new(), Sha256::new(), Sha512::new());
    let mut size = 0;
    while let Some(chunk) = chunks.blocking_recv() {
        file.write_all(&chunk)?;
        md5.update(&chunk);
        sha1.update(&chunk);
        sha256.update(&chunk);
        sha512.update(&chunk);
        size += u64::try_from(chunk.len()).expect("a chunk is in memory");
    }
    file.sync_all()?;
    Ok(Sums {
        size,
        md5: hex(&md5.finalize()),
        sha1: hex(&sha1.finalize()),
        sha256: hex(&sha256.finalize()),
        sha512: hex(&sha512.finalize()),
    })
}

/// `DELETE …/:distro/:version/:filename`, "yank".
pub(crate) async fn delete(depot: &Arc<Depot>, user: &str, key: Key) -> Response {
    let task = {
        let (depot, user) = (depot.clone(), user.to_owned());
        move || depot.store.delete(&key, &user)
    };
    match tokio::task::spawn_blocking(task).await {
        Ok(Ok(())) => answer::json_text(StatusCode::OK, "{}"),
        Ok(Err(error)) => refusal("delete the package", &error),
        Err(error) => answer::broken("delete the package", &error),
    }
}
