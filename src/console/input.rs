//! Reading keys on a thread of its own, which lets go of the terminal while another program has it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::events::{Event, Sender};
use super::ground::{self, Heard, Listener};

/// How long a key's further bytes are waited for.
const BYTES: Duration = Duration::from_millis(2);
/// Events taken at one look.
const EVENTS: usize = 512;
/// How long the reader may take to let go of the terminal.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// To let go.
    Pausing,
    Paused,
}

/// The thread that reads the terminal.
#[derive(Debug)]
pub struct Input {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: OwnedFd,
}

impl Input {
    /// Begins to read; an answer to `ground` is told apart from keys.
    ///
    /// # Errors
    /// No thread or no descriptor could be had.
    pub fn start(events: Sender, ground: Listener) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::new(State::Reading), changed: Condvar::new(), wake });
        let reader = Arc::clone(&shared);
        std::thread::Builder::new().name("input".into()).spawn(move || read(&reader, &events, ground))?;
        Ok(Self { shared })
    }

    /// Lets go of the terminal; returns once nothing more is read from it, at the latest after a second.
    pub fn pause(&self) {
        let mut state = self.shared.state();
        *state = State::Pausing;
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        let waited = self.shared.changed.wait_timeout_while(state, PAUSE_LIMIT, |s| *s == State::Pausing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads again.
    pub fn resume(&self) {
        *self.shared.state() = State::Reading;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while paused.
    fn pass(&self) {
        let mut state = self.state();
        if *state == State::Pausing {
            *state = State::Paused;
            self.changed.notify_all();
            let mut counter = [0u8; 8];
            let _ = rustix::io::read(&self.wake, &mut counter);
        }
        drop(self.changed.wait_while(state, |s| *s == State::Paused).unwrap_or_else(PoisonError::into_inner));
    }
}

fn read(shared: &Shared, events: &Sender, mut ground: Listener) {
    let stdin = io::stdin();
    loop {
        shared.pass();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&shared.wake, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot wait for keys");
                let _ = events.send(Event::Hangup);
                return;
            }
        }
        let (keys, wake) = (fds[0].revents(), fds[1].revents());
        if keys.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            let _ = events.send(Event::Hangup);
            return;
        }
        if wake.contains(PollFlags::IN) || !keys.contains(PollFlags::IN) {
            continue;
        }
        for _ in 0..EVENTS {
            match crossterm::event::poll(if ground.is_holding() { ground::REST } else { BYTES }) {
                Ok(true) => {}
                Ok(false) => {
                    if !send(events, ground.flush()) {
                        return;
                    }
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "the terminal sent what cannot be read");
                    break;
                }
            }
            match crossterm::event::read() {
                // The size is told by the signal, and asked then.
                Ok(crossterm::event::Event::Resize(..)) => {}
                Ok(event) => {
                    let goes_on = match ground.take(event) {
                        Heard::Held => true,
                        Heard::Typed(typed) => send(events, typed),
                        Heard::Light(light) => events.send(Event::Ground { light }).is_ok(),
                    };
                    if !goes_on {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "the terminal sent what cannot be read"),
            }
            if *shared.state() != State::Reading {
                break;
            }
        }
    }
}

/// Passes keys on; says whether anybody still takes them.
fn send(events: &Sender, typed: Vec<crossterm::event::Event>) -> bool {
    typed.into_iter().all(|event| events.send(Event::Input(event)).is_ok())
}
