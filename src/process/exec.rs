//! Starting a child that waits: it exists and can be recorded before it runs anything.
//!
//! For a small process with one thread (the shim). Forking is cheap there, and it gives what
//! `posix_spawn` does not: the step that failed, and a child that ends by itself when its parent
//! dies before it was let go. The orchestrator never forks; it spawns shims (see `spawn`).

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

/// What to run, ready for the kernel.
#[derive(Debug, Clone)]
pub struct Program {
    /// File to execute; relative paths count from `cwd`.
    pub path: CString,
    /// Arguments, the program's own name first.
    pub argv: Vec<CString>,
    /// Whole environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Directory to start in.
    pub cwd: CString,
    /// Value for `/proc/self/oom_score_adj`; best effort.
    pub oom_score_adj: CString,
    /// Standard input is a terminal: the child leads a session of its own, with that as its controlling terminal.
    pub terminal: bool,
}

/// The three standard descriptors of a child; all must be above 2.
#[derive(Debug, Clone, Copy)]
pub struct Stdio<'a> {
    /// Standard input.
    pub stdin: BorrowedFd<'a>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
}

/// Step of a start that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Making the process or its descriptors.
    Prepare,
    /// Changing into the directory.
    ChangeDirectory,
    /// Executing the program.
    Execute,
    /// The kernel gave no answer in time.
    NoAnswer,
}

/// Why a start failed.
#[derive(Debug)]
pub struct StartFailure {
    /// Where.
    pub step: Step,
    /// The kernel's error.
    pub error: io::Error,
}

/// A child that exists, in a process group of its own, and has not executed anything. When this
/// is dropped, or its process dies, the child ends without having run the program.
#[derive(Debug)]
pub struct Held {
    pid: i32,
    go: File,
    result: File,
}

/// Makes the child. `close_first` are descriptors it must give up at once, such as a lock.
///
/// # Errors
/// [`StartFailure`] with [`Step::Prepare`].
#[expect(unsafe_code, reason = "fork and what the child does before exec have no safe wrapper")]
pub fn fork_held(program: &Program, stdio: Stdio<'_>, close_first: &[BorrowedFd<'_>]) -> Result<Held, StartFailure> {
    let prepare = |error: io::Error| StartFailure { step: Step::Prepare, error };
    let pipes = || pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    let (go_read, go_write) = pipes().map_err(prepare)?;
    let (result_read, result_write) = pipes().map_err(prepare)?;

    // Everything the child touches is laid out before the fork: it must not allocate.
    let argv = pointers(&program.argv);
    let env = pointers(&program.env);
    let close: Vec<RawFd> =
        close_first.iter().map(AsRawFd::as_raw_fd).chain([go_write.as_raw_fd(), result_read.as_raw_fd()]).collect();
    let child = ChildPlan {
        program,
        argv: &argv,
        env: &env,
        stdio: [stdio.stdin.as_raw_fd(), stdio.stdout.as_raw_fd(), stdio.stderr.as_raw_fd()],
        close: &close,
        go: go_read.as_raw_fd(),
        result: result_write.as_raw_fd(),
    };
    // SAFETY: the child only makes async-signal-safe calls on memory prepared above and then
    // executes or exits; it never returns from `run`.
    let pid = unsafe {
        match libc::fork() {
            -1 => return Err(prepare(io::Error::last_os_error())),
            0 => child.run(),
            pid => pid,
        }
    };
    if !program.terminal {
        // Both sides set the group, so that it exists whoever comes first; the child may have done it.
        // A leader of a session makes its own, and could not if it led a group already.
        // SAFETY: plain system call.
        unsafe { libc::setpgid(pid, pid) };
    }
    Ok(Held { pid, go: File::from(go_write), result: File::from(result_read) })
}

