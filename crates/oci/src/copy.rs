//! Bringing an image from one repository to another: blobs first, then the manifests that name them, the image's own
//! last. Only a tag makes it findable, and [`tag`] is called when all the rest is there.
//!
//! What a copy waits for are round trips, so each blob goes on by itself: looked for, begun, sent, within as many connections
//! as its host has. Where one registry has both repositories nothing is sent: the blobs are mounted.
//!
//! It can be cut off anywhere and begun again: what the target has is looked at, not remembered, and what it has is not
//! sent again. Of a large blob that broke off, the registry is asked how much arrived, and the rest is sent; for that alone
//! something is remembered, the upload's address ([`Uploads`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::ready;
use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use http::StatusCode;
use slipway_wire::{CallError, Digest, Http, Relay, RelayError, Relayed, Response, TooSlow, Transfer};

use crate::blobs::{Arrived, BeginUpload, Begun, BlobHead, EndUpload, GetBlob, HeadBlob, Upload, UploadStatus};
use crate::image::{Image, NotWhole};
use crate::manifest::{Descriptor, Manifest};
use crate::manifests::{Put, PutManifest};
use crate::name::{Repository, Tag, Which};
use crate::registry::Location;
use crate::session::{Scope, Session};

/// From this size on a blob is sent so that it can go on where it broke off. That costs one request more for each; smaller
/// ones begin anew, and few of them are under way at a time.
const RESUMABLE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// The addresses of uploads that broke off. Losing one costs sending its blob again.
pub trait Uploads {
    /// Where the upload of a blob goes on.
    fn broken_off(&self, blob: &Digest) -> Option<Location>;
    /// An upload goes on at `location`, or is over.
    fn goes_on_at(&self, blob: &Digest, location: Option<&Location>);
}

/// Remembers nothing.
impl Uploads for () {
    fn broken_off(&self, _blob: &Digest) -> Option<Location> {
        None
    }

    fn goes_on_at(&self, _blob: &Digest, _location: Option<&Location>) {}
}

/// One repository of a registry that is being asked.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// The registry.
    pub session: &'a Session<'a>,
    /// The repository.
    pub repository: &'a Repository,
}

/// What happened to one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The target had it.
    WasThere,
    /// The registry took it from another of its repositories.
    Mounted,
    /// So many bytes of it were sent: all, or what was left of an upload that had broken off.
    Sent(u64),
    /// Neither has it, and its image says that this may be so.
    Left,
}

/// The manifests of an image that say something about another one, and that the registry does not list there by itself.
pub type Unlisted = BTreeSet<Digest>;

/// Why an image did not arrive. What has arrived stays, and is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum NotCopied {
    /// A call failed.
    #[error("cannot {doing}: {source}")]
    Call {
        /// What was being done, to what.
        doing: String,
        /// Why it failed.
        source: CallError,
    },
    /// The source has other bytes than its image names. Nothing of them was accepted.
    #[error("the blob {blob} at the source has other bytes: {}", other(.found.as_ref(), *.size))]
    Changed {
        /// The blob.
        blob: Digest,
        /// The digest of what is there, where its length was right.
        found: Option<Digest>,
        /// How many bytes are there.
        size: u64,
    },
    /// The source lacks a blob.
    #[error("the source does not have the blob {0}")]
    Lacks(Digest),
    /// The target has a blob of that name with another length.
    #[error("the target shows the blob {blob} with {found} bytes, and it has {expected}")]
    Truncated {
        /// The blob.
        blob: Digest,
        /// What the target says.
        found: u64,
        /// What its image says.
        expected: u64,
    },
    /// The target says that it lacks parts which it had a moment ago. They are sent when this is done again.
    #[error("the target lost parts of the image meanwhile: {}", list(.0))]
    PartsLost(Vec<Digest>),
    /// Where what says something about an image is listed, there is something else.
    #[error("`{repository}` has something else than a list of referrers under the tag `{tag}`; delete that tag")]
    NoList {
        /// The repository.
        repository: Repository,
        /// The tag.
        tag: Tag,
    },
    /// Something about the image cannot be read whole at the source.
    #[error(transparent)]
    NotWhole(Box<NotWhole>),
    /// A blob cannot arrive in time.
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
}

