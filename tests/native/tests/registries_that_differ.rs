//! The same copy against a registry that can be told to be different, to fail, or to lie.
#![allow(clippy::print_stdout, reason = "tests say what they counted")]

mod world;

use serde_json::json;
use slipway_oci::{
    Depth, Moved, NotServed, OCI_IMAGE, OCI_INDEX, Registry, Scope, Session, Shelf, Tag, copy, find_referrers,
    read_image,
};
use slipway_registry::{Manner, Quirk, Registry as Server, Wants, What};
use slipway_wire::Digest;

use world::{World, described, layers, repository};

#[tokio::test]
async fn an_image_arrives_whatever_a_registry_does_in_its_own_way() {
    let all = [
        Quirk::RelativeLocations,
        Quirk::RedirectsBlobs,
        Quirk::NeverMounts,
        Quirk::ForgetsUploads,
        Quirk::HasReferrers,
        Quirk::NamesNoDigest,
        Quirk::NamesOnePart,
    ];
    let alone = all.iter().map(|quirk| vec![*quirk]);
    for quirks in alone.chain([all.to_vec()]) {
        let wants = [Wants::Nothing, Wants::Basic("tester:secret".to_owned()), Wants::Tokens { good_for: 8 }];
        for wants in wants {
            let manner = Manner { wants: wants.clone(), ..Manner::with(quirks.clone()) };
            let world = World::new(manner.clone(), manner, &layers()).await;
            let moved = world.release().await.unwrap_or_else(|error| panic!("{quirks:?} {wants:?}: {error}"));
            // Two configurations, and two layers that both platforms have.
            assert_eq!(moved.len(), 4, "{quirks:?} {wants:?}");
            assert_eq!(world.public(), Some(Ok(())), "{quirks:?} {wants:?}");
            let public = world.public.manifest("acme/app", "17.3.1").expect("it is there");
            assert_eq!(Digest::of(&public.bytes), world.digest);
        }
    }
}

#[tokio::test]
async fn storage_is_never_shown_a_credential() {
    let manner = Manner { wants: Wants::Basic("tester:secret".to_owned()), ..Manner::with([Quirk::RedirectsBlobs]) };
    let mut world = World::new(manner, Manner::default(), &layers()).await;
    // The storage refuses whoever shows one, so that it arrives proves that none was shown.
    world.release().await.expect("it arrives");
    world.user = None;
    let error = world.release().await.expect_err("staging is closed");
    assert!(error.contains("UNAUTHORIZED"), "{error}");
}

/// What goes wrong once at each request of a release, with the work undone and done, ends in a release after some runs, and
/// never in a tag whose image is not whole.
#[tokio::test]
async fn a_release_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    let plain = World::new(Manner::default(), Manner::default(), &layers()).await;
    plain.release().await.expect("it arrives");
    let requests = plain.public.journal();
    assert!(requests.len() > 15, "{requests:#?}");
    let mut tried = 0;
    for asked in &requests {
        let (method, path) = asked.request.split_once(' ').expect("a method");
        let method = ["HEAD", "GET", "POST", "PUT", "PATCH"].into_iter().find(|known| known == &method).expect(method);
        // The number of an upload is another in each run.
        let path = if path.contains("/uploads/") { "/uploads/" } else { path };
        for what in [
            What::Refuse(500),
            What::Refuse(429),
            What::DoAndRefuse(502),
            What::DoAndHangUp,
            What::HangUpAfter(0),
            What::Collect,
        ] {
            let world = World::new(Manner::default(), Manner::default(), &layers()).await;
            world.public.watch("acme/app");
            world.public.fault(method, path, what.clone());
            let mut ended = Err(String::new());
            for _ in 0..3 {
                ended = world.release().await;
                assert_ne!(world.public().map(|seen| seen.is_ok()), Some(false), "{method} {path} {what:?}");
                if ended.is_ok() {
                    break;
                }
            }
            assert!(ended.is_ok() && world.public.is_spent(), "{method} {path} {what:?}: {ended:?}");
            // A reader who asked after every single request.
            assert_eq!(world.public.seen(), [""; 0], "{method} {path} {what:?}");
            assert_eq!(world.public(), Some(Ok(())), "{method} {path} {what:?}");
            tried += 1;
        }
    }
    println!("{tried} releases cut off");
}

