//! An adapter tried in a place: a workspace, a command, its program, a terminal, a directory that can be written.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;
use wharf_model::config::{AdapterConfig, AgentConfig, EnvValue};
use wharf_model::{AgentRow, WorkspaceId};

use crate::adapter::elsewhere;
use crate::adapter::environment::{Allow, allowed};
use crate::environment::driver::{Answer, Check, Driver, Held, RealiseAsk, Realised, Target};
use crate::environment::target::Inside;
use crate::run::ended::{self, Stop};
use crate::run::place::{TARGET_LIMIT, gives_terminal, within};
use crate::run::trial;

/// Time to make a workspace that holds nothing.
const REALISE_LIMIT: Duration = Duration::from_mins(1);
/// Time for the command.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// Grace of what it leaves.
const GRACE_MS: i64 = 2_000;

/// Says what it finds, one fact a line. The program is an argument of it and never a part of its text.
const SCRIPT: &str = "\
    if [ -n \"$1\" ]; then found=$(command -v -- \"$1\") && echo \"wharf-found $found\"; fi; \
    file=.wharf-test-$$; if : > \"$file\"; then rm -f \"$file\"; echo wharf-writable; fi; echo wharf-done";

/// What is tried, and where.
pub struct Attempt<'a> {
    /// Driver of the place.
    pub driver: &'a dyn Driver,
    /// Its lease.
    pub held: &'a Held,
    /// The place is this machine as it is.
    pub is_here: bool,
    /// Whose adapter; without one it is only seen whether a command runs.
    pub agent: Option<&'a AgentRow>,
    /// Value of `WHARF_TAG` of what runs there.
    pub tag: String,
    /// The operator's environment.
    pub operator: &'a BTreeMap<String, String>,
    /// Directory of `wharf`.
    pub program_dir: Option<&'a Path>,
    /// Data directory.
    pub data: &'a Path,
}

/// The program of an agent's adapter, as far as it can be looked for where no workspace is.
enum Program {
    /// This one.
    Named(String),
    /// It lies in the workspace.
    InWorkspace(String),
    /// There is none to look for.
    None,
}

