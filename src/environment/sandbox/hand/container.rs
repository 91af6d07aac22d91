//! Around the engine's `exec`, outside: `container --data DIR --run DIR --name NAME -- ENGINE exec …`.
//!
//! An engine's client does not carry signals into what it executes, and ends by them. So it has a group of
//! its own, and what asks the command to end is sent to the command, by its tag; the client ends with it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::super::container::{INSIDE, inside};
use super::{ENGINE_ENV, NOT_FOUND, Outcome, cannot, split};

/// Files of the run that are shown inside, by the variable that names them.
const FILES: [&str; 3] = ["WHARF_AGENT_SOCKET", "WHARF_PROMPT_FILE", "WHARF_CONTINUATION_FILE"];
/// Time in which a signal that was sent to everybody arrives here too.
const HEARD: Duration = Duration::from_millis(20);
/// What one pipe holds for certain.
const PIPE_MAX: usize = 32 * 1024;

/// Variables that steer an engine's client, the shell that it may be wrapped in, or the loader.
const STEERING: [&str; 24] = [
    "ALL_PROXY",
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "HOSTALIASES",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "LOCALDOMAIN",
    "LOCPATH",
    "NLSPATH",
    "NOTIFY_SOCKET",
    "NO_PROXY",
    "PATH",
    "PS4",
    "RES_OPTIONS",
    "SHELLOPTS",
    "TMPDIR",
    "TZDIR",
    "USER",
];
const STEERING_PREFIXES: [&str; 16] = [
    "BASH_FUNC_",
    "BUILDAH",
    "CONTAINER",
    "DBUS_",
    "DOCKER_",
    "GODEBUG",
    "GOTRACEBACK",
    "LD_",
    "LISTEN_",
    "MALLOC_",
    "PODMAN_",
    "REGISTRY_",
    "SSH_",
    "SSL_CERT",
    "STORAGE_",
    "XDG_",
];

#[derive(Debug, Default)]
struct Own {
    data: PathBuf,
    run: PathBuf,
    name: String,
}

/// Runs the engine's client to its end, and ends as it did.
pub fn run(words: Vec<String>) -> Outcome {
    let (words, client) = split(words)?;
    let mut own = Own::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| cannot(format!("{word} needs a value")))?;
        match word.as_str() {
            "--data" => own.data = value.into(),
            "--run" => own.run = value.into(),
            "--name" => own.name = value,
            _ => return Err(cannot(format!("{word} is not known"))),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cannot(format!("no runtime: {error}")))?;
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let shown = Shown::of(&own, &mut env);
    let outcome = runtime.block_on(keep(&own, client, env));
    drop(shown);
    outcome
}

async fn keep(own: &Own, mut client: Vec<String>, mut env: BTreeMap<String, String>) -> Outcome {
    let engine = env.remove(ENGINE_ENV).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let tag = env.get("WHARF_TAG").cloned();
    let apart = part(&mut client, &mut env, &engine).map_err(cannot)?;
    let pipe = passed(&mut client, &apart)?;
    let mut signals = Vec::new();
    for (kind, name) in [
        (SignalKind::hangup(), "HUP"),
        (SignalKind::interrupt(), "INT"),
        (SignalKind::quit(), "QUIT"),
        (SignalKind::terminate(), "TERM"),
        (SignalKind::user_defined1(), "USR1"),
        (SignalKind::user_defined2(), "USR2"),
    ] {
        let stream = signal(kind).map_err(|error| cannot(format!("signals cannot be heard: {error}")))?;
        signals.push((stream, name));
    }
    let terminal = client.iter().skip_while(|word| *word != "-i").nth(1).is_some_and(|word| word == "-t");
    let mut command = Command::new(&client[0]);
    command.args(&client[1..]).env_clear().envs(&env).kill_on_drop(true);
    if !terminal {
        // With one it must stay in the group that the terminal listens to.
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|error| (NOT_FOUND, format!("{} cannot be run: {error}", client[0])))?;
    drop(pipe);
    let (tell, mut told) = tokio::sync::mpsc::channel::<&'static str>(16);
    for (mut stream, name) in signals {
        let tell = tell.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if tell.send(name).await.is_err() {
                    break;
                }
            }
        });
    }
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| cannot(format!("{} is lost: {error}", client[0])))?;
                let mut code = status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(255);
                // The client may have been asked as well, and have ended first: what it waited for has not heard of
                // it, and did not end well, whatever the client says.
                while let Ok(Some(name)) = tokio::time::timeout(HEARD, told.recv()).await {
                    carry(own, &client[0], &engine, tag.as_deref(), name).await;
                    if code == 0 {
                        code = 128 + crate::process::signal::parse(name).map_or(15, Signal::as_raw);
                    }
                }
                return Ok(u8::try_from(code).unwrap_or(255));
            }
            Some(name) = told.recv() => carry(own, &client[0], &engine, tag.as_deref(), name).await,
        }
    }
}

