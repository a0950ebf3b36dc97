//! What the depot holds: a folder, and the same in memory.
//!
//! ```text
//! journal.ndjson               every accepted write; the truth about packages
//! accounts.json                users (tokens hashed) and repositories
//! secret                       32 random bytes: links to the storage, read tokens
//! keys/{owner}/{name}.asc      the signing key of a repository
//! files/{2 hex}/{sha256}       the packages' bytes, each once
//! incoming/                    uploads under way; emptied at every start
//! apt/{owner}/{name}/{distro}/dists/{codename}/   the signed APT indexes, made again at every start
//! yum/{owner}/{name}/{distro}/{version}/{arch}/   the signed YUM indexes, made again at every start
//! parts/{2 hex}/{sha256}.{list}.xml   each rpm's part of the YUM lists; emptied at every start
//! ```
//!
//! A file is in `files` before its journal line is written, and leaves after the line that removes it. So a kill at
//! any moment leaves at most a file that no line names; the next start removes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngCore as _;
use rand::rngs::OsRng;
use tokio::sync::Notify;

use crate::access::{Accounts, InvalidSeed, RepositoryRecord, Secret, Seed};
use crate::clock::Moment;
use crate::distributions::is_yum;
use crate::folder;
use crate::history::History;
use crate::indexes::Indexes;
use crate::journal::{Action, Entry, Journal, JournalError};
use crate::names::{Distro, Repository};
use crate::package::{About, Key, Package, Sums};
use crate::signing::SigningKey;
use crate::{apt, yum};

/// How long an index that could not be written waits for the next attempt.
const INDEX_RETRY_MS: u64 = 2000;

/// Why the depot's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something in it cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Folder {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another depot has it open: two writers would spoil the journal.
    #[error("another depot uses {}: stop it, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal names a package whose bytes are gone.
    #[error("{} is missing or has another size: the journal holds {filename} there; restore it from a copy", path.display())]
    FileLost {
        /// Where the bytes should be.
        path: PathBuf,
        /// The package.
        filename: String,
    },
    /// The journal contradicts itself.
    #[error("write {seq} of the journal {does}")]
    Contradiction {
        /// The number of the write.
        seq: u64,
        /// What it does that cannot be.
        does: &'static str,
    },
    /// The seed cannot be applied.
    #[error("cannot apply the seed")]
    Seed(#[from] InvalidSeed),
}

/// Why a write was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("the filename has already been taken")]
    Taken,
    #[error("there is no such package")]
    NotFound,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<JournalError> for WriteError {
    fn from(error: JournalError) -> Self {
        Self::Store(error.into())
    }
}

/// A package and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) package: Arc<Package>,
    /// Whether the index has it.
    pub(crate) indexed: bool,
    /// From this moment on the index may have it.
    due: Moment,
    /// Since the last start; the journal keeps writes only.
    pub(crate) downloads: u64,
    /// On its way here after a promotion that was cut half way: nobody sees it yet.
    hidden: Option<Hidden>,
}

/// When a promoted package is in its destination.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Arrival {
    #[default]
    AtOnce,
    AfterMs(u64),
    WhenCleared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hidden {
    Until(Moment),
    UntilCleared,
}

impl Held {
    fn is_seen(&self, now: Moment) -> bool {
        match self.hidden {
            None => true,
            Some(Hidden::Until(moment)) => moment <= now,
            Some(Hidden::UntilCleared) => false,
        }
    }
}

pub(crate) struct State {
    pub(crate) accounts: Accounts,
    pub(crate) packages: BTreeMap<Key, Held>,
    pub(crate) journal: Journal,
    pub(crate) index_delay_ms: u64,
    /// Indexes that differ from the packages, and when they are to be written.
    stale: BTreeMap<(Repository, Distro), BTreeSet<Moment>>,
    history: History,
    keys: BTreeMap<Repository, Arc<SigningKey>>,
}

/// The folder, opened.
pub(crate) struct Store {
    folder: PathBuf,
    pub(crate) secret: Secret,
    state: Mutex<State>,
    /// Something became stale.
    pub(crate) changed: Notify,
    /// Held as long as the store is: no second depot in the same folder.
    _lock: File,
}

/// An upload under way; removed unless it is accepted.
pub(crate) struct Incoming(PathBuf);

impl Incoming {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Accepted files were renamed away: then there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Folder { doing, path, source }
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        for part in ["files", "keys", "apt", "yum"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(cannot("create", &part))?;
        }
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(cannot("create", &lock_path))?;
        lock.try_lock().map_err(|_| StoreError::InUse(folder.to_owned()))?;

