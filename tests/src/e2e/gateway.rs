//! A proxy in front of a server: it counts the bytes that are sent there, can hold them back in the middle of one request,
//! and can break every connection off.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What is sent there, and how much of it may pass.
#[derive(Default)]
struct Lock {
    /// The bytes that have passed, of all connections together.
    passed: u64,
    /// How many may.
    limit: Option<u64>,
    /// Whether somebody waits for more to be let through.
    is_holding: bool,
    /// How often everything was broken off. A connection of before is over.
    cuts: u64,
    open: Vec<TcpStream>,
}

/// A proxy on loopback, for as long as its test runs.
#[derive(Clone)]
pub struct Gateway {
    url: String,
    lock: Arc<(Mutex<Lock>, Condvar)>,
}

impl Gateway {
    /// Listens on a free port, in front of `host`.
    pub fn start(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let this = Self { url, lock: Arc::default() };
        let (own, host) = (this.clone(), host.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&host) else { continue };
                own.connect(stream, server);
            }
        });
        this
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bytes that were sent to the server, headers and all.
    pub fn passed(&self) -> u64 {
        self.locked().passed
    }

    /// So many bytes more are let through, and no others.
    pub fn hold_after(&self, bytes: u64) {
        let mut lock = self.locked();
        lock.limit = Some(lock.passed + bytes);
    }

    /// Whether somebody wants to send more than is let through.
    pub fn is_holding(&self) -> bool {
        self.locked().is_holding
    }

    /// Everything is let through again.
    pub fn open(&self) {
        let mut lock = self.locked();
        (lock.limit, lock.is_holding) = (None, false);
        self.lock.1.notify_all();
    }

    /// Every connection is broken off, and what was held back is lost. New ones are let through.
    pub fn cut(&self) {
        let mut lock = self.locked();
        lock.cuts += 1;
        for stream in lock.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        (lock.limit, lock.is_holding) = (None, false);
        self.lock.1.notify_all();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Lock> {
        self.lock.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, client: TcpStream, server: TcpStream) {
        let clones = (client.try_clone(), server.try_clone());
        let (Ok(to_client), Ok(from_server)) = clones else { return };
        let cuts = {
            let mut lock = self.locked();
            lock.open.extend([client.try_clone(), server.try_clone()].into_iter().flatten());
            lock.cuts
        };
        let own = self.clone();
        std::thread::spawn(move || own.up(client, server, cuts));
        std::thread::spawn(move || down(from_server, to_client));
    }

    fn up(&self, mut from: TcpStream, mut to: TcpStream, cuts: u64) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count) = from.read(&mut buffer)
            && count > 0
            && self.may_pass(count as u64, cuts)
            && to.write_all(&buffer[..count]).is_ok()
        {}
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits until so many bytes may pass. `false` when their connection is over.
    fn may_pass(&self, count: u64, cuts: u64) -> bool {
        let mut lock = self.locked();
        while lock.cuts == cuts && lock.limit.is_some_and(|limit| lock.passed + count > limit) {
            lock.is_holding = true;
            lock = self.lock.1.wait(lock).unwrap_or_else(PoisonError::into_inner);
        }
        let goes_on = lock.cuts == cuts;
        lock.passed += if goes_on { count } else { 0 };
        goes_on
    }
}

fn down(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
