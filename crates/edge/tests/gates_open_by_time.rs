//! The record's alarm comes when a gate opens by time alone, and those who follow the release are told then.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::FutureExt as _;
use slipway_core::cargo::Cargo;
use slipway_core::inventory::Seen;
use slipway_core::promotion::Order;
use slipway_core::release::Version;
use slipway_core::route::Site;
use slipway_core::signing::{NoSigner, SigningError};
use slipway_core::store::Store;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::Withdrawal;
use slipway_edge::port::{Clock, ProjectHost, Silent};
use slipway_edge::project;
use slipway_ledger::{NameTaken, PublicName};
use slipway_wire::{Http, Request, Response, Token, Unreachable};

use support::{JAMMY, NOW, config, record, stage};

mod support;

/// Nothing but a clock that is set by hand, and a list of who was told.
struct Host {
    now: Cell<Timestamp>,
    told: RefCell<Vec<Version>>,
}

impl Clock for Host {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn random(&self) -> [u8; 16] {
        [0; 16]
    }

    async fn pause(&self, _wait: Duration) {}
}

impl Http for Host {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        panic!("nothing is asked of {}", request.uri())
    }

    async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        panic!("nothing is read of {}", request.uri())
    }
}

impl ProjectHost for Host {
    type Signer = NoSigner;

    async fn signer(&self) -> Result<Option<NoSigner>, SigningError> {
        Ok(None)
    }

    async fn hand_over(&self, order: &Order) -> Result<(), Silent> {
        panic!("nothing is ordered of {}", order.key)
    }

    async fn hand_over_withdrawal(&self, withdrawal: &Withdrawal) -> Result<(), Silent> {
        panic!("nothing is taken back of {}", withdrawal.key)
    }

    fn open(&self, site: &Site) -> Result<Store, String> {
        panic!("nobody attaches anything in {}", site.repository)
    }

    fn announce(&self, version: &Version) {
        self.told.borrow_mut().push(version.clone());
    }

    async fn find(&self, _: &Site, _: &str, _: &Cargo) -> Result<Result<Seen, Trouble>, Silent> {
        Ok(Ok(Seen::Nothing))
    }

    async fn name_taken(&self, _: u64, _: &[PublicName]) -> Result<Option<NameTaken>, Silent> {
        Ok(None)
    }

    fn secret(&self, name: &str) -> Result<Token, String> {
        Err(format!("`{name}` is not needed"))
    }

    fn write(&self, _entry: &slipway_core::log::Entry<'_>) {}
}

#[test]
fn the_alarm_comes_when_a_soak_is_over_and_those_who_follow_are_told_then() {
    let config = config("[[gates]]\nsoak = \"2h\"");
    let record = record();
    stage(&record, "deb", &[JAMMY], "tug_1.2.0_amd64.deb", b"deb");
    let host = Host { now: Cell::new(NOW), told: RefCell::default() };
    let drive =
        || project::drive(&record, &host, &config, None).now_or_never().expect("nothing waits").expect("a record");
    let over = NOW + Duration::from_hours(2);
    assert_eq!(drive(), Some(over));
    assert!(host.told.borrow().is_empty(), "nothing has changed yet");
    host.now.set(over);
    assert_eq!(drive(), None, "nothing more opens by itself");
    assert_eq!(host.told.borrow().as_slice(), ["1.2.0".parse().expect("a version")]);
}
