//! Files as answers: streamed, whole or in part.

use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::clock::Moment;
use crate::depot::Depot;

/// What is read at once.
const CHUNK_BYTES: u64 = 64 << 10;

/// A part of a file: from here, so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    length: u64,
}

/// Reads `Range` for a file of some size: `Ok(None)` is all of it, `Err` is a part that is not there.
///
/// Only one range is understood. As HTTP allows, everything else gets the whole file.
fn part(headers: &HeaderMap, size: u64) -> Result<Option<Part>, ()> {
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return Ok(None) };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (start, end) = match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => return Err(()),
            Some(count) => (size.saturating_sub(count), size),
            None => return Ok(None),
        },
        (first, "") => match number(first) {
            Some(start) => (start, size),
            None => return Ok(None),
        },
        (first, last) => match (number(first), number(last)) {
            (Some(start), Some(last)) if start <= last => (start, size.min(last.saturating_add(1))),
            _ => return Ok(None),
        },
    };
    if start >= size { Err(()) } else { Ok(Some(Part { start, length: end - start })) }
}

/// The file as an answer. With `held_at`, gates for that filename hold it.
pub(crate) async fn answer(
    headers: &HeaderMap,
    path: &Path,
    held_at: Option<(Arc<Depot>, String)>,
) -> std::io::Result<Response> {
    let mut file = File::open(path).await?;
    let size = file.metadata().await?.len();
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let part = match part(headers, size) {
        Ok(None) => Part { start: 0, length: size },
        Ok(Some(part)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {}-{}/{size}", part.start, part.start + part.length - 1);
            response.headers_mut().insert(CONTENT_RANGE, HeaderValue::from_str(&range).map_err(std::io::Error::other)?);
            part
        }
        Err(()) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let range = HeaderValue::from_str(&format!("bytes */{size}")).map_err(std::io::Error::other)?;
            response.headers_mut().insert(CONTENT_RANGE, range);
            return Ok(response);
        }
    };
    file.seek(SeekFrom::Start(part.start)).await?;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(part.length));
    let sending = Sending { file, sent: 0, length: part.length, held_at };
    *response.body_mut() = Body::from_stream(stream::try_unfold(sending, Sending::next));
    Ok(response)
}

/// A file of an index as an answer: with its date and a mark of its contents, and 304 to who has it already.
///
/// `If-Modified-Since` is not looked at: it counts in seconds, and two indexes may be made within one.
pub(crate) async fn index(headers: &HeaderMap, path: &Path) -> std::io::Result<Response> {
    // Opened once: a new index may replace the file at any moment.
    let file = File::open(path).await?;
    let about = file.metadata().await?;
    let modified = Moment::of(about.modified()?);
    let mark = format!("\"{:x}-{:x}-{:x}\"", about.ino(), about.mtime_nsec(), modified.unix_seconds());
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == mark)
    });
    let mut response = Response::new(Body::empty());
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let sending = Sending { file, sent: 0, length: about.len(), held_at: None };
        *response.body_mut() = Body::from_stream(stream::try_unfold(sending, Sending::next));
        let content_type = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => "application/gzip",
            Some("xz") => "application/x-xz",
            Some("zst") => "application/zstd",
            Some("xml") => "application/xml",
            _ => "text/plain; charset=utf-8",
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(about.len()));
    }
    for (name, value) in [(ETAG, mark), (LAST_MODIFIED, modified.http_date())] {
        response.headers_mut().insert(name, HeaderValue::from_str(&value).map_err(std::io::Error::other)?);
    }
    Ok(response)
}

struct Sending {
    file: File,
    sent: u64,
    length: u64,
    held_at: Option<(Arc<Depot>, String)>,
}

impl Sending {
    async fn next(mut self) -> std::io::Result<Option<(Bytes, Self)>> {
        let mut wanted = CHUNK_BYTES.min(self.length - self.sent);
        if wanted == 0 {
            return Ok(None);
        }
        if let Some((depot, filename)) = &self.held_at {
            while let Some(gate) = depot.drills.gate_for(filename) {
                if self.sent < gate.after_bytes {
                    wanted = wanted.min(gate.after_bytes - self.sent);
                    break;
                }
                gate.hold().await;
            }
        }
        let mut chunk = vec![0; usize::try_from(wanted).map_err(std::io::Error::other)?];
        self.file.read_exact(&mut chunk).await?;
        self.sent += wanted;
        Ok(Some((chunk.into(), self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_served_as_http_says() {
        for (range, expected) in [
            ("bytes=0-3", Ok(Some((0, 4)))),
            ("bytes=4-", Ok(Some((4, 6)))),
            ("bytes=-3", Ok(Some((7, 3)))),
            ("bytes=-30", Ok(Some((0, 10)))),
            ("bytes=8-100", Ok(Some((8, 2)))),
            ("bytes=10-", Err(())),
            ("bytes=-0", Err(())),
            ("bytes=5-2", Ok(None)),
            ("bytes=0-1,3-4", Ok(None)),
            ("lines=0-1", Ok(None)),
            ("bytes=a-b", Ok(None)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(range));
            let expected = expected.map(|part| part.map(|(start, length)| Part { start, length }));
            assert_eq!(part(&headers, 10), expected, "{range}");
        }
    }
}
