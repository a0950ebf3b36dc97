//! Registries that mean harm, on either side: what they say is refused in words, with little work, and nothing is named.

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_native::Native;
use slipway_oci::{OCI_IMAGE, OCI_INDEX, Registry, Scope, Session, Shelf, Tag, copy, list_tags, read_image, tag};
use slipway_registry::{Manner, Registry as Server};
use slipway_wire::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use world::{World, repository};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

// ---- images that are made to harm ----

fn blob(server: &Server, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    server.put_blob("ci/app", digest, bytes.to_vec());
    json!({ "mediaType": LAYER, "digest": digest.to_string(), "size": bytes.len() })
}

fn put(server: &Server, media_type: &str, manifest: &Value) -> Value {
    let text = manifest.to_string();
    let digest = server.put_manifest("ci/app", "1", media_type, text.as_bytes());
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": text.len() })
}

fn image(server: &Server, layers: &[Value]) -> Value {
    let config = blob(server, b"{}");
    put(server, OCI_IMAGE, &json!({ "schemaVersion": 2, "config": config, "layers": layers }))
}

fn index(server: &Server, manifests: &[Value]) -> Value {
    put(server, OCI_INDEX, &json!({ "schemaVersion": 2, "manifests": manifests }))
}

fn with(mut descriptor: Value, field: &str, value: Value) -> Value {
    descriptor[field] = value;
    descriptor
}

/// Puts one image there, and returns the descriptor of its own manifest.
type Stage = fn(&Server) -> Value;

#[tokio::test]
async fn an_image_that_is_made_to_harm_is_refused_before_anything_is_written() {
    let rows: [(&str, &str, Stage); 11] = [
        ("a layer by another algorithm", "no SHA-256 digest", |server| {
            image(server, &[json!({ "mediaType": LAYER, "digest": format!("sha512:{}", "0".repeat(128)), "size": 5 })])
        }),
        ("a digest in capitals", "no SHA-256 digest", |server| {
            let layer = blob(server, b"layer");
            let capitals = layer["digest"].as_str().expect("a digest").to_uppercase().replace("SHA", "sha");
            image(server, &[with(layer, "digest", json!(capitals))])
        }),
        ("a layer of two sizes", "to another", |server| {
            let layer = blob(server, b"layer");
            image(server, &[layer.clone(), with(layer, "size", json!(6))])
        }),
        ("a layer of a wrong size", "has other bytes", |server| {
            image(server, &[with(blob(server, b"layer"), "size", json!(6))])
        }),
        ("a layer that is said to be empty", "has other bytes", |server| {
            image(server, &[with(blob(server, b"layer"), "size", json!(0))])
        }),
        ("a layer of nearly 2^64 bytes", "has other bytes", |server| {
            image(server, &[with(blob(server, b"layer"), "size", json!(u64::MAX))])
        }),
        ("an image that is an index", "parts of an image and of an index", |server| {
            let child = image(server, &[]);
            let config = blob(server, b"{}");
            put(server, OCI_IMAGE, &json!({ "schemaVersion": 2, "config": config, "layers": [], "manifests": [child] }))
        }),
        ("an index that says a wrong size", "and the index that names it says", |server| {
            let child = image(server, &[]);
            let wrong = with(child.clone(), "size", json!(1));
            index(server, &[child, wrong])
        }),
        ("twenty thousand layers", "or 10000 blobs", |server| {
            let digest = |number: u32| Digest::of(&number.to_be_bytes()).to_string();
            let layers: Vec<_> = (0..20_000).map(|number| json!({ "digest": digest(number), "size": 1 })).collect();
            image(server, &layers)
        }),
        ("indexes in one another", "8 within each other", |server| {
            (0..30).fold(image(server, &[]), |inner, _| index(server, &[inner]))
        }),
        ("layers inside the manifest alone", "does not have the blob", |server| {
            // The `data` of a descriptor is a copy for those in a hurry; the blob has to be there all the same.
            let digest = Digest::of(b"layer").to_string();
            image(server, &[json!({ "mediaType": LAYER, "digest": digest, "size": 5, "data": "bGF5ZXI=" })])
        }),
    ];
    for (what, why, stage) in rows {
        let mut world = World::new(Manner::default(), Manner::default(), &[]).await;
        let staged = stage(&world.staging);
        world.digest = staged["digest"].as_str().expect("a digest").parse().expect("a digest");
        let error = world.release().await.map(drop).expect_err(what);
        assert!(error.contains(why), "{what}: {error}");
        assert_eq!(world.public(), None, "{what}");
        let asked = world.public.journal();
        let written = asked.iter().filter(|asked| asked.request.contains("/manifests/")).count();
        assert_eq!(written, 0, "{what}: {asked:#?}");
        assert!(asked.len() + world.staging.journal().len() < 30, "{what}: {asked:#?}");
    }
}

