//! A recording without secrets.
//!
//! packagecloud's answers carry them in addresses: read tokens in queries, master tokens before the host, signatures of
//! its storage. So nothing of a query is kept but what Slipway itself asks with, nothing that stands before a host, and no
//! long run of hexadecimal digits, which all of its tokens are, outside of fields that are known to hold digests.

use serde_json::Value;

/// Parameters of queries that are questions and not secrets.
const QUESTIONS: [&str; 6] = ["page", "per_page", "q", "dist", "filter", "destination"];
/// Fields that hold digests of packages.
const DIGESTS: [&str; 4] = ["md5sum", "sha1sum", "sha256sum", "sha512sum"];
/// packagecloud's tokens have 48 hexadecimal digits, the signatures of its addresses 40.
const TOKEN_DIGITS_MIN: usize = 32;
/// How many items of a list, and how many characters of a text, say enough.
const ITEMS_MAX: usize = 3;
const CHARACTERS_MAX: usize = 2_000;
const HIDDEN: &str = "[hidden]";

/// The body of an answer as it may be shown: JSON without secrets, or text.
pub(super) fn body(bytes: &[u8], secrets: &[String]) -> Value {
    let shown = match serde_json::from_slice::<Value>(bytes) {
        Ok(json) => value("", json, secrets),
        Err(_) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(self::text(text, secrets).chars().take(CHARACTERS_MAX).collect()),
            Err(_) => Value::String(format!("{} bytes that are no text", bytes.len())),
        },
    };
    // What no rule has caught is caught by name.
    let written = shown.to_string();
    if secrets.iter().any(|secret| written.contains(secret.as_str())) { HIDDEN.into() } else { shown }
}

fn value(key: &str, json: Value, secrets: &[String]) -> Value {
    match json {
        Value::String(_) if key.contains("token") || key == "value" => HIDDEN.into(),
        Value::String(text) if DIGESTS.contains(&key) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            text.into()
        }
        Value::String(text) => self::text(&text, secrets).into(),
        Value::Array(items) => {
            let more = items.len().saturating_sub(ITEMS_MAX);
            let mut shown: Vec<Value> =
                items.into_iter().take(ITEMS_MAX).map(|item| value(key, item, secrets)).collect();
            if more > 0 {
                shown.push(format!("and {more} more").into());
            }
            shown.into()
        }
        Value::Object(fields) => {
            fields.into_iter().map(|(key, field)| (text(&key, secrets), value(&key, field, secrets))).collect()
        }
        other => other,
    }
}

/// A text without secrets.
pub(super) fn text(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret.as_str(), HIDDEN);
    }
    without_tokens(&without_queries(&without_users(&text)))
}

/// Whether an address goes on with this character.
fn is_in_address(character: char) -> bool {
    !character.is_whitespace() && !"\"'<>".contains(character)
}

/// Addresses without what stands before the host: `https://TOKEN:@host/`.
fn without_users(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c| !is_in_address(c) || "/?#".contains(c)).unwrap_or(after.len());
        let (authority, after) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend([HIDDEN, "@", host]),
            None => shown.push_str(authority),
        }
        rest = after;
    }
    shown + rest
}

/// Queries with their questions alone.
fn without_queries(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('?') {
        shown.push_str(before);
        shown.push('?');
        let end = after.find(|c| !is_in_address(c)).unwrap_or(after.len());
        let (query, after) = after.split_at(end);
        let parameter = |parameter: &str| match parameter.split_once('=') {
            Some((name, _)) if !QUESTIONS.contains(&name) => format!("{name}={HIDDEN}"),
            _ => parameter.to_owned(),
        };
        shown.push_str(&query.split('&').map(parameter).collect::<Vec<_>>().join("&"));
        rest = after;
    }
    shown + rest
}

/// Without long runs of hexadecimal digits.
fn without_tokens(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, after) = rest.split_at(begin);
        shown.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(end);
        shown.push_str(if digits.len() < TOKEN_DIGITS_MIN { digits } else { HIDDEN });
        rest = after;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_is_left_in_a_text() {
        let token = "5ec2e7".repeat(8);
        let signature = "c0ffee01".repeat(5);
        let secrets = ["t0k3n".to_owned()];
        for (written, shown) in [
            (format!("https://h/x.deb?read_token={token}"), "https://h/x.deb?read_token=[hidden]"),
            (format!("https://{token}:@h/install?a=1 next"), "https://[hidden]@h/install?a=[hidden] next"),
            (format!("https://h/priv/{token}/u/r/ubuntu"), "https://h/priv/[hidden]/u/r/ubuntu"),
            (format!("https://s/1/2/3.rpm?t=1795392000_{signature}"), "https://s/1/2/3.rpm?t=[hidden]"),
            ("https://s/x?X-Amz-Signature=short".to_owned(), "https://s/x?X-Amz-Signature=[hidden]"),
            (
                "<https://h/x.json?per_page=1&page=2>; rel=\"next\"".to_owned(),
                "<https://h/x.json?per_page=1&page=2>; rel=\"next\"",
            ),
            (
                format!("<https://h/x?page=2&token={token}>; rel=\"next\""),
                "<https://h/x?page=2&token=[hidden]>; rel=\"next\"",
            ),
            ("the token t0k3n is wrong".to_owned(), "the token [hidden] is wrong"),
            ("user:pass@h is no address, a@b neither".to_owned(), "user:pass@h is no address, a@b neither"),
            ("deadbeef is short".to_owned(), "deadbeef is short"),
        ] {
            assert_eq!(text(&written, &secrets), shown);
        }
    }

    #[test]
    fn json_keeps_its_shape_its_digests_and_none_of_its_tokens() {
        let token = "5ec2e7".repeat(8);
        let digest = "ab".repeat(32);
        let json = json!({
            "filename": "x.deb", "sha256sum": digest, "size": "1024", "indexed": false, "epoch": null,
            "download_url": format!("https://h/x/download?read_token={token}"),
            "read_tokens": [{"id": 1, "value": "v"}], "token": "short", "note": format!("{token} inside"),
        });
        assert_eq!(
            body(json.to_string().as_bytes(), &[]),
            json!({
                "filename": "x.deb", "sha256sum": digest, "size": "1024", "indexed": false, "epoch": null,
                "download_url": "https://h/x/download?read_token=[hidden]",
                "read_tokens": [{"id": 1, "value": "[hidden]"}], "token": "[hidden]", "note": "[hidden] inside",
            })
        );
        let long = json!([1, 2, 3, 4, 5]);
        assert_eq!(body(long.to_string().as_bytes(), &[]), json!([1, 2, 3, "and 2 more"]));
        assert_eq!(body(&[0xff, 0xfe], &[]), json!("2 bytes that are no text"));
        assert_eq!(body(b"", &[]), json!(""));
    }

    #[test]
    fn a_body_in_which_a_secret_is_left_is_not_shown() {
        // A digest's field is shown as it is, so a server that writes the token there is not believed.
        let secret = "5ec2e7".repeat(8);
        let json = json!({ "sha1sum": secret });
        assert_eq!(body(json.to_string().as_bytes(), &[secret]), json!("[hidden]"));
    }
}
