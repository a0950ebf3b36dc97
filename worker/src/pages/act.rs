//! The forms by which people who have signed in with a browser hold a release, let it go, keep it for longer and give it up.
//!
//! They end where the API ends, in the same change of the record. What a form said is sent back with it, and what has changed by
//! then is shown first; only a hold is taken at once, since stopping is safe whatever has changed.

use slipway_core::api::{ProblemDetails, Release};
use slipway_core::form::{self, Posted};
use slipway_core::release::Key;
use slipway_edge::changes::{By, Change};
use slipway_view::page::{self, Act, Form};
use worker::{Env, Method, Request};

use super::html;
use super::sign_in::see_other;
use crate::answer::{Answer, Problem};
use crate::caller::Asking;
use crate::fetch::{ask, body, parse_version, read};
use crate::message::{self, ToProject, tell};

/// 500 keys, each with its name, and a reason.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// `GET` and `POST /p/{project}/r/{version}/{hold,lift,extend,close}`.
pub(crate) async fn answer(
    request: Request,
    method: &Method,
    env: &Env,
    asking: &Asking<'_>,
    (project, version, act): (&str, &str, Act),
) -> Answer {
    asking.in_browser()?;
    let shown = Shown { act, project, version };
    if *method == Method::Post {
        shown.sent(request, env, asking).await
    } else {
        shown.empty(&request, env, asking).await
    }
}

/// The form of an address.
#[derive(Clone, Copy)]
struct Shown<'a> {
    act: Act,
    project: &'a str,
    version: &'a str,
}

impl Shown<'_> {
    /// The form, for the packages that the address names.
    async fn empty(&self, request: &Request, env: &Env, asking: &Asking<'_>) -> Answer {
        let configured = asking.project(self.project).await?;
        let release: Release = ask(env, configured, &read(configured, self.version)?).await?;
        let named = form::keys(request.url()?.query().unwrap_or_default());
        let keys = match self.act {
            // A release is given up as a whole.
            Act::Close => Vec::new(),
            Act::Lift if named.is_empty() => held(&release),
            _ => named,
        };
        let posted = Posted { keys, ..Posted::default() };
        self.page(200, Some(&release), &posted, None, asking)
    }

    /// Does what a form says, if that is what it would do now; or shows it again, with why not.
    async fn sent(&self, mut request: Request, env: &Env, asking: &Asking<'_>) -> Answer {
        if !is_form(&request)? {
            return Err(Problem::new(415, "bad-request", "Send it as a form of this dashboard sends it."));
        }
        let posted = form::read(&body(&mut request, BODY_BYTES_MAX).await?)?;
        let configured = match asking.project(self.project).await {
            Ok(configured) => configured,
            // Nobody knows whether they may now. What they wrote is theirs, and is not lost.
            Err(problem) if problem.status == 503 => {
                return self.page(problem.status, None, &posted, Some(&problem.detail), asking);
            }
            Err(problem) => return Err(problem),
        };
        let release: Release = ask(env, configured, &read(configured, self.version)?).await?;
        let again = |status: u16, why: &str| self.page(status, Some(&release), &posted, Some(why), asking);
        let change = match change(self.act, &posted) {
            Ok(change) => change,
            Err(why) => return again(422, &why),
        };
        if self.act != Act::Hold && posted.seen != page::seen(&self.form(Some(&release), &posted, None)) {
            let why = "What this does has changed since you read it. Read it again here; then send it again.";
            return again(409, why);
        }
        let (version, by) = (parse_version(self.version)?, By::of(asking.caller()?));
        let told = ToProject::Change { project_id: configured.id, version, by, change };
        let mut told = tell(&message::project(env, configured.id)?, &told).await?;
        match told.status_code() {
            200 => see_other(&format!("{}#verdict", slipway_view::section::path(&release)), &[]),
            404 => Err(Problem::not_found("such release")),
            status => {
                let problem: ProblemDetails = serde_json::from_str(&told.text().await?)?;
                // It may have changed something all the same, and says so.
                let release: Release = ask(env, configured, &read(configured, self.version)?).await?;
                self.page(status, Some(&release), &posted, Some(&problem.detail), asking)
            }
        }
    }

    fn form<'a>(&'a self, release: Option<&'a Release>, posted: &'a Posted, refused: Option<&'a str>) -> Form<'a> {
        Form {
            act: self.act,
            project: self.project,
            version: self.version,
            release,
            keys: &posted.keys,
            reason: &posted.reason,
            until: &posted.until,
            seen_at: (!posted.at.is_empty()).then_some(posted.at.as_str()),
            refused,
        }
    }

    fn page(
        &self,
        status: u16,
        release: Option<&Release>,
        posted: &Posted,
        refused: Option<&str>,
        asking: &Asking<'_>,
    ) -> Answer {
        html(status, &page::act(&self.form(release, posted, refused), &asking.reader()).into_string())
    }
}

/// Whether a request says that it is a form.
fn is_form(request: &Request) -> Result<bool, Problem> {
    let kind = request.headers().get("content-type")?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    Ok(kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// The packages that are held by their names, where nobody holds the release as a whole.
fn held(release: &Release) -> Vec<Key> {
    let held: Option<Vec<Key>> = release.holds.iter().map(|hold| hold.key.clone()).collect();
    held.unwrap_or_default()
}

/// What was asked for. `Err` says what is missing, or too much.
fn change(act: Act, posted: &Posted) -> Result<Change, String> {
    let keys = (!posted.keys.is_empty()).then(|| posted.keys.clone());
    let reason = posted.reason.clone();
    let until = || form::moment(&posted.until).map_err(|error| format!("{error}."));
    Ok(match act {
        Act::Hold => {
            let until = if posted.until.trim().is_empty() { None } else { Some(until()?) };
            Change::Hold { keys, reason, until }
        }
        Act::Lift => Change::Lift { keys, reason },
        Act::Extend => Change::Extend { keys, until: until()?, reason },
        Act::Close if keys.is_some() => return Err("A release is given up as a whole: name no packages.".to_owned()),
        Act::Close => Change::Close { reason },
    })
}