        for emptied in ["incoming", "parts"] {
            let emptied = folder.join(emptied);
            let _ = fs::remove_dir_all(&emptied);
            fs::create_dir_all(&emptied).map_err(cannot("create", &emptied))?;
        }

        let (journal, writes) = Journal::open(&folder.join("journal.ndjson"))?;
        folder::sync_folder(folder).map_err(cannot("sync", folder))?;
        let (packages, touched) = replay(writes)?;
        let now = Moment::now();
        let packages = packages
            .into_iter()
            .map(|(key, package)| {
                (key, Held { package: Arc::new(package), indexed: false, due: now, downloads: 0, hidden: None })
            })
            .collect();
        let state = State {
            accounts: read_accounts(&folder.join("accounts.json"))?,
            packages,
            journal,
            index_delay_ms: 0,
            stale: touched.into_iter().map(|index| (index, [now].into())).collect(),
            history: History::default(),
            keys: BTreeMap::new(),
        };
        let store = Self {
            folder: folder.to_owned(),
            secret: read_secret(&folder.join("secret"))?,
            state: Mutex::new(state),
            changed: Notify::new(),
            _lock: lock,
        };
        store.check_files()?;
        {
            let mut state = store.state();
            let repositories: Vec<Repository> = state.accounts.repositories.keys().cloned().collect();
            for repository in repositories {
                let key = store.signing_key(&repository)?;
                state.keys.insert(repository, Arc::new(key));
            }
        }
        Ok(store)
    }

    /// What is held now. Keep it for a moment only: every request needs it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together, so the state is whole even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every package's bytes must be there; bytes of no package are removed.
    fn check_files(&self) -> Result<(), StoreError> {
        let state = self.state();
        let mut named = BTreeSet::new();
        for held in state.packages.values() {
            let path = self.file(&held.package.sums.sha256);
            let size = fs::metadata(&path).map(|file| file.len());
            if size.ok() != Some(held.package.sums.size) {
                return Err(StoreError::FileLost { path, filename: held.package.filename.clone() });
            }
            named.insert(path);
        }
        let files = self.folder.join("files");
        for folder in fs::read_dir(&files).map_err(cannot("list", &files))? {
            let folder = folder.map_err(cannot("list", &files))?.path();
            for file in fs::read_dir(&folder).map_err(cannot("list", &folder))? {
                let file = file.map_err(cannot("list", &folder))?.path();
                if !named.contains(&file) {
                    fs::remove_file(&file).map_err(cannot("remove", &file))?;
                }
            }
        }
        Ok(())
    }

    /// Reads the key of a repository, or makes it.
    fn signing_key(&self, repository: &Repository) -> Result<SigningKey, StoreError> {
        let path = self.folder.join("keys").join(repository.owner()).join(format!("{}.asc", repository.name()));
        match fs::read_to_string(&path) {
            Ok(text) => SigningKey::from_armor(&text).map_err(cannot("read the signing key", &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = SigningKey::generate(&format!("{repository} packages"))
                    .map_err(cannot("make the signing key", &path))?;
                let armor = key.to_armor().map_err(cannot("write the signing key", &path))?;
                folder::replace(&path, armor.as_bytes()).map_err(cannot("write the signing key", &path))?;
                Ok(key)
            }
            Err(error) => Err(cannot("read the signing key", &path)(error)),
        }
    }

    /// Changes users and repositories, and makes that last before anybody sees it.
    fn change_accounts<E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.state();
        let mut accounts = state.accounts.clone();
        change(&mut accounts)?;
        if accounts == state.accounts {
            return Ok(());
        }
        for repository in accounts.repositories.keys() {
            if !state.keys.contains_key(repository) {
                let key = self.signing_key(repository)?;
                state.keys.insert(repository.clone(), Arc::new(key));
            }
        }
        let path = self.folder.join("accounts.json");
        let json = serde_json::to_vec_pretty(&accounts).expect("accounts are text and flags only");
        folder::replace(&path, &json).map_err(cannot("write", &path))?;
        let before = std::mem::replace(&mut state.accounts, accounts);
        let changed: BTreeSet<(Repository, Distro)> = state
            .packages
            .keys()
            .filter(|(repository, ..)| {
                let indexes = |accounts: &Accounts| Some(accounts.repositories.get(repository)?.indexes.clone());
                indexes(&before) != indexes(&state.accounts)
            })
            .map(|(repository, distro, _)| (repository.clone(), distro.clone()))
            .collect();
        for (repository, distro) in changed {
            self.mark_stale(&mut state, &repository, &distro, Moment::now());
        }
        Ok(())
    }

    pub(crate) fn seed(&self, seed: &Seed) -> Result<(), StoreError> {
        let at = Moment::now().iso();
        self.change_accounts(|accounts| accounts.apply(seed, &at).map_err(StoreError::from))
    }

    pub(crate) fn create_repository(&self, repository: &Repository, private: bool) -> Result<(), WriteError> {
        self.change_accounts(|accounts| {
            if accounts.repositories.contains_key(repository) {
                return Err(WriteError::Taken);
            }
            let record = RepositoryRecord {
                private,
                collaborators: Vec::new(),
                created_at: Moment::now().iso(),
                indexes: Indexes::default(),
            };
            accounts.repositories.insert(repository.clone(), record);
            Ok(())
        })
    }

    /// Where the bytes with this digest are.
    pub(crate) fn file(&self, sha256: &str) -> PathBuf {
        self.folder.join("files").join(&sha256[..2]).join(sha256)
    }

    /// Where the YUM repositories of a distro version are: the folder of the architectures.
    pub(crate) fn yum_index(&self, repository: &Repository, distro: &Distro) -> PathBuf {
        let folder = self.folder.join("yum").join(repository.owner()).join(repository.name());
        folder.join(distro.name()).join(distro.version())
    }

    /// Where the APT index of a distro version is: the folder that holds `InRelease`.
    pub(crate) fn apt_index(&self, repository: &Repository, distro: &Distro) -> PathBuf {
        let folder = self.folder.join("apt").join(repository.owner()).join(repository.name());
        folder.join(distro.name()).join("dists").join(distro.version())
    }

    pub(crate) fn public_key(&self, repository: &Repository) -> Option<io::Result<String>> {
        let key = self.state().keys.get(repository).cloned();
        key.map(|key| key.public())
    }

    /// A new file for an upload.
    pub(crate) fn incoming(&self) -> io::Result<(Incoming, File)> {
        let path = self.folder.join("incoming").join(format!("{:032x}", random_u128()));
        let file = File::create_new(&path)?;
        Ok((Incoming(path), file))
    }

    /// Accepts an upload, which must be on disk, synced. After this nothing can lose it.
    pub(crate) fn push(
        &self,
        incoming: &Incoming,
        (repository, distro): (&Repository, &Distro),
        (sums, about): (Sums, About),
        user: &str,
    ) -> Result<Held, WriteError> {
        let mut state = self.state();
        let at = Moment::now();
        let package = Package {
            id: state.journal.next_seq(),
            repository: repository.clone(),
            distro: distro.clone(),
            filename: about.filename(),
            sums,
            about,
            uploader: user.to_owned(),
            created_at: at.iso(),
        };
        let key = package.key();
        if state.packages.contains_key(&key) {
            return Err(WriteError::Taken);
        }
        let file = self.file(&package.sums.sha256);
        let folder = file.parent().expect("a file in `files` has a folder").to_owned();
        fs::create_dir_all(&folder)
            .and_then(|()| fs::rename(incoming.path(), &file))
            .and_then(|()| folder::sync_folder(&folder))
            .and_then(|()| folder::sync_folder(&self.folder.join("files")))
            .map_err(cannot("keep the upload as", &file))?;
        let entry = entry_for(&package, Action::Push, user, (state.journal.next_seq(), at));
        state.journal.append(Entry { package: Some(package.clone()), ..entry })?;
        let due = at.plus_ms(state.index_delay_ms);
        let held = Held { package: Arc::new(package), indexed: false, due, downloads: 0, hidden: None };
        state.history.note(None, Some(key.clone()));
        state.packages.insert(key, held.clone());
        self.mark_stale(&mut state, repository, distro, due);
        Ok(held)
    }

    pub(crate) fn delete(&self, key: &Key, user: &str) -> Result<(), WriteError> {
        let mut state = self.state();
        let at = Moment::now();
        let seen = state.packages.get(key).filter(|held| held.is_seen(at));
        let package = seen.ok_or(WriteError::NotFound)?.package.clone();
        let entry = entry_for(&package, Action::Delete, user, (state.journal.next_seq(), at));
        state.journal.append(entry)?;
        let removed = state.packages.remove(key);
        state.history.note(removed, None);
        let due = at.plus_ms(state.index_delay_ms);
        self.mark_stale(&mut state, &key.0, &key.1, due);
        if state.packages.values().all(|other| other.package.sums.sha256 != package.sums.sha256) {
            // A file that stays behind is removed at the next start.
            let _ = fs::remove_file(self.file(&package.sums.sha256));
        }
        Ok(())
    }

    /// Moves a package to another repository, with its distro version, identity and date.
    ///
    /// Until its `arrival` nobody sees it in the destination.
    pub(crate) fn promote(
        &self,
        key: &Key,
        destination: &Repository,
        arrival: Arrival,
        user: &str,
    ) -> Result<Held, WriteError> {
        let mut state = self.state();
        let at = Moment::now();
        let seen = state.packages.get(key).filter(|held| held.is_seen(at));
        let package = seen.ok_or(WriteError::NotFound)?.package.clone();
        let moved = Package { repository: destination.clone(), ..(*package).clone() };
        if state.packages.contains_key(&moved.key()) {
            return Err(WriteError::Taken);
        }
        let entry = entry_for(&package, Action::Promote, user, (state.journal.next_seq(), at));
        state.journal.append(Entry { destination: Some(destination.clone()), ..entry })?;
        let left = at.plus_ms(state.index_delay_ms);
        let (hidden, arrives) = match arrival {
            Arrival::AtOnce => (None, left),
            Arrival::WhenCleared => (Some(Hidden::UntilCleared), left),
            Arrival::AfterMs(ms) => (Some(Hidden::Until(at.plus_ms(ms))), left.plus_ms(ms)),
        };
        let held = Held { package: Arc::new(moved), indexed: false, due: arrives, downloads: 0, hidden };
        let removed = state.packages.remove(key);
        state.history.note(removed, Some(held.package.key()));
        state.packages.insert(held.package.key(), held.clone());
        self.mark_stale(&mut state, &key.0, &key.1, left);
        self.mark_stale(&mut state, destination, &key.1, arrives);
        Ok(held)
    }

    /// What was promoted half way arrives now.
    pub(crate) fn arrive_all(&self) {
        let mut state = self.state();
        let now = Moment::now();
        let mut arrived = BTreeSet::new();
        for held in state.packages.values_mut().filter(|held| !held.is_seen(now)) {
            held.hidden = None;
            held.due = now;
            arrived.insert((held.package.repository.clone(), held.package.distro.clone()));
        }
        for (repository, distro) in arrived {
            self.mark_stale(&mut state, &repository, &distro, now);
        }
        self.changed.notify_one();
    }

    /// The packages of a repository, as they were so many writes to it ago.
    pub(crate) fn packages(&self, repository: &Repository, writes_ago: usize) -> Vec<Held> {
        let (state, now) = (self.state(), Moment::now());
        let here = state.packages.iter().filter(|(key, held)| key.0 == *repository && held.is_seen(now));
        let here = here.map(|(key, held)| (key.clone(), held.clone())).collect();
        state.history.before(repository, writes_ago, here)
    }

    /// A package that can be seen.
    pub(crate) fn package(&self, key: &Key) -> Option<Arc<Package>> {
        let (state, now) = (self.state(), Moment::now());
        state.packages.get(key).filter(|held| held.is_seen(now)).map(|held| held.package.clone())
    }

    pub(crate) fn count_download(&self, key: &Key) {
        if let Some(held) = self.state().packages.get_mut(key) {
            held.downloads += 1;
        }
    }

    fn mark_stale(&self, state: &mut State, repository: &Repository, distro: &Distro, due: Moment) {
        state.stale.entry((repository.clone(), distro.clone())).or_default().insert(due);
        self.changed.notify_one();
    }

    /// Writes every index that is due and not held back; says when the next one is.
    pub(crate) fn write_due_indexes(&self, is_held: impl Fn(&Repository, &Distro) -> bool) -> Option<Moment> {
        let now = Moment::now();
        let due: Vec<(Repository, Distro)> = {
            let mut state = self.state();
            let mut due = Vec::new();
            for (index, moments) in &mut state.stale {
                if is_held(&index.0, &index.1) {
                    continue;
                }
                let later = moments.split_off(&now.plus_ms(1));
                if !std::mem::replace(moments, later).is_empty() {
                    due.push(index.clone());
                }
            }
            state.stale.retain(|_, moments| !moments.is_empty());
            due
        };
        for (repository, distro) in due {
            if let Err(error) = self.write_index(&repository, &distro, now) {
                eprintln!("depot: cannot write the index of {repository} for {distro}: {error}; trying again");
                self.mark_stale(&mut self.state(), &repository, &distro, now.plus_ms(INDEX_RETRY_MS));
            }
        }
        let state = self.state();
        let waiting = state.stale.iter().filter(|((repository, distro), _)| !is_held(repository, distro));
        waiting.filter_map(|(_, moments)| moments.first()).min().copied()
    }

    fn write_index(&self, repository: &Repository, distro: &Distro, now: Moment) -> io::Result<()> {
        let (packages, key, indexes) = {
            let state = self.state();
            let indexes = state.accounts.repositories.get(repository).map(|record| record.indexes.clone());
            let held = state.packages.values().filter(|held| {
                let package = &held.package;
                package.repository == *repository
                    && package.distro == *distro
                    && (held.indexed || held.due <= now)
                    && held.is_seen(now)
            });
            let packages = held.map(|held| held.package.clone()).collect::<Vec<_>>();
            (packages, state.keys.get(repository).cloned(), indexes.unwrap_or_default())
        };
        let key = key.ok_or_else(|| io::Error::other("the repository has no signing key"))?;
        if is_yum(distro) {
            let parts = self.folder.join("parts");
            let shelves = yum::Shelves { file: &|digest| self.file(digest), parts: &parts };
            yum::write_index(&self.yum_index(repository, distro), &packages, &shelves, indexes.yum, (&key, now))?;
        } else {
            let folder = self.apt_index(repository, distro);
            apt::write_index(&folder, (repository, distro), &packages, &indexes.apt, (&key, now))?;
        }
        let mut state = self.state();
        for package in packages {
            if let Some(held) = state.packages.get_mut(&package.key())
                && held.package.id == package.id
            {
                held.indexed = true;
            }
        }
        Ok(())
    }
}

