//! The environment of children that work in a workspace: what is let through from the operator's,
//! and the `WHARF_*` variables about the workspace.

use std::collections::BTreeMap;

const ALLOWED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];

/// Whether a variable of the operator's environment reaches children at all.
pub fn is_inherited(name: &str, pass_ssh_agent: bool) -> bool {
    ALLOWED.contains(&name) || name.starts_with("LC_") || (pass_ssh_agent && name == "SSH_AUTH_SOCK")
}

/// Searched for programs when the operator has no PATH.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The inherited part of a child's environment: the allow-list and nothing else, plus a TERM that
/// is true for the child. `program_dir` is where `wharf` lies; it ends the child's PATH, so that
/// the child finds `wharf` and nothing in that directory hides another program.
pub fn inherited<'a>(
    operator: impl IntoIterator<Item = (&'a str, &'a str)>,
    program_dir: Option<&str>,
    pass_ssh_agent: bool,
    tty: bool,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = operator
        .into_iter()
        .filter(|(name, _)| is_inherited(name, pass_ssh_agent))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let path = env.entry("PATH".to_owned()).or_default();
    if path.is_empty() {
        DEFAULT_PATH.clone_into(path);
    }
    // A directory with a colon in its name cannot stand in a PATH.
    if let Some(dir) = program_dir.filter(|d| d.starts_with('/') && !d.contains(':'))
        && !path.split(':').any(|p| p == dir)
    {
        path.push(':');
        path.push_str(dir);
    }
    env.insert("TERM".to_owned(), if tty { "xterm-256color" } else { "dumb" }.to_owned());
    env
}

/// What commands learn about their workspace. `None` and empty texts leave the variable unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceEnvironment {
    /// `WHARF_WORKSPACE_ID`
    pub workspace_id: Option<String>,
    /// `WHARF_WORKSPACE_CWD` and `WHARF_WORKSPACE_PATH`: where the command's run works.
    pub cwd: Option<String>,
    /// `WHARF_WORKSPACE_WORKTREE_PATH`: root of the worktree, if it is one.
    pub worktree_path: Option<String>,
    /// `WHARF_WORKSPACE_BRANCH`
    pub branch: Option<String>,
    /// `WHARF_WORKSPACE_BASE_CWD`: the project's directory.
    pub base_cwd: Option<String>,
    /// `WHARF_WORKSPACE_REPO_ROOT`: top level of the main checkout.
    pub repo_root: Option<String>,
    /// `WHARF_WORKSPACE_REPO_URL`
    pub repo_url: Option<String>,
    /// `WHARF_WORKSPACE_REPO_REF`: the ref it starts from.
    pub repo_ref: Option<String>,
    /// `WHARF_WORKSPACE_SOURCE`: how the directory was found.
    pub source: Option<String>,
    /// `WHARF_WORKSPACE_CREATED`: `true` when it was made for this run.
    pub created: Option<bool>,
    /// `WHARF_PROJECT_ID`
    pub project_id: Option<String>,
    /// `WHARF_PROJECT_KEY`
    pub project_key: Option<String>,
    /// `WHARF_PROJECT_WORKSPACE_ID`
    pub project_workspace_id: Option<String>,
    /// `WHARF_COMPANY_ID`
    pub company_id: Option<String>,
    /// `WHARF_AGENT_ID`
    pub agent_id: Option<String>,
    /// `WHARF_AGENT_NAME`
    pub agent_name: Option<String>,
    /// `WHARF_ISSUE_ID`
    pub issue_id: Option<String>,
    /// `WHARF_ISSUE_IDENTIFIER`
    pub issue_identifier: Option<String>,
    /// `WHARF_ISSUE_TITLE`
    pub issue_title: Option<String>,
    /// `WHARF_RUN_ID`
    pub run_id: Option<String>,
    /// `WHARF_RUN_NUMBER`
    pub run_number: Option<String>,
}

impl WorkspaceEnvironment {
    /// The variables that have something to say.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let created = self.created.map(|c| c.to_string());
        let all = [
            ("WORKSPACE_ID", &self.workspace_id),
            ("WORKSPACE_CWD", &self.cwd),
            ("WORKSPACE_PATH", &self.cwd),
            ("WORKSPACE_WORKTREE_PATH", &self.worktree_path),
            ("WORKSPACE_BRANCH", &self.branch),
            ("WORKSPACE_BASE_CWD", &self.base_cwd),
            ("WORKSPACE_REPO_ROOT", &self.repo_root),
            ("WORKSPACE_REPO_URL", &self.repo_url),
            ("WORKSPACE_REPO_REF", &self.repo_ref),
            ("WORKSPACE_SOURCE", &self.source),
            ("WORKSPACE_CREATED", &created),
            ("PROJECT_ID", &self.project_id),
            ("PROJECT_KEY", &self.project_key),
            ("PROJECT_WORKSPACE_ID", &self.project_workspace_id),
            ("COMPANY_ID", &self.company_id),
            ("AGENT_ID", &self.agent_id),
            ("AGENT_NAME", &self.agent_name),
            ("ISSUE_ID", &self.issue_id),
            ("ISSUE_IDENTIFIER", &self.issue_identifier),
            ("ISSUE_TITLE", &self.issue_title),
            ("RUN_ID", &self.run_id),
            ("RUN_NUMBER", &self.run_number),
        ];
        all.into_iter()
            .filter_map(|(name, value)| {
                // A NUL cannot stand in an environment; a title that holds one loses it.
                let value = value.as_deref()?.replace('\0', "");
                (!value.is_empty()).then(|| (format!("WHARF_{name}"), value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allow_list_is_inherited() {
        let operator = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("SSH_AUTH_SOCK", "/s"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("GIT_DIR", "/elsewhere"),
            ("WHARF_TOKEN", "of another run"),
            ("TERM", "screen"),
        ];
        let env = inherited(operator, None, false, false);
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        assert_eq!(names, ["LC_ALL", "PATH", "TERM"]);
        assert_eq!(env["TERM"], "dumb");
        let env = inherited(operator, Some("/opt/wharf"), true, true);
        assert_eq!(env["PATH"], "/bin:/opt/wharf");
        assert_eq!(env["SSH_AUTH_SOCK"], "/s");
        assert_eq!(env["TERM"], "xterm-256color");
    }

    #[test]
    fn path_table() {
        let table = [
            (Some("/bin"), Some("/bin"), "/bin"),
            (Some("/bin"), Some("/odd:dir"), "/bin"),
            (Some("/bin"), Some("relative"), "/bin"),
            (Some(""), None, DEFAULT_PATH),
            (None, None, DEFAULT_PATH),
        ];
        for (path, dir, expected) in table {
            assert_eq!(inherited(path.map(|p| ("PATH", p)), dir, false, false)["PATH"], expected, "{path:?} {dir:?}");
        }
    }

    #[test]
    fn nothing_to_say_leaves_it_unset() {
        assert!(WorkspaceEnvironment::default().variables().is_empty());
        let facts = WorkspaceEnvironment {
            cwd: Some("/w".into()),
            branch: Some(String::new()),
            created: Some(false),
            issue_title: Some("a\0b".into()),
            ..WorkspaceEnvironment::default()
        };
        let expected = [
            ("WHARF_ISSUE_TITLE", "ab"),
            ("WHARF_WORKSPACE_CREATED", "false"),
            ("WHARF_WORKSPACE_CWD", "/w"),
            ("WHARF_WORKSPACE_PATH", "/w"),
        ];
        let got = facts.variables();
        assert_eq!(got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }
}
