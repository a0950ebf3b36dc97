//! `slipway verify`: an audit from public data alone. What the release says is public is compared with what the served indexes
//! give to anybody, by digest; nothing that Slipway says of itself counts. Beside that, what it has attested of each target is
//! checked with its key ([`attested`](crate::attested)).
//!
//! An index is a chain of digests that begins at a small signed head. With `--keyring` the signature on exactly the bytes that
//! the chain began with is checked, by `gpgv`; without it the chain proves that the index is whole, not who made it, and the
//! answer says so.
//!
//! An image is read by its tag and by its digest, whole but for the bytes of its layers, which are looked for: a digest names
//! what it must be, so nothing has to be signed for that.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Serialize;
use slipway_core::api::{Package, Policy, Release, Target};
use slipway_core::release::TargetState;
use slipway_fetch::Fetch;
use slipway_packagecloud::index::apt;
use slipway_packagecloud::{Distro, Filename, Index, PackageKind, Reading, Repository, read_index};
use slipway_wire::{Base, Digest, Http, Request, Response, Unreachable};

use crate::args;
use crate::attested::{self, Attestations};
use crate::edge::{Edge, Pauses};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::image::{self, NotResolved};
use crate::say::Say;

/// How long one file of an index may take.
const ANSWER_DEADLINE: Duration = Duration::from_mins(5);
/// A keyring is a few kilobytes a key.
const KEYRING_BYTES_MAX: u32 = 4 << 20;
/// A signature.
const SIGNATURE_BYTES_MAX: usize = 1 << 16;

/// One served index, and what it must list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    url: String,
    repository: String,
    distro: String,
    kind: PackageKind,
    architecture: String,
}

/// A file that must be listed, and whose.
#[derive(Clone, Debug)]
struct Expected {
    key: String,
    filename: Filename,
    digest: Digest,
    state: TargetState,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Of a package, the distro version of its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    distro: Option<String>,
    /// Of an image, its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    repository: String,
    what: String,
}

impl Difference {
    /// Something that is not as it should be with a target.
    pub(crate) fn of(package: &Package, target: &Target, what: String) -> Self {
        Self {
            key: Some(package.key.to_string()),
            distro: Some(target.distro.clone()).filter(|distro| !distro.is_empty()),
            tag: target.tag.clone(),
            repository: target.public.repository.clone(),
            what,
        }
    }

    /// Where it is, as targets are named.
    fn target(&self) -> String {
        self.tag.as_ref().map_or_else(|| self.distro.clone().unwrap_or_default(), |tag| format!(":{tag}"))
    }
}

/// How far the signatures on the indexes were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Signatures {
    Checked,
    NotChecked,
}

/// What came of the audit.
#[derive(Debug, Serialize)]
struct Report {
    project: String,
    version: String,
    /// Files that are served with the right bytes.
    right: usize,
    signatures: Signatures,
    attestations: Attestations,
    differences: Vec<Difference>,
    /// What is not public, and is not meant to be yet.
    not_released: Vec<String>,
}

