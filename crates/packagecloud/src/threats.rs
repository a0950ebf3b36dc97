//! Answers in which every address is hostile, and names that try to become one.
//!
//! What an address means is said here by another reader than the crate's own: the WHATWG one, which is that of the
//! runtimes that send the requests. Where the two disagree a credential could get lost.

use std::cell::RefCell;
use std::collections::BTreeMap;

use slipway_wire::{Endpoint, Http, Request, Response, Token, Unreachable};
use url::Url;

use crate::fake::{account, base, filename, jammy, now, staging};
use crate::{
    ApiPath, Delete, Distro, Download, Filename, Index, InvalidFilename, PackageKind, Promote, Repository, Show,
    find_all, locate, read_index,
};

const HOME: &str = "https://packages.example.com";
const STORAGE: &str = "https://storage.example.net";
const NAME: &str = "tug_3.1.0-1_amd64.deb";

/// The origin that a runtime sees in an address.
fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// A server whose every answer is this one. It remembers which origins were asked, and which got a credential.
struct Hostile<A: Fn(&str) -> Response> {
    answer: A,
    asked: RefCell<Vec<(String, bool)>>,
}

impl<A: Fn(&str) -> Response> Hostile<A> {
    fn new(answer: A) -> Self {
        Self { answer, asked: RefCell::default() }
    }

    fn take(&self, request: &Request) -> Response {
        let url = request.uri().to_string();
        let parsed = Url::parse(&url).expect("an address that a runtime takes");
        assert_eq!((parsed.username(), parsed.password()), ("", None), "{url}");
        self.asked.borrow_mut().push((
            parsed.origin().ascii_serialization(),
            request.headers().keys().any(|name| name == "authorization" || name == "cookie"),
        ));
        (self.answer)(&url)
    }

    /// Checks that credentials have gone home, and that nobody else but these was asked at all.
    fn check(&self, others: &[&str], hostile: &str) {
        let asked = self.asked.borrow();
        assert!(!asked.is_empty(), "{hostile}");
        for (origin, trusted) in asked.iter() {
            assert!(origin == HOME || !trusted, "{hostile}: a credential went to {origin}");
            assert!(origin == HOME || others.contains(&origin.as_str()), "{hostile}: {origin} was asked");
        }
    }
}

impl<A: Fn(&str) -> Response> Http for Hostile<A> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        Ok(self.take(&request))
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let answer = self.take(&request);
        if answer.status().is_success() {
            each(answer.body());
        }
        Ok(answer)
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: String) -> Response {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        // What no header can hold, no server can send.
        if let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) {
            response = response.header(*name, value);
        }
    }
    response.body(body.into_bytes()).expect("an answer")
}

/// Addresses that look like the server's, and are others', or are not plainly its own.
fn hostile() -> Vec<String> {
    let schemes = ["https:", "http:", "HTTPS:", "ftp:", ""];
    let slashes = ["//", "/\\", "\\\\", "/", "///", "/\t/", ""];
    let users = ["", "packages.example.com@", "packages.example.com:443@", "u:p@", "a@packages.example.com@", "%40@"];
    let hosts = [
        "evil.test",
        "packages.example.com",
        "packages.example.com.evil.test",
        "packages.example.com.",
        "packages.example.com:80",
        "packages.example.com:8443",
        "packages.example.com:443@evil.test",
        "packages.example.com\\@evil.test",
        "packages.example.com\\.evil.test",
        "packages.example.com%2f@evil.test",
        "packages.example.com%2fevil.test",
        "packages.example.com%5cevil.test",
        "packages.example.com\u{3002}evil.test",
        "packages\u{ff0e}example\u{ff0e}com",
        "p\u{430}ckages.example.com",
        "packages.example.com\u{2044}evil.test",
        "evil.test#@packages.example.com",
        "evil.test?@packages.example.com",
        "evil.test;packages.example.com",
        "packages.example.com\tevil.test",
        "packages.example.com\0.evil.test",
        "storage.example.net",
        "storage.example.net@evil.test",
        "storage.example.net:8443",
        "[::1]",
        "[::ffff:7f00:1]",
        "[packages.example.com]",
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "169.254.169.254",
        "localhost",
    ];
    let paths = ["", "/api/v1/../%2e%2e/x?page=2"];
    let mut urls = Vec::new();
    for scheme in schemes {
        for slash in slashes {
            for user in users {
                for host in hosts {
                    for path in paths {
                        urls.push(format!("{scheme}{slash}{user}{host}{path}"));
                    }
                }
            }
        }
    }
    urls.extend(
        [
            "javascript:alert(1)",
            "data:,x",
            "file:///etc/passwd",
            "/api/v1/../../x",
            "/api/\\..\\x",
            "/api/%2E%2E/x",
            "?page=2",
        ]
        .map(str::to_owned),
    );
    urls
}

