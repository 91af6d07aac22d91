//! podman with storage of its own and an image made out of this machine's programs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{World, skipped, text};

pub const IMAGE: &str = "localhost/wharf-test:1";
const PROGRAMS: [&str; 13] =
    ["sh", "sleep", "cat", "tail", "head", "env", "id", "ls", "mkdir", "tr", "grep", "setsid", "touch"];

pub struct Podman {
    pub world: World,
    /// Its own files; a short name, since paths of sockets are.
    root: tempfile::TempDir,
    /// A process in a mount namespace where podman can start containers, when this machine's own is none.
    holder: Option<Child>,
}

impl Podman {
    /// `None`, with the reason told, where podman cannot start a container.
    pub fn new() -> Option<Self> {
        let mut world = World::new();
        let Some(real) = ["/usr/bin/podman", "/usr/local/bin/podman"].iter().find(|p| Path::new(p).exists()) else {
            skipped("podman is not installed");
            return None;
        };
        let root = tempfile::Builder::new().prefix("wh-").tempdir().unwrap();
        let dir = root.path().to_owned();
        std::fs::create_dir_all(dir.join("bin")).unwrap();
        let shown = dir.display();
        let storage =
            format!("[storage]\ndriver = \"vfs\"\nrunroot = \"{shown}/run\"\ngraphroot = \"{shown}/graph\"\n");
        std::fs::write(dir.join("storage.conf"), storage).unwrap();
        // What this user may raise limits to; an engine asks for more by itself.
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n[engine]\n\
             tmp_dir = \"{shown}/tmp\"\nlock_type = \"file\"\nevents_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\n"
        );
        std::fs::write(dir.join("containers.conf"), conf).unwrap();
        let operator = Arc::make_mut(&mut world.site.operator);
        operator.insert("PATH".into(), format!("{shown}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"));
        operator.insert("CONTAINERS_STORAGE_CONF".into(), format!("{shown}/storage.conf"));
        operator.insert("CONTAINERS_CONF".into(), format!("{shown}/containers.conf"));
        let mut this = Self { world, root, holder: None };
        this.wrap(&format!("exec {real} \"$@\""));
        this.make_image();
        let first = this.trial();
        if first.status.success() {
            return Some(this);
        }
        // A machine with both kinds of control groups: crun takes one kind only.
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; echo up; read _";
        let holder = Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        if let Ok(mut holder) = holder {
            BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
            this.wrap(&format!("exec nsenter --mount=/proc/{}/ns/mnt -- {real} \"$@\"", holder.id()));
            this.holder = Some(holder);
            if this.trial().status.success() {
                return Some(this);
            }
        }
        skipped(&format!("podman cannot start a container here: {}", text(&first.stderr).trim()));
        None
    }

    fn wrap(&self, line: &str) {
        let script = self.root.path().join("bin/podman");
        std::fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn trial(&self) -> Output {
        self.podman(&["run", "--rm", "--network", "none", IMAGE, "/bin/sh", "-c", "exit 0"])
    }

    pub fn podman(&self, words: &[&str]) -> Output {
        Command::new(self.root.path().join("bin/podman"))
            .args(words)
            .env_clear()
            .envs(self.world.site.operator.iter())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn make_image(&self) {
        let root = self.root.path().join("root");
        for dir in ["bin", "tmp", "proc", "dev", "etc", "usr/local/bin", "run", "sys"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        let mut libraries = BTreeSet::new();
        for name in PROGRAMS {
            let from =
                ["/usr/bin", "/bin"].iter().map(|dir| PathBuf::from(dir).join(name)).find(|p| p.exists()).unwrap();
            std::fs::copy(&from, root.join("bin").join(name)).unwrap();
            let told = Command::new("ldd").arg(&from).output().unwrap();
            let words = text(&told.stdout);
            libraries.extend(words.split_whitespace().filter(|w| w.starts_with('/')).map(str::to_owned));
        }
        for library in libraries {
            let to = root.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&library, to).unwrap();
        }
        std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
        let tar = self.root.path().join("root.tar");
        let made = Command::new("tar").arg("-C").arg(&root).args(["-cf", tar.to_str().unwrap(), "."]).status().unwrap();
        assert!(made.success());
        let out = self.podman(&["import", tar.to_str().unwrap(), IMAGE]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        std::fs::remove_dir_all(root).unwrap();
    }

    pub fn config(&self, more: &Value) -> Value {
        let mut config = json!({ "provider": "podman", "image": IMAGE, "network": "none" });
        config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        config
    }

    /// Names of all containers.
    pub fn containers(&self) -> String {
        text(&self.podman(&["ps", "-a", "--format", "{{.Names}}"]).stdout)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.podman(&["rm", "--force", "--all", "--time", "0"]);
        self.podman(&["rmi", "--force", "--all"]);
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
    }
}
