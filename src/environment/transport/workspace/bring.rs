//! Bringing a workspace back.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::apply::{self, Applied, Results};
use super::local::LocalGit;
use super::{GIT, PLACE, Workspace, millis, snapshot, text_of};
use crate::environment::driver::Collected;
use crate::environment::transport::{Remote, Trouble};

const EXPORT: &str = include_str!("../scripts/export.sh");
/// Lines before the pack at most: one for each branch and a few more.
const LINES_MAX: usize = 20_000;

/// What the far side says of a workspace before it sends it.
#[derive(Debug, Default)]
struct There {
    head: Option<String>,
    snap: String,
    branches: Vec<(String, String)>,
    lost: Vec<String>,
    /// Files that could not be read.
    unread: Vec<String>,
    /// Branches whose names are no text.
    unnamed: Vec<String>,
    /// Nothing changed: no objects came.
    same: bool,
}

impl There {
    /// What an operator must know of it.
    fn warnings(&self, remote: &Remote) -> Vec<String> {
        let mut warnings: Vec<String> = self.lost.iter().map(|run| lost_words(remote, run)).collect();
        if !self.unread.is_empty() {
            warnings.push(format!(
                "{} cannot be read on {} and did not come back; mend their rights there",
                snapshot::few(&self.unread),
                remote.name()
            ));
        }
        if !self.unnamed.is_empty() {
            let names = snapshot::few(&self.unnamed);
            warnings.push(format!("branches whose names are no text did not come back: {names}"));
        }
        warnings
    }
}

impl Workspace {
    /// Ref under which results are kept until they are here.
    fn results_ref(&self) -> String {
        format!("refs/wharf/results/{}", self.mark())
    }

    /// Brings a checkout back.
    pub(super) async fn bring(&self, remote: &Remote, root: &Path, record: &Value) -> Result<Collected, Trouble> {
        let began = Instant::now();
        let git = LocalGit::new(root, &self.operator);
        let sent = text_of(record, "sent")?;
        let head = record["head"].as_str();
        if git.commit(&sent).await?.is_none() {
            return Err(Trouble::Refused(format!("{} does not have what was sent ({sent}) any more", root.display())));
        }
        let there = self.fetch(remote, &git, &sent, head).await?;
        let mut warnings = there.warnings(remote);
        if there.same {
            git.run(&["update-ref", "-d", &self.sent_ref()]).await?;
            return Ok(Collected { changed: false, record: json!({ "ms": millis(began) }), warnings });
        }
        let results = self.results_ref();
        git.run(&["update-ref", &results, &there.snap]).await?;
        let put = self.put(&git, root, record, &sent, &there).await;
        let put = put.map_err(|trouble| trouble.and(&format!("the results are kept as {results}")))?;
        warnings.extend(put.warnings);
        let mut record = put.record;
        record["ms"] = millis(began).into();
        Ok(Collected { changed: true, record, warnings })
    }

    /// Puts what came into the checkout. It lies under the results' name already.
    async fn put(
        &self,
        git: &LocalGit,
        root: &Path,
        record: &Value,
        sent: &str,
        there: &There,
    ) -> Result<Collected, Trouble> {
        let head = record["head"].as_str();
        let branch = record["branch"].as_str();
        let results = self.results_ref();
        let mut warnings: Vec<String> = self.made_there(git, sent, &there.snap).await?.into_iter().collect();
        let others = self.keep_branches(git, there, branch).await?;

        let scratch = self.scratch()?;
        let common = self.ask.git_common_dir.clone().unwrap_or_else(|| root.join(".git"));
        let applied = {
            let _lock = apply::lock(&common, format!("results of {}", self.mark())).await?;
            let wanted = Results { sent, came: &there.snap, head: there.head.as_deref(), branch, plain: false };
            apply::apply(git, scratch.path(), &wanted).await?
        };
        let commits = match &there.head {
            Some(to) => {
                let from = head.map(|head| format!("^{head}"));
                let mut args = vec!["rev-list", "--count", to.as_str()];
                args.extend(from.as_deref());
                git.run(&args).await?.text().parse::<u64>().unwrap_or(0)
            }
            None => 0,
        };
        let mut kept = None;
        let mut files = 0;
        match applied {
            Applied::Done(changed) => {
                files = changed;
                git.run(&["update-ref", "-d", &results]).await?;
                git.run(&["update-ref", "-d", &self.sent_ref()]).await?;
            }
            Applied::Kept(why) => {
                warnings.push(format!(
                    "the results are not in {}: {why}; they are kept as {results} (git diff HEAD {results})",
                    root.display()
                ));
                kept = Some(results.clone());
            }
        }
        if !others.is_empty() {
            warnings.push(format!("the run made other branches; they are kept as {}", others.join(", ")));
        }
        let record = json!({ "head": there.head, "state": there.snap, "commits": commits, "files": files,
            "kept": kept, "branches": others });
        Ok(Collected { changed: true, record, warnings })
    }

