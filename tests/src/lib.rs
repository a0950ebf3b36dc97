//! Fake services, and the stories that Slipway must keep true on real parts.

pub mod e2e;
// pub mod fakes;
pub mod gitlab;
