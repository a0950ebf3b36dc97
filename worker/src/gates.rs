//! What may be asked of a release by those who release nothing: holds, its end, overrides, what is deployed.

use slipway_core::api::{CloseRequest, DeploymentRequest, HoldRequest, OverrideRequest};
use worker::Method;

use crate::answer::Problem;
use crate::fetch::parse;
use crate::message::Change;

/// The change that a request asks for, by the last part of its path.
pub(crate) fn change(method: &Method, what: &str, body: &[u8]) -> std::result::Result<Change, Problem> {
    match (method, what) {
        (Method::Post, "holds") => parse(body).map(|HoldRequest { keys, reason }| Change::Hold { keys, reason }),
        (Method::Delete, "holds") => parse(body).map(|HoldRequest { keys, reason }| Change::Lift { keys, reason }),
        (Method::Post, "close") => parse(body).map(|CloseRequest { reason }| Change::Close { reason }),
        (Method::Post, "overrides") => {
            parse(body).map(|OverrideRequest { keys, gates, reason }| Change::Override { keys, gates, reason })
        }
        (Method::Post, "deployments") => {
            parse(body).map(|DeploymentRequest { environment }| Change::Deployed { environment })
        }
        _ => Err(Problem::not_found("route of the API")),
    }
}
