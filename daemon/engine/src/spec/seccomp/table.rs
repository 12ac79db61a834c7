//! Docker's default system call policy (that of engine 29.7: `AF_ALG` and `AF_VSOCK` sockets and
//! the `socketcall` multiplexer denied, CVE-2026-31431), as rules of our own form.

/// What must hold for a rule to be part of a container's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Nothing.
    Always,
    /// The container has this capability.
    Has(&'static str),
    /// The container lacks this capability.
    Lacks(&'static str),
    /// The machine is one of these.
    On(&'static [&'static str]),
}

/// How a call's argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// Any.
    Any,
    /// The first argument is less than this.
    Less(u64),
    /// The first argument is this.
    Equal(u64),
    /// The first argument is greater than this.
    Greater(u64),
    /// None of these bits is set in the flags of `clone`, the one call that this is asked about.
    WithoutFlags(u64),
}

/// The answer to a call that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Let it through.
    Allow,
    /// Refuse it with this errno.
    Errno(u32),
}

/// One rule: calls by name, separated by white space.
pub(super) struct Rule {
    pub(super) names: &'static str,
    pub(super) when: When,
    pub(super) is: Is,
    pub(super) answer: Answer,
}

const fn allow(names: &'static str, when: When, is: Is) -> Rule {
    Rule { names, when, is, answer: Answer::Allow }
}

/// `CLONE_NEW*`: mount, cgroup, UTS, IPC, user, PID and network namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
const ENOSYS: u32 = 38;
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

use Is::{Any, Equal, Greater, Less, WithoutFlags};
use When::{Always, Has, Lacks, On};

/// Everything that is not the default answer, EPERM.
pub(super) const RULES: &[Rule] = &[
    allow(HARMLESS, Always, Any),
    // Kernels before 4.8 let ptrace escape the filter; none of them is supported here.
    allow("process_vm_readv process_vm_writev ptrace", Always, Any),
    allow("socket", Always, Less(AF_ALG)),
    allow("socket", Always, Equal(AF_ALG + 1)),
    allow("socket", Always, Greater(AF_VSOCK)),
    // PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
    allow("personality", Always, Equal(0)),
    allow("personality", Always, Equal(0x8)),
    allow("personality", Always, Equal(0x2_0000)),
    allow("personality", Always, Equal(0x2_0008)),
    allow("personality", Always, Equal(0xffff_ffff)),
    allow(
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
        On(&["arm64"]),
        Any,
    ),
    allow("sync_file_range2 swapcontext", On(&["ppc64le"]), Any),
    allow("arch_prctl modify_ldt", On(&["amd64"]), Any),
    allow("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", On(&["s390x"]), Any),
    allow("riscv_flush_icache", On(&["riscv64"]), Any),
    allow("open_by_handle_at", Has("CAP_DAC_READ_SEARCH"), Any),
    allow(ADMINISTRATION, Has("CAP_SYS_ADMIN"), Any),
    allow("clone", Lacks("CAP_SYS_ADMIN"), WithoutFlags(NAMESPACE_FLAGS)),
    // clone3's flags lie in memory, where no filter sees them: libraries must fall back to clone.
    Rule { names: "clone3", when: Lacks("CAP_SYS_ADMIN"), is: Any, answer: Answer::Errno(ENOSYS) },
    allow("reboot", Has("CAP_SYS_BOOT"), Any),
    allow("chroot", Has("CAP_SYS_CHROOT"), Any),
    allow("delete_module init_module finit_module", Has("CAP_SYS_MODULE"), Any),
    allow("acct", Has("CAP_SYS_PACCT"), Any),
    allow(
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
        Has("CAP_SYS_PTRACE"),
        Any,
    ),
    allow("iopl ioperm", Has("CAP_SYS_RAWIO"), Any),
    allow("settimeofday stime clock_settime clock_settime64", Has("CAP_SYS_TIME"), Any),
    allow("vhangup", Has("CAP_SYS_TTY_CONFIG"), Any),
    allow("get_mempolicy mbind set_mempolicy set_mempolicy_home_node", Has("CAP_SYS_NICE"), Any),
    allow("syslog", Has("CAP_SYSLOG"), Any),
    allow("bpf", Has("CAP_BPF"), Any),
    allow("perf_event_open", Has("CAP_PERFMON"), Any),
];

/// What a container's administrator may do that others may not.
const ADMINISTRATION: &str = "
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open
    quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare";

/// What everybody may do, whatever the arguments.
const HARMLESS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
    fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu
    getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid
    getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc
    kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr
    link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek
    lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at
    nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe
    pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
    prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
    removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr
    sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid
    setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
    set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr
    setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask
    sigreturn socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit
    umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice
    wait4 waitid waitpid write writev";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unconditional_list_is_dockers_without_socketcall_and_has_no_name_twice() {
        let mut names: Vec<&str> = HARMLESS.split_whitespace().collect();
        assert_eq!(names.len(), 361 - 1);
        assert!(!names.contains(&"socketcall"), "CVE-2026-31431 through the 32-bit door");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 361 - 1);
    }
}