#[tokio::test]
async fn an_address_in_a_descriptor_is_never_visited() {
    let elsewhere = Raw::start(|_| Says::plain(200, "layer")).await;
    let mut world = World::new(Manner::default(), Manner::default(), &[]).await;
    let urls = json!([format!("{}/layer", elsewhere.url)]);
    // Nobody has it but whoever is at that address, so it is left where it is.
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let absent = json!({ "mediaType": foreign, "digest": Digest::of(b"layer").to_string(), "size": 5, "urls": urls });
    let staged = image(&world.staging, &[absent]);
    world.digest = staged["digest"].as_str().expect("a digest").parse().expect("a digest");
    world.release().await.expect("a layer with an address may be absent");
    assert_eq!(elsewhere.asked(), [""; 0]);
}

// ---- registries that answer as they like ----

/// What is answered to a request.
struct Says {
    head: String,
    body: Vec<u8>,
    /// Whether the body goes on for as long as anybody reads it.
    is_endless: bool,
}

impl Says {
    fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self { head: format!("HTTP/1.1 {status} So\r\n{}", lines.concat()), body: body.into(), is_endless: false }
    }

    fn plain(status: u16, body: &str) -> Self {
        Self::with(status, &[("content-length", &body.len().to_string())], body)
    }

    fn to(status: u16, location: &str) -> Self {
        Self::with(status, &[("content-length", "0"), ("location", location)], "")
    }
}

/// A server that says what it likes, and keeps what it was asked: method and path.
struct Raw {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    async fn start(answer: impl Fn(&str) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    // Whoever asked may go away at any time.
                    let _ = answered(stream, &kept, answer.as_ref()).await;
                });
            }
        });
        Self { url, asked, task }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics").clone()
    }

    fn registry(&self) -> Registry {
        Registry::anonymous(self.url.parse().expect("an address"))
    }
}

async fn answered(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    answer: &impl Fn(&str) -> Says,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    asked.lock().expect("nobody panics").push(line.clone());
    let Says { head, body, is_endless } = answer(&line);
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await?;
    stream.write_all(&body).await?;
    if is_endless {
        loop {
            stream.write_all(&[b' '; 4096]).await?;
        }
    }
    // What still comes is read, so that the answer is not lost with the connection.
    stream.shutdown().await?;
    while stream.read_buf(&mut request).await? > 0 {
        request.clear();
    }
    Ok(())
}

/// Releases an image from one registry to another.
async fn released(from: &Registry, to: &Registry, digest: Digest) -> Result<(), String> {
    let http = Native::new(Duration::ZERO);
    let (from, to) = (Session::new(from), Session::new(to));
    let (source, target) = (repository("ci/app"), repository("acme/app"));
    let image = read_image(&from, &http, &Scope::pull(&source), &source, digest).await;
    let image = image.map_err(|error| error.to_string())?;
    let (source, target) = (Shelf { session: &from, repository: &source }, Shelf { session: &to, repository: &target });
    copy(&http, source, target, &image, &(), &|_, _| ()).await.map_err(|error| error.to_string())?;
    let name: Tag = "17.3.1".parse().expect("a tag");
    tag(&http, target, image.manifest().expect("an image"), &[name]).await.map_err(|error| error.to_string())
}

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

