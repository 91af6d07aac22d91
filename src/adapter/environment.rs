//! The environment of a child (contracts 7): few of the operator's variables, those that tell it
//! where it is, and the agent's or service's own. Nothing else of the operator's ever gets through.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use wharf_model::config::EnvValue;
use wharf_model::rules::workspace_environment::inherited;

use super::secret::{SecretError, SecretSource};

/// What decides about the operator's variables.
#[derive(Debug, Clone, Copy)]
pub struct Allow<'a> {
    /// Directory of the running `wharf`, so that a child finds it.
    pub wharf_directory: &'a Path,
    /// Whether the child may use the operator's ssh agent.
    pub pass_ssh_agent: bool,
    /// Whether the child gets a terminal.
    pub has_terminal: bool,
}

/// The operator's variables that a child gets, and those that say how it may write.
pub fn allowed(operator: &BTreeMap<String, String>, allow: Allow<'_>) -> BTreeMap<String, String> {
    let variables = operator.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut env = inherited(variables, allow.wharf_directory.to_str(), allow.pass_ssh_agent, allow.has_terminal);
    // Output is kept and shown with its colours, although the child sees no terminal.
    if !allow.has_terminal {
        env.insert("FORCE_COLOR".into(), "1".into());
        env.insert("CLICOLOR_FORCE".into(), "1".into());
    }
    env
}

/// A service as a run is told about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct ServiceFacts {
    /// Its id.
    pub id: String,
    /// Its number, by which `wharf logs` shows its output.
    pub number: String,
    /// Its name.
    pub name: String,
    /// Where it is reached, when it has an address.
    pub url: Option<String>,
    /// Its port, when it has one.
    pub port: Option<u16>,
}

/// What a run is told about itself; ids in their stored form. Whatever is `None` or empty is unset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each field is the variable of the same name with WHARF_ before it (contracts 7)")]
pub struct RunFacts {
    pub run_id: String,
    pub run_number: String,
    pub attempt: u32,
    pub tag: String,
    pub agent_id: String,
    pub agent_name: String,
    pub agent_home: Option<String>,
    pub company_id: String,
    pub project_id: Option<String>,
    pub project_key: Option<String>,
    pub issue_id: Option<String>,
    pub issue_identifier: Option<String>,
    pub issue_title: Option<String>,
    pub wake_reason: Option<String>,
    pub wake_comment_id: Option<String>,
    pub prompt_file: Option<String>,
    pub continuation_file: Option<String>,
    pub workspace_id: Option<String>,
    pub workspace_cwd: Option<String>,
    pub workspace_path: Option<String>,
    pub workspace_worktree_path: Option<String>,
    pub workspace_branch: Option<String>,
    pub workspace_base_cwd: Option<String>,
    pub workspace_repo_root: Option<String>,
    pub workspace_repo_url: Option<String>,
    pub workspace_repo_ref: Option<String>,
    pub workspace_source: Option<String>,
    pub workspace_created: Option<bool>,
    pub project_workspace_id: Option<String>,
    pub lease_id: Option<String>,
    pub lease_fence: Option<i64>,
    pub environment_id: Option<String>,
    pub environment_name: Option<String>,
    pub environment_driver: Option<String>,
    pub services: Vec<ServiceFacts>,
    pub primary_url: Option<String>,
    pub agent_socket: Option<String>,
    pub token: Option<String>,
}

