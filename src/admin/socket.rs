//! The admin socket: where the calls that change things are taken, from root, from our own user and
//! from the members of our own group.
//!
//! The file has mode 0660; who got past that (a directory that is shared, a descriptor that was
//! handed on) is asked for once more by the kernel's word on the peer.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use nix::unistd::{Gid, Group, Uid, User};

use super::connections::Bounded;

/// Of the socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;
/// Of the directory, where it is not there yet.
const DIRECTORY_MODE: u32 = 0o750;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    /// Somebody answers there.
    #[error(
        "a Drawbridge that runs has the admin socket {0}; stop it, or write another path as admin.socket"
    )]
    Live(PathBuf),
    /// Something else has the name.
    #[error("{0} is there and is no socket; move it away, or write another path as admin.socket")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("the admin socket {path} cannot be made: {error}; {}", cure(.error))]
    System {
        /// Where it was to be.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create its directory, or write another path as admin.socket",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "the packaged service has /run/drawbridge; else write a path that this user may write to as \
             admin.socket"
        }
        _ => "write another path as admin.socket",
    }
}

/// A socket that listens; its file is gone when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that nobody else's file is removed.
    identity: (u64, u64),
}

impl AdminSocket {
    /// Makes the socket, and its directory where that alone is missing. One that a dead process has
    /// left is replaced.
    ///
    /// # Errors
    /// What is in the way, with its cure.
    pub fn open(path: &Path) -> Result<AdminSocket, SocketFault> {
        let system = |error| SocketFault::System { path: path.to_owned(), error };
        refuse_what_is_there(path)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !directory.exists() {
            DirBuilder::new().mode(DIRECTORY_MODE).create(directory).map_err(system)?;
        }
        // Made under another name, so that nobody meets it with another mode, and that of two that start
        // at once none deletes the other's.
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let _ = std::fs::remove_file(&draft);
        let made = UnixListener::bind(&draft).and_then(|listener| {
            listener.set_nonblocking(true)?;
            std::fs::set_permissions(&draft, Permissions::from_mode(SOCKET_MODE))?;
            let metadata = std::fs::symlink_metadata(&draft)?;
            std::fs::rename(&draft, path)?;
            let identity = (metadata.dev(), metadata.ino());
            Ok(AdminSocket { listener, file: SocketFile { path: path.to_owned(), identity } })
        });
        made.map_err(|error| {
            let _ = std::fs::remove_file(&draft);
            system(error)
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// For the runtime of the calling task.
    pub(super) fn watched(self) -> io::Result<Guarded> {
        let listener = tokio::net::UnixListener::from_std(self.listener)?;
        Ok(Guarded { listener, _file: self.file })
    }
}

/// A socket on which nobody answers is what a dead process left.
fn refuse_what_is_there(path: &Path) -> Result<(), SocketFault> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketFault::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(SocketFault::System { path: path.to_owned(), error })
        }
        Ok(_) | Err(_) => Err(SocketFault::Live(path.to_owned())),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    /// The user of the process that connected.
    pub(super) uid: u32,
    gid: u32,
}

/// Accepts those who may.
#[derive(Debug)]
pub(super) struct Guarded {
    listener: tokio::net::UnixListener,
    _file: SocketFile,
}

impl Listener for Guarded {
    type Io = tokio::net::UnixStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (tokio::net::UnixStream, Peer) {
        loop {
            let (stream, _) = Listener::accept(&mut self.listener).await;
            // One whose credentials are not to be had is gone again.
            let Ok(credentials) = stream.peer_cred() else { continue };
            let peer = Peer { uid: credentials.uid(), gid: credentials.gid() };
            if may_ask(peer, Uid::effective(), Gid::effective()) {
                return (stream, peer);
            }
            tracing::warn!(uid = peer.uid, "this user may not use the admin socket");
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { uid: Uid::effective().as_raw(), gid: Gid::effective().as_raw() })
    }
}

impl Connected<IncomingStream<'_, Bounded<Guarded>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<Guarded>>) -> Peer {
        *stream.remote_addr()
    }
}

/// Root, our own user, and members of our own group, by their process or by the group's list.
fn may_ask(peer: Peer, uid: Uid, gid: Gid) -> bool {
    let is_member = || {
        let user = User::from_uid(Uid::from_raw(peer.uid)).ok().flatten();
        let group = Group::from_gid(gid).ok().flatten();
        match (user, group) {
            (Some(user), Some(group)) => user.gid == gid || group.mem.contains(&user.name),
            (None, _) | (_, None) => false,
        }
    };
    peer.uid == 0 || peer.uid == uid.as_raw() || peer.gid == gid.as_raw() || is_member()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("drawbridge-socket-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Directory(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("admin.sock")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn it_is_for_owner_and_group_and_gone_when_it_ends() {
        let directory = Directory::new("mode");
        let socket = AdminSocket::open(&directory.socket()).unwrap();
        let mode = std::fs::metadata(directory.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, SOCKET_MODE);
        assert_eq!(names(&directory.0), ["admin.sock"]);
        assert!(UnixStream::connect(directory.socket()).is_ok());
        drop(socket);
        assert!(names(&directory.0).is_empty());
    }

    #[test]
    fn one_that_a_dead_process_left_is_replaced_and_a_live_one_is_not() {
        let directory = Directory::new("stale");
        drop(UnixListener::bind(directory.socket()).unwrap());
        let first = AdminSocket::open(&directory.socket()).unwrap();
        let refused = AdminSocket::open(&directory.socket()).unwrap_err();
        assert!(matches!(refused, SocketFault::Live(_)), "{refused}");
        assert!(refused.to_string().contains("write another path as admin.socket"), "{refused}");
        assert!(UnixStream::connect(directory.socket()).is_ok());
        drop(first);
    }

    #[test]
    fn anothers_file_of_the_same_name_stays() {
        let directory = Directory::new("other");
        let socket = AdminSocket::open(&directory.socket()).unwrap();
        std::fs::remove_file(directory.socket()).unwrap();
        std::fs::write(directory.socket(), "x").unwrap();
        drop(socket);
        assert!(directory.socket().exists());
        let refused = AdminSocket::open(&directory.socket()).unwrap_err();
        assert!(matches!(refused, SocketFault::NotASocket(_)), "{refused}");
    }

    #[test]
    fn a_missing_directory_is_made_and_two_are_not() {
        let directory = Directory::new("missing");
        let one = directory.0.join("run/admin.sock");
        let socket = AdminSocket::open(&one).unwrap();
        let mode = std::fs::metadata(one.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
        drop(socket);
        let two = directory.0.join("a/b/admin.sock");
        let refused = AdminSocket::open(&two).unwrap_err().to_string();
        assert!(
            refused.ends_with("create its directory, or write another path as admin.socket"),
            "{refused}"
        );
    }

    #[test]
    fn root_our_user_and_our_group_may_ask() {
        let (uid, gid) = (Uid::from_raw(4_000_001), Gid::from_raw(4_000_002));
        let may = |asking: u32, group: u32| may_ask(Peer { uid: asking, gid: group }, uid, gid);
        assert!(may(0, 0) && may(4_000_001, 7) && may(4_000_009, 4_000_002));
        assert!(!may(4_000_009, 4_000_009));
    }
}
