//! `wharf demo-hand`: what the demo's agents need beyond `sh`, git and coreutils, in std alone.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest head of a request or an answer.
const HEAD_MAX_BYTES: usize = 8 << 10;
/// Largest page.
const PAGE_MAX_BYTES: u64 = 1 << 20;
/// Time a peer has for each read and write.
const PEER_LIMIT: Duration = Duration::from_secs(5);
/// Nothing of the demo lives longer than this, whoever forgot to stop it.
const LIFE_LIMIT: Duration = Duration::from_hours(2);
/// Time between two looks for a peer by someone who also watches the clock.
const LOOK: Duration = Duration::from_millis(50);

/// What the process beyond its session answers on its socket.
pub const HERE: &str = "still here\n";

/// Serves one of `web --port N DIR`, `fetch URL` and `apart SOCKET`; gives the exit status.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<String> = args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["web", "--port", port, dir] => match port.parse() {
            Ok(port) => web(port, Path::new(dir)),
            Err(_) => Err(io::Error::other(format!("{port} is no port"))),
        },
        ["fetch", url] => fetch(url).and_then(|page| io::stdout().write_all(&page)),
        ["apart", socket] => apart(Path::new(socket)),
        _ => Err(io::Error::other("usage: wharf demo-hand web --port N DIR | fetch URL | apart SOCKET")),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            // Without a stderr nobody is there to be told.
            let _ = writeln!(io::stderr(), "demo-hand: {error}");
            1
        }
    }
}

/// Serves the files of one directory on the loopback address, one visitor after the other.
fn web(port: u16, dir: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let end = Instant::now() + LIFE_LIMIT;
    while Instant::now() < end {
        match listener.accept() {
            // A visitor who goes away in the middle is no concern of the others.
            Ok((peer, _)) => match serve(peer, dir) {
                Ok(line) => writeln!(io::stdout(), "{line}")?,
                Err(error) => writeln!(io::stderr(), "a visitor was lost: {error}")?,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(&listener)?,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a peer was lost on its way in, which says nothing about the next one.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}

/// Waits until somebody may be there; an interrupted wait ends early.
fn wait_for(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Answers one request; gives the line of the access log.
fn serve(mut peer: TcpStream, dir: &Path) -> io::Result<String> {
    peer.set_nonblocking(false)?;
    peer.set_read_timeout(Some(PEER_LIMIT))?;
    peer.set_write_timeout(Some(PEER_LIMIT))?;
    let (head, _) = read_head(&mut peer)?;
    let first = head.lines().next().unwrap_or_default();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = match (method, page(dir, target)) {
        ("GET" | "HEAD", Some(path)) => match read_page(&path) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", b"there is no such page\n".to_vec()),
        },
        ("GET" | "HEAD", None) => ("404 Not Found", b"there is no such page\n".to_vec()),
        _ => ("405 Method Not Allowed", b"only GET is served here\n".to_vec()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    peer.write_all(answer.as_bytes())?;
    if method != "HEAD" {
        peer.write_all(&body)?;
    }
    Ok(format!("{} {} {status}", shown(method), shown(target)))
}

/// A word of a stranger as it may stand in a log.
fn shown(word: &str) -> String {
    word.chars().take(200).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// The file that a target means; none when it leads elsewhere.
fn page(dir: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = if path.is_empty() { Path::new("index.html") } else { Path::new(path) };
    path.components().all(|c| matches!(c, Component::Normal(_))).then(|| dir.join(path))
}

fn read_page(path: &Path) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    std::fs::File::open(path)?.take(PAGE_MAX_BYTES).read_to_end(&mut body)?;
    Ok(body)
}

/// Reads up to the empty line; gives the head and what came after it.
fn read_head(peer: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if bytes.len() > HEAD_MAX_BYTES {
            return Err(io::Error::other("the head is too long"));
        }
        match peer.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&part[..n]),
        }
    }
}

/// Gets a page of the demo's service.
fn fetch(url: &str) -> io::Result<Vec<u8>> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| io::Error::other(format!("{url} does not begin with http://")))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut peer = TcpStream::connect(host)?;
    peer.set_read_timeout(Some(PEER_LIMIT))?;
    peer.set_write_timeout(Some(PEER_LIMIT))?;
    write!(peer, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let (head, mut body) = read_head(&mut peer)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(io::Error::other(format!("{url} answered {}", head.lines().next().unwrap_or_default())));
    }
    peer.take(PAGE_MAX_BYTES).read_to_end(&mut body)?;
    Ok(body)
}

/// Leaves the session, and answers on a socket until it is killed. Whether it ignores signals is
/// its parent's choice.
fn apart(socket: &Path) -> io::Result<()> {
    rustix::process::setsid()?;
    match std::fs::remove_file(socket) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(socket)?;
    listener.set_nonblocking(true)?;
    let end = Instant::now() + LIFE_LIMIT;
    while Instant::now() < end {
        match listener.accept() {
            // Whoever asked may have gone.
            Ok((mut peer, _)) => drop(peer.write_all(HERE.as_bytes())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(&listener)?,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        // A peer that is gone at once must not make this spin.
        std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_below_the_directory_are_pages() {
        let table = [
            ("/", Some("d/index.html")),
            ("/?visitor=R-1", Some("d/index.html")),
            ("/a/b.html#x", Some("d/a/b.html")),
            ("//etc/passwd", None),
            ("/../x", None),
            ("/a/../../x", None),
            ("", None),
            ("x", None),
        ];
        for (target, expected) in table {
            assert_eq!(page(Path::new("d"), target), expected.map(PathBuf::from), "{target}");
        }
    }

    #[test]
    fn a_page_is_served_and_fetched_and_what_is_not_there_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.html"), "<p>hello").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let place = dir.path().to_owned();
        let served = std::thread::spawn(move || {
            (0..3).map(|_| serve(listener.accept().unwrap().0, &place).unwrap_or_default()).collect::<Vec<_>>()
        });
        assert_eq!(fetch(&format!("{url}?visitor=R-2")).unwrap(), b"<p>hello");
        assert!(fetch(&format!("{url}none")).unwrap_err().to_string().contains("404"));
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        TcpStream::connect(address).unwrap().write_all(b"PUT\x1b[31m / HTTP/1.1\r\n\r\n").unwrap();
        let lines = served.join().unwrap();
        assert_eq!(lines[..2], ["GET /?visitor=R-2 200 OK".to_owned(), "GET /none 404 Not Found".to_owned()]);
        assert!(!lines[2].contains(char::from(27)), "{lines:?}");
        assert!(fetch("ftp://x/").is_err());
    }

    #[test]
    fn a_wrong_call_fails() {
        assert_eq!(main(["web".into(), "--port".into(), "x".into(), "d".into()]), 1);
        assert_eq!(main([]), 1);
    }
}
