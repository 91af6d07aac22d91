//! The command line of bubblewrap.

use std::path::{Path, PathBuf};

use wharf_model::config::driver::{Network, SandboxConfig};

use super::super::limits::Kept;
use super::super::mount::{self, Access, Bind};
use super::super::place::Place;
use super::super::{hand, sources};
use super::system;
use crate::environment::driver::{CwdPass, EnvPass, Site, Target};

/// Everything that a command line is made of.
pub struct Parts<'a> {
    /// bubblewrap.
    pub program: &'a Path,
    /// The environment's settings.
    pub config: &'a SandboxConfig,
    /// What surrounds the driver.
    pub site: &'a Site,
    /// The sandbox's own directory.
    pub place: &'a Place,
    /// What is shown, in order.
    pub binds: &'a [Bind],
    /// How caps are kept.
    pub limits: &'a Kept,
    /// Where links and special files may be made, beside the private directories.
    pub free: &'a [PathBuf],
    /// Directories in which none may be made.
    pub guarded: &'a [PathBuf],
}

/// Directories of the private home in which links may be made where a guarded one lies in the home: the kernel
/// can free a directory with all that is below it, and take nothing of that out again.
const FREE_OF_HOME: [&str; 18] = [
    ".bun",
    ".cache",
    ".cargo",
    ".claude",
    ".codex",
    ".config",
    ".cursor",
    ".deno",
    ".gemini",
    ".gradle",
    ".local",
    ".m2",
    ".npm",
    ".nvm",
    ".opencode",
    ".pi",
    ".venv",
    "go",
];

/// The options that do not name anything of a run: namespaces and the system.
pub fn base(network: Network) -> Vec<String> {
    let mut all: Vec<String> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname",
        "wharf-sandbox",
        "--die-with-parent",
        "--cap-drop",
        "ALL",
    ]
    .map(str::to_owned)
    .to_vec();
    if network == Network::None {
        all.push("--unshare-net".to_owned());
    }
    all.extend(system::options());
    all
}

/// How commands run in it.
///
/// # Errors
/// In words: what cannot be mounted.
pub fn target(parts: &Parts<'_>) -> Result<Target, String> {
    let (place, site) = (parts.place, parts.site);
    let mut options = base(parts.config.network);
    let mut add = |words: &[&str]| options.extend(words.iter().map(|w| (*w).to_owned()));
    let (tmp, home) = (place.part("tmp"), place.part("home"));
    // The data directory may be named by a link: what it leads to may be seen otherwise.
    let real_data = site.data.canonicalize().ok().filter(|real| *real != site.data);
    add(&["--bind", &mount::word(&tmp)?, "/tmp", "--symlink", "../tmp", "/var/tmp"]);
    let leads_to_guarded = |dir: &Path| parts.guarded.iter().any(|guarded| guarded.starts_with(dir));
    let mut free: Vec<PathBuf> = vec!["/tmp".into(), "/dev/shm".into()];
    if let Some(there) = sources::home(site) {
        add(&["--bind", &mount::word(&home)?, &mount::word(&there)?]);
        for (from, to) in system::of_home(&there, &site.operator) {
            clear(&home, &there, &to)?;
            add(&["--ro-bind", &mount::word(&from)?, &mount::word(&to)?]);
        }
        for bind in parts.binds {
            clear(&home, &there, &bind.target)?;
        }
        for own in [&site.data, &site.program].into_iter().chain(&real_data) {
            clear(&home, &there, own)?;
        }
        if leads_to_guarded(&there) {
            for name in FREE_OF_HOME {
                // What someone inside has put there instead is left as it is, and not freed.
                let _ = std::fs::create_dir(home.join(name));
                free.push(there.join(name));
            }
        } else {
            free.push(there);
        }
    }
    for own in [&site.data, &site.program].into_iter().chain(&real_data) {
        clear(&tmp, Path::new("/tmp"), own)?;
    }
    // What a run may see of the data directory lies over nothing that someone inside could have prepared.
    for data in std::iter::once(&site.data).chain(&real_data) {
        add(&["--tmpfs", &mount::word(data)?]);
    }
    for bind in parts.binds {
        clear(&tmp, Path::new("/tmp"), &bind.target)?;
        let word = if bind.access == Access::Write { "--bind" } else { "--ro-bind" };
        add(&[word, &mount::word(&bind.source)?, &mount::word(&bind.target)?]);
    }
    let program = mount::word(&site.program)?;
    add(&["--ro-bind", &program, &program]);
    free.extend(parts.free.iter().cloned());
    free.retain(|dir| !leads_to_guarded(dir));

    let mut head = hand::words(&program, hand::ENTER);
    let data = mount::word(&site.data)?;
    head.extend(["--data".to_owned(), data]);
    for group in &parts.limits.groups {
        head.extend(["--group".to_owned(), group.clone()]);
    }
    let mut tail = vec!["--".to_owned(), mount::word(parts.program)?];
    tail.extend(options);
    tail.push("--".to_owned());
    tail.extend(hand::words(&program, hand::BEGIN));
    if parts.config.network != Network::None {
        tail.push("--scoped".to_owned());
    }
    for dir in &free {
        tail.extend(["--free".to_owned(), mount::word(dir)?]);
    }
    let own = [("--processes", parts.limits.own_processes), ("--data-bytes", parts.limits.own_data_bytes)];
    for (word, value) in own {
        if let Some(value) = value {
            tail.extend([word.to_owned(), value.to_string()]);
        }
    }
    tail.push("--".to_owned());
    let mut set = parts.config.env.clone();
    // The operator's own directory for such files is not seen inside.
    set.entry("TMPDIR".to_owned()).or_insert_with(|| "/tmp".to_owned());
    // A home that is named by a link lies inside where it leads to, and nowhere else.
    if let Some(there) = sources::home(site).filter(|there| site.operator.get("HOME").map(Path::new) != Some(there)) {
        set.entry("HOME".to_owned()).or_insert(mount::word(&there)?);
    }
    Ok(Target {
        head,
        tail,
        tty: Some(vec!["--tty".to_owned()]),
        cwd: CwdPass::Flag("--chdir".to_owned()),
        env: EnvPass::Inherited,
        set,
        ..Target::default()
    })
}

/// A directory that is written from inside must not hold a link in the way to something that is mounted below it.
fn clear(real: &Path, top: &Path, target: &Path) -> Result<(), String> {
    match mount::link_on_the_way(real, top, target) {
        Some(link) => {
            Err(format!("{} is a link where {} would be mounted; remove it", link.display(), target.display()))
        }
        None => Ok(()),
    }
}
