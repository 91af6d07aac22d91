//! A directory without git: sent and brought back as an archive. Here it is compared by a repository of ours that
//! lies in the data directory; there is none in the directory itself, and none on the far side.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use super::apply::{self, Applied, Results};
use super::bring::lost_words;
use super::local::LocalGit;
use super::{PLACE, SYNC, Workspace, millis, short_hash, snapshot, text_of};
use crate::environment::driver::{Collected, Realised};
use crate::environment::transport::{Remote, Trouble};

const UNPACK: &str = include_str!("../scripts/unpack.sh");
const PACK: &str = include_str!("../scripts/pack.sh");

impl Workspace {
    /// The repository of ours that compares a directory.
    async fn comparing(&self, dir: &Path) -> Result<(LocalGit, PathBuf), Trouble> {
        let repository = self.own_directory()?.join(format!("{}.git", short_hash(&self.ask.cwd)));
        let git = LocalGit::new(dir, &self.operator);
        if !repository.join("HEAD").exists() {
            let path = repository.display().to_string();
            git.run(&["init", "-q", "--bare", &path]).await?;
        }
        Ok((git.with_repository(&repository, dir), repository))
    }

    fn tar(&self, args: &[&str], dir: &Path) -> Command {
        let mut command = Command::new("tar");
        command
            .args(args)
            .env_clear()
            .envs(self.operator.iter().filter(|(name, _)| *name == "PATH"))
            .env("LC_ALL", "C")
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Sends a directory.
    pub(super) async fn send_plain(&self, remote: &Remote) -> Result<Realised, Trouble> {
        let began = Instant::now();
        let cwd = &self.ask.cwd;
        let (git, _) = self.comparing(cwd).await?;
        let scratch = self.scratch()?;
        let sent = snapshot::take(&git, scratch.path(), true).await?;
        let nested = snapshot::nested(&git, &sent.commit).await?;
        if !nested.is_empty() {
            return Err(Trouble::Refused(format!(
                "{} in {}: a repository of its own, whose changes could not be brought back; make it a project",
                snapshot::few(&nested),
                cwd.display()
            )));
        }
        git.run(&["update-ref", &self.sent_ref(), &sent.commit]).await?;
        let workspace = self.ask.workspace.to_string();
        let args = [self.dir.as_str(), &workspace, &self.mark(), &sent.commit];
        let mut running = remote.start(&[PLACE, UNPACK], &args).await?;
        let stdin = running.stdin.take();
        let feed = async {
            let mut packing = self
                .tar(&["-cf", "-", "."], cwd)
                .spawn()
                .map_err(|e| Trouble::Refused(format!("tar cannot be started here: {e}")))?;
            drop(packing.stdin.take());
            let mut bytes = 0;
            if let (Some(mut from), Some(mut to)) = (packing.stdout.take(), stdin) {
                bytes = tokio::io::copy(&mut from, &mut to).await.unwrap_or(0);
                let _broken = to.shutdown().await;
            }
            let said = packing.wait_with_output().await.map_err(|e| Trouble::Unknown(format!("tar: {e}")))?;
            // 1 says that a file changed while it was read.
            match said.status.code() {
                Some(0 | 1) => Ok(bytes),
                _ => Err(Trouble::Refused(format!("tar: {}", String::from_utf8_lossy(&said.stderr).trim()))),
            }
        };
        let (reply, bytes) = tokio::join!(running.finish(), feed);
        let reply = reply?;
        match reply.code {
            0 => {}
            255 | ..0 => return Err(Trouble::Unknown(remote.explain(&reply.err).to_string())),
            _ => return Err(Self::failed(remote, "the directory cannot be unpacked", &reply)),
        }
        let bytes = bytes?;
        let work = reply
            .value("work")
            .ok_or_else(|| Trouble::Unknown(format!("{} did not say where the workspace is", remote.name())))?;
        let first = self.first_sent(&git, &reply, &sent.commit).await?;
        let record = json!({
            "request": { "run": self.ask.run, "attempt": self.ask.attempt, "workspace": self.ask.workspace,
                "mode": self.ask.mode, "cwd": cwd, "timeout_ms": self.ask.timeout_ms },
            "sent": first, "head": null, "work": work, "bytes": bytes, "ms": millis(began),
            "again": reply.text().contains("\nagain"),
        });
        Ok(Realised { cwd: work, sync: SYNC.to_owned(), record })
    }

    /// Brings a directory back.
    pub(super) async fn bring_plain(&self, remote: &Remote, record: &Value) -> Result<Collected, Trouble> {
        let began = Instant::now();
        let sent = text_of(record, "sent")?;
        let scratch = self.scratch()?;
        let there = scratch.path().join("there");
        std::fs::create_dir(&there).map_err(|e| Trouble::Unknown(format!("{}: {e}", there.display())))?;
        let lost = self.fetch_plain(remote, &there).await?;
        let (git, repository) = self.comparing(&there).await?;
        let came = snapshot::take(&git, scratch.path(), true).await?;
        let mut warnings: Vec<String> = lost.iter().map(|run| lost_words(remote, run)).collect();
        warnings.extend(self.made_there(&git, &sent, &came.commit).await?);
        let (git, _) = self.comparing(&self.ask.cwd).await?;
        let changed = came.commit != sent;
        let results = format!("refs/wharf/results/{}", self.mark());
        let (mut files, mut kept) = (0, None);
        if changed {
            git.run(&["update-ref", &results, &came.commit]).await?;
            let applied = async {
                let _lock = apply::lock(&repository, format!("results of {}", self.mark())).await?;
                let wanted = Results { sent: &sent, came: &came.commit, head: None, branch: None, plain: true };
                apply::apply(&git, scratch.path(), &wanted).await
            };
            let kept_as = || format!("the results are kept as {results} in {}", repository.display());
            match applied.await.map_err(|trouble| trouble.and(&kept_as()))? {
                Applied::Done(changed) => files = changed,
                Applied::Kept(why) => {
                    warnings.push(format!(
                        "the results are not in {}: {why}; they are kept as {results} in {}",
                        self.ask.cwd.display(),
                        repository.display()
                    ));
                    kept = Some(results.clone());
                }
            }
        }
        if kept.is_none() {
            for name in [&results, &self.sent_ref()] {
                git.run(&["update-ref", "-d", name]).await?;
            }
        }
        let record = json!({ "state": came.commit, "files": files, "kept": kept, "ms": millis(began) });
        Ok(Collected { changed, record, warnings })
    }

    /// Unpacks what comes back; the runs whose output had no room there.
    async fn fetch_plain(&self, remote: &Remote, into: &Path) -> Result<Vec<String>, Trouble> {
        let workspace = self.ask.workspace.to_string();
        let mut running = remote.start(&[PLACE, PACK], &[&self.dir, &workspace, &self.runs()]).await?;
        drop(running.stdin.take());
        let mut lost = Vec::new();
        let mut unpacked = Ok(false);
        if let Some(stdout) = running.stdout.take() {
            let mut stdout = BufReader::with_capacity(128 << 10, stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
                if line == b"pack\n" {
                    unpacked = self.unpack(&mut stdout, into).await.map(|()| true);
                    break;
                }
                lost.extend(String::from_utf8_lossy(&line).trim_end().strip_prefix("lost ").map(str::to_owned));
                line.clear();
            }
        }
        let reply = running.finish().await?;
        match reply.code {
            0 => {}
            255 | ..0 => return Err(Trouble::Unknown(remote.explain(&reply.err).to_string())),
            _ => return Err(Self::failed(remote, "the results cannot be brought back", &reply)),
        }
        if unpacked? { Ok(lost) } else { Err(Trouble::Unknown("the far side sent no results".into())) }
    }

    async fn unpack(&self, from: &mut BufReader<tokio::process::ChildStdout>, into: &Path) -> Result<(), Trouble> {
        let mut tar = self
            .tar(&["-xf", "-", "--no-same-owner"], into)
            .spawn()
            .map_err(|e| Trouble::Refused(format!("tar cannot be started here: {e}")))?;
        let mut whole = true;
        if let Some(mut stdin) = tar.stdin.take() {
            whole = tokio::io::copy(from, &mut stdin).await.is_ok();
            let _broken = stdin.shutdown().await;
        }
        let said = tar.wait_with_output().await.map_err(|e| Trouble::Unknown(format!("tar: {e}")))?;
        if whole && said.status.success() {
            Ok(())
        } else {
            Err(Trouble::Unknown(format!(
                "what came back is not whole: {}",
                String::from_utf8_lossy(&said.stderr).trim()
            )))
        }
    }
}
