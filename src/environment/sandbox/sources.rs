//! The mounts of a config, looked at before anything of this machine is shown.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use wharf_model::config::driver::{Mount, SandboxConfig};

use super::mount::{Access, Bind};
use crate::environment::driver::{Check, Site};

/// What of an operator's home is never shown, neither itself nor as a part of something larger.
pub const SECRETS: [&str; 9] =
    [".ssh", ".gnupg", ".aws", ".config/wharf", ".kube", ".docker", ".netrc", ".git-credentials", ".password-store"];

/// Sockets whose other end does outside what it is told.
const SOCKETS: [&str; 8] = [
    "docker.sock",
    "podman.sock",
    "containerd.sock",
    "crio.sock",
    "buildkitd.sock",
    "bus",
    "system_bus_socket",
    "private",
];
/// How far below a mount such sockets are looked for, and among how many entries.
const SCAN_DEPTH: usize = 2;
const SCAN_MAX: usize = 5_000;

/// The operator's home, after links.
pub fn home(site: &Site) -> Option<PathBuf> {
    let home = PathBuf::from(site.operator.get("HOME").filter(|home| home.starts_with('/'))?);
    // A user without one has all of this machine there.
    Some(home.canonicalize().unwrap_or(home)).filter(|home| home != Path::new("/"))
}

/// All mounts of a config.
///
/// # Errors
/// In words: the first that must not or cannot be shown, and what to do.
pub fn binds(config: &SandboxConfig, site: &Site) -> Result<Vec<Bind>, String> {
    config.mounts.iter().map(|mount| bind(mount, site)).collect()
}

/// One check for each mount of a config.
pub fn checks(config: &SandboxConfig, site: &Site) -> Vec<Check> {
    let one = |mount: &Mount| match bind(mount, site) {
        Ok(bind) => {
            let how = if bind.access == Access::Write { "writable" } else { "read-only" };
            Check::ok("mount", format!("{} is seen as {}, {how}", bind.source.display(), bind.target.display()))
        }
        Err(why) => Check::error("mount", why, "correct mounts in the config of the environment"),
    };
    config.mounts.iter().map(one).collect()
}

fn bind(mount: &Mount, site: &Site) -> Result<Bind, String> {
    let said = &mount.source;
    let path = match said.strip_prefix("~/") {
        Some(rest) => home(site).ok_or_else(|| format!("mount {said}: it is not known where the home is"))?.join(rest),
        None => site.base.join(said),
    };
    let source =
        path.canonicalize().map_err(|error| format!("mount {said}: {} cannot be used: {error}", path.display()))?;
    if let Some(why) = forbidden(&source, site) {
        return Err(format!("mount {said}: {} {why}; mount a smaller part of it", source.display()));
    }
    // A relative source is seen where it is here.
    let target = if mount.target.starts_with('/') { PathBuf::from(&mount.target) } else { path };
    if let Some(own) = system_target(&target) {
        return Err(format!("mount {said}: {own} is the sandbox's own and cannot be a target"));
    }
    super::mount::word(&source).and(super::mount::word(&target)).map_err(|why| format!("mount {said}: {why}"))?;
    Ok(Bind { source, target, access: if mount.writable { Access::Write } else { Access::Read } })
}

/// Why a directory, after its links, must not be shown: with it a sandbox could leave itself.
fn forbidden(source: &Path, site: &Site) -> Option<String> {
    if source == Path::new("/") {
        return Some("is all of this machine".into());
    }
    for kernel in ["/proc", "/sys", "/dev", "/run", "/var/run", "/boot"] {
        let devices = kernel == "/dev" && source.starts_with("/dev/shm/");
        if source.starts_with(kernel) && !devices {
            return Some(format!("belongs to the system ({kernel})"));
        }
    }
    if let Some(shared) = ["/tmp", "/var/tmp"].into_iter().find(|shared| source == Path::new(shared)) {
        return Some(format!("holds what every program of this machine keeps for a while ({shared})"));
    }
    let meets = |secret: &Path| source.starts_with(secret) || secret.starts_with(source);
    let data = site.data.canonicalize().unwrap_or_else(|_| site.data.clone());
    if meets(&data) {
        return Some("holds the data directory of wharf, or is in it".into());
    }
    if let Some(socket) = way_out(source) {
        return Some(format!("holds the socket {}, which commands programs outside", socket.display()));
    }
    let home = home(site)?;
    for name in SECRETS {
        let secret = home.join(name);
        let real = secret.canonicalize().unwrap_or_else(|_| secret.clone());
        if (real.exists() || secret.exists()) && (meets(&real) || meets(&secret)) {
            return Some(format!("holds ~/{name}, or is in it"));
        }
    }
    None
}

