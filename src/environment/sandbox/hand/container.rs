//! Around the engine's `exec`, outside.

use super::{Outcome, cannot};

/// Not reached yet.
pub fn run(_words: Vec<String>) -> Outcome {
    Err(cannot("no container"))
}