/// Runs the command on a release, wherever it was read: `edge`, where it told of it. `storage` is where servers may keep their
/// files.
pub(crate) async fn verify(
    options: &args::Verify,
    release: &Release,
    edge: Option<&Edge<'_>>,
    policy: Option<&Policy>,
    storage: &[Base],
    say: Say,
) -> Result<(), Failure> {
    let doing = format!("cannot verify {} {}", release.project.name, release.version);
    let keyring = match &options.keyring {
        None => None,
        Some(path) => Some(keyring(path, &doing).await?),
    };
    let keys = match &options.key {
        None => None,
        Some(path) => Some(attested::keys(path, &doing).await?),
    };
    let (wanted, not_released, mut differences) = wanted(release);
    let images = images(release);
    let mut right = 0;
    let end = host::now_ms() + f64::from(options.timeout_s) * 1000.0;
    for (place, files) in &wanted {
        let seen = look(place, files, storage, keyring.as_deref(), end, &doing).await?;
        let (good, bad) = compare(place, files, &seen.found);
        say.line(&format!(
            "{}  {}  {} {}: {good} of {} as they should be{}",
            place.repository,
            place.distro,
            place.kind.code(),
            place.architecture,
            files.iter().filter(|file| file.state == TargetState::Released).count(),
            seen.signature.words(),
        ));
        right += good;
        differences.extend(bad);
        if let Signature::Wrong(what) = seen.signature {
            let (distro, repository) = (Some(place.distro.clone()), place.repository.clone());
            differences.push(Difference { key: None, distro, tag: None, repository, what });
        }
    }
    for image in &images {
        let wrong = look_at_image(image, options, policy, storage, end, &doing).await?;
        let is_right = wrong.is_empty() && image.state == TargetState::Released;
        let how = if is_right { "as it should be" } else { image.state.words() };
        say.line(&format!("{}  :{}  {}: {how}", image.repository, image.tag, image.digest));
        right += usize::from(is_right);
        differences.extend(wrong.into_iter().map(|what| Difference {
            key: Some(image.key.clone()),
            distro: None,
            tag: Some(image.tag.clone()),
            repository: image.repository.clone(),
            what,
        }));
    }
    let (attestations, unproven) = attested::check(release, edge, keys, &doing).await?;
    differences.extend(unproven);
    say.lines(&not_released.iter().map(|line| format!("not released: {line}")).collect::<Vec<_>>());
    let signatures = if keyring.is_some() { Signatures::Checked } else { Signatures::NotChecked };
    // Indexes are signed; an image is known by its digest.
    if signatures == Signatures::NotChecked && !wanted.is_empty() {
        say.line("signatures were NOT checked: give the repositories' public keys with `--keyring FILE`");
    }
    say.lines(&attestations.lines());
    let what = if images.is_empty() { "files" } else { "files and images" };
    say.line(&format!("{right} {what} are served with the right bytes, {} differences", differences.len()));
    let report = Report {
        project: release.project.name.clone(),
        version: release.version.to_string(),
        right,
        signatures,
        attestations,
        differences,
        not_released,
    };
    say.answer(&report)?;
    if report.differences.is_empty() {
        return Ok(());
    }
    let lines = report.differences.iter().map(|difference| {
        let Difference { key, repository, what, .. } = difference;
        format!("{}  {}  {repository}  {what}", key.as_deref().unwrap_or("the index"), difference.target())
    });
    let doing = format!("what is served is not {} {}", release.project.name, release.version);
    Err(Failure::new(Exit::Differences, doing, lines))
}

/// What each index must list, what is not public, and what cannot be looked up at all.
#[allow(clippy::type_complexity, reason = "three lists, named where they are taken apart")]
fn wanted(release: &Release) -> (BTreeMap<Place, Vec<Expected>>, Vec<String>, Vec<Difference>) {
    let mut wanted: BTreeMap<Place, Vec<Expected>> = BTreeMap::new();
    let (mut not_released, mut differences) = (Vec::new(), Vec::new());
    for package in &release.packages {
        for target in &package.targets {
            if target.state != TargetState::Released {
                not_released.push(format!("{}  {}  {}", package.key, target.name(), target.state.words()));
            }
            if target.tag.is_some() {
                continue;
            }
            let Some(file) = &package.file else { continue };
            let named = file.filename.parse::<Filename>().ok();
            let parts = named.and_then(|name| Some((name.kind()?, name.architecture()?.to_owned(), name)));
            let Some((kind, architecture, filename)) = parts else {
                differences.push(Difference {
                    key: Some(package.key.to_string()),
                    distro: Some(target.distro.clone()),
                    tag: None,
                    repository: target.public.repository.clone(),
                    what: format!("`{}` names no architecture, so it is in no index", file.filename),
                });
                continue;
            };
            let place = Place {
                url: target.public.url.clone(),
                repository: target.public.repository.clone(),
                distro: target.distro.clone(),
                kind,
                architecture,
            };
            let expected =
                Expected { key: package.key.to_string(), filename, digest: file.digest, state: target.state };
            wanted.entry(place).or_default().push(expected);
        }
    }
    (wanted, not_released, differences)
}

