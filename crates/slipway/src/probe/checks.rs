//! The questions. What is relied on comes from `crates/packagecloud` and the workflows above it; what is only asked is
//! what no recording, documentation or client of packagecloud answers.

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LINK, LOCATION};
use serde_json::Value;
use slipway_packagecloud::{
    Account, Boundary, Delete, Deleted, Distro, Download, Filename, Index, ListDistributions, PackageKind, Promote,
    Promoted, Push, Pushed, Reading, Repository, Search, find, read_index,
};
use slipway_wire::{CallError, Digest, Endpoint as _, Request, Response, Token, call};

use super::build::Package;
use super::{Answer, Check, Probe, Verdict};
use crate::edge::Pauses;
use crate::host;

/// The packages that are pushed, all of them.
const TUG: Package<'_> = Package { name: "slipway-probe", version: "0.0.1", architecture: "amd64", note: "The first." };
const OTHER: Package<'_> = Package { note: "The same name with other bytes.", ..TUG };
const TUG_RPM: Package<'_> = Package { architecture: "x86_64", ..TUG };
const OTHER_RPM: Package<'_> = Package { architecture: "x86_64", ..OTHER };
/// Pushed under another name than its own.
const MISNAMED: Package<'_> = Package { name: "slipway-probe-misnamed", ..TUG };
const MISNAMED_AS: &str = "slipway-probe-wrong-name.deb";
const CHUNKED: Package<'_> = Package { name: "slipway-probe-chunked", ..TUG };
const MOVED: Package<'_> = Package { name: "slipway-probe-moved", ..TUG };
const MOVED_OTHER: Package<'_> = Package { note: "The same name with other bytes.", ..MOVED };
/// Never pushed.
const ABSENT: &str = "slipway-probe-absent_0.0.1-1_amd64.deb";
/// A repository that is not there.
const NONE_SUCH: &str = "slipway-probe-none-such";

const JAMMY: &str = "ubuntu/jammy";
const NOBLE: &str = "ubuntu/noble";
const EL: &str = "el/9";
const OL: &str = "ol/9";
/// A distro version with a full stop in its name.
const DOTTED: &str = "opensuse/15.6";

/// Whether a file is one that the checks push.
pub(super) fn is_own(filename: &str) -> bool {
    let debs = [TUG, MISNAMED, CHUNKED, MOVED].map(|package| package.deb_filename());
    debs.iter().any(|own| own == filename) || filename == TUG_RPM.rpm_filename() || filename == MISNAMED_AS
}

/// A list of checks, each with a name of its own in the code.
macro_rules! checks {
    ($($id:ident, $name:literal, $relied:expr, $question:literal;)*) => {
        $(static $id: Check = Check { name: $name, question: $question, relied: $relied };)*
        /// All of them, in the order in which they are asked.
        #[cfg(test)]
        const ALL: &[&Check] = &[$(&$id),*];
    };
}

checks! {
    WRONG_TOKEN, "wrong-token", Some("401"), "What does a token get that is none?";
    UNSEEN, "unseen-repository", Some("404"), "What does a repository answer that is not there, or not to be seen?";
    DISTRIBUTIONS, "distributions", Some("ids for ubuntu/jammy (deb) and el/9 (rpm)"), "Does the list of distributions have the names that plans use?";
    PUSH_DEB, "push-deb", Some("201, and the file's own name"), "What does a push of a deb get?";
    PUSH_RPM, "push-rpm", Some("201, and the file's own name"), "What does a push of an rpm get?";
    INDEXED_AT_ONCE, "indexed-after-push", None, "Does the answer to a push say that it is indexed?";
    PUSH_RPM_AGAIN, "push-rpm-to-another-distro", Some("201"), "May one rpm be pushed for a second distro version?";
    DIGEST, "digest", Some("the SHA-256 of what was pushed"), "Does the server tell a package's SHA-256?";
    DUPLICATE, "push-equal-again", Some("422, in words that say the name is taken"), "What does a second push of the same file get?";
    DUPLICATE_OTHER, "push-other-bytes", Some("422, and the first bytes stay"), "What does a push of other bytes under a taken name get?";
    SAME_NAME, "same-name-elsewhere", Some("201, and each distro version keeps its own bytes"), "May other bytes have the same name in another distro version?";
    MISNAMED_PUSH, "push-under-another-name", None, "Which name does a package get that is pushed under another than its own?";
    SEARCH, "search", Some("a substring of the name, in exactly the distro version"), "What does a search match?";
    ONE_PAGE, "one-page", Some("no next page"), "How is a list that fits on one page marked?";
    PAGES, "pages", Some("`Total`, and a `Link` to the next page"), "How does a list lead to its next page?";
    PER_PAGE, "per-page", Some("250 at most, as `Max-Per-Page` says"), "What does a question for 1000 packages a page get?";
    SHOW, "show", Some("the size and the SHA-256"), "Does a package's own address tell its size?";
    DOWNLOAD, "download", Some("a redirect to an address that gives the bytes without a credential"), "Where are a package's bytes?";
    DOWNLOAD_CREDENTIAL, "download-with-credential", None, "What does the storage answer to a request that carries a credential?";
    DELETE_MISSING, "delete-missing", Some("404 or 422, saying that the file is not found"), "What does the deletion of a missing file get?";
    DELETE, "delete", Some("success, and the name may be pushed again"), "What does a deletion do?";
    DELETE_DOTTED, "delete-dotted", Some("success, plain or with `%2E`"), "Must a full stop in a distro version be written `%2E`?";
    PUSH_CHUNKED, "push-chunked", None, "Is an upload taken whose length is not told?";
    PRIVATE, "private", None, "Does a package of the sandbox say that it is private?";
    PROMOTE, "promote", Some("success, a move with the same bytes"), "What does a promote do?";
    PROMOTE_PRIVATE, "promote-private", None, "What do the answer to a promote, and a look afterwards, say of `private`?";
    PROMOTE_TAKEN, "promote-taken", Some("a refusal; the destination keeps its bytes"), "What does a promote get whose destination has the name with other bytes?";
    PROMOTE_TAKEN_SOURCE, "promote-taken-source", None, "Is the source kept when a promote's destination has the name?";
    PROMOTE_EQUAL, "promote-equal", None, "What does a promote get whose destination has the same bytes?";
    PROMOTE_MISSING, "promote-missing", Some("404 or 422"), "What does a promote of a missing file get?";
    PROMOTE_UNSEEN, "promote-unseen", Some("a refusal; the source keeps its file"), "What does a promote to a repository get that is not there?";
    INDEX_DELAY, "index-delay", None, "How long until a package says that it is indexed, and does the index have it then?";
    READ_ONLY, "read-only-user", None, "What does a user get who may only read (403)?";
    LARGE, "large", None, "What is the largest body, the proxy's time limit, and the time of a promote of 1.5 GB?";
}

