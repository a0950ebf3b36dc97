//! "Are these files there, and which bytes are they?"

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use slipway_wire::{CallError, Digest, Http, Planted, call, planted};

use crate::answer::unreadable;
use crate::question::questions;
use crate::search::{PAGES_MAX, pages};
use crate::{Account, ApiPath, Distro, Filename, PackageRecord, Repository, Show};

/// A file that is in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its SHA-256. `None` shortly after an upload: look again.
    pub digest: Option<Digest>,
    /// Its size in bytes, where it had to be asked for to learn the digest.
    pub size: Option<u64>,
    /// Whether packagecloud says that the index has it.
    pub indexed: bool,
}

/// A file in one distro version.
type Place = (Distro, Filename);

/// What searches have told of the wanted files: what is known of each, and where it is described in full.
type Seen = BTreeMap<Place, (Found, Option<ApiPath>)>;

/// Looks for exactly this file in exactly this distro version.
///
/// The search gives the digest, as a rule; a package without one is asked for in full.
pub async fn find(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    distro: &Distro,
    filename: &Filename,
) -> Result<Option<Found>, CallError> {
    let wanted = (distro.clone(), filename.clone());
    let mut found = find_all(http, account, repository, &[wanted.clone()].into()).await?;
    Ok(found.remove(&wanted))
}

/// Looks for many files at once, each in exactly its distro version. Those that are not there are not in the answer.
///
/// One search answers for all files whose names have something in common, a request a page. Where that is too little to
/// tell them from everything else in the repository, each is searched for by its whole name.
pub async fn find_all(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    wanted: &BTreeSet<Place>,
) -> Result<BTreeMap<Place, Found>, CallError> {
    let mut seen = Seen::new();
    let mut questions = questions(wanted);
    while let Some(question) = questions.pop() {
        let mut listed_twice = None;
        let mut each = |package: PackageRecord| listed_twice = listed_twice.take().or(add(&mut seen, wanted, package));
        let all = pages(http, account, repository, &question.q, question.dist(), &mut each).await?;
        if let Some(filename) = listed_twice {
            // Pages were read at different moments: the file may have been replaced between them.
            return Err(unreadable(account.base(), format!("{filename} is listed twice, with different digests")));
        }
        if all {
            continue;
        }
        if question.is_single() {
            let why = format!("more than {PAGES_MAX} pages for `{}` in {repository}", question.q);
            return Err(unreadable(account.base(), why));
        }
        questions.extend(question.singles());
    }
    let mut all = BTreeMap::new();
    for (place, (found, package_url)) in seen {
        let found = match package_url {
            Some(package_url) if found.digest.is_none() => show(http, account, &place, found, &package_url).await?,
            _ => found,
        };
        all.insert(place, found);
    }
    Ok(all)
}

/// When a file was uploaded, as the server says it. `None` where it does not, or has no such file.
pub async fn uploaded_at(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    distro: &Distro,
    filename: &Filename,
) -> Result<Option<String>, CallError> {
    let wanted = [(distro.clone(), filename.clone())].into();
    let mut found = None;
    for question in questions(&wanted) {
        let mut each = |package: PackageRecord| {
            if package.is(distro, filename) {
                found = package.created_at;
            }
        };
        pages(http, account, repository, &question.q, question.dist(), &mut each).await?;
    }
    Ok(found)
}

