//! Making room: what may be removed by the operator's rule, and its removal.
//!
//! One rule, [`plan::plan`], says it for the dry run and for the real one. The request `gc.run` writes
//! into the rows what goes and why before anything is removed; a pass that was cut off is done again.

pub mod carry_out;
pub mod plan;
pub mod strays;
pub mod timer;
