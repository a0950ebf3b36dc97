//! Reading answers without letting their secrets out.

use std::time::Duration;

use http::{StatusCode, Uri};
use serde::Deserialize;
use slipway_wire::{Base, CallError, Digest, Errand, Response, Wait};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

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

/// An address without what may be a key in it: user, query and fragment. For messages about addresses that a registry shows to
/// anybody.
pub(crate) fn address(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let shown = uri.and_then(|uri| Some(format!("{}://{}{}", uri.scheme_str()?, host(url), uri.path())));
    shown.unwrap_or_else(|| host(url)).chars().take(200).collect()
}

/// An answer that is not what the specification says.
pub(crate) fn unreadable(base: &Base, why: impl Into<String>) -> CallError {
    CallError::Unreadable { host: host(base.as_str()), why: why.into() }
}

/// An address that the place's configuration does not name.
pub(crate) fn foreign(base: &Base, errand: Errand, why: impl Into<String>) -> CallError {
    CallError::Foreign { host: host(base.as_str()), errand, why: why.into() }
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

/// A manifest of 127 layers, Docker's limit, of which all are missing is refused in 30 KB.
const REASONS_BYTES_MAX: usize = 256 * 1024;

/// The reasons in an answer's body. None where a proxy answered, or nobody gave any.
pub(crate) fn reasons(response: &Response) -> Vec<Reason> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Reason>,
    }
    if response.body().len() > REASONS_BYTES_MAX {
        return Vec::new();
    }
    serde_json::from_slice::<Errors>(response.body()).map(|body| body.errors).unwrap_or_default()
}

/// What an answer other than the wanted one means.
pub(crate) fn refusal(base: &Base, response: &Response) -> CallError {
    refusal_of(host(base.as_str()), response)
}

/// The same, of a host that was asked.
pub(crate) fn refusal_of(host: String, response: &Response) -> CallError {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        // No evidence is taken from these: they can hold signed addresses.
        return CallError::Unreadable { host, why: format!("status {status}, which this route does not give") };
    }
    let mut refused = CallError::refused(&host, response);
    let wait = wait(response);
    if let CallError::Refused { host, status, said, .. } = &refused
        && (*status == StatusCode::TOO_MANY_REQUESTS || *status == StatusCode::SERVICE_UNAVAILABLE && wait.is_some())
    {
        refused = CallError::Busy { host: host.clone(), status: *status, wait, said: said.clone() };
    }
    if let CallError::Refused { said, .. } | CallError::Busy { said, .. } = &mut refused {
        let reasons = reasons(response);
        if let Some(first) = reasons.first() {
            let more = if reasons.len() > 1 { format!(" (and {} more)", reasons.len() - 1) } else { String::new() };
            *said = format!("{}: {}{more}", first.code, first.message).chars().take(300).collect();
        }
    }
    refused
}

/// When a registry wants to be asked again: in so many seconds, or at a date (RFC 9110, 10.2.3). Docker Hub says it as
/// seconds since 1970, in a header of its own (<https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting>).
fn wait(response: &Response) -> Option<Wait> {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(text) = text("retry-after") {
        let seconds = text.parse().map(|seconds| Wait::For(Duration::from_secs(seconds))).ok();
        let date = || OffsetDateTime::parse(text, &Rfc2822).map(|date| Wait::Until(date.unix_timestamp())).ok();
        return seconds.or_else(date);
    }
    text("x-retry-after").and_then(|text| text.parse().ok()).map(Wait::Until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, response, with_header};

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
    fn a_registry_that_is_asked_too_often_says_when_to_ask_again() {
        let seconds = |seconds| Some(Wait::For(Duration::from_secs(seconds)));
        for (status, name, value, wait) in [
            (429, "retry-after", "120", seconds(120)),
            (503, "retry-after", "0", seconds(0)),
            // The date of RFC 9110's own example, 5.6.7: `date -d "Sun, 06 Nov 1994 08:49:37 GMT" +%s` says 784111777.
            (429, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(Wait::Until(784_111_777))),
            (429, "x-retry-after", "1796000000", Some(Wait::Until(1_796_000_000))),
            (429, "retry-after", "soon", None),
            (429, "retry-after", "-1", None),
            (429, "x-other", "1", None),
        ] {
            let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
            let error = refusal(&base("https://registry.example.com"), &with_header(status, name, value, body));
            assert_eq!(error.wait(), wait, "{name}: {value}");
            let is_busy = matches!(&error, CallError::Busy { said, .. } if said == "TOOMANYREQUESTS: slow down");
            assert!(is_busy && error.may_pass(), "{error}");
        }
        // A registry that is ill and says no more is no busy one.
        let ill = refusal(&base("https://registry.example.com"), &response(503, ""));
        assert!(matches!(ill, CallError::Refused { .. }), "{ill}");
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
