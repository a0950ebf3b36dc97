//! Where a file or an image is, and taking a file out of a package server's repository.

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::Method;
use slipway_wire::{Request, Response, Token, Unreachable};

use super::*;

/// A server with a file or none.
#[derive(Default)]
struct Server {
    /// Its digest, as the server writes it: it may be unknown yet.
    file: RefCell<Option<String>>,
    asked: RefCell<Vec<String>>,
    /// What a deletion is answered with, in place of doing it.
    refuses: Option<u16>,
    /// It does the work and then fails.
    loses_answers: bool,
}

impl Server {
    fn answer(&self, request: &Request) -> Response {
        let answer = |status: u16, body: String| {
            http::Response::builder().status(status).body(body.into_bytes()).expect("a status")
        };
        self.asked.borrow_mut().push(format!("{} {}", request.method(), request.uri().path()));
        if request.method() == Method::DELETE {
            if let Some(status) = self.refuses {
                return answer(status, r#"{"error":"no"}"#.to_owned());
            }
            return match self.file.take() {
                Some(_) if self.loses_answers => answer(504, "<h1>Gateway Timeout</h1>".to_owned()),
                Some(_) => answer(200, "{}".to_owned()),
                None => answer(404, r#"{"filename":["not found"]}"#.to_owned()),
            };
        }
        let listed = self.file.borrow().as_ref().map(|digest| {
            format!(r#"{{"filename":"tug_1_amd64.deb","distro_version":"ubuntu/jammy","sha256sum":{digest}}}"#)
        });
        answer(200, format!("[{}]", listed.unwrap_or_default()))
    }

    fn deletions(&self) -> usize {
        self.asked.borrow().iter().filter(|line| line.starts_with("DELETE")).count()
    }
}

impl Http for Server {
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

fn remove(server: &Server, digest: Digest) -> Result<Removed, Trouble> {
    let account = Account::new("https://packages.example.com".parse().expect("an address"), Token::new("t0k3n"));
    let repository = "harbour/tug".parse().expect("a repository");
    let store = Store::Packagecloud { account, repository, storage: Vec::new() };
    let name = Name::File("ubuntu/jammy".parse().expect("a distro"), "tug_1_amd64.deb".parse().expect("a name"));
    let kept = Kept::default();
    match pin!(store.remove(server, &name, digest, &kept)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(removed) => removed,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn holding(text: &[u8]) -> Server {
    let digest = Digest::of(text).to_string();
    let digest = format!("{:?}", digest.trim_start_matches("sha256:"));
    Server { file: RefCell::new(Some(digest)), ..Server::default() }
}

#[test]
fn exactly_the_named_bytes_are_removed() {
    let server = holding(b"one");
    assert_eq!(remove(&server, Digest::of(b"one")), Ok(Removed::Whole));
    assert_eq!(*server.file.borrow(), None);
    assert_eq!(remove(&server, Digest::of(b"one")), Ok(Removed::Absent));
    assert_eq!(server.deletions(), 1, "what is not there is not asked to be deleted");
}

#[test]
fn other_bytes_under_the_name_stay() {
    let server = holding(b"other");
    assert_eq!(remove(&server, Digest::of(b"one")), Ok(Removed::Other(Digest::of(b"other"))));
    assert_eq!(server.deletions(), 0);
}

#[test]
fn bytes_whose_digest_is_not_known_yet_stay() {
    let server = Server { file: RefCell::new(Some("null".to_owned())), ..Server::default() };
    let trouble = remove(&server, Digest::of(b"one")).expect_err("it cannot be told");
    assert!(trouble.may_pass(), "{trouble}");
    assert_eq!(server.deletions(), 0);
}

#[test]
fn a_lost_answer_settles_nothing_and_the_next_look_does() {
    let server = Server { loses_answers: true, ..holding(b"one") };
    let trouble = remove(&server, Digest::of(b"one")).expect_err("504");
    assert!(trouble.may_pass(), "{trouble}");
    assert_eq!(remove(&server, Digest::of(b"one")), Ok(Removed::Absent));
}

#[test]
fn a_server_that_does_not_let_this_user_delete_is_told_as_such() {
    for (status, code) in [(401, Code::NoAccess), (403, Code::NoAccess), (404, Code::NoAccess), (422, Code::Refused)] {
        let server = Server { refuses: Some(status), ..holding(b"one") };
        let trouble = remove(&server, Digest::of(b"one")).expect_err("refused");
        assert_eq!(trouble.kind, TroubleKind::Final(code), "{status}");
        assert!(server.file.borrow().is_some());
    }
}

#[test]
fn a_file_and_an_image_have_the_addresses_that_their_servers_give_them() {
    let of = |kind, base: &str, repository, under: &str, cargo: &str| {
        let base = base.parse().expect("an address");
        address(kind, &base, repository, under, &cargo.parse().expect("a file or an image"))
    };
    let (packagecloud, registry) = (PlaceKind::Packagecloud, PlaceKind::Registry);
    let file = of(packagecloud, "https://packagecloud.io", "harbour/tug", "ubuntu/jammy", "tug_3.1.0+ce~1_amd64.deb");
    assert_eq!(file, "https://packagecloud.io/harbour/tug/packages/ubuntu/jammy/tug_3.1.0%2Bce~1_amd64.deb");
    let digest = Digest::of(b"image");
    for (under, end) in [(":17.3.1", "17.3.1".to_owned()), (&format!("@{digest}"), digest.to_string())] {
        let image = of(registry, "https://registry.example.com", "team/app", under, "registry.example.com/team/app");
        assert_eq!(image, format!("https://registry.example.com/v2/team/app/manifests/{end}"));
    }
}
