//! Looks up secrets when a run or service starts. Values live in memory until the start message is
//! written and nowhere else; no error and no debug text ever holds one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use wharf_model::config::SecretConfig;

use super::small_file;
use crate::environment::search;
use crate::process::session::lead_session;

/// Time a secret's command may take.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// Time in which it must be gone once it was killed: one that runs as another user cannot be.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// Largest secret, in bytes.
pub const SECRET_MAX_BYTES: u64 = 64 * 1024;
/// Values below this are not starred out of the output: they would hit ordinary text.
pub const REDACTED_FROM_BYTES: usize = 8;

/// A secret's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for an environment or a redact list.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Why a secret has no value. Names the secret and its source, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The config defines none of this name.
    #[error("no secret is called {name:?}; define [secret.{name}] in wharf.toml")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The variable is not set, or empty.
    #[error("secret {name:?} comes from the variable {variable}, which is not set where wharf was started")]
    NotSet {
        /// Its name.
        name: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("secret {name:?} comes from {}, which cannot be read: {cause}", path.display())]
    File {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The command gave no value.
    #[error("secret {name:?} comes from the command {program:?}, which {cause}")]
    Command {
        /// Its name.
        name: String,
        /// The program.
        program: String,
        /// What happened.
        cause: String,
    },
    /// There is a value that cannot be used.
    #[error("secret {name:?} {cause}")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        cause: &'static str,
    },
}

/// Something that knows secrets by their names.
pub trait SecretSource {
    /// The value of a secret. May take up to [`COMMAND_LIMIT`]: never call it where others wait.
    fn resolve(&mut self, name: &str) -> Result<Secret, SecretError>;
}

/// The secrets of a project's config.
#[derive(Debug)]
pub struct ConfiguredSecrets<'a> {
    secrets: &'a BTreeMap<String, SecretConfig>,
    operator: &'a BTreeMap<String, String>,
    directory: &'a Path,
    limit: Duration,
    /// What the operator should know, although the values could be used.
    pub warnings: Vec<String>,
}

impl<'a> ConfiguredSecrets<'a> {
    /// Secrets as configured in `directory`, over the operator's environment.
    pub fn new(
        secrets: &'a BTreeMap<String, SecretConfig>,
        operator: &'a BTreeMap<String, String>,
        directory: &'a Path,
    ) -> Self {
        Self { secrets, operator, directory, limit: COMMAND_LIMIT, warnings: Vec::new() }
    }

    fn path(&self, file: &str) -> PathBuf {
        match (file.strip_prefix("~/"), self.operator.get("HOME")) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ => self.directory.join(file),
        }
    }

    fn in_file(&mut self, name: &str, file: &str) -> Result<String, SecretError> {
        let path = self.path(file);
        let fail = |cause: std::io::Error| SecretError::File {
            name: name.to_owned(),
            path: path.clone(),
            cause: cause.to_string(),
        };
        let (text, metadata) = small_file::read(&path, SECRET_MAX_BYTES).map_err(fail)?;
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o777;
            let path = path.display();
            self.warnings
                .push(format!("{path}, which holds secret {name:?}, is open to others ({mode:04o}); chmod 600"));
        }
        Ok(text)
    }

    fn by_command(&self, name: &str, argv: &[String]) -> Result<String, SecretError> {
        let program = argv.first().cloned().unwrap_or_default();
        let fail = |cause: String| SecretError::Command { name: name.to_owned(), program: program.clone(), cause };
        let mut command = Command::new(&program);
        command
            .args(argv.get(1..).unwrap_or_default())
            .current_dir(self.directory)
            .env_clear()
            .envs(self.operator)
            // Whoever may write the checkout could put a program of this name there.
            .env("PATH", search::path(self.operator, self.directory))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Apart from the console's terminal: it must not ask there, nor be stopped by it.
        let mut child =
            lead_session(&mut command).spawn().map_err(|error| fail(format!("cannot be started: {error}")))?;
        let answer = output(&mut child, self.limit);
        // The whole group, since a helper may have left others behind; it still has our child, which
        // was not waited for, so the number cannot be another's yet.
        if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let ended = ended(&mut child, KILL_LIMIT).map_err(|error| fail(format!("cannot be waited for: {error}")))?;
        let bytes = answer.map_err(&fail)?;
        let Some(status) = ended else { return Err(fail(format!("does not end (process {})", child.id()))) };
        if !status.success() {
            return Err(fail(format!("failed ({status}); run it yourself to see why")));
        }
        String::from_utf8(bytes).map_err(|_| fail("wrote no UTF-8 text".into()))
    }
}

