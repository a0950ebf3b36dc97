//! Registries that hold bytes, and images on their way between two of them.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use slipway_oci::{Credential, OCI_IMAGE, OCI_INDEX};
use slipway_wire::{RelayError, Relayed, Request, Response, Token, Transfer, Unreachable, Wait};

use super::*;
use crate::cargo::{Cargo, ImageName};
use crate::inventory::Inventory;
use crate::plan::{Plan, plan};
use crate::release::Maturity;

const STAGING: &str = "staging.example.com";
const PUBLIC: &str = "public.example.com";

/// What one registry holds.
#[derive(Default)]
struct Held {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and digest: type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// By repository and tag.
    tags: BTreeMap<(String, String), String>,
    /// Whether nobody may do anything without a user.
    wants_user: bool,
    /// Whether its user may only read.
    reads_only: bool,
}

/// Two registries, and what goes wrong at them.
#[derive(Default)]
struct World {
    held: RefCell<BTreeMap<String, Held>>,
    asked: RefCell<Vec<String>>,
    /// By the beginning of a request's line: what is answered in place of doing it, and how often.
    refuses: RefCell<Vec<(String, u32, Response)>>,
    /// What blobs are cut to when they are stored.
    cuts_to: Cell<Option<usize>>,
    /// Whether manifests are stored with a byte more than was sent.
    swaps: Cell<bool>,
    mounts_nothing: Cell<bool>,
    /// Whether a tag goes with its image alone.
    keeps_tags: Cell<bool>,
    /// A tag that somebody else sets at the public registry when a request's line begins so.
    meanwhile: RefCell<Option<(String, &'static str, Digest)>>,
    /// The tags that were set while something that they lead to was lacking.
    early: RefCell<Vec<String>>,
    /// What Slipway has released to the public registry, for whoever takes something back.
    released: RefCell<BTreeMap<Tag, Digest>>,
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let builder = headers
        .iter()
        .fold(http::Response::builder().status(status), |builder, (name, value)| builder.header(*name, *value));
    builder.body(body.to_vec()).expect("headers")
}

/// Whether a registry has all that a manifest leads to, in whatever way it names it.
fn is_whole(held: &Held, repository: &str, manifest: &[u8]) -> bool {
    let text = String::from_utf8_lossy(manifest).into_owned();
    let named = text.split('"').filter(|text| text.starts_with("sha256:"));
    named.map(|digest| (repository.to_owned(), digest.to_owned())).all(|key| match held.manifests.get(&key) {
        Some((_, bytes)) => is_whole(held, repository, bytes),
        None => held.blobs.contains_key(&key),
    })
}

impl World {
    fn refuse(&self, line: &str, times: u32, answer: Response) {
        self.refuses.borrow_mut().push((line.to_owned(), times, answer));
    }

    /// The lines of what was asked that begin so.
    fn asked(&self, line: &str) -> usize {
        self.asked.borrow().iter().filter(|asked| asked.starts_with(line)).count()
    }

    fn tag(&self, host: &str, tag: &str) -> Option<String> {
        self.held.borrow()[host].tags.get(&("team/app".to_owned(), tag.to_owned())).cloned()
    }

    fn set_tag(&self, host: &str, tag: &str, digest: Digest) {
        let mut held = self.held.borrow_mut();
        let held = held.entry(host.to_owned()).or_default();
        held.tags.insert(("team/app".to_owned(), tag.to_owned()), digest.to_string());
    }

    fn put_manifest(&self, host: &str, repository: &str, content_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut held = self.held.borrow_mut();
        let held = held.entry(host.to_owned()).or_default();
        held.manifests.insert((repository.to_owned(), digest.to_string()), (content_type.to_owned(), bytes.to_vec()));
        digest
    }

    fn put_blob(&self, host: &str, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut held = self.held.borrow_mut();
        let held = held.entry(host.to_owned()).or_default();
        held.blobs.insert((repository.to_owned(), digest.to_string()), bytes.to_vec());
        digest
    }

