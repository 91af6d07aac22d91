//! Reading a command's output to its end, over as many connections as that takes.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use super::Outcome;
use super::frames::{Frame, Frames};
use super::remote_run::RemoteRun;
use crate::environment::transport::pause;

/// The longest pause between two connections, as a step of [`pause`].
const SLOWEST: u32 = 5;

/// Reads until the end. A connection that breaks off says nothing about the command: the next one goes on at
/// the same byte.
pub async fn read(run: &RemoteRun) -> Outcome {
    let (mut out, mut err) = (0u64, 0u64);
    let mut attempt = 0u32;
    // Each attempt goes another way; the pause grows only while nothing comes through.
    let mut failures = 0u32;
    loop {
        if let Ok(mut running) = run.read(attempt, out, err).await {
            let Some(stdout) = running.stdout.take() else { continue };
            let mut frames = Frames::new(stdout);
            loop {
                let frame = frames.next().await;
                let written = match frame {
                    Ok(Frame::Out(bytes)) => {
                        out += bytes.len() as u64;
                        write(io::stdout().as_fd(), &bytes)
                    }
                    Ok(Frame::Err(bytes)) => {
                        err += bytes.len() as u64;
                        write(io::stderr().as_fd(), &bytes)
                    }
                    Ok(Frame::Alive) => Ok(()),
                    Ok(Frame::Ended(end)) => return Outcome::Ended(end),
                    Ok(Frame::Lost(why)) => return Outcome::Lost(why),
                    Err(_) => break,
                };
                failures = 0;
                if written.is_err() {
                    return Outcome::Unread;
                }
            }
        }
        tokio::time::sleep(pause(failures.min(SLOWEST))).await;
        failures = failures.saturating_add(1);
        attempt = attempt.wrapping_add(1);
    }
}

/// Writes everything. Nothing is held back in this process, so the offset tells what was passed on.
fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    tokio::task::block_in_place(|| {
        let own = fd.try_clone_to_owned()?;
        let mut file = File::from(own);
        file.write_all(bytes)
    })
}
