//! `/v2/{repository}/blobs/…`: whether a blob is there, its bytes, and how one is sent
//! (OCI distribution specification 1.1, "Pulling blobs", "Pushing blobs", "Mounting a blob from another repository").
//!
//! The bytes themselves move through the [`slipway_wire::Relay`] port: what is built here are the requests around them.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{Method, StatusCode};
use slipway_wire::{CallError, Digest, Endpoint, Request, Response};

use crate::answer::{refusal, refusal_of, unreadable};
use crate::name::Repository;
use crate::registry::{Location, Registry, with_body};

/// `HEAD`: how many bytes a blob has. `None` when it is not there.
#[derive(Clone, Copy, Debug)]
pub struct HeadBlob<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
    /// The blob.
    pub digest: Digest,
}

/// What a registry says of a blob that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobHead {
    /// The number of its bytes, where it was given.
    pub size: Option<u64>,
}

impl Endpoint for HeadBlob<'_> {
    type Output = Option<BlobHead>;

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.registry.url(self.repository, format_args!("blobs/{}", self.digest));
        Registry::request(Method::HEAD, &url).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Option<BlobHead>, CallError> {
        match response.status() {
            StatusCode::OK => {
                let size = response.headers().get(CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
                Ok(Some(BlobHead { size }))
            }
            // Some send even a `HEAD` to the storage that has it.
            status if status.is_redirection() => Ok(Some(BlobHead { size: None })),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(&self.registry.base, response)),
        }
    }
}

/// `GET`: the request for a blob's bytes, and where it leads. No body of a success is read here.
#[derive(Clone, Copy, Debug)]
pub struct GetBlob<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
    /// The blob.
    pub digest: Digest,
}

impl GetBlob<'_> {
    /// The request, without a credential.
    pub fn request(&self) -> Result<http::Request<()>, http::Error> {
        let url = self.registry.url(self.repository, format_args!("blobs/{}", self.digest));
        Registry::request(Method::GET, &url).body(())
    }

    /// The storage that an answer sends to: `None` when the registry gives the bytes itself.
    pub fn redirect(&self, response: &Response) -> Result<Option<Location>, CallError> {
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(None),
            status if status.is_redirection() => self.registry.location(response).map(Some),
            _ => Err(refusal(&self.registry.base, response)),
        }
    }
}

impl Location {
    /// The request for what is there, without a credential.
    pub fn get(&self) -> Result<http::Request<()>, http::Error> {
        http::Request::get(self.url()).body(())
    }

    /// What an answer from there means that is not the wanted one. The address may be a key, and is not shown by way of it:
    /// of a registry's words it is taken out, and storage is known to repeat what was signed, with the signature.
    pub(crate) fn refusal(&self, answer: &Response) -> CallError {
        let mut answer = answer.clone();
        if !self.is_own() {
            *answer.body_mut() = b"(what storage says is not shown, it may hold a key)".to_vec();
        }
        let query = self.url().split_once('?').map(|(_, query)| query).unwrap_or_default();
        let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1)).filter(|value| value.len() >= 8);
        let keys: Vec<String> = std::iter::once(self.url()).chain(values).map(str::to_owned).collect();
        refusal_of(self.host(), &answer).without(&keys)
    }
}

/// `POST`: begins an upload, or takes a blob that another repository of the registry has.
#[derive(Clone, Copy, Debug)]
pub struct BeginUpload<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// The repository that is to have the blob.
    pub repository: &'a Repository,
    /// The blob, and a repository of the same registry that may have it.
    pub mount: Option<(Digest, &'a Repository)>,
}

/// How an upload began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is done: the repository has the blob, and nothing was sent.
    Mounted,
    /// The bytes are awaited there.
    Upload(Location),
}

impl Endpoint for BeginUpload<'_> {
    type Output = Begun;

    fn request(&self) -> Result<Request, http::Error> {
        let mut url = self.registry.url(self.repository, "blobs/uploads/");
        if let Some((digest, from)) = self.mount {
            let from = percent_encoding::utf8_percent_encode(from.as_str(), percent_encoding::NON_ALPHANUMERIC);
            url = format!("{url}?mount={digest}&from={from}");
        }
        with_body(Registry::request(Method::POST, &url), Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Begun, CallError> {
        match response.status() {
            StatusCode::CREATED if self.mount.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => self.registry.location(response).map(Begun::Upload),
            _ => Err(refusal(&self.registry.base, response)),
        }
    }
}

/// The rest of an upload: each answer names where the next request goes, and each address is used once.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// Where it goes on.
    pub location: &'a Location,
}

