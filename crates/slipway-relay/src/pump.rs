//! The loop: read, hash and write, with two buffers that change places.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use js_sys::{ArrayBuffer, Function, Object, Reflect, Uint8Array};
use slipway_core::time::Timestamp;
use slipway_wire::{Digest, Mark, Pace, TooSlow, Transfer};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, ReadableStreamByobReader, WritableStreamDefaultWriter};
use worker::Delay;
use worker::worker_sys::DigestStream;

use crate::js;
use crate::outlet::Outlet;
use crate::{Failure, Limits, now};

/// How many bytes are hashed and written at a time. Each turn has a price of its own: 1 GiB took 4.7 CPU-seconds with
/// 128 KiB, 3.5 with 512 KiB or 1 MiB, 3.3 with 2 MiB and 3.1 with 4 MiB, one to four runs each, where workerd's own pipe
/// took 1.9. A copy has two chunks; an isolate of 128 MB may have six copies, which have 36 MiB then.
const CHUNK_BYTES_MAX: u32 = 3 * 1024 * 1024;

/// A slow side fills a small chunk in the time that a fast one needs for a large one, and progress is seen by chunks.
const CHUNK_BYTES_MIN: u32 = 16 * 1024;

/// How often progress is told and the rate is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How far the bytes came.
pub(crate) enum Pumped {
    /// All of them, and their digest is right.
    Sent,
    /// The destination answered before it had them all.
    Early(web_sys::Response),
    /// They are not the declared ones, so the end was not sent.
    Withheld { found: Option<Digest>, size: u64 },
}

