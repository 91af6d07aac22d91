//! Command lines of the git binary. Nothing is run here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::WorkspaceId;
use wharf_model::rules::workspace_environment::is_inherited;

use super::inspect::WorktreeEntry;

/// Longest time a command of ours may take; checking out 50,000 files takes seconds.
pub const GIT_TIMEOUT: Duration = Duration::from_mins(15);

/// A program with arguments, directory and its whole environment. Its stdin is to be empty, and no
/// shell takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// Program, then arguments.
    pub argv: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
    /// All variables; nothing else is inherited.
    pub env: BTreeMap<OsString, OsString>,
    /// When to end it.
    pub timeout: Duration,
}

impl CommandSpec {
    /// The same with more words before git's own command, as `-c name=value`.
    pub fn with_settings(mut self, words: impl IntoIterator<Item = OsString>) -> Self {
        self.argv.splice(1..1, words);
        self
    }

    /// The same with the operator's ssh agent: for what talks to the repository's host at the operator's own wish.
    pub fn with_ssh_agent(mut self, operator: &BTreeMap<String, String>) -> Self {
        const NAME: &str = "SSH_AUTH_SOCK";
        if let Some(socket) = operator.get(NAME) {
            self.env.insert(NAME.into(), socket.into());
        }
        self
    }

    /// The command as an operator would type it.
    pub fn display(&self) -> String {
        self.argv.iter().map(|arg| quote(arg)).collect::<Vec<_>>().join(" ")
    }
}

/// Quotes a word for a shell where that is needed.
fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The reason our worktrees are locked with (`git worktree lock`). git writes it before it checks
/// anything out, so it tells whose a worktree is even when the making was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockReason {
    /// The workspace it was made for.
    pub workspace: WorkspaceId,
    /// Whether its branch was made by the same command.
    pub new_branch: bool,
}

const REASON: &str = "wharf workspace ";
const NEW_BRANCH: &str = ", new branch";

impl LockReason {
    /// As given to git, and shown by `git worktree list --verbose`.
    pub fn text(self) -> String {
        format!("{REASON}{}{}", self.workspace, if self.new_branch { NEW_BRANCH } else { "" })
    }

    /// Reads the text back.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix(REASON)?;
        let (id, new_branch) = match rest.strip_suffix(NEW_BRANCH) {
            Some(id) => (id, true),
            None => (rest, false),
        };
        Some(Self { workspace: id.parse().ok()?, new_branch })
    }

    /// The reason of an entry, if it is one of ours.
    pub fn of(entry: &WorktreeEntry) -> Option<Self> {
        Self::parse(entry.locked.as_deref()?)
    }
}

/// What a worktree without files starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A branch that exists.
    Branch(String),
    /// A branch that is made at a commit.
    NewBranch {
        /// Its name.
        branch: String,
        /// The commit.
        commit: String,
    },
    /// A commit and no branch.
    Detached(String),
    /// A branch that has no commit yet.
    Unborn(String),
}

