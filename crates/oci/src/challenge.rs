//! `WWW-Authenticate`: what a registry wants to be shown before it answers.
//!
//! It comes from the other side, so it is only read here; [`crate::Session`] decides whether the realm that it names is
//! one that the operator configured. The scope that it names is not read: who asks knows what for.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One way in, of those that a registry offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token, fetched from somewhere else
    /// (<https://distribution.github.io/distribution/spec/auth/token/>).
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// What the token is for.
        service: Option<String>,
    },
}

/// The challenges of an answer, in its order. Schemes that are not known here are left out.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE);
    values.into_iter().filter_map(|value| value.to_str().ok()).flat_map(read).collect()
}

/// The challenges of one value (RFC 9110, 11.6.1): `scheme name=value, name="value", scheme …`.
fn read(value: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            break;
        }
        let word_end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        let after = after.trim_start_matches([' ', '\t']);
        let word = word.to_ascii_lowercase();
        rest = after;
        if let Some(given) = after.strip_prefix('=') {
            let (text, after) = parameter(given.trim_start_matches([' ', '\t']));
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word, text));
            }
            rest = after;
        } else {
            found.push((word, Vec::new()));
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| named(&scheme, &parameters)).collect()
}

fn named(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let value = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer { realm: value("realm")?, service: value("service") }),
        _ => None,
    }
}

/// A parameter's value, quoted or not, and what stands after it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    // A quote that nobody closed: what was said so far.
    (value, "")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let realm = "https://auth.example.com/token";
        let scope = "repository:team/app:pull,push repository:team/base:pull";
        for (value, expected) in [
            (r#"Basic realm="test""#.to_owned(), vec![Challenge::Basic]),
            ("basic".to_owned(), vec![Challenge::Basic]),
            (
                format!(r#"Bearer realm="{realm}",service="registry.example.com",scope="{scope}""#),
                vec![bearer(realm, Some("registry.example.com"))],
            ),
            (
                format!(r#"BEARER  Scope="{scope}" , SERVICE=loop ,Realm = "{realm}",error="insufficient_scope""#),
                vec![bearer(realm, Some("loop"))],
            ),
            (format!(r#"Bearer realm="{realm}""#), vec![bearer(realm, None)]),
            (
                format!(r#"Negotiate, Bearer realm="{realm}", service="a \"b\", c", Basic realm="x, Bearer realm=y""#),
                vec![bearer(realm, Some(r#"a "b", c"#)), Challenge::Basic],
            ),
            (r#"Bearer service="x""#.to_owned(), vec![]),
            (format!(r#"Bearer realm="{realm}"#), vec![bearer(realm, None)]),
            (r#"Digest realm="x", qop="auth""#.to_owned(), vec![]),
            (r#"="x",,="#.to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            assert_eq!(read(&value), expected, "{value}");
        }
    }

    #[test]
    fn an_answer_may_have_several_headers() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"a\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://a.example.com\""));
        assert_eq!(challenges(&headers), [Challenge::Basic, bearer("https://a.example.com", None)]);
        assert!(challenges(&HeaderMap::new()).is_empty());
    }
}
