//! Moving a package from one place to another, counted and hashed on the way.

use crate::call::{Response, Unreachable};
use crate::digest::Digest;
use crate::pace::TooSlow;

/// One transfer: read from `source`, send to `upload` with `prefix` before and `suffix` after the package's bytes.
///
/// The size is known beforehand, so the upload has a fixed length and a body cut short can never look complete.
#[derive(Debug)]
pub struct Transfer {
    /// A `GET` that answers 200 with the bytes. Redirects have been resolved before.
    pub source: http::Request<()>,
    /// Method, address and headers of the upload.
    pub upload: http::Request<()>,
    /// What stands before the package in the upload's body: a multipart header, or nothing.
    pub prefix: Vec<u8>,
    /// What stands after it.
    pub suffix: Vec<u8>,
    /// How many bytes the package has.
    pub size: u64,
    /// How many of them the destination has from an upload that broke off. They are read and hashed, and not sent.
    pub skip: u64,
    /// What their digest must be.
    pub digest: Digest,
}

impl Transfer {
    /// How many bytes the upload's body has.
    pub fn sent_bytes(&self) -> u64 {
        let around = u64::try_from(self.prefix.len() + self.suffix.len()).unwrap_or(u64::MAX);
        self.size.saturating_sub(self.skip).saturating_add(around)
    }
}

/// How a transfer ended.
#[derive(Debug)]
pub enum Relayed {
    /// Every byte was sent and had the digest; the destination gave this answer.
    Answered(Response),
    /// The destination answered before it had the whole body. What was sent is not complete.
    AnsweredEarly(Response),
    /// The source holds other bytes. The end of the body was withheld, so the destination has accepted nothing.
    Withheld {
        /// The digest of what the source holds. `None` when already its length was wrong.
        found: Option<Digest>,
        /// How many bytes it has.
        size: u64,
    },
}

/// Why a transfer has no end that could be judged.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The source said no.
    #[error("the source refuses to give the package: status {0}")]
    Source(http::StatusCode),
    /// One side went away. The destination may have the package all the same.
    #[error("the transfer broke: {0}")]
    Broken(#[from] Unreachable),
    /// It was given up because it could not end in time. The end of the body was withheld, so the destination has
    /// accepted nothing.
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
}

/// The port through which package bytes move. Hosts use native streams; tests hold bytes.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait Relay {
    /// Runs one transfer to its end.
    async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError>;
}
