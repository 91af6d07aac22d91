//! The way to a run's terminal: straight to its shim, in the name of the store's present reign.

use std::path::PathBuf;
use std::time::Duration;

use wharf_model::base64;
use wharf_model::shim::{Control, TtySize};
use wharf_store::Reader;

use crate::process::client::{ClientError, ControlClient};

/// Longest wait for the shim, which answers at once unless it is stopped.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes typed in one message: whole in its line, and several fit what may wait.
const PIECE: usize = 16 * 1024;

/// What became of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// As many were taken.
    Taken(usize),
    /// The run does not read; later perhaps.
    Busy,
}

/// A connection that may type. Renewed by itself when another orchestrator reigns since.
pub struct Link {
    data: PathBuf,
    directory: PathBuf,
    client: ControlClient,
}

impl Link {
    /// Connects to the shim of `directory` and attaches.
    ///
    /// # Errors
    /// Why not: no shim, no terminal, a reign that is over.
    pub fn open(data: PathBuf, directory: PathBuf) -> Result<Self, ClientError> {
        let client = connect(&data, &directory)?;
        Ok(Self { data, directory, client })
    }

    /// Types the beginning of `bytes`.
    ///
    /// # Errors
    /// The terminal is not there any more, or the shim cannot be reached.
    pub fn type_in(&mut self, bytes: &[u8]) -> Result<Typed, ClientError> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        match self.ask(&Control::Input { base64: base64::encode(piece) }) {
            Ok(()) => Ok(Typed::Taken(piece.len())),
            Err(ClientError::Refused { code, .. }) if code == "busy" => Ok(Typed::Busy),
            Err(error) => Err(error),
        }
    }

    /// Gives the run's terminal this size.
    ///
    /// # Errors
    /// As [`Link::type_in`].
    pub fn resize(&mut self, size: TtySize) -> Result<(), ClientError> {
        self.ask(&Control::Resize { rows: size.rows, cols: size.cols })
    }

    fn ask(&mut self, control: &Control) -> Result<(), ClientError> {
        match self.client.ask(control) {
            Ok(_) => Ok(()),
            Err(ClientError::Refused { code, .. }) if code == "stale_epoch" => {
                // The store says who reigns now; a store that does not know of it either is refused again.
                self.client = connect(&self.data, &self.directory)?;
                self.client.ask(control).map(drop)
            }
            Err(error) => Err(error),
        }
    }
}

fn connect(data: &std::path::Path, directory: &std::path::Path) -> Result<ControlClient, ClientError> {
    let header = Reader::open(data).and_then(|reader| reader.header(None));
    let epoch = header.map_err(|e| ClientError::Io(std::io::Error::other(e.to_string())))?.epoch;
    let mut client = ControlClient::connect(directory, epoch, ANSWER)?;
    client.ask(&Control::Attach)?;
    Ok(client)
}
