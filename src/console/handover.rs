//! Programs that get the terminal for a while: a shell, the pager, the editor.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use wharf_model::{Kind, RunId};
use wharf_store::Reader;
use wharf_store::log::{LineKey, LogLines, LogReader, StreamSet, copy_to};
use wharf_ui::effect::{LinePlace, Owner, Streams};

use super::output::{self, set};
use crate::process::shim_dir;

/// Bytes of output handed to the pager or into a file, at most.
const COPY_MAX_BYTES: u64 = 4 << 30;
/// Time for finding the number of a line, and bytes counted between two looks at the clock.
const COUNT_LIMIT: Duration = Duration::from_millis(300);
const COUNT_BYTES: u64 = 8 << 20;
/// Longest text taken back from an editor.
const TEXT_MAX_BYTES: u64 = 1 << 20;

/// How a child that has the terminal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It runs.
    Runs,
    /// It has ended: whether well.
    Ended(bool),
}

/// Looks after a child that has the terminal. One that stopped itself goes on: there is no shell
/// from which it could be brought back.
pub fn look(child: &mut Child) -> Stand {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return Stand::Ended(false) };
    match waitpid(Some(pid), WaitOptions::NOHANG | WaitOptions::UNTRACED) {
        Ok(None) | Err(rustix::io::Errno::INTR) => Stand::Runs,
        Ok(Some((_, status))) if status.stopped() => {
            // It may have ended in between.
            let _ = kill_process(pid, Signal::CONT);
            Stand::Runs
        }
        Ok(Some((_, status))) => Stand::Ended(status.exit_status() == Some(0)),
        Err(_) => Stand::Ended(false),
    }
}

/// The operator's shell in `dir`, with `vars` beside the environment of the console.
pub fn shell(tmp: &Path, dir: &Path, vars: Vec<(String, String)>) -> Command {
    let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| OsString::from("/bin/sh"));
    let is_bash = Path::new(&shell).file_name().is_some_and(|name| name == "bash");
    let mut command = Command::new(&shell);
    // `fg` is what fingers type after ctrl-z; where there is no job it comes back as well.
    if is_bash && let Ok(file) = write_private(tmp, "bashrc", BASH_START.as_bytes()) {
        command.arg("--rcfile").arg(file).arg("-i");
    }
    command.current_dir(dir).envs(vars).env("WHARF_SHELL", "1");
    command
}

/// This program, attached to the terminal of a run, and the run's number.
///
/// # Errors
/// It has no terminal, or none any more, in words.
pub fn attach(data: &Path, reader: &Reader, id: RunId) -> Result<(Command, String), String> {
    let gone = || "it is not in the store any more".to_owned();
    let run = reader.run_line(id).map_err(|e| e.to_string())?.ok_or_else(gone)?;
    let name = Kind::Run.number(run.number);
    if run.status.is_terminal() {
        return Err(format!("{name} has ended"));
    }
    let place = output::place(reader, data, Owner::Run(id)).map_err(|e| e.to_string())?.ok_or_else(gone)?;
    match shim_dir::read_spec(&place.dir).ok() {
        None => Err(format!("the process of {name} has not been started yet")),
        Some(spec) if spec.tty.is_none() => Err(format!("{name} has no terminal; its agent needs tty = true")),
        Some(_) => {
            // The path of the running program may have been replaced by an upgrade.
            let mut command = Command::new("/proc/self/exe");
            command.arg("--data-dir").arg(data).arg("attach").arg(&name);
            Ok((command, name))
        }
    }
}

