//! Parts that screens are made of.

pub mod close;
pub mod diff;
pub mod facts;
pub mod output;
pub mod ownlog;
pub mod table;
pub mod timeline;
