//! One exchange: an endpoint's request, a host's answer, and how it can fail.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// A request with a small body.
pub type Request = http::Request<Vec<u8>>;
/// An answer with a small body.
pub type Response = http::Response<Vec<u8>>;

/// How many bytes of a refusing answer are kept as evidence.
const EVIDENCE_BYTES_MAX: usize = 300;

/// One method and path of a remote service: what to send, and what comes back.
pub trait Endpoint {
    /// What the answer means.
    type Output;

    /// The request, complete with its credential.
    fn request(&self) -> Result<Request, http::Error>;

    /// Reads an answer of any status.
    fn parse(&self, response: &Response) -> Result<Self::Output, CallError>;
}

/// The port through which everything small is sent. Hosts and tests implement it.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Http {
    /// Sends one request and returns the whole answer. Redirects are not followed.
    async fn send(&self, request: Request) -> Result<Response, Unreachable>;

    /// Sends one request and hands the body of a successful answer to `each`, piece by piece. The body of any other
    /// answer is returned whole. Redirects are not followed. `each` returns `false` to stop early.
    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable>;

    /// How many requests may be under way at once. A Worker has six connections
    /// (<https://developers.cloudflare.com/workers/platform/limits/>).
    fn connections(&self) -> usize {
        6
    }
}

/// No answer came. The request may have had its effect all the same.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no answer from {host}: {why}")]
pub struct Unreachable {
    /// The host that was asked. Never a whole URL: those can hold tokens.
    pub host: String,
    /// What the host's runtime said of it.
    pub why: String,
}

/// How a call to any service fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came. The work may be done.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The service said no.
    #[error("{host} answered {status}: {said}")]
    Refused {
        /// The host that was asked.
        host: String,
        /// Its status.
        status: StatusCode,
        /// The start of its body, or the service's own words for it. Without secrets.
        said: String,
        /// The service's request id, for its operator.
        request_id: Option<String>,
    },
    /// The service has more to do than it can, or was asked more often than it lets anybody ask: it says so itself.
    #[error("{host} is busy, it answered {status}{}: {said}", asks(.wait.as_ref()))]
    Busy {
        /// The host that was asked.
        host: String,
        /// Its status.
        status: StatusCode,
        /// When it wants to be asked again, where it says so.
        wait: Option<Wait>,
        /// The start of its body, or the service's own words for it. Without secrets.
        said: String,
    },
    /// The service answered something else than its documentation says.
    #[error("cannot read the answer of {host}: {why}")]
    Unreadable {
        /// The host that was asked.
        host: String,
        /// What was wrong with the answer.
        why: String,
    },
    /// The service sends on to something that its configuration does not name. Nothing was sent there.
    #[error("{host} is not followed: {why}")]
    Foreign {
        /// The host that was asked.
        host: String,
        /// What it sends there for.
        errand: Errand,
        /// Where it sends, and what is configured.
        why: String,
    },
    /// The request could not be built: a setting or name that no URL or header can hold.
    #[error("cannot build the request: {0}")]
    Unsendable(String),
}

/// What a service sends on to another address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// A token, which is paid for with the password.
    Token,
    /// Bytes, there or back.
    Bytes,
}

/// When a busy service wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// So long after its answer.
    For(Duration),
    /// Then, in seconds since 1970.
    Until(i64),
}

impl Wait {
    /// How long that is from `now`, in seconds since 1970.
    pub fn from(self, now: i64) -> Duration {
        match self {
            Self::For(wait) => wait,
            Self::Until(then) => Duration::from_secs(u64::try_from(then.saturating_sub(now)).unwrap_or(0)),
        }
    }
}

fn asks(wait: Option<&Wait>) -> String {
    match wait {
        Some(Wait::For(wait)) => format!(" and asks to wait {} s", wait.as_secs()),
        Some(Wait::Until(_)) => " and says until when to wait".to_owned(),
        None => String::new(),
    }
}

impl CallError {
    /// A refusal, with the start of the answer's body as evidence.
    pub fn refused(host: &str, response: &Response) -> Self {
        let text = String::from_utf8_lossy(response.body());
        let said: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EVIDENCE_BYTES_MAX).collect();
        let request_id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        Self::Refused { host: host.to_owned(), status: response.status(), said, request_id }
    }

    /// The same, with secrets taken out of what the service said: some show the whole request when they fail.
    #[must_use]
    pub fn without(mut self, secrets: &[String]) -> Self {
        if let Self::Refused { said: text, .. }
        | Self::Busy { said: text, .. }
        | Self::Unreadable { why: text, .. }
        | Self::Foreign { why: text, .. } = &mut self
        {
            for secret in secrets {
                // The text is cut at some length, and so may a secret be at its end.
                let lengths = 8..secret.len().min(text.len().saturating_add(1));
                let cut = lengths.rev().filter_map(|length| secret.get(..length)).find(|begun| text.ends_with(begun));
                *text = text.replace(secret, "(hidden)");
                if let Some(kept) = cut.and_then(|cut| text.strip_suffix(cut).map(str::to_owned)) {
                    *text = format!("{kept}(hidden)");
                }
            }
        }
        self
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } | Self::Busy { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// When a busy service wants to be asked again, where it says so.
    pub fn wait(&self) -> Option<Wait> {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Whether asking again, later and unchanged, may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unreadable { .. } | Self::Busy { .. } => true,
            // 429 from packagecloud is an account cut off, which no retry mends; its caller says so.
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            // It names the same address every time, until somebody changes it there or here.
            Self::Foreign { .. } | Self::Unsendable(_) => false,
        }
    }
}

