//! Parts that screens are made of.

pub mod output;
pub mod table;
