//! wharf: a terminal console for the people who operate agent runs on their own machines.

pub mod dispatch;
