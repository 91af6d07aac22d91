use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream as Std};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::{oneshot, watch};

use super::*;
use crate::service::probe::MAX_REDIRECTS;

/// A server that hands each connection, its number and the stop flag to a function.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn new(serve: impl Fn(Std, usize, &AtomicBool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (flag, counter, serve) = (stop.clone(), connections.clone(), Arc::new(serve));
        let thread = thread::spawn(move || {
            let mut workers = Vec::new();
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    break;
                }
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let (flag, serve) = (flag.clone(), serve.clone());
                workers.push(thread::spawn(move || serve(stream.unwrap(), number, &flag)));
            }
            for worker in workers {
                worker.join().unwrap();
            }
        });
        Self { address, stop, connections, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = Std::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn read_request(stream: &mut Std) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        seen.push(byte[0]);
    }
}

fn answer(mut stream: Std, text: &str) {
    read_request(&mut stream);
    let _ = stream.write_all(text.as_bytes());
}

/// Writes until the other side or the test has had enough.
fn pour(mut stream: Std, head: &str, chunk: &[u8], pause: Duration, stop: &AtomicBool) {
    read_request(&mut stream);
    let _ = stream.write_all(head.as_bytes());
    while !stop.load(Ordering::SeqCst) && stream.write_all(chunk).is_ok() {
        thread::sleep(pause);
    }
}

/// Holds the connection until the other side closes it.
fn hang(mut stream: Std) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const LONG: Duration = Duration::from_mins(1);

fn check(url: &str, timeout: u64) -> Check {
    let probe = Probe::Http(url.to_owned());
    Check::new(probe, Duration::from_millis(timeout), MIN_INTERVAL)
        .unwrap()
        .with_try_timeout(Duration::from_millis(250))
}

