//! Commands of the project about a workspace: provision, teardown, clean-up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use wharf_model::rules::workspace_environment::{WorkspaceEnvironment, inherited};

use super::worktree::CommandSpec;

/// How long such a command may take when config does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Builds the command: `$SHELL -c <command>` in the workspace, with the allow-listed part of the
/// operator's environment, `program_dir` (of `wharf`) at the end of PATH, and the `WHARF_*`
/// variables about the workspace. A zero time-out means
/// the default: such a command never waits for ever.
pub fn command(
    command: &str,
    cwd: &Path,
    operator: &BTreeMap<String, String>,
    program_dir: Option<&str>,
    facts: &WorkspaceEnvironment,
    timeout: Option<Duration>,
) -> CommandSpec {
    let env = operators(operator, program_dir);
    // A relative $SHELL would be looked up in the workspace, where an agent may have put one.
    let shell = env.get("SHELL").filter(|s| s.starts_with('/')).map_or("/bin/sh", String::as_str);
    CommandSpec {
        argv: [shell, "-c", command].map(OsString::from).to_vec(),
        cwd: cwd.to_owned(),
        timeout: timeout.filter(|t| !t.is_zero()).unwrap_or(DEFAULT_TIMEOUT),
        env: env.iter().chain(&facts.variables()).map(|(k, v)| (k.into(), v.into())).collect(),
    }
}

/// The same for a place beside this machine: its directory is one of there, its shell the operator's where that is
/// found there, and its variables only those about the workspace. [`operators`] has the others.
pub fn command_there(
    command: &str,
    cwd: &str,
    shell: Option<&str>,
    facts: &WorkspaceEnvironment,
    timeout: Option<Duration>,
) -> CommandSpec {
    let shell = shell.filter(|s| s.starts_with('/')).unwrap_or("/bin/sh");
    CommandSpec {
        argv: [shell, "-c", command].map(OsString::from).to_vec(),
        cwd: cwd.into(),
        timeout: timeout.filter(|t| !t.is_zero()).unwrap_or(DEFAULT_TIMEOUT),
        env: facts.variables().iter().map(|(k, v)| (k.into(), v.into())).collect(),
    }
}

/// What such a command gets of the operator's environment.
pub fn operators(operator: &BTreeMap<String, String>, program_dir: Option<&str>) -> BTreeMap<String, String> {
    inherited(operator.iter().map(|(k, v)| (k.as_str(), v.as_str())), program_dir, false, false)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn runs_in_the_workspace_and_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let operator = BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("SHELL".to_owned(), "bin/evil".to_owned()),
            ("TOKEN".to_owned(), "secret".to_owned()),
        ]);
        let facts = WorkspaceEnvironment { branch: Some("b".into()), created: Some(true), ..Default::default() };
        let text =
            "printf '%s|%s|%s|%s' \"$PWD\" \"$WHARF_WORKSPACE_BRANCH\" \"$WHARF_WORKSPACE_CREATED\" \"${TOKEN-unset}\"";
        let cwd = dir.path().canonicalize().unwrap();
        let spec = command(text, &cwd, &operator, None, &facts, Some(Duration::ZERO));
        assert_eq!(spec.timeout, DEFAULT_TIMEOUT);
        let output = Command::new(&spec.argv[0])
            .args(&spec.argv[1..])
            .current_dir(&spec.cwd)
            .env_clear()
            .envs(&spec.env)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}|b|true|unset", cwd.display()));
    }
}
