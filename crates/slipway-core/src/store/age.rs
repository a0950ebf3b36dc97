//! What time it is at a server, and since when it has a file: the second clock of whoever deletes by age.

use http::Method;
use http::header::DATE;
use slipway_package::{Distro, Filename};
use slipway_packagecloud::uploaded_at;
use slipway_wire::{Base, Http};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Store;
use crate::problem::Code;
use crate::time::Timestamp;
use crate::trouble::Trouble;

/// The time by a server's own clock, as its answers are dated. `None` where it dates none.
pub async fn server_time(host: &impl Http, server: &Base) -> Result<Option<Timestamp>, Trouble> {
    let failed = |why: String| Trouble::passing(format!("cannot read the clock of {server}: {why}"));
    let request = http::Request::builder().method(Method::HEAD).uri(server.as_str()).body(Vec::new());
    // Whether there is anything at the address does not matter.
    let answer = host.send(request.map_err(|error| failed(error.to_string()))?).await;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    Ok(answer.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(moment))
}

/// `Tue, 24 Nov 2026 08:00:00 GMT`.
fn moment(date: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(date, &Rfc2822).ok()?;
    Some(Timestamp(moment.unix_timestamp().checked_mul(1000)?))
}

impl Store {
    /// Since when a package server has a file, by its own word.
    pub async fn arrival(
        &self,
        http: &impl Http,
        distro: &Distro,
        filename: &Filename,
    ) -> Result<Option<Timestamp>, Trouble> {
        match self {
            Self::Packagecloud { account, repository, .. } => {
                let found = uploaded_at(http, account, repository, distro, filename).await;
                let found = found.map_err(|error| {
                    Trouble::of(&error, &format!("cannot ask {repository} since when it has `{filename}`"))
                })?;
                Ok(found.and_then(|text| text.parse().ok()))
            }
            Self::Registry(registry) => Err(Trouble::lasting(
                Code::NotConfigured,
                format!("{} does not say when it was given an image", registry.repository),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_date_is_read_as_rfc_9110_writes_it() {
        // 2026-11-24 is 20,781 days after the epoch.
        assert_eq!(moment("Tue, 24 Nov 2026 08:00:00 GMT"), Some(Timestamp((20_781 * 86_400 + 8 * 3600) * 1000)));
        for other in ["", "yesterday", "2026-11-24T08:00:00Z"] {
            assert_eq!(moment(other), None, "{other}");
        }
    }
}