async fn times_out(url: &str) -> (u32, String) {
    let began = Instant::now();
    let end = wait(&check(url, 1000), std::future::pending()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "the deadline holds");
    match end {
        Readiness::TimedOut { tries, last_error } => (tries, last_error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_good_answer_is_ready() {
    let server = Server::new(|stream, _, _| answer(stream, OK));
    let end = wait(&check(&server.url(), 30_000), std::future::pending()).await;
    assert!(matches!(end, Readiness::Ready { tries: 1, .. }), "{end:?}");
}

#[tokio::test]
async fn errors_first_then_ready() {
    let server = Server::new(|stream, n, _| {
        answer(stream, if n < 2 { "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" } else { OK });
    });
    let end = wait(&check(&server.url(), 30_000), std::future::pending()).await;
    assert!(matches!(end, Readiness::Ready { tries: 3, .. }), "{end:?}");
}

#[tokio::test]
async fn refused_connections_time_out_with_their_cause() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (tries, error) = times_out(&format!("http://127.0.0.1:{port}/")).await;
    assert!(tries > 1 && error.contains("refuses connections"), "{tries} {error}");
}

#[tokio::test]
async fn a_status_that_is_no_success_is_named() {
    let server = Server::new(|stream, _, _| answer(stream, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
    assert!(times_out(&server.url()).await.1.contains("answered 404"));
}

#[tokio::test]
async fn the_last_word_is_that_of_a_whole_try() {
    // Says no at once, and then nothing for longer than is left.
    let server = Server::new(|stream, n, _| {
        if n == 0 {
            answer(stream, "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        } else {
            hang(stream);
        }
    });
    let probe = Probe::Http(server.url());
    let check = Check::new(probe, Duration::from_millis(600), MIN_INTERVAL).unwrap().with_try_timeout(LONG);
    let Readiness::TimedOut { last_error, .. } = wait(&check, std::future::pending()).await else { panic!() };
    assert!(last_error.contains("answered 503"), "{last_error}");
}

#[tokio::test]
async fn a_long_pause_does_not_cut_the_time_short_and_the_last_whole_answer_counts() {
    let first = |then: &'static str| {
        Server::new(move |stream, n, _| {
            answer(
                stream,
                if n == 0 { "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" } else { then },
            );
        })
    };
    let slow = |server: &Server| {
        let (timeout, interval) = (Duration::from_secs(2), Duration::from_secs(30));
        Check::new(Probe::Http(server.url()), timeout, interval).unwrap().with_try_timeout(LONG)
    };
    let server = first(OK);
    let end = wait(&slow(&server), std::future::pending()).await;
    assert!(matches!(end, Readiness::Ready { tries: 2, .. }), "{end:?}");
    let server = first("HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let Readiness::TimedOut { last_error, .. } = wait(&slow(&server), std::future::pending()).await else { panic!() };
    assert!(last_error.contains("answered 404"), "{last_error}");
}

#[tokio::test]
async fn a_silent_server_cannot_hold_a_try() {
    let server = Server::new(|stream, _, _| hang(stream));
    let (tries, error) = times_out(&server.url()).await;
    assert!(tries > 1 && error.contains("no complete answer"), "{tries} {error}");
}

#[tokio::test]
async fn dripping_heads_and_bodies_cannot_hold_a_try() {
    let pause = Duration::from_millis(20);
    let heads = Server::new(move |stream, _, stop| pour(stream, "HTTP/1.1 200 OK\r\nX: ", b"x", pause, stop));
    assert!(times_out(&heads.url()).await.1.contains("no complete answer"));
    let bodies = Server::new(move |stream, _, stop| {
        pour(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x", pause, stop);
    });
    assert!(times_out(&bodies.url()).await.1.contains("no complete answer"));
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_limit() {
    let chunk = [b'x'; 4096];
    let server =
        Server::new(move |stream, _, stop| pour(stream, "HTTP/1.1 200 OK\r\n\r\n", &chunk, Duration::ZERO, stop));
    let limit = check(&server.url(), 30_000).with_try_timeout(Duration::from_secs(20));
    let end = wait(&limit, std::future::pending()).await;
    assert!(matches!(end, Readiness::Ready { .. }), "{end:?}");
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    let chunk = [b'x'; 4096];
    let server =
        Server::new(move |stream, _, stop| pour(stream, "HTTP/1.1 200 OK\r\nX: ", &chunk, Duration::ZERO, stop));
    times_out(&server.url()).await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_ready() {
    let server = Server::new(|stream, _, _| answer(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
    times_out(&server.url()).await;
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let turn = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::new(move |stream, _, _| answer(stream, turn));
    let (tries, error) = times_out(&server.url()).await;
    assert!(error.contains("redirects more than"), "{error}");
    assert!(server.count() <= tries as usize * (MAX_REDIRECTS as usize + 1));
    let twice = Server::new(move |stream, n, _| answer(stream, if n < 2 { turn } else { OK }));
    let end = wait(&check(&twice.url(), 30_000), std::future::pending()).await;
    assert!(matches!(end, Readiness::Ready { tries: 1, .. }), "{end:?}");
}

#[tokio::test]
async fn the_end_of_the_child_ends_the_wait_within_a_try() {
    let (seen, wait_seen) = oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let server = Server::new(move |stream, _, _| {
        if let Some(seen) = seen.lock().unwrap().take() {
            seen.send(()).unwrap();
        }
        hang(stream);
    });
    let check = Check::new(Probe::Http(server.url()), LONG, LONG).unwrap();
    let end = wait(&check, async { wait_seen.await.unwrap() }).await;
    assert_eq!(end, Readiness::ChildExited { tries: 0, last_error: None });
}

#[tokio::test]
async fn the_end_of_the_child_ends_the_pause() {
    let server = Server::new(|stream, _, _| answer(stream, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
    let check = Check::new(Probe::Http(server.url()), LONG, LONG).unwrap();
    let (exited, mut state) = watch::channel(false);
    let waiting = tokio::spawn(async move {
        wait(&check, async move {
            let _ = state.wait_for(|gone| *gone).await;
        })
        .await
    });
    while server.count() == 0 {
        tokio::task::yield_now().await;
    }
    exited.send(true).unwrap();
    assert!(matches!(waiting.await.unwrap(), Readiness::ChildExited { .. }));
}

#[tokio::test]
async fn a_child_that_is_gone_already_is_never_ready() {
    let server = Server::new(|stream, _, _| answer(stream, OK));
    let end = wait(&check(&server.url(), 30_000), std::future::ready(())).await;
    assert_eq!(end, Readiness::ChildExited { tries: 0, last_error: None });
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn tcp_checks_connect() {
    let server = Server::new(|stream, _, _| drop(stream));
    let tcp = |address: String| Check::new(Probe::Tcp(address), Duration::from_millis(300), MIN_INTERVAL).unwrap();
    let end = wait(&tcp(server.address.to_string()), std::future::pending()).await;
    assert!(matches!(end, Readiness::Ready { .. }));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Readiness::TimedOut { last_error, .. } = wait(&tcp(free.to_string()), std::future::pending()).await else {
        panic!()
    };
    assert!(last_error.contains("cannot connect"), "{last_error}");
}
