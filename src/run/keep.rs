//! Keeping watch over one shim from its start, or from its adoption, to its end.
//!
//! The same path serves runs, services and operations, the first reign and every later one: the
//! directory tells what has happened so far, and whatever has not is done now.

mod link;
mod stop;

use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::shim::{ChildRef, Control, ControlReply, ExitFrame, IdFile, LimitsReport, Spec, StartMessage};

use self::link::Link;
use super::left::{child_of, found_words, stop_left};
use crate::process::adopt::{self, Verdict};
use crate::process::{cgroup, holder, shim_dir, spawn};

/// Time in which a freshly started shim must answer on its socket.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Pauses between attempts to reach a shim that holds its lock and does not answer.
const RECONNECT_MS: [u64; 6] = [20, 100, 500, 1_000, 2_000, 5_000];
/// Attempts after which one that was never reached in this reign is told to be in doubt.
const FIRST_TRIES: usize = 2;

/// What is needed to keep shims.
#[derive(Debug, Clone)]
pub struct Keeper {
    /// Data directory.
    pub data: PathBuf,
    /// Epoch of the reign.
    pub epoch: i64,
}

/// Seen while a shim lives.
#[derive(Debug, Clone)]
pub enum Seen {
    /// The child runs; `adopted` when somebody else had started it, with the byte at which its output goes on.
    Started { child: ChildRef, at_ms: i64, adopted: Option<u64>, limits: Option<Box<LimitsReport>> },
    /// It holds its lock and does not answer.
    Unknown(String),
    /// It answers again.
    Known,
    /// It waits for room on the disk, or does not.
    Disk(bool),
    /// A `wharf` inside said something: frames up to this number are to be read.
    Message,
}

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// With a record.
    Exited(Box<ExitFrame>),
    /// Without one.
    Lost(String),
    /// No process was started, and none will be.
    NotStarted { code: String, message: String },
}

/// Why a start message could not be made.
#[derive(Debug, Clone)]
pub struct CannotStart {
    /// Error code.
    pub code: String,
    /// In words.
    pub message: String,
}

impl Keeper {
    /// Absolute path of a shim's directory.
    pub fn path(&self, dir: &str) -> PathBuf {
        self.data.join(dir)
    }