/// Why a workspace must not be shown, when it must not: it is larger than what is hidden.
pub fn too_large(root: &Path, site: &Site) -> Option<String> {
    let data = site.data.canonicalize().unwrap_or_else(|_| site.data.clone());
    if root == Path::new("/") || data.starts_with(root) {
        return Some(format!("{} holds the data directory of wharf", root.display()));
    }
    let home = home(site)?;
    let secret = SECRETS.iter().find(|name| home.join(name).starts_with(root) && home.join(name).exists())?;
    Some(format!("{} holds ~/{secret}", root.display()))
}

/// A socket of a container engine, a bus or a terminal multiplexer, where it is one or one lies near its top.
fn way_out(source: &Path) -> Option<PathBuf> {
    if commands(source) {
        return Some(source.to_owned());
    }
    let (mut todo, mut seen) = (vec![(source.to_owned(), 0)], 0);
    while let Some((dir, depth)) = todo.pop() {
        // One that cannot be read here is not read inside either.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > SCAN_MAX {
                return None;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < SCAN_DEPTH => todo.push((entry.path(), depth + 1)),
                Ok(kind) if kind.is_socket() && commands(&entry.path()) => return Some(entry.path()),
                _ => {}
            }
        }
    }
    None
}

/// Whether a path is such a socket, by its name.
fn commands(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let dir = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    (SOCKETS.contains(&name) || dir.starts_with("tmux-"))
        && path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket())
}

fn system_target(target: &Path) -> Option<&'static str> {
    ["/proc", "/dev", "/sys"]
        .into_iter()
        .find(|own| target.starts_with(own))
        .or((target == Path::new("/")).then_some("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_must_not_be_shown_is_refused_after_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for made in ["home/.ssh", "home/src", "home/.local/share/wharf", "cache", "base/in"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        symlink(root.join("home/.ssh"), root.join("cache/keys")).unwrap();
        symlink("/", root.join("cache/all")).unwrap();
        for dir in ["engine/in", "mux/tmux-7"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        let _sockets = ["engine/in/docker.sock", "mux/tmux-7/default", "cache/other.sock"]
            .map(|name| std::os::unix::net::UnixListener::bind(root.join(name)).unwrap());
        let home = root.join("home").display().to_string();
        let site = Site {
            data: root.join("home/.local/share/wharf"),
            operator: Arc::new(BTreeMap::from([("HOME".to_owned(), home)])),
            program: "/bin/wharf".into(),
            base: root.join("base"),
            plugins: Arc::default(),
        };
        let mount = |source: &str| Mount { source: source.into(), target: "/there".into(), writable: false };
        let path = |name: &str| root.join(name).display().to_string();
        let bad = [
            ("/".to_owned(), "all of this machine"),
            ("~/.ssh".to_owned(), "~/.ssh"),
            (path("home"), "data directory"),
            (path("cache/keys"), "~/.ssh"),
            (path("cache/all"), "all of this machine"),
            (path("home/.local"), "data directory"),
            (path("home/.local/share/wharf"), "data directory"),
            (root.display().to_string(), "data directory"),
            ("/proc/1".to_owned(), "belongs to the system"),
            ("nowhere".to_owned(), "cannot be used"),
            ("/tmp".to_owned(), "/tmp"),
            (path("engine"), "docker.sock"),
            (path("engine/in/docker.sock"), "docker.sock"),
            (path("mux"), "tmux-7/default"),
        ];
        for (source, words) in bad {
            let why = bind(&mount(&source), &site).unwrap_err();
            assert!(why.contains(words), "{source}: {why}");
        }
        for good in ["~/src", "in", &path("cache")] {
            assert_eq!(bind(&mount(good), &site).unwrap().target, Path::new("/there"), "{good}");
        }
        for large in ["", "home", "home/.local/share"] {
            assert!(too_large(&root.join(large).components().collect::<PathBuf>(), &site).is_some(), "{large}");
        }
        // What lies in the data directory is a workspace like others.
        for small in ["home/src", "home/.local/share/wharf/checkouts/x", "base"] {
            assert_eq!(too_large(&root.join(small), &site), None, "{small}");
        }
        let relative = Mount { source: "in".into(), target: "in".into(), writable: true };
        assert_eq!(bind(&relative, &site).unwrap().target, root.join("base/in"));
        let over = Mount { source: "in".into(), target: "/proc/x".into(), writable: true };
        assert!(bind(&over, &site).is_err());
    }
}
