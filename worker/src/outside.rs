//! Answers for those who see what is public and nothing else; and badges and feeds, which tell everybody the same.
//!
//! What is not public is answered as what is not there: with the same words, after one and the same lookup, of which versions
//! are public. A release is read only when something of it is, so nobody can tell by the time how much is staged, and invented
//! versions cost a record nothing. The words are made in [`slipway_view::outward`], from what is public alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use slipway_core::access::Right;
use slipway_core::api::{PublicProject, PublicRelease, PublicSummary, Release};
use slipway_core::config::{Config, Project, Reading};
use slipway_core::release::{Key, Version};
use slipway_core::time::Timestamp;
use slipway_core::{query, sight};
use slipway_view::outward::{self, Form, Known, Outward, Question};
use worker::{Env, Headers, Request, Response};

use crate::answer::{Answer, PRIVATE, Problem, VARY, json};
use crate::caller::{Asking, Outside, Seen};
use crate::fetch::{pairs, shown};
use crate::message::{self, ToProject, tell};
use crate::{clock, pages};

/// How long what was looked up is told again. On the day of a release many ask at once, and the record that they ask has a
/// release to make.
const KEPT_FOR: Duration = Duration::from_secs(5);
/// How much is kept of it. Beyond that all is forgotten: asking again is cheap.
const KEPT_MAX: usize = 200;

/// What was looked up, by project and version, and when. There being nothing is kept like everything else.
type Kept = BTreeMap<(u64, Option<Version>), (Timestamp, Known)>;

/// Which versions of a project are public, and since when that is known.
type Versions = BTreeMap<u64, (Timestamp, Rc<BTreeSet<Version>>)>;

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(BTreeMap::new()) };
    /// There is one of each project at most.
    static VERSIONS: RefCell<Versions> = const { RefCell::new(BTreeMap::new()) };
}

/// The answer. `None` when whoever asks sees all of it, or it is another kind of route.
pub(crate) async fn answer(
    request: &Request,
    env: &Env,
    config: &Config,
    asking: &Asking<'_>,
    segments: &[&str],
) -> Option<Answer> {
    if asking.right() != Right::Glance {
        return None;
    }
    let answer = match segments {
        [] | ["api", "v1", "projects"] if config.edge.reading == Reading::Public => {
            projects(request, env, config, asking, segments).await
        }
        _ => glance(request, env, config, asking, segments).await,
    };
    answer.transpose()
}

async fn glance(
    request: &Request,
    env: &Env,
    config: &Config,
    asking: &Asking<'_>,
    segments: &[&str],
) -> Result<Option<Response>, Problem> {
    let (url, accept) = (request.url()?, request.headers().get("accept")?.unwrap_or_default());
    let read = Question::read(segments, url.query().unwrap_or_default(), &accept);
    let Some((name, question)) = read else { return Ok(None) };
    let outside = match asking.sight(name).await? {
        Seen::Public(outside) => outside,
        // A badge and a feed are passed on, so they tell nobody more than anybody.
        Seen::Whole(project) if question.is_outward() => Outside { named: Some(project), asked: Some(project) },
        Seen::Whole(_) => return Ok(None),
    };
    if segments.first() == Some(&"api") && !matches!(question, Question::Badge { .. }) {
        query::none(&pairs(request)?)?;
    }
    let known = look_up(env, outside, &question).await?;
    let nothing = || Problem::not_found(question.what());
    if let Question::Attestation { version, key, target } = &question {
        let (Known::Release(Some(release)), Some(project)) = (&known, outside.named) else { return Err(nothing()) };
        let attested = attestation(env, project, release, version, key, target).await?;
        return attested.ok_or_else(nothing).map(Some);
    }
    let reader = asking.reader();
    // A name that is one is written as it is in the file, whatever its number.
    let name = outside.named.map_or(name, |project| project.name.as_str());
    let answer = outward::answer(name, &question, &known, config.edge.url.as_str(), &reader).ok_or_else(nothing)?;
    let is_for_all = config.edge.reading != Reading::Nobody && reader.name.is_none();
    send(request, &answer, is_for_all).map(Some)
}

/// What is public of what was asked about. Of a name that is none, as much is looked up, and nothing of it is told.
async fn look_up(env: &Env, outside: Outside<'_>, question: &Question) -> Result<Known, Problem> {
    let known = match (outside.asked, question.version()) {
        (Some(project), Some(version)) if !versions(env, project).await?.contains(version) => Known::Release(None),
        (Some(project), version) => kept(env, project, version).await?,
        (None, _) => Known::Releases(Vec::new()),
    };
    Ok(match (outside.named, question.version()) {
        (Some(_), _) => known,
        (None, Some(_)) => Known::Release(None),
        (None, None) => Known::Releases(Vec::new()),
    })
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.since(at) < KEPT_FOR
}

/// The versions of which something is public, as it was in the last seconds.
async fn versions(env: &Env, project: &Project) -> Result<Rc<BTreeSet<Version>>, Problem> {
    let now = clock::now();
    let known = VERSIONS.with_borrow(|of| of.get(&project.id).filter(|(at, _)| is_fresh(*at, now)).cloned());
    if let Some((_, versions)) = known {
        return Ok(versions);
    }
    let versions: Option<BTreeSet<Version>> =
        ask(env, project, &ToProject::PublicVersions { project_id: project.id }).await?;
    let versions = Rc::new(versions.unwrap_or_default());
    VERSIONS.with_borrow_mut(|of| of.insert(project.id, (now, versions.clone())));
    Ok(versions)
}

