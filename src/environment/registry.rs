//! Which driver an environment has.

use std::sync::Arc;

use serde_json::Value;
use wharf_model::Driver as Kind;
use wharf_model::config::driver::DriverConfig;

use super::driver::{Driver, Site};
use super::local::Local;
use super::plugin::driver::Plugin;
use super::sandbox;
use super::ssh::Ssh;

/// Why an environment has no driver that could be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDriver {
    /// Its settings cannot be used.
    #[error("its settings cannot be used: {0}")]
    Invalid(String),
    /// This program does not have it.
    #[error("this program has no driver {0}")]
    Absent(Kind),
}

/// Makes the driver of an environment from its settings: the table `config` as JSON.
///
/// # Errors
/// Settings that cannot be read, with every mistake at its place.
pub fn driver(kind: Kind, config: &Value, site: &Site) -> Result<Arc<dyn Driver>, NoDriver> {
    let config = DriverConfig::read(kind, config)
        .map_err(|wrong| NoDriver::Invalid(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    match config {
        DriverConfig::Local => Ok(Arc::new(Local)),
        DriverConfig::Plugin(config) => Ok(Arc::new(Plugin::new(config, site))),
        DriverConfig::Sandbox(config) => Ok(sandbox::driver(config, site)),
        DriverConfig::Ssh(config) => Ok(Arc::new(Ssh::new(config, site))),
    }
}
