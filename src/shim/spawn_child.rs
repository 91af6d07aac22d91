//! Starting the child: which file, why not, and with exactly the environment that was sent.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use wharf_model::shim::{SpawnError, Spec, StdinMode};

use crate::process::exec::{self, Held, Program, StartFailure, Stdio, Step};
use crate::process::terminal;

/// Search path when the child's environment has none.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Size asked for the pipes of the child's output.
const PIPE_BYTES: usize = 1 << 20;
/// Added to the child's chance to be taken when memory runs out, so that it goes before its shim.
const OOM_SCORE: &str = "500";
/// Time in which the kernel must have executed the program, or refused.
pub const EXEC_LIMIT: Duration = Duration::from_secs(30);

/// The shim's ends of the child's standard descriptors; none of them blocks.
#[derive(Debug)]
pub struct Ends {
    /// To standard input, when bytes are sent.
    pub stdin: Option<OwnedFd>,
    /// From standard output, or from the terminal.
    pub stdout: OwnedFd,
    /// From standard error; a terminal has one stream only.
    pub stderr: Option<OwnedFd>,
    /// The keeper's end of the terminal, when there is one.
    pub terminal: Option<OwnedFd>,
}

/// Makes the child; it waits to be let go.
///
/// # Errors
/// A [`SpawnError`] that says in words what is wrong with command, directory or environment.
pub fn prepare(spec: &Spec, program: &Program, lock: BorrowedFd<'_>) -> Result<(Held, Ends), SpawnError> {
    if let Some(size) = spec.tty {
        let pair = || -> io::Result<_> {
            let (keeper, child) = terminal::open_pair(size)?;
            Ok((keeper.try_clone()?, keeper, child))
        };
        let (stdout, keeper, child) = pair().map_err(|e| failed("cannot make the child's terminal", &e))?;
        let end = child.as_fd();
        let held = exec::fork_held(program, Stdio { stdin: end, stdout: end, stderr: end }, &[lock])
            .map_err(|f| explain(f, program, spec))?;
        return Ok((held, Ends { stdin: None, stdout, stderr: None, terminal: Some(keeper) }));
    }
    let pipes = || -> io::Result<_> {
        let stdin = match spec.stdin {
            StdinMode::None => (exec::null_input()?, None),
            StdinMode::Sent => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&write, true)?;
                (read, Some(write))
            }
        };
        Ok((stdin, output_pipe()?, output_pipe()?))
    };
    let ((child_in, stdin), (stdout, child_out), (stderr, child_err)) =
        pipes().map_err(|e| failed("cannot make the child's pipes", &e))?;
    let stdio = Stdio { stdin: child_in.as_fd(), stdout: child_out.as_fd(), stderr: child_err.as_fd() };
    let held = exec::fork_held(program, stdio, &[lock]).map_err(|f| explain(f, program, spec))?;
    Ok((held, Ends { stdin, stdout, stderr: Some(stderr), terminal: None }))
}

fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // Refused once a user has many large pipes; the usual size works as well.
    let _ = fcntl_setpipe_size(&read, PIPE_BYTES);
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}

/// Says in words why a start failed.
pub fn explain(failure: StartFailure, program: &Program, spec: &Spec) -> SpawnError {
    let StartFailure { step, error } = failure;
    let path = bytes_path(&program.path);
    match step {
        Step::ChangeDirectory => cwd_missing(&spec.cwd, &error),
        Step::Execute => explain_exec(&resolve(&path, &spec.cwd), &error),
        Step::Prepare => failed("cannot make the child's process", &error),
        Step::NoAnswer => failed(&format!("the kernel did not start {}", path.display()), &error),
    }
}

/// What would be executed. Kept apart so that it can be asked again when the start fails.
///
/// # Errors
/// As [`prepare`].
pub fn program(spec: &Spec, env: &BTreeMap<String, String>) -> Result<Program, SpawnError> {
    let text = |what: &str, value: &str| {
        CString::new(value).map_err(|_| refused(format!("{what} holds a zero byte, which no program can be given")))
    };
    match std::fs::metadata(&spec.cwd) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(cwd_missing(&spec.cwd, &io::Error::from_raw_os_error(libc::ENOTDIR))),
        Err(error) => return Err(cwd_missing(&spec.cwd, &error)),
    }
    let Some(first) = spec.argv.first() else { return Err(refused("the command is empty".to_owned())) };
    let (command, argv) = if spec.shell {
        if spec.argv.len() != 1 {
            let found = spec.argv.len();
            return Err(refused(format!("a shell command is one string; {found} were given")));
        }
        let shell = env.get("SHELL").filter(|s| !s.is_empty()).map_or("/bin/sh", String::as_str);
        (shell, vec![shell.to_owned(), "-c".to_owned(), first.clone()])
    } else {
        (first.as_str(), spec.argv.clone())
    };
    let path = find(command, env.get("PATH").map_or(DEFAULT_PATH, String::as_str), &spec.cwd)?;
    let mut variables = Vec::with_capacity(env.len());
    for (name, value) in env {
        if name.is_empty() || name.contains('=') {
            return Err(refused(format!("{name:?} cannot be the name of a variable")));
        }
        variables.push(text(&format!("the variable {name}"), &format!("{name}={value}"))?);
    }
    Ok(Program {
        path: CString::new(path.into_os_string().into_vec())
            .map_err(|_| refused("the command holds a zero byte, which no program can be given".to_owned()))?,
        argv: argv.iter().map(|arg| text("an argument", arg)).collect::<Result<_, _>>()?,
        env: variables,
        cwd: text("the working directory", &spec.cwd)?,
        oom_score_adj: text("a number", OOM_SCORE)?,
        terminal: spec.tty.is_some(),
    })
}