/// Asks all of them.
pub(super) async fn all(p: &Probe) {
    p.check(&WRONG_TOKEN, wrong_token(p)).await;
    p.check(&UNSEEN, unseen(p)).await;
    p.check(&DISTRIBUTIONS, distributions(p)).await;
    p.pushed_ms.set(host::now_ms());
    p.check(&PUSH_DEB, created(p, JAMMY, Kind::Deb(TUG))).await;
    p.check(&PUSH_RPM, created(p, EL, Kind::Rpm(TUG_RPM))).await;
    p.check(&INDEXED_AT_ONCE, async { Ok(indexed_at_once(p)) }).await;
    p.check(&PUSH_RPM_AGAIN, created(p, OL, Kind::Rpm(TUG_RPM))).await;
    p.check(&DIGEST, digest(p)).await;
    p.check(&DUPLICATE, duplicate(p)).await;
    p.check(&DUPLICATE_OTHER, duplicate_other(p)).await;
    p.check(&SAME_NAME, same_name(p)).await;
    p.check(&MISNAMED_PUSH, misnamed(p)).await;
    p.check(&SEARCH, search(p)).await;
    p.check(&ONE_PAGE, one_page(p)).await;
    p.check(&PAGES, pages(p)).await;
    p.check(&PER_PAGE, per_page(p)).await;
    p.check(&SHOW, show(p)).await;
    p.check(&DOWNLOAD, download(p)).await;
    p.check(&DOWNLOAD_CREDENTIAL, download_with_credential(p)).await;
    p.check(&DELETE_MISSING, delete_missing(p)).await;
    p.check(&DELETE, delete(p)).await;
    p.check(&DELETE_DOTTED, delete_dotted(p)).await;
    p.check(&PUSH_CHUNKED, push_chunked(p)).await;
    p.check(&PRIVATE, private(p)).await;
    p.check(&PROMOTE, promote(p)).await;
    p.check(&PROMOTE_PRIVATE, promote_private(p)).await;
    p.check(&PROMOTE_TAKEN, promote_taken(p)).await;
    p.check(&PROMOTE_TAKEN_SOURCE, promote_taken_source(p)).await;
    p.check(&PROMOTE_EQUAL, promote_equal(p)).await;
    p.check(&PROMOTE_MISSING, promote_missing(p)).await;
    p.check(&PROMOTE_UNSEEN, promote_unseen(p)).await;
    p.check(&INDEX_DELAY, index_delay(p)).await;
    let why = "it needs a second user, who may read the sandbox and not write to it".to_owned();
    p.check(&READ_ONLY, async { Ok(Answer::NotAsked(why)) }).await;
    let why = "a probe pushes 1 KB; push a package of 1.5 GB by hand and look at its `X-Runtime`".to_owned();
    p.check(&LARGE, async { Ok(Answer::NotAsked(why)) }).await;
}

type Answered = Result<Answer, CallError>;

