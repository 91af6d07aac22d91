//! A real sshd on loopback, and a relay before it that can be cut.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A sshd of this user.
pub struct Host {
    child: Child,
    pub dir: PathBuf,
    pub port: u16,
}

impl Host {
    /// Starts one whose files are in `dir`, or says why it cannot run here.
    pub fn start(dir: &Path) -> Result<Self, String> {
        for program in ["ssh", "ssh-keygen", "sshd"] {
            if !is_there(program) {
                return Err(format!("there is no {program} here"));
            }
        }
        std::fs::create_dir_all(dir).unwrap();
        for name in ["host", "key"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(name));
            assert!(command.status().unwrap().success(), "ssh-keygen");
        }
        std::fs::copy(dir.join("key.pub"), dir.join("authorized")).unwrap();
        if rustix::process::geteuid().is_root() {
            // Where it parts with its rights; an installed service makes it at its start.
            std::fs::create_dir_all("/run/sshd").map_err(|e| format!("/run/sshd cannot be made: {e}"))?;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = dir.display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nMaxStartups 100\nMaxSessions 100\nLogLevel ERROR\n"
        );
        std::fs::write(dir.join("config"), config).unwrap();
        let program = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"].into_iter().find(|p| Path::new(p).exists());
        let program = program.ok_or("there is no sshd here")?;
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(dir.join("config"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut host = Self { child, dir: dir.to_owned(), port };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            if let Some(status) = host.child.try_wait().unwrap() {
                return Err(format!("sshd does not run here ({status}): {}", log.trim()));
            }
            assert!(Instant::now() < end, "sshd does not listen: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(host)
    }
}

/// Whether a program is there.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}

impl Host {
    /// Settings of an environment that reaches it through a port, with everything of ours below `path`.
    pub fn settings(&self, port: u16, path: &Path) -> Value {
        let known = std::fs::read_to_string(self.dir.join("host.pub")).unwrap();
        std::fs::write(self.dir.join("known"), format!("[127.0.0.1]:{port} {known}")).unwrap();
        json!({
            "host": "127.0.0.1",
            "port": port,
            "path": path,
            "options": {
                "IdentityFile": self.dir.join("key"),
                "IdentitiesOnly": "yes",
                "UserKnownHostsFile": self.dir.join("known"),
                "GlobalKnownHostsFile": "/dev/null",
            },
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What it still serves ends with its connections.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands connections on, until it is cut.
pub struct Relay {
    pub port: u16,
    state: Arc<Mutex<Wires>>,
}

#[derive(Default)]
struct Wires {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Relay {
    /// To this port.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(Wires::default()));
        let wires = Arc::downgrade(&state);
        std::thread::spawn(move || {
            for one in listener.incoming().flatten() {
                let Some(state) = wires.upgrade() else { return };
                let mut wires = state.lock().unwrap();
                if wires.is_cut {
                    continue;
                }
                let Ok(other) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (from, to) in [(&one, &other), (&other, &one)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || pump(from, to));
                }
                wires.open.extend([one, other]);
            }
        });
        Self { port, state }
    }

    /// Nothing gets through, and what was open is closed; or everything does again.
    pub fn cut(&self, is_cut: bool) {
        let mut wires = self.state.lock().unwrap();
        wires.is_cut = is_cut;
        for wire in wires.open.drain(..) {
            // One that has ended already is closed.
            let _ = wire.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut(true);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
