//! What goes on around an instance: its streams are read and written, its messages sorted, its end noticed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::message::{self, Lines};
use super::notes::Budget;
use super::now_ms;
use super::process::{Process, Streams};
use super::shared::{Shared, lock};

/// Lines that are no message: so many at once, and so many more in a minute, before it is ended.
const GARBAGE: (u32, u32) = (100, 10);
/// The same for messages that nobody asked for.
const NEEDLESS: (u32, u32) = (2_000, 6_000);
/// Time that a plugin whose input ended has before SIGTERM, and then before SIGKILL.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);
const TERM_LIMIT: Duration = Duration::from_secs(5);
/// Time in which the last of its output comes after its end.
const LAST_LIMIT: Duration = Duration::from_millis(500);

/// How an instance is to end.
#[derive(Debug)]
pub(super) enum Order {
    /// At once, for this reason.
    Kill(String),
    /// By the end of its input, then by signals.
    End,
}

/// Lets the tasks around an instance begin; they end with it.
pub(super) fn begin(
    process: Process,
    streams: Streams,
    lines: mpsc::Receiver<Vec<u8>>,
    orders: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    outgoing: mpsc::WeakSender<Vec<u8>>,
    complaints: mpsc::Sender<Order>,
) {
    let reading = tokio::spawn(read(streams.stdout, Arc::clone(&shared), outgoing, complaints));
    let errors = tokio::spawn(read_errors(streams.stderr, Arc::clone(&shared)));
    let writing = tokio::spawn(write(streams.stdin, lines));
    tokio::spawn(keep(process, orders, reading, errors, writing, shared));
}

/// Ends with the stream, or with what cannot be read on.
async fn read(
    mut stdout: pipe::Receiver,
    shared: Arc<Shared>,
    outgoing: mpsc::WeakSender<Vec<u8>>,
    complaints: mpsc::Sender<Order>,
) {
    let (mut lines, mut buffer) = (Lines::default(), vec![0; 64 << 10]);
    let mut garbage = Budget::new(GARBAGE.0, GARBAGE.1);
    let mut needless = Budget::new(NEEDLESS.0, NEEDLESS.1);
    let why = 'reading: loop {
        let n = match stdout.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        shared.heard.store(now_ms(), Ordering::Release);
        let Ok(complete) = lines.take(&buffer[..n]) else {
            break format!("it wrote a line of more than {} bytes", message::LINE_MAX);
        };
        for line in complete {
            let before = lock(&shared.notes).garbage;
            if shared.take(&line, &outgoing).await {
                continue;
            }
            let is_garbage = lock(&shared.notes).garbage > before;
            if !(if is_garbage { &mut garbage } else { &mut needless }).take(now_ms()) {
                let what = if is_garbage { "lines that are no JSON-RPC" } else { "messages that nobody asked for" };
                break 'reading format!("it wrote too many {what}");
            }
        }
    };
    let _ending = complaints.try_send(Order::Kill(why));
}

async fn read_errors(mut stderr: pipe::Receiver, shared: Arc<Shared>) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        lock(&shared.notes).stderr(&buffer[..n]);
    }
}

async fn write(mut stdin: pipe::Sender, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Waits for the end of an instance, or brings it about; then everybody who waits is told.
async fn keep(
    process: Process,
    mut orders: mpsc::Receiver<Order>,
    mut reading: JoinHandle<()>,
    mut errors: JoinHandle<()>,
    writing: JoinHandle<()>,
    shared: Arc<Shared>,
) {
    let mut asked = None;
    tokio::select! {
        () = process.ended() => {}
        // What has closed its output cannot answer any more.
        _ = &mut reading => {
            // A complaint of the reader is an order; it was sent before the reader ended.
            match orders.try_recv() {
                Ok(Order::Kill(why)) => asked = Some(why),
                _ if process.ended_within(LAST_LIMIT).await => {}
                _ => asked = Some("it closed its stdout".to_owned()),
            }
        }
        order = orders.recv() => match order {
            Some(Order::Kill(why)) => asked = Some(why),
            None => asked = Some("nobody needs it any more".to_owned()),
            Some(Order::End) => {
                writing.abort();
                if !process.ended_within(LEAVE_LIMIT).await {
                    process.signal(Signal::TERM);
                    process.ended_within(TERM_LIMIT).await;
                }
            }
        }
    }
    writing.abort();
    if asked.is_none() {
        // What it wrote last is still in the pipe, and may wait for whoever takes it.
        while !reading.is_finished() && shared.silent_for() < LAST_LIMIT {
            let _more = tokio::time::timeout(Duration::from_millis(20), &mut reading).await;
        }
    }
    let end = process.finish().await;
    let _held = tokio::time::timeout(LAST_LIMIT, &mut errors).await;
    reading.abort();
    errors.abort();
    shared.close(match asked {
        Some(why) => why,
        None => end,
    });
}
