//! Projects' configs as last read: a file that is as it was need not be parsed again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use wharf_model::config::ProjectConfig;

use super::{ConfigErrors, file, parse_project_file};

/// Configs kept at most.
const MOST: usize = 64;

/// The texts that were read and what they say. The text is compared, not the file's date: two
/// changes within one tick of the clock look alike by date.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<BTreeMap<PathBuf, (String, ProjectConfig)>>);

impl Remembered {
    /// Reads a project's config file, without anything of the command line over it.
    ///
    /// # Errors
    /// As [`super::load_project`]; what cannot be read is never remembered.
    pub fn load(&self, path: &Path) -> Result<ProjectConfig, ConfigErrors> {
        let shown = file::name(path);
        let text = file::read_text(path, &shown)?;
        // A panic while it was held leaves a map that is whole.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = known().get(path).filter(|(before, _)| *before == text) {
            return Ok(config.clone());
        }
        let (config, _) = parse_project_file(path, &text, &shown)?;
        let mut known = known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(path.to_owned(), (text, config.clone()));
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.toml");
        let remembered = Remembered::default();
        for name in ["one", "two", "two"] {
            std::fs::write(&path, format!("[project]\nname = \"{name}\"\n")).unwrap();
            assert_eq!(remembered.load(&path).unwrap().project.name, name);
        }
        std::fs::write(&path, "[project]\nname = 3\n").unwrap();
        assert!(remembered.load(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(remembered.load(&path), Err(ConfigErrors::Missing { .. })));
    }
}
