//! placeholder
use crate::environment::driver::{Driver, Site};
use wharf_model::config::driver::SandboxConfig;