/// A package in one of its two forms.
#[derive(Clone, Copy)]
enum Kind {
    Deb(Package<'static>),
    Rpm(Package<'static>),
}

impl Kind {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Deb(package) => package.deb(),
            Self::Rpm(package) => package.rpm(),
        }
    }

    fn filename(self) -> String {
        match self {
            Self::Deb(package) => package.deb_filename(),
            Self::Rpm(package) => package.rpm_filename(),
        }
    }

    fn of(self) -> PackageKind {
        match self {
            Self::Deb(_) => PackageKind::Deb,
            Self::Rpm(_) => PackageKind::Rpm,
        }
    }

    fn digest(self) -> Digest {
        Digest::of(&self.bytes())
    }
}

// ---- small parts of questions ----

fn unsendable(error: impl std::fmt::Display) -> CallError {
    CallError::Unsendable(error.to_string())
}

fn distro(text: &str) -> Result<Distro, CallError> {
    text.parse().map_err(unsendable)
}

fn filename(text: &str) -> Result<Filename, CallError> {
    text.parse().map_err(unsendable)
}

/// A value in JSON, by its path; null where there is none.
fn field<'a>(json: &'a Value, path: &str) -> &'a Value {
    json.pointer(path).unwrap_or(&Value::Null)
}

/// The status, and what JSON says with it, on one line.
fn said(response: &Response) -> String {
    let body = super::redact::body(response.body(), &[]);
    let body: String = body.to_string().chars().take(120).collect();
    format!("{}: {body}", response.status().as_u16())
}

/// What a push is made of.
struct Pushing {
    request: Request,
    shape: String,
    named: Filename,
    id: u64,
    boundary: Boundary,
}

