//! How a container is made.

use sha2::{Digest, Sha256};
use wharf_model::config::driver::{Network, SandboxConfig, SandboxProvider};

use super::super::mount::{self, Access, Bind};
use super::super::place::Place;
use super::{INSIDE, LABEL_ENVIRONMENT, LABEL_MADE, LABEL_OWNER, LABEL_PLACE};
use crate::environment::driver::Site;

/// Its main process: it waits, and ends when it is asked to.
const IDLE: &str = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done";

/// The command line that makes a container, and what it is known by: the same for the same settings and mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Words for the engine.
    pub words: Vec<String>,
    /// Digest of all that it is made of.
    pub made: String,
}

/// Says how one is to be made.
///
/// # Errors
/// In words: what cannot be mounted.
pub fn wanted(
    config: &SandboxConfig,
    site: &Site,
    owner: &str,
    place: &Place,
    binds: &[Bind],
) -> Result<Wanted, String> {
    let image = config.image.as_deref().ok_or("no image is set")?;
    let mut words: Vec<String> = Vec::new();
    let mut add = |more: &[&str]| words.extend(more.iter().map(|w| (*w).to_owned()));
    add(&["--init", "--workdir", "/", "--entrypoint", "/bin/sh", "--security-opt", "no-new-privileges"]);
    // Only what is here: an image is fetched by the operator.
    add(&["--pull", "never"]);
    match (config.network, config.provider) {
        (Network::None, _) => add(&["--network", "none"]),
        (Network::Host, _) => add(&["--network", "host"]),
        (Network::Private, SandboxProvider::Docker) => add(&["--network", "bridge"]),
        (Network::Private, _) => add(&["--network", "private"]),
    }
    if config.provider == SandboxProvider::Podman {
        // The project's files keep the labels that they have outside.
        add(&["--security-opt", "label=disable"]);
    }
    if let Some(user) = &config.user {
        add(&["--user", user]);
        if config.provider == SandboxProvider::Podman && !rustix::process::geteuid().is_root() {
            // So that a user with the operator's number is the operator, and can write the workspace.
            add(&["--userns", "keep-id"]);
        }
    }
    if let Some(bytes) = config.limits.memory_bytes {
        add(&["--memory", &bytes.to_string(), "--memory-swap", &bytes.to_string()]);
    }
    if let Some(processes) = config.limits.processes {
        add(&["--pids-limit", &processes.to_string()]);
    }
    if let Some(cpus) = config.limits.cpus {
        add(&["--cpus", &cpus.to_string()]);
    }
    for bind in binds {
        add(&["--mount", &mounted(bind)?]);
    }
    let own = [
        (place.part("run"), INSIDE.into(), Access::Read),
        (site.program.clone(), "/usr/local/bin/wharf".into(), Access::Read),
    ];
    for (source, target, access) in own {
        add(&["--mount", &mounted(&Bind { source, target, access })?]);
    }
    let made = Sha256::digest(format!("{image}\0{}", words.join("\0")).as_bytes());
    let made = made.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    let labels = [
        (LABEL_OWNER, owner.to_owned()),
        (LABEL_ENVIRONMENT, place.environment().to_string()),
        (LABEL_PLACE, place.id().to_string()),
        (LABEL_MADE, made.clone()),
    ];
    let mut all = vec!["create".to_owned(), "--name".to_owned(), super::name(place)];
    for (label, value) in labels {
        all.extend(["--label".to_owned(), format!("{label}={value}")]);
    }
    all.extend(words);
    all.extend([image, "-c", IDLE].map(str::to_owned));
    Ok(Wanted { words: all, made })
}

fn mounted(bind: &Bind) -> Result<String, String> {
    let end = if bind.access == Access::Read { ",readonly" } else { "" };
    Ok(format!("type=bind,source={},target={}{end}", mount::word(&bind.source)?, mount::word(&bind.target)?))
}
