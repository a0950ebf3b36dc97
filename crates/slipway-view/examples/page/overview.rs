//! The releases of a project, to look at.

use serde_json::json;
use slipway_core::api::ReleaseSummary;

pub(super) fn summaries() -> Result<Vec<ReleaseSummary>, serde_json::Error> {
    serde_json::from_value(json!([
        {"version": "1.3.0-rc1", "state": "expected", "verdict": "tug 1.3.0-rc1 is not out: none of its 14 packages is released. 11 staged, 3 not staged yet."},
        {"version": "1.2.0", "state": "staged", "verdict": "tug 1.2.0 is out for 4 of 17 packages. 1 in conflict, 1 failed."},
        {"version": "1.1.4", "state": "complete", "verdict": "tug 1.1.4 is out: all 17 packages are released."},
        {"version": "1.1.3", "state": "closed", "verdict": "tug 1.1.3 was given up after 2 of 17 packages."}
    ]))
}
