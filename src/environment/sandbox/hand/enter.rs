//! Before bubblewrap, outside: `enter --data DIR [--group DIR]… [--tty] [--chdir DIR] -- bwrap OPTIONS -- COMMAND`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Outcome, become_program, cannot, split};
use crate::process::dispositions;

/// Files of a run in the data directory that it must see, by the variable that names them; and whether it may
/// write them.
const OF_THE_RUN: [(&str, bool); 4] = [
    ("WHARF_AGENT_SOCKET", false),
    ("WHARF_PROMPT_FILE", false),
    ("WHARF_CONTINUATION_FILE", false),
    ("WHARF_AGENT_HOME", true),
];

/// Enters the control groups, adds what belongs to this run alone, and turns into bubblewrap.
pub fn run(words: Vec<String>) -> Outcome {
    let (own, rest) = split(words)?;
    let mut data = None;
    let (mut tty, mut chdir) = (false, None);
    let mut own = own.into_iter();
    while let Some(word) = own.next() {
        let mut value = || own.next().ok_or_else(|| cannot(format!("{word} needs a value")));
        match word.as_str() {
            "--data" => data = Some(PathBuf::from(value()?)),
            "--group" => enter_group(Path::new(&value()?))?,
            "--chdir" => chdir = Some(value()?),
            "--tty" => tty = true,
            _ => return Err(cannot(format!("{word} is not known"))),
        }
    }
    let at = rest.iter().position(|word| word == "--").ok_or_else(|| cannot("bubblewrap has no command"))?;
    let (bwrap, command) = rest.split_at(at);
    let mut all = bwrap.to_vec();
    if let Some(data) = data {
        all.extend(of_the_run(&data, |name| std::env::var(name).ok()));
    }
    if let Ok(agent) = std::env::var("SSH_AUTH_SOCK")
        && Path::new(&agent).exists()
    {
        // It stands in the environment only where the config passes it.
        all.extend(["--ro-bind", &agent, &agent].map(str::to_owned));
    }
    all.extend(["--remount-ro", "/"].map(str::to_owned));
    // A command that was not given a terminal must not type into the one that whoever started it has.
    if !tty && File::open("/dev/tty").is_ok() {
        all.push("--new-session".to_owned());
    }
    if let Some(dir) = chdir {
        all.extend(["--chdir".to_owned(), dir]);
    }
    all.extend_from_slice(command);
    dispositions::ignore_asking().map_err(|error| cannot(format!("signals cannot be ignored: {error}")))?;
    become_program(&all)
}

fn enter_group(dir: &Path) -> Result<(), (u8, String)> {
    // Zero is whoever writes it.
    let enter = || OpenOptions::new().write(true).open(dir.join("cgroup.procs"))?.write_all(b"0");
    enter().map_err(|error| cannot(format!("the sandbox's control group {} cannot be entered: {error}", dir.display())))
}

fn of_the_run(data: &Path, variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut all = Vec::new();
    let Ok(data) = data.canonicalize() else { return all };
    for (name, writable) in OF_THE_RUN {
        let Some(path) = variable(name) else { continue };
        // Nothing else than what is the run's own, whatever the variable says.
        let Some(real) = Path::new(&path).canonicalize().ok().filter(|real| {
            let of_run = real.strip_prefix(&data).is_ok_and(|rest| rest.components().count() > 2);
            of_run && (!writable || real.starts_with(data.join("agents")))
        }) else {
            continue;
        };
        if let Some(real) = real.to_str() {
            all.extend([if writable { "--bind" } else { "--ro-bind" }, real, &path].map(str::to_owned));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_runs_own_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().canonicalize().unwrap();
        for made in ["runs/aa/x", "agents/a/home"] {
            std::fs::create_dir_all(data.join(made)).unwrap();
        }
        std::fs::write(data.join("runs/aa/x/agent.sock"), "").unwrap();
        std::fs::write(data.join("wharf.db"), "").unwrap();
        let path = |name: &str| data.join(name).display().to_string();
        let told = of_the_run(&data, |name| match name {
            "WHARF_AGENT_SOCKET" => Some(path("runs/aa/x/agent.sock")),
            "WHARF_PROMPT_FILE" => Some(path("wharf.db")),
            "WHARF_CONTINUATION_FILE" => Some("/etc/shadow".into()),
            "WHARF_AGENT_HOME" => Some(path("agents/a/home")),
            _ => None,
        });
        let (socket, home) = (path("runs/aa/x/agent.sock"), path("agents/a/home"));
        assert_eq!(told, ["--ro-bind", &socket, &socket, "--bind", &home, &home]);
        let told = of_the_run(&data, |name| (name == "WHARF_AGENT_HOME").then(|| path("runs/aa/x")));
        assert_eq!(told, Vec::<String>::new());
    }
}
