/*
 * What is looked at before libiscsi sees it: guard.c cuts the stream in PDUs,
 * login-guard.c has what is said in a login.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_ISCSI_GUARD_H
#define SMARTNIC_ISCSI_GUARD_H

#include "backend.h"

/* The PDU must not reach libiscsi. The first reason is the one. */
void sn_iscsi_guard_end(SnIscsiGuard *g, const char *why);
/* The same: @pdu ("R2T") has a wrong @field. */
void sn_iscsi_guard_refuse(SnIscsiGuard *g, const char *pdu,
                           const char *field);
/* DataSegmentLength of the PDU. */
uint32_t sn_iscsi_guard_data_len(const SnIscsiGuard *g);

/* login-guard.c: a Login Response with @len bytes of @text. */
void sn_iscsi_guard_login(SnBackend *be, const char *text, size_t len);

#endif
