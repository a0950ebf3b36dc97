//! `slipway login`: a person signs in through GitLab, without a password on this machine.
//!
//! The device flow of RFC 8628: GitLab shows a page, the person types the code there, and GitLab hands out a token for
//! Slipway's application. It is kept in one file that only its owner can read, by Slipway's address; a token that has expired is
//! exchanged for a new one without asking the person again.
//!
//! Absent on purpose: a browser that this command opens. It often runs where there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use slipway_core::time::Timestamp;
use slipway_wire::{Base, CallError, Token};

use crate::args;
use crate::edge;
use crate::exit::{Exit, Failure};
use crate::gitlab::{Gitlab, Grant};
use crate::host;
use crate::say::Say;

/// What lets a token say who its owner is, and what lets it play jobs, too.
const SCOPES: (&str, &str) = ("read_user", "read_user api");
/// How often GitLab is asked unless it says otherwise: RFC 8628, section 3.2; and how much slower when it asks for that.
const INTERVAL_S: u32 = 5;
/// A token with less than this to live is exchanged first.
const MARGIN: Duration = Duration::from_mins(2);
/// How long another command of the same person may take from GitLab's answer to the file, and how often the file is looked at.
const WRITTEN_WITHIN_MS: f64 = 2000.0;
const LOOK_MS: f64 = 100.0;

/// Everything that is kept, by Slipway's address.
#[derive(Default, Serialize, Deserialize)]
struct Kept(BTreeMap<String, Login>);

/// One person's sign-in.
#[derive(Clone, Serialize, Deserialize)]
struct Login {
    gitlab: String,
    application: String,
    /// Whether the token may play jobs.
    #[serde(default)]
    api: bool,
    access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A person who is signed in.
pub(crate) struct Person {
    pub(crate) gitlab: Base,
    pub(crate) token: Token,
    /// Whether the token may play jobs.
    pub(crate) api: bool,
}

fn path() -> String {
    format!("{}/slipway/credentials.json", host::settings_folder())
}

async fn kept() -> Kept {
    // A file that is not there, or that no version of this command wrote, is as good as none: signing in writes a new one.
    match host::read_text(&path()).await {
        Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Kept::default(),
    }
}

async fn keep(kept: &Kept, doing: &str) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(kept).map_err(|error| error.to_string());
    let written = match text {
        Ok(text) => host::write_secret(&path(), &text).await,
        Err(why) => Err(why),
    };
    written.map_err(|why| Failure::new(Exit::Failed, doing, [format!("cannot write `{}`: {why}", path())]))
}

/// The address of the only Slipway that somebody has signed in to.
pub(crate) async fn only_address() -> Option<String> {
    let kept = kept().await;
    let mut addresses = kept.0.into_keys();
    let first = addresses.next()?;
    addresses.next().is_none().then_some(first)
}

/// Who is signed in at `edge`, with a token that is still good.
pub(crate) async fn person(edge: &Base) -> Result<Option<Person>, Failure> {
    let doing = format!("cannot use the sign-in at {edge}");
    let Some(mut login) = kept().await.0.remove(edge.as_str()) else { return Ok(None) };
    let failed = |why: String| Failure::new(Exit::Failed, &doing, [why, "Run `slipway login` again.".to_owned()]);
    let gitlab: Base = login.gitlab.parse().map_err(|error| failed(format!("{error}")))?;
    let signed_in =
        |login: &Login| Some(Person { gitlab: gitlab.clone(), token: Token::new(&login.access_token), api: login.api });
    if !expires_soon(&login, &host::date()) {
        return Ok(signed_in(&login));
    }
    let Some(refresh_token) = login.refresh_token.clone() else {
        return Err(failed("it has expired".to_owned()));
    };
    let anonymous = Gitlab::new(gitlab.clone(), None);
    match anonymous.refresh(&login.application, &refresh_token).await {
        Ok(Ok(grant)) => take(&mut login, grant, &host::date()),
        // A refresh token is good once, so another command of the same person may have been first.
        Ok(Err(error)) => match exchanged(edge, &login).await {
            Some(login) => return Ok(signed_in(&login)),
            None => return Err(failed(format!("GitLab does not prolong it: {error}"))),
        },
        Err(error) => return Err(Failure::new(Exit::Failed, &doing, [error.to_string()])),
    }
    let person = signed_in(&login);
    // The new refresh token must not be lost, nor what others have written of their own sign-ins meanwhile.
    let mut kept = kept().await;
    kept.0.insert(edge.as_str().to_owned(), login);
    keep(&kept, &doing).await?;
    Ok(person)
}

