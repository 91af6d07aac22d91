//! Whether a directory is there, or gone for certain: what lies on a disk that is not mounted is neither.

use std::io::ErrorKind;
use std::path::Path;

/// Whether a directory is there; none where that cannot be told. It is gone for certain only where something stands
/// around it: other entries of its parent, or the repository that it lies in. An empty or missing parent may be where
/// a disk belongs.
pub fn is_there(path: &Path, repository: Option<&Path>) -> Option<bool> {
    let stands = |dir: &Path| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    match std::fs::symlink_metadata(path) {
        Ok(_) => Some(true),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut around =
                repository.filter(|repository| path.starts_with(repository)).into_iter().chain(path.parent());
            around.any(stands).then_some(false)
        }
        Err(_) => None,
    }
}

/// Says of a directory that it cannot be told, and what helps.
pub fn untold(path: &Path) -> String {
    let parent = path.parent().unwrap_or(path).display();
    format!(
        "{} is not there, and nothing else is in {parent}: its disk may not be mounted; mount it, or, if the directory is really gone, put any file into {parent}",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("shop");
        std::fs::create_dir_all(repository.join("trees/a")).unwrap();
        assert_eq!(is_there(&repository.join("trees/a"), Some(&repository)), Some(true));
        assert_eq!(is_there(&repository.join("trees/b"), Some(&repository)), Some(false));
        // A disk that is not mounted: the repository is gone as well, or its mount point is empty.
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert_eq!(is_there(&empty.join("trees/a"), Some(&empty)), None);
        let gone = dir.path().join("gone");
        assert_eq!(is_there(&gone.join("trees/a"), Some(&gone)), None);
        // Only the worktrees lie on it: the repository says nothing of them.
        assert_eq!(is_there(&empty.join("a"), Some(&repository)), None);
        assert_eq!(is_there(&gone.join("a"), Some(&repository)), None);
        std::fs::write(empty.join("other"), "").unwrap();
        assert_eq!(is_there(&empty.join("a"), Some(&repository)), Some(false));
        // A file where a directory should be on the way.
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(is_there(&dir.path().join("file/a"), Some(&repository)), None);
    }
}
