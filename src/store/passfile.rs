//! The password file of libpq (`PGPASSFILE`, `~/.pgpass`), for what sqlx does not read in it: a password's own `\:` and
//! `\\`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use sqlx::postgres::PgConnectOptions;

/// The password for these options, in the first file that has one.
pub(super) fn password(options: &PgConnectOptions) -> Option<String> {
    let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    let usual = std::env::home_dir().map(|home| home.join(".pgpass"));
    let port = options.get_port().to_string();
    let wanted =
        [options.get_host(), &port, options.get_database().unwrap_or_default(), options.get_username()];
    [named, usual].into_iter().flatten().find_map(|file| password_in(&private_text(&file)?, wanted))
}

/// libpq takes no password from a file that others may read, and sqlx, which says so, neither.
fn private_text(file: &PathBuf) -> Option<String> {
    const OTHERS: u32 = 0o77;
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & OTHERS == 0).then(|| fs::read_to_string(file).ok())?
}

/// `host:port:database:user:password` in each line, `*` for any.
fn password_in(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).find_map(|line| {
        let mut fields = fields(line).into_iter();
        let is_for_us =
            wanted.iter().all(|wanted| fields.next().is_some_and(|field| field == "*" || field == *wanted));
        if is_for_us { fields.next() } else { None }
    })
}

/// The fields of a line; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(characters.next())),
            _ => fields.last_mut().into_iter().for_each(|field| field.push(character)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_characters_are_taken_as_they_are() {
        let text = "# db:1:app:me:comment\nother:*:*:*:no\ndb:1:app:me:a\\:b\\\\c\ndb:*:*:*:later\n";
        assert_eq!(password_in(text, ["db", "1", "app", "me"]).as_deref(), Some("a:b\\c"));
        assert_eq!(password_in(text, ["db", "2", "app", "me"]).as_deref(), Some("later"));
        assert_eq!(password_in(text, ["nowhere", "1", "app", "me"]), None);
        assert_eq!(password_in("d\\:b:1:app:me:x", ["d:b", "1", "app", "me"]).as_deref(), Some("x"));
        assert_eq!(password_in("db:1:app", ["db", "1", "app", "me"]), None);
    }
}
