//! Images go the whole way: pushed to a registry that is closed, released by Slipway to one that is open, read back there by
//! another client.

use std::process::Command;

use serde_json::{Value, json};
use slipway_registry::{Manner, Quirk};
use slipway_stack::Part;
use slipway_stack::image::{Layout, inspect};
use slipway_tests::e2e::harbour::{Harbour, PUBLIC, can_run, credentials, is_staged, plan};
use slipway_tests::e2e::{Receiver, send, sha256, wait_until};

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn problem(target: &Value) -> &str {
    target["problem"]["what"].as_str().unwrap_or_default()
}

/// Runs a program that has to succeed, and returns what it says.
fn run(command: &mut Command) -> Vec<u8> {
    let ended = command.output().expect("the program is here");
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

/// `skopeo` with nothing remembered of earlier runs.
fn skopeo(harbour: &Harbour, arguments: &[&str]) -> Vec<u8> {
    let mut skopeo = Command::new("skopeo");
    skopeo.env("HOME", &harbour.folder).env("XDG_DATA_HOME", &harbour.folder).arg("--insecure-policy").args(arguments);
    run(&mut skopeo)
}

/// Somebody copies a staged image to the public repository, past Slipway.
fn copy_by_hand(harbour: &Harbour, from: &str, to: &str) {
    let (from, to) = (format!("docker://{}:{from}", harbour.staged()), format!("docker://{}:{to}", harbour.released()));
    let both = ["copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"];
    skopeo(harbour, &[both.as_slice(), &["--src-creds", &credentials(), &from, &to]].concat());
}

#[test]
fn an_image_is_public_under_its_tag_with_the_staged_digest_and_its_floating_tags_follow_the_newest() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start("whole-way");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build-1", 300_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    assert_eq!(harbour.served("17.3.1"), None, "what is only staged is not public");
    harbour.world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(harbour.served(tag).as_deref(), Some(image.digest.as_str()), "{tag}");
    }
    assert_eq!(harbour.served(&image.digest).as_deref(), Some(image.digest.as_str()));
    harbour.is_whole("17.3.1");
    let history = release.api("GET", "/targets/app/17.3.1", None, &Value::Null).ok().json();
    assert_eq!(history["target"]["state"], "released", "{history}");

    // An older series is released later: it is the newest of its own, and of nothing else.
    let older = harbour.world.release("16.9.4");
    let patch = harbour.push("build-2", 1000);
    let job = harbour.ready(&older, "app", "16.9.4", &patch);
    harbour.world.gitlab.play(job, "mira");
    older.wait_until_released("app");
    for (tag, expected) in
        [("16.9.4", &patch), ("16.9", &patch), ("17.3.1", &image), ("17.3", &image), ("latest", &image)]
    {
        assert_eq!(harbour.served(tag).as_deref(), Some(expected.digest.as_str()), "{tag}");
    }
}

#[test]
fn a_tag_that_is_public_with_another_digest_is_a_conflict_that_names_both_and_stays() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start("conflict");
    let [ours, theirs] = ["ours", "theirs"].map(|name| harbour.push(name, 1000));
    copy_by_hand(&harbour, "theirs", "17.3.1");
    let release = harbour.world.release("17.3.1");
    let job = harbour.ready(&release, "app", "17.3.1", &ours);
    harbour.world.gitlab.play(job, "mira");
    let target = release.wait("app", &["conflict", "released", "failed"]);
    assert_eq!(target["state"], "conflict", "{target}");
    for digest in [&ours.digest, &theirs.digest] {
        assert!(problem(&target).contains(digest.as_str()), "{digest} is not in: {}", problem(&target));
    }
    assert_eq!(harbour.served("17.3.1"), Some(theirs.digest), "nothing was replaced");
    assert_eq!(harbour.served("latest"), None, "and nothing floats to what is not released");
}

