//! Who may do what: users with one API token each, and read tokens that open one private repository.
//!
//! API tokens are stored as SHA-256. Read tokens are derived from the depot's secret, so they need no storing.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::indexes::Indexes;
use crate::names::{Repository, is_name};

/// A token for nothing but comparing: its `Debug` says nothing.
pub(crate) struct Presented(pub(crate) String);

/// The users and repositories to begin with, as a seed file has them.
///
/// Applying it adds what is missing and changes what differs; it removes nothing, so it can be applied at every start.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Seed {
    #[serde(default)]
    users: Vec<SeedUser>,
    #[serde(default)]
    repos: Vec<SeedRepository>,
}

#[derive(Clone, Deserialize)]
struct SeedUser {
    name: String,
    token: String,
}

impl std::fmt::Debug for SeedUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeedUser").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize)]
struct SeedRepository {
    owner: String,
    name: String,
    #[serde(default)]
    private: bool,
    /// Users besides the owner who may write.
    #[serde(default)]
    collaborators: Vec<String>,
    #[serde(default)]
    indexes: Indexes,
}

/// Why a seed cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSeed {
    /// It is not JSON of the right shape.
    #[error("the seed is not JSON with `users` and `repos`: {0}")]
    Json(#[from] serde_json::Error),
    /// A user's name has other letters than a path may have.
    #[error("`{0}` cannot be a user's name: letters, digits, `.`, `_` and `-`")]
    UserName(String),
    /// The token of a user is too short to keep anybody out.
    #[error("the token of user `{0}` is shorter than 8 characters: use 48 random hex digits")]
    ShortToken(String),
    /// Two users have the same token, so that it names neither.
    #[error("users `{0}` and `{1}` have the same token")]
    SharedToken(String, String),
    /// A repository's owner or name has other letters than a path may have.
    #[error(transparent)]
    Repository(#[from] crate::names::InvalidName),
    /// A repository's list would be in no form that apt could read.
    #[error("repository `{0}` needs one of `Packages`, `Packages.gz` and `Packages.xz` in `indexes`")]
    NoIndex(Repository),
    /// A repository belongs to nobody.
    #[error("repository `{0}` needs user `{1}`, who is not in the seed and not in the depot")]
    UnknownUser(Repository, String),
}

impl Seed {
    /// Reads a seed file.
    pub fn from_json(text: &str) -> Result<Self, InvalidSeed> {
        Ok(serde_json::from_str(text)?)
    }
}

/// What is known about a repository besides its packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepositoryRecord {
    pub(crate) private: bool,
    #[serde(default)]
    pub(crate) collaborators: Vec<String>,
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) indexes: Indexes,
}

/// All users and repositories; `accounts.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accounts {
    /// Name to SHA-256 of the API token, in hex.
    users: BTreeMap<String, String>,
    pub(crate) repositories: BTreeMap<Repository, RepositoryRecord>,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// It showed no credential.
    Nobody,
    /// It showed one that opens nothing.
    Unknown,
    User(String),
    Reader(Repository),
}

impl Accounts {
    pub(crate) fn apply(&mut self, seed: &Seed, at: &str) -> Result<(), InvalidSeed> {
        for user in &seed.users {
            if !is_name(&user.name) {
                return Err(InvalidSeed::UserName(user.name.clone()));
            }
            if user.token.len() < 8 {
                return Err(InvalidSeed::ShortToken(user.name.clone()));
            }
            let hash = hex(&Sha256::digest(&user.token));
            if let Some((other, _)) = self.users.iter().find(|(name, known)| **name != user.name && **known == hash) {
                return Err(InvalidSeed::SharedToken(other.clone(), user.name.clone()));
            }
            self.users.insert(user.name.clone(), hash);
        }
        for seeded in &seed.repos {
            let repository = Repository::new(&seeded.owner, &seeded.name)?;
            for user in std::iter::once(&seeded.owner).chain(&seeded.collaborators) {
                if !self.users.contains_key(user) {
                    return Err(InvalidSeed::UnknownUser(repository, user.clone()));
                }
            }
            let created_at =
                self.repositories.get(&repository).map_or_else(|| at.to_owned(), |old| old.created_at.clone());
            if seeded.indexes.apt.is_empty() {
                return Err(InvalidSeed::NoIndex(repository));
            }
            let record = RepositoryRecord {
                private: seeded.private,
                collaborators: seeded.collaborators.clone(),
                created_at,
                indexes: seeded.indexes.clone(),
            };
            self.repositories.insert(repository, record);
        }
        Ok(())
    }

    pub(crate) fn viewer(&self, presented: Option<&Presented>, secret: &Secret) -> Viewer {
        let Some(Presented(token)) = presented else { return Viewer::Nobody };
        let hash = hex(&Sha256::digest(token));
        // Every comparison is made, and each takes the same time whatever the token.
        let mut viewer = Viewer::Unknown;
        for (name, known) in &self.users {
            if bool::from(known.as_bytes().ct_eq(hash.as_bytes())) {
                viewer = Viewer::User(name.clone());
            }
        }
        for repository in self.repositories.keys() {
            if bool::from(secret.read_token(repository).as_bytes().ct_eq(token.as_bytes())) {
                viewer = Viewer::Reader(repository.clone());
            }
        }
        viewer
    }

