//! `drawbridge profiles`: which providers are known, and what of them.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::FAILED;
use crate::config::{self, Profile};

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge profiles                     Which are there?
  drawbridge profiles sinch               What does it fill in, and where is that from?
  drawbridge profiles sinch > /etc/drawbridge/profiles.d/sinch.toml
                                          A copy to change: it comes before the one that is built in

Exit status: 0, 1 if there is no such profile, 2 wrong usage.";

pub(super) fn run(path: &Path, name: Option<&str>) -> ExitCode {
    let profiles = config::profiles(path);
    let text = match name {
        None => Ok(table(&profiles)),
        Some(name) => match profiles.iter().find(|profile| profile.name == name) {
            Some(profile) => Ok(profile.text.clone()),
            None => Err(format!("drawbridge: there is no profile \"{name}\"\n{}", table(&profiles))),
        },
    };
    let (text, status) = match text {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => {
            // A standard error that is closed does not change the outcome.
            let _ = write!(io::stderr(), "{text}");
            return ExitCode::from(FAILED);
        }
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => status,
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(_) => ExitCode::from(FAILED),
    }
}

fn table(profiles: &[Profile]) -> String {
    let width = profiles.iter().map(|profile| profile.name.len()).max().unwrap_or(0);
    let row = |profile: &Profile| {
        let own = profile.own.as_ref().map(|file| format!("  ({file})")).unwrap_or_default();
        format!("{:width$}  {}{own}\n", profile.name, profile.title)
    };
    profiles.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_are_listed_with_their_titles_and_the_files_of_own_ones() {
        let profile = |name: &str, own: Option<&str>| Profile {
            name: name.to_owned(),
            title: format!("Title of {name}"),
            text: String::new(),
            own: own.map(str::to_owned),
        };
        let listed =
            table(&[profile("a", None), profile("bcd", Some("/etc/drawbridge/profiles.d/bcd.toml"))]);
        assert_eq!(listed, "a    Title of a\nbcd  Title of bcd  (/etc/drawbridge/profiles.d/bcd.toml)\n");
    }
}
