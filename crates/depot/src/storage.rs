//! The second listener: the bytes of packages, behind links that name one file and end soon.
//!
//! Like S3, it refuses a request that carries a signed link and an `Authorization` header as well: a client that
//! sends its token along to another host is to notice.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use crate::answer;
use crate::clock::Moment;
use crate::consumer::found_or_missing;
use crate::depot::Depot;
use crate::drills::Seen;
use crate::faults::{Point, Subject, drilled};
use crate::files;
use crate::front::seen;
use crate::query::{Query, path_parts};

pub(crate) async fn answer(State(depot): State<Arc<Depot>>, request: Request) -> Response {
    let seen = seen("storage", &request);
    let response = drilled(&depot, Point::Storage, request, async |request| file(&depot, request).await).await;
    let point = response.extensions().get::<Point>().copied();
    depot.drills.saw(Seen { status: response.status().as_u16(), point, ..seen });
    response
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n"
    );
    answer::text(status, "application/xml", body)
}

async fn file(depot: &Arc<Depot>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "This storage is read only");
    }
    if request.headers().contains_key(AUTHORIZATION) {
        let message = "Only one auth mechanism allowed: a signed link takes no Authorization header";
        return refused(StatusCode::BAD_REQUEST, "InvalidArgument", message);
    }
    let path = request.uri().path();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let ends = query.get("t").and_then(|signature| depot.store.secret.link_end(path, signature));
    let Some(ends) = ends else {
        return refused(StatusCode::FORBIDDEN, "AccessDenied", "The link is not signed for this file");
    };
    if Moment::now().unix_seconds() >= ends {
        return refused(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired");
    }
    let id: Option<u64> = path_parts(path)
        .and_then(|parts| parts.last().and_then(|last| last.split('.').next().and_then(|id| id.parse().ok())));
    let package = {
        let state = depot.store.state();
        state.packages.values().find(|held| Some(held.package.id) == id).map(|held| held.package.clone())
    };
    let Some(package) = package else {
        return refused(StatusCode::NOT_FOUND, "NoSuchKey", "The file was deleted");
    };
    let file = depot.store.file(&package.sums.sha256);
    let held_at = Some((depot.clone(), package.filename.clone()));
    let mut response = found_or_missing(files::answer(request.headers(), &file, held_at).await);
    response.extensions_mut().insert(Subject(format!("{path}/{}", package.filename)));
    response
}