#[tokio::test]
async fn a_large_blob_goes_on_where_its_upload_broke_off() {
    let large = vec![5; 70_000_000];
    for (quirks, again) in [
        (vec![], 21_000_000),
        (vec![Quirk::ForgetsUploads], 70_000_000),
        (vec![Quirk::AnswersPiecesWith201], 70_000_000),
    ] {
        let world = World::new(Manner::default(), Manner::with(quirks.clone()), std::slice::from_ref(&large)).await;
        world.public.fault("PATCH", "/uploads/", What::HangUpAfter(49_000_000));
        world.release().await.expect_err("it breaks off");
        // What had come is counted a moment after it was asked for, so the first try to go on is at another place.
        world.public.fault("PATCH", "/uploads/", What::Refuse(416));
        world.public.journal();
        let moved = world.release().await.expect("it goes on");
        assert!(moved.contains(&Moved::Sent(again)), "{quirks:?}: {moved:?}");
        let sent: u64 = world
            .public
            .journal()
            .iter()
            .filter(|asked| asked.request.starts_with("PATCH"))
            .map(|asked| asked.bytes)
            .sum();
        assert_eq!(sent, again, "{quirks:?}");
        assert_eq!(world.public(), Some(Ok(())));
    }
}

/// Puts an artifact that says something about `subject` into `ci/app`. Returns its digest.
fn attach(server: &Server, name: &str, subject: Option<Digest>) -> Digest {
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        server.put_blob("ci/app", digest, bytes.to_vec());
        json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest.to_string(), "size": bytes.len() })
    };
    let mut manifest = json!({
        "schemaVersion": 2,
        "artifactType": "application/vnd.example.signature",
        "config": blob(b"{}"),
        "layers": [blob(name.as_bytes())],
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!({ "mediaType": OCI_INDEX, "digest": subject.to_string(), "size": 1 });
    }
    server.put_manifest("ci/app", name, OCI_IMAGE, manifest.to_string().as_bytes())
}

#[tokio::test]
async fn what_says_something_about_an_image_arrives_before_its_tag_and_is_found_there() {
    let sources = [vec![], vec![Quirk::HasReferrers]];
    // One refuses what says something about an image that it does not have.
    let targets = [vec![], vec![Quirk::HasReferrers], vec![Quirk::HasReferrers, Quirk::WantsSubjects]];
    for (at_source, at_target) in sources.iter().flat_map(|source| targets.iter().map(move |target| (source, target))) {
        let manner = |quirks: &[Quirk]| Manner::with(quirks.iter().copied());
        let world = World::new(manner(at_source), manner(at_target), &layers()).await;
        let child = Digest::of(&world.staging.manifest("ci/app", "arm64").expect("an image").bytes);
        let on_index = attach(&world.staging, "signature", Some(world.digest));
        let on_child = attach(&world.staging, "sbom", Some(child));
        // A signature of the bill of materials.
        let on_sbom = attach(&world.staging, "signature-of-sbom", Some(on_child));
        let cosign = attach(&world.staging, &format!("{}.sig", Tag::of_referrers(&world.digest)), None);
        let nobody = attach(&world.staging, "of-another", Some(Digest::of(b"another image")));
        if at_source.is_empty() {
            for (subject, referrer) in [(world.digest, on_index), (child, on_child), (on_child, on_sbom)] {
                let size = world.staging.manifest("ci/app", &referrer.to_string()).expect("it is there").bytes.len();
                let entry = json!({ "mediaType": OCI_IMAGE, "digest": referrer.to_string(), "size": size });
                let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
                let name = Tag::of_referrers(&subject).to_string();
                world.staging.put_manifest("ci/app", &name, OCI_INDEX, index.as_bytes());
            }
        }
        for is_first in [true, false] {
            world.release_with_referrers(is_first).await.expect("it arrives");
        }
        let what = format!("{at_source:?} {at_target:?}");
        for referrer in [on_index, on_child, on_sbom, cosign] {
            assert_eq!(world.public.whole("acme/app", &referrer.to_string()), Ok(()), "{what}");
        }
        assert_eq!(world.public.manifest("acme/app", &nobody.to_string()), None, "{what}");
        // As a client looks for them.
        let registry = described(&world.public, None);
        let session = Session::new(&registry);
        let found = find_referrers(&session, &world.http, &repository("acme/app"), [world.digest, child].into()).await;
        let found = found.expect("a list");
        assert_eq!(found.manifests, [on_index, on_child, on_sbom].into(), "{what}");
        assert_eq!(found.tags.values().copied().collect::<Vec<_>>(), [cosign], "{what}");
    }
}