#[test]
fn an_edge_that_is_killed_while_it_copies_an_image_releases_it_whole_after_it_is_started_again() {
    if !can_run(&[]) {
        return;
    }
    let mut harbour = Harbour::start("killed");
    let release = harbour.world.release("17.3.1");
    // Large enough to be sent so that it could go on. Debian's registry has forgotten it then, and gets it anew.
    let image = harbour.push("large", 70_000_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    release.wait_for_target("app", None, "being copied", |target| {
        assert_ne!(target["state"], "released", "it is large enough to be met while it is copied");
        target["step"] == "copy"
    });
    harbour.world.kill(Part::Edge);
    assert_eq!(harbour.served("17.3.1"), None, "a tag comes after all that it names");
    harbour.world.start_again(Part::Edge);
    release.wait_until_released("app");
    assert_eq!(harbour.served("17.3.1"), Some(image.digest));
    harbour.is_whole("17.3.1");
}

#[test]
fn a_plan_that_means_a_floating_tag_to_be_final_is_refused() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start("floating-plan");
    let release = harbour.world.release("17.3.1");
    for tag in ["latest", "17.3"] {
        let refused = plan(&release, "app", &["17.3.1", tag]);
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(&format!("the tag `{tag}` is final in the plan")), "{}", refused.text());
    }
}

/// An image with one file, built by `umoci`, which knows nothing of Slipway. Returns the folder that it is in.
fn build(harbour: &Harbour, tag: &str, text: &str) -> String {
    let layout = harbour.folder.join("built").display().to_string();
    let (image, bundle) = (format!("{layout}:{tag}"), harbour.folder.join("bundle"));
    let umoci = |arguments: &[&str]| run(Command::new("umoci").args(arguments));
    umoci(&["init", "--layout", &layout]);
    umoci(&["new", "--image", &image]);
    let unpacked = bundle.display().to_string();
    umoci(&["unpack", "--image", &image, &unpacked]);
    std::fs::create_dir_all(bundle.join("rootfs/etc")).expect("an empty image has a root");
    std::fs::write(bundle.join("rootfs/etc/motd"), text).expect("a file");
    umoci(&["repack", "--image", &image, &unpacked]);
    umoci(&[
        "config",
        "--image",
        &image,
        "--architecture",
        "arm64",
        "--config.cmd",
        "/bin/true",
        "--author",
        "Harbour",
    ]);
    layout
}

#[test]
fn an_image_of_a_real_builder_is_the_same_at_both_ends_and_can_be_unpacked() {
    if !can_run(&["umoci"]) {
        return;
    }
    let harbour = Harbour::start("built");
    let text = "Welcome aboard.\n";
    let layout = build(&harbour, "build", text);
    let (from, to) = (format!("oci:{layout}:build"), format!("docker://{}:build", harbour.staged()));
    skopeo(&harbour, &["copy", "--dest-tls-verify=false", "--dest-creds", &credentials(), &from, &to]);
    let release = harbour.world.release("17.3.1");
    plan(&release, "app", &["17.3.1"]).ok();
    let reference = format!("{}:build", harbour.staged());
    let staged = harbour.slipway(&release, &["stage", "app", "--image", &reference]).ended_with(0);
    is_staged(&release, "app", "17.3.1");
    harbour.world.gitlab.play(release.job("app"), "mira");
    release.wait_until_released("app");

    let digest = |reference: &str, more: &[&str]| {
        let reference = format!("docker://{reference}");
        let inspect = ["inspect", "--tls-verify=false", "--format", "{{.Digest}} {{.Architecture}}"];
        String::from_utf8(skopeo(&harbour, &[inspect.as_slice(), more, &[&reference]].concat())).expect("text")
    };
    let at_staging = digest(&reference, &["--creds", &credentials()]);
    assert!(at_staging.starts_with("sha256:") && at_staging.ends_with(" arm64\n"), "{at_staging}");
    let (hex, _) = at_staging.split_once(' ').expect("two words");
    assert!(staged.text.contains(hex), "{}", staged.text);
    // As the page has people compare what they have tested: `skopeo inspect --raw`, through `sha256sum`.
    let raw = inspect(&harbour.folder, &reference, Some(&credentials())).expect("it is staged");
    assert_eq!(format!("sha256:{}", sha256(&raw)), hex);
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(digest(&format!("{}:{tag}", harbour.released()), &[]), at_staging, "{tag}");
    }
    let pulled = harbour.is_whole("17.3.1");
    let unpacked = harbour.folder.join("unpacked");
    run(Command::new("umoci").args(["unpack", "--image"]).arg(format!("{}:pulled", pulled.display())).arg(&unpacked));
    assert_eq!(std::fs::read_to_string(unpacked.join("rootfs/etc/motd")).expect("the file is there"), text);

    let status = harbour.slipway(&release, &["status"]).ended_with(0);
    assert!(status.text.contains("17.3.1") && status.text.contains("Released"), "{}", status.text);
    let verified = harbour.slipway(&release, &["verify"]).ended_with(0);
    assert!(verified.text.contains("0 differences"), "{}", verified.text);
    // Somebody takes a part of it away, and whoever verifies is told which.
    let layer = blobs_of(&harbour, hex).pop().expect("it has a layer");
    let blob = format!("{}/v2/{PUBLIC}/blobs/{layer}", harbour.public().url());
    assert_eq!(send("DELETE", &blob, &[], "").status, 202);
    let differs = harbour.slipway(&release, &["verify"]).ended_with(5);
    assert!(differs.text.contains(&layer), "{}", differs.text);
}