impl Pushing {
    /// The push of a package under the name `named`, whole in memory: it has 1 KB.
    fn new(p: &Probe, for_distro: &str, package: Kind, named: &str) -> Result<Self, CallError> {
        let id = p.ids.borrow().id(package.of(), &distro(for_distro)?);
        let id = id
            .ok_or_else(|| unsendable(format!("the server has no id of {for_distro} for {} packages", package.of())))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(unsendable)?;
        let (named, boundary, bytes) = (filename(named)?, Boundary::new(random), package.bytes());
        let push = Push {
            account: &p.account,
            repository: &p.from,
            distro_version_id: id,
            filename: &named,
            boundary: &boundary,
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let upload = push.upload(size).map_err(unsendable)?;
        let (mut head, ()) = upload.request.into_parts();
        // The host writes it, from the body that it is given.
        head.headers.remove(CONTENT_LENGTH);
        let body = [upload.prefix, bytes, upload.suffix].concat();
        let shape = format!("package[distro_version_id]={id}, package[package_file]: `{named}`, {size} bytes");
        Ok(Self { request: Request::from_parts(head, body), shape, named, id, boundary })
    }

    fn parse(&self, p: &Probe, response: &Response) -> Result<Pushed, CallError> {
        let Self { named, id, boundary, .. } = self;
        Push { account: &p.account, repository: &p.from, distro_version_id: *id, filename: named, boundary }
            .parse(response)
    }
}

/// Pushes a package under its own name.
async fn push(p: &Probe, for_distro: &str, package: Kind) -> Result<(Response, Result<Pushed, CallError>), CallError> {
    let pushing = Pushing::new(p, for_distro, package, &package.filename())?;
    let response = p.ask(pushing.request.clone(), Some(pushing.shape.clone())).await?;
    let parsed = pushing.parse(p, &response);
    Ok((response, parsed))
}

/// What a repository has under a package's name.
async fn look(
    p: &Probe,
    repository: &Repository,
    for_distro: &str,
    package: Kind,
) -> Result<Option<Digest>, CallError> {
    let (distro, filename) = (distro(for_distro)?, filename(&package.filename())?);
    let begin = host::now_ms();
    let mut pauses = Pauses::default();
    loop {
        match find(&p, &p.account, repository, &distro, &filename).await? {
            None => return Ok(None),
            Some(found) if found.digest.is_some() => return Ok(found.digest),
            // Shortly after an upload the digest is not known yet.
            Some(_) => {
                let pause = pauses.next_ms();
                if host::now_ms() + pause > begin + p.timeout_ms {
                    let why = "it does not tell a package's SHA-256".to_owned();
                    return Err(CallError::Unreadable { host: p.base().to_string(), why });
                }
                host::pause_ms(pause).await;
            }
        }
    }
}

/// Deletes a package by its plain name.
async fn gone(
    p: &Probe,
    repository: &Repository,
    for_distro: &str,
    name: &str,
) -> Result<(Response, Option<Deleted>), CallError> {
    let (distro, filename) = (distro(for_distro)?, filename(name)?);
    let delete = Delete { account: &p.account, repository, distro: &distro, filename: &filename, escape_dots: false };
    let response = p.ask(delete.request().map_err(unsendable)?, None).await?;
    let deleted = delete.parse(&response).ok();
    Ok((response, deleted))
}

/// Asks for a promote.
async fn promoted(
    p: &Probe,
    to: &Repository,
    for_distro: &str,
    name: &str,
) -> Result<(Response, Result<Promoted, CallError>), CallError> {
    let (distro, filename) = (distro(for_distro)?, filename(name)?);
    let promote = Promote { account: &p.account, from: &p.from, to, distro: &distro, filename: &filename };
    let response = p.ask(promote.request().map_err(unsendable)?, None).await?;
    let parsed = promote.parse(&response);
    Ok((response, parsed))
}

fn needs_to(p: &Probe) -> Result<&Repository, Answer> {
    p.to.as_ref().ok_or_else(|| Answer::NotAsked("it needs a second sandbox: `--to USER/REPO`".to_owned()))
}

/// The second sandbox, or the end of the question.
macro_rules! second {
    ($probe:expr) => {
        match needs_to($probe) {
            Ok(to) => to,
            Err(answer) => return Ok(answer),
        }
    };
}

// ---- the questions ----

async fn wrong_token(p: &Probe) -> Answered {
    let nobody = Account::new(p.base().clone(), Token::new("slipway-probe-no-token"));
    let request = ListDistributions { account: &nobody }.request().map_err(unsendable)?;
    let response = p.ask(request, None).await?;
    Ok(Answer::Judged(response.status() == StatusCode::UNAUTHORIZED, said(&response)))
}

async fn unseen(p: &Probe) -> Answered {
    let repository: Repository = format!("{}/{NONE_SUCH}", p.from.user()).parse().map_err(unsendable)?;
    let search = Search { account: &p.account, repository: &repository, q: "", dist: None, page: 1 };
    let response = p.ask(search.request().map_err(unsendable)?, None).await?;
    Ok(Answer::Judged(response.status() == StatusCode::NOT_FOUND, said(&response)))
}

async fn distributions(p: &Probe) -> Answered {
    let list = call(&p, &ListDistributions { account: &p.account }).await?;
    let id = |kind: PackageKind, name: &str| Ok::<_, CallError>(list.id(kind, &distro(name)?));
    let (deb, rpm) = (id(PackageKind::Deb, JAMMY)?, id(PackageKind::Rpm, EL)?);
    let (debs, rpms) = (list.names(PackageKind::Deb).count(), list.names(PackageKind::Rpm).count());
    let number = |id: Option<u64>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let found = format!("{JAMMY} {}, {EL} {}; {debs} for debs, {rpms} for rpms", number(deb), number(rpm));
    *p.ids.borrow_mut() = list;
    Ok(Answer::Judged(deb.is_some() && rpm.is_some(), found))
}

async fn created(p: &Probe, for_distro: &str, package: Kind) -> Answered {
    let (response, parsed) = push(p, for_distro, package).await?;
    let fits = response.status() == StatusCode::CREATED && matches!(parsed, Ok(Pushed::Created(_)));
    let found = match parsed {
        Ok(Pushed::Created(record) | Pushed::Renamed(record)) => {
            format!("{}, `{}`", response.status().as_u16(), record.filename)
        }
        _ => said(&response),
    };
    Ok(Answer::Judged(fits, found))
}

fn indexed_at_once(p: &Probe) -> Answer {
    let told = answer_of(p, &PUSH_DEB, "/packages.json").map(|body| field(&body, "/indexed").to_string());
    told.map_or_else(|| Answer::NotAsked("the push was not answered".to_owned()), Answer::Told)
}

/// The body that was answered to an earlier question, at the address that ends so.
fn answer_of(p: &Probe, check: &Check, path: &str) -> Option<Value> {
    let outcomes = p.outcomes.borrow();
    let outcome = outcomes.iter().find(|outcome| outcome.check == check.name)?;
    let asked = |exchange: &&Value| {
        field(exchange, "/request/method") == "POST"
            && field(exchange, "/request/path").as_str().is_some_and(|asked| asked.ends_with(path))
    };
    outcome.exchanges.iter().rfind(asked).map(|exchange| field(exchange, "/body").clone())
}

async fn digest(p: &Probe) -> Answered {
    let begin = host::now_ms();
    let deb = look(p, &p.from, JAMMY, Kind::Deb(TUG)).await?;
    let rpm = look(p, &p.from, EL, Kind::Rpm(TUG_RPM)).await?;
    let fits = deb == Some(Kind::Deb(TUG).digest()) && rpm == Some(Kind::Rpm(TUG_RPM).digest());
    let waited = host::now_ms() - begin;
    let found =
        if fits { format!("both are right, after {waited:.0} ms") } else { format!("deb {deb:?}, rpm {rpm:?}") };
    Ok(Answer::Judged(fits, found))
}

async fn duplicate(p: &Probe) -> Answered {
    let (response, parsed) = push(p, JAMMY, Kind::Deb(TUG)).await?;
    Ok(Answer::Judged(matches!(parsed, Ok(Pushed::Duplicate)), said(&response)))
}

async fn duplicate_other(p: &Probe) -> Answered {
    let (deb, deb_parsed) = push(p, JAMMY, Kind::Deb(OTHER)).await?;
    let (rpm, rpm_parsed) = push(p, EL, Kind::Rpm(OTHER_RPM)).await?;
    let refused = [deb_parsed, rpm_parsed].iter().all(|parsed| matches!(parsed, Ok(Pushed::Duplicate)));
    let kept = look(p, &p.from, JAMMY, Kind::Deb(TUG)).await? == Some(Kind::Deb(TUG).digest())
        && look(p, &p.from, EL, Kind::Rpm(TUG_RPM)).await? == Some(Kind::Rpm(TUG_RPM).digest());
    let bytes = if kept { "the first bytes are there" } else { "the first bytes are NOT there" };
    Ok(Answer::Judged(refused && kept, format!("deb {}; rpm {}; {bytes}", said(&deb), said(&rpm))))
}

async fn same_name(p: &Probe) -> Answered {
    let (response, parsed) = push(p, NOBLE, Kind::Deb(OTHER)).await?;
    let (here, there) =
        (look(p, &p.from, JAMMY, Kind::Deb(TUG)).await?, look(p, &p.from, NOBLE, Kind::Deb(OTHER)).await?);
    let apart = here == Some(Kind::Deb(TUG).digest()) && there == Some(Kind::Deb(OTHER).digest());
    let bytes = if apart { "each has its own bytes" } else { "they do NOT have their own bytes" };
    Ok(Answer::Judged(
        matches!(parsed, Ok(Pushed::Created(_))) && apart,
        format!("{}; {bytes}", response.status().as_u16()),
    ))
}

async fn misnamed(p: &Probe) -> Answered {
    let pushing = Pushing::new(p, JAMMY, Kind::Deb(MISNAMED), MISNAMED_AS)?;
    let response = p.ask(pushing.request.clone(), Some(pushing.shape.clone())).await?;
    Ok(Answer::Told(match pushing.parse(p, &response) {
        Ok(Pushed::Renamed(record)) if record.filename == MISNAMED.deb_filename() => "its own".to_owned(),
        Ok(Pushed::Renamed(record)) => format!("a third one, `{}`", record.filename),
        Ok(Pushed::Created(_)) => "the one that it was pushed under".to_owned(),
        _ => said(&response),
    }))
}

async fn search(p: &Probe) -> Answered {
    let jammy = distro(JAMMY)?;
    let part = Search { account: &p.account, repository: &p.from, q: "lipway-prob", dist: Some(&jammy), page: 1 };
    let page = call(&p, &part).await?;
    let name = TUG.deb_filename();
    let there = page.packages.iter().any(|package| package.filename == name);
    let exact = page.packages.iter().all(|package| package.distro_version.as_deref() == Some(JAMMY));
    let none = Search { q: "slipway-probe-nothing-has-this", ..part };
    let empty = call(&p, &none).await?.packages.is_empty();
    let found = format!("a part finds it: {there}; nothing of other distro versions: {exact}; nothing else: {empty}");
    Ok(Answer::Judged(there && exact && empty, found))
}

/// A page of the sandbox's whole list.
async fn list(p: &Probe, query: &str) -> Result<(Response, Vec<Value>), CallError> {
    let path = ["api", "v1", "repos", p.from.user(), p.from.repo(), "packages.json"];
    let response = p.ask(p.get(&format!("{}?{query}", p.base().url(path)))?, None).await?;
    let packages = serde_json::from_slice(response.body()).unwrap_or_default();
    Ok((response, packages))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("none")
}

async fn one_page(p: &Probe) -> Answered {
    let search = Search { account: &p.account, repository: &p.from, q: "slipway-probe", dist: None, page: 1 };
    let response = p.ask(search.request().map_err(unsendable)?, None).await?;
    let page = search.parse(&response)?;
    let link = if response.headers().contains_key(LINK) { "a `Link`" } else { "no `Link`" };
    let found = format!("{link}, `Total` {}, `Per-Page` {}", header(&response, "total"), header(&response, "per-page"));
    Ok(Answer::Judged(page.next.is_none() && !page.packages.is_empty(), found))
}

async fn pages(p: &Probe) -> Answered {
    let (first, packages) = list(p, "per_page=1&page=1").await?;
    let (link, total) = (header(&first, "link"), header(&first, "total"));
    let secret = link.contains('@') || link.contains("token");
    let next = link.split(',').any(|link| link.contains("rel=\"next\"") && link.contains("page=2"));
    let fits = packages.len() == 1 && next && !secret && total.parse::<u32>().is_ok_and(|total| total > 1);
    let credential = if secret { "with a credential" } else { "without a credential" };
    Ok(Answer::Judged(fits, format!("{} package, `Total` {total}, a next page: {next}, {credential}", packages.len())))
}

async fn per_page(p: &Probe) -> Answered {
    let (response, _) = list(p, "per_page=1000&page=1").await?;
    let (given, most) = (header(&response, "per-page"), header(&response, "max-per-page"));
    Ok(Answer::Judged(given == most && most == "250", format!("`Per-Page` {given}, `Max-Per-Page` {most}")))
}

/// What lists say of the first deb.
async fn fragment(p: &Probe) -> Result<Value, CallError> {
    let (_, packages) = list(p, "per_page=250&page=1").await?;
    let name = TUG.deb_filename();
    let found = packages
        .into_iter()
        .find(|record| field(record, "/filename") == name.as_str() && field(record, "/distro_version") == JAMMY);
    let why = "its list does not have what was pushed".to_owned();
    found.ok_or_else(|| CallError::Unreadable { host: p.base().to_string(), why })
}

async fn show(p: &Probe) -> Answered {
    let record = fragment(p).await?;
    let path = field(&record, "/package_url").as_str().unwrap_or_default();
    let response = p.ask(p.get(&p.base().join(path))?, None).await?;
    let details: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let (size, sum) = (field(&details, "/size"), field(&details, "/sha256sum"));
    let bytes = TUG.deb();
    let fits = size.as_str().map(str::to_owned).or_else(|| size.as_u64().map(|size| size.to_string()))
        == Some(bytes.len().to_string())
        && sum.as_str() == Some(Digest::of(&bytes).hex().as_str());
    let kind = if size.is_string() { "text" } else { "a number" };
    Ok(Answer::Judged(
        fits,
        format!("{}, the size as {kind}, and in lists: {}", response.status().as_u16(), field(&record, "/size")),
    ))
}

/// Where the first deb's bytes are.
async fn location(p: &Probe) -> Result<(Response, String), CallError> {
    let (distro, filename) = (distro(JAMMY)?, filename(&TUG.deb_filename())?);
    let download = Download { account: &p.account, repository: &p.from, distro: &distro, filename: &filename };
    let response = p.ask(download.request().map_err(unsendable)?, None).await?;
    let location =
        response.headers().get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default().to_owned();
    Ok((response, location))
}

async fn download(p: &Probe) -> Answered {
    let (redirect, location) = location(p).await?;
    if !redirect.status().is_redirection() || location.is_empty() {
        return Ok(Answer::Judged(false, said(&redirect)));
    }
    let request = http::Request::get(&location).body(Vec::new()).map_err(unsendable)?;
    let bytes = p.ask(request, None).await?;
    let same = Digest::of(bytes.body()) == Kind::Deb(TUG).digest();
    let place = if p.base().serves(&location) { "the same host" } else { "another host" };
    let found = format!(
        "{} to {place}, which answers {} with the right bytes: {same}",
        redirect.status().as_u16(),
        bytes.status().as_u16()
    );
    Ok(Answer::Judged(redirect.status() == StatusCode::FOUND && same, found))
}

async fn download_with_credential(p: &Probe) -> Answered {
    let (_, location) = location(p).await?;
    // Not the user's own: the storage is another service.
    let nobody = Token::new("slipway-probe-no-token").basic().map_err(unsendable)?;
    let request = http::Request::get(&location).header(AUTHORIZATION, nobody).body(Vec::new()).map_err(unsendable)?;
    let response = p.ask(request, None).await?;
    Ok(Answer::Told(response.status().as_u16().to_string()))
}

async fn delete_missing(p: &Probe) -> Answered {
    let (response, deleted) = gone(p, &p.from, JAMMY, ABSENT).await?;
    Ok(Answer::Judged(deleted == Some(Deleted::WasGone), said(&response)))
}

async fn delete(p: &Probe) -> Answered {
    let (response, deleted) = gone(p, &p.from, NOBLE, &OTHER.deb_filename()).await?;
    let left = look(p, &p.from, NOBLE, Kind::Deb(OTHER)).await?;
    let (again, pushed) = push(p, NOBLE, Kind::Deb(TUG)).await?;
    let bytes = look(p, &p.from, NOBLE, Kind::Deb(TUG)).await?;
    let fits = deleted == Some(Deleted::Deleted)
        && left.is_none()
        && matches!(pushed, Ok(Pushed::Created(_)))
        && bytes == Some(Kind::Deb(TUG).digest());
    let found = format!(
        "{}; listed afterwards: {}; other bytes under the name: {}",
        said(&response),
        left.is_some(),
        again.status().as_u16()
    );
    Ok(Answer::Judged(fits, found))
}

async fn delete_dotted(p: &Probe) -> Answered {
    let (pushed, parsed) = push(p, DOTTED, Kind::Rpm(TUG_RPM)).await?;
    if !matches!(parsed, Ok(Pushed::Created(_))) {
        return Ok(Answer::Judged(false, format!("a push for {DOTTED} was answered {}", said(&pushed))));
    }
    let (distro, filename) = (distro(DOTTED)?, filename(&TUG_RPM.rpm_filename())?);
    let plain =
        Delete { account: &p.account, repository: &p.from, distro: &distro, filename: &filename, escape_dots: false };
    let response = p.ask(plain.request().map_err(unsendable)?, None).await?;
    if plain.parse(&response).is_ok_and(|deleted| deleted == Deleted::Deleted) {
        return Ok(Answer::Judged(true, format!("no: the plain name was answered {}", said(&response))));
    }
    let escaped = Delete { escape_dots: true, ..plain };
    let second = p.ask(escaped.request().map_err(unsendable)?, None).await?;
    let fits = escaped.parse(&second).is_ok_and(|deleted| deleted == Deleted::Deleted);
    Ok(Answer::Judged(fits, format!("the plain name was answered {}, `%2E` {}", said(&response), said(&second))))
}

async fn push_chunked(p: &Probe) -> Answered {
    let pushing = Pushing::new(p, JAMMY, Kind::Deb(CHUNKED), &CHUNKED.deb_filename())?;
    let response = p.ask_in_chunks(pushing.request.clone(), format!("{}, in chunks", pushing.shape)).await?;
    let status = response.status();
    Ok(Answer::Told(if status.is_success() { status.as_u16().to_string() } else { said(&response) }))
}

async fn private(p: &Probe) -> Answered {
    Ok(Answer::Told(field(&fragment(p).await?, "/private").to_string()))
}

async fn promote(p: &Probe) -> Answered {
    let to = second!(p);
    let package = Kind::Deb(MOVED);
    let (pushed, parsed) = push(p, JAMMY, package).await?;
    if !matches!(parsed, Ok(Pushed::Created(_))) {
        return Ok(Answer::Judged(false, format!("the push before it was answered {}", said(&pushed))));
    }
    look(p, &p.from, JAMMY, package).await?;
    let begin = host::now_ms();
    let (response, moved) = promoted(p, to, JAMMY, &package.filename()).await?;
    let took = host::now_ms() - begin;
    let (here, there) = (look(p, &p.from, JAMMY, package).await?, look(p, to, JAMMY, package).await?);
    let fits = matches!(moved, Ok(Promoted::Moved(_))) && here.is_none() && there == Some(package.digest());
    let found = format!(
        "{} after {took:.0} ms; the source has it: {}; the destination has the same bytes: {}",
        response.status().as_u16(),
        here.is_some(),
        there == Some(package.digest())
    );
    Ok(Answer::Judged(fits, found))
}

/// Whether the destination has the package that was moved first.
async fn has_moved(p: &Probe, to: &Repository) -> Result<bool, CallError> {
    Ok(look(p, to, JAMMY, Kind::Deb(MOVED)).await? == Some(Kind::Deb(MOVED).digest()))
}

async fn promote_private(p: &Probe) -> Answered {
    let to = second!(p);
    let path = ["api", "v1", "repos", to.user(), to.repo(), "packages.json"];
    let response = p.ask(p.get(&format!("{}?per_page=250&page=1", p.base().url(path)))?, None).await?;
    let packages: Vec<Value> = serde_json::from_slice(response.body()).unwrap_or_default();
    let moved = packages.iter().find(|record| field(record, "/filename") == MOVED.deb_filename().as_str());
    let listed = moved.map_or(Value::Null, |record| field(record, "/private").clone());
    let told = answer_of(p, &PROMOTE, "/promote.json").map_or(Value::Null, |body| field(&body, "/private").clone());
    Ok(Answer::Told(format!("the answer {told}, the list afterwards {listed}")))
}

async fn promote_taken(p: &Probe) -> Answered {
    let to = second!(p);
    let package = Kind::Deb(MOVED_OTHER);
    let (pushed, parsed) = push(p, JAMMY, package).await?;
    if !matches!(parsed, Ok(Pushed::Created(_))) {
        return Ok(Answer::Judged(false, format!("the push before it was answered {}", said(&pushed))));
    }
    look(p, &p.from, JAMMY, package).await?;
    let (response, answer) = promoted(p, to, JAMMY, &package.filename()).await?;
    let kept = has_moved(p, to).await?;
    let bytes = if kept { "the destination keeps its bytes" } else { "the destination does NOT keep its bytes" };
    let refused = !matches!(answer, Ok(Promoted::Moved(_)));
    Ok(Answer::Judged(refused && kept, format!("{}; {bytes}", said(&response))))
}

async fn promote_taken_source(p: &Probe) -> Answered {
    let _ = second!(p);
    let kept = look(p, &p.from, JAMMY, Kind::Deb(MOVED_OTHER)).await? == Some(Kind::Deb(MOVED_OTHER).digest());
    Ok(Answer::Told(if kept { "yes" } else { "no" }.to_owned()))
}

async fn promote_equal(p: &Probe) -> Answered {
    let to = second!(p);
    gone(p, &p.from, JAMMY, &MOVED_OTHER.deb_filename()).await?;
    let package = Kind::Deb(MOVED);
    let (pushed, parsed) = push(p, JAMMY, package).await?;
    if !matches!(parsed, Ok(Pushed::Created(_))) {
        return Ok(Answer::Told(format!("the push before it was answered {}", said(&pushed))));
    }
    look(p, &p.from, JAMMY, package).await?;
    let (response, _) = promoted(p, to, JAMMY, &package.filename()).await?;
    let (here, there) = (look(p, &p.from, JAMMY, package).await?.is_some(), has_moved(p, to).await?);
    Ok(Answer::Told(format!("{}; the source has it: {here}; the destination has it: {there}", said(&response))))
}

async fn promote_missing(p: &Probe) -> Answered {
    let to = second!(p);
    let (response, _) = promoted(p, to, JAMMY, ABSENT).await?;
    let fits = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY);
    Ok(Answer::Judged(fits, said(&response)))
}