/// Finds the file of a command as the child would: a name with a slash counts from the working
/// directory, any other is looked for along the child's PATH.
fn find(command: &str, path: &str, cwd: &str) -> Result<PathBuf, SpawnError> {
    if command.is_empty() {
        return Err(not_found("the command is an empty string".to_owned()));
    }
    if command.contains('/') {
        let file = resolve(Path::new(command), cwd);
        return match std::fs::metadata(&file) {
            Ok(_) => Ok(PathBuf::from(command)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
                Err(not_found(format!("there is no {}", file.display())))
            }
            Err(e) => Err(failed(&format!("cannot look at {}", file.display()), &e)),
        };
    }
    let mut unusable = None;
    for dir in path.split(':') {
        let file = resolve(Path::new(if dir.is_empty() { "." } else { dir }), cwd).join(command);
        if !std::fs::metadata(&file).is_ok_and(|m| m.is_file()) {
            continue;
        }
        if rustix::fs::accessat(CWD, &file, Access::EXEC_OK, AtFlags::EACCESS).is_ok() {
            return Ok(file);
        }
        unusable.get_or_insert(file);
    }
    Err(match unusable {
        Some(file) => not_executable(format!("{} may not be executed: it lacks the permission", file.display()), None),
        None => not_found(format!("there is no {command} along the child's PATH, which is {path}")),
    })
}

fn explain_exec(file: &Path, error: &io::Error) -> SpawnError {
    let shown = file.display();
    let head = head(file);
    match error.raw_os_error() {
        Some(libc::ENOEXEC) if head.starts_with(b"\x7fELF") => {
            failed(&format!("{shown} is built for another kind of machine"), error)
        }
        Some(libc::ENOEXEC) => not_executable(
            format!("{shown} is no program the kernel knows; a script needs a first line that begins with #!"),
            error.raw_os_error(),
        ),
        Some(libc::EACCES | libc::EISDIR) if file.is_dir() => failed(&format!("{shown} is a directory"), error),
        Some(libc::EACCES) => not_executable(format!("{shown} may not be executed: {error}"), error.raw_os_error()),
        Some(libc::ENOENT) if file.exists() => match interpreter(&head) {
            Some(interpreter) => failed(&format!("the interpreter {interpreter} of {shown} is missing"), error),
            None => failed(&format!("the loader that {shown} asks for is missing"), error),
        },
        Some(libc::ENOENT) => not_found(format!("there is no {shown}")),
        Some(libc::E2BIG) => failed("arguments and environment are too long for the kernel", error),
        _ => failed(&format!("cannot execute {shown}"), error),
    }
}

/// Beginning of a file; empty when it cannot be read.
fn head(file: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(open) = File::open(file) {
        // What cannot be read only makes the words poorer.
        let _ = open.take(256).read_to_end(&mut head);
    }
    head
}

fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|&b| b == b'\n').next()?;
    let word = line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    Some(String::from_utf8_lossy(word).into_owned())
}

fn resolve(path: &Path, cwd: &str) -> PathBuf {
    Path::new(cwd).join(path)
}

fn bytes_path(path: &CString) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}

fn cwd_missing(cwd: &str, error: &io::Error) -> SpawnError {
    SpawnError {
        code: "cwd_missing".to_owned(),
        message: format!("the working directory {cwd} cannot be entered: {error}"),
        errno: error.raw_os_error(),
    }
}

fn not_found(message: String) -> SpawnError {
    SpawnError { code: "command_not_found".to_owned(), message, errno: Some(libc::ENOENT) }
}

fn not_executable(message: String, errno: Option<i32>) -> SpawnError {
    SpawnError { code: "command_not_executable".to_owned(), message, errno: errno.or(Some(libc::EACCES)) }
}

fn failed(what: &str, error: &io::Error) -> SpawnError {
    SpawnError { code: "exec_failed".to_owned(), message: format!("{what}: {error}"), errno: error.raw_os_error() }
}

/// A spec that cannot be carried out, in words.
pub fn refused(message: String) -> SpawnError {
    SpawnError { code: "exec_failed".to_owned(), message, errno: None }
}
