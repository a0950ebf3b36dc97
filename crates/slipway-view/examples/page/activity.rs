//! What was done in a project, to look at.

use serde_json::json;
use slipway_core::api::Activity;
use slipway_core::query::ActivityQuery;
use slipway_view::page::{self, Reader};

use crate::Fixture;

pub(super) fn fixtures() -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let nothing = Activity { rows: Vec::new(), older: None, ..rows()? };
    let filtered = ActivityQuery {
        actor: Some("mira".into()),
        action: Some("held".into()),
        subject: Some("1.2.0".into()),
        ..ActivityQuery::default()
    };
    Ok(vec![
        Fixture::new("activity", "/p/tug/activity", page::activity(&rows()?, &ActivityQuery::default(), &reader)),
        Fixture::new(
            "activity-none",
            "/p/tug/activity?actor=mira&action=held&subject=1.2.0",
            page::activity(&nothing, &filtered, &reader),
        ),
    ])
}

pub(super) fn rows() -> Result<Activity, serde_json::Error> {
    let digest = format!("sha256:{}", "0e2d9b41c07f88aa".repeat(4));
    let rows = [
        (
            "10:03:58",
            "edge",
            "released",
            "1.2.0/tug-debian-trixie-amd64",
            json!({"distro": "debian/trixie", "digest": digest, "before": "releasing", "approval": 12}),
        ),
        (
            "10:02:10",
            "edge",
            "failed",
            "1.2.0/tug-el-9-amd64",
            json!({"distro": "el/9", "problem": "upload-refused", "before": "releasing"}),
        ),
        (
            "09:58:40",
            "webhook job:8812",
            "refused",
            "1.2.0/tug-ubuntu-noble-amd64",
            json!({"why": "This takes at least the role maintainer in tug; yours is developer"}),
        ),
        (
            "09:57:01",
            "user:mira",
            "approved",
            "1.2.0/tug-el-9-amd64",
            json!({"distros": ["el/9", "ol/9"], "via": "webhook", "job": 8804}),
        ),
        (
            "09:41:12",
            "job:81 user:jonas.k",
            "held",
            "1.2.0/tug-old-arm64",
            json!({"reason": "waits for the release notes"}),
        ),
        (
            "09:12:00",
            "job:80 user:jonas.k",
            "planned",
            "1.2.0",
            json!({"keys": ["tug-el-9-amd64", "tug-old-arm64"], "pipeline": 4411}),
        ),
        ("08:00:00", "operator", "configured", "slipway.toml", json!({"before": "0c", "after": "1d"})),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .zip((1..=142_u64).rev())
        .map(|((clock, actor, action, subject, details), sequence)| {
            json!({
                "sequence": sequence, "at": format!("2026-11-23T{clock}.000Z"), "actor": actor, "action": action,
                "subject": subject, "details": details.to_string(),
            })
        })
        .collect();
    serde_json::from_value(json!({
        "project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z", "rows": rows, "older": 136,
    }))
}