/// A list or description in which every address is `url`.
fn record(url: &str) -> String {
    let text = serde_json::to_string(url).expect("JSON");
    format!(
        r#"{{"filename":"{NAME}","distro_version":"ubuntu/jammy","sha256sum":null,"package_url":{text},
        "package_html_url":{text},"repository_url":{text},"repository_html_url":{text},"versions_url":{text},
        "self_url":{text},"promote_url":{text},"destroy_url":{text},"download_url":{text},
        "downloads_detail_url":{text},"downloads_series_url":{text},"downloads_count_url":{text}}}"#
    )
}

#[test]
fn no_address_in_a_record_gets_the_credential() {
    let wanted = [(jammy(), filename(NAME))].into();
    for url in hostile() {
        let http = Hostile::new(|asked: &str| {
            let body = if asked.contains("/search.json") { format!("[{}]", record(&url)) } else { record(&url) };
            answer(200, &[("link", &format!("<{url}>; rel=\"last\""))], body)
        });
        let _ = now(find_all(&http, &account(), &staging(), &wanted));
        http.check(&[], &url);
    }
}

#[test]
fn no_next_page_gets_the_credential() {
    let wanted = [(jammy(), filename(NAME))].into();
    for url in hostile() {
        let http = Hostile::new(|_: &str| answer(200, &[("link", &format!("<{url}>; rel=\"next\""))], "[]".to_owned()));
        let _ = now(find_all(&http, &account(), &staging(), &wanted));
        http.check(&[], &url);
        let asked = http.asked.borrow().len();
        assert!(asked <= 2, "{url}: the second page names itself as the next, and {asked} were read");
    }
}

#[test]
fn no_redirect_of_an_index_gets_the_credential() {
    let (home, storage, repository, token) =
        (base(HOME), [base(STORAGE)], "harbour/stable".parse().expect("a repository"), Token::new("t0k3n"));
    for url in hostile() {
        for (kind, architecture, distro) in
            [(PackageKind::Deb, "amd64", "ubuntu/jammy"), (PackageKind::Rpm, "x86_64", "el/9")]
        {
            let distro = distro.parse().expect("a distro");
            let index = Index {
                base: &home,
                repository: &repository,
                distro: &distro,
                kind,
                architecture,
                credential: Some(&token),
                storage: &storage,
            };
            // Of the deb's index the list is elsewhere, of the rpm's already the head.
            let list = "SHA256:\n aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1 main/binary-amd64/Packages\n";
            let http = Hostile::new(|asked: &str| match asked.rsplit('/').next() {
                Some("InRelease") => answer(200, &[], list.to_owned()),
                _ => answer(302, &[("location", &url)], String::new()),
            });
            let _ = now(read_index(&http, &index, None, &[filename(NAME)].into()));
            http.check(&[STORAGE], &url);
        }
    }
}

#[test]
fn no_signed_address_passes_for_a_configured_one() {
    let (account, repository, distro, filename) = (account(), staging(), jammy(), filename(NAME));
    let download = Download { account: &account, repository: &repository, distro: &distro, filename: &filename };
    let storage = base(STORAGE);
    let mut passed = 0;
    for url in hostile() {
        let http = Hostile::new(|_: &str| answer(302, &[("location", &url)], String::new()));
        let located = now(locate(&http, &download));
        http.check(&[], &url);
        assert_eq!(http.asked.borrow().len(), 1, "it is not followed");
        let Ok(signed) = located else { continue };
        let request = signed.request().expect("a request");
        assert!(request.headers().is_empty(), "{url}");
        if signed.is_at([&storage]) {
            passed += 1;
            assert_eq!(origin(&request.uri().to_string()).as_deref(), Some(STORAGE), "{url}");
        }
    }
    assert!(passed > 0, "the storage itself is among them");
}

#[test]
fn a_base_serves_what_a_runtime_finds_there_and_nothing_else() {
    let home = base(HOME);
    let urls = hostile();
    assert!(urls.len() > 10_000);
    let served: Vec<_> = urls.into_iter().filter(|url| home.serves(url)).collect();
    for url in &served {
        assert_eq!(origin(url).as_deref(), Some(HOME), "{url:?}");
    }
    assert!(!served.is_empty(), "the server itself is among them");
}

