//! The browser host: keeps the page of a release live.