    /// An index of two images with a layer in common, at a registry.
    fn image(&self, host: &str, repository: &str, name: &str) -> Digest {
        let shared = self.put_blob(host, repository, b"shared");
        let children = ["amd64", "arm64"].map(|architecture| {
            let config = format!(r#"{{"architecture":"{architecture}","name":"{name}"}}"#);
            let own = format!("{name} {architecture}");
            let descriptor = |bytes: &[u8]| {
                let digest = self.put_blob(host, repository, bytes);
                format!(r#"{{"mediaType":"application/x","digest":"{digest}","size":{}}}"#, bytes.len())
            };
            let (config, own) = (descriptor(config.as_bytes()), descriptor(own.as_bytes()));
            let text = format!(
                r#"{{ "schemaVersion":2,"config":{config},"layers":[{{"mediaType":"application/x","digest":"{shared}","size":6}},{own}]}}"#
            );
            let digest = self.put_manifest(host, repository, OCI_IMAGE, text.as_bytes());
            format!(r#"{{"mediaType":"{OCI_IMAGE}","digest":"{digest}","size":{}}}"#, text.len())
        });
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, children.join(","));
        self.put_manifest(host, repository, OCI_INDEX, index.as_bytes())
    }

    fn answer(&self, request: &Request) -> Response {
        let host = request.uri().host().expect("a host");
        let path = request.uri().path().to_owned();
        let line = format!("{} {host}{path}", request.method());
        self.asked.borrow_mut().push(line.clone());
        if let Some((_, tag, digest)) =
            self.meanwhile.borrow_mut().take_if(|(begins, ..)| line.starts_with(begins.as_str()))
        {
            self.set_tag(PUBLIC, tag, digest);
        }
        for (begins, times, answer) in self.refuses.borrow_mut().iter_mut() {
            if *times > 0 && line.starts_with(begins.as_str()) {
                *times -= 1;
                return answer.clone();
            }
        }
        let mut held = self.held.borrow_mut();
        let held = held.entry(host.to_owned()).or_default();
        if held.wants_user && !request.headers().contains_key("authorization") {
            return answer(401, &[("www-authenticate", "Basic realm=\"test\"")], b"");
        }
        if held.reads_only && ![Method::GET, Method::HEAD].contains(request.method()) {
            return answer(403, &[], br#"{"errors":[{"code":"DENIED","message":"read only"}]}"#);
        }
        let path = path.strip_prefix("/v2/").expect("a path of the API");
        if let Some(repository) = path.strip_suffix("/tags/list") {
            let tags = held.tags.keys().filter(|(of, _)| of == repository).map(|(_, tag)| format!("\"{tag}\""));
            let tags = tags.collect::<Vec<_>>().join(",");
            return answer(200, &[], format!(r#"{{"tags":[{tags}]}}"#).as_bytes());
        }
        if let Some((repository, which)) = path.split_once("/manifests/") {
            return self.manifest(held, request, repository, which);
        }
        if let Some((repository, _)) = path.split_once("/blobs/uploads/") {
            let query = request.uri().query().unwrap_or_default();
            let mount = query.strip_prefix("mount=").and_then(|query| query.split_once("&from="));
            if let Some((digest, from)) = mount.filter(|_| !self.mounts_nothing.get())
                && let Some(bytes) = held.blobs.get(&(from.replace("%2F", "/"), digest.to_owned())).cloned()
            {
                held.blobs.insert((repository.to_owned(), digest.to_owned()), bytes);
                return answer(201, &[("location", "/v2/x")], b"");
            }
            return answer(202, &[("location", &format!("/v2/{repository}/blobs/uploads/1?key=s1gned"))], b"");
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            return match held.blobs.get(&(repository.to_owned(), digest.to_owned())) {
                Some(bytes) => answer(200, &[("content-length", &bytes.len().to_string())], b""),
                None => answer(404, &[], b""),
            };
        }
        answer(404, &[], b"")
    }

    fn manifest(&self, held: &mut Held, request: &Request, repository: &str, which: &str) -> Response {
        let named = |name: &str| (repository.to_owned(), name.to_owned());
        if request.method() == Method::PUT {
            let sent = Digest::of(request.body()).to_string();
            let mut bytes = request.body().clone();
            bytes.extend(self.swaps.get().then_some(b' '));
            let content_type = request.headers()["content-type"].to_str().expect("text").to_owned();
            held.manifests.insert(named(&sent), (content_type, bytes));
            if !which.starts_with("sha256:") {
                if !is_whole(held, repository, request.body()) {
                    self.early.borrow_mut().push(which.to_owned());
                }
                held.tags.insert(named(which), sent);
            }
            return answer(201, &[], b"");
        }
        if request.method() == Method::DELETE {
            if !which.starts_with("sha256:") {
                let status = if self.keeps_tags.get() { 405 } else { 202 };
                held.tags.retain(|tag, _| self.keeps_tags.get() || *tag != named(which));
                return answer(status, &[], br#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#);
            }
            held.tags.retain(|(of, _), digest| of != repository || digest != which);
            return answer(held.manifests.remove(&named(which)).map_or(404, |_| 202), &[], b"");
        }
        let digest = held.tags.get(&named(which)).cloned().unwrap_or_else(|| which.to_owned());
        let Some((content_type, bytes)) = held.manifests.get(&named(&digest)) else { return answer(404, &[], b"") };
        let headers = [("content-type", content_type.as_str()), ("docker-content-digest", &digest)];
        answer(200, &headers, if request.method() == Method::HEAD { b"" } else { bytes })
    }
}

impl Http for World {
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

impl Relay for World {
    async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
        let uri = transfer.source.uri();
        let (host, path) = (uri.host().expect("a host"), uri.path().strip_prefix("/v2/").expect("a path"));
        let (repository, digest) = path.split_once("/blobs/").expect("a blob");
        let key = (repository.to_owned(), digest.to_owned());
        let wants_user = self.held.borrow()[host].wants_user;
        if wants_user && !transfer.source.headers().contains_key("authorization") {
            return Err(RelayError::Source(StatusCode::UNAUTHORIZED));
        }
        let Some(mut bytes) = self.held.borrow()[host].blobs.get(&key).cloned() else {
            return Err(RelayError::Source(StatusCode::NOT_FOUND));
        };
        let found = Digest::of(&bytes);
        if found != transfer.digest {
            return Ok(Relayed::Withheld { found: Some(found), size: bytes.len() as u64 });
        }
        let upload = transfer.upload;
        let host = upload.uri().host().expect("a host").to_owned();
        let line = format!("{} {host}{}", upload.method(), upload.uri().path());
        self.asked.borrow_mut().push(line.clone());
        for (begins, times, answer) in self.refuses.borrow_mut().iter_mut() {
            if *times > 0 && line.starts_with(begins.as_str()) {
                *times -= 1;
                if answer.status() == 502 {
                    return Err(RelayError::Broken(Unreachable { host, why: "reset".to_owned() }));
                }
                return Ok(Relayed::AnsweredEarly(answer.clone()));
            }
        }
        bytes.truncate(self.cuts_to.get().unwrap_or(usize::MAX));
        let (repository, _) = upload.uri().path()["/v2/".len()..].split_once("/blobs/").expect("an upload");
        let key = (repository.to_owned(), transfer.digest.to_string());
        self.held.borrow_mut().get_mut(&host).expect("a registry").blobs.insert(key, bytes);
        Ok(Relayed::Answered(answer(201, &[], b"")))
    }
}

fn store(host: &str, repository: &str, floating: &[FloatingTag]) -> Registry {
    let credential = Credential { user: "slipway".to_owned(), password: Token::new("s3cret") };
    let base = format!("https://{host}").parse().expect("an address");
    let registry = slipway_oci::Registry { credential: Some(credential), ..slipway_oci::Registry::anonymous(base) };
    let repository = repository.parse().expect("a repository");
    Registry { registry, repository, private: false, referrers: false, floating: floating.to_vec() }
}

/// An image in staging, and a public registry with nothing in it.
fn world() -> (World, Digest) {
    let world = World::default();
    let digest = world.image(STAGING, "team/app", "one");
    world.held.borrow_mut().insert(PUBLIC.to_owned(), Held::default());
    world.held.borrow_mut().get_mut(STAGING).expect("staging").wants_user = true;
    (world, digest)
}

fn rule(tag: &str) -> FloatingTag {
    FloatingTag { tag: tag.to_owned(), of: Maturity::Final }
}

#[derive(Default)]
struct Watching {
    arrived: Cell<u64>,
    kept: RefCell<BTreeMap<Digest, String>>,
    floated: RefCell<Vec<Floated>>,
    writes_nothing: Cell<bool>,
}

impl Courier for Watching {
    fn random(&self) -> [u8; 16] {
        [7; 16]
    }

    fn broken_off(&self, blob: &Digest) -> Option<Token> {
        self.kept.borrow().get(blob).map(|address| Token::new(address.as_str()))
    }

    fn goes_on_at(&self, blob: &Digest, address: Option<Token>) {
        match address {
            Some(address) => self.kept.borrow_mut().insert(*blob, address.expose().to_owned()),
            None => self.kept.borrow_mut().remove(blob),
        };
    }

    fn arrived(&self, bytes: u64) {
        self.arrived.set(self.arrived.get() + bytes);
    }

    fn floats(&self, floated: Vec<Floated>) -> bool {
        Floated::add(&mut self.floated.borrow_mut(), floated);
        !self.writes_nothing.get()
    }
}

fn ship(
    world: &World,
    from: &Registry,
    to: &Registry,
    (digest, tag): (Digest, &str),
    courier: &Watching,
) -> Result<(), NotShipped> {
    let target = TargetName::Tag(tag.parse().expect("a tag"));
    let cargo = Cargo::Image(ImageName::of(&from.registry.base, "team/app"));
    let held = world.held.borrow();
    let size =
        held[from.registry.base.as_str().trim_start_matches("https://")].blobs.values().map(Vec::len).sum::<usize>();
    drop(held);
    let shipment = Shipment { target: &target, cargo: &cargo, digest, size: size as u64 };
    to.copy_from(world, from, &shipment, courier).now_or_never().expect("nothing here waits")
}

/// Ships an image to the public registry under a tag, with these floating tags.
fn ship_as(world: &World, digest: Digest, tag: &str, floating: &[FloatingTag]) -> Result<(), NotShipped> {
    let (from, to) = (store(STAGING, "team/app", &[]), store(PUBLIC, "team/app", floating));
    ship(world, &from, &to, (digest, tag), &Watching::default())
}

fn served_by(world: &World, store: &Registry, tag: &str) -> Result<Served, Trouble> {
    store.served(world, &tag.parse().expect("a tag")).now_or_never().expect("nothing here waits")
}

/// What anybody is served under a tag of the public registry.
fn served(world: &World, tag: &str) -> Result<Served, Trouble> {
    served_by(world, &store(PUBLIC, "team/app", &[]), tag)
}

fn found(world: &World, host: &str, which: impl Into<Which>) -> Result<Seen, Trouble> {
    let name = Name::Image(which.into());
    let store = store(host, "team/app", &[]);
    let mut all = store.find_all(world, &[name.clone()].into()).now_or_never().expect("nothing here waits")?;
    Ok(all.remove(&name).expect("every name that was asked for"))
}

fn tag_named(text: &str) -> Tag {
    text.parse().expect("a tag")
}

/// The trouble that stopped a copy.
fn stopped(shipped: Result<(), NotShipped>) -> Trouble {
    match shipped.expect_err("stopped") {
        NotShipped::Trouble(trouble) => trouble,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blobs_come_first_then_manifests_then_the_index_then_floating_tags_and_the_final_tag_last() {
    let (world, digest) = world();
    assert_eq!(served(&world, "17.3.1"), Ok(Served::NotListed));
    assert_eq!(found(&world, STAGING, digest), Ok(Seen::Digest(digest)));
    ship_as(&world, digest, "17.3.1", &[rule("latest"), rule("{major}.{minor}")]).expect("shipped");
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(world.tag(PUBLIC, tag), Some(digest.to_string()), "{tag}");
    }
    let held = world.held.borrow();
    assert_eq!(held[PUBLIC].manifests, held[STAGING].manifests);
    assert_eq!(held[PUBLIC].blobs, held[STAGING].blobs);
    let asked = world.asked.borrow();
    let written = asked.iter().filter_map(|line| line.strip_prefix("PUT public.example.com/v2/team/app/"));
    let kinds: Vec<&str> = written
        .map(|line| match line.strip_prefix("manifests/") {
            None => "blob",
            Some(name) if name == digest.to_string() => "index",
            Some(name) if name.starts_with("sha256:") => "image",
            Some("17.3.1") => "final",
            Some(_) => "floating",
        })
        .collect();
    let expected = ["blob", "blob", "blob", "blob", "blob", "image", "image", "index", "floating", "floating", "final"];
    assert_eq!(kinds, expected);
    assert_eq!(*world.early.borrow(), Vec::<String>::new());
}

#[test]
fn the_same_again_is_one_look_at_its_tag() {
    let (world, digest) = world();
    let floating = [rule("latest")];
    ship_as(&world, digest, "17.3.1", &floating).expect("shipped");
    world.asked.borrow_mut().clear();
    let watching = Watching::default();
    let (from, to) = (store(STAGING, "team/app", &[]), store(PUBLIC, "team/app", &floating));
    ship(&world, &from, &to, (digest, "17.3.1"), &watching).expect("it is there");
    // The final tag says that all of it is there: it is looked at, and nothing else.
    assert_eq!(*world.asked.borrow(), [format!("HEAD {PUBLIC}/v2/team/app/manifests/17.3.1")]);
    let size: usize = world.held.borrow()[STAGING].blobs.values().map(Vec::len).sum();
    assert_eq!(watching.arrived.get(), size as u64, "every blob counts once, however it came");
}

#[test]
fn a_final_tag_with_another_image_is_a_conflict_and_nothing_is_overwritten() {
    let (world, digest) = world();
    let other = world.image(PUBLIC, "team/app", "two");
    world.set_tag(PUBLIC, "17.3.1", other);
    // The look names both, and nothing is planned.
    let public = found(&world, PUBLIC, tag_named("17.3.1")).expect("seen");
    let served = served(&world, "17.3.1").expect("served");
    assert_eq!((public, &served), (Seen::Digest(other), &Served::Digest(other)));
    let inventory = Inventory { public, staging: Seen::Digest(digest), served };
    assert_eq!(plan(digest, &inventory), Plan::Conflict { public: other });
    // A copy that is begun all the same is stopped.
    world.asked.borrow_mut().clear();
    assert_eq!(ship_as(&world, digest, "17.3.1", &[rule("latest")]), Err(NotShipped::Taken));
    assert_eq!(world.tag(PUBLIC, "17.3.1"), Some(other.to_string()));
    assert_eq!(world.tag(PUBLIC, "latest"), None);
    assert_eq!(*world.asked.borrow(), [format!("HEAD {PUBLIC}/v2/team/app/manifests/17.3.1")], "nothing is sent");
}

#[test]
fn a_tag_that_somebody_sets_while_an_image_is_copied_and_read_back_is_not_overwritten() {
    let (world, digest) = world();
    let other = world.image(PUBLIC, "team/app", "two");
    let read_back = format!("GET {PUBLIC}/v2/team/app/manifests/{digest}");
    *world.meanwhile.borrow_mut() = Some((read_back, "17.3.1", other));
    assert_eq!(ship_as(&world, digest, "17.3.1", &[rule("latest")]), Err(NotShipped::Taken));
    let tags = ["17.3.1", "latest"].map(|tag| world.tag(PUBLIC, tag));
    assert_eq!(tags, [Some(other.to_string()), None]);
}

#[test]
fn a_copy_that_broke_off_goes_on_with_what_is_missing() {
    let (world, digest) = world();
    world.refuse("PUT public.example.com/v2/team/app/blobs/", 1, answer(502, &[], b""));
    assert!(stopped(ship_as(&world, digest, "17.3.1", &[rule("latest")])).may_pass());
    assert_eq!((world.tag(PUBLIC, "17.3.1"), world.tag(PUBLIC, "latest")), (None, None));
    let blobs = world.held.borrow()[PUBLIC].blobs.len();
    world.asked.borrow_mut().clear();
    ship_as(&world, digest, "17.3.1", &[]).expect("shipped");
    assert_eq!(world.asked("POST"), 5 - blobs, "of five blobs, those that were there are not sent");
    assert_eq!(served(&world, "17.3.1"), Ok(Served::Digest(digest)));
}

#[test]
fn an_image_cut_off_from_its_floating_tags_is_not_out_and_is_finished() {
    let (world, digest) = world();
    let floating = [rule("latest")];
    world.refuse("PUT public.example.com/v2/team/app/manifests/latest", 1, answer(500, &[], b""));
    assert!(stopped(ship_as(&world, digest, "17.3.1", &floating)).may_pass());
    assert_eq!(found(&world, PUBLIC, tag_named("17.3.1")), Ok(Seen::Nothing));
    ship_as(&world, digest, "17.3.1", &floating).expect("finished");
    assert_eq!(world.tag(PUBLIC, "latest"), Some(digest.to_string()));
    assert_eq!(served(&world, "17.3.1"), Ok(Served::Digest(digest)));
}

#[test]
fn what_a_floating_tag_led_to_before_is_written_down_before_it_moves() {
    let (world, digest) = world();
    let older = world.image(PUBLIC, "team/app", "older");
    for tag in ["17.3.0", "latest"] {
        world.set_tag(PUBLIC, tag, older);
    }
    let floating = [rule("latest"), rule("{major}.{minor}"), rule("rc")];
    let (from, to) = (store(STAGING, "team/app", &[]), store(PUBLIC, "team/app", &floating));
    let ship = |courier: &Watching| ship(&world, &from, &to, (digest, "17.3.1"), courier);
    let led = |tag: &str, before| Floated { tag: tag.to_owned(), before, after: Some(digest) };
    let moves = [led("17.3", None), led("latest", Some(older)), led("rc", None)];
    let told = |courier: &Watching| {
        let mut floated = courier.floated.borrow().clone();
        floated.sort_by(|one, other| one.tag.cmp(&other.tag));
        floated
    };

    let unable = Watching { writes_nothing: Cell::new(true), ..Watching::default() };
    assert!(stopped(ship(&unable)).may_pass());
    assert_eq!((world.tag(PUBLIC, "latest"), told(&unable)), (Some(older.to_string()), moves.to_vec()));

    // Whoever was cut off between two of them knows of all, and does not take what it has done for what was there before.
    world.refuse("PUT public.example.com/v2/team/app/manifests/latest", 1, answer(500, &[], b""));
    let courier = Watching::default();
    assert!(stopped(ship(&courier)).may_pass());
    ship(&courier).expect("finished");
    assert_eq!((world.tag(PUBLIC, "latest"), told(&courier)), (Some(digest.to_string()), moves.to_vec()));
    assert_eq!(world.asked("PUT public.example.com/v2/team/app/manifests/17.3"), 2, "once, and the final tag");
}

#[test]
fn a_floating_tag_is_never_moved_back_nor_to_a_candidate() {
    let (world, digest) = world();
    let floating = [rule("latest"), rule("{major}")];
    ship_as(&world, digest, "17.3.1", &floating).expect("shipped");
    let older = world.image(STAGING, "team/app", "older");
    ship_as(&world, older, "16.11.2", &floating).expect("shipped");
    assert_eq!(world.tag(PUBLIC, "latest"), Some(digest.to_string()));
    assert_eq!(world.tag(PUBLIC, "16"), Some(older.to_string()));
    let candidate = world.image(STAGING, "team/app", "candidate");
    ship_as(&world, candidate, "17.4.0-rc1", &floating).expect("shipped");
    assert_eq!(world.tag(PUBLIC, "latest"), Some(digest.to_string()));
    let newer = world.image(STAGING, "team/app", "newer");
    ship_as(&world, newer, "17.3.2", &floating).expect("shipped");
    assert_eq!(world.tag(PUBLIC, "latest"), Some(newer.to_string()));
}

#[test]
fn a_list_without_a_tag_that_is_there_moves_no_tag_back() {
    let floating = [rule("latest")];
    for list in [answer(404, &[], b""), answer(200, &[], br#"{"tags":null}"#)] {
        let (world, digest) = world();
        ship_as(&world, digest, "17.3.1", &floating).expect("shipped");
        let older = world.image(STAGING, "team/app", "older");
        world.refuse("GET public.example.com/v2/team/app/tags/list", 1, list);
        let trouble = stopped(ship_as(&world, older, "16.11.2", &floating));
        assert!(trouble.may_pass() && trouble.what.contains("`latest`"), "{trouble}");
        assert_eq!((world.tag(PUBLIC, "latest"), world.tag(PUBLIC, "16.11.2")), (Some(digest.to_string()), None));
        ship_as(&world, older, "16.11.2", &floating).expect("shipped");
        assert_eq!(world.tag(PUBLIC, "latest"), Some(digest.to_string()));
    }
}

#[test]
fn an_image_is_not_out_while_a_floating_tag_that_was_accepted_is_not_shown() {
    let (world, digest) = world();
    let floating = [rule("latest")];
    // Whatever stands in front says 200, and the registry has heard nothing.
    world.refuse("PUT public.example.com/v2/team/app/manifests/latest", 1, answer(200, &[], b"<html>"));
    let trouble = stopped(ship_as(&world, digest, "17.3.1", &floating));
    assert!(trouble.may_pass() && trouble.what.contains("`latest`"), "{trouble}");
    assert_eq!(world.tag(PUBLIC, "17.3.1"), None);
    ship_as(&world, digest, "17.3.1", &floating).expect("shipped");
    assert_eq!(world.tag(PUBLIC, "latest"), Some(digest.to_string()));
}

#[test]
fn a_part_that_is_not_shown_a_moment_after_it_was_sent_needs_no_person() {
    let (world, digest) = world();
    world.refuse(&format!("GET {PUBLIC}/v2/team/app/manifests/{digest}"), 1, answer(404, &[], b""));
    let trouble = stopped(ship_as(&world, digest, "17.3.1", &[]));
    assert!(trouble.may_pass() && trouble.what.contains(&digest.to_string()), "{trouble}");
    assert_eq!(world.tag(PUBLIC, "17.3.1"), None);
    ship_as(&world, digest, "17.3.1", &[]).expect("shipped");
}

#[test]
fn what_says_something_about_an_image_comes_before_its_tag_and_only_where_it_is_wanted() {
    let (world, digest) = world();
    let empty = world.put_blob(STAGING, "team/app", b"{}");
    let signature = format!(
        r#"{{"config":{{"mediaType":"a","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"{OCI_INDEX}","digest":"{digest}","size":1}}}}"#
    );
    let signed = world.put_manifest(STAGING, "team/app", OCI_IMAGE, signature.as_bytes());
    let list = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_IMAGE}","digest":"{signed}","size":{}}}]}}"#,
        signature.len()
    );
    let list = world.put_manifest(STAGING, "team/app", OCI_INDEX, list.as_bytes());
    let name = Tag::of_referrers(&digest).to_string();
    world.set_tag(STAGING, &name, list);
    for referrers in [false, true] {
        let (from, to) = (store(STAGING, "team/app", &[]), store(PUBLIC, "team/app", &[]));
        let tag = format!("1.0.{}", u8::from(referrers));
        let to = Registry { referrers, ..to };
        ship(&world, &from, &to, (digest, &tag), &Watching::default()).expect("shipped");
        let key = ("team/app".to_owned(), signed.to_string());
        assert_eq!(world.held.borrow()[PUBLIC].manifests.contains_key(&key), referrers);
        assert_eq!(world.tag(PUBLIC, &name).is_some(), referrers);
    }
    let asked = world.asked.borrow();
    let put =
        |name: &str| asked.iter().position(|asked| *asked == format!("PUT {PUBLIC}/v2/team/app/manifests/{name}"));
    assert!(put(&name) < put("1.0.1") && put(&name).is_some(), "{asked:?}");
}

#[test]
fn within_one_registry_a_blob_is_mounted_and_sent_where_the_mount_is_answered_202() {
    for (mounts_nothing, sent) in [(false, 0), (true, 5)] {
        let world = World::default();
        let digest = world.image(PUBLIC, "ci/app", "one");
        world.mounts_nothing.set(mounts_nothing);
        let (from, to) = (store(PUBLIC, "ci/app", &[]), store(PUBLIC, "team/app", &[]));
        ship(&world, &from, &to, (digest, "1.0"), &Watching::default()).expect("shipped");
        assert_eq!(world.asked("PUT public.example.com/v2/team/app/blobs/"), sent);
        assert_eq!(world.asked("POST"), 5);
        assert_eq!(world.tag(PUBLIC, "1.0"), Some(digest.to_string()));
    }
}

#[test]
fn a_registry_that_is_asked_too_much_is_busy_and_says_when_to_come_again() {
    for (headers, kind) in [
        (&[("retry-after", "77")][..], TroubleKind::Throttled { wait: Wait::For(Duration::from_secs(77)) }),
        (&[], TroubleKind::Busy),
    ] {
        let (world, digest) = world();
        world.refuse("POST public.example.com", 1, answer(429, headers, b"slow down"));
        let trouble = stopped(ship_as(&world, digest, "17.3.1", &[]));
        assert_eq!(trouble.kind, kind, "{trouble}");
        assert!(trouble.may_pass() && trouble.what.contains("429"), "{trouble}");
        ship_as(&world, digest, "17.3.1", &[]).expect("shipped");
    }
}

#[test]
fn a_registry_that_keeps_other_bytes_than_it_took_is_caught_before_any_tag() {
    let (swapping, digest) = world();
    swapping.swaps.set(true);
    let trouble = stopped(ship_as(&swapping, digest, "17.3.1", &[rule("latest")]));
    assert!(trouble.what.contains("its bytes are sha256:") && trouble.what.contains(PUBLIC), "{trouble}");
    assert_eq!((swapping.tag(PUBLIC, "17.3.1"), swapping.tag(PUBLIC, "latest")), (None, None));
    let (cutting, digest) = world();
    cutting.cuts_to.set(Some(3));
    let trouble = stopped(ship_as(&cutting, digest, "17.3.1", &[rule("latest")]));
    assert_eq!(trouble.kind, TroubleKind::Final(Code::Refused));
    assert!(trouble.what.contains("other bytes for the blob") && trouble.what.contains("3 of them"), "{trouble}");
    assert_eq!((cutting.tag(PUBLIC, "17.3.1"), cutting.tag(PUBLIC, "latest")), (None, None));
}

#[test]
fn an_image_of_which_a_part_is_gone_or_another_is_not_served() {
    let key = |bytes: &[u8]| ("team/app".to_owned(), Digest::of(bytes).to_string());
    let (world, digest) = world();
    ship_as(&world, digest, "17.3.1", &[]).expect("shipped");
    let change = |bytes: Option<&[u8]>| {
        let mut held = world.held.borrow_mut();
        let blobs = &mut held.get_mut(PUBLIC).expect("public").blobs;
        match bytes {
            Some(bytes) => blobs.insert(key(b"one arm64"), bytes.to_vec()),
            None => blobs.remove(&key(b"one arm64")),
        };
    };
    change(Some(b"one"));
    let trouble = served(&world, "17.3.1").expect_err("a blob is cut off");
    let blob = Digest::of(b"one arm64").to_string();
    assert!(trouble.what.contains(&blob) && trouble.what.contains(PUBLIC), "{trouble}");
    change(None);
    assert_eq!(served(&world, "17.3.1"), Ok(Served::InMotion));
    change(Some(b"one arm64"));
    assert_eq!(served(&world, "17.3.1"), Ok(Served::Digest(digest)));
    let mut held = world.held.borrow_mut();
    let manifests = &mut held.get_mut(PUBLIC).expect("public").manifests;
    let child = manifests.iter().find(|(_, (content_type, _))| content_type == OCI_IMAGE).expect("one").0.clone();
    manifests.get_mut(&child).expect("it").1.push(b' ');
    drop(held);
    let trouble = served(&world, "17.3.1").expect_err("a manifest is another");
    assert!(trouble.what.contains(&child.1) && trouble.what.contains("its bytes are sha256:"), "{trouble}");
}

#[test]
fn staged_bytes_that_are_others_now_are_named_and_nothing_of_them_is_tagged() {
    let (world, digest) = world();
    let blob = Digest::of(b"one arm64").to_string();
    let key = ("team/app".to_owned(), blob.clone());
    world.held.borrow_mut().get_mut(STAGING).expect("staging").blobs.insert(key.clone(), b"other bytes".to_vec());
    let trouble = stopped(ship_as(&world, digest, "17.3.1", &[]));
    assert_eq!(trouble.kind, TroubleKind::Final(Code::StagedBytesChanged));
    let found = Digest::of(b"other bytes").to_string();
    assert!(trouble.what.contains(&blob) && trouble.what.contains(&found), "{trouble}");
    world.held.borrow_mut().get_mut(STAGING).expect("staging").blobs.remove(&key);
    let trouble = stopped(ship_as(&world, digest, "17.3.1", &[]));
    assert!(!trouble.may_pass() && trouble.what.contains(&blob), "{trouble}");
    assert_eq!(world.tag(PUBLIC, "17.3.1"), None);
}

#[test]
fn a_public_image_is_read_as_anybody_would_and_a_private_one_by_the_account() {
    let (world, digest) = world();
    ship_as(&world, digest, "17.3.1", &[]).expect("shipped");
    world.held.borrow_mut().get_mut(PUBLIC).expect("public").wants_user = true;
    let trouble = served(&world, "17.3.1").expect_err("a user is wanted");
    assert_eq!(trouble.kind, TroubleKind::Final(Code::NoAccess), "{trouble}");
    let private = Registry { private: true, ..store(PUBLIC, "team/app", &[]) };
    assert_eq!(served_by(&world, &private, "17.3.1"), Ok(Served::Digest(digest)));
    assert_eq!(found(&world, PUBLIC, digest), Ok(Seen::Digest(digest)));
    assert_eq!(found(&world, STAGING, Digest::of(b"no image")), Ok(Seen::Nothing));
}

#[test]
fn a_registry_that_sends_to_an_address_that_nobody_named_needs_a_person_and_is_not_asked_again() {
    let elsewhere = "Bearer realm=\"https://elsewhere.example.net/token\",service=\"registry\"";
    for (line, refused, code) in [
        ("HEAD public", answer(401, &[("www-authenticate", elsewhere)], b""), Code::ForeignRealm),
        ("GET staging", answer(401, &[("www-authenticate", elsewhere)], b""), Code::ForeignRealm),
        (
            "POST public",
            answer(202, &[("location", "https://elsewhere.example.net/upload?key=s1gned")], b""),
            Code::ForeignStorage,
        ),
    ] {
        let (world, digest) = world();
        world.refuse(line, u32::MAX, refused);
        let trouble = stopped(ship_as(&world, digest, "17.3.1", &[rule("latest")]));
        assert_eq!(trouble.kind, TroubleKind::Final(code), "{trouble}");
        assert!(trouble.what.contains("elsewhere.example.net") && !trouble.what.contains("s1gned"), "{trouble}");
        let hosts: BTreeSet<_> = world.held.borrow().keys().cloned().collect();
        assert_eq!(hosts, [PUBLIC.to_owned(), STAGING.to_owned()].into(), "nobody else is asked");
    }
}

#[test]
fn every_tag_of_a_repository_is_on_one_of_its_pages_with_the_digest_of_its_image() {
    let (world, digest) = world();
    world.image(PUBLIC, "team/app", "one");
    for number in 0..250 {
        world.set_tag(PUBLIC, &format!("1.{number:03}"), digest);
    }
    let registry = store(PUBLIC, "team/app", &[]);
    let (mut from, mut found, mut sizes) = (None::<String>, BTreeSet::new(), Vec::new());
    loop {
        let page = registry.page(&world, from.as_deref()).now_or_never().expect("nothing here waits").expect("a page");
        sizes.push(page.listed.len());
        for listed in page.listed {
            assert_eq!((listed.filename.as_str(), listed.digest), ("", Some(digest)));
            assert!(found.insert(listed.under), "no tag is on two pages");
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), sizes), (250, vec![100, 100, 50]));
    assert_eq!(world.asked(&format!("GET {PUBLIC}/v2/team/app/tags/list")), 3, "a list a page");
    assert_eq!(world.asked(&format!("HEAD {PUBLIC}/v2/team/app/manifests/")), 250);
}

#[test]
fn what_stands_beside_an_image_is_on_no_page_and_a_tag_that_goes_meanwhile_is_on_none() {
    let (world, digest) = world();
    world.image(PUBLIC, "team/app", "one");
    let hex = digest.hex();
    for tag in ["1.0", "sha256-no-digest", &format!("sha256-{hex}"), &format!("sha256-{hex}.sig")] {
        world.set_tag(PUBLIC, tag, digest);
    }
    world.set_tag(PUBLIC, "gone", Digest::of(b"nothing is there"));
    let page = store(PUBLIC, "team/app", &[]).page(&world, None).now_or_never().expect("nothing here waits");
    let listed: Vec<String> = page.expect("a page").listed.into_iter().map(|listed| listed.under).collect();
    assert_eq!(listed, [":1.0", ":sha256-no-digest"]);
}

/// What became of an image that was taken back by its tag, with others.
fn take_back(world: &World, at: &Registry, tag: &str, digest: Digest, with: &[&str]) -> Result<Removed, Trouble> {
    let released = world.released.borrow().clone();
    let beside = Beside { with: with.iter().map(|tag| tag.parse().expect("a tag")).collect(), released };
    let done = at.withdraw(world, &tag.parse().expect("a tag"), digest, &beside).now_or_never();
    done.expect("nothing here waits")
}

#[test]
fn floating_tags_lead_back_to_the_newest_version_that_is_left_before_an_image_is_taken_back() {
    for keeps_tags in [false, true] {
        let world = World::default();
        world.keeps_tags.set(keeps_tags);
        let public = store(PUBLIC, "team/app", &[rule("latest"), rule("{major}.{minor}")]);
        let [oldest, older, newest, candidate] =
            ["16", "17.3.0", "17.3.1", "rc"].map(|name| world.image(PUBLIC, "team/app", name));
        for (tag, digest) in [
            ("16.0.0", oldest),
            ("17.3.0", older),
            ("17.3.1", newest),
            ("17.3.2-rc1", candidate),
            ("latest", newest),
            ("17.3", newest),
        ] {
            world.set_tag(PUBLIC, tag, digest);
        }
        let released: BTreeMap<Tag, Digest> = [("16.0.0", oldest), ("17.3.0", older), ("17.3.2-rc1", candidate)]
            .map(|(tag, digest)| (tag.parse().expect("a tag"), digest))
            .into();
        world.released.replace(released.clone());
        let name = "17.3.1".parse().expect("a tag");
        let beside = Beside { with: BTreeSet::new(), released };
        let back = public.floats_back(&world, &name, newest, &beside);
        let back = back.now_or_never().expect("nothing here waits").expect("answers");
        let told: Vec<_> = back.iter().map(|back| (back.tag.as_str(), back.to.as_ref().map(Tag::as_str))).collect();
        assert_eq!(told, [("17.3", Some("17.3.0")), ("latest", Some("17.3.0"))]);

        assert_eq!(take_back(&world, &public, "17.3.1", newest, &[]), Ok(Removed::Whole));
        let tag = |tag: &str| world.tag(PUBLIC, tag);
        let named = |digest: Digest| Some(digest.to_string());
        assert_eq!([tag("latest"), tag("17.3"), tag("17.3.1")], [named(older), named(older), None]);

        // Nothing is left of the series: its tag goes, too.
        assert_eq!(take_back(&world, &public, "17.3.0", older, &[]), Ok(Removed::Whole));
        assert_eq!([tag("latest"), tag("17.3"), tag("17.3.0")], [named(oldest), None, None]);
        assert_eq!(tag("17.3.2-rc1"), named(candidate));
        assert_eq!(*world.early.borrow(), [""; 0], "no tag was ever set to an image that was not whole");
    }
}

#[test]
fn tags_of_one_image_that_are_taken_back_together_go_together() {
    for keeps_tags in [false, true] {
        let world = World::default();
        world.keeps_tags.set(keeps_tags);
        let public = store(PUBLIC, "team/app", &[]);
        let digest = world.image(PUBLIC, "team/app", "one");
        for tag in ["17.3.1", "17.3.1-ee"] {
            world.set_tag(PUBLIC, tag, digest);
        }
        let alone = take_back(&world, &public, "17.3.1-ee", digest, &[]).expect("answers");
        assert!(matches!(alone, Removed::Unsupported(_)) == keeps_tags, "{alone:?}");
        assert!(matches!(alone, Removed::TagOnly(_)) != keeps_tags, "{alone:?}");
        assert_eq!(world.tag(PUBLIC, "17.3.1"), Some(digest.to_string()), "it was not taken back");
        assert_eq!(take_back(&world, &public, "17.3.1", digest, &["17.3.1-ee"]), Ok(Removed::Whole));
        assert_eq!([world.tag(PUBLIC, "17.3.1"), world.tag(PUBLIC, "17.3.1-ee")], [None, None]);
    }
}

#[test]
fn a_floating_tag_never_leads_back_to_what_slipway_did_not_release() {
    let world = World::default();
    let public = store(PUBLIC, "team/app", &[rule("latest")]);
    let [oldest, older, foreign, bad] =
        ["oldest", "older", "foreign", "bad"].map(|name| world.image(PUBLIC, "team/app", name));
    // Of a newer version that somebody pushed by hand nobody knows what it is; and one that was released has been given
    // another image since.
    for (tag, digest) in
        [("17.2.0", oldest), ("17.3.0", foreign), ("17.3.9", foreign), ("17.4.0", bad), ("latest", bad)]
    {
        world.set_tag(PUBLIC, tag, digest);
    }
    let released = [("17.2.0", oldest), ("17.3.0", older), ("17.3.1", older)];
    let released: BTreeMap<Tag, Digest> = released.map(|(tag, digest)| (tag.parse().expect("a tag"), digest)).into();
    world.released.replace(released);
    assert_eq!(take_back(&world, &public, "17.4.0", bad, &[]), Ok(Removed::Whole));
    assert_eq!(world.tag(PUBLIC, "latest"), Some(oldest.to_string()));
    assert_eq!(world.tag(PUBLIC, "17.3.9"), Some(foreign.to_string()), "what is not ours stays as it is");

    world.set_tag(PUBLIC, "latest", oldest);
    assert_eq!(take_back(&world, &public, "17.2.0", oldest, &[]), Ok(Removed::Whole));
    assert_eq!(world.tag(PUBLIC, "latest"), None, "nothing is left that Slipway released");
}