impl SecretSource for ConfiguredSecrets<'_> {
    fn resolve(&mut self, name: &str) -> Result<Secret, SecretError> {
        let secrets = self.secrets;
        let source = secrets.get(name).ok_or_else(|| SecretError::Unknown { name: name.to_owned() })?;
        let text = match source {
            SecretConfig::Env(variable) => {
                let value = self.operator.get(variable).filter(|value| !value.is_empty());
                value
                    .cloned()
                    .ok_or_else(|| SecretError::NotSet { name: name.to_owned(), variable: variable.clone() })?
            }
            SecretConfig::File(file) => trimmed(self.in_file(name, file)?),
            SecretConfig::Command(argv) => trimmed(self.by_command(name, argv)?),
        };
        let unusable = |cause| SecretError::Unusable { name: name.to_owned(), cause };
        if text.is_empty() {
            return Err(unusable("is empty"));
        }
        if text.contains('\0') {
            return Err(unusable("holds a NUL, which no environment can carry"));
        }
        if text.len() < REDACTED_FROM_BYTES {
            self.warnings.push(format!("secret {name:?} is under 8 bytes, too short to be starred out of the output"));
        }
        Ok(Secret(text))
    }
}

/// Without the one line end that editors and commands put behind a value.
fn trimmed(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// How the child ended; none when it does not within the limit.
fn ended(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(ErrorKind::NotFound)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        wait_for(&mut [PollFd::new(&pidfd, PollFlags::IN)], left)?;
    }
}

