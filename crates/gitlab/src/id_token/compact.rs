//! The compact form of a signed token: `header.claims.signature` (RFC 7515, section 3.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::Claims;
use super::members::Members;

/// How long a token may be. GitLab's have two to three kilobytes, and a few more with many groups in them.
pub const BYTES_MAX: usize = 8 << 10;

/// A token that was read and not yet believed. It says which key to check it with, and over which bytes.
pub struct UnverifiedIdToken {
    compact: Compact,
    claims: Claims,
}

/// What of a token its signature is checked with, whatever it says.
pub struct Compact {
    key_id: String,
    signing_input: Vec<u8>,
    signature: Vec<u8>,
}

/// Text that is not an ID token that could be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdToken {
    /// It is longer than any.
    #[error("the ID token has more than {BYTES_MAX} bytes")]
    TooLong,
    /// It is not three parts with dots between them.
    #[error("the ID token has not the form `header.claims.signature`")]
    Shape,
    /// A part is not base64url without padding.
    #[error("the ID token's {0} is not base64url without padding")]
    Encoding(&'static str),
    /// A part is not a JSON object in which every name comes once.
    #[error("the ID token's {part} is not a JSON object with each name once: {why}")]
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// What was wrong with it.
        why: String,
    },
    /// Signed in another way than GitLab signs, or not at all.
    #[error("the ID token is not signed with RS256")]
    Algorithm,
    /// It does not say which key signed it.
    #[error("the ID token names no key (`kid`)")]
    NoKeyId,
    /// It asks for rules that are not known here (RFC 7515, section 4.1.11).
    #[error("the ID token demands extensions (`crit`)")]
    Critical,
    /// A claim is absent, or of another kind than GitLab's.
    #[error("the ID token's claim `{name}` must be {wanted}")]
    Claim {
        /// The claim.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The signature does not hold.
    #[error("the ID token's signature does not hold")]
    Signature,
}

impl UnverifiedIdToken {
    /// Reads a token in its compact form.
    pub fn parse(token: &str) -> Result<Self, InvalidIdToken> {
        let (compact, members) = Compact::read(token)?;
        Ok(Self { claims: Claims::read(&members)?, compact })
    }

    /// What its signature is checked with.
    pub fn compact(&self) -> &Compact {
        &self.compact
    }

    /// The claims, if the host found that the signature holds under the issuer's key of this name.
    pub fn claims_after(self, signature_holds: bool) -> Result<Claims, InvalidIdToken> {
        if signature_holds { Ok(self.claims) } else { Err(InvalidIdToken::Signature) }
    }
}

impl Compact {
    /// The parts of a token in its compact form, and what it says.
    pub(crate) fn read(token: &str) -> Result<(Self, Members), InvalidIdToken> {
        if token.len() > BYTES_MAX {
            return Err(InvalidIdToken::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(InvalidIdToken::Shape)?;
        let (header, claims) = signing_input.split_once('.').ok_or(InvalidIdToken::Shape)?;
        if claims.contains('.') || [header, claims, signature].contains(&"") {
            return Err(InvalidIdToken::Shape);
        }
        let key_id = key_id(&object("header", header)?)?;
        let claims = object("claims", claims)?;
        let signature = decode("signature", signature)?;
        Ok((Self { key_id, signing_input: signing_input.as_bytes().to_vec(), signature }, claims))
    }

    /// The name of the key that signed it, it says.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The bytes that were signed.
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// The signature over them: RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Without the signature, which would make a token of it, and without claims that nobody has checked.
impl fmt::Debug for UnverifiedIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedIdToken(hidden, key {:?})", self.compact.key_id)
    }
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, InvalidIdToken> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidIdToken::Encoding(part))
}

fn object(part: &'static str, text: &str) -> Result<Members, InvalidIdToken> {
    let json = decode(part, text)?;
    serde_json::from_slice(&json).map_err(|error| InvalidIdToken::Json { part, why: error.to_string() })
}

/// The key's name, of a header that asks for nothing but an RS256 signature.
fn key_id(header: &Members) -> Result<String, InvalidIdToken> {
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(InvalidIdToken::Algorithm);
    }
    if header.has("crit") {
        return Err(InvalidIdToken::Critical);
    }
    let key_id = header.get("kid").and_then(Value::as_str).filter(|key_id| !key_id.is_empty());
    key_id.map(str::to_owned).ok_or(InvalidIdToken::NoKeyId)
}
