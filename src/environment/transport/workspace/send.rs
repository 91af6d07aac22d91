//! Making a workspace there.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::local::LocalGit;
use super::snapshot::{self, Snapshot};
use super::{GIT, PLACE, SYNC, Workspace, millis, short_hash};
use crate::environment::driver::Realised;
use crate::environment::transport::{Remote, Reply, Trouble};

const PREPARE: &str = include_str!("../scripts/prepare.sh");
const CHECKOUT: &str = include_str!("../scripts/checkout.sh");

impl Workspace {
    /// Ref that keeps what was sent, for the way back.
    pub(super) fn sent_ref(&self) -> String {
        format!("refs/wharf/sent/{}", self.mark())
    }

    /// What the workspace there was made of: another state than this one, when it was made before.
    pub(super) async fn first_sent(&self, git: &LocalGit, reply: &Reply, now: &str) -> Result<String, Trouble> {
        let Some(first) = reply.value("sent").filter(|first| first != now) else { return Ok(now.to_owned()) };
        if git.commit(&first).await?.is_some() {
            git.run(&["update-ref", &self.sent_ref(), &first]).await?;
        }
        Ok(first)
    }

    /// Sends a checkout.
    pub(super) async fn send(&self, remote: &Remote, root: &Path) -> Result<Realised, Trouble> {
        let began = Instant::now();
        let git = LocalGit::new(root, &self.operator);
        let scratch = self.scratch()?;
        let sent = snapshot::take(&git, scratch.path(), false).await?;
        git.run(&["update-ref", &self.sent_ref(), &sent.commit]).await?;
        let nested = snapshot::nested(&git, &sent.commit).await?;
        let format = git.ask(&["rev-parse", "--show-object-format"], b"").await?;
        let format = if format.code == 0 { format.text() } else { "sha1".to_owned() };
        let cache = short_hash(self.ask.git_common_dir.as_deref().unwrap_or(root));

        let ready = remote.run(&[PLACE, GIT, PREPARE], &[&self.dir, &cache, &format], b"").await?;
        if ready.code != 0 {
            return Err(Self::failed(remote, "objects cannot be taken", &ready));
        }
        let base = match &self.ask.base_commit {
            Some(base) => git.commit(base).await?,
            None => None,
        };
        let (reply, bytes) = self.check_out(remote, &git, &sent, base.as_deref(), &ready, &cache, &format).await?;
        if reply.code != 0 {
            return Err(Self::failed(remote, "the workspace cannot be checked out", &reply));
        }
        let work = reply
            .value("work")
            .ok_or_else(|| Trouble::Unknown(format!("{} did not say where the workspace is", remote.name())))?;
        let first = self.first_sent(&git, &reply, &sent.commit).await?;
        let head = if first == sent.commit { sent.head } else { git.commit(&format!("{first}^")).await? };
        let record = json!({
            "request": { "run": self.ask.run, "attempt": self.ask.attempt, "workspace": self.ask.workspace,
                "mode": self.ask.mode, "root": root, "cwd": self.ask.cwd, "branch": self.ask.branch,
                "timeout_ms": self.ask.timeout_ms },
            "sent": first, "head": head, "branch": self.ask.branch, "base": base,
            "work": work, "bytes": bytes, "ms": millis(began), "again": reply.text().contains("\nagain"),
            "not_carried": nested.iter().take(20).collect::<Vec<_>>(),
        });
        Ok(Realised { cwd: self.cwd_there(&work), sync: SYNC.to_owned(), record })
    }

    #[expect(clippy::too_many_arguments, reason = "one step of one procedure, told apart for its length")]
    async fn check_out(
        &self,
        remote: &Remote,
        git: &LocalGit,
        sent: &Snapshot,
        base: Option<&str>,
        ready: &Reply,
        cache: &str,
        format: &str,
    ) -> Result<(Reply, u64), Trouble> {
        let there = known(git, ready).await?;
        let sends = !there.contains(&sent.commit);
        let shallow = shallow(git).await?;
        let setting = |said: super::local::Said| if said.code == 0 { said.text() } else { String::new() };
        let user = setting(git.ask(&["config", "--get", "user.name"], b"").await?);
        let mail = setting(git.ask(&["config", "--get", "user.email"], b"").await?);
        let workspace = self.ask.workspace.to_string();
        let mark = self.mark();
        let args = [
            self.dir.as_str(),
            cache,
            &workspace,
            &mark,
            if sends { "pack" } else { "none" },
            &sent.commit,
            sent.head.as_deref().unwrap_or("-"),
            // A head without a commit is always a branch.
            self.ask.branch.as_deref().unwrap_or(if sent.head.is_none() { "main" } else { "-" }),
            base.unwrap_or("-"),
            format,
            &user,
            &mail,
            &shallow,
        ];
        let mut running = remote.start(&[PLACE, GIT, CHECKOUT], &args).await?;
        let stdin = running.stdin.take();
        let feed = async {
            let Some(mut stdin) = stdin else { return Ok(0) };
            if !sends {
                return Ok(0);
            }
            let mut wanted = vec![sent.commit.clone()];
            wanted.extend(base.map(str::to_owned));
            wanted.extend(there.iter().map(|have| format!("^{have}")));
            // States are no ancestors of each other: only so is what they share left out.
            let args = ["pack-objects", "--revs", "--thin", "--stdout", "-q", "--delta-base-offset", "--shallow"];
            let mut packing = git.spawn(&args)?;
            if let Some(mut list) = packing.stdin.take() {
                let _broken = list.write_all(format!("{}\n", wanted.join("\n")).as_bytes()).await;
            }
            let mut bytes = 0;
            if let Some(mut pack) = packing.stdout.take() {
                // A far side that takes no more says why in its answer.
                bytes = tokio::io::copy(&mut pack, &mut stdin).await.unwrap_or(0);
            }
            let _broken = stdin.shutdown().await;
            drop(stdin);
            // A pack that broke off is seen there.
            let _status = packing.wait().await;
            Ok(bytes)
        };
        let (reply, bytes) = tokio::join!(running.finish(), feed);
        let bytes = bytes?;
        let reply = reply?;
        if reply.code == 255 || reply.code < 0 {
            return Err(Trouble::Unknown(remote.explain(&reply.err).to_string()));
        }
        Ok((reply, bytes))
    }
}

/// The commits there that are known here too.
async fn known(git: &LocalGit, ready: &Reply) -> Result<Vec<String>, Trouble> {
    let text = ready.text();
    let list: String = text.lines().filter_map(|line| line.strip_prefix("have ")).map(|id| format!("{id}\n")).collect();
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let said = git.run_with(&["cat-file", "--batch-check"], list.as_bytes()).await?;
    Ok(said.text().lines().filter_map(|line| line.split_once(" commit ").map(|(id, _)| id.to_owned())).collect())
}

/// Commits whose parents this repository does not have, separated by blanks.
async fn shallow(git: &LocalGit) -> Result<String, Trouble> {
    let path = git.run(&["rev-parse", "--git-path", "shallow"]).await?.text();
    let list = std::fs::read_to_string(git.root().join(path)).unwrap_or_default();
    Ok(list.split_whitespace().collect::<Vec<_>>().join(" "))
}
