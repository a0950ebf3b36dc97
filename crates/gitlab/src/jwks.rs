//! A set of public keys (RFC 7517), as far as it can have signed an ID token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// How large a key set may be. GitLab's have a few keys of half a kilobyte.
const BYTES_MAX: usize = 64 << 10;

/// How many keys a set may have.
const KEYS_MAX: usize = 32;

/// How long an RSA modulus may be, in bytes: 2048 bits are the least for RS256 (RFC 7518, section 3.3), 8192 are plenty.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// An issuer's RSA keys for signatures. Keys of other kinds or for other uses are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<RsaKey>,
}

/// An RSA key, in the words of a JWK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaKey {
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
        (fits && meant && !kid.is_empty()).then_some(Self { kid, n, e })
    }
}

impl Jwks {
    /// Reads a key set.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidJwks> {
        if body.len() > BYTES_MAX {
            return Err(InvalidJwks::TooLarge);
        }
        // All of it, that no reader could see something else in it: parts that are not needed are skipped unread.
        let whole: serde_json::Value = serde_json::from_slice(body)?;
        // A struct is read from a list too, by position. No issuer writes one.
        let keys = whole.get("keys").and_then(serde_json::Value::as_array);
        if !keys.is_some_and(|keys| keys.iter().all(serde_json::Value::is_object)) {
            let why = "it must be an object with a list of objects as `keys`";
            return Err(InvalidJwks::Json(serde::de::Error::custom(why)));
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
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A modulus of so many bytes, base64url.
    fn modulus(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xc3; bytes])
    }

    fn key(kid: &str) -> Value {
        json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": modulus(256), "e": "AQAB"})
    }

    fn set(keys: &[Value]) -> Result<Jwks, InvalidJwks> {
        Jwks::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_set_that_is_no_json_where_nothing_is_read_of_it_is_refused_too() {
        let mut body = json!({ "keys": [{ "x5t": "ABC" }, key("one")] }).to_string().into_bytes();
        assert!(Jwks::parse(&body).is_ok());
        let at = body.windows(3).position(|three| three == b"ABC").expect("it is there");
        body[at] = 0xff;
        assert!(matches!(Jwks::parse(&body), Err(InvalidJwks::Json(_))));
    }

    #[test]
    fn a_set_that_is_a_list_by_position_is_refused() {
        let by_position = json!(["RSA", "one", "sig", "RS256", modulus(256), "AQAB"]);
        for body in [json!([[]]), json!([[by_position]]), json!({ "keys": [by_position] }), json!({}), json!(null)] {
            assert!(matches!(Jwks::parse(body.to_string().as_bytes()), Err(InvalidJwks::Json(_))), "{body}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_exact_name() {
        let jwks = set(&[key("one"), key("two")]).expect("a set");
        let two = jwks.find("two").expect("a key");
        assert_eq!((two.kid(), two.n(), two.e()), ("two", modulus(256).as_str(), "AQAB"));
        for kid in ["", "three", "ONE", "one "] {
            assert_eq!(jwks.find(kid), None, "{kid}");
        }
    }

    #[test]
    fn only_rsa_keys_that_sign_are_kept() {
        let with = |field: &str, value: Value| {
            let mut key = key("one");
            key[field] = value;
            key
        };
        for (kept, field, value) in [
            (true, "use", Value::Null),
            (true, "alg", Value::Null),
            (true, "x5c", json!(["…"])),
            (true, "n", modulus(512).into()),
            (false, "kty", "EC".into()),
            (false, "kty", "oct".into()),
            (false, "kty", Value::Null),
            (false, "use", "enc".into()),
            (false, "alg", "RS512".into()),
            (false, "alg", "HS256".into()),
            (false, "kid", Value::Null),
            (false, "kid", "".into()),
            (false, "n", Value::Null),
            (false, "n", modulus(128).into()),
            (false, "n", modulus(2048).into()),
            (false, "n", format!("{}=", modulus(257)).into()),
            (false, "n", modulus(258).replace('w', "+").into()),
            (false, "e", Value::Null),
            (false, "e", "".into()),
            (false, "e", "AQAB\n".into()),
        ] {
            let jwks = set(&[with(field, value.clone()), key("other")]).expect("a set");
            assert_eq!(jwks.find("one").is_some(), kept, "{field} {value}");
            assert!(jwks.find("other").is_some(), "one odd key does not spoil the set");
        }
    }

    #[test]
    fn a_set_that_is_too_large_or_ambiguous_is_refused() {
        let many: Vec<_> = (0..33).map(|number| key(&number.to_string())).collect();
        assert!(set(&many[..32]).is_ok());
        assert!(matches!(set(&many), Err(InvalidJwks::TooMany)));
        assert!(matches!(set(&[key("one"), key("one")]), Err(InvalidJwks::Twice(kid)) if kid == "one"));
        let spaces = format!(r#"{{"keys":[]{}}}"#, " ".repeat(BYTES_MAX));
        assert!(matches!(Jwks::parse(spaces.as_bytes()), Err(InvalidJwks::TooLarge)));
        for body in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(matches!(Jwks::parse(body.as_bytes()), Err(InvalidJwks::Json(_))), "{body}");
        }
    }
}