async fn promote_unseen(p: &Probe) -> Answered {
    let seen =
        p.outcomes.borrow().iter().any(|outcome| outcome.check == UNSEEN.name && outcome.verdict != Verdict::Holds);
    if seen {
        return Ok(Answer::NotAsked(format!("`{NONE_SUCH}` may be there: a package would be moved into it")));
    }
    let nowhere: Repository = format!("{}/{NONE_SUCH}", p.from.user()).parse().map_err(unsendable)?;
    let package = Kind::Deb(TUG);
    let (response, answer) = promoted(p, &nowhere, JAMMY, &package.filename()).await?;
    let kept = look(p, &p.from, JAMMY, package).await? == Some(package.digest());
    let fits = answer.is_err() && kept;
    Ok(Answer::Judged(fits, format!("{}; the source keeps its file: {kept}", said(&response))))
}

async fn index_delay(p: &Probe) -> Answered {
    let (distro, filename) = (distro(JAMMY)?, filename(&TUG.deb_filename())?);
    let mut pauses = Pauses::default();
    loop {
        let found = find(&p, &p.account, &p.from, &distro, &filename).await?;
        let waited = host::now_ms() - p.pushed_ms.get();
        if found.is_some_and(|found| found.indexed) {
            let has = in_index(p, &distro, &filename).await?;
            return Ok(Answer::Told(format!("within {:.1} s; the index has it then: {has}", waited / 1000.0)));
        }
        let pause = pauses.next_ms();
        if waited + pause > p.timeout_ms {
            let has = in_index(p, &distro, &filename).await?;
            return Ok(Answer::Told(format!("not within {:.0} s; the index has it: {has}", waited / 1000.0)));
        }
        host::pause_ms(pause).await;
    }
}

