//! What `[cdr]` says.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::transport::ClientTls;

/// Added to the name of the file of records: the journal, where nobody says where that is.
const JOURNAL_SUFFIX: &str = ".open";

/// `[cdr]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrSettings {
    /// The file; `None`: there is none.
    pub path: Option<PathBuf>,
    /// The journal of open calls, if it is not to be beside the file.
    pub journal: Option<PathBuf>,
    /// For how long at most a record may be with the system and not on the disk; zero: it is not waited
    /// for anything else before it is there.
    pub sync: Duration,
    /// Where a copy of each record goes.
    pub post: Option<PostSettings>,
}

impl Default for CdrSettings {
    fn default() -> CdrSettings {
        CdrSettings { path: None, journal: None, sync: Duration::from_secs(1), post: None }
    }
}

impl CdrSettings {
    /// Records in this file, and nothing else.
    pub fn in_file(path: PathBuf) -> CdrSettings {
        CdrSettings { path: Some(path), ..CdrSettings::default() }
    }

    /// Where the journal of open calls is; none where no record goes anywhere.
    pub fn journal_path(&self) -> Option<PathBuf> {
        let beside = || {
            let mut name = self.path.clone()?.into_os_string();
            name.push(JOURNAL_SUFFIX);
            Some(PathBuf::from(name))
        };
        let in_spool = || Some(self.post.as_ref()?.spool.join("open-calls"));
        if self.path.is_none() && self.post.is_none() {
            return None;
        }
        self.journal.clone().or_else(beside).or_else(in_spool)
    }
}

/// `cdr.post`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostSettings {
    /// To where.
    pub url: PostUrl,
    /// What is sent beside the records; it may hold secrets.
    pub headers: Vec<(String, String)>,
    /// How long one POST may take, connecting included.
    pub timeout: Duration,
    /// So many records at most in one POST.
    pub batch: usize,
    /// The directory of what was not taken yet.
    pub spool: PathBuf,
    /// Bytes of it; beyond them the oldest records are dropped.
    pub spool_max: u64,
    /// How the server's certificate is verified, where the URL is one of https.
    pub tls: Option<ClientTls>,
}

impl fmt::Debug for PostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.url, self.spool.display())
    }
}

/// An `http` or `https` URL, in the parts that a request needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostUrl {
    /// By TLS.
    pub is_secure: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host, as it is written.
    pub authority: String,
    /// Path and query; the query may hold a secret.
    pub target: String,
}

impl fmt::Display for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}
