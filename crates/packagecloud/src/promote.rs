//! `POST /api/v1/repos/:user/:repo/:distro/:version/:filename/promote.json`: moves a package to another repository
//! (<https://packagecloud.io/docs/api#resource_packages_method_promote>).
//!
//! What it is, whatever its name says:
//!
//! * **A move.** Afterwards the package is gone from where it was. There is no way to leave a copy behind.
//! * **By file name.** It moves the bytes that are there at that moment, whatever they are. Nobody can say which are meant,
//!   so look before, and look afterwards.
//! * **Synchronous.** The answer comes after the bytes were copied: some ten seconds for 300 MB, and a proxy may give up
//!   before. The move goes on all the same.
//! * **Not safely repeatable.** After an answer that did not come the package may be here, there, or on its way. Asking
//!   again can move a file that was pushed in between. Look at both repositories first.

use http::Method;
use http::header::CONTENT_TYPE;
use percent_encoding::utf8_percent_encode;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::answer::{self, refusal, unreadable};
use crate::push::is_duplicate;
use crate::search::VALUE;
use crate::{Account, Distro, Filename, PackageRecord, Repository};

/// The move of one file, in one distro version, to another repository of the same installation.
#[derive(Clone, Copy, Debug)]
pub struct Promote<'a> {
    /// Who moves. The user must be able to write to both repositories.
    pub account: &'a Account,
    /// Where it is.
    pub from: &'a Repository,
    /// Where it goes.
    pub to: &'a Repository,
    /// The distro version, in both.
    pub distro: &'a Distro,
    /// The file's name, in both.
    pub filename: &'a Filename,
}

/// What became of a move that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// It is at its destination. The record's `private` and `indexed` tell nothing: the first can be the source's, and the
    /// second is false until the index follows.
    Moved(PackageRecord),
    /// The destination has a file of that name. Its bytes were not compared, and nothing is known to have moved: look.
    Taken,
}

impl Endpoint for Promote<'_> {
    type Output = Promoted;

    fn request(&self) -> Result<Request, http::Error> {
        let path = [self.distro.name(), self.distro.version(), self.filename.as_str(), "promote.json"];
        let url = self.account.base().url(self.from.api(path));
        let mut request = self.account.request(Method::POST, &url)?;
        request.headers_mut().insert(CONTENT_TYPE, "application/x-www-form-urlencoded".try_into()?);
        let destination = self.to.to_string();
        *request.body_mut() = format!("destination={}", utf8_percent_encode(&destination, VALUE)).into_bytes();
        Ok(request)
    }

    fn parse(&self, response: &Response) -> Result<Promoted, CallError> {
        let base = self.account.base();
        if is_duplicate(response) {
            return Ok(Promoted::Taken);
        }
        // Any success will do: the documentation says 200, recordings say 201.
        if !response.status().is_success() {
            return Err(refusal(base, response));
        }
        let package: PackageRecord = answer::json(base, response)?;
        if package.is(self.distro, self.filename) {
            Ok(Promoted::Moved(package))
        } else {
            let why =
                format!("asked to move {} for {}, it describes {:?}", self.filename, self.distro, package.filename);
            Err(unreadable(base, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{account, filename, jammy, response, staging};

    const NAME: &str = "tug_3.1.0-1_amd64.deb";

    fn with_promote<T>(name: &str, distro: &str, ask: impl FnOnce(&Promote<'_>) -> T) -> T {
        let (account, from, filename) = (account(), staging(), filename(name));
        let (to, distro) = ("harbour/stable".parse().expect("a repository"), distro.parse().expect("a distro"));
        ask(&Promote { account: &account, from: &from, to: &to, distro: &distro, filename: &filename })
    }

    fn parse(status: u16, body: &str) -> Result<Promoted, CallError> {
        with_promote(NAME, "ubuntu/jammy", |promote| promote.parse(&response(status, body)))
    }

    #[test]
    fn a_move_names_the_file_in_its_address_and_the_destination_in_a_form() {
        let request =
            with_promote("tug-1.0^x+y.x86_64.rpm", "opensuse/13.2", |promote| promote.request()).expect("a request");
        assert_eq!(request.method(), Method::POST);
        assert_eq!(
            request.uri(),
            "https://packages.example.com/api/v1/repos/harbour-ci/pre-release/opensuse/13.2/tug-1.0%5Ex%2By.x86_64.rpm/promote.json"
        );
        assert_eq!(request.headers()[CONTENT_TYPE], "application/x-www-form-urlencoded");
        // As it was recorded of GitLab's own tool.
        assert_eq!(request.body(), b"destination=harbour%2Fstable");
        assert_eq!(request.headers()["authorization"], "Basic dDBrM246");
    }

    #[test]
    fn any_success_is_a_move() {
        // 201 was recorded, 200 is documented.
        for status in [200, 201, 202] {
            match parse(status, include_str!("../fixtures/show.json")).expect("success") {
                Promoted::Moved(package) => assert!(package.is(&jammy(), &filename(NAME))),
                Promoted::Taken => panic!("moved"),
            }
        }
    }

    #[test]
    fn a_taken_name_is_told_apart_in_every_wording() {
        for body in [
            r#"{"filename":["has already been taken"]}"#,
            r#"{"filename":["has already been taken"],"plan":["Upgrade to add more packages!"]}"#,
            r#"{"repository":["Validation failed: Full name already exists."]}"#,
        ] {
            assert_eq!(parse(422, body).expect(body), Promoted::Taken, "{body}");
        }
    }

    #[test]
    fn other_refusals_are_refusals() {
        for (status, body) in [
            (404, r#"{"error": "not_found"}"#),
            (404, r#"{"filename":["not found"]}"#),
            (404, r#"{"filename":["has already been taken"]}"#),
            (422, r#"{"destination":["is invalid"]}"#),
            (422, "<html>"),
            (401, r#"{"error":"Unauthenticated"}"#),
            (402, r#"{"error":["payment required"]}"#),
            (502, "<html>"),
            (504, ""),
        ] {
            let error = parse(status, body).expect_err(body);
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status), "{body}");
        }
    }

    #[test]
    fn a_success_that_tells_of_something_else_settles_nothing() {
        let other = include_str!("../fixtures/show.json").replace(NAME, "other_1_amd64.deb");
        let elsewhere = include_str!("../fixtures/show.json").replace("ubuntu/jammy\"", "ubuntu/noble\"");
        for body in [other.as_str(), &elsewhere, "<html>", "", "{}"] {
            let error = parse(201, body).expect_err(body);
            assert!(matches!(error, CallError::Unreadable { .. }) && error.may_pass(), "{error}");
        }
        assert!(parse(302, "").is_err());
    }
}
