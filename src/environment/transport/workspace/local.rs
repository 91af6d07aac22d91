//! git on this machine, with nothing of the repository's own that would run or ask.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::environment::transport::{Trouble, last_line};
use crate::workspace::worktree::Git;

const FIRST: &[&str] = &[
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "submodule.recurse=false",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "advice.addEmbeddedRepo=false",
];

/// A checkout of this machine.
#[derive(Debug, Clone)]
pub(super) struct LocalGit {
    root: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

/// What a command of git said.
#[derive(Debug)]
pub(super) struct Said {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Its output as text without the line end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim_end_matches('\n').to_owned()
    }

    /// Names separated by NUL.
    pub fn names(&self) -> Vec<PathBuf> {
        use std::os::unix::ffi::OsStrExt as _;
        self.out.split(|b| *b == 0).filter(|n| !n.is_empty()).map(|n| PathBuf::from(OsStr::from_bytes(n))).collect()
    }

    /// Whether it failed by something that passes: another git at work, a full disk, a file in the making.
    pub fn passes(&self) -> bool {
        const PASSING: &[&str] = &[
            ".lock': File exists",
            "cannot lock ref",
            "No space left",
            "Disk quota exceeded",
            "file changed before we could read it",
        ];
        self.code != 0 && PASSING.iter().any(|words| self.err.contains(words))
    }

    fn complaint(&self) -> String {
        let said = self.err.lines().find(|l| l.starts_with("fatal: ") || l.starts_with("error: "));
        said.map(str::to_owned).or_else(|| last_line(&self.err)).unwrap_or_else(|| format!("code {}", self.code))
    }
}

impl LocalGit {
    /// In a checkout.
    pub fn new(root: &Path, operator: &BTreeMap<String, String>) -> Self {
        let operator = operator.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
        let mut env = Git::new(root, operator).prune().env;
        env.insert("GIT_OPTIONAL_LOCKS".into(), "0".into());
        Self { root: root.to_owned(), env }
    }

    /// The same with this index instead of the checkout's.
    pub fn with_index(&self, index: &Path) -> Self {
        self.with("GIT_INDEX_FILE", index)
    }

    /// The same with a repository elsewhere, for a directory that is none.
    pub fn with_repository(&self, git_dir: &Path, work_tree: &Path) -> Self {
        let mut git = self.with("GIT_DIR", git_dir).with("GIT_WORK_TREE", work_tree);
        work_tree.clone_into(&mut git.root);
        git
    }

    fn with(&self, name: &str, value: &Path) -> Self {
        let mut git = self.clone();
        git.env.insert(name.into(), value.into());
        git
    }

    /// The checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Starts a command.
    pub fn spawn(&self, args: &[&str]) -> Result<Child, Trouble> {
        let who = ["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [("NAME", "wharf"), ("EMAIL", "wharf@localhost"), ("DATE", "@0 +0000")]
                .map(|(what, value)| (format!("GIT_{who}_{what}"), value))
        });
        Command::new("git")
            .args(FIRST)
            .args(args)
            .env_clear()
            .envs(&self.env)
            // Commits of ours that say the same are the same.
            .envs(who)
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Trouble::Refused(format!("git cannot be started in {}: {e}", self.root.display())))
    }

    /// Runs a command to its end, with this input.
    pub async fn ask(&self, args: &[&str], input: &[u8]) -> Result<Said, Trouble> {
        let mut child = self.spawn(args)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that ends early says why.
                let _broken = stdin.write_all(input).await;
            }
        };
        let read = async {
            if let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) {
                let _ends = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
            }
        };
        tokio::join!(feed, read);
        let status = child.wait().await.map_err(|e| Trouble::Unknown(format!("git: {e}")))?;
        Ok(Said { code: status.code().unwrap_or(-1), out, err: String::from_utf8_lossy(&err).into_owned() })
    }

    /// Runs a command that must succeed.
    pub async fn run(&self, args: &[&str]) -> Result<Said, Trouble> {
        self.run_with(args, b"").await
    }

    /// Runs a command that must succeed, with this input.
    pub async fn run_with(&self, args: &[&str], input: &[u8]) -> Result<Said, Trouble> {
        let said = self.ask(args, input).await?;
        if said.code == 0 { Ok(said) } else { Err(self.trouble(args, &said)) }
    }

    /// The words for a command that failed.
    pub fn trouble(&self, args: &[&str], said: &Said) -> Trouble {
        let verb = args.first().unwrap_or(&"");
        let words = format!("git {verb} in {}: {}", self.root.display(), said.complaint());
        // One that was killed says nothing.
        if said.code < 0 || said.passes() { Trouble::Unknown(words) } else { Trouble::Refused(words) }
    }

    /// The commit that a name stands for, when there is one.
    pub async fn commit(&self, name: &str) -> Result<Option<String>, Trouble> {
        let said = self.ask(&["rev-parse", "-q", "--verify", &format!("{name}^{{commit}}")], b"").await?;
        Ok((said.code == 0).then(|| said.text()).filter(|id| !id.is_empty()))
    }

    /// Whether one commit is an ancestor of another, or the same.
    pub async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool, Trouble> {
        let args = ["merge-base", "--is-ancestor", old, new];
        let said = self.ask(&args, b"").await?;
        match said.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(self.trouble(&args, &said)),
        }
    }
}
