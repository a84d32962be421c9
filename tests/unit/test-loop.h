/*
 * An SnLoop with virtual time: nothing happens until the test says so, and
 * a minute passes in no time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include <stdbool.h>

#include "smartnic/loop.h"

/* A loop at time 1 s. Free it when its timers and bottom halves are freed. */
SnLoop *test_loop_new(void);
/* Fails the test when a timer or a bottom half is still there. */
void test_loop_free(SnLoop *loop);

/* Runs the scheduled bottom halves until none is left. */
void test_loop_run_bhs(SnLoop *loop);
/* Lets @ns pass: bottom halves and timers run at their times, in order. */
void test_loop_advance(SnLoop *loop, int64_t ns);
/* Runs until @done (called with @opaque) says so; false after @ns. */
bool test_loop_run_until(SnLoop *loop, bool (*done)(void *), void *opaque,
                         int64_t ns);
/* The next deadline, or SN_TIMER_NEVER when nothing would ever happen. */
int64_t test_loop_next_deadline(SnLoop *loop);

#endif
