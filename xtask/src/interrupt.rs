//! Ctrl-C and SIGTERM: no process that was started here outlives them.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Who wants to end in order. Nobody, while something is built: then the program ends at once, and the kernel ends
/// what it started.
static LISTENER: Mutex<Option<Sender<()>>> = Mutex::new(None);

/// 128 and the number of SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// Takes over the signals. Without this, the default (ending at once) holds, so a failure is no error.
pub(crate) fn install() {
    let _ = ctrlc::set_handler(|| {
        let listener = LISTENER.lock().ok().and_then(|listener| listener.clone());
        match listener {
            Some(listener) if listener.send(()).is_ok() => {}
            _ => std::process::exit(INTERRUPTED),
        }
    });
}

/// From now on a signal is a message.
pub(crate) fn listen() -> Receiver<()> {
    let (sender, receiver) = channel();
    if let Ok(mut listener) = LISTENER.lock() {
        *listener = Some(sender);
    }
    receiver
}