impl Upload<'_> {
    /// `PUT` of the whole blob, or of what is left of it, which ends the upload. The length is added by the relay.
    pub fn put(&self, digest: Digest) -> Result<http::Request<()>, http::Error> {
        let url = self.location.with("digest", &digest.to_string());
        Registry::request(Method::PUT, &url).header(CONTENT_TYPE, "application/octet-stream").body(())
    }

    /// Reads the answer to [`Upload::put`].
    pub fn ended(&self, response: &Response) -> Result<(), CallError> {
        match response.status() {
            StatusCode::CREATED | StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.location.refusal(response)),
        }
    }

    /// `PATCH` of the bytes from `from` up to, not with, `until`. What has arrived can be asked for when it breaks off.
    pub fn patch(&self, from: u64, until: u64) -> Result<http::Request<()>, http::Error> {
        Registry::request(Method::PATCH, self.location.url())
            .header(CONTENT_TYPE, "application/octet-stream")
            // Without the unit and the total, unlike the header of the same name in an answer.
            .header(CONTENT_RANGE, format!("{from}-{}", until.saturating_sub(1)))
            .body(())
    }

    /// Reads the answer to [`Upload::patch`]: where the upload goes on.
    pub fn patched(&self, response: &Response) -> Result<Location, CallError> {
        match response.status() {
            // ECR answers 201 (<https://github.com/cirruslabs/tart/issues/273>).
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => self.registry.location(response),
            _ => Err(self.location.refusal(response)),
        }
    }
}

/// `PUT` of a whole blob whose bytes are at hand: what Slipway itself has written. All others are relayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBlob<'a> {
    /// The upload, that has had no bytes yet.
    pub upload: Upload<'a>,
    /// The blob.
    pub bytes: &'a [u8],
}

impl Endpoint for PutBlob<'_> {
    type Output = ();

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.upload.location.with("digest", &Digest::of(self.bytes).to_string());
        let request = Registry::request(Method::PUT, &url).header(CONTENT_TYPE, "application/octet-stream");
        with_body(request, self.bytes.to_vec())
    }

    fn parse(&self, response: &Response) -> Result<(), CallError> {
        self.upload.ended(response)
    }
}

/// `PUT` without a body: ends an upload whose bytes have all been sent.
#[derive(Clone, Copy, Debug)]
pub struct EndUpload<'a> {
    /// The upload.
    pub upload: Upload<'a>,
    /// The digest of all its bytes.
    pub digest: Digest,
}

impl Endpoint for EndUpload<'_> {
    type Output = ();

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.upload.location.with("digest", &self.digest.to_string());
        with_body(Registry::request(Method::PUT, &url), Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<(), CallError> {
        self.upload.ended(response)
    }
}

/// `GET`: how much of an upload has arrived.
#[derive(Clone, Copy, Debug)]
pub struct UploadStatus<'a>(pub Upload<'a>);

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// How many bytes the registry has.
    pub bytes: u64,
    /// Where the next one goes.
    pub location: Location,
}

impl Endpoint for UploadStatus<'_> {
    /// `None` when the registry has forgotten the upload, as some do when a connection breaks.
    type Output = Option<Arrived>;

    fn request(&self) -> Result<Request, http::Error> {
        Registry::request(Method::GET, self.0.location.url()).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Option<Arrived>, CallError> {
        let registry = self.0.registry;
        match response.status() {
            StatusCode::NO_CONTENT | StatusCode::ACCEPTED | StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.0.location.refusal(response)),
        }
        let range = response.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.trim_start_matches("bytes=").split_once('-')?.1.trim().parse().ok());
        let last: u64 =
            last.ok_or_else(|| unreadable(&registry.base, "its upload does not say how much has arrived"))?;
        // `0-0` stands for nothing and for one byte alike. Sending that byte again is refused, or caught by the digest;
        // leaving it out would be neither.
        let bytes = if last == 0 { 0 } else { last.saturating_add(1) };
        Ok(Some(Arrived { bytes, location: registry.location(response)? }))
    }
}

/// `DELETE`: gives an upload up, so that the registry need not keep what has arrived.
#[derive(Clone, Copy, Debug)]
pub struct CancelUpload<'a>(pub Upload<'a>);

