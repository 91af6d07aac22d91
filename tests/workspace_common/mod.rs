//! Real repositories with a worktree of wharf's in a place of their own, untouched by the machine's git config.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use uuid::Uuid;
use wharf::workspace::plan::{Wanted, decide};
use wharf::workspace::realise::{self, For};
use wharf::workspace::worktree::Git;
use wharf::workspace::{close, facts_for};
use wharf_model::rules::close_check::Found;
use wharf_model::{ProjectId, UnixMillis, WorkspaceId};

/// A repository `shop` with a remote, and a worktree of it on branch `work`.
pub struct Place {
    dir: Option<TempDir>,
    pub root: PathBuf,
    pub repo: PathBuf,
    pub remote: PathBuf,
    pub tree: PathBuf,
    pub project: ProjectId,
    pub workspace: WorkspaceId,
}

/// Ways in which git keeps a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As git makes one.
    Usual,
    /// The worktree leaves `far` out, which is one entry of its index.
    SparseIndex,
    /// The worktree's index refers to another file.
    SplitIndex,
    /// Index of version 4 with the extensions for large repositories.
    ManyFiles,
    /// Contents are fetched when they are wanted.
    Partial,
    /// Ids of 64 digits.
    Sha256,
}

impl Format {
    const fn init_word(self) -> Option<&'static str> {
        match self {
            Self::Sha256 => Some("--object-format=sha256"),
            _ => None,
        }
    }
}

pub fn operator() -> Vec<(OsString, OsString)> {
    let fixed = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("HOME", "/nonexistent"),
        ("GIT_AUTHOR_NAME", "t"),
        ("GIT_AUTHOR_EMAIL", "t@example.invalid"),
        ("GIT_COMMITTER_NAME", "t"),
        ("GIT_COMMITTER_EMAIL", "t@example.invalid"),
        ("GIT_EDITOR", "true"),
        ("GIT_ALLOW_PROTOCOL", "file"),
    ];
    let path = std::env::var_os("PATH").expect("a path of programs");
    fixed.iter().map(|(k, v)| (k.into(), v.into())).chain([("PATH".into(), path)]).collect()
}

impl Place {
    pub fn new() -> Self {
        Self::of(Format::Usual).expect("every git has it")
    }

