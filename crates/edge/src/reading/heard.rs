//! The network, and when anything last came back over it.

use std::cell::Cell;

use slipway_core::time::Timestamp;
use slipway_wire::{Http, Request, Response, Unreachable};

use crate::port::AccountHost;

/// What an account asks its place by.
pub(super) struct Heard<'a, H> {
    pub(super) host: &'a H,
    pub(super) at: &'a Cell<Option<Timestamp>>,
}

impl<H: AccountHost> Heard<'_, H> {
    fn hears(&self, answer: Result<Response, Unreachable>) -> Result<Response, Unreachable> {
        if answer.is_ok() {
            self.at.set(Some(self.host.now()));
        }
        answer
    }
}

impl<H: AccountHost> Http for Heard<'_, H> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.hears(self.host.send(request).await)
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        // An index of many megabytes comes piece by piece.
        let mut piece = |piece: &[u8]| {
            self.at.set(Some(self.host.now()));
            each(piece)
        };
        self.hears(self.host.read(request, &mut piece).await)
    }

    fn connections(&self) -> usize {
        self.host.connections()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use slipway_core::cargo::Name;
    use slipway_core::store::Store;
    use slipway_ledger::rusqlite::Database;
    use slipway_packagecloud::Account as AtServer;
    use slipway_wire::Token;

    use super::super::{Readings, find, served};
    use super::*;
    use crate::account::Account;
    use crate::port::Clock;

    /// A place that answers so, or breaks the connection. Each question takes it a second.
    struct Place {
        now: Cell<i64>,
        status: Cell<Option<u16>>,
        asked: RefCell<Vec<String>>,
    }

    impl Clock for Place {
        fn now(&self) -> Timestamp {
            Timestamp(self.now.get())
        }

        fn random(&self) -> [u8; 16] {
            [0; 16]
        }

        async fn pause(&self, _wait: Duration) {}
    }

    impl Http for Place {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            self.now.set(self.now.get() + 1000);
            self.asked.borrow_mut().push(request.uri().path().to_owned());
            let broke = || Unreachable { host: "p.example.com".to_owned(), why: "the connection broke".to_owned() };
            let status = self.status.get().ok_or_else(broke)?;
            Ok(http::Response::builder().status(status).body(b"[]".to_vec()).expect("an answer"))
        }

        async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            let answer = self.send(request).await?;
            each(answer.body());
            // It breaks off behind the first piece.
            Err(Unreachable { host: "p.example.com".to_owned(), why: "the connection broke".to_owned() })
        }
    }

    impl AccountHost for Place {
        fn open(&self, repository: &str) -> Result<Store, String> {
            let account = AtServer::new("https://p.example.com".parse().expect("an address"), Token::new("token"));
            let repository = repository.parse().expect("a repository");
            Ok(Store::Packagecloud { account, repository, storage: Vec::new() })
        }
    }

    #[test]
    fn a_place_was_heard_when_it_last_answered_whatever_it_said() {
        let place = Place { now: Cell::new(0), status: Cell::new(None), asked: RefCell::default() };
        let account = Account::open(Database::in_memory()).expect("a fresh account");
        let readings = Readings::default();
        let name = Name::of("ubuntu/jammy", &"tug_1.2.0_amd64.deb".parse().expect("a file")).expect("a name");
        let heard = |status: Option<u16>| {
            place.status.set(status);
            let found = find(&readings, &account, &place, "harbour/stable", &name).now_or_never();
            let found = found.expect("nothing waits");
            (found.is_ok(), readings.answered_at())
        };
        assert_eq!(heard(None), (false, None));
        assert_eq!(heard(Some(200)), (true, Some(Timestamp(2000))));
        assert_eq!(heard(Some(503)), (false, Some(Timestamp(3000))), "that is an answer");
        assert_eq!(heard(None), (false, Some(Timestamp(3000))));

        // What comes in pieces is heard before its end.
        place.status.set(Some(200));
        let index = served(&readings, &account, &place, "harbour/stable", &name).now_or_never();
        assert!(index.expect("nothing waits").is_err(), "{:?}", place.asked);
        assert!(readings.answered_at() > Some(Timestamp(4000)), "{:?}", place.asked);
    }
}