const BASH_START: &str = "\
[ -r ~/.bashrc ] && . ~/.bashrc
fg() { if [ $# -eq 0 ] && [ -z \"$(jobs -p)\" ]; then exit; else builtin fg \"$@\"; fi; }
";

/// Where a shell for this entity begins, and what it is told.
///
/// # Errors
/// The entity is gone, has no directory, or the directory is gone, in words.
pub fn shell_place(reader: &Reader, owner: Owner) -> Result<(PathBuf, Vec<(String, String)>), String> {
    let words = |e: wharf_store::StoreError| e.to_string();
    let gone = || "it is not in the store any more".to_owned();
    let run_place = |id: RunId| -> Result<(PathBuf, Vec<(String, String)>), String> {
        let detail = reader.run_detail(id).map_err(words)?.ok_or_else(gone)?;
        let project = reader.project(detail.run.project_id).map_err(words)?.ok_or_else(gone)?;
        let guest_at = crate::why::guest_at(&detail.steps);
        let cwd = guest_at.or_else(|| detail.workspace.as_ref()?.cwd.clone()).unwrap_or(project.path);
        let mut vars = vec![
            ("WHARF_RUN_NUMBER".to_owned(), Kind::Run.number(detail.run.number)),
            ("WHARF_RUN_ID".to_owned(), id.text()),
            ("WHARF_PROJECT_KEY".to_owned(), project.key),
            ("WHARF_WORKSPACE_CWD".to_owned(), cwd.clone()),
        ];
        vars.extend(detail.line.agent.map(|name| ("WHARF_AGENT_NAME".to_owned(), name)));
        vars.extend(detail.line.issue.map(|name| ("WHARF_ISSUE".to_owned(), name)));
        let branch = detail.workspace.and_then(|w| w.branch_name);
        vars.extend(branch.map(|b| ("WHARF_WORKSPACE_BRANCH".to_owned(), b)));
        Ok((PathBuf::from(cwd), vars))
    };
    let workspace_place = |id| -> Result<(PathBuf, Vec<(String, String)>), String> {
        let item = reader.workspace(id).map_err(words)?.ok_or_else(gone)?;
        let name = Kind::Workspace.number(item.workspace.number);
        let cwd = item.workspace.cwd.ok_or_else(|| format!("{name} has no directory yet"))?;
        Ok((PathBuf::from(&cwd), vec![("WHARF_WORKSPACE_CWD".to_owned(), cwd)]))
    };
    let (dir, vars) = match owner {
        Owner::Run(id) => run_place(id)?,
        Owner::Workspace(id) => workspace_place(id)?,
        Owner::Lease(_) => return Err("a shell in a lease is opened where the lease leads".to_owned()),
        Owner::Service(id) => {
            let item = reader.service(id).map_err(words)?.ok_or_else(gone)?;
            let mut vars = vec![("WHARF_SERVICE_NAME".to_owned(), item.service.name)];
            vars.extend(item.service.port.map(|p| ("PORT".to_owned(), p.to_string())));
            vars.extend(item.service.url.map(|u| ("WHARF_SERVICE_URL".to_owned(), u)));
            (PathBuf::from(item.service.cwd), vars)
        }
        Owner::Operation(_) => return Err("an operation has no place of its own; open its workspace".to_owned()),
    };
    if !dir.is_dir() {
        return Err(format!("{} is not there any more", dir.display()));
    }
    Ok((dir, vars))
}

/// Feeds a program that has the terminal.
pub type Feed = Box<dyn FnOnce(ChildStdin) + Send>;

/// `$PAGER` with the output of an entity, at a line; and what feeds it as far as it wants to read, so that nothing is
/// copied first, however much there is.
///
/// # Errors
/// The output cannot be read, in words.
pub fn pager(data: &Path, reader: &Reader, owner: Owner, at: Option<LinePlace>) -> Result<(Command, Feed), String> {
    let place = output::place(reader, data, owner).map_err(|e| e.to_string())?;
    let place = place.ok_or_else(|| "this prints nothing by itself".to_owned())?;
    let named = std::env::var("PAGER").unwrap_or_default();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec ${PAGER:-less} \"$@\"", "sh"]).stdin(Stdio::piped());
    if named.trim().is_empty() || named.contains("less") {
        command.arg("-R");
        if let Some(line) = at.map(|at| line_number(&place.dir, at)).transpose()?.flatten() {
            command.arg(format!("+{}", line + 1));
        }
    }
    let feed = move |mut stdin: ChildStdin| {
        // A pager that is left before the end reads no more: that is no mistake.
        if let Err(words) = write_output(&place.dir, &mut stdin, Streams::Both) {
            tracing::debug!(%words, "the pager was not given everything");
        }
    };
    Ok((command, Box::new(feed)))
}

/// Number of a line among all that was printed; none when there is no such line, or counting takes too long.
fn line_number(dir: &Path, at: LinePlace) -> Result<Option<u64>, String> {
    let until = Instant::now() + COUNT_LIMIT;
    let mut lines = LogLines::open(dir, 0, None).map_err(|e| e.to_string())?;
    lines.set_live(false);
    let key = LineKey { seq: at.seq, index: at.index };
    loop {
        let counted = lines.count(COUNT_BYTES).map_err(|e| e.to_string())?;
        let number = lines.number_of(key, StreamSet::OUTPUT).map_err(|e| e.to_string())?;
        if number.is_some() || counted.complete || Instant::now() >= until {
            return Ok(number);
        }
    }
}

/// `$VISUAL` or `$EDITOR` with a text; gives the file it lies in.
///
/// # Errors
/// The file cannot be written, in words.
pub fn editor(tmp: &Path, text: &str) -> Result<(Command, PathBuf), String> {
    let file = write_private(tmp, "prompt.md", text.as_bytes()).map_err(|e| e.to_string())?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec ${VISUAL:-${EDITOR:-vi}} \"$@\"", "sh"]).arg(&file);
    Ok((command, file))
}

/// The operator's editor on a file of theirs, at a line.
pub fn edit_at(path: &str, line: u64) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec ${VISUAL:-${EDITOR:-vi}} \"$@\"", "sh"]);
    // A directory has no lines; whoever works in it wants to be there.
    if Path::new(path).is_dir() {
        command.arg(".").current_dir(path);
    } else {
        command.arg(format!("+{line}")).arg(path);
    }
    command
}

