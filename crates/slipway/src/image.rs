//! Images: which one a reference means, what it consists of, and whether a registry has all of it.
//!
//! A tag is read once. From then on an image is its digest, so whatever is done to the tag afterwards changes nothing.
//!
//! Absent on purpose: bytes of layers. What is asked of a layer is whether it is there.

use futures_util::stream::{self, StreamExt as _};
use slipway_core::api::Policy;
use slipway_core::cargo::registry_name;
use slipway_oci::{
    BeginUpload, Begun, CancelUpload, Credential, HeadBlob, HeadManifest, Image, NotWhole, Reference, Registry,
    Repository, Scope, Session, Tag, Upload, Which, read_image, read_manifest,
};
use slipway_wire::{Base, CallError, Digest, Http};

/// How many blobs are looked for at a time.
const SIDE_BY_SIDE: usize = 6;

/// A registry as a release names it, and who asks it. Where its tokens are given and its blobs may be is what the policy
/// says; `own` is where else tokens may be given.
pub(crate) fn registry(
    base: Base,
    credential: Option<Credential>,
    policy: Option<&Policy>,
    own: Option<Base>,
) -> Registry {
    let place = policy.and_then(|policy| policy.places.iter().find(|place| place.url == base.as_str()));
    let parsed = |text: &String| text.parse::<Base>().ok();
    // Only what is known to give tokens for this registry sees its credential.
    let realm = place.and_then(|place| place.realm.as_ref()).and_then(parsed).or(own);
    let service = place.and_then(|place| place.service.clone());
    let storage = place.iter().flat_map(|place| &place.storage).filter_map(parsed).collect();
    Registry { base, credential, realm, service, storage }
}

/// Whether a reference names an image of this repository.
pub(crate) fn is_in(reference: &Reference, base: &Base, repository: &Repository) -> bool {
    let named = reference.registry.to_ascii_lowercase();
    let named = if matches!(named.as_str(), "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { &named };
    named == registry_name(base.as_str()) && reference.repository == *repository
}

/// Why an image cannot be told from its reference.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotResolved {
    /// There is none.
    #[error("there is no image `{0}`")]
    Absent(Which),
    /// The registry did not answer as it should.
    #[error("{0}")]
    Call(#[from] CallError),
    /// A part of it is missing, or not what it should be.
    #[error("{0}")]
    NotWhole(Box<NotWhole>),
}

impl From<NotWhole> for NotResolved {
    fn from(error: NotWhole) -> Self {
        Self::NotWhole(Box::new(error))
    }
}

impl NotResolved {
    /// The call that failed, where one did.
    pub(crate) fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(error) => Some(error),
            Self::NotWhole(error) => match error.as_ref() {
                NotWhole::Call { source, .. } => Some(source),
                _ => None,
            },
            Self::Absent(_) => None,
        }
    }

    /// Whether asking again soon may go better: an answer that says something wrong is no accident here, where a setting or
    /// the image itself may be wrong.
    pub(crate) fn may_pass(&self) -> bool {
        match self.call() {
            Some(CallError::Unreadable { .. }) | None => false,
            Some(error) => error.may_pass(),
        }
    }
}

/// The digest that a reference means now.
pub(crate) async fn digest(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
    which: &Which,
) -> Result<Digest, NotResolved> {
    let absent = || NotResolved::Absent(which.clone());
    if let Which::Digest(digest) = which {
        return Ok(*digest);
    }
    let (registry, scope) = (session.registry(), Scope::pull(repository));
    let head = session.call(http, &scope, &HeadManifest { registry, repository, which }).await?.ok_or_else(absent)?;
    if let Some(digest) = head.digest {
        return Ok(digest);
    }
    // Some registries do not say it, so that the bytes have to.
    let manifest = read_manifest(session, http, &scope, repository, which).await?.ok_or_else(absent)?;
    Ok(manifest.digest())
}

/// The whole image that a reference means: its manifests are read and hashed here.
pub(crate) async fn resolve(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
    which: &Which,
) -> Result<Image, NotResolved> {
    let digest = digest(session, http, repository, which).await?;
    match read_image(session, http, &Scope::pull(repository), repository, digest).await {
        // The image itself, and not a part of it.
        Err(NotWhole::Lacks { digest: lacking, .. }) if lacking == digest => Err(NotResolved::Absent(which.clone())),
        image => Ok(image?),
    }
}

