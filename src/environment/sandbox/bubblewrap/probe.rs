//! Whether bubblewrap can be used here.

use std::time::Duration;

use wharf_model::config::driver::Network;

use super::super::{limits, program, sources};
use super::{Bubblewrap, options};
use crate::environment::driver::Check;
use crate::process::landlock;

/// What is said when it is not there.
pub const NOT_FOUND: &str = "the program bwrap is not on the path; install bubblewrap";
/// Time for a command that does nothing.
const LIMIT: Duration = Duration::from_secs(10);
const HINT: &str = "the kernel must let this user make namespaces: in a container they must be allowed to it; else look \
    at the settings kernel.unprivileged_userns_clone, user.max_user_namespaces and \
    kernel.apparmor_restrict_unprivileged_userns";

/// Every finding.
pub async fn all(driver: &Bubblewrap) -> Vec<Check> {
    let mut checks = usable(driver).await;
    let driver = driver.clone();
    let more = tokio::task::spawn_blocking(move || {
        let mut more = vec![links()];
        more.extend((driver.config.network != Network::None).then(abstract_sockets));
        more.extend(limits::checks(&driver.config.limits));
        more.extend(sources::checks(&driver.config, &driver.site));
        more
    });
    checks
        .extend(more.await.unwrap_or_else(|panic| vec![Check::error("probe_failed", panic.to_string(), "try again")]));
    checks
}

/// Whether a command can run in one: the program, and namespaces by a real, tiny run.
pub async fn usable(driver: &Bubblewrap) -> Vec<Check> {
    let Some(path) = driver.program() else {
        return vec![Check::error("program", "the program bwrap is not on the path", "install bubblewrap")];
    };
    let shown = path.display().to_string();
    let env = std::collections::BTreeMap::new();
    let version = match limited(program::run(&[shown.clone(), "--version".into()], &env, None)).await {
        Ok(said) if said.ok() => said.line(),
        Ok(said) => {
            return vec![Check::error("program", format!("{shown} says: {}", said.line()), "install bubblewrap anew")];
        }
        Err(why) => return vec![Check::error("program", why, "install bubblewrap anew")],
    };
    let mut checks = vec![Check::ok("program", format!("{shown}, {version}"))];
    let mut argv = vec![shown];
    argv.extend(options::base(driver.config.network));
    argv.extend(["--remount-ro", "/", "--", "/bin/sh", "-c", "exit 0"].map(str::to_owned));
    checks.push(match limited(program::run(&argv, &env, None)).await {
        Ok(said) if said.ok() => Check::ok("namespaces", "a command ran in namespaces of its own"),
        Ok(said) => Check::error("namespaces", format!("no sandbox can be made: {}", said.line()), HINT),
        Err(why) => Check::error("namespaces", why, HINT),
    });
    checks
}

async fn limited<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(LIMIT, call).await.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())))
}

/// Whether links can be kept out of git's directories.
fn links() -> Check {
    match landlock::version() {
        Some(version) => Check::ok("links", format!("no links are made in git's directories (Landlock {version})")),
        None => Check::warn(
            "links",
            "the kernel has no Landlock: links made in git's directories are only found and removed after a run",
            "enable Landlock, or use git in such a workspace only after the run",
        ),
    }
}

/// Whether sockets without a file can be kept apart although the network is shared.
fn abstract_sockets() -> Check {
    match landlock::version() {
        Some(version) if version >= landlock::VERSION_SCOPED => {
            Check::ok("abstract_sockets", "sockets with abstract names outside are not reached from inside")
        }
        _ => Check::warn(
            "abstract_sockets",
            format!(
                "with the network of this machine a run reaches sockets with abstract names too (some desktops' buses \
                 and displays): the kernel has no Landlock {}",
                landlock::VERSION_SCOPED
            ),
            "use network = \"none\", or a kernel from 6.12 on with Landlock",
        ),
    }
}