impl Attempt<'_> {
    /// Tries it, cleans up, and says what was found.
    pub async fn checks(&self) -> Vec<Check> {
        let dir = self.data.join("tmp").join(format!("test-{}", self.held.lease));
        let mut checks = Vec::new();
        match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir) {
            Ok(()) => self.inside(&dir, &mut checks).await,
            Err(error) => {
                let message = format!("{} cannot be made: {error}", dir.display());
                checks.push(Check::error("workspace", message, "make room in the data directory"));
            }
        }
        if let Err(error) = crate::environment::sandbox::tree::remove_tree(&dir) {
            tracing::warn!(%error, dir = %dir.display(), "the directory of a test cannot be removed");
        }
        checks
    }

    async fn inside(&self, dir: &Path, checks: &mut Vec<Check>) {
        let Some(realised) = self.realise(dir, checks).await else { return };
        let Some(target) = self.target(&realised, checks).await else { return };
        let config: Option<AgentConfig> = self.agent.and_then(|a| serde_json::from_value(a.config.clone()).ok());
        terminal(&target, config.as_ref(), checks);
        self.command(&realised, &target, config.as_ref(), checks).await;
        self.clean(checks).await;
    }

    async fn realise(&self, dir: &Path, checks: &mut Vec<Check>) -> Option<Realised> {
        if self.is_here {
            return Some(Realised { cwd: dir.display().to_string(), sync: "none".into(), record: Value::Null });
        }
        let ask = RealiseAsk {
            run: None,
            attempt: 1,
            workspace: WorkspaceId(Uuid::now_v7()),
            mode: "shared_workspace".into(),
            cwd: PathBuf::from(dir),
            root: None,
            git_common_dir: None,
            branch: None,
            base_commit: None,
            timeout_ms: u64::try_from(REALISE_LIMIT.as_millis()).unwrap_or(u64::MAX),
        };
        let hint = "see whether its directory there can be written";
        match within(REALISE_LIMIT, self.driver.realise(self.held, &ask)).await {
            Answer::Done(realised) => {
                checks.push(Check::ok("workspace", format!("a workspace can be made there, at {}", realised.cwd)));
                Some(realised)
            }
            Answer::Refused { code, hint: why } => {
                checks.push(Check::error("workspace", format!("{code}: {why}"), hint));
                None
            }
            Answer::Unknown { evidence } => {
                checks.push(Check::error("workspace", evidence, hint));
                None
            }
        }
    }

    async fn target(&self, realised: &Realised, checks: &mut Vec<Check>) -> Option<Target> {
        match within(TARGET_LIMIT, self.driver.target(self.held, Some(realised))).await {
            Answer::Done(target) if target.is_here() && !self.is_here => {
                let message = "the driver names no command that leads there";
                checks.push(Check::error("target", message, "report this to whoever wrote the driver"));
                None
            }
            Answer::Done(target) => {
                checks.push(Check::ok("target", "commands can be run there"));
                Some(target)
            }
            Answer::Refused { code, hint } => {
                checks.push(Check::error(&code, hint, "correct the settings"));
                None
            }
            Answer::Unknown { evidence } => {
                checks.push(Check::error("transport_resolution_failed", evidence, "probe the environment"));
                None
            }
        }
    }

    async fn command(
        &self,
        realised: &Realised,
        target: &Target,
        config: Option<&AgentConfig>,
        checks: &mut Vec<Check>,
    ) {
        let program = program(config);
        let named = if let Program::Named(name) = &program { name.clone() } else { String::new() };
        let argv: Vec<String> = ["sh", "-c", SCRIPT, "sh", &named].map(str::to_owned).to_vec();
        let fallback = Path::new("/usr/local/bin");
        let allow =
            Allow { wharf_directory: self.program_dir.unwrap_or(fallback), pass_ssh_agent: false, has_terminal: false };
        let allowed = allowed(self.operator, allow);
        let own = own(config, &self.tag);
        let inside = Inside { argv: &argv, cwd: &realised.cwd, allowed: &allowed, own: &own, tty: false, here: "/" };
        let wrapped = elsewhere::wrap(target, &inside, &self.tag, u64::try_from(GRACE_MS).unwrap_or(0));
        let ran = match trial::run(&wrapped, COMMAND_LIMIT).await {
            Ok(ran) => ran,
            Err(error) => {
                checks.push(Check::error("starts", error, "probe the environment"));
                return;
            }
        };
        let said = |word: &str| ran.out.lines().find_map(|line| line.strip_prefix(word)).map(str::trim);
        let why = ran.err.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
        if said("wharf-done").is_none() || !ran.status.success() {
            let message = format!("a command ended with {} after {} ms: {why}", ran.status, ran.took.as_millis());
            checks.push(Check::error("starts", message, "probe the environment"));
            return;
        }
        checks.push(Check::ok("starts", format!("a command ran to its end in {} ms", ran.took.as_millis())));
        match (&program, said("wharf-found ")) {
            (Program::Named(name), Some(path)) => checks.push(Check::ok("adapter", format!("{name} is {path} there"))),
            (Program::Named(name), None) => {
                let message = format!("{name} is not found there");
                checks.push(Check::error(
                    "command_not_found",
                    message,
                    "install it there, or set PATH in the agent's env",
                ));
            }
            (Program::InWorkspace(name), _) => {
                let message = format!("{name} is looked for in each workspace and was not looked for here");
                checks.push(Check::ok("adapter", message));
            }
            (Program::None, _) => {}
        }
        match said("wharf-writable") {
            Some(_) => checks.push(Check::ok("writable", format!("{} can be written", realised.cwd))),
            None => {
                let message = format!("{} cannot be written: {why}", realised.cwd);
                checks.push(Check::error("writable", message, "see whose it is there"));
            }
        }
    }

    /// Ends whatever the command has left there.
    async fn clean(&self, checks: &mut Vec<Check>) {
        let mut found = Vec::new();
        if let Err(evidence) =
            ended::look(self.driver, self.held, Stop::new(&self.tag, GRACE_MS, false), &mut found).await
        {
            let message = format!("whether something of the test lives on is not known: {evidence}");
            checks.push(Check::warn("left", message, "it ends with the lease"));
        }
    }
}

/// What the agent sets itself, as far as it is no secret: where programs are looked for may be a part of it.
fn own(config: Option<&AgentConfig>, tag: &str) -> BTreeMap<String, String> {
    let set = config.into_iter().flat_map(|c| &c.env);
    let mut own: BTreeMap<String, String> = set
        .filter_map(|(name, value)| match value {
            EnvValue::Text(text) => Some((name.clone(), text.clone())),
            EnvValue::Secret { .. } => None,
        })
        .collect();
    own.insert("WHARF_TAG".into(), tag.to_owned());
    own
}

/// Whether there can be a terminal, which matters to an agent that wants one.
fn terminal(target: &Target, config: Option<&AgentConfig>, checks: &mut Vec<Check>) {
    let wants = config.is_some_and(|c| c.tty);
    checks.push(match (gives_terminal(target), wants) {
        (true, _) => Check::ok("terminal", "an agent can have a terminal there"),
        (false, false) => Check::ok("terminal", "agents have no terminal there; this one wants none"),
        (false, true) => Check::error(
            "unsupported_adapter_environment",
            "the agent wants a terminal, and there is none",
            "set tty = false, or choose another environment",
        ),
    });
}

fn program(config: Option<&AgentConfig>) -> Program {
    match config.map(|c| &c.adapter) {
        Some(AdapterConfig::Process(process)) if process.shell => Program::None,
        Some(AdapterConfig::Process(process)) if process.command.starts_with('/') => {
            Program::Named(process.command.clone())
        }
        Some(AdapterConfig::Process(process)) if process.command.contains('/') => {
            Program::InWorkspace(process.command.clone())
        }
        Some(AdapterConfig::Process(process)) => Program::Named(process.command.clone()),
        None => Program::None,
    }
}
