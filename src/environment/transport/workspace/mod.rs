//! A workspace there: made of the local one by git, and brought back by git.
//!
//! What is sent is a commit of the whole working tree, untracked files and all, made with an index of its own: the
//! operator's index and files are only read. What comes back is such a commit too. It is kept under a ref of ours
//! before anything local is changed.

mod apply;
mod bring;
mod local;
mod merge;
mod plain;
mod send;
mod snapshot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::driver::{Collected, RealiseAsk, Realised, Site};
use super::follow::run_prefix;
use super::{Remote, Reply, Trouble, place};
use local::LocalGit;

const PLACE: &str = include_str!("../scripts/place.sh");
const GIT: &str = include_str!("../scripts/git.sh");

/// How a workspace came there.
const SYNC: &str = "ssh_git_import_export";

/// One workspace in one lease.
#[derive(Debug, Clone)]
pub struct Workspace {
    dir: String,
    ask: RealiseAsk,
    data: PathBuf,
    operator: Arc<BTreeMap<String, String>>,
}

impl Workspace {
    /// In this directory of a lease.
    pub fn new(dir: String, ask: RealiseAsk, site: &Site) -> Self {
        Self { dir, ask, data: site.data.clone(), operator: Arc::clone(&site.operator) }
    }

    /// Makes it there.
    pub async fn realise(&self, remote: &Remote) -> Result<Realised, Trouble> {
        match &self.ask.root {
            Some(root) => self.send(remote, root).await,
            None => self.send_plain(remote).await,
        }
    }

    /// Brings it back.
    pub async fn collect(&self, remote: &Remote, realised: &Realised) -> Result<Collected, Trouble> {
        match &self.ask.root {
            Some(root) => self.bring(remote, root, &realised.record).await,
            None => self.bring_plain(remote, &realised.record).await,
        }
    }

    /// What tells the realisations of a workspace apart.
    fn mark(&self) -> String {
        match &self.ask.run {
            Some(run) => format!("{run}-{}", self.ask.attempt),
            None => format!("{}-{}", self.ask.workspace, self.ask.attempt),
        }
    }

    /// What the directories of this run's commands begin with there.
    fn runs(&self) -> String {
        self.ask.run.as_ref().map_or_else(String::new, |run| run_prefix(&format!("run/{run}/{}", self.ask.attempt)))
    }

    /// Repositories that were made there inside of the workspace: what is in them does not come back.
    async fn made_there(&self, git: &LocalGit, sent: &str, came: &str) -> Result<Option<String>, Trouble> {
        let known = snapshot::nested(git, sent).await?;
        let made: Vec<String> =
            snapshot::nested(git, came).await?.into_iter().filter(|name| !known.contains(name)).collect();
        Ok((!made.is_empty()).then(|| {
            format!(
                "{} there are repositories of their own: what is in them was not brought back; keep the lease until \
                 it is pushed or copied",
                snapshot::few(&made)
            )
        }))
    }

    /// Our directory on this machine, made when it is needed.
    fn own_directory(&self) -> Result<PathBuf, Trouble> {
        use std::os::unix::fs::DirBuilderExt as _;
        let dir = self.data.join("environments").join("transport");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| Trouble::Unknown(format!("{} cannot be made: {e}", dir.display())))?;
        Ok(dir)
    }

    /// A directory of this machine for one call.
    fn scratch(&self) -> Result<Scratch, Trouble> {
        let dir = self.own_directory()?.join(format!("tmp-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).map_err(|e| Trouble::Unknown(format!("{} cannot be made: {e}", dir.display())))?;
        Ok(Scratch(dir))
    }

    /// Where the run works there.
    fn cwd_there(&self, work: &str) -> String {
        let below = self.ask.root.as_ref().and_then(|root| self.ask.cwd.strip_prefix(root).ok());
        match below.and_then(Path::to_str) {
            Some(below) if !below.is_empty() => format!("{work}/{below}"),
            _ => work.to_owned(),
        }
    }

    fn failed(remote: &Remote, what: &str, reply: &Reply) -> Trouble {
        match reply.code {
            10 => Trouble::Refused(format!("{what}: on {} {}", remote.name(), reply.complaint())),
            _ => place::failed(remote, what, reply),
        }
    }
}

/// A directory that goes with the call it was made for.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = crate::environment::sandbox::tree::remove_tree(&self.0);
    }
}

/// A short name for a path, the same each time.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A text of a record.
fn text_of(record: &Value, name: &str) -> Result<String, Trouble> {
    record[name]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Trouble::Refused(format!("the record of the realisation does not say {name}")))
}

fn millis(since: std::time::Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