fn entry_for(package: &Package, action: Action, user: &str, (seq, at): (u64, Moment)) -> Entry {
    Entry {
        seq,
        at: at.iso(),
        user: user.to_owned(),
        action,
        repo: package.repository.clone(),
        destination: None,
        distro: package.distro.clone(),
        filename: package.filename.clone(),
        sha256: package.sums.sha256.clone(),
        size: package.sums.size,
        status: if action == Action::Delete { 200 } else { 201 },
        package: None,
    }
}

type Replayed = (BTreeMap<Key, Package>, BTreeSet<(Repository, Distro)>);

/// The packages after all writes, and the indexes that any write touched: an emptied one must be written, too.
fn replay(writes: Vec<Entry>) -> Result<Replayed, StoreError> {
    let mut packages = BTreeMap::new();
    let mut touched = BTreeSet::new();
    for entry in writes {
        let contradiction = |does| StoreError::Contradiction { seq: entry.seq, does };
        let key = (entry.repo.clone(), entry.distro.clone(), entry.filename.clone());
        touched.insert((entry.repo.clone(), entry.distro.clone()));
        if entry.action == Action::Push {
            let package = entry.package.ok_or(contradiction("pushes a package that it does not describe"))?;
            if package.key() != key || packages.insert(key, package).is_some() {
                return Err(contradiction("pushes a package over another one"));
            }
            continue;
        }
        let package = packages.remove(&key).ok_or(contradiction("is about a package that is not there"))?;
        if entry.action == Action::Promote {
            let destination = entry.destination.ok_or(contradiction("promotes to nowhere"))?;
            touched.insert((destination.clone(), entry.distro.clone()));
            let moved = Package { repository: destination, ..package };
            if packages.insert(moved.key(), moved).is_some() {
                return Err(contradiction("promotes a package over another one"));
            }
        }
    }
    Ok((packages, touched))
}

fn read_accounts(path: &Path) -> Result<Accounts, StoreError> {
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| cannot("read", path)(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Accounts::default()),
        Err(error) => Err(cannot("read", path)(error)),
    }
}

fn read_secret(path: &Path) -> Result<Secret, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            OsRng.fill_bytes(&mut bytes);
            folder::replace(path, &bytes).map_err(cannot("write", path))?;
            bytes.to_vec()
        }
        Err(error) => return Err(cannot("read", path)(error)),
    };
    let bytes: [u8; 32] =
        bytes.try_into().map_err(|_| cannot("read", path)(io::Error::other("it is not 32 bytes long")))?;
    Ok(Secret::from_bytes(bytes))
}

pub(crate) fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    u128::from_be_bytes(bytes)
}
