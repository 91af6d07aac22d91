//! Real repositories in a temporary directory, untouched by the machine's git config.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use uuid::Uuid;
use wharf_model::{ProjectId, UnixMillis, WorkspaceId};

use super::plan::{Facts, Plan, Wanted, decide};
use super::realise::{self, For, Realised};
use super::worktree::{CommandSpec, Git};
use super::{WorkspaceError, facts_for};

pub(super) struct Scratch {
    _dir: TempDir,
    pub root: PathBuf,
    pub repo: PathBuf,
    pub project: ProjectId,
    pub workspace: WorkspaceId,
}

pub(super) fn operator() -> Vec<(OsString, OsString)> {
    let fixed = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("HOME", "/nonexistent"),
        ("GIT_AUTHOR_NAME", "t"),
        ("GIT_AUTHOR_EMAIL", "t@example.invalid"),
        ("GIT_COMMITTER_NAME", "t"),
        ("GIT_COMMITTER_EMAIL", "t@example.invalid"),
        ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
        ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
    ];
    let path = std::env::var_os("PATH").unwrap();
    fixed.iter().map(|(k, v)| (k.into(), v.into())).chain([("PATH".into(), path)]).collect()
}

impl Scratch {
    /// An empty place.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let repo = root.join("shop");
        fs::create_dir(&repo).unwrap();
        let (project, workspace) = (ProjectId(Uuid::now_v7()), WorkspaceId(Uuid::now_v7()));
        Self { _dir: dir, root, repo, project, workspace }
    }

    /// A repository with one commit on `main`.
    pub fn new() -> Self {
        let scratch = Self::empty();
        scratch.init(&scratch.repo);
        scratch
    }

    pub fn init(&self, at: &Path) {
        fs::create_dir_all(at).unwrap();
        self.git(at, &["init", "-q", "-b", "main"]);
        fs::write(at.join("a.txt"), "a\n").unwrap();
        self.git(at, &["add", "."]);
        self.git(at, &["commit", "-q", "-m", "first"]);
    }

    pub fn git(&self, cwd: &Path, args: &[&str]) -> String {
        assert!(cwd.starts_with(&self.root), "tests touch only their own place");
        let output = Command::new("git").args(args).current_dir(cwd).env_clear().envs(operator()).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn wanted<'a>(&'a self, branch: &'a str) -> Wanted<'a> {
        Wanted {
            project: self.project,
            workspace: self.workspace,
            directory: &self.repo,
            branch,
            at: None,
            parent: None,
            base_ref: None,
            repo_ref: None,
            home: None,
        }
    }

    pub fn commands(&self, plan: &Plan) -> Vec<CommandSpec> {
        realise::commands(plan, &Git::new(&self.repo, operator()), self.workspace).unwrap()
    }

    /// Everything a caller does for a plan; panics where git refuses.
    pub fn carry_out(&self, facts: &Facts, plan: &Plan) -> Result<Realised, WorkspaceError> {
        realise::prepare(facts, plan)?;
        for command in self.commands(plan) {
            let output = run(&command);
            assert!(output.status.success(), "{}: {}", command.display(), String::from_utf8_lossy(&output.stderr));
        }
        realise::finish(&facts.repo, plan, self.owner())
    }

    pub fn owner(&self) -> For {
        For { project: self.project, workspace: self.workspace, run: None, at: UnixMillis(1) }
    }

    pub fn realise(&self, wanted: &Wanted<'_>) -> Realised {
        let facts = facts_for(wanted).unwrap();
        self.carry_out(&facts, &decide(&facts)).unwrap()
    }

    pub fn plan(&self, wanted: &Wanted<'_>) -> Plan {
        assert!(wanted.directory.starts_with(&self.root), "tests touch only their own place");
        decide(&facts_for(wanted).unwrap())
    }

    pub fn refusal(&self, wanted: &Wanted<'_>) -> String {
        match self.plan(wanted) {
            Plan::Refused(refusal) => refusal.reason,
            other => panic!("not refused: {other:?}"),
        }
    }
}

pub(super) fn run(command: &CommandSpec) -> Output {
    Command::new(&command.argv[0])
        .args(&command.argv[1..])
        .current_dir(&command.cwd)
        .env_clear()
        .envs(&command.env)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
