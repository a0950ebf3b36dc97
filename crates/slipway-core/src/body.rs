//! A JSON body of somebody else's, read into one of the types of the API. What is wrong with it is said in the words of
//! JSON: where it is, what is there, and what must be. How it is kept in this program is nobody's business.

use serde::de::DeserializeOwned;

/// A body that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    NotJson(String),
    /// It is JSON, and says something else than it should.
    #[error("{0}")]
    Whole(String),
    /// So does one of its fields.
    #[error("the field `{at}`: {why}")]
    Field {
        /// Which one, as in `packages[0].key`.
        at: String,
        /// What is there, and what must be.
        why: String,
    },
}

/// Reads a body.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadBody> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refused(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| refused(".", &error))?;
    Ok(value)
}

fn refused(path: &str, error: &serde_json::Error) -> BadBody {
    if !error.is_data() {
        return BadBody::NotJson(error.to_string());
    }
    let why = said(&error.to_string());
    if path == "." { BadBody::Whole(why) } else { BadBody::Field { at: shown(path), why } }
}

/// What serde says, without its words for Rust: `invalid type: map, expected a string at line 1 column 5`.
fn said(message: &str) -> String {
    // Bodies have one line mostly; where it is wrong is said by the field.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let mut kinds = ["invalid type: ", "invalid value: ", "invalid length "].into_iter();
    let Some(rest) = kinds.find_map(|kind| message.strip_prefix(kind)) else { return shown(message) };
    match rest.rsplit_once(", expected ") {
        Some((found, wanted)) => format!("it is {}, and must be {}", shown(&found_there(found)), required(wanted)),
        None => shown(message),
    }
}

/// A value, by the name that JSON has for it.
fn found_there(found: &str) -> String {
    let (kind, literal) = found.split_once(' ').unwrap_or((found, ""));
    match kind {
        "integer" => format!("the number {literal}"),
        "floating" => format!("the number {}", literal.strip_prefix("point ").unwrap_or(literal)),
        "string" => format!("the text {literal}"),
        "boolean" => literal.to_owned(),
        "map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" => "null".to_owned(),
        length if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("a list of {length}")
        }
        _ => "something else".to_owned(),
    }
}

/// What must be there. Serde's own words are put into those of JSON; the rest are sentences of the API's types.
fn required(wanted: &str) -> String {
    let json = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if wanted.starts_with("struct ") => "an object",
        _ if wanted.starts_with("enum ") || wanted.contains("variant") || wanted.contains("identifier") => {
            "one of the words that `GET /openapi.json` lists"
        }
        _ => wanted,
    };
    shown(json)
}

