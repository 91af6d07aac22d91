//! Opening repositories and their indexes: the one place where libgit2 begins, and where its limits are met.
//!
//! libgit2 opens partial clones and repositories with SHA-256 once it is told to. Two formats of an index it cannot
//! read: the sparse and the split one. Of those a plain copy is made by git itself, beside the repository, and read
//! instead. What it cannot open at all (refs kept in a reftable, extensions of later versions of git) is told from what
//! is broken by [`is_unsupported`].

use std::path::{Path, PathBuf};

use git2::{Error, ErrorClass, Index, ObjectFormat, Oid, Repository, RepositoryOpenFlags};

use super::WorkspaceError;
use super::plain_index;
use crate::process::libgit2;

/// Opens the repository of a checkout's root, or of a git directory.
pub(crate) fn open(path: &Path) -> Result<Repository, Error> {
    libgit2::ready();
    Repository::open(path)
}

/// The same, where a git directory is not looked for in a `.git` that leads to nowhere.
pub(crate) fn open_here(path: &Path) -> Result<Repository, Error> {
    libgit2::ready();
    Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, &[] as &[&Path])
}

/// Opens the repository of a directory that may lie below its root.
pub(crate) fn open_above(path: &Path) -> Result<Repository, Error> {
    libgit2::ready();
    Repository::open_ext(path, RepositoryOpenFlags::empty(), &[] as &[&Path])
}

/// Opens the repository that a directory is in, across file systems.
pub(crate) fn discover(path: &Path) -> Result<Repository, Error> {
    libgit2::ready();
    Repository::discover(path)
}

/// Whether libgit2 met a format that it cannot read, and not something that is broken or not there.
pub(crate) fn is_unsupported(error: &Error) -> bool {
    let said = error.message();
    match error.class() {
        ErrorClass::Repository => said.starts_with(EXTENSION) || said.starts_with("unknown object format"),
        ErrorClass::Index => said.starts_with("unsupported mandatory extension"),
        _ => false,
    }
}

/// How libgit2 begins to name an extension of the config that it does not know.
const EXTENSION: &str = "unsupported extension name extensions.";

/// What libgit2 says, with the way out where it is one of formats.
pub(crate) fn said(error: &Error) -> String {
    match error.message().strip_prefix(EXTENSION).filter(|_| is_unsupported(error)) {
        Some("refstorage") => {
            "its refs are kept in a reftable, which wharf cannot read; work in a clone of it, made with `git clone \
             --ref-format=files`, or have git 2.50 or later change it by `git refs migrate --ref-format=files`"
                .to_owned()
        }
        Some(name) => format!("it has git's extension {name}, which this version of wharf cannot read"),
        None => error.message().to_owned(),
    }
}

/// The id that a text of either length means.
pub(crate) fn id(text: &str) -> Result<Oid, Error> {
    let format = if text.len() > 40 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
    Oid::from_str_ext(text, format)
}

/// The index of a checkout as it lies there, to be read only. Where it is a copy, the repository's handle reads it from
/// here on in the place of its own, so that it can compare it with the files.
pub(crate) fn index(repo: &Repository) -> Result<Index, WorkspaceError> {
    let path = index_path(repo);
    let fail = WorkspaceError::git("read the index", repo.path());
    match Index::open_ext(&path, repo.object_format()) {
        Err(e) if is_unsupported(&e) => {
            let mut index = plain_index::copy(repo, &path)?;
            repo.set_index(&mut index).map_err(fail)?;
            Ok(index)
        }
        read => read.map_err(fail),
    }
}

/// Where the index of a checkout lies.
pub(crate) fn index_path(repo: &Repository) -> PathBuf {
    repo.path().join("index")
}
