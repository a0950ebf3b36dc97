//! Reading answers without letting their secrets out.

use http::Uri;
use serde::de::DeserializeOwned;
use slipway_wire::{Base, CallError, Response};

/// The host of an address, for messages. Never more of it: addresses can hold tokens.
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
pub(crate) fn unreadable(base: &Base, why: impl Into<String>) -> CallError {
    CallError::Unreadable { host: host(base.as_str()), why: why.into() }
}

/// What an answer other than success means.
pub(crate) fn refusal(base: &Base, response: &Response) -> CallError {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        // No evidence is taken from these bodies: they can hold signed addresses and read tokens.
        return unreadable(base, format!("status {status}, which this route does not give"));
    }
    CallError::refused(&host(base.as_str()), response)
}

/// The JSON of a successful answer.
pub(crate) fn json<T: DeserializeOwned>(base: &Base, response: &Response) -> Result<T, CallError> {
    if !response.status().is_success() {
        return Err(refusal(base, response));
    }
    serde_json::from_slice(response.body()).map_err(|error| unreadable(base, error.to_string()))
}
