//! Making the project: files, a git repository with one commit, and the directories around it.

use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::DemoError;

/// Files of the project and what they hold; `wharf.toml` is made by [`config_text`].
const FILES: &[(&str, &str)] = &[
    ("README.md", include_str!("../../assets/demo/README.md")),
    (".gitignore", include_str!("../../assets/demo/gitignore")),
    ("src/greet.sh", include_str!("../../assets/demo/src/greet.sh")),
    ("src/tide.sh", include_str!("../../assets/demo/src/tide.sh")),
    ("site/index.html", PAGE),
    ("agents/pace.sh", include_str!("../../assets/demo/agents/pace.sh")),
    ("agents/fixer.sh", include_str!("../../assets/demo/agents/fixer.sh")),
    ("agents/visitor.sh", include_str!("../../assets/demo/agents/visitor.sh")),
    ("agents/builder.sh", include_str!("../../assets/demo/agents/builder.sh")),
    ("agents/stubborn.sh", include_str!("../../assets/demo/agents/stubborn.sh")),
    ("agents/flood.sh", include_str!("../../assets/demo/agents/flood.sh")),
    ("agents/quiet.sh", include_str!("../../assets/demo/agents/quiet.sh")),
    ("agents/painter.sh", include_str!("../../assets/demo/agents/painter.sh")),
];

/// What the service serves at `/`.
pub const PAGE: &str = include_str!("../../assets/demo/site/index.html");

const CONFIG: &str = include_str!("../../assets/demo/wharf.toml");

/// File that tells a directory of a demo from others.
const MARK: &str = ".wharf-demo";

/// MiB that the flood prints.
pub const FLOOD_MIB: u64 = 32;

/// Settings of the repository that stand above the operator's own, so that a commit needs no key,
/// no hook and no name of theirs.
const GIT_SETTINGS: &[(&str, &str)] = &[
    ("user.name", "wharf demo"),
    ("user.email", "demo@wharf.invalid"),
    ("commit.gpgsign", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("gc.auto", "0"),
];

/// How fast the agents work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they can.
    Brief,
    /// So that somebody can watch: some minutes.
    Watched,
}

impl Pace {
    const fn word(self) -> &'static str {
        match self {
            Self::Brief => "brief",
            Self::Watched => "watched",
        }
    }
}

/// A demo on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// Holds everything of it.
    pub root: PathBuf,
    /// The project.
    pub project: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
}

impl Demo {
    fn at(root: PathBuf) -> Self {
        Self { project: root.join("pier"), data: root.join("data"), root }
    }

    /// Removes everything of it.
    ///
    /// # Errors
    /// What cannot be removed, and why.
    pub fn remove(&self) -> Result<(), DemoError> {
        crate::environment::sandbox::tree::remove_tree(&self.root).map_err(|e| DemoError::io("remove", &self.root, e))
    }
}

/// The text of the demo's `wharf.toml`; `program` is the `wharf` that its agents call.
///
/// # Errors
/// A path of the program that a config cannot hold.
pub fn config_text(program: &Path, pace: Pace) -> Result<String, DemoError> {
    let unusable = || DemoError::Path { path: program.to_owned() };
    // Two braces would be read as a template.
    let shown = program.to_str().filter(|text| !text.contains("{{")).ok_or_else(unusable)?;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    Ok(CONFIG
        .replace("@PACE@", &quoted(pace.word()))
        .replace("@FLOOD_MIB@", &FLOOD_MIB.to_string())
        .replace("@WHARF@", &quoted(shown)))
}

/// Makes a demo: in `dir`, which must be new or empty, or in a new directory for temporary files.
/// Only the operator may enter it.
///
/// # Errors
/// A directory that holds something, a file that cannot be made, or what git says.
pub fn make(dir: Option<&Path>, program: &Path, pace: Pace) -> Result<Demo, DemoError> {
    let config = config_text(program, pace)?;
    let root = match dir {
        Some(dir) => given(dir)?,
        None => temporary(&std::env::temp_dir())?,
    };
    let demo = Demo::at(root);
    let made = fill(&demo, &config);
    if made.is_err() && dir.is_none() {
        // Half a demo is of use to nobody; the first error is the one to tell.
        let _ = demo.remove();
    }
    made.map(|()| demo)
}

/// The demo that was made in a directory.
///
/// # Errors
/// [`DemoError::NoDemo`] for a directory that is none.
pub fn find(dir: &Path) -> Result<Demo, DemoError> {
    let none = || DemoError::NoDemo { path: dir.to_owned() };
    let demo = Demo::at(dir.canonicalize().map_err(|_| none())?);
    let is_one = demo.root.join(MARK).is_file() && demo.project.is_dir() && demo.data.is_dir();
    is_one.then_some(demo).ok_or_else(none)
}

