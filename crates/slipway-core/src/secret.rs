//! Comparing secrets, and what the edge signs for itself: sessions of jobs and one-time capabilities.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use slipway_gitlab::AccessLevel;
use slipway_gitlab::id_token::Claims;
use slipway_wire::Token;
use subtle::ConstantTimeEq;

use crate::time::Timestamp;

/// A session ends with its job, at latest after this.
const SESSION_HOURS_MAX: u64 = 3;

/// Whether somebody knows a secret. The time taken tells nothing: digests of both are compared, byte for byte.
pub fn knows(given: &str, secret: &Token) -> bool {
    Sha256::digest(given).ct_eq(&Sha256::digest(secret.expose())).into()
}

/// The edge's own key: 32 random bytes, kept as a secret of the deployment.
#[derive(Clone)]
pub struct EdgeKey([u8; 32]);

/// A text that is not an edge key. It is not shown: it may be most of one.
#[derive(Debug, thiserror::Error)]
#[error("`SLIPWAY_EDGE_KEY` must be 64 hex digits (32 random bytes, as `openssl rand -hex 32` prints them)")]
pub struct InvalidEdgeKey;

/// Why a signed text is refused.
#[derive(Debug, thiserror::Error)]
pub enum NotSealed {
    /// It was not signed by this edge, or was changed.
    #[error("it was not issued by this edge")]
    Forged,
    /// It ended.
    #[error("it ended at {0}")]
    Ended(Timestamp),
}

impl EdgeKey {
    /// Reads the secret.
    pub fn parse(secret: &Token) -> Result<Self, InvalidEdgeKey> {
        let digest: slipway_wire::Digest = secret.expose().parse().map_err(|_| InvalidEdgeKey)?;
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidEdgeKey)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidEdgeKey)?;
        }
        Ok(Self(key))
    }

    /// `payload.signature`, both base64url. `purpose` keeps one kind of text from passing for another.
    pub fn seal<T: Serialize>(&self, purpose: &str, value: &T) -> Result<String, serde_json::Error> {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?);
        let signature = URL_SAFE_NO_PAD.encode(self.mac(purpose, &payload).finalize().into_bytes());
        Ok(format!("{payload}.{signature}"))
    }

    /// The value that [`EdgeKey::seal`] signed for this purpose.
    pub fn open<T: for<'de> Deserialize<'de>>(&self, purpose: &str, text: &str) -> Result<T, NotSealed> {
        let (payload, signature) = text.split_once('.').ok_or(NotSealed::Forged)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotSealed::Forged)?;
        // `verify_slice` compares in constant time.
        self.mac(purpose, payload).verify_slice(&signature).map_err(|_| NotSealed::Forged)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| NotSealed::Forged)?;
        serde_json::from_slice(&payload).map_err(|_| NotSealed::Forged)
    }

    fn mac(&self, purpose: &str, payload: &str) -> Hmac<Sha256> {
        // A key shorter than a block is filled up with zeros (RFC 2104), so this is HMAC with the 32 bytes.
        let mut block = [0; 64];
        for (byte, own) in block.iter_mut().zip(self.0) {
            *byte = own;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(payload.as_bytes());
        mac
    }
}

/// What the edge knows of a job that showed its ID token, until the session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSession {
    /// The job's project.
    pub project_id: u64,
    /// The project's path today, for links alone: paths can change hands.
    pub project_path: String,
    /// The job's pipeline.
    pub pipeline_id: u64,
    /// The job.
    pub job_id: u64,
    /// Who runs it: for a manual job, who played it.
    pub user: String,
    /// GitLab's id of them. 0 in a session that an earlier version of the edge opened.
    #[serde(default)]
    pub user_id: u64,
    /// Their role in the project.
    #[serde(default)]
    pub user_level: Option<AccessLevel>,
    /// The environment that GitLab signed.
    pub environment: Option<String>,
    /// Whether GitLab protects it.
    #[serde(default)]
    pub environment_protected: bool,
    /// Branch or tag.
    pub ref_name: String,
    /// Commit.
    pub sha: String,
    /// The id of the token that was exchanged.
    pub token_id: String,
    /// When the session ends.
    pub ends_at: Timestamp,
}

const SESSION: &str = "session";

impl JobSession {
    /// The session of a job whose claims were judged and found good.
    pub fn of(claims: Claims) -> Self {
        let issued_at = Timestamp(i64::try_from(claims.iat).unwrap_or(i64::MAX).saturating_mul(1000));
        Self {
            project_id: claims.project_id,
            project_path: claims.project_path,
            pipeline_id: claims.pipeline_id,
            job_id: claims.job_id,
            user: claims.user_login,
            user_id: claims.user_id,
            user_level: claims.user_access_level.as_deref().and_then(AccessLevel::of_word),
            environment: claims.environment,
            environment_protected: claims.environment_protected == Some(true),
            ref_name: claims.ref_name,
            sha: claims.sha.unwrap_or_default(),
            token_id: claims.jti,
            ends_at: Self::end(issued_at),
        }
    }

    /// When a session ends that began with a token of this time.
    pub fn end(token_issued_at: Timestamp) -> Timestamp {
        token_issued_at + Duration::from_secs(SESSION_HOURS_MAX * 3600)
    }

    /// The text that the job sends from now on. The same session always gives the same text.
    pub fn seal(&self, key: &EdgeKey) -> Result<String, serde_json::Error> {
        key.seal(SESSION, self)
    }

    /// The session that a text stands for.
    pub fn open(text: &str, key: &EdgeKey, now: Timestamp) -> Result<Self, NotSealed> {
        let session: Self = key.open(SESSION, text)?;
        if session.ends_at <= now { Err(NotSealed::Ended(session.ends_at)) } else { Ok(session) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> EdgeKey {
        EdgeKey::parse(&Token::new(digit.repeat(64))).expect("64 hex digits")
    }

    fn session() -> JobSession {
        JobSession {
            project_id: 1001,
            project_path: "harbour/tug".to_owned(),
            pipeline_id: 5,
            job_id: 9,
            user: "mira".to_owned(),
            user_id: 7,
            user_level: Some(AccessLevel::Maintainer),
            environment: None,
            environment_protected: false,
            ref_name: "v1".to_owned(),
            sha: "0".repeat(40),
            token_id: "t".to_owned(),
            ends_at: Timestamp(1_000),
        }
    }

    #[test]
    fn a_session_opens_until_it_ends() {
        let text = session().seal(&key("a")).expect("JSON");
        assert_eq!(JobSession::open(&text, &key("a"), Timestamp(999)).expect("its own"), session());
        assert!(matches!(JobSession::open(&text, &key("a"), Timestamp(1_000)), Err(NotSealed::Ended(_))));
    }

    #[test]
    fn a_changed_session_or_another_key_or_purpose_does_not_open() {
        let text = session().seal(&key("a")).expect("JSON");
        assert!(JobSession::open(&text, &key("b"), Timestamp(0)).is_err());
        assert!(key("a").open::<JobSession>("capability", &text).is_err());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            if let Ok(opened) = JobSession::open(&changed, &key("a"), Timestamp(0)) {
                assert_eq!(opened, session(), "byte {at}");
            }
        }
    }

    #[test]
    fn only_the_secret_itself_is_known() {
        let secret = Token::new("whsec");
        assert!(knows("whsec", &secret));
        for other in ["", "whse", "whsec ", "WHSEC"] {
            assert!(!knows(other, &secret), "{other}");
        }
    }
}
