/*
 * Whether a doorbell is an event or a write.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_IOEVENTFD_H
#define SMARTNIC_QEMU_IOEVENTFD_H

#include "qapi/qapi-types-common.h"
#include "system/kvm.h"

/*
 * What the property ioeventfd means. With KVM an event lets the processor go on
 * while another thread takes the request. Without, the write has left the
 * guest's code anyway, and waking that thread costs more than the request.
 */
static inline bool sn_ioeventfd(OnOffAuto property)
{
    return property == ON_OFF_AUTO_ON ||
           (property == ON_OFF_AUTO_AUTO && kvm_enabled());
}

#endif
