//! `POST /api/v1/repos/:user/:repo/packages.json`: a package's upload
//! (<https://packagecloud.io/docs/api#resource_packages_method_create>).
//!
//! The file is streamed by a host, so this is not an [`Endpoint`](slipway_wire::Endpoint): it gives what stands before
//! and after the file's bytes, and reads the answer. The length is fixed beforehand: every known client sends one, and a
//! body cut short can then never look complete.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode};
use slipway_wire::{CallError, Digest, Response, Transfer};

use crate::answer;
use crate::{Account, Filename, PackageRecord, Repository};

/// The line that parts a multipart body. Made of 128 random bits, it cannot occur in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// From random bits, which the host supplies.
    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("slipway-{:032x}", u128::from_be_bytes(random)))
    }
}

/// The upload of one file for one distro version.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Who uploads.
    pub account: &'a Account,
    /// Where to.
    pub repository: &'a Repository,
    /// The distro version's id, from [`Distributions`](crate::Distributions).
    pub distro_version_id: u64,
    /// The file's name.
    pub filename: &'a Filename,
    /// The line that parts the body.
    pub boundary: &'a Boundary,
}

/// An upload but for the file's bytes.
#[derive(Debug)]
pub struct Upload {
    /// Method, address and headers, with the length of the whole body.
    pub request: http::Request<()>,
    /// What stands before the file's bytes.
    pub prefix: Vec<u8>,
    /// What stands after them.
    pub suffix: Vec<u8>,
    /// How many bytes the body has, with the file's.
    pub body_bytes: u64,
}

/// What became of an upload that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is there.
    Created(PackageRecord),
    /// It is there, under the name that packagecloud read in the package, which is not the file's.
    Renamed(PackageRecord),
    /// A file of that name was there before. Its bytes were not compared: look.
    Duplicate,
}

impl Upload {
    /// The transfer that sends this upload the bytes of `source`, if they have the digest.
    pub fn transfer(self, source: http::Request<()>, size: u64, digest: Digest) -> Transfer {
        Transfer { source, upload: self.request, prefix: self.prefix, suffix: self.suffix, size, digest }
    }
}

/// A value in a multipart header, escaped as browsers do (WHATWG HTML, "multipart form data").
fn escaped(value: &str) -> String {
    value.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

impl Push<'_> {
    /// The upload of a file of `size_bytes` bytes.
    pub fn upload(&self, size_bytes: u64) -> Result<Upload, http::Error> {
        let boundary = &self.boundary.0;
        let prefix = format!(
            "--{boundary}\r\n\
             Content-Disposition: form-data; name=\"package[distro_version_id]\"\r\n\
             \r\n\
             {}\r\n\
             --{boundary}\r\n\
             Content-Disposition: form-data; name=\"package[package_file]\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\
             \r\n",
            self.distro_version_id,
            escaped(self.filename.as_str()),
        )
        .into_bytes();
        let suffix = format!("\r\n--{boundary}--\r\n").into_bytes();
        let around = u64::try_from(prefix.len().saturating_add(suffix.len())).unwrap_or(u64::MAX);
        let body_bytes = size_bytes.saturating_add(around);
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(self.account.base().url(self.repository.api(["packages.json"])))
            .header(AUTHORIZATION, self.account.token().basic()?)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .header(CONTENT_LENGTH, body_bytes)
            .body(())?;
        Ok(Upload { request, prefix, suffix, body_bytes })
    }

    /// Reads the answer. After any error, an answer of 5xx above all, the file may be there: look before trying again.
    pub fn parse(&self, response: &Response) -> Result<Pushed, CallError> {
        if is_duplicate(response) {
            return Ok(Pushed::Duplicate);
        }
        let package: PackageRecord = answer::json(self.account.base(), response)?;
        if package.filename == self.filename.as_str() {
            Ok(Pushed::Created(package))
        } else {
            Ok(Pushed::Renamed(package))
        }
    }
}

/// Whether an upload was refused because the name is taken. It has been seen under several keys, in two wordings, and
/// with messages about the account's plan beside it.
fn is_duplicate(response: &Response) -> bool {
    let said = String::from_utf8_lossy(response.body()).to_ascii_lowercase();
    response.status() == StatusCode::UNPROCESSABLE_ENTITY
        && (said.contains("already been taken") || said.contains("already exists"))
}
