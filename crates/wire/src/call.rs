//! One exchange: an endpoint's request, a host's answer, and how it can fail.

use http::StatusCode;

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
    /// The service answered something else than its documentation says.
    #[error("cannot read the answer of {host}: {why}")]
    Unreadable {
        /// The host that was asked.
        host: String,
        /// What was wrong with the answer.
        why: String,
    },
    /// The request could not be built: a setting or name that no URL or header can hold.
    #[error("cannot build the request: {0}")]
    Unsendable(String),
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

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether asking again, later and unchanged, may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unreadable { .. } => true,
            // 429 from packagecloud is an account cut off, which no retry mends; its caller says so.
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            Self::Unsendable(_) => false,
        }
    }
}

/// Sends an endpoint's request and reads its answer.
pub async fn call<E: Endpoint>(http: &impl Http, endpoint: &E) -> Result<E::Output, CallError> {
    let request = endpoint.request().map_err(|error| CallError::Unsendable(error.to_string()))?;
    let response = http.send(request).await?;
    endpoint.parse(&response)
}
