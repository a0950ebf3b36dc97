//! A release as HTML: the same functions at the edge and in the browser.
//!
//! The edge renders whole pages ([`page`]). The browser renders the same sections again from the live messages
//! ([`section`]) and replaces those whose mark has changed, so the two cannot disagree. Nothing here reads a clock, knows
//! a role, or trusts a string: maud escapes all of them, and there is no `PreEscaped`, inline script or inline style.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod filter;
mod install;
pub mod matrix;
pub mod outward;
pub mod page;
pub mod section;
pub mod state;
pub mod text;
