//! What bounds a sandboxed process: sizes and times with their units.

use crate::{
    source::{
        checker::Checker,
        shape::{At, DurationText, SizeText, Whole},
    },
    value::bytes,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What bounds one sandboxed process and everything that it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessLimits {
    /// Memory of each process, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory of all of them together, in bytes.
    pub tree_memory_bytes: Option<u64>,
    /// Processes and threads at the same time; two of them are the sandbox's own.
    pub processes: Option<u32>,
    /// Open files of one process.
    pub open_files: Option<u32>,
    /// Largest file, in bytes.
    pub file_bytes: Option<u64>,
    /// What may be written to folders of this machine in all, in bytes.
    pub disk_bytes: Option<u64>,
    /// Room for temporary files, in bytes.
    pub tmp_bytes: Option<u64>,
    /// Processor time of each process, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Share of processor time of all of them together, in percent of one processor.
    pub cpu_percent: Option<u32>,
    /// Time until all of it is ended, in milliseconds.
    pub wall_ms: Option<u64>,
}

/// What bounds one sandboxed process and everything that it starts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsSpec {
    /// Memory of each process.
    pub(crate) memory: Option<At<SizeText>>,
    /// Memory of all of them together.
    pub(crate) tree_memory: Option<At<SizeText>>,
    /// Processes and threads at the same time; two of them are the sandbox's own.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000))]
    pub(crate) processes: Option<At<Whole>>,
    /// Open files of one process.
    #[schemars(extend("minimum" = 16, "maximum" = 1_000_000))]
    pub(crate) open_files: Option<At<Whole>>,
    /// Largest file.
    pub(crate) file: Option<At<SizeText>>,
    /// What may be written to folders of this machine in all.
    pub(crate) disk: Option<At<SizeText>>,
    /// Room for temporary files.
    pub(crate) tmp: Option<At<SizeText>>,
    /// Processor time of each process.
    pub(crate) cpu_time: Option<At<DurationText>>,
    /// Share of processor time of all of them together, in percent of one processor.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000))]
    pub(crate) cpu_percent: Option<At<Whole>>,
    /// Time until all of it is ended.
    pub(crate) wall: Option<At<DurationText>>,
    /// Memory of each process, in MiB; `memory` says the same with a unit.
    #[schemars(extend("minimum" = 16, "maximum" = 16_777_216))]
    pub(crate) memory_mib: Option<At<Whole>>,
    /// Memory of all of them together, in MiB; `tree_memory` says the same with a unit.
    #[schemars(extend("minimum" = 16, "maximum" = 16_777_216))]
    pub(crate) tree_memory_mib: Option<At<Whole>>,
    /// What may be written to folders of this machine in all, in MiB; `disk` says the same with a unit.
    #[schemars(extend("minimum" = 1, "maximum" = 16_777_216))]
    pub(crate) disk_mib: Option<At<Whole>>,
    /// Largest file, in MiB; `file` says the same with a unit.
    #[schemars(extend("minimum" = 1, "maximum" = 16_777_216))]
    pub(crate) file_mib: Option<At<Whole>>,
    /// Room for temporary files, in MiB; `tmp` says the same with a unit.
    #[schemars(extend("minimum" = 1, "maximum" = 16_777_216))]
    pub(crate) tmp_mib: Option<At<Whole>>,
}

/// Least memory of a process: with less no program starts.
const MEMORY_MIN: u64 = 16 << 20;

impl LimitsSpec {
    pub(super) fn judge(self, checker: &mut Checker) -> ProcessLimits {
        let tree_place = self.tree_memory.as_ref().map(|size| size.place);
        let tree_place = tree_place.or(self.tree_memory_mib.as_ref().map(|mib| mib.place));
        let disk_place = self.disk.as_ref().map(|size| size.place).or(self.disk_mib.as_ref().map(|mib| mib.place));
        let limits = ProcessLimits {
            memory_bytes: size_or_mib(checker, "memory", self.memory, self.memory_mib, MEMORY_MIN),
            tree_memory_bytes: size_or_mib(checker, "tree_memory", self.tree_memory, self.tree_memory_mib, MEMORY_MIN),
            processes: checker.number("the limit `processes`", self.processes, 1..=100_000),
            open_files: checker.number("the limit `open_files`", self.open_files, 16..=1_000_000),
            file_bytes: size_or_mib(checker, "file", self.file, self.file_mib, 1),
            disk_bytes: size_or_mib(checker, "disk", self.disk, self.disk_mib, 1),
            tmp_bytes: size_or_mib(checker, "tmp", self.tmp, self.tmp_mib, 1 << 12),
            cpu_ms: self.cpu_time.map(|text| checker.duration(text)),
            cpu_percent: checker.number("the limit `cpu_percent`", self.cpu_percent, 1..=100_000),
            wall_ms: self.wall.map(|text| checker.duration(text)),
        };
        if let (Some(one), Some(all), Some(place)) = (limits.memory_bytes, limits.tree_memory_bytes, tree_place)
            && one > all
        {
            let fix = "raise `tree_memory`, or lower `memory`";
            checker.wrong(place, "one process may use more memory than all of them together", fix);
        }
        if let (Some(one), Some(all), Some(place)) = (limits.file_bytes, limits.disk_bytes, disk_place)
            && one > all
        {
            checker.wrong(place, "one file may be larger than all of them together", "raise `disk`, or lower `file`");
        }
        limits
    }
}

fn size(checker: &mut Checker, name: &str, text: Option<At<SizeText>>, least: u64) -> Option<u64> {
    let At { value: SizeText(text), place } = text?;
    let bytes = checker.take(place, bytes(&text), u64::MAX);
    if bytes < least {
        checker.wrong(
            place,
            format!("`{name}` is too small for any program"),
            format!("write at least {}", amount(least)),
        );
    }
    Some(bytes)
}

/// With a unit, or in MiB as older files say it.
fn size_or_mib(
    checker: &mut Checker,
    name: &str,
    text: Option<At<SizeText>>,
    mib: Option<At<Whole>>,
    least: u64,
) -> Option<u64> {
    if let (Some(_), Some(mib)) = (&text, &mib) {
        checker.wrong(mib.place, format!("`{name}` and `{name}_mib` say the same"), format!("keep `{name}`"));
    }
    let least_mib = if least >= MEMORY_MIN { 16 } else { 1 };
    let mib =
        checker.number(&format!("the limit `{name}_mib`"), mib, least_mib..=16_777_216).map(|mib| u64::from(mib) << 20);
    size(checker, name, text, least).or(mib)
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("`{bytes}B`"),
        0x400..0x10_0000 => format!("`{}KiB`", bytes >> 10),
        _ => format!("`{}MiB`", bytes >> 20),
    }
}
