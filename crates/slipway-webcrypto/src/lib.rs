//! Signing and verifying by the runtime: Ed25519 in the `WebCrypto` of workerd and of Node.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use js_sys::{Array, Reflect, Uint8Array};
use slipway_core::signing::{PublicKey, Seed, Signature, Signer, SigningError, Verifier};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

const ED25519: &str = "Ed25519";

/// A private key that the runtime holds.
#[derive(Debug)]
pub struct SigningKey {
    key: CryptoKey,
    public: PublicKey,
}

impl SigningKey {
    /// Gives a private key to the runtime, which computes the public one.
    pub async fn import(seed: &Seed) -> Result<Self, SigningError> {
        let imported = async {
            let subtle = subtle()?;
            let der = Uint8Array::from(seed.pkcs8().as_slice());
            let usages = Array::of1(&"sign".into());
            // Only what may be exported tells its public key.
            let key = subtle.import_key_with_str("pkcs8", &der, ED25519, true, &usages)?;
            let key: CryptoKey = JsFuture::from(key).await?.unchecked_into();
            let jwk = JsFuture::from(subtle.export_key("jwk", &key)?).await?;
            let public = Reflect::get(&jwk, &"x".into())?.as_string().unwrap_or_default();
            Ok::<_, JsValue>((key, public))
        };
        let (key, public) = imported.await.map_err(|error| thrown(&error))?;
        // A JWK has the key in base64url without its end, 43 digits for 32 bytes.
        let standard = public.replace('-', "+").replace('_', "/") + "=";
        let public = standard.parse().map_err(|_| SigningError("it told no public key".to_owned()))?;
        Ok(Self { key, public })
    }
}

impl Signer for SigningKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
        let signed = async {
            let message = Uint8Array::from(message);
            let signature = subtle()?.sign_with_str_and_js_u8_array(ED25519, &self.key, &message)?;
            Ok::<_, JsValue>(Uint8Array::new(&JsFuture::from(signature).await?).to_vec())
        };
        let signature = signed.await.map_err(|error| thrown(&error))?;
        let signature =
            signature.try_into().map_err(|_| SigningError("it made no signature of 64 bytes".to_owned()))?;
        Ok(Signature::from_bytes(signature))
    }
}

/// The runtime's `WebCrypto`.
#[derive(Clone, Copy, Debug)]
pub struct WebCrypto;

impl Verifier for WebCrypto {
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<bool, SigningError> {
        let verified = async {
            let subtle = subtle()?;
            let raw = Uint8Array::from(key.as_bytes().as_slice());
            let key = subtle.import_key_with_str("raw", &raw, ED25519, false, &Array::of1(&"verify".into()))?;
            let key: CryptoKey = JsFuture::from(key).await?.unchecked_into();
            let (signature, message) = (Uint8Array::from(signature.as_bytes().as_slice()), Uint8Array::from(message));
            let verified =
                subtle.verify_with_str_and_js_u8_array_and_js_u8_array(ED25519, &key, &signature, &message)?;
            Ok::<_, JsValue>(JsFuture::from(verified).await?.is_truthy())
        };
        verified.await.map_err(|error| thrown(&error))
    }
}

/// The global one: a Worker, a browser and Node have it under one name.
fn subtle() -> Result<SubtleCrypto, JsValue> {
    let global: JsValue = js_sys::global().into();
    let crypto = Reflect::get(&global, &"crypto".into())?;
    Ok(crypto.unchecked_into::<web_sys::Crypto>().subtle())
}

/// What the runtime threw, in its own words. They name no key.
fn thrown(error: &JsValue) -> SigningError {
    let words = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    SigningError(words.or_else(|| error.as_string()).unwrap_or_else(|| "it gave no reason".to_owned()))
}
