//! A project to work on: a repository, a worktree of it with changes that nobody committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use uuid::Uuid;
use wharf::environment::driver::RealiseAsk;
use wharf_model::{RunId, WorkspaceId};

/// A repository with a worktree. Files of the worktree: `tracked` (changed since its commit), `added` (not tracked),
/// `sub/deep`, and `.gitignore` that names `build`.
pub struct Scene {
    pub project: PathBuf,
    pub worktree: PathBuf,
    workspace: WorkspaceId,
    run: RunId,
}

impl Scene {
    /// Makes it in a new directory below `root`.
    pub fn new(root: &Path) -> Self {
        let project = root.join(format!("project-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(project.join("sub")).unwrap();
        for (name, text) in [("tracked", "as committed\n"), ("sub/deep", "deep\n"), (".gitignore", "build\n.wharf\n")] {
            std::fs::write(project.join(name), text).unwrap();
        }
        let worktree = project.join(".wharf/worktrees/fix it");
        let it = Self { project, worktree, workspace: Uuid::now_v7().into(), run: Uuid::now_v7().into() };
        git(&it.project, &["init", "-q", "-b", "main"]);
        git(&it.project, &["add", "-A"]);
        git(&it.project, &["commit", "-q", "-m", "begin"]);
        git(&it.project, &["worktree", "add", "-q", "-b", "fix", it.worktree.to_str().unwrap()]);
        std::fs::write(it.worktree.join("tracked"), "as changed\n").unwrap();
        std::fs::write(it.worktree.join("added"), "not tracked\n").unwrap();
        it
    }

    /// What a run would ask for it.
    pub fn ask(&self) -> RealiseAsk {
        RealiseAsk {
            run: Some(self.run),
            attempt: 1,
            workspace: self.workspace,
            mode: "isolated_workspace".into(),
            cwd: self.worktree.clone(),
            root: Some(self.worktree.clone()),
            git_common_dir: Some(self.project.join(".git")),
            branch: Some("fix".into()),
            base_commit: Some(git(&self.project, &["rev-parse", "main"])),
            timeout_ms: 60_000,
        }
    }

    /// A file of the worktree; none when it is not there.
    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.worktree.join(name)).ok()
    }

    /// Everything about the worktree that a collection could change.
    pub fn state(&self) -> String {
        let head = git(&self.worktree, &["log", "--format=%H %s", "fix"]);
        let status = git(&self.worktree, &["status", "--porcelain", "--untracked-files=all"]);
        let diff = git(&self.worktree, &["diff", "HEAD"]);
        format!("{head}\n{status}\n{diff}\n{:?} {:?}", self.read("added"), self.read("made there"))
    }
}

/// Runs git as nobody's config would change it; gives what it printed.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath=/dev/null"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