/// Sends an endpoint's request and reads its answer.
pub async fn call<E: Endpoint>(http: &impl Http, endpoint: &E) -> Result<E::Output, CallError> {
    let request = endpoint.request().map_err(|error| CallError::Unsendable(error.to_string()))?;
    let secrets = secrets(&request);
    let response = http.send(request).await?;
    endpoint.parse(&response).map_err(|error| error.without(&secrets))
}

/// What a request proves itself with, in every form in which a service could send it back.
fn secrets(request: &Request) -> Vec<String> {
    let sensitive = request.headers().values().filter(|value| value.is_sensitive());
    let texts = sensitive.filter_map(|value| value.to_str().ok());
    // `Bearer` and `Basic` are no secrets; what follows them is.
    let parts = texts.map(|text| text.rsplit_once(' ').map_or(text, |(_, secret)| secret).to_owned());
    parts.filter(|secret| !secret.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::Token;

    /// 280 letters: of what follows, twenty more are kept.
    const FILLED: &str = concat!(
        "0123456789012345678901234567890123456789012345678901234567890123456789",
        "0123456789012345678901234567890123456789012345678901234567890123456789",
        "0123456789012345678901234567890123456789012345678901234567890123456789",
        "012345678901234567890123456789012345678901234567890123456789012345678 ",
    );

    /// A service that shows what it was sent, as debug pages do.
    struct Mirror {
        before: &'static str,
    }

    impl Http for Mirror {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            let shown = request.headers().values().filter_map(|value| value.to_str().ok());
            let body = format!("{}{}", self.before, shown.collect::<Vec<_>>().join(" "));
            Ok(http::Response::builder().status(500).body(body.into_bytes()).expect("an answer"))
        }

        async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            self.send(request).await
        }
    }

    struct Ask(http::HeaderValue);

    impl Endpoint for Ask {
        type Output = ();

        fn request(&self) -> Result<Request, http::Error> {
            http::Request::get("https://gitlab.example.com/").header("x-credential", &self.0).body(Vec::new())
        }

        fn parse(&self, response: &Response) -> Result<(), CallError> {
            Err(CallError::refused("gitlab.example.com", response))
        }
    }

    fn said(before: &'static str, credential: http::HeaderValue) -> String {
        let (mirror, ask) = (Mirror { before }, Ask(credential));
        let answer = pin!(call(&mirror, &ask));
        match answer.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_of_a_megabyte_is_taken_out_at_once() {
        let secret = "s3cret-".repeat(150_000);
        let refused = |said: String| {
            let host = "gitlab.example.com".to_owned();
            CallError::Refused { host, status: StatusCode::BAD_GATEWAY, said, request_id: None }
        };
        // Of a copy for each length that it may be cut at, this would be 500 GB.
        let cut = refused(format!("it failed for {}", &secret[..200])).without(&[secret]);
        assert!(cut.to_string().ends_with("it failed for (hidden)"), "{cut}");
    }

    #[test]
    fn a_busy_service_is_asked_again_when_it_says() {
        for (wait, seconds) in [(Wait::For(Duration::from_secs(9)), 9), (Wait::Until(130), 30), (Wait::Until(90), 0)] {
            assert_eq!(wait.from(100), Duration::from_secs(seconds), "{wait:?}");
        }
        let (host, said) = ("r.example.com".to_owned(), "TOOMANYREQUESTS: slow down".to_owned());
        let wait = Some(Wait::For(Duration::from_secs(9)));
        let busy = CallError::Busy { host, status: StatusCode::TOO_MANY_REQUESTS, wait, said };
        assert!(busy.may_pass() && busy.wait() == wait);
        let text =
            "r.example.com is busy, it answered 429 Too Many Requests and asks to wait 9 s: TOOMANYREQUESTS: slow down";
        assert_eq!(busy.to_string(), text);
    }

    #[test]
    fn a_service_that_sends_a_credential_back_does_not_have_it_shown() {
        let token = Token::new("glpat-s3cretOfTheEdge");
        for credential in [token.header(), token.bearer(), token.basic()] {
            let credential = credential.expect("a header");
            let secret = credential.to_str().expect("text").rsplit(' ').next().expect("a part").to_owned();
            let shown = said("it failed for ", credential.clone());
            assert!(shown.contains("it failed for") && !shown.contains(&secret), "{shown}");
            // Cut off in the middle of it.
            let shown = said(FILLED, credential);
            assert!(!shown.contains(&secret[..10]), "{shown}");
        }
    }
}
