//! The ssh driver against a real sshd on the loopback address, which runs as an ordinary user.

#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

#[path = "ssh/host.rs"]
mod host;
#[path = "ssh/proxy.rs"]
mod proxy;
#[path = "ssh/world.rs"]
mod world;

#[path = "ssh/bring.rs"]
mod bring;
#[path = "ssh/cut.rs"]
mod cut;
#[path = "ssh/place.rs"]
mod place;
#[path = "ssh/stop.rs"]
mod stop;
#[path = "ssh/stream.rs"]
mod stream;
#[path = "ssh/trouble.rs"]
mod trouble;
#[path = "ssh/work.rs"]
mod work;
