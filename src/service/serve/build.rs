//! What a service is started with: command, variables, and what is kept of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wharf_model::config::{CommandLine, EnvValue, Port, ProjectConfig, ServiceConfig};
use wharf_model::rules::reuse_key::env_fingerprint;
use wharf_model::rules::template::{Placeholder, Values, render};
use wharf_model::shim::{LogSpec, ShimKind, Spec, StartMessage, StdinMode};

use super::prepare::{Around, Held};
use crate::adapter::ConfiguredSecrets;
use crate::adapter::environment::{Allow, allowed, resolve};
use crate::run::keep::CannotStart;

/// The whole environment of a service.
#[derive(Clone)]
pub(super) struct Variables {
    pub env: BTreeMap<String, String>,
    /// Values of secrets among them.
    pub redact: Vec<String>,
}

/// Command and variables as the config has them, rendered, without any secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendered {
    pub argv: Vec<String>,
    pub shell: bool,
    /// Hash of the variables that the config sets; secrets stand in it by their names.
    pub fingerprint: String,
}

/// Renders what the config says.
pub(super) fn rendered(config: &ServiceConfig, values: &Values) -> Result<Rendered, String> {
    let text = |template: &str| render(template, Placeholder::FOR_SERVICE, values);
    let (words, shell) = match &config.command {
        CommandLine::Shell(line) => (std::slice::from_ref(line), true),
        CommandLine::Argv(words) => (words.as_slice(), false),
    };
    let argv = words.iter().map(|word| text(word).map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()?;
    let mut env = BTreeMap::new();
    for (name, value) in &config.env {
        let value = match value {
            EnvValue::Text(value) => text(value).map_err(|e| format!("{name}: {e}"))?,
            EnvValue::Secret { name } => format!("secret:{name}"),
        };
        env.insert(name.clone(), value);
    }
    Ok(Rendered { argv, shell, fingerprint: env_fingerprint(&env) })
}

/// Looks up and renders all variables. Secrets that are commands are run.
pub(super) fn variables(around: &Around) -> Result<Variables, String> {
    let Around { ctx, service, project, config, values, .. } = around;
    let accepted: ProjectConfig = project
        .config
        .clone()
        .ok_or_else(|| "the project has no accepted config".to_owned())
        .and_then(|c| serde_json::from_value(c).map_err(|e| format!("the accepted config cannot be read: {e}")))?;
    let mut secrets = ConfiguredSecrets::new(&accepted.secrets, &ctx.operator, Path::new(&project.path));
    let own = resolve(&config.env, &mut secrets).map_err(|e| e.to_string())?;
    let fallback = Path::new("/usr/local/bin");
    let allow = Allow {
        wharf_directory: ctx.program_dir.as_deref().unwrap_or(fallback),
        pass_ssh_agent: false,
        has_terminal: false,
    };
    let mut env: BTreeMap<String, String> = allowed(&ctx.operator, allow);
    env.insert("WHARF_SERVICE_ID".into(), service.id.text());
    env.insert("WHARF_SERVICE_NAME".into(), service.name.clone());
    env.insert("WHARF_TAG".into(), tag(around));
    for (name, value) in own.env {
        // A secret is no template: its output is searched for the value as it is.
        let is_template = matches!(config.env.get(&name), Some(EnvValue::Text(_)));
        let value = if is_template {
            render(&value, Placeholder::FOR_SERVICE, values).map_err(|e| format!("{name}: {e}"))?
        } else {
            value
        };
        env.insert(name, value);
    }
    if let (Port::Auto { env: name } | Port::Fixed { env: name, .. }, Some(port)) =
        (&config.port, values.get(Placeholder::Port))
    {
        env.insert(name.clone(), port.to_owned());
    }
    Ok(Variables { env, redact: own.redact })
}

fn tag(around: &Around) -> String {
    format!("service/{}/{}", around.service.id, around.service.generation)
}

/// What its shim is told. The socket of its port is given up as late as can be: the service takes it next.
pub(super) fn build(
    around: &Around,
    held: &Arc<std::sync::Mutex<Option<Held>>>,
) -> Result<(Spec, StartMessage), CannotStart> {
    let broken = |message: String| CannotStart { code: "service_start_failed".into(), message };
    let Around { ctx, service, config, .. } = around;
    if !Path::new(&service.cwd).is_dir() {
        return Err(CannotStart {
            code: "cwd_missing".into(),
            message: format!("the directory {} of service {} is not there", service.cwd, service.name),
        });
    }
    let Rendered { argv, shell, .. } = rendered(config, &around.values).map_err(broken)?;
    let Variables { env, redact } = match around.variables.get() {
        Some(known) => known.clone(),
        None => {
            let made = variables(around).map_err(broken)?;
            around.variables.get_or_init(|| made).clone()
        }
    };
    let spec = Spec {
        v: 1,
        kind: ShimKind::Service,
        id: service.id.text(),
        attempt: service.generation,
        epoch: ctx.keeper.epoch,
        argv,
        cwd: service.cwd.clone(),
        env_names: env.keys().cloned().collect(),
        shell,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: None,
        grace_ms: u64::try_from(service.grace_ms).unwrap_or(10_000),
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag: tag(around),
        redact_count: u32::try_from(redact.len()).unwrap_or(u32::MAX),
        stop_signal: Some(config.stop.signal.clone()),
        keep: Vec::new(),
        boot_id: None,
    };
    if let Ok(mut held) = held.lock() {
        *held = held.take().map(Held::give_up);
    }
    Ok((spec, StartMessage { env, stdin: None, redact, token: None }))
}