/// The answer of a staging registry that has one image with an empty configuration, and gives its bytes so.
fn staging(line: &str, bytes: impl FnOnce() -> Says) -> Says {
    if line.contains("/manifests/") {
        Says::with(
            200,
            &[("content-type", OCI_IMAGE), ("content-length", &MANIFEST.len().to_string())],
            if line.starts_with("HEAD") { "" } else { MANIFEST },
        )
    } else {
        bytes()
    }
}

/// Whatever stands in one answer of the staging registry, for its manifests or for its blobs.
async fn check_staging(what: &str, why: &str, answer: impl Fn(&str) -> Says + Send + Sync + 'static) {
    let staging = Raw::start(answer).await;
    let public = Server::start(Manner::default()).await.expect("a registry");
    let to = Registry::anonymous(public.url().parse().expect("an address"));
    let ended = released(&staging.registry(), &to, Digest::of(MANIFEST.as_bytes())).await;
    let error = ended.expect_err(what);
    assert!(error.contains(why), "{what}: {error}");
    assert_eq!(public.manifest("acme/app", "17.3.1"), None, "{what}");
    assert!(staging.asked().len() < 10, "{what}: {:#?}", staging.asked());
}

#[tokio::test]
async fn a_staging_registry_that_sends_elsewhere_is_not_followed() {
    let elsewhere = Raw::start(|_| Says::plain(200, "{}")).await;
    for at in [
        elsewhere.url.clone(),
        elsewhere.url.replace("127.0.0.1", "localhost"),
        elsewhere.url.replace("http://", "//"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::1]/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let to = at.clone();
            let moved = move |line: &str| staging(line, || Says::to(status, &to));
            check_staging("a blob elsewhere", "`storage` does not list", moved).await;
        }
        let to = at.clone();
        check_staging("a manifest elsewhere", "which this route does not give", move |_| Says::to(307, &to)).await;
        let to = at.clone();
        let realm = move |_: &str| {
            let challenge = format!(r#"Bearer realm="{to}/token",service="registry""#);
            Says::with(401, &[("content-length", "0"), ("www-authenticate", &challenge)], "")
        };
        check_staging("a token elsewhere", "`realm` does not name", realm).await;
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
}

#[tokio::test]
async fn a_staging_registry_that_lies_or_has_no_end_is_stopped() {
    let sized = |length: usize| ("content-length", length.to_string());
    check_staging("other bytes", "not sha256:", |_| Says::with(200, &[("content-type", OCI_IMAGE)], "{}")).await;
    check_staging("a manifest without end", "has more than", |_| {
        let endless = Says::with(200, &[("content-type", OCI_IMAGE)], MANIFEST);
        Says { is_endless: true, ..endless }
    })
    .await;
    check_staging("a manifest that is cut", "no answer from", move |_| {
        let (name, length) = sized(MANIFEST.len() + 1);
        Says::with(200, &[("content-type", OCI_IMAGE), (name, &length)], MANIFEST)
    })
    .await;
    check_staging("a redirect to itself", "which this route does not give", |line| {
        Says::to(307, line.split(' ').nth(1).expect("a path"))
    })
    .await;
    check_staging("a refusal without end of tries", "no", |_| {
        Says::with(401, &[("content-length", "2"), ("www-authenticate", "Basic realm=\"x\"")], "no")
    })
    .await;
    check_staging("a blob without end", "has other bytes", |line| {
        staging(line, || Says { is_endless: true, ..Says::with(200, &[], "{}") })
    })
    .await;
    check_staging("a blob of other bytes", "has other bytes", |line| staging(line, || Says::plain(200, "[]"))).await;
    check_staging("a blob that is cut", "no answer from", |line| {
        staging(line, || Says::with(200, &[("content-length", "2")], "{"))
    })
    .await;
}

#[tokio::test]
async fn a_list_of_tags_without_end_is_left() {
    let http = Native::new(Duration::ZERO);
    // The same page again and again.
    let same = Raw::start(|_| Says::with(200, &[("link", "</v2/x>; rel=\"next\"")], r#"{"tags":["1","2"]}"#)).await;
    let (registry, repository) = (same.registry(), repository("ci/app"));
    let tags = list_tags(&Session::new(&registry), &http, &repository).await.expect("two tags");
    assert_eq!((tags.len(), same.asked().len()), (2, 2));
    // Always one more.
    let more = Raw::start(|line| {
        let last = line.split("last=").nth(1).and_then(|last| last.parse().ok()).unwrap_or(100_000_u64);
        Says::with(200, &[("link", "</v2/x>; rel=\"next\"")], &format!(r#"{{"tags":["{}"]}}"#, last + 1))
    })
    .await;
    let registry = more.registry();
    let error = list_tags(&Session::new(&registry), &http, &repository).await.expect_err("it has no end");
    assert!(error.to_string().contains("has no end") && more.asked().len() == 1000, "{error}");
    // A name that would be a path, or longer than any.
    for name in ["../../admin", "a/b", "", &"x".repeat(129), "caf\u{e9}", "a b"] {
        let body = json!({ "tags": [name] }).to_string();
        let bad = Raw::start(move |_| Says::plain(200, &body)).await;
        let registry = bad.registry();
        let error = list_tags(&Session::new(&registry), &http, &repository).await.expect_err(name);
        assert!(error.to_string().contains("is not a tag"), "{error}");
    }
}

/// Whatever stands in one answer of the public registry; `None` is what any registry says.
async fn check_public(what: &str, why: &str, answer: impl Fn(&str) -> Option<Says> + Send + Sync + 'static) {
    let world = World::new(Manner::default(), Manner::default(), &world::layers()).await;
    let public = Raw::start(move |line| {
        answer(line).unwrap_or_else(|| match line.split(' ').next() {
            Some("POST") => Says::to(202, "/v2/acme/app/blobs/uploads/1"),
            Some("PUT") => Says::plain(201, ""),
            _ => Says::plain(404, ""),
        })
    })
    .await;
    let from = Registry::anonymous(world.staging.url().parse().expect("an address"));
    let error = released(&from, &public.registry(), world.digest).await.expect_err(what);
    assert!(error.contains(why), "{what}: {error}");
    let asked = public.asked();
    assert!(!asked.iter().any(|line| line.contains("/manifests/17.3.1")) && asked.len() < 30, "{what}: {asked:#?}");
}

#[tokio::test]
async fn a_public_registry_that_sends_elsewhere_or_lies_gets_no_tag() {
    let elsewhere = Raw::start(|_| Says::plain(201, "")).await;
    for at in [elsewhere.url.clone(), "http://169.254.169.254/".to_owned(), "//elsewhere.example.net/".to_owned()] {
        let to = at.clone();
        check_public("an upload elsewhere", "`storage` does not list", move |line| {
            line.starts_with("POST").then(|| Says::to(202, &format!("{to}?_state=k3y")))
        })
        .await;
        check_public("a token elsewhere", "`realm` does not name", move |_| {
            let challenge = format!(r#"Bearer realm="{at}""#);
            Some(Says::with(401, &[("content-length", "0"), ("www-authenticate", &challenge)], ""))
        })
        .await;
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
    check_public("a mount that nobody asked for", "which this route does not give", |line| {
        line.starts_with("POST").then(|| Says::to(201, "/v2/acme/app/blobs/x"))
    })
    .await;
    check_public("a blob of another length", "bytes, and it has", |line| {
        line.starts_with("HEAD").then(|| Says::with(200, &[("content-length", "1")], ""))
    })
    .await;
    let other = Digest::of(b"other").to_string();
    check_public("a manifest of another digest", "it says that it stored", move |line| {
        let is_stored = line.starts_with("PUT") && line.contains("/manifests/");
        is_stored.then(|| Says::with(201, &[("content-length", "0"), ("docker-content-digest", &other)], ""))
    })
    .await;
    check_public("parts that are lost for ever", "lost parts of the image", |line| {
        let refused = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"unknown"}]}"#;
        (line.starts_with("PUT") && line.contains("/manifests/")).then(|| Says::plain(404, refused))
    })
    .await;
}
