//! The start of the static programs on x86-64 with glibc 2.36, without its questions to the processor.
//!
//! Before `main` glibc asks the processor some forty times (`CPUID`) what it can do and how large its
//! caches are. In a virtual machine each question leaves the guest: 0.2 to 0.4 ms of every command of
//! the runtime, more than an exec, for the choice between several kinds of `memcpy`. The programs here
//! move little memory. This takes the place of `__libc_start_main`, does what that does for a static
//! position-independent program in the same order, and leaves the description of the processor empty:
//! the functions of memory and strings are then those that every x86-64 has (SSE2).
//!
//! What else is not done: nothing is made ready for `dlopen` (0.1 ms: the library's search paths, the
//! program's own path, symbols of the vDSO, so that a question for the time is a system call); no
//! setting of `GLIBC_TUNABLES` is read, which a program that makes containers should not heed anyway;
//! `pthread_exit` must not be called by the first thread; no destructor (`.fini_array`) is run at the
//! end, and there is none; the open descriptors are not looked at for a set-user-id program, which these
//! are not.
//!
//! It stands on the insides of one version, so `cargo xtask build` asks for it (`--cfg
//! gantry_own_start`) only where that version is what is linked; elsewhere the library's own is used,
//! and nothing but time is lost. `csu/libc-start.c`, `csu/init-first.c`, `elf/dl-support.c` and
//! `sysdeps/x86/cacheinfo.h` of glibc 2.36 have the originals of the order and of the names.

use std::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.gantry_start_main, "ax", @progbits
    .globl __libc_start_main
    .type __libc_start_main, @function
__libc_start_main:
    // From _start: rdi main, esi the argument count, rdx the arguments; at rsp + 8 the stack's end.
    // Nothing is relocated yet: calls and data are reached from the instruction pointer.
    mov     rax, [rsp + 8]
    mov     rbx, rdi
    mov     r12d, esi
    mov     r13, rdx
    movsxd  rcx, esi
    lea     r14, [rdx + rcx * 8 + 8]
    mov     [rip + __libc_stack_end], rax
    mov     [rip + __environ], r14
    and     rsp, -16

    // The auxiliary vector is behind the environment.
    mov     rdi, r14
2:  add     rdi, 8
    cmp     qword ptr [rdi - 8], 0
    jne     2b
    call    _dl_aux_init

    call    _dl_relocate_static_pie
    call    __libc_setup_tls

    // The guards of the stack (its lowest byte, the first in memory, is zero: a string that overflows
    // ends there) and of stored pointers, from the kernel's random bytes.
    mov     rax, [rip + _dl_random]
    mov     rdx, [rax]
    xor     dl, dl
    mov     fs:[0x28], rdx
    mov     rdx, [rax + 8]
    mov     fs:[0x30], rdx

    mov     edi, 1
    call    __libc_early_init

    // What the program header says of memory: the permissions of threads' stacks, and what is only
    // read from here on.
    mov     rcx, [rip + _dl_phdr]
    mov     rdx, [rip + _dl_phnum]
    xor     esi, esi
3:  sub     rdx, 1
    jb      6f
    mov     eax, [rcx]
    cmp     eax, 0x6474e551         // PT_GNU_STACK
    jne     4f
    mov     eax, [rcx + 4]
    mov     [rip + _dl_stack_flags], eax
4:  cmp     eax, 0x6474e552         // PT_GNU_RELRO
    jne     5f
    lea     rdi, [rip + __ehdr_start]
    add     rdi, [rcx + 16]
    mov     rsi, rdi
    add     rsi, [rcx + 40]
5:  add     rcx, 56
    jmp     3b
6:  test    rsi, rsi
    jz      7f
    and     rdi, -4096
    and     rsi, -4096
    sub     rsi, rdi
    mov     edx, 1                  // PROT_READ
    mov     eax, 10                 // mprotect
    syscall
7:
    // Initialisers, with main's arguments: Rust's library keeps them.
    call    _init
    lea     rbp, [rip + __init_array_start]
8:  lea     rax, [rip + __init_array_end]
    cmp     rbp, rax
    jae     9f
    mov     edi, r12d
    mov     rsi, r13
    mov     rdx, r14
    call    [rbp]
    add     rbp, 8
    jmp     8b

9:  mov     edi, r12d
    mov     rsi, r13
    mov     rdx, r14
    call    rbx
    mov     edi, eax
    call    exit
    ud2
    .popsection

    // What `memcpy` and its like read. The library's own start sets them from the caches' sizes; from
    // the last but one on they are copied past the caches.
    .pushsection .data.gantry_start_main, "aw", @progbits
    .balign 8
    .globl __x86_data_cache_size_half, __x86_data_cache_size
    .globl __x86_shared_cache_size_half, __x86_shared_cache_size
    .globl __x86_rep_movsb_threshold, __x86_rep_stosb_threshold, __x86_string_control
    .globl __x86_shared_non_temporal_threshold, __x86_rep_movsb_stop_threshold
__x86_data_cache_size_half:         .quad 0x4000
__x86_data_cache_size:              .quad 0x8000
__x86_shared_cache_size_half:       .quad 0x80000
__x86_shared_cache_size:            .quad 0x100000
__x86_rep_movsb_threshold:          .quad 2048
__x86_rep_stosb_threshold:          .quad 2048
__x86_shared_non_temporal_threshold: .quad 0xc0000
__x86_rep_movsb_stop_threshold:     .quad 0xc0000
__x86_string_control:               .quad 0
    .popsection
"#
);
