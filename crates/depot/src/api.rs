//! packagecloud's API: what a path means, and who may ask for it.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Viewer;
use crate::answer;
use crate::depot::{Depot, presented};
use crate::faults::{Point, Pretence, drilled};
use crate::front::drain;
use crate::names::{Distro, Repository};
use crate::package::Key;
use crate::paging::Page;
use crate::query::Query;
use crate::shapes::Shape;
use crate::store::Held;
use crate::{promote, push};

/// A body of JSON or of a short form may have this size.
const SMALL_BODY_BYTES_MAX: usize = 64 << 10;

/// One route of the API, read from method and path.
#[derive(Debug, PartialEq, Eq)]
enum Call<'a> {
    Distributions,
    GemVersion,
    Repositories,
    CreateRepository,
    InRepository(Repository, InRepository<'a>),
}

#[derive(Debug, PartialEq, Eq)]
enum InRepository<'a> {
    Show,
    List,
    Search,
    Push,
    /// `version` is `3.1.0-1` of a deb, `3.1.0/1` of an rpm.
    Package {
        distro: Distro,
        name: &'a str,
        architecture: &'a str,
        version: String,
    },
    Versions {
        distro: Distro,
        name: &'a str,
        architecture: &'a str,
    },
    Downloads {
        distro: Distro,
        name: &'a str,
        architecture: &'a str,
        version: String,
    },
    Delete {
        distro: Distro,
        filename: &'a str,
    },
    Promote {
        distro: Distro,
        filename: &'a str,
    },
}

/// The routes. `path` is what follows `/api/v1/`, without `.json`.
fn call<'a>(method: &Method, path: &[&'a str]) -> Option<Call<'a>> {
    let reads = method == Method::GET || method == Method::HEAD;
    let posts = method == Method::POST;
    let (owner, name, rest) = match path {
        ["distributions"] if reads => return Some(Call::Distributions),
        ["gem_version"] if reads => return Some(Call::GemVersion),
        ["repos"] if reads => return Some(Call::Repositories),
        ["repos"] if posts => return Some(Call::CreateRepository),
        ["repos", owner, name, rest @ ..] => (owner, name, rest),
        _ => return None,
    };
    let repository = Repository::new(owner, name).ok()?;
    let in_repository = match *rest {
        [] if reads => InRepository::Show,
        ["packages"] if reads => InRepository::List,
        ["packages"] if posts => InRepository::Push,
        ["search"] if reads => InRepository::Search,
        ["package", "deb" | "rpm", distro, version, name, architecture, "versions"] if reads => {
            InRepository::Versions { distro: Distro::new(distro, version).ok()?, name, architecture }
        }
        ["package", kind, distro, distro_version, name, architecture, ref rest @ ..] if reads => {
            let distro = Distro::new(distro, distro_version).ok()?;
            let (version, rest) = match (kind, rest) {
                ("deb", [version, rest @ ..]) => ((*version).to_owned(), rest),
                ("rpm", [version, release, rest @ ..]) => (format!("{version}/{release}"), rest),
                _ => return None,
            };
            match rest {
                [] => InRepository::Package { distro, name, architecture, version },
                ["stats", "downloads", "count"] => InRepository::Downloads { distro, name, architecture, version },
                _ => return None,
            }
        }
        [distro, version, filename] if *method == Method::DELETE => {
            InRepository::Delete { distro: Distro::new(distro, version).ok()?, filename }
        }
        [distro, version, filename, "promote"] if posts => {
            InRepository::Promote { distro: Distro::new(distro, version).ok()?, filename }
        }
        _ => return None,
    };
    Some(Call::InRepository(repository, in_repository))
}

impl Call<'_> {
    fn point(&self) -> Point {
        match self {
            Self::Distributions => Point::Distributions,
            Self::GemVersion => Point::Other,
            Self::Repositories | Self::CreateRepository => Point::Repositories,
            Self::InRepository(_, call) => match call {
                InRepository::List | InRepository::Search => Point::List,
                InRepository::Push => Point::Push,
                InRepository::Delete { .. } => Point::Delete,
                InRepository::Promote { .. } => Point::Promote,
                InRepository::Package { .. } | InRepository::Versions { .. } => Point::Show,
                InRepository::Show => Point::Repositories,
                InRepository::Downloads { .. } => Point::Other,
            },
        }
    }
}