impl Held {
    /// Number of the child, also of its group.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets the child execute its program and returns once it has, or says why it could not.
    /// After an error the child has ended or been killed and only needs reaping.
    ///
    /// # Errors
    /// [`StartFailure`] with the step and the kernel's error.
    pub fn go(mut self, timeout: Duration) -> Result<(), StartFailure> {
        self.go.write_all(b"g").map_err(|error| StartFailure { step: Step::Prepare, error })?;
        let wait = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        loop {
            let mut fds = [PollFd::new(&self.result, PollFlags::IN)];
            match poll(&mut fds, Some(&wait)) {
                Ok(0) => {
                    if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
                        // Our own unreaped child: the number cannot mean anyone else.
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                    let error = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}"));
                    return Err(StartFailure { step: Step::NoAnswer, error });
                }
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(StartFailure { step: Step::Prepare, error: error.into() }),
            }
        }
        let mut answer = Vec::with_capacity(5);
        (&self.result).take(5).read_to_end(&mut answer).map_err(|error| StartFailure { step: Step::Prepare, error })?;
        match answer.as_slice() {
            // Executing closed the pipe. (A child killed before it executed looks the same; its
            // end is then reported as any other end by a signal.)
            [] => Ok(()),
            [step, a, b, c, d] => Err(StartFailure {
                step: match step {
                    b'c' => Step::ChangeDirectory,
                    b'x' => Step::Execute,
                    _ => Step::Prepare,
                },
                error: io::Error::from_raw_os_error(i32::from_ne_bytes([*a, *b, *c, *d])),
            }),
            _ => Err(StartFailure {
                step: Step::Prepare,
                error: io::Error::new(io::ErrorKind::UnexpectedEof, "the child broke off in its report"),
            }),
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// All that the child needs between fork and exec.
struct ChildPlan<'a> {
    program: &'a Program,
    argv: &'a [*const libc::c_char],
    env: &'a [*const libc::c_char],
    stdio: [RawFd; 3],
    close: &'a [RawFd],
    go: RawFd,
    result: RawFd,
}

#[expect(unsafe_code, reason = "only raw system calls are allowed between fork and exec")]
impl ChildPlan<'_> {
    /// Runs in the child; executes the program or exits.
    ///
    /// # Safety
    /// Only right after a fork. Nothing here allocates, locks or unwinds.
    unsafe fn run(&self) -> ! {
        // SAFETY: plain system calls on descriptors and memory that the caller keeps alive.
        unsafe {
            for &fd in self.close {
                libc::close(fd);
            }
            if self.program.terminal {
                if libc::setsid() < 0 {
                    self.fail(b'p');
                }
            } else {
                libc::setpgid(0, 0);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            let mut byte = 0u8;
            loop {
                match libc::read(self.go, (&raw mut byte).cast(), 1) {
                    1 => break,
                    -1 if *libc::__errno_location() == libc::EINTR => {}
                    _ => libc::_exit(127),
                }
            }
            for (target, &fd) in self.stdio.iter().enumerate() {
                if libc::dup2(fd, target as libc::c_int) < 0 {
                    self.fail(b'p');
                }
            }
            if self.program.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                self.fail(b'p');
            }
            let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if score >= 0 {
                let text = self.program.oom_score_adj.as_bytes();
                libc::write(score, text.as_ptr().cast(), text.len());
                libc::close(score);
            }
            if libc::chdir(self.program.cwd.as_ptr()) != 0 {
                self.fail(b'c');
            }
            // Everything is close-on-exec already; this also covers what a library opened.
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            libc::execve(self.program.path.as_ptr(), self.argv.as_ptr(), self.env.as_ptr());
            self.fail(b'x')
        }
    }

    /// Reports a failed step with the current errno and exits.
    unsafe fn fail(&self, step: u8) -> ! {
        // SAFETY: as in `run`.
        unsafe {
            let [a, b, c, d] = (*libc::__errno_location()).to_ne_bytes();
            let report = [step, a, b, c, d];
            libc::write(self.result, report.as_ptr().cast(), report.len());
            libc::_exit(127)
        }
    }
}

/// Closes every descriptor from 3 upwards. Only for the very start of a process, before it opened
/// anything itself: whatever is open then was left by whoever started it.
#[expect(unsafe_code, reason = "closes descriptors that nothing in this process owns")]
pub fn close_inherited() {
    // SAFETY: called before anything was opened, so no owner's descriptor is pulled away.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) } == 0;
    if done {
        return;
    }
    // Before Linux 5.9.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for fd in open {
        // SAFETY: as above; the directory's own descriptor is closed already and answers EBADF.
        unsafe { libc::close(fd) };
    }
}

/// `/dev/null`, for reading.
///
/// # Errors
/// What the kernel says.
pub fn null_input() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}
