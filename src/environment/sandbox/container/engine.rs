//! The command line of podman or docker, and what it answers.

use std::collections::BTreeMap;

use serde_json::Value;
use wharf_model::config::driver::SandboxProvider;

use super::super::program::{self, Said};
use crate::environment::driver::Site;

/// Variables of the operator that say where an engine is and where it keeps its things.
const NEEDED: [&str; 12] = [
    "HOME",
    "PATH",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "CONTAINER_HOST",
];
const NEEDED_PREFIX: &str = "CONTAINERS_";

/// An engine as the operator has it.
#[derive(Debug, Clone)]
pub struct Engine {
    kind: SandboxProvider,
    program: Option<String>,
    env: BTreeMap<String, String>,
}

/// A container as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// `created`, `running`, `exited`, `paused` …
    pub status: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// The one that the settings name.
    pub fn new(kind: SandboxProvider, site: &Site) -> Self {
        let needed = |name: &str| NEEDED.contains(&name) || name.starts_with(NEEDED_PREFIX);
        let env = site.operator.iter().filter(|(name, _)| needed(name)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let program = program::find(site, kind.as_str()).and_then(|path| path.to_str().map(str::to_owned));
        Self { kind, program, env }
    }

    /// Which one it is.
    pub const fn kind(&self) -> SandboxProvider {
        self.kind
    }

    /// Its program.
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// What of the operator's environment it needs.
    pub const fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// What is said when there is no such program.
    pub fn not_found(&self) -> String {
        format!("the program {} is not on the path; install it, or choose another provider", self.kind)
    }

    /// Runs one of its commands.
    ///
    /// # Errors
    /// In words: why nothing was run.
    pub async fn call<S: AsRef<str>>(&self, words: &[S]) -> Result<Said, String> {
        program::run(&self.argv(words)?, &self.env, None).await
    }

    /// Runs one of its commands that change a container, to its end also when this is dropped: an engine that is
    /// killed in the midst of a start forgets the process that it has begun.
    ///
    /// # Errors
    /// In words: why nothing was run.
    pub async fn change<S: AsRef<str>>(&self, words: &[S]) -> Result<Said, String> {
        program::run_whole(&self.argv(words)?, &self.env).await
    }

    fn argv<S: AsRef<str>>(&self, words: &[S]) -> Result<Vec<String>, String> {
        let program = self.program.clone().ok_or_else(|| self.not_found())?;
        Ok(std::iter::once(program).chain(words.iter().map(|word| word.as_ref().to_owned())).collect())
    }

    /// [`Engine::call`] where anything but success is an error, in the engine's own words.
    ///
    /// # Errors
    /// In words.
    pub async fn must<S: AsRef<str>>(&self, words: &[S]) -> Result<Said, String> {
        self.succeeded(words, self.call(words).await?)
    }

    /// [`Engine::change`] where anything but success is an error, in the engine's own words.
    ///
    /// # Errors
    /// In words.
    pub async fn must_change<S: AsRef<str>>(&self, words: &[S]) -> Result<Said, String> {
        self.succeeded(words, self.change(words).await?)
    }

    fn succeeded<S: AsRef<str>>(&self, words: &[S], said: Said) -> Result<Said, String> {
        if said.ok() { Ok(said) } else { Err(format!("{} {}: {}", self.kind, words[0].as_ref(), trouble(&said))) }
    }

    /// Looks a container up by its name; `None` only when the engine says that there is none.
    ///
    /// # Errors
    /// In words: it is then unknown.
    pub async fn look(&self, name: &str) -> Result<Option<Known>, String> {
        let said = self.call(&["container", "inspect", name]).await?;
        if !said.ok() {
            return if is_absent(&said) { Ok(None) } else { Err(format!("{}: {}", self.kind, trouble(&said))) };
        }
        let told: Value = serde_json::from_str(&said.out)
            .map_err(|error| format!("{} says of {name} what cannot be read: {error}", self.kind))?;
        let status = told[0]["State"]["Status"].as_str();
        let status = status.ok_or_else(|| format!("{} says nothing of the state of {name}", self.kind))?.to_owned();
        let labels = told[0]["Config"]["Labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
        Ok(Some(Known { status, labels }))
    }

    /// Names of all containers with a label, running or not.
    ///
    /// # Errors
    /// In words.
    pub async fn names(&self, label: &str) -> Result<Vec<String>, String> {
        let filter = format!("label={label}");
        let said = self.must(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]).await?;
        Ok(said.out.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }
}

/// Whether an engine says that there is no such container, or image.
pub fn is_absent(said: &Said) -> bool {
    let text = said.err.to_lowercase();
    [
        "no such container",
        "no container with name or id",
        "no such object",
        "no such image",
        "image not known",
        "failed to find image",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// The line that says what is wrong: engines warn of other things first.
pub fn trouble(said: &Said) -> String {
    let error = said.err.lines().map(str::trim).find(|line| line.starts_with("Error") || line.contains("level=error"));
    error.map_or_else(|| said.line(), |line| line.chars().take(400).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_so_is_absent() {
        let said = |err: &str| Said { code: 125, out: "[]\n".into(), err: err.into() };
        for absent in [
            "Error: inspecting object: no such container wharf-1",
            "Error: No such container: wharf-1",
            "Error: no container with name or ID \"x\" found: no such container",
            "Error: inspecting object: x: image not known",
        ] {
            assert!(is_absent(&said(absent)), "{absent}");
        }
        for unknown in ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "", "permission denied"]
        {
            assert!(!is_absent(&said(unknown)), "{unknown}");
        }
        assert_eq!(trouble(&said("time=1 level=warning msg=x\nError: it")), "Error: it");
    }
}
