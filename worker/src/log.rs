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

/// A sentence about something that an operator may want to look at. `of` says which project it concerns.
macro_rules! trouble {
    (of $project:expr, $($words:tt)*) => {
        $crate::log::write(&slipway_core::log::Entry {
            project: Some($project),
            ..slipway_core::log::Entry::note(slipway_core::log::Level::Error, &format!($($words)*))
        })
    };
    ($($words:tt)*) => {
        $crate::log::write(&slipway_core::log::Entry::note(slipway_core::log::Level::Error, &format!($($words)*)))
    };
}
pub(crate) use trouble;
