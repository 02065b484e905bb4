//! The names and numbers of system calls, for the processors that a filter can be made for.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A kind of processor, as far as system calls differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
}

type Numbers = BTreeMap<&'static str, u32>;

static X86_64: LazyLock<Numbers> = LazyLock::new(|| Arch::X86_64.named());
static AARCH64: LazyLock<Numbers> = LazyLock::new(|| Arch::Aarch64.named());

/// Numbers above are no calls yet; the kernel has given out less than 500.
const NUMBERS_MAX: u32 = 1024;

impl Arch {
    /// This program's own; none on a processor that no filter can be made for.
    pub const HOST: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };

    /// What the kernel calls it (`AUDIT_ARCH_*` of `linux/audit.h`: the ELF machine, 64 bits, little-endian).
    pub fn audit(self) -> u32 {
        const LITTLE_ENDIAN_64: u32 = 0xC000_0000;
        match self {
            Self::X86_64 => LITTLE_ENDIAN_64 | 62,
            Self::Aarch64 => LITTLE_ENDIAN_64 | 183,
        }
    }

    /// The number of a call; none if this processor has no such call.
    #[cfg(test)]
    pub fn number(self, name: &str) -> Option<u32> {
        self.numbers().get(name).copied()
    }

    /// The name of the call with this number.
    pub fn name(self, number: u32) -> Option<&'static str> {
        let number = number as usize;
        match self {
            Self::X86_64 => syscalls::x86_64::Sysno::new(number).map(|call| call.name()),
            Self::Aarch64 => syscalls::aarch64::Sysno::new(number).map(|call| call.name()),
        }
    }

    /// All calls of this processor.
    pub fn all(self) -> impl Iterator<Item = (&'static str, u32)> {
        self.numbers().iter().map(|(name, number)| (*name, *number))
    }

    /// Asked number by number, because the table's own iterator leaves the last one out.
    fn named(self) -> Numbers {
        (0..NUMBERS_MAX).filter_map(|number| Some((self.name(number)?, number))).collect()
    }

    fn numbers(self) -> &'static Numbers {
        match self {
            Self::X86_64 => &X86_64,
            Self::Aarch64 => &AARCH64,
        }
    }
}

/// A call that any of the processors has, by its name. So one policy serves all of them: `open` is only on one.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    let found = X86_64.get_key_value(name).or_else(|| AARCH64.get_key_value(name));
    found.map(|(name, _)| *name)
}

/// The known call whose name is the most like this one.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    most_like(name, X86_64.keys().chain(AARCH64.keys()).copied())
}

/// The candidate with the fewest letters to change, if those are few.
pub(crate) fn most_like(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let (distance, nearest) = candidates.map(|known| (distance(name, known), known)).min()?;
    (distance <= 1 + name.len() / 4).then_some(nearest)
}

/// Letters to insert, remove or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree_with_the_kernels_headers() {
        let host = Arch::HOST.unwrap();
        for (name, number) in [("openat", libc::SYS_openat), ("clone3", libc::SYS_clone3), ("mseal", 462)] {
            assert_eq!(host.number(name), Some(number as u32));
            assert_eq!(host.name(number as u32), Some(name));
        }
        assert_eq!((Arch::X86_64.number("open"), Arch::Aarch64.number("open")), (Some(2), None));
        assert_eq!(Arch::Aarch64.number("openat"), Some(56));
    }

    #[test]
    fn a_misspelt_call_has_a_nearest_one() {
        assert_eq!(nearest("open_at"), Some("openat"));
        assert_eq!(nearest("epol_wait"), Some("epoll_wait"));
        assert_eq!(nearest("makecoffee"), None);
        assert_eq!((known("open"), known("opn")), (Some("open"), None));
    }
}
