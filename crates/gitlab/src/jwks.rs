//! A set of public keys (RFC 7517), as far as it can have signed an ID token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// How large a key set may be. GitLab's have a few keys of half a kilobyte.
const BYTES_MAX: usize = 64 << 10;

/// How many keys a set may have.
const KEYS_MAX: usize = 32;

/// How long an RSA modulus may be, in bytes: 2048 bits are the least for RS256 (RFC 7518, section 3.3), 8192 are plenty.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// An issuer's RSA keys for signatures. Keys of other kinds or for other uses are left out.
///
/// [`Jwks::to_json`] writes it so that [`Jwks::parse`] reads it again, for callers that keep it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Jwks {
    keys: Vec<RsaKey>,
}

/// An RSA key. It serialises as a JWK, ready for `crypto.subtle.importKey("jwk", …)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RsaKey {
    kty: &'static str,
    kid: String,
    n: String,
    e: String,
}

/// A body that is not a usable key set.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJwks {
    /// It is larger than any issuer's.
    #[error("the key set has more than {BYTES_MAX} bytes")]
    TooLarge,
    /// It is not JSON of the right shape.
    #[error("the key set is not one: {0}")]
    Json(#[from] serde_json::Error),
    /// It has more keys than any issuer's.
    #[error("the key set has more than {KEYS_MAX} keys")]
    TooMany,
    /// One name, two keys.
    #[error("the key set has two keys named `{0}`")]
    Twice(String),
}

/// A key of any kind.
#[derive(Deserialize)]
struct AnyKey {
    kty: Option<String>,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct AnySet {
    keys: Vec<AnyKey>,
}

impl RsaKey {
    /// The key's name, which tokens refer to.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The modulus, base64url.
    pub fn n(&self) -> &str {
        &self.n
    }

    /// The exponent, base64url.
    pub fn e(&self) -> &str {
        &self.e
    }

    /// The key of a set's entry, if it can have made an RS256 signature.
    fn of(key: AnyKey) -> Option<Self> {
        let (kid, n, e) = (key.kid?, key.n?, key.e?);
        let modulus = URL_SAFE_NO_PAD.decode(&n).ok()?;
        let exponent = URL_SAFE_NO_PAD.decode(&e).ok()?;
        let fits = MODULUS_BYTES.contains(&modulus.len()) && (1..=8).contains(&exponent.len());
        let meant = key.kty? == "RSA"
            && key.used_for.is_none_or(|used_for| used_for == "sig")
            && key.alg.is_none_or(|alg| alg == "RS256");
        (fits && meant && !kid.is_empty()).then_some(Self { kty: "RSA", kid, n, e })
    }
}

impl Jwks {
    /// Reads a key set.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidJwks> {
        if body.len() > BYTES_MAX {
            return Err(InvalidJwks::TooLarge);
        }
        let set: AnySet = serde_json::from_slice(body)?;
        if set.keys.len() > KEYS_MAX {
            return Err(InvalidJwks::TooMany);
        }
        let mut keys: Vec<RsaKey> = Vec::new();
        for key in set.keys.into_iter().filter_map(RsaKey::of) {
            if keys.iter().any(|known| known.kid == key.kid) {
                return Err(InvalidJwks::Twice(key.kid));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The key of this name.
    pub fn find(&self, kid: &str) -> Option<&RsaKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The set as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}
