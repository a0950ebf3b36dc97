//! The key that heads of the audit and attestations are signed with, and what of it is public.

use slipway_core::api::SigningKeys;
use slipway_core::config::Config;
use slipway_core::signing::{KeyName, Seed, Signer as _, SigningError};
use slipway_webcrypto::SigningKey;
use worker::Env;

use crate::answer::{Answer, json};
use crate::settings;

/// The edge's signing key, where `slipway.toml` names one. It is imported anew for each run that signs: no JavaScript handle
/// outlives what it was made for.
pub(crate) async fn key(env: &Env) -> Result<Option<SigningKey>, SigningError> {
    let failed = |error: worker::Error| SigningError(error.to_string());
    let Some(name) = settings::config().map_err(failed)?.edge.signing_key.clone() else { return Ok(None) };
    let seed = Seed::parse(&settings::secret(env, &name).map_err(failed)?);
    let seed = seed.map_err(|error| SigningError(format!("the secret `{name}` cannot be used: {error}")))?;
    Ok(Some(SigningKey::import(&seed).await?))
}

/// The public keys, for whoever checks what is signed.
pub(crate) async fn keys(env: &Env, config: &Config) -> Answer {
    let key = key(env).await.map_err(|error| worker::Error::RustError(error.to_string()))?;
    let current = key.as_ref().map(SigningKey::public_key);
    json(200, &SigningKeys::of(&KeyName::of(&config.edge.url), current, &config.edge.former_keys))
}