/// What is not as it should be with an image that must be served under a tag. The outer error is no answer.
pub(crate) async fn differences(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
    tag: &Tag,
    expected: Digest,
) -> Result<Vec<String>, NotResolved> {
    let mut wrong = Vec::new();
    // The bytes themselves: what a header says of them is not what somebody gets who pulls the tag.
    match read_manifest(session, http, &Scope::pull(repository), repository, &tag.clone().into()).await? {
        Some(found) if found.digest() == expected => {}
        Some(found) => wrong.push(format!("`{tag}` is served as {}; it must be {expected}", found.digest())),
        None => wrong.push(format!("`{tag}` is not served")),
    }
    let image = match resolve(session, http, repository, &expected.into()).await {
        Ok(image) => image,
        Err(NotResolved::Absent(_)) => {
            wrong.push(format!("{expected} is not served"));
            return Ok(wrong);
        }
        Err(NotResolved::NotWhole(error)) if !matches!(*error, NotWhole::Call { .. }) => {
            wrong.push(error.to_string());
            return Ok(wrong);
        }
        Err(error) => return Err(error),
    };
    let (registry, scope) = (session.registry(), Scope::pull(repository));
    let look = |blob: &slipway_oci::Descriptor| {
        let (digest, size, may_be_absent) = (blob.digest, blob.size, blob.may_be_absent);
        let scope = &scope;
        async move {
            let found = session.call(http, scope, &HeadBlob { registry, repository, digest }).await?;
            Ok::<_, CallError>(match found {
                None if may_be_absent => None,
                None => Some(format!("its blob {digest} is not served")),
                Some(head) if head.size.is_some_and(|served| served != size) => {
                    Some(format!("its blob {digest} is served with another size than {size}"))
                }
                Some(_) => None,
            })
        }
    };
    let looks: Vec<_> = image.blobs().iter().map(look).collect();
    let found: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
    for missing in found {
        wrong.extend(missing?);
    }
    Ok(wrong)
}

/// What a credential may do in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing.
    Nothing,
    /// Read it.
    Pull,
    /// Write to it.
    Push,
}

