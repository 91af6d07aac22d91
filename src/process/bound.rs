//! Helpers of this process: processes that end with it, whatever ends it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

use rustix::process::{Pid, Signal};

/// A command and where its start is told.
type Order = (Command, SyncSender<io::Result<Child>>);

/// Starts a command in a session and group of its own, without a terminal, that is killed when this process dies. It
/// inherits no descriptor but its three standard ones. Waits for the start, which takes a few milliseconds.
///
/// The kernel kills such a child when the *thread* that made it ends, so one thread, which never ends
/// before the process does, makes them all.
///
/// # Errors
/// What the kernel says.
pub fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Option<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        let thread = std::thread::Builder::new().name("helpers".into()).spawn(move || {
            while let Ok((mut command, answer)) = taken.recv() {
                if let Err(unheard) = answer.send(bind(&mut command).spawn()) {
                    // Nobody waits for it: it must not stay.
                    if let Ok(mut child) = unheard.0 {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            }
        });
        thread.is_ok().then_some(orders)
    });
    let (answer, told) = sync_channel(1);
    let gone = || io::Error::other("the thread that starts helpers is gone");
    starter.as_ref().ok_or_else(gone)?.send((command, answer)).map_err(|_| gone())?;
    told.recv().map_err(|_| gone())?
}

#[expect(unsafe_code, reason = "std offers neither the death signal nor close_range but through what runs before exec")]
fn bind(command: &mut Command) -> &mut Command {
    let parent = rustix::process::getpid();
    // SAFETY: only system calls between fork and exec; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have died before the line above.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        })
    }
}

/// Ends this process by a signal, as a command that it stands for ended; exits with 128 and its number
/// where the signal does not end it. No core is written: it would be of the wrong program.
#[expect(unsafe_code, reason = "signal dispositions and masks have no safe wrapper here")]
pub fn end_by(number: i32) -> ! {
    const STAY: &[i32] = &[
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGCONT,
        libc::SIGCHLD,
        libc::SIGURG,
        libc::SIGWINCH,
    ];
    if STAY.contains(&number) {
        std::process::exit(128 + number);
    }
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    if let (Some(me), Some(signal)) =
        (Pid::from_raw(rustix::process::getpid().as_raw_nonzero().get()), Signal::from_named_raw(number))
    {
        // SAFETY: zeroed `sigaction` and `sigset_t` are valid, and the pointers outlive the calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(number, &raw const action, std::ptr::null_mut());
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        }
        let _ = rustix::process::kill_process(me, signal);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    std::process::exit(128 + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_leads_its_group_and_inherits_nothing() {
        use std::os::fd::AsRawFd as _;
        let open = std::fs::File::open("/dev/null").unwrap();
        let leaked = rustix::io::dup(&open).unwrap();
        rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
        let mut command = Command::new("sh");
        let script = format!(
            "read -r pid _ _ _ group _ < /proc/self/stat; [ $pid = $group ] && [ ! -e /proc/self/fd/{} ]",
            leaked.as_raw_fd()
        );
        command.args(["-c", &script]);
        assert!(spawn(command).unwrap().wait().unwrap().success());
        assert!(spawn(Command::new("/no/such/program")).is_err());
    }
}