/// What is public of a release, or of which releases something is, as it was in the last seconds.
async fn kept(env: &Env, project: &Project, version: Option<&Version>) -> Result<Known, Problem> {
    let (of, now) = ((project.id, version.cloned()), clock::now());
    let known =
        KEPT.with_borrow(|kept| kept.get(&of).filter(|(at, _)| is_fresh(*at, now)).map(|(_, known)| known.clone()));
    if let Some(known) = known {
        return Ok(known);
    }
    let known = match version {
        Some(version) => {
            let asked = ToProject::release(project.id, version.clone());
            let release: Option<Release> = ask(env, project, &asked).await?;
            Known::Release(release.as_ref().and_then(sight::public))
        }
        None => Known::Releases(public(env, project).await?),
    };
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(of, (now, known.clone()));
    });
    Ok(known)
}

async fn public(env: &Env, project: &Project) -> Result<Vec<PublicSummary>, Problem> {
    let releases: Option<Vec<PublicSummary>> = ask(env, project, &ToProject::Public { project_id: project.id }).await?;
    Ok(releases.unwrap_or_default())
}

/// Asks a record. Whatever it does not tell now, as while it is imported, is not there.
async fn ask<T: DeserializeOwned>(env: &Env, project: &Project, asked: &ToProject) -> Result<Option<T>, Problem> {
    let mut answer = tell(&message::project(env, project.id)?, asked).await?;
    let text = answer.text().await?;
    match answer.status_code() {
        200 => Ok(Some(serde_json::from_str(&text)?)),
        404 | 503 => Ok(None),
        status => Err(worker::Error::RustError(format!("the record answered {status}: {text}")).into()),
    }
}

/// What is signed of a target that is public, exactly as it was signed.
async fn attestation(
    env: &Env,
    project: &Project,
    release: &PublicRelease,
    version: &Version,
    key: &Key,
    target: &str,
) -> Result<Option<Response>, Problem> {
    if sight::target(release, key, target).is_none() {
        return Ok(None);
    }
    let asked = ToProject::Attestation {
        project_id: project.id,
        version: version.clone(),
        key: key.clone(),
        distro: target.to_owned(),
    };
    let answer = tell(&message::project(env, project.id)?, &asked).await?;
    Ok((answer.status_code() == 200).then_some(answer))
}

/// The projects of which something is public, beside those that whoever asks may read.
async fn projects(
    request: &Request,
    env: &Env,
    config: &Config,
    asking: &Asking<'_>,
    segments: &[&str],
) -> Result<Option<Response>, Problem> {
    let form = if segments.is_empty() {
        Form::of(&request.headers().get("accept")?.unwrap_or_default(), &[Form::Html, Form::Text])
    } else {
        query::none(&pairs(request)?)?;
        Form::Json
    };
    let whole = match form {
        _ if !asking.is_somebody() => Vec::new(),
        Form::Html => asking.visible_so_far().await?,
        _ => asking.visible().await?,
    };
    // The members' page has more to say, of their projects.
    if form != Form::Json && !whole.is_empty() {
        return Ok(None);
    }
    let is_other = |project: &&Project| whole.iter().all(|known| known.id != project.id);
    let others: Vec<&Project> = config.projects.iter().filter(is_other).collect();
    let looked_up = join_all(others.iter().map(|project| kept(env, project, None))).await;
    let mut outside = Vec::new();
    for (project, known) in others.into_iter().zip(looked_up) {
        if let Known::Releases(releases) = known?
            && !releases.is_empty()
        {
            outside.push((PublicProject { name: project.name.to_string() }, releases));
        }
    }
    if !whole.is_empty() {
        let mut list = Vec::new();
        for project in whole {
            list.push(serde_json::to_value(shown(project))?);
        }
        for (project, _) in &outside {
            list.push(serde_json::to_value(project)?);
        }
        return json(200, &list).map(Some);
    }
    let reader = asking.reader();
    let Some(answer) = outward::projects(&outside, form, &reader) else { return Ok(None) };
    send(request, &answer, reader.name.is_none()).map(Some)
}

/// Sends an answer. What is the same for everybody may be kept by everybody, for a little while.
pub(crate) fn send(request: &Request, answer: &Outward, is_for_all: bool) -> Answer {
    let lives = format!("public, max-age={}", answer.lives_s);
    let cache_control = if is_for_all { lives.as_str() } else { PRIVATE };
    let headers = if answer.kind.starts_with("text/html") {
        pages::headers(cache_control)?
    } else {
        let headers = Headers::new();
        headers.set("content-type", answer.kind)?;
        headers.set("cache-control", cache_control)?;
        headers.set("vary", VARY)?;
        headers
    };
    let tag = answer.tag();
    headers.set("etag", &tag)?;
    if request.headers().get("if-none-match")?.as_deref() == Some(tag.as_str()) {
        return Ok(Response::empty()?.with_status(304).with_headers(headers));
    }
    Ok(Response::from_bytes(answer.body.as_bytes().to_vec())?.with_headers(headers))
}
