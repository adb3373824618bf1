//! Copies control store and log of a data folder as they were at one moment, also while a process works on them.
//!
//! Which moment fits together: a decision gets its number in a transaction of the control store, is appended to the log
//! after that, and leaves the control store's outbox last. Vendors and connections are there before anything of theirs
//! is in the log. So with the control store as it was at a moment, the log must be from the same one. Older, it would
//! lack decisions that have left the outbox, and the vendor's next number would stand over a gap. Newer, it would name
//! decisions and numbers that the control store does not know and would give out again.
//!
//! [`Moment::of`] has that moment: it begins a write in the control store, so that nobody else's can be under way, begins a
//! read of both files, and ends the write again. That takes less than a few milliseconds, in which decisions wait and
//! deliveries do not. The reads see that moment for as long as they last, and are copied at leisure. What the log has of
//! the outbox by then is sent again after a restore, and ignored, as after a crash of the relay.

use crate::control::ControlResult;
use crate::control::VendorNumbers;
use crate::sqlite::{SqliteError, keep_private, open_copy, open_reader};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use std::path::{Path, PathBuf};

/// Pages that are copied in one go.
const PAGES_PER_STEP: i32 = 1_024;

/// A copy that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be opened.
    #[error(transparent)]
    Open(#[from] SqliteError),
    /// The copy cannot be made for this user only.
    #[error("{} cannot be written: {source}", path.display())]
    Target {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{} cannot be copied: {source}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// Control store and log at one moment. While it is there, the files beside them grow.
pub struct Moment {
    control: (PathBuf, Connection),
    log: (PathBuf, Connection),
}

impl Moment {
    /// Now. Blocks for up to ten seconds while somebody else writes to the control store.
    ///
    /// # Errors
    /// When a file cannot be opened, or the control store is written to all the time.
    pub fn of(control: &Path, log: &Path) -> Result<Moment, BackupError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BackupError::Copy { path, source }
        };
        let writer = Connection::open(control).map_err(failed(control))?;
        writer.busy_timeout(crate::sqlite::BUSY_TIMEOUT).map_err(failed(control))?;
        let readers = (open_reader(control)?, open_reader(log)?);
        writer.execute_batch("begin immediate").map_err(failed(control))?;
        begin_read(&readers.0).map_err(failed(control))?;
        begin_read(&readers.1).map_err(failed(log))?;
        writer.execute_batch("rollback").map_err(failed(control))?;
        Ok(Moment { control: (control.to_owned(), readers.0), log: (log.to_owned(), readers.1) })
    }

    /// Copies the control store to one file that is not there yet, and the log to another. They are on disk afterwards.
    ///
    /// # Errors
    /// When the disk is full, or something else fails; what was written is left.
    pub fn copy(&self, control: &Path, log: &Path) -> Result<(), BackupError> {
        copy(&self.control, control)?;
        copy(&self.log, log)
    }
}

/// What a read transaction sees is fixed by its first read.
fn begin_read(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("begin")?;
    connection.query_row("select count(*) from sqlite_master", [], |_| Ok(()))
}

/// The open transaction of the source stays open, so every step copies the same state.
fn copy((path, source): &(PathBuf, Connection), target: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::Copy { path: path.clone(), source };
    keep_private(target).map_err(|source| BackupError::Target { path: target.to_owned(), source })?;
    let mut copied = Connection::open(target).map_err(failed)?;
    let backup = Backup::new(source, &mut copied).map_err(failed)?;
    while backup.step(PAGES_PER_STEP).map_err(failed)? != StepResult::Done {}
    Ok(())
}

/// What SQLite finds wrong in a copy; empty when nothing is.
///
/// # Errors
/// When it is no database at all.
pub fn damage(path: &Path) -> Result<Vec<String>, BackupError> {
    let failed = |source| BackupError::Copy { path: path.to_owned(), source };
    let connection = open_copy(path)?;
    let mut statement = connection.prepare("pragma quick_check(20)").map_err(failed)?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?;
    Ok(found.into_iter().filter(|words| words != "ok").collect())
}

/// Which numbers a copy of the control store has given out.
///
/// # Errors
/// When it cannot be read.
pub fn numbers(control: &Path) -> ControlResult<Vec<VendorNumbers>> {
    crate::control::numbers_of(&open_copy(control)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{DEFAULT_PAGE_BYTES, Migration, open_writer};

    const ONE: [Migration; 1] = [Migration { version: 1, name: "0001", sql: "create table a (x integer) strict;" }];

    fn count(connection: &Connection) -> i64 {
        connection.query_row("select count(*) from a", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_written_after_the_moment_is_in_no_copy() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let control = open_writer(&at("control.db"), DEFAULT_PAGE_BYTES, &ONE).unwrap();
        let log = open_writer(&at("log.db"), 8192, &ONE).unwrap();
        for _ in 0..2_000 {
            control.execute("insert into a values (1)", []).unwrap();
            log.execute("insert into a values (1)", []).unwrap();
        }
        let moment = Moment::of(&at("control.db"), &at("log.db")).unwrap();
        control.execute("insert into a values (2)", []).unwrap();
        log.execute("insert into a values (2)", []).unwrap();
        moment.copy(&at("c #1?.db"), &at("l.db")).unwrap();
        for name in ["c #1?.db", "l.db"] {
            assert_eq!(count(&open_copy(&at(name)).unwrap()), 2_000, "{name}");
            assert!(damage(&at(name)).unwrap().is_empty());
            assert!(!at(&format!("{name}-wal")).exists(), "reading a copy changes nothing beside it");
        }
        assert_eq!((count(&control), count(&log)), (2_001, 2_001));
        drop(open_writer(&at("l.db"), 8192, &ONE).unwrap());
    }

    #[test]
    fn a_write_that_is_under_way_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let control = open_writer(&at("control.db"), DEFAULT_PAGE_BYTES, &ONE).unwrap();
        drop(open_writer(&at("log.db"), DEFAULT_PAGE_BYTES, &ONE).unwrap());
        control.execute_batch("begin immediate; insert into a values (1)").unwrap();
        let (c, l) = (at("control.db"), at("log.db"));
        let taken = std::thread::spawn(move || Moment::of(&c, &l).unwrap());
        // The moment cannot be before this.
        control.execute_batch("commit").unwrap();
        taken.join().unwrap().copy(&at("c.db"), &at("l.db")).unwrap();
        assert_eq!(count(&open_copy(&at("c.db")).unwrap()), 1);
    }
}