    /// The same in another format of git's; none, and said, where this machine's git does not know it.
    pub fn of(format: Format) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut place = Self::at(dir.path());
        place.dir = Some(dir);
        if let Some(word) = format.init_word() {
            let (known, _, why) = place.try_git(&place.root, &["init", "-q", word, "tried"]);
            if !known {
                let test = std::thread::current();
                let name = test.name().unwrap_or("a test");
                let _ = writeln!(std::io::stderr(), "SKIPPED {name}: git does not know {word}: {why}");
                return None;
            }
            fs::remove_dir_all(place.root.join("tried")).expect("its own");
        }
        place.fill(format);
        Some(place)
    }

    /// The same place, seen by another process.
    pub fn at(root: &Path) -> Self {
        let root = root.canonicalize().expect("a root");
        let fixed = |n: u128| Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n);
        Self {
            dir: None,
            repo: root.join("shop"),
            remote: root.join("remote.git"),
            tree: root.join("shop/.wharf/worktrees/work"),
            root,
            project: ProjectId(fixed(1)),
            workspace: WorkspaceId(fixed(2)),
        }
    }

    fn fill(&self, format: Format) {
        fs::create_dir(&self.repo).expect("a directory");
        let init: Vec<&str> = ["init", "-q", "-b", "main"].into_iter().chain(format.init_word()).collect();
        self.git(&self.repo, &init);
        match format {
            Format::Partial => drop(self.commit(&self.repo, "a.txt", "as it was once\n")),
            Format::SparseIndex => drop(self.write(&self.repo, "far/away/c.txt", "c\n")),
            Format::ManyFiles => drop(self.git(&self.repo, &["config", "feature.manyFiles", "true"])),
            Format::SplitIndex => drop(self.git(&self.repo, &["config", "core.splitIndex", "true"])),
            Format::Usual | Format::Sha256 => {}
        }
        self.write(&self.repo, "a.txt", "a\n");
        self.write(&self.repo, "dir/b.txt", "b\n");
        self.write(&self.repo, ".gitignore", "*.log\n/build/\n");
        self.git(&self.repo, &["add", "."]);
        self.git(&self.repo, &["commit", "-q", "-m", "first"]);
        self.git(&self.root, &["clone", "-q", "--bare", "shop", "remote.git"]);
        if format == Format::Partial {
            self.git(&self.remote, &["config", "uploadpack.allowFilter", "true"]);
            fs::remove_dir_all(&self.repo).expect("its own");
            let url = format!("file://{}", self.remote.display());
            self.git(&self.root, &["clone", "-q", "--filter=blob:none", &url, "shop"]);
        } else {
            self.git(&self.repo, &["remote", "add", "origin", self.remote.to_str().expect("text")]);
            self.git(&self.repo, &["fetch", "-q", "origin"]);
        }
        assert_eq!(self.realise("work"), self.tree);
        match format {
            Format::SparseIndex => {
                self.git(&self.tree, &["sparse-checkout", "set", "--cone", "--sparse-index", "dir", "keep", "sub"]);
                assert!(
                    self.git(&self.tree, &["ls-files", "--sparse"]).lines().any(|l| l == "far/"),
                    "one entry for all of it"
                );
            }
            Format::SplitIndex => {
                self.git(&self.tree, &["update-index", "--split-index"]);
            }
            Format::ManyFiles => {
                self.git(&self.tree, &["update-index", "--index-version", "4", "--untracked-cache"]);
            }
            Format::Partial => {
                let gone = self.git(&self.repo, &["rev-parse", "main~1:a.txt"]);
                self.assert_missing(&gone);
            }
            Format::Usual | Format::Sha256 => {}
        }
    }

    /// An object that is not here, and is not fetched by anybody.
    pub fn assert_missing(&self, id: &str) {
        let all = self.git(&self.repo, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
        assert!(!all.lines().any(|line| line == id), "{id} was fetched");
    }

    pub fn realise(&self, branch: &str) -> PathBuf {
        let wanted = Wanted {
            project: self.project,
            workspace: self.workspace,
            directory: &self.repo,
            branch,
            at: None,
            parent: None,
            base_ref: Some("main"),
            repo_ref: None,
            home: None,
        };
        let facts = facts_for(&wanted).expect("facts");
        let plan = decide(&facts);
        realise::prepare(&facts, &plan).expect("a parent");
        for command in realise::commands(&plan, &self.builder(), self.workspace).expect("a plan") {
            let output = Command::new(&command.argv[0])
                .args(&command.argv[1..])
                .current_dir(&command.cwd)
                .env_clear()
                .envs(&command.env)
                .stdin(Stdio::null())
                .output()
                .expect("git");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let owner = For { project: self.project, workspace: self.workspace, run: None, at: UnixMillis(1) };
        realise::finish(&facts.repo, &plan, owner).expect("a worktree").path
    }

    pub fn builder(&self) -> Git {
        Git::new(&self.repo, operator())
    }

    pub fn git(&self, cwd: &Path, args: &[&str]) -> String {
        let (done, out, err) = self.try_git(cwd, args);
        assert!(done, "git {args:?}: {err}");
        out
    }

    pub fn try_git(&self, cwd: &Path, args: &[&str]) -> (bool, String, String) {
        assert!(cwd.starts_with(&self.root), "tests touch only their own place");
        let output =
            Command::new("git").args(args).current_dir(cwd).env_clear().envs(operator()).output().expect("git");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    pub fn write(&self, dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn commit(&self, dir: &Path, name: &str, text: &str) -> String {
        self.write(dir, name, text);
        self.git(dir, &["add", "-f", name]);
        self.git(dir, &["commit", "-q", "-m", &format!("add {name}")]);
        self.git(dir, &["rev-parse", "HEAD"])
    }

    pub fn ask(&self) -> close::LookAsk {
        close::LookAsk {
            project: self.project,
            workspace: self.workspace,
            path: self.tree.clone(),
            base: Some("main".into()),
            never: vec![self.repo.clone()],
            limits: close::Limits::default(),
        }
    }

    pub fn look(&self) -> Found {
        close::look(&self.ask())
    }
}

/// One thing in a directory.
#[derive(Clone, PartialEq, Eq)]
pub struct Thing {
    pub kind: &'static str,
    pub mode: u32,
    pub content: Vec<u8>,
    /// How many names a file has; zero for all else.
    pub names: u64,
}

impl std::fmt::Debug for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = String::from_utf8_lossy(&self.content[..self.content.len().min(40)]).into_owned();
        write!(f, "{} {:o} {} bytes {start:?} names {}", self.kind, self.mode, self.content.len(), self.names)
    }
}

/// Everything below a directory, byte by byte; `skip` leaves paths out.
pub fn everything(top: &Path, skip: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, Thing> {
    let mut all = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(top.join(&dir)).expect("a directory").flatten() {
            let path = dir.join(entry.file_name());
            if skip(&path) {
                continue;
            }
            let full = top.join(&path);
            let meta = full.symlink_metadata().expect("there");
            let kind = meta.file_type();
            let (kind, content) = if kind.is_symlink() {
                ("link", fs::read_link(&full).expect("a link").as_os_str().as_bytes().to_vec())
            } else if kind.is_dir() {
                todo.push(path.clone());
                ("directory", Vec::new())
            } else if kind.is_fifo() {
                ("fifo", Vec::new())
            } else if kind.is_socket() {
                ("socket", Vec::new())
            } else {
                ("file", fs::read(&full).expect("a file"))
            };
            let names = if kind == "file" { meta.nlink() } else { 0 };
            let mode = meta.permissions().mode() & 0o7777;
            all.insert(path, Thing { kind, mode, content, names });
        }
    }
    all
}

/// Compares two states and names the first differences.
pub fn same(before: &BTreeMap<PathBuf, Thing>, after: &BTreeMap<PathBuf, Thing>) {
    let mut wrong = Vec::new();
    for (path, thing) in before {
        match after.get(path) {
            None => wrong.push(format!("{} is gone", path.display())),
            Some(other) if other != thing => wrong.push(format!("{}: {thing:?} became {other:?}", path.display())),
            Some(_) => {}
        }
    }
    wrong.extend(after.keys().filter(|p| !before.contains_key(*p)).map(|p| format!("{} is new", p.display())));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
