//! What can go wrong with a package server, to be ordered by tests.
//!
//! A fault is *where* (`on`), *what* (`effect` and its settings), *how often* (`times`, after `skip`) and *for which*
//! requests (`path`, and `when` for those whose true answer has a status). `docs/depot.md` lists all of them. Of the
//! effects that decide the outcome a request meets the first that fits; of all others, every one that fits.

mod arrival;
mod body;
mod json;
mod outcome;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::arrival::Pretence;
pub(crate) use self::outcome::{Subject, drilled, overruled};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Point {
    /// Only of faults: every request.
    Any,
    Push,
    Delete,
    Promote,
    /// `packages.json` and `search.json`.
    List,
    /// One package, and all versions of one.
    Show,
    Distributions,
    /// Repositories themselves: the list, one, a new one.
    Repositories,
    /// The redirect to the storage.
    Download,
    /// The storage's own answer.
    Storage,
    /// Files of the APT and YUM indexes.
    Index,
    /// Packages where the indexes say that they are.
    Pool,
    /// Everything else.
    Other,
}

/// How many requests meet a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Times {
    Left(u32),
    Always(Always),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Always {
    Always,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// Nothing is done, and the answer is this one.
    Fail(Instead),
    /// The work is done, and the answer is this one.
    DoThenFail(Instead),
    /// When more requests than `above` are at this point at once, the answer is this one; `stored`: after the work.
    Busy {
        above: usize,
        #[serde(default)]
        stored: bool,
        #[serde(flatten)]
        instead: Instead,
    },
    /// The request takes this long to get here, and its answer to get back.
    Delay {
        #[serde(default)]
        ms: u64,
        #[serde(default)]
        back_ms: u64,
    },
    /// The request's body is read no faster than this.
    SlowRead { bytes_per_second: u64 },
    /// The answer is sent no faster than this.
    Throttle { bytes_per_second: u64 },
    /// The connection ends after so many bytes of the answer's body, which announced its true length.
    Cut { after_bytes: u64 },
    /// One bit of the answer's body is another.
    FlipBit {
        #[serde(default)]
        at: u64,
    },
    /// The answer's body has so many bytes more at its end.
    Append { bytes: u64 },
    /// The bytes are those of another package, of this file name.
    Swap { filename: String },
    /// The answer does not announce its length.
    Chunked,
    /// The answer's body never ends.
    Endless,
    /// The answer has another status, and is the true one otherwise.
    Status { status: u16 },
    /// In an answer of JSON, this member has this value; in a list, that of each, or of those with this `filename`.
    Say {
        field: String,
        value: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
    /// The answer has this header; without a value, it does not have it.
    Header {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// What is read is as it was so many writes to the repository ago.
    Stale { writes: usize },
    /// Every page of a list leads to one more; with `cyclic`, back to the first.
    EndlessPages {
        #[serde(default)]
        cyclic: bool,
    },
    /// The link to the storage has ended already.
    ExpiredLink,
    /// A promotion: the package has left the source, and is in the destination so much later, or when all faults are cleared.
    HalfWay {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// The index is not written, for as long as this is there. `path` is a part of `owner/name/distro/version`.
    Hold,
}

/// An answer in place of the true one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instead {
    #[serde(default = "gateway_timeout")]
    pub(crate) status: u16,
    /// Text is a page or a plain text, everything else is JSON. Without it: what fits the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
}

fn gateway_timeout() -> u16 {
    504
}

fn once() -> Times {
    Times::Left(1)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) on: Point,
    #[serde(flatten)]
    pub(crate) effect: Effect,
    #[serde(default = "once")]
    pub(crate) times: Times,
    /// So many requests that would meet it pass before.
    #[serde(default)]
    pub(crate) skip: u32,
    /// Only requests with this in their path, or in the path and the name of the file that they are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Only requests whose true answer has this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) when: Option<u16>,
}

impl Fault {
    /// Reads an order. A member that means nothing is refused: a test with a slip of the pen must not pass.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let asked: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let fault: Self = serde_json::from_value(asked.clone()).map_err(|error| error.to_string())?;
        let understood = serde_json::to_value(&fault).map_err(|error| error.to_string())?;
        let missing = asked.as_object().into_iter().flatten().find(|(name, value)| {
            // Of what may be left out, nothing is written again when it is null.
            !value.is_null() && understood.get(name.as_str()).is_none()
        });
        if let Some((name, _)) = missing {
            return Err(format!("`{name}` means nothing here"));
        }
        let status = match &fault.effect {
            Effect::Fail(instead) | Effect::DoThenFail(instead) | Effect::Busy { instead, .. } => instead.status,
            Effect::Status { status } => *status,
            _ => 200,
        };
        if !(200..600).contains(&status) {
            return Err(format!("{status} is not the status of an answer"));
        }
        if fault.when.is_some() && !fault.effect.follows_the_work() {
            return Err("`when` needs an effect that comes after the work".to_owned());
        }
        Ok(fault)
    }
}