/// The digests of the blobs of a public image: its configuration, then its layers.
fn blobs_of(harbour: &Harbour, digest: &str) -> Vec<String> {
    let reference = format!("{}@{digest}", harbour.released());
    let manifest = inspect(&harbour.folder, &reference, None).expect("it is public");
    let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest is JSON");
    let layers = manifest["layers"].as_array().expect("it has layers").iter();
    let parts = [&manifest["config"]].into_iter().chain(layers);
    parts.map(|part| part["digest"].as_str().expect("a digest").to_owned()).collect()
}

/// The lines of a registry's requests that write something.
fn writes(requests: &[String]) -> Vec<&str> {
    let writes = |line: &&str| ["POST ", "PUT ", "PATCH ", "DELETE "].iter().any(|method| line.starts_with(method));
    requests.iter().map(String::as_str).filter(writes).collect()
}

#[test]
fn what_says_something_about_an_image_and_about_each_of_its_parts_comes_with_it_and_before_its_tag() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start_with("referrers", |wishes| "referrers = true\n".clone_into(&mut wishes.route));
    let image = harbour.push("build", 5000);
    let folder = harbour.folder.join("about");
    let layout = Layout::new(&folder).expect("a folder");
    let staged = harbour.staged_plainly();
    // A bill of materials of the whole, and one of each platform, in the lists that a client keeps where a registry has no
    // API for them; and a signature of the whole and of a part, as cosign stores them.
    let about = |subject: &str, kind: &str, text: &str| {
        let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}").expect("a blob");
        let said = layout.blob(kind, text.as_bytes()).expect("a blob");
        let subject = subject_of(&harbour, subject);
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE, "artifactType": kind, "config": empty,
            "layers": [said], "subject": subject});
        layout.blob(OCI_IMAGE, format!("{manifest:#}").as_bytes()).expect("a manifest")
    };
    let name = |digest: &str| digest.replace(':', "-");
    let mut expected = Vec::new();
    for (number, subject) in [&image.digest].into_iter().chain(&image.children).enumerate() {
        let mut materials = about(subject, "application/spdx+json", &format!("{{\"materials of\":{number}}}"));
        expected.push(materials["digest"].as_str().expect("a digest").to_owned());
        materials["artifactType"] = json!("application/spdx+json");
        let list = layout.index(&[materials]).expect("a list");
        layout.send(&list, &staged, &name(subject)).expect("it is taken");
    }
    let mut signed = Vec::new();
    for subject in [&image.digest, &image.children[1]] {
        let config = layout.blob("application/vnd.oci.image.config.v1+json", b"{\"rootfs\":{}}").expect("a blob");
        let payload = format!("{{\"critical\":{{\"image\":\"{subject}\"}}}}");
        let payload = layout.blob("application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config,
            "layers": [payload.expect("a blob")]});
        let signature = layout.blob(OCI_IMAGE, manifest.to_string().as_bytes()).expect("a manifest");
        let tag = format!("{}.sig", name(subject));
        let digest = layout.send(&signature, &staged, &tag).expect("it is taken");
        signed.push((tag, digest.to_string()));
    }
    let release = harbour.world.release("17.3.1");
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    release.wait_until_released("app");

    for (subject, materials) in [&image.digest].into_iter().chain(&image.children).zip(&expected) {
        assert_eq!(harbour.served(materials).as_ref(), Some(materials), "the bill of materials of {subject}");
        let list = inspect(&harbour.folder, &format!("{}:{}", harbour.released(), name(subject)), None);
        let list: Value = serde_json::from_slice(&list.expect("there is a list")).expect("it is JSON");
        let listed = &list["manifests"][0];
        assert_eq!((&listed["digest"], &listed["artifactType"]), (&json!(materials), &json!("application/spdx+json")));
        assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1), "{list}");
        // Its bytes are there too.
        let blobs = blobs_of(&harbour, materials);
        assert!(blobs.iter().all(|blob| harbour.public().blob_file(&blob["sha256:".len()..]).exists()), "{blobs:?}");
    }
    for (tag, digest) in &signed {
        assert_eq!(harbour.served(tag).as_ref(), Some(digest), "{tag}");
    }
    let requests = harbour.public().requests().expect("a log");
    let order = writes(&requests);
    let position = |name: &str| {
        let line = format!("PUT /v2/{PUBLIC}/manifests/{name} ");
        order.iter().position(|asked| asked.starts_with(&line)).unwrap_or_else(|| panic!("{line} is not in {order:?}"))
    };
    let tags = expected.iter().chain(signed.iter().map(|(tag, _)| tag)).map(|name| position(name));
    let last = tags.max().expect("some");
    for tag in ["17.3.1", "latest", "17.3"] {
        assert!(last < position(tag), "{tag} comes after all that says something about it: {order:?}");
    }
}

