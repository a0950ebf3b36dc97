//! A GitLab stand-in, and the stories that Slipway must keep true on real parts. Those of the simulated world are in
//! `tests/sim`.

pub mod e2e;
pub mod gitlab;
