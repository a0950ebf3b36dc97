//! A source that makes bytes and a sink that discards them, with as little work as can be.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

/// What the source repeats. A prime length, so that no chunk of a copy equals the one before.
const BLOCK_BYTES: usize = 1_048_573;

/// How many bytes a source that keeps a rate sends at a time.
const PACED_BYTES: usize = 64 * 1024;

/// A socket that does nothing for so long belongs to a copy that hangs.
const SILENCE: Duration = Duration::from_mins(2);

/// Both servers. They end with the program: each is a thread that waits for connections.
pub(super) struct Servers {
    source: SocketAddr,
    sink: SocketAddr,
    block: Arc<Vec<u8>>,
    received: Arc<AtomicU64>,
    gate: Arc<Gate>,
}

/// Holds uploads in their middle, so that they can be looked at.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    /// After how many bytes an upload is held; `None` holds none.
    after: Option<u64>,
    held: usize,
}

impl Gate {
    fn set(&self, after: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = GateState { after, held: 0 };
        self.changed.notify_all();
    }

    fn pass(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.after.is_some_and(|after| bytes >= after) {
            state.held += 1;
            self.changed.notify_all();
            while state.after.is_some() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Servers {
    pub(super) fn start() -> anyhow::Result<Self> {
        let block = Arc::new(block());
        let received = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(Gate::default());
        let source = listen({
            let block = Arc::clone(&block);
            move |stream| give(stream, &block)
        })?;
        let sink = listen({
            let (received, gate) = (Arc::clone(&received), Arc::clone(&gate));
            move |stream| take(stream, &received, &gate)
        })?;
        Ok(Self { source, sink, block, received, gate })
    }

    /// Where `size` bytes are, which come no faster than a network lets them, if there is to be one.
    pub(super) fn source(&self, size: u64, bytes_per_second: Option<u64>) -> String {
        match bytes_per_second {
            Some(rate) => format!("http://{}/{size}/{rate}", self.source),
            None => format!("http://{}/{size}", self.source),
        }
    }

    pub(super) fn sink(&self) -> String {
        format!("http://{}/discarded", self.sink)
    }

    /// How many bytes of bodies the sink has taken since its start.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// From now on uploads are held after `bytes`.
    pub(super) fn hold(&self, bytes: u64) {
        self.gate.set(Some(bytes));
    }

    pub(super) fn let_go(&self) {
        self.gate.set(None);
    }

    pub(super) fn wait_until_held(&self, uploads: usize) -> anyhow::Result<()> {
        let state = self.gate.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .gate
            .changed
            .wait_timeout_while(state, SILENCE, |state| state.held < uploads)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(state.held >= uploads, "only {} of {uploads} uploads came half way", state.held);
        Ok(())
    }

    /// The SHA-256 of what the source gives for each of `sizes`, which are in rising order.
    pub(super) fn digests(&self, sizes: &[u64]) -> BTreeMap<u64, String> {
        let mut hasher = Sha256::new();
        let mut offset = 0;
        let mut digests = BTreeMap::new();
        for size in sizes {
            while offset < *size {
                let piece = piece(&self.block, offset, *size);
                hasher.update(piece);
                offset += piece.len() as u64;
            }
            digests.insert(*size, format!("{:x}", hasher.clone().finalize()));
        }
        digests
    }
}

/// Bytes that look random and are always the same: xorshift64, from Marsaglia's paper.
pub(in crate::bench) fn block() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..BLOCK_BYTES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[7]
        })
        .collect()
}

/// What comes at `offset` of a body of `size` bytes, up to the end of the block or of the body.
pub(in crate::bench) fn piece(block: &[u8], offset: u64, size: u64) -> &[u8] {
    let from = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or(0);
    let length = usize::try_from(size - offset).unwrap_or(usize::MAX).min(BLOCK_BYTES - from);
    &block[from..from + length]
}

/// Serves each connection in a thread of its own, until the program ends.
pub(in crate::bench) fn listen(
    serve: impl Fn(TcpStream) -> anyhow::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // What goes wrong with a connection shows at its other end.
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

/// Answers one `GET /SIZE` or `GET /SIZE/BYTES-PER-SECOND` and closes.
fn give(mut stream: TcpStream, block: &[u8]) -> anyhow::Result<()> {
    stream.set_write_timeout(Some(SILENCE))?;
    let head = Head::read(&mut BufReader::new(&stream))?;
    let mut path = head.target.trim_start_matches('/').split('/').map(str::parse::<u64>);
    let size = path.next().context("the path is a size")??;
    let rate = path.next().transpose().context("what follows the size is a rate")?;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n")?;
    let began = Instant::now();
    let mut sent = 0;
    while sent < size {
        let mut piece = piece(block, sent, size);
        if let Some(rate) = rate {
            piece = &piece[..piece.len().min(PACED_BYTES)];
            // A late piece is followed at once by the next, as a network's queue would do.
            #[allow(clippy::cast_precision_loss, reason = "sizes and rates are far below 2^52")]
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        stream.write_all(piece)?;
        sent += piece.len() as u64;
    }
    Ok(())
}

/// Reads one body to its end, answers 200 and closes. A body that is cut gets no answer.
fn take(mut stream: TcpStream, received: &AtomicU64, gate: &Gate) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    let head = Head::read(&mut reader)?;
    if head.expects_continue {
        write!(stream, "HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut taken = 0;
    let mut discard = |reader: &mut BufReader<TcpStream>, mut rest: u64| -> anyhow::Result<()> {
        while rest > 0 {
            let length = reader.fill_buf()?.len();
            ensure!(length > 0, "the body was cut");
            let length = length.min(usize::try_from(rest).unwrap_or(usize::MAX));
            reader.consume(length);
            rest -= length as u64;
            taken += length as u64;
            received.fetch_add(length as u64, Ordering::SeqCst);
            gate.pass(taken);
        }
        Ok(())
    };
    match head.length {
        Some(length) => discard(&mut reader, length)?,
        None => loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim_end(), 16).context("a chunk begins with its length")?;
            discard(&mut reader, length)?;
            let mut end = [0; 2];
            reader.read_exact(&mut end)?;
            if length == 0 {
                break;
            }
        },
    }
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n")?;
    Ok(())
}

/// The first lines of a request, as far as these servers care.
pub(in crate::bench) struct Head {
    pub(in crate::bench) method: String,
    pub(in crate::bench) target: String,
    /// `None` when the body is chunked.
    pub(in crate::bench) length: Option<u64>,
    expects_continue: bool,
}

impl Head {
    pub(in crate::bench) fn read(reader: &mut impl std::io::BufRead) -> anyhow::Result<Self> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = words.next().zip(words.next()).context("a request has a method and a target")?;
        let mut head = Self { method, target, length: None, expects_continue: false };
        loop {
            let mut line = String::new();
            ensure!(reader.read_line(&mut line)? > 0, "the request ends in its head");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                return Ok(head);
            }
            match line.split_once(':') {
                Some(("content-length", length)) => head.length = Some(length.trim().parse()?),
                Some(("expect", _)) => head.expects_continue = true,
                _ => {}
            }
        }
    }
}