/// The descriptor of a staged manifest.
fn subject_of(harbour: &Harbour, digest: &str) -> Value {
    let reference = format!("{}@{digest}", harbour.staged());
    let bytes = inspect(&harbour.folder, &reference, Some(&credentials())).expect("it is staged");
    let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest is JSON");
    let kind = if manifest.get("manifests").is_some() { OCI_INDEX } else { OCI_IMAGE };
    json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
}

#[test]
fn a_large_layer_that_broke_off_with_the_edge_goes_on_where_it_was() {
    if !can_run(&[]) {
        return;
    }
    // Debian's registry forgets an upload whose connection breaks, so this is one that keeps the rest of the rules, too.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let manner = Manner::with([Quirk::RelativeLocations]);
    let public = runtime.block_on(slipway_registry::Registry::start(manner)).expect("a registry");
    let mut harbour = Harbour::start_with("resumed", |wishes| {
        wishes.gateway = true;
        wishes.public_at = Some(public.url());
    });
    let gateway = harbour.gateway.clone().expect("it was wished for");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("large", 80_000_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    gateway.hold_after(60_000_000);
    harbour.world.gitlab.play(job, "mira");
    wait_until("most of the layer is at the public registry", || gateway.is_holding());
    harbour.world.kill(Part::Edge);
    gateway.cut();
    assert!(public.manifest(PUBLIC, "17.3.1").is_none(), "a tag comes after all that it names");
    harbour.world.start_again(Part::Edge);
    release.wait_until_released("app");
    assert_eq!(harbour.served("17.3.1"), Some(image.digest));
    public.whole(PUBLIC, "17.3.1").expect("every part is there");
    // Both runs wrote to one upload, and every byte of the layer came once.
    let pieces: Vec<_> = public.journal().into_iter().filter(|asked| asked.request.starts_with("PATCH ")).collect();
    let [first, second] = pieces.as_slice() else { panic!("{pieces:?}") };
    let upload = |request: &str| request.split('?').next().map(str::to_owned);
    assert_eq!(upload(&first.request), upload(&second.request));
    let manifest = public.manifest(PUBLIC, &image.children[0]).expect("it is whole");
    let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("a manifest is JSON");
    assert_eq!(json!(first.bytes + second.bytes), manifest["layers"][0]["size"], "{pieces:?}");
    assert!(first.bytes > 50_000_000, "{pieces:?}");
}

#[test]
fn a_registry_that_sends_uploads_to_where_nobody_said_stops_the_release_at_once_and_nothing_goes_there() {
    if !can_run(&[]) {
        return;
    }
    let elsewhere = Receiver::start();
    let host = elsewhere.url().trim_end_matches("/events").to_owned();
    let harbour = Harbour::start_with("elsewhere", |wishes| wishes.uploads_go_to = Some(host.clone()));
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 5000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    let target = release.wait("app", &["failed", "released"]);
    assert_eq!(
        (&target["state"], &target["problem"]["code"]),
        (&json!("failed"), &json!("foreign-storage")),
        "{target}"
    );
    let named = host.trim_start_matches("http://");
    assert!(problem(&target).contains(named) && problem(&target).contains("`storage`"), "{}", problem(&target));
    assert_eq!(release.attempts("app", "17.3.1").len(), 1, "asking again would bring the same answer");
    assert!(elsewhere.received().is_empty(), "nothing was sent there");
    assert_eq!(harbour.served("17.3.1"), None);
}
