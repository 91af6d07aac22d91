//! What a service's settings are as a whole: keys that contradict each other or would have no effect, and what two
//! services cannot both have.

use std::collections::BTreeMap;
use std::ops::Range;

use wharf_model::config::{Desired, Lifecycle, Port, Reuse, ServiceConfig, StopPolicy};
use wharf_model::rules::workspace_environment::is_inherited;

use crate::adapter::environment::variable_part;
use crate::config::reader::{Reader, Section};
use crate::config::text;

/// What a service takes that no other can have as well, and where that stands.
#[derive(Debug)]
pub(in crate::config) struct Taken {
    name: String,
    name_at: Option<Range<usize>>,
}

/// Whether a port's variable would stand before one that the process needs for something else.
pub(super) fn is_reserved(variable: &str) -> bool {
    variable.starts_with("WHARF_") || is_inherited(variable, true) || matches!(variable, "TERM" | "PWD" | "IFS")
}

/// The policy of one that nobody can use after its run.
pub(super) fn stop_policy(service: &ServiceConfig) -> StopPolicy {
    if belongs_to_a_run(service) { StopPolicy::OnRunFinish } else { service.stop.policy }
}

fn belongs_to_a_run(service: &ServiceConfig) -> bool {
    service.lifecycle == Lifecycle::Ephemeral || service.reuse == Reuse::Run
}

/// Reports what is written and would not be so.
pub(super) fn check(reader: &mut Reader<'_>, section: &Section<'_, '_>, service: &ServiceConfig) {
    let of_a_run =
        if service.lifecycle == Lifecycle::Ephemeral { "lifecycle = \"ephemeral\"" } else { "reuse = \"run\"" };
    if belongs_to_a_run(service) {
        let policy = section.value("stop").and_then(|stop| stop.get_ref().as_table()?.get("policy"));
        if let Some(policy) = policy.filter(|p| p.get_ref().as_str() == Some(StopPolicy::Manual.as_str())) {
            let message = format!("policy = \"manual\" has no effect with {of_a_run}: nobody can use it after its run");
            reader.wrong(policy.span(), message, "expected \"on_run_finish\", or no line");
        }
        if let Some(desired) = section.value("desired").filter(|_| service.desired != Desired::Manual) {
            let message = format!("desired = \"{}\" has no effect with {of_a_run}", service.desired);
            reader.wrong(desired.span(), message, "expected \"manual\", or no line: it runs when its run does");
        }
    }
    let (Port::Auto { env } | Port::Fixed { env, .. }) = &service.port else { return };
    let own = section.value("env").and_then(|value| value.get_ref().as_table()?.get_key_value(env.as_str()));
    if let Some((name, _)) = own {
        let message = format!("{env} is the variable that tells the service its port");
        reader.wrong(name.span(), message, "remove it, or name another one: port = { auto = true, env = \"…\" }");
    }
}

/// What this service takes.
pub(super) fn taken(section: &Section<'_, '_>, service: &ServiceConfig) -> Taken {
    Taken { name: service.name.clone(), name_at: section.value("name").map(toml::Spanned::span) }
}

/// Reports what two services of a file both take. One port may be that of several: they stand for each other, and whoever
/// comes second is told who has it.
pub(in crate::config) fn check_all(reader: &mut Reader<'_>, all: &[Taken]) {
    let mut variables = BTreeMap::new();
    for taken in all {
        let Some(at) = &taken.name_at else { continue };
        let variable = format!("WHARF_SERVICE_{}_URL", variable_part(&taken.name));
        match variables.get(&variable) {
            Some(first) if *first != taken.name => {
                let message =
                    format!("{:?} has the variable {variable}, which service {first:?} has already", taken.name);
                reader.wrong(at.clone(), message, "expected a name that differs in more than signs and capitals");
            }
            Some(_) => {}
            None => drop(variables.insert(variable, taken.name.clone())),
        }
    }
}

/// Whether an address that is written can be one; `{{…}}` in it stands for a number. Of these schemes.
pub(super) fn is_address(written: &str, schemes: &[&str]) -> Result<(), &'static str> {
    let mut rendered = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("{{") {
        rendered.push_str(before);
        rendered.push('1');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    rendered.push_str(rest);
    text::web_address(&rendered, schemes)
}
