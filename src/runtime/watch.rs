//! Notices when the configuration's files change on disk.
//!
//! Directories are watched, not files: editors write a new file and rename it over the old, and
//! orchestrators swap a symbolic link. What happens is not looked at, only that something did.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

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
        Ok(FileWatch { _watcher: watcher, changes })
    }

    /// Waits for a change, and then until the files are quiet. May be cancelled.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        let quiet = async {
            while tokio::time::timeout(QUIET, self.changes.recv()).await.is_ok_and(|change| change.is_some())
            {
            }
        };
        // Either is a time to read the files.
        let _ = tokio::time::timeout(LONGEST_WAIT, quiet).await;
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
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
        std::fs::write(directory.join("draft.toml"), "c").unwrap();
        std::fs::rename(directory.join("draft.toml"), &config).unwrap();
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&config).unwrap(), "c");
        assert!(watch.changes.try_recv().is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