fn other(found: Option<&Digest>, size: u64) -> String {
    found.map_or_else(|| format!("{size} of them"), ToString::to_string)
}

fn list(digests: &[Digest]) -> String {
    if digests.is_empty() {
        return "it does not say which".to_owned();
    }
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn call_failed(doing: impl Into<String>) -> impl FnOnce(CallError) -> NotCopied {
    let doing = doing.into();
    |source| NotCopied::Call { doing, source }
}

/// Copies an image without a name: its blobs, and its manifests by digest. `moved` hears of each blob as it arrives.
///
/// A registry that collects what no manifest names may do so in between. What it then lacks is sent once more.
pub async fn copy(
    http: &(impl Http + Relay),
    source: Shelf<'_>,
    target: Shelf<'_>,
    image: &Image,
    uploads: &impl Uploads,
    moved: &dyn Fn(&Descriptor, Moved),
) -> Result<Unlisted, NotCopied> {
    let is_one_registry = source.session.registry().base == target.session.registry().base;
    let scope = Scope::push(target.repository);
    let scope = if is_one_registry { scope.and_pull(source.repository) } else { scope };
    let copying = Copying { http, uploads, source, target, scope, is_one_registry };
    match copying.whole(image, &BTreeSet::new(), moved).await {
        Err(NotCopied::PartsLost(lost)) => copying.whole(image, &lost.into_iter().collect(), moved).await,
        ended => ended,
    }
}

/// Gives an image names at the target, all at once. It must be there whole.
pub async fn tag(http: &impl Http, target: Shelf<'_>, manifest: &Manifest, tags: &[Tag]) -> Result<(), NotCopied> {
    let scope = Scope::push(target.repository);
    let puts = tags.iter().map(|tag| store(http, target, &scope, manifest, tag.clone().into()));
    stream::iter(puts).buffer_unordered(http.connections()).map_ok(drop).try_collect::<()>().await
}

/// Stores a manifest. Its digest, if it has a subject under which the registry does not list it by itself.
pub(crate) async fn store(
    http: &impl Http,
    target: Shelf<'_>,
    scope: &Scope,
    manifest: &Manifest,
    which: Which,
) -> Result<Option<Digest>, NotCopied> {
    let Shelf { session, repository } = target;
    let put = PutManifest { registry: session.registry(), repository, which: &which, manifest };
    let failed = call_failed(format!("store the manifest `{repository}` {which}"));
    match session.call(http, scope, &put).await.map_err(failed)? {
        Put::Stored { lists_referrers } => Ok(manifest.subject.filter(|_| !lists_referrers).map(|_| manifest.digest())),
        Put::LacksParts(parts) => Err(NotCopied::PartsLost(parts)),
    }
}

struct Copying<'a, H, U> {
    http: &'a H,
    uploads: &'a U,
    source: Shelf<'a>,
    target: Shelf<'a>,
    /// What the target must allow.
    scope: Scope,
    is_one_registry: bool,
}

