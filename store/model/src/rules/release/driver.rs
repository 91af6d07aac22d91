//! What a driver does when a lease goes back, is removed, or is kept.

use serde::{Deserialize, Serialize};

use crate::config::driver::DriverConfig;
use crate::*;

/// Why a driver is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// The lease goes back.
    Back,
    /// What it holds is removed, whatever it is.
    Away,
    /// It is kept for later.
    Aside,
}

/// What a driver does to what a lease holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverDoes {
    /// What it does it to: `the directory on box-1`; none when there is nothing.
    pub what: Option<String>,
    /// What it does: `removed there`.
    pub how: String,
    /// Whether it is gone afterwards.
    pub removes: bool,
}

impl DriverDoes {
    /// What is to be expected, by the settings that the lease was acquired with.
    pub fn expected(lease: &LeaseRow, environment: &EnvironmentRow, going: Going) -> Self {
        let nothing = |how: &str| Self { what: None, how: how.to_owned(), removes: false };
        if lease.status == LeaseStatus::Waiting {
            return nothing("it waits for a slot: nothing was obtained yet");
        }
        let config = lease.config.clone().unwrap_or_else(|| environment.driver_config());
        let driver = DriverConfig::read(environment.driver, &config);
        let (what, back, aside) = match driver {
            Ok(DriverConfig::Local) => return nothing("nothing was obtained outside of this machine's directories"),
            Ok(DriverConfig::Ssh(ssh)) => {
                let what = format!("its directory on {}", ssh.host);
                (what, "removed there; the connection is closed", "stays there; the connection is closed")
            }
            Ok(DriverConfig::Sandbox(sandbox)) if sandbox.provider.is_container() => {
                (format!("its {} container", sandbox.provider), "stopped and removed", "stopped, to be resumed")
            }
            Ok(DriverConfig::Sandbox(_)) => {
                ("its sandbox and private directories".to_owned(), "ended and removed", "ended; its directories stay")
            }
            Ok(DriverConfig::Plugin(plugin)) => (
                format!("what plugin {} holds", plugin.driver),
                "the plugin is told to release it",
                "the plugin is told to keep it",
            ),
            // Settings that cannot be read any more: what the driver will do is not known.
            Err(_) => (
                format!("what {} holds", environment.driver),
                "the driver is told to release it",
                "the driver is told to keep it",
            ),
        };
        let queued = lease.queue.is_some() && lease.status == LeaseStatus::Acquiring;
        let how = match going {
            _ if queued => "leaves the provider's queue".to_owned(),
            Going::Back => back.to_owned(),
            Going::Away => back.replace("told to release it", "told to destroy it"),
            Going::Aside => aside.to_owned(),
        };
        Self { what: Some(what), how, removes: going != Going::Aside }
    }
}