/// This program, with a shell where a lease leads, when that is beside this machine or the lease itself was chosen.
///
/// # Errors
/// The store cannot be read, in words.
pub fn place_shell(data: &Path, reader: &Reader, owner: Owner) -> Result<Option<Command>, String> {
    let words = |e: wharf_store::StoreError| e.to_string();
    let number = match owner {
        Owner::Lease(id) => reader.lease(id).map_err(words)?.map(|l| Kind::Lease.number(l.lease.number)),
        Owner::Run(id) => {
            let lease = reader.run_detail(id).map_err(words)?.and_then(|d| d.lease);
            let beside = lease.filter(|l| l.driver.is_some_and(|d| d != wharf_model::Driver::Local));
            beside.map(|l| Kind::Lease.number(l.lease.number))
        }
        _ => None,
    };
    Ok(number.map(|number| {
        // The path of the running program may have been replaced by an upgrade.
        let mut command = Command::new("/proc/self/exe");
        command.arg("--data-dir").arg(data).arg("shell").arg(number).arg("--ignore-status");
        command
    }))
}

/// What an editor left behind; none when it cannot be used.
pub fn edited(file: &Path) -> Option<String> {
    let length = std::fs::metadata(file).ok()?.len();
    if length > TEXT_MAX_BYTES {
        return None;
    }
    std::fs::read_to_string(file).ok()
}

/// Writes the output of an entity into a new file and gives its path and size.
///
/// # Errors
/// It cannot be read or written, in words.
pub fn save(data: &Path, owner: Owner, streams: Streams) -> Result<(PathBuf, u64), String> {
    let reader = Reader::open(data).map_err(|e| e.to_string())?;
    let place = output::place(&reader, data, owner).map_err(|e| e.to_string())?;
    let place = place.ok_or_else(|| "this prints nothing by itself".to_owned())?;
    let suffix = match streams {
        Streams::Both => "log",
        Streams::Stdout => "stdout",
        Streams::Stderr => "stderr",
    };
    let here = std::env::current_dir().unwrap_or_else(|_| data.to_owned());
    let mut failed = None;
    for dir in [here, data.join("tmp")] {
        match new_file(&dir, &place.name, suffix) {
            Ok(path) => return copy_output(&place.dir, &path, streams).map(|bytes| (path, bytes)),
            Err(error) => failed = Some(format!("{}: {error}", dir.display())),
        }
    }
    Err(failed.unwrap_or_default())
}

/// Makes a file of a name that is free: `R-12.log`, `R-12-2.log` …
fn new_file(dir: &Path, name: &str, suffix: &str) -> io::Result<PathBuf> {
    for n in 1..1_000 {
        let file = if n == 1 { format!("{name}.{suffix}") } else { format!("{name}-{n}.{suffix}") };
        let path = dir.join(file);
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|_| path),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "a thousand files of this name are there already"))
}

fn copy_output(dir: &Path, to: &Path, streams: Streams) -> Result<u64, String> {
    let failed = |e: io::Error| format!("{}: {e}", to.display());
    let file = std::fs::OpenOptions::new().write(true).truncate(true).open(to).map_err(failed)?;
    write_output(dir, file, streams).map_err(|words| format!("{}: {words}", to.display()))
}

/// Writes what was printed, as it was; gives the number of bytes.
fn write_output(dir: &Path, to: impl io::Write, streams: Streams) -> Result<u64, String> {
    let mut reader = match LogReader::open(dir) {
        Ok(reader) => reader,
        Err(wharf_store::log::LogError::Missing { .. }) => return Ok(0),
        Err(_) if !dir.exists() => return Ok(0),
        Err(error) => return Err(error.to_string()),
    };
    let mut out = io::BufWriter::with_capacity(256 * 1024, to);
    let from = reader.start();
    let copied = copy_to(&mut reader, &mut out, set(streams), from, COPY_MAX_BYTES).map_err(|e| e.to_string())?;
    out.flush().map_err(|e| e.to_string())?;
    Ok(copied.bytes)
}

/// Writes a file of this process's own, for nobody else's eyes.
///
/// # Errors
/// What the file system says.
pub fn write_private(tmp: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(tmp)?;
    let path = tmp.join(format!("{}-{name}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(bytes)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_saved_file_never_overwrites_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = new_file(dir.path(), "R-1", "log").unwrap();
        let second = new_file(dir.path(), "R-1", "log").unwrap();
        assert!(first.ends_with("R-1.log") && second.ends_with("R-1-2.log"));
        assert_eq!(std::fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_child_that_stops_itself_goes_on() {
        let mut child = Command::new("/bin/sh").args(["-c", "kill -STOP $$; exit 3"]).spawn().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut stand = Stand::Runs;
        while stand == Stand::Runs && std::time::Instant::now() < until {
            stand = look(&mut child);
            std::thread::yield_now();
        }
        // Taken already; a child that still runs would hang here instead of passing.
        let _ = child.wait();
        assert_eq!(stand, Stand::Ended(false));
    }

    #[test]
    fn a_text_that_is_too_long_is_not_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = write_private(dir.path(), "x", b"words").unwrap();
        assert_eq!(edited(&file).as_deref(), Some("words"));
        std::fs::write(&file, vec![b'a'; TEXT_MAX_BYTES as usize + 1]).unwrap();
        assert_eq!(edited(&file), None);
        assert_eq!(edited(&dir.path().join("none")), None);
    }
}
