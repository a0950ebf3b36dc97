//! The help pages. Each is a text file, so that it can be read as it will be shown.

use crate::args::Topic;

/// The page of a command, or of them all.
pub(crate) fn page(topic: Option<Topic>) -> &'static str {
    match topic {
        None => include_str!("help/slipway.txt"),
        Some(Topic::Plan) => include_str!("help/plan.txt"),
        Some(Topic::Session) => include_str!("help/session.txt"),
        Some(Topic::Stage) => include_str!("help/stage.txt"),
        Some(Topic::Await) => include_str!("help/await.txt"),
        Some(Topic::Verify) => include_str!("help/verify.txt"),
        Some(Topic::Audit) => include_str!("help/audit.txt"),
        Some(Topic::Hold) => include_str!("help/hold.txt"),
        Some(Topic::Retention) => include_str!("help/retention.txt"),
        Some(Topic::Extend) => include_str!("help/extend.txt"),
        Some(Topic::Close) => include_str!("help/close.txt"),
        Some(Topic::Withdraw) => include_str!("help/withdraw.txt"),
        Some(Topic::Stop) => include_str!("help/stop.txt"),
        Some(Topic::Start) => include_str!("help/start.txt"),
        Some(Topic::Login) => include_str!("help/login.txt"),
        Some(Topic::Logout) => include_str!("help/logout.txt"),
        Some(Topic::Config) => include_str!("help/config.txt"),
        Some(Topic::Release) => include_str!("help/release.txt"),
        Some(Topic::Status) => include_str!("help/status.txt"),
        Some(Topic::Doctor) => include_str!("help/doctor.txt"),
    }
}