/// An image that must be served under a tag, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServedImage {
    key: String,
    url: String,
    repository: String,
    tag: String,
    digest: Digest,
    state: TargetState,
}

/// Every declared image, under each of its tags.
fn images(release: &Release) -> Vec<ServedImage> {
    let mut images = Vec::new();
    for package in &release.packages {
        let Some(file) = &package.file else { continue };
        for target in &package.targets {
            let Some(tag) = &target.tag else { continue };
            images.push(ServedImage {
                key: package.key.to_string(),
                url: target.public.url.clone(),
                repository: target.public.repository.clone(),
                tag: tag.clone(),
                digest: file.digest,
                state: target.state,
            });
        }
    }
    images
}

/// What is wrong with an image, seen as anybody would.
async fn look_at_image(
    image: &ServedImage,
    options: &args::Verify,
    policy: Option<&Policy>,
    storage: &[Base],
    end_ms: f64,
    doing: &str,
) -> Result<Vec<String>, Failure> {
    let ServedImage { url, repository: name, tag, digest, state, .. } = image;
    let failed = |why: String| Failure::new(Exit::Failed, doing, [format!("{name}:{tag}: {why}")]);
    let base: Base = url.parse().map_err(|error| failed(format!("{error}")))?;
    let repository = name.parse().map_err(|error| failed(format!("{error}")))?;
    let tag: slipway_oci::Tag = tag.parse().map_err(|error| failed(format!("{error}")))?;
    let mut registry = image::registry(base, None, policy, options.realm.clone());
    registry.storage.extend(storage.iter().cloned());
    let session = slipway_oci::Session::new(&registry);
    let http = Fetch::new(ANSWER_DEADLINE);
    let mut pauses = Pauses::default();
    loop {
        let found = if *state == TargetState::Released {
            image::differences(&session, &http, &repository, &tag, *digest).await
        } else {
            match image::digest(&session, &http, &repository, &tag.clone().into()).await {
                Ok(found) if found == *digest => {
                    Ok(vec![format!("`{tag}` is served, though the release says: {}", state.words())])
                }
                Ok(found) => Ok(vec![format!("`{tag}` is served as {found}; it must be {digest}")]),
                Err(NotResolved::Absent(_)) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        let error = match found {
            Ok(wrong) => return Ok(wrong),
            Err(error) => error,
        };
        let pause = pauses.next_ms();
        if !error.may_pass() || host::now_ms() + pause > end_ms {
            return Err(failed(error.to_string()));
        }
        host::pause_ms(pause).await;
    }
}

/// How many files are right, and what is wrong with the others.
fn compare(
    place: &Place,
    files: &[Expected],
    found: &BTreeMap<Filename, BTreeSet<Digest>>,
) -> (usize, Vec<Difference>) {
    let mut right = 0;
    let mut differences = Vec::new();
    for Expected { key, filename, digest, state } in files {
        let listed = found.get(filename).filter(|digests| !digests.is_empty());
        let is_released = *state == TargetState::Released;
        let what = match listed {
            Some(digests) if digests.len() == 1 && digests.contains(digest) => {
                if is_released {
                    right += 1;
                    continue;
                }
                format!("`{filename}` is served, though the release says: {}", state.words())
            }
            Some(digests) => {
                let theirs: Vec<String> = digests.iter().map(ToString::to_string).collect();
                format!("`{filename}` is served as {}; it must be {digest}", theirs.join(" and "))
            }
            None if is_released => format!("`{filename}` is not served"),
            None => continue,
        };
        differences.push(Difference {
            key: Some(key.clone()),
            distro: Some(place.distro.clone()),
            tag: None,
            repository: place.repository.clone(),
            what,
        });
    }
    (right, differences)
}

/// What an index was found to list, and how it is signed.
struct Seen {
    found: BTreeMap<Filename, BTreeSet<Digest>>,
    signature: Signature,
}

/// How an index is signed.
enum Signature {
    /// By a key of the keyring.
    Good,
    /// Otherwise.
    Wrong(String),
    /// Nobody has asked.
    NotAsked,
    /// There is no index.
    NoIndex,
}

impl Signature {
    /// Behind how many files are as they should be.
    fn words(&self) -> &'static str {
        match self {
            Self::Good => ", signed",
            Self::NoIndex => ", there is no index",
            Self::Wrong(_) | Self::NotAsked => "",
        }
    }
}

/// Reads an index as anybody would.
async fn look(
    place: &Place,
    files: &[Expected],
    storage: &[Base],
    keyring: Option<&[u8]>,
    end_ms: f64,
    doing: &str,
) -> Result<Seen, Failure> {
    let named = format!("{} for {} {}", place.repository, place.distro, place.architecture);
    let failed = |why: String| Failure::new(Exit::Failed, doing, [format!("{named}: {why}")]);
    let base: Base = place.url.parse().map_err(|error| failed(format!("{error}")))?;
    let repository: Repository = place.repository.parse().map_err(|error| failed(format!("{error}")))?;
    let distro: Distro = place.distro.parse().map_err(|error| failed(format!("{error}")))?;
    let (kind, architecture) = (place.kind, place.architecture.as_str());
    let index =
        Index { base: &base, repository: &repository, distro: &distro, kind, architecture, credential: None, storage };
    let listed: BTreeSet<Filename> = files.iter().map(|file| file.filename.clone()).collect();
    let mut pauses = Pauses::default();
    loop {
        let http = Heads { http: Fetch::new(ANSWER_DEADLINE), heads: RefCell::default() };
        let why = match read_index(&&http, &index, None, &listed).await {
            Ok(Reading::Listed { found, .. }) => {
                let signature = match keyring {
                    None => Signature::NotAsked,
                    Some(keyring) => {
                        let wrong = unsigned(&http, kind, keyring).await.map_err(failed)?;
                        wrong.map_or(Signature::Good, Signature::Wrong)
                    }
                };
                return Ok(Seen { found, signature });
            }
            Ok(Reading::Absent) => return Ok(Seen { found: BTreeMap::new(), signature: Signature::NoIndex }),
            Ok(Reading::Unchanged(_) | Reading::InMotion) => "it is being replaced at each look".to_owned(),
            Err(error) if error.may_pass() => error.to_string(),
            Err(error) => return Err(failed(error.to_string())),
        };
        let pause = pauses.next_ms();
        if host::now_ms() + pause > end_ms {
            return Err(failed(why));
        }
        host::pause_ms(pause).await;
    }
}

/// Keeps the heads of the indexes that pass through, so that their signatures are checked on the very same bytes.
struct Heads {
    http: Fetch,
    /// The address that was asked, and the bytes.
    heads: RefCell<Vec<(String, Vec<u8>)>>,
}

fn is_head(path: &str) -> bool {
    ["/InRelease", "/Release", "/repodata/repomd.xml"].iter().any(|end| path.ends_with(end))
}

impl Http for &Heads {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.http.send(request).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let url = request.uri().to_string();
        if !is_head(request.uri().path()) {
            return self.http.read(request, each).await;
        }
        let mut bytes = Vec::new();
        let mut both = |piece: &[u8]| {
            let goes_on = each(piece);
            if goes_on {
                bytes.extend_from_slice(piece);
            }
            goes_on
        };
        let answer = self.http.read(request, &mut both).await;
        if answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::OK) {
            self.heads.borrow_mut().push((url, bytes));
        }
        answer
    }
}