pub(crate) async fn answer(depot: &Arc<Depot>, path: &[&str], request: Request) -> Response {
    let call = call(request.method(), path);
    let point = call.as_ref().map_or(Point::Other, Call::point);
    drilled(depot, point, request, async |request| {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let viewer = depot.viewer(presented(request.headers(), &query).as_ref());
        // Here a read token is no credential.
        let Viewer::User(user) = viewer else {
            drain(request).await;
            return answer::unauthenticated();
        };
        match call {
            None => {
                drain(request).await;
                answer::not_found()
            }
            Some(Call::Distributions) => answer::json_value(StatusCode::OK, &depot.ids().distributions()),
            Some(Call::GemVersion) => {
                answer::json_value(StatusCode::OK, &json!({"major": "0", "minor": "3", "patch": "0"}))
            }
            Some(Call::Repositories) => repositories(depot, &user, &query),
            Some(Call::CreateRepository) => create_repository(depot, &user, request).await,
            Some(Call::InRepository(repository, call)) => {
                in_repository(depot, &user, (&repository, call), &query, request).await
            }
        }
    })
    .await
}

async fn in_repository(
    depot: &Arc<Depot>,
    user: &str,
    (repository, call): (&Repository, InRepository<'_>),
    query: &Query,
    request: Request,
) -> Response {
    let (reads, writes) = {
        let accounts = &depot.store.state().accounts;
        (accounts.may_read(&Viewer::User(user.to_owned()), repository), accounts.may_write(user, repository))
    };
    let needs_write = matches!(call, InRepository::Push | InRepository::Delete { .. } | InRepository::Promote { .. });
    // Missing rights look like a missing repository.
    if !(if needs_write { writes } else { reads }) {
        drain(request).await;
        return answer::not_found();
    }
    let key = |distro: Distro, filename: &str| -> Key { (repository.clone(), distro, filename.to_owned()) };
    let pretence = Pretence::of(&request);
    let versions = |distro: &Distro, name: &str, architecture: &str| -> Vec<Held> {
        let mut held = depot.store.packages(repository, pretence.writes_ago);
        held.retain(|held| {
            let about = &held.package.about;
            held.package.distro == *distro && about.name() == name && about.architecture() == architecture
        });
        held
    };
    match call {
        InRepository::Show => show_repository(depot, repository),
        InRepository::List => list(depot, repository, query, &request, listed_in(query)),
        InRepository::Search => list(depot, repository, query, &request, found_by(query)),
        InRepository::Push => push::answer(depot, user, repository, request).await,
        InRepository::Package { distro, name, architecture, version } => {
            let found = versions(&distro, name, architecture);
            let found = found.into_iter().find(|held| is_version(held, &version));
            let private = is_private(depot, repository);
            found.map_or_else(answer::not_found, |held| {
                let shape = Shape { depot, held: &held, private, promoted_from: None };
                answer::json_value(StatusCode::OK, &shape.details())
            })
        }
        InRepository::Versions { distro, name, architecture } => {
            let private = is_private(depot, repository);
            let found = versions(&distro, name, architecture);
            let shapes: Vec<Value> =
                found.iter().map(|held| Shape { depot, held, private, promoted_from: None }.details()).collect();
            if shapes.is_empty() { answer::not_found() } else { answer::json_value(StatusCode::OK, &shapes.into()) }
        }
        InRepository::Downloads { distro, name, architecture, version } => {
            let found = versions(&distro, name, architecture);
            let found = found.into_iter().find(|held| is_version(held, &version));
            found.map_or_else(answer::not_found, |held| {
                answer::json_value(StatusCode::OK, &json!({"value": held.downloads}))
            })
        }
        InRepository::Delete { distro, filename } => push::delete(depot, user, key(distro, filename)).await,
        InRepository::Promote { distro, filename } => {
            promote::answer(depot, user, key(distro, filename), query, request).await
        }
    }
}

pub(crate) fn is_private(depot: &Depot, repository: &Repository) -> bool {
    depot.store.state().accounts.repositories.get(repository).is_some_and(|record| record.private)
}

fn is_version(held: &Held, version: &str) -> bool {
    let about = &held.package.about;
    match (about.kind(), about.release()) {
        (_, None) => about.version() == version,
        ("rpm", Some(release)) => format!("{}/{release}", about.version()) == version,
        (_, Some(release)) => format!("{}-{release}", about.version()) == version,
    }
}

/// Whether a package is of a kind, as `filter` names it (`deb`, `debs`).
fn is_kind(held: &Held, kind: &str) -> bool {
    matches!(kind, "all" | "") || kind.strip_suffix('s').unwrap_or(kind) == held.package.about.kind()
}

/// `packages.json`: everything, or one kind.
fn listed_in(query: &Query) -> impl Fn(&Held) -> bool + '_ {
    let kind = query.get("filter");
    move |held| kind.is_none_or(|kind| is_kind(held, kind))
}

