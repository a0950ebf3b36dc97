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
