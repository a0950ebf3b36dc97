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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, response};

    #[test]
    fn a_refusal_shows_what_the_server_said() {
        for (status, body, may_pass) in [
            (401, r#"{"error":"Unauthenticated"}"#, false),
            (402, r#"{"error":["payment required"]}"#, false),
            (404, r#"{"error": "not_found"}"#, false),
            (429, "Bandwidth or Storage Limit Exceeded", false),
            (502, "<html><h1>Bad Gateway</h1></html>", true),
            (504, "", true),
        ] {
            let error = json::<Vec<u8>>(&base("https://packages.example.com"), &response(status, body))
                .expect_err("no success");
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
            assert_eq!(error.may_pass(), may_pass, "{status}");
            assert!(error.to_string().contains(body), "{error}");
        }
    }

    #[test]
    fn the_body_of_a_redirect_is_not_evidence() {
        let moved = response(302, r#"<a href="https://storage.example.net/x?t=s1gned">here</a>"#);
        let error = json::<Vec<u8>>(&base("https://packages.example.com"), &moved).expect_err("no success");
        assert!(!error.to_string().contains("s1gned"), "{error}");
        assert!(error.to_string().contains("302"), "{error}");
    }

    #[test]
    fn an_unreadable_answer_names_the_host_alone() {
        let error = json::<Vec<u8>>(&base("https://packages.example.com:8443/in/front"), &response(200, "<html>"));
        let error = error.expect_err("no JSON").to_string();
        assert!(error.starts_with("cannot read the answer of packages.example.com:8443: "), "{error}");
    }
}
