//! Notices when the configuration's files change on disk.
//!
//! Directories are watched, not files: editors write a new file and rename it over the old, and
//! orchestrators swap a symbolic link. What happens is not looked at, only that something did.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Files change in flocks (a package upgrade, a rename and its directory): quiet for so long, they
/// are read.
const QUIET: Duration = Duration::from_millis(300);
/// A directory that is never quiet (somebody logs into it) holds a change up no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Watches until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    _watcher: RecommendedWatcher,
    /// Room for one: "something changed" need not be said twice.
    changes: mpsc::Receiver<()>,
    /// A change was seen and not told yet: when it is told at the latest.
    due: Option<Instant>,
}

impl FileWatch {
    /// Watches the directory of `config` and `trunks.d` and `profiles.d` in it, if they are there, and `others` as
    /// far as they are there.
    ///
    /// # Errors
    /// The system's limit of watches is reached, or the directory is gone.
    pub fn start(config: &Path, others: impl IntoIterator<Item = PathBuf>) -> notify::Result<FileWatch> {
        let (changed, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error (the kernel's queue ran over) may hide a change: read the files then, too.
            if event.map_or(true, |event| concerns(&event)) {
                let _ = changed.try_send(());
            }
        })?;
        let directory = directory_of(config);
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        let trunks = directory.join("trunks.d");
        if trunks.is_dir() {
            watcher.watch(&trunks, RecursiveMode::NonRecursive)?;
        }
        let profiles = directory.join("profiles.d");
        for other in others.into_iter().chain([profiles]) {
            if other.is_dir() && other != directory && other != trunks {
                watcher.watch(&other, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(FileWatch { _watcher: watcher, changes, due: None })
    }

    /// Waits for a change, and then until the files are quiet. May be cancelled: the next call tells a change
    /// that this one has seen.
    #[allow(clippy::disallowed_methods, reason = "the shell's own clock, for files and not for calls")]
    pub async fn changed(&mut self) {
        let due = match self.due {
            Some(due) => due,
            None => {
                if self.changes.recv().await.is_none() {
                    return std::future::pending().await;
                }
                *self.due.insert(Instant::now() + LONGEST_WAIT)
            }
        };
        let quiet =
            async { while timeout(QUIET, self.changes.recv()).await.is_ok_and(|change| change.is_some()) {} };
        // Either is a time to read the files.
        let _ = timeout_at(due, quiet).await;
        self.due = None;
    }
}

fn directory_of(config: &Path) -> PathBuf {
    match config.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Reading the files is no change: it is what we do ourselves. Whether a change matters is for the
/// reader of the files to find out: names of temporary files and of swapped links are legion.
fn concerns(event: &notify::Event) -> bool {
    !matches!(event.kind, EventKind::Access(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_write_and_a_rename_are_seen_and_reading_is_not() {
        let directory = std::env::temp_dir().join(format!("drawbridge-watch-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("trunks.d")).unwrap();
        let config = directory.join("drawbridge.toml");
        std::fs::write(&config, "a").unwrap();
        let mut watch = FileWatch::start(&config, []).unwrap();

        std::fs::write(directory.join("trunks.d/new.toml"), "b").unwrap();
        timeout(PATIENCE, watch.changed()).await.unwrap();
        std::fs::write(directory.join("draft.toml"), "c").unwrap();
        std::fs::rename(directory.join("draft.toml"), &config).unwrap();
        timeout(PATIENCE, watch.changed()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&config).unwrap(), "c");
        assert!(watch.changes.try_recv().is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[tokio::test]
    async fn a_change_is_not_lost_when_the_wait_for_quiet_is_cancelled() {
        let directory = std::env::temp_dir().join(format!("drawbridge-watch-cancel-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = directory.join("drawbridge.toml");
        let mut watch = FileWatch::start(&config, []).unwrap();
        std::fs::write(&config, "a").unwrap();
        // As a timer of the daemon does: after the change was seen, before the files were quiet.
        while watch.due.is_none() {
            assert!(timeout(QUIET / 3, watch.changed()).await.is_err());
        }
        timeout(PATIENCE, watch.changed()).await.unwrap();
        assert!(watch.due.is_none());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
