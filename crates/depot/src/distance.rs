//! How far away clients are. That belongs to the network: it is paid for connections and for bytes, not for requests.
//!
//! A connection carries nothing for one round trip, in which it is asked for and granted. From then on, whatever one
//! side sends reaches the other one way later, in the order in which it was sent, and the end of what it sends does too.
//! So who opens a connection for every request pays twice for each, and who keeps connections, or has several at a time,
//! gains what that gains in the field.
//!
//! Not modelled: TLS, which costs a new connection one or two round trips more, the lookup of names, and bandwidth, with
//! the slow start of TCP. Connections that were opened before the distance changed are ended, so that nobody begins with
//! warm ones.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes of a connection are on their way in one direction: at 20 ms each way, 200 MB/s.
const ON_THE_WAY_MAX: usize = 4 * 1024 * 1024;
/// How many bytes are read at a time.
const PIECE: usize = 64 * 1024;

/// The distance to all clients. It is changed by tests and measurements only.
#[derive(Debug)]
pub(crate) struct Distance(watch::Sender<Duration>);

impl Default for Distance {
    fn default() -> Self {
        Self(watch::Sender::new(Duration::ZERO))
    }
}

impl Distance {
    /// From now on, for new connections. Those that are open end.
    pub(crate) fn set(&self, each_way: Duration) {
        self.0.send_replace(each_way);
    }

    /// Listens for clients that are so far away.
    pub(crate) fn listen(&self, listener: TcpListener) -> impl Listener<Io = Distant<TcpStream>, Addr = SocketAddr> {
        Far { listener, distance: self.0.subscribe() }
    }
}

struct Far {
    listener: TcpListener,
    distance: watch::Receiver<Duration>,
}

impl Listener for Far {
    type Io = Distant<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Distant::new(stream, self.distance.clone()), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection to a client that is some way off.
pub(crate) struct Distant<S> {
    stream: S,
    each_way: Duration,
    /// When the client knows that the connection is there, and begins to send.
    granted_at: Instant,
    /// Ready when the distance has changed.
    moved: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_moved: bool,
    inbound: Line,
    outbound: Line,
}

/// What is on its way in one direction: when it arrives, and what. A piece without bytes is the end.
#[derive(Default)]
struct Line {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// How many bytes of the first piece have been taken already.
    taken: usize,
    has_end: bool,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Line {
    fn send(&mut self, piece: Vec<u8>, arrives_at: Instant) {
        self.bytes += piece.len();
        self.has_end |= piece.is_empty();
        self.pieces.push_back((arrives_at, piece));
    }

    fn is_full(&self) -> bool {
        self.has_end || self.bytes >= ON_THE_WAY_MAX
    }

    /// The rest of the first piece, when it has arrived. `None`: nothing is on its way.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<&[u8]>> {
        let Some((arrives_at, piece)) = self.pieces.front() else { return Poll::Ready(None) };
        if *arrives_at > Instant::now() {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(*arrives_at)));
            if alarm.deadline() != *arrives_at {
                alarm.as_mut().reset(*arrives_at);
            }
            ready!(alarm.as_mut().poll(cx));
        }
        Poll::Ready(Some(piece.get(self.taken..).unwrap_or_default()))
    }

    fn take(&mut self, count: usize) {
        self.bytes -= count;
        self.taken += count;
        // The end stays: whoever reads once more meets it again.
        if self.pieces.front().is_some_and(|(_, piece)| !piece.is_empty() && self.taken >= piece.len()) {
            self.pieces.pop_front();
            self.taken = 0;
        }
    }
}