/// What somebody else has been given for the token of this sign-in. They have GitLab's answer, and may not have written it yet.
async fn exchanged(edge: &Base, before: &Login) -> Option<Login> {
    let end = host::now_ms() + WRITTEN_WITHIN_MS;
    loop {
        let login = kept().await.0.remove(edge.as_str())?;
        let is_same_place = login.gitlab == before.gitlab;
        if is_same_place && login.access_token != before.access_token && !expires_soon(&login, &host::date()) {
            return Some(login);
        }
        if host::now_ms() > end {
            return None;
        }
        host::pause_ms(LOOK_MS).await;
    }
}

fn expires_soon(login: &Login, now: &str) -> bool {
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    match (login.expires_at.as_deref().and_then(moment), moment(now)) {
        (Some(end), Some(now)) => end.since(now) < MARGIN,
        _ => false,
    }
}

fn take(login: &mut Login, grant: Grant, now: &str) {
    let Grant { access_token, refresh_token, expires_in } = grant;
    login.access_token = access_token;
    login.refresh_token = refresh_token;
    let now = now.parse::<Timestamp>().ok();
    let end = now.zip(expires_in).map(|(now, seconds)| now + Duration::from_secs(seconds));
    login.expires_at = end.map(|end| end.to_string());
}

/// Runs `slipway login`.
pub(crate) async fn login(options: &args::Login, base: &Base, say: Say) -> Result<(), Failure> {
    let doing = format!("cannot sign in at {base}");
    let failed = |lines: Vec<String>| Failure::new(Exit::Failed, &doing, lines);
    let sign_in = edge::sign_in(base, options.timeout_s).await.map_err(|error| error.failure(&doing))?;
    let Some(sign_in) = sign_in else {
        return Err(failed(vec![
            "This Slipway has nobody sign in: its `slipway.toml` names no `application` under `[gitlab]`.".to_owned(),
            "Ask its operator, or use a job.".to_owned(),
        ]));
    };
    let address: Base = sign_in.gitlab.parse().map_err(|error| failed(vec![format!("{error}")]))?;
    let gitlab = Gitlab::new(address, None);
    let scope = if options.api { SCOPES.1 } else { SCOPES.0 };
    let code = gitlab.device(&sign_in.application, scope).await.map_err(|error| {
        let mut lines = vec![format!("{error}")];
        if matches!(error, CallError::Refused { .. }) {
            lines.push(format!(
                "Slipway's application at {} must be allowed the device flow and the scopes `{scope}`, and must not be \
                 confidential.",
                gitlab.base()
            ));
        }
        failed(lines)
    })?;
    say.line(&format!("open    {}", code.verification_uri_complete.as_ref().unwrap_or(&code.verification_uri)));
    say.line(&format!("code    {}", code.user_code));
    let rights = if options.api { "read, hold, close, and play release jobs" } else { "read, hold and close" };
    say.line(&format!("rights  {rights}, as far as your role in the project goes"));
    say.line("waiting until you have let this device in …");

    let mut interval_s = code.interval.unwrap_or(INTERVAL_S).max(1);
    let end = host::now_ms() + f64::from(code.expires_in.min(options.timeout_s)) * 1000.0;
    let grant = loop {
        host::pause_ms(f64::from(interval_s) * 1000.0).await;
        match gitlab.grant_device(&sign_in.application, &code.device_code).await {
            Ok(Ok(grant)) => break grant,
            Ok(Err(error)) => match error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval_s += INTERVAL_S,
                "access_denied" => return Err(failed(vec!["You have not let this device in.".to_owned()])),
                "expired_token" => return Err(timed_out(&doing)),
                other => return Err(failed(vec![format!("GitLab says `{other}`")])),
            },
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(failed(vec![format!("{error}")])),
        }
        if host::now_ms() > end {
            return Err(timed_out(&doing));
        }
    };
    let mut login = Login {
        gitlab: sign_in.gitlab.clone(),
        application: sign_in.application,
        api: options.api,
        access_token: String::new(),
        refresh_token: None,
        expires_at: None,
    };
    take(&mut login, grant, &host::date());
    let mut kept = kept().await;
    kept.0.insert(base.as_str().to_owned(), login);
    keep(&kept, &doing).await?;
    say.line(&format!("signed in at {base}; `slipway logout` forgets it"));
    say.answer(&json!({ "slipway": base.as_str(), "gitlab": sign_in.gitlab, "file": path() }))
}

