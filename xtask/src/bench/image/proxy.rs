//! A wire of some length: whatever goes through arrives later, in its order, and as fast as it was sent.
//!
//! A new connection costs the round trip that a handshake takes. What is on its way is bounded, as a network's is.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How much is taken from a socket at a time, and how many such pieces may be on their way: together 8 MiB, which 20 ms
/// each way at 1.6 Gbit/s fill.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_MAX: usize = 32;

/// It runs as long as the program: each connection is some threads that wait.
pub(super) struct Proxy {
    port: u16,
    to: Arc<Mutex<SocketAddr>>,
    sent: Arc<AtomicU64>,
}

impl Proxy {
    /// A wire on which everything takes `latency`.
    pub(super) fn start(latency: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        let port = listener.local_addr()?.port();
        let to = Arc::new(Mutex::new(listener.local_addr()?));
        let sent = Arc::new(AtomicU64::new(0));
        thread::spawn({
            let (to, sent) = (Arc::clone(&to), Arc::clone(&sent));
            move || {
                for near in listener.incoming().flatten() {
                    let to = *to.lock().unwrap_or_else(PoisonError::into_inner);
                    // What goes wrong with a connection shows at its other end.
                    let _ = connect(near, to, latency, &sent);
                }
            }
        });
        Ok(Self { port, to, sent })
    }

    /// Whoever connects from now on is connected to `host`.
    pub(super) fn lead_to(&self, host: &str) -> anyhow::Result<()> {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = host.parse().context("host and port")?;
        Ok(())
    }

    /// Host and port, as image references name it.
    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many bytes have left this end since the start.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn connect(near: TcpStream, to: SocketAddr, latency: Duration, sent: &Arc<AtomicU64>) -> anyhow::Result<()> {
    let far = TcpStream::connect(to)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    // The first byte follows a handshake, which has gone there and back.
    let open_at = Instant::now() + 2 * latency;
    carry(near.try_clone()?, far.try_clone()?, latency, open_at, Some(Arc::clone(sent)));
    carry(far, near, latency, open_at, None);
    Ok(())
}

type Piece = (Instant, Vec<u8>);

/// Carries one direction until its end, which arrives as late as all else.
fn carry(mut from: TcpStream, mut to: TcpStream, latency: Duration, open_at: Instant, sent: Option<Arc<AtomicU64>>) {
    let (sender, receiver): (SyncSender<Piece>, Receiver<Piece>) = sync_channel(PIECES_MAX);
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(length) = from.read(&mut buffer) {
            let due = Instant::now().max(open_at) + latency;
            if sender.send((due, buffer[..length].to_vec())).is_err() || length == 0 {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if piece.is_empty() || to.write_all(&piece).is_err() {
                break;
            }
            if let Some(sent) = &sent {
                sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_arrives_later_and_whole() {
        let far = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = Proxy::start(Duration::from_millis(10)).expect("a proxy");
        proxy.lead_to(&far.local_addr().expect("an address").to_string()).expect("an address");
        let began = Instant::now();
        let mut near = TcpStream::connect(proxy.host()).expect("it listens");
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut found = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                near.write_all(&bytes).expect("it takes them");
                near.shutdown(Shutdown::Write).expect("it is open");
            });
            far.accept().expect("a connection").0.read_to_end(&mut found).expect("an end");
        });
        assert!(found == bytes, "{} bytes", found.len());
        // The handshake there and back, and the way there.
        assert!(began.elapsed() >= Duration::from_millis(30), "{:?}", began.elapsed());
        assert_eq!(proxy.sent(), 1_000_000);
    }
}