    /// The owner and the collaborators.
    pub(crate) fn may_write(&self, user: &str, repository: &Repository) -> bool {
        self.repositories.get(repository).is_some_and(|record| {
            repository.owner() == user || record.collaborators.iter().any(|collaborator| collaborator == user)
        })
    }

    /// Everybody reads a public repository; a private one opens to its writers and to its read token.
    pub(crate) fn may_read(&self, viewer: &Viewer, repository: &Repository) -> bool {
        let Some(record) = self.repositories.get(repository) else { return false };
        match viewer {
            _ if !record.private => true,
            Viewer::User(user) => self.may_write(user, repository),
            Viewer::Reader(opened) => opened == repository,
            Viewer::Nobody | Viewer::Unknown => false,
        }
    }
}

/// The depot's own secret: it signs links to the storage and makes read tokens.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn derive(&self, purpose: &str, subject: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(subject.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// 48 hex characters, as packagecloud's read tokens have.
    pub(crate) fn read_token(&self, repository: &Repository) -> String {
        hex(&self.derive("read", &repository.to_string())[..24])
    }

    /// 48 hex characters; here only a part of the install script's address.
    pub(crate) fn master_token(&self, repository: &Repository) -> String {
        hex(&self.derive("master", &repository.to_string())[..24])
    }

    /// What follows `?t=` in a link to the storage: when it ends, and 40 hex characters.
    pub(crate) fn link(&self, path: &str, ends_unix: u64) -> String {
        format!("{ends_unix}_{}", hex(&self.derive("link", &format!("{ends_unix} {path}"))[..20]))
    }

    /// Whether a link's signature is ours for this path, and when it ends.
    pub(crate) fn link_end(&self, path: &str, signature: &str) -> Option<u64> {
        let ends: u64 = signature.split('_').next()?.parse().ok()?;
        bool::from(self.link(path, ends).as_bytes().ct_eq(signature.as_bytes())).then_some(ends)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let mut accounts = Accounts::default();
        let seed = Seed::from_json(
            r#"{"users":[{"name":"ci","token":"token-of-ci"},{"name":"harbour","token":"token-of-harbour"},
                         {"name":"guest","token":"token-of-guest"}],
                "repos":[{"owner":"ci","name":"staging","private":true},
                         {"owner":"harbour","name":"stable","private":false},
                         {"owner":"harbour","name":"shared","private":true,"collaborators":["ci"]}]}"#,
        )
        .expect("the seed is well-formed");
        accounts.apply(&seed, "2026-11-02T09:14:05.000Z").expect("the seed is consistent");
        accounts
    }

    #[test]
    fn a_right_ends_where_the_table_says() {
        let accounts = accounts();
        let secret = Secret::from_bytes([7; 32]);
        let staging_reader = secret.read_token(&"ci/staging".parse().expect("a legal repository"));
        //  token               repository        read   write
        let table = [
            ("token-of-ci", "ci/staging", true, true),
            ("token-of-ci", "harbour/stable", true, false),
            ("token-of-ci", "harbour/shared", true, true),
            ("token-of-harbour", "ci/staging", false, false),
            ("token-of-harbour", "harbour/stable", true, true),
            ("token-of-guest", "harbour/shared", false, false),
            ("token-of-nobody", "ci/staging", false, false),
            ("token-of-nobody", "harbour/stable", true, false),
            (staging_reader.as_str(), "ci/staging", true, false),
            (staging_reader.as_str(), "harbour/shared", false, false),
            ("token-of-ci", "ci/missing", false, false),
        ];
        for (token, name, read, write) in table {
            let repository = name.parse().expect("a legal repository");
            let viewer = accounts.viewer(Some(&Presented(token.to_owned())), &secret);
            assert_eq!(accounts.may_read(&viewer, &repository), read, "{token} reads {name}");
            let writes = matches!(&viewer, Viewer::User(user) if accounts.may_write(user, &repository));
            assert_eq!(writes, write, "{token} writes {name}");
        }
    }

    #[test]
    fn a_link_opens_its_own_path_until_its_own_end() {
        let secret = Secret::from_bytes([7; 32]);
        let link = secret.link("/a/b/1.deb", 1_800_000_000);
        assert_eq!(link.len(), "1800000000_".len() + 40, "{link}");
        assert_eq!(secret.link_end("/a/b/1.deb", &link), Some(1_800_000_000));
        assert_eq!(secret.link_end("/a/b/2.deb", &link), None);
        assert_eq!(secret.link_end("/a/b/1.deb", &link.replace("1800000000", "1900000000")), None);
        assert_eq!(Secret::from_bytes([8; 32]).link_end("/a/b/1.deb", &link), None);
    }

    #[test]
    fn a_seed_applied_twice_changes_nothing() {
        let mut twice = accounts();
        let seed = Seed::from_json(
            r#"{"users":[{"name":"ci","token":"token-of-ci"}],
            "repos":[{"owner":"ci","name":"staging","private":true}]}"#,
        )
        .expect("the seed is well-formed");
        twice.apply(&seed, "2027-01-01T00:00:00.000Z").expect("the seed is consistent");
        assert_eq!(twice, accounts());
    }
}
