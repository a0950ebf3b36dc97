//! Signatures that others check: Ed25519 (RFC 8032), made and verified by the runtime.
//!
//! The core says what is signed and what a key is called. The arithmetic is behind two ports, as with ID tokens: workerd and
//! Node have audited code for it, and a second implementation would only make the wasm larger.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use slipway_wire::{Base, Token};

use crate::api::SigningKeys;

pub mod note;

/// The type byte of Ed25519 in a signed note's keys (<https://c2sp.org/signed-note>).
const ED25519: u8 = 1;

/// What stands before the 32 bytes of a private key in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What stands before the 32 bytes of a public key where it is written as X.509 has it (RFC 8410, section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A public key, written as the base64 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// Text that is not a public key. It is not repeated: somebody may have given the private one.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no public key: the base64 of an Ed25519 key's 32 bytes is needed, or its PEM, which begins with `-----BEGIN PUBLIC KEY-----`"
)]
pub struct InvalidPublicKey;

impl PublicKey {
    /// A key that was read elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as RFC 8032 encodes them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As `openssl` writes and reads it.
    pub fn pem(&self) -> String {
        let der = STANDARD.encode([SPKI.as_slice(), &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        let body: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
        let bytes = STANDARD.decode(&body).ok();
        let key = bytes.as_deref().map(|bytes| bytes.strip_prefix(&SPKI).unwrap_or(bytes));
        key.and_then(|key| key.try_into().ok()).map(Self).ok_or(InvalidPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// A signature, written as the base64 of its 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// Text that is not a signature.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no signature: the base64 of an Ed25519 signature's 64 bytes is needed")]
pub struct InvalidSignature(String);

impl Signature {
    /// A signature that was made elsewhere.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as RFC 8032 encodes them.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl FromStr for Signature {
    type Err = InvalidSignature;

    fn from_str(text: &str) -> Result<Self, InvalidSignature> {
        let bytes = STANDARD.decode(text).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| InvalidSignature(text.chars().take(120).collect()))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// Text of a kind, in JSON and in the formats that have their own `Display`.
macro_rules! through_text {
    ($($kind:ty),*) => {$(
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

through_text!(PublicKey, Signature);

/// Who signs: the edge's address without its scheme, as signed notes name their keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The name of the key of the edge at this address.
    pub fn of(edge: &Base) -> Self {
        let url = edge.as_str();
        let name = url.split_once("://").map_or(url, |(_, rest)| rest);
        // A plus sign ends the name in a verifier key, so none may be in it.
        Self(name.trim_end_matches('/').replace('+', "%2B"))
    }

    /// A name that somebody wrote: no spaces in it, and no plus sign.
    fn read(text: &str) -> Option<Self> {
        let is_name = !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || letter == '+');
        is_name.then(|| Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A short name of a key, for finding it among several. It proves nothing: the signature does.
///
/// As in a signed note: the first four bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`, written as eight hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The id of a key of this name.
    pub fn of(name: &KeyName, key: &PublicKey) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(name.as_str())
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        Self([a, b, c, d])
    }

    /// An id that was read elsewhere.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The line by which verifiers of signed notes are given a key: `name+id+base64`.
pub fn verifier_key(name: &KeyName, key: &PublicKey) -> String {
    let typed = STANDARD.encode([&[ED25519], key.as_bytes().as_slice()].concat());
    format!("{name}+{}+{typed}", KeyId::of(name, key))
}

/// A key that somebody who checks signatures trusts, under one name or under any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The name that it goes by, where that is known.
    pub name: Option<KeyName>,
    /// The key.
    pub key: PublicKey,
}

/// Text that has no key to trust.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTrustedKey {
    /// There is none.
    #[error(
        "there is no key in it; it must be what `GET /api/v1/signing-key` answers, or a key as PEM, base64 or a verifier key"
    )]
    None,
    /// Something in it is none.
    #[error(transparent)]
    Key(#[from] InvalidPublicKey),
    /// The parts of a verifier key belong to different keys.
    #[error("`{0}` is no verifier key: its parts do not fit each other")]
    Verifier(String),
}

impl TrustedKey {
    /// All keys of a text: the edge's answer about its keys, PEM blocks, or one key a line.
    pub fn all(text: &str) -> Result<Vec<Self>, InvalidTrustedKey> {
        let mut keys = Vec::new();
        if text.trim_start().starts_with('{') {
            let told: SigningKeys = serde_json::from_str(text).map_err(|_| InvalidTrustedKey::None)?;
            let name = KeyName::read(&told.name);
            keys.extend(told.keys.into_iter().map(|told| Self { name: name.clone(), key: told.key }));
        } else {
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            while let Some(line) = lines.next() {
                if line.starts_with("-----BEGIN ") {
                    let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("-----END ")).collect();
                    keys.push(Self { name: None, key: body.concat().parse()? });
                } else {
                    keys.push(Self::line(line)?);
                }
            }
        }
        if keys.is_empty() { Err(InvalidTrustedKey::None) } else { Ok(keys) }
    }

    /// A key alone, or a verifier key.
    fn line(line: &str) -> Result<Self, InvalidTrustedKey> {
        // First, since base64 has plus signs, too: one key of some hundred reads like a verifier key whose parts do not fit.
        let alone = match line.parse() {
            Ok(key) => return Ok(Self { name: None, key }),
            Err(error) => Err(error.into()),
        };
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(id), Some(typed)) = (parts.next(), parts.next(), parts.next()) else { return alone };
        let Some(name) = KeyName::read(name).filter(|_| id.len() == 8) else { return alone };
        let wrong = || InvalidTrustedKey::Verifier(line.chars().take(120).collect());
        let bytes = STANDARD.decode(typed).map_err(|_| wrong())?;
        let key = bytes.strip_prefix(&[ED25519]).and_then(|key| key.try_into().ok()).map(PublicKey);
        let key = key.filter(|key| KeyId::of(&name, key).to_string() == id).ok_or_else(wrong)?;
        Ok(Self { name: Some(name), key })
    }

    fn is_called(&self, name: &KeyName, id: KeyId) -> bool {
        self.name.as_ref().is_none_or(|own| own == name) && KeyId::of(name, &self.key) == id
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}+{}", KeyId::of(name, &self.key)),
            None => write!(f, "{}", self.key),
        }
    }
}

/// The private key: 32 random bytes, kept as a secret of the deployment. Nothing shows them.
#[derive(Clone)]
pub struct Seed([u8; 32]);

/// A text that is not a private key. It is not shown: it may be most of one.
#[derive(Debug, thiserror::Error)]
#[error("a signing key is the base64 of 32 random bytes, as `openssl rand -base64 32` prints them")]
pub struct InvalidSeed;

impl Seed {
    /// Reads the secret.
    pub fn parse(secret: &Token) -> Result<Self, InvalidSeed> {
        let bytes = STANDARD.decode(secret.expose().trim()).map_err(|_| InvalidSeed)?;
        bytes.try_into().map(Self).map_err(|_| InvalidSeed)
    }

    /// As a runtime imports it: PKCS #8, in DER.
    pub fn pkcs8(&self) -> [u8; 48] {
        let mut der = [0; 48];
        for (byte, from) in der.iter_mut().zip(PKCS8.iter().chain(&self.0)) {
            *byte = *from;
        }
        der
    }
}

/// The runtime could not sign or verify. That says nothing of any signature.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the runtime's cryptography failed: {0}")]
pub struct SigningError(pub String);

/// A private key that can be used, and never be read.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Signer {
    /// What its signatures are checked with.
    fn public_key(&self) -> &PublicKey;

    /// Signs a message. The same message always has the same signature.
    async fn sign(&self, message: &[u8]) -> Result<Signature, SigningError>;
}

/// The signer of a host that has no key.
#[derive(Clone, Copy, Debug)]
pub enum NoSigner {}

impl Signer for NoSigner {
    fn public_key(&self) -> &PublicKey {
        match *self {}
    }