/// `search.json`: a part of the filename; a distro (`ubuntu` or `ubuntu/jammy`), which beats the kind; an architecture.
fn found_by(query: &Query) -> impl Fn(&Held) -> bool + '_ {
    let part = query.get("q").unwrap_or_default();
    let distro = query.get("dist").filter(|distro| !distro.is_empty());
    let architecture = query.get("arch").filter(|architecture| !architecture.is_empty());
    let kind = query.get("filter");
    move |held| {
        let package = &held.package;
        let distro_fits = match distro {
            Some(wanted) => package.distro.name() == wanted || package.distro.to_string() == wanted,
            None => kind.is_none_or(|kind| is_kind(held, kind)),
        };
        distro_fits
            && package.filename.contains(part)
            && architecture.is_none_or(|wanted| package.about.architecture() == wanted)
    }
}

/// One page of the packages that are wanted, oldest push first.
fn list(
    depot: &Depot,
    repository: &Repository,
    query: &Query,
    request: &Request,
    wanted: impl Fn(&Held) -> bool,
) -> Response {
    let (pretence, path) = (Pretence::of(request), request.uri().path());
    let mut found = depot.store.packages(repository, pretence.writes_ago);
    found.retain(wanted);
    found.sort_by_key(|held| held.package.id);
    let private = is_private(depot, repository);
    // Every page of a list without end has something on it.
    let page = Page::asked(&if pretence.endless_page.is_some() { query.with("page", "1") } else { query.clone() });
    let headers = page.headers(found.len(), &format!("{}{path}", depot.url), query);
    let shapes: Vec<Value> =
        page.of(found).iter().map(|held| Shape { depot, held, private, promoted_from: None }.fragment()).collect();
    let mut response = answer::json_value(StatusCode::OK, &shapes.into());
    response.headers_mut().extend(headers);
    response
}

fn show_repository(depot: &Depot, repository: &Repository) -> Response {
    let state = depot.store.state();
    let Some(record) = state.accounts.repositories.get(repository) else { return answer::not_found() };
    let base = format!("/api/v1/repos/{repository}");
    let master = depot.store.secret.master_token(repository);
    let host =
        depot.url.split_once("://").map_or_else(String::new, |(scheme, host)| format!("{scheme}://{master}:@{host}"));
    let updated = state.journal.entries().iter().rev().find(|entry| entry.repo == *repository);
    let shape = json!({
        "name": repository.name(),
        "path": format!("/{repository}"),
        "repo_type": null,
        "total_installs_count": 0,
        "created_at": record.created_at,
        "updated_at": updated.map_or(&record.created_at, |entry| &entry.at),
        "fqname": repository,
        "paths": {
            "create_package": format!("{base}/packages.json"),
            "package_contents": format!("{base}/packages/contents.json"),
            "master_tokens": format!("{base}/master_tokens"),
            "create_master_token": format!("{base}/master_tokens"),
            "self": format!("{base}.json"),
        },
        "urls": {"install_script": format!("{host}/install/repositories/{repository}/script.deb.sh")},
    });
    answer::json_value(StatusCode::OK, &shape)
}

/// `repos.json`: the user's own repositories, and with `include_collaborations` those of others, too.
fn repositories(depot: &Depot, user: &str, query: &Query) -> Response {
    let collaborations = query.get("include_collaborations").is_some_and(|value| !matches!(value, "0" | "false"));
    let state = depot.store.state();
    let visible = state.accounts.repositories.iter().filter(|(repository, _)| {
        repository.owner() == user || (collaborations && state.accounts.may_write(user, repository))
    });
    let shapes: Vec<Value> = visible
        .map(|(repository, record)| {
            let packages: Vec<_> =
                state.packages.values().filter(|held| held.package.repository == *repository).collect();
            let count = packages.len();
            let last = packages.iter().map(|held| &held.package.created_at).max();
            json!({
                "name": repository.name(),
                "created_at": record.created_at,
                "url": format!("{}/{repository}", depot.url),
                "last_push_human": last.map_or("No packages yet.", |last| last.as_str()),
                "package_count_human": format!("{count} package{}", if count == 1 { "" } else { "s" }),
                "private": record.private,
                "fqname": repository,
                "total_installs_count": 0,
            })
        })
        .collect();
    answer::json_value(StatusCode::OK, &shapes.into())
}