    /// Starts the shim if nothing has been started, finds it again otherwise, and stays until its end.
    ///
    /// `begun` says that a process of it was seen before: a directory that is not there has then been
    /// removed. `build` is called only when a start is due; `seen` is called for everything on the way.
    pub async fn keep<B, S, F>(&self, dir: &str, begun: bool, build: B, mut seen: S) -> End
    where
        B: FnOnce() -> Result<(Spec, StartMessage), CannotStart> + Send + 'static,
        S: FnMut(Seen) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let path = self.path(dir);
        if self.was_removed(dir, begun) {
            return self.lost(dir, &path, Gone::Directory).await;
        }
        let mut link = None;
        let mut spawned = None;
        let mut adopted = true;
        let mut build = Some(build);
        let mut refused: Option<CannotStart> = None;
        // Twice at most: a start that is refused is looked at once more, since the shim of a killed
        // orchestrator may have taken the directory in between.
        loop {
            match (verdict(&path).await, build.take()) {
                (Ok(Verdict::Live(_)), _) => break,
                (Ok(Verdict::Ended(exit)), _) => return self.ended(dir, &path, exit).await,
                (Ok(Verdict::ShimLost { id }), _) => return self.lost(dir, &path, Gone::Shim(id)).await,
                (Ok(Verdict::OtherBoot), _) => {
                    self.unlink(dir, None);
                    return End::Lost("the machine was restarted while it ran".into());
                }
                (Ok(Verdict::NeverStarted), Some(build)) => {
                    let (keeper, place) = (self.clone(), path.clone());
                    let started = tokio::task::spawn_blocking(move || keeper.start(&place, build)).await;
                    match started {
                        Ok(Ok((shim, made))) => {
                            adopted = false;
                            spawned = Some(shim);
                            link = Some(made);
                            break;
                        }
                        Ok(Err(cannot)) => refused = Some(cannot),
                        Err(panic) => {
                            self.unlink(dir, None);
                            return End::NotStarted { code: "internal".into(), message: panic.to_string() };
                        }
                    }
                }
                (Ok(Verdict::NeverStarted), None) => {
                    // A shim of an earlier reign that is slow to begin must not come after this.
                    if is_taken_after_all(&path).await {
                        break;
                    }
                    self.unlink(dir, None);
                    let cannot = refused.unwrap_or_else(|| CannotStart {
                        code: "exec_failed".into(),
                        message: "it could not be started".into(),
                    });
                    return End::NotStarted { code: cannot.code, message: cannot.message };
                }
                (Err(error), _) => {
                    seen(Seen::Unknown(error)).await;
                    break;
                }
            }
        }
        let end = self.watch(&path, adopted, spawned.is_some(), &mut seen).await;
        if let Some(mut shim) = spawned {
            // Our own child: reaped beside, so that no zombie stays.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = shim.wait_for(Duration::from_mins(1)) {
                    tracing::warn!(%error, "cannot reap a shim");
                }
            });
        }
        self.unlink(dir, link);
        match end {
            Watched::Exited(exit) => End::Exited(exit),
            Watched::NeverStarted => End::NotStarted {
                code: "exec_failed".into(),
                message: said(&path).unwrap_or_else(|| "the shim ended before it started anything".into()),
            },
            Watched::OtherBoot => End::Lost("the machine was restarted while it ran".into()),
            Watched::ShimLost(id) => self.lost(dir, &path, Gone::Shim(id)).await,
            Watched::Removed => self.lost(dir, &path, Gone::Directory).await,
        }
    }

    /// Whether a directory in which something was started is not there any more. Its link is made before
    /// anything is started and goes before the directory does.
    fn was_removed(&self, dir: &str, begun: bool) -> bool {
        if !matches!(self.path(dir).try_exists(), Ok(false)) {
            return false;
        }
        begun || live_link(&self.data, dir).is_some_and(|link| link.is_symlink())
    }

    async fn ended(&self, dir: &str, path: &Path, exit: Box<ExitFrame>) -> End {
        let (place, name) = (path.to_owned(), dir.to_owned());
        // One that was killed behind its last word, or that outlived a process which would not end.
        let removed = tokio::task::spawn_blocking(move || cgroup::of_directory(&place, &name).remove());
        if let Ok(left) = removed.await
            && !left.is_empty()
        {
            tracing::warn!(dir, ?left, "control groups of an ended run hold processes");
        }
        self.unlink(dir, None);
        End::Exited(exit)
    }

    /// Its keeper died: what it started is found by its tag, its groups and the child that its keeper had
    /// named, and stopped; the end is recorded as lost, with what was judged.
    async fn lost(&self, dir: &str, path: &Path, gone: Gone) -> End {
        let (place, name) = (path.to_owned(), dir.to_owned());
        let child = match &gone {
            Gone::Shim(Some(id)) => child_of(id),
            _ => None,
        };
        let stopped = tokio::task::spawn_blocking(move || stop_left(&place, &name, child)).await;
        self.unlink(dir, None);
        let found = match stopped {
            Ok(Ok(done)) => found_words(&done, child),
            Ok(Err(error)) => format!("its processes could not be looked for: {error}"),
            Err(panic) => panic.to_string(),
        };
        let judged = match gone {
            Gone::Directory => format!("its directory {dir} was removed while it lived"),
            Gone::Shim(None) => {
                "its shim died without an exit record: shim.lock is free, id.json was never written, same boot".into()
            }
            Gone::Shim(Some(id)) => {
                let child = id.child.map(|c| format!(" and child {}", c.pid)).unwrap_or_default();
                let shim = id.shim.pid;
                format!(
                    "its shim died without an exit record: shim.lock is free, id.json names shim {shim}{child}, same boot"
                )
            }
        };
        End::Lost(format!("{judged}; {found}"))
    }

    /// Stays with what an earlier reign started, to its end; `None` when it started nothing, and then
    /// nothing will be started any more.
    pub async fn stay<S, F>(&self, dir: &str, seen: S) -> Option<End>
    where
        S: FnMut(Seen) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let (path, keeper, name) = (self.path(dir), self.clone(), dir.to_owned());
        let forbidden = tokio::task::spawn_blocking(move || {
            let unused = !path.try_exists()? || shim_dir::forbid(&path)?;
            if unused {
                keeper.unlink(&name, None);
            }
            Ok::<_, std::io::Error>(unused)
        });
        match forbidden.await {
            Ok(Ok(true)) => return None,
            Ok(Ok(false)) => {}
            // Unknown is not gone: it is looked at until it can be judged.
            Ok(Err(error)) => tracing::warn!(%error, dir, "a directory cannot be judged"),
            Err(panic) => return Some(End::Lost(panic.to_string())),
        }
        let never = || Err(CannotStart { code: "internal".into(), message: "it was not to be started".into() });
        Some(self.keep(dir, false, never, seen).await)
    }

    fn unlink(&self, dir: &str, link: Option<PathBuf>) {
        let link = link.or_else(|| live_link(&self.data, dir));
        if let Some(link) = link
            && let Err(error) = shim_dir::unlink_live(&link)
        {
            tracing::warn!(%error, link = %link.display(), "cannot remove a link of an ended shim");
        }
    }

    /// Makes the directory where it is missing, and spawns the shim in it.
    fn start<B>(&self, path: &Path, build: B) -> Result<(spawn::SpawnedShim, PathBuf), CannotStart>
    where
        B: FnOnce() -> Result<(Spec, StartMessage), CannotStart>,
    {
        let cannot = |what: &str, e: &std::io::Error| CannotStart {
            code: if e.kind() == std::io::ErrorKind::StorageFull { "disk_full" } else { "exec_failed" }.into(),
            message: format!("cannot {what}: {e}"),
        };
        let (spec, message) = build()?;
        // Written again where an earlier reign died before it spawned; refused where a shim has come meanwhile.
        shim_dir::write_shim_dir(path, &spec).map_err(|e| cannot("prepare the run's directory", &e))?;
        let link = shim_dir::link_live(&self.data.join("live"), &spec, path).map_err(|e| cannot("link the run", &e))?;
        let mut shim = spawn::spawn_shim(path, &message).map_err(|e| cannot("start the shim", &e))?;
        crate::process::kill_point::kill_point("run.shim_spawned");
        shim.wait_until_ready(START_LIMIT);
        Ok((shim, link))
    }

    /// Stays connected until the end is seen or the shim is gone.
    async fn watch<S, F>(&self, path: &Path, adopted: bool, fresh: bool, seen: &mut S) -> Watched
    where
        S: FnMut(Seen) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let began = tokio::time::Instant::now();
        let mut told_started = false;
        let mut unknown = false;
        let mut tries = 0_usize;
        loop {
            match self.session(path, adopted, &mut told_started, &mut unknown, seen).await {
                Ok(Some(exit)) => return Watched::Exited(Box::new(exit)),
                Ok(None) => tries = 0,
                Err(error) => {
                    let waiting_for_start = fresh && !told_started && began.elapsed() < START_LIMIT;
                    let patience = if fresh || told_started { RECONNECT_MS.len() } else { FIRST_TRIES };
                    match verdict(path).await {
                        Ok(Verdict::Live(id)) => {
                            if !waiting_for_start && !unknown && tries >= patience {
                                unknown = true;
                                let shim = id.map(|id| format!(" ({} {})", id.shim.pid, holder::doing(id.shim)));
                                let shim = shim.unwrap_or_default();
                                let why = format!("its shim{shim} holds its lock and does not answer: {error}");
                                seen(Seen::Unknown(why)).await;
                            }
                        }
                        Ok(Verdict::NeverStarted) if told_started => return Watched::Removed,
                        Ok(Verdict::NeverStarted) => {
                            // One that is slow to begin must not come after this; one that has just come is watched.
                            if (!waiting_for_start || spawn_failed(path)) && !is_taken_after_all(path).await {
                                return Watched::NeverStarted;
                            }
                        }
                        Ok(Verdict::Ended(exit)) => return Watched::Exited(exit),
                        Ok(Verdict::OtherBoot) => return Watched::OtherBoot,
                        Ok(Verdict::ShimLost { id }) => return Watched::ShimLost(id),
                        Err(why) => {
                            if !unknown && tries >= patience {
                                unknown = true;
                                seen(Seen::Unknown(why)).await;
                            }
                        }
                    }
                }
            }
            let first = fresh && !told_started;
            let pause = if first { 1 } else { RECONNECT_MS[tries.min(RECONNECT_MS.len() - 1)] };
            tries += 1;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// One connection: greets, watches, reports; gives the exit frame when it saw the end.
    async fn session<S, F>(
        &self,
        path: &Path,
        adopted: bool,
        told_started: &mut bool,
        unknown: &mut bool,
        seen: &mut S,
    ) -> Result<Option<ExitFrame>, String>
    where
        S: FnMut(Seen) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let (mut link, welcome) = Link::open(path, self.epoch).await?;
        if std::mem::take(unknown) {
            seen(Seen::Known).await;
        }
        let adopted = adopted.then(|| match &welcome {
            ControlReply::Welcome { offsets, .. } => offsets.iter().filter(|(s, _)| is_output(s)).map(|(_, b)| b).sum(),
            _ => 0,
        });
        link.send(&Control::Watch).await?;
        link.send(&Control::Status).await?;
        // What was said before this connection is read as well.
        seen(Seen::Message).await;
        loop {
            match link.next().await? {
                None => return Ok(None),
                Some(ControlReply::Started { child, at_ms, limits }) => {
                    if !std::mem::replace(told_started, true) {
                        seen(Seen::Started { child, at_ms, adopted, limits }).await;
                    }
                }
                Some(ControlReply::DiskFull) => seen(Seen::Disk(true)).await,
                Some(ControlReply::DiskOk) => seen(Seen::Disk(false)).await,
                Some(ControlReply::Status { child: Some(child), limits, disk, .. }) => {
                    seen(Seen::Disk(disk != "ok")).await;
                    if !std::mem::replace(told_started, true) {
                        seen(Seen::Started { child, at_ms: crate::clock::now().0, adopted, limits }).await;
                    }
                }
                Some(ControlReply::Message { .. }) => seen(Seen::Message).await,
                Some(ControlReply::Exited { exit }) => return Ok(Some(*exit)),
                Some(ControlReply::Error { code, message }) => return Err(format!("{code}: {message}")),
                Some(
                    ControlReply::Ok | ControlReply::Welcome { .. } | ControlReply::Status { .. } | ControlReply::Leaky,
                ) => {}
            }
        }
    }
}

