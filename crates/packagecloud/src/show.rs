//! `GET` of a package's `package_url`: its full description
//! (<https://packagecloud.io/docs/api#resource_packages_method_show>).
//!
//! The address differs from kind to kind, and its documentation advises to follow the one that lists give.

use http::Method;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::answer;
use crate::{Account, ApiPath, PackageRecord};

/// One package in full, with its size.
#[derive(Clone, Copy, Debug)]
pub struct Show<'a> {
    /// Who asks.
    pub account: &'a Account,
    /// The package's `package_url`.
    pub package_url: &'a ApiPath,
}

impl Endpoint for Show<'_> {
    type Output = PackageRecord;

    fn request(&self) -> Result<Request, http::Error> {
        self.account.request(Method::GET, &self.account.base().join(self.package_url.as_str()))
    }

    fn parse(&self, response: &Response) -> Result<PackageRecord, CallError> {
        answer::json(self.account.base(), response)
    }
}
