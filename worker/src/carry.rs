//! `POST …/carries`: a release job holds this request open while the edge copies a package.
//!
//! An alarm's run ends after a quarter of an hour; a request does not, as long as its client waits for the answer. So a
//! copy that needs longer runs inside a request of the job that wants it. The answer begins at once and has a line every
//! few seconds, since proxies on the way end connections that keep silent. When the job goes away, the copy ends with
//! it, nothing is public, and the target waits for another.

use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream;
use slipway_core::api::{CarryLine, CarryRequest};
use slipway_core::log::{Entry, work};
use slipway_core::release::Version;
use slipway_core::secret::JobSession;
use slipway_edge::package::name_of;
use slipway_edge::port::Silent;
use worker::{Delay, Env, Response};

use crate::answer::{Answer, Problem};
use crate::log;
use crate::message::{self, ToPackage, ToProject, ask, tell};

/// How often a line is written. Proxies on the way end connections that keep silent for 30 to 100 seconds.
const EVERY: Duration = Duration::from_secs(8);

pub(crate) async fn answer(
    env: Env,
    project_id: u64,
    session: JobSession,
    version: Version,
    asked: CarryRequest,
) -> Answer {
    let distro = asked.target().ok_or_else(|| {
        let what = "The body names a `distro` and a `tag`; a target has one of them.";
        Problem::new(422, "bad-request", what.to_owned())
    })?;
    let key = asked.key;
    let of_job = work(project_id, session.job_id);
    let own = ToProject::Approvals { session, version: version.clone(), key: key.clone() };
    let approvals: Vec<u64> = ask(message::project(&env, project_id), &own)
        .await
        .map_err(|Silent(why)| Problem::from(worker::Error::RustError(why)))?;
    if approvals.is_empty() {
        let what = format!("This job has not released `{key}` of {version}: only the one that did carries it.");
        return Err(Problem::new(403, "not-allowed", what));
    }
    let carry = Box::pin(async move {
        let carried = async {
            let stub = message::package(&env, &name_of(project_id, &version, &key))?;
            let mut answer = tell(&stub, &ToPackage::Carry { distro, approvals }).await?;
            match answer.status_code() {
                200 => Ok(CarryLine::Ended),
                _ => Ok::<_, worker::Error>(CarryLine::Refused(detail(&answer.text().await?))),
            }
        };
        carried.await.unwrap_or_else(|error| {
            log::write(&Entry::trouble(project_id, of_job, &format!("a carried copy: {error}")).about(&version, &key));
            CarryLine::Refused("the edge failed at this; ask again".to_owned())
        })
    });
    let lines = stream::unfold(Some((carry, true)), async |state| {
        let (carry, is_first) = state?;
        // The first line is written at once: it brings the answer's head on its way.
        let wait = if is_first { Duration::ZERO } else { EVERY };
        let (line, rest) = match select(carry, Delay::from(wait)).await {
            Either::Left((ended, _)) => (ended, None),
            Either::Right(((), carry)) => (CarryLine::Carrying, Some((carry, false))),
        };
        let mut text = serde_json::to_vec(&line).map_err(worker::Error::from);
        if let Ok(text) = &mut text {
            text.push(b'\n');
        }
        Some((text, rest))
    });
    let response = Response::from_stream(lines)?;
    response.headers().set("content-type", "application/x-ndjson")?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

/// The sentence of a problem.
fn detail(text: &str) -> String {
    serde_json::from_str::<slipway_core::api::ProblemDetails>(text)
        .map_or_else(|_| text.to_owned(), |problem| problem.detail)
}