/// Builds commands for one repository, run from its main checkout.
#[derive(Debug, Clone)]
pub struct Git {
    cwd: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Git {
    /// `cwd` is a checkout of the repository; `operator` is the operator's environment, of which
    /// only the allow-list and what says where git's config lies is kept: a stray `GIT_DIR` would
    /// send the command to another repository.
    pub fn new(cwd: &Path, operator: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        const GIT_CONFIG: &[&str] =
            &["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "XDG_CONFIG_HOME"];
        let mut env: BTreeMap<OsString, OsString> = operator
            .into_iter()
            .filter(|(name, _)| {
                // The ssh agent stays out: with it, a fetch for a partial clone could ask for a touch.
                name.to_str().is_some_and(|n| is_inherited(n, false) || GIT_CONFIG.contains(&n))
            })
            .filter(|(name, _)| name.as_bytes() != b"LANG" && !name.as_bytes().starts_with(b"LC_"))
            .collect();
        let fixed = [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("SSH_ASKPASS", "true"),
            // Never the terminal: an empty answer from the above, and so a failure, instead.
            ("SSH_ASKPASS_REQUIRE", "force"),
            ("GIT_EDITOR", "true"),
            ("GIT_PAGER", "cat"),
            // How far it is stands in the operation's log from the first file on.
            ("GIT_PROGRESS_DELAY", "0"),
            // Messages stand in operation records; one language for all of them.
            ("LC_ALL", "C.UTF-8"),
            ("TERM", "dumb"),
        ];
        env.extend(fixed.map(|(k, v)| (k.into(), v.into())));
        Self { cwd: cwd.to_owned(), env }
    }

    fn command<'a>(&self, args: impl IntoIterator<Item = &'a OsStr>) -> CommandSpec {
        // Nothing of the repository's own may run or ask while we change it.
        const FIRST: &[&str] = &[
            "git",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
        ];
        let argv = FIRST.iter().map(OsString::from).chain(args.into_iter().map(OsStr::to_owned)).collect();
        CommandSpec { argv, cwd: self.cwd.clone(), env: self.env.clone(), timeout: GIT_TIMEOUT }
    }

    fn worktree(&self, words: &[&str], last: &[&OsStr]) -> CommandSpec {
        self.command(["worktree"].iter().chain(words).map(OsStr::new).chain(last.iter().copied()))
    }

    /// Makes a branch at a commit and a locked worktree for it.
    pub fn add_new_branch(
        &self,
        branch: &str,
        path: &Path,
        commit: &str,
        lock: LockReason,
        over_missing: bool,
    ) -> CommandSpec {
        let reason = lock.text();
        // The branch must not follow a remote one: a plain push would then go there.
        let mut words = vec!["add", "--no-track", "--lock", "--reason", &reason, "-b", branch];
        words.splice(1..1, force(over_missing));
        words.push("--");
        self.worktree(&words, &[path.as_os_str(), commit.as_ref()])
    }

    /// Makes a locked worktree for a branch that exists.
    pub fn add_existing(&self, branch: &str, path: &Path, lock: LockReason, over_missing: bool) -> CommandSpec {
        let reason = lock.text();
        let mut words = vec!["add", "--lock", "--reason", &reason];
        words.splice(1..1, force(over_missing));
        words.push("--");
        self.worktree(&words, &[path.as_os_str(), branch.as_ref()])
    }

    /// Makes a locked worktree without its files and its index.
    pub fn add_without_files(&self, path: &Path, lock: LockReason, start: &Start) -> CommandSpec {
        let reason = lock.text();
        let mut words = vec!["add", "--no-checkout", "--lock", "--reason", &reason];
        let mut last = vec![path.as_os_str()];
        match start {
            Start::Branch(branch) => last.push(branch.as_ref()),
            Start::NewBranch { branch, commit } => {
                words.extend(["--no-track", "-b", branch]);
                last.push(commit.as_ref());
            }
            Start::Detached(commit) => {
                words.push("--detach");
                last.push(commit.as_ref());
            }
            Start::Unborn(branch) => {
                // Without a commit there is nothing to check out anyway.
                words.remove(1);
                words.extend(["--orphan", "-b", branch]);
            }
        }
        words.push("--");
        self.worktree(&words, &last)
    }

    /// Removes a worktree; `locked` when it may be locked, and then changes in it are no obstacle
    /// either: save them first.
    pub fn remove(&self, path: &Path, locked: bool) -> CommandSpec {
        let mut words = vec!["remove"];
        words.extend(force(locked));
        words.push("--");
        self.worktree(&words, &[path.as_os_str()])
    }

    /// Drops the entries of worktrees whose directories are gone. Locked ones stay.
    pub fn prune(&self) -> CommandSpec {
        self.worktree(&["prune", "--verbose", "--expire=now"], &[])
    }

    /// Locks a worktree.
    pub fn lock(&self, path: &Path, lock: LockReason) -> CommandSpec {
        self.worktree(&["lock", "--reason", &lock.text(), "--"], &[path.as_os_str()])
    }

    /// Unlocks a worktree.
    pub fn unlock(&self, path: &Path) -> CommandSpec {
        self.worktree(&["unlock", "--"], &[path.as_os_str()])
    }

    /// Mends the links between repository and worktrees after either was moved.
    pub fn repair(&self, paths: &[&Path]) -> CommandSpec {
        self.worktree(&["repair"], &paths.iter().map(|p| p.as_os_str()).collect::<Vec<_>>())
    }

    /// Clones a repository with its checkout into a directory that is not there yet. Submodules are left to whoever
    /// wants them.
    pub fn clone_into(&self, url: &str, path: &Path) -> CommandSpec {
        let words = ["clone", "--progress", "--origin=origin", "--no-recurse-submodules", "--", url];
        self.command(words.iter().map(OsStr::new).chain([path.as_os_str()]))
    }

    /// Brings what is known of `origin` up to date.
    pub fn fetch(&self) -> CommandSpec {
        self.command(["fetch", "--progress", "--prune", "--no-recurse-submodules", "origin"].map(OsStr::new))
    }

    /// Writes an index of the checkout at `git_dir` in the plain format, in its own place. `top` stands in for the
    /// checkout's files; what is not in the repository is not fetched.
    pub fn rewrite_index(&self, git_dir: &Path, top: &Path, index: &Path) -> CommandSpec {
        let words = ["update-index", "--force-write-index"].map(OsStr::new);
        let settings = ["-c", "core.splitIndex=false", "-c", "index.sparse=false", "-c", "core.untrackedCache=false"];
        let mut made = self.command(words).with_settings(settings.map(OsString::from));
        made.env.extend([
            ("GIT_DIR".into(), git_dir.into()),
            ("GIT_WORK_TREE".into(), top.into()),
            ("GIT_INDEX_FILE".into(), index.into()),
            ("GIT_NO_LAZY_FETCH".into(), "1".into()),
            // Before 2.44 git knows the line above not: then no way to fetch is open.
            ("GIT_ALLOW_PROTOCOL".into(), "none".into()),
        ]);
        made
    }

    /// Has a worktree be of a part of the tree: the one that the file with its patterns says, where there is one.
    pub fn sparse(&self, path: &Path, cone: bool) -> CommandSpec {
        let cone = if cone { "--cone" } else { "--no-cone" };
        let mut made = self.command(["sparse-checkout", "init", cone].map(OsStr::new));
        path.clone_into(&mut made.cwd);
        made
    }

    /// Deletes a branch, only if it is merged.
    pub fn delete_merged_branch(&self, branch: &str) -> CommandSpec {
        self.command(["branch", "--delete", "--", branch].map(OsStr::new))
    }
}

/// Twice, because once overrides a missing directory but not its lock.
fn force<'a>(on: bool) -> impl Iterator<Item = &'a str> {
    std::iter::repeat_n("--force", if on { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git() -> Git {
        let operator =
            [("PATH", "/bin"), ("GIT_DIR", "/x"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("SECRET", "s"), ("LANG", "de")];
        Git::new(Path::new("/repo"), operator.map(|(k, v)| (k.into(), v.into())))
    }

    #[test]
    fn the_environment_is_clean_and_never_asks() {
        let env = git().prune().env;
        let get = |name: &str| env.get(OsStr::new(name)).and_then(|v| v.to_str());
        assert_eq!(get("GIT_TERMINAL_PROMPT"), Some("0"));
        assert_eq!(get("GIT_CONFIG_GLOBAL"), Some("/dev/null"));
        assert_eq!((get("GIT_DIR"), get("SECRET"), get("LANG")), (None, None, None));
    }

    #[test]
    fn command_lines_table() {
        let lock = LockReason { workspace: WorkspaceId::NIL, new_branch: true };
        let prefix =
            "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 -c maintenance.auto=false worktree ";
        let reason = format!("'{}'", lock.text());
        let path = Path::new("/w/it's");
        let table = [
            (
                git().add_new_branch("b", path, "c0", lock, false),
                format!("add --no-track --lock --reason {reason} -b b -- '/w/it'\\''s' c0"),
            ),
            (
                git().add_existing("b", path, lock, true),
                format!("add --force --force --lock --reason {reason} -- '/w/it'\\''s' b"),
            ),
            (git().remove(path, true), "remove --force --force -- '/w/it'\\''s'".to_owned()),
            (git().remove(Path::new("/w"), false), "remove -- /w".to_owned()),
            (git().prune(), "prune --verbose --expire=now".to_owned()),
        ];
        for (command, expected) in table {
            assert_eq!(command.display(), format!("{prefix}{expected}"));
            assert_eq!(command.cwd, Path::new("/repo"));
        }
    }

    #[test]
    fn lock_reasons_come_back() {
        for new_branch in [true, false] {
            let reason = LockReason { workspace: WorkspaceId(uuid::Uuid::now_v7()), new_branch };
            assert_eq!(LockReason::parse(&reason.text()), Some(reason));
        }
        for other in ["", "initializing", "on a portable drive", "wharf workspace x"] {
            assert_eq!(LockReason::parse(other), None, "{other}");
        }
    }
}
