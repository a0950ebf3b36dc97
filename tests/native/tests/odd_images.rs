//! Images in legal forms that few tools write: each arrives with its digest, and reads back byte for byte.

mod world;

use serde_json::{Value, json};
use slipway_oci::{Depth, OCI_IMAGE, OCI_INDEX};
use slipway_registry::{Manner, Registry as Server};
use slipway_wire::Digest;

use world::World;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn blob(server: &Server, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    server.put_blob("ci/app", digest, bytes.to_vec());
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
}

/// A manifest under a tag, as a descriptor.
fn put(server: &Server, tag: &str, media_type: &str, text: &str) -> Value {
    let digest = server.put_manifest("ci/app", tag, media_type, text.as_bytes());
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": text.len() })
}

fn image(server: &Server, tag: &str, layers: &[Value]) -> Value {
    let config = blob(server, CONFIG, tag.as_bytes());
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": layers });
    put(server, tag, OCI_IMAGE, &manifest.to_string())
}

fn index(server: &Server, tag: &str, manifests: &[Value]) -> Value {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    put(server, tag, OCI_INDEX, &index.to_string())
}

/// Puts one image there, and returns the descriptor of its own manifest.
type Stage = fn(&Server) -> Value;

const ODD: [(&str, Stage); 10] = [
    ("white space", |server| {
        let (config, layer) = (blob(server, CONFIG, b"{}"), blob(server, LAYER, b"layer"));
        let text = format!("\r\n{{\t\"schemaVersion\" : 2,\n\n \"config\":{config} ,\"layers\":[ {layer}\t] }} \n\n");
        put(server, "1", OCI_IMAGE, &text)
    }),
    ("a key twice", |server| {
        let (config, layer) = (blob(server, CONFIG, b"{}"), blob(server, LAYER, b"layer"));
        // The first one names what nobody has: the last one counts, as it does to Go's clients and registries.
        let none = json!({ "mediaType": LAYER, "digest": Digest::of(b"nowhere").to_string(), "size": 7 });
        let text = format!(r#"{{"schemaVersion":2,"layers":[{none}],"config":{config},"layers":[{layer}]}}"#);
        put(server, "1", OCI_IMAGE, &text)
    }),
    ("unknown fields", |server| {
        let (mut config, layer) = (blob(server, CONFIG, b"{}"), blob(server, LAYER, b"layer"));
        config["x-unknown"] = json!([1.50, "\u{e9}", null]);
        let text =
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"x":{{"y":1e3}},"é":"\u00e9"}}"#);
        put(server, "1", OCI_IMAGE, &text)
    }),
    ("no `mediaType`", |server| {
        let (config, layer) = (blob(server, CONFIG, b"{}"), blob(server, LAYER, b"layer"));
        let child =
            put(server, "amd64", OCI_IMAGE, &format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#));
        put(server, "1", OCI_INDEX, &format!(r#"{{"schemaVersion":2,"manifests":[{child}]}}"#))
    }),
    ("an index in an index", |server| {
        let inner = index(server, "inner", &[image(server, "amd64", &[blob(server, LAYER, b"layer")])]);
        index(server, "1", &[inner, image(server, "arm64", &[])])
    }),
    ("attestations", |server| {
        let app = image(server, "amd64", &[blob(server, LAYER, b"layer")]);
        let mut attestation = image(server, "attestation", &[blob(server, "application/vnd.in-toto+json", b"{}")]);
        attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        attestation["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": app["digest"],
        });
        index(server, "1", &[app, attestation])
    }),
    ("an artifact with a subject", |server| {
        let empty = blob(server, "application/vnd.oci.empty.v1+json", b"{}");
        let subject = index(server, "subject", &[image(server, "amd64", &[])]);
        let text = format!(
            r#"{{"schemaVersion":2,"artifactType":"application/vnd.example","config":{empty},"layers":[{empty}],"subject":{subject}}}"#
        );
        put(server, "1", OCI_IMAGE, &text)
    }),
    ("a blob without bytes, and one with one", |server| {
        image(server, "1", &[blob(server, LAYER, b""), blob(server, LAYER, b"x")])
    }),
    ("a layer that nobody may hand on", |server| {
        let media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
        let absent = Digest::of(b"somewhere else").to_string();
        let urls = ["https://layers.example.com/1"];
        let foreign = json!({ "mediaType": media_type, "digest": absent, "size": 14, "urls": urls });
        image(server, "1", &[foreign, blob(server, LAYER, b"layer")])
    }),
    ("no layers", |server| image(server, "1", &[])),
];

#[tokio::test]
async fn an_image_of_an_odd_form_keeps_its_digest_and_reads_back() {
    for (what, stage) in ODD {
        let mut world = World::new(Manner::default(), Manner::default(), &[]).await;
        let staged = stage(&world.staging);
        world.digest = staged["digest"].as_str().expect("a digest").parse().expect("a digest");
        world.public.watch("acme/app");
        world.release().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        world.read_back(Depth::Bytes).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let public = world.public.manifest("acme/app", "17.3.1").expect("it is there");
        assert_eq!(Some(&public), world.staging.manifest("ci/app", "1").as_ref(), "{what}");
        assert_eq!(Digest::of(&public.bytes), world.digest, "{what}");
        assert_eq!(world.public.seen(), [""; 0], "{what}");
    }
}
