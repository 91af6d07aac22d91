//! The shared connection of a lease: made once, checked, replaced when it died, closed with the lease.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::connection::Connection;
use super::trouble;
use crate::environment::transport::{Reply, Trouble};
use crate::process::lock::try_lock;

/// Time a shared connection stays when nobody uses it, seconds: what a console that was killed leaves behind.
const PERSIST_S: u32 = 120;
/// Time in which one that lives answers.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Time in which one is made, beyond what ssh allows for connecting.
const MAKE_LIMIT: Duration = Duration::from_mins(1);
/// Longest path of a directory for sockets: an address ends at 107 bytes, and ssh adds 17 to the name.
const DIRECTORY_MAX: usize = 60;

/// Where the socket of a lease's connection is.
///
/// Not below the data directory, whose path may be too long for a socket.
///
/// # Errors
/// No directory that is only ours can be made.
pub fn socket(connection: &Connection, lease: &str) -> Result<PathBuf, Trouble> {
    let mut hash = Sha256::new();
    for word in [connection.data().as_os_str().as_encoded_bytes(), lease.as_bytes(), connection.host().as_bytes()] {
        hash.update(word);
        hash.update([0]);
    }
    let name: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(directory(connection.env())?.join(name))
}

fn directory(env: &BTreeMap<String, String>) -> Result<PathBuf, Trouble> {
    let plain = |path: &str| path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    let runtime = env.get("XDG_RUNTIME_DIR").filter(|dir| {
        dir.starts_with('/') && dir.len() + "/wharf-ssh".len() <= DIRECTORY_MAX && plain(dir) && Path::new(dir).is_dir()
    });
    let uid = rustix::process::getuid().as_raw();
    let dir = match runtime {
        Some(runtime) => Path::new(runtime).join("wharf-ssh"),
        None => PathBuf::from(format!("/tmp/wharf-ssh-{uid}")),
    };
    let cannot = |why: String| Trouble::Refused(format!("{} cannot hold connections: {why}", dir.display()));
    match DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(error.to_string())),
    }
    let meta = std::fs::symlink_metadata(&dir).map_err(|e| cannot(e.to_string()))?;
    if meta.is_dir() && meta.uid() == uid && meta.mode().trailing_zeros() >= 6 {
        Ok(dir)
    } else {
        Err(cannot("it is not a directory that only this user can enter".into()))
    }
}

/// Runs a program of this machine to its end, with nothing to read.
pub async fn local(env: &BTreeMap<String, String>, argv: &[String]) -> Result<Reply, Trouble> {
    let mut command = Command::new(argv.first().map_or("ssh", String::as_str));
    command
        .args(argv.get(1..).unwrap_or_default())
        .env_clear()
        .envs(env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Trouble::Refused("there is no ssh on this machine; install OpenSSH's client".into())
        } else {
            Trouble::Unknown(format!("ssh cannot be started: {error}"))
        }
    })?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let read = async {
            if let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) {
                let _ends = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
            }
        };
        tokio::pin!(read);
        // One that goes on in the background may hold the pipes open: its own end is what counts.
        let mut whole = false;
        let status = tokio::select! {
            status = child.wait() => status,
            () = &mut read => {
                whole = true;
                child.wait().await
            }
        };
        if !whole {
            let _late = tokio::time::timeout(Duration::from_millis(200), &mut read).await;
        }
        status.map_err(|e| Trouble::Unknown(e.to_string()))?
    };
    Ok(Reply { code: status.code().unwrap_or(-1), out, err: String::from_utf8_lossy(&err).into_owned() })
}

async fn control(connection: &Connection, socket: &Path, verb: &str) -> bool {
    let mut argv = connection.options(Some(socket));
    argv.extend(["-O".to_owned(), verb.to_owned()]);
    argv.extend(connection.destination());
    let asked = tokio::time::timeout(CHECK_LIMIT, local(connection.env(), &argv)).await;
    matches!(asked, Ok(Ok(reply)) if reply.code == 0)
}

/// Whether the shared connection of a lease answers.
pub async fn is_alive(connection: &Connection, lease: &str) -> bool {
    let Ok(socket) = socket(connection, lease) else { return false };
    socket.exists() && control(connection, &socket, "check").await
}

/// Closes it. Whoever still uses it is cut off.
pub async fn close(connection: &Connection, lease: &str) {
    let Ok(socket) = socket(connection, lease) else { return };
    if socket.exists() {
        control(connection, &socket, "exit").await;
    }
    let _gone = std::fs::remove_file(&socket);
}

/// The lock for making it. A few for all, so that none ever has to be removed.
fn lock_path(socket: &Path) -> PathBuf {
    let first = socket.file_name().map_or(b'0', |name| name.as_encoded_bytes()[0]);
    socket.with_file_name(format!("lock-{}", char::from(first)))
}

/// Makes it when it is not there; its socket. None when somebody else has been making it for too long.
pub async fn ensure(connection: &Connection, lease: &str) -> Result<Option<PathBuf>, Trouble> {
    let socket = socket(connection, lease)?;
    if socket.exists() && control(connection, &socket, "check").await {
        return Ok(Some(socket));
    }
    let Some(_making) = lock(&lock_path(&socket)).await? else { return Ok(None) };
    if socket.exists() {
        if control(connection, &socket, "check").await {
            return Ok(Some(socket));
        }
        // Of one that died, or that hangs: it cannot be used by name any more, and ends by itself.
        let _gone = std::fs::remove_file(&socket);
    }
    let mut argv = connection.options(Some(&socket));
    for word in &mut argv {
        if word == "ControlMaster=no" {
            "ControlMaster=yes".clone_into(word);
        }
    }
    argv.extend(["-o".to_owned(), format!("ControlPersist={PERSIST_S}"), "-N".to_owned(), "-f".to_owned()]);
    argv.extend(connection.destination());
    let made = tokio::time::timeout(MAKE_LIMIT, local(connection.env(), &argv))
        .await
        .unwrap_or_else(|_| Err(Trouble::Unknown(format!("{} does not answer in time", connection.host()))))?;
    if made.code == 0 {
        // A server may forbid several sessions on one connection; then there is no socket to use.
        return Ok(socket.exists().then_some(socket));
    }
    Err(trouble::explain(&made.err, &connection.host()))
}

/// The lock of whoever makes a connection; none when it was not to be had in time.
async fn lock(path: &Path) -> Result<Option<File>, Trouble> {
    let cannot = |e: std::io::Error| Trouble::Unknown(format!("{} cannot be locked: {e}", path.display()));
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(cannot)?;
    let began = Instant::now();
    while !try_lock(&file).map_err(cannot)? {
        if began.elapsed() > MAKE_LIMIT {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Some(file))
}
