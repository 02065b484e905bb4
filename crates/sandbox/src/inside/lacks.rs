//! Layers that this launcher pretends not to have, so that what a policy does on lesser hosts can be tried on any.

use std::ffi::OsString;
use std::io;

/// What is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    pub namespaces: bool,
    pub landlock: bool,
    pub seccomp: bool,
}

impl Lacks {
    /// What follows `--without` in a command line; nothing is missing where that word is not.
    pub fn from_words(words: impl Iterator<Item = OsString>) -> io::Result<Self> {
        let mut lacks = Self::default();
        let layers = words.skip_while(|word| word != "--without").nth(1).unwrap_or_default();
        for layer in layers.to_string_lossy().split(',').filter(|layer| !layer.is_empty()) {
            match layer {
                "namespaces" => lacks.namespaces = true,
                "landlock" => lacks.landlock = true,
                "seccomp" => lacks.seccomp = true,
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("--without {layer}: no such layer"),
                    ));
                }
            }
        }
        Ok(lacks)
    }
}

/// What a kernel says that lacks a layer.
pub(super) fn refusal() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(words: &[&str]) -> io::Result<Lacks> {
        Lacks::from_words(words.iter().map(OsString::from))
    }

    #[test]
    fn words_name_layers() {
        assert_eq!(lacks(&["muster", "__sandbox"]).unwrap(), Lacks::default());
        let both = lacks(&["muster", "__sandbox", "--without", "landlock,seccomp"]).unwrap();
        assert_eq!(both, Lacks { landlock: true, seccomp: true, namespaces: false });
        assert!(lacks(&["muster", "--without", "gravity"]).unwrap_err().to_string().contains("gravity"));
    }
}
