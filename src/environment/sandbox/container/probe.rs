//! Whether an engine can be used here.

use std::time::Duration;

use super::super::sources;
use super::Container;
use super::engine::{is_absent, trouble};
use crate::environment::driver::Check;

/// Time for one question.
const LIMIT: Duration = Duration::from_secs(15);
/// Time for a container that does next to nothing: podman without an event log takes 20 s to see its end.
const TRIAL_LIMIT: Duration = Duration::from_secs(35);
/// What a command in a container of the image must find for runs to be listed and stopped.
const LOOK: &str = "for p in tr grep; do command -v $p >/dev/null || echo missing $p; done";

/// The image's id; `None` only when the engine says that it has none.
///
/// # Errors
/// In words: it is then unknown.
pub async fn image(driver: &Container) -> Result<Option<String>, String> {
    let image = driver.config.image.as_deref().unwrap_or_default();
    let said = limited(driver.engine.call(&["image", "inspect", "--format", "{{.Id}}", image])).await?;
    match said.ok() {
        true => Ok(Some(said.line())),
        false if is_absent(&said) => Ok(None),
        false => Err(format!("{}: {}", driver.engine.kind(), trouble(&said))),
    }
}

/// Every finding.
pub async fn all(driver: &Container) -> Vec<Check> {
    let mut checks = engine(driver).await;
    let driver = driver.clone();
    let mounts = tokio::task::spawn_blocking(move || sources::checks(&driver.config, &driver.site)).await;
    checks.extend(mounts.unwrap_or_else(|panic| vec![Check::error("probe_failed", panic.to_string(), "try again")]));
    checks
}

async fn engine(driver: &Container) -> Vec<Check> {
    let (engine, kind) = (&driver.engine, driver.engine.kind());
    let Some(program) = engine.program() else {
        let hint = "install it, or choose another provider";
        return vec![Check::error("program", format!("the program {kind} is not on the path"), hint)];
    };
    let mut checks = match limited(engine.call(&["--version"])).await {
        Ok(said) if said.ok() => vec![Check::ok("program", format!("{program}, {}", said.line()))],
        Ok(said) => return vec![Check::error("program", said.line(), format!("install {kind} anew"))],
        Err(why) => return vec![Check::error("program", why, format!("install {kind} anew"))],
    };
    if let Err(why) = limited(engine.names("wharf.owner")).await {
        checks.push(Check::error("engine", why, format!("see whether {kind} ps works for this user")));
        return checks;
    }
    checks.push(Check::ok("engine", format!("{kind} answers")));
    match image(driver).await {
        Ok(Some(id)) => checks
            .push(Check::ok("image", format!("{} is here, {id}", driver.config.image.as_deref().unwrap_or_default()))),
        Ok(None) => {
            checks.push(Check::error("image", driver.no_image(), "wharf fetches no images by itself"));
            return checks;
        }
        Err(why) => {
            checks.push(Check::error("image", why, format!("see whether {kind} images works for this user")));
            return checks;
        }
    }
    checks.push(trial(driver).await);
    checks
}

/// Removes the container of a trial that was given up in the midst of it.
struct Trial {
    driver: Container,
    name: String,
    over: bool,
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.over {
            let (driver, name) = (self.driver.clone(), std::mem::take(&mut self.name));
            runtime.spawn(async move {
                let _ = limited(driver.engine.call(&["rm", "--force", &name])).await;
            });
        }
    }
}

/// A container with the settings' caps that runs a tiny command and is gone.
async fn trial(driver: &Container) -> Check {
    let limits = driver.config.limits;
    let name = format!("wharf-probe-{}", uuid::Uuid::now_v7());
    let mut words = ["run", "--rm", "--name", &name, "--pull", "never", "--network", "none", "--entrypoint", "/bin/sh"]
        .map(str::to_owned)
        .to_vec();
    let caps = [
        ("--memory", limits.memory_bytes.map(|n| n.to_string())),
        ("--pids-limit", limits.processes.map(|n| n.to_string())),
        ("--cpus", limits.cpus.map(|n| n.to_string())),
    ];
    for (word, value) in caps {
        words.extend(value.into_iter().flat_map(|value| [word.to_owned(), value]));
    }
    words.extend([driver.config.image.as_deref().unwrap_or_default(), "-c", LOOK].map(str::to_owned));
    let mut trial = Trial { driver: driver.clone(), name: name.clone(), over: false };
    let answer = within(TRIAL_LIMIT, driver.engine.call(&words)).await;
    trial.over = true;
    let said = match answer {
        Ok(said) => said,
        Err(why) => {
            // It may have been made although no answer came.
            let _ = limited(driver.engine.call(&["rm", "--force", &name])).await;
            return Check::error("container", why, "see whether the engine can start containers");
        }
    };
    let kind = driver.engine.kind();
    if !said.ok() {
        let _ = limited(driver.engine.call(&["rm", "--force", &name])).await;
        let hint = format!("try: {kind} run --rm {} true", driver.config.image.as_deref().unwrap_or_default());
        return Check::error("container", format!("no container can be started: {}", trouble(&said)), hint);
    }
    if let Some(missing) = said.out.lines().find(|line| line.starts_with("missing")) {
        let hint = "choose an image with tr and grep: without them nobody can see what runs in a container";
        return Check::error("container", format!("the image is {missing}"), hint);
    }
    match said.err.lines().find(|line| line.to_lowercase().contains("limit")) {
        Some(warning) => Check::warn(
            "limits",
            format!("{kind} says: {}", warning.trim()),
            "remove the limit, or let the engine use control groups",
        ),
        None => Check::ok("container", "a command ran in a container, with the limits of the config"),
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    within(LIMIT, call).await
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}
