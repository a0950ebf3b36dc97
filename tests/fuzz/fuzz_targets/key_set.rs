//! A key set: a key is found only under the one name that it has, and only if it can have signed with RS256.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slipway_gitlab::Jwks;

fuzz_target!(|body: &[u8]| {
    if let Ok(keys) = Jwks::parse(body) {
        let said: Value = serde_json::from_slice(body).expect("a key set is JSON");
        let said = said["keys"].as_array().expect("a key set has a list of keys");
        for kid in said.iter().filter_map(|key| key["kid"].as_str()) {
            let Some(found) = keys.find(kid) else { continue };
            assert_eq!(found.kid(), kid);
            let meant = |key: &&Value| key["kid"] == kid && key["n"] == found.n() && key["e"] == found.e();
            let signs = |key: &&Value| key["kty"] == "RSA" && (key["alg"].is_null() || key["alg"] == "RS256");
            assert!(said.iter().filter(meant).any(|key| signs(&key)), "it can have signed with RS256");
        }
        assert!(keys.find("").is_none(), "a key without a name cannot be referred to");
    }
});
