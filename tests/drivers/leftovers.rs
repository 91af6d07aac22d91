//! Processes of this machine that belong to one bench: by the path of its directory in their arguments or
//! environment.

use std::path::Path;

/// A look at the process table.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Number and command line.
    pub found: Vec<(i32, String)>,
}

impl Leftovers {
    /// Looks for what belongs to `root`; `stays` says of a command line that it may go on.
    pub fn look(root: &Path, stays: fn(&str) -> bool) -> Self {
        let mark = root.display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            if pid == std::process::id() as i32 {
                continue;
            }
            // One that ends meanwhile has nothing any more.
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ").trim().to_owned();
            let is_ours = line.contains(&mark) || String::from_utf8_lossy(&read("environ")).contains(&mark);
            if is_ours && !line.is_empty() && !stays(&line) {
                found.push((pid, line));
            }
        }
        Self { found }
    }

    /// What is there and was not before.
    pub fn since(self, before: &Self) -> Vec<(i32, String)> {
        self.found.into_iter().filter(|(pid, _)| before.found.iter().all(|(b, _)| b != pid)).collect()
    }
}

/// Whether any process of this machine has a text in its arguments.
pub fn in_any_argument(text: &str) -> Option<String> {
    // Several times: while other tests come and go, one look may miss a process.
    (0..10).find_map(|look| {
        if look > 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let dirs = std::fs::read_dir("/proc").unwrap().flatten();
        dirs.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .find(|line| line.contains(text))
    })
}
