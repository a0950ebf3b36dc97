//! "What does the public APT index serve under this name?", for one name at a time.
//!
//! [`read_index`](crate::read_index) answers it for many names and remembers what it saw; this is the same question
//! without a memory.

mod served;

pub use served::{Served, Suite, served};
