//! Prepares a state directory and takes it for this process.
//!
//! Rules: the directory is ours alone (0700, files 0600) and on a local disk; one process owns it
//! at a time, by a lock that the system drops when the owner dies; a refusal names the owner.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::RuntimeError;

/// The file that holds everything.
pub(super) const STATE_FILE: &str = "penstock.db";
/// The file whose lock stands for the directory, and that names the owner.
pub(super) const LOCK_FILE: &str = "penstock.lock";

/// A state directory that this process owns until the value is dropped.
#[derive(Debug)]
pub(super) struct OwnedDirectory {
    /// The state file, which exists.
    pub(super) file: PathBuf,
    lock: File,
}

impl Drop for OwnedDirectory {
    /// Closing the descriptor is not enough: a process that is being started at this moment holds a
    /// copy of it until its program begins.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(error = %error, "the lock was left to the end of its descriptor");
        }
    }
}

impl OwnedDirectory {
    /// Creates the directory if need be, judges it, and becomes its owner.
    pub(super) fn take(path: &Path) -> Result<Self, RuntimeError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
        created.map_err(|error| cannot_write(path, "create it", &error))?;
        judge(path)?;
        let mut lock = open_private(path, &path.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => {
                return Err(RuntimeError::io(format!("lock {}", path.display()), error));
            }
        }
        write_owner(&mut lock).map_err(|error| cannot_write(path, "write the lock", &error))?;
        let file = path.join(STATE_FILE);
        // SQLite gives its side files the mode that the main file has.
        open_private(path, &file)?;
        Ok(Self { file, lock })
    }
}

/// Refuses directories that others can write, that are not ours, or that lie on a network.
fn judge(path: &Path) -> Result<(), RuntimeError> {
    let unfit = |detail: String| RuntimeError::StateUnfit {
        dir: shown(path),
        detail,
    };
    let facts = path.metadata().map_err(|error| unfit(error.to_string()))?;
    if !facts.is_dir() {
        return Err(unfit("it is not a directory".to_owned()));
    }
    let user = rustix::process::geteuid().as_raw();
    if facts.uid() != user {
        return Err(unfit(format!(
            "it belongs to user {}, not to user {user}",
            facts.uid()
        )));
    }
    if facts.mode() & 0o022 != 0 {
        let mode = facts.mode() & 0o777;
        return Err(unfit(format!(
            "others can write to it (mode {mode:o}): chmod 700 it"
        )));
    }
    match network_name(path) {
        Some(name) => Err(unfit(format!("it lies on a network file system ({name})"))),
        None => Ok(()),
    }
}

/// Network file systems lie about locks and about what has reached the disk.
#[cfg(target_os = "linux")]
fn network_name(path: &Path) -> Option<&'static str> {
    const NAMES: [(u32, &str); 10] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x7375_7245, "Coda"),
    ];
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    // The system's number is signed on some machines; the constants have 32 bits.
    let kind = (kind as u64 & 0xffff_ffff) as u32;
    NAMES
        .iter()
        .find(|(number, _)| *number == kind)
        .map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn network_name(_path: &Path) -> Option<&'static str> {
    None
}

/// Opens or creates a file of ours; never follows a link that somebody put there.
fn open_private(directory: &Path, file: &Path) -> Result<File, RuntimeError> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).expect("open flags are small");
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(file)
        .map_err(|error| cannot_write(directory, &format!("open {}", file.display()), &error))
}

fn write_owner(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn in_use(path: &Path, lock: &mut File) -> RuntimeError {
    let mut pid = String::new();
    let known = lock
        .rewind()
        .and_then(|()| lock.take(32).read_to_string(&mut pid));
    let pid = match known {
        Ok(_) if !pid.trim().is_empty() => pid.trim().to_owned(),
        _ => "(unknown)".to_owned(),
    };
    RuntimeError::StateInUse {
        dir: shown(path),
        pid,
    }
}

fn cannot_write(path: &Path, action: &str, error: &std::io::Error) -> RuntimeError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            let detail = format!("cannot {action}: {error}");
            RuntimeError::StateReadOnly {
                dir: shown(path),
                detail,
            }
        }
        _ => RuntimeError::io(
            format!("state directory {}: {action}", path.display()),
            error,
        ),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_and_its_files_are_private() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let path = parent.path().join("a/state");
        let owned = OwnedDirectory::take(&path).expect("the directory is fine");
        let mode = |path: &Path| fs::metadata(path).expect("it exists").mode() & 0o777;
        assert_eq!((mode(&path), mode(&owned.file)), (0o700, 0o600));
    }

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let path = tempfile::tempdir().expect("a temporary directory");
        let first = OwnedDirectory::take(path.path()).expect("it is free");
        let refused = OwnedDirectory::take(path.path()).expect_err("it is taken");
        let (dir, pid) = (shown(path.path()), std::process::id().to_string());
        assert_eq!(refused, RuntimeError::StateInUse { dir, pid });
        drop(first);
        OwnedDirectory::take(path.path()).expect("it is free again");
    }

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_directory() {
        let path = tempfile::tempdir().expect("a temporary directory");
        let first = OwnedDirectory::take(path.path()).expect("it is free");
        let copy = first.lock.try_clone().expect("a copy, as a fork has one");
        drop(first);
        OwnedDirectory::take(path.path()).expect("it is free again");
        drop(copy);
    }

    #[test]
    fn directories_that_others_can_write_are_refused() {
        let path = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(path.path(), fs::Permissions::from_mode(0o770)).expect("it is ours");
        let refused = OwnedDirectory::take(path.path()).expect_err("it is not private");
        assert_eq!(refused.code(), "PS305");
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let path = tempfile::tempdir().expect("a temporary directory");
        let target = path.path().join("target");
        fs::write(&target, "mine").expect("it can be written");
        std::os::unix::fs::symlink(&target, path.path().join(STATE_FILE)).expect("a link");
        OwnedDirectory::take(path.path()).expect_err("a link is refused");
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "mine");
    }
}
