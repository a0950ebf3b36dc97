//! Promotions from end to end, against services that hold packages as the real ones do. A test's name is the story.
//!
//! After every effect [`Net`](slipway_tests::fakes::Net) checks what must always hold: the public has only approved
//! bytes, what was public once stays as it was, staging is only read, and no credential leaves its origin. After every
//! run [`Host`](slipway_tests::fakes::Host) checks that what people are told is so.

mod world;

mod copies;
mod faults;
mod indexes;
mod killed;
mod refusals;
