//! `GET /api/v1/repos/:user/:repo/search.json`: one page of packages whose file name holds some text
//! (<https://packagecloud.io/docs/api#resource_packages_method_search>).

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_wire::{CallError, Endpoint, Http, Planted, Request, Response, call, planted};

use crate::answer;
use crate::paging::next_page;
use crate::{Account, Distro, PackageRecord, Repository};

/// How many packages are asked for at a time: the most that packagecloud gives (its `Max-Per-Page`).
pub const PER_PAGE: u32 = 250;

/// How many pages are read at most: 10,000 packages, far above what one file name or release can match.
pub const PAGES_MAX: u32 = 40;

/// What may stand unescaped in a query's value (RFC 3986 "unreserved").
pub(crate) const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

/// Gives `each` every package whose file name holds `q`. `false`: there are more pages than are read.
///
/// Pages shift while others push, so a package can be there twice.
pub(crate) async fn pages(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    q: &str,
    dist: Option<&Distro>,
    each: &mut dyn FnMut(PackageRecord),
) -> Result<bool, CallError> {
    let mut page = 1;
    for _ in 0..PAGES_MAX {
        let answer = call(http, &Search { account, repository, q, dist, page }).await?;
        answer.packages.into_iter().for_each(&mut *each);
        match answer.next {
            Some(next) if !planted(Planted::ReadsOnePage) => page = next,
            _ => return Ok(true),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Recorded, account, jammy, now, response, staging, with_header};

    const SEARCH: &str = "https://packages.example.com/api/v1/repos/harbour-ci/pre-release/search.json";

    fn packages(names: &[&str]) -> String {
        let records: Vec<_> = names.iter().map(|name| format!(r#"{{"filename":"{name}"}}"#)).collect();
        format!("[{}]", records.join(","))
    }

    fn names(packages: &[PackageRecord]) -> Vec<&str> {
        packages.iter().map(|package| package.filename.as_str()).collect()
    }

    /// The file names on all pages, and whether those are all.
    fn search(http: &Recorded) -> Result<(Vec<String>, bool), CallError> {
        let mut names = Vec::new();
        let all = now(pages(http, &account(), &staging(), "", None, &mut |package| names.push(package.filename)))?;
        Ok((names, all))
    }

    #[test]
    fn what_is_looked_for_cannot_change_the_question() {
        let (account, repository, distro) = (account(), staging(), jammy());
        let q = "a&page=9#+ é%.deb";
        let request = Search { account: &account, repository: &repository, q, dist: Some(&distro), page: 2 }.request();
        assert_eq!(
            request.expect("a request").uri().to_string(),
            format!("{SEARCH}?q=a%26page%3D9%23%2B%20%C3%A9%25.deb&dist=ubuntu%2Fjammy&per_page=250&page=2"),
        );
    }

    #[test]
    fn a_page_is_read_in_the_shapes_of_all_years() {
        let (account, repository) = (account(), staging());
        let search = Search { account: &account, repository: &repository, q: "tug", dist: None, page: 1 };
        let page = search.parse(&response(200, include_str!("../fixtures/search.json"))).expect("a page");
        assert_eq!(names(&page.packages), ["tug_3.1.0-1_amd64.deb", "harbour-tug_3.1.0-1_amd64.deb"]);
        assert_eq!(page.next, None);
        assert!(!format!("{page:?}").contains("5ec2e7"), "no read token is kept");
        let page = search.parse(&response(200, include_str!("../fixtures/search_2017.json"))).expect("a page");
        assert_eq!(names(&page.packages), ["tug_1.2.0-ce.0_amd64.deb"]);
    }

    #[test]
    fn all_pages_are_read() {
        let page = |number| format!("{SEARCH}?q=&per_page=250&page={number}");
        let next = |number: u32| format!(r#"<{SEARCH}?q=&per_page=250&page={number}>; rel="next""#);
        let http = Recorded::default()
            .with(&page(1), with_header(200, "link", &next(2), &packages(&["a", "b"])))
            .with(&page(2), with_header(200, "link", &next(3), &packages(&["b", "c"])))
            .with(&page(3), response(200, packages(&["d"])));
        let (names, all) = search(&http).expect("three pages");
        assert_eq!((names.join(" "), all), ("a b b c d".to_owned(), true));
        assert_eq!(http.trusted().len(), 3);
    }

    #[test]
    fn an_endless_list_is_given_up() {
        let mut http = Recorded::default();
        for number in 1..=PAGES_MAX + 1 {
            let link = format!(r#"<{SEARCH}?page={}>; rel="next""#, number + 1);
            let url = format!("{SEARCH}?q=&per_page=250&page={number}");
            http = http.with(&url, with_header(200, "link", &link, "[]"));
        }
        assert_eq!(search(&http).expect("empty pages"), (vec![], false));
        assert_eq!(http.asked().len(), 40);
    }

    #[test]
    fn no_page_is_asked_for_at_another_host() {
        let first = format!("{SEARCH}?q=&per_page=250&page=1");
        let link = r#"<https://evil.test/search.json?page=2>; rel="next""#;
        let http = Recorded::default().with(&first, with_header(200, "link", link, "[]"));
        assert!(search(&http).is_err());
        assert_eq!(http.asked(), [format!("GET {first}")]);
    }
}
