//! `${NAME}` and `${file:PATH}` in strings.

use std::path::Path;

use super::service_user::{ServiceUser, Unreadable};
use super::source::read_regular;

/// No secret is larger.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// What is wrong, and what to do.
pub(super) type Fault = (String, &'static str);

/// Where expansions come from: the environment and the file system, or a test's stand-in.
pub(super) struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    file: &'a dyn Fn(&Path) -> Result<String, String>,
    /// Who shall be able to read the files, too.
    service: Option<ServiceUser>,
}

impl<'a> Surroundings<'a> {
    #[cfg(test)]
    pub(super) fn new(
        variable: &'a dyn Fn(&str) -> Option<String>,
        file: &'a dyn Fn(&Path) -> Result<String, String>,
    ) -> Surroundings<'a> {
        Surroundings { variable, file, service: None }
    }

    /// The real ones.
    pub(super) fn of_this_process() -> Surroundings<'static> {
        Surroundings {
            variable: &|name| std::env::var(name).ok(),
            file: &|path| read_regular(path, MAX_FILE_BYTES),
            service: None,
        }
    }

    /// The real ones, with the service's user in mind.
    pub(super) fn of_the_service() -> Surroundings<'static> {
        Surroundings { service: ServiceUser::of_this_host(), ..Surroundings::of_this_process() }
    }

    /// Why the service's user could not read a file.
    pub(super) fn unreadable(&self, path: &Path) -> Option<Unreadable> {
        self.service.as_ref()?.why_unreadable(path)
    }

    /// The first file that a text names and that the service's user could not read.
    pub(super) fn unreadable_in(&self, text: &str) -> Option<Unreadable> {
        self.service.as_ref()?;
        let names = text.split("${file:").skip(1).filter_map(|rest| rest.split_once('}'));
        names.map(|(path, _)| Path::new(path)).find_map(|path| self.unreadable(path))
    }

    /// What a file says.
    pub(super) fn read(&self, path: &Path) -> Result<String, String> {
        (self.file)(path)
    }

    /// The text with every expansion carried out; `None` where there was none. The error, and its cure,
    /// name the variable or the file, never a value.
    pub(super) fn expand(&self, text: &str) -> Result<Option<String>, Fault> {
        if !text.contains("${") {
            return Ok(None);
        }
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, following) = after
                .split_once('}')
                .ok_or(("${ without its }".to_owned(), "write ${NAME} or ${file:PATH}"))?;
            expanded.push_str(before);
            expanded.push_str(&self.value(name)?);
            rest = following;
        }
        expanded.push_str(rest);
        Ok(Some(expanded))
    }

    fn value(&self, name: &str) -> Result<String, Fault> {
        if let Some(path) = name.strip_prefix("file:") {
            let content = (self.file)(Path::new(path)).map_err(|reason| {
                let cure = "name a file that the daemon's user may read, by its whole path";
                match path.starts_with('/') {
                    true => (format!("file {path}: {reason}"), cure),
                    // Perhaps no path, but a secret of this form.
                    false => (format!("the file of ${{file:…}}: {reason}"), cure),
                }
            })?;
            // Editors and `echo` end files with a newline that is no part of the secret.
            let trimmed = content.strip_suffix('\n').unwrap_or(&content);
            return Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned());
        }
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            // Perhaps a secret that holds these characters: not shown.
            let cure = "write a name of letters, digits and _, or file: and a path";
            return Err(("${…} is neither ${NAME} nor ${file:PATH}".to_owned(), cure));
        }
        (self.variable)(name).ok_or_else(|| {
            let cure = "write ${file:PATH}, which is read at each reload; or set it in /etc/drawbridge/secrets.env and \
                        restart the daemon (a command in a shell wants it there, too)";
            (format!("environment variable {name} is not set"), cure)
        })
    }
}