impl Effect {
    /// Whether the true answer is known when this happens.
    fn follows_the_work(&self) -> bool {
        match self {
            Self::DoThenFail(_)
            | Self::Throttle { .. }
            | Self::Cut { .. }
            | Self::FlipBit { .. }
            | Self::Append { .. }
            | Self::Swap { .. }
            | Self::Chunked
            | Self::Endless
            | Self::Status { .. }
            | Self::Say { .. }
            | Self::Header { .. } => true,
            Self::Fail(_)
            | Self::Busy { .. }
            | Self::Delay { .. }
            | Self::SlowRead { .. }
            | Self::Stale { .. }
            | Self::EndlessPages { .. }
            | Self::ExpiredLink
            | Self::HalfWay { .. }
            | Self::Hold => false,
        }
    }
}

/// All faults that are ordered, oldest first.
#[derive(Default)]
pub(crate) struct Faults(Mutex<(u64, Vec<(u64, Fault)>)>);

impl Faults {
    fn list(&self) -> MutexGuard<'_, (u64, Vec<(u64, Fault)>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: Fault) -> u64 {
        let mut list = self.list();
        list.0 += 1;
        let id = list.0;
        list.1.push((id, fault));
        id
    }

    /// All of them, each with the number that clears it.
    pub(crate) fn all(&self) -> Vec<Value> {
        let list = self.list();
        let shown = list.1.iter().map(|(id, fault)| {
            let mut shown = serde_json::to_value(fault).unwrap_or_default();
            shown["id"] = (*id).into();
            shown
        });
        shown.collect()
    }

    pub(crate) fn clear(&self, id: Option<u64>) -> bool {
        let mut list = self.list();
        let before = list.1.len();
        list.1.retain(|(known, _)| id.is_some_and(|id| id != *known));
        list.1.len() < before
    }

    /// Every effect that this request meets, of those that are `wanted`: each is used up by one. With `first_only`,
    /// the first.
    fn met(
        &self,
        on: Point,
        (path, status): (&str, Option<u16>),
        first_only: bool,
        wanted: impl Fn(&Fault) -> bool,
    ) -> Vec<Effect> {
        let mut list = self.list();
        let mut met = Vec::new();
        for (_, fault) in &mut list.1 {
            let fits = (fault.on == on || fault.on == Point::Any)
                && fault.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
                && fault.when.is_none_or(|when| Some(when) == status);
            if !fits || !wanted(fault) || fault.times == Times::Left(0) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Times::Left(left) = &mut fault.times {
                *left -= 1;
            }
            met.push(fault.effect.clone());
            if first_only {
                break;
            }
        }
        list.1.retain(|(_, fault)| fault.times != Times::Left(0) || matches!(fault.effect, Effect::Hold));
        met
    }

    /// Whether an index is held back. `path` is `owner/name/distro/version`.
    pub(crate) fn holds_index(&self, path: &str) -> bool {
        self.list().1.iter().any(|(_, fault)| {
            matches!(fault.effect, Effect::Hold) && fault.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_with_a_slip_of_the_pen_is_refused() {
        for (text, why) in [
            (r#"{"on":"push","effect":"fail"}"#, None),
            (r#"{"on":"push","effect":"do-then-fail","status":502,"times":"always","when":422}"#, None),
            (r#"{"on":"any","effect":"delay","ms":20,"back_ms":20,"times":"always"}"#, None),
            (r#"{"on":"list","effect":"say","field":"sha256sum","value":null}"#, None),
            (r#"{"on":"push","effect":"busy","above":4,"stored":true,"status":504,"skip":0}"#, None),
            (r#"{"on":"tea","effect":"fail"}"#, Some("unknown variant `tea`")),
            (r#"{"on":"push","effect":"explode"}"#, Some("unknown variant `explode`")),
            (r#"{"on":"push","effect":"fail","pth":"a"}"#, Some("`pth` means nothing here")),
            (r#"{"on":"push","effect":"fail","status":99}"#, Some("99 is not the status")),
            (r#"{"on":"push","effect":"fail","when":422}"#, Some("`when` needs an effect")),
            (r#"{"on":"storage","effect":"cut"}"#, Some("missing field `after_bytes`")),
            (r#"{"on":"push","effect":"fail","times":"often"}"#, Some("did not match")),
        ] {
            let said = Fault::from_json(text).err();
            match why {
                None => assert_eq!(said, None, "{text}"),
                Some(why) => assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{text}: {said:?}"),
            }
        }
    }

    #[test]
    fn a_fault_is_used_up_by_the_requests_that_fit_and_by_no_others() {
        let faults = Faults::default();
        let order = r#"{"on":"push","effect":"fail","times":2,"skip":1,"path":"/stable/"}"#;
        faults.add(Fault::from_json(order).expect("a good order"));
        let meets = |on, path| !faults.met(on, (path, None), true, |_| true).is_empty();
        assert!(!meets(Point::Push, "/h/attic/packages.json"));
        assert!(!meets(Point::List, "/h/stable/packages.json"));
        let met: Vec<bool> = (0..5).map(|_| meets(Point::Push, "/h/stable/packages.json")).collect();
        assert_eq!(met, [false, true, true, false, false]);
        assert_eq!(faults.all(), [Value::Null; 0]);
    }
}