#[tokio::test]
async fn a_registry_that_loses_the_end_of_a_blob_is_caught() {
    let world = World::new(Manner::default(), Manner::default(), &layers()).await;
    world.public.fault("PUT", "/uploads/", What::Truncate);
    // It takes its own word for the blob that it has spoilt, until it is looked at.
    let mut ended = Vec::new();
    for _ in 0..2 {
        ended.push(world.release().await.map(drop));
    }
    let error = ended.into_iter().find_map(Result::err).expect("it is caught");
    assert!(error.contains("bytes, and it has"), "{error}");
}

#[tokio::test]
async fn an_address_that_a_registry_gives_and_nobody_named_is_not_visited() {
    let world = World::new(Manner::with([Quirk::RedirectsBlobs]), Manner::default(), &layers()).await;
    let (from, source) = (Registry::anonymous(world.staging.url().parse().expect("an address")), repository("ci/app"));
    let session = Session::new(&from);
    let image =
        read_image(&session, &world.http, &Scope::pull(&source), &source, world.digest).await.expect("an image");
    let (to, target) = (described(&world.public, None), repository("acme/app"));
    let to = Session::new(&to);
    let source = Shelf { session: &session, repository: &source };
    let target = Shelf { session: &to, repository: &target };
    let error = copy(&world.http, source, target, &image, &(), &|_, _| ()).await.expect_err("storage is not named");
    assert!(error.to_string().contains("`storage` does not list"), "{error}");
}

