//! A configuration on disk, and the program run on it.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Where the untrusted realm's listeners are.
pub const HERE: &str = "127.44.1.1";

const COMMON: &str = r#"
[[listener]]
realm = "trusted"
bind = "127.44.1.2:5060"
[[listener]]
realm = "untrusted"
bind = "127.44.1.1:5060"
[[listener]]
realm = "untrusted"
transport = "tcp"
bind = "127.44.1.1:5060"
[realm.trusted]
media_bind = "127.44.1.2"
[realm.untrusted]
media_bind = "127.44.1.1"
"#;

/// Gone with the test.
pub struct Site {
    pub directory: PathBuf,
}

/// What the program did.
pub struct Run {
    pub code: i32,
    pub page: String,
    pub error: String,
}

impl Site {
    /// The common part, and this.
    pub fn new(name: &str, more: &str) -> Site {
        let directory =
            std::env::temp_dir().join(format!("drawbridge-trunk-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let site = Site { directory };
        site.write("drawbridge.toml", &format!("{COMMON}{more}"));
        site
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `drawbridge trunk test ARGUMENTS`.
    pub fn test(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.args(["trunk", "test"]).args(arguments);
        command.arg("--config").arg(self.directory.join("drawbridge.toml"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: status.code().unwrap(), page: text(stdout), error: text(stderr) }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Run {
    /// The page with what differs from run to run replaced: ports by these names, then times, ports
    /// of ours, and the directory.
    pub fn normalised(&self, site: &Site, ports: &[(u16, &str)]) -> String {
        let mut page = self.page.replace(&site.directory.display().to_string(), "/etc/drawbridge");
        for (port, name) in ports {
            page = page.replace(&port.to_string(), name);
        }
        let replace = |page: &str, pattern: &str, with: &str| {
            regex::Regex::new(pattern).unwrap().replace_all(page, with).into_owned()
        };
        let page = replace(&page, r"[ 0-9.]{5} ms  ", "    TIME  ");
        let page = replace(&page, r"[0-9.]+ ms\n", "TIME\n");
        replace(&page, r"(127\.44\.1\.1):[0-9]{5}\b", "$1:EPHEMERAL")
    }

    /// Whether these words are on the page, wherever its lines break.
    pub fn says(&self, words: &str) -> bool {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        plain(&self.page).contains(&plain(words))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.page)
            .unwrap_or_else(|error| panic!("{error}\n{}{}", self.page, self.error))
    }
}