/// Waits until one of these is ready, at most so long.
fn wait_for(fds: &mut [PollFd<'_>], limit: Duration) -> std::io::Result<()> {
    let timeout = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: i64::from(limit.subsec_nanos()) };
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the child writes until it ends; the child is not waited for.
fn output(child: &mut Child, limit: Duration) -> Result<Vec<u8>, String> {
    let io = |error: std::io::Error| format!("cannot be read: {error}");
    let deadline = Instant::now() + limit;
    let Some(mut stdout) = child.stdout.take() else { return Err("has no output".into()) };
    rustix::io::ioctl_fionbio(&stdout, true).map_err(|error| io(error.into()))?;
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or("has no process number")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| io(error.into()))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let mut is_open = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("took longer than {} s", limit.as_secs_f32()));
        }
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&stdout, PollFlags::IN)];
        let watched = if is_open { 2 } else { 1 };
        wait_for(&mut fds[..watched], left).map_err(io)?;
        let has_ended = !fds[0].revents().is_empty();
        // Ends at the size limit, at the end of the stream, or where there is nothing to read yet.
        while is_open {
            match stdout.read(&mut buffer) {
                Ok(0) => is_open = false,
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io(error)),
            }
            if bytes.len() as u64 > SECRET_MAX_BYTES {
                return Err(format!("wrote more than {SECRET_MAX_BYTES} bytes"));
            }
        }
        if has_ended {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn operator() -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap();
        BTreeMap::from([
            ("PATH".into(), path),
            ("KEY".into(), "from-the-variable".into()),
            ("EMPTY".into(), String::new()),
        ])
    }

    fn resolve(source: SecretConfig, directory: &Path, limit: Duration) -> (Result<Secret, SecretError>, Vec<String>) {
        let secrets = BTreeMap::from([("k".to_owned(), source)]);
        let operator = operator();
        let mut all = ConfiguredSecrets::new(&secrets, &operator, directory);
        all.limit = limit;
        (all.resolve("k"), all.warnings)
    }

    fn command(line: &str) -> Result<String, String> {
        let argv = ["sh", "-c", line].map(str::to_owned).to_vec();
        let (answer, _) = resolve(SecretConfig::Command(argv), Path::new("/"), Duration::from_secs(5));
        answer.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn from_variables() {
        let get = |name: &str| resolve(SecretConfig::Env(name.into()), Path::new("/"), COMMAND_LIMIT).0;
        assert_eq!(get("KEY").unwrap().reveal(), "from-the-variable");
        assert!(get("NONE").unwrap_err().to_string().contains("NONE"));
        assert!(get("EMPTY").is_err());
    }

    #[test]
    fn from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let get = || resolve(SecretConfig::File("key".into()), dir.path(), COMMAND_LIMIT);
        assert!(get().0.unwrap_err().to_string().contains("key"));
        std::fs::write(&file, "from-the-file\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let (secret, warnings) = get();
        assert_eq!(secret.unwrap().reveal(), "from-the-file");
        assert!(warnings[0].contains("0640"), "{warnings:?}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(get().1, Vec::<String>::new());
        std::fs::write(&file, "short\r\n").unwrap();
        let (secret, warnings) = get();
        assert_eq!(secret.unwrap().reveal(), "short");
        assert!(warnings[0].contains("too short"));
        for unusable in ["\n", "a\0b", &"x".repeat(SECRET_MAX_BYTES as usize + 1)] {
            std::fs::write(&file, unusable).unwrap();
            assert!(get().0.is_err());
        }
    }

    #[test]
    fn from_commands() {
        assert_eq!(command("echo from-the-command"), Ok("from-the-command".into()));
        assert_eq!(command("printf 'two\\nlines\\n'"), Ok("two\nlines".into()));
        assert!(command("echo hunter2hunter2; exit 3").unwrap_err().contains("exit status: 3"));
        assert!(command("yes").unwrap_err().contains("more than"));
        let (missing, _) =
            resolve(SecretConfig::Command(vec!["no-such-program".into()]), Path::new("/"), COMMAND_LIMIT);
        assert!(missing.unwrap_err().to_string().contains("no-such-program"));
    }

    /// A helper that leaves something behind which holds the output open is not waited for.
    #[test]
    fn a_program_is_not_looked_for_in_the_checkout() {
        let top = tempfile::tempdir().unwrap();
        let bin = top.path().join("checkout/node_modules/.bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("show-it"), "#!/bin/sh\necho planted\n").unwrap();
        std::fs::set_permissions(bin.join("show-it"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let secrets = BTreeMap::from([("key".to_owned(), SecretConfig::Command(vec!["show-it".to_owned()]))]);
        let mut operator = operator();
        let path = format!("{}:{}", bin.display(), operator["PATH"]);
        operator.insert("PATH".into(), path);
        let answer = |directory: &Path| ConfiguredSecrets::new(&secrets, &operator, directory).resolve("key");
        assert!(answer(&top.path().join("checkout")).unwrap_err().to_string().contains("cannot be started"));
        assert_eq!(answer(Path::new("/")).unwrap().reveal(), "planted");
    }

    #[test]
    fn a_command_ends_when_it_ends_or_when_its_time_is_over() {
        let begun = Instant::now();
        assert_eq!(command("echo value-first; sleep 60 &"), Ok("value-first".into()));
        let slow = SecretConfig::Command(["sh", "-c", "exec >&-; sleep 60"].map(str::to_owned).to_vec());
        let (slow, _) = resolve(slow, Path::new("/"), Duration::from_millis(200));
        assert!(slow.unwrap_err().to_string().contains("took longer than 0.2 s"));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_command_has_no_terminal_and_is_not_waited_for_without_end() {
        let answer = command(
            "read -r pid _ _ _ _ sid _ < /proc/self/stat; echo leads-$((pid - sid)); (: < /dev/tty) || echo none",
        );
        assert_eq!(answer, Ok("leads-0\nnone".into()));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(ended(&mut child, Duration::from_millis(20)).unwrap(), None);
        child.kill().unwrap();
        assert!(ended(&mut child, Duration::from_secs(20)).unwrap().is_some());
    }

    #[test]
    fn no_value_in_debug_text_or_errors() {
        assert_eq!(format!("{:?}", Secret::new("hunter2hunter2".into())), "Secret(***)");
        let error = command("echo hunter2hunter2; exit 1").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
