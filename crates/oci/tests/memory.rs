//! What a registry says never takes many times its own size: a Worker has 128 MB for everything
//! (<https://developers.cloudflare.com/workers/platform/limits/>), and what needs more ends every other request with it.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use peak_alloc::PeakAlloc;
use slipway_oci::{
    HeadManifest, MANIFEST_BYTES_MAX, Manifest, OCI_IMAGE, OCI_INDEX, Registry, Repository, Scope, Session, Which,
    list_tags,
};
use slipway_wire::{Digest, Http, Request, Response, Unreachable};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How large an answer's body may be that is read at once, as in `slipway-fetch`.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
const MIB: usize = 1024 * 1024;

/// How much more was held during `work` than before it, in MiB.
fn peak_mib(work: impl FnOnce()) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    work();
    ALLOCATOR.peak_usage().saturating_sub(before) / MIB
}

/// `piece` as often as it fits into so many bytes.
fn filled(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes / piece.len())
}

/// Gives one answer to everything.
struct Says(Response);

impl Http for Says {
    async fn send(&self, _request: Request) -> Result<Response, Unreachable> {
        Ok(self.0.clone())
    }

    async fn read(&self, _request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        each(self.0.body());
        Ok(self.0.clone())
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn says(status: u16, body: String) -> Says {
    Says(http::Response::builder().status(status).body(body.into_bytes()).expect("a status"))
}

// One test, since tests of one process share its memory.
#[test]
fn nothing_that_a_registry_says_is_held_at_many_times_its_size() {
    let digest = Digest::of(b"x");
    let space = MANIFEST_BYTES_MAX - 1000;
    let descriptor = format!(r#"{{"digest":"{digest}","size":1}},"#);
    let ended = |list: String| format!("[{}]", list.trim_end_matches(','));
    let config = descriptor.trim_end_matches(',');
    for (what, media_type, text) in [
        ("small objects", OCI_IMAGE, format!(r#"{{"config":{config},"x":{}}}"#, ended(filled(r#"{"a":1},"#, space)))),
        ("small lists", OCI_IMAGE, format!(r#"{{"config":{config},"x":{}}}"#, ended(filled("[0],", space)))),
        ("layers", OCI_IMAGE, format!(r#"{{"config":{config},"layers":{}}}"#, ended(filled(&descriptor, space)))),
        ("images", OCI_INDEX, format!(r#"{{"manifests":{}}}"#, ended(filled(&descriptor, space)))),
        (
            "addresses",
            OCI_IMAGE,
            format!(r#"{{"config":{{"digest":"{digest}","size":1,"urls":{}}}}}"#, ended(filled("\"\",", space))),
        ),
        ("numbers for layers", OCI_IMAGE, format!(r#"{{"config":{config},"layers":{}}}"#, ended(filled("1,", space)))),
    ] {
        let bytes = text.into_bytes();
        let peak = peak_mib(|| drop(Manifest::read(media_type, bytes)));
        assert!(peak <= 64, "{what}: {peak} MiB");
    }

    let registry = Registry::anonymous("https://registry.example.com".parse().expect("an address"));
    let session = Session::new(&registry);
    let repository: Repository = "team/app".parse().expect("a repository");
    let which: Which = digest.into();
    let head = HeadManifest { registry: &registry, repository: &repository, which: &which };
    let refusal = format!(r#"{{"errors":[{{"detail":{}}}]}}"#, ended(filled(r#"{"a":1},"#, BODY_BYTES_MAX - 100)));
    let refuses = says(400, refusal);
    let peak = peak_mib(|| {
        let answer = now(session.call(&refuses, &Scope::pull(&repository), &head));
        assert!(answer.is_err(), "{answer:?}");
    });
    assert!(peak <= 64, "a refusal: {peak} MiB");

    let mut tags = String::with_capacity(BODY_BYTES_MAX);
    for number in 0.. {
        let tag = format!("\"{number}\",");
        if tags.len() + tag.len() > BODY_BYTES_MAX - 100 {
            break;
        }
        tags.push_str(&tag);
    }
    let lists = says(200, format!(r#"{{"tags":{}}}"#, ended(tags)));
    let peak = peak_mib(|| {
        let error = now(list_tags(&session, &lists, &repository)).expect_err("too many").to_string();
        assert!(error.contains("delete those that nobody needs"), "{error}");
    });
    assert!(peak <= 64, "tags: {peak} MiB");
}