/// What is wrong with the signature on the head that was read last. The outer error is no answer.
async fn unsigned(heads: &Heads, kind: PackageKind, keyring: &[u8]) -> Result<Option<String>, String> {
    let last = heads.heads.borrow().last().cloned();
    let Some((url, bytes)) = last else { return Err("its head was not seen".to_owned()) };
    let beside = match kind {
        PackageKind::Deb if url.ends_with("/InRelease") => None,
        PackageKind::Deb => Some(".gpg"),
        PackageKind::Rpm => Some(".asc"),
    };
    let signature = match beside {
        None => None,
        Some(end) => match fetch(&heads.http, &format!("{url}{end}")).await? {
            None => return Ok(Some(format!("the index is not signed: there is no `{end}` beside its head"))),
            Some(signature) => Some(dearmored(&signature).unwrap_or(signature)),
        },
    };
    match host::gpgv(keyring, &bytes, signature.as_deref()).await {
        Ok(Some(signed)) if beside.is_none() && !is_same_release(&bytes, &signed) => {
            Ok(Some("the head of the index says more than what is signed".to_owned()))
        }
        Ok(Some(_)) => Ok(None),
        Ok(None) => Err(
            "this machine has no `gpgv`, which checks signatures: install it (`apt-get install gpgv`), or leave `--keyring` out"
                .to_owned(),
        ),
        Err(why) => Ok(Some(format!("the signature on the index is not good: {}", why.replace('\n', "; ")))),
    }
}