impl Endpoint for CancelUpload<'_> {
    type Output = ();

    fn request(&self) -> Result<Request, http::Error> {
        Registry::request(Method::DELETE, self.0.location.url()).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<(), CallError> {
        match response.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(self.0.location.refusal(response)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, response};

    fn registry() -> Registry {
        Registry::anonymous(base("https://registry.example.com"))
    }

    fn repository() -> Repository {
        "team/app".parse().expect("a repository")
    }

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response {
        let mut builder = http::Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Vec::new()).expect("headers")
    }

    fn location(text: &str) -> Location {
        registry().location(&answer(202, &[("location", text)])).expect("an address")
    }

    #[test]
    fn a_blob_is_mounted_by_its_digest_from_another_repository() {
        let (registry, repository, from) = (registry(), repository(), "ci/app".parse().expect("a repository"));
        let digest = Digest::of(b"x");
        let begin = BeginUpload { registry: &registry, repository: &repository, mount: Some((digest, &from)) };
        let request = begin.request().expect("a request");
        assert_eq!(request.method(), Method::POST);
        let url = format!("https://registry.example.com/v2/team/app/blobs/uploads/?mount={digest}&from=ci%2Fapp");
        assert_eq!(request.uri().to_string(), url);
        assert_eq!(request.headers()["content-length"], "0");
        let mounted = answer(201, &[("location", "/v2/team/app/blobs/x")]);
        assert_eq!(begin.parse(&mounted).expect("mounted"), Begun::Mounted);
        // 202 is no error: the registry does not have it there, and awaits the bytes.
        let parsed = begin.parse(&answer(202, &[("location", "/u/1")])).expect("an upload");
        assert_eq!(parsed, Begun::Upload(location("/u/1")));
        // What nobody asked to mount was not mounted.
        let plain = BeginUpload { mount: None, ..begin };
        assert!(plain.request().expect("a request").uri().query().is_none());
        assert!(plain.parse(&mounted).is_err());
        assert!(plain.parse(&answer(202, &[])).is_err(), "it names no address");
    }

    #[test]
    fn the_bytes_that_arrived_are_counted_from_the_range() {
        let (registry, at) = (registry(), location("/u/1?_state=a"));
        let status = UploadStatus(Upload { registry: &registry, location: &at });
        for (range, bytes) in [("0-699999", 700_000), ("bytes=0-9", 10), ("0-0", 0)] {
            let arrived = status.parse(&answer(204, &[("range", range), ("location", "/u/1?_state=b")]));
            let expected = Arrived { bytes, location: location("/u/1?_state=b") };
            assert_eq!(arrived.expect(range), Some(expected), "{range}");
        }
        assert_eq!(status.parse(&response(404, "")).expect("forgotten"), None);
        for headers in [&[("location", "/u/1")][..], &[("range", "0-x"), ("location", "/u/1")], &[("range", "0-9")]] {
            assert!(status.parse(&answer(204, headers)).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn a_piece_names_its_place_and_the_next_address_is_the_newest() {
        let (registry, at) = (registry(), location("/u/1?_state=a"));
        let upload = Upload { registry: &registry, location: &at };
        let patch = upload.patch(0, 10_000).expect("a request");
        // OCI distribution specification 1.1, "Pushing a blob in chunks": `<start>-<end>`, the end included.
        assert_eq!(patch.headers()["content-range"], "0-9999");
        assert_eq!(patch.uri().to_string(), "https://registry.example.com/u/1?_state=a");
        for status in [201, 202, 204] {
            let next = upload.patched(&answer(status, &[("location", "/u/1?_state=b")])).expect("the next address");
            assert_eq!(next, location("/u/1?_state=b"));
        }
        assert!(upload.patched(&answer(416, &[("location", "/u/1")])).is_err());
        let put = upload.put(Digest::of(b"x")).expect("a request");
        let url = format!("https://registry.example.com/u/1?_state=a&digest={}", Digest::of(b"x"));
        assert_eq!((put.method(), put.uri().to_string()), (&Method::PUT, url));
    }

    #[test]
    fn whoever_refuses_an_upload_is_named_and_its_address_is_not_shown() {
        let storage = vec![base("https://storage.example.net")];
        let registry = Registry { storage, ..registry() };
        let at = |text: &str| registry.location(&answer(202, &[("location", text)])).expect("an address");
        let refused = |location: &Location, body: &str| {
            let upload = Upload { registry: &registry, location };
            let answers = [403, 404, 500].map(|status| response(status, body));
            let told = answers.each_ref().map(|answer| {
                [
                    upload.ended(answer).err(),
                    upload.patched(answer).err(),
                    UploadStatus(upload).parse(answer).err(),
                    CancelUpload(upload).parse(answer).err(),
                ]
            });
            told.into_iter().flatten().flatten().map(|error| error.to_string()).collect::<Vec<_>>()
        };
        let signed = "<StringToSign>PUT /b</StringToSign><SignatureProvided>s1gned-by-us</SignatureProvided>";
        for line in refused(&at("https://storage.example.net/b?sig=s1gned-by-us"), signed) {
            let is_told = line.starts_with("storage.example.net answered ");
            assert!(is_told && !line.contains("s1gned") && !line.contains("StringToSign"), "{line}");
        }
        let own = r#"{"errors":[{"code":"UNKNOWN","message":"no upload at /u/1?_state=k3y-of-an-upload"}]}"#;
        for line in refused(&at("/u/1?_state=k3y-of-an-upload"), own) {
            assert!(line.starts_with("registry.example.com answered ") && line.contains("no upload at"), "{line}");
            assert!(!line.contains("k3y-of-an-upload"), "{line}");
        }
    }

    #[test]
    fn a_blob_is_there_with_its_size_or_not_at_all() {
        let (registry, repository) = (registry(), repository());
        let head = HeadBlob { registry: &registry, repository: &repository, digest: Digest::of(b"x") };
        let found = head.parse(&answer(200, &[("content-length", "7")])).expect("an answer");
        assert_eq!(found, Some(BlobHead { size: Some(7) }));
        let elsewhere = head.parse(&answer(307, &[("location", "https://s.example.net/b")])).expect("an answer");
        assert_eq!(elsewhere, Some(BlobHead { size: None }));
        assert_eq!(head.parse(&response(404, "")).expect("an answer"), None);
        for status in [401, 403, 429, 500] {
            assert!(head.parse(&response(status, "")).is_err(), "{status}");
        }
    }
}
