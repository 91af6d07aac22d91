//! What the end of a login, or of a container, does to what wharf keeps running.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the login manager may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logout {
    /// Runs and services go on.
    GoOn(Why),
    /// Runs and services end with it.
    Ends(Why),
    /// It cannot be told.
    Unknown,
}

/// What decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// This is process 1: a container, which ends with it.
    FirstProcess,
    /// A container that some other process leads.
    Container,
    /// The user lingers.
    Lingering,
    /// `KillUserProcesses=yes` and no lingering.
    KillUserProcesses,
    /// `KillUserProcesses=no`.
    NoKill,
    /// There is no login manager.
    NoLoginManager,
}

/// What was seen, to be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// This process has number 1.
    pub first: bool,
    /// A container's mark is there.
    pub container: bool,
    /// The user lingers; none when nobody says.
    pub lingers: Option<bool>,
    /// The login manager kills a user's processes; none when nobody says.
    pub kills: Option<bool>,
    /// There is a login manager.
    pub manager: bool,
}

/// The rule.
pub const fn judge(seen: Seen) -> Logout {
    match seen {
        Seen { first: true, .. } => Logout::Ends(Why::FirstProcess),
        Seen { lingers: Some(true), manager: true, .. } => Logout::GoOn(Why::Lingering),
        Seen { kills: Some(true), manager: true, lingers: Some(false), .. } => Logout::Ends(Why::KillUserProcesses),
        Seen { kills: Some(false), manager: true, .. } => Logout::GoOn(Why::NoKill),
        Seen { manager: true, .. } => Logout::Unknown,
        Seen { container: true, .. } => Logout::Ends(Why::Container),
        Seen { manager: false, .. } => Logout::GoOn(Why::NoLoginManager),
    }
}

impl Logout {
    /// In one sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ends(Why::FirstProcess) => {
                "wharf is process 1 of a container: its end ends all runs and services in it"
            }
            Self::Ends(Why::Container) => "this is a container: runs and services end with it",
            Self::Ends(_) => {
                "a logout ends all runs and services (KillUserProcesses=yes without lingering); `loginctl enable-linger` keeps them"
            }
            Self::GoOn(Why::Lingering) => "lingering: runs and services go on after a logout",
            Self::GoOn(Why::NoKill) => "runs and services go on after a logout (KillUserProcesses=no)",
            Self::GoOn(_) => "no login manager that would end runs at a logout",
            Self::Unknown => "whether a logout ends runs cannot be told: the login manager does not say",
        }
    }

    /// Whether somebody who is about to leave must hear of it.
    pub const fn is_warning(self) -> bool {
        !matches!(self, Self::GoOn(_))
    }
}

/// Looks. Takes up to a few seconds where the login manager does not answer.
pub fn look() -> Logout {
    judge(seen(&Places::default()))
}

/// Where it is looked.
struct Places {
    run: PathBuf,
    logind: Vec<PathBuf>,
    linger: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        let mut logind = vec![PathBuf::from("/usr/lib/systemd/logind.conf"), PathBuf::from("/etc/systemd/logind.conf")];
        for dir in ["/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d", "/etc/systemd/logind.conf.d"] {
            let mut parts: Vec<PathBuf> =
                std::fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect();
            parts.sort();
            logind.extend(parts);
        }
        Self { run: "/run".into(), logind, linger: "/var/lib/systemd/linger".into() }
    }
}

fn seen(places: &Places) -> Seen {
    let user = crate::user::name();
    let manager = places.run.join("systemd/system").is_dir() || places.run.join("systemd/seats").is_dir();
    let asked = |args: &[&str]| if manager { ask(args) } else { None };
    let kills = asked(&["show-session", "--property=KillUserProcesses", "--value"])
        .or_else(|| kill_user_processes(&places.logind).or(manager.then_some(false)));
    let lingers = asked(&["show-user", &user, "--property=Linger", "--value"])
        .or_else(|| places.linger.is_dir().then(|| places.linger.join(&user).exists()))
        // The directory is made with the first user who lingers.
        .or(Some(false));
    Seen {
        first: std::process::id() == 1,
        container: Path::new("/.dockerenv").exists() || places.run.join(".containerenv").exists(),
        lingers,
        kills,
        manager,
    }
}

/// Asks the login manager for a property that is yes or no; none when it does not say in time.
fn ask(args: &[&str]) -> Option<bool> {
    let mut child = Command::new("loginctl")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let end = Instant::now() + ANSWER_LIMIT;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() >= end {
            // It is ours and hangs; its end is taken beside.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut text = String::new();
    child.stdout?.take(64).read_to_string(&mut text).ok()?;
    yes_or_no(text.trim())
}

fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        "yes" | "true" | "1" | "on" => Some(true),
        "no" | "false" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// What logind is told to do with a user's processes, if anything; a later file overrules an earlier one.
fn kill_user_processes(files: &[PathBuf]) -> Option<bool> {
    let mut said = None;
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for line in text.lines() {
            if let Some(value) = line.trim().strip_prefix("KillUserProcesses=") {
                said = yes_or_no(value.trim());
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logind_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = |n: &str| dir.path().join(n);
        for (text, wanted) in [
            ("", None),
            ("[Login]\n#KillUserProcesses=yes\n", None),
            ("[Login]\nKillUserProcesses=yes\n", Some(true)),
            ("KillUserProcesses=no", Some(false)),
            ("KillUserProcesses=perhaps", None),
        ] {
            std::fs::write(file("a"), text).unwrap();
            assert_eq!(kill_user_processes(&[file("missing"), file("a")]), wanted, "{text:?}");
        }
        std::fs::write(file("a"), "KillUserProcesses=yes").unwrap();
        std::fs::write(file("b"), "KillUserProcesses=no").unwrap();
        assert_eq!(kill_user_processes(&[file("a"), file("b")]), Some(false));
    }

    #[test]
    fn verdicts_table() {
        let of = |first, container, lingers, kills, manager| judge(Seen { first, container, lingers, kills, manager });
        let table = [
            (of(true, true, None, None, false), Logout::Ends(Why::FirstProcess)),
            (of(false, true, Some(false), None, false), Logout::Ends(Why::Container)),
            (of(false, false, Some(true), Some(true), true), Logout::GoOn(Why::Lingering)),
            (of(false, false, Some(false), Some(true), true), Logout::Ends(Why::KillUserProcesses)),
            (of(false, false, Some(false), Some(false), true), Logout::GoOn(Why::NoKill)),
            (of(false, false, Some(false), None, true), Logout::Unknown),
            (of(false, false, None, Some(true), true), Logout::Unknown),
            (of(false, false, Some(false), None, false), Logout::GoOn(Why::NoLoginManager)),
        ];
        for (got, wanted) in table {
            assert_eq!(got, wanted);
            assert!(!got.words().is_empty());
        }
    }
}
