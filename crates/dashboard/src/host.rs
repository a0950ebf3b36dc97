//! What `boot.js` does for this program. Each of the three would need many calls from here; and markup becomes elements
//! in one place alone, which the page's policy names.

use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{DocumentFragment, Element};

use crate::app::integer;
use crate::read::Value;

#[wasm_bindgen(js_namespace = slipway)]
extern "C" {
    #[wasm_bindgen(catch, js_name = parse)]
    fn parse_or_throw(html: &str) -> Result<DocumentFragment, JsValue>;

    /// Asks for something at this origin: `done` gets its `url`, its `status`, when that is 200 its `text`, and for how many
    /// seconds it is to `wait`. Status 0 is no answer, or one that is of another kind than `accept`.
    pub(crate) fn ask(url: &str, accept: &str, tag: &str, done: &Function);

    /// Puts a text into the clipboard: `done` gets whether it is there.
    pub(crate) fn copy(text: &str, done: &Function);
}

/// The elements that markup describes, in no document yet. `None` for what the page's policy refuses.
pub(crate) fn parse(html: &str) -> Option<DocumentFragment> {
    parse_or_throw(html).ok()
}

/// The one element that markup describes.
pub(crate) fn element(html: &str) -> Option<Element> {
    parse(html)?.first_element_child()
}

impl Value for JsValue {
    fn field(&self, name: &str) -> Option<Self> {
        let value = js_sys::Reflect::get(self, &Self::from_str(name)).ok()?;
        (!value.is_null() && !value.is_undefined()).then_some(value)
    }

    fn items(&self) -> Option<Vec<Self>> {
        Some(self.dyn_ref::<js_sys::Array>()?.iter().collect())
    }

    fn text(&self) -> Option<String> {
        self.as_string()
    }

    fn count(&self) -> Option<u64> {
        // JSON knows no integers; what is none was not written by the edge.
        self.as_f64().filter(|number| *number >= 0.0).map(integer)
    }

    fn truth(&self) -> Option<bool> {
        self.as_bool()
    }
}