/// A body that must be small, or nothing.
pub(crate) async fn small_body(request: Request) -> Option<String> {
    let bytes = axum::body::to_bytes(request.into_body(), SMALL_BODY_BYTES_MAX).await.ok()?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// `POST repos.json` with `{"repository":{"name":"x","private":"1"}}`: always under the token's own account.
async fn create_repository(depot: &Arc<Depot>, user: &str, request: Request) -> Response {
    let body: Value = small_body(request).await.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let wanted = &body["repository"];
    let name = wanted["name"].as_str().unwrap_or_default();
    let private = match &wanted["private"] {
        Value::Bool(private) => *private,
        Value::String(text) => matches!(text.as_str(), "1" | "true"),
        other => other.as_u64() == Some(1),
    };
    let Ok(repository) = Repository::new(user, name) else {
        return answer::invalid("name", "is invalid");
    };
    let store = depot.clone();
    let created = repository.clone();
    let result = tokio::task::spawn_blocking(move || store.store.create_repository(&created, private)).await;
    match result {
        Ok(Ok(())) => {
            // The doubled slash is as recorded.
            answer::json_value(StatusCode::CREATED, &json!({"url": format!("{}//{repository}", depot.url)}))
        }
        Ok(Err(error)) => push::refusal("create the repository", &error),
        Err(error) => answer::broken("create the repository", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_packagecloud_documents_it() {
        let repository: Repository = "harbour/tug".parse().expect("a legal repository");
        let jammy: Distro = "ubuntu/jammy".parse().expect("a legal distro version");
        let inside = |call| Some(Call::InRepository(repository.clone(), call));
        for (method, path, expected) in [
            (Method::GET, "distributions", Some(Call::Distributions)),
            (Method::POST, "distributions", None),
            (Method::GET, "repos/harbour/tug", inside(InRepository::Show)),
            (Method::GET, "repos/harbour/tug/packages", inside(InRepository::List)),
            (Method::POST, "repos/harbour/tug/packages", inside(InRepository::Push)),
            (
                Method::GET,
                "repos/harbour/tug/package/deb/ubuntu/jammy/tug/amd64/3.1.0-1",
                inside(InRepository::Package {
                    distro: jammy.clone(),
                    name: "tug",
                    architecture: "amd64",
                    version: "3.1.0-1".to_owned(),
                }),
            ),
            (
                Method::GET,
                "repos/harbour/tug/package/rpm/el/9/tug/x86_64/3.1.0/1.el9",
                inside(InRepository::Package {
                    distro: "el/9".parse().expect("a legal distro version"),
                    name: "tug",
                    architecture: "x86_64",
                    version: "3.1.0/1.el9".to_owned(),
                }),
            ),
            (Method::GET, "repos/harbour/tug/package/rpm/el/9/tug/x86_64/3.1.0", None),
            (
                Method::GET,
                "repos/harbour/tug/package/deb/ubuntu/jammy/tug/amd64/versions",
                inside(InRepository::Versions { distro: jammy.clone(), name: "tug", architecture: "amd64" }),
            ),
            (
                Method::DELETE,
                "repos/harbour/tug/ubuntu/jammy/a.deb",
                inside(InRepository::Delete { distro: jammy.clone(), filename: "a.deb" }),
            ),
            (
                Method::POST,
                "repos/harbour/tug/ubuntu/jammy/a.deb/promote",
                inside(InRepository::Promote { distro: jammy, filename: "a.deb" }),
            ),
            (Method::PUT, "repos/harbour/tug/ubuntu/jammy/a.deb", None),
            (Method::GET, "repos/harbour", None),
        ] {
            let parts: Vec<&str> = path.split('/').collect();
            assert_eq!(call(&method, &parts), expected, "{method} {path}");
        }
    }
}
