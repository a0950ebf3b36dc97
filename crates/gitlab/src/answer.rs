//! Reading answers.

use http::Uri;
use serde::de::DeserializeOwned;
use slipway_wire::{CallError, Response};

/// The host of an address, for messages.
pub(crate) fn host(url: &str) -> String {
    let host = url.parse::<Uri>().ok().and_then(|uri| {
        uri.authority().map(|authority| match authority.port_u16() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        })
    });
    host.unwrap_or_else(|| "an unreadable address".to_owned())
}

/// An answer that is not what its documentation says.
pub(crate) fn unreadable(url: &str, why: impl Into<String>) -> CallError {
    CallError::Unreadable { host: host(url), why: why.into() }
}

/// The body of a successful answer of the service at `url`.
pub(crate) fn body<'a>(url: &str, response: &'a Response) -> Result<&'a [u8], CallError> {
    let status = response.status();
    if status.is_success() {
        Ok(response.body())
    } else if status.is_redirection() {
        Err(unreadable(url, format!("status {status}: it redirects; is the configured address the current one?")))
    } else {
        Err(CallError::refused(&host(url), response))
    }
}

/// The JSON of a successful answer of the service at `url`.
pub(crate) fn json<T: DeserializeOwned>(url: &str, response: &Response) -> Result<T, CallError> {
    serde_json::from_slice(body(url, response)?).map_err(|error| unreadable(url, error.to_string()))
}