impl RunFacts {
    /// The `WHARF_*` variables of the run.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let attempt = self.attempt.to_string();
        let fence = self.lease_fence.map(|fence| fence.to_string());
        let created = self.workspace_created.map(|created| created.to_string());
        let services = (!self.services.is_empty())
            // Texts and numbers only: there is nothing in a service that JSON cannot hold.
            .then(|| serde_json::to_string(&self.services).unwrap_or_default());
        let pairs: [(&str, Option<&str>); 38] = [
            ("RUN_ID", Some(&self.run_id)),
            ("RUN_NUMBER", Some(&self.run_number)),
            ("ATTEMPT", Some(&attempt)),
            ("TAG", Some(&self.tag)),
            ("AGENT_ID", Some(&self.agent_id)),
            ("AGENT_NAME", Some(&self.agent_name)),
            ("AGENT_HOME", self.agent_home.as_deref()),
            ("COMPANY_ID", Some(&self.company_id)),
            ("PROJECT_ID", self.project_id.as_deref()),
            ("PROJECT_KEY", self.project_key.as_deref()),
            ("ISSUE_ID", self.issue_id.as_deref()),
            ("ISSUE_IDENTIFIER", self.issue_identifier.as_deref()),
            ("ISSUE_TITLE", self.issue_title.as_deref()),
            ("WAKE_REASON", self.wake_reason.as_deref()),
            ("WAKE_COMMENT_ID", self.wake_comment_id.as_deref()),
            ("PROMPT_FILE", self.prompt_file.as_deref()),
            ("CONTINUATION_FILE", self.continuation_file.as_deref()),
            ("WORKSPACE_ID", self.workspace_id.as_deref()),
            ("WORKSPACE_CWD", self.workspace_cwd.as_deref()),
            ("WORKSPACE_PATH", self.workspace_path.as_deref()),
            ("WORKSPACE_WORKTREE_PATH", self.workspace_worktree_path.as_deref()),
            ("WORKSPACE_BRANCH", self.workspace_branch.as_deref()),
            ("WORKSPACE_BASE_CWD", self.workspace_base_cwd.as_deref()),
            ("WORKSPACE_REPO_ROOT", self.workspace_repo_root.as_deref()),
            ("WORKSPACE_REPO_URL", self.workspace_repo_url.as_deref()),
            ("WORKSPACE_REPO_REF", self.workspace_repo_ref.as_deref()),
            ("WORKSPACE_SOURCE", self.workspace_source.as_deref()),
            ("WORKSPACE_CREATED", created.as_deref()),
            ("PROJECT_WORKSPACE_ID", self.project_workspace_id.as_deref()),
            ("LEASE_ID", self.lease_id.as_deref()),
            ("LEASE_FENCE", fence.as_deref()),
            ("ENVIRONMENT_ID", self.environment_id.as_deref()),
            ("ENVIRONMENT_NAME", self.environment_name.as_deref()),
            ("ENVIRONMENT_DRIVER", self.environment_driver.as_deref()),
            ("SERVICES_JSON", services.as_deref()),
            ("PRIMARY_URL", self.primary_url.as_deref()),
            ("AGENT_SOCKET", self.agent_socket.as_deref()),
            ("TOKEN", self.token.as_deref()),
        ];
        let mut env = BTreeMap::new();
        for (name, value) in pairs {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                env.insert(format!("WHARF_{name}"), carried(value));
            }
        }
        for service in &self.services {
            let name = variable_part(&service.name);
            // Of two services whose names become the same here the first one keeps the variable;
            // WHARF_SERVICES_JSON has both.
            if let Some(url) = service.url.as_deref().filter(|url| !url.is_empty()) {
                env.entry(format!("WHARF_SERVICE_{name}_URL")).or_insert_with(|| carried(url));
            }
            if let Some(port) = service.port {
                env.entry(format!("WHARF_SERVICE_{name}_PORT")).or_insert_with(|| port.to_string());
            }
        }
        env
    }
}

/// A text as an environment can carry it: without NUL.
fn carried(text: &str) -> String {
    text.replace('\0', "")
}

/// A service's name as part of a variable's name: capitals, digits and `_`.
pub fn variable_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Variables of an agent or service with their secrets looked up.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Names and values.
    pub env: BTreeMap<String, String>,
    /// The values that must not appear in output, each once.
    pub redact: Vec<String>,
}

impl std::fmt::Debug for Resolved {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved").field("env", &self.env.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// Looks up the secrets of an `env` table; each secret is asked for once.
pub fn resolve(env: &BTreeMap<String, EnvValue>, source: &mut dyn SecretSource) -> Result<Resolved, SecretError> {
    let mut known: BTreeMap<&str, String> = BTreeMap::new();
    let mut resolved = Resolved::default();
    for (variable, value) in env {
        let value = match value {
            EnvValue::Text(text) => text.clone(),
            EnvValue::Secret { name } => match known.get(name.as_str()) {
                Some(value) => value.clone(),
                None => {
                    let value = source.resolve(name)?.reveal().to_owned();
                    known.insert(name, value.clone());
                    value
                }
            },
        };
        resolved.env.insert(variable.clone(), value);
    }
    resolved.redact = known.into_values().collect();
    resolved.redact.sort_unstable();
    resolved.redact.dedup();
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secret;
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn allow(pass_ssh_agent: bool, has_terminal: bool) -> Allow<'static> {
        Allow { wharf_directory: Path::new("/opt/wharf"), pass_ssh_agent, has_terminal }
    }

