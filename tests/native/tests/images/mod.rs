//! Images made by hand, and `skopeo`, which pushes and reads them.

pub(crate) use slipway_stack::image::{Layout, inspect, pull};
