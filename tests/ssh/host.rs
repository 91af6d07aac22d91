//! An sshd of a test: its own keys, its own user where root runs the test, gone with the value.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything that should come at once.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Says that a test cannot be done here. Not by a macro whose output the test runner keeps.
pub fn skip(why: &str) {
    let _gone = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Numbers of users that nobody has: one for each host of a test.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A host.
pub struct Host {
    pub root: tempfile::TempDir,
    pub port: u16,
    pub user: String,
    pub home: PathBuf,
    /// Its processes are those of this user; none where the test's own user has to do.
    uid: Option<u32>,
    sshd: Child,
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn has(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/bin", "/sbin"].iter().any(|d| Path::new(d).join(program).exists())
}

fn keygen(path: &Path) {
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(status.success());
}

impl Host {
    /// Starts one; none where that cannot be, and says why.
    pub fn start() -> Option<Self> {
        Self::with_small_disk(None)
    }

    /// The same with a file system of this many KiB at `~/small`.
    pub fn with_small_disk(small_kib: Option<u32>) -> Option<Self> {
        for program in ["sshd", "ssh", "ssh-keygen", "git", "setsid"] {
            if !has(program) {
                skip(&format!("{program} is not here"));
                return None;
            }
        }
        if is_root() && !(has("unshare") && has("setpriv")) {
            skip("unshare and setpriv are not here, and sshd is not to run as root");
            return None;
        }
        if small_kib.is_some() && !is_root() {
            skip("only root can mount a small file system");
            return None;
        }
        let root = tempfile::Builder::new().prefix("wh").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let at = |name: &str| root.path().join(name);
        let home = at("home");
        fs::create_dir(&home).unwrap();
        keygen(&at("host_key"));
        keygen(&at("user_key"));
        fs::copy(at("user_key.pub"), at("authorized")).unwrap();
        fs::set_permissions(at("authorized"), fs::Permissions::from_mode(0o644)).unwrap();
        let known = fs::read_to_string(at("host_key.pub")).unwrap();
        fs::write(at("known_hosts"), format!("test-host {known}")).unwrap();
        let uid = is_root().then(|| {
            let uid = 100_000 + std::process::id() % 1_000_000 * 64 + NEXT.fetch_add(1, Ordering::Relaxed) % 64;
            std::os::unix::fs::chown(&home, Some(uid), Some(uid)).unwrap();
            std::os::unix::fs::chown(at("host_key"), Some(uid), Some(uid)).unwrap();
            uid
        });
        let user = match uid {
            Some(_) => "wharfer".to_owned(),
            None => std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap(),
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let sshd = spawn(root.path(), uid, port, small_kib);
        let host = Self { root, port, user, home, uid, sshd };
        until("sshd answers", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Some(host)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Processes of the host but sshd's own: number and command line.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let Some(uid) = self.uid else { return Vec::new() };
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let of_host = status.lines().any(|l| {
                l.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().next() == Some(&uid.to_string()))
            });
            if !of_host || status.contains("State:\tZ") {
                continue;
            }
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&line).replace('\0', " ");
            if !words.starts_with("sshd") && !words.contains("/usr/sbin/sshd") && !words.is_empty() {
                found.push((pid, words));
            }
        }
        found
    }

    /// Cuts every connection that there is: the processes of sshd that keep them are ended. What runs stays.
    pub fn cut_sessions(&self) {
        let mut parents = BTreeMap::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|r| r.split(' ').nth(1)).and_then(|p| p.parse::<u32>().ok());
            if let Some(parent) = parent.filter(|_| stat.contains("(sshd)")) {
                parents.insert(pid, parent);
            }
        }
        let below = |mut pid: u32| loop {
            match parents.get(&pid) {
                Some(parent) if *parent == self.sshd.id() => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        };
        for pid in parents.keys().filter(|pid| below(**pid)) {
            kill(*pid as i32);
        }
    }

    /// Whether every process of a run is gone.
    pub fn is_quiet(&self) -> bool {
        self.processes().is_empty()
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn spawn(root: &Path, uid: Option<u32>, port: u16, small_kib: Option<u32>) -> Child {
    let dir = root.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n\
         AuthorizedKeysFile {dir}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         MaxStartups 200\nMaxSessions 50\n"
    );
    fs::write(root.join("sshd_config"), config).unwrap();
    let sshd = format!("exec env -i PATH=/usr/local/bin:/usr/bin:/bin /usr/sbin/sshd -D -e -f {dir}/sshd_config");
    let mut command;
    if let Some(uid) = uid {
        // A file of users of its own, which only this sshd sees.
        let small = small_kib.map_or_else(String::new, |kib| {
            format!("mkdir {dir}/home/small; mount -t tmpfs -o size={kib}k,mode=700,uid={uid} none {dir}/home/small; ")
        });
        let script = format!(
            "{{ cat /etc/passwd; echo 'wharfer:x:{uid}:{uid}::{dir}/home:/bin/sh'; }} > {dir}/passwd && \
             mount --bind {dir}/passwd /etc/passwd && {small} \
             exec setpriv --reuid={uid} --regid={uid} --clear-groups sh -c '{sshd}'"
        );
        command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]);
    } else {
        command = Command::new("sh");
        command.args(["-c", &sshd]);
    }
    let log = fs::File::create(root.join("sshd.log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).spawn().unwrap()
}

impl Drop for Host {
    fn drop(&mut self) {
        let left = self.processes();
        let _gone = self.sshd.kill();
        let _status = self.sshd.wait();
        if let Some(uid) = self.uid {
            // Whatever a failed test left.
            let _none = Command::new("setpriv")
                .args([&format!("--reuid={uid}"), "--clear-groups", "sh", "-c", "kill -9 -1"])
                .stderr(Stdio::null())
                .status();
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "a test left processes on its host: {left:?}");
        }
    }
}
