//! What may be asked of a release by those who release nothing: holds, its end, overrides, what is deployed.

use slipway_core::access::{self, Caller};
use slipway_core::api::{CloseRequest, DeploymentRequest, ExtensionRequest, HoldRequest, OverrideRequest};
use slipway_core::config::Config;
use slipway_core::time::{InvalidTimestamp, Timestamp};
use slipway_edge::changes::Change;
use worker::Method;

use crate::answer::Problem;
use crate::fetch::parse;

/// The change that a request asks for, by the last part of its path.
pub(crate) fn change(method: &Method, what: &str, body: &[u8]) -> std::result::Result<Change, Problem> {
    match (method, what) {
        (Method::Post, "holds") => {
            let HoldRequest { keys, reason, until } = parse(body)?;
            Ok(Change::Hold { keys, reason, until: until.as_deref().map(moment).transpose()? })
        }
        (Method::Delete, "holds") => parse(body).map(|HoldRequest { keys, reason, .. }| Change::Lift { keys, reason }),
        (Method::Post, "extensions") => {
            let ExtensionRequest { keys, until, reason } = parse(body)?;
            Ok(Change::Extend { keys, until: moment(&until)?, reason })
        }
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

fn moment(text: &str) -> std::result::Result<Timestamp, Problem> {
    text.parse().map_err(|error: InvalidTimestamp| Problem::new(422, "bad-request", format!("{error}.")))
}

/// A deployer speaks for its own environments alone.
pub(crate) fn speaks_for(caller: &Caller, change: &Change, config: &Config) -> std::result::Result<(), Problem> {
    let (Caller::Deployer(session), Change::Deployed { environment }) = (caller, change) else { return Ok(()) };
    if access::speaks_for(session, environment, config) {
        return Ok(());
    }
    let why = format!("`{}` does not speak for the environment `{environment}`; see [[deployers]].", session.deployer);
    Err(Problem::new(403, "not-allowed", why))
}
