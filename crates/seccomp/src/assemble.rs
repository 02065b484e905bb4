//! From "this number, that action" to the instructions of the kernel's packet filter (classic BPF).
//!
//! The numbers are sorted into stretches with the same action, and the program finds its stretch by halving: some ten
//! comparisons for any call, and a program that a person can follow. What looks at arguments stands in the leaf.

/// One instruction: `struct sock_filter` of `linux/filter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions to leave out if its test holds.
    pub jump_true: u8,
    /// The same if it does not.
    pub jump_false: u8,
    /// What it does it with.
    pub value: u32,
}

// Class, size, mode and operation, as in `linux/bpf_common.h`.
pub(crate) const LOAD: u16 = 0x20;
pub(crate) const AND: u16 = 0x54;
pub(crate) const JUMP: u16 = 0x05;
pub(crate) const JUMP_EQUAL: u16 = 0x15;
pub(crate) const JUMP_GREATER_EQUAL: u16 = 0x35;
pub(crate) const JUMP_ANY_BIT: u16 = 0x45;
pub(crate) const RETURN: u16 = 0x06;

/// Where things are in `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Enough for any filter that is made here, in instructions.
const ROOM: usize = 512;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    /// It fails with this error.
    Errno(u16),
    /// It fails with `EPERM`, and init takes note.
    Told,
    /// The process is killed.
    Kill,
}