    #[test]
    fn only_what_is_allowed_gets_through() {
        let operator = map(&[
            ("PATH", "/bin"),
            ("HOME", "/h"),
            ("LC_ALL", "C"),
            ("SSH_AUTH_SOCK", "/s"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("LD_PRELOAD", "x"),
            ("WHARF_TOKEN", "of another run"),
            ("TERM", "xterm-kitty"),
            ("NO_COLOR", "1"),
        ]);
        let expected = map(&[
            ("PATH", "/bin:/opt/wharf"),
            ("HOME", "/h"),
            ("LC_ALL", "C"),
            ("TERM", "dumb"),
            ("FORCE_COLOR", "1"),
            ("CLICOLOR_FORCE", "1"),
        ]);
        assert_eq!(allowed(&operator, allow(false, false)), expected);
        let more = allowed(&operator, allow(true, true));
        assert_eq!((more["SSH_AUTH_SOCK"].as_str(), more["TERM"].as_str()), ("/s", "xterm-256color"));
        // A program that sees a terminal needs no word about colours.
        assert!(!more.contains_key("FORCE_COLOR"));
        assert_eq!(more.len(), expected.len() - 1);
    }

    #[test]
    fn path_table() {
        let table = [
            (None, "/w", "/usr/local/bin:/usr/bin:/bin:/w"),
            (Some(""), "/w", "/usr/local/bin:/usr/bin:/bin:/w"),
            (Some("/a:/w:/b"), "/w", "/a:/w:/b"),
            (Some("/a"), "/w:x", "/a"),
            (Some("/a"), "", "/a"),
        ];
        for (path, directory, expected) in table {
            let operator = path.map(|p| ("PATH".to_owned(), p.to_owned())).into_iter().collect();
            let allow = Allow { wharf_directory: Path::new(directory), pass_ssh_agent: false, has_terminal: false };
            assert_eq!(allowed(&operator, allow)["PATH"], expected);
        }
    }

    #[test]
    fn a_run_is_told_what_there_is_to_say() {
        let service = |name: &str, url: Option<&str>, port| ServiceFacts {
            id: "i".into(),
            number: "S-1".into(),
            name: name.into(),
            url: url.map(Into::into),
            port,
        };
        let facts = RunFacts {
            run_id: "u".into(),
            run_number: "R-1".into(),
            attempt: 2,
            tag: "t".into(),
            agent_name: "fixer".into(),
            issue_title: Some("a\0b".into()),
            workspace_created: Some(false),
            lease_fence: Some(7),
            services: vec![
                service("docs-preview", Some("http://x/"), Some(80)),
                service("docs.preview", None, Some(81)),
            ],
            ..RunFacts::default()
        };
        let env = facts.variables();
        let json = r#"[{"id":"i","number":"S-1","name":"docs-preview","url":"http://x/","port":80},{"id":"i","number":"S-1","name":"docs.preview","url":null,"port":81}]"#;
        let expected = map(&[
            ("WHARF_RUN_ID", "u"),
            ("WHARF_RUN_NUMBER", "R-1"),
            ("WHARF_ATTEMPT", "2"),
            ("WHARF_TAG", "t"),
            ("WHARF_AGENT_NAME", "fixer"),
            ("WHARF_ISSUE_TITLE", "ab"),
            ("WHARF_WORKSPACE_CREATED", "false"),
            ("WHARF_LEASE_FENCE", "7"),
            ("WHARF_SERVICES_JSON", json),
            ("WHARF_SERVICE_DOCS_PREVIEW_URL", "http://x/"),
            ("WHARF_SERVICE_DOCS_PREVIEW_PORT", "80"),
        ]);
        assert_eq!(env, expected);
    }

    struct Counting(u32);
    impl SecretSource for Counting {
        fn resolve(&mut self, name: &str) -> Result<Secret, SecretError> {
            self.0 += 1;
            match name {
                "k" => Ok(Secret::new("hunter2hunter2".into())),
                _ => Err(SecretError::Unknown { name: name.into() }),
            }
        }
    }

    #[test]
    fn secrets_are_asked_for_once_and_listed_for_redaction() {
        let secret = |name: &str| EnvValue::Secret { name: name.into() };
        let env = BTreeMap::from([
            ("A".to_owned(), secret("k")),
            ("B".to_owned(), secret("k")),
            ("C".to_owned(), EnvValue::Text("plain".into())),
        ]);
        let mut source = Counting(0);
        let resolved = resolve(&env, &mut source).unwrap();
        assert_eq!(source.0, 1);
        assert_eq!(resolved.env, map(&[("A", "hunter2hunter2"), ("B", "hunter2hunter2"), ("C", "plain")]));
        assert_eq!(resolved.redact, ["hunter2hunter2"]);
        assert!(!format!("{resolved:?}").contains("hunter2"));
        let unknown = BTreeMap::from([("A".to_owned(), secret("x"))]);
        assert_eq!(resolve(&unknown, &mut source).unwrap_err(), SecretError::Unknown { name: "x".into() });
    }
}
