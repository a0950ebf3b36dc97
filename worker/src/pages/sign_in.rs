//! Signing in and out with a browser: to GitLab and back, and what is kept meanwhile and afterwards.

use slipway_core::access::PersonSession;
use slipway_core::access::browser::{Cookie, SigningIn};
use slipway_core::config::Config;
use slipway_view::page;
use worker::{Env, Headers, Request, Response};

use super::html;
use crate::answer::{Answer, NO_STORE, Problem};
use crate::fetch::{address, pairs};
use crate::{caller, clock, session, settings};

/// `GET /sign-in`: sends somebody to GitLab, and has their browser keep what its answer is known by.
pub(crate) fn begin(request: &Request, env: &Env, config: &Config) -> Answer {
    let fields = pairs(request)?;
    let to = field(&fields, "to").unwrap_or("/");
    let began = SigningIn::begin(clock::random()?, clock::random()?, clock::random()?, to, clock::now());
    let at_gitlab = session::at_gitlab(&began, config)?;
    let text = began.seal(&settings::edge_key(env)?)?;
    see_other(&at_gitlab, &[Cookie::SigningIn.set(&config.edge.url, &text, SigningIn::lives())])
}

/// `GET /sign-in/return`: GitLab sends them back.
pub(crate) async fn come_back(request: &Request, env: &Env, config: &Config) -> Answer {
    let edge = &config.edge.url;
    let header = request.headers().get("cookie")?.unwrap_or_default();
    let kept = Cookie::SigningIn.shown(edge, &header);
    let key = settings::edge_key(env)?;
    let Some(began) = kept.and_then(|text| SigningIn::open(text, &key, clock::now()).ok()) else {
        let why = "no sign-in is under way in this browser, or it took longer than ten minutes";
        return failed(&session::not_signed_in(why), "/");
    };
    let fields = pairs(request)?;
    // Another page may have sent them here with an answer of its own; the one that is awaited may still come.
    if !began.is_answered_by(field(&fields, "state").unwrap_or_default()) {
        return failed(&session::not_signed_in("this is the answer to another sign-in"), began.to());
    }
    let named = if let Some(error) = field(&fields, "error") {
        let said = field(&fields, "error_description").unwrap_or(error);
        let said: String = said.chars().take(300).collect();
        Err(session::not_signed_in(&format!("GitLab says: {said}")))
    } else {
        let code = field(&fields, "code").unwrap_or_default();
        session::of_code(code, &began, &address(request)?, env, config).await
    };
    match named {
        Ok(person) => {
            let lives = person.ends_at.since(clock::now());
            see_other(
                began.to(),
                &[Cookie::Session.set(edge, &person.seal(&key)?, lives), Cookie::SigningIn.unset(edge)],
            )
        }
        // It was answered, and is over.
        Err(problem) => {
            let answer = failed(&problem, began.to())?;
            answer.headers().append("set-cookie", &Cookie::SigningIn.unset(edge))?;
            Ok(answer)
        }
    }
}

/// `POST /sign-out`: ends every session of theirs that has begun by now, and has their browser forget this one.
pub(crate) async fn sign_out(request: &Request, env: &Env, config: &Config) -> Answer {
    if !caller::is_of_own_page(request, config)? {
        return Err(caller::foreign());
    }
    let person: Option<PersonSession> = caller::kept(request, env, config)?;
    if let Some(person) = person {
        caller::sign_out(env, &person).await?;
    }
    let answer = see_other("/", &[Cookie::Session.unset(&config.edge.url)])?;
    // Pages that the browser keeps for its back button were theirs.
    answer.headers().set("clear-site-data", "\"cache\"")?;
    Ok(answer)
}

/// Nobody has signed in: why, and a way to try again that leads to where they wanted to go.
fn failed(problem: &Problem, to: &str) -> Answer {
    let reader = page::Reader { may_sign_in: true, path: to, assets: settings::assets(), ..page::Reader::default() };
    html(problem.status, &page::not_signed_in(&problem.detail, &reader).into_string())
}

/// 303: whatever was asked, what comes next is read.
pub(super) fn see_other(to: &str, cookies: &[String]) -> Answer {
    let headers = Headers::new();
    headers.set("location", to)?;
    headers.set("cache-control", NO_STORE)?;
    for cookie in cookies {
        headers.append("set-cookie", cookie)?;
    }
    Ok(Response::empty()?.with_status(303).with_headers(headers))
}

fn field<'a>(fields: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}
