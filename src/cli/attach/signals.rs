//! What the operating system asks of an attached terminal, as something that can be polled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Signals that have come.
pub struct Signals {
    wake: Arc<OwnedFd>,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    resized: AtomicBool,
    /// Number of the signal that asks for the end.
    end: AtomicU8,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// No thread or no descriptor could be had.
    pub fn listen() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let heard = Arc::new(Heard::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        // Registered before anything is taken from the terminal.
        let (mut resized, mut terminate, mut hangup, mut interrupt, mut stop) = {
            let _inside = runtime.enter();
            let one = signal;
            (
                one(SignalKind::window_change())?,
                one(SignalKind::terminate())?,
                one(SignalKind::hangup())?,
                one(SignalKind::interrupt())?,
                one(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
            )
        };
        let (bell, told) = (Arc::clone(&wake), Arc::clone(&heard));
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async move {
                loop {
                    let end = tokio::select! {
                        _ = resized.recv() => 0,
                        _ = terminate.recv() => 15,
                        _ = hangup.recv() => 1,
                        _ = interrupt.recv() => 2,
                        // A stop would leave the terminal raw; it is heard and not followed.
                        _ = stop.recv() => continue,
                    };
                    if end == 0 {
                        told.resized.store(true, Ordering::Release);
                    } else {
                        told.end.store(end, Ordering::Release);
                    }
                    let _ = rustix::io::write(&*bell, &1u64.to_ne_bytes());
                }
            });
        })?;
        Ok(Self { wake, heard })
    }

    /// Takes what has come: whether the size is another, and the signal that asks for the end.
    pub fn take(&self) -> (bool, Option<u8>) {
        let mut counter = [0u8; 8];
        let _ = rustix::io::read(&*self.wake, &mut counter);
        let end = self.heard.end.load(Ordering::Acquire);
        (self.heard.resized.swap(false, Ordering::AcqRel), (end != 0).then_some(end))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
