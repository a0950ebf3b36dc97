//! A folder of files that a signed index names by their digest.
//!
//! Who has read an index needs time to fetch what it names. So files of the index before stay for an hour after they
//! were replaced, counted from the moment when an index stopped to name them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Who has read an index has this long to fetch what it names.
const OLD_FILES_KEPT: Duration = Duration::from_hours(1);

/// Removes files that are neither named now, nor were a while ago. `before` is the text of the index that is being
/// replaced. `is_ours` says which files of the folder are named by digest.
pub(crate) fn forget_old(
    folder: &Path,
    named: &BTreeSet<String>,
    before: &str,
    is_ours: impl Fn(&str) -> bool,
) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the age of a file is counted by the clock that dates files")]
    let now = std::time::SystemTime::now();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if named.contains(&name) || !is_ours(&name) {
            continue;
        }
        let digest = name.split('-').next().unwrap_or(&name);
        if before.contains(digest) {
            File::options().write(true).open(file.path())?.set_modified(now)?;
        } else if now.duration_since(file.metadata()?.modified()?).unwrap_or_default() > OLD_FILES_KEPT {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// The text of a file, nothing when it is not there.
pub(crate) fn text_before(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Scratch;

    #[test]
    fn a_file_stays_for_an_hour_after_it_was_last_named() {
        let folder = Scratch::new("shelf");
        #[expect(clippy::disallowed_methods, reason = "the age of a file is counted by the clock that dates files")]
        let long_ago = std::time::SystemTime::now() - Duration::from_hours(3);
        for name in ["aa", "bb", "cc", "index"] {
            let file = File::create(folder.path().join(name)).expect("the folder is writable");
            file.set_modified(long_ago).expect("it can be dated");
        }
        // `bb` was named until now, `aa` was not, although both are old.
        forget_old(folder.path(), &["cc".to_owned()].into(), "bb 12", |name| name != "index")
            .expect("it can be tidied");
        let left = |name: &str| folder.path().join(name).exists();
        assert_eq!([left("aa"), left("bb"), left("cc"), left("index")], [false, true, true, true]);
        forget_old(folder.path(), &["cc".to_owned()].into(), "cc 12", |name| name != "index")
            .expect("it can be tidied");
        assert!(left("bb"), "it was replaced a moment ago");
    }
}
