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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{account, response};

    #[test]
    fn a_package_is_shown_at_the_address_that_lists_give() {
        let (account, package_url) = (account(), "/api/v1/repos/a/b/package/deb/ubuntu/jammy/x/amd64/1.json");
        let package_url = package_url.parse().expect("a path");
        let show = Show { account: &account, package_url: &package_url };
        assert_eq!(
            show.request().expect("a request").uri(),
            "https://packages.example.com/api/v1/repos/a/b/package/deb/ubuntu/jammy/x/amd64/1.json"
        );
        let package = show.parse(&response(200, include_str!("../fixtures/show.json"))).expect("a description");
        assert_eq!(package.filename, "tug_3.1.0-1_amd64.deb");
        let depends = package.dependencies.expect("what it depends on");
        let depends: Vec<_> = depends.iter().map(|of| (of.context.as_str(), of.dependencies.concat())).collect();
        assert_eq!(depends, [("depends", "libc6 (>= 2.35)".to_owned())]);
    }
}