/// Whether a head says exactly what is signed: text around the signed part would otherwise be believed, too.
fn is_same_release(head: &[u8], signed: &[u8]) -> bool {
    match (apt::Release::parse(head), apt::Release::parse(signed)) {
        (Ok(head), Ok(signed)) => head == signed,
        _ => false,
    }
}

/// A small file; `None` where there is none.
async fn fetch(http: &Fetch, url: &str) -> Result<Option<Vec<u8>>, String> {
    let request = http::Request::get(url).body(Vec::new()).map_err(|error| error.to_string())?;
    let answer = http.send(request).await.map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK if answer.body().len() <= SIGNATURE_BYTES_MAX => Ok(Some(answer.into_body())),
        StatusCode::NOT_FOUND => Ok(None),
        status => Err(format!("its signature is answered with {}", status.as_u16())),
    }
}

/// The keys of a file, as `gpgv` takes them.
async fn keyring(path: &str, doing: &str) -> Result<Vec<u8>, Failure> {
    let misused = |why: String| Failure::new(Exit::Misused, doing, [format!("cannot use the keyring `{path}`: {why}")]);
    let bytes = host::read_bytes(path, KEYRING_BYTES_MAX).await.map_err(misused)?;
    if bytes.is_empty() {
        return Err(misused("it is empty".to_owned()));
    }
    if bytes.starts_with(b"-----BEGIN") {
        return dearmored(&bytes).ok_or_else(|| misused("its ASCII armour cannot be read".to_owned()));
    }
    Ok(bytes)
}

