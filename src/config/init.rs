//! The `wharf.toml` that is written for a repository which has none.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::PROJECT_FILE;
use super::text::key_from;

/// What is known about the directory that a config is written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFacts {
    /// Name of the directory.
    pub name: String,
    /// Whether it is a git repository with a commit, so that worktrees can be made.
    pub has_commit: bool,
    /// Branch that work begins at, when the repository tells.
    pub base_ref: Option<String>,
}

/// Why no config was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{} is there already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The commented text of a first config: one agent that runs as it stands and needs nothing but a
/// shell. It loads without a problem.
pub fn init_text(facts: &RepoFacts) -> String {
    let key = key_from(&facts.name);
    let name = quoted(&facts.name);
    let mode = if facts.has_commit {
        "mode = \"isolated_workspace\"      # each run works in a git worktree of its own\n\
         branch = \"{{issue.identifier}}-{{slug}}\"\n"
    } else {
        "mode = \"shared_workspace\"        # all runs work here; isolated_workspace needs git and a commit\n"
    };
    let base_ref = match &facts.base_ref {
        Some(base) if facts.has_commit && is_plain(base) => format!("base_ref = {}\n", quoted(base)),
        Some(_) | None => String::new(),
    };
    format!(
        r#"# What wharf may run here. `wharf config check` judges this file; `wharf config show` tells
# where each value comes from. A change of anything that can execute waits for your acceptance.

[project]
key = "{key}"                        # issues are called {key}-1, {key}-2, …
name = {name}

[workspace]
{mode}{base_ref}# provision = "./scripts/setup"      # runs in each workspace before a run does
concurrency = "serialise"          # in a shared workspace runs wait for each other

# An agent is a program. This one shows what it was told and where it works; put your own in its place.
[[agent]]
name = "hello"
adapter = "process"
concurrent_runs = 1
timeout = "10m"                    # 0s = no limit
grace = "15s"                      # between the polite signal and the other one
prompt = {{ text = "Say where you are and what is in there." }}
# limits = {{ processes = 200, memory = "4GiB" }}   # of one run, where the kernel offers it; wharf doctor tells
# env = {{ API_KEY = {{ secret = "api-key" }} }}
[agent.config]
command = "echo \"$WHARF_RUN_NUMBER in $PWD\"; cat; echo; ls"
shell = true                       # false: command is a program, args = ["…"] its arguments
stdin = "prompt"                   # none | prompt | {{ text = "…" }}

# A service outlives the runs that use it; its address reaches them as WHARF_SERVICE_WEB_URL.
# [[service]]
# name = "web"
# command = "python3 -m http.server $PORT"
# port = "auto"
# ready = {{ http = "http://127.0.0.1:{{{{port}}}}/" }}
# stop = {{ policy = "idle_timeout", idle = "30m" }}

# Where runs may run beside this machine, which is Local; `wharf env probe box-1` looks at it.
# [[environment]]
# name = "box-1"
# driver = "ssh"                   # or sandbox, plugin
# slots = 2
# [environment.config]
# host = "box-1"                   # as your own ssh config knows it

# A secret is looked up at each start, never kept, and starred out of the output.
# [secret.api-key]
# env = "API_KEY"                  # or file = "…", or command = ["pass", "show", "api-key"]
"#
    )
}

/// Writes the text into a directory, unless there is a config already; a link in its place is left
/// alone too.
pub fn write_init(directory: &Path, facts: &RepoFacts) -> Result<PathBuf, InitError> {
    let path = directory.join(PROJECT_FILE);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(init_text(facts).as_bytes()).and_then(|()| file.sync_all()));
    match written {
        Ok(()) => Ok(path),
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => Err(InitError::Exists { path }),
        Err(source) => Err(InitError::Write { path, source }),
    }
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    let text = if text.is_empty() { "project" } else { text };
    toml::Value::String(text.replace('\0', "")).to_string()
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use wharf_model::config::{AdapterConfig, WorkspaceMode};

    use super::super::parse_project;
    use super::*;

    #[test]
    fn what_is_written_loads() {
        let names = ["shop", "a \"quoted\\\" name", "日本", "", "7", "tab\tand\nline"];
        for name in names {
            for has_commit in [false, true] {
                let facts = RepoFacts { name: name.into(), has_commit, base_ref: Some("main".into()) };
                let text = init_text(&facts);
                let (config, _) = parse_project(&text, PROJECT_FILE, name).unwrap_or_else(|e| panic!("{e}\n{text}"));
                assert_eq!(config.workspace.base_ref.is_some(), has_commit);
                let mode = if has_commit { WorkspaceMode::Isolated } else { WorkspaceMode::Shared };
                assert_eq!(config.workspace.mode, Some(mode));
                let AdapterConfig::Process(process) = &config.agents[0].adapter;
                assert!(process.shell);
            }
        }
    }

    /// The lines that are commented out are right too, once their mark is taken away.
    #[test]
    fn the_commented_examples_load() {
        let facts = RepoFacts { name: "shop".into(), has_commit: true, base_ref: None };
        let bare = |line: &str| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        };
        let text: String = init_text(&facts).lines().map(bare).collect();
        let (config, _) = parse_project(&text, PROJECT_FILE, "shop").unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!((config.services.len(), config.secrets.len(), config.agents[0].env.len()), (1, 1, 1));
        assert_eq!((config.environments.len(), config.environments[0].slots), (1, Some(2)));
        assert!(config.workspace.provision.is_some());
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let facts = RepoFacts { name: "shop".into(), has_commit: false, base_ref: None };
        let path = write_init(dir.path(), &facts).unwrap();
        std::fs::write(&path, "# mine").unwrap();
        assert!(matches!(write_init(dir.path(), &facts), Err(InitError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        assert!(matches!(write_init(dir.path(), &facts), Err(InitError::Exists { .. })));
    }
}
