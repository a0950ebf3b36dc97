//! The RSA keys that sign ID tokens. They are kept in the data folder, so a restart keeps every token valid.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::OsRng,
    traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BITS: usize = 2048;

/// The published keys, newest first; and one that was never published.
pub(super) struct Keys {
    folder: PathBuf,
    published: Vec<Key>,
    other: OnceLock<Key>,
}

/// One key pair.
pub(super) struct Key {
    private: RsaPrivateKey,
    /// The thumbprint of RFC 7638, as GitLab names its keys.
    pub(super) id: String,
}

impl Keys {
    /// Reads the keys of the folder; makes the first one when there is none.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut keys = Self { folder: folder.to_owned(), published: Vec::new(), other: OnceLock::new() };
        for number in 1.. {
            let path = keys.path(number);
            if !path.exists() {
                break;
            }
            let private = RsaPrivateKey::read_pkcs8_pem_file(&path)
                .map_err(|error| io::Error::other(format!("cannot read the key {}: {error}", path.display())))?;
            keys.published.insert(0, Key::new(private));
        }
        if keys.published.is_empty() {
            keys.rotate()?;
        }
        Ok(keys)
    }

    /// Signs with a new key from now on; the earlier ones stay published.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let key = Key::generate()?;
        let pem = key.private.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
        write_whole(&self.path(self.published.len() + 1), pem.as_bytes())?;
        self.published.insert(0, key);
        Ok(())
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("id-token-key-{number}.pem"))
    }

    /// The key that signs now.
    pub(super) fn current(&self) -> &Key {
        self.published.first().expect("opening the keys makes one when there is none")
    }

    /// A key that no key set has.
    pub(super) fn other(&self) -> io::Result<&Key> {
        if let Some(other) = self.other.get() {
            return Ok(other);
        }
        let made = Key::generate()?;
        Ok(self.other.get_or_init(|| made))
    }

    /// The JSON Web Key Set.
    pub(super) fn set(&self) -> Value {
        json!({ "keys": self.published.iter().map(Key::public).collect::<Vec<_>>() })
    }
}

impl Key {
    fn generate() -> io::Result<Self> {
        RsaPrivateKey::new(&mut OsRng, BITS).map(Self::new).map_err(io::Error::other)
    }

    fn new(private: RsaPrivateKey) -> Self {
        let thumbprint = format!(
            r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
            URL_SAFE_NO_PAD.encode(private.e().to_bytes_be()),
            URL_SAFE_NO_PAD.encode(private.n().to_bytes_be())
        );
        Self { id: URL_SAFE_NO_PAD.encode(Sha256::digest(thumbprint)), private }
    }

    /// PKCS #1 v1.5 over SHA-256: RS256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rsa::Error> {
        self.private.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
    }

    fn public(&self) -> Value {
        json!({
            "kty": "RSA",
            "kid": self.id,
            "e": URL_SAFE_NO_PAD.encode(self.private.e().to_bytes_be()),
            "n": URL_SAFE_NO_PAD.encode(self.private.n().to_bytes_be()),
            "use": "sig",
            "alg": "RS256",
        })
    }

    /// The public half as PEM: what a forger who confuses algorithms would use as an HMAC key.
    pub(super) fn public_pem(&self) -> io::Result<String> {
        self.private.to_public_key().to_public_key_pem(LineEnding::LF).map_err(io::Error::other)
    }
}

/// A kill leaves the whole file or none.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let draft = path.with_extension("draft");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