/// What is in ASCII armour (RFC 9580, section 6.2): every block's bytes, one after the other. `None` for what is in none.
fn dearmored(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut bytes = Vec::new();
    let mut blocks = 0;
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if !line.starts_with("-----BEGIN PGP ") {
            continue;
        }
        blocks += 1;
        // Headers end at an empty line.
        for header in lines.by_ref() {
            if header.is_empty() {
                break;
            }
        }
        let mut base64 = String::new();
        for line in lines.by_ref() {
            if line.starts_with("-----END") {
                break;
            }
            // A checksum, which the signature makes needless.
            if !line.starts_with('=') {
                base64.push_str(line);
            }
        }
        bytes.extend(STANDARD.decode(base64).ok()?);
    }
    (blocks > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn place() -> Place {
        Place {
            url: "https://packages.example.com".to_owned(),
            repository: "harbour/stable".to_owned(),
            distro: "ubuntu/jammy".to_owned(),
            kind: PackageKind::Deb,
            architecture: "amd64".to_owned(),
        }
    }

    /// What is said of one file of bytes `ours` in a state, where the index gives these digests.
    fn check(state: TargetState, served: &[&[u8]]) -> (usize, Vec<String>) {
        let filename: Filename = "tug_1_amd64.deb".parse().expect("a file name");
        let files =
            [Expected { key: "deb".to_owned(), filename: filename.clone(), digest: Digest::of(b"ours"), state }];
        let digests: BTreeSet<Digest> = served.iter().map(|bytes| Digest::of(bytes)).collect();
        let found = BTreeMap::from([(filename, digests)]);
        let (right, differences) = compare(&place(), &files, &found);
        (right, differences.into_iter().map(|difference| difference.what).collect())
    }

    #[test]
    fn a_released_file_must_be_served_with_its_bytes_alone() {
        let (ours, theirs) = (Digest::of(b"ours"), Digest::of(b"theirs"));
        assert_eq!(check(TargetState::Released, &[b"ours"]), (1, vec![]));
        assert_eq!(check(TargetState::Released, &[]), (0, vec!["`tug_1_amd64.deb` is not served".to_owned()]));
        let wrong = format!("`tug_1_amd64.deb` is served as {theirs}; it must be {ours}");
        assert_eq!(check(TargetState::Released, &[b"theirs"]), (0, vec![wrong]));
        let (_, both) = check(TargetState::Released, &[b"ours", b"theirs"]);
        assert!(both[0].contains(" and "), "{both:?}");
    }

    #[test]
    fn what_is_not_released_must_not_be_served() {
        assert_eq!(check(TargetState::Staged, &[]), (0, vec![]));
        let (_, drift) = check(TargetState::Staged, &[b"ours"]);
        assert_eq!(drift, ["`tug_1_amd64.deb` is served, though the release says: Staged"]);
    }

    #[test]
    fn an_index_is_read_once_for_all_its_files() {
        let mut release = testing::release(&[("a", "released released"), ("b", "released"), ("c", "staged")]);
        for package in &mut release.packages {
            package.file.as_mut().expect("a file").filename = format!("{}_1_amd64.deb", package.key);
        }
        let (wanted, not_released, differences) = wanted(&release);
        let files: Vec<_> = wanted.iter().map(|(place, files)| (place.distro.as_str(), files.len())).collect();
        assert_eq!(files, [("d/0", 3), ("d/1", 1)]);
        assert_eq!(not_released, ["c  d/0  Staged"]);
        assert!(differences.is_empty());
    }

    #[test]
    fn an_image_is_looked_for_under_each_of_its_tags_and_in_no_index() {
        let mut release = testing::release(&[("app", "released staged"), ("a", "released"), ("late", "expected")]);
        let late = &mut release.packages[2];
        (late.file, late.targets[0].tag) = (None, Some("late".to_owned()));
        release.packages[0].file.as_mut().expect("an image").image = Some("registry.example.com/team/app".to_owned());
        for (target, tag) in release.packages[0].targets.iter_mut().zip(["17.3.1", "17"]) {
            (target.distro, target.tag) = (String::new(), Some(tag.to_owned()));
        }
        let found: Vec<_> = images(&release).into_iter().map(|image| (image.key, image.tag, image.state)).collect();
        let expected = [("17.3.1", TargetState::Released), ("17", TargetState::Staged)];
        assert_eq!(found, expected.map(|(tag, state)| ("app".to_owned(), tag.to_owned(), state)));
        let (wanted, not_released, differences) = wanted(&release);
        assert_eq!((wanted.len(), differences.len()), (1, 0));
        assert_eq!(not_released, ["app  :17  Staged", "late  :late  Not staged yet"]);
    }

    #[test]
    fn armour_is_taken_off_every_block() {
        let text = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nAQID\nBA==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n\
                     -----BEGIN PGP PUBLIC KEY BLOCK-----\n\nBQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(dearmored(text).as_deref(), Some([1, 2, 3, 4, 5].as_slice()));
        assert_eq!(dearmored(b"\x99\x01"), None);
        assert_eq!(dearmored(b"plain"), None);
    }
}
