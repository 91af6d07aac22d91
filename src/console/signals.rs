//! What the operating system asks: another size, an end, a stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::events::{Event, Sender};

/// Begins to listen; what comes after this returns is heard. A stop is heard and not followed: an
/// orchestrator that sleeps would keep its lock and do nothing.
///
/// # Errors
/// A signal cannot be heard, or no thread could be had.
pub fn start(events: Sender) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let heard = {
        let _inside = runtime.enter();
        Heard::new()?
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(heard.tell(&events)))?;
    Ok(())
}

/// The signals that are heard instead of followed.
struct Heard {
    resized: Signal,
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    stop: Signal,
}

impl Heard {
    fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            stop: signal(SignalKind::from_raw(libc::SIGTSTP))?,
        })
    }

    async fn tell(mut self, events: &Sender) {
        loop {
            let event = tokio::select! {
                _ = self.resized.recv() => Event::Resized,
                _ = self.terminate.recv() => Event::Terminate("SIGTERM"),
                _ = self.hangup.recv() => Event::Terminate("SIGHUP"),
                // Keys of a program that has the terminal: they reach the whole group, and are not for us.
                _ = self.interrupt.recv() => continue,
                _ = self.quit.recv() => continue,
                _ = self.stop.recv() => continue,
            };
            // A queue that is full is drained by the loop; nothing of it may be lost.
            let events = events.clone();
            if !tokio::task::spawn_blocking(move || events.send(event).is_ok()).await.unwrap_or(false) {
                return;
            }
        }
    }
}
