//! `DELETE /api/v1/repos/:user/:repo/:distro/:version/:filename`: takes a package out of a repository
//! (<https://packagecloud.io/docs/api#resource_packages_method_destroy>). Its index is rebuilt afterwards.

use http::{Method, StatusCode};
use serde_json::Value;
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::answer::refusal;
use crate::{Account, Distro, Filename, Repository};

/// The deletion of one file from one distro version.
#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    /// Who deletes.
    pub account: &'a Account,
    /// Where from.
    pub repository: &'a Repository,
    /// The distro version.
    pub distro: &'a Distro,
    /// The file's name.
    pub filename: &'a Filename,
    /// Whether full stops in the distro version are written `%2E`. Some installations need `opensuse/42%2E1`; which
    /// ones is not documented.
    pub escape_dots: bool,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The file was there, and is gone.
    Deleted,
    /// There was no such file.
    WasGone,
}

impl Endpoint for Delete<'_> {
    type Output = Deleted;

    fn request(&self) -> Result<Request, http::Error> {
        let folder = self.account.base().url(self.repository.api([self.distro.name()]));
        let version = self.distro.version();
        let version = if self.escape_dots { version.replace('.', "%2E") } else { version.to_owned() };
        // A file name's segment is escaped by the address of the installation, and cut off it again.
        let url = self.account.base().url([self.filename.as_str()]);
        let filename = url.rsplit_once('/').map(|(_, filename)| filename).unwrap_or_default();
        self.account.request(Method::DELETE, &format!("{folder}/{version}/{filename}"))
    }

    fn parse(&self, response: &Response) -> Result<Deleted, CallError> {
        match response.status() {
            status if status.is_success() => Ok(Deleted::Deleted),
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY if names_a_missing_file(response) => {
                Ok(Deleted::WasGone)
            }
            _ => Err(refusal(self.account.base(), response)),
        }
    }
}

/// Whether the answer says that the file is not there, and not that the repository is out of sight.
fn names_a_missing_file(response: &Response) -> bool {
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let messages = body.get("filename").and_then(Value::as_array);
    messages.into_iter().flatten().filter_map(Value::as_str).any(|said| said.eq_ignore_ascii_case("not found"))
}

/// Deletes a file, in the second spelling of its distro version if the first one is not understood.
pub async fn delete(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    distro: &Distro,
    filename: &Filename,
) -> Result<Deleted, CallError> {
    let plain = Delete { account, repository, distro, filename, escape_dots: false };
    match call(http, &plain).await {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) && distro.version().contains('.') => {
            call(http, &Delete { escape_dots: true, ..plain }).await
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Recorded, account, filename, now, response, staging};

    const FOLDER: &str = "https://packages.example.com/api/v1/repos/harbour-ci/pre-release/opensuse/";

    fn ask(http: &Recorded) -> Result<Deleted, CallError> {
        let distro = "opensuse/42.1".parse().expect("a distro version");
        now(delete(http, &account(), &staging(), &distro, &filename("tug-1.0+x.x86_64.rpm")))
    }

    fn answering(status: u16, body: &str) -> Recorded {
        Recorded::default().with(&format!("{FOLDER}42.1/tug-1.0%2Bx.x86_64.rpm"), response(status, body))
    }

    #[test]
    fn a_file_is_deleted_by_its_name_and_distro_version() {
        let http = answering(200, "{}");
        assert_eq!(ask(&http).expect("success"), Deleted::Deleted);
        assert_eq!(http.asked(), [format!("DELETE {FOLDER}42.1/tug-1.0%2Bx.x86_64.rpm")]);
    }

    #[test]
    fn a_file_that_was_not_there_is_no_error() {
        for status in [404, 422] {
            let http = answering(status, r#"{"filename":["not found"]}"#);
            assert_eq!(ask(&http).expect("it is gone"), Deleted::WasGone);
            assert_eq!(http.asked().len(), 1);
        }
    }

    #[test]
    fn full_stops_are_escaped_where_the_plain_name_is_not_understood() {
        let http = Recorded::default().with(&format!("{FOLDER}42%2E1/tug-1.0%2Bx.x86_64.rpm"), response(200, "{}"));
        assert_eq!(ask(&http).expect("success"), Deleted::Deleted);
        assert_eq!(http.asked().len(), 2);
    }

    #[test]
    fn a_repository_out_of_sight_is_an_error() {
        let http = Recorded::default();
        assert_eq!(ask(&http).expect_err("404").status(), Some(StatusCode::NOT_FOUND));
        let error = ask(&answering(422, r#"{"repository":["is locked"]}"#)).expect_err("422");
        assert_eq!(error.status(), Some(StatusCode::UNPROCESSABLE_ENTITY));
    }
}