/// What registries do in their own way, one row each: what it is, and the quirk or fault that stands for it.
#[tokio::test]
async fn what_some_registry_does_ends_in_a_release_that_reads_back_or_in_its_reason() {
    let large = vec![vec![5; 70_000_000]];
    let fails = |why: &'static str| Some(why);
    let rows: [(&str, Vec<Quirk>, &[Vec<u8>], Option<&str>); 14] = [
        ("`Location` is absolute", vec![], &layers(), None),
        ("`Location` is relative", vec![Quirk::RelativeLocations], &layers(), None),
        ("a blob's bytes are at storage", vec![Quirk::RedirectsBlobs], &layers(), None),
        ("an upload in pieces ends with an empty request", vec![Quirk::WantsEmptyEnds], &large, None),
        ("a piece is answered 201", vec![Quirk::AnswersPiecesWith201], &large, None),
        ("an upload is forgotten", vec![Quirk::ForgetsUploads], &large, None),
        ("there is a referrers API", vec![Quirk::HasReferrers], &layers(), None),
        ("an index is found only where it is accepted", vec![Quirk::WantsAccept], &layers(), None),
        ("the first missing part alone is named", vec![Quirk::NamesOnePart], &layers(), None),
        ("no digest is named", vec![Quirk::NamesNoDigest], &layers(), None),
        ("nothing is said of what is stored", vec![Quirk::SaysNothingOfWhatIsStored], &layers(), None),
        ("a mount is answered 202", vec![Quirk::NeverMounts], &layers(), None),
        ("a mount is refused", vec![Quirk::RefusesMounts], &layers(), None),
        ("a manifest must say its type", vec![Quirk::WantsMediaTypes], &layers(), fails("MANIFEST_INVALID")),
    ];
    for (what, quirks, layers, fails) in rows {
        let world = World::new(Manner::default(), Manner::with(quirks), layers).await;
        world.public.watch("acme/app");
        let released = world.release().await;
        match fails {
            None => {
                released.unwrap_or_else(|error| panic!("{what}: {error}"));
                world.read_back(Depth::Bytes).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            Some(why) => {
                let error = released.expect_err(what);
                assert!(error.contains(why), "{what}: {error}");
                assert_eq!(world.public(), None, "{what}: nothing is named");
            }
        }
        assert_eq!(world.public.seen(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn within_a_registry_that_does_not_mount_the_bytes_are_sent() {
    for (quirk, posts) in [(None, 4), (Some(Quirk::NeverMounts), 4), (Some(Quirk::RefusesMounts), 8)] {
        let server = Server::start(Manner::with(quirk)).await.expect("a registry");
        let digest = world::stage(&server, &layers());
        let http = slipway_native::Native::new(std::time::Duration::ZERO);
        let registry = described(&server, None);
        let session = Session::new(&registry);
        let (source, target) = (repository("ci/app"), repository("acme/app"));
        let image = read_image(&session, &http, &Scope::pull(&source), &source, digest).await.expect("an image");
        let shelf = |repository| Shelf { session: &session, repository };
        server.journal();
        let moved = std::cell::RefCell::new(Vec::new());
        let told = |_: &_, how| moved.borrow_mut().push(how);
        let copied = copy(&http, shelf(&source), shelf(&target), &image, &(), &told).await;
        copied.unwrap_or_else(|error| panic!("{quirk:?}: {error}"));
        let is_mounted = moved.borrow().iter().all(|how| *how == Moved::Mounted);
        assert_eq!(is_mounted, quirk.is_none(), "{quirk:?}");
        let asked = server.journal();
        assert_eq!(asked.iter().filter(|asked| asked.request.starts_with("POST")).count(), posts, "{quirk:?}");
        assert_eq!(server.whole("acme/app", &digest.to_string()), Ok(()));
    }
}

#[tokio::test]
async fn other_bytes_behind_a_201_are_named_when_they_are_read_back() {
    for what in [What::Swap, What::Truncate] {
        let world = World::new(Manner::default(), Manner::default(), &layers()).await;
        world.public.fault("PUT", "/uploads/", what.clone());
        world.release().await.expect("the registry says that it is there");
        let error = world.read_back(Depth::Bytes).await.expect_err("it is not");
        let NotServed::OtherBytes { blob, place, found, .. } = &error else { panic!("{what:?}: {error}") };
        let served = world.public.blob("acme/app", blob).expect("a blob");
        assert_eq!(*found, Some(Digest::of(&served)), "{what:?}");
        assert_ne!(*found, Some(*blob), "{what:?}");
        let host = world.public.url().trim_start_matches("http://").to_owned();
        assert_eq!(place.to_string(), format!("`{host}/acme/app`"));
        assert!(error.to_string().contains(&blob.to_string()), "{error}");
        // Its length alone gives a lost byte away.
        assert_eq!(world.read_back(Depth::Parts).await.is_err(), what == What::Truncate);
        assert!(world.read_back(Depth::Names).await.is_ok());
    }
}

#[tokio::test]
async fn a_manifest_that_is_kept_under_a_wrong_digest_is_found_when_it_is_read_back() {
    for (path, depth) in [("manifests/sha256:", Depth::Parts), ("manifests/17.3.1", Depth::Names)] {
        let world = World::new(Manner::default(), Manner::default(), &layers()).await;
        world.public.fault("PUT", path, What::Bend);
        world.release().await.expect("the registry says that it is there");
        let error = world.read_back(depth).await.expect_err("it is not").to_string();
        assert!(error.contains("not sha256:") || error.contains(&world.digest.to_string()), "{path}: {error}");
    }
}

#[tokio::test]
async fn what_was_collected_before_its_manifest_came_is_sent_again_once() {
    let world = World::new(Manner::default(), Manner::default(), &layers()).await;
    world.public.watch("acme/app");
    world.public.fault("PUT", "/manifests/", What::Collect);
    world.release().await.expect("it arrives in one run");
    assert_eq!((world.public(), world.public.is_spent()), (Some(Ok(())), true));
    assert_eq!(world.public.seen(), [""; 0]);
    // A registry that loses them each time is told of, and not asked for ever.
    let world = World::new(Manner::default(), Manner::default(), &layers()).await;
    for _ in 0..8 {
        world.public.fault("PUT", "/manifests/", What::Collect);
    }
    let error = world.release().await.expect_err("they are lost again");
    assert!(error.contains("lost parts of the image"), "{error}");
    assert_eq!(world.public(), None);
}

#[tokio::test]
async fn a_registry_that_is_asked_too_often_says_when_to_come_again() {
    for path in ["/blobs/sha256", "/manifests/sha256", "/uploads/"] {
        for method in ["HEAD", "POST", "PUT"] {
            let world = World::new(Manner::default(), Manner::default(), &layers()).await;
            world.public.fault(method, path, What::Refuse(429));
            if let Err(error) = world.release().await {
                assert!(error.contains("is busy") && error.contains("asks to wait 1 s"), "{method} {path}: {error}");
            } else {
                assert!(!world.public.is_spent(), "{method} {path}: it was refused and arrived");
            }
        }
    }
}