/// What is done about one blob next.
enum Step<'a> {
    Look(&'a Descriptor),
    Send(&'a Descriptor),
}

/// What came of it.
enum Done<'a> {
    There(&'a Descriptor),
    Missing(&'a Descriptor),
    Moved(&'a Descriptor, Moved),
}

impl<H: Http + Relay, U: Uploads> Copying<'_, H, U> {
    async fn put(&self, manifest: &Manifest, which: Which) -> Result<Option<Digest>, NotCopied> {
        store(self.http, self.target, &self.scope, manifest, which).await
    }

    /// Brings everything that the target lacks. What it has `lost` it may still believe to have, so it is not asked for that.
    async fn whole(
        &self,
        image: &Image,
        lost: &BTreeSet<Digest>,
        moved: &dyn Fn(&Descriptor, Moved),
    ) -> Result<Unlisted, NotCopied> {
        self.bring(image.blobs(), lost, moved).await?;
        // Each manifest after those that it names. Those that name none go at once.
        let (leaves, indexes): (Vec<_>, Vec<_>) =
            image.manifests().iter().partition(|manifest| manifest.children.is_empty());
        let leaves = leaves.into_iter().map(|manifest| self.put(manifest, manifest.digest().into()));
        let mut unlisted: Unlisted = stream::iter(leaves)
            .buffer_unordered(self.http.connections())
            .try_filter_map(|digest| ready(Ok(digest)))
            .try_collect()
            .await?;
        for manifest in indexes {
            unlisted.extend(self.put(manifest, manifest.digest().into()).await?);
        }
        Ok(unlisted)
    }

    /// Brings every blob that the target lacks, the largest first: what is under way at the end is then short.
    ///
    /// A look needs one connection and a blob on its way two, one at either end. Each blob leaves as soon as it is known to
    /// be missing: waiting for all looks would cost a round trip before the first byte.
    async fn bring(
        &self,
        blobs: &[Descriptor],
        lost: &BTreeSet<Digest>,
        moved: &dyn Fn(&Descriptor, Moved),
    ) -> Result<(), NotCopied> {
        let by_size = |blob: &Descriptor| (Reverse(blob.size), blob.digest);
        let (missing, unknown): (Vec<_>, Vec<_>) = blobs.iter().partition(|blob| lost.contains(&blob.digest));
        let in_order = |blobs: Vec<_>| blobs.into_iter().map(|blob| (by_size(blob), blob)).collect::<BTreeMap<_, _>>();
        let (mut missing, mut unknown) = (in_order(missing), in_order(unknown));
        let mut free = self.http.connections().max(2);
        let mut under_way = FuturesUnordered::new();
        loop {
            // While a blob waits for its second connection, no look takes it.
            while let Some((next, needs)) = match (missing.first_entry(), unknown.first_entry()) {
                (Some(blob), _) if free >= 2 => Some((Step::Send(blob.remove()), 2)),
                (None, Some(blob)) if free >= 1 => Some((Step::Look(blob.remove()), 1)),
                _ => None,
            } {
                free -= needs;
                under_way.push(self.step(next));
            }
            let Some(done) = under_way.next().await else { return Ok(()) };
            match done? {
                Done::Missing(blob) => {
                    free += 1;
                    missing.insert(by_size(blob), blob);
                }
                Done::There(blob) => {
                    free += 1;
                    // What was told once is not told again.
                    if lost.is_empty() {
                        moved(blob, Moved::WasThere);
                    }
                }
                Done::Moved(blob, how) => {
                    free += 2;
                    moved(blob, how);
                }
            }
        }
    }

    async fn step<'b>(&self, step: Step<'b>) -> Result<Done<'b>, NotCopied> {
        match step {
            Step::Look(blob) => Ok(if self.has(blob).await? { Done::There(blob) } else { Done::Missing(blob) }),
            Step::Send(blob) => match self.send(blob).await {
                Err(NotCopied::Lacks(_)) if blob.may_be_absent => Ok(Done::Moved(blob, Moved::Left)),
                sent => Ok(Done::Moved(blob, sent?)),
            },
        }
    }

    /// Whether the target has a blob, with its length.
    async fn has(&self, blob: &Descriptor) -> Result<bool, NotCopied> {
        let Shelf { session, repository } = self.target;
        let head = HeadBlob { registry: session.registry(), repository, digest: blob.digest };
        let failed = call_failed(format!("look for the blob {} in `{repository}`", blob.digest));
        match session.call(self.http, &self.scope, &head).await.map_err(failed)? {
            Some(BlobHead { size: Some(size) }) if size != blob.size => {
                Err(NotCopied::Truncated { blob: blob.digest, found: size, expected: blob.size })
            }
            found => Ok(found.is_some()),
        }
    }

    async fn send(&self, blob: &Descriptor) -> Result<Moved, NotCopied> {
        let Shelf { session, repository } = self.target;
        let registry = session.registry();
        let failed = |doing: &str| call_failed(format!("{doing} the blob {} to `{repository}`", blob.digest));
        let mount = self.is_one_registry.then_some(self.source.repository);
        let (mut is_renewed, mut is_asked_again) = (false, false);
        let mut broken_off = self.arrived(blob).await;
        loop {
            let (location, skip) = match broken_off.take() {
                Some(Arrived { bytes, location }) => (location, bytes),
                None => {
                    match self.begin(mount.map(|from| (blob.digest, from))).await.map_err(failed("begin to send"))? {
                        Begun::Mounted => return Ok(Moved::Mounted),
                        Begun::Upload(location) => (location, 0),
                    }
                }
            };
            let upload = Upload { registry, location: &location };
            let is_resumable = blob.size >= RESUMABLE_BYTES_MIN;
            self.uploads.goes_on_at(&blob.digest, is_resumable.then_some(&location));
            let request = if is_resumable { upload.patch(skip, blob.size) } else { upload.put(blob.digest) };
            let request = request.map_err(|error| failed("send")(CallError::Unsendable(error.to_string())))?;
            let shown = session.credential(&self.scope).map_err(failed("send"))?;
            let answer = self.relay(blob, &request, skip).await?;
            // The token may have run out a moment ago. An address is good for one request, so another upload is begun.
            if answer.status() == StatusCode::UNAUTHORIZED && !is_renewed {
                is_renewed = true;
                let renewed = session.renew(self.http, &self.scope, shown.as_ref(), &answer).await;
                if renewed.map_err(failed("send"))? {
                    continue;
                }
            }
            // What had come of a connection that broke may be counted only after the registry said how much that is.
            if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE && !is_asked_again {
                is_asked_again = true;
                broken_off = self.arrived(blob).await;
                continue;
            }
            self.uploads.goes_on_at(&blob.digest, None);
            if is_resumable {
                let next = upload.patched(&answer).map_err(|error| failed("send")(session.hide(error)))?;
                let end = EndUpload { upload: Upload { registry, location: &next }, digest: blob.digest };
                session.call(self.http, &self.scope, &end).await.map_err(failed("end the upload of"))?;
            } else {
                upload.ended(&answer).map_err(|error| failed("send")(session.hide(error)))?;
            }
            return Ok(Moved::Sent(blob.size - skip));
        }
    }

    /// Begins an upload, or has the blob mounted. A registry that refuses a mount, as some do for want of a right or because
    /// they have none, is asked for a plain upload.
    async fn begin(&self, mount: Option<(Digest, &Repository)>) -> Result<Begun, CallError> {
        let Shelf { session, repository } = self.target;
        let begin = BeginUpload { registry: session.registry(), repository, mount };
        match session.call(self.http, &self.scope, &begin).await {
            Err(CallError::Refused { status, .. }) if mount.is_some() && status.is_client_error() => {
                session.call(self.http, &self.scope, &BeginUpload { mount: None, ..begin }).await
            }
            answered => answered,
        }
    }

    /// How much of a blob is at the target from an upload that broke off. What cannot be found out counts as nothing.
    async fn arrived(&self, blob: &Descriptor) -> Option<Arrived> {
        let location = self.uploads.broken_off(&blob.digest)?;
        let session = self.target.session;
        let upload = Upload { registry: session.registry(), location: &location };
        let arrived = session.call(self.http, &self.scope, &UploadStatus(upload)).await.ok().flatten()?;
        // Of an upload that has every byte, the last one would have to be sent twice.
        (arrived.bytes < blob.size).then_some(arrived)
    }

    /// Sends a blob's bytes, without the first ones, and returns the target's answer.
    async fn relay(&self, blob: &Descriptor, to: &http::Request<()>, skip: u64) -> Result<Response, NotCopied> {
        let Shelf { session, repository } = self.target;
        let failed = || call_failed(format!("send the blob {} to `{repository}`", blob.digest));
        let mut storage: Option<Location> = None;
        let mut is_located = false;
        loop {
            let source = match &storage {
                // One that is the registry's own wants what the registry wants.
                Some(storage) => {
                    let request = storage.get();
                    let request = request.map_err(|error| failed()(CallError::Unsendable(error.to_string())))?;
                    let Shelf { session, repository } = self.source;
                    session.with_credential(request, &Scope::pull(repository)).map_err(failed())?
                }
                None => self.get(blob)?,
            };
            let transfer = Transfer {
                source,
                upload: session.with_credential(to.clone(), &self.scope).map_err(failed())?,
                prefix: Vec::new(),
                suffix: Vec::new(),
                size: blob.size,
                skip,
                digest: blob.digest,
            };
            return match self.http.relay(transfer).await {
                Ok(Relayed::Answered(answer) | Relayed::AnsweredEarly(answer)) => Ok(answer),
                Ok(Relayed::Withheld { found, size }) => Err(NotCopied::Changed { blob: blob.digest, found, size }),
                Err(RelayError::TooSlow(slow)) => Err(slow.into()),
                // Nothing was sent: the source wants a credential, or sends to its storage. It is asked which.
                Err(RelayError::Source(_)) if !is_located => {
                    is_located = true;
                    storage = self.locate(blob).await?;
                    continue;
                }
                Err(RelayError::Source(status)) => {
                    let base = &self.source.session.registry().base;
                    let host = storage.as_ref().map_or_else(|| base.to_string(), Location::host);
                    let said = "it does not give the bytes".to_owned();
                    Err(failed()(CallError::Refused { host, status, said, request_id: None }))
                }
                Err(RelayError::Broken(silent)) => Err(failed()(silent.into())),
            };
        }
    }

    /// The request for a blob's bytes at the source.
    fn get(&self, blob: &Descriptor) -> Result<http::Request<()>, NotCopied> {
        let Shelf { session, repository } = self.source;
        let get = GetBlob { registry: session.registry(), repository, digest: blob.digest };
        let failed = || call_failed(format!("ask for the blob {}", blob.digest));
        let request = get.request().map_err(|error| failed()(CallError::Unsendable(error.to_string())))?;
        session.with_credential(request, &Scope::pull(repository)).map_err(failed())
    }

    /// Asks the source where a blob's bytes are, with the credential that it wants. `None`: there.
    async fn locate(&self, blob: &Descriptor) -> Result<Option<Location>, NotCopied> {
        let Shelf { session, repository } = self.source;
        let get = GetBlob { registry: session.registry(), repository, digest: blob.digest };
        let failed = || call_failed(format!("ask for the blob {} of `{repository}`", blob.digest));
        let request = || get.request().map(|request| request.map(|()| Vec::new()));
        // Unlike a plain call it reads nothing of a success, which is the blob.
        let answer = session.read(self.http, &Scope::pull(repository), request, &mut |_| false).await;
        let answer = answer.map_err(failed())?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(NotCopied::Lacks(blob.digest));
        }
        get.redirect(&answer).map_err(|error| failed()(session.hide(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use slipway_wire::{Request, Unreachable};

    use super::*;
    use crate::Registry;
    use crate::fake::{Script, base, now, response, with_header};
    use crate::manifest::OCI_IMAGE;

    /// A registry whose small answers are scripted, and that refuses the first uploads' bytes for want of a new token.
    struct Forgetful<F> {
        script: Script<F>,
        refuses: Cell<u32>,
        uploads: Cell<u32>,
        /// It shows what it was sent instead.
        mirrors: bool,
    }

    impl<F: Fn(&Request) -> Response> Http for Forgetful<F> {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            self.script.send(request).await
        }

        async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            self.script.read(request, each).await
        }
    }

    impl<F: Fn(&Request) -> Response> Relay for Forgetful<F> {
        async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
            self.uploads.set(self.uploads.get() + 1);
            if self.refuses.get() == 0 {
                return Ok(Relayed::Answered(response(201, "")));
            }
            self.refuses.set(self.refuses.get() - 1);
            if self.mirrors {
                let shown = transfer.upload.headers().get("authorization").and_then(|value| value.to_str().ok());
                return Ok(Relayed::AnsweredEarly(response(500, shown.unwrap_or("nobody"))));
            }
            let challenge = r#"Bearer realm="https://registry.example.com/token""#;
            Ok(Relayed::AnsweredEarly(with_header(401, "www-authenticate", challenge, "")))
        }
    }

    /// Sends one blob of so many bytes to a registry that gives tokens.
    fn sent<F: Fn(&Request) -> Response>(http: &Forgetful<F>, size: u64) -> Result<Moved, NotCopied> {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let other = Registry::anonymous(base("https://staging.example.com"));
        let repository: Repository = "team/app".parse().expect("a repository");
        let (from, to) = (Session::new(&other), Session::new(&registry));
        let blob =
            Descriptor { media_type: OCI_IMAGE.to_owned(), digest: Digest::of(b"x"), size, may_be_absent: false };
        let copying = Copying {
            http,
            uploads: &(),
            source: Shelf { session: &from, repository: &repository },
            target: Shelf { session: &to, repository: &repository },
            scope: Scope::push(&repository),
            is_one_registry: false,
        };
        now(copying.send(&blob))
    }

    #[test]
    fn a_token_that_ran_out_before_the_bytes_came_is_renewed_once() {
        for (refuses, arrives, uploads) in [(0, true, 1), (1, true, 2), (2, false, 2)] {
            let script = Script::new(|request: &Request| match (request.method().as_str(), request.uri().path()) {
                (_, "/token") => response(200, r#"{"token":"t"}"#),
                ("POST", _) => with_header(202, "location", "/u/1", ""),
                _ => response(404, ""),
            });
            let http = Forgetful { script, refuses: Cell::new(refuses), uploads: Cell::new(0), mirrors: false };
            let moved = sent(&http, 1);
            assert_eq!((moved.is_ok(), http.uploads.get()), (arrives, uploads), "{refuses}: {moved:?}");
        }
    }

    /// A source whose blobs are at another of its own addresses, which wants what the registry wants.
    struct Moves<F>(Script<F>);

    impl<F: Fn(&Request) -> Response> Http for Moves<F> {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            self.0.send(request).await
        }

        async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            self.0.read(request, each).await
        }
    }

    impl<F: Fn(&Request) -> Response> Relay for Moves<F> {
        async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
            let answer = self.0.send(transfer.source.map(|()| Vec::new())).await?;
            if answer.status() == StatusCode::OK {
                return Ok(Relayed::Answered(response(201, "")));
            }
            Err(RelayError::Source(answer.status()))
        }
    }

    #[test]
    fn a_blob_at_another_address_of_the_registry_is_asked_for_with_its_token_and_one_in_storage_is_not() {
        for (storage, is_shown) in [("https://registry.example.com", true), ("https://storage.example.net", false)] {
            let script = Script::new(|request: &Request| {
                let is_known = request.headers().contains_key("authorization");
                match (request.method().as_str(), request.uri().path()) {
                    (_, "/token") => response(200, r#"{"token":"t"}"#),
                    ("POST", _) => with_header(202, "location", "/u/1", ""),
                    (_, "/bytes") if is_known == is_shown => response(200, ""),
                    (_, path) if path.contains("/blobs/") && is_known => {
                        with_header(307, "location", &format!("{storage}/bytes"), "")
                    }
                    _ => {
                        with_header(401, "www-authenticate", r#"Bearer realm="https://registry.example.com/token""#, "")
                    }
                }
            });
            let registry = Registry {
                storage: vec![base("https://storage.example.net")],
                ..Registry::anonymous(base("https://registry.example.com"))
            };
            let other = Registry::anonymous(base("https://public.example.com"));
            let repository: Repository = "team/app".parse().expect("a repository");
            let (from, to) = (Session::new(&registry), Session::new(&other));
            let (source, target) =
                (Shelf { session: &from, repository: &repository }, Shelf { session: &to, repository: &repository });
            let scope = Scope::push(&repository);
            let http = Moves(script);
            let copying = Copying { http: &http, uploads: &(), source, target, scope, is_one_registry: false };
            let digest = Digest::of(b"x");
            let blob = Descriptor { media_type: OCI_IMAGE.to_owned(), digest, size: 1, may_be_absent: false };
            assert_eq!(now(copying.send(&blob)).map_err(|error| error.to_string()), Ok(Moved::Sent(1)), "{storage}");
        }
    }

    #[test]
    fn a_registry_that_sends_a_token_back_after_the_bytes_does_not_have_it_shown() {
        let challenge = r#"Bearer realm="https://registry.example.com/token""#;
        for size in [1, RESUMABLE_BYTES_MIN] {
            let script = Script::new(|request: &Request| match (request.method().as_str(), request.uri().path()) {
                (_, "/token") => response(200, r#"{"token":"t0k3n-of-the-registry"}"#),
                ("POST", _) if !request.headers().contains_key("authorization") => {
                    with_header(401, "www-authenticate", challenge, "")
                }
                ("POST", _) => with_header(202, "location", "/u/1", ""),
                _ => response(404, ""),
            });
            let http = Forgetful { script, refuses: Cell::new(1), uploads: Cell::new(0), mirrors: true };
            let Err(NotCopied::Call { source, .. }) = sent(&http, size) else { panic!("{size}: it is refused") };
            assert!(source.to_string().contains("Bearer (hidden)"), "{size}: {source}");
        }
    }

    /// A host whose every exchange takes some turns, with what was under way.
    struct Slow {
        /// How many turns a look at the small blobs takes.
        turns: u32,
        open: Cell<usize>,
        most: Cell<usize>,
        ended: RefCell<Vec<String>>,
    }

    impl Slow {
        async fn exchange(&self, what: &str, connections: usize, turns: u32) {
            self.open.set(self.open.get() + connections);
            self.most.set(self.most.get().max(self.open.get()));
            for _ in 0..turns {
                let mut is_asked = false;
                let turn = poll_fn(|context: &mut Context<'_>| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut is_asked, true) { Poll::Ready(()) } else { Poll::Pending }
                });
                turn.await;
            }
            self.open.set(self.open.get() - connections);
            self.ended.borrow_mut().push(what.to_owned());
        }
    }

    impl Http for Slow {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            let is_look = request.method() == http::Method::HEAD;
            let is_of_large = request.uri().path().ends_with(&blob(9, 9).digest.to_string());
            self.exchange(request.method().as_str(), 1, if is_look && !is_of_large { self.turns } else { 1 }).await;
            Ok(if is_look { response(404, "") } else { with_header(202, "location", "/u/1", "") })
        }

        async fn read(&self, _: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            unreachable!("nothing is read here")
        }

        fn connections(&self) -> usize {
            6
        }
    }

    impl Relay for Slow {
        async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
            self.exchange(&transfer.size.to_string(), 2, 3).await;
            Ok(Relayed::Answered(response(201, "")))
        }
    }

    fn blob(number: u8, size: u64) -> Descriptor {
        Descriptor { media_type: OCI_IMAGE.to_owned(), digest: Digest::of(&[number]), size, may_be_absent: false }
    }

    #[test]
    fn a_blob_leaves_before_all_are_looked_for_and_no_more_connections_are_open_than_there_are() {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let other = Registry::anonymous(base("https://staging.example.com"));
        let repository: Repository = "team/app".parse().expect("a repository");
        let (from, to) = (Session::new(&other), Session::new(&registry));
        let http = Slow { turns: 40, open: Cell::new(0), most: Cell::new(0), ended: RefCell::default() };
        let copying = Copying {
            http: &http,
            uploads: &(),
            source: Shelf { session: &from, repository: &repository },
            target: Shelf { session: &to, repository: &repository },
            scope: Scope::push(&repository),
            is_one_registry: false,
        };
        let blobs: Vec<Descriptor> = (1..10).map(|number| blob(number, number.into())).collect();
        let (lost, moved) = (BTreeSet::from([blobs[0].digest]), Cell::new(0));
        let tell = |_: &Descriptor, _| moved.set(moved.get() + 1);
        let mut bringing = pin!(copying.bring(&blobs, &lost, &tell));
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = 0;
        while bringing.as_mut().poll(&mut context).map(|brought| brought.expect("it is brought")).is_pending() {
            turns += 1;
            assert!(turns < 1000, "it has no end: {:?}", http.ended.borrow());
        }
        let ended = http.ended.borrow();
        let at = |what: &str| ended.iter().position(|ended| ended == what).expect(what);
        assert_eq!((moved.get(), http.most.get(), http.open.get()), (9, 6, 0), "{ended:?}");
        // What is known to be lost is not looked for: it leaves first. The largest is the first of the others.
        assert_eq!(ended.iter().filter(|ended| *ended == "HEAD").count(), 8);
        let last_look = ended.iter().rposition(|ended| ended == "HEAD").expect("looks");
        assert!(at("1") < last_look && at("9") < last_look && at("9") < at("2"), "{ended:?}");
    }
}
