//! Whether the service's user could read a file: the daemon runs as `drawbridge`, and who writes secrets and
//! runs `drawbridge check` is root, who reads everything.
//!
//! Owner and mode are looked at, of the file and of every directory above it. An access list (acl(5)) that
//! lets the user in is not seen; systemd makes one for its credentials, so those are left out.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// `User=` of the unit.
const NAME: &str = "drawbridge";
/// What systemd gives to the service alone, while it runs.
const CREDENTIALS: &str = "/run/credentials";
const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// A user of this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ServiceUser {
    name: String,
    id: u32,
    /// Its own group, and those that it is a member of.
    groups: Vec<u32>,
    /// To tell people who a file is of.
    users: Vec<(u32, String)>,
    all_groups: Vec<(u32, String)>,
}

/// What the user may not do, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) cure: String,
}

impl ServiceUser {
    /// The service's user, if this process is root's and the user exists.
    pub(super) fn of_this_host() -> Option<ServiceUser> {
        // The owner of a process's own directory there is its effective user (proc(5)).
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let (users, groups) = (fs::read_to_string("/etc/passwd"), fs::read_to_string("/etc/group"));
        if is_root { ServiceUser::named(NAME, &users.ok()?, &groups.ok()?) } else { None }
    }

    /// A user by the texts of passwd(5) and group(5).
    fn named(name: &str, passwd: &str, group: &str) -> Option<ServiceUser> {
        let fields = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
        };
        let (passwd, group) = (fields(passwd), fields(group));
        let own = passwd.iter().find(|entry| entry.first().is_some_and(|first| first == name))?;
        let number = |entry: &[String], at: usize| entry.get(at).and_then(|text| text.parse::<u32>().ok());
        let named = |entries: &[Vec<String>]| {
            let named = entries.iter().filter_map(|entry| Some((number(entry, 2)?, entry.first()?.clone())));
            named.collect::<Vec<_>>()
        };
        let is_member = |entry: &&Vec<String>| {
            entry.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
        };
        let member_of = group.iter().filter(is_member).filter_map(|entry| number(entry, 2));
        Some(ServiceUser {
            name: name.to_owned(),
            id: number(own, 2)?,
            groups: number(own, 3).into_iter().chain(member_of).collect(),
            users: named(&passwd),
            all_groups: named(&group),
        })
    }

    /// Why the user cannot read a file; `None`: it can, or there is no such file.
    pub(super) fn why_unreadable(&self, path: &Path) -> Option<Unreadable> {
        if path.starts_with(CREDENTIALS) {
            return None;
        }
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|above| above.is_absolute()).collect();
        let steps = above.into_iter().rev().map(|above| (above, SEARCH)).chain([(path, READ)]);
        for (at, wanted) in steps {
            let metadata = fs::metadata(at).ok()?;
            if !self.may(&metadata, wanted) {
                return Some(self.tell(at, &metadata, wanted));
            }
        }
        None
    }

    fn may(&self, metadata: &Metadata, wanted: u32) -> bool {
        let shift = match () {
            () if self.id == 0 => return true,
            () if metadata.uid() == self.id => 6,
            () if self.groups.contains(&metadata.gid()) => 3,
            () => 0,
        };
        (metadata.mode() >> shift) & wanted != 0
    }

    fn tell(&self, at: &Path, metadata: &Metadata, wanted: u32) -> Unreadable {
        let of = |id: u32, names: &[(u32, String)]| {
            names
                .iter()
                .find(|(known, _)| *known == id)
                .map_or_else(|| id.to_string(), |(_, name)| name.clone())
        };
        let (owner, group) = (of(metadata.uid(), &self.users), of(metadata.gid(), &self.all_groups));
        let (at, name, mode) = (at.display(), &self.name, metadata.mode() & 0o7777);
        let cannot = if wanted == READ { "read" } else { "enter" };
        let bits = if wanted == READ { "r" } else { "x" };
        Unreadable {
            message: format!(
                "the service runs as user {name}, who cannot {cannot} {at} ({owner}:{group}, mode {mode:04o})"
            ),
            cure: format!("chgrp {name} {at} && chmod g+{bits} {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\ndrawbridge:x:4242:4243::/nonexistent:/bin/false\n";
    const GROUP: &str = "root:x:0:\nssl-cert:x:4244:other,drawbridge\ndrawbridge:x:4243:\n";

    fn user() -> ServiceUser {
        ServiceUser::named("drawbridge", PASSWD, GROUP).unwrap()
    }

    #[test]
    fn a_user_has_its_own_group_and_those_that_name_it() {
        let user = user();
        assert_eq!((user.id, user.groups.as_slice()), (4242, &[4243, 4244][..]));
        assert_eq!(ServiceUser::named("nobody", PASSWD, GROUP), None);
        assert_eq!(ServiceUser::named("broken", PASSWD, GROUP), None);
    }

    #[test]
    fn what_the_user_cannot_read_is_told_with_owner_mode_and_cure() {
        let directory = std::env::temp_dir().join(format!("drawbridge-service-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("secret");
        fs::write(&file, "hunter2").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&directory, 0o755);
        mode(&file, 0o640);
        let own = fs::metadata(&file).unwrap();
        let unreadable = user().why_unreadable(&file).unwrap();
        let shown = file.display();
        assert!(unreadable.message.contains(&format!("cannot read {shown} (")), "{}", unreadable.message);
        assert!(unreadable.message.ends_with(", mode 0640)"), "{}", unreadable.message);
        assert_eq!(unreadable.cure, format!("chgrp drawbridge {shown} && chmod g+r {shown}"));
        let member = ServiceUser { groups: vec![own.gid()], ..user() };
        assert_eq!(member.why_unreadable(&file), None);
        // The owner's own bits count, and no others.
        mode(&file, 0o044);
        assert!(
            ServiceUser { id: own.uid().max(1), ..user() }.why_unreadable(&file).is_some()
                == (own.uid() != 0)
        );
        assert_eq!(user().why_unreadable(&file), None);
        mode(&directory, 0o700);
        let unreadable = user().why_unreadable(&file).unwrap();
        assert!(unreadable.message.contains(&format!("cannot enter {} (", directory.display())));
        mode(&directory, 0o755);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(user().why_unreadable(&file), None);
        assert_eq!(user().why_unreadable(Path::new("/run/credentials/drawbridge.service/x")), None);
    }
}