/// Whether the index lists the file, as machines that install it read it.
async fn in_index(p: &Probe, distro: &Distro, filename: &Filename) -> Result<String, CallError> {
    let index = Index {
        base: p.base(),
        repository: &p.from,
        distro,
        kind: PackageKind::Deb,
        architecture: TUG.architecture,
        credential: Some(p.account.token()),
        storage: &[],
    };
    let wanted = [filename.clone()].into();
    let (begin, mut pauses) = (host::now_ms(), Pauses::default());
    let reading = loop {
        let reading = read_index(&p, &index, None, &wanted).await?;
        let pause = pauses.next_ms();
        // The index is written again after each of the other questions' packages.
        if reading != Reading::InMotion || host::now_ms() + pause > begin + p.timeout_ms {
            break reading;
        }
        host::pause_ms(pause).await;
    };
    Ok(match reading {
        Reading::Listed { found, .. }
            if found.get(filename).is_some_and(|all| all.contains(&Kind::Deb(TUG).digest())) =>
        {
            "yes".to_owned()
        }
        Reading::Listed { .. } | Reading::Unchanged(_) => "no".to_owned(),
        Reading::Absent => "no, there is no index".to_owned(),
        Reading::InMotion => "open, it is being replaced".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_the_files_that_checks_push_are_their_own() {
        for (filename, own) in [
            ("slipway-probe_0.0.1-1_amd64.deb", true),
            ("slipway-probe-0.0.1-1.x86_64.rpm", true),
            ("slipway-probe-moved_0.0.1-1_amd64.deb", true),
            (MISNAMED_AS, true),
            ("slipway-probe_0.0.2-1_amd64.deb", false),
            ("slipway-probe-real_0.0.1-1_amd64.deb", false),
            ("tug_1.2.0-1_amd64.deb", false),
            ("", false),
        ] {
            assert_eq!(is_own(filename), own, "{filename}");
        }
    }

    #[test]
    fn every_package_that_checks_push_is_known_as_their_own() {
        for package in [TUG, OTHER, MISNAMED, CHUNKED, MOVED, MOVED_OTHER] {
            assert!(is_own(&package.deb_filename()), "{}", package.deb_filename());
        }
        for package in [TUG_RPM, OTHER_RPM] {
            assert!(is_own(&package.rpm_filename()), "{}", package.rpm_filename());
        }
    }

    #[test]
    fn every_check_has_a_name_of_its_own_and_asks_a_question() {
        let names: BTreeSet<&str> = ALL.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|check| check.question.ends_with('?')));
    }
}
