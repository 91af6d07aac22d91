//! Pure rules: text and facts in, a decision or a name out.

pub mod branch;
pub mod reuse_key;
pub mod template;
pub mod workspace_environment;
