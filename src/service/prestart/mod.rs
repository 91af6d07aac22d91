//! What is looked at before a service starts: things that would make it serve something else than its workspace.
//!
//! Looks read files and nothing else; what is found is repaired where the rule of the look allows it, and told where
//! not. Nothing from the workspace is executed. What was found and done is an operation with a log of its own.

mod links;
mod record;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf_model::ActionId;

pub use self::links::WorkspaceLinks;
use crate::dispatch::perform::ServiceJob;
use crate::run::context::Context;

/// Time that all looks together may take; what was not looked at then is not told about.
const LIMIT: Duration = Duration::from_secs(5);

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, for people.
    pub words: String,
    /// How it is put right; the error says why it is only told.
    pub repair: Result<Relink, String>,
}

/// A link that is to lead elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relink {
    /// The link.
    pub link: PathBuf,
    /// Where it has to lead: a path relative to the directory that it is in.
    pub target: PathBuf,
}

/// One kind of look.
pub trait Look: Sync {
    /// What it looks for, in a few words.
    fn about(&self) -> &'static str;
    /// Looks at the workspace in which a service is about to start. Reads only, and gives up at `end`.
    ///
    /// # Errors
    /// In words, where it could not be looked at.
    fn find(&self, cwd: &Path, end: Instant) -> Result<Vec<Finding>, String>;
}

/// All looks, in their order.
pub const LOOKS: &[&dyn Look] = &[&WorkspaceLinks];

/// Looks, repairs, records; gives what was not repaired, for people. It never keeps a service from starting.
pub(super) async fn before_start(ctx: &Context, action: ActionId, job: &ServiceJob) -> Vec<String> {
    let mut told = Vec::new();
    for look in LOOKS {
        let cwd = PathBuf::from(&job.service.cwd);
        let looking = tokio::task::spawn_blocking(move || look.find(&cwd, Instant::now() + LIMIT));
        // A file system that does not answer must not keep it from starting.
        let Ok(found) = tokio::time::timeout(LIMIT * 2, looking).await else {
            told.push(format!("{} could not be looked at within {} s", look.about(), (LIMIT * 2).as_secs()));
            continue;
        };
        match found {
            Ok(Ok(found)) => told.extend(record::repair(ctx, action, job, *look, found).await),
            Ok(Err(error)) => told.push(format!("{} could not be looked at: {error}", look.about())),
            Err(panic) => told.push(format!("{} could not be looked at: {panic}", look.about())),
        }
    }
    told
}

impl Relink {
    /// Puts the link in place of what is there, if that is a link or nothing. There is no moment without one.
    ///
    /// # Errors
    /// What the file system says, and [`std::io::ErrorKind::AlreadyExists`] for anything but a link.
    pub fn carry_out(&self) -> std::io::Result<()> {
        if std::fs::symlink_metadata(&self.link).is_ok_and(|found| !found.file_type().is_symlink()) {
            return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it is no link, and stays as it is"));
        }
        let name = format!(".wharf-link-{}", uuid::Uuid::now_v7().simple());
        let fresh = self.link.with_file_name(name);
        let dir = self.link.parent().unwrap_or(&self.link);
        // Of the directories above only the last one may be missing: that of a scope.
        if !dir.exists() {
            std::fs::create_dir(dir)?;
        }
        if std::fs::canonicalize(dir)? != dir {
            return Err(std::io::Error::other("its directory has become a link meanwhile"));
        }
        std::os::unix::fs::symlink(&self.target, &fresh)?;
        std::fs::rename(&fresh, &self.link).inspect_err(|_| {
            let _ = std::fs::remove_file(&fresh);
        })
    }
}
