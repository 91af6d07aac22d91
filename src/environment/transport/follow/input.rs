//! What a command reads: all of it before it starts, or, from somebody who keeps it open, as it comes.

use std::io::{self, Read as _};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::pause;
use super::remote_run::RemoteRun;

/// Silence after which whoever writes is taken for one who keeps the input open.
const QUIET: Duration = Duration::from_millis(300);
/// Largest part that is passed on at once.
const PART_MAX: usize = 256 << 10;
/// Most that is kept before a command starts.
const FIRST_MAX: usize = 64 << 20;

/// The input of this process, behind its first line.
#[derive(Debug)]
pub struct Input {
    /// What was there before the command is started.
    pub first: Vec<u8>,
    /// What comes later; none when that was all.
    pub later: Option<mpsc::Receiver<Vec<u8>>>,
}

impl Input {
    /// Reads until the end or until nothing comes for a moment.
    pub async fn begin() -> Self {
        let (tell, mut parts) = mpsc::channel(8);
        // Reading cannot be given up; this thread ends with the process.
        std::thread::spawn(move || {
            let mut part = vec![0u8; PART_MAX];
            loop {
                match io::stdin().lock().read(&mut part) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => return,
                    Ok(n) if tell.blocking_send(part[..n].to_vec()).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        let mut first = Vec::new();
        while first.len() < FIRST_MAX {
            match tokio::time::timeout(QUIET, parts.recv()).await {
                Ok(Some(part)) => first.extend(part),
                Ok(None) => return Self { first, later: None },
                Err(_) => break,
            }
        }
        Self { first, later: Some(parts) }
    }
}

/// Passes on what comes later, each byte once, and its end. Never returns: how the command ends is seen elsewhere.
pub(super) async fn pass_on(run: &RemoteRun, already: u64, later: Option<mpsc::Receiver<Vec<u8>>>) {
    if let Some(mut parts) = later {
        let mut offset = already;
        loop {
            let part = parts.recv().await;
            let (bytes, last) = part.map_or((Vec::new(), true), |part| (part, false));
            for attempt in 0u32.. {
                if run.feed(attempt, offset, &bytes, last).await {
                    break;
                }
                tokio::time::sleep(pause(attempt.min(5))).await;
            }
            offset += bytes.len() as u64;
            if last {
                break;
            }
        }
    }
    std::future::pending::<()>().await;
}
