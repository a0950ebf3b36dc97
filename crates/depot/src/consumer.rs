//! What machines that install packages ask for: the signed indexes, the packages, the key; and downloads by name.
//!
//! A private repository opens to basic auth with a read token or an API token as user, to `?read_token=`, and under
//! `/priv/{read token}/`. Without any credential, a private and a missing repository look the same: 401.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

use crate::access::{Presented, Viewer};
use crate::answer;
use crate::clock::Moment;
use crate::depot::{Depot, presented};
use crate::faults::{Point, Pretence, drilled};
use crate::files;
use crate::names::{Distro, Repository};
use crate::package::{About, Package};
use crate::query::{Query, path_part};

pub(crate) async fn answer(depot: &Arc<Depot>, path: &[&str], request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return answer::not_found();
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let (shown, path) = match path {
        ["priv", token, rest @ ..] => (Some(Presented((*token).to_owned())), rest),
        _ => (presented(request.headers(), &query), path),
    };
    let [owner, name, rest @ ..] = path else { return answer::not_found() };
    let Ok(repository) = Repository::new(owner, name) else { return answer::not_found() };
    let point = match rest {
        ["packages", _, _, _, _] => Point::Download,
        [_, "dists", ..] | [_, _, _, "repodata", _] => Point::Index,
        ["gpgkey"] | ["packages", ..] => Point::Other,
        [_, "pool", ..] | [_, _, _, _] => Point::Pool,
        _ => Point::Other,
    };
    drilled(depot, point, request, async |request| {
        let viewer = depot.viewer(shown.as_ref());
        if depot.store.state().accounts.may_read(&viewer, &repository) {
            let pretence = Pretence::of(&request);
            return in_repository(depot, &repository, rest, (request.headers(), pretence)).await;
        }
        match viewer {
            Viewer::Nobody | Viewer::Unknown => answer::unauthenticated(),
            Viewer::User(_) | Viewer::Reader(_) => answer::not_found(),
        }
    })
    .await
}

async fn in_repository(
    depot: &Arc<Depot>,
    repository: &Repository,
    path: &[&str],
    (headers, pretence): (&HeaderMap, Pretence),
) -> Response {
    let held = |distro: &str, version: &str, filename: &str| -> Option<Arc<Package>> {
        let key = (repository.clone(), Distro::new(distro, version).ok()?, filename.to_owned());
        depot.store.package(&key)
    };
    match path {
        ["gpgkey"] => public_key(depot, repository),
        ["packages", distro, version, filename] => {
            // A page for people; programs use it with HEAD to see whether a package is there.
            held(distro, version, filename).map_or_else(answer::not_found, |package| {
                answer::text(StatusCode::OK, "text/plain; charset=utf-8", page(&package))
            })
        }
        ["packages", distro, version, filename, "download" | "download.deb" | "download.rpm"] => {
            held(distro, version, filename)
                .map_or_else(answer::not_found, |package| to_storage(depot, &package, pretence.expired_link))
        }
        [distro, "dists", codename, file @ ..] => match Distro::new(distro, codename) {
            Ok(distro) => apt_index(depot, repository, &distro, file, headers).await,
            Err(_) => answer::not_found(),
        },
        [distro, "pool", codename, .., filename] => match held(distro, codename, filename) {
            Some(package) if path[1..].join("/") == package.pool_path() => {
                let file = depot.store.file(&package.sums.sha256);
                found_or_missing(files::answer(headers, &file, None).await)
            }
            _ => answer::not_found(),
        },
        [distro, version, architecture, "repodata", file] => match Distro::new(distro, version) {
            Ok(distro) => yum_index(depot, repository, &distro, (architecture, file), headers).await,
            Err(_) => answer::not_found(),
        },
        [distro, version, architecture, filename] => match held(distro, version, filename) {
            Some(package) if is_in_yum(&package, architecture) => {
                let file = depot.store.file(&package.sums.sha256);
                found_or_missing(files::answer(headers, &file, None).await)
            }
            _ => answer::not_found(),
        },
        _ => answer::not_found(),
    }
}

/// A package in words.
fn page(package: &Package) -> String {
    match &package.about {
        About::Deb(_) => crate::apt::stanza(package),
        About::Rpm(rpm) => format!(
            "Name: {}\nEpoch: {}\nVersion: {}\nRelease: {}\nArchitecture: {}\nSummary: {}\nSize: {}\nSHA256: {}\n",
            rpm.name,
            rpm.epoch.unwrap_or_default(),
            rpm.version,
            rpm.release,
            rpm.architecture,
            rpm.summary,
            package.sums.size,
            package.sums.sha256
        ),
    }
}

/// Whether the repository for machines of this architecture has a package.
fn is_in_yum(package: &Package, architecture: &str) -> bool {
    match &package.about {
        About::Rpm(rpm) => rpm.base_architecture().map_or(architecture != "SRPMS", |base| base == architecture),
        About::Deb(_) => false,
    }
}

/// 302 to the storage, with a link that ends soon.
fn to_storage(depot: &Depot, package: &Package, has_ended: bool) -> Response {
    depot.store.count_download(&package.key());
    let path =
        format!("/{}/{}/package_files/{}.{}", package.repository, package.distro, package.id, package.about.kind());
    let now = Moment::now().unix_seconds();
    let ends = if has_ended { now - 1 } else { now + depot.link_seconds() };
    let link = format!("{}{path}?t={}", depot.storage_url, depot.store.secret.link(&path, ends));
    let mut response = answer::text(StatusCode::FOUND, "text/html; charset=utf-8", Body::empty());
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LOCATION, link);
    }
    response
}

fn public_key(depot: &Depot, repository: &Repository) -> Response {
    match depot.store.public_key(repository) {
        Some(Ok(key)) => answer::text(StatusCode::OK, "application/pgp-keys", key),
        Some(Err(error)) => answer::broken("write the public key", &error),
        None => answer::not_found(),
    }
}

async fn apt_index(
    depot: &Depot,
    repository: &Repository,
    distro: &Distro,
    file: &[&str],
    headers: &HeaderMap,
) -> Response {
    let is_one = match file {
        ["InRelease" | "Release" | "Release.gpg"] => true,
        ["main", binary, "Packages" | "Packages.gz" | "Packages.xz"] => binary.starts_with("binary-"),
        ["main", binary, "by-hash", "SHA256", digest] => {
            binary.starts_with("binary-") && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        _ => false,
    };
    if !is_one {
        return answer::not_found();
    }
    let path = file.iter().fold(depot.store.apt_index(repository, distro), |path, part| path.join(path_part(part)));
    found_or_missing(files::index(headers, &path).await)
}

async fn yum_index(
    depot: &Depot,
    repository: &Repository,
    distro: &Distro,
    (architecture, file): (&str, &str),
    headers: &HeaderMap,
) -> Response {
    let is_list =
        || file.split_once('-').is_some_and(|(digest, _)| digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !(matches!(file, "repomd.xml" | "repomd.xml.asc") || is_list()) {
        return answer::not_found();
    }
    let folder = depot.store.yum_index(repository, distro).join(path_part(architecture)).join("repodata");
    found_or_missing(files::index(headers, &folder.join(path_part(file))).await)
}

pub(crate) fn found_or_missing(result: io::Result<Response>) -> Response {
    match result {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::NotFound => answer::not_found(),
        Err(error) => answer::broken("read a file", &error),
    }
}