pub(crate) struct Pump<'a> {
    transfer: &'a Transfer,
    limits: &'a Limits,
    reader: ReadableStreamByobReader,
    read_at_least: Function,
    outlet: &'a Outlet,
    digest: DigestStream,
    hasher: WritableStreamDefaultWriter,
    began: Timestamp,
    /// What is being waited for, and since when.
    waits: Cell<(&'static str, Timestamp)>,
    size: Cell<u64>,
    pace: RefCell<Pace>,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        transfer: &'a Transfer,
        limits: &'a Limits,
        body: &ReadableStream,
        outlet: &'a Outlet,
    ) -> Result<Self, Failure> {
        let (reader, read_at_least) = byob(body).map_err(Failure::Source)?;
        let digest = DigestStream::new("SHA-256");
        let hasher = digest.get_writer().map_err(Failure::Source)?;
        let began = now();
        let pace = RefCell::new(Pace::new(transfer.size, limits.patience));
        Ok(Self {
            transfer,
            limits,
            reader,
            read_at_least,
            outlet,
            digest,
            hasher,
            began,
            waits: Cell::new(("", began)),
            size: Cell::new(0),
            pace,
        })
    }

    pub(crate) async fn run(
        &self,
        upload: &mut JsFuture,
        mut progress: impl FnMut(u64),
        may_end: impl AsyncFnOnce() -> bool,
    ) -> Result<Pumped, Failure> {
        let Transfer { prefix, suffix, size: declared, skip, .. } = self.transfer;
        let mut looked = self.began;
        let mut told = 0;
        // A look may come just before the end, and see no more than all.
        let mut tell = |bytes| {
            if bytes > told {
                told = bytes;
                progress(bytes);
            }
        };
        let mut bytes = CHUNK_BYTES_MIN;
        if !prefix.is_empty()
            && let Some(answer) = self.write(&Uint8Array::from(prefix.as_slice()), upload).await?
        {
            return Ok(Pumped::Early(answer));
        }
        // A small package needs no large buffers.
        let room = u32::try_from(*declared).unwrap_or(u32::MAX).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let mut spare = Some(ArrayBuffer::new(room));
        let mut reading = self.read(bytes, &ArrayBuffer::new(room))?;
        let mut last = None;
        loop {
            let turn = now();
            self.waits.set(("the download", turn));
            let read = match select(reading, &mut *upload).await {
                Either::Left((read, _)) => read.map_err(Failure::Source)?,
                Either::Right((answer, _)) => return Ok(Pumped::Early(answered(answer)?)),
            };
            let value = js::get(&read, "value").map_err(Failure::Source)?;
            if value.is_undefined() {
                break;
            }
            let chunk: Uint8Array = value.unchecked_into();
            let length = chunk.byte_length();
            let total = self.size.get() + u64::from(length);
            if total > *declared {
                return Ok(Pumped::Withheld { found: None, size: total });
            }
            // The next bytes come while these are hashed and sent.
            let next = match spare.take() {
                Some(buffer) if !js::is_true(&read, "done") => Some(self.read(bytes, &buffer)?),
                _ => None,
            };
            if length > 0 {
                let hashed = JsFuture::from(self.hasher.write_with_chunk(&chunk));
                // What the destination has already is hashed alone.
                let skipped = u32::try_from(skip.saturating_sub(self.size.get())).unwrap_or(u32::MAX).min(length);
                if total == *declared {
                    // Without these the upload is not complete, so they wait for the digest.
                    hashed.await.map_err(Failure::Source)?;
                    last = (skipped < length).then(|| chunk.slice(skipped, length));
                } else if skipped == length {
                    hashed.await.map_err(Failure::Source)?;
                } else {
                    let (hashed, written) = join(hashed, self.write(&chunk.subarray(skipped, length), upload)).await;
                    if let Some(answer) = written? {
                        return Ok(Pumped::Early(answer));
                    }
                    hashed.map_err(Failure::Source)?;
                }
            }
            self.size.set(total);
            let Some(next) = next else { break };
            spare = Some(chunk.buffer());
            reading = next;

            let at = now();
            bytes = chunk_bytes(bytes, at.since(turn));
            if at.since(looked) >= LOOK {
                looked = at;
                tell(total);
                self.look(at).map_err(Failure::TooSlow)?;
            }
        }

        let size = self.size.get();
        let found = self.found().await.map_err(Failure::Source)?;
        if size != *declared || found != self.transfer.digest {
            return Ok(Pumped::Withheld { found: (size == *declared).then_some(found), size });
        }
        self.waits.set(("the leave to end the upload", now()));
        if !may_end().await {
            return Err(Failure::CalledOff);
        }
        let suffix = (!suffix.is_empty()).then(|| Uint8Array::from(suffix.as_slice()));
        let (before, end) = if suffix.is_some() { (last, suffix) } else { (None, last) };
        if let Some(chunk) = before
            && let Some(answer) = self.write(&chunk, upload).await?
        {
            return Ok(Pumped::Early(answer));
        }
        if let Some(answer) = self.sent(self.outlet.end(end.as_ref()), upload).await? {
            return Ok(Pumped::Early(answer));
        }
        tell(size);
        Ok(Pumped::Sent)
    }

    /// Ends when the copy must: when one side has kept silent for too long, or when its time is over.
    ///
    /// One timer for all waits: a timer for each would make garbage with every chunk.
    pub(crate) async fn watch(&self) -> Failure {
        loop {
            let at = now();
            let (what, since) = self.waits.get();
            let silent_at = since + self.limits.silence;
            if at >= silent_at {
                let why = format!("{what} kept silent for {} s", self.limits.silence.as_secs()).into();
                return if what == "the download" { Failure::Source(why) } else { Failure::Destination(why) };
            }
            if self.limits.until.is_some_and(|until| at >= until)
                && let Err(too_slow) = self.look(at)
            {
                return Failure::TooSlow(too_slow);
            }
            let next = self.limits.until.map_or(silent_at, |until| until.min(silent_at));
            // At least a moment, since a copy that is complete when its time is over may end.
            Delay::from(next.since(at).max(Duration::from_millis(50))).await;
        }
    }

    /// Whether the copy ends in time.
    pub(crate) fn look(&self, at: Timestamp) -> Result<(), TooSlow> {
        let left = self.limits.until.map_or(Duration::MAX, |until| until.since(at));
        self.pace.borrow_mut().look(Mark { at: at.since(self.began), bytes: self.size.get() }, left)
    }

    /// Stops both sides. This only hastens the end of an upload that cannot be completed any more, so what comes of it
    /// does not matter.
    pub(crate) fn give_up(&self) {
        drop(JsFuture::from(self.reader.cancel()));
        self.outlet.abort(&"withheld".into());
    }

    /// Begins to fill the first `bytes` of a buffer.
    fn read(&self, bytes: u32, buffer: &ArrayBuffer) -> Result<JsFuture, Failure> {
        let bytes = bytes.min(buffer.byte_length());
        let view = Uint8Array::new_with_byte_offset_and_length(buffer, 0, bytes);
        let promise = self.read_at_least.call2(&self.reader, &bytes.into(), &view).map_err(Failure::Source)?;
        Ok(JsFuture::from(promise.unchecked_into::<js_sys::Promise>()))
    }

    /// The digest of all that was hashed.
    async fn found(&self) -> Result<Digest, JsValue> {
        JsFuture::from(self.hasher.close()).await?;
        let found = JsFuture::from(self.digest.digest()).await?;
        let found: [u8; 32] =
            Uint8Array::new(&found).to_vec().try_into().map_err(|_| JsValue::from("the digest is not 32 bytes"))?;
        Ok(Digest::from_bytes(found))
    }

    /// Writes a chunk, unless the destination answers first: then it takes no more.
    async fn write(&self, chunk: &Uint8Array, upload: &mut JsFuture) -> Result<Option<web_sys::Response>, Failure> {
        self.sent(self.outlet.write(chunk), upload).await
    }

    async fn sent(
        &self,
        sending: impl Future<Output = Result<(), JsValue>>,
        upload: &mut JsFuture,
    ) -> Result<Option<web_sys::Response>, Failure> {
        self.waits.set(("the upload", now()));
        match select(pin!(sending), &mut *upload).await {
            Either::Left((Ok(()), _)) => Ok(None),
            Either::Left((Err(broken), _)) => {
                // The stream breaks when the destination has answered or gone; which of both, the upload says.
                self.waits.set(("the answer to the upload", now()));
                answered(upload.await.map_err(|_| broken)).map(Some)
            }
            Either::Right((answer, _)) => answered(answer).map(Some),
        }
    }
}

/// What the destination said, or what the runtime said of it.
fn answered(answer: Result<JsValue, JsValue>) -> Result<web_sys::Response, Failure> {
    answer.map(JsCast::unchecked_into).map_err(Failure::Destination)
}

/// A reader that fills the caller's buffers, and its method of filling one to a given degree, which is workerd's own.
fn byob(body: &ReadableStream) -> Result<(ReadableStreamByobReader, Function), JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"mode".into(), &"byob".into())?;
    let get_reader: Function = js::get(body, "getReader")?.dyn_into()?;
    let reader: ReadableStreamByobReader = get_reader.call1(body, &options)?.unchecked_into();
    let read_at_least: Function = js::get(&reader, "readAtLeast")?.dyn_into()?;
    Ok((reader, read_at_least))
}

/// How many bytes to wait for in the next turn, after one that took `turn`.
fn chunk_bytes(bytes: u32, turn: Duration) -> u32 {
    if turn < LOOK / 8 {
        (bytes * 2).min(CHUNK_BYTES_MAX)
    } else if turn > LOOK {
        (bytes / 2).max(CHUNK_BYTES_MIN)
    } else {
        bytes
    }
}
