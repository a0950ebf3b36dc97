//! The operator's log: lines of [`slipway_core::log`], which the runtime writes out.

use slipway_core::log::{Entry, Level};

use crate::clock;

/// Writes a line.
pub(crate) fn write(entry: &Entry<'_>) {
    let line = entry.line(clock::now());
    match entry.level {
        Level::Info => worker::console_log!("{line}"),
        Level::Error => worker::console_error!("{line}"),
    }
}

/// A sentence about something that an operator may want to look at.
macro_rules! trouble {
    ($($words:tt)*) => {
        $crate::log::write(&slipway_core::log::Entry::note(slipway_core::log::Level::Error, &format!($($words)*)))
    };
}
pub(crate) use trouble;
