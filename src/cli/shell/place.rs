//! What a shell in a lease is made from: its rows, its driver, what a run there is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wharf_model::{EnvironmentRow, Kind as Letter, LeaseRow};
use wharf_store::Reader;
use wharf_store::view::{ReleaseFacts, RunDetail};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Result, exit};
use crate::dispatch::input::Realisation;
use crate::environment::driver::{AcquireAsk, Answer, Driver};
use crate::environment::{Site, registry};

/// Everything that the shell is made from.
pub struct Place {
    /// `L-12`.
    pub number: String,
    /// The lease with what surrounds it.
    pub facts: ReleaseFacts,
    /// Its run.
    pub detail: Option<RunDetail>,
    /// The run's project.
    pub project: Option<wharf_model::ProjectRow>,
    /// The operator's environment.
    pub operator: Arc<BTreeMap<String, String>>,
}

impl Place {
    /// Reads what is needed.
    pub fn gather(reader: &Reader, facts: ReleaseFacts, number: &str) -> Result<Self> {
        let detail = match facts.lease.lease.run_id {
            Some(run) => reader.run_detail(run)?,
            None => None,
        };
        let project = match &detail {
            Some(detail) => reader.project(detail.run.project_id)?,
            None => None,
        };
        let operator = Arc::new(std::env::vars().collect());
        Ok(Self { number: number.to_owned(), facts, detail, project, operator })
    }

    /// The lease.
    pub fn lease(&self) -> &LeaseRow {
        &self.facts.lease.lease
    }

    /// What it is a lease of.
    pub fn environment(&self) -> &EnvironmentRow {
        &self.facts.environment
    }

    /// That no shell can be opened, and why.
    pub fn error(&self, code: &str, cause: impl Into<String>) -> CliError {
        let message = format!("no shell can be opened in {}", self.number);
        CliError::new(exit::THING_FAILED, code, message).cause(cause).entity(self.number.clone())
    }

    /// The driver that it was acquired with.
    pub fn driver(&self, context: &Context) -> Result<Arc<dyn Driver>> {
        let environment = self.environment();
        let config = self.lease().config.clone().unwrap_or_else(|| environment.driver_config());
        let site = Site::of(&context.data, &self.operator, environment);
        let failed = |e: registry::NoDriver| {
            self.error("unsupported_environment", format!("environment {}: {e}", environment.name))
                .next(format!("wharf show {}", Letter::Environment.number(environment.number)))
        };
        let driver = registry::driver(environment.driver, &config, &site).map_err(failed)?;
        if driver.capabilities().execute {
            return Ok(driver);
        }
        Err(self.error("unsupported_environment", format!("no command can be run in {}", environment.name)))
    }

    /// What a driver answered, else why no shell can be opened.
    pub fn answered<T>(&self, answer: Answer<T>) -> Result<T> {
        match answer {
            Answer::Done(value) => Ok(value),
            Answer::Refused { code, hint } => Err(self.error(&code, hint)),
            Answer::Unknown { evidence } => Err(self
                .error("transport_resolution_failed", evidence)
                .next(format!("wharf env probe {}", self.environment().name))),
        }
    }

    /// What was realised under it.
    pub fn realisation(&self) -> Option<Realisation> {
        serde_json::from_value(self.lease().realisation.clone()?).ok()
    }

    /// The directory of this machine that it is about.
    pub fn here(&self) -> Option<String> {
        let workspace = self.facts.workspace.as_ref().and_then(|w| w.cwd.clone());
        workspace.or_else(|| self.project.as_ref().map(|p| p.path.clone()))
    }

    /// What a run there is told of where it is; nothing of its own token or tag.
    pub fn variables(&self, cwd: &str) -> BTreeMap<String, String> {
        let (lease, environment) = (self.lease(), self.environment());
        let mut all = BTreeMap::from([
            ("WHARF_LEASE_ID".to_owned(), lease.id.text()),
            ("WHARF_ENVIRONMENT_ID".to_owned(), environment.id.text()),
            ("WHARF_ENVIRONMENT_NAME".to_owned(), environment.name.clone()),
            ("WHARF_ENVIRONMENT_DRIVER".to_owned(), environment.driver.to_string()),
            ("WHARF_WORKSPACE_CWD".to_owned(), cwd.to_owned()),
        ]);
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                all.insert(name.to_owned(), value);
            }
        };
        set("WHARF_LEASE_FENCE", lease.fence.map(|f| f.to_string()));
        set("WHARF_WORKSPACE_ID", self.facts.workspace.as_ref().map(|w| w.id.text()));
        set("WHARF_WORKSPACE_BRANCH", self.facts.workspace.as_ref().and_then(|w| w.branch_name.clone()));
        set("WHARF_PROJECT_ID", self.project.as_ref().map(|p| p.id.text()));
        set("WHARF_PROJECT_KEY", self.project.as_ref().map(|p| p.key.clone()));
        if let Some(detail) = &self.detail {
            set("WHARF_RUN_ID", Some(detail.run.id.text()));
            set("WHARF_RUN_NUMBER", Some(Letter::Run.number(detail.run.number)));
            set("WHARF_AGENT_NAME", detail.line.agent.clone());
            set("WHARF_ISSUE_IDENTIFIER", detail.line.issue.clone());
        }
        all
    }

    /// What the driver is asked when it takes up what was laid by.
    pub fn ask(&self) -> AcquireAsk {
        let (lease, environment) = (self.lease(), self.environment());
        AcquireAsk {
            lease: lease.id,
            number: self.number.clone(),
            fence: lease.fence.unwrap_or(0),
            environment: environment.id,
            environment_name: environment.name.clone(),
            company: lease.company_id,
            policy: lease.lease_policy,
            run: lease.run_id,
            issue: lease.issue_id,
            workspace: lease.execution_workspace_id,
            project: self.project.as_ref().map(|p| PathBuf::from(&p.path)),
            ttl_ms: environment.ttl_ms,
        }
    }
}
