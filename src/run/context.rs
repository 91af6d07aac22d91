//! What executors share: the directory, the operator's environment, the way back to dispatch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wharf_model::EnvironmentRow;

use super::keep::Keeper;
use crate::dispatch::event_loop::Inbox;
use crate::environment::Site;

/// Shared by every executor of a reign.
#[derive(Clone)]
pub struct Context {
    /// Keeps shims.
    pub keeper: Keeper,
    /// Where facts go.
    pub inbox: Inbox,
    /// The operator's environment, from which children get an allow-list.
    pub operator: Arc<BTreeMap<String, String>>,
    /// Directory of the running program, appended to the children's `PATH`.
    pub program_dir: Option<PathBuf>,
    /// Most bytes of one run's log.
    pub log_quota: Option<u64>,
    /// What happens at the quota.
    pub on_quota: wharf_model::shim::OnQuota,
    /// Running plugins of environments.
    pub plugins: Arc<crate::environment::plugin::Plugins>,
}

impl Context {
    /// What surrounds the drivers of an environment. Paths of its config start where the config lies.
    pub fn site(&self, environment: &EnvironmentRow) -> Site {
        Site { plugins: Arc::clone(&self.plugins), ..Site::of(&self.keeper.data, &self.operator, environment) }
    }
}