/// Sends a signal to the command inside, and to what it started with its tag. What comes of it is seen by the
/// command's end; whoever asked kills this after the grace.
async fn carry(own: &Own, engine: &str, env: &BTreeMap<String, String>, tag: Option<&str>, name: &str) {
    let Some(tag) = tag else { return };
    let sent = Command::new(engine)
        .args(inside::words(&own.name, tag, name))
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .status()
        .await;
    if let Err(error) = sent {
        let _ = writeln!(std::io::stderr(), "wharf: SIG{name} cannot be carried into {}: {error}", own.name);
    }
}

/// Leaves in the environment what the engine's client is to have: the operator's own values for it, and those
/// variables of the command that it is told to pass on by name. Variables of the command that would steer the client
/// itself, here, are taken apart and go another way.
///
/// # Errors
/// In words: one that cannot go that way.
fn part(
    client: &mut Vec<String>,
    env: &mut BTreeMap<String, String>,
    engine: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, String> {
    let given = std::mem::take(env);
    env.clone_from(engine);
    let (mut apart, mut kept) = (Vec::new(), Vec::new());
    // Only options that stand before the container's name are ours; the command has its own.
    let mut at = client.iter().position(|word| word == "exec").map_or(client.len(), |at| at + 1);
    kept.extend_from_slice(&client[..at]);
    while let Some(word) = client.get(at) {
        let value = client.get(at + 1);
        match (word.as_str(), value) {
            ("--env", Some(name)) => {
                at += 2;
                let Some(value) = given.get(name) else { continue };
                if engine.get(name) == Some(value) || !(engine.contains_key(name) || steers(name)) {
                    env.insert(name.clone(), value.clone());
                    kept.extend(["--env".to_owned(), name.clone()]);
                } else if value.contains('\n') {
                    return Err(format!("the variable {name} holds a line end, and cannot be passed past the engine"));
                } else {
                    apart.push((name.clone(), value.clone()));
                }
            }
            ("--workdir", Some(value)) => {
                kept.extend([word.clone(), value.clone()]);
                at += 2;
            }
            ("-i" | "-t", _) => {
                kept.push(word.clone());
                at += 1;
            }
            _ => break,
        }
    }
    kept.extend_from_slice(&client[at..]);
    *client = kept;
    Ok(apart)
}

/// Whether a variable changes what an engine's client does, or what is loaded into it.
fn steers(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    STEERING.contains(&upper.as_str()) || STEERING_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

/// Has the client read variables from a pipe, since no value may stand in an argument or a file.
fn passed(client: &mut Vec<String>, apart: &[(String, String)]) -> Result<Option<OwnedFd>, (u8, String)> {
    if apart.is_empty() {
        return Ok(None);
    }
    let text: String = apart.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    if text.len() > PIPE_MAX {
        return Err(cannot("the variables are too long"));
    }
    let failed = |error: rustix::io::Errno| cannot(format!("variables cannot be passed: {error}"));
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
    std::fs::File::from(write).write_all(text.as_bytes()).map_err(|error| cannot(error.to_string()))?;
    rustix::io::fcntl_setfd(&read, rustix::io::FdFlags::empty()).map_err(failed)?;
    let at = client.iter().position(|word| word == "exec").map_or(client.len(), |at| at + 1);
    client.splice(at..at, ["--env-file".to_owned(), format!("/proc/self/fd/{}", read.as_raw_fd())]);
    Ok(Some(read))
}

/// Files of the run under a second name where the container sees them; gone when this is dropped.
struct Shown(Vec<PathBuf>);

impl Shown {
    fn of(own: &Own, env: &mut BTreeMap<String, String>) -> Self {
        let mut shown = Self(Vec::new());
        // A directory cannot be shown to a container that exists already.
        env.remove("WHARF_AGENT_HOME");
        for variable in FILES {
            let Some(path) = env.remove(variable) else { continue };
            if let Some(name) = show(own, Path::new(&path), &mut shown.0) {
                env.insert(variable.to_owned(), format!("{INSIDE}/{name}"));
            }
        }
        shown
    }
}

fn show(own: &Own, path: &Path, shown: &mut Vec<PathBuf>) -> Option<String> {
    let (data, real) = (own.data.canonicalize().ok()?, path.canonicalize().ok()?);
    // Nothing else than what is the run's own, whatever the variable says.
    real.strip_prefix(&data).ok().filter(|rest| rest.components().count() > 2)?;
    let name = format!("{}-{}", std::process::id(), real.file_name()?.to_str()?);
    let link = own.run.join(&name);
    let _ = std::fs::remove_file(&link);
    std::fs::hard_link(&real, &link).ok()?;
    shown.push(link);
    Some(name)
}

impl Drop for Shown {
    fn drop(&mut self) {
        for link in &self.0 {
            // What stays goes with the lease.
            let _ = std::fs::remove_file(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn the_engine_keeps_its_own_variables() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let mut env = map(&[("HOME", "/work"), ("KEY", "hidden-value"), ("PATH", "/bin")]);
        let mut client = words(&["podman", "exec", "-i", "--env", "HOME", "--env", "KEY", "box", "env"]);
        let engine = map(&[("HOME", "/home/me"), ("PATH", "/bin")]);
        let apart = part(&mut client, &mut env, &engine).unwrap();
        assert_eq!(apart, [("HOME".to_owned(), "/work".to_owned())]);
        assert_eq!(env, map(&[("HOME", "/home/me"), ("KEY", "hidden-value"), ("PATH", "/bin")]));
        let pipe = passed(&mut client, &apart).unwrap().unwrap();
        let file = format!("/proc/self/fd/{}", pipe.as_raw_fd());
        assert_eq!(client, words(&["podman", "exec", "--env-file", &file, "-i", "--env", "KEY", "box", "env"]));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "HOME=/work\n");
    }

    #[test]
    fn variables_of_a_command_do_not_steer_the_client() {
        let steering = [("LD_PRELOAD", "/x.so"), ("DOCKER_HOST", "tcp://x"), ("CONTAINERS_CONF", "/x"), ("PATH", "/x")];
        let pairs = steering.iter().chain(&[("KEY", "v"), ("NOT_NAMED", "v")]);
        let mut env: BTreeMap<String, String> = pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut client = words(&["docker", "exec", "-i", "-t", "--workdir", "/--env"]);
        for name in ["LD_PRELOAD", "DOCKER_HOST", "CONTAINERS_CONF", "PATH", "KEY", "UNSET"] {
            client.extend(words(&["--env", name]));
        }
        client.extend(words(&["box", "env", "--env", "KEY"]));
        let engine = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        let again = (client.clone(), env.clone());
        let apart = part(&mut client, &mut env, &engine).unwrap();
        assert_eq!(apart, steering.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(env, BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("KEY".to_owned(), "v".to_owned())]));
        let left = ["docker", "exec", "-i", "-t", "--workdir", "/--env", "--env", "KEY", "box", "env", "--env", "KEY"];
        assert_eq!(client, words(&left));
        let (mut client, mut env) = again;
        env.insert("LD_PRELOAD".into(), "a\nb".into());
        assert!(part(&mut client, &mut env, &engine).unwrap_err().contains("LD_PRELOAD"));
    }

    #[test]
    fn files_of_the_run_are_linked_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().canonicalize().unwrap();
        for made in ["runs/aa/x", "environments/e/l/run"] {
            std::fs::create_dir_all(data.join(made)).unwrap();
        }
        std::fs::write(data.join("runs/aa/x/agent.sock"), "s").unwrap();
        std::fs::write(data.join("wharf.db"), "").unwrap();
        let own = Own { run: data.join("environments/e/l/run"), data: data.clone(), name: "box".into() };
        let path = |name: &str| data.join(name).display().to_string();
        let mut env = BTreeMap::from([
            ("WHARF_AGENT_SOCKET".to_owned(), path("runs/aa/x/agent.sock")),
            ("WHARF_PROMPT_FILE".to_owned(), path("wharf.db")),
        ]);
        let shown = Shown::of(&own, &mut env);
        let name = env["WHARF_AGENT_SOCKET"].strip_prefix("/run/wharf/").unwrap();
        assert!(own.run.join(name).exists() && !env.contains_key("WHARF_PROMPT_FILE"));
        drop(shown);
        assert_eq!(std::fs::read_dir(&own.run).unwrap().count(), 0);
    }
}
