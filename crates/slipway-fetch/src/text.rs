//! The text that crosses between HTTP's types and JavaScript's strings.

use http::header::InvalidHeaderValue;
use http::{HeaderValue, Uri};

/// The host and port that a request goes to, for messages. Never more of the address: paths and queries hold tokens.
pub(crate) fn host(uri: &Uri) -> String {
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "no host".to_owned(),
    }
}

/// `message` with every address in it taken out: some runtimes repeat the whole URL that they were asked for.
pub(crate) fn without_addresses(message: &str) -> String {
    let words = message.split_whitespace();
    words.map(|word| if word.contains("://") { "(address)" } else { word }).collect::<Vec<_>>().join(" ")
}

/// A header's bytes as the string that JavaScript wants, one character a byte.
pub(crate) fn from_header(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

/// The header's bytes back from JavaScript's string. What runtimes have decoded as UTF-8 is encoded again.
pub(crate) fn to_header(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(|character| u8::try_from(u32::from(character))).collect();
    match bytes {
        Ok(bytes) => HeaderValue::from_bytes(&bytes),
        Err(_) => HeaderValue::from_bytes(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_host_and_nothing_else_of_an_address() {
        for (uri, expected) in [
            ("https://packages.example.com/a?token=s3cret", "packages.example.com"),
            ("http://127.0.0.1:7001/s3cret", "127.0.0.1:7001"),
            ("http://user:s3cret@[::1]:80/", "[::1]:80"),
            ("/s3cret", "no host"),
        ] {
            assert_eq!(host(&uri.parse().expect("a legal URI")), expected);
        }
    }

    #[test]
    fn an_address_in_a_runtimes_message_is_not_repeated() {
        for (message, expected) in [
            ("Failed to parse URL from https://h/s3cret?x", "Failed to parse URL from (address)"),
            ("cannot reach 'http://u:s3cret@h/'.", "cannot reach (address)"),
            ("connect ECONNREFUSED 127.0.0.1:1", "connect ECONNREFUSED 127.0.0.1:1"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(message), expected);
        }
    }

    #[test]
    fn every_byte_of_a_header_survives_the_way_through_javascript() {
        let bytes: Vec<u8> = (0x20..=0x7e).chain(0x80..=0xff).collect();
        let value = HeaderValue::from_bytes(&bytes).expect("bytes that HTTP allows");
        assert_eq!(to_header(&from_header(&value)).expect("the same bytes"), value);
        assert_eq!(to_header("–").expect("legal as bytes").as_bytes(), "–".as_bytes());
        assert!(to_header("a\nb").is_err());
    }
}
