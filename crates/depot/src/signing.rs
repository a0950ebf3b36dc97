//! The key of a repository, and its signatures.
//!
//! Ed25519 in the form of `OpenPGP` version 4 that `gpgv` has read since 2014, and so every apt in use.

use std::io;

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable as _, DetachedSignature, EncryptionCaps, KeyType,
    SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::Password;
use rand::rngs::OsRng;

/// The secret key of a repository.
pub(crate) struct SigningKey(SignedSecretKey);

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("OpenPGP: {error}"))
}

impl SigningKey {
    pub(crate) fn generate(user_id: &str) -> io::Result<Self> {
        let parameters = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .can_encrypt(EncryptionCaps::None)
            .primary_user_id(user_id.to_owned())
            .build()
            .map_err(failed)?;
        parameters.generate(OsRng).map(Self).map_err(failed)
    }

    pub(crate) fn from_armor(text: &str) -> io::Result<Self> {
        SignedSecretKey::from_string(text).map(|(key, _)| Self(key)).map_err(failed)
    }

    /// The secret key as text. It is not encrypted: the file's mode is what protects it.
    pub(crate) fn to_armor(&self) -> io::Result<String> {
        self.0.to_armored_string(ArmorOptions::default()).map_err(failed)
    }

    /// The public key as text, as `gpgkey` serves it.
    pub(crate) fn public(&self) -> io::Result<String> {
        self.0.to_public_key().to_armored_string(ArmorOptions::default()).map_err(failed)
    }

    /// The text with a signature around it: `InRelease`.
    pub(crate) fn sign_around(&self, text: &str) -> io::Result<String> {
        CleartextSignedMessage::sign(OsRng, text, &self.0.primary_key, &Password::empty())
            .and_then(|message| message.to_armored_string(ArmorOptions::default()))
            .map_err(failed)
    }

    /// The signature alone: `Release.gpg`.
    pub(crate) fn sign_beside(&self, text: &str) -> io::Result<String> {
        let hash = HashAlgorithm::Sha512;
        DetachedSignature::sign_binary_data(OsRng, &self.0.primary_key, &Password::empty(), hash, text.as_bytes())
            .and_then(|signature| signature.to_armored_string(ArmorOptions::default()))
            .map_err(failed)
    }
}
