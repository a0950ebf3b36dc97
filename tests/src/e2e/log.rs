//! What the edge has said on standard output and standard error.

use serde_json::Value;

/// The lines of a log that are the edge's own: each is a JSON object with a level.
///
/// # Panics
/// At a line that is neither the edge's nor workerd's: whoever follows the log with a program would miss it.
pub fn own_lines(log: &str) -> Vec<Value> {
    let lines = log.lines().map(str::trim).filter(|line| !line.is_empty() && !is_workerds(line));
    let read = |line: &str| {
        let read: Option<Value> = serde_json::from_str(line).ok();
        read.filter(|line| line["level"].is_string()).unwrap_or_else(|| panic!("whose line is this? {line}"))
    };
    lines.map(read).collect()
}

/// Whether workerd itself says so: that it listens, on the file that it was given for that; and what its own code complains of,
/// which begins with the line that does, `workerd/io/actor-sqlite.c++:1034: warning: …`. A crash is neither.
fn is_workerds(line: &str) -> bool {
    if line.starts_with(r#"{"event":"listen","socket":"#) {
        return true;
    }
    let Some((file, rest)) = line.split_once(".c++:") else { return false };
    let mut rest = rest.splitn(3, ':');
    let number = rest.next().is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let severity = rest.next().is_some_and(|severity| ["info", "warning", "error"].contains(&severity.trim()));
    !file.contains(' ') && ["workerd/", "kj/", "capnp/"].iter().any(|of| file.starts_with(of)) && number && severity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workerds_lines_are_left_out_and_the_edges_are_read() {
        let log = r#"
            {"event":"listen","socket":"http","port":22279}
            workerd/io/actor-sqlite.c++:1034: warning: NOSENTRY SQLite alarm overdue; currentTime = 1795726207.04437654s
            {"at":"2026-11-23T00:00:00.000Z","level":"info","event":"order"}
        "#;
        let events: Vec<Value> = own_lines(log).into_iter().map(|line| line["event"].clone()).collect();
        assert_eq!(events, ["order"]);
    }

    #[test]
    fn any_other_line_is_told() {
        for line in [
            "the clock was not heard: it answered 500",
            r#"{"event":"order"}"#,
            r#"{"level":"info","event":"ord"#,
            "#  Fatal error in , line 0",
            "a sentence about workerd/io/actor-sqlite.c++:1034: warning: x",
            "workerd/io/actor-sqlite.c++:1034: fatal: x",
        ] {
            assert!(std::panic::catch_unwind(|| own_lines(line)).is_err(), "{line}");
        }
    }
}
