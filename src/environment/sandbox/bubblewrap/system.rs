//! What of this machine's system a bubblewrap sandbox shows: programs and libraries, and of `/etc` what they
//! need to find names, certificates and their own settings. Nothing of other users, nothing of `/var`, `/run`,
//! `/srv`, `/mnt` and `/root`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories at the top that hold programs and libraries; a link stays a link.
const TOP: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// More that some systems keep their programs in.
const PROGRAMS: [&str; 7] =
    ["/usr", "/opt", "/nix/store", "/gnu/store", "/run/current-system", "/snap", "/home/linuxbrew/.linuxbrew"];
/// What of `/etc` is seen. No keys, no passwords, no machine id.
const ETC: [&str; 41] = [
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "environment",
    "fonts",
    "gai.conf",
    "gitconfig",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "lsb-release",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "profile",
    "profile.d",
    "protocols",
    "resolv.conf",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];
/// Programs and settings of the operator's home that agents and their tools need. Each is read-only.
const HOME: [&str; 21] = [
    ".asdf",
    ".bun/bin",
    ".cargo/bin",
    ".config/git/attributes",
    ".config/git/config",
    ".config/git/ignore",
    ".deno/bin",
    ".gitconfig",
    ".gitignore",
    ".local/bin",
    ".local/lib",
    ".local/share/claude",
    ".local/share/fnm",
    ".local/share/mise",
    ".local/share/pnpm",
    ".local/share/uv",
    ".npm-global",
    ".nvm",
    ".pyenv",
    ".rustup",
    ".volta",
];

/// Options for the system: to come first, since everything else is laid over it.
pub fn options() -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(|w| (*w).to_owned()));
    for dir in PROGRAMS.iter().filter(|dir| Path::new(dir).is_dir()) {
        add(&["--ro-bind", dir, dir]);
    }
    for dir in TOP {
        match fs::read_link(dir) {
            Ok(link) => {
                if let Some(link) = link.to_str() {
                    add(&["--symlink", link, dir]);
                }
            }
            Err(_) if Path::new(dir).is_dir() => add(&["--ro-bind", dir, dir]),
            Err(_) => {}
        }
    }
    for name in ETC {
        let path = format!("/etc/{name}");
        if Path::new(&path).exists() {
            add(&["--ro-bind", &path, &path]);
        }
    }
    add(&["--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/var"]);
    all
}

/// What of the operator's home is seen in the private one: pairs of here and there.
pub fn of_home(home: &Path, operator: &BTreeMap<String, String>) -> Vec<(PathBuf, PathBuf)> {
    let mut names: Vec<PathBuf> = HOME.iter().map(PathBuf::from).collect();
    // Wherever else the operator's own programs are.
    for dir in operator.get("PATH").map_or("", String::as_str).split(':') {
        if let Ok(rest) = Path::new(dir).strip_prefix(home)
            && rest.components().count() > 0
            && rest.components().all(|part| matches!(part, std::path::Component::Normal(_)))
            && !names.iter().any(|known| rest.starts_with(known))
        {
            names.push(rest.to_owned());
        }
    }
    names.sort();
    let mut all: Vec<(PathBuf, PathBuf)> = Vec::new();
    for name in names {
        // What is a link leads to something else of the home's, which may be what is hidden.
        if let Ok(source) = home.join(&name).canonicalize()
            && (!source.starts_with(home) || source == home.join(&name))
            && !all.iter().any(|(_, known)| home.join(&name).starts_with(known))
            && !super::super::sources::SECRETS
                .iter()
                .any(|secret| source.starts_with(home.join(secret)) || home.join(secret).starts_with(&source))
        {
            all.push((source, home.join(name)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_home_are_seen_and_secrets_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        for made in [".local/bin", ".ssh/bin", "tools/bin", ".cargo/bin"] {
            fs::create_dir_all(home.join(made)).unwrap();
        }
        fs::write(home.join(".gitconfig"), "").unwrap();
        std::os::unix::fs::symlink(home.join(".ssh"), home.join(".gitignore")).unwrap();
        let path = ["tools/bin", ".ssh/bin", "tools/../.ssh", ".cargo/bin", "missing", ""]
            .map(|part| home.join(part).display().to_string())
            .join(":");
        let operator = BTreeMap::from([("PATH".to_owned(), path)]);
        let seen: Vec<String> = of_home(&home, &operator)
            .into_iter()
            .map(|(_, there)| there.strip_prefix(&home).unwrap().display().to_string())
            .collect();
        assert_eq!(seen, [".cargo/bin", ".gitconfig", ".local/bin", "tools/bin"]);
    }
}
