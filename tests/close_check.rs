//! What the close check finds in real repositories of every shape.

#[path = "close_check/shapes.rs"]
mod shapes;
mod workspace_common;
