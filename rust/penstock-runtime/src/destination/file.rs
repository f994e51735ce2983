//! Appends failure documents to a file, one JSON document a line.
//!
//! Rules: a document is delivered when its line is on disk; a line that could not be written whole
//! is taken back, so that the next one does not stick to its half.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;

use crate::error::DestinationError;
use crate::ports::Destination;

/// A file of lines, as a destination.
pub struct FileDestination {
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    path: PathBuf,
    /// `None` after a failure, until it was opened again.
    file: Option<File>,
}

impl FileDestination {
    /// Opens or creates the file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened for writing.
    pub fn open(path: &Path) -> Result<Arc<dyn Destination>, DestinationError> {
        let mut lines = Lines {
            path: path.to_owned(),
            file: None,
        };
        if let Err(error) = lines.file().map(|_| ()) {
            return Err(lines.failure(&error));
        }
        Ok(Arc::new(Self {
            lines: Arc::new(Mutex::new(lines)),
        }))
    }
}

impl Destination for FileDestination {
    fn deliver(
        &self,
        document: Arc<FailureDocument>,
    ) -> BoxFuture<'_, Result<(), DestinationError>> {
        let lines = self.lines.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.append(&document.body)
            });
            written.await.unwrap_or_else(|ended| {
                Err(DestinationError::new(
                    FaultKind::Transient,
                    format!("writing ended: {ended}"),
                ))
            })
        })
    }
}

impl Lines {
    fn append(&mut self, body: &str) -> Result<(), DestinationError> {
        let line = format!("{body}\n");
        let written = self.file().and_then(|file| {
            let length = file.metadata()?.len();
            file.write_all(line.as_bytes()).inspect_err(|_| {
                // If even this fails there is nothing left to do; the failure is told below.
                let _ = file.set_len(length);
            })?;
            file.sync_data()
        });
        written.map_err(|error| {
            // A sync that failed once is not believed a second time on the same descriptor.
            self.file = None;
            self.failure(&error)
        })
    }

    fn file(&mut self) -> std::io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => opened(&self.path)?,
        };
        Ok(self.file.insert(file))
    }

    fn failure(&self, error: &std::io::Error) -> DestinationError {
        use std::io::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => FaultKind::Denied,
            Kind::NotFound | Kind::NotADirectory => FaultKind::NotFound,
            Kind::IsADirectory => FaultKind::Invalid,
            _ => FaultKind::Transient,
        };
        DestinationError::new(kind, format!("file {}: {error}", self.path.display()))
    }
}

/// Opens or creates the file, and makes its name durable.
fn opened(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}
