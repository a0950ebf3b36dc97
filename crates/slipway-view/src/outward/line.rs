//! Whether something is out, in one line.

use slipway_core::line::{Line, What};
use slipway_core::release::{TargetState, Version};

use crate::text::{Moment, visible};

/// `tug 1.2.0 for el/9 arm64: released since 2026-11-23 09:41 UTC`, and the end of the line.
pub fn line_text(project: &str, version: &Version, what: &What, line: &Line) -> String {
    format!("{}\n", sentence(project, version, what, line))
}

/// The answer as JSON, with the end of its line.
pub fn line_json(line: &Line) -> Option<String> {
    Some(format!("{}\n", serde_json::to_string(line).ok()?))
}

/// The same words everywhere, without an end.
pub(crate) fn sentence(project: &str, version: &Version, what: &What, line: &Line) -> String {
    let about = format!("{} {version} for {}", visible(project), visible(&what.words()));
    let since = line.since.as_deref().unwrap_or_default();
    let since = Moment::parse(since).map_or_else(|| visible(since), |moment| moment.minute());
    match line.state {
        None => format!("{about}: not released"),
        Some(TargetState::Released) => format!("{about}: released since {since}"),
        Some(TargetState::Withdrawn) => format!("{about}: withdrawn since {since}"),
        Some(state) => format!("{about}: not released ({} since {since})", state.words().to_lowercase()),
    }
}