/// How far whoever `session` asks as may go. An upload is begun and given up again, which leaves nothing: no registry says
/// otherwise what a credential may do.
pub(crate) async fn reach(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
) -> Result<Reach, CallError> {
    let registry = session.registry();
    let scope = Scope::push(repository);
    let begin = BeginUpload { registry, repository, mount: None };
    match session.call(http, &scope, &begin).await {
        Ok(Begun::Upload(location)) => {
            // Whatever is answered: registries delete uploads that nobody goes on with.
            let _ = session.call(http, &scope, &CancelUpload(Upload { registry, location: &location })).await;
            return Ok(Reach::Push);
        }
        Ok(Begun::Mounted) => return Ok(Reach::Push),
        Err(error) if is_no(&error) => {}
        Err(error) => return Err(error),
    }
    // A session of its own: a token for less than was asked for must not be taken for this question's.
    let reading = Session::new(registry);
    let any: Which = Digest::of(b"").into();
    match reading.call(http, &Scope::pull(repository), &HeadManifest { registry, repository, which: &any }).await {
        Ok(_) => Ok(Reach::Pull),
        Err(error) if is_no(&error) => Ok(Reach::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether it is the registry's no, and not the absence of an answer.
fn is_no(error: &CallError) -> bool {
    error.status().is_some_and(|status| matches!(status.as_u16(), 401 | 403 | 404 | 405))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use slipway_wire::{Request, Response, Token, Unreachable};

    use super::*;

    /// A registry that holds manifests by digest and by tag, and blobs by digest.
    struct Fake {
        manifests: Vec<(String, String)>,
        blobs: Vec<Digest>,
        /// Whether a `HEAD` names a digest.
        says_digest: bool,
        /// Whether a tag is given other bytes than its `HEAD` says.
        lies: bool,
        /// Who may do what: the credential that is shown, and whether it may write.
        users: Vec<(Option<&'static str>, bool)>,
        asked: RefCell<Vec<String>>,
    }

    impl Fake {
        fn answer(&self, request: &Request) -> Response {
            let path = request.uri().path().to_owned();
            self.asked.borrow_mut().push(format!("{} {path}", request.method()));
            let answer = |status: u16| http::Response::builder().status(status);
            let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let Some((_, may_write)) = self.users.iter().find(|(user, _)| *user == shown) else {
                let wanted = answer(401).header("www-authenticate", "Basic realm=\"test\"");
                return wanted.body(Vec::new()).expect("an answer");
            };
            let rest = path.strip_prefix("/v2/team/app/").expect("the repository");
            if rest == "blobs/uploads/" {
                let begun = if *may_write {
                    answer(202).header("location", "/v2/team/app/blobs/uploads/1")
                } else {
                    answer(403)
                };
                return begun.body(Vec::new()).expect("an answer");
            }
            if rest == "blobs/uploads/1" {
                return answer(204).body(Vec::new()).expect("an answer");
            }
            if let Some(digest) = rest.strip_prefix("blobs/") {
                let is_there = self.blobs.iter().any(|blob| blob.to_string() == digest);
                return answer(if is_there { 200 } else { 404 }).body(Vec::new()).expect("an answer");
            }
            let name = rest.strip_prefix("manifests/").expect("a manifest");
            let found = self
                .manifests
                .iter()
                .find(|(tag, text)| tag == name || Digest::of(text.as_bytes()).to_string() == name);
            let Some((_, text)) = found else { return answer(404).body(Vec::new()).expect("an answer") };
            let mut built = answer(200).header("content-type", kind(text));
            if self.says_digest {
                built = built.header("docker-content-digest", Digest::of(text.as_bytes()).to_string());
            }
            let mut body = if request.method() == http::Method::HEAD { Vec::new() } else { text.clone().into_bytes() };
            if self.lies && !name.contains(':') && !body.is_empty() {
                built = answer(200).header("content-type", kind(text));
                body.push(b' ');
            }
            built.body(body).expect("an answer")
        }
    }

    fn kind(text: &str) -> &'static str {
        if text.contains("manifests") { slipway_oci::OCI_INDEX } else { slipway_oci::OCI_IMAGE }
    }

    impl Http for &Fake {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            Ok(self.answer(&request))
        }

        async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            let mut answer = self.answer(&request);
            if answer.status().is_success() {
                each(&std::mem::take(answer.body_mut()));
            }
            Ok(answer)
        }
    }

    /// An image for two platforms that share a layer of 300 bytes; each has a configuration of its own, of 10 and 20 bytes.
    fn two_platforms() -> Fake {
        let layer = Digest::of(b"layer");
        let image = |size: u64| {
            format!(
                r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":{size}}},"layers":[{{"digest":"{layer}","size":300}}]}}"#,
                Digest::of(&size.to_be_bytes())
            )
        };
        let children = [image(10), image(20)];
        let named = children.iter().map(|text| {
            format!(
                r#"{{"mediaType":"{}","digest":"{}","size":{}}}"#,
                slipway_oci::OCI_IMAGE,
                Digest::of(text.as_bytes()),
                text.len()
            )
        });
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, named.collect::<Vec<_>>().join(","));
        let mut manifests = vec![("1.0".to_owned(), index)];
        manifests.extend(children.map(|text| (String::new(), text)));
        let blobs = vec![layer, Digest::of(&10_u64.to_be_bytes()), Digest::of(&20_u64.to_be_bytes())];
        Fake { manifests, blobs, says_digest: true, lies: false, users: vec![(None, false)], asked: RefCell::default() }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    fn base() -> Base {
        "https://registry.example.com".parse().expect("an address")
    }

    fn repository() -> Repository {
        "team/app".parse().expect("a repository")
    }

    fn tag(text: &str) -> Tag {
        text.parse().expect("a tag")
    }

    fn resolved(fake: &Fake, which: &Which) -> Result<(Digest, u64), NotResolved> {
        let registry = Registry::anonymous(base());
        let image = now(resolve(&Session::new(&registry), &fake, &repository(), which))?;
        Ok((image.manifest().expect("a manifest").digest(), image.size()))
    }

    #[test]
    fn a_tag_is_the_digest_that_it_means_and_as_large_as_its_distinct_blobs() {
        for says_digest in [true, false] {
            let fake = Fake { says_digest, ..two_platforms() };
            let digest = Digest::of(fake.manifests[0].1.as_bytes());
            assert_eq!(resolved(&fake, &tag("1.0").into()).expect("an image"), (digest, 330), "{says_digest}");
            assert_eq!(resolved(&fake, &digest.into()).expect("an image"), (digest, 330));
            // Once the tag is read, everything is asked for by digest.
            let by_tag = fake.asked.borrow().iter().filter(|line| line.ends_with("/1.0")).count();
            assert_eq!(by_tag, if says_digest { 1 } else { 2 });
        }
    }

    #[test]
    fn an_image_that_is_not_there_is_told_from_one_that_lacks_a_part() {
        let mut fake = two_platforms();
        assert!(matches!(resolved(&fake, &tag("2.0").into()), Err(NotResolved::Absent(_))));
        assert!(matches!(resolved(&fake, &Digest::of(b"x").into()), Err(NotResolved::Absent(_))));
        fake.manifests.pop();
        let error = resolved(&fake, &tag("1.0").into()).expect_err("one platform is missing");
        assert!(matches!(&error, NotResolved::NotWhole(why) if matches!(**why, NotWhole::Lacks { .. })), "{error}");
    }

    #[test]
    fn what_is_served_is_compared_by_tag_by_digest_and_part_by_part() {
        let registry = Registry::anonymous(base());
        let found = |fake: &Fake, name: &str, expected: Digest| {
            now(differences(&Session::new(&registry), &fake, &repository(), &tag(name), expected)).expect("an answer")
        };
        let mut fake = two_platforms();
        let digest = Digest::of(fake.manifests[0].1.as_bytes());
        assert_eq!(found(&fake, "1.0", digest), [""; 0]);
        assert_eq!(found(&fake, "2.0", digest), ["`2.0` is not served"]);
        let other = Digest::of(b"other");
        assert_eq!(
            found(&fake, "1.0", other),
            [format!("`1.0` is served as {digest}; it must be {other}"), format!("{other} is not served")]
        );
        let layer = fake.blobs.remove(0);
        assert_eq!(found(&fake, "1.0", digest), [format!("its blob {layer} is not served")]);
        let child = Digest::of(fake.manifests.pop().expect("a platform").1.as_bytes());
        assert_eq!(found(&fake, "1.0", digest), [format!("`team/app` does not have the manifest {child}")]);
    }

    #[test]
    fn a_tag_that_gives_other_bytes_than_its_header_names_is_found() {
        let registry = Registry::anonymous(base());
        let fake = Fake { lies: true, ..two_platforms() };
        let expected = Digest::of(fake.manifests[0].1.as_bytes());
        let found = now(differences(&Session::new(&registry), &&fake, &repository(), &tag("1.0"), expected));
        let served = Digest::of(format!("{} ", fake.manifests[0].1).as_bytes());
        assert_eq!(found.expect("an answer"), [format!("`1.0` is served as {served}; it must be {expected}")]);
    }

    #[test]
    fn a_registry_that_is_busy_or_away_is_asked_again_and_one_that_is_wrong_is_not() {
        let (host, said) = ("registry.example.com".to_owned(), "no".to_owned());
        let refused = |status: u16| {
            let status = http::StatusCode::from_u16(status).expect("a status");
            CallError::Refused { host: host.clone(), status, said: said.clone(), request_id: None }
        };
        let status = http::StatusCode::TOO_MANY_REQUESTS;
        let busy = CallError::Busy { host: host.clone(), status, wait: None, said: said.clone() };
        let unreadable = CallError::Unreadable { host: host.clone(), why: "it is HTML".to_owned() };
        let away = CallError::Unreachable(Unreachable { host: host.clone(), why: "reset".to_owned() });
        for (error, expected) in [
            (busy, true),
            (away, true),
            (refused(502), true),
            (refused(408), true),
            (refused(403), false),
            (unreadable, false),
        ] {
            let line = error.to_string();
            assert_eq!(NotResolved::Call(error).may_pass(), expected, "{line}");
        }
        assert!(!NotResolved::Absent(tag("1.0").into()).may_pass());
    }

    #[test]
    fn a_credentials_reach_is_what_the_registry_lets_it_begin() {
        // base64 of `ci:secret`
        const BASIC: &str = "Basic Y2k6c2VjcmV0";
        let credential = Credential { user: "ci".to_owned(), password: Token::new("secret") };
        let known = Registry { credential: Some(credential), ..Registry::anonymous(base()) };
        let reached = |registry: &Registry, users: Vec<(Option<&'static str>, bool)>| {
            let fake = Fake { users, ..two_platforms() };
            let reach = now(reach(&Session::new(registry), &&fake, &repository())).expect("an answer");
            (reach, fake.asked.into_inner().last().cloned().unwrap_or_default())
        };
        let (reach, last) = reached(&known, vec![(Some(BASIC), true)]);
        // What was begun is given up again.
        assert_eq!((reach, last.as_str()), (Reach::Push, "DELETE /v2/team/app/blobs/uploads/1"));
        assert_eq!(reached(&known, vec![(Some(BASIC), false)]).0, Reach::Pull);
        assert_eq!(reached(&known, vec![]).0, Reach::Nothing);
        assert_eq!(reached(&Registry::anonymous(base()), vec![(None, true)]).0, Reach::Push);
        assert_eq!(reached(&Registry::anonymous(base()), vec![(Some(BASIC), true)]).0, Reach::Nothing);
    }

    #[test]
    fn an_image_is_in_staging_whatever_dockers_hub_is_called() {
        for (reference, base, expected) in [
            ("registry.example.com/team/app:1", "https://registry.example.com", true),
            ("Registry.Example.com/team/app:1", "https://registry.example.com", true),
            ("127.0.0.1:5000/team/app:1", "http://127.0.0.1:5000", true),
            ("docker.io/team/app:1", "https://registry-1.docker.io", true),
            ("index.docker.io/team/app:1", "https://registry-1.docker.io", true),
            ("registry.example.com/team/app2:1", "https://registry.example.com", false),
            ("registry.example.com:5000/team/app:1", "https://registry.example.com", false),
            ("registry.example.com.evil.test/team/app:1", "https://registry.example.com", false),
        ] {
            let reference = reference.parse().expect("a reference");
            assert_eq!(
                is_in(&reference, &base.parse().expect("an address"), &repository()),
                expected,
                "{reference} {base}"
            );
        }
    }
}
