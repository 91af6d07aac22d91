//! Where in a `wharf.toml` a named table stands, for editors and for messages.

use std::path::Path;

/// The line, from 1, of `name = "…"` in one of the tables `[[table]]`; none when the file has no such table.
///
/// The file may be in the midst of being edited: it is read line by line, not as TOML.
pub fn line_of(file: &Path, table: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let head = format!("[[{table}]]");
    let mut inside = false;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.starts_with(&head);
        }
        let named = line.strip_prefix("name").map(str::trim_start).and_then(|l| l.strip_prefix('='));
        let quoted = named.map(|n| n.split('#').next().unwrap_or(n).trim().trim_matches(['"', '\'']));
        if inside && quoted == Some(name) {
            return Some(i as u64 + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_at_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("wharf.toml");
        let text = "[[agent]]\nname = \"web\"\n\n[[service]]\nname = 'web' # the site\n[service.env]\nname = \"db\"\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(line_of(&file, "service", "web"), Some(5));
        assert_eq!(line_of(&file, "agent", "web"), Some(2));
        assert_eq!(line_of(&file, "service", "db"), None);
        assert_eq!(line_of(&dir.path().join("none"), "service", "web"), None);
    }
}