/// A file's full description, with what it depends on. `None` where there is no such file.
pub async fn described(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    distro: &Distro,
    filename: &Filename,
) -> Result<Option<PackageRecord>, CallError> {
    let wanted = [(distro.clone(), filename.clone())].into();
    let mut package_url = None;
    for question in questions(&wanted) {
        let mut each = |package: PackageRecord| {
            if package.is(distro, filename) {
                package_url = package.package_url.or_else(|| package_url.take());
            }
        };
        pages(http, account, repository, &question.q, question.dist(), &mut each).await?;
    }
    let Some(package_url) = package_url else { return Ok(None) };
    match call(http, &Show { account, package_url: &package_url }).await {
        Ok(package) if package.is(distro, filename) => Ok(Some(package)),
        Ok(package) => {
            Err(unreadable(account.base(), format!("asked for {filename}, it describes {:?}", package.filename)))
        }
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds what a search says of a package, if it is wanted. Returns its name when it was listed before with other bytes.
fn add(seen: &mut Seen, wanted: &BTreeSet<Place>, package: PackageRecord) -> Option<Filename> {
    let distro = package.distro_version.as_deref()?.parse().ok()?;
    let mut place = (distro, package.filename.parse().ok()?);
    if planted(Planted::TakesAnotherDistro) {
        place.0 = wanted.iter().find(|(_, name)| *name == place.1)?.0.clone();
    }
    let place = wanted.get(&place)?;
    let (before, url_before) = seen.remove(place).unzip();
    let digest = match (before.and_then(|before| before.digest), package.sha256sum) {
        (Some(before), Some(now)) if before != now => return Some(place.1.clone()),
        (before, now) => before.or(now),
    };
    let indexed = package.indexed || before.is_some_and(|before| before.indexed);
    let found = Found { digest, size: package.size, indexed };
    seen.insert(place.clone(), (found, package.package_url.or(url_before.flatten())));
    None
}

/// Asks for the description of a file whose digest the search does not give.
async fn show(
    http: &impl Http,
    account: &Account,
    (distro, filename): &Place,
    listed: Found,
    package_url: &ApiPath,
) -> Result<Found, CallError> {
    match call(http, &Show { account, package_url }).await {
        Ok(package) if package.is(distro, filename) => {
            Ok(Found { digest: package.sha256sum, size: package.size, indexed: package.indexed })
        }
        Ok(package) => {
            Err(unreadable(account.base(), format!("asked for {filename}, it describes {:?}", package.filename)))
        }
        // It was listed a moment ago. That it is there with bytes unknown makes the caller look again, and is safe.
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(listed),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Recorded, account, filename, jammy, now, response, staging, with_header};

    const HOST: &str = "https://packages.example.com";
    const SEARCH: &str = "/api/v1/repos/harbour-ci/pre-release/search.json?q=tug_3.1.0-1_amd64.deb&dist=ubuntu%2Fjammy&per_page=250&page=1";
    const SHOW: &str = "/api/v1/repos/harbour-ci/pre-release/package/deb/ubuntu/jammy/tug/amd64/3.1.0-1.json";

    fn look(http: &Recorded) -> Result<Option<Found>, CallError> {
        now(find(http, &account(), &staging(), &jammy(), &filename("tug_3.1.0-1_amd64.deb")))
    }

    fn searched(records: &str) -> Recorded {
        Recorded::default().with(&format!("{HOST}{SEARCH}"), response(200, records))
    }

    /// A record of the file with this digest, in JSON.
    fn listed(sha256sum: &str) -> String {
        format!(
            r#"{{"filename":"tug_3.1.0-1_amd64.deb","distro_version":"ubuntu/jammy","sha256sum":{sha256sum},"package_url":"{SHOW}"}}"#
        )
    }

    fn digest(digit: &str) -> Digest {
        digit.repeat(64).parse().expect("64 hex digits")
    }

    #[test]
    fn a_listed_file_is_found_with_its_digest() {
        let http = searched(include_str!("../fixtures/search.json"));
        let found = look(&http).expect("an answer");
        assert_eq!(found, Some(Found { digest: Some(digest("a")), size: None, indexed: true }));
        assert_eq!(http.asked(), [format!("GET {HOST}{SEARCH}")]);
    }

    #[test]
    fn a_similar_file_is_not_found() {
        for record in [
            r#"{"filename":"xtug_3.1.0-1_amd64.deb","distro_version":"ubuntu/jammy"}"#,
            r#"{"filename":"tug_3.1.0-1_amd64.deb","distro_version":"ubuntu/jammy2"}"#,
            r#"{"filename":"tug_3.1.0-1_amd64.deb","distro_version":null}"#,
            r#"{"filename":"TUG_3.1.0-1_amd64.deb","distro_version":"ubuntu/jammy"}"#,
        ] {
            assert_eq!(look(&searched(&format!("[{record}]"))).expect(record), None, "{record}");
        }
        assert_eq!(look(&searched("[]")).expect("an empty list"), None);
    }

    #[test]
    fn a_file_on_the_second_page_is_found() {
        let second = SEARCH.replace("page=1", "page=2");
        let link = format!(r#"<{HOST}{second}>; rel="next""#);
        let http = Recorded::default()
            .with(&format!("{HOST}{SEARCH}"), with_header(200, "link", &link, "[]"))
            .with(&format!("{HOST}{second}"), response(200, format!("[{}]", listed(&format!("{:?}", "b".repeat(64))))));
        assert_eq!(look(&http).expect("two pages").and_then(|found| found.digest), Some(digest("b")));
    }

    #[test]
    fn a_digest_that_the_list_lacks_is_asked_for() {
        let http = searched(&format!("[{}]", listed("null")))
            .with(&format!("{HOST}{SHOW}"), response(200, include_str!("../fixtures/show.json")));
        let found = look(&http).expect("an answer");
        assert_eq!(found, Some(Found { digest: Some(digest("a")), size: Some(311_509_298), indexed: false }));
    }

    #[test]
    fn a_file_whose_digest_nobody_knows_yet_is_there_all_the_same() {
        let unknown = include_str!("../fixtures/show.json").replace(&format!("{:?}", "a".repeat(64)), "null");
        let listed = searched(&format!("[{}]", listed("null")));
        let found = look(&listed).expect("the description is gone").expect("it is listed");
        assert_eq!(found.digest, None);
        let shown = listed.with(&format!("{HOST}{SHOW}"), response(200, unknown));
        let found = look(&shown).expect("an answer").expect("it is there");
        assert_eq!((found.digest, found.size), (None, Some(311_509_298)));
    }

    #[test]
    fn a_file_that_two_pages_show_is_one_file() {
        let (with, without) = (listed(&format!("{:?}", "b".repeat(64))), listed("null"));
        for list in [format!("[{with},{without}]"), format!("[{without},{with}]"), format!("[{with},{with}]")] {
            assert_eq!(
                look(&searched(&list)).expect(&list).and_then(|found| found.digest),
                Some(digest("b")),
                "{list}"
            );
        }
    }

    #[test]
    fn a_file_with_two_digests_is_an_error() {
        let list =
            format!("[{},{}]", listed(&format!("{:?}", "b".repeat(64))), listed(&format!("{:?}", "c".repeat(64))));
        let error = look(&searched(&list)).expect_err("two digests");
        assert!(error.to_string().contains("listed twice"), "{error}");
    }

    #[test]
    fn a_description_of_another_file_is_not_believed() {
        let other = include_str!("../fixtures/show.json").replace("tug_3.1.0-1_amd64.deb", "other_1_amd64.deb");
        let http = searched(&format!("[{}]", listed("null"))).with(&format!("{HOST}{SHOW}"), response(200, other));
        assert!(look(&http).is_err());
    }

    #[test]
    fn a_file_is_described_with_what_it_depends_on_by_the_description_of_that_very_file() {
        let describe = |http: &Recorded| {
            let file = filename("tug_3.1.0-1_amd64.deb");
            now(described(http, &account(), &staging(), &jammy(), &file))
        };
        let list = format!("[{}]", listed(&format!("{:?}", "a".repeat(64))));
        let http = searched(&list).with(&format!("{HOST}{SHOW}"), response(200, include_str!("../fixtures/show.json")));
        let found = describe(&http).expect("an answer").expect("it is there");
        let depends = found.dependencies.expect("it depends on something");
        assert_eq!(depends.len(), 1);
        assert_eq!((depends[0].context.as_str(), depends[0].dependencies[0].as_str()), ("depends", "libc6 (>= 2.35)"));
        assert_eq!(http.asked().len(), 2, "one search, one description");

        assert_eq!(describe(&searched("[]")).expect("an empty list"), None);
        assert_eq!(describe(&searched(&list)).expect("it went meanwhile"), None);
        let other = include_str!("../fixtures/show.json").replace("tug_3.1.0-1_amd64.deb", "other_1_amd64.deb");
        assert!(describe(&searched(&list).with(&format!("{HOST}{SHOW}"), response(200, other))).is_err());
    }

    #[test]
    fn the_token_is_not_sent_where_a_list_points() {
        let list = listed("null").replace(SHOW, "https://evil.test/api/v1/x.json");
        let http = searched(&format!("[{list}]"));
        assert_eq!(look(&http).expect("an answer").expect("it is listed").digest, None);
        assert_eq!(http.trusted(), ["packages.example.com"]);
    }

    #[test]
    fn a_repository_out_of_sight_is_an_error_and_not_an_absence() {
        let error = look(&Recorded::default()).expect_err("404");
        assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
    }

    const MANY: &str = "/api/v1/repos/harbour-ci/pre-release/search.json?q=";

    fn record(distro: &str, name: &str, digit: &str) -> String {
        let digest = digit.repeat(64);
        format!(r#"{{"filename":"{name}","distro_version":"{distro}","sha256sum":"{digest}"}}"#)
    }

    fn look_for(http: &Recorded, files: &[(&str, &str)]) -> Result<Vec<(String, String, Option<Digest>)>, CallError> {
        let wanted = files.iter().map(|(distro, name)| (distro.parse().expect("a distro"), filename(name))).collect();
        let found = now(find_all(http, &account(), &staging(), &wanted))?;
        Ok(found
            .into_iter()
            .map(|((distro, name), found)| (distro.to_string(), name.to_string(), found.digest))
            .collect())
    }

    #[test]
    fn one_search_finds_a_release_in_all_its_distro_versions() {
        let names = ["tug_3.1.0-1_amd64.deb", "tug_3.1.0-1_arm64.deb"];
        let list = [
            record("ubuntu/jammy", names[0], "a"),
            record("ubuntu/noble", names[0], "b"),
            record("ubuntu/jammy", names[1], "c"),
            record("ubuntu/jammy", "xtug_3.1.0-1_amd64.deb", "d"),
            record("Not A Distro", names[0], "e"),
        ];
        let http = Recorded::default().with(
            &format!("{HOST}{MANY}tug_3.1.0-1_&per_page=250&page=1"),
            response(200, format!("[{}]", list.join(","))),
        );
        let files = [("ubuntu/jammy", names[0]), ("ubuntu/noble", names[0]), ("ubuntu/noble", names[1])];
        let found = |distro: &str, name: &str, digit| (distro.to_owned(), name.to_owned(), Some(digest(digit)));
        assert_eq!(
            look_for(&http, &files).expect("a page"),
            [found("ubuntu/jammy", names[0], "a"), found("ubuntu/noble", names[0], "b")]
        );
        assert_eq!(http.asked().len(), 1);
    }

    #[test]
    fn nothing_wanted_asks_nothing() {
        let http = Recorded::default();
        assert_eq!(look_for(&http, &[]).expect("nothing"), []);
        assert_eq!(http.asked(), [""; 0]);
    }

    #[test]
    fn a_search_that_finds_too_much_is_asked_name_by_name() {
        let names = ["tug_3.1.0-1_amd64.deb", "tug_3.1.0-1_arm64.deb"];
        let page = |q: &str, page: u32| format!("{HOST}{MANY}{q}&dist=ubuntu%2Fjammy&per_page=250&page={page}");
        let mut http = Recorded::default();
        for number in 1..=PAGES_MAX {
            let link = format!(r#"<{}>; rel="next""#, page("tug_3.1.0-1_", number + 1));
            http = http.with(&page("tug_3.1.0-1_", number), with_header(200, "link", &link, "[]"));
        }
        for name in names {
            let body = format!("[{}]", record("ubuntu/jammy", name, "a"));
            http = http.with(&page(name, 1), response(200, body));
        }
        let files = names.map(|name| ("ubuntu/jammy", name));
        assert_eq!(look_for(&http, &files).expect("one by one").len(), 2);
        assert_eq!(http.asked().len(), 40 + 2);
        // One name that fills all pages is not looked for for ever.
        for number in 1..=PAGES_MAX {
            let link = format!(r#"<{}>; rel="next""#, page(names[0], number + 1));
            http = http.with(&page(names[0], number), with_header(200, "link", &link, "[]"));
        }
        let error = look_for(&http, &files).expect_err("too many pages").to_string();
        assert!(error.contains("more than 40 pages for `tug_3.1.0-1_amd64.deb`"), "{error}");
    }

    #[test]
    fn each_file_without_a_digest_is_asked_for() {
        let names = ["tug_3.1.0-1_amd64.deb", "tug_3.1.0-1_arm64.deb"];
        let list = format!("[{},{}]", listed("null"), record("ubuntu/jammy", names[1], "c"));
        let http = Recorded::default()
            .with(&format!("{HOST}{MANY}tug_3.1.0-1_&dist=ubuntu%2Fjammy&per_page=250&page=1"), response(200, list))
            .with(&format!("{HOST}{SHOW}"), response(200, include_str!("../fixtures/show.json")));
        let digests: Vec<_> = look_for(&http, &names.map(|name| ("ubuntu/jammy", name)))
            .expect("a page")
            .into_iter()
            .map(|(_, _, digest)| digest)
            .collect();
        assert_eq!(digests, [Some(digest("a")), Some(digest("c"))]);
        assert_eq!(http.asked().len(), 2);
    }
}
