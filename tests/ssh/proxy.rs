//! A way to a host that can be cut and brought back.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Passes connections on while it is up.
pub struct Proxy {
    pub port: u16,
    up: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, up: Arc::new(AtomicBool::new(true)), over: Arc::default(), open: Arc::default() };
        let (up, over, open) = (Arc::clone(&proxy.up), Arc::clone(&proxy.over), Arc::clone(&proxy.open));
        std::thread::spawn(move || {
            for came in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if !up.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
                let mut open = open.lock().unwrap();
                for (from, to) in [(&came, &there), (&there, &came)] {
                    open.push(from.try_clone().unwrap());
                    pass(from.try_clone().unwrap(), to.try_clone().unwrap());
                }
            }
        });
        proxy
    }

    /// Breaks every connection, and lets none through.
    pub fn cut(&self) {
        self.up.store(false, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.up.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut chunk = [0u8; 16 * 1024];
        while let Ok(n) = from.read(&mut chunk) {
            if n == 0 || to.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        let _gone = to.shutdown(Shutdown::Both);
        let _gone = from.shutdown(Shutdown::Both);
    });
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the one that accepts.
        let _gone = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
