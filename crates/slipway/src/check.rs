//! `slipway config check`: whether a `slipway.toml` could be deployed.

use serde_json::json;
use slipway_core::config::Config;

use crate::exit::{Exit, Failure};
use crate::host;
use crate::say::Say;

/// Runs the command.
pub(crate) async fn check(path: &str, say: Say) -> Result<(), Failure> {
    let doing = format!("`{path}` cannot be used");
    let text = host::read_text(path).await;
    let text = text.map_err(|why| Failure::new(Exit::Misused, format!("cannot read `{path}`"), [why]))?;
    let config = match Config::parse(&text) {
        Ok(config) => config,
        Err(error) => {
            let problems: Vec<String> = error.problems().to_vec();
            say.answer(&json!({ "file": path, "problems": problems }))?;
            return Err(Failure::new(Exit::Misused, doing, problems));
        }
    };
    let notes = config.notes();
    say.line(&format!(
        "`{path}` can be used: {}, {}, {}, {}",
        count(config.projects.len(), "project"),
        count(config.places.len(), "place"),
        count(config.routes.len(), "route"),
        count(config.gates.len(), "gate"),
    ));
    for note in &notes {
        say.line(&format!("note: {note}"));
    }
    say.line(&format!("policy {}", config.policy));
    say.answer(&json!({ "file": path, "problems": [], "notes": notes, "policy": config.policy }))
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}
