//! Sandboxes on this machine: bubblewrap, and containers of podman or docker.
//!
//! What both show of this machine is the same list of [`mount::Bind`]s: the workspace, what of git it needs
//! ([`gitdir`]), and the mounts of the config ([`sources`]). They differ in who makes them.

pub mod bubblewrap;
pub mod configured;
pub mod container;
pub mod gitdir;
pub mod hand;
pub mod limits;
pub mod mount;
pub mod mounted;
pub mod nested;
pub mod place;
pub mod program;
pub mod realised;
pub mod sources;
pub mod swept;
pub mod tree;
pub mod walk;

use std::sync::Arc;

use wharf_model::config::driver::{SandboxConfig, SandboxProvider};

use super::driver::{Driver, Site};

/// The driver for these settings.
pub fn driver(config: SandboxConfig, site: &Site) -> Arc<dyn Driver> {
    match config.provider {
        SandboxProvider::Bubblewrap => Arc::new(bubblewrap::Bubblewrap::new(config, site)),
        SandboxProvider::Podman | SandboxProvider::Docker => Arc::new(container::Container::new(config, site)),
    }
}

/// Codes of refusals, from contracts 10.
pub(crate) mod code {
    pub const ACQUIRE: &str = "lease_acquire_failed";
    pub const REALISE: &str = "workspace_realization_failed";
    pub const RELEASE: &str = "lease_release_failed";
    pub const TARGET: &str = "transport_resolution_failed";
}
