//! The body of the upload: a stream of declared length that the runtime pulls from, one chunk at a time.
//!
//! A pipe that one writes into copies each chunk once more, for about a tenth more work in all; of this stream the runtime
//! takes the caller's own buffer. When it asks for the next chunk it is done with the one before, and not until then may
//! that buffer be filled again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use js_sys::{BigInt, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use web_sys::{QueuingStrategy, ReadableStream, ReadableStreamDefaultController};

/// The end of a stream that bytes are put into.
pub(crate) struct Outlet {
    stream: ReadableStream,
    state: Rc<RefCell<State>>,
    /// The runtime calls these as long as there is the stream.
    _pull: Closure<dyn FnMut(ReadableStreamDefaultController) -> Promise>,
    _cancel: Closure<dyn FnMut(JsValue)>,
}

#[derive(Default)]
struct State {
    /// Since the runtime has asked for the first time.
    controller: Option<ReadableStreamDefaultController>,
    /// What answers the runtime's question for a chunk, while it waits for one.
    asked: Option<Function>,
    /// Why it asks for no more.
    cancelled: Option<JsValue>,
    /// Who waits for either.
    waits: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waits.take() {
            waker.wake();
        }
    }
}

impl Outlet {
    /// A stream that has exactly `length` bytes, or breaks.
    pub(crate) fn new(length: u64) -> Result<Self, JsValue> {
        let state = Rc::<RefCell<State>>::default();
        let pull = {
            let state = Rc::clone(&state);
            Closure::<dyn FnMut(_) -> _>::new(move |controller: ReadableStreamDefaultController| {
                Promise::new(&mut |answered, _| {
                    let mut state = state.borrow_mut();
                    state.controller = Some(controller.clone());
                    state.asked = Some(answered);
                    state.wake();
                })
            })
        };
        let cancel = {
            let state = Rc::clone(&state);
            Closure::<dyn FnMut(_)>::new(move |why: JsValue| {
                let mut state = state.borrow_mut();
                state.cancelled = Some(why);
                state.wake();
            })
        };
        let source = Object::new();
        // The runtime's own word: it becomes the request's `Content-Length`.
        Reflect::set(&source, &"expectedLength".into(), &BigInt::from(length))?;
        Reflect::set(&source, &"pull".into(), pull.as_ref())?;
        Reflect::set(&source, &"cancel".into(), cancel.as_ref())?;
        let strategy = QueuingStrategy::new();
        // Nothing is asked for in advance, so that a question says that the chunk before was taken.
        strategy.set_high_water_mark(0.0);
        let stream = ReadableStream::new_with_underlying_source_and_strategy(&source, &strategy)?;
        Ok(Self { stream, state, _pull: pull, _cancel: cancel })
    }

    /// What a request takes as its body.
    pub(crate) fn stream(&self) -> &ReadableStream {
        &self.stream
    }

    /// Gives a chunk, and waits until its buffer is free again.
    pub(crate) async fn write(&self, chunk: &Uint8Array) -> Result<(), JsValue> {
        self.answer(Some(chunk), false).await?;
        self.asked().await
    }

    /// Gives the last chunk and says that it was the last: the runtime need not ask once more.
    pub(crate) async fn end(&self, chunk: Option<&Uint8Array>) -> Result<(), JsValue> {
        self.answer(chunk, true).await
    }

    /// Breaks the stream, so that what was sent of it is not taken for a whole.
    pub(crate) fn abort(&self, why: &JsValue) {
        if let Some(controller) = &self.state.borrow().controller {
            controller.error_with_e(why);
        }
    }

    async fn answer(&self, chunk: Option<&Uint8Array>, is_last: bool) -> Result<(), JsValue> {
        self.asked().await?;
        // Taken out first: whatever the runtime does with a chunk at once may need the state.
        let (controller, answered) = {
            let mut state = self.state.borrow_mut();
            (state.controller.clone(), state.asked.take())
        };
        let (Some(controller), Some(answered)) = (controller, answered) else { return Ok(()) };
        if let Some(chunk) = chunk {
            controller.enqueue_with_chunk(chunk)?;
        }
        if is_last {
            controller.close()?;
        }
        answered.call0(&JsValue::UNDEFINED).map(drop)
    }

    /// Waits until the runtime asks.
    async fn asked(&self) -> Result<(), JsValue> {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if let Some(why) = &state.cancelled {
                return Poll::Ready(Err(why.clone()));
            }
            if state.asked.is_some() {
                return Poll::Ready(Ok(()));
            }
            state.waits = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
