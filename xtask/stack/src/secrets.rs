//! Random secrets for a stack on loopback, kept in its folder so that a restart finds them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// 42 digits of these and `0=` make the base64 of 32 bytes, which keys are, and GitLab's signing tokens.
const KEY_BYTES: usize = 21;

/// The names that the Worker's bindings have: how each begins, and how many random bytes follow. As hexadecimal digits
/// these are base64, too, so that a signing token is one.
const NAMES: [(&str, &str, usize); 16] = [
    ("GITLAB_TOKEN", "", 16),
    ("GITLAB_STATUS_TOKEN", "", 16),
    ("STAGING_TOKEN", "", 24),
    ("PUBLIC_TOKEN", "", 24),
    // Of somebody who may write where the edge does, and is not the edge. The Worker has no use for it.
    ("HAND_TOKEN", "", 24),
    ("REGISTRY_STAGING_TOKEN", "", 24),
    ("REGISTRY_PUBLIC_TOKEN", "", 24),
    ("WEBHOOK_TOKEN_TUG", "", 24),
    ("WEBHOOK_TOKEN_PILOT", "", 24),
    ("SIGNING_TOKEN_TUG", "whsec_", KEY_BYTES),
    ("EVENTS_TOKEN", "whsec_", KEY_BYTES),
    ("TRIGGER_TOKEN", "", 16),
    ("OPERATOR_TOKEN", "", 24),
    ("METRICS_TOKEN", "", 24),
    ("SLIPWAY_EDGE_KEY", "", 32),
    ("SIGNING_KEY", "", KEY_BYTES),
];

/// Secrets by the names that `slipway.toml` gives them. They never leave loopback.
#[derive(Clone)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Those of the folder's last start; new ones where there are none.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let file = Self::file(folder);
        let mut secrets: BTreeMap<String, String> = match std::fs::read_to_string(&file) {
            Ok(text) => read(&text).with_context(|| format!("cannot read `{}`", file.display()))?,
            Err(_) => BTreeMap::new(),
        };
        for (name, start, bytes) in NAMES {
            if !secrets.contains_key(name) {
                let end = if bytes == KEY_BYTES { "0=" } else { "" };
                secrets.insert(name.to_owned(), format!("{start}{}{end}", random_hex(bytes)?));
            }
        }
        let text: serde_json::Value = secrets.clone().into_iter().collect();
        write_private(&file, &format!("{text:#}\n"))?;
        Ok(Self(secrets))
    }

    /// Where those of a stack in this folder are kept, for its user alone.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("secrets.json")
    }

    /// The secret of this name.
    ///
    /// # Panics
    /// For a name that a stack on loopback has no secret for.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).expect("a stack on loopback has a secret of each name it uses")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn read(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let secrets = value.as_object().context("it is no JSON object")?;
    secrets
        .iter()
        .map(|(name, secret)| Ok((name.clone(), secret.as_str().context("a secret is no text")?.to_owned())))
        .collect()
}

/// Random bytes from the system, as hexadecimal digits.
pub fn random_hex(bytes: usize) -> anyhow::Result<String> {
    use std::fmt::Write as _;
    let mut random = vec![0; bytes];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("cannot read random bytes from `/dev/urandom`")?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let draft = file.with_extension("draft");
    let write = || {
        let _ = std::fs::remove_file(&draft);
        let mut open = std::fs::OpenOptions::new();
        open.write(true).create_new(true).mode(0o600).open(&draft)?.write_all(text.as_bytes())?;
        std::fs::rename(&draft, file)
    };
    write().with_context(|| format!("cannot write `{}`", file.display()))
}
