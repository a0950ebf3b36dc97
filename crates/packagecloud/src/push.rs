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
        Transfer { source, upload: self.request, prefix: self.prefix, suffix: self.suffix, size, skip: 0, digest }
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
pub(crate) fn is_duplicate(response: &Response) -> bool {
    let said = String::from_utf8_lossy(response.body()).to_ascii_lowercase();
    response.status() == StatusCode::UNPROCESSABLE_ENTITY
        && (said.contains("already been taken") || said.contains("already exists"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{account, filename, response, staging};

    const NAME: &str = "tug_3.1.0-1_amd64.deb";

    fn with_push<T>(name: &str, then: impl FnOnce(Push<'_>) -> T) -> T {
        let (account, repository, filename) = (account(), staging(), filename(name));
        let boundary = Boundary::new([0xab; 16]);
        then(Push {
            account: &account,
            repository: &repository,
            distro_version_id: 237,
            filename: &filename,
            boundary: &boundary,
        })
    }

    fn parse(status: u16, body: &str) -> Result<Pushed, CallError> {
        with_push(NAME, |push| push.parse(&response(status, body)))
    }

    #[test]
    fn an_upload_is_a_form_around_the_file() {
        let upload = with_push(NAME, |push| push.upload(5)).expect("an upload");
        let mut body = upload.prefix.clone();
        body.extend_from_slice(b"BYTES");
        body.extend_from_slice(&upload.suffix);
        let boundary = "slipway-abababababababababababababababab";
        assert_eq!(
            String::from_utf8_lossy(&body).split("\r\n").collect::<Vec<_>>(),
            [
                &format!("--{boundary}"),
                "Content-Disposition: form-data; name=\"package[distro_version_id]\"",
                "",
                "237",
                &format!("--{boundary}"),
                "Content-Disposition: form-data; name=\"package[package_file]\"; filename=\"tug_3.1.0-1_amd64.deb\"",
                "Content-Type: application/octet-stream",
                "",
                "BYTES",
                &format!("--{boundary}--"),
                "",
            ]
        );
        let header = |name| upload.request.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(upload.request.method(), Method::POST);
        assert_eq!(
            upload.request.uri(),
            "https://packages.example.com/api/v1/repos/harbour-ci/pre-release/packages.json"
        );
        assert_eq!(header(CONTENT_TYPE), Some(format!("multipart/form-data; boundary={boundary}").as_str()));
        assert_eq!(header(CONTENT_LENGTH), Some(body.len().to_string().as_str()));
        assert_eq!(upload.body_bytes, u64::try_from(body.len()).expect("a short body"));
        assert_eq!(header(AUTHORIZATION), Some("Basic dDBrM246"));
    }

    #[test]
    fn a_hostile_name_stays_inside_its_quotes() {
        for (name, shown) in [
            (
                r#"a"; name="package[distro_version_id].deb"#,
                "filename=\"a%22; name=%22package[distro_version_id].deb\"\r\n",
            ),
            ("tug_1%3a2_amd64.deb", "filename=\"tug_1%3a2_amd64.deb\"\r\n"),
            ("tüg.deb", "filename=\"tüg.deb\"\r\n"),
        ] {
            let upload = with_push(name, |push| push.upload(0)).expect("an upload");
            let prefix = String::from_utf8(upload.prefix).expect("text");
            assert!(prefix.contains(shown), "{prefix}");
            assert_eq!(prefix.matches("\r\n").count(), 8, "{prefix}");
        }
        // Line breaks are no part of a `Filename`; the escape does not rely on it.
        assert_eq!(escaped("a\r\nb\""), "a%0D%0Ab%22");
    }

    #[test]
    fn an_accepted_upload_tells_what_was_stored() {
        for status in [200, 201] {
            match parse(status, include_str!("../fixtures/show.json")).expect("success") {
                Pushed::Created(package) => assert_eq!(package.size, Some(311_509_298)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_upload_stored_under_another_name_is_told_apart() {
        let answer = response(201, include_str!("../fixtures/show.json"));
        let pushed = with_push("tug_1%3a3.1.0-1_amd64.deb", |push| push.parse(&answer)).expect("success");
        assert!(matches!(&pushed, Pushed::Renamed(package) if package.filename == NAME), "{pushed:?}");
    }

    #[test]
    fn a_taken_name_is_recognised_in_every_wording() {
        for body in [
            r#"{"filename":["has already been taken"]}"#,
            r#"{"filename":["has already been taken"],"plan":["Upgrade to add more packages!"]}"#,
            r#"{"repository":["Validation failed: Full name already exists."]}"#,
            r#"{"repository":{"errors":["Filename Has Already Been Taken"]}}"#,
        ] {
            assert_eq!(parse(422, body).expect(body), Pushed::Duplicate, "{body}");
        }
    }

    #[test]
    fn other_refusals_are_no_duplicates() {
        for (status, body) in [
            (422, r#"{"distro_version_id":["is not included in the list"]}"#),
            (422, r#"{"plan":["Upgrade to add more packages!"]}"#),
            (422, ""),
            (401, r#"{"error":"Unauthenticated"}"#),
            (404, r#"{"error": "not_found"}"#),
            (500, r#"{"filename":["has already been taken"]}"#),
            (504, "<html>"),
        ] {
            let error = parse(status, body).expect_err(body);
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status), "{body}");
        }
    }

    #[test]
    fn success_without_a_description_is_unreadable_and_so_settles_nothing() {
        let error = parse(201, "<html>").expect_err("no JSON");
        assert!(matches!(error, CallError::Unreadable { .. }) && error.may_pass(), "{error}");
    }
}
