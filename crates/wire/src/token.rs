//! A secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// A credential. It cannot be printed, compared or serialised; passing it on is an explicit [`Token::expose`].
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a secret from a host's store.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `Authorization: Basic`, with the token as user and no password, as packagecloud wants it.
    pub fn basic(&self) -> Result<HeaderValue, http::Error> {
        sensitive(format!("Basic {}", STANDARD.encode(format!("{}:", self.0))))
    }

    /// `Authorization: Basic`, with the token as the password of a user.
    pub fn basic_of(&self, user: &str) -> Result<HeaderValue, http::Error> {
        sensitive(format!("Basic {}", STANDARD.encode(format!("{user}:{}", self.0))))
    }

    /// `Authorization: Bearer`.
    pub fn bearer(&self) -> Result<HeaderValue, http::Error> {
        sensitive(format!("Bearer {}", self.0))
    }

    /// The token alone as a header's value, for services with a header of their own.
    pub fn header(&self) -> Result<HeaderValue, http::Error> {
        sensitive(self.0.clone())
    }
}

fn sensitive(text: String) -> Result<HeaderValue, http::Error> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}
