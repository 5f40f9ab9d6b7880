//! Who is typing: the name that decisions and runs carry in the journal.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The user this process runs as, by the system's own record. A variable could say anything.
pub(super) fn actor() -> String {
    let Ok(process) = fs::metadata("/proc/self") else {
        return "a user of this machine".to_owned();
    };
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&users, process.uid()).unwrap_or_else(|| format!("user {}", process.uid()))
}

fn name_of(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found = fields.nth(1)?.parse::<u32>().ok()? == uid;
        found.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_the_number_and_not_by_the_place_in_the_list() {
        let users = "root:x:0:0:root:/root:/bin/bash\nmaria:x:1000:1000::/home/maria:/bin/sh\n";
        assert_eq!(name_of(users, 1000).as_deref(), Some("maria"));
        assert_eq!(name_of(users, 7), None);
    }
}
