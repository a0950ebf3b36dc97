//! `GET /api/v1/repos/:user/:repo/search.json`: one page of packages whose file name holds some text
//! (<https://packagecloud.io/docs/api#resource_packages_method_search>).

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::answer::{self, unreadable};
use crate::paging::next_page;
use crate::{Account, Distro, PackageRecord, Repository};

/// How many packages are asked for at a time: the most that packagecloud gives (its `Max-Per-Page`).
pub const PER_PAGE: u32 = 250;

/// How many pages are read at most: 10,000 packages, far above what one file name or release can match.
pub const PAGES_MAX: u32 = 40;

/// What may stand unescaped in a query's value (RFC 3986 "unreserved").
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One page of a search. It matches parts of names, so whoever asks for one file compares exactly.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Who asks.
    pub account: &'a Account,
    /// Where to look.
    pub repository: &'a Repository,
    /// Part of a file name. Empty means every file.
    pub q: &'a str,
    /// Only this distro version.
    pub dist: Option<&'a Distro>,
    /// Which page, from 1.
    pub page: u32,
}

/// One page of a search's results, in no particular order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    /// The packages of this page.
    pub packages: Vec<PackageRecord>,
    /// The number of the next page.
    pub next: Option<u32>,
}

impl Endpoint for Search<'_> {
    type Output = SearchPage;

    fn request(&self) -> Result<Request, http::Error> {
        let mut url = self.account.base().url(self.repository.api(["search.json"]));
        url.push_str("?q=");
        url.extend(utf8_percent_encode(self.q, VALUE));
        if let Some(distro) = self.dist {
            url.push_str("&dist=");
            url.extend(utf8_percent_encode(&distro.to_string(), VALUE));
        }
        self.account.request(Method::GET, &format!("{url}&per_page={PER_PAGE}&page={}", self.page))
    }

    fn parse(&self, response: &Response) -> Result<SearchPage, CallError> {
        let packages = answer::json(self.account.base(), response)?;
        let next = next_page(self.account.base(), response, self.page)?;
        Ok(SearchPage { packages, next })
    }
}

/// Every package whose file name holds `q`, from all pages.
///
/// Pages shift while others push, so a package can be there twice.
pub async fn search(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    q: &str,
    dist: Option<&Distro>,
) -> Result<Vec<PackageRecord>, CallError> {
    let mut packages = Vec::new();
    let mut page = 1;
    for _ in 0..PAGES_MAX {
        let mut answer = call(http, &Search { account, repository, q, dist, page }).await?;
        packages.append(&mut answer.packages);
        match answer.next {
            Some(next) => page = next,
            None => return Ok(packages),
        }
    }
    Err(unreadable(account.base(), format!("more than {PAGES_MAX} pages for one search in {repository}")))
}