fn timed_out(doing: &str) -> Failure {
    let line = "The code has expired before it was used. Run `slipway login` again.".to_owned();
    Failure::new(Exit::TimedOut, doing, [line])
}

/// Runs `slipway logout`. What is kept here goes in any case; whatever could not be ended elsewhere is said.
pub(crate) async fn logout(base: &Base, say: Say) -> Result<(), Failure> {
    let mut kept = kept().await;
    let Some(login) = kept.0.remove(base.as_str()) else {
        say.line(&format!("nobody was signed in at {base}"));
        return say.answer(&json!({ "slipway": base.as_str(), "was_signed_in": false }));
    };
    keep(&kept, &format!("cannot sign out of {base}")).await?;
    // The edge first: it is shown the token that GitLab takes back after that.
    let mut open = Vec::new();
    if let Err(why) = edge::sign_out(base, &Token::new(&login.access_token)).await {
        open.push(format!("Slipway was not told, so a session of up to 8 hours may go on: {why}"));
    }
    if let Err(why) = revoke(&login).await {
        let page = format!("{}/-/user_settings/applications", login.gitlab.trim_end_matches('/'));
        open.push(format!("GitLab has not taken the token back: {why}"));
        open.push(format!("It was deleted here. To end it at once, revoke Slipway under {page}"));
    }
    let ended = open.is_empty();
    say.answer(&json!({ "slipway": base.as_str(), "was_signed_in": true, "ended": ended }))?;
    if ended {
        say.line(&format!("signed out of {base}; GitLab has taken the token back"));
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("signed out of {base} on this machine alone"), open))
}

/// Has GitLab take back what it gave. A token that can be exchanged takes with it the one that it was given for.
async fn revoke(login: &Login) -> Result<(), String> {
    let gitlab: Base = login.gitlab.parse().map_err(|error| format!("{error}"))?;
    let gitlab = Gitlab::new(gitlab, None);
    for token in login.refresh_token.iter().chain([&login.access_token]) {
        gitlab.revoke(&login.application, token).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_exchanged_two_minutes_before_it_expires() {
        let mut login = Login {
            gitlab: String::new(),
            application: String::new(),
            api: false,
            access_token: String::new(),
            refresh_token: None,
            expires_at: None,
        };
        let grant = Grant { access_token: "a".to_owned(), refresh_token: None, expires_in: Some(7200) };
        take(&mut login, grant, "2026-11-23T09:00:00.000Z");
        assert_eq!(login.expires_at.as_deref(), Some("2026-11-23T11:00:00.000Z"));
        for (now, soon) in [("10:57:59", false), ("10:58:01", true), ("12:00:00", true)] {
            assert_eq!(expires_soon(&login, &format!("2026-11-23T{now}.000Z")), soon, "{now}");
        }
        login.expires_at = None;
        assert!(!expires_soon(&login, "2026-11-23T09:00:00.000Z"));
    }
}