fn fill(demo: &Demo, config: &str) -> Result<(), DemoError> {
    let mark = demo.root.join(MARK);
    std::fs::write(&mark, "made by wharf demo\n").map_err(|e| DemoError::io("write", &mark, e))?;
    make_dir(&demo.project)?;
    make_dir(&demo.data)?;
    for (name, text) in FILES.iter().chain(&[("wharf.toml", config)]) {
        let path = demo.project.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(|e| DemoError::io("make", parent, e))?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options.open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|e| DemoError::io("write", &path, e))?;
    }
    git(&demo.project, ["init", "--quiet", "--template="])?;
    // Older gits cannot be told the name of the first branch.
    git(&demo.project, ["symbolic-ref", "HEAD", "refs/heads/main"])?;
    for (name, value) in GIT_SETTINGS {
        git(&demo.project, ["config", name, value])?;
    }
    git(&demo.project, ["add", "--all"])?;
    git(&demo.project, ["commit", "--quiet", "--message", "Build a small pier"])?;
    Ok(())
}

/// Runs git in a directory, without the operator's config and variables; gives what it printed.
///
/// # Errors
/// Where git is missing, or what it said.
pub fn git<I: IntoIterator<Item = S> + Clone, S: AsRef<OsStr>>(dir: &Path, args: I) -> Result<String, DemoError> {
    let shown = || {
        let words: Vec<String> = args.clone().into_iter().map(|a| a.as_ref().to_string_lossy().into_owned()).collect();
        words.join(" ")
    };
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command.env("LC_ALL", "C").stdin(Stdio::null()).current_dir(dir).args(args.clone());
    let output = command.output().map_err(|source| DemoError::Git {
        args: shown(),
        dir: dir.to_owned(),
        message: format!("{source}; the demo needs git in PATH"),
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(DemoError::Git { args: shown(), dir: dir.to_owned(), message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn make_dir(path: &Path) -> Result<(), DemoError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| DemoError::io("make", path, e))
}

/// A directory that the operator named.
fn given(dir: &Path) -> Result<PathBuf, DemoError> {
    match make_dir(dir) {
        Ok(()) => {}
        Err(DemoError::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut entries = std::fs::read_dir(dir).map_err(|e| DemoError::io("read", dir, e))?;
            if entries.next().is_some() {
                return Err(DemoError::NotEmpty { path: dir.to_owned() });
            }
        }
        Err(error) => return Err(error),
    }
    dir.canonicalize().map_err(|e| DemoError::io("find", dir, e))
}

/// A new directory with a name that nobody can foresee.
fn temporary(parent: &Path) -> Result<PathBuf, DemoError> {
    let id = uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext)).simple().to_string();
    // The last digits of such an id are the random ones.
    let path = parent.join(format!("wharf-demo-{}", &id[20..]));
    make_dir(&path)?;
    path.canonicalize().map_err(|e| DemoError::io("find", &path, e))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_project_is_a_repository_with_a_config_that_loads() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("demo");
        let demo = make(Some(&root), Path::new("/usr/bin/wharf"), Pace::Brief).unwrap();
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        let config = demo.project.join("wharf.toml");
        let loaded = crate::config::load_project(&config, &crate::config::Overrides::default()).unwrap();
        assert_eq!(loaded.config.project.key, "PIER");
        assert_eq!(git(&demo.project, ["status", "--porcelain"]).unwrap(), "");
        assert_eq!(git(&demo.project, ["log", "--format=%an %s"]).unwrap().trim(), "wharf demo Build a small pier");
        assert_eq!(git(&demo.project, ["symbolic-ref", "--short", "HEAD"]).unwrap().trim(), "main");
        assert_eq!(find(&root).unwrap(), demo);
        demo.remove().unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn a_directory_that_holds_something_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine"), "x").unwrap();
        let error = make(Some(dir.path()), Path::new("/usr/bin/wharf"), Pace::Brief).unwrap_err();
        assert!(matches!(error, DemoError::NotEmpty { .. }), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(matches!(find(dir.path()), Err(DemoError::NoDemo { .. })));
        assert!(git(dir.path(), ["log"]).unwrap_err().to_string().contains("git log failed"));
    }

    #[test]
    fn a_program_in_an_odd_place_is_quoted_or_refused() {
        let odd = config_text(Path::new("/a \"b\"\\c/wharf"), Pace::Watched).unwrap();
        let (config, _) = crate::config::parse_project(&odd, "wharf.toml", "pier").unwrap();
        let env = &config.agents.iter().find(|a| a.name == "stubborn").unwrap().env;
        assert_eq!(env["DEMO_WHARF"], wharf_model::config::EnvValue::Text("/a \"b\"\\c/wharf".into()));
        assert!(config_text(Path::new("/a{{b/wharf"), Pace::Brief).is_err());
    }
}