/// How a watch ended. Each carries what was judged: a second look could find another state.
enum Watched {
    Exited(Box<ExitFrame>),
    ShimLost(Option<Box<IdFile>>),
    /// The directory is gone although something was started in it.
    Removed,
    OtherBoot,
    NeverStarted,
}

/// What of a run's keeper is gone.
enum Gone {
    Shim(Option<Box<IdFile>>),
    Directory,
}

/// Whether a stream is output of the child.
fn is_output(stream: &str) -> bool {
    matches!(stream, "stdout" | "stderr" | "terminal")
}

async fn verdict(path: &Path) -> Result<Verdict, String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        // A directory that cannot be looked at is not one that is not there.
        if !path.try_exists().map_err(|e| format!("{}: {e}", path.display()))? {
            return Ok(Verdict::NeverStarted);
        }
        adopt::judge(&path).map_err(|e| format!("{}: {e}", path.display()))
    })
    .await
    .map_err(|e| e.to_string())?
}

/// Makes sure that no shim takes a directory any more, unless one has just done so, and says whether. Where
/// no lock can be made now, no shim can make one either.
async fn is_taken_after_all(path: &Path) -> bool {
    let path = path.to_owned();
    matches!(tokio::task::spawn_blocking(move || shim_dir::forbid(&path)).await, Ok(Ok(false)))
}

/// Whether a shim that never took its lock has left word why.
fn spawn_failed(path: &Path) -> bool {
    said(path).is_some()
}

/// What a shim wrote about its own failure.
fn said(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path.join(shim_dir::names::ERRORS)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(2_000).collect())
}

/// The link of a directory `runs/<xx>/<uuid>/a<n>`, as it is named in `live/`.
fn live_link(data: &Path, dir: &str) -> Option<PathBuf> {
    let (kind, id, n) = shim_dir::named(dir)?;
    Some(data.join("live").join(format!("{kind}-{id}-{n}")))
}

#[cfg(test)]
mod tests;
