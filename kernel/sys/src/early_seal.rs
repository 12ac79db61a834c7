//! The entry points of programs that run from a read-only mount of their own file.
//!
//! Such a program executes itself again from that mount, and what the C library does before `main`
//! would be done for nothing the first time: in a virtual machine its questions to the processor
//! alone (`CPUID` leaves the guest) take longer than the exec. So the first exec comes before the C
//! library: a program is linked with `-Wl,--entry=` and one of these symbols, which go on to its
//! `_start` when there is nothing to do, or something failed.
//!
//! This only saves time. Whether the program is sealed is looked at again after `main` began, and
//! what failed here is done there, with its error told.
//!
//! - `gantry_runtime_entry`: when an argument is `create`, `run` or `exec`.
//! - `gantry_shim_entry`: when an argument is `start`.
//!
//! At the entry the stack has the argument count, the arguments, a null pointer, the environment, a
//! null pointer (System V psABI, "Process Initialization"); `rdx` is the dynamic loader's, and no
//! register need be kept. Nothing has been relocated yet, so nothing but instructions and the
//! constants beside them is used.

use std::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.gantry_entry, "ax", @progbits
    .globl gantry_runtime_entry
    .type gantry_runtime_entry, @function
gantry_runtime_entry:
    xor     r14d, r14d
    jmp     2f

    .globl gantry_shim_entry
    .type gantry_shim_entry, @function
gantry_shim_entry:
    mov     r14d, 1

2:  // For _start: the stack, and the dynamic loader's function.
    mov     rbx, rsp
    mov     r13, rdx
    lea     r12, [rbx + 8]
    mov     rbp, r12

3:  // Is one of the arguments a word that asks for it? They are compared as numbers, shifted by as
    // many bytes as they are shorter than eight. Behind the last argument are the environment, the
    // program's name and eight zero bytes: reading eight is within the stack.
    mov     rsi, [rbp]
    add     rbp, 8
    test    rsi, rsi
    jz      9f
    mov     rax, [rsi]
    test    r14d, r14d
    jnz     4f
    mov     rcx, rax
    shl     rcx, 32
    cmp     rcx, qword ptr [rip + .Lgantry_run]
    je      5f
    mov     rcx, rax
    shl     rcx, 24
    cmp     rcx, qword ptr [rip + .Lgantry_exec]
    je      5f
    shl     rax, 8
    cmp     rax, qword ptr [rip + .Lgantry_create]
    je      5f
    jmp     3b
4:  shl     rax, 16
    cmp     rax, qword ptr [rip + .Lgantry_start]
    jne     3b

5:  // statfs("/proc/self/exe"): on a read-only mount (ST_RDONLY in f_flags) all is done.
    sub     rsp, 128
    lea     rdi, [rip + .Lgantry_own]
    mov     rsi, rsp
    mov     eax, 137
    syscall
    test    rax, rax
    js      9f
    test    byte ptr [rsp + 80], 1
    jnz     9f

    // open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE); it stays open over the exec.
    mov     rdi, -100
    lea     rsi, [rip + .Lgantry_own]
    mov     edx, 1
    mov     eax, 428
    syscall
    test    rax, rax
    js      9f
    mov     r15, rax

    // mount_setattr(tree, "", AT_EMPTY_PATH, &set MOUNT_ATTR_RDONLY, 32)
    mov     qword ptr [rsp], 1
    mov     qword ptr [rsp + 8], 0
    mov     qword ptr [rsp + 16], 0
    mov     qword ptr [rsp + 24], 0
    mov     rdi, r15
    lea     rsi, [rip + .Lgantry_empty]
    mov     edx, 0x1000
    mov     r10, rsp
    mov     r8d, 32
    mov     eax, 442
    syscall
    test    rax, rax
    js      8f

    // execveat(tree, "", arguments, environment, AT_EMPTY_PATH)
    mov     rdi, r15
    lea     rsi, [rip + .Lgantry_empty]
    mov     rdx, r12
    mov     rax, [rbx]
    lea     r10, [r12 + rax * 8 + 8]
    mov     r8d, 0x1000
    mov     eax, 322
    syscall

8:  // close(tree)
    mov     rdi, r15
    mov     eax, 3
    syscall

9:  mov     rsp, rbx
    mov     rdx, r13
    xor     ebp, ebp
    jmp     _start

    .balign 8
.Lgantry_run:    .ascii "\0\0\0\0run\0"
.Lgantry_exec:   .ascii "\0\0\0exec\0"
.Lgantry_create: .ascii "\0create\0"
.Lgantry_start:  .ascii "\0\0start\0"
.Lgantry_own:    .asciz "/proc/self/exe"
.Lgantry_empty:  .byte 0
    .popsection
"#
);