impl<S> Distant<S> {
    fn new(stream: S, mut distance: watch::Receiver<Duration>) -> Self {
        let each_way = *distance.borrow_and_update();
        let moved = Box::pin(async move {
            // Where nobody can change it any more, it stays as it is.
            if distance.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        Self {
            stream,
            each_way,
            granted_at: Instant::now() + each_way * 2,
            moved,
            has_moved: false,
            inbound: Line::default(),
            outbound: Line::default(),
        }
    }
}

impl<S: AsyncWrite + Unpin> Distant<S> {
    /// Hands over what has arrived. Ready when nothing is on its way any more.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(piece) = ready!(self.outbound.poll_first(cx)) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, piece))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.take(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Distant<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.has_moved = this.has_moved || this.moved.as_mut().poll(cx).is_ready();
        if this.has_moved {
            return Poll::Ready(Ok(()));
        }
        if this.each_way.is_zero() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        while !this.inbound.is_full() {
            let mut piece = vec![0; PIECE];
            let mut read = ReadBuf::new(&mut piece);
            if Pin::new(&mut this.stream).poll_read(cx, &mut read)?.is_pending() {
                break;
            }
            let length = read.filled().len();
            piece.truncate(length);
            this.inbound.send(piece, Instant::now().max(this.granted_at) + this.each_way);
        }
        // Nothing is on its way, and the stream says when there is.
        let Some(piece) = ready!(this.inbound.poll_first(cx)) else { return Poll::Pending };
        let count = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..count]);
        this.inbound.take(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Distant<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.each_way.is_zero() {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        }
        let delivered = this.poll_deliver(cx)?;
        if this.outbound.is_full() {
            ready!(delivered);
        }
        if !bytes.is_empty() {
            this.outbound.send(bytes.to_vec(), Instant::now() + this.each_way);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.each_way.is_zero() {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        self.poll_write(cx, first.map_or(&[], |piece| piece))
    }

    fn is_write_vectored(&self) -> bool {
        self.each_way.is_zero() && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_deliver(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_deliver(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const EACH_WAY: Duration = Duration::from_millis(20);

    /// Runs with a clock that only moves when nothing else can, so that every time is exact.
    fn run<F: Future>(story: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime of one thread").block_on(story)
    }

    fn connection(distance: &Distance) -> (DuplexStream, Distant<DuplexStream>) {
        let (client, server) = duplex(1024 * 1024);
        (client, Distant::new(server, distance.0.subscribe()))
    }

    fn far() -> Distance {
        let distance = Distance::default();
        distance.set(EACH_WAY);
        distance
    }

    async fn read(from: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).await.expect("the other side has sent it");
        bytes
    }

    async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
        to.write_all(bytes).await.expect("the other side is there");
        to.flush().await.expect("the other side is there");
    }

    #[test]
    fn a_new_connection_costs_a_round_trip_and_so_does_every_exchange() {
        run(async {
            let (mut client, mut server) = connection(&far());
            let began = Instant::now();
            for round_trips in [2, 3, 4] {
                send(&mut client, b"question").await;
                assert_eq!(read(&mut server, 8).await, b"question");
                assert_eq!(began.elapsed(), EACH_WAY * (2 * round_trips - 1));
                send(&mut server, b"answer").await;
                assert_eq!(read(&mut client, 6).await, b"answer");
                assert_eq!(began.elapsed(), EACH_WAY * 2 * round_trips);
            }
        });
    }

    #[test]
    fn what_is_sent_together_is_under_way_together_and_arrives_in_order_before_the_end() {
        run(async {
            let (mut client, mut server) = connection(&far());
            let began = Instant::now();
            let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
            client.write_all(&sent).await.expect("all of it fits");
            client.shutdown().await.expect("the other side is there");
            let mut arrived = Vec::new();
            server.read_to_end(&mut arrived).await.expect("there is an end");
            assert!(arrived == sent);
            assert_eq!(began.elapsed(), EACH_WAY * 3);
            assert_eq!(server.read(&mut [0; 8]).await.expect("the end stays"), 0);
        });
    }

    #[test]
    fn an_answer_is_delivered_before_the_connection_ends() {
        run(async {
            let (mut client, mut server) = connection(&far());
            let began = Instant::now();
            server.write_all(b"answer").await.expect("the other side is there");
            server.shutdown().await.expect("the other side is there");
            drop(server);
            let mut arrived = Vec::new();
            client.read_to_end(&mut arrived).await.expect("there is an end");
            assert_eq!((arrived.as_slice(), began.elapsed()), (b"answer".as_slice(), EACH_WAY));
        });
    }

    #[test]
    fn without_a_distance_nothing_takes_time() {
        run(async {
            let (mut client, mut server) = connection(&Distance::default());
            let began = Instant::now();
            send(&mut client, b"question").await;
            assert_eq!(read(&mut server, 8).await, b"question");
            send(&mut server, b"answer").await;
            assert_eq!(read(&mut client, 6).await, b"answer");
            assert_eq!(began.elapsed(), Duration::ZERO);
        });
    }

    #[test]
    fn a_connection_from_before_the_distance_changed_ends() {
        run(async {
            let distance = Distance::default();
            let (_client, mut server) = connection(&distance);
            let waits = tokio::spawn(async move { server.read(&mut [0; 8]).await });
            tokio::task::yield_now().await;
            assert!(!waits.is_finished());
            distance.set(EACH_WAY);
            assert_eq!(waits.await.expect("it does not panic").expect("an end is no error"), 0);
        });
    }
}
