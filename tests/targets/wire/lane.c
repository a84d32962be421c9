/*
 * One direction of the wire: frames come in, meet their fault, wait if they
 * have to, and go out.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MS 1000000ull
#define BATCH 64                /* frames taken at once */
#define MAX_WAITING 2048        /* a switch's buffer is no larger */
#define MAX_HELD_MS 20          /* an overtaken frame comes after it anyway */
#define MAX_OVERTAKERS 3
#define RETRY_MS 1              /* when the receiver's socket is full */

/* The random numbers of a frame besides which fault it gets. */
enum { RANDOM_BIT = 1, RANDOM_OVERTAKERS, RANDOM_DELAY };

void lane_init(Lane *lane)
{
    lane->last = &lane->first;
}

static void append(Lane *lane, Frame *frame)
{
    if (lane->waiting == MAX_WAITING) {
        lane->overflowed++;
        free(frame);
        return;
    }
    frame->next = NULL;
    *lane->last = frame;
    lane->last = &frame->next;
    lane->waiting++;
}

static void remove_first(Lane *lane)
{
    Frame *frame = lane->first;

    lane->first = frame->next;
    if (!lane->first) {
        lane->last = &lane->first;
    }
    lane->waiting--;
    free(frame);
}

static Frame *frame_new(const uint8_t *bytes, size_t len)
{
    Frame *frame = malloc(sizeof(*frame) + len);

    if (!frame) {
        abort();
    }
    frame->len = len;
    memcpy(frame->bytes, bytes, len);
    return frame;
}

static void release_held(Lane *lane)
{
    if (lane->held) {
        append(lane, lane->held);
        lane->held = NULL;
    }
}

/* Puts a frame behind the others, and the overtaken one if it was the last. */
static void pass(Lane *lane, Frame *frame)
{
    append(lane, frame);
    if (lane->held && !--lane->overtakers) {
        release_held(lane);
    }
}

static uint64_t frame_random(const Lane *lane, unsigned what, uint64_t limit)
{
    return plan_random(lane->plan, lane->index, lane->number, what, limit);
}

static void take(Lane *lane, const uint8_t *bytes, size_t len, uint64_t now)
{
    Frame *frame = frame_new(bytes, len);
    uint64_t bit, until;

    switch (plan_next(lane->plan, lane->index, lane->number)) {
    case FAULT_DROP:
        free(frame);
        break;
    case FAULT_DOUBLE:
        pass(lane, frame);
        pass(lane, frame_new(bytes, len));
        break;
    case FAULT_REORDER:
        release_held(lane);
        lane->held = frame;
        lane->overtakers = 1 + frame_random(lane, RANDOM_OVERTAKERS,
                                            MAX_OVERTAKERS);
        lane->held_until = now + MAX_HELD_MS * MS;
        break;
    case FAULT_DELAY:
        until = now + (1 + frame_random(lane, RANDOM_DELAY,
                                        lane->max_delay_ms)) * MS;
        lane->not_before = until > lane->not_before ? until : lane->not_before;
        pass(lane, frame);
        break;
    case FAULT_CORRUPT:
        /* One bit: no checksum of the Internet's misses that. */
        bit = frame_random(lane, RANDOM_BIT, len * 8);
        frame->bytes[bit / 8] ^= 1 << bit % 8;
        pass(lane, frame);
        break;
    default:
        pass(lane, frame);
        break;
    }
    lane->number++;
}

void lane_receive(Lane *lane, uint64_t now)
{
    static uint8_t bytes[1 << 17];

    for (int i = 0; i < BATCH; i++) {
        ssize_t len = recv(lane->in, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (len <= 0) {
            break;
        }
        if (lane->cut) {
            lane->swallowed++;
        } else {
            take(lane, bytes, len, now);
        }
    }
}

uint64_t lane_send(Lane *lane, uint64_t now)
{
    if (lane->held && now >= lane->held_until) {
        release_held(lane);
    }
    while (lane->first && now >= lane->not_before) {
        ssize_t sent = sendto(lane->out, lane->first->bytes, lane->first->len,
                              MSG_DONTWAIT, (struct sockaddr *)&lane->to,
                              sizeof(lane->to));
        if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            lane->not_before = now + RETRY_MS * MS;
            break;
        }
        /* An end that is not there is a cable that is not plugged in. */
        *(sent < 0 ? &lane->lost : &lane->passed) += 1;
        remove_first(lane);
    }
    if (lane->first) {
        return lane->held && lane->held_until < lane->not_before ?
               lane->held_until : lane->not_before;
    }
    return lane->held ? lane->held_until : LANE_NEVER;
}
