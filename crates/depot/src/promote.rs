//! Promote: a move to another repository, with the quirks that were recorded.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::Value;

use crate::answer;
use crate::api::{is_private, small_body};
use crate::depot::Depot;
use crate::faults::Pretence;
use crate::names::Repository;
use crate::package::Key;
use crate::push::refusal;
use crate::query::Query;
use crate::shapes::Shape;

/// `POST …/:distro/:version/:filename/promote.json` with `destination=USER/REPO`.
pub(crate) async fn answer(depot: &Arc<Depot>, user: &str, key: Key, query: &Query, request: Request) -> Response {
    let arrival = Pretence::of(&request).arrival;
    let Some(destination) = destination(query, request).await else {
        return answer::invalid("destination", "can't be blank");
    };
    let destination = match destination.parse::<Repository>() {
        // A destination that may not be written looks like a missing one.
        Ok(destination) if depot.store.state().accounts.may_write(user, &destination) => destination,
        _ => return answer::not_found(),
    };
    let private_before = is_private(depot, &key.0);
    let source = key.0.clone();
    let task = {
        let (depot, user) = (depot.clone(), user.to_owned());
        move || depot.store.promote(&key, &destination, arrival, &user)
    };
    match tokio::task::spawn_blocking(task).await {
        Ok(Ok(held)) => {
            // As recorded: `private` and `promote_url` are still the source's.
            let shape = Shape { depot, held: &held, private: private_before, promoted_from: Some(&source) };
            answer::json_value(StatusCode::CREATED, &shape.details())
        }
        Ok(Err(error)) => refusal("promote the package", &error),
        Err(error) => answer::broken("promote the package", &error),
    }
}

/// Clients send it in every way there is: in the query, as a form, as a multipart form, as JSON.
async fn destination(query: &Query, request: Request) -> Option<String> {
    if let Some(destination) = query.get("destination") {
        return Some(destination.to_owned());
    }
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        let text = small_body(request).await?;
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(text)]);
        let mut form = multer::Multipart::new(body, boundary);
        while let Ok(Some(field)) = form.next_field().await {
            if field.name() == Some("destination") {
                return field.text().await.ok();
            }
        }
        return None;
    }
    let is_json = content_type.starts_with("application/json");
    let text = small_body(request).await?;
    if is_json {
        let body: Value = serde_json::from_str(&text).ok()?;
        return body["destination"].as_str().map(str::to_owned);
    }
    Query::parse(&text).get("destination").map(str::to_owned)
}
