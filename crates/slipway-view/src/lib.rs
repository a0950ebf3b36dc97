//! A release as HTML: the same functions at the edge and in the browser.
