//! Seccomp: the system calls that computing and talking over open descriptors need. Every other one fails
//! as if it were not permitted.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Those that there is another way for: whoever tries one is told that this kernel has none.
const MISSING: [i64; 2] = [libc::SYS_clone3, libc::SYS_memfd_create];

/// Whatever their arguments are. (Those that are [`MISSING`] stand here for the other filter to answer.)
const ALLOWED: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_membarrier,
    // Threads, signals and time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone3,
    libc::SYS_memfd_create,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // What is open.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_write,
    libc::SYS_writev,
];

#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_getrlimit];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// What a cell may do with files besides those that are open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    None,
    /// Read where Landlock lets it.
    Granted,
    /// Read: there is no Landlock.
    Any,
}

/// What reading in a folder takes; which folders they may be Landlock says. A file is looked at by its name
/// anywhere.
const READING: &[i64] = &[
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    libc::SYS_statx,
];

/// Fails where the system has no such filters, or does not let this process have one.
pub(super) fn leave_few(files: Files) -> io::Result<()> {
    let program =
        |filter: Result<SeccompFilter, BackendError>| -> Result<BpfProgram, BackendError> {
            BpfProgram::try_from(filter?)
        };
    let mut missing: Rules = MISSING.map(|call| (call, Vec::new())).into();
    if files == Files::Any {
        // What it is told lies where a filter cannot look.
        missing.insert(libc::SYS_openat2, Vec::new());
    }
    let missing = program(filter(
        missing,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
    ));
    let few = program(allowed(files).and_then(|rules| {
        let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        filter(rules, denied, SeccompAction::Allow)
    }));
    for program in [missing, few] {
        let program = program.map_err(io::Error::other)?;
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn filter(
    rules: Rules,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<SeccompFilter, BackendError> {
    SeccompFilter::new(rules, others, these, std::env::consts::ARCH.try_into()?)
}

fn allowed(files: Files) -> Result<Rules, BackendError> {
    let reading = if files == Files::None { &[] } else { READING };
    let any = ALLOWED.iter().chain(OLDER).chain(reading).map(|call| (*call, Vec::new()));
    let mut rules: Rules = any.collect();
    let own = u64::from(std::process::id());
    let [thread, private, stream, unix, name, last] = [
        libc::CLONE_THREAD,
        libc::MAP_PRIVATE,
        libc::SOCK_STREAM,
        libc::AF_UNIX,
        libc::PR_SET_NAME,
        libc::SCHED_IDLE,
    ]
    .map(|constant| u64::from(constant.cast_unsigned()));
    let is = SeccompCmpOp::Eq;
    for (call, conditions) in [
        // A thread puts itself behind others.
        (libc::SYS_setpriority, vec![(0, is.clone(), 0), (1, is.clone(), 0)]),
        (libc::SYS_sched_setscheduler, vec![(0, is.clone(), 0), (1, is.clone(), last)]),
        // Another thread, and no other process.
        (libc::SYS_clone, vec![(0, SeccompCmpOp::MaskedEq(thread), thread)]),
        // Shared memory is not counted, and a file that is mapped so is written to.
        (libc::SYS_mmap, vec![(3, SeccompCmpOp::MaskedEq(0x0f), private)]),
        // Rust ends a process that is beyond help by a signal to itself.
        (libc::SYS_tgkill, vec![(0, is.clone(), own)]),
        (libc::SYS_prctl, vec![(0, is.clone(), name)]),
        // Limits are read, and not set.
        (libc::SYS_prlimit64, vec![(0, is.clone(), 0), (2, is.clone(), 0)]),
        // Two ends, both its own; one of datagrams could be sent anywhere.
        (
            libc::SYS_socketpair,
            vec![(0, is.clone(), unix), (1, SeccompCmpOp::MaskedEq(0xf), stream)],
        ),
        // To whom it is connected.
        (libc::SYS_sendto, vec![(4, is.clone(), 0)]),
        // Not blocking, and how much there is to read.
        (libc::SYS_ioctl, vec![(1, is.clone(), FIONBIO)]),
        (libc::SYS_ioctl, vec![(1, is.clone(), FIONREAD)]),
    ] {
        rules.entry(call).or_default().push(when(&conditions)?);
    }
    match files {
        Files::None => {}
        Files::Granted => {
            rules.extend([libc::SYS_openat, libc::SYS_openat2].map(|call| (call, Vec::new())));
        }
        Files::Any => {
            let writes = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
            let reads = SeccompCmpOp::MaskedEq(u64::from(writes.cast_unsigned()));
            rules.insert(libc::SYS_openat, vec![when(&[(2, reads, 0)])?]);
            // It is answered by the other filter.
            rules.insert(libc::SYS_openat2, Vec::new());
        }
    }
    // Not to whom a signal is sent when there is something to read.
    for command in [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL] {
        let command = command.cast_unsigned().into();
        rules.entry(libc::SYS_fcntl).or_default().push(when(&[(1, is.clone(), command)])?);
    }
    let (command, signals) = (libc::F_SETFL.cast_unsigned().into(), libc::O_ASYNC.cast_unsigned());
    let quiet = [(1, is, command), (2, SeccompCmpOp::MaskedEq(signals.into()), 0)];
    rules.entry(libc::SYS_fcntl).or_default().push(when(&quiet)?);
    Ok(rules)
}

/// The same in every libc, which give them different types.
const FIONBIO: u64 = 0x5421;
const FIONREAD: u64 = 0x541b;

fn when(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let condition = |(argument, operator, value): &(u8, SeccompCmpOp, u64)| {
        // Addresses have all eight bytes.
        let is_address = *value == 0 && matches!(operator, SeccompCmpOp::Eq) && *argument > 0;
        let length = if is_address { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
        SeccompCondition::new(*argument, length, operator.clone(), *value)
    };
    SeccompRule::new(conditions.iter().map(condition).collect::<Result<_, _>>()?)
}
