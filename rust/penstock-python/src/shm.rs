//! Hands deliveries to a child process, through memory that both see or through a pipe.
//!
//! Rules: one writer and one reader, never at once: the parent writes only while the child waits,
//! and the child copies a frame out before it answers; the memory is a sealed file without a name,
//! so that it cannot shrink under a reader and nothing is left behind; a configuration travels
//! once for each child.
#![allow(
    unsafe_code,
    reason = "mapping a file is unsafe, since whoever has it could change it under the map"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Mmap, MmapMut, MmapOptions};
use penstock_engine::config::MappingConfig;
use penstock_engine::ids::MappingId;
use penstock_runtime::clock::{Clock, SystemClock};
use penstock_runtime::exchange::Delivery;
use penstock_runtime::frame::{self, BadFrame, Frame};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{self, Failure};
use crate::invocation::Invocation;

/// The parent's side of one child.
#[pyclass(frozen, module = "penstock._penstock")]
pub(crate) struct Outbox {
    inner: Mutex<Sender>,
}

struct Sender {
    memory: Option<MmapMut>,
    /// What the child has been told, by mapping.
    known: BTreeMap<MappingId, Arc<MappingConfig>>,
}

#[pymethods]
impl Outbox {
    /// Uses the first `size` bytes of a shared file, or none: then only `encode` is of use.
    #[new]
    #[pyo3(signature = (descriptor, size, /))]
    fn new(descriptor: Option<i32>, size: usize) -> PyResult<Self> {
        let memory = descriptor.map(|descriptor| {
            let file = sized(descriptor, size)?;
            // SAFETY: the file has `size` bytes and is sealed against shrinking; the child, which
            // alone has it besides us, maps it for reading only.
            unsafe { MmapOptions::new().len(size).map_mut(&file) }
        });
        Ok(Self {
            inner: Mutex::new(Sender {
                memory: memory.transpose()?,
                known: BTreeMap::new(),
            }),
        })
    }

    /// Writes a frame into the shared memory; its length, or `None` when there is no room for it.
    #[pyo3(signature = (invocation, /))]
    fn write(&self, py: Python<'_>, invocation: &Invocation) -> PyResult<Option<usize>> {
        errors::contained(|| {
            let write = || {
                let mut sender = self.sender();
                let Sender { memory, known } = &mut *sender;
                let frame = framed(known, invocation)?;
                let length = memory.as_mut().and_then(|memory| frame.write(memory));
                if length.is_some() {
                    sender.tell(invocation.delivery());
                }
                Ok::<_, Failure>(length)
            };
            py.detach(write)
        })
    }

    /// Makes a frame that is to be sent in some other way.
    #[pyo3(signature = (invocation, /))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        invocation: &Invocation,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = errors::contained(|| {
            let encode = || {
                let mut sender = self.sender();
                let frame = framed(&sender.known, invocation)?;
                let mut bytes = vec![0; frame.len()];
                let written = frame.write(&mut bytes);
                sender.tell(invocation.delivery());
                written
                    .map(|_| bytes)
                    .ok_or_else(|| Failure::argument("invocation", "it is larger than a frame"))
            };
            py.detach(encode)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }
}

impl Outbox {
    fn sender(&self) -> MutexGuard<'_, Sender> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    fn tell(&mut self, delivery: &Delivery) {
        self.known
            .insert(delivery.mapping.clone(), delivery.config.clone());
    }
}

fn framed<'a>(
    known: &BTreeMap<MappingId, Arc<MappingConfig>>,
    invocation: &'a Invocation,
) -> Result<Frame<'a>, Failure> {
    let delivery = invocation.delivery();
    let told = known
        .get(&delivery.mapping)
        .is_some_and(|config| Arc::ptr_eq(config, &delivery.config));
    Frame::of(delivery, told, invocation.clock().now().mono).map_err(damaged)
}

/// The file behind a descriptor, if it is long enough to be mapped.
fn sized(descriptor: i32, size: usize) -> io::Result<File> {
    if descriptor < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the descriptor is only asked for a copy of itself, which fails if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let file = File::from(borrowed.try_clone_to_owned()?);
    if file.metadata()?.len() < size as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the shared file is shorter than {size} bytes"),
        ));
    }
    Ok(file)
}

/// The child's side.
#[pyclass(frozen, module = "penstock._penstock")]
pub(crate) struct Inbox {
    memory: Option<Mmap>,
    known: Mutex<BTreeMap<MappingId, Arc<MappingConfig>>>,
    clock: Arc<dyn Clock>,
}

#[pymethods]
impl Inbox {
    /// Uses the first `size` bytes of a shared file, or none: then only `decode` is of use.
    #[new]
    #[pyo3(signature = (descriptor, size, /))]
    fn new(descriptor: Option<i32>, size: usize) -> PyResult<Self> {
        let memory = descriptor.map(|descriptor| {
            let file = sized(descriptor, size)?;
            // SAFETY: the file has `size` bytes and is sealed against shrinking; the parent, which
            // alone writes to it, does so only between an answer of ours and its next call, and
            // `read` returns before the answer is sent.
            unsafe { MmapOptions::new().len(size).map(&file) }
        });
        Ok(Self {
            memory: memory.transpose()?,
            known: Mutex::default(),
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// Copies the frame of `length` bytes out of the shared memory.
    #[pyo3(signature = (length, /))]
    fn read(&self, length: usize) -> PyResult<Invocation> {
        errors::contained(|| {
            let memory = self.memory.as_deref().unwrap_or_default();
            let bytes = memory.get(..length).ok_or_else(|| {
                Failure::argument("length", "the frame is longer than the memory")
            })?;
            self.received(bytes)
        })
    }

    /// Reads a frame that came in some other way.
    #[pyo3(signature = (frame, /))]
    fn decode(&self, frame: &[u8]) -> PyResult<Invocation> {
        errors::contained(|| self.received(frame))
    }
}

impl Inbox {
    fn received(&self, bytes: &[u8]) -> Result<Invocation, Failure> {
        let received = frame::read(bytes, self.clock.now().mono).map_err(damaged)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = received.config {
            known.insert(received.mapping.clone(), config);
        }
        let config = known.get(&received.mapping).cloned();
        let config = config.ok_or_else(|| {
            Failure::argument("frame", "it is of a mapping that was never described")
        })?;
        let delivery = Delivery {
            mapping: received.mapping,
            config,
            invocation: received.invocation,
        };
        Ok(Invocation::new(Arc::new(delivery), self.clock.clone()))
    }
}

fn damaged(error: BadFrame) -> Failure {
    Failure::argument("frame", error.to_string())
}