/// A text that may be a stranger's: on one line, and not for ever.
fn shown(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{CarryRequest, HoldRequest, PromotionRequest, ReleasePatch, SessionRequest};

    fn of<T: DeserializeOwned>(body: &str) -> String {
        read::<T>(body.as_bytes()).map(drop).expect_err("a bad body").to_string()
    }

    fn patch(package: &str) -> String {
        of::<ReleasePatch>(&format!(r#"{{"packages":[{package}]}}"#))
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_by_its_field_and_in_the_words_of_json() {
        let staged = |file: &str| patch(&format!(r#"{{"key":"deb","staged":{file}}}"#));
        let expect = |expect: &str| patch(&format!(r#"{{"key":"deb","expect":{expect}}}"#));
        let whole = "and must be a whole number, 0 or more";
        for (said, expected) in [
            (of::<ReleasePatch>("null"), "it is null, and must be an object".to_owned()),
            (of::<ReleasePatch>("7"), "it is the number `7`, and must be an object".to_owned()),
            (of::<ReleasePatch>("{}"), "missing field `packages`".to_owned()),
            (
                of::<ReleasePatch>(r#"{"packages":{}}"#),
                "the field `packages`: it is an object, and must be a list".to_owned(),
            ),
            (patch("1"), "the field `packages[0]`: it is the number `1`, and must be an object".to_owned()),
            (patch("{}"), "the field `packages[0]`: missing field `key`".to_owned()),
            (
                patch(r#"{"key":7}"#),
                "the field `packages[0].key`: it is the number `7`, and must be a string".to_owned(),
            ),
            (
                patch(r#"{"key":"deb","replace":"yes"}"#),
                "the field `packages[0].replace`: it is the text \"yes\", and must be `true` or `false`".to_owned(),
            ),
            (
                staged(r#"{"filename":"a.deb","digest":"sha256:0","size":1}"#),
                "the field `packages[0].staged.digest`: `sha256:0` is not a SHA-256 digest: 64 hex digits are needed, \
                 with or without `sha256:` in front"
                    .to_owned(),
            ),
            (
                staged(r#"{"filename":"a.deb","size":-1}"#),
                format!("the field `packages[0].staged.size`: it is the number `-1`, {whole}"),
            ),
            (
                staged(r#"{"filename":"a.deb","size":1.5}"#),
                format!("the field `packages[0].staged.size`: it is the number `1.5`, {whole}"),
            ),
            (
                expect(r#"{"distros":["el/9"],"kind":"dsc"}"#),
                "the field `packages[0].expect.kind`: `dsc` is not a kind of package; `deb` and `rpm` are".to_owned(),
            ),
            (
                expect(r#"{"distros":"el/9"}"#),
                "the field `packages[0].expect.distros`: it is the text \"el/9\", and must be a list".to_owned(),
            ),
            (
                of::<PromotionRequest>(r#"{"keys":[true]}"#),
                "the field `keys[0]`: it is `true`, and must be a string".to_owned(),
            ),
            (of::<CarryRequest>(r#"{"key":"deb"}"#), "missing field `distro`".to_owned()),
            (
                of::<HoldRequest>(r#"{"reason":["x"]}"#),
                "the field `reason`: it is a list, and must be a string".to_owned(),
            ),
            (
                of::<SessionRequest>(r#"{"id_token":{}}"#),
                "the field `id_token`: it is an object, and must be a string".to_owned(),
            ),
        ] {
            assert_eq!(said, expected);
        }
        let unknown = patch(r#"{"key":"deb","colour":"red"}"#);
        let expected = "the field `packages[0].colour`: unknown field `colour`, expected one of `key`";
        assert!(unknown.starts_with(expected), "{unknown}");
    }

    #[test]
    fn what_is_no_json_is_said_with_where_it_stops_being_one() {
        for (body, expected) in [
            ("", "it is no JSON: EOF while parsing a value at line 1 column 0"),
            ("{", "it is no JSON: EOF while parsing an object at line 1 column 1"),
            (r#"{"keys":[]} x"#, "it is no JSON: trailing characters at line 1 column 13"),
            ("keys=deb", "it is no JSON: expected value at line 1 column 1"),
        ] {
            assert_eq!(of::<PromotionRequest>(body), expected);
        }
    }

    #[test]
    fn no_word_of_rust_is_said_whatever_of_json_stands_anywhere_in_a_body() {
        let good = json!({ "packages": [{
            "key": "deb", "replace": true,
            "expect": { "distros": ["el/9"], "kind": "rpm", "architecture": "x86_64", "release_job": "j",
                        "environment": "e", "release_all_job": "a", "release_all_environment": "b", "skip": "s" },
            "staged": { "filename": "f", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1 },
        }] });
        read::<ReleasePatch>(good.to_string().as_bytes()).expect("a good body");
        let places = "/packages /packages/0 /packages/0/key /packages/0/replace /packages/0/expect \
                      /packages/0/expect/distros /packages/0/expect/distros/0 /packages/0/expect/kind \
                      /packages/0/expect/architecture /packages/0/staged /packages/0/staged/filename \
                      /packages/0/staged/digest /packages/0/staged/size";
        let others = [
            json!(null),
            json!(true),
            json!(7),
            json!(-7),
            json!(1.5),
            json!(1e300),
            json!(""),
            json!("x"),
            json!([]),
            json!([1]),
            json!({}),
            json!({ "x": 1 }),
        ];
        let mut refused = 0;
        for place in [""].into_iter().chain(places.split_whitespace()) {
            for other in &others {
                let mut body = good.clone();
                *body.pointer_mut(place).expect("it is there") = other.clone();
                let Err(error) = read::<ReleasePatch>(body.to_string().as_bytes()) else { continue };
                let said = error.to_string();
                for word in ["struct ", "enum ", "variant", "u64", "f64", "usize", "sequence", "Patch", " map", "unit"]
                {
                    assert!(!said.contains(word), "{place} as {other}: {said}");
                }
                refused += 1;
            }
        }
        assert!(refused > 100, "{refused} bodies were refused");
    }
}
