/*
 * Entry of the bare guest: QEMU's "-kernel" loads it by its Multiboot header
 * (Multiboot 0.6.96, section 3) and calls start in 32-bit protected mode, flat
 * segments, paging and interrupts off, with the boot information in ebx.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define MAGIC 0x1badb002
#define FLAGS 0x00000002                /* tell us about memory */

    .section .multiboot, "a"
    .align 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl start
start:
    movl $stack_top, %esp
    pushl $0                            /* keeps the stack 16-byte aligned */
    pushl $0
    pushl $0
    pushl %ebx
    call bare_main
halt:
    hlt
    jmp halt

    .bss
    .align 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