/// Names that would like to be something else. Those that are no names are refused; `None` stands for them.
fn names() -> Vec<(&'static str, Option<Filename>)> {
    let names = [
        "../x_1_amd64.deb",
        "..",
        ".",
        "x/../y_1_amd64.deb",
        "..\\x_1_amd64.deb",
        "x_1_amd64.deb\r\nHost: evil.test",
        "x_1\n_amd64.deb",
        "x\0_1_amd64.deb",
        "..%2Fx_1_amd64.deb",
        "..%2fx_1_amd64.deb",
        "%2e%2e",
        "%2E%2E",
        "%2e",
        "...",
        "x_1%0d%0aHost:%20evil.test_amd64.deb",
        "x_1:2.0_amd64.deb",
        "x_1%3a2.0_amd64.deb",
        "x_1%3A2.0_amd64.deb",
        "x_2.0~rc1_amd64.deb",
        "x_2.0%7Erc1_amd64.deb",
        "x_2.0+b1_amd64.deb",
        "x_2.0%2Bb1_amd64.deb",
        "x_2.0 b1_amd64.deb",
        "x_2.0%20b1_amd64.deb",
        "x-2.0^git1-1.el9.x86_64.rpm",
        "X_2.0_amd64.deb",
        "x_2.0_amd64.deb",
        "x_2.0_amd64.deb?y=z",
        "x_2.0_amd64.deb#y",
        "x_2.0_amd64.deb&y",
        "x_2.0_amd64.deb;y",
        "x@evil.test",
        "é_2.0_amd64.deb",
        "e\u{301}_2.0_amd64.deb",
        "x_2.0_amd64.deb ",
        " x_2.0_amd64.deb",
        "promote.json",
        "download",
        "search.json",
    ];
    let parsed = |text: &str| -> Result<Filename, InvalidFilename> { text.parse() };
    names.into_iter().map(|text| (text, parsed(text).ok())).collect()
}

/// Every address that a file's name becomes a part of, each with the place of the name among its segments.
fn addresses(distro: &Distro, filename: &Filename) -> Vec<(String, usize)> {
    let (account, repository, to): (_, _, Repository) = (account(), staging(), "harbour/stable".parse().expect("one"));
    let (account, repository) = (&account, &repository);
    let uri = |request: Result<Request, http::Error>| request.expect("a request").uri().to_string();
    let delete = |escape_dots| Delete { account, repository, distro, filename, escape_dots }.request();
    vec![
        (uri(Download { account, repository, distro, filename }.request()), 5),
        (uri(Promote { account, from: repository, to: &to, distro, filename }.request()), 7),
        (uri(delete(false)), 7),
        (uri(delete(true)), 7),
    ]
}

#[test]
fn a_name_is_the_same_name_in_every_address_and_no_two_share_one() {
    let mut seen: BTreeMap<(usize, String), (String, Filename)> = BTreeMap::new();
    for distro in ["ubuntu/jammy", "opensuse/13.2", "opensuse/13-2", "rpm_any/rpm_any"] {
        let distro: Distro = distro.parse().expect("a distro version");
        for (_, filename) in names() {
            let Some(filename) = filename else { continue };
            assert_eq!(filename.to_string().parse::<Filename>().expect("the same name"), filename);
            for (kind, (url, at)) in addresses(&distro, &filename).into_iter().enumerate() {
                let parsed = Url::parse(&url).expect("an address");
                // A runtime changes nothing in it, so nothing climbs, and it has no query.
                assert_eq!(parsed.as_str(), url, "{filename}");
                assert_eq!((parsed.origin().ascii_serialization().as_str(), parsed.query()), (HOME, None));
                let segments: Vec<_> = parsed.path_segments().expect("a path").collect();
                let name = percent_encoding::percent_decode_str(segments[at]).decode_utf8().expect("UTF-8");
                assert_eq!(name, filename.as_str(), "{url}");
                let place = (distro.to_string(), filename.clone());
                let before = seen.insert((kind, url.clone()), place.clone());
                assert!(before.is_none(), "{place:?} and {before:?} share {url}");
            }
        }
    }
}

#[test]
fn a_name_that_climbs_or_breaks_a_line_is_no_name() {
    let refused: Vec<_> = names().into_iter().filter(|(_, name)| name.is_none()).map(|(text, _)| text).collect();
    assert_eq!(
        refused,
        [
            "../x_1_amd64.deb",
            "..",
            ".",
            "x/../y_1_amd64.deb",
            "..\\x_1_amd64.deb",
            "x_1_amd64.deb\r\nHost: evil.test",
            "x_1\n_amd64.deb",
            "x\0_1_amd64.deb"
        ]
    );
}

#[test]
fn a_path_from_an_answer_stays_below_the_api() {
    let account = account();
    let mut taken = 0;
    for url in hostile() {
        let Ok(package_url) = url.parse::<ApiPath>() else { continue };
        taken += 1;
        let request = Show { account: &account, package_url: &package_url }.request();
        // What is no address is not asked for.
        let Ok(request) = request else { continue };
        let parsed = Url::parse(&request.uri().to_string()).expect("an address");
        assert_eq!(parsed.origin().ascii_serialization(), HOME, "{url:?}");
        assert!(parsed.path().starts_with("/api/"), "{url:?}: {}", parsed.path());
    }
    assert!("/api/v1/x.json".parse::<ApiPath>().is_ok() && taken < 100, "{taken}");
}
