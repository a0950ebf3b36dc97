//! What YUM's files need of XML: elements with their depth, attributes, and text joined from all its spellings.
//!
//! Comments and processing instructions are passed over, CDATA is text. Absent on purpose: document types, which could
//! give text that is not there, so a file that has one is refused; and prefixes of the file's own namespace. Every known
//! writer makes that the default one at the root, which is checked, so an element with any prefix is somebody else's.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// XML that is not read, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidXml(pub(super) String);

fn invalid(error: impl std::fmt::Display) -> InvalidXml {
    InvalidXml(error.to_string())
}

/// A part of a document.
pub(super) enum Node<'a> {
    /// An element begins. Its depth is the number of elements around it.
    Open(usize, &'a BytesStart<'a>),
    /// Text, perhaps not all of it.
    Text(&'a str),
    /// An element of this depth and name ends.
    Close(usize, &'a str),
}

/// Reads a stretch of a document that stands inside `depth` elements, and returns inside how many it ends.
pub(super) fn walk(
    text: &str,
    mut depth: usize,
    each: &mut dyn FnMut(Node<'_>) -> Result<(), InvalidXml>,
) -> Result<usize, InvalidXml> {
    let mut reader = Reader::from_str(text);
    // The start tags of the elements around the stretch are not in it, so their end tags are counted here.
    reader.config_mut().allow_unmatched_ends = true;
    loop {
        match reader.read_event().map_err(invalid)? {
            Event::Start(element) => {
                each(Node::Open(depth, &element))?;
                depth = depth.saturating_add(1);
            }
            Event::Empty(element) => {
                each(Node::Open(depth, &element))?;
                each(Node::Close(depth, element.name().into_inner()))?;
            }
            Event::End(element) => {
                depth = depth.checked_sub(1).ok_or_else(|| invalid("it ends an element that has not begun"))?;
                each(Node::Close(depth, element.name().into_inner()))?;
            }
            Event::Text(text) => each(Node::Text(&text.xml10_content()))?,
            Event::CData(text) => each(Node::Text(&text.xml10_content()))?,
            Event::GeneralRef(reference) => each(Node::Text(character(&reference)?.encode_utf8(&mut [0; 4])))?,
            Event::DocType(_) => return Err(invalid("it has a document type, whose entities are not read")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return Ok(depth),
        }
    }
}

/// The character that a reference stands for: `&#43;`, or one of the five names that need no document type.
fn character(reference: &BytesRef<'_>) -> Result<char, InvalidXml> {
    if let Some(character) = reference.resolve_char_ref().map_err(invalid)? {
        return Ok(character);
    }
    match &**reference {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        name => Err(invalid(format!("it has an unknown entity `{}`", name.chars().take(40).collect::<String>()))),
    }
}

/// The value of an attribute. All of the element's attributes are read, so that none is there twice.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, InvalidXml> {
    let mut value = None;
    for attribute in element.attributes() {
        let attribute = attribute.map_err(invalid)?;
        if attribute.key.into_inner() == name {
            value = Some(attribute.normalized_value(XmlVersion::Implicit1_0).map_err(invalid)?.into_owned());
        }
    }
    Ok(value)
}

/// Checks that the root element is `name` and makes `namespace` the default one.
pub(super) fn check_root(element: &BytesStart<'_>, name: &str, namespace: &str) -> Result<(), InvalidXml> {
    if element.name().into_inner() == name && attribute(element, "xmlns")?.as_deref() == Some(namespace) {
        Ok(())
    } else {
        Err(invalid(format!("its root is not `{name}` with the default namespace `{namespace}`")))
    }
}

/// Checks that an element stays in the file's own namespace.
pub(super) fn check_namespace(element: &BytesStart<'_>) -> Result<(), InvalidXml> {
    if attribute(element, "xmlns")?.is_none() {
        Ok(())
    } else {
        Err(invalid(format!("`{}` changes its namespace", element.name().into_inner())))
    }
}
