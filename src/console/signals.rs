//! What the operating system asks: another size, an end, a stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::events::{Event, Sender};

/// Begins to listen. A stop is heard and not followed: an orchestrator that sleeps would keep its
/// lock and do nothing.
///
/// # Errors
/// No thread could be had.
pub fn start(events: Sender) -> io::Result<()> {
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Err(error) = listen(&events) {
            tracing::error!(%error, "signals cannot be heard");
        }
    })?;
    Ok(())
}

fn listen(events: &Sender) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut resized = signal(SignalKind::window_change())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut stop = signal(SignalKind::from_raw(libc::SIGTSTP))?;
        loop {
            let event = tokio::select! {
                _ = resized.recv() => Event::Resized,
                _ = terminate.recv() => Event::Terminate("SIGTERM"),
                _ = hangup.recv() => Event::Terminate("SIGHUP"),
                // Keys of a program that has the terminal: they reach the whole group, and are not for us.
                _ = interrupt.recv() => continue,
                _ = quit.recv() => continue,
                _ = stop.recv() => continue,
            };
            // A queue that is full is drained by the loop; nothing of it may be lost.
            let events = events.clone();
            if !tokio::task::spawn_blocking(move || events.send(event).is_ok()).await.unwrap_or(false) {
                return Ok(());
            }
        }
    })
}