    async fn sign(&self, _message: &[u8]) -> Result<Signature, SigningError> {
        match *self {}
    }
}

/// What checks signatures.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Verifier {
    /// Whether the key's owner signed this message.
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<bool, SigningError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second test of RFC 8032, section 7.1.
    const SEED: &str = "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
    const KEY: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

    #[test]
    fn a_key_reads_what_it_prints_and_what_openssl_prints() {
        let key: PublicKey = KEY.parse().expect("a key");
        assert_eq!(key.to_string(), KEY);
        // `openssl pkey -pubout` of the seed above.
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n-----END PUBLIC KEY-----\n";
        assert_eq!(key.pem(), pem);
        assert_eq!(pem.parse::<PublicKey>().expect("a PEM"), key);
        assert_eq!(format!("{KEY}\n").parse::<PublicKey>().expect("a line"), key);
    }

    /// Computed by another program, from the definition.
    #[test]
    fn a_verifier_key_is_the_one_of_a_signed_note() {
        let name = KeyName::of(&"https://slipway.example.com/".parse().expect("an address"));
        assert_eq!(
            verifier_key(&name, &KEY.parse().expect("a key")),
            "slipway.example.com+913268e7+AT1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM"
        );
        let odd = KeyName::of(&"http://127.0.0.1:8787/a+b".parse().expect("an address"));
        assert_eq!(odd.as_str(), "127.0.0.1:8787/a%2Bb");
    }

    #[test]
    fn a_key_alone_is_no_verifier_key_wherever_its_base64_has_plus_signs() {
        let key = "15l0/mgGGOA+DE4TRHWF+/x6jO2rRe3acI8wpgUPp8Q=";
        let trusted = TrustedKey::all(key).expect("one key");
        assert_eq!(trusted.iter().map(ToString::to_string).collect::<Vec<_>>(), [key]);
        // What names a key must be of it.
        let named = "slipway.example.com+913268e7+AT1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM";
        assert_eq!(TrustedKey::all(named).expect("one key")[0].to_string(), "slipway.example.com+913268e7");
        let wrong = TrustedKey::all(&named.replace("913268e7", "913268e8")).expect_err("another key's id").to_string();
        assert!(wrong.contains("its parts do not fit each other"), "{wrong}");
    }

    #[test]
    fn other_text_is_neither_key_nor_signature() {
        for text in ["", "PUAX", "%%%", &KEY.replace('=', ""), &format!("{KEY}{KEY}")] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        let signature = STANDARD.encode([7; 64]);
        assert_eq!(signature.parse::<Signature>().expect("64 bytes").to_string(), signature);
        for text in ["", KEY, &signature[4..], &format!("{signature}\n")] {
            assert!(text.parse::<Signature>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_private_key_becomes_the_bytes_that_rfc_8410_has() {
        // The example of RFC 8410, section 10.3.
        let seed = Seed::parse(&Token::new("1O5y2/kTWErVttjx92n4rTr+fCjL8dT74Jeoj0R1WEI=\n")).expect("32 bytes");
        assert_eq!(STANDARD.encode(seed.pkcs8()), "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC");
        for text in ["", "1O5y", "0000000000000000000000000000000000000000000000000000000000000000"] {
            let error = Seed::parse(&Token::new(text)).err().expect(text).to_string();
            assert!(error.contains("openssl rand -base64 32") && !error.contains("1O5y"), "{error}");
        }
        assert_eq!(STANDARD.encode(Seed::parse(&Token::new(SEED)).expect("32 bytes").0), SEED);
    }
}