    /// Fetches objects, when anything changed there.
    async fn fetch(&self, remote: &Remote, git: &LocalGit, sent: &str, head: Option<&str>) -> Result<There, Trouble> {
        let workspace = self.ask.workspace.to_string();
        let args = [self.dir.as_str(), &workspace, sent, head.unwrap_or("-"), &self.runs()];
        let mut running = remote.start(&[PLACE, GIT, EXPORT], &args).await?;
        drop(running.stdin.take());
        let mut stdout = running.stdout.take().map(|out| BufReader::with_capacity(128 << 10, out));
        let mut there = There::default();
        let mut packs = false;
        if let Some(stdout) = &mut stdout {
            let mut bytes = Vec::new();
            for _ in 0..LINES_MAX {
                bytes.clear();
                if stdout.read_until(b'\n', &mut bytes).await.unwrap_or(0) == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&bytes);
                let line = text.trim_end_matches('\n');
                let (name, value) = line.split_once(' ').unwrap_or((line, ""));
                match name {
                    "head" => there.head = Some(value.to_owned()).filter(|head| head != "-"),
                    "snap" => value.clone_into(&mut there.snap),
                    "branch" if std::str::from_utf8(&bytes).is_err() => there.unnamed.push(value.to_owned()),
                    "unread" => there.unread.push(value.to_owned()),
                    "branch" => there.branches.extend(value.split_once(' ').map(|(a, b)| (a.into(), b.into()))),
                    "lost" => there.lost.push(value.to_owned()),
                    "pack" => {
                        packs = true;
                        break;
                    }
                    _ => {}
                }
            }
        }
        let indexed = match &mut stdout {
            Some(stdout) if packs => {
                let mut taking = git.spawn(&["index-pack", "--stdin", "--fix-thin"])?;
                let mut broken = None;
                if let Some(mut stdin) = taking.stdin.take() {
                    broken = tokio::io::copy(stdout, &mut stdin).await.err();
                    let _closed = stdin.shutdown().await;
                }
                let said = taking.wait_with_output().await.map_err(|e| Trouble::Unknown(format!("git: {e}")))?;
                Some((said, broken))
            }
            _ => None,
        };
        drop(stdout);
        let reply = running.finish().await?;
        if reply.code != 0 {
            return Err(match reply.code {
                255 | ..0 => Trouble::Unknown(remote.explain(&reply.err).to_string()),
                _ => Self::failed(remote, "the results cannot be brought back", &reply),
            });
        }
        if !packs {
            there.same = there.snap == sent;
            return if there.same { Ok(there) } else { Err(Trouble::Unknown("the far side sent no results".into())) };
        }
        if let Some((said, broken)) = indexed
            && (!said.status.success() || broken.is_some())
        {
            let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            return Err(Trouble::Unknown(format!("what came back is not whole: {words}")));
        }
        // Everything that it needs is here, or it did not come back.
        let mut args = vec!["rev-list", "--objects", "--quiet", there.snap.as_str()];
        args.extend(there.branches.iter().map(|(commit, _)| commit.as_str()));
        args.extend(["--not", "--all"]);
        let whole = git.ask(&args, b"").await?;
        if whole.code != 0 {
            return Err(Trouble::Unknown(format!("what came back is not whole: {}", whole.err.trim())));
        }
        Ok(there)
    }

    /// Keeps what other branches have under names of ours.
    async fn keep_branches(&self, git: &LocalGit, there: &There, branch: Option<&str>) -> Result<Vec<String>, Trouble> {
        let mut kept = Vec::new();
        for (commit, name) in &there.branches {
            let Some(short) = name.strip_prefix("refs/heads/") else { continue };
            let is_head = branch == Some(short) && there.head.as_ref() == Some(commit);
            let in_results = git.is_ancestor(commit, &there.snap).await?;
            if is_head || in_results {
                continue;
            }
            let own = format!("refs/wharf/branches/{}/{short}", self.mark());
            git.run(&["update-ref", &own, commit]).await?;
            kept.push(own);
        }
        Ok(kept)
    }
}

/// The words for output that the host had no room for.
pub(super) fn lost_words(remote: &Remote, run: &str) -> String {
    format!("{} could not write all output of a command: its disk was full ({run})", remote.name())
}