impl Verdict {
    /// `SECCOMP_RET_*` of `linux/seccomp.h`.
    pub fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Told => libc::SECCOMP_RET_USER_NOTIF,
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// What is asked of one argument (its low 32 bits unless said otherwise).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Its bits under the mask are one of these.
    OneOf { argument: u32, mask: u32, values: &'static [u32] },
    /// Its bits under the mask are none of these.
    NoneOf { argument: u32, mask: u32, values: &'static [u32] },
    /// If any of these flags is set in one argument, none of these bits is in the other.
    FlagsThenBits { flags: (u32, u32), bits: (u32, u32) },
    /// The first two arguments are these.
    Begins([u32; 2]),
    /// The first argument is one of these; or it is the special one, and the bits of the second under the mask are one of those.
    FirstThen { values: &'static [u32], special: u32, mask: u32, then: &'static [u32] },
    /// The first argument is none of these. If it is the ignored one, the call says that it worked and does nothing.
    NoneOfNor { values: &'static [u32], ignored: u32 },
}

/// What becomes of a call, perhaps after a look at its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Always(Verdict),
    /// Allowed if the test holds.
    If(Test, Verdict),
    /// Allowed if this argument (all 64 bits) is the secret of the launch.
    Secret {
        argument: u32,
    },
}

/// The program for one kind of processor. `actions`: sorted by number; what is not in it gets `otherwise`.
pub(crate) fn assemble(arch: u32, actions: &[(u32, Action)], otherwise: Verdict, secret: u64) -> Vec<Instruction> {
    let mut program = Vec::with_capacity(ROOM);
    program.extend([load(ARCH), jump(JUMP_EQUAL, arch, 1, 0), give(Verdict::Kill), load(NUMBER)]);
    search(&stretches(actions, otherwise), secret, &mut program);
    program
}

/// The first number of every stretch, and what becomes of it; the first stretch begins with 0.
fn stretches(actions: &[(u32, Action)], otherwise: Verdict) -> Vec<(u32, Action)> {
    let otherwise = Action::Always(otherwise);
    let mut stretches: Vec<(u32, Action)> = vec![(0, otherwise)];
    let mut next = 0;
    for (number, action) in actions {
        if *number > next {
            stretches.push((next, otherwise));
        }
        stretches.push((*number, *action));
        next = number + 1;
    }
    stretches.push((next, otherwise));
    // Of several that begin with the same number the last one counts: the others are empty.
    stretches.reverse();
    stretches.dedup_by_key(|(first, _)| *first);
    stretches.reverse();
    stretches.dedup_by(|later, earlier| later.1 == earlier.1 && matches!(later.1, Action::Always(_)));
    stretches
}

/// Finds the stretch of the number that is loaded, by halving.
fn search(stretches: &[(u32, Action)], secret: u64, program: &mut Vec<Instruction>) {
    if let [(_, action)] = stretches {
        return leaf(*action, secret, program);
    }
    let (low, high) = stretches.split_at(stretches.len() / 2);
    let at = program.len();
    program.push(jump(JUMP_GREATER_EQUAL, high.first().map_or(0, |(first, _)| *first), 0, 0));
    search(low, secret, program);
    let length = program.len() - at - 1;
    match u8::try_from(length) {
        Ok(over) => program[at].jump_true = over,
        // The conditional jump reaches 255 instructions; an unconditional one reaches all.
        Err(_) => {
            program[at].jump_false = 1;
            let value = u32::try_from(length).unwrap_or(u32::MAX);
            program.insert(at + 1, Instruction { code: JUMP, jump_true: 0, jump_false: 0, value });
        }
    }
    search(high, secret, program);
}

fn leaf(action: Action, secret: u64, program: &mut Vec<Instruction>) {
    let (test, refusal) = match action {
        Action::Always(verdict) => return program.push(give(verdict)),
        Action::Secret { argument } => return program.extend(exactly(argument, secret)),
        Action::If(test, refusal) => (test, refusal),
    };
    let (allow, refuse) = (give(Verdict::Allow), give(refusal));
    match test {
        Test::OneOf { argument, mask, values } => one_of(argument, mask, values, [refuse, allow], program),
        Test::NoneOf { argument, mask, values } => one_of(argument, mask, values, [allow, refuse], program),
        Test::FlagsThenBits { flags, bits } => program.extend([
            load(low(flags.0)),
            jump(JUMP_ANY_BIT, flags.1, 0, 2),
            load(low(bits.0)),
            jump(JUMP_ANY_BIT, bits.1, 1, 0),
            allow,
            refuse,
        ]),
        Test::FirstThen { values, special, mask, then } => {
            first_then(values, (special, mask, then), [refuse, allow], program);
        }
        Test::NoneOfNor { values, ignored } => {
            let nothing = give(Verdict::Errno(0));
            program.extend([load(low(0)), jump(JUMP_EQUAL, ignored, 0, 1), nothing]);
            one_of(0, u32::MAX, values, [allow, refuse], program);
        }
        Test::Begins([first, second]) => program.extend([
            load(low(0)),
            jump(JUMP_EQUAL, first, 0, 3),
            load(low(1)),
            jump(JUMP_EQUAL, second, 0, 1),
            allow,
            refuse,
        ]),
    }
}

/// The second part stands behind the first, which jumps there.
fn first_then(
    values: &[u32],
    (special, mask, then): (u32, u32, &[u32]),
    ends: [Instruction; 2],
    program: &mut Vec<Instruction>,
) {
    let first = values.len() + 2;
    program.extend([load(low(0)), jump(JUMP_EQUAL, special, first as u8, 0)]);
    let compare = |(i, value): (usize, &u32)| jump(JUMP_EQUAL, *value, (values.len() - i) as u8, 0);
    program.extend(values.iter().enumerate().map(compare));
    program.extend(ends);
    one_of(1, mask, then, ends, program);
}

fn exactly(argument: u32, value: u64) -> [Instruction; 6] {
    [
        load(low(argument)),
        jump(JUMP_EQUAL, value as u32, 0, 3),
        load(low(argument) + 4),
        jump(JUMP_EQUAL, (value >> 32) as u32, 0, 1),
        give(Verdict::Allow),
        give(Verdict::Told),
    ]
}

/// `ends`: what to do if the argument is none of the values, and if it is one.
fn one_of(argument: u32, mask: u32, values: &[u32], ends: [Instruction; 2], program: &mut Vec<Instruction>) {
    let last = values.len();
    let compare = |(i, value): (usize, &u32)| jump(JUMP_EQUAL, *value, (last - i) as u8, 0);
    program.extend([load(low(argument)), and(mask)]);
    program.extend(values.iter().enumerate().map(compare));
    program.extend(ends);
}

/// Where the low half of an argument is; both processors are little-endian.
fn low(argument: u32) -> u32 {
    ARGUMENTS + 8 * argument
}

fn load(from: u32) -> Instruction {
    Instruction { code: LOAD, jump_true: 0, jump_false: 0, value: from }
}

fn and(mask: u32) -> Instruction {
    Instruction { code: AND, jump_true: 0, jump_false: 0, value: mask }
}

fn jump(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, value }
}

fn give(verdict: Verdict) -> Instruction {
    Instruction { code: RETURN, jump_true: 0, jump_false: 0, value: verdict.value() }
}
