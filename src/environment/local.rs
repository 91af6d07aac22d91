//! This machine, without a sandbox.

use serde_json::json;
use wharf_model::{EnvironmentRow, LeaseRow};

use super::driver::{Answer, Call, Check, Driver, Place, Target};

/// The local driver: nothing is obtained and nothing has to be given back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Driver for Local {
    fn acquire<'a>(&'a self, _lease: &'a LeaseRow, environment: &'a EnvironmentRow) -> Call<'a, Place> {
        let metadata = Some(json!({ "driver": environment.driver.as_str(), "host": hostname() }));
        Box::pin(std::future::ready(Answer::Done(Place { provider_lease_id: None, expires_at: None, metadata })))
    }

    fn release<'a>(&'a self, _lease: &'a LeaseRow, _environment: &'a EnvironmentRow) -> Call<'a, ()> {
        Box::pin(std::future::ready(Answer::Done(())))
    }

    fn target<'a>(&'a self, _lease: &'a LeaseRow) -> Call<'a, Target> {
        Box::pin(std::future::ready(Answer::Done(Target::default())))
    }

    fn probe<'a>(&'a self, _environment: &'a EnvironmentRow) -> Call<'a, Vec<Check>> {
        let check = Check { code: "host", ok: true, message: format!("this machine, {}", hostname()) };
        Box::pin(std::future::ready(Answer::Done(vec![check])))
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
