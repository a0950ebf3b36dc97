//! Reading answers without letting their secrets out.

use http::Uri;
use serde::Deserialize;
use slipway_wire::{Base, CallError, Digest, Response};

/// The host of an address, for messages. Never more of it: addresses can hold keys.
pub(crate) fn host(url: &str) -> String {
    let host = url.parse::<Uri>().ok().and_then(|uri| {
        uri.authority().map(|authority| match authority.port_u16() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        })
    });
    host.unwrap_or_else(|| "an unreadable address".to_owned())
}

/// An answer that is not what the specification says.
pub(crate) fn unreadable(base: &Base, why: impl Into<String>) -> CallError {
    CallError::Unreadable { host: host(base.as_str()), why: why.into() }
}

/// One of a registry's own reasons (OCI distribution specification 1.1, "Error codes").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reason {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: serde_json::Value,
}

impl Reason {
    /// The digest that it is about. Debian's registry names it as `detail.digest` or as `detail` alone.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let text = self.detail.get("digest").or(Some(&self.detail)).and_then(serde_json::Value::as_str)?;
        text.starts_with("sha256:").then(|| text.parse().ok()).flatten()
    }
}

/// The reasons in an answer's body. None where a proxy answered, or nobody gave any.
pub(crate) fn reasons(response: &Response) -> Vec<Reason> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Reason>,
    }
    serde_json::from_slice::<Errors>(response.body()).map(|body| body.errors).unwrap_or_default()
}

/// What an answer other than the wanted one means.
pub(crate) fn refusal(base: &Base, response: &Response) -> CallError {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        // No evidence is taken from these: they can hold signed addresses.
        return unreadable(base, format!("status {status}, which this route does not give"));
    }
    let mut refused = CallError::refused(&host(base.as_str()), response);
    if let CallError::Refused { said, .. } = &mut refused {
        let reasons = reasons(response);
        if let Some(first) = reasons.first() {
            let more = if reasons.len() > 1 { format!(" (and {} more)", reasons.len() - 1) } else { String::new() };
            *said = format!("{}: {}{more}", first.code, first.message).chars().take(300).collect();
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, response};

    #[test]
    fn a_refusal_shows_the_registrys_own_code_and_words() {
        let body = r#"{"errors":[{"code":"DENIED","message":"requested access is denied","detail":[{"Name":"team/app"}]},{"code":"X"}]}"#;
        let error = refusal(&base("https://registry.example.com:8443"), &response(403, body));
        assert_eq!(
            error.to_string(),
            "registry.example.com:8443 answered 403 Forbidden: DENIED: requested access is denied (and 1 more)"
        );
    }

    #[test]
    fn any_refusal_may_have_another_body() {
        for body in ["", "<html><h1>Bad Gateway</h1></html>", "{}", r#"{"errors":[]}"#, r#"{"errors":null}"#, "[1]"] {
            let error = refusal(&base("https://registry.example.com"), &response(502, body));
            assert!(error.to_string().ends_with(body) && error.may_pass(), "{error}");
        }
    }

    #[test]
    fn the_digests_of_missing_parts_are_read() {
        let digest = Digest::of(b"x");
        for detail in [format!(r#"{{"digest":"{digest}"}}"#), format!(r#""{digest}""#)] {
            let body = format!(r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{detail}}}]}}"#);
            let found: Vec<_> = reasons(&response(400, body)).iter().filter_map(Reason::digest).collect();
            assert_eq!(found, [digest]);
        }
        for detail in ["null", "{}", "7", r#"{"digest":7}"#, r#""sha512:00""#] {
            let body = format!(r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{detail}}}]}}"#);
            assert_eq!(reasons(&response(400, body)).iter().filter_map(Reason::digest).count(), 0, "{detail}");
        }
    }
}
