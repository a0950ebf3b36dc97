//! `GET /api/v1/distributions.json`: every distro version and its id (<https://packagecloud.io/docs/api#resource_distributions>).
//!
//! Ids are numbers that differ from one installation to the next, so they are read, never known. The answer is large
//! and rarely changes; callers keep it for hours.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::answer;
use crate::{Account, Distro, PackageKind};

/// The distro versions that an installation knows.
#[derive(Clone, Copy, Debug)]
pub struct ListDistributions<'a> {
    /// Who asks.
    pub account: &'a Account,
}

/// The distro versions of an installation, with their ids, by kind of package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distributions {
    ids: BTreeMap<PackageKind, BTreeMap<String, u64>>,
}

impl Distributions {
    /// The id to push packages of this kind for this distro version with. The name must match exactly.
    pub fn id(&self, kind: PackageKind, distro: &Distro) -> Option<u64> {
        self.ids.get(&kind)?.get(&distro.to_string()).copied()
    }

    /// The names of the distro versions that take packages of this kind, in order.
    pub fn names(&self, kind: PackageKind) -> impl Iterator<Item = &str> {
        self.ids.get(&kind).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }
}

/// The distro versions of one kind: `[{index_name, versions: [{id, index_name}]}]`. Names and ids can be absent or null,
/// for kinds without distributions; such entries cannot be meant by any name.
fn ids(kind: &Value) -> BTreeMap<String, u64> {
    let mut ids = BTreeMap::new();
    for distribution in kind.as_array().into_iter().flatten() {
        let Some(name) = distribution.get("index_name").and_then(Value::as_str) else { continue };
        for version in distribution.get("versions").and_then(Value::as_array).into_iter().flatten() {
            let number = version.get("id").and_then(Value::as_u64);
            if let (Some(version), Some(id)) = (version.get("index_name").and_then(Value::as_str), number) {
                ids.insert(format!("{name}/{version}"), id);
            }
        }
    }
    ids
}

impl Endpoint for ListDistributions<'_> {
    type Output = Distributions;

    fn request(&self) -> Result<Request, http::Error> {
        self.account.request(Method::GET, &self.account.base().url(["api", "v1", "distributions.json"]))
    }

    fn parse(&self, response: &Response) -> Result<Distributions, CallError> {
        let kinds: serde_json::Map<String, Value> = answer::json(self.account.base(), response)?;
        let of = |kind: PackageKind| (kind, kinds.get(kind.code()).map(ids).unwrap_or_default());
        Ok(Distributions { ids: [PackageKind::Deb, PackageKind::Rpm].map(of).into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{account, response};

    fn distributions(body: &str) -> Result<Distributions, CallError> {
        ListDistributions { account: &account() }.parse(&response(200, body))
    }

    #[test]
    fn the_list_is_at_one_address() {
        let account = account();
        let request = ListDistributions { account: &account }.request().expect("a request");
        assert_eq!(request.uri(), "https://packages.example.com/api/v1/distributions.json");
    }

    #[test]
    fn an_id_belongs_to_an_exact_name_and_a_kind() {
        let distributions = distributions(include_str!("../fixtures/distributions.json")).expect("a list");
        for (kind, distro, id) in [
            (PackageKind::Deb, "ubuntu/jammy", Some(237)),
            (PackageKind::Deb, "debian/bookworm", Some(215)),
            (PackageKind::Deb, "raspbian/bookworm", Some(290)),
            (PackageKind::Deb, "any/any", Some(35)),
            (PackageKind::Rpm, "el/9", Some(240)),
            (PackageKind::Rpm, "opensuse/42.3", Some(186)),
            (PackageKind::Rpm, "ubuntu/jammy", None),
            (PackageKind::Deb, "el/9", None),
            (PackageKind::Deb, "ubuntu/jam", None),
            (PackageKind::Deb, "ubuntu/22.04", None),
            (PackageKind::Rpm, "el/9.0", None),
        ] {
            assert_eq!(distributions.id(kind, &distro.parse().expect("a distro version")), id, "{distro}");
        }
        let names: Vec<_> = distributions.names(PackageKind::Rpm).collect();
        assert_eq!(names, ["el/9", "opensuse/42.3"]);
    }

    #[test]
    fn absent_and_null_fields_are_passed_over() {
        for body in [
            "{}",
            r#"{"deb":null}"#,
            r#"{"deb":{}}"#,
            r#"{"deb":[null,1,{"versions":[{"id":1,"index_name":"jammy"}]}]}"#,
            r#"{"deb":[{"index_name":null,"versions":[{"id":1,"index_name":"jammy"}]}]}"#,
            r#"{"deb":[{"index_name":"ubuntu"}]}"#,
            r#"{"deb":[{"index_name":"ubuntu","versions":null}]}"#,
            r#"{"deb":[{"index_name":"ubuntu","versions":[{"id":null,"index_name":"jammy"},{"id":7},{"index_name":"jammy"}]}]}"#,
        ] {
            assert_eq!(
                distributions(body).expect(body),
                distributions(r#"{"deb":[],"rpm":[]}"#).expect("empty"),
                "{body}"
            );
        }
    }

    #[test]
    fn a_list_that_is_none_is_an_error() {
        for body in ["", "[]", "null", "<html>"] {
            assert!(distributions(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_wrong_token_is_refused_as_such() {
        let account = account();
        let answer = response(401, r#"{"error":"Unauthenticated"}"#);
        let error = ListDistributions { account: &account }.parse(&answer).expect_err("a wrong token");
        assert_eq!(error.to_string(), r#"packages.example.com answered 401 Unauthorized: {"error":"Unauthenticated"}"#);
    }
}
