//! A registry on loopback that keeps the rules of the OCI distribution specification 1.1 until it is told otherwise.
//!
//! It holds blobs and manifests in memory, checks digests, and refuses a manifest whose parts it lacks. A [`Manner`] says
//! how it behaves where registries differ, and a [`Fault`] is what goes wrong once: among them *do the work, and then fail*.
//! It keeps a journal of what it was asked and of how many bytes came.
//!
//! Absent on purpose: everything that nobody asks here, such as deleting; and TLS.

mod serve;
mod shelf;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_wire::Digest;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use shelf::{Stored, Upload};

/// How a registry behaves where registries differ.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// What it does in its own way.
    pub quirks: BTreeSet<Quirk>,
    /// What it wants to be shown.
    pub wants: Wants,
}

/// One thing that some registries do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quirk {
    /// `Location` is a path alone.
    RelativeLocations,
    /// Blobs are at another address, which refuses credentials.
    RedirectsBlobs,
    /// A mount is answered with an upload, as if the other repository had nothing.
    NeverMounts,
    /// An upload whose connection breaks is forgotten, as Debian's registry does.
    ForgetsUploads,
    /// Referrers have an API.
    HasReferrers,
    /// `HEAD` and `GET` of a manifest name no digest.
    NamesNoDigest,
    /// Only the first missing part of a manifest is named.
    NamesOnePart,
    /// A `HEAD` or `GET` of an index that does not name its type finds nothing, as at Debian's registry.
    WantsAccept,
    /// A mount that cannot be is refused, instead of beginning an upload.
    RefusesMounts,
    /// A piece of an upload is answered 201, and how much has arrived cannot be asked, as at ECR.
    AnswersPiecesWith201,
    /// The request that ends an upload in pieces must have no body, as at Cloudflare's.
    WantsEmptyEnds,
    /// An index or image that does not say what it is is refused, as at Cloudflare's.
    WantsMediaTypes,
    /// A manifest is refused when what it says something about is not there, as at Cloudflare's.
    WantsSubjects,
    /// `Docker-Content-Digest` of what was stored is missing, and its `Location` too.
    SaysNothingOfWhatIsStored,
}

impl Manner {
    /// An open registry with some quirks.
    pub fn with(quirks: impl IntoIterator<Item = Quirk>) -> Self {
        Self { quirks: quirks.into_iter().collect(), wants: Wants::Nothing }
    }

    pub(crate) fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

/// What a registry wants to be shown.
#[derive(Clone, Debug, Default)]
pub enum Wants {
    /// Nothing.
    #[default]
    Nothing,
    /// A user and a password.
    Basic(String),
    /// A token from itself, which is good for so many requests.
    Tokens {
        /// After so many requests it has run out.
        good_for: u32,
    },
}

/// What goes wrong, once, at the first request that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The request's method.
    pub method: &'static str,
    /// A part of its path.
    pub path: String,
    /// What happens.
    pub what: What,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing is done, and this status is the answer; with `Retry-After: 1` where it is 429.
    Refuse(u16),
    /// The work is done, and this status is the answer.
    DoAndRefuse(u16),
    /// The connection breaks when so many bytes of the body have come.
    HangUpAfter(u64),
    /// The work is done, and the connection breaks.
    DoAndHangUp,
    /// An uploaded blob loses its last byte, and the answer is 201.
    Truncate,
    /// An uploaded blob becomes others of the same length, and the answer is 201.
    Swap,
    /// A stored manifest is kept under the name that was asked for with other bytes, and the answer is 201.
    Bend,
    /// Blobs that no manifest names are collected before the request is answered.
    Collect,
}

/// What a registry was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Method and path with its query.
    pub request: String,
    /// The status of the answer; 0 where the connection broke.
    pub status: u16,
    /// How many bytes of the body came.
    pub bytes: u64,
    /// Whether a credential was shown.
    pub with_credential: bool,
}

#[derive(Debug, Default)]
struct State {
    manner: Manner,
    faults: VecDeque<Fault>,
    journal: Vec<Asked>,
    blobs: BTreeMap<(String, Digest), Vec<u8>>,
    manifests: BTreeMap<(String, String), Stored>,
    uploads: BTreeMap<u64, Upload>,
    next_upload: u64,
    tokens: BTreeMap<String, u32>,
    own: String,
    storage: String,
    watched: Option<String>,
    seen: Vec<String>,
}

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct Registry {
    state: Arc<Mutex<State>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Registry {
    /// Starts one on loopback, in the runtime of the caller.
    pub async fn start(manner: Manner) -> std::io::Result<Self> {
        let (own, storage) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let state = Arc::new(Mutex::new(State {
            manner,
            own: format!("http://{}", own.local_addr()?),
            storage: format!("http://{}", storage.local_addr()?),
            ..State::default()
        }));
        let tasks = vec![
            tokio::spawn(serve::registry(own, Arc::clone(&state))),
            tokio::spawn(serve::storage(storage, Arc::clone(&state))),
        ];
        Ok(Self { state, tasks })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.state().own.clone()
    }

    /// The address of its storage.
    pub fn storage_url(&self) -> String {
        self.state().storage.clone()
    }

    /// Has something go wrong, after all that is to go wrong already.
    pub fn fault(&self, method: &'static str, path: impl Into<String>, what: What) {
        self.state().faults.push_back(Fault { method, path: path.into(), what });
    }

    /// Whether everything that was to go wrong has.
    pub fn is_spent(&self) -> bool {
        self.state().faults.is_empty()
    }

    /// What it was asked since the last time that this was called.
    pub fn journal(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().journal)
    }

    /// What it holds under a tag or a digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<Stored> {
        self.state().manifests.get(&(repository.to_owned(), name.to_owned())).cloned()
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.state().blobs.get(&(repository.to_owned(), *digest)).cloned()
    }

    /// Puts a blob there, whatever its digest.
    pub fn put_blob(&self, repository: &str, digest: Digest, bytes: Vec<u8>) {
        self.state().blobs.insert((repository.to_owned(), digest), bytes);
    }

    /// Puts a manifest there, under its digest and under `tag`. Returns its digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let stored = Stored { media_type: media_type.to_owned(), bytes: bytes.to_vec() };
        let mut state = self.state();
        for name in [tag.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.to_owned(), name), stored.clone());
        }
        digest
    }

    /// From now on the repository is looked at after every request, as by a reader who asks all the time.
    pub fn watch(&self, repository: &str) {
        self.state().watched = Some(repository.to_owned());
    }

    /// What such a reader found under a tag, and was not whole.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.state().seen)
    }

    /// Takes blobs away that no manifest names.
    pub fn collect(&self) {
        shelf::collect(&mut self.state());
    }

    /// Whether everything that a name leads to is here, with the right bytes; if not, what is wrong. A tag for which it is
    /// not must never be seen.
    pub fn whole(&self, repository: &str, name: &str) -> Result<(), String> {
        shelf::whole(&self.state(), repository, name)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
